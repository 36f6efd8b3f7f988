//! Whole conversations of separate parts with their simulators, message by message, as written down in
//! `tests/fixtures/conversations` beside those of [`crate::conversations`].
use crate::conversations::{check, tools, transfer};
use media::{Audio, AudioFormat, Frame, Heard, Law, Speech, UtteranceId, codec::g711};
use providers::{
    Dialect, Endpoint, Errand, Event, HttpRequest, Incoming, Method, Note, Outgoing, Part, RequestId, Respond,
    pipeline::{Chat, Config, Credentials, Filler, Hearing, Session, Voice},
};
use ramal::lab::parts::{Departure, House, Listener, Reply, Script};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

const FRAME: Duration = Duration::from_millis(20);
/// How much quiet our detector waits for.
const SILENCE: u64 = 15;

/// A conversation, its services, a caller, and what was written down.
struct Talk {
    session: Session,
    house: Arc<House>,
    ear: Option<Listener>,
    version: &'static str,
    answers: BTreeMap<(Instant, u64), (RequestId, Part)>,
    chats: Vec<RequestId>,
    now: Instant,
    /// Frames of speech the caller has still to say, and of silence since.
    speech: u64,
    quiet: u64,
    queued: VecDeque<(UtteranceId, Duration)>,
    heard: Option<Heard>,
    numbers: u64,
    lines: Vec<Value>,
}

impl Talk {
    fn new(config: Config, script: Script) -> Self {
        let house = Arc::new(House::new(script, Arc::default()));
        let mut talk = Self {
            session: Session::new(config),
            house,
            ear: None,
            version: "v1",
            answers: BTreeMap::new(),
            chats: Vec::new(),
            now: Instant::now(),
            speech: 0,
            quiet: SILENCE,
            queued: VecDeque::new(),
            heard: None,
            numbers: 0,
            lines: Vec::new(),
        };
        if let Endpoint::WebSocket { url, .. } = talk.session.endpoint() {
            let (_, url) = url.split_once(".test").unwrap();
            let (path, query) = url.split_once('?').unwrap();
            talk.version = if path.starts_with("/v2") { "v2" } else { "v1" };
            talk.ear = Some(Listener::open(&talk.house, url, &[], talk.now).unwrap());
            talk.write("client", json!({"service": "listen", "version": talk.version, "query": pairs(query)}));
        }
        talk.session.handle_connected(talk.now);
        talk.settle();
        talk
    }

    fn write(&mut self, from: &str, message: Value) {
        self.lines.push(json!({"from": from, "message": message}));
    }

    fn settle(&mut self) {
        loop {
            let before = (self.lines.len(), self.answers.len());
            while let Some(errand) = self.session.poll_errand() {
                match errand {
                    Errand::Send(id, request) => self.ask(id, &request),
                    Errand::Abort(id) => self.answers.retain(|_, (asked, _)| *asked != id),
                    Errand::AbortAll | Errand::Job(..) => {}
                }
            }
            while let Some(message) = self.session.poll_outgoing() {
                match message {
                    Outgoing::Binary(bytes) => self.ear.iter_mut().for_each(|ear| ear.handle_binary(&bytes, self.now)),
                    Outgoing::Text(text) => {
                        let sent: Value = serde_json::from_str(&text).unwrap();
                        self.write("client", json!({"service": "listen", "version": self.version, "message": sent}));
                        self.ear.iter_mut().for_each(|ear| ear.handle_text(&text, self.now));
                    }
                    Outgoing::Ahead(_) | Outgoing::Job(..) | Outgoing::Close => {}
                }
            }
            while let Some(Departure::Message { text, .. }) = self.ear.as_mut().and_then(Listener::poll_departure) {
                let told: Value = serde_json::from_str(&text).unwrap();
                self.write("server", json!({"service": "listen", "version": self.version, "message": told}));
                self.session.handle_incoming(Incoming::Text(text), self.now);
            }
            while let Some(event) = self.session.poll_event() {
                self.on_event(event);
            }
            if before == (self.lines.len(), self.answers.len()) {
                return;
            }
        }
    }

