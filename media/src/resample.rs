//! Sample-rate conversion of a stream, any block length in.
use crate::audio::SampleRate;
use audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _, ResamplerConstructionError, WindowFunction};
use std::{collections::VecDeque, fmt, time::Duration};

/// One transform takes this much input: 2.5 ms of delay, flat beyond the telephone band. (The same filter as 20 ms in
/// four sub-chunks, but packets of 10 and 30 ms need not wait for the next.)
const BLOCK: Duration = Duration::from_millis(5);
/// With transforms this short, Hann keeps the band to 3.4 kHz where softer windows cut it.
const WINDOW: WindowFunction = WindowFunction::Hann;
const FULL_SCALE: f32 = 32_768.0;

/// These rates cannot be converted into each other.
#[derive(Debug, thiserror::Error)]
#[error("cannot resample {} Hz to {} Hz: {source}", from.hz(), to.hz())]
pub struct Error {
    from: SampleRate,
    to: SampleRate,
    source: ResamplerConstructionError,
}

/// Converts one mono stream. The first output comes out [`Self::delay`] late, and so does all that follows.
pub struct Resampler {
    from: SampleRate,
    to: SampleRate,
    /// `None` where both rates are one.
    filter: Option<Filter>,
}

struct Filter {
    fft: Fft<f32>,
    /// Not yet a whole block.
    waiting: Vec<f32>,
    output: Vec<f32>,
    taken: u64,
    given: u64,
}

impl Resampler {
    /// A converter with silence behind it.
    ///
    /// # Errors
    /// Rates whose common blocks rubato refuses; those of [`SampleRate`]'s constants all convert.
    pub fn new(from: SampleRate, to: SampleRate) -> Result<Self, Error> {
        let filter = if from == to { None } else { Some(Filter::new(from, to)?) };
        Ok(Self { from, to, filter })
    }

    /// The rate taken.
    pub const fn from(&self) -> SampleRate {
        self.from
    }

    /// The rate given.
    pub const fn to(&self) -> SampleRate {
        self.to
    }

    /// How late the output is, beyond what waits for a whole block.
    pub fn delay(&self) -> Duration {
        self.filter.as_ref().map_or(Duration::ZERO, |filter| self.to.duration_of(filter.fft.output_delay()))
    }

    /// All output that `samples` and what waited before them suffice for.
    pub fn process(&mut self, samples: &[i16]) -> Vec<i16> {
        match &mut self.filter {
            Some(filter) => filter.process(samples),
            None => samples.to_vec(),
        }
    }

    /// Forgets the past: silence is behind it again.
    pub fn reset(&mut self) {
        if let Some(filter) = &mut self.filter {
            filter.reset();
        }
    }

    /// The end of the stream: what is still inside, and then silence is behind it again.
    pub fn flush(&mut self) -> Vec<i16> {
        self.filter.as_mut().map_or_else(Vec::new, |filter| filter.flush(self.from, self.to))
    }
}

impl Filter {
    fn new(from: SampleRate, to: SampleRate) -> Result<Self, Error> {
        let fft = Fft::new_custom(
            from.hz() as usize,
            to.hz() as usize,
            from.samples_in(BLOCK),
            1,
            1,
            WINDOW,
            FixedSync::Input,
        )
        .map_err(|source| Error { from, to, source })?;
        let output = vec![0.0; fft.output_frames_max()];
        Ok(Self { fft, waiting: Vec::new(), output, taken: 0, given: 0 })
    }

    fn process(&mut self, samples: &[i16]) -> Vec<i16> {
        self.taken = self.taken.saturating_add(samples.len() as u64);
        self.waiting.extend(samples.iter().map(|sample| f32::from(*sample) / FULL_SCALE));
        let mut converted = Vec::new();
        let mut used = 0;
        while let Some(block) = self.waiting.get(used..used + self.fft.input_frames_next()) {
            used += block.len();
            let written = convert(&mut self.fft, block, &mut self.output);
            // Rounds, and saturates where the filter rings beyond full scale.
            converted.extend(written.iter().map(|sample| (sample * FULL_SCALE).round() as i16));
        }
        self.waiting.drain(..used);
        self.given = self.given.saturating_add(converted.len() as u64);
        converted
    }

