use super::*;
use crate::recording::{Blank, Block};

/// Plays a call in which the assistant is ducked and cut, the phone holds and loses packets, and the thread sleeps;
/// what the recording has, left and right, and what left as RTP.
fn recorded() -> (Vec<Block>, Call) {
    let mut call = Call::new(AudioFormat::G711(Law::Mu));
    call.session.record(Blank::Silence);
    let mut blocks = Vec::new();
    call.session.play(UtteranceId(1), &mu((0..24_000).map(|n| (n % 100) as u8).collect()), call.now);
    for n in 0..300 {
        match n {
            30 => call.session.duck(call.now),
            60 => drop(call.session.cut(call.now)),
            100 => call.session.renegotiate(media(Codec::Pcmu, Direction::Inactive), call.now),
            150 => call.session.renegotiate(media(Codec::Pcmu, Direction::SendRecv), call.now),
            200 => {
                call.now += ms(90); // the thread was away
            }
            _ => {}
        }
        match n {
            100..150 => call.run(PTIME),
            160..163 => call.phone_loses(&tone_frame(n)),
            _ => call.phone_sends(&tone_frame(n)),
        }
        blocks.extend(std::iter::from_fn(|| call.session.poll_recorded()));
    }
    call.session.end(call.now);
    let (rest, summary) = call.session.finish_recording().expect("a recording");
    blocks.extend(rest);
    let length: usize = blocks.iter().map(|block| block.samples.len() / 2).sum();
    assert_eq!(summary.duration, SampleRate::HZ_8000.duration_of(length));
    (blocks, call)
}

fn side(blocks: &[Block], channel: usize) -> Vec<i16> {
    blocks.iter().flat_map(|block| block.samples.chunks(2).map(move |pair| pair[channel])).collect()
}

#[test]
fn the_right_side_is_what_left_sample_by_sample() {
    let (blocks, call) = recorded();
    let right = side(&blocks, 1);
    let mut wire = vec![0; right.len()];
    let packets = call.packets();
    let first = packets[0].1.timestamp;
    for (_, packet) in packets {
        let at = packet.timestamp.wrapping_sub(first) as usize;
        wire[at..at + packet.payload.len()].copy_from_slice(&g711::decode(Law::Mu, packet.payload));
    }
    assert!(wire[..8_000].iter().any(|sample| *sample != 0) && wire == right);
}

#[test]
fn the_left_side_is_the_caller_where_it_was_heard() {
    let (blocks, _) = recorded();
    let left = side(&blocks, 0);
    let said = |frame: usize| g711::decode(Law::Mu, &tone_frame(frame));
    for frame in [0, 50, 99, 155, 190] {
        assert_eq!(left[frame * 160..(frame + 1) * 160], said(frame), "frame {frame}");
    }
    assert!(left[101 * 160..149 * 160].iter().all(|sample| *sample == 0), "hold music is nobody's");
    assert!(left[160 * 160..161 * 160].iter().any(|sample| sample.unsigned_abs() > 1_000), "a gap is concealed");
}

#[test]
fn nothing_is_kept_of_a_call_that_is_not_recorded() {
    let mut call = Call::new(AudioFormat::G711(Law::Mu));
    call.phone_sends(&tone_frame(0));
    assert_eq!(call.session.poll_recorded(), None);
    assert!(call.session.finish_recording().is_none() && call.session.tape().is_none());
}
