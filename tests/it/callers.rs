//! Who may call: peers by address, peers by digest, strangers and scanners.
use crate::stage;
use anyhow::{Context, Result, ensure};
use std::{
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};
use testkit::{sipp::Sipp, stage::Settings};

const PEER: &str = "[[peers]]\nname = \"pbx\"\naddresses = [\"127.0.0.9\"]\n";

fn socket(ip: &str) -> Result<UdpSocket> {
    let socket = UdpSocket::bind((ip, 0)).with_context(|| format!("a socket at {ip}"))?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    Ok(socket)
}

/// Sends a request without a body.
fn ask(from: &UdpSocket, server: SocketAddr, method: &str, number: u32, agent: &str) -> Result<()> {
    let us = from.local_addr()?;
    let text = format!(
        "{method} sip:demo@{server} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bK{number}\r\nMax-Forwards: 70\r\n\
         From: <sip:x@{us}>;tag=1\r\nTo: <sip:demo@{server}>\r\nCall-ID: {number}@{us}\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:x@{us}>\r\nUser-Agent: {agent}\r\nContent-Length: 0\r\n\r\n"
    );
    from.send_to(text.as_bytes(), server)?;
    Ok(())
}

/// The first line of the next answer.
fn answer(socket: &UdpSocket) -> Result<String> {
    let mut buffer = [0; 4_096];
    let (length, _) = socket.recv_from(&mut buffer)?;
    let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Requests are answered in their order: once the peer has its answer, a stranger who asked before will get none.
#[test]
fn strangers_get_no_answer_and_are_named_in_the_log() -> Result<()> {
    let mut stage = stage()?;
    let ramal = stage.serve(&Settings::default().secretary("demo", "").with(PEER))?;
    let (stranger, peer) = (socket("127.0.0.1")?, socket("127.0.0.9")?);
    for (number, method) in (1..).zip(["OPTIONS", "INVITE", "REGISTER", "BYE"]) {
        ask(&stranger, ramal.sip, method, number, "phone")?;
    }
    ask(&peer, ramal.sip, "OPTIONS", 9, "PBX")?;
    ensure!(answer(&peer)? == "SIP/2.0 200 OK");
    stranger.set_nonblocking(true)?;
    let nothing = stranger.recv_from(&mut [0; 64]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    ensure!(nothing, "a stranger was answered");
    let log = ramal.end()?;
    let address = stranger.local_addr()?.to_string();
    let named = log.iter().filter(|line| line.contains("Turned away") && line.contains(&address)).count();
    ensure!(named == 1, "named {named} times in:\n{}", log.join("\n"));
    stage.clear()
}

#[test]
fn strangers_may_be_told_but_scanners_are_not() -> Result<()> {
    let mut stage = stage()?;
    let settings = Settings::default().sip("strangers = \"forbid\"\nscanners = [\"EvilProbe\"]");
    let ramal = stage.serve(&settings.secretary("demo", "").with(PEER))?;
    let folder = stage.folder().to_owned();
    Sipp::new("uac_invite_forbidden").to(ramal.sip).run(&mut stage.ports, &folder)?;
    let stranger = socket("127.0.0.1")?;
    for (number, agent) in (1..).zip(["friendly-scanner", "evilprobe/2", "phone"]) {
        ask(&stranger, ramal.sip, "OPTIONS", number, agent)?;
    }
    ensure!(answer(&stranger)?.starts_with("SIP/2.0 403"), "the third is answered, and only that");
    stranger.set_nonblocking(true)?;
    ensure!(stranger.recv_from(&mut [0; 64]).is_err(), "a scanner was answered");
    ramal.end()?;
    stage.clear()
}

#[test]
fn a_peer_proves_who_it_is() -> Result<()> {
    let mut stage = stage()?;
    let peer = "[[peers]]\nname = \"pbx\"\nuser = \"pbx\"\npassword = \"s3cret\"\n";
    let settings = Settings::default().sip("realm = \"ramal.example\"").secretary("demo", "").with(peer);
    let ramal = stage.serve(&settings)?;
    let folder = stage.folder().to_owned();
    Sipp::new("uac_invite_challenged").to(ramal.sip).run(&mut stage.ports, &folder)?;
    let uri = ramal.uri("demo");
    for (user, password, taken) in [("pbx", "s3cret", true), ("pbx", "guess", false), ("nobody", "s3cret", false)] {
        let arguments = ["call", &uri, "--json", "--duration", "1", "--user", user, "--password", password];
        let ended = stage.run(&arguments)?;
        ensure!(ended.status.success() == taken, "{user}, {password}: {}", ended.lines.join("\n"));
        // Not in a figure of the report.
        let refused = ended
            .lines
            .iter()
            .any(|line| line.split(|c: char| !c.is_ascii_digit() && c != '.').any(|word| word == "401"));
        ensure!(refused != taken, "{user}, {password}: {}", ended.lines.join("\n"));
    }
    let log = ramal.end()?;
    ensure!(!log.iter().any(|line| line.contains("s3cret")), "the password is in the log");
    stage.clear()
}

#[test]
fn a_call_too_many_is_put_off() -> Result<()> {
    let mut stage = stage()?;
    let ramal = stage.serve(&Settings::default().sip("max_calls = 1").secretary("demo", ""))?;
    let folder = stage.folder().to_owned();
    let first = Sipp::new("uac_bye_received").to(ramal.sip).start(&mut stage.ports, &folder)?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while !first.messages().is_ok_and(|messages| messages.contains("ACK sip:")) {
        ensure!(Instant::now() < deadline, "no call within 10 s");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    Sipp::new("uac_invite_overload").to(ramal.sip).run(&mut stage.ports, &folder)?;
    Sipp::new("uac_options").to(ramal.sip).run(&mut stage.ports, &folder)?;
    ramal.end()?;
    first.finish()?;
    stage.clear()
}
