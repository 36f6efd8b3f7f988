//! What the detector and the echo guard cost.
#![expect(clippy::disallowed_methods, reason = "a program that measures time")]
use crate::{report::Report, sounds::speech};
use media::{echo::Guard, vad};
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

const ROUNDS: u32 = 40;

/// The quickest of many rounds: what others do on the machine only adds.
fn quickest(mut round: impl FnMut() -> Duration) -> f64 {
    (0..ROUNDS).map(|_| round()).min().unwrap_or_default().as_secs_f64() * 1e6
}

pub(crate) fn measure(report: &mut Report) {
    let speech = speech("en-agent-user");
    let origin = Instant::now();
    let Ok(mut detector) = vad::Detector::new(vad::Config::default()) else { return };
    let chunk = quickest(|| {
        let start = Instant::now();
        speech.chunks_exact(160).for_each(|packet| drop(black_box(detector.push(packet, origin))));
        start.elapsed()
    }) / (speech.len() / 256) as f64;
    let mut quiet = 0.0;
    if let Ok(mut detector) = vad::Detector::new(vad::Config::default()) {
        quiet = quickest(|| {
            let start = Instant::now();
            (0..1_000).for_each(|_| drop(black_box(detector.push(&[0; 160], origin))));
            start.elapsed()
        }) / (1_000.0 * 160.0 / 256.0);
    }
    let mut guard = Guard::new();
    let mut now = origin;
    let packet = quickest(|| {
        let start = Instant::now();
        for packet in speech.chunks_exact(160) {
            guard.played(packet, now);
            black_box(guard.is_echo(packet, now));
            now += Duration::from_millis(20);
        }
        start.elapsed()
    }) / (speech.len() / 160) as f64;
    let chunks_per_s = 8_000.0 / 256.0;
    let call = (chunk * 0.4 + quiet * 0.6) * chunks_per_s + packet * 50.0;
    report.section("Cost", "µs of one core, the quickest of forty rounds; this table depends on the machine.");
    report.table(&["what", "µs"]);
    report.row(&["detector, 32 ms of speech".into(), format!("{chunk:.1}")]);
    report.row(&["detector, 32 ms of a quiet line (the gate is shut)".into(), format!("{quiet:.2}")]);
    report.row(&["echo guard, 20 ms both ways".into(), format!("{packet:.2}")]);
    report.row(&[
        "a call with speech on the line 40 % of the time, in % of a core".into(),
        format!("{:.3} %", call / 1e4),
    ]);
    report.text(
        "That the network is computed by ourselves was decided by an earlier trial, which this program does not measure again. It \
         was of three forms, on two cores of an AMD EPYC (AVX2), CPU time of all threads for 32 ms of one call: rten 0.27 with a \
         pool of one thread 176 µs, its default pool 190; rten with 4, 8, 16, 32 calls in a batch 126, 123, 103, 109; ours 25 µs on \
         the thread that asks, on the same busy machine. rten has no way to run on the thread that asks (`RunOptions` takes pools \
         only), and a batch would make each call wait for the others. What ours costs is in the table; it is vector code without \
         `unsafe` (rten-simd), from the model file as published, and `vad::network::tests` holds it to rten within 1e-4.",
    );
}
