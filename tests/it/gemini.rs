//! Calls to a secretary of Gemini Live, with `ramal lab gemini` as the provider over real TLS WebSockets.
use crate::{
    openai::{call, question, text},
    phones::texts,
    stage,
};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{fs, time::Duration};
use testkit::{
    process::Process,
    stage::{Ramal, Settings, Stage},
};

/// A greeting, a long reply that is interrupted, and a short one.
const SCRIPT: &str = r#"
api_key = "test-key"
caller = ["When are you open?", "Thank you."]
greeting = { say = { tone_hz = 700, ms = 1200 }, transcript = "Welcome to the test line." }
replies = [
    { say = { tone_hz = 1100, ms = 6000 }, transcript = "one two three four five six" },
    { say = { tone_hz = 900, ms = 800 }, transcript = "Goodbye." },
]
"#;

/// A simulator with this script, and a server whose secretary `demo` speaks through it.
fn house(script: &str, stage: &mut Stage) -> Result<(Process, Ramal)> {
    let (at, folder) = (stage.ports.address()?, stage.folder().to_owned());
    let (file, certificate) = (folder.join("script.toml"), folder.join("lab-ca.pem"));
    fs::write(&file, script)?;
    let listen = at.to_string();
    let arguments = ["lab", "gemini", "--listen", &listen, "--tls", "--json", "--certificate", &text(&certificate)];
    let mut command = stage.command(&arguments);
    command.args(["--script", &text(&file)]);
    let mut provider = Process::start("ramal lab gemini", &mut command)?;
    let listening = provider.wait_for_line("\"listening\"", Duration::from_secs(20))?;
    let url = serde_json::from_str::<Value>(&listening)?["listening"].as_str().context("no address")?.to_owned();
    let settings = Settings::default().with(&format!(
        r#"
[gemini]
url = "{url}"
api_key = "test-key"
ca_file = "{}"
[[secretaries]]
domain = "demo.example"
name = "demo"
extension = "demo"
provider = "gemini"
language = "en-US"
prompt = "You answer the phone."
first_message = "Welcome to the test line."
"#,
        certificate.display()
    ));
    Ok((provider, stage.serve(&settings)?))
}

/// Asks, interrupts the answer, and hears another; what is stored of it.
fn talk(script: &str) -> Result<Value> {
    let mut stage = stage()?;
    let (_provider, ramal) = house(script, &mut stage)?;
    let (question, again) = (text(&question()), format!("{}@6", text(&question())));
    let (report, _) = call(&stage, &ramal, &["--play", &question, "--play", &again, "--duration", "14"])?;
    ensure!(report["lost"] == 0, "{report}");
    let stored = stage.conversations(&ramal.config, 1)?.pop().context("no record")?;
    ensure!(stored["provider"] == "gemini" && stored["outcome"] == "completed", "{stored}\n{}", ramal.process);
    ramal.end()?;
    stage.clear()?;
    Ok(stored)
}

fn check(stored: &Value) -> Result<()> {
    let said = texts(stored);
    ensure!(said.len() == 5 && said[0] == "Welcome to the test line.", "{said:?}");
    ensure!(said[1] == "When are you open?" && said[3] == "Thank you." && said[4] == "Goodbye.", "{said:?}");
    let cut = &stored["turns"][2];
    ensure!(cut["cut"] == true && said[2].starts_with("one") && !said[2].contains("six"), "{cut}");
    ensure!(stored["estimated_cost"].as_u64().is_some_and(|cost| cost > 0), "{stored}");
    Ok(())
}

#[test]
fn a_caller_talks_with_gemini_and_interrupts_it() -> Result<()> {
    check(&talk(SCRIPT)?)
}

/// The connection is to be left in the middle of the question: it is left when nobody speaks, and nothing is lost.
#[test]
fn a_connection_that_google_ends_is_followed_by_another_unheard() -> Result<()> {
    let script = format!("{SCRIPT}[faults]\nconnections = 1\ngo_away_after_ms = 2500\ngo_away_left_ms = 20000\n");
    check(&talk(&script)?)
}

#[test]
fn a_key_that_google_refuses_refuses_the_call() -> Result<()> {
    let mut stage = stage()?;
    let (_provider, ramal) = house("api_key = \"another\"\n", &mut stage)?;
    let ended = stage.run(&["call", &ramal.uri("demo"), "--duration", "3"])?;
    ensure!(!ended.status.success() && ended.lines.join("\n").contains("503"), "{}", ended.lines.join("\n"));
    ensure!(!ramal.process.to_string().contains("test-key"), "the key is in the log");
    ramal.end()?;
    stage.clear()
}
