//! One file: blocks in, and at the end a name without `.part`. All of it blocks.
use super::{corrections, folder, listing::Listing};
use crate::{
    config::RecordingFormat,
    disk,
    record::{Conversation, Recording, Span, State},
    seal::{Follows, Key, Sealer},
};
use media::{
    SampleRate,
    recording::{Block, ogg, wav},
};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    path::PathBuf,
    time::Duration,
};
use uuid::Uuid;

/// Gaps that are listed; of further ones the last grows.
const LISTED_GAPS: usize = 256;
/// Silence that is written at a time.
const SILENCE: u64 = 16_000;
const CHANNELS: usize = 2;

/// A file to be made.
#[derive(Debug)]
pub(super) struct Request {
    /// The folder of recordings.
    pub(super) directory: PathBuf,
    /// The file's path within it.
    pub(super) path: String,
    /// What is kept of the conversation if this process dies before it has a record.
    pub(super) record: Box<Conversation>,
    pub(super) format: RecordingFormat,
    pub(super) rate: SampleRate,
    /// What it is sealed with.
    pub(super) key: Option<Key>,
    pub(super) listing: Listing,
}

/// A file in the making. It is locked, so that another process that starts does not take it for an orphan.
#[derive(Debug)]
pub(super) struct Tapefile {
    directory: PathBuf,
    path: String,
    listing: Listing,
    file: File,
    sealer: Option<Sealer>,
    encoding: Encoding,
    rate: SampleRate,
    /// Frames written.
    at: u64,
    gaps: Vec<Span>,
    /// A piece did not fit: nothing goes behind it.
    torn: bool,
}

#[derive(Debug)]
enum Encoding {
    /// With so many bytes of samples.
    Wav(u64),
    Opus(Box<ogg::Writer>),
}

/// What became of a file.
#[derive(Debug)]
pub(super) struct Closed {
    pub(super) file: Option<Kept>,
    /// The path of a file that could not be closed: it is there without its name, and gets that at the next start.
    left: Option<String>,
    /// How much of the call it has.
    duration: Duration,
    gaps: Vec<Span>,
    problem: Option<String>,
}

/// A file that is there.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) path: String,
    pub(super) bytes: u64,
    sha256: String,
}

impl Tapefile {
    pub(super) fn create(request: Request) -> io::Result<Self> {
        let Request { directory, path, record, format, rate, key, listing } = request;
        let whole = directory.join(&path);
        if let Some(parent) = whole.parent() {
            folder::make(parent)?;
        }
        listing.begin(&path, &record)?;
        let unlist = listing.clone();
        let begun = folder::create(&folder::part(&whole)).and_then(|file| {
            let encoding = match format {
                RecordingFormat::Wav => Encoding::Wav(0),
                RecordingFormat::Opus => Encoding::Opus(Box::new(ogg::Writer::new(rate).map_err(io::Error::other)?)),
            };
            let (sealer, gaps) = (None, Vec::new());
            let tape = Self { directory, path, listing, file, sealer, encoding, rate, at: 0, gaps, torn: false };
            // On a full disk there is room for a name, and for nothing else.
            tape.begin(key.as_ref()).inspect_err(|_| drop(fs::remove_file(folder::part(&whole))))
        });
        begun.inspect_err(|_| unlist.forget())
    }

    /// Writes what stands before everything else.
    fn begin(mut self, key: Option<&Key>) -> io::Result<Self> {
        self.file.lock()?;
        if let Some(key) = key {
            self.seal_with(key)?;
        }
        self.append(&[])?;
        Ok(self)
    }

    fn seal_with(&mut self, key: &Key) -> io::Result<()> {
        let (sealer, header) = Sealer::new(key, *Uuid::new_v4().as_bytes())?;
        self.file.write_all(&header)?;
        self.sealer = Some(sealer);
        match self.encoding {
            // Nothing that is sealed can be mended: it claims to be as long as can be.
            Encoding::Wav(_) => self.put(&wav::header(self.rate, wav::LARGEST), Follows::More),
            Encoding::Opus(_) => Ok(()),
        }
    }

