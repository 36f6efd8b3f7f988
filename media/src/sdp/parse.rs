//! What a peer's description says, in terms that negotiation needs. The grammar is sdp-types'; in front of it stand
//! limits and a filter, behind it the inheritance of session-level lines.
use super::{Direction, Error, crypto::Crypto};
use sdp_types::{Attribute, Connection, Media, Session};
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Real offers stay below 10 KiB, with video and ICE.
pub(super) const MAX_BYTES: usize = 64 * 1024;
/// Real offers stay below 200.
pub(super) const MAX_LINES: usize = 2_000;
/// Each is answered by a line of ours.
pub(super) const MAX_STREAMS: usize = 32;

/// A peer's description.
#[derive(Debug)]
pub(super) struct Description {
    pub(super) streams: Vec<Stream>,
}

/// One `m=` line and what applies to it.
#[derive(Debug)]
pub(super) struct Stream {
    /// `audio`, `image`, …
    pub(super) media: String,
    /// `RTP/AVP`, `udptl`, …
    pub(super) proto: String,
    /// Zero: offered closed, or refused (RFC 3264 §5.1, §6).
    pub(super) port: u16,
    /// Payload types or other formats, as written.
    pub(super) formats: String,
    /// Of the stream, or of the session; the text that is no IP address in `Err`.
    pub(super) address: Option<Result<IpAddr, String>>,
    /// As the peer sees it: `SendOnly` means that the peer only sends.
    pub(super) direction: Direction,
    /// The length of the packets the peer would have.
    pub(super) ptime: Option<Duration>,
    /// The longest packets the peer takes.
    pub(super) max_ptime: Option<Duration>,
    /// `a=rtcp`: port and perhaps another address.
    pub(super) rtcp: Option<(u16, Option<IpAddr>)>,
    /// `a=rtcp-mux` (RFC 5761 §5.1.1).
    pub(super) rtcp_mux: bool,
    pub(super) ice: Ice,
    pub(super) rtpmaps: Vec<Rtpmap>,
    /// Those `a=crypto` lines that we understand, the peer's preferred first (RFC 4568 §4.1).
    pub(super) cryptos: Vec<Crypto>,
    /// `a=fmtp`: payload type and parameters.
    fmtps: Vec<(u8, String)>,
}

/// What a stream says of ICE (RFC 8839).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ice {
    /// Nothing, or not enough to go by.
    Absent,
    /// Its default destination is none of its candidates: something on the way rewrote the one and not the other, and
    /// ICE must not be used (§5.3).
    Mismatched,
    /// The peer's credentials; they change when it starts ICE anew.
    Offered(PeerIce),
}

/// `a=ice-ufrag` and `a=ice-pwd`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct PeerIce {
    fragment: String,
    password: String,
}

impl fmt::Debug for PeerIce {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PeerIce").field("fragment", &self.fragment).finish_non_exhaustive()
    }
}

/// `a=rtpmap` (RFC 8866 §6.6).
#[derive(Debug)]
pub(super) struct Rtpmap {
    pub(super) payload_type: u8,
    pub(super) encoding: String,
    pub(super) clock: u32,
    pub(super) channels: u8,
}

impl Description {
    /// Reads `bytes`.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_BYTES {
            return Err(Error::TooLong { bytes: bytes.len() });
        }
        let session = Session::parse(relevant_lines(bytes)?.as_bytes())?;
        if session.medias.len() > MAX_STREAMS {
            return Err(Error::TooManyStreams);
        }
        if session.medias.is_empty() {
            return Err(Error::NoStreams);
        }
        Ok(Self { streams: session.medias.iter().map(|media| Stream::new(media, &session)).collect() })
    }
}

/// The lines negotiation reads. Whatever is wrong with the others (and with characters in free text) is no reason to
/// refuse a call.
fn relevant_lines(bytes: &[u8]) -> Result<String, Error> {
    let text = String::from_utf8_lossy(bytes);
    let mut kept = String::with_capacity(text.len());
    for (number, line) in text.lines().enumerate() {
        if number >= MAX_LINES {
            return Err(Error::TooManyLines);
        }
        let line = line.trim();
        if matches!(line.get(..2), Some("v=" | "c=" | "m=" | "a=")) {
            kept.push_str(line);
            kept.push_str("\r\n");
        }
    }
    Ok(kept)
}

impl Stream {
    fn new(media: &Media, session: &Session) -> Self {
        let connection = media.connections.first().or(session.connection.as_ref());
        Self {
            media: media.media.clone(),
            proto: media.proto.clone(),
            port: media.port,
            formats: media.fmt.clone(),
            address: connection.map(address),
            direction: direction(&media.attributes)
                .or_else(|| direction(&session.attributes))
                .unwrap_or(Direction::SendRecv),
            ptime: value(&media.attributes, "ptime").and_then(milliseconds),
            max_ptime: value(&media.attributes, "maxptime").and_then(milliseconds),
            rtcp: value(&media.attributes, "rtcp").and_then(rtcp),
            rtcp_mux: media.attributes.iter().any(|it| it.attribute == "rtcp-mux"),
            ice: ice(media, session, connection),
            rtpmaps: values(&media.attributes, "rtpmap").filter_map(rtpmap).collect(),
            cryptos: values(&media.attributes, "crypto").filter_map(Crypto::parse).collect(),
            fmtps: values(&media.attributes, "fmtp").filter_map(fmtp).collect(),
        }
    }

