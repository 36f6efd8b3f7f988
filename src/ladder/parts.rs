//! From the parts a secretary or the server chooses to a conversation made of them.
use super::{Ears, Unavailable, first_message};
use crate::{
    call::{PartPrices, Pipeline, Rung, tools},
    config::{Chain, Config, Protocol, Service},
    secretary::{DEFAULT_SILENCE, Part, Secretary},
};
use media::{AudioFormat, Law};
use providers::{
    local,
    pipeline::{self, Chat, Credentials, Filler, Hearing, Voice},
    price::Prices,
};
use std::time::Duration;

/// Whether the words are heard as they come or turn by turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    AsTheyCome,
    TurnByTurn,
}

/// What is wrong with one part, for the administrator.
type Problem = String;

/// Chooses parts for one secretary.
struct Choice<'a> {
    secretary: &'a Secretary,
    services: &'a [Service],
    chain: &'a Chain,
    ears: &'a Ears,
    language: &'a str,
}

/// The conversation of a secretary in this mode.
///
/// # Errors
/// What is missing of a part.
pub(super) fn rung(secretary: &Secretary, config: &Config, ears: &Ears, mode: Mode) -> Result<Rung, Unavailable> {
    let chain = match mode {
        Mode::AsTheyCome => &config.parts.pipeline,
        Mode::TurnByTurn => &config.parts.turn_based,
    };
    let own = &secretary.provider_config;
    let language = own.language.as_deref().unwrap_or(&config.local.language);
    let choice = Choice { secretary, services: &config.parts.services, chain, ears, language };
    let wrong = |part: &'static str| {
        move |problem: Problem| Unavailable::Part { secretary: secretary.secretary_name.clone(), part, problem }
    };
    let stt = choice.stt(mode);
    let llm = choice.llm();
    let tts = own.parts.tts.as_ref().unwrap_or(&chain.tts);
    let (hearing, heard_by) = choice.hearing(stt).map_err(wrong("stt"))?;
    let (chat, answered_by) = choice.chat(&llm).map_err(wrong("llm"))?;
    let (voice, spoken_by) = choice.voice(tts).map_err(wrong("tts"))?;
    let engine = format!("{stt} + {llm} + {tts}");
    let config = pipeline::Config {
        hearing,
        chat,
        voice,
        // Every call puts its own in this place.
        call: AudioFormat::G711(Law::Mu),
        language: Some(language.to_owned()),
        instructions: secretary.system_prompt.clone().unwrap_or_default(),
        first_message: first_message(secretary, config),
        tools: tools(secretary),
        filler: if chain.filler { Filler::Tones } else { Filler::Off },
    };
    let prices = PartPrices { stt: heard_by, llm: answered_by, tts: spoken_by };
    Ok(Rung::Pipeline(Box::new(Pipeline { config, turn_based: mode == Mode::TurnByTurn, engine, prices })))
}

