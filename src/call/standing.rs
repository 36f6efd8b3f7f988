//! How a call stands, as somebody outside sees it.
use super::{Call, State};
use crate::record::MicroUsd;
use media::srtp::Suite;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a call that is up is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiveState {
    /// Nobody talks yet: the provider is being connected, or the media are being agreed.
    Ringing,
    /// Caller and assistant talk, or both are silent.
    Talking,
    /// A transfer is being announced, or the phone system is at it.
    Transferring,
    /// The goodbye is being said.
    Closing,
}

impl LiveState {
    /// As in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ringing => "ringing",
            Self::Talking => "talking",
            Self::Transferring => "transferring",
            Self::Closing => "closing",
        }
    }
}

impl fmt::Display for LiveState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a call is being recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// It is not.
    No,
    /// It is.
    Yes,
    /// It is, and somebody wants a pause.
    Paused,
}

/// A look at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing<'a> {
    /// What it is doing.
    pub state: LiveState,
    /// Whether it has been answered.
    pub answered: bool,
    /// Whether it is being recorded.
    pub recording: Kept,
    /// Who speaks, or is about to.
    pub provider: &'static str,
    /// With which model.
    pub model: &'a str,
    /// What it has cost so far, as far as the provider has told.
    pub spent: MicroUsd,
    /// How many listen in.
    pub listeners: usize,
    /// The crypto suite of SRTP, once audio flows; `None` for plain RTP.
    pub crypto: Option<&'static str>,
}

impl Call {
    /// How this call stands; `None` once it is over.
    pub fn standing(&self) -> Option<Standing<'_>> {
        let (state, recording, crypto) = match &self.state {
            State::Ringing(_) | State::Offering(_) => (LiveState::Ringing, Kept::No, None),
            State::Live(live) => (live.live_state(), live.kept(), live.media.crypto()),
            State::Over => return None,
        };
        Some(Standing {
            state,
            answered: matches!(self.state, State::Live(_)),
            recording,
            provider: self.desk.rung.provider(),
            model: self.desk.rung.engine(),
            spent: self.spent(),
            listeners: self.desk.log.listeners(),
            crypto: crypto.map(Suite::name),
        })
    }
}
