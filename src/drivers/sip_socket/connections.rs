//! Streams: connections of others and ours, over TCP and TLS. A task carries each; this side keeps their outboxes.
use super::{
    sockets::{StreamListener, WayOut},
    tls::{self, Tls},
};
use sip::{Hop, ListenerId, Transport};
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Semaphore, mpsc, watch},
    time::timeout,
};
use tracing::{debug, warn};

/// Messages that may wait for one connection; beyond it the connection is closed, as its peer does not read.
const BACKLOG: usize = 256;
/// Chunks read from all connections that may wait for the endpoint; readers then wait, and TCP slows the peers.
const INBOX: usize = 256;
/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(4);
/// How long the handshake of TLS may take, from either side.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Connections of others open at one time; one more is closed as soon as it opens.
const CONNECTIONS: usize = 1_000;
/// A connection of another that says nothing for this long is closed; whoever wants to go on connects again.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// How long we wait after a connection that could not be accepted, mostly for want of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// Names of servers kept; with more, the addresses decide.
const NAMES: usize = 10_000;

/// What connections tell the SIP task.
#[derive(Debug)]
pub(super) enum FromStream {
    /// It is open, and takes messages here.
    Opened(Hop, mpsc::Sender<Vec<u8>>),
    /// Bytes came.
    Chunk(Hop, Vec<u8>),
    /// The one that took messages here was open, and is not any more.
    Closed(Hop, mpsc::WeakSender<Vec<u8>>),
    /// It never opened.
    NotOpened(Hop),
}

/// Whether a connection has to do with another of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Free,
    Taken,
}

/// All connections, open or being opened.
pub(super) struct Connections {
    outboxes: HashMap<Hop, mpsc::Sender<Vec<u8>>>,
    /// Where each listener is bound: our own connections leave from the same address.
    locals: HashMap<ListenerId, IpAddr>,
    ways: Vec<WayOut>,
    names: HashMap<SocketAddr, String>,
    inbox: mpsc::Sender<FromStream>,
    tls: watch::Receiver<Arc<Tls>>,
}

impl Connections {
    /// Starts to accept connections at these listeners.
    pub(super) fn start(
        listeners: Vec<StreamListener>,
        ways: Vec<WayOut>,
        tls: watch::Receiver<Arc<Tls>>,
    ) -> (Self, mpsc::Receiver<FromStream>) {
        let (inbox, from_streams) = mpsc::channel(INBOX);
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let mut locals = HashMap::new();
        for listener in listeners {
            locals.insert(listener.id, listener.bound.ip());
            let door = Door { id: listener.id, transport: listener.transport, tls: tls.clone(), inbox: inbox.clone() };
            tokio::spawn(accept(listener.socket, door, Arc::clone(&room)));
        }
        (Self { outboxes: HashMap::new(), locals, ways, names: HashMap::new(), inbox, tls }, from_streams)
    }

    /// The server at this address must prove this name.
    pub(super) fn name(&mut self, remote: SocketAddr, name: String) {
        if self.names.len() < NAMES || self.names.contains_key(&remote) {
            self.names.insert(remote, name);
        }
    }

    /// A connection takes messages from here on. Says whether it takes the place of another: a peer may use a port again
    /// before we know that it left.
    pub(super) fn opened(&mut self, hop: Hop, outbox: mpsc::Sender<Vec<u8>>) -> Place {
        match self.outboxes.insert(hop, outbox.clone()) {
            Some(before) if !before.same_channel(&outbox) => Place::Taken,
            Some(_) | None => Place::Free,
        }
    }

    /// A connection ended by itself. Says whether another has its place, which is to stay.
    pub(super) fn closed(&mut self, hop: Hop, outbox: &mpsc::WeakSender<Vec<u8>>) -> Place {
        match (self.outboxes.get(&hop), outbox.upgrade()) {
            (Some(current), Some(closed)) if current.same_channel(&closed) => {
                self.outboxes.remove(&hop);
                Place::Free
            }
            (Some(_), _) => Place::Taken,
            (None, _) => Place::Free,
        }
    }

