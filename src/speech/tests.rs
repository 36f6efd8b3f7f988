//! The engine with what is in the binary, and with the models where they are present.
use super::*;
use media::{
    SampleRate,
    codec::{Codec, opus},
    prompt::{Form, Prompt},
    sdp,
};
use providers::{Job, JobId, JobOutput};
use std::{f64::consts::TAU, fs, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc};
use tokio::sync::mpsc;

fn bare() -> EngineConfig {
    EngineConfig { models_dir: PathBuf::from("/nonexistent"), threads: 2 }
}

fn ask(engine: &Engine, job: Job) -> Result<JobOutput, String> {
    ask_for(engine, job, None).0
}

fn ask_for(engine: &Engine, job: Job, form: Option<Form>) -> (Result<JobOutput, String>, Option<Arc<Prompt>>) {
    let (reply, mut done) = mpsc::channel(1);
    engine.submit(JobId(7), job, form, reply);
    let Done { job, prompt } = done.blocking_recv().expect("every job is answered");
    assert_eq!(job.id, JobId(7));
    (job.result, prompt)
}

/// Of a call in Opus whose peer wants no more than so many bits a second.
pub(super) fn form(bit_rate: Option<i32>) -> Form {
    let remote = "192.0.2.1:4000".parse().unwrap();
    let media = sdp::Negotiated {
        remote,
        remote_rtcp: remote,
        codec: Codec::Opus,
        rtcp_mux: false,
        opus: opus::Receiver { bit_rate, ..opus::Receiver::default() },
        payload_type: sdp::PayloadType::same(96),
        others: Vec::new(),
        telephone_event: None,
        other_events: Vec::new(),
        comfort_noise: None,
        direction: sdp::Direction::SendRecv,
        ptime: std::time::Duration::from_millis(20),
        ice: None,
        srtp: None,
    };
    Form::of(&media).unwrap()
}

fn speak(text: &str, language: &str) -> Job {
    speak_at(SampleRate::HZ_8000, text, language)
}

fn speak_at(rate: SampleRate, text: &str, language: &str) -> Job {
    Job::Speak { text: text.into(), language: language.into(), rate }
}

/// What a telephone carries, and what it does not, Hz.
const LOW: f64 = 1_000.0;
const HIGH: f64 = 5_000.0;

/// A models folder with a program in the place of Piper, which says a second of both whatever it reads, at 22.05 kHz.
struct Whistler(PathBuf);

impl Whistler {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("ramal-speech-{}", uuid::Uuid::new_v4()));
        let bin = folder.join("tts/piper/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::write(folder.join("tts/piper/en_US-joe-medium.onnx"), "a voice").unwrap();
        let tone = |hz: f64, n: u32| 8_000.0 * (TAU * hz * f64::from(n) / 22_050.0).sin();
        let samples = (0..22_050).map(|n| (tone(LOW, n) + tone(HIGH, n)) as i16).collect();
        let sound = Frame { rate: SampleRate::new(22_050).unwrap(), samples };
        fs::write(bin.join("voice.wav"), crate::wav::mono(&sound).unwrap()).unwrap();
        let program = bin.join("piper");
        fs::write(&program, "#!/bin/sh\ncat > /dev/null\ncat \"${0%/*}/voice.wav\"\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    fn engine(&self) -> Engine {
        Engine::start(&EngineConfig { models_dir: self.0.clone(), threads: 1 })
    }
}

