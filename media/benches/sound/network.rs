//! The way between phone and server: what it loses, and how unevenly it delivers.
use std::time::Duration;

/// Mean length of a burst of losses, in packets.
const BURST: f64 = 3.0;

/// How packets are lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Loss {
    /// Each by itself.
    Random,
    /// Gilbert-Elliott: nothing in the good state, everything in the bad one, three packets at a time on average.
    Bursty,
}

/// One condition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Network {
    pub(crate) loss: Loss,
    /// Share of packets lost, 0 to 1.
    pub(crate) share: f64,
    /// Each packet is delayed by 0 to so much, evenly spread.
    pub(crate) jitter: Duration,
    /// A packet waits for those before it, as in a queue; otherwise it may overtake them.
    pub(crate) keeps_order: bool,
}

impl Network {
    /// When each packet sent at these times arrives, in order of arrival: time and index.
    pub(crate) fn carry(&self, sent: impl Iterator<Item = Duration>, random: &mut Random) -> Vec<(Duration, usize)> {
        let (mut bad, mut last) = (false, Duration::ZERO);
        let mut arrivals = Vec::new();
        for (index, at) in sent.enumerate() {
            // Every packet takes the same draws, so that conditions of one seed differ in nothing else.
            let (draw, delay) = (random.share(), self.jitter.mul_f64(random.share()));
            bad = match self.loss {
                Loss::Random => draw < self.share,
                Loss::Bursty if bad => draw >= 1.0 / BURST,
                Loss::Bursty => draw < self.share / (1.0 - self.share) / BURST,
            };
            if bad {
                continue;
            }
            let arrives = if self.keeps_order { last.max(at + delay) } else { at + delay };
            last = arrives;
            arrivals.push((arrives, index));
        }
        arrivals.sort();
        arrivals
    }
}

/// Marsaglia's xorshift64: the same seed gives the same network.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        (0..8).for_each(|_| _ = random.share());
        random
    }

    /// From 0 to just below 1.
    pub(crate) fn share(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}
