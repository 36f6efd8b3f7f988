//! What every phone of others can be told.
use crate::process::Process;
use anyhow::Result;
use std::path::PathBuf;

/// How a phone is connected. By default it has no account, and calls straight to where a URI points.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// Its account.
    pub account: Option<Account>,
    /// The authority it believes over TLS, a PEM file.
    pub authority: Option<PathBuf>,
    /// Whether its audio is encrypted: SRTP or no call.
    pub audio: Audio,
    /// Whether reports share the port of RTP, if the other side agrees (RFC 5761). baresip only.
    pub rtcp_mux: bool,
    /// Whether it asks for no packets in pauses of Opus (RFC 7587 §6.1: `usedtx`). baresip only.
    pub skips_silence: bool,
}

/// Plain or encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Audio {
    /// RTP.
    #[default]
    Plain,
    /// SRTP, with keys in the SDP.
    Encrypted,
}

/// An account that is not registered: it only calls.
#[derive(Clone, Debug)]
pub struct Account {
    /// `user@domain`.
    pub address: String,
    /// The URI of the proxy that all its calls go through.
    pub proxy: String,
}

/// A phone that does what it is told. What must follow of it is awaited at the other end.
pub trait Phone {
    /// Calls, and waits for the answer.
    ///
    /// # Errors
    /// The phone does not obey, or there is no answer.
    fn dial(&mut self, uri: &str) -> Result<()>;
    /// Puts the other end on hold.
    ///
    /// # Errors
    /// The phone does not obey.
    fn hold(&mut self) -> Result<()>;
    /// Takes the other end back.
    ///
    /// # Errors
    /// The phone does not obey.
    fn resume(&mut self) -> Result<()>;
    /// Presses a key in the call.
    ///
    /// # Errors
    /// The phone does not obey.
    fn press(&mut self, key: char) -> Result<()>;
    /// Hangs up.
    ///
    /// # Errors
    /// The phone does not obey.
    fn hang_up(&mut self) -> Result<()>;
    /// Its output.
    fn process(&mut self) -> &mut Process;
}
