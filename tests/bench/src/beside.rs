//! What goes on beside conversations: a gateway that pings, and a flood of strangers. Each is a thread of its own that
//! sends on absolute deadlines.
use crate::{
    arrival,
    uac::{Message, number_of},
};
use anyhow::{Context, Result, anyhow};
use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Between two bursts.
const TICK: Duration = Duration::from_millis(1);
/// A sender that was kept from its core makes up for it, at most at this multiple of its rate.
const CATCH_UP: u64 = 4;
/// How long the last pings may take to be answered.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// Addresses that the flood comes from.
const STRANGERS: u8 = 64;

/// A thread that does something until it is stopped.
#[derive(Debug)]
pub(crate) struct Beside<T> {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Result<T>>,
}

impl<T: Send + 'static> Beside<T> {
    fn start(name: &str, body: impl FnOnce(&AtomicBool) -> Result<T> + Send + 'static) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let thread = thread::Builder::new().name(name.into()).spawn(move || body(&stopping))?;
        Ok(Self { stop, thread })
    }

    /// Stops it, and gives what it noted.
    pub(crate) fn stop(self) -> Result<T> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("a thread beside the conversations panicked"))?
    }
}

/// How many messages are due, of so many a second.
#[derive(Debug)]
struct Pace {
    start: Instant,
    per_second: u64,
    sent: u64,
}

impl Pace {
    fn new(per_second: u32) -> Self {
        Self { start: Instant::now(), per_second: u64::from(per_second), sent: 0 }
    }

    /// The numbers of those to be sent at `now`.
    fn due(&mut self, now: Instant) -> std::ops::Range<u64> {
        let elapsed = now.saturating_duration_since(self.start).as_micros() as u64;
        let due = elapsed * self.per_second / 1_000_000;
        let most = CATCH_UP * self.per_second * TICK.as_micros() as u64 / 1_000_000;
        let from = self.sent;
        self.sent = due.min(from + most.max(1));
        from..self.sent
    }

    fn rest(&self, now: Instant) {
        let ticks = now.saturating_duration_since(self.start).as_micros() / TICK.as_micros() + 1;
        let next = self.start + TICK * ticks as u32;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

/// What became of the pings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pings {
    /// OPTIONS → 200, milliseconds.
    pub(crate) answer_ms: Vec<f64>,
    pub(crate) sent: usize,
    pub(crate) length: Duration,
}

/// Sends OPTIONS to `server` as FreeSWITCH pings its gateways, each once.
pub(crate) fn ping(server: SocketAddr, per_second: u32) -> Result<Beside<Pings>> {
    let socket = UdpSocket::bind("127.0.0.1:0").context("a socket for the pings")?;
    socket.set_nonblocking(true)?;
    arrival::note_arrivals(&socket)?;
    let local = socket.local_addr()?;
    Beside::start("pings", move |stop| {
        let (mut pace, mut open, mut pings) = (Pace::new(per_second), Vec::new(), Pings::default());
        while !stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            for number in pace.due(now) {
                let request = options(server, local, number);
                open.push(Some(Instant::now()));
                offer(&socket, &request, server)?;
            }
            answers(&socket, &mut open, &mut pings)?;
            pace.rest(now);
        }
        pings.length = pace.start.elapsed();
        let deadline = Instant::now() + LAST_ANSWERS;
        while open.iter().any(Option::is_some) && Instant::now() < deadline {
            thread::sleep(TICK);
            answers(&socket, &mut open, &mut pings)?;
        }
        pings.sent = open.len();
        Ok(pings)
    })
}

fn answers(socket: &UdpSocket, open: &mut [Option<Instant>], pings: &mut Pings) -> Result<()> {
    let mut buffer = [0; 4_096];
    loop {
        let received = match arrival::receive(socket, &mut buffer) {
            Ok(received) => received,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("a ping's answer"),
        };
        let text = String::from_utf8_lossy(buffer.get(..received.length).unwrap_or_default());
        let message = Message::parse(&text);
        let number = message.header("Call-ID").and_then(number_of).filter(|_| message.status() == Some(200));
        if let Some(sent) = number.and_then(|number| open.get_mut(number)).and_then(Option::take) {
            pings.answer_ms.push(received.at.saturating_duration_since(sent).as_secs_f64() * 1_000.0);
        }
    }
}

/// What the flood was.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flood {
    pub(crate) sent: u64,
    pub(crate) length: Duration,
    /// Datagrams that came back: strangers are to get none.
    pub(crate) answered: u64,
}

