//! Orders of somebody who is no part of the call: the administrator of its tenant.
use super::{
    Assistant, Desk, Live, Phase, Spoken, Step, Transfer,
    transfer::{self, Whom},
};
use crate::{
    call::{Call, End, Hangup, LiveState, State, reason},
    record::Outcome,
};
use providers::Note;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Why such a call ends, for the record.
const BY_ORDER: &str = "ended by the administrator";
/// RFC 3261 §21.6.2: the PBX is not to try elsewhere.
const DECLINE: u16 = 603;

/// What is wanted of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// It ends now, whatever it is doing.
    HangUp,
    /// The assistant says goodbye, then it ends.
    SayGoodbye,
    /// The caller is sent to somebody, as by the assistant's own tool.
    Transfer {
        /// A name, alias or extension of the secretary's rules.
        to: String,
    },
}

/// Why an order or a wish to listen comes to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotDone {
    /// The call is over.
    Over,
    /// What it is doing does not allow it.
    NotNow(LiveState),
    /// No rule names that destination; these are named.
    NoSuchDestination(Vec<String>),
    /// Nobody may listen to the calls of this tenant.
    NotAllowed,
    /// Too many listen, or have listened, already.
    TooMany,
}

impl Call {
    /// Somebody wants something of this call.
    ///
    /// # Errors
    /// Why nothing was done.
    pub fn handle_order(&mut self, order: &Order, now: Instant) -> Result<(), NotDone> {
        let state = self.standing().ok_or(NotDone::Over)?.state;
        match (order, &mut self.state) {
            (Order::HangUp, _) => {
                let end = self.ordered_end();
                self.end(end, now);
            }
            (Order::SayGoodbye, State::Live(live)) => live.take_leave(&mut self.desk, now)?,
            (Order::Transfer { to }, State::Live(live)) => live.transfer_by_order(to, &mut self.desk, now)?,
            (Order::SayGoodbye | Order::Transfer { .. }, State::Ringing(_) | State::Offering(_) | State::Over) => {
                return Err(NotDone::NotNow(state));
            }
        }
        self.settle(now);
        Ok(())
    }

    fn ordered_end(&mut self) -> End {
        let bye = Hangup::Bye(Some(reason::normal()));
        let (outcome, cause, hangup) = match &self.state {
            State::Ringing(_) => (Outcome::Abandoned, BY_ORDER.to_owned(), Hangup::Reject(DECLINE)),
            State::Offering(_) | State::Over => (Outcome::Abandoned, BY_ORDER.to_owned(), bye),
            State::Live(live) => {
                let (outcome, cause) = live.ends_by_order(&mut self.desk);
                (outcome, cause, bye)
            }
        };
        End { outcome, cause, hangup }
    }
}

impl Live {
    pub(in crate::call) const fn live_state(&self) -> LiveState {
        match &self.phase {
            Phase::Talking => LiveState::Talking,
            Phase::Transferring(_) => LiveState::Transferring,
            Phase::Closing { .. } => LiveState::Closing,
        }
    }

    /// What a call comes to that is ended now.
    fn ends_by_order(&self, desk: &mut Desk) -> (Outcome, String) {
        match &self.phase {
            Phase::Transferring(Transfer { step: Step::Settled { proof, .. }, .. }) => {
                return (Outcome::Transferred, proof.cause().to_owned());
            }
            Phase::Closing { outcome, cause, .. } => return (*outcome, format!("{BY_ORDER}; it was ending: {cause}")),
            // Only a caller who went somewhere has a destination.
            Phase::Transferring(_) => desk.log.transfer_destination = None,
            Phase::Talking => {}
        }
        (outcome(desk), BY_ORDER.to_owned())
    }

    fn take_leave(&mut self, desk: &mut Desk, now: Instant) -> Result<(), NotDone> {
        self.must_talk()?;
        self.barge_in(desk, now);
        let until = match self.assistant {
            // Who wants it is no business of the caller's.
            Assistant::Present => {
                self.provider.inform(Note::SayGoodbye { reason: "this call has to end".to_owned() }, now);
                now + desk.settings.farewell_deadline
            }
            // Nobody is there to say it.
            Assistant::Replacing(_) | Assistant::Gone { .. } => now,
        };
        let (outcome, cause) = (outcome(desk), BY_ORDER.to_owned());
        self.phase = Phase::Closing { outcome, cause, until, spoken: Spoken::NotYet };
        Ok(())
    }

    /// Announced where somebody can speak; from the REFER on it is as any transfer.
    fn transfer_by_order(&mut self, asked: &str, desk: &mut Desk, now: Instant) -> Result<(), NotDone> {
        self.must_talk()?;
        let rule = transfer::resolve(&desk.secretary.transfer_rules, asked);
        let rule = rule.map_err(|refusal| NotDone::NoSuchDestination(refusal.choices))?;
        let (name, destination) = (rule.name.clone(), rule.destination.clone());
        desk.log.transcript.note(format!("[the administrator transfers the call to {destination}]"), now);
        self.barge_in(desk, now);
        if matches!(self.assistant, Assistant::Present) {
            let reason = format!("the caller is being put through to {name}");
            self.provider.inform(Note::SayGoodbye { reason }, now);
            let whom = Whom::Rule(name);
            let step = Step::Announcing { until: now + desk.settings.announce_deadline, spoken: Spoken::NotYet };
            self.phase = Phase::Transferring(Transfer { whom, destination, step });
        } else {
            let (whom, step) = (Whom::Rule(name), Step::Referred { at: now });
            self.phase = Phase::Transferring(Transfer { whom, destination, step });
            self.refer(desk, now);
        }
        Ok(())
    }

    fn must_talk(&self) -> Result<(), NotDone> {
        match self.live_state() {
            LiveState::Talking => Ok(()),
            state @ (LiveState::Ringing | LiveState::Transferring | LiveState::Closing) => Err(NotDone::NotNow(state)),
        }
    }
}

/// What a conversation came to by now.
fn outcome(desk: &Desk) -> Outcome {
    if desk.log.replies() == 0 { Outcome::Abandoned } else { Outcome::Completed }
}
