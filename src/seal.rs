//! Sealed files: what is written is unreadable without the key, and cannot be changed, reordered or cut unnoticed.
//!
//! ```text
//! file  = "RAMAL-SEALED-1\n" key-id(8) salt(16) frame* last-frame
//! frame = length(4, big endian, of what follows) ciphertext tag(16)
//! ```
//! Each file has a key of its own, HKDF-SHA256 of the key and its salt. Frames are ChaCha20-Poly1305 with the nonce
//! 0(3) counter(8) last(1): the STREAM construction, so that frames of a killed writer read up to the last whole one.
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
    digest, hkdf,
};
use std::{
    fmt,
    io::{self, Read, Seek, SeekFrom, Write},
};
use thiserror::Error;

const MAGIC: &[u8; 15] = b"RAMAL-SEALED-1\n";
const KEY: usize = 32;
const KEY_ID: usize = 8;
const SALT: usize = 16;
/// Largest frame before sealing: no writer makes larger ones, and no reader believes in them.
const LARGEST: usize = 1 << 20;
const TAG: usize = 16;

/// What files are sealed and opened with.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; KEY]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    /// From 64 hexadecimal digits; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().as_bytes();
        let mut key = [0; KEY];
        if text.len() != 2 * KEY {
            return None;
        }
        for (byte, pair) in key.iter_mut().zip(text.chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(key))
    }

    /// Says which key this is, and nothing else about it.
    pub fn id(&self) -> String {
        hex(&self.id_bytes())
    }

    fn id_bytes(&self) -> [u8; KEY_ID] {
        let digest = digest::digest(&digest::SHA256, &self.0);
        let mut id = [0; KEY_ID];
        id.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
        id
    }

    /// The key of one file.
    fn file(&self, salt: &[u8; SALT]) -> Option<LessSafeKey> {
        self.derived(salt, MAGIC)
    }

    /// A key of its own for one thing; for another salt or purpose it is another.
    pub(crate) fn derived(&self, salt: &[u8], purpose: &[u8]) -> Option<LessSafeKey> {
        let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(&self.0);
        let purpose = [purpose];
        let key = derived.expand(&purpose, &CHACHA20_POLY1305).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(key)))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether more follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// More frames.
    More,
    /// Nothing: without such a frame a file is not whole.
    Nothing,
}

impl Follows {
    const BOTH: [Self; 2] = [Self::More, Self::Nothing];

    fn nonce(self, counter: u64) -> Nonce {
        let mut nonce = [0; 12];
        nonce.iter_mut().skip(3).zip(counter.to_be_bytes()).for_each(|(to, from)| *to = from);
        nonce[11] = u8::from(self == Self::Nothing);
        Nonce::assume_unique_for_key(nonce)
    }
}

/// Seals one file, piece by piece.
#[derive(Debug)]
pub struct Sealer {
    key: LessSafeKey,
    counter: u64,
}

impl Sealer {
    /// A sealer and what the file begins with. No two files of one key may have the same salt.
    ///
    /// # Errors
    /// The cipher cannot be set up.
    pub fn new(key: &Key, salt: [u8; SALT]) -> io::Result<(Self, Vec<u8>)> {
        let file = key.file(&salt).ok_or_else(|| io::Error::other("the cipher cannot be set up"))?;
        let header = [&MAGIC[..], &key.id_bytes(), &salt].concat();
        Ok((Self { key: file, counter: 0 }, header))
    }

    /// The frames for a piece.
    ///
    /// # Errors
    /// The cipher refuses.
    pub fn seal(&mut self, piece: &[u8], follows: Follows) -> io::Result<Vec<u8>> {
        let mut sealed = Vec::new();
        let frames = piece.len().div_ceil(LARGEST).max(1);
        for number in 0..frames {
            let from = number * LARGEST;
            let mut frame = piece.get(from..piece.len().min(from + LARGEST)).unwrap_or_default().to_vec();
            let follows = if number + 1 == frames { follows } else { Follows::More };
            let nonce = follows.nonce(self.counter);
            let done = self.key.seal_in_place_append_tag(nonce, Aad::empty(), &mut frame);
            done.map_err(|_| io::Error::other("the cipher refuses"))?;
            self.counter += 1;
            sealed.extend(u32::try_from(frame.len()).unwrap_or_default().to_be_bytes());
            sealed.extend(frame);
        }
        Ok(sealed)
    }
}

/// Why a file cannot be opened.
#[derive(Debug, Error)]
pub enum Error {
    /// It is something else.
    #[error("this is no sealed recording")]
    NotSealed,
    /// Another key is needed.
    #[error("it is sealed with the key {needed}, and this is {given}")]
    OtherKey {
        /// Its [`Key::id`].
        needed: String,
        /// That of the key that was tried.
        given: String,
    },
    /// A frame was changed, is missing, or is in another's place.
    #[error("it was damaged or changed after {whole} bytes")]
    Damaged {
        /// What was opened before.
        whole: u64,
    },
    /// It cannot be read, or what comes of it cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Whether a file was read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// All of it.
    Whole,
    /// Its writer was killed: everything before is there.
    Torn,
}

