//! SRTP keys in mid-call, by SIP and packets of our own making: a phone asks for the server's offer (RFC 3261 §14.2)
//! and gets new keys with it. What the server heard is in its recording.
use crate::{
    stage,
    wire::{FROM, Wire, far, tag},
};
use anyhow::{Context, Result, ensure};
use media::{
    Law,
    codec::g711,
    srtp::{Master, Receiver, Sender, Suite},
};
use std::{
    collections::BTreeSet,
    f64::consts::TAU,
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};
use testkit::{
    sound::Sound,
    stage::{Ramal, Settings, Stage},
};

const PTIME: Duration = Duration::from_millis(20);
/// The one suite of the phone, and the fourth of ours.
const SUITE: Suite = Suite::AesCm128Sha1_80;
/// Everybody on this machine has to encrypt, and is recorded.
const HOUSE: &str = "[[peers]]\nname = \"all\"\naddresses = [\"127.0.0.0/8\"]\nsrtp = \"required\"\n\
                     [recording]\nenabled = true\ndirectory = \"recordings\"\n";
/// The server is to refresh the session, after 45 s.
const TIMER: &str = "Supported: timer\nSession-Expires: 90;refresher=uas\n";

/// A phone in a call over SRTP.
struct Phone {
    wire: Wire,
    tag: String,
    port: u16,
    rtp: UdpSocket,
    /// Where the server listens for RTP.
    far: SocketAddr,
    began: Instant,
    sequence: u16,
    timestamp: u32,
    /// Under the key that the server was told last.
    sender: Sender,
    /// What came by RTP, as it came.
    heard: Vec<Vec<u8>>,
}

/// A line of a description that has a key.
#[derive(Debug)]
struct Line {
    tag: String,
    suite: String,
    key: String,
}

impl Phone {
    /// Calls with its key 1; the server's key, too.
    fn dial(stage: &mut Stage, ramal: &Ramal) -> Result<(Self, String)> {
        let port = stage.ports.run(2)?.0;
        let rtp = UdpSocket::bind(("127.0.0.1", port))?;
        rtp.set_nonblocking(true)?;
        let wire = Wire::new(ramal.sip)?;
        let invite = wire.request("INVITE", "", "1 INVITE", FROM, &description(port, 1, "1", &key(1)))?;
        wire.send(&timed(&invite))?;
        let answer = wire.receive()?;
        ensure!(answer.starts_with("SIP/2.0 200"), "{answer}");
        let tag = tag(&answer)?;
        wire.send(&wire.request("ACK", &tag, "1 ACK", FROM, "")?)?;
        let ours = lines(&answer).into_iter().next().context("a key")?.key;
        let phone = Self {
            wire,
            tag,
            port,
            rtp,
            far: far(&answer)?,
            began: Instant::now(),
            sequence: 1,
            timestamp: 0,
            sender: Sender::new(&master(&key(1))?),
            heard: Vec::new(),
        };
        Ok((phone, ours))
    }

    /// Sends a request of the dialog, and gives its final response.
    fn ask(&self, request: &str, cseq: &str) -> Result<String> {
        self.wire.send(request)?;
        let wanted = format!("CSeq: {cseq}");
        loop {
            // A 200 that was not acknowledged at once comes again.
            let response = self.wire.receive()?;
            if response.lines().any(|line| line == wanted) {
                return Ok(response);
            }
        }
    }

    fn request(&self, method: &str, cseq: &str, body: &str) -> Result<String> {
        self.wire.request(method, &self.tag, cseq, FROM, body)
    }

    /// A re-INVITE without an offer: the keys that the server offers.
    fn offered(&self) -> Result<Vec<Line>> {
        let invite = self.request("INVITE", "2 INVITE", "")?.replace("Content-Type: application/sdp\n", "");
        let ok = self.ask(&timed(&invite), "2 INVITE")?;
        ensure!(ok.starts_with("SIP/2.0 200"), "{ok}");
        Ok(lines(&ok))
    }

