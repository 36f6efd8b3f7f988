//! Keys that a phone presses in several ways at once.
use super::*;

/// A frame of a key's tone, or of quiet.
fn key_frame(key: Option<char>, frame: usize) -> Vec<u8> {
    let samples = key.map_or(vec![0; 160], |key| dtmf::tone(key, SampleRate::HZ_8000, frame * 160, 160));
    g711::encode(Law::Mu, &samples)
}

/// The phone sounds each key for 100 ms and rests 100 ms; events go between its audio packets, INFO comes at the end of
/// each press. Losing some of the audio must not change what was pressed.
fn presses(keys: &str, events: bool, infos: bool, lost: &[usize]) -> Call {
    let mut call = Call::new(AudioFormat::G711(Law::Mu));
    call.session.listen_for_tones();
    for key in keys.chars() {
        let pressed = call.timestamp;
        for n in 0..10 {
            let frame = key_frame((n < 5).then_some(key), n);
            if lost.contains(&n) {
                call.phone_loses(&frame)
            } else {
                call.phone_sends(&frame)
            }
            if events && n < 8 {
                let event = dtmf::Event {
                    code: dtmf::code(key).unwrap(),
                    end: n >= 5,
                    volume: 10,
                    duration: 160 * (n as u16 + 1).min(5),
                };
                let (sequence, ssrc) = (call.sequence, call.ssrc);
                call.sequence = sequence.wrapping_add(1);
                let payload = &event.to_bytes();
                let packet = Packet { marker: n == 0, payload_type: 101, sequence, timestamp: pressed, ssrc, payload }
                    .to_bytes();
                call.receive(PHONE, &packet);
            }
            if infos && n == 5 {
                call.session.handle_info_dtmf(key, call.now);
                call.drain();
            }
        }
    }
    call
}

#[test]
fn a_press_told_by_tone_event_and_info_is_one_digit() {
    for (events, infos) in [(false, false), (true, false), (false, true), (true, true)] {
        for lost in [&[][..], &[2], &[0, 6], &[4, 5]] {
            let call = presses("1122#05", events, infos, lost);
            assert_eq!(call.digits(), "1122#05", "events {events}, INFO {infos}, lost {lost:?}");
        }
    }
}

/// A gateway takes the tone of a key out of the audio once it knows it for one, and lets in what is left of it: so many
/// frames are heard before its events and behind them.
fn leaks(call: &mut Call, key: char, (before, behind): (usize, usize)) {
    sounds(call, Some(key), before);
    let pressed = call.timestamp;
    for n in 1..=8_u16 {
        let event = dtmf::Event { code: dtmf::code(key).unwrap(), end: n > 5, volume: 10, duration: 160 * n.min(5) };
        let (sequence, ssrc, payload) = (call.sequence, call.ssrc, &event.to_bytes());
        call.sequence = sequence.wrapping_add(1);
        let packet = Packet { marker: n == 1, payload_type: 101, sequence, timestamp: pressed, ssrc, payload };
        call.receive(PHONE, &packet.to_bytes());
        call.run(PTIME);
    }
    call.timestamp = pressed.wrapping_add(8 * 160);
    sounds(call, Some(key), behind);
    sounds(call, None, 10);
}

#[test]
fn a_tone_that_leaks_before_its_events_and_behind_them_is_one_digit() {
    for before in [0, 2, 3, 5] {
        for behind in [0, 2, 3, 5] {
            let mut call = Call::new(AudioFormat::G711(Law::Mu));
            call.session.listen_for_tones();
            "5560".chars().for_each(|key| leaks(&mut call, key, (before, behind)));
            assert_eq!(call.digits(), "5560", "{before} frames before and {behind} behind");
        }
    }
}

#[test]
fn tones_are_digits_to_no_one_who_did_not_ask() {
    let mut call = Call::new(AudioFormat::G711(Law::Mu));
    (0..10).for_each(|n| call.phone_sends(&key_frame(Some('5'), n)));
    assert_eq!(call.digits(), "");
}

/// The phone sends so many frames of a key's tone, or of quiet.
fn sounds(call: &mut Call, key: Option<char>, frames: usize) {
    (0..frames).for_each(|n| call.phone_sends(&key_frame(key, n)));
}

/// A phone may send INFO with the duration, which it knows when the key is let go.
#[test]
fn info_at_the_end_of_a_tone_that_was_held_is_the_same_press() {
    for frames in [10, 60, 150] {
        let mut call = Call::new(AudioFormat::G711(Law::Mu));
        call.session.listen_for_tones();
        let told = |call: &mut Call| {
            call.session.handle_info_dtmf('5', call.now);
            call.drain();
        };
        sounds(&mut call, Some('5'), frames);
        told(&mut call);
        assert_eq!(call.digits(), "5", "held for {frames} packets");
        sounds(&mut call, None, 10);
        told(&mut call);
        assert_eq!(call.digits(), "55", "pressed again, too short for its tone to be heard");
        sounds(&mut call, None, 60);
        sounds(&mut call, Some('5'), frames);
        told(&mut call);
        assert_eq!(call.digits(), "555", "and held again");
    }
}

