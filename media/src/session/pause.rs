//! Comfort noise (RFC 3389) of a call: which packets are it, and what we send in a pause where it stands for silence.
use super::Session;
use crate::noise;
use std::time::Duration;

/// Silence that is sent as such first: between two sentences nothing changes.
const HANGOVER: Duration = Duration::from_millis(200);
/// How often noise is sent in a pause: a NAT on the way forgets who is silent for longer, and a lost one is made up for.
const EVERY: Duration = Duration::from_secs(1);
/// What our pauses sound like, in decibels below overload: a quiet line, and not a dead one.
pub(super) const LEVEL: u8 = 70;

/// A pause of ours, in packet times.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pause {
    passed: Duration,
}

/// What one packet time of a pause is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sound {
    /// A packet of silence.
    Silence,
    /// A packet of comfort noise.
    Noise,
    /// No packet.
    Nothing,
}

impl Pause {
    /// The next packet time.
    pub(super) fn next(&mut self, ptime: Duration) -> Sound {
        if self.passed < HANGOVER {
            self.passed += ptime;
            return if self.passed < HANGOVER { Sound::Silence } else { Sound::Noise };
        }
        self.passed += ptime;
        if self.passed < HANGOVER + EVERY {
            return Sound::Nothing;
        }
        self.passed = HANGOVER;
        Sound::Noise
    }
}

impl Session {
    /// Some phones send it under its static payload type without having agreed on it.
    pub(super) fn is_noise(&self, payload_type: u8) -> bool {
        let agreed = self.media.comfort_noise.map(|agreed| agreed.payload_type.received);
        payload_type == agreed.unwrap_or(noise::PAYLOAD_TYPE)
    }
}
