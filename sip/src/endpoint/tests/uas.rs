//! Calls to us: RFC 3261 §8.2, §9.2, §13.3, §15, over UDP.
use super::*;
use crate::{IncomingInvite, leg::TerminatedBy, message::Name};

#[test]
fn a_call_from_invite_to_bye() {
    let mut stand = Stand::new();
    let leg = stand.ringing();
    stand.command(Command::Ring { leg });
    let ringing = stand.one_response();
    assert_eq!(ringing.status.code(), 180);
    stand.command(Command::Answer { leg, sdp: ANSWER.into() });
    let ok = stand.one_response();
    assert_eq!((ok.status.code(), &ok.body[..], to_tag(&ok)), (200, ANSWER.as_bytes(), to_tag(&ringing)));
    assert_eq!(ok.headers.contact().unwrap().uri.as_str(), "sip:1000@198.51.100.1:5060");
    assert_eq!(ok.headers.content_type().as_deref(), Some("application/sdp"));
    let tag = to_tag(&ok);
    stand.feed(&peer("ACK", 1, &tag, "", ""));
    assert_eq!(stand.events(), [Event::Established { leg, sdp: None }]);
    stand.feed(&peer("BYE", 2, &tag, "Reason: Q.850;cause=16;text=\"NORMAL_CLEARING\"\r\n", ""));
    assert_eq!(stand.sent_kinds(), ["200"]);
    let reason = Reason { protocol: "Q.850".into(), cause: Some(16), text: Some("NORMAL_CLEARING".into()) };
    assert_eq!(stand.events(), [Event::Bye { leg, reason: Some(reason) }]);
    // A retransmitted BYE is answered again, another one belongs to nothing.
    stand.feed(&peer("BYE", 2, &tag, "", ""));
    stand.feed(&peer("BYE", 3, &tag, "", ""));
    assert_eq!(stand.sent_kinds(), ["200", "481"]);
    assert!(stand.endpoint.is_idle());
    stand.pass(Duration::from_secs(40));
    assert_eq!((stand.endpoint.poll_timeout(), stand.endpoint.stats().transactions), (None, 0));
}

#[test]
fn the_owner_learns_who_calls_whom() {
    let mut stand = Stand::new();
    stand.feed(&invite(123_165_365, "X-Ramal-Domain: acme\r\nx-other: 1\r\nSession-Expires: 120\r\n", OFFER));
    let Event::Incoming { invite, .. } = stand.one_event() else { panic!("a new call") };
    let expected = IncomingInvite {
        remote: REMOTE.parse().unwrap(),
        listener: ListenerId(0),
        user: None,
        transport: Transport::Udp,
        call_id: "call-1".into(),
        request_user: "1000".into(),
        request_host: "198.51.100.1".into(),
        from_user: "+551130000001".into(),
        from_display: "Caller Um".into(),
        to_user: "1000".into(),
        x_headers: vec![("X-Ramal-Domain".into(), "acme".into()), ("x-other".into(), "1".into())],
        offer: Some(OFFER.into()),
    };
    assert_eq!(*invite, expected);
}

#[test]
fn an_invite_without_offer_brings_the_answer_in_its_ack() {
    let mut stand = Stand::new();
    stand.feed(&invite(1, "", ""));
    stand.sent();
    let Event::Incoming { leg, invite, .. } = stand.one_event() else { panic!("a new call") };
    assert_eq!(invite.offer, None);
    stand.command(Command::Answer { leg, sdp: ANSWER.into() });
    let tag = to_tag(&stand.one_response());
    stand.feed(&peer("ACK", 1, &tag, "", OFFER));
    assert_eq!(stand.events(), [Event::Established { leg, sdp: Some(OFFER.into()) }]);
}

/// RFC 3261 §13.2.1 has none there; some repeat their offer all the same.
#[test]
fn a_description_in_the_ack_of_our_answer_answers_nothing() {
    let mut stand = Stand::new();
    let leg = stand.ringing();
    stand.command(Command::Answer { leg, sdp: ANSWER.into() });
    let tag = to_tag(&stand.one_response());
    stand.feed(&peer("ACK", 1, &tag, "", OFFER));
    assert_eq!(stand.events(), [Event::Established { leg, sdp: None }]);
}

