//! The dialect against the simulator, message by message in virtual time.
#![expect(clippy::disallowed_methods, reason = "the origin of virtual time")]
use super::*;
use media::{Audio, Heard, Law, Speech, UtteranceId};
use providers::{
    Dialect, Event, FailureKind, Incoming, Outgoing, Respond, Tool,
    live::{Config, Session},
    openai::Format,
};
use serde_json::{Value, json};
use std::{
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

static VOICE: LazyLock<Arc<Voice>> = LazyLock::new(|| Arc::new(Voice::default()));

/// A caller who says what is queued, and hears at once.
struct World {
    core: Core,
    session: Session,
    now: Instant,
    caller: Vec<u8>,
    events: Vec<Event>,
    sent: Vec<Value>,
    errors: Vec<String>,
}

impl World {
    fn new(script: Script, config: Config) -> Self {
        let now = Instant::now();
        let core = Core::new(Arc::new(script), Arc::clone(&VOICE), 1, now);
        let mut session = Session::new(config);
        session.handle_connected(now);
        let (caller, events, sent, errors) = (vec![], vec![], vec![], vec![]);
        Self { core, session, now, caller, events, sent, errors }
    }

    fn run(&mut self, ms: u64) {
        for _ in 0..ms / 20 {
            let bytes: Vec<u8> = match self.caller.len() {
                0 => vec![0xff; 160],
                some => self.caller.drain(..some.min(160)).collect(),
            };
            self.session.handle_audio(&Audio::G711 { law: Law::Mu, bytes }, self.now);
            self.settle();
            self.now += Duration::from_millis(20);
            self.core.handle_timeout(self.now);
            if self.session.poll_timeout().is_some_and(|(at, _)| at <= self.now) {
                self.session.handle_timeout(self.now);
            }
            self.settle();
        }
    }

    fn settle(&mut self) {
        while let Some(Outgoing::Text(text)) = self.session.poll_outgoing() {
            self.core.handle_text(&text, self.now);
            let message: Value = serde_json::from_str(&text).unwrap();
            if message["type"] != "session.input_audio.append" {
                self.sent.push(message);
            }
        }
        while let Some(departure) = self.core.poll_departure() {
            let Departure::Message { text, kind } = departure else { continue };
            if kind == "error" {
                self.errors.push(text.clone());
            }
            self.session.handle_incoming(Incoming::Text(text), self.now);
        }
        self.events.extend(std::iter::from_fn(|| self.session.poll_event()));
    }

    fn text(&self) -> String {
        let delta = |event: &Event| match event {
            Event::AssistantText { delta, .. } => Some(delta.clone()),
            _ => None,
        };
        self.events.iter().filter_map(delta).collect()
    }

    /// How much of an utterance came.
    fn audio(&self, wanted: u64) -> Duration {
        let length = |event: &Event| match event {
            Event::Audio { utterance: UtteranceId(id), audio } if *id == wanted => Some(audio.duration()),
            _ => None,
        };
        self.events.iter().filter_map(length).sum()
    }
}

fn speech(ms: u64) -> Vec<u8> {
    let samples: Vec<i16> = (0..ms * 8).map(|n| ((n as f64 * 0.7).sin() * 8_000.0) as i16).collect();
    media::codec::g711::encode(Law::Mu, &samples)
}

fn config() -> Config {
    let tool = Tool { name: "transfer".into(), description: "d".into(), parameters: json!({"type": "object"}) };
    let first_message = Some("Good morning.".into());
    Config { first_message, tools: vec![tool], ..Config::new("k", Format::G711(Law::Mu)) }
}

#[test]
fn a_conversation_without_events_of_turns_is_told_in_utterances() {
    let (caller, replies) = (vec!["Are you open?".to_owned()], vec![Reply::words("We are.")]);
    let mut world = World::new(Script { caller, replies, ..Script::default() }, config());
    world.run(3_000);
    world.caller = speech(800);
    world.run(5_000);
    assert_eq!(world.text(), "Good morning.We are.");
    assert!(world.events.contains(&Event::CallerText("Are you open?".into())), "{:?}", world.events);
    let done = |id| world.events.contains(&Event::UtteranceDone(UtteranceId(id)));
    assert!(done(0) && done(1) && !done(2));
    assert_eq!(world.errors, Vec::<String>::new());
}

#[test]
fn words_of_the_caller_that_come_while_the_model_answers_are_told_as_one() {
    let (caller, replies) =
        (vec!["Are you open on a Sunday?".to_owned()], vec![Reply::words("We are not, I am afraid.")]);
    let words_late_ms = 700;
    let mut world = World::new(Script { caller, replies, words_late_ms, ..Script::default() }, config());
    world.run(3_000);
    world.caller = speech(800);
    world.run(5_000);
    let said = world.events.iter().filter_map(|event| match event {
        Event::CallerText(text) => Some(text.as_str()),
        _ => None,
    });
    let said: Vec<_> = said.collect();
    assert_eq!(said, ["Are you open", "on a Sunday?"], "once before the answer, and once what came late");
}

#[test]
fn who_cuts_in_hears_no_more_and_the_model_is_told_what_was_heard() {
    let greeting = Reply { transcript: Some("one two three four".into()), ..long() };
    let replies = vec![Reply::words("Yes?")];
    let script = Script { greeting: Some(greeting), replies, yields_ms: 900, ..Script::default() };
    let mut world = World::new(script, config());
    world.run(2_300);
    world.caller = speech(1_000);
    world.run(300);
    let (before, played) = (world.audio(0), Duration::from_millis(1_000));
    world.session.interrupt(Heard { utterance: UtteranceId(0), played, queued: played }, world.now);
    world.run(1_200);
    assert_eq!(world.audio(0), before, "what came after the cut is dropped");
    assert!(world.session.counters().stale > 0);
    world.session.handle_speech(Speech::Ended { last_voice: world.now }, world.now);
    world.run(3_000);
    assert!(world.text().ends_with("Yes?"), "{}", world.text());
    let thought = world.sent.iter().find(|message| message["type"] == "session.thinking.append").unwrap();
    assert!(thought["content"].as_str().unwrap().contains("heard only this"), "{thought}");
    assert_eq!(world.errors, Vec::<String>::new());
}

fn long() -> Reply {
    Reply { say: Some(Say::Tone { tone_hz: 700, ms: 6_000 }), ..Reply::default() }
}

#[test]
fn the_model_behind_it_calls_a_tool_and_goes_on_with_its_answer() {
    let call = ScriptedCall { name: "transfer".into(), arguments: json!({"to": "sales"}) };
    let replies = vec![Reply { calls: vec![call], ..Reply::default() }, Reply::words("They are busy.")];
    let mut world = World::new(Script { replies, ..Script::default() }, config());
    world.run(2_500);
    world.caller = speech(600);
    world.run(2_000);
    let call = world.events.iter().find_map(|event| match event {
        Event::ToolCall { id, name, .. } if name == "transfer" => Some(id.clone()),
        _ => None,
    });
    world.session.answer_tool(call.unwrap(), "{}".into(), Respond::Yes, world.now);
    world.run(3_000);
    assert!(world.text().ends_with("They are busy."), "{}", world.text());
    assert_eq!(world.errors, Vec::<String>::new());
}

#[test]
fn every_end_is_classified() {
    let faults = |set: fn(&mut Faults)| {
        let mut faults = Faults::default();
        set(&mut faults);
        faults
    };
    let cases = [
        (faults(|f| f.quota_after_ms = Some(500)), FailureKind::Quota),
        (faults(|f| f.expire_after_ms = Some(500)), FailureKind::SessionExpired),
        (faults(|f| f.refuse_start = true), FailureKind::Protocol),
        (faults(|f| f.mute = true), FailureKind::Unavailable),
    ];
    for (faults, kind) in cases {
        let mut world = World::new(Script { faults, ..Script::default() }, config());
        world.run(11_000);
        let failed = world.events.iter().find_map(|event| match event {
            Event::Failed(failure) => Some(failure.kind),
            _ => None,
        });
        assert_eq!(failed, Some(kind));
    }
}
