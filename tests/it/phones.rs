//! Phones of others as callers: hold, keys, hanging up and transfer, straight to Ramal and through Kamailio.
use crate::{
    kamailio::{House, at},
    stage,
};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{path::PathBuf, time::Duration};
use testkit::{
    authority::Authority,
    baresip::Baresip,
    kamailio::DOMAIN,
    linphone::Linphone,
    phone::{Account, Line, Phone},
    sipp::{Sipp, SippRun},
    sound::{self, Sound},
    stage::{Settings, Stage},
};

const PATIENCE: Duration = Duration::from_secs(20);
/// Ramal says when it begins to answer the caller.
const TALKATIVE: &str = "[log]\nlevel = \"info,ramal::drivers::call_log=debug\"\n";

#[derive(Clone, Copy)]
pub(crate) enum Make {
    Baresip,
    Linphone,
}

/// A phone whose user is silent: nothing but its keys is heard.
pub(crate) fn phone(make: Make, line: &Line, stage: &mut Stage) -> Result<Box<dyn Phone>> {
    let folder = stage.folder().to_owned();
    let quiet: PathBuf = folder.join("quiet.wav");
    sound::write(&quiet, &Sound { rate: 8_000, samples: vec![0; 8_000 * 60] })?;
    Ok(match make {
        Make::Baresip => Box::new(Baresip::obedient(&quiet, line, &mut stage.ports, &folder)?),
        Make::Linphone => Box::new(Linphone::start(&quiet, line, &mut stage.ports, &folder)?),
    })
}

/// The texts of a record's turns.
pub(crate) fn texts(call: &Value) -> Vec<&str> {
    call["turns"].as_array().into_iter().flatten().filter_map(|turn| turn["text"].as_str()).collect()
}

/// Hold and resume by re-INVITE (RFC 3264 §8.4), a key by telephone-event (RFC 4733), and BYE.
fn a_phone_holds_presses_a_key_and_hangs_up(make: Make, transport: &str) -> Result<()> {
    let mut stage = stage()?;
    let authority = Authority::new(stage.folder(), "house")?;
    let tls = stage.ports.address()?;
    let certified = authority.certify(stage.folder(), "ramal")?;
    let settings = Settings::default().sip(&format!("tls = [\"{tls}\"]")).with(&certified.toml()).with(TALKATIVE);
    let mut ramal = stage.serve(&settings.secretary("demo", ""))?;
    let line = Line { authority: Some(authority.file), ..Line::default() };
    let mut phone = phone(make, &line, &mut stage)?;
    let address = if transport == "tls" { tls } else { ramal.sip };
    phone.dial(&format!("sip:demo@{address};transport={transport}")).with_context(|| ramal.process.to_string())?;
    phone.hold()?;
    ramal.process.wait_for_line("hold=Held", PATIENCE)?;
    phone.resume()?;
    ramal.process.wait_for_line("hold=Resumed", PATIENCE)?;
    phone.press('1')?;
    ramal.process.wait_for_line("Reply", PATIENCE)?;
    phone.hang_up()?;
    ramal.process.wait_for_line("Call ended", PATIENCE).with_context(|| phone.process().to_string())?;
    let call = stage.conversations(&ramal.config, 1)?.remove(0);
    ensure!(call["outcome"] == "completed" && texts(&call).contains(&"[DTMF 1]"), "{call}");
    drop(phone);
    ramal.end()?;
    stage.clear()
}

#[test]
fn baresip_holds_presses_a_key_and_hangs_up_over_udp() -> Result<()> {
    a_phone_holds_presses_a_key_and_hangs_up(Make::Baresip, "udp")
}

#[test]
fn baresip_holds_presses_a_key_and_hangs_up_over_tcp() -> Result<()> {
    a_phone_holds_presses_a_key_and_hangs_up(Make::Baresip, "tcp")
}

#[test]
fn baresip_holds_presses_a_key_and_hangs_up_over_tls() -> Result<()> {
    a_phone_holds_presses_a_key_and_hangs_up(Make::Baresip, "tls")
}

#[test]
fn linphone_holds_presses_a_key_and_hangs_up_over_udp() -> Result<()> {
    a_phone_holds_presses_a_key_and_hangs_up(Make::Linphone, "udp")
}

