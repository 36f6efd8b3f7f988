//! Sessions over SRTP: both ways, through rekeying, and under attack.
use super::*;
use crate::{
    rtcp::Control,
    rtp,
    srtp::{Keys, Master, Receiver, Sender, Suite},
};

const MU: AudioFormat = AudioFormat::G711(Law::Mu);
const ATTACKER: &str = "203.0.113.66:4000";

fn keys(suite: Suite, ours: u8, theirs: u8) -> Keys {
    let key = |byte| Master::new(suite, &vec![byte; suite.master_length()]).unwrap();
    Keys { sent: key(ours), received: key(theirs) }
}

fn secure_media(keys: &Keys) -> Negotiated {
    Negotiated { srtp: Some(keys.clone()), ..media(Codec::Pcmu, Direction::SendRecv) }
}

/// A session, and the phone's half of the keys.
struct Secure {
    call: Call,
    phone: Sender,
}

impl Secure {
    fn new(keys: &Keys) -> Self {
        let config = Config { media: secure_media(keys), ..config(MU, vad::Engine::Off) };
        Self { call: Call::with(config), phone: Sender::new(&keys.received) }
    }

    fn packet(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut packet = self.call.packet(payload);
        self.phone.protect_rtp(&mut packet).unwrap();
        packet
    }

    fn phone_sends(&mut self, payload: &[u8]) {
        let datagram = self.packet(payload);
        self.call.receive(PHONE, &datagram);
        self.call.run(PTIME);
    }
}

/// What left by RTP since `from`, laid bare.
fn opened(call: &Call, from: usize, receiver: &mut Receiver) -> Vec<Vec<u8>> {
    let rtp = call.sent[from..].iter().filter(|(_, transmit)| transmit.channel == Channel::Rtp);
    rtp.map(|(_, transmit)| {
        let mut packet = transmit.bytes.clone();
        receiver.unprotect_rtp(&mut packet).unwrap();
        packet
    })
    .collect()
}

#[test]
fn both_sides_are_heard_in_every_suite_and_reports_are_understood() {
    for suite in Suite::ALL {
        let keys = keys(suite, 1, 2);
        let mut secure = Secure::new(&keys);
        let utterance = UtteranceId(1);
        secure.call.session.play(utterance, &mu(vec![0x33; 1_600]), secure.call.now);
        for n in 0..500_u16 {
            secure.phone_sends(&[n as u8 | 1; 160]);
        }
        let call = &mut secure.call;
        assert_eq!(call.heard_bytes().len(), 500 * 160, "{suite:?}");
        let mut receiver = Receiver::new(&keys.sent);
        let packets = opened(call, 0, &mut receiver);
        assert!(packets.len() >= 500 && packets[0].len() == 172);
        assert_eq!(packets.iter().filter(|packet| packet[12..] == [0x33; 160]).count(), 10);
        let reports: Vec<Vec<u8>> =
            call.sent.iter().filter(|(_, t)| t.channel == Channel::Rtcp).map(|(_, t)| t.bytes.clone()).collect();
        let mut control = Control::new(1, "a@b".into(), Duration::ZERO, call.start);
        assert!(!reports.is_empty());
        for mut report in reports {
            receiver.unprotect_rtcp(&mut report).unwrap();
            assert!(control.handle(&report, call.now));
        }
        let stats = call.session.stats();
        assert_eq!(
            (stats.received, stats.lost, stats.unbelieved.unauthentic, stats.unbelieved.replayed),
            (500, 0, 0, 0)
        );
        assert_eq!(call.session.quality().crypto, Some(suite));
    }
}

#[test]
fn the_phones_reports_are_believed_only_under_its_key() {
    let keys = keys(Suite::AesCm128Sha1_80, 1, 2);
    let mut secure = Secure::new(&keys);
    let mut sent = rtp::Sender::new(9);
    sent.packetize(0, false, 160, &[0; 160]);
    let report = Control::new(sent.ssrc(), "a@b".into(), Duration::ZERO, secure.call.start).report(
        &sent,
        0,
        None,
        secure.call.start,
    );
    let mut sealed = report.clone();
    secure.phone.protect_rtcp(&mut sealed).unwrap();
    let call = &mut secure.call;
    let from = address("192.0.2.1:4001");
    call.session.handle_rtcp(from, &report, call.now);
    assert_eq!((call.session.stats().unbelieved.unauthentic, call.session.stats().malformed), (1, 0));
    call.session.handle_rtcp(from, &sealed, call.now);
    call.session.handle_rtcp(from, &sealed, call.now);
    assert_eq!((call.session.stats().unbelieved.unauthentic, call.session.stats().unbelieved.replayed), (1, 1));
}

