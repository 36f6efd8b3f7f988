//! Secrets of tenants as they are stored: unreadable without a master key, and worth nothing in another tenant's row.
//! PURE.
//!
//! ```text
//! text  = "v1." key-id "." base64url( salt(16) ciphertext tag(16) )
//! ```
//! Each value has a key of its own, HKDF-SHA256 of the master key and the salt (as [`crate::seal`] does for files), and
//! is bound to its tenant and provider as additional data of ChaCha20-Poly1305: moved elsewhere it does not open.
use crate::{config::Secret, seal::Key};
use ring::aead::{Aad, LessSafeKey, Nonce};
use thiserror::Error;
use uuid::Uuid;

const VERSION: &str = "v1";
/// What keys are derived for, so that none of them is that of a file.
const PURPOSE: &[u8] = b"RAMAL-TENANT-KEY-1";
const SALT: usize = 16;
/// Hexadecimal digits of [`Key::id`].
const KEY_ID: usize = 16;

/// The master keys: values are sealed with the first, and opened with whichever sealed them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keyring(Vec<Key>);

/// Where a value belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The tenant.
    pub domain: Uuid,
    /// As in the `realtime_provider` column.
    pub provider: &'a str,
}

impl Place<'_> {
    fn bytes(&self) -> Vec<u8> {
        [self.domain.as_bytes(), self.provider.as_bytes()].concat()
    }
}

/// Why a value cannot be sealed or opened. Says nothing of the value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// There is none at all.
    #[error("there is no master key: set [secrets] master_keys")]
    NoKey,
    /// It is of a key that is not ours.
    #[error("it is sealed with the master key {0}, which [secrets] master_keys does not have")]
    OtherKey(String),
    /// It is not as we write them.
    #[error("it is no sealed secret; `ramal keys set` makes one")]
    NotSealed,
    /// It was changed, or sealed for another tenant or provider.
    #[error("it was changed, or sealed for another tenant or provider; set it again with `ramal keys set`")]
    Elsewhere,
}

impl Keyring {
    /// Of these keys, the one to seal with first.
    pub const fn new(keys: Vec<Key>) -> Self {
        Self(keys)
    }

    /// Seals a value. No two values of one master key may have the same salt.
    ///
    /// # Errors
    /// There is no key.
    pub fn seal(&self, secret: &Secret, place: &Place<'_>, salt: [u8; SALT]) -> Result<String, Error> {
        let master = self.0.first().ok_or(Error::NoKey)?;
        let key = own(master, &salt).ok_or(Error::NoKey)?;
        let mut sealed = secret.expose().as_bytes().to_vec();
        key.seal_in_place_append_tag(nonce(), Aad::from(place.bytes()), &mut sealed).map_err(|_| Error::NoKey)?;
        let bytes = base64_simd::URL_SAFE_NO_PAD.encode_to_string([&salt[..], &sealed].concat());
        Ok(format!("{VERSION}.{}.{bytes}", master.id()))
    }

    /// Opens a value.
    ///
    /// # Errors
    /// It is none of ours, of another key, or of another place.
    pub fn open(&self, text: &str, place: &Place<'_>) -> Result<Secret, Error> {
        let (id, bytes) = parts(text).ok_or(Error::NotSealed)?;
        if self.0.is_empty() {
            return Err(Error::NoKey);
        }
        let master = self.0.iter().find(|key| key.id() == id).ok_or_else(|| Error::OtherKey(id.to_owned()))?;
        let mut bytes = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(bytes).map_err(|_| Error::NotSealed)?;
        let (salt, sealed) = bytes.split_first_chunk_mut::<SALT>().ok_or(Error::NotSealed)?;
        let key = own(master, salt).ok_or(Error::NoKey)?;
        let plain = key.open_in_place(nonce(), Aad::from(place.bytes()), sealed).map_err(|_| Error::Elsewhere)?;
        std::str::from_utf8(plain).map(Secret::new).map_err(|_| Error::NotSealed)
    }

    /// Whether a value is sealed with the key that new ones are sealed with.
    pub fn is_current(&self, text: &str) -> bool {
        let current = self.0.first().map(Key::id);
        parts(text).is_some_and(|(id, _)| Some(id) == current.as_deref())
    }
}

/// Which master key a value is sealed with; `None` if it is no sealed value.
pub fn key_id(text: &str) -> Option<&str> {
    parts(text).map(|(id, _)| id)
}

fn parts(text: &str) -> Option<(&str, &str)> {
    let (id, bytes) = text.trim().strip_prefix(VERSION)?.strip_prefix('.')?.split_once('.')?;
    (id.len() == KEY_ID).then_some((id, bytes))
}

fn own(master: &Key, salt: &[u8; SALT]) -> Option<LessSafeKey> {
    master.derived(salt, PURPOSE)
}

/// A key of its own for each value needs no second nonce.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key::parse(&format!("{byte:02x}").repeat(32)).unwrap()
    }

    fn place(domain: u128) -> Place<'static> {
        Place { domain: Uuid::from_u128(domain), provider: "openai" }
    }

    fn ring(bytes: &[u8]) -> Keyring {
        Keyring::new(bytes.iter().map(|byte| key(*byte)).collect())
    }

    fn sealed(ring: &Keyring) -> String {
        ring.seal(&Secret::new("sk-1"), &place(1), [9; SALT]).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_at_its_place_and_nowhere_else() {
        let ring = ring(&[7]);
        let text = sealed(&ring);
        assert!(text.starts_with(&format!("v1.{}.", key(7).id())) && !text.contains("sk-1"), "{text}");
        assert_eq!(ring.open(&text, &place(1)).unwrap().expose(), "sk-1");
        assert_eq!(ring.open(&text, &place(2)), Err(Error::Elsewhere));
        let other = Place { provider: "gemini", ..place(1) };
        assert_eq!(ring.open(&text, &other), Err(Error::Elsewhere));
    }

    #[test]
    fn an_older_key_opens_what_it_sealed_and_the_first_seals_anew() {
        let text = sealed(&ring(&[7]));
        let rotated = ring(&[8, 7]);
        assert!(ring(&[7]).is_current(&text) && !rotated.is_current(&text));
        let secret = rotated.open(&text, &place(1)).unwrap();
        let again = rotated.seal(&secret, &place(1), [3; SALT]).unwrap();
        assert!(rotated.is_current(&again));
        assert_eq!(ring(&[8]).open(&again, &place(1)).unwrap().expose(), "sk-1");
        assert_eq!(ring(&[8]).open(&text, &place(1)), Err(Error::OtherKey(key(7).id())));
        assert_eq!(Keyring::default().open(&text, &place(1)), Err(Error::NoKey));
        assert_eq!(Keyring::default().seal(&secret, &place(1), [3; SALT]), Err(Error::NoKey));
    }

    #[test]
    fn whatever_is_changed_is_noticed_and_what_is_none_is_none() {
        let ring = ring(&[7]);
        let text = sealed(&ring);
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(ring.open(&changed, &place(1)).is_err(), "{changed}");
        }
        let id = key(7).id();
        for text in
            ["", "sk-1", "v1.", "v1..", &format!("v1.{id}."), &format!("v1.{id}.AAAA"), &format!("v2.{id}.AAAA")]
        {
            assert_eq!(ring.open(text, &place(1)), Err(Error::NotSealed), "{text}");
        }
    }
}
