//! Whether the caller waits for an answer that does not come: models have been seen to fall silent for the rest of a
//! session, mostly after an interruption.
use std::time::{Duration, Instant};

/// How long the model may take to begin an answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// Silences in a row after which the conversation is given up.
const GIVEN_UP_AFTER: u32 = 3;

/// What was last known of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    /// It spoke, or nobody has asked it anything yet.
    Answer,
    /// It was interrupted.
    Interruption,
}

/// What to do about a silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// Ask again, over another connection if there can be one.
    AskAgain,
    /// It has been asked often enough.
    GiveUp,
}

/// The watch over one conversation.
#[derive(Debug)]
pub(super) struct Patience {
    since: Since,
    waiting_until: Option<Instant>,
    silences: u32,
}

impl Patience {
    pub(super) const fn new() -> Self {
        Self { since: Since::Answer, waiting_until: None, silences: 0 }
    }

    /// The model owes an answer: the caller said words, or we did.
    pub(super) fn asked(&mut self, now: Instant) {
        self.waiting_until = Some(now + ANSWERS_WITHIN);
    }

    /// The caller stopped making a sound that may have been speech. What has no words needs no answer, unless the model
    /// was interrupted and may not hear any more.
    pub(super) fn caller_stopped(&mut self, now: Instant) {
        match self.since {
            Since::Interruption => self.asked(now),
            Since::Answer => {}
        }
    }

    /// The model was interrupted.
    pub(super) fn interrupted(&mut self) {
        self.since = Since::Interruption;
        self.waiting_until = None;
    }

    /// The model speaks or acts.
    pub(super) fn answered(&mut self) {
        *self = Self::new();
    }

    /// Whether an answer is awaited.
    pub(super) const fn is_waiting(&self) -> bool {
        self.waiting_until.is_some()
    }

    /// The silence that has lasted too long, once.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<Silence> {
        self.waiting_until.take_if(|until| *until <= now)?;
        self.silences = self.silences.saturating_add(1);
        Some(if self.silences < GIVEN_UP_AFTER { Silence::AskAgain } else { Silence::GiveUp })
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.waiting_until
    }
}
