//! Requests of the peer within a dialog, and ours that concern no offer: RFC 3261 §12.2, RFC 3515, RFC 6086.
use super::{
    Leg,
    leg::{End, Outcome, State},
    refer::{Notice, Referral},
};
use crate::{
    Body,
    endpoint::core::{ACCEPT, ALLOW, Core, Purpose, Reply, SUPPORTED, Served},
    leg::{Event, ReferProgress, TerminatedBy},
    message::{Method, Name, NameAddr, ReferTo, Replaces, Request, StatusCode, SubState, sipfrag},
    uri::Uri,
};
use std::time::{Duration, Instant};

impl Leg {
    /// A request of the peer in this dialog, neither ACK nor CANCEL, in a transaction of its own.
    pub(crate) fn handle_request(&mut self, request: &Request, served: Served, core: &mut Core, now: Instant) {
        if !self.dialog.accept_cseq(served.cseq) {
            let reply = Reply::new(StatusCode::SERVER_ERROR).saying("CSeq Out Of Order");
            self.reply(&served, reply, core, now);
            return;
        }
        match request.method {
            Method::Bye => self.peer_hung_up(request, &served, core, now),
            Method::Options => {
                self.reply(&served, capabilities(Reply::new(StatusCode::OK)), core, now);
            }
            Method::Invite => self.offered(request, served, core, now),
            Method::Update if !request.body.is_empty() => self.offered(request, served, core, now),
            Method::Update => self.refreshed(request, &served, core, now),
            Method::Info => self.informed(request, &served, core, now),
            Method::Notify => self.notified(request, &served, core, now),
            Method::Prack => self.acknowledged_early(request, &served, core, now),
            Method::Ack
            | Method::Cancel
            | Method::Register
            | Method::Refer
            | Method::Subscribe
            | Method::Message
            | Method::Publish
            | Method::Other(_) => {
                self.reply(&served, not_ours(&request.method), core, now);
            }
        }
    }

    fn peer_hung_up(&mut self, bye: &Request, served: &Served, core: &mut Core, now: Instant) {
        if matches!(self.state, State::Refused { .. } | State::Gone) {
            self.reply(served, Reply::new(StatusCode::NO_TRANSACTION), core, now);
            return;
        }
        self.reply(served, Reply::new(StatusCode::OK), core, now);
        match &self.state {
            State::Ringing(_) => self.caller_gave_up(&bye.headers, core, now),
            State::HangingUp | State::Answered { end: End::Wanted(_), .. } => self.gone(TerminatedBy::Us, core),
            State::Answered { .. } | State::Established | State::Calling(_) => {
                self.abandon_invite(core, now);
                self.abandon_exchange(core, now);
                let reason = bye.headers.reason();
                self.over(Event::Bye { leg: self.id, reason }, core);
            }
            State::Refused { .. } | State::Gone => {}
        }
    }

    fn informed(&mut self, request: &Request, served: &Served, core: &mut Core, now: Instant) {
        if !self.is_up() {
            self.reply(served, Reply::new(StatusCode::NO_TRANSACTION), core, now);
            return;
        }
        self.reply(served, Reply::new(StatusCode::OK), core, now);
        let content_type = request.headers.content_type().unwrap_or_default();
        core.events.push_back(Event::Info { leg: self.id, content_type, body: request.body.clone() });
    }

    fn notified(&mut self, request: &Request, served: &Served, core: &mut Core, now: Instant) {
        let headers = &request.headers;
        let event = headers.event().filter(|event| event.package == "refer");
        let referral = event.and_then(|event| self.referral.as_mut().filter(|r| r.owns(event.id.as_deref())));
        let Some(referral) = referral else {
            self.reply(served, Reply::new(StatusCode::NO_TRANSACTION), core, now);
            return;
        };
        let terminated = headers.subscription_state().is_some_and(|s| s.state == SubState::Terminated);
        let status = sipfrag::status(&request.body).map(StatusCode::code);
        let progress = referral.handle_notify(Notice { status, terminated }, now);
        self.reply(served, Reply::new(StatusCode::OK), core, now);
        let leg = self.id;
        core.events.extend(progress.into_iter().map(|progress| Event::Refer { leg, progress }));
    }

