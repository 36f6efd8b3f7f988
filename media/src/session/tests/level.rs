//! What goes up is as long as the call lasted, however the packets come.
use super::*;

const PCM: AudioFormat = AudioFormat::Pcm(SampleRate::HZ_8000);

fn heard(call: &Call) -> Vec<i16> {
    let pcm = call.events.iter().filter_map(|(_, event)| match event {
        Event::Audio(Audio::Pcm(frame)) => Some(frame.samples.clone()),
        _ => None,
    });
    pcm.flatten().collect()
}

fn lasts(call: &Call) -> Duration {
    SampleRate::HZ_8000.duration_of(heard(call).len())
}

/// A voice for 200 ms, then a pause as long.
fn syllables(frame: usize) -> Vec<u8> {
    if (frame / 10).is_multiple_of(2) { tone_frame(frame) } else { vec![0xff; 160] }
}

/// A phone whose clock is off by so many millionths, on a network that delays each packet by up to 30 ms.
fn drifting(ppm: i64, packets: u32, frame: fn(usize) -> Vec<u8>) -> Call {
    let mut call = Call::new(PCM);
    let mut random = Random::new(3);
    let ptime = Duration::from_nanos((20_000_000 - 20 * ppm) as u64);
    for n in 0..packets {
        let at = call.start + ptime * n + Duration::from_micros(random.below(30_000));
        call.run(at.saturating_duration_since(call.now));
        let datagram = call.packet(&frame(n as usize));
        call.receive(PHONE, &datagram);
        call.sent.clear();
    }
    call
}

#[test]
fn an_hour_of_a_clock_that_is_off_makes_nothing_up_and_leaves_only_pauses_out() {
    for (ppm, left_out) in [(-200, 0), (200, 720), (1_000, 3_600)] {
        let call = drifting(ppm, 180_000, syllables);
        let stats = call.session.stats();
        assert_eq!((stats.silence, stats.concealed, stats.lost), (Duration::ZERO, Duration::ZERO, 0), "{ppm} ppm");
        let difference = stats.left_out.abs_diff(ms(left_out));
        assert!(difference <= ms(if ppm > 0 { 100 } else { 0 }), "{ppm} ppm: {:?}", stats.left_out);
        assert_eq!(lasts(&call) + stats.left_out, Duration::from_secs(3_600), "{ppm} ppm: all else went up");
    }
}

#[test]
fn a_tone_on_a_drifting_clock_has_no_clicks() {
    for ppm in [-1_000, 1_000] {
        let heard = heard(&drifting(ppm, 3_000, tone_frame));
        assert_eq!(heard.len(), 3_000 * 160, "{ppm} ppm: no pause, nothing to leave out");
        let step = heard.windows(2).map(|pair| pair[0].abs_diff(pair[1])).max().unwrap_or_default();
        assert!(step < 1_500, "{ppm} ppm: a step of {step}; the tone's own are 1256, and µ-law rounds");
    }
}

#[test]
fn packets_that_stalled_and_come_together_are_levelled_in_the_next_pauses() {
    let mut call = Call::new(PCM);
    (0..100).for_each(|n| call.phone_sends(&syllables(n)));
    let stalled: Vec<Vec<u8>> = (100..120)
        .map(|n| {
            let datagram = call.packet(&syllables(n));
            call.run(PTIME);
            datagram
        })
        .collect();
    assert!(call.session.stats().silence >= ms(380), "the provider must not wait for ever");
    stalled.iter().for_each(|datagram| call.receive(PHONE, datagram));
    let behind = lasts(&call).abs_diff(ms(2_800));
    assert!(behind <= ms(240), "made up and said, less the pauses among it: {behind:?}");
    (120..400).for_each(|n| call.phone_sends(&syllables(n)));
    let stats = call.session.stats();
    assert!(lasts(&call) <= ms(8_000) + ms(80), "level again: {:?}", lasts(&call));
    assert_eq!(lasts(&call) + stats.left_out, ms(8_000) + stats.silence, "nothing unaccounted for");
    assert_eq!((stats.lost, stats.late), (0, 0));
    let loud = heard(&call).iter().filter(|sample| sample.abs() > 4_000).count();
    let said: usize =
        (0..400).map(|n| g711::decode(Law::Mu, &syllables(n)).iter().filter(|s| s.abs() > 4_000).count()).sum();
    assert!(loud + 160 >= said, "no word was left out: {loud} of {said} loud samples");
}

/// A network that holds packets back and lets ten of them go at once, again and again.
#[test]
fn what_was_made_up_for_one_stall_stands_for_the_next() {
    let mut call = Call::new(PCM);
    (0..20).for_each(|n| call.phone_sends(&tone_frame(n)));
    for burst in 2..20_usize {
        call.run(ms(180));
        for n in 10 * burst..10 * (burst + 1) {
            let datagram = call.packet(&tone_frame(n));
            call.receive(PHONE, &datagram);
        }
        call.run(PTIME);
    }
    let stats = call.session.stats();
    assert!(stats.silence <= ms(200), "for the first burst, and for no other: {:?}", stats.silence);
    assert_eq!(lasts(&call), ms(4_000) + stats.silence);
    assert_eq!((stats.left_out, stats.concealed, stats.lost), (Duration::ZERO, Duration::ZERO, 0));
    call.run(ms(240));
    let since = call.session.stats().silence - stats.silence;
    assert!(since >= ms(240), "who falls silent is waited for no longer: {since:?}");
}

