//! Reliable provisional responses, both ways: RFC 3262.
use super::*;
use crate::{
    leg::TerminatedBy,
    message::{Name, RAck},
};

const CONTACT: &str = "Contact: <sip:desk@192.0.2.10:5080;transport=udp;gw=ai>\r\n";

/// An INVITE that requires 100rel, ringing: its leg, our tag and our 180.
fn ringing(stand: &mut Stand) -> (LegId, String, Response) {
    stand.feed(&invite(1, "Require: 100rel\r\n", OFFER));
    assert_eq!(stand.sent_kinds(), ["100"]);
    let Event::Incoming { leg, .. } = stand.one_event() else { panic!("a new call") };
    stand.command(Command::Ring { leg });
    let response = stand.one_response();
    (leg, to_tag(&response), response)
}

fn prack(cseq: u32, tag: &str, rack: &str, body: &str) -> String {
    peer("PRACK", cseq, tag, &format!("RAck: {rack}\r\n"), body)
}

/// A reliable 183 or 180 of the branch `tag`.
fn reliable(invite: &Request, status: u16, tag: &str, rseq: u32, body: &str) -> String {
    answer(invite, status, tag, &format!("{CONTACT}Require: 100rel\r\nRSeq: {rseq}\r\n"), body)
}

fn rack(request: &Request) -> (u32, u32) {
    assert_eq!(request.method.as_str(), "PRACK");
    let RAck { rseq, cseq, method } = request.headers.rack().unwrap();
    assert_eq!(method.as_str(), "INVITE");
    (rseq, cseq)
}

#[test]
fn our_ringing_is_repeated_until_its_prack_and_the_interval_is_not_capped() {
    let mut stand = Stand::new();
    let (leg, tag, ringing) = ringing(&mut stand);
    assert_eq!(ringing.status.code(), 180);
    assert!(ringing.headers.lists(Name::Require, "100rel") && ringing.headers.contact().is_some());
    let rseq = ringing.headers.rseq().unwrap();
    assert!((1..1 << 31).contains(&rseq));
    let sent = stand.pass(Duration::from_secs(16));
    assert_eq!(sent, [500, 1500, 3500, 7500, 15_500].map(|ms| (ms, "180".to_owned())));
    // Others acknowledge nothing.
    for (cseq, rack) in
        [(2, format!("{} 1 INVITE", rseq + 1)), (3, format!("{rseq} 2 INVITE")), (4, format!("{rseq} 1 BYE"))]
    {
        stand.feed(&prack(cseq, &tag, &rack, ""));
        assert_eq!(stand.sent_kinds(), ["481"], "{rack}");
    }
    stand.feed(&peer("PRACK", 5, &tag, "", ""));
    assert_eq!(stand.sent_kinds(), ["400"]);
    let good = prack(6, &tag, &format!("{rseq} 1 INVITE"), "");
    stand.feed(&good);
    stand.feed(&good);
    assert_eq!(stand.sent_kinds(), ["200", "200"]);
    stand.feed(&prack(7, &tag, &format!("{rseq} 1 INVITE"), ""));
    assert_eq!(stand.sent_kinds(), ["481"]);
    assert_eq!(stand.pass(Duration::from_secs(20)), []);
    stand.command(Command::Answer { leg, sdp: ANSWER.into() });
    let ok = stand.one_response();
    assert!(ok.status.is_success() && ok.headers.rseq().is_none() && ok.headers.first(Name::Require).is_none());
}

#[test]
fn ringing_without_prack_ends_in_504_after_64_t1() {
    let mut stand = Stand::new();
    let (leg, ..) = ringing(&mut stand);
    let sent = stand.pass(Duration::from_secs(32));
    assert_eq!(sent.last(), Some(&(32_000, "504".to_owned())));
    assert_eq!(sent.len(), 7);
    assert_eq!(stand.events(), [Event::Terminated { leg, by: TerminatedBy::NoPrack }]);
}

#[test]
fn one_provisional_response_at_a_time_is_outstanding_and_rseqs_count_up() {
    let mut stand = Stand::new();
    let (leg, tag, first) = ringing(&mut stand);
    let rseq = first.headers.rseq().unwrap();
    stand.command(Command::Ring { leg });
    assert_eq!(stand.sent_kinds(), Vec::<String>::new());
    stand.feed(&prack(2, &tag, &format!("{rseq} 1 INVITE"), ""));
    assert_eq!(stand.sent_kinds(), ["200"]);
    stand.command(Command::Ring { leg });
    assert_eq!(stand.one_response().headers.rseq(), Some(rseq + 1));
    // A repeated INVITE gets the last one.
    stand.feed(&invite(1, "Require: 100rel\r\n", OFFER));
    assert_eq!(stand.one_response().headers.rseq(), Some(rseq + 1));
}

