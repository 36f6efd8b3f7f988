//! Server events: those that mean something to a call; the others are told apart as known or unknown.
use serde::{Deserialize, de::IgnoredAny};
use std::borrow::Cow;

/// A server event. Fields a call has no use for are not read, and unknown ones never matter.
#[derive(Debug)]
pub(crate) enum ServerEvent<'a> {
    SessionCreated,
    SessionUpdated,
    Error(ErrorBody),
    SpeechStarted,
    SpeechStopped,
    /// The caller's turn, or a silence, became an item.
    Committed {
        item_id: String,
    },
    /// The caller was silent for `idle_timeout_ms`: a response follows, to an item without words.
    Idle {
        item_id: String,
    },
    Transcribed(Transcribed),
    TranscriptionFailed {
        item_id: String,
        error: ErrorBody,
    },
    ResponseCreated {
        id: String,
    },
    ResponseDone(DoneResponse),
    AudioDelta(AudioDelta<'a>),
    AudioDone {
        item_id: String,
    },
    TranscriptDelta(TranscriptDelta),
    ItemAdded {
        response_id: String,
        item: OutputItem,
    },
    ItemDone {
        response_id: String,
        item: OutputItem,
    },
    /// A server of tools works, which belongs to whatever response is being made.
    McpBusy,
    /// It has answered a call, or failed to.
    McpAnswered {
        item_id: String,
        outcome: Outcome,
    },
    /// It does not tell its tools.
    McpToolsFailed,
    RateLimits(Vec<RateLimit>),
    /// Known, and of no consequence here. Keeps a response alive when it belongs to one.
    Ignored {
        response_id: Option<Cow<'a, str>>,
    },
    /// A kind this version has not heard of.
    Unknown {
        kind: Cow<'a, str>,
    },
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default, borrow)]
    response_id: Option<Cow<'a, str>>,
}

/// `error`, of an `error` event, of a failed transcription or of a failed response.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ErrorBody {
    #[serde(rename = "type", default)]
    pub(crate) kind: Option<String>,
    #[serde(default)]
    pub(crate) code: Option<String>,
    #[serde(default)]
    pub(crate) message: Option<String>,
    #[serde(default)]
    pub(crate) event_id: Option<String>,
}

/// `response.output_audio.delta`, borrowed: these are most of the bytes of a call.
#[derive(Debug, Deserialize)]
pub(crate) struct AudioDelta<'a> {
    #[serde(borrow)]
    pub(crate) response_id: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) item_id: Cow<'a, str>,
    /// Base64.
    #[serde(borrow)]
    pub(crate) delta: Cow<'a, str>,
}

/// `response.output_audio_transcript.delta`.
#[derive(Debug, Deserialize)]
pub(crate) struct TranscriptDelta {
    pub(crate) response_id: String,
    pub(crate) item_id: String,
    pub(crate) delta: String,
}

/// What became of a call of the provider's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Completed,
    Failed,
}

/// One of `rate_limits.updated`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RateLimit {
    pub(crate) name: String,
    pub(crate) remaining: Option<f64>,
    pub(crate) reset_seconds: Option<f64>,
}

/// `conversation.item.input_audio_transcription.completed`.
#[derive(Debug, Deserialize)]
pub(crate) struct Transcribed {
    #[serde(default)]
    pub(crate) item_id: String,
    pub(crate) transcript: String,
    #[serde(default)]
    pub(crate) usage: Option<TranscriptUsage>,
}

/// What a transcription cost: tokens or seconds, by model.
#[derive(Debug, Deserialize)]
pub(crate) struct TranscriptUsage {
    #[serde(default)]
    pub(crate) seconds: Option<f64>,
    #[serde(default)]
    pub(crate) input_token_details: Option<TokenDetails>,
}

/// An item of a response, whole.
#[derive(Debug, Deserialize)]
pub(crate) struct OutputItem {
    #[serde(default)]
    pub(crate) id: String,
    #[serde(rename = "type", default)]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) status: Option<Status>,
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) call_id: Option<String>,
    #[serde(default)]
    pub(crate) arguments: Option<String>,
    /// What a call of the provider's own yielded.
    #[serde(default)]
    pub(crate) output: Option<IgnoredAny>,
    /// Why it yielded nothing.
    #[serde(default)]
    pub(crate) error: Option<IgnoredAny>,
}

/// State of an item or of a response.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    InProgress,
    Completed,
    Cancelled,
    Failed,
    Incomplete,
    #[serde(other)]
    Unknown,
}

/// `response` of `response.done`.
#[derive(Debug, Deserialize)]
pub(crate) struct DoneResponse {
    pub(crate) id: String,
    pub(crate) status: Status,
    #[serde(default)]
    pub(crate) status_details: Option<StatusDetails>,
    #[serde(default)]
    pub(crate) output: Vec<OutputItem>,
    #[serde(default)]
    pub(crate) usage: Option<TokenUsage>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct StatusDetails {
    #[serde(default)]
    pub(crate) reason: Option<String>,
    #[serde(default)]
    pub(crate) error: Option<ErrorBody>,
}

/// `usage` of a response.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TokenUsage {
    pub(crate) input_token_details: Option<TokenDetails>,
    pub(crate) output_token_details: Option<TokenDetails>,
}

