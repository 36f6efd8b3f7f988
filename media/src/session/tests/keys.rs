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

#[test]
fn tones_are_digits_to_no_one_who_did_not_ask() {
    let mut call = Call::new(AudioFormat::G711(Law::Mu));
    (0..10).for_each(|n| call.phone_sends(&key_frame(Some('5'), n)));
    assert_eq!(call.digits(), "");
}
