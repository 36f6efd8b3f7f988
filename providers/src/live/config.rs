//! What a secretary says about its OpenAI Live conversation.
use crate::{dialect::Tool, openai::Format};
use std::{fmt, time::Duration};

/// Where OpenAI listens.
pub const DEFAULT_URL: &str = "wss://api.openai.com/v1/live/sessions";

/// Settings of one conversation; fixed for its life.
#[derive(Clone, PartialEq)]
pub struct Config {
    /// Address, without a query.
    pub url: String,
    /// Sent as `Authorization: Bearer`; never shown by `Debug`.
    pub api_key: String,
    /// Model id, e.g. `gpt-live-1`.
    pub model: String,
    /// Which model calls the tools for it.
    pub backend_model: String,
    /// Voice name, or the id of a custom voice, `voice_…`.
    pub voice: String,
    /// What the assistant is and how it behaves.
    pub instructions: String,
    /// Said word for word as soon as the session has started.
    pub first_message: Option<String>,
    /// BCP 47 language of the conversation.
    pub language: Option<String>,
    /// How audio goes both ways.
    pub format: Format,
    /// What the assistant may ask us to do.
    pub tools: Vec<Tool>,
    /// After so long a session is left for a fresh one, in the next pause. The provider ends each at a time of its own.
    pub rotate_after: Duration,
    /// Least caller audio in one append message.
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
            model: "gpt-live-1".to_owned(),
            backend_model: "gpt-6-luna".to_owned(),
            voice: "marin".to_owned(),
            instructions: String::new(),
            first_message: None,
            language: None,
            format,
            tools: Vec::new(),
            rotate_after: Duration::from_secs(50 * 60),
            batch: Duration::from_millis(20),
            backlog: Duration::from_secs(5),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("url", &self.url)
            .field("model", &self.model)
            .field("voice", &self.voice)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}
