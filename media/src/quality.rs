//! How a call sounds, by the E-model: ITU-T G.107 (narrowband), G.107.1 (wideband), G.107.2 (fullband).
//!
//! The model is for planning, so what no packet tells (microphones, rooms, line noise) has its default value, and of
//! the equations only those with a measured term are left: `R = default - Idd - Ie,eff`. Talker echo is not among them:
//! an assistant sends nobody's voice back.
use std::time::Duration;

use crate::codec::{Codec, opus};

/// G.107 §7.4: an absolute delay up to this many milliseconds is not noticed (mT).
const UNNOTICED_MS: f64 = 100.0;
/// From R of a scale that ends at 100 to MOS (G.107 Annex B): below, it would be less than 1.
const WORST_R: f64 = 6.52;

/// How R is counted for a bandwidth.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scale {
    /// R of a call without impairment.
    best: f64,
    /// Where the scale ends; MOS divides by it.
    end: f64,
    /// The most R that equipment and loss can cost (§7.5 of each).
    worst_equipment: f64,
    /// What delay costs, of what it costs in narrowband (§7.4 of each).
    delay: f64,
}

/// G.107 with all defaults of its table 3.
const NARROWBAND: Scale = Scale { best: 93.2, end: 100.0, worst_equipment: 95.0, delay: 1.0 };
/// G.107.1.
const WIDEBAND: Scale = Scale { best: 129.0, end: 129.0, worst_equipment: 95.0, delay: 1.0 };
/// G.107.2.
const FULLBAND: Scale = Scale { best: 148.0, end: 148.0, worst_equipment: 132.0, delay: 1.48 };

/// What a codec costs, error-free and per loss.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Equipment {
    scale: Scale,
    /// Ie: what the codec costs by itself.
    impairment: f64,
    /// Bpl: the packet loss robustness factor, with concealment.
    robustness: f64,
    /// What encoder and decoder look ahead.
    delay: Duration,
}

/// With concealment of the class of G.711 Appendix I: G.113 Appendix I, table I.4 (without any, Bpl is 4.3).
const G711: Equipment = Equipment { scale: NARROWBAND, impairment: 0.0, robustness: 25.1, delay: Duration::ZERO };
/// libopus as it is used for speech, super-wideband at some 31 kbit/s, variable: Al-Ahmadi, Počta, Melvin, "Instrumental
/// estimation of E-model equipment impairment factor parameters for super-wideband Opus codec" (ISSC 2019). ITU-T has
/// published no value.
const OPUS: Equipment =
    Equipment { scale: FULLBAND, impairment: 16.8, robustness: 10.4, delay: Duration::from_micros(6_500) };
/// For peers that play less of it. No value is published: by itself it is taken to cost what G.722 does, and no more in
/// narrowband than G.711, and each loss what it costs above.
const OPUS_WIDE: Equipment = Equipment { scale: WIDEBAND, impairment: 13.0, ..OPUS };
const OPUS_NARROW: Equipment = Equipment { scale: NARROWBAND, impairment: 0.0, ..OPUS };
/// Ie of 64 kbit/s: G.113 Appendix IV, table IV.1. No value of Bpl is published for a concealment like ours, so it is
/// taken to be that of G.711.
const G722: Equipment =
    Equipment { scale: WIDEBAND, impairment: 13.0, robustness: 25.1, delay: Duration::from_micros(1_500) };
/// Linear PCM costs nothing by itself: narrowband as G.711 is rated, wideband as the reference of G.107.1.
const L16_WIDE: Equipment = Equipment { impairment: 0.0, delay: Duration::ZERO, ..G722 };

fn equipment(sound: Sound) -> Equipment {
    match sound.codec {
        Codec::Pcmu | Codec::Pcma | Codec::L16Narrow => G711,
        Codec::G722 => G722,
        Codec::L16Wide => L16_WIDE,
        Codec::Opus => match sound.playback_rate {
            ..16_000 => OPUS_NARROW,
            16_000..24_000 => OPUS_WIDE,
            24_000.. => OPUS,
        },
    }
}

/// What is rated: a codec, and how much of it is heard. That a peer sends less of Opus' band than it may, or wants
/// fewer bits than speech has, nobody asks: then the rating is too good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sound {
    codec: Codec,
    /// Samples a second that are played of Opus, at most.
    playback_rate: u32,
}

