//! Every codec at every packet time, both ways, and what is skipped of silence.
use super::*;
use crate::{
    audio::Frame,
    codec::{Decoder, Encoder},
    recording::Blank,
};
use std::f64::consts::TAU;

const WIDE: SampleRate = SampleRate::HZ_24000;
const TONE: f64 = 700.0;

fn tone(rate: SampleRate, length: Duration) -> Vec<i16> {
    let wave = |n: usize| (8_000.0 * (TAU * TONE * n as f64 / f64::from(rate.hz())).sin()) as i16;
    (0..rate.samples_in(length)).map(wave).collect()
}

/// Share of the power of the middle of `samples` that is at [`TONE`].
fn purity(samples: &[i16], rate: SampleRate) -> f64 {
    let middle = &samples[rate.samples_in(ms(200))..rate.samples_in(ms(800))];
    let (mut re, mut im, mut power) = (0.0, 0.0, 0.0);
    for (n, sample) in middle.iter().enumerate() {
        let angle = TAU * TONE * n as f64 / f64::from(rate.hz());
        re += f64::from(*sample) * angle.cos();
        im += f64::from(*sample) * angle.sin();
        power += f64::from(*sample).powi(2);
    }
    2.0 * (re * re + im * im) / (power * middle.len() as f64)
}

fn call(codec: Codec, ptime: Duration, receiver: opus::Receiver) -> Call {
    let mut config = config(AudioFormat::Pcm(WIDE), vad::Engine::Off);
    config.media = Negotiated { ptime, opus: receiver, ..media(codec, Direction::SendRecv) };
    Call::with(config)
}

/// The phone sends these samples in packets of this length; those that are empty it does not send.
fn says(call: &mut Call, codec: Codec, encoder: &mut Encoder, samples: &[i16], ptime: Duration) {
    for frame in samples.chunks(codec.sample_rate().samples_in(ptime)) {
        let payload = encoder.encode(frame).unwrap();
        let (sequence, timestamp, ssrc) = (call.sequence, call.timestamp, call.ssrc);
        call.timestamp = timestamp.wrapping_add(codec.ticks_in(ptime));
        if !payload.is_empty() {
            call.sequence = sequence.wrapping_add(1);
            let payload_type = codec.static_payload_type().unwrap_or(102);
            let packet = Packet { marker: false, payload_type, sequence, timestamp, ssrc, payload: &payload };
            call.receive(PHONE, &packet.to_bytes());
        }
        call.run(ptime);
    }
}

/// The phone's packets have another length than ours, as they may (RFC 3551 §4.2).
#[test]
fn every_codec_goes_both_ways_at_every_packet_time() {
    for codec in Codec::ALL {
        let both = [(10, 60), (20, 40), (30, 50), (40, 20), (50, 30), (60, 10)];
        for (ours, theirs) in both.map(|(ours, theirs)| (ms(ours), ms(theirs))) {
            if codec == Codec::Opus && [ms(30), ms(50)].contains(&ours) {
                continue; // no frame of Opus is so long
            }
            let mut call = call(codec, ours, opus::Receiver::default());
            let said = Audio::Pcm(Frame { rate: WIDE, samples: tone(WIDE, ms(1_200)) });
            call.session.play(UtteranceId(1), &said, call.now);
            call.session.finish(UtteranceId(1), call.now);
            let mut encoder = Encoder::new(codec, opus::Receiver::default()).unwrap();
            says(&mut call, codec, &mut encoder, &tone(codec.sample_rate(), ms(1_200)), theirs);
            let heard = call.heard_samples(WIDE);
            assert!(heard.len().abs_diff(WIDE.samples_in(ms(1_200))) < WIDE.samples_in(ms(10)), "{codec} {theirs:?}");
            assert!(purity(&heard, WIDE) > 0.9, "{codec} {theirs:?} up: {}", purity(&heard, WIDE));
            let packets = call.packets();
            let regular = packets.windows(2).all(|pair| {
                let ticks = pair[1].1.timestamp.wrapping_sub(pair[0].1.timestamp);
                (pair[1].0 - pair[0].0, ticks) == (ours, codec.ticks_in(ours))
            });
            assert!(regular, "{codec}: a packet every {ours:?}");
            let mut decoder = Decoder::new(codec).unwrap();
            let played: Vec<i16> =
                packets.iter().flat_map(|(_, packet)| decoder.decode(packet.payload).unwrap()).collect();
            let rate = codec.sample_rate();
            assert!(purity(&played, rate) > 0.9, "{codec} {ours:?} down: {}", purity(&played, rate));
            let stats = call.session.stats();
            assert_eq!((stats.codec_errors, stats.lost, stats.concealed), (0, 0, Duration::ZERO), "{codec}");
        }
    }
}