#[test]
fn repeated_invites_get_the_last_provisional_and_make_no_second_call() {
    let mut stand = Stand::new();
    let leg = stand.ringing();
    stand.feed(&invite(1, "", OFFER));
    assert_eq!(stand.sent_kinds(), ["100"]);
    stand.command(Command::Ring { leg });
    stand.sent();
    stand.feed(&invite(1, "", OFFER));
    assert_eq!(stand.sent_kinds(), ["180"]);
    stand.command(Command::Answer { leg, sdp: ANSWER.into() });
    stand.sent();
    stand.feed(&invite(1, "", OFFER));
    assert_eq!(stand.sent_kinds(), Vec::<String>::new());
    assert_eq!(stand.events(), []);
    assert_eq!(stand.endpoint.stats().repeated_requests, 3);
}

#[test]
fn a_2xx_is_repeated_until_its_ack() {
    let mut stand = Stand::new();
    let leg = stand.ringing();
    stand.command(Command::Answer { leg, sdp: ANSWER.into() });
    let tag = to_tag(&stand.one_response());
    let sent = stand.pass(Duration::from_secs(8));
    assert_eq!(sent, [500, 1500, 3500, 7500].map(|ms| (ms, "200".to_owned())));
    stand.feed(&peer("ACK", 1, &tag, "", ""));
    stand.feed(&peer("ACK", 1, &tag, "", ""));
    assert_eq!(stand.events(), [Event::Established { leg, sdp: None }]);
    assert_eq!(stand.pass(Duration::from_secs(30)), []);
}

#[test]
fn a_2xx_never_acknowledged_ends_in_bye() {
    let mut stand = Stand::new();
    let leg = stand.ringing();
    stand.command(Command::Answer { leg, sdp: ANSWER.into() });
    stand.sent();
    let sent = stand.pass(Duration::from_millis(32_000));
    assert_eq!(sent.iter().filter(|(_, kind)| kind == "200").count(), 10);
    assert_eq!(sent.last(), Some(&(32_000, "BYE".to_owned())));
    assert_eq!(stand.events(), [Event::Terminated { leg, by: TerminatedBy::NoAck }]);
}

#[test]
fn ringing_is_told_again_every_minute() {
    let mut stand = Stand::new();
    let leg = stand.ringing();
    stand.command(Command::Ring { leg });
    stand.sent();
    let sent = stand.pass(Duration::from_secs(130));
    assert_eq!(sent, [60_000, 120_000].map(|ms| (ms, "180".to_owned())));
}

#[test]
fn cancel_gets_200_and_the_invite_487() {
    let mut stand = Stand::new();
    let leg = stand.ringing();
    stand.feed(&peer("CANCEL", 1, "", "Reason: SIP;cause=487;text=\"ORIGINATOR_CANCEL\"\r\n", ""));
    assert_eq!(stand.sent_kinds(), ["200", "487"]);
    let reason = Reason { protocol: "SIP".into(), cause: Some(487), text: Some("ORIGINATOR_CANCEL".into()) };
    assert_eq!(stand.events(), [Event::Cancelled { leg, reason: Some(reason) }]);
    stand.feed(&peer("CANCEL", 1, "", "", ""));
    assert_eq!(stand.sent_kinds(), ["200"]);
    assert_eq!(stand.pass(Duration::from_millis(600)), [(500, "487".to_owned())]);
    stand.feed(&peer("ACK", 1, "x", "", "").replace("z9hG4bKACK1", "z9hG4bKINVITE1"));
    assert_eq!(stand.pass(Duration::from_secs(10)), []);
    assert!(stand.endpoint.is_idle());
}

