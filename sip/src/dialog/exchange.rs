//! Offers after the first: re-INVITE (RFC 3261 §14) and UPDATE (RFC 3311), from either side, one at a time.
use super::{
    Leg,
    ack::{Overdue, Unacknowledged},
    leg::{End, Origin, Outcome, State, sdp_of},
    prack::reliable,
    refresh::{BUSY, UNREACHABLE, interval_too_small},
    session_timer::Terms,
};
use crate::{
    Body,
    endpoint::core::{Core, Purpose, Reply, SDP, Served},
    leg::{Event, OfferMethod, Reason, TerminatedBy},
    message::{Method, Name, Request, Response, StatusCode},
    transaction::{ClientId, timer::Deadline},
};
use std::time::{Duration, Instant};

/// How often our re-INVITE is tried when the peer is busy with its own.
const TRIES: u8 = 5;
/// Longest Retry-After (seconds) that a re-INVITE waits for.
const LONGEST_RETRY_AFTER: u32 = 10;

/// The offer under way in an established dialog.
#[derive(Debug)]
pub(super) enum Exchange {
    /// None.
    Idle,
    /// The peer's, which the owner must answer.
    Theirs { request: Served, method: OfferMethod, offer: Option<Body>, terms: Option<Terms> },
    /// The peer's re-INVITE is answered, its ACK is not here.
    Unacknowledged { ok: Unacknowledged, kind: Kind },
    /// Our re-INVITE waits for the peer.
    Ours { invite: ClientId, sdp: Body, tries: u8, why: Why },
    /// Our re-INVITE collided with the peer's and goes out again then (§14.1).
    Colliding { until: Instant, sdp: Body, tries: u8, why: Why },
}

/// What a re-INVITE of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The owner's offer.
    Offer,
    /// The session must be refreshed; the description is the one in force.
    Refresh,
}

/// Which of the two messages of the peer's INVITE bears its session description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The request offers.
    Offer,
    /// The request asks for our offer, which is `ours`; its ACK answers.
    OfferWanted { ours: Body },
}

impl Exchange {
    pub(super) fn poll_timeout(&self) -> Option<Deadline> {
        match self {
            Self::Unacknowledged { ok, .. } => Some(ok.poll_timeout()),
            Self::Colliding { until, .. } => Some((*until, "re-INVITE after 491")),
            Self::Idle | Self::Theirs { .. } | Self::Ours { .. } => None,
        }
    }

    /// Our re-INVITE went out again in another transaction.
    pub(super) fn resent(&mut self, old: ClientId, new: ClientId) {
        if let Self::Ours { invite, .. } = self
            && *invite == old
        {
            *invite = new;
        }
    }
}

impl Leg {
    /// re-INVITE, or UPDATE with a session description, of the peer.
    pub(super) fn offered(&mut self, request: &Request, served: Served, core: &mut Core, now: Instant) {
        let method = if request.method == Method::Update { OfferMethod::Update } else { OfferMethod::Invite };
        if let Some(refusal) = self.collision(method, core) {
            self.reply(&served, refusal, core, now);
            return;
        }
        let Ok(terms) = self.timer.asked(&request.headers) else {
            self.reply(&served, interval_too_small(), core, now);
            return;
        };
        let sdp = sdp_of(&request.headers, &request.body);
        if sdp.is_none() && !request.body.is_empty() {
            let refusal = Reply::new(StatusCode::UNSUPPORTED_MEDIA_TYPE).with(Name::Accept, SDP);
            self.reply(&served, refusal, core, now);
            return;
        }
        self.follow(request, served.came_by, core, now);
        if method == OfferMethod::Invite {
            self.reply(&served, Reply::new(StatusCode::TRYING), core, now);
        }
        let theirs = Exchange::Theirs { request: served, method, offer: sdp.clone(), terms };
        match std::mem::replace(&mut self.exchange, theirs) {
            // Ours waits behind the peer's.
            Exchange::Colliding { sdp, why: Why::Offer, .. } => self.reinvite_when_free(sdp, core, now),
            // A refresh need not: the peer's is one, unless it is refused.
            Exchange::Colliding { why: Why::Refresh, .. } => self.timer.refresh_at(now + BUSY),
            Exchange::Idle | Exchange::Theirs { .. } | Exchange::Unacknowledged { .. } | Exchange::Ours { .. } => {}
        }
        core.events.push_back(Event::Offer { leg: self.id, method, sdp });
    }

    /// Why an offer of the peer cannot be taken right now (§14.2, RFC 3311 §5.2).
    fn collision(&self, method: OfferMethod, core: &mut Core) -> Option<Reply> {
        let pending = Some(Reply::new(StatusCode::REQUEST_PENDING));
        match (&self.state, &self.exchange) {
            (State::Refused { .. } | State::HangingUp | State::Gone, _) => Some(Reply::new(StatusCode::NO_TRANSACTION)),
            (State::Answered { .. } | State::Established, Exchange::Theirs { .. }) => Some(busy(core)),
            // The peer's INVITE offered, and is not answered.
            (State::Ringing(_), _) => Some(busy(core)),
            // Ours did.
            (State::Calling(_), _) => pending,
            (State::Established, Exchange::Idle | Exchange::Colliding { .. }) => None,
            // Our 2xx answered; the ACK, which an UPDATE may overtake, adds nothing to that.
            (State::Answered { end: End::NotWanted, .. }, _)
                if method == OfferMethod::Update && self.described.is_complete() =>
            {
                None
            }
            (State::Answered { .. } | State::Established, _) => pending,
        }
    }

