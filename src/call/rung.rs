//! One rung of a secretary's ladder: a provider with all it needs, ready to be opened once the call's codec is known.
use crate::breaker::Circuit;
use media::{AudioFormat, SampleRate};
pub(super) use providers::local::Occasion;
use providers::{Dialect, Usage, elevenlabs, gemini, live, local, openai};
use std::time::Duration;

/// What the recogniser of the built-in provider hears at most.
const RECOGNISED: SampleRate = SampleRate::HZ_16000;

/// A configured provider. The only place under `src/call` that names one.
#[derive(Clone, Debug)]
pub enum Rung {
    /// OpenAI Realtime, or anything that speaks its protocol.
    OpenAi(Box<openai::Config>),
    /// The same at Azure.
    Azure {
        /// Its model is a deployment.
        config: Box<openai::Config>,
        /// What that is a deployment of, for its price.
        model: String,
    },
    /// OpenAI Live.
    OpenAiLive(Box<live::Config>),
    /// Gemini Live, or anything that speaks its protocol.
    Gemini(Box<gemini::Config>),
    /// An agent at ElevenLabs.
    ElevenLabs(Box<elevenlabs::Config>),
    /// The built-in provider.
    Local {
        /// As which receptionist.
        config: Box<local::Config>,
        /// Recogniser and voice, with the hashes of their models.
        engine: String,
    },
}

/// The voice of this process, for a call whose provider died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standby(pub local::Notice);

impl Standby {
    /// A voice that says the notice for this occasion when it is connected.
    pub(super) fn open(&self, occasion: Occasion) -> Box<dyn Dialect> {
        Box::new(local::Announcer::new(self.0.clone(), occasion))
    }
}

/// What a provider may be told of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct About<'a> {
    /// The caller's number, as the PBX gave it.
    pub(super) caller: &'a str,
    /// What the caller dialled.
    pub(super) called: &'a str,
    /// The tenant, as SIP knows it.
    pub(super) domain: &'a str,
    /// What joins the conversation to the PBX's record of the call.
    pub(super) call_uuid: &'a str,
}

impl Rung {
    /// Opens a conversation for a call that sounds like this: in the widest format that both have.
    pub(super) fn open(&self, call: AudioFormat, about: &About<'_>) -> Box<dyn Dialect> {
        match self {
            Self::OpenAi(config) | Self::Azure { config, .. } => {
                let format = openai::Format::of_call(call);
                Box::new(openai::Session::new(openai::Config { format, ..(**config).clone() }))
            }
            Self::OpenAiLive(config) => {
                let format = openai::Format::of_call(call);
                Box::new(live::Session::new(live::Config { format, ..(**config).clone() }))
            }
            // It hears one format and speaks another, whatever the call sounds like.
            Self::Gemini(config) => Box::new(gemini::Session::new((**config).clone())),
            Self::ElevenLabs(config) => {
                let expected = elevenlabs::Format::of_call(call);
                let variables = about.variables();
                Box::new(elevenlabs::Session::new(elevenlabs::Config { expected, variables, ..(**config).clone() }))
            }
            Self::Local { config, .. } => {
                let heard_at = call.rate().min(RECOGNISED);
                Box::new(local::Session::new(local::Config { heard_at, ..(**config).clone() }))
            }
        }
    }

    /// As in the `realtime_provider` column.
    pub const fn provider(&self) -> &'static str {
        match self {
            Self::OpenAi(_) => "openai",
            Self::Azure { .. } => "azure",
            Self::OpenAiLive(_) => "openai-live",
            Self::Gemini(_) => "gemini",
            Self::ElevenLabs(_) => "elevenlabs",
            Self::Local { .. } => "local",
        }
    }

    /// Provider and model, for people.
    pub fn name(&self) -> String {
        format!("{} {}", self.provider(), self.engine()).trim_end().to_owned()
    }

    /// What fails together with it; nothing where no network is in between.
    pub fn circuit(&self) -> Option<Circuit> {
        let url = match self {
            Self::OpenAi(config) | Self::Azure { config, .. } => &config.url,
            Self::OpenAiLive(config) => &config.url,
            Self::Gemini(config) => &config.url,
            Self::ElevenLabs(config) => &config.url,
            Self::Local { .. } => return None,
        };
        // Scheme and host: what follows may name a deployment, or a person.
        let host = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        let host = host.split(['/', '?']).next().unwrap_or(host);
        Some(Circuit { provider: self.provider(), at: host.rsplit('@').next().unwrap_or(host).to_owned() })
    }

    /// Whether it finds the caller's turns in the audio by itself, without our detector.
    pub const fn hears_turns(&self) -> bool {
        match self {
            Self::OpenAi(_) | Self::Azure { .. } | Self::Gemini(_) | Self::ElevenLabs(_) => true,
            Self::OpenAiLive(_) | Self::Local { .. } => false,
        }
    }

    /// Model or engines: what exactly spoke.
    pub fn engine(&self) -> &str {
        match self {
            Self::OpenAi(config) | Self::Azure { config, .. } => &config.model,
            Self::OpenAiLive(config) => &config.model,
            Self::Gemini(config) => &config.model,
            Self::ElevenLabs(config) => &config.agent_id,
            Self::Local { engine, .. } => engine,
        }
    }

    /// A model besides the one that speaks which is paid for and has no price on file.
    pub fn unpriced(&self) -> Option<&str> {
        let used = Usage { input_text: 1, transcribed: Duration::from_secs(1), ..Usage::default() };
        match self {
            Self::OpenAi(config) | Self::Azure { config, .. } => {
                let model = config.transcription_model.as_deref()?;
                let price = providers::price::transcription_micro_usd(used.transcribed, model);
                price.is_none().then_some(model)
            }
            Self::OpenAiLive(config) => {
                let price = providers::price::cost_micro_usd(&used, &config.backend_model);
                (price.is_none() && !config.tools.is_empty()).then_some(config.backend_model.as_str())
            }
            Self::Gemini(_) | Self::ElevenLabs(_) | Self::Local { .. } => None,
        }
    }

    /// List price of this usage in micro-dollars; `None` when the model has no price on file.
    pub fn cost(&self, usage: &Usage) -> Option<u64> {
        match self {
            Self::OpenAi(config) => realtime_cost(config, &config.model, usage),
            Self::Azure { config, model } => realtime_cost(config, model, usage),
            Self::OpenAiLive(config) => {
                let backend = providers::price::cost_micro_usd(usage, &config.backend_model).unwrap_or(0);
                providers::price::conversation_micro_usd(usage.connected, &config.model).map(|spoken| spoken + backend)
            }
            Self::Gemini(config) => providers::price::cost_micro_usd(usage, &config.model),
            Self::ElevenLabs(config) => providers::price::conversation_micro_usd(usage.connected, config.priced_as()),
            Self::Local { .. } => Some(0),
        }
    }
}

fn realtime_cost(config: &openai::Config, model: &str, usage: &Usage) -> Option<u64> {
    let transcription = config.transcription_model.as_deref().unwrap_or_default();
    let heard = providers::price::transcription_micro_usd(usage.transcribed, transcription).unwrap_or(0);
    providers::price::cost_micro_usd(usage, model).map(|tokens| tokens + heard)
}

impl About<'_> {
    /// Names and values, for a prompt that is kept at the provider.
    fn variables(&self) -> Vec<(String, String)> {
        let Self { caller, called, domain, call_uuid } = *self;
        let all =
            [("caller_number", caller), ("called_number", called), ("domain_name", domain), ("call_uuid", call_uuid)];
        all.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }
}
