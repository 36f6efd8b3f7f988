//! How many calls a machine holds, what each costs, and what it would cost a program that only carries.
use crate::{
    analysis::{self, Figures, Window},
    conversations::{self, Conversations, Plan},
    crowd::Stage,
    floor::Layout,
    machine,
    metric::{Metric, round},
    origin::Machine,
    phones::{Floors, Phones},
    provider::{Provider, Security, Tls},
    server::{self, Detector, Server, Usage},
    speech::Voice,
    uac::Uac,
};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// Calls at once: two rows each, without a detector and with it …
const STEPS: [usize; 8] = [1, 100, 300, 500, 600, 700, 850, 1_000];
/// … but for these, which look for the limit as it is by default, and have one row.
const BETWEEN: [usize; 3] = [600, 700, 850];
/// The most that pacing may be off for a row to count as held, ms at p99.
const HELD: f64 = 5.0;
/// From so many calls on a row shows what a call costs: what the server needs for itself is shared by few before.
const MANY: usize = 100;
/// With fewer messages up than this a second, calls send more than 20 ms at once (50 are 20 ms each).
const BUNDLED: f64 = 45.0;
/// How long a carrier may take to connect.
const CONNECT: Duration = Duration::from_secs(30);

/// One row.
#[derive(Debug)]
struct Row {
    calls: usize,
    detector: Detector,
    floor: Floor,
    load_before: f64,
    /// KiB that one call took with this detector, all that a first call brings with it included.
    alone: Option<f64>,
    server: Result<Held>,
}

/// Percent of one core for each call, of a program that only carries.
#[derive(Clone, Copy, Debug)]
struct Floor {
    /// Over one socket for all calls …
    shared: f64,
    /// … over one for each call …
    each: f64,
    /// … and with a task and a grid for each call, too.
    tasks: f64,
}

impl Floor {
    fn measure(stage: &Stage<'_>, plan: Plan) -> Result<Self> {
        let carry = |layout| carry(stage, plan, layout);
        Ok(Self { shared: carry(Layout::Shared)?, each: carry(Layout::Each)?, tasks: carry(Layout::Tasks)? })
    }

    fn cell(&self, of: impl Fn(f64) -> String) -> String {
        [self.shared, self.each, self.tasks].map(of).join(" / ")
    }
}

/// What the server did with so many calls.
#[derive(Debug)]
struct Held {
    talk: Conversations,
    figures: Figures,
    /// Messages with audio that reached the provider, for each call and second.
    messages: f64,
}

/// What a call is to cost at most, in rows of [`MANY`] calls and more.
struct Aim {
    words: &'static str,
    limit: f64,
    /// Digits that are told.
    digits: usize,
    /// What a row has to say to it; nothing if it is not about such rows.
    of: fn(&Row, &Held) -> Option<f64>,
}

const AIMS: [Aim; 8] = [
    Aim {
        words: "CPU with a message up every 20 ms and the detector on, in % of a core per call",
        limit: 0.28,
        digits: 3,
        of: |row, held| (!held.bundles() && row.detector == Detector::Silero).then(|| held.cpu()),
    },
    Aim {
        words: "CPU when load makes messages bundle up, in % of a core per call",
        limit: 0.16,
        digits: 3,
        of: |_, held| held.bundles().then(|| held.cpu()),
    },
    Aim { words: "memory, in KiB per call", limit: 150.0, digits: 0, of: |_, held| Some(held.memory()) },
    Aim {
        words: "memory without what is mapped of files, in KiB per call",
        limit: 150.0,
        digits: 0,
        of: |_, held| Some(held.own_memory()),
    },
    Aim {
        words: "memory, in KiB for each call after the first",
        limit: 150.0,
        digits: 0,
        of: |row, held| row.after_the_first(held),
    },
    Aim {
        words: "× floor of one socket for all calls",
        limit: 1.3,
        digits: 2,
        of: |row, held| Some(times(held.cpu(), row.floor.shared)),
    },
    Aim {
        words: "× floor of a socket for each call",
        limit: 1.3,
        digits: 2,
        of: |row, held| Some(times(held.cpu(), row.floor.each)),
    },
    Aim {
        words: "× floor of a task for each call",
        limit: 1.3,
        digits: 2,
        of: |row, held| Some(times(held.cpu(), row.floor.tasks)),
    },
];

