//! What the simulated services say and when they fail: a TOML file, or built in a test.
use super::hum;
use crate::lab::script::ScriptedCall;
use serde::Deserialize;
use std::time::Duration;

/// One script serves every conversation. What is named `_ms` is a latency as its vendor publishes it; others measure more.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// When set, any other key is answered 401.
    pub api_key: Option<String>,
    /// What the caller's turns are written down as, in order; after the last, how long they were.
    pub caller: Vec<String>,
    /// What the model writes, by the number of turns before it; the last is repeated.
    pub replies: Vec<Reply>,
    /// So long after the last word Flux takes a turn for one that may be over.
    pub eager_ms: u64,
    /// And for one that is.
    pub end_ms: u64,
    /// From the pause that nova was told to wait for to its words.
    pub nova_ms: u64,
    /// From the upload of a turn to its words.
    pub transcription_ms: u64,
    /// From a request to the model's first token.
    pub first_token_ms: u64,
    /// Words of the model a second.
    pub words_per_second: u32,
    /// From a text to the first sound of it.
    pub voice_ms: u64,
    /// How many times faster than real time speech is made.
    pub burst: f64,
    /// Speaks a tone this high in place of words, 60 ms a letter.
    pub tone_hz: Option<u32>,
    /// Everybody repeats what they hear: a caller's tone comes back at its own pitch, this long.
    pub echo_ms: Option<u64>,
    /// What goes wrong.
    pub faults: Faults,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            api_key: None,
            caller: Vec::new(),
            replies: Vec::new(),
            // Deepgram: a median of some 260 ms, and an eager end 150 to 250 ms before it.
            eager_ms: 60,
            end_ms: 260,
            nova_ms: 120,
            transcription_ms: 350,
            // Groq, of gpt-oss-120b.
            first_token_ms: 120,
            words_per_second: 350,
            // Deepgram of Aura-2; ElevenLabs says 75 of Flash v2.5.
            voice_ms: 90,
            burst: 5.0,
            tone_hz: None,
            echo_ms: None,
            faults: Faults::default(),
        }
    }
}

impl Script {
    /// What the caller said in a turn, by its number, its length and its pitch in Hz.
    pub(super) fn words(&self, turn: usize, speech: Duration, hz: u32) -> String {
        if self.echo_ms.is_some() {
            return hum::words(hz);
        }
        let said = self.caller.get(turn).cloned();
        said.unwrap_or_else(|| format!("[{} ms of speech]", speech.as_millis()))
    }
}

/// What the model writes.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Reply {
    /// Its words; none where it only calls tools.
    pub text: String,
    /// Tools it calls after them.
    pub calls: Vec<ScriptedCall>,
    /// In place of the script's.
    pub first_token_ms: Option<u64>,
    /// After so many words nothing more comes, and no end.
    pub stall_after: Option<usize>,
    /// After so many words an error comes in the stream.
    pub fail_after: Option<usize>,
}

impl Reply {
    /// These words and nothing special.
    pub fn words(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

/// What goes wrong with each part.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// With sockets that listen, and transcriptions.
    pub stt: PartFault,
    /// With chat completions.
    pub llm: PartFault,
    /// With voices.
    pub tts: PartFault,
}

/// How one part fails.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct PartFault {
    /// Only as often as this; 0 for always. What asks only whether it is there does not count.
    pub first: u64,
    /// Every request and upgrade is answered with this.
    pub status: Option<u16>,
    /// What the answer calls it: `rate_limit_exceeded`, `insufficient_quota`.
    pub code: Option<String>,
    /// It is there, and answers nothing.
    pub mute: bool,
    /// A socket breaks after so long.
    pub drop_after_ms: Option<u64>,
    /// A socket is closed after so long, with an error before.
    pub error_after_ms: Option<u64>,
}
