//! Calls that are up, seen and steered from outside: `ramal calls`, `listen`, `hangup`, `transfer`.
use crate::{
    openai::{Terms, house, question, text},
    stage,
};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::{
    fs, thread,
    time::{Duration, Instant},
};
use testkit::{
    process::{Ended, Process},
    sipp::Sipp,
    sound::Sound,
    stage::{Ramal, Settings, Stage},
};

const PATIENCE: Duration = Duration::from_secs(40);

/// A command for the server, such as `calls`.
fn ask(stage: &Stage, ramal: &Ramal, arguments: &[&str]) -> Result<Ended> {
    let config = text(&ramal.config);
    let mut all = arguments.to_vec();
    all.extend(["--config", &config]);
    stage.run(&all)
}

fn calls(stage: &Stage, ramal: &Ramal) -> Result<Vec<Value>> {
    let told = ask(stage, ramal, &["calls", "--json"])?;
    ensure!(told.status.success(), "{}", told.lines.join("\n"));
    told.lines.iter().map(|line| serde_json::from_str(line).with_context(|| line.clone())).collect()
}

/// Looks until there is something to be seen.
fn wait<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Some(seen) = look()? {
            return Ok(seen);
        }
        thread::park_timeout(Duration::from_millis(50));
    }
    bail!("{what}: not in time")
}

/// The only call, once it is in this state.
fn call_in(state: &str, stage: &Stage, ramal: &Ramal) -> Result<Value> {
    wait(state, || Ok(calls(stage, ramal)?.into_iter().find(|call| call["state"] == state)))
}

fn refused(told: &Ended, words: &str) -> Result<()> {
    let said = told.lines.join("\n");
    ensure!(!told.status.success() && said.contains(words), "{words:?} is not what was said: {said}");
    Ok(())
}

#[test]
fn a_call_is_listed_heard_on_both_sides_and_hung_up() -> Result<()> {
    let mut stage = stage()?;
    let script = r#"
caller = ["What are your opening hours?"]
greeting = { say = { tone_hz = 700, ms = 3000 }, transcript = "Welcome to the test line." }
replies = [{ say = { tone_hz = 1100, ms = 9000 }, transcript = "We are open from nine to five." }]
"#;
    let terms = Terms { more: "[recording]\nlisten_in = [\"demo.example\"]\n", ..Terms::default() };
    let (_provider, ramal) = house(script, terms, &mut stage)?;
    let none = ask(&stage, &ramal, &["calls"])?;
    ensure!(none.lines == ["no call is up"], "{:?}", none.lines);
    let (uri, spoken) = (ramal.uri("demo"), format!("{}@4.5", text(&question())));
    let dial = ["call", &uri, "--play", &spoken, "--duration", "60", "--json"];
    let phone = Process::start("phone", &mut stage.command(&dial))?;

    let call = call_in("talking", &stage, &ramal)?;
    let id = call["conversation_uuid"].as_str().context("no conversation")?.to_owned();
    ensure!(call["domain_name"] == "demo.example" && call["secretary_name"] == "demo", "{call}");
    ensure!(call["called"] == "demo" && call["provider"] == "openai" && call["recording"] == "no", "{call}");
    ensure!(call["answered_at"].is_string() && call["listeners"] == 0, "{call}");
    let table = ask(&stage, &ramal, &["calls"])?.lines.join("\n");
    ensure!(table.contains(&id[..8]) && table.contains("talking"), "{table}");

    let file = stage.folder().join("heard.wav");
    let (heard, config) = (text(&file), text(&ramal.config));
    let listen = ["listen", &id[..8], "--output", &heard, "--config", &config];
    let listener = Process::start("ramal listen", &mut stage.command(&listen))?;
    let eight_seconds = 8 * 32_000;
    wait("eight seconds of sound", || {
        Ok(fs::metadata(&file).ok().filter(|file| file.len() > eight_seconds).map(drop))
    })?;
    let call = call_in("talking", &stage, &ramal)?;
    ensure!(call["listeners"] == 1 && call["spent_micro_usd"].as_u64() > Some(0), "{call}");

    let done = ask(&stage, &ramal, &["hangup", &id])?;
    ensure!(done.status.success(), "{}", done.lines.join("\n"));
    let ended = listener.wait(PATIENCE)?;
    ensure!(ended.status.success(), "{}", ended.lines.join("\n"));
    phone.wait(PATIENCE)?;
    ensure!(calls(&stage, &ramal)?.is_empty(), "a call that is over is still up");
    refused(&ask(&stage, &ramal, &["hangup", &id])?, "`ramal calls` lists them")?;

    let sides = Sound::read(&file)?;
    let [caller, assistant] = &sides[..] else { bail!("{} channels", sides.len()) };
    let clear = |side: &Sound, hertz: f64| {
        let steps = (0..(side.seconds() * 4.0) as u32).map(f64::from);
        steps.filter(|n| side.tone(hertz, n / 4.0, n / 4.0 + 0.25) > 0.9).count()
    };
    ensure!(clear(assistant, 1_100.0) >= 4, "the reply is on the right: {}", clear(assistant, 1_100.0));
    ensure!(clear(caller, 1_100.0) + clear(caller, 700.0) == 0, "and not on the left");
    ensure!(caller.sounding(500.0) > 0.8, "the caller is on the left: {} s", caller.sounding(500.0));
    let stored = stage.conversations(&ramal.config, 1)?;
    ensure!(stored[0]["end_reason"] == "ended by the administrator", "{}", stored[0]);
    let listened = &stored[0]["listened"][0];
    let times = (listened["from_ms"].as_u64(), listened["to_ms"].as_u64());
    ensure!(listened["who"].as_str().is_some_and(|who| who.starts_with("uid ")), "{}", stored[0]);
    ensure!(times.0.zip(times.1).is_some_and(|(from, to)| to > from + 7_000), "{listened}");
    ramal.end()?;
    stage.clear()
}

