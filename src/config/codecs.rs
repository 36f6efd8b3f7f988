//! `codecs` and `codec_order`, of all calls (`[rtp]`) and of one peer's (`[[peers]]`).
use super::{
    Config, Peer,
    check::{Check, Place},
};
use media::{codec::Codec, sdp::Preference};
use std::str::FromStr;
use toml::Value;

const NAMES: &str = "must be of \"PCMU\", \"PCMA\", \"G722\", \"opus\", \"L16/8000\", \"L16/16000\"";
const ORDERS: &str = "must be \"theirs\" or \"ours\"";

struct Name(Codec);

impl FromStr for Name {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Codec::of_name(text).map(Self).ok_or(())
    }
}

struct Order(Preference);

impl FromStr for Order {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "theirs" => Ok(Self(Preference::Theirs)),
            "ours" => Ok(Self(Preference::Ours)),
            _ => Err(()),
        }
    }
}

pub(super) fn list(place: Place<'_>, written: Option<Value>, check: &mut Check<'_>) -> Option<Vec<Codec>> {
    let names: Vec<Name> = check.list(place, written, NAMES)?;
    if names.is_empty() {
        check.refuse(place, None, "is empty; name at least one codec");
    }
    Some(names.into_iter().map(|Name(codec)| codec).collect())
}

pub(super) fn order(place: Place<'_>, written: Option<Value>, check: &mut Check<'_>) -> Option<Preference> {
    check.parsed(place, written, ORDERS).map(|Order(preference)| preference)
}

impl Config {
    /// The codecs of a call of this peer's, and whose order chooses among them.
    pub fn codecs(&self, peer: Option<&Peer>) -> (Vec<Codec>, Preference) {
        let list = peer.and_then(|peer| peer.codecs.clone());
        let order = peer.and_then(|peer| peer.codec_order);
        (list.unwrap_or_else(|| self.rtp.codecs.clone()), order.unwrap_or(self.rtp.codec_order))
    }
}