    /// The payload types of the `m=` line in the peer's order of preference, each once however often it is named, less
    /// those that with a marker look like RTCP (RFC 5761 §4).
    pub(super) fn payload_types(&self) -> impl Iterator<Item = u8> {
        let numbers = self.formats.split_ascii_whitespace().filter_map(|format| format.parse::<u8>().ok());
        let mut named = 0_u128;
        numbers.filter(|number| matches!(number, 0..=63 | 96..=127)).filter(move |number| {
            let before = named;
            named |= 1_u128 << *number;
            named != before
        })
    }

    /// The mapping of a payload type, the first if there are several.
    pub(super) fn rtpmap(&self, payload_type: u8) -> Option<&Rtpmap> {
        self.rtpmaps.iter().find(|map| map.payload_type == payload_type)
    }

    /// The parameters of a payload type; empty without any.
    pub(super) fn parameters(&self, payload_type: u8) -> &str {
        self.fmtps.iter().find(|(own, _)| *own == payload_type).map_or("", |(_, parameters)| parameters)
    }
}

fn address(connection: &Connection) -> Result<IpAddr, String> {
    // The part after the slash is of multicast (RFC 8866 §5.7), which nobody asks a phone to join.
    let text = connection.connection_address.split('/').next().unwrap_or_default().trim();
    text.parse().map_err(|_| text.to_owned())
}

/// RFC 8839 §5.4: credentials may stand in the session; candidates never do.
fn ice(media: &Media, session: &Session, connection: Option<&Connection>) -> Ice {
    let either = |name| value(&media.attributes, name).or_else(|| value(&session.attributes, name));
    let (Some(fragment), Some(password)) = (either("ice-ufrag"), either("ice-pwd")) else { return Ice::Absent };
    let mut candidates = values(&media.attributes, "candidate").peekable();
    if candidates.peek().is_none() {
        return Ice::Absent;
    }
    let default = connection.and_then(|it| address(it).ok()).map(|ip| SocketAddr::new(ip, media.port));
    if !candidates.any(|it| default.is_some() && candidate(it) == default) {
        return Ice::Mismatched;
    }
    Ice::Offered(PeerIce { fragment: fragment.to_owned(), password: password.to_owned() })
}

/// RFC 8839 §5.1: where RTP (component 1) goes over UDP by this candidate.
fn candidate(text: &str) -> Option<SocketAddr> {
    let mut words = text.split_ascii_whitespace().skip(1);
    let (component, transport) = (words.next()?, words.next()?);
    if component != "1" || !transport.eq_ignore_ascii_case("UDP") {
        return None;
    }
    let ip = words.nth(1)?.parse().ok()?;
    Some(SocketAddr::new(ip, words.next()?.parse().ok()?))
}

fn direction(attributes: &[Attribute]) -> Option<Direction> {
    attributes.iter().find_map(|attribute| match attribute.attribute.as_str() {
        "sendrecv" => Some(Direction::SendRecv),
        "sendonly" => Some(Direction::SendOnly),
        "recvonly" => Some(Direction::RecvOnly),
        "inactive" => Some(Direction::Inactive),
        _ => None,
    })
}

fn values<'a>(attributes: &'a [Attribute], name: &'static str) -> impl Iterator<Item = &'a str> {
    attributes.iter().filter(move |attribute| attribute.attribute == name).filter_map(|it| it.value.as_deref())
}

fn value<'a>(attributes: &'a [Attribute], name: &'static str) -> Option<&'a str> {
    values(attributes, name).next()
}

fn milliseconds(text: &str) -> Option<Duration> {
    text.trim().parse().ok().filter(|number| *number > 0).map(Duration::from_millis)
}

/// RFC 3605 §2.1: `port [IN IP4 address]`.
fn rtcp(text: &str) -> Option<(u16, Option<IpAddr>)> {
    let mut words = text.split_ascii_whitespace();
    let port = words.next()?.parse().ok().filter(|port| *port != 0)?;
    Some((port, words.nth(2).and_then(|address| address.parse().ok())))
}

/// `payload type parameters` (RFC 8866 §6.15).
fn fmtp(text: &str) -> Option<(u8, String)> {
    let (payload_type, parameters) = text.trim().split_once(' ')?;
    Some((payload_type.parse().ok()?, parameters.to_owned()))
}

/// `payload type, encoding/clock[/channels]`.
fn rtpmap(text: &str) -> Option<Rtpmap> {
    let (payload_type, encoding) = text.trim().split_once(' ')?;
    let mut parts = encoding.trim().split('/');
    Some(Rtpmap {
        payload_type: payload_type.parse().ok()?,
        encoding: parts.next()?.to_owned(),
        clock: parts.next()?.parse().ok()?,
        channels: parts.next().map_or(Some(1), |channels| channels.parse().ok())?,
    })
}
