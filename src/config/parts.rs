//! `[[services]]`, `[pipeline]` and `[turn_based]`: conversations of separate parts.
use super::{
    Secret,
    check::{Check, Place},
    raw::{RawPipeline, RawService, RawTurnBased},
    sections::authorities,
};
use crate::secretary::{LOCAL, Part};
use providers::price::Prices;
use serde::Deserialize;
use std::{path::PathBuf, time::Duration};
use toml::Value;

/// Services that are known without being written down: where they are, and what they speak.
const SHIPPED: &str = include_str!("services.json");
const PART: &str = "must be a service and its model, like \"groq:openai/gpt-oss-120b\", or \"local\"";
const PRICES: &str =
    "must be a table as in docs/configuration.md: { tokens = [{ model = \"…\", effective_from = \"…\", … }], … }";

/// What conversations of separate parts are made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Parts {
    /// `[[services]]`, and those that are shipped.
    pub services: Vec<Service>,
    /// `[pipeline]`
    pub pipeline: Chain,
    /// `[turn_based]`
    pub turn_based: Chain,
}

/// Somebody who hears, answers or speaks.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// What secretaries and chains call it.
    pub name: String,
    /// What is spoken with it.
    pub protocol: Protocol,
    /// `http://` or `https://`, without the path of a method.
    pub url: String,
    /// `None` where none was given.
    pub api_key: Option<Secret>,
    /// Whether it answers nobody without a key.
    pub needs_key: bool,
    /// Certificates to trust beside the public ones, PEM.
    pub ca_file: Option<PathBuf>,
    /// What counts before the shipped prices.
    pub prices: Prices,
}

/// What is spoken with a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// `/audio/transcriptions`, `/chat/completions` and `/audio/speech` as OpenAI has them.
    OpenAi,
    /// Deepgram: listening sockets and Aura.
    Deepgram,
    /// The text-to-speech of ElevenLabs.
    ElevenLabs,
    /// A Piper server.
    Piper,
}

/// What hears, answers and speaks where the secretary does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// What hears.
    pub stt: Part,
    /// What answers.
    pub llm: Part,
    /// What speaks.
    pub tts: Part,
    /// The service's name of a voice, for secretaries that name none.
    pub voice: Option<String>,
    /// For models that think first; `None` sends nothing.
    pub reasoning_effort: Option<String>,
    /// So much quiet makes a turn that may be over, where a recogniser asks.
    pub endpointing: Duration,
    /// Whether two soft tones say that an answer takes long.
    pub filler: bool,
}

#[derive(Deserialize)]
struct Shipped {
    services: Vec<ShippedService>,
}

#[derive(Deserialize)]
struct ShippedService {
    name: String,
    protocol: Protocol,
    url: String,
    key: bool,
}

/// The services of a server that was told of none.
pub(super) fn shipped() -> Vec<Service> {
    // A test reads the file.
    let shipped = serde_json::from_str::<Shipped>(SHIPPED).map(|shipped| shipped.services).unwrap_or_default();
    let service = |ShippedService { name, protocol, url, key }: ShippedService| Service {
        name,
        protocol,
        url,
        api_key: None,
        needs_key: key,
        ca_file: None,
        prices: Prices::default(),
    };
    shipped.into_iter().map(service).collect()
}

/// Reads one entry; `None` when it has a mistake.
pub(super) fn service(raw: RawService, section: &str, check: &mut Check<'_>) -> Option<Service> {
    let at = |key| Place { section, key };
    let before = check.problems.len();
    check.unknown(section, &raw.unknown, RawService::KEYS);
    let name = check.required(at("name"), raw.name.clone())?.to_ascii_lowercase();
    if name == LOCAL || name.parse::<Part>().is_ok_and(|part| part.model.is_some()) || name.parse::<Part>().is_err() {
        check.refuse(
            at("name"),
            raw.name.as_ref(),
            "must be letters, digits, \"-\", \"_\" and \".\", and not \"local\"",
        );
        return None;
    }
    let known = shipped().into_iter().find(|service| service.name == name);
    const PROTOCOLS: &str = "must be \"openai\", \"deepgram\", \"elevenlabs\" or \"piper\"";
    let protocol = check.shaped(at("protocol"), raw.protocol.clone(), PROTOCOLS);
    let url = check.telling(at("url"), raw.url.clone());
    if url.as_deref().is_some_and(|url| !is_http(url)) {
        check.refuse(at("url"), raw.url.as_ref(), "must start with \"https://\" or \"http://\" and have no query");
    }
    if known.is_none() {
        for (key, missing) in [("protocol", protocol.is_none()), ("url", url.is_none())] {
            if missing && check.problems.len() == before {
                check.refuse(at(key), None, "is missing: this is no service that is known without it");
            }
        }
    }
    let api_key = check.secret(at("api_key"), raw.api_key);
    let ca_file = authorities(at("ca_file"), raw.ca_file, check);
    let prices = check.shaped(at("prices"), raw.prices, PRICES).unwrap_or_default();
    if check.problems.len() > before {
        return None;
    }
    let protocol = protocol.or(known.as_ref().map(|known| known.protocol))?;
    let needs_key = known.as_ref().is_some_and(|known| known.needs_key);
    let url = url.or(known.map(|known| known.url))?;
    Some(Service { name, protocol, url, api_key, needs_key, ca_file, prices })
}

