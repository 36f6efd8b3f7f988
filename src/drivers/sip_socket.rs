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
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket, tcp},
    sync::{Semaphore, mpsc, oneshot},
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
/// Connections of others open at one time; one more is closed as soon as it opens.
const TCP_CONNECTIONS: usize = 1_000;
/// A connection of another that says nothing for this long is closed; whoever wants to go on connects again.
const TCP_IDLE: Duration = Duration::from_secs(30 * 60);
/// How long we wait after a connection that could not be accepted, mostly for want of file descriptors.
const TCP_ACCEPT_AGAIN: Duration = Duration::from_millis(100);
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
            Some(at) => {
                let socket = UdpSocket::bind(at).await.map_err(|e| named("SIP over UDP at", at, e))?;
                // `try_send_to` refuses everything until the reactor has seen the socket writable: it is, at once.
                socket.writable().await?;
                Some(socket)
            }
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

/// Runs the endpoint until every request sender is gone and the endpoint is idle. Events that nobody takes any more are
/// dropped: what is left to say (BYE, unregister) is said regardless.
pub async fn run(
    mut endpoint: Endpoint,
    sockets: Sockets,
    mut requests: mpsc::Receiver<Request>,
    events: mpsc::Sender<Event>,
) {
    let (tcp_inbox, mut from_tcp) = mpsc::channel(TCP_INBOX);
    if let Some(listener) = sockets.tcp {
        tokio::spawn(accept(listener, tcp_inbox.clone(), Arc::new(Semaphore::new(TCP_CONNECTIONS))));
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
            let _ = events.send(event).await;
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

/// Takes connections until the SIP task ends; each holds a permit of `room`.
async fn accept(listener: TcpListener, inbox: mpsc::Sender<FromTcp>, room: Arc<Semaphore>) {
    let mut trouble = Trouble::None;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = inbox.closed() => return,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                trouble.note(|| warn!(%error, "TCP connections cannot be accepted"));
                tokio::time::sleep(TCP_ACCEPT_AGAIN).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            trouble.note(|| warn!(%remote, "too many TCP connections: closing the newest"));
            continue;
        };
        trouble = Trouble::None;
        let (outbox, queue) = mpsc::channel(TCP_BACKLOG);
        if inbox.send(FromTcp::Opened(remote, outbox)).await.is_err() {
            return;
        }
        let inbox = inbox.clone();
        tokio::spawn(async move {
            carry(stream, remote, queue, inbox, Some(TCP_IDLE)).await;
            drop(permit);
        });
    }
}

/// Whether trouble has been told since things last went well.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    Told,
}

impl Trouble {
    /// Tells it once a burst.
    fn note(&mut self, tell: impl FnOnce()) {
        if *self == Self::None {
            tell();
        }
        *self = Self::Told;
    }
}

async fn connect(remote: SocketAddr, queue: mpsc::Receiver<Vec<u8>>, inbox: mpsc::Sender<FromTcp>) {
    match timeout(TCP_CONNECT, TcpStream::connect(remote)).await {
        // One that we opened stays: the calls of a registration come by it.
        Ok(Ok(stream)) => carry(stream, remote, queue, inbox, None).await,
        Ok(Err(_)) | Err(_) => {
            // The SIP task outlives its connections, or nobody needs to know.
            let _ = inbox.send(FromTcp::NotOpened(remote)).await;
        }
    }
}

/// Carries one connection until either side closes it, or the peer says nothing for as long as `idle`.
async fn carry(
    stream: TcpStream,
    remote: SocketAddr,
    queue: mpsc::Receiver<Vec<u8>>,
    inbox: mpsc::Sender<FromTcp>,
    idle: Option<Duration>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%remote, %error, "TCP_NODELAY");
    }
    let (reader, writer) = stream.into_split();
    tokio::select! {
        () = read(reader, remote, &inbox, idle) => {}
        () = write(writer, queue) => {}
    }
    // The SIP task outlives its connections, or nobody needs to know.
    let _ = inbox.send(FromTcp::Closed(remote)).await;
}

