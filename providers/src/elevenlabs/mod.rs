//! ElevenLabs Agents: one WebSocket, JSON both ways. The agent is set up at the provider (voice, LLM, tools, audio
//! formats, whose turn it is); the client may override what the agent's settings allow.
//!
//! The client sends `conversation_initiation_client_data`, the server answers with the formats it speaks and hears. µ-law
//! passes untouched; A-law does not exist there. The server interrupts its own speech and says so by event id.
mod bill;
mod config;
mod fault;
mod session;
mod spoken;
mod tools;
mod wire;

pub(crate) use bill::read_bill;
pub use config::{Config, Format, Overrides};
pub use session::{Counters, Session};

#[cfg(test)]
mod tests;
