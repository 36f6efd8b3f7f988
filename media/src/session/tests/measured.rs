//! What is measured of a call, and what is believed of what the peer tells.
use super::*;
use crate::{
    quality::{self, Loss},
    rtcp::Control,
    rtp::{Arrival, Receiver, Sequence},
};

const MU: AudioFormat = AudioFormat::G711(Law::Mu);
const RTCP: &str = "192.0.2.1:4001";

/// The phone's side of RTCP: it hears our packets but those that the network loses.
struct Peer {
    control: Control,
    sender: rtp::Sender,
    receiver: Receiver,
    sequence: Sequence,
    /// What of `Call::sent` it has looked at.
    seen: usize,
}

impl Peer {
    fn new(call: &Call) -> Self {
        let sender = rtp::Sender::new(77);
        let control = Control::new(sender.ssrc(), "phone".into(), Duration::ZERO, call.start);
        Self { control, sender, receiver: Receiver::new(8_000), sequence: Sequence::default(), seen: 0 }
    }

    /// Hears what was sent since, each packet `way` later.
    fn hear(&mut self, call: &Call, way: Duration, lost: impl Fn(u16) -> bool) {
        for (at, transmit) in &call.sent[self.seen..] {
            let arrived = call.start + *at + way;
            match transmit.channel {
                Channel::Rtcp => assert!(self.control.handle(&transmit.bytes, arrived)),
                Channel::Rtp => {
                    let packet = Packet::parse(&transmit.bytes).unwrap();
                    if !lost(packet.sequence)
                        && let Arrival::New(extended) = self.sequence.accept(packet.sequence)
                    {
                        self.receiver.count(extended, Some(packet.timestamp), arrived);
                    }
                }
            }
        }
        self.seen = call.sent.len();
    }

    /// Its report about us, sent at `now`.
    fn report(&mut self, call: &Call, now: Instant) -> Vec<u8> {
        let ours = Packet::parse(&call.sent[0].1.bytes).unwrap().ssrc;
        self.control.report(&self.sender, 0, Some((ours, &mut self.receiver)), now)
    }
}

/// RFC 3550 §6.4.1: NTP and RTP timestamps of a sender report are the same instant, also when it leaves between packets.
#[test]
fn our_rtp_clock_in_reports_is_that_of_the_packets() {
    let mut call = Call::new(MU);
    call.session.send_dtmf("1", call.now);
    call.run(Duration::from_secs(40));
    let first = call.packets()[0].1.timestamp;
    let reports: Vec<_> = call.sent.iter().filter(|(_, it)| it.channel == Channel::Rtcp).collect();
    assert!(reports.len() >= 8);
    for (at, report) in reports {
        let number = |range: std::ops::Range<usize>| u32::from_be_bytes(report.bytes[range].try_into().unwrap());
        assert_eq!(report.bytes[1], 200);
        let ticks = number(16..20).wrapping_sub(first);
        assert!(ticks.abs_diff((at.as_micros() * 8 / 1_000) as u32) <= 1, "{at:?}: {ticks}");
        let seconds = number(8..12).wrapping_sub((1_790_000_000_u64 + 2_208_988_800) as u32);
        assert_eq!(u64::from(seconds), at.as_secs());
    }
}

/// RFC 3550 §6.2, §6.3.1: five seconds on average, divided by 1.21828, each between half and one and a half of it.
#[test]
fn reports_are_spread_and_their_mean_is_the_interval() {
    let mut call = Call::new(MU);
    for _ in 0..60 {
        (0..500).for_each(|_| call.phone_sends(&[1; 160]));
    }
    let at: Vec<Duration> = call.sent.iter().filter(|(_, it)| it.channel == Channel::Rtcp).map(|(at, _)| *at).collect();
    let gaps: Vec<f64> = at.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    assert!(gaps.iter().all(|gap| (2.05..=6.16).contains(gap)), "{gaps:?}");
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    assert!((3.8..4.4).contains(&mean), "{mean}");
}

