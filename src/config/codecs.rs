//! `comfort_noise` of all calls, `codecs` and `codec_order`, of all calls (`[rtp]`), of those at one listener (`[[listeners]]`), of one
//! peer's (`[[peers]]`) and of one account's (`[[registrations]]`, rows of `v_voice_registrations`).
use super::{
    Config, Listener, Peer, Registration,
    check::{Check, Place},
};
use media::{
    codec::Codec,
    sdp::{ComfortNoise, Preference},
};
use std::str::FromStr;
use toml::Value;

const NAMES: &str = "must be of \"PCMU\", \"PCMA\", \"G722\", \"opus\", \"L16/8000\", \"L16/16000\"";
const NOISES: &str = "must be \"off\", \"heard\" or \"sent\"";
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

struct Noise(ComfortNoise);

impl FromStr for Noise {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "off" => Ok(Self(ComfortNoise::Off)),
            "heard" => Ok(Self(ComfortNoise::Heard)),
            "sent" => Ok(Self(ComfortNoise::Sent)),
            _ => Err(()),
        }
    }
}

pub(super) fn noise(place: Place<'_>, written: Option<Value>, check: &mut Check<'_>) -> ComfortNoise {
    check.parsed(place, written, NOISES).map_or_else(ComfortNoise::default, |Noise(noise)| noise)
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

/// The codecs of a row: names with commas between them; nothing but spaces is the same as none.
pub(super) fn of_row(column: Option<String>) -> Option<Value> {
    let names = column.filter(|names| !names.trim().is_empty())?;
    Some(Value::Array(names.split(',').map(|name| Value::String(name.trim().to_owned())).collect()))
}

impl Config {
    /// The codecs of a call through this account of ours, from this peer, that came to this listener, and whose order
    /// chooses among them: each as is said of the account, else of the peer, else of the listener, else of all.
    pub fn codecs(
        &self,
        account: Option<&Registration>,
        peer: Option<&Peer>,
        listener: Option<&Listener>,
    ) -> (Vec<Codec>, Preference) {
        let lists = [
            account.and_then(|it| it.codecs.as_ref()),
            peer.and_then(|it| it.codecs.as_ref()),
            listener.and_then(|it| it.codecs.as_ref()),
        ];
        let orders = [
            account.and_then(|it| it.codec_order),
            peer.and_then(|it| it.codec_order),
            listener.and_then(|it| it.codec_order),
        ];
        let list = lists.into_iter().flatten().next().unwrap_or(&self.rtp.codecs);
        (list.clone(), orders.into_iter().flatten().next().unwrap_or(self.rtp.codec_order))
    }
}
