//! Sentences that were encoded beforehand.
use super::*;
use crate::{audio::Frame, codec::Decoder, prompt::Form};

const ONE: UtteranceId = UtteranceId(1);
const TWO: UtteranceId = UtteranceId(2);

/// So much of a recording of speech.
fn sentence(millis: std::ops::Range<u64>) -> Frame {
    let (_, samples) = crate::testing::speech().into_iter().find(|(name, _)| name == "pt-kokoro-dora-0").unwrap();
    let rate = SampleRate::HZ_8000;
    let at = |millis| rate.samples_in(ms(millis));
    Frame { rate, samples: samples[at(millis.start)..at(millis.end)].to_vec() }
}

fn call() -> Call {
    let mut config = config(AudioFormat::Pcm(SampleRate::HZ_16000), vad::Engine::Off);
    config.media = media(Codec::Opus, Direction::SendRecv);
    let mut call = Call::with(config);
    call.session.downlink.slots = Some(Vec::new());
    call.run(ms(195));
    call
}

fn payloads(call: &Call) -> Vec<Vec<u8>> {
    call.packets().iter().map(|(_, packet)| packet.payload.to_vec()).collect()
}

/// What each packet was encoded of.
fn said(call: &Call) -> Vec<i16> {
    let slots = call.session.downlink.slots.iter().flatten();
    let said = slots.map(|slot| match &slot.audio {
        Some(Audio::Pcm(frame)) => frame.samples.clone(),
        Some(Audio::G711 { .. }) | None => vec![0; 480],
    });
    said.flatten().collect()
}

/// How far what the phone hears, packet by packet, is from what was said.
fn errors(call: &Call, said: &[i16]) -> Vec<f64> {
    let mut decoder = Decoder::new(Codec::Opus).unwrap();
    let heard = payloads(call).into_iter().map(|payload| decoder.decode(&payload).unwrap());
    // An encoder of Opus is 6.5 ms behind.
    let said = [&[0; 156], said].concat();
    let error = |(heard, said): (Vec<i16>, &[i16])| {
        let power: f64 = heard.iter().zip(said).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
        (power / heard.len() as f64).sqrt()
    };
    heard.zip(said.chunks(480)).map(error).collect()
}

#[test]
fn a_prompt_leaves_as_it_was_encoded_and_counts_as_what_it_is() {
    let mut call = call();
    let sentences = [sentence(0..1_005), sentence(1_005..1_505)];
    let form = call.session.form().unwrap();
    let prompts = sentences.clone().map(|sentence| form.encode(&sentence).map(Arc::new).unwrap());
    prompts.iter().for_each(|prompt| call.session.prepare(prompt.clone()));
    for frame in sentences {
        call.session.play(ONE, &Audio::Pcm(frame), call.now);
    }
    call.session.finish(ONE, call.now);
    let queued = call.session.heard(ONE).unwrap().queued;
    assert_eq!(queued, ms(1_020 + 520), "whole packets");
    call.run(ms(2_000));
    let packets = [prompts[0].packets.clone(), prompts[1].packets.clone()].concat();
    assert_eq!(payloads(&call)[10..10 + packets.len()], packets);
    let told = call.events.iter().find_map(|(at, event)| matches!(event, Event::PlayedOut(_)).then_some((*at, event)));
    let whole = Heard { utterance: ONE, played: queued, queued };
    assert_eq!(told, Some((ms(180) + queued, &Event::PlayedOut(whole))));
}

/// A sentence, encoded beforehand or not. What is heard is the same.
fn say(call: &mut Call, sentence: &Frame, prepared: bool) {
    let form = Form::of(&media(Codec::Opus, Direction::SendRecv)).unwrap();
    let prompt = form.encode(sentence).map(Arc::new).unwrap();
    let whole = Frame { rate: Codec::Opus.sample_rate(), samples: prompt.samples.clone() };
    if prepared {
        call.session.prepare(prompt);
    }
    call.session.play(ONE, &Audio::Pcm(if prepared { sentence.clone() } else { whole }), call.now);
}

