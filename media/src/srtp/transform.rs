//! What a suite does to a packet whose index is known.
use super::{
    Error, Master, Suite,
    counter::Counter,
    derivation::Protocol,
    gcm::Gcm,
    header::{RtcpHeader, RtpHeader},
};

/// RFC 4568 §6.2.1, and for RTCP §6.2.2 too.
const LONG_TAG: usize = 10;
/// RFC 4568 §6.2.2.
const SHORT_TAG: usize = 4;

/// The cipher of one direction and one protocol.
#[derive(Debug)]
pub(super) struct Transform {
    cipher: Cipher,
    /// Behind every packet (RFC 3711 §3.1); mostly empty.
    mki: Vec<u8>,
}

#[derive(Debug)]
enum Cipher {
    Counter(Box<Counter>),
    Gcm(Box<Gcm>),
}

/// The word behind an RTCP packet (RFC 3711 §3.4): 31 bits of index, and before them whether it is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trailer {
    pub(super) encrypted: bool,
    pub(super) index: u32,
}

impl Trailer {
    pub(super) const LENGTH: usize = 4;
    const ENCRYPTED: u32 = 1 << 31;

    pub(super) const fn to_bytes(self) -> [u8; 4] {
        let flag = if self.encrypted { Self::ENCRYPTED } else { 0 };
        (flag | self.index).to_be_bytes()
    }

    const fn of_bytes(bytes: [u8; 4]) -> Self {
        let word = u32::from_be_bytes(bytes);
        Self { encrypted: word & Self::ENCRYPTED != 0, index: word & !Self::ENCRYPTED }
    }
}

impl Transform {
    pub(super) fn new(master: &Master, protocol: Protocol) -> Self {
        let tag = match (master.suite(), protocol) {
            (Suite::AeadAes128Gcm | Suite::AeadAes256Gcm, _) => None,
            (Suite::AesCm128Sha1_32 | Suite::Aes256CmSha1_32, Protocol::Rtp) => Some(SHORT_TAG),
            (Suite::AesCm128Sha1_32 | Suite::Aes256CmSha1_32, Protocol::Rtcp)
            | (Suite::AesCm128Sha1_80 | Suite::Aes256CmSha1_80, _) => Some(LONG_TAG),
        };
        let cipher = match tag {
            Some(tag) => Cipher::Counter(Box::new(Counter::new(master, protocol, tag))),
            None => Cipher::Gcm(Box::new(Gcm::new(master, protocol))),
        };
        Self { cipher, mki: master.mki().to_vec() }
    }

    #[cfg(test)]
    pub(super) fn of_gcm(gcm: Gcm) -> Self {
        Self { cipher: Cipher::Gcm(Box::new(gcm)), mki: Vec::new() }
    }

    /// Encrypts an RTP packet, and appends identifier and tag.
    pub(super) fn seal_rtp(&self, packet: &mut Vec<u8>, header: RtpHeader, index: u64) -> Result<(), Error> {
        match &self.cipher {
            Cipher::Counter(counter) => counter.seal_rtp(packet, header, index, &self.mki),
            Cipher::Gcm(gcm) => gcm.seal_rtp(packet, header, index, &self.mki)?,
        }
        Ok(())
    }

    /// Decrypts an RTP packet if it is genuine, and says how long the plain packet is.
    pub(super) fn open_rtp(&self, packet: &mut [u8], header: RtpHeader, index: u64) -> Result<usize, Error> {
        match &self.cipher {
            Cipher::Counter(counter) => counter.open_rtp(packet, header, index, &self.mki),
            Cipher::Gcm(gcm) => gcm.open_rtp(packet, header, index, &self.mki),
        }
    }

    /// Encrypts an RTCP packet, and appends trailer, identifier and tag.
    pub(super) fn seal_rtcp(&self, packet: &mut Vec<u8>, header: RtcpHeader, index: u32) -> Result<(), Error> {
        let trailer = Trailer { encrypted: true, index };
        match &self.cipher {
            Cipher::Counter(counter) => counter.seal_rtcp(packet, header, trailer, &self.mki),
            Cipher::Gcm(gcm) => gcm.seal_rtcp(packet, header, trailer, &self.mki)?,
        }
        Ok(())
    }

    /// The word behind an RTCP packet, which tells its index.
    pub(super) fn trailer(&self, packet: &[u8]) -> Option<Trailer> {
        let tag = match &self.cipher {
            Cipher::Counter(counter) => counter.tag_length(),
            Cipher::Gcm(_) => 0,
        };
        let end = packet.len().checked_sub(tag + self.mki.len())?;
        packet.get(..end)?.last_chunk().map(|bytes| Trailer::of_bytes(*bytes))
    }

    /// Decrypts an RTCP packet if it is genuine, and says how long the plain packet is.
    pub(super) fn open_rtcp(&self, packet: &mut [u8], header: RtcpHeader, trailer: Trailer) -> Result<usize, Error> {
        match &self.cipher {
            Cipher::Counter(counter) => counter.open_rtcp(packet, header, trailer, &self.mki),
            Cipher::Gcm(gcm) => gcm.open_rtcp(packet, header, trailer, &self.mki),
        }
    }
}
