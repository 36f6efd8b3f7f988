//! What the simulated model says and when it fails: a TOML file, or built in a test.
use crate::lab::script::{Say, ScriptedCall, TimedMessage};
use serde::Deserialize;

/// One script serves every connection, each from its beginning.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// When set, any other key is answered 401.
    pub api_key: Option<String>,
    /// From the creation of a response to its first audio, milliseconds.
    pub first_audio_ms: u64,
    /// How many times faster than real time audio is delivered.
    pub burst: f64,
    /// Audio in one delta, milliseconds.
    pub delta_ms: u64,
    /// From the end of the caller's turn to its transcript, milliseconds.
    pub transcription_ms: u64,
    /// Audio deltas of a cancelled response that are sent nevertheless: they were on their way.
    pub stale_deltas: usize,
    /// Cancelling has no effect, and no answer.
    pub ignore_cancel: bool,
    /// Errors about responses name no `event_id`, as happens.
    pub anonymous_errors: bool,
    /// The first response that is created with instructions; without it such a response says what follows the first
    /// line of its instructions, as a model would that was told to say something word for word.
    pub greeting: Option<Reply>,
    /// What is said when the caller was silent for `idle_timeout_ms`; else it asks in English whether somebody is there.
    pub idle: Option<Reply>,
    /// The other responses, in order; the last is repeated.
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
            delta_ms: 200,
            transcription_ms: 250,
            stale_deltas: 1,
            ignore_cancel: false,
            anonymous_errors: false,
            greeting: None,
            idle: None,
            replies: Vec::new(),
            caller: Vec::new(),
            faults: Faults::default(),
        }
    }
}

/// One response.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Reply {
    /// What it says; nothing when it only calls tools.
    pub say: Option<Say>,
    /// Its transcript, when it is not the words said.
    pub transcript: Option<String>,
    /// Tools it calls after speaking.
    pub calls: Vec<ScriptedCall>,
    /// Tools of MCP servers it calls after speaking; it says nothing about them before it is asked for a response.
    pub mcp: Vec<ScriptedMcp>,
    /// In place of the script's.
    pub first_audio_ms: Option<u64>,
    /// In place of the script's.
    pub burst: Option<f64>,
    /// How it fails.
    pub fail: Option<ScriptedFailure>,
    /// It is created and then nothing more is heard of it.
    pub stall: bool,
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

/// A call of a tool of an MCP server.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct ScriptedMcp {
    /// The server's label.
    pub server: String,
    /// The tool.
    pub name: String,
    /// How long it takes, milliseconds.
    pub takes_ms: u64,
    /// What it yields; nothing when it fails.
    pub output: Option<String>,
}

/// How a response fails.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct ScriptedFailure {
    /// `failed` or `incomplete`.
    pub status: String,
    /// Audio delivered before it does, milliseconds.
    pub after_ms: u64,
    /// Of `status_details.error`, for `failed`.
    pub code: String,
    /// Of `status_details.error`, for `failed`.
    pub message: String,
    /// Of `status_details`, for `incomplete`.
    pub reason: String,
}

impl Default for ScriptedFailure {
    fn default() -> Self {
        Self {
            status: "failed".into(),
            after_ms: 0,
            code: "inference_rate_limit_exceeded".into(),
            message: "The inference rate limit was exceeded.".into(),
            reason: "max_output_tokens".into(),
        }
    }
}

/// What goes wrong with a connection, in milliseconds from its opening.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// The upgrade is answered with this HTTP status.
    pub refuse_status: Option<u16>,
    /// Nothing is ever sent.
    pub mute: bool,
    /// `session.update` is never answered.
    pub no_updated: bool,
    /// `session.update` is refused.
    pub refuse_update: bool,
    /// MCP servers do not tell their tools.
    pub mcp_list_fails: bool,
    /// The quota error, then a close.
    pub quota_after_ms: Option<u64>,
    /// The session reaches its longest life: error, then close 1001.
    pub expire_after_ms: Option<u64>,
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
            refuse_status: None,
            mute: false,
            no_updated: false,
            refuse_update: false,
            mcp_list_fails: false,
            quota_after_ms: None,
            expire_after_ms: None,
            close_after_ms: None,
            close_code: 1011,
            close_reason: String::new(),
            drop_after_ms: None,
            messages: Vec::new(),
        }
    }
}
