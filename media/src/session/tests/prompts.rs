//! Sentences that were encoded beforehand.
use super::*;
use crate::{audio::Frame, codec::Decoder, prompt::Form};
use std::f64::consts::TAU;

const TONE: f64 = 700.0;
const ONE: UtteranceId = UtteranceId(1);
const TWO: UtteranceId = UtteranceId(2);

/// A sentence as the engine makes them, that begins and ends in silence.
fn sentence(millis: u64) -> Frame {
    let rate = SampleRate::HZ_8000;
    let count = rate.samples_in(ms(millis));
    let wave = |n: usize| {
        let swell = (TAU / 2.0 * n as f64 / count as f64).sin();
        (8_000.0 * swell * (TAU * TONE * n as f64 / 8_000.0).sin()) as i16
    };
    Frame { rate, samples: (0..count).map(wave).collect() }
}

fn call(codec: Codec) -> Call {
    let mut config = config(AudioFormat::Pcm(SampleRate::HZ_16000), vad::Engine::Off);
    config.media = media(codec, Direction::SendRecv);
    let mut call = Call::with(config);
    call.run(ms(195));
    call
}

fn payloads(call: &Call) -> Vec<Vec<u8>> {
    call.packets().iter().map(|(_, packet)| packet.payload.to_vec()).collect()
}

/// What the phone hears, from this packet on: how loud, and how much of it is the tone.
fn heard(call: &Call, codec: Codec, packets: std::ops::Range<usize>) -> (f64, f64) {
    let mut decoder = Decoder::new(codec).unwrap();
    let frames: Vec<Vec<i16>> = payloads(call).iter().map(|payload| decoder.decode(payload).unwrap()).collect();
    let samples = frames[packets].concat();
    let (mut re, mut im, mut power) = (0.0, 0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let angle = TAU * TONE * n as f64 / 16_000.0;
        re += f64::from(*sample) * angle.cos();
        im += f64::from(*sample) * angle.sin();
        power += f64::from(*sample).powi(2);
    }
    ((power / samples.len() as f64).sqrt(), 2.0 * (re * re + im * im) / (power * samples.len() as f64))
}

#[test]
fn a_prompt_leaves_as_it_was_encoded_and_counts_as_what_it_is() {
    for codec in [Codec::G722, Codec::Opus] {
        let mut call = call(codec);
        let (first, second) = (sentence(1_005), sentence(500));
        let form = call.session.form().unwrap();
        let prompts = [&first, &second].map(|sentence| form.encode(sentence).unwrap());
        prompts.iter().for_each(|prompt| call.session.prepare(prompt.clone()));
        for frame in [first, second.clone()] {
            call.session.play(ONE, &Audio::Pcm(frame), call.now);
        }
        call.session.finish(ONE, call.now);
        let queued = call.session.heard(ONE).unwrap().queued;
        assert_eq!(queued.as_micros() % PTIME.as_micros(), 0, "{codec}: whole packets");
        assert!((ms(1_500)..ms(1_560)).contains(&queued), "{codec}: {queued:?}");
        call.run(ms(2_000));
        let packets = [prompts[0].packets.clone(), prompts[1].packets.clone()].concat();
        assert_eq!(payloads(&call)[10..10 + packets.len()], packets, "{codec}");
        let told =
            call.events.iter().find_map(|(at, event)| matches!(event, Event::PlayedOut(_)).then_some((*at, event)));
        let whole = Heard { utterance: ONE, played: queued, queued };
        assert_eq!(told, Some((ms(180) + queued, &Event::PlayedOut(whole))), "{codec}");
        // Who is encoded as she speaks is as clear after it as before.
        call.session.play(TWO, &Audio::Pcm(second), call.now);
        let spoken = call.packets().len();
        call.run(ms(500));
        let (level, purity) = heard(&call, codec, spoken + 5..spoken + 20);
        assert!(level > 3_000.0 && purity > 0.95, "{codec}: {level} {purity}");
        let (level, purity) = heard(&call, codec, 20..40);
        assert!(level > 3_000.0 && purity > 0.95, "{codec}: {level} {purity}");
    }
}

