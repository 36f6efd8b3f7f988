//! A simulated OpenAI Realtime server (GA): the protocol as far as a voice client can tell, with a script in place of
//! a model. It hears by volume, speaks by diphones or tones, delivers faster than real time and is strict about what
//! it is sent.
//!
//! Not simulated: out-of-band responses, text-only output, images, MCP, `idle_timeout_ms`, WebRTC and SIP.
mod command;
mod core;
mod hearing;
mod schema;
mod script;
mod server;
mod voice;

pub use self::{
    command::{Args, run},
    core::{Core, Departure, Handshake},
    script::{Faults, Reply, Say, Script, ScriptError, ScriptedCall, ScriptedFailure, TimedMessage},
    server::{Direction, Logged, Server, Tls},
    voice::Voice,
};

#[cfg(test)]
mod tests;