#[test]
fn both_ways_of_a_bad_network_are_told_apart() {
    let mut call = Call::new(MU);
    let mut peer = Peer::new(&call);
    let way = ms(70);
    for n in 0..1_000_u32 {
        // Up: 3 % lost, in runs of 3. Down: one in ten lost.
        if n % 100 < 3 {
            call.phone_loses(&tone_frame(n as usize))
        } else {
            call.phone_sends(&tone_frame(n as usize))
        }
        if n % 250 == 249 {
            peer.hear(&call, way, |sequence| sequence % 10 == 0);
            let report = peer.report(&call, call.now + way);
            call.run(2 * way);
            call.session.handle_rtcp(address(RTCP), &report, call.now);
            call.drain();
        }
    }
    let quality = call.session.quality();
    let Quality { uplink, downlink: Some(downlink), round_trip: Some((last, _)), .. } = quality else {
        panic!("{quality:?}")
    };
    assert!(last.abs_diff(2 * way) < ms(5), "{last:?}");
    assert_eq!((uplink.loss.lost, uplink.loss.runs), (27, 9), "the first run was before the first packet");
    assert!((uplink.loss.mean_run() - 3.0).abs() < 1e-9);
    assert!((downlink.loss.ratio() - 0.1).abs() < 0.01 && downlink.loss.expected > 980, "{downlink:?}");
    let [up, down] = [uplink, downlink].map(|way| way.score.expect("packets came").mos_lq);
    assert!(up > down && down < 3.6, "{quality:?}");
    let poor: Vec<Way> = call
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Poor(poor) => Some(poor.way),
            _ => None,
        })
        .collect();
    assert_eq!(poor, [Way::Downlink], "told once, and only the way that is bad");
}

/// What a report repeats is not measured twice, and nobody misses more of our packets than there were.
#[test]
fn a_downlink_is_at_most_what_was_sent() {
    let mut call = Call::new(MU);
    let mut peer = Peer::new(&call);
    (0..200).for_each(|n| call.phone_sends(&tone_frame(n)));
    peer.hear(&call, ms(1), |_| false);
    let report = peer.report(&call, call.now);
    let downlink = |call: &mut Call, report: &[u8]| {
        call.session.handle_rtcp(address(RTCP), report, call.now);
        call.session.quality().downlink.map(|downlink| downlink.loss)
    };
    let all = Some(Loss { expected: call.session.stats().sent, lost: 0, runs: 0 });
    assert_eq!(downlink(&mut call, &report), all);
    assert_eq!(downlink(&mut call, &report), all, "the same again");
    let without = peer.control.report(&peer.sender, 0, None, call.now);
    assert_eq!(downlink(&mut call, &without), all, "a report that says nothing of us");
    let mut absurd = report.clone();
    absurd[13..20].copy_from_slice(&[0x7f, 0xff, 0xff, 0x12, 0x34, 0x56, 0x78]);
    assert_eq!(downlink(&mut call, &absurd), all);
    call.run(PTIME);
    assert_eq!(downlink(&mut call, &report), all, "the peer counts anew");
}

#[test]
fn a_good_call_is_good_and_its_jitter_small() {
    let mut call = Call::new(MU);
    (0..500).for_each(|n| call.phone_sends(&tone_frame(n)));
    let quality = call.session.quality();
    assert_eq!(quality.uplink.loss, Loss { expected: 500, lost: 0, runs: 0 });
    let mos = quality.uplink.score.expect("packets came").mos_cq;
    assert!((mos - 4.41).abs() < 0.01 && quality.downlink.is_none(), "{quality:?}");
    assert!(quality.uplink.jitter.max < ms(1) && quality.remote == address(PHONE));
    assert!(call.events.iter().all(|(_, event)| !matches!(event, Event::Poor(_))));
}

/// A phone that sends nothing is no good line.
#[test]
fn nobody_has_an_opinion_of_what_was_not_heard() {
    let mut call = Call::new(MU);
    call.run(Duration::from_secs(6));
    let quality = call.session.quality();
    assert_eq!((quality.uplink.loss.expected, quality.uplink.score, quality.uplink.mos_min), (0, None, None));
    call.phone_sends(&tone_frame(0));
    let uplink = call.session.quality().uplink;
    assert!(uplink.score.is_some() && uplink.mos_min == uplink.score.map(|score| score.mos_cq), "{uplink:?}");
}

