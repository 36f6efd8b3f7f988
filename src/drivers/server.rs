//! The whole server: what `ramal serve` and the demo run.
use super::{
    admission::Admission,
    call_task::Shared,
    media_threads::MediaThreads,
    rtp_socket::Ports,
    seed,
    sip_socket::{self, Request, Sockets},
};
use crate::{
    call,
    config::{self, Config},
    ladder::Ears,
    speech::{Engine, EngineConfig},
    store::{self, Pace, Spill, Store},
};
use anyhow::Context;
use providers::local::Language;
use sip::{
    Event, LegId, RegistrationId,
    endpoint::{Config as EndpointConfig, Endpoint},
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    thread::available_parallelism,
    time::Duration,
};
use tokio::{
    sync::{broadcast, mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tracing::{info, warn};
use uuid::Uuid;

/// SIP events that may wait for the dispatcher; the SIP task then waits, and peers retransmit.
const EVENTS: usize = 4_096;
/// SIP events that may wait for one call; a call that does not take them is stuck, and they are dropped with a warning.
const CALL_EVENTS: usize = 64;
/// Call events that may wait for a watcher; a slow one loses the oldest.
const WATCHED: usize = 4_096;
/// How long the goodbyes of SIP (BYE, unregister) may take at the end.
const SIP_GOODBYE: Duration = Duration::from_secs(5);
/// How long the last records may take to be stored or spilt.
const STORE_GOODBYE: Duration = Duration::from_secs(10);

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// Where it listens, as bound.
    pub udp: Option<SocketAddr>,
    /// Where it listens, as bound.
    pub tcp: Option<SocketAddr>,
    /// The speech engine, for whoever wants to speak beside the calls.
    pub engine: Arc<Engine>,
    /// Where conversations are.
    pub store: Arc<dyn Store>,
    drain: Duration,
    admission: Arc<Admission>,
    registrations: Vec<RegistrationId>,
    requests: mpsc::Sender<Request>,
    watch: broadcast::Sender<(Uuid, call::Event)>,
    stop: watch::Sender<bool>,
    sip: JoinHandle<()>,
    dispatcher: JoinHandle<()>,
    writer: JoinHandle<()>,
}

impl Server {
    /// Opens the store, binds the sockets, starts threads and registrations.
    ///
    /// # Errors
    /// The first thing that cannot be had, with its name.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let config = Arc::new(config);
        let cores = available_parallelism().map_or(1, usize::from);
        let store = store::connect(&config.database).await.context("the database")?;
        for entry in &config.secretaries {
            store.upsert_secretary(entry).await.context("a secretary of the configuration")?;
        }
        let (records, writer) =
            store::recorder(Arc::clone(&store), Spill::new(&config.database.spill), Pace::default());
        let writer = tokio::spawn(writer.run());
        let engine = Arc::new(Engine::start(&EngineConfig {
            models_dir: config.local.models_dir.clone(),
            threads: config.local.threads.and_then(|threads| usize::try_from(threads).ok()).unwrap_or(cores),
        }));
        let sockets = Sockets::bind(config.sip.udp.first().copied(), config.sip.tcp.first().copied()).await?;
        let udp = sockets.udp.as_ref().map(tokio::net::UdpSocket::local_addr).transpose()?;
        let tcp = sockets.tcp.as_ref().map(tokio::net::TcpListener::local_addr).transpose()?;
        let endpoint = Endpoint::new(endpoint_config(&config, udp, tcp), seed());
        let (requests, request_queue) = mpsc::channel(sip_socket::REQUESTS);
        let (event_sender, events) = mpsc::channel(EVENTS);
        let sip = tokio::spawn(sip_socket::run(endpoint, sockets, request_queue, event_sender));
        let (registrations, registrars) = register(&config, &requests).await;
        let (stop, stopped) = watch::channel(false);
        let (watch, _) = broadcast::channel(WATCHED);
        let threads = config.media.threads.and_then(|threads| usize::try_from(threads).ok()).unwrap_or(cores);
        let admission = Arc::new(Admission {
            ports: Ports::new(config.rtp.address, config.rtp.ports.first..=config.rtp.ports.last),
            threads: MediaThreads::start(threads)?,
            ears: ears(&engine),
            registrars,
            shared: Shared {
                sip: requests.clone(),
                engine: Arc::clone(&engine),
                tls: tls(&config)?,
                records,
                watch: watch.clone(),
                stop: stopped,
            },
            store: Arc::clone(&store),
            config: Arc::clone(&config),
        });
        let dispatcher = tokio::spawn(dispatch(events, Arc::clone(&admission)));
        let drain = config.call.drain;
        Ok(Self {
            udp,
            tcp,
            engine,
            store,
            drain,
            admission,
            registrations,
            requests,
            watch,
            stop,
            sip,
            dispatcher,
            writer,
        })
    }

    /// Everything that happens on calls from now on.
    pub fn watch(&self) -> broadcast::Receiver<(Uuid, call::Event)> {
        self.watch.subscribe()
    }

    /// Calls that are up.
    pub fn calls(&self) -> usize {
        self.admission.threads.calls()
    }

    /// Takes no new calls, leaves those that are up the configured time (or until `hurry` resolves), then ends them,
    /// unregisters, and stores what is left to store.
    pub async fn stop(self, hurry: impl Future<Output = ()>) {
        self.ask(Request::Drain);
        let all_gone = async {
            while self.calls() > 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            _ = timeout(self.drain, all_gone) => {}
            () = hurry => {}
        }
        for id in &self.registrations {
            self.ask(Request::Unregister(*id));
        }
        // Calls hear it when their task next wakes, within 20 ms.
        let _ = self.stop.send(true);
        let ended = async {
            while self.calls() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = timeout(SIP_GOODBYE, ended).await;
        let Self { requests, sip, dispatcher, admission, writer, .. } = self;
        drop(requests);
        // The dispatcher holds the admission, and the admission a sender of requests: it goes first.
        let goodbye = async {
            dispatcher.abort();
            let _ = dispatcher.await;
            drop(admission);
            let _ = sip.await;
        };
        if timeout(SIP_GOODBYE, goodbye).await.is_err() {
            warn!("some peers did not answer our goodbye");
        }
        if timeout(STORE_GOODBYE, writer).await.is_err() {
            warn!("the last conversations could not be stored in time; they are in the spill file");
        }
        info!("Stopped");
    }

    fn ask(&self, request: Request) {
        if self.requests.try_send(request).is_err() {
            warn!("the SIP task does not take requests");
        }
    }
}

fn endpoint_config(config: &Config, udp: Option<SocketAddr>, tcp: Option<SocketAddr>) -> EndpointConfig {
    let advertised = |bound: SocketAddr| SocketAddr::new(config.sip.advertised.unwrap_or(bound.ip()), bound.port());
    EndpointConfig {
        user_agent: config.sip.user_agent.clone(),
        udp: udp.map(advertised),
        tcp: tcp.map(advertised),
        max_legs: usize::try_from(config.sip.max_calls).unwrap_or(usize::MAX),
    }
}

fn ears(engine: &Engine) -> Ears {
    let able = engine.capabilities();
    let engines = [Language::EnUs, Language::PtBr].map(|language| (language, able.identity(language)));
    Ears { hearing: able.hearing(), voices: able.voices.keys().copied().collect(), engines: engines.to_vec() }
}

/// Public roots, and the administrator's own.
fn tls(config: &Config) -> anyhow::Result<Arc<rustls::ClientConfig>> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = &config.openai.ca_file {
        let shown = path.display();
        for certificate in CertificateDer::pem_file_iter(path).with_context(|| format!("[openai] ca_file {shown}"))? {
            roots.add(certificate.with_context(|| format!("[openai] ca_file {shown}"))?)?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// Starts every registration whose registrar has an address.
async fn register(config: &Config, requests: &mpsc::Sender<Request>) -> (Vec<RegistrationId>, Vec<IpAddr>) {
    let (mut ids, mut registrars) = (Vec::new(), Vec::new());
    for (number, registration) in (0_u32..).zip(&config.registrations) {
        let Some(registrar) = resolve(&registration.registrar).await else {
            warn!(registrar = %registration.registrar.host, user = %registration.user, "The registrar's name has no address");
            continue;
        };
        let id = RegistrationId(number);
        let registration = sip::Registration {
            registrar,
            transport: registration.transport,
            domain: registration.domain.clone(),
            user: registration.user.clone(),
            auth_user: registration.auth_user.clone(),
            password: registration.password.expose().to_owned(),
            contact_user: registration.contact_user.clone(),
            expires: registration.expires,
        };
        if requests.send(Request::Register(id, registration)).await.is_ok() {
            ids.push(id);
            registrars.push(registrar.ip());
        }
    }
    (ids, registrars)
}

async fn resolve(at: &config::HostPort) -> Option<SocketAddr> {
    let mut found =
        timeout(Duration::from_secs(5), tokio::net::lookup_host((at.host.as_str(), at.port))).await.ok()?.ok()?;
    found.next()
}

/// Routes SIP events to the calls they belong to.
async fn dispatch(mut events: mpsc::Receiver<Event>, admission: Arc<Admission>) {
    let mut calls: BTreeMap<LegId, mpsc::Sender<Event>> = BTreeMap::new();
    while let Some(event) = events.recv().await {
        match event {
            Event::Incoming { leg, invite } => {
                calls.retain(|_, call| !call.is_closed());
                let (to_call, sip) = mpsc::channel(CALL_EVENTS);
                calls.insert(leg, to_call);
                let admission = Arc::clone(&admission);
                tokio::spawn(async move { admission.admit(leg, *invite, sip).await });
            }
            Event::Registration { id, state } => {
                let user = admission.config.registrations.get(id.0 as usize).map(|r| r.user.as_str());
                info!(user, ?state, "Registration");
            }
            event @ (Event::Cancelled { leg }
            | Event::Failed { leg, .. }
            | Event::Bye { leg, .. }
            | Event::Terminated { leg, .. }) => {
                if let Some(call) = calls.remove(&leg) {
                    deliver(&call, event, leg);
                }
            }
            event @ (Event::Established { leg, .. }
            | Event::Progress { leg, .. }
            | Event::Offer { leg, .. }
            | Event::OfferAnswered { leg, .. }
            | Event::Info { leg, .. }
            | Event::Refer { leg, .. }) => {
                if let Some(call) = calls.get(&leg) {
                    deliver(call, event, leg);
                }
            }
        }
    }
}

fn deliver(call: &mpsc::Sender<Event>, event: Event, leg: LegId) {
    match call.try_send(event) {
        // A call that has just ended needs to know nothing more.
        Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
        Err(mpsc::error::TrySendError::Full(_)) => warn!(%leg, "the call does not take SIP events"),
    }
}
