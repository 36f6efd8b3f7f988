//! Several listeners at once: IPv6, TLS with and without certificates of clients, and certificates that change.
use crate::{
    stage,
    wire::{FROM, OFFER, Wire, tag},
};
use anyhow::{Context, Result, ensure};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use testkit::{
    authority::Authority,
    sipp::Sipp,
    stage::{Ramal, Settings, Stage},
};

/// `[[listeners]]` for one more.
fn listener(transport: &str, address: SocketAddr) -> String {
    format!("[[listeners]]\ntransport = \"{transport}\"\naddress = \"{address}\"\n")
}

/// Calls 8000 over TLS with Ramal's own phone; whether the call was answered, and what was printed.
fn call(stage: &Stage, at: SocketAddr, authority: &Authority) -> Result<(bool, String)> {
    let uri = format!("sip:8000@{at};transport=tls");
    let ca = authority.file.to_string_lossy().into_owned();
    let ended = stage.run(&["call", &uri, "--duration", "1", "--ca-file", &ca, "--json"])?;
    Ok((ended.status.success(), ended.lines.join("\n")))
}

/// A server with one TLS listener; `more` belongs to `[tls]`.
fn serve(stage: &mut Stage, tls: &str) -> Result<(Ramal, SocketAddr)> {
    let at = stage.ports.address()?;
    let settings = Settings::default().with(&listener("tls", at)).with(tls).secretary("8000", "");
    let mut ramal = stage.serve(&settings)?;
    ramal.process.wait_for_line(&format!("listening tls {at}"), Duration::from_secs(5))?;
    Ok((ramal, at))
}

#[test]
fn a_call_over_tls_is_answered_and_an_unknown_authority_is_not_believed() -> Result<()> {
    let mut stage = stage()?;
    let (ours, other) = (Authority::new(stage.folder(), "ours")?, Authority::new(stage.folder(), "other")?);
    let tls = ours.certify(stage.folder(), "server")?.toml();
    let (ramal, at) = serve(&mut stage, &tls)?;
    let (answered, said) = call(&stage, at, &ours)?;
    ensure!(answered, "{said}");
    let (answered, said) = call(&stage, at, &other)?;
    ensure!(!answered && said.contains("503"), "{said}");
    ramal.end()?;
    stage.clear()
}

#[test]
fn a_client_without_the_certificate_asked_for_cannot_call() -> Result<()> {
    let mut stage = stage()?;
    let ours = Authority::new(stage.folder(), "ours")?;
    let ca = ours.file.to_string_lossy().into_owned();
    for (wanted, expected) in [("optional", true), ("required", false)] {
        let tls = format!(
            "{}verify_clients = {wanted:?}\nclient_ca_file = {ca:?}\n",
            ours.certify(stage.folder(), wanted)?.toml()
        );
        let (ramal, at) = serve(&mut stage, &tls)?;
        let (answered, said) = call(&stage, at, &ours)?;
        ensure!(answered == expected, "{wanted}: {said}");
        ramal.end()?;
    }
    stage.clear()
}

#[test]
fn a_certificate_is_changed_without_a_restart() -> Result<()> {
    let mut stage = stage()?;
    let (old, new) = (Authority::new(stage.folder(), "old")?, Authority::new(stage.folder(), "new")?);
    let tls = old.certify(stage.folder(), "server")?.toml();
    let (mut ramal, at) = serve(&mut stage, &tls)?;
    ensure!(call(&stage, at, &old)?.0);
    new.certify(stage.folder(), "server")?;
    ramal.process.hang_up()?;
    ramal.process.wait_for_line("Configuration read again", Duration::from_secs(10))?;
    let (answered, said) = call(&stage, at, &new)?;
    ensure!(answered, "{said}");
    ensure!(!call(&stage, at, &old)?.0, "the old certificate is still shown");
    ramal.end()?;
    stage.clear()
}

#[test]
fn ipv6_has_a_listener_and_audio_of_its_own() -> Result<()> {
    let mut stage = stage()?;
    let six = SocketAddr::new("::1".parse()?, stage.ports.port()?);
    let settings = Settings::default().rtp(&["127.0.0.1", "::1"]).with(&listener("udp", six)).secretary("8000", "");
    let ramal = stage.serve(&settings)?;
    let local = SocketAddr::new("::1".parse()?, stage.ports.port()?);
    let run = Sipp::new("uac_invite_ipv6").service("8000").to(six).from(local);
    let folder = stage.folder().to_owned();
    let messages = run.run(&mut stage.ports, &folder)?;
    let answer = messages.split("SIP/2.0 200 OK").nth(1).context("no answer")?;
    ensure!(answer.contains("c=IN IP6 ::1"), "{answer}");
    ensure!(answer.contains(&format!("Contact: <sip:8000@{six}>")), "{answer}");
    Sipp::new("uac_invite").service("8000").to(ramal.sip).run(&mut stage.ports, &folder)?;
    // The audio may be of another version than the SIP.
    let messages = Sipp::new("uac_invite_ipv6").service("8000").to(ramal.sip).run(&mut stage.ports, &folder)?;
    ensure!(messages.contains("\nc=IN IP6 ::1\r\n") && messages.contains("Contact: <sip:8000@127.0.0.1"), "{messages}");
    ramal.end()?;
    stage.clear()
}

/// Contact and SDP tell each side of a server an address that it reaches.
#[test]
fn an_inner_and_an_outer_listener_tell_their_callers_each_its_own_address() -> Result<()> {
    let mut stage = stage()?;
    let outer = stage.ports.address()?;
    let seen = format!("{}advertised = \"198.51.100.5\"\n", listener("udp", outer));
    let ramal = stage.serve(&Settings::default().with(&seen).secretary("demo", ""))?;
    for (at, told) in [(ramal.sip, "127.0.0.1"), (outer, "198.51.100.5")] {
        let wire = Wire::new(at)?;
        wire.send(&wire.request("INVITE", "", "1 INVITE", FROM, OFFER)?)?;
        let answer = wire.receive()?;
        let contact = answer.lines().find(|line| line.starts_with("Contact:")).with_context(|| answer.clone())?;
        ensure!(contact.contains(told) && answer.contains(&format!("c=IN IP4 {told}\r\n")), "{at}: {answer}");
        let tag = tag(&answer)?;
        wire.send(&wire.request("ACK", &tag, "1 ACK", FROM, "")?)?;
        let status = wire.status(&wire.request("BYE", &tag, "2 BYE", FROM, "")?)?;
        ensure!(status.starts_with("SIP/2.0 200"), "{status}");
    }
    ramal.end()?;
    stage.clear()
}

#[test]
fn audio_of_this_machine_alone_is_warned_of_at_the_start_and_when_the_configuration_is_checked() -> Result<()> {
    let mut stage = stage()?;
    let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, stage.ports.address()?.port()));
    let open = format!("{}advertised = \"127.0.0.1\"\n", listener("udp", everywhere));
    let mut ramal = stage.serve(&Settings::default().with(&open).secretary("demo", ""))?;
    let warning = format!("[rtp] address = \"127.0.0.1\" is this machine alone, and SIP listens on udp {everywhere}");
    ramal.process.wait_for_line(&warning, Duration::from_secs(5))?;
    let checked = stage.run(&["config", "--check", &ramal.config.to_string_lossy()])?;
    let said = checked.lines.join("\n");
    ensure!(checked.status.success() && said.contains(" is right: "), "{said}");
    ensure!(said.contains(&format!("warning: {warning}")), "{said}");
    ramal.end()?;
    stage.clear()
}
