//! `[media] vad` and `echo`: who hears whether the caller speaks, and what providers hear of the assistant.
use super::check::{Check, Place};
use media::{echo::Policy, vad::Engine};
use std::str::FromStr;
use toml::Value;

const NAMES: &str = "must be \"silero\", \"energy\" or \"off\"";
const POLICIES: &str = "must be \"mute\" or \"pass\"";

struct Name(Engine);

impl FromStr for Name {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "silero" => Ok(Self(Engine::Silero)),
            "energy" => Ok(Self(Engine::Energy)),
            "off" => Ok(Self(Engine::Off)),
            _ => Err(()),
        }
    }
}

struct Echo(Policy);

impl FromStr for Echo {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "mute" => Ok(Self(Policy::Mute)),
            "pass" => Ok(Self(Policy::Pass)),
            _ => Err(()),
        }
    }
}

pub(super) fn engine(place: Place<'_>, written: Option<Value>, check: &mut Check<'_>) -> Option<Engine> {
    check.parsed(place, written, NAMES).map(|Name(engine)| engine)
}

pub(super) fn echo(place: Place<'_>, written: Option<Value>, check: &mut Check<'_>) -> Option<Policy> {
    check.parsed(place, written, POLICIES).map(|Echo(policy)| policy)
}
