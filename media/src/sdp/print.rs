//! Our descriptions, written.
use super::{ComfortNoise, Direction, Local, Negotiated, PayloadType, TelephoneEvent, crypto::Crypto, parse::Stream};
use crate::{codec::Codec, ice, noise, srtp::Suite};
use sdp_types::{Attribute, Connection, Media, Origin, Session, Time};
use std::net::SocketAddr;

/// RFC 4733 §2.4.1: the sixteen DTMF events.
const DTMF_EVENTS: &str = "0-15";
/// Our dynamic payload types, those that most peers use too.
const FIRST_DYNAMIC: u8 = 96;
/// Telephone events at the clock of each codec of ours (RFC 4733 §2.1).
const EVENTS: [(u8, u32); 3] = [(101, 8_000), (102, 48_000), (103, 16_000)];
/// RFC 8445 §5.1.2.1: a host candidate (126) of the only address (65535); less the component's number.
const HOST_PRIORITY: u32 = (126 << 24) + (65_535 << 8) + 256;

/// The streams of a description of ours.
#[derive(Clone, Debug)]
pub(super) struct Ours {
    /// Refused streams of the peer's that stand before the audio, and keep their place (RFC 3264 §8).
    pub(super) before: Vec<Media>,
    /// The open one.
    pub(super) audio: Audio,
    /// Refused ones after it.
    pub(super) after: Vec<Media>,
}

/// An open audio stream of ours.
#[derive(Clone, Debug)]
pub(super) struct Audio {
    /// `RTP/AVP`, or as the peer wrote it: an answer has the offer's (RFC 3264 §6).
    pub(super) proto: String,
    /// By the numbers we receive; best first, one in an answer.
    formats: Vec<(u8, Codec)>,
    pub(super) events: Vec<TelephoneEvent>,
    /// Comfort noise: the number we receive, and its clock.
    pub(super) noise: Option<(u8, u32)>,
    pub(super) direction: Direction,
    ptime_ms: u128,
    pub(super) rtcp_mux: bool,
    pub(super) ice: IceAnswer,
    /// Our keys: none without SRTP, one in an answer.
    pub(super) cryptos: Vec<Crypto>,
}

/// What we say of ICE.
#[derive(Clone, Debug)]
pub(super) enum IceAnswer {
    None,
    /// RFC 8839 §5.3: the peer's candidates and address contradict each other.
    Mismatch,
    /// RFC 8839 §5.3: we are a lite agent, and these are our credentials.
    Lite(ice::Credentials),
}

impl IceAnswer {
    /// Ours, if ICE is used.
    pub(super) const fn credentials(&self) -> Option<&ice::Credentials> {
        match self {
            Self::None | Self::Mismatch => None,
            Self::Lite(credentials) => Some(credentials),
        }
    }
}

impl Ours {
    /// One stream.
    pub(super) const fn only(audio: Audio) -> Self {
        Self { before: Vec::new(), audio, after: Vec::new() }
    }
}

impl Audio {
    /// What was agreed, said again.
    pub(super) fn agreed(media: &Negotiated, proto: &str, ice: IceAnswer, crypto: Option<Crypto>) -> Self {
        Self {
            proto: proto.to_owned(),
            formats: vec![(media.payload_type.received, media.codec)],
            events: media.telephone_event.iter().chain(&media.other_events).copied().collect(),
            noise: media.comfort_noise.map(|noise| (noise.payload_type.received, media.codec.clock_rate())),
            direction: media.direction,
            ptime_ms: media.ptime.as_millis(),
            rtcp_mux: media.rtcp_mux,
            ice,
            cryptos: crypto.into_iter().collect(),
        }
    }

    /// All we can, with these keys.
    pub(super) fn full(local: &Local, wanted: Direction, cryptos: Vec<Crypto>) -> Self {
        let nothing = Self {
            proto: if cryptos.is_empty() { "RTP/AVP" } else { "RTP/SAVP" }.to_owned(),
            formats: Vec::new(),
            events: Vec::new(),
            noise: None,
            direction: wanted,
            ptime_ms: local.ptime.as_millis(),
            rtcp_mux: false,
            ice: IceAnswer::None,
            cryptos: Vec::new(),
        };
        nothing.widened(local, wanted, cryptos)
    }

    /// With all else that we can behind it, and with these keys; numbers in use keep their meaning (RFC 3264 §8.3.2).
    pub(super) fn widened(&self, local: &Local, wanted: Direction, cryptos: Vec<Crypto>) -> Self {
        let mut wider = Self { direction: wanted, cryptos, ..self.clone() };
        for codec in &local.codecs {
            let preferred = codec.static_payload_type().unwrap_or(FIRST_DYNAMIC);
            if wider.payload_type(*codec).is_none()
                && let Some(number) = wider.free(preferred)
            {
                wider.formats.push((number, *codec));
            }
        }
        for (preferred, clock) in EVENTS {
            let wanted = wider.formats.iter().any(|(_, codec)| codec.clock_rate() == clock);
            if wanted
                && wider.events.iter().all(|event| event.clock != clock)
                && let Some(number) = wider.free(preferred)
            {
                wider.events.push(TelephoneEvent { payload_type: PayloadType::same(number), clock });
            }
        }
        let fits = wider.formats.iter().any(|(_, codec)| codec.clock_rate() == noise::CLOCK);
        if local.comfort_noise == ComfortNoise::Sent && fits && wider.noise.is_none() {
            wider.noise = wider.free(noise::PAYLOAD_TYPE).map(|number| (number, noise::CLOCK));
        }
        wider
    }

