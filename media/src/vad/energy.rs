//! The cheap half of the detector: is there any sound above the line's noise, and is it a bare tone?
use std::{collections::VecDeque, f64::consts::TAU};

/// What the gate looks at, 8 ms: about one period of a low voice.
pub(super) const STEP: usize = 64;
/// Quieter than this nobody speaks; the idle noise of µ-law lies 12 dB lower.
const QUIETEST_SPEECH_DB: f32 = -58.0;
/// Steady noise varies by ±2 dB from step to step; its peaks must stay below the gate.
const ABOVE_NOISE_DB: f32 = 6.0;
/// The floor is the quietest step in this many bins …
const BINS: usize = 6;
/// … of a quarter of a second each: pauses between words show it, steady noise becomes it.
const STEPS_IN_BIN: u32 = 31;
/// No line is as quiet as that.
const NOTHING_DB: f32 = -99.0;
/// So many steps (256 ms) without anything in them tell nothing of the line's noise: a packet was lost, or our echo
/// taken out. What lasts longer is the silence of a machine.
const LONGEST_GAP: u32 = 32;
/// A tone's share of the power; companding noise takes less than a thousandth.
const TONE_SHARE: f64 = 0.99;

/// Mean level relative to full scale, in dB; -100 for digital silence.
pub(super) fn level_db(samples: &[i16]) -> f32 {
    let energy: f32 = samples.iter().map(|sample| f32::from(*sample).powi(2)).sum();
    let mean = energy / samples.len().max(1) as f32 / (32_768.0 * 32_768.0);
    10.0 * mean.max(1e-10).log10()
}

/// Follows the noise floor and opens above it.
#[derive(Debug)]
pub(super) struct Gate {
    /// The quietest step of each finished bin, oldest first.
    bins: VecDeque<f32>,
    quietest: f32,
    steps: u32,
    /// Steps in a row without anything in them.
    nothing: u32,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self { bins: VecDeque::with_capacity(BINS), quietest: f32::MAX, steps: 0, nothing: 0 }
    }

    /// Whether there is sound in this step.
    pub(super) fn opens(&mut self, level_db: f32) -> bool {
        let open = level_db > self.threshold_db();
        self.nothing = if level_db > NOTHING_DB { 0 } else { self.nothing.saturating_add(1) };
        if (1..=LONGEST_GAP).contains(&self.nothing) {
            return open;
        }
        self.quietest = self.quietest.min(level_db);
        self.steps += 1;
        if self.steps == STEPS_IN_BIN {
            if self.bins.len() == BINS {
                self.bins.pop_front();
            }
            self.bins.push_back(self.quietest);
            (self.quietest, self.steps) = (f32::MAX, 0);
        }
        open
    }

    /// The noise floor: the quietest there was of late, and never above what is still to be heard.
    pub(super) fn floor_db(&self) -> f32 {
        let full = self.bins.len() == BINS;
        let floor = self.bins.iter().copied().fold(self.quietest, f32::min);
        let quiet = QUIETEST_SPEECH_DB - ABOVE_NOISE_DB;
        // Before enough has been heard, loud means speech: callers speak into a line that was just picked up.
        if full { floor.max(quiet) } else { quiet }
    }

    fn threshold_db(&self) -> f32 {
        self.floor_db() + ABOVE_NOISE_DB
    }
}

/// How likely a chunk at `level_db` is speech by its height over the floor alone: even at 12 dB.
pub(super) fn likelihood(level_db: f32, floor_db: f32) -> f32 {
    ((level_db - floor_db) / 24.0).clamp(0.0, 1.0)
}

/// Whether `samples` are one or two steady sinusoids (dial tones, ringback, DTMF): nearly all of their power lies in
/// the two strongest lines of the spectrum. A voice has a harmonic every 100 to 300 Hz.
pub(super) fn is_tone(samples: &[i16]) -> bool {
    let mut powers = spectrum(samples);
    let total: f64 = powers.iter().sum();
    let lines = take_strongest(&mut powers) + take_strongest(&mut powers);
    total > 0.0 && lines > TONE_SHARE * total
}

/// Power at each multiple of `8000 / samples.len()` Hz, by Goertzel's recurrence under a Hann window.
fn spectrum(samples: &[i16]) -> Vec<f64> {
    let length = samples.len() as f64;
    let hann = |n: usize| 0.5 - 0.5 * (TAU * n as f64 / length).cos();
    let windowed: Vec<f64> = samples.iter().enumerate().map(|(n, sample)| f64::from(*sample) * hann(n)).collect();
    let power = |bin: usize| {
        let twice = 2.0 * (TAU * bin as f64 / length).cos();
        let (last, before) =
            windowed.iter().fold((0.0, 0.0), |(last, before), sample| (sample + twice * last - before, last));
        last * last + before * before - twice * last * before
    };
    (0..samples.len() / 2).map(power).collect()
}

/// Removes the strongest line, as wide as the window makes it, and tells its power.
fn take_strongest(powers: &mut [f64]) -> f64 {
    let strongest = powers.iter().enumerate().max_by(|left, right| left.1.total_cmp(right.1)).map_or(0, |(bin, _)| bin);
    let end = powers.len().min(strongest + 3);
    powers.get_mut(strongest.saturating_sub(2)..end).map_or(0.0, |line| line.iter_mut().map(std::mem::take).sum())
}
