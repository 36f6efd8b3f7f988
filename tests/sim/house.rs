//! Simulated providers, as the world needs them.
use media::{AudioFormat, Law};
use providers::{
    HttpRequest, Incoming, elevenlabs as agents, gemini as dialect, live as duplex, local, openai as model,
    pipeline::{self, Chat, Credentials, Filler, Hearing},
};
use ramal::{
    call::{PartPrices, Pipeline, Rung},
    lab::{
        elevenlabs, gemini, live,
        openai::{self, Departure, Voice},
        parts,
    },
};
use std::{
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

/// Which agent is called.
const AGENT: &str = "agent_1";

static VOICE: LazyLock<Arc<Voice>> = LazyLock::new(|| Arc::new(Voice::default()));

/// A provider and what it says, one connection after another.
pub(crate) enum House {
    OpenAi(Arc<openai::Script>),
    OpenAiLive(Arc<live::Script>),
    Gemini(Arc<gemini::Script>),
    ElevenLabs(Arc<elevenlabs::House>),
    /// Separate parts.
    Parts(Arc<parts::House>, Ear),
    /// The speech engine of the process: no connection.
    Local,
}

/// What hears in a conversation of separate parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ear {
    Flux,
    Nova,
    /// Whole turns: no connection.
    Turns,
}

impl From<openai::Script> for House {
    fn from(script: openai::Script) -> Self {
        Self::OpenAi(Arc::new(script))
    }
}

impl From<live::Script> for House {
    fn from(script: live::Script) -> Self {
        Self::OpenAiLive(Arc::new(script))
    }
}

impl From<gemini::Script> for House {
    fn from(script: gemini::Script) -> Self {
        Self::Gemini(Arc::new(script))
    }
}

impl From<Arc<elevenlabs::House>> for House {
    fn from(house: Arc<elevenlabs::House>) -> Self {
        Self::ElevenLabs(house)
    }
}

impl From<elevenlabs::Script> for House {
    fn from(script: elevenlabs::Script) -> Self {
        Self::ElevenLabs(Arc::new(script.into()))
    }
}

impl House {
    /// Services with this script.
    pub(crate) fn parts(script: parts::Script, ear: Ear) -> Self {
        Self::Parts(Arc::new(parts::House::new(script, Arc::clone(&VOICE))), ear)
    }

    /// Whether a conversation with it needs no connection.
    pub(crate) fn is_engine(&self) -> bool {
        matches!(self, Self::Local | Self::Parts(_, Ear::Turns))
    }

    /// What comes of a request.
    pub(crate) fn answer(&self, request: &HttpRequest, now: Instant) -> Option<parts::Answer> {
        match self {
            Self::Parts(house, _) => Some(house.answer(request, now)),
            Self::OpenAi(_) | Self::OpenAiLive(_) | Self::Gemini(_) | Self::ElevenLabs(_) | Self::Local => None,
        }
    }

    /// A connection that was just upgraded.
    pub(crate) fn open(&self, url: &str, number: u64, now: Instant) -> Option<Provider> {
        let voice = Arc::clone(&VOICE);
        Some(match self {
            Self::Local => return None,
            Self::Parts(house, _) => {
                let path = url.split_once(".test").map_or(url, |(_, path)| path);
                Provider::Ear(Box::new(parts::Listener::open(house, path, &[], now).ok()?))
            }
            Self::OpenAi(script) => {
                let handshake = openai::Handshake { model: Some("gpt-realtime-2.1".into()), beta: false };
                let core = openai::Core::new(Arc::clone(script), voice, number, &handshake, now);
                Provider::OpenAi(Box::new(core))
            }
            Self::OpenAiLive(script) => {
                Provider::OpenAiLive(Box::new(live::Core::new(Arc::clone(script), voice, number, now)))
            }
            Self::Gemini(script) => {
                Provider::Gemini(Box::new(gemini::Core::new(Arc::clone(script), voice, number, now)))
            }
            Self::ElevenLabs(house) => {
                let core = elevenlabs::Core::new(Arc::clone(house), voice, number, Some(AGENT), now);
                Provider::ElevenLabs(Box::new(core))
            }
        })
    }

    /// A message in the kind of frame it comes in.
    pub(crate) fn framed(&self, text: String) -> Incoming {
        match self {
            Self::OpenAi(_) | Self::OpenAiLive(_) | Self::ElevenLabs(_) | Self::Parts(..) | Self::Local => {
                Incoming::Text(text)
            }
            Self::Gemini(_) => Incoming::Binary(text.into_bytes()),
        }
    }

