//! Keys in every way there is, from the caller and from the assistant, and the menu of a call whose provider is dead.
use crate::{
    openai::{Terms, call, house},
    phones::texts,
    stage,
};
use anyhow::{Context, Result, ensure};
use media::{Law, SampleRate, codec::g711, dtmf};
use serde_json::Value;
use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};
use testkit::{
    ear::Ear,
    sipp::Sipp,
    stage::{Settings, Stage},
};

const PATIENCE: Duration = Duration::from_secs(20);
const PTIME: Duration = Duration::from_millis(20);

/// A packet of the phone that presses a key: its fields, and what it is about.
struct Stream<'a> {
    ear: &'a Ear,
    server: SocketAddr,
    sequence: u16,
}

impl Stream<'_> {
    fn send(&mut self, kind: u8, timestamp: u32, payload: &[u8]) -> Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut packet = vec![0x80, kind];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(7_u32.to_be_bytes());
        packet.extend(payload);
        self.ear.send(&packet, self.server)
    }

    /// Four seconds; half a second into them the key sounds for 100 ms, and is told by events between the packets of
    /// audio (RFC 4733 §2.5.1.2, §2.5.1.4).
    fn press(&mut self, key: char) -> Result<()> {
        const FROM: u32 = 25;
        let code = dtmf::code(key).context("no key")?;
        let begin = Instant::now();
        for n in 0..200_u32 {
            let pressed = n.checked_sub(FROM).filter(|frame| *frame < 8);
            let sounding = pressed.filter(|frame| *frame < 5);
            let silence = || vec![0; 160];
            let samples =
                sounding.map_or_else(silence, |frame| dtmf::tone(key, SampleRate::HZ_8000, frame as usize * 160, 160));
            self.send(0, n * 160, &g711::encode(Law::Mu, &samples))?;
            if let Some(frame) = pressed {
                let duration = u16::try_from((frame + 1).min(5) * 160)?;
                let event = dtmf::Event { code, end: frame >= 5, volume: 10, duration };
                let marked = if frame == 0 { 0x80 } else { 0 };
                self.send(101 | marked, FROM * 160, &event.to_bytes())?;
            }
            thread::park_timeout((begin + PTIME * (n + 1)).saturating_duration_since(Instant::now()));
        }
        Ok(())
    }
}

/// The scenario sends INFO half a second after its ACK.
#[test]
fn one_press_by_event_info_and_tone_at_once_is_one_digit() -> Result<()> {
    let mut stage = stage()?;
    let ramal = stage.serve(&Settings::default().with("[media]\ninband_dtmf = true\n").secretary("demo", ""))?;
    let folder = stage.folder().to_owned();
    let port = stage.ports.run(2)?.0;
    let ear = Ear::open(port)?;
    let sipp = Sipp::new("uac_info_dtmf").to(ramal.sip).audio(port).key("digit", "1");
    let run = sipp.start(&mut stage.ports, &folder)?;
    ear.wait(1, PATIENCE)?;
    let server = ear.heard().first().context("a packet")?.from;
    Stream { ear: &ear, server, sequence: 0 }.press('1')?;
    run.finish().with_context(|| ramal.process.to_string())?;
    let stored = stage.conversations(&ramal.config, 1)?;
    let digits = texts(&stored[0]).into_iter().filter(|text| text.starts_with("[DTMF")).collect::<Vec<_>>();
    ensure!(digits == ["[DTMF 1]"], "one press, told three ways: {digits:?}");
    ramal.end()?;
    stage.clear()
}

/// The keys of a record's turns.
fn keys(stage: &Stage, config: &std::path::Path, count: usize) -> Result<Vec<String>> {
    let stored = stage.conversations(config, count)?;
    let newest = stored.last().context("no record")?;
    Ok(texts(newest).into_iter().filter(|text| text.starts_with("[DTMF")).map(str::to_owned).collect())
}

#[test]
fn a_phone_systems_keys_are_believed_in_its_way_and_in_no_other() -> Result<()> {
    for (way, codecs) in
        [("auto", "opus"), ("rfc4733", "opus"), ("rfc4733", "L16/16000"), ("info", "PCMU"), ("inband", "G722")]
    {
        let mut stage = stage()?;
        let rtp = format!("dtmf = \"{way}\"");
        let settings = Settings::default().media(&rtp).media("codecs = [\"PCMU\", \"G722\", \"opus\", \"L16/16000\"]");
        let ramal = stage.serve(&settings.secretary("demo", ""))?;
        let pressed = |by: &str| {
            let arguments = ["--dtmf", "1@1", "--dtmf-by", by, "--codecs", codecs, "--duration", "3"];
            stage.run(&[&["call", &ramal.uri("demo")][..], &arguments].concat())
        };
        let ended = pressed(way)?;
        ensure!(ended.status.success(), "{way}: {}", ended.lines.join("\n"));
        let heard = keys(&stage, &ramal.config, 1)?;
        ensure!(heard == ["[DTMF 1]"], "{way} over {codecs}: {heard:?}\n{}", ramal.process);
        if way != "auto" {
            pressed(if way == "info" { "rfc4733" } else { "info" })?;
            let heard = keys(&stage, &ramal.config, 2)?;
            ensure!(heard.is_empty(), "{way} only: {heard:?}");
        }
        ramal.end()?;
        stage.clear()?;
    }
    Ok(())
}

