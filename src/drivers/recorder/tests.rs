//! Files on a real disk, and one that does not take anything.
use super::*;
use crate::{
    call,
    config::RecordingFormat,
    record::{self},
};
use media::recording::Summary;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

mod store;

const RATE: SampleRate = SampleRate::HZ_8000;
const FRAMES: usize = 160;

/// A folder that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("ramal-recorder-{}", Uuid::new_v4()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A test that failed may have left it in any state.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn config(directory: &Path, format: RecordingFormat) -> config::Recording {
    config::Recording {
        calls: call::Recording { enabled: true, ..call::Recording::default() },
        directory: directory.to_owned(),
        node: "here".into(),
        format,
        key: None,
        s3: None,
        listen_in: Vec::new(),
    }
}

fn title(call_uuid: &str) -> Title {
    Title {
        domain_uuid: Uuid::from_u128(1),
        conversation_uuid: Uuid::from_u128(2),
        call_uuid: call_uuid.into(),
        started_at: DateTime::from_timestamp(1_790_000_000, 0).unwrap(),
    }
}

fn block(number: u64) -> Block {
    let samples = (0..FRAMES).flat_map(|_| [1_000 + number as i16, -1_000]).collect();
    Block { at: number * FRAMES as u64, rate: RATE, samples }
}

fn recording(blocks: u64) -> Recording {
    let duration = Duration::from_millis(20) * blocks as u32;
    Summary { duration, pauses: Vec::new(), displaced: Duration::ZERO }.into()
}

const PATH: &str = "00000000-0000-0000-0000-000000000001/2026/09/21/\
    00000000-0000-0000-0000-0000000000ff-00000000-0000-0000-0000-000000000002.wav";

fn samples(path: &Path) -> Vec<i16> {
    let mut reader = hound::WavReader::open(path).unwrap();
    assert_eq!((reader.spec().channels, reader.spec().sample_rate), (2, 8_000));
    reader.samples::<i16>().map(Result::unwrap).collect()
}

