//! OpenAI Live: one WebSocket, JSON both ways, G.711 passed through untouched, wideband at 24 kHz.
//!
//! Full duplex: both sides speak at any time, and nobody says when a turn begins or ends. The client opens with
//! `session.start`; nothing else is sent before `session.started`. The model stops by itself when it is interrupted and
//! takes no truncation, so the call's own detector decides what the caller hears, and the model is told what that was.
//! Tools are called by a second model behind it (Responses), whose events come wrapped in ours.
mod config;
mod session;
mod stream;
mod wire;

pub use config::{Config, DEFAULT_URL};
pub use session::{Counters, Session};

#[cfg(test)]
mod tests;