impl Aim {
    /// What came of it: in how many rows, and from which row to which.
    fn told(&self, rows: &[Row]) -> String {
        let Self { words, limit, digits, of } = *self;
        let many = rows.iter().filter(|row| row.calls >= MANY);
        let mut values: Vec<(f64, &Row)> =
            many.filter_map(|row| Some((of(row, row.server.as_ref().ok()?)?, row))).collect();
        values.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (Some(least), Some(most)) = (values.first(), values.last()) else {
            return format!("- {words}, at most {limit}: not measured, there is no such row");
        };
        let met = values.iter().filter(|(value, _)| *value <= limit).count();
        let verdict = if met == values.len() { "met" } else { "**not met**" };
        let value = |(value, row): &(f64, &Row)| {
            format!("{value:.digits$} ({} calls, detector {})", row.calls, row.detector.as_str())
        };
        let count = values.len();
        format!(
            "- {words}, at most {limit}: {verdict}, within it are {met} of {count} rows; {} to {}",
            value(least),
            value(most)
        )
    }
}

/// How many times `floor` it is.
fn times(cpu: f64, floor: f64) -> f64 {
    cpu / floor.max(f64::MIN_POSITIVE)
}

/// All rows.
#[derive(Debug)]
pub(crate) struct Capacity {
    rows: Vec<Row>,
}

/// Measures each step, or only so many calls, for a short time: first the floors, then the server without a detector and
/// with it, the same phones and provider around all.
pub(crate) fn measure(stage: &Stage<'_>, quick: Option<usize>) -> Result<Capacity> {
    let (warm_up, length) = if quick.is_some() { (2, 6) } else { (5, 30) };
    let mut rows = Vec::new();
    for calls in quick.map_or(STEPS.to_vec(), |calls| vec![calls]) {
        let plan = Plan { calls, warm_up: Duration::from_secs(warm_up), length: Duration::from_secs(length) };
        let floor = Floor::measure(stage, plan)?;
        for &detector in detectors(calls) {
            let (load_before, alone) = (machine::load(), alone(&rows, detector));
            rows.push(Row { calls, detector, floor, load_before, alone, server: hold(stage, plan, detector) });
        }
    }
    Ok(Capacity { rows })
}

/// KiB of the row of one call with this detector.
fn alone(rows: &[Row], detector: Detector) -> Option<f64> {
    let row = rows.iter().find(|row| row.calls == 1 && row.detector == detector)?;
    Some(row.server.as_ref().ok()?.memory())
}

fn detectors(calls: usize) -> &'static [Detector] {
    if BETWEEN.contains(&calls) { &[Detector::Silero] } else { &[Detector::Off, Detector::Silero] }
}

fn surroundings(stage: &Stage<'_>, calls: usize) -> Result<(Provider, Phones)> {
    let floors = Arc::new(Floors::new(calls));
    let security = Security::Tls(Tls::new(stage.folder)?);
    let provider = Provider::start(Voice::load(&stage.speech, "en-piper")?, Arc::clone(&floors), security)?;
    Ok((provider, Phones::start(0..calls, Voice::load(&stage.speech, "en-agent")?, floors)?))
}

/// Percent of one core for each call.
fn carry(stage: &Stage<'_>, plan: Plan, layout: Layout) -> Result<f64> {
    let (provider, phones) = surroundings(stage, plan.calls)?;
    let mut carrier = Carrier::start(plan.calls, layout, &provider)?;
    carrier.rtp()?.into_iter().enumerate().for_each(|(phone, rtp)| phones.connect(phone, rtp));
    stage.show.phase(&format!("{} calls: the floor", plan.calls), plan.warm_up + plan.length);
    thread::sleep(plan.warm_up);
    let before = Usage::of(carrier.0.id())?;
    thread::sleep(plan.length);
    let percent = Usage::of(carrier.0.id())?.percent_since(&before);
    drop(carrier);
    phones.stop()?;
    let log = provider.stop()?;
    ensure!(log.connections == plan.calls, "{} of {} connections", log.connections, plan.calls);
    Ok(percent / plan.calls as f64)
}