/// Gateways send packets of nothing but padding to keep a way open, or to measure it; to libopus they are broken.
#[test]
fn a_packet_without_a_payload_is_no_audio_in_any_codec() {
    for codec in Codec::ALL {
        let rate = codec.sample_rate();
        let media = media(codec, Direction::SendRecv);
        let (payload_type, uplink) = (media.payload_type.received, AudioFormat::Pcm(rate));
        let mut call = Call::with(Config { media, ..config(uplink, vad::Engine::Off) });
        let mut encoder = Encoder::new(codec, opus::Receiver::default()).unwrap();
        let mut decoder = Decoder::new(codec).unwrap();
        let (mut expected, mut sequence) = (Vec::new(), 0);
        for frame in tone(rate, ms(500)).chunks(rate.samples_in(PTIME)) {
            let spoken = encoder.encode(frame).unwrap();
            expected.extend(decoder.decode(&spoken).unwrap());
            for payload in [spoken.as_slice(), &[]] {
                let (timestamp, ssrc) = (call.timestamp, call.ssrc);
                let packet = Packet { marker: false, payload_type, sequence, timestamp, ssrc, payload };
                call.receive(PHONE, &packet.to_bytes());
                sequence += 1;
            }
            call.timestamp = call.timestamp.wrapping_add(codec.ticks_in(PTIME));
            call.run(PTIME);
        }
        assert_eq!(call.heard_samples(rate), expected, "{codec}");
        let stats = call.session.stats();
        let made_up = (stats.concealed, stats.silence);
        assert_eq!(made_up, (Duration::ZERO, Duration::ZERO), "{codec}");
        assert_eq!((stats.codec_errors, stats.timestamp_jumps, stats.lost), (0, 0, 0), "{codec}");
    }
}

/// RFC 7587 §3.1.3: silence is skipped by who was asked to, in time stamps that go on; it is no loss.
#[test]
fn rfc7587_3_1_3_discontinuous_transmission_both_ways_loses_nothing() {
    let skipping = opus::Receiver { skips_silence: true, ..opus::Receiver::default() };
    let mut call = call(Codec::Opus, PTIME, skipping);
    let mut encoder = Encoder::new(Codec::Opus, skipping).unwrap();
    let rate = Codec::Opus.sample_rate();
    let speech = tone(rate, ms(1_000));
    says(&mut call, Codec::Opus, &mut encoder, &speech, PTIME);
    says(&mut call, Codec::Opus, &mut encoder, &vec![0; rate.samples_in(ms(3_000))], PTIME);
    let before = call.sequence;
    says(&mut call, Codec::Opus, &mut encoder, &speech, PTIME);
    assert_eq!(call.sequence.wrapping_sub(before), 50);
    let stats = call.session.stats();
    assert!(stats.received < 150, "the phone skipped its silence: {} packets", stats.received);
    assert_eq!((stats.lost, stats.concealed, stats.codec_errors), (0, Duration::ZERO, 0));
    let heard = WIDE.duration_of(call.heard_samples(WIDE).len());
    assert!(heard.abs_diff(ms(5_000)) <= 2 * PTIME, "as long as it lasted: {heard:?}");
    let sent = call.packets().len();
    assert!(sent < 100, "and so do we: {sent} packets in five seconds");
}

/// Decibels relative to overload.
fn level(samples: &[i16]) -> f64 {
    let power = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / samples.len() as f64;
    20.0 * (power.sqrt() / 32_768.0).log10()
}

