//! Recordings for whoever may hear them: opened, whole or in part, a piece at a time.
use super::folder::SEALED;
use crate::{
    api::{Kept, Silence, Sound, Wanted},
    config,
    seal::{self, Key},
    seats::Seats,
};
use anyhow::Context;
use axum::body::{Body, Bytes};
use futures_util::stream;
use media::recording::wav;
use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc},
    task::spawn_blocking,
    time::{Instant, timeout_at},
};
use uuid::Uuid;

/// Recordings that are read at once; each has a thread while somebody takes it.
const READERS: usize = 16;
/// Of them those of one tenant …
const OF_TENANT: usize = 4;
/// … and those for one token, which may be for all tenants.
const OF_TOKEN: usize = 8;
/// Pieces that may wait for the one who takes them.
const PIECES: usize = 4;
const PIECE: usize = 64 * 1_024;
/// Whoever takes nothing for so long gets nothing more, nor does whoever lags so far behind [`LOWEST`].
const STALL: Duration = Duration::from_secs(30);
/// Bytes a second: half of what Opus takes, played as it comes.
const LOWEST: u64 = 2 * 1_024;

/// The folder of recordings, to read.
#[derive(Debug)]
pub(in crate::drivers) struct Sounds {
    directory: PathBuf,
    node: String,
    key: Option<Key>,
    room: Arc<Semaphore>,
    tenants: Seats<Uuid>,
    tokens: Seats<String>,
}

/// A file that is there.
struct Tape {
    file: File,
    length: u64,
    kind: &'static str,
    /// What its first bytes should be: a sealed WAV file was written before its length was known.
    header: Option<[u8; wav::HEADER]>,
    key: Option<Key>,
}

impl Sounds {
    /// The folder of this configuration.
    pub(in crate::drivers) fn new(config: &config::Recording) -> Self {
        Self {
            directory: config.directory.clone(),
            node: config.node.clone(),
            key: config.key.clone(),
            room: Arc::new(Semaphore::new(READERS)),
            tenants: Seats::new(OF_TENANT),
            tokens: Seats::new(OF_TOKEN),
        }
    }

    /// Opens a recording of a tenant for a token, in that tenant's folder and nowhere else, whatever its row says.
    ///
    /// # Errors
    /// There is none here, or too many are read.
    pub(in crate::drivers) async fn open(&self, kept: &Kept, token: &str, wanted: Wanted) -> Result<Sound, Silence> {
        let recording = kept.recording.as_ref().ok_or(Silence::Absent)?;
        let own = recording.is_of(kept.domain, kept.conversation);
        let path = recording.path.as_deref().filter(|_| own).ok_or(Silence::Absent)?;
        let of_tenant = self.tenants.take(kept.domain).ok_or(Silence::Busy)?;
        let of_token = self.tokens.take(token.to_owned()).ok_or(Silence::Busy)?;
        let permit = Arc::clone(&self.room).try_acquire_owned().map_err(|_| Silence::Busy)?;
        let (place, key) = (self.directory.join(path), self.key.clone());
        let opened = spawn_blocking(move || tape(&place, key)).await.context("opening a recording broke")?;
        let elsewhere = recording.store.as_ref().or(recording.node.as_ref().filter(|node| **node != self.node));
        let tape = match (opened?, elsewhere) {
            (Some(tape), _) => tape,
            (None, Some(place)) => return Err(Silence::Elsewhere(place.clone())),
            (None, None) => return Err(Silence::Absent),
        };
        let (kind, length) = (tape.kind, tape.length);
        let range = wanted.of(length);
        if range.is_none() && wanted != Wanted::All {
            return Err(Silence::Beyond(length));
        }
        let (pieces, taken) = mpsc::channel(PIECES);
        if let Some(range) = range.clone() {
            let runtime = Handle::current();
            // It ends with its file, or when nobody takes it any more.
            drop(spawn_blocking(move || {
                let failed = pieces.clone();
                let (began, sent) = (Instant::now(), 0);
                let window = Window { at: 0, range, header: tape.header, pieces, runtime, began, sent };
                if let Err(error) = play(tape.file, tape.key, window) {
                    // Whoever takes it must see that it is not whole.
                    let _ = failed.try_send(Err(error));
                }
                drop((of_tenant, of_token, permit));
            }));
        }
        let body = stream::unfold(taken, |mut taken| async move { taken.recv().await.map(|piece| (piece, taken)) });
        Ok(Sound { kind, length, range, body: Body::from_stream(body) })
    }
}

