//! What a person wants to see of one message beside the arrow.
use sip::message::{Headers, Message, Method, Name, sipfrag};

/// The kind of a message, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// A request.
    Request,
    /// 1xx.
    Provisional,
    /// 2xx.
    Success,
    /// 3xx.
    Redirection,
    /// 4xx to 6xx, and what cannot be read.
    Failure,
}

/// One message, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// Method, or status and phrase.
    pub(super) label: String,
    /// Its kind.
    pub(super) tone: Tone,
    /// `1 INVITE`; empty if unreadable.
    pub(super) cseq: String,
    /// The rest worth telling, in order.
    pub(super) notes: Vec<String>,
}

/// Headers shown as they are.
const SHOWN: [(Name, &str); 9] = [
    (Name::Reason, "Reason: "),
    (Name::Replaces, "Replaces: "),
    (Name::ReferredBy, "referred by "),
    (Name::SubscriptionState, "subscription "),
    (Name::SessionExpires, "session expires "),
    (Name::RetryAfter, "retry after "),
    (Name::Warning, "Warning: "),
    (Name::Unsupported, "unsupported: "),
    (Name::Contact, ""),
];

/// Reads a message; one that cannot be read is shown by its first line and by what is wrong with it.
pub(super) fn read(bytes: &[u8]) -> Reading {
    let message = match Message::parse(bytes) {
        Ok(message) => message,
        Err(error) => {
            let first = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
            let label = String::from_utf8_lossy(first.trim_ascii()).into_owned();
            let notes = vec![format!("unreadable: {}", error.kind)];
            return Reading { label, tone: Tone::Failure, cseq: String::new(), notes };
        }
    };
    let headers = message.headers();
    let cseq = headers.first(Name::CSeq).unwrap_or_default().to_owned();
    let (label, tone, body) = match &message {
        Message::Request(request) => (request.method.as_str().to_owned(), Tone::Request, &request.body),
        Message::Response(response) => {
            let code = response.status.code();
            let tone = match code {
                ..200 => Tone::Provisional,
                200..300 => Tone::Success,
                300..400 => Tone::Redirection,
                400.. => Tone::Failure,
            };
            (format!("{code} {}", response.reason), tone, &response.body)
        }
    };
    let mut notes = asks(&message);
    if !body.is_empty() {
        notes.push(about_body(headers, body));
    }
    for (name, words) in SHOWN {
        let of_registration = name == Name::Contact && !cseq.ends_with("REGISTER");
        notes.extend(headers.first(name).filter(|_| !of_registration).map(|value| format!("{words}{value}")));
    }
    Reading { label, tone, cseq, notes }
}

/// What a request asks for, and what a challenge asks of us.
fn asks(message: &Message) -> Vec<String> {
    let headers = message.headers();
    let mut notes = Vec::new();
    if let Message::Request(request) = message {
        match request.method {
            Method::Invite | Method::Register | Method::Message | Method::Subscribe | Method::Publish => {
                notes.push(format!("to {}", request.uri));
            }
            Method::Refer => notes.extend(headers.first(Name::ReferTo).map(|target| format!("to {target}"))),
            Method::Ack
            | Method::Bye
            | Method::Cancel
            | Method::Options
            | Method::Info
            | Method::Update
            | Method::Notify
            | Method::Prack
            | Method::Other(_) => {}
        }
    }
    for name in [Name::WwwAuthenticate, Name::ProxyAuthenticate] {
        notes.extend(headers.challenges(name).iter().map(|challenge| {
            let stale = if challenge.stale { ", stale" } else { "" };
            format!("challenge of {:?}{stale}", challenge.realm)
        }));
    }
    let proven = headers.first(Name::Authorization).or_else(|| headers.first(Name::ProxyAuthorization));
    if proven.is_some() {
        notes.push("with credentials".to_owned());
    }
    notes
}

fn about_body(headers: &Headers, body: &[u8]) -> String {
    let media_type = headers.content_type().unwrap_or_default();
    let text = String::from_utf8_lossy(body);
    match media_type.as_str() {
        "application/sdp" => sdp(&text),
        kind if kind.starts_with("message/sipfrag") => match sipfrag::status(body) {
            Some(status) => format!("outcome {} {}", status.code(), status.phrase()),
            None => "outcome unreadable".to_owned(),
        },
        kind => format!("{} bytes of {kind}", body.len()),
    }
}

/// `PCMU PCMA telephone-event, 20 ms, sendonly, 192.0.2.10:16384`, for each m-line.
fn sdp(text: &str) -> String {
    let (mut session, mut media): (Section<'_>, Vec<Section<'_>>) = (Section::default(), Vec::new());
    for line in text.lines() {
        let Some((kind, value)) = line.split_once('=') else { continue };
        if kind == "m" {
            media.push(Section { head: value, ..session.clone() });
        } else {
            media.last_mut().unwrap_or(&mut session).read(kind, value.trim_end());
        }
    }
    let described: Vec<String> = media.iter().map(Section::describe).collect();
    format!("SDP {}", described.join("; "))
}

/// An m-line with what stands below it, or what stands above all of them.
#[derive(Clone, Debug, Default)]
struct Section<'a> {
    head: &'a str,
    address: &'a str,
    direction: &'a str,
    ptime: &'a str,
    /// Payload type and encoding of each rtpmap.
    names: Vec<(&'a str, &'a str)>,
}

/// RFC 3551 §6: what may stand without an rtpmap and is met in telephony.
const STATIC: [(&str, &str); 5] = [("0", "PCMU"), ("3", "GSM"), ("8", "PCMA"), ("9", "G722"), ("18", "G729")];

impl<'a> Section<'a> {
    fn read(&mut self, kind: &str, value: &'a str) {
        match (kind, value.split_once(':')) {
            ("c", _) => self.address = value.rsplit(' ').next().unwrap_or_default(),
            ("a", Some(("rtpmap", map))) => self.names.extend(map.trim().split_once(' ')),
            ("a", Some(("ptime", ptime))) => self.ptime = ptime,
            ("a", None) if ["sendrecv", "sendonly", "recvonly", "inactive"].contains(&value) => self.direction = value,
            _ => {}
        }
    }

    fn describe(&self) -> String {
        let mut words = self.head.split_whitespace();
        let kind = words.next().unwrap_or_default();
        let port = words.next().unwrap_or_default();
        let profile = words.next().unwrap_or_default();
        if port == "0" {
            return format!("{kind} refused");
        }
        let codecs: Vec<&str> = words.map(|payload| self.encoding(payload)).collect();
        let mut text = if kind == "audio" { String::new() } else { format!("{kind} ") };
        if profile != "RTP/AVP" {
            text.push_str(&format!("{profile} "));
        }
        text.push_str(&codecs.join(" "));
        if !self.ptime.is_empty() {
            text.push_str(&format!(", {} ms", self.ptime));
        }
        let direction = if self.direction.is_empty() { "sendrecv" } else { self.direction };
        let address = if self.address.contains(':') { format!("[{}]", self.address) } else { self.address.to_owned() };
        format!("{text}, {direction}, {address}:{port}")
    }

    /// The name of a payload type; the number itself if nothing names it.
    fn encoding(&self, payload: &'a str) -> &'a str {
        let mapped = self.names.iter().find(|(number, _)| *number == payload);
        let known = || STATIC.iter().find(|(number, _)| *number == payload).map(|(_, name)| *name);
        mapped.map(|(_, encoding)| encoding.split('/').next().unwrap_or(encoding)).or_else(known).unwrap_or(payload)
    }
}
