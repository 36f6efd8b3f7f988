//! OpenAI Realtime, the GA shape: one WebSocket, JSON both ways, G.711 passed through untouched,
//! wideband at 24 kHz.
//!
//! The server opens with `session.created`; one `session.update` configures it; nothing else is sent before
//! `session.updated`. Two sides create responses (the server's turn detection and this client), one may be active.
//! The client plays the audio, so the client truncates what was not heard.
mod config;
mod fault;
mod response;
mod session;
mod spoken;
mod tools;
mod wire;

pub use config::{Config, Eagerness, Format, Interrupts, NoiseReduction, TurnDetection};
pub use session::{Counters, Session};

#[cfg(test)]
mod tests;
