//! The voice in the binary: US English, 8 kHz, and nothing to install.
use super::{Error, Part, wav};
use media::{Frame, SampleRate};
use std::fmt;

/// As wide as the embedded voice is.
pub(super) const WIDTH: SampleRate = SampleRate::HZ_8000;

/// The embedded voice.
pub(super) struct Flite(flite_rs::Engine);

impl fmt::Debug for Flite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flite")
    }
}

impl Flite {
    /// Parses the embedded voice.
    ///
    /// # Errors
    /// The binary was built wrong.
    pub(super) fn new() -> Result<Self, Error> {
        flite_rs::Engine::try_new().map(Self).map_err(|error| Error::Flite(error.to_string()))
    }

    pub(super) fn part() -> Part {
        Part { name: "flite kal".into(), sha256: None }
    }

    /// Speaks English, at this rate at the most.
    ///
    /// # Errors
    /// The voice's rate cannot be converted.
    pub(super) fn speak(&self, text: &str, most: SampleRate) -> Result<Frame, Error> {
        let audio = self.0.synthesize(text);
        wav::fitted(&audio.samples, SampleRate::new(audio.sample_rate).unwrap_or(WIDTH), most)
    }
}
