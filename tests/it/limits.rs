//! Limits and budgets: several processes that share a Redis, and a server that is full.
use crate::stage;
use anyhow::{Context, Result, ensure};
use ramal::{
    config::Secret,
    drivers::gate::{Gate, Permit},
    tenancy::limits::{Caps, Claim},
};
use std::{
    env,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use testkit::stage::Settings;
use uuid::Uuid;

/// Most calls at once, of all processes together.
const CALLS: u32 = 7;
/// Within this a call of a process that was killed counts no more.
const EXPIRY: Duration = Duration::from_secs(30);
/// Where a process of a test finds its Redis, and what it does there.
const NODE: &str = "NODE_OF_A_TEST";

/// A Redis of the test's own.
struct Redis {
    child: Child,
    url: String,
}

impl Redis {
    fn start(folder: &Path) -> Result<Self> {
        let socket = folder.join("redis.sock");
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]).arg(&socket);
        let child = command.current_dir(folder).stdout(Stdio::null()).spawn().context("redis-server")?;
        let redis = Self { child, url: format!("redis+unix://{}", socket.display()) };
        wait("Redis", || redis.connect().is_ok())?;
        Ok(redis)
    }

    fn connect(&self) -> Result<redis::Connection> {
        Ok(redis::Client::open(self.url.as_str())?.get_connection()?)
    }

    fn number(&self, name: &str) -> Result<u32> {
        Ok(redis::cmd("GET").arg(name).query::<Option<u32>>(&mut self.connect()?)?.unwrap_or_default())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

/// Kill -9.
fn stop(child: &mut Child) {
    // One that ended by itself is as good.
    let _ = child.kill().and_then(|()| child.wait());
}

fn wait(what: &str, mut until: impl FnMut() -> bool) -> Result<Duration> {
    let began = Instant::now();
    while !until() {
        ensure!(began.elapsed() < EXPIRY + Duration::from_secs(10), "{what}: not in time");
        thread::park_timeout(Duration::from_millis(20));
    }
    Ok(began.elapsed())
}

fn claim() -> Claim {
    let caps = Caps { domain: Some(CALLS), ..Caps::default() };
    Claim { domain: Uuid::from_u128(1), secretary: Uuid::from_u128(2), provider: "local".into(), caps }
}

/// A gate that has found its Redis.
async fn gate(url: &str) -> Result<Gate> {
    let gate = Gate::start(Some(&Secret::new(url)))?;
    let began = Instant::now();
    while gate.count().redis != Some(true) {
        ensure!(began.elapsed() < Duration::from_secs(10), "the gate does not find its Redis");
        tokio::task::yield_now().await;
    }
    Ok(gate)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// One process of the tests below: begins calls and ends them, as fast as it can; or begins all it may, and keeps them.
#[test]
#[ignore = "started by the tests that need several processes"]
fn node() -> Result<()> {
    let Ok(told) = env::var(NODE) else { return Ok(()) };
    let (what, url) = told.split_once(' ').context("what, and where")?;
    runtime()?.block_on(async {
        let gate = gate(url).await?;
        match what {
            "churn" => churn(&gate, url).await,
            _ => keep(&gate, url).await,
        }
    })
}

/// Counts its calls beside the gate: after each is let in, and before it ends.
async fn churn(gate: &Gate, url: &str) -> Result<()> {
    let connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (gate, mut connection) = (gate.clone(), connection.clone());
        tasks.spawn(async move {
            for _ in 0..300 {
                let Ok(permit) = gate.admit(claim()).await else {
                    redis::cmd("INCR").arg("refused").exec_async(&mut connection).await?;
                    continue;
                };
                let up: u32 = redis::cmd("INCR").arg("up").query_async(&mut connection).await?;
                if up > CALLS {
                    redis::cmd("INCR").arg("broken").exec_async(&mut connection).await?;
                }
                redis::cmd("INCR").arg("let in").exec_async(&mut connection).await?;
                redis::cmd("DECR").arg("up").exec_async(&mut connection).await?;
                drop(permit);
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let mut connection = connection;
    redis::cmd("INCRBY").arg("alone").arg(gate.count().alone).exec_async(&mut connection).await?;
    Ok(())
}

/// Until it is killed.
async fn keep(gate: &Gate, url: &str) -> Result<()> {
    let mut permits: Vec<Permit> = Vec::new();
    while let Ok(permit) = gate.admit(claim()).await {
        permits.push(permit);
    }
    let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    redis::cmd("SET").arg("kept").arg(permits.len()).exec_async(&mut connection).await?;
    std::future::pending().await
}

fn start_node(what: &str, redis: &Redis) -> Result<Child> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["--exact", "limits::node", "--ignored", "--nocapture"]).env(NODE, format!("{what} {}", redis.url));
    command.stdout(Stdio::null()).spawn().context("a process of the test")
}

#[test]
fn three_processes_on_one_redis_never_have_a_call_too_many() -> Result<()> {
    let stage = stage()?;
    let redis = Redis::start(stage.folder())?;
    let nodes: Vec<Child> = (0..3).map(|_| start_node("churn", &redis)).collect::<Result<_>>()?;
    for mut node in nodes {
        let status = node.wait()?;
        ensure!(status.success(), "a process failed: {status}");
    }
    let [let_in, refused, broken, alone] =
        ["let in", "refused", "broken", "alone"].map(|name| redis.number(name)).map(Result::unwrap_or_default);
    println!("{let_in} let in, {refused} refused, {broken} too many");
    ensure!(let_in + refused == 3 * 8 * 300 && refused > 0, "{let_in} let in, {refused} refused");
    ensure!(broken == 0 && alone == 0, "{broken} calls too many, {alone} without Redis");
    stage.clear()
}

#[test]
fn calls_of_a_process_that_was_killed_count_no_more_after_half_a_minute() -> Result<()> {
    let stage = stage()?;
    let redis = Redis::start(stage.folder())?;
    let mut node = start_node("keep", &redis)?;
    wait("the calls of the other process", || redis.number("kept").is_ok_and(|kept| kept == CALLS))?;
    runtime()?.block_on(async {
        let gate = gate(&redis.url).await?;
        ensure!(gate.admit(claim()).await.is_err(), "all calls are the other's");
        stop(&mut node);
        let killed = Instant::now();
        let mut permits = Vec::new();
        while permits.len() < usize::try_from(CALLS)? {
            ensure!(killed.elapsed() <= EXPIRY, "{} of {CALLS} calls are free after {EXPIRY:?}", permits.len());
            match gate.admit(claim()).await {
                Ok(permit) => permits.push(permit),
                Err(_) => thread::park_timeout(Duration::from_millis(50)),
            }
        }
        println!("free after {:?}", killed.elapsed());
        Ok(())
    })?;
    stage.clear()
}

#[test]
fn a_redis_that_went_away_and_came_back_empty_is_told_of_the_calls_that_are_up() -> Result<()> {
    let stage = stage()?;
    let redis = Redis::start(stage.folder())?;
    runtime()?.block_on(async {
        let (one, other) = (gate(&redis.url).await?, gate(&redis.url).await?);
        let mut permits = vec![one.admit(claim()).await.map_err(|limit| anyhow::anyhow!("{limit}"))?];
        let url = redis.url.clone();
        drop(redis);
        // While it is away each goes by its own limits.
        for _ in 1..CALLS {
            permits.push(one.admit(claim()).await.map_err(|limit| anyhow::anyhow!("{limit}"))?);
        }
        ensure!(one.admit(claim()).await.is_err(), "its own limit");
        ensure!(one.count().alone == u64::from(CALLS) - 1 && one.count().redis == Some(false));
        let redis = Redis::start(stage.folder())?;
        ensure!(redis.url == url);
        wait("both gates", || [&one, &other].iter().all(|gate| gate.count().redis == Some(true)))?;
        ensure!(other.admit(claim()).await.is_err(), "the calls of the first count again");
        drop(permits);
        let began = Instant::now();
        while other.admit(claim()).await.is_err() {
            ensure!(began.elapsed() < Duration::from_secs(5), "calls that ended still count");
        }
        anyhow::Ok(())
    })?;
    stage.clear()
}

#[test]
fn a_server_that_does_nothing_tells_a_redis_that_forgot_everything_of_its_calls_at_once() -> Result<()> {
    let stage = stage()?;
    let redis = Redis::start(stage.folder())?;
    runtime()?.block_on(async {
        let (one, other) = (gate(&redis.url).await?, gate(&redis.url).await?);
        let mut permits = Vec::new();
        while let Ok(permit) = one.admit(claim()).await {
            permits.push(permit);
        }
        ensure!(permits.len() == usize::try_from(CALLS)? && other.admit(claim()).await.is_err());
        redis::cmd("FLUSHALL").exec(&mut redis.connect()?)?;
        let began = Instant::now();
        while other.admit(claim()).await.is_ok() {
            // The next renewal would come eight seconds after the last, which was a moment ago.
            ensure!(began.elapsed() < Duration::from_secs(4), "the calls of the first still do not count");
        }
        println!("counted again after {:?}", began.elapsed());
        drop(permits);
        anyhow::Ok(())
    })?;
    stage.clear()
}

#[test]
fn a_call_that_never_begins_is_none_of_the_minute_for_all_servers() -> Result<()> {
    let stage = stage()?;
    let redis = Redis::start(stage.folder())?;
    let claim = || Claim { caps: Caps { per_minute: Some(1), ..Caps::default() }, ..claim() };
    runtime()?.block_on(async {
        let (one, other) = (gate(&redis.url).await?, gate(&redis.url).await?);
        drop(one.admit(claim()).await.map_err(|limit| anyhow::anyhow!("{limit}"))?);
        let began = Instant::now();
        let mut permit = loop {
            match other.admit(claim()).await {
                Ok(permit) => break permit,
                Err(limit) => ensure!(began.elapsed() < Duration::from_secs(5), "{limit}"),
            }
        };
        permit.begin();
        drop(permit);
        ensure!(one.admit(claim()).await.is_err(), "it was the one of this minute");
        anyhow::Ok(())
    })?;
    stage.clear()
}

/// The JSON report of `ramal call`.
fn called(stage: &testkit::stage::Stage, uri: &str) -> Result<serde_json::Value> {
    let ended = stage.run(&["call", uri, "--json", "--duration", "1"])?;
    let text = ended.lines.iter().skip_while(|line| !line.starts_with('{')).cloned().collect::<Vec<_>>().join("\n");
    serde_json::from_str(&text).with_context(|| format!("no report: {}", ended.lines.join("\n")))
}

#[test]
fn a_tenant_without_room_is_refused_as_it_wants_and_its_neighbour_is_not() -> Result<()> {
    let mut stage = stage()?;
    let tenants = "[[tenants]]\ndomain = \"demo.example\"\ncalls_per_minute = 1\nrefusal = 503\n";
    let ramal = stage.serve(&Settings::default().secretary("demo", "").with(tenants))?;
    let uri = ramal.uri("demo");
    let first = called(&stage, &uri)?;
    ensure!(first["codec"] == "PCMU", "{first}");
    let second = called(&stage, &uri)?;
    ensure!(second["ended_by"]["refused"]["status"] == 503, "{second}");
    let log = ramal.end()?;
    ensure!(log.iter().any(|line| line.contains("as many new calls in this minute")), "{}", log.join("\n"));
    stage.clear()
}
