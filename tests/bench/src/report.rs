//! What the figures are called, how they are told to a person, and how to a program.
use crate::{
    analysis::Figures,
    conversations::Conversations,
    metric::{Metric, Verdict, round},
    origin::Machine,
    plot,
    setups::Step,
};
use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use std::{fs, path::Path};

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Report {
    /// The page of `docs/` that it makes.
    pub(crate) page: &'static str,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) conditions: Map<String, Value>,
    /// Paragraphs for a person, in order.
    pub(crate) notes: Vec<String>,
    /// What was done, for a person.
    pub(crate) method: &'static str,
    /// How to do it again.
    pub(crate) command: String,
    /// `2026-01-31`, and the commit.
    pub(crate) when: String,
}

/// The metrics of the conversations and of the setting up.
pub(crate) fn metrics(figures: &Figures, talk: &Conversations, steps: &[Step]) -> Vec<Metric> {
    let figures = figures.clone();
    let mut metrics = vec![
        Metric::new("uplink_added_ms", "RTP in to WebSocket frame out", "ms", figures.uplink)
            .target(99.0, 5.0)
            .with("lost", figures.uplink_lost)
            .method(
                "From just before a phone's `sendto` of a marked PCMU packet to the kernel's receive time of the \
                 segment with its `input_audio_buffer.append` at the provider. Includes both loopback hops. What was \
                 sent in the last half second, and was perhaps on its way when the call ended, does not count.",
            ),
        Metric::new("first_packet_ms", "first audio delta in to first RTP packet out", "ms", figures.first_packet)
            .target(99.0, 22.0)
            .with("unanswered", figures.unanswered)
            .method(
                "From just before the provider writes the first audio delta of a response to the kernel's receive \
                 time of the first RTP packet with that audio. Speech waits for the next slot of the 20 ms grid, and \
                 responses begin at random moments, so 0 to 20 ms of it, evenly spread, is the grid itself.",
            ),
        Metric::new("pacing_error_ms", "RTP packets off their grid", "ms", figures.pacing)
            .target(99.0, 2.0)
            .with("interval_p99_ms", tail(&figures.interval))
            .with("slots_missing", figures.slots_skipped)
            .with("lost", figures.downlink_lost)
            .method(
                "Kernel's receive time of each packet against an absolute grid of 20 ms for each call, numbered by RTP \
                 timestamp, its origin the one with as many packets before as after it; absolute values. The deviation \
                 of neighbouring packets from 20 ms is `interval_p99_ms`.",
            ),
        Metric::new("barge_in_stop_ms", "barge-in confirmed to last speech packet", "ms", figures.stop)
            .target(95.0, 25.0)
            .method(
                "From just before the provider writes `input_audio_buffer.speech_started`, while its speech is heard, to \
                 the kernel's receive time of the last RTP packet that is not silence. After a cut one more packet \
                 fades out in the next slot of the grid, so 0 to 20 ms is the grid itself.",
            ),
        Metric::new("heard_error_ms", "audio_end_ms against what the phone received", "ms", figures.heard)
            .target(100.0, 20.0)
            .method(
                "For each cut item: `audio_end_ms` of `conversation.item.truncate` against 20 ms for each packet of \
                 that item the phone received, the fading one included; absolute values.",
            ),
    ];
    metrics.push(setups(steps));
    metrics.push(
        Metric::new("cpu_percent_per_call", "CPU of the server for each call", "% of one core", talk.cpu.clone())
            .method(
                "User and system time of the server process in each second, divided by the calls; no idle share is \
             subtracted. Network softirq of loopback is charged to whichever process it interrupts.",
            ),
    );
    metrics.push(
        Metric::new("rss_kib_per_call", "memory of the server for each call", "KiB", talk.rss.clone())
            .with("idle_rss_kib", talk.idle_rss_kib)
            .method(
                "VmRSS each second less that of the idle server before its first call, divided by the calls. What the \
                 first call alone causes (runtimes, caches) is shared among them.",
            ),
    );
    metrics
}

