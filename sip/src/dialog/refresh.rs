//! Refreshes of the session (RFC 4028 §7.4, §10) by UPDATE or re-INVITE, and what a leg must know for them.
use super::{
    Leg, MIN_SE,
    exchange::{Exchange, Why, busy, retry_after},
    leg::{Outcome, State},
    session_timer::{Due, Terms},
};
use crate::{
    Body,
    endpoint::core::{ALLOW, Core, Purpose, Reply, SUPPORTED, Served},
    leg::{OfferMethod, TerminatedBy},
    message::{Headers, Method, Name, Request, StatusCode},
    transport::Hop,
};
use std::time::{Duration, Instant};

/// A refresh that finds another offer under way looks again then.
pub(super) const BUSY: Duration = Duration::from_secs(2);
/// A refresh that reached nobody is tried again then, until the session expires.
pub(super) const UNREACHABLE: Duration = Duration::from_secs(5);

/// The session descriptions in force, as bytes; empty before there are any.
#[derive(Clone, Debug, Default)]
pub(super) struct Described {
    ours: Body,
    theirs: Body,
}

impl Described {
    /// What a completed (or half of an) offer/answer leaves behind.
    pub(super) fn settle(&mut self, ours: Option<&[u8]>, theirs: Option<&[u8]>) {
        if let Some(ours) = ours {
            self.ours = ours.into();
        }
        if let Some(theirs) = theirs {
            self.theirs = theirs.into();
        }
    }

    /// Whether both sides have described themselves.
    pub(super) fn is_complete(&self) -> bool {
        !self.ours.is_empty() && !self.theirs.is_empty()
    }

    /// Whether the peer said just this last time.
    pub(super) fn is_theirs(&self, sdp: &[u8]) -> bool {
        *self.theirs == *sdp
    }
}

/// Whether UPDATE may be sent: RFC 3311 §4 has the peer say so in Allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Update {
    Allowed,
    NotAllowed,
}

impl Leg {
    /// What a message of the peer says of its side.
    pub(crate) fn learn(&mut self, headers: &Headers, sdp: Option<&[u8]>) {
        if headers.first(Name::Allow).is_some() {
            let allowed = headers.lists(Name::Allow, Method::Update.as_str());
            self.update = if allowed { Update::Allowed } else { Update::NotAllowed };
        }
        self.described.settle(None, sdp);
    }

    /// An INVITE or UPDATE of the peer, which came this way, is taken: it says where the peer is, and what it knows.
    pub(super) fn follow(&mut self, request: &Request, came_by: Hop, core: &mut Core, now: Instant) {
        self.dialog.come_by(&request.headers, came_by);
        self.dialog.retarget(&request.headers, core, now);
        self.learn(&request.headers, None);
    }

    /// A 200 to an INVITE or UPDATE of the peer, with these terms of the session timer.
    pub(super) fn accepting(&self, terms: Option<Terms>) -> Reply {
        let contact = self.dialog.contact();
        let reply = Reply::new(StatusCode::OK).with(Name::Contact, contact).with(Name::Allow, ALLOW);
        let reply = reply.with(Name::Supported, SUPPORTED);
        let Some(terms) = terms else { return reply };
        let reply = reply.with(Name::SessionExpires, terms.session_expires());
        terms.require().into_iter().fold(reply, |reply, tag| reply.with(Name::Require, tag))
    }

    /// UPDATE of the peer without a body: it refreshes target and session (RFC 3311 §5.2, RFC 4028 §9).
    pub(super) fn refreshed(&mut self, request: &Request, served: &Served, core: &mut Core, now: Instant) {
        let reply = match (&self.state, &self.exchange) {
            (State::Refused { .. } | State::HangingUp | State::Gone, _) => Reply::new(StatusCode::NO_TRANSACTION),
            (_, Exchange::Theirs { method: OfferMethod::Update, .. }) => busy(core),
            (_, _) => match self.timer.asked(&request.headers) {
                Ok(terms) => {
                    self.follow(request, served.came_by, core, now);
                    self.timer.grant(terms, now);
                    self.accepting(terms)
                }
                Err(_) => interval_too_small(),
            },
        };
        self.reply(served, reply, core, now);
    }

    /// What the session timer wants.
    pub(super) fn session_timeout(&mut self, core: &mut Core, now: Instant) {
        if !matches!(self.state, State::Established) {
            return;
        }
        match self.timer.handle_timeout(now) {
            Due::Nothing => {}
            Due::Refresh if self.update == Update::Allowed => self.refresh_by_update(core, now),
            Due::Refresh => self.refresh_by_reinvite(core, now),
            Due::Expired => self.give_up(TerminatedBy::SessionExpired, core, now),
        }
    }

    /// §7.4 recommends UPDATE, without an offer: it disturbs nothing.
    fn refresh_by_update(&mut self, core: &mut Core, now: Instant) {
        let mut request = self.dialog.request(Method::Update, core);
        self.timer.ask_again(&mut request.headers);
        self.send(request, Purpose::Refresh, core, now);
    }

    /// §7.4: the offer is the description in force, with the same version.
    fn refresh_by_reinvite(&mut self, core: &mut Core, now: Instant) {
        match self.exchange {
            Exchange::Idle => self.send_offer((self.described.ours.clone(), Why::Refresh), 1, core, now),
            // Whatever is under way refreshes the session too, if it succeeds.
            Exchange::Theirs { .. }
            | Exchange::Unacknowledged { .. }
            | Exchange::Ours { .. }
            | Exchange::Colliding { .. } => self.timer.refresh_at(now + BUSY),
        }
    }

    /// How our UPDATE went.
    pub(super) fn refresh_outcome(&mut self, outcome: Outcome<'_>, core: &mut Core, now: Instant) {
        if !matches!(self.state, State::Established) {
            return;
        }
        let Outcome { status, response } = outcome;
        if let Some(wait) = retry_after(status, response) {
            let wait = wait.unwrap_or_else(|| self.collision_wait(core));
            return self.timer.refresh_at(now + wait);
        }
        match (status, response) {
            (..200, _) => {}
            (200..300, Some(response)) => {
                self.dialog.retarget(&response.headers, core, now);
                self.learn(&response.headers, None);
                self.timer.granted(&response.headers, now);
            }
            (408 | 481, _) => self.peer_gone(core, now),
            (_, None) => self.timer.refresh_at(now + UNREACHABLE),
            // It does not like UPDATE, whatever its Allow says. Every UA knows re-INVITE.
            (_, Some(_)) => {
                self.update = Update::NotAllowed;
                self.refresh_by_reinvite(core, now);
            }
        }
    }
}

/// The 422 of RFC 4028 §6.
pub(crate) fn interval_too_small() -> Reply {
    Reply::new(StatusCode::SESSION_INTERVAL_TOO_SMALL).with(Name::MinSe, MIN_SE.to_string())
}
