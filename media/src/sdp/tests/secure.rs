//! SRTP with its keys in the description (RFC 4568), and streams that are not what the policy wants.
use super::*;
use crate::srtp::{Keys, Master, Secret, Suite};

/// Trace s18, second half: `optional` in FreeSWITCH offers the same port twice.
fn freeswitch_optional() -> String {
    format!("{FREESWITCH_SAVP}{FREESWITCH_AVP_TOO}")
}

fn secure() -> Local {
    Local { srtp: Some(Secret::new([5; 32])), ..local() }
}

fn key(suite: Suite, byte: u8) -> String {
    let bytes = vec![byte; suite.master_length()];
    base64_simd::STANDARD.encode_to_string(bytes)
}

/// An offer of SRTP with this first key, and one that FreeSWITCH has and we do not.
fn offer(suite: Suite, byte: u8) -> String {
    let (name, key) = (suite.name(), key(suite, byte));
    one(&format!(
        "m=audio 4000 RTP/SAVP 0\r\na=crypto:1 AES_192_CM_HMAC_SHA1_80 inline:{key}\r\na=crypto:4 {name} inline:{key}\r\n"
    ))
}

fn keys(agreed: &Agreed) -> &Keys {
    agreed.media.srtp.as_ref().unwrap()
}

#[test]
fn rfc4568_5_1_2_the_first_suite_we_have_is_answered_with_its_tag_and_a_key_of_ours() {
    let agreed = answer(FREESWITCH_SAVP.as_bytes(), &secure(), Direction::SendRecv).unwrap();
    assert_eq!(m_lines(&agreed.sdp), ["m=audio 20000 RTP/SAVP 0 101"]);
    let theirs = base64_simd::STANDARD.decode_to_vec("jHUhSagb4QL2N2mPyqOkjgwC5pXPB9Xyup4KhQFH").unwrap();
    let Keys { sent, received } = keys(&agreed);
    assert_eq!(*received, Master::new(Suite::AesCm128Sha1_80, &theirs).unwrap());
    assert_ne!(sent, received);
    let ours = base64_simd::STANDARD.encode_to_string(&*sent.expose());
    assert_eq!(values(&agreed.sdp, "crypto"), [format!("7 AES_CM_128_HMAC_SHA1_80 inline:{ours}")]);
}

#[test]
fn every_suite_can_be_agreed_on_and_both_sides_hold_the_same_keys() {
    for suite in Suite::ALL {
        let mut called = Negotiation::new(secure());
        let mut calling = Negotiation::new(Local { srtp: Some(Secret::new([6; 32])), ..local() });
        let offered = calling.offer(Direction::SendRecv);
        let all = values(&offered, "crypto");
        assert_eq!(all.len(), Suite::ALL.len());
        let only: Vec<&str> = text(&offered)
            .lines()
            .filter(|line| !line.starts_with("a=crypto") || line.contains(&format!(" {} ", suite.name())))
            .collect();
        let agreed = called.answer(only.join("\r\n").as_bytes(), Direction::SendRecv).unwrap();
        let media = calling.accept(&agreed.sdp).unwrap();
        let Keys { sent, received } = media.srtp.unwrap();
        assert_eq!((&sent, &received), (&keys(&agreed).received, &keys(&agreed).sent));
        assert_eq!(sent.suite(), suite);
    }
}

#[test]
fn rfc4568_6_1_no_two_keys_of_an_offer_are_the_same() {
    let offered = Negotiation::new(secure()).offer(Direction::SendRecv);
    let keys: Vec<&str> = values(&offered, "crypto").iter().map(|line| &line[line.find("inline").unwrap()..]).collect();
    assert!(keys.iter().enumerate().all(|(n, key)| keys[..n].iter().all(|other| other[..12] != key[..12])), "{keys:?}");
    assert_eq!(m_lines(&offered), ["m=audio 20000 RTP/SAVP 8 0 101"]);
}