    pub(super) fn accept_offer(&mut self, sdp: Body, core: &mut Core, now: Instant) {
        let Exchange::Theirs { request, method, offer, terms } = std::mem::replace(&mut self.exchange, Exchange::Idle)
        else {
            return;
        };
        let kind = match &offer {
            Some(offer) => {
                self.described.settle(Some(&sdp), Some(offer));
                Kind::Offer
            }
            // Until it is answered what was in force before is (RFC 3261 §14.1).
            None => Kind::OfferWanted { ours: sdp.clone() },
        };
        let ok = self.reply(&request, self.accepting(terms).sdp(sdp), core, now);
        self.timer.grant(terms, now);
        match method {
            OfferMethod::Update => self.next_offer(core, now),
            OfferMethod::Invite => {
                let ok = Unacknowledged::new(ok, request.cseq, now);
                self.exchange = Exchange::Unacknowledged { ok, kind };
            }
        }
    }

    pub(super) fn refuse_offer(&mut self, status: u16, reason: Option<&Reason>, core: &mut Core, now: Instant) {
        let Exchange::Theirs { request, .. } = &self.exchange else { return };
        let status = StatusCode::new(status).filter(|s| s.code() >= 300).unwrap_or(StatusCode::NOT_ACCEPTABLE_HERE);
        self.reply(request, Reply::new(status).because(reason), core, now);
        self.idle(core, now);
    }

    /// The ACK of our 2xx to a re-INVITE.
    pub(super) fn reinvite_acknowledged(&mut self, cseq: u32, ack: &Request, core: &mut Core, now: Instant) {
        let Exchange::Unacknowledged { ok, kind } = &self.exchange else { return };
        if !ok.is_for(cseq) {
            return;
        }
        if let Kind::OfferWanted { ours } = kind {
            let sdp = sdp_of(&ack.headers, &ack.body);
            // Without an answer the offer came to nothing: a refresh repeats what it would have replaced.
            if let Some(theirs) = &sdp {
                self.described.settle(Some(ours), Some(theirs));
            }
            core.events.push_back(Event::Established { leg: self.id, sdp });
        }
        self.idle(core, now);
    }

    /// The owner's re-INVITE: at once, or when the offer under way is settled. A waiting one is replaced.
    pub(super) fn reinvite(&mut self, sdp: Body, core: &mut Core, now: Instant) {
        match self.state {
            State::Established | State::Answered { .. } => self.reinvite_when_free(sdp, core, now),
            State::Ringing(_) | State::Refused { .. } | State::Calling(_) => {
                core.events.push_back(Event::OfferAnswered { leg: self.id, result: Err(491) });
            }
            State::HangingUp | State::Gone => {}
        }
    }

    fn reinvite_when_free(&mut self, sdp: Body, core: &mut Core, now: Instant) {
        let free = matches!((&self.state, &self.exchange), (State::Established, Exchange::Idle));
        if free {
            return self.send_offer((sdp, Why::Offer), 1, core, now);
        }
        if self.queued_offer.replace(sdp).is_some() {
            core.events.push_back(Event::OfferAnswered { leg: self.id, result: Err(491) });
        }
    }

    pub(super) fn send_offer(&mut self, (sdp, why): (Body, Why), tries: u8, core: &mut Core, now: Instant) {
        let mut request = self.dialog.request(Method::Invite, core);
        self.timer.ask_again(&mut request.headers);
        request.headers.push(Name::ContentType, SDP);
        request.body.clone_from(&sdp);
        let invite = self.send(request, Purpose::Reinvite, core, now);
        self.exchange = Exchange::Ours { invite, sdp, tries, why };
    }

    /// The offer under way is settled.
    fn idle(&mut self, core: &mut Core, now: Instant) {
        self.exchange = Exchange::Idle;
        self.next_offer(core, now);
    }

    /// Sends the re-INVITE that waits for its turn.
    pub(super) fn next_offer(&mut self, core: &mut Core, now: Instant) {
        if let Some(sdp) = self.queued_offer.take() {
            self.reinvite_when_free(sdp, core, now);
        }
    }

