//! Registration, with SIPp as FreeSWITCH's registrar.
use crate::stage;
use anyhow::{Context, Result, ensure};
use std::time::Duration;
use testkit::{
    sipp::{Sipp, SippRun, Transport},
    stage::{Ramal, Settings, Stage},
};

/// Starts the registrar, then the server that registers with it.
fn register(scenario: &str, transport: Transport, stage: &mut Stage) -> Result<(SippRun, Ramal)> {
    let folder = stage.folder().to_owned();
    let sipp = Sipp::new(scenario).over(transport).key("expires", 4).patience(Duration::from_secs(40));
    let registrar = sipp.start(&mut stage.ports, &folder)?;
    let word = if transport == Transport::Udp { "udp" } else { "tcp" };
    let settings = Settings::default().secretary("demo", "").with(&format!(
        r#"
[[registrations]]
registrar = "{}"
transport = "{word}"
domain = "test.local"
user = "2000"
password = "s3cret"
expires_s = 600
"#,
        registrar.local()
    ));
    Ok((registrar, stage.serve(&settings)?))
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
