//! Volume that fades and never jumps.
use std::time::Duration;

use crate::audio::SampleRate;

/// −18 dB: the assistant under a caller who may be interrupting.
const DUCKED: f32 = 0.126;
/// From one volume to another.
const FADE: Duration = Duration::from_millis(30);

/// The volume of the assistant. From one to another it follows half a cosine, whose slope is zero at both ends: a
/// straight ramp has corners, and corners are heard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gain {
    from: f32,
    to: f32,
    /// How far it is: 0 to 1.
    way: f32,
}

impl Gain {
    pub(super) const FULL: Self = Self { from: 1.0, to: 1.0, way: 1.0 };

    pub(super) fn duck(&mut self) {
        self.go_to(DUCKED);
    }

    pub(super) fn unduck(&mut self) {
        self.go_to(1.0);
    }

    /// What follows comes out of silence, or of a fade that has left so much.
    pub(super) fn rise(&mut self, left: f32) {
        *self = Self { from: left * self.volume(), to: self.to, way: 0.0 };
    }

    fn go_to(&mut self, to: f32) {
        if self.to != to {
            *self = Self { from: self.volume(), to, way: 0.0 };
        }
    }

    /// Whether samples may pass untouched.
    pub(super) fn is_full(self) -> bool {
        self.way >= 1.0 && self.to >= 1.0
    }

    pub(super) fn apply(&mut self, samples: &mut [i16], rate: SampleRate) {
        let step = 1.0 / rate.samples_in(FADE).max(1) as f32;
        for sample in samples {
            self.way = (self.way + step).min(1.0);
            *sample = (f32::from(*sample) * self.volume()) as i16;
        }
    }

    /// At the volume of the moment.
    pub(super) fn hold(self, samples: &mut [i16]) {
        for sample in samples {
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
        self.from + (self.to - self.from) * half_cosine(self.way)
    }
}

/// Samples of which the last that comes is `to_end` after the start of these: those within the last `length` fade to
/// nothing.
pub(super) fn fade_to_end(samples: &mut [i16], to_end: usize, length: usize) {
    for (n, sample) in samples.iter_mut().enumerate() {
        let left = to_end.saturating_sub(n + 1);
        if left < length {
            *sample = (f32::from(*sample) * half_cosine(left as f32 / length as f32)) as i16;
        }
    }
}

/// From 0 to 1, without corners.
pub(super) fn half_cosine(way: f32) -> f32 {
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
        let (mut gain, mut samples) = (Gain::FULL, [10_000_i16; 400]);
        gain.duck();
        gain.apply(&mut samples[..100], SampleRate::HZ_8000);
        gain.unduck();
        gain.apply(&mut samples[100..], SampleRate::HZ_8000);
        assert!(samples.windows(2).all(|w| w[0].abs_diff(w[1]) <= 60));
        assert_eq!((samples[399], gain.is_full()), (10_000, true));
    }

    #[test]
    fn a_cut_ends_in_silence() {
        let mut samples = [10_000_i16; 160];
        Gain::FULL.fade_out(&mut samples);
        assert!(samples[0] > 9_900 && samples[159] == 0);
    }
}