/// A process that only carries; ended when dropped.
struct Carrier(Child);

impl Carrier {
    fn start(calls: usize, layout: Layout, provider: &Provider) -> Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.arg("--floor").arg(calls.to_string()).arg("--provider").arg(provider.address.to_string());
        command.arg("--layout").arg(match layout {
            Layout::Shared => "shared",
            Layout::Each => "each",
            Layout::Tasks => "tasks",
        });
        command.arg("--ca-file").arg(provider.ca_file().context("a certificate")?);
        Ok(Self(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?))
    }

    /// Where it takes RTP of each call, once all its connections are open.
    fn rtp(&mut self) -> Result<Vec<SocketAddr>> {
        let stdout = self.0.stdout.take().context("its output")?;
        let (told, heard) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            // An empty line is no address, and told as such.
            let _ = BufReader::new(stdout).read_line(&mut line);
            let _ = told.send(line);
        });
        let line = heard.recv_timeout(CONNECT).context("the carrier did not connect in time")?;
        let addresses: Result<Vec<_>, _> = line.split_whitespace().map(str::parse).collect();
        addresses.with_context(|| format!("the carrier said {line:?}"))
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn hold(stage: &Stage<'_>, plan: Plan, detector: Detector) -> Result<Held> {
    let (provider, phones) = surroundings(stage, plan.calls)?;
    let server = Server::start(stage.program, stage.folder, &provider, detector)?;
    let mut uac = Uac::new(server.sip, server::EXTENSION)?;
    let talk = conversations::hold(plan, &server, phones, &mut uac, stage.show);
    let talk = talk.with_context(|| server.last_words())?;
    server.end()?;
    let log = provider.stop()?;
    let Window { from, until } = talk.window;
    let mut messages: Vec<Instant> = log.appends.iter().map(|append| append.at).collect();
    messages.retain(|at| (from..until).contains(at));
    messages.dedup();
    let seconds = until.duration_since(from).as_secs_f64();
    let messages = messages.len() as f64 / seconds / plan.calls as f64;
    Ok(Held { figures: analysis::figures(&talk.lines, &log, talk.window), talk, messages })
}

impl Held {
    /// Percent of one core for each call.
    fn cpu(&self) -> f64 {
        mean(&self.talk.cpu)
    }

    /// KiB for each call.
    fn memory(&self) -> f64 {
        mean(&self.talk.rss)
    }

    /// The same without what is mapped of files: code is read when it is first run, and is no call's.
    fn own_memory(&self) -> f64 {
        mean(&self.talk.rss) - mean(&self.talk.mapped)
    }

    fn bundles(&self) -> bool {
        self.messages < BUNDLED
    }

    /// Packets that did not reach the phones, left out or lost, and those of theirs that did not reach the provider.
    fn missing(&self) -> (usize, usize) {
        let Figures { slots_skipped, downlink_lost, uplink_lost, .. } = &self.figures;
        (slots_skipped + downlink_lost, *uplink_lost)
    }

    /// What was left out has no place on the grid, and so is no part of pacing: it counts by itself.
    fn is_kept(&self) -> bool {
        let pacing = &self.figures.pacing;
        !pacing.is_empty() && percentiles(pacing)[1] <= HELD && self.missing() == (0, 0)
    }
}

impl Row {
    /// KiB for each call but the first, which brings what all share: code that is read, tables, room of the allocator.
    fn after_the_first(&self, held: &Held) -> Option<f64> {
        let more = self.calls.checked_sub(1).filter(|more| *more > 0)?;
        Some((held.memory() * self.calls as f64 - self.alone?) / more as f64)
    }

