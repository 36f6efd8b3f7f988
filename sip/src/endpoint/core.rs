//! What every leg and registration shares: our names, randomness, the transactions and the way out.
use super::{Config, Stats, names::Names, random::Random};
use crate::{
    Body,
    auth::Credentials,
    framing::Framer,
    leg::{Event, LegId, Reason, RegistrationId},
    message::{Headers, Method, Name, Request, Response, StatusCode, Via},
    transaction::{ServerId, Transactions},
    transport::{Hop, Listener, Transmit, Transport, listener_for},
    uri::Uri,
};
use std::{
    collections::{BTreeMap, VecDeque},
    net::{Ipv4Addr, SocketAddr},
    time::Instant,
};

/// What we do, and say in `Allow`.
pub(crate) const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE, NOTIFY, PRACK";
/// Extensions we understand: what `Supported` says, and all that `Require` may ask for.
pub(crate) const SUPPORTED: &str = "100rel, replaces, timer";
/// Bodies we understand, and say in `Accept`.
pub(crate) const ACCEPT: &str = "application/sdp, application/dtmf-relay, application/dtmf, message/sipfrag";
/// The only body an offer or answer may have.
pub(crate) const SDP: &str = "application/sdp";
/// Hops a request of ours may take.
const MAX_FORWARDS: &str = "70";

/// Whose a client transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    /// A leg's, for this purpose.
    Leg(LegId, Purpose),
    /// A registration's.
    Registration(RegistrationId),
    /// A registration's, which only wants to know that somebody is there.
    Ping(RegistrationId),
    /// Nobody cares for the outcome.
    Nobody,
}

/// What a leg sent a request for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The INVITE that makes the leg.
    Invite,
    /// Our re-INVITE.
    Reinvite,
    /// Our UPDATE that refreshes the session.
    Refresh,
    /// Our BYE.
    Bye,
    /// Our REFER.
    Refer,
    /// Our INFO.
    Info,
    /// Our PRACK.
    Prack,
}

/// Shared state of an endpoint.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) random: Random,
    pub(crate) transactions: Transactions<User>,
    pub(crate) events: VecDeque<Event>,
    /// Connections that are open, and what has arrived on each of a message that is not whole.
    pub(crate) streams: BTreeMap<Hop, Framer>,
    pub(crate) stats: Stats,
    /// Where the names within dialogs lead.
    pub(crate) names: Names,
    /// Domain and credentials of each registration: a call through the same domain may be challenged too.
    pub(crate) accounts: BTreeMap<RegistrationId, (String, Credentials)>,
}

/// A request being served: what an answer to it needs.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    /// Its transaction.
    pub(crate) id: ServerId,
    /// Its number.
    pub(crate) cseq: u32,
    /// How it came.
    pub(crate) came_by: Hop,
    /// How answers to it go.
    back: Hop,
    /// Where the peer listens, should its connection be gone by the time we answer (RFC 3261 §18.2.2).
    sent_by: Option<SocketAddr>,
    echo: Headers,
    record_route: Headers,
}

impl Served {
    /// A request whose Via is stamped, in a transaction of its own, that came by `hop`.
    pub(crate) fn new(id: ServerId, request: &Request, hop: Hop) -> Self {
        let mut record_route = Headers::new();
        record_route.copy(Name::RecordRoute, &request.headers);
        Self {
            id,
            cseq: request.headers.cseq().map(|cseq| cseq.number).unwrap_or_default(),
            came_by: hop,
            back: response_hop(&request.headers, hop),
            sent_by: request.headers.via().and_then(|via| via.sent_by_address(hop.transport)),
            echo: Response::answering(&request.headers, StatusCode::OK).headers,
            record_route,
        }
    }
}

/// Where the answer to a request goes: RFC 3261 §18.2.2 with RFC 3581 §4; over a stream, back on it.
pub(crate) fn response_hop(stamped: &Headers, hop: Hop) -> Hop {
    let by_via = stamped.via().and_then(|via| via.response_address());
    match (hop.transport, by_via) {
        (Transport::Udp, Some(remote)) => Hop { remote, ..hop },
        (Transport::Udp, None) | (Transport::Tcp | Transport::Tls, _) => hop,
    }
}

/// A response in the making: what it adds to the request's own headers.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: StatusCode,
    phrase: Option<String>,
    headers: Headers,
    body: Body,
}

