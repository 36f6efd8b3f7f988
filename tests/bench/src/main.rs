//! `make bench`: measures a running Ramal from outside, with phones and a provider that share one clock.
//!
//! Writes `docs/benchmarks.md` with its pictures (`--memory`, `--capacity`, `--soak`, `--dialects`, `--faults`: pages of their own), and `target/bench/summary.json`. A missed target is told, not failed;
//! the exit code says only whether the measurement itself went well.
#![expect(clippy::disallowed_methods, reason = "a driver that measures time")]
mod analysis;
mod arrival;
mod beside;
mod capacity;
mod conversations;
mod crowd;
mod dialects;
mod faults;
mod floor;
mod labs;
mod machine;
mod memory;
mod metric;
mod origin;
mod phones;
mod plot;
mod progress;
mod provider;
mod report;
mod script;
mod server;
mod setups;
mod sipp;
mod soak;
mod speech;
mod stamp;
mod tones;
mod uac;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use conversations::{Conversations, Plan};
use crowd::Stage;
use floor::Layout;
use metric::Verdict;
use origin::{Machine, when};
use phones::{Floors, Phones};
use progress::Progress;
use provider::{Provider, Security};
use report::Report;
use server::{Detector, Server};
use speech::Voice;
use std::{
    env, fs,
    net::{SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};
use uac::Uac;

/// Calls a second that are tried, in order.
const RATES: [u32; 7] = [20, 50, 100, 200, 300, 400, 600];
/// Calls a second that SIPp places, and for how many seconds.
const SIPP: (u32, u32) = (300, 20);
/// Calls that are up beside pings and flood.
const CROWD: usize = 100;
/// OPTIONS a second.
const PINGS: u32 = 2_000;
/// Datagrams of strangers a second.
const FLOOD: u32 = 20_000;
/// How long the calls beside them count.
const CROWD_LENGTH: Duration = Duration::from_secs(60);
/// Pause between two steps: the server ends what it has begun.
const BETWEEN_STEPS: Duration = Duration::from_millis(500);

/// What other pages have.
const APART: &str = "Measured apart: memory over many calls ([benchmarks-memory.md](benchmarks-memory.md)), an hour of calls that \
    come and go ([benchmarks-soak.md](benchmarks-soak.md)), minutes without the database, without Redis and with a full disk \
    ([benchmarks-faults.md](benchmarks-faults.md)), calls held and what each costs \
    ([benchmarks-capacity.md](benchmarks-capacity.md)), calls through each provider's simulator \
    ([benchmarks-dialects.md](benchmarks-dialects.md)), what each codec costs \
    ([benchmarks-codecs.md](benchmarks-codecs.md)), what a bad network leaves of speech, beside dropping and repeating \
    ([benchmarks-sound.md](benchmarks-sound.md)), interrupting, false alarms and echo \
    ([benchmarks-barge-in.md](benchmarks-barge-in.md)).";

/// Measures a running Ramal from outside.
#[derive(Clone, Debug, Parser)]
struct Args {
    /// Concurrent calls.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=2_000))]
    calls: u16,
    /// Seconds of conversation that count.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..=110))]
    seconds: u64,
    /// A short run: 8 seconds, two set-up rates, docs/benchmarks.md left as it is.
    #[arg(long)]
    quick: bool,
    /// Only put this many calls through, and see whether memory stays flat.
    #[arg(long, value_name = "CALLS", value_parser = clap::value_parser!(u32).range(1_000..))]
    memory: Option<u32>,
    /// Only see how many calls are held, and what each costs.
    #[arg(long)]
    capacity: bool,
    /// Only hold calls that come and go for so many minutes, and see whether anything changes.
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u64).range(1..=1_440))]
    soak: Option<u64>,
    /// Only hold calls while the database, Redis and room on the disk are taken away and given back: each for so many minutes, or
    /// without a number for 5, 3 and 3.
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(1..=60))]
    faults: Option<Option<u32>>,
    /// Only hold calls through each provider's simulator, alone and together.
    #[arg(long)]
    dialects: bool,
    /// Be the program that only carries, for so many calls.
    #[arg(long, hide = true, requires_all = ["provider", "ca_file"])]
    floor: Option<usize>,
    /// With sockets laid out like this.
    #[arg(long, hide = true, value_enum, default_value_t = Layout::Shared)]
    layout: Layout,
    /// Of the provider it carries to.
    #[arg(long, hide = true)]
    provider: Option<SocketAddr>,
    /// By which that provider is trusted.
    #[arg(long, hide = true)]
    ca_file: Option<PathBuf>,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
    /// The server to measure; target/release/ramal if not given.
    #[arg(long, value_name = "FILE", env = "RAMAL_BIN")]
    server: Option<PathBuf>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let (Some(calls), Some(provider), Some(ca_file)) = (args.floor, args.provider, &args.ca_file) {
        return floor::run(calls, args.layout, provider, ca_file);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let folder = target.join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let program = args.server.clone().unwrap_or_else(|| target.join("release/ramal"));
    ensure!(program.exists(), "no program {}; `make build` makes it", program.display());
    let show = Progress::new();
    let speech = root.join("tests/fixtures/speech");
    // Asked first: what is committed while it runs is not measured.
    let stage = Stage { program: &program, folder: &folder, speech, show: &show, when: when(&root) };
    let machine = Machine::look()?;
    if args.capacity {
        return watch_capacity(&args, &root, &stage, &machine);
    }
    if args.dialects {
        return through_dialects(&args, &root, &stage, &machine);
    }
    if let Some(minutes) = args.faults {
        return take_away(&args, minutes, &root, &stage, &machine);
    }
    if let Some(minutes) = args.soak {
        return soak(&args, minutes, &root, &stage, &machine);
    }
    let report = match args.memory {
        Some(calls) => watch_memory(&args, calls, &root, &stage)?,
        None => measure(&args, &root, &stage)?,
    };
    show.finish();
    let summary = serde_json::to_string_pretty(&report.summary())?;
    fs::write(folder.join(if args.memory.is_some() { "memory.json" } else { "summary.json" }), &summary)?;
    if !args.quick {
        report.write_docs(&root.join("docs"), &machine)?;
    }
    if args.json {
        println!("{summary}")
    } else {
        println!("{}{}", report.table(), report.notes.join("\n"))
    }
    match report.metrics.iter().find(|metric| metric.verdict() == Verdict::NotMeasured) {
        Some(metric) => bail!("{} has no samples", metric.id),
        None => Ok(()),
    }
}

