//! Where recordings are: `DOMAIN/YYYY/MM/DD/CALL-CONVERSATION.wav`, and beside them a list of those that are not finished.
use super::{Title, corrections, days, file};
use crate::{
    config::RecordingFormat,
    disk,
    record::{Conversation, Recording},
};
use chrono::{DateTime, TimeDelta, Utc};
use media::recording::{ogg, wav};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Component, Path, PathBuf},
    time::{Duration, SystemTime},
};
use tracing::{info, warn};
use uuid::Uuid;

/// In the folder of recordings: a file for each that is being written. Its first line is the path it will have; until it is
/// whole and the record of its conversation kept, a second is the one that the conversation has if the process dies.
///
/// That line has the caller's number, beside a sealed recording too: what is sealed is what was said. The number is in plain
/// text in the database, and in the spill file while that is away; here it is until it is there, for owner and group.
const UNFINISHED: &str = ".unfinished";
/// In the folder of recordings: a file for each that only the store has, until its row says so.
const UPLOADED: &str = ".uploaded";
/// What a file is called until it is whole.
pub(super) const PART: &str = "part";
/// And an entry or a note until it is on the disk.
const NEW: &str = "new";
/// Behind the name of a file that is sealed.
pub(crate) const SEALED: &str = ".sealed";
/// The folder of a day, in that of a tenant.
pub(super) const DAY: &str = "%Y/%m/%d";
/// A list entry without a file may be that of a recording which begins at this moment.
const FRESH: Duration = Duration::from_secs(60);

/// What is to be done with a file that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It is sent to a store, and listed until then.
    Upload,
    /// Nothing.
    Nothing,
}

/// Makes a folder, and those above it, for its owner and group. Those that are new are there still when the power has gone, and
/// so is what is brought to the disk within them.
pub(super) fn make(folder: &Path) -> io::Result<()> {
    let missing = missing(folder);
    fs::DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
    missing.into_iter().for_each(disk::sync_names_beside);
    Ok(())
}

/// Of a folder and those above it, the ones that are not there, the outermost first.
pub(super) fn missing(folder: &Path) -> Vec<&Path> {
    let own = folder.ancestors().filter(|folder| !folder.as_os_str().is_empty());
    let mut missing: Vec<&Path> = own.take_while(|folder| !folder.exists()).collect();
    missing.reverse();
    missing
}

/// Opens a file that must not exist, for its owner and group to read.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o640).open(path)
}

/// Where a recording goes, from the folder of recordings, and in a store: where no other conversation has anything, not even
/// another of the same call. The identity of the PBX is taken for a name if it is a UUID: a Call-ID is anything its sender likes.
pub(super) fn path(title: &Title, format: RecordingFormat, sealed: bool) -> String {
    let own = title.conversation_uuid;
    let call = title.call_uuid.parse::<Uuid>().ok().filter(|call| *call != own);
    let name = call.map_or_else(|| own.to_string(), |call| format!("{call}-{own}"));
    let day = title.started_at.format(DAY);
    let ending = if sealed { SEALED } else { "" };
    format!("{}/{day}/{name}.{}{ending}", title.domain_uuid, format.extension())
}

pub(super) fn part(path: &Path) -> PathBuf {
    let mut part = path.as_os_str().to_owned();
    part.push(".");
    part.push(PART);
    part.into()
}

/// Lists a recording as unfinished, with the record that its conversation has if it stays so. The entry is its own until what
/// is returned is dropped.
pub(super) fn list(entry: &Path, path: &str, record: &Conversation) -> io::Result<File> {
    place(entry, &format!("{path}\n{}", serde_json::to_string(record)?))
}

/// Writes a small file, which is there whole or not at all, also when the power goes. It is the caller's own until what
/// is returned is dropped.
pub(super) fn place(file: &Path, text: &str) -> io::Result<File> {
    let folder = file.parent().unwrap_or(Path::new("."));
    make(folder)?;
    let new = file.with_extension(NEW);
    // Of a process that died in the middle of this.
    drop(fs::remove_file(&new));
    let mut held = create(&new)?;
    let written = held.lock().and_then(|()| held.write_all(text.as_bytes())).and_then(|()| held.sync_data());
    written.and_then(|()| fs::rename(&new, file)).inspect_err(|_| drop(fs::remove_file(&new)))?;
    disk::sync(folder);
    Ok(held)
}

