//! What a phone is to do, and when its turn comes.
use media::{Frame, SampleRate};
use std::time::{Duration, Instant};

/// A sample louder than this is voice; −42 dBFS, above a codec's idle noise and below any speech.
pub(super) const VOICE: u16 = 260;
/// The far end has finished when it was silent this long.
const FINISHED: Duration = Duration::from_millis(900);
/// A far end that has not answered after this long will not.
const NO_REPLY: Duration = Duration::from_secs(15);

/// A whole call, as the caller means to hold it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What to say, in order.
    pub clips: Vec<Clip>,
    /// Keys to press, with the time since the answer, in order.
    pub keys: Vec<(Duration, char)>,
    /// When to hang up at the latest, since the answer.
    pub duration: Duration,
    /// When to give up on an answer.
    pub answer_within: Duration,
    /// When to hang up at the earliest.
    pub hang_up: HangUp,
}

/// When a phone hangs up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HangUp {
    /// When everything is said and answered.
    WhenSaid,
    /// At the end of `duration`, unless the far end does before.
    AtTheEnd,
}

/// Something to say.
#[derive(Clone, Debug)]
pub struct Clip {
    /// 8 kHz.
    pub audio: Frame,
    /// When.
    pub when: When,
}

/// When a clip starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// When the far end has said something and finished.
    InTurn,
    /// At this time since the answer, whoever speaks.
    At(Duration),
    /// When the far end has been speaking for this long: an interruption.
    Over(Duration),
}

impl Clip {
    /// Silence before the first voice.
    pub(super) fn leading_silence(&self) -> Duration {
        let quiet = self.audio.samples.iter().take_while(|s| s.unsigned_abs() < VOICE).count();
        SampleRate::HZ_8000.duration_of(quiet)
    }

    /// Silence after the last voice.
    pub(super) fn trailing_silence(&self) -> Duration {
        let quiet = self.audio.samples.iter().rev().take_while(|s| s.unsigned_abs() < VOICE).count();
        SampleRate::HZ_8000.duration_of(quiet)
    }
}

/// Whose turn it is, as a polite caller judges it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cue {
    /// We spoke last (or the call has just begun); the far end has until then.
    Waiting { until: Instant },
    /// The far end speaks.
    FarSpeaks,
    /// The far end spoke, and was last heard then.
    FarSilent { since: Instant },
}

impl Cue {
    pub(super) fn new(now: Instant) -> Self {
        Self::Waiting { until: now + NO_REPLY }
    }

    pub(super) fn said(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    pub(super) fn far_speaks(&mut self) {
        *self = Self::FarSpeaks;
    }

    pub(super) fn far_silent(&mut self, last_voice: Instant) {
        if matches!(self, Self::FarSpeaks) {
            *self = Self::FarSilent { since: last_voice };
        }
    }

    pub(super) fn is_my_turn(&self, now: Instant) -> bool {
        match self {
            Self::Waiting { until } => *until <= now,
            Self::FarSpeaks => false,
            Self::FarSilent { since } => *since + FINISHED <= now,
        }
    }
}
