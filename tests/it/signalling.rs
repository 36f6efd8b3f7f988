//! SIP over UDP and TCP: one test for each scenario in which SIPp calls. The scenarios say what they prove.
use crate::{house, stage};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    net::TcpListener,
    path::Path,
    time::{Duration, Instant},
};
use testkit::{
    ear::Ear,
    sipp::{Retransmission, Sipp, Transport},
    stage::{Ramal, Settings, Stage},
};

/// Plays a scenario against a server with the secretary `demo`, and ends the server politely.
fn play(scenario: &str, change: impl FnOnce(Sipp) -> Sipp) -> Result<String> {
    let (mut stage, ramal) = house()?;
    let messages = run(scenario, change, &mut stage, &ramal)?;
    ramal.end()?;
    stage.clear()?;
    Ok(messages)
}

fn run(scenario: &str, change: impl FnOnce(Sipp) -> Sipp, stage: &mut Stage, ramal: &Ramal) -> Result<String> {
    let sipp = change(Sipp::new(scenario).to(ramal.sip));
    let folder = stage.folder().to_owned();
    let played = sipp.run(&mut stage.ports, &folder);
    played.with_context(|| format!("{}", ramal.process))
}

macro_rules! plain {
    ($($test:ident: $scenario:literal $over:ident;)*) => {$(
        #[test]
        fn $test() -> Result<()> {
            play($scenario, |sipp| sipp.over(Transport::$over)).map(drop)
        }
    )*};
}

plain! {
    options_udp: "uac_options" Udp;
    options_tcp: "uac_options" Tcp;
    options_inside_a_call: "uac_options_inside" Udp;
    invite_udp: "uac_invite" Udp;
    invite_tcp: "uac_invite" Tcp;
    invite_in_a_law: "uac_invite_pcma" Udp;
    invite_with_optional_srtp: "uac_invite_twolines" Udp;
    invite_without_offer_udp: "uac_invite_nooffer" Udp;
    invite_without_offer_tcp: "uac_invite_nooffer" Tcp;
    invite_with_only_an_unknown_codec: "uac_invite_codec" Udp;
    invite_with_only_srtp: "uac_invite_savp" Udp;
    invite_with_audio_of_the_other_ip_version: "uac_invite_ipv6_refused" Udp;
    cancel_too_late: "uac_cancel_late" Udp;
    hold_udp: "uac_hold" Udp;
    hold_tcp: "uac_hold" Tcp;
    hold_of_both_directions: "uac_hold_inactive" Udp;
    reinvite_without_offer: "uac_reinvite_nooffer" Udp;
    reinvite_with_an_image: "uac_reinvite_image" Udp;
    update_udp: "uac_update" Udp;
    update_tcp: "uac_update" Tcp;
    update_to_hold: "uac_update_hold" Udp;
    unknown_method_udp: "uac_method_unknown" Udp;
    unknown_method_tcp: "uac_method_unknown" Tcp;
    unknown_method_inside_a_call: "uac_method_unknown_inside" Udp;
    bad_request_udp: "uac_request_bad" Udp;
    bad_request_tcp: "uac_request_bad" Tcp;
    unknown_extension_required: "uac_require_unknown" Udp;
    message: "uac_message" Udp;
    message_inside_a_call: "uac_message_inside" Udp;
    subscribe: "uac_subscribe" Udp;
    publish: "uac_publish" Udp;
    ringing_that_must_be_acknowledged: "uac_invite_100rel" Udp;
    stray_bye: "uac_bye_stray" Udp;
    stray_notify: "uac_notify_stray" Udp;
    notify_without_subscription: "uac_notify_unsubscribed" Udp;
    refer_of_the_pbx: "uac_refer_inside" Udp;
    hung_up_at_once: "uac_invite_brief" Udp;
}

#[test]
fn unknown_secretary() -> Result<()> {
    play("uac_invite_notfound", |sipp| sipp.service("nobody")).map(drop)
}

#[test]
fn a_call_is_stored() -> Result<()> {
    let (mut stage, ramal) = house()?;
    run("uac_invite", |sipp| sipp, &mut stage, &ramal)?;
    let stored = stage.conversations(&ramal.config, 1)?;
    let [call] = &stored[..] else { anyhow::bail!("one call, {} records", stored.len()) };
    ensure!(call["caller_id"] == "+5511999990000" && call["destination"] == "demo", "{call}");
    ensure!(call["outcome"] == "abandoned" || call["outcome"] == "completed", "{call}");
    ensure!(call["provider"] == "local", "{call}");
    ramal.end()?;
    stage.clear()
}

