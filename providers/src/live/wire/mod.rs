//! The JSON of OpenAI Live. Its keys appear nowhere else.
mod client;
mod server;

pub(super) use client::{ClientEvent, append, is_of_one_session, start};
pub(super) use server::{Backend, BackendUsage, ServerEvent, parse};
