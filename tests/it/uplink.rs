//! What a provider hears of the caller, measured where it arrives: of a phone that echoes the assistant, and of one
//! that skips its silence.
use crate::{codecs::Phone, stage};
use anyhow::{Context, Result, bail, ensure};
use media::{
    Law,
    codec::{Codec, Encoder, g711, opus},
};
use ramal::lab::openai::{Direction, Logged, Reply, Say, Script, Server, Tls};
use serde_json::Value;
use std::{
    f64::consts::TAU,
    iter,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};
use testkit::{
    ear::Heard,
    sound::Sound,
    stage::{Ramal, Settings, Stage},
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc,
};

const PTIME: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(50);
/// Messages of a call of half a minute, both ways.
const MESSAGES: usize = 20_000;
/// RFC 3551 §4.5.14: PCMU, and the samples of 20 ms of it, which are its ticks as well.
const PCMU: u8 = 0;
const FRAME: u32 = 160;
/// The number that the phone gives Opus, and the rate at which OpenAI hears PCM.
const OPUS: u8 = 111;
const WIDE: u32 = 24_000;

/// More than the assistant says before she is interrupted.
const SPEECH: &str = "\
    Welcome to the test line. We are open from nine to five, from Monday to Friday, and until noon on Saturdays. \
    If you would like to speak with the sales desk, please say so at any time. For questions about an order that \
    you have placed already, keep the number of the order at hand, which is printed at the top of every letter. \
    Our workshop is closed in August. Whoever brings a bicycle before ten in the morning can take it home on the \
    same day.";

/// A simulated provider in this process, which keeps all that it is sent.
struct Provider {
    server: Server,
    logged: mpsc::Receiver<Logged>,
    /// Carries its sockets.
    _runtime: Runtime,
}

impl Provider {
    fn start(script: Script, at: SocketAddr) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (log, logged) = mpsc::channel(MESSAGES);
        let server = runtime.block_on(Server::start(at, script, Tls::Off, Some(log)))?;
        Ok(Self { server, logged, _runtime: runtime })
    }

    /// What it was sent so far, and when.
    fn told(&mut self) -> Result<Vec<(Instant, Value)>> {
        let logged = iter::from_fn(|| self.logged.try_recv().ok());
        let told: Vec<(Instant, Value)> = logged
            .filter(|message| message.direction == Direction::FromClient)
            .map(|message| (message.at, message.json()))
            .collect();
        let missing = self.server.unlogged();
        ensure!(missing == 0, "{missing} messages are missing");
        Ok(told)
    }
}

/// Such a provider, and a server whose secretary `demo`, with these lines of hers, speaks through it.
fn house(greeting: Reply, settings: Settings, secretary: &str, stage: &mut Stage) -> Result<(Provider, Ramal)> {
    let quiet = Reply { say: Some(Say::Silence { silence_ms: 200 }), ..Reply::default() };
    let script = Script { greeting: Some(greeting), replies: vec![quiet], ..Script::default() };
    let provider = Provider::start(script, stage.ports.address()?)?;
    let url = provider.server.url();
    let ramal = stage.serve(&settings.with(&format!(
        r#"
[openai]
url = "{url}"
api_key = "sk-test"
[[secretaries]]
domain = "demo.example"
name = "demo"
extension = "demo"
provider = "openai"
language = "en-US"
prompt = "You answer the phone."
first_message = "Welcome to the test line."
{secretary}
"#
    )))?;
    Ok((provider, ramal))
}

/// Audio, and when it was sent or came.
struct Piece {
    at: Instant,
    samples: Vec<i16>,
}

/// The caller's audio in what the provider was told.
fn heard(told: &[(Instant, Value)]) -> Result<Vec<Piece>> {
    let format = told.iter().find_map(|(_, message)| message.pointer("/session/audio/input/format"));
    let is_law = format.context("no format")?["type"] == "audio/pcmu";
    let pcm =
        |bytes: &[u8]| -> Vec<i16> { bytes.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect() };
    let appended = told.iter().filter(|(_, message)| message["type"] == "input_audio_buffer.append");
    let pieces = appended.map(|(at, message)| -> Result<Piece> {
        let text = message["audio"].as_str().context("no audio")?;
        let bytes = base64_simd::STANDARD.decode_to_vec(text.as_bytes()).ok().context("no base64")?;
        Ok(Piece { at: *at, samples: if is_law { g711::decode(Law::Mu, &bytes) } else { pcm(&bytes) } })
    });
    pieces.collect()
}

