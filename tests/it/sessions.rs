//! Sessions that must be kept alive (RFC 4028), and messages that get lost or cross. The scenarios say what they prove.
//!
//! Some take minutes of waiting, as the intervals of RFC 4028 do; they all run at once.
use crate::stage;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    net::TcpListener,
    time::{Duration, Instant},
};
use testkit::{
    process::Process,
    sipp::{Retransmission, Sipp},
    stage::Settings,
};

/// Longer than three refreshes of a session of 90 s take.
const THREE_REFRESHES: Duration = Duration::from_secs(150);

fn quick(sipp: Sipp) -> Sipp {
    sipp
}

fn patient(sipp: Sipp) -> Sipp {
    sipp.patience(THREE_REFRESHES)
}

fn visible(sipp: Sipp) -> Sipp {
    patient(sipp).retransmission(Retransmission::Visible)
}

/// SIPp calls a secretary who does not mind that its phone is mute; the record of the call.
fn called(scenario: &str, change: impl FnOnce(Sipp) -> Sipp) -> Result<Value> {
    answered(scenario, change, Settings::default().media("media_timeout_s = 600").secretary("demo", ""))
}

/// The same, with a secretary who hangs up after a second.
fn hung_up_on(scenario: &str, change: impl FnOnce(Sipp) -> Sipp) -> Result<Value> {
    answered(scenario, change, Settings::default().secretary("demo", "max_duration_seconds = 1"))
}

fn answered(scenario: &str, change: impl FnOnce(Sipp) -> Sipp, settings: Settings) -> Result<Value> {
    let mut stage = stage()?;
    let ramal = stage.serve(&settings)?;
    let folder = stage.folder().to_owned();
    let played = change(Sipp::new(scenario).to(ramal.sip)).run(&mut stage.ports, &folder);
    played.with_context(|| format!("{}", ramal.process))?;
    let stored = stage.conversations(&ramal.config, 1)?;
    let [call] = &stored[..] else { anyhow::bail!("one call, {} records", stored.len()) };
    let call = call.clone();
    ramal.end()?;
    stage.clear()?;
    Ok(call)
}

/// The phone calls SIPp; `ring` ends a call that only rings.
fn calls(scenario: &str, more: &[&str], ring: Ring) -> Result<()> {
    let mut stage = stage()?;
    let folder = stage.folder().to_owned();
    let callee = patient(Sipp::new(scenario)).start(&mut stage.ports, &folder)?;
    let uri = format!("sip:phone@{}", callee.local());
    let mut arguments = vec!["call", &uri, "--json"];
    arguments.extend(more);
    let phone = Process::start("phone", &mut stage.command(&arguments))?;
    if ring == Ring::InVain {
        let deadline = Instant::now() + Duration::from_secs(15);
        while !callee.messages().is_ok_and(|messages| messages.contains("180 Ringing")) {
            ensure!(Instant::now() < deadline, "it does not ring");
            std::thread::park_timeout(Duration::from_millis(20));
        }
        phone.terminate()?;
    }
    let ended = phone.wait(THREE_REFRESHES)?;
    callee.finish().with_context(|| ended.lines.join("\n"))?;
    stage.clear()
}

/// What becomes of the ringing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ring {
    Answered,
    InVain,
}

#[test]
fn three_refreshes_of_the_caller() -> Result<()> {
    called("uac_timer_uac", patient).map(drop)
}

#[test]
fn three_refreshes_of_ours() -> Result<()> {
    called("uac_timer_uas", patient).map(drop)
}

#[test]
fn three_refreshes_of_the_phone() -> Result<()> {
    calls("uas_timer_uac", &["--session-expires", "90", "--duration", "137"], Ring::Answered)
}

#[test]
fn refreshes_of_the_callee() -> Result<()> {
    calls("uas_timer_uas", &["--session-expires", "90", "--duration", "2"], Ring::Answered)
}

#[test]
fn too_short_a_session_for_us() -> Result<()> {
    called("uac_timer_small", quick).map(drop)
}

#[test]
fn too_short_a_session_for_the_callee() -> Result<()> {
    calls("uas_timer_small", &["--session-expires", "90", "--duration", "1"], Ring::Answered)
}

#[test]
fn a_refresh_the_caller_owes() -> Result<()> {
    called("uac_timer_owed", patient).map(drop)
}

#[test]
fn a_session_that_expires() -> Result<()> {
    let call = called("uac_timer_expired", visible)?;
    ensure!(call["outcome"] == "failed" && call.to_string().contains("let the session expire"), "{call}");
    Ok(())
}

#[test]
fn colliding_reinvites() -> Result<()> {
    called("uac_reinvite_glare", patient).map(drop)
}

#[test]
fn offers_before_the_ack() -> Result<()> {
    called("uac_reinvite_early", quick).map(drop)
}

#[test]
fn an_update_while_it_rings() -> Result<()> {
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let provider = format!("[openai]\nurl = \"ws://{}/v1/realtime\"\napi_key = \"test\"\n", silent.local_addr()?);
    let secretary = "[[secretaries]]\ndomain = \"demo.example\"\nname = \"demo\"\nextension = \"demo\"\n";
    let settings = Settings::default().with(&format!("{provider}{secretary}provider = \"openai\"\n"));
    let call = answered("uac_update_early", quick, settings)?;
    ensure!(call["outcome"] == "abandoned", "{call}");
    Ok(())
}

#[test]
fn crossing_byes() -> Result<()> {
    let call = hung_up_on("uac_bye_crossing", quick)?;
    ensure!(call["outcome"] == "timeout", "{call}");
    Ok(())
}

#[test]
fn a_lost_200_of_our_bye() -> Result<()> {
    let call = hung_up_on("uac_bye_ok_lost", visible)?;
    ensure!(call["outcome"] == "timeout", "{call}");
    Ok(())
}

#[test]
fn a_lost_200_of_the_invite() -> Result<()> {
    called("uac_invite_ok_lost", visible).map(drop)
}

#[test]
fn an_answer_after_the_cancel() -> Result<()> {
    calls("uas_cancel_late", &[], Ring::InVain)
}

#[test]
fn two_answers() -> Result<()> {
    calls("uas_invite_forked", &["--duration", "1"], Ring::Answered)
}
