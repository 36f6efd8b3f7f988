//! The caller turns to another codec in mid-call.
use super::*;
use crate::{
    audio::Frame,
    codec::{Decoder, Encoder},
};
use std::f64::consts::TAU;

const WIDE: SampleRate = SampleRate::HZ_24000;
const TONE: f64 = 700.0;

/// A phone that may turn to any of these, under its number.
fn agreed_on(others: &[(u8, Codec)]) -> Call {
    let mut config = config(AudioFormat::Pcm(WIDE), vad::Engine::Off);
    config.media.others = others.to_vec();
    Call::with(config)
}

fn tone(rate: SampleRate, length: Duration) -> Vec<i16> {
    let wave = |n: usize| (8_000.0 * (TAU * TONE * n as f64 / f64::from(rate.hz())).sin()) as i16;
    (0..rate.samples_in(length)).map(wave).collect()
}

/// The phone sends half a second of a tone in this codec.
fn says(call: &mut Call, payload_type: u8, codec: Codec) {
    let mut encoder = Encoder::new(codec, opus::Receiver::default()).unwrap();
    let rate = codec.sample_rate();
    for frame in tone(rate, ms(500)).chunks(rate.samples_in(PTIME)) {
        let payload = encoder.encode(frame).unwrap();
        let (sequence, timestamp, ssrc) = (call.sequence, call.timestamp, call.ssrc);
        call.sequence = sequence.wrapping_add(1);
        call.timestamp = timestamp.wrapping_add(codec.ticks_in(PTIME));
        let packet = Packet { marker: false, payload_type, sequence, timestamp, ssrc, payload: &payload };
        call.receive(PHONE, &packet.to_bytes());
        call.run(PTIME);
    }
}

/// The phone presses a key for 100 ms, and tells it by events of this number and clock.
fn presses(call: &mut Call, key: char, payload_type: u8, clock: u32) {
    let (pressed, frame) = (call.timestamp, clock / 50);
    for n in 1..=8_u32 {
        let duration = (n.min(5) * frame) as u16;
        let event = dtmf::Event { code: dtmf::code(key).unwrap(), end: n > 5, volume: 10, duration };
        let (sequence, ssrc) = (call.sequence, call.ssrc);
        call.sequence = sequence.wrapping_add(1);
        let payload = &event.to_bytes();
        let packet = Packet { marker: n == 1, payload_type, sequence, timestamp: pressed, ssrc, payload };
        call.receive(PHONE, &packet.to_bytes());
        call.run(PTIME);
    }
    call.timestamp = pressed.wrapping_add(8 * frame);
}

/// Share of the power of `samples` that is at [`TONE`].
fn purity(samples: &[i16], rate: SampleRate) -> f64 {
    let (mut re, mut im, mut power) = (0.0, 0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let angle = TAU * TONE * n as f64 / f64::from(rate.hz());
        re += f64::from(*sample) * angle.cos();
        im += f64::from(*sample) * angle.sin();
        power += f64::from(*sample).powi(2);
    }
    2.0 * (re * re + im * im) / (power * samples.len() as f64)
}

/// The last 300 ms that went up.
fn lately(call: &Call) -> f64 {
    let heard = call.heard_samples(WIDE);
    purity(&heard[heard.len() - WIDE.samples_in(ms(300))..], WIDE)
}

#[test]
fn rfc3264_7_the_caller_may_turn_to_any_codec_of_its_answer_and_back() {
    let others = [(8, Codec::Pcma), (9, Codec::G722), (96, Codec::L16Wide), (97, Codec::Opus)];
    let mut call = agreed_on(&others);
    for (payload_type, codec) in [(0, Codec::Pcmu)].into_iter().chain(others).chain([(0, Codec::Pcmu)]) {
        says(&mut call, payload_type, codec);
        assert!(lately(&call) > 0.9, "{codec}: {}", lately(&call));
        assert!(call.session.stats().jitter < ms(3), "{codec}: {:?}", call.session.stats().jitter);
    }
    let heard = WIDE.duration_of(call.heard_samples(WIDE).len());
    assert!(heard.abs_diff(ms(3_000)) < ms(30), "as long as it lasted: {heard:?}");
    let stats = call.session.stats();
    assert_eq!((stats.malformed, stats.lost, stats.restarts, stats.codec_errors), (0, 0, 0, 0));
    assert!(call.packets().iter().all(|(_, packet)| packet.payload_type == 0), "what we send stays as it was");
}

