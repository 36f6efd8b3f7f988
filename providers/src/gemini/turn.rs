//! The model's turns. The protocol names none: a turn begins with its first audio or word and ends with `turnComplete`.
use media::UtteranceId;
use std::time::{Duration, Instant};

/// How long an interrupted turn may take to end; until then what comes is the rest of it.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// Whether more audio of an utterance may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrival {
    Coming,
    Complete,
}

/// Whether anybody still listens to a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audience {
    Listening,
    /// The caller cut in.
    Gone,
}

#[derive(Debug)]
enum State {
    /// Nobody's turn, or the caller's. Words that still come belong to `last`, if nobody has spoken since.
    Between { last: Option<UtteranceId> },
    /// The model's.
    Speaking { utterance: UtteranceId, arrival: Arrival, audience: Audience },
    /// The server stopped the model, since the caller spoke. `unfinished` waits for its end.
    Stopped { unfinished: Option<UtteranceId>, by: Instant },
}

/// Which utterance is being made.
#[derive(Debug)]
pub(super) struct Turns {
    state: State,
    next: u64,
}

impl Turns {
    /// Nobody has spoken yet.
    pub(super) const fn new() -> Self {
        Self { state: State::Between { last: None }, next: 0 }
    }

    fn open(&mut self) -> UtteranceId {
        let utterance = UtteranceId(self.next);
        self.next = self.next.saturating_add(1);
        self.state = State::Speaking { utterance, arrival: Arrival::Coming, audience: Audience::Listening };
        utterance
    }

    /// The utterance that audio belongs to; `None` when nobody listens to it any more.
    pub(super) fn audio(&mut self) -> Option<UtteranceId> {
        match self.state {
            State::Speaking { audience: Audience::Gone, .. } | State::Stopped { .. } => None,
            State::Speaking { utterance, arrival: Arrival::Coming, .. } => Some(utterance),
            State::Between { .. } | State::Speaking { arrival: Arrival::Complete, .. } => Some(self.open()),
        }
    }

    /// The utterance that words belong to, which may come before its audio or after its end.
    pub(super) fn words(&mut self) -> Option<UtteranceId> {
        match self.state {
            State::Speaking { audience: Audience::Gone, .. } | State::Stopped { .. } => None,
            State::Speaking { utterance, .. } | State::Between { last: Some(utterance) } => Some(utterance),
            State::Between { last: None } => Some(self.open()),
        }
    }

    /// Somebody other than the model said something: its next words are of another turn.
    pub(super) fn answered_by_another(&mut self) {
        if let State::Between { last } = &mut self.state {
            *last = None;
        }
    }

    /// `generationComplete`: the utterance of which no more audio will come.
    pub(super) fn generated(&mut self) -> Option<UtteranceId> {
        let State::Speaking { utterance, arrival, audience } = &mut self.state else { return None };
        let first = std::mem::replace(arrival, Arrival::Complete) == Arrival::Coming;
        (first && *audience == Audience::Listening).then_some(*utterance)
    }

    /// `interrupted`.
    pub(super) fn interrupted(&mut self, now: Instant) {
        let unfinished = self.generated();
        self.state = State::Stopped { unfinished, by: now + ENDS_WITHIN };
    }

    /// The caller cut in, and what was queued is gone.
    pub(super) fn cut(&mut self) {
        match &mut self.state {
            State::Speaking { audience, .. } => *audience = Audience::Gone,
            State::Stopped { unfinished, .. } => *unfinished = None,
            State::Between { last } => *last = None,
        }
    }

    /// `turnComplete`, or the end of the connection: the utterance of which no more audio will come.
    pub(super) fn complete(&mut self) -> Option<UtteranceId> {
        let unfinished = match self.state {
            State::Stopped { unfinished, .. } => unfinished,
            State::Speaking { .. } | State::Between { .. } => self.generated(),
        };
        let last = match self.state {
            State::Speaking { utterance, audience: Audience::Listening, .. } => Some(utterance),
            State::Between { last } => last,
            State::Speaking { audience: Audience::Gone, .. } | State::Stopped { .. } => None,
        };
        self.state = State::Between { last };
        unfinished
    }

    /// Whether the caller cut the turn off that is being made.
    pub(super) const fn is_cut(&self) -> bool {
        matches!(self.state, State::Speaking { audience: Audience::Gone, .. } | State::Stopped { .. })
    }

    /// Whether the model's turn is over.
    pub(super) const fn is_between(&self) -> bool {
        matches!(self.state, State::Between { .. })
    }

    /// When an interrupted turn counts as ended.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Stopped { by, .. } => Some(by),
            State::Between { .. } | State::Speaking { .. } => None,
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the origin of virtual time")]
mod tests {
    use super::*;

    const FIRST: Option<UtteranceId> = Some(UtteranceId(0));
    const SECOND: Option<UtteranceId> = Some(UtteranceId(1));

    #[test]
    fn words_before_and_after_the_audio_of_a_turn_are_of_that_turn() {
        let mut turns = Turns::new();
        assert_eq!((turns.words(), turns.audio(), turns.generated()), (FIRST, FIRST, FIRST));
        assert_eq!((turns.complete(), turns.words()), (None, FIRST), "ended once, and late words are its own");
        turns.answered_by_another();
        assert_eq!(turns.words(), SECOND);
    }

    #[test]
    fn what_comes_of_a_turn_that_was_stopped_is_stale_until_its_end() {
        let now = Instant::now();
        let mut turns = Turns::new();
        turns.audio();
        turns.interrupted(now);
        assert_eq!((turns.audio(), turns.words(), turns.is_cut()), (None, None, true));
        assert_eq!(turns.complete(), FIRST, "nobody cut it, so it is to be played out");
        assert_eq!(turns.audio(), SECOND);
        turns.cut();
        turns.interrupted(now);
        assert_eq!(turns.deadline(), Some(now + ENDS_WITHIN));
        assert_eq!(turns.complete(), None, "it was cut");
    }

    #[test]
    fn audio_after_the_end_of_a_generation_is_another_utterance() {
        let mut turns = Turns::new();
        assert_eq!((turns.audio(), turns.generated(), turns.audio()), (FIRST, FIRST, SECOND));
        assert_eq!(turns.complete(), SECOND);
    }
}
