//! One call's task: owns the call, its RTP sockets and its provider connection. A packet crosses no thread.
use super::{
    Alarm,
    bell::Bell,
    breakers::Circuits,
    call_log,
    entrance::Held,
    facts::Facts,
    https,
    inbox::Inbox,
    library::{self, Library},
    media_board::News,
    media_threads::Seat,
    meter::{Known, Meter},
    next_connection::NextConnection,
    orders::{Wanted, Wish},
    receipts::Owed,
    recorder::{Listing, Recorder, Sink, Title},
    requests::Requests,
    rtp_socket::Pair,
    signed_url,
    sip_socket::Request,
    spares::Spares,
    switchboard::{Cord, Listeners, Switchboard},
    till::Tab,
    ws_client::{Connection, Dialer, FromProvider},
};
use crate::{
    call::{Call, Event, Room, Setup},
    control::SrtpStatus,
    record::Conversation,
    speech::{Done, Engine},
    store::{self, Spending},
};
use chrono::Utc;
use media::{Channel, Unbelieved};
use providers::{Ahead, Endpoint, Incoming, Job, JobId, Outgoing, Receipt};
use sip::{Command, Reason};
use std::{
    cell::Cell,
    future::poll_fn,
    io,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};
use tokio::{
    net::UdpSocket,
    sync::{broadcast, mpsc},
    task::{JoinHandle, spawn_local, yield_now},
};
use tracing::{Instrument, Span, debug, error, warn};
use uuid::Uuid;

/// Finished engine jobs that may wait for the call; each call has a handful under way at most.
const JOBS: usize = 32;
/// Datagrams taken from one socket before anything else gets its turn.
const BURST: usize = 16;
/// Conversations with providers whose cost is asked for after one call.
const RECEIPTS: usize = 8;
/// Largest RTP or RTCP datagram we look at; longer ones are cut, and then refused by the parser.
const DATAGRAM: usize = 2_048;

/// What all calls of a process share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Commands to the SIP task.
    pub sip: mpsc::Sender<Request>,
    /// The speech engine of the `local` provider.
    pub engine: Arc<Engine>,
    /// Whom providers' certificates are trusted by.
    pub tls: Arc<rustls::ClientConfig>,
    /// Asks providers what is not said over a WebSocket.
    pub http: ureq::Agent,
    /// Calls that are over and kept, whose cost their providers will tell.
    pub receipts: mpsc::Sender<Owed>,
    /// Looks up what their tenants have written down.
    pub library: Library,
    /// Finished conversations, to be stored.
    pub records: store::Recorder,
    /// Where recordings are written.
    pub recorder: Recorder,
    /// Orders to calls; the thread of each call passes on what is for it.
    pub orders: broadcast::Sender<Wish>,
    /// The calls that are up, for whoever watches and steers them.
    pub switchboard: Switchboard,
    /// Everything that happens on calls, for whoever watches; a slow watcher loses the oldest.
    pub watch: broadcast::Sender<(Uuid, Event)>,
    /// What SRTP did not believe, of all calls.
    pub unbelieved: Arc<SrtpCounters>,
    /// Which providers fail.
    pub circuits: Arc<Circuits>,
    /// How calls sound.
    pub board: mpsc::Sender<News>,
}

/// Packets of all calls that SRTP dropped.
#[derive(Debug, Default)]
pub struct SrtpCounters {
    unauthentic: AtomicU64,
    replayed: AtomicU64,
}

impl SrtpCounters {
    /// So many so far.
    pub fn status(&self) -> SrtpStatus {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        SrtpStatus { unauthentic: load(&self.unauthentic), replayed: load(&self.replayed) }
    }

    /// Adds what a call counted since `before`.
    fn add(&self, before: Unbelieved, now: Unbelieved) {
        self.unauthentic.fetch_add(now.unauthentic.saturating_sub(before.unauthentic), Ordering::Relaxed);
        self.replayed.fetch_add(now.replayed.saturating_sub(before.replayed), Ordering::Relaxed);
    }
}

