//! Carries the simulated server over real sockets. Decides nothing.
#![allow(clippy::disallowed_methods, reason = "a driver: time and tasks enter here")]
use super::{
    core::{Core, Departure, Handshake},
    script::Script,
    voice::Voice,
};
use anyhow::Context;
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
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
        handshake::server::{ErrorResponse, Request, Response},
        http::StatusCode,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

/// How long TLS and the upgrade may take together.
const OPEN: Duration = Duration::from_secs(10);
/// How long a client may take to answer a close.
const CLOSE: Duration = Duration::from_secs(1);

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
pub struct Server {
    address: SocketAddr,
    certificate_pem: Option<String>,
    unlogged: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Listens. `log` gets every message; what does not fit into it is dropped and counted, never waited for.
    ///
    /// # Errors
    ///
    /// When the address is taken, or no certificate could be made.
    pub async fn start(
        listen: SocketAddr,
        script: Script,
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
        let shared = Shared {
            script: Arc::new(script),
            voice: Arc::new(Voice::default()),
            acceptor,
            log: Log { to: log, unlogged: Arc::clone(&unlogged) },
        };
        let task = tokio::spawn(accept(listener, shared));
        Ok(Self { address, certificate_pem, unlogged, task })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a client connects to: `openai::Config::url`.
    pub fn url(&self) -> String {
        let scheme = if self.certificate_pem.is_some() { "wss" } else { "ws" };
        format!("{scheme}://{}/v1/realtime", self.address)
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

#[derive(Clone)]
struct Shared {
    script: Arc<Script>,
    voice: Arc<Voice>,
    acceptor: Option<TlsAcceptor>,
    log: Log,
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

fn self_signed() -> anyhow::Result<(TlsAcceptor, String)> {
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

async fn accept(listener: TcpListener, shared: Shared) {
    let mut connections = JoinSet::new();
    let mut count = 0;
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        count += 1;
        connections.spawn(connection(stream, shared.clone(), count));
    }
}

async fn connection(stream: TcpStream, shared: Shared, number: u64) {
    // Deltas are small and their timing is what is measured; without it the kernel would gather them.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    match shared.acceptor.clone() {
        None => upgrade(stream, shared, number).await,
        Some(acceptor) => {
            if let Ok(Ok(stream)) = timeout(OPEN, acceptor.accept(stream)).await {
                upgrade(stream, shared, number).await;
            }
        }
    }
}

async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(stream: S, shared: Shared, number: u64) {
    let mut handshake = Handshake::default();
    let script = Arc::clone(&shared.script);
    #[expect(clippy::result_large_err, reason = "the signature is tungstenite's")]
    let judge = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        handshake = read(request);
        match refusal(request, &script) {
            None => Ok(response),
            Some(status) => {
                let mut refusal = ErrorResponse::new(Some(format!("{{\"error\":{{\"code\":\"{status}\"}}}}")));
                *refusal.status_mut() = status;
                Err(refusal)
            }
        }
    };
    if let Ok(Ok(socket)) = timeout(OPEN, accept_hdr_async(stream, judge)).await {
        let core = Core::new(shared.script, shared.voice, number, &handshake, Instant::now());
        carry(socket, core, &shared.log, number).await;
    }
}

fn read(request: &Request) -> Handshake {
    let pairs = request.uri().query().unwrap_or_default().split('&');
    let model = pairs.filter_map(|pair| pair.strip_prefix("model=")).next().map(str::to_owned);
    Handshake { model, beta: request.headers().contains_key("OpenAI-Beta") }
}

/// The status that answers an upgrade instead of 101.
fn refusal(request: &Request, script: &Script) -> Option<StatusCode> {
    if let Some(status) = script.faults.refuse_status {
        return Some(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    }
    let given = request.headers().get("Authorization").and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer "));
    match (given, script.api_key.as_deref()) {
        (None, _) => Some(StatusCode::UNAUTHORIZED),
        (Some(given), Some(wanted)) if given != wanted => Some(StatusCode::UNAUTHORIZED),
        (Some(_), _) => None,
    }
}

async fn carry<S>(mut socket: WebSocketStream<S>, mut core: Core, log: &Log, number: u64)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        while let Some(departure) = core.poll_departure() {
            match departure {
                Departure::Message { text, .. } => {
                    log.push(number, Direction::ToClient, &text);
                    if socket.send(Message::text(text)).await.is_err() {
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
            Some(Ok(Message::Text(text))) => {
                log.push(number, Direction::FromClient, &text);
                core.handle_text(&text, Instant::now());
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
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
