//! That somebody listened in on a call.
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One time that somebody did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listened {
    /// Who, as they came: a user of the machine, or the name of a token.
    pub who: String,
    /// Since the call was answered.
    #[serde(rename = "from_ms", with = "super::millis")]
    pub from: Duration,
    /// The same.
    #[serde(rename = "to_ms", with = "super::millis")]
    pub to: Duration,
}
