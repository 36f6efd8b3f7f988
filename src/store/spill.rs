//! A file that keeps conversation records while the database is away: one JSON object a line, oldest first.
use crate::{disk, record::Conversation};
use std::{
    collections::{BTreeSet, VecDeque},
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// The file, and those beside it: `….loading` while its records go back to the database (`….loading.rest` for the
/// moment in which that gets shorter), `….refused` for what the database will never take.
#[derive(Clone, Debug)]
pub struct Spill {
    path: PathBuf,
    /// Records are appended by calls that end and by the writer.
    turn: Arc<Mutex<()>>,
}

/// Records taken out of the file, which are on disk until [`Taken::done`].
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) conversations: VecDeque<Conversation>,
    loading: PathBuf,
    /// Whether the disk has some that are kept elsewhere.
    has_kept: bool,
}

impl Spill {
    /// A spill at `path`; nothing is made until something is kept.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), turn: Arc::new(Mutex::new(())) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps a record; it is on disk when this returns.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep(&self, conversation: &Conversation) -> io::Result<()> {
        self.append(&self.path, conversation)
    }

    /// Keeps a record that the database refuses, for a human to look at.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn set_aside(&self, conversation: &Conversation) -> io::Result<()> {
        self.append(&self.beside("refused"), conversation)
    }

    /// Takes all records out. What an earlier, interrupted loading left comes first.
    pub(super) fn take(&self) -> io::Result<Option<Taken>> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let loading = self.beside("loading");
        if !loading.exists() {
            match fs::rename(&self.path, &loading) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                renamed => renamed?,
            }
        }
        let mut conversations = VecDeque::new();
        for line in fs::read(&loading)?.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(conversation) => conversations.push_back(conversation),
                // Torn by a crash while it was written, perhaps within a character, or by an editor.
                Err(_) => write_line(&self.beside("refused"), line)?,
            }
        }
        Ok(Some(Taken { conversations, loading, has_kept: false }))
    }

    /// Paths of the recordings of all records that are still to reach the database.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn recordings(&self) -> io::Result<BTreeSet<String>> {
        let mut paths = BTreeSet::new();
        // Records go from the first to the second, and from there into the database.
        for file in [&self.path, &self.beside("loading")] {
            let lines = match fs::read(file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                read => read?,
            };
            let records = lines.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
            paths.extend(records.filter_map(|record: Conversation| record.recording?.path));
        }
        Ok(paths)
    }

    fn append(&self, path: &Path, conversation: &Conversation) -> io::Result<()> {
        let line = serde_json::to_vec(conversation)?;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        write_line(path, &line)
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name: OsString = self.path.clone().into_os_string();
        name.push(".");
        name.push(suffix);
        name.into()
    }
}

impl Taken {
    /// The first that is kept nowhere else.
    pub(super) fn first(&self) -> Option<&Conversation> {
        self.conversations.front()
    }

    /// That one is kept elsewhere.
    pub(super) fn kept(&mut self) {
        self.conversations.pop_front();
        self.has_kept = true;
    }

    /// Takes those off the disk that are kept elsewhere: whoever starts anew would keep them again, and one may be erased
    /// meanwhile. At every moment the others are there.
    ///
    /// # Errors
    /// When the disk takes none: then all are there still.
    pub(super) fn shorten(&mut self) -> io::Result<()> {
        if !self.has_kept {
            return Ok(());
        }
        let mut lines = Vec::new();
        for conversation in &self.conversations {
            serde_json::to_writer(&mut lines, conversation)?;
            lines.push(b'\n');
        }
        let mut rest = self.loading.clone().into_os_string();
        rest.push(".rest");
        let written = File::create(&rest).and_then(|mut file| {
            file.write_all(&lines)?;
            file.sync_data()
        });
        if let Err(problem) = written.and_then(|()| fs::rename(&rest, &self.loading)) {
            // It would be written over the next time.
            let _ = fs::remove_file(&rest);
            return Err(problem);
        }
        disk::sync_names_beside(&self.loading);
        self.has_kept = false;
        Ok(())
    }

    /// All of them are kept elsewhere.
    pub(super) fn done(self) -> io::Result<()> {
        fs::remove_file(&self.loading)?;
        disk::sync_names_beside(&self.loading);
        Ok(())
    }
}

/// Appends a line. A line that a crash left without its end is ended first, so that it spoils only itself; of one that does not fit
/// on the disk nothing is left.
fn write_line(path: &Path, line: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
    let mut last = [b'\n'];
    let length = file.metadata()?.len();
    if length > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    let newline: &[u8] = if last == [b'\n'] { b"" } else { b"\n" };
    let written = file.write_all(&[newline, line, b"\n"].concat()).and_then(|()| file.sync_data());
    if written.is_err() {
        // What stays is ended by the next line, and set aside.
        let _ = file.set_len(length);
    } else if length == 0 {
        disk::sync_names_beside(path);
    }
    written
}
