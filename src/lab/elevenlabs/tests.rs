//! The simulator in virtual time, alone and with the dialect it is made for; and once over a socket.
#![expect(clippy::disallowed_methods, reason = "the origin of virtual time, and tests over real sockets")]
mod protocol;
mod socket;

use super::*;
use media::{Audio, AudioFormat, Frame, Heard, Law, UtteranceId, codec::g711};
use providers::{
    Dialect, Disconnect, Event, FailureKind, Incoming, Outgoing, Respond,
    elevenlabs::{Config, Format, Session},
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

/// A phone that plays 20 ms for every 20 ms that pass, and a caller who says what is queued.
struct World {
    house: Arc<House>,
    core: Option<Core>,
    session: Session,
    now: Instant,
    /// Audio of the agent not yet played.
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
        let (house, now) = (Arc::new(House::from(script)), Instant::now());
        let core = Core::new(Arc::clone(&house), Arc::clone(&VOICE), 1, Some(&config.agent_id), now);
        let mut session = Session::new(config);
        session.handle_connected(now);
        let (queued, caller) = (VecDeque::new(), VecDeque::new());
        let (events, sent, received) = (Vec::new(), Vec::new(), Vec::new());
        let heard = None;
        let mut world = Self { house, core: Some(core), session, now, queued, heard, caller, events, sent, received };
        world.settle();
        world
    }

    fn settle(&mut self) {
        loop {
            let mut quiet = true;
            while let Some(Outgoing::Text(text)) = self.session.poll_outgoing() {
                quiet = false;
                self.sent.push(serde_json::from_str(&text).unwrap());
                self.core.iter_mut().for_each(|core| core.handle_text(&text, self.now));
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
                return self.session.handle_incoming(Incoming::Text(text), self.now);
            }
            Departure::Close(code, reason) => Some((code, reason)),
            Departure::Drop => None,
        };
        self.core = None;
        self.session.handle_disconnected(Disconnect::Closed(how), self.now);
    }

    fn on_event(&mut self, event: Event) {
        match &event {
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

    fn speak(&mut self, ms: u64) {
        let rate = u64::from(self.session.formats().uplink.rate().hz());
        let frame = |n: u64| (0..rate / 50).map(move |i| (((n * rate / 50 + i) as f64 * 0.7).sin() * 8_000.0) as i16);
        self.caller.extend((0..ms / 20).map(|n| frame(n).collect()));
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
            self.hear();
            self.settle();
        }
    }

    fn hear(&mut self) {
        let format = self.session.formats().uplink;
        let samples = self.caller.pop_front().unwrap_or_else(|| vec![0; format.rate().hz() as usize / 50]);
        let audio = match format {
            AudioFormat::G711(law) => Audio::G711 { law, bytes: g711::encode(Law::Mu, &samples) },
            AudioFormat::Pcm(rate) => Audio::Pcm(Frame { rate, samples }),
        };
        self.session.handle_audio(&audio, self.now);
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

    fn said(&self) -> Vec<&str> {
        let texts = self.events.iter().filter_map(|event| match event {
            Event::AssistantText { delta, .. } => Some(delta.as_str()),
            _ => None,
        });
        texts.collect()
    }

    fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| wanted(event)).count()
    }

    fn failure(&self) -> Option<FailureKind> {
        self.events.iter().find_map(|event| if let Event::Failed(failure) = event { Some(failure.kind) } else { None })
    }
}

fn config() -> Config {
    Config::new("agent_1", Format::Ulaw)
}

fn reply(words: &str, ms: u64) -> Reply {
    Reply { transcript: Some(words.into()), ..Reply::tone(500, ms) }
}

fn script(replies: Vec<Reply>) -> Script {
    let (greeting, caller) = (Some(reply("Hello.", 600)), vec!["When are you open?".into()]);
    Script { greeting, replies, caller, ..Script::default() }
}

#[test]
fn a_caller_is_greeted_asks_interrupts_and_is_answered_again() {
    for format in ["ulaw_8000", "pcm_16000", "pcm_44100"] {
        let replies =
            vec![reply("From nine to six every day of the week but not on holidays", 10_000), reply("Bye.", 400)];
        let script = Script { output: format.into(), input: format.into(), ..script(replies) };
        let mut world = World::new(script, config());
        world.pass(1_500);
        assert_eq!(world.said(), ["Hello."], "{format}");
        world.speak(600);
        world.pass(3_000);
        assert!(world.events.contains(&Event::CallerText("When are you open?".into())));
        assert!(!world.queued.is_empty(), "{format}: it speaks");
        world.speak(400);
        world.pass(3_000);
        assert_eq!(world.count(|event| matches!(event, Event::SpeechStarted)), 1, "{format}");
        let heard = world.events.iter().find_map(|event| match event {
            Event::AssistantHeard { text, .. } => Some(text.as_str()),
            _ => None,
        });
        assert!(heard.is_some_and(|text| text.starts_with("From nine") && !text.contains("week")), "{heard:?}");
        assert_eq!(world.said().last(), Some(&"Bye."), "{format}");
        assert_eq!(world.session.counters().stale, 1, "{format}: what was on its way");
        assert_eq!(world.session.counters().unknown, 0);
        assert_eq!(world.count(|event| matches!(event, Event::Failed(_) | Event::Warning(_))), 0);
    }
}

