//! Scripted sessions: `fixtures/*.jsonl`, one step a line, and what no script can show.
//!
//! `{"first_message": "…"}` greets; `{"server": …}` feeds a message, `{"call": "…"}` does what a call does, `{"wait_ms": n}` advances time up to there
//! through every deadline. After each, everything sent and every event must be expected, in order: `{"sent": …}`
//! (without its `event_id`) and `{"event": "…"}`. `{"sent_id": n}` remembers the id of the last message sent as `$n`.
#![expect(clippy::disallowed_methods, reason = "the origin of virtual time")]
use super::*;
use crate::dialect::{
    Dialect, Disconnect, Endpoint, Event, FailureKind, Incoming, Note, Outgoing, Respond, Tool, ToolCallId, Unworded,
};
use crate::past::{Next, Past, Said};
use media::{Audio, AudioFormat, Frame, Heard, Law, SampleRate, UtteranceId};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

fn config() -> Config {
    Config {
        instructions: "Be brief.".into(),
        first_message: Some("Bom dia!".into()),
        language: Some("pt-BR".into()),
        tools: vec![Tool {
            name: "transfer".into(),
            description: "Transfers the caller.".into(),
            parameters: json!({"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]}),
        }],
        ..Config::new("sk-secret", Format::G711(Law::A))
    }
}

struct Player {
    session: Session,
    now: Instant,
    ids: BTreeMap<String, String>,
    last_id: String,
    label: String,
}

impl Player {
    fn new(config: Config) -> Self {
        let session = Session::new(config);
        Self { session, now: Instant::now(), ids: BTreeMap::new(), last_id: String::new(), label: String::new() }
    }

    fn play(name: &str, script: &str) {
        let mut player = Self::new(Config { first_message: None, ..config() });
        for (number, line) in script.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            player.label = format!("{name}.jsonl:{}", number + 1);
            let step: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}", player.label));
            player.step(&step);
        }
        player.label = format!("{name}.jsonl: end");
        player.assert_silent();
    }

    fn step(&mut self, step: &Value) {
        let (kind, value) = step.as_object().unwrap().iter().next().unwrap();
        match kind.as_str() {
            "first_message" => {
                let first_message = value.as_str().map(str::to_owned);
                self.session = Session::new(Config { first_message, ..config() });
            }
            "server" => {
                self.assert_silent();
                let mut text = value.to_string();
                for (name, id) in &self.ids {
                    text = text.replace(name, id);
                }
                self.session.handle_incoming(Incoming::Text(text), self.now);
            }
            "call" => {
                self.assert_silent();
                self.call(value.as_str().unwrap());
            }
            "wait_ms" => {
                self.assert_silent();
                self.wait(Duration::from_millis(value.as_u64().unwrap()));
            }
            "sent" => assert_eq!(self.sent().as_ref(), Some(value), "{}", self.label),
            "sent_id" => drop(self.ids.insert(format!("${}", value.as_u64().unwrap()), self.last_id.clone())),
            "event" => {
                let event = self.session.poll_event().map(|event| show(&event));
                assert_eq!(event.as_deref(), value.as_str(), "{}", self.label);
            }
            other => panic!("{}: {other}", self.label),
        }
    }

    fn sent(&mut self) -> Option<Value> {
        let Outgoing::Text(text) = self.session.poll_outgoing()? else { panic!("{}: not text", self.label) };
        let mut message: Value = serde_json::from_str(&text).unwrap();
        if let Some(Value::String(id)) = message.as_object_mut().unwrap().remove("event_id") {
            self.last_id = id;
        }
        Some(message)
    }

    fn assert_silent(&mut self) {
        assert_eq!(self.sent(), None, "before {}", self.label);
        assert_eq!(self.session.poll_event().map(|event| show(&event)), None, "before {}", self.label);
    }

    fn wait(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some((deadline, why)) = self.session.poll_timeout().filter(|(deadline, _)| *deadline <= until) {
            assert!(!why.is_empty());
            self.now = self.now.max(deadline);
            self.session.handle_timeout(self.now);
            assert!(
                self.session.poll_timeout().is_none_or(|(next, _)| next > self.now),
                "{}: stuck on {why}",
                self.label
            );
        }
        self.now = until;
    }

    fn call(&mut self, what: &str) {
        let (verb, rest) = what.split_once(' ').unwrap_or((what, ""));
        let words: Vec<&str> = rest.split(' ').collect();
        let number = |n: usize| words[n].parse::<u64>().unwrap();
        match verb {
            "connected" => self.session.handle_connected(self.now),
            "audio" => self.session.handle_audio(&audio(number(0) as usize), self.now),
            "dtmf" => self.session.handle_keys(words[0], self.now),
            "interrupt" => self.session.interrupt(heard(number(0), number(1)), self.now),
            "played_out" => self.session.handle_played_out(heard(number(0), number(1)), self.now),
            "answer" | "answer_silently" => {
                let respond = if verb == "answer" { Respond::Yes } else { Respond::No };
                self.session.answer_tool(ToolCallId(words[0].into()), words[1].into(), respond, self.now);
            }
            "transfer_failed" => {
                let note = Note::TransferFailed { destination: words[0].into(), reason: words[1].into() };
                self.session.inform(note, self.now);
            }
            "say_goodbye" => self.session.inform(Note::SayGoodbye { reason: rest.into() }, self.now),
            "closed" => {
                let close = (number(0) as u16, words[1..].join(" "));
                self.session.handle_disconnected(Disconnect::Closed(Some(close)), self.now);
            }
            other => panic!("{}: {other}", self.label),
        }
    }
}

