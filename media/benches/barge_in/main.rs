//! `make bench-barge-in`: how well and how soon a caller is heard over the assistant, and what else is taken for one.
//!
//! Everything but the cost runs in virtual time and gives the same figures on every machine.
#![expect(clippy::print_stdout, reason = "a program that tells what it measures")]
mod call;
mod cost;
#[path = "../../../tests/bench/src/origin.rs"]
mod origin;
mod quality;
mod report;
mod sounds;
mod upward;

use call::{Echo, Outcome};
use media::vad;
use report::Report;
use sounds::{Kind, SPEECH_DB, at_level, mixed, noise, silence, speech};
use std::{path::PathBuf, time::Duration};

const OURS: [&str; 4] = ["pt-kokoro-dora-0", "pt-rhvoice-leticia-1", "en-piper-joe-5", "en-agent-user"];
const THEIRS: [&str; 8] = [
    "en-agent-pass",
    "en-auth-incorrect",
    "en-conf-getconfno",
    "en-conf-kicked",
    "pt-kokoro-dora-4",
    "pt-rhvoice-leticia-6",
    "pt-rhvoice-leticia-3",
    "en-piper-joe-2",
];
/// When the caller begins to speak.
const ONSET_MS: usize = 3_003;
/// Later than that after the onset, speech was missed.
const MISSED_MS: f64 = 1_000.0;

