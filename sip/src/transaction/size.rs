//! Requests too large for a datagram: RFC 3261 §18.1.1.
use crate::{
    message::{Name, Request, Via},
    transport::{Hop, Listener, Transmit, Transport, listener_for},
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// The longest request over UDP where the path's MTU is not known: 200 bytes below that of Ethernet.
pub(crate) const MAX_DATAGRAM: usize = 1300;
/// How long a peer that takes no connections is spared another attempt: each may cost a call some seconds.
const SPARED: Duration = Duration::from_secs(600);
/// Peers spared at one time; beyond it the one whose time ends first is asked again.
const MOST_SPARED: usize = 1024;

/// Which way a request goes for its size.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    listeners: Vec<Listener>,
    spared: BTreeMap<SocketAddr, Instant>,
}

/// The way back to UDP, should the peer take no connection.
#[derive(Clone, Debug)]
pub(super) struct Fallback {
    hop: Hop,
    via: String,
}

impl Fallback {
    /// Turns the request back into what it was, and tells its way.
    pub(super) fn restore(&self, request: &mut Request) -> Hop {
        request.headers.replace_first(Name::Via, &self.via);
        self.hop
    }
}

impl Sizes {
    /// With these listeners a request may go over UDP or TCP.
    pub(super) fn new(listeners: Vec<Listener>) -> Self {
        Self { listeners, spared: BTreeMap::new() }
    }

    /// What goes out of a request, and which way: a large one moves from UDP to TCP, if we have it and the peer is not
    /// known to refuse it.
    pub(super) fn fit(&self, request: &mut Request, hop: Hop, now: Instant) -> (Transmit, Option<Fallback>) {
        let bytes = request.to_bytes();
        let spared = self.spared.get(&hop.remote).is_some_and(|until| *until > now);
        if hop.transport != Transport::Udp || spared || bytes.len() <= MAX_DATAGRAM {
            return (hop.carry(bytes), None);
        }
        let via = request.headers.first(Name::Via).zip(request.headers.via());
        let stream = listener_for(&self.listeners, Transport::Tcp, hop.remote);
        let (Some((written, via)), Some(stream)) = (via, stream) else { return (hop.carry(bytes), None) };
        let fallback = Fallback { hop, via: written.to_owned() };
        let over_tcp = Via::new(Transport::Tcp.via_name(), stream.address, via.branch());
        request.headers.replace_first(Name::Via, over_tcp.to_string());
        let hop = Hop { listener: stream.id, transport: Transport::Tcp, ..hop };
        (hop.carry(request.to_bytes()), Some(fallback))
    }

    /// This peer takes no connections.
    pub(super) fn spare(&mut self, remote: SocketAddr, now: Instant) {
        self.spared.retain(|_, until| *until > now);
        if self.spared.len() >= MOST_SPARED
            && let Some(first) = self.spared.iter().min_by_key(|(_, until)| **until).map(|(remote, _)| *remote)
        {
            self.spared.remove(&first);
        }
        self.spared.insert(remote, now + SPARED);
    }
}
