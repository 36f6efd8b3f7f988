//! The whole server: what `ramal serve` and the demo run.
use super::{
    admission::Admission,
    api_socket::Serving,
    archive,
    call_task::Shared,
    control::{self, Sources},
    dns::Dns,
    entries,
    gate::Gate,
    hep_socket, https,
    leases::{Held, Leases},
    library::Library,
    media_board,
    media_threads::MediaThreads,
    names::Names,
    own_calls::OwnCalls,
    receipts,
    recorder::Recorder,
    registrars::{self, Registrars},
    rtp_socket::Ports,
    seed,
    sip_socket::{self, Request, Sockets, tls::Tls},
    switchboard::Switchboard,
    takeover::Line,
    tap::{self, Tap},
    till::Till,
    trust,
};
use crate::{
    accounts::{Account, Source},
    call,
    config::{self, Config, Webhooks},
    ladder::Ears,
    speech::{Engine, EngineConfig},
    store::{self, Changes, Directory, Pace, Spill, Store},
    trace::{self, Entry},
};
use anyhow::Context;
use media::vad;
use providers::{
    Job, JobId,
    local::{Language, Notice},
};
use sip::{
    Event, LegId, Transport,
    endpoint::{Config as EndpointConfig, Endpoint},
    locate::Reach,
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Weak},
    thread::available_parallelism,
    time::{Duration, Instant},
};
use tokio::{
    sync::{Semaphore, broadcast, mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tracing::{Instrument, Span, error_span, field, info, warn};
use ureq::Agent;
use uuid::Uuid;

/// SIP events that may wait for the dispatcher; the SIP task then waits, and peers retransmit.
const EVENTS: usize = 4_096;
/// SIP events that may wait for one call; a call that does not take them is stuck, and they are dropped with a
/// warning, all but the one that ends it.
const CALL_EVENTS: usize = 64;
/// Call events that may wait for a watcher; a slow one loses the oldest.
const WATCHED: usize = 4_096;
/// Orders to calls that may wait for a thread; a thread that is so far behind is stuck.
const ORDERS: usize = 64;
/// How long the goodbyes of SIP (BYE, unregister) may take at the end.
const SIP_GOODBYE: Duration = Duration::from_secs(5);
/// How long the last records may take to be stored or spilt.
const STORE_GOODBYE: Duration = Duration::from_secs(10);

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// Where it listens, as bound, in the order of the configuration.
    pub bound: Vec<(Transport, SocketAddr)>,
    /// The speech engine, for whoever wants to speak beside the calls.
    pub engine: Arc<Engine>,
    /// Where conversations are.
    pub store: Arc<dyn Store>,
    admission: Arc<Admission>,
    registrars: Registrars,
    leases: Leasing,
    requests: mpsc::Sender<Request>,
    watch: broadcast::Sender<(Uuid, call::Event)>,
    stop: watch::Sender<bool>,
    sip_tls: Arc<watch::Sender<Arc<Tls>>>,
    following: JoinHandle<()>,
    config: watch::Sender<Arc<Config>>,
    sip: JoinHandle<()>,
    /// Whoever answers questions on the control socket, who has an ear on the database, and who speaks beforehand.
    asked: Vec<JoinHandle<()>>,
    api: Option<Serving>,
    dispatcher: JoinHandle<()>,
    writer: JoinHandle<()>,
}

impl Server {
    /// Opens the store, binds the sockets, starts threads and registrations.
    ///
    /// # Errors
    /// The first thing that cannot be had, with its name.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let (config, configs) = watch::channel(Arc::new(config));
        let now = Arc::clone(&config.borrow());
        let ports = ports(&now)?;
        let cores = available_parallelism().map_or(1, usize::from);
        let Speaking { bound, reach, requests, events, messages, tls: sip_tls, task: sip } = speak(&now).await?;
        let following = tokio::spawn(Tls::follow(now.tls.clone(), Arc::clone(&sip_tls)));
        // From here on OPTIONS is answered. An INVITE is told 100, and waits for what follows.
        let (store, records, writer) = open_store(&now).await?;
        let (directory, follower) = follow(&store);
        let engine = Arc::new(Engine::start(&engine_config(&now, cores)));
        let rehearsal = tokio::spawn(rehearse(Arc::downgrade(&engine)));
        // Whatever `media.vad` says: there are providers that tell no turns.
        vad::load()?;
        let dns = Arc::new(Dns::new(&now.sip.dns, reach)?);
        let registrars = Registrars::start(&dns, &requests);
        let names = Names::new(dns, &requests);
        registrars.apply(Source::File, accounts(&now)).await;
        let shared = share(&now, &engine, (&store, records), requests.clone())?;
        let (stop, stopped) = watch::channel(false);
        let leases = Leasing::start(node(&bound), &store, &registrars, &requests);
        let (watch, bus) = (shared.watch.clone(), shared.switchboard.bus().clone());
        let admission = Arc::new(Admission {
            ports,
            threads: MediaThreads::start(threads(&now, cores), &shared.orders, &stopped)?,
            ears: ears(&engine),
            registrars: registrars.known.clone(),
            gate: Gate::start(now.tenancy.redis.as_ref())?,
            notices: Semaphore::new(usize::try_from(now.tenancy.limits.notices).unwrap_or(usize::MAX)).into(),
            till: Till::new(Arc::clone(&store), shared.records.node(), webhooks(&now, &shared), bus.clone()),
            own_calls: OwnCalls::default(),
            shared,
            directory,
            config: configs,
        });
        let dispatcher = tokio::spawn(dispatch(events, Arc::downgrade(&admission), registrars.watcher(bus), names));
        let mut server = Self {
            bound,
            engine,
            store,
            admission,
            registrars,
            leases,
            requests,
            watch,
            stop,
            sip_tls,
            following,
            config,
            sip,
            asked: vec![follower, rehearsal],
            api: None,
            dispatcher,
            writer,
        };
        server.asked.push(tokio::spawn(archive::run(Arc::clone(&server.store), server.config.subscribe())));
        server.asked.extend(control::start(server.sources(&messages)).context("[control] socket")?);
        let api = Serving::start(server.sources(&messages), &server.store, server.config.subscribe());
        server.api = api.await.context("[api]")?;
        Ok(server)
    }

    /// Whom answers to questions come from.
    fn sources(&self, messages: &broadcast::Sender<Entry>) -> Sources {
        Sources {
            requests: self.requests.downgrade(),
            messages: messages.downgrade(),
            admission: Arc::downgrade(&self.admission),
            config: Arc::clone(&self.config.borrow()),
            listeners: self.bound.clone(),
            started: Instant::now(),
        }
    }

    /// Takes another configuration, for the calls to come: those that are up go on as they began. Registrations that
    /// did not change are not touched. Returns what changed and waits for a restart.
    ///
    /// # Errors
    /// What cannot be used; then the server goes on as it was.
    pub async fn reload(&mut self, mut config: Config) -> anyhow::Result<Vec<&'static str>> {
        let tls = Arc::new(Tls::load(&config.tls)?);
        for entry in &config.secretaries {
            self.store.upsert_secretary(entry).await.context("a secretary of the configuration")?;
        }
        entries::distinct(&*self.store, &config.tenancy.tenants).await?;
        let waiting = waits_for_restart(&self.config.borrow(), &config);
        config.sip = config.sip.at_sockets_of(&self.config.borrow().sip);
        self.following.abort();
        self.following = tokio::spawn(Tls::follow(config.tls.clone(), Arc::clone(&self.sip_tls)));
        self.sip_tls.send_replace(tls);
        self.ask(Request::Policy(Box::new(config.policy())));
        self.registrars.apply(Source::File, accounts(&config)).await;
        self.config.send_replace(Arc::new(config));
        Ok(waiting)
    }

    /// Everything that happens on calls from now on.
    pub fn watch(&self) -> broadcast::Receiver<(Uuid, call::Event)> {
        self.watch.subscribe()
    }

    /// The calls that are up, for whoever watches and steers them, and what happens on them.
    pub fn switchboard(&self) -> Switchboard {
        self.admission.shared.switchboard.clone()
    }

    /// Calls that are up.
    pub fn calls(&self) -> usize {
        self.admission.threads.calls()
    }

    /// Takes no new calls, leaves those that are up the configured time (or until `hurry` resolves), then ends them,
    /// unregisters, and stores what is left to store.
    pub async fn stop(self, hurry: impl Future<Output = ()>) {
        self.api.iter().for_each(Serving::drain);
        self.ask(Request::Drain);
        let drain = self.config.borrow().call.drain;
        let all_gone = async {
            while self.calls() > 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            _ = timeout(drain, all_gone) => {}
            () = hurry => {}
        }
        // Calls hear it from their threads at once.
        let _ = self.stop.send(true);
        let ended = async {
            while self.calls() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = timeout(SIP_GOODBYE, ended).await;
        let Self { requests, registrars, leases, store, mut sip, asked, api, dispatcher, admission, writer, .. } = self;
        if let Some(api) = api {
            api.close().await;
        }
        let Leasing { owner, settle, mut task } = leases;
        let _ = settle.send(true);
        let held = timeout(SIP_GOODBYE, &mut task).await.ok().and_then(Result::ok).unwrap_or_default();
        // One that waits for the database would hold up the registrars, to whom it gives orders.
        task.abort();
        for id in registrars.settle().await {
            // A SIP task that is gone has nobody registered.
            let _ = requests.send(Request::Unregister(id)).await;
        }
        asked.iter().for_each(JoinHandle::abort);
        // The last senders of requests: without them the SIP task ends when it has said all, and the dispatcher with it.
        drop((requests, admission));
        if timeout(SIP_GOODBYE, &mut sip).await.is_err() {
            warn!("some peers did not answer our goodbye");
            sip.abort();
        }
        held.release(&*store, &owner).await;
        let _ = dispatcher.await;
        if timeout(STORE_GOODBYE, writer).await.is_err() {
            warn!("the last conversations could neither be stored nor set aside in time");
        }
        info!("Stopped");
    }

    fn ask(&self, request: Request) {
        if self.requests.try_send(request).is_err() {
            warn!("the SIP task does not take requests");
        }
    }
}

