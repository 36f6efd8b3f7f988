//! A simulated ElevenLabs Agents server: the protocol as far as a voice client can tell, with a script in place of an
//! agent. It signs URLs and tells what a conversation cost over the same port, hears by volume, speaks by diphones or
//! tones, delivers faster than real time, interrupts itself, and is strict about what it is sent.
//!
//! Not simulated: text-only conversations, files, MCP, transfers of its own.
mod core;
mod house;
mod schema;
mod script;
mod server;

pub use self::{
    core::Core,
    house::House,
    script::{Faults, QuotaShape, Reply, Script, ScriptedError, State},
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
