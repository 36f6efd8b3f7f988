//! One leg from its INVITE to its end: the state, and which part of it an input concerns.
use super::{
    Dialog,
    ack::{Overdue, Unacknowledged},
    exchange::Exchange,
    prack::{Branch, Provisionals},
    refer::Referral,
    refresh::{Described, Update},
    session_timer::SessionTimer,
    uac::Calling,
    uas::Ringing,
};
use crate::{
    Body,
    auth::{Credentials, Session},
    endpoint::core::{Core, Purpose, Reply, SDP, Served, User},
    leg::{Command, Event, LegId, Reason, ReferProgress, TerminatedBy},
    message::{Headers, Method, Name, Replaces, Request, Response, StatusCode},
    transaction::{ClientId, ServerId, timer::Deadline, timer::earliest},
    transport::{Hop, Transmit},
};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// A leg of ours or the peer's.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(super) id: LegId,
    pub(super) dialog: Dialog,
    pub(super) state: State,
    pub(super) exchange: Exchange,
    /// A re-INVITE of the owner that waits for its turn.
    pub(super) queued_offer: Option<Body>,
    pub(super) referral: Option<Referral>,
    pub(super) origin: Origin,
    /// Those to the peer's INVITE.
    pub(super) provisionals: Provisionals,
    /// Those to our last INVITE, as far as they were reliable.
    pub(super) branches: Vec<Branch>,
    pub(super) timer: SessionTimer,
    pub(super) described: Described,
    pub(super) update: Update,
    pub(super) credentials: Option<Credentials>,
    session: Session,
    /// Challenges and 422s still answered until the next 2xx: a peer that never stops asking is not obeyed for ever.
    retries_left: u8,
    /// ACKs of the last 2xxs, by number of their INVITE.
    acks: VecDeque<(u32, Transmit)>,
    /// An ACK that waits to know where the name of its receiver leads.
    held: Option<Held>,
}

/// Where a leg is.
#[derive(Debug)]
pub(super) enum State {
    /// The peer's INVITE waits for the owner.
    Ringing(Ringing),
    /// The owner refused; the refusal is not acknowledged yet.
    Refused { invite: ServerId },
    /// The owner answered; the 2xx is not acknowledged yet.
    Answered { ok: Unacknowledged, end: End },
    /// Our INVITE waits for the peer.
    Calling(Calling),
    /// Both sides know that the call is up.
    Established,
    /// Our BYE waits for its answer.
    HangingUp,
    /// Nothing is left to do.
    Gone,
}

/// Whose INVITE made a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Ours.
    Ours,
    /// The peer's, in this transaction.
    Theirs(ServerId),
}

/// Whether the owner has asked for the end of a leg that cannot end yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The call is wanted.
    NotWanted,
    /// It ends as soon as the protocol lets it.
    Wanted(Option<Reason>),
}

/// How a request of ours ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome<'a> {
    /// The status; 408 for silence and 503 for an unreachable peer (RFC 3261 §8.1.3.1).
    pub(crate) status: u16,
    /// The response, if there was one.
    pub(crate) response: Option<&'a Response>,
}

/// The ACK of a 2xx that says for the first time, and by name, where the peer is.
#[derive(Clone, Copy, Debug)]
struct Held {
    invite: ClientId,
    cseq: u32,
    until: Instant,
}

/// How long an ACK waits for DNS; the 2xx is repeated meanwhile. Without an answer it goes where the INVITE went.
const ACK_WAITS: Duration = Duration::from_secs(2);
/// How often a request is sent again as its refusal wants it.
const RETRIES: u8 = 8;
/// How many ACKs of 2xxs are kept for repeated 2xxs.
const ACKS: usize = 3;