    /// Closes a connection, if it is open.
    pub(super) fn close(&mut self, hop: Hop) {
        self.outboxes.remove(&hop);
    }

    /// Sends over the connection of this name, which is opened if there is none.
    pub(super) fn send(&mut self, hop: Hop, bytes: Vec<u8>) {
        let outbox = match self.outboxes.get(&hop) {
            Some(outbox) => outbox.clone(),
            None => self.open(hop),
        };
        if outbox.try_send(bytes).is_err() {
            warn!(remote = %hop.remote, "the peer of a connection does not read: closing");
            self.close(hop);
        }
    }

    fn whence(&self, listener: ListenerId) -> Option<Whence> {
        let way = self.ways.iter().find(|way| way.id == listener).and_then(|way| way.bound().ok());
        way.map(Whence::Port).or_else(|| self.locals.get(&listener).copied().map(Whence::Address))
    }

    /// Opens a connection; what it is sent meanwhile waits in its outbox.
    fn open(&mut self, hop: Hop) -> mpsc::Sender<Vec<u8>> {
        let (outbox, queue) = mpsc::channel(BACKLOG);
        let name = self.names.get(&hop.remote).cloned().unwrap_or_else(|| hop.remote.ip().to_string());
        let way = Way { hop, whence: self.whence(hop.listener), name };
        let tls = Arc::clone(&self.tls.borrow());
        tokio::spawn(connect(way, (outbox.clone(), queue), self.inbox.clone(), tls));
        self.outboxes.insert(hop, outbox.clone());
        outbox
    }
}

/// What every connection accepted at one listener needs.
#[derive(Clone)]
struct Door {
    id: ListenerId,
    transport: Transport,
    tls: watch::Receiver<Arc<Tls>>,
    inbox: mpsc::Sender<FromStream>,
}

/// Takes connections until the SIP task ends; each holds a permit of `room`.
async fn accept(listener: TcpListener, door: Door, room: Arc<Semaphore>) {
    let mut trouble = Trouble::None;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = door.inbox.closed() => return,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                trouble.note(|| warn!(%error, "connections cannot be accepted"));
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            trouble.note(|| warn!(%remote, "too many connections: closing the newest"));
            continue;
        };
        trouble = Trouble::None;
        let door = door.clone();
        tokio::spawn(async move {
            door.welcome(stream, remote).await;
            drop(permit);
        });
    }
}

