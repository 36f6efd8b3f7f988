//! What a description settles beyond the codec: numbers for each way, one port for both, and ICE.
use super::*;
use crate::{
    ice::{Credentials, Secret},
    stun,
};

const MU: AudioFormat = AudioFormat::G711(Law::Mu);
const NAT: &str = "198.51.100.7:45664";

fn with(change: impl FnOnce(&mut Negotiated)) -> Call {
    let mut config = config(MU, vad::Engine::Off);
    change(&mut config.media);
    Call::with(config)
}

fn credentials(session: u32) -> Credentials {
    Secret::new([4; 32]).credentials(session).unwrap()
}

/// A check of the peer's, signed for `ours`.
fn check(ours: &Credentials, nominates: bool) -> Vec<u8> {
    stun::tests::check(&format!("{}:8hhY", ours.fragment), &ours.password, nominates)
}

/// RFC 3264 §5.1: each side numbers what it receives.
#[test]
fn rfc3264_5_1_packets_go_out_under_the_peers_number_and_come_in_under_ours() {
    let mut call = with(|media| {
        media.payload_type = PayloadType { sent: 97, received: 96 };
        media.telephone_event =
            Some(TelephoneEvent { payload_type: PayloadType { sent: 98, received: 101 }, clock: 8_000 });
    });
    for (payload_type, value) in [(96, 1), (97, 2), (96, 3)] {
        let (sequence, timestamp, ssrc) = (call.sequence, call.timestamp, call.ssrc);
        call.packet(&[value; 160]);
        let packet = Packet { marker: false, payload_type, sequence, timestamp, ssrc, payload: &[value; 160] };
        call.receive(PHONE, &packet.to_bytes());
        call.run(PTIME);
    }
    let heard = call.heard_bytes();
    assert!(heard.contains(&1) && heard.contains(&3) && !heard.contains(&2));
    call.session.send_dtmf("5", call.now);
    call.run(ms(400));
    let numbers: Vec<u8> = call.packets().iter().map(|(_, packet)| packet.payload_type).collect();
    assert!(numbers.contains(&97) && numbers.contains(&98) && numbers.iter().all(|n| [97, 98].contains(n)));
}

/// RFC 5761 §4, §5.1.1: reports leave from the RTP port for where RTP goes, and are heard there.
#[test]
fn rfc5761_with_a_shared_port_reports_go_and_come_with_rtp() {
    let mut call = with(|media| {
        media.rtcp_mux = true;
        media.remote_rtcp = media.remote;
    });
    let datagram = call.packet(&[1; 160]);
    call.receive("192.0.2.1:9000", &datagram); // our packets follow, and so do our reports
    call.run(Duration::from_secs(20));
    let is_report = |transmit: &&Transmit| matches!(transmit.bytes.get(1), Some(200 | 201));
    let reports: Vec<&Transmit> = call.sent.iter().map(|(_, transmit)| transmit).filter(is_report).collect();
    assert!(reports.len() >= 2);
    assert!(reports.iter().all(|it| (it.channel, it.remote) == (Channel::Rtp, address("192.0.2.1:9000"))));
    // The peer echoes the middle of our last report's time (RFC 3550 §6.4.1): a round trip is measured.
    let ours = &reports.last().unwrap().bytes;
    let report = [&[0x81, 201, 0, 7, 0, 0, 0, 9], &ours[4..8], &[0; 12][..], &ours[10..14], &[0; 4]].concat();
    call.receive("192.0.2.1:9000", &report);
    assert!(call.session.stats().round_trip.is_some());
    assert_eq!(call.session.stats().malformed, 0);
}

#[test]
fn rfc3264_8_4_a_hold_by_the_unspecified_address_is_sent_neither_rtp_nor_reports() {
    let mut call = Call::new(MU);
    (0..10).for_each(|_| call.phone_sends(&[1; 160]));
    let (remote, remote_rtcp) = (address("0.0.0.0:4000"), address("0.0.0.0:4001"));
    let held = Negotiated { remote, remote_rtcp, ..media(Codec::Pcmu, Direction::RecvOnly) };
    call.session.renegotiate(held, call.now);
    let before = call.sent.len();
    call.run(Duration::from_secs(30));
    assert_eq!(call.sent.len(), before);
    call.session.renegotiate(media(Codec::Pcmu, Direction::SendRecv), call.now);
    call.run(ms(50));
    assert!(call.sent.len() > before && call.sent.last().unwrap().1.remote == address(PHONE));
}