    /// REFER to a target, with the leg offered to it in exchange for ours, if any.
    pub(super) fn refer(
        &mut self,
        (refer_to, offered): (&str, Option<Replaces>),
        notify_deadline: Duration,
        core: &mut Core,
        now: Instant,
    ) {
        let leg = self.id;
        let mut refuse = |status| {
            core.events.push_back(Event::Refer { leg, progress: ReferProgress::Refused(status) });
        };
        if matches!(self.state, State::HangingUp | State::Gone) {
            return;
        }
        if !self.is_up() {
            return refuse(481);
        }
        if self.referral.as_ref().is_some_and(|referral| !referral.is_over()) {
            return refuse(491);
        }
        let Some(refer_to) = target(refer_to, offered.as_ref()) else { return refuse(400) };
        let mut request = self.dialog.request(Method::Refer, core);
        request.headers.push(Name::ReferTo, refer_to.to_string());
        request.headers.push(Name::ReferredBy, NameAddr::new(self.dialog.local_uri().clone()).to_string());
        let number = request.headers.cseq().map(|cseq| cseq.number).unwrap_or_default();
        self.referral = Some(Referral::new(number, notify_deadline));
        self.send(request, Purpose::Refer, core, now);
    }

    pub(super) fn refer_outcome(&mut self, outcome: Outcome<'_>, core: &mut Core, now: Instant) {
        let progress = self.referral.as_mut().and_then(|referral| referral.handle_response(outcome.status, now));
        if let Some(progress) = progress {
            core.events.push_back(Event::Refer { leg: self.id, progress });
        }
        // Silence does not end the call as RFC 3261 §12.2.1.2 would have it: some peers drop REFER without a word,
        // and a caller must not be lost for that. 481 is an answer, and says that the dialog is gone.
        if outcome.status == 481 {
            self.peer_gone(core, now);
        }
    }

    pub(super) fn info(&mut self, content_type: &str, body: Body, core: &mut Core, now: Instant) {
        if !self.is_up() {
            return;
        }
        let mut request = self.dialog.request(Method::Info, core);
        request.headers.push(Name::ContentType, content_type);
        request.body = body;
        self.send(request, Purpose::Info, core, now);
    }

    /// Whether our side regards the call as up.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Established | State::Answered { end: End::NotWanted, .. })
    }
}

/// The answer to OPTIONS: what we can do (RFC 3261 §11.2).
pub(crate) fn capabilities(reply: Reply) -> Reply {
    reply.with(Name::Allow, ALLOW).with(Name::Accept, ACCEPT).with(Name::Supported, SUPPORTED)
}

/// The answer to a method we do not have: RFC 3261 §8.2.1, 405 for one that is known and 501 for one that is not. A
/// REFER is understood and declined (RFC 3515 §2.4.2): nobody but the assistant sends a caller elsewhere.
pub(crate) fn not_ours(method: &Method) -> Reply {
    let status = match method {
        Method::Other(_) => StatusCode::NOT_IMPLEMENTED,
        Method::Refer => StatusCode::DECLINE,
        Method::Invite
        | Method::Ack
        | Method::Bye
        | Method::Cancel
        | Method::Register
        | Method::Options
        | Method::Info
        | Method::Update
        | Method::Notify
        | Method::Subscribe
        | Method::Message
        | Method::Prack
        | Method::Publish => StatusCode::METHOD_NOT_ALLOWED,
    };
    Reply::new(status).with(Name::Allow, ALLOW)
}

/// The Refer-To of a REFER. Headers in the URI are ours to add: a Replaces in them would name a dialog of somebody else.
fn target(refer_to: &str, offered: Option<&Replaces>) -> Option<ReferTo> {
    let uri = Uri::parse(refer_to).ok().filter(|uri| uri.headers().next().is_none())?;
    match offered {
        Some(replaces) => ReferTo::attended(&uri, replaces).ok(),
        None => Some(ReferTo::blind(uri)),
    }
}
