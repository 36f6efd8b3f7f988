//! Calls to a secretary with an agent at ElevenLabs, with `ramal lab elevenlabs` as the provider over real TLS.
use crate::{
    openai::{call, question, text},
    phones::texts,
    stage,
};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{fs, time::Duration};
use testkit::{
    process::Process,
    sipp::Sipp,
    stage::{Ramal, Settings, Stage},
};

/// A greeting, a long reply that is interrupted, and a short one after which the agent hangs up.
const SCRIPT: &str = r#"
api_key = "sk_test"
agent_id = "agent_demo"
variables = ["caller_number", "domain_name"]
allowed = ["prompt", "first_message", "language"]
caller = ["When are you open?", "Thank you."]
greeting = { say = { tone_hz = 700, ms = 1200 }, transcript = "Welcome to the test line." }
replies = [
    { say = { tone_hz = 1100, ms = 6000 }, transcript = "one two three four five six" },
    { say = { tone_hz = 900, ms = 800 }, transcript = "Goodbye.", hang_up = true },
]
"#;
/// How long the cost of a call may take to be in its record.
const COST_WITHIN: Duration = Duration::from_secs(20);

/// A simulator with this script, and a server whose secretary `demo` speaks through it.
fn house(script: &str, stage: &mut Stage) -> Result<(Process, Ramal)> {
    let (at, folder) = (stage.ports.address()?, stage.folder().to_owned());
    let (file, certificate) = (folder.join("script.toml"), folder.join("lab-ca.pem"));
    fs::write(&file, script)?;
    let listen = at.to_string();
    let arguments = ["lab", "elevenlabs", "--listen", &listen, "--tls", "--json", "--certificate", &text(&certificate)];
    let mut command = stage.command(&arguments);
    command.args(["--script", &text(&file)]);
    let mut provider = Process::start("ramal lab elevenlabs", &mut command)?;
    let listening = provider.wait_for_line("\"listening\"", Duration::from_secs(20))?;
    let url = serde_json::from_str::<Value>(&listening)?["listening"].as_str().context("no address")?.to_owned();
    let settings = Settings::default().with(&format!(
        r#"
[elevenlabs]
url = "{url}"
api_key = "sk_test"
agent_id = "agent_demo"
ca_file = "{}"
[log]
level = "trace"
[[secretaries]]
domain = "demo.example"
name = "demo"
extension = "demo"
provider = "elevenlabs"
language = "en-US"
prompt = "You answer the phone."
first_message = "Welcome to the test line."
transfer_rules = [{{ name = "sales", destination = "1000" }}]
"#,
        certificate.display()
    ));
    Ok((provider, stage.serve(&settings)?))
}

/// The simulator's messages of this type from Ramal.
fn said(provider: &Process, kind: &str) -> Vec<Value> {
    let lines = provider.lines().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    lines
        .filter(|line| line["direction"] == "from_client" && line["event"]["type"] == kind)
        .map(|line| line["event"].clone())
        .collect()
}

#[test]
fn a_caller_talks_with_an_agent_interrupts_it_and_learns_what_that_cost() -> Result<()> {
    let mut stage = stage()?;
    let (provider, mut ramal) = house(SCRIPT, &mut stage)?;
    let (question, again) = (text(&question()), format!("{}@6", text(&question())));
    let (report, _) = call(&stage, &ramal, &["--play", &question, "--play", &again, "--duration", "20"])?;
    ensure!(report["lost"] == 0 && report["ended_by"].get("far_end").is_some(), "the agent hangs up: {report}");
    ramal.process.wait_for_line("What a call cost is in its record", COST_WITHIN)?;
    let stored = stage.conversations(&ramal.config, 1)?.pop().context("no record")?;
    ensure!(stored["provider"] == "elevenlabs" && stored["outcome"] == "completed", "{stored}\n{}", ramal.process);
    let words = texts(&stored);
    ensure!(words.len() == 5 && words[0] == "Welcome to the test line.", "{words:?}");
    ensure!(words[1] == "When are you open?" && words[3] == "Thank you." && words[4] == "Goodbye.", "{words:?}");
    let cut = &stored["turns"][2];
    ensure!(cut["cut"] == true && words[2].starts_with("one") && !words[2].contains("six"), "{cut}");
    let (reckoned, cost) = (stored["estimated_cost"].as_u64(), stored["billed_cost"].as_u64());
    ensure!(reckoned > Some(0) && cost > reckoned, "the agent's language model is billed beside it: {stored}");

    let initiation = said(&provider, "conversation_initiation_client_data").pop().context("no initiation")?;
    ensure!(initiation["dynamic_variables"]["domain_name"] == "demo.example", "{initiation}");
    ensure!(said(&provider, "pong").len() >= 3, "pings are answered");
    let log = ramal.process.to_string();
    ensure!(!log.contains("sk_test") && !log.contains("cvtkn_lab_"), "the key or a signed URL is in the log");
    ramal.end()?;
    stage.clear()
}

#[test]
fn an_agent_transfers_by_a_client_tool() -> Result<()> {
    let mut stage = stage()?;
    let script = r#"
api_key = "sk_test"
[greeting]
say = { tone_hz = 700, ms = 1000 }
transcript = "I put you through to sales."
calls = [{ name = "transfer", arguments = { destination = "sales" } }]
silent_calls = true
"#;
    let (provider, ramal) = house(script, &mut stage)?;
    let folder = stage.folder().to_owned();
    let sipp = Sipp::new("uac_transfer_asked").to(ramal.sip).patience(Duration::from_secs(40));
    sipp.run(&mut stage.ports, &folder).with_context(|| format!("{}", ramal.process))?;
    let stored = stage.conversations(&ramal.config, 1)?.pop().context("no record")?;
    ensure!(stored["outcome"] == "transferred" && stored["transfer_destination"] == "1000", "{stored}");
    let result = said(&provider, "client_tool_result").pop().context("no result")?;
    ensure!(result["is_error"] == json!(false), "{result}");
    ramal.end()?;
    stage.clear()
}

/// Refused where the URL is signed, where the conversation is opened, and by what the agent allows.
#[test]
fn what_elevenlabs_refuses_refuses_the_call_and_the_log_says_why() -> Result<()> {
    let cases = [
        ("api_key = \"another\"\n", "401"),
        ("api_key = \"sk_test\"\n[faults]\nsign_status = 429\n", "429"),
        ("api_key = \"sk_test\"\nallowed = []\n", "security settings"),
        ("api_key = \"sk_test\"\n[faults]\nquota_after_ms = 0\nquota = \"flat\"\nmute = true\n", "quota"),
    ];
    for (script, why) in cases {
        let mut stage = stage()?;
        let (_provider, ramal) = house(script, &mut stage)?;
        let ended = stage.run(&["call", &ramal.uri("demo"), "--duration", "3"])?;
        ensure!(!ended.status.success() && ended.lines.join("\n").contains("503"), "{}", ended.lines.join("\n"));
        let log = ramal.process.to_string();
        ensure!(log.contains(why) && !log.contains("sk_test"), "{why}: {log}");
        ramal.end()?;
        stage.clear()?;
    }
    Ok(())
}
