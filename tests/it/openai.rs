//! Calls to a secretary of OpenAI, with `ramal lab openai` as the provider over real TLS WebSockets.
use crate::stage;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use testkit::{
    baresip::Baresip,
    process::Process,
    sipp::Sipp,
    sound::{self, Sound},
    stage::{Ramal, Settings, Stage},
};

/// Caller speech of 1.6 s.
const QUESTION: &str = "tests/fixtures/speech/en-piper-joe-2.wav";

/// What a server is told beside its provider, as TOML.
#[derive(Clone, Copy, Default)]
pub(crate) struct Terms<'a> {
    /// Lines of `[call]`.
    pub(crate) call: &'a str,
    /// Lines of `[media]`.
    pub(crate) media: &'a str,
    /// Lines of the secretary.
    pub(crate) secretary: &'a str,
    /// Further sections.
    pub(crate) more: &'a str,
}

/// A simulator with this script, and a server whose secretary `demo` speaks through it.
pub(crate) fn house(script: &str, terms: Terms<'_>, stage: &mut Stage) -> Result<(Process, Ramal)> {
    let (at, folder) = (stage.ports.address()?, stage.folder().to_owned());
    let (file, certificate) = (folder.join("script.toml"), folder.join("lab-ca.pem"));
    fs::write(&file, script)?;
    let listen = at.to_string();
    let arguments = ["lab", "openai", "--listen", &listen, "--tls", "--json", "--certificate", &text(&certificate)];
    let mut command = stage.command(&arguments);
    command.args(["--script", &text(&file)]);
    let mut provider = Process::start("ramal lab openai", &mut command)?;
    let listening = provider.wait_for_line("\"listening\"", Duration::from_secs(20))?;
    let url = serde_json::from_str::<Value>(&listening)?["listening"].as_str().context("no address")?.to_owned();
    let settings = Settings::default().call(terms.call).media(terms.media).with(terms.more).with(&format!(
        r#"
[openai]
url = "{url}"
api_key = "sk-test"
ca_file = "{}"
[[secretaries]]
domain = "demo.example"
name = "demo"
extension = "demo"
provider = "openai"
language = "en-US"
prompt = "You answer the phone."
first_message = "Welcome to the test line."
transfer_rules = [{{ name = "sales", destination = "1000" }}]
{}
"#,
        certificate.display(),
        terms.secretary
    ));
    let ramal = stage.serve(&settings)?;
    Ok((provider, ramal))
}

pub(crate) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

pub(crate) fn question() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(QUESTION)
}

/// Calls the secretary; returns the phone's report and what it recorded, ours left, theirs right.
pub(crate) fn call(stage: &Stage, ramal: &Ramal, more: &[&str]) -> Result<(Value, Vec<Sound>)> {
    let recording = text(&stage.folder().join("call.wav"));
    let uri = ramal.uri("demo");
    let mut arguments = vec!["call", &uri, "--json", "--record", &recording];
    arguments.extend(more);
    let ended = stage.run(&arguments)?;
    ensure!(ended.status.success(), "{}\n{}\n{}", ended.status, ended.lines.join("\n"), ramal.process);
    let report: Vec<_> = ended.lines.iter().skip_while(|line| !line.starts_with('{')).cloned().collect();
    let report = serde_json::from_str(&report.join("\n")).context("no report")?;
    Ok((report, Sound::read(Path::new(&recording))?))
}

/// The simulator's messages of this type from Ramal.
pub(crate) fn said(provider: &Process, kind: &str) -> Vec<Value> {
    let events = provider.lines().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    events
        .filter(|line| line["direction"] == "from_client" && line["event"]["type"] == kind)
        .map(|line| line["event"].clone())
        .collect()
}

#[test]
fn a_conversation_is_heard_and_stored() -> Result<()> {
    let mut stage = stage()?;
    let script = r#"
api_key = "sk-test"
caller = ["What are your opening hours?"]
greeting = { say = { tone_hz = 700, ms = 1500 }, transcript = "Welcome to the test line." }
replies = [{ say = { tone_hz = 1100, ms = 1500 }, transcript = "We are open from nine to five." }]
"#;
    let (provider, ramal) = house(script, Terms::default(), &mut stage)?;
    let (report, sides) = call(&stage, &ramal, &["--play", &text(&question())])?;
    let theirs = sides.get(1).context("two channels")?;
    let seconds = theirs.seconds() as u32;
    let strongest =
        |hertz: f64| (0..seconds * 4).map(move |n| theirs.tone(hertz, f64::from(n) / 4.0, f64::from(n) / 4.0 + 0.25));
    for hertz in [700.0, 1_100.0] {
        let clear = strongest(hertz).fold(0.0, f64::max);
        ensure!(clear > 0.9, "{hertz} Hz of the provider reaches the phone: {clear:.2}");
    }
    ensure!(!report["turns"].as_array().context("turns")?.is_empty(), "the reply was measured: {report}");
    let stored = stage.conversations(&ramal.config, 1)?;
    let turns = stored[0]["turns"].to_string();
    for words in ["What are your opening hours?", "Welcome to the test line.", "We are open from nine to five."] {
        ensure!(turns.contains(words), "{words:?} is not in {turns}");
    }
    ensure!(stored[0]["provider"] == "openai" && stored[0]["outcome"] == "completed", "{}", stored[0]);
    ensure!(stored[0]["output_tokens"].as_u64() > Some(0), "tokens are counted: {}", stored[0]);
    ensure!(said(&provider, "session.update").len() == 1, "one session.update");
    ramal.end()?;
    stage.clear()
}

