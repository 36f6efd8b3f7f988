//! RFC 3261 §17.1.1.1 and table 4: the base timers; and an agenda that says which deadline is next.
use crate::transport::Transport;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// RTT estimate.
pub(crate) const T1: Duration = Duration::from_millis(500);
/// Longest retransmission interval of non-INVITE requests and INVITE responses.
pub(crate) const T2: Duration = Duration::from_secs(4);
/// Longest time a message stays in the network.
pub(crate) const T4: Duration = Duration::from_secs(5);
/// How long a server may be silent before the next is asked. RFC 3263 §4.3 waits for timer B or F, 64·T1 for nothing
/// where a server is dead. One that lives says 100 within 200 ms (RFC 3261 §17.2.1), and answers anything but INVITE at
/// once; by then four copies of the request have been sent.
pub(crate) const FIRST_RESPONSE: Duration = Duration::from_secs(5);
/// 64·T1: timers B, F, H, J, L and M.
pub(crate) const T1_64: Duration = Duration::from_secs(32);
/// Timer D: "at least 32 seconds for unreliable transports".
pub(crate) const TIMER_D: Duration = Duration::from_secs(32);

/// A wait that only an unreliable transport needs: timers D, I, J and K are zero over streams.
pub(crate) fn linger(transport: Transport, wait: Duration) -> Duration {
    match transport {
        Transport::Udp => wait,
        Transport::Tcp | Transport::Tls => Duration::ZERO,
    }
}

/// A message that is sent again and again, ever more slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Repeat {
    at: Instant,
    interval: Duration,
    longest: Duration,
}

impl Repeat {
    /// First repetition after T1, doubling up to `longest`.
    pub(crate) fn new(longest: Duration, now: Instant) -> Self {
        Self { at: now + T1, interval: T1, longest }
    }

    /// As [`Repeat::new`], but only where the transport may lose messages: timers A, E and G.
    pub(crate) fn on(transport: Transport, longest: Duration, now: Instant) -> Option<Self> {
        (!transport.is_reliable()).then(|| Self::new(longest, now))
    }

    /// When it is next sent.
    pub(crate) fn at(&self) -> Instant {
        self.at
    }

    /// Whether it is due; if so, it is set for the next time. A late call repeats once, not once per missed interval.
    pub(crate) fn take_due(&mut self, now: Instant) -> bool {
        if self.at > now {
            return false;
        }
        self.interval = (self.interval * 2).min(self.longest);
        self.at = now + self.interval;
        true
    }

    /// RFC 3261 §17.1.2.2: in Proceeding, Timer E fires every T2.
    pub(crate) fn slow_down(&mut self) {
        self.interval = self.longest;
    }
}

/// A deadline and what it is for.
pub(crate) type Deadline = (Instant, &'static str);

/// The earlier of several deadlines.
pub(crate) fn earliest(deadlines: impl IntoIterator<Item = Option<Deadline>>) -> Option<Deadline> {
    deadlines.into_iter().flatten().min()
}

/// Deadlines of many machines, the next one found in O(log n).
#[derive(Debug)]
pub(crate) struct Agenda<K> {
    by_key: BTreeMap<K, Deadline>,
    by_time: BTreeSet<(Instant, K)>,
}

impl<K> Default for Agenda<K> {
    fn default() -> Self {
        Self { by_key: BTreeMap::new(), by_time: BTreeSet::new() }
    }
}

impl<K: Ord + Copy> Agenda<K> {
    /// Sets, moves or clears the deadline of `key`.
    pub(crate) fn set(&mut self, key: K, deadline: Option<Deadline>) {
        if let Some((at, _)) = self.by_key.remove(&key) {
            self.by_time.remove(&(at, key));
        }
        if let Some((at, name)) = deadline {
            self.by_key.insert(key, (at, name));
            self.by_time.insert((at, key));
        }
    }

    /// A key whose deadline has come; cleared, so that its owner sets the next one.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        let (at, key) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.set(key, None);
        Some(key)
    }

    /// The next deadline.
    pub(crate) fn next(&self) -> Option<Deadline> {
        let (_, key) = self.by_time.first()?;
        self.by_key.get(key).copied()
    }
}

/// Some instant for virtual clocks to start from.
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from; no test depends on which")]
pub(crate) fn epoch() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3261 table 4.
    #[test]
    fn base_timers() {
        assert_eq!([T1, T2, T4, T1_64].map(|timer| timer.as_millis()), [500, 4000, 5000, 32_000]);
        assert!(TIMER_D >= Duration::from_secs(32));
        for wait in [TIMER_D, T4, T1_64] {
            assert_eq!((linger(Transport::Udp, wait), linger(Transport::Tcp, wait)), (wait, Duration::ZERO));
        }
        let start = epoch();
        assert!(Repeat::on(Transport::Udp, T2, start).is_some() && Repeat::on(Transport::Tcp, T2, start).is_none());
    }

    #[test]
    fn a_repeat_doubles_up_to_its_limit() {
        let start = epoch();
        let mut repeat = Repeat::new(T2, start);
        let mut at = Vec::new();
        for _ in 0..6 {
            let due = repeat.at();
            assert!(!repeat.take_due(due - Duration::from_millis(1)));
            assert!(repeat.take_due(due));
            at.push((due - start).as_millis());
        }
        assert_eq!(at, [500, 1500, 3500, 7500, 11_500, 15_500]);
    }

    #[test]
    fn an_agenda_moves_and_clears() {
        let start = epoch();
        let mut agenda = Agenda::default();
        agenda.set(1, Some((start + T4, "one")));
        agenda.set(2, Some((start + T1, "two")));
        assert_eq!(agenda.next(), Some((start + T1, "two")));
        agenda.set(2, Some((start + T1_64, "two, later")));
        assert_eq!(agenda.next(), Some((start + T4, "one")));
        assert_eq!(agenda.pop_due(start), None);
        assert_eq!(agenda.pop_due(start + T4), Some(1));
        agenda.set(2, None);
        assert_eq!(agenda.next(), None);
    }
}
