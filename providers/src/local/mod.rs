//! The built-in provider: a receptionist that answers from registered questions and answers, without a language model
//! and without any service outside this process.
//!
//! With a recogniser it listens and retrieves; without one it is a touch-tone menu that plays back what the caller said.
//! Answers are spoken verbatim, so it cannot invent; what it does not know it says it does not know. It tells the caller
//! what it is.
mod announcer;
mod concepts;
pub(crate) mod ears;
mod intent;
mod language;
mod menu;
mod mouth;
mod phrases;
mod reception;
mod retrieval;
mod session;
#[cfg(test)]
mod tests;
mod text;
mod transcript;

pub use announcer::{Announcer, Notice, Occasion};
pub use language::Language;
pub use menu::{Choice, MenuItem};
pub use phrases::wording;
pub use session::Session;
pub use transcript::clean;

use media::SampleRate;

/// A registered answer and the questions it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How callers ask for it; the first is its title in the menu.
    pub questions: Vec<String>,
    /// Spoken verbatim.
    pub answer: String,
}

/// Somebody a caller can be put through to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferTarget {
    /// The destination's name, as in the secretary's transfer rules and in the `transfer` tool call.
    pub name: String,
    /// Other words callers use for it.
    pub aliases: Vec<String>,
}

/// Whether the engine recognises speech.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// A recogniser is loaded: a spoken conversation.
    Words,
    /// None: touch tones and play-back.
    None,
}

/// Whether the greeting says what this provider is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disclosure {
    /// It does; for anything that strangers may call.
    Spoken,
    /// It does not: the owner tells callers in another way.
    Omitted,
}

/// One secretary, as this provider plays it.
#[derive(Clone, Debug)]
pub struct Config {
    /// What callers speak, and the registered texts are written in.
    pub language: Language,
    /// What the provider's own phrases are spoken in: `language`, unless no voice for it is installed.
    pub voice: Language,
    /// Said before anything else, verbatim.
    pub notice: Option<String>,
    /// Said first of the secretary's words, verbatim; a neutral greeting if there is none.
    pub first_message: Option<String>,
    /// Said behind them, verbatim: what keys do that are not this provider's.
    pub keys_announcement: Option<String>,
    /// The registered answers.
    pub answers: Vec<Answer>,
    /// Where callers can be put through; the first is for callers who ask for "somebody".
    pub transfers: Vec<TransferTarget>,
    /// Keys and what they do; when empty, 1–9 are given to the answers and transfers in order. `0` always repeats.
    pub menu: Vec<MenuItem>,
    /// Whether words are recognised.
    pub hearing: Hearing,
    /// At what rate the caller is heard.
    pub heard_at: SampleRate,
    /// At what rate they are spoken to, at the most: a voice may have less.
    pub spoken_at: SampleRate,
    /// Whether the greeting says what this is.
    pub disclosure: Disclosure,
}

impl Config {
    /// A secretary with nothing registered.
    pub fn new(language: Language, hearing: Hearing) -> Self {
        Self {
            language,
            voice: language,
            notice: None,
            first_message: None,
            keys_announcement: None,
            answers: Vec::new(),
            transfers: Vec::new(),
            menu: Vec::new(),
            hearing,
            heard_at: SampleRate::HZ_8000,
            spoken_at: SampleRate::HZ_8000,
            disclosure: Disclosure::Spoken,
        }
    }
}