    /// The ACK of it, with this answer.
    fn acknowledge(&self, answer: &str) -> Result<()> {
        let ack = self.request("ACK", "2 ACK", answer)?;
        let has_none = answer.is_empty();
        self.wire.send(&if has_none { ack.replace("Content-Type: application/sdp\n", "") } else { ack })
    }

    /// 20 ms of a tone, in the clear.
    fn packet(&self, hertz: f64) -> Vec<u8> {
        let wave = |n: u32| ((TAU * hertz * f64::from(n) / 8_000.0).sin() * 8_000.0) as i16;
        let samples: Vec<i16> = (self.timestamp..self.timestamp + 160).map(wave).collect();
        let (sequence, timestamp) = (self.sequence.to_be_bytes(), self.timestamp.to_be_bytes());
        let head = [&[0x80, 0][..], &sequence, &timestamp, &[0x12, 0x34, 0x56, 0x78]].concat();
        [head, g711::encode(Law::Mu, &samples)].concat()
    }

    /// Two seconds of a tone, packet by packet. A forger sends theirs ahead of each.
    fn whistle(&mut self, hertz: f64, mut forger: Option<(Sender, f64)>) -> Result<()> {
        let begin = Instant::now();
        // While it says nothing its clock goes on.
        self.timestamp = self.timestamp.max(8 * u32::try_from(self.began.elapsed().as_millis())?);
        for n in 1..=100 {
            if let Some((sender, hertz)) = &mut forger {
                let mut forged = self.packet(*hertz);
                sender.protect_rtp(&mut forged)?;
                self.rtp.send_to(&forged, self.far)?;
            }
            let mut packet = self.packet(hertz);
            self.sender.protect_rtp(&mut packet)?;
            self.rtp.send_to(&packet, self.far)?;
            (self.sequence, self.timestamp) = (self.sequence + 1, self.timestamp + 160);
            self.listen_until(begin + PTIME * n)?;
        }
        Ok(())
    }

