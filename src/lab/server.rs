//! Carries a simulated server over real sockets. Decides nothing.
#![allow(clippy::disallowed_methods, reason = "a driver: time and tasks enter here")]
use super::voice::Voice;
use anyhow::Context;
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use std::{
    io::Cursor,
    marker::PhantomData,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, join, split},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::{timeout, timeout_at},
};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::{
            machine::TryParse,
            server::{ErrorResponse, Request, Response},
        },
        http::StatusCode,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

/// How long TLS and the upgrade may take together.
pub(in crate::lab) const OPEN: Duration = Duration::from_secs(10);
/// How long a client may take to answer a close.
const CLOSE: Duration = Duration::from_secs(1);
/// The longest head of a request.
const MAX_HEAD: usize = 16 << 10;

/// From a simulated server to its client.
#[derive(Clone, Debug, PartialEq)]
pub enum Departure {
    /// A message.
    Message {
        /// What it is, in a word of its protocol.
        kind: String,
        /// Its JSON.
        text: String,
    },
    /// A close frame; nothing follows.
    Close(u16, String),
    /// The connection breaks; nothing follows.
    Drop,
}

/// Which frames a protocol puts the server's JSON in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frames {
    /// Text.
    Text,
    /// Binary.
    Binary,
}

/// What answers a request that is no upgrade.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// 200 and the like.
    pub status: StatusCode,
    /// JSON.
    pub body: Value,
}

/// One connection of a simulated server, without a socket and without a clock.
pub trait Simulated: Sized + Send + 'static {
    /// What it says and how it fails, and what its connections share.
    type Script: Send + Sync + 'static;
    /// What a client is told of its address beyond scheme, host and port.
    const PATH: &'static str;
    /// What its messages go in.
    const FRAMES: Frames;

    /// The status that answers an upgrade instead of 101.
    fn refusal(request: &Request, script: &Self::Script) -> Option<StatusCode>;
    /// Answers a GET that is no upgrade. `base` is where the client reached this server: `wss://127.0.0.1:9090`.
    fn answer(_request: &Request, _script: &Self::Script, _base: &str, _now: Instant) -> Answer {
        Answer { status: StatusCode::NOT_FOUND, body: Value::Null }
    }
    /// A connection that was just upgraded, the `number`th.
    fn open(script: Arc<Self::Script>, voice: Arc<Voice>, number: u64, request: &Request, now: Instant) -> Self;
    /// A message of the client.
    fn handle_text(&mut self, text: &str, now: Instant);
    /// Advances time.
    fn handle_timeout(&mut self, now: Instant);
    /// When `handle_timeout` is next wanted, and why.
    fn poll_timeout(&self) -> Option<(Instant, &'static str)>;
    /// The next thing to send.
    fn poll_departure(&mut self) -> Option<Departure>;
}

/// Whether connections are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// `ws://`.
    Off,
    /// `wss://` with a certificate of our own for `localhost` and 127.0.0.1, made at start.
    SelfSigned,
}

/// Which way a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Received.
    FromClient,
    /// Sent.
    ToClient,
}

/// A message that passed, stamped when it was read or when it was handed to the socket.
#[derive(Clone, Debug)]
pub struct Logged {
    /// Counted from 1 in the order of the upgrades.
    pub connection: u64,
    /// When.
    pub at: Instant,
    /// Which way.
    pub direction: Direction,
    /// The JSON text, whole.
    pub text: String,
}

impl Logged {
    /// The message as JSON; null when it was none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

/// A running server; dropping it closes all connections.
#[derive(Debug)]
pub struct Server<S> {
    simulated: PhantomData<fn() -> S>,
    address: SocketAddr,
    certificate_pem: Option<String>,
    unlogged: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl<S> Drop for Server<S> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<S: Simulated> Server<S> {
    /// Listens. `log` gets every message; what does not fit into it is dropped and counted, never waited for.
    ///
    /// # Errors
    ///
    /// When the address is taken, or no certificate could be made.
    pub async fn start(
        listen: SocketAddr,
        script: S::Script,
        tls: Tls,
        log: Option<mpsc::Sender<Logged>>,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        let address = listener.local_addr()?;
        let (acceptor, certificate_pem) = match tls {
            Tls::Off => (None, None),
            Tls::SelfSigned => {
                let (acceptor, pem) = self_signed()?;
                (Some(acceptor), Some(pem))
            }
        };
        let unlogged = Arc::new(AtomicU64::new(0));
        let shared = Shared::<S> {
            script: Arc::new(script),
            voice: Arc::new(Voice::default()),
            acceptor,
            log: Log { to: log, unlogged: Arc::clone(&unlogged) },
            upgrades: Arc::default(),
        };
        let task = tokio::spawn(accept(listener, shared));
        Ok(Self { simulated: PhantomData, address, certificate_pem, unlogged, task })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a client is configured with.
    pub fn url(&self) -> String {
        let scheme = if self.certificate_pem.is_some() { "wss" } else { "ws" };
        format!("{scheme}://{}{}", self.address, S::PATH)
    }

    /// What a client must trust, with TLS.
    pub fn certificate_pem(&self) -> Option<&str> {
        self.certificate_pem.as_deref()
    }

    /// Messages that did not fit into the log.
    pub fn unlogged(&self) -> u64 {
        self.unlogged.load(Ordering::Relaxed)
    }
}

struct Shared<S: Simulated> {
    script: Arc<S::Script>,
    voice: Arc<Voice>,
    acceptor: Option<TlsAcceptor>,
    log: Log,
    /// How many there were.
    upgrades: Arc<AtomicU64>,
}

impl<S: Simulated> Clone for Shared<S> {
    fn clone(&self) -> Self {
        let (script, voice) = (Arc::clone(&self.script), Arc::clone(&self.voice));
        let (acceptor, log, upgrades) = (self.acceptor.clone(), self.log.clone(), Arc::clone(&self.upgrades));
        Self { script, voice, acceptor, log, upgrades }
    }
}

#[derive(Clone)]
struct Log {
    to: Option<mpsc::Sender<Logged>>,
    unlogged: Arc<AtomicU64>,
}

impl Log {
    fn push(&self, connection: u64, direction: Direction, text: &str) {
        let Some(to) = &self.to else { return };
        let logged = Logged { connection, at: Instant::now(), direction, text: text.to_owned() };
        if to.try_send(logged).is_err() {
            self.unlogged.fetch_add(1, Ordering::Relaxed);
        }
    }
}

pub(in crate::lab) fn self_signed() -> anyhow::Result<(TlsAcceptor, String)> {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).context("cannot make a certificate")?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    Ok((TlsAcceptor::from(Arc::new(config)), made.cert.pem()))
}

/// What a client is told to trust in a test: this certificate, in PEM.
#[cfg(test)]
pub(in crate::lab) fn trusting(pem: &str) -> Arc<rustls::ClientConfig> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    crate::drivers::trust::client(roots).unwrap()
}

async fn accept<S: Simulated>(listener: TcpListener, shared: Shared<S>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        connections.spawn(connection(stream, shared.clone()));
    }
}