    fn ask(&mut self, id: RequestId, request: &HttpRequest) {
        let (_, url) = request.url.split_once(".test").unwrap();
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        if request.method == Method::Post {
            let body = serde_json::from_slice(&request.body).unwrap_or_else(|_| fields(&request.body));
            self.write("client", json!({"service": "http", "path": path, "query": pairs(query), "body": body}));
        }
        if path.ends_with("/chat/completions") {
            self.chats.push(id);
        }
        let answer = self.house.answer(request, self.now);
        if path.ends_with("/audio/transcriptions") {
            let told: Value = serde_json::from_slice(&answer.pieces[0].1).unwrap();
            self.write("server", json!({"service": "transcription", "message": told}));
        }
        let first = answer.pieces.first().map_or(self.now, |(at, _)| *at);
        let last = answer.pieces.last().map_or(first, |(at, _)| *at);
        let mut parts = vec![(first, Part::Head { status: answer.status, retry_after: None })];
        parts.extend(answer.pieces.into_iter().map(|(at, piece)| (at, Part::Chunk(piece))));
        parts.push((last, Part::End));
        for (at, part) in parts {
            self.numbers += 1;
            self.answers.insert((at, self.numbers), (id, part));
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Audio { utterance, audio } => self.queued.push_back((utterance, audio.duration())),
            Event::SpeechStarted => self.interrupt(),
            Event::ToolCall { id, .. } => {
                let output = json!({"status": "error", "reason": "nobody is there"}).to_string();
                self.session.answer_tool(id, output, Respond::Yes, self.now);
            }
            Event::Failed(failure) => panic!("{failure:?}"),
            _ => {}
        }
    }

    fn interrupt(&mut self) {
        self.queued.clear();
        if let Some(heard) = self.heard.take() {
            self.session.interrupt(heard, self.now);
        }
    }

    fn pass(&mut self, ms: u64) {
        for _ in 0..ms / 20 {
            self.now += FRAME;
            while self.answers.first_key_value().is_some_and(|((at, _), _)| *at <= self.now) {
                let (_, (id, part)) = self.answers.pop_first().unwrap();
                self.told(id, &part);
                self.session.handle_answer(id, part, self.now);
                self.settle();
            }
            self.ear.iter_mut().for_each(|ear| ear.handle_timeout(self.now));
            if self.session.poll_timeout().is_some_and(|(at, _)| at <= self.now) {
                self.session.handle_timeout(self.now);
            }
            self.play();
            self.hear();
            self.settle();
        }
    }

    /// Writes down what a model's stream says.
    fn told(&mut self, id: RequestId, part: &Part) {
        let Part::Chunk(bytes) = part else { return };
        if !self.chats.contains(&id) {
            return;
        }
        let text = String::from_utf8_lossy(bytes).into_owned();
        for data in text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]") {
            let chunk: Value = serde_json::from_str(data).unwrap();
            self.write("server", json!({"service": "chat", "message": chunk}));
        }
    }

    fn hear(&mut self) {
        let loud = self.speech > 0;
        self.quiet = if loud { 0 } else { self.quiet.saturating_add(1) };
        self.speech = self.speech.saturating_sub(1);
        let peak = if loud { 8_000.0 } else { 0.0 };
        let samples: Vec<i16> = (0..160).map(|n| ((f64::from(n) * 0.7).sin() * peak) as i16).collect();
        let audio = match self.session.formats().uplink {
            AudioFormat::G711(law) => Audio::G711 { law, bytes: g711::encode(law, &samples) },
            AudioFormat::Pcm(rate) => Audio::Pcm(Frame { rate, samples }),
        };
        self.session.handle_audio(&audio, self.now);
        if self.quiet == SILENCE {
            let last_voice = self.now - FRAME * u32::try_from(SILENCE).unwrap();
            self.session.handle_speech(Speech::Ended { last_voice }, self.now);
        }
    }

    fn play(&mut self) {
        let Some((utterance, left)) = self.queued.front_mut() else {
            if let Some(heard) = self.heard.take() {
                self.session.handle_played_out(heard, self.now);
            }
            return;
        };
        *left = left.saturating_sub(FRAME);
        let before = self.heard.filter(|heard| heard.utterance == *utterance);
        let played = before.map_or(Duration::ZERO, |heard| heard.played) + FRAME;
        self.heard = Some(Heard { utterance: *utterance, played, queued: Duration::ZERO });
        if left.is_zero() {
            self.queued.pop_front();
        }
    }

    fn say(&mut self, ms: u64) {
        self.speech = ms / 20;
        self.session.handle_speech(Speech::Confirmed, self.now);
        if self.heard.is_some() {
            self.interrupt();
        }
        self.settle();
    }

    /// A greeting, a question that is answered with a tool, a story that is interrupted, keys, and what we have to say.
    fn converse(&mut self) {
        self.pass(2_000);
        self.say(600);
        self.pass(4_000);
        self.say(600);
        self.pass(2_500);
        self.say(600);
        self.pass(4_000);
        self.session.handle_keys("12#", self.now);
        self.settle();
        self.pass(3_000);
        let (destination, reason) = ("sales".to_owned(), "busy".to_owned());
        self.session.inform(Note::TransferFailed { destination, reason }, self.now);
        self.settle();
        self.pass(3_000);
        self.session.inform(Note::SayGoodbye { reason: "the time is up".to_owned() }, self.now);
        self.settle();
        self.pass(3_000);
    }
}