/// A call to be run.
#[derive(Debug)]
pub struct NewCall {
    /// What is recorded of it should it break.
    pub facts: Facts,
    /// What it is made of.
    pub setup: Setup,
    /// Its RTP and RTCP sockets.
    pub sockets: Pair,
    /// SIP events of its leg.
    pub sip: mpsc::Receiver<Box<sip::Event>>,
    /// What it shares with all others.
    pub shared: Shared,
    /// What shows it to those outside.
    pub cord: Cord,
    /// What it holds until it is over.
    pub held: Held,
    /// What its log lines are within.
    pub span: Span,
}

/// What a call has of the thread it runs on.
#[derive(Debug)]
pub struct Thread {
    /// Whether the thread keeps up.
    pub room: Rc<Cell<Room>>,
    /// Connections its calls make in advance.
    pub spares: Spares,
    /// Orders to this call; closed when the server stops.
    pub orders: mpsc::Receiver<Box<Wish>>,
    /// Its place among the thread's calls.
    pub seat: Seat,
}

/// Begins one call. What is given back lasts until it is over, however that comes: a panic or a socket that fails ends
/// this call only, and leaves a record and a leg that is taken down like any other.
pub fn begin(new: NewCall, thread: Thread) -> impl Future<Output = ()> {
    let NewCall { facts, setup, sockets, sip, shared, cord, mut held, span } = new;
    held.begin();
    let Held { room, tab, .. } = held;
    let known = Known::default();
    let Thread { room: of_thread, spares, orders, seat } = thread;
    let heard = Heard { sip, orders, room: of_thread };
    let beginning = Box::new(Beginning { setup, tab, known: Rc::clone(&known), cord, shared: shared.clone(), spares });
    let task = spawn_local(drive(beginning, sockets, heard).instrument(span.clone()));
    async move {
        supervise(task, &facts, known, &shared).instrument(span).await;
        drop((room, seat));
    }
}

/// Waits for the end of a call's task, and sees to the leg and the record of one that broke; that says what is known of it.
pub(super) async fn supervise(task: JoinHandle<io::Result<()>>, facts: &Facts, known: Known, shared: &Shared) {
    let why = match task.await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => format!("the call's sockets failed: {error}"),
        Err(error) => format!("the call's task broke: {error}"),
    };
    error!("{why}");
    let leg = facts.leg;
    let reason = Some(Reason { protocol: "SIP".into(), cause: Some(500), text: Some("Internal error".into()) });
    // Which of the two fits the leg is known to the endpoint; it ignores the other.
    let reject = Command::Reject { leg, status: 500, reason: reason.clone(), headers: Vec::new() };
    for command in [reject, Command::Bye { leg, reason }] {
        if shared.sip.try_send(Request::Command(command)).is_err() {
            warn!("the SIP task does not take commands: this call's signalling is lost");
        }
    }
    // Should the call have left its own record before it broke, that one counts: the store takes the first.
    let (record, listing) = facts.broken(&why, Utc::now(), known.take());
    keep(shared, record.clone(), listing);
    // Nobody watching is the ordinary case.
    let _ = shared.watch.send((facts.conversation_uuid, Event::Ended(Box::new(record))));
}

/// Where the provider is reached.
enum Provider {
    /// Not asked for yet, or gone.
    None,
    /// Over a WebSocket.
    Socket(Connection),
    /// In this process.
    Engine,
}

struct Task {
    call: Call,
    title: Title,
    sink: Option<Sink>,
    /// Where it is told what the call cost.
    receipts: Vec<Receipt>,
    /// The record of a call that is over, until its recording is closed.
    record: Option<Box<Conversation>>,
    rtp: UdpSocket,
    rtcp: UdpSocket,
    shared: Shared,
    provider: Provider,
    /// Takes its place when the dialect says so.
    next: Option<NextConnection>,
    spares: Spares,
    /// What the provider asks beside its connection.
    requests: Requests,
    /// What the assistant looks up.
    lookups: library::Desk,
    /// What came of the engine's jobs.
    jobs_done: Inbox<Done>,
    /// What of this call is in [`Shared::unbelieved`] already.
    counted: Unbelieved,
    meter: Meter,
    /// What it costs, if its tenant has a budget.
    tab: Option<Tab>,
    cord: Cord,
    listeners: Listeners,
}

