//! A simulated Gemini Live server: the protocol as far as a voice client can tell, with a script in place of a model. It
//! hears by volume, speaks by diphones or tones, delivers faster than real time, hands out handles to go on with, and is
//! strict about what it is sent.
//!
//! Not simulated: manual activity, video, text-only output, tools of Google's own, Vertex.
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
    server::{Departure, Direction, Logged, Tls},
    voice::Voice,
};

/// A running server.
pub type Server = super::server::Server<Core>;

#[cfg(test)]
mod tests;