impl From<Codec> for Sound {
    fn from(codec: Codec) -> Self {
        Self { codec, playback_rate: u32::MAX }
    }
}

impl Sound {
    /// Heard by a peer that says what it plays of Opus.
    #[must_use]
    pub fn played_by(self, receiver: opus::Receiver) -> Self {
        Self { playback_rate: receiver.playback_rate, ..self }
    }
}

/// Packets and how those that are missing were missing: an RTP stream as the decoder found it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Packets that should have come.
    pub expected: u64,
    /// Packets that did not, or too late to be of use.
    pub lost: u64,
    /// Runs of adjacent packets that these were.
    pub runs: u64,
}

impl Loss {
    /// A packet that was there.
    pub fn arrived(&mut self) {
        self.expected += 1;
    }

    /// So many packets in a row that were not.
    pub fn missed(&mut self, packets: u64) {
        self.expected = self.expected.saturating_add(packets);
        self.lost = self.lost.saturating_add(packets);
        self.runs += u64::from(packets > 0);
    }

    /// What came since `before`, an earlier state of this.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            expected: self.expected.saturating_sub(before.expected),
            lost: self.lost.saturating_sub(before.lost),
            runs: self.runs.saturating_sub(before.runs),
        }
    }

    /// Lost packets of one, 0 to 1.
    pub fn ratio(&self) -> f64 {
        if self.expected == 0 { 0.0 } else { self.lost.min(self.expected) as f64 / self.expected as f64 }
    }

    /// The mean length of a run of lost packets; 0 without any.
    pub fn mean_run(&self) -> f64 {
        if self.runs == 0 { 0.0 } else { self.lost as f64 / self.runs as f64 }
    }

    /// BurstR (G.107 §7.5): how much longer runs are than random loss would make them, which is 1 / (1 - ratio).
    pub fn burst_ratio(&self) -> f64 {
        (self.mean_run() * (1.0 - self.ratio())).max(1.0)
    }
}

/// A rating and the opinions it predicts. Opinions are those of listeners who know nothing better than this bandwidth, so
/// they compare calls of one bandwidth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The transmission rating R, on the scale of the bandwidth that is heard: up to 93.2 for narrowband, 129 for
    /// wideband, 148 for fullband.
    pub r: f64,
    /// Mean opinion score of a conversation, 1 to 4.5: delay counts.
    pub mos_cq: f64,
    /// Mean opinion score of listening, 1 to 4.5: delay does not count.
    pub mos_lq: f64,
}

/// Rates a stream that lost so much and was heard so long after it was said: network, packets and buffers; what the
/// codec looks ahead is added.
pub fn score(sound: impl Into<Sound>, loss: &Loss, delay: Duration) -> Score {
    let equipment = equipment(sound.into());
    let scale = equipment.scale;
    let listening = scale.best - effective_impairment(&equipment, loss);
    let r = listening - scale.delay * delay_impairment(delay + equipment.delay);
    let mos = |r: f64| mos(r * 100.0 / scale.end);
    Score { r: r.max(0.0), mos_cq: mos(r), mos_lq: mos(listening) }
}

/// Ie,eff (§7.5 of G.107, G.107.1 and G.107.2).
fn effective_impairment(equipment: &Equipment, loss: &Loss) -> f64 {
    let percent = loss.ratio() * 100.0;
    let Equipment { scale, impairment, robustness, .. } = equipment;
    impairment + (scale.worst_equipment - impairment) * percent / (percent / loss.burst_ratio() + robustness)
}

/// Idd (G.107 §7.4): what absolute delay costs by itself.
fn delay_impairment(delay: Duration) -> f64 {
    let ms = delay.as_secs_f64() * 1_000.0;
    if ms <= UNNOTICED_MS {
        return 0.0;
    }
    let x = (ms / UNNOTICED_MS).log2();
    25.0 * ((1.0 + x.powi(6)).powf(1.0 / 6.0) - 3.0 * (1.0 + (x / 3.0).powi(6)).powf(1.0 / 6.0) + 2.0)
}

