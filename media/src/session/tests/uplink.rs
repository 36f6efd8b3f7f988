use super::*;
use crate::codec::{Decoder, Encoder};

const MU: AudioFormat = AudioFormat::G711(Law::Mu);

#[test]
fn the_same_law_goes_up_untouched_and_at_once() {
    let mut call = Call::new(MU);
    let mut random = Random::new(1);
    let mut sent = Vec::new();
    for _ in 0..200 {
        let frame = random.bytes(160);
        sent.extend_from_slice(&frame);
        let before = call.events.len();
        let datagram = call.packet(&frame);
        call.receive(PHONE, &datagram);
        assert!(call.events.len() > before, "no playout delay");
        call.run(PTIME);
    }
    assert_eq!(call.heard_bytes(), sent);
    let stats = call.session.stats();
    assert_eq!((stats.received, stats.lost, stats.concealed, stats.silence), (200, 0, Duration::ZERO, Duration::ZERO));
}

#[test]
fn other_formats_are_converted_and_keep_their_length() {
    for (format, per_second) in [
        (AudioFormat::G711(Law::A), 8_000),
        (AudioFormat::Pcm(SampleRate::HZ_8000), 8_000),
        (AudioFormat::Pcm(SampleRate::HZ_24000), 24_000),
    ] {
        let mut call = Call::new(format);
        (0..100).for_each(|n| call.phone_sends(&tone_frame(n)));
        let samples: usize = call
            .events
            .iter()
            .map(|(_, event)| match event {
                Event::Audio(Audio::Pcm(frame)) => frame.samples.len(),
                Event::Audio(Audio::G711 { law: Law::A, bytes }) => bytes.len(),
                _ => 0,
            })
            .sum();
        assert!(samples.abs_diff(2 * per_second) <= per_second / 100, "{format:?}: {samples}");
    }
}

/// RFC 6716 §4: no resampler, and none of its delay, stands between the decoder and the provider.
#[test]
fn opus_is_decoded_at_the_rate_of_the_provider() {
    for rate in [SampleRate::HZ_8000, SampleRate::HZ_16000, SampleRate::HZ_24000] {
        let mut call = Call::with(Config {
            media: media(Codec::Opus, Direction::SendRecv),
            ..config(AudioFormat::Pcm(rate), vad::Engine::Off)
        });
        let mut encoder = Encoder::new(Codec::Opus, opus::Receiver::default()).unwrap();
        let mut decoder = Decoder::to(Codec::Opus, rate).unwrap();
        let mut expected = Vec::new();
        for n in 0..50 {
            let samples: Vec<i16> =
                (n * 480..(n + 1) * 480).map(|n| ((n as f64 * 0.2).sin() * 8_000.0) as i16).collect();
            let payload = encoder.encode(&samples).unwrap();
            expected.extend(decoder.decode(&payload).unwrap());
            let (sequence, timestamp) = (n as u16, n as u32 * 960);
            let packet = Packet { marker: false, payload_type: 102, sequence, timestamp, ssrc: 9, payload: &payload };
            call.receive(PHONE, &packet.to_bytes());
            call.run(PTIME);
        }
        assert_eq!(call.heard_samples(rate), expected, "{rate:?}");
    }
}

#[test]
fn silence_stands_in_for_a_phone_that_sends_none() {
    let mut call = Call::new(MU);
    call.run(Duration::from_secs(1));
    assert_eq!(call.heard_bytes(), vec![0xff; 50 * 160], "all that was due, since no packet came within 140 ms");
    (0..10).for_each(|_| call.phone_sends(&[0x55; 160]));
    call.run(ms(1_000));
    let audible = call.heard_bytes().iter().filter(|b| **b == 0x55).count();
    assert!(audible >= 1_600, "what was said goes on a little: {audible}");
    let audio = call.events.iter().filter(|(_, e)| matches!(e, Event::Audio(_))).map(|(at, _)| *at);
    let times: Vec<Duration> = audio.collect();
    let longest = times.windows(2).map(|w| w[1] - w[0]).max();
    assert_eq!(longest, Some(ms(140)));
    let heard = SampleRate::HZ_8000.duration_of(call.heard_bytes().len());
    assert!(heard.abs_diff(ms(2_200)) <= PTIME, "as long as it lasted: {heard:?}");
}

