//! docs/benchmarks-sound.md and its pictures.
use crate::{
    CODECS, Key, Measured, Receiver, Result,
    network::{Loss, Network},
    origin::{self, Machine},
    plot::{self, Curve},
    resampling::{self, Design, PAIRS},
};
use media::{codec::Codec, conceal::Concealer};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// The columns of a table of scores, and what they are called.
const RECEIVERS: [(Receiver, &str); 5] = [
    (Receiver::Ours, "Ramal"),
    (Receiver::Fixed, "fixed 60 ms"),
    (Receiver::Repeat, "repeat"),
    (Receiver::Zero, "zero fill"),
    (Receiver::Phone, "at the phone"),
];
const METHOD: &str = include_str!("method.md");

type Scores = BTreeMap<Key, Vec<f64>>;

/// Writes it all into `folder`, docs/ unless told.
pub(crate) fn write(
    root: &Path,
    seeds: u64,
    conditions: &[Network],
    scores: &Scores,
    measured: &[Measured],
    folder: Option<&str>,
) -> Result<()> {
    let docs = folder.map_or_else(|| root.join("docs"), Into::into);
    fs::create_dir_all(docs.join("bench"))?;
    let (machine, when) = (Machine::look()?, origin::when(root));
    let mut text = format!(
        "# Sound\n\nWritten by `make bench-sound` on {when}; measured again, not edited. {seeds} seeds a condition; times are of \
         {}.\n\n",
        if cfg!(debug_assertions) { "an unoptimised build" } else { "a release build" }
    );
    for codec in CODECS {
        let name = format!("sound_{}.svg", codec.encoding_name().to_lowercase());
        fs::write(docs.join("bench").join(&name), picture(codec, conditions, scores))?;
        let band = if codec.sample_rate() > media::SampleRate::HZ_8000 { "wide" } else { "narrow" };
        writeln!(text, "## {codec}: PESQ, {band} band\n\n![PESQ of {codec} by loss](bench/{name})\n")?;
        score_table(&mut text, codec, conditions, (scores, measured))?;
    }
    writeln!(text, "## Cost of concealment\n\n{}\n", concealment_cost())?;
    resampling_table(&mut text)?;
    text.push_str(METHOD);
    writeln!(text, "\n## Machine\n\n{machine}. Only the times of concealment and resampling depend on it.")?;
    fs::write(docs.join("benchmarks-sound.md"), text)?;
    Ok(())
}

/// Scores, and beside them what Ramal's cost: delay, and audio that did not go up.
fn score_table(
    text: &mut String,
    codec: Codec,
    conditions: &[Network],
    (scores, measured): (&Scores, &[Measured]),
) -> Result<()> {
    let names: Vec<&str> = RECEIVERS.iter().map(|(_, name)| *name).collect();
    let columns = "added ms p50 / p95 / max | not up % Ramal / fixed";
    let rule = "---|".repeat(names.len() + 2);
    writeln!(text, "| loss | jitter ms | {} | {columns} |\n|---|---|{rule}", names.join(" | "))?;
    for (condition, (network, measured)) in conditions.iter().zip(measured).enumerate() {
        write!(text, "| {} | {} |", loss(network), jitter(network))?;
        for (receiver, _) in RECEIVERS {
            let values = scores.get(&Key { codec, condition, receiver }).map_or(&[][..], Vec::as_slice);
            let (mean, deviation) = spread(values);
            write!(text, " {mean:.2} ± {deviation:.2} |")?;
        }
        let mut delays = measured.delays.clone();
        delays.sort();
        let at = |share: f64| {
            let index = ((delays.len() as f64 * share).ceil() as usize).saturating_sub(1);
            delays.get(index).map_or(f64::NAN, |delay| delay.as_secs_f64() * 1e3)
        };
        let percent = |missing: usize| missing as f64 * 100.0 / measured.packets.max(1) as f64;
        let (ours, fixed) = (percent(measured.missing), percent(measured.missing_fixed));
        writeln!(text, " {:.1} / {:.1} / {:.1} | {ours:.1} / {fixed:.1} |", at(0.5), at(0.95), at(1.0))?;
    }
    text.push('\n');
    Ok(())
}

fn resampling_table(text: &mut String) -> Result<()> {
    text.push_str(
        "## Resampling\n\n| from → to kHz | filter | gain at 75 % dB | at 85 % dB | residue dB | alias dB | delay ms \
         | µs for 20 ms |\n|---|---|---|---|---|---|---|---|\n",
    );
    for pair in PAIRS {
        for design in Design::ALL {
            let figures = resampling::figures(design, pair)?;
            writeln!(
                text,
                "| {} → {} | {} | {:.2} | {:.2} | {:.0} | {} | {:.1} | {:.1} |",
                pair.0 / 1_000,
                pair.1 / 1_000,
                design.name(),
                figures.gains[0],
                figures.gains[1],
                figures.residue,
                figures.alias.map_or("–".to_owned(), |alias| format!("{alias:.0}")),
                figures.delay.as_secs_f64() * 1e3,
                figures.cost.as_secs_f64() * 1e6
            )?;
        }
    }
    text.push('\n');
    Ok(())
}

/// The dearest case: every frame begins an erasure, so that the pitch is searched each time.
fn concealment_cost() -> String {
    const ROUNDS: u32 = 2_000;
    let rates = [media::SampleRate::HZ_8000, media::SampleRate::HZ_16000].map(|rate| {
        let frame: Vec<i16> = (0..rate.hz() as usize / 50).map(|n| ((n as f64 / 7.0).sin() * 9e3) as i16).collect();
        let mut concealer = Concealer::new(rate);
        let mut least = Duration::MAX;
        for _ in 0..ROUNDS {
            (0..4).for_each(|_| _ = concealer.accept(&mut frame.clone()));
            let start = Instant::now();
            std::hint::black_box(concealer.conceal(frame.len()));
            least = least.min(start.elapsed());
        }
        format!("{:.1} µs at {} kHz", least.as_secs_f64() * 1e6, rate.hz() / 1_000)
    });
    format!("The first missing frame of 20 ms, with its pitch search: {}.", rates.join(", "))
}

fn picture(codec: Codec, conditions: &[Network], scores: &Scores) -> String {
    let mut curves = Vec::new();
    for (receiver, name) in RECEIVERS.into_iter().filter(|(receiver, _)| *receiver != Receiver::Phone) {
        for kind in [Loss::Random, Loss::Bursty] {
            let points = conditions.iter().enumerate().filter(|(_, network)| {
                network.jitter.is_zero() && network.keeps_order && (network.loss == kind || network.share == 0.0)
            });
            let points = points.map(|(condition, network)| {
                let values = scores.get(&Key { codec, condition, receiver }).map_or(&[][..], Vec::as_slice);
                (network.share * 100.0, spread(values).0)
            });
            curves.push(Curve { name, dashed: kind == Loss::Bursty, points: points.collect() });
        }
    }
    plot::curves(&format!("{codec}: PESQ by loss (solid: random, dashed: bursts), no jitter"), &curves)
}

fn loss(network: &Network) -> String {
    match network.loss {
        _ if network.share == 0.0 => "none".to_owned(),
        Loss::Random => format!("{:.0} % random", network.share * 100.0),
        Loss::Bursty => format!("{:.0} % bursty", network.share * 100.0),
    }
}

fn jitter(network: &Network) -> String {
    let order = if network.keeps_order { "" } else { ", overtaking" };
    format!("{}{order}", network.jitter.as_millis())
}

/// Mean and standard deviation.
fn spread(values: &[f64]) -> (f64, f64) {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    (mean, (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt())
}
