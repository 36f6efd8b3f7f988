//! Client events.
use crate::{
    live::Config,
    openai::{
        self,
        wire::{Item, ToolSpec, Voice},
    },
};
use media::{Law, SampleRate};
use serde::Serialize;

/// A client event apart from audio. `event_id` comes back in the error it causes.
#[derive(Debug, Serialize)]
#[serde(tag = "type")]
pub(crate) enum ClientEvent<'a> {
    #[serde(rename = "session.start")]
    Start { event_id: &'a str, session: Session<'a> },
    /// The model is to keep to this.
    #[serde(rename = "session.instructions.append")]
    Instruct { event_id: &'a str, content: &'a str, delegation_id: Option<&'a str> },
    /// The model is to know this, in silence.
    #[serde(rename = "session.thinking.append")]
    Think { event_id: &'a str, content: &'a str, delegation_id: Option<&'a str> },
    /// The model is to tell the caller this.
    #[serde(rename = "session.commentary.append")]
    Comment { event_id: &'a str, content: &'a str, delegation_id: Option<&'a str> },
    #[serde(rename = "response.item.create")]
    ItemCreate { event_id: &'a str, item: Item<'a> },
    #[serde(rename = "response.create")]
    ResponseCreate { event_id: &'a str },
}

impl ClientEvent<'_> {
    /// As a text frame. Writing plain structs of strings and numbers to memory has no way to fail.
    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Whether a message of ours means nothing in another session than it was written for: it answers what was asked there, or
/// tells what was heard of what was said there, which the next one knows by itself.
pub(crate) fn is_of_one_session(message: &str) -> bool {
    const KINDS: [&str; 3] = [r#"{"type":"response."#, r#"{"type":"session.thinking.append""#, r#","delegation_id":""#];
    // Quotes within quotes are escaped.
    KINDS.iter().any(|kind| message.contains(kind))
}

/// One append of caller audio, built by hand: 50 of these leave each second of each call.
pub(crate) fn append(audio: &[u8]) -> String {
    const HEAD: &str = r#"{"type":"session.input_audio.append","audio":""#;
    const TAIL: &str = r#""}"#;
    let mut text = String::with_capacity(HEAD.len() + audio.len().div_ceil(3) * 4 + TAIL.len());
    text.push_str(HEAD);
    base64_simd::STANDARD.encode_append(audio, &mut text);
    text.push_str(TAIL);
    text
}

/// The `session.start` of a session that begins with these items.
pub(crate) fn start(config: &Config, input: Vec<Item<'_>>, event_id: &str) -> String {
    let tools: Vec<_> = config.tools.iter().map(ToolSpec::of).collect();
    let session = Session {
        model: &config.model,
        instructions: Some(config.instructions.as_str()).filter(|words| !words.trim().is_empty()),
        audio: Audio { format: Format::of(config.format), output: Output { voice: Voice::of(&config.voice) } },
        delegation: (!tools.is_empty()).then(|| Delegation {
            kind: "responses",
            responses: Responses {
                model: &config.backend_model,
                instructions: &config.instructions,
                tools,
                tool_choice: "auto",
            },
        }),
        input,
    };
    ClientEvent::Start { event_id, session }.to_text()
}

/// Any unknown key makes the server refuse the whole of it.
#[derive(Debug, Serialize)]
pub(crate) struct Session<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<&'a str>,
    audio: Audio<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delegation: Option<Delegation<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    input: Vec<Item<'a>>,
}

#[derive(Debug, Serialize)]
struct Audio<'a> {
    format: Format,
    output: Output<'a>,
}

#[derive(Debug, Serialize)]
struct Output<'a> {
    voice: Voice<'a>,
}

/// The rate is required, of G.711 too.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "type")]
enum Format {
    #[serde(rename = "audio/pcm")]
    Pcm { rate: u32 },
    #[serde(rename = "audio/pcmu")]
    Pcmu { rate: u32 },
    #[serde(rename = "audio/pcma")]
    Pcma { rate: u32 },
}

impl Format {
    fn of(format: openai::Format) -> Self {
        let narrow = SampleRate::HZ_8000.hz();
        match format {
            openai::Format::Pcm => Self::Pcm { rate: SampleRate::HZ_24000.hz() },
            openai::Format::G711(Law::Mu) => Self::Pcmu { rate: narrow },
            openai::Format::G711(Law::A) => Self::Pcma { rate: narrow },
        }
    }
}

#[derive(Debug, Serialize)]
struct Delegation<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    responses: Responses<'a>,
}

/// The model that calls the tools.
#[derive(Debug, Serialize)]
struct Responses<'a> {
    model: &'a str,
    instructions: &'a str,
    tools: Vec<ToolSpec<'a>>,
    tool_choice: &'static str,
}