/// A peer that may send several codecs is judged by the one it does send.
#[test]
fn the_uplink_is_judged_by_the_codec_that_the_caller_sends() {
    let mos = |payload_type: u8| {
        let mut config = config(MU, vad::Engine::Off);
        config.media = media(Codec::Opus, Direction::SendRecv);
        config.media.others = vec![(0, Codec::Pcmu)];
        let mut call = Call::with(config);
        let mut encoder = codec::Encoder::new(Codec::Opus, opus::Receiver::default()).unwrap();
        for n in 0..400_u32 {
            let payload = if payload_type == 0 { tone_frame(n as usize) } else { encoder.encode(&[500; 480]).unwrap() };
            let (sequence, ssrc) = (call.sequence, call.ssrc);
            call.sequence = sequence.wrapping_add(1);
            let timestamp = n * if payload_type == 0 { 160 } else { 960 };
            let packet = Packet { marker: false, payload_type, sequence, timestamp, ssrc, payload: &payload };
            if n % 20 != 19 {
                call.receive(PHONE, &packet.to_bytes());
            }
            call.run(PTIME);
        }
        let quality = call.session.quality();
        assert_eq!(quality.codec, Codec::Opus, "what we send stays");
        quality.uplink
    };
    for (payload_type, codec) in [(102, Codec::Opus), (0, Codec::Pcmu)] {
        let uplink = mos(payload_type);
        let (score, mos_min) = uplink.score.zip(uplink.mos_min).expect("packets came");
        assert_eq!(score, quality::score(codec, &uplink.loss, PTIME), "{codec}");
        assert!((mos_min - score.mos_cq).abs() < 0.3, "{codec}: intervals too: {uplink:?}");
    }
}

#[test]
fn the_downlink_is_judged_by_what_the_peer_plays() {
    for playback_rate in [48_000, 16_000, 8_000] {
        let receiver = opus::Receiver { playback_rate, ..opus::Receiver::default() };
        let mut config = config(MU, vad::Engine::Off);
        config.media = media(Codec::Opus, Direction::SendRecv);
        (config.media.opus, config.media.others) = (receiver, vec![(0, Codec::Pcmu)]);
        let mut call = Call::with(config);
        let mut peer = Peer::new(&call);
        (0..200).for_each(|n| call.phone_sends(&tone_frame(n)));
        peer.hear(&call, ms(1), |_| false);
        let report = peer.report(&call, call.now);
        call.session.handle_rtcp(address(RTCP), &report, call.now);
        let downlink = call.session.quality().downlink.expect("a report came");
        let sound = quality::Sound::from(Codec::Opus).played_by(receiver);
        let expected = quality::score(sound, &downlink.loss, PTIME).mos_lq;
        assert_eq!(downlink.score.map(|score| score.mos_lq), Some(expected), "{playback_rate}");
    }
}

/// Nobody but the peer tells us how it hears us, or where our reports go: not even another program on its machine.
#[test]
fn reports_of_others_are_not_believed() {
    for (rtp, from, believed) in [
        (PHONE, RTCP, true),
        (PHONE, PHONE, true),
        (PHONE, "192.0.2.1:6001", false),
        (PHONE, "203.0.113.66:4001", false),
        // Behind a NAT neither port is as signalled; then the first that comes from the address of RTP has it.
        ("192.0.2.1:9000", "192.0.2.1:55555", true),
        ("192.0.2.1:9000", "203.0.113.66:4001", false),
    ] {
        let mut call = Call::new(MU);
        let datagram = call.packet(&[1; 160]);
        call.receive(rtp, &datagram);
        call.run(ms(100));
        let mut peer = Peer::new(&call);
        peer.hear(&call, ms(1), |_| false);
        let report = peer.report(&call, call.now);
        call.session.handle_rtcp(address(from), &report, call.now);
        call.session.handle_rtcp(address("203.0.113.67:4001"), &report, call.now);
        call.run(Duration::from_secs(10));
        assert_eq!(call.session.quality().downlink.is_some(), believed, "{rtp} {from}");
        assert_eq!(call.session.stats().foreign, if believed { 1 } else { 2 }, "{rtp} {from}");
        let astray = call.sent.iter().filter(|(_, it)| it.channel == Channel::Rtcp).any(|(_, it)| {
            let beside = [RTCP, "192.0.2.1:9001", "192.0.2.1:55555"].map(address);
            !beside.contains(&it.remote) || (rtp == PHONE && it.remote != address(RTCP))
        });
        assert!(!astray, "{rtp} {from}");
        call.session.handle_rtcp(address("192.0.2.1:55557"), &report, call.now);
        let learnt = rtp != PHONE && !believed;
        let refused = if believed { 2 } else { 3 - u64::from(learnt) };
        assert_eq!(call.session.stats().foreign, refused, "{rtp} {from}: one port is learnt, and then no other");
    }
}