#[test]
fn a_prompt_of_another_form_or_of_another_sentence_is_not_used() {
    let mut call = call(Codec::Opus);
    let form = |media| Form::of(&media).unwrap();
    let talk = media(Codec::Opus, Direction::SendRecv);
    let longer = form(Negotiated { ptime: ms(40), ..talk.clone() });
    let limited = opus::Receiver { bit_rate: Some(8_000), ..opus::Receiver::default() };
    let limited = form(Negotiated { opus: limited, ..talk.clone() });
    for other in [longer, limited, form(media(Codec::G722, Direction::SendRecv))] {
        call.session.prepare(other.encode(&sentence(1_000)).unwrap());
    }
    let prompt = form(talk).encode(&sentence(800)).unwrap();
    call.session.prepare(prompt.clone());
    call.session.play(ONE, &Audio::Pcm(sentence(1_000)), call.now);
    call.session.finish(ONE, call.now);
    call.run(ms(1_200));
    assert!(payloads(&call).iter().filter(|payload| prompt.packets.contains(payload)).count() < 3);
    let (level, purity) = heard(&call, Codec::Opus, 20..50);
    assert!(level > 3_000.0 && purity > 0.95, "{level} {purity}");
    assert_eq!(Form::of(&media(Codec::Pcmu, Direction::SendRecv)), None, "a look-up needs none");
}

/// What is mixed, and all behind it, is encoded anew: a packet without the one before it fits no decoder.
#[test]
fn a_prompt_that_is_ducked_or_interrupted_goes_on_as_live_speech() {
    for codec in [Codec::G722, Codec::Opus] {
        for pauses in [false, true] {
            let mut call = call(codec);
            let prompt = call.session.form().unwrap().encode(&sentence(2_000)).unwrap();
            call.session.prepare(prompt.clone());
            call.session.play(ONE, &Audio::Pcm(sentence(2_000)), call.now);
            call.session.finish(ONE, call.now);
            call.run(ms(500));
            if pauses {
                call.session.pause(call.now)
            } else {
                call.session.duck(call.now)
            }
            call.run(ms(200));
            call.session.resume(call.now);
            call.run(ms(2_500));
            let sent = payloads(&call);
            assert_eq!(sent[10..35], prompt.packets[..25], "{codec}");
            let later = sent[35..].iter().filter(|payload| prompt.packets[26..90].contains(payload)).count();
            assert!(later < 3, "{codec}: {later}");
            let (level, purity) = heard(&call, codec, 60..80);
            assert!(level > 3_000.0 && purity > 0.95, "{codec} {pauses}: {level} {purity}");
            let told = call.events.iter().find_map(|(_, event)| match event {
                Event::PlayedOut(heard) => Some(heard.played),
                _ => None,
            });
            assert!(told.is_some_and(|played| played.abs_diff(ms(2_010)) <= ms(15)), "{told:?}");
        }
    }
}

/// A provider that stops asking leaves no prompts behind but the last.
#[test]
fn prompts_of_sentences_that_are_never_played_are_few() {
    let mut call = call(Codec::G722);
    let form = call.session.form().unwrap();
    let prompts: Vec<_> = (0..20).map(|n| form.encode(&sentence(100 + 20 * n)).unwrap()).collect();
    prompts.iter().for_each(|prompt| call.session.prepare(prompt.clone()));
    call.session.play(ONE, &Audio::Pcm(sentence(100)), call.now);
    call.session.play(ONE, &Audio::Pcm(sentence(480)), call.now);
    call.session.finish(ONE, call.now);
    call.run(ms(1_000));
    let used = |n: usize| payloads(&call).iter().filter(|payload| prompts[n].packets[1..].contains(payload)).count();
    assert!(used(0) < 3, "dropped: {}", used(0));
}
