//! The endpoint: bytes and commands in; bytes, events and the next deadline out.
//!
//! Drive it like this: feed what arrives with `handle_*`, then drain [`Endpoint::poll_transmit`],
//! [`Endpoint::poll_event`] and [`Endpoint::poll_close`], then sleep until [`Endpoint::poll_timeout`]. `now` must
//! never go back.
pub(crate) mod core;
mod intake;
mod names;
pub(crate) mod random;
mod replaces;
mod responses;

use self::core::Core;
use crate::{
    Body,
    dialog::{Leg, Outcome},
    framing::{Frame, PONG},
    guard::{Guards, Pass, Policy},
    leg::{Command, Event, LegId, Reason, Registration, RegistrationId, Way},
    locate::{Located, Target},
    register::{Registrant, Standing},
    transaction::{
        Expired, ServerId,
        timer::{Agenda, earliest},
    },
    transport::{Hop, Listener, ListenerId, Transmit, Transport},
    uri::Uri,
};
use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// Who we are on the wire, and how much we take on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Value of `User-Agent` and `Server`; empty for none.
    pub user_agent: String,
    /// Where we can be reached. A peer is called by the first that suits it: see [`Listener`].
    pub listeners: Vec<Listener>,
    /// Most legs at one time; an INVITE beyond it gets 503.
    pub max_legs: usize,
    /// Who may call.
    pub policy: Policy,
    /// Session interval that our INVITEs ask for (RFC 4028); no less than 90 s.
    pub session_expires: Duration,
}

/// The session interval RFC 4028 §4 recommends.
pub const SESSION_EXPIRES: Duration = Duration::from_secs(1800);

/// An INVITE to send.
#[derive(Clone, PartialEq, Eq)]
pub struct OutgoingInvite {
    /// The servers to send it to, the one to try first in front (RFC 3263 §4.3).
    pub targets: Vec<Target>,
    /// URIs of the proxies to go through, nearest first, mostly with `;lr` (RFC 3261 §8.1.2); `targets` are the first's.
    /// The route of the call itself is the one its answer records.
    pub route: Vec<String>,
    /// R-URI and To, without angle brackets.
    pub to: String,
    /// From, without angle brackets.
    pub from: String,
    /// Display name of From; empty for none.
    pub from_display: String,
    /// The offer.
    pub sdp: Body,
    /// Headers to add.
    pub x_headers: Vec<(String, String)>,
    /// User and password for a challenge.
    pub credentials: Option<(String, String)>,
}

impl std::fmt::Debug for OutgoingInvite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OutgoingInvite({} to {})", self.from, self.to)
    }
}

/// What has been counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Messages received and read.
    pub received: u64,
    /// Messages that could not be read.
    pub parse_errors: u64,
    /// Messages sent again, by timer or because they were asked for again.
    pub retransmissions: u64,
    /// Requests received again.
    pub repeated_requests: u64,
    /// Requests refused before any leg saw them.
    pub refused: u64,
    /// INVITEs refused because there were too many legs, transactions or calls a second, or while draining.
    pub overloaded: u64,
    /// Requests, and what was none, of strangers.
    pub strangers: u64,
    /// Messages of scanners, dropped unread.
    pub scanners: u64,
    /// Messages of strangers who had spent their budget, dropped.
    pub rate_limited: u64,
    /// Requests answered 401.
    pub challenged: u64,
    /// Proofs that were wrong: an unknown user or a wrong password.
    pub auth_failures: u64,
    /// Responses and ACKs that belong to nothing.
    pub stray: u64,
    /// Legs at this moment.
    pub legs: u64,
    /// Transactions at this moment.
    pub transactions: u64,
}

/// Messages of streams that may wait for [`Endpoint::poll_framed`]; the newest are not given.
const FRAMED: usize = 64;

/// Who has a deadline besides the transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Party {
    Leg(LegId),
    Registration(RegistrationId),
}

/// Whether new calls are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Open,
    Draining,
}

