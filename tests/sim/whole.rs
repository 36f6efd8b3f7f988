//! Whole calls in fair and in foul weather, against their timetable.
use crate::{
    network::{Datagram, Path},
    world::{HANDSHAKE, TO_PHONE, TO_PROVIDER, Weather, World, at, ms},
};
use media::Frame;
use ramal::{
    lab::openai::{Reply, Script},
    phone::{Clip, EndedBy, HangUp, Plan, When},
    record::{Outcome, Speaker},
};
use std::time::Duration;

/// The pause that ends a turn, as the dialect asks for by default.
const PAUSE: Duration = Duration::from_millis(500);
/// From a turn to the first audio of its reply, in the provider.
const THINKING: Duration = Duration::from_millis(300);

/// A recorded sentence, from its first loud sample to its last.
fn sentence(bytes: &[u8], when: When) -> Clip {
    let mut samples = ramal::wav::narrowband(bytes, "fixture").unwrap().samples;
    let loud = |sample: &i16| sample.unsigned_abs() > 1_000;
    samples.truncate(samples.iter().rposition(loud).unwrap());
    samples.drain(..samples.iter().position(loud).unwrap());
    Clip { audio: Frame { rate: media::SampleRate::HZ_8000, samples }, when }
}

pub(crate) fn question(when: When) -> Clip {
    sentence(include_bytes!("../fixtures/speech/en-piper-joe-7.wav"), when)
}

pub(crate) fn interruption(when: When) -> Clip {
    sentence(include_bytes!("../fixtures/speech/en-piper-joe-2.wav"), when)
}

pub(crate) fn plan(clips: Vec<Clip>, hang_up: HangUp, seconds: u64) -> Plan {
    Plan { clips, keys: Vec::new(), duration: ms(seconds * 1_000), answer_within: ms(32_000), hang_up }
}

/// A greeting, a question, a long reply that is interrupted, and a short one.
fn conversation() -> (Script, Plan) {
    let script = Script {
        first_audio_ms: THINKING.as_millis() as u64,
        greeting: Some(Reply { transcript: Some("Hello, this is reception.".into()), ..Reply::tone(400, 1_200) }),
        replies: vec![
            Reply { transcript: Some("one two three four five six".into()), ..Reply::tone(500, 6_000) },
            Reply { transcript: Some("Goodbye.".into()), ..Reply::tone(600, 800) },
        ],
        caller: vec!["When are you open?".into(), "Thank you, that is all.".into()],
        ..Script::default()
    };
    let clips = vec![question(When::InTurn), interruption(When::Over(ms(1_000)))];
    (script, plan(clips, HangUp::WhenSaid, 40))
}

/// Only a greeting, and a caller who listens for so long.
fn greeting(seconds: u64) -> (Script, Plan) {
    let script = Script { greeting: Some(Reply::tone(400, 1_000)), ..Script::default() };
    (script, plan(Vec::new(), HangUp::AtTheEnd, seconds))
}

fn world(seed: u64, weather: Weather, (script, plan): (Script, Plan)) -> World {
    World::new(seed, weather, script, plan)
}

/// Stretches of sound that a pause of 400 ms divides.
fn sounds(samples: &[i16]) -> Vec<Duration> {
    let loud = samples.iter().enumerate().filter(|(_, sample)| sample.unsigned_abs() > 300).map(|(index, _)| index);
    let mut stretches: Vec<(usize, usize)> = Vec::new();
    for index in loud {
        match stretches.last_mut().filter(|(_, end)| index - *end < 3_200) {
            Some((_, end)) => *end = index,
            None => stretches.push((index, index)),
        }
    }
    let length = |(start, end): (usize, usize)| Duration::from_micros((end - start) as u64 * 125);
    stretches.into_iter().map(length).collect()
}

/// A figure of the phone's report.
fn figure(milliseconds: f64) -> Duration {
    Duration::from_secs_f64(milliseconds / 1_000.0)
}

fn assert_within(what: &str, found: Duration, least: Duration, most: Duration) {
    assert!((least..=most).contains(&found), "{what}: {found:?}, expected {least:?} to {most:?}");
}

