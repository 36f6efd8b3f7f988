//! Legs that take the place of others: INVITEs to us with Replaces (RFC 3891 §3), and REFERs of ours that name a leg.
use super::Endpoint;
use crate::{
    Body,
    dialog::Leg,
    leg::{Command, LegId, Reason},
    message::{Name, Replaces, Request, StatusCode},
};
use std::time::Instant;

impl Endpoint {
    /// The leg whose place a new INVITE asks for.
    ///
    /// # Errors
    /// The status to refuse the INVITE with; the leg it names stays as it is.
    pub(super) fn replaced_by(&self, invite: &Request) -> Result<Option<LegId>, StatusCode> {
        let mut all = invite.headers.all(Name::Replaces);
        let Some(value) = all.next() else { return Ok(None) };
        let replaces = Replaces::parse(value).filter(|_| all.next().is_none()).ok_or(StatusCode::BAD_REQUEST)?;
        let Replaces { call_id, to_tag, from_tag, early_only } = replaces;
        let id = self.dialogs.get(&(call_id, to_tag)).ok_or(StatusCode::NO_TRANSACTION)?;
        let leg = self.legs.get(id).filter(|leg| leg.is_with(&from_tag)).ok_or(StatusCode::NO_TRANSACTION)?;
        leg.may_be_replaced(early_only).map(|()| Some(*id))
    }

    /// Answers an INVITE and hangs up the leg whose place it asked for. A CANCEL may have been sooner than the owner:
    /// then nobody takes that place.
    pub(super) fn take_over(
        &mut self,
        (leg, sdp): (LegId, Body),
        (old, reason): (LegId, Option<Reason>),
        now: Instant,
    ) {
        if self.legs.get(&leg).is_some_and(Leg::rings) {
            self.carry_out(Command::Answer { leg, sdp }, now);
            self.carry_out(Command::Bye { leg: old, reason }, now);
        }
    }

    /// The leg that a REFER offers its receiver the place of, as the other side of that leg knows it. Nothing else makes
    /// a Replaces of ours: what a caller or a model says cannot.
    pub(super) fn offered_by(&self, command: &Command) -> Option<Replaces> {
        let Command::Refer { replaces: Some(leg), .. } = command else { return None };
        self.legs.get(leg)?.as_replaces()
    }
}
