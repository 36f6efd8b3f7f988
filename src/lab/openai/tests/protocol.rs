//! What the facts say a client sees.
use super::*;

fn create() -> Value {
    json!({"type": "response.create", "event_id": "c1"})
}

#[test]
fn a_turn_is_told_in_the_servers_order() {
    let script = Script { replies: vec![Reply::tone(1_000, 400)], caller: vec!["Oi".into()], ..Script::default() };
    let mut bench = Bench::ready(script);
    bench.hear(&[silence(1_000), speech(600), silence(200)].concat());
    let heard = bench.messages();
    let expected = [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ];
    assert_eq!(kinds(&heard), expected);
    assert_eq!(heard[0]["audio_start_ms"], 700, "with its prefix");
    assert_eq!(heard[1]["audio_end_ms"], 1_800);
    assert!(heard[..4].iter().all(|event| event["item_id"] == heard[0]["item_id"] || event["item_id"].is_null()));

    bench.advance(2_000);
    let expected = [
        "conversation.item.input_audio_transcription.delta", // after response.created, as happens
        "conversation.item.input_audio_transcription.completed",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ];
    let said = bench.messages();
    assert_eq!(kinds(&said), expected);
    assert_eq!(said[1]["transcript"], "Oi");
    let done = &said[14]["response"];
    assert_eq!((&done["status"], done["output"].as_array().unwrap().len()), (&json!("completed"), 1));
    assert_eq!(done["usage"]["output_token_details"]["audio_tokens"], 8, "400 ms");
}

#[test]
fn a_client_that_stops_sending_never_ends_its_turn() {
    let mut bench = Bench::ready(Script::default());
    bench.hear(&speech(600));
    bench.advance(60_000);
    assert_eq!(kinds(&bench.messages()), ["input_audio_buffer.speech_started"]);
}

#[test]
fn an_update_with_one_unknown_key_changes_nothing() {
    let mut bench = Bench::ready(Script::default());
    let before = bench.core.settings_for_tests();
    bench.send(&json!({"type": "session.update", "event_id": "u", "session":
        {"type": "realtime", "instructions": "new", "temperature": 0.8}}));
    let messages = bench.messages();
    assert_eq!(messages[0]["error"]["code"], "unknown_parameter");
    assert_eq!(messages[0]["error"]["param"], "session.temperature");
    assert_eq!(messages[0]["error"]["event_id"], "u");
    assert_eq!((messages.len(), bench.core.settings_for_tests()), (1, before));
}

#[test]
fn an_update_changes_what_it_names_and_spares_the_rest() {
    let mut bench = Bench::ready(Script::default());
    bench.send(&json!({"type": "session.update", "session": {"type": "realtime", "instructions": "new"}}));
    let session = bench.messages().remove(0)["session"].take();
    assert_eq!(session["instructions"], "new");
    assert_eq!(session["audio"]["input"]["format"], json!({"type": "audio/pcmu"}));
    assert_eq!(session["audio"]["output"]["voice"], "marin");
}

#[test]
fn audio_comes_faster_than_it_can_be_played() {
    let script = Script { replies: vec![Reply::tone(1_000, 5_000)], first_audio_ms: 100, ..Script::default() };
    let mut bench = Bench::ready(script);
    bench.send(&create());
    bench.advance(99);
    assert_eq!(audio_ms(&bench.messages()), 0);
    bench.advance(401); // 0.4 s at five times real time
    assert!((2_000..=2_200).contains(&audio_ms(&bench.messages())));
    bench.advance(600);
    let rest = bench.messages();
    assert!((2_800..=3_000).contains(&audio_ms(&rest)));
    assert_eq!(count(&rest, "response.done"), 1);
}

#[test]
fn one_response_at_a_time_and_cancelling_ends_it_with_a_stale_delta() {
    let script = Script { replies: vec![Reply::tone(1_000, 5_000)], ..Script::default() };
    let mut bench = Bench::ready(script);
    bench.send(&create());
    bench.advance(500);
    let created = bench.messages();
    let id = created[0]["response"]["id"].clone();
    bench.send(&create());
    let refused = bench.messages();
    assert_eq!(refused[0]["error"]["code"], "conversation_already_has_active_response");
    assert_eq!(refused[0]["error"]["event_id"], "c1");
    assert!(refused[0]["error"]["message"].as_str().unwrap().contains(id.as_str().unwrap()));

    bench.send(&json!({"type": "response.cancel", "response_id": "resp_other"}));
    assert_eq!(bench.error().unwrap().0, "response_cancel_not_active");
    bench.send(&json!({"type": "response.cancel", "response_id": id}));
    let cancelled = bench.messages();
    assert_eq!(count(&cancelled, "response.output_audio.delta"), 1);
    let done = cancelled.iter().find(|message| message["type"] == "response.done").unwrap();
    assert_eq!(done["response"]["status"], "cancelled");
    assert_eq!(done["response"]["status_details"]["reason"], "client_cancelled");
    bench.send(&json!({"type": "response.cancel"}));
    assert_eq!(bench.error().unwrap().0, "response_cancel_not_active");
    bench.advance(10_000);
    assert_eq!(bench.messages(), Vec::<Value>::new());
}

