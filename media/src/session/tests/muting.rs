//! What goes up of our own voice where the phone sends it back, and of a caller who speaks over it.
use super::*;
use crate::{audio::Frame, echo::Policy, recording::Blank, testing};

const PACKET: usize = 160;
/// The way of the echo: 120 ms.
const DELAY: usize = 960;
const LAW: AudioFormat = AudioFormat::G711(Law::Mu);

/// What the phone sent, packet by packet, what went up of each, and what was recorded of it.
struct Line {
    sent: Vec<Vec<i16>>,
    up: Vec<Audio>,
    taped: Vec<i16>,
}

fn rms(samples: &[i16]) -> f64 {
    (samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / samples.len().max(1) as f64).sqrt()
}

/// A recording, as loud as every other: its sounding parts at -22 dB.
fn speech(name: &str) -> Vec<i16> {
    let (_, samples) = testing::speech().into_iter().find(|(found, _)| found == name).expect("a recording");
    let levels: Vec<f64> = samples.chunks(80).map(rms).collect();
    let audible = levels.iter().copied().fold(0.0, f64::max) / 20.0;
    let loud: Vec<f64> = levels.into_iter().filter(|level| *level > audible).map(|level| level * level).collect();
    let gain = 2_603.0 / (loud.iter().sum::<f64>() / loud.len() as f64).sqrt();
    samples.into_iter().map(|sample| (f64::from(sample) * gain) as i16).collect()
}

/// The assistant, with as much to say as that.
fn ours(packets: usize) -> Vec<i16> {
    let sentence = [speech("pt-rhvoice-leticia-0"), vec![0; 2_400]].concat();
    sentence.into_iter().cycle().take(packets * PACKET).collect()
}

fn noise(level: u64, packets: usize) -> Vec<i16> {
    let mut random = Random::new(3);
    (0..packets * PACKET).map(|_| random.below(2 * level + 1) as i16 - level as i16).collect()
}

fn with(uplink: AudioFormat, policy: Policy) -> Config {
    Config { echo: policy, ..config(uplink, vad::Engine::Silero) }
}

/// Lets the assistant say `ours` while the phone sends `theirs` and, 12 dB weaker, what it was sent. Of its packets
/// these are lost.
fn line(config: Config, ours: &[i16], theirs: &[i16], lost: impl Fn(usize) -> bool) -> Line {
    let mut call = Call::with(config);
    call.session.record(Blank::Silence);
    let speech = Audio::Pcm(Frame { rate: SampleRate::HZ_8000, samples: ours.to_vec() });
    call.session.play(UtteranceId(1), &speech, call.now);
    let mut line = Line { sent: Vec::new(), up: Vec::new(), taped: Vec::new() };
    let mut played = vec![0_i16; DELAY];
    for (index, theirs) in theirs.chunks_exact(PACKET).enumerate() {
        let echo = played.get(index * PACKET..).unwrap_or_default().iter().chain(std::iter::repeat(&0));
        let sent: Vec<i16> = theirs.iter().zip(echo).map(|(said, echo)| said.saturating_add(echo / 4)).collect();
        let payload = g711::encode(Law::Mu, &sent);
        if lost(index) {
            call.phone_loses(&payload);
        } else {
            call.phone_sends(&payload);
        }
        line.sent.push(sent);
        let left: Vec<i16> = call.packets().into_iter().flat_map(|(_, it)| g711::decode(Law::Mu, it.payload)).collect();
        call.sent.clear();
        played.extend(left);
        line.up.extend(call.events.drain(..).filter_map(|(_, event)| match event {
            Event::Audio(up) => Some(up),
            _ => None,
        }));
        while let Some(block) = call.session.poll_recorded() {
            line.taped.extend(block.samples.iter().step_by(2));
        }
    }
    line
}

fn is_silent(audio: &Audio) -> bool {
    match audio {
        Audio::Pcm(frame) => frame.samples.iter().all(|sample| *sample == 0),
        Audio::G711 { law, bytes } => bytes.iter().all(|byte| *byte == g711::silence(*law)),
    }
}

fn silent_share(up: &[&Audio]) -> f64 {
    assert!(up.len() > 50, "nothing was judged");
    up.iter().filter(|up| is_silent(up)).count() as f64 / up.len() as f64
}

/// What went up, from a second on, of packets in which an echo can be heard.
fn echoes(line: &Line) -> Vec<&Audio> {
    let all = line.sent.iter().zip(&line.up).skip(50);
    all.filter(|(sent, _)| rms(sent) > 100.0).map(|(_, up)| up).collect()
}