fn tape(place: &Path, key: Option<Key>) -> Result<Option<Tape>, Silence> {
    let mut file = match File::open(place) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(anyhow::Error::from(error).context(place.display().to_string()).into()),
    };
    let broken = |error: anyhow::Error| Silence::Broken(error.context(place.display().to_string()));
    let name = place.to_str().unwrap_or_default();
    let (plain, sealed) = name.strip_suffix(SEALED).map_or((name, false), |plain| (plain, true));
    let kind = if plain.ends_with(".wav") { "audio/wav" } else { "audio/ogg" };
    if !sealed {
        let length = file.metadata().map_err(|error| broken(error.into()))?.len();
        return Ok(Some(Tape { file, length, kind, header: None, key: None }));
    }
    let key = key.context("it is sealed, and [recording] has no key").map_err(broken)?;
    let length = seal::length(BufReader::new(&file)).map_err(|error| broken(error.into()))?;
    let mut beginning = Beginning::default();
    file.seek(SeekFrom::Start(0)).map_err(|error| broken(error.into()))?;
    // What is read of it stops where the beginning is full, which is no failure.
    match seal::open(&key, BufReader::new(&file), &mut beginning) {
        Ok(_) | Err(seal::Error::Io(_)) => {}
        Err(error) => return Err(broken(error.into())),
    }
    let header = wav::repaired(&beginning.0, length);
    file.seek(SeekFrom::Start(0)).map_err(|error| broken(error.into()))?;
    Ok(Some(Tape { file, length, kind, header, key: Some(key) }))
}

/// The first bytes of a file.
#[derive(Default)]
struct Beginning(Vec<u8>);

impl Write for Beginning {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() >= wav::HEADER {
            return Err(io::Error::other("that is enough"));
        }
        self.0.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn play(mut file: File, key: Option<Key>, mut window: Window) -> io::Result<()> {
    let last = *window.range.end();
    let played = match key {
        Some(key) => match seal::open(&key, BufReader::new(file), &mut window) {
            Ok(_) => Ok(()),
            Err(seal::Error::Io(error)) => Err(error),
            Err(error) => Err(io::Error::other(error)),
        },
        None => {
            window.at = *window.range.start();
            file.seek(SeekFrom::Start(window.at))?;
            let mut piece = vec![0; PIECE];
            loop {
                let read = file.read(&mut piece)?;
                let Some(read) = piece.get(..read).filter(|read| !read.is_empty()) else { break Ok(()) };
                if let Err(error) = window.write_all(read) {
                    break Err(error);
                }
            }
        }
    };
    // Behind its end a window takes nothing, and says so.
    if window.at > last { Ok(()) } else { played }
}

/// Sends what is within a range, in pieces.
struct Window {
    /// Where in the file the next byte is.
    at: u64,
    range: RangeInclusive<u64>,
    header: Option<[u8; wav::HEADER]>,
    pieces: mpsc::Sender<io::Result<Bytes>>,
    runtime: Handle,
    began: Instant,
    /// So many bytes were taken, or wait.
    sent: u64,
}

impl Window {
    /// When the next piece has to be taken: who reads as slowly as can be has a thread for no longer than others.
    fn deadline(&self, now: Instant) -> Instant {
        (self.began + Duration::from_secs(self.sent / LOWEST)).min(now) + STALL
    }

