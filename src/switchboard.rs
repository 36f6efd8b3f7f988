//! What is told of calls that are up, and of what happens at a server, to the tenants they belong to.
//!
//! PURE: the words, and who hears which. `drivers::switchboard` has the calls.
mod happening;
mod journal;

use crate::call::{LiveState, NotDone, RecordingNow};
use chrono::{DateTime, Utc};
pub use happening::{Entry, Happening, Side};
pub use journal::{Journal, Next};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

/// A call that is up, ringing included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveCall {
    /// Its conversation, as it will be in the database.
    pub conversation_uuid: Uuid,
    /// The tenant.
    pub domain_uuid: Uuid,
    /// The tenant's name.
    pub domain_name: String,
    /// Who answers.
    pub secretary_uuid: Uuid,
    /// Her name.
    pub secretary_name: String,
    /// The caller's number, as the PBX gave it.
    pub caller: String,
    /// What the caller dialled.
    pub called: String,
    /// When its INVITE came.
    pub began_at: DateTime<Utc>,
    /// When it was answered.
    pub answered_at: Option<DateTime<Utc>>,
    /// What it is doing.
    pub state: LiveState,
    /// Since when.
    pub state_since: DateTime<Utc>,
    /// Who speaks, as in the `realtime_provider` column.
    pub provider: String,
    /// With which model.
    pub model: String,
    /// Since when.
    pub provider_since: DateTime<Utc>,
    /// What it has cost so far, as far as providers have told, in micro-dollars.
    pub spent_micro_usd: u64,
    /// When that last grew.
    pub spent_at: Option<DateTime<Utc>>,
    /// Whether it is being recorded.
    pub recording: RecordingNow,
    /// Since when.
    pub recording_since: DateTime<Utc>,
    /// How many listen in.
    pub listeners: u32,
    /// The crypto suite of SRTP, `AES_CM_128_HMAC_SHA1_80`, …; `None` for plain RTP, and until it is answered.
    pub crypto: Option<String>,
}

/// Why nothing became of an order.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OrderError {
    /// No call of this tenant that is up is that conversation.
    #[error("no call that is up is that conversation; `ramal calls` lists them")]
    NotFound,
    /// What the call is doing does not allow it.
    #[error("that cannot be done while the call is {0}: {hint}", hint = hint(*.0))]
    NotNow(LiveState),
    /// No rule of the secretary names that destination; these are named.
    #[error("the secretary may not transfer there; she may transfer to: {}", listed(.0))]
    NoSuchDestination(Vec<String>),
    /// The call does not take the order in time.
    #[error("the call did not take the order in time, and will not; try again")]
    Busy,
}

/// Why nobody may listen.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ListenError {
    /// No call of this tenant that is up is that conversation.
    #[error("no call that is up is that conversation; `ramal calls` lists them")]
    NotFound,
    /// There is nothing to hear.
    #[error("there is nothing to hear while the call is {0}: {hint}", hint = hint(*.0))]
    NotNow(LiveState),
    /// Listening is not allowed for the calls of this tenant.
    #[error(
        "nobody may listen to the calls of this tenant; put its domain into `listen_in` of [recording], and call again"
    )]
    NotAllowed,
    /// As many listen, or have listened, as may.
    #[error("as many people listen to that call, or have, as may")]
    TooMany,
    /// The call does not answer in time.
    #[error("the call did not answer in time; try again")]
    Busy,
}

impl From<NotDone> for OrderError {
    fn from(why: NotDone) -> Self {
        match why {
            NotDone::Over => Self::NotFound,
            NotDone::NotNow(state) => Self::NotNow(state),
            NotDone::NoSuchDestination(choices) => Self::NoSuchDestination(choices),
            NotDone::NotAllowed | NotDone::TooMany => Self::Busy,
        }
    }
}

impl From<NotDone> for ListenError {
    fn from(why: NotDone) -> Self {
        match why {
            NotDone::Over => Self::NotFound,
            NotDone::NotNow(state) => Self::NotNow(state),
            NotDone::NotAllowed => Self::NotAllowed,
            NotDone::TooMany => Self::TooMany,
            NotDone::NoSuchDestination(_) => Self::Busy,
        }
    }
}

const fn hint(state: LiveState) -> &'static str {
    match state {
        LiveState::Ringing => "wait until it is answered",
        LiveState::Talking => "try again",
        LiveState::Transferring => "wait until the transfer has failed, or hang up",
        LiveState::Closing => "it ends by itself in a moment, or hang up",
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "nobody (she has no transfer_rules)".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_says_what_to_do_next() {
        for (error, words) in [
            (OrderError::NotFound, "`ramal calls`"),
            (OrderError::NotNow(LiveState::Ringing), "while the call is ringing: wait until it is answered"),
            (OrderError::NoSuchDestination(vec!["sales".into(), "support".into()]), "to: sales, support"),
            (OrderError::NoSuchDestination(Vec::new()), "nobody"),
        ] {
            assert!(error.to_string().contains(words), "{error}");
        }
        assert!(ListenError::NotAllowed.to_string().contains("listen_in"));
    }
}
