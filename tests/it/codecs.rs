//! What a phone may do with its codecs in mid-call, and pauses that are told of (RFC 3389), by RTP of our own making. What
//! the server heard is in its recording.
use crate::{
    stage,
    wire::{FROM, Wire, far, tag},
};
use anyhow::{Context, Result, bail, ensure};
use media::codec::{Codec, Encoder, opus};
use std::{
    f64::consts::TAU,
    net::SocketAddr,
    ops::RangeInclusive,
    time::{Duration, Instant},
};
use testkit::{
    ear::{Ear, Heard},
    sound::Sound,
    stage::{Ramal, Settings, Stage},
};

const PTIME: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(50);
/// Tenths of a second of a whole whistle: it lasts 20. It begins and ends within one, and what comes late spoils one or two.
const WHOLE: RangeInclusive<usize> = 16..=20;
/// RFC 3551 §6: comfort noise.
const NOISE: u8 = 13;

/// A phone in a call.
pub(crate) struct Phone {
    wire: Wire,
    tag: String,
    pub(crate) ear: Ear,
    /// Where the server listens for RTP.
    far: SocketAddr,
    sequence: u16,
    pub(crate) timestamp: u32,
}

impl Phone {
    /// Dials, offering these formats; lines about them may follow.
    pub(crate) fn dial(stage: &mut Stage, ramal: &Ramal, formats: &str) -> Result<Self> {
        let port = stage.ports.run(2)?.0;
        let (wire, ear) = (Wire::new(ramal.sip)?, Ear::open(port)?);
        wire.send(&wire.request("INVITE", "", "1 INVITE", FROM, &description(port, 1, formats))?)?;
        let answer = wire.receive()?;
        let phone = Self::of(wire, ear, &answer)?;
        phone.wire.send(&phone.wire.request("ACK", &phone.tag, "1 ACK", FROM, "")?)?;
        Ok(phone)
    }

    /// Dials without an offer, and answers the server's with these formats.
    fn dial_and_answer(stage: &mut Stage, ramal: &Ramal, formats: &str) -> Result<Self> {
        let port = stage.ports.run(2)?.0;
        let (wire, ear) = (Wire::new(ramal.sip)?, Ear::open(port)?);
        wire.send(&wire.request("INVITE", "", "1 INVITE", FROM, "")?.replace("Content-Type: application/sdp\n", ""))?;
        let offer = wire.receive()?;
        let phone = Self::of(wire, ear, &offer)?;
        let answer = description(port, 1, formats);
        phone.wire.send(&phone.wire.request("ACK", &phone.tag, "1 ACK", FROM, &answer)?)?;
        Ok(phone)
    }

    fn of(wire: Wire, ear: Ear, ok: &str) -> Result<Self> {
        ensure!(ok.starts_with("SIP/2.0 200"), "{ok}");
        let tag = tag(ok)?;
        Ok(Self { wire, tag, ear, far: far(ok)?, sequence: 1, timestamp: 0 })
    }

    /// A packet of this payload, whose audio is so many ticks long.
    pub(crate) fn send(&mut self, payload_type: u8, payload: &[u8], ticks: u32) -> Result<()> {
        let (sequence, timestamp) = (self.sequence.to_be_bytes(), self.timestamp.to_be_bytes());
        let head = [&[0x80, payload_type][..], &sequence, &timestamp, &[0x12, 0x34, 0x56, 0x78]].concat();
        self.ear.send(&[head, payload.to_vec()].concat(), self.far)?;
        self.sequence += 1;
        self.timestamp += ticks;
        Ok(())
    }

    /// Two seconds of a tone, in this codec under this number, packet by packet, once the server is there.
    fn whistle(&mut self, (payload_type, codec): (u8, Codec), hertz: f64) -> Result<()> {
        let rate = codec.sample_rate();
        let wave = |n: usize| ((TAU * hertz * n as f64 / f64::from(rate.hz())).sin() * 8_000.0) as i16;
        let samples: Vec<i16> = (0..rate.samples_in(Duration::from_secs(2))).map(wave).collect();
        let mut encoder = Encoder::new(codec, opus::Receiver::default())?;
        self.ear.wait(5, PATIENCE)?;
        let begin = Instant::now();
        for (n, frame) in (1..).zip(samples.chunks(rate.samples_in(PTIME))) {
            self.send(payload_type, &encoder.encode(frame)?, codec.ticks_in(PTIME))?;
            std::thread::park_timeout((begin + PTIME * n).saturating_duration_since(Instant::now()));
        }
        Ok(())
    }

