//! What is taken away when, and what is noted meanwhile.
use crate::{
    analysis::{self, Window},
    metric::Metric,
    phones::Line,
    provider::Log,
    soak,
};
use std::{
    slice,
    time::{Duration, Instant},
};

const MINUTE: Duration = Duration::from_secs(60);
/// Between two faults, where they are short: what was spilled is looked after within half a minute.
const BREATH: Duration = Duration::from_secs(40);
/// With a disk that cannot be filled this many phases are left.
const WITHOUT_DISK: usize = 5;

/// What the server leans on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thing {
    Database,
    Redis,
    /// Room on it.
    Disk,
}

impl Thing {
    pub(super) const ALL: [Self; 3] = [Self::Database, Self::Redis, Self::Disk];
}

/// A while in which something is away, or nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phase {
    pub(super) name: &'static str,
    pub(super) length: Duration,
    pub(super) away: &'static [Thing],
}

impl Phase {
    pub(super) fn lacks(&self, thing: Thing) -> bool {
        self.away.contains(&thing)
    }
}

/// All phases, in order. Each fault lasts for so many minutes, or as long as it does by itself.
pub(super) fn phases(minutes: Option<u32>, is_disk_small: bool) -> Vec<Phase> {
    use Thing::{Database, Disk, Redis};
    let cut = |by_itself| MINUTE * minutes.unwrap_or(by_itself);
    let rest = if minutes.is_some() { BREATH } else { MINUTE };
    let phase = |name, length, away| Phase { name, length, away };
    let mut all = vec![
        phase("before", rest, &[]),
        phase("database away", cut(5), &[Database]),
        phase("database back", rest, &[]),
        phase("Redis away", cut(3), &[Redis]),
        phase("Redis back", rest, &[]),
        phase("disk full", cut(3), &[Disk]),
        phase("disk freed", rest, &[]),
        phase("database away again", rest, &[Database]),
        phase("and the disk full", cut(2), &[Database, Disk]),
        phase("both back", rest, &[]),
    ];
    if !is_disk_small {
        all.truncate(WITHOUT_DISK);
    }
    all
}

/// What was noted in one phase.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    /// Calls that were up, each second.
    pub(super) up: Vec<usize>,
    /// Calls placed in it; those answered of them; and those refused.
    pub(super) begun: usize,
    pub(super) answered: usize,
    pub(super) refused: usize,
    /// Calls that ended in it otherwise than by our BYE.
    pub(super) dropped: usize,
    /// INVITE to 200 of those placed in it.
    pub(super) setup_ms: Vec<f64>,
    /// Of its packets.
    pub(super) pacing: Vec<f64>,
    pub(super) bursts: usize,
    /// Packets that were left out or lost.
    pub(super) missing: usize,
}

impl Row {
    /// What one phone heard in this window of it.
    fn hear(&mut self, line: &Line, window: Window) {
        let figures = analysis::figures(slice::from_ref(line), &Log::default(), window);
        self.bursts += soak::bursts(&figures.pacing);
        self.missing += figures.downlink_lost + figures.slots_skipped;
        self.pacing.extend(figures.pacing);
    }

    /// Packets beyond [`soak::LATE`].
    pub(super) fn late(&self) -> usize {
        self.pacing.iter().filter(|off| **off > soak::LATE).count()
    }

    /// Packets' distance from their grid, ms: percentiles 50, 99 and 99.9, and the most.
    pub(super) fn off_grid(&self) -> [f64; 4] {
        percentiles(&self.pacing, [50.0, 99.0, 99.9, 100.0])
    }

    /// INVITE to 200, ms: percentile 50, and the most.
    pub(super) fn setup(&self) -> [f64; 2] {
        percentiles(&self.setup_ms, [50.0, 100.0])
    }

    /// Calls that were up, in the middle of what was seen.
    pub(super) fn up(&self) -> usize {
        let mut up = self.up.clone();
        up.sort_unstable();
        up.get(up.len() / 2).copied().unwrap_or_default()
    }
}

fn percentiles<const N: usize>(samples: &[f64], percentiles: [f64; N]) -> [f64; N] {
    let metric = Metric::new("", "", "", samples.to_vec());
    percentiles.map(|percentile| metric.percentile(percentile).unwrap_or_default())
}

/// Counts what a phone heard within `whole` in the phases in which it was heard; `starts` are those of the phases that began.
pub(super) fn share_out(rows: &mut [Row], starts: &[Instant], line: &Line, whole: Window) {
    for (number, (row, start)) in rows.iter_mut().zip(starts).enumerate() {
        let end = starts.get(number + 1).copied().unwrap_or(whole.until);
        let window = Window { from: whole.from.max(*start), until: whole.until.min(end) };
        if window.from < window.until {
            row.hear(line, window);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phones::{Packet, Sound};

    #[test]
    fn everything_that_is_taken_away_is_given_back_and_each_thing_is_once_away_alone() {
        for minutes in [None, Some(1)] {
            let phases = phases(minutes, true);
            assert!(phases[0].away.is_empty() && phases[phases.len() - 1].away.is_empty());
            for thing in Thing::ALL {
                let alone = phases.windows(3).find(|three| three[1].away == [thing]);
                let [before, away, after] = alone.unwrap() else { panic!("not three") };
                assert!(before.away.is_empty() && after.away.is_empty(), "{away:?}");
                assert!(away.length >= MINUTE);
            }
        }
        assert!(phases(None, false).iter().all(|phase| !phase.lacks(Thing::Disk)));
        assert!(phases(None, false).iter().any(|phase| phase.lacks(Thing::Redis)));
    }

    #[test]
    fn what_is_heard_counts_in_the_phase_in_which_it_is_heard() {
        let start = Instant::now();
        let second = |number: u64| start + Duration::from_secs(number);
        let heard = (0..500_u16).map(|slot| Packet {
            at: start + Duration::from_millis(20) * slot.into(),
            sequence: slot,
            timestamp: u32::from(slot) * 160,
            sound: Sound::Silence,
        });
        let line = Line { sent: Vec::new(), heard: heard.filter(|packet| packet.sequence != 301).collect() };
        let mut rows = vec![Row::default(); 4];
        // The fourth has not begun; of the first three the call was there for two seconds, four and one.
        let starts = [second(0), second(4), second(8)];
        share_out(&mut rows, &starts, &line, Window { from: second(2), until: second(9) });
        assert_eq!(rows.iter().map(|row| row.pacing.len()).collect::<Vec<_>>(), [100, 199, 50, 0]);
        assert_eq!(rows.iter().map(|row| row.missing).collect::<Vec<_>>(), [0, 1, 0, 0]);
    }
}
