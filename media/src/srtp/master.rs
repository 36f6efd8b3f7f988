//! Master keys: read from descriptions, or made for ours.
use std::fmt;

use aes::{Aes256Enc, cipher::KeyInit};
use zeroize::Zeroizing;

use super::{Suite, derivation::keystream};

/// A master key with its salt, for packets of one side. `Debug` does not show it, and its memory is wiped.
#[derive(Clone, PartialEq, Eq)]
pub struct Master {
    suite: Suite,
    key: Key,
    /// As the key derivation wants it: salts of 96 bits have zeros behind them (RFC 7714 §11).
    salt: Zeroizing<[u8; 14]>,
    mki: Vec<u8>,
}

/// A key of AES.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Key {
    Aes128(Zeroizing<[u8; 16]>),
    Aes256(Zeroizing<[u8; 32]>),
}

/// The keys of both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// On packets of ours.
    pub sent: Master,
    /// On packets of the peer.
    pub received: Master,
}

/// What the master keys of one call are made of: random, and known to nobody else.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<[u8; 32]>);

impl Master {
    /// Key and salt, one after the other. `None` unless they are as long as the suite wants them.
    pub fn new(suite: Suite, key_and_salt: &[u8]) -> Option<Self> {
        let (key, own_salt) = key_and_salt.split_at_checked(suite.key_length())?;
        if own_salt.len() != suite.salt_length() {
            return None;
        }
        let mut salt = Zeroizing::new([0; 14]);
        salt.iter_mut().zip(own_salt).for_each(|(to, from)| *to = *from);
        Some(Self { suite, key: Key::new(key)?, salt, mki: Vec::new() })
    }

    /// Packets under this key bear this identifier (RFC 3711 §3.1), which may be empty.
    #[must_use]
    pub fn identified_by(self, mki: Vec<u8>) -> Self {
        Self { mki, ..self }
    }

    /// What it is a key of.
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// Key and salt, one after the other, for a description.
    pub fn expose(&self) -> Zeroizing<Vec<u8>> {
        let salt = self.salt.get(..self.suite.salt_length()).unwrap_or_default();
        Zeroizing::new([self.key.expose(), salt].concat())
    }

    pub(super) fn mki(&self) -> &[u8] {
        &self.mki
    }

    pub(super) const fn key(&self) -> &Key {
        &self.key
    }

    pub(super) fn salt(&self) -> &[u8; 14] {
        &self.salt
    }
}

impl Key {
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        let aes128 = bytes.try_into().map(|key| Self::Aes128(Zeroizing::new(key)));
        aes128.or_else(|_| bytes.try_into().map(|key| Self::Aes256(Zeroizing::new(key)))).ok()
    }

    /// A key of the same length, of zeros.
    pub(super) fn zeroed(&self) -> Self {
        match self {
            Self::Aes128(_) => Self::Aes128(Zeroizing::new([0; 16])),
            Self::Aes256(_) => Self::Aes256(Zeroizing::new([0; 32])),
        }
    }

    pub(super) fn expose(&self) -> &[u8] {
        match self {
            Self::Aes128(key) => key.as_slice(),
            Self::Aes256(key) => key.as_slice(),
        }
    }

    pub(super) fn expose_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Aes128(key) => key.as_mut_slice(),
            Self::Aes256(key) => key.as_mut_slice(),
        }
    }
}

impl Secret {
    /// From 32 bytes of the best randomness there is.
    pub fn new(random: [u8; 32]) -> Self {
        Self(Zeroizing::new(random))
    }

    /// The key of this number: another number, another key. The generator is AES-256 in counter mode, with the number
    /// in its first block. `None` cannot happen: the length is the suite's.
    pub(crate) fn master(&self, suite: Suite, number: u32) -> Option<Master> {
        let mut bytes = Zeroizing::new(vec![0; suite.master_length()]);
        let mut block = [0; 16];
        block[..4].copy_from_slice(&number.to_be_bytes());
        keystream(&Aes256Enc::new((&*self.0).into()), &block, &mut bytes);
        Master::new(suite, &bytes)
    }
}

impl fmt::Debug for Master {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Master").field("suite", &self.suite).finish_non_exhaustive()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}
