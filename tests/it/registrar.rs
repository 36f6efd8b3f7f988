//! Registration, with SIPp as FreeSWITCH's registrar.
use crate::stage;
use anyhow::{Context, Result, ensure};
use std::{net::UdpSocket, time::Duration};
use testkit::{
    dns::Dns,
    sipp::{Sipp, SippRun, Transport},
    stage::{Ramal, Settings, Stage},
};

/// Starts the registrar, then the server that registers with it.
fn register(scenario: &str, transport: Transport, stage: &mut Stage) -> Result<(SippRun, Ramal)> {
    let folder = stage.folder().to_owned();
    let sipp = Sipp::new(scenario).over(transport).key("expires", 4).patience(Duration::from_secs(40));
    let registrar = sipp.start(&mut stage.ports, &folder)?;
    let word = if transport == Transport::Udp { "udp" } else { "tcp" };
    let settings = account(&format!("registrar = \"{}\"\ntransport = \"{word}\"", registrar.local()));
    Ok((registrar, stage.serve(&settings)?))
}

/// A server with one account; `keys` say where.
fn account(keys: &str) -> Settings {
    Settings::default().secretary("demo", "").with(&format!(
        r#"
[[registrations]]
{keys}
domain = "test.local"
user = "2000"
password = "s3cret"
expires_s = 600
"#
    ))
}