fn pairs(query: &str) -> Value {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    Value::Object(pairs.map(|(name, value)| (name.to_owned(), json!(value))).collect())
}

/// Fields of a form, without what is uploaded with it.
fn fields(body: &[u8]) -> Value {
    let text = String::from_utf8_lossy(body);
    let field = |part: &str| {
        let (head, value) = part.split_once("\r\n\r\n")?;
        let name = head.split("name=\"").nth(1)?.split('"').next()?;
        (!head.contains("filename")).then(|| (name.to_owned(), json!(value.trim_end())))
    };
    let fields: Map<String, Value> = text.split("--ramal-").filter_map(field).collect();
    Value::Object(fields)
}

fn at(url: &str) -> Credentials {
    Credentials { url: url.to_owned(), api_key: None }
}

fn config(hearing: Hearing, voice: Voice) -> Config {
    let chat = Chat {
        at: at("https://chat.test/v1"),
        model: "openai/gpt-oss-120b".into(),
        reasoning_effort: Some("low".into()),
    };
    Config {
        hearing,
        chat,
        voice,
        call: AudioFormat::G711(Law::Mu),
        language: Some("en-US".into()),
        instructions: "Be brief.".into(),
        first_message: Some("Hello.".into()),
        tools: tools(),
        filler: Filler::Off,
    }
}

fn script() -> Script {
    let asks = Reply { calls: vec![transfer()], ..Reply::words("One moment.") };
    Script {
        replies: vec![
            asks,
            Reply::words("Nobody is there."),
            Reply::words("Once upon a time, there was a king who had a very long story."),
            Reply::words("All right."),
        ],
        caller: ["Is sales there?", "Tell me a story.", "Enough."].map(str::to_owned).to_vec(),
        tone_hz: Some(500),
        ..Script::default()
    }
}

#[test]
fn conversations_of_separate_parts_are_as_written_down() {
    let (endpointing, silence) = (Duration::from_millis(10), Duration::from_millis(500));
    let voice = |name: &str| name.to_owned();
    let cases = [
        (
            "pipeline-flux",
            Hearing::Flux { at: at("wss://ear.test"), model: "flux-general-multi".into(), longest_silence: None },
            Voice::Aura { at: at("https://voice.test"), model: "aura-2-thalia-en".into() },
        ),
        (
            "pipeline-nova",
            Hearing::Nova { at: at("wss://ear.test"), model: "nova-3".into(), endpointing, silence },
            Voice::ElevenLabs {
                at: at("https://voice.test"),
                model: "eleven_flash_v2_5".into(),
                voice: voice("v1"),
                speed: Some(1.1),
            },
        ),
        (
            "pipeline-turns",
            Hearing::Transcriptions { at: at("https://ear.test/v1"), model: "whisper-large-v3-turbo".into() },
            Voice::Speech {
                at: at("https://voice.test/v1"),
                model: "gpt-4o-mini-tts".into(),
                voice: voice("marin"),
                speed: None,
            },
        ),
    ];
    for (name, hearing, voice) in cases {
        let mut talk = Talk::new(config(hearing, voice), script());
        talk.converse();
        let text = talk.lines.iter().map(Value::to_string).collect::<String>();
        for there in
            ["tool_calls", "nobody is there", "Tell me a story.", "sales failed", "Say goodbye", "Nobody is there."]
        {
            assert!(text.contains(there), "{name}: {there}");
        }
        let mut told = talk.lines.iter().map(Value::to_string).filter(|line| line.contains("/chat/completions"));
        let last = told.next_back().unwrap();
        assert!(last.contains("Once upon") && !last.contains("a very long story"), "{name}: it is interrupted: {last}");
        check(name, &talk.lines);
    }
}