#[test]
fn a_lost_packet_is_concealed_within_the_window_and_in_its_place() {
    let mut call = Call::new(MU);
    for n in 0..50 {
        if n == 20 { call.phone_loses(&tone_frame(n)) } else { call.phone_sends(&tone_frame(n)) }
    }
    let heard = call.heard_bytes();
    assert_eq!(heard.len(), 50 * 160);
    assert_eq!(heard[..20 * 160], (0..20).flat_map(tone_frame).collect::<Vec<_>>());
    assert_eq!(heard[22 * 160..], (22..50).flat_map(tone_frame).collect::<Vec<_>>());
    let made = g711::decode(Law::Mu, &heard[20 * 160..21 * 160]);
    assert!(made.iter().any(|s| s.abs() > 4_000), "a tone goes on, it is not silence");
    let stats = call.session.stats();
    assert_eq!((stats.lost, stats.concealed, stats.late, stats.timestamp_jumps), (1, PTIME, 0, 0));
    let gap: Vec<Duration> =
        call.events.iter().filter(|(_, e)| matches!(e, Event::Audio(_))).map(|(at, _)| *at).collect();
    let longest = gap.windows(2).map(|w| w[1] - w[0]).max().expect("audio");
    assert_eq!(longest, ms(80), "a frame, the missing frame, the window");
}

#[test]
fn overtaken_duplicated_and_late_packets_are_told_apart() {
    let mut call = Call::new(MU);
    let frames: Vec<Vec<u8>> = (0..10).map(|n| vec![n; 160]).collect();
    let packets: Vec<Vec<u8>> = frames.iter().map(|f| call.packet(f)).collect();
    let order = [0, 1, 1, 3, 2, 4, 4, 0, 5, 7];
    for n in order {
        call.receive(PHONE, &packets[n]);
        call.run(ms(10));
    }
    call.run(ms(30)); // the gap of 6 is given up
    call.receive(PHONE, &packets[6]);
    call.receive(PHONE, &packets[8]);
    let stats = call.session.stats();
    assert_eq!((stats.duplicated, stats.reordered, stats.late, stats.received), (3, 1, 1, 9));
    let first: Vec<u8> = call.heard_bytes().chunks(160).map(|c| c[80]).collect();
    assert_eq!(first[..6], [0, 1, 2, 3, 4, 5]);
    assert_eq!(first[7..], [7, 8]);
}

#[test]
fn timestamps_that_jump_are_a_new_base_and_not_loss() {
    let mut call = Call::new(MU);
    let mut sent = Vec::new();
    for n in 0..100_u8 {
        call.timestamp = match n {
            30 => call.timestamp.wrapping_add(1_000_000),
            60 => call.timestamp.wrapping_sub(123_456_789),
            80 => call.timestamp.wrapping_sub(160),
            _ => call.timestamp,
        };
        sent.extend([n; 160]);
        call.phone_sends(&[n; 160]);
    }
    assert_eq!(call.heard_bytes(), sent);
    let stats = call.session.stats();
    assert_eq!((stats.timestamp_jumps, stats.lost, stats.concealed), (3, 0, Duration::ZERO));
    assert!(stats.jitter < ms(3), "{:?}", stats.jitter);
}

#[test]
fn a_frame_the_sender_dropped_without_a_gap_is_concealed() {
    let mut call = Call::new(MU);
    for n in 0..40 {
        if n == 20 {
            call.timestamp = call.timestamp.wrapping_add(160);
        }
        call.phone_sends(&tone_frame(n));
    }
    assert_eq!(call.session.stats().concealed, PTIME);
    assert_eq!(call.heard_bytes().len(), 41 * 160);
}

#[test]
fn a_pause_of_the_sender_is_neither_a_jump_nor_loss() {
    let mut call = Call::new(MU);
    (0..20).for_each(|n| call.phone_sends(&tone_frame(n)));
    call.run(ms(2_000));
    call.timestamp = call.timestamp.wrapping_add(16_000);
    (0..20).for_each(|n| call.phone_sends(&tone_frame(n)));
    let stats = call.session.stats();
    assert_eq!((stats.timestamp_jumps, stats.lost, stats.concealed), (0, 0, Duration::ZERO));
}

