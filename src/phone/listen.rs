//! Whether the far end speaks. Ramal's silence is digital, so loudness is enough.
use media::Frame;
use std::time::{Duration, Instant};

/// Loudest sample of a frame with voice: −48 dBFS, above the idle noise of a transcoding path.
const VOICE: u16 = 130;
/// Pauses between words are shorter than this.
const PAUSE: Duration = Duration::from_millis(400);
/// Whoever is heard for a shorter time than this said nothing: a click, or a signal that something is being done.
const SIGNAL: Duration = Duration::from_millis(300);
/// A signal has no longer pause within it.
const SIGNAL_PAUSE: Duration = Duration::from_millis(150);

#[derive(Debug)]
pub(super) struct Ear {
    state: State,
}

#[derive(Debug)]
enum State {
    Silent,
    /// It may be no voice yet.
    Sound {
        began: Instant,
        last: Instant,
    },
    Voice {
        began: Instant,
        last: Instant,
    },
}

/// What changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    Speaks {
        since: Instant,
    },
    /// It was no voice.
    Signal,
    Silent {
        last_voice: Instant,
    },
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
                self.state = State::Sound { began: now, last: now };
                None
            }
            (State::Sound { began, .. }, true) if now - *began >= SIGNAL => {
                let since = *began;
                self.state = State::Voice { began: since, last: now };
                Some(Change::Speaks { since })
            }
            (State::Sound { last, .. }, true) => {
                *last = now;
                None
            }
            (State::Sound { last, .. }, false) if *last + SIGNAL_PAUSE <= now => {
                self.state = State::Silent;
                Some(Change::Signal)
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
            (State::Sound { .. } | State::Voice { .. } | State::Silent, false) => None,
        }
    }

    /// For how long something has been heard, if it is.
    pub(super) fn speaking_for(&self, now: Instant) -> Option<Duration> {
        match self.state {
            State::Sound { began, .. } | State::Voice { began, .. } => Some(now - began),
            State::Silent => None,
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the origin of virtual time")]
mod tests {
    use super::*;
    use media::SampleRate;

    /// What is told of this loudness for so many packets of 20 ms, and when since `start`.
    fn told(ear: &mut Ear, now: &mut Instant, sample: i16, packets: u32) -> Vec<Change> {
        let frame = Frame { rate: SampleRate::HZ_8000, samples: vec![sample; 160] };
        let told = (0..packets).filter_map(|_| {
            *now += Duration::from_millis(20);
            ear.hear(&frame, *now)
        });
        told.collect()
    }

    #[test]
    fn two_tones_are_no_words_and_words_are_told_since_their_beginning() {
        let (mut ear, mut now) = (Ear::new(), Instant::now());
        assert_eq!(told(&mut ear, &mut now, 1_000, 14), []);
        assert_eq!(told(&mut ear, &mut now, 0, 30), [Change::Signal]);
        let since = now + Duration::from_millis(20);
        assert_eq!(told(&mut ear, &mut now, 1_000, 20), [Change::Speaks { since }]);
        let last_voice = now;
        assert_eq!(told(&mut ear, &mut now, 0, 30), [Change::Silent { last_voice }]);
    }
}
