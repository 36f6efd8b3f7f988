//! The SIP task: owns the sockets and the endpoint. One UDP socket, one TCP listener, a task per TCP connection.
use super::until;
use sip::{
    Command, Event, LegId, Registration, RegistrationId, Transmit, Transport,
    endpoint::{Endpoint, OutgoingInvite},
};
use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket, tcp},
    sync::{mpsc, oneshot},
    time::timeout,
};
use tracing::{debug, trace, warn};

/// Requests that may wait for the SIP task. Senders use `try_send`: a full queue means the task is stuck, and is an error.
pub const REQUESTS: usize = 4_096;
/// Messages that may wait for one TCP connection; beyond it the connection is closed, as its peer does not read.
const TCP_BACKLOG: usize = 256;
/// Chunks read from all TCP connections that may wait for the endpoint; readers then wait, and TCP slows the peers.
const TCP_INBOX: usize = 256;
/// How long a TCP connection may take to open.
const TCP_CONNECT: Duration = Duration::from_secs(4);
/// Largest UDP datagram.
const DATAGRAM: usize = 65_535;

/// What the SIP task can be asked for.
#[derive(Debug)]
pub enum Request {
    /// Something for one leg.
    Command(Command),
    /// Places a call and tells its leg.
    Invite(OutgoingInvite, oneshot::Sender<LegId>),
    /// Starts and keeps a registration.
    Register(RegistrationId, Registration),
    /// Ends a registration.
    Unregister(RegistrationId),
    /// Takes no new calls; OPTIONS is answered 503.
    Drain,
}

/// The sockets of a SIP task.
#[derive(Debug)]
pub struct Sockets {
    /// For datagrams.
    pub udp: Option<UdpSocket>,
    /// For connections.
    pub tcp: Option<TcpListener>,
}

impl Sockets {
    /// Binds what is asked for.
    ///
    /// # Errors
    /// Names the address that is taken or not ours.
    pub async fn bind(udp: Option<SocketAddr>, tcp: Option<SocketAddr>) -> io::Result<Self> {
        let named = |what: &str, at: SocketAddr, e: io::Error| io::Error::new(e.kind(), format!("{what} {at}: {e}"));
        let udp = match udp {
            Some(at) => Some(UdpSocket::bind(at).await.map_err(|e| named("SIP over UDP at", at, e))?),
            None => None,
        };
        let tcp = match tcp {
            Some(at) => Some(TcpListener::bind(at).await.map_err(|e| named("SIP over TCP at", at, e))?),
            None => None,
        };
        Ok(Self { udp, tcp })
    }
}

/// Whether anybody can still ask for something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owned {
    Yes,
    No,
}

/// What TCP connections tell the SIP task.
enum FromTcp {
    Opened(SocketAddr, mpsc::Sender<Vec<u8>>),
    Chunk(SocketAddr, Vec<u8>),
    Closed(SocketAddr),
    NotOpened(SocketAddr),
}

/// One connection, open or being opened.
struct Connection {
    outbox: mpsc::Sender<Vec<u8>>,
}

/// Runs the endpoint until every request sender is gone and the endpoint is idle.
pub async fn run(
    mut endpoint: Endpoint,
    sockets: Sockets,
    mut requests: mpsc::Receiver<Request>,
    events: mpsc::Sender<Event>,
) {
    let (tcp_inbox, mut from_tcp) = mpsc::channel(TCP_INBOX);
    if let Some(listener) = sockets.tcp {
        tokio::spawn(accept(listener, tcp_inbox.clone()));
    }
    let mut connections = HashMap::new();
    let mut buffer = vec![0; DATAGRAM];
    let mut owned = Owned::Yes;
    loop {
        while let Some(transmit) = endpoint.poll_transmit() {
            send(transmit, sockets.udp.as_ref(), &mut connections, &tcp_inbox);
        }
        while let Some(remote) = endpoint.poll_close() {
            connections.remove(&remote);
        }
        while let Some(event) = endpoint.poll_event() {
            if events.send(event).await.is_err() {
                return;
            }
        }
        if owned == Owned::No && endpoint.is_idle() {
            return;
        }
        tokio::select! {
            received = receive(sockets.udp.as_ref(), &mut buffer) => match received {
                Ok((length, remote)) => {
                    let datagram = buffer.get(..length).unwrap_or_default();
                    trace!(%remote, "<< {}", String::from_utf8_lossy(datagram));
                    endpoint.handle_datagram(remote, datagram, Instant::now());
                }
                Err(error) => debug!(%error, "UDP receive"),
            },
            Some(input) = from_tcp.recv() => on_tcp(input, &mut endpoint, &mut connections),
            request = requests.recv(), if owned == Owned::Yes => match request {
                Some(request) => on_request(request, &mut endpoint),
                None => owned = Owned::No,
            },
            () = until(endpoint.poll_timeout()) => {}
        }
        let now = Instant::now();
        if endpoint.poll_timeout().is_some_and(|(at, _)| at <= now) {
            endpoint.handle_timeout(now);
        }
    }
}

