//! ITU-T G.711: 16-bit PCM to one byte a sample and back, by tables the compiler fills in.
use crate::audio::Law;

/// µ-law bias: makes every segment start at a power of two (G.711 table 2).
const BIAS: u16 = 33;

static MU_DECODE: [i16; 256] = mu_decode_table();
static A_DECODE: [i16; 256] = a_decode_table();
/// By the 14 upper bits of a sample: µ-law sees no more.
static MU_ENCODE: [u8; 1 << 14] = mu_encode_table();
/// By the 12 upper bits of a sample: two bits fewer, since A-law's finest step is 16.
static A_ENCODE: [u8; 1 << 12] = a_encode_table();

/// The byte that decodes to the quietest positive value: what idle lines send.
pub const fn silence(law: Law) -> u8 {
    match law {
        Law::Mu => 0xff,
        Law::A => 0xd5,
    }
}

/// One byte per sample.
pub fn encode(law: Law, samples: &[i16]) -> Vec<u8> {
    match law {
        Law::Mu => samples.iter().map(|sample| MU_ENCODE[(*sample as u16 >> 2) as usize]).collect(),
        Law::A => samples.iter().map(|sample| A_ENCODE[(*sample as u16 >> 4) as usize]).collect(),
    }
}

/// One sample per byte.
pub fn decode(law: Law, bytes: &[u8]) -> Vec<i16> {
    let table = match law {
        Law::Mu => &MU_DECODE,
        Law::A => &A_DECODE,
    };
    bytes.iter().map(|byte| table[*byte as usize]).collect()
}

const fn mu_encode_table() -> [u8; 1 << 14] {
    let mut table = [0; 1 << 14];
    let mut index = 0;
    while index < table.len() {
        let negative = index >= 1 << 13;
        // One's complement, as the Recommendation's software does: -1 and 0 are mirror images.
        let magnitude = if negative { 0x3fff - index as u16 } else { index as u16 };
        let biased = if magnitude + BIAS > 0x1fff { 0x1fff } else { magnitude + BIAS };
        let segment = biased.ilog2() as u16 - 5;
        let step = (biased >> (segment + 1)) & 0xf;
        let sign = if negative { 0x80 } else { 0 };
        table[index] = !(sign | (segment << 4) as u8 | step as u8);
        index += 1;
    }
    table
}

const fn mu_decode_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let code = !(byte as u8);
        let segment = (code >> 4) & 0x7;
        let step = (code & 0xf) as u16;
        let magnitude = ((2 * step + BIAS) << segment) - BIAS;
        let sample = (magnitude as i16) << 2;
        table[byte] = if code & 0x80 == 0 { sample } else { -sample };
        byte += 1;
    }
    table
}

const fn a_encode_table() -> [u8; 1 << 12] {
    let mut table = [0; 1 << 12];
    let mut index = 0;
    while index < table.len() {
        let negative = index >= 1 << 11;
        let magnitude = if negative { 0xfff - index as u16 } else { index as u16 };
        // The two lowest segments are one straight line.
        let segment = if magnitude < 32 { magnitude >> 4 } else { magnitude.ilog2() as u16 - 3 };
        let step = if segment == 0 { magnitude } else { (magnitude >> (segment - 1)) & 0xf };
        let sign = if negative { 0 } else { 0x80 };
        table[index] = (sign | (segment << 4) as u8 | step as u8) ^ 0x55;
        index += 1;
    }
    table
}

