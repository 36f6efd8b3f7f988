//! A provider without a phone: a conversation is begun as a call would begin it, to see whether it can be, or to hear its voice.
use super::{
    Alarm, https,
    requests::Requests,
    signed_url,
    ws_client::{Connection, Dialer, FromProvider},
};
use crate::speech::{Done, Engine};
use media::{Audio, AudioFormat, Frame, SampleRate, codec::g711, resample::Resampler};
use providers::{Ahead, Dialect, Endpoint, Event, Failure, FailureKind, Incoming, Outgoing, Usage};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::mpsc,
    time::{Interval, interval, timeout},
};

/// How long a provider may take until the conversation can begin: the connection has six of these seconds.
const READY: Duration = Duration::from_secs(10);
/// How long it may take from then on to say what it was given. Most are faster than whoever listens.
const SAID: Duration = Duration::from_secs(15);
/// Most that is heard of it, of whatever voice.
const MOST_HEARD: Duration = Duration::from_secs(20);
/// How long a provider may take, when all was said, to tell what that took. Most do at once.
const BILLED: Duration = Duration::from_secs(1);
/// How often a provider hears that nobody speaks: its clock is the caller's audio.
const PACKET: Duration = Duration::from_millis(20);
/// Finished engine jobs that may wait.
const JOBS: usize = 32;

/// What conversations are held with.
#[derive(Clone, Debug)]
pub(super) struct Means {
    /// Whom providers' certificates are trusted by.
    pub(super) tls: Arc<rustls::ClientConfig>,
    /// Asks for addresses that are good for one conversation.
    pub(super) http: ureq::Agent,
    /// The speech engine of this process.
    pub(super) engine: Arc<Engine>,
}

/// How far a conversation came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Begun {
    /// When the connection was open; `None` if it never was.
    pub(super) connected: Option<Duration>,
    /// When it could have begun, or why it could not.
    pub(super) ready: Result<Duration, Failure>,
}

/// Begins a conversation and leaves before a word is said.
pub(super) async fn begin(dialect: Box<dyn Dialect>, means: Means) -> Begun {
    let mut conversation = Conversation::new(dialect, means);
    let ready = conversation.ready().await;
    Begun { connected: conversation.connected, ready: ready.map(|()| conversation.began.elapsed()) }
}

/// What was heard, and what that took.
#[derive(Debug)]
pub(super) struct Heard {
    /// What was said; why nothing was.
    pub(super) said: Result<Frame, Failure>,
    /// As far as the provider told.
    pub(super) used: Usage,
}

/// What is said first in a conversation, to somebody who says nothing. What costs is waited for until the provider has told how
/// much it was.
pub(super) async fn listen(dialect: Box<dyn Dialect>, means: Means, costs: bool) -> Heard {
    let mut conversation = Conversation::new(dialect, means);
    let said = conversation.listen().await;
    if costs && said.is_ok() {
        // Whoever does not tell bills by time, or not at all.
        let _ = timeout(BILLED, conversation.bill()).await;
    }
    Heard { said, used: conversation.used() }
}

fn silence(what: &str, within: Duration) -> Failure {
    Failure { kind: FailureKind::Silence, message: format!("{what} within {} s", within.as_secs()) }
}

/// Where the provider is reached.
enum Way {
    /// It is not, any more.
    None,
    Socket(Connection),
    Engine,
}

struct Conversation {
    dialect: Box<dyn Dialect>,
    means: Means,
    way: Way,
    requests: Requests,
    jobs: mpsc::Sender<Done>,
    finished: mpsc::Receiver<Done>,
    began: Instant,
    connected: Option<Duration>,
    /// It is ready: it hears that nobody speaks.
    listens: bool,
    alarm: Alarm,
    packets: Interval,
    /// What the provider told that it took.
    told: Usage,
}

impl Conversation {
    /// Begins to connect.
    fn new(dialect: Box<dyn Dialect>, means: Means) -> Self {
        let (jobs, finished) = mpsc::channel(JOBS);
        let mut conversation = Self {
            dialect,
            way: Way::None,
            requests: Requests::new(&means.tls),
            means,
            jobs,
            finished,
            began: Instant::now(),
            connected: None,
            listens: false,
            alarm: Alarm::new(),
            packets: interval(PACKET),
            told: Usage::default(),
        };
        conversation.connect();
        conversation
    }

    fn connect(&mut self) {
        let dialer = Dialer { tls: Arc::clone(&self.means.tls), spares: None };
        self.way = match self.dialect.endpoint() {
            Endpoint::WebSocket { url, headers } => Way::Socket(Connection::open(url, headers, dialer)),
            Endpoint::SignedWebSocket { request: url, headers, member } => {
                let request = signed_url::Request { ask: https::Request { url, headers }, member };
                Way::Socket(Connection::open_signed(request, self.means.http.clone(), dialer))
            }
            Endpoint::Engine => Way::Engine,
        };
        if matches!(self.way, Way::Engine) {
            self.on_connected();
        }
    }