fn watch_capacity(args: &Args, root: &Path, stage: &Stage<'_>, machine: &Machine) -> Result<()> {
    let capacity = capacity::measure(stage, args.quick.then_some(args.calls.into()))?;
    stage.show.finish();
    let summary = serde_json::to_string_pretty(&capacity.summary())?;
    fs::write(stage.folder.join("capacity.json"), &summary)?;
    if !args.quick {
        capacity.write(&root.join("docs"), machine, &stage.when)?;
    }
    println!("{}", if args.json { summary } else { capacity.table() });
    Ok(())
}

fn through_dialects(args: &Args, root: &Path, stage: &Stage<'_>, machine: &Machine) -> Result<()> {
    let dialects = dialects::measure(stage, Duration::from_secs(if args.quick { 8 } else { 30 }))?;
    stage.show.finish();
    let summary = serde_json::to_string_pretty(&dialects.summary())?;
    fs::write(stage.folder.join("dialects.json"), &summary)?;
    if !args.quick {
        dialects.write(&root.join("docs"), machine, &stage.when)?;
    }
    println!("{}", if args.json { summary } else { dialects.table() });
    Ok(())
}

fn soak(args: &Args, minutes: u64, root: &Path, stage: &Stage<'_>, machine: &Machine) -> Result<()> {
    let soak = soak::hold(stage, Duration::from_secs(60 * minutes))?;
    stage.show.finish();
    let summary = serde_json::to_string_pretty(&soak.summary())?;
    fs::write(stage.folder.join("soak.json"), &summary)?;
    if !args.quick {
        soak.write(&root.join("docs"), machine, &stage.when)?;
    }
    println!("{}", if args.json { summary } else { soak.table() });
    Ok(())
}

