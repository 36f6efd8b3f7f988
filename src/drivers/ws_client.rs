//! One WebSocket connection to a provider, owned and polled by its call's task: a message crosses no queue and wakes no
//! other task on its way.
use super::{
    bell::Bell,
    signed_url,
    spares::{Authority, Spares},
};
use futures_util::{Sink, SinkExt, StreamExt};
use providers::{Disconnect, Incoming, Outgoing};
use std::{
    fmt,
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::{
    net::TcpStream,
    time::{Instant, Interval, interval_at, timeout_at},
};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config, client_async_with_config,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        handshake::client::Response,
        http::{HeaderName, HeaderValue, Request, Uri},
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};

/// Resolving, connecting, TLS and the upgrade, together.
const OPEN: Duration = Duration::from_secs(6);
/// A provider that says so many things has taken the conversation; whoever refuses says one or two.
pub(super) const TAKEN: u32 = 16;
/// The upgrade over a connection that was made in advance; one that is slower may be dead without anybody knowing.
const SPARE: Duration = Duration::from_secs(1);
/// Largest message a provider may send: OpenAI's session echo and audio deltas stay far below.
const MAX_MESSAGE: usize = 4 << 20;
/// The provider is pinged this often, whatever else is sent.
const PING: Duration = Duration::from_secs(5);
/// A provider that sends nothing for this long, not even a pong, is gone, whatever TCP says.
const QUIET: Duration = Duration::from_secs(15);

/// What a connection tells its call.
#[derive(Debug)]
pub enum FromProvider {
    /// The connection is open.
    Connected,
    /// A message.
    Message(Incoming),
    /// The kernel takes messages again.
    Writable,
    /// No connection, or no longer; nothing follows.
    Disconnected(Disconnect),
}

/// A call's connection. While the call does not read it, TCP slows the provider; while the kernel does not take what is
/// sent, messages stay in the dialect, which bounds and trims its own backlog. Dropping it closes the connection.
#[derive(Debug)]
pub struct Connection(State);

enum State {
    Opening(Pin<Box<dyn Future<Output = Result<Open, Disconnect>>>>),
    Open(Box<Open>),
    /// We closed it, and have not told yet.
    Closed,
    Over,
}

impl fmt::Debug for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Opening(_) => "Opening",
            Self::Open(_) => "Open",
            Self::Closed => "Closed",
            Self::Over => "Over",
        })
    }
}

/// What connections are opened with.
#[derive(Clone, Debug)]
pub struct Dialer {
    /// Whom certificates are trusted by.
    pub tls: Arc<rustls::ClientConfig>,
    /// Connections made in advance; nothing where there is no next call.
    pub spares: Option<Spares>,
}

impl Connection {
    /// Begins to open a connection; [`Self::next`] carries on with it.
    pub fn open(url: String, headers: Vec<(String, String)>, dialer: Dialer) -> Self {
        Self(State::Opening(Box::pin(async move { connect(&url, &headers, &dialer).await })))
    }

    /// The same, at an address that is asked for first.
    pub fn open_signed(request: signed_url::Request, http: ureq::Agent, dialer: Dialer) -> Self {
        Self(State::Opening(Box::pin(async move {
            let url = signed_url::fetch(http, request).await?;
            connect(&url, &[], &dialer).await
        })))
    }

    /// What comes next of it. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> FromProvider {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// Whether a message can be sent at this moment; if not, [`FromProvider::Writable`] tells when.
    pub fn takes_more(&mut self) -> bool {
        match &mut self.0 {
            State::Open(open) => open.takes_more(),
            State::Opening(_) | State::Closed | State::Over => false,
        }
    }