/// All of SIP that one process speaks.
#[derive(Debug)]
pub struct Endpoint {
    core: Core,
    guards: Guards,
    legs: BTreeMap<LegId, Leg>,
    /// Legs by Call-ID and our tag.
    dialogs: BTreeMap<(String, String), LegId>,
    /// Legs by the transaction of their INVITE, for CANCEL and for ACKs of refusals.
    invites: BTreeMap<ServerId, LegId>,
    registrations: BTreeMap<RegistrationId, Registrant>,
    agenda: Agenda<Party>,
    /// Messages that streams brought, for whoever traces; `None` until somebody does.
    framed: Option<VecDeque<(Hop, Body)>>,
    closes: VecDeque<Hop>,
    door: Door,
    last_leg: u64,
}

impl Endpoint {
    /// An endpoint without legs. The same seed and inputs give the same bytes.
    pub fn new(config: Config, seed: u64) -> Self {
        Self {
            guards: Guards::new(config.policy.clone(), seed),
            core: Core::new(config, seed),
            legs: BTreeMap::new(),
            dialogs: BTreeMap::new(),
            invites: BTreeMap::new(),
            registrations: BTreeMap::new(),
            agenda: Agenda::default(),
            framed: None,
            closes: VecDeque::new(),
            door: Door::Open,
            last_leg: 0,
        }
    }

    /// A UDP datagram arrived at this listener.
    pub fn handle_datagram(&mut self, listener: ListenerId, remote: SocketAddr, bytes: &[u8], now: Instant) {
        self.receive(Hop { listener, transport: Transport::Udp, remote }, bytes, now);
    }

    /// A connection is open, by whomever.
    pub fn handle_stream_opened(&mut self, hop: Hop) {
        self.core.streams.entry(hop).or_default();
    }

    /// A piece of a stream arrived. What cannot be read any further is closed by [`Endpoint::poll_close`]; what still
    /// arrives on a connection that is closed is dropped.
    pub fn handle_stream(&mut self, hop: Hop, bytes: &[u8], now: Instant) {
        let Some(framer) = self.core.streams.get_mut(&hop) else { return };
        let mut framer = std::mem::take(framer);
        framer.push(bytes);
        loop {
            match framer.poll_frame() {
                Ok(Some(Frame::Message(message))) => {
                    self.receive(hop, &message, now);
                    self.keep_framed(hop, message);
                }
                Ok(Some(Frame::Ping)) => self.core.transactions.send(hop.carry(PONG.to_vec())),
                Ok(Some(Frame::Pong)) => {}
                Ok(None) => break,
                Err(_) => {
                    self.core.stats.parse_errors += 1;
                    self.closes.push_back(hop);
                    return self.handle_stream_closed(hop, now);
                }
            }
        }
        self.core.streams.insert(hop, framer);
    }

    /// A connection is closed, by whomever. What waits for an answer on it has failed.
    pub fn handle_stream_closed(&mut self, hop: Hop, now: Instant) {
        self.core.streams.remove(&hop);
        for leg in self.legs.values_mut() {
            leg.connection_lost(hop);
        }
        self.handle_unreachable(hop, now);
        let registrations: Vec<RegistrationId> = self.registrations.keys().copied().collect();
        for id in registrations {
            self.with_registration(id, |registrant, core| registrant.connection_lost(hop, core, now));
        }
    }

    /// Nobody is there: ICMP says so, or a connection could not be opened. Pending requests to it end with 503.
    pub fn handle_unreachable(&mut self, hop: Hop, now: Instant) {
        for (id, user) in self.core.transactions.unreachable(hop, now) {
            self.deliver(id, user, Outcome { status: 503, response: None }, now);
        }
    }

