//! Whether an hour changes anything: calls that come and go, always as many at once, and what the server holds and how
//! evenly it sends meanwhile.
use crate::{
    analysis::{self, Window},
    crowd::Stage,
    machine, memory,
    metric::{Metric, round},
    origin::Machine,
    phones::{Floors, Phones},
    provider::{Log, Provider, Security, Tls},
    server::{self, Detector, Server, Usage},
    speech::Voice,
    uac::{Event, Uac},
};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// Calls at once …
const CALLS: usize = 100;
/// … in groups, of which the oldest ends and a new one is placed …
const GROUPS: usize = 5;
/// … this often: a call stays for a minute …
const BETWEEN: Duration = Duration::from_secs(12);
/// … and in the warm-up for half of it, so that as many calls have come and gone before the measurement as in it.
const BETWEEN_FIRST: Duration = Duration::from_secs(6);
/// Calls of a group.
const GROUP: usize = CALLS / GROUPS;
/// How long the calls of a group may take to be answered, or to end.
const PATIENCE: Duration = Duration::from_secs(15);
/// What a group's first packets do not count for: its calls are still being set up.
const SETTLE: Duration = Duration::from_secs(2);
/// How often the server is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// Rows of the page for what is measured …
const PARTS: u32 = 6;
/// … and before them for the warm-up, in which what the server keeps of its last calls fills up. Each is as long as one of
/// the others.
const WARM_UP: u32 = 3;
/// Memory is flat if it grows by less than this, percent an hour.
const FLAT: f64 = 1.0;
/// So far off its grid a packet is late, ms.
pub(crate) const LATE: f64 = 10.0;
/// So many late packets of one call, one after the other, are a burst.
pub(crate) const BURST: usize = 3;

/// What was noted.
#[derive(Debug)]
pub(crate) struct Soak {
    /// Without the warm-up.
    length: Duration,
    parts: Vec<Part>,
    /// The server's memory after the warm-up.
    settled: Vec<Usage>,
    /// Percent of one core for each call.
    cpu: f64,
    load: (f64, f64),
    /// Percent of all cores that anybody kept busy, and percent that the hypervisor took.
    busy: (f64, f64),
    /// How the server got a core, in words.
    scheduling: String,
    complaints: usize,
    /// What the provider saw, in words.
    faults: String,
    clean: bool,
}

/// One row.
#[derive(Clone, Debug, Default)]
struct Part {
    rss_kib: Vec<f64>,
    pacing: Vec<f64>,
    ended: usize,
    bursts: usize,
    missing: usize,
}

/// Calls that were placed together.
struct Group {
    phones: Phones,
    /// The call of its first phone; those of the others follow.
    first: usize,
    settled: Instant,
}

/// Everything that goes on.
struct Ground<'a> {
    server: &'a Server,
    uac: Uac,
    voice: Voice,
    floors: Arc<Floors>,
    began: Instant,
    looked: Instant,
    soak: Soak,
}

/// Holds calls for `length`, after a warm-up.
pub(crate) fn hold(stage: &Stage<'_>, length: Duration) -> Result<Soak> {
    let (before, work) = (machine::load(), machine::Work::so_far());
    let floors = Arc::new(Floors::new(CALLS));
    let security = Security::Tls(Tls::new(stage.folder)?);
    let provider = Provider::start(Voice::load(&stage.speech, "en-piper")?, Arc::clone(&floors), security)?;
    let server = Server::start(stage.program, stage.folder, &provider, Detector::Silero)?;
    stage.show.phase(&format!("{CALLS} calls that come and go"), Soak::warm_up(length) + length);
    let (uac, voice) = (Uac::new(server.sip, server::EXTENSION)?, Voice::load(&stage.speech, "en-agent")?);
    let (now, soak) = (Instant::now(), Soak::new(length));
    let mut ground = Ground { server: &server, uac, voice, floors, began: now, looked: now, soak };
    ground.run().with_context(|| server.last_words())?;
    let mut soak = ground.soak;
    soak.complaints = server.complaints();
    soak.scheduling = server.scheduling();
    soak.clean = server.end()?;
    soak.faults = provider.stop()?.kinds_of_faults();
    soak.load = (before, machine::load());
    soak.busy = machine::Work::so_far().percent_since(work);
    Ok(soak)
}