/// Whether it ends before anything was made up for it or after: the caller's words are as far apart as they were.
#[test]
fn a_pause_of_the_sender_goes_up_as_long_as_it_was() {
    for pause in (40..=400).step_by(10) {
        let mut call = Call::new(MU);
        (0..20).for_each(|n| call.phone_sends(&tone_frame(n)));
        call.run(ms(pause));
        call.timestamp = call.timestamp.wrapping_add(8 * pause as u32);
        (0..20).for_each(|n| call.phone_sends(&tone_frame(n)));
        let heard = SampleRate::HZ_8000.duration_of(call.heard_bytes().len());
        assert!(heard.abs_diff(ms(800 + pause)) <= PTIME, "{pause} ms: {heard:?}");
        let stats = call.session.stats();
        assert_eq!((stats.timestamp_jumps, stats.lost), (0, 0), "{pause} ms");
    }
}

#[test]
fn an_outage_is_silence_once() {
    let mut call = Call::new(MU);
    (0..20).for_each(|n| call.phone_sends(&tone_frame(n)));
    (0..100).for_each(|n| call.phone_loses(&tone_frame(n)));
    (0..20).for_each(|n| call.phone_sends(&tone_frame(n)));
    let heard = SampleRate::HZ_8000.duration_of(call.heard_bytes().len());
    assert!(heard.abs_diff(ms(2_800)) <= ms(100), "not silence and concealment both: {heard:?}");
    assert_eq!(call.session.stats().lost, 100);
}

#[test]
fn another_ssrc_or_a_far_sequence_begins_anew() {
    let mut call = Call::new(MU);
    (0..10).for_each(|_| call.phone_sends(&[1; 160]));
    let straggler = call.packet(&[9; 160]);
    (call.ssrc, call.sequence, call.timestamp) = (77, 12, 99);
    call.phone_sends(&[2; 160]);
    call.receive(PHONE, &straggler);
    (0..9).for_each(|_| call.phone_sends(&[2; 160]));
    call.sequence = 40_000;
    (0..10).for_each(|_| call.phone_sends(&[3; 160]));
    let heard = call.heard_bytes();
    let of = |value: u8| heard.iter().filter(|b| **b == value).count() / 160;
    assert_eq!((of(1), of(2), of(3), of(9)), (10, 10, 9, 0));
    let stats = call.session.stats();
    assert_eq!((stats.restarts, stats.late, stats.lost, stats.timestamp_jumps), (2, 2, 0, 0));
}

/// A packet behind a gap is waited for when the other stream begins.
#[test]
fn what_still_waits_of_a_stream_goes_up_before_the_next_and_what_it_lost_is_filled() {
    let mut call = Call::new(MU);
    (0..10).for_each(|n| call.phone_sends(&tone_frame(n)));
    call.phone_loses(&tone_frame(10));
    let waiting = call.packet(&tone_frame(11));
    call.receive(PHONE, &waiting);
    call.run(ms(5));
    (call.ssrc, call.sequence, call.timestamp) = (77, 40_000, 1_000_000);
    (12..20).for_each(|n| call.phone_sends(&tone_frame(n)));
    let stats = call.session.stats();
    assert_eq!((stats.restarts, stats.lost, stats.concealed, stats.timestamp_jumps), (1, 1, PTIME, 0));
    let heard = call.heard_bytes();
    assert_eq!(heard.len(), 20 * 160);
    assert_eq!(heard[12 * 160..], (12..20).flat_map(tone_frame).collect::<Vec<_>>());
}

