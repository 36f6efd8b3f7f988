//! Scripted conversations: `fixtures/*.jsonl`, one step a line, and what no script can show.
//!
//! `{"first_message": "…"}` greets; `{"server": …}` feeds a message in a binary frame, `{"call": "…"}` does what a call
//! does, `{"wait_ms": n}` advances time up to there through every deadline. After each, everything sent and every event
//! must be expected, in order: `{"sent": …}` and `{"event": "…"}`.
#![expect(clippy::disallowed_methods, reason = "the origin of virtual time")]
use super::*;
use crate::dialect::{
    Ahead, Dialect, Disconnect, Endpoint, Event, FailureKind, Incoming, Note, Outgoing, Respond, Tool, ToolCallId,
};
use media::{Audio, Frame, Heard, Law, SampleRate, Speech, UtteranceId};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

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
        ..Config::new("g-secret")
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
        if matches!(kind.as_str(), "server" | "call" | "wait_ms") {
            self.assert_silent();
        }
        match kind.as_str() {
            "first_message" => {
                let first_message = value.as_str().map(str::to_owned);
                self.session = Session::new(Config { first_message, ..config() });
            }
            "server" => self.server(value),
            "call" => self.call(value.as_str().unwrap()),
            "wait_ms" => self.wait(Duration::from_millis(value.as_u64().unwrap())),
            "sent" => assert_eq!(self.sent().as_ref(), Some(value), "{}", self.label),
            "event" => {
                let event = self.session.poll_event().map(|event| show(&event));
                assert_eq!(event.as_deref(), value.as_str(), "{}", self.label);
            }
            other => panic!("{}: {other}", self.label),
        }
    }

    fn server(&mut self, message: &Value) {
        self.session.handle_incoming(Incoming::Binary(message.to_string().into_bytes()), self.now);
    }

    /// What was sent; of a setup only what changes between connections.
    fn sent(&mut self) -> Option<Value> {
        let (text, is_ahead) = match self.session.poll_outgoing()? {
            Outgoing::Text(text) => (text, false),
            Outgoing::Ahead(text) => (text, true),
            other => panic!("{}: {other:?}", self.label),
        };
        let message: Value = serde_json::from_str(&text).unwrap();
        let resumption = message.pointer("/setup/sessionResumption").cloned();
        let message = resumption.map_or(message, |resumption| json!({"setup": {"sessionResumption": resumption}}));
        Some(if is_ahead { json!({"ahead": message}) } else { message })
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
            let next = self.session.poll_timeout();
            assert!(next.is_none_or(|(next, _)| next > self.now), "{}: stuck on {why}: {next:?}", self.label);
        }
        self.now = until;
    }

    fn call(&mut self, what: &str) {
        let (verb, rest) = what.split_once(' ').unwrap_or((what, ""));
        let words: Vec<&str> = rest.split(' ').collect();
        let number = |n: usize| words[n].parse::<u64>().unwrap();
        match verb {
            "connected" => self.session.handle_connected(self.now),
            "ahead_is_open" => self.session.handle_ahead(Ahead::Open, self.now),
            "ahead_is_lost" => self.session.handle_ahead(Ahead::Lost, self.now),
            "audio" => self.session.handle_audio(&audio(number(0)), self.now),
            "speaks" => self.session.handle_speech(Speech::Confirmed, self.now),
            "stops" => self.session.handle_speech(Speech::Ended { last_voice: self.now }, self.now),
            "keys" => self.session.handle_keys(words[0], self.now),
            "interrupt" => self.session.interrupt(heard(number(0), number(1)), self.now),
            "answer" | "answer_silently" => {
                let respond = if verb == "answer" { Respond::Yes } else { Respond::No };
                self.session.answer_tool(ToolCallId(words[0].into()), words[1].into(), respond, self.now);
            }
            "say" => self.session.inform(Note::Say { text: rest.into() }, self.now),
            "say_goodbye" => self.session.inform(Note::SayGoodbye { reason: rest.into() }, self.now),
            "closed" => {
                let close = (number(0) as u16, words[1..].join(" "));
                self.session.handle_disconnected(Disconnect::Closed(Some(close)), self.now);
            }
            "broken" => self.session.handle_disconnected(Disconnect::Closed(None), self.now),
            other => panic!("{}: {other}", self.label),
        }
    }
}

