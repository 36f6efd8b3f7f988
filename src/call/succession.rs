//! Who speaks after a provider that failed: the same again, the next rung of the ladder, or nobody.
use super::{Rung, numbered::Seat};
use crate::record::Change;
use providers::FailureKind;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// A provider is tried again once in this time.
const FORGIVEN: Duration = Duration::from_secs(60);
/// How long we wait before we try again who said, or showed, that it cannot now.
const BACK_OFF: Duration = Duration::from_secs(1);

/// What a kind of failure says about trying the same provider again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// It was the way to it, or its time was over: the same at once, and another if that fails.
    HereFirst,
    /// Another; where there is none, the same after a wait.
    ElsewhereFirst,
    /// Another, or nobody: the same would refuse again.
    Elsewhere,
}

const fn rule(kind: FailureKind) -> Rule {
    match kind {
        FailureKind::Connection | FailureKind::SessionExpired => Rule::HereFirst,
        FailureKind::Rate | FailureKind::Unavailable | FailureKind::Silence => Rule::ElsewhereFirst,
        FailureKind::Authentication | FailureKind::Quota | FailureKind::Protocol => Rule::Elsewhere,
    }
}

/// A provider that failed, until another goes on.
#[derive(Debug)]
pub(super) struct Failed {
    since: Instant,
    /// Provider and model.
    from: String,
    why: String,
}

impl Failed {
    pub(super) fn new(rung: &Rung, kind: FailureKind, message: &str, now: Instant) -> Self {
        Self { since: now, from: rung.name(), why: format!("{}: {message}", kind.as_str()) }
    }

    /// This one was to go on after another, and failed as well.
    pub(super) fn after(self, before: Option<Self>) -> Self {
        match before {
            Some(before) => Self { why: format!("{}; {}: {}", before.why, self.from, self.why), ..before },
            None => self,
        }
    }

    pub(super) const fn since(&self) -> Instant {
        self.since
    }

    /// For the record: who goes on, and what it cost the caller.
    pub(super) fn change(self, to: &Rung, at: Duration, lost: Duration, now: Instant) -> Change {
        let gap = now.saturating_duration_since(self.since);
        Change { at, from: self.from, to: to.name(), why: self.why, gap, lost }
    }
}

/// What follows a failure.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The same provider, after this long.
    Again(Duration),
    /// This one.
    Next(Box<Rung>),
    /// Nobody is left.
    Exhausted,
}

/// The rest of a ladder.
#[derive(Debug)]
pub(super) struct Succession {
    below: VecDeque<Rung>,
    /// When the present provider was last given another chance.
    retried: Option<Instant>,
    seat: Seat,
}

impl Succession {
    /// Of a call that begins with another rung.
    pub(super) fn new(below: Vec<Rung>) -> Self {
        Self { below: below.into(), retried: None, seat: Seat::default() }
    }

    /// The rungs that are left.
    pub(super) fn below(&self) -> impl Iterator<Item = &Rung> {
        self.below.iter()
    }

    /// Nobody is left but those who are like this.
    pub(super) fn retain(&mut self, keep: fn(&Rung) -> bool) {
        self.below.retain(keep);
    }

    /// A seat for the next voice.
    pub(super) fn take_seat(&mut self) -> Seat {
        let seat = self.seat;
        self.seat = seat.next();
        seat
    }

    /// The provider of a call that is up failed; `worked` unless it was not ready yet.
    pub(super) fn after(&mut self, kind: FailureKind, worked: bool, now: Instant) -> Verdict {
        let rule = rule(kind);
        let forgiven = self.retried.is_none_or(|at| now.saturating_duration_since(at) >= FORGIVEN);
        if rule == Rule::HereFirst && worked && forgiven {
            self.retried = Some(now);
            return Verdict::Again(Duration::ZERO);
        }
        if let Some(rung) = self.next() {
            return Verdict::Next(Box::new(rung));
        }
        if rule == Rule::Elsewhere || !forgiven {
            return Verdict::Exhausted;
        }
        self.retried = Some(now);
        Verdict::Again(BACK_OFF)
    }

    /// The provider of a call that rings failed: whoever is next, since the phone system may know better than the same
    /// again.
    pub(super) fn next(&mut self) -> Option<Rung> {
        let next = self.below.pop_front()?;
        self.retried = None;
        Some(next)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the origin of virtual time")]
mod tests {
    use super::*;
    use media::Law;
    use providers::openai;

    const ALL: [FailureKind; 8] = [
        FailureKind::Authentication,
        FailureKind::Quota,
        FailureKind::Protocol,
        FailureKind::SessionExpired,
        FailureKind::Connection,
        FailureKind::Unavailable,
        FailureKind::Rate,
        FailureKind::Silence,
    ];

    fn rung(model: &str) -> Rung {
        let config = openai::Config::new("k", openai::Format::G711(Law::Mu));
        Rung::OpenAi(Box::new(openai::Config { model: model.into(), ..config }))
    }

    /// What follows the same failure again and again, each a second after the other.
    fn course(kind: FailureKind, below: Vec<Rung>) -> Vec<String> {
        let (mut now, mut succession) = (Instant::now(), Succession::new(below));
        let mut course = Vec::new();
        loop {
            now += Duration::from_secs(1);
            match succession.after(kind, true, now) {
                Verdict::Again(wait) => course.push(format!("again after {wait:?}")),
                Verdict::Next(rung) => course.push(rung.engine().to_owned()),
                Verdict::Exhausted => return course,
            }
        }
    }

    #[test]
    fn each_kind_of_failure_has_its_rule() {
        for kind in ALL {
            let (two, one) = (course(kind, vec![rung("b")]), course(kind, Vec::new()));
            let expected = match rule(kind) {
                Rule::HereFirst => (vec!["again after 0ns", "b", "again after 0ns"], vec!["again after 0ns"]),
                Rule::ElsewhereFirst => (vec!["b", "again after 1s"], vec!["again after 1s"]),
                Rule::Elsewhere => (vec!["b"], vec![]),
            };
            assert_eq!((two, one), (to_owned(&expected.0), to_owned(&expected.1)), "{kind:?}");
        }
    }

    fn to_owned(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn who_worked_for_a_minute_is_given_another_chance_and_who_was_never_ready_none() {
        let (now, mut succession) = (Instant::now(), Succession::new(vec![rung("b")]));
        let again = |verdict| matches!(verdict, Verdict::Again(_));
        assert!(again(succession.after(FailureKind::Connection, true, now)));
        assert!(again(succession.after(FailureKind::Connection, true, now + FORGIVEN)));
        let verdict = succession.after(FailureKind::Connection, false, now + 3 * FORGIVEN);
        assert!(matches!(verdict, Verdict::Next(_)), "{verdict:?}");
    }

    #[test]
    fn the_ladder_ends() {
        for kind in ALL {
            let ladder = (0..5).map(|n| rung(&n.to_string())).collect();
            assert!(course(kind, ladder).len() <= 11, "{kind:?}");
        }
    }
}