#[test]
fn another_stream_is_decoded_without_the_past_of_the_one_before() {
    let rate = SampleRate::HZ_16000;
    for (codec, payload_type) in [(Codec::G722, 9), (Codec::Opus, 102)] {
        let media = media(codec, Direction::SendRecv);
        let mut call = Call::with(Config { media, ..config(AudioFormat::Pcm(rate), vad::Engine::Off) });
        for ssrc in [9, 77] {
            let mut encoder = Encoder::new(codec, opus::Receiver::default()).unwrap();
            let mut decoder = Decoder::to(codec, rate).unwrap();
            let mut expected = Vec::new();
            call.events.clear();
            for sequence in 0..25_u16 {
                let frame = codec.sample_rate().samples_in(PTIME);
                let from = usize::from(sequence) * frame;
                let samples: Vec<i16> =
                    (from..from + frame).map(|n| ((n as f64 * 0.2).sin() * 8_000.0) as i16).collect();
                let payload = encoder.encode(&samples).unwrap();
                expected.extend(decoder.decode(&payload).unwrap());
                let timestamp = u32::from(sequence) * codec.ticks_in(PTIME);
                let packet = Packet { marker: false, payload_type, sequence, timestamp, ssrc, payload: &payload };
                call.receive(PHONE, &packet.to_bytes());
                call.run(PTIME);
            }
            assert_eq!(call.heard_samples(rate), expected, "{codec} {ssrc}");
        }
    }
}

/// A PBX may send music under an SSRC of its own beside the packets of the phone, for a while or for good.
#[test]
fn of_two_sources_side_by_side_the_one_that_began_last_is_heard_until_it_stops() {
    let mut call = Call::new(MU);
    (0..10).for_each(|_| call.phone_sends(&[1; 160]));
    for sequence in 0..100_u16 {
        let timestamp = u32::from(sequence) * 160;
        let music = Packet { marker: false, payload_type: 0, sequence, timestamp, ssrc: 77, payload: &[2; 160] };
        call.receive(PHONE, &music.to_bytes());
        call.run(ms(10));
        let beside = call.packet(&[1; 160]);
        call.receive(PHONE, &beside);
        call.run(ms(10));
    }
    let heard = call.heard_bytes();
    let of = |value: u8| heard.iter().filter(|b| **b == value).count() / 160;
    assert_eq!((heard.len() / 160, of(1), of(2)), (110, 10, 100));
    (0..20).for_each(|_| call.phone_sends(&[3; 160]));
    let back = call.heard_bytes().iter().filter(|b| **b == 3).count() / 160;
    assert_eq!(back, 11, "200 ms after the music");
    assert_eq!(call.session.stats().restarts, 2);
}

#[test]
fn a_packet_of_no_agreed_type_under_another_ssrc_begins_no_other_stream() {
    let mut call = Call::new(MU);
    for n in 0..50 {
        call.phone_sends(&tone_frame(n));
        let packet = Packet { marker: false, payload_type: 111, sequence: 7, timestamp: 5, ssrc: 77, payload: &[0; 9] };
        call.receive(PHONE, &packet.to_bytes());
    }
    assert_eq!(call.heard_bytes(), (0..50).flat_map(tone_frame).collect::<Vec<_>>());
    let stats = call.session.stats();
    assert_eq!((stats.restarts, stats.late, stats.malformed), (0, 0, 50));
}

/// As a gateway may send to keep its port open.
#[test]
fn a_packet_that_holds_nothing_under_another_ssrc_begins_no_other_stream() {
    let mut call = Call::new(MU);
    for n in 0..50 {
        call.phone_sends(&tone_frame(n));
        let packet = Packet { marker: false, payload_type: 0, sequence: 7, timestamp: 5, ssrc: 77, payload: &[] };
        call.receive(PHONE, &packet.to_bytes());
    }
    assert_eq!(call.heard_bytes(), (0..50).flat_map(tone_frame).collect::<Vec<_>>());
    let stats = call.session.stats();
    assert_eq!((stats.restarts, stats.late, stats.lost), (0, 0, 0));
}

/// Nothing was heard for twelve seconds: the figures say so, though the sequence began anew.
#[test]
fn an_outage_is_loss_where_numbers_and_timestamps_went_on_as_the_clock_did() {
    let mut call = Call::new(MU);
    (0..50).for_each(|n| call.phone_sends(&tone_frame(n)));
    (0..600).for_each(|n| call.phone_loses(&tone_frame(n)));
    (0..50).for_each(|n| call.phone_sends(&tone_frame(n)));
    let (stats, uplink) = (call.session.stats(), call.session.quality().uplink);
    // The first packet after it came, but is not used.
    assert_eq!((stats.received, stats.lost, stats.late, stats.restarts), (99, 600, 1, 1));
    assert_eq!((uplink.loss.expected, uplink.loss.lost, uplink.loss.runs), (700, 601, 1));
    assert!(uplink.score.is_some_and(|score| score.mos_cq < 2.0), "{uplink:?}");
}