    /// Sends a message; what an open connection does not take any more is lost with the connection.
    pub fn send(&mut self, outgoing: Outgoing) {
        let State::Open(open) = &mut self.0 else { return };
        match outgoing {
            Outgoing::Text(text) => open.send(Message::text(text)),
            Outgoing::Binary(bytes) => open.send(Message::binary(bytes)),
            // Its frame goes out when it is dropped.
            Outgoing::Close => self.0 = State::Closed,
            // An engine's job has no business on a socket; the dialect's endpoint says which it is.
            // Nor has what is meant for another connection.
            Outgoing::Job(..) | Outgoing::Ahead(_) => {}
        }
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<FromProvider> {
        let told = match &mut self.0 {
            State::Opening(opening) => match ready!(opening.as_mut().poll(context)) {
                Ok(open) => {
                    self.0 = State::Open(Box::new(open));
                    return Poll::Ready(FromProvider::Connected);
                }
                Err(how) => FromProvider::Disconnected(how),
            },
            State::Open(open) => ready!(open.poll_next(context)),
            State::Closed => FromProvider::Disconnected(BROKEN),
            State::Over => return Poll::Pending,
        };
        if let FromProvider::Disconnected(_) = told {
            self.0 = State::Over;
        }
        Poll::Ready(told)
    }
}

/// A connection that ended without a word.
const BROKEN: Disconnect = Disconnect::Closed(None);

/// An open connection.
struct Open {
    socket: Socket,
    ping: Interval,
    of_ping: Bell,
    heard: Instant,
    /// The kernel did not take all of the last message.
    blocked: bool,
    /// All that had arrived was read: there is nothing before the kernel has more.
    drained: bool,
    /// Messages that came.
    said: u32,
    /// To be done once the provider has taken the conversation: it speaks at length.
    next: Option<Next>,
}

/// The connection that is made in advance, after this one.
struct Next {
    spares: Spares,
    at: Authority,
    tls: Arc<rustls::ClientConfig>,
}

impl Open {
    fn new(socket: Socket, next: Option<Next>) -> Self {
        let now = Instant::now();
        let (ping, of_ping) = (interval_at(now + PING, PING), Bell::default());
        Self { socket, ping, of_ping, heard: now, blocked: false, drained: false, said: 0, next }
    }

    fn takes_more(&mut self) -> bool {
        // Nobody is woken by this poll: `poll_next` asks again before the task sleeps.
        let mut context = Context::from_waker(Waker::noop());
        self.blocked = Pin::new(&mut self.socket).poll_ready(&mut context).is_pending();
        !self.blocked
    }

    /// Asks the kernel alone: a call's task wakes a hundred times a second for other reasons, and asking the WebSocket
    /// costs it a cleared buffer each time.
    fn has_arrived(&self, context: &mut Context<'_>) -> bool {
        let stream = match self.socket.get_ref() {
            MaybeTlsStream::Plain(stream) => stream,
            MaybeTlsStream::Rustls(stream) => stream.get_ref().0,
            _ => return true, // no other is ever opened
        };
        stream.poll_read_ready(context).is_ready()
    }

    fn send(&mut self, message: Message) {
        // A broken connection tells of itself when it is read.
        let _ = self.socket.start_send_unpin(message);
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<FromProvider> {
        // Read first: a close frame says more than a failed write.
        while !self.drained || self.has_arrived(context) {
            let Poll::Ready(read) = self.socket.poll_next_unpin(context) else {
                self.drained = true;
                break;
            };
            self.drained = false;
            let Some(Ok(message)) = read else { return Poll::Ready(FromProvider::Disconnected(BROKEN)) };
            self.heard = Instant::now();
            let Some(told) = told(message) else { continue };
            self.said = self.said.saturating_add(1);
            if let Some(Next { spares, at, tls }) = self.next.take_if(|_| self.said >= TAKEN) {
                spares.prepare(&at, &tls);
            }
            return Poll::Ready(told);
        }
        if self.blocked
            && let Poll::Ready(written) = self.socket.poll_flush_unpin(context)
        {
            self.blocked = false;
            return Poll::Ready(written.map_or(FromProvider::Disconnected(BROKEN), |()| FromProvider::Writable));
        }
        while self.of_ping.poll(context, |context| self.ping.poll_tick(context)).is_ready() {
            if self.heard.elapsed() >= QUIET {
                let why = format!("silent for {} s", QUIET.as_secs());
                return Poll::Ready(FromProvider::Disconnected(Disconnect::Unreachable(why)));
            }
            self.send(Message::Ping(Vec::new().into()));
        }
        Poll::Pending
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.send(Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() })));
    }
}