    /// The codec we receive under this number.
    pub(super) fn codec(&self, number: u8) -> Option<Codec> {
        self.formats.iter().find(|(own, _)| *own == number).map(|(_, codec)| *codec)
    }

    /// The number we receive this codec under.
    pub(super) fn payload_type(&self, codec: Codec) -> Option<u8> {
        self.formats.iter().find(|(_, own)| *own == codec).map(|(number, _)| *number)
    }

    /// Our key in this suite.
    pub(super) fn crypto(&self, suite: Suite) -> Option<&Crypto> {
        self.cryptos.iter().find(|crypto| crypto.master.suite() == suite)
    }

    fn numbers(&self) -> impl Iterator<Item = u8> {
        let formats = self.formats.iter().map(|(number, _)| *number);
        let events = self.events.iter().map(|event| event.payload_type.received);
        formats.chain(events).chain(self.noise.map(|(number, _)| number))
    }

    /// The preferred number, or a dynamic one that means nothing yet.
    fn free(&self, preferred: u8) -> Option<u8> {
        std::iter::once(preferred).chain(96..=127).find(|number| self.numbers().all(|taken| taken != *number))
    }

    /// The `m=` line and its attributes.
    fn media(&self, address: SocketAddr) -> Media {
        let mut attributes = Vec::new();
        for (payload_type, codec) in &self.formats {
            attributes.push(Attribute::with_value("rtpmap", rtpmap(*payload_type, *codec)));
            if let Some(parameters) = parameters(*codec) {
                attributes.push(Attribute::with_value("fmtp", format!("{payload_type} {parameters}")));
            }
        }
        for TelephoneEvent { payload_type: PayloadType { received, .. }, clock } in &self.events {
            attributes.push(Attribute::with_value("rtpmap", format!("{received} telephone-event/{clock}")));
            attributes.push(Attribute::with_value("fmtp", format!("{received} {DTMF_EVENTS}")));
        }
        if let Some((number, clock)) = self.noise {
            attributes.push(Attribute::with_value("rtpmap", format!("{number} CN/{clock}")));
        }
        attributes.extend(self.cryptos.iter().map(|crypto| Attribute::with_value("crypto", crypto)));
        attributes.push(Attribute::with_value("ptime", self.ptime_ms));
        attributes.push(Attribute::new(self.direction.attribute()));
        if self.rtcp_mux {
            attributes.push(Attribute::new("rtcp-mux"));
        }
        self.ice(address, &mut attributes);
        let numbers: Vec<String> = self.numbers().map(|number| number.to_string()).collect();
        line("audio", address.port(), &self.proto, numbers.join(" "), attributes)
    }

    /// RFC 8839 §5.1, §5.4: one host candidate for RTP, and one for RTCP unless it shares the port.
    fn ice(&self, address: SocketAddr, attributes: &mut Vec<Attribute>) {
        let credentials = match &self.ice {
            IceAnswer::None => return,
            IceAnswer::Mismatch => return attributes.push(Attribute::new("ice-mismatch")),
            IceAnswer::Lite(credentials) => credentials,
        };
        attributes.push(Attribute::with_value("ice-ufrag", &credentials.fragment));
        attributes.push(Attribute::with_value("ice-pwd", &credentials.password));
        let components = if self.rtcp_mux { 1..=1 } else { 1..=2 };
        for component in components {
            let (ip, port) = (address.ip(), address.port().saturating_add(component - 1));
            let priority = HOST_PRIORITY - u32::from(component);
            let candidate = format!("1 {component} UDP {priority} {ip} {port} typ host");
            attributes.push(Attribute::with_value("candidate", candidate));
        }
    }
}

/// The line that refuses a stream: its own, with port zero (RFC 3264 §6).
pub(super) fn refused(stream: &Stream) -> Media {
    line(&stream.media, 0, &stream.proto, stream.formats.clone(), Vec::new())
}

/// A whole description.
pub(super) fn session(local: &Local, version: u64, ours: &Ours) -> Vec<u8> {
    let mut origin = Origin::with_ip_addr(local.session_id, version, local.address.ip());
    origin.set_username("ramal");
    let mut session = Session::new(origin, "ramal");
    session.connection = Some(Connection::from_ip_addr(local.address.ip()));
    session.times = vec![Time { start_time: 0, stop_time: 0, repeats: Vec::new() }];
    if ours.audio.ice.credentials().is_some() {
        session.attributes.push(Attribute::new("ice-lite"));
    }
    session.medias.extend(ours.before.iter().cloned());
    session.medias.push(ours.audio.media(local.address));
    session.medias.extend(ours.after.iter().cloned());
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
        1 => format!("{payload_type} {}/{}", codec.encoding_name(), codec.clock_rate()),
        channels => format!("{payload_type} {}/{}/{channels}", codec.encoding_name(), codec.clock_rate()),
    }
}

/// What the peer should know of our decoder (RFC 7587 §6.1): more than super-wideband would be wasted on us, whose
/// providers speak and hear 24 kHz at the most, and it repairs.
fn parameters(codec: Codec) -> Option<String> {
    match codec {
        Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::L16Narrow | Codec::L16Wide => None,
        Codec::Opus => {
            let rate = codec.sample_rate().hz();
            Some(format!("maxplaybackrate={rate};sprop-maxcapturerate={rate};useinbandfec=1"))
        }
    }
}
