//! The speech engine inside this process: it recognises what the caller said and speaks what the built-in provider says.
//!
//! A recogniser and voices are there if their files are; the flite voice (English) is in the binary. Programs under
//! copyleft licences (RHVoice, Piper) stay programs of their own: one process per sentence, with a deadline, no shell.
#[cfg(test)]
mod accuracy;
mod cache;
mod engine;
mod flite;
mod piper;
mod process;
mod rhvoice;
#[cfg(test)]
mod tests;
mod voice;
mod wav;
mod whisper;

pub use engine::{Counters, Done, Engine, EngineConfig};

/// Where RHVoice is unpacked, below the models folder.
pub(crate) use rhvoice::ROOT as RHVOICE_ROOT;

use media::{Frame, SampleRate};
use providers::local::{Hearing, Language, wording};
use std::{collections::BTreeMap, path::Path};

/// Why a job has no output.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No recogniser is loaded.
    #[error("no recogniser is loaded: the model is absent")]
    Deaf,
    /// Neither Portuguese nor English.
    #[error("no voice or phrases for language {0:?}; pt and en are known")]
    Language(String),
    /// The recogniser refused the audio or the model.
    #[error("recogniser: {0}")]
    Recogniser(#[from] whisper_rs::WhisperError),
    /// The audio cannot be brought to the rate that is needed.
    #[error(transparent)]
    Rate(#[from] media::resample::Error),
    /// A voice's program could not be started or spoken to.
    #[error("{program}: {reason}")]
    Program {
        /// Which.
        program: String,
        /// What the system said.
        reason: std::io::Error,
    },
    /// A voice's program did not finish.
    #[error("{program} gave nothing within {seconds} s")]
    Deadline {
        /// Which.
        program: String,
        /// How long it had.
        seconds: u64,
    },
    /// A voice's program wrote something else than speech.
    #[error("{program} wrote no usable speech: {reason}")]
    NoSpeech {
        /// Which.
        program: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The embedded voice is broken.
    #[error("the embedded voice: {0}")]
    Flite(String),
}

/// A recogniser or a voice that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Engine and model, e.g. `Whisper tiny`.
    pub name: String,
    /// SHA-256 of the model in hex; none for what is in the binary.
    pub sha256: Option<String>,
}

/// What this engine can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The recogniser, if any.
    pub hearing: Option<Part>,
    /// The voice of each language that has one of its own.
    pub voices: BTreeMap<Language, Part>,
    /// What is there but cannot be used, and why.
    pub problems: Vec<String>,
}

impl Capabilities {
    /// Whether words are recognised, as the built-in provider is told.
    pub fn hearing(&self) -> Hearing {
        if self.hearing.is_some() { Hearing::Words } else { Hearing::None }
    }

    /// The language to speak to callers of `language`: their own if it has a voice, else English.
    pub fn voice_for(&self, language: Language) -> Language {
        if self.voices.contains_key(&language) { language } else { Language::EnUs }
    }

    /// What the built-in provider is with this engine, in honest words and in `language`.
    pub fn wording(&self, language: Language) -> String {
        let voice = self.voices.get(&self.voice_for(language)).map_or("flite", |part| part.name.as_str());
        wording(language, self.hearing.as_ref().map(|part| part.name.as_str()), voice)
    }

    /// Engines, models and the first digits of their hashes, for the record of a call.
    pub fn identity(&self, language: Language) -> String {
        let voice = self.voices.get(&self.voice_for(language));
        let parts = self.hearing.iter().chain(voice).map(|part| match &part.sha256 {
            Some(hash) => format!("{} ({})", part.name, hash.get(..12).unwrap_or(hash)),
            None => part.name.clone(),
        });
        parts.collect::<Vec<_>>().join(" + ")
    }
}

/// Speaks a text with the voices found in the default models folder, at 8 kHz.
///
/// # Errors
/// The language has no voice, or its program failed.
pub fn say(text: &str, language: &str) -> Result<Frame, Error> {
    say_with(&crate::models::default_dir(), text, language)
}

/// Like [`say`], with the voices of this models folder.
///
/// # Errors
/// The language has no voice, or its program failed.
pub fn say_with(models_dir: &Path, text: &str, language: &str) -> Result<Frame, Error> {
    let language = Language::from_tag(language).ok_or_else(|| Error::Language(language.to_owned()))?;
    let (voices, _) = voice::Voices::find(models_dir)?;
    voices.speak(text, language, SampleRate::HZ_8000).map(|(frame, _)| frame)
}

/// Whether Portuguese has a voice.
pub(crate) fn speaks_portuguese(models_dir: &Path) -> bool {
    rhvoice::RhVoice::find(models_dir, Language::PtBr).is_some()
}

/// Recognises 8 kHz speech with the recogniser of this models folder.
///
/// # Errors
/// There is no model, or it failed.
pub fn hear_with(models_dir: &Path, speech: &Frame, language: &str) -> Result<String, Error> {
    let recogniser = whisper::Recogniser::find(models_dir)?.ok_or(Error::Deaf)?;
    recogniser.listener()?.transcribe(speech, language, whisper::idle_threads())
}