#[test]
fn cancel_without_its_invite_gets_481_and_after_the_answer_changes_nothing() {
    let mut stand = Stand::new();
    stand.feed(&peer("CANCEL", 9, "", "", ""));
    assert_eq!(stand.sent_kinds(), ["481"]);
    let (_, tag) = stand.established();
    stand.feed(&peer("CANCEL", 1, "", "", ""));
    assert_eq!(stand.sent_kinds(), ["200"]);
    stand.feed(&peer("OPTIONS", 2, &tag, "", ""));
    assert_eq!((stand.sent_kinds(), stand.events()), (vec!["200".to_owned()], vec![]));
}

#[test]
fn a_refusal_is_repeated_until_its_ack() {
    let mut stand = Stand::new();
    let leg = stand.ringing();
    let reason = Some(Reason { protocol: "Q.850".into(), cause: Some(17), text: Some("busy".into()) });
    let headers = vec![("Retry-After".to_owned(), "5".to_owned()), ("bad name".to_owned(), "x".to_owned())];
    stand.command(Command::Reject { leg, status: 486, reason, headers });
    let busy = stand.one_response();
    assert_eq!(busy.status.code(), 486);
    assert_eq!(busy.headers.first(Name::Reason), Some("Q.850;cause=17;text=\"busy\""));
    assert_eq!(busy.headers.retry_after(), Some(5));
    assert_eq!(stand.pass(Duration::from_millis(1600)), [(500, "486".to_owned()), (1500, "486".to_owned())]);
    assert_eq!(stand.events(), []);
    let ack = peer("ACK", 1, &to_tag(&busy), "", "").replace("z9hG4bKACK1", "z9hG4bKINVITE1");
    stand.feed(&ack);
    stand.feed(&ack);
    assert_eq!(stand.events(), [Event::Terminated { leg, by: TerminatedBy::Us }]);
    assert_eq!(stand.pass(Duration::from_secs(40)), []);
}

#[test]
fn a_refusal_never_acknowledged_ends_by_itself() {
    let mut stand = Stand::new();
    let leg = stand.ringing();
    stand.command(Command::Bye { leg, reason: None });
    assert_eq!(stand.sent_kinds(), ["480"]);
    stand.pass(Duration::from_secs(32));
    assert_eq!(stand.events(), [Event::Terminated { leg, by: TerminatedBy::Us }]);
    assert_eq!(stand.endpoint.stats().transactions, 0);
}

#[test]
fn our_bye_goes_to_the_remote_target_verbatim() {
    let mut stand = Stand::new();
    let (leg, tag) = stand.established();
    let reason = Some(Reason { protocol: "Q.850".into(), cause: Some(16), text: None });
    stand.command(Command::Bye { leg, reason });
    let bye = stand.one_request();
    assert_eq!(bye.uri.as_str(), "sip:ai@192.0.2.10:5080;transport=udp;gw=ai");
    assert_eq!(bye.headers.from().unwrap().tag(), Some(tag.as_str()));
    assert_eq!(bye.headers.to().unwrap().tag(), Some("peer"));
    assert_eq!(bye.headers.first(Name::Reason), Some("Q.850;cause=16"));
    assert_eq!(bye.headers.via().unwrap().params.value("rport"), Some(""));
    assert_eq!(stand.events(), []);
    stand.feed(&answer(&bye, 200, "", "", ""));
    assert_eq!(stand.events(), [Event::Terminated { leg, by: TerminatedBy::Us }]);
}

#[test]
fn a_bye_of_ours_waits_for_the_ack() {
    let mut stand = Stand::new();
    let leg = stand.ringing();
    stand.command(Command::Answer { leg, sdp: ANSWER.into() });
    let tag = to_tag(&stand.one_response());
    stand.command(Command::Bye { leg, reason: None });
    assert_eq!(stand.sent_kinds(), Vec::<String>::new());
    stand.feed(&peer("ACK", 1, &tag, "", ""));
    assert_eq!((stand.sent_kinds(), stand.events()), (vec!["BYE".to_owned()], vec![]));
}

#[test]
fn an_unanswered_bye_still_ends() {
    let mut stand = Stand::new();
    let (leg, _) = stand.established();
    stand.command(Command::Bye { leg, reason: None });
    let sent = stand.pass(Duration::from_secs(32));
    assert_eq!(sent.len(), 11);
    assert_eq!(stand.events(), [Event::Terminated { leg, by: TerminatedBy::Us }]);
}

