//! What callers waited for, as histograms.
use super::{Kind, Page, histogram::Histogram};
use crate::record::Waterfall;
use std::time::Duration;

/// Bounds of a step of a reply, in seconds.
const STEP: [f64; 10] = [0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0];
/// Bounds of a gap between two providers, in seconds.
const GAP: [f64; 8] = [0.1, 0.25, 0.5, 1.0, 1.5, 3.0, 5.0, 10.0];

/// Replies and changes of provider, of all calls.
#[derive(Clone, Debug, PartialEq)]
pub struct Waits {
    decided: Histogram<{ STEP.len() }>,
    thought: Histogram<{ STEP.len() }>,
    audio: Histogram<{ STEP.len() }>,
    packet: Histogram<{ STEP.len() }>,
    gap: Histogram<{ GAP.len() }>,
}

impl Default for Waits {
    fn default() -> Self {
        let step = || Histogram::new(STEP);
        Self { decided: step(), thought: step(), audio: step(), packet: step(), gap: Histogram::new(GAP) }
    }
}

impl Waits {
    /// Counts a reply.
    pub fn replied(&mut self, latency: Duration, waterfall: Option<Waterfall>) {
        self.packet.add(latency.as_secs_f64());
        let Some(Waterfall { decided, thought, audio }) = waterfall else { return };
        self.audio.add(audio.as_secs_f64());
        if let Some(decided) = decided {
            self.decided.add(decided.as_secs_f64());
        }
        if let Some(thought) = thought {
            self.thought.add(thought.as_secs_f64());
        }
    }

    /// Counts a change of provider.
    pub fn changed(&mut self, gap: Duration) {
        self.gap.add(gap.as_secs_f64());
    }

    pub(super) fn write(&self, page: &mut Page) {
        let steps = "ramal_reply_seconds";
        page.head(steps, Kind::Histogram, "From the caller's last voice to each step of the reply.");
        let steps_of =
            [("decided", &self.decided), ("thought", &self.thought), ("audio", &self.audio), ("packet", &self.packet)];
        for (step, histogram) in steps_of {
            histogram.write(steps, &format!("step=\"{step}\""), page);
        }
        let gap = "ramal_provider_gap_seconds";
        page.head(gap, Kind::Histogram, "From the failure of a provider until another heard the caller.");
        self.gap.write(gap, "", page);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_of_a_reply_is_counted_from_the_same_moment() {
        let ms = Duration::from_millis;
        let mut waits = Waits::default();
        waits.replied(ms(900), Some(Waterfall { decided: Some(ms(500)), thought: None, audio: ms(850) }));
        waits.replied(ms(90), None);
        waits.changed(ms(400));
        let mut page = Page(String::new());
        waits.write(&mut page);
        for line in [
            "ramal_reply_seconds_bucket{step=\"decided\",le=\"0.5\"} 1",
            "ramal_reply_seconds_bucket{step=\"audio\",le=\"0.7\"} 0",
            "ramal_reply_seconds_count{step=\"packet\"} 2",
            "ramal_provider_gap_seconds_bucket{le=\"0.5\"} 1",
        ] {
            assert!(page.0.lines().any(|found| found == line), "{line}\n{}", page.0);
        }
    }
}
