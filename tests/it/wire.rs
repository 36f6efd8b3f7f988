//! SIP by hand, for what SIPp cannot say or cannot read: it finds CSeq by the first "CSeq" anywhere in a response.
use crate::{house, stage};
use anyhow::{Context, Result, ensure};
use std::{
    net::{SocketAddr, UdpSocket},
    time::Duration,
};
use testkit::{dns::Dns, stage::Settings};

/// A UDP phone that sends what it is given.
pub(crate) struct Wire {
    socket: UdpSocket,
    to: SocketAddr,
}

impl Wire {
    pub(crate) fn new(to: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        socket.connect(to)?;
        Ok(Self { socket, to })
    }

    pub(crate) fn send(&self, request: &str) -> Result<()> {
        self.socket.send(request.replace('\n', "\r\n").as_bytes()).map(drop).context("send")
    }

    /// The next message that is no provisional response.
    pub(crate) fn receive(&self) -> Result<String> {
        let mut buffer = [0; 65_535];
        loop {
            let length = self.socket.recv(&mut buffer).context("no answer")?;
            let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
            if !text.starts_with("SIP/2.0 1") {
                return Ok(text);
            }
        }
    }

    /// A request with these parts; `body` is its Content-Length too.
    pub(crate) fn request(&self, method: &str, to_tag: &str, cseq: &str, from: &str, body: &str) -> Result<String> {
        let (us, them) = (self.socket.local_addr()?, self.to);
        Ok(format!(
            "{method} sip:demo@{them} SIP/2.0\nVia: SIP/2.0/UDP {us};rport;branch=z9hG4bK{method}{}\nMax-Forwards: 70\n\
             From: {from}\nTo: <sip:demo@{them}>{to_tag}\nCall-ID: wire-{}\nCSeq: {cseq}\nContact: <sip:x@{us}>\n\
             Content-Type: application/sdp\nContent-Length: {}\n\n{body}",
            cseq.replace(' ', ""),
            us.port(),
            body.replace('\n', "\r\n").len(),
        ))
    }

    pub(crate) fn status(&self, request: &str) -> Result<String> {
        self.send(request)?;
        Ok(self.receive()?.lines().next().unwrap_or_default().to_owned())
    }
}

pub(crate) const FROM: &str = "<sip:x@127.0.0.1>;tag=1";
pub(crate) const OFFER: &str = "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n";

/// RFC 3261 §21.4.1, and the clause that each request breaks.
#[test]
fn malformed_requests_are_refused_with_400() -> Result<()> {
    let (stage, ramal) = house()?;
    let wire = Wire::new(ramal.sip)?;
    let good = wire.request("INVITE", "", "1 INVITE", FROM, OFFER)?;
    let bad = [
        ("§8.1.1.5, the method", wire.request("INVITE", "", "1 BYE", FROM, OFFER)?),
        ("§8.1.1.5, the number", wire.request("INVITE", "", "4294967296 INVITE", FROM, OFFER)?),
        ("§8.1.1.3", wire.request("INVITE", "", "2 INVITE", "\"x <sip:x@;tag=1", OFFER)?),
        ("§18.3, a body cut short", good.replace("m=audio 9 RTP/AVP 0\n", "")),
    ];
    for (clause, request) in bad {
        let status = wire.status(&request).with_context(|| format!("{clause}:\n{request}"))?;
        ensure!(status.starts_with("SIP/2.0 400 "), "{clause}: {status}\n{request}");
    }
    ramal.end()?;
    stage.clear()
}

/// The callee's tag in a 200, as what follows the address in a request of its dialog.
pub(crate) fn tag(ok: &str) -> Result<String> {
    let to = ok.lines().find(|line| line.starts_with("To:")).context("To")?;
    to.split_once(";tag=").map(|(_, tag)| format!(";tag={tag}")).context("tag")
}

