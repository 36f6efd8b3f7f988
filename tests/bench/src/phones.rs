//! The phones' audio: every phone sends a marked packet each 20 ms on an absolute grid, and notes all that arrives.
use crate::{
    arrival,
    speech::Voice,
    stamp::{BLOCK, SILENCE, Stamp, is_silent},
};
use anyhow::{Context, Result, anyhow};
use std::{
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    ops::Range,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const PTIME: Duration = Duration::from_millis(20);
/// How often received packets are collected; when they arrived, the kernel has noted.
const COLLECT: Duration = Duration::from_millis(20);
/// RFC 3550 §5.1.
const RTP_HEADER: usize = 12;

/// When each caller speaks; written by the provider's script, which knows when it is the caller's turn.
#[derive(Debug)]
pub(crate) struct Floors {
    origin: Instant,
    until: Vec<AtomicU64>,
}

impl Floors {
    /// Nobody speaks.
    pub(crate) fn new(phones: usize) -> Self {
        Self { origin: Instant::now(), until: (0..phones).map(|_| AtomicU64::new(0)).collect() }
    }

    /// The caller speaks until then.
    pub(crate) fn give(&self, phone: u16, until: Instant) {
        if let Some(floor) = self.until.get(usize::from(phone)) {
            floor.store(until.saturating_duration_since(self.origin).as_micros() as u64, Ordering::Relaxed);
        }
    }

    fn speaks(&self, phone: usize, now: Instant) -> bool {
        let until = self.until.get(phone).map_or(0, |floor| floor.load(Ordering::Relaxed));
        (now.saturating_duration_since(self.origin).as_micros() as u64) < until
    }
}

/// What a packet sounds like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sound {
    Silence,
    Marked(Stamp),
    /// Not silence, and the mark is gone: a fade.
    Changed,
}

/// One packet from the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) at: Instant,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) sound: Sound,
}

/// What one phone did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    /// When each packet left, by its number.
    pub(crate) sent: Vec<Instant>,
    /// What arrived, in order.
    pub(crate) heard: Vec<Packet>,
}

#[derive(Debug)]
struct Phone {
    number: usize,
    socket: UdpSocket,
    remote: OnceLock<SocketAddr>,
}

/// All phones, sending and receiving.
#[derive(Debug)]
pub(crate) struct Phones {
    phones: Arc<Vec<Phone>>,
    stop: Arc<AtomicBool>,
    sender: thread::JoinHandle<Vec<Vec<Instant>>>,
    receiver: thread::JoinHandle<Vec<Vec<Packet>>>,
}

impl Phones {
    /// Phones with these numbers, by which their packets are known, that wait for their call.
    pub(crate) fn start(numbers: Range<usize>, voice: Voice, floors: Arc<Floors>) -> Result<Self> {
        let phones = numbers.map(phone).collect::<Result<Vec<_>>>()?;
        let (phones, stop) = (Arc::new(phones), Arc::new(AtomicBool::new(false)));
        let sender = {
            let (phones, stop) = (Arc::clone(&phones), Arc::clone(&stop));
            let body = move || send(&phones, &voice, &floors, &stop);
            thread::Builder::new().name("phones-send".into()).spawn(body)?
        };
        let receiver = {
            let (phones, stop) = (Arc::clone(&phones), Arc::clone(&stop));
            thread::Builder::new().name("phones-receive".into()).spawn(move || collect(&phones, &stop))?
        };
        Ok(Self { phones, stop, sender, receiver })
    }

    /// The RTP port of a phone, counted from the first of these.
    pub(crate) fn port(&self, phone: usize) -> Result<u16> {
        let phone = self.phones.get(phone).context("no such phone")?;
        Ok(phone.socket.local_addr()?.port())
    }

    /// The call of a phone was answered: it sends there from here on.
    pub(crate) fn connect(&self, phone: usize, remote: SocketAddr) {
        if let Some(phone) = self.phones.get(phone) {
            phone.remote.get_or_init(|| remote);
        }
    }

    /// Stops all, and gives what they noted.
    pub(crate) fn stop(self) -> Result<Vec<Line>> {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.sender.join().map_err(|_| anyhow!("the sending thread panicked"))?;
        let heard = self.receiver.join().map_err(|_| anyhow!("the receiving thread panicked"))?;
        Ok(sent.into_iter().zip(heard).map(|(sent, heard)| Line { sent, heard }).collect())
    }
}

fn phone(number: usize) -> Result<Phone> {
    let socket = UdpSocket::bind("127.0.0.1:0").context("an RTP socket for a phone")?;
    socket.set_nonblocking(true)?;
    arrival::note_arrivals(&socket)?;
    Ok(Phone { number, socket, remote: OnceLock::new() })
}

