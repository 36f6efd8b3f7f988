//! Comfort noise (RFC 3389): what a line sounds like while the other side says nothing.

/// RFC 3551 §6: the static payload type, and its clock.
pub const PAYLOAD_TYPE: u8 = 13;
/// Ticks per second of its timestamps under that number.
pub const CLOCK: u32 = 8_000;
/// The loudest noise made, in decibels below overload: far below what any detector takes for speech.
const LOUDEST: u8 = 50;
/// What a packet without a level stands for.
const SILENT: u8 = 127;

/// White noise at the level that a packet of comfort noise names. Its spectral coefficients, which a receiver need not
/// use (§3.2), are for ears; this is for recognisers, to which digital silence in a conversation is the stranger sound.
#[derive(Clone, Debug)]
pub struct Noise {
    /// Samples lie within this of zero.
    peak: f64,
    state: u64,
}

impl Noise {
    /// The noise that a payload describes: its first byte is the level in -dBov (§3.1).
    pub fn parse(payload: &[u8]) -> Self {
        let level = payload.first().map_or(SILENT, |level| level & 0x7f).max(LOUDEST);
        let power = 10f64.powf(-f64::from(level) / 20.0) * 32_768.0;
        // Of a uniform distribution, the power is a third of the square of the peak.
        Self { peak: power * 3f64.sqrt(), state: u64::from(level) + 1 }
    }

    /// The next `count` samples.
    pub fn samples(&mut self, count: usize) -> Vec<i16> {
        (0..count).map(|_| self.sample()).collect()
    }

    /// Marsaglia's xorshift64.
    fn sample(&mut self) -> i16 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let uniform = f64::from((self.state >> 32) as u32 as i32) / f64::from(i32::MAX);
        (uniform * self.peak).round() as i16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In decibels relative to overload.
    fn level(samples: &[i16]) -> f64 {
        let power = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / samples.len() as f64;
        20.0 * (power.sqrt() / 32_768.0).log10()
    }

    #[test]
    fn rfc3389_3_1_the_level_is_the_one_that_was_signalled_unless_it_would_be_heard_as_speech() {
        for (byte, expected) in [(60, -60.0), (70, -70.0), (50, -50.0), (20, -50.0), (0, -50.0), (0x80 | 65, -65.0)] {
            let samples = Noise::parse(&[byte, 1, 2]).samples(16_000);
            assert!((level(&samples) - expected).abs() < 0.5, "{byte}: {}", level(&samples));
        }
        for payload in [&[127_u8][..], &[]] {
            assert!(Noise::parse(payload).samples(8_000).iter().all(|sample| sample.abs() <= 1));
        }
    }
}
