//! The tones themselves (ITU-T Q.23), for peers that take nothing else.
use std::f64::consts::TAU;

use crate::audio::SampleRate;

pub(super) const LOW_HZ: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
pub(super) const HIGH_HZ: [f64; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];
pub(super) const KEYS: [&str; 4] = ["123A", "456B", "789C", "*0#D"];
/// Each of the two tones at about −9 dBm0.
const AMPLITUDE: f64 = 8_000.0;

/// `count` samples of a digit's tone pair, `from` samples into it, so that frames join without a click. Silence for
/// what is no digit.
pub fn tone(digit: char, rate: SampleRate, from: usize, count: usize) -> Vec<i16> {
    let digit = digit.to_ascii_uppercase();
    let pair = KEYS.iter().zip(LOW_HZ).find_map(|(row, low)| Some((low, *HIGH_HZ.get(row.find(digit)?)?)));
    let Some((low, high)) = pair else { return vec![0; count] };
    let sample = |n: usize| {
        let at = n as f64 / f64::from(rate.hz());
        ((TAU * low * at).sin() + (TAU * high * at).sin()) * AMPLITUDE
    };
    (from..from + count).map(|n| sample(n) as i16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Power of one frequency (Goertzel).
    fn power_at(samples: &[i16], hz: f64) -> f64 {
        let coefficient = 2.0 * (TAU * hz / 8_000.0).cos();
        let (mut one, mut two) = (0.0, 0.0);
        for sample in samples {
            (one, two) = (f64::from(*sample) + coefficient * one - two, one);
        }
        one * one + two * two - coefficient * one * two
    }

    #[test]
    fn each_key_sounds_its_row_and_column() {
        for (digit, low, high) in [('1', 697.0, 1_209.0), ('0', 941.0, 1_336.0), ('d', 941.0, 1_633.0)] {
            let samples = tone(digit, SampleRate::HZ_8000, 0, 800);
            let strongest = |all: [f64; 4]| {
                all.into_iter().max_by(|a, b| power_at(&samples, *a).total_cmp(&power_at(&samples, *b)))
            };
            assert_eq!((strongest(LOW_HZ), strongest(HIGH_HZ)), (Some(low), Some(high)), "{digit}");
        }
        assert_eq!(tone('x', SampleRate::HZ_8000, 0, 2), [0, 0]);
    }
}