/// A call that has cost nothing yet.
fn spending(setup: &Setup) -> Spending {
    Spending {
        conversation: setup.conversation_uuid,
        domain: setup.secretary.domain_uuid,
        secretary: Some(setup.secretary.secretary_realtime_uuid),
        started_at: setup.started_at,
        shares: Vec::new(),
    }
}

/// A call whose sockets are still to be given to its thread. In a box, as the call is: what a task holds while it waits
/// is held twice, once as an argument.
struct Beginning {
    setup: Setup,
    tab: Option<Tab>,
    known: Known,
    cord: Cord,
    shared: Shared,
    spares: Spares,
}

/// What a call hears of those outside.
struct Heard {
    sip: mpsc::Receiver<Box<sip::Event>>,
    orders: mpsc::Receiver<Box<Wish>>,
    room: Rc<Cell<Room>>,
}

impl Beginning {
    fn task(self: Box<Self>, rtp: UdpSocket, rtcp: UdpSocket) -> Box<Task> {
        let Self { setup, tab, known, cord, shared, spares } = *self;
        let spending = spending(&setup);
        let (domain_uuid, conversation_uuid, started_at) =
            (spending.domain, spending.conversation, spending.started_at);
        let call = Call::new(setup, Instant::now());
        Box::new(Task {
            title: Title { domain_uuid, conversation_uuid, call_uuid: call.call_uuid().to_owned(), started_at },
            meter: Meter::new(known, spending),
            sink: None,
            receipts: Vec::new(),
            record: None,
            call,
            requests: Requests::new(&shared.tls),
            lookups: shared.library.desk(),
            rtp,
            rtcp,
            shared,
            provider: Provider::None,
            next: None,
            spares,
            jobs_done: Inbox::new(JOBS),
            counted: Unbelieved::default(),
            tab,
            cord,
            listeners: Listeners::default(),
        })
    }
}

async fn drive(beginning: Box<Beginning>, sockets: Pair, mut heard: Heard) -> io::Result<()> {
    let (rtp, rtcp, _lease) = sockets.into_async().await?;
    let mut task = beginning.task(rtp, rtcp);
    let (mut alarm, mut stopping, mut flooded) = (Alarm::new(), false, false);
    // What comes a few times a minute is not asked about with every packet.
    let [mut of_leg, mut of_orders, mut of_rtcp] = [Bell::default(), Bell::default(), Bell::default()];
    while task.drain() {
        task.call.set_room(heard.room.get());
        // Whoever floods a socket keeps the call from nothing else, its BYE above all: RTCP is looked at last, and RTP
        // after all others, and after the other calls of the thread and its clock, where there is no end of it.
        let others_first = std::mem::take(&mut flooded);
        tokio::select! {
            biased;
            () = alarm.ring(task.call.poll_timeout()) => task.call.handle_timeout(Instant::now()),
            () = readable(&task.rtp), if !others_first => flooded = task.on_rtp(),
            Some(event) = of_leg.wait(|context| heard.sip.poll_recv(context)) => {
                task.call.handle_sip(*event, Instant::now());
            }
            message = from_provider(&mut task.provider) => task.on_provider(message),
            ahead = of_next(&mut task.next) => task.on_ahead(ahead),
            (id, part) = task.requests.next() => task.call.handle_answer(id, part, Instant::now()),
            (id, found) = task.lookups.next() => task.call.handle_found(id, found.as_deref(), Instant::now()),
            done = task.jobs_done.next() => task.on_job(done),
            order = of_orders.wait(|context| heard.orders.poll_recv(context)), if !stopping => match order {
                Some(order) => task.on_wish(order.wanted),
                None => {
                    stopping = true;
                    task.call.handle_shutdown(Instant::now());
                }
            },
            () = of_rtcp.wait(|context| task.rtcp.poll_recv_ready(context).map(drop)) => task.on_rtcp(),
            () = yield_now(), if others_first => {}
        }
    }
    task.keep_record().await;
    Ok(())
}

