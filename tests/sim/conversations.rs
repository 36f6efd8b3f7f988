//! Whole conversations of each dialect with its simulator, message by message, as written down in
//! `tests/fixtures/conversations`. Models of the vendors' own are asked about each line there: see `tests/sdk`.
use crate::house::{House, Provider};
use base64_simd::STANDARD;
use media::{Audio, AudioFormat, Frame, Heard, Speech, UtteranceId, codec::g711};
use providers::{
    Ahead, Dialect, Disconnect, Event, Next, Note, Outgoing, Past, Respond, Said, Tool, elevenlabs, gemini,
    live as duplex, openai,
};
use ramal::lab::{
    elevenlabs as agents, gemini as live, live as full_duplex,
    openai::{self as realtime, Departure, ScriptedCall},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeSet, VecDeque},
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

const FRAME: Duration = Duration::from_millis(20);
/// Texts longer than this are audio, and of audio so much is kept.
const LONG: usize = 200;
const KEPT: usize = 16;

/// A dialect and its simulator, a caller, and what was written down.
struct Exchange {
    house: House,
    provider: Option<Provider>,
    /// The connection that will follow.
    ahead: Option<Provider>,
    dialect: Box<dyn Dialect>,
    connections: u64,
    /// How many of them came to be used.
    used: u64,
    now: Instant,
    /// Speech of the assistant not yet played.
    queued: VecDeque<(UtteranceId, Duration)>,
    heard: Option<Heard>,
    /// Frames of speech the caller has still to say.
    speech: u64,
    /// For how many frames they have spoken.
    spoken: u64,
    calls: usize,
    lines: Vec<Value>,
    /// Of either side, whether its last message was audio: one stands for all in a row.
    audio: [bool; 2],
}

impl Exchange {
    fn new(house: impl Into<House>, dialect: impl Dialect + 'static) -> Self {
        Self::with(house, dialect, None)
    }

    /// One that goes on with what another provider's conversation left.
    fn resumed(house: impl Into<House>, dialect: impl Dialect + 'static) -> Self {
        let said = vec![
            Said::Assistant("Hello.".to_owned()),
            Said::Caller("Is sales there?".to_owned()),
            Said::Assistant("One moment.".to_owned()),
        ];
        Self::with(house, dialect, Some(Past { said, next: Next::GoOn }))
    }

    fn with(house: impl Into<House>, mut dialect: impl Dialect + 'static, past: Option<Past>) -> Self {
        if let Some(past) = past {
            dialect.resume(past);
        }
        let mut exchange = Self {
            house: house.into(),
            provider: None,
            ahead: None,
            dialect: Box::new(dialect),
            connections: 0,
            used: 0,
            now: Instant::now(),
            queued: VecDeque::new(),
            heard: None,
            speech: 0,
            spoken: 0,
            calls: 0,
            lines: Vec::new(),
            audio: [false; 2],
        };
        exchange.connect();
        exchange.settle();
        exchange
    }

    fn open(&mut self) -> Option<Provider> {
        self.connections += 1;
        self.house.open("", self.connections, self.now)
    }

    fn connect(&mut self) {
        self.used += 1;
        self.provider = self.ahead.take().or_else(|| self.open());
        self.dialect.handle_connected(self.now);
    }

    fn write_down(&mut self, from: &str, text: &str) {
        let mut message: Value = serde_json::from_str(text).unwrap();
        if let Some(version) = message.pointer_mut("/source_info/version") {
            *version = json!("0.0.0");
        }
        let (side, is_audio) = (usize::from(from == "server"), shorten(&mut message));
        if !(is_audio && self.audio[side]) {
            self.lines.push(json!({"from": from, "message": message}));
        }
        self.audio[side] = is_audio;
    }

    fn settle(&mut self) {
        loop {
            let before = self.lines.len();
            let mut moved = false;
            while let Some(outgoing) = self.dialect.poll_outgoing() {
                moved = true;
                let (text, is_ahead) = match outgoing {
                    Outgoing::Text(text) => (text, false),
                    Outgoing::Ahead(text) => (text, true),
                    Outgoing::Binary(_) | Outgoing::Job(..) | Outgoing::Close => continue,
                };
                self.write_down("client", &text);
                let provider = if is_ahead { &mut self.ahead } else { &mut self.provider };
                provider.iter_mut().for_each(|provider| provider.handle_text(&text, self.now));
            }
            while let Some(departure) = self.provider.as_mut().and_then(Provider::poll_departure) {
                moved = true;
                self.depart(departure);
            }
            while let Some(event) = self.dialect.poll_event() {
                moved = true;
                self.on_event(event);
            }
            if !moved && before == self.lines.len() {
                return;
            }
        }
    }

