//! Who speaks for a secretary.
use std::fmt;

/// Who speaks; the `realtime_provider` column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// OpenAI Realtime.
    OpenAi,
    /// OpenAI Realtime at Azure.
    Azure,
    /// OpenAI Live.
    OpenAiLive,
    /// Gemini Live.
    Gemini,
    /// An agent at ElevenLabs.
    ElevenLabs,
    /// Separate parts that hear, answer and speak, as the words come.
    Pipeline,
    /// The same, turn by turn.
    TurnBased,
    /// The engine inside this process; no key, no network.
    Local,
    /// A name this version has no dialect for. Its calls are refused with this name in the log.
    Unknown(String),
}

impl ProviderKind {
    /// As in the column.
    pub fn as_str(&self) -> &str {
        match self {
            Self::OpenAi => "openai",
            Self::Azure => "azure",
            Self::OpenAiLive => "openai-live",
            Self::Gemini => "gemini",
            Self::ElevenLabs => "elevenlabs",
            Self::Pipeline => "pipeline",
            Self::TurnBased => "turn_based",
            Self::Local => "local",
            Self::Unknown(name) => name,
        }
    }

    /// Whether a tenant can have a key of its own there.
    pub const fn takes_key(&self) -> bool {
        match self {
            Self::OpenAi | Self::Azure | Self::OpenAiLive | Self::Gemini | Self::ElevenLabs => true,
            Self::Pipeline | Self::TurnBased | Self::Local | Self::Unknown(_) => false,
        }
    }

    /// From the column; never fails, since one secretary's provider must not hurt another's calls.
    pub fn parse(name: &str) -> Self {
        match name.trim().to_ascii_lowercase().as_str() {
            "openai" => Self::OpenAi,
            "azure" => Self::Azure,
            "openai-live" => Self::OpenAiLive,
            "gemini" => Self::Gemini,
            "elevenlabs" => Self::ElevenLabs,
            "pipeline" => Self::Pipeline,
            "turn_based" => Self::TurnBased,
            "local" => Self::Local,
            _ => Self::Unknown(name.trim().to_owned()),
        }
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
