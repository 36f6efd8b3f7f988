//! One channel of a recording: samples on their way to a block, and what brings them to the recording's rate.
use crate::{
    audio::SampleRate,
    resample::{self, Resampler},
};
use std::collections::VecDeque;

/// Samples from the block that is next on.
#[derive(Debug, Default)]
pub(super) struct Lane {
    waiting: VecDeque<i16>,
    taken: u64,
}

impl Lane {
    /// Where it ends, in frames of the recording.
    pub(super) fn end(&self) -> u64 {
        self.taken + self.waiting.len() as u64
    }

    pub(super) fn push(&mut self, samples: &[i16]) {
        self.waiting.extend(samples);
    }

    /// Silence up to there.
    pub(super) fn pad_to(&mut self, end: u64) {
        let missing = usize::try_from(end.saturating_sub(self.end())).unwrap_or_default();
        self.waiting.extend(std::iter::repeat_n(0, missing));
    }

    /// Ends exactly there.
    pub(super) fn set_end(&mut self, end: u64) {
        self.pad_to(end);
        let length = usize::try_from(end.saturating_sub(self.taken)).unwrap_or_default();
        self.waiting.truncate(length);
    }

    /// What lies before `end`, silence where there is nothing.
    pub(super) fn take_to(&mut self, end: u64) -> Vec<i16> {
        self.pad_to(end);
        let count = usize::try_from(end.saturating_sub(self.taken)).unwrap_or_default().min(self.waiting.len());
        self.taken += count as u64;
        self.waiting.drain(..count).collect()
    }
}

/// A resampler that is not late: its delay is cut from its beginning, and what it still owes is known.
#[derive(Debug)]
pub(super) struct Converter {
    from: SampleRate,
    to: SampleRate,
    /// `None` where both rates are one.
    resampler: Option<Resampler>,
    /// Of its delay, what has not come out yet.
    late: usize,
    taken: u64,
    given: u64,
}

impl Converter {
    /// Nothing to convert.
    pub(super) fn none(rate: SampleRate) -> Self {
        Self { from: rate, to: rate, resampler: None, late: 0, taken: 0, given: 0 }
    }

    pub(super) fn from(&self) -> SampleRate {
        self.from
    }

    /// Takes another rate from here on; what was still inside comes out.
    pub(super) fn change(&mut self, from: SampleRate) -> Result<Vec<i16>, resample::Error> {
        let resampler = if from == self.to { None } else { Some(Resampler::new(from, self.to)?) };
        let rest = self.flush();
        *self = Self { from, resampler, ..Self::none(self.to) };
        self.reset();
        Ok(rest)
    }

    pub(super) fn push(&mut self, samples: &[i16]) -> Vec<i16> {
        let Some(resampler) = &mut self.resampler else { return samples.to_vec() };
        self.taken += samples.len() as u64;
        let converted = resampler.process(samples);
        self.give(converted)
    }

    /// What was taken and has not come out, in samples of the recording's rate.
    pub(super) fn owed(&self) -> u64 {
        let owed = self.taken * u64::from(self.to.hz()) / u64::from(self.from.hz());
        owed.saturating_sub(self.given)
    }

    /// All of it; silence is behind it then.
    pub(super) fn flush(&mut self) -> Vec<i16> {
        let owed = usize::try_from(self.owed()).unwrap_or_default();
        let Some(resampler) = &mut self.resampler else { return Vec::new() };
        let rest = resampler.flush();
        let mut rest = self.give(rest);
        rest.truncate(owed);
        self.reset();
        rest
    }

    fn give(&mut self, mut converted: Vec<i16>) -> Vec<i16> {
        let late = self.late.min(converted.len());
        self.late -= late;
        converted.drain(..late);
        self.given += converted.len() as u64;
        converted
    }

    fn reset(&mut self) {
        self.late = self.resampler.as_ref().map_or(0, |resampler| self.to.samples_in(resampler.delay()));
        (self.taken, self.given) = (0, 0);
    }
}

/// The same sound in `count` samples; for a change of a few percent, by straight lines between its samples.
pub(super) fn stretch(samples: &[i16], count: usize) -> Vec<i16> {
    let (Some(last), true) = (samples.len().checked_sub(1), count > 1) else { return vec![0; count] };
    let step = last as f64 / (count - 1) as f64;
    let at = |index: usize| f64::from(samples.get(index.min(last)).copied().unwrap_or_default());
    let sample = |position: f64| {
        let (whole, part) = (position as usize, position.fract());
        (at(whole) * (1.0 - part) + at(whole + 1) * part).round() as i16
    };
    (0..count).map(|index| sample(index as f64 * step)).collect()
}