/// What is lost is counted since the source's first packet, whatever clocks its codecs have.
#[test]
fn rfc3550_6_4_1_a_turn_to_another_clock_forgets_no_loss() {
    let mut call = agreed_on(&[(97, Codec::Opus)]);
    says(&mut call, 0, Codec::Pcmu);
    (0..5).for_each(|_| call.phone_loses(&[0xff; 160]));
    says(&mut call, 97, Codec::Opus);
    says(&mut call, 0, Codec::Pcmu);
    let (_, receiver) = call.session.stream.reception().unwrap();
    assert_eq!((receiver.lost(), receiver.expected(), receiver.received()), (5, 80, 75));
    assert_eq!(call.session.stats().lost, 5);
    let heard = WIDE.duration_of(call.heard_samples(WIDE).len());
    assert!(heard.abs_diff(ms(1_600)) < ms(30), "as long as it lasted: {heard:?}");
}

/// What is lost right before a turn was said in the codec before it.
#[test]
fn a_loss_at_a_turn_is_filled_in_the_codec_before_it() {
    for (payload_type, codec) in [(97, Codec::Opus), (8, Codec::Pcma), (9, Codec::G722)] {
        let mut call = agreed_on(&[(payload_type, codec)]);
        says(&mut call, 0, Codec::Pcmu);
        (0..3).for_each(|_| call.phone_loses(&[0xff; 160]));
        says(&mut call, payload_type, codec);
        let stats = call.session.stats();
        assert_eq!((stats.lost, stats.concealed, stats.silence), (3, ms(60), ms(0)), "{codec}");
        let heard = WIDE.duration_of(call.heard_samples(WIDE).len());
        assert!(heard.abs_diff(ms(1_060)) < ms(25), "{codec}: as long as it lasted, and not {heard:?}");
    }
}

/// Nothing is built anew for each packet of such a peer, and each decoder knows the past of its own codec.
#[test]
fn a_caller_who_alternates_from_packet_to_packet_is_heard_by_the_same_decoders() {
    let mut call = agreed_on(&[(9, Codec::G722), (96, Codec::L16Wide)]);
    let mut encoders = [(9, Codec::G722), (96, Codec::L16Wide)]
        .map(|(number, codec)| (number, codec, Encoder::new(codec, opus::Receiver::default()).unwrap()));
    // Whole periods of the tone in each packet: every codec hears a tone without a break.
    let wave = |n: usize| (8_000.0 * (TAU * TONE * n as f64 / 16_000.0).sin()) as i16;
    let frame: Vec<i16> = (0..320).map(wave).collect();
    for n in 0..100_u32 {
        let (payload_type, _, encoder) = &mut encoders[n as usize % 2];
        let payload = encoder.encode(&frame).unwrap();
        let (sequence, ssrc, payload_type) = (call.sequence, call.ssrc, *payload_type);
        call.sequence = sequence.wrapping_add(1);
        let packet = Packet { marker: false, payload_type, sequence, timestamp: n * 160, ssrc, payload: &payload };
        call.receive(PHONE, &packet.to_bytes());
        call.run(PTIME);
    }
    // One of the codecs delays by 1.4 ms.
    assert!(lately(&call) > 0.98, "{}", lately(&call));
}

#[test]
fn a_codec_nobody_agreed_on_is_not_heard() {
    let mut call = agreed_on(&[(9, Codec::G722)]);
    says(&mut call, 0, Codec::Pcmu);
    says(&mut call, 8, Codec::Pcma);
    assert_eq!(call.session.stats().malformed, 25);
    assert!(call.session.stats().silence > ms(200), "nothing was heard of it");
}