/// A phone of others calls in wideband: what only wideband can carry reaches it, and audio of 24 kHz the provider.
#[test]
fn a_call_in_wideband_is_spoken_with_the_provider_at_24_khz() -> Result<()> {
    for codec in ["G722", "opus", "L16/16000"] {
        let mut stage = stage()?;
        let script = "greeting = { say = { tone_hz = 5000, ms = 3000 }, transcript = \"Welcome to the test line.\" }\n";
        let codecs = format!("codecs = [\"{codec}\"]");
        let (provider, ramal) = house(script, Terms { media: &codecs, ..Terms::default() }, &mut stage)?;
        let folder = stage.folder().to_owned();
        let quiet = folder.join("quiet.wav");
        sound::write(&quiet, &Sound { rate: 16_000, samples: vec![0; 16_000 * 40] })?;
        let phone = Baresip::call(&ramal.uri("demo"), &quiet, 7, &mut stage.ports, &folder)?;
        let heard = phone.finish(Duration::from_secs(40))?.heard;
        let steps = (heard.seconds() * 4.0) as u32;
        let clear =
            (0..steps).map(|n| heard.tone(5_000.0, f64::from(n) / 4.0, f64::from(n) / 4.0 + 0.25)).fold(0.0, f64::max);
        ensure!(clear > 0.9, "{codec}: 5 kHz of the provider reaches the phone: {clear:.2}");
        let updates = said(&provider, "session.update");
        for way in ["input", "output"] {
            let format = &updates[0]["session"]["audio"][way]["format"];
            ensure!(*format == json!({"type": "audio/pcm", "rate": 24_000}), "{codec}: {way} {format}");
        }
        // 20 ms are 960 bytes; of what is made up for a late packet there may be more at once.
        let appends = said(&provider, "input_audio_buffer.append");
        let whole =
            appends.iter().filter(|it| it["audio"]["characters"].as_u64().is_some_and(|n| n % 1_280 == 0)).count();
        ensure!(whole > 100 && whole * 10 > appends.len() * 9, "{codec}: {whole} of {} messages", appends.len());
        ramal.end()?;
        stage.clear()?;
    }
    Ok(())
}

#[test]
fn an_interruption_is_cut_where_it_was_heard() -> Result<()> {
    let mut stage = stage()?;
    let script = r#"
caller = ["Stop."]
greeting = { say = { tone_hz = 700, ms = 12000 }, transcript = "A very long greeting." }
replies = [{ say = { tone_hz = 1100, ms = 800 }, transcript = "Yes?" }]
"#;
    let (provider, ramal) = house(script, Terms::default(), &mut stage)?;
    let (report, sides) = call(&stage, &ramal, &["--play", &format!("{}@3", text(&question())), "--duration", "9"])?;
    let cuts = said(&provider, "conversation.item.truncate");
    let [cut] = &cuts[..] else { anyhow::bail!("one truncation, not {cuts:?}\n{report}") };
    let told = cut["audio_end_ms"].as_f64().context("audio_end_ms")? / 1_000.0;
    let theirs = sides.get(1).context("two channels")?;
    // The tone in the recording, in steps of 20 ms: what the caller heard of the greeting, faded end included.
    let steps = (theirs.seconds() / 0.02) as u32;
    let heard = (0..steps).map(|n| f64::from(n) * 0.02).filter(|at| theirs.tone(700.0, *at, at + 0.02) > 0.5).count();
    let heard = f64::from(u32::try_from(heard)?) * 0.02;
    ensure!((told - heard).abs() < 0.08, "told the provider {told:.2} s, the phone heard {heard:.2} s");
    ensure!((2.4..4.0).contains(&told), "the greeting began shortly after 0 s, the caller spoke at 3 s: {told:.2}");
    let stored = stage.conversations(&ramal.config, 1)?;
    ensure!(
        stored[0]["turns"].as_array().is_some_and(|turns| turns.iter().any(|turn| turn["cut"] == true)),
        "{}",
        stored[0]
    );
    ramal.end()?;
    stage.clear()
}

