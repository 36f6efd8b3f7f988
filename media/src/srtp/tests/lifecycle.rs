//! Rollover, replay, reordering, and what is kept of whom.
use super::*;

const SSRC: u32 = 7;

/// Protects RTP packets of these sequence numbers.
fn protect(sender: &mut Sender, numbers: impl IntoIterator<Item = u16>) -> Vec<Vec<u8>> {
    let mut random = Random::new(1);
    let packet = |number| {
        let mut packet = rtp(&mut random, SSRC, number);
        sender.protect_rtp(&mut packet).unwrap();
        packet
    };
    numbers.into_iter().map(packet).collect()
}

fn receive(receiver: &mut Receiver, packet: &[u8]) -> Result<(), Error> {
    receiver.unprotect_rtp(&mut packet.to_vec())
}

#[test]
fn rfc3711_3_3_1_packets_around_the_wrap_are_understood_in_any_order() {
    let master = master(Suite::AesCm128Sha1_80, 1);
    let packets = protect(&mut Sender::new(&master), (0..40_u16).map(|n| n.wrapping_sub(20)));
    let mut receiver = Receiver::new(&master);
    receive(&mut receiver, &packets[0]).unwrap();
    for n in (1..40).rev() {
        assert_eq!(receive(&mut receiver, &packets[n]), Ok(()), "packet {n}");
        assert_eq!(receive(&mut receiver, &packets[n]), Err(Error::Replayed), "packet {n} again");
    }
    assert_eq!(receiver.streams[0].highest, 65_536 + 19);
}

/// What was sent before the wrap never came.
#[test]
fn rfc3711_3_3_1_a_source_that_is_first_heard_behind_its_wrap_is_understood() {
    for suite in Suite::ALL {
        let key = master(suite, 1);
        let packets = protect(&mut Sender::new(&key), [65_534, 65_535, 0, 1, 2]);
        let mut receiver = Receiver::new(&key);
        let heard = [3, 2, 1, 3, 4].map(|n| receive(&mut receiver, &packets[n]));
        assert_eq!(heard, [Ok(()), Ok(()), Ok(()), Err(Error::Replayed), Ok(())], "{suite:?}");
        assert_eq!(receiver.streams[0].highest, 65_536 + 2, "{suite:?}");
        let other = Receiver::new(&master(suite, 2)).unprotect_rtp(&mut packets[3].clone());
        assert_eq!(other, Err(Error::Unauthentic), "{suite:?}");
    }
}

/// §3.3.1 has rollover counters go on when keys change, which whoever sets up each key from scratch does not.
#[test]
fn rfc3711_3_3_1_under_the_next_key_a_source_may_count_on_or_begin_anew() {
    for suite in Suite::ALL {
        let (old, unused, new) = (master(suite, 1), master(suite, 2), master(suite, 3));
        let mut before = Receiver::new(&old);
        for packet in protect(&mut Sender::new(&old), [0, 30_000, 60_000, 20_000, 50_000, 10_000, 40_000]) {
            receive(&mut before, &packet).unwrap();
        }
        let highest = before.streams[0].highest;
        assert_eq!(highest, 2 * 65_536 + 40_000, "two wraps");
        let mut counting_on = Sender::new(&new);
        counting_on.last = Some((SSRC, highest));
        for (mut sender, expected) in [(counting_on, highest + 3), (Sender::new(&new), 40_003)] {
            let packets = protect(&mut sender, 40_001..=40_003);
            for mut receiver in [before.rekeyed(&new), before.rekeyed(&unused).rekeyed(&new)] {
                let heard = [1, 0, 1, 2].map(|n| receive(&mut receiver, &packets[n]));
                assert_eq!(heard, [Ok(()), Ok(()), Err(Error::Replayed), Ok(())], "{suite:?}");
                assert_eq!(receiver.streams[0].highest, expected, "{suite:?}");
            }
            assert_eq!(receive(&mut before.rekeyed(&unused), &packets[0]), Err(Error::Unauthentic), "{suite:?}");
        }
    }
}

#[test]
fn rfc3711_3_3_2_what_is_older_than_the_window_is_refused() {
    let master = master(Suite::AeadAes128Gcm, 1);
    let packets = protect(&mut Sender::new(&master), 0..200);
    let mut receiver = Receiver::new(&master);
    receive(&mut receiver, &packets[199]).unwrap();
    assert_eq!(receive(&mut receiver, &packets[71]), Err(Error::Replayed));
    assert_eq!(receive(&mut receiver, &packets[72]), Ok(()));
}

