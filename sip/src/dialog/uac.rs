//! A leg that begins with our INVITE: RFC 3261 §13.2 and §9.1.
use super::{
    Dialog, Leg, SessionTimer, address,
    leg::{Origin, Outcome, State, sdp_of},
    prack::reliable,
};
use crate::{
    auth::Credentials,
    endpoint::{
        OutgoingInvite,
        core::{Core, Purpose, SDP, User, cancel_of},
    },
    leg::{Event, LegId, Reason, TerminatedBy},
    locate::{Target, Targets},
    message::{Method, Name, NameAddr, Request, Response},
    transaction::ClientId,
    transport::Hop,
    uri::{Uri, UriError},
};
use std::time::{Duration, Instant};

/// Contacts of a 3xx that are looked at; there may be as many as a message holds.
const MAX_ALTERNATIVES: usize = 8;

/// Why an INVITE was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotSent {
    /// An address is not a URI.
    #[error(transparent)]
    Uri(#[from] UriError),
    /// There is no target, or nothing of ours speaks the transport and address family of any.
    #[error("no listener of the peer's transport and address family")]
    NoListener,
}

impl NotSent {
    /// What it is to the owner: 400, or 503 as for an unreachable peer (RFC 3261 §8.1.3.1).
    pub(crate) const fn status(self) -> u16 {
        match self {
            Self::Uri(_) => 400,
            Self::NoListener => 503,
        }
    }
}

/// Our INVITE on its way.
#[derive(Debug)]
pub(super) struct Calling {
    invite: ClientId,
    /// As it was sent last.
    request: Box<Request>,
    targets: Targets,
    /// The one it went to.
    at: Target,
    cancel: Cancel,
}

/// Whether the owner still wants the call.
#[derive(Debug, PartialEq, Eq)]
enum Cancel {
    NotWanted,
    /// RFC 3261 §9.1: only after a provisional response.
    AfterProvisional(Option<Reason>),
    Sent,
}

impl Calling {
    /// The INVITE went out again in another transaction.
    pub(super) fn resent(&mut self, old: ClientId, new: ClientId, core: &Core) {
        if self.invite == old {
            self.invite = new;
            if let Some((request, _)) = core.transactions.sent(new) {
                *self.request = request.clone();
            }
        }
    }

    /// Whether the owner has hung up.
    pub(super) fn is_unwanted(&self) -> bool {
        self.cancel != Cancel::NotWanted
    }
}

impl Leg {
    /// Sends an INVITE.
    ///
    /// # Errors
    /// If an address is not a URI, or no listener of ours can reach the peer.
    pub(crate) fn outgoing(id: LegId, invite: OutgoingInvite, core: &mut Core, now: Instant) -> Result<Self, NotSent> {
        let OutgoingInvite { targets, route, to, from, from_display, sdp, x_headers, credentials } = invite;
        let mut targets = Targets::new(targets);
        let (at, hop) = next_way(&mut targets, core, now).ok_or(NotSent::NoListener)?;
        let mut dialog = Dialog::outgoing(address(&from_display, &from)?, Uri::parse(&to)?, hop, core);
        dialog.preload(route.iter().map(|uri| address("", uri)).collect::<Result<_, _>>()?);
        let mut request = dialog.request(Method::Invite, core);
        for (name, value) in &x_headers {
            // A name that is no token cannot be sent.
            request.headers.push_named(name, value).unwrap_or_default();
        }
        let timer = SessionTimer::new(core.config.session_expires);
        timer.ask(&mut request.headers);
        request.headers.push(Name::ContentType, SDP);
        request.body.clone_from(&sdp);
        let kept = Box::new(request.clone());
        let invite = core.transactions.request(request, hop, User::Leg(id, Purpose::Invite), now);
        if targets.any_but(&at, now) {
            core.transactions.hurry(invite, now);
        }
        let state = State::Calling(Calling { invite, request: kept, targets, at, cancel: Cancel::NotWanted });
        let mut leg = Self::new(id, dialog, state, Origin::Ours, timer);
        leg.credentials = credentials.map(|(user, password)| Credentials { user, password });
        leg.described.settle(Some(&sdp), None);
        Ok(leg)
    }

    pub(super) fn cancel(&mut self, reason: Option<Reason>, core: &mut Core, now: Instant) {
        let State::Calling(calling) = &mut self.state else { return };
        match calling.cancel {
            Cancel::NotWanted => calling.cancel = Cancel::AfterProvisional(reason),
            Cancel::AfterProvisional(_) | Cancel::Sent => return,
        }
        self.cancel_if_allowed(core, now);
    }

    fn cancel_if_allowed(&mut self, core: &mut Core, now: Instant) {
        let State::Calling(calling) = &mut self.state else { return };
        let Cancel::AfterProvisional(reason) = &calling.cancel else { return };
        if !core.transactions.may_cancel(calling.invite) {
            return;
        }
        let Some((invite, hop)) = core.transactions.sent(calling.invite) else { return };
        let cancel = cancel_of(invite, reason.as_ref());
        core.transactions.request(cancel, hop, User::Nobody, now);
        core.transactions.abandon(calling.invite, now);
        calling.cancel = Cancel::Sent;
    }

    /// The peer hung up before it answered: the INVITE is not waited for for ever.
    pub(super) fn abandon_invite(&mut self, core: &mut Core, now: Instant) {
        if let State::Calling(calling) = &self.state {
            core.transactions.abandon(calling.invite, now);
        }
    }

    pub(super) fn invite_outcome(&mut self, id: ClientId, outcome: Outcome<'_>, core: &mut Core, now: Instant) {
        match (outcome.status, outcome.response) {
            (..200, Some(response)) => self.progress(response, core, now),
            (200..300, Some(response)) => self.answered(id, response, core, now),
            (503, _) | (408, None) if self.turn_to_next(id, outcome.response, core, now) => {}
            (status, response) => self.refused(status, response, core),
        }
    }

