//! Which voice speaks which language.
use super::{
    Error, Part,
    flite::{self, Flite},
    piper::Piper,
    rhvoice::RhVoice,
};
use media::{Frame, SampleRate};
use providers::local::Language;
use std::{collections::BTreeMap, path::Path};

/// How a sentence was spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    /// By the voice of its language.
    Properly,
    /// By the embedded English voice, because its language has none or the better one failed.
    ByFallback,
}

#[derive(Debug)]
enum Voice {
    RhVoice(RhVoice),
    Piper(Piper),
}

impl Voice {
    fn part(&self) -> Part {
        match self {
            Self::RhVoice(voice) => voice.part(),
            Self::Piper(voice) => voice.part(),
        }
    }

    fn speak(&self, text: &str, most: SampleRate) -> Result<Frame, Error> {
        match self {
            Self::RhVoice(voice) => voice.speak(text, most),
            Self::Piper(voice) => voice.speak(text, most),
        }
    }
}

/// The voices that are there.
#[derive(Debug)]
pub(super) struct Voices {
    flite: Flite,
    better: BTreeMap<Language, Voice>,
}

impl Voices {
    /// Looks for voices, and says which there are.
    ///
    /// # Errors
    /// The embedded voice is broken.
    pub(super) fn find(models_dir: &Path) -> Result<(Self, BTreeMap<Language, Part>), Error> {
        let rhvoice = |language| RhVoice::find(models_dir, language).map(Voice::RhVoice);
        let portuguese = rhvoice(Language::PtBr).map(|voice| (Language::PtBr, voice));
        let piper = Piper::find(models_dir).map(Voice::Piper);
        let english = piper.or_else(|| rhvoice(Language::EnUs)).map(|voice| (Language::EnUs, voice));
        let better: BTreeMap<_, _> = portuguese.into_iter().chain(english).collect();
        let mut parts = BTreeMap::from([(Language::EnUs, Flite::part())]);
        parts.extend(better.iter().map(|(language, voice)| (*language, voice.part())));
        Ok((Self { flite: Flite::new()?, better }, parts))
    }

    /// As wide as texts of a language are spoken that may have `most` samples a second: all voices but the embedded one
    /// have more than calls.
    pub(super) fn width(&self, language: Language, most: SampleRate) -> SampleRate {
        if self.better.contains_key(&language) { most } else { most.min(flite::WIDTH) }
    }

    /// Speaks a text, at this rate at the most. English is always spoken somehow; another language without a voice is
    /// read by the English one, which is counted; one whose voice failed is an error, since an English reading would
    /// not be understood.
    ///
    /// # Errors
    /// The voice's program failed.
    pub(super) fn speak(&self, text: &str, language: Language, most: SampleRate) -> Result<(Frame, Spoken), Error> {
        let embedded = || self.flite.speak(text, most);
        let spoken = match self.better.get(&language) {
            Some(voice) => voice.speak(text, most),
            None if language == Language::EnUs => return embedded().map(|frame| (frame, Spoken::Properly)),
            None => return embedded().map(|frame| (frame, Spoken::ByFallback)),
        };
        match spoken {
            Err(error) if language == Language::EnUs => {
                tracing::warn!(%error, "the embedded voice speaks instead");
                embedded().map(|frame| (frame, Spoken::ByFallback))
            }
            spoken => spoken.map(|frame| (frame, Spoken::Properly)),
        }
    }
}
