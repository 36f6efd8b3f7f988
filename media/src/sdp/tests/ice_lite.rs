//! ICE (RFC 8839) as a lite agent.
use super::*;

fn lite() -> Local {
    Local { ice: Some(ice::Secret::new([9; 32])), codecs: vec![Codec::Opus, Codec::Pcmu], ..local() }
}

#[test]
fn rfc8839_5_3_an_offer_with_ice_is_answered_by_a_lite_agent() {
    let agreed = answer(ICE.as_bytes(), &lite(), Direction::SendRecv).unwrap();
    let credentials = agreed.media.ice.clone().unwrap();
    let expected = format!(
        "v=0\r\no=ramal 77 1 IN IP4 192.0.2.9\r\ns=ramal\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\na=ice-lite\r\n\
         m=audio 20000 RTP/AVPF 96 97\r\na=rtpmap:96 opus/48000/2\r\n\
         a=fmtp:96 maxplaybackrate=24000;sprop-maxcapturerate=24000;useinbandfec=1\r\na=rtpmap:97 telephone-event/48000\r\n\
         a=fmtp:97 0-15\r\na=ptime:20\r\na=sendrecv\r\na=rtcp-mux\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\n\
         a=candidate:1 1 UDP 2130706431 192.0.2.9 20000 typ host\r\n",
        credentials.fragment, credentials.password
    );
    assert_eq!(text(&agreed.sdp), expected);
    assert_eq!(agreed.media.remote, "198.51.100.7:45664".parse().unwrap());
}

#[test]
fn rfc8839_5_1_without_a_shared_port_rtcp_has_a_candidate_of_its_own() {
    let offer = ICE.replace("a=rtcp-mux\r\n", "");
    let agreed = answer(offer.as_bytes(), &lite(), Direction::SendRecv).unwrap();
    let expected = ["1 1 UDP 2130706431 192.0.2.9 20000 typ host", "1 2 UDP 2130706430 192.0.2.9 20001 typ host"];
    assert_eq!(values(&agreed.sdp, "candidate"), expected);
}

#[test]
fn rfc8839_no_ice_is_answered_where_none_was_offered() {
    let without = ["a=ice-pwd:asd88fgpdd777uzjYhagZg\r\n", "a=ice-ufrag:8hhY\r\n"];
    let mut offers: Vec<String> = without.iter().map(|line| ICE.replace(line, "")).collect();
    offers
        .push(ICE.lines().filter(|line| !line.starts_with("a=candidate")).map(|line| format!("{line}\r\n")).collect());
    offers.push(FREESWITCH.to_owned());
    for offer in offers {
        let agreed = answer(offer.as_bytes(), &lite(), Direction::SendRecv).unwrap();
        assert!(agreed.media.ice.is_none() && !text(&agreed.sdp).contains("ice"), "{}", text(&agreed.sdp));
    }
    let agreed = answer(ICE.as_bytes(), &Local { ice: None, ..lite() }, Direction::SendRecv).unwrap();
    assert!(agreed.media.ice.is_none() && !text(&agreed.sdp).contains("ice"));
}

/// RFC 8839 §5.3: an SBC rewrote the address and left the candidates.
#[test]
fn rfc8839_5_3_candidates_that_contradict_the_address_are_a_mismatch() {
    for (from, to) in [
        ("c=IN IP4 198.51.100.7", "c=IN IP4 203.0.113.1"),
        ("m=audio 45664", "m=audio 9000"),
        (":2 1 UDP", ":2 2 UDP"),
        (":2 1 UDP", ":2 1 TCP"),
    ] {
        let agreed = answer(ICE.replace(from, to).as_bytes(), &lite(), Direction::SendRecv).unwrap();
        assert!(agreed.media.ice.is_none());
        let sdp = text(&agreed.sdp);
        assert!(sdp.contains("a=ice-mismatch\r\n") && !sdp.contains("ice-lite") && !sdp.contains("candidate"), "{sdp}");
    }
}

/// RFC 8839 §4.4.1.1.1, §4.4.3.1: credentials stay with the session of ICE, and change when the peer's do.
#[test]
fn rfc8839_4_4_credentials_change_when_the_peer_starts_ice_anew_and_only_then() {
    let mut negotiation = Negotiation::new(lite());
    let mut say = |offer: &str| negotiation.answer(offer.as_bytes(), Direction::SendRecv).unwrap();
    let first = say(ICE);
    assert_eq!(say(ICE), first);
    let held = say(&format!("{ICE}a=sendonly\r\n"));
    assert_eq!(held.media.ice, first.media.ice);
    let restarted = say(&ICE.replace("8hhY", "9hhY"));
    let (before, after) = (first.media.ice.unwrap(), restarted.media.ice.unwrap());
    assert!(before.fragment != after.fragment && before.password != after.password);
}

/// Who asks for an offer in mid-call may be about to connect us with somebody else.
#[test]
fn rfc8839_7_5_an_offer_that_is_asked_of_us_starts_ice_anew_with_its_answer() {
    let mut negotiation = Negotiation::new(lite());
    let first = negotiation.answer(ICE.as_bytes(), Direction::SendRecv).unwrap().media.ice.unwrap();
    let offer = negotiation.offer(Direction::SendRecv);
    let offered = [values(&offer, "ice-ufrag")[0], values(&offer, "ice-pwd")[0]];
    assert!(offered[0] != first.fragment && offered[1] != first.password);
    assert_eq!(values(&offer, "rtcp-mux"), [""]);
    let refreshed = negotiation.answer(ICE.as_bytes(), Direction::SendRecv).unwrap();
    assert_eq!(refreshed.media.ice, Some(first), "nobody answered it");
    negotiation.offer(Direction::SendRecv);
    let other = ICE.replace("8hhY", "9hhY").replace("RTP/AVPF 96 0 97", "RTP/AVPF 0 97");
    let media = negotiation.accept(other.as_bytes()).unwrap();
    let agreed = media.ice.unwrap();
    assert_eq!([agreed.fragment.as_str(), agreed.password.as_str()], offered);
    assert!(media.rtcp_mux);
    let held = negotiation.answer(format!("{other}a=sendonly\r\n").as_bytes(), Direction::SendRecv).unwrap();
    assert_eq!(held.media.ice, Some(agreed), "the agent is the one that answered");
}

#[test]
fn rfc8839_5_3_a_mismatch_is_told_in_answers_only() {
    let mut negotiation = Negotiation::new(lite());
    let rewritten = ICE.replace("m=audio 45664", "m=audio 9000");
    negotiation.answer(rewritten.as_bytes(), Direction::SendRecv).unwrap();
    let offer = negotiation.offer(Direction::SendRecv);
    assert!(!text(&offer).contains("ice"), "{}", text(&offer));
}