#[test]
fn the_model_transfers_the_caller() -> Result<()> {
    let mut stage = stage()?;
    let script = r#"
[greeting]
say = { tone_hz = 700, ms = 1000 }
transcript = "I put you through to sales."
calls = [{ name = "transfer", arguments = { destination = "sales" } }]
"#;
    let (_provider, ramal) = house(script, Terms::default(), &mut stage)?;
    let folder = stage.folder().to_owned();
    let sipp = Sipp::new("uac_transfer_asked").to(ramal.sip).patience(Duration::from_secs(40));
    sipp.run(&mut stage.ports, &folder).with_context(|| format!("{}", ramal.process))?;
    let stored = stage.conversations(&ramal.config, 1)?;
    ensure!(stored[0]["outcome"] == "transferred" && stored[0]["transfer_destination"] == "1000", "{}", stored[0]);
    ramal.end()?;
    stage.clear()
}

#[test]
fn a_provider_that_breaks_off_sends_the_caller_to_the_fallback() -> Result<()> {
    let mut stage = stage()?;
    let script = "[greeting]\nsay = { tone_hz = 700, ms = 8000 }\n[faults]\ndrop_after_ms = 2500\n";
    let (_provider, ramal) =
        house(script, Terms { call: "fallback_extension = \"1000\"", ..Terms::default() }, &mut stage)?;
    let folder = stage.folder().to_owned();
    let sipp = Sipp::new("uac_transfer_asked").to(ramal.sip).patience(Duration::from_secs(40));
    sipp.run(&mut stage.ports, &folder).with_context(|| format!("{}", ramal.process))?;
    let stored = stage.conversations(&ramal.config, 1)?;
    ensure!(stored[0]["outcome"] == "transferred" && stored[0]["transfer_destination"] == "1000", "{}", stored[0]);
    ramal.end()?;
    stage.clear()
}

/// The simulator is killed while its answer is heard: the built-in provider goes on in the same call.
#[test]
fn a_provider_that_is_killed_in_mid_answer_leaves_the_call_to_the_next_rung() -> Result<()> {
    let mut stage = stage()?;
    let script = r#"
caller = ["What are your opening hours?"]
greeting = { say = { tone_hz = 700, ms = 1500 }, transcript = "Welcome to the test line." }
replies = [{ say = { tone_hz = 1100, ms = 20000 }, transcript = "We are open from nine to five, and so on." }]
"#;
    let secretary = "ladder = [{ provider = \"local\" }]\n\
                     answers = [{ questions = [\"What are your opening hours?\"], answer = \"From nine to five.\" }]";
    let (mut provider, ramal) = house(script, Terms { secretary, ..Terms::default() }, &mut stage)?;
    let (uri, question) = (ramal.uri("demo"), text(&question()));
    let mut command = stage.command(&["call", &uri, "--json", "--play", &question, "--duration", "20"]);
    let phone = Process::start("ramal call", &mut command)?;
    provider.wait_for_line("input_audio_transcription.completed", Duration::from_secs(30))?;
    // With the first piece nothing is heard yet.
    for _ in 0..10 {
        let mark = provider.mark();
        provider.wait_for_line_after(mark, "response.output_audio.delta", Duration::from_secs(10))?;
    }
    drop(provider);
    let ended = phone.wait(Duration::from_secs(60))?;
    ensure!(ended.status.success(), "{}\n{}\n{}", ended.status, ended.lines.join("\n"), ramal.process);
    let stored = stage.conversations(&ramal.config, 1)?;
    let changes = stored[0]["changes"].as_array().context("changes")?;
    let gap = changes.last().and_then(|change| change["gap_ms"].as_u64()).context("gap_ms")?;
    ensure!(gap <= 1_500, "a gap of {gap} ms: {}", stored[0]);
    ensure!(stored[0]["provider"] == "local" && stored[0]["outcome"] == "completed", "{}", stored[0]);
    let failed = changes.iter().filter_map(|change| change["at_ms"].as_u64()).max().context("at_ms")?;
    let turns = stored[0]["turns"].as_array().context("turns")?;
    let after = |turn: &&Value| turn["who"] == "assistant" && turn["at_ms"].as_u64() > Some(failed);
    ensure!(turns.iter().filter(after).count() > 0, "the built-in provider says nothing: {}", stored[0]);
    ensure!(turns.iter().any(|turn| turn["cut"] == true), "what was not heard of the answer is kept: {}", stored[0]);
    ramal.end()?;
    stage.clear()
}

#[test]
fn a_wrong_key_refuses_the_call() -> Result<()> {
    let mut stage = stage()?;
    let (_provider, ramal) = house("api_key = \"another\"\n", Terms::default(), &mut stage)?;
    let folder = stage.folder().to_owned();
    let refused = Sipp::new("uac_invite").to(ramal.sip).run(&mut stage.ports, &folder);
    let message = refused.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(message.contains("SIP/2.0 503"), "{message}");
    let stored = stage.conversations(&ramal.config, 1)?;
    ensure!(stored[0]["outcome"] == "failed", "{}", stored[0]);
    ensure!(!stored[0].to_string().contains("sk-test"), "{}", stored[0]);
    ramal.end()?;
    stage.clear()
}
