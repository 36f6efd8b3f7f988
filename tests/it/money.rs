//! What a call has cost outlives the server.
use crate::{
    openai::{Terms, house},
    stage,
};
use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use ramal::{
    config::{Config, Environment},
    store::{self, Grouping, Used},
};
use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};
use testkit::process::Process;

/// A call is noted when the provider first tells what it was used for.
const NOTED_WITHIN: Duration = Duration::from_secs(20);
const SCRIPT: &str = "greeting = { say = { tone_hz = 700, ms = 1500 }, transcript = \"Welcome to the test line.\" }\n";

/// What calls have cost by the database of a server.
fn used(config: &Path) -> Result<Vec<Used>> {
    let text = fs::read_to_string(config)?;
    let config = Config::parse(&text, "test", &Environment::new()).map_err(|error| anyhow::anyhow!("{error}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = store::connect_existing(&config.database).await?;
        let domain = store.tenants().domain(&"demo.example".into()).await?.context("no such domain")?;
        let (from, to) = (DateTime::UNIX_EPOCH, Utc::now() + TimeDelta::hours(1));
        Ok(store.usage().used(domain, (from, to), Grouping::Provider).await?)
    })
}

#[test]
fn what_a_call_had_cost_when_its_server_was_killed_has_been_spent() -> Result<()> {
    let mut stage = stage()?;
    let (provider, ramal) = house(SCRIPT, Terms::default(), &mut stage)?;
    let config = ramal.config.clone();
    let mut command = stage.command(&["call", &ramal.uri("demo"), "--json", "--duration", "30"]);
    let phone = Process::start("ramal call", &mut command)?;
    let began = Instant::now();
    while used(&config)?.is_empty() {
        ensure!(began.elapsed() < NOTED_WITHIN, "nothing is noted\n{}\n{}", ramal.process, phone);
        thread::park_timeout(Duration::from_millis(100));
    }
    // Killed, not asked to end.
    drop(ramal);
    let used = used(&config)?;
    ensure!(used.len() == 1 && used[0].of == "openai" && used[0].calls == 1 && used[0].cost.0 > 0, "{used:?}");
    let ended = stage.run(&["conversations", "--json", "--config", &config.to_string_lossy()])?;
    ensure!(!ended.lines.join("").contains("conversation_uuid"), "{:?}", ended.lines);
    drop((phone, provider));
    stage.clear()
}
