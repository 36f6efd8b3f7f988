//! Clicks on both sides, and where they are found in the recording.
use super::*;
use crate::{
    audio::{Frame, Law},
    testing::{Random, origin},
};

const RATE: SampleRate = SampleRate::HZ_8000;
const PTIME: Duration = Duration::from_millis(20);
const FRAME: usize = 160;
const LOUD: i16 = 20_000;

/// A packet of the phone's: silence, with a burst in its middle every `every` packets.
fn packet(number: u64, every: u64) -> Vec<i16> {
    let mut samples = vec![1; FRAME];
    if number.is_multiple_of(every) {
        samples[76..84].fill(LOUD);
    }
    samples
}

fn pcm(samples: Vec<i16>) -> Audio {
    Audio::Pcm(Frame { rate: RATE, samples })
}

fn stamp(number: u64) -> Option<Stamp> {
    Some(Stamp { timestamp: (number * FRAME as u64 + 4_294_900_000) as u32, clock: 8_000 })
}

/// All of a recording, each side for itself.
#[derive(Default)]
struct Sides {
    left: Vec<i16>,
    right: Vec<i16>,
}

impl Sides {
    fn take(&mut self, block: Block) {
        assert_eq!(block.at as usize, self.left.len(), "blocks follow each other");
        for pair in block.samples.chunks(2) {
            self.left.push(pair[0]);
            self.right.push(pair[1]);
        }
    }

    fn finish(mut self, tape: Tape) -> (Self, Summary) {
        let (blocks, summary) = tape.finish();
        blocks.into_iter().for_each(|block| self.take(block));
        (self, summary)
    }
}

/// Where bursts begin, in frames.
fn bursts(samples: &[i16]) -> Vec<usize> {
    let mut found: Vec<usize> = Vec::new();
    for (n, sample) in samples.iter().enumerate() {
        if *sample > LOUD / 2 && found.last().is_none_or(|last| n > last + FRAME) {
            found.push(n);
        }
    }
    found
}

/// An hour with a phone whose clock is `ppm` fast: the largest distance between its bursts and ours that left as they
/// were spoken, and the length of both sides.
fn hour(ppm: f64) -> (usize, usize, usize) {
    let start = origin();
    let mut tape = Tape::new(RATE, Blank::Silence, start);
    let (mut sides, mut random, mut next) = (Sides::default(), Random::new(7), 0_u64);
    let spoken = |number: u64| PTIME.mul_f64(number as f64 / (1.0 + ppm * 1e-6));
    let mut expected = Vec::new();
    for slot in 0..180_000_u64 {
        let now = PTIME * slot as u32;
        tape.sent(PTIME, Some(&pcm(packet(slot, 500)))).unwrap();
        while spoken(next) <= now {
            if next.is_multiple_of(500) {
                expected.push(RATE.samples_in(spoken(next)) + 76);
            }
            // 5 ms of way, and up to 15 ms of jitter.
            let at = start + spoken(next) + Duration::from_micros(5_000 + random.below(15_000));
            tape.heard(RATE, &packet(next, 500), stamp(next), at).unwrap();
            next += 1;
        }
        while let Some(block) = tape.poll_block() {
            sides.take(block);
        }
    }
    let (sides, summary) = sides.finish(tape);
    assert_eq!(summary.displaced, Duration::ZERO);
    let found = bursts(&sides.left);
    assert_eq!(found.len(), expected.len(), "no burst is lost or doubled");
    assert_eq!(bursts(&sides.right), (0..360).map(|n| n * 500 * FRAME + 76).collect::<Vec<_>>(), "ours are exact");
    let worst = found.iter().zip(expected).map(|(found, expected)| found.abs_diff(expected)).max().unwrap();
    (worst, sides.left.len(), sides.right.len())
}

#[test]
fn an_hour_with_a_drifting_phone_stays_within_a_packet_time() {
    for ppm in [-200.0, 0.0, 200.0] {
        let (worst, left, right) = hour(ppm);
        assert!(worst < FRAME, "{ppm} ppm: {worst} frames apart");
        assert_eq!((left, right), (180_000 * FRAME, 180_000 * FRAME));
    }
}

