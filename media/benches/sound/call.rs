//! A call in virtual time: the session as the server runs it, between a network and a clock that only the bench moves.
use crate::network::{Network, Random};
use media::{
    Audio, AudioFormat, Channel, Config, Event, Frame, Patience, Session, UtteranceId,
    codec::{Codec, Encoder, opus},
    echo,
    rtp::Packet,
    sdp::{Direction, Negotiated, PayloadType},
    vad,
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

pub(crate) const PTIME: Duration = Duration::from_millis(20);
/// Longer than any speech: the phone may be silent.
const FOREVER: Duration = Duration::from_secs(3_600);
/// Longer than whatever is on its way when the speech ends.
const TAIL: Duration = Duration::from_millis(400);

/// What a provider was given, piece by piece.
pub(crate) struct Heard {
    pub(crate) pieces: Vec<(Duration, Audio)>,
}

impl Heard {
    /// All of it in a row.
    pub(crate) fn samples(&self) -> Vec<i16> {
        let pcm = self.pieces.iter().map(|(_, audio)| match audio {
            Audio::Pcm(frame) => frame.samples.clone(),
            Audio::G711 { law, bytes } => media::codec::g711::decode(*law, bytes),
        });
        pcm.flatten().collect()
    }
}

/// The payloads of a phone that says this, in Opus with repair data, as our description asks for it.
pub(crate) fn payloads(codec: Codec, speech: &[i16]) -> Result<Vec<Vec<u8>>, media::codec::Error> {
    let wanted = opus::Receiver { repairs: true, ..opus::Receiver::default() };
    let mut encoder = Encoder::new(codec, wanted)?;
    speech.chunks_exact(codec.sample_rate().samples_in(PTIME)).map(|frame| encoder.encode(frame)).collect()
}

/// What reaches the provider of a phone's packets that the network delivers at these times.
pub(crate) fn uplink(
    codec: Codec,
    format: AudioFormat,
    payloads: &[Vec<u8>],
    arrivals: &[(Duration, usize)],
) -> Result<Heard, media::Error> {
    let start = origin();
    let mut session = Session::new(config(codec, format)?, start)?;
    let mut pieces = Vec::new();
    let end = arrivals.last().map_or(Duration::ZERO, |(at, _)| *at);
    for (at, index) in arrivals {
        advance(&mut session, start, *at, |at, event| keep(&mut pieces, at, event));
        let Some(payload) = payloads.get(*index) else { continue };
        let packet = Packet {
            marker: *index == 0,
            payload_type: payload_type(codec),
            sequence: *index as u16,
            timestamp: codec.ticks_in(PTIME).wrapping_mul(*index as u32),
            ssrc: 1,
            payload,
        };
        session.handle_rtp(phone(), &packet.to_bytes(), start + *at);
        drain(&mut session, *at, |at, event| keep(&mut pieces, at, event));
    }
    // A gap at the very end is not waited for: nothing follows it.
    advance(&mut session, start, end + Duration::from_millis(30), |at, event| keep(&mut pieces, at, event));
    Ok(Heard { pieces })
}

/// The payloads that leave for the phone while the assistant says this, one for each slot.
pub(crate) fn downlink(codec: Codec, speech: &Frame) -> Result<Vec<Vec<u8>>, media::Error> {
    let start = origin();
    let mut session = Session::new(config(codec, AudioFormat::Pcm(codec.sample_rate()))?, start)?;
    session.play(UtteranceId(1), &Audio::Pcm(speech.clone()), start);
    session.finish(UtteranceId(1), start);
    let mut payloads = Vec::new();
    let end = speech.duration() + TAIL;
    while let Some((deadline, _)) = session.poll_timeout()
        && deadline <= start + end
    {
        session.handle_timeout(deadline);
        while let Some(transmit) = session.poll_transmit() {
            if transmit.channel == Channel::Rtp
                && let Ok(packet) = Packet::parse(&transmit.bytes)
            {
                payloads.push(packet.payload.to_vec());
            }
        }
        while session.poll_event().is_some() {}
    }
    Ok(payloads)
}

/// The arrivals of so many packets, one each packet time.
pub(crate) fn carry(network: &Network, packets: usize, seed: u64) -> Vec<(Duration, usize)> {
    network.carry((0..packets as u32).map(|n| PTIME * n), &mut Random::new(seed))
}

fn advance(session: &mut Session, start: Instant, to: Duration, mut tell: impl FnMut(Duration, Event)) {
    while let Some((deadline, _)) = session.poll_timeout()
        && deadline < start + to
    {
        session.handle_timeout(deadline);
        drain(session, deadline - start, &mut tell);
    }
}

fn drain(session: &mut Session, at: Duration, mut tell: impl FnMut(Duration, Event)) {
    while session.poll_transmit().is_some() {}
    while let Some(event) = session.poll_event() {
        tell(at, event);
    }
}

fn keep(pieces: &mut Vec<(Duration, Audio)>, at: Duration, event: Event) {
    if let Event::Audio(audio) = event {
        pieces.push((at, audio));
    }
}

fn config(codec: Codec, uplink: AudioFormat) -> Result<Config, media::Error> {
    Ok(Config {
        local: SocketAddr::from(([192, 0, 2, 2], 5_000)),
        media: Negotiated {
            remote: phone(),
            remote_rtcp: SocketAddr::from(([192, 0, 2, 1], 4_001)),
            codec,
            rtcp_mux: false,
            payload_type: PayloadType::same(payload_type(codec)),
            others: Vec::new(),
            opus: opus::Receiver::default(),
            telephone_event: None,
            other_events: Vec::new(),
            comfort_noise: None,
            direction: Direction::SendRecv,
            ptime: PTIME,
            ice: None,
            srtp: None,
        },
        uplink,
        vad: vad::Config { engine: vad::Engine::Off, ..vad::Config::default() },
        echo: echo::Policy::Pass,
        seed: 1,
        reorder_window: Duration::from_millis(40),
        max_queued: Duration::from_secs(180),
        patience: Patience { warning: FOREVER, end: FOREVER, hold: FOREVER },
        suppress_noise: false,
        poor_below: 1.0,
        since_1970: Duration::ZERO,
    })
}

fn phone() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 4_000))
}

fn payload_type(codec: Codec) -> u8 {
    codec.static_payload_type().unwrap_or(102)
}

/// An arbitrary origin of virtual time.
fn origin() -> Instant {
    Instant::now()
}
