//! Recordings, held against what the phone of the call recorded itself.
use crate::{
    api::{Client, token},
    openai::{self, Terms, house, question, text},
    phones::texts,
    stage,
};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use testkit::{
    process::Process,
    sound::Sound,
    stage::{Ramal, Settings, Stage},
};
use ureq::Agent;

/// How long a phone's call may take, from start to report.
const CALL: Duration = Duration::from_secs(40);

fn settings(more: &str) -> Settings {
    within("recordings", more)
}

fn within(folder: &str, more: &str) -> Settings {
    let section = format!("[recording]\nenabled = true\ndirectory = {folder:?}\n{more}");
    Settings::default().with(&section).secretary("demo", "")
}

fn speech() -> Result<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/speech/en-conf-getconfno.wav");
    Ok(file.to_str().context("a path that is UTF-8")?.to_owned())
}

/// A phone that speaks over the greeting, and records both sides itself.
fn phone(stage: &Stage, ramal: &Ramal, more: &[&str]) -> Result<Process> {
    let (uri, speech) = (ramal.uri("demo"), format!("{}@1", speech()?));
    let mut arguments = vec!["call", &uri, "--play", &speech, "--record", "phone.wav", "--duration", "6", "--json"];
    arguments.extend(more);
    Process::start("phone", &mut stage.command(&arguments))
}

/// The only record, with its recording.
fn stored(stage: &Stage, ramal: &Ramal) -> Result<Value> {
    let stored = stage.conversations(&ramal.config, 1)?;
    let [call] = &stored[..] else { bail!("one call, {} records", stored.len()) };
    Ok(call.clone())
}

fn file(stage: &Stage, call: &Value) -> Result<PathBuf> {
    let path = call["recording"]["path"].as_str().with_context(|| format!("no path: {call}"))?;
    Ok(stage.folder().join("recordings").join(path))
}

/// The milliseconds by which `late` has to be moved to lie on `early`, and how well it lies there: 1 is the same sound.
fn offset(early: &Sound, late: &Sound) -> (i64, f64) {
    const SPAN: i64 = 3_000;
    let per_ms = i64::from(early.rate) / 1_000;
    let likeness = |ms: i64| {
        let shift = ms * per_ms;
        let (mut product, mut one, mut other) = (0.0, 0.0, 0.0);
        for (n, sample) in early.samples.iter().enumerate().step_by(2) {
            let at = usize::try_from(n as i64 + shift).ok();
            let beside = f64::from(at.and_then(|at| late.samples.get(at)).copied().unwrap_or_default());
            let sample = f64::from(*sample);
            product += sample * beside;
            one += sample * sample;
            other += beside * beside;
        }
        product / (one * other).sqrt().max(1.0)
    };
    let best = (-SPAN..=SPAN).map(|ms| (ms, likeness(ms)));
    best.max_by(|one, other| one.1.total_cmp(&other.1)).unwrap_or_default()
}

/// How loud a sound is from millisecond to millisecond, about its mean: what stays of it when a phone or a recorder moves it
/// by less than a packet, as both do with packets that come late.
fn envelope(sound: &Sound) -> Sound {
    const WINDOW: f64 = 0.02;
    let count = (sound.seconds() * 1_000.0) as u32;
    let levels: Vec<f64> =
        (0..count).map(f64::from).map(|ms| sound.level(ms / 1_000.0, ms / 1_000.0 + WINDOW)).collect();
    let mean = levels.iter().sum::<f64>() / f64::from(count.max(1));
    Sound { rate: 1_000, samples: levels.iter().map(|level| (level - mean) as i16).collect() }
}

/// What is late by more than phones wait for shifts all after it.
const SLACK_MS: i64 = 160;

/// So much of that may be on one side only, on a machine that has nothing else to do: three packets.
const APART_MS: i64 = 60;

/// The share of the seconds with sound that rise and fall in the same way. Each may lie `SLACK_MS` off.
fn alike(early: &Sound, late: &Sound, offset_ms: i64) -> f64 {
    const SECOND: usize = 1_000;
    const SLACK: usize = SLACK_MS.unsigned_abs() as usize;
    let part = |sound: &Sound, from: usize, count: usize| {
        let samples = sound.samples.iter().skip(from).take(count).copied().collect();
        Sound { rate: 1_000, samples }
    };
    let rate = early.rate as usize;
    let (loud, other) = (envelope(early), envelope(late));
    let starts = (SECOND..loud.samples.len().saturating_sub(SECOND)).step_by(SECOND / 2);
    let sounding = |from: usize| Sound {
        rate: early.rate,
        samples: early.samples.iter().skip(from * rate / SECOND).take(rate).copied().collect(),
    };
    let same: Vec<bool> = starts
        .filter(|from| sounding(*from).sounding(500.0) > 0.3)
        .map(|from| {
            let beside = usize::try_from(from as i64 + offset_ms - SLACK_MS).unwrap_or_default();
            offset(&part(&loud, from, SECOND), &part(&other, beside, SECOND + 2 * SLACK)).1 > 0.9
        })
        .collect();
    same.iter().filter(|same| **same).count() as f64 / same.len().max(1) as f64
}

