//! A simulated OpenAI Realtime server (GA): the protocol as far as a voice client can tell, with a script in place of
//! a model. It hears by volume, speaks by diphones or tones, delivers faster than real time and is strict about what
//! it is sent.
//!
//! Not simulated: out-of-band responses, text-only output, images, MCP, `idle_timeout_ms`, WebRTC and SIP.
mod core;
mod schema;
mod script;
mod server;

pub use self::{
    core::{Core, Handshake},
    script::{Faults, Reply, Script, ScriptedFailure},
};
pub use super::{
    script::{Say, ScriptedCall, TimedMessage},
    server::{Departure, Direction, Logged, Tls},
    voice::Voice,
};

/// A running server.
pub type Server = super::server::Server<Core>;

#[cfg(test)]
mod tests;