    fn flush(&mut self, from: SampleRate, to: SampleRate) -> Vec<i16> {
        let owed = self.taken * u64::from(to.hz()) / u64::from(from.hz()) + self.fft.output_delay() as u64;
        let missing = owed.saturating_sub(self.given) as usize;
        let mut rest = Vec::new();
        while rest.len() < missing {
            let silence = vec![0; self.fft.input_frames_next()];
            rest.extend(self.process(&silence));
        }
        rest.truncate(missing);
        self.reset();
        rest
    }

    fn reset(&mut self) {
        self.fft.reset();
        self.waiting.clear();
        (self.taken, self.given) = (0, 0);
    }
}

/// Converts one stream whose rate changes. It keeps the filter of each rate it has had, of which codecs have a handful:
/// a peer that goes to and fro between two from packet to packet has each built once.
#[derive(Debug)]
pub struct Tuner {
    current: Resampler,
    others: Vec<Resampler>,
    /// What a filter still held when its rate ended: a filter begins with as much silence, and there it belongs. Where
    /// the rate needs no filter, the last of what came stays here, so that all of the stream is as late.
    held: VecDeque<i16>,
    /// What it held beyond that silence, of a block that was not whole: it comes before all that follows.
    ahead: Vec<i16>,
}

impl Tuner {
    /// As [`Resampler::new`].
    ///
    /// # Errors
    /// As there.
    pub fn new(from: SampleRate, to: SampleRate) -> Result<Self, Error> {
        let (others, held, ahead) = (Vec::new(), VecDeque::new(), Vec::new());
        Ok(Self { current: Resampler::new(from, to)?, others, held, ahead })
    }

    /// The rate taken.
    pub const fn from(&self) -> SampleRate {
        self.current.from()
    }

    /// What follows is of this rate. What is still inside comes out with it.
    ///
    /// # Errors
    /// As in [`Resampler::new`]; then nothing changes.
    pub fn tune(&mut self, from: SampleRate) -> Result<(), Error> {
        if from == self.from() {
            return Ok(());
        }
        let next = match self.others.iter().position(|other| other.from() == from) {
            Some(index) => self.others.swap_remove(index),
            None => Resampler::new(from, self.current.to())?,
        };
        let mut before = std::mem::replace(&mut self.current, next);
        let mut rest = before.flush();
        add(&mut rest, &mut self.held);
        self.held.extend(rest);
        self.others.push(before);
        if let Some(filter) = &self.current.filter {
            let beyond = self.held.len().saturating_sub(filter.fft.output_delay());
            self.ahead.extend(self.held.drain(..beyond));
        }
        Ok(())
    }

    /// As [`Resampler::process`].
    pub fn process(&mut self, samples: &[i16]) -> Vec<i16> {
        let mut output = self.current.process(samples);
        if self.current.filter.is_some() {
            add(&mut output, &mut self.held);
        } else if !self.held.is_empty() {
            self.held.extend(output);
            output = self.held.drain(..samples.len()).collect();
        }
        if self.ahead.is_empty() {
            return output;
        }
        let mut whole = std::mem::take(&mut self.ahead);
        whole.extend(output);
        whole
    }

    /// The stream went on elsewhere: what is still inside is dropped.
    pub fn reset(&mut self) {
        self.current.reset();
        self.held.clear();
        self.ahead.clear();
    }
}

/// Moves the first of `held` into `samples`.
fn add(samples: &mut [i16], held: &mut VecDeque<i16>) {
    let count = held.len().min(samples.len());
    samples.iter_mut().zip(held.drain(..count)).for_each(|(sample, held)| *sample = sample.saturating_add(held));
}

/// One block through the filter.
fn convert<'a>(fft: &mut Fft<f32>, block: &[f32], output: &'a mut [f32]) -> &'a [f32] {
    let frames = output.len();
    let (Ok(input), Ok(mut buffer)) =
        (InterleavedSlice::new(block, 1, block.len()), InterleavedSlice::new_mut(&mut *output, 1, frames))
    else {
        debug_assert!(false, "a slice is as long as itself");
        return &[];
    };
    let result = fft.process_into_buffer(&input, &mut buffer, None);
    debug_assert!(result.is_ok(), "input and output have the lengths rubato asked for: {result:?}");
    result.ok().and_then(|(_, written)| output.get(..written)).unwrap_or_default()
}