/// A NAT that gives RTP another port gives one to reports, too.
#[test]
fn reports_are_followed_when_rtp_moves() {
    let mut call = Call::new(MU);
    for (rtp, rtcp) in [("192.0.2.1:9000", "192.0.2.1:9007"), ("192.0.2.1:7000", "192.0.2.1:7007")] {
        let datagram = call.packet(&[1; 160]);
        call.receive(rtp, &datagram);
        call.run(ms(100));
        let mut peer = Peer::new(&call);
        let report = peer.report(&call, call.now);
        call.session.handle_rtcp(address(rtcp), &report, call.now);
        assert_eq!(call.session.stats().foreign, 0, "{rtcp}");
        let before = call.sent.len();
        call.run(Duration::from_secs(7));
        let reports = || call.sent[before..].iter().filter(|(_, it)| it.channel == Channel::Rtcp);
        assert!(reports().count() > 0 && reports().all(|(_, it)| it.remote == address(rtcp)), "{rtcp}");
    }
}

/// Three packets of a phone that may be anywhere are dropped before it is believed; nobody is accused for them.
#[test]
fn a_phone_behind_a_nat_is_not_called_a_stranger() {
    let mut call = Call::new(MU);
    call.session.learn_from(Policy::AnyAddress);
    for _ in 0..10 {
        let datagram = call.packet(&[1; 160]);
        call.receive("198.51.100.7:30000", &datagram);
        call.run(PTIME);
    }
    let stats = call.session.stats();
    assert_eq!((stats.received, stats.foreign, stats.foreign_from), (7, 3, None));
    assert!(call.events.iter().all(|(_, event)| !matches!(event, Event::Foreign(_))));
}

#[test]
fn the_first_foreign_source_is_told_once_and_counted_in_the_silence() {
    let mut call = Call::new(MU);
    call.phone_sends(&[1; 160]);
    for n in 0..3 {
        let datagram = call.packet(&[0x66; 160]);
        call.receive(&format!("203.0.113.9:500{n}"), &datagram);
    }
    call.run(Duration::from_secs(6));
    let events: Vec<&Event> =
        call.events.iter().map(|(_, it)| it).filter(|it| matches!(it, Event::Foreign(_) | Event::Silent(_))).collect();
    let [Event::Foreign(first), Event::Silent(silence)] = events[..] else { panic!("{events:?}") };
    assert_eq!((*first, silence.foreign_from), (address("203.0.113.9:5000"), Some(*first)));
    assert_eq!((silence.foreign, silence.expected, silence.last), (3, address(PHONE), Some(Duration::from_secs(5))));
}

/// A phone that sends what nobody agreed on is not heard, but it is there.
#[test]
fn packets_of_no_agreed_type_are_counted_in_the_silence() {
    let mut call = Call::new(MU);
    for _ in 0..3 {
        let mut datagram = call.packet(&[1; 160]);
        datagram[1] = 111;
        call.receive(PHONE, &datagram);
        call.run(PTIME);
    }
    call.run(Duration::from_secs(6));
    let silence = call.events.iter().find_map(|(_, event)| match event {
        Event::Silent(silence) => Some(*silence),
        _ => None,
    });
    let silence = silence.expect("nothing was heard");
    assert_eq!((silence.last, silence.malformed, silence.foreign), (None, 3, 0));
}

