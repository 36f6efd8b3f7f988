//! Comfort noise both ways (RFC 3389).
use super::*;
use crate::sdp::AgreedNoise;

const PCM: AudioFormat = AudioFormat::Pcm(SampleRate::HZ_8000);

fn call(engine: vad::Engine, comfort_noise: Option<AgreedNoise>) -> Call {
    let mut config = config(PCM, engine);
    config.media.comfort_noise = comfort_noise;
    Call::with(config)
}

fn under(number: u8, sent: bool) -> Option<AgreedNoise> {
    Some(AgreedNoise { payload_type: PayloadType { sent: number, received: number }, sent })
}

/// The phone tells how it sounds, and says nothing from here on.
fn rests(call: &mut Call, payload_type: u8, level: u8) {
    let (sequence, timestamp, ssrc) = (call.sequence, call.timestamp, call.ssrc);
    call.sequence = sequence.wrapping_add(1);
    let packet = Packet { marker: false, payload_type, sequence, timestamp, ssrc, payload: &[level, 100, 120] };
    call.receive(PHONE, &packet.to_bytes());
}

/// Decibels relative to overload.
fn level(samples: &[i16]) -> f64 {
    let power = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / samples.len() as f64;
    20.0 * (power.sqrt() / 32_768.0).log10()
}

#[test]
fn rfc3389_4_noise_stands_for_a_pause_until_the_caller_speaks_again() {
    for (number, agreed) in [(13, under(13, false)), (97, under(97, false)), (13, None)] {
        let mut call = call(vad::Engine::Off, agreed);
        (0..25).for_each(|n| call.phone_sends(&tone_frame(n)));
        rests(&mut call, number, 60);
        call.run(ms(1_000));
        call.timestamp = call.timestamp.wrapping_add(8_000);
        (25..50).for_each(|n| call.phone_sends(&tone_frame(n)));
        let heard = call.heard_samples(SampleRate::HZ_8000);
        assert!(heard.len().abs_diff(16_000) <= 160, "as long as it lasted: {}", heard.len());
        let pause = level(&heard[4_800..11_200]);
        assert!((pause + 60.0).abs() < 1.0, "{pause}");
        assert!(level(&heard[..3_900]) > -20.0 && level(&heard[heard.len() - 3_900..]) > -20.0);
        let times = call.events.iter().filter(|(_, event)| matches!(event, Event::Audio(_))).map(|(at, _)| *at);
        let times: Vec<Duration> = times.collect();
        let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(longest <= Some(ms(40)), "a pause that was told of is not waited for: {longest:?}");
        let stats = call.session.stats();
        assert_eq!((stats.lost, stats.concealed, stats.malformed, stats.timestamp_jumps), (0, Duration::ZERO, 0, 0));
    }
}

/// Without an agreement on a number it means nothing.
#[test]
fn noise_under_a_number_of_nobodys_is_not_heard() {
    let mut call = call(vad::Engine::Off, under(13, false));
    rests(&mut call, 97, 60);
    assert_eq!(call.session.stats().malformed, 1);
}

/// A phone may say that its pauses are as loud as speech. To the recogniser of a provider they are not.
#[test]
fn loud_noise_is_no_speech() {
    let mut call = call(vad::Config::default().engine, None);
    (0..10).for_each(|_| call.phone_sends(&g711::encode(Law::Mu, &[0; 160])));
    for _ in 0..10 {
        rests(&mut call, 13, 0);
        call.run(ms(200));
        call.timestamp = call.timestamp.wrapping_add(1_600);
    }
    let speech = call.events.iter().filter(|(_, event)| matches!(event, Event::Speech(_))).count();
    assert_eq!(speech, 0);
    let heard = call.heard_samples(SampleRate::HZ_8000);
    let pause = level(&heard[heard.len() - 8_000..]);
    assert!((pause + 50.0).abs() < 1.0, "no louder than -50 dBov: {pause}");
}

/// What the phone says of its pauses is of the call that it put on hold, and no more when that goes on.
#[test]
fn noise_ends_with_a_hold_and_is_not_told_in_one() {
    let hold = media(Codec::Pcmu, Direction::RecvOnly);
    for told_in_the_hold in [false, true] {
        let mut call = call(vad::Engine::Off, None);
        (0..10).for_each(|n| call.phone_sends(&tone_frame(n)));
        if told_in_the_hold {
            call.session.renegotiate(hold.clone(), call.now);
            rests(&mut call, 13, 60);
        } else {
            rests(&mut call, 13, 60);
            call.run(ms(200));
            call.session.renegotiate(hold.clone(), call.now);
        }
        call.run(ms(200));
        call.session.renegotiate(media(Codec::Pcmu, Direction::SendRecv), call.now);
        let before = call.heard_samples(SampleRate::HZ_8000).len();
        call.run(ms(500));
        let heard = call.heard_samples(SampleRate::HZ_8000);
        let noisy = heard[before + 480..].iter().filter(|sample| **sample != 0).count();
        assert!(heard.len() > before + 3_000 && noisy == 0, "{told_in_the_hold}: {noisy} of {}", heard.len() - before);
    }
}

/// How often a silence was warned of, and ended the call.
fn silences(call: &Call) -> (usize, usize) {
    let warned = call.events.iter().filter(|(_, event)| matches!(event, Event::Silent(_))).count();
    let ended = call.events.iter().filter(|(_, event)| matches!(event, Event::MediaTimeout(_))).count();
    (warned, ended)
}

