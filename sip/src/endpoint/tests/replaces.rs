//! Legs in the place of others: INVITE with Replaces (RFC 3891 §3), REFER with Replaces.
use super::*;
use crate::{
    leg::ReferProgress,
    message::{Name, Replaces},
};

/// An INVITE of somebody else that names a dialog.
fn takeover(replaces: &str) -> String {
    let text = invite(1, "Replaces-goes-here\r\n", OFFER);
    let text = text.replace("call-1", "call-2").replace("KINVITE1", "Ktakeover").replace("tag=peer", "tag=other");
    text.replace("Replaces-goes-here", replaces)
}

fn naming(tag: &str, more: &str) -> String {
    takeover(&format!("Require: replaces\r\nReplaces: call-1;from-tag=peer;to-tag={tag}{more}"))
}

#[test]
fn an_invite_that_names_a_leg_tells_the_owner_which_and_changes_nothing_by_itself() {
    let mut stand = Stand::new();
    let (old, tag) = stand.established();
    stand.feed(&naming(&tag, ""));
    assert_eq!(stand.sent_kinds(), ["100"]);
    let Event::Incoming { leg, invite, replaces } = stand.one_event() else { panic!("a new call") };
    assert_eq!((replaces, invite.call_id.as_str()), (Some(old), "call-2"));
    stand.command(Command::Answer { leg, sdp: ANSWER.into() });
    stand.command(Command::Bye { leg: old, reason: None });
    let [Message::Response(ok), Message::Request(bye)] = &stand.sent()[..] else { panic!("a 200 and a BYE") };
    assert_eq!((ok.headers.call_id(), bye.headers.call_id()), (Some("call-2"), Some("call-1")));
    // Another leg of the same call is no leg that is hung up already.
    stand.feed(&naming(&tag, "").replace("call-2", "call-3").replace("Ktakeover", "Kthird"));
    assert_eq!(stand.sent_kinds(), ["603"]);
}

/// The CANCEL of [`takeover`].
fn cancelled() -> String {
    let text = peer("CANCEL", 1, "", "", "");
    text.replace("call-1", "call-2").replace("KINVITE1", "Ktakeover").replace("tag=peer", "tag=other")
}

#[test]
fn a_cancel_that_is_sooner_than_the_answer_leaves_the_leg_it_named_as_it_was() {
    let mut stand = Stand::new();
    let (old, tag) = stand.established();
    stand.feed(&naming(&tag, ""));
    stand.sent();
    let Event::Incoming { leg, .. } = stand.one_event() else { panic!("a new call") };
    stand.feed(&cancelled());
    assert_eq!(stand.sent_kinds(), ["200", "487"]);
    assert_eq!(stand.events(), [Event::Cancelled { leg, reason: None }]);
    // The owner had not heard of it.
    stand.command(Command::TakeOver { leg, sdp: ANSWER.into(), old, reason: None });
    assert_eq!((stand.sent_kinds(), stand.events()), (vec![], vec![]));
    stand.feed(&peer("OPTIONS", 2, &tag, "", ""));
    assert_eq!(stand.sent_kinds(), ["200"]);
    stand.command(Command::Bye { leg: old, reason: None });
    assert_eq!(stand.sent_kinds(), ["BYE"]);
}

#[test]
fn rfc3261_9_2_a_cancel_that_is_later_than_the_answer_changes_nothing() {
    let mut stand = Stand::new();
    let (old, tag) = stand.established();
    stand.feed(&naming(&tag, ""));
    stand.sent();
    let Event::Incoming { leg, .. } = stand.one_event() else { panic!("a new call") };
    stand.command(Command::TakeOver { leg, sdp: ANSWER.into(), old, reason: None });
    assert_eq!(stand.sent_kinds(), ["200", "BYE"]);
    stand.feed(&cancelled());
    assert_eq!((stand.sent_kinds(), stand.events()), (vec!["200".to_owned()], vec![]));
}