impl Leg {
    pub(super) fn new(id: LegId, dialog: Dialog, state: State, origin: Origin, timer: SessionTimer) -> Self {
        Self {
            id,
            dialog,
            state,
            exchange: Exchange::Idle,
            queued_offer: None,
            referral: None,
            origin,
            provisionals: Provisionals::Plain,
            branches: Vec::new(),
            timer,
            described: Described::default(),
            update: Update::NotAllowed,
            credentials: None,
            session: Session::default(),
            retries_left: RETRIES,
            acks: VecDeque::new(),
            held: None,
        }
    }

    /// By which messages find this leg: Call-ID and our tag.
    pub(crate) fn key(&self) -> (String, String) {
        self.dialog.key()
    }

    /// Whether a request comes from the other side of this leg.
    pub(crate) fn is_peer(&self, request: &Headers) -> bool {
        self.dialog.is_peer(request)
    }

    /// Whether the other side of this leg has this tag.
    pub(crate) fn is_with(&self, tag: &str) -> bool {
        self.dialog.is_with(tag)
    }

    /// Whether another leg may take the place of this one.
    ///
    /// # Errors
    /// The status RFC 3891 §3 has for it.
    pub(crate) fn may_be_replaced(&self, early_only: bool) -> Result<(), StatusCode> {
        match &self.state {
            State::Calling(calling) if !calling.is_unwanted() => Ok(()),
            State::Established | State::Answered { end: End::NotWanted, .. } if !early_only => Ok(()),
            State::Established | State::Answered { end: End::NotWanted, .. } => Err(StatusCode::BUSY_HERE),
            // A call to us that rings is not ours to hand on.
            State::Ringing(_) => Err(StatusCode::NO_TRANSACTION),
            State::Calling(_)
            | State::Answered { end: End::Wanted(_), .. }
            | State::Refused { .. }
            | State::HangingUp
            | State::Gone => Err(StatusCode::DECLINE),
        }
    }

    /// Whether the peer's INVITE waits for its answer.
    pub(crate) fn rings(&self) -> bool {
        matches!(self.state, State::Ringing(_))
    }

    /// This leg as its other side knows it, if it is up: what a REFER may offer.
    pub(crate) fn as_replaces(&self) -> Option<Replaces> {
        self.is_up().then(|| self.dialog.as_replaces())?
    }

    /// The transaction of the INVITE, if it was the peer's.
    pub(crate) fn invite_transaction(&self) -> Option<ServerId> {
        match self.origin {
            Origin::Theirs(invite) => Some(invite),
            Origin::Ours => None,
        }
    }

