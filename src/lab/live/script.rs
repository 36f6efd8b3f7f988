//! What the simulated model says and when it fails: a TOML file, or built in a test.
use crate::lab::script::{Say, ScriptedCall, TimedMessage};
use serde::Deserialize;

/// One script serves every connection, each from its beginning.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// When set, any other key is answered 401.
    pub api_key: Option<String>,
    /// From the end of the caller's turn, or from being asked to speak, to the first audio, milliseconds.
    pub first_audio_ms: u64,
    /// How many times faster than real time audio is delivered.
    pub burst: f64,
    /// Audio in one delta, milliseconds.
    pub delta_ms: u64,
    /// From the beginning of the caller's speech to the model's silence, milliseconds.
    pub yields_ms: u64,
    /// What is said when the client asks for speech the first time; without it such speech is what follows the first line
    /// of what the client wrote.
    pub greeting: Option<Reply>,
    /// What is said after each turn of the caller, in order; the last is repeated.
    pub replies: Vec<Reply>,
    /// What the caller's turns are transcribed as, in order; after the last, how long they were.
    pub caller: Vec<String>,
    /// The second half of each of those comes so much later, milliseconds, a word with each delta: while the model answers.
    pub words_late_ms: u64,
    /// What goes wrong with a connection.
    pub faults: Faults,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            api_key: None,
            first_audio_ms: 300,
            burst: 1.0,
            delta_ms: 100,
            yields_ms: 400,
            greeting: None,
            replies: Vec::new(),
            caller: Vec::new(),
            words_late_ms: 0,
            faults: Faults::default(),
        }
    }
}

/// What is said.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Reply {
    /// Nothing when only tools are called.
    pub say: Option<Say>,
    /// Its transcript, when it is not the words said.
    pub transcript: Option<String>,
    /// Tools that the model behind it calls.
    pub calls: Vec<ScriptedCall>,
}

impl Reply {
    /// A reply of these words.
    pub fn words(text: impl Into<String>) -> Self {
        Self { say: Some(Say::Words(text.into())), ..Self::default() }
    }

    /// A reply that is a pure tone, to be measured.
    pub fn tone(tone_hz: u32, ms: u64) -> Self {
        Self { say: Some(Say::Tone { tone_hz, ms }), ..Self::default() }
    }
}

/// What goes wrong with a connection, in milliseconds from its opening.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// The upgrade is answered with this HTTP status.
    pub refuse_status: Option<u16>,
    /// Nothing is ever sent.
    pub mute: bool,
    /// `session.start` is refused.
    pub refuse_start: bool,
    /// The quota error, then a close.
    pub quota_after_ms: Option<u64>,
    /// The session is over: `session.closed`, then a close.
    pub expire_after_ms: Option<u64>,
    /// A close with 1011.
    pub close_after_ms: Option<u64>,
    /// The connection breaks without a close.
    pub drop_after_ms: Option<u64>,
    /// Any server message, as it is.
    pub messages: Vec<TimedMessage>,
}