fn between(pieces: &[Piece], from: Instant, until: Instant) -> impl Iterator<Item = i16> {
    let passed = pieces.iter().filter(move |piece| (from..until).contains(&piece.at));
    passed.flat_map(|piece| piece.samples.iter().copied())
}

fn energy(samples: impl Iterator<Item = i16>) -> f64 {
    samples.map(|sample| f64::from(sample).powi(2)).sum()
}

/// Root mean square.
fn level(samples: &[i16]) -> f64 {
    (energy(samples.iter().copied()) / samples.len().max(1) as f64).sqrt()
}

/// Packet times until what the phone plays comes back: 120 ms.
const WAY: u32 = 6;
/// −18 dB.
const RETURNED: f64 = 0.126;
/// An echo of which the level is above is there.
const AUDIBLE: f64 = 30.0;
/// Packet times of echo before the caller speaks, and those after he spoke.
const ALONE: u32 = 300;
const AFTER: u32 = 75;
/// Packet times within which the assistant must have spoken.
const LONGEST: u32 = 1_500;
/// The way of the echo is known after so long.
const LEARNT: Duration = Duration::from_secs(2);

/// What passed on a line.
struct Line {
    /// What the phone sent.
    sent: Vec<Piece>,
    /// When the first echo came back.
    echoed: Instant,
    /// When the caller spoke over the echo, and when that was over.
    spoke: Instant,
    silent: Instant,
}

/// What the phone returns of what it plays in the packet time of this timestamp.
fn returned(heard: &[Heard], timestamp: u32) -> Vec<i16> {
    let packet = heard.iter().rev().find(|packet| packet.timestamp == timestamp);
    let played = packet.map_or_else(|| vec![0; FRAME as usize], |packet| g711::decode(Law::Mu, &packet.payload));
    played.iter().map(|sample| (f64::from(*sample) * RETURNED) as i16).collect()
}

/// Sends the echo of what the phone plays and, over six seconds of that, these words as well.
fn talk(phone: &mut Phone, words: &[i16]) -> Result<Line> {
    phone.ear.wait(5, PATIENCE)?;
    let origin = phone.ear.heard().last().context("no RTP")?.timestamp;
    let spoken = u32::try_from(words.len())? / FRAME;
    let (begin, mut sent, mut first) = (Instant::now(), Vec::new(), None);
    for n in 0..LONGEST {
        let echo = returned(&phone.ear.heard(), origin.wrapping_add(FRAME * n).wrapping_sub(FRAME * WAY));
        if first.is_none() && level(&echo) > AUDIBLE {
            first = Some(n);
        }
        let word = first.and_then(|first| n.checked_sub(first + ALONE));
        let said = word.and_then(|word| words.chunks(FRAME as usize).nth(word as usize)).unwrap_or_default();
        let said = said.iter().copied().chain(iter::repeat(0));
        let samples: Vec<i16> = echo.iter().zip(said).map(|(echo, said)| echo.saturating_add(said)).collect();
        phone.send(PCMU, &g711::encode(Law::Mu, &samples), FRAME)?;
        sent.push(Piece { at: Instant::now(), samples });
        if let Some(first) = first.filter(|_| word.is_some_and(|word| word >= spoken + AFTER)) {
            let at = |n: u32| begin + PTIME * n;
            let (spoke, silent) = (at(first + ALONE), at(first + ALONE + spoken));
            return Ok(Line { sent, echoed: at(first), spoke, silent });
        }
        std::thread::park_timeout((begin + PTIME * (n + 1)).saturating_duration_since(Instant::now()));
    }
    bail!("the assistant says too little")
}

/// What became of an echo and of a caller who spoke over it.
#[derive(Debug)]
struct Arrived {
    /// Decibels by which the echo came weaker to the provider than the phone sent it, once its way was known.
    echo_weaker: f64,
    /// The same of the caller's words.
    words_weaker: f64,
    /// What the provider is told the caller heard of the assistant before the first interruption, in milliseconds.
    cut_ms: Option<u64>,
}

