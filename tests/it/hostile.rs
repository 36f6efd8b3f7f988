//! Bad input: a clear answer or none, and the process and all other calls unharmed.
use crate::{house, stage};
use anyhow::{Result, ensure};
use sqlx::Connection;
use std::{io::Write, net::TcpStream, net::UdpSocket, time::Duration};
use testkit::{
    ear::Ear,
    process::Process,
    sipp::Sipp,
    stage::{Settings, Stage},
};

/// Datagrams nobody should send.
fn garbage() -> Vec<Vec<u8>> {
    let text = |text: &str| text.replace('\n', "\r\n").into_bytes();
    let mut all = vec![
        Vec::new(),
        vec![0],
        vec![0xff; 1_400],
        b"\r\n\r\n".to_vec(),
        text("INVITE\n\n"),
        text("INVITE sip:demo@127.0.0.1 SIP/2.0\n\n"),
        text("INVITE sip:demo@127.0.0.1 SIP/9.9\nVia: x\n\n"),
        text("SIP/2.0 999999 \n\n"),
        text("SIP/2.0 200 OK\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKnobody\nCSeq: 1 INVITE\n\n"),
        text(
            "INVITE sip:demo@127.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1:9\nContent-Length: 99999999999999999999\n\n",
        ),
        text("INVITE sip:demo@127.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1:9\nContent-Length: -1\n\nx"),
        text(
            "OPTIONS sip:\u{0}\u{7f}é SIP/2.0\nVia: SIP/2.0/UDP [::1:9;branch=\nCSeq: 99999999999 OPTIONS\nFrom: <\nTo: \"\n\n",
        ),
        text(&format!("OPTIONS sip:demo@127.0.0.1 SIP/2.0\n{}\n", "X-Long: y\n".repeat(5_000))),
        text(&format!("OPTIONS sip:demo@127.0.0.1 SIP/2.0\nVia: {}\n\n", "a,".repeat(20_000))),
    ];
    // Every prefix of a good message, so that each place where it may break off is met.
    let good = text(
        "INVITE sip:demo@127.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKgarbage\nMax-Forwards: 70\n\
         From: \"x\" <sip:x@127.0.0.1>;tag=1\nTo: <sip:demo@127.0.0.1>\nCall-ID: garbage\nCSeq: 1 INVITE\n\
         Contact: <sip:x@127.0.0.1:9>\nContent-Type: application/sdp\nContent-Length: 5\n\nv=0\n",
    );
    all.extend((0..good.len()).step_by(7).filter_map(|length| Some(good.get(..length)?.to_vec())));
    all
}

#[test]
fn garbage_hurts_neither_the_process_nor_a_call() -> Result<()> {
    let (mut stage, ramal) = house()?;
    let folder = stage.folder().to_owned();
    let port = stage.ports.run(2)?.0;
    let ear = Ear::open(port)?;
    let call = Sipp::new("uac_invite").to(ramal.sip).audio(port).start(&mut stage.ports, &folder)?;
    ear.wait(5, Duration::from_secs(10))?;
    let media = ear.heard()[0].from;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    for datagram in garbage() {
        // The system itself may refuse a datagram that is too long; the others count.
        drop(socket.send_to(&datagram, ramal.sip));
        ear.send(datagram.get(..1_400).unwrap_or(&datagram), media)?;
        drop(socket.send_to(&datagram, media));
        let mut stream = TcpStream::connect(ramal.sip)?;
        // Ramal may close the connection while we still write to it.
        drop(stream.write_all(&datagram));
    }
    call.finish()?;
    ensure!(ear.count() >= 60, "{} packets: the call went on", ear.count());
    Sipp::new("uac_options").to(ramal.sip).run(&mut stage.ports, &folder)?;
    ramal.end()?;
    stage.clear()
}

