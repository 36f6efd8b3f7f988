//! The transaction layer, RFC 3261 §17: requests find their response, and each is delivered once.
//!
//! Machines hold no messages and send nothing; [`Transactions`] owns both and the deadlines of all.
mod client_invite;
mod client_other;
pub(crate) mod key;
mod server_invite;
mod server_other;
mod size;
pub(crate) mod timer;

use crate::{
    message::{Method, Request},
    transport::{Hop, Listener, Transmit, Transport},
};
use client_invite::ClientInvite;
use client_other::ClientOther;
use key::{ClientKey, MergeKey, ServerKey};
use server_invite::{Acknowledged, ServerInvite};
use server_other::ServerOther;
use size::{Fallback, Sizes};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};
use timer::{Agenda, Deadline, FIRST_RESPONSE};

/// A client transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClientId(u64);

/// A server transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ServerId(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Id {
    Client(ClientId),
    Server(ServerId),
}

/// What a client machine makes of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// For the user.
    Pass,
    /// For the user, and an ACK must be made and sent (RFC 3261 §17.1.1.3).
    PassAndAcknowledge,
    /// Only the ACK again.
    Acknowledge,
    /// Nothing.
    Absorb,
}

/// What a server machine makes of a repeated request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeated {
    /// Send the last response again.
    Resend,
    /// Nothing.
    Absorb,
}

/// What a machine wants when its deadline comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Called too early.
    Nothing,
    /// The last message again.
    Resend,
    /// Nobody answered (or acknowledged); the transaction is over.
    TimedOut,
    /// Over as it should be.
    Over,
}

impl Due {
    fn resend_if(due: bool) -> Self {
        if due { Self::Resend } else { Self::Nothing }
    }
}

/// What the layer tells its user when time passes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Expired<U> {
    /// No final response: RFC 3261 §8.1.3.1 counts it as 408.
    Client(U, ClientId),
    /// A refused INVITE was never acknowledged; nothing is left to do for it.
    Server(ServerId),
}

/// A response that found its transaction.
#[derive(Debug)]
pub(crate) struct Matched<U> {
    /// Which.
    pub(crate) id: ClientId,
    /// Whose.
    pub(crate) user: U,
    /// Whether an ACK of the transaction must be made and given to [`Transactions::acknowledge`].
    pub(crate) acknowledge: bool,
    /// Whether the user wants to see the response.
    pub(crate) pass: bool,
}

#[derive(Debug)]
struct Client<U> {
    machine: ClientMachine,
    key: ClientKey,
    user: U,
    request: Request,
    transmit: Transmit,
    /// Over what it goes instead, when it was moved to a stream for its size and the peer takes none.
    fallback: Option<Fallback>,
    ack: Option<Transmit>,
}

#[derive(Debug)]
enum ClientMachine {
    Invite(ClientInvite),
    Other(ClientOther),
}

#[derive(Debug)]
struct Server {
    machine: ServerMachine,
    key: ServerKey,
    merge: Option<MergeKey>,
    last: Option<Transmit>,
}

#[derive(Debug)]
enum ServerMachine {
    Invite(ServerInvite),
    Other(ServerOther),
}

/// What became of a repeated request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// No transaction has it: it is new.
    New,
    /// It was a retransmission and is dealt with.
    Repeated,
    /// The ACK of a refusal: the transaction is confirmed.
    RefusalAcknowledged(ServerId),
}

/// All transactions of an endpoint. `U` says whose a client transaction is.
#[derive(Debug)]
pub(crate) struct Transactions<U> {
    clients: BTreeMap<ClientId, Client<U>>,
    servers: BTreeMap<ServerId, Server>,
    client_keys: BTreeMap<ClientKey, ClientId>,
    server_keys: BTreeMap<ServerKey, ServerId>,
    merge_keys: BTreeMap<MergeKey, ServerId>,
    agenda: Agenda<Id>,
    transmits: VecDeque<Transmit>,
    sizes: Sizes,
    last_id: u64,
    resent: u64,
}

impl<U> Default for Transactions<U> {
    fn default() -> Self {
        Self {
            clients: BTreeMap::new(),
            servers: BTreeMap::new(),
            client_keys: BTreeMap::new(),
            server_keys: BTreeMap::new(),
            merge_keys: BTreeMap::new(),
            agenda: Agenda::default(),
            transmits: VecDeque::new(),
            sizes: Sizes::default(),
            last_id: 0,
            resent: 0,
        }
    }
}

