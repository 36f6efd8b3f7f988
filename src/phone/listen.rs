//! Whether the far end speaks. Ramal's silence is digital, so loudness is enough.
use media::Frame;
use std::time::{Duration, Instant};

/// Loudest sample of a frame with voice: −48 dBFS, above the idle noise of a transcoding path.
const VOICE: u16 = 130;
/// Pauses between words are shorter than this.
const PAUSE: Duration = Duration::from_millis(400);

#[derive(Debug)]
pub(super) struct Ear {
    state: State,
}

#[derive(Debug)]
enum State {
    Silent,
    Voice { began: Instant, last: Instant },
}

/// What changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    Speaks,
    Silent { last_voice: Instant },
}

impl Ear {
    pub(super) fn new() -> Self {
        Self { state: State::Silent }
    }

    /// One frame as it arrived.
    pub(super) fn hear(&mut self, frame: &Frame, now: Instant) -> Option<Change> {
        let loud = frame.samples.iter().any(|sample| sample.unsigned_abs() >= VOICE);
        match (&mut self.state, loud) {
            (State::Silent, true) => {
                self.state = State::Voice { began: now, last: now };
                Some(Change::Speaks)
            }
            (State::Voice { last, .. }, true) => {
                *last = now;
                None
            }
            (State::Voice { last, .. }, false) if *last + PAUSE <= now => {
                let last_voice = *last;
                self.state = State::Silent;
                Some(Change::Silent { last_voice })
            }
            (State::Voice { .. } | State::Silent, false) => None,
        }
    }

    /// For how long the far end has been speaking, if it is.
    pub(super) fn speaking_for(&self, now: Instant) -> Option<Duration> {
        match self.state {
            State::Voice { began, .. } => Some(now - began),
            State::Silent => None,
        }
    }
}