/// Plays `arrivals` (number of the packet, when it comes in ms) beside 10 s of our own silence.
fn played(arrivals: &[(u64, u64)]) -> (Sides, Summary) {
    let start = origin();
    let mut tape = Tape::new(RATE, Blank::Silence, start);
    let (mut sides, mut arrivals) = (Sides::default(), arrivals.iter().peekable());
    for slot in 0..500_u32 {
        tape.sent(PTIME, None).unwrap();
        while let Some((number, ms)) = arrivals.next_if(|(_, ms)| *ms <= u64::from(slot) * 20) {
            tape.heard(RATE, &packet(*number, 50), stamp(*number), start + Duration::from_millis(*ms)).unwrap();
        }
        while let Some(block) = tape.poll_block() {
            sides.take(block);
        }
    }
    sides.finish(tape)
}

#[test]
fn what_a_stall_delivers_in_a_heap_belongs_before_the_stall() {
    let arrivals: Vec<_> = (0..400).map(|n| (n, if (45..60).contains(&n) { 1_200 } else { n * 20 })).collect();
    let (sides, _) = played(&arrivals);
    let expected: Vec<usize> = (0..8).map(|n| n * 50 * FRAME + 76).collect();
    assert_eq!(bursts(&sides.left), expected);
}

/// Two seconds that come at once: the lane runs half a second ahead, and the rest is told.
#[test]
fn what_comes_faster_than_it_was_spoken_is_counted() {
    let arrivals: Vec<_> = (0..100).map(|n| (n, 1_000)).collect();
    let (_, summary) = played(&arrivals);
    let kept = Duration::from_secs(2).saturating_sub(summary.displaced);
    assert!((500..600).contains(&kept.as_millis()), "{kept:?}");
}

#[test]
fn a_pause_of_the_phone_is_silence_of_its_length() {
    let spoken = (0..50).chain(150..250);
    let arrivals: Vec<_> = spoken.map(|n| (n, n * 20)).collect();
    let (sides, _) = played(&arrivals);
    let expected: Vec<usize> = [0, 150, 200].map(|n| n * FRAME + 76).to_vec();
    assert_eq!(bursts(&sides.left), expected);
    assert!(sides.left[50 * FRAME..150 * FRAME].iter().all(|sample| *sample == 0));
}

#[test]
fn another_stream_begins_where_it_arrives() {
    let arrivals: Vec<_> = (0..50).map(|n| (n, n * 20)).chain((0..100).map(|n| (90_000 + n, 3_000 + n * 20))).collect();
    let (sides, _) = played(&arrivals);
    assert_eq!(bursts(&sides.left), [0, 150, 200].map(|n| n * FRAME + 76));
}

#[test]
fn hold_is_silence_on_both_sides_and_time_goes_on() {
    let start = origin();
    let mut tape = Tape::new(RATE, Blank::Silence, start);
    let mut sides = Sides::default();
    for slot in 0..300_u64 {
        let held = (100..200).contains(&slot);
        tape.sent(PTIME, (!held).then(|| pcm(packet(slot, 50))).as_ref()).unwrap();
        if !held {
            tape.heard(RATE, &packet(slot, 50), stamp(slot), start + PTIME * slot as u32).unwrap();
        }
        while let Some(block) = tape.poll_block() {
            sides.take(block);
        }
    }
    let (sides, summary) = sides.finish(tape);
    assert_eq!(bursts(&sides.left), [0, 50, 200, 250].map(|n| n * FRAME + 76));
    assert_eq!(bursts(&sides.left), bursts(&sides.right));
    assert_eq!(summary.duration, Duration::from_secs(6));
}

