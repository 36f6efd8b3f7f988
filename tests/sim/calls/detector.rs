//! Who hears the caller: the detector as the server and the secretary have it.
use super::*;
use media::vad::Engine;
use providers::{
    Job,
    local::{self, Hearing, Language},
};
use ramal::call::{Rung, Setup};

/// A call to this secretary, as the server is set up.
fn setup(engine: Engine, change: impl FnOnce(&mut SecretaryRow)) -> Setup {
    let invite = (LEG, model::invite(Some(model::offer(""))));
    let mut setup = model::setup(model::secretary(change), invite, "127.0.0.1:20000".parse().unwrap(), 7);
    setup.settings.listening.vad = engine;
    setup
}

/// Answered, with provider `openai`.
fn answered(engine: Engine, change: impl FnOnce(&mut SecretaryRow)) -> World {
    let (setup, now) = (setup(engine, change), Instant::now());
    let mut world = World::of(Call::new(setup, now), now);
    world.call.handle_connected(now);
    world.provider(vec![Model::created()]);
    world.provider(vec![Model::updated()]);
    world
}

/// Answered, with provider `local`.
fn answered_locally(engine: Engine, change: impl FnOnce(&mut SecretaryRow)) -> World {
    let (mut setup, now) = (setup(engine, change), Instant::now());
    let config = Box::new(local::Config::new(Language::EnUs, Hearing::Words));
    setup.rung = Rung::Local { config, engine: String::new() };
    let mut world = World::of(Call::new(setup, now), now);
    world.call.handle_connected(now);
    world.drain();
    world
}

impl World {
    /// How many turns of the caller the recogniser was given.
    fn turns_heard(&self) -> usize {
        let turn = |message: &&Outgoing| matches!(message, Outgoing::Job(_, Job::Transcribe { .. }));
        self.outgoing.iter().filter(turn).count()
    }

    fn barge_ins(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::BargeIn(_))).count()
    }
}

#[test]
fn a_pause_ends_a_turn_when_it_is_as_long_as_the_secretary_says() {
    let turns = |ms| {
        let mut world = answered_locally(Engine::Silero, |row| row.silence_duration_ms = Some(ms));
        for _ in 0..2 {
            world.pass(Duration::from_millis(800), true);
            world.pass(Duration::from_millis(700), false);
        }
        world.pass(Duration::from_millis(2_500), false);
        world.turns_heard()
    };
    assert_eq!((turns(400), turns(2_000)), (2, 1));
}

#[test]
fn a_secretary_who_wants_to_be_sure_is_not_interrupted_by_what_is_hardly_a_voice() {
    let barge_ins = |threshold| {
        let mut world = answered(Engine::Silero, |row| row.vad_threshold = Some(threshold));
        world.microphone = model::Microphone::in_noise();
        world.says(Duration::from_secs(5), None);
        world.pass(Duration::from_millis(200), false);
        world.pass(Duration::from_secs(3), true);
        world.barge_ins()
    };
    assert_eq!((barge_ins(0.3), barge_ins(1.0)), (1, 0));
}

#[test]
fn without_a_detector_only_the_provider_interrupts() {
    let mut world = answered(Engine::Off, |_| ());
    world.says(Duration::from_secs(5), None);
    world.pass(Duration::from_millis(200), false);
    world.pass(Duration::from_secs(1), true);
    assert!(!world.events.contains(&Event::CallerSpeaks));
    assert_eq!(world.barge_ins(), 0);
    let started = world.model.speech_started();
    world.provider(vec![started]);
    assert_eq!(world.barge_ins(), 1);
}

#[test]
fn a_provider_without_an_ear_keeps_the_detector() {
    let mut world = answered_locally(Engine::Off, |_| ());
    world.pass(Duration::from_millis(800), true);
    world.pass(Duration::from_secs(2), false);
    assert_eq!(world.turns_heard(), 1);
}

/// A secretary may leave callers more time than her provider does.
#[test]
fn who_speaks_over_an_answer_that_came_before_the_silence_was_over_cuts_it_off() {
    let mut world = answered(Engine::Silero, |row| row.silence_duration_ms = Some(3_000));
    world.pass(Duration::from_millis(900), true);
    world.pass(Duration::from_millis(400), false);
    world.says(Duration::from_secs(6), None);
    world.pass(Duration::from_millis(500), false);
    assert_eq!(world.barge_ins(), 0);
    world.pass(Duration::from_millis(900), true);
    assert_eq!(world.barge_ins(), 1);
    let begun = world.events.iter().filter(|event| **event == Event::CallerSpeaks);
    assert_eq!(begun.count(), 2);
}

/// "Uh-huh": she is silent for a moment, and says the rest. Who goes on gets the word.
#[test]
fn a_word_in_between_pauses_her_and_a_sentence_cuts_her_off() {
    for (spoken, barge_ins) in [(220, 0), (900, 1)] {
        let mut world = answered(Engine::Silero, |_| ());
        world.says(Duration::from_secs(3), None);
        world.pass(Duration::from_millis(400), false);
        world.pass(Duration::from_millis(spoken), true);
        world.pass(Duration::from_secs(4), false);
        assert_eq!(world.barge_ins(), barge_ins, "{spoken} ms");
        let pause = world.voice.windows(2).map(|w| w[1] - w[0]).max().unwrap();
        let all =
            world.events.iter().any(|event| matches!(event, Event::PlayedOut(heard) if heard.played == heard.queued));
        let paused = pause > Duration::from_millis(400) && pause < Duration::from_millis(800);
        assert_eq!((all, paused), (barge_ins == 0, barge_ins == 0), "{spoken} ms: {pause:?}");
    }
}