const fn a_decode_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let code = byte as u8 ^ 0x55;
        let segment = (code >> 4) & 0x7;
        let step = (code & 0xf) as u16;
        let magnitude = if segment == 0 { 2 * step + 1 } else { (2 * step + 33) << (segment - 1) };
        let sample = (magnitude << 3) as i16;
        table[byte] = if code & 0x80 == 0 { -sample } else { sample };
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a code stands for, from the definition of the two characteristics: eight segments of sixteen steps each,
    /// every segment twice as steep as the one before; the output is the middle of the step.
    fn meaning(law: Law, byte: u8) -> f64 {
        let (code, positive) = match law {
            Law::Mu => (!byte & 0x7f, byte & 0x80 != 0),
            Law::A => ((byte ^ 0x55) & 0x7f, byte & 0x80 != 0),
        };
        let (segment, step) = (f64::from(code / 16), f64::from(code % 16));
        let magnitude = match law {
            Law::Mu => (segment.exp2() * (step + 16.5) - 16.5) * 8.0,
            Law::A if segment == 0.0 => (step + 0.5) * 16.0,
            Law::A => (segment - 1.0).exp2() * (step + 16.5) * 16.0,
        };
        if positive { magnitude } else { -magnitude }
    }

    #[test]
    fn every_code_decodes_to_its_definition() {
        for law in [Law::Mu, Law::A] {
            for byte in 0..=255 {
                assert_eq!(f64::from(decode(law, &[byte])[0]), meaning(law, byte), "{law:?} {byte:#04x}");
            }
        }
    }

    #[test]
    fn every_code_survives_decoding_and_encoding() {
        for law in [Law::Mu, Law::A] {
            for byte in 0..=255 {
                let again = encode(law, &decode(law, &[byte]))[0];
                // µ-law has two zeros; a PCM zero is the positive one.
                let expected = if (law, byte) == (Law::Mu, 0x7f) { 0xff } else { byte };
                assert_eq!(again, expected, "{law:?} {byte:#04x}");
            }
        }
    }

    /// From which magnitude up to which a code stands for, by the same definition.
    fn step(law: Law, byte: u8) -> (f64, f64) {
        let (code, half) = match law {
            Law::Mu => (!byte & 0x7f, 4.0 * f64::from((!byte & 0x7f) / 16).exp2()),
            Law::A => ((byte ^ 0x55) & 0x7f, 8.0 * (f64::from(((byte ^ 0x55) & 0x7f) / 16) - 1.0).max(0.0).exp2()),
        };
        let middle = meaning(law, byte).abs();
        (middle - half, if code == 0x7f { f64::MAX } else { middle + half })
    }

    #[test]
    fn every_sample_lies_in_the_step_of_its_code() {
        for law in [Law::Mu, Law::A] {
            for sample in i16::MIN..=i16::MAX {
                let byte = encode(law, &[sample])[0];
                assert_eq!(byte & 0x80 != 0, sample >= 0, "{law:?} {sample}: sign");
                let magnitude = f64::from(if sample < 0 { !sample } else { sample });
                let (from, below) = step(law, byte);
                assert!(from <= magnitude && magnitude < below, "{law:?} {sample}: {byte:#04x} is {from}..{below}");
            }
        }
    }

    #[test]
    fn positive_and_negative_are_mirror_images() {
        for law in [Law::Mu, Law::A] {
            for sample in 0..=i16::MAX {
                assert_eq!(encode(law, &[sample])[0] ^ 0x80, encode(law, &[!sample])[0], "{law:?} {sample}");
            }
        }
    }

    /// The corner values printed in every implementer's manual.
    #[test]
    fn known_codes() {
        let cases = [
            (Law::Mu, 0, 0xff),
            (Law::Mu, i16::MAX, 0x80),
            (Law::Mu, i16::MIN, 0x00),
            (Law::Mu, 1_000, 0xce),
            (Law::A, 0, 0xd5),
            (Law::A, i16::MAX, 0xaa),
            (Law::A, i16::MIN, 0x2a),
            (Law::A, 1_000, 0xfa),
        ];
        for (law, sample, byte) in cases {
            assert_eq!(encode(law, &[sample]), [byte], "{law:?} {sample}");
        }
    }

    #[test]
    fn silence_is_what_zero_encodes_to() {
        for law in [Law::Mu, Law::A] {
            assert_eq!(encode(law, &[0]), [silence(law)]);
        }
    }
}
