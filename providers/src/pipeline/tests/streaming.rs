//! With a socket that listens.
use super::world::{World, chunk, config, flux, ms, nova};
use crate::{
    Dialect, Disconnect, Endpoint, Event, FailureKind, Next, Note, Outgoing, Part, Past, Respond, Said, ToolCallId,
    pipeline::{Config, Hearing},
};
use media::{Audio, Heard, Law, Speech, UtteranceId};
use serde_json::json;

/// The caller asks something, nova writes it down, the detector hears the end.
fn ask(world: &mut World, words: &str) {
    world.detector(Speech::Confirmed);
    world.words(words, true, true);
    world.silent();
}

#[test]
fn words_become_an_answer_and_an_answer_becomes_speech_clause_by_clause() {
    let mut world = World::connected(config(nova()));
    let Endpoint::WebSocket { url, headers } = world.session.endpoint() else { panic!("no socket") };
    assert!(url.starts_with("wss://ear.example/v1/listen?model=nova-3&encoding=mulaw&sample_rate=8000&"), "{url}");
    assert_eq!(headers, [("Authorization".to_owned(), "Token key-1".to_owned())]);
    world.detector(Speech::Confirmed);
    world.words("when are", false, false);
    world.words("When are you open?", true, true);
    assert_eq!(world.to("/chat/completions").len(), 1, "the answer is begun in advance");
    assert_eq!(world.told(), ["system: Be brief.", "user: When are you open?"]);
    world.write("From eight to six, ");
    world.write("and on 12/24 until noon. Anything else?");
    let voice = world.to("/v1/speak");
    assert_eq!(voice.len(), 2, "two pieces ahead");
    assert_eq!(world.body(voice[0]), json!({"text": "From eight to six,"}));
    assert_eq!(world.body(voice[1]), json!({"text": "and on December twenty-fourth until noon."}));
    world.voice(voice[1], ms(900));
    world.voice(voice[0], ms(600));
    assert!(world.heard().is_empty(), "the caller may not have finished");
    world.silent();
    assert_eq!(world.caller(), ["When are you open?"]);
    assert_eq!(world.heard(), [(1, ms(1_500))], "in order, and at once");
    world.written();
    world.voice(world.last("/v1/speak"), ms(400));
    assert_eq!(world.heard(), [(1, ms(1_900))]);
    assert_eq!(world.said(), "From eight to six, and on 12/24 until noon. Anything else?");
    assert!(world.has(|event| matches!(event, Event::UtteranceDone(_))));
    let usage =
        |event: &Event| matches!(event, Event::Usage(u) if (u.input_text, u.cached_text, u.output_text) == (30, 20, 7));
    assert!(world.has(usage));
}

#[test]
fn an_answer_in_advance_is_never_heard_when_the_caller_goes_on() {
    for (mut world, how) in [(World::connected(config(nova())), "nova"), (World::connected(config(flux())), "flux")] {
        match how {
            "nova" => {
                world.detector(Speech::Confirmed);
                world.words("I would like", true, true);
            }
            _ => {
                world.turn("StartOfTurn", "I");
                world.turn("EagerEndOfTurn", "I would like");
            }
        }
        world.write("What would you like? ");
        let (mind, voice) = (world.last("/chat/completions"), world.last("/v1/speak"));
        world.part(voice, Part::Head { status: 200, retry_after: None });
        world.part(voice, Part::Chunk(vec![0x55; 800]));
        match how {
            "nova" => world.words("a room", false, false),
            _ => world.turn("TurnResumed", "I would like a"),
        }
        assert_eq!(world.aborted, [mind, voice], "{how}");
        // What was on its way already.
        world.part(voice, Part::Chunk(vec![0x55; 800]));
        world.part(mind, Part::Chunk(chunk(json!({"content": "So? "}))));
        match how {
            "nova" => {
                world.words("a room.", true, true);
                world.silent();
            }
            _ => world.turn("EndOfTurn", "I would like a room."),
        }
        assert_eq!(world.caller(), ["I would like a room."], "{how}");
        assert!(world.heard().is_empty() && world.said().is_empty(), "{how}");
        assert_eq!(world.told(), ["system: Be brief.", "user: I would like a room."], "{how}");
    }
}

