//! AES in Galois/counter mode (RFC 7714).
use std::fmt;

use aes_gcm::{
    Aes128Gcm, Aes256Gcm,
    aead::{AeadInOut, KeyInit},
};
use zeroize::Zeroizing;

use super::{
    Error, Master,
    counter::split_end,
    derivation::{Derivation, Protocol},
    header::{RtcpHeader, RtpHeader},
    master::Key,
    transform::Trailer,
};

/// RFC 7714 §13.1.
const TAG: usize = 16;

/// Session keys.
pub(super) struct Gcm {
    cipher: Cipher,
    salt: Zeroizing<[u8; 12]>,
}

enum Cipher {
    Aes128(Aes128Gcm),
    Aes256(Aes256Gcm),
}

impl Gcm {
    pub(super) fn new(master: &Master, protocol: Protocol) -> Self {
        let derivation = Derivation::new(master, protocol);
        Self::of_session(&derivation.encryption_key(), derivation.salt())
    }

    pub(super) fn of_session(key: &Key, salt: Zeroizing<[u8; 12]>) -> Self {
        let cipher = match key {
            Key::Aes128(key) => Cipher::Aes128(Aes128Gcm::new((&**key).into())),
            Key::Aes256(key) => Cipher::Aes256(Aes256Gcm::new((&**key).into())),
        };
        Self { cipher, salt }
    }

    pub(super) fn seal_rtp(
        &self,
        packet: &mut Vec<u8>,
        header: RtpHeader,
        index: u64,
        mki: &[u8],
    ) -> Result<(), Error> {
        let (clear, payload) = packet.split_at_mut_checked(header.length).ok_or(Error::Malformed)?;
        let tag = self.cipher.seal(&self.nonce(header.ssrc, index), clear, payload)?;
        packet.extend_from_slice(&tag);
        packet.extend_from_slice(mki);
        Ok(())
    }

    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        header: RtpHeader,
        index: u64,
        mki: &[u8],
    ) -> Result<usize, Error> {
        let (rest, named) = split_end(packet, mki.len()).ok_or(Error::Malformed)?;
        let (plain, tag) = split_end(rest, TAG).ok_or(Error::Malformed)?;
        if named != mki {
            return Err(Error::Unauthentic);
        }
        let (length, tag) = (plain.len(), tag.try_into().map_err(|_| Error::Malformed)?);
        let plain = packet.get_mut(..length).ok_or(Error::Malformed)?;
        let (clear, payload) = plain.split_at_mut_checked(header.length).ok_or(Error::Malformed)?;
        self.cipher.open(&self.nonce(header.ssrc, index), clear, payload, &tag)?;
        Ok(length)
    }

    /// §9.2: the first header and the trailer are authenticated, the rest encrypted as well.
    pub(super) fn seal_rtcp(
        &self,
        packet: &mut Vec<u8>,
        header: RtcpHeader,
        trailer: Trailer,
        mki: &[u8],
    ) -> Result<(), Error> {
        let (clear, payload) = packet.split_at_mut_checked(RtcpHeader::LENGTH).ok_or(Error::Malformed)?;
        let associated = [&*clear, &trailer.to_bytes()].concat();
        let tag = self.cipher.seal(&self.nonce(header.ssrc, trailer.index.into()), &associated, payload)?;
        packet.extend_from_slice(&tag);
        packet.extend_from_slice(&trailer.to_bytes());
        packet.extend_from_slice(mki);
        Ok(())
    }

    /// §9.3: of a packet that is not encrypted, all is authenticated.
    pub(super) fn open_rtcp(
        &self,
        packet: &mut [u8],
        header: RtcpHeader,
        trailer: Trailer,
        mki: &[u8],
    ) -> Result<usize, Error> {
        let (rest, named) = split_end(packet, mki.len()).ok_or(Error::Malformed)?;
        let (rest, _) = split_end(rest, Trailer::LENGTH).ok_or(Error::Malformed)?;
        let (plain, tag) = split_end(rest, TAG).ok_or(Error::Malformed)?;
        if named != mki {
            return Err(Error::Unauthentic);
        }
        let (length, tag) = (plain.len(), tag.try_into().map_err(|_| Error::Malformed)?);
        let clear = if trailer.encrypted { RtcpHeader::LENGTH } else { length };
        let plain = packet.get_mut(..length).ok_or(Error::Malformed)?;
        let (clear, payload) = plain.split_at_mut_checked(clear).ok_or(Error::Malformed)?;
        let associated = [&*clear, &trailer.to_bytes()].concat();
        self.cipher.open(&self.nonce(header.ssrc, trailer.index.into()), &associated, payload, &tag)?;
        Ok(length)
    }

    /// §8.1, §9.1: 16 zero bits, SSRC and index, all XORed with the salt.
    fn nonce(&self, ssrc: u32, index: u64) -> [u8; 12] {
        let mut nonce = [0; 12];
        let value = (u128::from(ssrc) << 48 | u128::from(index)).to_be_bytes();
        let bytes = value.iter().skip(4).zip(self.salt.iter());
        nonce.iter_mut().zip(bytes).for_each(|(byte, (value, salt))| *byte = value ^ salt);
        nonce
    }
}

impl Cipher {
    /// Fails only for a packet of 64 GiB.
    fn seal(&self, nonce: &[u8; 12], associated: &[u8], payload: &mut [u8]) -> Result<[u8; TAG], Error> {
        let tag = match self {
            Self::Aes128(gcm) => gcm.encrypt_inout_detached(nonce.into(), associated, payload.into()),
            Self::Aes256(gcm) => gcm.encrypt_inout_detached(nonce.into(), associated, payload.into()),
        };
        tag.map(Into::into).map_err(|_| Error::Malformed)
    }

    /// Compares in constant time, and leaves the payload as it is if it is not genuine.
    fn open(&self, nonce: &[u8; 12], associated: &[u8], payload: &mut [u8], tag: &[u8; TAG]) -> Result<(), Error> {
        let genuine = match self {
            Self::Aes128(gcm) => gcm.decrypt_inout_detached(nonce.into(), associated, payload.into(), tag.into()),
            Self::Aes256(gcm) => gcm.decrypt_inout_detached(nonce.into(), associated, payload.into(), tag.into()),
        };
        genuine.map_err(|_| Error::Unauthentic)
    }
}

impl fmt::Debug for Gcm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Gcm")
    }
}
