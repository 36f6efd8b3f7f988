//! `make bench-parse`: what reading, printing and refusing one message costs, in microseconds of one core.
#![expect(clippy::disallowed_methods, clippy::panic, reason = "a program that measures time")]
use sip::{
    Config, Endpoint, Listener, ListenerId, Policy, Transport,
    message::{Message, Request},
};
use std::{
    hint::black_box,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

/// A call of FreeSWITCH 1.10.12 to us, as recorded.
const INVITE: &[u8] = include_bytes!("../src/message/fixtures/invite.sip");
/// What the parser and printer may take together on it.
const TARGET_US: f64 = 15.0;
const MESSAGES: u32 = 100_000;
const WARM_UP: u32 = 10_000;
const UDP: ListenerId = ListenerId(0);
/// Time between two requests that are looked at: more often, and the endpoint drops them unread.
const BETWEEN: Duration = Duration::from_secs(1);
/// The calling card of SIPVicious, the best known scanner.
const SCANNER: &str = "friendly-scanner";

fn main() {
    if std::env::var_os("BENCH_ONCE").is_some() {
        return count_instructions();
    }
    println!("{:<46} {:>8} {:>8} {:>8}   µs, {MESSAGES} messages of {} bytes", "", "p50", "p99", "mean", INVITE.len());
    let invite = read(INVITE);
    report("parse a FreeSWITCH INVITE", |_| drop(black_box(Message::parse(black_box(INVITE)))));
    report("print it", |_| drop(black_box(black_box(&invite).to_bytes())));
    let both = report("parse and print it", |_| drop(black_box(read(black_box(INVITE)).to_bytes())));
    for method in ["OPTIONS", "INVITE", "REGISTER"] {
        let mut scanner = Stranger::new(method, SCANNER, BETWEEN);
        report(&format!("turn a scanner's {method} away"), |round| scanner.knock(round, Heard::Nothing));
    }
    let mut flood = Stranger::new("OPTIONS", SCANNER, Duration::ZERO);
    report("turn a flood of them away", |round| flood.knock(round, Heard::Nothing));
    let mut peer = Stranger::new("OPTIONS", "FreeSWITCH", BETWEEN);
    peer.remote = SocketAddr::new([198, 51, 100, 7].into(), 5060);
    report("answer OPTIONS of a peer", |round| peer.knock(round, Heard::Answer));
    let verdict = if both <= TARGET_US { "met" } else { "missed" };
    println!("target: parse and print in {TARGET_US} µs (median): {verdict}");
}

fn read(bytes: &[u8]) -> Request {
    match Message::parse(bytes) {
        Ok(Message::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

/// One round of each, for a tool that counts instructions: `BENCH_ONCE=1 valgrind --tool=callgrind PROGRAM`.
fn count_instructions() {
    for _ in 0..1_000 {
        black_box(read(black_box(INVITE)).to_bytes());
    }
}

/// Prints percentiles of the time `act` takes, and gives back the median in microseconds.
fn report(name: &str, mut act: impl FnMut(u32)) -> f64 {
    (0..WARM_UP).for_each(&mut act);
    let mut times: Vec<Duration> = Vec::with_capacity(MESSAGES as usize);
    for round in WARM_UP..WARM_UP + MESSAGES {
        let start = Instant::now();
        act(round);
        times.push(start.elapsed());
    }
    let mean = times.iter().sum::<Duration>() / MESSAGES;
    times.sort();
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let at = |percent: usize| micros(times[times.len() * percent / 100]);
    println!("{name:<46} {:>8.2} {:>8.2} {:>8.2}", at(50), at(99), micros(mean));
    at(50)
}

/// Somebody who sends request after request, each with a branch and Call-ID of its own.
struct Stranger {
    endpoint: Endpoint,
    remote: SocketAddr,
    now: Instant,
    between: Duration,
    text: String,
}

/// What a request is to be met with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    Nothing,
    Answer,
}

impl Stranger {
    /// Only 198.51.100.0/24 may call.
    fn new(method: &str, user_agent: &str, between: Duration) -> Self {
        let local = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 5060);
        let listeners = vec![Listener { id: UDP, transport: Transport::Udp, address: local }];
        let policy = Policy::of("198.51.100.0/24".parse().into_iter().collect());
        let session_expires = sip::SESSION_EXPIRES;
        let config = Config { user_agent: "ramal".into(), listeners, max_legs: 1000, policy, session_expires };
        let text = format!(
            "{method} sip:100@198.51.100.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.66:5060;branch=z9hG4bK-########;rport\r\n\
             Content-Length: 0\r\nFrom: \"sipvicious\"<sip:100@1.1.1.1>;tag=########\r\nAccept: application/sdp\r\n\
             User-Agent: {user_agent}\r\nTo: \"sipvicious\"<sip:100@1.1.1.1>\r\nCSeq: 1 {method}\r\n\
             Call-ID: ########\r\nMax-Forwards: 70\r\n\r\n"
        );
        let remote = SocketAddr::new([192, 0, 2, 66].into(), 5060);
        Self { endpoint: Endpoint::new(config, 1), remote, now: Instant::now(), between, text }
    }

    fn knock(&mut self, round: u32, expected: Heard) {
        self.now += self.between;
        let text = self.text.replace("########", &format!("{round:08}"));
        self.endpoint.handle_datagram(UDP, self.remote, text.as_bytes(), self.now);
        let mut heard = Heard::Nothing;
        while let Some(answer) = self.endpoint.poll_transmit() {
            black_box(answer);
            heard = Heard::Answer;
        }
        assert!(heard == expected && self.endpoint.poll_event().is_none(), "{}", self.text);
    }
}
