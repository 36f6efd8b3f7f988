//! A simulated OpenAI Live server: full duplex, a script in place of a model. It hears by volume, stops by itself some
//! time after the caller began to speak, speaks in real time, and is strict about what it is sent.
//!
//! Not simulated: sideband connections, forks, decisions, audio fixtures, WebRTC and SIP.
mod core;
mod schema;
mod script;
mod server;

pub use self::{
    core::Core,
    script::{Faults, Reply, Script},
};
pub use super::{
    script::{Say, ScriptedCall, TimedMessage},
    server::{Departure, Tls},
    voice::Voice,
};

/// A running server.
pub type Server = super::server::Server<Core>;

#[cfg(test)]
mod tests;
