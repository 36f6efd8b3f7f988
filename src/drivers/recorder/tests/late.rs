//! What becomes known of a file when the record of its call is kept comes into the record.
use super::*;
use crate::store::{
    Store,
    tests::{Scratch, conversation, entry, found, sqlite},
};
use serde_json::json;

/// A database in which the record of a recorded call is kept as it was when that ended.
struct World {
    folder: Folder,
    scratch: Scratch,
    title: Title,
    kept: Conversation,
}

impl World {
    async fn new() -> Self {
        let scratch = sqlite().await.unwrap();
        scratch.store.upsert_secretary(&entry("a.example", "8000", "Ana")).await.unwrap();
        let ana = found(&scratch.store, "8000", None).await;
        let title = Title { domain_uuid: ana.domain_uuid, ..title("c") };
        let kept = Conversation { conversation_uuid: title.conversation_uuid, recording: None, ..conversation(&ana) };
        Self { folder: Folder::new(), scratch, title, kept }
    }

    async fn keep(&self, recording: &Recording) {
        let kept = Conversation { recording: Some(recording.clone()), ..self.kept.clone() };
        self.scratch.store.save_conversation(&kept).await.unwrap();
    }

    /// What its row says when all that is known is in it.
    async fn corrected(&self) -> Recording {
        assert!(corrections::apply(&self.scratch.store, &self.folder.0).await, "something is left");
        assert!(corrections::all(&self.folder.0).is_empty());
        self.scratch.store.conversations(1).await.unwrap().remove(0).recording.unwrap()
    }
}

/// Until this recorder knows something.
async fn noted(recorder: &Recorder) {
    let known = async {
        while corrections::all(&recorder.config.directory).is_empty() {
            recorder.noted.notified().await;
        }
    };
    timeout(PATIENCE, known).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_closed_late_is_in_the_record_as_it_is() {
    let world = World::new().await;
    let recorder = start(config(&world.folder.0, RecordingFormat::Wav));
    let stalled = recorder.writers.acquire_many(WRITERS as u32).await.unwrap();
    let mut sink = open(&recorder, &world.title);
    (0..25).for_each(|n| sink.push(block(n)));
    let early = sink.finish_within(Duration::ZERO, recording(25)).await;
    assert_eq!((early.state, early.sha256.as_ref()), (State::Partial, None));
    drop(stalled);
    noted(&recorder).await;
    assert!(!corrections::apply(&world.scratch.store, &world.folder.0).await, "the row is yet to come");
    world.keep(&early).await;
    let bytes = fs::read(world.folder.0.join(early.path.as_ref().unwrap())).unwrap();
    let (length, sha256) = (Some(bytes.len() as u64), Some(sha256(&bytes)));
    let whole = Recording { state: State::Complete, bytes: length, sha256, problem: None, ..early };
    assert_eq!(world.corrected().await, whole);
}

/// Its task broke: nobody waits.
#[tokio::test]
async fn the_file_of_a_call_that_broke_is_in_its_record_too() {
    let world = World::new().await;
    let recorder = start(config(&world.folder.0, RecordingFormat::Wav));
    let mut sink = open(&recorder, &world.title);
    (0..25).for_each(|n| sink.push(block(n)));
    let (broken, _listing) = sink.taping().broken("it broke");
    drop(sink);
    world.keep(&broken).await;
    noted(&recorder).await;
    let bytes = fs::read(world.folder.0.join(broken.path.as_ref().unwrap())).unwrap();
    let (bytes, sha256) = (Some(bytes.len() as u64), Some(sha256(&bytes)));
    let known = Recording { duration: Duration::from_millis(500), bytes, sha256, ..broken };
    assert_eq!(world.corrected().await, known);
}

/// A process that dies before it is noted leaves that to the next.
#[tokio::test]
async fn a_recording_is_listed_until_what_its_record_does_not_know_is_noted() {
    let world = World::new().await;
    let recorder = start(config(&world.folder.0, RecordingFormat::Wav));
    fs::write(world.folder.0.join(corrections::FOLDER), "in the way").unwrap();
    let mut sink = open(&recorder, &world.title);
    (0..25).for_each(|n| sink.push(block(n)));
    let (broken, listing) = sink.taping().broken("it broke");
    drop(sink);
    listing.safe();
    let whole = world.folder.0.join(broken.path.unwrap());
    until(&recorder, || whole.exists()).await;
    assert!(folder::entry(&world.folder.0, world.title.conversation_uuid).exists());
}

#[tokio::test]
async fn a_file_that_the_next_start_finishes_is_in_the_record_that_was_kept_before() {
    let world = World::new().await;
    let path = folder::path(&world.title, RecordingFormat::Wav, false);
    let request = Request { path: path.clone(), ..request(&world.folder.0, RecordingFormat::Wav) };
    let mut file = file::Tapefile::create(request).unwrap();
    file.write(&(0..25).map(block).collect::<Vec<_>>()).unwrap();
    drop(file);
    let early = Recording { state: State::Partial, problem: Some("slow".into()), ..torn(&path, "") };
    world.keep(&early).await;
    assert_eq!(finish(&world.folder.0).len(), 1);
    let bytes = fs::read(world.folder.0.join(&path)).unwrap();
    let (bytes, sha256) = (Some(bytes.len() as u64), Some(sha256(&bytes)));
    let known = Recording { duration: Duration::from_millis(500), bytes, sha256, ..early };
    assert_eq!(world.corrected().await, known);
}

#[tokio::test]
async fn a_row_that_never_comes_is_not_waited_for_for_ever() {
    let world = World::new().await;
    let own = world.title.conversation_uuid.to_string();
    let path = folder::path(&world.title, RecordingFormat::Wav, false);
    corrections::note(&world.folder.0, &own, &path, &json!({"bytes": 1})).unwrap();
    assert!(!corrections::apply(&world.scratch.store, &world.folder.0).await);
    let long_ago = SystemTime::now() - Duration::from_secs(8 * 24 * 3_600);
    let note = fs::File::options().write(true).open(corrections::file(&world.folder.0, &own)).unwrap();
    note.set_modified(long_ago).unwrap();
    assert!(corrections::apply(&world.scratch.store, &world.folder.0).await);
    assert!(corrections::all(&world.folder.0).is_empty());
}