    fn depart(&mut self, departure: Departure) {
        let how = match departure {
            Departure::Message { text, .. } => {
                self.write_down("server", &text);
                return self.dialect.handle_incoming(self.house.framed(text), self.now);
            }
            Departure::Close(code, reason) => Some((code, reason)),
            Departure::Drop => None,
        };
        self.provider = None;
        self.dialect.handle_disconnected(Disconnect::Closed(how), self.now);
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Prepare => {
                self.ahead = self.open();
                self.dialect.handle_ahead(Ahead::Open, self.now);
            }
            Event::Reconnect => self.connect(),
            Event::Audio { utterance, audio } => self.queued.push_back((utterance, audio.duration())),
            Event::SpeechStarted => self.interrupt(),
            Event::ToolCall { id, name, .. } => {
                self.calls += usize::from(name == "transfer");
                let output = json!({"status": "error", "reason": "nobody is there"}).to_string();
                self.dialect.answer_tool(id, output, Respond::Yes, self.now);
            }
            _ => {}
        }
    }

    fn interrupt(&mut self) {
        self.queued.clear();
        if let Some(heard) = self.heard.take() {
            self.dialect.interrupt(heard, self.now);
        }
    }

    /// Our own detector, for a model that has no events of turns.
    fn detect(&mut self) {
        let speech = match (self.speech, self.spoken) {
            (0, 0) => return,
            (0, _) => Speech::Ended { last_voice: self.now },
            (_, 2) => Speech::Suspected,
            (_, 8) => Speech::Confirmed,
            _ => return self.spoken += 1,
        };
        self.spoken = if self.speech > 0 { self.spoken + 1 } else { 0 };
        self.dialect.handle_speech(speech, self.now);
        if speech == Speech::Confirmed && matches!(self.house, House::OpenAiLive(_)) {
            self.interrupt();
        }
    }

    /// Time in which the caller is on the line.
    fn pass(&mut self, ms: u64) {
        self.run(ms, true);
    }

    fn run(&mut self, ms: u64, on_the_line: bool) {
        for _ in 0..ms / 20 {
            self.now += FRAME;
            let due = |at: Option<(Instant, &str)>| at.is_some_and(|(at, _)| at <= self.now);
            if due(self.provider.as_ref().and_then(Provider::poll_timeout)) {
                self.provider.iter_mut().for_each(|provider| provider.handle_timeout(self.now));
            }
            if due(self.dialect.poll_timeout()) {
                self.dialect.handle_timeout(self.now);
            }
            self.play();
            if on_the_line {
                self.detect();
                self.hear();
            }
            self.settle();
        }
    }

    fn hear(&mut self) {
        let format = self.dialect.formats().uplink;
        let peak = if self.speech > 0 { 8_000.0 } else { 0.0 };
        self.speech = self.speech.saturating_sub(1);
        let count = format.rate().samples_in(FRAME);
        let samples: Vec<i16> = (0..count).map(|n| ((n as f64 * 0.7).sin() * peak) as i16).collect();
        let audio = match format {
            AudioFormat::G711(law) => Audio::G711 { law, bytes: g711::encode(law, &samples) },
            AudioFormat::Pcm(rate) => Audio::Pcm(Frame { rate, samples }),
        };
        self.dialect.handle_audio(&audio, self.now);
    }

    fn play(&mut self) {
        let Some((utterance, left)) = self.queued.front_mut() else {
            if let Some(heard) = self.heard.take() {
                self.dialect.handle_played_out(heard, self.now);
            }
            return;
        };
        *left = left.saturating_sub(FRAME);
        let before =
            self.heard.filter(|heard| heard.utterance == *utterance).map_or(Duration::ZERO, |heard| heard.played);
        self.heard = Some(Heard { utterance: *utterance, played: before + FRAME, queued: before + FRAME });
        if left.is_zero() {
            self.queued.pop_front();
        }
    }

    fn say(&mut self, ms: u64) {
        self.speech = ms / 20;
    }

    /// A greeting, a question that is answered with a tool, an interruption, keys, all that a call has to say, a pause
    /// of the line, and another question.
    fn converse(&mut self) {
        self.pass(2_000);
        self.say(600);
        self.pass(5_000);
        self.say(400);
        self.pass(2_000);
        self.say(400);
        self.pass(4_000);
        self.dialect.handle_keys("12#", self.now);
        self.pass(5_000);
        let (destination, reason) = ("sales".to_owned(), "busy".to_owned());
        self.dialect.inform(Note::TransferFailed { destination, reason }, self.now);
        self.pass(5_000);
        self.dialect.inform(Note::Say { text: "One moment, please.".to_owned() }, self.now);
        self.pass(5_000);
        self.run(2_000, false);
        self.say(600);
        self.pass(4_000);
        self.dialect.inform(Note::SayGoodbye { reason: "the time is up".to_owned() }, self.now);
        self.pass(5_000);
        assert_eq!(self.calls, 1, "the tool was called");
    }

    /// What kinds of message this side sent, as `kind` tells them.
    fn kinds(&self, from: &str, kind: fn(&Value) -> String) -> BTreeSet<String> {
        self.lines.iter().filter(|line| line["from"] == from).map(|line| kind(&line["message"])).collect()
    }

    fn check(&self, name: &str) {
        check(name, &self.lines);
    }
}