/// Puts the written services in the place of the shipped ones.
pub(super) fn services(written: Vec<Service>, check: &mut Check<'_>) -> Vec<Service> {
    let mut services = shipped();
    for (index, service) in written.iter().enumerate() {
        if written.iter().take(index).any(|other| other.name == service.name) {
            let message = format!("there are two services called {:?}", service.name);
            check.refuse(Place { section: "services", key: "name" }, None, message);
        }
        services.retain(|shipped| shipped.name != service.name);
        services.push(service.clone());
    }
    services
}

fn is_http(url: &str) -> bool {
    (url.starts_with("https://") || url.starts_with("http://")) && !url.contains(['?', '#', ' '])
}

/// What a chain's keys say, whichever chain it is.
struct Written {
    stt: Option<Value>,
    llm: Option<Value>,
    tts: Option<Value>,
    voice: Option<Value>,
    reasoning_effort: Option<Value>,
    filler: Option<Value>,
}

pub(super) fn pipeline(raw: RawPipeline, services: &[Service], check: &mut Check<'_>) -> Chain {
    check.unknown("pipeline", &raw.unknown, RawPipeline::KEYS);
    let RawPipeline { stt, llm, tts, voice, reasoning_effort, filler, .. } = raw;
    let written = Written { stt, llm, tts, voice, reasoning_effort, filler };
    let place = Place { section: "pipeline", key: "endpointing_ms" };
    let endpointing = check.integer(place, raw.endpointing_ms, 10..=2_000).unwrap_or(10);
    let chain = chain("pipeline", written, "deepgram:flux-general-multi", services, check);
    Chain { endpointing: Duration::from_millis(endpointing.into()), ..chain }
}

pub(super) fn turn_based(raw: RawTurnBased, services: &[Service], check: &mut Check<'_>) -> Chain {
    check.unknown("turn_based", &raw.unknown, RawTurnBased::KEYS);
    let RawTurnBased { stt, llm, tts, voice, reasoning_effort, filler, .. } = raw;
    let streams = stt.clone();
    let written = Written { stt, llm, tts, voice, reasoning_effort, filler };
    let chain = chain("turn_based", written, "groq:whisper-large-v3-turbo", services, check);
    let service = services.iter().find(|service| service.name == chain.stt.service);
    if service.is_some_and(|service| service.protocol == Protocol::Deepgram) {
        let message = "must take whole turns: a service of protocol \"openai\", or \"local\"";
        check.refuse(Place { section: "turn_based", key: "stt" }, streams.as_ref(), message);
    }
    chain
}

fn chain(section: &str, written: Written, stt: &str, services: &[Service], check: &mut Check<'_>) -> Chain {
    let at = |key| Place { section, key };
    let none = || Part { service: LOCAL.to_owned(), model: None };
    let mut part = |key, value: Option<Value>, default: &str| {
        let part = check.parsed::<Part>(at(key), value.clone(), PART).or_else(|| default.parse().ok());
        let part = part.unwrap_or_else(none);
        if !part.is_local() && services.iter().all(|service| service.name != part.service) {
            let known: Vec<&str> = services.iter().map(|service| service.name.as_str()).collect();
            check.refuse(at(key), value.as_ref(), format!("no such service; there are local, {}", known.join(", ")));
        }
        part
    };
    let (stt, llm, tts) = (
        part("stt", written.stt, stt),
        part("llm", written.llm.clone(), "groq:openai/gpt-oss-120b"),
        part("tts", written.tts, LOCAL),
    );
    if llm.is_local() {
        check.refuse(at("llm"), written.llm.as_ref(), "there is no language model inside this process");
    }
    let voice = check.telling(at("voice"), written.voice);
    let reasoning_effort = check.text(at("reasoning_effort"), written.reasoning_effort);
    let filler = check.flag(at("filler"), written.filler).unwrap_or(true);
    Chain { stt, llm, tts, voice, reasoning_effort, endpointing: Duration::ZERO, filler }
}
