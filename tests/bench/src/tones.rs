//! Phones that are told apart by pitch: each says a tone of its own, and notes how high what it hears is.
use crate::{
    arrival,
    phones::{Line, Packet, Sound},
};
use anyhow::{Context, Result, anyhow};
use std::{
    f64::consts::TAU,
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const PTIME: Duration = Duration::from_millis(20);
/// A packet of G.711 at 8 kHz.
const SAMPLES: usize = 160;
const RATE: f64 = 8_000.0;
/// The tone of the first phone, Hz …
const LOWEST: f64 = 400.0;
/// … and how much higher that of each next one is; a hundred end within the telephone band.
const STEP: f64 = 25.0;
/// A caller says a tone every so often …
const TURN: Duration = Duration::from_millis(4_000);
/// … for so long, and listens for the rest.
const SAYS: Duration = Duration::from_millis(1_000);
/// From one phone's turns to those of the next.
const APART: Duration = Duration::from_millis(40);
/// Below this a packet is silence, in 16-bit steps.
const LOUD: f64 = 500.0;
/// A quarter of the tones' peak.
const WELL: u16 = 2_000;
/// What is shorter is no answer but a remainder of one, packets.
const SHORTEST: u32 = 15;
/// So far from its own tone a phone may hear, Hz: less than half of the way to the next.
const OFF: f64 = 10.0;

/// What one phone heard of the answers to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    /// Turns in which it spoke.
    pub(crate) asked: usize,
    /// Answers at its own pitch.
    pub(crate) own: usize,
    /// The pitches of all others, Hz.
    pub(crate) strange: Vec<f64>,
}

/// All phones.
#[derive(Debug)]
pub(crate) struct Tones {
    phones: Arc<Vec<Phone>>,
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Vec<(Line, Answers)>>,
}

#[derive(Debug)]
struct Phone {
    socket: UdpSocket,
    remote: OnceLock<SocketAddr>,
}

/// A sound that goes on.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    packets: u32,
    samples: u32,
    was_low: bool,
    rises: u32,
    /// Of the first rise from well below zero and of the last; a packet at either end may be silence in part.
    between: (u32, u32),
}

impl Run {
    fn hear(&mut self, samples: &[i16]) {
        self.packets += 1;
        for sample in samples {
            // What a resampler adds where a tone sets in passes zero, too, but is small.
            let is_well = sample.unsigned_abs() > WELL;
            if self.was_low && is_well && *sample > 0 {
                let first = if self.rises == 0 { self.samples } else { self.between.0 };
                self.between = (first, self.samples);
                self.rises += 1;
            }
            self.was_low = if is_well { *sample < 0 } else { self.was_low };
            self.samples += 1;
        }
    }

    fn hz(self) -> f64 {
        let samples = self.between.1 - self.between.0;
        f64::from(self.rises.saturating_sub(1)) * RATE / f64::from(samples.max(1))
    }
}

/// What the thread knows of a phone.
#[derive(Debug, Default)]
struct Ear {
    line: Line,
    answers: Answers,
    /// It is saying its tone, or the rest of one that began before its call.
    says: bool,
    run: Run,
}

impl Tones {
    /// So many phones that wait for their call.
    pub(crate) fn start(count: usize) -> Result<Self> {
        let phone = |_| -> Result<Phone> {
            let socket = UdpSocket::bind("127.0.0.1:0").context("an RTP socket for a phone")?;
            socket.set_nonblocking(true)?;
            arrival::note_arrivals(&socket)?;
            Ok(Phone { socket, remote: OnceLock::new() })
        };
        let phones = Arc::new((0..count).map(phone).collect::<Result<Vec<_>>>()?);
        let stop = Arc::new(AtomicBool::new(false));
        let (of_thread, stopping) = (Arc::clone(&phones), Arc::clone(&stop));
        let thread = thread::Builder::new().name("tones".into()).spawn(move || run(&of_thread, &stopping))?;
        Ok(Self { phones, stop, thread })
    }

    /// The RTP port of a phone.
    pub(crate) fn port(&self, phone: usize) -> Result<u16> {
        Ok(self.phones.get(phone).context("no such phone")?.socket.local_addr()?.port())
    }

    /// The call of a phone was answered: it sends there from here on.
    pub(crate) fn connect(&self, phone: usize, remote: SocketAddr) {
        if let Some(phone) = self.phones.get(phone) {
            phone.remote.get_or_init(|| remote);
        }
    }

    /// Stops all, and gives what they noted.
    pub(crate) fn stop(self) -> Result<Vec<(Line, Answers)>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the phones' thread panicked"))
    }
}

/// The tone of a phone, Hz.
fn pitch(phone: usize) -> f64 {
    LOWEST + STEP * phone as f64
}

/// One thread for all: each 20 ms every phone sends, and hears what came.
fn run(phones: &[Phone], stop: &AtomicBool) -> Vec<(Line, Answers)> {
    let mut ears: Vec<Ear> = phones.iter().map(|_| Ear::default()).collect();
    let tones: Vec<Vec<u8>> = (0..phones.len()).map(|phone| tone(pitch(phone))).collect();
    let epoch = Instant::now();
    for slot in 0_u32.. {
        thread::sleep((epoch + PTIME * slot).saturating_duration_since(Instant::now()));
        if stop.load(Ordering::Relaxed) {
            break;
        }
        for (number, ((phone, ear), tone)) in phones.iter().zip(&mut ears).zip(&tones).enumerate() {
            ear.hear(number, &phone.socket);
            if let Some(remote) = phone.remote.get() {
                let said = said(number, slot);
                ear.answers.asked += usize::from(said.is_some() && !ear.says);
                ear.says = said.is_some();
                let sent = ear.line.sent.len();
                let payload = said.and_then(|packet| tone.chunks(SAMPLES).nth(packet)).unwrap_or(&[0xff; SAMPLES]);
                // A packet the kernel does not take is lost: nobody counts it here.
                let _ = phone.socket.send_to(&packet(number, sent as u32, payload), remote);
                ear.line.sent.push(Instant::now());
            }
        }
    }
    ears.into_iter().enumerate().map(|(number, ear)| ear.end(number)).collect()
}

