//! A phone, a network, Ramal and a simulated provider, each as it ships, on one virtual clock.
use crate::{
    engine::Engine,
    house::{House, Provider},
    model,
    network::{Datagram, Network, Path},
};
use media::{Channel, codec::Codec};
use providers::{
    Ahead, Disconnect, Endpoint as Address, Errand, HttpRequest, Incoming, Method, Outgoing, Part, RequestId,
};
use ramal::{
    call::{self, Call, Event},
    dtmf::Dtmf,
    lab::openai::Departure,
    phone::{HangUp, Phone, Plan, Report, Setup},
    record::{Conversation, Speaker},
    secretary::SecretaryRow,
};
use serde_json::Value;
use sip::{Config, Endpoint, Listener, ListenerId, OutgoingInvite, Transport, locate::Target};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// The one listener of either endpoint.
const UDP: ListenerId = ListenerId(0);

/// One way between Ramal and its provider.
pub(crate) const TO_PROVIDER: Duration = Duration::from_millis(30);
/// One way between Ramal and a service that is asked over a connection that is open.
pub(crate) const TO_SERVICE: Duration = Duration::from_millis(10);
/// One way between the phone and Ramal, at least.
pub(crate) const TO_PHONE: Duration = Duration::from_millis(20);
/// TCP, TLS and the upgrade: four times there or back.
pub(crate) const HANDSHAKE: Duration = Duration::from_millis(4 * 30);

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Where everybody is.
pub(crate) fn at(who: &str) -> SocketAddr {
    let address = match who {
        "phone" => "192.0.2.10:5060",
        "phone rtp" => "192.0.2.10:4000",
        "ramal" => "198.51.100.1:5060",
        "ramal rtp" => "198.51.100.1:20000",
        stranger => stranger,
    };
    address.parse().unwrap()
}

/// What the network does to each kind of traffic.
#[derive(Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) signalling: Path,
    /// RTP and RTCP of the phone.
    pub(crate) up: Path,
    /// RTP and RTCP of Ramal.
    pub(crate) down: Path,
}

impl Weather {
    pub(crate) fn fair() -> Self {
        let clean = Path::clean(TO_PHONE);
        Self { signalling: clean, up: clean, down: clean }
    }

    /// 5 % of the audio lost, 30 ms of jitter, packets overtaking each other; every fifth SIP message lost.
    pub(crate) fn foul() -> Self {
        let audio = Path { latency: TO_PHONE, jitter: ms(30), lost: 50, doubled: 10, stalls: None };
        Self { signalling: Path { lost: 200, doubled: 50, ..audio }, up: audio, down: audio }
    }

    fn path(&self, to: SocketAddr) -> &Path {
        match (to.port(), to.ip() == at("ramal").ip()) {
            (5060, _) => &self.signalling,
            (_, true) => &self.up,
            (_, false) => &self.down,
        }
    }
}

/// What travels on the connection to the provider, in order.
enum Wire {
    Opened(String),
    Refused(Disconnect),
    ToProvider(String),
    /// The same on the connection that will follow.
    Ahead(String),
    AheadOpened,
    Heard(Vec<u8>),
    ToRamal(Departure),
}

/// Everything and everybody.
pub(crate) struct World {
    pub(crate) now: Instant,
    weather: Weather,
    pub(crate) network: Network,
    phone: Phone,
    pub(crate) phone_sip: Endpoint,
    pub(crate) sip: Endpoint,
    seed: u64,
    pub(crate) call: Option<Call>,
    /// One a rung.
    houses: Vec<House>,
    /// Which of them the call is connected with, or was last.
    pub(crate) house: usize,
    /// What is wrong with each.
    faults: BTreeMap<usize, Fault>,
    provider: Option<Provider>,
    /// The connection that will follow.
    ahead: Option<Provider>,
    engine: Engine,
    standby: Option<call::Standby>,
    /// How long providers are waited for.
    pub(crate) patience: call::Patiences,
    /// Connections to the provider so far.
    pub(crate) connections: u64,
    /// Connections opened in advance and not used.
    pub(crate) unused: u64,
    wire: BTreeMap<(Instant, u64), Wire>,
    /// Answers on their way.
    answers: BTreeMap<(Instant, u64), (RequestId, Part)>,
    /// Paths of requests whose answers have not ended.
    asked: BTreeMap<RequestId, String>,
    /// What is different about the secretary.
    pub(crate) secretary: fn(&mut SecretaryRow),
    sent: u64,
    pub(crate) log: Log,
}