/// The task that looks after the accounts of the database.
#[derive(Debug)]
struct Leasing {
    owner: String,
    settle: watch::Sender<bool>,
    task: JoinHandle<Held>,
}

impl Leasing {
    fn start(owner: String, store: &Arc<dyn Store>, registrars: &Registrars, requests: &mpsc::Sender<Request>) -> Self {
        let (settle, settling) = watch::channel(false);
        let leases = Leases {
            store: Arc::clone(store),
            owner: owner.clone(),
            registrars: registrars.orders(),
            known: registrars.known.clone(),
            sip: requests.downgrade(),
        };
        Self { owner, settle, task: tokio::spawn(leases.run(settling)) }
    }
}

/// What this node is called in leases: the same after a restart, another for each process of a machine.
fn node(bound: &[(Transport, SocketAddr)]) -> String {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let at = bound.first().map(|(transport, at)| format!("{}:{at}", transport.param())).unwrap_or_default();
    format!("{}/{at}", machine.trim())
}

/// The SIP side of a server.
struct Speaking {
    bound: Vec<(Transport, SocketAddr)>,
    reach: Reach,
    requests: mpsc::Sender<Request>,
    events: mpsc::Receiver<Event>,
    /// Every message that passes, for whoever follows.
    messages: broadcast::Sender<Entry>,
    tls: Arc<watch::Sender<Arc<Tls>>>,
    task: JoinHandle<()>,
}

