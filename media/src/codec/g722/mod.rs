//! ITU-T G.722 at 64 kbit/s (mode 1): 16 kHz PCM to one byte for every two samples and back.
//!
//! Two bands of 8 kHz samples ([`qmf`]), each an adaptive quantizer ([`scale`]) behind an adaptive predictor
//! ([`predictor`]): six bits a sample of the lower, two of the upper. The blocks have the Recommendation's names
//! (clause 6). Integers throughout, and total: any bytes are a signal, and any samples have a code.
mod predictor;
mod qmf;
mod scale;
#[cfg(test)]
mod tests;

use predictor::Predictor;
use qmf::{Receive, Transmit};
use scale::{HIGHER, LOWER, Scale};

/// QL6⁻¹ of mode 1 (table 17): what each six-bit code stands for, in units of the scale factor.
const QM6: [i16; 64] = [
    -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232, -9360, -8576,
    -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688, -1360, -1040,
    -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456,
    4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136,
];
/// Decision levels of the six-bit quantizer (table 14), in the same units.
const Q6: [u16; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023, 1121, 1219, 1339,
    1458, 1612, 1765, 1980, 2195, 2557, 2919,
];
/// The decision level of the two-bit quantizer.
const Q2: i32 = 564;
/// By magnitude in units of the scale factor: how many decision levels it reaches.
static LEVEL: [u8; LAST_LEVEL as usize + 1] = level_table();
const LAST_LEVEL: u32 = 2_919;

/// One direction of one band.
#[derive(Clone, Debug)]
struct Band {
    scale: Scale,
    predictor: Predictor,
}

/// PCM at 16 kHz to payloads (RFC 3551 §4.5.2: the first of two samples is the older).
#[derive(Clone, Debug)]
pub struct Encoder {
    qmf: Transmit,
    lower: Band,
    higher: Band,
}

/// Payloads to PCM at 16 kHz.
#[derive(Clone, Debug)]
pub struct Decoder {
    qmf: Receive,
    lower: Band,
    higher: Band,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { qmf: Transmit::default(), lower: Band::new(&LOWER), higher: Band::new(&HIGHER) }
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self { qmf: Receive::default(), lower: Band::new(&LOWER), higher: Band::new(&HIGHER) }
    }
}

impl Encoder {
    /// One byte for every two samples; an odd last one has no byte.
    pub fn encode(&mut self, samples: &[i16]) -> Vec<u8> {
        let bands = self.qmf.split(samples);
        bands
            .into_iter()
            .map(|(low, high)| (self.higher.encode_higher(high) << 6) | self.lower.encode_lower(low))
            .collect()
    }
}

impl Decoder {
    /// Two samples for every byte.
    pub fn decode(&mut self, payload: &[u8]) -> Vec<i16> {
        let bands =
            payload.iter().map(|byte| (self.lower.decode_lower(byte & 0x3f), self.higher.decode_higher(byte >> 6)));
        self.qmf.join(bands)
    }
}

impl Band {
    fn new(kind: &'static scale::Kind) -> Self {
        Self { scale: Scale::new(kind), predictor: Predictor::default() }
    }

    /// SUBTRA, QUANTL, and what the decoder will make of it.
    fn encode_lower(&mut self, low: i32) -> u8 {
        let error = saturate(low - self.predictor.estimate());
        let magnitude = if error < 0 { !error } else { error };
        // A level is reached when level × scale ÷ 4096, rounded down, does not exceed the magnitude.
        let quotient = ((magnitude << 12) | 0xfff) as u32 / self.scale.factor() as u32;
        let level = LEVEL[quotient.min(LAST_LEVEL) as usize];
        let code = match (error < 0, level) {
            (true, 0 | 1) => 63 - level,
            (true, _) => 33 - level,
            (false, _) => 61 - level,
        };
        self.adapt_lower(code);
        code
    }

    /// SUBTRA, QUANTH, and what the decoder will make of it.
    fn encode_higher(&mut self, high: i32) -> u8 {
        let error = saturate(high - self.predictor.estimate());
        let magnitude = if error < 0 { !error } else { error };
        let outer = magnitude >= (Q2 * self.scale.factor()) >> 12;
        let code = match (error < 0, outer) {
            (true, false) => 1,
            (true, true) => 0,
            (false, false) => 3,
            (false, true) => 2,
        };
        self.adapt_higher(code);
        code
    }

    /// INVQBL, RECONS and LIMIT.
    fn decode_lower(&mut self, code: u8) -> i32 {
        let difference = (self.scale.factor() * i32::from(QM6[usize::from(code & 0x3f)])) >> 15;
        let decoded = limit(self.predictor.estimate() + difference);
        self.adapt_lower(code);
        decoded
    }

    /// INVQAH, RECONS and LIMIT.
    fn decode_higher(&mut self, code: u8) -> i32 {
        let estimate = self.predictor.estimate();
        limit(estimate + self.adapt_higher(code))
    }

    /// The lower band adapts to the four upper bits of a code alone, so that the others may be stolen for data (INVQAL).
    fn adapt_lower(&mut self, code: u8) {
        let difference = self.scale.adapt(code >> 2);
        self.predictor.adapt(difference);
    }

    fn adapt_higher(&mut self, code: u8) -> i32 {
        let difference = self.scale.adapt(code);
        self.predictor.adapt(difference);
        difference
    }
}

const fn level_table() -> [u8; LAST_LEVEL as usize + 1] {
    let mut table = [0; LAST_LEVEL as usize + 1];
    let (mut quotient, mut level) = (0, 0);
    while quotient < table.len() {
        while level < Q6.len() && Q6[level] as usize <= quotient {
            level += 1;
        }
        table[quotient] = level as u8;
        quotient += 1;
    }
    table
}

/// To 16 bits.
fn saturate(value: i32) -> i32 {
    value.clamp(i32::from(i16::MIN), i32::from(i16::MAX))
}

/// To the 15 bits of a band (LIMIT).
fn limit(value: i32) -> i32 {
    value.clamp(-16_384, 16_383)
}
