//! `make bench-sound`: how a call sounds when the network is bad, by PESQ, and what that costs in delay. With `--quick`, one
//! seed and no jitter; with `--out FOLDER` the page goes elsewhere.
//!
//! The server's own session runs in virtual time, so a run is the same on any machine; only the times of the resampler
//! and of concealment are measured. It lives here, not in tests/bench, because it drives the core and needs nothing else.
#![expect(clippy::disallowed_methods, reason = "a program that measures time")]
mod call;
mod delay;
mod network;
#[path = "../../../tests/bench/src/origin.rs"]
mod origin;
mod plot;
mod receivers;
mod report;
mod resampling;
mod score;
mod speech;

use media::{AudioFormat, Frame, SampleRate, codec::Codec, resample::Resampler};
use network::{Loss, Network};
use receivers::Filling;
use score::{Job, Scores};
use std::{error::Error, path::Path, time::Duration};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// One of each band, and the wide one that knows no concealment of its own.
const CODECS: [Codec; 3] = [Codec::Pcmu, Codec::G722, Codec::Opus];
/// Seeds for each condition, unless the command line says otherwise.
const SEEDS: u64 = 8;

/// Who receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Receiver {
    /// The server.
    Ours,
    /// A fixed jitter buffer of 60 ms, then the server's concealment.
    Fixed,
    /// As the server, but a missing frame is the frame before again.
    Repeat,
    /// As the server, but a missing frame is silence.
    Zero,
    /// A phone with a fixed jitter buffer of 60 ms and concealment of the server's kind.
    Phone,
}

/// What one score is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    codec: Codec,
    condition: usize,
    receiver: Receiver,
}

/// Audio added up over the seeds of a condition, for the server's uplink.
#[derive(Clone, Debug, Default)]
struct Measured {
    delays: Vec<Duration>,
    packets: usize,
    /// Packets whose audio did not reach the provider, and those a fixed buffer missed.
    missing: usize,
    missing_fixed: usize,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str| arguments.iter().position(|word| word == name).and_then(|at| arguments.get(at + 1));
    let quick = arguments.iter().any(|word| word == "--quick");
    let seeds = option("--seeds").map_or(Ok(if quick { 1 } else { SEEDS }), |text| text.parse())?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut conditions = conditions();
    if quick {
        conditions.retain(|network| network.jitter.is_zero());
    }
    let mut scores = Scores::new(&root)?;
    let mut measured = vec![Measured::default(); conditions.len()];
    for (condition, (network, measured)) in conditions.iter().zip(&mut measured).enumerate() {
        for seed in 1..=seeds {
            for codec in CODECS {
                judge(codec, condition, network, seed, &mut scores)?;
            }
            delay::measure(network, seed, measured)?;
        }
    }
    let scores = scores.ask()?;
    report::write(&root, seeds, &conditions, &scores, &measured, option("--out").map(String::as_str))
}

/// All that is measured: every loss with every jitter on a network that keeps order, and some of one that does not.
fn conditions() -> Vec<Network> {
    let losses = [0.0, 0.01, 0.03, 0.05, 0.10];
    let mut conditions = Vec::new();
    for jitter in [0, 20, 40, 80].map(Duration::from_millis) {
        for loss in [Loss::Random, Loss::Bursty] {
            let some = losses.into_iter().filter(|share| *share > 0.0 || loss == Loss::Random);
            conditions.extend(some.map(|share| Network { loss, share, jitter, keeps_order: true }));
        }
    }
    for jitter in [40, 80].map(Duration::from_millis) {
        conditions.extend([0.0, 0.03].map(|share| Network { loss: Loss::Random, share, jitter, keeps_order: false }));
    }
    conditions
}

/// The rate at which a codec is judged: its own, but PESQ knows nothing above wideband, and neither do the recordings.
fn judged_at(codec: Codec) -> SampleRate {
    codec.sample_rate().min(SampleRate::HZ_16000)
}

/// One call of one codec both ways, scored in the codec's own band.
fn judge(codec: Codec, condition: usize, network: &Network, seed: u64, scores: &mut Scores) -> Result<()> {
    let spoken = speech::sample(judged_at(codec), seed)?;
    let mut judge = |receiver, heard: &[i16]| -> Result<()> {
        scores.add(Job { key: Key { codec, condition, receiver }, rate: spoken.rate, seed }, &spoken.samples, heard)
    };
    compare(codec, network, seed, &spoken, &mut judge)?;
    // A provider speaks at 24 kHz.
    let said = Resampler::new(spoken.rate, SampleRate::HZ_24000)?.process(&spoken.samples);
    let payloads = call::downlink(codec, &Frame { rate: SampleRate::HZ_24000, samples: said })?;
    let arrivals = call::carry(network, payloads.len(), seed);
    judge(Receiver::Phone, &receivers::buffered(codec, &payloads, &arrivals, Filling::Pitch)?.0)
}

/// The uplink, ours and others'.
fn compare(
    codec: Codec,
    network: &Network,
    seed: u64,
    spoken: &Frame,
    judge: &mut impl FnMut(Receiver, &[i16]) -> Result<()>,
) -> Result<()> {
    let said = Resampler::new(spoken.rate, codec.sample_rate())?.process(&spoken.samples);
    let payloads = call::payloads(codec, &said)?;
    let arrivals = call::carry(network, payloads.len(), seed);
    let ours = call::uplink(codec, AudioFormat::Pcm(spoken.rate), &payloads, &arrivals)?;
    judge(Receiver::Ours, &ours.samples())?;
    judge(Receiver::Fixed, &receivers::buffered(codec, &payloads, &arrivals, Filling::Pitch)?.0)?;
    judge(Receiver::Repeat, &receivers::direct(codec, &payloads, &arrivals, Filling::Repeat)?)?;
    judge(Receiver::Zero, &receivers::direct(codec, &payloads, &arrivals, Filling::Zero)?)
}
