//! Client events.
use super::super::config::{Config, Overrides};
use serde::Serialize;
use std::collections::BTreeMap;

/// The slowest speech the server accepts.
const SLOWEST: f32 = 0.7;

/// A client event apart from audio, which has no `type`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ClientEvent<'a> {
    #[serde(rename = "conversation_initiation_client_data")]
    Initiation {
        #[serde(skip_serializing_if = "Option::is_none")]
        conversation_config_override: Option<ConfigOverride<'a>>,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        dynamic_variables: BTreeMap<&'a str, &'a str>,
        source_info: SourceInfo,
    },
    /// Same `event_id` as the ping.
    Pong {
        event_id: i64,
    },
    /// Somebody is there, though nothing is said.
    UserActivity,
    /// The agent answers it like speech.
    UserMessage {
        text: &'a str,
    },
    /// The agent knows it, and does not answer it.
    ContextualUpdate {
        text: &'a str,
    },
    ClientToolResult {
        tool_call_id: &'a str,
        result: &'a str,
        is_error: bool,
    },
}

impl ClientEvent<'_> {
    /// As a text frame. Writing plain structs of strings and numbers to memory has no way to fail.
    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct SourceInfo {
    source: &'static str,
    version: &'static str,
}

/// Only what is set: each key must be allowed by the agent.
#[derive(Debug, Serialize)]
pub(crate) struct ConfigOverride<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<Agent<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tts: Option<Tts<'a>>,
}

#[derive(Debug, Serialize)]
struct Agent<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    first_message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<Prompt<'a>>,
}

#[derive(Debug, Serialize)]
struct Prompt<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    llm: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Tts<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    voice_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    speed: Option<f32>,
}

/// The first message of a conversation.
pub(crate) fn initiation(config: &Config) -> String {
    let source_info = SourceInfo { source: "ramal", version: env!("CARGO_PKG_VERSION") };
    let dynamic_variables = config.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let conversation_config_override = ConfigOverride::of(&config.overrides);
    ClientEvent::Initiation { conversation_config_override, dynamic_variables, source_info }.to_text()
}

impl<'a> ConfigOverride<'a> {
    fn of(overrides: &'a Overrides) -> Option<Self> {
        let Overrides { prompt, llm, first_message, language, voice, speed } = overrides;
        let prompt =
            (prompt.is_some() || llm.is_some()).then_some(Prompt { prompt: prompt.as_deref(), llm: llm.as_deref() });
        let agent = (first_message.is_some() || language.is_some() || prompt.is_some()).then(|| Agent {
            first_message: first_message.as_deref(),
            language: language.as_deref().map(language_code),
            prompt,
        });
        let tts = (voice.is_some() || speed.is_some())
            .then(|| Tts { voice_id: voice.as_deref(), speed: speed.map(|speed| speed.max(SLOWEST)) });
        (agent.is_some() || tts.is_some()).then_some(Self { agent, tts })
    }
}

/// The server knows languages by their first subtag, and one region.
fn language_code(tag: &str) -> String {
    let tag = tag.to_ascii_lowercase().replace('_', "-");
    match tag.split_once('-') {
        Some(("pt", "br")) | None => tag,
        Some((language, _)) => language.to_owned(),
    }
}

/// One message of caller audio, built by hand: 50 of these leave each second of each call.
pub(crate) fn append(audio: &[u8]) -> String {
    const HEAD: &str = r#"{"user_audio_chunk":""#;
    const TAIL: &str = r#""}"#;
    let mut text = String::with_capacity(HEAD.len() + audio.len().div_ceil(3) * 4 + TAIL.len());
    text.push_str(HEAD);
    base64_simd::STANDARD.encode_append(audio, &mut text);
    text.push_str(TAIL);
    text
}