/// Calls with a phone that echoes, with these sections of the configuration.
fn echoing(sections: &str) -> Result<Arrived> {
    let mut stage = stage()?;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/speech/en-agent-pass.wav");
    let words = Sound::read(&file)?.into_iter().next().context("no channel")?.samples;
    // To the simulator all is speech that is loud. With this threshold no echo is, and the assistant talks on.
    let (greeting, settings) = (Reply::words(SPEECH), Settings::default().with(sections));
    let (mut provider, ramal) = house(greeting, settings, "vad_threshold = 0.9", &mut stage)?;
    let mut phone = Phone::dial(&mut stage, &ramal, "0 101")?;
    let Line { sent, echoed, spoke, silent } = talk(&mut phone, &words)?;
    phone.hang_up()?;
    stage.conversations(&ramal.config, 1)?;
    let told = provider.told()?;
    let came = heard(&told)?;
    let (from, until) = (echoed + LEARNT, spoke - PTIME * 5);
    let echo: Vec<i16> = between(&sent, from, until).collect();
    ensure!(level(&echo) > AUDIBLE, "there was an echo: {:.0}\n{}", level(&echo), ramal.process);
    let weaker = |from: Instant, until: Instant| {
        let [before, after] = [&sent, &came].map(|pieces| energy(between(pieces, from, until)).max(1.0));
        10.0 * (before / after).log10()
    };
    let mut cuts = told.iter().filter(|(_, message)| message["type"] == "conversation.item.truncate");
    let cut_ms = cuts.next().and_then(|(_, message)| message["audio_end_ms"].as_u64());
    let arrived = Arrived { echo_weaker: weaker(from, until), words_weaker: weaker(spoke, silent), cut_ms };
    ramal.end()?;
    stage.clear()?;
    Ok(arrived)
}

/// The caller spoke when she had spoken for six seconds.
fn cut_by_the_caller(arrived: &Arrived) -> bool {
    arrived.cut_ms.is_some_and(|cut| (5_000..7_800).contains(&cut))
}

/// By default: docs/benchmarks-barge-in.md has 20 dB from the second second on.
#[test]
fn the_assistants_echo_is_silence_to_the_provider_and_who_speaks_over_it_is_heard_and_interrupts() -> Result<()> {
    let arrived = echoing("")?;
    ensure!(arrived.echo_weaker > 12.0, "the echo goes up: {arrived:?}");
    ensure!(arrived.words_weaker.abs() < 1.5, "of the caller something is missing: {arrived:?}");
    ensure!(cut_by_the_caller(&arrived), "interrupted by the caller, and by nothing before: {arrived:?}");
    Ok(())
}

#[test]
fn the_assistants_echo_goes_up_as_it_came_where_it_is_let_pass() -> Result<()> {
    let arrived = echoing("[media]\necho = \"pass\"")?;
    ensure!(arrived.echo_weaker.abs() < 1.0 && arrived.words_weaker.abs() < 1.0, "{arrived:?}");
    ensure!(cut_by_the_caller(&arrived), "interrupted by the caller, and by nothing before: {arrived:?}");
    Ok(())
}

/// How high the phone whistles.
const HERTZ: f64 = 700.0;

/// A second of a tone, three of silence, and the same tone again: the phone sends what its encoder does not skip. When
/// it began, and how many packets that were.
fn whistle_twice(phone: &mut Phone) -> Result<(Instant, u64)> {
    let rate = Codec::Opus.sample_rate();
    let wave = |n: usize| (8_000.0 * (TAU * HERTZ * n as f64 / f64::from(rate.hz())).sin()) as i16;
    let tone: Vec<i16> = (0..rate.samples_in(Duration::from_secs(1))).map(wave).collect();
    let silence = |millis| vec![0; rate.samples_in(Duration::from_millis(millis))];
    let line = [tone.clone(), silence(3_000), tone, silence(300)].concat();
    let skipping = opus::Receiver { skips_silence: true, ..opus::Receiver::default() };
    let (mut encoder, ticks) = (Encoder::new(Codec::Opus, skipping)?, Codec::Opus.ticks_in(PTIME));
    phone.ear.wait(5, PATIENCE)?;
    let (begin, mut sent) = (Instant::now(), 0);
    for (n, frame) in (1..).zip(line.chunks(rate.samples_in(PTIME))) {
        let payload = encoder.encode(frame)?;
        if payload.is_empty() {
            phone.timestamp += ticks;
        } else {
            phone.send(OPUS, &payload, ticks)?;
            sent += 1;
        }
        std::thread::park_timeout((begin + PTIME * n).saturating_duration_since(Instant::now()));
    }
    Ok((begin, sent))
}

