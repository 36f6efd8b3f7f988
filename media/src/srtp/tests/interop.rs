//! Both ways against `libsrtp`, a port of Cisco's library.
use super::*;
use libsrtp::{MasterKey, ProtectionProfile, RecvSession, SendSession, StreamConfig};

const SSRC: u32 = 0xcafe_babe;

fn profiles(suite: Suite) -> (ProtectionProfile, ProtectionProfile) {
    use ProtectionProfile as P;
    match suite {
        Suite::AeadAes256Gcm => (P::AeadAes256Gcm, P::AeadAes256Gcm),
        Suite::AeadAes128Gcm => (P::AeadAes128Gcm, P::AeadAes128Gcm),
        Suite::Aes256CmSha1_80 => (P::Aes256CmHmacSha180, P::Aes256CmHmacSha180),
        Suite::AesCm128Sha1_80 => (P::Aes128CmHmacSha180, P::Aes128CmHmacSha180),
        Suite::Aes256CmSha1_32 => (P::Aes256CmHmacSha132, P::Aes256CmHmacSha180),
        Suite::AesCm128Sha1_32 => (P::Aes128CmHmacSha132, P::Aes128CmHmacSha180),
    }
}

fn config(master: &Master, mki: Option<Vec<u8>>) -> StreamConfig {
    let both = master.expose();
    let (key, salt) = both.split_at(master.suite().key_length());
    let (rtp, rtcp) = profiles(master.suite());
    StreamConfig::new(vec![MasterKey::new(key, salt, &mki)], &rtp, &rtcp)
}

#[test]
fn what_we_protect_others_understand() {
    for suite in Suite::ALL {
        let (master, mut random) = (master(suite, 7), Random::new(8));
        let (mut ours, mut theirs) = (Sender::new(&master), RecvSession::new());
        theirs.add_stream(None, &config(&master, None)).unwrap();
        for n in 0..1_500_u32 {
            let plain = rtp(&mut random, SSRC, (30_000 + n * 61) as u16);
            let mut packet = plain.clone();
            ours.protect_rtp(&mut packet).unwrap();
            assert_eq!(theirs.rtp_unprotect(packet).unwrap(), plain, "{suite:?}, packet {n}");
            let plain = rtcp(&mut random, SSRC);
            let mut packet = plain.clone();
            ours.protect_rtcp(&mut packet).unwrap();
            assert_eq!(theirs.rtcp_unprotect(packet).unwrap(), plain, "{suite:?}, report {n}");
        }
        assert_eq!(ours.last.unwrap().1 >> 16, 1, "the sequence number wrapped");
    }
}

#[test]
fn what_others_protect_we_understand_late_or_not() {
    for suite in Suite::ALL {
        let (master, mut random) = (master(suite, 9), Random::new(10));
        let (mut ours, mut theirs) = (Receiver::new(&master), SendSession::new());
        theirs.add_stream(Some(SSRC), &config(&master, None)).unwrap();
        let mut sent: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for n in 0..1_500_u32 {
            let plain = rtp(&mut random, SSRC, (30_000 + n * 61) as u16);
            sent.push((plain.clone(), theirs.rtp_protect(plain).unwrap()));
        }
        for n in 1..sent.len() {
            // The second packet may overtake the first, but not if it is before the first there ever was.
            if n > 1 && random.chance(10) {
                sent.swap(n - 1, n);
            }
        }
        for (plain, mut packet) in sent {
            ours.unprotect_rtp(&mut packet).unwrap();
            assert_eq!(packet, plain, "{suite:?}");
        }
        for _ in 0..100 {
            let plain = rtcp(&mut random, SSRC);
            let mut packet = theirs.rtcp_protect(plain.clone()).unwrap();
            ours.unprotect_rtcp(&mut packet).unwrap();
            assert_eq!(packet, plain, "{suite:?}");
        }
        assert_eq!(ours.streams[0].highest >> 16, 1, "the sequence number wrapped");
    }
}

#[test]
fn a_master_key_identifier_stands_where_others_expect_it() {
    for suite in Suite::ALL {
        let mki = vec![0, 0, 0, 9];
        let master = master(suite, 11);
        let marked = master.clone().identified_by(mki.clone());
        let mut random = Random::new(12);
        let mut theirs = SendSession::new();
        theirs.add_stream(Some(SSRC), &config(&master, Some(mki.clone()))).unwrap();
        let (mut ours, mut sender) = (Receiver::new(&marked), Sender::new(&marked));
        let mut heard = RecvSession::new();
        heard.add_stream(None, &config(&master, Some(mki.clone()))).unwrap();
        for n in 0..50 {
            let (media, report) = (rtp(&mut random, SSRC, n), rtcp(&mut random, SSRC));
            let mut packet = theirs.rtp_protect_mki(media.clone(), &Some(mki.clone())).unwrap();
            ours.unprotect_rtp(&mut packet).unwrap();
            assert_eq!(packet, media);
            let mut packet = theirs.rtcp_protect_mki(report.clone(), &Some(mki.clone())).unwrap();
            ours.unprotect_rtcp(&mut packet).unwrap();
            assert_eq!(packet, report);
            let mut packet = media.clone();
            sender.protect_rtp(&mut packet).unwrap();
            assert_eq!(heard.rtp_unprotect(packet).unwrap(), media);
            let mut packet = report.clone();
            sender.protect_rtcp(&mut packet).unwrap();
            assert_eq!(heard.rtcp_unprotect(packet).unwrap(), report);
        }
    }
}
