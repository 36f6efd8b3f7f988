//! Files on a real disk, and one that does not take anything.
use super::{file::Request, *};
use crate::{
    call,
    config::RecordingFormat,
    record::{self},
};
use media::recording::Summary;
use std::{
    cell::RefCell,
    fs,
    path::{Path, PathBuf},
    time::{Instant, SystemTime},
};

mod late;
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

/// What is given to it of earlier runs is kept nowhere.
fn start(config: config::Recording) -> Recorder {
    Recorder::start(config, |_| Ok(())).unwrap()
}

fn open(recorder: &Recorder, title: &Title) -> Sink {
    recorder.open(title, Box::new(begun(title.conversation_uuid)), RATE, Span::none())
}

/// How long the disk may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until the writers have come so far.
async fn until(recorder: &Recorder, is_so: impl Fn() -> bool) {
    let come = async {
        while !is_so() {
            tokio::task::yield_now().await;
            // Who has the turn of every writer has waited for what they wrote.
            drop(recorder.writers.acquire_many(WRITERS as u32).await.unwrap());
        }
    };
    timeout(PATIENCE, come).await.unwrap();
}

/// The record of a call that nobody lived to end.
pub(super) fn begun(conversation_uuid: Uuid) -> Conversation {
    Conversation {
        conversation_uuid,
        domain_uuid: Uuid::from_u128(1),
        secretary_realtime_uuid: Some(Uuid::from_u128(3)),
        caller_id: CALLER.into(),
        outcome: record::Outcome::Failed,
        end_reason: "the server ended".into(),
        ..record::tests::bare()
    }
}

const CALLER: &str = "+5511999990000";

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

