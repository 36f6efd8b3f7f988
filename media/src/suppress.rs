//! Noise suppression for who listens to the caller: a recurrent network (RNNoise) damps what is not speech. It costs more than
//! all else that is done for a call and does not help every recogniser: media/benches/sound/method.md.
use crate::{
    audio::SampleRate,
    resample::{Error, Resampler},
};
use nnnoiseless::{DenoiseState, FRAME_SIZE};
use std::{fmt, time::Duration};

/// The only rate that the network knows.
const RATE: SampleRate = SampleRate::HZ_48000;

/// Damps the noise in one mono stream, in which all is [`Self::delay`] late.
pub struct Suppressor {
    up: Resampler,
    down: Resampler,
    network: Box<DenoiseState<'static>>,
    /// Not yet a whole frame of the network's, 10 ms.
    waiting: Vec<f32>,
}

impl Suppressor {
    /// One with silence behind it.
    ///
    /// # Errors
    /// A rate that cannot be brought to 48 kHz; those of [`SampleRate`]'s constants all can.
    pub fn new(rate: SampleRate) -> Result<Self, Error> {
        let (up, down) = (Resampler::new(rate, RATE)?, Resampler::new(RATE, rate)?);
        Ok(Self { up, down, network: DenoiseState::new(), waiting: Vec::new() })
    }

    /// How late the output is, beyond what waits for 10 ms to be whole.
    pub fn delay(&self) -> Duration {
        // A frame of the network's overlaps the one before.
        self.up.delay() + RATE.duration_of(FRAME_SIZE) + self.down.delay()
    }

    /// All output that `samples` and what waited before them suffice for.
    pub fn process(&mut self, samples: &[i16]) -> Vec<i16> {
        self.waiting.extend(self.up.process(samples).into_iter().map(f32::from));
        let (mut damped, mut frame) = (Vec::new(), [0.0; FRAME_SIZE]);
        let mut frames = self.waiting.chunks_exact(FRAME_SIZE);
        for noisy in &mut frames {
            let _likelihood_of_speech = self.network.process_frame(&mut frame, noisy);
            // The cast saturates where the network overshoots.
            damped.extend(frame.iter().map(|sample| sample.round() as i16));
        }
        self.waiting = frames.remainder().to_vec();
        self.down.process(&damped)
    }
}

impl fmt::Debug for Suppressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suppressor").field("up", &self.up).field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::speech;

    const RATES: [SampleRate; 3] = [SampleRate::HZ_8000, SampleRate::HZ_16000, SampleRate::HZ_24000];

    fn power(samples: &[i16]) -> f64 {
        samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / samples.len() as f64
    }

    fn decibels(of: f64, to: f64) -> f64 {
        10.0 * (of / to).log10()
    }

    /// White noise, about -40 dBFS.
    fn hiss(count: usize) -> Vec<i16> {
        let mut state = 1_u64;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) as i32 % 500 - 250) as i16
        };
        (0..count).map(next).collect()
    }

    fn suppressed(rate: SampleRate, samples: &[i16]) -> Vec<i16> {
        let mut suppressor = Suppressor::new(rate).unwrap();
        samples
            .chunks(rate.samples_in(Duration::from_millis(20)))
            .flat_map(|packet| suppressor.process(packet))
            .collect()
    }

    #[test]
    fn noise_is_damped_and_nothing_waits_longer_than_a_packet() {
        for rate in RATES {
            let noise = hiss(rate.samples_in(Duration::from_secs(4)));
            let quiet = suppressed(rate, &noise);
            assert_eq!(quiet.len(), noise.len(), "{rate:?}: packets of 20 ms come out as they go in");
            let settled = noise.len() / 2;
            let damped = decibels(power(&noise[settled..]), power(&quiet[settled..]).max(1.0));
            assert!(damped > 10.0, "{rate:?}: {damped:.1} dB");
        }
    }

    #[test]
    fn speech_stays_as_loud_as_it_was_and_comes_as_late_as_is_said() {
        let (rate, clean) = (SampleRate::HZ_8000, speech().swap_remove(0).1);
        let heard = suppressed(rate, &clean);
        let lost = decibels(power(&clean), power(&heard));
        assert!(lost.abs() < 1.5, "{lost:.1} dB");
        let alike = |late: usize| {
            let pairs = clean.iter().zip(heard.iter().skip(late));
            pairs.map(|(clean, heard)| f64::from(*clean) * f64::from(*heard)).sum::<f64>()
        };
        let late = (0..400).max_by(|a, b| alike(*a).total_cmp(&alike(*b))).unwrap();
        let said = rate.samples_in(Suppressor::new(rate).unwrap().delay());
        assert!(late.abs_diff(said) <= 2, "{late} samples late, not {said}");
    }
}
