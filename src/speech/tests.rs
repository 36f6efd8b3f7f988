//! The engine with what is in the binary, and with the models where they are present.
use super::*;
use media::SampleRate;
use providers::{Job, JobDone, JobId, JobOutput};
use std::path::PathBuf;
use tokio::sync::mpsc;

fn bare() -> EngineConfig {
    EngineConfig { models_dir: PathBuf::from("/nonexistent"), threads: 2 }
}

fn ask(engine: &Engine, job: Job) -> Result<JobOutput, String> {
    let (reply, mut done) = mpsc::channel::<JobDone>(1);
    engine.submit(JobId(7), job, reply);
    let done = done.blocking_recv().expect("every job is answered");
    assert_eq!(done.id, JobId(7));
    done.result
}

fn speak(text: &str, language: &str) -> Job {
    Job::Speak { text: text.into(), language: language.into() }
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
    assert_eq!(engine.counters(), Counters { spoken: 2, cached: 1, ..Counters::default() });
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