impl Drop for Whistler {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn amplitude(frame: &Frame, hz: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in frame.samples.iter().enumerate() {
        let angle = TAU * hz * n as f64 / f64::from(frame.rate.hz());
        re += f64::from(*sample) * angle.cos();
        im += f64::from(*sample) * angle.sin();
    }
    2.0 * f64::hypot(re, im) / frame.samples.len() as f64
}

#[test]
fn a_voice_is_as_wide_as_the_call_and_what_it_said_in_a_narrow_one_is_not_said_in_a_wide_one() {
    let whistler = Whistler::new();
    let engine = whistler.engine();
    let [narrow, wide] = [SampleRate::HZ_8000, SampleRate::HZ_16000];
    for rate in [narrow, wide, wide, narrow] {
        let told = ask(&engine, speak_at(rate, "Good morning.", "en-US"));
        let Ok(JobOutput::Speech(frame)) = told else { panic!("{told:?}") };
        assert_eq!(frame.rate, rate);
        let (low, high) = (amplitude(&frame, LOW), amplitude(&frame, HIGH));
        assert!(low > 6_000.0 && (high > 6_000.0) == (rate == wide), "{rate:?}: {low:.0} and {high:.0}");
    }
    assert_eq!(engine.counters(), Counters { spoken: 4, cached: 2, ..Counters::default() });
}

/// Their packets are those of the sentence that is played, by its samples.
#[test]
fn what_is_encoded_for_calls_is_the_sentence_as_wide_as_they_have_it() {
    let whistler = Whistler::new();
    let engine = whistler.engine();
    let opus = Some(form(None));
    for rate in [SampleRate::HZ_8000, SampleRate::HZ_16000] {
        let ask = || ask_for(&engine, speak_at(rate, "Good morning.", "en-US"), opus);
        let ((first, none), (_, second)) = (ask(), ask());
        let Ok(JobOutput::Speech(frame)) = first else { panic!("{first:?}") };
        assert_eq!((none, second.as_deref()), (None, form(None).encode(&frame).as_ref()), "{rate:?}");
    }
    assert_eq!(engine.counters(), Counters { spoken: 4, cached: 2, encoded: 2, ..Counters::default() });
}

#[test]
fn english_is_always_spoken_and_the_second_time_remembered() {
    let engine = Engine::start(&bare());
    let first = ask(&engine, speak("We open at nine.", "en-US"));
    let Ok(JobOutput::Speech(frame)) = &first else { panic!("{first:?}") };
    assert_eq!(frame.rate, SampleRate::HZ_8000);
    let seconds = frame.duration().as_secs_f32();
    assert!((0.6..3.0).contains(&seconds), "{seconds} s");
    assert!(frame.samples.iter().any(|sample| sample.unsigned_abs() > 2_000), "it is audible");
    assert_eq!(ask(&engine, speak("We open at nine.", "en-US")), first);
    let wider = ask(&engine, speak_at(SampleRate::HZ_16000, "We open at nine.", "en-US"));
    assert_eq!(wider, first, "this voice has no more, and has said it");
    assert_eq!(engine.counters(), Counters { spoken: 3, cached: 2, ..Counters::default() });
}

/// The first is heard without waiting for an encoder that nobody may need again.
#[test]
fn a_hundred_calls_that_open_with_the_same_greeting_have_it_spoken_and_encoded_once() {
    let engine = Engine::start(&bare());
    let opus = Some(form(None));
    let (first, none) = ask_for(&engine, speak("Good morning.", "en-US"), opus);
    let (again, second) = ask_for(&engine, speak("Good morning.", "en-US"), opus);
    assert_eq!((&again, none), (&first, None));
    let second = second.expect("encoded");
    for _ in 2..100 {
        assert_eq!(ask_for(&engine, speak("Good morning.", "en-US"), opus), (first.clone(), Some(second.clone())));
    }
    let counted = Counters { spoken: 100, cached: 99, encoded: 1, ..Counters::default() };
    assert_eq!(engine.counters(), counted);
    let narrow = Some(form(Some(8_000)));
    let (_, other) = ask_for(&engine, speak("Good morning.", "en-US"), narrow);
    assert_eq!(other.map(|prompt| prompt.form()), narrow);
}

#[test]
fn without_models_it_says_what_it_cannot() {
    let engine = Engine::start(&bare());
    let capabilities = engine.capabilities();
    assert_eq!(capabilities.hearing(), providers::local::Hearing::None);
    assert_eq!(capabilities.voices[&Language::EnUs].name, "flite kal");
    let speech = Frame { rate: SampleRate::HZ_8000, samples: vec![0; 8_000] };
    let error = ask(&engine, Job::Transcribe { speech, language: "pt-BR".into() }).unwrap_err();
    assert!(error.contains("model is absent"), "{error}");
    assert!(ask(&engine, speak("Bonjour", "fr-FR")).unwrap_err().contains("fr-FR"));
    assert_eq!(engine.counters().failed, 2);
}

#[test]
fn a_text_in_a_language_without_a_voice_is_read_in_english_and_counted() {
    let engine = Engine::start(&bare());
    if engine.capabilities().voices.contains_key(&Language::PtBr) {
        eprintln!("skipped: a Portuguese voice is installed in this system");
        return;
    }
    assert_eq!(engine.capabilities().voice_for(Language::PtBr), Language::EnUs);
    assert!(ask(&engine, speak("Bom dia", "pt-BR")).is_ok());
    assert_eq!(engine.counters().fallbacks, 1);
}
