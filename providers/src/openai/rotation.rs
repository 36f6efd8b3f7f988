//! When a session is left for a fresh one. The server ends it after 60 minutes, whatever is being said then.
use std::time::{Duration, Instant};

/// How long after the time to leave a pause in the conversation is waited for.
const LINGER: Duration = Duration::from_secs(8 * 60);
/// Nobody has said anything for so long: a pause.
const CALM: Duration = Duration::from_secs(1);
/// A session that the server ends before this has not been one.
const WORKS_AFTER: Duration = Duration::from_secs(60);
/// Waits before connecting again in a row; after the last the conversation is given up.
const BACK_OFF: [Duration; 2] = [Duration::ZERO, Duration::from_millis(500)];

/// The session that is open, and when it is to be left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Term {
    since: Instant,
    /// When to look for a pause.
    look_at: Instant,
    /// When it is left in any case.
    by: Instant,
}

/// The sessions of one conversation.
#[derive(Debug)]
pub(crate) struct Rotation {
    after: Duration,
    term: Option<Term>,
    /// A session was open before this one.
    is_followed: bool,
    retries: usize,
}

impl Rotation {
    /// None is open; each is to be left after so long.
    pub(crate) const fn new(after: Duration) -> Self {
        Self { after, term: None, is_followed: false, retries: 0 }
    }

    /// A session is configured; true if it takes the place of another.
    pub(crate) fn opened(&mut self, now: Instant) -> bool {
        let look_at = now + self.after;
        self.term = Some(Term { since: now, look_at, by: look_at + LINGER });
        self.retries = 0;
        std::mem::replace(&mut self.is_followed, true)
    }

    /// It was left, or is no more.
    pub(crate) fn closed(&mut self) {
        self.term = None;
    }

    /// Somebody says something.
    pub(crate) fn stirred(&mut self, now: Instant) {
        if let Some(term) = &mut self.term {
            term.look_at = term.look_at.max(now + CALM);
        }
    }

    /// Whether the session is to be left at this moment.
    pub(crate) fn is_due(&mut self, is_calm: bool, now: Instant) -> bool {
        let Some(term) = &mut self.term else { return false };
        if term.by <= now || (term.look_at <= now && is_calm) {
            return true;
        }
        if term.look_at <= now {
            term.look_at = now + CALM;
        }
        false
    }

    /// Whether the server has ended a session that had its time: another follows.
    pub(crate) fn has_lasted(&self, now: Instant) -> bool {
        self.term.is_some_and(|term| term.since + WORKS_AFTER <= now)
    }

    /// The session that was to follow is not to be had: when to try again, if another time.
    pub(crate) fn again(&mut self, now: Instant) -> Option<Instant> {
        let wait = BACK_OFF.get(self.retries).filter(|_| self.is_followed && self.term.is_none())?;
        self.retries = self.retries.saturating_add(1);
        Some(now + *wait)
    }

    /// The next deadline and why.
    pub(crate) fn deadline(&self) -> Option<(Instant, &'static str)> {
        self.term.map(|term| (term.look_at.min(term.by), "openai end of a session"))
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the origin of virtual time")]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(50 * 60);

    #[test]
    fn a_session_is_left_in_a_pause_and_at_last_in_any_case() {
        let (mut rotation, start) = (Rotation::new(AFTER), Instant::now());
        assert!(!rotation.opened(start) && !rotation.is_due(true, start));
        let late = start + AFTER;
        assert!(!rotation.is_due(false, late), "somebody speaks");
        assert_eq!(rotation.deadline().map(|(at, _)| at), Some(late + CALM));
        rotation.stirred(late + CALM);
        assert!(!rotation.is_due(true, late + CALM), "somebody has just spoken");
        assert!(rotation.is_due(true, late + CALM * 2));
        assert!(!rotation.is_due(false, late + LINGER - CALM) && rotation.is_due(false, late + LINGER));
        rotation.closed();
        assert!(rotation.opened(late), "it takes the place of another");
    }

    #[test]
    fn a_session_that_is_not_to_be_had_is_tried_for_twice_more_and_the_first_not_at_all() {
        let (mut rotation, now) = (Rotation::new(AFTER), Instant::now());
        assert_eq!(rotation.again(now), None);
        rotation.opened(now);
        rotation.closed();
        assert_eq!(BACK_OFF.map(|_| rotation.again(now)), BACK_OFF.map(|wait| Some(now + wait)));
        assert_eq!(rotation.again(now), None);
    }
}
