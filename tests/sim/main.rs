//! Whole calls on a virtual clock: no sockets, no sleeps, a second of call in well under a millisecond.
#![allow(clippy::disallowed_methods, reason = "a test needs one origin of time")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "all of this is tests, also what no #[test] marks")]
mod calls;
mod conversations;
mod engine;
mod gemini;
mod house;
mod ladder;
mod model;
mod network;
mod parts;
mod phone;
mod refer_traces;
mod walk;
mod whole;
mod world;
mod written;