/// In whatever way a prompt begins, ends, and is left in its middle, no packet is worse than in a call whose encoder has
/// said it all by itself.
#[test]
fn a_call_with_prompts_sounds_like_one_without() {
    type Scene = (&'static str, usize, fn(&mut Call, bool));
    let scenes: [Scene; 6] = [
        ("whole", 100, |call, prepared| say(call, &sentence(0..2_300), prepared)),
        ("one behind another", 100, |call, prepared| {
            say(call, &sentence(0..820), prepared);
            say(call, &sentence(820..2_300), prepared);
        }),
        ("ducked", 45, |call, prepared| {
            say(call, &sentence(0..2_300), prepared);
            call.run(ms(900));
            call.session.duck(call.now);
            call.run(ms(400));
            call.session.resume(call.now);
        }),
        ("paused", 45, |call, prepared| {
            say(call, &sentence(0..2_300), prepared);
            call.run(ms(900));
            call.session.pause(call.now);
            call.run(ms(400));
            call.session.resume(call.now);
        }),
        ("cut soon", 4, |call, prepared| {
            say(call, &sentence(200..2_300), prepared);
            call.run(ms(80));
            call.session.cut(call.now);
        }),
        ("tones in its middle", 45, |call, prepared| {
            say(call, &sentence(0..2_300), prepared);
            call.run(ms(900));
            call.session.send_tones("12", call.now);
        }),
    ];
    for (name, fewest, scene) in scenes {
        let run = |prepared: bool| {
            let mut call = call();
            scene(&mut call, prepared);
            call.run(ms(2_500));
            call
        };
        let (plain, prompted) = (run(false), run(true));
        let said = said(&plain);
        let alike = payloads(&plain).iter().zip(payloads(&prompted)).filter(|(one, other)| *one == other).count();
        let differ = payloads(&plain).len() - alike;
        assert!(differ >= fewest, "{name}: {differ} packets are of a prompt, or behind one");
        for (n, (with, without)) in errors(&prompted, &said).into_iter().zip(errors(&plain, &said)).enumerate() {
            assert!(with < 1.3 * without + 20.0, "{name}, packet {n}: {with:.0}, not {without:.0}");
        }
    }
}

/// An encoder holds some of what was said back: a prompt in the next packet would cut it off.
#[test]
fn a_prompt_right_behind_live_speech_is_live_speech() {
    let mut call = call();
    let prompt = call.session.form().unwrap().encode(&sentence(820..2_300)).map(Arc::new).unwrap();
    call.session.play(ONE, &Audio::Pcm(sentence(0..820)), call.now);
    call.session.prepare(prompt.clone());
    call.session.play(TWO, &Audio::Pcm(sentence(820..2_300)), call.now);
    call.session.finish(TWO, call.now);
    call.run(ms(3_000));
    assert!(payloads(&call).iter().all(|payload| !prompt.packets[1..40].contains(payload)));
    // After silence it would have been used.
    call.session.prepare(prompt.clone());
    call.session.play(UtteranceId(3), &Audio::Pcm(sentence(820..2_300)), call.now);
    call.run(ms(1_500));
    assert!(prompt.packets.iter().all(|packet| payloads(&call).contains(packet)));
}

#[test]
fn a_prompt_of_another_form_or_of_another_sentence_is_not_used() {
    let mut call = call();
    let form = |media| Form::of(&media).unwrap();
    let talk = media(Codec::Opus, Direction::SendRecv);
    let limited = opus::Receiver { bit_rate: Some(8_000), ..opus::Receiver::default() };
    let others = [Negotiated { ptime: ms(40), ..talk.clone() }, Negotiated { opus: limited, ..talk.clone() }];
    let mut prompts = others.map(|other| form(other).encode(&sentence(0..1_000)).map(Arc::new).unwrap()).to_vec();
    prompts.push(form(talk).encode(&sentence(0..800)).map(Arc::new).unwrap());
    prompts.iter().for_each(|prompt| call.session.prepare(prompt.clone()));
    call.session.play(ONE, &Audio::Pcm(sentence(0..1_000)), call.now);
    call.session.finish(ONE, call.now);
    call.run(ms(1_200));
    for prompt in prompts {
        // The first packet of speech may be the same.
        let used = payloads(&call).iter().filter(|payload| prompt.packets[5..].contains(payload)).count();
        assert!(used < 3, "{used}");
    }
}

/// G.711 and L16 are a look-up. Both sides of G.722 follow one another from the first bit on, and a prompt would begin
/// anew.
#[test]
fn no_prompts_are_made_for_codecs_other_than_opus() {
    for codec in Codec::ALL {
        let form = Form::of(&media(codec, Direction::SendRecv));
        assert_eq!(form.is_some(), codec == Codec::Opus, "{codec}");
    }
}

/// A provider that stops asking leaves no prompts behind but the last.
#[test]
fn prompts_of_sentences_that_are_never_played_are_few() {
    let mut call = call();
    let form = call.session.form().unwrap();
    let prompts: Vec<_> =
        (0..20).map(|n| form.encode(&sentence(20 * n..400 + 20 * n)).map(Arc::new).unwrap()).collect();
    prompts.iter().for_each(|prompt| call.session.prepare(prompt.clone()));
    call.session.play(ONE, &Audio::Pcm(sentence(0..400)), call.now);
    call.session.finish(ONE, call.now);
    call.run(ms(1_000));
    call.session.play(TWO, &Audio::Pcm(sentence(380..780)), call.now);
    call.session.finish(TWO, call.now);
    call.run(ms(1_500));
    let used = |n: usize| prompts[n].packets.iter().filter(|packet| payloads(&call).contains(packet)).count();
    assert!(used(0) < 3, "dropped: {}", used(0));
    assert_eq!(used(19), prompts[19].packets.len());
}
