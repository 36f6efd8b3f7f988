//! What a secretary says about its Gemini Live conversation.
use crate::{dialect::Tool, pcm};
use media::{Audio, SampleRate};
use std::{fmt, time::Duration};

/// Where Google listens.
const DEFAULT_URL: &str = "wss://generativelanguage.googleapis.com";
/// What it hears best; it resamples anything else to this.
pub(super) const UPLINK: SampleRate = SampleRate::HZ_16000;
/// What it speaks.
pub(super) const DOWNLINK: SampleRate = SampleRate::HZ_24000;
/// PCM of 16 bits.
const BYTES_PER_SAMPLE: usize = 2;

/// Settings of one conversation; fixed for its life.
#[derive(Clone, PartialEq)]
pub struct Config {
    /// Scheme and host, and a port where needed: `wss://generativelanguage.googleapis.com`.
    pub url: String,
    /// Version of the API, part of the path: `v1beta`.
    pub api_version: String,
    /// Sent as `x-goog-api-key`; never shown by `Debug`.
    pub api_key: String,
    /// Model id, without `models/`: `gemini-3.8-live`.
    pub model: String,
    /// Name of a prebuilt voice, e.g. `Kore`.
    pub voice: String,
    /// BCP 47 language to speak, e.g. `pt-BR`; `None` lets the model follow the caller.
    pub language: Option<String>,
    /// What the assistant is and how it behaves.
    pub instructions: String,
    /// Said word for word as soon as the session is ready.
    pub first_message: Option<String>,
    /// How the server finds the caller's turns.
    pub turn_detection: TurnDetection,
    /// What the assistant may ask us to do.
    pub tools: Vec<Tool>,
    /// Least caller audio in one message: 20 to 100 ms.
    pub batch: Duration,
    /// Most caller audio kept while the provider cannot take it; beyond it the oldest is dropped and counted.
    pub backlog: Duration,
}

impl Config {
    /// The shipped defaults for this key.
    pub fn new(api_key: impl Into<String>) -> Self {
        Self {
            url: DEFAULT_URL.to_owned(),
            api_version: "v1beta".to_owned(),
            api_key: api_key.into(),
            model: "gemini-3.8-live".to_owned(),
            voice: "Kore".to_owned(),
            language: None,
            instructions: String::new(),
            first_message: None,
            turn_detection: TurnDetection::default(),
            tools: Vec::new(),
            batch: Duration::from_millis(20),
            backlog: Duration::from_secs(5),
        }
    }

    /// The address of the method.
    pub(super) fn endpoint(&self) -> String {
        let (url, version) = (self.url.trim_end_matches('/'), &self.api_version);
        format!("{url}/ws/google.ai.generativelanguage.{version}.GenerativeService.BidiGenerateContent")
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("url", &self.url)
            .field("api_version", &self.api_version)
            .field("model", &self.model)
            .field("voice", &self.voice)
            .field("language", &self.language)
            .field("turn_detection", &self.turn_detection)
            .finish_non_exhaustive()
    }
}

/// How the server's automatic activity detection finds a turn of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnDetection {
    /// What is taken for the start of speech.
    pub start: Start,
    /// How soon speech is taken to be over; `None` leaves the provider's own.
    pub ending: Option<Ending>,
    /// Speech before it counts as begun; `None` leaves the provider's own.
    pub prefix_padding: Option<Duration>,
    /// Quiet that ends a turn; `None` leaves the provider's own.
    pub silence: Option<Duration>,
}

impl Default for TurnDetection {
    fn default() -> Self {
        Self { start: Start::Low, ending: None, prefix_padding: None, silence: Some(Duration::from_millis(500)) }
    }
}

/// `startOfSpeechSensitivity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Takes more for speech.
    High,
    /// Takes less for speech: a noisy line interrupts less.
    Low,
}

/// `endOfSpeechSensitivity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Ends turns sooner.
    High,
    /// Ends turns later.
    Low,
}

/// Bytes that caller audio of this length takes.
pub(super) const fn bytes_in(duration: Duration) -> usize {
    UPLINK.samples_in(duration).saturating_mul(BYTES_PER_SAMPLE)
}

/// How long so many bytes of caller audio last.
pub(super) const fn duration_of(bytes: usize) -> Duration {
    UPLINK.duration_of(bytes / BYTES_PER_SAMPLE)
}

/// Caller audio as it is sent, little-endian; `None` if it is in another format.
pub(super) fn bytes(audio: &Audio) -> Option<Vec<u8>> {
    match audio {
        Audio::Pcm(frame) if frame.rate == UPLINK => Some(pcm::to_bytes(&frame.samples)),
        Audio::Pcm(_) | Audio::G711 { .. } => None,
    }
}
