//! A session in virtual time: the assistant talks, the caller's phone sends what it is told to, and what the session
//! heard of it ducks or cuts the assistant as `src/call` does.
use crate::sounds::{PER_MS, Random};
use media::{
    Audio, AudioFormat, Channel, Config, Event, Frame, Law, Patience, SampleRate, Session, Speech, UtteranceId,
    codec::{Codec, g711, opus::Receiver},
    echo::Policy,
    sdp::{Direction, Negotiated, PayloadType},
    vad,
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

/// Longer than any run: the phone may be silent.
const FOREVER: Duration = Duration::from_secs(86_400);
const PACKET: usize = 20 * PER_MS;
/// The caller's packets arrive so long after ours leave.
const PHASE: Duration = Duration::from_millis(7);
/// A packet that comes 7 ms after ours left ends with what was just spoken: 20 ms into what the phone sends, not 7.
const SPOKEN_BEFORE: Duration = Duration::from_millis(13);
const PHONE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 4_000);

/// What the phone sends back of what it plays: clipped as by a small loudspeaker, with the sound of a room behind it, on
/// a clock 100 ppm off, through A-law both ways.
#[derive(Clone, Copy)]
pub(crate) struct Echo {
    pub(crate) db: f32,
    pub(crate) delay_ms: usize,
}

/// What happened, in ms since the first sample the phone sent; each as often as it did.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) ducked: Vec<f64>,
    pub(crate) paused: Vec<f64>,
    pub(crate) cut: Vec<f64>,
    /// When the last packet of the assistant's voice left, if she was paused or cut and has not gone on since.
    pub(crate) silent: Option<f64>,
    /// Of each packet of the phone's: the energy of the echo in it, and whether it went up as silence.
    pub(crate) echo: Vec<f32>,
    pub(crate) muted: Vec<bool>,
}

fn config(vad: vad::Config) -> Config {
    Config {
        local: SocketAddr::new(Ipv4Addr::new(192, 0, 2, 2).into(), 5_000),
        media: Negotiated {
            remote: PHONE,
            remote_rtcp: SocketAddr::new(PHONE.ip(), 4_001),
            rtcp_mux: false,
            codec: Codec::Pcma,
            payload_type: PayloadType::same(8),
            others: Vec::new(),
            telephone_event: None,
            other_events: Vec::new(),
            comfort_noise: None,
            direction: Direction::SendRecv,
            ptime: Duration::from_millis(20),
            ice: None,
            opus: Receiver::default(),
            srtp: None,
        },
        uplink: AudioFormat::G711(Law::A),
        vad,
        echo: Policy::Mute,
        seed: 7,
        reorder_window: Duration::from_millis(40),
        max_queued: Duration::from_secs(180),
        patience: Patience { warning: FOREVER, end: FOREVER, hold: FOREVER },
        suppress_noise: false,
        poor_below: 1.0,
        since_1970: Duration::ZERO,
    }
}

struct Call {
    session: Session,
    start: Instant,
    now: Instant,
    /// What left, as the phone plays it.
    played: Vec<f32>,
    /// She is ducked, paused and cut by what is heard.
    heeds: bool,
    /// She is paused, or was cut.
    hushed: bool,
    outcome: Outcome,
}

/// Lets the assistant say `ours` while the phone sends `theirs` and the echo of what reached it.
pub(crate) fn run(vad: vad::Config, ours: &[i16], theirs: &[i16], echo: Option<Echo>) -> Outcome {
    talk(vad, ours, theirs, echo, true)
}

/// The same with an assistant who talks on, whoever speaks.
pub(crate) fn run_heedless(vad: vad::Config, ours: &[i16], theirs: &[i16], echo: Option<Echo>) -> Outcome {
    talk(vad, ours, theirs, echo, false)
}

