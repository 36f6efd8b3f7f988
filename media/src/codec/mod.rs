//! The codecs a call can be in, and the encoder and decoder of each.
pub mod g711;
pub mod g722;
pub mod l16;
pub mod opus;

use crate::audio::{AudioFormat, Law, SampleRate};
use std::{fmt, time::Duration};

/// A negotiable audio codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Codec {
    /// G.711 µ-law, RFC 3551 §4.5.14.
    Pcmu,
    /// G.711 A-law, RFC 3551 §4.5.14.
    Pcma,
    /// G.722 at 64 kbit/s, RFC 3551 §4.5.2: wideband.
    G722,
    /// Opus, RFC 7587; spoken in super-wideband mono here.
    Opus,
    /// Linear PCM in network order at 8 kHz, RFC 3551 §4.5.11.
    L16Narrow,
    /// The same at 16 kHz.
    L16Wide,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Pcmu, Self::Pcma, Self::G722, Self::Opus, Self::L16Narrow, Self::L16Wide];

    /// The codec of this [`Self::name`], in either case.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name().eq_ignore_ascii_case(name))
    }

    /// The codec RFC 3551 §6 assigns this payload type to, if it is one of ours.
    pub fn of_static(payload_type: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.static_payload_type() == Some(payload_type))
    }

    /// Ticks per second of the RTP timestamp (RFC 3551 §4.1; always 48 kHz for Opus, RFC 7587 §4.1; half the sample rate
    /// for G.722, by an error that RFC 3551 §4.5.2 keeps).
    pub const fn clock_rate(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 | Self::L16Narrow => 8_000,
            Self::L16Wide => 16_000,
            Self::Opus => 48_000,
        }
    }

    /// Rate of the PCM the [`Encoder`] takes, and the [`Decoder`] gives unless told otherwise. Not the RTP clock.
    pub const fn sample_rate(self) -> SampleRate {
        match self {
            Self::Pcmu | Self::Pcma | Self::L16Narrow => SampleRate::HZ_8000,
            Self::G722 | Self::L16Wide => SampleRate::HZ_16000,
            Self::Opus => SampleRate::HZ_24000,
        }
    }

    /// The rate of PCM that is decoded for somebody who wants this one: Opus goes straight to it, without a resampler.
    pub fn decoded_at(self, wanted: SampleRate) -> SampleRate {
        match self {
            Self::Opus => opus::decoded_at(wanted),
            Self::Pcmu | Self::Pcma | Self::G722 | Self::L16Narrow | Self::L16Wide => self.sample_rate(),
        }
    }

    /// RTP timestamp ticks that `duration` takes, rounded down.
    pub const fn ticks_in(self, duration: Duration) -> u32 {
        (duration.as_micros() * self.clock_rate() as u128 / 1_000_000) as u32
    }

    /// RTP timestamp ticks that `samples` of PCM at [`Self::sample_rate`] take.
    pub const fn ticks_of(self, samples: usize) -> u32 {
        (samples as u64 * self.clock_rate() as u64 / self.sample_rate().hz() as u64) as u32
    }

    /// The companding law, for codecs whose bytes may be passed through untouched.
    pub const fn law(self) -> Option<Law> {
        match self {
            Self::Pcmu => Some(Law::Mu),
            Self::Pcma => Some(Law::A),
            Self::G722 | Self::Opus | Self::L16Narrow | Self::L16Wide => None,
        }
    }

    /// What a call in this codec sounds like: the bytes of G.711, which may pass untouched, or PCM.
    pub const fn format(self) -> AudioFormat {
        match self.law() {
            Some(law) => AudioFormat::G711(law),
            None => AudioFormat::Pcm(self.sample_rate()),
        }
    }

    /// The payload type RFC 3551 §6 assigns, if any.
    pub const fn static_payload_type(self) -> Option<u8> {
        match self {
            Self::Pcmu => Some(0),
            Self::Pcma => Some(8),
            Self::G722 => Some(9),
            Self::Opus | Self::L16Narrow | Self::L16Wide => None,
        }
    }

    /// Encoding name in `a=rtpmap`; compared without regard to case (RFC 8866 §6.6).
    pub const fn encoding_name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::Opus => "opus",
            Self::L16Narrow | Self::L16Wide => "L16",
        }
    }

    /// What it is called where people read and write it: the encoding name, with the clock where that alone tells two
    /// apart.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 | Self::Opus => self.encoding_name(),
            Self::L16Narrow => "L16/8000",
            Self::L16Wide => "L16/16000",
        }
    }

    /// Channels in `a=rtpmap`: RFC 7587 §7 has Opus always written with two.
    pub const fn rtpmap_channels(self) -> u8 {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 | Self::L16Narrow | Self::L16Wide => 1,
            Self::Opus => 2,
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a codec failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// libopus could not be set up, or refused the packet or the frame length.
    #[error("Opus: {0}")]
    Opus(#[from] audiopus::Error),
}

/// Payloads to PCM, one per received stream.
#[derive(Debug)]
pub enum Decoder {
    /// Stateless.
    G711(Law),
    /// Predicts from sample to sample.
    G722(Box<g722::Decoder>),
    /// Stateless.
    L16,
    /// Predicts from packet to packet.
    Opus(opus::Decoder),
}

impl Decoder {
    /// A decoder with no history, to PCM at [`Codec::sample_rate`].
    ///
    /// # Errors
    /// Only Opus can fail, when libopus cannot allocate.
    pub fn new(codec: Codec) -> Result<Self, Error> {
        Self::to(codec, codec.sample_rate())
    }

    /// The same, to PCM at [`Codec::decoded_at`] this rate.
    ///
    /// # Errors
    /// As above.
    pub fn to(codec: Codec, wanted: SampleRate) -> Result<Self, Error> {
        match codec {
            Codec::Pcmu => Ok(Self::G711(Law::Mu)),
            Codec::Pcma => Ok(Self::G711(Law::A)),
            Codec::G722 => Ok(Self::G722(Box::default())),
            Codec::L16Narrow | Codec::L16Wide => Ok(Self::L16),
            Codec::Opus => Ok(Self::Opus(opus::Decoder::new(wanted)?)),
        }
    }

    /// The PCM of one payload.
    ///
    /// # Errors
    /// A payload that is no Opus packet. The others cannot fail.
    pub fn decode(&mut self, payload: &[u8]) -> Result<Vec<i16>, Error> {
        match self {
            Self::G711(law) => Ok(g711::decode(*law, payload)),
            Self::G722(decoder) => Ok(decoder.decode(payload)),
            Self::L16 => Ok(l16::decode(payload)),
            Self::Opus(decoder) => decoder.decode(payload),
        }
    }

    /// The `lost` audio right before the packet `next`, if the codec can tell it; by repair data where there is some.
    pub fn repair(&mut self, next: &[u8], lost: Duration) -> Option<Vec<i16>> {
        match self {
            Self::G711(_) | Self::G722(_) | Self::L16 => None,
            Self::Opus(decoder) => decoder.repair(next, lost).ok(), // `next` is broken as well
        }
    }

    /// What the codec itself would put in the place of `lost` audio; `None` if the codec has no concealment of its own.
    pub fn conceal(&mut self, lost: Duration) -> Option<Vec<i16>> {
        match self {
            Self::G711(_) | Self::G722(_) | Self::L16 => None,
            Self::Opus(decoder) => decoder.conceal(lost).ok(), // nothing to extrapolate from yet
        }
    }
}

/// PCM to payloads, one per sent stream.
#[derive(Debug)]
pub enum Encoder {
    /// Stateless.
    G711(Law),
    /// Predicts from sample to sample.
    G722(Box<g722::Encoder>),
    /// Stateless.
    L16,
    /// Predicts from packet to packet.
    Opus(opus::Encoder),
}

impl Encoder {
    /// An encoder with no history; of Opus, for a decoder that wants it so.
    ///
    /// # Errors
    /// Only Opus can fail, when libopus cannot allocate.
    pub fn new(codec: Codec, receiver: opus::Receiver) -> Result<Self, Error> {
        match codec {
            Codec::Pcmu => Ok(Self::G711(Law::Mu)),
            Codec::Pcma => Ok(Self::G711(Law::A)),
            Codec::G722 => Ok(Self::G722(Box::default())),
            Codec::L16Narrow | Codec::L16Wide => Ok(Self::L16),
            Codec::Opus => Ok(Self::Opus(opus::Encoder::new(receiver)?)),
        }
    }

    /// The payload of one frame of PCM at [`Codec::sample_rate`]; empty when there is nothing to send (Opus with DTX).
    ///
    /// # Errors
    /// Opus takes frames of 2.5, 5, 10, 20, 40 or 60 ms and no other. The others take any.
    pub fn encode(&mut self, samples: &[i16]) -> Result<Vec<u8>, Error> {
        match self {
            Self::G711(law) => Ok(g711::encode(*law, samples)),
            Self::G722(encoder) => Ok(encoder.encode(samples)),
            Self::L16 => Ok(l16::encode(samples)),
            Self::Opus(encoder) => encoder.encode(samples),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_and_samples() {
        let frame = Duration::from_millis(20);
        let cases = [
            (Codec::Pcmu, 160, 160),
            (Codec::Pcma, 160, 160),
            (Codec::G722, 160, 320),
            (Codec::Opus, 960, 480),
            (Codec::L16Narrow, 160, 160),
            (Codec::L16Wide, 320, 320),
        ];
        assert_eq!(cases.map(|(codec, ..)| codec), Codec::ALL);
        for (codec, ticks, samples) in cases {
            assert_eq!(Codec::of_name(&codec.to_string().to_lowercase()), Some(codec));
            assert_eq!(codec.ticks_in(frame), ticks);
            assert_eq!(codec.sample_rate().samples_in(frame), samples);
            assert_eq!(codec.ticks_of(samples), ticks);
            let mut encoder = Encoder::new(codec, opus::Receiver::default()).unwrap();
            let payload = encoder.encode(&vec![0; samples]).unwrap();
            assert_eq!(Decoder::new(codec).unwrap().decode(&payload).unwrap().len(), samples);
        }
    }
}