    /// Whether it can be forgotten.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.state, State::Gone)
    }

    /// The stream of this hop is closed.
    pub(crate) fn connection_lost(&mut self, hop: Hop) {
        self.dialog.connection_lost(hop);
    }

    /// Whether something of this leg waits for the answer to a [`Event::Locate`].
    pub(crate) fn wants_name(&self) -> bool {
        self.held.is_some()
    }

    /// An answer came, to whatever question.
    pub(crate) fn handle_located(&mut self, core: &mut Core) {
        if !self.dialog.wants_name(core) {
            self.release_ack(core);
        }
    }

    /// What the owner wants. `offered` is the leg that a REFER offers.
    pub(crate) fn handle_command(
        &mut self,
        command: Command,
        offered: Option<Replaces>,
        core: &mut Core,
        now: Instant,
    ) {
        match command {
            Command::Ring { .. } => self.ring(core, now),
            Command::Answer { sdp, .. } => self.answer(sdp, core, now),
            Command::TakeOver { .. } => {} // of two legs: the endpoint gives each its own
            Command::Reject { status, reason, headers, .. } => {
                let status = StatusCode::new(status).filter(|s| s.code() >= 300).unwrap_or(StatusCode::SERVER_ERROR);
                self.refuse(Reply::new(status).because(reason.as_ref()).with_all(&headers), core, now);
            }
            Command::AcceptOffer { sdp, .. } => self.accept_offer(sdp, core, now),
            Command::RefuseOffer { status, reason, .. } => self.refuse_offer(status, reason.as_ref(), core, now),
            Command::Reinvite { sdp, .. } => self.reinvite(sdp, core, now),
            Command::Bye { reason, .. } => self.end(reason, core, now),
            Command::Refer { replaces: Some(_), .. } if offered.is_none() => {
                let progress = ReferProgress::Refused(StatusCode::NO_TRANSACTION.code());
                core.events.push_back(Event::Refer { leg: self.id, progress });
            }
            Command::Refer { refer_to, notify_deadline, .. } => {
                self.refer((&refer_to, offered), notify_deadline, core, now);
            }
            Command::Info { content_type, body, .. } => self.info(&content_type, body, core, now),
        }
    }

    /// A response to a request of this leg, or what stands for one.
    pub(crate) fn handle_outcome(
        &mut self,
        (purpose, id): (Purpose, ClientId),
        outcome: Outcome<'_>,
        core: &mut Core,
        now: Instant,
    ) {
        let status = outcome.status;
        if (200..300).contains(&status) {
            self.retries_left = RETRIES;
        }
        if self.send_as_wanted((purpose, id), outcome, core, now) {
            return;
        }
        match purpose {
            Purpose::Invite => self.invite_outcome(id, outcome, core, now),
            Purpose::Reinvite => self.reinvite_outcome(id, outcome, core, now),
            Purpose::Refresh => self.refresh_outcome(outcome, core, now),
            Purpose::Bye if status >= 200 => self.gone(TerminatedBy::Us, core),
            Purpose::Refer => self.refer_outcome(outcome, core, now),
            Purpose::Info if status == 408 || status == 481 => self.peer_gone(core, now),
            Purpose::Info if status >= 300 && !self.is_gone() => {
                core.events.push_back(Event::InfoRefused { leg: self.id, status });
            }
            // A provisional response, or one that changes nothing.
            Purpose::Bye | Purpose::Info | Purpose::Prack => {}
        }
    }

    /// Our refusal of the INVITE was acknowledged, or never will be.
    pub(crate) fn handle_refusal_over(&mut self, id: ServerId, core: &mut Core) {
        if matches!(self.state, State::Refused { invite } if invite == id) {
            self.gone(TerminatedBy::Us, core);
        }
    }

    /// An ACK in the dialog.
    pub(crate) fn handle_ack(&mut self, ack: &Request, core: &mut Core, now: Instant) {
        let Some(cseq) = ack.headers.cseq() else { return };
        match &self.state {
            State::Answered { ok, end } if ok.is_for(cseq.number) => match end.clone() {
                End::Wanted(reason) => self.hang_up(reason, core, now),
                End::NotWanted => {
                    self.state = State::Established;
                    // Where our 2xx answered, an ACK that describes the session once more answers nothing.
                    let sdp = sdp_of(&ack.headers, &ack.body).filter(|_| !self.described.is_complete());
                    self.learn(&ack.headers, sdp.as_deref());
                    core.events.push_back(Event::Established { leg: self.id, sdp });
                    self.next_offer(core, now);
                }
            },
            State::Established => self.reinvite_acknowledged(cseq.number, ack, core, now),
            State::Answered { .. }
            | State::Ringing(_)
            | State::Refused { .. }
            | State::Calling(_)
            | State::HangingUp
            | State::Gone => {}
        }
    }

    /// Advances time.
    pub(crate) fn handle_timeout(&mut self, core: &mut Core, now: Instant) {
        if self.held.is_some_and(|held| held.until <= now) {
            self.release_ack(core);
        }
        match &mut self.state {
            State::Answered { ok, .. } => match ok.handle_timeout(now) {
                Overdue::Nothing => {}
                Overdue::Resend(ok) => core.transactions.send_again(ok),
                Overdue::GiveUp => self.give_up(TerminatedBy::NoAck, core, now),
            },
            State::Ringing(_) => {
                self.ring_again(core, now);
                self.provisional_timeout(core, now);
            }
            State::Established => {
                self.exchange_timeout(core, now);
                self.session_timeout(core, now);
            }
            State::Refused { .. } | State::Calling(_) | State::HangingUp | State::Gone => {}
        }
        if let Some(progress) = self.referral.as_mut().and_then(|referral| referral.handle_timeout(now)) {
            core.events.push_back(Event::Refer { leg: self.id, progress });
        }
    }

    /// The next deadline.
    pub(crate) fn poll_timeout(&self) -> Option<Deadline> {
        let of_state = match &self.state {
            State::Answered { ok, .. } => Some(ok.poll_timeout()),
            State::Ringing(ringing) => earliest([ringing.poll_timeout(), self.provisionals.poll_timeout()]),
            State::Established => earliest([self.exchange.poll_timeout(), self.timer.poll_timeout()]),
            State::Refused { .. } | State::Calling(_) | State::HangingUp | State::Gone => None,
        };
        let held = self.held.map(|held| (held.until, "address of the remote target"));
        earliest([of_state, held, self.referral.as_ref().and_then(Referral::poll_timeout)])
    }

    /// The owner wants the leg to end.
    fn end(&mut self, reason: Option<Reason>, core: &mut Core, now: Instant) {
        match &mut self.state {
            State::Ringing(_) => {
                let reply = Reply::new(StatusCode::TEMPORARILY_UNAVAILABLE).because(reason.as_ref());
                self.refuse(reply, core, now);
            }
            // RFC 3261 §15: no BYE before the ACK.
            State::Answered { end, .. } => *end = End::Wanted(reason),
            State::Calling(_) => self.cancel(reason, core, now),
            State::Established => self.hang_up(reason, core, now),
            State::Refused { .. } | State::HangingUp | State::Gone => {}
        }
    }

    /// BYE; the end is told when it is answered.
    pub(super) fn hang_up(&mut self, reason: Option<Reason>, core: &mut Core, now: Instant) {
        self.release_ack(core);
        self.abandon_exchange(core, now);
        self.referral = None;
        let bye = self.bye(reason.as_ref(), core);
        self.send(bye, Purpose::Bye, core, now);
        self.state = State::HangingUp;
    }

    /// BYE to a peer that is silent or does not know us; the end is told at once.
    pub(super) fn give_up(&mut self, by: TerminatedBy, core: &mut Core, now: Instant) {
        self.abandon_exchange(core, now);
        let mut bye = self.bye(why(by).as_ref(), core);
        self.session.authorize(&mut bye, &mut core.random);
        let hop = self.dialog.next_hop(core);
        core.transactions.request(bye, hop, User::Nobody, now);
        self.gone(by, core);
    }

    /// A request of ours got 408 or 481: RFC 3261 §12.2.1.2.
    pub(super) fn peer_gone(&mut self, core: &mut Core, now: Instant) {
        if matches!(self.state, State::Established | State::Answered { .. }) {
            self.give_up(TerminatedBy::PeerGone, core, now);
        }
    }

    pub(super) fn gone(&mut self, by: TerminatedBy, core: &mut Core) {
        self.over(Event::Terminated { leg: self.id, by }, core);
    }

    /// The one place a leg ends, with the one event that says so.
    pub(super) fn over(&mut self, event: Event, core: &mut Core) {
        if !self.is_gone() {
            self.state = State::Gone;
            self.referral = None;
            core.events.push_back(event);
        }
    }

    fn bye(&mut self, reason: Option<&Reason>, core: &mut Core) -> Request {
        let mut bye = self.dialog.request(Method::Bye, core);
        if let Some(reason) = reason {
            bye.headers.push(Name::Reason, reason.to_string());
        }
        bye
    }

    /// Sends a request of the dialog, with proof for whoever has asked for it before.
    pub(super) fn send(&mut self, mut request: Request, purpose: Purpose, core: &mut Core, now: Instant) -> ClientId {
        let hop = self.dialog.next_hop(core);
        self.session.authorize(&mut request, &mut core.random);
        core.transactions.request(request, hop, User::Leg(self.id, purpose), now)
    }

    /// ACK of a 2xx to an INVITE of ours: new in the dialog, with the INVITE's number and credentials (§13.2.2.4).
    pub(super) fn acknowledge(&mut self, id: ClientId, response: &Response, core: &mut Core, now: Instant) {
        let Some(cseq) = response.headers.cseq().map(|cseq| cseq.number) else { return };
        if let Some((_, ack)) = self.acks.iter().find(|(number, _)| *number == cseq) {
            core.transactions.send_again(ack.clone());
            return;
        }
        self.held.get_or_insert(Held { invite: id, cseq, until: now + ACK_WAITS });
        if !self.dialog.wants_name(core) {
            self.release_ack(core);
        }
    }

    /// Sends the ACK that waits, if one does.
    fn release_ack(&mut self, core: &mut Core) {
        let Some(Held { invite, cseq, .. }) = self.held.take() else { return };
        let mut ack = self.dialog.numbered(Method::Ack, cseq, core);
        if let Some((invite, _)) = core.transactions.sent(invite) {
            ack.headers.copy(Name::Authorization, &invite.headers);
            ack.headers.copy(Name::ProxyAuthorization, &invite.headers);
        }
        let ack = self.dialog.next_hop(core).carry(ack.to_bytes());
        self.acks.push_front((cseq, ack.clone()));
        self.acks.truncate(ACKS);
        core.transactions.send(ack);
    }

    /// Sends a request again that was refused for want of credentials (§22) or of a longer interval (RFC 4028 §7.3);
    /// `false` if that is not to be done.
    fn send_as_wanted(
        &mut self,
        (purpose, id): (Purpose, ClientId),
        outcome: Outcome<'_>,
        core: &mut Core,
        now: Instant,
    ) -> bool {
        let unwanted = matches!(&self.state, State::Calling(calling) if calling.is_unwanted());
        let Some(response) = outcome.response.filter(|_| !unwanted && self.retries_left > 0) else { return false };
        let Some((request, hop)) = core.transactions.sent(id) else { return false };
        let mut again = request.clone();
        let mended = match outcome.status {
            401 | 407 => {
                let credentials = |realm: &str| self.credentials.clone().or_else(|| core.account(realm));
                self.session.learn(response, credentials)
            }
            422 => self.timer.lengthen(&response.headers, &mut again.headers),
            _ => false,
        };
        if !mended {
            return false;
        }
        self.retries_left -= 1;
        let number = self.dialog.next_cseq();
        again.headers.set(Name::CSeq, format!("{number} {}", again.method));
        again.headers.set(Name::Via, core.via(hop).to_string());
        self.session.authorize(&mut again, &mut core.random);
        let new = core.transactions.request(again, hop, User::Leg(self.id, purpose), now);
        if let State::Calling(calling) = &mut self.state {
            calling.resent(id, new, core);
        }
        self.exchange.resent(id, new);
        if let (Purpose::Refer, Some(referral)) = (purpose, &mut self.referral) {
            referral.resent(number);
        }
        true
    }

    /// Answers a request of this leg.
    pub(super) fn reply(&self, served: &Served, reply: Reply, core: &mut Core, now: Instant) -> Transmit {
        core.answer(served, self.dialog.local_tag(), reply, now)
    }
}

/// The session description of a message, if it has one.
pub(crate) fn sdp_of(headers: &Headers, body: &[u8]) -> Option<Body> {
    let is_sdp = headers.content_type().is_some_and(|media| media == SDP);
    (is_sdp && !body.is_empty()).then(|| body.into())
}

/// The Reason of a BYE that the owner did not ask for.
fn why(by: TerminatedBy) -> Option<Reason> {
    let text = match by {
        TerminatedBy::Us => return None,
        TerminatedBy::NoAck => "No ACK",
        TerminatedBy::NoPrack => "No PRACK",
        TerminatedBy::PeerGone => "Dialog lost",
        TerminatedBy::SessionExpired => "Session expired",
    };
    Some(Reason { protocol: "SIP".into(), cause: Some(StatusCode::REQUEST_TIMEOUT.code()), text: Some(text.into()) })
}
