//! What a running server tells about its messages and registrations, by the commands that ask it.
use crate::stage;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::{
    net::UdpSocket,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use testkit::{
    process::Process,
    sipp::{Sipp, Transport},
    stage::{Ramal, Settings, Stage},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A server with a control socket of its own.
struct Asked {
    stage: Stage,
    ramal: Ramal,
    socket: PathBuf,
}

fn asked(more: &str) -> Result<Asked> {
    let mut stage = stage()?;
    let socket = stage.folder().join("control.sock");
    let control = format!("[control]\nsocket = \"{}\"\n{more}", socket.display());
    let ramal = stage.serve(&Settings::default().secretary("demo", "").with(&control))?;
    Ok(Asked { stage, ramal, socket })
}

impl Asked {
    /// What a command that asks this server prints.
    fn ask(&self, arguments: &[&str]) -> Result<Vec<String>> {
        let socket = self.socket.to_string_lossy();
        let ended = self.stage.run(&[arguments, &["--socket", &socket]].concat())?;
        ensure!(ended.status.success(), "{arguments:?}: {}\n{}", ended.status, ended.lines.join("\n"));
        Ok(ended.lines)
    }

    fn play(&mut self, scenario: &str, transport: Transport) -> Result<()> {
        let folder = self.stage.folder().to_owned();
        let sipp = Sipp::new(scenario).to(self.ramal.sip).over(transport);
        sipp.run(&mut self.stage.ports, &folder).map(drop).with_context(|| format!("{}", self.ramal.process))
    }

    fn end(self) -> Result<()> {
        self.ramal.end()?;
        ensure!(!self.socket.exists(), "the socket goes with its server");
        self.stage.clear()
    }
}

/// The first line of each message of the last call, with its arrow.
fn messages(asked: &Asked) -> Result<Vec<(String, String)>> {
    let lines = asked.ask(&["trace", "--json"])?;
    lines
        .iter()
        .map(|line| {
            let message: Value = serde_json::from_str(line)?;
            let text = message["message"].as_str().context("not text")?;
            let first = text.lines().next().unwrap_or_default().to_owned();
            Ok((message["direction"].as_str().unwrap_or_default().to_owned(), first))
        })
        .collect()
}

/// What Wireshark reads: method or status, and Call-ID, of each message.
fn tshark(file: &Path) -> Result<Vec<(String, String)>> {
    let fields = ["-T", "fields", "-e", "sip.Method", "-e", "sip.Status-Code", "-e", "sip.Call-ID"];
    let output = Command::new("tshark").arg("-r").arg(file).args(fields).output().context("tshark is not installed")?;
    ensure!(output.status.success(), "tshark: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    text.lines()
        .map(|line| match line.split('\t').collect::<Vec<_>>()[..] {
            [method, status, call_id] => Ok((format!("{method}{status}"), call_id.to_owned())),
            _ => bail!("tshark: {line:?}"),
        })
        .collect()
}

fn a_call_is_shown_and_captured(transport: Transport) -> Result<()> {
    let mut asked = asked("")?;
    let mode = std::fs::metadata(&asked.socket)?.permissions().mode();
    ensure!(mode & 0o777 == 0o600, "the socket has mode {mode:o}");
    asked.play("uac_invite", transport)?;
    let ladder = asked.ask(&["trace"])?;
    let mut rest = ladder.iter();
    for want in ["─ INVITE ─", "─ 100 Trying ─│", "─ 200 OK ─│", "─ ACK ─", "─ BYE ─", "─ 200 OK ─│"]
    {
        ensure!(rest.any(|line| line.contains(want)), "{want} in this order:\n{}", ladder.join("\n"));
    }
    let text = ladder.join("\n");
    for want in ["SDP PCMU telephone-event", "sip:demo@", "FreeSWITCH", "Ramal", &asked.ramal.sip.to_string()] {
        ensure!(text.contains(want), "{want}:\n{text}");
    }
    ensure!(!text.contains('\x1b'), "no colours where there is no terminal");
    let messages = messages(&asked)?;
    let in_full = asked.ask(&["trace", "--messages"])?;
    ensure!(in_full.iter().any(|line| line.trim() == "a=rtpmap:101 telephone-event/8000"), "{in_full:?}");

    let file = asked.stage.folder().join("call.pcap");
    asked.ask(&["trace", "--pcap", &file.to_string_lossy()])?;
    let seen = tshark(&file)?;
    let want: Vec<&str> = messages
        .iter()
        .map(|(_, first)| first.strip_prefix("SIP/2.0 ").unwrap_or(first).split(' ').next().unwrap_or_default())
        .collect();
    let read: Vec<&str> = seen.iter().map(|(what, _)| what.as_str()).collect();
    ensure!(read == want && want.len() >= 6, "tshark reads {read:?}, kept are {want:?}");

    let conversations = asked.stage.conversations(&asked.ramal.config, 1)?;
    let uuid = conversations[0]["conversation_uuid"].as_str().context("no uuid")?.to_owned();
    let by_conversation = asked.ask(&["trace", &uuid])?;
    ensure!(by_conversation == ladder, "{by_conversation:?}");
    let list = asked.ask(&["trace", "--list"])?;
    ensure!(list.len() == 1 && list[0].starts_with("over") && list[0].ends_with(&seen[0].1), "{list:?}");
    let log = asked.ramal.process.lines();
    let placed = log.iter().find(|line| line.contains("provider=")).context("no line of the call")?;
    for want in [format!("id={uuid}"), format!("call_id=\"{}\"", seen[0].1), "domain=\"demo.example\"".into()] {
        ensure!(placed.contains(&want), "{want}: {placed}");
    }
    asked.end()
}

#[test]
fn a_call_over_udp_is_shown_and_captured() -> Result<()> {
    a_call_is_shown_and_captured(Transport::Udp)
}

#[test]
fn a_call_over_tcp_is_shown_and_captured() -> Result<()> {
    a_call_is_shown_and_captured(Transport::Tcp)
}

#[test]
fn a_call_is_followed_while_it_happens() -> Result<()> {
    let mut asked = asked("")?;
    let socket = asked.socket.to_string_lossy().into_owned();
    let mut command = asked.stage.command(&["trace", "--follow", "--socket", &socket]);
    let mut follower = Process::start("ramal trace", &mut command)?;
    follower.wait_for_line("following", PATIENCE)?;
    asked.play("uac_options", Transport::Udp)?;
    asked.play("uac_invite", Transport::Udp)?;
    for want in ["─ INVITE ─", "─ 200 OK ─│", "─ ACK ─", "─ BYE ─"] {
        follower.wait_for_line(want, PATIENCE)?;
    }
    ensure!(!follower.lines().iter().any(|line| line.contains("OPTIONS")), "pings are routine: {:?}", follower.lines());
    follower.terminate()?;
    follower.wait(PATIENCE)?;
    asked.end()
}

#[test]
fn a_registration_is_shown_without_its_secret() -> Result<()> {
    let mut stage = stage()?;
    let folder = stage.folder().to_owned();
    let socket = folder.join("control.sock");
    let sipp = Sipp::new("uas_register").key("expires", 4).patience(Duration::from_secs(40));
    let registrar = sipp.start(&mut stage.ports, &folder)?;
    let settings = Settings::default().with(&format!(
        "[control]\nsocket = \"{}\"\n[[registrations]]\nregistrar = \"{}\"\ndomain = \"test.local\"\nuser = \"2000\"\n\
         password = \"s3cret\"\nexpires_s = 600\n",
        socket.display(),
        registrar.local()
    ));
    let ramal = stage.serve(&settings)?;
    let asked = Asked { stage, ramal, socket };
    let mut registered = Value::Null;
    // Each look is a process, so this is no busy loop.
    for _ in 0..100 {
        let status: Value = serde_json::from_str(&asked.ask(&["status", "--json"])?.concat())?;
        registered = status["registrations"][0].clone();
        if registered["state"] == "registered" {
            break;
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    ensure!(registered["account"] == "2000@test.local" && registered["code"] == 200, "{registered}");
    ensure!(registered["next_in_s"].as_u64() <= registered["expires_s"].as_u64(), "{registered}");
    let metrics = asked.ask(&["metrics"])?;
    ensure!(metrics.iter().any(|line| line == "ramal_sip_registrations{state=\"registered\"} 1"), "{metrics:?}");
    ensure!(asked.ask(&["trace", "--list"])?.concat().contains("No call"), "a registration is no call");
    let list = asked.ask(&["trace", "--list", "--all"])?;
    let call_id = list.first().and_then(|line| line.split_whitespace().last()).context("no registration is kept")?;
    let text = asked.ask(&["trace", "--messages", call_id])?.join("\n");
    ensure!(text.contains("response=\"********************************\""), "{text}");
    ensure!(text.contains("challenge of") && text.contains("with credentials"), "{text}");
    asked.ramal.end()?;
    registrar.finish()?;
    asked.stage.clear()
}

#[test]
fn a_collector_hears_every_message() -> Result<()> {
    let homer = UdpSocket::bind("127.0.0.1:0")?;
    homer.set_read_timeout(Some(PATIENCE))?;
    let more = format!("[trace]\ncalls = 0\nhep = \"{}\"\nhep_id = 7\nhep_password = \"pass\"\n", homer.local_addr()?);
    let mut asked = asked(&more)?;
    asked.play("uac_options", Transport::Udp)?;
    let mut buffer = [0; 65_535];
    for first in ["OPTIONS sip:", "SIP/2.0 200 "] {
        let length = homer.recv(&mut buffer)?;
        let packet = &buffer[..length];
        ensure!(packet.starts_with(b"HEP3"), "{packet:?}");
        let text = String::from_utf8_lossy(packet).into_owned();
        ensure!(text.contains(first) && text.contains("pass"), "{text}");
    }
    let ended = asked.stage.run(&["trace", "--socket", &asked.socket.to_string_lossy()])?;
    ensure!(ended.lines.concat().contains("has seen no call"), "nothing is kept: {:?}", ended.lines);
    asked.end()
}

#[test]
fn without_a_server_the_message_says_what_to_do() -> Result<()> {
    let stage = stage()?;
    let socket = stage.folder().join("none.sock");
    let ended = stage.run(&["status", "--socket", &socket.to_string_lossy()])?;
    ensure!(ended.status.code() == Some(1), "{}", ended.status);
    ensure!(ended.lines.concat().contains("is `ramal serve` running?"), "{:?}", ended.lines);
    stage.clear()
}