/// Hundredths of a second in a row in which something is heard: where they begin, and how many they are.
fn stretches(samples: &[i16]) -> Vec<(usize, usize)> {
    let hundredths = samples.chunks(WIDE as usize / 100);
    let loud: Vec<bool> = hundredths.map(|part| part.iter().any(|sample| sample.unsigned_abs() > 2_000)).collect();
    let (mut found, mut at) = (Vec::new(), 0);
    for alike in loud.chunk_by(|one, other| one == other) {
        if alike.first() == Some(&true) {
            found.push((at, alike.len()));
        }
        at += alike.len();
    }
    found
}

/// RFC 7587 §3.1.3: the phone's pause is a packet every 400 ms, in time stamps that go on. The provider hears a stream
/// without a break: as much as time passed, the second tone whole and where it belongs, no click in or about the pause.
#[test]
fn a_phone_that_skips_its_silence_in_opus_is_heard_without_a_break() -> Result<()> {
    let mut stage = stage()?;
    let settings = Settings::default().media("codecs = [\"opus\"]\nsilence_warning_s = 2\nmedia_timeout_s = 2");
    let (mut provider, ramal) = house(Reply::tone(500, 300), settings, "", &mut stage)?;
    let formats = format!("{OPUS} 101\na=rtpmap:{OPUS} opus/48000/2\na=fmtp:{OPUS} usedtx=1");
    let mut phone = Phone::dial(&mut stage, &ramal, &formats)?;
    let (begin, sent) = whistle_twice(&mut phone)?;
    ensure!((100..165).contains(&sent), "of 265 packets the encoder skipped the pause: {sent}");
    phone.hang_up().with_context(|| format!("the call outlives the pause\n{}", ramal.process))?;
    let media = stage.conversations(&ramal.config, 1)?[0]["media_quality"].take();
    ensure!(media["received"] == sent && media["uplink"]["lost"] == 0 && media["concealed_ms"] == 0, "{media}");
    let silent = ramal.process.lines().into_iter().find(|line| line.contains("no RTP from the caller"));
    ensure!(silent.is_none(), "{silent:?}");

    let pieces = heard(&provider.told()?)?;
    let (from, until) = (begin + Duration::from_millis(500), begin + Duration::from_millis(4_500));
    let passed = between(&pieces, from, until).count() as f64 / f64::from(WIDE);
    ensure!((passed - 4.0).abs() < 0.1, "{passed:.3} s of audio in 4 s, both ends amid a tone: {media}");
    let samples: Vec<i16> = pieces.iter().flat_map(|piece| piece.samples.iter().copied()).collect();
    let found = stretches(&samples);
    let [(first, one), (second, two)] = found[..] else { bail!("not two tones without a hole: {found:?}") };
    ensure!((96..=110).contains(&one) && (96..=110).contains(&two), "whole, and no longer: {found:?}");
    ensure!((second - first).abs_diff(400) <= 10, "four seconds apart: {found:?}");
    let step = samples.windows(2).map(|pair| pair[0].abs_diff(pair[1])).max().unwrap_or_default();
    ensure!(step < 4_000, "a click of {step}: the tone's own steps are 1466");
    let (sound, from) = (Sound { rate: WIDE, samples }, second as f64 / 100.0);
    let pure = sound.tone(HERTZ, from + 0.05, from + 0.95);
    ensure!(pure > 0.9, "the tone after the pause is as it was: {pure:.2}");
    ramal.end()?;
    stage.clear()
}
