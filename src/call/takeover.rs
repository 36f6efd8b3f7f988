//! Another leg takes the place of ours in the conversation (RFC 3891): an attended transfer at the other end.
use super::{Call, End, Hangup, State, reason};
use crate::record::Outcome;
use sip::{Command, IncomingInvite, LegId};
use std::time::Instant;

impl Call {
    /// An INVITE asks for the place of our leg, and whoever sent it may have it. The media move to the new leg with its
    /// answer, the old one gets a BYE; where that cannot be done, the INVITE is refused and nothing changes (§3).
    pub(super) fn take_over(&mut self, leg: LegId, invite: &IncomingInvite, now: Instant) {
        let answer = match &mut self.state {
            State::Live(live) if live.may_move() => {
                let told = self.desk.local.by_listener.get(usize::from(invite.listener.0)).copied();
                let before = told.map(|told| self.desk.sdp.readdress(told));
                let sdp = live.reoffered(invite.offer.as_deref(), &mut self.desk, now);
                if sdp.is_ok() {
                    live.taken_over(invite.offer.is_some(), &mut self.desk, now);
                } else if let Some(before) = before {
                    self.desk.sdp.readdress(before);
                }
                sdp.map_err(|(status, reason)| (status, Some(reason)))
            }
            // Media are not agreed yet, or the caller is being handed over.
            State::Live(_) | State::Offering(_) => Err((480, None)),
            // A leg that rings cannot be named by a Replaces, and one that is over is no leg any more.
            State::Ringing(_) | State::Over => Err((481, None)),
        };
        let desk = &mut self.desk;
        match answer {
            Ok(sdp) => {
                let old = std::mem::replace(&mut desk.leg, leg);
                desk.answer_due = invite.offer.is_none();
                desk.log.transcript.note(format!("[the call was taken over by {}]", invite.from_user), now);
                desk.commands.push_back(Command::Answer { leg, sdp: sdp.into() });
                let reason = Some(reason::sip(200, "Replaced by another leg"));
                desk.commands.push_back(Command::Bye { leg: old, reason });
            }
            Err((status, reason)) => {
                desk.commands.push_back(Command::Reject { leg, status, reason, headers: Vec::new() });
            }
        }
    }
}

/// The end of a call whose new leg was given our offer and has no answer of use to it: where its audio goes nobody knows,
/// and where ours went somebody has hung up. RFC 3261 §13.2.2.4 has the answer in the ACK.
pub(super) fn without_answer(cause: String, text: &str) -> End {
    End { outcome: Outcome::Failed, cause, hangup: Hangup::Bye(Some(reason::sip(488, text))) }
}