/// Which packet of its tone a phone says in this slot.
fn said(phone: usize, slot: u32) -> Option<usize> {
    let at = PTIME * slot;
    let into = at.checked_sub(APART * phone as u32)?.as_millis() % TURN.as_millis();
    (into < SAYS.as_millis()).then_some((into / PTIME.as_millis()) as usize)
}

/// A turn of this tone in µ-law, at a quarter of full scale.
fn tone(hz: f64) -> Vec<u8> {
    let samples = (SAYS.as_secs_f64() * RATE) as usize;
    (0..samples).map(|n| ulaw(((n as f64 * TAU * hz / RATE).sin() * 8_000.0) as i16)).collect()
}

/// ITU-T G.711, by its definition: sign, segment, step.
fn ulaw(sample: i16) -> u8 {
    let magnitude = (i32::from(sample).abs() + 132).min(32_767);
    let segment = (magnitude.ilog2() - 7) as i32;
    let step = (magnitude >> (segment + 3)) & 0xf;
    !((i32::from(sample < 0) << 7 | segment << 4 | step) as u8)
}

fn linear(code: u8) -> i16 {
    let (segment, step) = (i32::from(!code >> 4 & 7), i32::from(!code & 0xf));
    let magnitude = ((2 * step + 33) << (segment + 2)) - 132;
    (if code & 0x80 == 0 { -magnitude } else { magnitude }) as i16
}

/// RFC 3550 §5.1: version 2, payload type 0 (PCMU).
fn packet(phone: usize, number: u32, payload: &[u8]) -> Vec<u8> {
    let timestamp = number.wrapping_mul(SAMPLES as u32);
    let (sequence, source) = ((number as u16).to_be_bytes(), (phone as u32 + 1).to_be_bytes());
    [&[0x80, 0][..], &sequence, &timestamp.to_be_bytes(), &source, payload].concat()
}

impl Ear {
    fn hear(&mut self, number: usize, socket: &UdpSocket) {
        let mut buffer = [0; 2_048];
        loop {
            let received = match arrival::receive(socket, &mut buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // After the call an ICMP refusal may come back for our last packet.
                Err(_) => continue,
            };
            // RFC 5761 §4: RTCP is no sound; it goes to the port after that of RTP, which may be another phone's.
            let [_, kind, s0, s1, t0, t1, t2, t3, _, _, _, _, payload @ ..] =
                buffer.get(..received.length).unwrap_or_default()
            else {
                continue;
            };
            if (192..=223).contains(kind) {
                continue;
            }
            let (sequence, timestamp) = (u16::from_be_bytes([*s0, *s1]), u32::from_be_bytes([*t0, *t1, *t2, *t3]));
            self.line.heard.push(Packet { at: received.at, sequence, timestamp, sound: Sound::Changed });
            let samples: Vec<i16> = payload.iter().map(|code| linear(*code)).collect();
            self.listen(number, &samples);
        }
    }

    fn listen(&mut self, number: usize, samples: &[i16]) {
        let power = samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len().max(1) as f64;
        if power.sqrt() < LOUD {
            return self.judge(number);
        }
        self.run.hear(samples);
    }

    /// A sound is over.
    fn judge(&mut self, number: usize) {
        let run = std::mem::take(&mut self.run);
        if run.packets < SHORTEST {
            return;
        }
        let hz = run.hz();
        if (hz - pitch(number)).abs() <= OFF { self.answers.own += 1 } else { self.answers.strange.push(hz) }
    }

    fn end(mut self, number: usize) -> (Line, Answers) {
        self.judge(number);
        (self.line, self.answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_survives_its_code() {
        for sample in [-32_000_i16, -8_000, -500, -8, 0, 8, 500, 8_000, 32_000] {
            let (there, back) = (f64::from(sample), f64::from(linear(ulaw(sample))));
            assert!((there - back).abs() <= there.abs() / 16.0 + 8.0, "{sample} becomes {back}");
        }
    }

    #[test]
    fn a_phone_knows_its_own_tone_from_that_of_its_neighbour() {
        let heard = |number: usize, hz: f64| {
            let mut ear = Ear::default();
            let samples: Vec<i16> = tone(hz).iter().map(|code| linear(*code)).collect();
            samples.chunks(SAMPLES).for_each(|packet| ear.listen(number, packet));
            ear.end(number).1
        };
        for number in [0, 17, 99] {
            assert_eq!(heard(number, pitch(number)).own, 1);
            let strange = heard(number, pitch(number + 1));
            assert_eq!((strange.own, strange.strange.len()), (0, 1), "{strange:?}");
        }
    }

    #[test]
    fn phones_speak_in_turn() {
        assert_eq!([said(0, 0), said(0, 49), said(0, 50), said(0, 200)], [Some(0), Some(49), None, Some(0)]);
        assert_eq!([said(1, 1), said(1, 2)], [None, Some(0)]);
    }
}