#[test]
fn rfc4568_7_1_4_a_key_lives_as_long_as_the_peers_does() {
    let mut called = Negotiation::new(secure());
    let mut agree = |offer: String| called.answer(offer.as_bytes(), Direction::SendRecv).unwrap();
    let first = agree(offer(Suite::AeadAes256Gcm, 1));
    let again = agree(offer(Suite::AeadAes256Gcm, 1).replace("a=crypto:4", "a=crypto:9"));
    assert_eq!(keys(&again), keys(&first), "a session that is refreshed keeps its keys");
    assert!(values(&again.sdp, "crypto")[0].starts_with("9 AEAD_AES_256_GCM"), "the tag is that of the last offer");
    let rekeyed = agree(offer(Suite::AeadAes256Gcm, 2));
    assert!(keys(&rekeyed).sent != keys(&first).sent && keys(&rekeyed).received != keys(&first).received);
    let other = agree(offer(Suite::AesCm128Sha1_80, 2));
    assert_eq!(keys(&other).sent.suite(), Suite::AesCm128Sha1_80);
    let back = agree(offer(Suite::AeadAes256Gcm, 1));
    assert!([&first, &rekeyed].iter().all(|before| keys(before).sent != keys(&back).sent), "no key comes back");
}

/// Another endpoint may answer it: the key in use is not for its eyes, and RFC 3711 §3.3.1 has it count our packets from
/// zero, however often our numbers have wrapped under that key. It may lack the suite in use, too.
#[test]
fn an_offer_of_ours_in_mid_call_has_a_fresh_key_in_every_suite_and_that_in_use_first() {
    let mut called = Negotiation::new(secure());
    let agreed = called.answer(offer(Suite::AeadAes128Gcm, 1).as_bytes(), Direction::SendRecv).unwrap();
    let offers = [called.offer(Direction::SendRecv), called.offer(Direction::SendRecv)];
    let key = |line: &str| line.split_once("inline:").unwrap().1.to_owned();
    let mut all: Vec<String> = values(&agreed.sdp, "crypto").into_iter().map(key).collect();
    for offered in &offers {
        let lines = values(offered, "crypto");
        assert_eq!((lines.len(), m_lines(offered).len()), (Suite::ALL.len(), 1));
        assert!(lines[0].starts_with("1 AEAD_AES_128_GCM inline:") && lines[1].starts_with("2 AEAD_AES_256_GCM "));
        all.extend(lines.into_iter().map(key));
    }
    let distinct: std::collections::BTreeSet<&String> = all.iter().collect();
    assert_eq!((distinct.len(), all.len()), (13, 13), "no key comes back");
    let now = called.accept(offer(Suite::AesCm128Sha1_80, 3).as_bytes()).unwrap().srtp.unwrap();
    let sent = base64_simd::STANDARD.encode_to_string(&*now.sent.expose());
    assert!(now.sent.suite() == Suite::AesCm128Sha1_80 && all[7..].contains(&sent), "what was offered last holds");
    assert_ne!(now.received, keys(&agreed).received);
}

#[test]
fn an_offer_of_ours_that_comes_to_nothing_leaves_the_keys_as_they_were() {
    let mut called = Negotiation::new(secure());
    let theirs = offer(Suite::AeadAes256Gcm, 1);
    let first = called.answer(theirs.as_bytes(), Direction::SendRecv).unwrap();
    called.offer(Direction::SendRecv);
    assert_eq!(called.accept(FREESWITCH.as_bytes()).unwrap_err().sip_status(), 488);
    let again = called.answer(theirs.as_bytes(), Direction::SendRecv).unwrap();
    assert_eq!(keys(&again), keys(&first), "an answer in the clear");
    called.offer(Direction::SendRecv);
    let again = called.answer(theirs.as_bytes(), Direction::SendRecv).unwrap();
    assert_eq!(keys(&again), keys(&first), "no answer");
}

#[test]
fn rfc4028_7_4_an_offer_that_is_repeated_repeats_its_keys() {
    let mut called = Negotiation::new(secure());
    called.answer(offer(Suite::AeadAes256Gcm, 1).as_bytes(), Direction::SendRecv).unwrap();
    called.offer(Direction::SendRecv);
    let theirs = offer(Suite::AeadAes256Gcm, 3);
    let media = called.accept(theirs.as_bytes()).unwrap();
    called.offered_again();
    assert_eq!(called.accept(theirs.as_bytes()).unwrap(), media);
}

#[test]
fn rfc4028_7_4_an_offer_that_nobody_answered_is_not_repeated() {
    let mut called = Negotiation::new(secure());
    let theirs = offer(Suite::AeadAes256Gcm, 1);
    let first = called.answer(theirs.as_bytes(), Direction::SendRecv).unwrap();
    called.offer(Direction::SendRecv);
    called.offered_again();
    let media = called.accept(theirs.as_bytes()).unwrap();
    assert_eq!(media.srtp.as_ref(), Some(keys(&first)));
}

