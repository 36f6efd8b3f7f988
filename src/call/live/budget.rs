//! The money is spent: who is up is not cut off, but taken leave of.
use super::{Desk, FALLBACK, Live, Phase, Spoken, Step, Transfer};
use crate::{
    call::{Call, State},
    record::{MicroUsd, Outcome},
};
use providers::{Note, Usage};
use std::time::Instant;

/// Why the call ends, for the record.
pub(super) const SPENT: &str = "the budget of this month is used up";

impl Call {
    /// The money of the call's tenant is spent: the assistant takes leave of the caller.
    pub fn handle_budget_spent(&mut self, now: Instant) {
        if let State::Live(live) = &mut self.state {
            live.out_of_money(&mut self.desk, now);
            self.settle(now);
        }
    }

    /// What the call has cost so far, as far as the provider has told.
    pub fn spent(&self) -> MicroUsd {
        self.desk.spent
    }
}

impl Desk {
    /// The present provider told what it was used for.
    pub(in crate::call) fn used(&mut self, usage: &Usage) {
        self.log.used(usage);
        self.spent = self.log.cost(&self.rung);
    }
}

impl Live {
    /// Says goodbye, and sends the caller to the fallback extension if there is one, else home. A call that ends already, or
    /// is being handed over, goes on.
    fn out_of_money(&mut self, desk: &mut Desk, now: Instant) {
        if !matches!(self.phase, Phase::Talking) {
            return;
        }
        self.barge_in(desk, now);
        // Whose money it is, and that it is spent, is no business of the caller's.
        let (reason, phase) = match desk.settings.fallback_extension.clone() {
            Some(destination) => {
                let step = Step::Announcing { until: now + desk.settings.announce_deadline, spoken: Spoken::NotYet };
                let transfer = Transfer { name: FALLBACK.to_owned(), destination, step };
                ("the caller is being put through to somebody else", Phase::Transferring(transfer))
            }
            None => {
                let until = now + desk.settings.farewell_deadline;
                let (outcome, cause) = (Outcome::Timeout, SPENT.to_owned());
                ("this call has to end", Phase::Closing { outcome, cause, until, spoken: Spoken::NotYet })
            }
        };
        self.provider.inform(Note::SayGoodbye { reason: reason.to_owned() }, now);
        self.phase = phase;
    }
}