    /// Of bytes that begin at `at` those within the range, with the header they should have.
    fn within(&self, bytes: &[u8]) -> Vec<u8> {
        let header = |at: u64| self.header.as_ref().and_then(|header| header.get(usize::try_from(at).ok()?)).copied();
        let numbered = (self.at..).zip(bytes);
        numbered.filter(|(at, _)| self.range.contains(at)).map(|(at, byte)| header(at).unwrap_or(*byte)).collect()
    }
}

impl Write for Window {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.at > *self.range.end() {
            return Err(io::Error::other("that is all"));
        }
        for piece in bytes.chunks(PIECE) {
            let within = self.within(piece);
            self.at += piece.len() as u64;
            if !within.is_empty() {
                let deadline = self.deadline(Instant::now());
                self.sent += within.len() as u64;
                let sent = timeout_at(deadline, self.pieces.send(Ok(within.into())));
                let sent = self.runtime.block_on(sent).map_err(|_| io::Error::other("nobody takes it"))?;
                sent.map_err(|_| io::Error::other("nobody wants it any more"))?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Environment,
        record::{Recording, State},
        seal::{Follows, Sealer},
    };
    use axum::body::to_bytes;
    use tokio::time::{sleep, timeout};

    fn recording(path: &str) -> Recording {
        Recording {
            state: State::Complete,
            path: Some(path.to_owned()),
            duration: Duration::ZERO,
            bytes: None,
            sha256: None,
            key_id: None,
            store: None,
            node: None,
            released: None,
            pauses: Vec::new(),
            gaps: Vec::new(),
            problem: None,
        }
    }

    fn sounds(folder: &Path) -> Sounds {
        let text = format!("[recording]\ndirectory = \"{}\"\nkey = \"{}\"\n", folder.display(), "07".repeat(32));
        Sounds::new(&config::Config::parse(&text, "test", &Environment::new()).unwrap().recording)
    }

    fn kept(domain: Uuid, recording: Recording) -> Kept {
        Kept { domain, conversation: Uuid::nil(), recording: Some(recording) }
    }

    async fn bytes(sounds: &Sounds, domain: Uuid, path: &str, wanted: Wanted) -> Vec<u8> {
        let sound = sounds.open(&kept(domain, recording(path)), "token", wanted).await.unwrap();
        to_bytes(sound.body, usize::MAX).await.unwrap().to_vec()
    }

    #[tokio::test]
    async fn a_recording_is_read_whole_and_in_part_sealed_or_not() {
        let folder = std::env::temp_dir().join(format!("ramal-sounds-{}", Uuid::new_v4()));
        let domain = Uuid::new_v4();
        std::fs::create_dir_all(folder.join(domain.to_string())).unwrap();
        // As a killed or a sealing writer leaves it: the header says that the file is as long as can be.
        let mut sound = wav::header(media::SampleRate::new(8_000).unwrap(), u64::from(u32::MAX)).to_vec();
        sound.extend((0..200_000_u32).map(|number| u8::try_from(number % 251).unwrap()));
        let mended = wav::repaired(&sound, sound.len() as u64).unwrap();
        let (mut sealer, mut sealed) = Sealer::new(&Key::parse(&"07".repeat(32)).unwrap(), [1; 16]).unwrap();
        for (number, piece) in sound.chunks(70_000).enumerate() {
            let follows = if number == 2 { Follows::Nothing } else { Follows::More };
            sealed.extend(sealer.seal(piece, follows).unwrap());
        }
        let paths = [format!("{domain}/a.wav"), format!("{domain}/b.wav.sealed")];
        std::fs::write(folder.join(&paths[0]), &sound).unwrap();
        std::fs::write(folder.join(&paths[1]), &sealed).unwrap();
        let sounds = sounds(&folder);
        let mut opened = sound.clone();
        opened[..wav::HEADER].copy_from_slice(&mended);
        for (path, whole) in paths.iter().zip([&sound, &opened]) {
            assert_eq!(bytes(&sounds, domain, path, Wanted::All).await, *whole, "{path}");
            for (wanted, range) in [
                (Wanted::From(0, Some(43)), 0..44),
                (Wanted::From(30, Some(99)), 30..100),
                (Wanted::From(69_999, Some(70_001)), 69_999..70_002),
                (Wanted::Last(5), whole.len() - 5..whole.len()),
            ] {
                assert_eq!(bytes(&sounds, domain, path, wanted).await, whole[range], "{path} {wanted:?}");
            }
            let beyond = sounds.open(&kept(domain, recording(path)), "token", Wanted::From(1 << 40, None)).await;
            assert!(matches!(beyond, Err(Silence::Beyond(length)) if length == whole.len() as u64));
            let other = sounds.open(&kept(Uuid::new_v4(), recording(path)), "token", Wanted::All).await;
            assert!(matches!(other, Err(Silence::Absent)), "another tenant's file is no file");
        }
        let up = format!("{domain}/../{domain}/a.wav");
        assert!(matches!(sounds.open(&kept(domain, recording(&up)), "token", Wanted::All).await, Err(Silence::Absent)));
        let missing = Recording { store: Some("s3://b/k".into()), ..recording(&format!("{domain}/none.wav")) };
        assert!(matches!(sounds.open(&kept(domain, missing), "token", Wanted::All).await, Err(Silence::Elsewhere(_))));
        sealed[200] ^= 1;
        std::fs::write(folder.join(&paths[1]), &sealed).unwrap();
        assert!(matches!(
            sounds.open(&kept(domain, recording(&paths[1])), "token", Wanted::All).await,
            Err(Silence::Broken(_))
        ));
        std::fs::remove_dir_all(folder).unwrap();
    }
    #[tokio::test]
    async fn no_tenant_and_no_token_takes_all_the_places() {
        let folder = std::env::temp_dir().join(format!("ramal-sounds-{}", Uuid::new_v4()));
        let tenants: Vec<Uuid> = (0..5).map(|_| Uuid::new_v4()).collect();
        for tenant in &tenants {
            std::fs::create_dir_all(folder.join(tenant.to_string())).unwrap();
            // More than waits for who does not take it.
            std::fs::write(folder.join(format!("{tenant}/a.wav")), vec![0_u8; (PIECES + 4) * PIECE]).unwrap();
        }
        let sounds = sounds(&folder);
        let open = async |tenant: usize, token: &str| {
            let kept = kept(tenants[tenant], recording(&format!("{}/a.wav", tenants[tenant])));
            sounds.open(&kept, token, Wanted::All).await
        };
        let mut read = Vec::new();
        for (tenant, token) in [(0, "all"), (1, "all")] {
            for _ in 0..OF_TENANT {
                read.push(open(tenant, token).await.unwrap());
            }
            assert!(matches!(open(tenant, "own").await, Err(Silence::Busy)), "the tenant has as many as it may");
        }
        assert!(matches!(open(2, "all").await, Err(Silence::Busy)), "the token has as many as it may");
        for (tenant, token) in [(2, "two"), (3, "three")] {
            for _ in 0..OF_TENANT {
                read.push(open(tenant, token).await.unwrap());
            }
        }
        assert!(matches!(open(4, "four").await, Err(Silence::Busy)), "there are no more threads");
        // Who goes away makes room.
        read.truncate(1);
        let room = async {
            while open(4, "four").await.is_err() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(20), room).await.unwrap();
        drop(read);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn whoever_takes_too_little_is_left() {
        let (pieces, _taken) = mpsc::channel(1);
        let (began, header, runtime) = (Instant::now(), None, Handle::current());
        let mut window = Window { at: 0, range: 0..=9, header, pieces, runtime, began, sent: 0 };
        assert_eq!(window.deadline(began), began + STALL);
        assert_eq!(window.deadline(began + STALL), began + STALL, "a piece now and then is not enough");
        window.sent = 60 * LOWEST;
        assert_eq!(window.deadline(began + STALL), began + STALL * 2, "nobody waits longer for one who was quick");
        assert_eq!(window.deadline(began + STALL * 9), began + STALL * 3);
    }
}