fn take_away(args: &Args, minutes: Option<u32>, root: &Path, stage: &Stage<'_>, machine: &Machine) -> Result<()> {
    let faults = faults::hold(stage, minutes, if args.quick { args.calls.into() } else { faults::CALLS })?;
    stage.show.finish();
    let summary = serde_json::to_string_pretty(&faults.summary())?;
    fs::write(stage.folder.join("faults.json"), &summary)?;
    if !args.quick {
        faults.write(&root.join("docs"), machine, &stage.when)?;
    }
    println!("{}", if args.json { summary } else { faults.table() });
    Ok(())
}

fn watch_memory(args: &Args, calls: u32, root: &Path, stage: &Stage<'_>) -> Result<Report> {
    let memory = memory::watch(stage, calls, &root.join("sipp-scenarios"))?;
    Ok(Report {
        page: "benchmarks-memory.md",
        metrics: memory.metrics(),
        conditions: memory.conditions(),
        notes: memory.notes(),
        method: memory::METHOD,
        command: command(args),
        when: stage.when.clone(),
    })
}

fn measure(args: &Args, root: &Path, stage: &Stage<'_>) -> Result<Report> {
    let (machine, load_before) = (Machine::look()?, machine::load());
    let calls = usize::from(args.calls);
    let floors = Arc::new(Floors::new(calls));
    let provider = Provider::start(Voice::load(&stage.speech, "en-piper")?, Arc::clone(&floors), Security::Plain)?;
    let server = Server::start(stage.program, stage.folder, &provider, Detector::Silero)?;
    let phones = Phones::start(0..calls, Voice::load(&stage.speech, "en-agent")?, floors)?;
    let mut uac = Uac::new(server.sip, server::EXTENSION)?;
    let (warm_up, length) = if args.quick { (3, 8) } else { (6, args.seconds) };
    let plan = Plan { calls, warm_up: Duration::from_secs(warm_up), length: Duration::from_secs(length) };
    let talk = conversations::hold(plan, &server, phones, &mut uac, stage.show).with_context(|| server.last_words())?;
    let repeated = uac.repeated;
    let steps = set_up_calls(args, &mut uac, stage.show)?;
    let run = sipp::Run { rate: SIPP.0, calls: SIPP.0 * if args.quick { 3 } else { SIPP.1 } };
    stage
        .show
        .phase(&format!("{} calls a second by SIPp", run.rate), Duration::from_secs((run.calls / run.rate).into()));
    let by_sipp = sipp::call(run, &server, &root.join("sipp-scenarios"), stage.folder)?;
    let complaints = server.complaints();
    let clean = server.end()?;
    let log = provider.stop()?;
    ensure!(log.connections >= calls, "{} calls reached the provider", log.connections);
    let figures = analysis::figures(&talk.lines, &log, talk.window);
    let load = (load_before, machine::load());
    let mut notes = notes(&talk, load, warm_up, (repeated, complaints, clean), &log.faults);
    let mut metrics = report::metrics(&figures, &talk, &steps);
    metrics.push(by_sipp.metric());
    notes.push(by_sipp.note());
    let crowd = Plan { calls: CROWD, length: if args.quick { plan.length } else { CROWD_LENGTH }, ..plan };
    let pinged = crowd::hold(stage, crowd, |server| beside::ping(server, PINGS))?;
    metrics.extend(pinged.metrics());
    notes.push(pinged.note());
    let flooded = crowd::hold(stage, crowd, |server| beside::flood(server, FLOOD))?;
    metrics.push(flooded.metric());
    notes.push(flooded.note());
    notes.push(APART.into());
    Ok(Report {
        page: "benchmarks.md",
        metrics,
        conditions: report::conditions(&machine, &talk, load),
        notes,
        method: report::METHOD,
        command: command(args),
        when: stage.when.clone(),
    })
}

