//! The dialect against the simulator, message by message in virtual time.
use super::*;
use media::{Audio, Heard, Law, UtteranceId};
use providers::{
    Dialect, Event, Incoming, Note, Outgoing, Respond, Tool,
    openai::{Config, Format, Interrupts, McpServer, Session, TurnDetection},
};

const FRAME: Duration = Duration::from_millis(20);

/// A phone that plays 20 ms for every 20 ms that pass, and a caller who says what is queued.
struct World {
    script: Script,
    bench: Bench,
    session: Session,
    /// Audio of the assistant not yet played.
    queued: Vec<(UtteranceId, Duration)>,
    heard: Option<Heard>,
    caller: Vec<u8>,
    events: Vec<Event>,
    sent: Vec<Value>,
    refused: Vec<Value>,
}

impl World {
    fn new(script: Script, config: Config) -> Self {
        let bench = Bench::new(script.clone());
        let mut session = Session::new(config);
        session.handle_connected(bench.now);
        let (queued, caller, events, sent, refused) = (vec![], vec![], vec![], vec![], vec![]);
        let mut world = Self { script, bench, session, queued, heard: None, caller, events, sent, refused };
        world.settle();
        world
    }

    fn settle(&mut self) {
        loop {
            let mut quiet = true;
            while let Some(Outgoing::Text(text)) = self.session.poll_outgoing() {
                self.bench.core.handle_text(&text, self.bench.now);
                let message: Value = serde_json::from_str(&text).unwrap();
                if message["type"] != "input_audio_buffer.append" {
                    self.sent.push(message);
                }
                quiet = false;
            }
            for departure in self.bench.departures() {
                let Departure::Message { text, kind } = departure else { continue };
                if kind == "error" {
                    self.refused.push(serde_json::from_str(&text).unwrap());
                }
                self.session.handle_incoming(Incoming::Text(text), self.bench.now);
                quiet = false;
            }
            if quiet {
                break;
            }
        }
        while let Some(event) = self.session.poll_event() {
            if event == Event::Reconnect {
                let script = Arc::new(self.script.clone());
                self.bench.core = Core::new(script, Arc::clone(&VOICE), 2, &ga(), self.bench.now);
                self.session.handle_connected(self.bench.now);
                self.events.push(event);
                return self.settle();
            }
            if let Event::Audio { utterance, audio } = &event {
                self.queued.push((*utterance, audio.duration()));
            } else {
                self.events.push(event);
            }
        }
    }

    fn run(&mut self, ms: u64) {
        for _ in 0..ms / 20 {
            let bytes: Vec<u8> = match self.caller.len() {
                0 => silence(20),
                some => self.caller.drain(..some.min(160)).collect(),
            };
            self.session.handle_audio(&Audio::G711 { law: Law::Mu, bytes }, self.bench.now);
            self.settle();
            self.bench.advance(20);
            if self.session.poll_timeout().is_some_and(|(deadline, _)| deadline <= self.bench.now) {
                self.session.handle_timeout(self.bench.now);
            }
            self.settle();
            self.play();
        }
    }

    fn play(&mut self) {
        let mut left = FRAME;
        while left > Duration::ZERO {
            let Some((utterance, queued)) = self.queued.first_mut() else { return };
            let played = left.min(*queued);
            *queued -= played;
            left -= played;
            let before = self.heard.filter(|heard| heard.utterance == *utterance);
            let so_far = before.map_or(Duration::ZERO, |heard| heard.played) + played;
            self.heard = Some(Heard { utterance: *utterance, played: so_far, queued: so_far });
            if queued.is_zero() {
                self.queued.remove(0);
            }
        }
    }

    fn barge_in(&mut self) -> Heard {
        self.queued.clear();
        let heard = self.heard.unwrap();
        self.session.interrupt(heard, self.bench.now);
        self.settle();
        heard
    }

    fn sent_kinds(&self) -> Vec<&str> {
        kinds(&self.sent)
    }