impl Door {
    async fn welcome(self, stream: TcpStream, remote: SocketAddr) {
        let hop = Hop { listener: self.id, transport: self.transport, remote };
        no_delay(&stream, remote);
        if self.transport != Transport::Tls {
            return carry(stream, hop, mpsc::channel(BACKLOG), self.inbox, Some(IDLE)).await;
        }
        let tls = Arc::clone(&self.tls.borrow());
        match timeout(HANDSHAKE, tls.accept(stream)).await {
            Ok(Ok(stream)) => carry(stream, hop, mpsc::channel(BACKLOG), self.inbox, Some(IDLE)).await,
            Ok(Err(error)) => debug!(%remote, %error, "TLS handshake of a peer"),
            Err(_) => debug!(%remote, "TLS handshake of a peer took too long"),
        }
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

/// Whence a connection of ours leaves.
#[derive(Clone, Copy, Debug)]
enum Whence {
    /// From the address of our listener: peers know us by it. Its port is for those who connect to us.
    Address(IpAddr),
    /// From this port, which our Contact names: without a listener the connection is all that leads to us.
    Port(SocketAddr),
}

/// A connection of ours to be opened.
struct Way {
    hop: Hop,
    whence: Option<Whence>,
    /// What the peer's certificate must say.
    name: String,
}

type Queue = (mpsc::Sender<Vec<u8>>, mpsc::Receiver<Vec<u8>>);

async fn connect(way: Way, queue: Queue, inbox: mpsc::Sender<FromStream>, tls: Arc<Tls>) {
    let hop = way.hop;
    let opened = match timeout(CONNECT, open(&way)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return not_opened(hop, &error, &inbox).await,
        Err(_) => return not_opened(hop, &io::ErrorKind::TimedOut.into(), &inbox).await,
    };
    no_delay(&opened, hop.remote);
    if hop.transport != Transport::Tls {
        // One that we opened stays: the calls of a registration come by it.
        return carry(opened, hop, queue, inbox, None).await;
    }
    match timeout(HANDSHAKE, tls.connect(opened, &way.name)).await {
        Ok(Ok(stream)) => carry(stream, hop, queue, inbox, None).await,
        Ok(Err(error)) => {
            warn!(remote = %hop.remote, name = %way.name, "no TLS with this server: {}", tls::advice(&error));
            not_opened(hop, &error, &inbox).await;
        }
        Err(_) => not_opened(hop, &io::ErrorKind::TimedOut.into(), &inbox).await,
    }
}

async fn not_opened(hop: Hop, error: &io::Error, inbox: &mpsc::Sender<FromStream>) {
    debug!(remote = %hop.remote, %error, "connection not opened");
    // The SIP task outlives its connections, or nobody needs to know.
    let _ = inbox.send(FromStream::NotOpened(hop)).await;
}

async fn open(way: &Way) -> io::Result<TcpStream> {
    let remote = way.hop.remote;
    let address = match way.whence {
        Some(Whence::Port(at)) => match leave(at, remote).await {
            // The last connection to this peer is not forgotten yet (TIME-WAIT): another port will do, as it does for
            // everybody behind a NAT.
            Err(error) if matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable) => at.ip(),
            opened => return opened,
        },
        Some(Whence::Address(address)) => address,
        None => return socket_for(remote)?.connect(remote).await,
    };
    leave(SocketAddr::new(address, 0), remote).await
}

async fn leave(local: SocketAddr, remote: SocketAddr) -> io::Result<TcpStream> {
    let socket = socket_for(remote)?;
    if local.port() != 0 {
        socket.set_reuseaddr(true)?;
    }
    socket.bind(local)?;
    socket.connect(remote).await
}

fn socket_for(remote: SocketAddr) -> io::Result<TcpSocket> {
    if remote.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }
}

fn no_delay(stream: &TcpStream, remote: SocketAddr) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%remote, %error, "TCP_NODELAY");
    }
}

/// Carries one connection until either side closes it, or the peer says nothing for as long as `idle`.
async fn carry(
    stream: impl AsyncRead + AsyncWrite,
    hop: Hop,
    (outbox, queue): Queue,
    inbox: mpsc::Sender<FromStream>,
    idle: Option<Duration>,
) {
    let ours = outbox.downgrade();
    if inbox.send(FromStream::Opened(hop, outbox)).await.is_err() {
        return;
    }
    let (reader, writer) = tokio::io::split(stream);
    tokio::select! {
        () = read(reader, hop, &inbox, idle) => {}
        () = write(writer, queue) => {}
    }
    // The SIP task outlives its connections, or nobody needs to know.
    let _ = inbox.send(FromStream::Closed(hop, ours)).await;
}

async fn read(mut reader: impl AsyncRead + Unpin, hop: Hop, inbox: &mpsc::Sender<FromStream>, idle: Option<Duration>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let reading = reader.read(&mut buffer);
        let read = match idle {
            Some(idle) => timeout(idle, reading).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
            None => reading.await,
        };
        let Ok(length) = read else { return };
        let Some(chunk) = buffer.get(..length).filter(|chunk| !chunk.is_empty()) else { return };
        if inbox.send(FromStream::Chunk(hop, chunk.to_vec())).await.is_err() {
            return;
        }
    }
}

