//! OpenAI's APIs: `[openai]` in part, `[azure]` and `[live]`.
use super::{
    Secret,
    check::{Check, Place},
    raw::{RawAzure, RawLive, RawOpenAi},
    sections::{WEBSOCKET, is_websocket},
};
use crate::call::TOOLS;
use providers::openai::{Effort, NoiseReduction, ToolChoice, Truncation};
use serde::Deserialize;
use std::time::Duration;
use toml::Value;

/// Silences that the provider takes for `idle_timeout_ms`.
const IDLE_MS: std::ops::RangeInclusive<u32> = 5_000..=30_000;
const SERVERS: &str =
    "must be a list of { label = \"…\", url = \"https://…\", authorization = \"…\", allowed_tools = [\"…\"] }";

/// What every conversation with OpenAI Realtime has, at OpenAI and at Azure.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuning {
    /// Filter ahead of the provider's turn detection.
    pub noise_reduction: NoiseReduction,
    /// After so long without a word the assistant asks whether somebody is there; for `server_vad` only.
    pub idle: Option<Duration>,
    /// How long the model thinks.
    pub reasoning: Option<Effort>,
    /// Longest response in tokens.
    pub max_output_tokens: Option<u16>,
    /// What is forgotten when a conversation outgrows the model.
    pub truncation: Option<Truncation>,
    /// Whether the model uses tools.
    pub tool_choice: ToolChoice,
    /// Servers of tools.
    pub mcp_servers: Vec<McpServer>,
}

/// A server of tools that the provider calls by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpServer {
    /// What it is called in the conversation.
    pub label: String,
    /// `https://`.
    pub url: String,
    /// Sent to it by the provider.
    pub authorization: Option<Secret>,
    /// Which of its tools; none for all.
    pub allowed_tools: Vec<String>,
}

/// Azure OpenAI, the v1 surface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Azure {
    /// Without one, secretaries of this provider refuse calls.
    pub api_key: Option<Secret>,
    /// Of the resource: `wss://NAME.openai.azure.com`.
    pub endpoint: Option<String>,
    /// For secretaries that name none in `model`.
    pub deployment: String,
    /// Which model the deployments are of, for its price.
    pub model: String,
    /// The deployment that writes down what the caller says, for secretaries that name none.
    pub transcription_model: String,
}

/// OpenAI Live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// Without one, that of `[openai]`.
    pub api_key: Option<Secret>,
    /// `wss://` or `ws://`, without a query.
    pub url: String,
    /// For secretaries that name none.
    pub model: String,
    /// What calls the tools for it.
    pub backend_model: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMcpServer {
    label: String,
    url: String,
    authorization: Option<String>,
    #[serde(default)]
    allowed_tools: Vec<String>,
}

/// The keys of `[openai]` that say how a conversation is held.
pub(super) fn tuning(raw: RawOpenAi, check: &mut Check<'_>) -> Tuning {
    let at = |key| Place { section: "openai", key };
    const NOISE: &str = "must be \"near_field\", \"far_field\" or \"off\"";
    let noise = word(at("noise_reduction"), raw.noise_reduction, NOISE, check, |word| match word {
        "near_field" => Some(NoiseReduction::NearField),
        "far_field" => Some(NoiseReduction::FarField),
        "off" => Some(NoiseReduction::Off),
        _ => None,
    });
    const EFFORT: &str = "must be \"minimal\", \"low\", \"medium\", \"high\" or \"xhigh\"";
    let reasoning = word(at("reasoning_effort"), raw.reasoning_effort, EFFORT, check, |word| match word {
        "minimal" => Some(Effort::Minimal),
        "low" => Some(Effort::Low),
        "medium" => Some(Effort::Medium),
        "high" => Some(Effort::High),
        "xhigh" => Some(Effort::ExtraHigh),
        _ => None,
    });
    let idle_ms = check.integer(at("idle_timeout_ms"), raw.idle_timeout_ms, IDLE_MS);
    let tokens = check.integer(at("max_output_tokens"), raw.max_output_tokens, 1..=4_096);
    Tuning {
        noise_reduction: noise.unwrap_or(NoiseReduction::NearField),
        idle: idle_ms.map(|ms| Duration::from_millis(ms.into())),
        reasoning,
        max_output_tokens: tokens.and_then(|tokens| u16::try_from(tokens).ok()),
        truncation: truncation(raw.truncation, check),
        tool_choice: tool_choice(raw.tool_choice, check),
        mcp_servers: mcp_servers(raw.mcp_servers, check),
    }
}

fn tool_choice(value: Option<Value>, check: &mut Check<'_>) -> ToolChoice {
    let place = Place { section: "openai", key: "tool_choice" };
    let allowed = format!("must be \"auto\", \"none\", \"required\" or a tool: {}", TOOLS.join(", "));
    let read = |word: &str| match word {
        "auto" => Some(ToolChoice::Auto),
        "none" => Some(ToolChoice::None),
        "required" => Some(ToolChoice::Required),
        name => TOOLS.contains(&name).then(|| ToolChoice::Function(name.to_owned())),
    };
    word(place, value, &allowed, check, read).unwrap_or(ToolChoice::Auto)
}