/// In a longer loss a key may have been let go and pressed again.
#[test]
fn a_tone_out_of_which_packets_are_lost_is_one_digit_unless_they_are_many() {
    for (lost, expected) in [(4, "5"), (5, "5"), (6, "5"), (7, "5"), (8, "5"), (10, "5"), (25, "55")] {
        let mut call = Call::new(AudioFormat::G711(Law::Mu));
        call.session.listen_for_tones();
        for n in 0..80 {
            let frame = key_frame(Some('5'), n);
            if (20..20 + lost).contains(&n) { call.phone_loses(&frame) } else { call.phone_sends(&frame) }
        }
        assert_eq!(call.digits(), expected, "{lost} packets lost");
    }
}

/// A loss like that leaves open whether the key was let go, unless events tell that it was not.
#[test]
fn a_key_that_events_tell_is_held_is_one_digit_whatever_is_lost_of_its_tone() {
    for lost in [0, 10, 25, 40] {
        let mut call = Call::new(AudioFormat::G711(Law::Mu));
        call.session.listen_for_tones();
        let pressed = call.timestamp;
        for n in 0..80_usize {
            let audio = call.packet(&key_frame(Some('5'), n));
            let event = dtmf::Event { code: 5, end: n >= 77, volume: 10, duration: 160 * (n as u16 + 1).min(77) };
            let (sequence, ssrc) = (call.sequence, call.ssrc);
            call.sequence = sequence.wrapping_add(1);
            let payload = &event.to_bytes();
            let packet = Packet { marker: n == 0, payload_type: 101, sequence, timestamp: pressed, ssrc, payload };
            if !(20..20 + lost).contains(&n) {
                call.receive(PHONE, &audio);
                call.receive(PHONE, &packet.to_bytes());
            }
            call.run(PTIME);
        }
        assert_eq!(call.digits(), "5", "{lost} packets lost");
    }
}

/// Packets of the second press that are lost as well do not fill the pause.
#[test]
fn a_phone_that_sends_nothing_between_two_presses_of_a_key_pressed_it_twice() {
    for (rest, lost) in [(7, 0), (8, 1), (10, 0), (10, 3), (20, 3), (100, 0)] {
        let mut call = Call::new(AudioFormat::G711(Law::Mu));
        call.session.listen_for_tones();
        sounds(&mut call, Some('5'), 10);
        call.run(PTIME * rest);
        call.timestamp = call.timestamp.wrapping_add(160 * rest);
        (0..lost).for_each(|n| call.phone_loses(&key_frame(Some('5'), n)));
        sounds(&mut call, Some('5'), 10);
        assert_eq!(call.digits(), "55", "{rest} packet times of nothing, and {lost} packets lost");
    }
}

/// A call whose line gives our tones back 12 dB weaker, so many packets later.
fn echoing(keys: &str, delay: usize) -> Call {
    let mut call = Call::new(AudioFormat::G711(Law::Mu));
    call.session.listen_for_tones();
    sounds(&mut call, None, 10);
    let begun = call.packets().len();
    call.session.send_tones(keys, call.now);
    for n in 0..120_usize {
        let sent = n.checked_sub(delay).and_then(|n| Some(call.packets().get(begun + n)?.1.payload.to_vec()));
        let sent = g711::decode(Law::Mu, &sent.unwrap_or_else(|| vec![0xff; 160]));
        let back: Vec<i16> = sent.iter().map(|sample| sample / 4).collect();
        call.phone_sends(&g711::encode(Law::Mu, &back));
    }
    call
}

#[test]
fn our_own_tones_that_come_back_are_not_the_callers_keys() {
    for delay in [1, 10, 28] {
        for keys in ["1", "0", "1123#D", "a"] {
            let call = echoing(keys, delay);
            let loud = |packet: &Packet<'_>| packet.payload.iter().any(|byte| *byte != 0xff);
            let sounded = call.packets().iter().filter(|(_, packet)| loud(packet)).count();
            assert_eq!(sounded, 5 * keys.len(), "{keys} went out");
            assert_eq!(call.digits(), "", "{keys}, {delay} packets later");
        }
    }
}

