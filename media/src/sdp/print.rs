//! Our descriptions, written.
use super::{Direction, Local, Negotiated, TelephoneEvent, parse::Stream};
use crate::codec::Codec;
use sdp_types::{Attribute, Connection, Media, Origin, Session, Time};

/// RFC 4733 §2.4.1: the sixteen DTMF events.
const DTMF_EVENTS: &str = "0-15";

/// An open audio stream of ours.
pub(super) struct Audio {
    /// Best first; one in an answer.
    pub(super) formats: Vec<(u8, Codec)>,
    pub(super) events: Vec<TelephoneEvent>,
    pub(super) direction: Direction,
    pub(super) ptime_ms: u128,
}

impl Audio {
    /// What was agreed, said again.
    pub(super) fn agreed(media: &Negotiated) -> Self {
        Self {
            formats: vec![(media.payload_type, media.codec)],
            events: media.telephone_event.into_iter().collect(),
            direction: media.direction,
            ptime_ms: media.ptime.as_millis(),
        }
    }

    /// The `m=` line and its attributes.
    pub(super) fn media(&self, local: &Local) -> Media {
        let mut attributes = Vec::new();
        for (payload_type, codec) in &self.formats {
            attributes.push(Attribute::with_value("rtpmap", rtpmap(*payload_type, *codec)));
            if let Some(parameters) = parameters(*codec) {
                attributes.push(Attribute::with_value("fmtp", format!("{payload_type} {parameters}")));
            }
        }
        for TelephoneEvent { payload_type, clock } in &self.events {
            attributes.push(Attribute::with_value("rtpmap", format!("{payload_type} telephone-event/{clock}")));
            attributes.push(Attribute::with_value("fmtp", format!("{payload_type} {DTMF_EVENTS}")));
        }
        attributes.push(Attribute::with_value("ptime", self.ptime_ms));
        attributes.push(Attribute::new(self.direction.attribute()));
        let numbers = self.formats.iter().map(|(number, _)| *number);
        let numbers: Vec<String> =
            numbers.chain(self.events.iter().map(|it| it.payload_type)).map(|number| number.to_string()).collect();
        line("audio", local.address.port(), "RTP/AVP", numbers.join(" "), attributes)
    }
}

/// The line that refuses a stream: its own, with port zero (RFC 3264 §6).
pub(super) fn refused(stream: &Stream) -> Media {
    line(&stream.media, 0, &stream.proto, stream.formats.clone(), Vec::new())
}

/// A whole description.
pub(super) fn session(local: &Local, medias: Vec<Media>) -> Vec<u8> {
    let mut origin = Origin::with_ip_addr(local.session_id, local.version, local.address.ip());
    origin.set_username("ramal");
    let mut session = Session::new(origin, "ramal");
    session.connection = Some(Connection::from_ip_addr(local.address.ip()));
    session.times = vec![Time { start_time: 0, stop_time: 0, repeats: Vec::new() }];
    session.medias = medias;
    let mut bytes = Vec::new();
    if session.write(&mut bytes).is_err() {
        debug_assert!(false, "writing to memory cannot fail");
    }
    bytes
}

fn line(media: &str, port: u16, proto: &str, formats: String, attributes: Vec<Attribute>) -> Media {
    Media {
        media: media.to_owned(),
        port,
        num_ports: None,
        proto: proto.to_owned(),
        fmt: formats,
        media_title: None,
        connections: Vec::new(),
        bandwidths: Vec::new(),
        key: None,
        attributes,
    }
}

fn rtpmap(payload_type: u8, codec: Codec) -> String {
    match codec.rtpmap_channels() {
        1 => format!("{payload_type} {codec}/{}", codec.clock_rate()),
        channels => format!("{payload_type} {codec}/{}/{channels}", codec.clock_rate()),
    }
}

/// What the peer should know of our decoder (RFC 7587 §6.1): more than wideband would be wasted on it.
fn parameters(codec: Codec) -> Option<String> {
    match codec {
        Codec::Pcmu | Codec::Pcma => None,
        Codec::Opus => {
            let rate = codec.sample_rate().hz();
            Some(format!("maxplaybackrate={rate};sprop-maxcapturerate={rate}"))
        }
    }
}