/// Removes what processes left in a folder that died while they placed something there.
fn clear(folder: &Path) {
    for piece in files(folder).into_iter().filter(|file| is_piece(file)) {
        let written = fs::metadata(&piece).and_then(|about| about.modified());
        let is_old = written.is_ok_and(|written| written.elapsed().unwrap_or_default() >= FRESH);
        // Who places it holds it but for a moment at the beginning.
        if is_old && let Ok(Some(_held)) = hold(&piece) {
            drop(fs::remove_file(&piece));
        }
    }
}

fn is_piece(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == NEW)
}

/// The file of an entry is whole, and the record of its conversation is in better hands: nothing but the path stays.
pub(super) fn forget_record(entry: &Path) {
    let text = fs::read(entry).unwrap_or_default();
    if let Some(path) = text.iter().position(|byte| *byte == b'\n') {
        let opened = OpenOptions::new().write(true).open(entry);
        // The record would be kept once more where it stays, and the first counts.
        drop(opened.and_then(|entry| entry.set_len(path as u64)));
    }
}

/// What an entry has beside its path: nothing if an earlier version made it.
fn record_in(entry: &Path) -> Option<Conversation> {
    let text = fs::read_to_string(entry).ok()?;
    let (_, record) = text.split_once('\n')?;
    serde_json::from_str(record).ok()
}

/// The entry in that list.
pub(super) fn entry(directory: &Path, conversation_uuid: Uuid) -> PathBuf {
    directory.join(UNFINISHED).join(conversation_uuid.to_string())
}

/// The note that only the store has it.
pub(super) fn receipt(directory: &Path, conversation_uuid: &str) -> PathBuf {
    directory.join(UPLOADED).join(conversation_uuid)
}

/// Notes of an entry in the list that only the store has its file from here on.
pub(super) fn note_uploaded(directory: &Path, entry: &Path) -> io::Result<()> {
    make(&directory.join(UPLOADED))?;
    let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    fs::rename(entry, receipt(directory, name))
}

/// A recording that only the store has, and whose row is to say so.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// The tenant.
    pub domain_uuid: Uuid,
    /// The conversation.
    pub conversation_uuid: Uuid,
    /// When it was noted.
    pub noted: SystemTime,
    /// Where. Whoever has seen to it removes it.
    pub file: PathBuf,
}

/// All there are.
pub fn receipts(directory: &Path) -> Vec<Receipt> {
    let read = |entry: fs::DirEntry| {
        let file = entry.path();
        let path = fs::read_to_string(&file).ok()?;
        Some(Receipt {
            domain_uuid: path.split('/').next()?.parse().ok()?,
            conversation_uuid: entry.file_name().to_str()?.parse().ok()?,
            noted: entry.metadata().ok()?.modified().ok()?,
            file,
        })
    };
    fs::read_dir(directory.join(UPLOADED)).into_iter().flatten().flatten().filter_map(read).collect()
}

/// Has a file for itself, until what is returned is dropped; `None` if there is none, or none any more.
///
/// # Errors
/// Another has it: who writes it, sends it or deletes it.
pub(super) fn hold(file: &Path) -> io::Result<Option<File>> {
    let held = match OpenOptions::new().read(true).write(true).open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match held.try_lock() {
        // It may have been deleted or renamed by whoever had it before.
        Ok(()) => Ok(file.exists().then_some(held)),
        Err(TryLockError::WouldBlock) => {
            let busy = format!("{} is being written, sent or deleted at this moment", file.display());
            Err(io::Error::new(io::ErrorKind::ResourceBusy, busy))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether something failed because another has a file for itself.
pub fn is_in_use(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|error| error.kind() == io::ErrorKind::ResourceBusy)
}

/// What is listed as unfinished: each entry that can be read, and the path of its file.
pub(super) fn listed(directory: &Path) -> Vec<(PathBuf, String)> {
    let read = |entry: PathBuf| path_in(&entry).map(|path| (entry, path));
    entries(directory).into_iter().filter_map(read).collect()
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let files = files(&directory.join(UNFINISHED));
    files.into_iter().filter(|file| !is_piece(file)).collect()
}

pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            warn!(folder = %folder.display(), %error, "what is listed there cannot be read");
            Vec::new()
        }
    }
}

