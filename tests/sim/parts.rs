//! Whole calls to a secretary of separate parts: streaming, and turn by turn.
use crate::{
    house::{Ear, GREETING, House},
    whole::{interruption, plan, question},
    world::{Weather, World, ms},
};
use ramal::{
    lab::{
        openai,
        parts::{Faults, PartFault, Reply, Script},
    },
    phone::{EndedBy, HangUp, When},
    record::{Outcome, Speaker},
};
use std::time::Duration;

/// From the end of speech to the first audio, by the latencies that the vendors publish.
const MOST: Duration = Duration::from_millis(500);
const STORY: &str = "one two three, four five six seven eight, nine ten eleven twelve, thirteen fourteen fifteen.";

/// A question, a long answer that is interrupted, and a short one.
fn script() -> Script {
    Script {
        replies: vec![Reply::words(STORY), Reply::words("Goodbye.")],
        caller: vec!["When are you open?".into(), "Thank you, that is all.".into()],
        tone_hz: Some(500),
        ..Script::default()
    }
}

fn world(ear: Ear, script: Script) -> World {
    let clips = vec![question(When::InTurn), interruption(When::Over(ms(1_000)))];
    let mut world = World::new(1, Weather::fair(), House::parts(script, ear), plan(clips, HangUp::WhenSaid, 60));
    world.secretary = |row| row.silence_duration_ms = Some(300);
    world
}

fn check(world: &World, provider: &str) {
    use Speaker::{Assistant, Caller};
    let record = world.record();
    assert_eq!((record.outcome, record.provider.as_str()), (Outcome::Completed, provider), "{}", record.end_reason);
    let said: Vec<_> = record.turns.iter().map(|turn| (turn.who, turn.text.trim(), turn.cut)).collect();
    let [greeting, question, cut, thanks, goodbye] = said[..] else { panic!("{said:?} {:?}", world.log.warnings) };
    assert_eq!(greeting, (Assistant, GREETING, false));
    assert_eq!(question, (Caller, "When are you open?", false));
    assert!(cut.2 && cut.1.starts_with("one") && !cut.1.contains("fifteen"), "{cut:?}");
    assert_eq!(thanks, (Caller, "Thank you, that is all.", false));
    assert_eq!(goodbye, (Assistant, "Goodbye.", false));
    assert!(record.output_tokens > 0 && record.estimated_cost.0 > 0, "{record:?}");
}

/// What each reply took, since the caller's last voice.
fn latencies(world: &World) -> Vec<Duration> {
    world.record().turns.iter().filter_map(|turn| turn.latency).collect()
}

#[test]
fn a_caller_talks_with_parts_that_stream_and_waits_half_a_second_at_most() {
    for ear in [Ear::Flux, Ear::Nova] {
        let mut world = world(ear, script());
        let report = world.finish();
        check(&world, "pipeline");
        assert_eq!((report.ended_by, report.lost, world.log.barge_ins), (Some(EndedBy::Us), 0, 1), "{ear:?}");
        let latencies = latencies(&world);
        let steps: Vec<_> = world.record().turns.iter().filter_map(|turn| turn.waterfall).collect();
        println!("{ear:?}: {latencies:?} {steps:?}");
        assert!(
            steps.iter().all(|step| step.thought.is_some_and(|thought| thought < step.audio)),
            "{ear:?}: {steps:?}"
        );
        assert_eq!(latencies.len(), 2, "{ear:?}");
        assert!(latencies.iter().all(|latency| *latency <= MOST), "{ear:?}: {latencies:?}");
    }
}

#[test]
fn who_interrupts_stops_the_model_and_the_voice_at_once() {
    // The model still writes, and the voice still speaks, when they are interrupted.
    let replies = vec![Reply::words([STORY; 3].join(" ")), Reply::words("Goodbye.")];
    let mut world = world(Ear::Flux, Script { replies, words_per_second: 16, burst: 1.0, ..script() });
    world.finish();
    check(&world, "pipeline");
    let dropped = |path: &str| world.log.dropped.iter().any(|dropped| dropped.ends_with(path));
    assert!(dropped("/chat/completions") && dropped("/v1/speak"), "{:?} of {:?}", world.log.dropped, world.log.posted);
}

#[test]
fn a_caller_talks_turn_by_turn() {
    let mut world = world(Ear::Turns, script());
    let report = world.finish();
    check(&world, "turn_based");
    assert_eq!((report.ended_by, world.connections), (Some(EndedBy::Us), 0), "nothing listens all the time");
    let written = world.log.posted.iter().filter(|path| path.ends_with("/audio/transcriptions")).count();
    assert_eq!(written, 2, "{:?}", world.log.posted);
}