fn word<T>(
    place: Place<'_>,
    value: Option<Value>,
    allowed: &str,
    check: &mut Check<'_>,
    read: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    let written = value.clone();
    let (section, key) = (place.section, place.key);
    let word = check.text(place, value)?;
    let meant = read(&word);
    if meant.is_none() {
        check.refuse(Place { section, key }, written.as_ref(), allowed);
    }
    meant
}

/// `"auto"`, `"disabled"` or the share that is kept.
fn truncation(value: Option<Value>, check: &mut Check<'_>) -> Option<Truncation> {
    let value = value?;
    match &value {
        Value::String(word) if word == "auto" => Some(Truncation::Auto),
        Value::String(word) if word == "disabled" => Some(Truncation::Disabled),
        Value::Float(ratio) if (0.0..=1.0).contains(ratio) => Some(Truncation::Retain(*ratio)),
        Value::String(ratio) if ratio.parse().is_ok_and(|ratio: f64| (0.0..=1.0).contains(&ratio)) => {
            ratio.parse().ok().map(Truncation::Retain)
        }
        other => {
            let place = Place { section: "openai", key: "truncation" };
            check.refuse(place, Some(other), "must be \"auto\", \"disabled\" or a share from 0.0 to 1.0");
            None
        }
    }
}

fn mcp_servers(value: Option<Value>, check: &mut Check<'_>) -> Vec<McpServer> {
    let at = || Place { section: "openai", key: "mcp_servers" };
    let servers: Vec<RawMcpServer> = check.shaped(at(), value, SERVERS).unwrap_or_default();
    let mut read = Vec::new();
    for RawMcpServer { label, url, authorization, allowed_tools } in servers {
        let named = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if label.is_empty() || !label.chars().all(named) {
            check.refuse(at(), None, format!("the label {label:?} is not of the characters A-Z a-z 0-9 _ -"));
        }
        if !url.starts_with("https://") {
            check.refuse(at(), None, format!("the url of {label:?} must start with \"https://\""));
        }
        if read.iter().any(|server: &McpServer| server.label == label) {
            check.refuse(at(), None, format!("two servers have the label {label:?}"));
        }
        let authorization = check.secret(at(), authorization.map(Value::String));
        read.push(McpServer { label, url, authorization, allowed_tools });
    }
    read
}

/// `[azure]`
pub(super) fn azure(raw: RawAzure, check: &mut Check<'_>) -> Azure {
    let at = |key| Place { section: "azure", key };
    check.unknown("azure", &raw.unknown, RawAzure::KEYS);
    let written = raw.endpoint.clone();
    let mut text = |key, value, default: &str| check.telling(at(key), value).unwrap_or_else(|| default.to_owned());
    let deployment = text("deployment", raw.deployment, "gpt-realtime-2.1");
    let model = text("model", raw.model, "gpt-realtime-2.1");
    let transcription_model = text("transcription_model", raw.transcription_model, "gpt-4o-mini-transcribe");
    let endpoint = check.text(at("endpoint"), raw.endpoint);
    if endpoint.as_deref().is_some_and(|endpoint| !is_websocket(endpoint)) {
        check.refuse(at("endpoint"), written.as_ref(), WEBSOCKET);
    } else if endpoint.as_deref().is_some_and(has_path) {
        const RESOURCE: &str = "must be of the resource alone, like \"wss://NAME.openai.azure.com\": its path is known";
        check.refuse(at("endpoint"), written.as_ref(), RESOURCE);
    }
    Azure { api_key: check.secret(at("api_key"), raw.api_key), endpoint, deployment, model, transcription_model }
}

fn has_path(endpoint: &str) -> bool {
    endpoint.split_once("://").is_some_and(|(_, host)| host.trim_end_matches('/').contains('/'))
}

/// `[live]`
pub(super) fn live(raw: RawLive, check: &mut Check<'_>) -> Live {
    let at = |key| Place { section: "live", key };
    check.unknown("live", &raw.unknown, RawLive::KEYS);
    let written = raw.url.clone();
    let mut text = |key, value, default: &str| check.telling(at(key), value).unwrap_or_else(|| default.to_owned());
    let model = text("model", raw.model, "gpt-live-1");
    let backend_model = text("backend_model", raw.backend_model, "gpt-6-luna");
    let url = check.text(at("url"), raw.url).unwrap_or_else(|| providers::live::DEFAULT_URL.to_owned());
    if !is_websocket(&url) {
        check.refuse(at("url"), written.as_ref(), WEBSOCKET);
    }
    Live { api_key: check.secret(at("api_key"), raw.api_key), url, model, backend_model }
}
