//! The detector against labels, slot by slot.
use crate::{
    report::Report,
    sounds::{PER_MS, mixed, noise, rms, rumble, silence, speech},
};
use media::{Law, codec::g711, vad};
use std::time::Instant;

const CHUNK: usize = 256;
/// Pauses within words and between them are speech to a listener.
const BRIDGED: usize = 20;
const SPOKEN: [&str; 12] = [
    "en-agent-alreadyon",
    "en-agent-newlocation",
    "en-at-tone-time-exactly",
    "en-cannot-complete-as-dialed",
    "en-conf-invalidpin",
    "en-piper-joe-3",
    "en-piper-joe-7",
    "pt-kokoro-dora-2",
    "pt-kokoro-dora-6",
    "pt-rhvoice-leticia-2",
    "pt-rhvoice-leticia-5",
    "pt-rhvoice-leticia-8",
];

pub(crate) fn measure(report: &mut Report) {
    report.section("Detector against labels", "Twelve recordings with pauses, slots of 10 ms, each judged by the chunk of 32 ms it lies in; \
        A-law. Labels by level on the clean track (30 dB below the loudest; pauses up to 200 ms bridged). Threshold 0.5. Wanted: AUC ≥ .94, FPR ≤ .20 at \
        recall ≥ .93, onset p90 ≤ 132 ms (100 and the chunk).");
    report.table(&["noise", "AUC", "precision", "recall", "FPR", "onset p50 / p90 (ms)"]);
    let clean = spoken();
    let labels = labels(&clean);
    let ms = clean.len() / PER_MS;
    let cases = [
        ("none", clean.clone()),
        ("white, SNR 20 dB", mixed(&clean, &noise(-42.0, ms, 11))),
        ("white, SNR 10 dB", mixed(&clean, &noise(-32.0, ms, 11))),
        ("street, SNR 10 dB", mixed(&clean, &rumble(-32.0, ms, 11))),
        ("street, SNR 5 dB", mixed(&clean, &rumble(-27.0, ms, 11))),
    ];
    for (name, line) in cases {
        let scores = scores(&line);
        report.row(&row(name, &labels, &scores));
    }
}

/// With 1.2 s between the recordings.
fn spoken() -> Vec<i16> {
    SPOKEN.iter().flat_map(|name| [silence(1_200), speech(name)].concat()).chain(silence(1_200)).collect()
}

fn labels(clean: &[i16]) -> Vec<bool> {
    let levels: Vec<f32> = clean.chunks(10 * PER_MS).map(rms).collect();
    let audible = levels.iter().copied().fold(0.0, f32::max) / 30.0;
    let mut labels: Vec<bool> = levels.into_iter().map(|level| level > audible).collect();
    let mut last = None;
    for slot in 0..labels.len() {
        if labels[slot] {
            if let Some(last) = last.filter(|last| slot - last <= BRIDGED) {
                labels[last..slot].fill(true);
            }
            last = Some(slot);
        }
    }
    labels
}

fn scores(line: &[i16]) -> Vec<f32> {
    #[expect(clippy::disallowed_methods, reason = "an epoch; only distances from it count")]
    let now = Instant::now();
    let line = g711::decode(Law::A, &g711::encode(Law::A, line));
    let Ok(mut detector) = vad::Detector::new(vad::Config::default()) else { return Vec::new() };
    let judged: Vec<f32> = line
        .chunks(CHUNK)
        .map(|chunk| {
            detector.push(chunk, now);
            detector.likelihood()
        })
        .collect();
    (0..line.len() / (10 * PER_MS)).filter_map(|slot| judged.get(slot * 10 * PER_MS / CHUNK).copied()).collect()
}

fn row(name: &str, labels: &[bool], scores: &[f32]) -> Vec<String> {
    let pairs: Vec<(bool, f32)> = labels.iter().copied().zip(scores.iter().copied()).collect();
    let count =
        |label: bool, voiced: bool| pairs.iter().filter(|it| it.0 == label && (it.1 >= 0.5) == voiced).count() as f64;
    let (hits, misses, false_alarms, rest) =
        (count(true, true), count(true, false), count(false, true), count(false, false));
    let mut onsets: Vec<f64> = (0..pairs.len())
        .filter(|slot| pairs[*slot].0 && (*slot == 0 || !pairs[slot - 1].0))
        .filter_map(|onset| pairs[onset..].iter().position(|it| it.1 >= 0.5).map(|slots| slots as f64 * 10.0))
        .collect();
    onsets.sort_by(f64::total_cmp);
    let at = |share: f64| onsets.get((onsets.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
    vec![
        name.into(),
        format!("{:.3}", area(pairs.clone())),
        format!("{:.3}", hits / (hits + false_alarms)),
        format!("{:.3}", hits / (hits + misses)),
        format!("{:.3}", false_alarms / (false_alarms + rest)),
        format!("{:.0} / {:.0}", at(0.5), at(0.9)),
    ]
}

/// Area under the curve of hits over false alarms: how often speech scores higher than what is none, ties half.
fn area(mut pairs: Vec<(bool, f32)>) -> f64 {
    pairs.sort_by(|left, right| left.1.total_cmp(&right.1));
    let (mut below, mut area) = (0.0, 0.0);
    for tied in pairs.chunk_by(|left, right| left.1 == right.1) {
        let speech = tied.iter().filter(|it| it.0).count() as f64;
        let other = tied.len() as f64 - speech;
        area += speech * (below + other / 2.0);
        below += other;
    }
    area / (below * (pairs.len() as f64 - below))
}
