//! Server events: those that mean something to a call; the others are told apart as known or unknown.
use crate::openai::wire::{ErrorBody, OutputItem};
use serde::Deserialize;
use std::borrow::Cow;

/// A server event. Fields a call has no use for are not read, and unknown ones never matter.
#[derive(Debug)]
pub(crate) enum ServerEvent<'a> {
    Started,
    /// The session is over, for this reason, after so many seconds.
    Closed {
        reason: String,
        seconds: Option<f64>,
    },
    /// Base64.
    Audio(Cow<'a, str>),
    CallerWords(String),
    AssistantWords(String),
    /// Work for somebody; for us if `target` is `client`.
    Delegated {
        id: String,
        target: String,
    },
    /// The model behind it did something.
    Backend {
        delegation: String,
        event: Backend,
    },
    /// Seconds of the session so far.
    Used(f64),
    Error(ErrorBody),
    /// Known, and of no consequence here.
    Ignored,
    /// A kind this version has not heard of.
    Unknown {
        kind: Cow<'a, str>,
    },
}

/// What the model behind it did.
#[derive(Debug)]
pub(crate) enum Backend {
    Item(OutputItem),
    Over(Option<BackendUsage>),
    Other,
}

/// `usage` of the Responses API.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct BackendUsage {
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) input_tokens_details: CachedTokens,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CachedTokens {
    pub(crate) cached_tokens: u64,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    delta: Cow<'a, str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Seconds {
    seconds: Option<f64>,
}

#[derive(Deserialize)]
struct WithUsage {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    usage: Seconds,
}

#[derive(Deserialize)]
struct WithDelegation {
    delegation: Delegation,
}

#[derive(Deserialize)]
struct Delegation {
    id: String,
    #[serde(default)]
    target: String,
}

#[derive(Deserialize)]
struct Wrapped {
    #[serde(default)]
    delegation_id: Option<String>,
    event: Nested,
}

#[derive(Deserialize)]
struct Nested {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    item: Option<OutputItem>,
    #[serde(default)]
    response: Option<Response>,
}

#[derive(Deserialize)]
struct Response {
    #[serde(default)]
    usage: Option<BackendUsage>,
}

#[derive(Deserialize)]
struct WithError {
    error: ErrorBody,
}

/// Reads one text frame.
///
/// # Errors
///
/// When it is not JSON, has no `type`, or is of a kind a call depends on and lacks what the call needs of it.
pub(crate) fn parse(text: &str) -> Result<ServerEvent<'_>, serde_json::Error> {
    let head: Head<'_> = serde_json::from_str(text)?;
    Ok(match &*head.kind {
        "session.started" => ServerEvent::Started,
        "session.closed" => {
            let WithUsage { reason, usage } = serde_json::from_str(text)?;
            ServerEvent::Closed { reason, seconds: usage.seconds }
        }
        "session.output_audio.delta" => ServerEvent::Audio(serde_json::from_str::<Delta<'_>>(text)?.delta),
        "session.input_transcript.delta" => ServerEvent::CallerWords(words(text)?),
        "session.output_transcript.delta" => ServerEvent::AssistantWords(words(text)?),
        "session.delegation.created" => {
            let Delegation { id, target } = serde_json::from_str::<WithDelegation>(text)?.delegation;
            ServerEvent::Delegated { id, target }
        }
        "response.event" => {
            let Wrapped { delegation_id, event } = serde_json::from_str(text)?;
            ServerEvent::Backend { delegation: delegation_id.unwrap_or_default(), event: backend(event) }
        }
        "session.usage.updated" => {
            ServerEvent::Used(serde_json::from_str::<WithUsage>(text)?.usage.seconds.unwrap_or_default())
        }
        "error" => ServerEvent::Error(serde_json::from_str::<WithError>(text)?.error),
        kind if is_of_no_consequence(kind) => ServerEvent::Ignored,
        _ => ServerEvent::Unknown { kind: head.kind },
    })
}

fn words(text: &str) -> Result<String, serde_json::Error> {
    Ok(serde_json::from_str::<Delta<'_>>(text)?.delta.into_owned())
}

fn backend(event: Nested) -> Backend {
    match (event.kind.as_str(), event.item) {
        ("response.output_item.done", Some(item)) => Backend::Item(item),
        ("response.completed" | "response.failed" | "response.incomplete" | "response.cancelled", _) => {
            Backend::Over(event.response.and_then(|response| response.usage))
        }
        _ => Backend::Other,
    }
}

/// The rest of the vocabulary.
fn is_of_no_consequence(kind: &str) -> bool {
    const KINDS: [&str; 10] = [
        "info",
        "session.updated",
        "session.instructions.appended",
        "session.thinking.appended",
        "session.commentary.appended",
        "session.input_audio.append",
        "session.input_audio.muted",
        "session.input_audio.unmuted",
        "session.output_audio.fixture.playing",
        "session.output_audio.fixture.played",
    ];
    KINDS.contains(&kind) || kind.starts_with("transport.") || kind.starts_with("decision.")
}
