use super::*;

const MU: AudioFormat = AudioFormat::G711(Law::Mu);

#[test]
fn fifty_packets_a_second_from_the_first_moment() {
    let mut call = Call::new(MU);
    call.run(Duration::from_secs(600));
    let packets = call.packets();
    assert_eq!(packets.len(), 30_001);
    for (n, (at, packet)) in packets.iter().enumerate() {
        assert_eq!(*at, PTIME * n as u32);
        assert_eq!((packet.payload, packet.marker), (&[0xff; 160][..], n == 0));
    }
    let in_line = |w: &[(Duration, Packet<'_>)]| {
        w[1].1.sequence == w[0].1.sequence.wrapping_add(1) && w[1].1.timestamp == w[0].1.timestamp.wrapping_add(160)
    };
    assert!(packets.windows(2).all(in_line));
}

#[test]
fn late_wake_ups_do_not_drift() {
    let (mut call, mut random) = (Call::new(MU), Random::new(5));
    let mut slots = 0;
    while call.now < call.start + Duration::from_secs(600) {
        let (deadline, _) = call.session.poll_timeout().expect("a deadline");
        let late = if random.chance(2) { random.below(100) } else { random.below(15) };
        call.now = call.now.max(deadline) + ms(late);
        call.session.handle_timeout(call.now);
        call.drain();
        slots = (call.now - call.start).as_millis() / 20 + 1;
    }
    let stats = call.session.stats();
    assert_eq!(u128::from(stats.sent + stats.pacing.skipped), slots);
    assert!(stats.pacing.skipped > 100 && stats.pacing.late > 100, "{stats:?}");
    let packets = call.packets();
    let first = packets[0].1.timestamp;
    for window in packets.windows(3) {
        assert!(window[0].0 < window[2].0, "never more than two at once");
    }
    for (at, packet) in &packets {
        let due = PTIME * (packet.timestamp.wrapping_sub(first) / 160);
        assert!(due <= *at && *at - due < ms(40), "timestamps tell the time: {due:?} at {at:?}");
    }
}

/// The echo guard takes what is missing for a pause: a wake-up that is late leaves none.
#[test]
fn speech_is_told_with_the_time_it_was_due() {
    let start = Call::new(MU).start;
    let mut downlink = Downlink::new(&media(Codec::Pcmu, Direction::SendRecv), 1, Duration::from_secs(10), start);
    downlink.playout.play(UtteranceId(1), &mu(vec![0x33; 160 * 10]));
    let mut told = Vec::new();
    for at in [0, 59, 85, 100, 190] {
        downlink.handle_timeout(start + ms(at), &mut Stats::default(), &mut VecDeque::new());
        told.extend(std::iter::from_fn(|| downlink.poll_spoken()).map(|(_, due)| due - start));
    }
    assert_eq!(told, [0, 20, 40, 60, 80, 100, 160, 180].map(ms), "two slots were skipped");
}

#[test]
fn an_utterance_goes_out_as_it_is_with_a_marker_and_its_end_is_told() {
    let mut call = Call::new(MU);
    call.run(ms(95));
    let mut speech: Vec<u8> = (0..1_650).map(|n| (n % 199) as u8).collect();
    speech[1_649] = 0xff; // it ends by itself
    let one = UtteranceId(1);
    call.session.play(one, &mu(speech[..1_000].to_vec()), call.now);
    call.session.play(one, &mu(speech[1_000..].to_vec()), call.now);
    assert_eq!(call.session.playing(), Some(one));
    call.session.finish(one, call.now);
    call.run(ms(500));
    let packets = call.packets();
    let spoken: Vec<&(Duration, Packet<'_>)> =
        packets.iter().filter(|(_, p)| p.payload.iter().any(|b| *b != 0xff)).collect();
    let payload: Vec<u8> = spoken.iter().flat_map(|(_, p)| p.payload.to_vec()).collect();
    assert_eq!(payload[..1_650], speech);
    assert_eq!(payload[1_650..], [0xff; 110]);
    assert_eq!(spoken.iter().map(|(_, p)| p.marker).collect::<Vec<_>>(), [vec![true], vec![false; 10]].concat());
    let at = call.start + ms(100);
    let played = SampleRate::HZ_8000.duration_of(1_650);
    let heard = Heard { utterance: one, played, queued: played };
    let told: Vec<&(Duration, Event)> = call.events.iter().filter(|(_, e)| !matches!(e, Event::Audio(_))).collect();
    assert_eq!(told, [&(ms(100), Event::FirstPacket { utterance: one, at }), &(ms(300), Event::PlayedOut(heard))]);
    assert_eq!((call.session.playing(), call.session.heard(one)), (None, Some(heard)));
}

/// 1,000 callers interrupt at any moment: what the cut says was heard is what left as RTP, within one packet.
#[test]
fn what_a_cut_says_was_heard_is_what_was_sent() {
    let mut random = Random::new(11);
    for barge_in in 0..1_000 {
        let mut call = Call::new(MU);
        let one = UtteranceId(barge_in);
        let bytes = 4_000 + random.below(20_000) as usize;
        for chunk in vec![0x20; bytes].chunks(1 + random.below(3_000) as usize) {
            call.session.play(one, &mu(chunk.to_vec()), call.now);
        }
        let ducks = random.chance(50);
        call.run(Duration::from_micros(random.below(3_000_000)));
        if ducks {
            call.session.duck(call.now);
            call.run(Duration::from_micros(random.below(200_000)));
        }
        let heard = call.session.cut(call.now);
        call.session.play(one, &mu(vec![0x20; 4_000]), call.now);
        call.run(ms(500));
        let sent: usize = call.packets().iter().map(|(_, p)| p.payload.iter().filter(|b| **b < 0xf0).count()).sum();
        let heard = heard.expect("it was playing");
        let error = heard.played.abs_diff(SampleRate::HZ_8000.duration_of(sent));
        assert!(error <= PTIME, "barge-in {barge_in}: {heard:?} but {sent} samples were sent");
        assert_eq!(call.session.heard(one), Some(heard));
        let silent = call.packets().iter().rev().take_while(|(_, p)| p.payload == [0xff; 160]).count();
        assert!(silent >= 23, "silence after one frame: {silent}");
    }
}

#[test]
fn on_hold_nothing_is_sent_and_what_waits_is_kept() {
    let mut call = Call::new(MU);
    call.session.play(UtteranceId(1), &mu(vec![0x20; 8_000]), call.now);
    call.run(ms(195));
    let before = call.packets().len();
    let last = call.packets()[before - 1].1.timestamp;
    call.session.renegotiate(media(Codec::Pcmu, Direction::RecvOnly), call.now);
    call.run(ms(1_000));
    assert_eq!(call.packets().len(), before);
    call.session.renegotiate(media(Codec::Pcmu, Direction::SendRecv), call.now);
    call.run(ms(790));
    let packets = call.packets();
    let (_, resumed) = packets[before];
    assert_eq!(resumed.sequence, packets[before - 1].1.sequence.wrapping_add(1));
    assert_eq!(resumed.timestamp.wrapping_sub(last), 51 * 160, "timestamps tell the time that passed");
    assert!(resumed.marker);
    let spoken = packets.iter().filter(|(_, p)| p.payload.contains(&0x20)).count();
    assert_eq!(spoken, 49, "nothing of the utterance was lost, but one rises");
}

/// In mid-sound, before and after: the caller who is back hears no click, and nothing of what is cut before it went on.
#[test]
fn what_a_hold_interrupted_goes_on_out_of_silence() {
    let back = || {
        let mut call = Call::new(MU);
        call.session.play(UtteranceId(1), &mu(vec![0x20; 8_000]), call.now);
        call.run(ms(195));
        call.session.renegotiate(media(Codec::Pcmu, Direction::Inactive), call.now);
        call.run(ms(100));
        call.session.renegotiate(media(Codec::Pcmu, Direction::SendRecv), call.now);
        call
    };
    let (mut goes_on, mut cut) = (back(), back());
    goes_on.run(ms(100));
    let sent: Vec<u8> = goes_on.packets()[10..].iter().flat_map(|(_, p)| p.payload.to_vec()).collect();
    assert_eq!(sent.len(), 800);
    let samples = g711::decode(Law::Mu, &[&[0xff][..], &sent].concat());
    assert!(samples.windows(2).all(|w| w[0].abs_diff(w[1]) <= 512), "{samples:?}");
    let heard = Heard { utterance: UtteranceId(1), played: ms(200), queued: ms(1_000) };
    assert_eq!(cut.session.cut(cut.now), Some(heard));
    cut.run(ms(100));
    assert!(cut.packets()[10..].iter().all(|(_, p)| p.payload == [0xff; 160]));
}

#[test]
fn another_codec_and_address_go_on_with_the_same_stream() {
    let mut call = Call::new(MU);
    call.session.play(UtteranceId(1), &mu(vec![0x20; 8_000]), call.now);
    call.run(ms(195));
    let changed = Negotiated { remote: address("198.51.100.4:7000"), ..media(Codec::Pcma, Direction::SendRecv) };
    call.session.renegotiate(changed, call.now);
    call.run(ms(200));
    let remotes: Vec<SocketAddr> =
        call.sent.iter().filter(|(_, t)| t.channel == Channel::Rtp).map(|(_, t)| t.remote).collect();
    assert_eq!((remotes[9], remotes[10]), (address(PHONE), address("198.51.100.4:7000")));
    let packets = call.packets();
    assert_eq!((packets[9].1.payload_type, packets[10].1.payload_type), (0, 8));
    assert!(packets.windows(2).all(|w| w[1].1.sequence == w[0].1.sequence.wrapping_add(1)));
    assert!(packets.windows(2).all(|w| w[1].1.timestamp == w[0].1.timestamp.wrapping_add(160)));
    let level = |law, p: &Packet<'_>| i32::from(g711::decode(law, p.payload)[80]);
    assert!((level(Law::Mu, &packets[9].1) - level(Law::A, &packets[10].1)).abs() < 600, "the same sound");
}

#[test]
fn wideband_speech_reaches_an_opus_call_and_comes_back() {
    let mut wideband = config(AudioFormat::Pcm(SampleRate::HZ_24000), vad::Engine::Off);
    wideband.media = media(Codec::Opus, Direction::SendRecv);
    let mut call = Call::with(wideband);
    let samples: Vec<i16> = (0..24_000)
        .map(|n| ((f64::from(n) * 440.0 * std::f64::consts::TAU / 24_000.0).sin() * 9_000.0) as i16)
        .collect();
    let audio = Audio::Pcm(crate::audio::Frame { rate: SampleRate::HZ_24000, samples });
    call.session.play(UtteranceId(1), &audio, call.now);
    call.session.finish(UtteranceId(1), call.now);
    call.run(ms(1_200));
    assert_eq!(call.session.stats().codec_errors, 0);
    let sent: Vec<Vec<u8>> =
        call.sent.iter().filter(|(_, t)| t.channel == Channel::Rtp).map(|(_, t)| t.bytes.clone()).collect();
    for datagram in sent {
        call.receive(PHONE, &datagram);
    }
    let loudest = call
        .events
        .iter()
        .filter_map(|(_, e)| match e {
            Event::Audio(Audio::Pcm(frame)) => frame.samples.iter().map(|s| s.unsigned_abs()).max(),
            _ => None,
        })
        .max();
    assert!(loudest.is_some_and(|level| level > 6_000), "{loudest:?}");
    assert!(call.events.iter().any(|(_, e)| matches!(e, Event::PlayedOut(h) if h.played.abs_diff(ms(1_000)) < ms(15))));
}

#[test]
fn digits_go_out_as_events_on_one_timestamp_and_speech_waits() {
    let mut call = Call::new(MU);
    call.session.play(UtteranceId(1), &mu(vec![0x20; 1_600]), call.now);
    call.session.finish(UtteranceId(1), call.now);
    call.session.send_dtmf("42", call.now);
    call.run(ms(800));
    let packets = call.packets();
    let events: Vec<&Packet<'_>> = packets.iter().map(|(_, p)| p).filter(|p| p.payload_type == 101).collect();
    assert_eq!(events.len(), 16);
    assert!(events[0].marker && events[8].marker && !events[1].marker);
    assert!(events[..8].iter().all(|p| p.timestamp == events[0].timestamp));
    assert_eq!(events[8].timestamp.wrapping_sub(events[0].timestamp), 10 * 160);
    let (mut receiver, mut digits) = (dtmf::Receiver::default(), String::new());
    for packet in &events {
        let event = dtmf::Event::parse(packet.payload).expect("an event");
        digits.extend(receiver.handle_event(event, packet.marker, packet.timestamp, 8_000, call.now));
    }
    assert_eq!(digits, "42");
    assert_eq!(packets.iter().filter(|(_, p)| p.payload[0] == 0x20).count(), 10);
    assert!(packets.windows(2).all(|w| w[1].1.sequence == w[0].1.sequence.wrapping_add(1)));
}

/// Wherever a hold falls, each key is told on one timestamp and ends before the hold or begins after it.
#[test]
fn rfc4733_2_5_1_a_key_that_a_hold_breaks_off_has_ended_and_the_next_is_another() {
    for slots in 0..24 {
        let mut call = Call::new(MU);
        call.run(ms(95));
        call.session.send_dtmf("42", call.now);
        call.run(PTIME * slots);
        call.session.renegotiate(media(Codec::Pcmu, Direction::RecvOnly), call.now);
        call.drain();
        let held = call.packets().len();
        call.run(ms(1_000));
        assert_eq!(call.packets().len(), held, "slot {slots}: nothing in the hold");
        call.session.renegotiate(media(Codec::Pcmu, Direction::SendRecv), call.now);
        call.run(ms(1_000));
        let packets = call.packets();
        let mut keys: Vec<Vec<(usize, &Packet<'_>, dtmf::Event)>> = Vec::new();
        for (index, (_, packet)) in packets.iter().enumerate().filter(|(_, (_, packet))| packet.payload_type == 101) {
            let event = dtmf::Event::parse(packet.payload).expect("an event");
            match keys.last_mut().filter(|key| key[0].1.timestamp == packet.timestamp) {
                Some(key) => key.push((index, packet, event)),
                None => keys.push(vec![(index, packet, event)]),
            }
        }
        assert_eq!(keys.iter().map(|key| key[0].2.code).collect::<Vec<_>>(), [4, 2], "slot {slots}");
        for key in &keys {
            assert!((key[0].0 < held) == (key[key.len() - 1].0 < held), "slot {slots}: it does not go on");
            assert!(key.iter().enumerate().all(|(n, (_, packet, _))| packet.marker == (n == 0)), "slot {slots}");
            assert!(key.windows(2).all(|pair| pair[0].2.duration <= pair[1].2.duration), "slot {slots}");
            assert_eq!(key.iter().filter(|(.., event)| event.end).count(), 3, "slot {slots}");
        }
        assert!(packets.windows(2).all(|w| w[1].1.sequence == w[0].1.sequence.wrapping_add(1)));
        assert!(!call.session.is_pressing());
    }
}

#[test]
fn without_events_digits_are_tones() {
    let mut deaf = config(MU, vad::Engine::Off);
    deaf.media.telephone_event = None;
    let mut call = Call::with(deaf);
    call.session.send_dtmf("1", call.now);
    call.run(ms(300));
    let loud = call.packets().iter().filter(|(_, p)| p.payload.iter().any(|b| *b != 0xff)).count();
    assert_eq!(loud, 5);
}

#[test]
fn reports_are_sent_from_the_first_seconds_and_bye_at_the_end() {
    let mut call = Call::new(MU);
    (0..500).for_each(|n| call.phone_sends(&tone_frame(n)));
    call.session.end(call.now);
    call.drain();
    call.run(Duration::from_secs(1));
    let reports: Vec<&(Duration, Transmit)> = call.sent.iter().filter(|(_, t)| t.channel == Channel::Rtcp).collect();
    assert!((3..=4).contains(&reports.len()), "{}", reports.len());
    assert!(reports[0].0 < ms(3_750) && reports.iter().all(|(_, t)| t.remote == address("192.0.2.1:4001")));
    let mut peer = crate::rtcp::Control::new(1, "peer".into(), Duration::ZERO, call.start);
    reports.iter().for_each(|(_, t)| assert!(peer.handle(&t.bytes, call.now)));
    let ours = call.packets()[0].1.ssrc;
    let left: Vec<Vec<u32>> = reports.iter().map(|(_, t)| crate::rtcp::left(&t.bytes)).collect();
    assert_eq!(left.concat(), [ours], "once");
    assert_eq!(left.last(), Some(&vec![ours]), "and last");
    assert_eq!(call.session.poll_timeout(), None);
    assert_eq!(call.sent.last().map(|(_, t)| t.channel), Some(Channel::Rtcp), "nothing after BYE");
}
