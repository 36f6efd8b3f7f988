//! Concealment of missing audio by repeating the pitch, in the class of ITU-T G.711 Appendix I.
//!
//! The last pitch period is repeated, after 20 ms the last two and after 40 ms the last three, so that a long erasure does
//! not buzz; seams are overlapped and added, and all of it fades to silence from 40 to 160 ms. The first good frame is
//! cross-faded with the repetition. Appendix I is twice as quick with the periods and fades from 10 to 60 ms, which takes
//! the voice out of the middle of every burst. Unlike it, too, the output is not delayed by 3.75 ms for an overlap at the
//! start: the listener is a recogniser, and the repeated period continues the waveform one period on.
use crate::audio::SampleRate;
use std::{collections::VecDeque, time::Duration};

/// Voices from 66 Hz to 200 Hz; of higher ones several periods at once.
const LONGEST_PITCH_US: u64 = 15_000;
const SHORTEST_PITCH_US: u64 = 5_000;
/// What two candidate periods are compared over (Appendix I: 20 ms).
const COMPARED_US: u64 = 20_000;
/// The search looks at every sample of 4 kHz first, then at all around the best.
const COARSE_HZ: u32 = 4_000;
/// Below this resemblance there is no pitch: noise is repeated with the longest period, at which it sounds least like a
/// tone.
const VOICED: f64 = 0.4;
/// So much later another period joins those that are repeated, up to three.
const PERIOD_US: u64 = 20_000;
const MOST_PERIODS: usize = 3;
/// Full volume for so long, then a linear fade to nothing.
const HELD_US: u64 = 40_000;
const SILENT_US: u64 = 160_000;
/// After so long there is nothing left of it.
pub(crate) const FADED: Duration = Duration::from_micros(SILENT_US);
/// The cross-fade into the first good frame, longer by as much for every 20 ms that were missing, up to 10 ms.
const RECOVERY_US: u64 = 4_000;
const LONGEST_RECOVERY_US: u64 = 10_000;

/// The recent past of one stream, and what it would have gone on as.
#[derive(Clone, Debug)]
pub struct Concealer {
    rate: SampleRate,
    history: VecDeque<i16>,
    erasure: Option<Erasure>,
}

#[derive(Clone, Debug)]
struct Erasure {
    /// One pitch period.
    pitch: usize,
    /// The last period, the last two, the last three: the end of each runs smoothly into its start.
    loops: Vec<Vec<i16>>,
    /// Samples made of it so far.
    made: usize,
}

impl Concealer {
    /// For a stream of `rate`.
    pub fn new(rate: SampleRate) -> Self {
        Self { rate, history: VecDeque::new(), erasure: None }
    }

    /// Takes a frame that arrived. Its first 4 to 10 ms are cross-faded when audio before it was concealed; otherwise it
    /// is left untouched. True if it was changed.
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
            None => self.begin(),
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
        let missing = self.rate.duration_of(erasure.made).as_micros() as u64;
        let later = missing.saturating_sub(1) / PERIOD_US;
        let micros = RECOVERY_US.saturating_mul(later.saturating_add(1)).min(LONGEST_RECOVERY_US);
        let length = self.samples_in(micros).min(samples.len());
        for (n, sample) in samples.iter_mut().take(length).enumerate() {
            let made = self.continuation(&mut erasure);
            *sample = cross_fade(made, *sample, n, length);
        }
        length > 0
    }

    fn continuation(&self, erasure: &mut Erasure) -> i16 {
        let made = erasure.made;
        erasure.made = made.saturating_add(1);
        let (held, silent) = (self.samples_in(HELD_US), self.samples_in(SILENT_US));
        let Some(left) = silent.checked_sub(made) else { return 0 };
        let sample = erasure.sample(made, self.samples_in(PERIOD_US));
        if made < held {
            return sample;
        }
        saturate(i64::from(sample) * left as i64 / (silent - held).max(1) as i64)
    }

    fn begin(&mut self) -> Erasure {
        self.history.make_contiguous();
        let pitch = self.pitch().unwrap_or(0);
        let loops = (1..=MOST_PERIODS).map_while(|periods| self.last_periods(pitch, periods)).collect();
        Erasure { pitch, loops, made: 0 }
    }

    /// What came before an erasure that begins.
    fn past(&self) -> &[i16] {
        self.history.as_slices().0
    }

    /// The last so many pitch periods, the last quarter period blended into what came before their start so that they
    /// repeat without a seam. `None` with too little past.
    fn last_periods(&self, pitch: usize, periods: usize) -> Option<Vec<i16>> {
        let length = pitch.checked_mul(periods).filter(|length| *length > 0)?;
        let (past, overlap) = (self.past(), pitch / 4);
        let start = past.len().checked_sub(length)?;
        let mut repeated = past.get(start..)?.to_vec();
        let earlier = past.get(start.saturating_sub(overlap)..start)?;
        for (n, (sample, earlier)) in repeated.iter_mut().skip(length - overlap).zip(earlier).enumerate() {
            *sample = cross_fade(*sample, *earlier, n, overlap);
        }
        Some(repeated)
    }

    /// The lag at which the past resembles itself most. `None` with too little past.
    fn pitch(&self) -> Option<usize> {
        let (shortest, longest) = (self.samples_in(SHORTEST_PITCH_US), self.samples_in(LONGEST_PITCH_US));
        let step = (self.rate.hz() / COARSE_HZ).max(1) as usize;
        let (_, near) = self.best_lag((shortest..=longest).step_by(step), step)?;
        let around = near.saturating_sub(step - 1).max(shortest)..=near.saturating_add(step - 1).min(longest);
        let (score, lag) = self.best_lag(around, 1)?;
        Some(if score < VOICED { longest } else { lag })
    }

    /// The best of these lags, comparing every `step`th sample.
    fn best_lag(&self, lags: impl Iterator<Item = usize>, step: usize) -> Option<(f64, usize)> {
        let (past, compared) = (self.past(), self.samples_in(COMPARED_US));
        let template = past.get(past.len().checked_sub(compared)?..)?;
        let scored = lags.map_while(|lag| {
            let start = past.len().checked_sub(compared + lag)?;
            let candidate = past.get(start..start + compared)?;
            Some((resemblance(template, candidate, step), lag))
        });
        scored.max_by(|(a, _), (b, _)| a.total_cmp(b))
    }

    fn remember(&mut self, samples: &[i16]) {
        self.history.extend(samples);
        let kept = self.samples_in(LONGEST_PITCH_US * MOST_PERIODS as u64 + LONGEST_PITCH_US / 4);
        self.history.drain(..self.history.len().saturating_sub(kept));
    }

    fn samples_in(&self, micros: u64) -> usize {
        self.rate.samples_in(Duration::from_micros(micros))
    }
}