    fn cells(&self) -> Vec<String> {
        let floor = self.floor.cell(|percent| format!("{percent:.3}"));
        let detector = self.detector.as_str().to_owned();
        let held = match &self.server {
            Ok(held) => held,
            Err(why) => {
                let why = format!("not held: {}", why.to_string().lines().next().unwrap_or_default());
                let rest = vec!["–".to_owned(); COLUMNS.len() - 4];
                return [vec![self.calls.to_string(), detector, why, floor], rest].concat();
            }
        };
        let Held { talk, figures, messages } = held;
        let cpu = held.cpu();
        let (down, up) = held.missing();
        let uplink = percentiles(&figures.uplink);
        vec![
            self.calls.to_string(),
            detector,
            format!("{cpu:.3}"),
            floor,
            self.floor.cell(|percent| format!("{:.2}", times(cpu, percent))),
            format!("{:.0} / {:.0}", held.memory(), held.own_memory()),
            self.after_the_first(held).map_or("–".to_owned(), |kib| format!("{kib:.0}")),
            percentiles(&figures.pacing).map(|ms| format!("{ms:.2}")).join(" / "),
            percentiles(&figures.interval).map(|ms| format!("{ms:.2}")).join(" / "),
            format!("{down} / {up}"),
            format!("{:.2} / {:.2}", uplink[0], uplink[1]),
            format!("{messages:.1}"),
            format!("{:.0} + {:.0} + {:.0}", talk.shares.server, talk.shares.bench, talk.shares.others),
            if held.is_kept() { "yes" } else { "**no**" }.to_owned(),
        ]
    }

    /// What sockets of its own cost a call, by the floors, beside all that the server takes.
    fn own_sockets(&self) -> Option<String> {
        let cpu = self.server.as_ref().ok()?.cpu();
        let (calls, shared, own) = (self.calls, self.floor.shared, self.floor.each);
        let (more, share) = (own - shared, 100.0 * times(own - shared, cpu));
        Some(format!(
            "- {calls} calls: {shared:.3} with one socket, {own:.3} with a socket each: {more:+.3} % of a core per \
             call, {share:+.0} % of the {cpu:.3} that the server takes (detector {})",
            self.detector.as_str()
        ))
    }

    fn threads(&self) -> Option<String> {
        let talk = &self.server.as_ref().ok()?.talk;
        let threads: Vec<String> =
            talk.threads.iter().map(|(name, percent)| format!("`{name}` {percent:.0}")).collect();
        let (calls, detector) = (self.calls, self.detector.as_str());
        Some(format!(
            "- {calls} calls, {detector}: {}; load average {:.2} before",
            threads.join(", "),
            self.load_before
        ))
    }
}

fn mean(samples: &[f64]) -> f64 {
    samples.iter().sum::<f64>() / samples.len().max(1) as f64
}

/// p50, p99 and p99.9.
fn percentiles(samples: &[f64]) -> [f64; 3] {
    let metric = Metric::new("", "", "", samples.to_vec());
    [50.0, 99.0, 99.9].map(|at| metric.percentile(at).unwrap_or_default())
}

const COLUMNS: [&str; 14] = [
    "calls",
    "detector",
    "CPU % of a core per call",
    "floor: one socket / one each / a task each",
    "× floor: one socket / one each / a task each",
    "KiB per call: all / without what is mapped of files",
    "KiB for each after the first",
    "pacing ms p50 / p99 / p99.9",
    "packet to packet ms p50 / p99 / p99.9",
    "missing down / up",
    "uplink ms p50 / p99",
    "messages up /s per call",
    "CPU %: server + bench + others",
    "held",
];

impl Capacity {
    /// For a terminal, and the heart of the page.
    pub(crate) fn table(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let mut text = line(&COLUMNS.map(str::to_owned));
        text.push_str(&format!("|{}\n", "---|".repeat(COLUMNS.len())));
        self.rows.iter().for_each(|row| text.push_str(&line(&row.cells())));
        text
    }

