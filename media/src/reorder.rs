//! Packets back in order, without a playout delay: only a gap waits.
//!
//! What is in sequence goes on at once. A packet beyond a gap waits for the missing ones, but no longer than the
//! window; then the gap is given up, and its packets are late if they come at all. Whoever listens is told how many
//! are missing, and conceals.
//!
//! On a network that keeps order a gap is a loss, and waiting for it is delay for nothing: every gap that is given up
//! halves the window, down to what neighbours that swap places need. Any packet that was overtaken restores it.
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

/// The most packets that wait behind gaps. When one more comes, the first gap is given up early.
const MAX_WAITING: usize = 64;

/// The window is never shorter, unless it began so: packets that leave together may swap places.
const SHORTEST_WINDOW: Duration = Duration::from_millis(10);

/// What comes out, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Released<T> {
    /// The next packet.
    Packet(T),
    /// So many packets before the next one did not come in time.
    Lost(u64),
    /// What follows is another stream's.
    Restarted,
}

/// Whether a packet came in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It followed the one before.
    InOrder,
    /// It filled a gap: it was overtaken on its way.
    Overtaken,
    /// It waits behind a gap.
    Waiting,
    /// Its place was given up already; it is dropped.
    Late,
}

/// Orders packets by extended sequence number. Duplicates are refused before ([`crate::rtp::Sequence`]).
#[derive(Debug)]
pub struct Reorder<T> {
    longest: Duration,
    window: Duration,
    next: Option<u64>,
    waiting: BTreeMap<u64, (Instant, T)>,
    released: VecDeque<Released<T>>,
}

impl<T> Reorder<T> {
    /// Waits up to `longest` for missing packets.
    pub fn new(longest: Duration) -> Self {
        Self { longest, window: longest, next: None, waiting: BTreeMap::new(), released: VecDeque::new() }
    }

    /// Takes a packet.
    pub fn push(&mut self, extended: u64, packet: T, now: Instant) -> Placed {
        let next = *self.next.get_or_insert(extended);
        if extended < next {
            self.window = self.longest;
            return Placed::Late;
        }
        if extended > next {
            self.waiting.insert(extended, (now, packet));
            if self.waiting.len() > MAX_WAITING {
                self.give_up_through(self.waiting.first_key_value().map(|(first, _)| *first));
            }
            return Placed::Waiting;
        }
        self.release(extended, packet);
        if self.waiting.is_empty() {
            return Placed::InOrder;
        }
        self.window = self.longest;
        self.release_contiguous();
        Placed::Overtaken
    }

    /// Gives up the gaps that were waited for long enough.
    pub fn handle_timeout(&mut self, now: Instant) {
        // What waits behind a later gap may have waited long enough for the shortened window already.
        while let Some(last) = self.expired(now) {
            self.window = (self.window / 2).max(SHORTEST_WINDOW).min(self.longest);
            self.give_up_through(Some(last));
        }
    }