/// What the call is told of a message, if anything.
fn told(message: Message) -> Option<FromProvider> {
    Some(match message {
        Message::Text(text) => FromProvider::Message(Incoming::Text(text.as_str().to_owned())),
        Message::Binary(bytes) => FromProvider::Message(Incoming::Binary(bytes.to_vec())),
        Message::Close(frame) => FromProvider::Disconnected(Disconnect::Closed(
            frame.map(|frame| (u16::from(frame.code), frame.reason.as_str().to_owned())),
        )),
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return None,
    })
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(url: &str, headers: &[(String, String)], dialer: &Dialer) -> Result<Open, Disconnect> {
    let deadline = Instant::now() + OPEN;
    let request = request(url, headers).map_err(|e| unreachable(&e))?;
    let authority = authority(request.uri()).ok_or_else(|| unreachable(&"the URL has no host"))?;
    let secure = request.uri().scheme_str() == Some("wss");
    let spares = dialer.spares.as_ref().filter(|_| secure);
    let opened = match spares.and_then(|spares| spares.take(&authority)) {
        Some(spare) => {
            let stream = MaybeTlsStream::Rustls(*spare);
            let by = deadline.min(Instant::now() + SPARE);
            match opened(client_async_with_config(request.clone(), stream, Some(config())), by).await {
                // It may have been closed this very moment, or lost on the way: that says nothing of the server.
                Err(Disconnect::Unreachable(_)) => fresh(request, &authority, dialer, deadline).await,
                opened => opened,
            }
        }
        None => fresh(request, &authority, dialer, deadline).await,
    };
    let next = spares.map(|spares| Next { spares: spares.clone(), at: authority, tls: Arc::clone(&dialer.tls) });
    opened.map(|socket| Open::new(socket, next))
}

fn unreachable(what: &dyn fmt::Display) -> Disconnect {
    Disconnect::Unreachable(what.to_string())
}

async fn fresh(request: Request<()>, at: &Authority, dialer: &Dialer, deadline: Instant) -> Result<Socket, Disconnect> {
    let stream = timeout_at(deadline, TcpStream::connect(at))
        .await
        .map_err(|_| unreachable(&"no TCP connection in time"))?
        .map_err(|e| unreachable(&e))?;
    stream.set_nodelay(true).map_err(|e| unreachable(&e))?;
    let tls = Some(Connector::Rustls(Arc::clone(&dialer.tls)));
    opened(client_async_tls_with_config(request, stream, Some(config()), tls), deadline).await
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(4 << 10)
        .write_buffer_size(0)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
}

async fn opened(
    opening: impl Future<Output = Result<(Socket, Response), tungstenite::Error>>,
    deadline: Instant,
) -> Result<Socket, Disconnect> {
    match timeout_at(deadline, opening).await {
        Ok(Ok((socket, _response))) => Ok(socket),
        Ok(Err(tungstenite::Error::Http(response))) => Err(Disconnect::Refused(response.status().as_u16())),
        Ok(Err(error)) => Err(unreachable(&error)),
        Err(_) => Err(unreachable(&"no WebSocket in time")),
    }
}
fn request(url: &str, headers: &[(String, String)]) -> Result<Request<()>, io::Error> {
    let invalid = |e: &dyn std::fmt::Display| io::Error::new(io::ErrorKind::InvalidInput, e.to_string());
    let mut request = url.into_client_request().map_err(|e| invalid(&e))?;
    for (name, value) in headers {
        let name = HeaderName::try_from(name.as_str()).map_err(|e| invalid(&e))?;
        let mut value =
            HeaderValue::try_from(value.as_str()).map_err(|_| invalid(&"a header value is not printable"))?;
        value.set_sensitive(true);
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}

fn authority(uri: &Uri) -> Option<(String, u16)> {
    let default = if uri.scheme_str() == Some("wss") { 443 } else { 80 };
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    Some((host, uri.port_u16().unwrap_or(default)))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{https, trust::client},
        *,
    };
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
        thread::{self, JoinHandle},
    };
    use tokio_tungstenite::tungstenite::{WebSocket, accept};

    /// A provider that takes one connection and hands it to `then`.
    fn provider<T: Send + 'static>(
        then: impl FnOnce(WebSocket<TcpStream>) -> T + Send + 'static,
    ) -> (String, JoinHandle<T>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let body = move || then(accept(listener.accept().unwrap().0).unwrap());
        (url, thread::spawn(body))
    }

    /// Nobody is trusted: these connections are plain.
    fn trust() -> Arc<rustls::ClientConfig> {
        client(rustls::RootCertStore::empty()).unwrap()
    }

    fn dialer() -> Dialer {
        Dialer { tls: trust(), spares: None }
    }

    fn open(url: String) -> Connection {
        Connection::open(url, Vec::new(), dialer())
    }

    fn run<F: Future>(test: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    #[test]
    fn messages_go_both_ways_and_the_end_is_polite() {
        let (url, provider) = provider(|mut socket| {
            let first = socket.read().unwrap();
            socket.send(Message::text("hello")).unwrap();
            (first, socket.read().unwrap())
        });
        run(async {
            let mut connection = open(url);
            assert!(!connection.takes_more(), "it is not open yet");
            assert!(matches!(connection.next().await, FromProvider::Connected));
            assert!(connection.takes_more());
            connection.send(Outgoing::Text("audio".into()));
            let FromProvider::Message(Incoming::Text(text)) = connection.next().await else { panic!("no message") };
            assert_eq!(text, "hello");
            connection.send(Outgoing::Close);
            assert!(matches!(connection.next().await, FromProvider::Disconnected(Disconnect::Closed(None))));
        });
        let (first, last) = provider.join().unwrap();
        assert_eq!(first, Message::text("audio"));
        assert!(matches!(last, Message::Close(Some(CloseFrame { code: CloseCode::Normal, .. }))), "{last:?}");
    }

    #[test]
    fn a_provider_that_does_not_read_is_sent_no_more_until_it_does() {
        const PIECE: usize = 1 << 16;
        let (go, wait) = std::sync::mpsc::channel();
        let (url, provider) = provider(move |mut socket| {
            wait.recv().unwrap();
            let mut read = 0;
            while let Ok(Message::Binary(bytes)) = socket.read() {
                read += bytes.len();
            }
            read
        });
        let sent = run(async {
            let mut connection = open(url);
            assert!(matches!(connection.next().await, FromProvider::Connected));
            let mut sent = 0;
            while connection.takes_more() {
                connection.send(Outgoing::Binary(vec![0; PIECE]));
                sent += PIECE;
                assert!(sent < 1 << 28, "nothing ever holds it back");
            }
            go.send(()).unwrap();
            assert!(matches!(connection.next().await, FromProvider::Writable));
            assert!(connection.takes_more());
            sent
        });
        assert_eq!(provider.join().unwrap(), sent, "what was taken arrives whole");
    }

    #[test]
    fn a_provider_that_says_no_is_not_taken_for_one_that_is_away() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4_096]).unwrap();
            stream.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").unwrap();
        });
        let how = run(async { open(url).next().await });
        server.join().unwrap();
        assert!(matches!(how, FromProvider::Disconnected(Disconnect::Refused(401))), "{how:?}");
    }

    #[test]
    fn a_signed_address_is_asked_for_first_and_then_opened() {
        let (url, provider) = provider(|mut socket| socket.send(Message::text("hello")).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let signing = format!("http://{}/get-signed-url", listener.local_addr().unwrap());
        let signer = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4_096]).unwrap();
            let body = format!(r#"{{"signed_url":"{url}?conversation_signature=1"}}"#);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).unwrap();
        });
        let ask = https::Request { url: signing, headers: Vec::new() };
        let request = signed_url::Request { ask, member: "signed_url" };
        run(async {
            let mut connection = Connection::open_signed(request, https::agent(trust()), dialer());
            assert!(matches!(connection.next().await, FromProvider::Connected));
            assert!(matches!(connection.next().await, FromProvider::Message(Incoming::Text(text)) if text == "hello"));
        });
        signer.join().unwrap();
        provider.join().unwrap();
    }
}