async fn connection<S: Simulated>(stream: TcpStream, shared: Shared<S>) {
    // Deltas are small and their timing is what is measured; without it the kernel would gather them.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    match shared.acceptor.clone() {
        None => upgrade(stream, shared).await,
        Some(acceptor) => {
            if let Ok(Ok(stream)) = timeout(OPEN, acceptor.accept(stream)).await {
                upgrade(stream, shared).await;
            }
        }
    }
}

async fn upgrade<S: Simulated, T: AsyncRead + AsyncWrite + Unpin>(mut stream: T, shared: Shared<S>) {
    let Ok(Some((head, request))) = timeout(OPEN, head(&mut stream)).await else { return };
    let Shared { script, voice, log, acceptor, upgrades } = shared;
    if !request.headers().contains_key("upgrade") {
        let host = request.headers().get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
        let base = format!("{}://{host}", if acceptor.is_some() { "wss" } else { "ws" });
        let answer = S::answer(&request, &script, &base, Instant::now());
        return reply(stream, &answer).await;
    }
    let number = upgrades.fetch_add(1, Ordering::Relaxed) + 1;
    // What was read of it is read again.
    let (rest, write) = split(stream);
    let stream = join(Cursor::new(head).chain(rest), write);
    let mut core = None;
    #[expect(clippy::result_large_err, reason = "the signature is tungstenite's")]
    let judge = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        match S::refusal(request, &script) {
            None => {
                core = Some(S::open(Arc::clone(&script), voice, number, request, Instant::now()));
                Ok(response)
            }
            Some(status) => {
                let mut refusal = ErrorResponse::new(Some(format!("{{\"error\":{{\"code\":\"{status}\"}}}}")));
                *refusal.status_mut() = status;
                Err(refusal)
            }
        }
    };
    let opened = timeout(OPEN, accept_hdr_async(stream, judge)).await;
    if let (Ok(Ok(socket)), Some(core)) = (opened, core) {
        carry(socket, core, &log, number).await;
    }
}

/// The head of a request; `None` when it is none that a simulator answers.
async fn head<T: AsyncRead + Unpin>(stream: &mut T) -> Option<(Vec<u8>, Request)> {
    let mut head = Vec::new();
    while head.len() < MAX_HEAD {
        if stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
        if let Some((_, request)) = Request::try_parse(&head).ok()? {
            return Some((head, request));
        }
    }
    None
}

async fn reply<T: AsyncRead + AsyncWrite + Unpin>(mut stream: T, answer: &Answer) {
    let body = answer.body.to_string();
    let text = format!(
        "HTTP/1.1 {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        answer.status,
        body.len()
    );
    if stream.write_all(text.as_bytes()).await.is_ok() {
        // A client that is gone has its answer or does not want it.
        let _ = stream.shutdown().await;
    }
}

async fn carry<S, T>(mut socket: WebSocketStream<T>, mut core: S, log: &Log, number: u64)
where
    S: Simulated,
    T: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        while let Some(departure) = core.poll_departure() {
            match departure {
                Departure::Message { text, .. } => {
                    log.push(number, Direction::ToClient, &text);
                    let message = match S::FRAMES {
                        Frames::Text => Message::text(text),
                        Frames::Binary => Message::binary(text.into_bytes()),
                    };
                    if socket.send(message).await.is_err() {
                        return;
                    }
                }
                Departure::Close(code, reason) => return close(socket, code, reason).await,
                Departure::Drop => return,
            }
        }
        let arrived = match core.poll_timeout() {
            None => socket.next().await,
            Some((deadline, _)) => match timeout_at(deadline.into(), socket.next()).await {
                Ok(arrived) => arrived,
                Err(_) => {
                    core.handle_timeout(Instant::now());
                    continue;
                }
            },
        };
        match arrived {
            Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                if let Ok(text) = message.to_text() {
                    log.push(number, Direction::FromClient, text);
                    core.handle_text(text, Instant::now());
                }
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
        }
    }
}

async fn close<S: AsyncRead + AsyncWrite + Unpin>(mut socket: WebSocketStream<S>, code: u16, reason: String) {
    let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
    if socket.close(Some(frame)).await.is_ok() {
        // Until the client has answered; a reset before would take the close frame with it.
        let _ = timeout(CLOSE, async { while let Some(Ok(_)) = socket.next().await {} }).await;
    }
}
