//! One rung of a secretary's ladder: a provider with all it needs, ready to be opened once the call's codec is known.
use crate::{
    breaker::Circuit,
    record::{MicroUsd, Share},
};
use chrono::{DateTime, Utc};
use media::{AudioFormat, SampleRate};
pub(super) use providers::local::Occasion;
use providers::{Dialect, Job, Usage, elevenlabs, gemini, live, local, openai, pipeline, price};
use std::time::Duration;

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
    /// Separate parts that hear, answer and speak.
    Pipeline(Box<Pipeline>),
    /// The built-in provider.
    Local {
        /// As which receptionist.
        config: Box<local::Config>,
        /// Recogniser and voice, with the hashes of their models.
        engine: String,
    },
}

/// A conversation of separate parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// The parts.
    pub config: pipeline::Config,
    /// Whether it is the rung of the mode `turn_based`.
    pub turn_based: bool,
    /// Services and models, for the record.
    pub engine: String,
    /// What they cost.
    pub prices: PartPrices,
}

/// Prices that count before the shipped ones, of each part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartPrices {
    /// Of what hears.
    pub stt: price::Prices,
    /// Of what answers.
    pub llm: price::Prices,
    /// Of what speaks.
    pub tts: price::Prices,
}

/// The voice of this process, for a call whose provider died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standby(pub local::Notice);

impl Standby {
    /// A voice that says the notice for this occasion when it is connected, to a call that sounds like this.
    pub(super) fn open(&self, occasion: Occasion, call: AudioFormat) -> Box<dyn Dialect> {
        Box::new(local::Announcer::new(self.0.clone(), occasion, call.rate().min(Job::WIDEST)))
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
            Self::Pipeline(parts) => {
                Box::new(pipeline::Session::new(pipeline::Config { call, ..parts.config.clone() }))
            }
            Self::Local { config, .. } => {
                let rate = call.rate().min(Job::WIDEST);
                let config = local::Config { heard_at: rate, spoken_at: rate, ..(**config).clone() };
                Box::new(local::Session::new(config))
            }
        }
    }

    /// Opens a conversation that no call has, in the name of this tenant.
    pub fn rehearse(&self, domain: &str) -> Box<dyn Dialect> {
        let about = About { caller: "", called: "", domain, call_uuid: "" };
        self.open(AudioFormat::Pcm(SampleRate::HZ_16000), &about)
    }

    /// As in the `realtime_provider` column.
    pub const fn provider(&self) -> &'static str {
        match self {
            Self::OpenAi(_) => "openai",
            Self::Azure { .. } => "azure",
            Self::OpenAiLive(_) => "openai-live",
            Self::Gemini(_) => "gemini",
            Self::ElevenLabs(_) => "elevenlabs",
            Self::Pipeline(parts) if parts.turn_based => "turn_based",
            Self::Pipeline(_) => "pipeline",
            Self::Local { .. } => "local",
        }
    }

    /// Provider and model, for people.
    pub fn name(&self) -> String {
        format!("{} {}", self.provider(), self.engine()).trim_end().to_owned()
    }

    /// What fails together with it, if its key is the server's; nothing where no network is in between.
    pub fn circuit(&self) -> Option<Circuit> {
        let url = match self {
            Self::OpenAi(config) | Self::Azure { config, .. } => &config.url,
            Self::OpenAiLive(config) => &config.url,
            Self::Gemini(config) => &config.url,
            Self::ElevenLabs(config) => &config.url,
            Self::Pipeline(parts) => {
                let mut hosts: Vec<&str> = parts.config.addresses().into_iter().map(host).collect();
                hosts.dedup();
                return Some(Circuit { provider: self.provider(), at: hosts.join("+"), key_of: None });
            }
            Self::Local { .. } => return None,
        };
        Some(Circuit { provider: self.provider(), at: host(url).to_owned(), key_of: None })
    }

    /// Whether it costs nothing, however long it speaks.
    pub const fn is_free(&self) -> bool {
        match self {
            Self::OpenAi(_)
            | Self::Azure { .. }
            | Self::OpenAiLive(_)
            | Self::Gemini(_)
            | Self::ElevenLabs(_)
            | Self::Pipeline(_) => false,
            Self::Local { .. } => true,
        }
    }

    /// Whether it finds the caller's turns in the audio by itself, without our detector.
    pub const fn hears_turns(&self) -> bool {
        match self {
            Self::OpenAi(_) | Self::Azure { .. } | Self::OpenAiLive(_) | Self::Gemini(_) | Self::ElevenLabs(_) => true,
            Self::Pipeline(parts) => matches!(parts.config.hearing, pipeline::Hearing::Flux { .. }),
            Self::Local { .. } => false,
        }
    }

    /// Whether it says when they begin and end, so that a call can do without our detector. OpenAI Live hears them and
    /// keeps it to itself.
    pub const fn tells_turns(&self) -> bool {
        match self {
            Self::OpenAi(_) | Self::Azure { .. } | Self::Gemini(_) | Self::ElevenLabs(_) => true,
            Self::Pipeline(parts) => matches!(parts.config.hearing, pipeline::Hearing::Flux { .. }),
            Self::OpenAiLive(_) | Self::Local { .. } => false,
        }
    }

    /// Whether it tells the words of a turn with its end: none of that turn come later.
    pub const fn words_end_turns(&self) -> bool {
        matches!(self, Self::Pipeline(_))
    }

    /// Model or engines: what exactly spoke.
    pub fn engine(&self) -> &str {
        match self {
            Self::OpenAi(config) | Self::Azure { config, .. } => &config.model,
            Self::OpenAiLive(config) => &config.model,
            Self::Gemini(config) => &config.model,
            Self::ElevenLabs(config) => &config.agent_id,
            Self::Pipeline(parts) => &parts.engine,
            Self::Local { engine, .. } => engine,
        }
    }

    /// Whether there is a price on file for what it does, in a call that came in at this time.
    fn is_priced(&self, at: DateTime<Utc>) -> bool {
        self.cost(&some_of_all(), at).is_some()
    }

    /// Models that are paid for and have no price on file, in a call that came in at this time: what they are used for counts
    /// nothing.
    pub fn unpriced(&self, at: DateTime<Utc>) -> Vec<&str> {
        let (day, used) = (day(at), some_of_all());
        let besides = match self {
            Self::OpenAi(config) | Self::Azure { config, .. } => config
                .transcription_model
                .as_deref()
                .filter(|model| providers::price::transcription_micro_usd(used.transcribed, model, &day).is_none()),
            Self::OpenAiLive(config) => Some(config.backend_model.as_str()).filter(|model| {
                !config.tools.is_empty() && providers::price::cost_micro_usd(&used, model, &day).is_none()
            }),
            Self::Gemini(_) | Self::ElevenLabs(_) | Self::Pipeline(_) | Self::Local { .. } => None,
        };
        let speaks = (!self.is_priced(at)).then_some(self.engine());
        speaks.into_iter().chain(besides).collect()
    }

    /// List price of this usage, in micro-dollars, in a call that came in at this time: the day (UTC) says which prices hold.
    /// `None` when the model has no price of that day on file.
    pub fn cost(&self, usage: &Usage, at: DateTime<Utc>) -> Option<u64> {
        let day = day(at);
        match self {
            Self::OpenAi(config) => realtime_cost(config, &config.model, usage, &day),
            Self::Azure { config, model } => realtime_cost(config, model, usage, &day),
            Self::OpenAiLive(config) => {
                let backend = providers::price::cost_micro_usd(usage, &config.backend_model, &day).unwrap_or(0);
                let spoken = providers::price::conversation_micro_usd(usage.connected, &config.model, &day);
                spoken.map(|spoken| spoken + backend)
            }
            Self::Gemini(config) => providers::price::cost_micro_usd(usage, &config.model, &day),
            Self::ElevenLabs(config) => {
                providers::price::conversation_micro_usd(usage.connected, config.priced_as(), &day)
            }
            Self::Pipeline(parts) => {
                parts.costs(usage, &day).into_iter().try_fold(0, |sum: u64, (_, cost)| Some(sum + cost?))
            }
            Self::Local { .. } => Some(0),
        }
    }

    /// What it had of a call that came in at this time.
    pub fn share(&self, usage: &Usage, talked: Duration, at: DateTime<Utc>) -> Share {
        Share {
            provider: self.provider().to_owned(),
            talked,
            input_tokens: usage.input_tokens(),
            output_tokens: usage.output_tokens(),
            cost: MicroUsd(self.cost(usage, at).unwrap_or(0)),
        }
    }
}

