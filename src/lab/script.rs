//! What the scripts of all simulators are made of: TOML files, or built in a test.
use serde::{Deserialize, de::DeserializeOwned};
use std::{fs, path::Path};
use thiserror::Error;

/// Why a script was refused.
#[derive(Debug, Error)]
pub enum ScriptError {
    /// The file could not be read.
    #[error("the script {path} cannot be read")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is not a script; the message names line and key.
    #[error("{path} is not a script")]
    Invalid {
        /// The file.
        path: String,
        /// Why.
        source: Box<toml::de::Error>,
    },
}

/// What is heard.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub enum Say {
    /// English words, spoken by flite.
    Words(String),
    /// A pure tone at -12 dBFS.
    Tone {
        /// Its frequency.
        tone_hz: u32,
        /// Its length.
        ms: u64,
    },
    /// A pure tone as high as the caller's last turn, so that whoever calls can tell whether this is the answer to it.
    Echo {
        /// Its length.
        echo_ms: u64,
    },
    /// Digital silence.
    Silence {
        /// Its length.
        silence_ms: u64,
    },
}

/// A function call.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ScriptedCall {
    /// The function.
    pub name: String,
    /// Its arguments; sent as JSON text.
    #[serde(default)]
    pub arguments: serde_json::Value,
}

/// A message sent at a time.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct TimedMessage {
    /// Milliseconds from the opening of the connection.
    pub after_ms: u64,
    /// The text of the message.
    pub text: String,
}

/// Reads a script from a TOML file.
///
/// # Errors
///
/// When it cannot be read, or holds a key or value that is not of a script.
pub(in crate::lab) fn read<Script: DeserializeOwned>(path: &Path) -> Result<Script, ScriptError> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|source| ScriptError::Unreadable { path: name.clone(), source })?;
    toml::from_str(&text).map_err(|source| ScriptError::Invalid { path: name, source: Box::new(source) })
}

impl Say {
    /// What a reader of a transcript is told of it.
    pub(in crate::lab) fn transcript(&self) -> String {
        match self {
            Self::Words(text) => text.clone(),
            Self::Tone { tone_hz, ms } => format!("[{tone_hz} Hz for {ms} ms]"),
            Self::Echo { echo_ms } => format!("[an echo of {echo_ms} ms]"),
            Self::Silence { silence_ms } => format!("[{silence_ms} ms of silence]"),
        }
    }
}
