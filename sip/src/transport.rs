//! Over what and by which way messages travel: RFC 3261 §18, with TLS as in §26.3.2.1.
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// The transports of this endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// Streams framed by Content-Length; a connection is named by the peer's address.
    Tcp,
    /// The same, encrypted.
    Tls,
}

impl Transport {
    /// All of them, the plainest first.
    pub const ALL: [Self; 3] = [Self::Udp, Self::Tcp, Self::Tls];

    /// Whether what is sent arrives, so that nothing need be sent again (RFC 3261 §17.1.1.1).
    pub const fn is_reliable(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls)
    }

    /// As in Via.
    pub const fn via_name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// As in the `transport` parameter of a URI. RFC 3261 §26.2.2 deprecates `tls` there, but it is what PBXs write
    /// and read beside `sip:`.
    pub const fn param(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    /// The transport of this `transport` parameter, in any case.
    pub fn from_param(param: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|transport| transport.param().eq_ignore_ascii_case(param))
    }

    /// Where a peer listens that names no port: RFC 3261 §19.1.2.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
        }
    }
}

/// One of our listeners, numbered by the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(pub u16);

/// Where we can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its number, which comes back in every [`Hop`].
    pub id: ListenerId,
    /// Over what.
    pub transport: Transport,
    /// The address for Via and Contact, as peers see it; it has the family of the socket.
    pub address: SocketAddr,
}

impl Listener {
    /// How well this listener suits a peer: an address of the same kind is likely to be on the same network.
    fn suits(&self, remote: IpAddr) -> bool {
        kind(self.address.ip()) == kind(remote)
    }
}

/// The listener by which a peer over this transport is best spoken to: of its address family, and if there are several
/// then one on a network of the same kind (loopback, private, public).
pub(crate) fn listener_for(listeners: &[Listener], transport: Transport, remote: SocketAddr) -> Option<&Listener> {
    let able = |l: &&Listener| l.transport == transport && l.address.is_ipv4() == remote.is_ipv4();
    let mut candidates = listeners.iter().filter(able);
    let suitable = candidates.clone().find(|listener| listener.suits(remote.ip()));
    suitable.or_else(|| candidates.next())
}

/// One step through the network: by which listener of ours, over what, to whom (or from whom).
///
/// Of a stream it names the connection, whoever opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hop {
    /// Whose socket a datagram leaves by, and whose address we name.
    pub listener: ListenerId,
    /// Over what.
    pub transport: Transport,
    /// The other end.
    pub remote: SocketAddr,
}

impl Hop {
    /// Bytes to send this way.
    pub(crate) fn carry(self, bytes: Vec<u8>) -> Transmit {
        Transmit { hop: self, bytes }
    }
}

/// Bytes to send. They may be a message with keys in it: `Debug` shows how many there are.
#[derive(Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Which way. For a stream the driver reuses the connection of that name or opens one.
    pub hop: Hop,
    /// One SIP message, or a keep-alive.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Transmit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transmit({} bytes by {:?})", self.bytes.len(), self.hop)
    }
}

/// What kind of network an address belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Loopback,
    Private,
    Public,
}

fn kind(ip: IpAddr) -> Kind {
    let (loopback, private) = match ip.to_canonical() {
        IpAddr::V4(ip) => (ip.is_loopback(), ip.is_private() || ip.is_link_local() || ip.is_unspecified()),
        IpAddr::V6(ip) => (ip.is_loopback(), ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_unspecified()),
    };
    match (loopback, private) {
        (true, _) => Kind::Loopback,
        (false, true) => Kind::Private,
        (false, false) => Kind::Public,
    }
}

/// Addresses that mean nothing outside their own network.
pub(crate) fn is_private(ip: IpAddr) -> bool {
    kind(ip) != Kind::Public
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(id: u16, transport: Transport, address: &str) -> Listener {
        Listener { id: ListenerId(id), transport, address: address.parse().unwrap() }
    }

    #[test]
    fn a_peer_is_spoken_to_from_its_own_family_and_kind_of_network() {
        let listeners = [
            listener(0, Transport::Udp, "203.0.113.5:5060"),
            listener(1, Transport::Udp, "10.0.0.5:5060"),
            listener(2, Transport::Udp, "[2001:db8::5]:5060"),
            listener(3, Transport::Tls, "127.0.0.1:5061"),
        ];
        let chosen = |transport, remote: &str| {
            listener_for(&listeners, transport, remote.parse().unwrap()).map(|listener| listener.id.0)
        };
        assert_eq!(chosen(Transport::Udp, "198.51.100.9:5060"), Some(0));
        assert_eq!(chosen(Transport::Udp, "192.168.1.9:5060"), Some(1));
        assert_eq!(chosen(Transport::Udp, "127.0.0.1:5060"), Some(0), "none of its kind: the first of its family");
        assert_eq!(chosen(Transport::Udp, "[2001:db8::9]:5060"), Some(2));
        assert_eq!(chosen(Transport::Tls, "198.51.100.9:5061"), Some(3));
        assert_eq!(chosen(Transport::Tls, "[2001:db8::9]:5061"), None);
        assert_eq!(chosen(Transport::Tcp, "198.51.100.9:5060"), None);
    }

    #[test]
    fn params_name_transports_in_any_case() {
        assert_eq!(Transport::from_param("TLS"), Some(Transport::Tls));
        assert_eq!(Transport::from_param("udp"), Some(Transport::Udp));
        assert_eq!(Transport::from_param("sctp"), None);
    }
}