    pub(crate) fn hang_up(self) -> Result<Vec<Heard>> {
        let status = self.wire.status(&self.wire.request("BYE", &self.tag, "9 BYE", FROM, "")?)?;
        ensure!(status.starts_with("SIP/2.0 200"), "{status}");
        Ok(self.ear.heard())
    }
}

fn description(port: u16, version: u32, formats: &str) -> String {
    format!(
        "v=0\no=- 1 {version} IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP {formats}\n\
         a=rtpmap:101 telephone-event/8000\n"
    )
}

/// A server that records its calls.
fn house(rtp: &str) -> Result<(Stage, Ramal)> {
    let mut stage = stage()?;
    let settings = Settings::default().with("[recording]\nenabled = true\ndirectory = \"recordings\"");
    let ramal = stage.serve(&settings.media(rtp).secretary("demo", ""))?;
    Ok((stage, ramal))
}

/// What the server heard of the caller.
fn recorded(stage: &Stage, ramal: &Ramal) -> Result<Sound> {
    let stored = stage.conversations(&ramal.config, 1)?;
    let path = stored[0]["recording"]["path"].as_str().with_context(|| format!("no recording: {}", stored[0]))?;
    Sound::read(&stage.folder().join("recordings").join(path))?.into_iter().next().context("no channel")
}

/// Where the sound is this tone and little else: its first and last tenth of a second, and how many there are.
fn whistled(sound: &Sound, hertz: f64) -> Result<(u32, u32, usize)> {
    let tenths = (sound.seconds() * 10.0) as u32;
    let at = |tenth: u32| f64::from(tenth) / 10.0;
    let pure: Vec<u32> = (0..tenths)
        .filter(|tenth| {
            let (from, to) = (at(*tenth), at(*tenth + 1));
            sound.level(from, to) > 2_000.0 && sound.tone(hertz, from, to) > 0.9
        })
        .collect();
    let [first, .., last] = pure[..] else { bail!("{hertz} Hz was not heard: {pure:?}") };
    Ok((first, last, pure.len()))
}

/// RFC 3264 §7: of several codecs in an answer any may come, and another with the next packet.
#[test]
fn a_phone_that_answered_with_several_codecs_turns_from_one_to_another() -> Result<()> {
    let (mut stage, ramal) = house("codecs = [\"PCMU\", \"PCMA\", \"G722\"]")?;
    let mut phone = Phone::dial_and_answer(&mut stage, &ramal, "0 8 9 101")?;
    let turns = [((0, Codec::Pcmu), 500.0), ((8, Codec::Pcma), 900.0), ((9, Codec::G722), 1_300.0)];
    for (format, hertz) in turns {
        phone.whistle(format, hertz)?;
    }
    let heard = phone.hang_up()?;
    ensure!(heard.len() > 100 && heard.iter().all(|packet| packet.payload_type == 0), "what we send stays");
    let sound = recorded(&stage, &ramal)?;
    let [one, two, three] = turns.map(|(_, hertz)| whistled(&sound, hertz));
    let [one, two, three] = [one?, two?, three?];
    ensure!(one.1 < two.0 && two.1 < three.0, "one after another: {one:?} {two:?} {three:?}");
    ensure!([one, two, three].iter().all(|whistle| WHOLE.contains(&whistle.2)), "whole: {one:?} {two:?} {three:?}");
    let media = stage.conversations(&ramal.config, 1)?[0]["media_quality"].take();
    ensure!(media["uplink"]["lost"] == 0, "{media}");
    ramal.end()?;
    stage.clear()
}

