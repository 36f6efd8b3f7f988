//! A provider goes wrong in every state of a call, and the caller talks on with the next rung.
use crate::{
    engine::Engine,
    house::{Ear, House, QUESTION},
    whole::{interruption, plan, question},
    world::{Fault, Weather, World, ms},
};
use providers::local;
use ramal::{
    call::Standby,
    lab::{
        elevenlabs, gemini, live,
        openai::{self, ScriptedCall},
        parts,
    },
    phone::{Clip, EndedBy, HangUp, When},
    record::{Conversation, Outcome, Speaker},
};
use std::time::Duration;

/// What the caller says first, and later.
const LATER: &str = "And what about Saturdays, and the parking space behind the house?";
/// What is said with a tool call, and answers nothing.
const ON_HOLD: &str = "Let me see.";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connecting,
    Greeting,
    Listening,
    CallerSpeaking,
    Thinking,
    Speaking,
    ToolPending,
}

const STATES: [State; 7] = [
    State::Connecting,
    State::Greeting,
    State::Listening,
    State::CallerSpeaking,
    State::Thinking,
    State::Speaking,
    State::ToolPending,
];

const FAULTS: [Fault; 4] = [Fault::Killed, Fault::Muted, Fault::TooMany, Fault::Closed];

/// A model that greets, calls a tool, and answers everything; its caller is transcribed by the length of a turn.
macro_rules! house {
    ($name:ident, $lab:ident) => {
        fn $name(tool: bool) -> House {
            let say =
                |words: &str, ms: u64| $lab::Reply { transcript: Some(words.into()), ..$lab::Reply::tone(500, ms) };
            let calls = vec![ScriptedCall { name: "look_up".into(), arguments: serde_json::json!({}) }];
            let first = if tool {
                $lab::Reply { calls, ..say(ON_HOLD, 600) }
            } else {
                say("From nine to six, every day.", 3_000)
            };
            House::from($lab::Script {
                greeting: Some(say("Hello, this is reception.", 1_200)),
                replies: vec![first, say("From nine to six.", 1_500)],
                ..$lab::Script::default()
            })
        }
    };
}

house!(openai_house, openai);
house!(openai_live_house, live);
house!(gemini_house, gemini);
house!(elevenlabs_house, elevenlabs);

/// The same of separate parts, whose words take 60 ms a letter.
fn parts_house(tool: bool, ear: Ear) -> House {
    let calls = vec![ScriptedCall { name: "look_up".into(), arguments: serde_json::json!({}) }];
    let first = if tool {
        parts::Reply { calls, ..parts::Reply::words(ON_HOLD) }
    } else {
        parts::Reply::words("From nine to six, every day but Sunday, and until noon on Saturdays.")
    };
    let replies = vec![first, parts::Reply::words("From nine to six.")];
    House::parts(parts::Script { replies, tone_hz: Some(500), ..parts::Script::default() }, ear)
}

/// Two sentences that are told apart by their length.
fn clips() -> Vec<Clip> {
    let mut later = interruption(When::InTurn);
    let once = later.audio.samples.clone();
    later.audio.samples.extend(once);
    vec![question(When::InTurn), later]
}

fn world(first: House, below: Vec<House>) -> World {
    let clips = clips();
    let engine = Engine::knowing(clips.iter().map(|clip| &clip.audio).zip([QUESTION, LATER]));
    let (language, announcement) = (local::Language::EnUs, None);
    let standby = Standby(local::Notice { language, voice: language, announcement });
    World::new(7, Weather::fair(), first, plan(clips, HangUp::WhenSaid, 90)).with(below, engine, standby)
}

/// Passes until the call is in this state.
fn reach(world: &mut World, state: State) {
    let until = world.now + ms(30_000);
    while world.now < until {
        let (now, log, (utterances, packets)) = (world.now, &world.log, world.spoken());
        let since = |at: Option<std::time::Instant>| at.map_or(Duration::MAX, |at| now - at);
        let reached = match state {
            State::Connecting => true,
            State::Greeting => utterances == 1 && packets > 20,
            State::Listening => utterances == 1 && packets > 20 && since(log.our_voice) >= ms(120),
            State::CallerSpeaking => log.caller_speaks.is_some_and(|at| now - at >= ms(300)),
            State::Thinking => log.caller_speaks.is_some() && (ms(620)..ms(700)).contains(&since(log.caller_voice)),
            State::Speaking => utterances == 2 && packets > 25,
            State::ToolPending => log.tool_answered.is_some(),
        };
        if reached {
            return;
        }
        world.pass(ms(10));
    }
    panic!("{state:?} is never reached");
}

