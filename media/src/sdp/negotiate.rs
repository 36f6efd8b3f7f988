//! Offer and answer, RFC 3264.
use super::{
    Direction, Error, Local, Negotiated, TelephoneEvent,
    parse::{Description, Stream},
    print::{self, Audio},
};
use crate::codec::Codec;
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Our dynamic payload types, those that most peers use too.
const OPUS_PAYLOAD_TYPE: u8 = 96;
const EVENT_8000: TelephoneEvent = TelephoneEvent { payload_type: 101, clock: 8_000 };
const EVENT_48000: TelephoneEvent = TelephoneEvent { payload_type: 102, clock: 48_000 };
/// Below this, headers outweigh speech; peers that ask for less get this.
const SHORTEST_PTIME: Duration = Duration::from_millis(10);

/// An answer and what it settles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The answer, `application/sdp`.
    pub sdp: Vec<u8>,
    /// What it settles.
    pub media: Negotiated,
}

/// Answers an offer: every stream in its order, the first usable one open, all others refused (RFC 3264 §6). `wanted`
/// is what we would do if the peer let us: [`Direction::SendRecv`] unless we hold.
///
/// # Errors
/// An offer that cannot be read, or that has nothing for us; [`Error::sip_status`] tells which.
pub fn answer(offer: &[u8], local: &Local, wanted: Direction) -> Result<Agreed, Error> {
    let description = Description::parse(offer)?;
    let (chosen, media) = choose(&description, local, wanted, &Mappings::Theirs)?;
    let lines = description.streams.iter().enumerate().map(|(index, stream)| {
        if index == chosen { Audio::agreed(&media).media(local) } else { print::refused(stream) }
    });
    Ok(Agreed { sdp: print::session(local, lines.collect()), media })
}

/// A first offer: one audio stream, every codec of ours, telephone events at the clock of each.
pub fn offer(local: &Local, wanted: Direction) -> Vec<u8> {
    let has = |clock| local.codecs.iter().any(|codec| codec.clock_rate() == clock);
    let audio = Audio {
        formats: local.codecs.iter().map(|codec| (own_payload_type(*codec), *codec)).collect(),
        events: [EVENT_8000, EVENT_48000].into_iter().filter(|event| has(event.clock)).collect(),
        direction: wanted,
        ptime_ms: local.ptime.as_millis(),
    };
    print::session(local, vec![audio.media(local)])
}

/// An offer within a running session, to hold, resume or move: what was agreed keeps its codec and its payload types
/// (RFC 3264 §8.3.2).
pub fn reoffer(local: &Local, agreed: &Negotiated, wanted: Direction) -> Vec<u8> {
    let audio = Audio { direction: wanted, ..Audio::agreed(agreed) };
    print::session(local, vec![audio.media(local)])
}

/// Reads the answer to an offer of ours that asked for `wanted`.
///
/// # Errors
/// An answer that cannot be read, refuses the stream, or has no codec that we offered.
pub fn accept(local: &Local, wanted: Direction, answer: &[u8]) -> Result<Negotiated, Error> {
    let description = Description::parse(answer)?;
    choose(&description, local, wanted, &Mappings::Ours).map(|(_, media)| media)
}

/// Whose payload type a number without `a=rtpmap` is.
enum Mappings {
    /// In an offer only RFC 3551's assignments need no mapping.
    Theirs,
    /// An answer may leave out what our offer said.
    Ours,
}

impl Mappings {
    fn unmapped(&self, payload_type: u8) -> Option<Codec> {
        match (self, payload_type) {
            (_, 0) => Some(Codec::Pcmu),
            (_, 8) => Some(Codec::Pcma),
            (Self::Ours, OPUS_PAYLOAD_TYPE) => Some(Codec::Opus),
            (Self::Theirs | Self::Ours, _) => None,
        }
    }
}

fn own_payload_type(codec: Codec) -> u8 {
    codec.static_payload_type().unwrap_or(OPUS_PAYLOAD_TYPE)
}