    fn assistant_text(&self) -> String {
        let delta = |event: &Event| match event {
            Event::AssistantText { delta, .. } => Some(delta.clone()),
            _ => None,
        };
        self.events.iter().filter_map(delta).collect()
    }
}

fn config() -> Config {
    Config {
        first_message: Some("Good morning, how can I help you today?".into()),
        ..Config::new("k", Format::G711(Law::Mu))
    }
}

#[test]
fn every_message_of_the_dialect_is_understood() {
    for detection in [
        TurnDetection::default(),
        TurnDetection::SemanticVad { eagerness: providers::openai::Eagerness::Low, interrupts: Interrupts::ByClient },
    ] {
        let tool = Tool { name: "transfer".into(), description: "d".into(), parameters: json!({"type": "object"}) };
        let settings = Config {
            turn_detection: detection,
            tools: vec![tool],
            speed: Some(1.2),
            language: Some("pt-BR".into()),
            voice: "voice_1".into(),
            ..config()
        };
        let call = ScriptedCall { name: "transfer".into(), arguments: json!({"to": "sales"}) };
        let calling = Reply { calls: vec![call], ..Reply::words("One moment.") };
        let script = Script { replies: vec![calling, Reply::tone(500, 1_000)], ..Script::default() };
        let mut world = World::new(script, settings);
        world.run(6_000);
        assert_eq!(world.assistant_text(), "Good morning, how can I help you today?");
        world.session.handle_keys("5", world.bench.now);
        world.run(2_000);
        let id = world.events.iter().find_map(|event| match event {
            Event::ToolCall { id, .. } => Some(id.clone()),
            _ => None,
        });
        world.session.answer_tool(id.unwrap(), "{\"ok\":false}".into(), Respond::Yes, world.bench.now);
        world.run(400);
        world.barge_in();
        let note = Note::TransferFailed { destination: "sales".into(), reason: "busy".into() };
        world.session.inform(note, world.bench.now);
        world.run(3_000);
        assert_eq!(world.refused, Vec::<Value>::new(), "{detection:?}");
        assert!(world.events.iter().any(|event| matches!(event, Event::Usage(_))));
        let kinds = world.sent_kinds();
        for kind in ["session.update", "response.create", "conversation.item.create", "conversation.item.truncate"] {
            assert!(kinds.contains(&kind), "{kind} in {kinds:?}");
        }
    }
}

#[test]
fn a_conversation_turns_and_both_sides_are_written_down() {
    let script = Script {
        caller: vec!["What time do you open?".into()],
        replies: vec![Reply::words("We open at nine.")],
        ..Script::default()
    };
    let mut world = World::new(script, config());
    world.run(4_000);
    world.caller = speech(800);
    world.run(5_000);
    assert_eq!(world.assistant_text(), "Good morning, how can I help you today?We open at nine.");
    assert!(world.events.contains(&Event::CallerText("What time do you open?".into())));
    assert_eq!(world.events.iter().filter(|e| matches!(e, Event::SpeechStarted)).count(), 1);
    assert_eq!(world.events.iter().filter(|e| matches!(e, Event::UtteranceDone(_))).count(), 2);
    assert_eq!(world.refused, Vec::<Value>::new());
}