fn on_request(request: Request, endpoint: &mut Endpoint) {
    let now = Instant::now();
    match request {
        Request::Command(command) => endpoint.handle_command(command, now),
        Request::Invite(invite, reply) => {
            // A caller that went away meanwhile hears of its leg by events, and nobody answers them.
            let _ = reply.send(endpoint.invite(invite, now));
        }
        Request::Register(id, registration) => endpoint.register(id, registration, now),
        Request::Unregister(id) => endpoint.unregister(id, now),
        Request::Drain => endpoint.drain(),
    }
}

fn on_tcp(input: FromTcp, endpoint: &mut Endpoint, connections: &mut HashMap<SocketAddr, Connection>) {
    let now = Instant::now();
    match input {
        FromTcp::Opened(remote, outbox) => {
            connections.insert(remote, Connection { outbox });
        }
        FromTcp::Chunk(remote, bytes) => {
            trace!(%remote, "<< {}", String::from_utf8_lossy(&bytes));
            endpoint.handle_stream(remote, &bytes, now);
        }
        FromTcp::Closed(remote) => {
            connections.remove(&remote);
            endpoint.handle_stream_closed(remote, now);
        }
        FromTcp::NotOpened(remote) => {
            connections.remove(&remote);
            endpoint.handle_unreachable(Transport::Tcp, remote, now);
        }
    }
}

async fn receive(udp: Option<&UdpSocket>, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    match udp {
        Some(socket) => socket.recv_from(buffer).await,
        None => std::future::pending().await,
    }
}

fn send(
    transmit: Transmit,
    udp: Option<&UdpSocket>,
    connections: &mut HashMap<SocketAddr, Connection>,
    inbox: &mpsc::Sender<FromTcp>,
) {
    let Transmit { transport, remote, bytes } = transmit;
    trace!(%remote, ?transport, ">> {}", String::from_utf8_lossy(&bytes));
    match transport {
        // A datagram that the kernel will not take is a lost datagram: timers repeat it.
        Transport::Udp => match udp.map(|socket| socket.try_send_to(&bytes, remote)) {
            Some(Ok(_)) => {}
            Some(Err(error)) => debug!(%remote, %error, "UDP send"),
            None => warn!(%remote, "a message for UDP, but no UDP listener"),
        },
        Transport::Tcp => {
            let connection = connections.entry(remote).or_insert_with(|| {
                let (outbox, queue) = mpsc::channel(TCP_BACKLOG);
                tokio::spawn(connect(remote, queue, inbox.clone()));
                Connection { outbox }
            });
            if connection.outbox.try_send(bytes).is_err() {
                warn!(%remote, "TCP peer does not read: closing");
                connections.remove(&remote);
            }
        }
    }
}

async fn accept(listener: TcpListener, inbox: mpsc::Sender<FromTcp>) {
    loop {
        let Ok((stream, remote)) = listener.accept().await else { continue };
        let (outbox, queue) = mpsc::channel(TCP_BACKLOG);
        if inbox.send(FromTcp::Opened(remote, outbox)).await.is_err() {
            return;
        }
        tokio::spawn(carry(stream, remote, queue, inbox.clone()));
    }
}

async fn connect(remote: SocketAddr, queue: mpsc::Receiver<Vec<u8>>, inbox: mpsc::Sender<FromTcp>) {
    match timeout(TCP_CONNECT, TcpStream::connect(remote)).await {
        Ok(Ok(stream)) => carry(stream, remote, queue, inbox).await,
        Ok(Err(_)) | Err(_) => {
            // The SIP task outlives its connections, or nobody needs to know.
            let _ = inbox.send(FromTcp::NotOpened(remote)).await;
        }
    }
}

/// Carries one connection until either side closes it.
async fn carry(stream: TcpStream, remote: SocketAddr, queue: mpsc::Receiver<Vec<u8>>, inbox: mpsc::Sender<FromTcp>) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%remote, %error, "TCP_NODELAY");
    }
    let (reader, writer) = stream.into_split();
    tokio::select! {
        () = read(reader, remote, &inbox) => {}
        () = write(writer, queue) => {}
    }
    // The SIP task outlives its connections, or nobody needs to know.
    let _ = inbox.send(FromTcp::Closed(remote)).await;
}

async fn read(mut reader: tcp::OwnedReadHalf, remote: SocketAddr, inbox: &mpsc::Sender<FromTcp>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length) = reader.read(&mut buffer).await {
        let Some(chunk) = buffer.get(..length).filter(|chunk| !chunk.is_empty()) else { return };
        if inbox.send(FromTcp::Chunk(remote, chunk.to_vec())).await.is_err() {
            return;
        }
    }
}

async fn write(mut writer: tcp::OwnedWriteHalf, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = queue.recv().await {
        if writer.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