/// The first stream that can carry the call, by its place, and how.
fn choose(
    description: &Description,
    local: &Local,
    wanted: Direction,
    mappings: &Mappings,
) -> Result<(usize, Negotiated), Error> {
    let candidates = candidates(description)?;
    let found = candidates.iter().find_map(|(index, stream)| {
        codec(stream, local, mappings).map(|(number, codec)| (*index, *stream, number, codec))
    });
    let Some((index, stream, payload_type, codec)) = found else {
        let formats: Vec<&str> = candidates.iter().map(|(_, stream)| stream.formats.as_str()).collect();
        return Err(Error::NoCommonCodec(formats.join(", ")));
    };
    let ip = match &stream.address {
        Some(Ok(ip)) => *ip,
        Some(Err(text)) => return Err(Error::NotAnIpAddress(text.clone())),
        None => return Err(Error::NoAddress),
    };
    let media = Negotiated {
        remote: SocketAddr::new(ip, stream.port),
        remote_rtcp: rtcp_address(stream, ip),
        codec,
        payload_type,
        telephone_event: telephone_event(stream, codec),
        direction: theirs(stream, ip).reversed().and(wanted),
        ptime: ptime(stream, local),
    };
    Ok((index, media))
}

/// Open audio streams over plain RTP, with their place in the description.
fn candidates(description: &Description) -> Result<Vec<(usize, &Stream)>, Error> {
    let open_audio = description
        .streams
        .iter()
        .enumerate()
        .filter(|(_, stream)| stream.port != 0 && stream.media.eq_ignore_ascii_case("audio"));
    let (plain, other): (Vec<_>, Vec<_>) =
        open_audio.partition(|(_, stream)| stream.proto.eq_ignore_ascii_case("RTP/AVP"));
    if !plain.is_empty() {
        return Ok(plain);
    }
    if other.is_empty() {
        let media: Vec<&str> = description.streams.iter().map(|stream| stream.media.as_str()).collect();
        return Err(Error::NoAudio(media.join(", ")));
    }
    let protos: Vec<&str> = other.iter().map(|(_, stream)| stream.proto.as_str()).collect();
    Err(Error::NotPlainRtp(protos.join(", ")))
}

/// The peer's best format that is also ours (RFC 3264 §6.1 lets the answerer choose; the peer's order costs it no
/// transcoding).
fn codec(stream: &Stream, local: &Local, mappings: &Mappings) -> Option<(u8, Codec)> {
    stream.payload_types().find_map(|payload_type| {
        let codec = match stream.rtpmap(payload_type) {
            Some(map) => [Codec::Pcmu, Codec::Pcma, Codec::Opus].into_iter().find(|codec| {
                map.encoding.eq_ignore_ascii_case(codec.encoding_name())
                    && map.clock == codec.clock_rate()
                    && map.channels == codec.rtpmap_channels()
            }),
            None => mappings.unmapped(payload_type),
        };
        codec.filter(|codec| local.codecs.contains(codec)).map(|codec| (payload_type, codec))
    })
}

/// The peer's telephone events at the codec's clock (RFC 4733 §2.1 shares the stream's clock), or at 8 kHz, which is
/// all that some offer beside Opus.
fn telephone_event(stream: &Stream, codec: Codec) -> Option<TelephoneEvent> {
    let at = |clock: u32| {
        stream.payload_types().find(|payload_type| {
            stream
                .rtpmap(*payload_type)
                .is_some_and(|map| map.encoding.eq_ignore_ascii_case("telephone-event") && map.clock == clock)
        })
    };
    [codec.clock_rate(), 8_000]
        .into_iter()
        .find_map(|clock| at(clock).map(|payload_type| TelephoneEvent { payload_type, clock }))
}

/// What the peer does. The unspecified address is hold as it was before RFC 3264 (§8.4): it takes nothing.
fn theirs(stream: &Stream, ip: IpAddr) -> Direction {
    if ip.is_unspecified() { stream.direction.and(Direction::SendOnly) } else { stream.direction }
}

/// Ours, unless the peer takes only shorter packets: then whole tens of milliseconds, which every codec can cut.
fn ptime(stream: &Stream, local: &Local) -> Duration {
    let limit = stream.max_ptime.map(|longest| longest.as_millis() as u64 / 10 * 10);
    limit.map_or(local.ptime, |limit| Duration::from_millis(limit).max(SHORTEST_PTIME).min(local.ptime))
}

fn rtcp_address(stream: &Stream, ip: IpAddr) -> SocketAddr {
    match stream.rtcp {
        Some((port, address)) => SocketAddr::new(address.unwrap_or(ip), port),
        None => SocketAddr::new(ip, stream.port.saturating_add(1)),
    }
}
