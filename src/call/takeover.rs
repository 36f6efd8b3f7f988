//! Another leg takes the place of ours in the conversation (RFC 3891): an attended transfer at the other end.
use super::{
    Call, Desk, End, Hangup, State,
    live::{Live, Untold},
    reason,
};
use crate::record::Outcome;
use media::sdp;
use sip::{Command, Event, IncomingInvite, LegId, Reason};
use std::time::Instant;

/// Our leg took the place of another, and its ACK has not come: a CANCEL of its INVITE may have been sooner than our
/// 200 (RFC 3261 §9.2). Then nobody took the call over, and it goes on as it was (RFC 3891 §3).
#[derive(Debug)]
pub(super) struct Moving {
    /// The leg before, unless it has ended meanwhile.
    from: Option<LegId>,
    /// What was agreed on with it.
    sdp: sdp::Negotiation,
    media: sdp::Negotiated,
    /// What its caller had not heard.
    untold: Option<Untold>,
    /// The new one was given our offer: where its audio goes the answer will say.
    answer_due: bool,
}

impl Call {
    /// An INVITE asks for the place of our leg, and whoever sent it may have it. The media move to the new leg with its
    /// answer, the old one gets a BYE; where that cannot be done, the INVITE is refused and nothing changes (§3).
    pub(super) fn take_over(&mut self, leg: LegId, invite: &IncomingInvite, now: Instant) {
        let old = self.desk.leg;
        let answer = match &mut self.state {
            State::Live(live) if live.may_move() && !self.desk.may_go_back() => {
                live.move_to(leg, invite, &mut self.desk, now).map_err(|(status, reason)| (status, Some(reason)))
            }
            // Media are not agreed yet, or the caller is being handed over, or the leg may not stay the call's.
            State::Live(_) | State::Offering(_) => Err((480, None)),
            // A leg that rings cannot be named by a Replaces, and one that is over is no leg any more.
            State::Ringing(_) | State::Over => Err((481, None)),
        };
        let desk = &mut self.desk;
        match answer {
            Ok(sdp) => {
                desk.log.transcript.note(format!("[the call was taken over by {}]", invite.from_user), now);
                let reason = Some(reason::sip(200, "Replaced by another leg"));
                desk.commands.push_back(Command::TakeOver { leg, sdp: sdp.into(), old, reason });
            }
            Err((status, reason)) => {
                desk.commands.push_back(Command::Reject { leg, status, reason, headers: Vec::new() });
            }
        }
    }
}

impl Live {
    /// Goes on with the leg of an INVITE, which is told this.
    ///
    /// # Errors
    /// Status and words of a refusal; then all is as it was.
    fn move_to(
        &mut self,
        leg: LegId,
        invite: &IncomingInvite,
        desk: &mut Desk,
        now: Instant,
    ) -> Result<Vec<u8>, (u16, Reason)> {
        let (sdp, media) = (desk.sdp.clone(), self.negotiated.clone());
        if let Some(told) = desk.local.by_listener.get(usize::from(invite.listener.0)).copied() {
            desk.sdp.readdress(told);
        }
        let answer = match self.reoffered(invite.offer.as_deref(), desk, now) {
            Ok(answer) => answer,
            Err(refusal) => {
                desk.sdp.go_back(sdp);
                return Err(refusal);
            }
        };
        let untold = self.taken_over(invite.offer.is_some(), desk, now);
        let from = Some(std::mem::replace(&mut desk.leg, leg));
        desk.moving = Some(Box::new(Moving { from, sdp, media, untold, answer_due: invite.offer.is_none() }));
        Ok(answer)
    }

    /// The INVITE of our leg was cancelled before our 200 was there: the leg before has the call.
    pub(super) fn move_back(&mut self, desk: &mut Desk, now: Instant) {
        let Some(moving) = desk.moving.take() else { return };
        let Moving { from, sdp, media, untold, .. } = *moving;
        desk.leg = from.unwrap_or(desk.leg);
        desk.sdp.go_back(sdp);
        desk.log.transcript.note("[it was not: who asked for it gave up]".to_owned(), now);
        self.not_taken_over(untold);
        self.renegotiate(media, desk, now);
    }
}

impl Desk {
    /// News of a leg that is not ours. That of the one before changes nothing, but there is no way back to one that is
    /// gone.
    pub(super) fn heard_of(&mut self, event: &Event) {
        let gone = match event {
            Event::Bye { leg, .. } | Event::Terminated { leg, .. } | Event::Failed { leg, .. } => Some(*leg),
            _ => None,
        };
        if let Some(moving) = self.moving.as_mut().filter(|moving| gone.is_some() && moving.from == gone) {
            moving.from = None;
        }
    }

    /// Whether the leg before ours is there for a call that nobody took over.
    pub(super) fn may_go_back(&self) -> bool {
        self.moving.as_ref().is_some_and(|moving| moving.from.is_some())
    }

    /// Our leg is up. True if its audio is still to be agreed on, by the answer to our offer.
    pub(super) fn moved(&mut self) -> bool {
        self.moving.take().is_some_and(|moving| moving.answer_due)
    }

    /// The call ends, and our leg may never have been: so does the one before.
    pub(super) fn leave_former(&mut self) {
        let from = self.moving.take().and_then(|moving| moving.from);
        self.commands.extend(from.map(|leg| Command::Bye { leg, reason: None }));
    }
}

/// The end of a call whose new leg was given our offer and has no answer of use to it: where its audio goes nobody knows,
/// and where ours went somebody has hung up. RFC 3261 §13.2.2.4 has the answer in the ACK.
pub(super) fn without_answer(cause: String, text: &str) -> End {
    End { outcome: Outcome::Failed, cause, hangup: Hangup::Bye(Some(reason::sip(488, text))) }
}