/// The conversation is the one that is written down; with RAMAL_WRITE_FIXTURES it is written down.
pub(crate) fn check(name: &str, lines: &[Value]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/conversations/{name}.jsonl"));
    let lines: Vec<_> = lines.iter().map(Value::to_string).collect();
    if std::env::var_os("RAMAL_WRITE_FIXTURES").is_some() {
        fs::write(&path, lines.join("\n") + "\n").unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let hint = "if this is wanted, write it down with RAMAL_WRITE_FIXTURES=1";
    for (number, (line, kept)) in lines.iter().zip(kept.lines()).enumerate() {
        assert_eq!(line, kept, "{name}.jsonl:{}: {hint}", number + 1);
    }
    assert_eq!(lines.len(), kept.lines().count(), "{name}.jsonl: {hint}");
}

/// Cuts audio down to a piece that is still base64; whether there was any.
fn shorten(value: &mut Value) -> bool {
    match value {
        Value::String(text) if text.len() > LONG && STANDARD.check(text.as_bytes()).is_ok() => {
            text.truncate(KEPT);
            true
        }
        Value::Object(fields) => fields.values_mut().fold(false, |any, value| shorten(value) | any),
        Value::Array(values) => values.iter_mut().fold(false, |any, value| shorten(value) | any),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn by_type(message: &Value) -> String {
    message["type"].as_str().unwrap_or("user_audio_chunk").to_owned()
}

/// Gemini's messages have no type but the names of their members, two deep.
fn by_member(message: &Value) -> String {
    let names = |value: &Value| value.as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>().join("+"));
    let kind = names(message).unwrap_or_default();
    let inner = message.get("serverContent").or(message.get("realtimeInput")).and_then(names);
    inner.map_or_else(|| kind.clone(), |inner| format!("{kind}.{inner}"))
}

fn set(kinds: &[&str]) -> BTreeSet<String> {
    kinds.iter().map(|kind| (*kind).to_owned()).collect()
}

fn caller() -> Vec<String> {
    ["Is sales there?", "I see.", "And tomorrow?", "Goodbye."].map(str::to_owned).to_vec()
}

pub(crate) fn transfer() -> ScriptedCall {
    ScriptedCall { name: "transfer".into(), arguments: json!({"destination": "sales"}) }
}

pub(crate) fn tools() -> Vec<Tool> {
    let parameters = json!({"type": "object", "properties": {"destination": {"type": "string", "enum": ["sales"],
        "description": "Whom to call."}}, "required": ["destination"]});
    vec![Tool { name: "transfer".into(), description: "Transfers the caller.".into(), parameters }]
}

#[test]
fn a_conversation_with_openai_is_as_written_down() {
    let reply = |words: &str, ms| realtime::Reply { transcript: Some(words.into()), ..realtime::Reply::tone(500, ms) };
    let asks = realtime::Reply { calls: vec![transfer()], ..reply("One moment.", 400) };
    let script = realtime::Script {
        greeting: Some(reply("Hello.", 600)),
        replies: vec![asks, reply("one two three four", 4_000), reply("All right.", 600)],
        caller: caller(),
        ..realtime::Script::default()
    };
    let mut config = openai::Config::new("sk-test", openai::Format::G711(media::Law::Mu));
    config.instructions = "Be brief.".into();
    config.first_message = Some("Hello.".into());
    config.language = Some("en".into());
    config.tools = tools();
    let mut exchange = Exchange::new(script, openai::Session::new(config));
    exchange.converse();
    for kind in ["session.update", "input_audio_buffer.append", "conversation.item.create", "response.create"] {
        assert!(exchange.kinds("client", by_type).contains(kind), "{kind}");
    }
    exchange.check("openai");
}

#[test]
fn a_conversation_with_openai_live_is_as_written_down() {
    let reply =
        |words: &str, ms| full_duplex::Reply { transcript: Some(words.into()), ..full_duplex::Reply::tone(500, ms) };
    let asks = full_duplex::Reply { calls: vec![transfer()], ..reply("One moment.", 400) };
    let script = full_duplex::Script {
        greeting: Some(reply("Hello.", 600)),
        replies: vec![asks, reply("one two three four", 4_000), reply("All right.", 600)],
        caller: caller(),
        yields_ms: 900,
        ..full_duplex::Script::default()
    };
    let mut config = duplex::Config::new("sk-test", openai::Format::G711(media::Law::Mu));
    config.instructions = "Be brief.".into();
    config.first_message = Some("Hello.".into());
    config.language = Some("en".into());
    config.tools = tools();
    let mut exchange = Exchange::new(script, duplex::Session::new(config));
    exchange.converse();
    let sent = set(&[
        "session.start",
        "session.input_audio.append",
        "session.commentary.append",
        "session.instructions.append",
        "session.thinking.append",
        "response.item.create",
        "response.create",
    ]);
    assert_eq!(exchange.kinds("client", by_type), sent);
    exchange.check("openai-live");
}

#[test]
fn a_conversation_with_gemini_is_as_written_down() {
    let reply = |words: &str, ms| live::Reply { transcript: Some(words.into()), ..live::Reply::tone(500, ms) };
    let asks = live::Reply { calls: vec![transfer()], ..reply("One moment.", 400) };
    let faults = live::Faults {
        connections: 1,
        go_away_after_ms: Some(24_000),
        go_away_left_ms: 10_000,
        ..live::Faults::default()
    };
    let script = live::Script {
        greeting: Some(reply("Hello.", 600)),
        replies: vec![asks, reply("one two three four", 4_000), reply("All right.", 600)],
        caller: caller(),
        faults,
        ..live::Script::default()
    };
    let mut config = gemini::Config::new("g-test");
    config.instructions = "Be brief.".into();
    config.first_message = Some("Hello.".into());
    config.language = Some("en-US".into());
    config.tools = tools();
    config.turn_detection.ending = Some(gemini::Ending::High);
    config.turn_detection.prefix_padding = Some(Duration::from_millis(100));
    let mut exchange = Exchange::new(script, gemini::Session::new(config));
    exchange.converse();
    let sent =
        set(&["setup", "realtimeInput.audio", "realtimeInput.text", "realtimeInput.audioStreamEnd", "toolResponse"]);
    assert_eq!(exchange.kinds("client", by_member), sent);
    let told = set(&[
        "setupComplete",
        "sessionResumptionUpdate",
        "goAway",
        "toolCall",
        "serverContent.modelTurn",
        "serverContent.inputTranscription",
        "serverContent.outputTranscription",
        "serverContent.interrupted",
        "serverContent.generationComplete",
        "serverContent+usageMetadata.turnComplete",
    ]);
    assert_eq!(exchange.kinds("server", by_member), told);
    assert_eq!(exchange.used, 2);
    exchange.check("gemini");
}

#[test]
fn a_conversation_with_elevenlabs_is_as_written_down() {
    let reply = |words: &str, ms| agents::Reply { transcript: Some(words.into()), ..agents::Reply::tone(500, ms) };
    let asks = agents::Reply { calls: vec![transfer()], ..reply("One moment.", 400) };
    let bye = agents::Reply { hang_up: true, ..reply("Goodbye.", 600) };
    let right = || reply("All right.", 600);
    let script = agents::Script {
        greeting: Some(reply("Hello.", 600)),
        replies: vec![asks, reply("one two three four", 4_000), right(), right(), right(), right(), right(), bye],
        caller: caller(),
        ..agents::Script::default()
    };
    let mut exchange = Exchange::new(script, elevenlabs::Session::new(agent()));
    exchange.converse();
    let sent =
        set(&["conversation_initiation_client_data", "user_audio_chunk", "pong", "user_message", "client_tool_result"]);
    assert_eq!(exchange.kinds("client", by_type), sent);
    let told = set(&[
        "conversation_initiation_metadata",
        "audio",
        "agent_response",
        "agent_response_correction",
        "agent_tool_response",
        "client_tool_call",
        "interruption",
        "ping",
        "user_transcript",
        "vad_score",
    ]);
    assert_eq!(exchange.kinds("server", by_type), told);
    exchange.check("elevenlabs");
}

/// The caller waits for an answer, is given it, and asks something else.
#[test]
fn a_conversation_that_another_provider_began_is_as_written_down() {
    let (answer, words) = ("Nobody is there.", "And tomorrow?");
    let mut config = openai::Config::new("sk-test", openai::Format::G711(media::Law::Mu));
    config.first_message = Some("Hello.".into());
    let reply = realtime::Reply { transcript: Some(answer.into()), ..realtime::Reply::tone(500, 800) };
    let script = realtime::Script { replies: vec![reply], caller: vec![words.into()], ..realtime::Script::default() };
    let openai = Exchange::resumed(script, openai::Session::new(config));

    let mut config = duplex::Config::new("sk-test", openai::Format::G711(media::Law::Mu));
    config.first_message = Some("Hello.".into());
    let reply = full_duplex::Reply { transcript: Some(answer.into()), ..full_duplex::Reply::tone(500, 800) };
    let script =
        full_duplex::Script { replies: vec![reply], caller: vec![words.into()], ..full_duplex::Script::default() };
    let openai_live = Exchange::resumed(script, duplex::Session::new(config));

    let mut config = gemini::Config::new("g-test");
    config.first_message = Some("Hello.".into());
    let reply = live::Reply { transcript: Some(answer.into()), ..live::Reply::tone(500, 800) };
    let script = live::Script { replies: vec![reply], caller: vec![words.into()], ..live::Script::default() };
    let gemini = Exchange::resumed(script, gemini::Session::new(config));

    let reply = agents::Reply { transcript: Some(answer.into()), ..agents::Reply::tone(500, 800) };
    let script = agents::Script { replies: vec![reply], caller: vec![words.into()], ..agents::Script::default() };
    let elevenlabs = Exchange::resumed(script, elevenlabs::Session::new(agent()));

    let all = [
        ("openai-resumed", openai),
        ("openai-live-resumed", openai_live),
        ("gemini-resumed", gemini),
        ("elevenlabs-resumed", elevenlabs),
    ];
    for (name, mut exchange) in all {
        exchange.pass(3_000);
        let told = exchange.lines.iter().filter(|line| line["from"] == "client");
        assert!(told.clone().any(|line| line.to_string().contains("Is sales there?")), "{name}: what was said is told");
        exchange.say(600);
        exchange.pass(4_000);
        exchange.check(name);
    }
}

/// What the cost is read from.
#[test]
fn the_record_of_a_conversation_with_elevenlabs_is_as_written_down() {
    let house = Arc::new(agents::House::from(agents::Script::default()));
    let mut exchange = Exchange::new(Arc::clone(&house), elevenlabs::Session::new(agent()));
    exchange.pass(30_000);
    let open = exchange.now;
    let record = |now| house.record("conv_lab_000001", now).unwrap().to_string();
    exchange.lines = Vec::new();
    exchange.write_down("server", &record(open));
    exchange.provider = None;
    for after in [0, 1] {
        exchange.write_down("server", &record(open + Duration::from_secs(after)));
    }
    exchange.check("elevenlabs-record");
}

fn agent() -> elevenlabs::Config {
    let mut config = elevenlabs::Config::new("agent_1", elevenlabs::Format::Ulaw);
    config.overrides = elevenlabs::Overrides {
        prompt: Some("Be brief.".into()),
        llm: Some("gpt-6-luna".into()),
        first_message: Some("Hello.".into()),
        language: Some("en-US".into()),
        voice: Some("voice1".into()),
        speed: Some(1.1),
    };
    config.variables = vec![("caller_number".into(), "+5511988887777".into())];
    config
}

/// The shape of an error that the vendor's schema has; the other, flat one is seen in the wild only.
#[test]
fn an_error_of_elevenlabs_is_as_written_down() {
    let script = agents::Script { allowed: Vec::new(), ..agents::Script::default() };
    let exchange = Exchange::new(script, elevenlabs::Session::new(agent()));
    assert_eq!(exchange.kinds("server", by_type), set(&["error"]));
    exchange.check("elevenlabs-error");
}
