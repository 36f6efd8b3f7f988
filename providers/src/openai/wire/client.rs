//! Client events.
use super::super::config::{
    self, Config, Eagerness, Effort, Interrupts, McpServer, NoiseReduction, ToolChoice, TurnDetection,
};
use crate::dialect::Tool;
use media::{Law, SampleRate};
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

/// A client event apart from audio. `event_id` comes back in the error it causes.
#[derive(Debug, Serialize)]
#[serde(tag = "type")]
pub(crate) enum ClientEvent<'a> {
    #[serde(rename = "session.update")]
    SessionUpdate { event_id: &'a str, session: Box<Session<'a>> },
    #[serde(rename = "conversation.item.create")]
    ItemCreate { event_id: &'a str, item: Item<'a> },
    #[serde(rename = "conversation.item.truncate")]
    ItemTruncate { event_id: &'a str, item_id: &'a str, content_index: u32, audio_end_ms: u64 },
    #[serde(rename = "conversation.item.delete")]
    ItemDelete { event_id: &'a str, item_id: &'a str },
    #[serde(rename = "response.create")]
    ResponseCreate {
        event_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        response: Option<ResponseParams<'a>>,
    },
    #[serde(rename = "response.cancel")]
    ResponseCancel { event_id: &'a str, response_id: &'a str },
}

impl<'a> ClientEvent<'a> {
    /// A `response.create`, with instructions and a choice of tools for this response only or with the session's.
    pub(crate) fn response_create(
        event_id: &'a str,
        instructions: Option<&'a str>,
        tool_choice: Option<&'static str>,
    ) -> Self {
        let differs = instructions.is_some() || tool_choice.is_some();
        Self::ResponseCreate { event_id, response: differs.then_some(ResponseParams { instructions, tool_choice }) }
    }

    /// As a text frame. Writing plain structs of strings and numbers to memory has no way to fail.
    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Overrides of one response.
#[derive(Debug, Serialize)]
pub(crate) struct ResponseParams<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<&'static str>,
}

/// Whether a message of ours is of no use in another session than it was written for: it names what is in that one, asks for
/// a response, which is asked for again, or tells what the caller did, which is told with all that was said.
pub(crate) fn is_of_one_session(message: &str) -> bool {
    const KINDS: [&str; 6] = [
        r#"{"type":"conversation.item.truncate""#,
        r#"{"type":"conversation.item.delete""#,
        r#"{"type":"response."#,
        r#""item":{"type":"message","role":"user""#,
        r#""item":{"type":"function_call_output""#,
        r#""item":{"type":"mcp_approval_response""#,
    ];
    // Quotes within quotes are escaped.
    KINDS.iter().any(|kind| message.contains(kind))
}

/// A conversation item of ours.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Item<'a> {
    Message { role: &'static str, content: [InputText<'a>; 1] },
    FunctionCallOutput { call_id: &'a str, output: &'a str },
    McpApprovalResponse { id: &'a str, approval_request_id: &'a str, approve: bool },
}

impl<'a> Item<'a> {
    /// Something the caller did.
    pub(crate) fn user(text: &'a str) -> Self {
        Self::Message { role: "user", content: [InputText { kind: "input_text", text }] }
    }

    /// Something the assistant said before this session began.
    pub(crate) fn assistant(text: &'a str) -> Self {
        Self::Message { role: "assistant", content: [InputText { kind: "output_text", text }] }
    }

    /// Something the assistant must know.
    pub(crate) fn system(text: &'a str) -> Self {
        Self::Message { role: "system", content: [InputText { kind: "input_text", text }] }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct InputText<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    text: &'a str,
}

/// One append of caller audio, built by hand: 50 of these leave each second of each call.
pub(crate) fn append(audio: &[u8]) -> String {
    const HEAD: &str = r#"{"type":"input_audio_buffer.append","audio":""#;
    const TAIL: &str = r#""}"#;
    let mut text = String::with_capacity(HEAD.len() + audio.len().div_ceil(3) * 4 + TAIL.len());
    text.push_str(HEAD);
    base64_simd::STANDARD.encode_append(audio, &mut text);
    text.push_str(TAIL);
    text
}

/// The only `session.update` of a session.
pub(crate) fn session_update(config: &Config, event_id: &str) -> String {
    let format = Format::of(config.format);
    let language = config.language.as_deref().and_then(|tag| tag.split(['-', '_']).next());
    let session = Session {
        kind: "realtime",
        output_modalities: ["audio"],
        instructions: &config.instructions,
        audio: AudioSettings {
            input: Input {
                format,
                noise_reduction: Noise::of(config.noise_reduction),
                transcription: config.transcription_model.as_deref().map(|model| Transcription { model, language }),
                turn_detection: Detection::of(config.turn_detection),
            },
            output: Output { format, voice: Voice::of(&config.voice), speed: config.speed },
        },
        tools: config.tools.iter().map(ToolSpec::of).chain(config.mcp.iter().map(ToolSpec::of_server)).collect(),
        tool_choice: Choice::of(&config.tool_choice),
        reasoning: config.bounds.reasoning.map(Reasoning::of),
        max_output_tokens: config.bounds.max_output_tokens,
        truncation: config.bounds.truncation.map(Truncation::of),
    };
    ClientEvent::SessionUpdate { event_id, session: Box::new(session) }.to_text()
}

/// `type` is required on every `session.update`; any unknown key makes the server refuse the whole of it.
#[derive(Debug, Serialize)]
pub(crate) struct Session<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    output_modalities: [&'static str; 1],
    instructions: &'a str,
    audio: AudioSettings<'a>,
    tools: Vec<ToolSpec<'a>>,
    tool_choice: Choice<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Reasoning>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    truncation: Option<Truncation>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Choice<'a> {
    Mode(&'static str),
    Function {
        #[serde(rename = "type")]
        kind: &'static str,
        name: &'a str,
    },
}

impl<'a> Choice<'a> {
    fn of(choice: &'a ToolChoice) -> Self {
        match choice {
            ToolChoice::Auto => Self::Mode("auto"),
            ToolChoice::None => Self::Mode("none"),
            ToolChoice::Required => Self::Mode("required"),
            ToolChoice::Function(name) => Self::Function { kind: "function", name },
        }
    }
}

#[derive(Debug, Serialize)]
struct Reasoning {
    effort: &'static str,
}

impl Reasoning {
    const fn of(effort: Effort) -> Self {
        let effort = match effort {
            Effort::Minimal => "minimal",
            Effort::Low => "low",
            Effort::Medium => "medium",
            Effort::High => "high",
            Effort::ExtraHigh => "xhigh",
        };
        Self { effort }
    }
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Truncation {
    Named(&'static str),
    Retention {
        #[serde(rename = "type")]
        kind: &'static str,
        retention_ratio: f64,
    },
}

impl Truncation {
    const fn of(setting: config::Truncation) -> Self {
        match setting {
            config::Truncation::Auto => Self::Named("auto"),
            config::Truncation::Disabled => Self::Named("disabled"),
            config::Truncation::Retain(retention_ratio) => Self::Retention { kind: "retention_ratio", retention_ratio },
        }
    }
}

#[derive(Debug, Serialize)]
struct AudioSettings<'a> {
    input: Input<'a>,
    output: Output<'a>,
}

#[derive(Debug, Serialize)]
struct Input<'a> {
    format: Format,
    noise_reduction: Option<Noise>,
    transcription: Option<Transcription<'a>>,
    turn_detection: Detection,
}

#[derive(Debug, Serialize)]
struct Output<'a> {
    format: Format,
    voice: Voice<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    speed: Option<f64>,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "type")]