#[test]
fn a_call_in_fair_weather_keeps_its_timetable() {
    let mut world = world(1, Weather::fair(), conversation());
    let report = world.finish();
    world.check();

    // INVITE, connection, session.created, session.update, session.updated, 200.
    let ready = HANDSHAKE + 3 * TO_PROVIDER;
    let answered = figure(report.answered_ms.unwrap());
    assert_within("answer", answered, HANDSHAKE + 2 * TO_PHONE, ready + 2 * TO_PHONE + ms(30));
    let first = figure(report.first_voice_ms.unwrap());
    assert_within("first voice", first, THINKING, THINKING + 2 * TO_PROVIDER + ms(60));
    assert_eq!(report.provisional, Some(180));
    assert_eq!((report.lost, report.codec.as_str()), (0, "PCMU"));

    let reply = PAUSE + THINKING + 2 * TO_PROVIDER + 2 * TO_PHONE;
    assert_eq!(report.turns.len(), 2, "{:?}", report.turns);
    for turn in &report.turns {
        // The caller's clips end in mid-sound, and so their last 20 ms fade: the provider hears less of them.
        assert_within("reply", figure(turn.latency_ms), reply - ms(20), reply + ms(100));
    }
    assert_eq!(report.barge_ins.len(), 1);
    assert_within("barge-in", figure(report.barge_ins[0].stopped_ms), ms(40), ms(500));
    assert_eq!(report.ended_by, Some(EndedBy::Us));

    // What the provider was told is what came out of the receiver.
    let heard = sounds(report.recording.heard_samples());
    assert_eq!((heard.len(), world.log.barge_ins), (3, 1), "{heard:?}");
    let told = ms(world.log.truncated[0]);
    assert!(heard[1].abs_diff(told) <= ms(20), "the caller heard {:?}, the provider was told {told:?}", heard[1]);
    assert_within("greeting", heard[0], ms(1_180), ms(1_200));

    let record = world.record();
    assert_eq!(record.outcome, Outcome::Completed);
    let said: Vec<_> = record.turns.iter().map(|turn| (turn.who, turn.text.as_str(), turn.cut)).collect();
    let [greeting, question, cut, thanks, goodbye] = said[..] else { panic!("{said:?}") };
    assert_eq!(greeting, (Speaker::Assistant, "Hello, this is reception.", false));
    assert_eq!(question, (Speaker::Caller, "When are you open?", false));
    assert!(cut.2 && cut.1.starts_with("one") && !cut.1.contains("six"), "{cut:?}");
    assert_eq!(thanks, (Speaker::Caller, "Thank you, that is all.", false));
    assert_eq!(goodbye, (Speaker::Assistant, "Goodbye.", false));
    assert!(record.turns[2].latency.is_some_and(|latency| latency <= reply + ms(60)), "{:?}", record.turns[2]);

    let sound = record.media_quality.as_ref().unwrap();
    let down = sound.downlink.expect("the phone reports how it hears us");
    assert_within("round trip", figure(sound.round_trip_ms.unwrap()), 2 * TO_PHONE, 2 * TO_PHONE + ms(1));
    let opinions = [down, sound.uplink].map(|way| way.score.unwrap().mos_cq);
    assert!(down.lost == 0 && down.expected > 100 && opinions.iter().all(|mos| *mos > 4.3), "{sound:?}");
}

#[test]
fn a_conversation_survives_foul_weather() {
    use Speaker::{Assistant, Caller};
    for seed in 1..=60 {
        let mut world = world(seed, Weather::foul(), conversation());
        let report = world.finish();
        world.check();
        let record = world.record();
        assert_eq!((record.outcome, report.ended_by), (Outcome::Completed, Some(EndedBy::Us)), "seed {seed}");
        let speakers = world.speakers();
        assert_eq!(speakers, [Assistant, Caller, Assistant, Caller, Assistant], "seed {seed}: {:?}", record.turns);
        assert!(record.turns[2].cut, "seed {seed}");
        // What waits for a packet that is late waits no longer than it must.
        for turn in &report.turns {
            let most = PAUSE + THINKING + 2 * TO_PROVIDER + 2 * (TO_PHONE + ms(30)) + ms(250);
            assert_within("reply", figure(turn.latency_ms), PAUSE, most);
        }
        assert!(report.barge_ins.iter().all(|barge_in| barge_in.stopped_ms < 600.0), "{:?}", report.barge_ins);
    }
}

#[test]
fn signalling_gets_through_when_every_fifth_message_is_lost() {
    let mut resent = 0;
    for seed in 100..160 {
        let mut world = world(seed, Weather::foul(), greeting(2));
        let report = world.finish();
        world.check();
        assert_eq!(report.ended_by, Some(EndedBy::Us), "seed {seed}");
        assert!(report.answered_ms.is_some() && world.log.answered.is_some(), "seed {seed}");
        assert_eq!(world.record().outcome, Outcome::Abandoned, "seed {seed}: nobody asked anything");
        resent += world.sip.stats().retransmissions + world.phone_sip.stats().retransmissions;
    }
    assert!(resent > 60, "only {resent} messages were sent again: nothing was lost");
}

#[test]
fn a_caller_who_gives_up_leaves_nothing_behind_whatever_is_lost() {
    let mut answered = 0;
    for seed in 200..260 {
        let (script, mut plan) = greeting(2);
        plan.answer_within = ms(seed - 200) * 10;
        let mut world = world(seed, Weather::foul(), (script, plan));
        let report = world.finish();
        assert!(world.log.records.len() <= 1, "seed {seed}");
        assert!(world.sip.is_idle() && world.phone_sip.is_idle(), "seed {seed}: a leg is left");
        if let Some(record) = world.log.records.first() {
            assert_eq!(record.outcome, Outcome::Abandoned, "seed {seed}: {}", record.end_reason);
        }
        answered += usize::from(report.answered_ms.is_some());
    }
    assert!((5..55).contains(&answered), "{answered} of 60 were answered in time: the race was not tried");
}

