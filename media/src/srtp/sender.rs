//! Our packets, protected.
use super::{
    Error, Master,
    derivation::Protocol,
    header::{RtcpHeader, RtpHeader},
    transform::Transform,
};
use crate::rtp::nearest;

/// RFC 3711 §9.2: a key protects so many RTP packets at most,
const MAX_RTP: u64 = 1 << 48;
/// and so many RTCP packets.
const MAX_RTCP: u32 = 1 << 31;
/// From here on a source's numbers wrap within a minute and a half of 20 ms packets, or have wrapped.
const TURNING: u64 = (1 << 16) - (1 << 12);

/// Protects the packets of one source at a time under one key. Its rollover counter begins at zero, so each key gets a new one.
#[derive(Debug)]
pub struct Sender {
    rtp: Transform,
    rtcp: Transform,
    /// Source and index of the RTP packet sent last.
    pub(super) last: Option<(u32, u64)>,
    /// The index of the next RTCP packet.
    pub(super) report: u32,
}

impl Sender {
    /// Nothing sent so far.
    pub fn new(master: &Master) -> Self {
        let (rtp, rtcp) = (Transform::new(master, Protocol::Rtp), Transform::new(master, Protocol::Rtcp));
        Self { rtp, rtcp, last: None, report: 0 }
    }

    /// What follows is of another source, whose SSRC has not been under this key (RFC 3711 §9.1): it counts from zero.
    pub fn renew_source(&mut self) {
        self.last = None;
    }

    /// Whether the numbers of the source have wrapped, or will soon: who sets up another key now and counts wraps from
    /// zero is wrong, or may be before the first packet comes.
    pub fn has_turned(&self) -> bool {
        self.last.is_some_and(|(_, index)| index >= TURNING)
    }

    /// Protects an RTP packet.
    ///
    /// # Errors
    /// It is none, its number is not above that of the packet before, or the key is used up: a keystream is never
    /// used twice.
    pub fn protect_rtp(&mut self, packet: &mut Vec<u8>) -> Result<(), Error> {
        let header = RtpHeader::parse(packet).ok_or(Error::Malformed)?;
        let index = match self.last {
            None => u64::from(header.sequence),
            Some((ssrc, _)) if ssrc != header.ssrc => return Err(Error::Exhausted),
            Some((_, last)) => nearest(last, header.sequence).filter(|index| *index > last).ok_or(Error::Replayed)?,
        };
        if index >= MAX_RTP {
            return Err(Error::Exhausted);
        }
        self.rtp.seal_rtp(packet, header, index)?;
        self.last = Some((header.ssrc, index));
        Ok(())
    }

    /// Protects a compound RTCP packet.
    ///
    /// # Errors
    /// It is none, or the key is used up.
    pub fn protect_rtcp(&mut self, packet: &mut Vec<u8>) -> Result<(), Error> {
        let header = RtcpHeader::parse(packet).ok_or(Error::Malformed)?;
        let index = Some(self.report).filter(|index| *index < MAX_RTCP).ok_or(Error::Exhausted)?;
        self.rtcp.seal_rtcp(packet, header, index)?;
        self.report = index + 1;
        Ok(())
    }
}
