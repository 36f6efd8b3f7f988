//! Offers within a call: re-INVITE (RFC 3261 §14) and UPDATE (RFC 3311), both ways, and what collides.
use super::*;
use crate::{
    leg::{OfferMethod, Reason, TerminatedBy},
    message::Name,
};

const HOLD: &str = "v=0\r\na=sendonly\r\n";

#[test]
fn a_reinvite_is_the_owners_to_answer() {
    let mut stand = Stand::new();
    let (leg, tag) = stand.established();
    stand.feed(&peer("INVITE", 2, &tag, "", HOLD).replace("ai@192.0.2.10:5080", "ai@192.0.2.44:5090"));
    assert_eq!(stand.sent_kinds(), ["100"]);
    assert_eq!(stand.events(), [Event::Offer { leg, method: OfferMethod::Invite, sdp: Some(HOLD.into()) }]);
    stand.command(Command::AcceptOffer { leg, sdp: ANSWER.into() });
    let ok = stand.one_response();
    assert_eq!((ok.status.code(), &ok.body[..]), (200, ANSWER.as_bytes()));
    assert_eq!(stand.pass(Duration::from_millis(600)), [(500, "200".to_owned())]);
    stand.feed(&peer("ACK", 2, &tag, "", ""));
    assert_eq!((stand.pass(Duration::from_secs(20)), stand.events()), (vec![], vec![]));
    // Its Contact is the remote target from here on.
    stand.command(Command::Bye { leg, reason: None });
    let transmit = stand.transmits().remove(0);
    assert_eq!(transmit.hop.remote, "192.0.2.44:5090".parse().unwrap());
}

#[test]
fn a_reinvite_without_offer_asks_for_ours() {
    let mut stand = Stand::new();
    let (leg, tag) = stand.established();
    stand.feed(&peer("INVITE", 2, &tag, "", ""));
    assert_eq!(stand.events(), [Event::Offer { leg, method: OfferMethod::Invite, sdp: None }]);
    stand.command(Command::AcceptOffer { leg, sdp: OFFER.into() });
    stand.feed(&peer("ACK", 2, &tag, "", ANSWER));
    assert_eq!(stand.events(), [Event::Established { leg, sdp: Some(ANSWER.into()) }]);
}

#[test]
fn a_refused_offer_changes_nothing_and_its_peer_is_told_why() {
    let mut stand = Stand::new();
    let (leg, tag) = stand.established();
    stand.feed(&peer("INVITE", 2, &tag, "", HOLD));
    let why = "SIP;cause=488;text=\"no codec in common\"";
    stand.command(Command::RefuseOffer { leg, status: 488, reason: Reason::parse(why) });
    let sent = stand.sent();
    assert_eq!(sent.iter().map(kind).collect::<Vec<_>>(), ["100", "488"]);
    let Some(Message::Response(refusal)) = sent.last() else { panic!("{sent:?}") };
    assert_eq!(refusal.headers.first(Name::Reason), Some(why));
    stand.feed(&peer("ACK", 2, &tag, "", "").replace("z9hG4bKACK2", "z9hG4bKINVITE2"));
    stand.events();
    stand.feed(&peer("BYE", 3, &tag, "", ""));
    assert_eq!(stand.events(), [Event::Bye { leg, reason: None }]);
}

#[test]
fn a_2xx_to_a_reinvite_never_acknowledged_ends_the_call() {
    let mut stand = Stand::new();
    let (leg, tag) = stand.established();
    stand.feed(&peer("INVITE", 2, &tag, "", HOLD));
    stand.command(Command::AcceptOffer { leg, sdp: ANSWER.into() });
    stand.events();
    let sent = stand.pass(Duration::from_secs(32));
    assert_eq!(sent.last().map(|(_, kind)| kind.as_str()), Some("BYE"));
    assert_eq!(stand.events(), [Event::Terminated { leg, by: TerminatedBy::NoAck }]);
}

#[test]
fn update_with_and_without_sdp() {
    let mut stand = Stand::new();
    let (leg, tag) = stand.established();
    stand.feed(&peer("UPDATE", 2, &tag, "", ""));
    assert_eq!((stand.sent_kinds(), stand.events()), (vec!["200".to_owned()], vec![]));
    stand.feed(&peer("UPDATE", 3, &tag, "", HOLD));
    assert_eq!(stand.events(), [Event::Offer { leg, method: OfferMethod::Update, sdp: Some(HOLD.into()) }]);
    stand.feed(&peer("UPDATE", 3, &tag, "", HOLD));
    assert_eq!((stand.sent_kinds(), stand.events()), (vec![], vec![]));
    stand.command(Command::AcceptOffer { leg, sdp: ANSWER.into() });
    assert_eq!(stand.one_response().body[..], *ANSWER.as_bytes());
    assert_eq!(stand.pass(Duration::from_secs(10)), []);
}

