//! RTP and RTCP by hand, from whoever sends it: whose is heard, who is sent to, which ports, and what silence leads to.
use crate::{
    house, stage,
    wire::{FROM, Wire, far, tag},
};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    net::{SocketAddr, UdpSocket},
    time::Duration,
};
use testkit::{
    baresip::Baresip,
    phone::{Line as Account, Phone as _},
    sound::{self, Sound},
    stage::{Ramal, Settings, Stage},
};

const PATIENCE: Duration = Duration::from_secs(20);
/// What the phone says its stream is; an attacker may know.
const SSRC: u32 = 0x1234_5678;

/// A call, and the phone's RTP and RTCP sockets.
struct Line {
    wire: Wire,
    tag: String,
    rtp: UdpSocket,
    rtcp: UdpSocket,
    /// Where the server listens for RTP; for RTCP at the next port.
    far: SocketAddr,
}

impl Line {
    fn dial(stage: &mut Stage, ramal: &Ramal) -> Result<Self> {
        let port = stage.ports.run(2)?.0;
        // Open before the server may send: its first packet counts.
        let (rtp, rtcp) = (socket(&format!("127.0.0.1:{port}"))?, socket(&format!("127.0.0.1:{}", port + 1))?);
        let wire = Wire::new(ramal.sip)?;
        wire.send(&wire.request("INVITE", "", "1 INVITE", FROM, &offer(port, ""))?)?;
        let answer = wire.receive()?;
        ensure!(answer.starts_with("SIP/2.0 200"), "{answer}");
        let tag = tag(&answer)?;
        wire.send(&wire.request("ACK", &tag, "1 ACK", FROM, "")?)?;
        Ok(Self { wire, tag, rtp, rtcp, far: far(&answer)? })
    }

    /// A request of the dialog that is answered; the final status line.
    fn request(&self, number: u32, method: &str, body: &str) -> Result<String> {
        self.wire.status(&self.wire.request(method, &self.tag, &format!("{number} {method}"), FROM, body)?)
    }

    fn hang_up(&self) -> Result<()> {
        let status = self.request(9, "BYE", "")?;
        ensure!(status.starts_with("SIP/2.0 200"), "{status}");
        Ok(())
    }

    /// Waits until the server's audio comes.
    fn hear(&self) -> Result<()> {
        self.rtp.set_read_timeout(Some(PATIENCE))?;
        self.rtp.recv(&mut [0; 2_048]).context("no audio").map(drop)
    }

    /// The BYE of the server, answered.
    fn hung_up(&self) -> Result<String> {
        let bye = self.wire.receive()?;
        ensure!(bye.starts_with("BYE "), "{bye}");
        let kept =
            |line: &&str| ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name));
        let head = bye.lines().filter(kept).collect::<Vec<_>>().join("\n");
        self.wire.send(&format!("SIP/2.0 200 OK\n{head}\nContent-Length: 0\n\n"))?;
        Ok(bye)
    }
}

fn socket(at: &str) -> Result<UdpSocket> {
    UdpSocket::bind(at).with_context(|| format!("bind {at}"))
}

fn offer(port: u16, direction: &str) -> String {
    format!(
        "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP 0 101\n\
         a=rtpmap:101 telephone-event/8000\n{direction}"
    )
}

/// 20 ms of noise.
fn audio(ssrc: u32, sequence: u16) -> Vec<u8> {
    packet(0, ssrc, sequence, &[0x2a; 160])
}

/// The end of key 2, which would have the caller transferred.
fn key(ssrc: u32, sequence: u16) -> Vec<u8> {
    packet(101, ssrc, sequence, &[2, 0x8a, 0x06, 0x40])
}

fn packet(payload_type: u8, ssrc: u32, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let timestamp = u32::from(sequence) * 160;
    let head = [&[0x80, payload_type][..], &sequence.to_be_bytes(), &timestamp.to_be_bytes(), &ssrc.to_be_bytes()];
    [head.concat(), payload.to_vec()].concat()
}

/// A receiver report that says half of everything is lost.
fn report(ssrc: u32) -> Vec<u8> {
    [&[0x81, 201, 0, 7][..], &ssrc.to_be_bytes(), &[0; 4], &[0x80, 0, 1, 0], &[0; 16]].concat()
}