#[test]
fn flux_ends_turns_by_itself_and_its_words_interrupt() {
    let mut world = World::connected(config(flux()));
    let Endpoint::WebSocket { url, .. } = world.session.endpoint() else { panic!("no socket") };
    let query = "model=flux-general-multi&encoding=mulaw&sample_rate=8000&eager_eot_threshold=0.4&language_hint=en";
    assert_eq!(url, format!("wss://ear.example/v2/listen?{query}"));
    world.ear(json!({"type": "Connected", "request_id": "r", "sequence_id": 0}));
    world.turn("StartOfTurn", "Hi");
    world.turn("EagerEndOfTurn", "Hi there.");
    world.write("Hello, how can I help you? ");
    world.voice(world.last("/v1/speak"), ms(1_000));
    world.turn("EndOfTurn", "Hi there.");
    assert_eq!((world.heard(), world.to("/chat/completions").len()), (vec![(1, ms(1_000))], 1));
    world.written();
    world.turn("StartOfTurn", "Wait");
    assert_eq!(world.events.iter().filter(|event| matches!(event, Event::SpeechStarted)).count(), 2);
    world.cut(1, ms(500));
    world.turn("EndOfTurn", "Wait a moment.");
    let told = world.told();
    assert_eq!(told[1..], ["user: Hi there.", "assistant: Hello, how can…", "user: Wait a moment."]);
}

#[test]
fn flux_waits_no_longer_than_it_is_told_and_no_less_than_it_can() {
    for (longest, expected) in [(1_200, "&eot_timeout_ms=1200&"), (300, "&eot_timeout_ms=500&")] {
        let Hearing::Flux { at, model, .. } = flux() else { panic!("flux") };
        let hearing = Hearing::Flux { at, model, longest_silence: Some(ms(longest)) };
        let world = World::connected(config(hearing));
        let Endpoint::WebSocket { url, .. } = world.session.endpoint() else { panic!("no socket") };
        assert!(url.contains(expected), "{url}");
    }
}

#[test]
fn barge_in_stops_mind_and_voice_at_once() {
    let mut world = World::connected(config(nova()));
    ask(&mut world, "Tell me a story.");
    world.write("Once upon a time, there was a king. He was old. ");
    let (mind, voices) = (world.last("/chat/completions"), world.to("/v1/speak"));
    world.part(voices[0], Part::Head { status: 200, retry_after: None });
    world.part(voices[0], Part::Chunk(vec![0x55; 8_000]));
    assert_eq!(world.heard(), [(1, ms(1_000))]);
    world.cut(1, ms(600));
    assert_eq!(world.aborted, [mind, voices[0], voices[1]]);
    world.part(voices[0], Part::Chunk(vec![0x55; 8_000]));
    assert_eq!(world.heard(), [(1, ms(1_000))], "nothing of it comes any more");
    ask(&mut world, "Shorter, please.");
    assert_eq!(world.told()[1..], ["user: Tell me a story.", "assistant: Once upon…", "user: Shorter, please."]);
}