#[test]
fn a_second_offer_waits_for_the_first() {
    let mut stand = Stand::new();
    let (leg, tag) = stand.established();
    stand.feed(&peer("INVITE", 2, &tag, "", HOLD));
    stand.sent();
    for text in [peer("INVITE", 3, &tag, "", HOLD), peer("UPDATE", 4, &tag, "", HOLD)] {
        stand.feed(&text);
        let response = stand.one_response();
        assert_eq!(response.status.code(), 500);
        assert!(response.headers.retry_after().is_some_and(|seconds| seconds < 10));
    }
    assert_eq!(stand.events().len(), 1);
    stand.command(Command::AcceptOffer { leg, sdp: ANSWER.into() });
    stand.sent();
    // Unacknowledged: still not free.
    stand.feed(&peer("INVITE", 5, &tag, "", HOLD));
    assert_eq!((stand.sent_kinds(), stand.events()), (vec!["491".to_owned()], vec![]));
    // A picture instead of a session description is none.
    stand.feed(&peer("ACK", 2, &tag, "", ""));
    stand.feed(&peer("INVITE", 6, &tag, "", HOLD).replace("application/sdp", "image/png"));
    assert_eq!((stand.sent_kinds(), stand.events()), (vec!["415".to_owned()], vec![]));
}

/// Its owner may have followed the offer when the CANCEL comes, and must not be the only one who did.
#[test]
fn a_cancelled_reinvite_is_answered_all_the_same() {
    let mut stand = Stand::new();
    let (leg, tag) = stand.established();
    stand.feed(&peer("INVITE", 2, &tag, "", HOLD));
    stand.feed(&peer("CANCEL", 2, &tag, "", ""));
    assert_eq!(stand.sent_kinds(), ["100", "200"]);
    // Nor is the answer taken for that to an offer that follows.
    stand.feed(&peer("INVITE", 3, &tag, "", OFFER));
    assert_eq!(stand.sent_kinds(), ["500"]);
    stand.feed(&peer("ACK", 3, &tag, "", "").replace("z9hG4bKACK3", "z9hG4bKINVITE3"));
    let sdp = Some(HOLD.into());
    assert_eq!(stand.events(), [Event::Offer { leg, method: OfferMethod::Invite, sdp }]);
    stand.command(Command::AcceptOffer { leg, sdp: ANSWER.into() });
    let ok = stand.one_response();
    assert_eq!((ok.status.code(), &ok.body[..]), (200, ANSWER.as_bytes()));
    assert_eq!(ok.headers.cseq().map(|cseq| cseq.number), Some(2));
    stand.feed(&peer("ACK", 2, &tag, "", ""));
    assert_eq!((stand.pass(Duration::from_secs(20)), stand.events()), (vec![], vec![]));
    stand.feed(&peer("BYE", 4, &tag, "", ""));
    assert_eq!(stand.events(), [Event::Bye { leg, reason: None }]);
}

/// RFC 3261 §9.2: it means the INVITE whose branch it bears, and that one has its answer.
#[test]
fn a_cancel_of_an_offer_that_came_too_early_leaves_the_call_ringing() {
    let mut stand = Stand::new();
    let leg = stand.ringing();
    stand.command(Command::Ring { leg });
    let tag = to_tag(&stand.one_response());
    stand.feed(&peer("INVITE", 2, &tag, "", OFFER));
    stand.feed(&peer("CANCEL", 2, &tag, "", ""));
    assert_eq!((stand.sent_kinds(), stand.events()), (vec!["500".to_owned(), "200".into()], vec![]));
    stand.command(Command::Answer { leg, sdp: ANSWER.into() });
    assert_eq!(stand.one_response().body[..], *ANSWER.as_bytes());
}

#[test]
fn a_bye_ends_a_pending_reinvite() {
    let mut stand = Stand::new();
    let (leg, tag) = stand.established();
    stand.feed(&peer("INVITE", 2, &tag, "", HOLD));
    stand.feed(&peer("BYE", 3, &tag, "", ""));
    assert_eq!(stand.sent_kinds(), ["100", "200", "487"]);
    assert_eq!(stand.events().last(), Some(&Event::Bye { leg, reason: None }));
}