/// The highest step without a failure. Of a rate the low tail is the bad one, so the lowest is told beside.
fn setups(steps: &[Step]) -> Metric {
    let best = steps.iter().rev().find(|step| step.sustained());
    let samples = best.map(|step| step.rates.clone()).unwrap_or_default();
    let setup = Metric::new("setup_ms", "", "ms", best.map(|step| step.setup_ms.clone()).unwrap_or_default());
    let value = |percentile| setup.percentile(percentile).map(round);
    let tried: Vec<Value> = steps.iter().map(|step| {
        json!({"offered_per_s": step.offered, "calls": step.calls, "completed": step.completed, "failure": step.failure})
    }).collect();
    Metric::new("setups_per_s", "calls set up and ended", "1/s", samples)
        .with("sustained_per_s", best.map_or(0, |step| step.offered))
        .with(
            "setup_ms",
            json!({"p50": value(50.0), "p95": value(95.0), "p99": value(99.0), "n": setup.samples().len()}),
        )
        .with("lowest_per_s", best.and_then(|step| step.rates.iter().copied().min_by(f64::total_cmp)))
        .with("steps", tried)
        .method(
            "INVITE → 200 → ACK → BYE → 200 at a rising rate; the highest step in which every call went well is \
             `sustained_per_s`, and the percentiles are of the rate of completed calls in half seconds of that step. \
             Each call looks its secretary up, binds its ports, opens a WebSocket and configures its session before \
             the 200, and stores its record after the BYE. `setup_ms` is INVITE → 200.",
        )
}

fn tail(samples: &[f64]) -> Option<f64> {
    Metric::new("", "", "", samples.to_vec()).percentile(99.0).map(round)
}