    /// Appends blocks; where some are missing there is silence, and a gap in the list.
    pub(super) fn write(&mut self, blocks: &[Block]) -> io::Result<()> {
        let mut samples = Vec::new();
        for block in blocks {
            if block.at > self.at + frames(&samples) {
                self.add(&std::mem::take(&mut samples))?;
                self.gap(block.at)?;
            }
            samples.extend_from_slice(&block.samples);
        }
        self.add(&samples)
    }

    fn add(&mut self, samples: &[i16]) -> io::Result<()> {
        self.append(samples)?;
        self.at += frames(samples);
        Ok(())
    }

    /// The file gets its name. `problem` is why it ends early.
    pub(super) fn close(mut self, problem: Option<String>) -> Closed {
        let (gaps, duration, path) = (std::mem::take(&mut self.gaps), self.time(self.at), self.path.clone());
        match self.keep() {
            Ok(kept) => Closed { file: Some(kept), left: None, duration, gaps, problem },
            Err(error) => {
                let problem = problem.or_else(|| Some(error.to_string()));
                Closed { file: None, left: Some(path), duration, gaps, problem }
            }
        }
    }

    fn keep(mut self) -> io::Result<Kept> {
        let last = match std::mem::replace(&mut self.encoding, Encoding::Wav(0)) {
            Encoding::Wav(_) => Vec::new(),
            Encoding::Opus(writer) => writer.finish().map_err(io::Error::other)?,
        };
        if self.sealer.is_some() || !last.is_empty() {
            // On a full disk the end may not fit: what is there is good without it.
            let _ = self.put(&last, Follows::Nothing);
        }
        let Self { directory, path, listing, mut file, .. } = self;
        let (bytes, sha256) = digest(&mut file)?;
        let whole = directory.join(&path);
        // Once its entry is gone, nobody looks after it when the power is back.
        file.sync_data()?;
        fs::rename(folder::part(&whole), &whole)?;
        disk::sync_names_beside(&whole);
        listing.safe();
        Ok(Kept { path, bytes, sha256: hex(&sha256) })
    }

    /// Appends bytes as they lie in the file. What does not fit is cut off again, and nothing follows it: whoever opens
    /// a sealed file counts its frames, and takes one that is missing for an attack.
    fn put(&mut self, bytes: &[u8], follows: Follows) -> io::Result<()> {
        if self.torn {
            return Err(io::Error::other("the piece before did not fit"));
        }
        let end = self.file.stream_position()?;
        let written = match &mut self.sealer {
            Some(sealer) => sealer.seal(bytes, follows).and_then(|sealed| self.file.write_all(&sealed)),
            None => self.file.write_all(bytes),
        };
        if written.is_err() {
            self.torn = true;
            // Without this a part of it stays behind the end.
            let _ = self.file.set_len(end);
        }
        written
    }

    fn gap(&mut self, end: u64) -> io::Result<()> {
        let span = Span { from: self.time(self.at), to: self.time(end) };
        let full = self.gaps.len() >= LISTED_GAPS;
        match self.gaps.last_mut().filter(|_| full) {
            Some(last) => last.to = span.to,
            None => self.gaps.push(span),
        }
        while self.at < end {
            let frames = (end - self.at).min(SILENCE);
            self.add(&vec![0; frames as usize * CHANNELS])?;
        }
        Ok(())
    }

    fn time(&self, frames: u64) -> Duration {
        self.rate.duration_of(usize::try_from(frames).unwrap_or(usize::MAX))
    }

    fn append(&mut self, samples: &[i16]) -> io::Result<()> {
        match &mut self.encoding {
            Encoding::Wav(data) => {
                let bytes = wav::bytes(samples);
                let end = *data + bytes.len() as u64;
                if end > wav::LARGEST {
                    return Err(io::Error::new(io::ErrorKind::FileTooLarge, "a WAV file holds no more than 4 GiB"));
                }
                let from = std::mem::replace(data, end);
                if self.sealer.is_some() {
                    return if bytes.is_empty() { Ok(()) } else { self.put(&bytes, Follows::More) };
                }
                let (place, header) = (wav::HEADER as u64 + from, wav::header(self.rate, end));
                let written = self.file.write_all_at(&bytes, place).and_then(|()| self.file.write_all_at(&header, 0));
                if written.is_err() {
                    // A full disk may have taken a part, which no header counts. Without this it stays behind the end.
                    let _ = self.file.set_len(place);
                }
                written
            }
            Encoding::Opus(writer) => {
                let pages = writer.push(samples).map_err(io::Error::other)?;
                if pages.is_empty() { Ok(()) } else { self.put(&pages, Follows::More) }
            }
        }
    }
}