#[test]
fn a_tool_is_called_answered_and_spoken_about_or_not() {
    for (silent_calls, last) in [(false, "Busy."), (true, "One moment.")] {
        let call = ScriptedCall { name: "transfer".into(), arguments: json!({"destination": "sales"}) };
        let replies = vec![Reply { calls: vec![call], silent_calls, ..reply("One moment.", 300) }, reply("Busy.", 300)];
        let mut world = World::new(script(replies), config());
        world.pass(1_500);
        world.speak(400);
        world.pass(2_000);
        let call = |event: &Event| if let Event::ToolCall { id, .. } = event { Some(id.clone()) } else { None };
        let id = world.events.iter().find_map(call).expect("a call");
        world.session.answer_tool(id, r#"{"status":"busy"}"#.into(), Respond::Yes, world.now);
        world.pass(2_000);
        assert_eq!(world.said().last(), Some(&last));
    }
}

#[test]
fn an_agent_whose_first_message_is_overridden_with_nothing_waits_for_the_caller() {
    let mut config = config();
    config.overrides.first_message = Some(String::new());
    let mut world = World::new(script(vec![reply("From nine to six.", 400)]), config);
    world.pass(1_500);
    assert!(world.said().is_empty(), "{:?}", world.said());
    world.speak(400);
    world.pass(2_000);
    assert_eq!(world.said(), ["From nine to six."]);
}

#[test]
fn an_agent_hangs_up_when_its_goodbye_was_heard() {
    let mut world = World::new(script(vec![Reply { hang_up: true, ..reply("Goodbye.", 1_000) }]), config());
    world.pass(1_500);
    world.speak(400);
    world.pass(1_400);
    assert!(world.core.is_some(), "it is being said");
    world.pass(1_500);
    let end = |event: &Event| matches!(event, Event::ToolCall { name, .. } if name == "end_call");
    assert!(world.count(end) > 0 && world.core.is_none());
}

#[test]
fn each_failure_is_told_as_the_vendor_tells_it() {
    let error = |code, kind: &str| ScriptedError { after_ms: 100, code, error_type: kind.into(), message: "m".into() };
    let faults = |faults: Faults| Script { faults, ..script(Vec::new()) };
    let quota = |quota| faults(Faults { quota_after_ms: Some(100), quota, ..Faults::default() });
    let closed = |close_code| faults(Faults { close_after_ms: Some(100), close_code, ..Faults::default() });
    let failing = |code, kind| faults(Faults { error: Some(error(code, kind)), ..Faults::default() });
    let cases = [
        (quota(QuotaShape::Event), FailureKind::Quota),
        (quota(QuotaShape::Flat), FailureKind::Quota),
        (failing(1002, "llm_timeout"), FailureKind::Unavailable),
        (failing(1008, "missing_fields"), FailureKind::Protocol),
        (closed(1011), FailureKind::Unavailable),
        (faults(Faults { max_duration_ms: Some(100), ..Faults::default() }), FailureKind::SessionExpired),
        (faults(Faults { drop_after_ms: Some(100), ..Faults::default() }), FailureKind::Connection),
        (Script { allowed: Vec::new(), ..script(Vec::new()) }, FailureKind::Protocol),
        (Script { variables: vec!["name".into()], ..script(Vec::new()) }, FailureKind::Protocol),
        (Script { agent_id: Some("another".into()), ..script(Vec::new()) }, FailureKind::Protocol),
    ];
    for (script, kind) in cases {
        let label = format!("{script:?}");
        let mut config = config();
        config.overrides.first_message = Some("Hello.".into());
        let mut world = World::new(script, config);
        world.pass(300);
        assert_eq!((world.failure(), world.core.is_none()), (Some(kind), true), "{label}");
    }
    let mut world = World::new(quota(QuotaShape::Silent), config());
    world.pass(300);
    assert_eq!(world.failure(), Some(FailureKind::Unavailable), "taken for what it is before the first turn");
}

#[test]
fn a_connection_breaks_in_whatever_state_it_is_to_break() {
    let states = [
        (State::Initiating, 0),
        (State::Greeting, 1),
        (State::Listening, 1),
        (State::Thinking, 1),
        (State::Speaking, 2),
        (State::Calling, 2),
    ];
    for (state, said) in states {
        let call = ScriptedCall { name: "transfer".into(), arguments: Value::Null };
        let replies = vec![Reply { calls: vec![call], ..reply("One moment.", 300) }];
        let faults = Faults { drop_in: Some(state), ..Faults::default() };
        let mut world = World::new(Script { faults, ..script(replies) }, config());
        world.pass(1_500);
        world.speak(400);
        world.pass(3_000);
        assert_eq!((world.failure(), world.said().len()), (Some(FailureKind::Connection), said), "{state:?}");
    }
}

#[test]
fn what_a_conversation_cost_is_told_some_time_after_its_end() {
    let mut world = World::new(script(Vec::new()), config());
    world.pass(30_000);
    let (house, ended) = (Arc::clone(&world.house), world.now);
    let status = |now| house.record("conv_lab_000001", now).map(|record| record["status"].clone());
    assert_eq!(status(ended), Some(json!("in-progress")));
    drop(world);
    assert_eq!(status(ended + Duration::from_millis(100)), Some(json!("processing")));
    let record = house.record("conv_lab_000001", ended + Duration::from_secs(1)).unwrap();
    assert_eq!((&record["status"], &record["metadata"]["call_duration_secs"]), (&json!("done"), &json!(30)));
    assert!((record["metadata"]["cost_fiat"].as_f64().unwrap() - 0.046).abs() < 1e-9, "{record}");
    assert_eq!(house.record("conv_lab_000002", ended), None);
}
