//! What is said in many calls, encoded once: a sentence as packets of Opus, whose encoder takes its time.
//!
//! Each packet of Opus begins afresh but for what a decoder keeps in its filters, and for how loud the bands above
//! 8 kHz were, on which an encoder's first packet does not build: one who heard silence before plays a sentence as it
//! was meant. Where it is left, the encoder of the call is told of its last packets. Neither works in G.722, where
//! either side follows the other bit by bit; it is cheap to encode.
use crate::{
    audio::{Audio, Frame, SampleRate},
    codec::{Codec, Encoder, opus},
    resample::Resampler,
    sdp::Negotiated,
};
use std::time::Duration;

/// An encoder of Opus holds so much back until the next packet (6.5 ms, rounded up): a sentence ends with as much silence.
const DELAY: Duration = Duration::from_millis(7);
const RATE: SampleRate = Codec::Opus.sample_rate();

/// What packets of a sentence depend on: those made for one call serve in every other of the same form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    ptime: Duration,
    receiver: opus::Receiver,
}

impl Form {
    /// The form of a call; `None` where it gains nothing, or cannot be.
    pub fn of(media: &Negotiated) -> Option<Self> {
        match media.codec {
            Codec::Opus => Some(Self { ptime: media.ptime, receiver: media.opus }),
            Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::L16Narrow | Codec::L16Wide => None,
        }
    }

    /// Encodes a sentence from a reset of the encoder on, with silence up to a whole packet at its end. `None` if its rate
    /// cannot be converted or libopus fails: then each call encodes it by itself, and counts why that fails.
    pub fn encode(&self, sentence: &Frame) -> Option<Prompt> {
        let mut resampler = Resampler::new(sentence.rate, RATE).ok()?;
        let mut samples = resampler.process(&sentence.samples);
        samples.extend(resampler.flush());
        let frame = RATE.samples_in(self.ptime).max(1);
        samples.resize((samples.len() + RATE.samples_in(DELAY)).next_multiple_of(frame), 0);
        let mut encoder = Encoder::new(Codec::Opus, self.receiver).ok()?;
        let packets = samples.chunks(frame).map(|frame| encoder.encode(frame)).collect::<Result<_, _>>().ok()?;
        Some(Prompt { form: *self, sentence: sentence.clone(), samples, packets })
    }
}

/// An encoded sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    form: Form,
    sentence: Frame,
    /// At the rate of Opus: what is counted, recorded and kept from coming back as an echo.
    pub(crate) samples: Vec<i16>,
    /// One for every packet time of `samples`.
    pub(crate) packets: Vec<Vec<u8>>,
}

impl Prompt {
    /// What it was made for.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Whether it is this sentence: by its samples, so that no name of it has to go with it through a provider.
    pub(crate) fn is(&self, audio: &Audio) -> bool {
        matches!(audio, Audio::Pcm(frame) if *frame == self.sentence)
    }

    /// Bytes that it takes.
    pub fn size(&self) -> usize {
        let packets: usize = self.packets.iter().map(|packet| packet.len() + size_of::<Vec<u8>>()).sum();
        (self.sentence.samples.len() + self.samples.len()) * size_of::<i16>() + packets
    }
}
