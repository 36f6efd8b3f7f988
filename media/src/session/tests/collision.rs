//! Packets that bear our SSRC (RFC 3550 §8.2).
use super::*;
use crate::rtcp;

const MU: AudioFormat = AudioFormat::G711(Law::Mu);

/// SSRCs of the packets that left since, without repetitions.
fn sources(call: &Call, since: usize) -> Vec<u32> {
    let mut sources: Vec<u32> = call.packets()[since..].iter().map(|(_, packet)| packet.ssrc).collect();
    sources.dedup();
    sources
}

fn left(call: &Call) -> Vec<u32> {
    let reports = call.sent.iter().filter(|(_, it)| it.channel == Channel::Rtcp);
    reports.flat_map(|(_, it)| rtcp::left(&it.bytes)).collect()
}

#[test]
fn rfc3550_8_2_a_peer_with_our_ssrc_makes_us_take_another_and_is_heard() {
    let mut call = Call::new(MU);
    call.run(ms(1));
    let ours = sources(&call, 0)[0];
    call.ssrc = ours;
    (0..300).for_each(|n| call.phone_sends(&tone_frame(n)));
    let [first, second] = sources(&call, 0)[..] else { panic!("{:?}", sources(&call, 0)) };
    assert_eq!((first, left(&call)), (ours, vec![ours]), "BYE for the one that nobody has any more");
    assert_ne!(second, ours);
    assert_eq!(call.heard_bytes().len(), 300 * 160, "the peer's audio is the peer's");
    let reports: Vec<u32> = call
        .sent
        .iter()
        .filter_map(|(_, it)| rtcp::source(&it.bytes).filter(|_| it.channel == Channel::Rtcp))
        .collect();
    assert!(reports.len() > 1 && reports[1..].iter().all(|ssrc| *ssrc == second), "{reports:?}");
    let packets = call.packets();
    let ticks = packets.windows(2).all(|pair| pair[1].1.timestamp == pair[0].1.timestamp.wrapping_add(160));
    assert!(ticks && packets.len() > 300, "our clock goes on");
    assert_eq!(call.session.stats().foreign, 0);
}

/// §8.2: "in a loop, the SSRC would change forever".
#[test]
fn rfc3550_8_2_our_own_packets_that_come_back_change_it_once_and_are_not_heard() {
    let mut call = Call::new(MU);
    call.session.play(UtteranceId(1), &mu(vec![0x20; 160_000]), call.now);
    let mut seen = 0;
    for _ in 0..1_000 {
        call.run(PTIME);
        let back: Vec<Transmit> = call.sent[seen..].iter().map(|(_, it)| it.clone()).collect();
        seen = call.sent.len();
        for Transmit { channel, bytes, .. } in back {
            match channel {
                Channel::Rtp => call.receive(PHONE, &bytes),
                Channel::Rtcp => call.session.handle_rtcp(address("192.0.2.1:4001"), &bytes, call.now),
            }
        }
    }
    assert_eq!(sources(&call, 0).len(), 2, "{:x?}", sources(&call, 0));
    assert_eq!(left(&call).len(), 1);
    assert!(call.session.stats().received <= 3 && call.session.stats().foreign > 900, "{:?}", call.session.stats());
    assert!(call.session.quality().downlink.is_none(), "our own reports tell us nothing");
}

/// Reports may have an address of their own (RFC 3605), and come back from it as packets do from theirs.
#[test]
fn rfc3550_8_2_what_comes_back_from_two_addresses_changes_it_once_for_each() {
    let mut config = config(MU, vad::Engine::Off);
    config.media.remote_rtcp = address("192.0.2.2:4001");
    let mut call = Call::with(config);
    let mut seen = 0;
    for _ in 0..2_000 {
        call.run(PTIME);
        let back: Vec<Transmit> = call.sent[seen..].iter().map(|(_, it)| it.clone()).collect();
        seen = call.sent.len();
        for Transmit { channel, remote, bytes } in back {
            match channel {
                Channel::Rtp => call.receive(PHONE, &bytes),
                Channel::Rtcp => call.session.handle_rtcp(remote, &bytes, call.now),
            }
        }
    }
    assert_eq!(left(&call).len(), 2, "{:x?}", sources(&call, 0));
    assert!(call.session.stats().foreign > 1_900, "{:?}", call.session.stats());
}

