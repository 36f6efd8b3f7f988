use super::*;

const MU: AudioFormat = AudioFormat::G711(Law::Mu);
const ATTACKER: &str = "203.0.113.66:4000";

#[test]
fn an_attacker_is_never_heard_and_never_gets_our_audio() {
    let mut call = Call::new(MU);
    let attack = |call: &mut Call| {
        for ssrc in [call.ssrc, 666] {
            let (sequence, timestamp) = (call.sequence, call.timestamp);
            let packet = Packet { marker: true, payload_type: 0, sequence, timestamp, ssrc, payload: &[0x66; 160] };
            call.receive(ATTACKER, &packet.to_bytes());
            call.session.handle_rtcp(address(ATTACKER), &[0x80, 201, 0, 1, 0, 0, 0, 1], call.now);
        }
    };
    for _ in 0..100 {
        attack(&mut call);
        call.phone_sends(&[0x11; 160]);
        attack(&mut call);
    }
    call.run(Duration::from_secs(10));
    attack(&mut call);
    call.run(Duration::from_secs(1));
    // A single one can be of the caller's last frame, which fades where he stopped.
    assert!(!call.heard_bytes().windows(20).any(|run| run.iter().all(|b| *b == 0x66)));
    assert!(call.sent.iter().all(|(_, t)| t.remote.ip() == address(PHONE).ip()));
    let stats = call.session.stats();
    assert_eq!((stats.foreign, stats.received), (201 * 4, 100));
    let latched: Vec<&Event> = call.events.iter().map(|(_, e)| e).filter(|e| matches!(e, Event::Latched(_))).collect();
    assert_eq!(latched, [&Event::Latched(address(PHONE))]);
}

#[test]
fn our_packets_follow_a_source_learnt_at_the_start() {
    let mut call = Call::new(MU);
    let datagram = call.packet(&[1; 160]);
    call.receive("192.0.2.1:9000", &datagram);
    call.run(ms(100));
    assert!(call.sent[1..].iter().all(|(_, t)| t.remote == address("192.0.2.1:9000")));
}

#[test]
fn garbage_never_panics_and_never_stops_the_clock() {
    let (mut call, mut random) = (Call::new(AudioFormat::Pcm(SampleRate::HZ_16000)), Random::new(99));
    for _ in 0..20_000 {
        let length = random.below(60) as usize;
        let mut datagram = random.bytes(length);
        if random.chance(70) && datagram.len() > 1 {
            datagram[0] = 0x80 | (datagram[0] & 0x3f);
            datagram[1] = [0, 101, 13, 8, 200, 201][random.below(6) as usize] | (datagram[1] & 0x80);
        }
        let from = if random.chance(80) { PHONE } else { ATTACKER };
        match random.below(10) {
            0 => call.session.handle_rtcp(address(from), &datagram, call.now),
            _ => call.session.handle_rtp(address(from), &datagram, call.now),
        }
        call.run(Duration::from_micros(random.below(5_000)));
        call.drain();
        call.events.clear();
        call.sent.clear();
    }
    let stats = call.session.stats();
    let slots = (call.now - call.start).as_millis() / 20 + 1;
    assert!(stats.malformed > 1_000 && stats.foreign > 500, "{stats:?}");
    assert_eq!(u128::from(stats.sent), slots);
}

#[test]
fn what_is_missing_beside_packets_of_a_sample_is_not_made_up_sample_by_sample() {
    let mut call = Call::new(MU);
    for _ in 0..50 {
        call.phone_sends(&[0x55]);
        call.timestamp = call.timestamp.wrapping_add(159);
    }
    let pieces = call.events.iter().filter(|(_, event)| matches!(event, Event::Audio(_))).count();
    assert!(pieces <= 150, "{pieces} pieces for a second");
    let heard = SampleRate::HZ_8000.duration_of(call.heard_bytes().len());
    assert!(heard.abs_diff(ms(1_000)) <= ms(30), "as long as it lasted: {heard:?}");
}

/// Real packets of a phone, lost, doubled, delayed and mangled: the session stays a session.
#[test]
fn a_bad_network_never_makes_audio_of_the_wrong_length() {
    for seed in 0..40 {
        let (mut call, mut random) = (Call::new(MU), Random::new(seed));
        let mut flying: Vec<(u64, Vec<u8>)> = Vec::new();
        for n in 0..500_u64 {
            let datagram = call.packet(&tone_frame(n as usize));
            for _ in 0..[0, 1, 1, 1, 1, 1, 1, 1, 1, 2][random.below(10) as usize] {
                flying.push((n * 20 + random.below(50), datagram.clone()));
            }
        }
        flying.sort();
        for (at, datagram) in flying {
            let at = call.start + ms(at);
            call.run(at.saturating_duration_since(call.now));
            call.receive(PHONE, &datagram);
        }
        call.run(ms(100));
        let heard = SampleRate::HZ_8000.duration_of(call.heard_bytes().len());
        assert!(heard.abs_diff(Duration::from_secs(10)) < ms(300), "seed {seed}: {heard:?}");
        let stats = call.session.stats();
        assert!(stats.lost > 10 && stats.duplicated > 10 && stats.reordered > 10, "seed {seed}: {stats:?}");
    }
}