impl Ground<'_> {
    fn run(&mut self) -> Result<()> {
        let before = self.server.usage()?;
        let mut groups = (0..GROUPS).map(|place| self.place(place)).collect::<Result<VecDeque<_>>>()?;
        let warm = self.began + Soak::warm_up(self.soak.length);
        let end = warm + self.soak.length;
        for place in (0..GROUPS).cycle() {
            let now = Instant::now();
            let next = now + if now < warm { BETWEEN_FIRST } else { BETWEEN };
            self.pump(next.min(end))?;
            if next >= end {
                break;
            }
            let oldest = groups.pop_front().context("no group")?;
            self.end(oldest)?;
            groups.push_back(self.place(place)?);
        }
        self.soak.cpu = self.server.usage()?.percent_since(&before) / CALLS as f64;
        groups.into_iter().try_for_each(|group| self.end(group))
    }

    /// Places the calls of a group, and waits until all are answered.
    fn place(&mut self, place: usize) -> Result<Group> {
        let phones = Phones::start(place * GROUP..(place + 1) * GROUP, self.voice.clone(), Arc::clone(&self.floors))?;
        let calls = (0..GROUP).map(|phone| self.uac.place(phones.port(phone)?)).collect::<Result<Vec<_>>>()?;
        let first = *calls.first().context("no call")?;
        let (mut answered, deadline) = (0, Instant::now() + PATIENCE);
        while answered < GROUP {
            ensure!(Instant::now() < deadline, "{answered} of {GROUP} calls were answered");
            for event in self.step(deadline)? {
                if let Event::Answered { call, rtp, .. } = event {
                    phones.connect(call - first, rtp);
                    answered += 1;
                }
            }
        }
        Ok(Group { phones, first, settled: Instant::now() + SETTLE })
    }

    /// Hangs up for a group, and works out what its phones heard.
    fn end(&mut self, group: Group) -> Result<()> {
        let window = Window { from: group.settled, until: Instant::now() };
        (group.first..group.first + GROUP).try_for_each(|call| self.uac.hang_up(call))?;
        let (mut ended, deadline) = (0, Instant::now() + PATIENCE);
        while ended < GROUP {
            ensure!(Instant::now() < deadline, "{ended} of {GROUP} calls took our BYE");
            ended += self.step(deadline)?.iter().filter(|event| matches!(event, Event::Ended { .. })).count();
        }
        let lines = group.phones.stop()?;
        let part = self.soak.part(self.began.elapsed());
        part.ended += GROUP;
        for line in lines {
            let figures = analysis::figures(&[line], &Log::default(), window);
            part.bursts += bursts(&figures.pacing);
            part.missing += figures.downlink_lost + figures.slots_skipped;
            part.pacing.extend(figures.pacing);
        }
        Ok(())
    }

    /// Lets time pass.
    fn pump(&mut self, until: Instant) -> Result<()> {
        while Instant::now() < until {
            self.step(until.min(self.looked + LOOK))?;
            if self.looked.elapsed() >= LOOK {
                self.looked = Instant::now();
                self.soak.look(self.began.elapsed(), self.server.usage()?);
            }
        }
        Ok(())
    }

    /// What happens next; a call that fails ends the measurement.
    fn step(&mut self, until: Instant) -> Result<Vec<Event>> {
        let events = self.uac.step(until)?;
        for event in &events {
            if let Event::Failed { call, why } = event {
                bail!("call {call}: {why}");
            }
        }
        Ok(events)
    }
}

/// How often several packets in a row were late.
pub(crate) fn bursts(off_grid: &[f64]) -> usize {
    off_grid
        .chunk_by(|one, next| (*one > LATE) == (*next > LATE))
        .filter(|run| run.len() >= BURST && run[0] > LATE)
        .count()
}

/// KiB an hour by which the least-squares line through `usage` rises, and the same in percent of what is held.
fn growth(usage: &[Usage]) -> Option<(f64, f64)> {
    let slope = memory::slope(usage)? * 3_600.0;
    let mean = usage.iter().map(|usage| usage.rss_kib).sum::<f64>() / usage.len() as f64;
    Some((round(slope), round(100.0 * slope / mean)))
}

/// KiB an hour by which that of it rises which is mapped of files.
fn mapped(usage: &[Usage]) -> Option<f64> {
    let mapped: Vec<Usage> = usage.iter().map(|usage| Usage { rss_kib: usage.mapped_kib, ..*usage }).collect();
    Some(growth(&mapped)?.0)
}

/// Growth in words, and whether it is none. Memory that shrinks does not grow.
fn told(usage: &[Usage]) -> String {
    let (Some((kib, percent)), Some(mapped)) = (growth(usage), mapped(usage)) else { return "not measured".to_owned() };
    let verdict = if percent < FLAT { "met" } else { "**not met**" };
    format!(
        "{kib:+.0} KiB an hour ({percent:+.2} %), {mapped:+.0} of them what is mapped of files; less than {FLAT} % an hour: \
         {verdict}"
    )
}

