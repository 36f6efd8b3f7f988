//! The entry of one recording in the list of unfinished ones. It stays until three things are safe: the file, the record of
//! its conversation, and what that does not know of the file. Should the process die before, the next one does what is left.
use super::folder::{self, Then};
use crate::record::Conversation;
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};
use tokio::sync::Notify;
use uuid::Uuid;

/// An entry. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Listing(Arc<Entry>);

#[derive(Debug)]
struct Entry {
    file: PathBuf,
    then: Then,
    /// Locked, so that another process that starts does not take it for an orphan's.
    held: Mutex<Option<File>>,
    /// How many of the three are not safe yet.
    left: AtomicU8,
    /// There is something to upload.
    closed: Arc<Notify>,
}

impl Listing {
    /// Of a recording that is yet to begin.
    pub(super) fn new(directory: &Path, conversation_uuid: Uuid, then: Then, closed: Arc<Notify>) -> Self {
        let file = folder::entry(directory, conversation_uuid);
        Self(Arc::new(Entry { file, then, held: Mutex::default(), left: AtomicU8::new(3), closed }))
    }

    /// Lists the recording, with the record that its conversation has if this process dies.
    pub(super) fn begin(&self, path: &str, record: &Conversation) -> io::Result<()> {
        let held = folder::list(&self.0.file, path, record)?;
        self.hold(Some(held));
        Ok(())
    }

    /// The recording did not begin.
    pub(super) fn forget(&self) {
        drop(fs::remove_file(&self.0.file));
        self.hold(None);
    }

    /// The file is whole, the record of the conversation is kept, or it knows the file or that is noted: once for each.
    pub(super) fn safe(&self) {
        if self.0.left.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        match self.0.then {
            // It does no harm where it stays: all it leads to is there.
            Then::Nothing => drop(fs::remove_file(&self.0.file)),
            Then::Upload => folder::forget_record(&self.0.file),
        }
        self.hold(None);
        self.0.closed.notify_one();
    }

    fn hold(&self, held: Option<File>) {
        *self.0.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }
}
