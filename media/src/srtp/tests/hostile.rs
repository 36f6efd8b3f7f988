//! Whatever arrives: nothing panics, nothing that is not genuine passes, and nothing is kept of it.
use super::*;

/// What a receiver knows, all of it.
fn knowledge(receiver: &Receiver) -> String {
    format!("{receiver:?}")
}

#[test]
fn no_bit_of_a_packet_can_change() {
    for suite in Suite::ALL {
        let (master, mut random) = (master(suite, 1), Random::new(2));
        let (mut sender, mut receiver) = (Sender::new(&master), Receiver::new(&master));
        let (mut media, mut report) = (rtp(&mut random, 7, 1), rtcp(&mut random, 7));
        sender.protect_rtp(&mut media).unwrap();
        sender.protect_rtcp(&mut report).unwrap();
        let before = knowledge(&receiver);
        for bit in 0..8 * media.len() {
            let mut forged = media.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let sent = forged.clone();
            assert!(receiver.unprotect_rtp(&mut forged).is_err(), "{suite:?}, bit {bit}");
            assert_eq!(forged, sent, "a packet that is refused is left alone");
        }
        for bit in 0..8 * report.len() {
            let mut forged = report.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(receiver.unprotect_rtcp(&mut forged).is_err(), "{suite:?}, bit {bit}");
        }
        assert_eq!(knowledge(&receiver), before);
        receiver.unprotect_rtp(&mut media).unwrap();
        receiver.unprotect_rtcp(&mut report).unwrap();
    }
}

#[test]
fn a_flood_of_forgeries_leaves_no_trace() {
    for suite in Suite::ALL {
        let (master, mut random) = (master(suite, 1), Random::new(3));
        let (mut sender, mut receiver) = (Sender::new(&master), Receiver::new(&master));
        let mut first = rtp(&mut random, 7, 1);
        sender.protect_rtp(&mut first).unwrap();
        receiver.unprotect_rtp(&mut first).unwrap();
        let before = knowledge(&receiver);
        for n in 0..10_000_u32 {
            let ssrc = if random.chance(50) { 7 } else { n };
            let mut packet = rtp(&mut random, ssrc, n as u16);
            let tail = random.below(20) as usize;
            packet.extend(random.bytes(tail));
            assert!(receiver.unprotect_rtp(&mut packet).is_err());
            let mut report = rtcp(&mut random, ssrc);
            report.extend(random.bytes(tail));
            assert!(receiver.unprotect_rtcp(&mut report).is_err());
        }
        assert_eq!(knowledge(&receiver), before);
        let mut next = rtp(&mut random, 7, 2);
        sender.protect_rtp(&mut next).unwrap();
        assert_eq!(receiver.unprotect_rtp(&mut next), Ok(()));
    }
}

#[test]
fn garbage_never_panics() {
    let mut random = Random::new(4);
    for suite in Suite::ALL {
        let master = master(suite, 1).identified_by(vec![1; 3]);
        let (mut sender, mut receiver) = (Sender::new(&master), Receiver::new(&master));
        for n in 0..20_000_u16 {
            let mut packet = match random.below(3) {
                0 => rtp(&mut random, 7, n),
                1 => rtcp(&mut random, 7),
                _ => vec![],
            };
            let more = random.below(40) as usize;
            packet.extend(random.bytes(more));
            packet.truncate(random.below(packet.len() as u64 + 1) as usize);
            if let (Some(first), true) = (packet.first_mut(), random.chance(50)) {
                *first = random.next() as u8;
            }
            let _ = receiver.unprotect_rtp(&mut packet.clone());
            let _ = receiver.unprotect_rtcp(&mut packet.clone());
            let _ = sender.protect_rtp(&mut packet.clone());
            let _ = sender.protect_rtcp(&mut packet);
        }
        assert!(receiver.streams.is_empty() && receiver.reporters.is_empty());
    }
}

#[test]
fn the_key_of_another_call_opens_nothing() {
    for suite in Suite::ALL {
        let mut random = Random::new(5);
        let (mut sender, mut receiver) = (Sender::new(&master(suite, 1)), Receiver::new(&master(suite, 2)));
        let mut packet = rtp(&mut random, 7, 1);
        sender.protect_rtp(&mut packet).unwrap();
        assert_eq!(receiver.unprotect_rtp(&mut packet), Err(Error::Unauthentic));
    }
}
