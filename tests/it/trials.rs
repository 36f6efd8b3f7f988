//! A secretary is tried without a phone: by the HTTP API, with `ramal lab openai` as her provider over real TLS.
use crate::{
    api::{Client, token},
    openai::{self, Terms},
    stage,
};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{
    fs, thread,
    time::{Duration, Instant},
};
use testkit::{
    sound::Sound,
    stage::{Ramal, Settings, Stage},
};
use ureq::Agent;

const DOMAIN: &str = "domain=demo.example";
const SCRIPT: &str = r#"
api_key = "sk-test"
caller = ["What are your opening hours?"]
greeting = { say = { tone_hz = 700, ms = 1500 }, transcript = "Welcome to the test line." }
replies = [{ say = { tone_hz = 1100, ms = 1500 }, transcript = "We are open from nine to five." }]
"#;

fn client(stage: &Stage, ramal: &Ramal, http: std::net::SocketAddr) -> Result<Client> {
    // A test call is answered when it is over.
    let config = Agent::config_builder().timeout_global(Some(Duration::from_secs(60))).http_status_as_error(false);
    let agent = config.build().new_agent();
    Ok(Client { agent, url: format!("http://{http}"), token: token(stage, &ramal.config)? })
}

/// What is answered to a POST that is done.
fn post(client: &Client, path: &str, body: &Value) -> Result<Value> {
    let (status, told) = client.send("POST", &format!("{path}?{DOMAIN}"), body)?;
    ensure!(status == 200, "{path}: {status} {}", String::from_utf8_lossy(&told));
    Ok(serde_json::from_slice(&told)?)
}

/// A WAV that a voice was heard in.
fn heard(stage: &Stage, client: &Client, body: &Value) -> Result<Sound> {
    let (status, wav) = client.send("POST", &format!("/v1/voices/preview?{DOMAIN}"), body)?;
    ensure!(status == 200, "{status} {}", String::from_utf8_lossy(&wav));
    let file = stage.folder().join("preview.wav");
    fs::write(&file, wav)?;
    Sound::read(&file)?.pop().context("a channel")
}

/// What was used, by provider, from an hour ago to an hour hence.
fn used(client: &Client) -> Result<Value> {
    let at = |hours| (chrono::Utc::now() + chrono::TimeDelta::hours(hours)).format("%Y-%m-%dT%H:%M:%SZ");
    client.json(&format!("/v1/usage?{DOMAIN}&from={}&to={}&by=provider", at(-1), at(1)))
}

/// The only secretary there is.
fn secretary(client: &Client) -> Result<String> {
    let list = client.json(&format!("/v1/secretaries?{DOMAIN}"))?;
    Ok(list["items"][0]["secretary_realtime_uuid"].as_str().context("a secretary")?.to_owned())
}

#[test]
fn a_provider_is_checked_and_heard_with_the_key_that_calls_would_have() -> Result<()> {
    let mut stage = stage()?;
    let http = stage.ports.address()?;
    let more = format!("[api]\nlisten = \"{http}\"\n[secrets]\nmaster_keys = [\"{}\"]\n", "07".repeat(32));
    let (provider, ramal) = openai::house(SCRIPT, Terms { more: &more, ..Terms::default() }, &mut stage)?;
    let client = client(&stage, &ramal, http)?;
    let her = json!({ "secretary": secretary(&client)? });
    let whole = post(&client, "/v1/providers/check", &her)?;
    let rung = &whole["rungs"][0];
    ensure!(whole["ok"] == true && rung["provider"] == "openai" && rung["ok"] == true, "{whole}");
    let (connected, ready) = (rung["connected_ms"].as_u64(), rung["ready_ms"].as_u64());
    ensure!(connected.is_some() && connected <= ready && ready < Some(5_000), "{whole}");
    ensure!(openai::said(&provider, "session.update").len() == 1, "the session is set up as for a call");
    ensure!(openai::said(&provider, "response.create").is_empty(), "and nothing is said that costs");

    let voice = heard(&stage, &client, &her)?;
    let clear = voice.tone(700.0, 0.25, 1.25);
    ensure!(clear > 0.9 && (1.0..3.0).contains(&voice.seconds()), "{clear:.2} of {} s", voice.seconds());
    // It is told when it is heard, and noted a moment later.
    let began = Instant::now();
    let used = loop {
        let used = used(&client)?;
        if used["items"] != json!([]) {
            break used;
        }
        ensure!(began.elapsed() < Duration::from_secs(10), "a preview costs nothing");
        thread::park_timeout(Duration::from_millis(50));
    };
    ensure!(used["items"][0]["cost_micro_usd"].as_u64() > Some(0) && used["items"][0]["talked_ms"] == 0, "{used}");

    let own = json!({ "settings": { "realtime_provider": "openai" }, "api_key": "sk-of-the-tenant" });
    let (status, _) = client.send("PUT", &format!("/v1/tenant?{DOMAIN}"), &own)?;
    ensure!(status == 200);
    let refused = post(&client, "/v1/providers/check", &json!({ "realtime_provider": "" }))?;
    ensure!(refused["ok"] == false && refused["rungs"][0]["failure"] == "authentication", "{refused}");
    ensure!(!refused.to_string().contains("sk-"), "{refused}");
    let absent = post(&client, "/v1/providers/check", &json!({ "realtime_provider": "gemini" }))?;
    ensure!(absent["ok"] == false && absent["missing"].to_string().contains("[gemini] api_key"), "{absent}");
    let lines = ramal.end()?;
    ensure!(!lines.iter().any(|line| line.contains("sk-of-the-tenant")), "the key is in the log");
    stage.clear()
}

