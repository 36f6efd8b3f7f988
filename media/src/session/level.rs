//! Whether more audio went up than time has passed.
//!
//! Packets that stall and then come together leave made-up audio before them, and a phone whose clock is fast says more
//! than an hour in an hour. The surplus is given back where nobody hears it: frames of a pause are left out.
use std::time::{Duration, Instant};

use super::stats::Stats;
use crate::audio::SampleRate;

/// A surplus below this is left: packets are that uneven without a stall.
const TOLERATED: Duration = Duration::from_millis(60);
/// How far behind the clock the stream may fall before the clock gives in: a slow phone, or a late start.
const BEHIND: Duration = Duration::from_millis(100);
/// No network holds so much back, and no clock is so fast: whoever is ahead by more sends more than a call has. It costs
/// what a provider takes for it, so nothing more of that goes up, however loud.
const MOST: Duration = Duration::from_secs(60);
/// Root mean square of a frame that may be left out, about −46 dB below full scale: a pause on a quiet line.
const QUIET: f64 = 164.0;

/// What went up against the clock, of one call.
#[derive(Debug)]
pub(super) struct Level {
    since: Instant,
    given: Duration,
    /// The frame before was quiet.
    pausing: bool,
}

impl Level {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, given: Duration::ZERO, pausing: false }
    }

    /// This went up.
    pub(super) fn give(&mut self, audio: Duration) {
        self.given += audio;
    }

    /// Whether this frame of the caller's is to be left out. It is counted if so.
    pub(super) fn leave_out(&mut self, samples: &[i16], rate: SampleRate, now: Instant, stats: &mut Stats) -> bool {
        let (quiet, frame) = (is_quiet(samples), rate.duration_of(samples.len()));
        let within = std::mem::replace(&mut self.pausing, quiet) && quiet;
        let ahead = self.ahead(now);
        if ahead < MOST && (!within || ahead < TOLERATED + frame) {
            return false;
        }
        stats.left_out += frame;
        true
    }

    /// How much may be made up for what is missing.
    pub(super) fn room(&mut self, now: Instant) -> Duration {
        MOST.saturating_sub(self.ahead(now))
    }

    /// Whether more went up than packets are uneven.
    pub(super) fn has_surplus(&mut self, now: Instant) -> bool {
        self.ahead(now) >= TOLERATED
    }

    /// How much more than that it will be at `then`, if nothing more goes up until then.
    pub(super) fn surplus(&self, then: Instant) -> Duration {
        // Nothing is forgiven for a time that is yet to come.
        self.given.saturating_sub(then.saturating_duration_since(self.since) + TOLERATED)
    }

    /// How much more went up than time has passed.
    pub(super) fn ahead(&mut self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.since);
        self.since += passed.saturating_sub(self.given + BEHIND);
        self.given.saturating_sub(passed)
    }
}

fn is_quiet(samples: &[i16]) -> bool {
    let energy: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    energy <= QUIET * QUIET * samples.len() as f64
}