/// Like [`UdpSocket::readable`], of which nobody else reads: without the list of waiters that one keeps. A socket that
/// failed says so when it is read.
async fn readable(socket: &UdpSocket) {
    poll_fn(|context| socket.poll_recv_ready(context).map(drop)).await;
}

async fn from_provider(provider: &mut Provider) -> FromProvider {
    match provider {
        Provider::Socket(connection) => connection.next().await,
        Provider::None | Provider::Engine => std::future::pending().await,
    }
}

async fn of_next(next: &mut Option<NextConnection>) -> Ahead {
    match next {
        Some(next) => next.change().await,
        None => std::future::pending().await,
    }
}

impl Task {
    /// Carries everything the call wants carried; false when it is over and nothing is left.
    fn drain(&mut self) -> bool {
        self.pay();
        while let Some(event) = self.call.poll_event() {
            self.on_event(event);
        }
        self.drain_provider();
        while let Some(transmit) = self.call.poll_transmit() {
            let socket = match transmit.channel {
                Channel::Rtp => &self.rtp,
                Channel::Rtcp => &self.rtcp,
            };
            // A packet the kernel will not take is a lost packet: the next one is 20 ms away.
            if let Err(error) = socket.try_send_to(&transmit.bytes, transmit.remote) {
                debug!(%error, remote = %transmit.remote, "RTP send");
            }
        }
        while let Some(command) = self.call.poll_command() {
            if self.shared.sip.try_send(Request::Command(command)).is_err() {
                warn!("the SIP task does not take commands: this call's signalling is lost");
            }
        }
        self.count();
        self.drain_recording();
        self.cord.show(self.call.standing());
        !self.call.is_over()
    }

    fn count(&mut self) {
        let Some(unbelieved) = self.call.unbelieved() else { return };
        if unbelieved != self.counted {
            self.shared.unbelieved.add(self.counted, unbelieved);
            self.counted = unbelieved;
        }
    }

    fn pay(&mut self) {
        let total = self.call.spent();
        if !self.meter.moves(total) {
            return;
        }
        let now = Instant::now();
        if let Some(spending) = self.meter.read(self.call.shares(now), now) {
            self.shared.records.note(spending);
        }
        if self.tab.as_mut().is_some_and(|tab| tab.charge(total)) {
            self.call.handle_budget_spent(now);
        }
    }

    fn drain_provider(&mut self) {
        match &mut self.provider {
            Provider::Socket(connection) => {
                while connection.takes_more() {
                    let Some(message) = self.call.poll_outgoing() else { break };
                    match (message, &mut self.next) {
                        (Outgoing::Ahead(text), Some(next)) => next.send(text),
                        (message, _) => connection.send(message),
                    }
                }
            }
            Provider::Engine => {
                while let Some(message) = self.call.poll_outgoing() {
                    if let Outgoing::Job(id, job) = message {
                        self.submit(id, job);
                    }
                }
            }
            Provider::None => {}
        }
        while let Some(errand) = self.call.poll_errand() {
            if let Some((id, job)) = self.requests.carry(errand) {
                self.submit(id, job);
            }
        }
        while let Some((id, job)) = self.call.poll_job() {
            self.submit(id, job);
        }
        while let Some(lookup) = self.call.poll_lookup() {
            self.lookups.ask(lookup);
        }
    }

    fn submit(&mut self, id: JobId, job: Job) {
        self.shared.engine.submit(id, job, self.call.form(), self.jobs_done.sender().clone());
    }

