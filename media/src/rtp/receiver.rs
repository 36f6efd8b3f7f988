//! What a receiver counts of one source: loss (RFC 3550 §A.3) and interarrival jitter (§A.8).
use std::time::{Duration, Instant};

use super::sequence::FIRST_CYCLE;

/// A jump of the transit time beyond this is a new timestamp base, not jitter (RFC 3550 §A.8 has no such guard, but
/// FreeSWITCH moves the base of a running stream at every hold and transfer).
const REBASED: Duration = Duration::from_secs(1);

/// Counters of one synchronisation source, from its first packet on.
#[derive(Clone, Debug)]
pub struct Receiver {
    clock: u32,
    /// First and highest extended sequence number.
    range: Option<(u64, u64)>,
    received: u64,
    expected_prior: u64,
    received_prior: u64,
    transit: Option<Transit>,
    /// Scaled by 16, as in §A.8.
    jitter: u64,
}

#[derive(Clone, Copy, Debug)]
struct Transit {
    arrived: Instant,
    timestamp: u32,
}

impl Receiver {
    /// Counters for a source whose timestamps tick `clock` times a second.
    pub fn new(clock: u32) -> Self {
        Self {
            clock: clock.max(1),
            range: None,
            received: 0,
            expected_prior: 0,
            received_prior: 0,
            transit: None,
            jitter: 0,
        }
    }

    /// The source's timestamps tick so many times a second from here on. Jitter is of one clock; what was lost is counted
    /// since the first packet (RFC 3550 §6.4.1).
    pub fn change_clock(&mut self, clock: u32) {
        (self.clock, self.transit, self.jitter) = (clock.max(1), None, 0);
    }

    /// Counts a packet that was not a duplicate. Give only audio packets a `timestamp`: those of one event share one
    /// timestamp (RFC 4733 §2.2.1), which would look like jitter.
    pub fn count(&mut self, extended: u64, timestamp: Option<u32>, arrived: Instant) {
        self.received += 1;
        self.range = Some(match self.range {
            None => (extended, extended),
            Some((first, highest)) => (first.min(extended), highest.max(extended)),
        });
        if let Some(timestamp) = timestamp {
            self.measure(Transit { arrived, timestamp });
        }
    }

    fn measure(&mut self, now: Transit) {
        let Some(before) = self.transit.replace(now) else { return };
        let elapsed = now.arrived.saturating_duration_since(before.arrived).as_micros() as i128;
        let arrival_ticks = elapsed * i128::from(self.clock) / 1_000_000;
        let media_ticks = i128::from(now.timestamp.wrapping_sub(before.timestamp) as i32);
        let difference = (arrival_ticks - media_ticks).unsigned_abs();
        if difference > u128::from(self.clock) * REBASED.as_millis() / 1_000 {
            return;
        }
        // §A.8: jitter += |d| - ((jitter + 8) >> 4)
        self.jitter = (self.jitter + difference as u64).saturating_sub((self.jitter + 8) >> 4);
    }

    /// Packets that should have come by the sequence numbers.
    pub fn expected(&self) -> u64 {
        self.range.map_or(0, |(first, highest)| highest - first + 1)
    }

    /// Packets that came.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Packets missing so far (§6.4.1; never negative, since duplicates are not counted here).
    pub fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received)
    }

    /// The highest extended sequence number as a report carries it (§6.4.1): cycles since the first packet, and the number.
    pub fn highest(&self) -> u32 {
        self.range.map_or(0, |(_, highest)| highest.wrapping_sub(FIRST_CYCLE) as u32)
    }

    /// Interarrival jitter in timestamp ticks.
    pub fn jitter_ticks(&self) -> u32 {
        u32::try_from(self.jitter >> 4).unwrap_or(u32::MAX)
    }

    /// Interarrival jitter as time.
    pub fn jitter(&self) -> Duration {
        Duration::from_micros((self.jitter >> 4) * 1_000_000 / u64::from(self.clock))
    }

    /// The fraction lost since the last call, out of 256 (§A.3). Call once per report.
    pub fn fraction_lost(&mut self) -> u8 {
        let expected = self.expected() - self.expected_prior.min(self.expected());
        let received = self.received - self.received_prior.min(self.received);
        self.expected_prior = self.expected();
        self.received_prior = self.received;
        if expected == 0 || received >= expected {
            return 0;
        }
        u8::try_from((expected - received) * 256 / expected).unwrap_or(u8::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        rtp::{Arrival, Sequence},
        testing::origin,
    };

    const FRAME: Duration = Duration::from_millis(20);

    /// §A.1: cycles are counted from zero, whatever the first number is.
    #[test]
    fn the_highest_number_counts_the_cycles_since_the_first_packet() {
        for (first, packets, want) in [(10, 1, 10), (65_535, 1, 65_535), (65_535, 2, 1 << 16), (7, 200_000, 200_006)] {
            let (mut sequence, mut receiver) = (Sequence::default(), Receiver::new(8_000));
            for n in 0..packets {
                let number = (first + n) as u16;
                let Arrival::New(extended) = sequence.accept(number) else { panic!("{number}") };
                receiver.count(extended, None, origin());
            }
            assert_eq!(receiver.highest(), want, "{packets} packets from {first}");
        }
        assert_eq!(Receiver::new(8_000).highest(), 0);
    }

    #[test]
    fn loss_is_expected_less_received_and_the_fraction_is_since_the_last_report() {
        let mut receiver = Receiver::new(8_000);
        for n in (100..200).filter(|n| n % 4 != 1) {
            receiver.count(n, None, origin());
        }
        assert_eq!((receiver.expected(), receiver.received(), receiver.lost()), (100, 75, 25));
        assert_eq!(receiver.fraction_lost(), 64);
        for n in 200..300 {
            receiver.count(n, None, origin());
        }
        assert_eq!((receiver.fraction_lost(), receiver.lost()), (0, 25));
    }

    #[test]
    fn jitter_converges_to_the_mean_deviation_of_neighbours() {
        let start = origin();
        let mut receiver = Receiver::new(8_000);
        for n in 0..2_000_u32 {
            let shake = Duration::from_millis(if n % 2 == 0 { 0 } else { 5 });
            receiver.count(u64::from(n), Some(n * 160), start + FRAME * n + shake);
        }
        let jitter = receiver.jitter();
        assert!(jitter > Duration::from_micros(4_800) && jitter < Duration::from_micros(5_200), "{jitter:?}");
    }

    #[test]
    fn another_clock_begins_the_jitter_anew_and_keeps_the_counts() {
        let start = origin();
        let mut receiver = Receiver::new(8_000);
        for n in (0..100_u32).filter(|n| n % 10 != 5) {
            receiver.count(u64::from(n), Some(n * 320), start + FRAME * n);
        }
        assert!(receiver.jitter() > Duration::from_millis(5));
        receiver.change_clock(48_000);
        assert_eq!((receiver.jitter_ticks(), receiver.lost(), receiver.expected()), (0, 10, 100));
        for n in 100..200_u32 {
            receiver.count(u64::from(n), Some(n * 960), start + FRAME * n);
        }
        assert_eq!((receiver.jitter_ticks(), receiver.lost(), receiver.expected()), (0, 10, 200));
    }

    #[test]
    fn a_new_timestamp_base_is_not_jitter() {
        let start = origin();
        let mut receiver = Receiver::new(8_000);
        for n in 0..100_u32 {
            let base = if n < 50 { 0 } else { 3_000_000_000 };
            receiver.count(u64::from(n), Some(base + n * 160), start + FRAME * n);
        }
        assert_eq!(receiver.jitter_ticks(), 0);
    }
}