impl Flood {
    /// Datagrams a second.
    pub(crate) fn rate(&self) -> f64 {
        self.sent as f64 / self.length.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// Sends noise, a scanner's requests and INVITEs in turn, from addresses that are no peers.
pub(crate) fn flood(server: SocketAddr, per_second: u32) -> Result<Beside<Flood>> {
    let sockets = (1..=STRANGERS)
        .map(|last| {
            let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 66, last), 0)).context("a socket for the flood")?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        })
        .collect::<Result<Vec<_>>>()?;
    Beside::start("flood", move |stop| {
        let (mut pace, mut flood) = (Pace::new(per_second), Flood::default());
        while !stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            for number in pace.due(now) {
                let Some(socket) = sockets.get((number % u64::from(STRANGERS)) as usize) else { continue };
                flood.sent += u64::from(offer(socket, &nuisance(server, socket.local_addr()?, number), server)?);
            }
            pace.rest(now);
        }
        flood.length = pace.start.elapsed();
        flood.answered = sockets.iter().map(heard).sum();
        Ok(flood)
    })
}

fn heard(socket: &UdpSocket) -> u64 {
    std::iter::from_fn(|| socket.recv(&mut [0; 1]).ok()).map(|_| 1).sum()
}

/// Whether the kernel took it; what it does not take is not sent.
fn offer(socket: &UdpSocket, bytes: &[u8], server: SocketAddr) -> Result<bool> {
    match socket.send_to(bytes, server) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionRefused) => Ok(false),
        Err(error) => Err(error).context("send"),
    }
}

/// In the form of FreeSWITCH 1.10 (`sofia_reg.c` pings gateways so).
fn options(server: SocketAddr, local: SocketAddr, number: u64) -> Vec<u8> {
    request("OPTIONS", server, local, number, "FreeSWITCH", "").into_bytes()
}

/// One of three, by its number.
fn nuisance(server: SocketAddr, local: SocketAddr, number: u64) -> Vec<u8> {
    match number % 3 {
        // Not random, but as little like SIP, and no two alike.
        0 => (0..400_u64).map(|at| (at.wrapping_mul(number | 1).wrapping_mul(0x9e37_79b9) >> 8) as u8).collect(),
        1 => request("OPTIONS", server, local, number, "friendly-scanner", "").into_bytes(),
        _ => {
            let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.66.1\r\ns=-\r\nc=IN IP4 127.0.66.1\r\nt=0 0\r\n\
                       m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n";
            request("INVITE", server, local, number, "PBX", sdp).into_bytes()
        }
    }
}

fn request(method: &str, server: SocketAddr, local: SocketAddr, number: u64, agent: &str, body: &str) -> String {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "{method} sip:{server};transport=udp SIP/2.0\r\nVia: SIP/2.0/UDP {local};rport;branch=z9hG4bK{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{local}>;tag=t{number}\r\nTo: <sip:{server}>\r\nCall-ID: {number}.beside@bench\r\n\
         CSeq: 123165525 {method}\r\nContact: <sip:gw@{local}>\r\nUser-Agent: {agent}\r\n\
         Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE, INFO, UPDATE, REGISTER, REFER, NOTIFY, PUBLISH, SUBSCRIBE\r\n\
         Supported: path, replaces\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_gives_each_number_once_and_catches_up_slowly() {
        let mut pace = Pace::new(2_000);
        let start = pace.start;
        let mut due = |ms| pace.due(start + Duration::from_millis(ms));
        assert_eq!([due(0), due(1), due(2), due(2)], [0..0, 0..2, 2..4, 4..4]);
        assert_eq!([due(100), due(101)], [4..12, 12..20]);
    }

    #[test]
    fn pings_are_timed_and_those_without_an_answer_are_missing() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let pings = ping(server.local_addr().unwrap(), 200).unwrap();
        let mut buffer = [0; 2_048];
        for number in 0..10 {
            let (length, from) = server.recv_from(&mut buffer).unwrap();
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            assert!(text.starts_with("OPTIONS sip:"), "{text}");
            let status = if number % 2 == 0 { "200 OK" } else { "503 Service Unavailable" };
            let reply = format!("SIP/2.0 {status}\r\nCall-ID: {number}.beside@bench\r\n\r\n");
            server.send_to(reply.as_bytes(), from).unwrap();
        }
        let pings = pings.stop().unwrap();
        assert_eq!(pings.answer_ms.len(), 5);
        assert!(pings.sent >= 10 && pings.answer_ms.iter().all(|ms| (0.0..5_000.0).contains(ms)), "{pings:?}");
    }

    #[test]
    fn a_flood_comes_from_strangers_and_counts_what_came_back() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let flood = flood(server.local_addr().unwrap(), 1_000).unwrap();
        let mut buffer = [0; 2_048];
        let from: Vec<SocketAddr> = (0..6).map(|_| server.recv_from(&mut buffer).unwrap().1).collect();
        assert!(from.iter().all(|from| from.ip() != Ipv4Addr::LOCALHOST) && from[0] != from[1], "{from:?}");
        server.send_to(b"what?", from[0]).unwrap();
        let flood = flood.stop().unwrap();
        assert!(flood.sent >= 6 && flood.answered == 1 && flood.rate() > 0.0, "{flood:?}");
    }
}