/// What is the same for all metrics.
pub(crate) fn conditions(machine: &Machine, talk: &Conversations, load: (f64, f64)) -> Map<String, Value> {
    let shares = talk.shares;
    let condition = json!({
        "calls": talk.lines.len(),
        "seconds": talk.window.until.duration_since(talk.window.from).as_secs(),
        "codec": "PCMU 20 ms", "provider": "OpenAI Realtime dialect, plain WebSocket on loopback",
        "cpu": machine.cpu, "cores": machine.cores, "kernel": machine.kernel,
        "load_before": load.0, "load_after": load.1,
        "cpu_percent_server": round(shares.server), "cpu_percent_bench": round(shares.bench),
        "cpu_percent_others": round(shares.others), "cpu_percent_by_thread": talk.threads, "cpu_percent_stolen": round(shares.stolen),
    });
    match condition {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

impl Report {
    /// Metric id → figures.
    pub(crate) fn summary(&self) -> Value {
        let entries = self.metrics.iter().map(|metric| (metric.id.to_owned(), metric.to_json(&self.conditions)));
        Value::Object(entries.collect())
    }

    /// As lines for a terminal.
    pub(crate) fn table(&self) -> String {
        let mut text =
            format!("{:<22}{:>10}{:>10}{:>10}{:>10}{:>9}  target\n", "metric", "p50", "p95", "p99", "max", "n");
        for metric in &self.metrics {
            let cell = |percentile| shown(metric.percentile(percentile));
            text.push_str(&format!(
                "{:<22}{:>10}{:>10}{:>10}{:>10}{:>9}  {}\n",
                metric.id,
                cell(50.0),
                cell(95.0),
                cell(99.0),
                cell(100.0),
                metric.samples().len(),
                verdict(metric)
            ));
        }
        text
    }

    /// Writes its page and pictures.
    pub(crate) fn write_docs(&self, docs: &Path, machine: &Machine) -> Result<()> {
        let pictures = docs.join("bench");
        fs::create_dir_all(&pictures).with_context(|| format!("create {}", pictures.display()))?;
        let mut shown = String::new();
        for metric in self.metrics.iter().filter(|metric| metric.unit == "ms" && metric.varies()) {
            if let Some(svg) = plot::cumulative(metric) {
                fs::write(pictures.join(format!("{}.svg", metric.id)), svg)?;
                shown.push_str(&format!("![{}: {}](bench/{0}.svg)\n", metric.id, metric.title));
            }
        }
        fs::write(docs.join(self.page), self.markdown(machine, &shown)).with_context(|| format!("write {}", self.page))
    }

    fn markdown(&self, machine: &Machine, pictures: &str) -> String {
        let mut rows = String::new();
        for metric in &self.metrics {
            let cell = |percentile| shown(metric.percentile(percentile));
            let (id, title, unit, n) = (metric.id, metric.title, metric.unit, metric.samples().len());
            let (p50, p95, p99, max) = (cell(50.0), cell(95.0), cell(99.0), cell(100.0));
            let verdict = verdict(metric);
            rows.push_str(&format!("| `{id}`: {title} | {unit} | {p50} | {p95} | {p99} | {max} | {n} | {verdict} |\n"));
        }
        let methods: String =
            self.metrics.iter().map(|metric| format!("- `{}`: {}\n", metric.id, metric.method)).collect();
        let notes = self.notes.join("\n\n");
        let Self { when, command, method, .. } = self;
        format!(
            "# Benchmarks\n\nWritten by `{command}` on {when}; measured again, not edited.\n\n\
             | metric | unit | p50 | p95 | p99 | max | n | target |\n|---|---|---|---|---|---|---|---|\n{rows}\n\
             ## Machine\n\n{machine}. Whatever measures shares these \
             cores with the server.\n\n## Conditions\n\n{notes}\n\n## Method\n\n{method}\n\n{methods}\n\
             ## Distributions\n\nThe share of samples at or below each value; the red line is the target.\n\n{pictures}"
        )
    }
}

/// What the page of calls says of how.
pub(crate) const METHOD: &str = "\
`target/release/ramal serve` runs as a process of its own. Phones and provider are one other process (`tests/bench`), so \
that both ends of every interval are read from one clock (CLOCK_MONOTONIC). Arrivals are the kernel's receive timestamps \
(SO_TIMESTAMPNS), for RTP and for the provider's TCP stream, so the measuring process's own scheduling does not count; \
departures are read just before the system call, so its time does. A phone sends a packet each 20 ms, recorded speech in its \
turn and silence otherwise. The provider delivers recorded speech five times as fast as it is spoken; three responses of \
four are cut by the caller after 0.5 to 2 s, the fourth (1.5 s) is heard to its end; then the caller speaks for 1 s. Both \
mark their audio, 64 bits in the lowest bits of each 20 ms of µ-law, which G.711 pass-through leaves alone. All samples \
after the warm-up count; percentiles are by nearest rank. Nothing is asserted: a missed target is printed, not failed.";

fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |value| if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") })
}

fn verdict(metric: &Metric) -> String {
    let wanted = metric.target.map(|target| match target.percentile {
        100.0 => format!("all ≤ {}", target.limit),
        percentile => format!("p{percentile} ≤ {}", target.limit),
    });
    match (metric.verdict(), wanted) {
        (Verdict::Met, Some(wanted)) => format!("{wanted}: met"),
        (Verdict::Missed, Some(wanted)) => format!("{wanted}: **missed**"),
        (Verdict::NotMeasured, _) => "not measured".into(),
        (Verdict::Met | Verdict::Missed | Verdict::NoTarget, _) => "none".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_has_what_readers_of_it_look_for() {
        let metric = Metric::new("x_ms", "a thing", "ms", vec![1.0, 2.0, 30.0]).target(99.0, 22.0).method("how");
        let report = Report {
            page: "benchmarks.md",
            method: "So.",
            metrics: vec![metric],
            conditions: Map::from_iter([("calls".to_owned(), json!(50))]),
            notes: vec!["Quiet.".into()],
            command: "make bench".into(),
            when: "2026-01-31".into(),
        };
        let summary = report.summary();
        let entry = &summary["x_ms"];
        assert_eq!((&entry["unit"], &entry["p50"], &entry["n"]), (&json!("ms"), &json!(2.0), &json!(3)));
        assert_eq!((&entry["target"]["met"], &entry["conditions"]["calls"]), (&json!(false), &json!(50)));
        let machine = Machine { cpu: "C".into(), cores: 2, memory_gib: 1.0, kernel: "Linux".into() };
        let text = report.markdown(&machine, "");
        assert!(text.contains("| `x_ms`: a thing | ms | 2.00 | 30.00 | 30.00 | 30.00 | 3 | p99 ≤ 22: **missed** |"));
    }
}