/// What we press is events to the peer, and tones again on an analogue line behind it.
#[test]
fn our_events_that_a_gateway_sounds_and_its_line_gives_back_are_not_the_callers_keys() {
    let mut call = Call::new(AudioFormat::G711(Law::Mu));
    call.session.listen_for_tones();
    sounds(&mut call, None, 10);
    call.session.send_dtmf("1", call.now);
    sounds(&mut call, None, 10);
    sounds(&mut call, Some('1'), 5);
    sounds(&mut call, None, 5);
    assert_eq!(call.digits(), "");
}

#[test]
fn another_key_is_the_callers_at_once_and_the_same_when_no_echo_can_come_any_more() {
    for (after, key, expected) in [(0, '2', "2"), (10, '2', "2"), (10, '1', ""), (40, '1', "1")] {
        let mut call = Call::new(AudioFormat::G711(Law::Mu));
        call.session.listen_for_tones();
        call.session.send_tones("1", call.now);
        sounds(&mut call, None, after);
        sounds(&mut call, Some(key), 5);
        sounds(&mut call, None, 5);
        assert_eq!(call.digits(), expected, "{key} after {after} packets");
    }
}

/// An echo that is passed over leaves nothing behind that would take the caller's next press for told before.
#[test]
fn an_event_of_the_callers_counts_whatever_we_sound() {
    let mut call = Call::new(AudioFormat::G711(Law::Mu));
    call.session.listen_for_tones();
    call.session.send_tones("1", call.now);
    sounds(&mut call, Some('1'), 5);
    let (sequence, timestamp, ssrc) = (call.sequence, call.timestamp, call.ssrc);
    call.sequence = sequence.wrapping_add(1);
    let payload = &dtmf::Event { code: 1, end: false, volume: 10, duration: 160 }.to_bytes();
    let packet = Packet { marker: true, payload_type: 101, sequence, timestamp, ssrc, payload };
    call.receive(PHONE, &packet.to_bytes());
    assert_eq!(call.digits(), "1");
}

/// A phone system that bridges anew while a key is held goes on with another SSRC, other numbers and other timestamps.
#[test]
fn a_key_that_is_held_while_the_stream_begins_anew_is_one_digit() {
    for (change, marked) in (1..8_u16).flat_map(|change| [(change, false), (change, true)]) {
        let mut call = Call::new(AudioFormat::G711(Law::Mu));
        for press in 0..2 {
            for n in 0..8_u16 {
                let changes = press == 0 && n == change;
                if changes {
                    (call.ssrc, call.sequence, call.timestamp) = (10, 20_000, 77_000);
                }
                let event = dtmf::Event { code: 5, end: n >= 5, volume: 10, duration: 160 * (n + 1).min(5) };
                let (sequence, timestamp, ssrc) = (call.sequence, call.timestamp, call.ssrc);
                call.sequence = sequence.wrapping_add(1);
                let (marker, payload) = (n == 0 || (changes && marked), &event.to_bytes());
                let packet = Packet { marker, payload_type: 101, sequence, timestamp, ssrc, payload };
                call.receive(PHONE, &packet.to_bytes());
                call.run(PTIME);
            }
            call.timestamp = call.timestamp.wrapping_add(8 * 160);
        }
        assert_eq!(call.digits(), "55", "two presses, another source from packet {change} on, marked {marked}");
    }
}

/// RFC 4733 §2.1 has them in one stream. Of gateways that send events under an SSRC of their own, while the audio goes on, a
/// long press is one digit, and no word of what is said meanwhile is lost.
#[test]
fn keys_told_under_an_ssrc_of_their_own_are_digits_and_leave_the_audio_as_it_is() {
    let mut call = Call::new(AudioFormat::G711(Law::Mu));
    let mut number = 500_u16;
    for frame in 0..150 {
        let audio = call.packet(&tone_frame(frame));
        call.receive(PHONE, &audio);
        // Two presses of a second each.
        let (press, n) = (frame / 75, (frame % 75) as u16);
        if n < 50 {
            let event = dtmf::Event { code: 5, end: n >= 47, volume: 10, duration: 160 * (n + 1).min(47) };
            let (marker, timestamp, payload) = (n == 0, 12_000 * (press as u32 + 1), &event.to_bytes());
            let packet = Packet { marker, payload_type: 101, sequence: number, timestamp, ssrc: 77, payload };
            call.receive(PHONE, &packet.to_bytes());
            number += 1;
        }
        call.run(PTIME);
    }
    assert_eq!(call.digits(), "55");
    assert_eq!(call.heard_bytes(), (0..150).flat_map(tone_frame).collect::<Vec<_>>());
    let stats = call.session.stats();
    assert_eq!((stats.restarts, stats.late, stats.lost, stats.malformed), (0, 0, 0, 0));
}