fn set_up_calls(args: &Args, uac: &mut Uac, show: &Progress) -> Result<Vec<setups::Step>> {
    // Nobody listens on it: a call that is hung up at once has nothing to say.
    let deaf = UdpSocket::bind("127.0.0.1:0")?;
    let port = deaf.local_addr()?.port();
    let (count, length) = if args.quick { (2, Duration::from_secs(2)) } else { (RATES.len(), Duration::from_secs(5)) };
    let mut steps = Vec::new();
    for rate in RATES.into_iter().take(count) {
        show.phase(&format!("{rate} set-ups a second"), length);
        let step = setups::step(uac, rate, length, port)?;
        let sustained = step.sustained();
        steps.push(step);
        if !sustained {
            break;
        }
        thread::sleep(BETWEEN_STEPS);
    }
    Ok(steps)
}

fn notes(
    talk: &Conversations,
    load: (f64, f64),
    warm_up: u64,
    (repeated, complaints, clean): (u64, usize, bool),
    faults: &[String],
) -> Vec<String> {
    let shares = talk.shares;
    let threads: Vec<String> = talk.threads.iter().map(|(name, percent)| format!("`{name}` {percent:.1}")).collect();
    let quiet = if shares.others < 10.0 { "The machine did nothing else." } else { "The machine was not idle." };
    let mut notes = vec![
        format!(
            "{} calls at once for {} s after a warm-up of {warm_up} s that is not counted; PCMU, 20 ms; one plain WebSocket \
             for each call; everything on loopback.",
            talk.lines.len(),
            talk.window.until.duration_since(talk.window.from).as_secs(),
        ),
        format!(
            "{quiet} In percent of one core: server {:.0}, phones and provider {:.0}, other processes {:.0}; the \
             hypervisor took {:.1} % of all cores. Load average {:.2} before and {:.2} after.",
            shares.server, shares.bench, shares.others, shares.stolen, load.0, load.1
        ),
        format!("The server's threads, in percent of one core: {}.", threads.join(", ")),
        format!(
            "SIP requests sent again: {repeated}. Warnings in the server's log: {complaints}. Faults seen by the provider: \
             {}. The server ended {}.",
            faults.len(),
            if clean { "by itself after SIGTERM" } else { "badly after SIGTERM" }
        ),
    ];
    if let Some(first) = faults.first() {
        notes.push(format!("The first fault: {first}"));
    }
    notes
}

/// The command that does the same again.
fn command(args: &Args) -> String {
    if let Some(calls) = args.memory {
        return if calls == 200_000 {
            "make bench-memory".into()
        } else {
            format!("cargo run --release -p bench -- --memory {calls}")
        };
    }
    match (args.calls, args.seconds, args.quick) {
        (50, 60, false) => "make bench".into(),
        (calls, seconds, false) => format!("cargo run --release -p bench -- --calls {calls} --seconds {seconds}"),
        (calls, _, true) => format!("cargo run --release -p bench -- --quick --calls {calls}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_that_is_measured_apart_is_named() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        // Written before further pages came, it is given their links.
        let written = fs::read_to_string(docs.join("benchmarks.md")).unwrap();
        let names = fs::read_dir(docs).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let pages: Vec<String> = names.filter(|name| name.starts_with("benchmarks-")).collect();
        assert!(pages.len() > 7, "{pages:?}");
        for page in pages {
            let link = format!("({page})");
            assert!(APART.contains(&link) && written.contains(&link), "{page}");
        }
    }
}
