//! The JSON of OpenAI Realtime. Its keys appear nowhere else.
mod client;
mod server;

pub(super) use client::{ClientEvent, Item, append, session_update};
pub(super) use server::{
    AudioDelta, DoneResponse, ErrorBody, OutputItem, ServerEvent, Status, TokenUsage, TranscriptUsage, parse,
};
