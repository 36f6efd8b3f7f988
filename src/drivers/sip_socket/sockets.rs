//! The sockets we listen on, and the datagrams of those that carry datagrams.
use super::ListenerId;
use crate::config;
use sip::{Listener, Transport};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll},
};
use tokio::{
    io::ReadBuf,
    net::{TcpListener, UdpSocket},
};
use tracing::debug;

/// What the kernel may keep for us of one UDP socket, in bytes: some thousand messages of a burst.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Connections that may wait to be accepted.
const ACCEPT_BACKLOG: i32 = 1_024;

/// A datagram: at which listener, how long, from whom.
pub(super) type Received = io::Result<(ListenerId, usize, SocketAddr)>;

/// The sockets of a SIP task.
#[derive(Debug)]
pub struct Sockets {
    /// Where we can be reached, as peers see it.
    pub listeners: Vec<Listener>,
    /// The listeners that were bound, in the order asked for.
    pub bound: Vec<(Transport, SocketAddr)>,
    /// Where nobody is listened to, and what we open leaves from.
    pub(super) ways: Vec<WayOut>,
    pub(super) udp: Datagrams,
    pub(super) streams: Vec<StreamListener>,
}

/// A socket that accepts connections.
#[derive(Debug)]
pub(super) struct StreamListener {
    pub(super) id: ListenerId,
    pub(super) transport: Transport,
    pub(super) bound: SocketAddr,
    pub(super) socket: TcpListener,
}

/// A port that connections of ours leave from where there is no listener to answer for them. It is the one our Contact
/// names, by which peers find the connection again (RFC 5923).
#[derive(Debug)]
pub(super) struct WayOut {
    pub(super) id: ListenerId,
    /// Never listens: it keeps the port from others.
    reserved: Socket,
}

impl WayOut {
    /// The port.
    pub(super) fn bound(&self) -> io::Result<SocketAddr> {
        self.reserved.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }
}

/// All UDP sockets. They take turns, so that none starves another.
#[derive(Debug, Default)]
pub(super) struct Datagrams {
    sockets: Vec<(ListenerId, UdpSocket)>,
    next: usize,
}

impl Sockets {
    /// Binds what is asked for. By `ways`, over TCP or TLS, we only call.
    ///
    /// # Errors
    /// Names the address that is taken or not ours.
    pub async fn bind(asked: &[config::Listener], ways: &[config::Listener]) -> io::Result<Self> {
        let mut sockets = Self {
            listeners: Vec::new(),
            bound: Vec::new(),
            ways: Vec::new(),
            udp: Datagrams::default(),
            streams: Vec::new(),
        };
        let mut ids = (0..).map(ListenerId);
        let named = |listener: &config::Listener, error: io::Error| {
            let (over, at) = (listener.transport.via_name(), listener.address);
            io::Error::new(error.kind(), format!("SIP over {over} at {at}: {error}"))
        };
        for (listener, id) in asked.iter().zip(&mut ids) {
            sockets.add(id, listener).await.map_err(|error| named(listener, error))?;
        }
        for (way, id) in ways.iter().zip(&mut ids) {
            sockets.reserve(id, way).map_err(|error| named(way, error))?;
        }
        Ok(sockets)
    }

    fn reserve(&mut self, id: ListenerId, way: &config::Listener) -> io::Result<()> {
        let reserved = Socket::new(Domain::for_address(way.address), Type::STREAM, Some(Protocol::TCP))?;
        // Each connection binds the port again.
        reserved.set_reuse_address(true)?;
        if way.address.is_ipv6() {
            reserved.set_only_v6(true)?;
        }
        reserved.bind(&SockAddr::from(way.address))?;
        let out = WayOut { id, reserved };
        self.listeners.push(Listener { id, transport: way.transport, address: way.seen_as(out.bound()?) });
        self.ways.push(out);
        Ok(())
    }

    /// Where each listener and each way out is bound.
    pub(super) fn locals(&self) -> Vec<(ListenerId, SocketAddr)> {
        let listeners = self.listeners.iter().map(|listener| listener.id).zip(self.bound.iter().map(|(_, at)| *at));
        listeners.chain(self.ways.iter().filter_map(|way| Some((way.id, way.bound().ok()?)))).collect()
    }

    async fn add(&mut self, id: ListenerId, asked: &config::Listener) -> io::Result<()> {
        let transport = asked.transport;
        let bound = match transport {
            Transport::Udp => {
                let socket = UdpSocket::from_std(open(asked.address, Type::DGRAM)?.into())?;
                // `try_send_to` refuses everything until the reactor has seen the socket writable: it is, at once.
                socket.writable().await?;
                let bound = socket.local_addr()?;
                self.udp.sockets.push((id, socket));
                bound
            }
            Transport::Tcp | Transport::Tls => {
                let socket = TcpListener::from_std(open(asked.address, Type::STREAM)?.into())?;
                let bound = socket.local_addr()?;
                self.streams.push(StreamListener { id, transport, bound, socket });
                bound
            }
        };
        self.bound.push((transport, bound));
        self.listeners.push(Listener { id, transport, address: asked.seen_as(bound) });
        Ok(())
    }

    /// What was bound first for this transport.
    pub fn first(&self, transport: Transport) -> Option<SocketAddr> {
        self.bound.iter().find(|(over, _)| *over == transport).map(|(_, at)| *at)
    }
}

/// An IPv6 socket takes IPv6 alone: `[::]` and `0.0.0.0` are two listeners, each with addresses of its own family.
fn open(at: SocketAddr, kind: Type) -> io::Result<Socket> {
    let protocol = if kind == Type::DGRAM { Protocol::UDP } else { Protocol::TCP };
    let socket = Socket::new(Domain::for_address(at), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        // A restart must not wait for the connections of the last run.
        socket.set_reuse_address(true)?;
    } else if let Err(error) = socket.set_recv_buffer_size(RECEIVE_BUFFER) {
        debug!(%error, "UDP receive buffer");
    }
    socket.bind(&SockAddr::from(at))?;
    if kind == Type::STREAM {
        socket.listen(ACCEPT_BACKLOG)?;
    }
    Ok(socket)
}

impl Datagrams {
    /// Waits for a datagram; pends for ever where there is no socket.
    pub(super) async fn receive(&mut self, buffer: &mut [u8]) -> Received {
        std::future::poll_fn(|cx| self.poll_receive(cx, buffer)).await
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Received> {
        for _ in 0..self.sockets.len() {
            self.next = (self.next + 1) % self.sockets.len();
            let Some((id, socket)) = self.sockets.get(self.next) else { continue };
            let mut into = ReadBuf::new(buffer);
            if let Poll::Ready(from) = socket.poll_recv_from(cx, &mut into) {
                return Poll::Ready(from.map(|remote| (*id, into.filled().len(), remote)));
            }
        }
        Poll::Pending
    }

    /// A datagram that is there already, at the socket whose turn it is.
    pub(super) fn try_receive(&mut self, buffer: &mut [u8]) -> Option<Received> {
        let (id, socket) = self.sockets.get(self.next)?;
        match socket.try_recv_from(buffer) {
            Ok((length, remote)) => Some(Ok((*id, length, remote))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// Sends by this listener; `None` if there is none.
    pub(super) fn try_send(&self, listener: ListenerId, bytes: &[u8], remote: SocketAddr) -> Option<io::Result<usize>> {
        let (_, socket) = self.sockets.iter().find(|(id, _)| *id == listener)?;
        Some(socket.try_send_to(bytes, remote))
    }
}
