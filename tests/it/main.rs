//! Ramal from the outside: real sockets, SIPp, Kamailio and phones of others as peers, and the rules of the house.
//!
//! Every test starts its own server on ports and in a folder of its own, so all may run at once. `RAMAL_BIN` names the
//! program under test; without it, it is the debug build.
#![expect(clippy::disallowed_methods, reason = "the outside tests run in real time")]

mod accounts;
mod api;
mod audio;
mod baresip;
mod callers;
mod calls;
mod codecs;
mod elevenlabs;
mod gemini;
mod hostile;
mod kamailio;
mod keys;
mod knowledge;
mod limits;
mod live;
mod money;
mod openai;
mod parts;
mod phone;
mod phones;
mod recording;
mod registrar;
mod rekeying;
mod rtp;
mod secure;
mod sessions;
mod signalling;
mod tidy;
mod trace;
mod transfer;
mod transports;
mod trials;
mod uplink;
mod wire;

use anyhow::Result;
use testkit::stage::{Ramal, Settings, Stage};

/// A stage with the program that Cargo built.
fn stage() -> Result<Stage> {
    Stage::set(env!("CARGO_BIN_EXE_ramal"))
}

/// A stage and a server with one secretary, `demo`.
fn house() -> Result<(Stage, Ramal)> {
    let mut stage = stage()?;
    let ramal = stage.serve(&Settings::default().secretary("demo", ""))?;
    Ok((stage, ramal))
}
