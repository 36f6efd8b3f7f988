//! Calls to secretaries of separate parts, with `ramal lab parts` as all of their services over real TLS.
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

/// A long reply that is interrupted, and a short one.
const SCRIPT: &str = r#"
api_key = "test-key"
caller = ["When are you open?", "Thank you."]
tone_hz = 500
words_per_second = 4
[[replies]]
text = "One two three four five, six seven eight nine ten eleven, twelve thirteen fourteen fifteen sixteen."
[[replies]]
text = "Goodbye."
"#;

/// A simulator with this script, and a server whose secretary `demo` speaks through it.
fn house(script: &str, secretary: &str, stage: &mut Stage) -> Result<(Process, Ramal)> {
    let (at, folder) = (stage.ports.address()?, stage.folder().to_owned());
    let (file, certificate) = (folder.join("script.toml"), folder.join("lab-ca.pem"));
    fs::write(&file, script)?;
    let listen = at.to_string();
    let arguments = ["lab", "parts", "--listen", &listen, "--tls", "--json", "--certificate", &text(&certificate)];
    let mut command = stage.command(&arguments);
    command.args(["--script", &text(&file)]);
    let mut provider = Process::start("ramal lab parts", &mut command)?;
    let listening = provider.wait_for_line("\"listening\"", Duration::from_secs(20))?;
    let url = serde_json::from_str::<Value>(&listening)?["listening"].as_str().context("no address")?.to_owned();
    let service = |name: &str, path: &str| {
        let certificate = certificate.display();
        format!(
            "[[services]]\nname = \"{name}\"\nurl = \"{url}{path}\"\napi_key = \"test-key\"\nca_file = \"{certificate}\"\n"
        )
    };
    let settings = Settings::default().with(&format!(
        r#"
{}{}{}
[pipeline]
tts = "deepgram:aura-2-thalia-en"
[turn_based]
tts = "elevenlabs:eleven_flash_v2_5"
voice = "v1"
[log]
level = "trace"
[[secretaries]]
domain = "demo.example"
name = "demo"
extension = "demo"
language = "en-US"
prompt = "You answer the phone."
first_message = "Welcome to the test line."
silence_duration_ms = 300
{secretary}
"#,
        service("deepgram", ""),
        service("groq", "/openai/v1"),
        service("elevenlabs", ""),
    ));
    Ok((provider, stage.serve(&settings)?))
}

/// What the simulator was told or asked, of this type.
fn told(provider: &Process, kind: &str) -> Vec<Value> {
    let lines = provider.lines().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    lines.filter(|line| line["event"]["type"] == kind).map(|line| line["event"].clone()).collect()
}

/// Asks, interrupts the answer, and hears another.
fn talk(secretary: &str, provider: &str) -> Result<Vec<Value>> {
    let mut stage = stage()?;
    let (lab, ramal) = house(SCRIPT, secretary, &mut stage)?;
    let (question, again) = (text(&question()), format!("{}@6", text(&question())));
    let (report, _) = call(&stage, &ramal, &["--play", &question, "--play", &again, "--duration", "14"])?;
    ensure!(report["lost"] == 0, "{report}");
    let stored = stage.conversations(&ramal.config, 1)?.pop().context("no record")?;
    ensure!(stored["provider"] == provider && stored["outcome"] == "completed", "{stored}\n{}", ramal.process);
    let said = texts(&stored);
    ensure!(said.len() == 5 && said[0].trim() == "Welcome to the test line.", "{said:?}\n{}", ramal.process);
    ensure!(said[1] == "When are you open?" && said[3] == "Thank you." && said[4].trim() == "Goodbye.", "{said:?}");
    let cut = &stored["turns"][2];
    ensure!(cut["cut"] == true && said[2].starts_with("One") && !said[2].contains("sixteen"), "{cut}");
    ensure!(stored["estimated_cost"].as_u64().is_some_and(|cost| cost > 0), "{stored}");
    ensure!(!ramal.process.to_string().contains("test-key"), "the key is in the log");
    let dropped = told(&lab, "aborted");
    let of = |path: &str| dropped.iter().any(|event| event["path"].as_str().is_some_and(|at| at.ends_with(path)));
    ensure!(of("/chat/completions"), "who interrupts stops the model: {dropped:?}");
    let asked = told(&lab, "request");
    ramal.end()?;
    stage.clear()?;
    Ok(asked)
}

#[test]
fn a_caller_talks_with_parts_that_stream_and_interrupts_them() -> Result<()> {
    for stt in ["deepgram:flux-general-en", "deepgram:nova-3"] {
        let asked = talk(&format!("provider = \"pipeline\"\nstt = \"{stt}\"\n"), "pipeline")?;
        let transcribed = asked.iter().any(|event| event["path"].as_str().is_some_and(|at| at.contains("transcri")));
        ensure!(!transcribed, "{stt}: words come over the socket");
    }
    Ok(())
}

#[test]
fn a_caller_talks_turn_by_turn_and_interrupts() -> Result<()> {
    let asked = talk("provider = \"openai\"\nmode = \"turn_based\"\n", "turn_based")?;
    let written = asked.iter().filter(|event| event["path"] == "/openai/v1/audio/transcriptions").count();
    ensure!(written == 2, "{written} turns were uploaded");
    Ok(())
}

#[test]
fn a_key_that_a_service_refuses_refuses_the_call_and_the_log_says_which() -> Result<()> {
    let mut stage = stage()?;
    let (_lab, ramal) = house("api_key = \"another\"\n", "provider = \"pipeline\"\n", &mut stage)?;
    let ended = stage.run(&["call", &ramal.uri("demo"), "--duration", "3"])?;
    ensure!(!ended.status.success() && ended.lines.join("\n").contains("503"), "{}", ended.lines.join("\n"));
    let log = ramal.process.to_string();
    ensure!(log.contains("401") && !log.contains("test-key"), "{log}");
    ramal.end()?;
    stage.clear()
}

/// `auto` ends turn by turn: with a provider that is not there, and a part that is.
#[test]
fn auto_goes_on_turn_by_turn() -> Result<()> {
    let mut stage = stage()?;
    let secretary = "provider = \"gemini\"\nmode = \"auto\"\n[gemini]\napi_key = \"k\"\nurl = \"ws://127.0.0.1:9\"\n";
    let (_lab, ramal) = house(SCRIPT, secretary, &mut stage)?;
    let (report, _) = call(&stage, &ramal, &["--play", &text(&question()), "--duration", "8"])?;
    ensure!(report["lost"] == 0, "{report}");
    let stored = stage.conversations(&ramal.config, 1)?.pop().context("no record")?;
    ensure!(stored["provider"] == "turn_based", "{stored}\n{}", ramal.process);
    ensure!(texts(&stored).get(1).is_some_and(|said| *said == "When are you open?"), "{stored}");
    ramal.end()?;
    stage.clear()
}