/// CVE-2021-41105: FreeSWITCH gave up a call after a hundred such packets. And no bad packet takes the call's audio away.
#[test]
fn ten_thousand_bad_packets_change_nothing() {
    let keys = keys(Suite::AesCm128Sha1_32, 1, 2);
    let (mut secure, mut random) = (Secure::new(&keys), Random::new(3));
    for n in 0..10_000_u32 {
        // As good as an attacker can make it: the phone's source, payload type and next number, before and after it speaks.
        let from = ["192.0.2.1:9000", PHONE, ATTACKER][random.below(3) as usize];
        let mut forged = secure.call.packet(&[0x66; 160]);
        secure.call.sequence = secure.call.sequence.wrapping_sub(1);
        forged.extend(random.bytes(4));
        secure.call.session.handle_rtp(address(from), &forged, secure.call.now);
        if n % 100 == 50 {
            secure.phone_sends(&[0x11; 160]);
        }
    }
    secure.call.drain();
    let stats = secure.call.session.stats();
    assert_eq!((stats.unbelieved.unauthentic + stats.foreign, stats.received, stats.malformed), (10_000, 100, 0));
    assert!(stats.unbelieved.unauthentic > 3_000 && stats.foreign > 3_000, "{stats:?}");
    assert!(secure.call.heard_bytes().iter().all(|byte| *byte != 0x66));
    assert!(secure.call.sent.iter().all(|(_, transmit)| transmit.remote.ip() == address(PHONE).ip()));
    let latched: Vec<&Event> =
        secure.call.events.iter().map(|(_, event)| event).filter(|event| matches!(event, Event::Latched(_))).collect();
    assert_eq!(latched, [&Event::Latched(address(PHONE))]);
    assert!(!secure.call.events.iter().any(|(_, event)| matches!(event, Event::MediaTimeout(_))));
}

/// Whoever looks for the packets of a phone with another key finds them.
#[test]
fn packets_under_another_key_are_counted_in_the_silence() {
    let mut secure = Secure::new(&keys(Suite::AesCm128Sha1_80, 1, 2));
    secure.phone = Sender::new(&keys(Suite::AesCm128Sha1_80, 1, 3).received);
    (0..300).for_each(|_| secure.phone_sends(&[0x11; 160]));
    let silence = secure.call.events.iter().find_map(|(_, event)| match event {
        Event::Silent(silence) => Some(*silence),
        _ => None,
    });
    let silence = silence.expect("nothing was heard");
    assert_eq!((silence.last, silence.foreign, silence.malformed, silence.unbelieved.replayed), (None, 0, 0, 0));
    assert!((249..=251).contains(&silence.unbelieved.unauthentic), "five seconds of them: {silence:?}");
}

#[test]
fn a_packet_in_the_clear_is_not_believed_and_a_copy_is_not_heard_twice() {
    let mut secure = Secure::new(&keys(Suite::AeadAes128Gcm, 1, 2));
    let plain = secure.call.packet(&[0x66; 160]);
    secure.call.receive(PHONE, &plain);
    let sealed = secure.packet(&[0x11; 160]);
    for from in [PHONE, PHONE, ATTACKER] {
        secure.call.receive(from, &sealed);
    }
    secure.call.run(ms(19));
    assert_eq!(secure.call.heard_bytes(), [0x11; 160]);
    let stats = secure.call.session.stats();
    assert_eq!((stats.unbelieved.unauthentic, stats.unbelieved.replayed, stats.received), (1, 1, 1));
    assert_eq!(stats.foreign, 1, "where it comes from is judged first");
}

