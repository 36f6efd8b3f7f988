//! What each conversion of rates keeps, rejects, delays and costs; the server's filter beside two others of rubato.
use crate::Result;
use audioadapter_buffers::direct::InterleavedSlice;
use media::{SampleRate, resample};
use rubato::{
    Async, Fft, FixedAsync, FixedSync, Resampler, SincInterpolationParameters, SincInterpolationType, WindowFunction,
};
use std::{
    f64::consts::TAU,
    time::{Duration, Instant},
};

/// Every pair between a codec, a provider, the detector and a recording.
pub(crate) const PAIRS: [(u32, u32); 12] = [
    (8_000, 16_000),
    (8_000, 24_000),
    (8_000, 48_000),
    (16_000, 8_000),
    (16_000, 24_000),
    (16_000, 48_000),
    (24_000, 8_000),
    (24_000, 16_000),
    (24_000, 48_000),
    (48_000, 8_000),
    (48_000, 16_000),
    (48_000, 24_000),
];
const LEVEL: f64 = 10_000.0;
const ROUNDS: u32 = 2_000;

/// The filters that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Design {
    /// The server's.
    Chosen,
    /// Transforms of 20 ms with a steep window: rubato's usual setting.
    LongTransform,
    /// 64 taps in the time domain, between which is interpolated linearly.
    Sinc,
}

impl Design {
    pub(crate) const ALL: [Self; 3] = [Self::Chosen, Self::LongTransform, Self::Sinc];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Chosen => "transforms of 5 ms, Hann (chosen)",
            Self::LongTransform => "transforms of 20 ms, Blackman-Harris²",
            Self::Sinc => "64 taps, linear",
        }
    }
}

/// One row of the table.
pub(crate) struct Figures {
    /// Gain at 75 % and 85 % of the narrower band, in dB: 3.0 and 3.4 kHz where that is the telephone's.
    pub(crate) gains: [f64; 2],
    /// All that is not the tone, of tones within the band, in dB below it: images, distortion, rounding.
    pub(crate) residue: f64,
    /// What tones beyond the band leave behind, in dB below them; `None` where the band grows.
    pub(crate) alias: Option<f64>,
    pub(crate) delay: Duration,
    pub(crate) cost: Duration,
}

pub(crate) fn figures(design: Design, (from, to): (u32, u32)) -> Result<Figures> {
    let band = f64::from(from.min(to)) / 2.0;
    let gain = |share: f64| -> Result<f64> {
        let hz = (band * share).round() + 1.0;
        Ok(decibels(amplitude(&converted(design, from, to, hz)?, to, hz) / LEVEL))
    };
    let mut residue = f64::NEG_INFINITY;
    for share in [0.08, 0.25, 0.5, 0.75, 0.85] {
        let hz = (band * share).round() + 1.0;
        let output = converted(design, from, to, hz)?;
        let tone = amplitude(&output, to, hz);
        residue = residue.max(decibels((power(&output) - tone * tone / 2.0).max(1e-9).sqrt() / (tone / 2f64.sqrt())));
    }
    let mut alias = None;
    if from > to {
        for share in [1.18, 1.35, 1.6, 1.9] {
            let output = converted(design, from, to, (band * share).round() + 1.0)?;
            let level = decibels(power(&output).max(1e-9).sqrt() / (LEVEL / 2f64.sqrt()));
            alias = Some(alias.map_or(level, |worst: f64| worst.max(level)));
        }
    }
    let (delay, cost) = price(design, from, to)?;
    Ok(Figures { gains: [gain(0.75)?, gain(0.85)?], residue, alias, delay, cost })
}

/// One of the converters.
enum Converter {
    Ours(Box<resample::Resampler>),
    Theirs { resampler: Box<dyn Resampler<f32>>, to: u32, output: Vec<f32> },
}