impl Reply {
    /// A bare status.
    pub(crate) fn new(status: StatusCode) -> Self {
        Self { status, phrase: None, headers: Headers::new(), body: Body::default() }
    }

    /// With a phrase that says more than the status.
    pub(crate) fn saying(mut self, phrase: impl Into<String>) -> Self {
        self.phrase = Some(phrase.into());
        self
    }

    /// With a header.
    pub(crate) fn with(mut self, name: Name, value: impl AsRef<str>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// With headers of the owner; a name that is no token is left out, since it cannot be sent.
    pub(crate) fn with_all(mut self, headers: &[(String, String)]) -> Self {
        for (name, value) in headers {
            if self.headers.push_named(name, value).is_err() {
                continue;
            }
        }
        self
    }

    /// With the Reason header of RFC 3326.
    pub(crate) fn because(mut self, reason: Option<&Reason>) -> Self {
        if let Some(reason) = reason {
            self.headers.push(Name::Reason, reason.to_string());
        }
        self
    }

    /// With an SDP body.
    pub(crate) fn sdp(mut self, body: Body) -> Self {
        self.headers.push(Name::ContentType, SDP);
        self.body = body;
        self
    }
}

impl Core {
    /// A core without transactions.
    pub(crate) fn new(config: Config, seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            transactions: Transactions::new(config.listeners.clone()),
            config,
            events: VecDeque::new(),
            streams: BTreeMap::new(),
            stats: Stats::default(),
            names: Names::default(),
            accounts: BTreeMap::new(),
        }
    }

    /// The way to a peer, by the listener that suits it best; `None` if no listener of ours can reach it.
    pub(crate) fn hop(&self, transport: Transport, remote: SocketAddr) -> Option<Hop> {
        let listener = listener_for(&self.config.listeners, transport, remote)?;
        Some(Hop { listener: listener.id, transport, remote })
    }

    /// A request may go to the server of this URI: asks where it is, if that is a name and not known.
    pub(crate) fn look_up(&mut self, uri: &Uri, now: Instant) {
        if let Some(server) = self.names.want(uri, now) {
            self.events.push_back(Event::Locate { server });
        }
    }

    /// Our own address on this hop, as others see it.
    pub(crate) fn local(&self, hop: Hop) -> SocketAddr {
        let own = |listener: &&Listener| listener.id == hop.listener;
        let listener = self.config.listeners.iter().find(own);
        debug_assert!(listener.is_some(), "a hop of a listener we do not have");
        listener.map_or(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 5060), |listener| listener.address)
    }

    /// Our Contact on this hop, in angle brackets. A user that cannot stand in a URI is left out.
    pub(crate) fn contact(&self, user: &str, hop: Hop) -> String {
        let host = self.local(hop).to_string();
        let user = Some(user).filter(|user| !user.is_empty());
        let uri = Uri::sip(user, &host).or_else(|_| Uri::sip(None, &host));
        let uri = uri.map(|uri| uri.to_string()).unwrap_or_default();
        match hop.transport {
            Transport::Udp => format!("<{uri}>"),
            Transport::Tcp | Transport::Tls => format!("<{uri};transport={}>", hop.transport.param()),
        }
    }

    /// A Via of ours with a new branch.
    pub(crate) fn via(&mut self, hop: Hop) -> Via {
        Via::new(hop.transport.via_name(), self.local(hop), &self.random.branch())
    }

    /// The headers every request of ours begins with; From, To, Call-ID and CSeq follow.
    pub(crate) fn request(&mut self, method: Method, uri: Uri, hop: Hop) -> Request {
        let mut request = Request::new(method, uri);
        request.headers.push(Name::Via, self.via(hop).to_string());
        request.headers.push(Name::MaxForwards, MAX_FORWARDS);
        request
    }

    /// Answers a request within its transaction; the bytes are given back for those who must repeat them.
    pub(crate) fn answer(&mut self, served: &Served, tag: &str, reply: Reply, now: Instant) -> Transmit {
        let status = reply.status;
        let mut response = response(&served.echo, tag, reply, &self.config.user_agent);
        if (101..300).contains(&status.code()) {
            response.headers.copy(Name::RecordRoute, &served.record_route);
        }
        let transmit = self.response_hop(served).carry(response.to_bytes());
        self.transactions.respond(served.id, status.code(), transmit.clone(), now);
        transmit
    }

    /// A response goes back on the connection of its request while there is one.
    fn response_hop(&self, served: &Served) -> Hop {
        let gone = served.back.transport.is_reliable() && !self.streams.contains_key(&served.back);
        match served.sent_by.filter(|_| gone) {
            Some(remote) => Hop { remote, ..served.back },
            None => served.back,
        }
    }

    /// Answers a request without keeping anything of it: RFC 3261 §8.2.7. A repeated request gets the same answer.
    pub(crate) fn answer_stateless(&mut self, stamped: &Headers, hop: Hop, reply: Reply) {
        let call_id = stamped.call_id().unwrap_or_default();
        let from = stamped.first(Name::From).unwrap_or_default();
        let branch = stamped.via().map(|via| via.branch().to_owned()).unwrap_or_default();
        let tag = self.random.stateless_tag([call_id, from, &branch]);
        if reply.status.code() >= 400 {
            self.stats.refused += 1;
        }
        let response = response(stamped, &tag, reply, &self.config.user_agent);
        self.transactions.send(response_hop(stamped, hop).carry(response.to_bytes()));
    }

    /// The credentials of the registration whose domain a challenge names as its realm.
    pub(crate) fn account(&self, realm: &str) -> Option<Credentials> {
        let (_, credentials) = self.accounts.values().find(|(domain, _)| domain.eq_ignore_ascii_case(realm))?;
        Some(credentials.clone())
    }

    /// A number to begin the RSeqs of a leg with: RFC 3262 §3 wants it below 2^31, and any there as likely.
    pub(crate) fn first_rseq(&mut self) -> u32 {
        u32::try_from(self.random.next() % 0x7fff_ffff).unwrap_or_default() + 1
    }

    /// A number between 1 and 50,000 to begin a dialog's CSeq with.
    pub(crate) fn first_cseq(&mut self) -> u32 {
        u32::try_from(self.random.next() % 50_000).unwrap_or_default() + 1
    }
}

