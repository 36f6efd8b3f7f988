//! A conversation of separate parts: one service hears, one answers, one speaks, each its own choice. Turn by turn where
//! the hearing service takes whole turns only.
mod clauses;
mod config;
mod ears;
mod fault;
mod history;
mod mind;
mod mouth;
mod session;
mod sound;
mod sse;
#[cfg(test)]
mod tests;
mod text;
mod uplink;
mod wire;

pub use config::{Chat, Config, Credentials, Filler, Hearing, Voice};
pub use session::Session;