fn audio(ms: usize) -> Audio {
    Audio::G711 { law: Law::A, bytes: vec![0xd5; ms * 8] }
}

fn heard(utterance: u64, ms: u64) -> Heard {
    let played = Duration::from_millis(ms);
    Heard { utterance: UtteranceId(utterance), played, queued: played }
}

fn show(event: &Event) -> String {
    match event {
        Event::Ready => "Ready".into(),
        Event::Prepare => "Prepare".into(),
        Event::Reconnect => "Reconnect".into(),
        Event::Working(within) => format!("Working {within:?}"),
        Event::SpeechStarted => "SpeechStarted".into(),
        Event::SpeechStopped => "SpeechStopped".into(),
        Event::Audio { utterance, audio } => format!("Audio {} {:?}", utterance.0, audio.duration()),
        Event::UtteranceDone(utterance) => format!("UtteranceDone {}", utterance.0),
        Event::AssistantText { utterance, delta } => format!("AssistantText {} {delta}", utterance.0),
        Event::AssistantHeard { utterance, text } => format!("AssistantHeard {} {text}", utterance.0),
        Event::Thought => "Thought".to_owned(),
        Event::CallerText(text) => format!("CallerText {text}"),
        Event::ToolCall { id, name, arguments } => format!("ToolCall {} {name} {arguments}", id.0),
        Event::Usage(u) => format!(
            "Usage in {}+{} cached {}+{} out {}+{} transcribed {:?}",
            u.input_text, u.input_audio, u.cached_text, u.cached_audio, u.output_text, u.output_audio, u.transcribed
        ),
        Event::Receipt(receipt) => format!("Receipt {}", receipt.url),
        Event::Warning(words) => format!("Warning {words}"),
        Event::Failed(failure) => format!("Failed {:?} {}", failure.kind, failure.message),
    }
}

