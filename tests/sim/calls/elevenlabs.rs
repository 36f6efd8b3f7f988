//! Whole calls with an agent at ElevenLabs, which numbers events, decides its own formats and interrupts itself.
use super::*;
use base64_simd::STANDARD;
use providers::{Endpoint, elevenlabs};
use ramal::call::Rung;
use serde_json::{Value, json};

/// A call with an agent, connected but not confirmed.
fn connected(offer: Option<Vec<u8>>) -> World {
    let now = Instant::now();
    let invite = (LEG, model::invite(offer));
    let mut setup = model::setup(model::secretary(|_| ()), invite, "127.0.0.1:20000".parse().unwrap(), 7);
    let mut config = elevenlabs::Config::new("agent_1", elevenlabs::Format::Ulaw);
    config.api_key = Some("sk_test".into());
    config.overrides.first_message = Some("Hello".into());
    setup.rung = Rung::ElevenLabs(Box::new(config));
    World::of(Call::new(setup, now), now)
}

fn event(kind: &str, key: &str, body: Value) -> Incoming {
    Incoming::Text(json!({"type": kind, key: body}).to_string())
}

fn metadata(output: &str, input: &str) -> Incoming {
    let formats = json!({"conversation_id": "conv_1", "agent_output_audio_format": output,
        "user_input_audio_format": input});
    event("conversation_initiation_metadata", "conversation_initiation_metadata_event", formats)
}

/// A loud tone in µ-law.
fn audio(event_id: u64, length: Duration) -> Incoming {
    let bytes: Vec<u8> = (0..length.as_millis() * 8).map(|n| if n % 16 < 8 { 0x90 } else { 0x10 }).collect();
    let body = json!({"audio_base_64": STANDARD.encode_to_string(bytes), "event_id": event_id});
    event("audio", "audio_event", body)
}

fn agent(event_id: u64, text: &str) -> Incoming {
    event("agent_response", "agent_response_event", json!({"agent_response": text, "event_id": event_id}))
}

fn caller(event_id: u64, text: &str) -> Incoming {
    event("user_transcript", "user_transcription_event", json!({"user_transcript": text, "event_id": event_id}))
}

/// Sizes of the caller's audio, in bytes.
fn heard(world: &World) -> Vec<usize> {
    let chunk = |message: &Outgoing| match message {
        Outgoing::Text(text) => {
            let message: Value = serde_json::from_str(text).ok()?;
            Some(STANDARD.decode_to_vec(message.get("user_audio_chunk")?.as_str()?).ok()?.len())
        }
        Outgoing::Binary(_) | Outgoing::Ahead(_) | Outgoing::Job(..) | Outgoing::Close => None,
    };
    world.outgoing.iter().filter_map(chunk).collect()
}

#[test]
fn an_agent_greets_is_interrupted_transfers_and_is_billed_by_the_minute() {
    let mut world = connected(Some(model::offer("")));
    assert!(world.events.iter().any(|event| matches!(event, Event::Connect(Endpoint::SignedWebSocket { .. }))));
    world.call.handle_connected(world.now);
    world.drain();
    let initiation = sent(&world.outgoing, "conversation_initiation_client_data").remove(0);
    let variables = json!({"caller_number": "5511999", "called_number": "8000", "domain_name": "acme.example",
        "call_uuid": "walk"});
    assert_eq!(initiation["dynamic_variables"], variables);
    assert_eq!(initiation["conversation_config_override"], json!({"agent": {"first_message": "Hello"}}));

    world.provider(vec![metadata("ulaw_8000", "ulaw_8000")]);
    assert!(world.commands.iter().any(|command| matches!(command, Command::Answer { .. })));
    world.provider(vec![agent(1, "A long story nobody wants"), audio(1, Duration::from_secs(4))]);
    world.pass(Duration::from_secs(1), false);
    let before = world.voice.len();
    assert!(before > 40, "{before} packets of voice in a second");
    world.provider(vec![
        event("interruption", "interruption_event", json!({"event_id": 2})),
        audio(2, Duration::from_secs(1)),
        event(
            "agent_response_correction",
            "agent_response_correction_event",
            json!({"original_agent_response": "A long story nobody wants", "corrected_agent_response": "A long...",
                "event_id": 3}),
        ),
    ]);
    world.pass(Duration::from_secs(1), false);
    assert!(world.voice.len() <= before + 2, "what was cut goes on: {} packets", world.voice.len() - before);

    world.provider(vec![caller(4, "Sales, please."), agent(5, "One moment."), audio(5, Duration::from_secs(1))]);
    world.provider(vec![event(
        "client_tool_call",
        "client_tool_call",
        json!({"tool_name": "transfer", "tool_call_id": "t1", "parameters": {"destination": "sales"}, "event_id": 6}),
    )]);
    let result = sent(&world.outgoing, "client_tool_result").remove(0);
    assert_eq!((&result["tool_call_id"], &result["is_error"]), (&json!("t1"), &json!(false)));
    world.pass(Duration::from_millis(900), false);
    assert!(!world.referred(), "the announcement has not been heard");
    world.pass(Duration::from_millis(1_200), false);
    assert!(world.referred());
    world.refer(ReferProgress::Accepted);
    world.sip(sip::Event::Bye { leg: LEG, reason: None });

    let record = world.record().unwrap();
    let said: Vec<_> = record.turns.iter().map(|turn| (turn.who, turn.text.as_str())).collect();
    let expected =
        [(Speaker::Assistant, "A long..."), (Speaker::Caller, "Sales, please."), (Speaker::Assistant, "One moment.")];
    assert_eq!(said, expected);
    assert_eq!((record.outcome, record.provider.as_str()), (Outcome::Transferred, "elevenlabs"));
    // Four seconds at 80,000 micro-dollars a minute.
    assert!((5_333..5_500).contains(&record.estimated_cost.0), "{:?}", record.estimated_cost);
    assert!(heard(&world).iter().all(|bytes| *bytes == 160), "µ-law goes up untouched");
}

