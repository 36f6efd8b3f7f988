//! OpenAI Realtime, the GA shape: one WebSocket, JSON both ways, G.711 passed through untouched,
//! wideband at 24 kHz.
//!
//! The server opens with `session.created`; one `session.update` configures it; nothing else is sent before
//! `session.updated`. A session lasts an hour; before that it is left in a pause for a fresh one, which is told what was
//! said. Two sides create responses (the server's turn detection and this client), one may be active.
//! The client plays the audio, so the client truncates what was not heard.
mod config;
pub(crate) mod fault;
pub(crate) mod memory;
mod response;
pub(crate) mod rotation;
mod session;
mod spoken;
pub(crate) mod tools;
pub(crate) mod wire;

pub use config::{
    Auth, Bounds, Config, Eagerness, Effort, Format, Interrupts, McpServer, NoiseReduction, ToolChoice, Truncation,
    TurnDetection,
};
pub use session::{Counters, Session};

#[cfg(test)]
mod tests;
