//! Which of several servers is tried: RFC 3263 §4.3.
use super::{MAX_TARGETS, Target};
use std::time::{Duration, Instant};

/// How long a server that failed is tried after those that did not, at least and at most.
const AVOIDED: Duration = Duration::from_secs(5 * 60);
const LONGEST_AVOIDED: Duration = Duration::from_secs(60 * 60);

/// Servers in order of preference, and which of them failed lately. As many as [`MAX_TARGETS`]; the least preferred
/// beyond it are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    target: Target,
    avoided_until: Option<Instant>,
}

impl Entry {
    fn is_avoided(&self, now: Instant) -> bool {
        self.avoided_until.is_some_and(|until| until > now)
    }
}

impl Targets {
    /// None of them has failed.
    pub fn new(targets: Vec<Target>) -> Self {
        let entries = targets.into_iter().take(MAX_TARGETS);
        Self(entries.map(|target| Entry { target, avoided_until: None }).collect())
    }

    /// The one to try: the first that has not failed lately, or else the one whose failure is the longest ago. `None` if
    /// there are none at all.
    pub fn current(&self, now: Instant) -> Option<&Target> {
        let sound = self.0.iter().find(|entry| !entry.is_avoided(now));
        sound.or_else(|| self.0.iter().min_by_key(|entry| entry.avoided_until)).map(|entry| &entry.target)
    }

    /// This one answered 503, was not reachable or said nothing. `retry_after` is what it asked for itself. Returns
    /// whether another is left that has not failed lately.
    pub fn failed(&mut self, target: &Target, retry_after: Duration, now: Instant) -> bool {
        let avoided = retry_after.clamp(AVOIDED, LONGEST_AVOIDED);
        if let Some(entry) = self.0.iter_mut().find(|entry| entry.target == *target) {
            entry.avoided_until = Some(now + avoided);
        }
        self.any_left(now)
    }

    /// Whether there is one that has not failed lately.
    pub fn any_left(&self, now: Instant) -> bool {
        self.0.iter().any(|entry| !entry.is_avoided(now))
    }

    /// Whether there is one besides this that has not failed lately.
    pub fn any_but(&self, target: &Target, now: Instant) -> bool {
        self.0.iter().any(|entry| entry.target != *target && !entry.is_avoided(now))
    }

    /// Whether this is one of them.
    pub fn contains(&self, target: &Target) -> bool {
        self.0.iter().any(|entry| entry.target == *target)
    }

    /// Takes the place of the targets so far; what is known of those that stay is kept.
    pub fn replace(&mut self, targets: Vec<Target>) {
        let before = std::mem::replace(self, Self::new(targets));
        for entry in &mut self.0 {
            let known = before.0.iter().find(|known| known.target == entry.target);
            entry.avoided_until = known.and_then(|known| known.avoided_until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{transaction::timer::epoch, transport::Transport};

    fn target(host: u8) -> Target {
        let remote = std::net::SocketAddr::from(([192, 0, 2, host], 5060));
        Target { transport: Transport::Udp, remote, name: "pbx.example".into() }
    }

    fn three() -> Targets {
        Targets::new([1, 2, 3].map(target).to_vec())
    }

    #[test]
    fn a_failure_moves_on_to_the_next_and_time_brings_the_first_back() {
        let (mut targets, now) = (three(), epoch());
        assert_eq!(targets.current(now), Some(&target(1)));
        assert!(targets.failed(&target(1), Duration::ZERO, now));
        assert_eq!(targets.current(now), Some(&target(2)));
        assert_eq!(targets.current(now + AVOIDED - Duration::from_millis(1)), Some(&target(2)));
        assert_eq!(targets.current(now + AVOIDED), Some(&target(1)));
    }

    #[test]
    fn when_all_have_failed_they_take_turns() {
        let (mut targets, mut now) = (three(), epoch());
        let mut tried = Vec::new();
        for _ in 0..6 {
            let current = targets.current(now).unwrap().clone();
            let left = targets.failed(&current, Duration::ZERO, now);
            tried.push((current.remote.ip().to_string(), left));
            now += Duration::from_secs(1);
        }
        let want = [("192.0.2.1", true), ("192.0.2.2", true), ("192.0.2.3", false)];
        let again = want.map(|(host, _)| (host, false));
        let want: Vec<_> = want.into_iter().chain(again).map(|(host, left)| (host.to_owned(), left)).collect();
        assert_eq!(tried, want);
    }

    #[test]
    fn retry_after_is_honoured_up_to_an_hour() {
        let (mut targets, now) = (three(), epoch());
        targets.failed(&target(1), Duration::from_secs(1_800), now);
        assert_eq!(targets.current(now + Duration::from_secs(1_799)), Some(&target(2)));
        assert_eq!(targets.current(now + Duration::from_secs(1_800)), Some(&target(1)));
        targets.failed(&target(1), Duration::from_secs(u64::MAX), now);
        assert_eq!(targets.current(now + LONGEST_AVOIDED), Some(&target(1)));
    }

    #[test]
    fn new_targets_keep_what_is_known_of_the_old() {
        let (mut targets, now) = (three(), epoch());
        targets.failed(&target(1), Duration::ZERO, now);
        targets.replace(vec![target(1), target(4)]);
        assert_eq!(targets.current(now), Some(&target(4)));
        assert!(targets.contains(&target(4)) && !targets.contains(&target(2)));
        targets.replace(Vec::new());
        assert_eq!(targets.current(now), None);
        assert!(!targets.failed(&target(1), Duration::ZERO, now), "none is left");
    }

    #[test]
    fn there_is_a_bound() {
        let targets = Targets::new((0..=255).map(target).collect());
        assert_eq!(targets.0.len(), MAX_TARGETS);
    }
}