/// Binds the SIP sockets and answers on them.
async fn speak(config: &Config) -> anyhow::Result<Speaking> {
    let sockets = Sockets::bind(&config.sip.listeners, &config.sip.ways_out()).await?;
    let bound = sockets.bound.clone();
    let reach = Reach::new(sockets.listeners.iter().map(|listener| (listener.transport, listener.address.ip())));
    let (tls, tls_now) = watch::channel(Arc::new(Tls::load(&config.tls)?));
    let endpoint = Endpoint::new(endpoint_config(config, sockets.listeners.clone()), seed());
    let (requests, request_queue) = mpsc::channel(sip_socket::REQUESTS);
    let (event_sender, events) = mpsc::channel(EVENTS);
    let (tap, messages) = open_tap(&config.trace).await?;
    let task = tokio::spawn(sip_socket::run(endpoint, sockets, tls_now, tap, request_queue, event_sender));
    Ok(Speaking { bound, reach, requests, events, messages, tls: Arc::new(tls), task })
}

fn accounts(config: &Config) -> Vec<Account> {
    config.registrations.iter().cloned().map(Account::of_file).collect()
}

/// What was read once, at the start, and now says something else.
fn waits_for_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let sip = |config: &Config| {
        let config::Sip { listeners, advertised, user_agent, max_calls, dns, callers: _ } = config.sip.clone();
        let sockets: Vec<_> = listeners.iter().map(|l| (l.transport, l.address, l.advertised)).collect();
        (sockets, advertised, user_agent, max_calls, dns)
    };
    let files = |config: &Config| {
        let config::Recording { calls: _, listen_in: _, directory, node, format, key, s3 } = config.recording.clone();
        (directory, node, format, key, s3)
    };
    let sections = [
        ("[sip]", sip(old) != sip(new)),
        ("[rtp] address and ports", (&old.rtp.addresses, old.rtp.ports) != (&new.rtp.addresses, new.rtp.ports)),
        ("[database]", old.database != new.database),
        ("[redis]", old.tenancy.redis != new.tenancy.redis),
        ("[limits] notices", old.tenancy.limits.notices != new.tenancy.limits.notices),
        ("[limits] webhooks", old.tenancy.limits.webhooks != new.tenancy.limits.webhooks),
        ("ca_file of the providers", old.authorities() != new.authorities()),
        ("[local] models_dir and threads", old.local != new.local),
        ("[media] threads", old.media.threads != new.media.threads),
        ("[recording] files", files(old) != files(new)),
        ("[log]", old.log != new.log),
        ("[trace]", old.trace != new.trace),
        ("[control] and [api]", old.control != new.control),
    ];
    sections.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect()
}

/// The store with the secretaries of the configuration, and what records conversations in it.
async fn open_store(config: &Config) -> anyhow::Result<(Arc<dyn Store>, store::Recorder, JoinHandle<()>)> {
    let store = store::connect(&config.database).await.context("the database")?;
    for entry in &config.secretaries {
        store.upsert_secretary(entry).await.context("a secretary of the configuration")?;
    }
    entries::distinct(&*store, &config.tenancy.tenants).await?;
    let (records, writer) = store::recorder(Arc::clone(&store), Spill::new(&config.database.spill), Pace::default());
    Ok((store, records, tokio::spawn(writer.run())))
}

/// What is known of secretaries and tenants, and who has an ear on their changes.
fn follow(store: &Arc<dyn Store>) -> (Arc<Directory>, JoinHandle<()>) {
    let (changes, seen) = watch::channel(Changes::default());
    let directory = Arc::new(Directory::new(Arc::clone(store), seen));
    let store = Arc::clone(store);
    (directory, tokio::spawn(async move { store.follow(changes).await }))
}

/// The tap on the SIP sockets as configured, and what it shows its followers.
async fn open_tap(config: &config::Trace) -> anyhow::Result<(Tap, broadcast::Sender<Entry>)> {
    let size = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    let limits = trace::Limits { calls: size(config.calls), bytes: size(config.memory_mib).saturating_mul(1 << 20) };
    let hep = match &config.hep {
        Some(hep) => {
            let password = hep.password.as_ref().map(|password| password.expose().to_owned());
            let identity = trace::hep::Identity { capture_id: hep.id, password };
            let started = hep_socket::start(hep.collector, identity).await;
            Some(started.with_context(|| format!("[trace] hep {}", hep.collector))?)
        }
        None => None,
    };
    let (messages, _) = broadcast::channel(tap::FOLLOWED);
    Ok((Tap::new((config.calls > 0).then_some(limits), messages.clone(), hep), messages))
}

fn endpoint_config(config: &Config, listeners: Vec<sip::Listener>) -> EndpointConfig {
    EndpointConfig {
        user_agent: config.sip.user_agent.clone(),
        listeners,
        max_legs: usize::try_from(config.sip.max_calls).unwrap_or(usize::MAX),
        policy: config.policy(),
        session_expires: sip::SESSION_EXPIRES,
    }
}

/// The RTP ports of each address, of which at least one pair can be had: an address that is not ours is better told at
/// once.
fn ports(config: &Config) -> anyhow::Result<Vec<Ports>> {
    let (first, last) = (config.rtp.ports.first, config.rtp.ports.last);
    let ports = |address| {
        let ports = Ports::new(address, first..=last);
        ports.bind().with_context(|| format!("[rtp] address {address}: no RTP port of {first}-{last} can be had"))?;
        Ok(ports)
    };
    config.rtp.addresses.iter().copied().map(ports).collect()
}

