//! Scripted sessions: `fixtures/*.jsonl`, one step a line, as those of `openai`.
#![expect(clippy::disallowed_methods, reason = "the origin of virtual time")]
use super::*;
use crate::{
    dialect::{Dialect, Disconnect, Endpoint, Event, Incoming, Note, Outgoing, Respond, Tool, ToolCallId, Unworded},
    openai::Format,
};
use media::{Audio, Heard, Law, Speech, UtteranceId};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn config() -> Config {
    Config {
        instructions: "Be brief.".into(),
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
    label: String,
}

impl Player {
    fn new(config: Config) -> Self {
        Self { session: Session::new(config), now: Instant::now(), label: String::new() }
    }

    fn play(name: &str, script: &str) {
        let mut player = Self::new(config());
        for (number, line) in script.lines().enumerate() {
            player.label = format!("{name}.jsonl:{}", number + 1);
            let step: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}", player.label));
            player.step(&step);
        }
        player.label = format!("{name}.jsonl: end");
        player.assert_silent();
    }

    fn step(&mut self, step: &Value) {
        let (kind, value) = step.as_object().unwrap().iter().next().unwrap();
        if !matches!(kind.as_str(), "sent" | "event" | "first_message") {
            self.assert_silent_unless_setting_up();
        }
        match kind.as_str() {
            "first_message" => {
                let first_message = value.as_str().map(str::to_owned);
                self.session = Session::new(Config { first_message, ..config() });
            }
            "server" => self.session.handle_incoming(Incoming::Text(value.to_string()), self.now),
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

    /// `session.start` may be asserted after audio of the caller has come.
    fn assert_silent_unless_setting_up(&mut self) {
        if self.session.poll_timeout().is_none_or(|(_, why)| why != "live session started") {
            self.assert_silent();
        }
    }

    fn assert_silent(&mut self) {
        assert_eq!(self.sent(), None, "before {}", self.label);
        assert_eq!(self.session.poll_event().map(|event| show(&event)), None, "before {}", self.label);
    }

    fn sent(&mut self) -> Option<Value> {
        let Outgoing::Text(text) = self.session.poll_outgoing()? else { panic!("{}: not text", self.label) };
        let mut message: Value = serde_json::from_str(&text).unwrap();
        message.as_object_mut().unwrap().remove("event_id");
        Some(message)
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
            "audio" => {
                let audio = Audio::G711 { law: Law::A, bytes: vec![0xd5; number(0) as usize * 8] };
                self.session.handle_audio(&audio, self.now);
            }
            "dtmf" => self.session.handle_keys(words[0], self.now),
            "interrupt" => self.session.interrupt(heard(number(0), number(1)), self.now),
            "played_out" => self.session.handle_played_out(heard(number(0), number(1)), self.now),
            "speech_ended" => self.session.handle_speech(Speech::Ended { last_voice: self.now }, self.now),
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

fn heard(utterance: u64, ms: u64) -> Heard {
    let played = Duration::from_millis(ms);
    Heard { utterance: UtteranceId(utterance), played, queued: played }
}

fn show(event: &Event) -> String {
    match event {
        Event::Audio { utterance, audio } => format!("Audio {} {:?}", utterance.0, audio.duration()),
        Event::UtteranceDone(utterance) => format!("UtteranceDone {}", utterance.0),
        Event::AssistantText { utterance, delta } => format!("AssistantText {} {delta}", utterance.0),
        Event::CallerText(text) => format!("CallerText {text}"),
        Event::ToolCall { id, name, arguments } => format!("ToolCall {} {name} {arguments}", id.0),
        Event::Usage(u) => {
            format!("Usage connected {:?} in {}+{} out {}", u.connected, u.input_text, u.cached_text, u.output_text)
        }
        Event::Warning(words) => format!("Warning {words}"),
        Event::Failed(failure) => format!("Failed {:?} {}", failure.kind, failure.message),
        other => format!("{other:?}"),
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
    barge_in,
    tools,
    keys_and_notes,
    an_expired_session_is_followed_by_another,
    errors,
    refused_start,
);

#[test]
fn the_key_goes_in_a_header_and_nothing_in_the_query() {
    let Endpoint::WebSocket { url, headers } = Session::new(config()).endpoint() else { panic!("no WebSocket") };
    assert_eq!(url, "wss://api.openai.com/v1/live/sessions");
    assert_eq!(headers, [("Authorization".to_owned(), "Bearer sk-secret".to_owned())]);
    assert!(!format!("{:?}", config()).contains("secret"));
}

#[test]
fn a_session_that_does_not_start_fails_by_name() {
    let mut player = Player::new(config());
    player.session.handle_connected(player.now);
    player.wait(Duration::from_secs(10));
    let failed = player.session.poll_event().map(|event| show(&event));
    assert_eq!(failed.as_deref(), Some("Failed Unavailable no session.started in time"));
    assert_eq!(player.session.poll_timeout(), None);
}

/// The price is by the minute, and the server tells every 15 seconds only.
#[test]
fn connected_time_is_metered_while_the_caller_is_heard() {
    let mut player = Player::new(Config { tools: Vec::new(), ..config() });
    player.session.handle_connected(player.now);
    let started = json!({"type": "session.started", "event_id": "e", "session": {}}).to_string();
    player.session.handle_incoming(Incoming::Text(started), player.now);
    let sent = player.sent().unwrap();
    assert_eq!(sent["session"].get("delegation"), None, "nothing to call");
    let audio = Audio::G711 { law: Law::A, bytes: vec![0xd5; 160] };
    for _ in 0..=125 {
        player.session.handle_audio(&audio, player.now);
        player.now += Duration::from_millis(20);
    }
    player.session.handle_disconnected(Disconnect::Closed(None), player.now);
    let connected = |event| if let Event::Usage(usage) = event { usage.connected } else { Duration::ZERO };
    let total: Duration = std::iter::from_fn(|| player.session.poll_event()).map(connected).sum();
    assert_eq!(total, Duration::from_millis(2_520));
}

impl Player {
    fn server(&mut self, message: Value) {
        self.session.handle_incoming(Incoming::Text(message.to_string()), self.now);
    }

    /// A session has started: what is sent then.
    fn started(&mut self) -> Vec<Value> {
        self.session.handle_connected(self.now);
        self.server(json!({"type": "session.started", "event_id": "e", "session": {}}));
        std::iter::from_fn(|| self.sent()).skip(1).collect()
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }
}

/// Where a message ends is the server's affair.
#[test]
fn pcm_that_is_cut_within_a_sample_is_no_noise_and_the_next_session_begins_with_a_whole_one() {
    let heard = |player: &mut Player, part: &[u8]| -> Vec<i16> {
        let delta = base64_simd::STANDARD.encode_to_string(part);
        player.server(json!({"type": "session.output_audio.delta", "delta": delta}));
        let samples = player.events().into_iter().filter_map(|event| {
            let Event::Audio { audio: Audio::Pcm(frame), .. } = event else { return None };
            Some(frame.samples)
        });
        samples.flatten().collect()
    };
    let mut player = Player::new(Config { format: Format::Pcm, ..config() });
    player.started();
    // Below 128 it would be silence.
    let bytes: Vec<u8> = (200..680_i16).flat_map(i16::to_le_bytes).collect();
    let samples: Vec<i16> = bytes.chunks(321).flat_map(|part| heard(&mut player, part)).collect();
    assert_eq!(samples, (200..680).collect::<Vec<i16>>());

    player.wait(Duration::from_secs(61));
    assert_eq!(heard(&mut player, &[7]), [0; 0]);
    player.server(json!({"type": "session.closed", "event_id": "e", "reason": "expired"}));
    assert!(player.events().contains(&Event::Reconnect));
    player.started();
    assert_eq!(heard(&mut player, &bytes[..4]), [200, 201]);
}

/// An answer that is not begun, or not ended, is asked for in the session that follows, unless that hears the question.
#[test]
fn what_an_expired_session_owed_is_asked_for_in_the_next() {
    let words = json!({"type": "session.input_transcript.delta", "event_id": "e", "delta": "When?"});
    let loud = base64_simd::STANDARD.encode_to_string([0x2a; 800]);
    let speech = json!({"type": "session.output_audio.delta", "delta": loud});
    let said = json!({"type": "session.output_transcript.delta", "event_id": "e", "delta": "At nine."});
    let call = json!({"type": "function_call", "call_id": "c", "name": "transfer", "arguments": "{}"});
    let event = json!({"type": "response.output_item.done", "item": call});
    let tool = json!({"type": "response.event", "event_id": "e", "delegation_id": "d", "event": event});
    let cases = [
        ("nothing", vec![], false, false),
        ("a question", vec![words.clone()], false, true),
        ("a question, in audio", vec![words.clone()], true, false),
        ("an answer begun", vec![words.clone(), said.clone(), speech], false, true),
        ("a tool called", vec![words.clone(), said.clone(), tool], false, true),
        ("an answer given", vec![words, said], false, false),
    ];
    for (case, messages, hears_again, is_asked) in cases {
        let mut player = Player::new(config());
        player.started();
        player.wait(Duration::from_secs(61));
        messages.into_iter().for_each(|message| player.server(message));
        player.server(json!({"type": "session.closed", "event_id": "e", "reason": "expired"}));
        assert!(player.events().contains(&Event::Reconnect), "{case}");
        if hears_again {
            assert!(player.session.hears_again(Unworded::All));
        }
        let sent = player.started();
        let asked = sent.iter().any(|message| message["content"].to_string().contains("There was a gap"));
        assert_eq!((asked, sent.len()), (is_asked, usize::from(is_asked)), "{case}: {sent:?}");
    }
}

#[test]
fn a_session_is_left_in_a_pause_before_the_server_ends_it() {
    let mut player = Player::new(config());
    player.started();
    player.wait(Duration::from_secs(50 * 60 - 1));
    assert!(!player.events().contains(&Event::Reconnect));
    player.session.handle_speech(Speech::Confirmed, player.now);
    player.server(json!({"type": "session.input_transcript.delta", "event_id": "e", "delta": "When?"}));
    player.wait(Duration::from_secs(3));
    assert!(!player.events().contains(&Event::Reconnect), "that is not answered yet");
    player.server(json!({"type": "session.output_transcript.delta", "event_id": "e", "delta": "At nine."}));
    player.wait(Duration::from_secs(2));
    assert!(player.events().contains(&Event::Reconnect));
}

/// What a tool was asked there nobody asks here.
#[test]
fn what_names_things_of_the_session_that_was_left_does_not_follow_into_the_next() {
    let mut player = Player::new(config());
    player.started();
    player.wait(Duration::from_secs(61));
    let call = json!({"type": "function_call", "call_id": "c", "name": "transfer", "arguments": "{}"});
    let event = json!({"type": "response.output_item.done", "item": call});
    player.server(json!({"type": "response.event", "event_id": "e", "delegation_id": "d", "event": event}));
    player.session.answer_tool(ToolCallId("c".into()), "{}".into(), Respond::Yes, player.now);
    player.session.handle_keys("5", player.now);
    player.server(json!({"type": "session.closed", "event_id": "e", "reason": "expired"}));
    player.session.handle_connected(player.now);
    player.server(json!({"type": "session.started", "event_id": "e", "session": {}}));
    let kinds: Vec<_> = std::iter::from_fn(|| player.sent()).map(|message| message["type"].to_string()).collect();
    let expected = ["session.start", "session.instructions.append", "session.commentary.append"];
    assert_eq!(kinds, expected.map(|kind| format!("{kind:?}")));
}

#[test]
fn words_that_do_not_fit_into_a_message_go_in_several() {
    let words = (0..400).map(|number| format!("palavrão{number}")).collect::<Vec<_>>().join(" ");
    let mut player = Player::new(Config { first_message: Some(words.clone()), ..config() });
    let sent = player.started();
    let contents: Vec<_> = sent.iter().map(|message| message["content"].as_str().unwrap()).collect();
    assert!(contents.len() > 2 && contents.iter().all(|content| content.len() <= 1_500), "{contents:?}");
    let said: Vec<_> = contents.iter().map(|content| content.split_once('\n').unwrap().1).collect();
    assert_eq!(said.join(" "), words);
}
