//! What a reply waited for.
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The steps of a reply, each counted from the last packet of the caller's speech; its first packet is the turn's latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waterfall {
    /// The provider decided that the turn was over (where our detector decides: the detector did).
    #[serde(rename = "decided_ms", with = "super::optional_millis", default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Duration>,
    /// The model of a provider that is made of parts wrote its first word; with an answer begun in advance, before the above.
    #[serde(rename = "thought_ms", with = "super::optional_millis", default, skip_serializing_if = "Option::is_none")]
    pub thought: Option<Duration>,
    /// The first audio of the reply came from the provider.
    #[serde(rename = "audio_ms", with = "super::millis")]
    pub audio: Duration,
}
