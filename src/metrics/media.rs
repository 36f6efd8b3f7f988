//! How finished calls sounded, as counters and histograms.
use super::{Kind, Page, histogram::Histogram};
use crate::record::{MediaQuality, WayQuality};

/// Bounds of a mean opinion score: those of G.107's categories of satisfaction, and some below.
const MOS: [f64; 7] = [1.5, 2.0, 2.58, 3.1, 3.6, 4.03, 4.34];
/// Bounds of jitter, in seconds.
const JITTER: [f64; 8] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16];
/// Bounds of lost packets of all.
const LOSS: [f64; 7] = [0.0, 0.001, 0.005, 0.01, 0.03, 0.05, 0.1];
/// Bounds of a round trip, in seconds.
const ROUND_TRIP: [f64; 7] = [0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5];

/// One way of all calls.
#[derive(Clone, Debug, PartialEq)]
struct Way {
    mos: Histogram<{ MOS.len() }>,
    jitter: Histogram<{ JITTER.len() }>,
    loss: Histogram<{ LOSS.len() }>,
    expected: u64,
    lost: u64,
}

impl Way {
    const fn new() -> Self {
        let (mos, jitter, loss) = (Histogram::new(MOS), Histogram::new(JITTER), Histogram::new(LOSS));
        Self { mos, jitter, loss, expected: 0, lost: 0 }
    }

    fn add(&mut self, quality: &WayQuality) {
        self.expected += quality.expected;
        self.lost += quality.lost;
        let Some(score) = quality.score else { return }; // nothing was heard: there is no opinion of it
        self.mos.add(score.mos_cq);
        self.jitter.add(quality.jitter_p95_ms / 1_000.0);
        self.loss.add(quality.loss_percent() / 100.0);
    }
}

/// All calls that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Media {
    up: Way,
    down: Way,
    round_trip: Histogram<{ ROUND_TRIP.len() }>,
    late: u64,
    duplicated: u64,
    reordered: u64,
    foreign: u64,
    concealed_s: f64,
    lost: Lost,
}

/// Audio of calls that was lost on this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Lost {
    codec_errors: u64,
    skipped: u64,
    dropped_s: f64,
}

impl Default for Media {
    fn default() -> Self {
        let (up, down, round_trip) = (Way::new(), Way::new(), Histogram::new(ROUND_TRIP));
        let (concealed_s, lost) = (0.0, Lost::default());
        Self { up, down, round_trip, late: 0, duplicated: 0, reordered: 0, foreign: 0, concealed_s, lost }
    }
}

impl Media {
    /// Counts a call.
    pub fn add(&mut self, call: &MediaQuality) {
        self.up.add(&call.uplink);
        if let Some(downlink) = &call.downlink {
            self.down.add(downlink);
        }
        if let Some(longest) = call.round_trip_max_ms {
            self.round_trip.add(longest / 1_000.0);
        }
        self.late += call.late;
        self.duplicated += call.duplicated;
        self.reordered += call.reordered;
        self.foreign += call.foreign;
        self.concealed_s += call.concealed_ms as f64 / 1_000.0;
        self.lost.codec_errors += call.trouble.codec_errors;
        self.lost.skipped += call.trouble.skipped;
        self.lost.dropped_s += call.trouble.playout_dropped_ms as f64 / 1_000.0;
    }

    pub(super) fn write(&self, page: &mut Page) {
        const UP: &str = "way=\"up\"";
        const DOWN: &str = "way=\"down\"";
        page.head(
            "ramal_media_mos",
            Kind::Histogram,
            "Mean opinion scores (G.107) of conversations that ended, by way.",
        );
        self.up.mos.write("ramal_media_mos", UP, page);
        self.down.mos.write("ramal_media_mos", DOWN, page);
        page.head("ramal_media_jitter_seconds", Kind::Histogram, "95th percentiles of jitter of calls that ended.");
        self.up.jitter.write("ramal_media_jitter_seconds", UP, page);
        self.down.jitter.write("ramal_media_jitter_seconds", DOWN, page);
        page.head("ramal_media_loss_ratio", Kind::Histogram, "RTP packets lost of all, of calls that ended.");
        self.up.loss.write("ramal_media_loss_ratio", UP, page);
        self.down.loss.write("ramal_media_loss_ratio", DOWN, page);
        let round_trip = "ramal_media_round_trip_seconds";
        page.head(round_trip, Kind::Histogram, "Longest round trips of calls that ended.");
        self.round_trip.write(round_trip, "", page);
        for (name, help, up, down) in [
            ("ramal_media_packets_total", "RTP packets that should have come.", self.up.expected, self.down.expected),
            ("ramal_media_lost_total", "RTP packets that did not come, or too late.", self.up.lost, self.down.lost),
        ] {
            page.head(name, Kind::Counter, help);
            page.sample(name, "{way=\"up\"}", up);
            page.sample(name, "{way=\"down\"}", down);
        }
        for (name, help, count) in [
            ("ramal_media_late_total", "RTP packets that came after their gap was given up.", self.late),
            ("ramal_media_duplicated_total", "RTP packets that came again.", self.duplicated),
            ("ramal_media_reordered_total", "RTP packets that were overtaken.", self.reordered),
            ("ramal_media_foreign_total", "RTP and RTCP from others than the caller, dropped.", self.foreign),
            ("ramal_media_skipped_total", "RTP packets never sent, as the server was late.", self.lost.skipped),
            ("ramal_media_codec_errors_total", "Frames not decoded or not encoded.", self.lost.codec_errors),
        ] {
            page.head(name, Kind::Counter, help);
            page.sample(name, "", count);
        }
        for (name, help, seconds) in [
            ("ramal_media_concealed_seconds_total", "Audio made up for what was missing.", self.concealed_s),
            ("ramal_media_dropped_seconds_total", "Audio of assistants that found no room.", self.lost.dropped_s),
        ] {
            page.head(name, Kind::Counter, help);
            page.number(name, "", seconds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audio_that_was_lost_on_this_machine_is_counted_over_all_calls() {
        let call: MediaQuality = serde_json::from_str(
            r#"{"codec": "PCMU", "remote": "192.0.2.1:4000", "received": 1, "late": 0, "duplicated": 0, "reordered": 0,
                "concealed_ms": 0, "sent": 1, "foreign": 0,
                "uplink": {"expected": 0, "lost": 0, "jitter_ms": 0.0, "jitter_p95_ms": 0.0, "jitter_max_ms": 0.0},
                "trouble": {"codec_errors": 3, "skipped": 7, "playout_dropped_ms": 750}}"#,
        )
        .unwrap();
        let (mut media, mut page) = (Media::default(), Page(String::new()));
        media.add(&call);
        media.add(&call);
        media.write(&mut page);
        for line in [
            "ramal_media_skipped_total 14",
            "ramal_media_codec_errors_total 6",
            "ramal_media_dropped_seconds_total 1.5",
        ] {
            assert!(page.0.lines().any(|found| found == line), "{line}\n{}", page.0);
        }
    }
}
