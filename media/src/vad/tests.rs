//! Recorded speech, and what is not speech, as a phone line carries them.
use super::*;
use crate::{
    audio::Law,
    codec::g711::{decode, encode},
};
use std::f64::consts::TAU;

const RATE: SampleRate = SampleRate::HZ_8000;
const SPEECH: [&str; 6] = [
    "en-agent-pass",
    "en-check-number-dial-again",
    "en-piper-joe-2",
    "pt-kokoro-dora-1",
    "pt-rhvoice-leticia-0",
    "pt-rhvoice-leticia-6",
];

fn fixture(name: &str) -> Vec<i16> {
    let path = format!("{}/../tests/fixtures/speech/{name}.wav", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    wav(&bytes)
}

/// The samples of a 16-bit mono file at 8 kHz.
fn wav(bytes: &[u8]) -> Vec<i16> {
    let start = bytes.windows(4).position(|window| window == b"data").unwrap() + 8;
    bytes[start..].as_chunks().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
}

fn tones(hz: &[f64], amplitude: f64, length: Duration) -> Vec<i16> {
    let wave = |n: usize| hz.iter().map(|hz| (TAU * hz * n as f64 / 8_000.0).sin()).sum::<f64>() * amplitude;
    (0..RATE.samples_in(length)).map(|n| wave(n) as i16).collect()
}

/// White noise at `level` dBFS.
fn noise(level: f64, length: Duration) -> Vec<i16> {
    let mut state = 7_u64;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 24) * 2.0 - 1.0
    };
    let peak = 3f64.sqrt() * 32_768.0 * 10f64.powf(level / 20.0);
    (0..RATE.samples_in(length)).map(|_| (uniform() * peak) as i16).collect()
}

fn silence(ms: u64) -> Vec<i16> {
    vec![0; RATE.samples_in(Duration::from_millis(ms))]
}

fn config(engine: Engine) -> Config {
    Config { engine, ..Config::default() }
}

/// What the detector says to `samples` in packets of 20 ms over A-law, with the end of the packet it said it after, in
/// milliseconds.
fn heard(config: Config, samples: &[i16]) -> Vec<(u64, Speech)> {
    #[expect(clippy::disallowed_methods, reason = "an epoch; only distances from it count")]
    let epoch = Instant::now();
    let line = decode(Law::A, &encode(Law::A, samples));
    let mut detector = Detector::new(config).unwrap();
    let mut heard = Vec::new();
    for (index, packet) in line.chunks(160).enumerate() {
        let ms = (index as u64 + 1) * 20;
        heard.extend(detector.push(packet, epoch + Duration::from_millis(ms)).into_iter().map(|speech| (ms, speech)));
    }
    heard
}

fn at(heard: &[(u64, Speech)], wanted: impl Fn(&Speech) -> bool) -> Option<u64> {
    heard.iter().find(|(_, speech)| wanted(speech)).map(|(ms, _)| *ms)
}

/// When the first sound of `samples` comes and the last ends, in milliseconds: 8 ms above -45 dBFS.
fn extent(samples: &[i16]) -> (u64, u64) {
    let loud: Vec<u64> = (0u64..)
        .step_by(8)
        .zip(samples.chunks(64))
        .filter(|(_, step)| energy::level_db(step) > -45.0)
        .map(|it| it.0)
        .collect();
    (loud[0], loud[loud.len() - 1] + 8)
}

#[test]
fn speech_is_suspected_at_once_confirmed_soon_and_ends_after_the_silence() {
    for engine in [Engine::Silero, Engine::Energy] {
        for name in SPEECH {
            let speech = [silence(600), fixture(name), silence(1_000)].concat();
            let (onset, end) = extent(&speech);
            let heard = heard(config(engine), &speech);
            let suspected = at(&heard, |speech| *speech == Speech::Suspected).unwrap();
            let confirmed = at(&heard, |speech| *speech == Speech::Confirmed).unwrap();
            let (ended, last) = heard.last().unwrap();
            // A chunk that looks like a tone sets loudness back; the network has no such doubts.
            let slow = if engine == Engine::Energy { 80 } else { 0 };
            assert!((onset + 40..=onset + 110 + slow).contains(&suspected), "{engine:?} {name}: {onset}, {suspected}");
            assert!((onset + 100..=onset + 320).contains(&confirmed), "{engine:?} {name}: {onset}, {confirmed}");
            assert!(matches!(last, Speech::Ended { .. }), "{engine:?} {name}: {last:?}");
            // A soft last consonant is below the height that loudness alone takes for speech.
            let early = if engine == Engine::Energy { 250 } else { 20 };
            assert!((end + 500 - early..=end + 620).contains(ended), "{engine:?} {name}: {end}, {ended}");
        }
    }
}

