//! Scripted conversations: `fixtures/*.jsonl`, one step a line, and what no script can show.
//!
//! `{"server": …}` feeds a message, in which `$audio_500` is half a second of µ-law; `{"call": "…"}` does what a call does;
//! `{"wait_ms": n}` advances time up to there through every deadline. After each, everything sent and every event must be
//! expected, in order: `{"sent": …}` and `{"event": "…"}`.
#![expect(clippy::disallowed_methods, reason = "the origin of virtual time")]
use super::*;
use crate::dialect::{
    Dialect, Disconnect, Endpoint, Event, FailureKind, Incoming, Note, Outgoing, Respond, ToolCallId,
};
use crate::receipt::Bill;
use base64_simd::STANDARD;
use media::{Audio, AudioFormat, Frame, Heard, Law, SampleRate, UtteranceId};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn config() -> Config {
    let variables = [("caller_number", "+5511988887777"), ("called_number", "8000"), ("domain_name", "demo.example")];
    Config {
        api_key: Some("sk_secret".into()),
        language: Some("pt-BR".into()),
        variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        ..Config::new("agent_1", Format::Ulaw)
    }
}

struct Player {
    session: Session,
    now: Instant,
    label: String,
}

impl Player {
    fn new(config: Config) -> Self {
        Self { session: Session::new(config), now: Instant::now(), label: String::new() }
    }

    fn play(name: &str, script: &str) {
        let mut player = Self::new(config());
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
            "server" => {
                self.assert_silent();
                self.hear(value);
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
            "event" => {
                let event = self.session.poll_event().map(|event| show(&event));
                assert_eq!(event.as_deref(), value.as_str(), "{}", self.label);
            }
            other => panic!("{}: {other}", self.label),
        }
    }

    fn hear(&mut self, message: &Value) {
        let mut text = message.to_string();
        for ms in [100, 500, 3_000] {
            let audio = STANDARD.encode_to_string(vec![0xff; ms * 8]);
            text = text.replace(&format!("$audio_{ms}\""), &format!("{audio}\""));
        }
        self.session.handle_incoming(Incoming::Text(text), self.now);
    }

    fn sent(&mut self) -> Option<Value> {
        let Outgoing::Text(text) = self.session.poll_outgoing()? else { panic!("{}: not text", self.label) };
        Some(serde_json::from_str(&text.replace(env!("CARGO_PKG_VERSION"), "$version")).unwrap())
    }

    fn assert_silent(&mut self) {
        assert_eq!(self.sent(), None, "before {}", self.label);
        assert_eq!(self.session.poll_event().map(|event| show(&event)), None, "before {}", self.label);
    }