    /// Each aim, and whether it was met.
    fn aims(&self) -> String {
        AIMS.map(|aim| aim.told(&self.rows)).join("\n")
    }

    /// A line for each step: both its rows have the same floors, and the last of them the detector.
    fn layouts(&self) -> String {
        let steps = self.rows.chunk_by(|row, next| row.calls == next.calls);
        // One call shares its socket with nobody.
        let steps = steps.filter(|rows| rows.iter().any(|row| row.calls >= MANY));
        steps.filter_map(|rows| rows.iter().rev().find_map(Row::own_sockets)).collect::<Vec<_>>().join("\n")
    }

    /// For a program.
    pub(crate) fn summary(&self) -> Value {
        let row = |row: &Row| {
            let held = row.server.as_ref().ok();
            json!({"calls": row.calls, "detector": row.detector.as_str(), "floor_percent_per_call": round(row.floor.shared),
                "floor_percent_per_call_own_sockets": round(row.floor.each),
                "floor_percent_per_call_own_tasks": round(row.floor.tasks),
                "cpu_percent_per_call": held.map(|held| round(held.cpu())),
                "rss_kib_per_call": held.map(|held| round(held.memory())),
                "own_kib_per_call": held.map(|held| round(held.own_memory())),
                "rss_kib_after_the_first": held.and_then(|held| row.after_the_first(held)).map(round),
                "pacing_ms": held.map(|held| percentiles(&held.figures.pacing).map(round)),
                "interval_ms": held.map(|held| percentiles(&held.figures.interval).map(round)),
                "missing_down": held.map(|held| held.missing().0), "missing_up": held.map(|held| held.missing().1),
                "held": held.is_some_and(Held::is_kept),
                "messages_per_call_s": held.map(|held| round(held.messages))})
        };
        self.rows.iter().map(row).collect()
    }

    /// Writes its page.
    pub(crate) fn write(&self, docs: &Path, machine: &Machine, when: &str) -> Result<()> {
        let threads: Vec<String> = self.rows.iter().filter_map(Row::threads).collect();
        let page = format!(
            "# Capacity\n\nWritten by `make bench-capacity` on {when}; measured again, not edited.\n\n{}\n{METHOD}\n\n\
             ## Aims\n\n{AIMED}\n\n{}\n\n## Layout of sockets\n\n{LAYOUT}\n\n{}\n\n{DECIDED}\n\n\
             ## Machine\n\n{machine}. Phones and provider share these cores with the server.\n\n\
             ## The server's threads, in percent of one core\n\n{}\n",
            self.table(),
            self.aims(),
            self.layouts(),
            threads.join("\n")
        );
        fs::write(docs.join("benchmarks-capacity.md"), page).context("write benchmarks-capacity.md")
    }
}

const METHOD: &str = "\
Calls in PCMU with packets of 20 ms, each with a TLS WebSocket of its own to a provider on loopback; conversations as \
in [benchmarks.md](benchmarks.md), for 30 s after a warm-up of 5 s. CPU is user and system time of the server by \
/proc, without the idle share subtracted; memory is VmRSS less that of the idle server, by the calls, and the same \
without what is mapped of files (RssFile: code that is run for the first time). What the first call brings with it \
(such code, tables, room of the allocator) is left out of KiB for each after the first: VmRSS less that of the row of \
one call, by the others. Pacing is each packet's distance from an absolute grid of 20 ms. Packet to packet is the \
inter-packet deviation: by how much the time between two neighbours differs from 20 ms (from 40 where one was left \
out between them). A packet that is late by itself counts there twice, before and after it; of packets that are late \
together only the ends count, while each of them counts in pacing. Both are by the kernel's receive time at the \
phones. Neither has what never came: missing down are packet times that the server left out, and packets that the \
phones did not get; missing up are packets of the phones that did not reach the provider, of those sent half a second \
or more before the end. **A row is held if the p99 of pacing is at most 5 ms and nothing is missing, either way.** \
Uplink is from a phone's `sendto` to the kernel's receive time at the provider, the time in which packets wait for \
others of their message included: a thread that is busy for most of the time sends 40 or 60 ms at once (50 messages a \
second are 20 ms each). The detector is `media.vad`: with `off` nobody listens on our side whether the caller speaks, \
and interrupting is left to the provider. What is taken for an echo is known, but goes up (`media.echo` is `pass`): \
each packet has a mark of its own, which silence in its place would not carry.\n\n\
The floor is measured in the same run, with the same phones and provider, on a program that only carries: each \
datagram is sent back and wrapped into one message up; what the provider says is read and dropped. It is measured \
with one RTP socket for all calls, read and written 64 datagrams at a time (`recvmmsg`, `sendmmsg`); with a socket for \
each call, both on one thread that waits for whatever comes; and laid out as the server is, with a runtime on each \
core and a task for each call, which sends back at the beats of a grid of its own. None has a call, a codec or a \
detector, and all send 20 ms in every message: where the server bundles, it sends fewer than its floors.";

