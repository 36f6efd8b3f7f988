//! Kamailio between Ramal and its callers: a registrar that challenges, and a proxy that records its route.
use crate::stage;
use anyhow::{Context, Result, ensure};
use std::{net::SocketAddr, time::Duration};
use testkit::{
    authority::Authority,
    kamailio::{DOMAIN, Kamailio},
    sipp::Sipp,
    stage::{Ramal, Settings, Stage},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A Kamailio and a Ramal that is registered with it.
pub(crate) struct House {
    pub(crate) stage: Stage,
    authority: Authority,
    pub(crate) kamailio: Kamailio,
    pub(crate) ramal: Ramal,
    /// Over what it is registered.
    transport: &'static str,
}

/// Whether Ramal listens over the transport it registers over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listens {
    Yes,
    No,
}

impl House {
    pub(crate) fn new(transport: &'static str, algorithm: &str, settings: Settings) -> Result<Self> {
        Self::with(transport, Listens::Yes, algorithm, settings)
    }

    fn with(transport: &'static str, listens: Listens, algorithm: &str, settings: Settings) -> Result<Self> {
        let mut stage = stage()?;
        let folder = stage.folder().to_owned();
        let authority = Authority::new(&folder, "house")?;
        let mut kamailio = Kamailio::start(&authority, algorithm, &mut stage.ports, &folder)?;
        let registrar = at(&kamailio, transport);
        let mut settings = settings.secretary("2000", "").with(&format!(
            "[[registrations]]\nregistrar = \"{registrar}\"\ntransport = \"{transport}\"\ndomain = \"{DOMAIN}\"\n\
             user = \"2000\"\npassword = \"s3cret\"\nexpires_s = 600\n"
        ));
        let believed = format!("ca_file = {:?}\n", authority.file);
        if transport == "tls" && listens == Listens::Yes {
            let listener = stage.ports.address()?;
            let certified = authority.certify(&folder, "ramal")?;
            settings = settings.sip(&format!("tls = [\"{listener}\"]")).with(&certified.toml()).with(&believed);
        } else {
            settings = settings.with("[tls]").with(&believed);
        }
        let ramal = stage.serve(&settings)?;
        kamailio.wait_for(&format!("registered 600 over {transport}"), PATIENCE).with_context(|| log(&ramal))?;
        Ok(Self { stage, authority, kamailio, ramal, transport })
    }

    /// Lets SIPp call 2000 over UDP through Kamailio.
    fn play(&mut self, scenario: &str) -> Result<String> {
        let folder = self.stage.folder().to_owned();
        let sipp = Sipp::new(scenario).to(self.kamailio.sip).service("2000").key("digit", "2");
        sipp.run(&mut self.stage.ports, &folder).with_context(|| self.said())
    }

    /// Waits until Kamailio has done each of these.
    pub(crate) fn seen(&mut self, each: &[String]) -> Result<()> {
        for what in each {
            self.kamailio.wait_for(what, PATIENCE).with_context(|| log(&self.ramal))?;
        }
        Ok(())
    }

    pub(crate) fn said(&mut self) -> String {
        format!("{}\n{}", self.kamailio.process(), self.ramal.process)
    }

    /// Ends all: the contact is taken back, and no request missed the recorded route.
    pub(crate) fn end(mut self) -> Result<()> {
        self.ramal.end()?;
        self.kamailio.wait_for(&format!("registered 0 over {}", self.transport), PATIENCE)?;
        let lines = self.kamailio.process().lines();
        ensure!(!lines.iter().any(|line| line.contains("kamailio: unrouted")), "{}", lines.join("\n"));
        self.stage.clear()
    }
}

/// Where it takes this transport.
pub(crate) fn at(kamailio: &Kamailio, transport: &str) -> SocketAddr {
    if transport == "tls" { kamailio.tls } else { kamailio.sip }
}

fn log(ramal: &Ramal) -> String {
    ramal.process.to_string()
}