/// What a phone line carries that is not speech.
fn other_sounds() -> Vec<(&'static str, Vec<i16>)> {
    let ms = Duration::from_millis;
    let digit = |low, high| [tones(&[low, high], 6_000.0, ms(120)), silence(80)].concat();
    let digits = [digit(697.0, 1_209.0), digit(770.0, 1_336.0), digit(852.0, 1_477.0), digit(941.0, 1_633.0)].concat();
    let ringback = [tones(&[425.0], 4_000.0, ms(1_000)), silence(4_000)].concat();
    let ringback_us = [tones(&[440.0, 480.0], 3_000.0, ms(2_000)), silence(2_000)].concat();
    let ring_uk = tones(&[400.0, 450.0], 3_000.0, ms(400));
    let ringback_uk = [ring_uk.clone(), silence(200), ring_uk, silence(2_000)].concat();
    let busy = [tones(&[425.0], 8_000.0, ms(250)), silence(250)].concat();
    let calling_fax = [tones(&[1_100.0], 4_000.0, ms(500)), silence(3_000)].concat();
    vec![
        ("DTMF", digits.repeat(3)),
        ("a long digit", tones(&[770.0, 1_209.0], 10_000.0, ms(3_000))),
        ("ringback", ringback.repeat(2)),
        ("ringback, US", ringback_us.repeat(2)),
        ("ringback, UK", ringback_uk.repeat(2)),
        ("busy", busy.repeat(8)),
        ("a calling fax", calling_fax.repeat(2)),
        ("an answering fax", tones(&[2_100.0], 4_000.0, ms(3_000))),
        ("dial tone", tones(&[350.0, 440.0], 3_000.0, ms(3_000))),
        ("silence", silence(5_000)),
        ("noise", noise(-40.0, ms(5_000))),
        ("a click", [silence(500), vec![20_000; 40], silence(1_000)].concat()),
    ]
}

#[test]
fn other_sounds_are_no_speech() {
    for engine in [Engine::Silero, Engine::Energy] {
        for (name, samples) in other_sounds() {
            // Nobody has been heard yet, or the line has been quiet for long.
            for lead in [0, 2_000] {
                let heard = heard(config(engine), &[silence(lead), samples.clone()].concat());
                // Noise that sets in on a quiet line is as loud as a voice; by loudness alone it is one, for a while.
                if engine == Engine::Silero || name != "noise" {
                    assert_eq!(heard, [], "{engine:?}: {name} after {lead} ms");
                }
            }
        }
    }
}

#[test]
fn speech_is_heard_through_noise_and_after_ringback() {
    let ringback = tones(&[425.0], 4_000.0, Duration::from_secs(1));
    let mut speech = [ringback, silence(300), fixture("pt-rhvoice-leticia-6"), silence(900)].concat();
    let (onset, end) = (1_300, extent(&speech).1);
    for (sample, noise) in speech.iter_mut().zip(noise(-45.0, Duration::from_secs(30))) {
        *sample = sample.saturating_add(noise);
    }
    let heard = heard(config(Engine::Silero), &speech);
    let confirmed = at(&heard, |speech| *speech == Speech::Confirmed).unwrap();
    let ended = at(&heard, |speech| matches!(speech, Speech::Ended { .. })).unwrap();
    assert!((onset + 100..=onset + 400).contains(&confirmed), "{confirmed}");
    assert!(ended.abs_diff(end + 500) < 200, "{ended} {end}");
}

#[test]
fn the_end_names_the_last_packet_with_voice() {
    let speech = [silence(600), fixture("en-piper-joe-2"), silence(1_000)].concat();
    let (_, end) = extent(&speech);
    #[expect(clippy::disallowed_methods, reason = "an epoch; only distances from it count")]
    let epoch = Instant::now();
    let mut detector = Detector::new(Config::default()).unwrap();
    let mut last = None;
    for (index, packet) in speech.chunks(160).enumerate() {
        let now = epoch + Duration::from_millis(index as u64 * 20 + 20);
        last = detector.push(packet, now).last().copied().or(last);
    }
    let Some(Speech::Ended { last_voice }) = last else { panic!("{last:?}") };
    assert_eq!(Some(last_voice), detector.last_voice());
    assert!(((last_voice - epoch).as_millis() as u64).abs_diff(end) <= 80, "{:?}, {end}", last_voice - epoch);
}