#[test]
fn tools_are_called_when_the_words_before_them_were_made_and_their_outcome_is_told() {
    let mut world = World::connected(config(nova()));
    ask(&mut world, "Goodbye.");
    world.write("Goodbye, and thank you! ");
    let id = world.last("/chat/completions");
    let offered = &world.body(id)["tools"][0];
    assert_eq!((&offered["type"], &offered["function"]["name"]), (&json!("function"), &json!("end_call")));
    for delta in [
        json!({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "end_call", "arguments": ""}}]}),
        json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"a\""}}]}),
        json!({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}),
    ] {
        world.part(id, Part::Chunk(chunk(delta)));
    }
    world.written();
    assert!(!world.has(|event| matches!(event, Event::ToolCall { .. })), "the goodbye comes first");
    for voice in world.to("/v1/speak") {
        world.voice(voice, ms(400));
    }
    let call = world.events.iter().find_map(|event| match event {
        Event::ToolCall { id, name, arguments } => Some((id.clone(), name.clone(), arguments.clone())),
        _ => None,
    });
    let (id, name, arguments) = call.unwrap();
    assert_eq!((id.0.as_str(), name.as_str(), arguments.as_str()), ("call_1", "end_call", r#"{"a":1}"#));
    world.session.answer_tool(id, r#"{"status":"refused"}"#.into(), Respond::Yes, world.now);
    world.pass(ms(1));
    while let Some(crate::Errand::Send(id, request)) = world.session.poll_errand() {
        world.requests.push((id, request));
    }
    assert_eq!(world.told().last().unwrap(), r#"tool: {"status":"refused"}"#);
    world.session.answer_tool(ToolCallId("nobody's".into()), "{}".into(), Respond::Yes, world.now);
}

#[test]
fn a_service_that_stumbles_is_asked_again_and_one_that_refuses_ends_it() {
    let mut world = World::connected(config(nova()));
    ask(&mut world, "Hello?");
    world.respond(world.last("/chat/completions"), 503, b"{}");
    assert_eq!(world.to("/chat/completions").len(), 2);
    world.write("Hello, this is Ana. ");
    world.respond(world.last("/v1/speak"), 500, b"");
    assert_eq!(world.to("/v1/speak").len(), 2);
    world.voice(world.last("/v1/speak"), ms(300));
    assert_eq!(world.heard(), [(1, ms(300))]);

    let cases = [
        (
            "/chat/completions",
            401,
            r#"{"error":{"code":"invalid_api_key","message":"key-1 is wrong"}}"#,
            FailureKind::Authentication,
        ),
        ("/chat/completions", 429, r#"{"error":{"type":"insufficient_quota"}}"#, FailureKind::Quota),
        ("/v1/speak", 401, "", FailureKind::Authentication),
    ];
    for (path, status, body, kind) in cases {
        let mut world = World::connected(config(nova()));
        ask(&mut world, "Hello?");
        world.write("Hello, this is Ana. ");
        world.respond(world.last(path), status, body.as_bytes());
        let failed = world.events.iter().find_map(|event| match event {
            Event::Failed(failure) => Some(failure.clone()),
            _ => None,
        });
        let failure = failed.unwrap_or_else(|| panic!("{path} {status}: {:?}", world.events));
        assert_eq!(failure.kind, kind, "{path}");
        assert!(!failure.message.contains("key-1"), "{}", failure.message);
        assert_eq!(world.session.poll_timeout(), None);
    }
}

#[test]
fn a_silent_service_is_given_up() {
    let mut world = World::connected(config(nova()));
    ask(&mut world, "Hello?");
    world.pass(ms(60_000));
    assert_eq!(world.to("/chat/completions").len(), 2, "asked twice");
    assert!(world.has(|event| matches!(event, Event::Warning(text) if text.contains("language model"))));
    assert!(world.has(|event| matches!(event, Event::Failed(failure) if failure.kind == FailureKind::Connection)));
}

#[test]
fn a_lost_ear_comes_back_and_hears_again_what_was_not_understood() {
    let mut world = World::connected(config(nova()));
    let audio = |byte| Audio::G711 { law: Law::Mu, bytes: vec![byte; 8_000] };
    let bytes = |world: &World| {
        let binary = world.sent.iter().filter_map(|message| match message {
            Outgoing::Binary(bytes) => Some(bytes.clone()),
            _ => None,
        });
        binary.collect::<Vec<_>>().concat()
    };
    world.session.handle_audio(&audio(1), world.now);
    world.words("", false, false);
    world.words("One.", true, false);
    world.session.handle_audio(&audio(2), world.now);
    world.pass(ms(1));
    world.words("", false, false);
    world.session.handle_disconnected(Disconnect::Closed(Some((1011, "NET-0000".into()))), world.now);
    world.words("", false, false);
    assert!(world.has(|event| *event == Event::Reconnect));
    world.sent.clear();
    world.session.handle_connected(world.now);
    world.words("", false, false);
    assert_eq!(bytes(&world), [2; 8_000]);
    assert_eq!(world.events.iter().filter(|event| **event == Event::Ready).count(), 1);
    for _ in 0..4 {
        world.session.handle_disconnected(Disconnect::Unreachable("no route".into()), world.now);
    }
    world.words("", false, false);
    world.pass(ms(1));
    assert!(world.has(|event| matches!(event, Event::Failed(_))), "not for ever");
}

#[test]
fn the_last_words_are_fetched_when_the_detector_is_first() {
    let mut world = World::connected(config(nova()));
    world.detector(Speech::Confirmed);
    world.words("when are", false, false);
    world.silent();
    assert!(world.sent.contains(&Outgoing::Text(r#"{"type":"Finalize"}"#.into())));
    world.words("When are you open?", true, false);
    assert_eq!(world.caller(), ["When are you open?"]);
    assert_eq!(world.to("/chat/completions").len(), 1);
}

/// "Well … I would like a room": a secretary may give callers two seconds to find the next word.
#[test]
fn a_turn_that_begins_with_one_word_has_its_silence() {
    let mut world = World::connected(config(nova()));
    world.detector(Speech::Confirmed);
    world.words("Well,", true, true);
    world.detector(Speech::Yielded);
    world.words("", true, true);
    world.pass(ms(1_600));
    assert!(world.caller().is_empty());
    world.detector(Speech::Insisted);
    world.words("I would like a room.", true, true);
    world.silent();
    assert_eq!(world.caller(), ["Well, I would like a room."]);

    let Hearing::Nova { at, model, endpointing, .. } = nova() else { panic!("nova") };
    for (silence, expected) in [(500, 1_000), (2_000, 2_000), (10_000, 5_000)] {
        let hearing = Hearing::Nova { at: at.clone(), model: model.clone(), endpointing, silence: ms(silence) };
        let Endpoint::WebSocket { url, .. } = World::connected(config(hearing)).session.endpoint() else {
            panic!("no socket")
        };
        assert!(url.contains(&format!("&utterance_end_ms={expected}&")), "{url}");
    }
}

#[test]
fn a_murmur_lets_her_go_on_and_words_do_not() {
    let mut world = World::connected(config(nova()));
    ask(&mut world, "Tell me a story.");
    world.write("Once upon a time there was a king. ");
    world.voice(world.last("/v1/speak"), ms(2_000));
    world.written();
    world.words("Uh-huh.", true, true);
    assert_eq!(world.to("/chat/completions").len(), 1);
    assert!(!world.has(|event| *event == Event::SpeechStarted));
    world.words("Stop it.", true, true);
    assert!(world.has(|event| *event == Event::SpeechStarted));
    world.cut(1, ms(1_000));
    assert_eq!(world.to("/chat/completions").len(), 2);
}

#[test]
fn a_conversation_goes_on_where_another_ended() {
    let said = || vec![Said::Caller("I am Bob.".to_owned()), Said::Assistant("Hello Bob.".to_owned())];
    let begun = |said, next| {
        let config = Config { first_message: Some("Welcome.".into()), ..config(nova()) };
        World::resumed(config, Some(Past { said, next }))
    };
    let mut world = begun(said(), Next::Listen);
    assert!(world.requests.is_empty(), "nobody is greeted again");
    ask(&mut world, "Are you there?");
    assert_eq!(world.told()[1..], ["user: I am Bob.", "assistant: Hello Bob.", "user: Are you there?"]);
    let world = begun(vec![Said::Caller("I am Bob.".to_owned())], Next::GoOn);
    assert_eq!(world.told()[1..], ["user: I am Bob."], "what was asked is answered");
    let world = begun(said(), Next::GoOn);
    assert!(world.told()[3].starts_with("system: There was a gap"), "{:?}", world.told());
}

#[test]
fn a_conversation_begins_when_every_service_is_there_and_knows_the_key() {
    let now = std::time::Instant::now();
    let answered = |status: u16, body: &str| {
        let mut session = crate::pipeline::Session::new(config(nova()));
        session.handle_connected(now);
        let asked: Vec<_> = std::iter::from_fn(|| session.poll_errand()).collect();
        let urls = asked.iter().map(|errand| match errand {
            crate::Errand::Send(_, request) => request.url.as_str(),
            other => panic!("{other:?}"),
        });
        let urls: Vec<_> = urls.collect();
        assert_eq!(urls, ["https://mind.example/v1/models", "https://voice.example/v1/projects"]);
        assert_eq!(session.poll_event(), None, "their word is awaited");
        for errand in &asked {
            let crate::Errand::Send(id, _) = errand else { continue };
            let (head, body) = (Part::Head { status, retry_after: None }, Part::Chunk(body.as_bytes().to_vec()));
            [head, body, Part::End].into_iter().for_each(|part| session.handle_answer(*id, part, now));
        }
        session.poll_event()
    };
    assert_eq!(answered(200, "{}"), Some(Event::Ready));
    assert_eq!(answered(403, "{}"), Some(Event::Ready), "a key may be good for speech alone");
    assert_eq!(answered(401, r#"{"detail":{"status":"missing_permissions"}}"#), Some(Event::Ready));
    for (status, kind) in [(401, FailureKind::Authentication), (503, FailureKind::Unavailable)] {
        let event = answered(status, r#"{"error":{"message":"no: key-1"}}"#);
        assert!(!format!("{event:?}").contains("key-1"), "{event:?}");
        assert!(matches!(&event, Some(Event::Failed(failure)) if failure.kind == kind), "{event:?}");
    }
}

#[test]
fn who_coughs_while_the_answer_is_made_is_answered_all_the_same() {
    let asked = |world: &World| world.to("/chat/completions").len();
    // nova hears a cough and nothing in it.
    let mut world = World::connected(config(nova()));
    ask(&mut world, "When are you open?");
    world.detector(Speech::Confirmed);
    assert_eq!(world.aborted, world.to("/chat/completions"), "it seemed more was said");
    world.detector(Speech::Yielded);
    world.silent();
    assert_eq!(asked(&world), 1, "words may come of it");
    world.pass(ms(1_500));
    assert_eq!(asked(&world), 2);
    assert_eq!(world.told()[1..], ["user: When are you open?"]);
    world.pass(ms(3_000));
    assert_eq!(asked(&world), 2, "once");
    // It says so itself.
    world.detector(Speech::Confirmed);
    world.silent();
    world.finalized("");
    assert_eq!(asked(&world), 3);
    // There were words.
    world.detector(Speech::Confirmed);
    world.words("On Sunday?", true, false);
    world.silent();
    world.pass(ms(3_000));
    assert_eq!(asked(&world), 4);
    assert_eq!(world.told()[1..], ["user: When are you open? On Sunday?"]);

    // Flux may begin a turn for it, or not.
    let mut world = World::connected(config(flux()));
    world.turn("StartOfTurn", "When");
    world.turn("EndOfTurn", "When are you open?");
    world.detector(Speech::Confirmed);
    world.turn("StartOfTurn", "");
    world.silent();
    assert_eq!(asked(&world), 1);
    world.turn("EndOfTurn", "");
    assert_eq!(asked(&world), 2);
    world.detector(Speech::Confirmed);
    world.silent();
    assert_eq!(asked(&world), 3);
}

#[test]
fn what_must_be_heard_is_not_withdrawn() {
    let mut world = World::connected(config(nova()));
    world.session.inform(Note::SayGoodbye { reason: "time is up".into() }, world.now);
    world.pass(ms(1));
    world.detector(Speech::Suspected);
    world.detector(Speech::Confirmed);
    assert_eq!((world.to("/chat/completions").len(), world.aborted.len()), (1, 0));
    world.write("Goodbye, and thank you! ");
    world.voice(world.last("/v1/speak"), ms(500));
    assert_eq!(world.heard(), [(1, ms(500))]);
}

#[test]
fn an_answer_that_nobody_has_heard_is_no_goodbye() {
    let mut world = World::connected(config(nova()));
    ask(&mut world, "When are you open?");
    world.write("From nine ");
    let mind = world.last("/chat/completions");
    world.session.inform(Note::SayGoodbye { reason: "time is up".into() }, world.now);
    world.drain();
    assert!(world.aborted.contains(&mind), "{:?}", world.aborted);
    assert_eq!(world.to("/chat/completions").len(), 2);
    assert!(world.told().last().unwrap().contains("time is up"), "{:?}", world.told());
    world.write("Goodbye, and thank you! ");
    world.voice(world.last("/v1/speak"), ms(500));
    assert_eq!(world.said(), "Goodbye, and thank you!");
}

#[test]
fn a_click_does_not_swallow_the_last_words() {
    let mut world = World::connected(config(nova()));
    world.detector(Speech::Confirmed);
    world.words("when are", false, false);
    world.silent();
    world.detector(Speech::Suspected);
    world.words("When are you open?", true, false);
    assert!(world.caller().is_empty(), "there may be more");
    world.detector(Speech::Refuted);
    world.pass(ms(1_500));
    assert_eq!(world.caller(), ["When are you open?"]);
    // Nor when it is first, and the end is not noticed.
    world.detector(Speech::Suspected);
    world.words("Hello?", true, false);
    world.detector(Speech::Refuted);
    world.pass(ms(1_500));
    assert_eq!(world.caller(), ["When are you open?", "Hello?"]);
}

#[test]
fn what_waits_behind_what_is_cut_off_is_not_heard() {
    let mut world = World::connected(Config { first_message: Some("Welcome to the clinic.".into()), ..config(nova()) });
    world.voice(world.last("/v1/speak"), ms(2_000));
    world.session.inform(Note::SayGoodbye { reason: "it is late".into() }, world.now);
    world.drain();
    world.write("Goodbye, and thank you. Until soon. ");
    world.voice(world.to("/v1/speak")[1], ms(500));
    assert_eq!(world.heard(), [(1, ms(2_000)), (2, ms(500))], "behind the greeting, which plays still");
    let (mind, voice) = (world.last("/chat/completions"), world.last("/v1/speak"));
    world.aborted.clear();
    world.cut(1, ms(1_000));
    assert_eq!(world.aborted, [mind, voice]);
    ask(&mut world, "Stop.");
    let told = world.told();
    assert_eq!((told[1].as_str(), told.last().unwrap().as_str()), ("assistant: Welcome to…", "user: Stop."));
    assert!(!told.iter().any(|line| line.contains("thank you")), "{told:?}");
}

#[test]
fn words_spoken_over_an_answer_are_answered_when_it_is_known_what_was_heard_of_it() {
    let spoken_over = || {
        let first_message = Some("Welcome to the clinic.".into());
        let mut world = World::connected(Config { first_message, ..config(nova()) });
        world.voice(world.last("/v1/speak"), ms(2_000));
        let asked = world.to("/chat/completions").len();
        ask(&mut world, "Hello?");
        let over = world.to("/chat/completions").len() - world.aborted.len();
        assert_eq!(over, asked, "the model would take the rest for said");
        world
    };
    let mut world = spoken_over();
    world.cut(1, ms(1_000));
    assert_eq!(world.told()[1..], ["assistant: Welcome to…", "user: Hello?"]);
    let mut world = spoken_over();
    let all = Heard { utterance: UtteranceId(1), played: ms(2_000), queued: ms(2_000) };
    world.session.handle_played_out(all, world.now);
    world.drain();
    assert_eq!(world.told()[1..], ["assistant: Welcome to the clinic.", "user: Hello?"]);
    // What was cut was another's, and the greeting waited behind it.
    let mut world = spoken_over();
    world.session.silenced(world.now);
    world.drain();
    assert_eq!(world.told().last().unwrap(), "user: Hello?");
}

#[test]
fn a_model_that_only_thinks_is_given_up() {
    let mut world = World::connected(config(nova()));
    ask(&mut world, "Hello?");
    let first = world.last("/chat/completions");
    world.part(first, Part::Head { status: 200, retry_after: None });
    for _ in 0..4 {
        world.pass(ms(1_000));
        world.part(first, Part::Chunk(b": keep-alive\n\n".to_vec()));
        world.part(first, Part::Chunk(chunk(json!({"reasoning": "Hm."}))));
    }
    assert!(world.aborted.is_empty());
    world.pass(ms(1_000));
    assert_eq!((world.aborted.clone(), world.to("/chat/completions").len()), (vec![first], 2));
    world.write("Hello");
    world.pass(ms(7_999));
    assert_eq!(world.aborted, [first], "it has begun");
}

/// What is called.
fn called(world: &World) -> Vec<(&str, &str, &str)> {
    let calls = world.events.iter().filter_map(|event| match event {
        Event::ToolCall { id, name, arguments } => Some((id.0.as_str(), name.as_str(), arguments.as_str())),
        _ => None,
    });
    calls.collect()
}

fn calls(world: &mut World, fragments: &[serde_json::Value]) {
    let id = world.last("/chat/completions");
    world.part(id, Part::Head { status: 200, retry_after: None });
    fragments.iter().for_each(|fragment| world.part(id, Part::Chunk(chunk(json!({"tool_calls": [fragment]})))));
}

#[test]
fn several_calls_are_told_apart_by_index_or_by_id() {
    let mut world = World::connected(config(nova()));
    ask(&mut world, "Goodbye.");
    // All of index 0, none, or of equal ids.
    let fragments = [
        json!({"index": 0, "id": "a", "function": {"name": "one", "arguments": "{"}}),
        json!({"index": 0, "function": {"arguments": "}"}}),
        json!({"index": 0, "id": "b", "function": {"name": "two", "arguments": "{}"}}),
        json!({"id": "c", "function": {"name": "three", "arguments": "{"}}),
        json!({"id": "c", "function": {"arguments": "}"}}),
        json!({"index": 3, "id": "a", "function": {"name": "four", "arguments": "{}"}}),
    ];
    calls(&mut world, &fragments);
    world.written();
    let id = format!("call-{}-3", world.last("/chat/completions").0);
    let want = [("a", "one", "{}"), ("b", "two", "{}"), ("c", "three", "{}"), (id.as_str(), "four", "{}")];
    assert_eq!(called(&world), want);
}

#[test]
fn no_more_calls_are_taken_than_are_made() {
    let mut world = World::connected(config(nova()));
    ask(&mut world, "Goodbye.");
    let fragment = |n: u32| json!({"id": format!("{n}"), "function": {"name": "one", "arguments": "{}"}});
    calls(&mut world, &(0..20).map(fragment).collect::<Vec<_>>());
    world.written();
    assert_eq!(called(&world).len(), 8);
    assert!(called(&world).iter().all(|(_, _, arguments)| *arguments == "{}"));
}

#[test]
fn outcomes_are_talked_about_if_any_is_worth_it_and_there_may_be_nothing_to_say() {
    let mut world = World::connected(config(nova()));
    ask(&mut world, "Goodbye.");
    world.write("Goodbye, and thank you! ");
    let fragment = |n: usize| json!({"index": n, "id": format!("{n}"), "function": {"name": "one", "arguments": "{}"}});
    let mind = world.last("/chat/completions");
    for fragment in [fragment(0), fragment(1)] {
        world.part(mind, Part::Chunk(chunk(json!({"tool_calls": [fragment]}))));
    }
    world.written();
    for voice in world.to("/v1/speak") {
        world.voice(voice, ms(400));
    }
    assert_eq!(called(&world).len(), 2);
    for (id, respond) in [("0", Respond::Yes), ("1", Respond::No)] {
        world.session.answer_tool(ToolCallId(id.into()), "{}".into(), respond, world.now);
    }
    world.detector(Speech::Suspected);
    assert_eq!(world.to("/chat/completions").len(), 2);
    world.detector(Speech::Refuted);
    world.written();
    assert_eq!(world.to("/chat/completions").len(), 2);
    assert!(!world.has(|event| matches!(event, Event::Failed(_) | Event::Warning(_))), "{:?}", world.events);
    // Of words an answer is made.
    let (utterance, played) = world.heard()[0];
    world.session.handle_played_out(Heard { utterance: UtteranceId(utterance), played, queued: played }, world.now);
    ask(&mut world, "Are you there?");
    world.written();
    assert!(world.has(|event| matches!(event, Event::Warning(text) if text.contains("empty"))));
}

#[test]
fn who_has_heard_nothing_since_they_asked_is_not_left_with_an_empty_answer() {
    let mut world = World::connected(config(nova()));
    ask(&mut world, "What does it cost?");
    calls(&mut world, &[json!({"index": 0, "id": "a", "function": {"name": "one", "arguments": "{}"}})]);
    world.written();
    world.session.answer_tool(ToolCallId("a".into()), "{}".into(), Respond::Yes, world.now);
    world.drain();
    assert_eq!(world.to("/chat/completions").len(), 2);
    world.written();
    assert!(world.has(|event| matches!(event, Event::Warning(text) if text.contains("empty"))));
    assert_eq!(world.to("/chat/completions").len(), 3, "it is asked once more");
    world.write("Ten dollars. ");
    world.written();
    world.voice(world.last("/v1/speak"), ms(400));
    assert_eq!(world.said(), "Ten dollars.");
}

#[test]
fn half_a_call_is_asked_for_again() {
    let mut world = World::connected(config(nova()));
    ask(&mut world, "Goodbye.");
    calls(&mut world, &[json!({"index": 0, "id": "a", "function": {"name": "end_call", "arguments": "{\"rea"}})]);
    let id = world.last("/chat/completions");
    world.part(id, Part::Failed("reset".into()));
    assert_eq!(world.to("/chat/completions").len(), 2);
    calls(&mut world, &[json!({"index": 0, "id": "b", "function": {"name": "end_call", "arguments": "{}"}})]);
    world.written();
    assert_eq!(called(&world), [("b", "end_call", "{}")]);
}

#[test]
fn the_last_words_are_asked_for_behind_the_last_sound() {
    let mut world = World::connected(config(nova()));
    world.detector(Speech::Confirmed);
    let sound = Audio::G711 { law: Law::Mu, bytes: vec![7; 160] };
    world.session.handle_audio(&sound, world.now);
    world.silent();
    let finalize = Outgoing::Text(r#"{"type":"Finalize"}"#.into());
    assert_eq!(world.sent, [Outgoing::Binary(vec![7; 160]), finalize.clone()]);
    // Over a new connection as well.
    world.session.handle_disconnected(Disconnect::Closed(None), world.now);
    world.detector(Speech::Confirmed);
    world.silent();
    assert_eq!(world.sent.len(), 2);
    world.session.handle_connected(world.now);
    world.detector(Speech::Suspected);
    assert_eq!(world.sent[2..], [Outgoing::Binary(vec![7; 160]), finalize]);
}

#[test]
fn final_words_of_a_turn_that_is_not_over_are_not_lost() {
    let mut world = World::connected(config(nova()));
    world.detector(Speech::Confirmed);
    world.words("My number is", true, false);
    world.words("five", false, false);
    world.session.handle_disconnected(Disconnect::Refused(401), world.now);
    assert_eq!(world.session.take_half().as_deref(), Some("My number is"));
    assert_eq!(world.session.take_half(), None);
}