async fn read(
    mut reader: tcp::OwnedReadHalf,
    remote: SocketAddr,
    inbox: &mpsc::Sender<FromTcp>,
    idle: Option<Duration>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let reading = reader.read(&mut buffer);
        let read = match idle {
            Some(idle) => timeout(idle, reading).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
            None => reading.await,
        };
        let Ok(length) = read else { return };
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use sip::endpoint::Config;

    const HERE: &str = "127.0.0.1:0";
    /// A test that waits this long has failed.
    const PATIENCE: Duration = Duration::from_secs(10);

    pub(in crate::drivers) async fn peer() -> UdpSocket {
        UdpSocket::bind(HERE).await.unwrap()
    }

    pub(in crate::drivers) async fn heard(peer: &UdpSocket) -> (String, SocketAddr) {
        let mut buffer = vec![0; DATAGRAM];
        let (length, from) = timeout(PATIENCE, peer.recv_from(&mut buffer)).await.unwrap().unwrap();
        (String::from_utf8_lossy(&buffer[..length]).into_owned(), from)
    }

    /// Answers a request with the headers that belong to it.
    pub(in crate::drivers) async fn answer(peer: &UdpSocket, status: &str, more: &str) -> String {
        let (request, from) = heard(peer).await;
        let echoed = |line: &&str| ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|h| line.starts_with(h));
        let echo: Vec<&str> = request.lines().filter(echoed).collect();
        let reply = format!("SIP/2.0 {status}\r\n{}\r\n{more}Content-Length: 0\r\n\r\n", echo.join("\r\n"));
        peer.send_to(reply.as_bytes(), from).await.unwrap();
        request
    }

    fn account(registrar: SocketAddr) -> Registration {
        Registration {
            registrar,
            transport: Transport::Udp,
            domain: "pbx.example".into(),
            user: "2000".into(),
            auth_user: "2000".into(),
            password: "s3cret".into(),
            contact_user: "2000".into(),
            expires: Duration::from_secs(600),
        }
    }

    async fn start(events: mpsc::Sender<Event>) -> (mpsc::Sender<Request>, tokio::task::JoinHandle<()>) {
        let sockets = Sockets::bind(Some(HERE.parse().unwrap()), None).await.unwrap();
        let udp = sockets.udp.as_ref().map(|socket| socket.local_addr().unwrap());
        let endpoint = Endpoint::new(Config { user_agent: String::new(), udp, tcp: None, max_legs: 1 }, 1);
        let (requests, queue) = mpsc::channel(REQUESTS);
        (requests, tokio::spawn(run(endpoint, sockets, queue, events)))
    }

    #[tokio::test]
    async fn a_goodbye_is_said_to_its_end_though_nobody_listens_any_more() {
        let challenge = |nonce: &str, more: &str| {
            format!("WWW-Authenticate: Digest realm=\"pbx.example\", nonce=\"{nonce}\"{more}\r\n")
        };
        let (events, nobody) = mpsc::channel(1);
        drop(nobody);
        let (requests, task) = start(events).await;
        let registrar = peer().await;
        let registration = account(registrar.local_addr().unwrap());
        requests.send(Request::Register(RegistrationId(0), registration)).await.unwrap();
        answer(&registrar, "401 Unauthorized", &challenge("one", "")).await;
        answer(&registrar, "200 OK", "Expires: 600\r\n").await;
        requests.send(Request::Unregister(RegistrationId(0))).await.unwrap();
        drop(requests);
        let first = answer(&registrar, "401 Unauthorized", &challenge("two", ", stale=true")).await;
        let second = answer(&registrar, "200 OK", "").await;
        for unregister in [first, second] {
            assert!(unregister.contains("Expires: 0\r\n"), "{unregister}");
        }
        timeout(PATIENCE, task).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn the_first_datagram_of_a_socket_is_sent() {
        let sockets = Sockets::bind(Some(HERE.parse().unwrap()), None).await.unwrap();
        assert_eq!(sockets.udp.unwrap().try_send_to(b"x", peer().await.local_addr().unwrap()).unwrap(), 1);
    }

    #[tokio::test]
    async fn one_connection_too_many_is_closed() {
        let listener = TcpListener::bind(HERE).await.unwrap();
        let at = listener.local_addr().unwrap();
        let (inbox, mut from_tcp) = mpsc::channel(TCP_INBOX);
        tokio::spawn(accept(listener, inbox, Arc::new(Semaphore::new(1))));
        let first = TcpStream::connect(at).await.unwrap();
        let Some(FromTcp::Opened(remote, _outbox)) = from_tcp.recv().await else { panic!("not opened") };
        assert_eq!(remote, first.local_addr().unwrap());
        let mut second = TcpStream::connect(at).await.unwrap();
        assert_eq!(timeout(PATIENCE, second.read(&mut [0; 1])).await.unwrap().unwrap(), 0, "closed");
        drop(first);
        assert!(matches!(from_tcp.recv().await, Some(FromTcp::Closed(gone)) if gone == remote));
        TcpStream::connect(at).await.unwrap();
        let again = timeout(PATIENCE, from_tcp.recv()).await.unwrap();
        assert!(matches!(again, Some(FromTcp::Opened(..))));
    }
}