#[test]
fn crossing_byes_are_both_answered() {
    let mut stand = Stand::new();
    let (leg, tag) = stand.established();
    stand.command(Command::Bye { leg, reason: None });
    let ours = stand.one_request();
    stand.feed(&peer("BYE", 2, &tag, "", ""));
    assert_eq!(stand.sent_kinds(), ["200"]);
    assert_eq!(stand.events(), [Event::Terminated { leg, by: TerminatedBy::Us }]);
    stand.feed(&answer(&ours, 481, "", "", ""));
    assert_eq!((stand.events(), stand.sent_kinds()), (vec![], vec![]));
}

#[test]
fn a_bye_before_the_answer_is_a_caller_who_gave_up() {
    let mut stand = Stand::new();
    let leg = stand.ringing();
    stand.command(Command::Ring { leg });
    let tag = to_tag(&stand.one_response());
    stand.feed(&peer("BYE", 2, &tag, "", ""));
    assert_eq!(stand.sent_kinds(), ["200", "487"]);
    assert_eq!(stand.events(), [Event::Cancelled { leg, reason: None }]);
}

#[test]
fn requests_without_a_call_are_answered_and_forgotten() {
    // (request, status, header that must be there)
    let table: [(String, u16, Option<Name>); 20] = [
        (peer("OPTIONS", 1, "", "", ""), 200, Some(Name::Accept)),
        (peer("OPTIONS", 1, "", "", ""), 200, Some(Name::Supported)),
        (peer("OPTIONS", 1, "stranger", "", ""), 481, None),
        (peer("BYE", 1, "stranger", "", ""), 481, None),
        (peer("INVITE", 1, "stranger", "", OFFER), 481, None),
        (peer("INFO", 1, "", "", ""), 481, None),
        (peer("NOTIFY", 1, "", "Event: message-summary\r\n", ""), 481, None),
        (peer("MESSAGE", 1, "", "", ""), 405, Some(Name::Allow)),
        (peer("SUBSCRIBE", 1, "", "", ""), 405, Some(Name::Allow)),
        (peer("PUBLISH", 1, "", "", ""), 405, Some(Name::Allow)),
        (peer("REFER", 1, "", "Refer-To: <sip:x@y>\r\n", ""), 603, Some(Name::Allow)),
        (peer("REGISTER", 1, "", "", ""), 405, Some(Name::Allow)),
        (peer("DANCE", 1, "", "", ""), 501, Some(Name::Allow)),
        (invite(1, "Require: 100rel, tdialog\r\n", OFFER), 420, Some(Name::Unsupported)),
        (peer("PRACK", 1, "", "RAck: 1 1 INVITE\r\n", ""), 481, None),
        (peer("OPTIONS", 1, "", "Replaces: x;to-tag=1;from-tag=2\r\n", ""), 400, None),
        (invite(1, "", OFFER).replace("application/sdp", "text/plain"), 415, Some(Name::Accept)),
        (invite(1, "Accept: application/pdf, text/*\r\n", OFFER), 406, None),
        (invite(1, "Accept:\r\n", ""), 406, None),
        (invite(1, "", OFFER).replace("INVITE sip:1000@198.51.100.1:5060", "INVITE urn:service:sos"), 416, None),
    ];
    for (text, status, header) in table {
        let mut stand = Stand::new();
        stand.feed(&text);
        let response = stand.one_response();
        assert_eq!(response.status.code(), status, "{text}");
        assert!(header.is_none_or(|name| response.headers.first(name).is_some()), "{text}\n{response:?}");
        assert!(response.headers.to().unwrap().tag().is_some());
        stand.feed(&text);
        assert_eq!(stand.one_response(), response, "the same answer to the same request");
        assert_eq!((stand.events(), stand.endpoint.stats().transactions), (vec![], 0));
    }
}