#[test]
fn both_sides_are_recorded_as_the_phone_spoke_and_heard_them() -> Result<()> {
    let mut stage = stage()?;
    let ramal = stage.serve(&settings(""))?;
    let ended = phone(&stage, &ramal, &[])?.wait(CALL)?;
    ensure!(ended.status.success(), "{}", ended.lines.join("\n"));
    let call = stored(&stage, &ramal)?;
    let recording = &call["recording"];
    ensure!(recording["state"] == "complete" && recording["gaps"].is_null(), "{recording}");
    ensure!(recording["sha256"].as_str().is_some_and(|hash| hash.len() == 64), "{recording}");
    let file = file(&stage, &call)?;
    ensure!(recording["bytes"] == fs::metadata(&file)?.len(), "{recording}");
    let (ours, theirs) = (Sound::read(&file)?, Sound::read(&stage.folder().join("phone.wav"))?);
    let ([caller, assistant], [spoken, heard]) = (&ours[..], &theirs[..]) else { bail!("not stereo") };
    let lasting = recording["duration_ms"].as_f64().context("a duration")? / 1_000.0;
    ensure!((caller.seconds() - lasting).abs() < 0.001 && (5.5..7.0).contains(&lasting), "{lasting} s");
    ensure!(caller.sounding(500.0) > 1.0 && assistant.sounding(500.0) > 1.0, "somebody is missing");
    let by_level = |one: &Sound, other: &Sound| offset(&envelope(one), &envelope(other));
    let (left, right) = (by_level(caller, spoken), by_level(assistant, heard));
    let alike = [alike(caller, spoken, left.0), alike(assistant, heard, right.0)];
    ensure!(alike.iter().all(|share| *share > 0.8), "of the seconds with sound {alike:?} are the same");
    ensure!((left.0 - right.0).abs() <= APART_MS, "the sides are apart: {left:?}, {right:?}");
    ramal.end()?;
    stage.clear()
}

#[test]
fn nothing_is_recorded_unless_somebody_says_so() -> Result<()> {
    let mut stage = stage()?;
    let settings = Settings::default()
        .with("[recording]\nenabled = true\ndirectory = \"recordings\"")
        .secretary("demo", "recording = false");
    let ramal = stage.serve(&settings)?;
    phone(&stage, &ramal, &[])?.wait(CALL)?;
    let call = stored(&stage, &ramal)?;
    ensure!(call["recording"].is_null() && fs::read_dir(stage.folder().join("recordings"))?.count() == 0, "{call}");
    ramal.end()?;
    stage.clear()
}

#[test]
fn opus_in_ogg() -> Result<()> {
    let mut stage = stage()?;
    let ramal = stage.serve(&settings("format = \"opus\""))?;
    phone(&stage, &ramal, &[])?.wait(CALL)?;
    let call = stored(&stage, &ramal)?;
    let bytes = fs::read(file(&stage, &call)?)?;
    ensure!(call["recording"]["state"] == "complete" && bytes.starts_with(b"OggS"), "{call}");
    ensure!((4_000..60_000).contains(&bytes.len()), "{} bytes for six seconds", bytes.len());
    ramal.end()?;
    stage.clear()
}

