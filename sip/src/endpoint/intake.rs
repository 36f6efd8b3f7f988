//! Messages as they come: what is answered before any leg sees it, in the order of RFC 3261 §8.2.
use super::{
    Door, Endpoint,
    core::{Reply, SDP, SUPPORTED, Served},
};
use crate::{
    dialog::{Dialog, Leg, SessionTimer, capabilities, describe, interval_too_small, not_ours},
    guard::Verdict,
    leg::{Event, LegId},
    message::{Headers, Message, Method, Name, ParseError, ParseErrorKind, Request, StatusCode},
    transaction::{Incoming, ServerId, key::ServerKey},
    transport::Hop,
    uri::Scheme,
};
use std::time::Instant;

/// Transactions are bounded too: so many for each leg there may be, and some for requests outside.
const TRANSACTIONS_PER_LEG: usize = 8;
const TRANSACTIONS_BESIDES: usize = 1024;
/// One in so many of them is kept for requests within dialogs, which then have room when new calls get 503.
const RESERVED: usize = 4;
/// Seconds after which a peer may try again when we have no room.
const RETRY_AFTER: &str = "10";

impl Endpoint {
    pub(super) fn receive(&mut self, hop: Hop, bytes: &[u8], now: Instant) {
        if !self.guards.at(hop.listener).hears(hop.remote.ip(), bytes, now, &mut self.core.stats) {
            return;
        }
        match Message::parse(bytes) {
            Ok(Message::Request(request)) => {
                self.core.stats.received += 1;
                self.request(request, hop, now);
            }
            Ok(Message::Response(response)) => {
                self.core.stats.received += 1;
                self.response(&response, hop, now);
            }
            Err(ParseError { kind: ParseErrorKind::KeepAlive, .. }) => {}
            Err(error) => self.unreadable(error, hop, now),
        }
    }

    fn unreadable(&mut self, error: ParseError, hop: Hop, now: Instant) {
        self.core.stats.parse_errors += 1;
        let source = hop.remote.ip();
        if !self.guards.at(hop.listener).is_welcome(source) {
            return self.guards.at(hop.listener).blame(source, now, &mut self.core.stats);
        }
        let status = error.status();
        let Some(mut rejected) = error.rejected else { return };
        rejected.headers.stamp_via(hop.remote);
        let reply = match status {
            // RFC 3261 §21.4.1: the phrase of a 400 should say what is wrong.
            StatusCode::BAD_REQUEST => Reply::new(status).saying(error.kind.to_string()),
            StatusCode::NOT_IMPLEMENTED => not_ours(&rejected.method),
            _ => Reply::new(status),
        };
        self.core.answer_stateless(&rejected.headers, hop, reply);
    }

    fn request(&mut self, mut request: Request, hop: Hop, now: Instant) {
        let key = ServerKey::of_request(&request);
        request.headers.stamp_via(hop.remote);
        match self.core.transactions.handle_request(&key, &request, now) {
            Incoming::New => {}
            Incoming::Repeated => {
                self.core.stats.repeated_requests += 1;
                return;
            }
            Incoming::RefusalAcknowledged(id) => return self.refusal_over(id),
        }
        if request.method == Method::Ack {
            return self.ack(&request, hop, now);
        }
        if request.method == Method::Cancel {
            return match self.core.transactions.server(&key.cancelled_invite()) {
                Some(invite) => self.cancel(invite, (key, &request), hop, now),
                None => self.admit(key, &request, hop, now),
            };
        }
        match self.leg_for(&request) {
            Some(leg) => self.in_dialog(leg, (key, &request), hop, now),
            None => self.admit(key, &request, hop, now),
        }
    }

    /// A request that belongs to nothing of ours: first who sends it, then what it wants.
    fn admit(&mut self, key: ServerKey, request: &Request, hop: Hop, now: Instant) {
        let user = match self.guards.admit(request, hop, now, &mut self.core.stats) {
            Verdict::Admit(user) => user,
            Verdict::Busy => return self.overloaded(request, hop),
            Verdict::Challenge(why) => {
                let challenges = self.guards.at(hop.listener).challenges(why, now);
                let reply = Reply::new(StatusCode::UNAUTHORIZED);
                let reply = challenges.iter().fold(reply, |reply, value| reply.with(Name::WwwAuthenticate, value));
                return self.core.answer_stateless(&request.headers, hop, reply);
            }
            Verdict::Forbid => {
                self.tell(hop, now);
                return self.core.answer_stateless(&request.headers, hop, Reply::new(StatusCode::FORBIDDEN));
            }
            Verdict::Drop => return self.tell(hop, now),
        };
        if request.method == Method::Cancel {
            return self.core.answer_stateless(&request.headers, hop, Reply::new(StatusCode::NO_TRANSACTION));
        }
        if let Some(refusal) = unacceptable(request) {
            return self.core.answer_stateless(&request.headers, hop, refusal);
        }
        let in_dialog = request.headers.to().is_some_and(|to| to.tag().is_some());
        match request.method {
            _ if in_dialog => {
                self.core.answer_stateless(&request.headers, hop, Reply::new(StatusCode::NO_TRANSACTION));
            }
            Method::Invite => self.new_invite(key, request, (hop, user), now),
            _ => self.out_of_dialog(request, hop),
        }
    }