#[test]
fn broken_requests_are_told_what_is_wrong() {
    let table = [
        (invite(1, "", OFFER).replace("Contact: <sip:ai@192.0.2.10:5080;transport=udp;gw=ai>\r\n", ""), 400),
        (invite(1, "", OFFER).replace("SIP/2.0\r\nVia", "SIP/3.0\r\nVia"), 505),
        (invite(1, "", OFFER).replace("CSeq: 1 INVITE", "CSeq: 1 BYE"), 400),
        (invite(1, "", OFFER).replace("Max-Forwards: 70", "Max-Forwards: many"), 400),
        (invite(1, "Record-Route: <sip:broken\r\n", OFFER), 400),
    ];
    for (text, status) in table {
        let mut stand = Stand::new();
        stand.feed(&text);
        let response = stand.one_response();
        assert_eq!(response.status.code(), status, "{text}");
        assert_ne!(response.reason, "Bad Request");
        assert_eq!(stand.events(), []);
    }
}

#[test]
fn a_request_that_came_by_two_ways_is_merged() {
    let mut stand = Stand::new();
    stand.ringing();
    stand.feed(&invite(1, "", OFFER).replace("z9hG4bKINVITE1", "z9hG4bKother"));
    assert_eq!((stand.sent_kinds(), stand.events()), (vec!["482".to_owned()], vec![]));
}

#[test]
fn too_many_legs_and_draining_refuse_before_anything_is_kept() {
    let mut stand = Stand::new();
    for call in 0..6 {
        stand.feed(
            &invite(1, "", OFFER).replace("call-1", &format!("call-{call}")).replace("KINVITE", &format!("K{call}-")),
        );
    }
    let kinds = stand.sent_kinds();
    assert_eq!(kinds, ["100", "100", "100", "100", "503", "503"]);
    assert_eq!((stand.events().len(), stand.endpoint.stats().legs, stand.endpoint.stats().overloaded), (4, 4, 2));
    let mut stand = Stand::new();
    let (_, tag) = stand.established();
    stand.endpoint.drain();
    for (text, expected) in [
        (peer("OPTIONS", 1, "", "", ""), "503"),
        (peer("OPTIONS", 5, &tag, "", ""), "200"),
        (invite(9, "", OFFER).replace("call-1", "call-2"), "503"),
        (peer("BYE", 6, &tag, "", ""), "200"),
    ] {
        stand.feed(&text);
        assert_eq!(stand.sent_kinds(), [expected]);
    }
}

#[test]
fn answers_go_where_the_request_came_from() {
    let mut stand = Stand::new();
    stand.remote = "203.0.113.5:40000".parse().unwrap();
    stand.feed(&peer("OPTIONS", 1, "", "", ""));
    let transmit = stand.transmits().remove(0);
    assert_eq!(transmit.hop.remote, stand.remote);
    assert!(
        String::from_utf8(transmit.bytes).unwrap().contains(";rport=40000;branch=z9hG4bKOPTIONS1;received=203.0.113.5")
    );
    // Without rport: to the port of sent-by, at the address it came from (RFC 3261 §18.2.2).
    stand.feed(&peer("OPTIONS", 1, "", "", "").replace(";rport", ""));
    assert_eq!(stand.transmits().remove(0).hop.remote, "203.0.113.5:5080".parse().unwrap());
}

#[test]
fn requests_out_of_order_and_of_strangers_are_refused() {
    let mut stand = Stand::new();
    let (_, tag) = stand.established();
    stand.feed(&peer("OPTIONS", 10, &tag, "", ""));
    stand.feed(&peer("INFO", 9, &tag, "", ""));
    stand.feed(&peer("BYE", 11, &tag, "", "").replace(";tag=peer", ";tag=stranger"));
    assert_eq!(stand.sent_kinds(), ["200", "500", "481"]);
    assert_eq!(stand.events(), []);
}

