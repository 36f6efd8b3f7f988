//! Blind transfer, with SIPp as FreeSWITCH: whatever happens, the caller is never lost, and the record says what is known.
use crate::stage;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::time::{Duration, Instant};
use testkit::{
    ear::Ear,
    sipp::Sipp,
    stage::{Ramal, Settings, Stage},
};

/// How a transfer went.
struct Played {
    /// The record.
    call: Value,
    /// Seconds of the call, and when each RTP packet came, from the first one.
    packets: Vec<f64>,
    messages: String,
}

/// Plays a scenario in which key 2 asks for a transfer to 1000.
fn play(scenario: &str) -> Result<Played> {
    let mut stage = stage()?;
    let settings = Settings::default().secretary("demo", "").call("notify_deadline_s = 2");
    let ramal = stage.serve(&settings)?;
    let played = run(scenario, &mut stage, &ramal).with_context(|| format!("{}", ramal.process))?;
    ramal.end()?;
    stage.clear()?;
    Ok(played)
}

fn run(scenario: &str, stage: &mut Stage, ramal: &Ramal) -> Result<Played> {
    let folder = stage.folder().to_owned();
    let port = stage.ports.run(2)?.0;
    let ear = Ear::open(port)?;
    let sipp = Sipp::new(scenario).to(ramal.sip).audio(port).key("digit", "2").patience(Duration::from_secs(50));
    let messages = sipp.run(&mut stage.ports, &folder)?;
    let heard = ear.heard();
    let first = heard.first().map_or_else(Instant::now, |packet| packet.at);
    let packets = heard.iter().map(|packet| (packet.at - first).as_secs_f64()).collect();
    let stored = stage.conversations(&ramal.config, 1)?;
    Ok(Played { call: stored[0].clone(), packets, messages })
}

impl Played {
    fn outcome(&self, want: &str) -> Result<()> {
        ensure!(self.call["outcome"] == want, "outcome {want} wanted: {}", self.call);
        // Only a caller who went somewhere has a destination; where they were to go is in the transcript.
        let went = (want == "transferred").then_some("1000");
        ensure!(self.call["transfer_destination"].as_str() == went, "{}", self.call);
        Ok(())
    }

    /// The call was ended by the scenario's own BYE, and the secretary was heard until then.
    fn talks_on(&self) -> Result<()> {
        let end = self.packets.last().copied().unwrap_or_default();
        let late = self.packets.iter().filter(|at| **at > end - 1.0).count();
        ensure!(late >= 40, "only {late} packets in the last second of a call that goes on");
        ensure!(self.call.to_string().contains("1000 failed"), "the record says why: {}", self.call);
        Ok(())
    }
}

#[test]
fn a_transfer_that_is_confirmed() -> Result<()> {
    let played = play("uac_transfer")?;
    played.outcome("transferred")?;
    let announced = played.packets.iter().filter(|at| **at < 30.0).count();
    ensure!(announced > 40, "the caller is told before the REFER: {announced} packets");
    ensure!(played.messages.contains("Referred-By"), "FreeSWITCH hands Referred-By on");
    Ok(())
}

#[test]
fn a_transfer_that_is_handed_over() -> Result<()> {
    play("uac_transfer_handover")?.outcome("transferred")
}

#[test]
fn a_busy_target_returns_the_caller() -> Result<()> {
    let played = play("uac_transfer_busy")?;
    played.outcome("completed")?;
    played.talks_on()
}

#[test]
fn no_report_at_all_returns_the_caller() -> Result<()> {
    let played = play("uac_transfer_silent")?;
    played.outcome("completed")?;
    played.talks_on()
}

#[test]
fn a_refused_transfer_keeps_the_caller() -> Result<()> {
    let played = play("uac_transfer_refused")?;
    played.outcome("completed")?;
    played.talks_on()
}

#[test]
fn a_caller_who_is_gone_ends_the_call() -> Result<()> {
    let played = play("uac_transfer_gone")?;
    let outcome = played.call["outcome"].as_str().unwrap_or_default();
    // A BYE after the 202 is how FreeSWITCH hands over, too: the two cannot be told apart on the wire.
    ensure!(["transferred", "abandoned", "completed"].contains(&outcome), "{}", played.call);
    Ok(())
}