/// What all calls share.
fn share(
    config: &Config,
    engine: &Arc<Engine>,
    (store, records): (&Arc<dyn Store>, store::Recorder),
    sip: mpsc::Sender<Request>,
) -> anyhow::Result<Shared> {
    let tls = trust::tls(config)?;
    let http = https::agent(Arc::clone(&tls));
    let orders = broadcast::channel(ORDERS).0;
    let kept = records.clone();
    let recorder = Recorder::start(config.recording.clone(), move |record| kept.keep(record));
    let recorder = recorder.context("[recording] directory")?;
    recorder.correct(Arc::clone(store));
    Ok(Shared {
        board: media_board::start(),
        sip,
        engine: Arc::clone(engine),
        receipts: receipts::start(http.clone(), Arc::clone(store)),
        library: Library::start(Arc::clone(store)),
        http,
        tls,
        records,
        recorder,
        switchboard: Switchboard::start(orders.clone()),
        orders,
        watch: broadcast::channel(WATCHED).0,
        unbelieved: Arc::default(),
        circuits: Arc::default(),
    })
}

/// Who calls those whom the settings of tenants name.
fn webhooks(config: &Config, shared: &Shared) -> Agent {
    match config.tenancy.limits.webhooks {
        Webhooks::Public => https::public_agent(Arc::clone(&shared.tls)),
        Webhooks::Any => shared.http.clone(),
    }
}

fn engine_config(config: &Config, cores: usize) -> EngineConfig {
    EngineConfig {
        models_dir: config.local.models_dir.clone(),
        threads: config.local.threads.and_then(|threads| usize::try_from(threads).ok()).unwrap_or(cores),
    }
}

/// What is said when a provider died.
fn notices(engine: &Engine) -> Vec<(Language, String)> {
    let voices = engine.capabilities().voices.keys();
    voices.flat_map(|voice| Notice::sentences(*voice).into_iter().map(|text| (*voice, text))).collect()
}

/// That is spoken once to nobody, for narrow calls and for wide ones, so that it is there when it is needed: one
/// sentence at a time, so that a call waits for no more than one.
async fn rehearse(engine: Weak<Engine>) {
    let sentences = engine.upgrade().map(|engine| notices(&engine)).unwrap_or_default();
    for rate in [media::SampleRate::HZ_8000, Job::WIDEST] {
        for (voice, text) in &sentences {
            let Some(engine) = engine.upgrade() else { return };
            let (reply, mut spoken) = mpsc::channel(1);
            let job = Job::Speak { text: text.clone(), language: voice.tag().to_owned(), rate };
            engine.submit(JobId(0), job, None, reply);
            drop(engine);
            // One that cannot be spoken is noticed when it is needed.
            let _ = spoken.recv().await;
        }
    }
}

fn ears(engine: &Engine) -> Ears {
    let able = engine.capabilities();
    let engines = [Language::EnUs, Language::PtBr].map(|language| (language, able.identity(language)));
    Ears { hearing: able.hearing(), voices: able.voices.keys().copied().collect(), engines: engines.to_vec() }
}

/// How many carry calls: as configured, else one per core.
fn threads(config: &Config, cores: usize) -> usize {
    config.media.threads.and_then(|threads| usize::try_from(threads).ok()).unwrap_or(cores)
}

/// Routes SIP events to the calls they belong to, until the SIP task ends. The admission holds a sender of requests,
/// which keeps the SIP task alive: it is the server's alone.
async fn dispatch(
    mut events: mpsc::Receiver<Event>,
    admission: Weak<Admission>,
    mut registrars: registrars::Watcher,
    names: Names,
) {
    let mut calls: BTreeMap<LegId, Line> = BTreeMap::new();
    while let Some(event) = events.recv().await {
        match event {
            Event::Incoming { leg, invite, replaces } => {
                // An INVITE that came just before the end is not answered: draining refuses those that follow.
                let Some(admission) = admission.upgrade() else { continue };
                calls.retain(|_, line| !line.call.is_closed());
                let (call, sip) = mpsc::channel(CALL_EVENTS);
                let replaced = replaces.map(|old| calls.get(&old).cloned().ok_or(old));
                let span = call_span(leg, &invite.call_id);
                calls.insert(leg, Line { leg, call, invite: invite.clone(), span: span.clone() });
                let admitted = async move {
                    match replaced {
                        None => admission.admit(leg, *invite, sip).await,
                        Some(old) => admission.take_over(leg, *invite, sip, old).await,
                    }
                };
                tokio::spawn(admitted.instrument(span));
            }
            Event::Stranger { remote } => {
                warn!(%remote, "Turned away: add its address to a [[peers]] entry if it may call");
            }
            Event::Locate { server } => names.look_up(server),
            Event::Registration { id, state } => {
                registrars.note(id, &state);
            }
            event @ (Event::Cancelled { leg, .. }
            | Event::Failed { leg, .. }
            | Event::Bye { leg, .. }
            | Event::Terminated { leg, .. }) => {
                if let Some(line) = calls.remove(&leg) {
                    deliver_last(line.call, event);
                }
            }
            event @ (Event::Established { leg, .. }
            | Event::Progress { leg, .. }
            | Event::Offer { leg, .. }
            | Event::OfferAnswered { leg, .. }
            | Event::Info { leg, .. }
            | Event::InfoRefused { leg, .. }
            | Event::Refer { leg, .. }) => {
                if let Some(line) = calls.get(&leg) {
                    line.span.in_scope(|| deliver(&line.call, event));
                }
            }
        }
    }
}

