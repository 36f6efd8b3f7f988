//! Turns written values into meant ones, and keeps every mistake instead of stopping at the first.
use super::{Environment, Secret, secret};
use serde::de::DeserializeOwned;
use std::{collections::BTreeMap, fmt, ops::RangeInclusive, str::FromStr};
use thiserror::Error;
use toml::Value;

/// One mistake: where, what is written there, what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// File name, or `environment`.
    pub source: String,
    /// `section.key`, or the variable's name.
    pub key: String,
    /// What is written, as TOML; `None` when nothing is, or when it is a secret.
    pub value: Option<String>,
    /// What is wrong or allowed.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.key)?;
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// All mistakes of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct ConfigError {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{problem}")?;
        }
        Ok(())
    }
}

/// Where a value stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// `sip`, `peers[0]`.
    pub(super) section: &'a str,
    /// `udp`.
    pub(super) key: &'a str,
}

/// Reads values, collects problems.
pub(super) struct Check<'a> {
    pub(super) file: &'a str,
    pub(super) env: &'a Environment,
    /// `section.key` → the variable that overrides it.
    pub(super) overridden: BTreeMap<String, String>,
    pub(super) problems: Vec<Problem>,
}

impl Check<'_> {
    fn variable(&self, place: Place<'_>) -> Option<&String> {
        self.overridden.get(&format!("{}.{}", place.section, place.key))
    }

    /// Notes a mistake. `value` is what is written, unless it is secret.
    pub(super) fn refuse(&mut self, place: Place<'_>, value: Option<&Value>, message: impl Into<String>) {
        let (source, key) = match self.variable(place) {
            Some(variable) => ("environment".to_owned(), variable.clone()),
            None => (self.file.to_owned(), format!("{}.{}", place.section, place.key)),
        };
        self.problems.push(Problem { source, key, value: value.map(Value::to_string), message: message.into() });
    }

    /// Refuses every key the section does not have.
    pub(super) fn unknown(&mut self, section: &str, unknown: &BTreeMap<String, Value>, keys: &[&str]) {
        for key in unknown.keys() {
            self.refuse(Place { section, key }, None, format!("unknown key; allowed are {}", keys.join(", ")));
        }
    }

    /// A text, trimmed; empty means absent.
    pub(super) fn text(&mut self, place: Place<'_>, value: Option<Value>) -> Option<String> {
        match value? {
            Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            other => {
                self.refuse(place, Some(&other), "must be a text in quotes");
                None
            }
        }
    }

    /// A text that is either absent or says something: an empty one would silently mean the default.
    pub(super) fn telling(&mut self, place: Place<'_>, value: Option<Value>) -> Option<String> {
        let empty = value.as_ref().and_then(Value::as_str).is_some_and(|text| text.trim().is_empty());
        if empty {
            self.refuse(place, value.as_ref(), "is empty; leave the key out for the default");
        }
        self.text(place, value)
    }

    /// A text that must be there.
    pub(super) fn required(&mut self, place: Place<'_>, value: Option<Value>) -> Option<String> {
        let before = self.problems.len();
        let text = self.text(place, value);
        if text.is_none() && self.problems.len() == before {
            self.refuse(place, None, "is missing");
        }
        text
    }

    /// A whole number within `allowed`.
    pub(super) fn integer(
        &mut self,
        place: Place<'_>,
        value: Option<Value>,
        allowed: RangeInclusive<u32>,
    ) -> Option<u32> {
        let value = value?;
        let number = match &value {
            Value::Integer(number) => Some(*number),
            Value::String(text) if self.variable(place).is_some() => text.trim().parse().ok(),
            _ => None,
        };
        let number = number.and_then(|n| u32::try_from(n).ok()).filter(|n| allowed.contains(n));
        if number.is_none() {
            let message = format!("must be a whole number from {} to {}", allowed.start(), allowed.end());
            self.refuse(place, Some(&value), message);
        }
        number
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, place: Place<'_>, value: Option<Value>) -> Option<bool> {
        let value = value?;
        let flag = match &value {
            Value::Boolean(flag) => Some(*flag),
            Value::String(text) if self.variable(place).is_some() => text.trim().parse().ok(),
            _ => None,
        };
        if flag.is_none() {
            self.refuse(place, Some(&value), "must be true or false");
        }
        flag
    }

    /// A number with a fraction, or a whole one.
    pub(super) fn number(&mut self, place: Place<'_>, value: Option<Value>) -> Option<f64> {
        let value = value?;
        let number = match &value {
            Value::Float(number) => Some(*number),
            Value::Integer(number) => Some(*number as f64),
            Value::String(text) if self.variable(place).is_some() => text.trim().parse().ok(),
            _ => None,
        };
        if number.is_none() {
            self.refuse(place, Some(&value), "must be a number");
        }
        number
    }

    /// A text that means a `T`.
    pub(super) fn parsed<T: FromStr>(&mut self, place: Place<'_>, value: Option<Value>, allowed: &str) -> Option<T> {
        let value = value?;
        let parsed = value.as_str().and_then(|text| text.trim().parse().ok());
        if parsed.is_none() {
            self.refuse(place, Some(&value), allowed);
        }
        parsed
    }

    /// One text or a list of them (in the environment: separated by commas, empty for none), each meaning a `T`.
    pub(super) fn list<T: FromStr>(&mut self, place: Place<'_>, value: Option<Value>, allowed: &str) -> Option<Vec<T>> {
        let items = match value? {
            Value::String(text) if self.variable(place).is_some() && text.trim().is_empty() => Vec::new(),
            Value::String(text) if self.variable(place).is_some() => {
                text.split(',').map(|item| Value::String(item.trim().to_owned())).collect()
            }
            Value::Array(items) => items,
            single => vec![single],
        };
        let count = items.len();
        let parsed: Vec<T> = items.into_iter().filter_map(|item| self.parsed(place, Some(item), allowed)).collect();
        (parsed.len() == count).then_some(parsed)
    }

    /// A secret: itself, `env:NAME` or `file:/path`. The value is in no message.
    pub(super) fn secret(&mut self, place: Place<'_>, value: Option<Value>) -> Option<Secret> {
        let resolved = match value? {
            Value::String(written) => secret::resolve(written.trim(), self.env),
            _ => Err("must be a text in quotes: the value itself, \"env:NAME\" or \"file:/path\"".into()),
        };
        resolved.map_err(|message| self.refuse(place, None, message)).ok()
    }

    /// Something with a shape of its own.
    pub(super) fn shaped<T: DeserializeOwned>(
        &mut self,
        place: Place<'_>,
        value: Option<Value>,
        allowed: &str,
    ) -> Option<T> {
        let result = value?.try_into();
        result
            .map_err(|error: toml::de::Error| self.refuse(place, None, format!("{}; {allowed}", error.message())))
            .ok()
    }
}