/// Those that were told of.
fn silences(call: &Call) -> Vec<Silence> {
    let of = |(_, event): &(Duration, Event)| match event {
        Event::Silent(silence) | Event::MediaTimeout(silence) => Some(*silence),
        _ => None,
    };
    call.events.iter().filter_map(of).collect()
}

/// RFC 3550 §5.1: nobody hears what a phone says that turns to a payload type of its own, and where RTP is due the log says
/// so. On hold none is, and whoever sends anything is there.
#[test]
fn packets_of_no_agreed_type_do_not_stand_for_rtp_but_keep_a_hold() {
    let unknown = |call: &mut Call| {
        let mut datagram = call.packet(&[1; 160]);
        datagram[1] = 111;
        call.receive(PHONE, &datagram);
    };
    let mut call = Call::new(MU);
    (0..10).for_each(|_| call.phone_sends(&[1; 160]));
    for _ in 0..1_600 {
        unknown(&mut call);
        call.run(PTIME);
    }
    let told = silences(&call);
    assert_eq!(told.len(), 2, "a warning and the end: {told:?}");
    assert!(told.iter().all(|silence| silence.malformed > 200 && silence.last.is_some()), "{told:?}");

    let mut held = Call::new(MU);
    (0..10).for_each(|_| held.phone_sends(&[1; 160]));
    held.session.renegotiate(media(Codec::Pcmu, Direction::RecvOnly), held.now);
    for _ in 0..10 {
        held.run(Duration::from_secs(20));
        unknown(&mut held);
    }
    assert!(silences(&held).is_empty(), "200 s, with something every 20: {:?}", silences(&held));
    held.run(Duration::from_secs(91));
    assert_eq!(silences(&held).len(), 1);
}

/// Nobody hears anything of a packet that a phone which hangs, or a loop, sends over and over.
#[test]
fn a_packet_that_comes_again_and_again_does_not_stand_for_rtp_but_keeps_a_hold() {
    let mut call = Call::new(MU);
    (0..10).for_each(|_| call.phone_sends(&[1; 160]));
    let last = call.packet(&[2; 160]);
    for _ in 0..1_600 {
        call.receive(PHONE, &last);
        call.run(PTIME);
    }
    let told = silences(&call);
    assert_eq!(told.len(), 2, "a warning and the end: {told:?}");
    assert!(told.iter().all(|silence| silence.unplaced > 200 && silence.last.is_some()), "{told:?}");
    call.phone_sends(&[3; 160]);
    call.run(Duration::from_secs(5));
    assert_eq!(silences(&call).last().map(|silence| silence.unplaced), Some(0), "another silence");

    let mut held = Call::new(MU);
    let last = held.packet(&[2; 160]);
    held.receive(PHONE, &last);
    held.session.renegotiate(media(Codec::Pcmu, Direction::RecvOnly), held.now);
    for _ in 0..10 {
        held.run(Duration::from_secs(20));
        held.receive(PHONE, &last);
    }
    assert!(silences(&held).is_empty(), "200 s, with something every 20: {:?}", silences(&held));
    held.run(Duration::from_secs(91));
    assert_eq!(silences(&held).len(), 1);
}

/// RFC 3550 §6: a phone on hold that only reports is alive.
#[test]
fn on_hold_reports_alone_keep_the_call() {
    let mut call = Call::new(MU);
    (0..10).for_each(|_| call.phone_sends(&[1; 160]));
    let mut peer = Peer::new(&call);
    call.session.renegotiate(media(Codec::Pcmu, Direction::RecvOnly), call.now);
    for _ in 0..40 {
        let report = peer.report(&call, call.now);
        call.session.handle_rtcp(address(RTCP), &report, call.now);
        call.run(Duration::from_secs(5));
    }
    let ended = |call: &Call| call.events.iter().any(|(_, event)| matches!(event, Event::MediaTimeout(_)));
    assert!(!ended(&call), "200 s with reports");
    call.run(Duration::from_secs(90));
    assert!(ended(&call), "90 s without any");
}