#[test]
fn an_answer_does_not_wait_for_the_prack_of_a_180_which_still_is_answered() {
    let mut stand = Stand::new();
    let (leg, tag, first) = ringing(&mut stand);
    stand.command(Command::Answer { leg, sdp: ANSWER.into() });
    assert_eq!(stand.sent_kinds(), ["200"]);
    stand.feed(&peer("ACK", 1, &tag, "", ""));
    assert_eq!(stand.events(), [Event::Established { leg, sdp: None }]);
    assert_eq!(stand.pass(Duration::from_secs(40)), []);
    stand.feed(&prack(2, &tag, &format!("{} 1 INVITE", first.headers.rseq().unwrap()), ""));
    assert_eq!(stand.sent_kinds(), ["200"]);
    assert_eq!(stand.events(), []);
}

#[test]
fn ringing_is_plain_unless_required_and_silent_where_it_would_need_an_offer() {
    let mut stand = Stand::new();
    stand.feed(&invite(1, "Supported: 100rel\r\n", OFFER));
    stand.sent();
    let Event::Incoming { leg, .. } = stand.one_event() else { panic!("a new call") };
    stand.command(Command::Ring { leg });
    let response = stand.one_response();
    assert_eq!((response.headers.rseq(), response.headers.first(Name::Require)), (None, None));
    let tag = to_tag(&response);
    stand.feed(&prack(2, &tag, "1 1 INVITE", ""));
    assert_eq!(stand.sent_kinds(), ["481"]);

    let mut stand = Stand::new();
    stand.feed(&invite(1, "Require: 100rel\r\n", ""));
    stand.sent();
    let Event::Incoming { leg, .. } = stand.one_event() else { panic!("a new call") };
    stand.command(Command::Ring { leg });
    assert_eq!(stand.sent_kinds(), Vec::<String>::new());
    stand.command(Command::Answer { leg, sdp: ANSWER.into() });
    assert_eq!(stand.sent_kinds(), ["200"]);
}

#[test]
fn an_offer_in_a_prack_is_refused_while_ours_is_not_answered() {
    let mut stand = Stand::new();
    let (_, tag, first) = ringing(&mut stand);
    stand.feed(&prack(2, &tag, &format!("{} 1 INVITE", first.headers.rseq().unwrap()), OFFER));
    assert_eq!(stand.sent_kinds(), ["491"]);
    assert_eq!(stand.pass(Duration::from_secs(20)), []);
}

#[test]
fn a_cancelled_invite_is_not_rung_for_any_more() {
    let mut stand = Stand::new();
    let (leg, ..) = ringing(&mut stand);
    stand.feed(&peer("CANCEL", 1, "", "", ""));
    assert_eq!(
        (stand.sent_kinds(), stand.events()),
        (vec!["200".to_owned(), "487".into()], vec![Event::Cancelled { leg, reason: None }])
    );
    assert_eq!(stand.pass(Duration::from_millis(600)), [(500, "487".to_owned())]);
}

#[test]
fn we_acknowledge_what_comes_reliably_once_and_in_order() {
    let mut stand = Stand::new();
    let (leg, invite) = stand.calling();
    assert!(invite.headers.lists(Name::Supported, "100rel"));
    let number = invite.headers.cseq().unwrap().number;
    stand.feed(&reliable(&invite, 180, "a", 7, ""));
    let first = stand.one_request();
    assert_eq!(rack(&first), (7, number));
    assert_eq!(first.uri.as_str(), "sip:desk@192.0.2.10:5080;transport=udp;gw=ai");
    assert_eq!(first.headers.cseq().unwrap().number, number + 1);
    assert_eq!(first.headers.to().unwrap().tag(), Some("a"));
    assert_eq!(stand.events(), [Event::Progress { leg, status: 180, sdp: None }]);
    // The same again, an older and one too far ahead do not exist.
    for rseq in [7, 6, 9] {
        stand.feed(&reliable(&invite, 180, "a", rseq, ANSWER));
        assert_eq!((stand.sent_kinds(), stand.events()), (vec![], vec![]), "{rseq}");
    }
    // A lost PRACK is repeated like any request.
    assert_eq!(stand.pass(Duration::from_millis(600)), [(500, "PRACK".to_owned())]);
    stand.feed(&answer(&first, 200, "", "", ""));
    stand.feed(&reliable(&invite, 183, "a", 8, ANSWER));
    let second = stand.one_request();
    assert_eq!((rack(&second), second.headers.cseq().unwrap().number), ((8, number), number + 2));
    assert_eq!(stand.events(), [Event::Progress { leg, status: 183, sdp: Some(ANSWER.into()) }]);
    stand.feed(&answer(&second, 481, "", "", ""));
    assert_eq!(stand.events(), []);
    // The answer came early: the 200 need not bring it again.
    stand.feed(&answer(&invite, 200, "a", CONTACT, ""));
    assert_eq!(stand.one_request().headers.cseq().unwrap().number, number);
    assert_eq!(stand.events(), [Event::Established { leg, sdp: Some(ANSWER.into()) }]);
    stand.command(Command::Bye { leg, reason: None });
    assert_eq!(stand.one_request().headers.cseq().unwrap().number, number + 3);
}

