//! The simulated model's voice.
use super::script::Say;
use flite_rs::Engine;
use media::{SampleRate, resample::Resampler};
use std::{f64::consts::TAU, time::Duration};

/// -12 dBFS.
const TONE_PEAK: f64 = 8_231.0;

/// Renders speech; expensive to build, cheap to share.
pub struct Voice(Engine);

impl std::fmt::Debug for Voice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Voice")
    }
}

impl Default for Voice {
    fn default() -> Self {
        Self(Engine::new())
    }
}

impl Voice {
    /// PCM at this rate; words are of the telephone band at any.
    pub fn render(&self, say: &Say, rate: SampleRate) -> Vec<i16> {
        let samples = |ms: &u64| rate.samples_in(Duration::from_millis(*ms));
        match say {
            Say::Words(text) => {
                let words = self.0.synthesize(text).samples;
                match Resampler::new(SampleRate::HZ_8000, rate) {
                    Ok(mut resampler) => [resampler.process(&words), resampler.flush()].concat(),
                    Err(_) => words, // no rate of a session is refused
                }
            }
            Say::Tone { tone_hz, ms } => {
                let step = TAU * f64::from(*tone_hz) / f64::from(rate.hz());
                (0..samples(ms)).map(|n| ((n as f64 * step).sin() * TONE_PEAK) as i16).collect()
            }
            // Nobody was heard: an echo of nothing.
            Say::Echo { echo_ms } => vec![0; samples(echo_ms)],
            Say::Silence { silence_ms } => vec![0; samples(silence_ms)],
        }
    }
}
