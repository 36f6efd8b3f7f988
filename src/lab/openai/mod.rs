//! A simulated OpenAI Realtime server (GA): the protocol as far as a voice client can tell, with a script in place of
//! a model. It hears by volume, speaks by diphones or tones, delivers faster than real time and is strict about what
//! it is sent.
//!
//! At the path `/openai/v1/realtime` it is Azure, which takes the key as `api-key`.
//!
//! Not simulated: out-of-band responses, text-only output, images, approvals of MCP calls, WebRTC and SIP.
mod core;
pub(in crate::lab) mod schema;
mod script;
mod server;

pub use self::{
    core::{Core, Handshake},
    script::{Faults, Reply, Script, ScriptedFailure, ScriptedMcp},
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