#[test]
fn another_codec_in_mid_call_is_brought_to_the_rate_of_the_recording() {
    let (start, wide) = (origin(), SampleRate::HZ_16000);
    let mut tape = Tape::new(wide, Blank::Silence, start);
    let mut sides = Sides::default();
    for slot in 0..200_u64 {
        let burst = slot % 50 == 25;
        let rate = if slot < 100 { RATE } else { wide };
        let mut samples = vec![1; rate.samples_in(PTIME)];
        if burst {
            let middle = samples.len() / 2;
            samples[middle..middle + rate.samples_in(Duration::from_millis(4))].fill(LOUD);
        }
        let stamp = Stamp { timestamp: (slot * 160) as u32, clock: 8_000 };
        tape.heard(rate, &samples, Some(stamp), start + PTIME * slot as u32).unwrap();
        let audio = match slot {
            0..50 => Audio::G711 { law: Law::A, bytes: g711::encode(Law::A, &samples) },
            _ => Audio::Pcm(Frame { rate, samples }),
        };
        tape.sent(PTIME, Some(&audio)).unwrap();
        while let Some(block) = tape.poll_block() {
            sides.take(block);
        }
    }
    let (sides, _) = sides.finish(tape);
    let middle = |slot: usize| (slot * 20 + 10) * 16;
    for side in [&sides.left, &sides.right] {
        let found = bursts(side);
        assert_eq!(found.len(), 4, "{found:?}");
        for (found, expected) in found.iter().zip([25, 75, 125, 175].map(middle)) {
            assert!(found.abs_diff(expected) <= 16, "{found} where {expected} should be");
        }
        assert_eq!(side.len(), 4 * 16_000);
    }
}

/// A call in Opus, for a minute: both sides are at 24 kHz, and ours says nothing between its words.
#[test]
fn a_call_of_24_khz_is_recorded_at_16_and_everything_is_where_it_was_said() {
    let (start, rate) = (origin(), SampleRate::HZ_24000);
    let mut tape = Tape::new(Tape::rate_for(rate), Blank::Silence, start);
    assert_eq!(tape.rate(), SampleRate::HZ_16000);
    let mut sides = Sides::default();
    for slot in 0..3_000_u64 {
        let burst = slot % 50 == 25;
        let mut samples = vec![1; rate.samples_in(PTIME)];
        if burst {
            samples[240..336].fill(LOUD);
        }
        let stamp = Stamp { timestamp: (slot * 960) as u32, clock: 48_000 };
        tape.heard(rate, &samples, Some(stamp), start + PTIME * slot as u32).unwrap();
        let audio = burst.then_some(Audio::Pcm(Frame { rate, samples }));
        tape.sent(PTIME, audio.as_ref()).unwrap();
        while let Some(block) = tape.poll_block() {
            sides.take(block);
        }
    }
    let (sides, _) = sides.finish(tape);
    for (side, tolerance) in [(&sides.left, 16), (&sides.right, 1)] {
        let found = bursts(side);
        assert_eq!((found.len(), side.len()), (60, 60 * 16_000));
        for (found, expected) in found.iter().zip((0..60).map(|n| ((n * 50 + 25) * 20 + 10) * 16)) {
            assert!(found.abs_diff(expected) <= tolerance, "{found} where {expected} should be");
        }
    }
}

fn paused(blank: Blank) -> (Sides, Summary) {
    let start = origin();
    let mut tape = Tape::new(RATE, blank, start);
    let mut sides = Sides::default();
    for slot in 0..200_u64 {
        match slot {
            50 => tape.pause(Duration::from_millis(100)),
            100 => tape.resume(),
            _ => {}
        }
        tape.sent(PTIME, Some(&pcm(vec![LOUD; FRAME]))).unwrap();
        tape.heard(RATE, &[LOUD; FRAME], stamp(slot), start + PTIME * slot as u32).unwrap();
        while let Some(block) = tape.poll_block() {
            sides.take(block);
        }
    }
    sides.finish(tape)
}

#[test]
fn a_pause_is_blank_on_both_sides_from_before_it_was_asked_for() {
    let (sides, summary) = paused(Blank::Silence);
    let (from, to) = (45 * FRAME, 100 * FRAME);
    for side in [&sides.left, &sides.right] {
        assert!(side[from..to].iter().all(|sample| *sample == 0));
        assert!(side[..from].iter().chain(&side[to..]).all(|sample| *sample == LOUD));
        assert_eq!(side.len(), 200 * FRAME);
    }
    let span = |from, to| Pause { from: Duration::from_millis(from), to: Duration::from_millis(to) };
    assert_eq!(summary.pauses, [span(900, 2_000)]);
}

