//! Recorded speech in µ-law, for both sides of the conversations.
use crate::stamp::{BLOCK, SILENCE};
use anyhow::{Context, Result, ensure};
use std::{fs, path::Path};

/// Speech that is repeated for ever, in blocks of 20 ms.
#[derive(Clone, Debug)]
pub(crate) struct Voice {
    codes: Vec<u8>,
}

impl Voice {
    /// All recordings in `folder` whose name begins with `prefix`, one after the other.
    pub(crate) fn load(folder: &Path, prefix: &str) -> Result<Self> {
        let entries = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
        let mut paths: Vec<_> = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
        paths.retain(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(prefix) && name.ends_with(".wav")
        });
        paths.sort();
        let mut codes = Vec::new();
        for path in paths {
            let mut reader = hound::WavReader::open(&path).with_context(|| format!("open {}", path.display()))?;
            let spec = reader.spec();
            ensure!((spec.sample_rate, spec.channels) == (8_000, 1), "{}: not 8 kHz mono", path.display());
            for sample in reader.samples::<i16>() {
                codes.push(encode(sample?));
            }
        }
        ensure!(codes.len() > BLOCK, "no speech {prefix}*.wav in {}", folder.display());
        codes.resize(codes.len().next_multiple_of(BLOCK), SILENCE);
        Ok(Self { codes })
    }

    /// The block with this number, round and round.
    pub(crate) fn block(&self, number: usize) -> &[u8] {
        let start = number * BLOCK % self.codes.len();
        self.codes.get(start..start + BLOCK).unwrap_or(&[SILENCE; BLOCK])
    }
}

/// ITU-T G.711 µ-law: sign, three bits of segment, four of step, all inverted.
fn encode(sample: i16) -> u8 {
    const BIAS: u32 = 132;
    const CLIP: u32 = 32_635;
    let magnitude = u32::from(sample.unsigned_abs()).min(CLIP) + BIAS;
    let segment = magnitude.ilog2() - 7;
    let step = magnitude >> (segment + 3) & 0x0f;
    let sign = if sample < 0 { 0x80 } else { 0 };
    !(sign | (segment << 4 | step) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_standard() {
        // ITU-T G.711 table 2a: the ends of the scale, zero, and a boundary of segments.
        for (sample, code) in [(0, 0xff), (-1, 0x7f), (8, 0xfe), (32_767, 0x80), (-32_768, 0x00), (1_000, 0xce)] {
            assert_eq!(encode(sample), code, "{sample}");
        }
    }
}