    /// Lets the owner know whom its configuration turns away.
    fn tell(&mut self, hop: Hop, now: Instant) {
        if self.guards.at(hop.listener).tells(hop.remote.ip(), now) {
            self.core.events.push_back(Event::Stranger { remote: hop.remote });
        }
    }

    fn most_transactions(&self) -> usize {
        self.core.config.max_legs.saturating_mul(TRANSACTIONS_PER_LEG).saturating_add(TRANSACTIONS_BESIDES)
    }

    /// ACK of a 2xx; any other is ignored.
    fn ack(&mut self, ack: &Request, hop: Hop, now: Instant) {
        let Some(id) = self.leg_for(ack) else {
            self.core.stats.stray += 1;
            return self.guards.at(hop.listener).blame(hop.remote.ip(), now, &mut self.core.stats);
        };
        self.guards.at(hop.listener).acquaint(hop.remote.ip(), now);
        self.with_leg(id, |leg, core| leg.handle_ack(ack, core, now));
    }

    /// RFC 3261 §9.2: 200, and the INVITE of a call that is not answered gets 487. A re-INVITE is answered all the
    /// same: its owner may have followed the offer already, and the answer be on its way here.
    fn cancel(&mut self, invite: ServerId, (key, cancel): (ServerKey, &Request), hop: Hop, now: Instant) {
        if self.core.transactions.len() >= self.most_transactions() {
            return self.overloaded(cancel, hop);
        }
        let id = self.core.transactions.serve(key, cancel, hop.transport);
        let calling = self.invites.get(&invite).copied();
        let leg = calling.or_else(|| self.leg_for(cancel));
        // The To tag of this 200 should be that of the INVITE's responses.
        let tag = leg.and_then(|leg| Some(self.legs.get(&leg)?.key().1)).unwrap_or_else(|| self.core.random.token());
        self.core.answer(&Served::new(id, cancel, hop), &tag, Reply::new(StatusCode::OK), now);
        if let Some(leg) = calling {
            self.with_leg(leg, |leg, core| leg.handle_cancel(&cancel.headers, core, now));
        }
    }

    fn in_dialog(&mut self, leg: LegId, (key, request): (ServerKey, &Request), hop: Hop, now: Instant) {
        self.guards.at(hop.listener).acquaint(hop.remote.ip(), now);
        if let Some(refusal) = unacceptable(request) {
            return self.core.answer_stateless(&request.headers, hop, refusal);
        }
        if self.core.transactions.len() >= self.most_transactions() {
            return self.overloaded(request, hop);
        }
        let transaction = self.core.transactions.serve(key, request, hop.transport);
        let served = Served::new(transaction, request, hop);
        self.with_leg(leg, |leg, core| leg.handle_request(request, served, core, now));
    }

    /// Only an INVITE leaves anything behind; the rest is answered and forgotten (§8.2.7).
    fn out_of_dialog(&mut self, request: &Request, hop: Hop) {
        let reply = match request.method {
            Method::Options if self.door == Door::Draining => Reply::new(StatusCode::SERVICE_UNAVAILABLE),
            Method::Options => capabilities(Reply::new(StatusCode::OK)),
            Method::Bye | Method::Info | Method::Update | Method::Notify | Method::Prack => {
                Reply::new(StatusCode::NO_TRANSACTION)
            }
            Method::Invite
            | Method::Ack
            | Method::Cancel
            | Method::Register
            | Method::Refer
            | Method::Subscribe
            | Method::Message
            | Method::Publish
            | Method::Other(_) => not_ours(&request.method),
        };
        self.core.answer_stateless(&request.headers, hop, reply);
    }

