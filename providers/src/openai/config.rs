//! What a secretary says about its OpenAI Realtime conversation.
use crate::{
    dialect::Tool,
    pcm::{self, Half},
};
use media::{Audio, AudioFormat, Law, SampleRate, UtteranceId};
use std::{borrow::Cow, fmt, time::Duration};

/// Where OpenAI listens.
pub(super) const DEFAULT_URL: &str = "wss://api.openai.com/v1/realtime";

/// Settings of one conversation; fixed for its life.
#[derive(Clone, PartialEq)]
pub struct Config {
    /// Base address, without the model: `wss://api.openai.com/v1/realtime`.
    pub url: String,
    /// Never shown by `Debug`.
    pub api_key: String,
    /// How the key is sent.
    pub auth: Auth,
    /// Model id, e.g. `gpt-realtime-2.1`; at Azure the name of a deployment.
    pub model: String,
    /// Voice name, e.g. `marin`, or the id of a custom voice, `voice_…`.
    pub voice: String,
    /// What the assistant is and how it behaves.
    pub instructions: String,
    /// Said word for word as soon as the session is ready.
    pub first_message: Option<String>,
    /// How audio goes both ways.
    pub format: Format,
    /// Who decides that the caller's turn is over, and how.
    pub turn_detection: TurnDetection,
    /// Model that writes down what the caller says; `None` for no caller transcript.
    pub transcription_model: Option<String>,
    /// BCP 47 language of the caller; only its first subtag is sent (ISO 639-1).
    pub language: Option<String>,
    /// Filter ahead of the server's turn detection and model.
    pub noise_reduction: NoiseReduction,
    /// Speech rate, 0.25 to 1.5; `None` leaves the provider's own (1.0).
    pub speed: Option<f64>,
    /// What the assistant may ask us to do.
    pub tools: Vec<Tool>,
    /// Whether it may, must or must not use its tools.
    pub tool_choice: ToolChoice,
    /// Servers whose tools the provider calls by itself.
    pub mcp: Vec<McpServer>,
    /// How much it thinks, says and remembers.
    pub bounds: Bounds,
    /// After so long a session is left for a fresh one, in the next pause. The provider ends each after 60 minutes.
    pub rotate_after: Duration,
    /// Least caller audio in one append message. 20 ms sends each frame at once.
    pub batch: Duration,
    /// Most caller audio kept while the provider cannot take it; beyond it the oldest is dropped and counted.
    pub backlog: Duration,
}

impl Config {
    /// The shipped defaults for this key and format.
    pub fn new(api_key: impl Into<String>, format: Format) -> Self {
        Self {
            url: DEFAULT_URL.to_owned(),
            api_key: api_key.into(),
            auth: Auth::Bearer,
            model: "gpt-realtime-2.1".to_owned(),
            voice: "marin".to_owned(),
            instructions: String::new(),
            first_message: None,
            format,
            turn_detection: TurnDetection::default(),
            transcription_model: Some("gpt-4o-mini-transcribe".to_owned()),
            language: None,
            noise_reduction: NoiseReduction::NearField,
            speed: None,
            tools: Vec::new(),
            tool_choice: ToolChoice::Auto,
            mcp: Vec::new(),
            bounds: Bounds::default(),
            rotate_after: Duration::from_secs(50 * 60),
            batch: Duration::from_millis(20),
            // What a call keeps to be heard again over another connection, ten seconds, and what is said while that is made.
            backlog: Duration::from_secs(12),
        }
    }
}

/// How much a model thinks, says and remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounds {
    /// How long the model thinks; `None` leaves it to the provider, as models without reasoning demand.
    pub reasoning: Option<Effort>,
    /// Longest response in tokens, 1 to 4,096; `None` for no limit.
    pub max_output_tokens: Option<u16>,
    /// What the provider forgets when the conversation outgrows the model; `None` leaves it to the provider.
    pub truncation: Option<Truncation>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("url", &self.url)
            .field("model", &self.model)
            .field("voice", &self.voice)
            .field("format", &self.format)
            .field("turn_detection", &self.turn_detection)
            .field("transcription_model", &self.transcription_model)
            .field("language", &self.language)
            .finish_non_exhaustive()
    }
}

/// The formats OpenAI hears and speaks; there is no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `audio/pcm`: 24 kHz, 16 bits, little-endian.
    Pcm,
    /// `audio/pcmu` or `audio/pcma`: 8 kHz, a byte a sample.
    G711(Law),
}

impl Format {
    /// The one in which nothing is lost of a call that sounds like this, for the fewest bytes: G.711 as it is, and µ-law
    /// for other audio of the telephone band.
    pub const fn of_call(call: AudioFormat) -> Self {
        match call {
            AudioFormat::G711(law) => Self::G711(law),
            AudioFormat::Pcm(rate) if rate.hz() > SampleRate::HZ_8000.hz() => Self::Pcm,
            AudioFormat::Pcm(_) => Self::G711(Law::Mu),
        }
    }