/// RFC 7587 §3.1.3: a packet of the background every 400 ms. With silence between them it would be a pulse.
#[test]
fn rfc7587_3_1_3_the_background_goes_on_between_the_packets_of_a_pause() {
    let skipping = opus::Receiver { skips_silence: true, ..opus::Receiver::default() };
    let mut call = call(Codec::Opus, PTIME, opus::Receiver::default());
    let mut encoder = Encoder::new(Codec::Opus, skipping).unwrap();
    let (rate, mut random) = (Codec::Opus.sample_rate(), Random::new(3));
    let background: Vec<i16> = (0..rate.samples_in(ms(4_000))).map(|_| random.below(61) as i16 - 30).collect();
    says(&mut call, Codec::Opus, &mut encoder, &tone(rate, ms(200)), PTIME);
    says(&mut call, Codec::Opus, &mut encoder, &background, PTIME);
    let stats = call.session.stats();
    assert!(stats.received < 80, "the phone skipped its pause: {} packets", stats.received);
    assert_eq!((stats.lost, stats.codec_errors), (0, 0));
    let heard = call.heard_samples(WIDE);
    // After the tone there are ten packets of the background before the pause.
    let (begun, paused) = (WIDE.samples_in(ms(260)), WIDE.samples_in(ms(380)));
    let expected = level(&heard[begun..paused]);
    assert!((-75.0..-62.0).contains(&expected), "{expected}");
    for (n, window) in heard[paused..].chunks_exact(WIDE.samples_in(PTIME)).enumerate() {
        assert!((level(window) - expected).abs() < 6.0, "window {n} of the pause: {} of {expected}", level(window));
    }
    assert!(WIDE.duration_of(heard.len()) > ms(3_800), "{}", heard.len());
    // It never sends again.
    call.run(ms(3_000));
    let heard = call.heard_samples(WIDE);
    assert!(heard[heard.len() - WIDE.samples_in(ms(1_000))..].iter().all(|sample| *sample == 0));
}

/// RFC 7587 §3.1.3: what was skipped is no loss, behind which a decoder would let the next frames rise. Some phones send
/// packets that say nothing in its place.
#[test]
fn rfc7587_3_1_3_who_speaks_after_a_pause_is_as_loud_as_before_from_the_first_frame_on() {
    let skipping = opus::Receiver { skips_silence: true, ..opus::Receiver::default() };
    for nothing in [None, Some([0b0100_1000].as_slice()), Some(&[0b0100_1000, 0])] {
        let mut call = call(Codec::Opus, PTIME, opus::Receiver::default());
        let mut encoder = Encoder::new(Codec::Opus, skipping).unwrap();
        let rate = Codec::Opus.sample_rate();
        let line = [tone(rate, ms(400)), vec![0; rate.samples_in(ms(2_000))], tone(rate, ms(400))].concat();
        for frame in line.chunks(rate.samples_in(PTIME)) {
            let encoded = encoder.encode(frame).unwrap();
            let payload = if encoded.is_empty() { nothing.unwrap_or_default() } else { &encoded };
            let (sequence, timestamp, ssrc) = (call.sequence, call.timestamp, call.ssrc);
            call.timestamp = timestamp.wrapping_add(Codec::Opus.ticks_in(PTIME));
            if !payload.is_empty() {
                call.sequence = sequence.wrapping_add(1);
                let packet = Packet { marker: false, payload_type: 102, sequence, timestamp, ssrc, payload };
                call.receive(PHONE, &packet.to_bytes());
            }
            call.run(PTIME);
        }
        let heard = call.heard_samples(WIDE);
        let begins = |from: usize| from + heard[from..].iter().position(|sample| sample.abs() > 1_000).unwrap();
        let loudness = |from: usize| level(&heard[from..from + WIDE.samples_in(ms(60))]);
        let (first, second) = (begins(0), begins(WIDE.samples_in(ms(1_000))));
        assert!(
            (loudness(first) - loudness(second)).abs() < 1.0,
            "{nothing:?}: {} and {}",
            loudness(first),
            loudness(second)
        );
        let pause = WIDE.duration_of(second - first);
        assert!(pause.abs_diff(ms(2_400)) <= PTIME, "{nothing:?}: {pause:?}");
    }
}

