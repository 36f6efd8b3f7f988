//! The entry of one recording in the list of unfinished ones. It stays until two things are safe: the file, and the record of
//! its conversation. Should the process die before, the next one does what is left to do.
use super::folder::{self, Then};
use crate::record::Conversation;
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
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
    /// One of the two is safe.
    half: AtomicBool,
    /// There is something to upload.
    closed: Arc<Notify>,
}

impl Listing {
    /// Of a recording that is yet to begin.
    pub(super) fn new(directory: &Path, conversation_uuid: Uuid, then: Then, closed: Arc<Notify>) -> Self {
        let file = folder::entry(directory, conversation_uuid);
        Self(Arc::new(Entry { file, then, held: Mutex::default(), half: AtomicBool::new(false), closed }))
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

    /// The file is whole, or the record of the conversation is kept: once for each.
    pub(super) fn safe(&self) {
        if !self.0.half.swap(true, Ordering::AcqRel) {
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