#[test]
fn a_retransmitted_invite_is_one_call() -> Result<()> {
    let (mut stage, ramal) = house()?;
    let visible = |sipp: Sipp| sipp.retransmission(Retransmission::Visible);
    let messages = run("uac_invite_retransmitted", visible, &mut stage, &ramal)?;
    let tags = answer_tags(&messages);
    ensure!(tags.len() >= 2 && tags.iter().all(|tag| tag == &tags[0]), "tags of the 200s: {tags:?}");
    let stored = stage.conversations(&ramal.config, 1)?;
    ensure!(stored.len() == 1, "{} records of one call", stored.len());
    ramal.end()?;
    stage.clear()
}

/// The To tags of the 200 responses to INVITE.
fn answer_tags(messages: &str) -> Vec<String> {
    let responses = messages.split("SIP/2.0 200").skip(1).filter(|rest| {
        rest.lines().find(|line| line.starts_with("CSeq:")).is_some_and(|line| line.trim_end().ends_with("INVITE"))
    });
    let tag = |rest: &str| -> Option<String> {
        let to = rest.lines().find(|line| line.starts_with("To:"))?;
        Some(to.split_once(";tag=")?.1.split([';', '>']).next()?.trim().to_owned())
    };
    responses.filter_map(tag).collect()
}

#[test]
fn a_lost_ack() -> Result<()> {
    play("uac_invite_ack_lost", |sipp| sipp.retransmission(Retransmission::Visible)).map(drop)
}

#[test]
fn no_ack_at_all() -> Result<()> {
    let (mut stage, ramal) = house()?;
    let visible = |sipp: Sipp| sipp.retransmission(Retransmission::Visible).patience(Duration::from_secs(50));
    let begun = Instant::now();
    run("uac_invite_ack_never", visible, &mut stage, &ramal)?;
    let took = begun.elapsed().as_secs_f64();
    ensure!((31.0..35.0).contains(&took), "64 T1 are 32 s, the BYE came after {took:.1} s");
    outcome(&stage, &ramal, "failed")?;
    ramal.end()?;
    stage.clear()
}

#[test]
fn a_retransmitted_bye() -> Result<()> {
    play("uac_bye_retransmitted", |sipp| sipp.retransmission(Retransmission::Visible)).map(drop)
}

#[test]
fn cancel_udp() -> Result<()> {
    cancel(Transport::Udp)
}

#[test]
fn cancel_tcp() -> Result<()> {
    cancel(Transport::Tcp)
}

/// The caller hears ringing while the provider is being connected; this one takes the connection and says nothing.
fn cancel(transport: Transport) -> Result<()> {
    let mut stage = stage()?;
    let (ramal, _silent) = ringing(&mut stage)?;
    run("uac_cancel", |sipp| sipp.over(transport), &mut stage, &ramal)?;
    outcome(&stage, &ramal, "abandoned")?;
    ramal.end()?;
    stage.clear()
}

#[test]
fn ringing_is_repeated_until_its_prack() -> Result<()> {
    let mut stage = stage()?;
    let (ramal, _silent) = ringing(&mut stage)?;
    // SIPp would take the second 180 for a retransmission, and keep it from the scenario.
    run("uac_prack", |sipp| sipp.retransmission(Retransmission::Visible), &mut stage, &ramal)?;
    ramal.end()?;
    stage.clear()
}

#[test]
fn another_phone_takes_the_call_over() -> Result<()> {
    let (mut stage, ramal) = house()?;
    let (first, moved) = (stage.ports.run(2)?.0, stage.ports.run(2)?.0);
    let (old, new) = (Ear::open(first)?, Ear::open(moved)?);
    run("uac_replaces", |sipp| sipp.audio(first).key("moved", moved), &mut stage, &ramal)?;
    let (before, after) = (old.heard(), new.heard());
    ensure!(before.len() >= 20 && after.len() >= 60, "{} packets before, {} after", before.len(), after.len());
    let turn = after[0].at;
    let late = before.iter().filter(|packet| packet.at > turn + Duration::from_millis(60)).count();
    ensure!(late == 0, "{late} packets went to the old phone after the new one had the call");
    let stored = stage.conversations(&ramal.config, 1)?;
    ensure!(stored.len() == 1, "{} records of one call", stored.len());
    ensure!(stored[0].to_string().contains("taken over by"), "the record says so: {}", stored[0]);
    ramal.end()?;
    stage.clear()
}

#[test]
fn a_call_is_not_taken_over_to_another_secretary() -> Result<()> {
    let mut stage = stage()?;
    let settings = Settings::default().secretary("demo", "").secretary("other", "");
    let ramal = stage.serve(&settings)?;
    run("uac_replaces_refused", |sipp| sipp, &mut stage, &ramal)?;
    ramal.end()?;
    stage.clear()
}

fn ringing(stage: &mut Stage) -> Result<(Ramal, TcpListener)> {
    let silent = TcpListener::bind(stage.ports.address()?)?;
    let settings = Settings::default().with(&format!(
        r#"
[openai]
url = "ws://{}/v1/realtime"
api_key = "test"
[[secretaries]]
domain = "demo.example"
name = "demo"
extension = "demo"
provider = "openai"
"#,
        silent.local_addr()?
    ));
    Ok((stage.serve(&settings)?, silent))
}