fn main() -> std::io::Result<()> {
    let music = std::env::var_os("RAMAL_MUSIC").map_or_else(|| PathBuf::from("/usr/share/asterisk/moh"), PathBuf::from);
    let mut report = Report::default();
    barge_in(&mut report);
    false_alarms(&mut report, &sounds::no_speech(&music));
    echoes(&mut report);
    upward::measure(&mut report);
    confirmation(&mut report);
    quality::measure(&mut report);
    cost::measure(&mut report);
    report.write(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs"))
}

/// The assistant, long enough to be interrupted: each sentence again and again.
fn ours() -> Vec<Vec<i16>> {
    let spoken = |name: &&str| [speech(name), silence(300)].concat().repeat(4);
    OURS.iter().map(spoken).map(|speech| speech.into_iter().take(80_000).collect()).collect()
}

/// Onset to duck, to the last packet with voice, and to the cut.
#[derive(Default)]
struct Delays {
    ducked: Vec<f64>,
    silent: Vec<f64>,
    cut: Vec<f64>,
    missed: usize,
    calls: usize,
}

impl Delays {
    fn count(&mut self, outcome: &Outcome, onset: f64) {
        self.calls += 1;
        let after = |times: &[f64]| times.iter().find(|at| **at > onset).map(|at| at - onset);
        match (after(&outcome.ducked), after(&outcome.paused), after(&outcome.cut)) {
            (Some(ducked), Some(paused), Some(cut)) if cut < MISSED_MS => {
                self.ducked.push(ducked);
                // Who is paused between two sentences is silent already.
                self.silent.push(outcome.silent.map_or(paused, |silent| paused.max(silent - onset)));
                self.cut.push(cut);
            }
            _ => self.missed += 1,
        }
    }
}

/// Each caller over each assistant, beginning anywhere within a packet.
fn interrupted(vad: vad::Config, echo: Option<Echo>, noise_db: f32, caller_db: f32) -> Delays {
    let mut delays = Delays::default();
    for (n, ours) in ours().iter().enumerate() {
        for (k, theirs) in THEIRS.iter().enumerate() {
            let onset = ONSET_MS + (n * 8 + k) * 5 % 20;
            let theirs = [silence(onset), at_level(&speech(theirs), caller_db)].concat();
            let line = mixed(&theirs, &noise(noise_db, theirs.len() / sounds::PER_MS, 3));
            delays.count(&call::run(vad, ours, &line, echo), onset as f64);
        }
    }
    delays
}

fn barge_in(report: &mut Report) {
    report.section("Interrupting", "Onset (first 5 ms within 30 dB of the loudest) to duck; to silence, which is the last packet with the \
        assistant's voice in it, if she did not go on after it; and to the cut, when what she had left to say is dropped. Four assistants, eight \
        callers each, beginning anywhere within a packet. Missed: not cut within 1 s.");
    report.table(&[
        "line",
        "calls",
        "onset → duck p50 / p95 (ms)",
        "onset → silence p50 / p95 (ms)",
        "onset → cut p50 / p95 (ms)",
        "missed",
    ]);
    let echo = |db, delay_ms| Some(Echo { db, delay_ms });
    let cases = [
        ("quiet, no echo", None, -70.0, SPEECH_DB),
        ("noise at -50 dB", None, -50.0, SPEECH_DB),
        ("noise at -42 dB", None, -42.0, SPEECH_DB),
        ("caller 8 dB softer", None, -70.0, SPEECH_DB - 8.0),
        ("echo -30 dB after 60 ms", echo(-30.0, 60), -65.0, SPEECH_DB),
        ("echo -18 dB after 120 ms", echo(-18.0, 120), -65.0, SPEECH_DB),
        ("echo -12 dB after 300 ms", echo(-12.0, 300), -65.0, SPEECH_DB),
    ];
    for (name, echo, noise, caller) in cases {
        let delays = interrupted(vad::Config::default(), echo, noise, caller);
        report.row(&[
            name.into(),
            delays.calls.to_string(),
            report::percentiles(&delays.ducked),
            report::percentiles(&delays.silent),
            report::percentiles(&delays.cut),
            report::share(delays.missed, delays.calls),
        ]);
        if noise < -69.0 && caller >= SPEECH_DB {
            report.plot("barge_in_duck_ms", "speech onset to duck", &delays.ducked);
            report.plot("barge_in_silence_ms", "speech onset to silence on the wire", &delays.silent);
        }
    }
}

/// How many of these sounds ducked, paused and cut the assistant who talked over them.
fn alarms(vad: vad::Config, sounds: &[Vec<i16>]) -> [usize; 3] {
    let ours = ours();
    let outcomes = sounds.iter().zip(ours.iter().cycle()).map(|(sound, ours)| call::run(vad, ours, sound, None));
    outcomes.fold([0; 3], |[ducked, paused, cut], outcome| {
        let once = |times: &[f64]| usize::from(!times.is_empty());
        [ducked + once(&outcome.ducked), paused + once(&outcome.paused), cut + once(&outcome.cut)]
    })
}

fn false_alarms(report: &mut Report, kinds: &[Kind]) {
    report.section(
        "What is no interruption",
        "Share of the sounds during which the assistant was ducked, paused (she went on when the sound was over) or cut, once or more often. \
         Quickness has its price here: the last two columns are of the same sounds with `suspect_after` at 70 ms (by default 56), \
         `confirm_after` at 220 ms and no pause (`insist_after` is 220 ms, too): a duck comes later, and a cut sooner. The defaults were \
         chosen on other speech, other voices and other words than these.",
    );
    report.table(&["sound", "sounds", "ducked", "paused", "cut", "70 / 220 / 220: ducked", "70 / 220 / 220: cut"]);
    let (suspect_after, believed_after) = (Duration::from_millis(70), Duration::from_millis(220));
    let quick = vad::Config {
        suspect_after,
        confirm_after: believed_after,
        insist_after: believed_after,
        ..vad::Config::default()
    };
    let words = Kind { name: "\"uh-huh\" and its like", sounds: sounds::backchannels() };
    for Kind { name, sounds } in kinds.iter().chain([&words]) {
        let [ducked, paused, cut] = alarms(vad::Config::default(), sounds);
        let [quickly_ducked, _, quickly_cut] = alarms(quick, sounds);
        let shares = [ducked, paused, cut, quickly_ducked, quickly_cut].map(|some| report::share(some, sounds.len()));
        report.row(&[&[(*name).into(), sounds.len().to_string()], shares.as_slice()].concat());
    }
}

/// Ducks, pauses and cuts of four calls in which only an echo speaks.
fn echo_alone(echo: Echo, noise_db: f32) -> String {
    let outcomes = ours()
        .into_iter()
        .map(|ours| call::run(vad::Config::default(), &ours, &noise(noise_db, 10_500, 3), Some(echo)));
    let sums = outcomes.fold([0; 3], |[ducks, pauses, cuts], it| {
        [ducks + it.ducked.len(), pauses + it.paused.len(), cuts + it.cut.len()]
    });
    sums.map(|sum| sum.to_string()).join(" / ")
}

fn echoes(report: &mut Report) {
    report.section("Echo alone", "The caller is silent; the phone returns what it plays: clipped as by a small loudspeaker, with a room's \
        reflections, on a clock 100 ppm off, through A-law twice, in noise. Ducks, pauses and cuts of four calls of 10 s. The first echo of \
        a call may duck once: its way is not known yet. Noise from -55 dB on hides the way of a soft echo, and what the guard does not know \
        for an echo is heard as a caller.");
    report.table(&["noise", "echo", "20 ms", "60 ms", "120 ms", "200 ms", "300 ms", "400 ms"]);
    for noise_db in [-65.0, -55.0, -50.0] {
        for db in [-12.0, -18.0, -24.0, -30.0] {
            let cells = [20, 60, 120, 200, 300, 400].map(|delay_ms| echo_alone(Echo { db, delay_ms }, noise_db));
            report.row(&[&[format!("{noise_db} dB"), format!("{db} dB")], cells.as_slice()].concat());
        }
    }
}

fn confirmation(report: &mut Report) {
    report.section("How long a voice must last to be believed", "After `confirm_after` she is silent, after `insist_after` what she had to say is \
        dropped. The less, the sooner, and the more often a listener's \"uh-huh\" (ten of them by a synthetic voice at three speeds, 0.2 to 0.8 s) \
        stops her or makes her forget what she was saying. Both equal: she is never paused. The default is 120 and 500.");
    report.table(&[
        "confirm_after / insist_after (ms)",
        "\"uh-huh\" pauses",
        "\"uh-huh\" cuts",
        "onset → silence p50 / p95 (ms)",
        "onset → cut p50 / p95 (ms)",
        "missed",
    ]);
    let words = sounds::backchannels();
    for (confirm, insist) in [(120, 120), (220, 220), (120, 300), (120, 500), (120, 700), (220, 500)] {
        let (confirm_after, insist_after) = (Duration::from_millis(confirm), Duration::from_millis(insist));
        let vad = vad::Config { confirm_after, insist_after, ..vad::Config::default() };
        let delays = interrupted(vad, None, -70.0, SPEECH_DB);
        let [_, paused, cut] = alarms(vad, &words);
        report.row(&[
            format!("{confirm} / {insist}"),
            report::share(paused, words.len()),
            report::share(cut, words.len()),
            report::percentiles(&delays.silent),
            report::percentiles(&delays.cut),
            report::share(delays.missed, delays.calls),
        ]);
    }
}
