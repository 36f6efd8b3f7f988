//! Conversations on a virtual clock: what the services say and do, and what comes of it.
#![expect(clippy::disallowed_methods, reason = "the origin of virtual time")]
mod streaming;
mod turns;
mod world;
