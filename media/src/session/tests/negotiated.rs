//! What a description settles beyond the codec: numbers for each way, one port for both.
use super::*;

const MU: AudioFormat = AudioFormat::G711(Law::Mu);

fn with(change: impl FnOnce(&mut Negotiated)) -> Call {
    let mut config = config(MU, vad::Engine::Off);
    change(&mut config.media);
    Call::with(config)
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
