//! Which stream of a peer's description carries the call, and how (RFC 3264 §6.1).
use super::{
    AgreedNoise, ComfortNoise, Direction, Error, Local, Negotiated, PayloadType, Preference, TelephoneEvent,
    crypto::Crypto,
    parse::{Description, Rtpmap, Stream},
    print::Audio,
};
use crate::{
    codec::{Codec, opus},
    noise,
};
use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    time::Duration,
};

/// Below this, headers outweigh speech; peers that ask for less get this.
const SHORTEST_PTIME: Duration = Duration::from_millis(10);
/// Plain RTP, and SRTP. The profiles with an F (RFC 4585, RFC 5124) only let us send feedback: without `a=rtcp-fb` in our
/// answer there is none.
const PLAIN: [&str; 2] = ["RTP/AVP", "RTP/AVPF"];
const SECURE: [&str; 2] = ["RTP/SAVP", "RTP/SAVPF"];
/// Clocks that audio has; durations are computed with them.
const EVENT_CLOCKS: RangeInclusive<u32> = 8_000..=192_000;

/// The stream that carries the call.
#[derive(Debug)]
pub(super) struct Choice<'a> {
    /// Its place among the peer's.
    pub(super) index: usize,
    pub(super) stream: &'a Stream,
    /// The peer's key, if the stream is to be SRTP.
    pub(super) crypto: Option<&'a Crypto>,
    /// Without ICE and keys: those depend on what we say.
    pub(super) media: Negotiated,
}

/// The first stream that can carry the call. `offered` is the stream we offered if this is the answer to it.
pub(super) fn choose<'a>(
    theirs: &'a Description,
    local: &Local,
    wanted: Direction,
    offered: Option<&Audio>,
) -> Result<Choice<'a>, Error> {
    let candidates = candidates(theirs, local)?;
    if local.srtp.is_some() && candidates.iter().all(|(_, stream)| crypto(stream, local, offered).is_none()) {
        return Err(Error::NoCommonSuite);
    }
    let keyed = |(_, stream): &&(usize, &Stream)| local.srtp.is_none() || crypto(stream, local, offered).is_some();
    let found = candidates.iter().filter(keyed).find_map(|(index, stream)| {
        let formats = audio(stream, local, offered);
        formats.split_first().map(|(first, rest)| (*index, *stream, *first, others(rest, first.1)))
    });
    let Some((index, stream, (payload_type, codec), others)) = found else {
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
    let mut events = telephone_events(stream, codec, offered).into_iter();
    let media = Negotiated {
        remote,
        remote_rtcp: if rtcp_mux { remote } else { rtcp_address(stream, ip) },
        rtcp_mux,
        codec,
        payload_type,
        others: if offered.is_some() { others } else { Vec::new() },
        telephone_event: events.next(),
        other_events: if offered.is_some() { events.collect() } else { Vec::new() },
        comfort_noise: comfort_noise(stream, local, codec, offered),
        direction: direction(stream, ip).reversed().and(wanted),
        opus: match codec {
            Codec::Opus => opus::Receiver::parse(stream.parameters(payload_type.sent)),
            Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::L16Narrow | Codec::L16Wide => opus::Receiver::default(),
        },
        ptime: ptime(stream, local, codec),
        ice: None,
        srtp: None,
    };
    Ok(Choice { index, stream, crypto: crypto(stream, local, offered), media })
}

/// Where the peer wants audio, as far as its description can be read: what an answer to it should be able to reach.
pub fn audio_address(description: &[u8]) -> Option<IpAddr> {
    let theirs = Description::parse(description).ok()?;
    let (_, stream) = open_audio(&theirs).find(|(_, stream)| is_of(stream, &PLAIN) || is_of(stream, &SECURE))?;
    stream.address.clone()?.ok().filter(|ip| !ip.is_unspecified())
}

/// Open audio streams over plain RTP, or over SRTP, with their place in the description.
fn candidates<'a>(theirs: &'a Description, local: &Local) -> Result<Vec<(usize, &'a Stream)>, Error> {
    let profiles = if local.srtp.is_some() { SECURE } else { PLAIN };
    let (ours, other): (Vec<_>, Vec<_>) = open_audio(theirs).partition(|(_, stream)| is_of(stream, &profiles));
    if !ours.is_empty() {
        return Ok(ours);
    }
    if other.is_empty() {
        let media: Vec<&str> = theirs.streams.iter().map(|stream| stream.media.as_str()).collect();
        return Err(Error::NoAudio(media.join(", ")));
    }
    let protos: Vec<&str> = other.iter().map(|(_, stream)| stream.proto.as_str()).collect();
    let protos = protos.join(", ");
    Err(if local.srtp.is_some() { Error::NotSecureRtp(protos) } else { Error::NotPlainRtp(protos) })
}

fn open_audio(theirs: &Description) -> impl Iterator<Item = (usize, &Stream)> {
    let streams = theirs.streams.iter().enumerate();
    streams.filter(|(_, stream)| stream.port != 0 && stream.media.eq_ignore_ascii_case("audio"))
}