/// Waits until the registrar has sent `count` times `text`.
fn seen(registrar: &SippRun, text: &str, count: usize, ramal: &Ramal) -> Result<()> {
    for _ in 0..1_000 {
        if registrar.messages().is_ok_and(|messages| messages.matches(text).count() >= count) {
            return Ok(());
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    anyhow::bail!("the registrar has not {count} times {text:?}:\n{:?}\n{}", registrar.messages(), ramal.process)
}

/// Registers, then ends the server, which must take its contact back.
fn comes_and_goes(scenario: &str, transport: Transport, granted: usize) -> Result<()> {
    let mut stage = stage()?;
    let (registrar, ramal) = register(scenario, transport, &mut stage)?;
    seen(&registrar, "SIP/2.0 200 OK", granted, &ramal)?;
    let log = ramal.end()?;
    registrar.finish().with_context(|| log.join("\n"))?;
    stage.clear()
}

#[test]
fn register_and_unregister_udp() -> Result<()> {
    comes_and_goes("uas_register", Transport::Udp, 1)
}

#[test]
fn register_and_unregister_tcp() -> Result<()> {
    comes_and_goes("uas_register", Transport::Tcp, 1)
}

#[test]
fn a_registration_is_refreshed() -> Result<()> {
    comes_and_goes("uas_register_refresh", Transport::Udp, 2)
}

#[test]
fn a_stale_nonce() -> Result<()> {
    comes_and_goes("uas_register_stale", Transport::Udp, 1)
}

#[test]
fn two_challenges() -> Result<()> {
    comes_and_goes("uas_register_two", Transport::Udp, 1)
}

#[test]
fn forbidden_is_final() -> Result<()> {
    let mut stage = stage()?;
    let (registrar, ramal) = register("uas_register_forbidden", Transport::Udp, &mut stage)?;
    let messages = registrar.finish()?;
    let tries = messages.lines().filter(|line| line.starts_with("REGISTER ")).count();
    ensure!(tries == 2, "one challenged, one proved, none after the 403: {tries} REGISTER");
    ramal.end()?;
    stage.clear()
}

/// Registers with a registrar that only DNS knows, over TCP, and takes the contact back. `records` are made with the port
/// of the registrar and one where nobody listens. Returns what DNS was asked, and all messages.
fn located(keys: &str, records: impl FnOnce(u16, u16) -> Vec<String>) -> Result<(Vec<String>, String)> {
    let mut stage = stage()?;
    let folder = stage.folder().to_owned();
    let sipp = Sipp::new("uas_register").over(Transport::Tcp).patience(Duration::from_secs(40));
    let registrar = sipp.start(&mut stage.ports, &folder)?;
    let dead = stage.ports.port()?;
    let dns = Dns::serve(&records(registrar.local().port(), dead), &mut stage.ports)?;
    let ramal = stage.serve(&account(keys).sip(&format!("dns = [\"{}\"]", dns.at())))?;
    seen(&registrar, "SIP/2.0 200 OK", 1, &ramal).with_context(|| dns.lines().join("\n"))?;
    let log = ramal.end()?;
    let messages = registrar.finish().with_context(|| log.join("\n"))?;
    stage.clear()?;
    Ok((dns.lines(), messages))
}

/// RFC 3263 §4.3, RFC 2782: nobody listens at the preferred of two servers.
#[test]
fn a_dead_registrar_is_followed_by_the_next_of_its_srv_records() -> Result<()> {
    let keys = "registrar = \"pbx.example\"\ntransport = \"tcp\"";
    let (asked, _) = located(keys, |alive, dead| {
        vec![
            format!("srv-host=_sip._tcp.pbx.example,one.pbx.example,{dead},10,0"),
            format!("srv-host=_sip._tcp.pbx.example,two.pbx.example,{alive},20,0"),
            "host-record=one.pbx.example,127.0.0.1".into(),
            "host-record=two.pbx.example,127.0.0.1".into(),
        ]
    })?;
    ensure!(!asked.iter().any(|line| line.contains("query[NAPTR]")), "the transport is given: {asked:?}");
    Ok(())
}

/// RFC 3263 §4.1: where nobody says over what, NAPTR does. UDP would lead to nobody.
#[test]
fn naptr_records_choose_the_transport() -> Result<()> {
    let (asked, _) = located("registrar = \"pbx.example\"", |alive, dead| {
        vec![
            "naptr-record=pbx.example,10,10,s,SIP+D2T,,_sip._tcp.pbx.example".into(),
            "naptr-record=pbx.example,20,10,s,SIP+D2U,,_sip._udp.pbx.example".into(),
            format!("srv-host=_sip._tcp.pbx.example,one.pbx.example,{alive},10,0"),
            format!("srv-host=_sip._udp.pbx.example,one.pbx.example,{dead},10,0"),
            "host-record=one.pbx.example,127.0.0.1".into(),
        ]
    })?;
    ensure!(!asked.iter().any(|line| line.contains("_sip._udp")), "UDP is not looked for: {asked:?}");
    Ok(())
}

/// RFC 3261 §8.1.1.1: REGISTER goes to the outbound proxy, with a Route that names it.
#[test]
fn an_outbound_proxy_is_located_in_place_of_the_registrar() -> Result<()> {
    let keys = "registrar = \"test.local\"\noutbound_proxy = \"sip:edge.example;transport=tcp\"";
    let (asked, messages) = located(keys, |alive, _| {
        vec![
            format!("srv-host=_sip._tcp.edge.example,edge.example,{alive},10,0"),
            "host-record=edge.example,127.0.0.1".into(),
        ]
    })?;
    ensure!(!asked.iter().any(|line| line.contains("test.local")), "the registrar is not looked for: {asked:?}");
    ensure!(messages.contains("Route: <sip:edge.example;transport=tcp;lr>"), "{messages}");
    Ok(())
}

/// A registrar that grants every REGISTER, and answers no ping: `ramal status` shows it before the registration ends.
#[test]
fn a_registrar_that_answers_no_ping_is_shown_as_failed() -> Result<()> {
    let mut stage = stage()?;
    let registrar = UdpSocket::bind("127.0.0.1:0")?;
    registrar.set_read_timeout(Some(Duration::from_secs(20)))?;
    let keys = format!("registrar = \"{}\"\ntransport = \"udp\"\nping_s = 10", registrar.local_addr()?);
    let ramal = stage.serve(&account(&keys))?;
    let mut buffer = [0; 65_535];
    loop {
        let (length, from) = registrar.recv_from(&mut buffer).context("no ping")?;
        let request = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
        if request.starts_with("OPTIONS sip:test.local SIP/2.0") {
            break;
        }
        let echoed = |line: &&str| ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|h| line.starts_with(h));
        let echo: Vec<&str> = request.lines().filter(echoed).collect();
        let ok = format!("SIP/2.0 200 OK\r\n{}\r\nExpires: 600\r\nContent-Length: 0\r\n\r\n", echo.join("\r\n"));
        registrar.send_to(ok.as_bytes(), from)?;
    }
    let config = ramal.config.to_string_lossy().into_owned();
    let mut shown = String::new();
    for _ in 0..100 {
        shown = stage.run(&["status", "--config", &config])?.lines.join("\n");
        if shown.contains("failed") {
            ensure!(shown.contains("last answer 408"), "{shown}");
            ramal.end()?;
            return stage.clear();
        }
        std::thread::park_timeout(Duration::from_millis(200));
    }
    anyhow::bail!("{shown}\n{}", ramal.process)
}