impl<U: Clone> Transactions<U> {
    /// None yet; requests that are too large for a datagram go by a TCP listener of these.
    pub(crate) fn new(listeners: Vec<Listener>) -> Self {
        Self { sizes: Sizes::new(listeners), ..Self::default() }
    }

    /// Sends a request and waits for its response. The request must carry our Via already.
    pub(crate) fn request(&mut self, mut request: Request, hop: Hop, user: U, now: Instant) -> ClientId {
        let id = ClientId(self.fresh());
        let key = ClientKey::of_request(&request);
        let (transmit, fallback) = self.sizes.fit(&mut request, hop, now);
        let machine = ClientMachine::new(&request, transmit.hop, now);
        self.transmits.push_back(transmit.clone());
        self.client_keys.insert(key.clone(), id);
        self.clients.insert(id, Client { machine, key, user, request, transmit, fallback, ack: None });
        self.schedule(Id::Client(id));
        id
    }

    /// There is another server to turn to: this one has [`FIRST_RESPONSE`] to say anything at all.
    pub(crate) fn hurry(&mut self, id: ClientId, now: Instant) {
        if let Some(client) = self.clients.get_mut(&id) {
            match &mut client.machine {
                ClientMachine::Invite(machine) => machine.expect_by(now + FIRST_RESPONSE),
                ClientMachine::Other(machine) => machine.expect_by(now + FIRST_RESPONSE),
            }
            self.schedule(Id::Client(id));
        }
    }

    /// Finds the transaction of a response; a repeated refusal gets its ACK again here.
    pub(crate) fn handle_response(&mut self, key: &ClientKey, status: u16, now: Instant) -> Option<Matched<U>> {
        let id = *self.client_keys.get(key)?;
        let client = self.clients.get_mut(&id)?;
        let verdict = match &mut client.machine {
            ClientMachine::Invite(machine) => machine.handle_response(status, now),
            ClientMachine::Other(machine) => machine.handle_response(status, now),
        };
        let user = client.user.clone();
        if let (Verdict::Acknowledge, Some(ack)) = (verdict, &client.ack) {
            self.transmits.push_back(ack.clone());
            self.resent += 1;
        }
        self.schedule(Id::Client(id));
        Some(Matched {
            id,
            user,
            acknowledge: verdict == Verdict::PassAndAcknowledge,
            pass: matches!(verdict, Verdict::Pass | Verdict::PassAndAcknowledge),
        })
    }