    fn drain_recording(&mut self) {
        while let Some(block) = self.call.poll_recorded() {
            let block = Arc::new(block);
            for id in self.listeners.push(&block) {
                self.call.handle_listener_gone(id, Instant::now());
            }
            if !self.call.is_recorded() {
                continue;
            }
            if self.sink.is_none() {
                let record = Box::new(self.call.unfinished(Instant::now()));
                let sink = self.shared.recorder.open(&self.title, record, block.rate, Span::current());
                self.meter.tapes(sink.taping());
                self.sink = Some(sink);
            }
            if let Some(sink) = &mut self.sink {
                sink.push(Arc::unwrap_or_clone(block));
            }
        }
    }

    fn on_job(&mut self, Done { job, prompt }: Done) {
        if let Some(prompt) = prompt {
            self.call.prepare(prompt);
        }
        self.call.handle_provider(Incoming::Job(job), Instant::now());
    }

    /// Whoever asked waits for one answer, or waits no more: then nothing is done.
    fn on_wish(&mut self, wanted: Wanted) {
        let now = Instant::now();
        match wanted {
            Wanted::Record(order, answer) => {
                let recorded = self.call.handle_recording(order, now);
                let _ = answer.try_send(recorded);
            }
            Wanted::Steer(order, answer) if !answer.is_closed() => {
                let done = self.call.handle_order(&order, now);
                let _ = answer.try_send(done);
            }
            Wanted::Listen(who, answer) if !answer.is_closed() => {
                let heard = self.call.handle_listener(&who, now);
                // One who went meanwhile is missed at the next block.
                let _ = answer.try_send(heard.map(|(id, rate)| self.listeners.add(id, rate)));
            }
            Wanted::Steer(..) | Wanted::Listen(..) => {}
        }
    }

    /// The record is kept when it says what became of the recording. Those who listen do not wait for that.
    async fn keep_record(&mut self) {
        self.listeners = Listeners::default();
        let Some(mut record) = self.record.take() else { return };
        let listing = self.sink.as_ref().map(Sink::listing);
        if let (Some(sink), Some(recording)) = (self.sink.take(), record.recording.take()) {
            record.recording = Some(sink.finish(recording).await);
        }
        let shares = record.shares.clone();
        keep(&self.shared, *record, listing);
        let receipts = std::mem::take(&mut self.receipts);
        let tab = self.tab.as_ref().map(Tab::correction);
        let owed =
            Owed { domain: self.title.domain_uuid, conversation: self.title.conversation_uuid, receipts, shares, tab };
        if !owed.receipts.is_empty() && self.shared.receipts.try_send(owed).is_err() {
            warn!("too many calls wait for their cost: this one keeps its estimate");
        }
    }

    /// True if more may have come.
    fn on_rtp(&mut self) -> bool {
        let mut buffer = [0; DATAGRAM];
        for _ in 0..BURST {
            let Ok((length, from)) = self.rtp.try_recv_from(&mut buffer) else { return false };
            self.call.handle_rtp(from, buffer.get(..length).unwrap_or_default(), Instant::now());
        }
        true
    }

    fn on_rtcp(&mut self) {
        let mut buffer = [0; DATAGRAM];
        if let Ok((length, from)) = self.rtcp.try_recv_from(&mut buffer) {
            self.call.handle_rtcp(from, buffer.get(..length).unwrap_or_default(), Instant::now());
        }
    }

    fn on_provider(&mut self, message: FromProvider) {
        let now = Instant::now();
        match message {
            FromProvider::Connected => self.call.handle_connected(now),
            FromProvider::Message(message) => self.call.handle_provider(message, now),
            FromProvider::Writable => {} // what waits is sent when the task drains the call
            FromProvider::Disconnected(how) => {
                self.provider = Provider::None;
                self.call.handle_disconnected(how, now);
            }
        }
    }

    fn on_ahead(&mut self, ahead: Ahead) {
        if ahead == Ahead::Lost {
            self.next = None;
        }
        self.call.handle_ahead(ahead, Instant::now());
    }