/// Lengths of what was heard that was shorter than any words.
fn signals(heard: &[i16]) -> Vec<Duration> {
    let mut sounds: Vec<(usize, usize)> = Vec::new();
    for (at, _) in heard.iter().enumerate().filter(|(_, sample)| sample.unsigned_abs() > 130) {
        match sounds.last_mut().filter(|(_, end)| at - *end < 800) {
            Some((_, end)) => *end = at,
            None => sounds.push((at, at)),
        }
    }
    let lengths = sounds.into_iter().map(|(start, end)| ms((end - start) as u64 / 8));
    lengths.filter(|length| *length < ms(300)).collect()
}

#[test]
fn an_answer_that_takes_long_is_announced_by_two_tones_again_and_again_that_are_nobodys_words() {
    let slow = |first_token_ms| Reply { first_token_ms: Some(first_token_ms), ..Reply::words("From nine to six.") };
    let heard = |first_token_ms: u64| {
        let script = Script { replies: vec![slow(first_token_ms)], ..script() };
        let plan = plan(vec![question(When::InTurn)], HangUp::AtTheEnd, 14);
        let mut world = World::new(1, Weather::fair(), House::parts(script, Ear::Turns), plan);
        let report = world.finish();
        let said: Vec<_> = world.record().turns.iter().map(|turn| turn.text.trim()).collect();
        assert_eq!(said, [GREETING, "When are you open?", "From nine to six."]);
        let at_the_phone = Duration::from_secs_f64(report.turns[0].latency_ms / 1_000.0);
        (latencies(&world)[0], at_the_phone, signals(report.recording.heard_samples()))
    };
    let (soon, _, silence) = heard(100);
    assert!(soon < ms(1_500) && silence.is_empty(), "{soon:?} {silence:?}");
    // 500 ms of silence, 350 for the words, and the model's four seconds.
    let (late, at_the_phone, tones) = heard(4_000);
    assert!((ms(4_850)..ms(5_500)).contains(&late) && at_the_phone >= late, "{late:?} {at_the_phone:?}");
    assert!(tones.len() == 2 && tones.iter().all(|tone| *tone > ms(200)), "{tones:?}");
}

#[test]
fn a_part_that_fails_hands_the_conversation_to_the_next_rung() {
    let fault = PartFault::default;
    let refused = |status| PartFault { status: Some(status), ..fault() };
    let no_money = PartFault { code: Some("insufficient_quota".into()), ..refused(429) };
    let (stt, llm, tts) = (
        |stt| Faults { stt, ..Faults::default() },
        |llm| Faults { llm, ..Faults::default() },
        |tts| Faults { tts, ..Faults::default() },
    );
    let cases = [
        ("an ear that refuses us", Ear::Flux, stt(refused(401))),
        ("an ear that breaks", Ear::Flux, stt(PartFault { error_after_ms: Some(4_000), ..fault() })),
        ("an ear that hears nothing", Ear::Flux, stt(PartFault { mute: true, ..fault() })),
        ("a mind without money", Ear::Nova, llm(no_money)),
        ("a mind that refuses us", Ear::Turns, llm(refused(401))),
        ("a voice that refuses us", Ear::Flux, tts(refused(401))),
        ("words that nobody writes down", Ear::Turns, stt(refused(401))),
    ];
    for (what, ear, faults) in cases {
        let say = |words: &str| openai::Reply { transcript: Some(words.into()), ..openai::Reply::tone(500, 1_500) };
        let below = openai::Script {
            greeting: Some(say("Hello, this is reception.")),
            replies: vec![say("From nine to six.")],
            ..openai::Script::default()
        };
        let plan = plan(vec![question(When::InTurn)], HangUp::WhenSaid, 60);
        let mut world = World::new(1, Weather::fair(), House::parts(Script { faults, ..script() }, ear), plan);
        world.add(House::from(below));
        world.patience.answer = ms(1_500);
        let report = world.finish();
        let record = world.record();
        assert_eq!((record.outcome, record.provider.as_str()), (Outcome::Completed, "openai"), "{what}: {record:?}");
        assert_eq!(report.ended_by, Some(EndedBy::Us), "{what}");
        let change = record.changes.first().unwrap_or_else(|| panic!("{what}: nothing changed"));
        println!("{what}: {change:?}");
        assert!(change.gap <= ms(1_500), "{what}: {change:?}");
        let last = record.turns.last().unwrap();
        assert_eq!((last.who, last.text.trim()), (Speaker::Assistant, "From nine to six."), "{what}: {record:?}");
        assert!(!world.log.dropped.is_empty() || record.changes.len() == 1, "{what}");
    }
}
