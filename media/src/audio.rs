//! Audio that knows its own rate and encoding, and the identity of what is said.
use crate::codec::g711;
use std::time::{Duration, Instant};

/// Samples per second of PCM. Not the RTP clock rate: G.722 has 16 kHz samples on an 8 kHz clock (RFC 3551 §4.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampleRate(u32);

impl SampleRate {
    /// Telephone band.
    pub const HZ_8000: Self = Self(8_000);
    /// Wideband; what recognisers want.
    pub const HZ_16000: Self = Self(16_000);
    /// What most voice models speak.
    pub const HZ_24000: Self = Self(24_000);
    /// Opus' full band.
    pub const HZ_48000: Self = Self(48_000);

    /// A rate in Hz, `None` below 8 kHz or above 192 kHz.
    pub const fn new(hz: u32) -> Option<Self> {
        if hz >= 8_000 && hz <= 192_000 { Some(Self(hz)) } else { None }
    }

    /// The rate in Hz.
    pub const fn hz(self) -> u32 {
        self.0
    }

    /// Whole samples in `duration`, rounded down.
    pub const fn samples_in(self, duration: Duration) -> usize {
        (duration.as_micros() * self.0 as u128 / 1_000_000) as usize
    }

    /// How long `samples` last, rounded down to a microsecond.
    pub const fn duration_of(self, samples: usize) -> Duration {
        Duration::from_micros(samples as u64 * 1_000_000 / self.0 as u64)
    }
}

/// Mono 16-bit PCM that knows its own rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Samples per second.
    pub rate: SampleRate,
    /// The samples.
    pub samples: Vec<i16>,
}

impl Frame {
    /// How long this lasts.
    pub fn duration(&self) -> Duration {
        self.rate.duration_of(self.samples.len())
    }
}

/// The two companding laws of G.711: 8 kHz, one byte a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Law {
    /// µ-law (North America, Japan), RTP payload type 0.
    Mu,
    /// A-law (elsewhere), RTP payload type 8.
    A,
}

/// Speech on its way between the phone and a provider, encoded or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audio {
    /// Linear PCM.
    Pcm(Frame),
    /// G.711 bytes, passed through untouched wherever both sides speak the same law.
    G711 {
        /// Which law.
        law: Law,
        /// One byte a sample, 8 kHz.
        bytes: Vec<u8>,
    },
}

impl Audio {
    /// How long this lasts.
    pub fn duration(&self) -> Duration {
        match self {
            Self::Pcm(frame) => frame.duration(),
            Self::G711 { bytes, .. } => SampleRate::HZ_8000.duration_of(bytes.len()),
        }
    }

    /// What it is.
    pub const fn format(&self) -> AudioFormat {
        match self {
            Self::Pcm(frame) => AudioFormat::Pcm(frame.rate),
            Self::G711 { law, .. } => AudioFormat::G711(*law),
        }
    }

    /// Adds what follows.
    ///
    /// # Errors
    /// What is of another format comes back.
    pub fn join(&mut self, after: Self) -> Result<(), Self> {
        match (self, after) {
            (Self::Pcm(frame), Self::Pcm(after)) if frame.rate == after.rate => frame.samples.extend(after.samples),
            (Self::G711 { law, bytes }, Self::G711 { law: other, bytes: after }) if *law == other => {
                bytes.extend(after)
            }
            (_, other) => return Err(other),
        }
        Ok(())
    }

    /// Leaves as much silence in its place, in the same format.
    pub fn hush(&mut self) {
        match self {
            Self::Pcm(frame) => frame.samples.fill(0),
            Self::G711 { law, bytes } => bytes.fill(g711::silence(*law)),
        }
    }

    /// Makes room for audio of this length altogether, and no more than that.
    pub fn reserve(&mut self, length: Duration) {
        let samples = self.format().rate().samples_in(length);
        match self {
            Self::Pcm(frame) => frame.samples.reserve_exact(samples.saturating_sub(frame.samples.len())),
            Self::G711 { bytes, .. } => bytes.reserve_exact(samples.saturating_sub(bytes.len())),
        }
    }

    /// Takes this much away from its beginning, in whole samples.
    pub fn behead(&mut self, length: Duration) {
        let samples = self.format().rate().samples_in(length);
        match self {
            Self::Pcm(frame) => drop(frame.samples.drain(..samples.min(frame.samples.len()))),
            Self::G711 { bytes, .. } => drop(bytes.drain(..samples.min(bytes.len()))),
        }
    }
}

/// What a dialect wants to be fed with, or what it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AudioFormat {
    /// G.711 of this law.
    G711(Law),
    /// Linear PCM at this rate.
    Pcm(SampleRate),
}

impl AudioFormat {
    /// Samples per second.
    pub const fn rate(self) -> SampleRate {
        match self {
            Self::G711(_) => SampleRate::HZ_8000,
            Self::Pcm(rate) => rate,
        }
    }
}

/// One thing the assistant says; audio of any utterance that was cut is stale, whenever it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtteranceId(pub u64);

/// What the caller had heard of an utterance when it was cut or had been played out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The utterance.
    pub utterance: UtteranceId,
    /// How much of it left as RTP, in whole samples at the codec's rate.
    pub played: Duration,
    /// How much of it had been queued by then.
    pub queued: Duration,
}

/// The local detector's opinion of the caller, as it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// Some 60 ms sounded like speech: duck, do not fall silent.
    Suspected,
    /// It was a cough, an echo, a tone.
    Refuted,
    /// Long enough to be speech, and not our echo: be silent and listen.
    Confirmed,
    /// They stopped after little: a listener's "uh-huh", perhaps. Go on; the turn may still grow.
    Yielded,
    /// They go on: the word is theirs.
    Insisted,
    /// Confirmed speech ended: `silence_duration_ms` of quiet passed.
    Ended {
        /// When the last packet with voice in it arrived.
        last_voice: Instant,
    },
}
