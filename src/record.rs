//! What is kept of a call: one row of `v_voice_conversations_realtime`, without a database.
mod change;
mod listened;
mod quality;
mod recording;
mod redact;
mod share;
mod waterfall;
mod words;

pub use change::Change;
use chrono::{DateTime, Utc};
pub use listened::Listened;
pub use quality::{MediaQuality, Score, Trouble, WayQuality};
pub use recording::{Recording, Span, State};
pub use redact::redact;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
pub use share::Share;
use std::time::Duration;
use uuid::Uuid;
pub use waterfall::Waterfall;
pub use words::words;

/// Why a call ended of which nobody lived to say more.
pub const KILLED: &str = "the server ended in the middle of the call";

/// One conversation, finished.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conversation {
    /// Chosen by us when the call begins, so that saving twice is saving once.
    pub conversation_uuid: Uuid,
    /// The tenant.
    pub domain_uuid: Uuid,
    /// Who answered; `None` once that secretary is deleted.
    pub secretary_realtime_uuid: Option<Uuid>,
    /// What joins this to the PBX's call records: its channel UUID if it sent one, else our leg's Call-ID.
    pub call_uuid: String,
    /// The caller's number, as the PBX gave it.
    pub caller_id: String,
    /// What the caller dialled.
    pub destination: String,
    /// When the call was answered (or refused).
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
    /// Both sides, in the order of speaking.
    pub turns: Vec<TurnRecord>,
    /// Changes of provider, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// How it ended, in one word.
    pub outcome: Outcome,
    /// How it ended, in a sentence for the administrator.
    pub end_reason: String,
    /// Where the caller was sent, or was to be sent.
    pub transfer_destination: Option<String>,
    /// Tokens the provider billed as input.
    pub input_tokens: u64,
    /// Tokens the provider billed as output.
    pub output_tokens: u64,
    /// Audio exchanged with the caller, i.e. the time from answer to end.
    pub audio: Duration,
    /// What the provider will charge, estimated.
    pub estimated_cost: MicroUsd,
    /// What those of its providers charged that tell it, some time after the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billed_cost: Option<MicroUsd>,
    /// What each of its providers had of it; none in a record that was read from the database.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<Share>,
    /// Which provider spoke at the end of the call (`openai`, `local`).
    pub provider: String,
    /// Model or engines, with versions or hashes where they are known; `RHVoice Letícia + whisper tiny`.
    pub engine: String,
    /// Its recording, if it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<Recording>,
    /// How it sounded; `None` if it had no audio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_quality: Option<MediaQuality>,
    /// Who listened in, in the order they came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listened: Vec<Listened>,
}

/// One thing said by one side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TurnRecord {
    /// Who spoke.
    pub who: Speaker,
    /// What was said; for the assistant, only what was heard.
    pub text: String,
    /// Since the call was answered.
    #[serde(rename = "at_ms", with = "millis")]
    pub at: Duration,
    /// How much of the assistant's speech left as RTP.
    #[serde(rename = "heard_ms", with = "optional_millis", default, skip_serializing_if = "Option::is_none")]
    pub heard: Option<Duration>,
    /// The caller cut it off.
    #[serde(default)]
    pub cut: bool,
    /// From the last packet of the caller's speech to our first packet of the reply.
    #[serde(rename = "latency_ms", with = "optional_millis", default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Duration>,
    /// What that time was spent on.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub waterfall: Option<Waterfall>,
}

/// The two sides of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// The human on the phone.
    Caller,
    /// The secretary.
    Assistant,
}

impl Speaker {
    /// As in the stored transcript.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Assistant => "assistant",
        }
    }
}

/// How a conversation ended; the `outcome` column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Both had said what they wanted.
    Completed,
    /// The caller talks with somebody else.
    Transferred,
    /// The caller hung up before anything was settled.
    Abandoned,
    /// A limit of time, turns or silence ended it.
    Timeout,
    /// Something broke.
    Failed,
}

impl Outcome {
    /// All, in the order of their declaration.
    pub const ALL: [Self; 5] = [Self::Completed, Self::Transferred, Self::Abandoned, Self::Timeout, Self::Failed];

    /// As in the column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Transferred => "transferred",
            Self::Abandoned => "abandoned",
            Self::Timeout => "timeout",
            Self::Failed => "failed",
        }
    }

    /// From the column; `None` for a word we did not write.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word)
    }
}

/// Millionths of a US dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MicroUsd(pub u64);