/// Its music and its reports go on, from where they came: signs of life, and nobody to warn of.
#[test]
fn rfc3264_8_4_who_holds_by_the_unspecified_address_is_still_the_caller() {
    let mut call = Call::new(MU);
    (0..10).for_each(|_| call.phone_sends(&[1; 160]));
    let (remote, remote_rtcp) = (address("0.0.0.0:4000"), address("0.0.0.0:4001"));
    let held = Negotiated { remote, remote_rtcp, ..media(Codec::Pcmu, Direction::RecvOnly) };
    call.session.renegotiate(held, call.now);
    let (sent, told) = (call.sent.len(), call.events.len());
    // 100 s: without a sign of life a hold may last 90 s.
    (0..5_000).for_each(|_| call.phone_sends(&[2; 160]));
    call.session.handle_rtcp(address("192.0.2.1:4001"), &[0x80, 201, 0, 1, 0, 0, 0, 9], call.now);
    call.drain();
    assert_eq!(call.sent.len(), sent, "nothing is sent to who takes nothing");
    let stats = call.session.stats();
    assert_eq!((stats.received, stats.foreign, stats.malformed), (5_010, 0, 0));
    let surprises = call.events[told..].iter().filter(|(_, event)| {
        matches!(event, Event::Latched(_) | Event::Foreign(_) | Event::Silent(_) | Event::MediaTimeout(_))
    });
    assert_eq!(surprises.count(), 0);
    call.session.renegotiate(media(Codec::Pcmu, Direction::SendRecv), call.now);
    call.run(Duration::from_secs(10));
    let remotes = |channel: Channel| {
        let sent = call.sent[sent..].iter().filter(move |(_, it)| it.channel == channel);
        sent.map(|(_, it)| it.remote).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(remotes(Channel::Rtp), [address(PHONE)].into());
    assert_eq!(remotes(Channel::Rtcp), [address("192.0.2.1:4001")].into());
}

#[test]
fn rfc8445_7_3_a_check_is_answered_where_it_came_from_on_the_port_it_came_to() {
    let ours = credentials(0);
    let mut call = with(|media| media.ice = Some(ours.clone()));
    call.receive(NAT, &check(&ours, false));
    call.session.handle_rtcp(address(NAT), &check(&ours, false), call.now);
    call.drain();
    let answers: Vec<(Channel, SocketAddr, u8)> =
        call.sent.iter().map(|(_, it)| (it.channel, it.remote, it.bytes[0])).collect();
    assert_eq!(answers, [(Channel::Rtp, address(NAT), 1), (Channel::Rtcp, address(NAT), 1)]);
    call.run(ms(100));
    let rtp = call.sent[2..].iter().all(|(_, transmit)| transmit.remote == address(PHONE));
    assert!(rtp, "a check that does not nominate moves nothing");
    let stats = call.session.stats();
    assert_eq!((stats.malformed, stats.foreign), (0, 0));
}

#[test]
fn rfc8445_8_1_1_a_nominated_pair_takes_the_call_and_only_a_signed_check_can_nominate() {
    let ours = credentials(0);
    let mut call = with(|media| media.ice = Some(ours.clone()));
    call.receive("203.0.113.66:4000", &check(&credentials(1), true));
    call.run(ms(50));
    assert!(call.sent.len() > 2);
    let moved = |call: &Call| call.sent.last().map(|(_, transmit)| transmit.remote);
    assert_eq!(moved(&call), Some(address(PHONE)));
    call.receive(NAT, &check(&ours, true));
    call.run(ms(50));
    assert_eq!(moved(&call), Some(address(NAT)));
    let datagram = call.packet(&[7; 160]);
    call.receive(NAT, &datagram);
    let stray = call.packet(&[8; 160]);
    call.receive(PHONE, &stray);
    call.run(ms(50));
    let heard = call.heard_bytes();
    assert!(heard.contains(&7) && !heard.contains(&8), "nobody else is heard");
    assert!(call.events.iter().all(|(_, event)| !matches!(event, Event::Latched(_))), "no surprise to warn of");
}

/// RFC 8445 §5.1.1.1: RTCP on its own port is a component of its own, checked and chosen by itself.
#[test]
fn rfc8445_8_1_1_reports_go_where_their_own_component_was_nominated() {
    let ours = credentials(0);
    let mut call = with(|media| media.ice = Some(ours.clone()));
    call.receive(NAT, &check(&ours, true));
    call.session.handle_rtcp(address("198.51.100.7:51000"), &check(&ours, true), call.now);
    call.drain();
    let before = call.sent.len();
    call.run(Duration::from_secs(10));
    let reports = call.sent[before..].iter().filter(|(_, transmit)| transmit.channel == Channel::Rtcp);
    let remotes: Vec<SocketAddr> = reports.map(|(_, transmit)| transmit.remote).collect();
    assert!(
        !remotes.is_empty() && remotes.iter().all(|remote| *remote == address("198.51.100.7:51000")),
        "{remotes:?}"
    );
}

/// RFC 5245 §8.1.1.2: every pair is nominated as it is found, and the best of them is used.
#[test]
fn rfc5245_8_1_1_2_of_several_nominated_pairs_the_best_is_used() {
    let ours = credentials(0);
    let mut call = with(|media| media.ice = Some(ours.clone()));
    for (from, priority) in [("192.0.2.1:5000", 50), (NAT, 90), ("192.0.2.1:6000", 70), ("192.0.2.1:5000", 50)] {
        let name = format!("{}:8hhY", ours.fragment);
        call.receive(from, &stun::tests::prioritised_check(&name, &ours.password, true, priority));
    }
    call.run(ms(50));
    assert_eq!(call.sent.last().unwrap().1.remote, address(NAT));
}

/// RFC 8445 §9: hold and resume name the default destination again; the pair in use stays until ICE starts anew.
#[test]
fn rfc8445_9_the_nominated_pair_outlives_hold_and_yields_to_a_restart() {
    let ours = credentials(0);
    let mut call = with(|media| media.ice = Some(ours.clone()));
    call.receive(NAT, &check(&ours, true));
    let again = |direction, ice| Negotiated { ice, ..media(Codec::Pcmu, direction) };
    call.session.renegotiate(again(Direction::RecvOnly, Some(ours.clone())), call.now);
    call.session.renegotiate(again(Direction::SendRecv, Some(ours)), call.now);
    call.run(ms(50));
    assert_eq!(call.sent.last().unwrap().1.remote, address(NAT));
    call.session.renegotiate(again(Direction::SendRecv, Some(credentials(1))), call.now);
    call.run(ms(50));
    assert_eq!(call.sent.last().unwrap().1.remote, address(PHONE));
}

/// RFC 8839 §4.4.1.2.1: before a pair is nominated the default destination may change, and ICE goes on.
#[test]
fn rfc8839_4_4_1_2_1_until_a_pair_is_nominated_another_default_destination_is_followed() {
    let ours = credentials(0);
    let mut call = with(|media| media.ice = Some(ours.clone()));
    call.receive(NAT, &check(&ours, false));
    call.run(ms(50));
    let elsewhere = address("192.0.2.1:6000");
    let moved = Negotiated { remote: elsewhere, ice: Some(ours), ..media(Codec::Pcmu, Direction::SendRecv) };
    call.session.renegotiate(moved, call.now);
    call.run(ms(50));
    assert_eq!(call.sent.last().unwrap().1.remote, elsewhere);
}

#[test]
fn rfc7983_without_ice_a_check_is_noise() {
    let mut call = Call::new(MU);
    call.receive(PHONE, &check(&credentials(0), true));
    assert!(call.sent.is_empty());
    assert_eq!(call.session.stats().malformed, 1);
}