    pub(super) fn reinvite_outcome(&mut self, id: ClientId, outcome: Outcome<'_>, core: &mut Core, now: Instant) {
        let Outcome { status, response } = outcome;
        if let Some((response, rseq)) = response.and_then(|response| Some((response, reliable(response)?))) {
            self.acknowledge_early(response, rseq, core, now);
        }
        if let (200..300, Some(response)) = (status, response) {
            self.dialog.retarget(&response.headers, core, now);
            self.acknowledge(id, response, core, now);
        }
        let Exchange::Ours { invite, sdp, tries, why } = &mut self.exchange else { return };
        if *invite != id || status < 200 {
            return;
        }
        let (sdp, tries, why) = (std::mem::take(sdp), *tries, *why);
        if let Some(wait) = retry_after(status, response).filter(|_| tries < TRIES) {
            let until = now + wait.unwrap_or_else(|| self.collision_wait(core));
            self.exchange = Exchange::Colliding { until, sdp, tries: tries + 1, why };
            return;
        }
        let early = response.and_then(|response| self.settle_branches(&response.headers));
        let answer = response.and_then(|response| sdp_of(&response.headers, &response.body)).or(early);
        self.settle((sdp, why), (status, response, answer), core, now);
        self.idle(core, now);
        if status == 408 || status == 481 {
            self.peer_gone(core, now);
        }
    }

    /// Our re-INVITE has its final answer.
    fn settle(
        &mut self,
        (ours, why): (Body, Why),
        (status, response, answer): (u16, Option<&Response>, Option<Body>),
        core: &mut Core,
        now: Instant,
    ) {
        match (status, response) {
            (200..300, Some(response)) => {
                self.learn(&response.headers, None);
                self.timer.granted(&response.headers, now);
            }
            (_, Some(_)) if why == Why::Refresh => self.timer.survived(now),
            (_, None) if why == Why::Refresh => self.timer.refresh_at(now + UNREACHABLE),
            (_, _) => {}
        }
        let news = match (why, &answer) {
            (Why::Offer, _) => true,
            // The owner asked for nothing: only an answer that says something new concerns it.
            (Why::Refresh, Some(answer)) => !self.described.is_theirs(answer),
            (Why::Refresh, None) => false,
        };
        let result = match (status, answer) {
            (200..300, Some(answer)) => {
                self.described.settle(Some(&ours), Some(&answer));
                Ok(answer)
            }
            // An answer without a session description is none.
            (200..300, None) => Err(StatusCode::SERVER_ERROR.code()),
            (_, _) => Err(status),
        };
        if news {
            core.events.push_back(Event::OfferAnswered { leg: self.id, result });
        }
    }

    /// RFC 3261 §14.1: who made up the Call-ID waits 2.1 to 4 s, the other 0 to 2 s.
    pub(super) fn collision_wait(&self, core: &mut Core) -> Duration {
        let (from, to) = if self.origin == Origin::Ours { (2100, 4000) } else { (0, 2000) };
        core.random.between(Duration::from_millis(from), Duration::from_millis(to))
    }

    pub(super) fn exchange_timeout(&mut self, core: &mut Core, now: Instant) {
        match &mut self.exchange {
            Exchange::Unacknowledged { ok, .. } => match ok.handle_timeout(now) {
                Overdue::Nothing => {}
                Overdue::Resend(ok) => core.transactions.send_again(ok),
                Overdue::GiveUp => self.give_up(TerminatedBy::NoAck, core, now),
            },
            Exchange::Colliding { until, sdp, tries, why } if *until <= now => {
                let (sdp, why, tries) = (std::mem::take(sdp), *why, *tries);
                self.send_offer((sdp, why), tries, core, now);
            }
            Exchange::Idle | Exchange::Theirs { .. } | Exchange::Ours { .. } | Exchange::Colliding { .. } => {}
        }
    }

    /// The dialog ends: a pending offer of the peer gets 487 (§15.1.2), one of ours is not waited for for ever.
    pub(super) fn abandon_exchange(&mut self, core: &mut Core, now: Instant) {
        match &self.exchange {
            Exchange::Theirs { request, .. } => {
                self.reply(request, Reply::new(StatusCode::REQUEST_TERMINATED), core, now);
            }
            Exchange::Ours { invite, .. } => core.transactions.abandon(*invite, now),
            Exchange::Idle | Exchange::Unacknowledged { .. } | Exchange::Colliding { .. } => {}
        }
        self.exchange = Exchange::Idle;
        self.queued_offer = None;
    }
}

/// RFC 3261 §14.2 and RFC 3311 §5.2: an offer while another waits for our answer gets 500 and a wait of 0 to 10 s.
pub(super) fn busy(core: &mut Core) -> Reply {
    let seconds = core.random.next() % 11;
    Reply::new(StatusCode::SERVER_ERROR).with(Name::RetryAfter, seconds.to_string())
}

/// Whether a refused offer or refresh is tried again: after 491 by §14.1 (`Some(None)`), after a 500 with Retry-After
/// then.
pub(super) fn retry_after(status: u16, response: Option<&Response>) -> Option<Option<Duration>> {
    match status {
        491 => Some(None),
        500 => {
            let seconds = response?.headers.retry_after().filter(|seconds| *seconds <= LONGEST_RETRY_AFTER)?;
            Some(Some(Duration::from_secs(u64::from(seconds))))
        }
        _ => None,
    }
}
