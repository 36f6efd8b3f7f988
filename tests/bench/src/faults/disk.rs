//! A disk that is small enough to be filled: a tmpfs that only the server's process has, so that nothing of it is left when that
//! is gone. Root can mount one, and so can anybody in a user namespace of his own, where the kernel lets him.
use anyhow::{Context, Result};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{ErrorKind, Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// How `unshare` is told to make a namespace in which we may mount. As root none of users is needed.
const WAYS: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
/// Mounts so many MiB here, and becomes the program that follows.
const MOUNT: &str = "mount -t tmpfs -o size=\"$1\"m,mode=0755 ramal \"$2\" && shift 2 && exec \"$@\"";
/// What takes the room.
const FILLER: &str = "filler";
const BLOCK: usize = 1 << 20;

/// The folder on which recordings and the spill file of the server are.
#[derive(Debug)]
pub(super) struct Disk {
    /// As the server sees it.
    pub(super) folder: PathBuf,
    /// As we do.
    seen: PathBuf,
    mib: usize,
    /// How it is mounted; `None` where it cannot be.
    way: Option<&'static [&'static str]>,
}

/// A file of a recording that was finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tape {
    pub(super) bytes: u64,
    /// Whether its header counts as many.
    pub(super) whole: bool,
}

impl Disk {
    /// A disk of this size. Nothing is mounted yet.
    pub(super) fn new(scratch: &Path, mib: usize) -> Result<Self> {
        let folder = scratch.join("disk");
        fs::create_dir(&folder)?;
        let mut disk = Self { seen: folder.clone(), folder, mib, way: None };
        disk.way = WAYS.into_iter().find(|way| disk.mounted(way).arg("true").status().is_ok_and(|it| it.success()));
        Ok(disk)
    }

    /// Whether there is one that can be filled.
    pub(super) fn is_small(&self) -> bool {
        self.way.is_some()
    }

    /// What becomes the server, on this disk, and ends with us, however we do.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = self.way.map_or_else(|| Command::new("setpriv"), |way| self.mounted(way));
        if self.way.is_some() {
            command.arg("setpriv");
        }
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        command
    }

    fn mounted(&self, way: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(way).args(["sh", "-c", MOUNT, "sh"]).arg(self.mib.to_string()).arg(&self.folder);
        command.stderr(Stdio::null());
        command
    }

    /// The server runs as this process, and we look through its eyes.
    pub(super) fn enter(&mut self, server: u32) {
        if self.is_small() {
            let root = PathBuf::from(format!("/proc/{server}/root"));
            self.seen = root.join(self.folder.strip_prefix("/").unwrap_or(&self.folder));
        }
    }

    /// Takes what room there is, and what became free since.
    pub(super) fn fill(&self) -> Result<()> {
        let mut filler =
            File::options().create(true).append(true).open(self.seen.join(FILLER)).context("the filler")?;
        loop {
            match filler.write_all(&[0; BLOCK]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error).context("filling the disk"),
            }
        }
    }

    /// Gives it back.
    pub(super) fn free(&self) -> Result<()> {
        fs::remove_file(self.seen.join(FILLER)).context("the filler")
    }

    /// Takes recordings that are finished from the disk, which has no room for all: what was there, by its path.
    pub(super) fn harvest(&self, tapes: &mut BTreeMap<String, Tape>) -> Result<()> {
        let folder = self.seen.join("recordings");
        walk(&folder, &mut |path: &Path| {
            let tape = look(path).with_context(|| path.display().to_string())?;
            tapes.insert(path.strip_prefix(&folder)?.to_string_lossy().into_owned(), tape);
            fs::remove_file(path).with_context(|| path.display().to_string())
        })
    }

    /// What is left that has to do with records: names and lengths.
    pub(super) fn spilled(&self) -> Result<BTreeMap<String, u64>> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(&self.seen)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(SPILL) {
                found.insert(name, entry.metadata()?.len());
            }
        }
        Ok(found)
    }
}

/// The file of records that wait for the database.
pub(super) const SPILL: &str = "spill.jsonl";

/// Every file below a folder that is a recording, and no part of one.
fn walk(folder: &Path, each: &mut impl FnMut(&Path) -> Result<()>) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| folder.display().to_string())?,
    };
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            walk(&path, each)?;
        } else if path.extension().is_some_and(|ending| ending == "wav") {
            each(&path)?;
        }
    }
    Ok(())
}

/// RIFF: the four bytes after the first four count all that follow them.
fn look(path: &Path) -> Result<Tape> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let mut head = [0; 8];
    let counted = match file.read_exact(&mut head) {
        Ok(()) => u64::from(u32::from_le_bytes([head[4], head[5], head[6], head[7]])) + 8,
        // Shorter than a header: as broken as can be.
        Err(_) => 0,
    };
    Ok(Tape { bytes, whole: head.starts_with(b"RIFF") && counted == bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::services::Scratch;

    #[test]
    fn a_disk_is_full_until_it_is_freed_and_gone_with_its_process() {
        let scratch = Scratch::new("disk").unwrap();
        let mut disk = Disk::new(&scratch.0, 2).unwrap();
        if !disk.is_small() {
            eprintln!("SKIPPED: nothing can be mounted here");
            return;
        }
        // It says a byte once it is what it becomes, and ends when nobody writes to it any more.
        let mut command = disk.command(Path::new("cat"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        disk.enter(child.id());
        disk.fill().unwrap();
        let write = || fs::write(disk.seen.join(SPILL), [0_u8; 5_000]);
        assert_eq!(write().unwrap_err().kind(), ErrorKind::StorageFull);
        disk.free().unwrap();
        write().unwrap();
        assert_eq!(disk.spilled().unwrap(), BTreeMap::from([(SPILL.to_owned(), 5_000)]));
        assert_eq!(fs::read_dir(&disk.folder).unwrap().count(), 0, "nobody else sees it");
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn a_recording_is_whole_if_its_header_counts_its_bytes() {
        let scratch = Scratch::new("tapes").unwrap();
        let disk = Disk { folder: scratch.0.clone(), seen: scratch.0.clone(), mib: 1, way: None };
        let day = scratch.0.join("recordings/tenant/2026");
        fs::create_dir_all(&day).unwrap();
        let riff = |counted: u32| [b"RIFF", &counted.to_le_bytes()[..], &[0; 92]].concat();
        for (name, bytes) in [("a.wav", riff(92)), ("b.wav", riff(91)), ("c.wav", vec![1]), ("d.wav.part", riff(92))] {
            fs::write(day.join(name), bytes).unwrap();
        }
        let mut tapes = BTreeMap::new();
        disk.harvest(&mut tapes).unwrap();
        let whole: Vec<(&str, u64, bool)> =
            tapes.iter().map(|(path, tape)| (&path[12..], tape.bytes, tape.whole)).collect();
        assert_eq!(whole, [("a.wav", 100, true), ("b.wav", 100, false), ("c.wav", 1, false)]);
        assert_eq!(fs::read_dir(&day).unwrap().count(), 1, "what is being written stays");
    }
}