    fn on_connected(&mut self) {
        self.connected.get_or_insert(self.began.elapsed());
        self.dialect.handle_connected(Instant::now());
    }

    /// Until it could begin.
    async fn ready(&mut self) -> Result<(), Failure> {
        let ready = async {
            loop {
                match self.next().await {
                    Event::Ready => return Ok(()),
                    Event::Failed(failure) => return Err(failure),
                    _ => {}
                }
            }
        };
        let ready = timeout(READY, ready).await.unwrap_or_else(|_| Err(silence("it was not ready", READY)));
        self.listens = ready.is_ok();
        self.packets.reset();
        ready
    }

    /// What is said first.
    async fn listen(&mut self) -> Result<Frame, Failure> {
        self.ready().await?;
        let mut heard = None;
        // One that takes longer is heard as far as it came.
        let said = timeout(SAID, self.hear(&mut heard)).await.unwrap_or(Ok(()));
        heard.ok_or_else(|| said.err().unwrap_or_else(|| silence("nothing was said", SAID)))
    }

    /// Until it is told what that took.
    async fn bill(&mut self) {
        while self.told == Usage::default() {
            self.next().await;
        }
    }

    /// So far. A conversation that is billed by its length tells that only now and then.
    fn used(&self) -> Usage {
        let open = self.connected.map_or(Duration::ZERO, |after| self.began.elapsed().saturating_sub(after));
        Usage { connected: self.told.connected.max(open), ..self.told }
    }

    /// Until the first that is said is complete, or enough of it was heard.
    async fn hear(&mut self, heard: &mut Option<Frame>) -> Result<(), Failure> {
        loop {
            let is_enough = match self.next().await {
                Event::Audio { audio, .. } => add(heard, audio),
                Event::UtteranceDone(_) => heard.is_some(),
                Event::Failed(failure) => return Err(failure),
                _ => false,
            };
            if is_enough {
                return Ok(());
            }
        }
    }

    /// What happens next.
    async fn next(&mut self) -> Event {
        loop {
            match self.dialect.poll_event() {
                // Nobody goes on for so long.
                Some(Event::Prepare) => self.dialect.handle_ahead(Ahead::Lost, Instant::now()),
                Some(Event::Reconnect) => self.connect(),
                Some(event) => {
                    if let Event::Usage(used) = &event {
                        self.told.add(used);
                    }
                    return event;
                }
                None => {
                    self.drain();
                    self.step().await;
                }
            }
        }
    }

    /// Carries everything the dialect wants carried.
    fn drain(&mut self) {
        match &mut self.way {
            Way::Socket(connection) => {
                while connection.takes_more() {
                    let Some(message) = self.dialect.poll_outgoing() else { break };
                    connection.send(message);
                }
            }
            Way::Engine => {
                while let Some(message) = self.dialect.poll_outgoing() {
                    if let Outgoing::Job(id, job) = message {
                        self.means.engine.submit(id, job, None, self.jobs.clone());
                    }
                }
            }
            Way::None => {}
        }
        while let Some(errand) = self.dialect.poll_errand() {
            if let Some((id, job)) = self.requests.carry(errand) {
                self.means.engine.submit(id, job, None, self.jobs.clone());
            }
        }
    }

    async fn step(&mut self) {
        tokio::select! {
            () = self.alarm.ring(self.dialect.poll_timeout()) => self.dialect.handle_timeout(Instant::now()),
            message = from(&mut self.way) => self.on_provider(message),
            (id, part) = self.requests.next() => self.dialect.handle_answer(id, part, Instant::now()),
            Some(Done { job, .. }) = self.finished.recv() => {
                self.dialect.handle_incoming(Incoming::Job(job), Instant::now());
            }
            _ = self.packets.tick(), if self.listens => {
                let nobody = quiet(self.dialect.formats().uplink);
                self.dialect.handle_audio(&nobody, Instant::now());
            }
        }
    }

    fn on_provider(&mut self, message: FromProvider) {
        match message {
            FromProvider::Connected => self.on_connected(),
            FromProvider::Message(message) => self.dialect.handle_incoming(message, Instant::now()),
            FromProvider::Writable => {} // what waits is sent before the next step
            FromProvider::Disconnected(how) => {
                self.way = Way::None;
                self.dialect.handle_disconnected(how, Instant::now());
            }
        }
    }
}

async fn from(way: &mut Way) -> FromProvider {
    match way {
        Way::Socket(connection) => connection.next().await,
        Way::None | Way::Engine => std::future::pending().await,
    }
}

/// A packet in which nobody speaks.
fn quiet(format: AudioFormat) -> Audio {
    let samples = format.rate().samples_in(PACKET);
    match format {
        AudioFormat::Pcm(rate) => Audio::Pcm(Frame { rate, samples: vec![0; samples] }),
        AudioFormat::G711(law) => Audio::G711 { law, bytes: vec![g711::silence(law); samples] },
    }
}