    /// What the owner wants of a leg.
    pub fn handle_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::TakeOver { leg, sdp, old, reason } => self.take_over((leg, sdp), (old, reason), now),
            command => self.carry_out(command, now),
        }
    }

    fn carry_out(&mut self, command: Command, now: Instant) {
        let id = leg_of(&command);
        let offered = self.offered_by(&command);
        self.with_leg(id, |leg, core| leg.handle_command(command, offered, core, now));
    }

    /// Calls someone. A URI that is none fails with 400 at once, and where no target can be reached by a listener of
    /// ours, with 503. A target that fails is followed by the next, and none is told until all have failed.
    pub fn invite(&mut self, invite: OutgoingInvite, now: Instant) -> LegId {
        let id = self.fresh_leg();
        for remote in addresses(&invite.targets) {
            self.guards.each().for_each(|guard| guard.acquaint(remote, now));
        }
        match Leg::outgoing(id, invite, &mut self.core, now) {
            Ok(leg) => self.adopt(id, leg),
            Err(error) => {
                let status = error.status();
                let reason = Reason { protocol: "SIP".into(), cause: Some(status), text: Some(error.to_string()) };
                self.core.events.push_back(Event::Failed { leg: id, status, reason: Some(reason), contacts: vec![] });
            }
        }
        id
    }

    /// Registers and keeps registered. A registration of the same number is replaced without a word to its registrar.
    pub fn register(&mut self, id: RegistrationId, registration: Registration, now: Instant) {
        self.forget_registration(id);
        self.welcome(id, &registration.targets);
        let registrant = Registrant::new(id, registration, &mut self.core, now);
        self.core.accounts.insert(id, registrant.account());
        self.registrations.insert(id, registrant);
        self.with_registration(id, |_, _| {});
    }

    /// Gives a registration other targets, as a new answer of DNS has them. It registers again only if the one it is
    /// registered with is not among them, or none answered so far. An empty list changes nothing.
    pub fn retarget(&mut self, id: RegistrationId, targets: Vec<Target>, now: Instant) {
        if self.registrations.contains_key(&id) && !targets.is_empty() {
            self.welcome(id, &targets);
        }
        self.with_registration(id, |registrant, core| registrant.retarget(targets, core, now));
    }

    /// Where requests of this account go, calls too.
    pub fn way(&self, id: RegistrationId) -> Option<Way> {
        self.registrations.get(&id).and_then(Registrant::way)
    }

    /// The answer to an [`Event::Locate`].
    pub fn located(&mut self, server: &Uri, located: Located, now: Instant) {
        self.core.names.learn(server, located, now);
        let waiting = self.legs.iter().filter(|(_, leg)| leg.wants_name()).map(|(id, _)| *id);
        for id in waiting.collect::<Vec<_>>() {
            self.with_leg(id, |leg, core| leg.handle_located(core));
        }
    }

    fn welcome(&mut self, id: RegistrationId, targets: &[Target]) {
        self.guards.each().for_each(|guard| guard.welcome(id, addresses(targets)));
    }

    /// Decides by this from here on who may call. Calls that are up go on.
    pub fn set_policy(&mut self, policy: Policy) {
        self.guards.adopt(policy);
    }

    /// Lets one call in that brings this pass, whoever may call otherwise. It counts among the calls of its rates.
    pub fn let_pass(&mut self, pass: Pass) {
        self.guards.let_pass(pass);
    }

    /// Takes our contact out of the registrar; told by [`RegistrationState::Removed`](crate::RegistrationState).
    pub fn unregister(&mut self, id: RegistrationId, now: Instant) {
        self.with_registration(id, |registrant, core| registrant.remove(core, now));
    }

    /// From here on OPTIONS and new INVITEs get 503; calls that are up go on.
    pub fn drain(&mut self) {
        self.door = Door::Draining;
    }

    /// Advances time.
    pub fn handle_timeout(&mut self, now: Instant) {
        loop {
            if let Some(expired) = self.core.transactions.poll_expired(now) {
                match expired {
                    Expired::Client(user, id) => self.deliver(id, user, Outcome { status: 408, response: None }, now),
                    Expired::Server(id) => self.refusal_over(id),
                }
            } else if let Some(party) = self.agenda.pop_due(now) {
                match party {
                    Party::Leg(id) => self.with_leg(id, |leg, core| leg.handle_timeout(core, now)),
                    Party::Registration(id) => self.with_registration(id, |r, core| r.handle_timeout(core, now)),
                }
            } else {
                break;
            }
        }
        debug_assert!(self.poll_timeout().is_none_or(|(at, _)| at > now), "a deadline must move");
    }

    /// The next bytes to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.core.transactions.poll_transmit()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.core.events.pop_front()
    }

    /// The next connection to close.
    pub fn poll_close(&mut self) -> Option<Hop> {
        self.closes.pop_front()
    }

    /// From here on the messages that streams bring are kept for [`Endpoint::poll_framed`].
    pub fn trace_streams(&mut self) {
        self.framed.get_or_insert_default();
    }

    /// The next whole message that a stream brought, as it came, and how. To be polled before
    /// [`Endpoint::poll_transmit`] by whoever wants the order of things.
    pub fn poll_framed(&mut self) -> Option<(Hop, Body)> {
        self.framed.as_mut()?.pop_front()
    }

    /// When [`Endpoint::handle_timeout`] is next wanted, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        earliest([self.core.transactions.poll_timeout(), self.agenda.next()])
    }

    /// Whether nothing is left that a shutdown would cut: no leg, no registration, nothing that waits for an answer or
    /// an ACK. Finished transactions that only linger for retransmissions do not count.
    pub fn is_idle(&self) -> bool {
        self.legs.is_empty() && self.registrations.is_empty() && !self.core.transactions.any_pending()
    }

    /// How each registration stands, by number.
    pub fn registrations(&self, now: Instant) -> Vec<Standing> {
        self.registrations.values().map(|registrant| registrant.standing(now)).collect()
    }

    /// What has been counted.
    pub fn stats(&self) -> Stats {
        Stats {
            retransmissions: self.core.transactions.resent(),
            legs: self.legs.len() as u64,
            transactions: self.core.transactions.len() as u64,
            ..self.core.stats
        }
    }

    fn keep_framed(&mut self, hop: Hop, message: Body) {
        if let Some(framed) = self.framed.as_mut().filter(|framed| framed.len() < FRAMED) {
            framed.push_back((hop, message));
        }
    }

    fn fresh_leg(&mut self) -> LegId {
        self.last_leg += 1;
        LegId(self.last_leg)
    }

    fn adopt(&mut self, id: LegId, leg: Leg) {
        self.dialogs.insert(leg.key(), id);
        if let Some(invite) = leg.invite_transaction() {
            self.invites.insert(invite, id);
        }
        self.agenda.set(Party::Leg(id), leg.poll_timeout());
        self.legs.insert(id, leg);
    }

    /// Lets a leg do something, then follows what became of it.
    fn with_leg(&mut self, id: LegId, act: impl FnOnce(&mut Leg, &mut Core)) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        act(leg, &mut self.core);
        if !leg.is_gone() {
            return self.agenda.set(Party::Leg(id), leg.poll_timeout());
        }
        self.agenda.set(Party::Leg(id), None);
        self.dialogs.remove(&leg.key());
        if let Some(invite) = leg.invite_transaction() {
            self.invites.remove(&invite);
        }
        self.legs.remove(&id);
    }

    fn with_registration(&mut self, id: RegistrationId, act: impl FnOnce(&mut Registrant, &mut Core)) {
        let Some(registrant) = self.registrations.get_mut(&id) else { return };
        act(registrant, &mut self.core);
        if !registrant.is_gone() {
            return self.agenda.set(Party::Registration(id), registrant.poll_timeout());
        }
        self.forget_registration(id);
    }

    fn forget_registration(&mut self, id: RegistrationId) {
        self.agenda.set(Party::Registration(id), None);
        self.core.accounts.remove(&id);
        self.guards.each().for_each(|guard| guard.forget(id));
        self.registrations.remove(&id);
    }

    /// A refused INVITE was acknowledged, or never will be.
    fn refusal_over(&mut self, id: ServerId) {
        if let Some(&leg) = self.invites.get(&id) {
            self.with_leg(leg, |leg, core| leg.handle_refusal_over(id, core));
        }
    }
}

fn addresses(targets: &[Target]) -> Vec<IpAddr> {
    targets.iter().map(|target| target.remote.ip()).collect()
}

fn leg_of(command: &Command) -> LegId {
    match command {
        Command::Ring { leg }
        | Command::Answer { leg, .. }
        | Command::TakeOver { leg, .. }
        | Command::Reject { leg, .. }
        | Command::AcceptOffer { leg, .. }
        | Command::RefuseOffer { leg, .. }
        | Command::Reinvite { leg, .. }
        | Command::Bye { leg, .. }
        | Command::Refer { leg, .. }
        | Command::Info { leg, .. } => *leg,
    }
}

#[cfg(test)]
mod tests;
