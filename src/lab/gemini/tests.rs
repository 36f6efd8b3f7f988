//! The simulator in virtual time, alone and with the dialect it is made for; and once over a socket.
#![expect(clippy::disallowed_methods, reason = "the origin of virtual time, and one test over real sockets")]
mod socket;

use super::*;
use media::{Audio, Frame, Heard, SampleRate, UtteranceId};
use providers::{
    Ahead, Dialect, Disconnect, Event, FailureKind, Incoming, Outgoing, Respond, Tool,
    gemini::{Config, Session},
};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

const FRAME: Duration = Duration::from_millis(20);

/// Building a voice takes longer than most tests.
static VOICE: LazyLock<Arc<Voice>> = LazyLock::new(|| Arc::new(Voice::default()));

/// A phone that plays 20 ms for every 20 ms that pass, a caller who says what is queued, and one connection after another.
struct World {
    script: Arc<Script>,
    core: Option<Core>,
    /// The connection that is to follow.
    ahead: Option<Core>,
    connections: u64,
    /// How many of them came to be used.
    used: u64,
    session: Session,
    now: Instant,
    /// Audio of the assistant not yet played.
    queued: VecDeque<(UtteranceId, Duration)>,
    heard: Option<Heard>,
    /// 20 ms each.
    caller: VecDeque<Vec<i16>>,
    events: Vec<Event>,
    sent: Vec<Value>,
    received: Vec<Value>,
}

impl World {
    fn new(script: Script, config: Config) -> Self {
        let mut world = Self {
            script: Arc::new(script),
            core: None,
            ahead: None,
            connections: 0,
            used: 0,
            session: Session::new(config),
            now: Instant::now(),
            queued: VecDeque::new(),
            heard: None,
            caller: VecDeque::new(),
            events: Vec::new(),
            sent: Vec::new(),
            received: Vec::new(),
        };
        world.connect();
        world.settle();
        world
    }

    fn open(&mut self) -> Core {
        self.connections += 1;
        Core::new(Arc::clone(&self.script), Arc::clone(&VOICE), self.connections, self.now)
    }

    fn connect(&mut self) {
        self.used += 1;
        self.core = Some(self.ahead.take().unwrap_or_else(|| self.open()));
        self.session.handle_connected(self.now);
    }

    fn prepare(&mut self) {
        self.ahead = Some(self.open());
        self.session.handle_ahead(Ahead::Open, self.now);
    }

    fn settle(&mut self) {
        loop {
            let mut quiet = true;
            while let Some(outgoing) = self.session.poll_outgoing() {
                quiet = false;
                let (text, core) = match outgoing {
                    Outgoing::Text(text) => (text, &mut self.core),
                    Outgoing::Ahead(text) => (text, &mut self.ahead),
                    other => panic!("{other:?}"),
                };
                self.sent.push(serde_json::from_str(&text).unwrap());
                core.iter_mut().for_each(|core| core.handle_text(&text, self.now));
            }
            while let Some(departure) = self.core.as_mut().and_then(Core::poll_departure) {
                quiet = false;
                self.depart(departure);
            }
            while let Some(event) = self.session.poll_event() {
                quiet = false;
                self.on_event(event);
            }
            if quiet {
                return;
            }
        }
    }

    fn depart(&mut self, departure: Departure) {
        let how = match departure {
            Departure::Message { text, .. } => {
                self.received.push(serde_json::from_str(&text).unwrap());
                return self.session.handle_incoming(Incoming::Binary(text.into_bytes()), self.now);
            }
            Departure::Close(code, reason) => Some((code, reason)),
            Departure::Drop => None,
        };
        self.core = None;
        self.session.handle_disconnected(Disconnect::Closed(how), self.now);
    }

    fn on_event(&mut self, event: Event) {
        match &event {
            Event::Prepare => self.prepare(),
            Event::Reconnect => self.connect(),
            Event::Audio { utterance, audio } => self.queued.push_back((*utterance, audio.duration())),
            Event::SpeechStarted => {
                self.queued.clear();
                if let Some(heard) = self.heard.take() {
                    self.session.interrupt(heard, self.now);
                }
            }
            _ => {}
        }
        self.events.push(event);
    }