    /// The same, as the call knows it.
    pub const fn audio(self) -> AudioFormat {
        match self {
            Self::Pcm => AudioFormat::Pcm(SampleRate::HZ_24000),
            Self::G711(law) => AudioFormat::G711(law),
        }
    }

    const fn bytes_per_sample(self) -> usize {
        match self {
            Self::Pcm => 2,
            Self::G711(_) => 1,
        }
    }

    /// Bytes that audio of this length takes.
    pub(crate) const fn bytes_in(self, duration: Duration) -> usize {
        self.audio().rate().samples_in(duration).saturating_mul(self.bytes_per_sample())
    }

    /// How long so many bytes last.
    pub(crate) const fn duration_of(self, bytes: usize) -> Duration {
        self.audio().rate().duration_of(bytes / self.bytes_per_sample())
    }

    /// Audio as it is sent; `None` if it is in another format.
    pub(crate) fn bytes(self, audio: &Audio) -> Option<Cow<'_, [u8]>> {
        match (self, audio) {
            (Self::G711(law), Audio::G711 { law: other, bytes }) if law == *other => Some(Cow::Borrowed(bytes)),
            (Self::Pcm, Audio::Pcm(frame)) if frame.rate == SampleRate::HZ_24000 => {
                Some(Cow::Owned(pcm::to_bytes(&frame.samples)))
            }
            (Self::G711(_) | Self::Pcm, Audio::G711 { .. } | Audio::Pcm(_)) => None,
        }
    }

    /// Audio of an utterance as it came, behind what the message before left of a sample of PCM.
    pub(crate) fn read(self, bytes: Vec<u8>, utterance: UtteranceId, half: &mut Half) -> Audio {
        match self {
            Self::G711(law) => Audio::G711 { law, bytes },
            Self::Pcm => Audio::Pcm(pcm::read(SampleRate::HZ_24000, &half.join(utterance, bytes))),
        }
    }
}

/// Who decides that the caller's turn is over. The server then creates a response by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TurnDetection {
    /// By volume: safer on G.711 lines.
    ServerVad {
        /// 0.0 to 1.0; phones without echo cancellation want 0.6 to 0.8.
        threshold: f64,
        /// Audio kept from before the detected start.
        prefix_padding: Duration,
        /// Quiet that ends a turn.
        silence_duration: Duration,
        /// After so long without a word of the caller the assistant asks whether somebody is there; `None` for never.
        idle: Option<Duration>,
        /// Who cancels a response when the caller speaks.
        interrupts: Interrupts,
    },
    /// By meaning: waits longer after an unfinished sentence.
    SemanticVad {
        /// How soon it answers.
        eagerness: Eagerness,
        /// Who cancels a response when the caller speaks.
        interrupts: Interrupts,
    },
}

impl Default for TurnDetection {
    fn default() -> Self {
        Self::ServerVad {
            threshold: 0.5,
            prefix_padding: Duration::from_millis(300),
            silence_duration: Duration::from_millis(500),
            idle: None,
            interrupts: Interrupts::ByServer,
        }
    }
}

/// Who cancels the response that is being spoken when the caller starts to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupts {
    /// The server, as soon as it hears speech (`interrupt_response: true`).
    ByServer,
    /// This client, when the call says so (`interrupt_response: false`).
    ByClient,
}

/// How soon semantic turn detection answers; the longest waits are 8, 4 and 2 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eagerness {
    /// Up to 8 s.
    Low,
    /// Up to 4 s.
    Medium,
    /// Up to 2 s.
    High,
    /// The provider's choice, today the same as medium.
    Auto,
}

/// How a key is sent with the upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer`, as OpenAI wants it.
    Bearer,
    /// `api-key`, as Azure wants it.
    ApiKey,
}

/// Whether the model uses tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    /// When it finds it right.
    Auto,
    /// Never.
    None,
    /// In every response.
    Required,
    /// This function, in every response.
    Function(String),
}

/// A server of tools (Model Context Protocol) that the provider asks and calls by itself, without approval of ours.
#[derive(Clone, PartialEq, Eq)]
pub struct McpServer {
    /// What it is called in the conversation.
    pub label: String,
    /// `https://`.
    pub url: String,
    /// Sent to that server by the provider, never shown by `Debug`.
    pub authorization: Option<String>,
    /// Which of its tools; none for all.
    pub allowed_tools: Vec<String>,
}

impl fmt::Debug for McpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpServer").field("label", &self.label).field("url", &self.url).finish_non_exhaustive()
    }
}

/// How long a model thinks before it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Hardly.
    Minimal,
    /// Little.
    Low,
    /// Some.
    Medium,
    /// Long.
    High,
    /// Longest.
    ExtraHigh,
}

/// What is forgotten when a conversation outgrows the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Truncation {
    /// The oldest, as the provider sees fit.
    Auto,
    /// Nothing: responses fail then.
    Disabled,
    /// The oldest, until this share (0.0 to 1.0) of what may be kept is left.
    Retain(f64),
}

/// Filter ahead of the server's turn detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoiseReduction {
    /// None.
    Off,
    /// For handsets and headsets.
    NearField,
    /// For speakerphones and rooms.
    FarField,
}
