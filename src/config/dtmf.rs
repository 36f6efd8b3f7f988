//! `dtmf`: of all calls (`[rtp]`), of one peer's (`[[peers]]`) and of one account's (`[[registrations]]`).
use super::check::{Check, Place};
use crate::dtmf::Dtmf;
use std::str::FromStr;
use toml::Value;

const WAYS: &str = "must be \"auto\", \"rfc4733\", \"info\" or \"inband\"";

impl FromStr for Dtmf {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(Self::Auto),
            "rfc4733" => Ok(Self::Rfc4733),
            "info" => Ok(Self::Info),
            "inband" => Ok(Self::Inband),
            _ => Err(()),
        }
    }
}

pub(super) fn way(place: Place<'_>, written: Option<Value>, check: &mut Check<'_>) -> Option<Dtmf> {
    check.parsed(place, written, WAYS)
}
