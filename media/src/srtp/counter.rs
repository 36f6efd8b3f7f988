//! AES in counter mode and HMAC-SHA1 (RFC 3711 §4.1.1, §4.2.1; RFC 6188).
use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use zeroize::Zeroizing;

use super::{
    Error, Master,
    derivation::{Block, Derivation, Protocol},
    header::{RtcpHeader, RtpHeader},
    transform::Trailer,
};

/// Session keys, and the length of the tag.
pub(super) struct Counter {
    block: Block,
    /// Keyed; cloned for each packet.
    mac: Hmac<Sha1>,
    salt: Zeroizing<[u8; 14]>,
    tag: usize,
}

impl Counter {
    pub(super) fn new(master: &Master, protocol: Protocol, tag: usize) -> Self {
        let derivation = Derivation::new(master, protocol);
        let mac = Hmac::new((&*derivation.authentication_key()).into());
        Self { block: Block::new(&derivation.encryption_key()), mac, salt: derivation.salt(), tag }
    }

    pub(super) const fn tag_length(&self) -> usize {
        self.tag
    }

    pub(super) fn seal_rtp(&self, packet: &mut Vec<u8>, header: RtpHeader, index: u64, mki: &[u8]) {
        let payload = packet.get_mut(header.length..).unwrap_or_default();
        self.block.apply(&self.first_block(header.ssrc, index), payload);
        self.sign(packet, &rollover(index), mki);
    }

    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        header: RtpHeader,
        index: u64,
        mki: &[u8],
    ) -> Result<usize, Error> {
        let length = self.verify(packet, &rollover(index), mki)?;
        let payload = packet.get_mut(header.length..length).ok_or(Error::Malformed)?;
        self.block.apply(&self.first_block(header.ssrc, index), payload);
        Ok(length)
    }

    pub(super) fn seal_rtcp(&self, packet: &mut Vec<u8>, header: RtcpHeader, trailer: Trailer, mki: &[u8]) {
        let payload = packet.get_mut(RtcpHeader::LENGTH..).unwrap_or_default();
        self.block.apply(&self.first_block(header.ssrc, trailer.index.into()), payload);
        packet.extend_from_slice(&trailer.to_bytes());
        self.sign(packet, &[], mki);
    }

    pub(super) fn open_rtcp(
        &self,
        packet: &mut [u8],
        header: RtcpHeader,
        trailer: Trailer,
        mki: &[u8],
    ) -> Result<usize, Error> {
        let signed = self.verify(packet, &[], mki)?;
        let length = signed.checked_sub(Trailer::LENGTH).ok_or(Error::Malformed)?;
        let payload = packet.get_mut(RtcpHeader::LENGTH..length).ok_or(Error::Malformed)?;
        if trailer.encrypted {
            self.block.apply(&self.first_block(header.ssrc, trailer.index.into()), payload);
        }
        Ok(length)
    }

    /// RFC 3711 §4.1.1: (salt · 2¹⁶) ⊕ (SSRC · 2⁶⁴) ⊕ (index · 2¹⁶).
    fn first_block(&self, ssrc: u32, index: u64) -> [u8; 16] {
        let value = u128::from(ssrc) << 64 ^ u128::from(index) << 16;
        let mut block = value.to_be_bytes();
        block.iter_mut().zip(self.salt.iter()).for_each(|(byte, salt)| *byte ^= salt);
        block
    }

    fn sign(&self, packet: &mut Vec<u8>, behind: &[u8], mki: &[u8]) {
        let tag = self.mac(packet, behind).finalize().into_bytes();
        packet.extend_from_slice(mki);
        packet.extend_from_slice(tag.get(..self.tag).unwrap_or_default());
    }

    /// How much of the packet the tag is of: identifier and tag stand behind it.
    fn verify(&self, packet: &[u8], behind: &[u8], mki: &[u8]) -> Result<usize, Error> {
        let (rest, tag) = split_end(packet, self.tag).ok_or(Error::Malformed)?;
        let (signed, named) = split_end(rest, mki.len()).ok_or(Error::Malformed)?;
        // Compares in constant time.
        let genuine = named == mki && self.mac(signed, behind).verify_truncated_left(tag).is_ok();
        if genuine { Ok(signed.len()) } else { Err(Error::Unauthentic) }
    }

    fn mac(&self, packet: &[u8], behind: &[u8]) -> Hmac<Sha1> {
        let mut mac = self.mac.clone();
        mac.update(packet);
        mac.update(behind);
        mac
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Counter").field("tag", &self.tag).finish_non_exhaustive()
    }
}

/// The rollover counter, which no packet carries and every tag covers (RFC 3711 §4.2).
fn rollover(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

/// A packet and the `length` bytes at its end.
pub(super) fn split_end(packet: &[u8], length: usize) -> Option<(&[u8], &[u8])> {
    packet.split_at_checked(packet.len().checked_sub(length)?)
}
