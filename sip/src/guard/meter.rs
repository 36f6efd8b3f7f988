//! Token buckets, and a bounded memory of the addresses that have one.
use std::{
    collections::BTreeMap,
    mem,
    net::IpAddr,
    time::{Duration, Instant},
};

/// How many requests in the long run, and how many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Each second, 1 at least.
    pub per_second: u32,
    /// At once after a pause, 1 at least.
    pub burst: u32,
}

impl Rate {
    fn interval(self) -> Duration {
        Duration::from_secs(1) / self.per_second.max(1)
    }

    /// How far ahead of the clock the bucket may be and still give one.
    fn ahead(self) -> Duration {
        self.interval().saturating_mul(self.burst.max(1) - 1)
    }
}

/// A token bucket, as the moment at which it would be full again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter {
    full_at: Instant,
}

impl Meter {
    /// A full one.
    pub(crate) fn new(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Whether nothing is left.
    pub(crate) fn is_spent(&self, rate: Rate, now: Instant) -> bool {
        self.full_at.saturating_duration_since(now) > rate.ahead()
    }

    /// Takes one, if one is left.
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> bool {
        if self.is_spent(rate, now) {
            return false;
        }
        self.full_at = self.full_at.max(now) + rate.interval();
        true
    }
}

/// What one subscriber holds: an IPv4 address, or the /64 of an IPv6 address, in which anybody may take any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Block {
    V4(u32),
    V6(u64),
}

impl Block {
    fn of(source: IpAddr) -> Self {
        match source.to_canonical() {
            IpAddr::V4(ip) => Self::V4(ip.to_bits()),
            // The upper half always fits.
            IpAddr::V6(ip) => Self::V6(u64::try_from(ip.to_bits() >> 64).unwrap_or_default()),
        }
    }
}

/// Something for each source heard of lately, in two halves: when the young one is full it becomes the old one, and what
/// was in the old one and not seen since is forgotten. That is bounded, and costs the same for whoever floods us with
/// invented addresses; a forgotten source begins anew.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    young: BTreeMap<Block, T>,
    old: BTreeMap<Block, T>,
    half: usize,
}

impl<T> Recent<T> {
    /// Remembers at most `most` sources.
    pub(crate) fn new(most: usize) -> Self {
        Self { young: BTreeMap::new(), old: BTreeMap::new(), half: most / 2 }
    }

    /// What is remembered of a source.
    pub(crate) fn get(&self, source: IpAddr) -> Option<&T> {
        let block = Block::of(source);
        self.young.get(&block).or_else(|| self.old.get(&block))
    }

    /// The same, to be changed; `new` if nothing is.
    pub(crate) fn entry(&mut self, source: IpAddr, new: impl FnOnce() -> T) -> &mut T {
        let block = Block::of(source);
        let known = if self.young.contains_key(&block) { None } else { self.old.remove(&block) };
        if self.young.len() >= self.half && !self.young.contains_key(&block) {
            self.old = mem::take(&mut self.young);
        }
        self.young.entry(block).or_insert_with(|| known.unwrap_or_else(new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::timer::epoch;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let (rate, start) = (Rate { per_second: 2, burst: 3 }, epoch());
        let mut meter = Meter::new(start);
        let mut given = |ms| meter.take(rate, start + Duration::from_millis(ms));
        let taken = [0, 0, 0, 0, 499, 500, 500, 999, 1_000, 9_000, 9_000, 9_000, 9_000].map(&mut given);
        let want = [true, true, true, false, false, true, false, false, true, true, true, true, false];
        assert_eq!(taken, want);
        let mut meter = Meter::new(start);
        let mut steady = |ms| meter.take(Rate { per_second: 0, burst: 0 }, start + Duration::from_millis(ms));
        assert_eq!([0, 500, 1_000].map(&mut steady), [true, false, true], "at least one a second");
    }

    #[test]
    fn a_subscriber_is_an_address_or_a_64() {
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            let block = |text: &str| Block::of(text.parse().unwrap());
            assert_eq!(block(one) == block(other), same, "{one} {other}");
        }
    }

    #[test]
    fn the_memory_is_bounded_and_keeps_those_it_hears_of() {
        let mut recent = Recent::new(100);
        let at = |number: u32| IpAddr::from(number.to_be_bytes());
        for number in 1..10_000_u32 {
            recent.entry(at(number), || number);
            assert_eq!(*recent.entry(at(1), || 0), 1, "seen each time, so never forgotten");
            assert!(recent.young.len() + recent.old.len() <= 100);
        }
        assert_eq!(recent.get(at(9_999)), Some(&9_999));
        assert_eq!(recent.get(at(2)), None);
    }
}
