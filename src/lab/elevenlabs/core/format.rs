//! Audio formats of an agent.
use media::{Law, SampleRate, codec::g711};

/// What is heard or spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Ulaw,
    Pcm(SampleRate),
}

impl Format {
    /// By its name; what the script leaves open, or misspells, is what the server takes by itself.
    pub(super) fn of(name: &str) -> Self {
        let rate = name.strip_prefix("pcm_").and_then(|rate| rate.parse().ok()).and_then(SampleRate::new);
        match (name, rate) {
            ("ulaw_8000", _) => Self::Ulaw,
            (_, Some(rate)) => Self::Pcm(rate),
            (_, None) => Self::Pcm(SampleRate::HZ_16000),
        }
    }

    pub(super) fn rate(self) -> SampleRate {
        match self {
            Self::Ulaw => SampleRate::HZ_8000,
            Self::Pcm(rate) => rate,
        }
    }

    /// From PCM at [`Format::rate`].
    pub(super) fn encode(self, samples: &[i16]) -> Vec<u8> {
        match self {
            Self::Ulaw => g711::encode(Law::Mu, samples),
            Self::Pcm(_) => samples.iter().flat_map(|sample| sample.to_le_bytes()).collect(),
        }
    }

    /// To PCM at [`Format::rate`].
    pub(super) fn decode(self, bytes: &[u8]) -> Vec<i16> {
        match self {
            Self::Ulaw => g711::decode(Law::Mu, bytes),
            Self::Pcm(_) => bytes.as_chunks().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect(),
        }
    }
}
