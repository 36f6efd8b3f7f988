//! What is kept of a call's recording beside the file: the `recording` column.
use media::recording::{Pause, Summary};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A recording as the conversation's record has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// What became of the file.
    pub state: State,
    /// The file, from the folder of recordings; `None` if there never was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How long the call was recorded, pauses and gaps included.
    #[serde(rename = "duration_ms", with = "super::millis")]
    pub duration: Duration,
    /// Length of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// SHA-256 of the file, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Which key it is sealed with, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// Where it is sent to: `s3://BUCKET/KEY`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// Where it was paused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pauses: Vec<Span>,
    /// Where the disk was too slow, and silence stands for what was said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Span>,
    /// Why the file is not whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What became of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is there, whole.
    Complete,
    /// It ends before the call, or was not closed in time.
    Partial,
    /// There is none.
    Failed,
}

/// A part of a recording, from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Where it begins.
    #[serde(rename = "from_ms", with = "super::millis")]
    pub from: Duration,
    /// Where it ends.
    #[serde(rename = "to_ms", with = "super::millis")]
    pub to: Duration,
}

impl From<Pause> for Span {
    fn from(Pause { from, to }: Pause) -> Self {
        Self { from, to }
    }
}

impl From<Summary> for Recording {
    /// Before anything is known of its file.
    fn from(summary: Summary) -> Self {
        Self {
            state: State::Failed,
            path: None,
            duration: summary.duration,
            bytes: None,
            sha256: None,
            key_id: None,
            store: None,
            pauses: summary.pauses.into_iter().map(Span::from).collect(),
            gaps: Vec::new(),
            problem: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_column_says_what_is_known_and_reads_back() {
        let pause = Pause { from: Duration::from_millis(900), to: Duration::from_millis(2_000) };
        let summary = Summary { duration: Duration::from_secs(6), pauses: vec![pause], displaced: Duration::ZERO };
        let recording = Recording {
            state: State::Complete,
            path: Some("d/2026/11/26/c.wav".into()),
            bytes: Some(96_044),
            sha256: Some("00ff".into()),
            ..Recording::from(summary)
        };
        let json = serde_json::json!({
            "state": "complete", "path": "d/2026/11/26/c.wav", "duration_ms": 6_000, "bytes": 96_044,
            "sha256": "00ff", "pauses": [{"from_ms": 900, "to_ms": 2_000}],
        });
        assert_eq!(serde_json::to_value(&recording).unwrap(), json);
        assert_eq!(serde_json::from_value::<Recording>(json).unwrap(), recording);
    }
}