#[test]
fn a_report_counts_once() {
    let master = master(Suite::AesCm128Sha1_32, 1);
    let (mut sender, mut receiver, mut random) = (Sender::new(&master), Receiver::new(&master), Random::new(2));
    let reports: Vec<Vec<u8>> = (0..200)
        .map(|_| {
            let mut report = rtcp(&mut random, SSRC);
            sender.protect_rtcp(&mut report).unwrap();
            report
        })
        .collect();
    let mut receive = |n: usize| receiver.unprotect_rtcp(&mut reports[n].clone());
    assert_eq!([receive(1), receive(0), receive(1)], [Ok(()), Ok(()), Err(Error::Replayed)]);
    assert_eq!([receive(199), receive(71), receive(72)], [Ok(()), Err(Error::Replayed), Ok(())]);
}

#[test]
fn a_keystream_is_never_used_twice() {
    let master = master(Suite::AesCm128Sha1_80, 1);
    let (mut sender, mut random) = (Sender::new(&master), Random::new(3));
    let mut send = |ssrc, number| sender.protect_rtp(&mut rtp(&mut random, ssrc, number));
    assert_eq!([send(7, 10), send(7, 10), send(7, 9)], [Ok(()), Err(Error::Replayed), Err(Error::Replayed)]);
    assert_eq!([send(8, 11), send(7, 11)], [Err(Error::Exhausted), Ok(())]);
}

#[test]
fn rfc3711_9_2_a_key_ends_before_its_indices_wrap() {
    let master = master(Suite::AesCm128Sha1_80, 1);
    let (mut sender, mut random) = (Sender::new(&master), Random::new(3));
    sender.last = Some((SSRC, (1 << 48) - 2));
    assert_eq!(sender.protect_rtp(&mut rtp(&mut random, SSRC, 0xffff)), Ok(()));
    assert_eq!(sender.protect_rtp(&mut rtp(&mut random, SSRC, 0)), Err(Error::Exhausted));
    sender.report = (1 << 31) - 1;
    assert_eq!(sender.protect_rtcp(&mut rtcp(&mut random, SSRC)), Ok(()));
    assert_eq!(sender.protect_rtcp(&mut rtcp(&mut random, SSRC)), Err(Error::Exhausted));
}

#[test]
fn a_key_serves_so_many_sources_and_no_more() {
    let master = master(Suite::AeadAes256Gcm, 1);
    let (mut receiver, mut random) = (Receiver::new(&master), Random::new(4));
    let mut from = |ssrc| {
        let mut packet = rtp(&mut random, ssrc, 1);
        Sender::new(&master).protect_rtp(&mut packet).unwrap();
        receiver.unprotect_rtp(&mut packet)
    };
    assert!((0..256).all(|ssrc| from(ssrc).is_ok()));
    assert_eq!(from(256), Err(Error::Exhausted));
}

#[test]
fn secrets_make_another_key_each_time_and_show_none() {
    let secret = Secret::new([0xaa; 32]);
    for suite in Suite::ALL {
        let keys: Vec<Master> = (0..100).filter_map(|number| secret.master(suite, number)).collect();
        assert_eq!(keys.len(), 100);
        assert!(keys.iter().enumerate().all(|(n, key)| !keys[..n].contains(key)));
        assert!(keys.iter().all(|key| key.expose().len() == suite.master_length()));
    }
    assert_ne!(Secret::new([0xab; 32]).master(Suite::AeadAes256Gcm, 0), secret.master(Suite::AeadAes256Gcm, 0));
    let master = Master::new(Suite::AesCm128Sha1_80, &[0xaa; 30]).unwrap();
    let shown = format!("{secret:?} {master:?} {:?} {:?}", Sender::new(&master), Receiver::new(&master));
    assert!(!shown.contains("170") && !shown.to_lowercase().contains("aa,"), "{shown}");
}

#[test]
fn keys_have_the_length_of_their_suite() {
    for suite in Suite::ALL {
        for length in 0..64 {
            let master = Master::new(suite, &vec![1; length]);
            assert_eq!(master.is_some(), length == suite.master_length(), "{suite:?} {length}");
        }
        assert_eq!(Suite::of_name(suite.name()), Some(suite));
    }
}