/// The Route to an outbound proxy, as a loose router: RFC 3261 §8.1.1.1 and §19.1.1.
pub(crate) fn route_by(proxy: &Uri) -> String {
    match proxy.param("lr") {
        Some(_) => format!("<{proxy}>"),
        None => format!("<{proxy};lr>"),
    }
}

fn response(request: &Headers, tag: &str, reply: Reply, user_agent: &str) -> Response {
    let mut response = Response::answering(request, reply.status);
    if let Some(phrase) = reply.phrase {
        response.reason = phrase;
    }
    let to = response.headers.to().filter(|to| to.tag().is_none() && reply.status != StatusCode::TRYING);
    if let Some(to) = to {
        response.headers.set(Name::To, to.with_tag(tag).to_string());
    }
    for (name, value) in reply.headers.iter() {
        // Names of a `Headers` are tokens already.
        response.headers.push_named(name, value).unwrap_or_default();
    }
    if reply.status != StatusCode::TRYING && !user_agent.is_empty() {
        response.headers.push(Name::Server, user_agent);
    }
    response.body = reply.body;
    response
}

/// The ACK of a refusal: RFC 3261 §17.1.1.3.
pub(crate) fn ack_of_refusal(invite: &Request, response: &Response) -> Request {
    let mut ack = same_hop(invite, Method::Ack);
    if let Some(to) = response.headers.first(Name::To) {
        ack.headers.set(Name::To, to);
    }
    ack
}

/// The CANCEL of an INVITE: RFC 3261 §9.1.
pub(crate) fn cancel_of(invite: &Request, reason: Option<&Reason>) -> Request {
    let mut cancel = same_hop(invite, Method::Cancel);
    if let Some(reason) = reason {
        cancel.headers.push(Name::Reason, reason.to_string());
    }
    cancel
}

/// A request that goes exactly where the INVITE went: its topmost Via, its Route, its identity.
fn same_hop(invite: &Request, method: Method) -> Request {
    let mut request = Request::new(method.clone(), invite.uri.clone());
    if let Some(via) = invite.headers.first(Name::Via) {
        request.headers.push(Name::Via, via);
    }
    for name in [Name::MaxForwards, Name::Route, Name::From, Name::To, Name::CallId] {
        request.headers.copy(name, &invite.headers);
    }
    let number = invite.headers.cseq().map(|cseq| cseq.number).unwrap_or_default();
    request.headers.push(Name::CSeq, format!("{number} {method}"));
    request
}