impl Soak {
    fn new(length: Duration) -> Self {
        let parts = vec![Part::default(); (WARM_UP + PARTS) as usize];
        let (settled, nothing) = (Vec::new(), (0.0, 0.0));
        let (complaints, faults, clean) = (0, String::new(), false);
        Self {
            length,
            parts,
            settled,
            cpu: 0.0,
            load: nothing,
            busy: nothing,
            scheduling: String::new(),
            complaints,
            faults,
            clean,
        }
    }

    /// How long the warm-up is before so long a measurement.
    fn warm_up(length: Duration) -> Duration {
        length * WARM_UP / PARTS
    }

    /// The part that goes on `after` the beginning.
    fn part(&mut self, after: Duration) -> &mut Part {
        let number = (after.as_secs_f64() / (self.length / PARTS).as_secs_f64()) as usize;
        let last = self.parts.len() - 1;
        &mut self.parts[number.min(last)]
    }

    fn look(&mut self, after: Duration, usage: Usage) {
        self.part(after).rss_kib.push(usage.rss_kib);
        if after >= Self::warm_up(self.length) {
            self.settled.push(usage);
        }
    }

    /// Looked at in the last half of the time.
    fn last(&self) -> &[Usage] {
        self.settled.get(self.settled.len() / 2..).unwrap_or_default()
    }

    /// Growth after the warm-up …
    fn whole(&self) -> Option<(f64, f64)> {
        growth(&self.settled)
    }

    /// … and in the last half of that.
    fn half(&self) -> Option<(f64, f64)> {
        growth(self.last())
    }

    /// For a terminal, and the heart of the page.
    pub(crate) fn table(&self) -> String {
        let mut text = String::from(
            "| minutes | calls ended | memory MiB | packets | off the grid, ms p50 / p99 / p99.9 / most | late | bursts | missing |\n\
             |---|---|---|---|---|---|---|---|\n",
        );
        let each = self.length.as_secs_f64() / 60.0 / f64::from(PARTS);
        for (number, part) in (0_u32..).zip(&self.parts) {
            let (phase, number) = number.checked_sub(WARM_UP).map_or(("warm-up, ", number), |number| ("", number));
            let pacing = Metric::new("", "", "", part.pacing.clone());
            let at = |percentile| pacing.percentile(percentile).unwrap_or_default();
            let mean = part.rss_kib.iter().sum::<f64>() / part.rss_kib.len().max(1) as f64;
            let late = part.pacing.iter().filter(|off| **off > LATE).count();
            text.push_str(&format!(
                "| {phase}{:.0}–{:.0} | {} | {:.1} | {} | {:.2} / {:.2} / {:.2} / {:.1} | {late} | {} | {} |\n",
                each * f64::from(number),
                each * f64::from(number + 1),
                part.ended,
                mean / 1_024.0,
                part.pacing.len(),
                at(50.0),
                at(99.0),
                at(99.9),
                at(100.0),
                part.bursts,
                part.missing,
            ));
        }
        text + &self.summing_up()
    }

    fn summing_up(&self) -> String {
        let bursts = self.parts.iter().map(|part| part.bursts).sum::<usize>();
        format!(
            "\n- Memory after the warm-up: {}\n- Memory in the last half of that: {}\n- No burst of late packets: {} ({bursts})\n\n\
             CPU: {:.3} % of a core for each call. Warnings in the server's log: {}. Faults seen by the \
             provider: {}. The server ended {}. Load average {:.2} before and {:.2} after; all that ran on the machine kept its \
             cores busy for {:.0} % of the time, the hypervisor took {:.1} %. The server got a core {}.\n",
            told(&self.settled),
            told(self.last()),
            if bursts == 0 { "met" } else { "**not met**" },
            self.cpu,
            self.complaints,
            self.faults,
            if self.clean { "by itself after SIGTERM" } else { "badly after SIGTERM" },
            self.load.0,
            self.load.1,
            self.busy.0,
            self.busy.1,
            self.scheduling,
        )
    }

    /// For a program.
    pub(crate) fn summary(&self) -> Value {
        let (whole, half) = (self.whole(), self.half());
        let sum = |count: fn(&Part) -> usize| self.parts.iter().map(count).sum::<usize>();
        json!({"minutes": self.length.as_secs() / 60, "calls": sum(|part| part.ended),
            "packets": sum(|part| part.pacing.len()), "bursts": sum(|part| part.bursts),
            "missing": sum(|part| part.missing), "cpu_percent_per_call": round(self.cpu),
            "growth_kib_per_hour": whole.map(|(kib, _)| kib), "growth_percent_per_hour": whole.map(|(_, percent)| percent),
            "last_half_growth_kib_per_hour": half.map(|(kib, _)| kib),
            "last_half_growth_percent_per_hour": half.map(|(_, percent)| percent)})
    }

