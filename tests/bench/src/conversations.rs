//! The first part: conversations that go on side by side, and what the server uses for them.
use crate::{
    analysis::Window,
    machine::Work,
    metric::round,
    origin::Machine,
    phones::{Line, Phones},
    progress::Progress,
    server::{Server, Usage},
    uac::{Event, Uac},
};
use anyhow::{Result, ensure};
use std::{
    collections::BTreeMap,
    process,
    time::{Duration, Instant},
};

/// Calls are placed this far apart, so that the set-up of one does not wait for that of another …
const BETWEEN_CALLS: Duration = Duration::from_millis(50);
/// … but all within this.
const PLACING: Duration = Duration::from_secs(15);
/// How long the last call may take to be answered, and all to be ended.
const ANSWER: Duration = Duration::from_secs(10);
/// How long the server is watched before its first call.
const IDLE: Duration = Duration::from_secs(2);
const SECOND: Duration = Duration::from_secs(1);

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) calls: usize,
    pub(crate) warm_up: Duration,
    pub(crate) length: Duration,
}

/// What was noted, and what was used.
#[derive(Debug)]
pub(crate) struct Conversations {
    pub(crate) lines: Vec<Line>,
    pub(crate) window: Window,
    /// INVITE → 200 of each call, milliseconds.
    pub(crate) setup_ms: Vec<f64>,
    /// Percent of one core for each call, each second.
    pub(crate) cpu: Vec<f64>,
    /// KiB for each call beyond those of the idle server, each second.
    pub(crate) rss: Vec<f64>,
    /// Of it, KiB for each call that are mapped of files.
    pub(crate) mapped: Vec<f64>,
    pub(crate) idle_rss_kib: f64,
    pub(crate) shares: Shares,
    /// Percent of one core of the server's threads, by kind.
    pub(crate) threads: BTreeMap<String, f64>,
}

/// Who kept the machine busy while it was measured, in percent of one core; the hypervisor's share of all cores.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shares {
    pub(crate) server: f64,
    pub(crate) bench: f64,
    pub(crate) others: f64,
    pub(crate) stolen: f64,
}

/// Sets all calls up, lets them talk, and ends them.
pub(crate) fn hold(
    plan: Plan,
    server: &Server,
    phones: Phones,
    uac: &mut Uac,
    show: &Progress,
) -> Result<Conversations> {
    show.phase("idle server", IDLE);
    std::thread::sleep(IDLE);
    let idle = server.usage()?;
    show.phase("placing calls", between_calls(plan.calls) * plan.calls as u32);
    let setup_ms = place(plan.calls, &phones, uac)?;
    show.phase("warm-up", plan.warm_up);
    pump(uac, Instant::now() + plan.warm_up)?;
    show.phase("conversations", plan.length);
    let from = Instant::now();
    let (mut cpu, mut rss, mut mapped) = (Vec::new(), Vec::new(), Vec::new());
    let (work, first, own, threads) = (Work::so_far(), server.usage()?, Usage::of(process::id())?, server.threads());
    let mut before = first;
    for second in 1..=plan.length.as_secs() as u32 {
        pump(uac, from + SECOND * second)?;
        let usage = server.usage()?;
        cpu.push(usage.percent_since(&before) / plan.calls as f64);
        rss.push((usage.rss_kib - idle.rss_kib) / plan.calls as f64);
        mapped.push((usage.mapped_kib - idle.mapped_kib) / plan.calls as f64);
        before = usage;
    }
    let threads = by_kind(&threads, &server.threads(), plan.length);
    let (busy, stolen) = Work::so_far().percent_since(work);
    let (server_share, bench) = (before.percent_since(&first), Usage::of(process::id())?.percent_since(&own));
    let cores = Machine::look()?.cores as f64;
    let others = (busy * cores - server_share - bench).max(0.0);
    let window = Window { from, until: Instant::now() };
    show.phase("ending calls", SECOND);
    end(plan.calls, uac)?;
    let lines = phones.stop()?;
    let shares = Shares { server: server_share, bench, others, stolen };
    Ok(Conversations { lines, window, setup_ms, cpu, rss, mapped, idle_rss_kib: idle.rss_kib, shares, threads })
}

fn by_kind(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>, length: Duration) -> BTreeMap<String, f64> {
    let since = |(name, seconds): (&String, &f64)| {
        let used = seconds - before.get(name).copied().unwrap_or_default();
        (name.clone(), round(100.0 * used / length.as_secs_f64()))
    };
    after.iter().map(since).filter(|(_, percent)| *percent >= 0.1).collect()
}

fn between_calls(calls: usize) -> Duration {
    BETWEEN_CALLS.min(PLACING / calls.max(1) as u32)
}

fn place(calls: usize, phones: &Phones, uac: &mut Uac) -> Result<Vec<f64>> {
    let start = Instant::now();
    let mut setup_ms = Vec::new();
    for phone in 0..calls {
        uac.place(phones.port(phone)?)?;
        setup_ms.extend(answers(uac, phones, start + between_calls(calls) * (phone as u32 + 1))?);
    }
    let deadline = Instant::now() + ANSWER;
    while setup_ms.len() < calls && Instant::now() < deadline {
        setup_ms.extend(answers(uac, phones, Instant::now() + Duration::from_millis(50))?);
    }
    ensure!(setup_ms.len() == calls, "{} of {calls} calls were answered", setup_ms.len());
    Ok(setup_ms)
}

/// How long each took. Calls are numbered as the phones are: nobody else has called before.
fn answers(uac: &mut Uac, phones: &Phones, until: Instant) -> Result<Vec<f64>> {
    let mut answered = Vec::new();
    while Instant::now() < until {
        for event in uac.step(until)? {
            match event {
                Event::Answered { call, rtp, took } => {
                    phones.connect(call, rtp);
                    answered.push(took.as_secs_f64() * 1_000.0);
                }
                Event::Ended { .. } => {}
                Event::Failed { call, why } => anyhow::bail!("call {call}: {why}"),
            }
        }
    }
    Ok(answered)
}

/// Lets time pass; a call that ends meanwhile ends the measurement.
fn pump(uac: &mut Uac, until: Instant) -> Result<()> {
    while Instant::now() < until {
        for event in uac.step(until)? {
            if let Event::Failed { call, why } = event {
                anyhow::bail!("call {call}: {why}");
            }
        }
    }
    Ok(())
}

fn end(calls: usize, uac: &mut Uac) -> Result<()> {
    for call in 0..calls {
        uac.hang_up(call)?;
    }
    let deadline = Instant::now() + ANSWER;
    let mut ended = 0;
    while ended < calls && Instant::now() < deadline {
        let events = uac.step(deadline)?;
        ended += events.iter().filter(|event| matches!(event, Event::Ended { .. })).count();
    }
    ensure!(ended == calls, "{ended} of {calls} calls took our BYE");
    Ok(())
}