/// SIPp presses a key that means nothing, and waits for a REFER: it comes by order.
#[test]
fn a_call_is_transferred_by_order_and_not_heard_where_nobody_may_listen() -> Result<()> {
    let mut stage = stage()?;
    let ramal = stage.serve(&Settings::default().secretary("demo", "").call("notify_deadline_s = 2"))?;
    let folder = stage.folder().to_owned();
    let sipp = Sipp::new("uac_transfer").to(ramal.sip).key("digit", "9").patience(Duration::from_secs(50));
    let run = sipp.start(&mut stage.ports, &folder)?;
    wait("the key", || Ok(run.messages().ok().filter(|messages| messages.contains("Signal=9"))))?;
    let call = call_in("talking", &stage, &ramal)?;
    let id = call["conversation_uuid"].as_str().context("no conversation")?;

    refused(&ask(&stage, &ramal, &["listen", id, "--output", "x.wav"])?, "`listen_in`")?;
    ensure!(!folder.join("x.wav").exists(), "a file of nothing is there");
    refused(&ask(&stage, &ramal, &["transfer", id, "+15550100"])?, "she may transfer to: sales, support")?;
    refused(&ask(&stage, &ramal, &["transfer", "00000000", "sales"])?, "no call that is up")?;
    let done = ask(&stage, &ramal, &["transfer", id, "sales"])?;
    ensure!(done.status.success(), "{}", done.lines.join("\n"));
    refused(&ask(&stage, &ramal, &["transfer", id, "sales"])?, "while the call is transferring")?;
    run.finish()?;
    let stored = stage.conversations(&ramal.config, 1)?;
    ensure!(stored[0]["outcome"] == "transferred" && stored[0]["transfer_destination"] == "1000", "{}", stored[0]);
    ensure!(stored[0]["listened"].is_null(), "{}", stored[0]);
    ramal.end()?;
    stage.clear()
}
