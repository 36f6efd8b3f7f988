//! Words of ours that the model is to answer. They wait while somebody speaks: the server would stop the model for them.
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How long words wait for silence; noise can sound like speech for ever.
const HELD_FOR: Duration = Duration::from_secs(8);
/// Words that may wait; beyond it the oldest are dropped, and that is told.
const MOST: usize = 8;

/// Whether words may talk over somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manners {
    /// They wait.
    Polite,
    /// They do not.
    Urgent,
}

/// What waits, in order.
#[derive(Debug, Default)]
pub(super) struct Notes(VecDeque<(String, Instant)>);

impl Notes {
    /// More words; false when others were dropped for them.
    pub(super) fn push(&mut self, words: String, manners: Manners, now: Instant) -> bool {
        let full = self.0.len() >= MOST;
        if full {
            self.0.pop_front();
        }
        let until = match manners {
            Manners::Polite => now + HELD_FOR,
            Manners::Urgent => now,
        };
        self.0.push_back((words, until));
        !full
    }

    /// The next words to send, if it is silent or any of them has waited long enough.
    pub(super) fn next(&mut self, is_silent: bool, now: Instant) -> Option<String> {
        let due = is_silent || self.deadline().is_some_and(|until| until <= now);
        if due { self.0.pop_front().map(|(words, _)| words) } else { None }
    }

    /// When the first of them has waited long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.iter().map(|(_, until)| *until).min()
    }
}