    fn speak(&mut self, ms: u64, peak: f64) {
        let frame = |n: u64| (0..320).map(|i| (((n * 320 + i) as f64 * 0.35).sin() * peak) as i16).collect();
        self.caller.extend((0..ms / 20).map(frame));
    }

    fn pass(&mut self, ms: u64) {
        for _ in 0..ms / 20 {
            self.now += FRAME;
            let due = |at: Option<(Instant, &str)>| at.is_some_and(|(at, _)| at <= self.now);
            if due(self.core.as_ref().and_then(Core::poll_timeout)) {
                self.core.iter_mut().for_each(|core| core.handle_timeout(self.now));
            }
            if due(self.session.poll_timeout()) {
                self.session.handle_timeout(self.now);
            }
            self.play();
            let samples = self.caller.pop_front().unwrap_or_else(|| vec![0; 320]);
            self.session.handle_audio(&Audio::Pcm(Frame { rate: SampleRate::HZ_16000, samples }), self.now);
            self.settle();
        }
    }

    fn play(&mut self) {
        let Some((utterance, left)) = self.queued.front_mut() else { return };
        *left = left.saturating_sub(FRAME);
        let before =
            self.heard.filter(|heard| heard.utterance == *utterance).map_or(Duration::ZERO, |heard| heard.played);
        self.heard = Some(Heard { utterance: *utterance, played: before + FRAME, queued: before + FRAME });
        if left.is_zero() {
            self.queued.pop_front();
        }
    }

    fn said(&self) -> String {
        let text =
            |event: &Event| if let Event::AssistantText { delta, .. } = event { Some(delta.clone()) } else { None };
        self.events.iter().filter_map(text).collect()
    }

    fn caller_said(&self) -> Vec<&str> {
        self.events.iter().filter_map(caller_text).collect()
    }

    fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| wanted(event)).count()
    }
}

fn caller_text(event: &Event) -> Option<&str> {
    if let Event::CallerText(words) = event { Some(words) } else { None }
}

fn config() -> Config {
    Config { first_message: Some("Hello.".into()), ..Config::new("k") }
}

fn script(replies: Vec<Reply>) -> Script {
    let greeting = Some(Reply { transcript: Some("Hello. ".into()), ..Reply::tone(400, 600) });
    Script { greeting, replies, caller: vec!["When are you open?".into()], ..Script::default() }
}

fn reply(words: &str, ms: u64) -> Reply {
    Reply { transcript: Some(words.into()), ..Reply::tone(500, ms) }
}

#[test]
fn a_caller_is_greeted_asks_interrupts_and_is_answered_again() {
    let mut world =
        World::new(script(vec![reply("From nine to six every day. ", 4_000), reply("Bye.", 400)]), config());
    world.pass(1_500);
    assert_eq!(world.said(), "Hello. ");
    world.speak(600, 8_000.0);
    world.pass(2_600);
    assert_eq!(world.caller_said(), ["When are you open?"]);
    assert!(!world.queued.is_empty(), "it speaks");
    world.speak(400, 8_000.0);
    world.pass(3_000);
    assert_eq!(world.count(|event| matches!(event, Event::SpeechStarted)), 1);
    assert!(world.said().ends_with("Bye."), "{}", world.said());
    assert_eq!(world.count(|event| matches!(event, Event::UtteranceDone(UtteranceId(2)))), 1);
    assert_eq!(world.count(|event| matches!(event, Event::Usage(_))), 3);
    assert_eq!(world.count(|event| matches!(event, Event::Failed(_) | Event::Warning(_))), 0, "{:?}", world.events);
}

