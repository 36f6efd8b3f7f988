//! The simulated model's voice.
use super::script::Say;
use flite_rs::Engine;
use std::f64::consts::TAU;

/// What flite's voice and G.711 both speak.
pub(super) const RATE: u32 = 8_000;
const SAMPLES_PER_MS: u64 = 8;
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
    /// 8 kHz PCM.
    pub fn render(&self, say: &Say) -> Vec<i16> {
        match say {
            Say::Words(text) => self.0.synthesize(text).samples,
            Say::Tone { tone_hz, ms } => {
                let step = TAU * f64::from(*tone_hz) / f64::from(RATE);
                (0..ms * SAMPLES_PER_MS).map(|n| ((n as f64 * step).sin() * TONE_PEAK) as i16).collect()
            }
            Say::Silence { silence_ms } => (0..silence_ms * SAMPLES_PER_MS).map(|_| 0).collect(),
        }
    }
}