    fn wait(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some((deadline, why)) = self.session.poll_timeout().filter(|(deadline, _)| *deadline <= until) {
            self.now = self.now.max(deadline);
            self.session.handle_timeout(self.now);
            let next = self.session.poll_timeout();
            assert!(next.is_none_or(|(next, _)| next > self.now), "{}: stuck on {why}", self.label);
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
            "keys" => self.session.handle_keys(words[0], self.now),
            "interrupt" => self.session.interrupt(heard(number(0), number(1)), self.now),
            "played_out" => self.session.handle_played_out(heard(number(0), number(1)), self.now),
            "answer" => {
                self.session.answer_tool(ToolCallId(words[0].into()), words[1].into(), Respond::Yes, self.now);
            }
            "transfer_failed" => {
                let note = Note::TransferFailed { destination: words[0].into(), reason: words[1].into() };
                self.session.inform(note, self.now);
            }
            "say" => self.session.inform(Note::Say { text: rest.into() }, self.now),
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
    Audio::G711 { law: Law::Mu, bytes: vec![0xff; ms * 8] }
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
        Event::Usage(usage) => format!("Usage {:?}", usage.connected),
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
    interruption,
    cut_before_the_server_notices,
    client_tools,
    the_agent_hangs_up,
    the_agent_hangs_up_without_a_word,
    forbidden_override,
    missing_dynamic_variable,
    quota_in_a_flat_error,
    quota_as_a_normal_end,
    llm_timeout,
    keys_and_notes,
    vad_scores,
    unknown_and_malformed,
);

fn metadata(output: &str, input: Option<&str>) -> Value {
    let mut event = json!({ "agent_output_audio_format": output });
    if let Some(input) = input {
        event["user_input_audio_format"] = input.into();
    }
    json!({"type": "conversation_initiation_metadata", "conversation_initiation_metadata_event": event})
}

/// A conversation that is up, with an agent of these formats.
fn ready(config: Config, output: &str, input: Option<&str>) -> Player {
    let mut player = Player::new(config);
    player.session.handle_connected(player.now);
    assert!(player.sent().is_some());
    player.hear(&metadata(output, input));
    assert_eq!(player.session.poll_event(), Some(Event::Ready));
    player
}

#[test]
fn a_private_agent_is_reached_by_a_signed_url_and_the_key_goes_with_that_request_alone() {
    let session = Session::new(Config { agent_id: "an agent/1".into(), ..config() });
    let Endpoint::SignedWebSocket { request, headers, member } = session.endpoint() else { panic!("not signed") };
    let expected = "https://api.elevenlabs.io/v1/convai/conversation/get-signed-url?agent_id=an%20agent%2F1";
    assert_eq!((request.as_str(), member), (expected, "signed_url"));
    assert_eq!(headers, [("xi-api-key".to_owned(), "sk_secret".to_owned())]);
    assert!(!format!("{session:?} {:?} {:?}", session.endpoint(), config()).contains("secret"));
}

/// The cost is asked for with the key, which nobody sees; without one it is never told.
#[test]
fn the_cost_of_a_conversation_is_told_to_whoever_has_the_key() {
    let told = |api_key: Option<&str>| {
        let mut player = Player::new(Config { api_key: api_key.map(str::to_owned), ..config() });
        player.session.handle_connected(player.now);
        let mut begin = metadata("ulaw_8000", None);
        begin["conversation_initiation_metadata_event"]["conversation_id"] = "conv/1".into();
        player.hear(&begin);
        std::iter::from_fn(|| player.session.poll_event()).collect::<Vec<_>>()
    };
    let events = told(Some("sk_secret"));
    let [Event::Receipt(receipt), Event::Ready] = &events[..] else { panic!("{events:?}") };
    assert_eq!(receipt.url, "https://api.elevenlabs.io/v1/convai/conversations/conv%2F1");
    assert_eq!(receipt.headers, [("xi-api-key".to_owned(), "sk_secret".to_owned())]);
    assert!(!format!("{events:?}").contains("secret"));
    assert_eq!(receipt.read(r#"{"status":"done","metadata":{"cost_fiat":0.5}}"#), Bill::Cost(500_000));
    assert_eq!(told(None), [Event::Ready]);
}

#[test]
fn a_public_agent_is_reached_without_a_key() {
    let url = "ws://127.0.0.1:8443/v1/convai/conversation".to_owned();
    let session = Session::new(Config { api_key: None, url, ..config() });
    let Endpoint::WebSocket { url, headers } = session.endpoint() else { panic!("signed") };
    assert_eq!(url, "ws://127.0.0.1:8443/v1/convai/conversation?agent_id=agent_1");
    assert_eq!(headers, []);
}

#[test]
fn only_overrides_that_are_set_are_sent_and_as_the_server_spells_them() {
    let sent = |overrides| {
        let mut player = Player::new(Config { overrides, variables: Vec::new(), ..config() });
        player.session.handle_connected(player.now);
        player.sent().unwrap()
    };
    assert_eq!(sent(Overrides::default()).get("conversation_config_override"), None);
    let all = sent(Overrides {
        prompt: Some("Be brief.".into()),
        llm: Some("gpt-6-luna".into()),
        first_message: Some("Bom dia!".into()),
        language: Some("pt-BR".into()),
        voice: Some("voice1".into()),
        speed: Some(0.5),
    });
    let expected = json!({
        "agent": {"first_message": "Bom dia!", "language": "pt-br", "prompt": {"prompt": "Be brief.", "llm": "gpt-6-luna"}},
        "tts": {"voice_id": "voice1", "speed": 0.7},
    });
    assert_eq!(all["conversation_config_override"], expected, "there is no slower speech");
    assert_eq!(all.get("dynamic_variables"), None);
    for (tag, code) in [("en-US", "en"), ("pt-PT", "pt"), ("pt", "pt"), ("es_MX", "es")] {
        let language = Some(tag.to_owned());
        let sent = sent(Overrides { language, ..Overrides::default() });
        assert_eq!(sent["conversation_config_override"], json!({"agent": {"language": code}}), "{tag}");
    }
}

#[test]
fn mu_law_passes_through_untouched_both_ways() {
    let mut player = ready(config(), "ulaw_8000", Some("ulaw_8000"));
    let up: Vec<u8> = (0..=159).collect();
    player.session.handle_audio(&Audio::G711 { law: Law::Mu, bytes: up.clone() }, player.now);
    let chunk = player.sent().unwrap();
    assert_eq!(chunk.as_object().unwrap().keys().collect::<Vec<_>>(), ["user_audio_chunk"], "it has no type");
    assert_eq!(STANDARD.decode_to_vec(chunk["user_audio_chunk"].as_str().unwrap()).unwrap(), up);

    let down: Vec<u8> = (0..=255).collect();
    let base64 = STANDARD.encode_to_string(&down);
    let event = json!({"type": "audio", "audio_event": {"audio_base_64": base64, "event_id": 1}});
    player.session.handle_incoming(Incoming::Text(event.to_string().replace('/', "\\/")), player.now);
    let audio = Audio::G711 { law: Law::Mu, bytes: down };
    assert_eq!(player.session.poll_event(), Some(Event::Audio { utterance: UtteranceId(0), audio }));
}

/// Pitfall: the formats are the agent's, each way for itself, and one that hears nothing in particular hears 16 kHz.
#[test]
fn the_formats_of_the_agent_are_obeyed_whatever_was_expected() {
    let pcm = |hz| AudioFormat::Pcm(SampleRate::new(hz).unwrap());
    let cases = [
        ("ulaw_8000", Some("ulaw_8000"), AudioFormat::G711(Law::Mu), AudioFormat::G711(Law::Mu)),
        ("pcm_16000", None, pcm(16_000), pcm(16_000)),
        ("pcm_44100", Some("pcm_24000"), pcm(44_100), pcm(24_000)),
        ("ulaw_8000", Some("pcm_8000"), AudioFormat::G711(Law::Mu), pcm(8_000)),
    ];
    for (output, input, downlink, uplink) in cases {
        let player = ready(config(), output, input);
        let formats = player.session.formats();
        assert_eq!((formats.downlink, formats.uplink), (downlink, uplink), "{output} {input:?}");
    }
    let mut player = ready(config(), "pcm_16000", Some("pcm_16000"));
    let frame = |samples: Vec<i16>| Audio::Pcm(Frame { rate: SampleRate::HZ_16000, samples });
    player.session.handle_audio(&frame((0..320).collect()), player.now);
    let chunk = player.sent().unwrap();
    let up = STANDARD.decode_to_vec(chunk["user_audio_chunk"].as_str().unwrap()).unwrap();
    assert_eq!(up, (0..320_i16).flat_map(i16::to_le_bytes).collect::<Vec<u8>>());
    let base64 = STANDARD.encode_to_string(&up);
    player.hear(&json!({"type": "audio", "audio_event": {"audio_base_64": base64, "event_id": 1}}));
    let expected = Event::Audio { utterance: UtteranceId(0), audio: frame((0..320).collect()) };
    assert_eq!(player.session.poll_event(), Some(expected));
}

/// Where a message ends is the server's affair.
#[test]
fn pcm_that_is_cut_within_a_sample_is_no_noise() {
    let mut player = ready(config(), "pcm_16000", Some("pcm_16000"));
    let (bytes, mut samples): (Vec<u8>, _) = ((0..480_i16).flat_map(i16::to_le_bytes).collect(), Vec::new());
    for (part, event_id) in bytes.chunks(321).zip(1..) {
        let audio = json!({"audio_base_64": STANDARD.encode_to_string(part), "event_id": event_id});
        player.hear(&json!({"type": "audio", "audio_event": audio}));
        let event = player.session.poll_event();
        let Some(Event::Audio { audio: Audio::Pcm(frame), .. }) = event else { panic!("no audio") };
        samples.extend(frame.samples);
    }
    assert_eq!(samples, (0..480).collect::<Vec<i16>>());
}

#[test]
fn an_agent_with_a_format_nobody_here_knows_is_refused_in_words() {
    for (output, input) in [("opus_48000", "ulaw_8000"), ("pcm_16000", "alaw_8000"), ("pcm_1", "pcm_16000")] {
        let mut player = Player::new(config());
        player.session.handle_connected(player.now);
        player.sent();
        player.hear(&metadata(output, Some(input)));
        assert!(matches!(player.session.poll_event(), Some(Event::Failed(failure))
            if failure.kind == FailureKind::Protocol && failure.message.contains(output)));
    }
}

#[test]
fn caller_audio_waits_for_the_formats_and_what_is_in_another_is_dropped_and_told_once() {
    let mut player = Player::new(config());
    player.session.handle_connected(player.now);
    player.sent();
    player.session.handle_audio(&audio(20), player.now);
    assert_eq!(player.sent(), None);
    player.hear(&metadata("pcm_16000", Some("pcm_16000")));
    assert_eq!(player.session.poll_event(), Some(Event::Ready));
    assert_eq!(player.sent(), None, "what was µ-law is not taken for PCM");
    for _ in 0..3 {
        player.session.handle_audio(&audio(20), player.now);
    }
    assert_eq!(player.session.counters().wrong_format, 3);
    assert!(matches!(player.session.poll_event(), Some(Event::Warning(_))));
    player.assert_silent();
}

/// Pitfall: after a stall, no backlog is dumped.
#[test]
fn the_oldest_caller_audio_is_dropped_and_counted_when_the_provider_does_not_take_it() {
    let backlog = Duration::from_millis(100);
    let mut player = ready(Config { backlog, ..config() }, "ulaw_8000", Some("ulaw_8000"));
    for _ in 0..10 {
        player.session.handle_audio(&audio(20), player.now);
    }
    assert_eq!(player.session.counters().trimmed, Duration::from_millis(100));
    assert!(matches!(player.session.poll_event(), Some(Event::Warning(_))));
    assert_eq!(player.session.poll_event(), None, "told once");
}

#[test]
fn a_conversation_that_is_never_confirmed_fails_by_name() {
    let mut player = Player::new(config());
    player.session.handle_connected(player.now);
    player.sent();
    let (deadline, why) = player.session.poll_timeout().unwrap();
    assert_eq!((deadline - player.now, why), (Duration::from_secs(10), "elevenlabs session ready"));
    player.session.handle_timeout(deadline);
    assert_eq!(player.session.poll_event().map(|event| show(&event)).as_deref(), Some("Usage 10s"));
    assert!(
        matches!(player.session.poll_event(), Some(Event::Failed(failure)) if failure.kind == FailureKind::Unavailable)
    );
    assert_eq!(player.session.poll_timeout(), None);
}

#[test]
fn connected_time_is_reported_by_the_second_and_what_is_left_at_the_end() {
    let mut player = ready(config(), "ulaw_8000", Some("ulaw_8000"));
    let began = player.now;
    let mut told = Duration::ZERO;
    for step in 1..=125 {
        player.now = began + Duration::from_millis(20) * step;
        player.session.handle_audio(&audio(20), player.now);
        while let Some(Event::Usage(usage)) = player.session.poll_event() {
            told += usage.connected;
        }
    }
    assert_eq!(told, Duration::from_secs(2));
    player.session.handle_disconnected(Disconnect::Closed(None), player.now);
    assert_eq!(player.session.poll_event().map(|event| show(&event)).as_deref(), Some("Usage 500ms"));
    assert!(matches!(player.session.poll_event(), Some(Event::Failed(_))));
}

#[test]
fn nothing_follows_a_failure() {
    let mut player = ready(config(), "ulaw_8000", Some("ulaw_8000"));
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
