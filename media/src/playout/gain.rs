//! Volume that fades and never jumps.
use std::time::Duration;

use crate::audio::SampleRate;

/// −18 dB: the assistant under a caller who may be interrupting.
const DUCKED: f32 = 0.126;
/// From full to ducked volume and back.
const FADE: Duration = Duration::from_millis(30);

/// The volume of the assistant. Between its two ends it follows half a cosine, whose slope is zero at both: a straight
/// ramp has corners, and corners are heard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gain {
    /// How far it is on its way down: 0 full, 1 ducked.
    depth: f32,
    ducked: bool,
}

impl Gain {
    pub(super) const FULL: Self = Self { depth: 0.0, ducked: false };

    pub(super) fn duck(&mut self) {
        self.ducked = true;
    }

    pub(super) fn unduck(&mut self) {
        self.ducked = false;
    }

    /// Whether samples may pass untouched.
    pub(super) fn is_full(self) -> bool {
        self.depth <= 0.0 && !self.ducked
    }

    pub(super) fn apply(&mut self, samples: &mut [i16], rate: SampleRate) {
        let step = 1.0 / rate.samples_in(FADE).max(1) as f32;
        for sample in samples {
            let moved = if self.ducked { self.depth + step } else { self.depth - step };
            self.depth = moved.clamp(0.0, 1.0);
            *sample = (f32::from(*sample) * self.volume()) as i16;
        }
    }

    /// From the volume of the moment to nothing within `samples`.
    pub(super) fn fade_out(self, samples: &mut [i16]) {
        let length = samples.len().max(1) as f32;
        for (n, sample) in samples.iter_mut().enumerate() {
            let left = 1.0 - half_cosine((n as f32 + 1.0) / length);
            *sample = (f32::from(*sample) * self.volume() * left) as i16;
        }
    }

    fn volume(self) -> f32 {
        1.0 - (1.0 - DUCKED) * half_cosine(self.depth)
    }
}

/// From 0 to 1, without corners.
fn half_cosine(way: f32) -> f32 {
    (1.0 - (way * std::f32::consts::PI).cos()) / 2.0
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
        assert!(samples.windows(2).all(|w| w[0] - w[1] <= 60 && w[0] >= w[1]));
        // No corner where it begins and where it ends: the slope changes little from sample to sample.
        let bends = samples.windows(3).map(|w| (i32::from(w[0]) - 2 * i32::from(w[1]) + i32::from(w[2])).abs());
        assert!(bends.max().unwrap() <= 2);
        assert!((1_200..1_300).contains(&samples[319]), "{}", samples[319]);
        gain.unduck();
        let mut samples = [10_000_i16; 320];
        gain.apply(&mut samples, SampleRate::HZ_8000);
        assert_eq!(samples[319], 10_000);
        assert!(gain.is_full());
    }

    #[test]
    fn a_turn_half_way_does_not_jump() {
        let (mut gain, mut samples) = (Gain::FULL, [10_000_i16; 320]);
        gain.duck();
        gain.apply(&mut samples[..100], SampleRate::HZ_8000);
        gain.unduck();
        gain.apply(&mut samples[100..], SampleRate::HZ_8000);
        assert!(samples.windows(2).all(|w| w[0].abs_diff(w[1]) <= 60));
        assert_eq!((samples[319], gain.is_full()), (10_000, true));
    }

    #[test]
    fn a_cut_ends_in_silence() {
        let mut samples = [10_000_i16; 160];
        Gain::FULL.fade_out(&mut samples);
        assert!(samples[0] > 9_900 && samples[159] == 0);
    }
}