/// The span of everything that is logged about a call, at whatever level: a warning without its call helps nobody.
/// Admission fills in what the INVITE does not say.
fn call_span(leg: LegId, call_id: &str) -> Span {
    error_span!("call", id = field::Empty, call_id, domain = field::Empty, %leg)
}

fn deliver(call: &mpsc::Sender<Box<Event>>, event: Event) {
    match call.try_send(Box::new(event)) {
        // A call that has just ended needs to know nothing more.
        Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
        Err(mpsc::error::TrySendError::Full(_)) => warn!("the call does not take SIP events"),
    }
}

/// The event after which nothing follows is never dropped: it waits for room, or for the call to be over.
fn deliver_last(call: mpsc::Sender<Box<Event>>, event: Event) {
    if let Err(mpsc::error::TrySendError::Full(event)) = call.try_send(Box::new(event)) {
        tokio::spawn(async move { call.send(event).await });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        breaker::{Circuit, Sign},
        config::Environment,
        drivers::{
            call_task::{self, Thread},
            facts::Facts,
            media_threads::Seat,
            meter::SoFar,
            recorder::Title,
            sip_socket::tests::{answer, heard, peer},
            spares::Spares,
        },
        record::{Conversation, Outcome, Share},
        store::{Found, Lookup},
    };
    use providers::FailureKind;
    use sip::{Command, IncomingInvite, TerminatedBy};
    use std::{
        cell::Cell,
        path::{Path, PathBuf},
        rc::Rc,
        sync::atomic::AtomicUsize,
        time::Instant,
    };
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    fn config(text: &str) -> Config {
        Config::parse(text, "test.toml", &Environment::default()).unwrap()
    }

    /// A server in a folder of its own, with these RTP ports.
    async fn start(ports: &str, more: &str) -> (Server, PathBuf) {
        let folder = std::env::temp_dir().join(format!("ramal-server-{ports}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let text = format!(
            "[sip]\nudp = [\"127.0.0.1:{sip}\"]\ntcp = []\n[rtp]\nports = \"{ports}\"\n\
             [database]\nurl = \"sqlite:{folder}/ramal.db\"\nspill = \"{folder}/spill\"\n\
             [local]\nmodels_dir = \"{folder}\"\n{more}",
            sip = peer().await.local_addr().unwrap().port(),
            folder = folder.display(),
        );
        (Server::start(config(&text)).await.unwrap(), folder)
    }

    #[tokio::test]
    async fn what_is_said_when_a_provider_died_was_spoken_before_it_is_needed() {
        let engine = Arc::new(Engine::start(&EngineConfig { models_dir: "no-models".into(), threads: 1 }));
        rehearse(Arc::downgrade(&engine)).await;
        let (spoken, sentences) = (engine.counters().spoken, notices(&engine).len() as u64);
        assert!(sentences > 2 && spoken == 2 * sentences, "{spoken}: {sentences}, narrow and wide");
    }

    const ANA: &str = "[openai]\napi_key = \"x\"\n\
        [[secretaries]]\ndomain = \"a.example\"\nname = \"Ana\"\nextension = \"8000\"\nprovider = \"openai\"\n";

    /// Calls 8000, and returns how the INVITE ended; acknowledged.
    async fn refused(server: SocketAddr) -> String {
        let caller = peer().await;
        let us = caller.local_addr().unwrap();
        let request = |method: &str, to: &str| {
            format!(
                "{method} sip:8000@{server} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bKx\r\nMax-Forwards: 70\r\n\
                 From: <sip:1@{us}>;tag=1\r\n{to}\r\nCall-ID: x\r\nCSeq: 1 {method}\r\nContact: <sip:1@{us}>\r\n\
                 Content-Length: 0\r\n\r\n"
            )
        };
        caller.send_to(request("INVITE", "To: <sip:8000@a.example>").as_bytes(), server).await.unwrap();
        loop {
            let (response, _) = heard(&caller).await;
            if !response.starts_with("SIP/2.0 1") {
                let to = response.lines().find(|line| line.starts_with("To:")).unwrap();
                caller.send_to(request("ACK", to).as_bytes(), server).await.unwrap();
                return response;
            }
        }
    }

    async fn records(server: Server, folder: &Path) -> Vec<Conversation> {
        let store = Arc::clone(&server.store);
        server.stop(std::future::ready(())).await;
        let records = store.conversations(10).await.unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        records
    }

    #[tokio::test]
    async fn a_call_without_rtp_ports_is_recorded() {
        let mut ports = testkit::ports::Ports::take().unwrap();
        let (first, last) = ports.run(2).unwrap();
        let (server, folder) = start(&format!("{first}-{last}"), ANA).await;
        let taken = std::net::UdpSocket::bind(("127.0.0.1", first)).unwrap();
        let response = refused(server.bound[0].1).await;
        assert!(response.starts_with("SIP/2.0 503"), "{response}");
        let records = records(server, &folder).await;
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].outcome, Outcome::Failed);
        assert!(records[0].end_reason.starts_with("no RTP ports"), "{}", records[0].end_reason);
        drop(taken);
    }

    #[tokio::test]
    async fn a_tenant_without_room_or_money_is_refused_with_a_reason_and_the_call_recorded() {
        for (ports, limit, status, why) in [
            ("39340-39341", "max_concurrent_calls = 0", "SIP/2.0 486", "the tenant has as many calls as it may"),
            ("39342-39343", "calls_per_minute = 0\nrefusal = 503", "SIP/2.0 503", "as many new calls in this minute"),
            ("39344-39345", "monthly_budget_usd = 0.2", "SIP/2.0 486", "the budget of the month is used up"),
            ("39346-39347", "[limits]\nprovider_calls = { openai = 0 }", "SIP/2.0 503", "the provider has as many"),
        ] {
            let (server, folder) = start(ports, &format!("{ANA}[[tenants]]\ndomain = \"a.example\"\n{limit}\n")).await;
            let response = refused(server.bound[0].1).await;
            assert!(response.starts_with(status) && response.contains(why), "{limit}: {response}");
            let refusals =
                server.admission.gate.count().refused.iter().sum::<u64>() + server.admission.till.count().refused;
            assert_eq!(refusals, 1, "{limit}");
            let records = records(server, &folder).await;
            assert!(records[0].end_reason.contains(why), "{limit}: {}", records[0].end_reason);
        }
    }

    #[tokio::test]
    async fn a_tenants_own_key_is_used_for_its_calls_and_nobody_elses() {
        let neighbour =
            "[[secretaries]]\ndomain = \"b.example\"\nname = \"Bia\"\nextension = \"8001\"\nprovider = \"openai\"\n";
        let secrets = format!("[secrets]\nmaster_keys = [\"{}\"]\n", "07".repeat(32));
        let (server, folder) = start("39350-39351", &format!("{ANA}{neighbour}{secrets}")).await;
        let (tenants, admission) = (server.store.tenants(), &server.admission);
        let domain = tenants.domain(&"a.example".into()).await.unwrap().unwrap();
        let place = crate::vault::Place { domain, provider: "openai" };
        let keys = server.config.borrow().tenancy.master_keys.clone();
        let sealed = keys.seal(&crate::config::Secret::new("sk-own"), &place, [1; 16]).unwrap();
        tenants.set_key(domain, "openai", &sealed).await.unwrap();
        for (extension, key) in [("8000", "sk-own"), ("8001", "x")] {
            let facts = facts(&server, extension).await;
            let tenant = admission.tenant(&facts.secretary).await.unwrap_or_default();
            let Ok(entrance) = admission.let_in(&facts, &tenant).await else { panic!("{extension} is refused") };
            assert_eq!(entrance.config.openai.api_key.as_ref().unwrap().expose(), key);
        }
        let other = tenants.domain(&"b.example".into()).await.unwrap().unwrap();
        tenants.set_key(other, "openai", &sealed).await.unwrap();
        let bia = facts(&server, "8001").await;
        // A file is looked at four times a second.
        let refused = async {
            loop {
                let tenant = admission.tenant(&bia.secretary).await.unwrap_or_default();
                match admission.let_in(&bia, &tenant).await {
                    Err(refusal) => return refusal,
                    Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        };
        let refusal = timeout(Duration::from_secs(10), refused).await.unwrap();
        assert!(refusal.why.contains("sealed for another tenant"), "{}", refusal.why);
        records(server, &folder).await;
    }

    /// An INVITE for that extension.
    async fn facts(server: &Server, extension: &str) -> Facts {
        let lookup = Lookup { extension: extension.into(), domain: None };
        let Ok(Found::Secretary(secretary)) = server.store.find_secretary(&lookup).await else { panic!("nobody") };
        let invite = IncomingInvite {
            listener: sip::ListenerId(0),
            remote: "127.0.0.1:9".parse().unwrap(),
            user: None,
            transport: Transport::Udp,
            call_id: "x".into(),
            request_user: extension.into(),
            request_host: "a.example".into(),
            from_user: "1".into(),
            from_display: String::new(),
            to_user: extension.into(),
            x_headers: Vec::new(),
            offer: None,
        };
        let clock = (chrono::Utc::now(), Instant::now());
        Facts { leg: LegId(7), invite, secretary: *secretary, conversation_uuid: Uuid::new_v4(), clock }
    }

    #[tokio::test]
    async fn a_call_whose_task_breaks_is_recorded_and_its_leg_taken_down() {
        let tapes = std::env::temp_dir().join(format!("ramal-tapes-{}", Uuid::new_v4()));
        let recording = format!("[recording]\ndirectory = \"{}\"\n", tapes.display());
        let (server, folder) = start("39320-39321", &format!("{ANA}{recording}")).await;
        let facts = facts(&server, "8000").await;
        let conversation_uuid = facts.conversation_uuid;
        let (sip, mut commands) = mpsc::channel(4);
        let shared = Shared { sip, ..server.admission.shared.clone() };
        let mut watch = server.watch();
        let broken: JoinHandle<std::io::Result<()>> = tokio::spawn(async { panic!("a bug") });
        let share = Share {
            provider: "gemini".into(),
            talked: Duration::from_secs(60),
            input_tokens: 10,
            output_tokens: 20,
            cost: crate::record::MicroUsd(123_456),
        };
        let (domain_uuid, started_at) = (facts.secretary.domain_uuid, facts.clock.0);
        let title = Title { domain_uuid, conversation_uuid, call_uuid: "x".into(), started_at };
        let killed = Box::new(facts.failed("killed", started_at));
        let sink = shared.recorder.open(&title, killed, media::SampleRate::HZ_8000, tracing::Span::none());
        let so_far = SoFar { shares: vec![share], taping: Some(sink.taping()) };
        drop(sink);
        call_task::supervise(broken, &facts, std::rc::Rc::new(std::cell::RefCell::new(so_far)), &shared).await;
        drop(shared);
        assert!(matches!(commands.recv().await, Some(Request::Command(Command::Reject { leg: LegId(7), .. }))));
        assert!(matches!(commands.recv().await, Some(Request::Command(Command::Bye { leg: LegId(7), .. }))));
        assert!(matches!(watch.recv().await, Ok((id, call::Event::Ended(_))) if id == conversation_uuid));
        let records = records(server, &folder).await;
        assert_eq!(records.len(), 1);
        assert_eq!((records[0].conversation_uuid, records[0].outcome), (conversation_uuid, Outcome::Failed));
        let [Conversation { provider, estimated_cost, audio, output_tokens, .. }] = &records[..] else { panic!("one") };
        let told = (provider.as_str(), estimated_cost.0, audio.as_secs(), *output_tokens);
        assert_eq!(told, ("gemini", 123_456, 60, 20), "what was spent is spent");
        // Whoever erases the call finds what was recorded of it.
        let recording = records[0].recording.clone().unwrap();
        assert_eq!(recording.state, crate::record::State::Partial);
        assert!(recording.is_of(domain_uuid, conversation_uuid) && recording.node.is_some());
        let (file, list) = (tapes.join(recording.path.unwrap()), tapes.join(".unfinished"));
        let closed = async {
            while !file.exists() || std::fs::read_dir(&list).unwrap().count() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(20), closed).await.unwrap();
        std::fs::remove_dir_all(tapes).unwrap();
    }

    /// What is left unread of a flood, when its caller hangs up behind it, would have been read before by whoever reads on
    /// while there is more.
    #[tokio::test]
    async fn a_call_whose_ports_are_flooded_hears_that_its_caller_hangs_up() {
        const FLOOD: usize = 64;
        let nowhere = ANA.replace("[openai]\n", "[openai]\nurl = \"ws://127.0.0.1:9\"\n");
        let (server, folder) = start("39366-39369", &nowhere).await;
        for is_rtp in [true, false] {
            let facts = facts(&server, "8000").await;
            let tenant = server.admission.tenant(&facts.secretary).await.unwrap_or_default();
            let Ok(entrance) = server.admission.let_in(&facts, &tenant).await else { panic!("it is refused") };
            let (leg, events) = mpsc::channel(1);
            leg.try_send(Box::new(Event::Bye { leg: facts.leg, reason: None })).unwrap();
            let Ok(call) = server.admission.prepare(facts, entrance, events) else { panic!("no ports") };
            let flooded = if is_rtp { &call.sockets.rtp } else { &call.sockets.rtcp };
            let (flooded, stranger) = (flooded.try_clone().unwrap(), std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
            for _ in 0..FLOOD {
                stranger.send_to(&[0x80; 172], flooded.local_addr().unwrap()).unwrap();
            }
            let (_orders, of_call) = mpsc::channel(1);
            let (room, seat) = (Rc::new(Cell::new(call::Room::default())), Seat(Arc::new(AtomicUsize::new(1))));
            let thread = Thread { room, spares: Spares::default(), orders: of_call, seat };
            let local = tokio::task::LocalSet::new();
            let over = local.run_until(async { call_task::begin(call, thread).await });
            timeout(Duration::from_secs(20), over).await.unwrap();
            let left = std::iter::from_fn(|| flooded.recv(&mut [0; 172]).ok()).count();
            assert!(left >= FLOOD / 2, "{left} of {FLOOD} are left, RTP: {is_rtp}");
        }
        let records = records(server, &folder).await;
        assert_eq!(records.len(), 2);
        assert!(records.iter().all(|record| record.outcome == Outcome::Abandoned), "{records:?}");
    }

    #[tokio::test]
    async fn a_call_that_is_refused_for_money_is_none_of_the_minute() {
        let tenant = "[[tenants]]\ndomain = \"a.example\"\nmonthly_budget_usd = 0.2\ncalls_per_minute = 1\n";
        let (server, folder) = start("39352-39353", &format!("{ANA}{tenant}")).await;
        let facts = facts(&server, "8000").await;
        let tenant = server.admission.tenant(&facts.secretary).await.unwrap_or_default();
        for _ in 0..3 {
            let Err(refusal) = server.admission.let_in(&facts, &tenant).await else { panic!("it is let in") };
            assert_eq!(refusal.why, "the budget of the month is used up");
        }
        records(server, &folder).await;
    }

    #[tokio::test]
    async fn a_budget_needs_a_price_unless_it_is_said_to_do_without() {
        let new = "[openai]\nmodel = \"gpt-next\"\n";
        let tenant = "[[tenants]]\ndomain = \"a.example\"\nmonthly_budget_usd = 9\n";
        for (ports, more, lets_in) in [
            ("39354-39355", tenant.to_owned(), false),
            ("39356-39357", format!("[limits]\nunpriced = \"allow\"\n{tenant}"), true),
            ("39358-39359", String::new(), true),
        ] {
            let (server, folder) = start(ports, &format!("{}{more}", ANA.replace("[openai]\n", new))).await;
            let facts = facts(&server, "8000").await;
            let tenant = server.admission.tenant(&facts.secretary).await.unwrap_or_default();
            let entrance = server.admission.let_in(&facts, &tenant).await;
            assert_eq!(entrance.is_ok(), lets_in, "{more}");
            if let Err(refusal) = entrance {
                assert!(refusal.why.contains("price"), "{}", refusal.why);
            }
            assert_eq!(server.admission.till.unpriced(), [("gpt-next".to_owned(), 1)].into());
            records(server, &folder).await;
        }
    }

    #[tokio::test]
    async fn two_entries_of_one_tenant_are_refused_although_they_name_it_in_two_ways() {
        let (server, folder) = start("39360-39361", ANA).await;
        let (mut server, tenants) = (server, |domain: String| {
            config(&format!("[[tenants]]\ndomain = \"A.example\"\n[[tenants]]\ndomain = \"{domain}\"\n"))
        });
        let domain = server.store.tenants().domain(&"a.example".into()).await.unwrap().unwrap();
        server.reload(tenants(Uuid::new_v4().to_string())).await.unwrap();
        let error = format!("{:#}", server.reload(tenants(domain.to_string())).await.unwrap_err());
        assert!(error.contains("A.example") && error.contains(&domain.to_string()), "{error}");
        records(server, &folder).await;
    }

    #[tokio::test]
    async fn what_a_database_says_is_told_in_the_log_and_to_no_peer() {
        let (server, folder) = start("39362-39363", ANA).await;
        let facts = facts(&server, "8000").await;
        let store = store::tests::unplugged().await;
        let (_, changes) = watch::channel(Changes::default());
        let lookup = Lookup { extension: "8000".into(), domain: None };
        let error = Directory::new(store, changes).find(&lookup).await.unwrap_err();
        let refusal = crate::drivers::admission::Refusal::of_database(&error);
        assert!(refusal.detail().is_some_and(|detail| detail.contains("pool")), "{refusal:?}");
        let record = facts.failed(&refusal.why, chrono::Utc::now());
        assert_eq!(record.end_reason, "the database is not available");
        records(server, &folder).await;
    }

    #[tokio::test]
    async fn options_is_answered_while_the_database_is_not() {
        let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (caller, sip) = (peer().await, peer().await.local_addr().unwrap());
        let text = format!(
            "[sip]\nudp = [\"{sip}\"]\ntcp = []\n[rtp]\nports = \"39330-39331\"\n[database]\nurl = \"postgres://a:b@{}/c\"\n",
            mute.local_addr().unwrap()
        );
        let us = caller.local_addr().unwrap();
        let options = format!(
            "OPTIONS sip:{sip} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bKx\r\nMax-Forwards: 70\r\n\
             From: <sip:1@{us}>;tag=1\r\nTo: <sip:{sip}>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );
        let answered = async {
            // The database is being asked by now, and says nothing.
            let _connection = mute.accept().await.unwrap();
            caller.send_to(options.as_bytes(), sip).await.unwrap();
            heard(&caller).await.0
        };
        tokio::select! {
            _ = Server::start(config(&text)) => panic!("started, or given up, without an answer to OPTIONS"),
            response = answered => assert!(response.starts_with("SIP/2.0 200"), "{response}"),
        }
    }

    #[tokio::test]
    async fn an_rtp_address_that_is_not_ours_is_named_at_the_start() {
        let error = Server::start(config("[rtp]\naddress = \"192.0.2.1\"\n")).await.unwrap_err();
        assert!(format!("{error:#}").contains("[rtp] address 192.0.2.1"), "{error:#}");
    }

    #[tokio::test]
    async fn the_last_event_reaches_a_call_whose_queue_is_full() {
        let leg = LegId(1);
        let (call, mut queue) = mpsc::channel(1);
        let info = || Event::Info { leg, content_type: String::new(), body: sip::Body::default() };
        deliver(&call, info());
        deliver(&call, info());
        let last = Event::Terminated { leg, by: TerminatedBy::PeerGone };
        deliver_last(call, last.clone());
        assert_eq!(queue.recv().await, Some(Box::new(info())));
        assert_eq!(queue.recv().await, Some(Box::new(last)));
        assert_eq!(queue.recv().await, None);
    }

    #[tokio::test]
    async fn health_and_metrics_are_answered_over_http_and_tell_of_a_provider_that_is_avoided() {
        let http = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let (server, folder) = start("39340-39341", &format!("[api]\nlisten = \"{http}\"\n")).await;
        let get = async |path: &str| {
            let mut stream = tokio::net::TcpStream::connect(http).await.unwrap();
            stream
                .write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
                .await
                .unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
            (head.lines().next().unwrap().to_owned(), body.to_owned())
        };
        let (status, body) = get("/health").await;
        assert!(status == "HTTP/1.1 200 OK" && body.contains(r#""status":"ok""#), "{status} {body}");
        let circuit = Circuit { provider: "openai", at: "api.example".into(), key_of: None };
        server.admission.shared.circuits.report(&circuit, Sign::Failed(FailureKind::Quota));
        // It is told again for a second as it was.
        let degraded = async {
            while !get("/health").await.1.contains(r#""status":"degraded""#) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(Duration::from_secs(20), degraded).await.unwrap();
        let (status, body) = get("/metrics").await;
        let open = r#"ramal_provider_circuit{provider="openai",at="api.example",state="open"} 1"#;
        assert!(status == "HTTP/1.1 200 OK" && body.lines().any(|line| line == open), "{status} {body}");
        let (status, body) = get("/ready").await;
        assert!(status == "HTTP/1.1 200 OK" && body.contains(r#""ready":true,"database":"ok""#), "{status} {body}");
        for (path, status, kind) in
            [("/", "404 Not Found", "not-found"), ("/v1/tenant", "401 Unauthorized", "unauthorized")]
        {
            let (told, body) = get(path).await;
            assert!(told.ends_with(status) && body.contains(&format!("urn:ramal:problem:{kind}")), "{told} {body}");
        }
        server.stop(std::future::ready(())).await;
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[tokio::test]
    async fn stopping_waits_until_the_registrar_has_let_us_go() {
        let registrar = peer().await;
        let account = format!(
            "[[registrations]]\nregistrar = \"{}\"\nuser = \"2000\"\npassword = \"x\"\n",
            registrar.local_addr().unwrap()
        );
        let (server, folder) = start("39300-39301", &account).await;
        answer(&registrar, "200 OK", "Expires: 600\r\n").await;
        let stopping = tokio::spawn(server.stop(std::future::ready(())));
        let challenge = "WWW-Authenticate: Digest realm=\"pbx.example\", nonce=\"one\"\r\n";
        let first = answer(&registrar, "401 Unauthorized", challenge).await;
        let second = answer(&registrar, "200 OK", "").await;
        assert!(first.contains("Expires: 0\r\n") && second.contains("Expires: 0\r\n"), "{first}{second}");
        assert!(second.contains("Authorization: Digest"), "{second}");
        stopping.await.unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