/// What goes wrong with a provider, for good unless it is said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Its connections break, and nobody listens there any more.
    Killed,
    /// It hears nothing and says nothing.
    Muted,
    /// It closes its connections and answers 429.
    TooMany,
    /// It closes this connection, and takes the next.
    Closed,
}

/// What came out of the call.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) answered: Option<Instant>,
    pub(crate) records: Vec<Conversation>,
    pub(crate) warnings: Vec<String>,
    pub(crate) barge_ins: usize,
    /// Packets of voice for each utterance, in order.
    voiced: Vec<u64>,
    /// What was interrupted: index into `voiced`.
    interrupted: Vec<usize>,
    /// `audio_end_ms` of every truncation.
    pub(crate) truncated: Vec<u64>,
    /// Caller audio the provider was sent, and the longest wait for more.
    appended: Duration,
    last_append: Option<Instant>,
    longest_wait: Duration,
    /// Datagrams to whom nobody should send.
    pub(crate) astray: usize,
    /// When the caller's voice, and that of Ramal, last left.
    pub(crate) caller_voice: Option<Instant>,
    pub(crate) our_voice: Option<Instant>,
    /// When our detector heard the caller begin.
    pub(crate) caller_speaks: Option<Instant>,
    /// When a tool was last answered.
    pub(crate) tool_answered: Option<Instant>,
    /// Paths of what was posted, and of what of it was dropped before its end.
    pub(crate) posted: Vec<String>,
    pub(crate) dropped: Vec<String>,
}

impl World {
    pub(crate) fn new(seed: u64, weather: Weather, house: impl Into<House>, plan: Plan) -> Self {
        let now = Instant::now();
        let codecs = vec![Codec::Pcmu, Codec::Pcma];
        let (dtmf, since_1970) = (Dtmf::Auto, Duration::ZERO);
        // An SSRC of its own: with ours its reports would be taken for ours.
        let setup = Setup { local: at("phone rtp"), codecs, srtp: None, dtmf, seed: !seed, since_1970, plan };
        let endpoint = |who| {
            let listener = Listener { id: UDP, transport: Transport::Udp, address: at(who) };
            let (listeners, policy) = (vec![listener], sip::Policy::everybody());
            let (user_agent, session_expires) = (String::new(), sip::SESSION_EXPIRES);
            let config = Config { user_agent, listeners, max_legs: 8, policy, session_expires };
            Endpoint::new(config, seed ^ u64::from(at(who).port()))
        };
        let mut world = Self {
            now,
            weather,
            network: Network::new(seed, now),
            phone: Phone::new(setup, now),
            phone_sip: endpoint("phone"),
            sip: endpoint("ramal"),
            seed,
            call: None,
            houses: vec![house.into()],
            house: 0,
            faults: BTreeMap::new(),
            provider: None,
            engine: Engine::default(),
            standby: None,
            patience: call::Patiences::default(),
            ahead: None,
            connections: 0,
            unused: 0,
            wire: BTreeMap::new(),
            answers: BTreeMap::new(),
            asked: BTreeMap::new(),
            secretary: |_| (),
            sent: 0,
            log: Log::default(),
        };
        world.dial();
        world
    }

    /// The same, with more rungs, an engine for those in this process, and a voice that stands by. Before anything passes.
    pub(crate) fn with(mut self, below: Vec<House>, engine: Engine, standby: call::Standby) -> Self {
        assert!(self.call.is_none(), "the call has begun");
        self.houses.extend(below);
        (self.engine, self.standby) = (engine, Some(standby));
        self
    }

