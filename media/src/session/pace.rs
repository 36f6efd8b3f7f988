//! When packets leave: at absolute deadlines, whatever the wake-ups do.
use std::time::{Duration, Instant};

/// The most frames one wake-up sends. More would be a burst, and a burst is jitter to the peer.
const BURST: u64 = 2;

/// What a wake-up is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// Slots that passed unused, before the frames.
    pub(super) skipped: u64,
    /// Frames to send.
    pub(super) frames: u64,
}

/// Slots of one packet time each: `epoch + ptime × n`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    epoch: Instant,
    ptime: Duration,
    slot: u32,
}

impl Pace {
    pub(super) fn new(epoch: Instant, ptime: Duration) -> Self {
        Self { epoch, ptime, slot: 0 }
    }

    pub(super) fn ptime(&self) -> Duration {
        self.ptime
    }

    /// The next slot.
    pub(super) fn deadline(&self) -> Instant {
        self.epoch + self.ptime * self.slot
    }

    /// Another packet time from the next slot on.
    pub(super) fn change(&mut self, ptime: Duration) {
        *self = Self::new(self.deadline(), ptime);
    }

    /// Takes the slots that are due. After a late wake-up the grid stays where it was, and what cannot be sent any more
    /// is skipped.
    pub(super) fn advance(&mut self, now: Instant) -> Due {
        let Some(late) = now.checked_duration_since(self.deadline()) else { return Due::default() };
        let due = (late.as_nanos() / self.ptime.as_nanos().max(1)) as u64 + 1;
        let frames = due.min(BURST);
        self.skip(due);
        Due { skipped: due - frames, frames }
    }

    fn skip(&mut self, slots: u64) {
        match u32::try_from(slots).ok().and_then(|slots| self.slot.checked_add(slots)) {
            Some(slot) => self.slot = slot,
            // 2³² slots are years; the epoch moves to where they end.
            None => *self = Self::new(self.deadline() + self.ptime, self.ptime),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::origin;

    const PTIME: Duration = Duration::from_millis(20);

    #[test]
    fn ten_minutes_of_late_wake_ups_are_still_fifty_a_second() {
        let (start, mut random) = (origin(), crate::testing::Random::new(1));
        let (mut pace, mut sent) = (Pace::new(start, PTIME), 0);
        while pace.deadline() < start + Duration::from_secs(600) {
            let late = Duration::from_micros(random.below(19_999));
            let due = pace.advance(pace.deadline() + late);
            assert_eq!(due.skipped, 0);
            sent += due.frames;
        }
        assert_eq!(sent, 30_000);
    }

    #[test]
    fn a_late_wake_up_sends_two_frames_and_the_grid_stays() {
        let start = origin();
        let cases = [(0, 0, 1), (19, 0, 1), (20, 0, 2), (39, 0, 2), (40, 1, 2), (1_000, 49, 2)];
        for (late, skipped, frames) in cases {
            let mut pace = Pace::new(start, PTIME);
            assert_eq!(pace.advance(start + Duration::from_millis(late)), Due { skipped, frames }, "{late} ms");
            assert_eq!(pace.deadline(), start + PTIME * (skipped + frames) as u32);
        }
    }

    #[test]
    fn early_wake_ups_send_nothing() {
        let start = origin();
        let mut pace = Pace::new(start + PTIME, PTIME);
        assert_eq!(pace.advance(start), Due::default());
    }
}