/// The outcome of the one call stored so far.
fn outcome(stage: &Stage, ramal: &Ramal, want: &str) -> Result<Value> {
    let stored = stage.conversations(&ramal.config, 1)?;
    ensure!(stored[0]["outcome"] == want, "outcome {want} wanted, stored: {}", stored[0]);
    Ok(stored[0].clone())
}

#[test]
fn ramal_hangs_up_at_the_longest_time_udp() -> Result<()> {
    hangs_up("uac_bye_received", Transport::Udp)
}

#[test]
fn ramal_hangs_up_at_the_longest_time_tcp() -> Result<()> {
    hangs_up("uac_bye_received", Transport::Tcp)
}

#[test]
fn a_call_through_two_proxies() -> Result<()> {
    hangs_up("uac_route", Transport::Udp)
}

fn hangs_up(scenario: &str, transport: Transport) -> Result<()> {
    let mut stage = stage()?;
    let ramal = stage.serve(&Settings::default().secretary("demo", "max_duration_seconds = 1"))?;
    run(scenario, |sipp| sipp.over(transport), &mut stage, &ramal)?;
    outcome(&stage, &ramal, "timeout")?;
    ramal.end()?;
    stage.clear()
}

#[test]
fn the_secretary_named_by_a_header() -> Result<()> {
    let mut stage = stage()?;
    let settings = Settings::default().secretary("demo", "").secretary("other", "");
    let ramal = stage.serve(&settings)?;
    let routed = |sipp: Sipp| sipp.service("did").key("domain", "demo.example").key("secretary", "other");
    run("uac_invite_routed", routed, &mut stage, &ramal)?;
    let mut log = String::new();
    for line in stage.run(&["conversations", "--last", "1", "--json", "--config", &path(&ramal.config)])?.lines {
        log.push_str(&line);
    }
    ensure!(!stage.conversations(&ramal.config, 1)?.is_empty(), "nothing stored: {log}");
    ramal.end()?;
    stage.clear()
}

#[test]
fn headers_of_an_untrusted_peer_do_not_count() -> Result<()> {
    let mut stage = stage()?;
    let peer = "[[peers]]\nname = \"carrier\"\naddresses = [\"127.0.0.1\"]\ntrusted_headers = false\n";
    let ramal = stage.serve(&Settings::default().secretary("other", "").with(peer))?;
    let refused = |sipp: Sipp| sipp.service("did").key("domain", "demo.example").key("secretary", "other");
    let failed = run("uac_invite_routed", refused, &mut stage, &ramal);
    let message = failed.err().context("an untrusted X-Ramal-Extension was obeyed")?;
    ensure!(format!("{message:#}").contains("404"), "refused, but not with 404: {message:#}");
    ramal.end()?;
    stage.clear()
}

#[test]
fn the_caller_moves_to_another_port() -> Result<()> {
    let (mut stage, ramal) = house()?;
    let (first, moved) = (stage.ports.run(2)?.0, stage.ports.run(2)?.0);
    let (old, new) = (Ear::open(first)?, Ear::open(moved)?);
    run("uac_reinvite_address", |sipp| sipp.audio(first).key("moved", moved), &mut stage, &ramal)?;
    let (before, after) = (old.heard(), new.heard());
    ensure!(before.len() >= 20 && after.len() >= 40, "{} packets before, {} after", before.len(), after.len());
    let turn = after[0].at;
    let late = before.iter().filter(|packet| packet.at > turn + Duration::from_millis(60)).count();
    ensure!(late == 0, "{late} packets went to the old port after the new one had begun");
    ramal.end()?;
    stage.clear()
}

#[test]
fn a_key_by_info_is_obeyed() -> Result<()> {
    let (mut stage, ramal) = house()?;
    run("uac_info_dtmf", |sipp| sipp.key("digit", "1"), &mut stage, &ramal)?;
    let stored = stage.conversations(&ramal.config, 1)?;
    ensure!(stored[0].to_string().contains("nine to five"), "key 1 gives the answer: {}", stored[0]);
    ramal.end()?;
    stage.clear()
}

#[test]
fn sigterm_says_goodbye() -> Result<()> {
    let (mut stage, ramal) = house()?;
    let folder = stage.folder().to_owned();
    // The scenario waits for our BYE; the secretary alone would talk on.
    let run = Sipp::new("uac_bye_received").to(ramal.sip).start(&mut stage.ports, &folder)?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while !run.messages().is_ok_and(|messages| messages.contains("ACK sip:")) {
        ensure!(Instant::now() < deadline, "no call within 10 s");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let config = ramal.config.clone();
    ramal.end()?;
    run.finish()?;
    ensure!(stage.conversations(&config, 1)?.len() == 1, "the call is stored");
    stage.clear()
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