#[test]
fn a_pause_by_command_and_one_by_keys() -> Result<()> {
    let mut stage = stage()?;
    let mut ramal = stage.serve(&settings("pause_on_dtmf_s = 1"))?;
    let phone = phone(&stage, &ramal, &["--dtmf", "7@3.5"])?;
    let answered = ramal.process.wait_for_line("Call answered", CALL)?;
    let id =
        answered.split(" id=").nth(1).and_then(|rest| rest.split(['}', ' ']).next()).context("no id in the log")?;
    let config = ramal.config.to_string_lossy().into_owned();
    for order in ["pause", "resume"] {
        let told = stage.run(&["record", order, id, "--config", &config])?;
        ensure!(told.status.success(), "{}", told.lines.join("\n"));
        std::thread::park_timeout(Duration::from_millis(500));
    }
    let refused = stage.run(&["record", "pause", "nobody@nowhere", "--config", &config])?;
    ensure!(!refused.status.success(), "a call that is not there was paused");
    phone.wait(CALL)?;
    let call = stored(&stage, &ramal)?;
    let pauses = call["recording"]["pauses"].as_array().with_context(|| format!("no pauses: {call}"))?;
    ensure!(pauses.len() == 2, "{pauses:?}");
    for side in Sound::read(&file(&stage, &call)?)? {
        for pause in pauses {
            let at = |key: &str| pause[key].as_f64().unwrap_or_default() / 1_000.0;
            let (from, to) = (at("from_ms"), at("to_ms"));
            ensure!(to > from && side.level(from + 0.001, to - 0.001) == 0.0, "something is heard in {pause}");
        }
    }
    let transcript = call["turns"].to_string() + &call["transcript"].to_string();
    ensure!(transcript.contains("[DTMF *]") && !transcript.contains("[DTMF 7]"), "{call}");
    ramal.end()?;
    stage.clear()
}

#[test]
fn a_server_that_is_killed_leaves_what_it_recorded() -> Result<()> {
    let mut stage = stage()?;
    let settings = settings("");
    let ramal = stage.serve(&settings)?;
    let phone = phone(&stage, &ramal, &[])?;
    let recordings = stage.folder().join("recordings");
    let part = wait_for(&recordings, ".wav.part", |length| length > 2 * 32_000)?;
    let (config, sip) = (ramal.config.clone(), ramal.sip);
    drop(ramal); // SIGKILL
    let torn = Sound::read(&part)?;
    ensure!(torn.len() == 2 && torn.iter().all(|side| side.seconds() > 1.9), "{:?} s", torn[0].seconds());
    drop(phone);
    let again = stage.serve_again(&config, sip)?;
    let whole = wait_for(&recordings, ".wav", |_| true)?;
    ensure!(!part.exists() && Sound::read(&whole)?[0].seconds() >= torn[0].seconds(), "it lost something");
    let call = stored(&stage, &again)?;
    ensure!(call["outcome"] == "failed" && call["destination"] == "demo", "{call}");
    ensure!(call["end_reason"] == "the server ended in the middle of the call", "{call}");
    ensure!(call["caller_id"].as_str().is_some_and(|caller| !caller.is_empty()), "{call}");
    let recording = &call["recording"];
    ensure!(recording["state"] == "partial" && recording["bytes"] == fs::metadata(&whole)?.len(), "{call}");
    ensure!(file(&stage, &call)? == whole && recording["duration_ms"].as_u64() > Some(1_900), "{call}");
    ensure!(fs::read_dir(recordings.join(".unfinished"))?.count() == 0, "it would be finished once more");
    again.end()?;
    stage.clear()
}

