//! What a call has cost so far, where it is found when the call is not: by whoever writes the record of a call that broke, and in
//! the database should the whole process be killed.
use super::recorder::Taping;
use crate::{
    record::{MicroUsd, Share},
    store::Spending,
};
use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

/// Between two notes in the database: what a call cost after the last of them is lost with a process that is killed.
const NOTE_AGAIN: Duration = Duration::from_secs(10);

/// What is known of a call outside of it.
pub(super) type Known = Rc<RefCell<SoFar>>;

/// What a call has come to.
#[derive(Debug, Default)]
pub(super) struct SoFar {
    /// What it has cost.
    pub(super) shares: Vec<Share>,
    /// Its recording, once that has begun.
    pub(super) taping: Option<Taping>,
}

/// The meter of one call.
#[derive(Debug)]
pub(super) struct Meter {
    known: Known,
    /// Which call that is; its shares are empty.
    call: Spending,
    total: MicroUsd,
    noted: Option<Instant>,
}

impl Meter {
    pub(super) const fn new(known: Known, call: Spending) -> Self {
        Self { known, call, total: MicroUsd(0), noted: None }
    }

    /// Whether the call has cost anything that was not read yet.
    pub(super) fn moves(&mut self, total: MicroUsd) -> bool {
        std::mem::replace(&mut self.total, total) != total
    }

    /// Reads it; gives what is to be noted in the database, when that is due.
    pub(super) fn read(&mut self, shares: Vec<Share>, now: Instant) -> Option<Spending> {
        let due = self.noted.is_none_or(|at| now.saturating_duration_since(at) >= NOTE_AGAIN);
        let note = due.then(|| Spending { shares: shares.clone(), ..self.call.clone() });
        self.noted = if due { Some(now) } else { self.noted };
        self.known.borrow_mut().shares = shares;
        note
    }

    /// The call is recorded from here on.
    pub(super) fn tapes(&self, taping: Taping) {
        self.known.borrow_mut().taping = Some(taping);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn it_is_noted_at_once_and_then_no_more_often_than_it_has_to() {
        let (known, call) = (Known::default(), Uuid::from_u128(1));
        let started_at = chrono::DateTime::UNIX_EPOCH;
        let call = Spending { conversation: call, domain: call, secretary: None, started_at, shares: Vec::new() };
        let (mut meter, start) = (Meter::new(Rc::clone(&known), call), Instant::now());
        let share = |cost| Share {
            provider: "openai".into(),
            talked: Duration::ZERO,
            input_tokens: 0,
            output_tokens: 0,
            cost: MicroUsd(cost),
        };
        let mut noted = Vec::new();
        for (second, cost) in [(0, 1), (5, 2), (9, 3), (11, 4), (12, 4)] {
            if meter.moves(MicroUsd(cost)) {
                let note = meter.read(vec![share(cost)], start + Duration::from_secs(second));
                noted.push(note.map(|note| Share::sum(&note.shares).0));
            }
        }
        assert_eq!(noted, [Some(1), None, None, Some(4)]);
        assert_eq!(known.take().shares, [share(4)]);
    }
}
