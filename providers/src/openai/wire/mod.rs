//! The JSON of OpenAI Realtime. Its keys appear nowhere else.
mod client;
mod server;

pub(super) use client::{ClientEvent, append, is_of_one_session, session_update};
pub(crate) use client::{Item, ToolSpec, Voice};
pub(super) use server::{
    AudioDelta, DoneResponse, Outcome, RateLimit, ServerEvent, Status, TokenUsage, Transcribed, TranscriptUsage, parse,
};
pub(crate) use server::{ErrorBody, OutputItem};
