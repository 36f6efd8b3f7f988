//! The JSON of ElevenLabs Agents. Its keys appear nowhere else.
mod client;
mod server;

pub(super) use client::{ClientEvent, append, initiation};
pub(super) use server::{AudioChunk, ErrorBody, Metadata, ServerEvent, parse};
