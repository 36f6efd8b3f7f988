//! A change of provider in a conversation.
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One provider failed, and another went on, or the same again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When it failed, since the call was answered; zero while it rang.
    #[serde(rename = "at_ms", with = "super::millis")]
    pub at: Duration,
    /// Which failed: provider and model.
    pub from: String,
    /// Which went on: provider and model.
    pub to: String,
    /// What kind of failure, and the provider's own words.
    pub why: String,
    /// From the failure to the moment at which somebody heard the caller again.
    #[serde(rename = "gap_ms", with = "super::millis")]
    pub gap: Duration,
    /// What the caller said that nobody will hear.
    #[serde(rename = "lost_ms", with = "super::millis")]
    pub lost: Duration,
}
