//! What a recording holds: loudness and tones, as an ear would ask, not bytes.
use anyhow::{Context, Result, bail};
use std::{f64::consts::TAU, fs, path::Path};

/// One channel of a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Sound {
    /// Samples per second.
    pub rate: u32,
    /// 16-bit samples.
    pub samples: Vec<i16>,
}

impl Sound {
    /// Reads a WAV file of 16-bit PCM; one [`Sound`] per channel.
    ///
    /// # Errors
    /// It is not such a file.
    pub fn read(file: &Path) -> Result<Vec<Self>> {
        let bytes = fs::read(file).with_context(|| format!("read {}", file.display()))?;
        parse(&bytes).with_context(|| format!("{} is no 16-bit PCM WAV file", file.display()))
    }

    /// Loudness of `from..to` seconds: root mean square, full scale is 32767.
    #[must_use]
    pub fn level(&self, from: f64, to: f64) -> f64 {
        let part = self.part(from, to);
        if part.is_empty() {
            return 0.0;
        }
        let sum: f64 = part.iter().map(|&sample| f64::from(sample).powi(2)).sum();
        (sum / count(part.len())).sqrt()
    }

    /// How much of the energy of `from..to` seconds is at `hertz`: 1 for a pure tone, near 0 for speech or silence.
    #[must_use]
    pub fn tone(&self, hertz: f64, from: f64, to: f64) -> f64 {
        let part = self.part(from, to);
        let energy: f64 = part.iter().map(|&sample| f64::from(sample).powi(2)).sum();
        if energy == 0.0 {
            return 0.0;
        }
        let (mut real, mut imaginary) = (0.0, 0.0);
        for (n, &sample) in part.iter().enumerate() {
            let angle = TAU * hertz * count(n) / f64::from(self.rate);
            real += f64::from(sample) * angle.cos();
            imaginary += f64::from(sample) * angle.sin();
        }
        2.0 * (real * real + imaginary * imaginary) / (energy * count(part.len()))
    }

    /// Seconds with sound in them, in steps of 20 ms, louder than `threshold`.
    #[must_use]
    pub fn sounding(&self, threshold: f64) -> f64 {
        let steps = (self.seconds() / 0.02) as u32;
        f64::from((0..steps).map(f64::from).filter(|n| self.level(n * 0.02, n * 0.02 + 0.02) > threshold).count() as u32)
            * 0.02
    }

    /// Length.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        count(self.samples.len()) / f64::from(self.rate)
    }

    fn part(&self, from: f64, to: f64) -> &[i16] {
        let at = |seconds: f64| ((seconds.max(0.0) * f64::from(self.rate)) as usize).min(self.samples.len());
        self.samples.get(at(from)..at(to)).unwrap_or_default()
    }
}

fn count(n: usize) -> f64 {
    n as f64
}

/// Writes mono 16-bit PCM.
///
/// # Errors
/// The file cannot be written, or the sound is longer than such a file can be.
pub fn write(file: &Path, sound: &Sound) -> Result<()> {
    let length = u32::try_from(sound.samples.len() * 2)?;
    let mut bytes = Vec::new();
    bytes.extend(b"RIFF");
    bytes.extend((36 + length).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes.extend(sound.rate.to_le_bytes());
    bytes.extend((sound.rate * 2).to_le_bytes());
    bytes.extend(b"\x02\0\x10\0data");
    bytes.extend(length.to_le_bytes());
    sound.samples.iter().for_each(|sample| bytes.extend(sample.to_le_bytes()));
    fs::write(file, bytes).with_context(|| format!("write {}", file.display()))
}

/// A pure tone.
#[must_use]
pub fn tone(hertz: f64, seconds: f64, rate: u32) -> Sound {
    let samples = (0..(seconds * f64::from(rate)) as u32)
        .map(|n| ((TAU * hertz * f64::from(n) / f64::from(rate)).sin() * 9_000.0) as i16)
        .collect();
    Sound { rate, samples }
}

fn parse(bytes: &[u8]) -> Result<Vec<Sound>> {
    let (mut rest, mut format) = (bytes.get(12..).context("too short")?, None);
    while let Some((head, body)) = rest.split_at_checked(8) {
        let length = u32::from_le_bytes(array(head, 4)?) as usize;
        // A program that was stopped leaves the length of the last chunk unset; what is there counts.
        let chunk = body.get(..length).unwrap_or(body);
        if head.starts_with(b"fmt ") {
            let channels = u16::from_le_bytes(array(chunk, 2)?) as usize;
            format = Some((channels, u32::from_le_bytes(array(chunk, 4)?)));
            if u16::from_le_bytes(array(chunk, 14)?) != 16 || channels == 0 {
                bail!("not 16-bit");
            }
        }
        if head.starts_with(b"data") {
            let (channels, rate) = format.context("data before format")?;
            let samples: Vec<i16> = chunk.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
            let channel = |n| Sound { rate, samples: samples.iter().skip(n).step_by(channels).copied().collect() };
            return Ok((0..channels).map(channel).collect());
        }
        rest = body.get(length.next_multiple_of(2)..).unwrap_or_default();
    }
    bail!("no data")
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    Ok(bytes.get(at..at + N).context("too short")?.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_told_from_another_and_from_silence() {
        let sound = tone(425.0, 1.0, 8_000);
        assert!(sound.tone(425.0, 0.1, 0.9) > 0.99);
        assert!(sound.tone(600.0, 0.1, 0.9) < 0.01);
        assert!(sound.level(0.0, 1.0) > 6_000.0);
        assert!((sound.sounding(500.0) - 1.0).abs() < 0.05);
        let silence = Sound { rate: 8_000, samples: vec![0; 8_000] };
        assert_eq!((silence.tone(425.0, 0.0, 1.0), silence.level(0.0, 1.0)), (0.0, 0.0));
    }

    #[test]
    fn what_is_written_is_read() {
        let file = std::env::temp_dir().join(format!("ramal-sound-{}.wav", std::process::id()));
        let sound = tone(1_000.0, 0.1, 8_000);
        write(&file, &sound).unwrap();
        assert_eq!(Sound::read(&file).unwrap(), [sound]);
        fs::remove_file(&file).unwrap();
    }
}