fn is_of(stream: &Stream, profiles: &[&str]) -> bool {
    profiles.iter().any(|profile| stream.proto.eq_ignore_ascii_case(profile))
}

/// The peer's key: of its offer the first that we understand, since the preferred one comes first (RFC 4568 §4.1); of its
/// answer the one in a suite that we offered.
fn crypto<'a>(stream: &'a Stream, local: &Local, offered: Option<&Audio>) -> Option<&'a Crypto> {
    local.srtp.as_ref()?;
    stream.cryptos.iter().find(|theirs| offered.is_none_or(|audio| audio.crypto(theirs.master.suite()).is_some()))
}

/// The formats of both, the best first, by whose order counts; to our own offer it is the answerer's (RFC 3264 §6.1). What
/// an answer lists beyond our offer is passed over.
fn audio(stream: &Stream, local: &Local, offered: Option<&Audio>) -> Vec<(PayloadType, Codec)> {
    let common = stream.payload_types().filter_map(|sent| {
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
    });
    let mut common: Vec<(PayloadType, Codec)> = common.collect();
    match (local.preference, offered) {
        (Preference::Ours, None) => common.sort_by_key(|(_, codec)| local.codecs.iter().position(|own| own == codec)),
        (Preference::Theirs, _) | (Preference::Ours, Some(_)) => {}
    }
    common
}

/// All but the codec itself, by the numbers we receive.
fn others(rest: &[(PayloadType, Codec)], codec: Codec) -> Vec<(u8, Codec)> {
    let others = rest.iter().filter(|(_, other)| *other != codec);
    others.map(|(payload_type, other)| (payload_type.received, *other)).collect()
}

fn codec(map: &Rtpmap) -> Option<Codec> {
    Codec::ALL.into_iter().find(|codec| {
        map.encoding.eq_ignore_ascii_case(codec.encoding_name())
            && map.clock == codec.clock_rate()
            && map.channels == codec.rtpmap_channels()
    })
}

/// The peer's telephone events, those to send first: at the codec's clock (RFC 4733 §2.1 shares the stream's clock),
/// else at 8 kHz, which is all that some offer beside Opus, else at whatever clock there is: FreeSWITCH drops our keys
/// when they go unanswered.
fn telephone_events(stream: &Stream, codec: Codec, offered: Option<&Audio>) -> Vec<TelephoneEvent> {
    let mut events: Vec<TelephoneEvent> = stream
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
    events.sort_by_key(|event| (event.clock != codec.clock_rate(), event.clock != 8_000));
    events
}

/// RFC 3389 §4: comfort noise under the static payload type, or one that is mapped, and at the clock of the codec. Opus has
/// its own (RFC 7587 §3.1.3).
fn comfort_noise(stream: &Stream, local: &Local, codec: Codec, offered: Option<&Audio>) -> Option<AgreedNoise> {
    let sent = match local.comfort_noise {
        ComfortNoise::Off => return None,
        ComfortNoise::Heard => false,
        ComfortNoise::Sent => true,
    };
    if codec == Codec::Opus {
        return None;
    }
    stream.payload_types().find_map(|number| {
        let clock = match stream.rtpmap(number) {
            Some(map) => map.encoding.eq_ignore_ascii_case("CN").then_some(map.clock)?,
            None => (number == noise::PAYLOAD_TYPE).then_some(noise::CLOCK)?,
        };
        let received = match offered {
            Some(audio) => audio.noise.filter(|(_, own)| *own == clock)?.0,
            None => number,
        };
        let payload_type = PayloadType { sent: number, received };
        (clock == codec.clock_rate()).then_some(AgreedNoise { payload_type, sent })
    })
}

/// What the peer does. The unspecified address is hold as it was before RFC 3264 (§8.4): it takes nothing.
fn direction(stream: &Stream, ip: IpAddr) -> Direction {
    if ip.is_unspecified() { stream.direction.and(Direction::SendOnly) } else { stream.direction }
}

/// What the peer would have (RFC 8866 §6.4), else ours, and no longer than it takes: the longest that the codec can cut
/// (RFC 6716 §2.1.4: an Opus frame lasts 10, 20, 40 or 60 ms; the others take any whole tens), and that a datagram carries
/// in one piece: 50 ms of L16 at 16 kHz are 1,600 bytes.
fn ptime(stream: &Stream, local: &Local, codec: Codec) -> Duration {
    let cuts: &[u64] = match codec {
        Codec::Opus => &[60, 40, 20, 10],
        Codec::L16Wide => &[40, 30, 20, 10],
        Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::L16Narrow => &[60, 50, 40, 30, 20, 10],
    };
    let wanted = stream.ptime.unwrap_or(local.ptime);
    let wanted = stream.max_ptime.map_or(wanted, |longest| longest.min(wanted));
    cuts.iter().map(|ms| Duration::from_millis(*ms)).find(|cut| *cut <= wanted).unwrap_or(SHORTEST_PTIME)
}

fn rtcp_address(stream: &Stream, ip: IpAddr) -> SocketAddr {
    match stream.rtcp {
        Some((port, address)) => SocketAddr::new(address.unwrap_or(ip), port),
        None => SocketAddr::new(ip, stream.port.saturating_add(1)),
    }
}