#[test]
fn what_is_truncated_is_what_was_played_whenever_the_caller_cuts_in() {
    for (number, after_ms) in (0..100).map(|n| (n, 40 + n * 137 % 9_000)) {
        let interrupts = if number % 2 == 0 { Interrupts::ByServer } else { Interrupts::ByClient };
        let detection = TurnDetection::ServerVad {
            threshold: 0.5,
            prefix_padding: Duration::from_millis(300),
            silence_duration: Duration::from_millis(500),
            idle: None,
            interrupts,
        };
        let script = Script {
            greeting: Some(Reply::tone(1_000, 10_000)),
            replies: vec![Reply::tone(500, 400)],
            burst: 3.0,
            stale_deltas: 2,
            ..Script::default()
        };
        let mut world = World::new(script, Config { turn_detection: detection, ..config() });
        world.run(after_ms + 400);
        world.caller = speech(400);
        world.run(100);
        let heard = world.barge_in();
        let truncated: Vec<_> = world.sent.iter().filter(|m| m["type"] == "conversation.item.truncate").collect();
        assert_eq!(truncated.len(), 1, "{number}");
        assert_eq!(truncated[0]["audio_end_ms"], heard.played.as_millis() as u64, "{number}");
        world.run(4_000);
        let benign = |m: &Value| m["error"]["code"] == "response_cancel_not_active";
        assert!(world.refused.iter().all(benign), "{number}: {:?}", world.refused);
        assert!(world.queued.is_empty() && world.heard.unwrap().utterance > heard.utterance, "{number}: answered");
    }
}

#[test]
fn failures_are_recovered_without_the_caller_noticing_more_than_a_pause() {
    let failing = || Reply { fail: Some(ScriptedFailure::default()), ..Reply::default() };
    let replies = vec![failing(), failing(), Reply::words("Here I am.")];
    let mut world = World::new(Script { replies, ..Script::default() }, config());
    world.run(4_000);
    world.caller = speech(500);
    world.run(8_000);
    assert!(world.assistant_text().ends_with("Here I am."));
    assert_eq!(world.events.iter().filter(|event| matches!(event, Event::Warning(_))).count(), 2);
    assert!(!world.events.iter().any(|event| matches!(event, Event::Failed(_))));
}

/// Marsaglia's xorshift64: the same seed walks the same way.
struct Walk(u64);

impl Walk {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % bound
    }

    fn step(&mut self, world: &mut World) {
        let now = world.bench.now;
        match self.below(8) {
            0 => world.caller = speech(60 + self.below(900)),
            1 if world.heard.is_some() => drop(world.barge_in()),
            2 => world.session.handle_keys("7", now),
            3 => {
                let note = Note::TransferFailed { destination: "sales".into(), reason: "busy".into() };
                world.session.inform(note, now);
            }
            4 => {
                let call = |event| if let Event::ToolCall { id, .. } = event { Some(id) } else { None };
                for id in std::mem::take(&mut world.events).into_iter().filter_map(call) {
                    let respond = if self.below(3) == 0 { Respond::No } else { Respond::Yes };
                    world.session.answer_tool(id, "{}".into(), respond, now);
                }
            }
            _ => world.run(self.below(120) * 20),
        }
        world.settle();
    }
}

