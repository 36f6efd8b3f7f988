//! The phones' signalling: INVITE, ACK, BYE over one UDP socket, written for measuring and independent of crate `sip`.
use crate::arrival;
use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    os::fd::AsFd,
    time::{Duration, Instant},
};

/// RFC 3261 §17.1.1.1.
const T1: Duration = Duration::from_millis(500);
/// How long an INVITE or a BYE may take before the call counts as failed.
const PATIENCE: Duration = Duration::from_secs(8);

/// A call by its number, in order of placing.
pub(crate) type CallId = usize;

/// What became of a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// 200 arrived, ACK was sent.
    Answered { call: CallId, rtp: SocketAddr, took: Duration },
    /// Our BYE was answered.
    Ended { call: CallId },
    /// Anything else.
    Failed { call: CallId, why: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// INVITE is out. With a provisional response it is not repeated.
    Inviting,
    Proceeding,
    Up,
    Ending,
    Over,
}

#[derive(Debug)]
struct Call {
    state: State,
    /// INVITE or BYE, as sent.
    request: String,
    sent: Instant,
    repeat_at: Instant,
    interval: Duration,
    /// To with the server's tag, and its Contact, after the 200.
    dialog: (String, String),
}

/// All calls of the phones.
#[derive(Debug)]
pub(crate) struct Uac {
    socket: UdpSocket,
    local: SocketAddr,
    server: SocketAddr,
    extension: &'static str,
    calls: Vec<Call>,
    /// INVITEs and BYEs that had to be sent again.
    pub(crate) repeated: u64,
}

impl Uac {
    /// Calls `extension` at `server`.
    pub(crate) fn new(server: SocketAddr, extension: &'static str) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").context("a SIP socket for the phones")?;
        socket.set_nonblocking(true)?;
        arrival::note_arrivals(&socket)?;
        let local = socket.local_addr()?;
        Ok(Self { socket, local, server, extension, calls: Vec::new(), repeated: 0 })
    }

    /// Sends an INVITE that offers PCMU at this port.
    pub(crate) fn place(&mut self, rtp_port: u16) -> Result<CallId> {
        self.place_at(self.extension, rtp_port)
    }

    /// The same, to another extension.
    pub(crate) fn place_at(&mut self, extension: &str, rtp_port: u16) -> Result<CallId> {
        let id = self.calls.len();
        let sdp = format!(
            "v=0\r\no=- {id} 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {rtp_port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\na=sendrecv\r\n"
        );
        let request = format!(
            "{}Contact: <sip:phone{id}@{}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
            self.head("INVITE", 1, id, &format!("sip:{extension}@{}", self.server), None),
            self.local,
            sdp.len()
        );
        let now = Instant::now();
        self.send(&request)?;
        let dialog = (String::new(), String::new());
        self.calls.push(Call { state: State::Inviting, request, sent: now, repeat_at: now + T1, interval: T1, dialog });
        Ok(id)
    }

    /// Its Call-ID.
    pub(crate) fn call_id(&self, id: CallId) -> String {
        format!("{id}.{}@bench", self.local.port())
    }

    /// Sends BYE to a call that is up.
    pub(crate) fn hang_up(&mut self, id: CallId) -> Result<()> {
        let Some(call) = self.calls.get(id).filter(|call| call.state == State::Up) else { return Ok(()) };
        let (to, contact) = call.dialog.clone();
        let request = format!("{}Content-Length: 0\r\n\r\n", self.head("BYE", 2, id, &contact, Some(&to)));
        self.send(&request)?;
        let now = Instant::now();
        if let Some(call) = self.calls.get_mut(id) {
            (call.state, call.request, call.sent) = (State::Ending, request, now);
            (call.repeat_at, call.interval) = (now + T1, T1);
        }
        Ok(())
    }