/// Whoever sees the phone's packets can send copies that arrive before them: neither becomes a replay for that.
#[test]
fn a_copy_from_elsewhere_takes_nothing_from_the_phone() {
    for policy in [Policy::Signalled, Policy::SignalledAddress] {
        let mut secure = Secure::new(&keys(Suite::AesCm128Sha1_80, 1, 2));
        secure.call.session.learn_from(policy);
        for value in 0..50 {
            let sealed = secure.packet(&[value; 160]);
            secure.call.receive(ATTACKER, &sealed);
            secure.call.receive(PHONE, &sealed);
            secure.call.run(PTIME);
        }
        let sent = rtp::Sender::new(9);
        let mut control = Control::new(sent.ssrc(), "a@b".into(), Duration::ZERO, secure.call.start);
        let mut report = control.report(&sent, 0, None, secure.call.now);
        secure.phone.protect_rtcp(&mut report).unwrap();
        for from in ["203.0.113.66:4001", "192.0.2.1:4001"] {
            secure.call.session.handle_rtcp(address(from), &report, secure.call.now);
        }
        let stats = secure.call.session.stats();
        assert_eq!((stats.received, stats.foreign, stats.unbelieved), (50, 51, Unbelieved::default()), "{policy:?}");
        assert!(secure.call.sent.iter().all(|(_, transmit)| transmit.remote.ip() == address(PHONE).ip()));
    }
}

/// A phone behind a NAT is known by its key, and by its first packet: nothing that somebody sprays comes in between.
#[test]
fn a_key_proves_a_source_that_may_be_anywhere() {
    let mut secure = Secure::new(&keys(Suite::AesCm128Sha1_80, 1, 2));
    secure.call.session.learn_from(Policy::AnyAddress);
    let forged = [[0x80, 0].as_slice(), &[0x66; 170]].concat();
    (0..10).for_each(|_| secure.call.receive(ATTACKER, &forged));
    let sealed = secure.packet(&[0x11; 160]);
    secure.call.receive("198.51.100.7:30000", &sealed);
    secure.call.run(PTIME);
    let stats = secure.call.session.stats();
    assert_eq!((stats.received, stats.unbelieved.unauthentic, stats.foreign), (1, 10, 0));
    assert_eq!(secure.call.session.quality().remote, address("198.51.100.7:30000"));
}

#[test]
fn the_old_key_is_believed_until_the_new_one_is_in_use() {
    let (old, new) = (keys(Suite::AesCm128Sha1_80, 1, 2), keys(Suite::AeadAes256Gcm, 3, 4));
    let mut secure = Secure::new(&old);
    secure.phone_sends(&[1; 160]);
    let under_way = [secure.packet(&[2; 160]), secure.packet(&[3; 160])];
    let sent = secure.call.sent.len();
    secure.call.session.renegotiate(secure_media(&new), secure.call.now);
    secure.call.receive(PHONE, &under_way[0]);
    secure.call.run(PTIME);
    let mut phone = Receiver::new(&new.sent);
    assert_eq!(opened(&secure.call, sent, &mut phone).len(), 1, "what we send is under the new key at once");
    secure.phone = Sender::new(&new.received);
    let skipped = secure.call.sequence;
    secure.call.sequence = skipped.wrapping_sub(1);
    secure.call.timestamp = secure.call.timestamp.wrapping_sub(160);
    secure.phone_sends(&[3; 160]);
    secure.call.receive(PHONE, &under_way[1]);
    let stats = secure.call.session.stats();
    assert_eq!(
        (stats.received, stats.unbelieved.unauthentic + stats.unbelieved.replayed),
        (3, 1),
        "after it, the old one is worth nothing"
    );
    assert_eq!(secure.call.heard_bytes(), [[1; 160], [2; 160], [3; 160]].concat());
}

#[test]
fn another_description_with_the_same_keys_counts_on() {
    let keys = keys(Suite::AesCm128Sha1_80, 1, 2);
    let mut secure = Secure::new(&keys);
    let mut phone = Receiver::new(&keys.sent);
    for _ in 0..20 {
        secure.phone_sends(&[1; 160]); // the phone's numbers wrap on the way
    }
    let changed = Negotiated { telephone_event: None, ..secure_media(&keys) };
    secure.call.session.renegotiate(changed, secure.call.now);
    secure.phone_sends(&[1; 160]);
    assert_eq!(opened(&secure.call, 0, &mut phone).len(), 22);
    assert_eq!((secure.call.session.stats().received, secure.call.session.stats().unbelieved.unauthentic), (21, 0));
}

