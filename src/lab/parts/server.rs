//! Carries the simulated services over real sockets. Decides nothing.
#![allow(clippy::disallowed_methods, reason = "a driver: time and tasks enter here")]
use super::{
    answer::{Answer, House},
    listener::Listener,
    script::Script,
};
use crate::lab::{
    command,
    script::read,
    server::{Departure, Direction, Logged, OPEN, Tls, self_signed},
    voice::Voice,
};
use anyhow::Context as _;
use futures_util::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Bytes, Frame, Incoming},
    header::{CONNECTION, CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use providers::{HttpRequest, Method};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::{Sleep, sleep_until, timeout, timeout_at},
};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, frame::coding::CloseCode},
    },
};

/// The largest request: a turn of half a minute at 24 kHz fits well.
const MAX_BODY: usize = 8 << 20;
/// How long a request may take to arrive.
const ARRIVE: Duration = Duration::from_secs(30);
/// How long a client may take to answer a close.
const CLOSE: Duration = Duration::from_secs(1);

/// All services at one address; dropping it closes all connections.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    certificate_pem: Option<String>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Listens. `log` gets every message, request and abort; what does not fit into it is dropped.
    ///
    /// # Errors
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
        let house = Arc::new(House::new(script, Arc::new(Voice::default())));
        let shared = Shared { house, log, connections: Arc::default() };
        let task = tokio::spawn(accept(listener, acceptor, shared));
        Ok(Self { address, certificate_pem, task })
    }

    /// What a client is configured with.
    pub fn url(&self) -> String {
        let scheme = if self.certificate_pem.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// What a client must trust, with TLS.
    pub fn certificate_pem(&self) -> Option<&str> {
        self.certificate_pem.as_deref()
    }
}

/// `ramal lab parts`.
///
/// # Errors
/// When the script or the certificate file is not usable, or the address is taken.
pub(in crate::lab) fn run(args: &command::Args) -> anyhow::Result<()> {
    let script = args.script().map(read::<Script>).transpose()?.unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (listen, tls, log, logged) = args.listening();
        let server = Server::start(listen, script, tls, log).await?;
        command::serve("Parts of a conversation", args, (&server.url(), server.certificate_pem()), logged).await
    })
}

#[derive(Clone)]
struct Shared {
    house: Arc<House>,
    log: Option<mpsc::Sender<Logged>>,
    connections: Arc<AtomicU64>,
}

impl Shared {
    fn log(&self, connection: u64, direction: Direction, text: String) {
        if let Some(log) = &self.log {
            // A full log loses the newest; nobody waits for a terminal.
            let _ = log.try_send(Logged { connection, at: Instant::now(), direction, text });
        }
    }
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, shared: Shared) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        connections.spawn(connection(stream, acceptor.clone(), shared.clone()));
    }
}

async fn connection(stream: TcpStream, acceptor: Option<TlsAcceptor>, shared: Shared) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let number = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
    match acceptor {
        None => serve(stream, number, shared).await,
        Some(acceptor) => {
            if let Ok(Ok(stream)) = timeout(OPEN, acceptor.accept(stream)).await {
                serve(stream, number, shared).await;
            }
        }
    }
}

async fn serve<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: T, number: u64, shared: Shared) {
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(respond(request, number, shared).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // A client that breaks its connection has its reasons.
    let _ = connection.with_upgrades().await;
}

async fn respond(request: Request<Incoming>, number: u64, shared: Shared) -> Response<Paced> {
    let headers = request.headers().iter();
    let headers: Vec<(String, String)> =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned())).collect();
    let url = request.uri().path_and_query().map_or("/", |url| url.as_str()).to_owned();
    if request.headers().contains_key(UPGRADE) {
        return upgrade(request, (&url, &headers), number, shared);
    }
    let method = if request.method() == hyper::Method::GET { Method::Get } else { Method::Post };
    let body = match timeout(ARRIVE, http_body_util::Limited::new(request.into_body(), MAX_BODY).collect()).await {
        Ok(Ok(body)) => body.to_bytes().to_vec(),
        Ok(Err(_)) | Err(_) => return empty(StatusCode::BAD_REQUEST),
    };
    let path = url.split('?').next().unwrap_or_default().to_owned();
    let asked: Value = serde_json::from_slice(&body).unwrap_or_else(|_| json!({"bytes": body.len()}));
    shared.log(number, Direction::FromClient, json!({"type": "request", "path": path, "body": asked}).to_string());
    let answer = shared.house.answer(&HttpRequest { method, url, headers, body }, Instant::now());
    paced(answer, path, number, shared)
}