impl MicroUsd {
    /// In dollars, for a `decimal(10,4)` column.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1_000_000.0
    }
}

impl Conversation {
    /// Whether it stands for a record of a process that died, which may have kept one itself.
    pub fn is_made_up(&self) -> bool {
        self.end_reason == KILLED
    }

    /// From answer to end, rounded to the second; zero if the clock was set back meanwhile.
    pub fn duration(&self) -> Duration {
        (self.ended_at - self.started_at).to_std().unwrap_or_default()
    }

    /// How often the caller had a turn.
    pub fn total_turns(&self) -> usize {
        self.turns.iter().filter(|turn| turn.who == Speaker::Caller).count()
    }

    /// Mean over the turns that have a latency.
    pub fn average_latency(&self) -> Option<Duration> {
        let known: Vec<Duration> = self.turns.iter().filter_map(|turn| turn.latency).collect();
        let count = u32::try_from(known.len()).ok().filter(|n| *n > 0)?;
        Some(known.iter().sum::<Duration>() / count)
    }

    /// The `transcript` column: what produced the conversation, then what was said. Without NUL characters, which
    /// PostgreSQL's `jsonb` refuses.
    pub fn transcript(&self) -> Vec<TranscriptEntry> {
        let clean = |text: &str| text.replace('\0', "");
        let about = TranscriptEntry::About {
            provider: clean(&self.provider),
            engine: clean(&self.engine),
            end_reason: clean(&self.end_reason),
            changes: self.changes.iter().map(|c| Change { why: clean(&c.why), ..c.clone() }).collect(),
            listened: self.listened.iter().map(|l| Listened { who: clean(&l.who), ..l.clone() }).collect(),
        };
        let turn = |turn: &TurnRecord| TranscriptEntry::Turn(TurnRecord { text: clean(&turn.text), ..turn.clone() });
        std::iter::once(about).chain(self.turns.iter().map(turn)).collect()
    }
}

/// One element of the `transcript` column's JSON array.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TranscriptEntry {
    /// Somebody spoke.
    Turn(TurnRecord),
    /// First element: what produced the conversation. Has no `who`, so that a reader of turns skips it.
    About {
        /// Which provider.
        provider: String,
        /// Model or engines.
        engine: String,
        /// Why it ended.
        end_reason: String,
        /// Changes of provider.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        changes: Vec<Change>,
        /// Who listened in.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        listened: Vec<Listened>,
    },
}

mod millis {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

mod optional_millis {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::millis::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::Value;

    /// A conversation in which nothing happened: whoever needs one says what matters of it.
    pub(crate) fn bare() -> Conversation {
        let started_at = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        Conversation {
            conversation_uuid: Uuid::from_u128(1),
            domain_uuid: Uuid::from_u128(2),
            secretary_realtime_uuid: None,
            call_uuid: "c".into(),
            caller_id: "1001".into(),
            destination: "8000".into(),
            started_at,
            ended_at: started_at,
            turns: Vec::new(),
            changes: Vec::new(),
            outcome: Outcome::Completed,
            end_reason: "the caller hung up".into(),
            transfer_destination: None,
            input_tokens: 0,
            output_tokens: 0,
            audio: Duration::ZERO,
            estimated_cost: MicroUsd(0),
            billed_cost: None,
            shares: Vec::new(),
            provider: "local".into(),
            engine: "whisper tiny".into(),
            recording: None,
            media_quality: None,
            listened: Vec::new(),
        }
    }

    fn turn(who: Speaker, at: u64, heard: Option<u64>, latency: Option<u64>) -> TurnRecord {
        TurnRecord {
            who,
            text: "olá".into(),
            at: Duration::from_millis(at),
            heard: heard.map(Duration::from_millis),
            cut: heard == Some(700),
            latency: latency.map(Duration::from_millis),
            waterfall: None,
        }
    }

    fn conversation() -> Conversation {
        let bare = bare();
        Conversation {
            ended_at: bare.started_at + Duration::from_millis(12_400),
            turns: vec![
                turn(Speaker::Assistant, 0, Some(2_000), None),
                turn(Speaker::Caller, 2_100, None, None),
                turn(Speaker::Assistant, 4_000, Some(700), Some(300)),
                turn(Speaker::Caller, 5_000, None, None),
                turn(Speaker::Assistant, 6_000, Some(900), Some(401)),
            ],
            input_tokens: 3,
            output_tokens: 4,
            audio: Duration::from_millis(12_400),
            estimated_cost: MicroUsd(123_400),
            engine: "flite".into(),
            ..bare
        }
    }