#[test]
fn whatever_happens_no_message_is_refused_and_the_assistant_can_still_be_reached() {
    for seed in 1..=50 {
        let mut walk = Walk(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let call = ScriptedCall { name: "transfer".into(), arguments: json!({}) };
        let failing = Reply { fail: Some(ScriptedFailure::default()), ..Reply::default() };
        let replies = (0..40).map(|n| match n % 5 {
            0 => Reply { calls: vec![call.clone(), call.clone()], ..Reply::tone(500, 700) },
            1 => failing.clone(),
            _ => Reply::tone(500, 200 + n * 150),
        });
        let script = Script {
            replies: replies.collect(),
            anonymous_errors: seed % 2 == 0,
            stale_deltas: (seed % 3) as usize,
            burst: 1.0 + (seed % 9) as f64,
            ..Script::default()
        };
        let mut world = World::new(script, config());
        for _ in 0..40 {
            walk.step(&mut world);
        }
        world.caller.clear();
        world.run(40_000);
        let benign = ["response_cancel_not_active", "conversation_already_has_active_response"];
        for refused in &world.refused {
            let code = refused["error"]["code"].as_str().unwrap();
            assert!(benign.contains(&code), "seed {seed}: {refused}");
        }
        let before = world.heard.unwrap().utterance;
        world.session.handle_keys("1", world.bench.now);
        world.run(10_000);
        assert!(world.heard.unwrap().utterance > before, "seed {seed}: nobody answers");
        assert!(!world.events.iter().any(|event| matches!(event, Event::Failed(_))), "seed {seed}");
    }
}

#[test]
fn a_caller_who_is_silent_is_asked_whether_somebody_is_there() {
    let detection = TurnDetection::ServerVad {
        threshold: 0.5,
        prefix_padding: Duration::from_millis(300),
        silence_duration: Duration::from_millis(500),
        idle: Some(Duration::from_secs(5)),
        interrupts: Interrupts::ByServer,
    };
    let mut world = World::new(Script::default(), Config { turn_detection: detection, ..config() });
    world.run(12_000);
    assert_eq!(world.assistant_text(), "Good morning, how can I help you today?Are you still there?");
    assert_eq!(world.session.counters().idle, 1);
    assert!(!world.events.iter().any(|event| matches!(event, Event::CallerText(_))), "nobody said anything");
    assert_eq!(world.refused, Vec::<Value>::new());
}

#[test]
fn a_tool_that_the_provider_calls_by_itself_is_spoken_about_when_it_has_answered() {
    for (output, words) in [(Some("3 left"), "Three are left."), (None, "I could not find out.")] {
        let call = ScriptedMcp {
            server: "stock".into(),
            name: "look_up".into(),
            takes_ms: 1_500,
            output: output.map(str::to_owned),
        };
        let replies = vec![Reply { mcp: vec![call], ..Reply::words("One moment.") }, Reply::words(words)];
        let server = McpServer {
            label: "stock".into(),
            url: "https://tools.example/mcp".into(),
            authorization: Some("token".into()),
            allowed_tools: vec!["look_up".into()],
        };
        let mut world = World::new(Script { replies, ..Script::default() }, Config { mcp: vec![server], ..config() });
        world.run(4_000);
        world.caller = speech(800);
        world.run(8_000);
        assert!(world.assistant_text().ends_with(&format!("One moment.{words}")), "{}", world.assistant_text());
        let warned = world.events.iter().any(|event| matches!(event, Event::Warning(_)));
        assert_eq!(warned, output.is_none(), "{:?}", world.events);
        assert_eq!(world.refused, Vec::<Value>::new());
    }
}

#[test]
fn a_session_is_left_in_a_pause_and_the_next_knows_what_was_said() {
    let (caller, replies) = (vec!["Where are you?".to_owned()], vec![Reply::words("Round the corner.")]);
    let script = Script { caller, replies, ..Script::default() };
    let mut world = World::new(script, Config { rotate_after: Duration::from_secs(9), ..config() });
    world.run(3_000);
    world.session.handle_played_out(world.heard.unwrap(), world.bench.now);
    world.caller = speech(800);
    world.run(5_000);
    world.session.handle_played_out(world.heard.unwrap(), world.bench.now);
    world.run(3_000);
    assert_eq!(world.events.iter().filter(|event| **event == Event::Reconnect).count(), 1);
    assert_eq!(world.events.iter().filter(|event| **event == Event::Ready).count(), 1, "it goes on");
    let told: Vec<_> = world.sent.iter().filter(|it| it["type"] == "conversation.item.create").collect();
    let told: Vec<_> = told.iter().map(|it| (&it["item"]["role"], &it["item"]["content"][0]["text"])).collect();
    let (assistant, user) = (json!("assistant"), json!("user"));
    let (hello, where_, corner) =
        (json!("Good morning, how can I help you today?"), json!("Where are you?"), json!("Round the corner."));
    assert_eq!(told, [(&assistant, &hello), (&user, &where_), (&assistant, &corner)]);
    world.caller = speech(800);
    world.run(4_000);
    assert!(world.assistant_text().ends_with("Round the corner.Round the corner."), "it answers, and does not greet");
    assert_eq!(world.refused, Vec::<Value>::new());
}
