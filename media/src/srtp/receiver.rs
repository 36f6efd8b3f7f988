//! The peer's packets, believed and laid bare.
use std::fmt;

use webrtc_util::replay_detector::{ReplayDetector, SlidingWindowDetector};

use super::{
    Error, Master,
    derivation::Protocol,
    header::{RtcpHeader, RtpHeader},
    transform::Transform,
};
use crate::rtp::nearest;

/// How far behind the newest a packet may be: 2.5 s of 20 ms. RFC 3711 §3.3.2 wants 64 at least.
const WINDOW: usize = 128;
/// Indices never wrap under one key (RFC 3711 §9.2).
const MAX_RTP: u64 = (1 << 48) - 1;
const MAX_RTCP: u64 = (1 << 31) - 1;
/// Sequence numbers from one rollover to the next.
const CYCLE: u64 = 1 << 16;
/// Sources of one key, of some 100 bytes each. A phone system may take another with every hold, and a long call has many;
/// only its own packets count. A peer that starts anew more often has to agree on another key first.
const MAX_SOURCES: usize = 256;

/// Believes the packets of one key. Of a source nothing is kept before a packet of its is genuine.
#[derive(Debug)]
pub struct Receiver {
    rtp: Transform,
    rtcp: Transform,
    pub(super) streams: Vec<Source>,
    pub(super) reporters: Vec<Source>,
    /// Sources of the key before, with their highest indices.
    before: Vec<(u32, u64)>,
}

/// Packets of one source, by their indices.
pub(super) struct Source {
    ssrc: u32,
    /// The highest index.
    pub(super) highest: u64,
    seen: SlidingWindowDetector,
}

impl Receiver {
    /// Nothing received so far.
    pub fn new(master: &Master) -> Self {
        let (rtp, rtcp) = (Transform::new(master, Protocol::Rtp), Transform::new(master, Protocol::Rtcp));
        Self { rtp, rtcp, streams: Vec::new(), reporters: Vec::new(), before: Vec::new() }
    }

    /// Nothing received so far, under the key that takes the place of this one. RFC 3711 §3.3.1 has rollover counters
    /// go on when keys change; peers that set up each key from scratch begin at zero. Both are understood.
    #[must_use]
    pub fn rekeyed(&self, master: &Master) -> Self {
        let heard = self.streams.iter().map(|source| (source.ssrc, source.highest));
        // A key under which nothing came leaves what is known of the one before it.
        let before = if self.streams.is_empty() { self.before.clone() } else { heard.collect() };
        Self { before, ..Self::new(master) }
    }

    /// Makes an RTP packet of an SRTP packet.
    ///
    /// # Errors
    /// It is none, or not genuine, or not new; then it is as it was.
    pub fn unprotect_rtp(&mut self, packet: &mut Vec<u8>) -> Result<(), Error> {
        let header = RtpHeader::parse(packet).ok_or(Error::Malformed)?;
        let known = self.streams.iter_mut().find(|source| source.ssrc == header.ssrc);
        let length = match known {
            Some(source) => {
                // RFC 3711 §3.3.1: the index nearest to the highest one; below zero there is none.
                let index = nearest(source.highest, header.sequence).ok_or(Error::Replayed)?;
                source.take(index, || self.rtp.open_rtp(packet, header, index))?
            }
            None => {
                let mut source = Source::first(header.ssrc, MAX_RTP, &self.streams)?;
                let before = self.before.iter().find(|(ssrc, _)| *ssrc == header.ssrc);
                let goes_on = before.and_then(|(_, highest)| nearest(*highest, header.sequence));
                let open = |index| self.rtp.open_rtp(packet, header, index);
                let length = source.begin(header.sequence, goes_on, open)?;
                self.streams.push(source);
                length
            }
        };
        packet.truncate(length);
        Ok(())
    }

    /// Makes a compound RTCP packet of an SRTCP packet.
    ///
    /// # Errors
    /// It is none, or not genuine, or not new; then it is as it was.
    pub fn unprotect_rtcp(&mut self, packet: &mut Vec<u8>) -> Result<(), Error> {
        let header = RtcpHeader::parse(packet).ok_or(Error::Malformed)?;
        let trailer = self.rtcp.trailer(packet).ok_or(Error::Malformed)?;
        let index = trailer.index.into();
        let known = self.reporters.iter_mut().find(|source| source.ssrc == header.ssrc);
        let length = match known {
            Some(source) => source.take(index, || self.rtcp.open_rtcp(packet, header, trailer))?,
            None => {
                let mut source = Source::first(header.ssrc, MAX_RTCP, &self.reporters)?;
                let length = source.take(index, || self.rtcp.open_rtcp(packet, header, trailer))?;
                self.reporters.push(source);
                length
            }
        };
        packet.truncate(length);
        Ok(())
    }
}

impl Source {
    /// A source beside these, if there is room for it.
    fn first(ssrc: u32, max: u64, others: &[Self]) -> Result<Self, Error> {
        let source = || Self { ssrc, highest: 0, seen: SlidingWindowDetector::new(WINDOW, max) };
        (others.len() < MAX_SOURCES).then(source).ok_or(Error::Exhausted)
    }

    /// Opens the first RTP packet that comes. The rollover counter of its sender began at zero (RFC 3711 §3.3.1), and
    /// is one by now if its number is low and those before the wrap were lost, or came before anybody listened. One
    /// that was there under the key before may count on instead: then the packet's index is `goes_on`.
    fn begin(
        &mut self,
        sequence: u16,
        goes_on: Option<u64>,
        mut open: impl FnMut(u64) -> Result<usize, Error>,
    ) -> Result<usize, Error> {
        let first = u64::from(sequence);
        let wrapped = Some(first + CYCLE).filter(|_| first < CYCLE / 2);
        let goes_on = goes_on.filter(|index| *index != first && Some(*index) != wrapped);
        let opened = self.take(first, || open(first));
        let mut others = wrapped.into_iter().chain(goes_on);
        opened.or_else(|error| others.find_map(|index| self.take(index, || open(index)).ok()).ok_or(error))
    }

    /// Opens a packet whose index is new, and only then counts it.
    fn take(&mut self, index: u64, open: impl FnOnce() -> Result<usize, Error>) -> Result<usize, Error> {
        if !self.seen.check(index) {
            return Err(Error::Replayed);
        }
        let length = open()?;
        self.seen.accept();
        self.highest = self.highest.max(index);
        Ok(length)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Source")
            .field("ssrc", &self.ssrc)
            .field("highest", &self.highest)
            .finish_non_exhaustive()
    }
}
