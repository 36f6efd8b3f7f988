//! The socket of the HTTP API: connections, TLS, deadlines, and an end that lets answers go out.
use super::{control::Sources, house::Host, paced::Paced, sip_socket::tls::Tls};
use crate::{
    api::{self, Api, Peer},
    config::{self, Config},
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
        let room = Arc::new(Semaphore::new(usize::try_from(api.connections).unwrap_or(usize::MAX)));
        let task = tokio::spawn(accept(listener, Connections { router, tls, room, ends }));
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
        let Ok(permit) = Arc::clone(&shared.room).try_acquire_owned() else {
            warn!(%from, "the API has as many connections as it may");
            continue;
        };
        let shared = shared.clone();
        connections.spawn(async move {
            shared.serve(stream, from.ip()).await;
            drop(permit);
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
