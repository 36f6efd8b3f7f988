//! Endpoints in virtual time: text in, start lines, events and whole messages out.
mod guard;
mod in_call;
mod names;
mod network;
mod offers;
mod prack;
mod register;
mod replaces;
mod session;
mod stream;
mod torture;
mod traces;
mod uac;
mod uas;

use super::*;
use crate::{
    message::{Message, Request, Response},
    transaction::timer::epoch,
};
use std::time::Duration;

const UDP: ListenerId = ListenerId(0);
const TCP: ListenerId = ListenerId(1);
const REMOTE: &str = "192.0.2.10:5080";
const OFFER: &str = "v=0\r\no=peer 1 1 IN IP4 192.0.2.10\r\n";
const ANSWER: &str = "v=0\r\no=us 1 1 IN IP4 198.51.100.1\r\n";

fn config() -> Config {
    Config {
        user_agent: "ramal-test".into(),
        listeners: vec![
            Listener { id: UDP, transport: Transport::Udp, address: "198.51.100.1:5060".parse().unwrap() },
            Listener { id: TCP, transport: Transport::Tcp, address: "198.51.100.1:5060".parse().unwrap() },
        ],
        max_legs: 4,
        policy: Policy::everybody(),
        session_expires: SESSION_EXPIRES,
    }
}

/// One endpoint, its clock, and a peer that is this test.
struct Stand {
    endpoint: Endpoint,
    start: Instant,
    now: Instant,
    remote: SocketAddr,
}

impl Stand {
    fn new() -> Self {
        Self::with(Policy::everybody())
    }

    fn with(policy: Policy) -> Self {
        let start = epoch();
        let endpoint = Endpoint::new(Config { policy, ..config() }, 7);
        Self { endpoint, start, now: start, remote: REMOTE.parse().unwrap() }
    }

    /// The connection of the peer, should it speak over TCP.
    fn connection(&self) -> Hop {
        Hop { listener: TCP, transport: Transport::Tcp, remote: self.remote }
    }

    fn feed(&mut self, text: &str) {
        self.endpoint.handle_datagram(UDP, self.remote, text.as_bytes(), self.now);
    }

    /// What was sent since the last look.
    fn sent(&mut self) -> Vec<Message> {
        // A keep-alive is no message.
        let messages = |transmit: &&Transmit| !transmit.bytes.trim_ascii().is_empty();
        self.transmits().iter().filter(messages).map(|transmit| Message::parse(&transmit.bytes).unwrap()).collect()
    }

    fn transmits(&mut self) -> Vec<Transmit> {
        std::iter::from_fn(|| self.endpoint.poll_transmit()).collect()
    }

    /// The same, as `METHOD` or status code.
    fn sent_kinds(&mut self) -> Vec<String> {
        self.sent().iter().map(kind).collect()
    }

    fn one_response(&mut self) -> Response {
        match <[Message; 1]>::try_from(self.sent()) {
            Ok([Message::Response(response)]) => response,
            other => panic!("one response, not {other:?}"),
        }
    }

    fn one_request(&mut self) -> Request {
        match <[Message; 1]>::try_from(self.sent()) {
            Ok([Message::Request(request)]) => request,
            other => panic!("one request, not {other:?}"),
        }
    }

    /// What the owner hears, without the questions about names.
    fn events(&mut self) -> Vec<Event> {
        let all = std::iter::from_fn(|| self.endpoint.poll_event());
        all.filter(|event| !matches!(event, Event::Locate { .. })).collect()
    }

    fn one_event(&mut self) -> Event {
        match <[Event; 1]>::try_from(self.events()) {
            Ok([event]) => event,
            Err(other) => panic!("one event, not {other:?}"),
        }
    }

    fn command(&mut self, command: Command) {
        self.endpoint.handle_command(command, self.now);
    }

    /// Lets time pass; says when (ms since the start of the stand) what was sent.
    fn pass(&mut self, time: Duration) -> Vec<(u128, String)> {
        let end = self.now + time;
        let mut sent = Vec::new();
        while let Some((at, _)) = self.endpoint.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.endpoint.handle_timeout(self.now);
            let ms = (self.now - self.start).as_millis();
            sent.extend(self.sent_kinds().into_iter().map(|kind| (ms, kind)));
        }
        self.now = end;
        sent
    }

    /// An incoming INVITE that waits for the owner.
    fn ringing(&mut self) -> LegId {
        self.feed(&invite(1, "", OFFER));
        assert_eq!(self.sent_kinds(), ["100"]);
        match self.one_event() {
            Event::Incoming { leg, .. } => leg,
            other => panic!("a new call, not {other:?}"),
        }
    }

    /// An incoming call that is up, and our tag.
    fn established(&mut self) -> (LegId, String) {
        let leg = self.ringing();
        self.command(Command::Answer { leg, sdp: ANSWER.into() });
        let tag = to_tag(&self.one_response());
        self.feed(&peer("ACK", 1, &tag, "", ""));
        assert_eq!(self.events(), [Event::Established { leg, sdp: None }]);
        (leg, tag)
    }
}

fn kind(message: &Message) -> String {
    match message {
        Message::Request(request) => request.method.to_string(),
        Message::Response(response) => response.status.to_string(),
    }
}

fn to_tag(response: &Response) -> String {
    response.headers.to().unwrap().tag().unwrap().to_owned()
}

/// A request of the peer: `tag` is our tag, empty outside a dialog; the branch follows method and number.
fn peer(method: &str, cseq: u32, tag: &str, extra: &str, body: &str) -> String {
    let to = if tag.is_empty() { String::new() } else { format!(";tag={tag}") };
    // ACK and CANCEL of the INVITE itself share its branch, an ACK of a 2xx does not.
    let branch = if method == "CANCEL" { "INVITE" } else { method };
    let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "{method} sip:1000@198.51.100.1:5060 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.10:5080;rport;branch=z9hG4bK{branch}{cseq}\r\n\
         Max-Forwards: 70\r\n\
         From: \"Caller Um\" <sip:+551130000001@192.0.2.10>;tag=peer\r\n\
         To: <sip:1000@198.51.100.1:5060>{to}\r\n\
         Call-ID: call-1\r\n\
         CSeq: {cseq} {method}\r\n\
         Contact: <sip:ai@192.0.2.10:5080;transport=udp;gw=ai>\r\n\
         {content}{extra}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn invite(cseq: u32, extra: &str, body: &str) -> String {
    peer("INVITE", cseq, "", extra, body)
}

/// The peer's response to a request of ours. `tag` is the peer's, where the request has none.
fn answer(request: &Request, status: u16, tag: &str, extra: &str, body: &str) -> String {
    let status = crate::message::StatusCode::new(status).unwrap();
    let mut response = Response::answering(&request.headers, status);
    let to = response.headers.to().unwrap();
    if to.tag().is_none() && status.code() > 100 {
        response.headers.set(crate::message::Name::To, to.with_tag(tag).to_string());
    }
    for line in extra.split("\r\n").filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        response.headers.push_named(name, value).unwrap();
    }
    if !body.is_empty() {
        response.headers.push(crate::message::Name::ContentType, "application/sdp");
        response.body = body.into();
    }
    String::from_utf8(response.to_bytes()).unwrap()
}
