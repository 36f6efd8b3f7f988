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
