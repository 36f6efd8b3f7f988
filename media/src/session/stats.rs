//! What a session counts.
use std::{net::SocketAddr, time::Duration};

/// SRTP and SRTCP packets that were dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unbelieved {
    /// That no holder of the peer's key made, or that came under a key that is used up.
    pub unauthentic: u64,
    /// That came again, or too late to tell.
    pub replayed: u64,
}

impl Unbelieved {
    /// What was dropped since `before`.
    fn since(self, before: Self) -> Self {
        Self {
            unauthentic: self.unauthentic.saturating_sub(before.unauthentic),
            replayed: self.replayed.saturating_sub(before.replayed),
        }
    }
}

/// Datagrams that came and were not heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) foreign: u64,
    pub(super) malformed: u64,
    pub(super) unbelieved: Unbelieved,
}

impl Dropped {
    /// Those that came since `before`.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            foreign: self.foreign.saturating_sub(before.foreign),
            malformed: self.malformed.saturating_sub(before.malformed),
            unbelieved: self.unbelieved.since(before.unbelieved),
        }
    }
}

/// Packets that could not leave in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pacing {
    /// Wake-ups late by a packet time or more.
    pub late: u64,
    /// Packets never sent because a wake-up was later than two packet times.
    pub skipped: u64,
}

/// Counters since the start of the session, and the last measurements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// RTP packets of the caller, without duplicates.
    pub received: u64,
    /// Packets missing by their sequence numbers (RFC 3550 §A.3).
    pub lost: u64,
    /// Packets that came after their gap was given up.
    pub late: u64,
    /// Packets that came again.
    pub duplicated: u64,
    /// Packets that were overtaken and still came in time.
    pub reordered: u64,
    /// Audio made up for what was missing.
    pub concealed: Duration,
    /// Silence made up because the phone sent none, or while the call is on hold.
    pub silence: Duration,
    /// Audio of the caller's pauses that was left out, because more had gone up than time had passed, or all of it where
    /// that was a minute more.
    pub left_out: Duration,
    /// Timestamps that jumped although no packet was missing.
    pub timestamp_jumps: u64,
    /// Streams that began anew: another SSRC, or a far sequence number twice.
    pub restarts: u64,
    /// Datagrams from sources that are not the caller's.
    pub foreign: u64,
    /// Where the first of them came from.
    pub foreign_from: Option<SocketAddr>,
    /// Datagrams that are no RTP or RTCP, or of a payload type nobody agreed on.
    pub malformed: u64,
    /// Packets that SRTP dropped.
    pub unbelieved: Unbelieved,
    /// Frames the codec could not decode or encode.
    pub codec_errors: u64,
    /// RTP packets sent.
    pub sent: u64,
    /// How well packets kept their time.
    pub pacing: Pacing,
    /// Assistant audio refused beyond the bound of the queue. What came of an utterance that was cut is not in it.
    pub playout_dropped: Duration,
    /// Interarrival jitter of the caller's packets (RFC 3550 §A.8).
    pub jitter: Duration,
    /// Round-trip time by RTCP, once measured.
    pub round_trip: Option<Duration>,
}

impl Stats {
    pub(super) fn dropped(&self) -> Dropped {
        Dropped { foreign: self.foreign, malformed: self.malformed, unbelieved: self.unbelieved }
    }
}