    /// When the first gap is given up.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.values().map(|(arrived, _)| *arrived + self.window).min()
    }

    /// The next packet or gap.
    pub fn poll(&mut self) -> Option<Released<T>> {
        self.released.pop_front()
    }

    /// Gives up all gaps and releases all that waits.
    pub fn flush(&mut self) {
        self.give_up_through(self.waiting.last_key_value().map(|(last, _)| *last));
    }

    /// Releases all that waits and forgets the sequence: the stream begins anew.
    pub fn restart(&mut self) {
        self.flush();
        self.next = None;
        self.released.push_back(Released::Restarted);
    }

    /// The last packet that waited for long enough.
    fn expired(&self, now: Instant) -> Option<u64> {
        let expired = self.waiting.iter().rev().find(|(_, (arrived, _))| *arrived + self.window <= now);
        expired.map(|(extended, _)| *extended)
    }

    fn give_up_through(&mut self, last: Option<u64>) {
        while let Some(entry) = self.waiting.first_entry()
            && last.is_some_and(|last| *entry.key() <= last)
        {
            let (extended, (_, packet)) = entry.remove_entry();
            let missing = extended.saturating_sub(self.next.unwrap_or(extended));
            if missing > 0 {
                self.released.push_back(Released::Lost(missing));
            }
            self.release(extended, packet);
        }
        self.release_contiguous();
    }

    fn release_contiguous(&mut self) {
        while let Some(entry) = self.waiting.first_entry()
            && self.next == Some(*entry.key())
        {
            let (extended, (_, packet)) = entry.remove_entry();
            self.release(extended, packet);
        }
    }

    fn release(&mut self, extended: u64, packet: T) {
        self.released.push_back(Released::Packet(packet));
        self.next = Some(extended + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, origin};

    const WINDOW: Duration = Duration::from_millis(40);

    fn drain(reorder: &mut Reorder<u64>) -> Vec<Released<u64>> {
        std::iter::from_fn(|| reorder.poll()).collect()
    }

    #[test]
    fn what_is_in_order_leaves_at_once() {
        let mut reorder = Reorder::new(WINDOW);
        for n in 5..10 {
            assert_eq!(reorder.push(n, n, origin()), Placed::InOrder);
            assert_eq!(drain(&mut reorder), [Released::Packet(n)]);
            assert_eq!(reorder.poll_timeout(), None);
        }
    }

    #[test]
    fn an_overtaken_packet_is_waited_for() {
        let (mut reorder, now) = (Reorder::new(WINDOW), origin());
        reorder.push(1, 1, now);
        assert_eq!(reorder.push(3, 3, now), Placed::Waiting);
        reorder.handle_timeout(now + WINDOW - Duration::from_millis(1));
        assert_eq!(drain(&mut reorder), [Released::Packet(1)]);
        assert_eq!(reorder.push(2, 2, now), Placed::Overtaken);
        assert_eq!(drain(&mut reorder), [Released::Packet(2), Released::Packet(3)]);
    }

    #[test]
    fn a_gap_is_given_up_after_the_window_and_its_packet_is_late() {
        let (mut reorder, now) = (Reorder::new(WINDOW), origin());
        reorder.push(1, 1, now);
        reorder.push(4, 4, now);
        reorder.push(6, 6, now + WINDOW * 7 / 8);
        assert_eq!(reorder.poll_timeout(), Some(now + WINDOW));
        reorder.handle_timeout(now + WINDOW);
        assert_eq!(drain(&mut reorder), [Released::Packet(1), Released::Lost(2), Released::Packet(4)]);
        assert_eq!(reorder.push(3, 3, now + WINDOW), Placed::Late);
        assert_eq!(reorder.push(5, 5, now + WINDOW), Placed::Overtaken);
        assert_eq!(drain(&mut reorder), [Released::Packet(5), Released::Packet(6)]);
    }

    #[test]
    fn losses_shorten_the_wait_and_an_overtaken_packet_restores_it() {
        let (mut reorder, mut now) = (Reorder::new(WINDOW), origin());
        reorder.push(0, 0, now);
        let mut wait = |reorder: &mut Reorder<u64>, n: u64| {
            now += Duration::from_secs(1);
            reorder.push(n, n, now);
            let due = reorder.poll_timeout().expect("a gap") - now;
            reorder.handle_timeout(now + due);
            due.as_millis()
        };
        assert_eq!([2, 4, 6, 8].map(|n| wait(&mut reorder, n)), [40, 20, 10, 10]);
        assert_eq!(reorder.push(7, 7, origin()), Placed::Late);
        assert_eq!([10, 12].map(|n| wait(&mut reorder, n)), [40, 20]);
        reorder.push(14, 14, origin());
        assert_eq!(reorder.push(13, 13, origin()), Placed::Overtaken);
        assert_eq!(wait(&mut reorder, 16), 40);
    }

    #[test]
    fn waiting_is_bounded() {
        let mut reorder = Reorder::new(WINDOW);
        reorder.push(0, 0, origin());
        for n in 0..10_000 {
            reorder.push(2 + 2 * n, n, origin());
            assert!(reorder.waiting.len() <= MAX_WAITING);
        }
    }

    /// Whatever the network does: no packet overtakes another, none that came in time is lost, none is invented.
    #[test]
    fn it_never_reorders_and_never_loses_what_was_taken() {
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let start = origin();
            let mut arrivals: Vec<(u64, u64)> = Vec::new();
            for n in 0..400 {
                let spread = [10, 10, 10, 120][random.below(4) as usize];
                arrivals.push((n * 20 + random.below(spread), n));
            }
            arrivals.retain(|(_, n)| *n == 0 || !random.chance(10));
            arrivals.sort_unstable();
            let mut reorder = Reorder::new(WINDOW);
            let (mut out, mut late) = (Vec::new(), 0);
            for (at, n) in &arrivals {
                let now = start + Duration::from_millis(*at);
                while let Some(deadline) = reorder.poll_timeout()
                    && deadline <= now
                {
                    reorder.handle_timeout(deadline);
                    assert!(reorder.poll_timeout().is_none_or(|next| next > deadline), "deadlines advance");
                }
                late += usize::from(reorder.push(*n, *n, now) == Placed::Late);
                out.extend(drain(&mut reorder));
            }
            reorder.restart();
            out.extend(drain(&mut reorder));
            check(seed, arrivals.iter().map(|(_, n)| *n).max(), &out, arrivals.len() - late, arrivals[0].1);
        }
    }

    fn check(seed: u64, last: Option<u64>, out: &[Released<u64>], taken: usize, first: u64) {
        let mut position = first;
        let mut packets = 0;
        for released in out {
            match released {
                Released::Packet(n) => {
                    assert_eq!(*n, position, "seed {seed}");
                    position += 1;
                    packets += 1;
                }
                Released::Lost(missing) => position += missing,
                Released::Restarted => {}
            }
        }
        assert_eq!(packets, taken, "seed {seed}");
        assert_eq!(Some(position - 1), last, "seed {seed}");
    }
}
