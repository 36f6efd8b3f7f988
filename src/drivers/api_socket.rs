//! The socket of the HTTP API: connections, TLS, deadlines, and an end that lets answers go out.
use super::{control::Sources, house::Host, paced::Paced, sip_socket::tls::Tls};
use crate::{
    api::{self, Api, Peer},
    config::{self, Config},
    seats::Seats,
    store::Store,
};
use anyhow::Context;
use axum::{Router, body::Body};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{io, net::IpAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tower_service::Service;
use tracing::{debug, info, warn};

/// How long a client may take for its handshake, and for the head of a request; so long a connection may be idle.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a client may read nothing of its answer.
const UNREAD: Duration = Duration::from_secs(30);
/// Most bytes of a request's head.
const LONGEST_HEAD: usize = 32 * 1_024;
/// Most headers of a request.
const MOST_HEADERS: usize = 64;
/// How long we wait after a client that could not be accepted, mostly for want of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// How long answers may take to go out at the end.
const GOODBYE: Duration = Duration::from_secs(3);

/// How far a server is with its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It takes calls.
    Open,
    /// It takes no new ones, and is asked whether they are over.
    Draining,
    /// It answers nothing new.
    Closing,
}

/// The API as it runs.
#[derive(Debug)]
pub(super) struct Serving {
    stage: watch::Sender<Stage>,
    task: JoinHandle<()>,
    following: Option<JoinHandle<()>>,
}

impl Serving {
    /// Binds the configured socket and answers on it; `None` where none is configured.
    ///
    /// # Errors
    /// The address cannot be had, or a certificate cannot be read.
    pub(super) async fn start(
        sources: Sources,
        store: &Arc<dyn Store>,
        config: watch::Receiver<Arc<Config>>,
    ) -> anyhow::Result<Option<Self>> {
        let now = Arc::clone(&config.borrow());
        let Some(api) = &now.control.api else { return Ok(None) };
        let (stage, ends) = watch::channel(Stage::Open);
        let host = Arc::new(Host::new(sources, Arc::clone(store), &now, ends.clone())?);
        let router = api::router(Api::new(Arc::clone(store), host, config, api.open_pages));
        let listener = TcpListener::bind(api.listen).await.with_context(|| format!("listen {}", api.listen))?;
        let (tls, following) = tls(api).map(Option::unzip)?;
        info!(address = %listener.local_addr()?, tls = tls.is_some(), "HTTP API");
        let size = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        let room = Arc::new(Semaphore::new(size(api.connections)));
        let seats = Arc::new(Seats::new(size(api.connections_per_address)));
        let task = tokio::spawn(accept(listener, Connections { router, tls, room, seats, ends }));
        Ok(Some(Self { stage, task, following }))
    }

    /// Says to whoever asks that no new calls are taken.
    pub(super) fn drain(&self) {
        self.stage.send_replace(Stage::Draining);
    }

    /// Lets the answers go out that have begun, and ends.
    pub(super) async fn close(mut self) {
        self.stage.send_replace(Stage::Closing);
        if timeout(GOODBYE, &mut self.task).await.is_err() {
            debug!("some clients of the API did not take their answer");
            self.task.abort();
        }
        self.following.iter().for_each(JoinHandle::abort);
    }
}

/// Certificates as they are now, read again when they change.
type Certificates = watch::Receiver<Arc<Tls>>;

fn tls(api: &config::Api) -> anyhow::Result<Option<(Certificates, JoinHandle<()>)>> {
    let Some(identity) = api.identity.clone() else { return Ok(None) };
    let config = config::Tls { identity: Some(identity), ..config::Tls::default() };
    let (current, certificates) = watch::channel(Arc::new(Tls::load(&config)?));
    Ok(Some((certificates, tokio::spawn(Tls::follow(config, Arc::new(current))))))
}

/// What all connections share.
#[derive(Clone)]
struct Connections {
    router: Router,
    tls: Option<Certificates>,
    room: Arc<Semaphore>,
    /// Those of each address.
    seats: Arc<Seats<IpAddr>>,
    ends: watch::Receiver<Stage>,
}