fn audio(ms: u64) -> Audio {
    Audio::Pcm(Frame { rate: SampleRate::HZ_16000, samples: vec![0; ms as usize * 16] })
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
            "Usage in {}+{} cached {}+{} out {}+{}",
            u.input_text, u.input_audio, u.cached_text, u.cached_audio, u.output_text, u.output_audio
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
    conversation,
    barge_in_heard_by_the_server,
    barge_in_heard_by_us_first,
    interrupted_before_we_hear_anybody,
    silent_after_an_interruption,
    tools,
    cancelled_tool,
    tools_of_a_past_connection,
    digits_wait_for_silence,
    keys_over_a_long_answer,
    goodbye_does_not_wait,
    go_away_between_turns,
    go_away_without_a_pause,
    the_next_connection_is_not_to_be_had,
    the_next_connection_waits_for_a_handle,
    the_next_connection_went_on_from_too_early,
    broken_connection_is_resumed,
    resumption_is_refused,
    context_is_full,
    quota_after_open,
    unknown_and_malformed,
    audio_pauses,
    usage,
);

/// A session that is up and was greeted by nobody.
fn ready() -> Player {
    let mut player = Player::new(Config { first_message: None, ..config() });
    player.session.handle_connected(player.now);
    assert!(player.sent().is_some());
    player.server(&json!({"setupComplete": {}}));
    assert_eq!(player.session.poll_event(), Some(Event::Ready));
    player
}

#[test]
fn the_key_goes_into_one_header_and_nowhere_else() {
    let mut session = Session::new(Config { url: "wss://example.test/".into(), ..config() });
    let Endpoint::WebSocket { url, headers } = session.endpoint() else { panic!("a WebSocket") };
    let path = "ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
    assert_eq!(url, format!("wss://example.test/{path}"));
    assert_eq!(headers, [("x-goog-api-key".to_owned(), "g-secret".to_owned())]);
    assert!(!format!("{session:?} {:?} {:?}", session.endpoint(), config()).contains("secret"));
    session.handle_disconnected(Disconnect::Unreachable("bad g-secret".into()), Instant::now());
    let Some(Event::Failed(failure)) = session.poll_event() else { panic!("no failure") };
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Connection, "bad …"));
}