#[test]
fn of_a_secure_and_a_plain_stream_the_policy_takes_its_own_and_refuses_the_other() {
    let (offer, both) = (freeswitch_optional(), |local: &Local| {
        answer(freeswitch_optional().as_bytes(), local, Direction::SendRecv).unwrap()
    });
    assert_eq!(offer.matches("m=audio").count(), 2);
    let agreed = both(&local());
    assert_eq!(m_lines(&agreed.sdp), ["m=audio 0 RTP/SAVP 0 101", "m=audio 20000 RTP/AVP 0 101"]);
    assert!(agreed.media.srtp.is_none() && values(&agreed.sdp, "crypto").is_empty());
    let agreed = both(&secure());
    assert_eq!(m_lines(&agreed.sdp), ["m=audio 20000 RTP/SAVP 0 101", "m=audio 0 RTP/AVP 0 101"]);
    assert!(agreed.media.srtp.is_some());
}

#[test]
fn what_the_policy_does_not_want_is_not_acceptable() {
    let plain_with_key = offer(Suite::AesCm128Sha1_80, 1).replace("RTP/SAVP", "RTP/AVP");
    let agreed = answer(plain_with_key.as_bytes(), &local(), Direction::SendRecv).unwrap();
    assert!(agreed.media.srtp.is_none() && values(&agreed.sdp, "crypto").is_empty(), "a key that nobody asked for");
    let unknown = offer(Suite::AesCm128Sha1_80, 1).replace("AES_CM_128_HMAC_SHA1_80", "AES_CM_128_NULL_AUTH");
    let dtls = offer(Suite::AesCm128Sha1_80, 1).replace("RTP/SAVP", "UDP/TLS/RTP/SAVP");
    for (offer, local, error) in [
        (FREESWITCH.to_owned(), secure(), Error::NotSecureRtp("RTP/AVP".into())),
        (plain_with_key, secure(), Error::NotSecureRtp("RTP/AVP".into())),
        (dtls, secure(), Error::NotSecureRtp("UDP/TLS/RTP/SAVP".into())),
        (unknown, secure(), Error::NoCommonSuite),
        (one("m=audio 4000 RTP/SAVP 0\r\n"), secure(), Error::NoCommonSuite),
        (FREESWITCH_SAVP.to_owned(), local(), Error::NotPlainRtp("RTP/SAVP".into())),
    ] {
        let refused = answer(offer.as_bytes(), &local, Direction::SendRecv).unwrap_err();
        assert_eq!((refused.sip_status(), refused), (488, error), "{offer}");
    }
}

#[test]
fn an_answer_in_the_clear_to_a_secure_offer_is_refused() {
    for answer in [FREESWITCH.to_owned(), one("m=audio 4000 RTP/SAVP 0\r\n")] {
        let mut calling = Negotiation::new(secure());
        calling.offer(Direction::SendRecv);
        assert_eq!(calling.accept(answer.as_bytes()).unwrap_err().sip_status(), 488, "{answer}");
    }
}

#[test]
fn feedback_profiles_are_answered_as_they_are_offered() {
    let offer = offer(Suite::Aes256CmSha1_80, 1).replace("RTP/SAVP", "RTP/SAVPF");
    let agreed = answer(offer.as_bytes(), &secure(), Direction::SendRecv).unwrap();
    assert_eq!(m_lines(&agreed.sdp), ["m=audio 20000 RTP/SAVPF 0"]);
}

#[test]
fn no_key_is_in_what_is_shown_for_debugging() {
    let mut called = Negotiation::new(secure());
    let agreed = called.answer(FREESWITCH_SAVP.as_bytes(), Direction::SendRecv).unwrap();
    let shown = format!("{called:?} {agreed:?} {:?}", secure());
    let ours = base64_simd::STANDARD.encode_to_string(&*keys(&agreed).sent.expose());
    let numbers = format!("{:?}", ours.as_bytes());
    for key in [&ours, "jHUhSagb4QL2N2mPyqOkjgwC5pXPB9Xyup4KhQFH", numbers.trim_matches(['[', ']'])] {
        assert!(!shown.contains(key), "{shown}");
    }
}