/// The path of the file that an entry is about; `None` where that cannot be read.
fn path_in(entry: &Path) -> Option<String> {
    let text = fs::read_to_string(entry).ok()?;
    text.lines().next().filter(|path| is_ours(path)).map(str::to_owned)
}

/// Whether a path is that of a recording, and leads to nowhere but into the folder of recordings.
fn is_ours(path: &str) -> bool {
    is_recording(path) && Path::new(path).components().all(|component| matches!(component, Component::Normal(_)))
}

/// Whether a file of this name is a recording, sealed or not.
pub(super) fn is_recording(name: &str) -> bool {
    let plain = name.strip_suffix(SEALED).unwrap_or(name);
    (plain.ends_with(".wav") || plain.ends_with(".opus")) && !plain.contains(char::is_control)
}

/// Listed recordings whose file is whole, and the record of whose conversation is kept: they wait for their upload.
pub(super) fn closed(directory: &Path) -> Vec<(PathBuf, String)> {
    let is_kept = |entry: &Path| fs::read_to_string(entry).is_ok_and(|text| text.lines().nth(1).is_none());
    let listed = listed(directory).into_iter();
    listed.filter(|(entry, path)| directory.join(path).exists() && is_kept(entry)).collect()
}

/// Keeps the record of a conversation: it is safe when this returns.
pub(super) type Keep<'a> = &'a dyn Fn(&Conversation) -> io::Result<()>;

/// Finishes what an earlier run left, and leaves alone what another process writes.
pub(super) fn finish_orphans(directory: &Path, then: Then, keep: Keep<'_>) {
    for folder in [UNFINISHED, corrections::FOLDER] {
        clear(&directory.join(folder));
    }
    for entry in entries(directory) {
        let finished = match path_in(&entry) {
            Some(path) => finish_orphan(directory, &entry, path, then, keep),
            None => finish_unreadable(directory, &entry, then, keep),
        };
        match finished {
            Ok(Some(path)) => info!(%path, "A recording of an earlier run is finished"),
            Ok(None) => {}
            Err(error) => {
                warn!(entry = %entry.display(), %error, "a recording of an earlier run is left as it is")
            }
        }
    }
}

/// Has an entry that nobody has: whoever records has it, from before there is a file until its record is kept, and so has
/// who sends or deletes it.
fn orphaned(entry: &Path) -> io::Result<Option<File>> {
    match hold(entry) {
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(None),
        held => held,
    }
}

/// An entry in which nothing can be read any more, as a power cut left it that an earlier version wrote: its recording is
/// found by the conversation that both are named after.
fn finish_unreadable(directory: &Path, entry: &Path, then: Then, keep: Keep<'_>) -> io::Result<Option<String>> {
    let Some(held) = orphaned(entry)? else { return Ok(None) };
    let listed = DateTime::<Utc>::from(held.metadata()?.modified()?).date_naive();
    let conversation = entry.file_name().and_then(|name| name.to_str()?.parse::<Uuid>().ok());
    let found = conversation.and_then(|conversation| days::of_conversation(directory, conversation, listed));
    warn!(entry = %entry.display(), ?found, "an entry in the list of unfinished recordings cannot be read");
    let Some(path) = found else { return fs::remove_file(entry).map(|()| None) };
    // Who sends it reads the path there.
    drop(place(entry, &path)?);
    finish_orphan(directory, entry, path, then, keep)
}