/// Writes until the outbox is dropped, then says goodbye: TLS has a word for it.
async fn write(mut writer: impl AsyncWrite + Unpin, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = queue.recv().await {
        let sent = async {
            writer.write_all(&bytes).await?;
            writer.flush().await
        };
        if sent.await.is_err() {
            return;
        }
    }
    // The connection is at its end either way.
    let _ = writer.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::{super::Sockets, *};

    const HERE: &str = "127.0.0.1:0";
    /// A test that waits this long has failed.
    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn one_connection_too_many_is_closed() {
        let listener = TcpListener::bind(HERE).await.unwrap();
        let at = listener.local_addr().unwrap();
        let (inbox, mut from_streams) = mpsc::channel(INBOX);
        let tls = watch::channel(Arc::new(Tls::outgoing().unwrap())).1;
        let door = Door { id: ListenerId(0), transport: Transport::Tcp, tls, inbox };
        tokio::spawn(accept(listener, door, Arc::new(Semaphore::new(1))));
        let first = TcpStream::connect(at).await.unwrap();
        let Some(FromStream::Opened(hop, _outbox)) = from_streams.recv().await else { panic!("not opened") };
        assert_eq!(hop.remote, first.local_addr().unwrap());
        let mut second = TcpStream::connect(at).await.unwrap();
        assert_eq!(timeout(PATIENCE, second.read(&mut [0; 1])).await.unwrap().unwrap(), 0, "closed");
        drop(first);
        assert!(matches!(from_streams.recv().await, Some(FromStream::Closed(gone, _)) if gone == hop));
        TcpStream::connect(at).await.unwrap();
        let again = timeout(PATIENCE, from_streams.recv()).await.unwrap();
        assert!(matches!(again, Some(FromStream::Opened(..))));
    }

    /// The peer finds us by the port of our Contact, for as long as the connection stands, and after it broke.
    #[tokio::test]
    async fn where_nobody_listens_connections_leave_from_the_port_that_is_ours() {
        let listener = TcpListener::bind(HERE).await.unwrap();
        let way = crate::config::Listener::plain(Transport::Tcp, HERE.parse().unwrap());
        let sockets = Sockets::bind(&[], &[way]).await.unwrap();
        let (id, ours) = (sockets.listeners[0].id, sockets.listeners[0].address);
        let tls = watch::channel(Arc::new(Tls::outgoing().unwrap())).1;
        let (mut connections, mut from_streams) = Connections::start(Vec::new(), sockets.ways, tls);
        let hop = Hop { listener: id, transport: Transport::Tcp, remote: listener.local_addr().unwrap() };
        for text in [b"one", b"two"] {
            connections.send(hop, text.to_vec());
            let (mut peer, from) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
            assert_eq!(from, ours);
            let mut heard = [0; 3];
            peer.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, text);
            drop(peer);
            while !matches!(timeout(PATIENCE, from_streams.recv()).await.unwrap(), Some(FromStream::Closed(..))) {}
            connections.close(hop);
        }
        TcpStream::connect(ours).await.expect_err("nobody listens there");
    }

    #[tokio::test]
    async fn the_end_of_a_connection_leaves_the_next_from_the_same_port_alone() {
        let tls = watch::channel(Arc::new(Tls::outgoing().unwrap())).1;
        let (mut connections, _from_streams) = Connections::start(Vec::new(), Vec::new(), tls);
        let hop = Hop { listener: ListenerId(0), transport: Transport::Tcp, remote: HERE.parse().unwrap() };
        let ((old, _old), (new, mut queue)) = (mpsc::channel(1), mpsc::channel(1));
        let (old_gone, new_gone) = (old.downgrade(), new.downgrade());
        assert_eq!(connections.opened(hop, old), Place::Free);
        assert_eq!(connections.opened(hop, new), Place::Taken);
        assert_eq!(connections.closed(hop, &old_gone), Place::Taken);
        connections.send(hop, b"x".to_vec());
        assert_eq!(queue.recv().await, Some(b"x".to_vec()));
        assert_eq!(connections.closed(hop, &new_gone), Place::Free);
        assert_eq!(queue.recv().await, None);
    }
}