/// One that takes another's place says what it hears while audio flows.
#[test]
fn what_the_agent_hears_is_obeyed_when_the_media_came_first() {
    let mut world = connected(Some(model::offer("")));
    world.call.handle_connected(world.now);
    world.provider(vec![metadata("ulaw_8000", "ulaw_8000")]);
    world.call.handle_disconnected(Disconnect::Closed(None), world.now);
    world.drain();
    world.call.handle_connected(world.now);
    world.pass(Duration::from_millis(200), true);
    assert!(heard(&world).is_empty(), "nothing goes before the formats are known");
    world.provider(vec![metadata("pcm_16000", "pcm_16000")]);
    world.pass(Duration::from_millis(400), true);
    let heard = heard(&world);
    // What the caller said before is heard first, faster than it was said.
    let (whole, all) = (heard.iter().all(|bytes| bytes % 640 == 0), heard.iter().sum::<usize>());
    assert!(heard[0] >= 10 * 640 && whole && all >= 29 * 640, "{heard:?}");
    let warnings = world.events.iter().filter(|event| matches!(event, Event::Warning(_)));
    assert_eq!(warnings.count(), 1, "that it broke: {:?}", world.events);
}

#[test]
fn a_forbidden_override_refuses_the_call_in_words_the_administrator_understands() {
    let mut world = connected(Some(model::offer("")));
    world.call.handle_connected(world.now);
    let body =
        json!({"code": 1008, "error_type": "override_error", "message": "Override for 'first_message' is not allowed"});
    world.provider(vec![event("error", "error_event", body)]);
    assert!(world.commands.iter().any(|command| matches!(command, Command::Reject { status: 503, .. })));
    let reason = &world.record().unwrap().end_reason;
    assert!(reason.contains("security settings"), "{reason}");
}

#[test]
fn an_agent_that_hangs_up_ends_the_call_when_its_goodbye_was_heard() {
    let mut world = connected(Some(model::offer("")));
    world.call.handle_connected(world.now);
    world.provider(vec![metadata("ulaw_8000", "ulaw_8000"), caller(1, "Bye."), audio(2, Duration::from_secs(1))]);
    world.call.handle_disconnected(Disconnect::Closed(Some((1000, String::new()))), world.now);
    world.drain();
    world.pass(Duration::from_millis(800), false);
    assert!(!world.hung_up(), "the goodbye is being said");
    world.pass(Duration::from_secs(1), false);
    assert!(world.hung_up());
    assert_eq!(world.outcome(), Some(Outcome::Completed));
}

/// An agent asks a caller who says nothing whether they are there, every few seconds. Who is back would hear it all.
#[test]
fn an_agent_is_told_that_the_caller_is_there_while_the_call_is_on_hold() {
    let mut world = connected(Some(model::offer("")));
    world.call.handle_connected(world.now);
    world.provider(vec![metadata("ulaw_8000", "ulaw_8000")]);
    let told = |world: &World| sent(&world.outgoing, "user_activity").len();
    world.pass(Duration::from_secs(2), false);
    assert_eq!(told(&world), 0);
    world.reoffers("a=sendonly\r\n");
    world.pass(Duration::from_millis(3_500), false);
    assert_eq!(told(&world), 4, "at once and every second");
    world.reoffers("");
    world.pass(Duration::from_secs(3), false);
    assert_eq!(told(&world), 4);
}

/// "All right, thank you": the agent stops, as it does for everybody, and what it had said of it is all there is.
#[test]
fn a_word_over_the_announcement_does_not_hold_the_transfer_up() {
    let mut world = connected(Some(model::offer("")));
    world.call.handle_connected(world.now);
    world.provider(vec![metadata("ulaw_8000", "ulaw_8000"), caller(1, "Sales, please.")]);
    world.provider(vec![agent(2, "One moment."), audio(2, Duration::from_secs(1))]);
    world.provider(vec![event(
        "client_tool_call",
        "client_tool_call",
        json!({"tool_name": "transfer", "tool_call_id": "t1", "parameters": {"destination": "sales"}, "event_id": 3}),
    )]);
    world.pass(Duration::from_millis(500), false);
    world.provider(vec![event("interruption", "interruption_event", json!({"event_id": 4}))]);
    world.pass(Duration::from_millis(300), false);
    assert!(!world.referred(), "the announcement has not been heard");
    world.pass(Duration::from_millis(500), false);
    assert!(world.referred());
}

/// It says nowhere that it has said all: that is known from its silence, when the goodbye has been heard already.
#[test]
fn a_goodbye_whose_end_is_known_late_is_in_the_record() {
    let mut world = connected(Some(model::offer("")));
    world.call.handle_connected(world.now);
    world.provider(vec![metadata("ulaw_8000", "ulaw_8000"), caller(1, "Bye.")]);
    world.provider(vec![agent(2, "Goodbye."), audio(2, Duration::from_secs(1))]);
    world.pass(Duration::from_millis(300), false);
    world.provider(vec![event(
        "client_tool_call",
        "client_tool_call",
        json!({"tool_name": "end_call", "tool_call_id": "t1", "parameters": {}, "event_id": 3}),
    )]);
    world.pass(Duration::from_millis(2_500), false);
    assert!(world.hung_up());
    let said: Vec<_> = world.record().unwrap().turns.iter().map(|turn| (turn.who, turn.text.as_str())).collect();
    assert_eq!(said, [(Speaker::Caller, "Bye."), (Speaker::Assistant, "Goodbye.")]);
}
