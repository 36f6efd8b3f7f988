//! What hears, answers and speaks for a secretary whose provider is made of parts: a service, and what of it.
use super::words;
use serde::Deserialize;
use std::{fmt, str::FromStr};

/// The name of what is inside this process: its recogniser, its voices.
pub const LOCAL: &str = "local";

/// One part: `groq:openai/gpt-oss-120b`, or `local`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// A name of `[[services]]`, or [`LOCAL`].
    pub service: String,
    /// The service's name of a model; `None` for one that has only one, or is told by its voice.
    pub model: Option<String>,
}

impl Part {
    /// Whether it is inside this process.
    pub fn is_local(&self) -> bool {
        self.service == LOCAL
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (service, model) = match text.split_once(':') {
            Some((service, model)) => (service, words(Some(model.to_owned()))),
            None => (text, None),
        };
        let service = service.trim().to_ascii_lowercase();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if service.is_empty() || !service.chars().all(allowed) || text.chars().any(char::is_control) {
            return Err(format!(
                "{text:?} is not a service and its model, like \"groq:openai/gpt-oss-120b\" or \"local\""
            ));
        }
        Ok(Self { service, model })
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.model {
            Some(model) => write!(f, "{}:{model}", self.service),
            None => f.write_str(&self.service),
        }
    }
}

/// The parts a secretary chooses; the rest is the server's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// What hears.
    pub stt: Option<Part>,
    /// What answers.
    pub llm: Option<Part>,
    /// What speaks.
    pub tts: Option<Part>,
}

/// As it is in the `provider_config` column.
#[derive(Debug, Default, Deserialize)]
pub(super) struct RawParts {
    stt: Option<String>,
    llm: Option<String>,
    tts: Option<String>,
}

/// Checks the parts.
///
/// # Errors
/// Which is wrong, and what is allowed.
pub(super) fn read(raw: RawParts) -> Result<Parts, String> {
    let part = |name: &str, text: Option<String>| {
        words(text).map(|text| text.parse()).transpose().map_err(|problem: String| format!("{name} {problem}"))
    };
    Ok(Parts { stt: part("stt", raw.stt)?, llm: part("llm", raw.llm)?, tts: part("tts", raw.tts)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_a_service_and_a_model_whose_name_may_be_anything() {
        for text in ["local", "groq:openai/gpt-oss-120b", "ollama:llama3.3:70b", "piper"] {
            assert_eq!(text.parse::<Part>().unwrap().to_string(), text);
        }
        let spaced = " Deepgram : nova-3 ".parse::<Part>().unwrap();
        assert_eq!((spaced.service.as_str(), spaced.model.as_deref()), ("deepgram", Some("nova-3")));
        for text in ["", ":model", "a b:c", "a\n:b"] {
            assert!(text.parse::<Part>().is_err(), "{text:?}");
        }
    }
}