/// MOS of R on a scale that ends at 100 (G.107 Annex B).
fn mos(r: f64) -> f64 {
    match r {
        ..WORST_R => 1.0,
        100.0.. => 4.5,
        _ => 1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn close(got: f64, want: f64, tolerance: f64, what: &str) {
        assert!((got - want).abs() <= tolerance, "{what}: {got}, not {want}");
    }

    /// Loss of `percent`, in runs of `run` packets.
    fn loss(percent: u64, run: u64) -> Loss {
        Loss { expected: 100 * run, lost: percent * run, runs: percent }
    }

    /// G.107 §7.2, §7.3 and §7.4 with every default of its table 3, in full: what the constant stands for.
    #[test]
    fn g107_the_defaults_rate_93_2() {
        let power = |db: f64| 10_f64.powf(db / 10.0);
        let (slr, rlr, ds, lstr, ps, pr, nc, nfor) = (8.0, 2.0, 3.0, 18.0, 35.0, 35.0, -70.0, -64.0);
        let (stmr, telr, wepl): (f64, f64, f64) = (15.0, 65.0, 110.0);
        let olr: f64 = slr + rlr;
        let pre: f64 = pr + 10.0 * (1.0 + power(10.0 - lstr)).log10();
        let nos: f64 = ps - slr - ds - 100.0 + 0.004 * f64::powi(ps - olr - ds - 14.0, 2);
        let nor = rlr - 121.0 + pre + 0.008 * (pre - 35.0).powi(2);
        let no = 10.0 * (power(nc) + power(nos) + power(nor) + power(nfor + rlr)).log10();
        let ro = 15.0 - 1.5 * (slr + no);
        close(ro, 94.77, 0.01, "Ro");
        let xolr = olr + 0.2 * (64.0 + no - rlr);
        let iolr = 20.0 * ((1.0 + (xolr / 8.0).powi(8)).powf(1.0 / 8.0) - xolr / 8.0);
        let stmro = -10.0 * (power(-stmr) + power(-telr)).log10();
        let ist = 12.0 * (1.0 + ((stmro - 13.0) / 6.0).powi(8)).powf(1.0 / 8.0)
            - 28.0 * (1.0 + ((stmro + 1.0) / 19.4).powi(35)).powf(1.0 / 35.0)
            - 13.0 * (1.0 + ((stmro - 3.0) / 33.0).powi(13)).powf(1.0 / 13.0)
            + 29.0;
        let q = 37.0; // one quantizing distortion unit
        let g = 1.07 + 0.258 * q + 0.0602 * q * q;
        let (y, z) = ((ro - 100.0) / 15.0 + 46.0 / 8.4 - g / 9.0, 46.0 / 30.0 - g / 40.0);
        let iq = 15.0 * (1.0 + power(10.0 * y) + power(10.0 * z)).log10();
        let rle = 10.5 * (wepl + 7.0);
        let idle = (ro - rle) / 2.0 + ((ro - rle).powi(2) / 4.0 + 169.0).sqrt();
        close(ro - (iolr + ist + iq) - idle, NARROWBAND.best, 0.05, "R");
    }

    /// G.107 Annex B, table B.1: the lower limits of the categories of user satisfaction.
    #[test]
    fn g107_annex_b_opinions() {
        for (r, want) in [(93.2, 4.41), (90.0, 4.34), (80.0, 4.03), (70.0, 3.60), (60.0, 3.10), (50.0, 2.58)] {
            close(mos(r), want, 0.01, &format!("R {r}"));
        }
        assert_eq!([mos(-5.0), mos(0.0), mos(100.0), mos(120.0)], [1.0, 1.0, 4.5, 4.5]);
        let falls = (0..1_000).any(|n| mos(f64::from(n + 1) / 10.0) < mos(f64::from(n) / 10.0));
        assert!(!falls, "a better rating is never a worse opinion");
    }

    #[test]
    fn g107_7_4_delay_is_unnoticed_to_100_ms_and_hurts_beyond_200() {
        for (ms, want) in [(0, 0.0), (100, 0.0), (150, 0.16), (200, 3.04), (300, 14.76), (400, 24.07), (500, 30.64)] {
            close(delay_impairment(Duration::from_millis(ms)), want, 0.01, &format!("{ms} ms"));
        }
    }

    /// G.107 §7.5 with Ie 0 and Bpl 25.1 (G.113 Appendix I): Ie,eff = 95·Ppl / (Ppl / BurstR + 25.1).
    #[test]
    fn g107_7_5_loss_costs_more_in_bursts() {
        for (percent, run, want) in
            [(0, 1, 0.0), (1, 1, 3.64), (3, 1, 10.14), (5, 1, 15.78), (10, 1, 27.07), (7, 3, 24.09), (5, 4, 17.98)]
        {
            let got = effective_impairment(&G711, &loss(percent, run));
            close(got, want, 0.02, &format!("{percent} % in runs of {run}"));
        }
    }

    /// G.107.1 and G.107.2: each on its own scale, which ends at 129 and 148.
    #[test]
    fn wideband_and_fullband_have_scales_of_their_own() {
        let rated = |codec: Codec, percent, ms| score(codec, &loss(percent, 1), Duration::from_millis(ms));
        for (codec, percent, ms, r, mos) in [
            (Codec::L16Wide, 0, 0, 129.0, 4.5),
            (Codec::G722, 0, 0, 116.0, 4.34),
            (Codec::G722, 5, 0, 102.0, 4.0),
            (Codec::Opus, 0, 0, 131.2, 4.30),
            (Codec::Opus, 5, 0, 93.8, 3.28),
        ] {
            let got = rated(codec, percent, ms);
            close(got.r, r, 0.5, &format!("R of {codec}, {percent} %"));
            close(got.mos_lq, mos, 0.05, &format!("MOS of {codec}, {percent} %"));
        }
        let cost = |codec| rated(codec, 0, 0).r - rated(codec, 0, 400).r;
        assert!((cost(Codec::Opus) / cost(Codec::Pcmu) - 1.48).abs() < 0.05, "{}", cost(Codec::Opus));
    }

    /// Opus is rated for what the other side plays of it, and other codecs for what they are.
    #[test]
    fn what_a_peer_does_not_play_is_no_merit() {
        let played = |codec: Codec, playback_rate, percent| {
            let receiver = opus::Receiver { playback_rate, ..opus::Receiver::default() };
            score(Sound::from(codec).played_by(receiver), &loss(percent, 1), NOW)
        };
        for (playback_rate, r) in
            [(8_000, 93.2), (12_000, 93.2), (16_000, 116.0), (22_050, 116.0), (24_000, 131.2), (48_000, 131.2)]
        {
            close(played(Codec::Opus, playback_rate, 0).r, r, 1e-9, &format!("{playback_rate} Hz"));
            assert_eq!(played(Codec::G722, playback_rate, 5), score(Codec::G722, &loss(5, 1), NOW));
            assert!(played(Codec::Opus, playback_rate, 5).mos_lq < played(Codec::Opus, playback_rate, 0).mos_lq - 0.5);
        }
    }

    #[test]
    fn random_loss_has_a_burst_ratio_of_one_and_runs_show() {
        let mut random = crate::testing::Random::new(5);
        let (mut scattered, mut run) = (Loss::default(), 0);
        for _ in 0..100_000 {
            if random.chance(10) {
                run += 1;
            } else {
                scattered.missed(std::mem::take(&mut run));
                scattered.arrived();
            }
        }
        close(scattered.ratio(), 0.1, 0.005, "ratio");
        close(scattered.burst_ratio(), 1.0, 0.02, "random");
        close(loss(7, 3).burst_ratio(), 2.79, 0.001, "in threes");
        assert_eq!((Loss::default().ratio(), Loss::default().mean_run()), (0.0, 0.0));
    }

    #[test]
    fn a_perfect_g711_call_is_4_41_and_delay_spoils_the_conversation_only() {
        let perfect = score(Codec::Pcmu, &loss(0, 1), Duration::from_millis(60));
        close(perfect.r, 93.2, 1e-9, "R");
        close(perfect.mos_cq, 4.41, 0.005, "MOS");
        let slow = score(Codec::Pcma, &loss(0, 1), Duration::from_millis(400));
        assert!(slow.mos_lq == perfect.mos_lq && slow.mos_cq < 3.6, "{slow:?}");
        let opus = score(Codec::Opus, &loss(0, 1), NOW);
        assert!(opus.r > perfect.r, "a wider band rates higher: {opus:?}");
        let dead = score(Codec::Pcmu, &Loss { expected: 100, lost: 100, runs: 1 }, Duration::from_secs(5));
        assert_eq!((dead.r, dead.mos_cq), (0.0, 1.0));
    }
}