    /// Sends the ACK that [`Matched::acknowledge`] asked for, and keeps it for repeated refusals.
    pub(crate) fn acknowledge(&mut self, id: ClientId, ack: Vec<u8>) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let transmit = Transmit { bytes: ack, ..client.transmit.clone() };
        client.ack = Some(transmit.clone());
        self.transmits.push_back(transmit);
    }

    /// The request of a transaction and where it went.
    pub(crate) fn sent(&self, id: ClientId) -> Option<(&Request, Hop)> {
        let client = self.clients.get(&id)?;
        Some((&client.request, client.transmit.hop))
    }

    /// Whether a CANCEL may go out for this INVITE (RFC 3261 §9.1).
    pub(crate) fn may_cancel(&self, id: ClientId) -> bool {
        match self.clients.get(&id).map(|client| &client.machine) {
            Some(ClientMachine::Invite(machine)) => machine.may_cancel(),
            Some(ClientMachine::Other(_)) | None => false,
        }
    }

    /// Nobody wants the answer to this INVITE any more; it will not be waited for for ever.
    pub(crate) fn abandon(&mut self, id: ClientId, now: Instant) {
        if let Some(Client { machine: ClientMachine::Invite(machine), .. }) = self.clients.get_mut(&id) {
            machine.abandon(now);
            self.schedule(Id::Client(id));
        }
    }

    /// Everything pending towards an address that cannot be reached; it is over, RFC 3261 §8.1.3.1 counts it as 503.
    /// What went there only for its size goes out again as a datagram.
    pub(crate) fn unreachable(&mut self, hop: Hop, now: Instant) -> Vec<(ClientId, U)> {
        self.fall_back(hop, now);
        let there = |client: &Client<U>| client.transmit.hop == hop && client.machine.is_pending();
        let pending = self.clients.iter().filter(|(_, client)| there(client));
        let gone: Vec<(ClientId, U)> = pending.map(|(id, client)| (*id, client.user.clone())).collect();
        for (id, _) in &gone {
            self.remove(Id::Client(*id));
        }
        gone
    }

    fn fall_back(&mut self, hop: Hop, now: Instant) {
        let moved =
            |client: &Client<U>| client.transmit.hop == hop && client.machine.is_pending() && client.fallback.is_some();
        let ids: Vec<ClientId> = self.clients.iter().filter(|(_, client)| moved(client)).map(|(id, _)| *id).collect();
        for id in ids {
            self.sizes.spare(hop.remote, now);
            let Some(client) = self.clients.get_mut(&id) else { continue };
            let Some(fallback) = client.fallback.take() else { continue };
            let hop = fallback.restore(&mut client.request);
            client.machine = ClientMachine::new(&client.request, hop, now);
            client.transmit = hop.carry(client.request.to_bytes());
            self.transmits.push_back(client.transmit.clone());
            self.schedule(Id::Client(id));
        }
    }

    /// Is this request known? Retransmissions and ACKs of refusals are dealt with here.
    pub(crate) fn handle_request(&mut self, key: &ServerKey, request: &Request, now: Instant) -> Incoming {
        let Some(&id) = self.server_keys.get(key) else { return Incoming::New };
        let Some(server) = self.servers.get_mut(&id) else { return Incoming::New };
        let repeated = match &mut server.machine {
            ServerMachine::Invite(machine) if request.method == Method::Ack => {
                let acknowledged = machine.handle_ack(now);
                self.schedule(Id::Server(id));
                return match acknowledged {
                    Acknowledged::Refusal => Incoming::RefusalAcknowledged(id),
                    Acknowledged::Success => Incoming::New,
                    Acknowledged::Absorb => Incoming::Repeated,
                };
            }
            ServerMachine::Invite(machine) => machine.handle_repeated(),
            ServerMachine::Other(machine) => machine.handle_repeated(),
        };
        if let (Repeated::Resend, Some(last)) = (repeated, &server.last) {
            self.transmits.push_back(last.clone());
            self.resent += 1;
        }
        Incoming::Repeated
    }

    /// Starts a server transaction for a new request.
    pub(crate) fn serve(&mut self, key: ServerKey, request: &Request, transport: Transport) -> ServerId {
        let id = ServerId(self.fresh());
        let machine = if request.method == Method::Invite {
            ServerMachine::Invite(ServerInvite::new(transport))
        } else {
            ServerMachine::Other(ServerOther::new(transport))
        };
        let merge = MergeKey::of_request(request);
        if let Some(merge) = &merge {
            self.merge_keys.insert(merge.clone(), id);
        }
        self.server_keys.insert(key.clone(), id);
        self.servers.insert(id, Server { machine, key, merge, last: None });
        id
    }

    /// The server transaction with this key, e.g. the INVITE that a CANCEL means.
    pub(crate) fn server(&self, key: &ServerKey) -> Option<ServerId> {
        self.server_keys.get(key).copied()
    }

    /// Whether the same request came by another way already (RFC 3261 §8.2.2.2).
    pub(crate) fn is_merged(&self, request: &Request) -> bool {
        MergeKey::of_request(request).is_some_and(|key| self.merge_keys.contains_key(&key))
    }

    /// Sends a response, unless the transaction is past it; says whether it was sent.
    pub(crate) fn respond(&mut self, id: ServerId, status: u16, transmit: Transmit, now: Instant) -> bool {
        let Some(server) = self.servers.get_mut(&id) else { return false };
        let goes = match &mut server.machine {
            ServerMachine::Invite(machine) => machine.respond(status, now),
            ServerMachine::Other(machine) => machine.respond(now),
        };
        if goes {
            server.last = Some(transmit.clone());
            self.transmits.push_back(transmit);
            self.schedule(Id::Server(id));
        }
        goes
    }

    /// Sends bytes that belong to no transaction: ACKs of 2xx, repeated 2xx, stateless responses.
    pub(crate) fn send(&mut self, transmit: Transmit) {
        self.transmits.push_back(transmit);
    }

    /// Sends bytes of no transaction again.
    pub(crate) fn send_again(&mut self, transmit: Transmit) {
        self.resent += 1;
        self.transmits.push_back(transmit);
    }

    /// The next datagram or stream chunk to send.
    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// Advances time until something expires that its user must know; call it until it returns `None`.
    pub(crate) fn poll_expired(&mut self, now: Instant) -> Option<Expired<U>> {
        while let Some(id) = self.agenda.pop_due(now) {
            let due = self.machine_timeout(id, now);
            match due {
                Due::Nothing => self.schedule(id),
                Due::Resend => {
                    self.resend(id);
                    self.schedule(id);
                }
                Due::Over => {
                    self.remove(id);
                }
                Due::TimedOut => {
                    if let Some(expired) = self.remove(id) {
                        return Some(expired);
                    }
                }
            }
        }
        None
    }

    /// The next deadline of any transaction.
    pub(crate) fn poll_timeout(&self) -> Option<Deadline> {
        self.agenda.next()
    }

    /// Whether any request waits for its answer or any refused INVITE for its ACK.
    pub(crate) fn any_pending(&self) -> bool {
        self.clients.values().any(|client| client.machine.is_pending())
            || self.servers.values().any(|server| server.machine.is_pending())
    }

    /// How many transactions there are.
    pub(crate) fn len(&self) -> usize {
        self.clients.len() + self.servers.len()
    }

    /// How many messages were sent again.
    pub(crate) fn resent(&self) -> u64 {
        self.resent
    }

    fn fresh(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn machine_timeout(&mut self, id: Id, now: Instant) -> Due {
        match id {
            Id::Client(id) => match self.clients.get_mut(&id).map(|client| &mut client.machine) {
                Some(ClientMachine::Invite(machine)) => machine.handle_timeout(now),
                Some(ClientMachine::Other(machine)) => machine.handle_timeout(now),
                None => Due::Over,
            },
            Id::Server(id) => match self.servers.get_mut(&id).map(|server| &mut server.machine) {
                Some(ServerMachine::Invite(machine)) => machine.handle_timeout(now),
                Some(ServerMachine::Other(machine)) => machine.handle_timeout(now),
                None => Due::Over,
            },
        }
    }

    fn resend(&mut self, id: Id) {
        let transmit = match id {
            Id::Client(id) => self.clients.get(&id).map(|client| client.transmit.clone()),
            Id::Server(id) => self.servers.get(&id).and_then(|server| server.last.clone()),
        };
        self.transmits.extend(transmit);
        self.resent += 1;
    }

    fn schedule(&mut self, id: Id) {
        let deadline = match id {
            Id::Client(id) => self.clients.get(&id).and_then(|client| client.machine.poll_timeout()),
            Id::Server(id) => self.servers.get(&id).and_then(|server| server.machine.poll_timeout()),
        };
        self.agenda.set(id, deadline);
    }

    fn remove(&mut self, id: Id) -> Option<Expired<U>> {
        self.agenda.set(id, None);
        match id {
            Id::Client(id) => {
                let client = self.clients.remove(&id)?;
                self.client_keys.remove(&client.key);
                Some(Expired::Client(client.user, id))
            }
            Id::Server(id) => {
                let server = self.servers.remove(&id)?;
                self.server_keys.remove(&server.key);
                if let Some(merge) = server.merge {
                    self.merge_keys.remove(&merge);
                }
                Some(Expired::Server(id))
            }
        }
    }
}

