//! Server messages. One may carry several things at once; unknown fields never matter, unknown kinds are told.
//!
//! The server writes camelCase; snake_case is read as well, since both are proto JSON.
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use std::{borrow::Cow, fmt, time::Duration};

/// What one message said.
#[derive(Debug, Default)]
pub(crate) struct ServerMessage<'a> {
    pub(crate) setup_complete: bool,
    pub(crate) content: Option<Content<'a>>,
    pub(crate) calls: Vec<FunctionCall>,
    pub(crate) cancelled: Vec<String>,
    pub(crate) usage: Option<UsageMetadata>,
    /// So long this connection will still live.
    pub(crate) go_away: Option<Duration>,
    pub(crate) resumption: Option<ResumptionUpdate>,
    /// Kinds this version has not heard of.
    pub(crate) unknown: Vec<String>,
}

/// `serverContent`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Content<'a> {
    #[serde(borrow, alias = "model_turn")]
    pub(crate) model_turn: Option<ModelTurn<'a>>,
    pub(crate) interrupted: bool,
    #[serde(alias = "generation_complete")]
    pub(crate) generation_complete: bool,
    #[serde(alias = "turn_complete")]
    pub(crate) turn_complete: bool,
    #[serde(alias = "turn_complete_reason")]
    pub(crate) turn_complete_reason: Option<String>,
    #[serde(alias = "input_transcription")]
    pub(crate) input_transcription: Option<Transcription>,
    #[serde(alias = "output_transcription")]
    pub(crate) output_transcription: Option<Transcription>,
}

/// `modelTurn`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ModelTurn<'a> {
    #[serde(borrow)]
    pub(crate) parts: Vec<Part<'a>>,
}

/// A part of what the model makes; thoughts and text are of no use to a caller.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Part<'a> {
    #[serde(borrow, alias = "inline_data")]
    pub(crate) inline_data: Option<Blob<'a>>,
}

/// Audio, borrowed: these are most of the bytes of a call.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Blob<'a> {
    /// `audio/pcm;rate=24000`.
    #[serde(borrow, alias = "mime_type")]
    pub(crate) mime_type: Cow<'a, str>,
    /// Base64.
    #[serde(borrow)]
    pub(crate) data: Cow<'a, str>,
}

impl Blob<'_> {
    /// Samples a second, as the type says; `None` if it does not, or is not PCM.
    pub(crate) fn rate_hz(&self) -> Option<u32> {
        let parameters = self.mime_type.strip_prefix("audio/pcm")?;
        parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("rate="))?.parse().ok()
    }

    /// Whether it is PCM at all.
    pub(crate) fn is_pcm(&self) -> bool {
        self.mime_type.starts_with("audio/pcm")
    }
}

/// Words as they are recognised, to be appended.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Transcription {
    pub(crate) text: String,
    pub(crate) finished: bool,
}

/// One of `toolCall.functionCalls`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct FunctionCall {
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) args: Option<serde_json::Value>,
}

/// `sessionResumptionUpdate`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ResumptionUpdate {
    #[serde(alias = "new_handle")]
    pub(crate) new_handle: Option<String>,
    pub(crate) resumable: bool,
}

/// `usageMetadata`: tokens of one turn. The prompt is the whole context.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct UsageMetadata {
    #[serde(alias = "prompt_token_count")]
    pub(crate) prompt_token_count: u64,
    #[serde(alias = "prompt_tokens_details")]
    pub(crate) prompt_tokens_details: Vec<ModalityCount>,
    #[serde(alias = "cached_content_token_count")]
    pub(crate) cached_content_token_count: u64,
    #[serde(alias = "cache_tokens_details")]
    pub(crate) cache_tokens_details: Vec<ModalityCount>,
    #[serde(alias = "tool_use_prompt_token_count")]
    pub(crate) tool_use_prompt_token_count: u64,
    #[serde(alias = "response_token_count")]
    pub(crate) response_token_count: u64,
    #[serde(alias = "response_tokens_details")]
    pub(crate) response_tokens_details: Vec<ModalityCount>,
    #[serde(alias = "thoughts_token_count")]
    pub(crate) thoughts_token_count: u64,
}

/// Tokens of one kind.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ModalityCount {
    pub(crate) modality: String,
    #[serde(alias = "token_count")]
    pub(crate) token_count: u64,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ToolCall {
    #[serde(alias = "function_calls")]
    function_calls: Vec<FunctionCall>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Cancellation {
    ids: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct GoAway {
    #[serde(alias = "time_left")]
    time_left: String,
}

/// Reads one message.
///
/// # Errors
///
/// When it is not a JSON object, or something in it is not of the kind it must be.
pub(crate) fn parse(text: &str) -> Result<ServerMessage<'_>, serde_json::Error> {
    serde_json::from_str(text)
}

impl<'de> Deserialize<'de> for ServerMessage<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Kinds)
    }
}

struct Kinds;

impl<'de> Visitor<'de> for Kinds {
    type Value = ServerMessage<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a server message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut message = ServerMessage::default();
        while let Some(kind) = map.next_key::<Cow<'de, str>>()? {
            match &*kind {
                "setupComplete" | "setup_complete" => {
                    map.next_value::<IgnoredAny>()?;
                    message.setup_complete = true;
                }
                "serverContent" | "server_content" => message.content = Some(map.next_value()?),
                "toolCall" | "tool_call" => message.calls = map.next_value::<ToolCall>()?.function_calls,
                "toolCallCancellation" | "tool_call_cancellation" => {
                    message.cancelled = map.next_value::<Cancellation>()?.ids;
                }
                "usageMetadata" | "usage_metadata" => message.usage = Some(map.next_value()?),
                "goAway" | "go_away" => message.go_away = Some(seconds(&map.next_value::<GoAway>()?.time_left)),
                "sessionResumptionUpdate" | "session_resumption_update" => {
                    message.resumption = Some(map.next_value()?);
                }
                // What the server's ear noticed, where it was asked to say so.
                "voiceActivity"
                | "voice_activity"
                | "voiceActivityDetectionSignal"
                | "voice_activity_detection_signal" => {
                    map.next_value::<IgnoredAny>()?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    message.unknown.push(kind.into_owned());
                }
            }
        }
        Ok(message)
    }
}

/// A duration of proto JSON, `50s` or `1.500s`; zero when it is none.
fn seconds(text: &str) -> Duration {
    let seconds = text.strip_suffix('s').and_then(|number| number.parse().ok());
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_seconds_with_a_fraction_or_none_at_all() {
        for (text, ms) in [("50s", 50_000), ("1.5s", 1_500), ("", 0), ("soon", 0), ("-1s", 0), ("1e999s", 0)] {
            assert_eq!(seconds(text), Duration::from_millis(ms), "{text}");
        }
    }

    #[test]
    fn both_spellings_of_proto_json_are_read() {
        let text = r#"{"server_content":{"model_turn":{"parts":[{"inline_data":{"mime_type":"audio/pcm;rate=16000",
            "data":"AAA="}}]},"turn_complete":true},"usage_metadata":{"prompt_token_count":3},"brand_new":{}}"#;
        let message = parse(text).unwrap();
        let content = message.content.unwrap();
        let blob = content.model_turn.unwrap().parts.remove(0).inline_data.unwrap();
        assert_eq!((blob.rate_hz(), &*blob.data, content.turn_complete), (Some(16_000), "AAA=", true));
        assert_eq!((message.usage.unwrap().prompt_token_count, message.unknown), (3, vec!["brand_new".to_owned()]));
    }
}