/// RFC 3264 §8.3.2 keeps a number's meaning; a switch that changes the phone behind it may not.
#[test]
fn the_number_of_the_codec_before_may_be_that_of_keys_in_a_new_answer() {
    let mut call = agreed_on(&[]);
    let wide = Negotiated { payload_type: PayloadType::same(96), ..media(Codec::L16Wide, Direction::SendRecv) };
    call.session.renegotiate(wide, call.now);
    let events = TelephoneEvent { payload_type: PayloadType::same(96), clock: 8_000 };
    let narrow = Negotiated { telephone_event: Some(events), ..media(Codec::Pcmu, Direction::SendRecv) };
    call.session.renegotiate(narrow, call.now);
    assert_eq!([0, 96].map(|number| call.session.codec_of(number)), [Some(Codec::Pcmu), None]);
}

#[test]
fn rfc3264_8_a_new_answer_changes_both_ways_and_what_overlaps_is_told_by_its_number() {
    let mut call = agreed_on(&[]);
    says(&mut call, 0, Codec::Pcmu);
    call.session.renegotiate(media(Codec::G722, Direction::SendRecv), call.now);
    let before = call.packets().len();
    says(&mut call, 0, Codec::Pcmu);
    assert!(lately(&call) > 0.9, "the phone has not turned yet: {}", lately(&call));
    says(&mut call, 9, Codec::G722);
    assert!(lately(&call) > 0.9, "{}", lately(&call));
    assert!(call.packets()[before..].iter().all(|(_, packet)| packet.payload_type == 9));
    assert_eq!(call.session.stats().malformed, 0);
}

#[test]
fn rfc3264_8_any_codec_may_become_any_other_and_both_are_heard() {
    let agreed = |codec: Codec| {
        let number = codec.static_payload_type().unwrap_or(match codec {
            Codec::Opus => 96,
            Codec::L16Narrow => 97,
            _ => 98,
        });
        Negotiated { payload_type: PayloadType::same(number), ..media(codec, Direction::SendRecv) }
    };
    let pairs = Codec::ALL.into_iter().flat_map(|from| Codec::ALL.map(|to| (from, to)));
    for (from, to) in pairs.filter(|(from, to)| from != to) {
        let (before, after) = (agreed(from), agreed(to));
        let numbers = (before.payload_type.sent, after.payload_type.sent);
        let mut call = Call::with(Config { media: before, ..config(AudioFormat::Pcm(WIDE), vad::Engine::Off) });
        let said = Audio::Pcm(Frame { rate: WIDE, samples: tone(WIDE, ms(1_500)) });
        call.session.play(UtteranceId(1), &said, call.now);
        says(&mut call, numbers.0, from);
        call.session.renegotiate(after, call.now);
        let turned = call.packets().len();
        says(&mut call, numbers.1, to);
        assert!(lately(&call) > 0.9, "{from} to {to}, up: {}", lately(&call));
        let heard = WIDE.duration_of(call.heard_samples(WIDE).len());
        assert!(heard.abs_diff(ms(1_000)) < ms(30), "{from} to {to}: as long as it lasted, and not {heard:?}");
        let stats = call.session.stats();
        let wrong = (stats.malformed, stats.lost, stats.restarts, stats.codec_errors);
        assert_eq!(wrong, (0, 0, 0, 0), "{from} to {to}");
        let (rate, mut decoder) = (to.sample_rate(), Decoder::new(to).unwrap());
        let mut played = Vec::new();
        for (_, packet) in &call.packets()[turned..] {
            assert_eq!(packet.payload_type, numbers.1, "{from} to {to}");
            played.extend(decoder.decode(packet.payload).unwrap());
        }
        let middle = &played[rate.samples_in(ms(100))..rate.samples_in(ms(400))];
        assert!(purity(middle, rate) > 0.9, "{from} to {to}, down: {}", purity(middle, rate));
    }
}

