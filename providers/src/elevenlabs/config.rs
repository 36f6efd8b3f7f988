//! What a secretary says about her agent at ElevenLabs.
use crate::pcm::{self, Half};
use media::{Audio, AudioFormat, Law, SampleRate, UtteranceId};
use std::{borrow::Cow, fmt, time::Duration};

/// Where ElevenLabs listens.
pub(super) const DEFAULT_URL: &str = "wss://api.elevenlabs.io/v1/convai/conversation";
/// The only model its price list knows.
pub(super) const PRICED_AS: &str = "elevenlabs-agents";

/// Settings of one conversation; fixed for its life.
#[derive(Clone, PartialEq)]
pub struct Config {
    /// Base address, without a query: `wss://api.elevenlabs.io/v1/convai/conversation`, or that of a region.
    pub url: String,
    /// With it, a signed URL is asked for, as private agents want it; without it, the agent must be a public one. Never
    /// shown by `Debug`.
    pub api_key: Option<String>,
    /// Which agent, `agent_…`.
    pub agent_id: String,
    /// What differs from the agent as set up.
    pub overrides: Overrides,
    /// Dynamic variables of the agent's prompt: name and value. Names that begin with `system__` are the provider's own.
    pub variables: Vec<(String, String)>,
    /// BCP 47 language of the caller, for what Ramal says on its own account.
    pub language: Option<String>,
    /// The format of both directions that is counted on until the server names those of the agent.
    pub expected: Format,
    /// Least caller audio in one message. 20 ms sends each frame at once.
    pub batch: Duration,
    /// Most caller audio kept while the provider cannot take it; beyond it the oldest is dropped and counted.
    pub backlog: Duration,
}

impl Config {
    /// An agent as it is set up.
    pub fn new(agent_id: impl Into<String>, expected: Format) -> Self {
        Self {
            url: DEFAULT_URL.to_owned(),
            api_key: None,
            agent_id: agent_id.into(),
            overrides: Overrides::default(),
            variables: Vec::new(),
            language: None,
            expected,
            batch: Duration::from_millis(20),
            backlog: Duration::from_secs(5),
        }
    }

    /// The name under which its minutes are in the price list.
    pub const fn priced_as(&self) -> &'static str {
        PRICED_AS
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("url", &self.url)
            .field("agent_id", &self.agent_id)
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}

/// What differs from the agent as set up. Each must be allowed in the agent's security settings: the server refuses the
/// conversation otherwise, so only what is set here is sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// The system prompt.
    pub prompt: Option<String>,
    /// The language model, by the provider's name of it.
    pub llm: Option<String>,
    /// Said as soon as the conversation begins.
    pub first_message: Option<String>,
    /// BCP 47; of all regions only Brazil's Portuguese is told apart.
    pub language: Option<String>,
    /// Voice id.
    pub voice: Option<String>,
    /// Speech rate; less than 0.7 is sent as 0.7, the slowest there is.
    pub speed: Option<f32>,
}

/// A format of an agent, for either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `ulaw_8000`.
    Ulaw,
    /// `pcm_8000` to `pcm_48000`: 16 bits, little-endian.
    Pcm(SampleRate),
}

impl Format {
    /// The one that suits a call that sounds like this: an agent for the telephone is set up with µ-law, one for wideband
    /// with the provider's own default.
    pub const fn of_call(call: AudioFormat) -> Self {
        if call.rate().hz() > SampleRate::HZ_8000.hz() { Self::Pcm(SampleRate::HZ_16000) } else { Self::Ulaw }
    }

    /// As the server writes it; `None` for what this version cannot decode.
    pub(super) fn parse(name: &str) -> Option<Self> {
        match name.split_once('_')? {
            ("ulaw", "8000") => Some(Self::Ulaw),
            ("pcm", rate) => SampleRate::new(rate.parse().ok()?).map(Self::Pcm),
            _ => None,
        }
    }

    /// The same, as the call knows it.
    pub const fn audio(self) -> AudioFormat {
        match self {
            Self::Ulaw => AudioFormat::G711(Law::Mu),
            Self::Pcm(rate) => AudioFormat::Pcm(rate),
        }
    }

    const fn bytes_per_sample(self) -> usize {
        match self {
            Self::Ulaw => 1,
            Self::Pcm(_) => 2,
        }
    }

    /// Bytes that audio of this length takes.
    pub(super) const fn bytes_in(self, duration: Duration) -> usize {
        self.audio().rate().samples_in(duration).saturating_mul(self.bytes_per_sample())
    }

    /// How long so many bytes last.
    pub(super) const fn duration_of(self, bytes: usize) -> Duration {
        self.audio().rate().duration_of(bytes / self.bytes_per_sample())
    }

    /// Audio as it is sent; `None` if it is in another format.
    pub(super) fn bytes(self, audio: &Audio) -> Option<Cow<'_, [u8]>> {
        match (self, audio) {
            (Self::Ulaw, Audio::G711 { law: Law::Mu, bytes }) => Some(Cow::Borrowed(bytes)),
            (Self::Pcm(rate), Audio::Pcm(frame)) if frame.rate == rate => {
                Some(Cow::Owned(pcm::to_bytes(&frame.samples)))
            }
            (Self::Ulaw | Self::Pcm(_), Audio::G711 { .. } | Audio::Pcm(_)) => None,
        }
    }

    /// Audio of an utterance as it came, behind what the message before left of a sample of PCM.
    pub(super) fn read(self, bytes: Vec<u8>, utterance: UtteranceId, half: &mut Half) -> Audio {
        match self {
            Self::Ulaw => Audio::G711 { law: Law::Mu, bytes },
            Self::Pcm(rate) => Audio::Pcm(pcm::read(rate, &half.join(utterance, bytes))),
        }
    }
}