#[test]
fn the_assistant_presses_keys_and_the_phone_hears_them() -> Result<()> {
    let script = r##"
[greeting]
say = { tone_hz = 700, ms = 500 }
calls = [{ name = "press_keys", arguments = { keys = "9#" } }]
"##;
    for (way, codec) in [("rfc4733", "opus"), ("rfc4733", "PCMU"), ("info", "PCMU"), ("inband", "PCMU")] {
        let mut stage = stage()?;
        let rtp = format!(
            "[[peers]]\nname = \"all\"\naddresses = [\"127.0.0.0/8\"]\ndtmf = \"{way}\"\ncodecs = [\"PCMU\", \"opus\"]\n"
        );
        let (_provider, ramal) = house(
            script,
            Terms { secretary: "dtmf_menu = { may_press = true }", more: &rtp, ..Terms::default() },
            &mut stage,
        )?;
        let (report, _) = call(&stage, &ramal, &["--dtmf-by", way, "--codecs", codec, "--duration", "4"])?;
        ensure!(report["keys"] == "9#", "{way} over {codec}: {report}\n{}", ramal.process);
        let noted = keys(&stage, &ramal.config, 1)?;
        ensure!(noted == ["[DTMF 9# sent]"], "{noted:?}");
        ramal.end()?;
        stage.clear()?;
    }
    Ok(())
}

const MENU: &str = r#"dtmf_menu = { announcement = "For sales, press one.", options = [
    { keys = "1", action = "transfer", to = "sales" }, { keys = "2", action = "say", text = "We are open from nine to five." } ] }"#;
/// The provider is gone 2.5 s into the call.
const DYING: &str = "[greeting]\nsay = { tone_hz = 700, ms = 1000 }\n[faults]\ndrop_after_ms = 2500\n";

#[test]
fn a_dead_providers_menu_is_read_by_a_voice_of_our_own_and_its_options_work() -> Result<()> {
    let mut stage = stage()?;
    let (_provider, ramal) = house(DYING, Terms { secretary: MENU, ..Terms::default() }, &mut stage)?;
    let (report, sides) = call(&stage, &ramal, &["--dtmf", "2@10", "--dtmf", "1@14", "--duration", "18"])?;
    let theirs = sides.get(1).context("two channels")?;
    let heard = |from: f64, to: f64| {
        let part = (0..((to - from) / 0.02) as u32).map(|n| from + f64::from(n) * 0.02);
        f64::from(u32::try_from(part.filter(|at| theirs.level(*at, at + 0.02) > 500.0).count()).unwrap_or_default())
            * 0.02
    };
    ensure!(heard(3.0, 10.0) > 2.0, "the notice: {:.2} s of voice\n{}", heard(3.0, 10.0), ramal.process);
    ensure!(heard(10.0, 16.0) > 0.8, "the option: {:.2} s of voice", heard(10.0, 16.0));
    ensure!(report["ended_by"].to_string().contains("us"), "the call stays: {report}");
    let stored = stage.conversations(&ramal.config, 1)?;
    let said: Vec<&str> = texts(&stored[0]);
    let notice = "Our assistant is not available at the moment. For sales, press one.";
    ensure!(said.contains(&notice) && said.contains(&"We are open from nine to five."), "{said:?}");
    // The phone takes no REFER: the caller is back, and hears the menu again.
    ensure!(said.iter().any(|text| text.starts_with("[transfer to 1000 failed")), "{said:?}");
    ramal.end()?;
    stage.clear()
}

#[test]
fn who_presses_no_key_of_a_dead_providers_menu_goes_to_the_fallback_extension() -> Result<()> {
    let mut stage = stage()?;
    let limits = "menu_deadline_s = 1\nfallback_extension = \"1000\"";
    let (_provider, ramal) = house(DYING, Terms { call: limits, secretary: MENU, ..Terms::default() }, &mut stage)?;
    let folder = stage.folder().to_owned();
    let sipp = Sipp::new("uac_transfer_asked").to(ramal.sip).patience(Duration::from_secs(40));
    sipp.run(&mut stage.ports, &folder).with_context(|| format!("{}", ramal.process))?;
    let stored = stage.conversations(&ramal.config, 1)?;
    ensure!(stored[0]["outcome"] == "transferred" && stored[0]["transfer_destination"] == "1000", "{}", stored[0]);
    let notice = "Our assistant is not available at the moment. For sales, press one.";
    let heard = |turn: &Value| turn["text"] == notice && turn["cut"] != true;
    ensure!(stored[0]["turns"].as_array().is_some_and(|turns| turns.iter().any(heard)), "{}", stored[0]);
    ramal.end()?;
    stage.clear()
}
