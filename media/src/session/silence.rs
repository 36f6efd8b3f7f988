//! Whether the phone is still there: how long RTP may stay away, and what is said of it.
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::stats::{Dropped, Stats, Unbelieved};

/// How long the phone may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// [`super::Event::Silent`] after so long without RTP.
    pub warning: Duration,
    /// [`super::Event::MediaTimeout`] after so long without RTP.
    pub end: Duration,
    /// The same while the peer need not send RTP (hold), and its reports count as signs of life, and packets that nobody
    /// understands, or that come again, too. They do as well, within `end`, while a caller rests who said so by comfort
    /// noise.
    pub hold: Duration,
}

/// RTP that stayed away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Where it should come from.
    pub expected: SocketAddr,
    /// How long ago the last packet came; `None` if none ever did.
    pub last: Option<Duration>,
    /// How long it has been waited for.
    pub length: Duration,
    /// Datagrams dropped meanwhile, as they came from elsewhere.
    pub foreign: u64,
    /// Where the first of all such came from.
    pub foreign_from: Option<SocketAddr>,
    /// Packets dropped meanwhile, as SRTP did not believe them.
    pub unbelieved: Unbelieved,
    /// Datagrams dropped meanwhile, as they were no RTP, or of a payload type nobody agreed on.
    pub malformed: u64,
    /// RTP dropped meanwhile, as it was numbered like a packet before, or unlike all others.
    pub unplaced: u64,
}

/// What has to come from the phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// RTP.
    Rtp,
    /// A sign of life: the caller rests, and RFC 3389 §4 leaves it open when the phone says so again.
    Rest,
    /// The same, and not soon: a hold.
    Hold,
}

/// What a silence leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Warn,
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Warned,
    /// Nothing more follows until the phone is heard.
    Ended,
}

/// Waits for RTP.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    patience: Patience,
    /// When RTP last came, or was first to be expected.
    since: Instant,
    heard: Option<Instant>,
    /// When RTP last came that does not stand for what is due.
    stirred: Option<Instant>,
    /// Packets without a place in their stream since RTP last came.
    unplaced: u64,
    told: Told,
    /// What had been dropped when RTP last came.
    dropped: Dropped,
}

impl Watch {
    pub(super) fn new(patience: Patience, now: Instant) -> Self {
        let dropped = Dropped::default();
        Self { patience, since: now, heard: None, stirred: None, unplaced: 0, told: Told::Nothing, dropped }
    }

    /// RTP of the phone came, after so much that was dropped.
    pub(super) fn hear(&mut self, dropped: Dropped, now: Instant) {
        *self = Self { since: now, heard: Some(now), unplaced: 0, told: Told::Nothing, dropped, ..*self };
    }

    /// RTP of a payload type that nobody agreed on came. RFC 3550 §5.1 has it ignored: it does not stand for what is due.
    /// But somebody sends it, perhaps to keep its way through a NAT open (RFC 6263 §4.6).
    pub(super) fn stir(&mut self, now: Instant) {
        self.stirred = Some(now);
    }

    /// RTP came that has no place in its stream, and is not heard. One packet sent over and over, by a phone that hangs
    /// or by a loop, must not pass for audio.
    pub(super) fn repeat(&mut self, now: Instant) {
        self.unplaced += 1;
        self.stir(now);
    }

    /// Something else was agreed on: the wait begins anew.
    pub(super) fn restart(&mut self, now: Instant) {
        *self = Self { since: now, told: Told::Nothing, ..*self };
    }

    /// When the wait is over. Where no RTP is due, `report` counts too: when the peer's last report came.
    pub(super) fn deadline(&self, due: Due, report: Option<Instant>) -> Option<Instant> {
        let patience = &self.patience;
        let sign = report.max(self.stirred).map_or(self.since, |at| at.max(self.since));
        match (self.told, due) {
            (Told::Ended, _) => None,
            (Told::Nothing | Told::Warned, Due::Hold) => Some(sign + patience.hold),
            (Told::Nothing | Told::Warned, Due::Rest) => Some(sign + patience.end),
            (Told::Nothing, Due::Rtp) => Some(self.since + patience.warning.min(patience.end)),
            (Told::Warned, Due::Rtp) => Some(self.since + patience.end),
        }
    }