#[test]
fn the_setup_says_all_there_is_to_say_and_nothing_that_is_not_known() {
    let setup = |config: &Config| serde_json::from_str::<Value>(&wire::setup(config, None)).unwrap();
    let expected = json!({"setup": {
        "model": "models/gemini-3.8-live",
        "generationConfig": {"responseModalities": ["AUDIO"], "speechConfig": {
            "voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}, "languageCode": "pt-BR"}},
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "tools": [{"functionDeclarations": [{"name": "transfer", "description": "Transfers the caller.",
            "parameters": {"type": "OBJECT", "properties": {"to": {"type": "STRING"}}, "required": ["to"]}}]}],
        "realtimeInputConfig": {
            "automaticActivityDetection": {"startOfSpeechSensitivity": "START_SENSITIVITY_LOW", "silenceDurationMs": 500},
            "activityHandling": "START_OF_ACTIVITY_INTERRUPTS"},
        "inputAudioTranscription": {}, "outputAudioTranscription": {},
        "sessionResumption": {}, "contextWindowCompression": {"slidingWindow": {}},
    }});
    assert_eq!(setup(&config()), expected);
    let turn_detection = TurnDetection {
        start: Start::High,
        ending: Some(Ending::Low),
        prefix_padding: Some(Duration::from_millis(40)),
        silence: None,
    };
    let bare = setup(&Config { turn_detection, ..Config::new("k") });
    let detection = json!({"startOfSpeechSensitivity": "START_SENSITIVITY_HIGH",
        "endOfSpeechSensitivity": "END_SENSITIVITY_LOW", "prefixPaddingMs": 40});
    assert_eq!(bare["setup"]["realtimeInputConfig"]["automaticActivityDetection"], detection);
    for absent in ["tools", "systemInstruction"] {
        assert_eq!(bare["setup"].get(absent), None, "{absent}");
    }
}

/// `facts` §1: PCM, little-endian: 16 kHz up, and down whatever the type of each part says.
#[test]
fn audio_goes_up_at_16_khz_and_comes_down_at_24() {
    use base64_simd::STANDARD;
    let mut player = ready();
    let frame = |rate, samples: Vec<i16>| Audio::Pcm(Frame { rate, samples });
    player.session.handle_audio(&frame(SampleRate::HZ_16000, (0..320).collect()), player.now);
    let sent = player.sent().unwrap();
    assert_eq!(sent["realtimeInput"]["audio"]["mimeType"], "audio/pcm;rate=16000");
    let up = STANDARD.decode_to_vec(sent["realtimeInput"]["audio"]["data"].as_str().unwrap()).unwrap();
    assert_eq!(up, (0..320_i16).flat_map(i16::to_le_bytes).collect::<Vec<u8>>());

    let down: Vec<u8> = (0..480_i16).flat_map(i16::to_le_bytes).collect();
    for (mime, rate) in [("audio/pcm;rate=24000", SampleRate::HZ_24000), ("audio/pcm;rate=16000", SampleRate::HZ_16000)]
    {
        let part = json!({"inlineData": {"mimeType": mime, "data": STANDARD.encode_to_string(&down)}});
        player.server(&json!({"serverContent": {"modelTurn": {"role": "model", "parts": [part]}}}));
        let expected = Event::Audio { utterance: UtteranceId(0), audio: frame(rate, (0..480).collect()) };
        assert_eq!(player.session.poll_event(), Some(expected));
    }
}

/// Where a message ends is the server's affair.
#[test]
fn pcm_that_is_cut_within_a_sample_is_no_noise() {
    let mut player = ready();
    let (bytes, mut samples): (Vec<u8>, _) = ((0..480_i16).flat_map(i16::to_le_bytes).collect(), Vec::new());
    for part in bytes.chunks(321) {
        let data = base64_simd::STANDARD.encode_to_string(part);
        let part = json!({"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": data}});
        player.server(&json!({"serverContent": {"modelTurn": {"role": "model", "parts": [part]}}}));
        let event = player.session.poll_event();
        let Some(Event::Audio { audio: Audio::Pcm(frame), .. }) = event else { panic!("no audio") };
        samples.extend(frame.samples);
    }
    assert_eq!(samples, (0..480).collect::<Vec<i16>>());
}

#[test]
fn audio_of_another_format_is_dropped_and_told_once() {
    let mut player = ready();
    for _ in 0..3 {
        player.session.handle_audio(&Audio::G711 { law: Law::Mu, bytes: vec![0; 160] }, player.now);
    }
    assert_eq!((player.sent(), player.session.counters().wrong_format), (None, 3));
    assert!(matches!(player.session.poll_event(), Some(Event::Warning(_))));
    assert_eq!(player.session.poll_event(), None);
}

#[test]
fn caller_audio_waits_for_the_setup_and_the_oldest_is_dropped_and_counted() {
    let mut player = Player::new(Config { backlog: Duration::from_millis(100), first_message: None, ..config() });
    for _ in 0..10 {
        player.session.handle_audio(&audio(20), player.now);
    }
    assert_eq!(player.sent(), None);
    assert_eq!(player.session.counters().trimmed, Duration::from_millis(100));
    assert!(matches!(player.session.poll_event(), Some(Event::Warning(_))));
    assert_eq!(player.session.poll_event(), None, "told once");
}

#[test]
fn a_session_that_is_never_set_up_fails_by_name() {
    let mut player = Player::new(config());
    player.session.handle_connected(player.now);
    let (deadline, why) = player.session.poll_timeout().unwrap();
    assert_eq!((deadline - player.now, why), (Duration::from_secs(10), "gemini setup complete"));
    player.session.handle_timeout(deadline);
    let Some(Event::Failed(failure)) = player.session.poll_event() else { panic!("no failure") };
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert_eq!(player.session.poll_timeout(), None);
}

/// `facts` §6.5: connections were closed at 58:00 without a `goAway`.
#[test]
fn a_connection_is_left_before_it_is_closed_for_its_age() {
    let mut player = ready();
    player.server(&json!({"sessionResumptionUpdate": {"newHandle": "h", "resumable": true}}));
    player.wait(Duration::from_secs(55 * 60 - 1));
    player.assert_silent();
    player.wait(Duration::from_secs(1));
    assert_eq!(player.session.poll_event(), Some(Event::Prepare));
    player.wait(Duration::from_secs(3));
    assert_eq!(player.session.poll_event(), Some(Event::Reconnect), "the next is not waited for");
}

#[test]
fn nothing_follows_a_failure() {
    let mut player = ready();
    player.session.handle_disconnected(Disconnect::Refused(401), player.now);
    assert!(matches!(player.session.poll_event(), Some(Event::Failed(_))));
    player.session.handle_disconnected(Disconnect::Closed(None), player.now);
    player.session.handle_audio(&audio(20), player.now);
    player.session.handle_keys("1", player.now);
    player.session.inform(Note::SayGoodbye { reason: "x".into() }, player.now);
    player.session.interrupt(heard(0, 10), player.now);
    player.session.handle_incoming(Incoming::Text("garbage".into()), player.now);
    player.session.handle_timeout(player.now);
    player.assert_silent();
    assert_eq!(player.session.poll_timeout(), None);
}
