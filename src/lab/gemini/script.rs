//! What the simulated model says and when it fails: a TOML file, or built in a test.
use crate::lab::script::{Say, ScriptedCall, TimedMessage};
use serde::Deserialize;

/// One script serves every conversation from its beginning; a connection that goes on with a handle goes on in it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// When set, any other key is refused.
    pub api_key: Option<String>,
    /// From the end of the caller's turn to the first audio, milliseconds.
    pub first_audio_ms: u64,
    /// How many times faster than real time audio is delivered.
    pub burst: f64,
    /// Audio in one part, milliseconds.
    pub part_ms: u64,
    /// From the end of the caller's turn to its transcript, milliseconds.
    pub transcription_ms: u64,
    /// Parts of an interrupted turn that are sent nevertheless: they were on their way.
    pub stale_parts: usize,
    /// What answers the first text; without it, what follows the first line of that text, as a model would that was
    /// told to say something word for word.
    pub greeting: Option<Reply>,
    /// What answers the caller's turns and other texts, in order; the last is repeated.
    pub replies: Vec<Reply>,
    /// What the caller's turns are transcribed as, in order; after the last, how long they were.
    pub caller: Vec<String>,
    /// What goes wrong with a connection.
    pub faults: Faults,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            api_key: None,
            first_audio_ms: 300,
            burst: 5.0,
            part_ms: 100,
            transcription_ms: 250,
            stale_parts: 1,
            greeting: None,
            replies: Vec::new(),
            caller: Vec::new(),
            faults: Faults::default(),
        }
    }
}

/// One turn of the model.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Reply {
    /// What it says; nothing when it only calls tools.
    pub say: Option<Say>,
    /// Its transcript, when it is not the words said.
    pub transcript: Option<String>,
    /// Tools it calls after speaking.
    pub calls: Vec<ScriptedCall>,
    /// In place of the script's.
    pub first_audio_ms: Option<u64>,
}

impl Reply {
    /// A reply of these words and nothing special.
    pub fn words(text: impl Into<String>) -> Self {
        Self { say: Some(Say::Words(text.into())), ..Self::default() }
    }

    /// A reply that is a pure tone, to be measured.
    pub fn tone(tone_hz: u32, ms: u64) -> Self {
        Self { say: Some(Say::Tone { tone_hz, ms }), ..Self::default() }
    }
}

/// What goes wrong with a connection, in milliseconds from its opening.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// Only so many connections fail; 0 for all.
    pub connections: u64,
    /// The upgrade is answered with this HTTP status; this befalls all connections.
    pub refuse_status: Option<u16>,
    /// Nothing is ever sent.
    pub mute: bool,
    /// `goAway` is sent, and the connection closed after `go_away_left_ms`.
    pub go_away_after_ms: Option<u64>,
    /// What `goAway` leaves.
    pub go_away_left_ms: u64,
    /// After the first interruption nothing more is said.
    pub silent_after_interruption: bool,
    /// The close of an exhausted quota.
    pub quota_after_ms: Option<u64>,
    /// A close with `close_code` and `close_reason`.
    pub close_after_ms: Option<u64>,
    /// Used by `close_after_ms`.
    pub close_code: u16,
    /// Used by `close_after_ms`.
    pub close_reason: String,
    /// The connection breaks without a close.
    pub drop_after_ms: Option<u64>,
    /// Any server message, as it is.
    pub messages: Vec<TimedMessage>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            connections: 0,
            refuse_status: None,
            mute: false,
            go_away_after_ms: None,
            go_away_left_ms: 50_000,
            silent_after_interruption: false,
            quota_after_ms: None,
            close_after_ms: None,
            close_code: 1011,
            close_reason: "Internal error encountered.".to_owned(),
            drop_after_ms: None,
            messages: Vec::new(),
        }
    }
}