/// The caller's words in a turn, whoever wrote them down: the engine knows sentences, the models only lengths, and those
/// of whole turns have quiet around them.
fn words(turn: &str) -> Option<&'static str> {
    let lengths = clips().iter().map(|clip| clip.audio.duration().as_millis()).collect::<Vec<_>>();
    let length = turn.strip_prefix('[').and_then(|rest| rest.split(' ').next()?.parse::<u128>().ok());
    let about = |length: u128, clip: u128| (clip - 150..=clip + 700).contains(&length);
    match length {
        Some(length) if about(length, lengths[0]) => Some(QUESTION),
        Some(length) if about(length, lengths[1]) => Some(LATER),
        _ if turn.contains(QUESTION) => Some(QUESTION),
        _ if turn.contains(LATER) => Some(LATER),
        _ => None,
    }
}

/// What holds wherever the provider died: both sentences arrived, each was answered, and nobody noticed much.
fn check(record: &Conversation, what: &str) {
    assert_eq!(record.outcome, Outcome::Completed, "{what}: {}", record.end_reason);
    let said: Vec<_> = record.turns.iter().map(|turn| (turn.who, turn.text.as_str())).collect();
    let caller: Vec<_> = said.iter().filter(|(who, _)| *who == Speaker::Caller).map(|(_, text)| words(text)).collect();
    assert_eq!(caller, [Some(QUESTION), Some(LATER)], "{what}: {said:?}");
    for sentence in [QUESTION, LATER] {
        let asked = said.iter().position(|(who, text)| *who == Speaker::Caller && words(text) == Some(sentence));
        let answered = said
            .iter()
            .skip(asked.unwrap() + 1)
            .any(|(who, text)| *who == Speaker::Assistant && !ON_HOLD.starts_with(text));
        assert!(answered, "{what}: {sentence} was not answered: {said:?}");
    }
    for change in &record.changes {
        assert!(change.gap <= ms(1_500) && change.lost.is_zero(), "{what}: {change:?}");
    }
}

fn matrix(name: &str, first: fn(bool) -> House, second: fn(bool) -> House) {
    for state in STATES {
        for fault in FAULTS {
            if fault == Fault::Closed && first(false).is_engine() {
                continue; // there is no connection to close
            }
            let tool = state == State::ToolPending;
            let what = format!("{name}, {fault:?} while {state:?}");
            let mut world = world(first(tool), vec![second(false)]);
            // The simulated caller is less patient than most.
            world.patience.answer = ms(1_500);
            reach(&mut world, state);
            world.hit(fault);
            let report = world.finish();
            check(world.record(), &what);
            assert_eq!(report.ended_by, Some(EndedBy::Us), "{what}");
            assert!(world.connections > 1 || world.house == 1, "{what}: nothing changed");
            // One that takes the next connection may go on by itself.
            if fault != Fault::Closed {
                assert!(!world.record().changes.is_empty(), "{what}: nothing changed");
                assert_eq!(world.house, 1, "{what}: the first rung was dead");
            }
            let gaps: Vec<_> = world.record().changes.iter().map(|change| change.gap.as_millis()).collect();
            println!("{what}: gaps {gaps:?} ms");
        }
    }
}

#[test]
fn openai_goes_wrong_in_every_state_and_the_built_in_provider_goes_on() {
    matrix("openai, then local", openai_house, |_| House::Local);
}

#[test]
fn gemini_goes_wrong_in_every_state_and_openai_goes_on() {
    matrix("gemini, then openai", gemini_house, openai_house);
}

#[test]
fn openai_goes_wrong_in_every_state_and_gemini_goes_on() {
    matrix("openai, then gemini", openai_house, gemini_house);
}

#[test]
fn openai_live_goes_wrong_in_every_state_and_an_agent_of_elevenlabs_goes_on() {
    matrix("openai-live, then elevenlabs", openai_live_house, elevenlabs_house);
}

#[test]
fn an_agent_of_elevenlabs_goes_wrong_in_every_state_and_openai_live_goes_on() {
    matrix("elevenlabs, then openai-live", elevenlabs_house, openai_live_house);
}

#[test]
fn parts_that_stream_go_wrong_in_every_state_and_openai_goes_on() {
    matrix("pipeline, then openai", |tool| parts_house(tool, Ear::Flux), openai_house);
}

#[test]
fn openai_goes_wrong_in_every_state_and_parts_that_stream_go_on() {
    matrix("openai, then pipeline", openai_house, |tool| parts_house(tool, Ear::Flux));
}

#[test]
fn parts_that_stream_go_wrong_in_every_state_and_the_conversation_goes_on_turn_by_turn() {
    matrix("pipeline, then turn_based", |tool| parts_house(tool, Ear::Flux), |tool| parts_house(tool, Ear::Turns));
}

#[test]
fn a_conversation_turn_by_turn_goes_wrong_in_every_state_and_gemini_goes_on() {
    matrix("turn_based, then gemini", |tool| parts_house(tool, Ear::Turns), gemini_house);
}
