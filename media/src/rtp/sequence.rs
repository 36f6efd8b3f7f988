//! The 16-bit sequence number made 64 bits long, and each packet taken once (RFC 3550 §A.1).
use std::fmt;

use webrtc_util::replay_detector::{ReplayDetector, SlidingWindowDetector};

/// Packets the detector remembers, a whole number of its 64-bit words, of which it moves each with every packet: more than
/// [`MAX_MISORDER`], since it is asked about none further back.
const WINDOW: usize = 128;
/// A jump forward beyond this is another stream, and not loss unless time says so (10 s of 20 ms; RFC 3550's MAX_DROPOUT is
/// 3000).
const MAX_DROPOUT: u64 = 500;
/// A packet further back than this is another stream, not reordering (RFC 3550's MAX_MISORDER).
const MAX_MISORDER: u64 = 100;
/// Where the first packet lands, so that one sent before it and arriving after it still has a number. Reports leave it
/// out: theirs begin with cycle 0 (§A.1).
pub(super) const FIRST_CYCLE: u64 = 1 << 16;

/// What a sequence number says of its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Not seen before: its extended sequence number.
    New(u64),
    /// Seen before.
    Duplicate(u64),
    /// Far from all others and alone so far: dropped until the next packet shows that the sender restarted.
    Stray,
    /// The second packet in a row of a restarted sender: counting begins anew with this extended number.
    Restarted(u64),
}

/// Extends sequence numbers and recognises repeated ones with webrtc-util's sliding window.
pub struct Sequence {
    highest: Option<u64>,
    /// The number that would confirm a restart (`bad_seq` in RFC 3550 §A.1).
    confirms: Option<u16>,
    seen: SlidingWindowDetector,
}

impl Default for Sequence {
    fn default() -> Self {
        Self { highest: None, confirms: None, seen: SlidingWindowDetector::new(WINDOW, u64::MAX) }
    }
}

impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sequence")
            .field("highest", &self.highest)
            .field("confirms", &self.confirms)
            .finish_non_exhaustive()
    }
}

impl Sequence {
    /// The highest extended number so far.
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// Takes the number of a packet that arrived.
    pub fn accept(&mut self, sequence: u16) -> Arrival {
        let Some(highest) = self.highest else {
            return Arrival::New(self.begin(sequence));
        };
        let Some(extended) = nearest(highest, sequence) else { return self.far(sequence) };
        if extended > highest.saturating_add(MAX_DROPOUT) || extended.saturating_add(MAX_MISORDER) < highest {
            return self.far(sequence);
        }
        self.confirms = None;
        if !self.seen.check(extended) {
            return Arrival::Duplicate(extended);
        }
        self.seen.accept();
        self.highest = Some(highest.max(extended));
        Arrival::New(extended)
    }

    /// RFC 3550 §A.1: two packets in a row make a restart, one alone is dropped.
    fn far(&mut self, sequence: u16) -> Arrival {
        if self.confirms == Some(sequence) {
            return Arrival::Restarted(self.begin(sequence));
        }
        self.confirms = Some(sequence.wrapping_add(1));
        Arrival::Stray
    }

    fn begin(&mut self, sequence: u16) -> u64 {
        *self = Self::default();
        let extended = FIRST_CYCLE + u64::from(sequence);
        let fresh = self.seen.check(extended);
        debug_assert!(fresh, "an empty window has seen nothing");
        self.seen.accept();
        self.highest = Some(extended);
        extended
    }
}

/// The extended number closest to `reference` that ends in `sequence`; `None` where that would be below zero.
pub(crate) fn nearest(reference: u64, sequence: u16) -> Option<u64> {
    let ahead = sequence.wrapping_sub(reference as u16);
    if ahead < 1 << 15 {
        return reference.checked_add(u64::from(ahead));
    }
    reference.checked_sub((1 << 16) - u64::from(ahead))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(numbers: &[u16]) -> Vec<Arrival> {
        let mut sequence = Sequence::default();
        numbers.iter().map(|n| sequence.accept(*n)).collect()
    }

    #[test]
    fn numbers_wrap_into_the_next_cycle() {
        let base = FIRST_CYCLE;
        assert_eq!(
            arrivals(&[65_534, 65_535, 0, 1, 65_535]),
            [
                Arrival::New(base + 65_534),
                Arrival::New(base + 65_535),
                Arrival::New(base + 65_536),
                Arrival::New(base + 65_537),
                Arrival::Duplicate(base + 65_535),
            ]
        );
    }

    #[test]
    fn a_packet_from_before_the_first_is_new_once() {
        let base = FIRST_CYCLE;
        assert_eq!(
            arrivals(&[0, 65_535, 65_535, 0]),
            [Arrival::New(base), Arrival::New(base - 1), Arrival::Duplicate(base - 1), Arrival::Duplicate(base)]
        );
    }

    #[test]
    fn every_number_is_new_once_over_three_cycles() {
        let mut sequence = Sequence::default();
        for n in 0..200_000_u64 {
            assert_eq!(sequence.accept(n as u16), Arrival::New(FIRST_CYCLE + n));
            assert_eq!(sequence.accept(n as u16), Arrival::Duplicate(FIRST_CYCLE + n));
        }
    }

    /// What the detector has forgotten it would take for a duplicate.
    #[test]
    fn a_packet_that_is_as_late_as_may_be_is_new_once() {
        let base = FIRST_CYCLE;
        assert_eq!(
            arrivals(&[0, 110, 10, 10, 9]),
            [
                Arrival::New(base),
                Arrival::New(base + 110),
                Arrival::New(base + 10),
                Arrival::Duplicate(base + 10),
                Arrival::Stray,
            ]
        );
    }

    #[test]
    fn one_far_packet_is_dropped_and_two_in_a_row_restart() {
        let base = FIRST_CYCLE;
        assert_eq!(
            arrivals(&[10, 9_000, 11, 9_001, 20_000, 20_001, 20_002]),
            [
                Arrival::New(base + 10),
                Arrival::Stray,
                Arrival::New(base + 11),
                Arrival::Stray,
                Arrival::Stray,
                Arrival::Restarted(base + 20_001),
                Arrival::New(base + 20_002),
            ]
        );
    }

    #[test]
    fn a_dropout_of_some_seconds_is_loss() {
        assert_eq!(arrivals(&[0, 400])[1], Arrival::New(FIRST_CYCLE + 400));
        assert_eq!(arrivals(&[0, 501])[1], Arrival::Stray);
    }
}