    /// One more rung. Before anything passes.
    pub(crate) fn add(&mut self, house: House) {
        assert!(self.call.is_none(), "the call has begun");
        self.houses.push(house);
    }

    /// Something goes wrong with the provider that the call is connected with, or will be.
    pub(crate) fn hit(&mut self, fault: Fault) {
        self.faults.insert(self.house, fault);
        let how = match fault {
            Fault::Muted => return self.answers.clear(),
            Fault::Killed => Disconnect::Closed(None),
            Fault::TooMany => Disconnect::Closed(Some((1013, "Too many requests".into()))),
            Fault::Closed => Disconnect::Closed(Some((1011, "Internal error".into()))),
        };
        if self.ahead.take().is_some() {
            self.call.iter_mut().for_each(|call| call.handle_ahead(Ahead::Lost, self.now));
        }
        if fault != Fault::Closed {
            self.answers.clear();
            for id in std::mem::take(&mut self.asked).into_keys() {
                let failed = Part::Failed("the connection broke".into());
                self.call.iter_mut().for_each(|call| call.handle_answer(id, failed.clone(), self.now));
            }
        }
        if self.provider.take().is_some() {
            self.wire.clear();
            self.call.iter_mut().for_each(|call| call.handle_disconnected(how.clone(), self.now));
            self.faults.retain(|_, fault| *fault != Fault::Closed);
            self.settle();
        }
    }

    /// Utterances that were begun, and packets of voice of the last.
    pub(crate) fn spoken(&self) -> (usize, u64) {
        (self.log.voiced.len(), self.log.voiced.last().copied().unwrap_or_default())
    }

    fn dial(&mut self) {
        let invite = OutgoingInvite {
            targets: vec![Target { transport: Transport::Udp, remote: at("ramal"), name: "ramal".into() }],
            route: Vec::new(),
            to: "sip:8000@198.51.100.1".into(),
            from: "sip:5511999@192.0.2.10".into(),
            from_display: String::new(),
            sdp: self.phone.offer().into(),
            x_headers: Vec::new(),
            credentials: None,
        };
        let leg = self.phone_sip.invite(invite, self.now);
        self.phone.dialled(leg);
        self.settle();
    }