const AIMED: &str = "\
Of rows of 100 calls and more: with fewer a call bears much of what the server takes for itself. Calls bundle up in \
rows with fewer than 45 messages a second. Rows count whether they were held or not.";

const LAYOUT: &str = "\
The server runs its calls on threads of their own, away from signalling and storage (`media`: one single-threaded \
runtime each; a call is placed on one and stays there), and each call has a pair of UDP sockets of its own, for RTP \
and RTCP. The other layout, one socket for all calls with `recvmmsg` and `sendmmsg`, was measured by the floor of \
this run; what a socket for each call costs more than that:";

const DECIDED: &str = "\
That is what a shared socket could save. Each call keeps its own: the rest of a call costs several times as much; a \
call has ports of its own, so no packet is told apart by its source, which NAT may change; and the kernel wakes the \
thread that has the call, so no packet crosses a thread.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversations::Shares;
    use std::collections::BTreeMap;

    const FLOOR: Floor = Floor { shared: 0.1, each: 0.12, tasks: 0.125 };

    #[test]
    fn a_step_that_was_not_held_says_why_in_a_whole_row() {
        let server = Err(anyhow::anyhow!("7 of 9 calls were answered\nand more"));
        let row = Row { calls: 9, detector: Detector::Off, floor: FLOOR, load_before: 0.0, alone: None, server };
        let cells = row.cells();
        assert_eq!(cells.len(), COLUMNS.len());
        assert_eq!(cells[2], "not held: 7 of 9 calls were answered");
    }

    fn held(figures: Figures) -> Held {
        let now = Instant::now();
        let talk = Conversations {
            lines: Vec::new(),
            window: Window { from: now, until: now },
            setup_ms: Vec::new(),
            cpu: vec![0.15],
            rss: vec![140.0],
            mapped: vec![22.0],
            idle_rss_kib: 0.0,
            shares: Shares { server: 0.0, bench: 0.0, others: 0.0, stolen: 0.0 },
            threads: BTreeMap::new(),
        };
        Held { talk, figures, messages: 50.0 }
    }

    fn row(held: Held) -> Row {
        Row { calls: 100, detector: Detector::Silero, floor: FLOOR, load_before: 0.0, alone: None, server: Ok(held) }
    }

    fn cell(row: &Row, column: &str) -> String {
        let place = COLUMNS.iter().position(|name| *name == column).unwrap();
        row.cells()[place].clone()
    }

    #[test]
    fn an_aim_is_met_only_if_all_rows_that_it_is_about_are_within_it() {
        let one = |calls, detector, messages, cpu| {
            let mut held = held(Figures::default());
            (held.messages, held.talk.cpu) = (messages, vec![cpu]);
            Row { calls, detector, ..row(held) }
        };
        let mut rows = vec![
            one(1, Detector::Silero, 50.0, 0.9),
            one(100, Detector::Off, 50.0, 0.3),
            one(100, Detector::Silero, 50.0, 0.28),
            one(300, Detector::Silero, 50.0, 0.25),
        ];
        let [every, bundled, ..] = AIMS;
        let told = every.told(&rows);
        let figures = "0.250 (300 calls, detector silero) to 0.280 (100 calls, detector silero)";
        assert!(told.ends_with(&format!("at most 0.28: met, within it are 2 of 2 rows; {figures}")), "{told}");
        assert!(bundled.told(&rows).ends_with("at most 0.16: not measured, there is no such row"));
        rows.push(one(500, Detector::Silero, 50.0, 0.281));
        rows.push(one(1_000, Detector::Off, 17.7, 0.12));
        assert!(every.told(&rows).contains("**not met**, within it are 2 of 3 rows"), "{}", every.told(&rows));
        assert!(bundled.told(&rows).contains("met, within it are 1 of 1 rows; 0.120 (1000 calls, detector off)"));
    }

    #[test]
    fn what_the_first_call_brings_is_left_out_of_each_after_it() {
        let alone = Row { calls: 1, ..row(held(Figures::default())) };
        assert_eq!(cell(&alone, "KiB for each after the first"), "–");
        let rows = vec![alone];
        let alone = super::alone(&rows, Detector::Silero);
        assert_eq!((alone, super::alone(&rows, Detector::Off)), (Some(140.0), None));
        let mut many = Row { alone: Some(4_100.0), ..row(held(Figures::default())) };
        assert_eq!(cell(&many, "KiB for each after the first"), "100");
        assert_eq!(cell(&many, "KiB per call: all / without what is mapped of files"), "140 / 118");
        many.alone = None;
        assert_eq!(cell(&many, "KiB for each after the first"), "–");
    }

    #[test]
    fn what_own_sockets_cost_is_told_once_a_step_with_its_share_of_the_whole() {
        let off = Row { detector: Detector::Off, ..row(held(Figures::default())) };
        let alone = Row { calls: 1, ..row(held(Figures::default())) };
        let capacity = Capacity { rows: vec![alone, off, row(held(Figures::default()))] };
        assert_eq!(
            capacity.layouts(),
            "- 100 calls: 0.100 with one socket, 0.120 with a socket each: +0.020 % of a core per call, +13 % of the \
             0.150 that the server takes (detector silero)"
        );
        assert_eq!(cell(&capacity.rows[1], "× floor: one socket / one each / a task each"), "1.50 / 1.25 / 1.20");
    }

    #[test]
    fn a_row_is_held_only_if_it_keeps_the_pace_and_nothing_is_missing() {
        let figures = |late, slots_skipped, downlink_lost, uplink_lost| {
            let pacing = vec![late];
            Figures { pacing, slots_skipped, downlink_lost, uplink_lost, ..Figures::default() }
        };
        for (figures, missing, kept) in [
            (figures(5.0, 0, 0, 0), "0 / 0", "yes"),
            (figures(5.1, 0, 0, 0), "0 / 0", "**no**"),
            (figures(0.1, 1, 0, 0), "1 / 0", "**no**"),
            (figures(0.1, 0, 2, 0), "2 / 0", "**no**"),
            (figures(0.1, 1, 2, 3), "3 / 3", "**no**"),
            (figures(0.1, 0, 0, 3), "0 / 3", "**no**"),
        ] {
            let row = row(held(figures));
            assert_eq!((cell(&row, "missing down / up").as_str(), cell(&row, "held").as_str()), (missing, kept));
        }
    }

    #[test]
    fn what_lies_between_packets_is_told_beside_their_distance_from_the_grid() {
        let interval: Vec<f64> = (1..=500).map(f64::from).collect();
        let row = row(held(Figures { pacing: vec![0.25], interval, ..Figures::default() }));
        assert_eq!(row.cells().len(), COLUMNS.len());
        assert_eq!(cell(&row, "pacing ms p50 / p99 / p99.9"), "0.25 / 0.25 / 0.25");
        assert_eq!(cell(&row, "packet to packet ms p50 / p99 / p99.9"), "250.00 / 495.00 / 500.00");
    }
}