/// As prices have it.
fn day(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d").to_string()
}

/// What asks for every price there is.
fn some_of_all() -> Usage {
    Usage {
        input_text: 1,
        input_audio: 1,
        cached_text: 1,
        cached_audio: 1,
        output_text: 1,
        output_audio: 1,
        spoken_characters: 1,
        transcribed: Duration::from_secs(1),
        connected: Duration::from_secs(1),
    }
}

fn realtime_cost(config: &openai::Config, model: &str, usage: &Usage, day: &str) -> Option<u64> {
    let transcription = config.transcription_model.as_deref().unwrap_or_default();
    let heard = providers::price::transcription_micro_usd(usage.transcribed, transcription, day).unwrap_or(0);
    providers::price::cost_micro_usd(usage, model, day).map(|tokens| tokens + heard)
}

/// Host and port of an address: what follows may name a deployment, or a person.
fn host(url: &str) -> &str {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.split(['/', '?']).next().unwrap_or(host);
    host.rsplit('@').next().unwrap_or(host)
}

impl Pipeline {
    /// What each part cost by its list price of a day (`YYYY-MM-DD`), in micro-dollars; `None` for one whose price nobody knows.
    pub fn costs(&self, usage: &Usage, day: &str) -> [(&'static str, Option<u64>); 3] {
        let (config, own) = (&self.config, &self.prices);
        let shipped = price::Prices::shipped();
        // What was not used costs nothing, whatever it costs.
        let of = |used: bool, cost: &dyn Fn(&price::Prices) -> Option<u64>, own: &price::Prices| {
            if used { cost(own).or_else(|| cost(shipped)) } else { Some(0) }
        };
        let heard = |prices: &price::Prices| {
            config.hearing.model().map_or(Some(0), |model| prices.transcription(usage.transcribed, model, day))
        };
        let answered = |prices: &price::Prices| prices.tokens(usage, &config.chat.model, day);
        let spoken = |prices: &price::Prices| {
            config.voice.model().map_or(Some(0), |model| prices.characters(usage.spoken_characters, model, day))
        };
        let tokens = usage.input_text + usage.cached_text + usage.output_text;
        [
            ("stt", of(!usage.transcribed.is_zero(), &heard, &own.stt)),
            ("llm", of(tokens > 0, &answered, &own.llm)),
            ("tts", of(usage.spoken_characters > 0, &spoken, &own.tts)),
        ]
    }
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