#[test]
fn a_phone_that_sends_no_audio_is_silence_to_the_provider() {
    let mut weather = Weather::fair();
    weather.up.lost = 1_000;
    let mut world = world(1, weather, greeting(10));
    let report = world.finish();
    world.check();
    assert_eq!((report.ended_by, world.speakers()), (Some(EndedBy::Us), vec![Speaker::Assistant]));
    assert!(report.received > 480, "{} packets in 10 s", report.received);
}

#[test]
fn a_phone_that_stays_silent_beyond_the_limit_is_let_go() {
    let mut weather = Weather::fair();
    weather.up.lost = 1_000;
    let mut world = world(1, weather, greeting(100));
    let report = world.finish();
    world.check();
    assert!(matches!(report.ended_by, Some(EndedBy::FarEnd { .. })), "{:?}", report.ended_by);
    assert_within("media timeout", world.record().audio, ms(60_000), ms(60_100));
    assert_eq!(world.record().outcome, Outcome::Failed);
    let named = format!("no RTP from the caller for 60.0 s: expected from {}, none ever came", at("phone rtp"));
    assert_eq!(world.record().end_reason, named);
    let sound = world.record().media_quality.as_ref().unwrap();
    assert!(sound.uplink.score.is_none(), "nobody has an opinion of what was not heard: {sound:?}");
    let warned = format!("no RTP from the caller for 5.0 s: expected from {}, none ever came", at("phone rtp"));
    assert_eq!(world.log.warnings, [warned]);
}

/// A server without time for 200 ms sends two packets late, and the others never.
#[test]
fn what_a_call_lost_by_a_server_that_was_late_is_told_when_it_ends() {
    let mut world = world(1, Weather::fair(), greeting(10));
    world.pass(ms(4_000));
    world.now += ms(200);
    world.finish();
    let trouble = world.record().media_quality.as_ref().unwrap().trouble;
    assert!((6..=9).contains(&trouble.skipped), "{trouble:?}");
    let told = format!("audio of the call was lost: {} packets never sent, as the server was late", trouble.skipped);
    assert!(world.log.warnings.contains(&told), "{:?}", world.log.warnings);
}

#[test]
fn bursts_cost_nothing_but_time() {
    let mut weather = Weather::fair();
    for path in [&mut weather.up, &mut weather.down] {
        path.stalls = Some((ms(1_000), ms(160)));
    }
    let mut world = world(1, weather, conversation());
    let report = world.finish();
    world.check();
    assert_eq!((world.speakers().len(), report.turns.len(), report.lost), (5, 2, 0));
    assert_eq!(world.record().outcome, Outcome::Completed);
}

/// Policy: a source that fell silent for 5 s may have another port of the same address; nobody else may have the call.
#[test]
fn a_new_binding_of_the_phones_nat_is_followed_and_a_stranger_never() {
    let warned = |world: &World, text: &str| world.log.warnings.iter().any(|warning| warning.contains(text));
    let mut world = world(1, Weather::fair(), greeting(20));
    world.pass(ms(4_000));
    let stranger = at("203.0.113.66:4000");
    world.network.rebind(at("phone rtp"), at("192.0.2.10:61000"));
    let rebound = world.now;
    for number in 0..700_u16 {
        let mut bytes = vec![0x80, 0];
        bytes.extend(number.to_be_bytes());
        bytes.extend((u32::from(number) * 160).to_be_bytes());
        bytes.extend([0, 0, 0, 66]);
        bytes.extend([0x10; 160]);
        let datagram = Datagram { from: stranger, to: at("ramal rtp"), bytes };
        world.network.send(&Path::clean(TO_PHONE), datagram, world.now);
        world.pass(ms(20));
        if !warned(&world, "RTP comes from 192.0.2.10:61000") {
            assert!(world.now - rebound < ms(5_200), "the new binding is not followed");
        }
    }
    assert!(warned(&world, "is dropped: the caller is at"), "{:?}", world.log.warnings);
    let foreign = world.call.as_ref().unwrap().stats().unwrap().foreign;
    assert!(foreign >= 690, "{foreign} packets of the stranger were refused");
    let report = world.finish();
    world.check();
    assert_eq!(world.log.astray, 0, "packets to the stranger");
    assert_eq!((report.ended_by, world.speakers()), (Some(EndedBy::Us), vec![Speaker::Assistant]));
    // Deaf for 5 s, and back: the phone hears again what is sent to its new binding.
    assert_within("heard", ms(report.received * 20), ms(14_500), ms(15_500));
}