/// A stall holds back the last of it, which comes when the pause is over, or the caller was told.
#[test]
fn what_is_said_in_a_pause_is_on_no_tape_however_late_it_comes() {
    type Step = fn(&mut Tape);
    let loudness = |number| [1, LOUD][usize::from((50..100).contains(&number))];
    let pause: (Step, Step) = (|tape| tape.pause(Duration::ZERO), Tape::resume);
    let untold: (Step, Step) = (Tape::withhold_caller, Tape::admit_caller);
    for (begin, end) in [pause, untold] {
        for stall in [450, 600, 1_000, 2_000] {
            let (start, held, last) = (origin(), 90, 90 + stall / 20);
            let mut tape = Tape::new(RATE, Blank::Silence, start);
            let mut sides = Sides::default();
            for slot in 0..300_u64 {
                match slot {
                    50 => begin(&mut tape),
                    100 => end(&mut tape),
                    _ => {}
                }
                tape.sent(PTIME, None).unwrap();
                let came = match slot {
                    slot if (held..last).contains(&slot) => slot..slot,
                    slot if slot == last => held..last + 1,
                    slot => slot..slot + 1,
                };
                for number in came {
                    tape.heard(RATE, &[loudness(number); FRAME], stamp(number), start + PTIME * slot as u32).unwrap();
                }
                while let Some(block) = tape.poll_block() {
                    sides.take(block);
                }
            }
            let (sides, _) = sides.finish(tape);
            assert!(sides.left.iter().all(|sample| sample.abs() < LOUD / 2), "a stall of {stall} ms");
            let after = &sides.left[(last as usize + 50) * FRAME..];
            assert!(after.iter().all(|sample| *sample == 1), "what is said then is there, {stall} ms");
        }
    }
}

#[test]
fn a_caller_who_is_withheld_is_silent_until_admitted_and_the_assistant_is_not() {
    let start = origin();
    let mut tape = Tape::new(RATE, Blank::Tone, start);
    tape.withhold_caller();
    let mut sides = Sides::default();
    for slot in 0..200_u64 {
        if slot == 100 || slot == 150 {
            tape.admit_caller(); // the second time changes nothing
        }
        tape.sent(PTIME, Some(&pcm(vec![LOUD; FRAME]))).unwrap();
        tape.heard(RATE, &[LOUD; FRAME], stamp(slot), start + PTIME * slot as u32).unwrap();
        while let Some(block) = tape.poll_block() {
            sides.take(block);
        }
    }
    let (sides, summary) = sides.finish(tape);
    let admitted = 100 * FRAME;
    assert!(sides.left[..admitted].iter().all(|sample| *sample == 0), "no tone either");
    assert!(sides.left[admitted..].iter().chain(&sides.right).all(|sample| *sample == LOUD));
    assert!(summary.pauses.is_empty() && sides.left.len() == 200 * FRAME);
}

#[test]
fn a_caller_may_be_withheld_anew_and_what_was_heard_before_stays() {
    let start = origin();
    let mut tape = Tape::new(RATE, Blank::Silence, start);
    let mut sides = Sides::default();
    for slot in 0..200_u64 {
        match slot {
            50 | 60 => tape.withhold_caller(), // the second time changes nothing
            100 => tape.admit_caller(),
            _ => {}
        }
        tape.sent(PTIME, Some(&pcm(vec![LOUD; FRAME]))).unwrap();
        tape.heard(RATE, &[LOUD; FRAME], stamp(slot), start + PTIME * slot as u32).unwrap();
        while let Some(block) = tape.poll_block() {
            sides.take(block);
        }
    }
    let (sides, _) = sides.finish(tape);
    let (from, to) = (49 * FRAME, 100 * FRAME);
    assert!(sides.left[from..to].iter().all(|sample| *sample == 0));
    assert!(sides.left[..from].iter().chain(&sides.left[to..]).chain(&sides.right).all(|sample| *sample == LOUD));
}

#[test]
fn a_pause_may_sound_and_tells_nothing_all_the_same() {
    let (sides, _) = paused(Blank::Tone);
    let blank = &sides.left[45 * FRAME..100 * FRAME];
    assert!(blank.iter().any(|sample| *sample > 900) && blank.iter().all(|sample| sample.abs() < 1_100));
    assert_eq!(blank, &sides.right[45 * FRAME..100 * FRAME]);
}
