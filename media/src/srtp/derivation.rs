//! Session keys out of master keys (RFC 3711 §4.3, with a derivation rate of zero: once).
use aes::{
    Aes128Enc, Aes256Enc,
    cipher::{BlockCipherEncrypt, BlockSizeUser, InnerIvInit, KeyInit, StreamCipherCore, consts::U16},
};
use ctr::{CtrCore, flavors::Ctr128BE};
use zeroize::Zeroizing;

use super::{Master, master::Key};

/// RFC 3711 §4.2.1: 160 bits, whatever the tag has.
const AUTHENTICATION_KEY: usize = 20;

/// Whose packets the session keys are for: the labels of §4.3.1 and §4.3.2 begin here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Rtp = 0,
    Rtcp = 3,
}

/// A master key under derivation.
pub(super) struct Derivation<'a> {
    master: &'a Master,
    cipher: Block,
    protocol: Protocol,
}

/// AES in the two lengths that suites have. Its memory is wiped.
pub(super) enum Block {
    Aes128(Aes128Enc),
    Aes256(Aes256Enc),
}

impl<'a> Derivation<'a> {
    pub(super) fn new(master: &'a Master, protocol: Protocol) -> Self {
        Self { master, cipher: Block::new(master.key()), protocol }
    }

    pub(super) fn encryption_key(&self) -> Key {
        let mut key = self.master.key().zeroed();
        self.fill(0, key.expose_mut());
        key
    }

    /// With the zeros behind it that HMAC would put there (RFC 2104 §2).
    pub(super) fn authentication_key(&self) -> Zeroizing<[u8; 64]> {
        let mut key = Zeroizing::new([0; 64]);
        let (own, _) = key.split_at_mut(AUTHENTICATION_KEY);
        self.fill(1, own);
        key
    }

    pub(super) fn salt<const LENGTH: usize>(&self) -> Zeroizing<[u8; LENGTH]> {
        let mut salt = Zeroizing::new([0; LENGTH]);
        self.fill(2, salt.as_mut_slice());
        salt
    }

    /// The keystream of the master key, from salt and label on (§4.3.3; RFC 6188 §3 for 256 bits), into zeros.
    fn fill(&self, label: u8, key: &mut [u8]) {
        let mut block = [0; 16];
        block[..14].copy_from_slice(self.master.salt());
        block[7] ^= self.protocol as u8 + label;
        self.cipher.apply(&block, key);
    }
}

impl Block {
    pub(super) fn new(key: &Key) -> Self {
        match key {
            Key::Aes128(key) => Self::Aes128(Aes128Enc::new((&**key).into())),
            Key::Aes256(key) => Self::Aes256(Aes256Enc::new((&**key).into())),
        }
    }

    /// XORs `bytes` with the keystream that starts at `block`.
    pub(super) fn apply(&self, block: &[u8; 16], bytes: &mut [u8]) {
        match self {
            Self::Aes128(cipher) => keystream(cipher, block, bytes),
            Self::Aes256(cipher) => keystream(cipher, block, bytes),
        }
    }
}

/// XORs `bytes` with the keystream of `cipher` in counter mode from `block` on.
pub(super) fn keystream<C>(cipher: &C, block: &[u8; 16], bytes: &mut [u8])
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>,
{
    CtrCore::<&C, Ctr128BE>::inner_iv_init(cipher, block.into()).apply_keystream_partial(bytes.into());
}