impl ClientMachine {
    /// For a request that goes out this way.
    fn new(request: &Request, hop: Hop, now: Instant) -> Self {
        match request.method {
            Method::Invite => Self::Invite(ClientInvite::new(hop.transport, now)),
            _ => Self::Other(ClientOther::new(hop.transport, now)),
        }
    }

    fn is_pending(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.is_pending(),
            Self::Other(machine) => machine.is_pending(),
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        match self {
            Self::Invite(machine) => machine.poll_timeout(),
            Self::Other(machine) => machine.poll_timeout(),
        }
    }
}

impl ServerMachine {
    fn is_pending(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.is_pending(),
            Self::Other(machine) => machine.is_pending(),
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        match self {
            Self::Invite(machine) => machine.poll_timeout(),
            Self::Other(machine) => machine.poll_timeout(),
        }
    }
}

/// Lets a machine run out: when it resent (ms), how it ended, and when (ms).
#[cfg(test)]
fn walk<M>(
    machine: &mut M,
    start: Instant,
    poll_timeout: impl Fn(&M) -> Option<Deadline>,
    handle_timeout: impl Fn(&mut M, Instant) -> Due,
) -> (Vec<u128>, Due, u128) {
    let mut resent = Vec::new();
    loop {
        let (at, _) = poll_timeout(machine).expect("a machine that is not over has a deadline");
        match handle_timeout(machine, at) {
            Due::Resend => resent.push((at - start).as_millis()),
            Due::Nothing => panic!("a deadline that wants nothing"),
            due @ (Due::TimedOut | Due::Over) => return (resent, due, (at - start).as_millis()),
        }
    }
}