    /// What is due. Call it at the deadline.
    pub(super) fn handle_timeout(&mut self, due: Due, report: Option<Instant>, now: Instant) -> Option<Verdict> {
        self.deadline(due, report).filter(|deadline| *deadline <= now)?;
        if due != Due::Rtp || now >= self.since + self.patience.end {
            self.told = Told::Ended;
            return Some(Verdict::End);
        }
        self.told = Told::Warned;
        Some(Verdict::Warn)
    }

    pub(super) fn silence(&self, expected: SocketAddr, stats: &Stats, now: Instant) -> Silence {
        let Dropped { foreign, malformed, unbelieved } = stats.dropped().since(self.dropped);
        Silence {
            expected,
            last: self.heard.map(|heard| now.saturating_duration_since(heard)),
            length: now.saturating_duration_since(self.since),
            foreign,
            foreign_from: stats.foreign_from,
            unbelieved,
            malformed,
            unplaced: self.unplaced,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::origin;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn watch(now: Instant) -> Watch {
        Watch::new(Patience { warning: s(5), end: s(60), hold: s(1_800) }, now)
    }

    #[test]
    fn a_silence_is_warned_of_once_and_ended_once() {
        let start = origin();
        let mut watch = watch(start);
        let unbelieved = |unauthentic: u64| Unbelieved { unauthentic, replayed: 1 };
        watch.hear(Dropped { foreign: 7, malformed: 1, unbelieved: unbelieved(20) }, start + s(1));
        let mut told = Vec::new();
        while let Some(at) = watch.deadline(Due::Rtp, Some(start + s(50))) {
            told.push((at - start, watch.handle_timeout(Due::Rtp, None, at)));
        }
        assert_eq!(told, [(s(6), Some(Verdict::Warn)), (s(61), Some(Verdict::End))]);
        let stats = Stats { foreign: 10, malformed: 3, unbelieved: unbelieved(25), ..Stats::default() };
        let silence = watch.silence("192.0.2.1:4000".parse().unwrap(), &stats, start + s(61));
        assert_eq!((silence.last, silence.length, silence.foreign), (Some(s(60)), s(60), 3));
        assert_eq!((silence.malformed, silence.unbelieved), (2, Unbelieved { unauthentic: 5, replayed: 0 }));
        watch.hear(stats.dropped(), start + s(70));
        assert_eq!(watch.deadline(Due::Rtp, None), Some(start + s(75)));
    }

    #[test]
    fn on_hold_reports_alone_keep_the_call() {
        let start = origin();
        let mut watch = watch(start);
        assert_eq!(watch.handle_timeout(Due::Hold, None, start + s(1_799)), None);
        assert_eq!(watch.deadline(Due::Hold, Some(start + s(1_700))), Some(start + s(3_500)));
        assert_eq!(watch.handle_timeout(Due::Hold, Some(start + s(1_700)), start + s(1_800)), None);
        assert_eq!(watch.handle_timeout(Due::Hold, Some(start + s(1_700)), start + s(3_500)), Some(Verdict::End));
    }

    /// RFC 3389 §4: nothing more need come of a pause than that it begins.
    #[test]
    fn of_a_caller_who_rests_reports_keep_the_call_and_nothing_is_warned_of() {
        let start = origin();
        let mut watch = watch(start);
        assert_eq!(watch.deadline(Due::Rest, None), Some(start + s(60)));
        assert_eq!(watch.handle_timeout(Due::Rest, Some(start + s(55)), start + s(60)), None);
        assert_eq!(watch.handle_timeout(Due::Rest, Some(start + s(55)), start + s(115)), Some(Verdict::End));
        assert_eq!(watch.deadline(Due::Rest, None), None);
    }

    #[test]
    fn a_warning_later_than_the_end_is_not_given() {
        let start = origin();
        let mut watch = Watch::new(Patience { warning: s(9), end: s(3), hold: s(1) }, start);
        assert_eq!(watch.deadline(Due::Rtp, None), Some(start + s(3)));
        assert_eq!(watch.handle_timeout(Due::Rtp, None, start + s(3)), Some(Verdict::End));
        assert_eq!(watch.silence("192.0.2.1:4000".parse().unwrap(), &Stats::default(), start + s(3)).last, None);
    }
}