#[test]
fn our_reinvite_and_its_outcomes() {
    for (status, body, result) in
        [(200, ANSWER, Ok(ANSWER)), (200, "", Err(500)), (488, "", Err(488)), (415, "", Err(415))]
    {
        let result = result.map(Body::from);
        let mut stand = Stand::new();
        let (leg, tag) = stand.established();
        stand.command(Command::Reinvite { leg, sdp: HOLD.into() });
        let invite = stand.one_request();
        assert_eq!((invite.method.as_str(), &invite.body[..]), ("INVITE", HOLD.as_bytes()));
        assert_eq!(invite.headers.contact().unwrap().uri.as_str(), "sip:1000@198.51.100.1:5060");
        stand.feed(&answer(&invite, status, "", "", body));
        assert_eq!(stand.sent_kinds(), ["ACK"], "{status}");
        assert_eq!(stand.events(), [Event::OfferAnswered { leg, result }]);
        stand.feed(&peer("BYE", 9, &tag, "", ""));
        assert_eq!(stand.events(), [Event::Bye { leg, reason: None }]);
    }
}

#[test]
fn a_repeated_2xx_to_our_reinvite_gets_its_ack_again() {
    let mut stand = Stand::new();
    let (leg, _) = stand.established();
    stand.command(Command::Reinvite { leg, sdp: HOLD.into() });
    let invite = stand.one_request();
    let ok = answer(&invite, 200, "", "", ANSWER);
    stand.feed(&ok);
    let ack = stand.one_request();
    stand.feed(&ok);
    assert_eq!(stand.one_request(), ack);
    assert_eq!(stand.events().len(), 1);
}

#[test]
fn a_reinvite_to_a_peer_that_is_gone_ends_the_call() {
    for (status, wait) in [(Some(481), 0), (None, 32)] {
        let mut stand = Stand::new();
        let (leg, _) = stand.established();
        stand.command(Command::Reinvite { leg, sdp: HOLD.into() });
        let invite = stand.one_request();
        if let Some(status) = status {
            stand.feed(&answer(&invite, status, "", "", ""));
        }
        stand.pass(Duration::from_secs(wait));
        let result = Err(status.unwrap_or(408));
        let by = TerminatedBy::PeerGone;
        assert_eq!(stand.events(), [Event::OfferAnswered { leg, result }, Event::Terminated { leg, by }]);
    }
}

#[test]
fn colliding_reinvites_are_sorted_out() {
    let mut stand = Stand::new();
    let (leg, tag) = stand.established();
    stand.command(Command::Reinvite { leg, sdp: HOLD.into() });
    let ours = stand.one_request();
    stand.feed(&peer("INVITE", 2, &tag, "", OFFER));
    assert_eq!((stand.sent_kinds(), stand.events()), (vec!["491".to_owned()], vec![]));
    stand.feed(&answer(&ours, 491, "", "", ""));
    assert_eq!(stand.sent_kinds(), ["ACK"]);
    // The Call-ID is the peer's: we try again within two seconds.
    let sent = stand.pass(Duration::from_secs(2));
    assert!(sent.iter().any(|(_, kind)| kind == "INVITE"), "{sent:?}");
    assert_eq!(stand.events(), []);
}

#[test]
fn who_made_the_call_waits_longer_after_a_collision() {
    let mut stand = Stand::new();
    let (leg, invite) = stand.calling();
    stand.feed(&answer(&invite, 200, "a", "Contact: <sip:desk@192.0.2.10:5080>\r\n", ANSWER));
    stand.command(Command::Reinvite { leg, sdp: HOLD.into() });
    let Some(Message::Request(ours)) = stand.sent().pop() else { panic!("a re-INVITE") };
    stand.feed(&answer(&ours, 491, "", "", ""));
    stand.sent();
    let sent = stand.pass(Duration::from_secs(4));
    let (at, kind) = &sent[0];
    assert!((2100..=4000).contains(at) && kind == "INVITE", "{sent:?}");
}

#[test]
fn ours_waits_behind_theirs() {
    let mut stand = Stand::new();
    let (leg, tag) = stand.established();
    stand.feed(&peer("INVITE", 2, &tag, "", OFFER));
    stand.sent();
    stand.events();
    stand.command(Command::Reinvite { leg, sdp: b"first".into() });
    stand.command(Command::Reinvite { leg, sdp: b"second".into() });
    assert_eq!(stand.events(), [Event::OfferAnswered { leg, result: Err(491) }]);
    stand.command(Command::AcceptOffer { leg, sdp: ANSWER.into() });
    assert_eq!(stand.sent_kinds(), ["200"]);
    stand.feed(&peer("ACK", 2, &tag, "", ""));
    assert_eq!(stand.one_request().body[..], *b"second");
}

