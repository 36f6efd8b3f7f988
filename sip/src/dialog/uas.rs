//! A leg that begins with the peer's INVITE: RFC 3261 §13.3.
use super::{
    Dialog, Leg, SessionTimer,
    ack::Unacknowledged,
    leg::{End, Origin, State, sdp_of},
    prack::Provisionals,
    session_timer::Terms,
};
use crate::{
    Body,
    endpoint::core::{ALLOW, Core, Reply, Served},
    leg::{Event, IncomingInvite, LegId},
    message::{Headers, Name, Request, StatusCode},
    transaction::timer::Deadline,
    transport::Hop,
};
use std::time::{Duration, Instant};

/// RFC 3261 §13.3.1.1: a provisional response every minute keeps proxies from giving up.
const RING_AGAIN: Duration = Duration::from_secs(60);

/// An INVITE that waits for the owner.
#[derive(Debug)]
pub(super) struct Ringing {
    pub(super) invite: Served,
    terms: Option<Terms>,
    /// Since the first 180.
    ring_again: Option<Instant>,
}

impl Ringing {
    pub(super) fn poll_timeout(&self) -> Option<Deadline> {
        self.ring_again.map(|at| (at, "180 again"))
    }
}

impl Leg {
    /// A leg for a new INVITE.
    pub(crate) fn incoming(
        id: LegId,
        dialog: Dialog,
        request: &Request,
        (invite, terms): (Served, Option<Terms>),
        timer: SessionTimer,
        core: &mut Core,
    ) -> Self {
        let origin = Origin::Theirs(invite.id);
        let state = State::Ringing(Ringing { invite, terms, ring_again: None });
        let mut leg = Self::new(id, dialog, state, origin, timer);
        leg.provisionals = Provisionals::wanted_by(request, core);
        leg.learn(&request.headers, sdp_of(&request.headers, &request.body).as_deref());
        leg
    }

    /// CANCEL of the INVITE (its 200 is sent already).
    pub(crate) fn handle_cancel(&mut self, cancel: &Headers, core: &mut Core, now: Instant) {
        if let State::Ringing(ringing) = &self.state {
            self.reply(&ringing.invite, Reply::new(StatusCode::REQUEST_TERMINATED), core, now);
            self.over(Event::Cancelled { leg: self.id, reason: cancel.reason() }, core);
        }
    }

    pub(super) fn ring(&mut self, core: &mut Core, now: Instant) {
        let State::Ringing(ringing) = &mut self.state else { return };
        ringing.ring_again = Some(now + RING_AGAIN);
        let invite = ringing.invite.clone();
        let reply = Reply::new(StatusCode::RINGING).with(Name::Contact, self.dialog.contact()).with(Name::Allow, ALLOW);
        self.provisional(&invite, reply, core, now);
    }

    pub(super) fn ring_again(&mut self, core: &mut Core, now: Instant) {
        if matches!(&self.state, State::Ringing(Ringing { ring_again: Some(at), .. }) if *at <= now) {
            self.ring(core, now);
        }
    }

    pub(super) fn answer(&mut self, sdp: Body, core: &mut Core, now: Instant) {
        let State::Ringing(ringing) = &self.state else { return };
        let terms = ringing.terms;
        self.described.settle(Some(&sdp), None);
        let ok = self.reply(&ringing.invite, self.accepting(terms).sdp(sdp), core, now);
        self.timer.grant(terms, now);
        let ok = Unacknowledged::new(ok, ringing.invite.cseq, now);
        self.state = State::Answered { ok, end: End::NotWanted };
    }

    pub(super) fn refuse(&mut self, reply: Reply, core: &mut Core, now: Instant) {
        let State::Ringing(ringing) = &self.state else { return };
        let invite = ringing.invite.id;
        self.reply(&ringing.invite, reply, core, now);
        self.state = State::Refused { invite };
    }

    /// BYE before the answer: RFC 3261 §15.1.2, the INVITE ends with 487.
    pub(super) fn caller_gave_up(&mut self, bye: &Headers, core: &mut Core, now: Instant) {
        self.handle_cancel(bye, core, now);
    }
}

/// What the owner learns of an INVITE.
pub(crate) fn describe(request: &Request, hop: Hop, user: Option<String>) -> Option<IncomingInvite> {
    let headers = &request.headers;
    let (from, to) = (headers.from()?, headers.to()?);
    let x_headers = headers.iter().filter(|(name, _)| name.get(..2).is_some_and(|x| x.eq_ignore_ascii_case("X-")));
    Some(IncomingInvite {
        remote: hop.remote,
        listener: hop.listener,
        user,
        transport: hop.transport,
        call_id: headers.call_id()?.to_owned(),
        request_user: request.uri.user_unescaped(),
        request_host: request.uri.host().to_owned(),
        from_user: from.uri.user_unescaped(),
        from_display: from.display,
        to_user: to.uri.user_unescaped(),
        x_headers: x_headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        offer: sdp_of(headers, &request.body),
    })
}