    /// RFC 3263 §4.3: silence, 503 and a broken transport are the failure of one server. The same INVITE goes to the
    /// next, under another branch; `false` if there is none, or nobody wants the call any more.
    fn turn_to_next(&mut self, id: ClientId, response: Option<&Response>, core: &mut Core, now: Instant) -> bool {
        let State::Calling(calling) = &mut self.state else { return false };
        if calling.invite != id || calling.is_unwanted() {
            return false;
        }
        let asked = response.and_then(|response| response.headers.retry_after()).unwrap_or_default();
        calling.targets.failed(&calling.at, Duration::from_secs(asked.into()), now);
        let Some((at, hop)) = next_way(&mut calling.targets, core, now) else { return false };
        let request = &mut calling.request;
        request.headers.set(Name::Via, core.via(hop).to_string());
        request.headers.set(Name::Contact, core.contact(&self.dialog.local_uri().user_unescaped(), hop));
        // Whatever the failed server said of tag, target and route was of its own dialog.
        let Some(dialog) = Dialog::of_request(request, hop) else { return false };
        calling.at = at;
        calling.invite = core.transactions.request((**request).clone(), hop, User::Leg(self.id, Purpose::Invite), now);
        if calling.targets.any_but(&calling.at, now) {
            core.transactions.hurry(calling.invite, now);
        }
        self.dialog = dialog;
        self.branches.clear();
        true
    }

    fn progress(&mut self, response: &Response, core: &mut Core, now: Instant) {
        let State::Calling(calling) = &self.state else { return };
        let status = response.status.code();
        let unwanted = calling.is_unwanted();
        if status > 100 {
            // The first early dialog is followed; the 2xx decides.
            self.dialog.confirm_early(response, core, now);
            let counts = reliable(response).is_none_or(|rseq| self.acknowledge_early(response, rseq, core, now));
            if counts && !unwanted {
                let sdp = sdp_of(&response.headers, &response.body);
                core.events.push_back(Event::Progress { leg: self.id, status, sdp });
            }
        }
        self.cancel_if_allowed(core, now);
    }

    fn answered(&mut self, id: ClientId, response: &Response, core: &mut Core, now: Instant) {
        let unwanted = match &self.state {
            State::Calling(calling) => calling.is_unwanted(),
            // Another 2xx: the same again, or that of another branch of a forking proxy (§13.2.2.4).
            State::Established | State::HangingUp if self.dialog.is_answerer(&response.headers) => {
                return self.acknowledge(id, response, core, now);
            }
            State::Established
            | State::HangingUp
            | State::Ringing(_)
            | State::Refused { .. }
            | State::Answered { .. }
            | State::Gone => return decline_late_answer(id, response, core, now),
        };
        let early = self.settle_branches(&response.headers);
        self.dialog.confirm(response, core, now);
        self.acknowledge(id, response, core, now);
        self.state = State::Established;
        if unwanted {
            return self.hang_up(None, core, now);
        }
        let sdp = sdp_of(&response.headers, &response.body).or(early);
        self.learn(&response.headers, sdp.as_deref());
        self.timer.granted(&response.headers, now);
        core.events.push_back(Event::Established { leg: self.id, sdp });
    }

    fn refused(&mut self, status: u16, response: Option<&Response>, core: &mut Core) {
        let State::Calling(calling) = &self.state else { return };
        if calling.is_unwanted() {
            return self.gone(TerminatedBy::Us, core);
        }
        let reason = response.and_then(|response| response.headers.reason());
        let contacts = response.map(alternatives).unwrap_or_default();
        self.over(Event::Failed { leg: self.id, status, reason, contacts }, core);
    }
}

/// The next server that has not failed, and the way to it. One that no listener of ours reaches has failed.
fn next_way(targets: &mut Targets, core: &Core, now: Instant) -> Option<(Target, Hop)> {
    while targets.any_left(now) {
        let target = targets.current(now)?.clone();
        if let Some(hop) = core.hop(target.transport, target.remote) {
            return Some((target, hop));
        }
        targets.failed(&target, Duration::ZERO, now);
    }
    None
}

/// Where a 3xx points to, by falling q-value (RFC 3261 §20.10).
fn alternatives(response: &Response) -> Vec<String> {
    if !(300..400).contains(&response.status.code()) {
        return Vec::new();
    }
    let mut contacts = response.headers.contacts();
    contacts.truncate(MAX_ALTERNATIVES);
    let q = |contact: &NameAddr| contact.params.value("q").and_then(|q| q.parse::<f32>().ok()).unwrap_or(1.0);
    contacts.sort_by(|a, b| q(b).total_cmp(&q(a)));
    contacts.into_iter().map(|contact| contact.uri.to_string()).collect()
}

/// A 2xx nobody wants, of a fork that lost or a call that is over: it is acknowledged and hung up (§13.2.2.4).
pub(crate) fn decline_late_answer(id: ClientId, response: &Response, core: &mut Core, now: Instant) {
    let Some((invite, hop)) = core.transactions.sent(id) else { return };
    let Some(mut dialog) = Dialog::of_request(&invite.clone(), hop) else { return };
    dialog.confirm(response, core, now);
    let number = response.headers.cseq().map(|cseq| cseq.number).unwrap_or_default();
    let ack: Request = dialog.numbered(Method::Ack, number, core);
    let hop = dialog.next_hop(core);
    core.transactions.send(hop.carry(ack.to_bytes()));
    let bye = dialog.request(Method::Bye, core);
    core.transactions.request(bye, hop, User::Nobody, now);
}