/// Phones take turns within each 20 ms, so that the server is not asked for everything at once. Those of the same
/// millisecond send together: more wake-ups than that cost more than the packets.
fn send(phones: &[Phone], voice: &Voice, floors: &Floors, stop: &AtomicBool) -> Vec<Vec<Instant>> {
    let mut sent = vec![Vec::new(); phones.len()];
    let epoch = Instant::now();
    let between = PTIME / phones.len().max(1) as u32;
    let mut packet = [0; RTP_HEADER + BLOCK];
    for slot in 0_u32.. {
        for (place, (phone, log)) in phones.iter().zip(&mut sent).enumerate() {
            let turn = (between * place as u32).as_millis() as u64;
            let wait = (epoch + PTIME * slot + Duration::from_millis(turn)).saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                thread::sleep(wait);
            }
            if stop.load(Ordering::Relaxed) {
                return sent;
            }
            let Some(remote) = phone.remote.get() else { continue };
            let now = Instant::now();
            let number = phone.number;
            let block =
                if floors.speaks(number, now) { voice.block(slot as usize + number * 50) } else { &[SILENCE; BLOCK] };
            write(&mut packet, number, log.len() as u32, block);
            log.push(Instant::now());
            // A packet the kernel does not take is missing at the other end, and counted there.
            let _ = phone.socket.send_to(&packet, remote);
        }
    }
    sent
}

/// RFC 3550 §5.1: version 2, payload type 0 (PCMU).
fn write(packet: &mut [u8; RTP_HEADER + BLOCK], phone: usize, number: u32, block: &[u8]) {
    let (header, payload) = packet.split_at_mut(RTP_HEADER);
    let timestamp = number.wrapping_mul(BLOCK as u32);
    let fields =
        [&[0x80, 0][..], &(number as u16).to_be_bytes(), &timestamp.to_be_bytes(), &(phone as u32 + 1).to_be_bytes()];
    header.copy_from_slice(&fields.concat());
    payload.copy_from_slice(block);
    Stamp { source: phone as u16, number }.write(payload);
}

fn collect(phones: &[Phone], stop: &AtomicBool) -> Vec<Vec<Packet>> {
    let mut heard = vec![Vec::new(); phones.len()];
    let mut buffer = [0; 2_048];
    loop {
        // Looked at before the last round, so that nothing which arrived before is left behind.
        let last = stop.load(Ordering::Relaxed);
        for (phone, log) in phones.iter().zip(&mut heard) {
            loop {
                match arrival::receive(&phone.socket, &mut buffer) {
                    Ok(received) => log.extend(read(buffer.get(..received.length).unwrap_or_default(), received.at)),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // After the call an ICMP refusal may come back for our last packet.
                    Err(_) => {}
                }
            }
        }
        if last {
            return heard;
        }
        thread::sleep(COLLECT);
    }
}

fn read(datagram: &[u8], at: Instant) -> Option<Packet> {
    let (header, payload) = datagram.split_at_checked(RTP_HEADER)?;
    // RFC 5761 §4: RTCP. It goes to the port after that of RTP, which may be another phone's.
    if matches!(header.get(1), Some(192..=223)) {
        return None;
    }
    let sequence = u16::from_be_bytes(*header.get(2..4)?.first_chunk()?);
    let timestamp = u32::from_be_bytes(*header.get(4..8)?.first_chunk()?);
    let sound = match Stamp::read(payload) {
        Some(stamp) => Sound::Marked(stamp),
        None if is_silent(payload) => Sound::Silence,
        None => Sound::Changed,
    };
    Some(Packet { at, sequence, timestamp, sound })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn phones_keep_the_grid_on_loopback_and_what_they_send_is_what_they_hear() {
        let speech = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/speech");
        let voice = Voice::load(&speech, "en-agent").unwrap();
        let floors = Arc::new(Floors::new(2));
        floors.give(1, Instant::now() + Duration::from_secs(60));
        let phones = Phones::start(0..2, voice, floors).unwrap();
        // Each calls the other.
        for (phone, other) in [(0, 1), (1, 0)] {
            phones.connect(phone, SocketAddr::from(([127, 0, 0, 1], phones.port(other).unwrap())));
        }
        thread::sleep(Duration::from_millis(500));
        let lines = phones.stop().unwrap();
        for (line, other) in [(&lines[0], 1), (&lines[1], 0)] {
            assert!(line.heard.len() > 5, "{} packets", line.heard.len());
            for (number, packet) in (0..).zip(&line.heard) {
                assert_eq!(packet.sound, Sound::Marked(Stamp { source: other, number }));
                assert_eq!(packet.timestamp, number * 160);
                let sent = lines[usize::from(other)].sent[number as usize];
                assert!(packet.at.saturating_duration_since(sent) < Duration::from_millis(400));
            }
        }
    }

    #[test]
    fn a_report_to_the_neighbour_of_a_phone_is_no_packet() {
        let report = [&[0x80, 200, 0, 6][..], &[0; 24]].concat();
        assert!(read(&report, Instant::now()).is_none());
    }

    #[test]
    fn a_fade_is_neither_silence_nor_marked() {
        let now = Instant::now();
        let sound = |payload: &[u8]| read(&[&[0; RTP_HEADER], payload].concat(), now).unwrap().sound;
        assert_eq!(sound(&[SILENCE; BLOCK]), Sound::Silence);
        assert_eq!(sound(&[0x9a; BLOCK]), Sound::Changed);
        assert!(read(&[0; 5], now).is_none());
    }
}
