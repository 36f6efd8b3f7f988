//! What the assistant looks up while the caller waits for her.
use super::*;
use crate::house::{Ear, House};
use providers::{Errand, HttpRequest, Method, Part, RequestId};
use ramal::{
    call::{
        Lookup,
        lookup::{AT_THE_LATEST, PATIENCE},
    },
    knowledge::Passage,
    lab::parts::Script,
};
use serde_json::{Value, json};
use uuid::Uuid;

const COLLECTION: Uuid = Uuid::from_u128(7);
const QUESTION: (&str, &str) = ("search_knowledge", r#"{"query":"preço da consulta"}"#);

fn knows(row: &mut SecretaryRow) {
    (row.enable_rag, row.rag_collection_id) = (Some(true), Some(COLLECTION.to_string()));
}

fn price() -> Passage {
    let (title, text) = ("Preços".to_owned(), "A consulta custa 150 reais.".to_owned());
    Passage { document_uuid: Uuid::from_u128(9), title, ordinal: 0, heading: None, text }
}

impl World {
    /// The model asks this; what the call asks of those who keep the knowledge.
    fn looks_up(&mut self) -> Option<Lookup> {
        self.says(Duration::from_secs(1), Some(QUESTION));
        self.call.poll_lookup()
    }

    /// The same, without a word.
    fn searches(&mut self) -> Option<Lookup> {
        let mut messages = self.model.begin();
        messages.extend(self.model.finish(Some(QUESTION)));
        self.provider(messages);
        self.call.poll_lookup()
    }

    /// It looks things up as often as it may without a word, and finds nothing.
    fn searches_on(&mut self) {
        for _ in 0..3 {
            let lookup = self.searches().unwrap();
            self.found(&lookup, Some(&[]));
            self.pass(Duration::from_millis(500), false);
        }
        assert_eq!(self.searches(), None);
        let (told, _) = self.results();
        assert_eq!((told.len(), told[3]["status"].as_str()), (4, Some("refused")));
    }

    fn found(&mut self, lookup: &Lookup, found: Option<&[Passage]>) {
        self.call.handle_found(lookup.id, found, self.now);
        self.drain();
    }

    /// Results of tools that the model was told, and how often it was asked to speak.
    fn results(&self) -> (Vec<Value>, usize) {
        let items = sent(&self.outgoing, "conversation.item.create");
        let outputs = items.iter().filter_map(|message| message["item"]["output"].as_str());
        let outputs = outputs.map(|output| serde_json::from_str(output).unwrap()).collect();
        (outputs, sent(&self.outgoing, "response.create").len())
    }

    /// The caller makes a sound until our detector takes it for speech, and no longer.
    fn coughs(&mut self) {
        let heard = |world: &Self| world.events.iter().filter(|event| matches!(event, Event::CallerSpeaks)).count();
        let before = heard(self);
        for _ in 0..50 {
            if heard(self) > before {
                return;
            }
            self.pass(PTIME, true);
        }
        panic!("a second of speech is none to our detector");
    }

    fn tools(&self) -> Vec<String> {
        let settings = sent(&self.outgoing, "session.update").remove(0);
        let tools = settings["session"]["tools"].as_array().unwrap().iter();
        tools.map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }

    /// What is written down of the caller's side.
    fn written(&mut self) -> Vec<String> {
        self.sip(sip::Event::Bye { leg: LEG, reason: None });
        let turns = self.record().unwrap().turns.iter().filter(|turn| turn.who == Speaker::Caller);
        turns.map(|turn| turn.text.clone()).collect()
    }
}

#[test]
fn what_is_looked_up_is_told_to_the_model_and_written_down() {
    let mut world = World::answered(knows);
    assert!(world.tools().contains(&"search_knowledge".to_owned()), "{:?}", world.tools());
    let lookup = world.looks_up().unwrap();
    assert_eq!((lookup.domain, lookup.collection), (Uuid::from_u128(2), COLLECTION));
    assert_eq!((lookup.question.as_str(), world.call.poll_lookup()), ("preço da consulta", None));
    world.pass(Duration::from_millis(700), false);
    let (told, asked) = world.results();
    assert!(told.is_empty(), "{told:?}");
    world.found(&lookup, Some(&[price()]));
    let (told, asked_again) = world.results();
    assert_eq!((told.len(), told[0]["status"].as_str(), asked_again), (1, Some("found"), asked + 1));
    assert_eq!(told[0]["passages"][0]["text"], "A consulta custa 150 reais.");
    world.found(&lookup, Some(&[]));
    assert_eq!(world.results().0.len(), 1, "it is answered once");
    world.says(Duration::from_secs(1), None);
    world.pass(Duration::from_secs(2), false);
    assert_eq!(world.written(), ["[looked up \"preço da consulta\": 1 found]"]);
    assert!(!world.warned("looked up"));
}

#[test]
fn what_nobody_answers_is_told_in_time_and_the_call_goes_on() {
    let mut world = World::answered(knows);
    let lookup = world.looks_up().unwrap();
    world.pass(PATIENCE - Duration::from_millis(100), false);
    assert!(world.results().0.is_empty());
    world.pass(Duration::from_millis(200), false);
    let (told, asked) = world.results();
    assert_eq!((told.len(), told[0]["status"].as_str()), (1, Some("unavailable")));
    world.found(&lookup, Some(&[price()]));
    assert_eq!(world.results(), (told, asked), "too late");
    assert!(world.warned("looked up") && !world.call.is_over());
    let lookup = world.looks_up().unwrap();
    world.found(&lookup, None);
    assert_eq!(world.results().0[1]["status"], "unavailable", "nobody can tell");
    let lookup = world.looks_up().unwrap();
    world.found(&lookup, Some(&[]));
    assert_eq!(world.results().0[2]["status"], "nothing found");
    let no_answer = "[looked up \"preço da consulta\": no answer]";
    assert_eq!(world.written(), [no_answer, no_answer, "[looked up \"preço da consulta\": 0 found]"]);
}

#[test]
fn who_asks_too_much_at_once_is_refused() {
    let mut world = World::answered(knows);
    let mut lookups = Vec::new();
    while let Some(lookup) = world.looks_up() {
        lookups.push(lookup);
    }
    assert_eq!(lookups.len(), 4);
    assert_eq!(world.results().0[0]["status"], "refused");
    world.found(&lookups[2], Some(&[price()]));
    assert!(world.looks_up().is_some(), "there is room again");
}

#[test]
fn who_looks_things_up_without_end_is_asked_for_words_and_given_up_without_any() {
    let mut world = World::answered(knows);
    world.says(Duration::from_secs(1), None);
    world.pass(Duration::from_millis(1_500), false);
    world.searches_on();
    for _ in 0..7 {
        world.pass(Duration::from_secs(1), false);
        assert_eq!(world.searches(), None);
    }
    assert!(!world.warned("it answers nothing"));
    world.pass(Duration::from_millis(1_500), false);
    assert!(world.warned("it answers nothing"), "{:?}", world.events);
}

#[test]
fn a_word_of_either_side_lets_the_assistant_look_things_up_again() {
    let mut world = World::answered(knows);
    world.searches_on();
    assert!(world.looks_up().is_some(), "she said something");
    let mut world = World::answered(knows);
    world.searches_on();
    world.pass(Duration::from_secs(1), true);
    world.pass(Duration::from_secs(1), false);
    assert!(world.searches().is_some(), "they did");
}

#[test]
fn without_knowledge_there_is_nothing_to_look_up() {
    let changes: [fn(&mut SecretaryRow); 2] = [|_| (), |row| row.rag_collection_id = Some(COLLECTION.to_string())];
    for change in changes {
        let mut world = World::answered(change);
        assert!(!world.tools().contains(&"search_knowledge".to_owned()));
        assert_eq!(world.looks_up(), None);
        assert_eq!(world.results().0[0]["status"], "refused", "{:?}", world.results());
    }
}

#[test]
fn who_is_being_put_through_is_told_nothing_more() {
    let mut world = World::answered(knows);
    let lookup = world.looks_up().unwrap();
    world.says(Duration::from_secs(1), Some(("transfer", r#"{"destination":"sales"}"#)));
    let asked = world.results().1;
    world.found(&lookup, Some(&[price()]));
    let (told, asked_again) = world.results();
    assert_eq!((told.last().unwrap()["status"].as_str(), asked_again), (Some("found"), asked));
}

/// The caller's turn is answered when it is over, with what was found in mind.
#[test]
fn who_speaks_is_not_spoken_to() {
    let mut world = World::answered(knows);
    let lookup = world.looks_up().unwrap();
    world.pass(Duration::from_millis(1_500), false);
    world.pass(Duration::from_millis(400), true);
    let asked = world.results().1;
    world.found(&lookup, Some(&[price()]));
    assert_eq!(world.results(), (Vec::new(), asked), "it waits for the end of the turn");
    world.pass(Duration::from_secs(2), false);
    let (told, asked_again) = world.results();
    assert_eq!((told.len(), told[0]["status"].as_str(), asked_again), (1, Some("found"), asked + 1));
}

/// A server answers no cough, and so nobody would say what was found.
#[test]
fn who_coughs_while_something_is_looked_up_is_told_what_was_found() {
    let mut world = World::answered(knows);
    let lookup = world.looks_up().unwrap();
    world.pass(Duration::from_millis(1_500), false);
    world.coughs();
    let asked = world.results().1;
    world.found(&lookup, Some(&[price()]));
    assert!(world.results().0.is_empty(), "the caller may go on");
    world.pass(Duration::from_secs(3), false);
    let (told, asked_again) = world.results();
    assert_eq!((told.len(), told[0]["status"].as_str(), asked_again), (1, Some("found"), asked + 1));
    assert!(!world.warned("it answers nothing"));
}

/// A call with separate parts, whose words come when the test has some.
fn of_parts() -> World {
    let now = Instant::now();
    let secretary = model::secretary(|row| {
        knows(row);
        row.first_message = None;
    });
    let invite = (LEG, model::invite(Some(model::offer(""))));
    let mut setup = model::setup(secretary, invite, "127.0.0.1:20000".parse().unwrap(), 7);
    setup.rung = House::parts(Script::default(), Ear::Nova).rung(&setup.rung, 0);
    let mut world = World::of(Call::new(setup, now), now);
    assert!(world.posted().is_empty(), "nothing was said");
    world.call.handle_connected(now);
    world.drain();
    world
}

impl World {
    /// What the services of separate parts are asked, each of which is there and has no list of its models.
    fn posted(&mut self) -> Vec<(RequestId, HttpRequest)> {
        let mut posted = Vec::new();
        while let Some(errand) = self.call.poll_errand() {
            match errand {
                Errand::Send(id, request) if request.method == Method::Get => {
                    for part in [Part::Head { status: 404, retry_after: None }, Part::End] {
                        self.call.handle_answer(id, part, self.now);
                    }
                }
                Errand::Send(id, request) => posted.push((id, request)),
                Errand::Abort(_) | Errand::AbortAll | Errand::Job(..) => {}
            }
        }
        self.drain();
        posted
    }

    /// The caller speaks, and these are the words.
    fn asks(&mut self, words: &str) {
        self.pass(Duration::from_millis(600), true);
        let results = json!({"type": "Results", "channel_index": [0, 1], "start": 0.0, "duration": 1.0,
            "is_final": true, "speech_final": false, "from_finalize": false,
            "channel": {"alternatives": [{"transcript": words, "confidence": 0.9, "words": []}]},
            "metadata": {"request_id": "r", "model_uuid": "m",
                "model_info": {"name": "n", "version": "v", "arch": "a"}}});
        self.provider(vec![Incoming::Text(results.to_string())]);
    }
}

/// A mind that is asked at the end of a turn is asked once, and knows what was found.
#[test]
fn what_was_found_is_told_before_the_end_of_the_turn_is() {
    let mut world = of_parts();
    world.asks("What does it cost?");
    world.pass(Duration::from_secs(1), false);
    let [(id, _)] = world.posted()[..] else { panic!("one question is one request") };
    let (name, arguments) = QUESTION;
    let call = json!({"index": 0, "id": "a", "type": "function", "function": {"name": name, "arguments": arguments}});
    let chunk = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": null}]});
    let body = format!("data: {chunk}\n\ndata: [DONE]\n\n").into_bytes();
    for part in [Part::Head { status: 200, retry_after: None }, Part::Chunk(body), Part::End] {
        world.call.handle_answer(id, part, world.now);
    }
    world.drain();
    let lookup = world.call.poll_lookup().unwrap();
    world.asks("And on Sundays?");
    world.found(&lookup, Some(&[price()]));
    assert!(world.posted().is_empty(), "they speak");
    world.pass(Duration::from_secs(1), false);
    let posted = world.posted();
    let bodies: Vec<_> = posted.iter().map(|(_, request)| String::from_utf8_lossy(&request.body)).collect();
    let [both] = &bodies[..] else { panic!("{bodies:?}") };
    assert!(both.contains("150 reais") && both.contains("And on Sundays?"), "{both}");
}

#[test]
fn what_was_found_waits_for_no_turn_that_does_not_end() {
    let mut world = World::answered(knows);
    let lookup = world.looks_up().unwrap();
    world.pass(Duration::from_millis(1_500), false);
    world.provider(vec![world.model.speech_started()]);
    world.found(&lookup, Some(&[price()]));
    world.pass(AT_THE_LATEST - Duration::from_millis(100), false);
    assert!(world.results().0.is_empty());
    world.pass(Duration::from_millis(200), false);
    assert_eq!(world.results().0.len(), 1);
}

#[test]
fn what_was_found_for_a_provider_that_failed_is_nobodys() {
    let mut world = World::answered(knows);
    let lookup = world.looks_up().unwrap();
    world.pass(Duration::from_millis(1_500), false);
    world.coughs();
    world.found(&lookup, Some(&[price()]));
    world.call.handle_disconnected(Disconnect::Closed(None), world.now);
    world.drain();
    world.call.handle_connected(world.now);
    world.provider(vec![Model::created(), Model::updated()]);
    world.pass(Duration::from_secs(2), false);
    assert!(world.results().0.is_empty(), "{:?}", world.results());
}

/// A model may look for what the caller has just said.
#[test]
fn what_is_looked_up_in_a_pause_of_the_recording_is_not_written_down() {
    let mut world = World::answered(|row| {
        knows(row);
        row.recording = Some(true);
    });
    assert!(world.call.handle_recording(Order::Pause, world.now));
    let lookup = world.looks_up().unwrap();
    assert_eq!(lookup.question, "preço da consulta", "it is looked up all the same");
    assert!(world.call.handle_recording(Order::Resume, world.now));
    world.found(&lookup, Some(&[price()]));
    world.says(Duration::from_secs(1), None);
    world.pass(Duration::from_secs(8), false);
    let lookup = world.looks_up().unwrap();
    world.found(&lookup, Some(&[]));
    let written = world.written();
    let [paused, resumed, hidden, shown] = &written[..] else { panic!("{written:?}") };
    assert_eq!((paused.as_str(), resumed.as_str()), ("[recording paused]", "[recording resumed]"));
    assert_eq!(hidden, "[looked up [not recorded]: 1 found]");
    assert_eq!(shown, "[looked up \"preço da consulta\": 0 found]");
}

/// What a provider asked is no business of the one after it, nor of the same one in another conversation.
#[test]
fn what_was_asked_before_a_provider_failed_is_nobodys() {
    let mut world = World::answered(knows);
    let lookup = world.looks_up().unwrap();
    world.call.handle_disconnected(Disconnect::Closed(None), world.now);
    world.drain();
    world.call.handle_connected(world.now);
    world.provider(vec![Model::created()]);
    world.provider(vec![Model::updated()]);
    let before = world.outgoing.len();
    world.found(&lookup, Some(&[price()]));
    world.pass(PATIENCE + Duration::from_millis(100), false);
    let since = world.outgoing.split_off(before);
    let items = sent(&since, "conversation.item.create");
    assert!(items.iter().all(|message| message["item"]["output"].is_null()), "{items:?}");
    assert!(!world.warned("looked up"));
}