    /// Waits for messages until `until` at most, and repeats what is not answered.
    pub(crate) fn step(&mut self, until: Instant) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        let wait = until.saturating_duration_since(Instant::now()).min(Duration::from_millis(100));
        let timeout = PollTimeout::try_from(wait.as_micros().div_ceil(1_000) as u32).unwrap_or(PollTimeout::ZERO);
        poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], timeout).context("poll")?;
        let mut buffer = [0; 8_192];
        loop {
            match arrival::receive(&self.socket, &mut buffer) {
                Ok(received) => {
                    let datagram = buffer.get(..received.length).unwrap_or_default();
                    let text = String::from_utf8_lossy(datagram).into_owned();
                    events.extend(self.on_message(&Message::parse(&text), received.at)?);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("SIP receive"),
            }
        }
        self.repeat(&mut events)?;
        Ok(events)
    }

    fn repeat(&mut self, events: &mut Vec<Event>) -> Result<()> {
        let now = Instant::now();
        let mut again = Vec::new();
        for (id, call) in self.calls.iter_mut().enumerate() {
            if matches!(call.state, State::Up | State::Over) {
                continue;
            }
            if now > call.sent + PATIENCE {
                call.state = State::Over;
                events.push(Event::Failed { call: id, why: "no final response".into() });
            } else if call.state != State::Proceeding && now >= call.repeat_at {
                call.interval *= 2;
                call.repeat_at = now + call.interval;
                again.push(call.request.clone());
            }
        }
        self.repeated += again.len() as u64;
        again.iter().try_for_each(|request| self.send(request))
    }

    fn on_message(&mut self, message: &Message<'_>, at: Instant) -> Result<Option<Event>> {
        let Some(id) = message.header("Call-ID").and_then(number_of) else { return Ok(None) };
        let Some(status) = message.status() else { return self.on_request(message, id) };
        let Some(call) = self.calls.get_mut(id) else { return Ok(None) };
        let method = message.header("CSeq").and_then(|cseq| cseq.split_whitespace().nth(1)).unwrap_or_default();
        match (method, status, call.state) {
            ("INVITE", 100..=199, State::Inviting) => {
                call.state = State::Proceeding;
                Ok(None)
            }
            ("INVITE", 200..=299, State::Inviting | State::Proceeding) => {
                call.state = State::Up;
                call.dialog = message.dialog();
                let took = at.saturating_duration_since(call.sent);
                self.acknowledge(id)?;
                Ok(Some(match message.rtp() {
                    Some(rtp) => Event::Answered { call: id, rtp, took },
                    None => Event::Failed { call: id, why: "200 without a usable answer".into() },
                }))
            }
            ("INVITE", 200..=299, _) => self.acknowledge(id).map(|()| None),
            ("INVITE", 300..=699, State::Inviting | State::Proceeding) => {
                call.state = State::Over;
                self.acknowledge_refusal(id, message)?;
                let reason = message.header("Reason").unwrap_or_default();
                Ok(Some(Event::Failed { call: id, why: format!("{status} {reason}") }))
            }
            ("BYE", 200..=699, State::Ending) => {
                call.state = State::Over;
                Ok(Some(Event::Ended { call: id }))
            }
            _ => Ok(None),
        }
    }

    /// A BYE from the server is a failure: no phone here talks long enough for it.
    fn on_request(&mut self, message: &Message<'_>, id: CallId) -> Result<Option<Event>> {
        let method = message.first.split(' ').next().unwrap_or_default();
        if method == "ACK" {
            return Ok(None);
        }
        let status = if method == "BYE" { "200 OK" } else { "501 Not Implemented" };
        let mut reply = format!("SIP/2.0 {status}\r\n");
        for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
            for value in message.headers(name) {
                reply.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        self.send(&format!("{reply}Content-Length: 0\r\n\r\n"))?;
        let Some(call) = self.calls.get_mut(id).filter(|call| method == "BYE" && call.state == State::Up) else {
            return Ok(None);
        };
        call.state = State::Over;
        let reason = message.header("Reason").unwrap_or("no reason given");
        Ok(Some(Event::Failed { call: id, why: format!("the server hung up: {reason}") }))
    }

    fn acknowledge(&self, id: CallId) -> Result<()> {
        let Some(call) = self.calls.get(id) else { return Ok(()) };
        let (to, contact) = &call.dialog;
        self.send(&format!("{}Content-Length: 0\r\n\r\n", self.head("ACK", 1, id, contact, Some(to))))
    }

    /// RFC 3261 §17.1.1.3: in the transaction of the INVITE, so with its branch.
    fn acknowledge_refusal(&self, id: CallId, message: &Message<'_>) -> Result<()> {
        let uri = format!("sip:{}@{}", self.extension, self.server);
        let head = self.head("ACK", 1, id, &uri, message.header("To"));
        let head = head.replace(&branch("ACK", id), &branch("INVITE", id));
        self.send(&format!("{head}Content-Length: 0\r\n\r\n"))
    }

    fn head(&self, method: &str, cseq: u32, id: CallId, uri: &str, to: Option<&str>) -> String {
        let (local, server) = (self.local, self.server);
        let to = to.map_or_else(|| format!("<sip:{}@{server}>", self.extension), str::to_owned);
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch={};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:phone{id}@{local}>;tag=phone{id}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n",
            branch(method, id),
            self.call_id(id),
        )
    }

    fn send(&self, message: &str) -> Result<()> {
        match self.socket.send_to(message.as_bytes(), self.server) {
            // What the kernel does not take, or a server that does not listen, is what repetition is for.
            Ok(_) => Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionRefused) => Ok(()),
            Err(error) => Err(error).context("SIP send"),
        }
    }
}

fn branch(method: &str, id: CallId) -> String {
    format!("z9hG4bK{method}{id}")
}