    fn new_invite(&mut self, key: ServerKey, request: &Request, (hop, user): (Hop, Option<String>), now: Instant) {
        if self.core.transactions.is_merged(request) {
            return self.core.answer_stateless(&request.headers, hop, Reply::new(StatusCode::LOOP_DETECTED));
        }
        let busy = self.core.transactions.len() >= self.most_transactions() / RESERVED * (RESERVED - 1);
        if busy || self.door == Door::Draining || self.legs.len() >= self.core.config.max_legs {
            return self.overloaded(request, hop);
        }
        let replaces = match self.replaced_by(request) {
            Ok(replaces) => replaces,
            Err(status) => return self.core.answer_stateless(&request.headers, hop, Reply::new(status)),
        };
        let tag = self.core.random.token();
        let dialog = Dialog::incoming(request, hop, (&tag, now), &mut self.core);
        let Some((dialog, description)) = dialog.zip(describe(request, hop, user)) else {
            let reply = Reply::new(StatusCode::BAD_REQUEST).saying("Contact or Record-Route is missing or malformed");
            return self.core.answer_stateless(&request.headers, hop, reply);
        };
        let mut timer = SessionTimer::new(self.core.config.session_expires);
        let Ok(terms) = timer.asked(&request.headers) else {
            return self.core.answer_stateless(&request.headers, hop, interval_too_small());
        };
        let transaction = self.core.transactions.serve(key, request, hop.transport);
        let served = Served::new(transaction, request, hop);
        self.core.answer(&served, "", Reply::new(StatusCode::TRYING), now);
        let id = self.fresh_leg();
        let leg = Leg::incoming(id, dialog, request, (served, terms), timer, &mut self.core);
        self.adopt(id, leg);
        self.core.events.push_back(Event::Incoming { leg: id, invite: Box::new(description), replaces });
    }

    fn overloaded(&mut self, request: &Request, hop: Hop) {
        self.core.stats.overloaded += 1;
        let reply = Reply::new(StatusCode::SERVICE_UNAVAILABLE).with(Name::RetryAfter, RETRY_AFTER);
        self.core.answer_stateless(&request.headers, hop, reply);
    }

    /// The leg a request within a dialog belongs to (RFC 3261 §12.2.2).
    fn leg_for(&self, request: &Request) -> Option<LegId> {
        let call_id = request.headers.call_id()?.to_owned();
        let to = request.headers.to()?;
        let id = *self.dialogs.get(&(call_id, to.tag()?.to_owned()))?;
        self.legs.get(&id).filter(|leg| leg.is_peer(&request.headers)).map(|_| id)
    }
}

/// Why a request is refused whatever state we are in: §8.2.2.1, §8.2.2.3 and §8.2.3.
fn unacceptable(request: &Request) -> Option<Reply> {
    let headers = &request.headers;
    if request.uri.scheme() == Scheme::Other {
        return Some(Reply::new(StatusCode::UNSUPPORTED_URI_SCHEME));
    }
    let known = |tag: &str| SUPPORTED.split(", ").any(|ours| ours.eq_ignore_ascii_case(tag));
    let unknown: Vec<&str> = headers.tokens(Name::Require).filter(|tag| !known(tag)).collect();
    if !unknown.is_empty() {
        return Some(Reply::new(StatusCode::BAD_EXTENSION).with(Name::Unsupported, unknown.join(", ")));
    }
    // RFC 3891 §3: Replaces is for INVITE only.
    if request.method != Method::Invite && headers.first(Name::Replaces).is_some() {
        return Some(Reply::new(StatusCode::BAD_REQUEST).saying("Replaces outside an INVITE"));
    }
    if request.method != Method::Invite {
        return None;
    }
    if !takes_sdp(headers) {
        return Some(Reply::new(StatusCode::NOT_ACCEPTABLE));
    }
    if request.body.is_empty() {
        return None;
    }
    let encoded = headers.first(Name::ContentEncoding).is_some_and(|e| !e.eq_ignore_ascii_case("identity"));
    if encoded {
        return Some(Reply::new(StatusCode::UNSUPPORTED_MEDIA_TYPE).with(Name::AcceptEncoding, "identity"));
    }
    // RFC 3261 §20.11: a body whose handling is optional may be passed over.
    let disposition = headers.first(Name::ContentDisposition).unwrap_or_default().to_ascii_lowercase();
    let is_sdp = headers.content_type().is_some_and(|media| media == SDP);
    let foreign = !is_sdp && !disposition.contains("handling=optional");
    foreign.then(|| Reply::new(StatusCode::UNSUPPORTED_MEDIA_TYPE).with(Name::Accept, SDP))
}

/// Whether the only body that we answer an INVITE with may come (RFC 3261 §20.1, §21.4.7). An empty Accept takes none.
fn takes_sdp(headers: &Headers) -> bool {
    let takes =
        |range: &str| ["application/sdp", "application/*", "*/*"].iter().any(|ours| range.eq_ignore_ascii_case(ours));
    let range = |item: &str| takes(item.split(';').next().unwrap_or_default().trim());
    headers.first(Name::Accept).is_none() || headers.tokens(Name::Accept).any(range)
}
