//! Values of single headers, and URIs.
use crate::message::read_all;
use sip::{
    Reason,
    auth::{self, Challenge},
    message::{CSeq, EventPackage, Headers, Name, NameAddr, RAck, ReferTo, Replaces, SubscriptionState, Via, sipfrag},
    uri::Uri,
};
use std::fmt::{Debug, Display};

/// A URI: printed as it was written, equal to itself, and what is added to it is there.
pub(crate) fn uri(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(uri) = Uri::parse(text) else { return };
    assert_eq!(uri.to_string(), text);
    assert!(uri.equivalent(&uri), "{text} is not itself");
    let _ =
        (uri.scheme(), uri.user_unescaped(), uri.host_ip(), uri.port(), uri.params().count(), uri.headers().count());
    if let Ok(more) = uri.with_header("Replaces", "a@b;to-tag=1;from-tag=%") {
        assert!(more.headers().count() > uri.headers().count(), "{more}");
        assert_eq!(more.user(), uri.user());
    }
    if let Ok(more) = uri.with_param("transport", "tcp") {
        assert!(more.param("transport").is_some(), "{more}");
    }
}

/// Digest challenges, one after the other, and which of them would be answered.
pub(crate) fn auth(bytes: &[u8]) {
    let value = String::from_utf8_lossy(bytes);
    let challenges = Challenge::parse_list(&value);
    assert_eq!(auth::choose(&challenges), challenges.iter().find(|challenge| challenge.is_supported()));
}

/// A line of a header each, by whatever reads one: what can be printed is read back as it was.
pub(crate) fn values(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().next().unwrap_or_default();
    stable(Via::parse(line), Via::parse);
    stable(NameAddr::parse(line), NameAddr::parse);
    stable(CSeq::parse(line), CSeq::parse);
    stable(RAck::parse(line), RAck::parse);
    stable(ReferTo::parse(line), ReferTo::parse);
    stable(Replaces::parse(line), Replaces::parse);
    stable(Reason::parse(line), Reason::parse);
    let _ = (EventPackage::parse(line), SubscriptionState::parse(line), sipfrag::status(bytes));
    let mut headers = Headers::new();
    for line in text.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let known = Name::parse(name.trim()).is_some();
        assert!(headers.push_named(name.trim(), value).is_ok() || !known, "{name}");
    }
    read_all(&headers);
}

fn stable<T: PartialEq + Debug + Display>(value: Option<T>, read: impl Fn(&str) -> Option<T>) {
    if let Some(value) = value {
        assert_eq!(read(&value.to_string()), Some(value));
    }
}
