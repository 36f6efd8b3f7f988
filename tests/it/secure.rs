//! Encrypted audio: SRTP with keys in the SDP (RFC 4568), with phones of others and our own, both ways.
use crate::{
    baresip::{SOUND, tone},
    phones::{Make, phone, texts},
    stage,
};
use anyhow::{Context, Result, ensure};
use std::{path::Path, time::Duration};
use testkit::{
    authority::Authority,
    baresip::Baresip,
    ear::Ear,
    phone::{Audio, Line},
    sipp::Sipp,
    sound::Sound,
    stage::{Settings, Stage},
};

const PATIENCE: Duration = Duration::from_secs(20);
/// Everybody on this machine has to encrypt.
const REQUIRED: &str = "[[peers]]\nname = \"all\"\naddresses = [\"127.0.0.0/8\"]\nsrtp = \"required\"\n[log]\nlevel = \"info,ramal::drivers::call_log=debug\"\n";

/// What was recorded below `folder` in a file whose name ends so.
fn recorded(folder: &Path, ending: &str) -> Result<Sound> {
    let below = std::fs::read_dir(folder)?.filter_map(|entry| std::fs::read_dir(entry.ok()?.path()).ok());
    let mut files = below.flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let file = files.find(|path| path.to_string_lossy().ends_with(ending)).context("nothing was recorded")?;
    Sound::read(&file)?.into_iter().next().context("a recording without a channel")
}

/// The greeting is heard, hold and resume are agreed on with keys, a key is understood.
fn a_phone_talks_over_srtp(make: Make, ending: &str) -> Result<()> {
    let mut stage = stage()?;
    let authority = Authority::new(stage.folder(), "house")?;
    let tls = stage.ports.address()?;
    let certified = authority.certify(stage.folder(), "ramal")?;
    let settings = Settings::default().sip(&format!("tls = [\"{tls}\"]")).with(&certified.toml()).with(REQUIRED);
    let mut ramal = stage.serve(&settings.secretary("demo", ""))?;
    let line = Line { authority: Some(authority.file), audio: Audio::Encrypted, ..Line::default() };
    let mut phone = phone(make, &line, &mut stage)?;
    phone.dial(&format!("sip:demo@{tls};transport=tls")).with_context(|| ramal.process.to_string())?;
    std::thread::park_timeout(Duration::from_secs(3));
    phone.hold()?;
    ramal.process.wait_for_line("hold=Held", PATIENCE)?;
    phone.resume()?;
    ramal.process.wait_for_line("hold=Resumed", PATIENCE)?;
    phone.press('1')?;
    ramal.process.wait_for_line("Reply", PATIENCE)?;
    phone.hang_up()?;
    let ended = ramal.process.wait_for_line("Call ended", PATIENCE).with_context(|| phone.process().to_string())?;
    let call = stage.conversations(&ramal.config, 1)?.remove(0);
    ensure!(call["outcome"] == "completed" && texts(&call).contains(&"[DTMF 1]"), "{call}");
    let suite = call["media_quality"]["crypto"].as_str().context("the record names no suite")?;
    ensure!(ended.contains(&format!("crypto=\"{suite}\"")), "{suite}: {ended}");
    drop(phone);
    let speech = recorded(stage.folder(), ending)?.sounding(SOUND);
    ensure!(speech > 0.8, "the greeting was heard: {speech:.2} s of sound");
    ramal.end()?;
    stage.clear()
}

#[test]
fn baresip_talks_over_srtp() -> Result<()> {
    a_phone_talks_over_srtp(Make::Baresip, "-dec.wav")
}

#[test]
fn linphone_talks_over_srtp() -> Result<()> {
    a_phone_talks_over_srtp(Make::Linphone, "heard.wav")
}

#[test]
fn ramal_calls_baresip_over_srtp_and_both_hear_each_other() -> Result<()> {
    let mut stage = stage()?;
    let folder = stage.folder().to_owned();
    let (theirs, ours) = (tone(440.0, &stage)?, tone(1_000.0, &stage)?);
    let line = Line { audio: Audio::Encrypted, ..Line::default() };
    let phone = Baresip::answer(&theirs, &line, 9, &mut stage.ports, &folder)?;
    let (recording, uri) = (folder.join("call.wav"), format!("sip:phone@{}", phone.address()));
    let (play, recording_name) = (format!("{}@0.5", ours.display()), recording.to_string_lossy().into_owned());
    let arguments = ["--play", &play, "--record", &recording_name, "--duration", "4", "--srtp", "--json"];
    let ended = stage.run(&[&["call", &uri][..], &arguments].concat())?;
    let said = ended.lines.join("\n");
    ensure!(ended.status.success() && said.contains("\"srtp\": \"A"), "ramal call: {}\n{said}", ended.status);
    let heard = phone.finish(Duration::from_secs(30))?.heard;
    let middle = heard.seconds() / 2.0;
    let clear = heard.tone(1_000.0, middle - 0.5, middle + 0.5);
    ensure!(clear > 0.9, "baresip hears our 1,000 Hz: {clear:.2}");
    let channels = Sound::read(&recording)?;
    let clear = channels.iter().map(|sound| sound.tone(440.0, 2.0, 3.0)).fold(0.0, f64::max);
    ensure!(clear > 0.9, "we hear baresip's 440 Hz: {clear:.2}");
    stage.clear()
}

/// Runs `ramal call` for two seconds, and gives what it printed.
fn called(stage: &Stage, uri: &str, more: &[&str]) -> Result<String> {
    let ended = stage.run(&[&["call", uri, "--duration", "2", "--json"][..], more].concat())?;
    Ok(ended.lines.join("\n"))
}

#[test]
fn a_server_that_requires_srtp_takes_no_plain_call_and_counts_what_it_does_not_believe() -> Result<()> {
    let mut stage = stage()?;
    let ramal = stage.serve(&Settings::default().with(REQUIRED).secretary("demo", ""))?;
    let said = called(&stage, &ramal.uri("demo"), &["--srtp"])?;
    ensure!(said.contains("AEAD_AES_256_GCM") && said.contains("\"first_voice_ms\": "), "{said}");
    let said = called(&stage, &ramal.uri("demo"), &[])?;
    ensure!(said.contains("488"), "{said}");
    let config = ramal.config.to_string_lossy().into_owned();
    let folder = stage.folder().to_owned();
    let port = stage.ports.run(2)?.0;
    let ear = Ear::open(port)?;
    let call = Sipp::new("uac_invite_srtp").to(ramal.sip).audio(port).start(&mut stage.ports, &folder)?;
    ear.wait(1, PATIENCE)?;
    let server = ear.heard().first().context("a packet")?.from;
    // Plain RTP from where the peer's audio must come: of this nothing is heard, and the call stays up.
    (0..500).try_for_each(|_| ear.send(&[0x80; 172], server))?;
    call.finish().with_context(|| ramal.process.to_string())?;
    let metrics = stage.run(&["metrics", "--config", &config])?.lines.join("\n");
    let count = metrics.lines().find_map(|line| line.strip_prefix("ramal_srtp_unauthentic_total "));
    ensure!(count.is_some_and(|count| count != "0"), "{metrics}");
    ramal.end()?;
    stage.clear()
}