#[test]
fn a_refused_takeover_leaves_the_leg_as_it_was() {
    let mut stand = Stand::new();
    let (old, tag) = stand.established();
    stand.feed(&naming(&tag, ""));
    stand.sent();
    let Event::Incoming { leg, .. } = stand.one_event() else { panic!("a new call") };
    stand.command(Command::Reject { leg, status: 403, reason: None, headers: vec![] });
    assert_eq!(stand.sent_kinds(), ["403"]);
    stand.command(Command::Bye { leg: old, reason: None });
    assert_eq!(stand.sent_kinds(), ["BYE"]);
}

#[test]
fn what_cannot_be_replaced_is_refused_by_rfc_3891() {
    let mut stand = Stand::new();
    let (_, tag) = stand.established();
    let table = [
        (naming(&tag, ";early-only"), "486"),
        (naming("nobody", ""), "481"),
        (naming(&tag, "").replace("from-tag=peer", "from-tag=nobody"), "481"),
        (naming(&tag, "").replace("Replaces: call-1", "Replaces: call-9"), "481"),
        (takeover("Replaces: call-1"), "400"),
        (takeover(&format!("Replaces: call-1;from-tag=peer;to-tag={tag}\r\nReplaces: a;to-tag=1;from-tag=2")), "400"),
    ];
    for (text, status) in table {
        stand.feed(&text);
        assert_eq!((stand.sent_kinds(), stand.events()), (vec![status.to_owned()], vec![]), "{text}");
    }
    // A call to us that still rings is not ours to hand on.
    let mut stand = Stand::new();
    let leg = stand.ringing();
    stand.command(Command::Ring { leg });
    let tag = to_tag(&stand.one_response());
    stand.feed(&naming(&tag, ""));
    assert_eq!((stand.sent_kinds(), stand.events()), (vec!["481".to_owned()], vec![]));
}

#[test]
fn a_call_of_ours_that_rings_may_be_replaced_early() {
    let mut stand = Stand::new();
    let (old, ours) = stand.calling();
    let call_id = ours.headers.call_id().unwrap();
    let tag = ours.headers.from().unwrap().tag().unwrap().to_owned();
    let naming = takeover(&format!("Replaces: {call_id};to-tag={tag};from-tag=a;early-only"));
    stand.feed(&answer(&ours, 180, "a", "Contact: <sip:desk@192.0.2.10:5080>\r\n", ""));
    stand.events();
    stand.feed(&naming);
    let Event::Incoming { replaces, .. } = stand.one_event() else { panic!("a new call") };
    assert_eq!(replaces, Some(old));
}

#[test]
fn a_refer_offers_the_leg_it_names_as_the_peer_of_that_leg_knows_it() {
    let mut stand = Stand::new();
    let (leg, _) = stand.established();
    let (consulted, invite) = stand.calling();
    let refer = |replaces| Command::Refer {
        leg,
        refer_to: "sip:1000@test.local".into(),
        replaces: Some(replaces),
        notify_deadline: Duration::from_secs(30),
    };
    // Only a leg that is up can be offered.
    stand.command(refer(consulted));
    stand.command(refer(LegId(99)));
    let refused = Event::Refer { leg, progress: ReferProgress::Refused(481) };
    assert_eq!((stand.events(), stand.sent_kinds()), (vec![refused.clone(), refused], vec![]));
    stand.feed(&answer(&invite, 200, "theirs", "Contact: <sip:desk@192.0.2.10:5080>\r\n", ANSWER));
    assert_eq!(stand.sent_kinds(), ["ACK"]);
    stand.events();
    stand.command(refer(consulted));
    let request = stand.one_request();
    assert_eq!((request.method.as_str(), request.headers.call_id()), ("REFER", Some("call-1")));
    let expected = Replaces {
        call_id: invite.headers.call_id().unwrap().into(),
        to_tag: "theirs".into(),
        from_tag: invite.headers.from().unwrap().tag().unwrap().into(),
        early_only: false,
    };
    assert_eq!(request.headers.refer_to().unwrap().replaces(), Some(expected));
    assert!(request.headers.first(Name::ReferTo).unwrap().starts_with("<sip:1000@test.local?Replaces="));
}
