//! What is kept of a call's recording beside the file: the `recording` column.
use media::recording::{Pause, Summary};
use serde::{Deserialize, Serialize};
use std::{
    path::{Component, Path},
    time::Duration,
};
use uuid::Uuid;

/// What stands before the conversation in the name of a file.
const CALL: &str = "00000000-0000-0000-0000-000000000000-";

/// A recording as the conversation's record has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// What became of the file.
    pub state: State,
    /// The file, from the folder of recordings; `None` if there never was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How long the call was recorded, pauses and gaps included: less than it lasted where the file ends early.
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
    /// The server on whose disk it is: only that one deletes it. `None` once only the store has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// That server is gone for ever, as somebody said, and the file with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<String>,
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

impl Recording {
    /// What a row is to say that was written before this was known: a patch of the column (RFC 7396). Where the file is
    /// stays as it is there, unless there is none.
    pub fn patch(&self) -> serde_json::Value {
        let known = serde_json::to_value(self).unwrap_or_default();
        let place: &[&str] = if self.path.is_none() { &["path", "key_id", "store", "node"] } else { &[] };
        let file = ["state", "duration_ms", "bytes", "sha256", "gaps", "problem"];
        let keys = file.into_iter().chain(place.iter().copied());
        keys.map(|key| (key, known.get(key).cloned().unwrap_or_default())).collect()
    }

    /// This, of a process that died, in place of what the next one made up for it: that had finished the same file, and knows it
    /// and where it is.
    #[must_use]
    pub fn in_place_of(self, made_up: Option<Self>) -> Self {
        let Some(made_up) = made_up.filter(|made_up| made_up.path.is_some() && made_up.path == self.path) else {
            return self;
        };
        let Self { duration, bytes, sha256, store, node, released, .. } = made_up;
        let placed = Self { store, node, released, ..self };
        if placed.sha256.is_some() || sha256.is_none() {
            return placed;
        }
        Self { duration, bytes, sha256, ..placed }
    }

    /// Whether its file is in the folder of this tenant, and not named after another conversation. A row may have been written by
    /// anybody: whoever opens, sends or deletes a file for it asks this before.
    pub fn is_of(&self, domain: Uuid, conversation: Uuid) -> bool {
        let path = self.path.as_deref().and_then(|path| path.strip_prefix(&format!("{domain}/")));
        path.is_some_and(|rest| {
            let within =
                !rest.is_empty() && Path::new(rest).components().all(|part| matches!(part, Component::Normal(_)));
            within && named_after(rest).is_none_or(|named| named == conversation)
        })
    }
}

/// The conversation in `CALL-CONVERSATION.wav`. A UUID alone may be the call's, in what was recorded by an earlier version.
fn named_after(path: &str) -> Option<Uuid> {
    let name = Path::new(path).file_name()?.to_str()?;
    let (_, own) = name.split('.').next()?.split_at_checked(CALL.len())?;
    own.parse().ok()
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
            node: None,
            released: None,
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

    #[test]
    fn what_is_known_late_takes_the_place_of_what_was_said_before() {
        let summary = Summary { duration: Duration::from_secs(6), pauses: Vec::new(), displaced: Duration::ZERO };
        let failed = Recording::from(summary);
        let whole = Recording { state: State::Complete, path: Some("p".into()), bytes: Some(7), ..failed.clone() };
        let null = serde_json::Value::Null;
        let json = serde_json::json!({
            "state": "complete", "duration_ms": 6_000, "bytes": 7, "sha256": null, "gaps": null, "problem": null,
        });
        assert_eq!(whole.patch(), json, "where it is, and whether it has been moved, others know better");
        let patch = failed.patch();
        assert!(["path", "key_id", "store", "node"].iter().all(|key| patch.get(key) == Some(&null)), "{patch}");
    }

    #[test]
    fn a_path_that_leads_to_another_tenant_or_conversation_is_not_its_own() {
        let (own, other, conversation) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        let summary = Summary { duration: Duration::ZERO, pauses: Vec::new(), displaced: Duration::ZERO };
        let of = |path: String| Recording { path: Some(path), ..Recording::from(summary.clone()) };
        for name in ["c".to_owned(), other.to_string(), format!("{other}-{conversation}"), format!("{other}-x")] {
            assert!(of(format!("{own}/2026/11/26/{name}.wav.sealed")).is_of(own, conversation), "{name}");
        }
        for path in [
            format!("{own}/2026/11/26/{other}-{other}.wav"),
            format!("{other}/2026/11/26/c.wav"),
            format!("{own}/../{other}/c.wav"),
            format!("../{own}/c.wav"),
            format!("/{own}/c.wav"),
            format!("{own}//etc/passwd/.."),
            format!("{own}x/c.wav"),
            format!("{own}/"),
            format!("{own}"),
            "c.wav".into(),
            String::new(),
        ] {
            assert!(!of(path.clone()).is_of(own, conversation), "{path}");
        }
        assert!(!Recording::from(summary).is_of(own, conversation));
    }
}