impl<'a> Choice<'a> {
    /// Hers, unless it is one that whole turns cannot be given to.
    fn stt(&self, mode: Mode) -> &'a Part {
        let own = self.secretary.provider_config.parts.stt.as_ref();
        let streams = |part: &&Part| {
            self.service(part)
                .is_ok_and(|service| service.is_some_and(|service| service.protocol == Protocol::Deepgram))
        };
        own.filter(|part| mode == Mode::AsTheyCome || !streams(part)).unwrap_or(&self.chain.stt)
    }

    /// Hers; her `model` is one of the server's service.
    fn llm(&self) -> Part {
        let own = &self.secretary.provider_config;
        match (&own.parts.llm, &own.model) {
            (Some(part), _) => part.clone(),
            (None, Some(model)) => Part { model: Some(model.clone()), ..self.chain.llm.clone() },
            (None, None) => self.chain.llm.clone(),
        }
    }

    /// The service of a part; `None` for what is inside this process.
    fn service(&self, part: &Part) -> Result<Option<&'a Service>, Problem> {
        if part.is_local() {
            return Ok(None);
        }
        let found = self.services.iter().find(|service| service.name == part.service);
        let service = found.ok_or_else(|| format!("there is no service {:?} in [[services]]", part.service))?;
        if service.needs_key && service.api_key.is_none() {
            return Err(format!("[[services]] {:?} has no api_key", service.name));
        }
        Ok(Some(service))
    }

    fn hearing(&self, part: &Part) -> Result<(Hearing, Prices), Problem> {
        let Some(service) = self.service(part)? else {
            return match self.ears.hearing {
                local::Hearing::Words => Ok((Hearing::Engine, Prices::default())),
                local::Hearing::None => Err("no recogniser is loaded: `ramal models fetch` gets one".to_owned()),
            };
        };
        let (at, model) = (credentials(service), model(part)?);
        let hearing = match service.protocol {
            Protocol::Deepgram => {
                let at = Credentials { url: as_websocket(&at.url), ..at };
                let endpointing = self.chain.endpointing;
                if model.starts_with("flux") {
                    Hearing::Flux { at, model, longest_silence: self.longest_silence() }
                } else {
                    Hearing::Nova { at, model, endpointing, silence: self.secretary.silence }
                }
            }
            Protocol::OpenAi => Hearing::Transcriptions { at, model },
            Protocol::ElevenLabs | Protocol::Piper => return Err(format!("{:?} cannot hear", service.name)),
        };
        Ok((hearing, service.prices.clone()))
    }

    /// Flux ends turns by what was said, mostly sooner than any silence. The one that every secretary has who says
    /// nothing else would end those of whoever thinks for a moment, too: only another is passed on.
    fn longest_silence(&self) -> Option<Duration> {
        Some(self.secretary.silence).filter(|silence| *silence != DEFAULT_SILENCE)
    }

    fn chat(&self, part: &Part) -> Result<(Chat, Prices), Problem> {
        let service = self.service(part)?.filter(|service| service.protocol == Protocol::OpenAi);
        let service = service.ok_or_else(|| format!("{:?} has no language model", part.service))?;
        let reasoning_effort = self.chain.reasoning_effort.clone();
        Ok((Chat { at: credentials(service), model: model(part)?, reasoning_effort }, service.prices.clone()))
    }

    fn voice(&self, part: &Part) -> Result<(Voice, Prices), Problem> {
        let (own, speed) = (self.secretary.voice_id.clone(), self.secretary.voice_settings.speed);
        let voice = own.or_else(|| self.chain.voice.clone());
        let Some(service) = self.service(part)? else {
            let spoken = local::Language::from_tag(self.language).is_some_and(|tag| self.ears.voices.contains(&tag));
            let problem = || format!("there is no voice for {:?} inside this process", self.language);
            return spoken.then(|| (Voice::Engine, Prices::default())).ok_or_else(problem);
        };
        let at = credentials(service);
        let named = || {
            voice.clone().ok_or_else(|| format!("{:?} needs a voice: that of the secretary or the chain", service.name))
        };
        let voice = match service.protocol {
            Protocol::OpenAi => Voice::Speech { at, model: model(part)?, voice: named()?, speed },
            Protocol::ElevenLabs => Voice::ElevenLabs { at, model: model(part)?, voice: named()?, speed },
            // Its models are voices.
            Protocol::Deepgram => Voice::Aura { at, model: part.model.clone().map_or_else(named, Ok)? },
            Protocol::Piper => Voice::Piper { at, voice: part.model.clone().or(voice), speed },
        };
        Ok((voice, service.prices.clone()))
    }
}

fn model(part: &Part) -> Result<String, Problem> {
    part.model.clone().ok_or_else(|| format!("no model is named: write \"{}:MODEL\"", part.service))
}

fn credentials(service: &Service) -> Credentials {
    let api_key = service.api_key.as_ref().map(|key| key.expose().to_owned());
    Credentials { url: service.url.clone(), api_key }
}

fn as_websocket(url: &str) -> String {
    match url.strip_prefix("http") {
        Some(rest) => format!("ws{rest}"),
        None => url.to_owned(),
    }
}