#[test]
fn a_tool_is_called_answered_and_spoken_about() {
    let arguments = json!({"destination": "sales"});
    let call = ScriptedCall { name: "transfer".into(), arguments };
    let replies = vec![Reply { calls: vec![call], ..reply("One moment. ", 300) }, reply("Busy.", 300)];
    let tools = vec![Tool { name: "transfer".into(), description: "d".into(), parameters: json!({"type": "object"}) }];
    let mut world = World::new(script(replies), Config { tools, ..config() });
    world.pass(1_500);
    world.speak(400, 8_000.0);
    world.pass(1_500);
    let call = |event: &Event| if let Event::ToolCall { id, .. } = event { Some(id.clone()) } else { None };
    let id = world.events.iter().find_map(call).expect("a call");
    world.session.answer_tool(id, r#"{"status":"busy"}"#.into(), Respond::Yes, world.now);
    world.pass(2_000);
    assert!(world.said().ends_with("Busy."), "{}", world.said());
}

#[test]
fn a_conversation_outlives_its_connections() {
    let faults = Faults { connections: 1, go_away_after_ms: Some(500), go_away_left_ms: 10_000, ..Faults::default() };
    let cases = [
        ("goAway", faults),
        ("broken", Faults { connections: 1, drop_after_ms: Some(1_500), ..Faults::default() }),
        ("closed", Faults { connections: 1, close_after_ms: Some(1_500), ..Faults::default() }),
    ];
    for (case, faults) in cases {
        let script = Script { faults, ..script(vec![reply("From nine.", 400)]) };
        let mut world = World::new(script, config());
        world.pass(2_000);
        assert_eq!(world.used, 2, "{case}");
        world.speak(400, 8_000.0);
        world.pass(2_500);
        assert_eq!(
            (world.said().as_str(), world.caller_said()),
            ("Hello. From nine.", vec!["When are you open?"]),
            "{case}"
        );
        assert_eq!(world.count(|event| matches!(event, Event::Ready)), 1, "{case}");
    }
}

#[test]
fn a_model_that_fell_silent_after_an_interruption_is_asked_again() {
    let faults = Faults { connections: 1, silent_after_interruption: true, ..Faults::default() };
    let script = Script { faults, ..script(vec![reply("A long story.", 5_000), reply("Yes?", 400)]) };
    let mut world = World::new(script, config());
    world.pass(1_500);
    world.speak(400, 8_000.0);
    world.pass(2_500);
    world.speak(400, 8_000.0);
    world.pass(15_000);
    assert_eq!(world.connections, 2);
    assert!(world.said().ends_with("Yes?"), "{}", world.said());
}

#[test]
fn what_the_server_does_not_know_ends_the_connection() {
    let setup = json!({"model": "models/gemini-3.8-live", "generationConfig": {"responseModalities": ["AUDIO"]}});
    let audio = json!({"mimeType": "audio/pcm;rate=16000", "data": "AAAA"});
    let cases = [
        (vec![json!({"realtimeInput": {"audio": audio}})], 1007),
        (vec![json!({"setup": {"model": "models/gpt"}})], 1008),
        (vec![json!({"setup": {"model": "models/gemini-x", "voice": "Kore"}})], 1007),
        (vec![json!({"setup": setup}), json!({"setup": setup})], 1007),
        (vec![json!({"setup": setup}), json!({"realtimeInput": {"mediaChunks": [audio]}})], 1007),
        (vec![json!({"setup": setup}), json!({"realtimeInput": {}, "toolResponse": {}})], 1007),
        (vec![json!({"setup": setup}), json!({"toolResponse": {"functionResponses": [{"id": "x"}]}})], 1008),
    ];
    for (messages, code) in cases {
        let now = Instant::now();
        let mut core = Core::new(Arc::new(Script::default()), Arc::clone(&VOICE), 1, now);
        messages.iter().for_each(|message| core.handle_text(&message.to_string(), now));
        let last = std::iter::from_fn(|| core.poll_departure()).last();
        assert!(matches!(last, Some(Departure::Close(found, _)) if found == code), "{messages:?}: {last:?}");
    }
    let snake = json!({"realtime_input": {"audio": {"mime_type": "audio/pcm;rate=16000", "data": "AAAA"}}});
    let now = Instant::now();
    let mut core = Core::new(Arc::new(Script::default()), Arc::clone(&VOICE), 1, now);
    core.handle_text(&json!({"setup": setup}).to_string(), now);
    core.handle_text(&snake.to_string(), now);
    assert!(!std::iter::from_fn(|| core.poll_departure()).any(|d| matches!(d, Departure::Close(..))));
}

#[test]
fn an_exhausted_quota_is_the_end() {
    let script = Script { faults: Faults { quota_after_ms: Some(100), ..Faults::default() }, ..Script::default() };
    let mut world = World::new(script, config());
    world.pass(200);
    let failed = |event: &Event| matches!(event, Event::Failed(failure) if failure.kind == FailureKind::Quota);
    assert_eq!((world.count(failed), world.connections), (1, 1));
}