fn sha256(bytes: &[u8]) -> String {
    <sha2::Sha256 as sha2::Digest>::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_recording_is_where_its_record_says_and_as_it_says() {
    let folder = Folder::new();
    let recorder = start(config(&folder.0, RecordingFormat::Wav));
    let mut sink = open(&recorder, &title("00000000-0000-0000-0000-0000000000ff"));
    (0..110).for_each(|n| sink.push(block(n)));
    let listing = sink.listing();
    let kept = sink.finish(recording(110)).await;
    listing.safe();
    assert_eq!((kept.state, kept.path.as_deref()), (State::Complete, Some(PATH)));
    let path = folder.0.join(PATH);
    let bytes = fs::read(&path).unwrap();
    assert_eq!(kept.bytes, Some(bytes.len() as u64));
    assert_eq!(kept.sha256, Some(sha256(&bytes)));
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
    let recorder = start(config(&folder.0, RecordingFormat::Wav));
    let first = title("00000000-0000-0000-0000-0000000000ff");
    let second = Title { conversation_uuid: Uuid::from_u128(3), ..first.clone() };
    let mut sinks = [&first, &second].map(|title| open(&recorder, title));
    sinks.iter_mut().for_each(|sink| sink.push(block(0)));
    // What the row says where the file is not closed in time, too.
    let paths = [PATH.to_owned(), PATH.replace("02.wav", "03.wav")];
    assert_eq!(sinks.each_ref().map(|sink| sink.own.1.clone()), paths);
    for (sink, path) in sinks.into_iter().zip(paths) {
        assert_eq!(sink.finish(recording(1)).await.path.as_ref(), Some(&path));
        assert_eq!(samples(&folder.0.join(path)).len(), FRAMES * 2);
    }
}

#[tokio::test]
async fn a_recording_that_cannot_begin_leaves_nothing_that_waits_for_its_end() {
    let folder = Folder::new();
    let recorder = start(config(&folder.0, RecordingFormat::Wav));
    let part = folder::part(&folder.0.join(PATH));
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    fs::write(&part, "of another call").unwrap();
    let sink = open(&recorder, &title("00000000-0000-0000-0000-0000000000ff"));
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

/// Whoever erases the call finds it, and it is finished at the next start.
#[test]
fn a_recording_that_cannot_be_closed_is_where_its_record_says() {
    let folder = Folder::new();
    let mut file = file::Tapefile::create(request(&folder.0, RecordingFormat::Wav)).unwrap();
    file.write(&[block(0)]).unwrap();
    let path = folder.0.join(PATH);
    // A file does not take the name of a folder.
    fs::create_dir(&path).unwrap();
    let kept = file.close(None).describe(recording(1));
    assert_eq!((kept.state, kept.path.as_deref()), (State::Partial, Some(PATH)));
    assert!(kept.problem.is_some() && folder::part(&path).exists());
    fs::remove_dir(&path).unwrap();
    finish(&folder.0);
    assert_eq!(samples(&path).len(), FRAMES * 2);
}

fn request(directory: &Path, format: RecordingFormat) -> Request {
    let title = title("00000000-0000-0000-0000-0000000000ff");
    let path = folder::path(&title, format, false);
    let begun = begun(title.conversation_uuid);
    let recording = Some(torn(&path, &begun.end_reason));
    Request {
        directory: directory.to_owned(),
        path,
        record: Box::new(Conversation { recording, ..begun }),
        format,
        rate: RATE,
        key: None,
        listing: listing(directory),
    }
}

/// That of the one conversation there is.
pub(super) fn listing(directory: &Path) -> Listing {
    Listing::new(directory, title("c").conversation_uuid, Then::Nothing, Arc::default())
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

/// Finishes what an earlier run left; the records that are kept of it.
fn finish(directory: &Path) -> Vec<Conversation> {
    let kept = RefCell::new(Vec::new());
    let keep = |record: &Conversation| -> io::Result<()> {
        kept.borrow_mut().push(record.clone());
        Ok(())
    };
    folder::finish_orphans(directory, Then::Nothing, &keep);
    kept.into_inner()
}

#[test]
fn what_a_killed_process_leaves_plays_as_it_is_and_is_finished_at_the_next_start() {
    let folder = Folder::new();
    let path = killed(&folder.0, RecordingFormat::Wav);
    assert_eq!(samples(&folder::part(&path)).len(), 25 * FRAMES * 2);
    finish(&folder.0);
    assert!(!folder::part(&path).exists());
    assert!(samples(&path).len() >= 25 * FRAMES * 2);
    let opus = killed(&folder.0, RecordingFormat::Opus);
    finish(&folder.0);
    let bytes = fs::read(&opus).unwrap();
    assert!(bytes.starts_with(b"OggS") && media::recording::ogg::whole(&bytes) == bytes.len());
    assert_eq!(fs::read_dir(folder.0.join(".unfinished")).unwrap().count(), 0);
}

#[test]
fn what_a_killed_process_recorded_has_a_record_that_says_who_called_and_where_it_is() {
    for format in [RecordingFormat::Wav, RecordingFormat::Opus] {
        let folder = Folder::new();
        let path = killed(&folder.0, format);
        let kept = finish(&folder.0);
        let [record] = &kept[..] else { panic!("{kept:?}") };
        let recording = record.recording.clone().unwrap();
        let (lasting, bytes) = (recording.duration, fs::read(&path).unwrap());
        assert!((480..510).contains(&lasting.as_millis()), "{lasting:?} of half a second");
        let expected = Recording {
            path: Some(path.strip_prefix(&folder.0).unwrap().to_str().unwrap().to_owned()),
            bytes: Some(bytes.len() as u64),
            sha256: Some(sha256(&bytes)),
            ..recording.clone()
        };
        assert_eq!((recording.state, recording.problem.as_deref()), (State::Partial, Some("the server ended")));
        assert_eq!(recording, expected);
        let begun = begun(title("a").conversation_uuid);
        let ended_at = begun.started_at + lasting;
        assert_eq!(*record, Conversation { ended_at, audio: lasting, recording: Some(recording), ..begun });
        assert!(finish(&folder.0).is_empty(), "it is kept once");
    }
}

/// Its process was killed before half a second was there.
#[test]
fn a_recording_of_which_nothing_was_written_leaves_no_file_and_no_record() {
    for format in [RecordingFormat::Wav, RecordingFormat::Opus] {
        let folder = Folder::new();
        drop(file::Tapefile::create(request(&folder.0, format)).unwrap());
        let day = folder.0.join(PATH).parent().unwrap().to_owned();
        assert_eq!(fs::read_dir(&day).unwrap().count(), 1);
        assert!(finish(&folder.0).is_empty() && folder::listed(&folder.0).is_empty(), "{format:?}");
        assert_eq!(fs::read_dir(&day).unwrap().count(), 0, "{format:?}");
    }
}

/// Its file is whole by then.
#[tokio::test]
async fn what_a_process_recorded_that_dies_before_the_record_is_kept_has_one_too() {
    for key in [None, Key::parse(&"5a".repeat(32))] {
        let folder = Folder::new();
        let recorder = start(config::Recording { key, ..config(&folder.0, RecordingFormat::Wav) });
        let mut sink = open(&recorder, &title("00000000-0000-0000-0000-0000000000ff"));
        (0..25).for_each(|n| sink.push(block(n)));
        let listing = sink.listing();
        let closed = sink.finish(recording(25)).await;
        let whole = folder.0.join(closed.path.clone().unwrap());
        assert!(whole.exists() && finish(&folder.0).is_empty(), "whose process lives has its record still");
        drop(listing);
        let kept = finish(&folder.0);
        let [record] = &kept[..] else { panic!("{kept:?}") };
        let recording = record.recording.clone().unwrap();
        assert_eq!((record.caller_id.as_str(), recording.state), (CALLER, State::Partial));
        let of = |recording: &Recording| (recording.path.clone(), recording.bytes, recording.sha256.clone());
        assert_eq!(of(&recording), of(&closed));
        assert!(whole.exists() && finish(&folder.0).is_empty(), "it is kept once");
        assert_eq!(fs::read_dir(folder.0.join(".unfinished")).unwrap().count(), 0);
    }
}

/// A file is there when the power is back if the names of all folders above it are: each in the one that has it.
#[test]
fn of_the_folders_of_a_day_those_are_brought_to_the_disk_that_are_new() {
    let folder = Folder::new();
    let (month, day) = (folder.0.join("tenant/2026/09"), folder.0.join("tenant/2026/09/21"));
    let above = ["tenant", "tenant/2026"].map(|name| folder.0.join(name));
    assert_eq!(folder::missing(&month), [&above[0], &above[1], &month]);
    folder::make(&month).unwrap();
    assert_eq!(folder::missing(&day), [&day], "of another day of the month");
    folder::make(&day).unwrap();
    assert!(folder::missing(&day).is_empty());
    assert_eq!(folder::missing(Path::new("not-there/r")), [Path::new("not-there"), Path::new("not-there/r")]);
}

/// Another server on the same folder starts when this one has listed the recording, and has no file yet or an empty one.
#[test]
fn what_another_process_is_about_to_write_is_left_alone() {
    let folder = Folder::new();
    let Request { path, record, listing, .. } = request(&folder.0, RecordingFormat::Wav);
    listing.begin(&path, &record).unwrap();
    let part = folder::part(&folder.0.join(path));
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    fs::write(&part, "").unwrap();
    let entry = folder::entry(&folder.0, title("c").conversation_uuid);
    assert!(finish(&folder.0).is_empty() && part.exists() && entry.exists());
    drop(listing);
    assert!(finish(&folder.0).is_empty() && !part.exists() && !entry.exists(), "its process died");
}

#[test]
fn a_record_that_cannot_be_kept_is_tried_again_at_the_next_start() {
    let folder = Folder::new();
    let path = killed(&folder.0, RecordingFormat::Wav);
    let refused = |_: &Conversation| -> io::Result<()> { Err(io::Error::other("the disk is full")) };
    folder::finish_orphans(&folder.0, Then::Nothing, &refused);
    assert!(folder::part(&path).exists() && !path.exists());
    assert_eq!((finish(&folder.0).len(), path.exists()), (1, true));
}

#[test]
fn what_an_earlier_version_listed_is_finished_without_a_record() {
    let folder = Folder::new();
    let path = killed(&folder.0, RecordingFormat::Wav);
    let entry = folder::entry(&folder.0, title("a").conversation_uuid);
    assert!(fs::read_to_string(&entry).unwrap().contains(CALLER));
    fs::write(&entry, PATH).unwrap();
    assert!(finish(&folder.0).is_empty());
    assert!(path.exists() && !entry.exists());
}

/// The power goes in the middle, or the process is killed there.
#[test]
fn an_entry_is_in_the_list_whole_or_not_at_all() {
    let folder = Folder::new();
    let Request { path, record, listing, .. } = request(&folder.0, RecordingFormat::Wav);
    let entry = folder::entry(&folder.0, title("c").conversation_uuid);
    let piece = entry.with_extension("new");
    fs::create_dir_all(&piece).unwrap();
    assert!(listing.begin(&path, &record).is_err() && !entry.exists(), "it is written where nobody takes it for one");
    fs::remove_dir(&piece).unwrap();
    fs::write(&piece, &path).unwrap();
    assert!(finish(&folder.0).is_empty() && piece.exists(), "somebody writes it at this moment");
    let written = SystemTime::now() - Duration::from_secs(120);
    fs::File::options().write(true).open(&piece).unwrap().set_modified(written).unwrap();
    assert!(finish(&folder.0).is_empty() && !piece.exists() && folder::listed(&folder.0).is_empty());
    fs::write(&piece, "of one that died").unwrap();
    listing.begin(&path, &record).unwrap();
    assert!(!piece.exists() && fs::read_to_string(&entry).unwrap().starts_with(&format!("{path}\n{{")));
}

/// As power cuts left them that an earlier version wrote: empty, or with what the disk had there.
#[test]
fn the_recording_of_an_entry_that_cannot_be_read_is_found_and_finished() {
    for text in [&b""[..], b"\0\0\0\0", b"\xff\xfe", b"00000000-0000-0000-0000-000000000001/2026/0"] {
        for then in [Then::Nothing, Then::Upload] {
            let folder = Folder::new();
            let path = killed(&folder.0, RecordingFormat::Wav);
            let entry = folder::entry(&folder.0, title("c").conversation_uuid);
            fs::write(&entry, text).unwrap();
            // The call rang the day before.
            let listed = SystemTime::from(title("c").started_at) + Duration::from_secs(12 * 3_600);
            fs::File::options().write(true).open(&entry).unwrap().set_modified(listed).unwrap();
            let unknown = |_: &Conversation| -> io::Result<()> { panic!("nothing is known of its call") };
            folder::finish_orphans(&folder.0, then, &unknown);
            assert!(!folder::part(&path).exists() && samples(&path).len() >= 25 * FRAMES * 2, "{text:?}");
            let waits = (then == Then::Upload).then(|| (entry.clone(), PATH.to_owned()));
            assert_eq!(folder::closed(&folder.0), Vec::from_iter(waits), "{text:?}");
            assert_eq!(entry.exists(), then == Then::Upload, "{text:?}");
        }
    }
}

#[test]
fn an_entry_that_cannot_be_read_and_leads_to_nothing_does_not_stay() {
    let folder = Folder::new();
    let entry = folder::entry(&folder.0, title("c").conversation_uuid);
    fs::create_dir_all(entry.parent().unwrap()).unwrap();
    fs::write(&entry, "").unwrap();
    let another = folder::hold(&entry).unwrap();
    assert!(finish(&folder.0).is_empty() && entry.exists(), "another process has it");
    drop(another);
    assert!(finish(&folder.0).is_empty() && !entry.exists());
}

/// Nothing of it can be read; its clock can.
#[test]
fn a_sealed_recording_that_nobody_finished_is_as_long_as_it_was_written_to() {
    let folder = Folder::new();
    let mut request = request(&folder.0, RecordingFormat::Wav);
    request.path.push_str(folder::SEALED);
    request.key = Key::parse(&"5a".repeat(32));
    let part = folder::part(&folder.0.join(&request.path));
    let mut file = file::Tapefile::create(request).unwrap();
    file.write(&[block(0)]).unwrap();
    drop(file);
    let seven = Duration::from_secs(7);
    let written = SystemTime::from(begun(title("a").conversation_uuid).started_at) + seven;
    fs::File::options().write(true).open(part).unwrap().set_modified(written).unwrap();
    let kept = finish(&folder.0);
    assert_eq!(kept.iter().map(|record| (record.audio, record.duration())).collect::<Vec<_>>(), [(seven, seven)]);
}

#[test]
fn what_another_process_writes_is_left_alone() {
    let folder = Folder::new();
    let mut file = file::Tapefile::create(request(&folder.0, RecordingFormat::Wav)).unwrap();
    assert!(finish(&folder.0).is_empty());
    file.write(&[block(0)]).unwrap();
    assert_eq!(file.close(None).describe(recording(1)).state, State::Complete);
}

#[tokio::test]
async fn a_disk_that_takes_nothing_costs_the_call_no_time() {
    let folder = Folder::new();
    let recorder = start(config(&folder.0, RecordingFormat::Wav));
    // All writers are held up, as by a disk that stalls.
    let stalled = recorder.writers.acquire_many(WRITERS as u32).await.unwrap();
    let mut sink = open(&recorder, &title("a"));
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

/// The calls that ended while it hung have left what was not written.
#[tokio::test]
async fn a_disk_that_hangs_fills_no_more_memory_than_there_may_be() {
    let folder = Folder::new();
    let recorder = start(config(&folder.0, RecordingFormat::Wav));
    let stalled = recorder.writers.acquire_many(WRITERS as u32).await.unwrap();
    let others = recorder.room.acquire_many(ROOM as u32 - 1).await.unwrap();
    let mut sink = open(&recorder, &title("a"));
    (0..50).for_each(|n| sink.push(block(n)));
    assert_eq!((sink.dropped, recorder.room.available_permits()), (25, 0));
    drop(others);
    (50..75).for_each(|n| sink.push(block(n)));
    drop(stalled);
    let kept = sink.finish(recording(75)).await;
    let ms = Duration::from_millis;
    assert_eq!((kept.state, kept.gaps), (State::Complete, vec![record::Span { from: ms(500), to: ms(1_000) }]));
    assert_eq!(recorder.room.available_permits(), ROOM, "what is written makes room");
}

#[tokio::test]
async fn a_folder_that_cannot_be_had_ends_the_recording_and_not_the_call() {
    let folder = Folder::new();
    let recorder = start(config(&folder.0, RecordingFormat::Wav));
    fs::write(folder.0.join("00000000-0000-0000-0000-000000000001"), "in the way").unwrap();
    let mut sink = open(&recorder, &title("a"));
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
    let recorder = start(sealed);
    let mut sink = open(&recorder, &title("00000000-0000-0000-0000-0000000000ff"));
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
