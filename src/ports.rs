//! Which pair of RTP ports a call gets. PURE.
//!
//! Nobody outside can foresee it, and a pair rests after its call: packets that still fly to that call must not reach
//! another caller's.
use std::{
    collections::VecDeque,
    ops::RangeInclusive,
    time::{Duration, Instant},
};

/// How long a pair rests: longer than a phone goes on after a BYE it did not get (RFC 3261: 64·T1 is 32 s).
const REST: Duration = Duration::from_secs(40);

/// The even ports that are free.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Those never used, and those given back, the longest ago first.
    free: VecDeque<(u16, Option<Instant>)>,
    pairs: usize,
    refused: u64,
}

/// How a pool stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Pairs of the range.
    pub pairs: u64,
    /// Those that no call has.
    pub free: u64,
    /// Calls that got none.
    pub refused: u64,
}

impl Pool {
    /// The even ports of a range, of which the next is in the range, too (RFC 3550 §11).
    pub fn new(range: RangeInclusive<u16>) -> Self {
        let (first, last) = (*range.start(), *range.end());
        let even = (first..last).filter(|port| port % 2 == 0).map(|port| (port, None));
        let free: VecDeque<_> = even.collect();
        Self { pairs: free.len(), free, refused: 0 }
    }

    /// Takes any pair that rested, chosen by `random`, which must be unguessable: callers see the ports of theirs. If
    /// none did, that which rested longest: a caller is worth more than stray packets.
    pub fn take(&mut self, random: u64, now: Instant) -> Option<u16> {
        let rested = self.free.partition_point(|(_, freed)| freed.is_none_or(|freed| now >= freed + REST));
        let index = random.checked_rem(rested as u64).unwrap_or(0);
        self.free.remove(index as usize).map(|(port, _)| port)
    }

    /// A call has ended, or another program has this port.
    pub fn give_back(&mut self, port: u16, now: Instant) {
        self.free.push_back((port, Some(now)));
    }

    /// A call got no pair.
    pub fn refuse(&mut self) {
        self.refused += 1;
    }

    /// How many pairs there are at most to try.
    pub fn pairs(&self) -> usize {
        self.pairs
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        Standing { pairs: self.pairs as u64, free: self.free.len() as u64, refused: self.refused }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[expect(clippy::disallowed_methods, reason = "one instant to count from")]
    fn origin() -> Instant {
        Instant::now()
    }

    #[test]
    fn every_pair_is_even_within_the_range_and_given_once() {
        for (range, want) in [(20_000..=20_007, 4), (20_001..=20_007, 3), (20_000..=20_006, 3), (20_000..=20_000, 0)] {
            let mut pool = Pool::new(range.clone());
            let taken: BTreeSet<u16> = (0..10).filter_map(|n| pool.take(n * 7_919, origin())).collect();
            assert!(taken.iter().all(|port| port % 2 == 0 && range.contains(&(port + 1))), "{taken:?}");
            assert_eq!((taken.len(), pool.pairs()), (want, want), "{range:?}");
        }
    }

    #[test]
    fn any_pair_may_be_the_next() {
        let first = |random| Pool::new(20_000..=20_007).take(random, origin());
        let taken: BTreeSet<u16> = (0..4).filter_map(first).collect();
        assert_eq!(taken.into_iter().collect::<Vec<_>>(), [20_000, 20_002, 20_004, 20_006]);
        assert_eq!(first(u64::MAX), Some(20_006));
    }

    #[test]
    fn a_pair_rests_after_its_call_unless_there_is_no_other() {
        let (now, mut pool) = (origin(), Pool::new(20_000..=20_007));
        let first = pool.take(2, now).unwrap();
        pool.give_back(first, now);
        let others: Vec<u16> = (0..3).filter_map(|n| pool.take(3 - n, now + REST / 2)).collect();
        assert!(others.len() == 3 && !others.contains(&first), "{others:?}");
        assert_eq!(pool.take(9, now + REST / 2), Some(first), "a caller is worth more");
        assert_eq!(pool.take(9, now + REST), None);
        pool.refuse();
        pool.give_back(first, now + REST);
        assert_eq!(pool.standing(), Standing { pairs: 4, free: 1, refused: 1 });
        others.iter().for_each(|port| pool.give_back(*port, now + REST));
        let again: BTreeSet<u16> = (0..4).filter_map(|n| pool.take(n, now + 2 * REST)).collect();
        assert_eq!(again.len(), 4);
    }
}
