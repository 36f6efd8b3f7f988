//! Whole sessions in virtual time.
use super::*;
use crate::{
    audio::{Law, SampleRate},
    codec::{Codec, g711, opus},
    rtp::Packet,
    sdp::{PayloadType, TelephoneEvent},
    testing::{Random, origin},
};

mod codecs;
mod collision;
mod downlink;
mod freeswitch;
mod keys;
mod level;
mod measured;
mod muting;
mod negotiated;
mod noise;
mod prompts;
mod robustness;
mod secure;
mod suppression;
mod taping;
mod turn;
mod uplink;

const PTIME: Duration = Duration::from_millis(20);
const PHONE: &str = "192.0.2.1:4000";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn media(codec: Codec, direction: Direction) -> Negotiated {
    let payload_type = codec.static_payload_type().unwrap_or(102);
    Negotiated {
        remote: address(PHONE),
        remote_rtcp: address("192.0.2.1:4001"),
        codec,
        rtcp_mux: false,
        opus: opus::Receiver::default(),
        payload_type: PayloadType::same(payload_type),
        others: Vec::new(),
        telephone_event: Some(TelephoneEvent { payload_type: PayloadType::same(101), clock: codec.clock_rate() }),
        other_events: Vec::new(),
        comfort_noise: None,
        direction,
        ptime: PTIME,
        ice: None,
        srtp: None,
    }
}

fn config(uplink: AudioFormat, engine: vad::Engine) -> Config {
    Config {
        local: address("192.0.2.2:5000"),
        media: media(Codec::Pcmu, Direction::SendRecv),
        uplink,
        vad: vad::Config { engine, ..vad::Config::default() },
        echo: crate::echo::Policy::Mute,
        seed: 7,
        reorder_window: ms(40),
        max_queued: Duration::from_secs(180),
        patience: Patience {
            warning: Duration::from_secs(5),
            end: Duration::from_secs(30),
            hold: Duration::from_secs(90),
        },
        suppress_noise: false,
        poor_below: 3.6,
        since_1970: Duration::from_secs(1_790_000_000),
    }
}

/// A session, a phone at its other end, and a clock that only the test moves.
struct Call {
    session: Session,
    start: Instant,
    now: Instant,
    /// The phone's next packet.
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    sent: Vec<(Duration, Transmit)>,
    events: Vec<(Duration, Event)>,
}

impl Call {
    fn new(uplink: AudioFormat) -> Self {
        Self::with(config(uplink, vad::Engine::Off))
    }

    fn with(config: Config) -> Self {
        let start = origin();
        let session = Session::new(config, start).expect("a session");
        Self {
            session,
            start,
            now: start,
            sequence: 65_530,
            timestamp: 4_294_967_000,
            ssrc: 9,
            sent: vec![],
            events: vec![],
        }
    }

    /// Lets time pass, waking the session exactly when it asks.
    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some((deadline, reason)) = self.session.poll_timeout()
            && deadline <= end
        {
            self.now = self.now.max(deadline);
            self.session.handle_timeout(self.now);
            let next = self.session.poll_timeout().map(|(at, _)| at);
            assert!(next.is_none_or(|next| next > self.now), "a deadline that does not advance: {reason}");
            self.drain();
        }
        self.now = end;
    }

    fn drain(&mut self) {
        let at = self.now - self.start;
        self.sent.extend(std::iter::from_fn(|| self.session.poll_transmit()).map(|t| (at, t)));
        self.events.extend(std::iter::from_fn(|| self.session.poll_event()).map(|e| (at, e)));
    }

    fn receive(&mut self, from: &str, datagram: &[u8]) {
        self.session.handle_rtp(address(from), datagram, self.now);
        self.drain();
    }

    /// The phone's next packet, as a datagram.
    fn packet(&mut self, payload: &[u8]) -> Vec<u8> {
        let (sequence, timestamp, ssrc) = (self.sequence, self.timestamp, self.ssrc);
        self.sequence = sequence.wrapping_add(1);
        self.timestamp = timestamp.wrapping_add(payload.len() as u32);
        Packet { marker: false, payload_type: 0, sequence, timestamp, ssrc, payload }.to_bytes()
    }

    /// The phone sends a frame, and 20 ms pass.
    fn phone_sends(&mut self, payload: &[u8]) {
        let datagram = self.packet(payload);
        self.receive(PHONE, &datagram);
        self.run(PTIME);
    }

    fn phone_loses(&mut self, payload: &[u8]) {
        self.packet(payload);
        self.run(PTIME);
    }

    /// G.711 bytes that went up.
    fn heard_bytes(&self) -> Vec<u8> {
        let bytes = self.events.iter().filter_map(|(_, event)| match event {
            Event::Audio(Audio::G711 { bytes, .. }) => Some(bytes.clone()),
            _ => None,
        });
        bytes.flatten().collect()
    }

    /// PCM that went up, which is all at this rate.
    fn heard_samples(&self, rate: SampleRate) -> Vec<i16> {
        let samples = self.events.iter().filter_map(|(_, event)| match event {
            Event::Audio(Audio::Pcm(frame)) => {
                assert_eq!(frame.rate, rate);
                Some(frame.samples.clone())
            }
            _ => None,
        });
        samples.flatten().collect()
    }

    fn digits(&self) -> String {
        let digits = self.events.iter().filter_map(|(_, event)| match event {
            Event::Dtmf(digit) => Some(*digit),
            _ => None,
        });
        digits.collect()
    }

    /// RTP that left: when, header, payload.
    fn packets(&self) -> Vec<(Duration, Packet<'_>)> {
        let rtp = self.sent.iter().filter(|(_, transmit)| transmit.channel == Channel::Rtp);
        rtp.map(|(at, transmit)| (*at, Packet::parse(&transmit.bytes).expect("RTP"))).collect()
    }
}

fn mu(bytes: Vec<u8>) -> Audio {
    Audio::G711 { law: Law::Mu, bytes }
}

/// A tone as G.711, from this frame of it on.
fn tone_frame(frame: usize) -> Vec<u8> {
    let samples: Vec<i16> = (frame * 160..(frame + 1) * 160)
        .map(|n| ((n as f64 * 200.0 * std::f64::consts::TAU / 8_000.0).sin() * 8_000.0) as i16)
        .collect();
    g711::encode(Law::Mu, &samples)
}