/// RFC 7587 §3.1.3: a packet of the background comes where as much of it was made up. It has that place, and no other.
#[test]
fn rfc7587_3_1_3_the_packets_of_a_pause_make_it_no_longer() {
    let skipping = opus::Receiver { skips_silence: true, ..opus::Receiver::default() };
    let mut call = call(Codec::Opus, PTIME, opus::Receiver::default());
    let mut encoder = Encoder::new(Codec::Opus, skipping).unwrap();
    let (rate, mut random) = (Codec::Opus.sample_rate(), Random::new(3));
    for _ in 0..3 {
        says(&mut call, Codec::Opus, &mut encoder, &tone(rate, ms(400)), PTIME);
        let background: Vec<i16> = (0..rate.samples_in(ms(3_000))).map(|_| random.below(61) as i16 - 30).collect();
        says(&mut call, Codec::Opus, &mut encoder, &background, PTIME);
    }
    says(&mut call, Codec::Opus, &mut encoder, &tone(rate, ms(200)), PTIME);
    let stats = call.session.stats();
    assert!(stats.received < 250, "the phone skipped its pauses: {} packets", stats.received);
    assert_eq!((stats.lost, stats.codec_errors, stats.left_out), (0, 0, Duration::ZERO));
    let heard = WIDE.duration_of(call.heard_samples(WIDE).len());
    assert!(heard.abs_diff(ms(10_400)) <= 2 * PTIME, "as long as it lasted: {heard:?}");
}

/// To a recording it would be the same.
#[test]
fn rfc7587_3_1_3_who_speaks_after_a_pause_is_no_later_in_a_recording_than_he_was() {
    let skipping = opus::Receiver { skips_silence: true, ..opus::Receiver::default() };
    let mut call = call(Codec::Opus, PTIME, opus::Receiver::default());
    call.session.record(Blank::Silence);
    let mut encoder = Encoder::new(Codec::Opus, skipping).unwrap();
    let (rate, mut random) = (Codec::Opus.sample_rate(), Random::new(3));
    let background: Vec<i16> = (0..rate.samples_in(ms(10_000))).map(|_| random.below(61) as i16 - 30).collect();
    says(&mut call, Codec::Opus, &mut encoder, &tone(rate, ms(400)), PTIME);
    says(&mut call, Codec::Opus, &mut encoder, &background, PTIME);
    says(&mut call, Codec::Opus, &mut encoder, &tone(rate, ms(400)), PTIME);
    let (blocks, _) = call.session.finish_recording().unwrap();
    let tape = blocks[0].rate;
    let left: Vec<i16> = blocks.iter().flat_map(|block| block.samples.iter().copied().step_by(2)).collect();
    let begins = |from: usize| from + left[from..].iter().position(|sample| sample.abs() > 1_000).unwrap();
    let between = tape.duration_of(begins(tape.samples_in(ms(2_000))) - begins(0));
    assert!(between.abs_diff(ms(10_400)) <= 3 * PTIME, "{between:?}");
}

/// Nothing is made up within 120 ms: who pauses for as long has it filled when he goes on.
#[test]
fn a_pause_that_ends_before_anything_of_it_was_made_up_is_as_long_as_it_was() {
    let mut call = call(Codec::Opus, PTIME, opus::Receiver::default());
    let mut encoder = Encoder::new(Codec::Opus, opus::Receiver::default()).unwrap();
    let rate = Codec::Opus.sample_rate();
    says(&mut call, Codec::Opus, &mut encoder, &tone(rate, ms(200)), PTIME);
    says(&mut call, Codec::Opus, &mut encoder, &vec![0; rate.samples_in(ms(400))], PTIME);
    let skipped = ms(120);
    call.run(skipped - ms(1));
    call.timestamp = call.timestamp.wrapping_add(Codec::Opus.ticks_in(skipped));
    says(&mut call, Codec::Opus, &mut encoder, &tone(rate, ms(200)), PTIME);
    let stats = call.session.stats();
    assert_eq!((stats.silence, stats.concealed), (skipped, Duration::ZERO));
    assert_eq!((stats.lost, stats.timestamp_jumps), (0, 0));
    assert_eq!(WIDE.duration_of(call.heard_samples(WIDE).len()), ms(920), "neither longer nor shorter");
}

/// Where a voice breaks off, packets are missing: nothing tells what follows it.
#[test]
fn a_voice_that_breaks_off_is_followed_by_silence_as_in_any_codec() {
    let mut call = call(Codec::Opus, PTIME, opus::Receiver::default());
    let mut encoder = Encoder::new(Codec::Opus, opus::Receiver::default()).unwrap();
    says(&mut call, Codec::Opus, &mut encoder, &tone(Codec::Opus.sample_rate(), ms(200)), PTIME);
    call.run(ms(1_000));
    let heard = call.heard_samples(WIDE);
    assert!(heard.len() > WIDE.samples_in(ms(1_000)));
    assert!(heard[WIDE.samples_in(ms(400))..].iter().all(|sample| *sample == 0));
}