#[test]
fn a_stream_whose_numbers_or_timestamps_did_not_go_on_as_the_clock_did_lost_nothing() {
    for (numbers, ticks) in [(600, 0), (600, 3_000_000), (3_000, 96_000), (60_000, 96_000), (600, 10_000)] {
        let mut call = Call::new(MU);
        (0..50).for_each(|n| call.phone_sends(&tone_frame(n)));
        call.run(Duration::from_secs(12));
        call.sequence = call.sequence.wrapping_add(numbers);
        call.timestamp = call.timestamp.wrapping_add(ticks);
        (0..50).for_each(|n| call.phone_sends(&tone_frame(n)));
        let (stats, loss) = (call.session.stats(), call.session.quality().uplink.loss);
        assert_eq!((stats.restarts, stats.lost, loss.lost), (1, 0, 0), "{numbers} {ticks}");
    }
}

#[test]
fn packets_of_ten_to_sixty_milliseconds_are_taken() {
    for millis in [10, 30, 40, 50, 60] {
        let mut call = Call::new(MU);
        for n in 0..20_u64 {
            let late = if n % 3 == 1 { 30.min(millis as u64) } else { 0 };
            let at = call.start + ms(n * millis as u64 + late);
            call.run(at.saturating_duration_since(call.now));
            let datagram = call.packet(&vec![n as u8; millis * 8]);
            call.receive(PHONE, &datagram);
        }
        assert_eq!(call.heard_bytes().len(), 20 * millis * 8, "{millis} ms");
    }
}

#[test]
fn a_press_is_one_digit_by_event_or_info() {
    let mut call = Call::new(MU);
    (0..5).for_each(|n| call.phone_sends(&tone_frame(n)));
    let timestamp = call.timestamp;
    for n in 0..8_u16 {
        let event = dtmf::Event { code: 5, end: n >= 5, volume: 10, duration: (n + 1) * 160 };
        let (sequence, ssrc, payload) = (call.sequence, call.ssrc, event.to_bytes());
        call.sequence = sequence.wrapping_add(1);
        let packet = Packet { marker: n == 0, payload_type: 101, sequence, timestamp, ssrc, payload: &payload };
        call.receive(PHONE, &packet.to_bytes());
        call.run(PTIME);
    }
    call.session.handle_info_dtmf('5', call.now);
    call.run(Duration::from_secs(2));
    call.session.handle_info_dtmf('#', call.now);
    call.drain();
    assert_eq!(call.digits(), "5#");
    let stats = call.session.stats();
    assert_eq!((stats.lost, stats.concealed), (0, Duration::ZERO), "events hold their places in the sequence");
}

#[test]
fn music_on_hold_is_not_the_caller() {
    let mut call = Call::new(MU);
    (0..10).for_each(|_| call.phone_sends(&[1; 160]));
    call.session.renegotiate(media(Codec::Pcmu, Direction::RecvOnly), call.now);
    (0..50).for_each(|_| call.phone_sends(&[2; 160]));
    call.session.renegotiate(media(Codec::Pcmu, Direction::SendRecv), call.now);
    (0..10).for_each(|_| call.phone_sends(&[3; 160]));
    let heard = call.heard_bytes();
    let of = |value: u8| heard.iter().filter(|b| **b == value).count() / 160;
    assert_eq!((of(1), of(2), of(3)), (10, 0, 10));
    assert!(of(0xff) >= 46, "silence goes up instead: {}", of(0xff));
    assert!(call.events.iter().all(|(_, e)| !matches!(e, Event::Silent(_) | Event::MediaTimeout(_))));
}

