//! The money is spent: who is up is not cut off, but taken leave of.
use super::{Desk, FALLBACK, Live, Phase, Spoken, Step, Transfer};
use crate::record::Outcome;
use providers::Note;
use std::time::Instant;

/// Why the call ends, for the record.
pub(super) const SPENT: &str = "the budget of this month is used up";

impl Live {
    /// Says goodbye, and sends the caller to the fallback extension if there is one, else home. A call that ends already, or
    /// is being handed over, goes on.
    pub(in crate::call) fn out_of_money(&mut self, desk: &mut Desk, now: Instant) {
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