#[test]
fn speech_cancels_a_response_unless_told_not_to_and_then_nobody_answers() {
    for interrupt in [true, false] {
        let script = Script { replies: vec![Reply::tone(1_000, 60_000)], ..Script::default() };
        let mut bench = Bench::ready(script);
        bench.send(&json!({"type": "session.update", "session": {"type": "realtime", "audio": {"input":
            {"turn_detection": {"type": "server_vad", "interrupt_response": interrupt}}}}}));
        bench.send(&create());
        bench.advance(1_000);
        bench.messages();
        bench.hear(&[speech(400), silence(600)].concat());
        let messages = bench.messages();
        let reasons: Vec<_> =
            messages.iter().filter_map(|m| m["response"]["status_details"]["reason"].as_str()).collect();
        assert_eq!(count(&messages, "response.created"), usize::from(interrupt));
        assert_eq!(count(&messages, "error"), usize::from(!interrupt));
        assert_eq!(reasons, if interrupt { &["turn_detected"][..] } else { &[] });
    }
}

#[test]
fn an_item_is_truncated_to_what_it_holds_and_not_to_nothing() {
    let script = Script { replies: vec![Reply::tone(1_000, 1_000)], ..Script::default() };
    let mut bench = Bench::ready(script);
    bench.send(&create());
    bench.send(&json!({"type": "conversation.item.create", "item":
        {"id": "typed", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "5"}]}}));
    bench.advance(3_000);
    let messages = bench.messages();
    let item = messages.iter().find(|m| m["type"] == "response.output_item.added").unwrap()["item"]["id"].clone();
    let cases = [
        (item.clone(), 1_001, Some("invalid_value")),
        (item.clone(), 0, Some("unsupported_content_type")),
        (json!("typed"), 10, Some("unsupported_content_type")),
        (json!("nobody"), 10, Some("item_truncate_invalid_item_id")),
        (item.clone(), 700, None),
        (item.clone(), 701, Some("invalid_value")),
    ];
    for (item_id, audio_end_ms, expected) in cases {
        bench.send(&json!({"type": "conversation.item.truncate", "item_id": item_id, "content_index": 0,
            "audio_end_ms": audio_end_ms}));
        let code = bench.error().map(|(code, _)| code);
        assert_eq!(code.as_deref(), expected, "{item_id} {audio_end_ms}");
    }
    for expected in [None, Some("item_delete_invalid_item_id")] {
        bench.send(&json!({"type": "conversation.item.delete", "item_id": item}));
        assert_eq!(bench.error().map(|(code, _)| code).as_deref(), expected);
    }
    bench.send(&json!({"type": "conversation.item.create", "item":
        {"id": "typed", "type": "message", "role": "user", "content": []}}));
    assert_eq!(bench.error().unwrap().0, "item_create_duplicate_item_id");
}

#[test]
fn too_little_audio_is_not_committed() {
    let mut bench = Bench::ready(Script::default());
    bench.hear(&silence(80));
    bench.send(&json!({"type": "input_audio_buffer.commit"}));
    assert_eq!(bench.error().unwrap().0, "input_audio_buffer_commit_empty");
    bench.hear(&silence(20));
    bench.send(&json!({"type": "input_audio_buffer.commit"}));
    assert_eq!(count(&bench.messages(), "input_audio_buffer.committed"), 1);
}

