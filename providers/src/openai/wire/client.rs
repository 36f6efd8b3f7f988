//! Client events.
use super::super::config::{self, Config, Eagerness, Interrupts, NoiseReduction, TurnDetection};
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
    SessionUpdate { event_id: &'a str, session: Session<'a> },
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
    /// A `response.create`, with instructions for this response only or with the session's.
    pub(crate) fn response_create(event_id: &'a str, instructions: Option<&'a str>) -> Self {
        Self::ResponseCreate { event_id, response: instructions.map(|instructions| ResponseParams { instructions }) }
    }

    /// As a text frame. Writing plain structs of strings and numbers to memory has no way to fail.
    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Overrides of one response.
#[derive(Debug, Serialize)]
pub(crate) struct ResponseParams<'a> {
    instructions: &'a str,
}

/// A conversation item of ours.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Item<'a> {
    Message { role: &'static str, content: [InputText<'a>; 1] },
    FunctionCallOutput { call_id: &'a str, output: &'a str },
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

/// The only `session.update` of a conversation.
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
        tools: config.tools.iter().map(Function::of).collect(),
        tool_choice: "auto",
    };
    ClientEvent::SessionUpdate { event_id, session }.to_text()
}

/// `type` is required on every `session.update`; any unknown key makes the server refuse the whole of it.
#[derive(Debug, Serialize)]
pub(crate) struct Session<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    output_modalities: [&'static str; 1],
    instructions: &'a str,
    audio: AudioSettings<'a>,
    tools: Vec<Function<'a>>,
    tool_choice: &'static str,
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
enum Voice<'a> {
    Named(&'a str),
    Custom { id: &'a str },
}

impl<'a> Voice<'a> {
    fn of(voice: &'a str) -> Self {
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
            TurnDetection::ServerVad { threshold, prefix_padding, silence_duration, interrupts } => Self::ServerVad {
                threshold,
                prefix_padding_ms: milliseconds(prefix_padding),
                silence_duration_ms: milliseconds(silence_duration),
                create_response: true,
                interrupt_response: interrupts == Interrupts::ByServer,
            },
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
struct Function<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    description: &'a str,
    parameters: &'a Value,
}

impl<'a> Function<'a> {
    fn of(tool: &'a Tool) -> Self {
        Self { kind: "function", name: &tool.name, description: &tool.description, parameters: &tool.parameters }
    }
}