/// Tokens by kind.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TokenDetails {
    pub(crate) text_tokens: u64,
    pub(crate) audio_tokens: u64,
    pub(crate) cached_tokens: u64,
    pub(crate) cached_tokens_details: Option<CachedDetails>,
}

/// Cached tokens by kind.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CachedDetails {
    pub(crate) text_tokens: u64,
    pub(crate) audio_tokens: u64,
}

#[derive(Deserialize)]
struct WithError {
    error: ErrorBody,
}

#[derive(Deserialize)]
struct WithItemId {
    #[serde(default)]
    item_id: String,
}

#[derive(Deserialize)]
struct FailedItem {
    #[serde(default)]
    item_id: String,
    error: ErrorBody,
}

#[derive(Deserialize)]
struct WithRateLimits {
    #[serde(default)]
    rate_limits: Vec<RateLimit>,
}

#[derive(Deserialize)]
struct WithResponse<T> {
    response: T,
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

#[derive(Deserialize)]
struct WithItem {
    response_id: String,
    item: OutputItem,
}

/// Reads one text frame.
///
/// # Errors
///
/// When it is not JSON, has no `type`, or is of a kind a call depends on and lacks what the call needs of it.
pub(crate) fn parse(text: &str) -> Result<ServerEvent<'_>, serde_json::Error> {
    let head: Head<'_> = serde_json::from_str(text)?;
    Ok(match &*head.kind {
        "session.created" => ServerEvent::SessionCreated,
        "session.updated" => ServerEvent::SessionUpdated,
        "error" => ServerEvent::Error(serde_json::from_str::<WithError>(text)?.error),
        "input_audio_buffer.speech_started" => ServerEvent::SpeechStarted,
        "input_audio_buffer.speech_stopped" => ServerEvent::SpeechStopped,
        "conversation.item.input_audio_transcription.completed" => {
            ServerEvent::Transcribed(serde_json::from_str(text)?)
        }
        "conversation.item.input_audio_transcription.failed" => {
            let FailedItem { item_id, error } = serde_json::from_str(text)?;
            ServerEvent::TranscriptionFailed { item_id, error }
        }
        "input_audio_buffer.committed" => ServerEvent::Committed { item_id: item_id(text)? },
        "input_audio_buffer.timeout_triggered" => ServerEvent::Idle { item_id: item_id(text)? },
        "response.created" => {
            ServerEvent::ResponseCreated { id: serde_json::from_str::<WithResponse<Named>>(text)?.response.id }
        }
        "response.done" => {
            ServerEvent::ResponseDone(serde_json::from_str::<WithResponse<DoneResponse>>(text)?.response)
        }
        "response.output_audio.delta" => ServerEvent::AudioDelta(serde_json::from_str(text)?),
        "response.output_audio.done" => ServerEvent::AudioDone { item_id: item_id(text)? },
        "response.output_audio_transcript.delta" => ServerEvent::TranscriptDelta(serde_json::from_str(text)?),
        "response.output_item.added" => {
            let WithItem { response_id, item } = serde_json::from_str(text)?;
            ServerEvent::ItemAdded { response_id, item }
        }
        "response.output_item.done" => {
            let WithItem { response_id, item } = serde_json::from_str(text)?;
            ServerEvent::ItemDone { response_id, item }
        }
        "rate_limits.updated" => ServerEvent::RateLimits(serde_json::from_str::<WithRateLimits>(text)?.rate_limits),
        "mcp_list_tools.failed" => ServerEvent::McpToolsFailed,
        "response.mcp_call.completed" => {
            ServerEvent::McpAnswered { item_id: item_id(text)?, outcome: Outcome::Completed }
        }
        "response.mcp_call.failed" => ServerEvent::McpAnswered { item_id: item_id(text)?, outcome: Outcome::Failed },
        "response.mcp_call.in_progress" => ServerEvent::McpBusy,
        kind if is_of_no_consequence(kind) => ServerEvent::Ignored { response_id: head.response_id },
        _ => ServerEvent::Unknown { kind: head.kind },
    })
}

fn item_id(text: &str) -> Result<String, serde_json::Error> {
    Ok(serde_json::from_str::<WithItemId>(text)?.item_id)
}

/// The rest of the GA vocabulary.
fn is_of_no_consequence(kind: &str) -> bool {
    const KINDS: [&str; 25] = [
        "conversation.created",
        "conversation.item.added",
        "conversation.item.created",
        "conversation.item.deleted",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.segment",
        "conversation.item.retrieved",
        "conversation.item.truncated",
        "input_audio_buffer.cleared",
        "input_audio_buffer.dtmf_event_received",
        "mcp_list_tools.completed",
        "mcp_list_tools.in_progress",
        "output_audio_buffer.cleared",
        "output_audio_buffer.started",
        "output_audio_buffer.stopped",
        "response.content_part.added",
        "response.content_part.done",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
        "response.output_audio_transcript.done",
        "response.output_text.delta",
        "response.output_text.done",
    ];
    KINDS.contains(&kind)
}
