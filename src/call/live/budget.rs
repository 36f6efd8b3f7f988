//! The money is spent: who is up is not cut off, but taken leave of.
use super::{Assistant, Desk, Live, Phase, Spoken, Step, Transfer, Whom};
use crate::{
    call::{Call, Rung},
    record::{MicroUsd, Outcome, Share},
};
use providers::{Note, Usage};
use std::time::Instant;

/// Why the call ends, for the record.
pub(super) const SPENT: &str = "the budget of this month is used up";

/// The money of a call.
#[derive(Debug, Default)]
pub(in crate::call) struct Money {
    /// What the log has of usage, at list price.
    spent: MicroUsd,
    purse: Purse,
}

/// Whether anything is left for the call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Purse {
    /// There is, or nobody counts.
    #[default]
    Open,
    /// Nothing, and that waits until the assistant is with the caller.
    Empty,
    /// Nothing, and that was seen to.
    Closed,
}

impl Call {
    /// The money of the call's tenant is spent: the assistant takes leave of the caller, as soon as it can.
    pub fn handle_budget_spent(&mut self, now: Instant) {
        let purse = &mut self.desk.money.purse;
        *purse = match *purse {
            Purse::Open => Purse::Empty,
            known @ (Purse::Empty | Purse::Closed) => known,
        };
        self.settle(now);
    }

    /// What the call has cost so far, as far as the provider has told.
    pub fn spent(&self) -> MicroUsd {
        self.desk.money.spent
    }

    /// The same by provider, as its record would say it at this moment.
    pub fn shares(&self, now: Instant) -> Vec<Share> {
        self.desk.log.shares(&self.desk.rung, now)
    }
}

impl Desk {
    /// The present provider told what it was used for.
    pub(in crate::call) fn used(&mut self, usage: &Usage) {
        self.log.used(usage);
        self.money.spent = self.log.cost(&self.rung);
    }

    /// Without money nobody goes on who asks for some.
    pub(super) fn spare(&mut self) {
        match self.money.purse {
            Purse::Open => {}
            Purse::Empty | Purse::Closed => self.succession.retain(Rung::is_free),
        }
    }
}

impl Live {
    /// Says goodbye once nothing is left, and sends the caller to the fallback extension if there is one, else home. It waits
    /// for a provider that is on its way, and for a caller who is being handed over: most of those do not come back. True if
    /// there was something to do.
    pub(super) fn mind_money(&mut self, desk: &mut Desk, now: Instant) -> bool {
        let speaks = matches!((&self.phase, &self.assistant), (Phase::Talking, Assistant::Present));
        if desk.money.purse != Purse::Empty || !speaks {
            return false;
        }
        desk.money.purse = Purse::Closed;
        // Who speaks costs nothing; those below would.
        if desk.rung.is_free() {
            desk.spare();
            return true;
        }
        self.barge_in(desk, now);
        // Whose money it is, and that it is spent, is no business of the caller's.
        let (reason, phase) = match desk.settings.fallback_extension.clone() {
            Some(destination) => {
                let step = Step::Announcing { until: now + desk.settings.announce_deadline, spoken: Spoken::NotYet };
                let transfer = Transfer { whom: Whom::Fallback, destination, step };
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
        true
    }
}