/// The file below `folder` whose name ends so, once its length is right.
fn wait_for(folder: &Path, ending: &str, long_enough: impl Fn(u64) -> bool) -> Result<PathBuf> {
    let deadline = Instant::now() + CALL;
    while Instant::now() < deadline {
        let found = files(folder).into_iter().find(|file| file.to_string_lossy().ends_with(ending));
        if let Some(file) = found.filter(|file| fs::metadata(file).is_ok_and(|data| long_enough(data.len()))) {
            return Ok(file);
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    bail!("no {ending} in {}", folder.display())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn a_full_disk_ends_the_recording_and_not_the_call() -> Result<()> {
    let mut stage = stage()?;
    let disk = stage.folder().join("disk");
    fs::create_dir(&disk)?;
    // Two seconds of recording fit.
    let mount = format!("mount -t tmpfs -o size=64k tmpfs '{}'", disk.display());
    let ramal = stage.serve_after(&mount, &within("disk", ""))?;
    let ended = phone(&stage, &ramal, &[])?.wait(CALL)?;
    let report: Value = serde_json::from_str(&ended.lines.join("\n")).context("a report")?;
    let received = report["received"].as_u64().context("packets")?;
    ensure!(received >= 290 && report["lost"] == 0, "frames are missing: {report}");
    let call = stored(&stage, &ramal)?;
    ensure!(call["recording"]["state"] == "partial", "{call}");
    ensure!(call["recording"]["problem"].as_str().is_some_and(|why| why.contains("space")), "{call}");
    ramal.end()?;
    stage.clear()
}

/// The model pauses the recording, speaks in the pause, and goes on recording. What it says arrives no faster than it is
/// heard, so that each tool comes when the words before it were heard.
#[test]
fn the_announcement_is_heard_and_what_is_said_while_the_assistant_pauses_is_in_no_file() -> Result<()> {
    let mut stage = stage()?;
    let script = r#"
burst = 1.0
caller = ["I pay by card."]
[[replies]]
say = { tone_hz = 700, ms = 1500 }
transcript = "I pause the recording."
calls = [{ name = "pause_recording" }]
[[replies]]
say = { tone_hz = 1100, ms = 3000 }
transcript = "Your card is 4111."
calls = [{ name = "resume_recording" }]
[[replies]]
say = { tone_hz = 1900, ms = 1500 }
transcript = "That was all."
"#;
    let recording =
        "[recording]\nenabled = true\ndirectory = \"recordings\"\nannouncement = \"This call is recorded.\"\n";
    let terms = Terms { secretary: "recording_pause = true", more: recording, ..Terms::default() };
    let (_provider, ramal) = house(script, terms, &mut stage)?;
    let said = text(&question());
    let (_, sides) = openai::call(&stage, &ramal, &["--play", &said, "--duration", "20"])?;
    let call = stored(&stage, &ramal)?;
    let heard = sides.get(1).context("two channels")?;
    let ours = Sound::read(&file(&stage, &call)?)?;
    let kept = ours.get(1).context("two channels")?;
    let announced = texts(&call).first().is_some_and(|text| text.starts_with("This call is recorded. Welcome"));
    let voice = |sound: &Sound| {
        (0..100).filter(|n| sound.level(f64::from(*n) * 0.02, f64::from(*n) * 0.02 + 0.02) > 500.0).count()
    };
    ensure!(announced && voice(heard) > 40 && voice(kept) > 40, "{call}: {} {}", voice(heard), voice(kept));
    let seconds_of = |sound: &Sound, hertz: f64| {
        let steps = (0..(sound.seconds() * 10.0) as u32).map(f64::from);
        steps.filter(|n| sound.tone(hertz, n * 0.1, n * 0.1 + 0.1) > 0.9).count()
    };
    for (hertz, everywhere) in [(700.0, true), (1_100.0, false), (1_900.0, true)] {
        let (heard, kept) = (seconds_of(heard, hertz), seconds_of(kept, hertz));
        ensure!(heard >= 12, "the phone hears {hertz} Hz: {heard}\n{}", ramal.process);
        ensure!(if everywhere { kept >= 10 } else { kept <= 4 }, "of {heard} the file has {kept} at {hertz} Hz");
    }
    let pauses = call["recording"]["pauses"].as_array().with_context(|| format!("no pause: {call}"))?;
    ensure!(pauses.len() == 1, "{pauses:?}");
    let at = |key: &str| pauses[0][key].as_f64().unwrap_or_default() / 1_000.0;
    ensure!(at("to_ms") - at("from_ms") > 2.0, "{pauses:?}");
    for side in &ours {
        ensure!(side.level(at("from_ms") + 0.001, at("to_ms") - 0.001) == 0.0, "something is in the pause");
    }
    ensure!(texts(&call).contains(&"[not recorded]") && !call.to_string().contains("4111"), "{call}");
    ramal.end()?;
    stage.clear()
}

/// Where a sound is this tone: the beginning of each tenth of a second.
fn tenths(sound: &Sound, hertz: f64) -> Vec<f64> {
    let all = (0..(sound.seconds() * 10.0) as u32).map(|n| f64::from(n) * 0.1);
    all.filter(|from| sound.tone(hertz, *from, from + 0.1) > 0.9).collect()
}

/// What the API tells of the only conversation, in its order.
fn told_by_the_api(client: &Client) -> Result<Vec<String>> {
    let found = client.conversation()?;
    let id = found["conversation_uuid"].as_str().context("a UUID")?;
    let whole = client.json(&format!("/v1/conversations/{id}?domain=demo.example"))?;
    let turns = whole["transcript"].as_array().with_context(|| format!("no transcript: {whole}"))?;
    Ok(turns.iter().filter_map(|turn| turn["text"].as_str()).map(str::to_owned).collect())
}

/// The caller speaks over the notice before 0.1 s for each of its letters were heard: they are answered, then it is
/// said again, and of what they said before they had heard all of it the file has nothing.
#[test]
fn a_notice_that_was_cut_is_heard_again_and_the_caller_is_in_the_file_from_then_on() -> Result<()> {
    let mut stage = stage()?;
    let script = r#"
caller = ["Stop.", "I am still here."]
greeting = { say = { tone_hz = 700, ms = 6000 }, transcript = "This call is recorded. Welcome to the test line." }
replies = [
    { say = { tone_hz = 1100, ms = 1500 }, transcript = "Yes?" },
    { say = { tone_hz = 1900, ms = 2500 }, transcript = "This call is recorded." },
    { say = { tone_hz = 2500, ms = 1000 }, transcript = "Good." },
]
"#;
    let http = stage.ports.address()?;
    let recording =
        "[recording]\nenabled = true\ndirectory = \"recordings\"\nannouncement = \"This call is recorded.\"\n";
    let more = format!("{recording}[api]\nlisten = \"{http}\"\n");
    let (provider, ramal) = house(script, Terms { more: &more, ..Terms::default() }, &mut stage)?;
    let (over, later) = (format!("{}@1.2", text(&question())), format!("{}@12", text(&question())));
    let (_, sides) = openai::call(&stage, &ramal, &["--play", &over, "--play", &later, "--duration", "17"])?;
    let call = stored(&stage, &ramal)?;
    let ours = Sound::read(&file(&stage, &call)?)?;
    let ([caller, assistant], [spoken, heard]) = (&ours[..], &sides[..]) else { bail!("not stereo") };

    let (cut, again) = (tenths(heard, 700.0).len(), tenths(heard, 1_900.0).len());
    ensure!((1..22).contains(&cut), "of the first notice 22 tenths would do, {cut} were heard: {call}");
    ensure!((20..=25).contains(&again), "the second was heard whole: {again} tenths of 25\n{}", ramal.process);
    let asked = openai::said(&provider, "conversation.item.create");
    let asked = asked.iter().filter(|item| item.to_string().contains("nothing else: This call is recorded.")).count();
    ensure!(asked == 1, "the provider was asked for it once, not {asked} times");

    let told = tenths(assistant, 1_900.0).last().context("the notice is not in the file")? + 0.1;
    ensure!(caller.level(0.0, told - 0.1) == 0.0, "something of the caller's is in the file before {told:.1} s");
    let (all, kept) = (spoken.sounding(500.0), caller.sounding(500.0));
    ensure!(all > 1.8 && (0.4..0.6).contains(&(kept / all)), "of {all:.2} s they spoke the file has {kept:.2} s");

    let (agent, token) = (Agent::new_with_defaults(), token(&stage, &ramal.config)?);
    let turns = told_by_the_api(&Client { agent, url: format!("http://{http}"), token })?;
    let last = |begins: &str| turns.iter().rposition(|turn| turn.starts_with(begins));
    let order = ["Stop.", "Yes?", "This call is recorded.", "[told of the recording", "I am still"].map(last);
    ensure!(order.iter().all(Option::is_some) && order.is_sorted(), "{order:?}: {turns:?}");
    let log = ramal.end()?;
    ensure!(log.iter().any(|line| line.contains("has not heard that the call is recorded")), "{}", log.join("\n"));
    stage.clear()
}

/// Every write to the file hangs in the kernel, as on a disk that does not answer; the call goes on as if there were no disk.
#[test]
fn a_disk_that_hangs_delays_no_frame() -> Result<()> {
    let mut stage = stage()?;
    let ramal = stage.serve(&settings(""))?;
    let id = ramal.process.id().to_string();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-p", &id, "-e", "trace=pwrite64", "-e", "inject=pwrite64:delay_enter=60s"]);
    let mut hanging = Process::start("strace", &mut strace)?;
    hanging.wait_for_line("attached", CALL)?;
    let ended = phone(&stage, &ramal, &[])?.wait(CALL)?;
    let part = wait_for(&stage.folder().join("recordings"), ".wav.part", |length| length == 0)?;
    let report: Value = serde_json::from_str(&ended.lines.join("\n")).context("a report")?;
    let received = report["received"].as_u64().context("packets")?;
    ensure!(received >= 290 && report["lost"] == 0, "frames are missing: {report}");
    hanging.terminate()?;
    hanging.wait(CALL)?;
    // The disk answers again before the record is given up: nothing of the call is missing.
    let call = stored(&stage, &ramal)?;
    ensure!(
        !part.exists() && call["recording"]["state"] == "complete" && call["recording"]["gaps"].is_null(),
        "{call}"
    );
    ramal.end()?;
    stage.clear()
}