#[test]
fn unevenness_below_the_patience_makes_nothing_up() {
    let mut call = Call::new(PCM);
    let mut random = Random::new(4);
    for n in 0..1_000_u32 {
        let at = call.start + PTIME * n + Duration::from_micros(random.below(100_000));
        call.run(at.saturating_duration_since(call.now));
        let datagram = call.packet(&tone_frame(n as usize));
        call.receive(PHONE, &datagram);
    }
    let stats = call.session.stats();
    assert_eq!((stats.silence, stats.left_out, lasts(&call)), (Duration::ZERO, Duration::ZERO, ms(20_000)));
}

/// Ten times as many packets as the time has, or numbers that are missing between them: a provider is paid by the minute.
#[test]
fn of_who_sends_more_than_a_call_has_a_minute_more_goes_up_at_the_most() {
    for (packets, skipped) in [(5_000, 0), (500, 40)] {
        let mut call = Call::new(PCM);
        for n in 0..packets {
            let datagram = call.packet(&tone_frame(n));
            call.receive(PHONE, &datagram);
            call.sequence = call.sequence.wrapping_add(skipped);
            call.timestamp = call.timestamp.wrapping_add(160 * u32::from(skipped));
            call.run(ms(2));
            call.sent.clear();
        }
        let most = call.now - call.start + Duration::from_secs(60);
        assert!(lasts(&call).abs_diff(most) <= ms(100), "{skipped} skipped: {:?} of {most:?}", lasts(&call));
    }
}

/// RFC 3551 §4.5.2 has G.722 tick at 8 kHz, and some phones tick at 16: by each packet's timestamp as much is missing before it
/// as it holds. Its number and the time say that nothing is.
#[test]
fn of_a_phone_whose_timestamps_run_ahead_of_its_audio_nothing_is_made_up_for_long() {
    for frame in [tone_frame, syllables] {
        let mut call = Call::new(PCM);
        for n in 0..1_000 {
            call.phone_sends(&frame(n));
            call.timestamp = call.timestamp.wrapping_add(160);
        }
        let stats = call.session.stats();
        assert!(stats.concealed <= ms(80), "{:?}", stats.concealed);
        assert!(lasts(&call).abs_diff(ms(20_000)) <= ms(100), "{:?}", lasts(&call));
        assert_eq!((stats.lost, stats.left_out), (0, Duration::ZERO));
        assert!(stats.timestamp_jumps > 900, "the figures tell: {}", stats.timestamp_jumps);
    }
}

/// A mark of a talkspurt says nothing of loss or of a new stream: some senders set it on every packet, some never.
#[test]
fn markers_change_nothing() {
    for marks in [|_: usize| true, |n: usize| n.is_multiple_of(3), |_: usize| false] {
        let mut call = Call::new(MU_LAW);
        let mut sent = Vec::new();
        for n in 0..100 {
            let mut datagram = call.packet(&tone_frame(n));
            datagram[1] = if marks(n) { datagram[1] | 0x80 } else { datagram[1] };
            sent.extend(tone_frame(n));
            call.receive(PHONE, &datagram);
            call.run(PTIME);
        }
        assert_eq!(call.heard_bytes(), sent);
        assert_eq!((call.session.stats().restarts, call.session.stats().timestamp_jumps), (0, 0));
    }
}

const MU_LAW: AudioFormat = AudioFormat::G711(Law::Mu);

/// FreeSWITCH on bypass media: SSRC, sequence, timestamp and source port all change at once, in the middle of a word.
#[test]
fn another_source_with_another_stream_goes_on_without_a_gap_or_a_click_of_made_up_audio() {
    let mut call = Call::new(MU_LAW);
    (0..50).for_each(|n| call.phone_sends(&tone_frame(n)));
    (call.ssrc, call.sequence, call.timestamp) = (call.ssrc ^ 0x5555, 40_000, 7);
    call.session.renegotiate(
        Negotiated { remote: address("192.0.2.1:4010"), ..media(Codec::Pcmu, Direction::SendRecv) },
        call.now,
    );
    for n in 50..100 {
        let datagram = call.packet(&tone_frame(n));
        call.receive("192.0.2.1:4010", &datagram);
        call.run(PTIME);
    }
    assert_eq!(call.heard_bytes(), (0..100).flat_map(tone_frame).collect::<Vec<_>>());
    let stats = call.session.stats();
    assert_eq!((stats.restarts, stats.lost, stats.foreign, stats.concealed), (1, 0, 0, Duration::ZERO));
}