#[test]
fn the_recorded_route_is_followed() {
    let mut stand = Stand::new();
    let record = "Record-Route: <sip:192.0.2.77;lr;x=1>, <sip:192.0.2.78:5070;lr>\r\n";
    stand.feed(&invite(1, record, OFFER));
    stand.sent();
    let Event::Incoming { leg, .. } = stand.one_event() else { panic!("a new call") };
    stand.command(Command::Ring { leg });
    let ringing = stand.one_response();
    stand.command(Command::Answer { leg, sdp: ANSWER.into() });
    let ok = stand.one_response();
    assert!(ringing.headers.all(Name::RecordRoute).eq(ok.headers.all(Name::RecordRoute)));
    let routes = ["<sip:192.0.2.77;lr;x=1>", "<sip:192.0.2.78:5070;lr>"];
    assert_eq!(ok.headers.all(Name::RecordRoute).collect::<Vec<_>>(), routes);
    stand.feed(&peer("ACK", 1, &to_tag(&ok), "", ""));
    stand.command(Command::Bye { leg, reason: None });
    let transmit = stand.transmits().remove(0);
    assert_eq!(transmit.hop.remote, "192.0.2.77:5060".parse().unwrap());
    let Message::Request(bye) = Message::parse(&transmit.bytes).unwrap() else { panic!("a BYE") };
    assert_eq!(bye.headers.all(Name::Route).collect::<Vec<_>>(), routes);
    assert_eq!(bye.uri.as_str(), "sip:ai@192.0.2.10:5080;transport=udp;gw=ai");
}

#[test]
fn a_peer_behind_a_nat_is_answered_where_it_is() {
    let mut stand = Stand::new();
    stand.remote = "203.0.113.5:40000".parse().unwrap();
    let (leg, _) = stand.established();
    stand.command(Command::Bye { leg, reason: None });
    assert_eq!(stand.transmits().remove(0).hop.remote, stand.remote);
}

#[test]
fn of_several_reasons_the_one_that_says_most_is_told() {
    let mut stand = Stand::new();
    let (leg, tag) = stand.established();
    let reasons = "Reason: SIP;cause=200;text=\"ok\", Q.850;cause=102\r\nReason: X.int;reasoncode=\"0x0\"\r\n";
    stand.feed(&peer("BYE", 2, &tag, reasons, ""));
    let reason = Some(Reason { protocol: "Q.850".into(), cause: Some(102), text: None });
    assert_eq!(stand.events(), [Event::Bye { leg, reason }]);
    // What we say is quoted as RFC 3261 §25.1 has it.
    let mut stand = Stand::new();
    let (leg, _) = stand.established();
    let text = Some("say \"bye\" \\ now".into());
    stand.command(Command::Bye { leg, reason: Some(Reason { protocol: "SIP".into(), cause: Some(486), text }) });
    let said = r#"SIP;cause=486;text="say \"bye\" \\ now""#;
    assert_eq!(stand.one_request().headers.first(Name::Reason), Some(said));
}

/// RFC 4568: whoever has the key of a description hears the call.
#[test]
fn keys_of_the_audio_are_in_no_debug_output() {
    const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
    let secure = |text: &str| format!("{text}a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n");
    let bytes = format!("{:?}", KEY.as_bytes());
    let shows = |shown: &str| shown.contains(KEY) || shown.contains(bytes.trim_matches(['[', ']']));
    let mut stand = Stand::new();
    let mut seen = Vec::new();
    let text = invite(1, "", &secure(OFFER));
    seen.push(format!("{:?}", Message::parse(text.as_bytes())));
    stand.feed(&text);
    let event = stand.one_event();
    seen.push(format!("{event:?}"));
    let Event::Incoming { leg, .. } = event else { panic!("a new call") };
    let command = Command::Answer { leg, sdp: secure(ANSWER).as_str().into() };
    seen.push(format!("{command:?}"));
    stand.command(command);
    seen.push(format!("{:?}", stand.endpoint));
    let transmits = stand.transmits();
    seen.push(format!("{transmits:?}"));
    let ok = transmits.last().map(|transmit| transmit.bytes.clone()).unwrap_or_default();
    assert!(shows(&String::from_utf8(ok).unwrap()), "the key is on the wire");
    stand.feed(&invite(1, "", &secure(OFFER)));
    seen.push(format!("{:?}", stand.endpoint));
    let shown: Vec<&String> = seen.iter().filter(|shown| shows(shown)).collect();
    assert!(shown.is_empty(), "{shown:?}");
}