    /// The same secretary, with this provider, which is the `number`-th of her ladder and has an address of its own.
    pub(crate) fn rung(&self, own: &Rung, number: usize) -> Rung {
        let Rung::OpenAi(own) = own else { unreachable!("the model's secretary speaks through openai") };
        let url = format!("wss://rung-{number}.test");
        match self {
            Self::OpenAi(_) => Rung::OpenAi(Box::new(model::Config { url, ..(**own).clone() })),
            Self::OpenAiLive(_) => Rung::OpenAiLive(Box::new(duplex::Config {
                url,
                first_message: own.first_message.clone(),
                tools: own.tools.clone(),
                ..duplex::Config::new("sk-test", own.format)
            })),
            Self::Gemini(_) => Rung::Gemini(Box::new(dialect::Config {
                url,
                first_message: own.first_message.clone(),
                tools: own.tools.clone(),
                ..dialect::Config::new("g-test")
            })),
            Self::ElevenLabs(_) => {
                let mut agent = agents::Config { url, ..agents::Config::new(AGENT, agents::Format::Ulaw) };
                agent.overrides.first_message.clone_from(&own.first_message);
                Rung::ElevenLabs(Box::new(agent))
            }
            Self::Parts(_, ear) => Rung::Pipeline(Box::new(separate(own, *ear, number))),
            Self::Local => {
                let mut config = local::Config::new(local::Language::EnUs, local::Hearing::Words);
                config.first_message.clone_from(&own.first_message);
                config.answers = vec![local::Answer { questions: vec![QUESTION.into()], answer: ANSWER.into() }];
                Rung::Local { config: Box::new(config), engine: "simulated".into() }
            }
        }
    }

    /// Which rung of a ladder is at this address.
    pub(crate) fn number(url: &str) -> usize {
        url.split_once("rung-").and_then(|(_, rest)| rest.split('.').next()).unwrap().parse().unwrap()
    }
}

/// What is said first with separate parts, whose voice says what it is told.
pub(crate) const GREETING: &str = "Hello, this is reception.";

/// The same secretary, with parts at one address.
fn separate(own: &model::Config, ear: Ear, number: usize) -> Pipeline {
    let at =
        |scheme: &str, path: &str| Credentials { url: format!("{scheme}://rung-{number}.test{path}"), api_key: None };
    let hearing = match ear {
        Ear::Flux => Hearing::Flux { at: at("wss", ""), model: "flux-general-multi".into(), longest_silence: None },
        Ear::Nova => {
            let (endpointing, silence) = (Duration::from_millis(10), Duration::from_millis(300));
            Hearing::Nova { at: at("wss", ""), model: "nova-3".into(), endpointing, silence }
        }
        Ear::Turns => Hearing::Transcriptions { at: at("https", "/v1"), model: "whisper-large-v3-turbo".into() },
    };
    let config = pipeline::Config {
        hearing,
        chat: Chat { at: at("https", "/v1"), model: "openai/gpt-oss-120b".into(), reasoning_effort: None },
        voice: pipeline::Voice::Aura { at: at("https", ""), model: "aura-2-thalia-en".into() },
        call: AudioFormat::G711(Law::Mu),
        language: Some("en-US".into()),
        instructions: "Be brief.".into(),
        first_message: own.first_message.as_ref().map(|_| GREETING.to_owned()),
        tools: own.tools.clone(),
        filler: Filler::Tones,
    };
    let (turn_based, prices) = (ear == Ear::Turns, PartPrices::default());
    Pipeline { config, turn_based, engine: "simulated".into(), prices }
}

/// What callers ask, and what every provider answers in its way.
pub(crate) const QUESTION: &str = "When are you open?";
const ANSWER: &str = "From nine to six.";

/// One connection.
pub(crate) enum Provider {
    OpenAi(Box<openai::Core>),
    OpenAiLive(Box<live::Core>),
    Gemini(Box<gemini::Core>),
    ElevenLabs(Box<elevenlabs::Core>),
    Ear(Box<parts::Listener>),
}

impl Provider {
    pub(crate) fn handle_text(&mut self, text: &str, now: Instant) {
        match self {
            Self::OpenAi(core) => core.handle_text(text, now),
            Self::OpenAiLive(core) => core.handle_text(text, now),
            Self::Gemini(core) => core.handle_text(text, now),
            Self::ElevenLabs(core) => core.handle_text(text, now),
            Self::Ear(core) => core.handle_text(text, now),
        }
    }

    pub(crate) fn handle_binary(&mut self, bytes: &[u8], now: Instant) {
        match self {
            Self::Ear(core) => core.handle_binary(bytes, now),
            Self::OpenAi(_) | Self::OpenAiLive(_) | Self::Gemini(_) | Self::ElevenLabs(_) => {}
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::OpenAi(core) => core.handle_timeout(now),
            Self::OpenAiLive(core) => core.handle_timeout(now),
            Self::Gemini(core) => core.handle_timeout(now),
            Self::ElevenLabs(core) => core.handle_timeout(now),
            Self::Ear(core) => core.handle_timeout(now),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        match self {
            Self::OpenAi(core) => core.poll_timeout(),
            Self::OpenAiLive(core) => core.poll_timeout(),
            Self::Gemini(core) => core.poll_timeout(),
            Self::ElevenLabs(core) => core.poll_timeout(),
            Self::Ear(core) => core.poll_timeout(),
        }
    }

    pub(crate) fn poll_departure(&mut self) -> Option<Departure> {
        match self {
            Self::OpenAi(core) => core.poll_departure(),
            Self::OpenAiLive(core) => core.poll_departure(),
            Self::Gemini(core) => core.poll_departure(),
            Self::ElevenLabs(core) => core.poll_departure(),
            Self::Ear(core) => core.poll_departure(),
        }
    }
}