/// RFC 3264 §8: a new offer changes the codec both ways.
#[test]
fn a_re_invite_changes_the_codec() -> Result<()> {
    let (mut stage, ramal) = house("codecs = [\"PCMU\", \"G722\"]")?;
    let mut phone = Phone::dial(&mut stage, &ramal, "0 101")?;
    phone.whistle((0, Codec::Pcmu), 500.0)?;
    let port = phone.ear.port()?;
    let offer = description(port, 2, "9 101");
    phone.wire.send(&phone.wire.request("INVITE", &phone.tag, "2 INVITE", FROM, &offer)?)?;
    let answer = phone.wire.receive()?;
    ensure!(answer.starts_with("SIP/2.0 200") && answer.contains(" RTP/AVP 9"), "{answer}");
    phone.wire.send(&phone.wire.request("ACK", &phone.tag, "2 ACK", FROM, "")?)?;
    let turned = Instant::now();
    phone.whistle((9, Codec::G722), 1_300.0)?;
    let heard = phone.hang_up()?;
    let (before, after): (Vec<&Heard>, Vec<&Heard>) = heard.iter().partition(|packet| packet.at < turned);
    let other = |packets: &[&Heard], number: u8| packets.iter().filter(|it| it.payload_type != number).count();
    ensure!(before.len() > 30 && after.len() > 30, "{} and {} packets", before.len(), after.len());
    ensure!(other(&before, 0) <= 2 && other(&after, 9) <= 2, "the server turned with the answer");
    let ours = |pair: &[Heard]| pair[0].ssrc == pair[1].ssrc && pair[1].sequence == pair[0].sequence.wrapping_add(1);
    ensure!(heard.windows(2).all(ours), "one stream");
    let sound = recorded(&stage, &ramal)?;
    let (narrow, wide) = (whistled(&sound, 500.0)?, whistled(&sound, 1_300.0)?);
    ensure!(narrow.1 < wide.0 && WHOLE.contains(&narrow.2) && WHOLE.contains(&wide.2), "{narrow:?} {wide:?}");
    ramal.end()?;
    stage.clear()
}

/// RFC 3389 both ways: the server's silence is a packet a second, and the phone's sounds as it says.
#[test]
fn pauses_are_told_of_both_ways() -> Result<()> {
    let (mut stage, ramal) = house("comfort_noise = \"sent\"")?;
    let mut phone = Phone::dial(&mut stage, &ramal, "0 13 101")?;
    phone.whistle((0, Codec::Pcmu), 500.0)?;
    phone.send(NOISE, &[60], 160)?;
    let begin = Instant::now();
    // The greeting, and then nobody speaks.
    let told = |phone: &Phone| phone.ear.heard().iter().filter(|packet| packet.payload_type == NOISE).count();
    while told(&phone) < 4 && begin.elapsed() < PATIENCE {
        std::thread::park_timeout(PTIME);
    }
    phone.timestamp += 8 * u32::try_from(begin.elapsed().as_millis())?;
    phone.whistle((0, Codec::Pcmu), 1_300.0)?;
    let heard = phone.hang_up()?;
    let told: Vec<&Heard> = heard.iter().filter(|packet| packet.payload_type == NOISE).collect();
    ensure!(told.len() >= 3 && told.iter().all(|packet| packet.payload.len() == 1), "{} are told", told.len());
    let (second, before) = (told[2], told[1]);
    let between = heard.iter().filter(|packet| packet.at > before.at && packet.at < second.at).count();
    ensure!(between == 0 && second.sequence == before.sequence.wrapping_add(1), "nothing between: {between}");
    let ticks = second.timestamp.wrapping_sub(before.timestamp);
    ensure!((7_800..=8_200).contains(&ticks), "time goes on: {ticks}");
    let spoken = heard.iter().filter(|packet| packet.payload_type == 0).count();
    ensure!(spoken > 40, "the greeting: {spoken} packets");
    let sound = recorded(&stage, &ramal)?;
    let (first, again) = (whistled(&sound, 500.0)?, whistled(&sound, 1_300.0)?);
    let (from, to) = (f64::from(first.1) / 10.0 + 0.5, f64::from(again.0) / 10.0 - 0.5);
    let pause = sound.level(from, to);
    // -60 dBov: 33 of 32768.
    ensure!(to - from > 3.0 && (23.0..46.0).contains(&pause), "{from} s to {to} s: {pause}");
    ramal.end()?;
    stage.clear()
}