enum Format {
    #[serde(rename = "audio/pcm")]
    Pcm { rate: u32 },
    #[serde(rename = "audio/pcmu")]
    Pcmu,
    #[serde(rename = "audio/pcma")]
    Pcma,
}

impl Format {
    fn of(format: config::Format) -> Self {
        match format {
            config::Format::Pcm => Self::Pcm { rate: SampleRate::HZ_24000.hz() },
            config::Format::G711(Law::Mu) => Self::Pcmu,
            config::Format::G711(Law::A) => Self::Pcma,
        }
    }
}

/// Built-in voices go by name, custom ones as an object with their id.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Voice<'a> {
    Named(&'a str),
    Custom { id: &'a str },
}

impl<'a> Voice<'a> {
    pub(crate) fn of(voice: &'a str) -> Self {
        if voice.starts_with("voice_") { Self::Custom { id: voice } } else { Self::Named(voice) }
    }
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Noise {
    NearField,
    FarField,
}

impl Noise {
    fn of(setting: NoiseReduction) -> Option<Self> {
        match setting {
            NoiseReduction::Off => None,
            NoiseReduction::NearField => Some(Self::NearField),
            NoiseReduction::FarField => Some(Self::FarField),
        }
    }
}

#[derive(Debug, Serialize)]
struct Transcription<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Detection {
    ServerVad {
        threshold: f64,
        prefix_padding_ms: u64,
        silence_duration_ms: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        idle_timeout_ms: Option<u64>,
        create_response: bool,
        interrupt_response: bool,
    },
    SemanticVad {
        eagerness: &'static str,
        create_response: bool,
        interrupt_response: bool,
    },
}

impl Detection {
    fn of(setting: TurnDetection) -> Self {
        match setting {
            TurnDetection::ServerVad { threshold, prefix_padding, silence_duration, idle, interrupts } => {
                Self::ServerVad {
                    threshold,
                    prefix_padding_ms: milliseconds(prefix_padding),
                    silence_duration_ms: milliseconds(silence_duration),
                    idle_timeout_ms: idle.map(milliseconds),
                    create_response: true,
                    interrupt_response: interrupts == Interrupts::ByServer,
                }
            }
            TurnDetection::SemanticVad { eagerness, interrupts } => Self::SemanticVad {
                eagerness: match eagerness {
                    Eagerness::Low => "low",
                    Eagerness::Medium => "medium",
                    Eagerness::High => "high",
                    Eagerness::Auto => "auto",
                },
                create_response: true,
                interrupt_response: interrupts == Interrupts::ByServer,
            },
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Flat in GA: name and parameters are not nested under `function`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ToolSpec<'a> {
    Function {
        name: &'a str,
        description: &'a str,
        parameters: &'a Value,
    },
    Mcp {
        server_label: &'a str,
        server_url: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        authorization: Option<&'a str>,
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        allowed_tools: &'a [String],
        require_approval: &'static str,
    },
}

impl<'a> ToolSpec<'a> {
    pub(crate) fn of(tool: &'a Tool) -> Self {
        Self::Function { name: &tool.name, description: &tool.description, parameters: &tool.parameters }
    }

    /// Nobody is there to approve of a call while a caller waits.
    fn of_server(server: &'a McpServer) -> Self {
        Self::Mcp {
            server_label: &server.label,
            server_url: &server.url,
            authorization: server.authorization.as_deref(),
            allowed_tools: &server.allowed_tools,
            require_approval: "never",
        }
    }
}
