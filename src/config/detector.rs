//! `[media] vad`: who hears whether the caller speaks.
use super::check::{Check, Place};
use media::vad::Engine;
use std::str::FromStr;
use toml::Value;

const NAMES: &str = "must be \"silero\", \"energy\" or \"off\"";

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

pub(super) fn engine(place: Place<'_>, written: Option<Value>, check: &mut Check<'_>) -> Option<Engine> {
    check.parsed(place, written, NAMES).map(|Name(engine)| engine)
}