/// Calls and pings are told apart by the number that their Call-ID begins with.
pub(crate) fn number_of(call_id: &str) -> Option<CallId> {
    call_id.split('.').next()?.parse().ok()
}

/// A message as the server writes it; enough of RFC 3261 for one well-behaved peer.
pub(crate) struct Message<'a> {
    first: &'a str,
    lines: Vec<(&'a str, &'a str)>,
    body: &'a str,
}

impl<'a> Message<'a> {
    /// Lines without a colon are left out.
    pub(crate) fn parse(text: &'a str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let mut lines = head.lines();
        let first = lines.next().unwrap_or_default();
        let lines = lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name.trim(), value.trim()));
        Self { first, lines: lines.collect(), body }
    }

    /// Of a response.
    pub(crate) fn status(&self) -> Option<u16> {
        self.first.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    fn headers(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.lines.iter().filter(move |(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// The first header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers(name).next()
    }

    /// To, and the URI of Contact.
    fn dialog(&self) -> (String, String) {
        let contact = self.header("Contact").unwrap_or_default();
        let uri = contact.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or(contact, |(uri, _)| uri);
        (self.header("To").unwrap_or_default().to_owned(), uri.to_owned())
    }

    fn rtp(&self) -> Option<SocketAddr> {
        let value = |prefix: &str| self.body.lines().find_map(|line| line.strip_prefix(prefix));
        let port = value("m=audio ")?.split(' ').next()?.parse().ok()?;
        let address = value("c=IN IP4 ")?.trim().parse().ok()?;
        Some(SocketAddr::new(address, port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(2);

    /// A server that answers as scripted, on a socket of its own.
    fn peer() -> (UdpSocket, Uac) {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(SOON)).unwrap();
        let uac = Uac::new(peer.local_addr().unwrap(), "bench").unwrap();
        (peer, uac)
    }

    fn next(peer: &UdpSocket) -> String {
        let mut buffer = [0; 4_096];
        let length = peer.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    fn reply(peer: &UdpSocket, uac: &Uac, request: &str, status: &str, rest: &str) {
        let request = Message::parse(request);
        let copied: String = ["Via", "From", "Call-ID", "CSeq"]
            .iter()
            .map(|name| format!("{name}: {}\r\n", request.header(name).unwrap()))
            .collect();
        let text = format!("SIP/2.0 {status}\r\n{copied}To: <sip:bench@x>;tag=9\r\n{rest}");
        peer.send_to(text.as_bytes(), uac.local).unwrap();
    }

    fn wait(uac: &mut Uac) -> Event {
        let end = Instant::now() + SOON;
        while Instant::now() < end {
            if let Some(event) = uac.step(end).unwrap().pop() {
                return event;
            }
        }
        panic!("nothing happened")
    }

    #[test]
    fn a_call_is_placed_acknowledged_and_ended() {
        let (peer, mut uac) = peer();
        let call = uac.place(4_000).unwrap();
        let invite = next(&peer);
        assert!(invite.contains("m=audio 4000 RTP/AVP 0"));
        reply(&peer, &uac, &invite, "100 Trying", "\r\n");
        let answer = "Contact: <sip:x@127.0.0.1:5>\r\n\r\nv=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 6000 RTP/AVP 0\r\n";
        reply(&peer, &uac, &invite, "200 OK", answer);
        let Event::Answered { rtp, took, .. } = wait(&mut uac) else { panic!("not answered") };
        assert_eq!(rtp, "127.0.0.1:6000".parse().unwrap());
        assert!(took < SOON);
        let ack = next(&peer);
        assert!(ack.starts_with("ACK sip:x@127.0.0.1:5 SIP/2.0\r\n") && ack.contains("To: <sip:bench@x>;tag=9"));
        uac.hang_up(call).unwrap();
        let bye = next(&peer);
        assert!(bye.starts_with("BYE sip:x@127.0.0.1:5") && bye.contains("CSeq: 2 BYE"));
        reply(&peer, &uac, &bye, "200 OK", "\r\n");
        assert_eq!(wait(&mut uac), Event::Ended { call });
        assert_eq!(uac.repeated, 0);
    }

    #[test]
    fn a_refusal_is_acknowledged_in_its_transaction_and_told() {
        let (peer, mut uac) = peer();
        uac.place(4_000).unwrap();
        let invite = next(&peer);
        reply(&peer, &uac, &invite, "503 Service Unavailable", "Reason: SIP;cause=503\r\n\r\n");
        assert_eq!(wait(&mut uac), Event::Failed { call: 0, why: "503 SIP;cause=503".into() });
        let ack = next(&peer);
        assert!(ack.starts_with("ACK") && ack.contains("branch=z9hG4bKINVITE0;"));
    }
}