impl fmt::Debug for Resampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resampler({} Hz to {} Hz)", self.from.hz(), self.to.hz())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    const RATES: [SampleRate; 4] =
        [SampleRate::HZ_8000, SampleRate::HZ_16000, SampleRate::HZ_24000, SampleRate::HZ_48000];

    fn tone(rate: SampleRate, hz: f64, samples: usize) -> Vec<i16> {
        (0..samples).map(|n| (10_000.0 * (TAU * hz * n as f64 / f64::from(rate.hz())).sin()) as i16).collect()
    }

    /// Amplitude of `hz` in `samples`, by correlation over whole seconds.
    fn amplitude(samples: &[i16], rate: SampleRate, hz: f64) -> f64 {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in samples.iter().enumerate() {
            let angle = TAU * hz * n as f64 / f64::from(rate.hz());
            re += f64::from(*sample) * angle.cos();
            im += f64::from(*sample) * angle.sin();
        }
        2.0 * re.hypot(im) / samples.len() as f64
    }

    fn decibels(ratio: f64) -> f64 {
        20.0 * ratio.log10()
    }

    fn rms(samples: &[i16]) -> f64 {
        (samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / samples.len() as f64).sqrt()
    }

    /// One second from the middle of a converted tone.
    fn converted(from: SampleRate, to: SampleRate, hz: f64) -> Vec<i16> {
        let mut resampler = Resampler::new(from, to).unwrap();
        let output = resampler.process(&tone(from, hz, from.hz() as usize * 3 / 2));
        let start = to.hz() as usize / 5;
        output[start..start + to.hz() as usize].to_vec()
    }

    #[test]
    fn the_telephone_band_keeps_its_level() {
        for from in RATES {
            for to in RATES {
                for (hz, tolerance) in [(307.0, 0.1), (1_000.0, 0.1), (3_001.0, 0.1), (3_400.0, 0.5)] {
                    let gain = decibels(amplitude(&converted(from, to, hz), to, hz) / 10_000.0);
                    assert!(gain.abs() < tolerance, "{from:?} to {to:?}: {gain:.2} dB at {hz} Hz");
                }
            }
        }
    }

    #[test]
    fn nothing_but_the_tone() {
        for (from, to) in RATES.iter().flat_map(|from| RATES.iter().map(move |to| (*from, *to))) {
            let output = converted(from, to, 1_003.0);
            let tone = amplitude(&output, to, 1_003.0) / 2f64.sqrt();
            let rest = (rms(&output).powi(2) - tone.powi(2)).max(0.0).sqrt();
            assert!(decibels(rest / tone) < -55.0, "{from:?} to {to:?}: {:.1} dB", decibels(rest / tone));
        }
    }

    #[test]
    fn what_does_not_fit_is_cut_and_not_folded_back() {
        let to = SampleRate::HZ_8000;
        for from in [SampleRate::HZ_16000, SampleRate::HZ_24000, SampleRate::HZ_48000] {
            for hz in [4_700.0, 5_500.0, 7_000.0] {
                let level = decibels(rms(&converted(from, to, hz)) / (10_000.0 / 2f64.sqrt()));
                assert!(level < -60.0, "{from:?}: {hz} Hz comes back at {level:.1} dB");
            }
        }
    }

    #[test]
    fn block_lengths_do_not_matter() {
        for (from, to) in RATES.iter().flat_map(|from| RATES.iter().map(move |to| (*from, *to))) {
            let input = tone(from, 440.0, 9_999);
            let mut whole = Resampler::new(from, to).unwrap();
            let mut expected = whole.process(&input);
            expected.extend(whole.flush());
            let mut pieces = Resampler::new(from, to).unwrap();
            let mut output = Vec::new();
            let mut rest = input.as_slice();
            for length in (1..).map(|n| (n * 37) % 331) {
                let (piece, after) = rest.split_at(length.min(rest.len()));
                output.extend(pieces.process(piece));
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            output.extend(pieces.flush());
            assert_eq!(output, expected, "{from:?} to {to:?}");
            let exact = 9_999 * to.hz() as usize / from.hz() as usize + to.samples_in(whole.delay());
            assert!(output.len().abs_diff(exact) <= 1, "{from:?} to {to:?}: {} samples, not {exact}", output.len());
        }
    }

    #[test]
    fn twenty_milliseconds_never_wait() {
        let mut resampler = Resampler::new(SampleRate::HZ_8000, SampleRate::HZ_24000).unwrap();
        assert_eq!(resampler.delay(), Duration::from_micros(2_500));
        for _ in 0..50 {
            assert_eq!(resampler.process(&[7; 160]).len(), 480);
        }
    }

    #[test]
    fn a_flushed_stream_starts_afresh() {
        let mut resampler = Resampler::new(SampleRate::HZ_24000, SampleRate::HZ_8000).unwrap();
        let mut first = resampler.process(&tone(SampleRate::HZ_24000, 500.0, 2_500));
        first.extend(resampler.flush());
        let mut second = resampler.process(&tone(SampleRate::HZ_24000, 500.0, 2_500));
        second.extend(resampler.flush());
        assert_eq!(first, second);
        assert!(resampler.flush().iter().all(|sample| *sample == 0), "nothing is left but silence");
    }

    /// A filter's last 2.5 ms are in it when the rate changes.
    #[test]
    fn a_rate_that_changes_with_every_packet_leaves_no_gaps() {
        let [narrow, wide] = [SampleRate::HZ_8000, SampleRate::HZ_16000];
        for to in RATES {
            let mut tuner = Tuner::new(narrow, to).unwrap();
            let (mut output, [low, high]) =
                (Vec::new(), [narrow, wide].map(|rate| tone(rate, 437.0, rate.hz() as usize)));
            for n in 0..50 {
                let (from, samples) = if n % 3 == 0 { (narrow, &low) } else { (wide, &high) };
                tuner.tune(from).unwrap();
                let packet = from.samples_in(Duration::from_millis(20));
                let converted = tuner.process(&samples[n * packet..(n + 1) * packet]);
                assert_eq!(converted.len(), to.samples_in(Duration::from_millis(20)), "{to:?}");
                output.extend(converted);
            }
            let late = to.samples_in(Duration::from_micros(2_500));
            let expected = tone(to, 437.0, output.len());
            // From the second packet on: what is said at the rate wanted waits for nothing before the first change.
            let begin = to.samples_in(Duration::from_millis(25));
            let error: Vec<i16> = (begin..output.len()).map(|n| output[n] - expected[n - late]).collect();
            assert!(decibels(rms(&error) / rms(&expected)) < -25.0, "{to:?}: {:.0}", rms(&error));
        }
    }

    /// What waits for a whole block when the rate changes comes before what follows, and not over it.
    #[test]
    fn a_rate_that_changes_within_a_block_overlaps_nothing() {
        let [narrow, wide] = [SampleRate::HZ_8000, SampleRate::HZ_16000];
        for to in RATES {
            let mut tuner = Tuner::new(narrow, to).unwrap();
            let (mut output, [low, high]) =
                (Vec::new(), [narrow, wide].map(|rate| tone(rate, 437.0, rate.hz() as usize)));
            for n in 0..30 {
                let (from, samples) = if n % 3 == 0 { (narrow, &low) } else { (wide, &high) };
                tuner.tune(from).unwrap();
                let packet = from.samples_in(Duration::from_millis(33));
                output.extend(tuner.process(&samples[n * packet..(n + 1) * packet]));
            }
            let inside = to.samples_in(Duration::from_millis(990)).saturating_sub(output.len());
            assert!(inside <= to.samples_in(Duration::from_millis(8)), "{to:?}: {inside} samples are missing");
            let late = to.samples_in(Duration::from_micros(2_500));
            let expected = tone(to, 437.0, output.len());
            let begin = to.samples_in(Duration::from_millis(40));
            let error: Vec<i16> = (begin..output.len()).map(|n| output[n] - expected[n - late]).collect();
            assert!(decibels(rms(&error) / rms(&expected)) < -25.0, "{to:?}: {:.0}", rms(&error));
        }
    }

    #[test]
    fn full_scale_does_not_wrap() {
        let square: Vec<i16> = (0..8_000).map(|n| if n / 20 % 2 == 0 { i16::MAX } else { i16::MIN }).collect();
        let output = Resampler::new(SampleRate::HZ_8000, SampleRate::HZ_24000).unwrap().process(&square);
        let jumps = output.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) > 40_000).count();
        assert_eq!(jumps, 0, "a square wave's edge is spread over several samples");
    }
}
