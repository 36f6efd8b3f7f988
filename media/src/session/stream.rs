//! From datagrams to packets in order: one source, one SSRC, each packet once.
use std::time::{Duration, Instant};

use super::stats::Stats;
use crate::{
    codec::Codec,
    reorder::{Placed, Released, Reorder},
    rtp::{Arrival, Packet, Receiver, Sequence},
};

/// Packets of the SSRC before, overtaken by the first of a new one, are dropped for so long, and for so long after each of
/// the new one if they keep coming.
const WINDING_DOWN: Duration = Duration::from_millis(200);
/// How far numbers, timestamps and the wall clock may differ over an outage, in per cent: two of its packets tell how long
/// one is, and a sender may be late with them.
const TOLERANCE: u64 = 20;

/// What the payload of a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Audio in this codec, one of those agreed on.
    Audio(Codec),
    /// Comfort noise: what the caller sounds like until the next audio.
    Noise,
    /// A telephone-event, whose clock ticks so many times a second: handled on arrival, here it only holds its place in
    /// the sequence.
    Event(u32),
    /// A payload type nobody agreed on: only a place in the sequence.
    Other,
}

impl Kind {
    const fn is_audio(self) -> bool {
        matches!(self, Self::Audio(_))
    }
}

/// A packet on its way through the reorder window.
#[derive(Clone, Debug)]
pub(super) struct Arrived {
    pub(super) kind: Kind,
    pub(super) timestamp: u32,
    pub(super) payload: Vec<u8>,
    pub(super) at: Instant,
}

/// Whether the packet belongs to the stream as it was, begins it anew, or is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Continuity {
    Continues,
    /// Another source's, which has no place in the stream and begins none: only audio does. RFC 4733 §2.1 has events in the
    /// stream of the audio; some gateways send them beside it.
    Beside,
    Restarts {
        /// Packets of the same sender before it that are not used: an outage.
        missed: u64,
    },
    Dropped,
}

/// One received stream.
#[derive(Debug)]
pub(super) struct Stream {
    clock: u32,
    source: Option<u32>,
    /// When a packet of it last came.
    heard: Option<Instant>,
    /// The source before, and until when its packets are dropped.
    former: Option<(u32, Instant)>,
    sequence: Sequence,
    reorder: Reorder<Arrived>,
    receiver: Receiver,
    /// Lost before the stream began anew.
    lost_before: u64,
    /// The newest audio: its timestamp, and when it came.
    newest: Option<(u32, Instant)>,
    /// Timestamp of the packet before, if that was audio and far from all others.
    stray: Option<u32>,
}

impl Stream {
    pub(super) fn new(clock: u32, window: Duration) -> Self {
        Self {
            clock,
            source: None,
            heard: None,
            former: None,
            sequence: Sequence::default(),
            reorder: Reorder::new(window),
            receiver: Receiver::new(clock),
            lost_before: 0,
            newest: None,
            stray: None,
        }
    }

    /// Timestamps tick `clock` times a second from here on.
    pub(super) fn change_clock(&mut self, clock: u32) {
        if clock != self.clock {
            self.clock = clock;
            self.receiver.change_clock(clock);
            (self.newest, self.stray) = (None, None);
        }
    }

    /// Takes a packet of the caller's.
    pub(super) fn push(&mut self, packet: &Packet<'_>, kind: Kind, now: Instant, stats: &mut Stats) -> Continuity {
        if self.is_winding_down(packet.ssrc, now) {
            stats.late += 1;
            return Continuity::Dropped;
        }
        let other_source = self.source.is_some_and(|source| source != packet.ssrc);
        if other_source {
            match kind {
                // Nothing to hear is no reason to stop hearing what goes on.
                Kind::Audio(_) | Kind::Noise if packet.payload.is_empty() => return Continuity::Dropped,
                Kind::Audio(_) | Kind::Noise => {}
                Kind::Event(_) => return Continuity::Beside,
                Kind::Other => return Continuity::Dropped,
            }
            self.former = self.source.map(|ssrc| (ssrc, now + WINDING_DOWN));
            self.sequence = Sequence::default();
        }
        (self.source, self.heard) = (Some(packet.ssrc), Some(now));
        let highest = self.sequence.highest();
        let (extended, restarted) = match self.sequence.accept(packet.sequence) {
            Arrival::New(extended) => (extended, other_source),
            Arrival::Restarted(extended) => (extended, true),
            Arrival::Duplicate(_) => {
                stats.duplicated += 1;
                return Continuity::Dropped;
            }
            Arrival::Stray => {
                self.stray = kind.is_audio().then_some(packet.timestamp);
                stats.late += 1;
                return Continuity::Dropped;
            }
        };
        // Up to this packet, and with it.
        let outage = if restarted { self.outage(highest, packet, now) } else { 0 };
        if restarted {
            stats.restarts += 1;
            self.reorder.restart();
            self.count_anew();
            self.lost_before += outage.saturating_sub(2); // the one that was far from all others has come
        }
        let payload = match kind {
            Kind::Audio(_) | Kind::Noise => packet.payload.to_vec(),
            Kind::Event(_) | Kind::Other => Vec::new(),
        };
        let arrived = Arrived { kind, timestamp: packet.timestamp, payload, at: now };
        let overtaken = !restarted && highest.is_some_and(|highest| extended < highest);
        self.place(arrived, extended, overtaken, stats);
        if restarted { Continuity::Restarts { missed: outage.saturating_sub(1) } } else { Continuity::Continues }
    }