    /// Writes its page.
    pub(crate) fn write(&self, docs: &Path, machine: &Machine, when: &str) -> Result<()> {
        let page = format!(
            "# Soak\n\nWritten by `make bench-soak` on {when}; measured again, not edited.\n\n{}\n{METHOD}\n\n## Machine\n\n\
             {machine}. Phones and provider share these cores with the server.\n",
            self.table(),
        );
        fs::write(docs.join("benchmarks-soak.md"), page).context("write benchmarks-soak.md")
    }
}

const METHOD: &str = "\
A hundred calls in PCMU with packets of 20 ms, each with a TLS WebSocket of its own to a provider on loopback and a \
conversation as in [benchmarks.md](benchmarks.md). Every 12 s the oldest twenty are hung up and twenty are placed, so \
that a call stays for a minute; in the warm-up every 6 s. Memory is VmRSS, each 5 s; its growth is the slope of the \
least-squares line through all of it after the warm-up, and through the last half of that. In the warm-up the messages \
of the last 1,000 calls come together (`trace.calls`); after that there is nothing that is to grow, and the allocator \
gives back what calls leave behind. A packet's distance is from the absolute grid of 20 ms that fits its call best; it \
is late beyond 10 ms, three late ones of a call in a row are a burst. Missing are packets that were left out or lost. \
A group counts in the row in which it ends, from 2 s after its last answer on.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_late_packets_in_a_row_are_a_burst_and_two_are_not() {
        let off = [0.1, 11.0, 12.0, 0.2, 11.0, 12.0, 13.0, 14.0, 0.1, 20.0];
        assert_eq!(bursts(&off), 1);
        assert_eq!(bursts(&[]), 0);
    }

    fn watched(kib: impl Fn(u32) -> f64) -> Soak {
        let (mut soak, start) = (Soak::new(Duration::from_secs(3_600)), Instant::now());
        for second in (0_u32..5_400).step_by(5) {
            let after = Duration::from_secs(second.into());
            soak.look(after, Usage { cpu: Duration::ZERO, rss_kib: kib(second), mapped_kib: 0.0, at: start + after });
        }
        soak
    }

    #[test]
    fn growth_that_ends_is_told_apart_from_growth_that_goes_on_and_the_warm_up_counts_in_neither() {
        let warmed = watched(|second| 70_000.0 + f64::from(second.min(1_800)));
        assert_eq!((warmed.whole(), warmed.half()), (Some((0.0, 0.0)), Some((0.0, 0.0))));
        let filled = watched(|second| 70_000.0 + f64::from(second.min(3_600)));
        assert!(filled.whole().is_some_and(|(kib, percent)| kib > 1_000.0 && percent > FLAT), "{:?}", filled.whole());
        assert_eq!(filled.half(), Some((0.0, 0.0)));
        let text = filled.summing_up();
        assert!(text.contains("less than 1 % an hour: **not met**\n- Memory in the last half of that: "), "{text}");
        assert!(text.contains("less than 1 % an hour: met\n- No burst of late packets: met (0)\n"), "{text}");
        let rising = watched(|second| 70_000.0 + f64::from(second));
        assert!(rising.half().is_some_and(|(kib, percent)| (kib - 3_600.0).abs() < 1.0 && percent > FLAT));
    }

    #[test]
    fn what_was_not_watched_has_no_growth() {
        let soak = Soak::new(Duration::from_secs(60));
        assert_eq!((soak.whole(), soak.half()), (None, None));
        assert!(soak.summing_up().contains("Memory after the warm-up: not measured"));
    }

    #[test]
    fn what_happens_counts_in_its_part_and_the_last_takes_what_comes_after() {
        let mut soak = Soak::new(Duration::from_secs(3_600));
        for second in [0, 599, 600, 1_800, 5_399, 6_000] {
            soak.part(Duration::from_secs(second)).ended += 1;
        }
        assert_eq!(soak.parts.iter().map(|part| part.ended).collect::<Vec<_>>(), [2, 1, 0, 1, 0, 0, 0, 0, 2]);
        let table = soak.table();
        assert!(table.contains("\n| warm-up, 10–20 | 1 | "), "{table}");
        assert!(table.contains("\n| 0–10 | 1 | "), "{table}");
    }
}
