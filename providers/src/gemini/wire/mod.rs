//! The JSON of Gemini Live. Its keys appear nowhere else.
mod client;
mod server;

pub(super) use client::{audio, audio_stream_end, is_tool_response, setup, text, tool_response};
pub(super) use server::{
    Blob, Content, FunctionCall, ModalityCount, ServerMessage, Transcription, UsageMetadata, parse,
};
