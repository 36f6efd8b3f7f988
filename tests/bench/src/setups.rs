//! How many calls a second the server sets up and ends: steps of a rising rate, until one call of a step fails.
use crate::uac::{CallId, Event, Uac};
use anyhow::Result;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// How long after its last INVITE a step may take to finish its calls.
const SETTLE: Duration = Duration::from_secs(4);

/// One step.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Calls a second that were offered.
    pub(crate) offered: u32,
    pub(crate) calls: usize,
    /// Calls that were answered and ended.
    pub(crate) completed: usize,
    /// INVITE → 200, milliseconds.
    pub(crate) setup_ms: Vec<f64>,
    /// Completed calls in each half second of the step while calls were offered, as a rate.
    pub(crate) rates: Vec<f64>,
    /// What the first failed call said.
    pub(crate) failure: Option<String>,
}

impl Step {
    /// Whether every call went well.
    pub(crate) fn sustained(&self) -> bool {
        self.failure.is_none() && self.completed == self.calls
    }
}

/// Offers `rate` calls a second for `length`; each is hung up as soon as it is answered.
pub(crate) fn step(uac: &mut Uac, rate: u32, length: Duration, rtp_port: u16) -> Result<Step> {
    let calls = (length.as_secs_f64() * f64::from(rate)).round() as usize;
    let between = Duration::from_secs(1) / rate.max(1);
    let start = Instant::now();
    let mut step = Step { offered: rate, calls, completed: 0, setup_ms: Vec::new(), rates: Vec::new(), failure: None };
    let (mut placed, mut open, mut ended) = (0, BTreeSet::<CallId>::new(), Vec::new());
    while placed < calls || !open.is_empty() {
        let now = Instant::now();
        let next = start + between * placed as u32;
        if placed < calls && next <= now {
            open.insert(uac.place(rtp_port)?);
            placed += 1;
            continue;
        }
        if now > start + length + SETTLE {
            step.failure.get_or_insert_with(|| format!("{} calls were not over in time", open.len()));
            break;
        }
        let until = if placed < calls { next } else { now + Duration::from_millis(20) };
        for event in uac.step(until)? {
            match event {
                Event::Answered { call, took, .. } => {
                    step.setup_ms.push(took.as_secs_f64() * 1_000.0);
                    uac.hang_up(call)?;
                }
                Event::Ended { call } => {
                    if open.remove(&call) {
                        ended.push(Instant::now());
                    }
                }
                Event::Failed { call, why } => {
                    open.remove(&call);
                    step.failure.get_or_insert(why);
                }
            }
        }
    }
    step.completed = ended.len();
    step.rates = rates(&ended, start, length);
    Ok(step)
}

/// The first half second is not counted: calls that began before it are missing from it.
fn rates(ended: &[Instant], start: Instant, length: Duration) -> Vec<f64> {
    const BIN: Duration = Duration::from_millis(500);
    let bins = (length.as_millis() / BIN.as_millis()) as u32;
    let within =
        |bin: u32| ended.iter().filter(|at| **at >= start + BIN * bin && **at < start + BIN * (bin + 1)).count();
    (1..bins).map(|bin| within(bin) as f64 / BIN.as_secs_f64()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_stream_of_ends_is_its_rate() {
        let start = Instant::now();
        let ended: Vec<Instant> = (0..200).map(|n| start + Duration::from_millis(10) * n).collect();
        assert_eq!(rates(&ended, start, Duration::from_secs(2)), [100.0, 100.0, 100.0]);
    }
}
