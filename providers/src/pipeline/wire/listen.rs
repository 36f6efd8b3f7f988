//! Deepgram's listening sockets: `/v1/listen` (nova) and `/v2/listen` (Flux).
use super::{method, token};
use crate::{Endpoint, pipeline::Credentials, url::query_value};
use media::{AudioFormat, Law};
use serde::Deserialize;
use std::time::Duration;

/// Asks for the words that were heard so far.
pub(in crate::pipeline) const FINALIZE: &str = r#"{"type":"Finalize"}"#;
/// So sure Flux is of an end that is worth an answer in advance.
const EAGER: &str = "0.4";
/// The least quiet that Flux can be told to end a turn by.
const LEAST_TIMEOUT: Duration = Duration::from_millis(500);
/// A gap between words that ends an utterance where noise hides the silence: the least there is, and the longest that
/// noise is to have the word for.
const UTTERANCE_END: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

/// Where nova listens.
pub(in crate::pipeline) fn nova(
    at: &Credentials,
    model: &str,
    language: Option<&str>,
    format: AudioFormat,
    [endpointing, silence]: [Duration; 2],
) -> Endpoint {
    let [least, most] = UTTERANCE_END;
    let mut query = audio(model, format);
    query += &format!(
        "&channels=1&interim_results=true&endpointing={}&utterance_end_ms={}&vad_events=true&smart_format=true",
        endpointing.as_millis(),
        silence.clamp(least, most).as_millis()
    );
    if let Some(language) = language {
        query += &format!("&language={}", query_value(language));
    }
    endpoint(at, &format!("/v1/listen?{query}"))
}

/// Where Flux listens.
pub(in crate::pipeline) fn flux(
    at: &Credentials,
    model: &str,
    language: Option<&str>,
    format: AudioFormat,
    longest_silence: Option<Duration>,
) -> Endpoint {
    let mut query = format!("{}&eager_eot_threshold={EAGER}", audio(model, format));
    if let Some(silence) = longest_silence {
        query += &format!("&eot_timeout_ms={}", silence.max(LEAST_TIMEOUT).as_millis());
    }
    if let Some(language) = language.filter(|_| model.ends_with("multi")) {
        let primary = language.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
        query += &format!("&language_hint={}", query_value(&primary));
    }
    endpoint(at, &format!("/v2/listen?{query}"))
}

fn audio(model: &str, format: AudioFormat) -> String {
    let encoding = match format {
        AudioFormat::G711(Law::Mu) => "mulaw",
        AudioFormat::G711(Law::A) => "alaw",
        AudioFormat::Pcm(_) => "linear16",
    };
    format!("model={}&encoding={encoding}&sample_rate={}", query_value(model), format.rate().hz())
}

fn endpoint(at: &Credentials, path: &str) -> Endpoint {
    Endpoint::WebSocket { url: method(at, path), headers: token(at).into_iter().collect() }
}

/// What either socket says.
#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
pub(in crate::pipeline) enum Heard {
    /// nova: words.
    Results {
        #[serde(default)]
        start: f64,
        #[serde(default)]
        duration: f64,
        #[serde(default)]
        is_final: bool,
        #[serde(default)]
        speech_final: bool,
        from_finalize: Option<bool>,
        channel: Channel,
    },
    /// nova: somebody speaks.
    SpeechStarted {},
    /// nova: a gap between words.
    UtteranceEnd {},
    /// nova: the end of the stream.
    Metadata {},
    /// Flux: the socket works.
    Connected {},
    /// Flux: where the turn is.
    TurnInfo {
        event: TurnEvent,
        #[serde(default)]
        transcript: String,
        #[serde(default)]
        audio_window_end: f64,
    },
    /// Flux: trouble that it survives.
    Warning { description: Option<String> },
    /// Trouble that it does not survive.
    Error { description: Option<String>, code: Option<String> },
    /// What is newer than this program.
    #[serde(other)]
    Unknown,
}

/// What happened to a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(in crate::pipeline) enum TurnEvent {
    Update,
    StartOfTurn,
    EagerEndOfTurn,
    TurnResumed,
    EndOfTurn,
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Deserialize)]
pub(in crate::pipeline) struct Channel {
    #[serde(default)]
    pub(in crate::pipeline) alternatives: Vec<Alternative>,
}

#[derive(Debug, Deserialize)]
pub(in crate::pipeline) struct Alternative {
    #[serde(default)]
    pub(in crate::pipeline) transcript: String,
}