#[test]
fn packet_lengths_do_not_matter() {
    let speech = fixture("en-piper-joe-2");
    #[expect(clippy::disallowed_methods, reason = "an epoch; only distances from it count")]
    let now = Instant::now();
    let by = |length: usize| {
        let mut detector = Detector::new(Config::default()).unwrap();
        speech.chunks(length).flat_map(|packet| detector.push(packet, now)).collect::<Vec<_>>()
    };
    assert!(!by(160).is_empty());
    for length in [1, 80, 240, 480, speech.len()] {
        assert_eq!(by(length), by(160), "{length}");
    }
}

#[test]
fn off_says_nothing() {
    assert_eq!(heard(config(Engine::Off), &fixture("en-agent-pass")), []);
}

#[test]
fn threshold_and_limits_are_obeyed() {
    let speech = fixture("pt-kokoro-dora-1");
    let slow = Config { confirm_after: Duration::from_secs(1), ..Config::default() };
    let (soon, late) = (heard(Config::default(), &speech), heard(slow, &speech));
    let confirmed = |heard: &[(u64, Speech)]| at(heard, |speech| *speech == Speech::Confirmed).unwrap();
    assert!(confirmed(&late) > confirmed(&soon) + 600);
    assert_eq!(heard(Config { threshold: 1.01, ..Config::default() }, &speech), [], "nobody is that sure");
}

/// A secretary who is hard to interrupt: in noise, the network is sure of fewer chunks.
#[test]
fn a_higher_threshold_takes_more_to_convince() {
    let mut speech = [silence(1_000), fixture("pt-kokoro-dora-1"), silence(1_000)].concat();
    for (sample, noise) in speech.iter_mut().zip(noise(-28.0, Duration::from_secs(30))) {
        *sample = (*sample / 2).saturating_add(noise);
    }
    let line = decode(Law::A, &encode(Law::A, &speech));
    #[expect(clippy::disallowed_methods, reason = "an epoch; only distances from it count")]
    let now = Instant::now();
    let voiced = |threshold| {
        let mut detector = Detector::new(Config { threshold, ..Config::default() }).unwrap();
        let packets = line.chunks(256).map(|packet| {
            detector.push(packet, now);
            detector.likelihood() >= threshold
        });
        packets.filter(|voice| *voice).count()
    };
    assert!(voiced(0.2) > voiced(0.5) && voiced(0.5) > voiced(0.9), "{} {} {}", voiced(0.2), voiced(0.5), voiced(0.9));
}

/// A secretary who lets callers finish: the same pause ends a turn or does not.
#[test]
fn silence_ends_a_turn_when_it_was_as_long_as_asked_for() {
    let speech = [fixture("en-piper-joe-2"), silence(700), fixture("en-piper-joe-2"), silence(2_500)].concat();
    let ends = |ms| {
        let heard = heard(Config { silence: Duration::from_millis(ms), ..Config::default() }, &speech);
        heard
            .into_iter()
            .filter(|(_, speech)| matches!(speech, Speech::Ended { .. }))
            .map(|(ms, _)| ms)
            .collect::<Vec<_>>()
    };
    let (short, long) = (ends(300), ends(2_000));
    assert!(short.len() > long.len() && long.len() == 1, "{short:?} {long:?}");
    assert!((1_640..=1_780).contains(&(long[0] - short[short.len() - 1])), "{short:?} {long:?}");
}

/// A quiet line costs no inference: the state of the network stays as it was.
#[test]
fn the_network_sleeps_on_a_quiet_line() {
    let mut detector = Detector::new(Config::default()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "an epoch; only distances from it count")]
    let now = Instant::now();
    detector.push(&noise(-70.0, Duration::from_secs(2)), now);
    assert_eq!(detector.hangover, 0);
    detector.push(&fixture("en-agent-pass")[4_000..8_000], now);
    assert!(detector.hangover > 0);
    detector.push(&silence(400), now);
    assert_eq!(detector.hangover, 0);
}