/// Opens a sealed file into another.
///
/// # Errors
/// It is none, or of another key, or damaged; what was opened until then has been written.
pub fn open(key: &Key, mut sealed: impl Read, mut plain: impl Write) -> Result<Opened, Error> {
    let (mut magic, mut id, mut salt) = ([0; MAGIC.len()], [0; KEY_ID], [0; SALT]);
    for part in [&mut magic[..], &mut id, &mut salt] {
        sealed.read_exact(part).map_err(|_| Error::NotSealed)?;
    }
    if magic != *MAGIC {
        return Err(Error::NotSealed);
    }
    if id != key.id_bytes() {
        return Err(Error::OtherKey { needed: hex(&id), given: key.id() });
    }
    let file = key.file(&salt).ok_or(Error::NotSealed)?;
    let (mut counter, mut whole) = (0, 0);
    while let Some(frame) = frame(&mut sealed, whole)? {
        let opened = Follows::BOTH.into_iter().find_map(|follows| {
            let mut frame = frame.clone();
            let plain = file.open_in_place(follows.nonce(counter), Aad::empty(), &mut frame).ok()?;
            Some((follows, plain.to_vec()))
        });
        let Some((follows, bytes)) = opened else { return Err(Error::Damaged { whole }) };
        plain.write_all(&bytes)?;
        whole += bytes.len() as u64;
        counter += 1;
        if follows == Follows::Nothing {
            // What comes behind the end was put there by somebody else.
            let more = sealed.read(&mut [0])? > 0;
            return if more { Err(Error::Damaged { whole }) } else { Ok(Opened::Whole) };
        }
    }
    Ok(Opened::Torn)
}

/// How long a sealed file is once it is opened, as it says itself: what it holds is proved when it is opened.
///
/// # Errors
/// It is none, or cannot be read.
pub fn length(mut sealed: impl Read + Seek) -> Result<u64, Error> {
    let end = sealed.seek(SeekFrom::End(0))?;
    sealed.seek(SeekFrom::Start(0))?;
    let mut magic = [0; MAGIC.len()];
    if !filled(&mut sealed, &mut magic)? || magic != *MAGIC {
        return Err(Error::NotSealed);
    }
    let (mut at, mut whole) = ((MAGIC.len() + KEY_ID + SALT) as u64, 0);
    loop {
        sealed.seek(SeekFrom::Start(at))?;
        let mut length = [0; 4];
        if !filled(&mut sealed, &mut length)? {
            return Ok(whole);
        }
        let length = u64::from(u32::from_be_bytes(length));
        if !(TAG as u64..=(LARGEST + TAG) as u64).contains(&length) {
            return Err(Error::Damaged { whole });
        }
        at += 4 + length;
        if at > end {
            return Ok(whole);
        }
        whole += length - TAG as u64;
    }
}

/// The next frame; `None` where the file ends, be it within a frame.
fn frame(sealed: &mut impl Read, whole: u64) -> Result<Option<Vec<u8>>, Error> {
    let mut length = [0; 4];
    if !filled(sealed, &mut length)? {
        return Ok(None);
    }
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if !(TAG..=LARGEST + TAG).contains(&length) {
        return Err(Error::Damaged { whole });
    }
    let mut frame = vec![0; length];
    Ok(filled(sealed, &mut frame)?.then_some(frame))
}

fn filled(sealed: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match sealed.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key::parse(&format!("{byte:02x}").repeat(32)).unwrap()
    }

    fn sealed(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut sealer, mut file) = Sealer::new(&key(7), [9; SALT]).unwrap();
        for piece in pieces {
            file.extend(sealer.seal(piece, Follows::More).unwrap());
        }
        file.extend(sealer.seal(&[], Follows::Nothing).unwrap());
        file
    }

    fn opened(file: &[u8]) -> (Result<Opened, Error>, Vec<u8>) {
        let mut plain = Vec::new();
        (open(&key(7), file, &mut plain), plain)
    }

    #[test]
    fn what_is_sealed_opens_and_does_not_show() {
        let large = vec![5; LARGEST + 10];
        let file = sealed(&[b"hello", &large]);
        assert!(!file.windows(5).any(|window| window == b"hello"));
        let (result, plain) = opened(&file);
        assert!(matches!(result, Ok(Opened::Whole)));
        assert_eq!(plain, [b"hello", &large[..]].concat());
    }

    #[test]
    fn what_a_killed_writer_leaves_reads_up_to_the_last_whole_frame() {
        let file = sealed(&[b"one", b"two"]);
        let end = 4 + TAG; // the last frame is empty
        for (cut, plain) in [(end, &b"onetwo"[..]), (end + 1, b"one")] {
            let (result, read) = opened(&file[..file.len() - cut]);
            assert!(matches!(result, Ok(Opened::Torn)));
            assert_eq!(read, plain);
        }
    }

    #[test]
    fn whatever_is_changed_is_noticed() {
        let file = sealed(&[b"one", b"two"]);
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 1;
            let (result, plain) = opened(&changed);
            assert!(!matches!(result, Ok(Opened::Whole)), "byte {at}");
            assert!(b"onetwo".starts_with(&plain), "byte {at}");
        }
        let frame = 4 + 3 + TAG;
        let header = MAGIC.len() + KEY_ID + SALT;
        let mut swapped = file.clone();
        swapped[header..header + 2 * frame].rotate_left(frame);
        assert!(matches!(opened(&swapped).0, Err(Error::Damaged { whole: 0 })));
        assert!(matches!(opened(&[&file[..], b"x"].concat()).0, Err(Error::Damaged { whole: 6 })));
    }

    #[test]
    fn another_key_is_named_and_no_key_is_shown() {
        let result = open(&key(8), &sealed(&[b"one"])[..], io::sink());
        let needed = key(7).id();
        assert!(matches!(result, Err(Error::OtherKey { needed: n, .. }) if n == needed));
        assert_eq!(format!("{:?}", key(7)), "Key(…)");
        assert!(Key::parse("07").is_none() && Key::parse(&"zz".repeat(32)).is_none());
        assert!(matches!(open(&key(7), &b"RIFF"[..], io::sink()), Err(Error::NotSealed)));
    }
}