#[test]
fn a_busy_peer_is_asked_again_after_what_it_says() {
    let mut stand = Stand::new();
    let (leg, _) = stand.established();
    stand.command(Command::Reinvite { leg, sdp: HOLD.into() });
    let ours = stand.one_request();
    stand.feed(&answer(&ours, 500, "", "Retry-After: 3\r\n", ""));
    assert_eq!(stand.sent_kinds(), ["ACK"]);
    assert_eq!(stand.pass(Duration::from_millis(3100)), [(3000, "INVITE".to_owned())]);
}

#[test]
fn a_challenge_within_a_call_is_answered_with_the_account_of_its_realm() {
    let mut stand = Stand::new();
    stand.endpoint.register(RegistrationId(1), super::register::registration(), stand.now);
    stand.sent();
    stand.events();
    let (leg, _) = stand.established();
    stand.command(Command::Reinvite { leg, sdp: HOLD.into() });
    let ours = stand.one_request();
    let challenge = "Proxy-Authenticate: Digest realm=\"test.local\", nonce=\"n\", algorithm=MD5, qop=\"auth\"\r\n";
    stand.feed(&answer(&ours, 407, "", challenge, ""));
    let [_, Message::Request(again)] = &stand.sent()[..] else { panic!("an ACK and an INVITE") };
    assert!(again.headers.first(Name::ProxyAuthorization).is_some_and(|proof| proof.contains("username=\"2000\"")));
    stand.feed(&answer(again, 200, "", "", ANSWER));
    assert_eq!(stand.events(), [Event::OfferAnswered { leg, result: Ok(ANSWER.into()) }]);
}

#[test]
fn an_offer_before_the_ack_waits_unless_it_is_an_update_after_our_answer() {
    let mut stand = Stand::new();
    let leg = stand.ringing();
    stand.command(Command::Answer { leg, sdp: ANSWER.into() });
    let tag = to_tag(&stand.one_response());
    stand.feed(&peer("INVITE", 2, &tag, "", HOLD));
    assert_eq!((stand.sent_kinds(), stand.events()), (vec!["491".to_owned()], vec![]));
    stand.feed(&peer("UPDATE", 3, &tag, "", HOLD));
    assert_eq!(stand.events(), [Event::Offer { leg, method: OfferMethod::Update, sdp: Some(HOLD.into()) }]);
    stand.command(Command::AcceptOffer { leg, sdp: ANSWER.into() });
    assert_eq!(stand.sent_kinds(), ["200"]);
    stand.feed(&peer("ACK", 1, &tag, "", ""));
    assert_eq!(stand.events(), [Event::Established { leg, sdp: None }]);
    // Where our 200 offered, the ACK must bring the answer first (RFC 3311 §5.2).
    let mut stand = Stand::new();
    stand.feed(&invite(1, "", ""));
    stand.sent();
    let Event::Incoming { leg, .. } = stand.one_event() else { panic!("a new call") };
    stand.command(Command::Answer { leg, sdp: ANSWER.into() });
    let tag = to_tag(&stand.one_response());
    stand.feed(&peer("UPDATE", 2, &tag, "", HOLD));
    assert_eq!((stand.sent_kinds(), stand.events()), (vec!["491".to_owned()], vec![]));
}

#[test]
fn update_while_it_rings() {
    let mut stand = Stand::new();
    let leg = stand.ringing();
    stand.command(Command::Ring { leg });
    let tag = to_tag(&stand.one_response());
    let moved = |text: String| text.replace("ai@192.0.2.10:5080", "ai@192.0.2.44:5090");
    stand.feed(&moved(peer("UPDATE", 2, &tag, "", "")));
    let ok = stand.one_response();
    assert_eq!((ok.status.code(), ok.headers.contact().is_some()), (200, true));
    // Its INVITE offers, and is not answered.
    stand.feed(&peer("UPDATE", 3, &tag, "", HOLD));
    let refusal = stand.one_response();
    assert_eq!(refusal.status.code(), 500);
    assert!(refusal.headers.retry_after().is_some_and(|seconds| seconds <= 10));
    assert_eq!(stand.events(), []);
    stand.command(Command::Answer { leg, sdp: ANSWER.into() });
    stand.feed(&peer("ACK", 1, &tag, "", ""));
    stand.sent();
    stand.command(Command::Bye { leg, reason: None });
    assert_eq!(stand.transmits().remove(0).hop.remote, "192.0.2.44:5090".parse().unwrap());
}

