//! Opus (RFC 6716) as phones speak it: mono, wideband, tuned for voice, with in-band repair of lost packets.
use super::{Codec, Error};
use crate::audio::SampleRate;
use audiopus::{Application, Bitrate, Channels, Signal, coder};
use std::time::Duration;

/// Wideband speech is transparent here (RFC 7587 §3.1.1 gives 16 to 20 kbit/s as enough, and loss repair takes a part).
const BITRATE: i32 = 24_000;
/// Of 10: the knee of quality over time.
const COMPLEXITY: u8 = 5;
/// What the encoder prepares for when it decides how much repair data to carry.
const EXPECTED_LOSS_PERCENT: u8 = 5;
/// RFC 6716 §3.4: no packet lasts longer.
const LONGEST_PACKET: Duration = Duration::from_millis(120);
/// RFC 6716 §3.4: the most bytes one frame can have.
const LONGEST_FRAME_BYTES: usize = 1_275;
const RATE: SampleRate = Codec::Opus.sample_rate();

/// Opus packets to PCM at [`Codec::sample_rate`].
#[derive(Debug)]
pub struct Decoder(coder::Decoder);

impl Decoder {
    pub(super) fn new() -> Result<Self, Error> {
        Ok(Self(coder::Decoder::new(audiopus::SampleRate::Hz16000, Channels::Mono)?))
    }

    pub(super) fn decode(&mut self, payload: &[u8]) -> Result<Vec<i16>, Error> {
        self.fill(Some(payload), LONGEST_PACKET)
    }

    pub(super) fn conceal(&mut self, lost: Duration) -> Result<Vec<i16>, Error> {
        self.fill(None, lost.min(LONGEST_PACKET))
    }

    fn fill(&mut self, payload: Option<&[u8]>, room: Duration) -> Result<Vec<i16>, Error> {
        let packet = payload.map(TryInto::try_into).transpose()?;
        let mut samples = vec![0; RATE.samples_in(room)];
        let written = self.0.decode(packet, samples.as_mut_slice().try_into()?, false)?;
        samples.truncate(written);
        Ok(samples)
    }
}

/// PCM at [`Codec::sample_rate`] to Opus packets.
#[derive(Debug)]
pub struct Encoder(coder::Encoder);

impl Encoder {
    pub(super) fn new() -> Result<Self, Error> {
        let mut encoder = coder::Encoder::new(audiopus::SampleRate::Hz16000, Channels::Mono, Application::Voip)?;
        encoder.set_bitrate(Bitrate::BitsPerSecond(BITRATE))?;
        encoder.set_complexity(COMPLEXITY)?;
        encoder.set_signal(Signal::Voice)?;
        encoder.enable_inband_fec()?;
        encoder.set_packet_loss_perc(EXPECTED_LOSS_PERCENT)?;
        Ok(Self(encoder))
    }

    pub(super) fn encode(&mut self, samples: &[i16]) -> Result<Vec<u8>, Error> {
        let mut payload = vec![0; LONGEST_FRAME_BYTES];
        let written = self.0.encode(samples, &mut payload)?;
        payload.truncate(written);
        Ok(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    fn tone(samples: usize) -> Vec<i16> {
        (0..samples).map(|n| (8_000.0 * (TAU * 440.0 * n as f64 / f64::from(RATE.hz())).sin()) as i16).collect()
    }

    /// Share of the power of `samples` that is at 440 Hz.
    fn purity(samples: &[i16]) -> f64 {
        let (mut re, mut im, mut power) = (0.0, 0.0, 0.0);
        for (n, sample) in samples.iter().enumerate() {
            let angle = TAU * 440.0 * n as f64 / f64::from(RATE.hz());
            re += f64::from(*sample) * angle.cos();
            im += f64::from(*sample) * angle.sin();
            power += f64::from(*sample).powi(2);
        }
        2.0 * (re * re + im * im) / (power * samples.len() as f64)
    }

    #[test]
    fn a_second_comes_back_as_a_second_of_the_same() {
        for ms in [10, 20, 40, 60] {
            let (mut encoder, mut decoder) = (Encoder::new().unwrap(), Decoder::new().unwrap());
            let frame = RATE.samples_in(Duration::from_millis(ms));
            let mut output = Vec::new();
            for input in tone(frame * 60).chunks(frame) {
                let payload = encoder.encode(input).unwrap();
                let samples = decoder.decode(&payload).unwrap();
                assert_eq!(samples.len(), frame);
                output.extend(samples);
            }
            assert!(purity(&output[2_000..]) > 0.95, "{ms} ms: {}", purity(&output[2_000..]));
        }
    }

    #[test]
    fn twenty_milliseconds_take_about_their_share_of_the_bit_rate() {
        let mut encoder = Encoder::new().unwrap();
        let bytes: usize = tone(16_000).chunks(320).map(|frame| encoder.encode(frame).unwrap().len()).sum();
        assert!((1_000..=4_500).contains(&bytes), "{bytes} bytes in a second at {BITRATE} bit/s");
    }

    #[test]
    fn other_frame_lengths_are_errors() {
        let mut encoder = Encoder::new().unwrap();
        for length in [0, 1, 319, 321, 4_000] {
            assert!(encoder.encode(&vec![0; length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_lost_packet_is_made_up_for() {
        let (mut encoder, mut decoder) = (Encoder::new().unwrap(), Decoder::new().unwrap());
        for frame in tone(16_000).chunks(320) {
            decoder.decode(&encoder.encode(frame).unwrap()).unwrap();
        }
        let made_up = decoder.conceal(Duration::from_millis(20)).unwrap();
        assert_eq!(made_up.len(), 320);
        let loud = made_up.iter().filter(|sample| sample.unsigned_abs() > 1_000).count();
        assert!(loud > 60, "what was to be heard goes on, not silence: {made_up:?}");
    }

    #[test]
    fn broken_packets_are_errors_or_noise() {
        let (mut encoder, mut decoder) = (Encoder::new().unwrap(), Decoder::new().unwrap());
        let payload = encoder.encode(&tone(320)).unwrap();
        assert!(decoder.decode(&[]).is_err());
        let mut state = 1_u32;
        for _ in 0..5_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let mut broken = payload.clone();
            let at = (state >> 8) as usize % broken.len();
            broken[at] = (state >> 24) as u8;
            broken.truncate(1 + (state >> 4) as usize % broken.len());
            if let Ok(samples) = decoder.decode(&broken) {
                assert!(samples.len() <= RATE.samples_in(LONGEST_PACKET));
            }
        }
    }
}