fn talk(vad: vad::Config, ours: &[i16], theirs: &[i16], echo: Option<Echo>, heeds: bool) -> Outcome {
    #[expect(clippy::disallowed_methods, reason = "an epoch; only distances from it count")]
    let start = Instant::now();
    let Ok(session) = Session::new(config(vad), start) else { return Outcome::default() };
    let (played, outcome) = (Vec::new(), Outcome::default());
    let mut call = Call { session, start, now: start, played, heeds, hushed: false, outcome };
    let speech = Audio::Pcm(Frame { rate: SampleRate::HZ_8000, samples: ours.to_vec() });
    call.session.play(UtteranceId(1), &speech, start);
    for (index, packet) in theirs.chunks_exact(PACKET).enumerate() {
        call.now = start + Duration::from_millis(20) * index as u32;
        call.session.handle_timeout(call.now);
        call.send();
        call.now += PHASE;
        let echoed: Vec<f32> = (0..PACKET).map(|n| call.echoed(index * PACKET + n, echo)).collect();
        let packet: Vec<i16> =
            packet.iter().zip(&echoed).map(|(sample, echoed)| sample.saturating_add(*echoed as i16)).collect();
        call.outcome.echo.push(echoed.iter().map(|sample| sample * sample).sum());
        call.session.handle_rtp(PHONE, &rtp(index, &packet), call.now);
        call.listen(index);
    }
    call.outcome
}

impl Call {
    /// What the phone's microphone picks up of us in sample `n`.
    fn echoed(&self, n: usize, echo: Option<Echo>) -> f32 {
        let Some(echo) = echo else { return 0.0 };
        let reflected = |after: usize| {
            let when = (n + n / 10_000).checked_sub(echo.delay_ms * PER_MS + after);
            when.and_then(|when| self.played.get(when)).copied().unwrap_or(0.0)
        };
        let mut room = Random::new(5);
        let reflections = (1..30).map(|k| reflected(k * 14) * room.next() * 0.4 * (-(k as f32) / 8.0).exp());
        (reflected(0) + reflections.sum::<f32>()) * 10_f32.powf(echo.db / 20.0)
    }

    fn send(&mut self) {
        while let Some(transmit) = self.session.poll_transmit() {
            let Some(payload) = transmit.bytes.get(12..).filter(|_| transmit.channel == Channel::Rtp) else { continue };
            let samples = g711::decode(Law::A, payload);
            if self.hushed && samples.iter().any(|sample| sample.unsigned_abs() > 16) {
                self.outcome.silent = Some((self.now - self.start + SPOKEN_BEFORE).as_secs_f64() * 1_000.0);
            }
            self.played.extend(samples.iter().map(|sample| (f32::from(*sample) / 12_000.0).tanh() * 12_000.0));
        }
    }

    fn go_on(&mut self) {
        (self.hushed, self.outcome.silent) = (false, None);
        self.session.resume(self.now);
    }

    /// The packet's last sample was spoken when the packet came: that is when things happen, by the caller's clock.
    fn listen(&mut self, index: usize) {
        let at = (index + 1) as f64 * 20.0;
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Audio(Audio::G711 { law, bytes }) => {
                    self.outcome.muted.push(bytes.iter().all(|byte| *byte == g711::silence(law)));
                }
                Event::Speech(_) if !self.heeds => {}
                Event::Speech(Speech::Suspected) => {
                    self.outcome.ducked.push(at);
                    self.session.duck(self.now);
                }
                Event::Speech(Speech::Confirmed) => {
                    self.outcome.paused.push(at);
                    self.hushed = true;
                    self.session.pause(self.now);
                }
                Event::Speech(Speech::Refuted | Speech::Yielded) => self.go_on(),
                Event::Speech(Speech::Insisted) => {
                    self.outcome.cut.push(at);
                    self.hushed = true;
                    self.session.cut(self.now);
                }
                _ => {}
            }
        }
    }
}

fn rtp(index: usize, samples: &[i16]) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend((index as u16).to_be_bytes());
    packet.extend(((index * PACKET) as u32).to_be_bytes());
    packet.extend([0, 0, 0, 9]);
    packet.extend(g711::encode(Law::A, samples));
    packet
}