#[test]
fn update_of_a_callee_that_rings() {
    let mut stand = Stand::new();
    let (leg, invite) = stand.calling();
    stand.feed(&answer(&invite, 180, "a", "Contact: <sip:desk@192.0.2.10:5080>\r\n", ""));
    stand.events();
    let ours = invite.headers.from().unwrap();
    let callee = |method: &str, cseq, body: &str| {
        let text = peer(method, cseq, ours.tag().unwrap(), "", body).replace("tag=peer", "tag=a");
        text.replace("call-1", invite.headers.call_id().unwrap())
    };
    stand.feed(&callee("UPDATE", 1, ""));
    assert_eq!(stand.sent_kinds(), ["200"]);
    // Our INVITE offers, and has no answer: RFC 3311 §5.2.
    stand.feed(&callee("UPDATE", 2, HOLD));
    assert_eq!((stand.sent_kinds(), stand.events()), (vec!["491".to_owned()], vec![]));
    stand.command(Command::Bye { leg, reason: None });
}

#[test]
fn an_update_that_overtakes_another_comes_too_early() {
    let mut stand = Stand::new();
    let (leg, tag) = stand.established();
    stand.feed(&peer("UPDATE", 2, &tag, "", HOLD));
    stand.feed(&peer("UPDATE", 3, &tag, "", ""));
    let refusal = stand.one_response();
    assert_eq!((refusal.status.code(), refusal.headers.retry_after().is_some()), (500, true));
    stand.command(Command::AcceptOffer { leg, sdp: ANSWER.into() });
    stand.feed(&peer("UPDATE", 4, &tag, "", ""));
    assert_eq!(stand.sent_kinds(), ["200", "200"]);
}

#[test]
fn an_update_that_meets_our_offer_gets_491() {
    let mut stand = Stand::new();
    let (leg, tag) = stand.established();
    stand.command(Command::Reinvite { leg, sdp: HOLD.into() });
    stand.sent();
    stand.feed(&peer("UPDATE", 2, &tag, "", OFFER));
    stand.feed(&peer("UPDATE", 3, &tag, "", ""));
    assert_eq!((stand.sent_kinds(), stand.events()), (vec!["491".to_owned(), "200".into()], vec![]));
    stand.command(Command::Bye { leg, reason: None });
    stand.sent();
    stand.feed(&peer("UPDATE", 4, &tag, "", ""));
    assert_eq!(stand.sent_kinds(), ["481"]);
}

/// A softphone that changes networks offers anew from there, with a Contact that only that network knows.
#[test]
fn a_peer_behind_a_nat_that_refreshes_from_elsewhere_is_found_there() {
    for (method, body) in [("INVITE", OFFER), ("UPDATE", OFFER), ("UPDATE", "")] {
        let mut stand = Stand::new();
        stand.remote = "203.0.113.5:40000".parse().unwrap();
        let (leg, tag) = stand.established();
        stand.remote = "203.0.113.99:50000".parse().unwrap();
        stand.feed(&peer(method, 2, &tag, "", body).replace("192.0.2.10", "172.16.0.7"));
        stand.command(Command::AcceptOffer { leg, sdp: ANSWER.into() });
        stand.feed(&peer("ACK", 2, &tag, "", ""));
        stand.transmits();
        stand.command(Command::Bye { leg, reason: None });
        assert_eq!(stand.transmits().remove(0).hop.remote, stand.remote, "{method} {body:?}");
    }
}

/// What leaves by another of its addresses, or by the NAT of a cluster, has come from no other place.
#[test]
fn a_peer_that_names_the_address_it_had_is_found_there_wherever_it_sends_from() {
    for (method, body) in [("INVITE", OFFER), ("UPDATE", OFFER), ("UPDATE", "")] {
        let mut stand = Stand::new();
        let (leg, tag) = stand.established();
        stand.remote = "203.0.113.99:50000".parse().unwrap();
        stand.feed(&peer(method, 2, &tag, "", body));
        stand.command(Command::AcceptOffer { leg, sdp: ANSWER.into() });
        stand.feed(&peer("ACK", 2, &tag, "", ""));
        stand.transmits();
        stand.command(Command::Bye { leg, reason: None });
        assert_eq!(stand.transmits().remove(0).hop.remote, REMOTE.parse().unwrap(), "{method} {body:?}");
    }
}