/// Where the audio of a call goes whose 200 this is.
pub(crate) fn far(ok: &str) -> Result<SocketAddr> {
    let media = ok.lines().find_map(|line| line.strip_prefix("m=audio ")).context("m=audio")?;
    let port: u16 = media.split(' ').next().context("a port")?.parse()?;
    Ok(SocketAddr::from(([127, 0, 0, 1], port)))
}

/// RFC 3261 §12.2.2: a request of the dialog with a lower CSeq is refused with 500, and the call goes on.
#[test]
fn a_cseq_that_goes_backwards_is_refused() -> Result<()> {
    let (stage, ramal) = house()?;
    let wire = Wire::new(ramal.sip)?;
    wire.send(&wire.request("INVITE", "", "10 INVITE", FROM, OFFER)?)?;
    let answer = wire.receive()?;
    ensure!(answer.starts_with("SIP/2.0 200"), "{answer}");
    let tag = tag(&answer)?;
    wire.send(&wire.request("ACK", &tag, "10 ACK", FROM, "")?)?;
    let status = wire.status(&wire.request("INFO", &tag, "9 INFO", FROM, "")?)?;
    ensure!(status.starts_with("SIP/2.0 500"), "{status}");
    let status = wire.status(&wire.request("OPTIONS", &tag, "11 OPTIONS", FROM, "")?)?;
    ensure!(status.starts_with("SIP/2.0 200"), "{status}");
    let status = wire.status(&wire.request("BYE", &tag, "12 BYE", FROM, "")?)?;
    ensure!(status.starts_with("SIP/2.0 200"), "{status}");
    ramal.end()?;
    stage.clear()
}

/// RFC 3261 §12.2.1.1 with RFC 3263: our BYE goes where the name in the caller's Contact leads, which is not where the
/// call came from.
#[test]
fn our_bye_goes_where_the_name_of_the_contact_leads() -> Result<()> {
    let mut stage = stage()?;
    let elsewhere = UdpSocket::bind("127.0.0.1:0")?;
    elsewhere.set_read_timeout(Some(Duration::from_secs(20)))?;
    let port = elsewhere.local_addr()?.port();
    let records = [
        format!("srv-host=_sip._udp.desk.example,one.desk.example,{port},10,0"),
        "host-record=one.desk.example,127.0.0.1".into(),
    ];
    let dns = Dns::serve(&records, &mut stage.ports)?;
    let settings = Settings::default().secretary("demo", "").sip(&format!("dns = [\"{}\"]", dns.at()));
    let ramal = stage.serve(&settings.media("media_timeout_s = 1"))?;
    let wire = Wire::new(ramal.sip)?;
    let by_name = |request: String| {
        let contact = format!("Contact: <sip:x@{}>", wire.socket.local_addr()?);
        anyhow::Ok(request.replace(&contact, "Contact: <sip:x@desk.example;transport=udp>"))
    };
    wire.send(&by_name(wire.request("INVITE", "", "1 INVITE", FROM, OFFER)?)?)?;
    let answer = wire.receive()?;
    ensure!(answer.starts_with("SIP/2.0 200"), "{answer}");
    let tag = tag(&answer)?;
    wire.send(&by_name(wire.request("ACK", &tag, "1 ACK", FROM, "")?)?)?;
    // No audio comes: the call ends.
    let mut buffer = [0; 65_535];
    let (length, from) = elsewhere.recv_from(&mut buffer).with_context(|| dns.lines().join("\n"))?;
    let bye = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
    ensure!(bye.starts_with("BYE sip:x@desk.example;transport=udp SIP/2.0"), "{bye}");
    let echoed = |line: &&str| ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name));
    let echo: Vec<&str> = bye.lines().filter(echoed).collect();
    elsewhere
        .send_to(format!("SIP/2.0 200 OK\r\n{}\r\nContent-Length: 0\r\n\r\n", echo.join("\r\n")).as_bytes(), from)?;
    ramal.end()?;
    stage.clear()
}