/// Whoever takes the call over begins at zero, whatever has wrapped before: under a key of its own that is what we do.
#[test]
fn rfc3711_3_3_1_under_a_new_key_wraps_of_our_numbers_count_anew() {
    let (old, new) = (keys(Suite::AesCm128Sha1_80, 1, 2), keys(Suite::AeadAes256Gcm, 3, 4));
    let mut secure = Secure::new(&old);
    let last = |call: &Call| {
        let last = call.sent.iter().rfind(|(_, transmit)| transmit.channel == Channel::Rtp);
        last.map(|(_, transmit)| transmit.bytes.clone()).unwrap()
    };
    let number = |call: &Call| last(call)[2..4].to_vec();
    secure.call.run(ms(1));
    let first = number(&secure.call);
    while number(&secure.call) >= first {
        secure.call.run(Duration::from_secs(10));
    }
    while number(&secure.call)[0] < 0x80 {
        secure.call.run(Duration::from_secs(10));
    }
    let wrapped = Receiver::new(&old.sent).unprotect_rtp(&mut last(&secure.call));
    assert!(wrapped.is_err(), "who begins to listen in the second half of a turn cannot know of the wrap");
    let sent = secure.call.sent.len();
    secure.call.session.renegotiate(secure_media(&new), secure.call.now);
    secure.call.run(ms(100));
    assert_eq!(opened(&secure.call, sent, &mut Receiver::new(&new.sent)).len(), 5);
}

/// §3.3.1 has wraps counted on under the next key, and who sets that up from scratch counts from zero: of a new source
/// both think the same.
#[test]
fn rfc3711_3_3_1_a_stream_that_wrapped_goes_on_under_another_ssrc_with_another_key() {
    let (old, new) = (keys(Suite::AesCm128Sha1_80, 1, 2), keys(Suite::AeadAes256Gcm, 3, 4));
    let head = |call: &Call| {
        let last = call.sent.iter().rfind(|(_, transmit)| transmit.channel == Channel::Rtp);
        last.map(|(_, transmit)| transmit.bytes[..12].to_vec()).unwrap()
    };
    for wraps in [false, true] {
        let mut secure = Secure::new(&old);
        secure.call.run(ms(1));
        let first = head(&secure.call);
        while wraps && head(&secure.call)[2..4] >= first[2..4] {
            secure.call.run(Duration::from_secs(10));
        }
        let sent = secure.call.sent.len();
        secure.call.session.renegotiate(secure_media(&new), secure.call.now);
        secure.call.run(ms(100));
        let packets = opened(&secure.call, sent, &mut Receiver::new(&new.sent));
        assert_eq!(packets.len(), 5);
        assert!(packets.iter().all(|packet| (packet[8..12] != first[8..12]) == wraps), "wrapped: {wraps}");
        let mut phone = Receiver::new(&old.sent);
        let reports = secure.call.sent[sent..].iter().filter(|(_, transmit)| transmit.channel == Channel::Rtcp);
        let under_old = reports.filter_map(|(_, transmit)| {
            let mut report = transmit.bytes.clone();
            phone.unprotect_rtcp(&mut report).is_ok().then_some(report)
        });
        let left: Vec<u32> = under_old.flat_map(|report| crate::rtcp::left(&report)).collect();
        let ours = u32::from_be_bytes(first[8..12].try_into().unwrap());
        assert_eq!(left, if wraps { vec![ours] } else { Vec::new() }, "BYE under the key that the phone has");
    }
}

