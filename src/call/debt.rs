//! What the assistant owes the caller, how long it may owe it, and how the answer came about.
use crate::record::Waterfall;
use std::time::{Duration, Instant};

/// Speech is known for speech some 250 ms after it began, so this much more of it is 400 ms: no cough, and no "yes" to
/// somebody in the room.
const WORTH_AN_ANSWER: Duration = Duration::from_millis(150);

/// An answer that is owed, or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Owed {
    #[default]
    Nothing,
    /// It is waited for until then; without a time, it has begun, or is not waited for.
    Answer { by: Option<Instant> },
}

/// The account of one call.
#[derive(Debug, Default)]
pub(super) struct Debt {
    owed: Owed,
    /// When the caller's speech was confirmed.
    speech: Option<Instant>,
    decided: Option<Instant>,
    thought: Option<Instant>,
    audio: Option<Instant>,
    /// The provider works on it so long, by its own account.
    works: Option<Instant>,
    /// When the caller last held the call no more.
    resumed: Option<Instant>,
}

impl Debt {
    /// The caller speaks: whatever was owed, the answer is to what they say.
    pub(super) fn caller_speaks(&mut self, now: Instant) {
        self.speech.get_or_insert(now);
        (self.decided, self.thought, self.audio, self.works) = (None, None, None, None);
        if let Owed::Answer { by } = &mut self.owed {
            *by = None;
        }
    }

    /// The caller waits for an answer from here on: what was decided and made before is none.
    pub(super) fn asked(&mut self) {
        (self.decided, self.audio) = (None, None);
    }

    /// Our detector heard the end of a turn, whose last voice was then; true if it is worth an answer.
    pub(super) fn turn_heard(&mut self, last_voice: Instant) -> bool {
        let worth = |speech| last_voice.saturating_duration_since(speech) >= WORTH_AN_ANSWER || self.decided.is_some();
        self.speech.take().is_some_and(worth)
    }

    /// The turn is no matter of our detector any more: the provider decided, or nobody means to answer.
    pub(super) fn turn_passed(&mut self) {
        self.speech = None;
    }

    /// Whether the provider has decided that the turn is over.
    pub(super) const fn is_decided(&self) -> bool {
        self.decided.is_some()
    }

    /// The turn is over for whoever decides that.
    pub(super) fn decided(&mut self, now: Instant) {
        if self.audio.is_none() {
            self.decided = Some(now);
        }
    }

    /// The model began to write. It may have begun before the turn was over, and again when it was not.
    pub(super) fn thought(&mut self, now: Instant) {
        if self.audio.is_none() {
            self.thought = Some(now);
        }
    }

    /// An answer is owed; the sooner deadline counts.
    pub(super) fn wait(&mut self, by: Option<Instant>) {
        let known = match self.owed {
            Owed::Answer { by } => by,
            Owed::Nothing => None,
        };
        self.owed = Owed::Answer { by: known.into_iter().chain(by).min() };
    }

    /// An answer that is waited for is waited for until then at the least.
    pub(super) fn put_off(&mut self, until: Instant) {
        if let Owed::Answer { by: Some(by) } = &mut self.owed {
            *by = (*by).max(until);
        }
    }

    /// The caller holds the call no more.
    pub(super) fn resumed(&mut self, now: Instant) {
        self.resumed = Some(now);
    }

    /// Whether the caller held the call since then: an answer that they could not hear was not late.
    pub(super) fn was_held_since(&self, voice: Instant) -> bool {
        self.resumed.is_some_and(|resumed| voice < resumed)
    }

    /// The provider works on it, and is not to be waited for in vain before then.
    pub(super) fn works(&mut self, until: Instant) {
        self.works = self.works.max(Some(until));
    }

    /// The provider does something about it.
    pub(super) fn begun(&mut self) {
        self.works = None;
        if let Owed::Answer { by } = &mut self.owed {
            *by = None;
        }
    }

    /// The first of its audio came.
    pub(super) fn audio(&mut self, now: Instant) {
        self.begun();
        self.audio.get_or_insert(now);
    }

    /// All of what was being said was made; another answer may be waited for since.
    pub(super) fn settled(&mut self) {
        if let Owed::Answer { by: None } = self.owed {
            self.owed = Owed::Nothing;
        }
    }

    pub(super) const fn is_owed(&self) -> bool {
        matches!(self.owed, Owed::Answer { .. })
    }

    /// When it has been waited for long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.owed {
            Owed::Answer { by } => by.map(|by| self.works.map_or(by, |works| works.max(by))),
            Owed::Nothing => None,
        }
    }

    /// The first packet of the answer left: how it came about, since the caller's last voice.
    pub(super) fn waterfall(&mut self, voice: Instant) -> Option<Waterfall> {
        let since = |at: Instant| at.saturating_duration_since(voice);
        let (decided, thought, audio) = (self.decided.take(), self.thought.take(), self.audio.take());
        audio.map(|audio| Waterfall { decided: decided.map(since), thought: thought.map(since), audio: since(audio) })
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the origin of virtual time")]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_cough_is_owed_nothing_and_the_sooner_deadline_counts() {
        let (now, mut debt) = (Instant::now(), Debt::default());
        debt.caller_speaks(now);
        assert!(!debt.turn_heard(now + ms(100)));
        debt.caller_speaks(now);
        assert!(debt.turn_heard(now + ms(400)));
        debt.wait(Some(now + ms(16_000)));
        debt.wait(Some(now + ms(8_000)));
        assert_eq!(debt.deadline(), Some(now + ms(8_000)));
        debt.settled();
        assert_eq!(debt.deadline(), Some(now + ms(8_000)), "it was no answer to this that ended");
        debt.begun();
        assert_eq!((debt.deadline(), debt.is_owed()), (None, true));
        debt.settled();
        assert!(!debt.is_owed());
    }

    #[test]
    fn who_works_without_a_word_is_waited_for_until_then_and_no_longer() {
        let (now, mut debt) = (Instant::now(), Debt::default());
        debt.wait(Some(now + ms(8_000)));
        debt.works(now + ms(30_000));
        debt.wait(Some(now + ms(9_000)));
        assert_eq!(debt.deadline(), Some(now + ms(30_000)));
        debt.caller_speaks(now);
        debt.wait(Some(now + ms(8_000)));
        assert_eq!(debt.deadline(), Some(now + ms(8_000)), "that was for an answer nobody wants any more");
    }

    #[test]
    fn the_steps_of_a_reply_are_counted_from_the_last_voice() {
        let (voice, mut debt) = (Instant::now(), Debt::default());
        debt.caller_speaks(voice - ms(900));
        debt.decided(voice + ms(500));
        debt.thought(voice + ms(450));
        debt.thought(voice + ms(650));
        debt.audio(voice + ms(800));
        debt.audio(voice + ms(900));
        debt.decided(voice + ms(850));
        let steps = Waterfall { decided: Some(ms(500)), thought: Some(ms(650)), audio: ms(800) };
        assert_eq!(debt.waterfall(voice), Some(steps));
        assert_eq!(debt.waterfall(voice), None, "told once");
        debt.audio(voice);
        debt.asked();
        assert_eq!(debt.waterfall(voice + ms(900)), None, "that audio answered nothing");
    }
}