#[test]
fn linphone_holds_presses_a_key_and_hangs_up_over_tcp() -> Result<()> {
    a_phone_holds_presses_a_key_and_hangs_up(Make::Linphone, "tcp")
}

#[test]
fn linphone_holds_presses_a_key_and_hangs_up_over_tls() -> Result<()> {
    a_phone_holds_presses_a_key_and_hangs_up(Make::Linphone, "tls")
}

/// A call through Kamailio whose phone was asked for key 2, with SIPp at extension 1000.
struct Transfer {
    house: House,
    phone: Box<dyn Phone>,
    desk: SippRun,
}

/// The phone is on `transport`, Ramal is registered over another.
fn transfer(make: Make, transport: &str, registered: &'static str, desk: &str) -> Result<Transfer> {
    let mut house = House::new(registered, "MD5", Settings::default().with(TALKATIVE).call("notify_deadline_s = 4"))?;
    let folder = house.stage.folder().to_owned();
    let desk = Sipp::new(desk).from(house.kamailio.desk).start(&mut house.stage.ports, &folder)?;
    let proxy = format!("sip:{};transport={transport}", at(&house.kamailio, transport));
    let line = Line { account: Some(Account { address: format!("maria@{DOMAIN}"), proxy }), ..Line::default() };
    let mut phone = phone(make, &line, &mut house.stage)?;
    phone.dial(&format!("sip:2000@{DOMAIN}")).with_context(|| house.said())?;
    phone.press('2')?;
    Ok(Transfer { house, phone, desk })
}

/// The phone follows the REFER, tells of the answer, and Ramal leaves (RFC 3515 §2.4, RFC 5589 §6).
fn a_phone_is_transferred(make: Make, transport: &str, registered: &'static str) -> Result<()> {
    let Transfer { mut house, mut phone, desk } = transfer(make, transport, registered, "uas_invite")?;
    let told = [format!("routed REFER over {registered}"), format!("routed NOTIFY over {transport}")];
    house.seen(&told).with_context(|| phone.process().to_string())?;
    house.seen(&[format!("routed BYE over {registered}")]).with_context(|| phone.process().to_string())?;
    phone.hang_up()?;
    desk.finish().with_context(|| house.said())?;
    let call = house.stage.conversations(&house.ramal.config, 1)?.remove(0);
    ensure!(call["outcome"] == "transferred" && call["transfer_destination"] == "1000", "{call}");
    drop(phone);
    house.end()
}

#[test]
fn baresip_is_transferred() -> Result<()> {
    a_phone_is_transferred(Make::Baresip, "udp", "tls")
}

#[test]
fn linphone_is_transferred() -> Result<()> {
    a_phone_is_transferred(Make::Linphone, "tcp", "udp")
}

/// The caller of a transfer that did not work is back with the secretary, who still obeys keys.
fn a_phone_comes_back_from_a_busy_desk(make: Make, transport: &str, registered: &'static str) -> Result<()> {
    let Transfer { mut house, mut phone, desk } = transfer(make, transport, registered, "uas_invite_busy")?;
    desk.finish().with_context(|| house.said())?;
    house.ramal.process.wait_for_line("Transfer failed", PATIENCE).with_context(|| phone.process().to_string())?;
    if let Make::Linphone = make {
        // It held us while it rang the desk, and takes no key before its own resume.
        house.ramal.process.wait_for_line("hold=Resumed", PATIENCE).with_context(|| phone.process().to_string())?;
    }
    let mark = house.ramal.process.mark();
    phone.press('1')?;
    house.ramal.process.wait_for_line_after(mark, "Reply", PATIENCE)?;
    phone.hang_up()?;
    let call = house.stage.conversations(&house.ramal.config, 1)?.remove(0);
    let texts = texts(&call);
    ensure!(call["outcome"] == "completed" && texts.contains(&"[DTMF 1]"), "{call}");
    ensure!(texts.iter().any(|text| text.contains("1000 failed")), "{call}");
    drop(phone);
    house.end()
}

#[test]
fn baresip_comes_back_from_a_busy_desk() -> Result<()> {
    a_phone_comes_back_from_a_busy_desk(Make::Baresip, "tcp", "udp")
}

#[test]
fn linphone_comes_back_from_a_busy_desk() -> Result<()> {
    a_phone_comes_back_from_a_busy_desk(Make::Linphone, "udp", "tcp")
}
