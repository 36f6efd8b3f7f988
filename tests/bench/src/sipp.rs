//! SIPp as the other side: calls at a steady rate, each hung up as soon as it is answered.
use crate::{
    metric::{Metric, round},
    server::{EXTENSION, Server, Usage},
};
use anyhow::{Context, Result, ensure};
use std::{
    fs::{self, File},
    net::UdpSocket,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const SCENARIO: &str = "uac_invite_brief";
/// Calls open at one time; SIPp places no more beyond it, and so falls behind its rate.
const OPEN: u32 = 2_000;
/// How long after its last INVITE SIPp may take to finish its calls.
const SETTLE: Duration = Duration::from_secs(30);
/// Between two looks at the server.
const LOOK: Duration = Duration::from_secs(1);

/// What SIPp is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) calls: u32,
    /// Calls a second.
    pub(crate) rate: u32,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) run: Run,
    /// INVITE → 200 of each call by SIPp's clock, milliseconds.
    pub(crate) setup_ms: Vec<f64>,
    /// Whether every call was answered and ended.
    pub(crate) clean: bool,
    /// From SIPp's start to its end.
    pub(crate) took: Duration,
    /// What the server had used, each second.
    pub(crate) usage: Vec<Usage>,
}

impl Outcome {
    /// Percent of one core that the server used.
    pub(crate) fn server_percent(&self) -> f64 {
        match (self.usage.first(), self.usage.last()) {
            (Some(first), Some(last)) => last.percent_since(first),
            (_, _) => 0.0,
        }
    }

    /// How long the setting up took.
    pub(crate) fn metric(&self) -> Metric {
        Metric::new("sipp_setup_ms", "INVITE to 200 by SIPp", "ms", self.setup_ms.clone())
            .with("calls", self.run.calls)
            .with("offered_per_s", self.run.rate)
            .with("seconds", round(self.took.as_secs_f64()))
            .with("all_answered_and_ended", self.clean)
            .with("cpu_percent_server", round(self.server_percent()))
            .method(
                "SIPp plays `sipp-scenarios/uac_invite_brief.xml` (INVITE, 200, ACK, BYE, 200) at a steady rate; INVITE to \
                 200 is by its own clock.",
            )
    }

    /// For a person.
    pub(crate) fn note(&self) -> String {
        let Run { calls, rate } = self.run;
        format!(
            "SIPp: {calls} calls at {rate} a second, {}, in {:.1} s; server {:.0} % of one core.",
            if self.clean { "every one answered and ended" } else { "**not every one answered and ended**" },
            self.took.as_secs_f64(),
            self.server_percent()
        )
    }
}

/// SIPp while it runs; ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lets SIPp call `server`, with its files in `folder`.
pub(crate) fn call(run: Run, server: &Server, scenarios: &Path, folder: &Path) -> Result<Outcome> {
    let folder = folder.join("sipp");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    // Nobody listens on it: a call that is hung up at once has nothing to say.
    let deaf = UdpSocket::bind("127.0.0.1:0")?;
    let length = Duration::from_secs_f64(f64::from(run.calls) / f64::from(run.rate.max(1))) + SETTLE;
    let mut command = Command::new("sipp");
    command.arg(server.sip.to_string()).args(["-s", EXTENSION, "-i", "127.0.0.1", "-t", "u1", "-nostdin"]);
    command.arg("-sf").arg(scenarios.join(SCENARIO).with_extension("xml"));
    command.args(["-key", "audio", &deaf.local_addr()?.port().to_string()]);
    for (option, value) in [("-r", run.rate), ("-m", run.calls), ("-l", OPEN), ("-rtt_freq", 1)] {
        command.arg(option).arg(value.to_string());
    }
    command.args(["-trace_rtt", "-trace_err", "-timeout_error", "-timeout", &format!("{}s", length.as_secs())]);
    command
        .current_dir(&folder)
        .stdin(Stdio::null())
        .stdout(File::create(folder.join("screen"))?)
        .stderr(Stdio::null());
    let start = Instant::now();
    let mut sipp = Running(command.spawn().context("start sipp; `make deps-test` installs it")?);
    let mut usage = vec![server.usage()?];
    let status = loop {
        if let Some(status) = sipp.0.try_wait()? {
            break status;
        }
        thread::sleep(LOOK.saturating_sub(Duration::from_nanos(u64::from(start.elapsed().subsec_nanos()))));
        usage.push(server.usage()?);
    };
    let took = start.elapsed();
    let setup_ms = times(&folder)?;
    ensure!(!setup_ms.is_empty(), "SIPp got no call through: {status}");
    Ok(Outcome { run, clean: status.success() && setup_ms.len() == run.calls as usize, setup_ms, took, usage })
}

/// What `-trace_rtt` wrote.
fn times(folder: &Path) -> Result<Vec<f64>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with("_rtt.csv") {
            all.extend(fs::read_to_string(&path)?.lines().filter_map(time));
        }
    }
    Ok(all)
}

/// `date;milliseconds;name`, after a line of titles.
fn time(line: &str) -> Option<f64> {
    line.split(';').nth(1)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_sipp_is_read_and_its_titles_are_not() {
        assert_eq!(time("1764109876.123456;2.413;setup"), Some(2.413));
        assert_eq!(time("Date_ms;response_time_ms;rtd_name"), None);
    }
}