fn empty(status: StatusCode) -> Response<Paced> {
    let mut response = Response::new(Paced::default());
    *response.status_mut() = status;
    response
}

fn paced(answer: Answer, path: String, number: u64, shared: Shared) -> Response<Paced> {
    let Answer { status, content_type, pieces, complete } = answer;
    shared.log(number, Direction::ToClient, json!({"type": "response", "path": path, "status": status}).to_string());
    let pieces: VecDeque<_> = pieces.into();
    let watched = Some((shared, number, path));
    let mut response = Response::new(Paced { pieces, complete, sleep: None, watched });
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn upgrade(
    mut request: Request<Incoming>,
    (url, headers): (&str, &[(String, String)]),
    number: u64,
    shared: Shared,
) -> Response<Paced> {
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes())) else {
        return empty(StatusCode::BAD_REQUEST);
    };
    let listener = match Listener::open(&shared.house, url, headers, Instant::now()) {
        Ok(listener) => listener,
        Err(status) => return empty(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST)),
    };
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(Ok(upgraded)) = timeout(OPEN, upgraded).await {
            let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
            carry(socket, listener, number, &shared).await;
        }
    });
    let mut response = empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(key) = HeaderValue::try_from(key) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, key);
    }
    response
}

async fn carry<T: AsyncRead + AsyncWrite + Unpin>(
    mut socket: WebSocketStream<T>,
    mut core: Listener,
    number: u64,
    shared: &Shared,
) {
    loop {
        while let Some(departure) = core.poll_departure() {
            match departure {
                Departure::Message { text, .. } => {
                    shared.log(number, Direction::ToClient, text.clone());
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
                shared.log(number, Direction::FromClient, text.to_string());
                core.handle_text(&text, Instant::now());
            }
            Some(Ok(Message::Binary(bytes))) => core.handle_binary(&bytes, Instant::now()),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
        }
    }
}

async fn close<T: AsyncRead + AsyncWrite + Unpin>(mut socket: WebSocketStream<T>, code: u16, reason: String) {
    let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
    if socket.close(Some(frame)).await.is_ok() {
        // Until the client has answered; a reset before would take the close frame with it.
        let _ = timeout(CLOSE, async { while let Some(Ok(_)) = socket.next().await {} }).await;
    }
}

/// A body whose pieces come at their times. One that is dropped before its end is told of.
#[derive(Default)]
struct Paced {
    pieces: VecDeque<(Instant, Vec<u8>)>,
    complete: bool,
    sleep: Option<Pin<Box<Sleep>>>,
    watched: Option<(Shared, u64, String)>,
}

impl fmt::Debug for Paced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paced").field("pieces", &self.pieces.len()).finish_non_exhaustive()
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some((at, _)) = self.pieces.front() else {
            let over = self.complete || self.watched.is_none();
            return if over { Poll::Ready(None) } else { Poll::Pending };
        };
        let at = *at;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at.into())));
        if sleep.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.sleep = None;
        let piece = self.pieces.pop_front().map(|(_, piece)| Ok(Frame::data(Bytes::from(piece))));
        Poll::Ready(piece)
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        if self.pieces.is_empty() && self.complete {
            return;
        }
        if let Some((shared, number, path)) = self.watched.take() {
            shared.log(number, Direction::FromClient, json!({"type": "aborted", "path": path}).to_string());
        }
    }
}