#[test]
fn each_branch_of_a_fork_has_its_own_order_and_its_own_answer() {
    let mut stand = Stand::new();
    let (leg, invite) = stand.calling();
    let number = invite.headers.cseq().unwrap().number;
    stand.feed(&reliable(&invite, 183, "a", 1, OFFER));
    stand.feed(&reliable(&invite, 183, "b", 41, ANSWER).replace("desk@192.0.2.10:5080", "hall@192.0.2.11:5080"));
    stand.feed(&reliable(&invite, 180, "b", 42, "").replace("desk@192.0.2.10:5080", "hall@192.0.2.11:5080"));
    let transmits = stand.transmits();
    let mut sent = Vec::new();
    for transmit in &transmits {
        let Message::Request(request) = Message::parse(&transmit.bytes).unwrap() else { panic!("a PRACK") };
        let tag = request.headers.to().unwrap().tag().unwrap().to_owned();
        sent.push((rack(&request).0, tag, request.uri.user().unwrap().to_owned(), transmit.hop.remote.to_string()));
    }
    let expected = [
        (1, "a", "desk", "192.0.2.10:5080"),
        (41, "b", "hall", "192.0.2.11:5080"),
        (42, "b", "hall", "192.0.2.11:5080"),
    ];
    assert_eq!(sent, expected.map(|(rseq, tag, user, at)| (rseq, tag.into(), user.into(), at.into())));
    assert_eq!(stand.events().len(), 3);
    stand.feed(&answer(&invite, 200, "b", &CONTACT.replace("desk@192.0.2.10", "hall@192.0.2.11"), ""));
    assert_eq!(stand.sent_kinds(), ["ACK"]);
    assert_eq!(stand.events(), [Event::Established { leg, sdp: Some(ANSWER.into()) }]);
    stand.command(Command::Bye { leg, reason: None });
    let bye = stand.one_request();
    assert_eq!((bye.headers.to().unwrap().tag(), bye.uri.user()), (Some("b"), Some("hall")));
    assert!(bye.headers.cseq().unwrap().number > number + 2);
}

#[test]
fn more_branches_than_we_follow_are_left_without_prack() {
    let mut stand = Stand::new();
    let (_, invite) = stand.calling();
    for branch in 0..20 {
        stand.feed(&reliable(&invite, 180, &format!("t{branch}"), 1, ""));
    }
    assert_eq!((stand.sent_kinds().len(), stand.events().len()), (16, 16));
}

#[test]
fn a_call_given_up_still_acknowledges() {
    let mut stand = Stand::new();
    let (leg, invite) = stand.calling();
    stand.command(Command::Bye { leg, reason: None });
    stand.feed(&reliable(&invite, 180, "a", 7, ""));
    assert_eq!((stand.sent_kinds(), stand.events()), (vec!["PRACK".to_owned(), "CANCEL".into()], vec![]));
}

#[test]
fn a_reliable_response_to_our_reinvite_is_acknowledged_too() {
    let mut stand = Stand::new();
    let (leg, _) = stand.established();
    stand.command(Command::Reinvite { leg, sdp: OFFER.into() });
    let reinvite = stand.one_request();
    stand.feed(&reliable(&reinvite, 183, "", 7, ANSWER));
    let prack = stand.one_request();
    assert_eq!(rack(&prack), (7, reinvite.headers.cseq().unwrap().number));
    assert_eq!(stand.events(), []);
    stand.feed(&answer(&reinvite, 200, "", CONTACT, ""));
    assert_eq!(stand.sent_kinds(), ["ACK"]);
    assert_eq!(stand.events(), [Event::OfferAnswered { leg, result: Ok(ANSWER.into()) }]);
}