/// A report of the phone's every ten seconds, as many times, and nothing else.
fn reports(call: &mut Call, times: usize) {
    for _ in 0..times {
        call.run(Duration::from_secs(10));
        // A receiver report of nothing (RFC 3550 §6.4.2).
        call.session.handle_rtcp(address("192.0.2.1:4001"), &[0x80, 201, 0, 1, 0, 0, 0, 9], call.now);
        call.drain();
    }
}

/// RFC 3389 §4: a phone may say once that its caller rests. It lives as long as its reports come.
#[test]
fn a_phone_whose_caller_rests_is_not_gone_while_its_reports_come() {
    let mut call = call(vad::Engine::Off, under(13, false));
    (0..10).for_each(|n| call.phone_sends(&tone_frame(n)));
    rests(&mut call, 13, 60);
    reports(&mut call, 10);
    assert_eq!(silences(&call), (0, 0));
    call.run(Duration::from_secs(29));
    assert_eq!(silences(&call), (0, 0));
    call.run(Duration::from_secs(2));
    assert_eq!(silences(&call), (0, 1));
}

/// Who takes the call over may have no way for RTP, and his reports arrive all the same.
#[test]
fn that_a_caller_rests_is_not_said_of_who_is_at_another_address() {
    let mut call = call(vad::Engine::Off, under(13, false));
    (0..10).for_each(|n| call.phone_sends(&tone_frame(n)));
    rests(&mut call, 13, 60);
    call.run(ms(200));
    let elsewhere = Negotiated { remote: address("192.0.2.1:4010"), ..call.session.media.clone() };
    call.session.renegotiate(elsewhere, call.now);
    reports(&mut call, 4);
    assert_eq!(silences(&call), (1, 1));
}

/// Who goes on after a hold hears silence before it is told of noise again: its phone may have forgotten.
#[test]
fn a_hold_ends_in_silence_that_is_sent() {
    let mut call = call(vad::Engine::Off, under(13, true));
    call.run(ms(1_500));
    let (talk, hold) = (call.session.media.clone(), Direction::RecvOnly);
    call.session.renegotiate(Negotiated { direction: hold, ..talk.clone() }, call.now);
    call.run(ms(500));
    let before = call.packets().len();
    call.session.renegotiate(talk, call.now);
    call.run(ms(500));
    let numbers: Vec<u8> = call.packets()[before..].iter().map(|(_, packet)| packet.payload_type).collect();
    assert_eq!(numbers, [[0; 9].as_slice(), &[13]].concat());
}

/// RFC 3389 §4, RFC 3551 §4.1: time goes on in timestamps, and what ends the pause is marked.
#[test]
fn rfc3389_4_where_it_is_sent_our_pauses_are_a_packet_a_second_and_speech_after_them_is_marked() {
    let mut call = call(vad::Engine::Off, under(13, true));
    call.run(ms(3_300));
    let packets = call.packets();
    let noise: Vec<&(Duration, Packet<'_>)> = packets.iter().filter(|(_, packet)| packet.payload_type == 13).collect();
    assert_eq!((packets.len(), noise.len()), (9 + 4, 4), "silence first, then noise every second");
    assert!(noise.iter().all(|(_, packet)| packet.payload == [70] && !packet.marker));
    assert!(packets.windows(2).all(|pair| pair[1].1.sequence == pair[0].1.sequence.wrapping_add(1)));
    let ticks = noise[1].1.timestamp.wrapping_sub(noise[0].1.timestamp);
    assert_eq!((ticks, noise[1].0 - noise[0].0), (8_000, ms(1_000)));
    let last = packets[packets.len() - 1].1.timestamp;
    let before = packets.len();
    let speech = Audio::Pcm(crate::audio::Frame { rate: SampleRate::HZ_8000, samples: vec![3_000; 1_600] });
    call.session.play(UtteranceId(1), &speech, call.now);
    call.session.finish(UtteranceId(1), call.now);
    call.run(ms(400));
    let packets = call.packets();
    let (at, first) = packets[before];
    assert!(first.marker && first.payload_type == 0);
    let since_last = SampleRate::HZ_8000.duration_of(first.timestamp.wrapping_sub(last) as usize);
    assert_eq!(since_last, at - packets[before - 1].0);
    let after: Vec<u8> = packets[before..].iter().map(|(_, packet)| packet.payload_type).collect();
    assert_eq!(after, [[0; 10].as_slice(), &[0; 9], &[13]].concat()[..after.len()], "speech, silence, noise");
}

#[test]
fn without_being_asked_for_every_packet_time_has_its_packet() {
    for agreed in [None, under(13, false)] {
        let mut call = call(vad::Engine::Off, agreed);
        call.run(ms(1_990));
        let packets = call.packets();
        assert_eq!(packets.len(), 100);
        assert!(packets.iter().all(|(_, packet)| packet.payload_type == 0));
    }
}

#[test]
fn keys_in_a_pause_are_followed_by_silence_again() {
    let mut call = call(vad::Engine::Off, under(13, true));
    call.run(ms(1_000));
    let before = call.packets().len();
    call.session.send_tones("5", call.now);
    call.run(ms(1_000));
    let packets = call.packets();
    let numbers: Vec<u8> = packets[before..].iter().map(|(_, packet)| packet.payload_type).collect();
    let spoken = numbers.iter().take_while(|number| **number == 0).count();
    assert!(spoken >= 15 && numbers.get(spoken) == Some(&13), "tone and silence, then noise: {numbers:?}");
}