/// Takes connections until the server closes; then waits for those there are, which end with this task at the latest.
async fn accept(listener: TcpListener, mut shared: Connections) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, from) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    debug!(%error, "the API takes nobody");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
            () = closing(&mut shared.ends) => break,
        };
        let Some(seat) = shared.seats.take(from.ip()) else {
            debug!(%from, "this address has as many connections to the API as it may");
            continue;
        };
        let Ok(permit) = Arc::clone(&shared.room).try_acquire_owned() else {
            warn!(%from, "the API has as many connections as it may");
            continue;
        };
        let shared = shared.clone();
        connections.spawn(async move {
            shared.serve(stream, from.ip()).await;
            drop((seat, permit));
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Until nothing new is answered; a server that is gone answers nothing.
async fn closing(ends: &mut watch::Receiver<Stage>) {
    let _ = ends.wait_for(|stage| *stage == Stage::Closing).await;
}

impl Connections {
    async fn serve(self, stream: TcpStream, from: IpAddr) {
        let tls = self.tls.as_ref().map(|tls| Arc::clone(&tls.borrow()));
        let Some(tls) = tls else { return self.talk(stream, from).await };
        match timeout(PATIENCE, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.talk(stream, from).await,
            Ok(Err(error)) => debug!(%from, %error, "no TLS with a client of the API"),
            Err(_) => debug!(%from, "a client of the API is slow to begin"),
        }
    }

    async fn talk(mut self, stream: impl AsyncRead + AsyncWrite + Unpin, from: IpAddr) {
        let router = self.router;
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Peer(from));
            // What has begun is done and told, whether or not somebody waits for the answer.
            let answer = tokio::spawn(router.clone().call(request));
            async { answer.await.map(|Ok(response)| response).map_err(io::Error::other) }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
        http.max_headers(MOST_HEADERS).max_buf_size(LONGEST_HEAD);
        let mut connection = pin!(http.serve_connection(TokioIo::new(Paced::new(stream, UNREAD)), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = closing(&mut self.ends) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            debug!(%from, %error, "a client of the API went away");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use std::net::SocketAddr;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::mpsc,
    };

    const ASKED: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

    /// What all connections share, with so many of an address.
    fn shared(router: Router, of_one: usize) -> (watch::Sender<Stage>, Connections) {
        let (stage, ends) = watch::channel(Stage::Open);
        let (room, seats) = (Arc::new(Semaphore::new(9)), Arc::new(Seats::new(of_one)));
        (stage, Connections { router, tls: None, room, seats, ends })
    }

    /// Otherwise half of a deed would be done, and told to nobody.
    #[tokio::test]
    async fn what_has_begun_is_done_although_the_client_goes() {
        let (told, mut happened) = mpsc::channel(2);
        let (goes_on, go) = watch::channel(false);
        let handler = move || {
            let (told, mut go) = (told.clone(), go.clone());
            async move {
                told.send("begun").await.unwrap();
                go.wait_for(|go| *go).await.unwrap();
                told.send("done").await.unwrap();
            }
        };
        let (_stage, connections) = shared(Router::new().route("/", get(handler)), 9);
        let (ours, mut theirs) = tokio::io::duplex(1_024);
        let talking = tokio::spawn(connections.talk(ours, IpAddr::from([127, 0, 0, 1])));
        theirs.write_all(ASKED).await.unwrap();
        assert_eq!(happened.recv().await, Some("begun"));
        drop(theirs);
        timeout(Duration::from_secs(20), talking).await.unwrap().unwrap();
        goes_on.send(true).unwrap();
        let done = timeout(Duration::from_secs(20), happened.recv()).await.unwrap();
        assert_eq!(done, Some("done"));
    }

    /// What a client at this address is told; nothing if it is sent away.
    async fn asked(at: SocketAddr) -> String {
        let mut stream = TcpStream::connect(at).await.unwrap();
        let mut told = Vec::new();
        // It may be sent away before it has said anything.
        if stream.write_all(ASKED).await.is_ok() {
            let _ = stream.read_to_end(&mut told).await;
        }
        String::from_utf8(told).unwrap()
    }

    #[tokio::test]
    async fn an_address_has_so_many_connections_and_has_them_again_when_they_end() {
        let (stage, connections) = shared(Router::new().route("/", get(|| async { "here" })), 2);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let task = tokio::spawn(accept(listener, connections));
        let held = [TcpStream::connect(at).await.unwrap(), TcpStream::connect(at).await.unwrap()];
        assert_eq!(asked(at).await, "", "one more is closed");
        drop(held);
        let again = async { while !asked(at).await.ends_with("here") {} };
        timeout(Duration::from_secs(20), again).await.unwrap();
        stage.send_replace(Stage::Closing);
        timeout(Duration::from_secs(20), task).await.unwrap().unwrap();
    }
}