#[test]
fn dead_media_is_told_once_per_silence() {
    let mut call = Call::new(MU);
    call.run(Duration::from_secs(70));
    call.phone_sends(&[1; 160]);
    for _ in 0..4 {
        call.run(Duration::from_secs(10));
        call.session.renegotiate(media(Codec::Pcmu, Direction::SendRecv), call.now); // nothing new
    }
    let told = |call: &Call| -> Vec<(u64, bool, Option<u64>)> {
        let of = |(at, event): &(Duration, Event)| match event {
            Event::Silent(it) => Some((at.as_secs(), false, it.last.map(|last| last.as_secs()))),
            Event::MediaTimeout(it) => Some((at.as_secs(), true, it.last.map(|last| last.as_secs()))),
            _ => None,
        };
        call.events.iter().filter_map(of).collect()
    };
    let want = [(5, false, None), (30, true, None), (75, false, Some(5)), (100, true, Some(30))];
    assert_eq!(told(&call), want);
    call.session.renegotiate(media(Codec::Pcmu, Direction::RecvOnly), call.now);
    call.run(Duration::from_secs(80));
    assert_eq!(told(&call), want, "a phone on hold may be silent");
}

#[test]
fn a_caller_who_speaks_is_heard_and_the_end_is_told_even_if_the_phone_falls_silent() {
    let mut call = Call::with(config(MU, vad::Engine::Energy));
    (0..50).for_each(|_| call.phone_sends(&[0xff; 160]));
    let mut random = Random::new(3);
    for _ in 0..50 {
        let noise: Vec<i16> = (0..160).map(|_| (random.below(12_000) as i32 - 6_000) as i16).collect();
        call.phone_sends(&g711::encode(Law::Mu, &noise));
    }
    let last = call.now - PTIME;
    call.run(Duration::from_secs(2));
    let speech: Vec<Speech> = call
        .events
        .iter()
        .filter_map(|(_, e)| match e {
            Event::Speech(speech) => Some(*speech),
            _ => None,
        })
        .collect();
    let insisted = [Speech::Suspected, Speech::Confirmed, Speech::Insisted];
    assert_eq!(speech, [insisted.as_slice(), &[Speech::Ended { last_voice: last }]].concat());
    assert_eq!(call.session.last_voice(), Some(last));
}

/// Noise at -50 dB, which is as loud as before where a packet of it is missing.
#[test]
fn the_noise_of_a_line_that_loses_packets_is_no_voice_by_its_loudness() {
    let (mut call, mut random) = (Call::with(config(MU, vad::Engine::Energy)), Random::new(3));
    for n in 0..400 {
        let noise: Vec<i16> = (0..160).map(|_| random.below(361) as i16 - 180).collect();
        let frame = g711::encode(Law::Mu, &noise);
        if n == 150 {
            call.events.clear(); // until a line is known, what is loud is a voice
        }
        if n >= 150 && n % 25 == 0 { call.phone_loses(&frame) } else { call.phone_sends(&frame) }
    }
    let speech: Vec<&Event> =
        call.events.iter().map(|(_, event)| event).filter(|event| matches!(event, Event::Speech(_))).collect();
    assert!(speech.is_empty(), "{speech:?}");
}

/// Our own voice comes back from the caller's line, 14 dB weaker and 80 ms later: nobody interrupted us.
#[test]
fn our_echo_is_not_the_caller() {
    for (echoes, cut_in) in [(true, false), (false, true)] {
        let mut call = Call::with(config(MU, vad::Engine::Energy));
        let mut random = Random::new(8);
        // Syllables of noise, each of its own length and loudness.
        let mut speech: Vec<i16> = Vec::new();
        while speech.len() < 40_000 {
            let (length, loudness) = (600 + random.below(1_800), 1_000 + random.below(11_000) as i32);
            speech.extend((0..length).map(|_| (random.below(2 * loudness as u64) as i32 - loudness) as i16));
            speech.extend(vec![0; 200 + random.below(1_200) as usize]);
        }
        call.session.play(UtteranceId(1), &mu(g711::encode(Law::Mu, &speech)), call.now);
        (0..4).for_each(|_| call.phone_sends(&[0xff; 160]));
        for n in 4..200_usize {
            let from = (n - 4) * 160;
            let returned: Vec<i16> = speech[from..from + 160].iter().map(|s| if echoes { s / 5 } else { 0 }).collect();
            let spoken: Vec<i16> =
                (0..160).map(|_| if cut_in && n >= 60 { random.below(9_000) as i16 - 4_500 } else { 0 }).collect();
            let mixed: Vec<i16> = returned.iter().zip(&spoken).map(|(a, b)| a + b).collect();
            call.phone_sends(&g711::encode(Law::Mu, &mixed));
        }
        let confirmed = call.events.iter().any(|(_, event)| *event == Event::Speech(Speech::Confirmed));
        assert_eq!(confirmed, cut_in, "echo {echoes}");
    }
}