    /// Runs for this long, or until nothing is left to happen.
    pub(crate) fn pass(&mut self, length: Duration) {
        let end = self.now + length;
        while let Some(at) = self.next().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.tick();
            self.settle();
        }
        self.now = end;
    }

    /// Runs until the call is over for both sides and no transaction is left.
    pub(crate) fn finish(&mut self) -> Report {
        let patience = self.now + ms(180_000);
        while let Some(at) = self.next() {
            assert!(at < patience, "it does not end");
            self.pass(at.saturating_duration_since(self.now));
        }
        // A report is what a phone turns into; another, which never dials, takes its place.
        let local = at("phone rtp");
        let plan = Plan {
            clips: Vec::new(),
            keys: Vec::new(),
            duration: ms(1),
            answer_within: ms(1),
            hang_up: HangUp::AtTheEnd,
        };
        let another = Phone::new(
            Setup {
                local,
                codecs: Vec::new(),
                srtp: None,
                dtmf: Dtmf::Auto,
                seed: 0,
                since_1970: Duration::ZERO,
                plan,
            },
            self.now,
        );
        std::mem::replace(&mut self.phone, another).into_report()
    }

    fn next(&self) -> Option<Instant> {
        let deadlines = [
            self.phone.poll_timeout(),
            self.phone_sip.poll_timeout(),
            self.sip.poll_timeout(),
            self.call.as_ref().and_then(Call::poll_timeout),
            self.provider.as_ref().and_then(Provider::poll_timeout),
        ];
        let deadlines = deadlines.into_iter().flatten().map(|(at, _)| at);
        let wire = self.wire.first_key_value().map(|((at, _), _)| *at);
        let answer = self.answers.first_key_value().map(|((at, _), _)| *at);
        deadlines.chain(self.network.next_arrival()).chain(wire).chain(answer).chain(self.engine.next()).min()
    }

    /// Whatever is due at this instant.
    fn tick(&mut self) {
        let now = self.now;
        while let Some(datagram) = self.network.receive(now) {
            self.arrive(&datagram);
        }
        while self.wire.first_key_value().is_some_and(|((at, _), _)| *at <= now) {
            let Some((_, wire)) = self.wire.pop_first() else { break };
            self.carry(wire);
        }
        while self.answers.first_key_value().is_some_and(|((at, _), _)| *at <= now) {
            let Some((_, (id, part))) = self.answers.pop_first() else { break };
            if matches!(part, Part::End | Part::Failed(_)) {
                self.asked.remove(&id);
            }
            self.call.iter_mut().for_each(|call| call.handle_answer(id, part.clone(), now));
        }
        while let Some(done) = self.engine.poll(now) {
            self.call.iter_mut().for_each(|call| call.handle_provider(Incoming::Job(done.clone()), now));
        }
        let due = |deadline: Option<(Instant, &str)>| deadline.is_some_and(|(at, _)| at <= now);
        if due(self.phone.poll_timeout()) {
            self.phone.handle_timeout(now);
        }
        for endpoint in [&mut self.phone_sip, &mut self.sip] {
            if due(endpoint.poll_timeout()) {
                endpoint.handle_timeout(now);
            }
        }
        if let Some(call) = self.call.as_mut().filter(|call| due(call.poll_timeout())) {
            call.handle_timeout(now);
        }
        if let Some(core) = self.provider.as_mut().filter(|provider| due(provider.poll_timeout())) {
            core.handle_timeout(now);
        }
    }

    fn arrive(&mut self, datagram: &Datagram) {
        let Datagram { from, to, bytes } = datagram;
        let rtcp = |who| SocketAddr::new(at(who).ip(), at(who).port() + 1);
        match *to {
            to if to == at("phone") => self.phone_sip.handle_datagram(UDP, *from, bytes, self.now),
            to if to == at("ramal") => self.sip.handle_datagram(UDP, *from, bytes, self.now),
            to if to == at("phone rtp") => self.phone.handle_rtp(*from, bytes, self.now),
            to if to == rtcp("phone rtp") => self.phone.handle_rtcp(*from, bytes, self.now),
            to if to == at("ramal rtp") => {
                self.call.iter_mut().for_each(|call| call.handle_rtp(*from, bytes, self.now));
            }
            to if to == rtcp("ramal rtp") => {
                self.call.iter_mut().for_each(|call| call.handle_rtcp(*from, bytes, self.now));
            }
            _ => self.log.astray += 1,
        }
    }

    fn carry(&mut self, wire: Wire) {
        let muted = self.faults.get(&self.house) == Some(&Fault::Muted);
        let Some(call) = &mut self.call else { return };
        match wire {
            Wire::ToProvider(_) | Wire::Heard(_) | Wire::Ahead(_) | Wire::ToRamal(_) if muted => {}
            Wire::Refused(how) => call.handle_disconnected(how, self.now),
            Wire::Opened(url) => {
                self.connections += 1;
                self.provider = self.houses[self.house].open(&url, self.connections, self.now);
                if self.provider.is_none() {
                    return call.handle_disconnected(Disconnect::Refused(401), self.now);
                }
                call.handle_connected(self.now);
                if self.faults.get(&self.house) == Some(&Fault::Closed) {
                    self.hit(Fault::Closed);
                }
            }
            Wire::AheadOpened => {
                self.connections += 1;
                let next = self.houses[self.house].open("", self.connections, self.now);
                self.unused += u64::from(std::mem::replace(&mut self.ahead, next).is_some());
                call.handle_ahead(Ahead::Open, self.now);
            }
            Wire::Ahead(text) => self.ahead.iter_mut().for_each(|core| core.handle_text(&text, self.now)),
            Wire::ToProvider(text) => self.provider.iter_mut().for_each(|core| core.handle_text(&text, self.now)),
            Wire::Heard(bytes) => self.provider.iter_mut().for_each(|core| core.handle_binary(&bytes, self.now)),
            Wire::ToRamal(Departure::Message { text, .. }) => {
                call.handle_provider(self.houses[self.house].framed(text), self.now)
            }
            Wire::ToRamal(Departure::Close(code, why)) => {
                call.handle_disconnected(Disconnect::Closed(Some((code, why))), self.now);
            }
            Wire::ToRamal(Departure::Drop) => call.handle_disconnected(Disconnect::Closed(None), self.now),
        }
    }

    fn settle(&mut self) {
        loop {
            self.drain_phone();
            self.drain_call();
            self.drain_provider();
            // Commands make events of the endpoints at most once more: a leg that is gone.
            if !self.drain_sip() {
                return;
            }
        }
    }

    fn drain_sip(&mut self) -> bool {
        let mut moved = false;
        while let Some(event) = self.phone_sip.poll_event() {
            self.phone.handle_sip(event, self.now);
            moved = true;
        }
        while let Some(event) = self.sip.poll_event() {
            moved = true;
            match event {
                sip::Event::Incoming { leg, invite, .. } => {
                    assert!(self.call.is_none(), "one INVITE is one call");
                    let setup =
                        model::setup(model::secretary(self.secretary), (leg, *invite), at("ramal rtp"), self.seed);
                    let mut rungs =
                        self.houses.iter().enumerate().map(|(number, house)| house.rung(&setup.rung, number));
                    let (rung, below) = (rungs.next().unwrap(), rungs.collect());
                    let standby = self.standby.clone();
                    let settings = call::Settings { ladder: self.patience, ..setup.settings.clone() };
                    self.call = Some(Call::new(call::Setup { rung, below, standby, settings, ..setup }, self.now));
                }
                event => self.call.iter_mut().for_each(|call| call.handle_sip(event.clone(), self.now)),
            }
        }
        for (who, endpoint) in [("phone", &mut self.phone_sip), ("ramal", &mut self.sip)] {
            while let Some(transmit) = endpoint.poll_transmit() {
                let to = transmit.hop.remote;
                let datagram = Datagram { from: at(who), to, bytes: transmit.bytes };
                self.network.send(self.weather.path(to), datagram, self.now);
            }
        }
        moved
    }

    fn drain_phone(&mut self) {
        while let Some(command) = self.phone.poll_command() {
            self.phone_sip.handle_command(command, self.now);
        }
        while let Some(transmit) = self.phone.poll_transmit() {
            if transmit.channel == Channel::Rtp && model::is_voice(&transmit.bytes) {
                self.log.caller_voice = Some(self.now);
            }
            self.send_media("phone rtp", transmit);
        }
        while self.phone.poll_event().is_some() {}
    }

    /// As the driver does: events, messages, packets, commands.
    fn drain_call(&mut self) {
        let Some(mut call) = self.call.take() else { return };
        while let Some(event) = call.poll_event() {
            self.on_event(event, &mut call);
        }
        while let Some(message) = call.poll_outgoing() {
            match message {
                Outgoing::Text(text) => {
                    self.log.message(&text, self.now);
                    self.post(TO_PROVIDER, Wire::ToProvider(text));
                }
                Outgoing::Ahead(text) => self.post(TO_PROVIDER, Wire::Ahead(text)),
                Outgoing::Job(id, job) => self.engine.submit(id, job, self.now),
                Outgoing::Binary(bytes) => self.post(TO_PROVIDER, Wire::Heard(bytes)),
                Outgoing::Close => {}
            }
        }
        while let Some(errand) = call.poll_errand() {
            self.run(errand);
        }
        while let Some((id, job)) = call.poll_job() {
            self.engine.submit(id, job, self.now);
        }
        while let Some(transmit) = call.poll_transmit() {
            if transmit.channel == Channel::Rtp && model::is_voice(&transmit.bytes) {
                self.log.voiced.last_mut().into_iter().for_each(|packets| *packets += 1);
                self.log.our_voice = Some(self.now);
            }
            self.send_media("ramal rtp", transmit);
        }
        while let Some(command) = call.poll_command() {
            self.sip.handle_command(command, self.now);
        }
        self.call = Some(call);
    }

    fn on_event(&mut self, event: Event, call: &mut Call) {
        match event {
            Event::Prepare(_) => self.post(HANDSHAKE, Wire::AheadOpened),
            Event::Reconnect(_) if self.ahead.is_some() => {
                (self.provider, self.wire) = (self.ahead.take(), BTreeMap::new());
                call.handle_connected(self.now);
            }
            Event::Connect(address) | Event::Reconnect(address) => {
                // What was on its way on a connection before goes with it.
                (self.provider, self.ahead, self.wire) = (None, None, BTreeMap::new());
                let Address::WebSocket { url, .. } = address else {
                    let engine = self.houses.iter().position(House::is_engine);
                    self.house = engine.unwrap_or(self.houses.len().saturating_sub(1));
                    return call.handle_connected(self.now);
                };
                self.house = House::number(&url);
                match self.faults.get(&self.house) {
                    Some(Fault::Killed) => {
                        let how = Disconnect::Unreachable("connection refused".into());
                        self.post(2 * TO_PROVIDER, Wire::Refused(how));
                    }
                    Some(Fault::TooMany) => self.post(HANDSHAKE, Wire::Refused(Disconnect::Refused(429))),
                    Some(Fault::Muted | Fault::Closed) | None => self.post(HANDSHAKE, Wire::Opened(url)),
                }
            }
            Event::Disconnect => (self.provider, self.wire) = (None, BTreeMap::new()),
            Event::Answered => self.log.answered = Some(self.now),
            Event::AssistantSpeaks { .. } => self.log.voiced.push(0),
            Event::BargeIn(_) => {
                self.log.barge_ins += 1;
                self.log.interrupted.push(self.log.voiced.len().saturating_sub(1));
            }
            Event::Warning(text) => self.log.warnings.push(text),
            Event::Ended(record) => {
                (self.provider, self.ahead) = (None, None);
                self.log.records.push(*record);
            }
            Event::CallerSpeaks => self.log.caller_speaks = Some(self.now),
            Event::CallerText(_)
            | Event::Provider { .. }
            | Event::Changed(_)
            | Event::Dtmf(_)
            | Event::AssistantText { .. }
            | Event::PlayedOut(_)
            | Event::TransferStarted { .. }
            | Event::TransferFailed { .. }
            | Event::Hold(_)
            | Event::Measured(_)
            | Event::Receipt(_)
            | Event::Recording(_)
            | Event::ListenedTo { .. } => {}
        }
    }

    fn run(&mut self, errand: Errand) {
        match errand {
            Errand::Send(id, request) => self.ask(id, &request),
            Errand::Abort(id) => {
                self.answers.retain(|_, (asked, _)| *asked != id);
                self.log.dropped.extend(self.asked.remove(&id));
            }
            Errand::AbortAll => {
                self.answers.clear();
                self.log.dropped.extend(std::mem::take(&mut self.asked).into_values());
            }
            Errand::Job(id, job) => self.engine.submit(id, job, self.now),
        }
    }

    fn ask(&mut self, id: RequestId, request: &HttpRequest) {
        let house = House::number(&request.url);
        let path = request.url.split_once(".test").map_or("", |(_, rest)| rest.split('?').next().unwrap()).to_owned();
        if request.method == Method::Post {
            self.log.posted.push(path.clone());
            if String::from_utf8_lossy(&request.body).contains(r#""role":"tool""#) {
                self.log.tool_answered = Some(self.now);
            }
        }
        self.asked.insert(id, path);
        let mut parts = Vec::new();
        match self.faults.get(&house) {
            Some(Fault::Killed) => parts.push((self.now + TO_SERVICE, Part::Failed("connection refused".into()))),
            Some(Fault::Muted) => {}
            Some(Fault::TooMany) => {
                let head = Part::Head { status: 429, retry_after: None };
                parts.extend([head, Part::End].map(|part| (self.now + TO_SERVICE, part)));
            }
            Some(Fault::Closed) | None => {
                let Some(answer) = self.houses[house].answer(request, self.now + TO_SERVICE) else { return };
                let first = answer.pieces.first().map_or(self.now + TO_SERVICE, |(at, _)| *at);
                let last = answer.pieces.last().map_or(first, |(at, _)| *at);
                parts.push((first, Part::Head { status: answer.status, retry_after: None }));
                parts.extend(answer.pieces.into_iter().map(|(at, piece)| (at, Part::Chunk(piece))));
                parts.extend(answer.complete.then_some((last, Part::End)));
            }
        }
        for (at, part) in parts {
            self.sent += 1;
            self.answers.insert((at + TO_SERVICE, self.sent), (id, part));
        }
    }

    fn drain_provider(&mut self) {
        while let Some(departure) = self.provider.as_mut().and_then(Provider::poll_departure) {
            self.post(TO_PROVIDER, Wire::ToRamal(departure));
        }
    }

    fn post(&mut self, latency: Duration, wire: Wire) {
        self.sent += 1;
        self.wire.insert((self.now + latency, self.sent), wire);
    }

    fn send_media(&mut self, who: &str, transmit: media::Transmit) {
        let port = match transmit.channel {
            Channel::Rtp => at(who).port(),
            Channel::Rtcp => at(who).port() + 1,
        };
        let from = SocketAddr::new(at(who).ip(), port);
        let datagram = Datagram { from, to: transmit.remote, bytes: transmit.bytes };
        self.network.send(self.weather.path(transmit.remote), datagram, self.now);
    }

    pub(crate) fn record(&self) -> &Conversation {
        assert_eq!(self.log.records.len(), 1, "seed {}: one call, one record", self.seed);
        &self.log.records[0]
    }

    /// What must hold in any weather.
    pub(crate) fn check(&self) {
        let seed = self.seed;
        self.record();
        assert!(self.sip.is_idle() && self.phone_sip.is_idle(), "seed {seed}: a leg is left");
        assert_eq!(self.log.truncated.len(), self.log.interrupted.len(), "seed {seed}");
        for (heard, utterance) in self.log.truncated.iter().zip(&self.log.interrupted) {
            let played = self.log.voiced[*utterance] * 20;
            assert!(heard.abs_diff(played) <= 20, "seed {seed}: {played} ms left, the provider was told {heard} ms");
        }
        let talked = self.record().audio;
        // What a stall holds up comes after what was made up for it, and is given back in a pause, which then is as long.
        let (stalls, stall) = (self.weather.up.stalls, self.weather.up.stalls.map_or(Duration::ZERO, |stall| stall.1));
        let stalled = stalls
            .map_or(Duration::ZERO, |(period, length)| talked.mul_f64(length.as_secs_f64() / period.as_secs_f64()));
        let range = talked.saturating_sub(ms(200))..=talked + stalled + ms(200);
        let appended = self.log.appended;
        assert!(range.contains(&appended), "seed {seed}: {appended:?} of {talked:?} reached the provider");
        assert!(self.log.longest_wait <= ms(200) + stall, "seed {seed}: deaf for {:?}", self.log.longest_wait);
    }

    pub(crate) fn speakers(&self) -> Vec<Speaker> {
        self.record().turns.iter().map(|turn| turn.who).collect()
    }
}

impl Log {
    fn message(&mut self, text: &str, now: Instant) {
        if ["function_call_output", "toolResponse", "client_tool_result"].iter().any(|answer| text.contains(answer)) {
            self.tool_answered = Some(now);
        }
        let message: Value = serde_json::from_str(text).unwrap();
        match message["type"].as_str() {
            Some("conversation.item.truncate") => self.truncated.extend(message["audio_end_ms"].as_u64()),
            Some("input_audio_buffer.append") => {
                let bytes = base64_simd::STANDARD.decode_to_vec(message["audio"].as_str().unwrap()).unwrap();
                self.appended += Duration::from_micros(bytes.len() as u64 * 125);
                let waited = self.last_append.replace(now).map_or(Duration::ZERO, |last| now - last);
                self.longest_wait = self.longest_wait.max(waited);
            }
            _ => {}
        }
    }
}
