//! Whole calls to a secretary of Gemini Live.
use crate::{
    whole::{interruption, plan, question},
    world::{Weather, World, ms},
};
use ramal::{
    lab::gemini::{Faults, Reply, Script},
    phone::{EndedBy, HangUp, When},
    record::{Outcome, Speaker},
};

fn reply(words: &str, tone_hz: u32, ms: u64) -> Reply {
    Reply { transcript: Some(words.into()), ..Reply::tone(tone_hz, ms) }
}

/// A greeting, a question, a long reply that is interrupted, and a short one.
fn script() -> Script {
    Script {
        greeting: Some(reply("Hello, this is reception.", 400, 1_200)),
        replies: vec![reply("one two three four five six", 500, 6_000), reply("Goodbye.", 600, 800)],
        caller: vec!["When are you open?".into(), "Thank you, that is all.".into()],
        ..Script::default()
    }
}

fn check(world: &World, what: &str) {
    use Speaker::{Assistant, Caller};
    let record = world.record();
    assert_eq!((record.outcome, record.provider.as_str()), (Outcome::Completed, "gemini"), "{what}");
    let said: Vec<_> = record.turns.iter().map(|turn| (turn.who, turn.text.as_str(), turn.cut)).collect();
    let [greeting, question, cut, thanks, goodbye] = said[..] else { panic!("{what}: {said:?}") };
    assert_eq!(greeting, (Assistant, "Hello, this is reception.", false), "{what}");
    assert_eq!(question, (Caller, "When are you open?", false), "{what}");
    assert!(cut.2 && cut.1.starts_with("one") && !cut.1.contains("six"), "{what}: {cut:?}");
    assert_eq!(thanks, (Caller, "Thank you, that is all.", false), "{what}");
    assert_eq!(goodbye, (Assistant, "Goodbye.", false), "{what}");
}

#[test]
fn a_caller_talks_with_gemini_and_interrupts_it() {
    let clips = vec![question(When::InTurn), interruption(When::Over(ms(1_000)))];
    let mut world = World::new(1, Weather::fair(), script(), plan(clips, HangUp::WhenSaid, 40));
    let report = world.finish();
    check(&world, "fair weather");
    assert_eq!((report.ended_by, report.lost, world.log.barge_ins), (Some(EndedBy::Us), 0, 1));
    assert!(world.record().output_tokens > 0 && world.record().estimated_cost.0 > 0, "{:?}", world.record());
}

#[test]
fn no_word_is_lost_when_the_connection_to_gemini_is_replaced() {
    for at in [1_000, 2_000, 3_000] {
        let faults = Faults { go_away_after_ms: Some(at), go_away_left_ms: 20_000, ..Faults::default() };
        let what = format!("{faults:?}");
        let script = Script { faults: Faults { connections: 1, ..faults }, ..script() };
        let clips = vec![question(When::InTurn), interruption(When::Over(ms(1_000)))];
        let mut world = World::new(at, Weather::fair(), script, plan(clips, HangUp::WhenSaid, 60));
        world.finish();
        check(&world, &what);
        assert_eq!(world.connections - world.unused, 2, "{what}");
    }
}