#[test]
fn a_voice_of_the_server_is_heard_without_a_phone() -> Result<()> {
    let mut stage = stage()?;
    let http = stage.ports.address()?;
    let settings = Settings::default().with(&format!("[api]\nlisten = \"{http}\"\n")).secretary("demo", "");
    let ramal = stage.serve(&settings)?;
    let client = client(&stage, &ramal, http)?;
    let english =
        json!({ "realtime_provider": "local", "provider_config": { "language": "en-US" }, "text": "Welcome." });
    let short = heard(&stage, &client, &english)?;
    let text = "Welcome to the test line, which is open from nine to five, from Monday to Friday.";
    let long = heard(&stage, &client, &json!({ "secretary": secretary(&client)?, "text": text }))?;
    ensure!(short.seconds() > 0.3 && long.seconds() > 2.0 * short.seconds(), "{} {}", short.seconds(), long.seconds());
    let mut other = english;
    other["provider_config"]["language"] = json!("pt-BR");
    let (status, told) = client.send("POST", &format!("/v1/voices/preview?{DOMAIN}"), &other)?;
    let told = String::from_utf8_lossy(&told).into_owned();
    ensure!(status == 422 && told.contains("no voice for pt-BR"), "without models there is none: {status} {told}");
    ensure!(long.level(0.0, long.seconds()) > 0.01, "{}", long.level(0.0, long.seconds()));
    ramal.end()?;
    stage.clear()
}

#[test]
fn a_secretary_is_called_by_her_own_server_and_what_was_said_is_read_afterwards() -> Result<()> {
    let mut stage = stage()?;
    let http = stage.ports.address()?;
    // Nobody on this machine may call.
    let more = format!("[api]\nlisten = \"{http}\"\n[[peers]]\nname = \"pbx\"\naddresses = [\"192.0.2.1\"]\n");
    let (_provider, ramal) = openai::house(SCRIPT, Terms { more: &more, ..Terms::default() }, &mut stage)?;
    let client = client(&stage, &ramal, http)?;
    let path = format!("/v1/secretaries/{}/test-call", secretary(&client)?);
    let asked = json!({ "say": "What are your opening hours?", "seconds": 12 });
    let (report, second) = thread::scope(|scope| {
        let first = scope.spawn(|| post(&client, &path, &asked));
        let began = Instant::now();
        while client.json(&format!("/v1/calls?{DOMAIN}"))?["items"] == json!([]) {
            ensure!(began.elapsed() < Duration::from_secs(20), "there is no call");
            thread::park_timeout(Duration::from_millis(50));
        }
        let (second, _) = client.send("POST", &format!("{path}?{DOMAIN}"), &json!({}))?;
        let report = first.join().map_err(|_| anyhow::anyhow!("the first call broke"))??;
        Ok::<_, anyhow::Error>((report, second))
    })?;
    ensure!(second == 409, "one at a time: {second}");
    ensure!(report["sip_status"] == 200 && report["said"] == true && report["unsaid"].is_null(), "{report}");
    ensure!(report["first_audio_ms"].is_u64() && report["reply_ms"].is_u64(), "{report}");
    ensure!(report["assistant_spoke_ms"].as_u64() > Some(1_500), "{report}");
    ensure!(report["ended_by"] == "caller", "{report}");
    let kept = client.conversation()?;
    ensure!(kept["conversation_uuid"] == report["conversation_uuid"], "{kept} {report}");
    ensure!(kept["caller_id"] == "test-call" && kept["outcome"] == "completed", "{kept}");
    let id = kept["conversation_uuid"].as_str().context("a UUID")?;
    let said = client.json(&format!("/v1/conversations/{id}?{DOMAIN}"))?["transcript"].to_string();
    for words in ["Welcome to the test line.", "What are your opening hours?", "We are open from nine to five."] {
        ensure!(said.contains(words), "{words:?} is not in {said}");
    }
    let used = used(&client)?;
    ensure!(used["items"][0]["calls"] == 1 && used["items"][0]["cost_micro_usd"].as_u64() > Some(0), "{used}");
    ramal.end()?;
    stage.clear()
}

#[test]
fn a_call_that_is_refused_is_told_as_its_caller_sees_it() -> Result<()> {
    let mut stage = stage()?;
    let http = stage.ports.address()?;
    let limit =
        format!("[api]\nlisten = \"{http}\"\n[[tenants]]\ndomain = \"demo.example\"\nmax_concurrent_calls = 0\n");
    let ramal = stage.serve(&Settings::default().with(&limit).secretary("demo", ""))?;
    let client = client(&stage, &ramal, http)?;
    let path = format!("/v1/secretaries/{}/test-call", secretary(&client)?);
    let report = post(&client, &path, &json!({ "seconds": 5 }))?;
    ensure!(report["sip_status"] == 486 && report["ended_by"] == "refusal", "{report}");
    ensure!(report["conversation_uuid"] == client.conversation()?["conversation_uuid"], "{report}");
    ramal.end()?;
    stage.clear()
}