/// A call of the registered account, with re-INVITEs and BYE of the caller, then one with REFER and BYE of Ramal.
/// All follow the recorded route, in both directions (RFC 3261 §12.2.1.1, §16.12).
fn a_registered_account_is_called(transport: &'static str, algorithm: &str) -> Result<()> {
    called(House::new(transport, algorithm, Settings::default())?, transport)
}

fn called(mut house: House, transport: &str) -> Result<()> {
    house.play("uac_hold")?;
    let contact = house.kamailio.wait_for("INVITE over udp", PATIENCE)?;
    let over = contact.split_once(";transport=").map_or("udp", |(_, over)| over);
    ensure!(over == transport, "Kamailio calls {contact}");
    house.seen(&["routed INVITE over udp".into(), "routed ACK over udp".into(), "routed BYE over udp".into()])?;
    house.play("uac_transfer")?;
    house.seen(&[format!("routed REFER over {transport}"), format!("routed BYE over {transport}")])?;
    let stored = house.stage.conversations(&house.ramal.config, 2)?;
    ensure!(stored.iter().any(|call| call["outcome"] == "transferred"), "{stored:?}");
    house.end()
}

#[test]
fn an_account_registered_over_udp_is_called() -> Result<()> {
    a_registered_account_is_called("udp", "MD5")
}

#[test]
fn an_account_registered_over_tcp_is_called() -> Result<()> {
    a_registered_account_is_called("tcp", "SHA-256")
}

#[test]
fn an_account_registered_over_tls_is_called() -> Result<()> {
    a_registered_account_is_called("tls", "SHA-256")
}

/// RFC 5923: without a listener, and so without a certificate, calls come by the connection that registered. Kamailio
/// would believe nobody whom it had to call over TLS.
#[test]
fn an_account_without_a_listener_is_called_by_the_connection_it_opened() -> Result<()> {
    called(House::with("tls", Listens::No, "SHA-256", Settings::default())?, "tls")
}

/// Kamailio fails and comes back without memory: who registered over a connection that died registers again, long
/// before the registration ends.
fn a_lost_connection_is_followed_by_a_registration(transport: &'static str) -> Result<()> {
    let mut house = House::new(transport, "MD5", Settings::default())?;
    house.kamailio.replace()?;
    house.seen(&[format!("registered 600 over {transport}")])?;
    house.play("uac_invite")?;
    house.end()
}

#[test]
fn a_lost_tcp_connection_is_followed_by_a_registration() -> Result<()> {
    a_lost_connection_is_followed_by_a_registration("tcp")
}

#[test]
fn a_lost_tls_connection_is_followed_by_a_registration() -> Result<()> {
    a_lost_connection_is_followed_by_a_registration("tls")
}

/// Ramal's phone goes through Kamailio to a Ramal that is registered over another transport: each side of the dialog
/// has two Record-Routes.
fn a_phone_calls_through_the_proxy(phone: &str, registered: &'static str) -> Result<()> {
    let mut house = House::new(registered, "MD5", Settings::default())?;
    let route = format!("sip:{};transport={phone};lr", at(&house.kamailio, phone));
    let ca = house.authority.file.to_string_lossy().into_owned();
    let uri = format!("sip:2000@{DOMAIN}");
    let arguments = ["call", &uri, "--route", &route, "--ca-file", &ca, "--duration", "1", "--json"];
    let ended = house.stage.run(&arguments)?;
    ensure!(ended.status.success(), "{}\n{}", ended.lines.join("\n"), house.said());
    house.seen(&[
        format!("INVITE over {phone}"),
        format!("routed ACK over {phone}"),
        format!("routed BYE over {phone}"),
    ])?;
    house.end()
}

#[test]
fn a_phone_on_udp_calls_through_the_proxy_to_tls() -> Result<()> {
    a_phone_calls_through_the_proxy("udp", "tls")
}

#[test]
fn a_phone_on_tcp_calls_through_the_proxy_to_udp() -> Result<()> {
    a_phone_calls_through_the_proxy("tcp", "udp")
}

#[test]
fn a_phone_on_tls_calls_through_the_proxy_to_tcp() -> Result<()> {
    a_phone_calls_through_the_proxy("tls", "tcp")
}
