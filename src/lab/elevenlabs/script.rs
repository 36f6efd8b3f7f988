//! How the simulated agent is set up, what it says and when it fails: a TOML file, or built in a test.
use crate::lab::script::{Say, ScriptedCall, TimedMessage};
use serde::Deserialize;

/// One script serves every conversation from its beginning.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// When set, the agent is private: any other key is answered 401, and a conversation needs a signed URL.
    pub api_key: Option<String>,
    /// When set, there is no other agent.
    pub agent_id: Option<String>,
    /// `ulaw_8000` or `pcm_8000` to `pcm_48000`.
    pub output: String,
    /// The same; when empty, the server does not tell and hears `pcm_16000`.
    pub input: String,
    /// Which events the client is sent, beside those of the conversation's begin and its errors.
    pub client_events: Vec<String>,
    /// Which overrides the agent's security settings allow.
    pub allowed: Vec<String>,
    /// The dynamic variables of the agent's prompt.
    pub variables: Vec<String>,
    /// Quiet that ends the caller's turn, milliseconds.
    pub silence_ms: u64,
    /// From the end of the caller's turn to the first audio, milliseconds.
    pub first_audio_ms: u64,
    /// How many times faster than real time audio is delivered.
    pub burst: f64,
    /// Audio in one event, milliseconds.
    pub chunk_ms: u64,
    /// From the end of the caller's turn to its transcript, milliseconds.
    pub transcription_ms: u64,
    /// Audio of an interrupted turn that is sent nevertheless: it was on its way.
    pub stale_chunks: usize,
    /// Between two pings, milliseconds.
    pub ping_ms: u64,
    /// From the end of a conversation to its cost, milliseconds.
    pub cost_after_ms: u64,
    /// The agent's first message; without it, that of the client. Neither is said where the client's is empty.
    pub greeting: Option<Reply>,
    /// What answers the caller's turns, texts and results of tools, in order; the last is repeated.
    pub replies: Vec<Reply>,
    /// What the caller's turns are transcribed as, in order; after the last, how long they were.
    pub caller: Vec<String>,
    /// What goes wrong.
    pub faults: Faults,
}

impl Default for Script {
    fn default() -> Self {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            api_key: None,
            agent_id: None,
            output: "ulaw_8000".to_owned(),
            input: "ulaw_8000".to_owned(),
            client_events: names(&[
                "audio",
                "interruption",
                "agent_response",
                "agent_response_correction",
                "agent_tool_response",
                "user_transcript",
                "client_tool_call",
                "ping",
                "vad_score",
            ]),
            allowed: names(&["prompt", "llm", "first_message", "language", "voice_id", "speed"]),
            variables: Vec::new(),
            silence_ms: 500,
            first_audio_ms: 300,
            burst: 5.0,
            chunk_ms: 250,
            transcription_ms: 150,
            stale_chunks: 1,
            ping_ms: 2_000,
            cost_after_ms: 500,
            greeting: None,
            replies: Vec::new(),
            caller: Vec::new(),
            faults: Faults::default(),
        }
    }
}

/// One turn of the agent.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Reply {
    /// What it says; nothing when it only calls tools.
    pub say: Option<Say>,
    /// Its transcript, when it is not the words said.
    pub transcript: Option<String>,
    /// Client tools it calls after speaking.
    pub calls: Vec<ScriptedCall>,
    /// It says nothing about what its tools answer.
    pub silent_calls: bool,
    /// It ends the call when this was heard.
    pub hang_up: bool,
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

/// Where a conversation is, for a connection that breaks there.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The client said what it wants, and nothing was answered.
    Initiating,
    /// The first message is being said.
    Greeting,
    /// The caller speaks.
    Listening,
    /// The caller's turn is over, and the answer has not begun.
    Thinking,
    /// An answer is being said.
    Speaking,
    /// A client tool was called, and has not answered.
    Calling,
}

/// How a used-up quota shows itself: all three were seen.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum QuotaShape {
    /// `error` with `error_event`, and a close 1002.
    #[default]
    Event,
    /// `error` with the words beside `type`, and a close 1002.
    Flat,
    /// A normal close without a word.
    Silent,
}

/// An `error` event, and the close that follows it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ScriptedError {
    /// Milliseconds from the opening of the connection.
    pub after_ms: u64,
    /// 1000, 1002, 1008 or 1011.
    pub code: u16,
    /// `llm_timeout` and the like.
    pub error_type: String,
    /// In words.
    pub message: String,
}

/// What goes wrong, in milliseconds from the opening of a connection.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// Only so many connections fail; 0 for all.
    pub connections: u64,
    /// The request for a signed URL is answered with this HTTP status.
    pub sign_status: Option<u16>,
    /// The upgrade is answered with this HTTP status.
    pub refuse_status: Option<u16>,
    /// Nothing is ever sent.
    pub mute: bool,
    /// The account is empty.
    pub quota_after_ms: Option<u64>,
    /// How that shows.
    pub quota: QuotaShape,
    /// An error in the middle of a conversation.
    pub error: Option<ScriptedError>,
    /// The agent's longest conversation is over.
    pub max_duration_ms: Option<u64>,
    /// A ping that is not answered for so long ends the conversation.
    pub pong_within_ms: Option<u64>,
    /// No message for so long ends the conversation.
    pub receive_within_ms: u64,
    /// A close with `close_code` and `close_reason`.
    pub close_after_ms: Option<u64>,
    /// Used by `close_after_ms`.
    pub close_code: u16,
    /// Used by `close_after_ms`.
    pub close_reason: String,
    /// The connection breaks without a close.
    pub drop_after_ms: Option<u64>,
    /// The same, once the conversation is there.
    pub drop_in: Option<State>,
    /// Any server message, as it is.
    pub messages: Vec<TimedMessage>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            connections: 0,
            sign_status: None,
            refuse_status: None,
            mute: false,
            quota_after_ms: None,
            quota: QuotaShape::default(),
            error: None,
            max_duration_ms: None,
            pong_within_ms: None,
            receive_within_ms: 60_000,
            close_after_ms: None,
            close_code: 1011,
            close_reason: String::new(),
            drop_after_ms: None,
            drop_in: None,
            messages: Vec::new(),
        }
    }
}
