//! WAV files at the edges: read as telephone-band mono, written as stereo.
use anyhow::{Context, bail};
use media::{Frame, SampleRate, resample::Resampler};
use std::{io::Read, path::Path};

/// Reads a WAV file of any rate and channel count as 8 kHz mono.
///
/// # Errors
/// Not a WAV file, or not PCM.
pub fn read_narrowband(path: &Path) -> anyhow::Result<Frame> {
    let shown = path.display().to_string();
    let file = std::fs::File::open(path).with_context(|| format!("cannot read {shown}"))?;
    narrowband(std::io::BufReader::new(file), &shown)
}

/// The same from any reader; `shown` names it in errors.
///
/// # Errors
/// Not a WAV file, or not PCM.
pub fn narrowband(reader: impl Read, shown: &str) -> anyhow::Result<Frame> {
    let mut reader = hound::WavReader::new(reader).with_context(|| format!("{shown} is not a WAV file we can read"))?;
    let spec = reader.spec();
    let samples: Vec<i16> = match (spec.sample_format, spec.bits_per_sample) {
        (hound::SampleFormat::Int, 16) => reader.samples::<i16>().collect::<Result<_, _>>()?,
        (format, bits) => bail!("{shown} holds {bits}-bit {format:?} samples; 16-bit PCM is wanted"),
    };
    let channels = usize::from(spec.channels.max(1));
    let mono: Vec<i16> = samples.chunks_exact(channels).filter_map(|all| all.first().copied()).collect();
    let from = SampleRate::new(spec.sample_rate).with_context(|| format!("{shown} has {} Hz", spec.sample_rate))?;
    Ok(Frame { rate: SampleRate::HZ_8000, samples: narrow(mono, from)? })
}

/// Brings samples of any rate to 8 kHz.
///
/// # Errors
/// The resampler cannot do this rate.
pub fn narrow(samples: Vec<i16>, from: SampleRate) -> anyhow::Result<Vec<i16>> {
    if from == SampleRate::HZ_8000 {
        return Ok(samples);
    }
    let mut resampler = Resampler::new(from, SampleRate::HZ_8000)?;
    let mut narrow = resampler.process(&samples);
    narrow.extend(resampler.flush());
    Ok(narrow)
}

/// Finds out whether a file can be written, before there is anything to write; what it holds stays.
///
/// # Errors
/// It cannot.
pub fn is_writable(path: &Path) -> anyhow::Result<()> {
    let opened = std::fs::OpenOptions::new().create(true).append(true).open(path);
    opened.map(drop).with_context(|| format!("cannot write {}", path.display()))
}

/// Writes an 8 kHz stereo file: left what the caller said, right what they heard.
///
/// # Errors
/// The file cannot be written.
pub fn write_stereo(path: &Path, samples: impl Iterator<Item = (i16, i16)>) -> anyhow::Result<()> {
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: SampleRate::HZ_8000.hz(),
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer =
        hound::WavWriter::create(path, spec).with_context(|| format!("cannot write {}", path.display()))?;
    for (left, right) in samples {
        writer.write_sample(left)?;
        writer.write_sample(right)?;
    }
    writer.finalize()?;
    Ok(())
}

/// A file of mono sound, as its bytes.
///
/// # Errors
/// It is too long for one.
pub fn mono(sound: &Frame) -> anyhow::Result<Vec<u8>> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: sound.rate.hz(),
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = std::io::Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, spec)?;
    for sample in &sound.samples {
        writer.write_sample(*sample)?;
    }
    writer.finalize()?;
    Ok(file.into_inner())
}
