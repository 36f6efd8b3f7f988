//! A live endpoint with a call up: datagrams, pieces of streams, the owner's commands and time, in any order.
use sip::{
    Command, Config, Endpoint, Event, Hop, LegId, Listener, ListenerId, Policy, Transport,
    message::{Message, ParseErrorKind as Kind},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

/// Between two acts of an input; no SIP message needs it.
const SEPARATOR: u8 = 0x1e;
const OFFER: &[u8] = b"v=0\r\n";
const UDP: ListenerId = ListenerId(0);
const MAX_LEGS: usize = 4;
/// The call that is up when the input begins. Its other side has the tag `peer`.
const INVITE: &str = "INVITE sip:1000@127.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2:5080;rport;branch=z9hG4bKi\r\n\
    Max-Forwards: 70\r\nFrom: <sip:1001@h>;tag=peer\r\nTo: <sip:1000@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\
    Contact: <sip:1001@127.0.0.2:5080>\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n";

/// An input is acts with [`SEPARATOR`] between them; the first byte of each says what it is.
pub(crate) fn endpoint(bytes: &[u8]) {
    let mut stand = Stand::new();
    stand.take_a_call();
    for act in bytes.split(|byte| *byte == SEPARATOR) {
        stand.act(act);
        stand.drain();
    }
    stand.wait(Duration::from_secs(120));
}

struct Stand {
    endpoint: Endpoint,
    remote: SocketAddr,
    now: Instant,
    last_leg: Option<LegId>,
    /// Our tag in the call that is up.
    tag: String,
}

impl Stand {
    #[expect(clippy::disallowed_methods, reason = "any origin does: only differences count")]
    fn new() -> Self {
        let local = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 5060);
        let listener = |(id, transport)| Listener { id: ListenerId(id), transport, address: local };
        let listeners = (0..).zip(Transport::ALL).map(listener).collect();
        let peers = vec!["127.0.0.0/8".parse().expect("a network")];
        let (policy, session_expires) = (Policy::of(peers), sip::SESSION_EXPIRES);
        let config = Config { user_agent: "fuzz".into(), listeners, max_legs: MAX_LEGS, policy, session_expires };
        Self {
            endpoint: Endpoint::new(config, 1),
            remote: SocketAddr::new([127, 0, 0, 2].into(), 5080),
            now: Instant::now(),
            last_leg: None,
            tag: String::new(),
        }
    }

    fn take_a_call(&mut self) {
        self.endpoint.handle_datagram(UDP, self.remote, INVITE.as_bytes(), self.now);
        self.drain();
        let ack = INVITE
            .replace("INVITE", "ACK")
            .replace("=z9hG4bKi", "=z9hG4bKa")
            .replace("To: <sip:1000@h>", &format!("To: <sip:1000@h>;tag={}", self.tag));
        self.endpoint.handle_datagram(UDP, self.remote, ack.as_bytes(), self.now);
        self.drain();
    }

    /// `$` in a datagram or stream stands for our tag, which nobody can guess.
    fn act(&mut self, act: &[u8]) {
        let Some((kind, rest)) = act.split_first() else { return };
        let rest = self.with_tag(rest);
        match kind {
            b'o' => self.endpoint.handle_stream_opened(self.hop(Transport::Tcp)),
            b's' => self.endpoint.handle_stream(self.hop(Transport::Tcp), &rest, self.now),
            b'x' => self.endpoint.handle_stream_closed(self.hop(Transport::Tcp), self.now),
            b'u' => self.endpoint.handle_unreachable(self.hop(Transport::Udp), self.now),
            b't' => {
                let seconds = rest.first().map_or(1, |byte| u64::from(byte % 64));
                self.wait(Duration::from_millis(seconds * 500));
            }
            b'c' => self.command(rest.first().copied().unwrap_or_default()),
            _ => self.endpoint.handle_datagram(UDP, self.remote, &rest, self.now),
        }
    }

    fn hop(&self, transport: Transport) -> Hop {
        let listener = ListenerId(u16::from(transport.is_reliable()));
        Hop { listener, transport, remote: self.remote }
    }

    fn with_tag(&self, bytes: &[u8]) -> Vec<u8> {
        let mut filled = Vec::with_capacity(bytes.len());
        for byte in bytes {
            match byte {
                b'$' => filled.extend_from_slice(self.tag.as_bytes()),
                byte => filled.push(*byte),
            }
        }
        filled
    }

    fn command(&mut self, choice: u8) {
        let Some(leg) = self.last_leg else { return };
        let sdp = OFFER.into();
        let command = match choice % 9 {
            0 => Command::Ring { leg },
            1 => Command::Answer { leg, sdp },
            2 => Command::Reject { leg, status: 486, reason: None, headers: Vec::new() },
            3 => Command::AcceptOffer { leg, sdp },
            4 => Command::RefuseOffer { leg, status: 488, reason: None },
            5 => Command::Reinvite { leg, sdp },
            6 => Command::Bye { leg, reason: None },
            7 => Command::Refer {
                leg,
                refer_to: "sip:x@y".into(),
                replaces: None,
                notify_deadline: Duration::from_secs(10),
            },
            _ => Command::Info { leg, content_type: "application/dtmf".into(), body: b"1".into() },
        };
        self.endpoint.handle_command(command, self.now);
    }

    /// Reads all that the endpoint has to say. The first call is answered; others wait for commands.
    fn drain(&mut self) {
        while let Some(event) = self.endpoint.poll_event() {
            if let Event::Incoming { leg, .. } = event {
                let first = self.last_leg.is_none();
                self.last_leg = Some(leg);
                if first {
                    self.endpoint.handle_command(Command::Answer { leg, sdp: OFFER.into() }, self.now);
                }
            }
        }
        while let Some(transmit) = self.endpoint.poll_transmit() {
            if transmit.bytes == sip::framing::PONG {
                continue;
            }
            let sent = Message::parse(&transmit.bytes);
            let readable = sent.is_ok() || repeats_what_it_refuses(&transmit.bytes);
            assert!(readable, "{:?}: {}", sent, String::from_utf8_lossy(&transmit.bytes));
            let tag = sent.ok().and_then(|message| Some(message.headers().to()?.tag()?.to_owned()));
            if self.tag.is_empty() {
                self.tag = tag.unwrap_or_default();
            }
        }
        while self.endpoint.poll_close().is_some() {}
        let stats = self.endpoint.stats();
        assert!(stats.legs <= MAX_LEGS as u64 && stats.transactions <= 8 * MAX_LEGS as u64 + 1024, "{stats:?}");
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some((at, _)) = self.endpoint.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.endpoint.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }
}

/// The answer to a request that could not be read has the request's own From, To, Call-ID and CSeq, broken as they are.
fn repeats_what_it_refuses(answer: &[u8]) -> bool {
    let fault = Message::parse(answer).map_err(|error| error.kind);
    let refusal = [b"SIP/2.0 4", b"SIP/2.0 5"].iter().any(|start| answer.starts_with(*start));
    let repeated = matches!(fault, Err(Kind::Missing(_) | Kind::Malformed(_) | Kind::Repeated(_)));
    refusal && repeated
}
