//! A phone of others, both ways, judged by what it hears.
use crate::{house, stage};
use anyhow::{Context, Result, ensure};
use std::{path::PathBuf, time::Duration};
use testkit::{
    baresip::Baresip,
    phone::Line,
    sound::{self, Sound},
    stage::Stage,
};

/// Louder than this is sound; a phone line's silence is near 0.
pub(crate) const SOUND: f64 = 200.0;

/// A tone of 40 s in a file; longer than any call here.
pub(crate) fn tone(hertz: f64, stage: &Stage) -> Result<PathBuf> {
    let file = stage.folder().join(format!("tone-{hertz}.wav"));
    sound::write(&file, &sound::tone(hertz, 40.0, 8_000))?;
    Ok(file)
}

#[test]
fn baresip_calls_and_hears_the_greeting() -> Result<()> {
    let (mut stage, ramal) = house()?;
    let folder = stage.folder().to_owned();
    // Silence on its side, so that nothing interrupts the greeting.
    let quiet = folder.join("quiet.wav");
    sound::write(&quiet, &Sound { rate: 8_000, samples: vec![0; 8_000 * 40] })?;
    let phone = Baresip::call(&ramal.uri("demo"), &quiet, 6, &mut stage.ports, &folder)?;
    let recorded = phone.finish(Duration::from_secs(30))?;
    ensure!(recorded.heard.seconds() > 3.0, "{} s recorded", recorded.heard.seconds());
    let speech = recorded.heard.sounding(SOUND);
    ensure!(speech > 0.8, "the greeting was heard: {speech:.2} s of sound");
    ramal.end()?;
    stage.clear()
}

#[test]
fn ramal_calls_baresip_and_both_hear_each_other() -> Result<()> {
    both_hear("PCMU")
}

#[test]
fn ramal_and_baresip_hear_each_other_in_g722() -> Result<()> {
    both_hear("G722")
}

#[test]
fn ramal_and_baresip_hear_each_other_in_opus() -> Result<()> {
    both_hear("opus")
}

#[test]
fn ramal_and_baresip_hear_each_other_in_l16() -> Result<()> {
    both_hear("L16/16000")
}

/// The share of this tone in the quarter of a second that has most of it: a busy machine loses packets here and there.
fn clearest(sound: &Sound, hertz: f64) -> f64 {
    let quarters = (0..(sound.seconds() * 4.0) as u32).map(|n| f64::from(n) / 4.0);
    quarters.map(|at| sound.tone(hertz, at, at + 0.25)).fold(0.0, f64::max)
}

/// A call of ours to baresip in this codec: each hears the other's tone.
fn both_hear(codec: &str) -> Result<()> {
    let mut stage = stage()?;
    let folder = stage.folder().to_owned();
    let (theirs, ours) = (folder.join("theirs.wav"), folder.join("ours.wav"));
    sound::write(&theirs, &sound::tone(440.0, 40.0, 16_000))?;
    sound::write(&ours, &sound::tone(1_000.0, 40.0, 16_000))?;
    let phone = Baresip::answer(&theirs, &Line::default(), 9, &mut stage.ports, &folder)?;
    let recording = folder.join("call.wav");
    let uri = format!("sip:phone@{}", phone.address());
    // Whoever speaks: its tone never pauses.
    let play = format!("{}@0.5", ours.display());
    let ended = stage.run(&[
        "call",
        &uri,
        "--play",
        &play,
        "--record",
        &recording.to_string_lossy(),
        "--duration",
        "4",
        "--codecs",
        codec,
        "--json",
    ])?;
    ensure!(ended.status.success(), "ramal call: {}\n{}", ended.status, ended.lines.join("\n"));
    ensure!(ended.lines.iter().any(|line| line.contains(&format!("\"{codec}\""))), "in {codec}: {:?}", ended.lines);
    let heard = phone.finish(Duration::from_secs(30))?.heard;
    let clear = clearest(&heard, 1_000.0);
    ensure!(clear > 0.9, "baresip hears our 1,000 Hz: {clear:.2}");
    let channels = Sound::read(&recording)?;
    ensure!(channels.len() == 2, "a recording has two channels, not {}", channels.len());
    let clear = channels.iter().map(|sound| clearest(sound, 440.0)).fold(0.0, f64::max);
    ensure!(clear > 0.9, "we hear baresip's 440 Hz: {clear:.2}");
    stage.clear()
}

/// RFC 7587 §3.1.3: it asks for no packets in pauses, and hears what is said before and after one.
#[test]
fn baresip_asks_for_no_packets_in_pauses_and_hears_what_is_said_about_them() -> Result<()> {
    let mut stage = stage()?;
    let folder = stage.folder().to_owned();
    let (theirs, ours) = (folder.join("theirs.wav"), folder.join("ours.wav"));
    sound::write(&theirs, &Sound { rate: 16_000, samples: vec![0; 16_000 * 40] })?;
    let word = sound::tone(1_000.0, 1.0, 16_000).samples;
    let pause = vec![0; 16_000 * 3];
    sound::write(&ours, &Sound { rate: 16_000, samples: [word.clone(), pause, word].concat() })?;
    let line = Line { skips_silence: true, ..Line::default() };
    let phone = Baresip::answer(&theirs, &line, 12, &mut stage.ports, &folder)?;
    let uri = format!("sip:phone@{}", phone.address());
    let play = format!("{}@0.5", ours.display());
    let ended = stage.run(&["call", &uri, "--play", &play, "--duration", "7", "--codecs", "opus", "--json"])?;
    ensure!(ended.status.success(), "ramal call: {}\n{}", ended.status, ended.lines.join("\n"));
    let sent =
        ended.lines.iter().find_map(|line| line.trim().strip_prefix("\"sent\": ")?.trim_end_matches(',').parse().ok());
    let sent: u32 = sent.context("no number of packets")?;
    // Two seconds of tones are a hundred, and seven seconds would be 350.
    ensure!((100..250).contains(&sent), "{sent} packets");
    let heard = phone.finish(Duration::from_secs(30))?.heard;
    let said = heard.sounding(SOUND);
    ensure!((1.8..2.3).contains(&said), "both words, and whole: {said:.2} s");
    ensure!(clearest(&heard, 1_000.0) > 0.9, "as they were");
    stage.clear()
}
