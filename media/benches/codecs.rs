//! `make bench-codecs`: what each codec costs for 20 ms of sound, in microseconds of one core, written to
//! docs/benchmarks-codecs.md.
#![expect(clippy::disallowed_methods, reason = "a program that measures time")]
#[path = "../../tests/bench/src/origin.rs"]
mod origin;

use media::{
    Frame, SampleRate,
    codec::{Codec, Decoder, Encoder, opus},
    prompt::Form,
    resample::Resampler,
    sdp::{Direction, Negotiated, PayloadType},
};
use std::{
    error::Error,
    fmt::Write as _,
    fs,
    hint::black_box,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::{Duration, Instant},
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const FRAME: Duration = Duration::from_millis(20);
/// A minute.
const FRAMES: usize = 3_000;
const METHOD: &str = "
A minute of a gliding, pulsing sound with overtones and noise, a packet at a time, each timed by itself on one core. Up and down
are what a call costs between its packets and a provider: decoding and resampling to the provider's rate (Opus is
decoded straight to it), resampling from it and
encoding. G.711 passes untouched where the provider takes it, as OpenAI does: its way up and down costs nothing, and what
stands here is the local provider's share. The share of a core is both ways, 50 packets a second each, at the median.

Prompt is what is left of the way down where the local provider speaks (16 kHz) and a sentence was spoken before: its packets are copied
from the engine's cache. Only Opus has prompts: a copy costs what the look-up of PCMU, PCMA and L16 does, and what is said in G.722
depends on all that was said before in the call.

Opus is super-wideband and repairs lost packets (48 kbit/s, complexity 5).
";

fn main() -> Result<()> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let (machine, when) = (origin::Machine::look()?, origin::when(&docs));
    let mut page = format!(
        "# Codecs\n\nWritten by `make bench-codecs` on {when}; measured again, not edited.\n\n\
         | codec | bytes of 20 ms | encode µs p50 / p99 | decode µs p50 / p99 | provider at kHz | up µs p50 | down µs p50 \
         | prompt µs | share of a core % |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for codec in Codec::ALL {
        let line = line(codec)?;
        println!("{line}");
        writeln!(page, "{line}")?;
    }
    page.push_str(METHOD);
    writeln!(page, "\n## Machine\n\n{machine}. One core of it does all this.")?;
    fs::write(docs.join("benchmarks-codecs.md"), page)?;
    Ok(())
}

/// A line of the table.
fn line(codec: Codec) -> Result<String> {
    let samples = voice(codec.sample_rate());
    let frames: Vec<&[i16]> = samples.chunks(codec.sample_rate().samples_in(FRAME)).collect();
    let mut encoder = encoder(codec)?;
    let mut payloads = Vec::with_capacity(FRAMES);
    let encoding = times(&frames, |frame| {
        payloads.push(encoder.encode(frame)?);
        Ok(())
    })?;
    let mut decoder = Decoder::new(codec)?;
    let decoding = times(&payloads, |payload| {
        black_box(decoder.decode(payload)?);
        Ok(())
    })?;
    let bytes = payloads.iter().map(Vec::len).sum::<usize>() / payloads.len().max(1);
    let provider = if codec.sample_rate() > SampleRate::HZ_8000 { SampleRate::HZ_24000 } else { SampleRate::HZ_8000 };
    let (up, down) = (up(codec, provider, &payloads)?, down(codec, provider)?);
    // Microseconds of 20 ms, in percent.
    let share = (up + down) / FRAME.as_micros() as f64 * 100.0;
    let prompt = prompt(codec).map_or("–".to_owned(), |cost| format!("{cost:.2}"));
    Ok(format!(
        "| {codec} | {bytes} | {:.2} / {:.2} | {:.2} / {:.2} | {} | {up:.2} | {down:.2} | {prompt} | {share:.3} |",
        encoding.0,
        encoding.1,
        decoding.0,
        decoding.1,
        provider.hz() / 1_000
    ))
}

fn encoder(codec: Codec) -> Result<Encoder> {
    Ok(Encoder::new(codec, opus::Receiver { repairs: true, ..opus::Receiver::default() })?)
}

/// From a packet to the provider's samples.
fn up(codec: Codec, provider: SampleRate, payloads: &[Vec<u8>]) -> Result<f64> {
    let mut decoder = Decoder::to(codec, provider)?;
    let mut resampler = Resampler::new(codec.decoded_at(provider), provider)?;
    let times = times(payloads, |payload| {
        black_box(resampler.process(&decoder.decode(payload)?));
        Ok(())
    })?;
    Ok(times.0)
}

/// From the provider's samples to a packet.
fn down(codec: Codec, provider: SampleRate) -> Result<f64> {
    let samples = voice(provider);
    let frames: Vec<&[i16]> = samples.chunks(provider.samples_in(FRAME)).collect();
    let mut resampler = Resampler::new(provider, codec.sample_rate())?;
    let mut encoder = encoder(codec)?;
    let times = times(&frames, |frame| {
        black_box(encoder.encode(&resampler.process(frame))?);
        Ok(())
    })?;
    Ok(times.0)
}

/// Microseconds for each packet of a minute that was encoded beforehand; `None` for a codec without prompts.
fn prompt(codec: Codec) -> Option<f64> {
    let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 4_000));
    let media = Negotiated {
        remote,
        remote_rtcp: remote,
        codec,
        rtcp_mux: false,
        opus: opus::Receiver { repairs: true, ..opus::Receiver::default() },
        payload_type: PayloadType::same(96),
        others: Vec::new(),
        telephone_event: None,
        other_events: Vec::new(),
        comfort_noise: None,
        direction: Direction::SendRecv,
        ptime: FRAME,
        ice: None,
        srtp: None,
    };
    let rate = SampleRate::HZ_16000;
    let prompt = Form::of(&media)?.encode(&Frame { rate, samples: voice(rate) })?;
    let times = times(&[(); 20], |()| {
        black_box(prompt.clone());
        Ok(())
    });
    Some(times.ok()?.0 / FRAMES as f64)
}

/// A sound which gives every part of a codec something to do.
fn voice(rate: SampleRate) -> Vec<i16> {
    let (mut phase, mut noise) = (0.0_f64, 1_u32);
    let wave = |n: usize| {
        let seconds = n as f64 / f64::from(rate.hz());
        phase += std::f64::consts::TAU * (150.0 + 60.0 * (seconds * 5.0).sin()) / f64::from(rate.hz());
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let voiced: f64 = (1..12).map(|k| (phase * f64::from(k)).sin() / f64::from(k)).sum();
        let loudness = (seconds * 9.0).sin().max(0.05);
        (loudness * (6_000.0 * voiced + f64::from(noise >> 22))) as i16
    };
    (0..rate.samples_in(FRAME) * FRAMES).map(wave).collect()
}

/// Median and 99th percentile in microseconds.
fn times<T>(inputs: &[T], mut work: impl FnMut(&T) -> Result<()>) -> Result<(f64, f64)> {
    let mut times: Vec<f64> = Vec::with_capacity(inputs.len());
    for input in inputs {
        let start = Instant::now();
        work(black_box(input))?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_unstable_by(f64::total_cmp);
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    Ok((at(50), at(99)))
}