impl Converter {
    fn new(design: Design, from: u32, to: u32) -> Result<Self> {
        let (rates, frame) = ((from as usize, to as usize), from as usize / 50);
        let resampler: Box<dyn Resampler<f32>> = match design {
            Design::Chosen => return Ok(Self::Ours(Box::new(resample::Resampler::new(rate(from)?, rate(to)?)?))),
            Design::LongTransform => Box::new(Fft::new_custom(
                rates.0,
                rates.1,
                frame,
                1,
                1,
                WindowFunction::BlackmanHarris2,
                FixedSync::Input,
            )?),
            Design::Sinc => {
                let parameters = SincInterpolationParameters {
                    sinc_len: 64,
                    f_cutoff: None,
                    oversampling_factor: 128,
                    interpolation: SincInterpolationType::Linear,
                    window: WindowFunction::BlackmanHarris2,
                };
                let ratio = f64::from(to) / f64::from(from);
                Box::new(Async::new_sinc(ratio, 1.0, &parameters, frame, 1, FixedAsync::Input)?)
            }
        };
        let output = vec![0.0; resampler.output_frames_max()];
        Ok(Self::Theirs { resampler, to, output })
    }

    fn delay(&self) -> Duration {
        match self {
            Self::Ours(resampler) => resampler.delay(),
            Self::Theirs { resampler, to, .. } => {
                Duration::from_secs_f64(resampler.output_delay() as f64 / f64::from(*to))
            }
        }
    }

    /// 20 ms.
    fn convert(&mut self, samples: &[i16]) -> Result<Vec<i16>> {
        match self {
            Self::Ours(resampler) => Ok(resampler.process(samples)),
            Self::Theirs { resampler, output, .. } => {
                let block: Vec<f32> = samples.iter().map(|sample| f32::from(*sample) / 32_768.0).collect();
                let room = output.len();
                let input = InterleavedSlice::new(block.as_slice(), 1, block.len())?;
                let mut buffer = InterleavedSlice::new_mut(output.as_mut_slice(), 1, room)?;
                let (_, written) = resampler.process_into_buffer(&input, &mut buffer, None)?;
                Ok(output.iter().take(written).map(|sample| (sample * 32_768.0).round() as i16).collect())
            }
        }
    }
}

/// One second from the middle of a converted tone.
fn converted(design: Design, from: u32, to: u32, hz: f64) -> Result<Vec<i16>> {
    let mut converter = Converter::new(design, from, to)?;
    let step = TAU * hz / f64::from(from);
    let tone: Vec<i16> = (0..from * 3 / 2).map(|n| (LEVEL * (step * f64::from(n)).sin()).round() as i16).collect();
    let mut output = Vec::new();
    for frame in tone.chunks_exact(from as usize / 50) {
        output.extend(converter.convert(frame)?);
    }
    Ok(output.into_iter().skip(to as usize / 5).take(to as usize).collect())
}

/// The delay, and the least time 20 ms took.
fn price(design: Design, from: u32, to: u32) -> Result<(Duration, Duration)> {
    let mut converter = Converter::new(design, from, to)?;
    let frame: Vec<i16> = (0..from / 50).map(|n| (n as i16).wrapping_mul(7_919)).collect();
    let mut least = Duration::MAX;
    for _ in 0..10 {
        let start = Instant::now();
        for _ in 0..ROUNDS / 10 {
            std::hint::black_box(converter.convert(std::hint::black_box(&frame))?);
        }
        least = least.min(start.elapsed() / (ROUNDS / 10));
    }
    Ok((converter.delay(), least))
}

fn rate(hz: u32) -> Result<SampleRate> {
    SampleRate::new(hz).ok_or_else(|| format!("{hz} Hz is no rate of ours").into())
}

/// Amplitude of `hz`, by correlation over a whole second.
fn amplitude(samples: &[i16], rate: u32, hz: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let angle = TAU * hz * n as f64 / f64::from(rate);
        re += f64::from(*sample) * angle.cos();
        im += f64::from(*sample) * angle.sin();
    }
    2.0 * re.hypot(im) / samples.len() as f64
}

fn power(samples: &[i16]) -> f64 {
    samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / samples.len() as f64
}

fn decibels(ratio: f64) -> f64 {
    20.0 * ratio.log10()
}