#[test]
fn an_echo_goes_up_as_silence_once_its_way_is_known() {
    for uplink in [LAW, AudioFormat::G711(Law::A), AudioFormat::Pcm(SampleRate::HZ_24000)] {
        let line = line(with(uplink, Policy::Mute), &ours(400), &vec![0; 400 * PACKET], |_| false);
        assert!(line.up.iter().all(|up| up.format() == uplink));
        assert_eq!(line.up.len(), 400);
        let share = silent_share(&echoes(&line));
        assert!(share > 0.9, "{uplink:?}: {share}");
        let length: Duration = line.up.iter().map(Audio::duration).sum();
        assert!(length.abs_diff(PTIME * 400) < ms(10), "as much as came: {length:?}");
    }
}

#[test]
fn an_echo_goes_up_as_it_came_where_that_is_wanted() {
    for (policy, engine) in [(Policy::Pass, vad::Engine::Silero), (Policy::Mute, vad::Engine::Off)] {
        let config = Config { echo: policy, ..config(LAW, engine) };
        let line = line(config, &ours(200), &vec![0; 200 * PACKET], |_| false);
        for (index, (sent, up)) in line.sent.iter().zip(&line.up).enumerate() {
            assert_eq!(*up, mu(g711::encode(Law::Mu, sent)), "packet {index}, {policy:?}, {engine:?}");
        }
    }
}

#[test]
fn an_echo_is_recorded_as_it_came() {
    let line = line(with(LAW, Policy::Mute), &ours(300), &vec![0; 300 * PACKET], |_| false);
    let taped = line.sent.iter().zip(&line.up).zip(line.taped.chunks_exact(PACKET));
    let muted: Vec<_> = taped.filter(|((sent, up), _)| is_silent(up) && rms(sent) > 100.0).collect();
    assert!(muted.len() > 50, "nothing was judged");
    for ((sent, _), taped) in muted {
        assert_eq!(taped, g711::decode(Law::Mu, &g711::encode(Law::Mu, sent)));
    }
}

/// What is made up for a lost packet repeats what came before.
#[test]
fn what_stands_in_for_a_lost_piece_of_an_echo_is_not_heard_either() {
    let lost = |index: usize| index % 25 == 24;
    let line = line(with(LAW, Policy::Mute), &ours(500), &vec![0; 500 * PACKET], lost);
    let muted = |index: usize| line.up.get(index).is_some_and(is_silent) && rms(&line.sent[index]) > 100.0;
    let made_up: Vec<&Audio> =
        (50..490).filter(|index| lost(*index) && muted(*index - 1)).filter_map(|index| line.up.get(index)).collect();
    let silent = made_up.iter().filter(|up| is_silent(up)).count();
    assert!(made_up.len() > 5 && silent * 10 >= made_up.len() * 8, "{silent} of {}", made_up.len());
}

#[test]
fn a_caller_who_speaks_over_an_echo_goes_up() {
    let (mut voiced, mut up) = (0, 0);
    for name in ["en-agent-pass", "pt-kokoro-dora-4", "en-piper-joe-2"] {
        let theirs = [vec![0; 150 * PACKET], speech(name)].concat();
        let line = line(with(LAW, Policy::Mute), &ours(600), &theirs, |_| false);
        let levels: Vec<f64> = theirs.chunks_exact(PACKET).map(rms).collect();
        let audible = levels.iter().copied().fold(0.0, f64::max) / 10.0;
        for (_, audio) in levels.iter().zip(&line.up).filter(|(level, _)| **level > audible) {
            voiced += 1;
            up += usize::from(!is_silent(audio));
        }
    }
    assert!(voiced > 100 && up * 10 >= voiced * 9, "{up} of {voiced}");
}

/// At -50 dB, where each packet could be told from silence, but is no louder than what the guard excuses.
#[test]
fn the_noise_of_a_line_goes_up_as_it_came_unless_the_assistant_speaks() {
    let noise = noise(180, 400);
    for (spoken, from) in [(0, 0), (200, 240)] {
        let line = line(with(LAW, Policy::Mute), &ours(spoken), &noise, |_| false);
        assert!(spoken == 0 || line.up.iter().any(is_silent), "nothing was taken for echo");
        for (index, (sent, up)) in line.sent.iter().zip(&line.up).enumerate().skip(from) {
            assert_eq!(*up, mu(g711::encode(Law::Mu, sent)), "packet {index} after {spoken} of hers");
        }
    }
}
