//! Server events: those that mean something to a call; the others are told apart as known or unknown.
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;

/// A server event. Fields a call has no use for are not read, and unknown ones never matter.
#[derive(Debug)]
pub(crate) enum ServerEvent<'a> {
    Metadata(Metadata),
    Audio(AudioChunk<'a>),
    CallerText(String),
    AgentText(String),
    /// The agent has said all of this turn.
    AgentDone,
    /// What the caller heard of a response that was interrupted, as the server sees it.
    Correction {
        original: String,
        corrected: String,
    },
    /// Audio up to this event must not be played.
    Interruption {
        event_id: Option<i64>,
    },
    /// How sure the server is that the caller speaks, 0 to 1.
    VadScore(f64),
    Ping {
        event_id: i64,
    },
    ToolCall {
        id: String,
        name: String,
        /// JSON text.
        arguments: String,
    },
    /// A tool of the provider's own ran.
    ToolRan {
        id: String,
        name: String,
        failed: bool,
    },
    Error(ErrorBody),
    /// Known, and of no consequence here.
    Ignored,
    /// A kind this version has not heard of.
    Unknown {
        kind: Cow<'a, str>,
    },
}

/// `conversation_initiation_metadata`.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    #[serde(default)]
    pub(crate) conversation_id: Option<String>,
    #[serde(default)]
    pub(crate) agent_output_audio_format: Option<String>,
    #[serde(default)]
    pub(crate) user_input_audio_format: Option<String>,
}

/// `audio`, borrowed: these are most of the bytes of a call.
#[derive(Debug, Deserialize)]
pub(crate) struct AudioChunk<'a> {
    /// Base64.
    #[serde(borrow)]
    pub(crate) audio_base_64: Cow<'a, str>,
    #[serde(default)]
    pub(crate) event_id: Option<i64>,
}

/// `error`, in either of its shapes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ErrorBody {
    /// A close code, as a rule.
    pub(crate) code: Option<Value>,
    pub(crate) message: Option<String>,
    pub(crate) error_type: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) debug_message: Option<String>,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

#[derive(Deserialize)]
struct WithMetadata {
    conversation_initiation_metadata_event: Metadata,
}

#[derive(Deserialize)]
struct WithAudio<'a> {
    #[serde(borrow)]
    audio_event: AudioChunk<'a>,
}

#[derive(Deserialize)]
struct WithTranscript {
    user_transcription_event: Transcript,
}

#[derive(Deserialize)]
struct Transcript {
    user_transcript: String,
}

#[derive(Deserialize)]
struct WithResponse {
    agent_response_event: Response,
}

#[derive(Deserialize)]
struct Response {
    agent_response: String,
}

#[derive(Deserialize)]
struct WithCorrection {
    agent_response_correction_event: Correction,
}

#[derive(Deserialize)]
struct Correction {
    original_agent_response: String,
    corrected_agent_response: String,
}

#[derive(Deserialize)]
struct WithInterruption {
    #[serde(default)]
    interruption_event: Interruption,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Interruption {
    event_id: Option<i64>,
}

#[derive(Deserialize)]
struct WithScore {
    vad_score_event: Score,
}

#[derive(Deserialize)]
struct Score {
    vad_score: f64,
}

#[derive(Deserialize)]
struct WithPing {
    ping_event: Ping,
}

#[derive(Deserialize)]
struct Ping {
    event_id: i64,
}

#[derive(Deserialize)]
struct WithCall {
    client_tool_call: Call,
}

#[derive(Deserialize)]
struct Call {
    tool_name: String,
    tool_call_id: String,
    #[serde(default)]
    parameters: Option<Value>,
}

#[derive(Deserialize)]
struct WithToolResponse {
    agent_tool_response: ToolResponse,
}

#[derive(Deserialize)]
struct ToolResponse {
    tool_name: String,
    #[serde(default)]
    tool_call_id: String,
    #[serde(default)]
    tool_type: String,
    #[serde(default)]
    is_error: bool,
}

/// The body is beside `type` in one shape and in `error_event` in the other.
#[derive(Deserialize)]
struct WithError {
    #[serde(default)]
    error_event: Option<ErrorBody>,
    #[serde(flatten)]
    flat: ErrorBody,
}

/// Reads one text frame.
///
/// # Errors
///
/// When it is not JSON, has no `type`, or is of a kind a call depends on and lacks what the call needs of it.
pub(crate) fn parse(text: &str) -> Result<ServerEvent<'_>, serde_json::Error> {
    let head: Head<'_> = serde_json::from_str(text)?;
    Ok(match &*head.kind {
        "conversation_initiation_metadata" => {
            ServerEvent::Metadata(serde_json::from_str::<WithMetadata>(text)?.conversation_initiation_metadata_event)
        }
        "audio" => ServerEvent::Audio(serde_json::from_str::<WithAudio<'_>>(text)?.audio_event),
        "user_transcript" => ServerEvent::CallerText(
            serde_json::from_str::<WithTranscript>(text)?.user_transcription_event.user_transcript,
        ),
        "agent_response" => {
            ServerEvent::AgentText(serde_json::from_str::<WithResponse>(text)?.agent_response_event.agent_response)
        }
        "agent_response_complete" => ServerEvent::AgentDone,
        "agent_response_correction" => {
            let body = serde_json::from_str::<WithCorrection>(text)?.agent_response_correction_event;
            let (original, corrected) = (body.original_agent_response, body.corrected_agent_response);
            ServerEvent::Correction { original, corrected }
        }
        "interruption" => {
            let event_id = serde_json::from_str::<WithInterruption>(text)?.interruption_event.event_id;
            ServerEvent::Interruption { event_id }
        }
        "vad_score" => ServerEvent::VadScore(serde_json::from_str::<WithScore>(text)?.vad_score_event.vad_score),
        "ping" => ServerEvent::Ping { event_id: serde_json::from_str::<WithPing>(text)?.ping_event.event_id },
        "client_tool_call" => {
            let call = serde_json::from_str::<WithCall>(text)?.client_tool_call;
            let arguments = call.parameters.map_or_else(|| "{}".to_owned(), |given| given.to_string());
            ServerEvent::ToolCall { id: call.tool_call_id, name: call.tool_name, arguments }
        }
        "agent_tool_response" => {
            let tool = serde_json::from_str::<WithToolResponse>(text)?.agent_tool_response;
            match &*tool.tool_type {
                "system" => ServerEvent::ToolRan { id: tool.tool_call_id, name: tool.tool_name, failed: tool.is_error },
                _ => ServerEvent::Ignored,
            }
        }
        "error" => {
            let WithError { error_event, flat } = serde_json::from_str(text)?;
            ServerEvent::Error(error_event.unwrap_or(flat))
        }
        kind if is_of_no_consequence(kind) => ServerEvent::Ignored,
        _ => ServerEvent::Unknown { kind: head.kind },
    })
}

/// The rest of the vocabulary.
fn is_of_no_consequence(kind: &str) -> bool {
    const KINDS: [&str; 21] = [
        "agent_chat_response_part",
        "agent_reasoning_response_part",
        "agent_response_metadata",
        "agent_tool_request",
        "agent_tool_response_full_payload",
        "agent_typing",
        "asr_initiation_metadata",
        "client_error",
        "context_usage",
        "dtmf_request",
        "external_agent_connected",
        "external_agent_disconnected",
        "guardrail_triggered",
        "internal_tentative_agent_response",
        "internal_turn_probability",
        "internal_vad_score",
        "mcp_connection_status",
        "mcp_tool_call",
        "queue_status",
        "rich_content",
        "tentative_user_transcript",
    ];
    KINDS.contains(&kind)
}