impl Erasure {
    /// The sample this far into the erasure, before any fade. Where another period joins, it does so in phase and within
    /// a quarter of a period.
    fn sample(&self, made: usize, every: usize) -> i16 {
        let joined = (made / every.max(1)).min(MOST_PERIODS - 1);
        let after = made - joined * every;
        let current = self.of(joined, made);
        let overlap = self.pitch / 4;
        if joined == 0 || after >= overlap {
            return current;
        }
        cross_fade(self.of(joined - 1, made), current, after, overlap)
    }

    fn of(&self, joined: usize, made: usize) -> i16 {
        let Some(repeated) = self.loops.get(joined).or(self.loops.last()) else { return 0 };
        let index = made.checked_rem(repeated.len()).unwrap_or(0);
        repeated.get(index).copied().unwrap_or(0)
    }
}

/// Normalised cross-correlation over every `step`th sample: 1 for the same shape, whatever its loudness.
fn resemblance(template: &[i16], candidate: &[i16], step: usize) -> f64 {
    let (mut product, mut energies) = (0_i64, (0_i64, 0_i64));
    for (a, b) in template.iter().zip(candidate).step_by(step) {
        let (a, b) = (i64::from(*a), i64::from(*b));
        product += a * b;
        energies = (energies.0 + a * a, energies.1 + b * b);
    }
    product as f64 / (energies.0.max(1) as f64 * energies.1.max(1) as f64).sqrt()
}

/// The `n`th sample of so many on the way from one signal to another.
fn cross_fade(from: i16, to: i16, n: usize, length: usize) -> i16 {
    let (done, all) = (n as i64 + 1, length as i64 + 1);
    saturate((i64::from(from) * (all - done) + i64::from(to) * done) / all)
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
    fn a_burst_of_two_keeps_its_voice_and_what_is_longer_fades() {
        let mut concealer = primed(100.0);
        let frames: Vec<f64> = (0..10).map(|_| power(&concealer.conceal(160))).collect();
        let before = power(&tone(100.0, 0, 160));
        assert!(frames[..2].iter().all(|frame| *frame > before * 0.9), "{before}: {frames:?}");
        assert!(frames[1..8].is_sorted_by(|one, next| one > next), "{frames:?}");
        assert_eq!(frames[8..], [0.0, 0.0]);
    }

    #[test]
    fn the_first_good_frame_is_cross_faded_and_the_next_untouched() {
        let mut concealer = primed(100.0);
        concealer.conceal(160);
        let mut loud = vec![20_000_i16; 160];
        assert!(concealer.accept(&mut loud));
        assert!(loud[0] < 10_000 && loud[31] < 20_000, "{:?}", &loud[..32]);
        assert!(loud[32..].iter().all(|s| *s == 20_000), "20 ms were missing: 4 ms are faded");
        assert!(!concealer.accept(&mut loud));
    }

    /// A step in what is heard is a click: none may be larger than the voice's own, times what a seam costs.
    #[test]
    fn seams_do_not_click() {
        for hz in [70.0, 110.0, 190.0, 310.0] {
            let mut concealer = primed(hz);
            let before = tone(hz, 799, 1);
            let mut heard = concealer.conceal(480);
            let mut good = tone(hz, 1_297, 160);
            concealer.accept(&mut good);
            heard.extend(good);
            let steps = before.iter().chain(&heard).zip(&heard).map(|(a, b)| a.abs_diff(*b));
            let own = 8_000.0 * hz * std::f64::consts::TAU / 8_000.0;
            let most = steps.max().unwrap_or_default();
            assert!(f64::from(most) < own * 2.0, "{hz} Hz: a step of {most}, the tone's own are {own:.0}");
        }
    }

    /// Noise that is repeated at the pace of a pitch is heard as a tone of that pitch.
    #[test]
    fn noise_is_repeated_with_a_long_period() {
        let mut random = crate::testing::Random::new(5);
        let mut concealer = Concealer::new(SampleRate::HZ_8000);
        let mut noise: Vec<i16> = (0..800).map(|_| random.below(4_000) as i16 - 2_000).collect();
        concealer.accept(&mut noise);
        assert_eq!(concealer.pitch(), Some(120));
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