/// All an attacker can do with one socket, knowing all of the phone's stream; how many datagrams that are.
fn attack(from: &UdpSocket, line: &Line, sequence: u16) -> Result<u64> {
    let beside = SocketAddr::new(line.far.ip(), line.far.port() + 1);
    for ssrc in [SSRC, 0x6666] {
        for (datagram, to) in [
            (audio(ssrc, sequence), line.far),
            (key(ssrc, sequence.wrapping_add(1)), line.far),
            (report(ssrc), line.far),
            (report(ssrc), beside),
        ] {
            from.send_to(&datagram, to)?;
        }
    }
    Ok(8)
}

fn got_nothing(socket: &UdpSocket) -> Result<()> {
    socket.set_nonblocking(true)?;
    let got = socket.recv_from(&mut [0; 2_048]);
    ensure!(got.is_err(), "an attacker was sent something: {got:?}");
    Ok(())
}

/// The first call whose sound was measured, by `ramal status`, once it is as it is waited for.
fn measured(stage: &Stage, ramal: &Ramal, awaited: impl Fn(&Value) -> bool) -> Result<Value> {
    let path = ramal.config.to_string_lossy().into_owned();
    let mut last = Value::Null;
    for _ in 0..200 {
        let ended = stage.run(&["status", "--json", "--config", &path])?;
        let line = ended.lines.iter().find(|line| line.starts_with('{')).context("no status")?;
        let status: Value = serde_json::from_str(line)?;
        last = status["media"][0].clone();
        if !last.is_null() && awaited(&last) {
            return Ok(last);
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
    anyhow::bail!("no call was measured as awaited: {last}")
}

/// RTP bleed and injection (CVE-2025-53399, ES2017-04): who is not the caller is neither heard nor sent to, before,
/// during and after the source is learnt; and all of it shows.
fn attacked(policy: &str, early: &[&str], late: &[&str]) -> Result<()> {
    let mut stage = stage()?;
    let settings = Settings::default().media(&format!("learn = \"{policy}\"")).secretary("demo", "");
    let mut ramal = stage.serve(&settings)?;
    let line = Line::dial(&mut stage, &ramal)?;
    let early = early.iter().map(|at| socket(at)).collect::<Result<Vec<_>>>()?;
    let late = late.iter().map(|at| socket(at)).collect::<Result<Vec<_>>>()?;
    let mut foreign = 0;
    line.hear()?;
    for n in 0..20 {
        for socket in &early {
            foreign += attack(socket, &line, n)?;
        }
        line.hear()?; // as fast as packets go, so that the kernel drops none
    }
    let first = early.first().context("an attacker")?.local_addr()?.to_string();
    let wanted = format!("RTP or RTCP from {first} is dropped");
    ramal.process.wait_for_line(&wanted, PATIENCE)?;
    // The phone speaks, and every packet of its is followed by the same from elsewhere, one ahead.
    for n in 0..200 {
        line.rtp.send_to(&audio(SSRC, n), line.far)?;
        for socket in early.iter().chain(&late) {
            foreign += attack(socket, &line, n.wrapping_add(1))?;
        }
        line.hear()?;
    }
    let call = measured(&stage, &ramal, |_| true)?;
    ensure!(call["remote"] == line.rtp.local_addr()?.to_string() && call["foreign_from"] == first, "{call}");
    ensure!(call["downlink"].is_null(), "a report was believed: {call}");
    early.iter().chain(&late).try_for_each(got_nothing)?;
    line.hang_up()?;
    let stored = stage.conversations(&ramal.config, 1)?;
    let media = &stored[0]["media_quality"];
    let counted = media["foreign"].as_u64().context("foreign")?;
    ensure!(media["received"] == 200 && (foreign / 2..=foreign).contains(&counted), "{foreign} were sprayed: {media}");
    ensure!(media["uplink"]["lost"] == 0 && media["uplink"]["mos_cq"].as_f64() > Some(4.4), "{media}");
    ensure!(!stored[0]["turns"].to_string().contains("DTMF"), "a key was heard: {}", stored[0]);
    ramal.end()?;
    stage.clear()
}

#[test]
fn an_attacker_at_another_address_is_never_heard_nor_sent_to() -> Result<()> {
    // Another port of the phone's own address is learnt only before the phone speaks.
    attacked("port", &["127.0.0.2:0", "127.0.0.3:0"], &["127.0.0.1:0"])
}

#[test]
fn where_only_the_signalled_source_counts_the_phones_own_address_is_no_excuse() -> Result<()> {
    attacked("signalled", &["127.0.0.1:0", "127.0.0.2:0"], &[])
}

/// The peer's reports are believed from where they must come from: they are the downlink of the record.
#[test]
fn reports_of_the_phone_make_the_downlink() -> Result<()> {
    let (mut stage, mut ramal) = house()?;
    let line = Line::dial(&mut stage, &ramal)?;
    let mut buffer = [0; 2_048];
    line.rtp.set_read_timeout(Some(PATIENCE))?;
    let length = line.rtp.recv(&mut buffer)?;
    let ssrc = buffer.get(8..12).filter(|_| length > 12).context("RTP")?.to_vec();
    let first = u16::from_be_bytes([buffer[2], buffer[3]]);
    for n in 0..100 {
        line.rtp.send_to(&audio(SSRC, n), line.far)?;
        line.hear()?;
    }
    let highest = u32::from(first) + 99;
    let block = [&ssrc[..], &[64, 0, 0, 25], &highest.to_be_bytes(), &[0, 0, 0, 80], &[0; 8]].concat();
    let report = [&[0x81, 201, 0, 7][..], &SSRC.to_be_bytes(), &block].concat();
    line.rtcp.send_to(&report, SocketAddr::new(line.far.ip(), line.far.port() + 1))?;
    let said = ramal.process.wait_for_line("the call sounds bad, us to caller", PATIENCE)?;
    ensure!(said.contains("25.0 % lost") && said.contains("jitter 10 ms"), "{said}");
    line.hang_up()?;
    let stored = stage.conversations(&ramal.config, 1)?;
    let down = &stored[0]["media_quality"]["downlink"];
    ensure!(down["expected"] == 100 && down["lost"] == 25 && down["jitter_ms"] == 10.0, "{down}");
    let path = ramal.config.to_string_lossy().into_owned();
    let metrics = stage.run(&["metrics", "--config", &path])?.lines.join("\n");
    ensure!(metrics.contains("ramal_media_lost_total{way=\"down\"} 25"), "{metrics}");
    ensure!(metrics.contains("ramal_media_mos_count{way=\"up\"} 1"), "{metrics}");
    ramal.end()?;
    stage.clear()
}

/// A phone of others, which tells how it hears us and answers our reports: both ways and the round trip are known.
fn baresip_and_we_report_to_each_other(rtcp_mux: bool) -> Result<()> {
    let (mut stage, ramal) = house()?;
    let folder = stage.folder().to_owned();
    let quiet = folder.join("quiet.wav");
    sound::write(&quiet, &Sound { rate: 8_000, samples: vec![0; 8_000 * 60] })?;
    let line = Account { rtcp_mux, ..Account::default() };
    let mut phone = Baresip::obedient(&quiet, &line, &mut stage.ports, &folder)?;
    phone.dial(&ramal.uri("demo"))?;
    let call = measured(&stage, &ramal, |call| !call["round_trip_ms"].is_null() && !call["downlink"].is_null())?;
    phone.hang_up()?;
    let few = |way: &Value| Some(way["lost"].as_u64()? * 20 < way["expected"].as_u64()?);
    ensure!(few(&call["uplink"]) == Some(true) && few(&call["downlink"]) == Some(true), "{call}");
    ensure!(call["round_trip_ms"].as_f64() < Some(100.0) && call["foreign"] == 0, "{call}");
    let media = stage.conversations(&ramal.config, 1)?.remove(0)["media_quality"].take();
    ensure!(media["downlink"]["mos_cq"].as_f64() > Some(4.0) && media["uplink"]["r"].as_f64() > Some(80.0), "{media}");
    drop(phone);
    ramal.end()?;
    stage.clear()
}

#[test]
fn baresip_and_we_report_to_each_other_on_the_next_port() -> Result<()> {
    baresip_and_we_report_to_each_other(false)
}

#[test]
fn baresip_and_we_report_to_each_other_on_one_port() -> Result<()> {
    baresip_and_we_report_to_each_other(true)
}

/// More calls than ports: 503 with Retry-After and a Reason that says so, and a count; a port rests after its call.
#[test]
fn ports_that_run_out_are_told_and_those_of_a_call_that_ended_rest() -> Result<()> {
    let (mut stage, ramal) = house()?;
    let first = Line::dial(&mut stage, &ramal)?;
    let ended = first.far;
    first.hang_up()?;
    stage.conversations(&ramal.config, 1)?;
    let mut lines = Vec::new();
    for _ in 0..6 {
        let line = Line::dial(&mut stage, &ramal)?;
        ensure!(line.far.port() % 2 == 0 && line.far != ended, "{} after {ended}", line.far);
        lines.push(line);
    }
    // Only ports that rest are left; callers get those, too.
    for _ in 0..2 {
        lines.push(Line::dial(&mut stage, &ramal)?);
    }
    let wire = Wire::new(ramal.sip)?;
    wire.send(&wire.request("INVITE", "", "1 INVITE", FROM, &offer(stage.ports.run(2)?.0, ""))?)?;
    let refusal = wire.receive()?;
    let says = |text: &str| refusal.contains(text);
    ensure!(
        says("SIP/2.0 503") && says("Retry-After: ") && says("Reason: SIP;cause=503") && says("RTP ports"),
        "{refusal}"
    );
    let path = ramal.config.to_string_lossy().into_owned();
    let metrics = stage.run(&["metrics", "--config", &path])?.lines;
    for line in ["ramal_rtp_ports 8", "ramal_rtp_ports_free 0", "ramal_rtp_ports_exhausted_total 1"] {
        ensure!(metrics.iter().any(|found| found == line), "{line}:\n{}", metrics.join("\n"));
    }
    lines.iter().try_for_each(Line::hang_up)?;
    ramal.end()?;
    stage.clear()
}

fn impatient() -> Result<(Stage, Ramal)> {
    let mut stage = stage()?;
    let settings = Settings::default().media("silence_warning_s = 1\nmedia_timeout_s = 3").secretary("demo", "");
    let ramal = stage.serve(&settings)?;
    Ok((stage, ramal))
}

#[test]
fn a_phone_that_never_sends_is_named_and_then_hung_up_on() -> Result<()> {
    let (mut stage, mut ramal) = impatient()?;
    let line = Line::dial(&mut stage, &ramal)?;
    let expected = line.rtp.local_addr()?;
    let silence = format!("expected from {expected}, none ever came");
    let warned = ramal.process.wait_for_line(&silence, PATIENCE)?;
    ensure!(warned.contains("no RTP from the caller for 1."), "{warned}");
    let bye = line.hung_up()?;
    ensure!(bye.contains("Reason: SIP;cause=408;text=\"Media timeout: no RTP from the phone\""), "{bye}");
    let stored = stage.conversations(&ramal.config, 1)?;
    let reason = stored[0]["end_reason"].as_str().context("a reason")?;
    ensure!(reason.starts_with("no RTP from the caller for 3.") && reason.ends_with(&silence), "{reason}");
    ensure!(stored[0]["outcome"] == "failed", "{}", stored[0]);
    ramal.end()?;
    stage.clear()
}

#[test]
fn a_phone_that_falls_silent_is_told_from_one_that_sends_from_elsewhere() -> Result<()> {
    let (mut stage, mut ramal) = impatient()?;
    let line = Line::dial(&mut stage, &ramal)?;
    for n in 0..50 {
        line.rtp.send_to(&audio(SSRC, n), line.far)?;
        line.hear()?;
    }
    let elsewhere = socket("127.0.0.2:0")?;
    for n in 50..53 {
        elsewhere.send_to(&audio(SSRC, n), line.far)?;
    }
    let silence = format!("expected from {}, the last came", line.rtp.local_addr()?);
    let said = ramal.process.wait_for_line(&silence, PATIENCE)?;
    let who = format!(", 3 from elsewhere dropped (the first of the call from {})", elsewhere.local_addr()?);
    ensure!(said.contains(&who), "{said}");
    line.hung_up()?;
    ramal.end()?;
    stage.clear()
}

/// RFC 3264 §8.4: on hold a phone may send nothing.
#[test]
fn a_phone_on_hold_may_be_silent() -> Result<()> {
    let (mut stage, ramal) = impatient()?;
    let line = Line::dial(&mut stage, &ramal)?;
    let held = offer(line.rtp.local_addr()?.port(), "a=sendonly\n").replace("o=- 1 1", "o=- 1 2");
    let status = line.request(2, "INVITE", &held)?;
    ensure!(status.starts_with("SIP/2.0 200"), "{status}");
    line.wire.send(&line.wire.request("ACK", &line.tag, "2 ACK", FROM, "")?)?;
    let bye = line.wire.receive();
    ensure!(bye.is_err(), "five seconds of hold: {bye:?}");
    line.hang_up()?;
    ramal.end()?;
    stage.clear()
}
