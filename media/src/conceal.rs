//! Concealment of missing audio by repeating the pitch, in the class of ITU-T G.711 Appendix I.
//!
//! The last pitch period is repeated, its seam overlapped and added, and fades to silence over 60 ms. The first good
//! frame is cross-faded with the repetition. Unlike Appendix I the output is not delayed by 3.75 ms for an overlap at
//! the start: the listener is a recogniser, and the repeated period continues the waveform one period on.
use crate::audio::SampleRate;

/// Voices from 66 Hz to 200 Hz.
const LONGEST_PITCH_US: u64 = 15_000;
const SHORTEST_PITCH_US: u64 = 5_000;
/// What two candidate periods are compared over (Appendix I: 20 ms).
const COMPARED_US: u64 = 20_000;
/// Full volume for so long, then a linear fade to nothing (Appendix I: 10 ms, and silence after 60 ms).
const HELD_US: u64 = 10_000;
const SILENT_US: u64 = 60_000;
/// The cross-fade into the first good frame.
const RECOVERY_US: u64 = 4_000;

/// The recent past of one stream, and what it would have gone on as.
#[derive(Clone, Debug)]
pub struct Concealer {
    rate: SampleRate,
    history: Vec<i16>,
    erasure: Option<Erasure>,
}

#[derive(Clone, Debug)]
struct Erasure {
    /// One pitch period whose end runs smoothly into its start.
    period: Vec<i16>,
    /// Samples made of it so far.
    made: usize,
}

impl Concealer {
    /// For a stream of `rate`.
    pub fn new(rate: SampleRate) -> Self {
        Self { rate, history: Vec::new(), erasure: None }
    }

    /// Takes a frame that arrived. Its first 4 ms are cross-faded when audio before it was concealed; otherwise it is
    /// left untouched. True if it was changed.
    pub fn accept(&mut self, samples: &mut [i16]) -> bool {
        let faded = match self.erasure.take() {
            Some(erasure) => self.recover(erasure, samples),
            None => false,
        };
        self.remember(samples);
        faded
    }

    /// Makes `count` samples up.
    pub fn conceal(&mut self, count: usize) -> Vec<i16> {
        let mut erasure = match self.erasure.take() {
            Some(erasure) => erasure,
            None => Erasure { period: self.last_period(), made: 0 },
        };
        let samples = (0..count).map(|_| self.continuation(&mut erasure)).collect();
        self.erasure = Some(erasure);
        samples
    }

    /// Forgets the past: what follows has nothing to do with it.
    pub fn reset(&mut self) {
        self.history.clear();
        self.erasure = None;
    }

    fn recover(&self, mut erasure: Erasure, samples: &mut [i16]) -> bool {
        let length = self.samples_in(RECOVERY_US).min(samples.len());
        for (n, sample) in samples.iter_mut().take(length).enumerate() {
            let made = i64::from(self.continuation(&mut erasure));
            let good = i64::from(*sample);
            let (done, all) = (n as i64 + 1, length as i64 + 1);
            *sample = saturate((made * (all - done) + good * done) / all);
        }
        length > 0
    }

    fn continuation(&self, erasure: &mut Erasure) -> i16 {
        let made = erasure.made;
        erasure.made = made.saturating_add(1);
        let index = made.checked_rem(erasure.period.len()).unwrap_or(0);
        let sample = erasure.period.get(index).copied().unwrap_or(0);
        let (held, silent) = (self.samples_in(HELD_US), self.samples_in(SILENT_US));
        if made < held {
            return sample;
        }
        let left = silent.saturating_sub(made) as i64;
        saturate(i64::from(sample) * left / (silent - held).max(1) as i64)
    }

    /// The last pitch period, its last quarter blended into what came a period earlier so that it repeats without a
    /// seam.
    fn last_period(&self) -> Vec<i16> {
        let Some(pitch) = self.pitch() else { return Vec::new() };
        let start = self.history.len().saturating_sub(pitch);
        let mut period = self.history.get(start..).unwrap_or_default().to_vec();
        let overlap = pitch / 4;
        let earlier = self.history.get(start.saturating_sub(overlap)..start).unwrap_or_default().iter();
        let tail = pitch.saturating_sub(overlap);
        for (n, (sample, earlier)) in period.iter_mut().skip(tail).zip(earlier).enumerate() {
            let (done, all) = (n as i64 + 1, overlap as i64 + 1);
            *sample = saturate((i64::from(*sample) * (all - done) + i64::from(*earlier) * done) / all);
        }
        period
    }