macro_rules! scripts {
    ($($name:ident),* $(,)?) => {
        $(#[test] fn $name() { Player::play(stringify!($name), include_str!(concat!("fixtures/", stringify!($name), ".jsonl"))); })*
    };
}

scripts!(
    greeting,
    barge_in,
    barge_in_after_the_response_is_done,
    barge_in_before_the_response_exists,
    truncation_is_refused,
    tools_in_parallel,
    tool_answered_while_the_caller_speaks,
    already_active,
    failed_responses,
    silent_server,
    digits,
    notes,
    usage,
    unknown_and_malformed,
    session_expired,
    quota_after_open,
    caller_is_silent,
    mcp_call,
    mcp_call_fails_after_its_response,
    mcp_approval,
    rotation_between_turns,
    rotation_waits_for_a_pause,
    rotation_without_a_pause,
    rotation_before_the_answer_begins,
    a_session_that_ends_early_is_followed_by_another,
    rate_limits,
);

/// A session that is up and was greeted by nobody.
fn ready() -> Player {
    let mut player = Player::new(Config { first_message: None, ..config() });
    player.session.handle_connected(player.now);
    for kind in ["session.created", "session.updated"] {
        let text = json!({"type": kind, "event_id": "e", "session": {}}).to_string();
        player.session.handle_incoming(Incoming::Text(text), player.now);
        while player.session.poll_outgoing().is_some() {}
    }
    assert_eq!(player.session.poll_event(), Some(Event::Ready));
    player
}

#[test]
fn the_key_goes_into_one_header_and_nowhere_else() {
    let session = Session::new(Config { model: "a model/1".into(), ..config() });
    let Endpoint::WebSocket { url, headers } = session.endpoint() else { panic!("a WebSocket") };
    assert_eq!(url, "wss://api.openai.com/v1/realtime?model=a%20model%2F1");
    assert_eq!(headers, [("Authorization".to_owned(), "Bearer sk-secret".to_owned())]);
    assert!(!format!("{session:?} {:?} {:?}", session.endpoint(), config()).contains("secret"));
}

#[test]
fn g711_passes_through_untouched_both_ways() {
    use base64_simd::STANDARD;
    let mut player = ready();
    let up: Vec<u8> = (0..=159).collect();
    player.session.handle_audio(&Audio::G711 { law: Law::A, bytes: up.clone() }, player.now);
    let append = player.sent().unwrap();
    assert_eq!(append["type"], "input_audio_buffer.append");
    assert_eq!(STANDARD.decode_to_vec(append["audio"].as_str().unwrap()).unwrap(), up);

    let down: Vec<u8> = (0..=255).collect();
    let delta = json!({"type": "response.output_audio.delta", "event_id": "e", "response_id": "r", "item_id": "i",
        "output_index": 0, "content_index": 0, "delta": STANDARD.encode_to_string(&down)});
    // Some encoders escape the slash, which is half of base64's punctuation.
    let text = delta.to_string().replace('/', "\\/");
    player.session.handle_incoming(Incoming::Text(text), player.now);
    let audio = Audio::G711 { law: Law::A, bytes: down };
    assert_eq!(player.session.poll_event(), Some(Event::Audio { utterance: UtteranceId(0), audio }));
}

/// `facts`: `audio/pcm` is 24 kHz, 16 bits, little-endian, and nothing else.
#[test]
fn wideband_goes_at_24_khz_both_ways_and_is_truncated_by_its_own_clock() {
    use base64_simd::STANDARD;
    let mut player = Player::new(Config { format: Format::Pcm, first_message: None, ..config() });
    player.session.handle_connected(player.now);
    let text = |kind: &str| Incoming::Text(json!({"type": kind, "event_id": "e", "session": {}}).to_string());
    player.session.handle_incoming(text("session.created"), player.now);
    let update = player.sent().unwrap();
    for way in ["input", "output"] {
        assert_eq!(update["session"]["audio"][way]["format"], json!({"type": "audio/pcm", "rate": 24_000}));
    }
    player.session.handle_incoming(text("session.updated"), player.now);
    assert_eq!(player.session.poll_event(), Some(Event::Ready));
    let frame = |samples: Vec<i16>| Audio::Pcm(Frame { rate: SampleRate::HZ_24000, samples });
    player.session.handle_audio(&frame((0..480).collect()), player.now);
    let up = STANDARD.decode_to_vec(player.sent().unwrap()["audio"].as_str().unwrap()).unwrap();
    assert_eq!(up, (0..480_i16).flat_map(i16::to_le_bytes).collect::<Vec<u8>>());

    player.session.handle_audio(&audio(20), player.now);
    assert_eq!(player.session.counters().wrong_format, 1, "G.711 was not agreed on");
    assert!(matches!(player.session.poll_event(), Some(Event::Warning(_))));

    let down: Vec<u8> = (0..24_000_i16).flat_map(i16::to_le_bytes).collect();
    let delta = json!({"type": "response.output_audio.delta", "event_id": "e", "response_id": "r", "item_id": "i",
        "output_index": 0, "content_index": 0, "delta": STANDARD.encode_to_string(&down)});
    player.session.handle_incoming(Incoming::Text(delta.to_string()), player.now);
    let expected = Event::Audio { utterance: UtteranceId(0), audio: frame((0..24_000).collect()) };
    assert_eq!(player.session.poll_event(), Some(expected));
    let (played, queued) = (Duration::from_millis(1_500), Duration::from_millis(1_500));
    player.session.interrupt(Heard { utterance: UtteranceId(0), played, queued }, player.now);
    assert_eq!(player.sent().unwrap()["audio_end_ms"], 1_000, "no more than what came");
}

/// Where a message ends is the server's affair.
#[test]
fn pcm_that_is_cut_within_a_sample_is_no_noise() {
    let mut player = Player::new(Config { format: Format::Pcm, first_message: None, ..config() });
    player.session.handle_connected(player.now);
    for kind in ["session.created", "session.updated"] {
        let text = json!({"type": kind, "event_id": "e", "session": {}}).to_string();
        player.session.handle_incoming(Incoming::Text(text), player.now);
    }
    assert_eq!(player.session.poll_event(), Some(Event::Ready));
    let (bytes, mut samples): (Vec<u8>, _) = ((0..480_i16).flat_map(i16::to_le_bytes).collect(), Vec::new());
    for part in bytes.chunks(321) {
        let delta = json!({"type": "response.output_audio.delta", "event_id": "e", "response_id": "r", "item_id": "i",
            "output_index": 0, "content_index": 0, "delta": base64_simd::STANDARD.encode_to_string(part)});
        player.session.handle_incoming(Incoming::Text(delta.to_string()), player.now);
        let event = player.session.poll_event();
        let Some(Event::Audio { audio: Audio::Pcm(frame), .. }) = event else { panic!("no audio") };
        samples.extend(frame.samples);
    }
    assert_eq!(samples, (0..480).collect::<Vec<i16>>());
}

#[test]
fn narrowband_that_is_no_g711_goes_as_mu_law() {
    let of = |call| Format::of_call(call);
    assert_eq!(of(AudioFormat::G711(Law::A)), Format::G711(Law::A));
    assert_eq!(of(AudioFormat::Pcm(SampleRate::HZ_8000)), Format::G711(Law::Mu));
    assert_eq!(of(AudioFormat::Pcm(SampleRate::HZ_16000)), Format::Pcm);
}

#[test]
fn caller_audio_waits_for_the_session_and_the_oldest_is_dropped_and_counted() {
    let mut player = Player::new(Config { backlog: Duration::from_millis(100), first_message: None, ..config() });
    player.session.handle_connected(player.now);
    for _ in 0..10 {
        player.session.handle_audio(&audio(20), player.now);
    }
    assert_eq!(player.sent(), None);
    assert_eq!(player.session.counters().trimmed, Duration::from_millis(100));
    assert!(matches!(player.session.poll_event(), Some(Event::Warning(_))));
    assert_eq!(player.session.poll_event(), None, "told once");
}

#[test]
fn audio_of_another_format_is_dropped_and_told_once() {
    let mut player = ready();
    for _ in 0..3 {
        player.session.handle_audio(&Audio::G711 { law: Law::Mu, bytes: vec![0; 160] }, player.now);
    }
    assert_eq!(player.sent(), None);
    assert_eq!(player.session.counters().wrong_format, 3);
    assert!(matches!(player.session.poll_event(), Some(Event::Warning(_))));
    assert_eq!(player.session.poll_event(), None);
}

#[test]
fn a_session_that_is_never_ready_fails_by_name() {
    for messages in [&[][..], &["session.created"]] {
        let mut player = Player::new(config());
        player.session.handle_connected(player.now);
        let text = |kind| Incoming::Text(json!({"type": kind, "event_id": "e", "session": {}}).to_string());
        messages.iter().for_each(|kind| player.session.handle_incoming(text(kind), player.now));
        let (deadline, why) = player.session.poll_timeout().unwrap();
        assert_eq!((deadline - player.now, why), (Duration::from_secs(10), "openai session ready"));
        player.session.handle_timeout(deadline);
        let Some(Event::Failed(failure)) = player.session.poll_event() else { panic!("no failure") };
        assert_eq!(failure.kind, FailureKind::Unavailable);
        assert_eq!(player.session.poll_timeout(), None);
    }
}

#[test]
fn a_refused_session_update_ends_the_conversation_before_it_began() {
    let mut player = Player::new(config());
    player.session.handle_connected(player.now);
    player.session.handle_incoming(
        Incoming::Text(json!({"type": "session.created", "event_id": "e", "session": {}}).to_string()),
        player.now,
    );
    let refusal = json!({"type": "error", "event_id": "e", "error": {"type": "invalid_request_error",
        "code": "unknown_parameter", "message": "Unknown parameter: 'session.x'.", "param": "session.x", "event_id": null}});
    player.session.handle_incoming(Incoming::Text(refusal.to_string()), player.now);
    let Some(Event::Failed(failure)) = player.session.poll_event() else { panic!("no failure") };
    assert_eq!(failure.kind, FailureKind::Protocol);
    assert_eq!(failure.message, "unknown_parameter: Unknown parameter: 'session.x'.");
}

#[test]
fn nothing_follows_a_failure() {
    let mut player = ready();
    player.session.handle_disconnected(Disconnect::Closed(None), player.now);
    assert!(matches!(player.session.poll_event(), Some(Event::Failed(_))));
    player.session.handle_disconnected(Disconnect::Refused(401), player.now);
    player.session.handle_audio(&audio(20), player.now);
    player.session.handle_keys("1", player.now);
    player.session.inform(Note::SayGoodbye { reason: "x".into() }, player.now);
    player.session.interrupt(heard(0, 10), player.now);
    player.session.handle_incoming(Incoming::Text("garbage".into()), player.now);
    player.assert_silent();
    assert_eq!(player.session.poll_timeout(), None);
}

#[test]
fn a_custom_voice_and_semantic_detection_are_written_as_the_server_wants_them() {
    let detection = TurnDetection::SemanticVad { eagerness: Eagerness::High, interrupts: Interrupts::ByClient };
    let settings = Config {
        voice: "voice_123".into(),
        turn_detection: detection,
        noise_reduction: NoiseReduction::Off,
        transcription_model: None,
        speed: Some(1.1),
        ..Config::new("k", Format::G711(Law::Mu))
    };
    let update: Value = serde_json::from_str(&wire::session_update(&settings, "e1")).unwrap();
    let expected = json!({
        "input": {
            "format": {"type": "audio/pcmu"},
            "noise_reduction": null,
            "transcription": null,
            "turn_detection":
                {"type": "semantic_vad", "eagerness": "high", "create_response": true, "interrupt_response": false},
        },
        "output": {"format": {"type": "audio/pcmu"}, "voice": {"id": "voice_123"}, "speed": 1.1},
    });
    assert_eq!(update["session"]["audio"], expected);
}

#[test]
fn every_setting_is_written_as_the_server_wants_it_and_no_secret_is_shown() {
    let server = McpServer {
        label: "stock".into(),
        url: "https://tools.example/mcp".into(),
        authorization: Some("very-secret".into()),
        allowed_tools: vec!["look_up".into()],
    };
    let open = McpServer { authorization: None, allowed_tools: Vec::new(), ..server.clone() };
    let detection = TurnDetection::ServerVad {
        threshold: 0.6,
        prefix_padding: Duration::from_millis(300),
        silence_duration: Duration::from_millis(400),
        idle: Some(Duration::from_secs(10)),
        interrupts: Interrupts::ByServer,
    };
    let settings = Config {
        turn_detection: detection,
        noise_reduction: NoiseReduction::FarField,
        tool_choice: ToolChoice::Function("transfer".into()),
        mcp: vec![server, open],
        bounds: Bounds {
            reasoning: Some(Effort::ExtraHigh),
            max_output_tokens: Some(1_000),
            truncation: Some(Truncation::Retain(0.8)),
        },
        ..Config::new("k", Format::G711(Law::Mu))
    };
    let update: Value = serde_json::from_str(&wire::session_update(&settings, "e1")).unwrap();
    let session = &update["session"];
    let tools = json!([
        {"type": "mcp", "server_label": "stock", "server_url": "https://tools.example/mcp",
            "authorization": "very-secret", "allowed_tools": ["look_up"], "require_approval": "never"},
        {"type": "mcp", "server_label": "stock", "server_url": "https://tools.example/mcp", "require_approval": "never"},
    ]);
    assert_eq!(session["tools"], tools);
    assert_eq!(session["tool_choice"], json!({"type": "function", "name": "transfer"}));
    assert_eq!(session["reasoning"], json!({"effort": "xhigh"}));
    assert_eq!(session["max_output_tokens"], 1_000);
    assert_eq!(session["truncation"], json!({"type": "retention_ratio", "retention_ratio": 0.8}));
    assert_eq!(session["audio"]["input"]["turn_detection"]["idle_timeout_ms"], 10_000);
    assert_eq!(session["audio"]["input"]["noise_reduction"], json!({"type": "far_field"}));
    let shown = format!("{settings:?} {:?}", settings.mcp);
    assert!(shown.contains("tools.example") && !shown.contains("very-secret"), "{shown}");
}

#[test]
fn azure_takes_the_key_in_a_header_of_its_own_and_a_deployment_for_a_model() {
    let url = "wss://res.openai.azure.com/openai/v1/realtime".to_owned();
    let config = Config { url, auth: Auth::ApiKey, model: "my deployment".into(), ..config() };
    let Endpoint::WebSocket { url, headers } = Session::new(config).endpoint() else { panic!("no WebSocket") };
    assert_eq!(url, "wss://res.openai.azure.com/openai/v1/realtime?model=my%20deployment");
    assert_eq!(headers, [("api-key".to_owned(), "sk-secret".to_owned())]);
}

/// The caller may begin to speak while the session is left: the next one hears the last second again, once.
#[test]
fn a_session_that_takes_over_hears_the_last_of_the_caller_and_all_that_came_since() {
    let mut player = ready();
    let frame = |value: u8| Audio::G711 { law: Law::A, bytes: vec![value; 160] };
    let mut value = 0;
    let mut speak = |player: &mut Player, frames: usize| {
        for _ in 0..frames {
            player.session.handle_audio(&frame(value), player.now);
            value += 1;
        }
    };
    speak(&mut player, 70);
    while player.session.poll_outgoing().is_some() {}
    player.wait(Duration::from_secs(50 * 60));
    assert_eq!(player.session.poll_event(), Some(Event::Reconnect));
    speak(&mut player, 30);
    assert_eq!(player.sent(), None, "it waits");
    player.session.handle_connected(player.now);
    for kind in ["session.created", "session.updated"] {
        let text = json!({"type": kind, "event_id": "e", "session": {}}).to_string();
        player.session.handle_incoming(Incoming::Text(text), player.now);
    }
    let sent: Vec<Value> = std::iter::from_fn(|| player.sent()).collect();
    let audio = sent.iter().filter_map(|message| message["audio"].as_str());
    let audio: Vec<u8> = audio.flat_map(|text| base64_simd::STANDARD.decode_to_vec(text).unwrap()).collect();
    let expected: Vec<u8> = (20..100).flat_map(|value| [value; 160]).collect();
    assert_eq!(audio, expected);
    assert_eq!((player.session.poll_event(), player.session.counters().rotated), (None, 1));
}

impl Player {
    fn server(&mut self, message: Value) {
        self.session.handle_incoming(Incoming::Text(message.to_string()), self.now);
    }

    /// A session is there: all that is sent then, but for the settings of it.
    fn opened(&mut self) -> Vec<Value> {
        self.session.handle_connected(self.now);
        for kind in ["session.created", "session.updated"] {
            self.server(json!({"type": kind, "event_id": "e", "session": {}}));
        }
        let sent: Vec<Value> = std::iter::from_fn(|| self.sent()).collect();
        sent.into_iter().filter(|message| message["type"] != "session.update").collect()
    }

    fn drain(&mut self) -> Vec<Event> {
        while self.session.poll_outgoing().is_some() {}
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }

    /// The server ends the session as after its longest life.
    fn expires(&mut self) {
        let error = json!({"type": "invalid_request_error", "code": "session_expired", "message": "m"});
        self.server(json!({"type": "error", "event_id": "e", "error": error}));
        assert!(std::iter::from_fn(|| self.session.poll_event()).any(|event| event == Event::Reconnect));
    }
}

fn audio_in(sent: &[Value]) -> Vec<u8> {
    let audio = sent.iter().filter_map(|message| message["audio"].as_str());
    audio.flat_map(|text| base64_simd::STANDARD.decode_to_vec(text).unwrap()).collect()
}

/// The call keeps the turn, and hears it again: what was committed is no second turn, and no answer is asked for beside.
#[test]
fn a_turn_that_is_heard_again_is_owed_no_other_answer_and_its_end_is_no_turn_of_its_own() {
    let frame = |value: u8| Audio::G711 { law: Law::A, bytes: vec![value; 160] };
    for is_heard_again in [true, false] {
        let mut player = ready();
        player.wait(Duration::from_secs(61));
        player.server(json!({"type": "input_audio_buffer.speech_started", "event_id": "e", "item_id": "turn"}));
        player.session.handle_audio(&frame(1), player.now);
        for kind in ["speech_stopped", "committed"] {
            let kind = format!("input_audio_buffer.{kind}");
            player.server(json!({"type": kind, "event_id": "e", "item_id": "turn"}));
        }
        player.drain();
        player.session.handle_audio(&frame(2), player.now);
        player.expires();
        if is_heard_again {
            assert!(player.session.hears_again(Unworded::All));
            player.session.handle_audio(&frame(1), player.now);
            player.session.handle_audio(&frame(2), player.now);
        }
        let sent = player.opened();
        let asked = sent.iter().filter(|message| message["type"] == "response.create").count();
        let audio = audio_in(&sent);
        if is_heard_again {
            assert_eq!((asked, audio), (0, [[1; 160], [2; 160]].concat()));
        } else {
            assert_eq!((asked, audio), (1, vec![2; 160]), "only what was not sent");
            assert!(sent[0].to_string().contains("There was a gap"), "{sent:?}");
        }
    }
}

#[test]
fn what_names_things_of_the_session_that_was_left_does_not_follow_into_the_next() {
    let mut player = ready();
    player.wait(Duration::from_secs(61));
    player.server(json!({"type": "response.created", "event_id": "e", "response": {"id": "r"}}));
    let call = json!({"type": "function_call", "id": "i", "call_id": "c", "name": "transfer", "status": "completed"});
    player.server(json!({"type": "response.output_item.done", "event_id": "e", "response_id": "r", "item": call}));
    let delta = base64_simd::STANDARD.encode_to_string([0xd5; 8_000]);
    player
        .server(json!({"type": "response.output_audio.delta", "event_id": "e", "response_id": "r", "item_id": "said",
        "delta": delta}));
    player.drain();
    player.session.answer_tool(ToolCallId("c".into()), "{}".into(), Respond::Yes, player.now);
    player.session.interrupt(heard(0, 300), player.now);
    player.session.handle_keys("5", player.now);
    player.expires();
    let sent: Vec<Value> = player.opened();
    let kinds: Vec<_> = sent.iter().map(|message| message["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["conversation.item.create", "response.create"], "{sent:?}");
    assert!(sent[0].to_string().contains("digitou 5"), "{sent:?}");
}

/// What never comes must not keep a session until the server ends it in the middle of a word.
#[test]
fn a_pause_is_found_whatever_did_not_come() {
    let kind = |kind: &str| json!({"type": kind, "event_id": "e", "item_id": "turn"});
    let created = |id: &str| json!({"type": "response.created", "event_id": "e", "response": {"id": id}});
    let done = |id: &str, status: &str| json!({"type": "response.done", "event_id": "e", "response": {"id": id, "status": status, "output": []}});
    let call = json!({"id": "m", "type": "mcp_call", "server_label": "s", "name": "n", "arguments": "{}"});
    let added = json!({"type": "response.output_item.added", "event_id": "e", "response_id": "r", "item": call});
    let speech = |id: &str| {
        json!({"type": "response.output_audio.delta", "event_id": "e", "response_id": "r", "item_id": id,
            "delta": base64_simd::STANDARD.encode_to_string([0xd5; 800])})
    };
    let cases = [
        ("a transcript", vec![kind("input_audio_buffer.committed")]),
        ("an answer", vec![kind("input_audio_buffer.speech_stopped")]),
        ("the outcome of a call", vec![created("r"), added, done("r", "cancelled")]),
        ("what the call dropped", vec![created("r"), speech("a"), speech("b"), done("r", "completed")]),
    ];
    for (case, messages) in cases {
        let mut player = ready();
        messages.into_iter().for_each(|message| player.server(message));
        player.session.handle_played_out(heard(1, 100), player.now);
        player.drain();
        player.wait(Duration::from_secs(50 * 60 + 20));
        assert!(player.drain().contains(&Event::Reconnect), "{case}");
    }
}

#[test]
fn words_of_a_silence_are_not_waited_for_though_it_became_an_item_first() {
    let mut player = Player::new(Config { first_message: None, rotate_after: Duration::from_secs(1), ..config() });
    player.opened();
    for kind in ["committed", "timeout_triggered"] {
        let kind = format!("input_audio_buffer.{kind}");
        player.server(json!({"type": kind, "event_id": "e", "item_id": "silence"}));
    }
    player.wait(Duration::from_secs(3));
    assert!(player.drain().contains(&Event::Reconnect));
}

/// Else a greeting would be a transfer, and the outcome of each tool another call of it.
#[test]
fn who_must_use_tools_in_every_answer_need_not_in_what_we_ask_for() {
    for choice in [ToolChoice::Required, ToolChoice::Function("transfer".into())] {
        let mut player = Player::new(Config { tool_choice: choice, ..config() });
        let greeting = player.opened().remove(0);
        assert_eq!(
            (&greeting["type"], &greeting["response"]["tool_choice"]),
            (&json!("response.create"), &json!("none"))
        );
        player.server(json!({"type": "response.created", "event_id": "e", "response": {"id": "r"}}));
        player
            .server(json!({"type": "response.done", "event_id": "e", "response": {"id": "r", "status": "completed"}}));
        player.session.handle_keys("1", player.now);
        let _item = player.sent();
        assert_eq!(player.sent().unwrap()["response"], json!({"tool_choice": "auto"}));
    }
}

#[test]
fn no_secret_that_the_provider_knows_is_told_again() {
    let server = McpServer {
        label: "stock".into(),
        url: "https://tools.example/mcp".into(),
        authorization: Some("very-secret".into()),
        allowed_tools: Vec::new(),
    };
    let config = Config { auth: Auth::ApiKey, api_key: "0123abcd".into(), mcp: vec![server], ..config() };
    let said = "no access with 0123abcd, nor with very-secret";
    let mut player = Player::new(config.clone());
    player.opened();
    player.drain();
    player.server(json!({"type": "error", "event_id": "e", "error": {"type": "server_error", "message": said}}));
    player.session.handle_disconnected(Disconnect::Closed(Some((1011, said.into()))), player.now);
    let told: Vec<String> = player.drain().iter().map(show).collect();
    let expected = "no access with …, nor with …";
    assert_eq!(
        told,
        [format!("Warning server_error: {expected}"), format!("Failed Unavailable closed with 1011: {expected}")]
    );
}

#[test]
fn of_a_long_conversation_that_another_began_only_the_last_is_told() {
    let mut player = Player::new(config());
    let said = (0..100).map(|number| Said::Caller(format!("{number} {}", "x".repeat(996)))).collect();
    player.session.resume(Past { said, next: Next::Listen });
    let sent = player.opened();
    assert!((20..=24).contains(&sent.len()), "{}", sent.len());
    assert!(sent.last().unwrap().to_string().contains("99 xxx"));
}
