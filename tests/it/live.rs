//! Calls through OpenAI Live and through Azure, with `ramal lab` as the provider over real TLS WebSockets.
use crate::{
    openai::{call, question, text},
    stage,
};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{fs, time::Duration};
use testkit::{
    process::Process,
    stage::{Ramal, Settings, Stage},
};

/// A simulator of this name with this script, and a server whose secretary `demo` speaks through it: `sections` is made of the
/// simulator's address.
fn house(lab: &str, script: &str, sections: impl Fn(&str) -> String, stage: &mut Stage) -> Result<(Process, Ramal)> {
    let (at, folder) = (stage.ports.address()?, stage.folder().to_owned());
    let (file, certificate) = (folder.join("script.toml"), folder.join("lab-ca.pem"));
    fs::write(&file, script)?;
    let listen = at.to_string();
    let mut command =
        stage.command(&["lab", lab, "--listen", &listen, "--tls", "--json", "--certificate", &text(&certificate)]);
    command.args(["--script", &text(&file)]);
    let mut provider = Process::start("ramal lab", &mut command)?;
    let listening = provider.wait_for_line("\"listening\"", Duration::from_secs(20))?;
    let url = serde_json::from_str::<Value>(&listening)?["listening"].as_str().context("no address")?.to_owned();
    let settings = Settings::default().with(&format!(
        r#"
[openai]
ca_file = "{}"
{}
[[secretaries]]
domain = "demo.example"
name = "demo"
extension = "demo"
language = "en-US"
prompt = "You answer the phone."
first_message = "Welcome to the test line."
provider = "{}"
"#,
        certificate.display(),
        sections(&url),
        if lab == "live" { "openai-live" } else { "azure" },
    ));
    let ramal = stage.serve(&settings)?;
    Ok((provider, ramal))
}

fn said(provider: &Process, kind: &str) -> Vec<Value> {
    let lines = provider.lines().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    lines
        .filter(|line| line["direction"] == "from_client" && line["event"]["type"] == kind)
        .map(|line| line["event"].clone())
        .collect()
}

#[test]
fn a_call_through_azure_is_heard_and_stored() -> Result<()> {
    let mut stage = stage()?;
    let script = r#"
api_key = "azure-key"
caller = ["What are your opening hours?"]
greeting = { say = { tone_hz = 700, ms = 1500 }, transcript = "Welcome to the test line." }
replies = [{ say = { tone_hz = 1100, ms = 1500 }, transcript = "We are open from nine to five." }]
"#;
    let sections = |url: &str| {
        let endpoint = url.trim_end_matches("/v1/realtime");
        format!("[azure]\nendpoint = \"{endpoint}\"\napi_key = \"azure-key\"\ndeployment = \"our voice\"\n")
    };
    let (_provider, ramal) = house("openai", script, sections, &mut stage)?;
    let (_, _) = call(&stage, &ramal, &["--play", &text(&question())])?;
    let stored = stage.conversations(&ramal.config, 1)?;
    let turns = stored[0]["turns"].to_string();
    for words in ["What are your opening hours?", "Welcome to the test line.", "We are open from nine to five."] {
        ensure!(turns.contains(words), "{words:?} is not in {turns}");
    }
    ensure!(stored[0]["provider"] == "azure", "{}", stored[0]);
    ensure!(!stored[0].to_string().contains("azure-key"), "{}", stored[0]);
    ramal.end()?;
    stage.clear()
}

#[test]
fn who_cuts_in_on_a_full_duplex_model_is_heard_and_it_is_told_what_was() -> Result<()> {
    let mut stage = stage()?;
    let script = r#"
api_key = "live-key"
caller = ["What are your opening hours?"]
yields_ms = 3000
greeting = { say = { tone_hz = 700, ms = 20000 }, transcript = "Welcome to the very long test line that says many words." }
replies = [{ say = { tone_hz = 1100, ms = 1500 }, transcript = "We are open from nine to five." }]
"#;
    let sections = |url: &str| format!("[live]\nurl = \"{url}\"\napi_key = \"live-key\"\n");
    let (provider, ramal) = house("live", script, sections, &mut stage)?;
    let (report, sides) = call(&stage, &ramal, &["--play", &format!("{}@3", text(&question())), "--duration", "12"])?;
    let theirs = sides.get(1).context("two channels")?;
    let clear = |hertz: f64, from: f64, to: f64| {
        let steps = ((to - from) / 0.25) as u32;
        (0..steps).map(|n| from + f64::from(n) * 0.25).map(|at| theirs.tone(hertz, at, at + 0.25)).fold(0.0, f64::max)
    };
    ensure!(clear(700.0, 1.0, 3.0) > 0.9, "the greeting reaches the phone\n{report}");
    ensure!(clear(700.0, 5.5, 8.0) < 0.5, "and stops when the caller insists");
    ensure!(clear(1_100.0, 4.0, 11.0) > 0.9, "the answer reaches the phone\n{report}");
    let thoughts = said(&provider, "session.thinking.append");
    ensure!(thoughts.len() == 1, "told once what was heard: {thoughts:?}");
    let stored = stage.conversations(&ramal.config, 1)?;
    let turns = stored[0]["turns"].to_string();
    ensure!(turns.contains("What are your opening hours?") && turns.contains("from nine to five"), "{turns}");
    ensure!(stored[0]["provider"] == "openai-live", "{}", stored[0]);
    ramal.end()?;
    stage.clear()
}