    /// Keeps what comes until then.
    fn listen_until(&mut self, at: Instant) -> Result<()> {
        std::thread::park_timeout(at.saturating_duration_since(Instant::now()));
        let mut buffer = [0; 2_048];
        loop {
            match self.rtp.recv(&mut buffer) {
                Ok(length) => self.heard.push(buffer.get(..length).unwrap_or_default().to_vec()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What came since then and is genuine under this key, laid bare.
    fn opened(&self, since: usize, key: &str) -> Result<Vec<Vec<u8>>> {
        let mut receiver = Receiver::new(&master(key)?);
        let packets = self.heard.iter().skip(since).cloned();
        Ok(packets.filter_map(|mut packet| receiver.unprotect_rtp(&mut packet).ok().map(|()| packet)).collect())
    }

    /// Whether all that came since then is under this key.
    fn hears_only(&self, since: usize, key: &str) -> Result<()> {
        let (all, opened) = (self.heard.len() - since, self.opened(since, key)?.len());
        ensure!(all > 60 && opened == all, "{opened} of {all} packets are under the key");
        Ok(())
    }

    fn hang_up(&self) -> Result<()> {
        let ok = self.ask(&self.request("BYE", "9 BYE", "")?, "9 BYE")?;
        ensure!(ok.starts_with("SIP/2.0 200"), "{ok}");
        Ok(())
    }
}

/// A key of the phone's, as it stands in a description.
fn key(byte: u8) -> String {
    base64_simd::STANDARD.encode_to_string(vec![byte; SUITE.master_length()])
}

fn master(key: &str) -> Result<Master> {
    let bytes = base64_simd::STANDARD.decode_to_vec(key).ok().context("a key in base64")?;
    Master::new(SUITE, &bytes).context("a key as long as the suite has them")
}

fn description(port: u16, version: u32, tag: &str, key: &str) -> String {
    let suite = SUITE.name();
    format!(
        "v=0\no=- 1 {version} IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/SAVP 0\n\
         a=crypto:{tag} {suite} inline:{key}\n"
    )
}

/// The keys in a message.
fn lines(message: &str) -> Vec<Line> {
    let keys = message.lines().filter_map(|line| {
        let (tag, rest) = line.strip_prefix("a=crypto:")?.split_once(' ')?;
        let (suite, key) = rest.split_once(" inline:")?;
        Some(Line { tag: tag.into(), suite: suite.into(), key: key.into() })
    });
    keys.collect()
}

/// An INVITE that asks for the session timer.
fn timed(invite: &str) -> String {
    invite.replace("Contact: ", &format!("{TIMER}Contact: "))
}

fn house() -> Result<(Stage, Ramal)> {
    let mut stage = stage()?;
    let settings = Settings::default().with(HOUSE).media("media_timeout_s = 600").secretary("demo", "");
    let ramal = stage.serve(&settings)?;
    Ok((stage, ramal))
}

/// For how many tenths of a second the server heard the phone whistle so.
fn recorded(stage: &Stage, ramal: &Ramal, hertz: f64) -> Result<usize> {
    let stored = stage.conversations(&ramal.config, 1)?;
    let path = stored[0]["recording"]["path"].as_str().with_context(|| format!("no recording: {}", stored[0]))?;
    let sides = Sound::read(&stage.folder().join("recordings").join(path))?;
    let caller = sides.first().context("no channel")?;
    let tenths = (0..(caller.seconds() * 10.0) as u32).map(|n| f64::from(n) / 10.0);
    Ok(tenths.filter(|at| caller.tone(hertz, *at, at + 0.1) > 0.9).count())
}

/// How many packets this server did not believe.
fn unauthentic(stage: &Stage, ramal: &Ramal) -> Result<u32> {
    let config = ramal.config.to_string_lossy();
    let metrics = stage.run(&["metrics", "--config", &config])?.lines;
    let count = metrics.iter().find_map(|line| line.strip_prefix("ramal_srtp_unauthentic_total "));
    Ok(count.with_context(|| metrics.join("\n"))?.parse()?)
}

/// RFC 4568 §7.1.4: new keys both ways with the answer in the ACK; until then the old ones are in use, after it they
/// are worth nothing.
#[test]
fn an_offer_that_was_asked_for_has_fresh_keys_and_both_are_heard_under_those_of_the_answer() -> Result<()> {
    let (mut stage, ramal) = house()?;
    let (mut phone, old) = Phone::dial(&mut stage, &ramal)?;
    phone.whistle(700.0, None)?;
    phone.hears_only(0, &old)?;

    let offered = phone.offered()?;
    let distinct: BTreeSet<&str> = offered.iter().map(|line| &*line.key).chain([&*old]).collect();
    ensure!(offered.len() == Suite::ALL.len() && distinct.len() == offered.len() + 1, "{old}, then {offered:?}");
    let waiting = phone.heard.len();
    phone.whistle(700.0, None)?;
    phone.hears_only(waiting, &old).context("before the answer")?;

    let fresh = offered.iter().find(|line| line.suite == SUITE.name()).context("no suite that the phone has")?;
    let answered = phone.heard.len();
    phone.acknowledge(&description(phone.port, 2, &fresh.tag, &key(2)))?;
    let former = std::mem::replace(&mut phone.sender, Sender::new(&master(&key(2))?));
    phone.whistle(1_100.0, None)?;
    let late = phone.opened(answered, &old)?.len();
    ensure!(late < 25, "{late} packets were under the old key");
    phone.hears_only(answered + late, &fresh.key).context("after the answer")?;

    // Her answer to key 1 is heard, too.
    let spoken = phone.heard.len();
    let info = phone.request("INFO", "3 INFO", "Signal=1\nDuration=100\n")?;
    let ok = phone.ask(&info.replace("application/sdp", "application/dtmf-relay"), "3 INFO")?;
    ensure!(ok.starts_with("SIP/2.0 200"), "{ok}");
    // So often that none is dropped.
    for _ in 0..50 {
        phone.listen_until(Instant::now() + 5 * PTIME)?;
    }
    let words = phone.opened(spoken, &fresh.key)?;
    let loud = |packet: &&Vec<u8>| g711::decode(Law::Mu, &packet[12..]).iter().any(|sample| *sample > 1_000);
    let words = words.iter().filter(loud).count();
    ensure!(words > 25, "{words} packets with her voice");

    // A tone of 0 Hz is silence.
    phone.whistle(0.0, Some((former, 1_900.0)))?;
    phone.hang_up()?;
    let [before, after, forged] = [700.0, 1_100.0, 1_900.0].map(|hertz| recorded(&stage, &ramal, hertz));
    let (before, after, forged) = (before?, after?, forged?);
    ensure!(before >= 32 && after >= 16 && forged == 0, "of 40, 20 and 0 tenths: {before}, {after}, {forged}");
    let unbelieved = unauthentic(&stage, &ramal)?;
    // The first under the new key may have overtaken the ACK.
    ensure!((95..125).contains(&unbelieved), "of 100 packets under the old key: {unbelieved}");
    ramal.end()?;
    stage.clear()
}

/// RFC 3261 §14.1: what came to nothing leaves all as it was, and what the server refreshes the session with has the
/// key in use (RFC 4028 §7.4).
#[test]
fn an_ack_without_an_answer_leaves_the_keys_as_they_were_and_a_refresh_tells_those() -> Result<()> {
    let (mut stage, ramal) = house()?;
    let (mut phone, old) = Phone::dial(&mut stage, &ramal)?;
    let offered = phone.offered()?;
    ensure!(offered.len() == Suite::ALL.len() && offered.iter().all(|line| line.key != old), "{old}, then {offered:?}");
    phone.acknowledge("")?;
    phone.whistle(700.0, None)?;
    phone.hears_only(0, &old).context("after the ACK")?;

    let deadline = Instant::now() + Duration::from_secs(60);
    let refresh = loop {
        phone.listen_until(Instant::now())?;
        match phone.wire.receive() {
            Ok(message) if message.starts_with("INVITE ") => break message,
            Ok(_) => {}
            Err(error) => ensure!(Instant::now() < deadline, "no refresh: {error:#}"),
        }
    };
    let told = lines(&refresh);
    ensure!(told.len() == 1 && told[0].key == old, "{old} is in use, and told was {told:?}");
    let kept = |line: &&str| ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name));
    let head = refresh.lines().filter(kept).collect::<Vec<_>>().join("\n");
    let us = refresh.split(' ').nth(1).context("a Request-URI")?;
    // Word for word what it said before.
    let ours = description(phone.port, 1, "1", &key(1));
    let length = ours.replace('\n', "\r\n").len();
    phone.wire.send(&format!(
        "SIP/2.0 200 OK\n{head}\nContact: <{us}>\nSession-Expires: 90;refresher=uac\n\
         Content-Type: application/sdp\nContent-Length: {length}\n\n{ours}"
    ))?;
    let ack = phone.wire.receive()?;
    ensure!(ack.starts_with("ACK "), "{ack}");
    phone.listen_until(Instant::now())?;
    let refreshed = phone.heard.len();
    phone.whistle(1_100.0, None)?;
    phone.hears_only(refreshed, &old).context("after the refresh")?;
    phone.hang_up()?;
    for hertz in [700.0, 1_100.0] {
        let heard = recorded(&stage, &ramal, hertz)?;
        // What came late spoils some, or was made up for and is heard all the same.
        ensure!((16..=24).contains(&heard), "{heard} tenths of 20 at {hertz} Hz");
    }
    ensure!(unauthentic(&stage, &ramal)? == 0, "{}", ramal.process);
    ramal.end()?;
    stage.clear()
}