/// A voice-like sound whose pitch moves, so that going on as before is wrong; in Opus packets of 20 ms.
fn opus_packets(wanted: opus::Receiver) -> Vec<Vec<u8>> {
    let mut encoder = codec::Encoder::new(Codec::Opus, wanted).expect("an encoder");
    let mut phase = 0.0;
    let wave = |n: u32| {
        phase += std::f64::consts::TAU * (150.0 + 90.0 * (f64::from(n) / 960.0).sin()) / 24_000.0;
        ((1..8).map(|k| (phase * f64::from(k)).sin() / f64::from(k)).sum::<f64>() * 6_000.0) as i16
    };
    let voice: Vec<i16> = (0..48_000).map(wave).collect();
    voice.chunks(480).map(|frame| encoder.encode(frame).expect("a packet")).collect()
}

/// The PCM that goes up when some of these packets are lost, and how much of it was made up.
fn heard_of(packets: &[Vec<u8>], lost: impl Fn(u16) -> bool) -> (Vec<i16>, Duration) {
    let opus = media(Codec::Opus, Direction::SendRecv);
    let uplink = AudioFormat::Pcm(SampleRate::HZ_16000);
    let mut call = Call::with(Config { media: opus, ..config(uplink, vad::Engine::Off) });
    for (sequence, payload) in (0..).zip(packets) {
        let timestamp = u32::from(sequence) * 960;
        let packet = Packet { marker: false, payload_type: 102, sequence, timestamp, ssrc: 9, payload };
        if !lost(sequence) {
            call.receive(PHONE, &packet.to_bytes());
        }
        call.run(PTIME);
    }
    let pcm = call.events.iter().filter_map(|(_, event)| match event {
        Event::Audio(Audio::Pcm(frame)) => Some(frame.samples.clone()),
        _ => None,
    });
    (pcm.flatten().collect(), call.session.stats().concealed)
}

/// RFC 6716 §2.1.7: a lost frame is in the packet after it, if the sender put it there.
#[test]
fn a_lost_opus_packet_is_repaired_by_the_next() {
    let error = |repairs| {
        let packets = opus_packets(opus::Receiver { repairs, ..opus::Receiver::default() });
        let lost = |n: u16| n > 10 && n % 10 == 7;
        let ((whole, _), (made, concealed)) = (heard_of(&packets, |_| false), heard_of(&packets, lost));
        assert_eq!((concealed, made.len()), (PTIME * 9, whole.len()));
        let frames = whole.chunks(320).zip(made.chunks(320)).zip(0..).filter(|(_, n)| lost(*n));
        let pairs = frames.flat_map(|((truth, made), _)| truth.iter().zip(made));
        pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>()
    };
    let (repaired, extrapolated) = (error(true), error(false));
    assert!(repaired < extrapolated / 2.0, "{repaired} and {extrapolated}");
}

#[test]
fn what_the_provider_hears_may_be_settled_after_the_session_began() {
    let mut call = Call::new(AudioFormat::G711(Law::Mu));
    (0..3).for_each(|_| call.phone_sends(&[0xff; 160]));
    call.session.feed(AudioFormat::Pcm(SampleRate::HZ_16000));
    (0..3).for_each(|_| call.phone_sends(&[0xff; 160]));
    let formats: Vec<_> = call
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Audio(Audio::G711 { bytes, .. }) => Some((8_000, bytes.len())),
            Event::Audio(Audio::Pcm(frame)) => Some((frame.rate.hz(), frame.samples.len())),
            _ => None,
        })
        .collect();
    assert_eq!(formats[..3], [(8_000, 160); 3]);
    assert!(formats[3..].len() >= 3 && formats[3..].iter().all(|piece| piece.0 == 16_000), "{formats:?}");
}