fn frames(samples: &[i16]) -> u64 {
    (samples.len() / CHANNELS) as u64
}

/// Length and SHA-256 of a file.
pub(super) fn digest(file: &mut File) -> io::Result<(u64, [u8; 32])> {
    file.seek(SeekFrom::Start(0))?;
    let (mut hash, mut length, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hash.update(buffer.get(..read).unwrap_or_default());
        length += read as u64;
    }
    Ok((length, hash.finalize().into()))
}

pub(super) fn hex(sha256: &[u8]) -> String {
    sha256.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Closed {
    /// There never was a file.
    pub(super) fn failed(error: &io::Error) -> Self {
        Self { file: None, left: None, duration: Duration::ZERO, gaps: Vec::new(), problem: Some(error.to_string()) }
    }

    /// What a record is to say of the file, if there is one, that knows all but that.
    pub(super) fn of_file(&self) -> Option<serde_json::Value> {
        let Kept { bytes, sha256, .. } = self.file.as_ref()?;
        Some(corrections::of_file(self.duration, *bytes, sha256))
    }

    /// The record of a recording whose call lasted as `recording` says.
    pub(super) fn describe(self, recording: Recording) -> Recording {
        let Self { file, left, duration, mut gaps, problem } = self;
        if problem.is_none() && duration < recording.duration {
            gaps.push(Span { from: duration, to: recording.duration });
        }
        let state = match (&file, &left, &problem) {
            (None, None, _) => State::Failed,
            (Some(_), _, None) => State::Complete,
            (Some(_), _, Some(_)) | (None, Some(_), _) => State::Partial,
        };
        let duration = match state {
            State::Partial => duration.min(recording.duration),
            State::Complete | State::Failed => recording.duration,
        };
        let described = Recording { state, duration, gaps, problem, ..recording };
        match file {
            None => Recording { path: left, ..described },
            Some(Kept { path, bytes, sha256 }) => {
                Recording { path: Some(path), bytes: Some(bytes), sha256: Some(sha256), ..described }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        drivers::recorder::tests::{begun, listing},
        seal::{self, Opened},
    };

    const NAME: &str = "call.wav.sealed";
    const RATE: SampleRate = SampleRate::HZ_8000;

    /// A disk that is full for a moment, and has room for the last frame again.
    #[test]
    fn nothing_is_sealed_behind_a_piece_that_did_not_fit() {
        let directory = std::env::temp_dir().join(format!("ramal-tapefile-{}", Uuid::new_v4()));
        fs::create_dir(&directory).unwrap();
        let key = Key::parse(&"5a".repeat(32)).unwrap();
        let request = Request {
            directory: directory.clone(),
            path: NAME.into(),
            record: Box::new(begun(Uuid::from_u128(2))),
            format: RecordingFormat::Wav,
            rate: RATE,
            key: Some(key.clone()),
            listing: listing(&directory),
        };
        let mut tape = Tapefile::create(request).unwrap();
        let block = |at| Block { at, rate: RATE, samples: vec![7; 320] };
        tape.write(&[block(0)]).unwrap();
        // A file that is open for reading takes nothing.
        let full = File::open(folder::part(&directory.join(NAME))).unwrap();
        let file = std::mem::replace(&mut tape.file, full);
        let problem = tape.write(&[block(160)]).unwrap_err().to_string();
        tape.file = file;
        assert!(tape.close(Some(problem)).file.is_some());
        let (sealed, mut plain) = (File::open(directory.join(NAME)).unwrap(), Vec::new());
        let opened = seal::open(&key, sealed, &mut plain);
        assert!(matches!(opened, Ok(Opened::Torn)), "{opened:?}");
        assert_eq!(plain.len(), wav::HEADER + 640);
        fs::remove_dir_all(directory).unwrap();
    }
}
