//! Whether memory stays flat: many calls, one after the other, and what the server holds meanwhile.
use crate::{
    crowd::Stage,
    machine,
    metric::{Metric, round},
    phones::Floors,
    provider::{Provider, Security},
    server::{Detector, Server, Usage},
    sipp::{self, Outcome, Run},
    speech::Voice,
};
use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use std::{path::Path, sync::Arc, time::Duration};

/// Calls a second.
const RATE: u32 = 400;

/// What the page says of how.
pub(crate) const METHOD: &str = "\
`target/release/ramal serve` runs as a process of its own, with messages of calls kept as by default (`trace.calls` 1000, \
`trace.memory_mib` 64). SIPp places one kind of call, `sipp-scenarios/uac_invite_brief.xml`: INVITE, 200, ACK, BYE, 200. Each \
opens a WebSocket to a provider on loopback and is stored in SQLite. Nothing is asserted: a missed target is printed, not \
failed.";

/// What was noted.
#[derive(Debug)]
pub(crate) struct Memory {
    outcome: Outcome,
    load: (f64, f64),
    complaints: usize,
}

/// Puts `calls` through a server of its own.
pub(crate) fn watch(stage: &Stage<'_>, calls: u32, scenarios: &Path) -> Result<Memory> {
    let load_before = machine::load();
    let provider = Provider::start(Voice::load(&stage.speech, "en-piper")?, Arc::new(Floors::new(0)), Security::Plain)?;
    let server = Server::start(stage.program, stage.folder, &provider, Detector::Silero)?;
    let run = Run { calls, rate: RATE };
    stage.show.phase(&format!("{calls} calls"), Duration::from_secs(u64::from(calls / RATE)));
    let outcome = sipp::call(run, &server, scenarios, stage.folder).with_context(|| server.last_words())?;
    let complaints = server.complaints();
    server.end()?;
    provider.stop()?;
    Ok(Memory { outcome, load: (load_before, machine::load()), complaints })
}

impl Memory {
    /// Growth, and size.
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        let usage = &self.outcome.usage;
        let mib = usage.iter().map(|usage| usage.rss_kib / 1_024.0).collect();
        vec![
            Metric::new(
                "rss_growth_percent",
                "growth of memory over the last quarter",
                "%",
                growth(usage).into_iter().collect(),
            )
            .target(100.0, 1.0)
            .method(
                "The slope of the least-squares line through VmRSS of each second of the last quarter, times the \
                     length of that quarter, in percent of the mean of that quarter.",
            ),
            Metric::new("rss_mib", "memory of the server", "MiB", mib)
                .method("VmRSS, each second from the first call on."),
            self.outcome.metric(),
        ]
    }

    /// For a program.
    pub(crate) fn conditions(&self) -> Map<String, Value> {
        [("load_before", json!(self.load.0)), ("load_after", json!(self.load.1))]
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    }

    /// For a person.
    pub(crate) fn notes(&self) -> Vec<String> {
        let usage = &self.outcome.usage;
        let at = |quarter: usize| {
            let index = usage.len().saturating_sub(1) * quarter / 4;
            usage.get(index).map_or(0.0, |usage| usage.rss_kib / 1_024.0)
        };
        vec![
            self.outcome.note(),
            format!(
                "Load average {:.2} before and {:.2} after. Warnings in the server's log: {}.",
                self.load.0, self.load.1, self.complaints
            ),
            format!(
                "VmRSS before the first call and after each quarter: {:.1}, {:.1}, {:.1}, {:.1}, {:.1} MiB.",
                at(0),
                at(1),
                at(2),
                at(3),
                at(4)
            ),
        ]
    }
}

/// Percent by which a line through the last quarter rises; `None` if that is too short for a line.
fn growth(usage: &[Usage]) -> Option<f64> {
    let quarter = usage.get(usage.len() * 3 / 4..)?;
    let mean = quarter.iter().map(|usage| usage.rss_kib).sum::<f64>() / quarter.len() as f64;
    let length = quarter.last()?.at.duration_since(quarter.first()?.at).as_secs_f64();
    let slope = slope(quarter)?;
    (mean > 0.0).then(|| round(100.0 * slope * length / mean))
}

/// KiB a second by which the least-squares line rises; `None` without two moments.
pub(crate) fn slope(usage: &[Usage]) -> Option<f64> {
    let first = usage.first()?;
    let points: Vec<(f64, f64)> =
        usage.iter().map(|usage| (usage.at.duration_since(first.at).as_secs_f64(), usage.rss_kib)).collect();
    let count = points.len() as f64;
    let (mean_x, mean_y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let above: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let below: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    (below > 0.0).then(|| above / below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn sampled(kib: impl Fn(u32) -> f64) -> Option<f64> {
        let start = Instant::now();
        let usage = |second| Usage {
            cpu: Duration::ZERO,
            rss_kib: kib(second),
            mapped_kib: 0.0,
            at: start + Duration::from_secs(second.into()),
        };
        growth(&(0..400).map(usage).collect::<Vec<_>>())
    }

    #[test]
    fn memory_that_filled_up_first_and_then_stayed_is_flat() {
        assert_eq!(sampled(|second| 1_000.0 + f64::from(second.min(250))), Some(0.0));
    }

    #[test]
    fn memory_that_rises_to_the_end_is_not() {
        let percent = sampled(|second| 10_000.0 + f64::from(second) * 10.0).unwrap();
        assert!((percent - 7.335).abs() < 0.01, "{percent}");
        assert_eq!(growth(&[]), None);
    }
}
