//! Turn by turn.
use super::world::{World, config, ms, transcriptions};
use crate::{
    Dialect, Endpoint, Event, Job, JobOutput,
    pipeline::{Config, Credentials, Filler, Hearing, Voice},
};
use media::{AudioFormat, Frame, SampleRate, Speech};
use serde_json::json;

#[test]
fn a_turn_is_recorded_written_down_answered_and_spoken() {
    let mut world = World::connected(config(transcriptions()));
    assert_eq!(world.session.endpoint(), Endpoint::Engine);
    world.speak(ms(1_000));
    let (id, request) = world.requests[0].clone();
    assert_eq!(request.url, "https://ear.example/v1/audio/transcriptions");
    let body = String::from_utf8_lossy(&request.body);
    for part in ["name=\"model\"\r\n\r\ngpt-transcribe\r\n", "name=\"language\"\r\n\r\nen\r\n", "RIFF", "WAVEfmt "] {
        assert!(body.contains(part), "{part}");
    }
    assert!(request.body.len() > 16_000 * 2 / 2);
    world.respond(id, 200, br#"{"text":" Hello? ","usage":{"type":"duration","seconds":2}}"#);
    assert_eq!(world.caller(), ["Hello?"]);
    world.write("Good morning! How are you? ");
    world.written();
    for voice in world.to("/v1/speak") {
        world.voice(voice, ms(500));
    }
    assert_eq!(world.heard(), [(1, ms(1_000))]);
}

#[test]
fn who_goes_on_is_answered_once() {
    let mut world = World::connected(config(transcriptions()));
    world.speak(ms(1_000));
    world.detector(Speech::Confirmed);
    world.respond(world.requests[0].0, 200, br#"{"text":"I would like"}"#);
    assert!(world.to("/chat/completions").is_empty() && world.caller().is_empty());
    world.speak(ms(1_000));
    world.respond(world.requests[1].0, 200, br#"{"text":"a room."}"#);
    assert_eq!(world.caller(), ["I would like a room."]);
    assert_eq!(world.told(), ["system: Be brief.", "user: I would like a room."]);
}

#[test]
fn it_tells_since_when_an_answer_is_awaited_until_something_of_it_is_heard() {
    let mut world = World::connected(Config { filler: Filler::Tones, ..config(transcriptions()) });
    assert_eq!(world.session.answering_since(), None);
    world.speak(ms(1_000));
    let since = Some(world.now);
    assert_eq!(world.session.answering_since(), since, "it is being written down");
    world.pass(ms(700));
    world.respond(world.requests[0].0, 200, br#"{"text":"Hello?"}"#);
    world.pass(ms(700));
    assert_eq!(world.session.answering_since(), since, "the caller waits no less for who answers");
    world.write("Good morning all of you! ");
    world.voice(world.last("/v1/speak"), ms(500));
    assert_eq!(world.session.answering_since(), None);
    world.written();
    world.cut(1, ms(400));
    world.speak(ms(1_000));
    assert_eq!(world.session.answering_since(), Some(world.now));
    world.respond(world.last("/transcriptions"), 200, br#"{"text":""}"#);
    assert_eq!(world.session.answering_since(), None, "nothing was said");

    let mut world = World::connected(config(transcriptions()));
    world.speak(ms(1_000));
    assert_eq!(world.session.answering_since(), None, "nobody is to hear of it");
}

#[test]
fn ears_and_voice_may_be_those_of_this_process() {
    let mut world = World::connected(Config { voice: Voice::Engine, ..config(Hearing::Engine) });
    world.speak(ms(1_000));
    let (id, job) = world.jobs[0].clone();
    assert!(matches!(job, Job::Transcribe { .. }));
    world.job_done(id, JobOutput::Text("Hello?".into()));
    world.write("Good morning. ");
    world.written();
    let (id, job) = world.jobs[1].clone();
    let rate = SampleRate::HZ_8000;
    assert_eq!(job, Job::Speak { text: "Good morning.".into(), language: "en-US".into(), rate });
    let frame = Frame { rate, samples: vec![9; 8_000] };
    world.job_done(id, JobOutput::Speech(frame));
    assert_eq!(world.heard(), [(1, ms(1_000))]);
}

#[test]
fn a_voice_of_this_process_is_as_wide_as_the_call() {
    let [narrow, wide, widest] = [SampleRate::HZ_8000, SampleRate::HZ_16000, SampleRate::HZ_24000];
    for (call, spoken) in [(narrow, narrow), (wide, wide), (widest, wide)] {
        let (voice, first_message) = (Voice::Engine, Some("Good morning.".into()));
        let call = AudioFormat::Pcm(call);
        let world = World::connected(Config { voice, first_message, call, ..config(transcriptions()) });
        assert!(matches!(&world.jobs[0].1, Job::Speak { rate, .. } if *rate == spoken), "{:?}", world.jobs);
        assert_eq!(world.session.formats().downlink, AudioFormat::Pcm(spoken));
    }
}

#[test]
fn an_older_piper_is_found_and_its_files_are_played() {
    let at = Credentials { url: "http://127.0.0.1:5000/".into(), api_key: None };
    let voice = Voice::Piper { at, voice: None, speed: Some(0.5) };
    let mut world =
        World::connected(Config { voice, first_message: Some("Good morning.".into()), ..config(transcriptions()) });
    let (id, request) = world.requests.last().unwrap().clone();
    assert_eq!(request.url, "http://127.0.0.1:5000/synthesize");
    assert_eq!(world.body(id), json!({"text": "Good morning.", "length_scale": 2.0}));
    world.respond(id, 405, b"Method Not Allowed");
    let (id, request) = world.requests.last().unwrap().clone();
    assert_eq!(request.url, "http://127.0.0.1:5000/");
    let rate = SampleRate::new(22_050).unwrap();
    world.respond(id, 200, &crate::pipeline::sound::wav(&Frame { rate, samples: vec![5; 22_050] }));
    assert_eq!(world.heard(), [(1, ms(1_000))]);
}

#[test]
fn a_transcription_that_is_refused_or_late_ends_it_and_one_that_fails_is_asked_for_once_more() {
    let failed = |world: &World| world.has(|event| matches!(event, Event::Failed(_)));
    let mut world = World::connected(config(transcriptions()));
    world.speak(ms(1_000));
    world.respond(world.last("/transcriptions"), 401, br#"{"error":{"message":"no"}}"#);
    assert!(failed(&world) && world.to("/transcriptions").len() == 1);

    let mut world = World::connected(config(transcriptions()));
    world.speak(ms(1_000));
    world.pass(ms(5_000));
    assert!(failed(&world) && world.to("/transcriptions").len() == 1);

    let mut world = World::connected(config(transcriptions()));
    for _ in 0..2 {
        world.speak(ms(1_000));
        world.respond(world.last("/transcriptions"), 503, b"");
        assert!(world.has(|event| matches!(event, Event::Warning(text) if text.contains("transcription"))));
        world.respond(world.last("/transcriptions"), 200, br#"{"text":"Hello?"}"#);
    }
    assert_eq!(world.caller(), ["Hello?", "Hello?"]);
    world.speak(ms(1_000));
    world.respond(world.last("/transcriptions"), 503, b"");
    assert!(!failed(&world));
    world.respond(world.last("/transcriptions"), 503, b"");
    assert!(failed(&world), "whoever takes over hears it again");
}

#[test]
fn a_cough_or_a_turn_without_words_leaves_the_answer_owed() {
    let asked = |world: &World| world.to("/chat/completions").len();
    let mut world = World::connected(config(transcriptions()));
    world.speak(ms(1_000));
    world.respond(world.last("/transcriptions"), 200, br#"{"text":"Hello?"}"#);
    world.speak(ms(100));
    assert_eq!((world.to("/transcriptions").len(), asked(&world)), (1, 2), "too short to be words");
    world.speak(ms(1_000));
    assert_eq!(asked(&world), 2);
    world.respond(world.last("/transcriptions"), 200, br#"{"text":" "}"#);
    assert_eq!((asked(&world), world.caller()), (3, vec!["Hello?"]));
}

#[test]
fn words_that_came_are_kept_when_the_caller_talks_faster_than_is_written() {
    let mut world = World::connected(config(transcriptions()));
    let turn = |world: &mut World, words: &str| {
        world.speak(ms(400));
        world.detector(Speech::Confirmed);
        let body = json!({"text": words}).to_string();
        world.respond(world.last("/transcriptions"), 200, body.as_bytes());
    };
    for words in ["One", "two", "three", "four"] {
        turn(&mut world, words);
    }
    assert!(!world.has(|event| matches!(event, Event::Warning(_))));
    (0..4).for_each(|_| world.speak(ms(400)));
    let asked = world.to("/transcriptions");
    assert_eq!(world.aborted, [asked[4]], "the oldest without words");
    for (id, words) in asked[5..].iter().zip(["six", "seven"]) {
        world.respond(*id, 200, json!({"text": words}).to_string().as_bytes());
    }
    assert!(world.caller().is_empty());
    world.respond(world.last("/transcriptions"), 401, b"");
    assert!(world.has(|event| matches!(event, Event::Failed(_))));
    assert_eq!(world.session.take_half().as_deref(), Some("One two three four six seven"));
}