/// Our offer has events at the clock of each codec. A phone that agreed on several sends those of the codec it is in.
#[test]
fn rfc4733_2_1_keys_are_heard_at_the_clock_of_whatever_codec_the_caller_turns_to() {
    let event = |number, clock| TelephoneEvent { payload_type: PayloadType::same(number), clock };
    let mut config = config(AudioFormat::Pcm(WIDE), vad::Engine::Off);
    config.media = Negotiated {
        payload_type: PayloadType::same(96),
        others: vec![(0, Codec::Pcmu)],
        telephone_event: Some(event(102, 48_000)),
        other_events: vec![event(101, 8_000)],
        ..media(Codec::Opus, Direction::SendRecv)
    };
    let mut call = Call::with(config);
    says(&mut call, 96, Codec::Opus);
    presses(&mut call, '1', 102, 48_000);
    says(&mut call, 0, Codec::Pcmu);
    presses(&mut call, '2', 101, 8_000);
    presses(&mut call, '2', 101, 8_000);
    call.session.send_dtmf("5", call.now);
    call.run(ms(400));
    says(&mut call, 96, Codec::Opus);
    presses(&mut call, '3', 102, 48_000);
    assert_eq!((call.digits().as_str(), call.session.stats().malformed), ("1223", 0));
    let sent = |number: u8| call.packets().iter().filter(|(_, packet)| packet.payload_type == number).count();
    assert_eq!((sent(102), sent(101)), (8, 0), "we are in Opus all the time, and so are our keys");
}

#[test]
fn the_number_of_the_codec_before_may_be_that_of_keys_at_another_clock() {
    let mut call = agreed_on(&[]);
    let wide = Negotiated { payload_type: PayloadType::same(96), ..media(Codec::L16Wide, Direction::SendRecv) };
    call.session.renegotiate(wide, call.now);
    let events = vec![TelephoneEvent { payload_type: PayloadType::same(96), clock: 48_000 }];
    let narrow = Negotiated { other_events: events, ..media(Codec::Pcmu, Direction::SendRecv) };
    call.session.renegotiate(narrow, call.now);
    assert_eq!([0, 96].map(|number| call.session.codec_of(number)), [Some(Codec::Pcmu), None]);
    assert_eq!([101, 96].map(|number| call.session.event_clock(number)), [Some(8_000), Some(48_000)]);
}

/// G.722 follows its encoder bit by bit: a decoder that begins afresh in the middle is off for a while.
#[test]
fn another_provider_goes_on_with_what_the_decoder_knows() {
    let mut config = config(AudioFormat::Pcm(WIDE), vad::Engine::Off);
    config.media = media(Codec::G722, Direction::SendRecv);
    let mut call = Call::with(config);
    let mut encoder = Encoder::new(Codec::G722, opus::Receiver::default()).unwrap();
    let mut decoder = Decoder::new(Codec::G722).unwrap();
    let rate = Codec::G722.sample_rate();
    let mut expected = Vec::new();
    for (n, sequence) in (0..50_usize).zip(0..) {
        if n == 25 {
            call.session.feed(AudioFormat::Pcm(rate));
            call.events.clear();
            expected.clear();
        }
        let wave = |n: usize| (8_000.0 * (TAU * TONE * n as f64 / f64::from(rate.hz())).sin()) as i16;
        let samples: Vec<i16> = (n * 320..(n + 1) * 320).map(wave).collect();
        let payload = encoder.encode(&samples).unwrap();
        expected.extend(decoder.decode(&payload).unwrap());
        let timestamp = u32::from(sequence) * 160;
        let packet = Packet { marker: false, payload_type: 9, sequence, timestamp, ssrc: 9, payload: &payload };
        call.receive(PHONE, &packet.to_bytes());
        call.run(PTIME);
    }
    assert_eq!(call.heard_samples(rate), expected);
}
