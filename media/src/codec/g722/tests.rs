use super::*;
use crate::testing::Random;
use std::f64::consts::TAU;

const FRAME: usize = 320;

fn encode(samples: &[i16]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    samples.chunks(FRAME).flat_map(|frame| encoder.encode(frame)).collect()
}

fn decode(payload: &[u8]) -> Vec<i16> {
    let mut decoder = Decoder::default();
    payload.chunks(FRAME / 2).flat_map(|frame| decoder.decode(frame)).collect()
}

/// A second of a triangle wave that climbs in pitch, under noise.
fn signal(loudness: i64) -> Vec<i16> {
    let mut random = Random::new(loudness as u64);
    let wave = |n: i64| (n * (1 + n / 400) % 800 - 400).abs() - 200;
    let noise = |random: &mut Random| random.below(loudness as u64 + 1) as i64 - loudness / 2;
    (0..16_000).map(|n| ((wave(n) * loudness).div_euclid(200) + noise(&mut random)) as i16).collect()
}

/// Bytes and samples of SpanDSP 0.0.6, which passes the Recommendation's test sequences.
#[test]
fn it_is_bit_exact_with_another_implementation() {
    let cases = [
        (0, 0x959e_4601, 0xf1c1_0d0b),
        (40, 0x80ab_c92e, 0xfba4_4ef2),
        (900, 0x0eb8_64f9, 0x0cdd_9605),
        (9_000, 0xd75c_f45b, 0x1ca9_84f2),
    ];
    for (loudness, bytes, samples) in cases {
        let payload = encode(&signal(loudness));
        assert_eq!(crc32fast::hash(&payload), bytes, "{loudness}: encoder");
        let decoded: Vec<u8> = decode(&payload).into_iter().flat_map(i16::to_le_bytes).collect();
        assert_eq!(crc32fast::hash(&decoded), samples, "{loudness}: decoder");
    }
}

/// Ratio of the power of `samples` to that of what the codec adds; both filters delay by 22 samples together.
fn signal_to_noise(samples: &[i16]) -> f64 {
    let decoded = decode(&encode(samples));
    let (mut power, mut noise) = (0.0, 0.0);
    for (before, after) in samples.iter().zip(decoded.iter().skip(22)).skip(1_600) {
        power += f64::from(*before).powi(2);
        noise += (f64::from(*before) - f64::from(*after)).powi(2);
    }
    10.0 * (power / noise).log10()
}

#[test]
fn tones_of_both_bands_come_back_clean() {
    for (hz, decibels) in [(300.0, 35.0), (1_000.0, 35.0), (3_000.0, 30.0), (5_500.0, 15.0), (6_800.0, 15.0)] {
        let tone: Vec<i16> =
            (0..16_000).map(|n| (8_000.0 * (TAU * hz * f64::from(n) / 16_000.0).sin()) as i16).collect();
        let ratio = signal_to_noise(&tone);
        assert!(ratio > decibels, "{hz} Hz: {ratio:.1} dB");
    }
}

#[test]
fn frame_lengths_do_not_matter() {
    let samples = signal(3_000);
    let mut encoder = Encoder::default();
    let pieces: Vec<u8> = samples.chunks(62).flat_map(|piece| encoder.encode(piece)).collect();
    assert_eq!(pieces, encode(&samples));
    let mut decoder = Decoder::default();
    let again: Vec<i16> = pieces.chunks(37).flat_map(|piece| decoder.decode(piece)).collect();
    assert_eq!(again, decode(&pieces));
}

#[test]
fn any_bytes_and_any_samples_are_taken_and_a_decoder_recovers_from_them() {
    let mut random = Random::new(9);
    let (mut decoder, mut encoder) = (Decoder::default(), Encoder::default());
    for _ in 0..500 {
        let length = random.below(200) as usize;
        let payload = random.bytes(length);
        assert_eq!(decoder.decode(&payload).len(), 2 * payload.len());
        let extremes: Vec<i16> = payload.iter().map(|byte| if byte & 1 == 0 { i16::MIN } else { i16::MAX }).collect();
        assert_eq!(encoder.encode(&extremes).len(), payload.len() / 2);
    }
    // Both forget: the leaks of scale factors and predictors bring two states together (clause 1.3).
    let payload = encode(&signal(2_000).repeat(2));
    let recovered: Vec<i16> = payload.chunks(160).flat_map(|frame| decoder.decode(frame)).collect();
    let fresh = decode(&payload);
    assert_eq!(recovered[24_000..], fresh[24_000..]);
}

#[test]
fn new_state_has_no_past() {
    let payload = encode(&signal(900));
    assert_eq!(encode(&signal(900)), payload);
    assert_eq!(decode(&payload), decode(&payload));
    assert!(decode(&encode(&[0; 3_200])).iter().all(|sample| sample.abs() < 64), "silence stays below what is heard");
}
