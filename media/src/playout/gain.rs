//! Volume that fades and never jumps.
use std::time::Duration;

use crate::audio::SampleRate;

/// −18 dB: the assistant under a caller who may be interrupting.
const DUCKED: f32 = 0.126;
/// From full to ducked volume and back.
const FADE: Duration = Duration::from_millis(30);

/// The volume of the assistant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gain {
    current: f32,
    target: f32,
}

impl Gain {
    pub(super) const FULL: Self = Self { current: 1.0, target: 1.0 };

    pub(super) fn duck(&mut self) {
        self.target = DUCKED;
    }

    pub(super) fn unduck(&mut self) {
        self.target = 1.0;
    }

    /// Whether samples may pass untouched.
    pub(super) fn is_full(self) -> bool {
        self.current >= 1.0 && self.target >= 1.0
    }

    pub(super) fn apply(&mut self, samples: &mut [i16], rate: SampleRate) {
        let step = (1.0 - DUCKED) / rate.samples_in(FADE).max(1) as f32;
        for sample in samples {
            let missing = self.target - self.current;
            self.current = if missing.abs() <= step { self.target } else { self.current + step.copysign(missing) };
            *sample = (f32::from(*sample) * self.current) as i16;
        }
    }

    /// From the volume of the moment to nothing within `samples`.
    pub(super) fn fade_out(self, samples: &mut [i16]) {
        let length = samples.len().max(1) as f32;
        for (n, sample) in samples.iter_mut().enumerate() {
            let left = 1.0 - (n as f32 + 1.0) / length;
            *sample = (f32::from(*sample) * self.current * left) as i16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ducking_fades_within_40_ms_and_steps_are_small() {
        let mut gain = Gain::FULL;
        gain.duck();
        assert!(!gain.is_full());
        let mut samples = [10_000_i16; 320];
        gain.apply(&mut samples, SampleRate::HZ_8000);
        assert!(samples.windows(2).all(|w| w[0] - w[1] <= 40 && w[0] >= w[1]));
        assert!((1_200..1_300).contains(&samples[319]), "{}", samples[319]);
        gain.unduck();
        let mut samples = [10_000_i16; 320];
        gain.apply(&mut samples, SampleRate::HZ_8000);
        assert_eq!(samples[319], 10_000);
        assert!(gain.is_full());
    }

    #[test]
    fn a_cut_ends_in_silence() {
        let mut samples = [10_000_i16; 160];
        Gain::FULL.fade_out(&mut samples);
        assert!(samples[0] > 9_900 && samples[159] == 0);
    }
}
