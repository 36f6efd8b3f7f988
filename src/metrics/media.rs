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
}

impl Default for Media {
    fn default() -> Self {
        let (up, down, round_trip) = (Way::new(), Way::new(), Histogram::new(ROUND_TRIP));
        Self { up, down, round_trip, late: 0, duplicated: 0, reordered: 0, foreign: 0, concealed_s: 0.0 }
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
        ] {
            page.head(name, Kind::Counter, help);
            page.sample(name, "", count);
        }
        let concealed = "ramal_media_concealed_seconds_total";
        page.head(concealed, Kind::Counter, "Audio made up for what was missing.");
        page.number(concealed, "", self.concealed_s);
    }
}
