//! What became known of a recording when the record of its call had been kept: its file was closed late, or by the next start.
//! It is noted beside the recordings until the row says so as well.
use super::{Listing, Recorder, file::Closed, folder, on_disk};
use crate::{record::Recording, store::Store};
use serde_json::{Value, json};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    sync::{Notify, oneshot},
    task::spawn_blocking,
    time::timeout,
};
use tracing::{debug, warn};
use uuid::Uuid;

/// In the folder of recordings: a file for each row that is to be corrected. Its first line is the path of the recording, the
/// second what the row is to say of it.
pub(super) const FOLDER: &str = ".corrections";
/// Before the database is asked again that was away, or had no such row yet.
const AGAIN: Duration = Duration::from_secs(30);
/// How long a row may take to appear, or to be as the database takes it.
const ROW_COMES: Duration = Duration::from_secs(7 * 24 * 3_600);

/// A row to be corrected.
#[derive(Debug)]
pub(super) struct Correction {
    domain_uuid: Uuid,
    conversation_uuid: Uuid,
    path: String,
    patch: Value,
    noted: SystemTime,
    file: PathBuf,
}

impl Recorder {
    /// Corrects rows whenever there is something to correct, until the process ends.
    pub fn correct(&self, store: Arc<dyn Store>) {
        let (directory, noted) = (self.config.directory.clone(), Arc::clone(&self.noted));
        self.runtime.spawn(run(store, directory, noted));
    }

    /// The record of a call does not wait for its file any more: has it corrected when that is closed.
    pub(super) fn await_closing(
        &self,
        closed: oneshot::Receiver<Closed>,
        own: (Uuid, String),
        recording: Recording,
        listing: Listing,
    ) {
        let recorder = self.clone();
        self.runtime.spawn(async move {
            // What a writer left that broke is finished at the next start.
            if let Ok(closed) = closed.await {
                recorder.note(own, closed.describe(recording).patch(), listing).await;
            }
        });
    }

    /// Notes what the row of a conversation is to say of its recording. Until that is on the disk the next start has to do it.
    pub(super) async fn note(&self, (conversation, path): (Uuid, String), patch: Value, listing: Listing) {
        let directory = self.config.directory.clone();
        let noting = move || note(&directory, &conversation.to_string(), &path, &patch).map(|()| listing.safe());
        match on_disk(&self.writers, noting).await {
            Ok(()) => self.noted.notify_one(),
            Err(error) => warn!(%conversation, %error, "its record does not say what became of its recording"),
        }
    }
}

/// Where that is noted of a conversation.
pub(super) fn file(directory: &Path, conversation: &str) -> PathBuf {
    directory.join(FOLDER).join(conversation)
}

/// Notes what the row of a conversation is to say of the recording at this path.
pub(super) fn note(directory: &Path, conversation: &str, path: &str, patch: &Value) -> io::Result<()> {
    folder::place(&file(directory, conversation), &format!("{path}\n{patch}")).map(drop)
}

/// What a file says by itself.
pub(super) fn of_file(duration: Duration, bytes: u64, sha256: &str) -> Value {
    let duration = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    json!({ "duration_ms": duration, "bytes": bytes, "sha256": sha256 })
}

/// All that is noted.
pub(super) fn all(directory: &Path) -> Vec<Correction> {
    let read = |file: PathBuf| {
        let text = fs::read_to_string(&file).ok()?;
        let (path, patch) = text.split_once('\n')?;
        Some(Correction {
            domain_uuid: path.split('/').next()?.parse().ok()?,
            conversation_uuid: file.file_name()?.to_str()?.parse().ok()?,
            path: path.to_owned(),
            patch: serde_json::from_str(patch).ok()?,
            noted: fs::metadata(&file).ok()?.modified().ok()?,
            file,
        })
    };
    folder::files(&directory.join(FOLDER)).into_iter().filter_map(read).collect()
}

async fn run(store: Arc<dyn Store>, directory: PathBuf, noted: Arc<Notify>) {
    loop {
        if apply(&*store, &directory).await {
            noted.notified().await;
        } else {
            // Whichever comes first.
            let _ = timeout(AGAIN, noted.notified()).await;
        }
    }
}

/// Corrects rows; whether that is all of them.
pub(super) async fn apply(store: &dyn Store, directory: &Path) -> bool {
    let (looking, mut done) = (directory.to_owned(), true);
    for correction in spawn_blocking(move || all(&looking)).await.unwrap_or_default() {
        let Correction { domain_uuid, conversation_uuid, path, patch, noted, file } = correction;
        let told = store.records().correct((domain_uuid, conversation_uuid), &path, &patch).await;
        if let Err(problem) = &told {
            debug!(conversation = %conversation_uuid, %problem, "its recording is not in its row yet as it is");
            if problem.is_passing() {
                return false;
            }
        }
        if told.unwrap_or_default() || noted.elapsed().unwrap_or_default() > ROW_COMES {
            // One that stays is told once more, which changes nothing.
            drop(spawn_blocking(move || fs::remove_file(file)).await);
        } else {
            done = false;
        }
    }
    done
}