#[test]
fn tools_are_called_and_only_what_was_called_can_be_answered() {
    let call = ScriptedCall { name: "transfer".into(), arguments: json!({"to": "sales"}) };
    let reply = Reply { calls: vec![call.clone(), call], ..Reply::words("One moment.") };
    let mut bench = Bench::ready(Script { replies: vec![reply], ..Script::default() });
    bench.send(&create());
    bench.advance(5_000);
    let messages = bench.messages();
    let done = messages.iter().find(|m| m["type"] == "response.done").unwrap();
    let output = done["response"]["output"].as_array().unwrap();
    assert_eq!(output.len(), 3, "a message and two calls");
    assert_eq!(output[1]["arguments"], r#"{"to":"sales"}"#);
    assert_eq!(count(&messages, "response.function_call_arguments.done"), 2);
    let answer = |call_id: &Value| {
        json!({"type": "conversation.item.create", "item":
            {"type": "function_call_output", "call_id": call_id, "output": "{}"}})
    };
    bench.send(&answer(&output[1]["call_id"]));
    assert_eq!(bench.error(), None);
    bench.send(&answer(&json!("call_nobody_made")));
    assert_eq!(bench.error().unwrap().0, "invalid_tool_call_id");
}

#[test]
fn replies_fail_stall_and_are_repeated_as_scripted() {
    let failed = ScriptedFailure { after_ms: 300, ..ScriptedFailure::default() };
    let incomplete = ScriptedFailure { status: "incomplete".into(), ..ScriptedFailure::default() };
    let script = Script {
        replies: vec![
            Reply { fail: Some(failed), ..Reply::tone(1_000, 1_000) },
            Reply { fail: Some(incomplete), ..Reply::tone(1_000, 1_000) },
            Reply::tone(1_000, 100),
            Reply { stall: true, ..Reply::default() },
        ],
        ..Script::default()
    };
    let mut bench = Bench::ready(script);
    let expected = [("failed", 300), ("incomplete", 0), ("completed", 100)];
    for (status, ms) in expected {
        bench.send(&create());
        bench.advance(5_000);
        let messages = bench.messages();
        let done = messages.iter().find(|m| m["type"] == "response.done").unwrap();
        assert_eq!((done["response"]["status"].as_str().unwrap(), audio_ms(&messages)), (status, ms));
    }
    bench.send(&create());
    bench.advance(60_000);
    assert_eq!(kinds(&bench.messages()), ["response.created"]);
}

#[test]
fn a_greeting_is_what_the_script_says_or_what_the_client_asked_for_word_for_word() {
    let ask = json!({"type": "response.create", "response": {"instructions": "Say exactly:\nGood morning!"}});
    let transcript = |script| {
        let mut bench = Bench::ready(script);
        bench.send(&ask);
        bench.advance(10_000);
        let messages = bench.messages();
        let done = messages.iter().find(|m| m["type"] == "response.output_audio_transcript.done").unwrap();
        (done["transcript"].as_str().unwrap().to_owned(), audio_ms(&messages) > 300)
    };
    assert_eq!(transcript(Script::default()), ("Good morning!".into(), true));
    let greeting = Some(Reply { transcript: Some("La".into()), ..Reply::tone(440, 500) });
    assert_eq!(transcript(Script { greeting, ..Script::default() }), ("La".into(), true));
}

#[test]
fn connections_end_as_scripted() {
    let with = |faults: Faults| Bench::new(Script { faults, ..Script::default() });
    let beta = Handshake { beta: true, ..ga() };
    let live = Handshake { model: Some("gpt-live-1".into()), beta: false };
    let close = |code, reason: &str| Some(Departure::Close(code, reason.to_owned()));
    let expired = "Your session hit the maximum duration of 60 minutes.";
    let cases = [
        (with(Faults { quota_after_ms: Some(100), ..Faults::default() }), Some("insufficient_quota"), close(1000, "")),
        (
            with(Faults { expire_after_ms: Some(100), ..Faults::default() }),
            Some("session_expired"),
            close(1001, expired),
        ),
        (
            with(Faults { close_after_ms: Some(100), close_reason: "x".into(), ..Faults::default() }),
            None,
            close(1011, "x"),
        ),
        (with(Faults { drop_after_ms: Some(100), ..Faults::default() }), None, Some(Departure::Drop)),
        (
            Bench::open(Script::default(), &beta),
            Some("beta_api_shape_disabled"),
            close(4000, "invalid_request_error.beta_api_shape_disabled"),
        ),
        (
            Bench::open(Script::default(), &live),
            Some("invalid_model"),
            close(4000, "invalid_request_error.invalid_model"),
        ),
        (with(Faults { mute: true, ..Faults::default() }), None, None),
    ];
    for (mut bench, code, end) in cases {
        bench.advance(200);
        bench.send(&json!({"type": "hello"}));
        let mut departures = bench.departures();
        let got = departures.pop_if(|departure| !matches!(departure, Departure::Message { .. }));
        assert_eq!(got, end);
        let text = |d: &Departure| if let Departure::Message { text, .. } = d { text.clone() } else { String::new() };
        let last: Value = departures.last().map_or(Value::Null, |d| serde_json::from_str(&text(d)).unwrap());
        assert_eq!(last["error"]["code"].as_str(), code);
    }
}

#[test]
fn a_script_is_read_and_its_mistakes_are_named() {
    let script: Script = toml::from_str(
        r#"
        api_key = "sk-lab"
        burst = 8.0
        caller = ["Quero falar com vendas"]
        greeting = { say = "Good morning!" }

        [[replies]]
        say = { tone_hz = 1000, ms = 5000 }
        first_audio_ms = 50

        [[replies]]
        say = "One moment."
        calls = [{ name = "transfer", arguments = { to = "sales" } }]

        [[replies]]
        fail = { status = "incomplete", reason = "content_filter" }

        [faults]
        close_after_ms = 5000
        messages = [{ after_ms = 10, text = '{"type":"news"}' }]
        "#,
    )
    .unwrap();
    assert_eq!(script.replies[0].say, Some(Say::Tone { tone_hz: 1_000, ms: 5_000 }));
    assert_eq!(script.replies[1].calls[0].arguments, json!({"to": "sales"}));
    assert_eq!(script.faults.messages[0].text, r#"{"type":"news"}"#);
    let mistake = toml::from_str::<Script>("bursts = 1.0").unwrap_err().to_string();
    assert!(mistake.contains("bursts") && mistake.contains("line 1"), "{mistake}");
}