    /// Whether a packet is of the source before and comes too late, or beside those of the present one. Where two go on side
    /// by side, a phone and the music of its PBX, the one that began last is heard for as long as it goes on: of both in
    /// turns nobody would understand a word.
    fn is_winding_down(&mut self, ssrc: u32, now: Instant) -> bool {
        let Some((former, until)) = self.former.filter(|(former, until)| *former == ssrc && now < *until) else {
            return false;
        };
        let until = self.heard.map_or(until, |heard| until.max(heard + WINDING_DOWN));
        self.former = Some((former, until));
        true
    }

    /// How far the numbers have gone on over an outage that ends with this packet, the second one after it. None where
    /// numbers and timestamps did not go on as the wall clock did: that is another stream. Numbers that came round in the
    /// meantime do not either.
    fn outage(&self, highest: Option<u64>, packet: &Packet<'_>, now: Instant) -> u64 {
        let (Some(highest), Some((timestamp, at)), Some(stray)) = (highest, self.newest, self.stray) else { return 0 };
        let numbers = u64::from(packet.sequence.wrapping_sub(highest as u16));
        let ticks = u64::from(packet.timestamp.wrapping_sub(timestamp));
        let by_numbers = numbers * u64::from(packet.timestamp.wrapping_sub(stray));
        let elapsed = now.saturating_duration_since(at).as_micros() * u128::from(self.clock) / 1_000_000;
        let by_clock = u64::try_from(elapsed).unwrap_or(u64::MAX);
        let agreed = ticks > 0 && agree(by_numbers, ticks) && agree(by_clock, ticks);
        if agreed { numbers } else { 0 }
    }

    fn place(&mut self, arrived: Arrived, extended: u64, overtaken: bool, stats: &mut Stats) {
        let now = arrived.at;
        stats.received += 1;
        if arrived.kind.is_audio() && !overtaken {
            self.newest = Some((arrived.timestamp, now));
        }
        self.receiver.count(extended, Some(arrived.timestamp).filter(|_| arrived.kind.is_audio()), now);
        match self.reorder.push(extended, arrived, now) {
            Placed::Late => stats.late += 1,
            Placed::InOrder | Placed::Overtaken | Placed::Waiting => stats.reordered += u64::from(overtaken),
        }
    }

    /// Gives up gaps that were waited for long enough.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.reorder.handle_timeout(now);
    }

    /// When the first gap is given up.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.reorder.poll_timeout()
    }

    /// The next packet in order, or gap.
    pub(super) fn poll(&mut self) -> Option<Released<Arrived>> {
        self.reorder.poll()
    }

    /// Releases all that waits: what follows is another codec's. The sequence goes on.
    pub(super) fn flush(&mut self) {
        self.reorder.flush();
    }

    /// The source and its counters, for a report.
    pub(super) fn reception(&mut self) -> Option<(u32, &mut Receiver)> {
        self.source.map(|source| (source, &mut self.receiver))
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost_before + self.receiver.lost()
    }

    pub(super) fn jitter(&self) -> Duration {
        self.receiver.jitter()
    }

    fn count_anew(&mut self) {
        self.lost_before += self.receiver.lost();
        self.receiver = Receiver::new(self.clock);
        (self.newest, self.stray) = (None, None);
    }
}

fn agree(one: u64, other: u64) -> bool {
    one.abs_diff(other).saturating_mul(100) <= other.saturating_mul(TOLERANCE)
}
