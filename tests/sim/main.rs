//! Whole calls on a virtual clock: no sockets, no sleeps, a second of call in well under a millisecond.
#![allow(clippy::disallowed_methods, reason = "a test needs one origin of time")]
mod calls;
mod model;
mod walk;