/// What is no report tells of no source.
#[test]
fn rfc3550_8_2_a_broken_report_with_our_ssrc_changes_nothing() {
    let mut call = Call::new(MU);
    call.run(ms(200));
    let ours = sources(&call, 0)[0].to_be_bytes();
    for head in [[0x80, 201, 0, 9], [0x80, 203, 0, 1], [0x9f, 200, 0, 1], [0, 201, 0, 1]] {
        call.session.handle_rtcp(address("192.0.2.1:4001"), &[head, ours].concat(), call.now);
    }
    call.run(ms(200));
    assert_eq!((sources(&call, 0).len(), left(&call).len()), (1, 0));
    assert_eq!(call.session.stats().malformed, 4);
    call.session.handle_rtcp(address("192.0.2.1:4001"), &[[0x80, 201, 0, 1], ours].concat(), call.now);
    call.run(PTIME);
    assert_eq!(left(&call).len(), 1);
}

/// Told on by another source, the rest of a press would be a press of its own to whoever counts by source.
#[test]
fn a_key_that_is_being_pressed_while_our_ssrc_changes_is_pressed_once() {
    for pressed in [0, 30, 50, 90, 110, 150, 190] {
        let mut call = Call::new(MU);
        call.run(ms(1));
        call.ssrc = sources(&call, 0)[0];
        call.session.send_dtmf("11", call.now);
        call.run(ms(pressed));
        let collides = call.packet(&tone_frame(0));
        call.receive(PHONE, &collides);
        call.run(ms(800));
        let (packets, mut digits) = (call.packets(), String::new());
        for source in sources(&call, 0) {
            let events = packets.iter().filter(|(_, it)| it.ssrc == source && it.payload_type == 101);
            let (mut receiver, mut ended) = (dtmf::Receiver::default(), true);
            for (at, packet) in events {
                let event = dtmf::Event::parse(packet.payload).unwrap();
                ended = event.end;
                let now = call.start + *at;
                digits.extend(receiver.handle_event(event, packet.marker, packet.timestamp, 8_000, now));
            }
            assert!(ended, "{pressed} ms");
        }
        assert_eq!((digits.as_str(), sources(&call, 0).len()), ("11", 2), "{pressed} ms");
    }
}

/// The peer goes on to believe us under SRTP, whose numbers begin again with the new source.
#[test]
fn rfc3711_a_new_ssrc_is_another_stream_under_the_same_key() {
    let suite = crate::srtp::Suite::ALL[0];
    let key = |byte| crate::srtp::Master::new(suite, &vec![byte; suite.master_length()]).unwrap();
    let keys = crate::srtp::Keys { sent: key(1), received: key(2) };
    let mut config = config(MU, vad::Engine::Off);
    config.media.srtp = Some(keys.clone());
    let mut call = Call::with(config);
    call.run(ms(200));
    call.ssrc = sources(&call, 0)[0];
    let mut phone = crate::srtp::Sender::new(&keys.received);
    for n in 0..50 {
        let mut datagram = call.packet(&tone_frame(n));
        phone.protect_rtp(&mut datagram).unwrap();
        call.receive(PHONE, &datagram);
        call.run(PTIME);
    }
    let mut receiver = crate::srtp::Receiver::new(&keys.sent);
    let rtp = call.sent.iter().filter(|(_, it)| it.channel == Channel::Rtp);
    let believed = rtp.filter(|(_, it)| receiver.unprotect_rtp(&mut it.bytes.clone()).is_ok()).count();
    assert_eq!(believed, call.sent.iter().filter(|(_, it)| it.channel == Channel::Rtp).count());
    assert!(believed > 55 && sources(&call, 0).len() == 2);
}

/// After its BYE the peer counts a new stream from its first packet; so do we what it says of it.
#[test]
fn what_the_peer_says_of_the_new_stream_is_counted_beside_the_old() {
    let mut call = Call::new(MU);
    let reported = |call: &mut Call, highest: u16, lost: u8| {
        let ours = call.packets().last().unwrap().1.ssrc;
        let highest = u32::from(highest).to_be_bytes();
        let block = [&ours.to_be_bytes()[..], &[0, 0, 0, lost], &highest, &[0; 12]].concat();
        let report = [&[0x81, 201, 0, 7][..], &7_u32.to_be_bytes(), &block].concat();
        call.session.handle_rtcp(address("192.0.2.1:4001"), &report, call.now);
        call.session.quality().downlink.unwrap().loss
    };
    call.run(ms(1_990));
    let last = call.packets().last().unwrap().1.sequence;
    let before = reported(&mut call, last, 10);
    assert_eq!((before.expected, before.lost), (100, 10));
    call.ssrc = sources(&call, 0)[0];
    call.phone_sends(&tone_frame(0));
    call.run(ms(980));
    let last = call.packets().last().unwrap().1.sequence;
    let after = reported(&mut call, last, 5);
    assert_eq!((after.expected, after.lost), (150, 15));
}