    fn on_event(&mut self, event: Event) {
        call_log::log(&event);
        self.cord.note(&event);
        match event {
            // The provider's headers hold its key: nobody who watches sees them.
            Event::Connect(endpoint) => return self.connect(endpoint),
            Event::Disconnect => return (self.provider, self.next) = (Provider::None, None),
            Event::Prepare(endpoint) => return self.next = self.open(endpoint).map(NextConnection::new),
            Event::Reconnect(endpoint) => return self.reconnect(endpoint),
            Event::Receipt(receipt) => return self.owe(receipt),
            Event::Ended(ref record) => {
                self.tell(News::Ended(self.title.conversation_uuid, record.media_quality.clone().map(Box::new)));
                self.record = Some(record.clone());
            }
            Event::Measured(quality) => return self.tell(News::Measured(self.title.conversation_uuid, quality)),
            Event::Provider { circuit, sign } => return self.shared.circuits.report(&circuit, sign),
            Event::AssistantSpeaks { latency: Some(latency), waterfall, .. } => {
                self.tell(News::Replied(latency, waterfall));
            }
            Event::Changed(ref change) => self.tell(News::Changed(change.gap)),
            Event::Answered
            | Event::CallerSpeaks
            | Event::CallerText(_)
            | Event::Dtmf(_)
            | Event::AssistantSpeaks { .. }
            | Event::AssistantText { .. }
            | Event::PlayedOut(_)
            | Event::BargeIn(_)
            | Event::TransferStarted { .. }
            | Event::TransferFailed { .. }
            | Event::Hold(_)
            | Event::Recording(_)
            | Event::ListenedTo { .. }
            | Event::Warning(_) => {}
        }
        // Nobody watching is the ordinary case.
        let _ = self.shared.watch.send((self.title.conversation_uuid, event));
    }

    /// A provider that goes on with another conversation, again and again, tells the cost of the first ones.
    fn owe(&mut self, receipt: Receipt) {
        if self.receipts.len() < RECEIPTS {
            self.receipts.push(receipt);
        }
    }

    fn tell(&self, news: News) {
        if self.shared.board.try_send(news).is_err() {
            debug!("the media board is full: a measurement is lost");
        }
    }

    fn connect(&mut self, endpoint: Endpoint) {
        self.next = None;
        match self.open(endpoint) {
            Some(connection) => self.provider = Provider::Socket(connection),
            None => {
                self.provider = Provider::Engine;
                self.call.handle_connected(Instant::now());
            }
        }
    }

    /// Goes on over the connection that was prepared, if there is one.
    fn reconnect(&mut self, endpoint: Endpoint) {
        let Some(next) = self.next.take() else { return self.connect(endpoint) };
        let (connection, is_open, said) = next.take();
        self.provider = Provider::Socket(connection);
        let now = Instant::now();
        if is_open {
            self.call.handle_connected(now);
        }
        said.into_iter().for_each(|message| self.call.handle_provider(message, now));
    }

    /// Begins to open a connection; `None` where there is no need of one.
    fn open(&self, endpoint: Endpoint) -> Option<Connection> {
        let dialer = Dialer { tls: Arc::clone(&self.shared.tls), spares: Some(self.spares.clone()) };
        match endpoint {
            Endpoint::WebSocket { url, headers } => Some(Connection::open(url, headers, dialer)),
            Endpoint::SignedWebSocket { request: url, headers, member } => {
                let request = signed_url::Request { ask: https::Request { url, headers }, member };
                Some(Connection::open_signed(request, self.shared.http.clone(), dialer))
            }
            Endpoint::Engine => None,
        }
    }
}

/// Hands a record over, with the entry of its recording in the list of unfinished ones, which is done with when it is kept.
fn keep(shared: &Shared, record: Conversation, listing: Option<Listing>) {
    let recorder = shared.recorder.clone();
    shared.records.record_and(record, move || recorder.kept(listing));
}