#[tokio::test]
async fn a_recording_is_where_its_record_says_and_as_it_says() {
    let folder = Folder::new();
    let recorder = Recorder::start(config(&folder.0, RecordingFormat::Wav)).unwrap();
    let mut sink = recorder.open(&title("00000000-0000-0000-0000-0000000000ff"), RATE, Span::none());
    (0..110).for_each(|n| sink.push(block(n)));
    let kept = sink.finish(recording(110)).await;
    assert_eq!((kept.state, kept.path.as_deref()), (State::Complete, Some(PATH)));
    let path = folder.0.join(PATH);
    let bytes = fs::read(&path).unwrap();
    assert_eq!(kept.bytes, Some(bytes.len() as u64));
    let hash: String = <sha2::Sha256 as sha2::Digest>::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(kept.sha256, Some(hash));
    let samples = samples(&path);
    assert_eq!(samples.len(), 110 * FRAMES * 2);
    assert_eq!(samples[109 * FRAMES * 2..109 * FRAMES * 2 + 2], [1_109, -1_000]);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o640);
    assert_eq!(fs::read_dir(folder.0.join(".unfinished")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_second_conversation_of_a_call_does_not_overwrite_the_first() {
    let folder = Folder::new();
    let recorder = Recorder::start(config(&folder.0, RecordingFormat::Wav)).unwrap();
    let first = title("00000000-0000-0000-0000-0000000000ff");
    let second = Title { conversation_uuid: Uuid::from_u128(3), ..first.clone() };
    let mut sinks = [&first, &second].map(|title| recorder.open(title, RATE, Span::none()));
    sinks.iter_mut().for_each(|sink| sink.push(block(0)));
    // What the row says where the file is not closed in time, too.
    let paths = [PATH.to_owned(), PATH.replace("02.wav", "03.wav")];
    assert_eq!(sinks.each_ref().map(|sink| sink.path.clone()), paths);
    for (sink, path) in sinks.into_iter().zip(paths) {
        assert_eq!(sink.finish(recording(1)).await.path.as_ref(), Some(&path));
        assert_eq!(samples(&folder.0.join(path)).len(), FRAMES * 2);
    }
}

#[tokio::test]
async fn a_recording_that_cannot_begin_leaves_nothing_that_waits_for_its_end() {
    let folder = Folder::new();
    let recorder = Recorder::start(config(&folder.0, RecordingFormat::Wav)).unwrap();
    let part = folder::part(&folder.0.join(PATH));
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    fs::write(&part, "of another call").unwrap();
    let sink = recorder.open(&title("00000000-0000-0000-0000-0000000000ff"), RATE, Span::none());
    let kept = sink.finish(recording(0)).await;
    assert_eq!((kept.state, kept.path), (State::Failed, None));
    assert_eq!(fs::read_dir(folder.0.join(".unfinished")).unwrap().count(), 0);
    assert_eq!(fs::read_to_string(part).unwrap(), "of another call");
}

#[test]
fn a_call_id_is_not_taken_for_a_file_name() {
    let path = folder::path(&title("../../etc/passwd"), RecordingFormat::Opus, false);
    assert_eq!(path, "00000000-0000-0000-0000-000000000001/2026/09/21/00000000-0000-0000-0000-000000000002.opus");
}

#[test]
fn blocks_that_are_missing_are_silence_and_a_gap() {
    let folder = Folder::new();
    let mut file = file::Tapefile::create(request(&folder.0, RecordingFormat::Wav)).unwrap();
    file.write(&[block(0), block(1), block(5)]).unwrap();
    file.write(&[block(6), block(9)]).unwrap();
    let kept = file.close(None).describe(recording(12));
    let gap = |from, to| record::Span { from: Duration::from_millis(from), to: Duration::from_millis(to) };
    assert_eq!(kept.gaps, [gap(40, 100), gap(140, 180), gap(200, 240)]);
    let samples = samples(&folder.0.join(PATH));
    assert_eq!(samples.len(), 10 * FRAMES * 2);
    assert!(samples[2 * FRAMES * 2..5 * FRAMES * 2].iter().all(|sample| *sample == 0));
    assert_eq!(samples[5 * FRAMES * 2], 1_005);
}

#[test]
fn a_recording_that_ends_before_its_call_is_as_long_as_its_file() {
    let folder = Folder::new();
    let mut file = file::Tapefile::create(request(&folder.0, RecordingFormat::Wav)).unwrap();
    file.write(&[block(0), block(1), block(5)]).unwrap();
    let kept = file.close(Some("the disk is full".into())).describe(recording(500));
    assert_eq!((kept.state, kept.duration), (State::Partial, Duration::from_millis(120)));
    assert_eq!(samples(&folder.0.join(PATH)).len(), 6 * FRAMES * 2);
}

fn request(directory: &Path, format: RecordingFormat) -> file::Request {
    let title = title("00000000-0000-0000-0000-0000000000ff");
    file::Request {
        directory: directory.to_owned(),
        path: folder::path(&title, format, false),
        conversation_uuid: title.conversation_uuid,
        format,
        rate: RATE,
        key: None,
        then: Then::Nothing,
    }
}

/// What a killed process leaves: half a second that was written, and a torn end.
fn killed(folder: &Path, format: RecordingFormat) -> PathBuf {
    let mut file = file::Tapefile::create(request(folder, format)).unwrap();
    let blocks: Vec<Block> = (0..25).map(block).collect();
    file.write(&blocks).unwrap();
    drop(file);
    let path = folder.join(folder::path(&title("00000000-0000-0000-0000-0000000000ff"), format, false));
    let mut part = fs::OpenOptions::new().append(true).open(folder::part(&path)).unwrap();
    io::Write::write_all(&mut part, b"OggS\0torn").unwrap();
    path
}

#[test]
fn what_a_killed_process_leaves_plays_as_it_is_and_is_finished_at_the_next_start() {
    let folder = Folder::new();
    let path = killed(&folder.0, RecordingFormat::Wav);
    assert_eq!(samples(&folder::part(&path)).len(), 25 * FRAMES * 2);
    folder::finish_orphans(&folder.0, Then::Nothing);
    assert!(!folder::part(&path).exists());
    assert!(samples(&path).len() >= 25 * FRAMES * 2);
    let opus = killed(&folder.0, RecordingFormat::Opus);
    folder::finish_orphans(&folder.0, Then::Nothing);
    let bytes = fs::read(&opus).unwrap();
    assert!(bytes.starts_with(b"OggS") && media::recording::ogg::whole(&bytes) == bytes.len());
    assert_eq!(fs::read_dir(folder.0.join(".unfinished")).unwrap().count(), 0);
}

#[test]
fn what_another_process_writes_is_left_alone() {
    let folder = Folder::new();
    let mut file = file::Tapefile::create(request(&folder.0, RecordingFormat::Wav)).unwrap();
    folder::finish_orphans(&folder.0, Then::Nothing);
    file.write(&[block(0)]).unwrap();
    assert_eq!(file.close(None).describe(recording(1)).state, State::Complete);
}

#[tokio::test]
async fn a_disk_that_takes_nothing_costs_the_call_no_time() {
    let folder = Folder::new();
    let recorder = Recorder::start(config(&folder.0, RecordingFormat::Wav)).unwrap();
    // All writers are held up, as by a disk that stalls.
    let stalled = recorder.writers.acquire_many(WRITERS as u32).await.unwrap();
    let mut sink = recorder.open(&title("a"), RATE, Span::none());
    let mut worst = Duration::ZERO;
    for n in 0..2_000 {
        let block = block(n);
        let before = Instant::now();
        sink.push(block);
        worst = worst.max(before.elapsed());
    }
    assert!(worst < Duration::from_millis(10), "{worst:?}");
    assert_eq!(sink.dropped, 2_000 - (QUEUE * BATCH) as u64);
    drop(stalled);
    let kept = sink.finish(recording(2_000)).await;
    assert_eq!(kept.state, State::Complete);
    let missing: Duration = kept.gaps.iter().map(|gap| gap.to - gap.from).sum();
    assert_eq!(missing, Duration::from_millis(20) * (2_000 - (QUEUE * BATCH) as u32));
}

#[tokio::test]
async fn a_folder_that_cannot_be_had_ends_the_recording_and_not_the_call() {
    let folder = Folder::new();
    let recorder = Recorder::start(config(&folder.0, RecordingFormat::Wav)).unwrap();
    fs::write(folder.0.join("00000000-0000-0000-0000-000000000001"), "in the way").unwrap();
    let mut sink = recorder.open(&title("a"), RATE, Span::none());
    (0..1_000).for_each(|n| sink.push(block(n)));
    let kept = sink.finish(recording(1_000)).await;
    assert_eq!((kept.state, kept.path), (State::Failed, None));
    assert!(kept.problem.is_some());
}

#[tokio::test]
async fn a_sealed_recording_shows_nothing_and_opens_to_the_same() {
    let folder = Folder::new();
    let key = Key::parse(&"5a".repeat(32)).unwrap();
    let sealed = config::Recording { key: Some(key.clone()), ..config(&folder.0, RecordingFormat::Wav) };
    let recorder = Recorder::start(sealed).unwrap();
    let mut sink = recorder.open(&title("00000000-0000-0000-0000-0000000000ff"), RATE, Span::none());
    (0..60).for_each(|n| sink.push(block(n)));
    let kept = sink.finish(recording(60)).await;
    assert_eq!((kept.state, kept.path.as_deref()), (State::Complete, Some(&*format!("{PATH}.sealed"))));
    assert_eq!(kept.key_id, Some(key.id()));
    let path = folder.0.join(kept.path.unwrap());
    assert!(!fs::read(&path).unwrap().windows(4).any(|window| window == b"RIFF" || window == b"WAVE"));
    let opened = crate::cli::record::decrypt(&path, &key).unwrap();
    assert_eq!(opened, folder.0.join(PATH));
    assert_eq!(samples(&opened).len(), 60 * FRAMES * 2);
}