/// As where a call was about to be taken over, and was not. Who has heard us all along takes no number twice (§3.3.2).
#[test]
fn rfc3711_9_1_a_key_that_is_gone_back_to_has_another_ssrc_and_what_came_under_it_comes_once() {
    let (old, new) = (keys(Suite::AesCm128Sha1_80, 1, 2), keys(Suite::AeadAes256Gcm, 3, 4));
    let mut secure = Secure::new(&old);
    let heard = secure.packet(&[1; 160]);
    secure.call.receive(PHONE, &heard);
    secure.call.run(Duration::from_secs(20));
    let left = secure.call.sent.len();
    secure.call.session.renegotiate(secure_media(&new), secure.call.now);
    secure.call.run(ms(100));
    secure.call.session.renegotiate(secure_media(&old), secure.call.now);
    secure.call.drain();
    let back = secure.call.sent.len();
    secure.call.receive(PHONE, &heard);
    secure.call.run(Duration::from_secs(20));
    assert_eq!(secure.call.session.stats().unbelieved, Unbelieved { unauthentic: 0, replayed: 1 });
    let mut phone = Receiver::new(&old.sent);
    let sent = &secure.call.sent;
    let mut reports = 0;
    for (_, transmit) in sent[..left].iter().chain(&sent[back..]) {
        let mut packet = transmit.bytes.clone();
        match transmit.channel {
            Channel::Rtp => phone.unprotect_rtp(&mut packet).unwrap(),
            Channel::Rtcp => {
                phone.unprotect_rtcp(&mut packet).unwrap();
                reports += 1;
            }
        }
    }
    assert!(reports > 4, "{reports} reports");
}

/// §3.3.1: a phone need not begin at zero under its next key, as most do.
#[test]
fn rfc3711_3_3_1_a_phone_that_counts_on_under_its_next_key_is_heard() {
    let (old, new) = (keys(Suite::AesCm128Sha1_80, 1, 2), keys(Suite::AesCm128Sha1_80, 3, 4));
    let mut secure = Secure::new(&old);
    for number in [65_530, 20_000, 50_000] {
        secure.call.sequence = number;
        secure.phone_sends(&[1; 160]);
    }
    secure.call.session.renegotiate(secure_media(&new), secure.call.now);
    secure.phone = Sender::new(&new.received);
    // These are not sent: they turn the phone's counter to where it was.
    for number in [65_530, 20_000] {
        secure.call.sequence = number;
        secure.packet(&[2; 160]);
    }
    secure.call.sequence = 50_001;
    (0..10).for_each(|_| secure.phone_sends(&[3; 160]));
    assert_eq!(secure.call.session.stats().unbelieved, Unbelieved::default());
    assert!(secure.call.heard_bytes().contains(&3));
}

#[test]
fn rtcp_on_the_port_of_rtp_is_told_apart_before_it_is_decrypted() {
    let keys = keys(Suite::AeadAes256Gcm, 1, 2);
    let config = Config {
        media: Negotiated { rtcp_mux: true, remote_rtcp: address(PHONE), ..secure_media(&keys) },
        ..config(MU, vad::Engine::Off)
    };
    let (mut call, mut phone) = (Call::with(config), Sender::new(&keys.received));
    let sent = rtp::Sender::new(9);
    let mut report =
        Control::new(sent.ssrc(), "a@b".into(), Duration::ZERO, call.start).report(&sent, 0, None, call.start);
    phone.protect_rtcp(&mut report).unwrap();
    call.receive(PHONE, &report);
    call.receive(PHONE, &report);
    let stats = call.session.stats();
    assert_eq!((stats.unbelieved.replayed, stats.unbelieved.unauthentic, stats.malformed), (1, 0, 0));
    call.run(Duration::from_secs(10));
    let mut receiver = Receiver::new(&keys.sent);
    let reports = call.sent.iter().filter(|(_, transmit)| crate::srtp::is_rtcp(&transmit.bytes));
    assert!(reports.map(|(_, t)| receiver.unprotect_rtcp(&mut t.bytes.clone())).all(|opened| opened.is_ok()));
}

#[test]
fn a_call_that_ends_says_goodbye_under_its_key() {
    let keys = keys(Suite::AesCm128Sha1_32, 1, 2);
    let mut secure = Secure::new(&keys);
    secure.phone_sends(&[1; 160]);
    secure.call.session.end(secure.call.now);
    secure.call.drain();
    let (_, goodbye) = secure.call.sent.last().unwrap();
    let mut bytes = goodbye.bytes.clone();
    Receiver::new(&keys.sent).unprotect_rtcp(&mut bytes).unwrap();
    assert!(bytes.windows(2).any(|pair| pair == [0x81, 203]), "{bytes:02x?}");
}