    /// The lag at which the past resembles itself most, by normalised cross-correlation. `None` with too little past.
    fn pitch(&self) -> Option<usize> {
        let compared = self.samples_in(COMPARED_US);
        let (shortest, longest) = (self.samples_in(SHORTEST_PITCH_US), self.samples_in(LONGEST_PITCH_US));
        let template = self.history.get(self.history.len().checked_sub(compared)?..)?;
        let mut best = None;
        for lag in shortest..=longest {
            let Some(start) = self.history.len().checked_sub(compared + lag) else { break };
            let candidate = self.history.get(start..start + compared)?;
            let score = resemblance(template, candidate);
            if best.is_none_or(|(highest, _)| score > highest) {
                best = Some((score, lag));
            }
        }
        best.map(|(_, lag)| lag)
    }

    fn remember(&mut self, samples: &[i16]) {
        self.history.extend_from_slice(samples);
        let kept = self.samples_in(COMPARED_US + LONGEST_PITCH_US + LONGEST_PITCH_US / 4);
        let surplus = self.history.len().saturating_sub(kept);
        self.history.drain(..surplus);
    }

    fn samples_in(&self, micros: u64) -> usize {
        self.rate.samples_in(std::time::Duration::from_micros(micros))
    }
}

/// Cross-correlation over the candidate's magnitude: higher is more alike.
fn resemblance(template: &[i16], candidate: &[i16]) -> f64 {
    let (mut product, mut energy) = (0_i64, 0_i64);
    for (a, b) in template.iter().zip(candidate) {
        let (a, b) = (i64::from(*a), i64::from(*b));
        product += a * b;
        energy += b * b;
    }
    product as f64 / (energy.max(1) as f64).sqrt()
}

fn saturate(sample: i64) -> i16 {
    sample.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f64, from: usize, count: usize) -> Vec<i16> {
        let at = |n: usize| (n as f64 * hz * std::f64::consts::TAU / 8_000.0).sin() * 8_000.0;
        (from..from + count).map(|n| at(n) as i16).collect()
    }

    fn power(samples: &[i16]) -> f64 {
        samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len().max(1) as f64
    }

    fn primed(hz: f64) -> Concealer {
        let mut concealer = Concealer::new(SampleRate::HZ_8000);
        for n in 0..5 {
            assert!(!concealer.accept(&mut tone(hz, n * 160, 160)));
        }
        concealer
    }

    #[test]
    fn a_periodic_sound_goes_on_as_it_was_for_ten_milliseconds() {
        for hz in [80.0, 100.0, 125.0, 180.0] {
            let made = primed(hz).conceal(80);
            let truth = tone(hz, 800, 80);
            let error: Vec<i16> = made.iter().zip(&truth).map(|(a, b)| a.saturating_sub(*b)).collect();
            assert!(power(&error) < power(&truth) / 20.0, "{hz} Hz: {} of {}", power(&error), power(&truth));
        }
    }

    #[test]
    fn it_fades_to_silence_over_sixty_milliseconds() {
        let mut concealer = primed(100.0);
        let frames: Vec<f64> = (0..5).map(|_| power(&concealer.conceal(160))).collect();
        assert!(frames[0] > frames[1] && frames[1] > frames[2], "{frames:?}");
        assert_eq!(frames[3..], [0.0, 0.0]);
    }

    #[test]
    fn the_first_good_frame_is_cross_faded_and_the_next_untouched() {
        let mut concealer = primed(100.0);
        concealer.conceal(160);
        let mut loud = vec![20_000_i16; 160];
        assert!(concealer.accept(&mut loud));
        assert!(loud[0] < 10_000 && loud[32..].iter().all(|s| *s == 20_000), "{:?}", &loud[..34]);
        assert!(!concealer.accept(&mut loud));
    }

    #[test]
    fn without_a_past_there_is_only_silence() {
        let mut concealer = Concealer::new(SampleRate::HZ_16000);
        assert_eq!(concealer.conceal(320), [0; 320]);
        concealer.accept(&mut [9; 10]);
        concealer.reset();
        assert_eq!(concealer.conceal(3), [0; 3]);
    }

    #[test]
    fn any_frame_length_and_extreme_samples_are_survived() {
        let mut concealer = Concealer::new(SampleRate::HZ_8000);
        for length in [0, 1, 7, 80, 479, 480, 5_000] {
            concealer.accept(&mut vec![i16::MIN; length]);
            assert_eq!(concealer.conceal(length).len(), length);
        }
    }
}
