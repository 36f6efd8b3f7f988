//! Conversations while something else goes on beside them: whether they keep their pace.
use crate::{
    analysis::{self, Figures},
    beside::{Beside, Flood, Pings},
    conversations::{self, Conversations, Plan},
    machine,
    metric::{Metric, round},
    phones::{Floors, Phones},
    progress::Progress,
    provider::{Provider, Security},
    server::{Detector, Server},
    speech::Voice,
    uac::Uac,
};
use anyhow::{Context, Result};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What every part of the measurement needs.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) program: &'a Path,
    /// Where files go.
    pub(crate) folder: &'a Path,
    /// Recordings of the two voices.
    pub(crate) speech: PathBuf,
    pub(crate) show: &'a Progress,
    /// The day, and the commit.
    pub(crate) when: String,
}

/// What was noted of the conversations, and of what went on beside them.
#[derive(Debug)]
pub(crate) struct Crowd<T> {
    pub(crate) talk: Conversations,
    pub(crate) figures: Figures,
    pub(crate) beside: T,
    /// INVITEs and BYEs that had to be sent again.
    repeated: u64,
    /// Datagrams for the server's SIP socket that the kernel dropped.
    dropped: u64,
    load_before: f64,
}

/// Starts a server of its own, then `start` beside it; calls are placed, held and ended meanwhile.
pub(crate) fn hold<T: Send + 'static>(
    stage: &Stage<'_>,
    plan: Plan,
    start: impl FnOnce(SocketAddr) -> Result<Beside<T>>,
) -> Result<Crowd<T>> {
    let load_before = machine::load();
    let floors = Arc::new(Floors::new(plan.calls));
    let provider = Provider::start(Voice::load(&stage.speech, "en-piper")?, Arc::clone(&floors), Security::Plain)?;
    let server = Server::start(stage.program, stage.folder, &provider, Detector::Silero)?;
    let phones = Phones::start(0..plan.calls, Voice::load(&stage.speech, "en-agent")?, floors)?;
    let mut uac = Uac::new(server.sip, crate::server::EXTENSION)?;
    let beside = start(server.sip)?;
    let talk = conversations::hold(plan, &server, phones, &mut uac, stage.show).with_context(|| server.last_words())?;
    let beside = beside.stop()?;
    let dropped = server.dropped()?;
    server.end()?;
    let figures = analysis::figures(&talk.lines, &provider.stop()?, talk.window);
    Ok(Crowd { talk, figures, beside, repeated: uac.repeated, dropped, load_before })
}

impl<T> Crowd<T> {
    fn pacing(&self, id: &'static str, title: &'static str) -> Metric {
        let tail = |samples: &[f64]| Metric::new("", "", "", samples.to_vec()).percentile(99.0).map(round);
        Metric::new(id, title, "ms", self.figures.pacing.clone())
            .target(99.0, 5.0)
            .with("calls", self.talk.lines.len())
            .with("slots_missing", self.figures.slots_skipped)
            .with("lost", self.figures.downlink_lost)
            .with("setup_ms_p99", tail(&self.talk.setup_ms))
            .with("repeated", self.repeated)
            .with("dropped_by_kernel", self.dropped)
            .with("cpu_percent_server", round(self.talk.shares.server))
            .with("cpu_percent_bench", round(self.talk.shares.bench))
            .with("cpu_percent_others", round(self.talk.shares.others))
            .with("load_before", self.load_before)
    }

    /// What holds for whatever goes on beside.
    fn circumstances(&self) -> String {
        let Conversations { lines, window, setup_ms, shares, .. } = &self.talk;
        let setup = Metric::new("", "", "", setup_ms.clone());
        let at = |percentile| setup.percentile(percentile).unwrap_or_default();
        let off = |limit: f64| self.figures.pacing.iter().filter(|off| **off > limit).count();
        format!(
            "{} calls were placed meanwhile (all answered: INVITE to 200 in {:.1} ms at p50, {:.1} at p99; {} requests \
             sent again) and held for {} s. Of {} packets {} were more than 5 ms and {} more than 10 ms off their grid, {} \
             left out, {} lost. The kernel dropped {} datagrams for the SIP socket. In percent of one core: server {:.0}, \
             phones, provider and load {:.0}, other processes {:.0}; load average {:.2} before.",
            lines.len(),
            at(50.0),
            at(99.0),
            self.repeated,
            window.until.duration_since(window.from).as_secs(),
            self.figures.pacing.len(),
            off(5.0),
            off(10.0),
            self.figures.slots_skipped,
            self.figures.downlink_lost,
            self.dropped,
            shares.server,
            shares.bench,
            shares.others,
            self.load_before,
        )
    }
}

impl Crowd<Pings> {
    /// Two metrics.
    pub(crate) fn metrics(&self) -> [Metric; 2] {
        let pings = &self.beside;
        let rate = pings.sent as f64 / pings.length.as_secs_f64().max(f64::MIN_POSITIVE);
        let answers = Metric::new(
            "ping_ms",
            "OPTIONS of a gateway to 200, beside calls",
            "ms",
            pings.answer_ms.clone(),
        )
        .with("pings_per_s", round(rate))
        .with("sent", pings.sent)
        .with("unanswered", pings.sent.saturating_sub(pings.answer_ms.len()))
        .method(
            "A peer sends OPTIONS as FreeSWITCH pings a gateway, 2,000 a second in bursts of 1 ms, each once. From \
                 just before its `sendto` to the kernel's receive time of the 200.",
        );
        let pacing = self.pacing("pacing_beside_pings_ms", "RTP packets off their grid, beside 2,000 pings/s");
        [answers, pacing.method("As `pacing_error_ms`, with 100 calls and the pings of `ping_ms`.")]
    }

    /// For a person.
    pub(crate) fn note(&self) -> String {
        let Pings { sent, answer_ms, length } = &self.beside;
        format!(
            "Beside pings: {sent} OPTIONS in {:.0} s, {} of them unanswered. {}",
            length.as_secs_f64(),
            sent.saturating_sub(answer_ms.len()),
            self.circumstances()
        )
    }
}

impl Crowd<Flood> {
    /// The metric.
    pub(crate) fn metric(&self) -> Metric {
        self.pacing("pacing_beside_flood_ms", "RTP packets off their grid, beside a flood of 20,000/s")
            .with("flood_per_s", round(self.beside.rate()))
            .with("flood_sent", self.beside.sent)
            .with("flood_answered", self.beside.answered)
            .method(
                "As `pacing_error_ms`, with 100 calls, while 64 addresses that are no peers send noise, OPTIONS of a \
                 scanner and INVITEs in turn, 20,000 datagrams a second in bursts of 1 ms. The calls are placed while it \
                 goes on.",
            )
    }

    /// For a person.
    pub(crate) fn note(&self) -> String {
        format!(
            "Beside a flood: {} datagrams in {:.0} s ({:.0} a second), {} of them answered. {}",
            self.beside.sent,
            self.beside.length.as_secs_f64(),
            self.beside.rate(),
            self.beside.answered,
            self.circumstances()
        )
    }
}