/// The path of the file that was finished.
fn finish_orphan(
    directory: &Path,
    entry: &Path,
    path: String,
    then: Then,
    keep: Keep<'_>,
) -> io::Result<Option<String>> {
    let Some(_held) = orphaned(entry)? else { return Ok(None) };
    let whole = directory.join(&path);
    let (part, record) = (part(&whole), record_in(entry));
    let found = match open(&part)? {
        // Its process died when it had closed the file, and before the record was kept.
        None if record.is_some() => open(&whole)?.map(|file| (file, &whole)),
        part_file => part_file.map(|file| (file, &part)),
    };
    let Some((mut file, place)) = found else { return settle(directory, entry, &path, then).map(|()| None) };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let written = DateTime::<Utc>::from(file.metadata()?.modified()?);
    let by_clock = record.as_ref().and_then(|record| (written - record.started_at).to_std().ok());
    let Some(lasting) = mend(&mut file, &whole, by_clock.unwrap_or_default())? else {
        fs::remove_file(place)?;
        return fs::remove_file(entry).map(|()| None);
    };
    let (bytes, sha256) = file::digest(&mut file)?;
    let sha256 = file::hex(&sha256);
    match record {
        // Whoever dies behind this, and before the entry is gone, leaves it to be kept once more: the first counts.
        Some(record) => keep(&finished(record, lasting, (bytes, &sha256)))?,
        None => warn!(%path, "nothing is known of the call of this recording, and no conversation leads to it"),
    }
    // A record that was kept before its process died knows nothing of the file.
    let conversation = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    corrections::note(directory, conversation, &path, &corrections::of_file(lasting, bytes, &sha256))?;
    file.sync_data()?;
    // Nothing happens to a file that has its name.
    fs::rename(place, &whole)?;
    disk::sync_names_beside(&whole);
    match then {
        Then::Nothing => fs::remove_file(entry)?,
        Then::Upload => forget_record(entry),
    }
    Ok(Some(path))
}

/// A file to mend; `None` if there is none.
fn open(file: &Path) -> io::Result<Option<File>> {
    match OpenOptions::new().read(true).write(true).open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

/// An entry with nothing to finish waits for its upload, or goes.
fn settle(directory: &Path, entry: &Path, path: &str, then: Then) -> io::Result<()> {
    let age = fs::metadata(entry)?.modified()?.elapsed().unwrap_or_default();
    let is_whole = directory.join(path).exists();
    if is_whole && then == Then::Upload {
        forget_record(entry);
        return Ok(());
    }
    if !is_whole && age < FRESH { Ok(()) } else { fs::remove_file(entry) }
}

/// The record of a conversation whose process died when its recording had come so far.
fn finished(record: Conversation, lasting: Duration, (bytes, sha256): (u64, &str)) -> Conversation {
    let (bytes, sha256) = (Some(bytes), Some(sha256.to_owned()));
    let recording = record.recording.map(|recording| Recording { duration: lasting, bytes, sha256, ..recording });
    // A length that no clock has is that of a file whose bytes are not ours.
    let ended_at = TimeDelta::from_std(lasting).ok().and_then(|lasting| record.started_at.checked_add_signed(lasting));
    let ended_at = ended_at.unwrap_or(record.started_at);
    Conversation { ended_at, audio: lasting, recording, ..record }
}

/// Makes a file of a killed writer whole, and says how long it is: a sealed one as long as it was written to. `None` if there
/// is nothing in it.
fn mend(file: &mut File, path: &Path, by_clock: Duration) -> io::Result<Option<Duration>> {
    let length = file.metadata()?.len();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("wav") => {
            let mut header = [0; wav::HEADER];
            if file.read_exact(&mut header).is_err() {
                return Ok(None);
            }
            let Some(header) = wav::repaired(&header, length) else {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "its header is not ours"));
            };
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&header)?;
            Ok((length > wav::HEADER as u64).then(|| wav::duration(&header)))
        }
        Some("opus") => {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            let whole = ogg::whole(&bytes);
            file.set_len(whole as u64)?;
            // What stands before any sound is no sound.
            Ok(Some(ogg::duration(&bytes)).filter(|lasting| !lasting.is_zero()))
        }
        Some(_) | None => Ok((length > 0).then_some(by_clock)),
    }
}