/// The next piece of what is heard, as much of it as there is room for, at the rate of the first: that of a voice that
/// stands in for another may differ. Whether that is enough.
fn add(heard: &mut Option<Frame>, audio: Audio) -> bool {
    let piece = match audio {
        Audio::Pcm(piece) => piece,
        Audio::G711 { law, bytes } => Frame { rate: SampleRate::HZ_8000, samples: g711::decode(law, &bytes) },
    };
    let Frame { rate, samples } = heard.get_or_insert_with(|| Frame { rate: piece.rate, samples: Vec::new() });
    let most = rate.samples_in(MOST_HEARD);
    if let Ok(mut resampler) = Resampler::new(piece.rate, *rate) {
        let room = most.saturating_sub(samples.len());
        let piece = resampler.process(&piece.samples).into_iter().chain(resampler.flush());
        samples.extend(piece.take(room));
    }
    samples.len() >= most
}

#[cfg(test)]
mod tests {
    use super::{super::trust::client, *};
    use crate::{call::Rung, speech::EngineConfig};
    use providers::{local, openai};
    use std::{
        io::{Read, Write},
        net::{SocketAddr, TcpListener},
        thread,
    };

    fn means() -> Means {
        let tls = client(rustls::RootCertStore::empty()).unwrap();
        let config = EngineConfig { models_dir: "no-models".into(), threads: 1 };
        Means { http: https::agent(Arc::clone(&tls)), tls, engine: Arc::new(Engine::start(&config)) }
    }

    fn openai(at: SocketAddr) -> Box<dyn Dialect> {
        let config = openai::Config::new("sk-1", openai::Format::Pcm);
        Rung::OpenAi(Box::new(openai::Config { url: format!("ws://{at}/v1/realtime"), ..config })).rehearse("a.example")
    }

    #[tokio::test]
    async fn who_refuses_is_told_from_who_is_not_there() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4_096]).unwrap();
            stream.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").unwrap();
        });
        let Begun { connected: None, ready: Err(refused) } = begin(openai(at), means()).await else { panic!("ready") };
        assert_eq!(refused.kind, FailureKind::Authentication, "{}", refused.message);
        server.join().unwrap();
        let Begun { connected: None, ready: Err(absent) } = begin(openai(at), means()).await else { panic!("ready") };
        assert_eq!(absent.kind, FailureKind::Connection, "{}", absent.message);
        let Heard { said: Err(unheard), used } = listen(openai(at), means(), true).await else { panic!("heard") };
        assert_eq!((unheard.kind, used), (FailureKind::Connection, Usage::default()));
    }

    #[test]
    fn of_whatever_voice_twenty_seconds_are_heard_and_no_more() {
        for rate in [SampleRate::HZ_8000, SampleRate::HZ_24000, SampleRate::HZ_48000] {
            let piece = |seconds| {
                let samples = vec![1; rate.samples_in(Duration::from_secs(seconds))];
                Audio::Pcm(Frame { rate, samples })
            };
            let mut heard = None;
            assert!(!add(&mut heard, piece(19)));
            assert!(add(&mut heard, piece(40)) && add(&mut heard, piece(1)), "{rate:?}");
            assert_eq!(heard.unwrap().duration(), MOST_HEARD, "{rate:?}");
        }
    }

    #[test]
    fn a_voice_that_stands_in_for_another_is_heard_in_time_and_pitch() {
        let [narrow, wide] = [SampleRate::HZ_8000, SampleRate::HZ_16000];
        let mut heard = None;
        for rate in [wide, narrow, wide] {
            let samples = vec![1; rate.samples_in(Duration::from_secs(1))];
            assert!(!add(&mut heard, Audio::Pcm(Frame { rate, samples })));
        }
        let (rate, length) = heard.map(|heard| (heard.rate, heard.duration())).unwrap();
        assert!(length.abs_diff(Duration::from_secs(3)) < Duration::from_millis(10), "{length:?}");
        assert_eq!(rate, wide);
    }

    #[tokio::test]
    async fn what_is_said_first_is_heard_and_a_check_hears_none_of_it() {
        let dialect = || {
            let config = local::Config::new(local::Language::EnUs, local::Hearing::Words);
            Rung::Local { config: Box::new(config), engine: String::new() }.rehearse("a.example")
        };
        let means = means();
        let begun = begin(dialect(), means.clone()).await;
        assert!(begun.connected.is_some() && begun.ready.is_ok(), "{begun:?}");
        assert_eq!(means.engine.counters().spoken, 0);
        let heard = listen(dialect(), means, false).await.said.unwrap();
        assert!(heard.duration() > Duration::from_millis(500), "{:?}", heard.duration());
    }
}
