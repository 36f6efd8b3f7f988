//! What the facts say a client sees.
use super::*;

/// A server that was sent these, and what it sent.
fn sent(script: Script, messages: &[Value]) -> Vec<Departure> {
    let now = Instant::now();
    let mut core = Core::new(Arc::new(House::from(script)), Arc::clone(&VOICE), 1, Some("agent_1"), now);
    messages.iter().for_each(|message| core.handle_text(&message.to_string(), now));
    std::iter::from_fn(|| core.poll_departure()).collect()
}

#[test]
fn what_the_server_does_not_know_ends_the_conversation() {
    let initiation = || json!({"type": "conversation_initiation_client_data"});
    let with = |key: &str, value: Value| json!({"type": "conversation_initiation_client_data", key: value});
    let refused = [
        vec![json!({"type": "conversation_config_override"})],
        vec![initiation(), initiation()],
        vec![with("overrides", json!({}))],
        vec![with("conversation_config_override", json!({"agent": {"voice": "x"}}))],
        vec![with("conversation_config_override", json!({"tts": {"speed": 0.5}}))],
        vec![with("dynamic_variables", json!({"a": ["list"]}))],
        vec![with("dynamic_variables", json!({"system__caller_id": "1"}))],
        vec![initiation(), json!({"user_audio_chunk": "AAAA", "type": "audio"})],
        vec![initiation(), json!({"user_audio_chunk": "no base64!"})],
        vec![initiation(), json!({"type": "pong"})],
        vec![initiation(), json!({"type": "client_tool_result", "tool_call_id": "x", "result": "ok"})],
        vec![initiation(), json!({"type": "client_tool_result", "tool_call_id": "x", "result": "", "is_error": false})],
    ];
    for messages in refused {
        let departures = sent(Script::default(), &messages);
        let [.., Departure::Message { text, .. }, Departure::Close(1008, _)] = &departures[..] else {
            panic!("{messages:?}: {departures:?}")
        };
        let error: Value = serde_json::from_str(text).unwrap();
        assert_eq!(error["error_event"]["error_type"], "invalid_message", "{messages:?}");
    }
    let accepted = [
        json!({"type": "user_message", "text": "Hi"}),
        json!({"type": "user_activity"}),
        json!({"type": "contextual_update", "text": "They are in a car."}),
        json!({"user_audio_chunk": "////"}),
    ];
    for message in accepted {
        let departures = sent(Script::default(), std::slice::from_ref(&message));
        let is_close = |departure: &Departure| matches!(departure, Departure::Close(..) | Departure::Drop);
        assert!(!departures.iter().any(is_close), "{message}: {departures:?}");
    }
}

#[test]
fn a_client_is_told_of_what_it_asked_for_and_of_the_formats_in_any_case() {
    let script = Script { input: String::new(), client_events: vec!["audio".into()], ..script(Vec::new()) };
    let mut world = World::new(script, config());
    world.pass(5_000);
    let kinds: Vec<_> = world.received.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert!(kinds.len() > 2 && kinds[1..].iter().all(|kind| *kind == "audio"), "{kinds:?}");
    let metadata = &world.received[0]["conversation_initiation_metadata_event"];
    assert_eq!(metadata["conversation_id"], "conv_lab_000001");
    assert_eq!(metadata.get("user_input_audio_format"), None, "it does not tell");
}

#[test]
fn events_are_numbered_and_what_an_interruption_cut_comes_after_it_with_an_older_number() {
    let mut world = World::new(script(vec![reply("one two three four", 4_000)]), config());
    world.pass(1_500);
    world.speak(400);
    world.pass(1_700);
    world.speak(200);
    world.pass(300);
    let number = |event: &Value| event.pointer("/audio_event/event_id").and_then(Value::as_u64);
    let interruption = world.received.iter().position(|event| event["type"] == "interruption").expect("one");
    let cut = world.received[interruption]["interruption_event"]["event_id"].as_u64().unwrap();
    let after: Vec<_> = world.received[interruption..].iter().filter_map(number).collect();
    assert_eq!(after, [cut - 1]);
    assert!(world.received[..interruption].iter().filter_map(number).all(|number| number < cut - 1));
}

#[test]
fn pings_are_answered_and_a_client_that_does_not_is_given_up_if_the_script_says_so() {
    let faults = Faults { pong_within_ms: Some(1_000), ..Faults::default() };
    let script = Script { faults, ..script(Vec::new()) };
    let mut world = World::new(script.clone(), config());
    world.pass(10_000);
    let pongs = world.sent.iter().filter(|message| message["type"] == "pong").count();
    assert_eq!((pongs, world.core.is_some()), (5, true));

    let now = Instant::now();
    let mut core = Core::new(Arc::new(House::from(script)), Arc::clone(&VOICE), 1, Some("agent_1"), now);
    core.handle_text(r#"{"type":"user_activity"}"#, now);
    while let Some((at, _)) = core.poll_timeout().filter(|(at, _)| *at <= now + Duration::from_secs(4)) {
        core.handle_timeout(at);
    }
    let last = std::iter::from_fn(|| core.poll_departure()).last();
    assert_eq!(last, Some(Departure::Close(1002, "ping timeout".into())));
}

#[test]
fn a_client_that_sends_nothing_for_a_minute_is_given_up() {
    let now = Instant::now();
    let mut core = Core::new(Arc::new(House::default()), Arc::clone(&VOICE), 1, Some("agent_1"), now);
    core.handle_text(r#"{"type":"user_activity"}"#, now);
    let mut last = now;
    while let Some((at, _)) = core.poll_timeout() {
        (last, _) = (at, core.handle_timeout(at));
    }
    assert_eq!(last - now, Duration::from_secs(60));
    let departure = std::iter::from_fn(|| core.poll_departure()).last();
    assert!(matches!(departure, Some(Departure::Close(1002, _))), "{departure:?}");
}