/// A call to a secretary of OpenAI that fails; what is stored must say `failed`, and the local secretary still answers.
fn provider_fails(url: &str, key: &str, mut stage: Stage) -> Result<()> {
    let settings = Settings::default().secretary("demo", "").with(&format!(
        r#"
[openai]
url = "{url}"
{key}
[[secretaries]]
domain = "demo.example"
name = "cloud"
extension = "cloud"
provider = "openai"
"#
    ));
    let ramal = stage.serve(&settings)?;
    let folder = stage.folder().to_owned();
    let refused = Sipp::new("uac_invite").to(ramal.sip).service("cloud").run(&mut stage.ports, &folder);
    let message = refused.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(message.contains("SIP/2.0 503"), "the caller is refused with 503, and no other voice answers: {message}");
    let stored = stage.conversations(&ramal.config, 1)?;
    ensure!(stored[0]["outcome"] == "failed", "{}", stored[0]);
    ensure!(!stored[0].to_string().contains("sk-secret"), "a key is in the record: {}", stored[0]);
    Sipp::new("uac_invite").to(ramal.sip).run(&mut stage.ports, &folder)?;
    let log = ramal.end()?;
    ensure!(!log.iter().any(|line| line.contains("sk-secret")), "a key is in the log");
    stage.clear()
}

#[test]
fn a_provider_that_is_down() -> Result<()> {
    let mut stage = stage()?;
    let nobody = stage.ports.address()?;
    provider_fails(&format!("ws://{nobody}/v1/realtime"), "api_key = \"sk-secret\"", stage)
}

#[test]
fn a_missing_key_is_no_local_voice() -> Result<()> {
    let mut stage = stage()?;
    let nobody = stage.ports.address()?;
    provider_fails(&format!("ws://{nobody}/v1/realtime"), "", stage)
}

#[test]
fn a_wrong_configuration_is_named() -> Result<()> {
    let stage = stage()?;
    let file = stage.folder().join("wrong.toml");
    for (toml, wants) in [
        ("[sip]\nudp = [\"nowhere\"]\n", vec!["wrong.toml", "sip.udp", "nowhere", "address and a port"]),
        ("[sip]\nupd = []\n", vec!["wrong.toml", "sip.upd", "unknown key", "udp"]),
        ("[rtp]\nports = \"1-2\"\n", vec!["wrong.toml", "rtp.ports"]),
        ("[[registrations]]\nuser = \"2000\"\n", vec!["registrar", "password", "missing"]),
    ] {
        std::fs::write(&file, toml)?;
        let ended = stage.run(&["serve", "--config", &file.to_string_lossy()])?;
        let said = ended.lines.join("\n");
        ensure!(!ended.status.success(), "accepted: {toml}");
        ensure!(wants.iter().all(|want| said.contains(want)), "{wants:?} wanted, said:\n{said}");
    }
    stage.clear()
}

/// Another program holds the SQLite file while a call ends: the caller notices nothing, and the record is stored once
/// the file is free again, here by the next start.
#[test]
fn a_locked_database_loses_no_conversation() -> Result<()> {
    let (mut stage, ramal) = house()?;
    let folder = stage.folder().to_owned();
    let file = folder.join(format!("ramal-{}.db", ramal.sip.port()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let lock = runtime.block_on(async {
        let mut connection = sqlx::SqliteConnection::connect(&format!("sqlite:{}", file.display())).await?;
        sqlx::raw_sql("begin immediate").execute(&mut connection).await?;
        anyhow::Ok(connection)
    })?;
    Sipp::new("uac_invite").to(ramal.sip).run(&mut stage.ports, &folder)?;
    let (config, sip) = (ramal.config.clone(), ramal.sip);
    ramal.end()?;
    runtime.block_on(lock.close())?;
    let path = config.to_string_lossy().into_owned();
    let mut again = Process::start("ramal serve", &mut stage.command(&["serve", "--config", &path]))?;
    again.wait_for_line(&format!("listening udp {sip}"), Duration::from_secs(20))?;
    let stored = stage.conversations(&config, 1)?;
    ensure!(stored.len() == 1 && stored[0]["destination"] == "demo", "{stored:?}");
    again.terminate()?;
    again.wait(Duration::from_secs(20))?;
    stage.clear()
}