    #[test]
    fn figures_come_from_the_turns() {
        let conversation = conversation();
        assert_eq!(conversation.total_turns(), 2);
        assert_eq!(conversation.average_latency(), Some(Duration::from_micros(350_500)));
        assert_eq!(conversation.duration(), Duration::from_millis(12_400));
        assert_eq!(conversation.estimated_cost.dollars(), 0.1234);
    }

    #[test]
    fn a_conversation_survives_json() {
        let conversation = conversation();
        let json = serde_json::to_string(&conversation).unwrap();
        assert_eq!(serde_json::from_str::<Conversation>(&json).unwrap(), conversation);
    }

    #[test]
    fn the_transcript_starts_with_what_made_it() {
        let json = serde_json::to_value(conversation().transcript()).unwrap();
        assert_eq!(
            json[0],
            serde_json::json!({"provider": "local", "engine": "flite", "end_reason": "the caller hung up"})
        );
        assert_eq!(
            json[3],
            serde_json::json!({"who": "assistant", "text": "olá", "at_ms": 4000, "heard_ms": 700, "cut": true, "latency_ms": 300})
        );
        let back: Vec<TranscriptEntry> = serde_json::from_value(json).unwrap();
        assert_eq!(back, conversation().transcript());
    }

    /// What of JSON Schema `docs/transcript.schema.json` is written in; a word it does not know fails.
    fn check(schema: &Value, value: &Value) -> Result<(), String> {
        let of_type = match schema["type"].as_str() {
            Some("array") => value.is_array(),
            Some("object") => value.is_object(),
            Some("string") => value.is_string(),
            Some("integer") => value.is_u64(),
            Some("boolean") => value.is_boolean(),
            other => return Err(format!("type {other:?}")),
        };
        let listed = schema["enum"].as_array().is_none_or(|all| all.contains(value));
        if !of_type || !listed {
            return Err(format!("{value} is not {schema}"));
        }
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            check(schema["prefixItems"].get(index).unwrap_or(&schema["items"]), item)?;
        }
        for required in schema["required"].as_array().into_iter().flatten() {
            let there = value.get(required.as_str().unwrap_or_default()).is_some();
            there.then_some(()).ok_or_else(|| format!("{value} lacks {required}"))?;
        }
        for (key, member) in value.as_object().into_iter().flatten() {
            check(schema["properties"].get(key).ok_or_else(|| format!("{key} is not there"))?, member)?;
        }
        Ok(())
    }

    /// Every object of a transcript.
    fn about_and_turns(schema: &Value) -> [&Value; 4] {
        let about = &schema["prefixItems"][0];
        let list = |key: &str| &about["properties"][key]["items"];
        [about, list("changes"), list("listened"), &schema["items"]]
    }

    #[test]
    fn the_transcript_is_as_its_schema_says() {
        let schema: Value = serde_json::from_str(include_str!("../docs/transcript.schema.json")).unwrap();
        let mut whole = conversation();
        let ms = Duration::from_millis;
        let (from, to, why) = ("openai m".to_owned(), "local".to_owned(), "connection: it broke".to_owned());
        whole.changes = vec![Change { at: ms(1), from, to, why, gap: ms(2), lost: ms(3) }];
        whole.listened = vec![Listened { who: "uid 0".into(), from: ms(6), to: ms(7) }];
        whole.turns[2].waterfall = Some(Waterfall { decided: Some(ms(4)), thought: Some(ms(4)), audio: ms(5) });
        let transcript = serde_json::to_value(whole.transcript()).unwrap();
        check(&schema, &transcript).unwrap();
        let properties = about_and_turns(&schema);
        let about = &transcript[0];
        let told = [about, &about["changes"][0], &about["listened"][0], &transcript[3]];
        for (schema, told) in properties.into_iter().zip(told) {
            let keys =
                |value: &Value| value.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>();
            assert_eq!(keys(&schema["properties"]), keys(told), "each key is met once");
        }
        let mut wrong = transcript;
        wrong[1]["text"] = 7.into();
        assert!(check(&schema, &wrong).is_err());
    }

    #[test]
    fn outcomes_are_the_words_of_the_column() {
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::parse(outcome.as_str()), Some(outcome));
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
        }
        assert_eq!(Outcome::parse("lost"), None);
    }
}
