//! Which stream of a peer's description carries the call, and how (RFC 3264 §6.1).
use super::{
    Direction, Error, Local, Negotiated, PayloadType, TelephoneEvent,
    parse::{Description, Rtpmap, Stream},
    print::Audio,
};
use crate::codec::Codec;
use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    time::Duration,
};

/// Below this, headers outweigh speech; peers that ask for less get this.
const SHORTEST_PTIME: Duration = Duration::from_millis(10);
/// Clocks that audio has; durations are computed with them.
const EVENT_CLOCKS: RangeInclusive<u32> = 8_000..=192_000;

/// The stream that carries the call.
#[derive(Debug)]
pub(super) struct Choice<'a> {
    /// Its place among the peer's.
    pub(super) index: usize,
    pub(super) stream: &'a Stream,
    /// Without ICE: that depends on what we say.
    pub(super) media: Negotiated,
}

/// The first stream that can carry the call. `offered` is the stream we offered if this is the answer to it.
pub(super) fn choose<'a>(
    theirs: &'a Description,
    local: &Local,
    wanted: Direction,
    offered: Option<&Audio>,
) -> Result<Choice<'a>, Error> {
    let candidates = candidates(theirs)?;
    let found = candidates.iter().find_map(|(index, stream)| {
        audio(stream, local, offered).map(|(payload_type, codec)| (*index, *stream, payload_type, codec))
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
    let ours = local.address.ip();
    // The unspecified address asks for nothing to be sent, in whatever version it is written.
    if ip.is_ipv4() != ours.is_ipv4() && !ip.is_unspecified() {
        return Err(Error::OtherIpVersion { theirs: ip, ours });
    }
    let remote = SocketAddr::new(ip, stream.port);
    // RFC 5761 §5.1.1: only what was offered can be agreed on.
    let rtcp_mux = stream.rtcp_mux && offered.is_none_or(|audio| audio.rtcp_mux);
    let media = Negotiated {
        remote,
        remote_rtcp: if rtcp_mux { remote } else { rtcp_address(stream, ip) },
        rtcp_mux,
        codec,
        payload_type,
        telephone_event: telephone_event(stream, codec, offered),
        direction: direction(stream, ip).reversed().and(wanted),
        ptime: ptime(stream, local),
        ice: None,
    };
    Ok(Choice { index, stream, media })
}

/// Where the peer wants audio, as far as its description can be read: what an answer to it should be able to reach.
pub fn audio_address(description: &[u8]) -> Option<IpAddr> {
    let theirs = Description::parse(description).ok()?;
    let (_, stream) = *candidates(&theirs).ok()?.first()?;
    stream.address.clone()?.ok().filter(|ip| !ip.is_unspecified())
}

/// Open audio streams over plain RTP, with their place in the description. `RTP/AVPF` (RFC 4585) only lets us send
/// feedback: without `a=rtcp-fb` in our answer there is none.
fn candidates(theirs: &Description) -> Result<Vec<(usize, &Stream)>, Error> {
    let open_audio = theirs
        .streams
        .iter()
        .enumerate()
        .filter(|(_, stream)| stream.port != 0 && stream.media.eq_ignore_ascii_case("audio"));
    let is_plain = |proto: &str| ["RTP/AVP", "RTP/AVPF"].iter().any(|plain| proto.eq_ignore_ascii_case(plain));
    let (plain, other): (Vec<_>, Vec<_>) = open_audio.partition(|(_, stream)| is_plain(&stream.proto));
    if !plain.is_empty() {
        return Ok(plain);
    }
    if other.is_empty() {
        let media: Vec<&str> = theirs.streams.iter().map(|stream| stream.media.as_str()).collect();
        return Err(Error::NoAudio(media.join(", ")));
    }
    let protos: Vec<&str> = other.iter().map(|(_, stream)| stream.proto.as_str()).collect();
    Err(Error::NotPlainRtp(protos.join(", ")))
}

/// The peer's best format that is also ours (RFC 3264 §6.1 lets the answerer choose; the peer's order costs it no
/// transcoding). What an answer lists beyond our offer is passed over.
fn audio(stream: &Stream, local: &Local, offered: Option<&Audio>) -> Option<(PayloadType, Codec)> {
    stream.payload_types().find_map(|sent| {
        let codec = match (stream.rtpmap(sent), offered) {
            (Some(map), _) => codec(map)?,
            // RFC 3551 §6: static types need no mapping; an answer may also leave out what our offer said.
            (None, Some(audio)) => audio.codec(sent).or_else(|| Codec::of_static(sent))?,
            (None, None) => Codec::of_static(sent)?,
        };
        let received = match offered {
            Some(audio) => audio.payload_type(codec)?,
            None => sent,
        };
        local.codecs.contains(&codec).then_some((PayloadType { sent, received }, codec))
    })
}

fn codec(map: &Rtpmap) -> Option<Codec> {
    Codec::ALL.into_iter().find(|codec| {
        map.encoding.eq_ignore_ascii_case(codec.encoding_name())
            && map.clock == codec.clock_rate()
            && map.channels == codec.rtpmap_channels()
    })
}

/// The peer's telephone events: at the codec's clock (RFC 4733 §2.1 shares the stream's clock), else at 8 kHz, which is
/// all that some offer beside Opus, else at whatever clock there is: FreeSWITCH drops our keys when they go
/// unanswered.
fn telephone_event(stream: &Stream, codec: Codec, offered: Option<&Audio>) -> Option<TelephoneEvent> {
    let events: Vec<TelephoneEvent> = stream
        .payload_types()
        .filter_map(|sent| {
            let clock = match stream.rtpmap(sent) {
                Some(map) => map.encoding.eq_ignore_ascii_case("telephone-event").then_some(map.clock)?,
                None => offered?.events.iter().find(|event| event.payload_type.received == sent)?.clock,
            };
            let received = match offered {
                Some(audio) => audio.events.iter().find(|event| event.clock == clock)?.payload_type.received,
                None => sent,
            };
            Some(TelephoneEvent { payload_type: PayloadType { sent, received }, clock })
        })
        .filter(|event| EVENT_CLOCKS.contains(&event.clock))
        .collect();
    let at = |clock| events.iter().find(|event| event.clock == clock);
    at(codec.clock_rate()).or_else(|| at(8_000)).or_else(|| events.first()).copied()
}

/// What the peer does. The unspecified address is hold as it was before RFC 3264 (§8.4): it takes nothing.
fn direction(stream: &Stream, ip: IpAddr) -> Direction {
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
