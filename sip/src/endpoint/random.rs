//! Tags, branches, Call-IDs and jitter, all from one seed, so that a journal replays byte for byte.
use md5::{Digest, Md5};
use std::time::Duration;

/// A counter hashed with the seed: who sees a tag cannot tell the next one.
#[derive(Debug)]
pub(crate) struct Random {
    seed: u64,
    counter: u64,
}

impl Random {
    /// The sequence of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, counter: 0 }
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(1);
        self.hash([&self.counter.to_be_bytes()[..]])
    }

    /// 16 characters for a tag, a Call-ID or a cnonce: RFC 3261 §19.3 asks for 32 bits of randomness at least.
    pub(crate) fn token(&mut self) -> String {
        format!("{:016x}", self.next())
    }

    /// A branch with the magic cookie of RFC 3261 §8.1.1.7.
    pub(crate) fn branch(&mut self) -> String {
        format!("z9hG4bK{:016x}", self.next())
    }

    /// The tag of a response sent without keeping state (RFC 3261 §8.2.7): the same for the same request.
    pub(crate) fn stateless_tag(&self, parts: [&str; 3]) -> String {
        format!("{:016x}", self.hash(parts.map(str::as_bytes)))
    }

    /// A duration in `from..=to`, in steps of 10 ms as RFC 3261 §14.1 wants it.
    pub(crate) fn between(&mut self, from: Duration, to: Duration) -> Duration {
        let steps = u64::try_from(to.saturating_sub(from).as_millis() / 10).unwrap_or(u64::MAX);
        let step = self.next() % steps.saturating_add(1);
        from + Duration::from_millis(step.saturating_mul(10))
    }

    fn hash<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
        let mut md5 = Md5::new();
        md5.update(self.seed.to_be_bytes());
        for part in parts {
            md5.update(part);
            md5.update([0]);
        }
        md5.finalize().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_one_sequence() {
        let (mut a, mut b, mut c) = (Random::new(7), Random::new(7), Random::new(8));
        assert_eq!(a.token(), b.token());
        assert_ne!(a.token(), c.token());
        assert_ne!(a.branch(), a.branch());
        assert_eq!(a.stateless_tag(["x", "y", "z"]), b.stateless_tag(["x", "y", "z"]));
        assert_ne!(a.stateless_tag(["x", "y", "z"]), a.stateless_tag(["xy", "", "z"]));
    }

    #[test]
    fn jitter_stays_within_its_bounds() {
        let mut random = Random::new(1);
        let (from, to) = (Duration::from_millis(2100), Duration::from_secs(4));
        let drawn: Vec<Duration> = (0..500).map(|_| random.between(from, to)).collect();
        assert!(drawn.iter().all(|d| (from..=to).contains(d) && d.as_millis() % 10 == 0));
        assert!(
            drawn.iter().any(|d| *d < Duration::from_millis(2300))
                && drawn.iter().any(|d| *d > Duration::from_millis(3800))
        );
    }
}
