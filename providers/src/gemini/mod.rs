//! Gemini Live (`BidiGenerateContent`): one WebSocket, JSON both ways, 16 kHz PCM up and 24 kHz down.
//!
//! The client opens with `setup`; nothing else is sent before `setupComplete`. The server hears the caller's turns by
//! itself and speaks one turn at a time, faster than it is played: audio, `generationComplete`, and `turnComplete` when
//! it believes it was heard. It says `interrupted` when the caller cut in. It keeps no count of what was heard, so there
//! is nothing to truncate.
//!
//! A connection lives for minutes, a conversation longer: the server hands out handles, and with the last one the
//! conversation goes on over another connection ([`crate::Event::Reconnect`]), between turns where the server announces
//! the end of this one (`goAway`), at once where the connection breaks.
mod calls;
mod config;
mod connection;
mod fault;
mod notes;
mod patience;
mod session;
mod turn;
mod wire;

pub use config::{Config, Ending, Start, TurnDetection};
pub use session::{Counters, Session};

#[cfg(test)]
mod tests;
