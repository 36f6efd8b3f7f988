//! One WebSocket connection to a provider, on the call's own thread.
use futures_util::{SinkExt, StreamExt};
use providers::{Disconnect, Incoming, Outgoing};
use std::{cell::Cell, io, sync::Arc, time::Duration};
use tokio::{
    net::TcpStream,
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        http::{HeaderName, HeaderValue, Request, Uri},
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};

/// Resolving, connecting, TLS and the upgrade, together.
const OPEN: Duration = Duration::from_secs(6);
/// Messages to the provider that may wait; then the dialect keeps its own backlog, and trims it by its own policy.
const OUTBOX: usize = 64;
/// Messages from the provider that may wait for the call; then the connection is not read, and TCP slows the provider.
const INBOX: usize = 256;
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
    /// No connection, or no longer; nothing follows.
    Disconnected(Disconnect),
}

/// The call's end of a connection. Dropping it closes the connection.
#[derive(Debug)]
pub struct Connection {
    /// To the provider.
    pub outbox: mpsc::Sender<Outgoing>,
    /// From the provider.
    pub inbox: mpsc::Receiver<FromProvider>,
}

/// Opens a connection; must be called on a thread with a `LocalSet`.
pub fn open(url: String, headers: Vec<(String, String)>, tls: Arc<rustls::ClientConfig>) -> Connection {
    let (outbox, to_send) = mpsc::channel(OUTBOX);
    let (to_call, inbox) = mpsc::channel(INBOX);
    tokio::task::spawn_local(async move {
        let how = match connect(&url, &headers, tls).await {
            Ok(socket) => carry(socket, to_send, &to_call).await,
            Err(how) => how,
        };
        // The call may have ended first.
        let _ = to_call.send(FromProvider::Disconnected(how)).await;
    });
    Connection { outbox, inbox }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(
    url: &str,
    headers: &[(String, String)],
    tls: Arc<rustls::ClientConfig>,
) -> Result<Socket, Disconnect> {
    let deadline = Instant::now() + OPEN;
    let unreachable = |what: &dyn std::fmt::Display| Disconnect::Unreachable(what.to_string());
    let request = request(url, headers).map_err(|e| unreachable(&e))?;
    let authority = authority(request.uri()).ok_or_else(|| unreachable(&"the URL has no host"))?;
    let stream = timeout_at(deadline, TcpStream::connect(authority))
        .await
        .map_err(|_| unreachable(&"no TCP connection in time"))?
        .map_err(|e| unreachable(&e))?;
    stream.set_nodelay(true).map_err(|e| unreachable(&e))?;
    let config = WebSocketConfig::default()
        .read_buffer_size(16 << 10)
        .write_buffer_size(0)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let opening = client_async_tls_with_config(request, stream, Some(config), Some(Connector::Rustls(tls)));
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

async fn carry(
    socket: Socket,
    mut to_send: mpsc::Receiver<Outgoing>,
    to_call: &mpsc::Sender<FromProvider>,
) -> Disconnect {
    let broken = Disconnect::Closed(None);
    if to_call.send(FromProvider::Connected).await.is_err() {
        return broken;
    }
    let (mut sink, mut stream) = socket.split();
    let heard = Cell::new(Instant::now());
    let write = async {
        let mut ping = tokio::time::interval(PING);
        loop {
            let message = tokio::select! {
                outgoing = to_send.recv() => match outgoing {
                    Some(Outgoing::Text(text)) => Message::text(text),
                    Some(Outgoing::Binary(bytes)) => Message::binary(bytes),
                    Some(Outgoing::Close) | None => {
                        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
                        // Either way the connection is over.
                        let _ = sink.send(Message::Close(Some(frame))).await;
                        return broken.clone();
                    }
                    // An engine's job has no business on a socket; the dialect's endpoint says which it is.
                    Some(Outgoing::Job(..)) => continue,
                },
                _ = ping.tick() => {
                    if heard.get().elapsed() >= QUIET {
                        return Disconnect::Unreachable(format!("silent for {} s", QUIET.as_secs()));
                    }
                    Message::Ping(Vec::new().into())
                }
            };
            if sink.send(message).await.is_err() {
                return broken.clone();
            }
        }
    };
    let read = async {
        while let Some(Ok(message)) = stream.next().await {
            heard.set(Instant::now());
            let incoming = match message {
                Message::Text(text) => Incoming::Text(text.as_str().to_owned()),
                Message::Binary(bytes) => Incoming::Binary(bytes.to_vec()),
                Message::Close(frame) => {
                    return Disconnect::Closed(frame.map(|f| (u16::from(f.code), f.reason.as_str().to_owned())));
                }
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            if to_call.send(FromProvider::Message(incoming)).await.is_err() {
                return broken.clone();
            }
        }
        broken.clone()
    };
    tokio::select! {
        // Read first: a close frame says more than a failed write.
        biased;
        how = read => how,
        how = write => how,
    }
}
