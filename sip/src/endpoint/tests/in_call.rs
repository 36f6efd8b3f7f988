//! What else is said within a call: INFO, OPTIONS, REFER and NOTIFY (RFC 3515), and methods that are not ours.
use super::*;
use crate::{
    leg::{ReferProgress, TerminatedBy},
    message::Name,
};

const WAIT: Duration = Duration::from_secs(40);

fn refer(leg: LegId) -> Command {
    Command::Refer { leg, refer_to: "sip:1000@test.local".into(), replaces: None, notify_deadline: WAIT }
}

fn notify(cseq: u32, tag: &str, id: u32, state: &str, body: &str) -> String {
    let extra = format!("Event: refer;id={id}\r\nSubscription-State: {state}\r\n");
    peer("NOTIFY", cseq, tag, &extra, body).replace("application/sdp", "message/sipfrag;version=2.0")
}

fn progress(events: Vec<Event>) -> Vec<ReferProgress> {
    let of = |event| match event {
        Event::Refer { progress, .. } => progress,
        other => panic!("progress of a REFER, not {other:?}"),
    };
    events.into_iter().map(of).collect()
}

#[test]
fn info_is_taken_and_given() {
    let mut stand = Stand::new();
    let (leg, tag) = stand.established();
    let text =
        peer("INFO", 2, &tag, "", "Signal=5\r\nDuration=100\r\n").replace("application/sdp", "Application/DTMF-relay");
    stand.feed(&text);
    stand.feed(&text);
    assert_eq!(stand.sent_kinds(), ["200", "200"]);
    let expected = Event::Info {
        leg,
        content_type: "application/dtmf-relay".into(),
        body: b"Signal=5\r\nDuration=100\r\n".into(),
    };
    assert_eq!(stand.events(), [expected]);
    stand.command(Command::Info { leg, content_type: "application/dtmf".into(), body: b"7".into() });
    let info = stand.one_request();
    assert_eq!((info.headers.content_type().as_deref(), &info.body[..]), (Some("application/dtmf"), &b"7"[..]));
    stand.feed(&answer(&info, 415, "", "", ""));
    assert_eq!(stand.events(), [Event::InfoRefused { leg, status: 415 }]);
    stand.command(Command::Info { leg, content_type: "application/dtmf".into(), body: b"8".into() });
    let info = stand.one_request();
    stand.feed(&answer(&info, 481, "", "", ""));
    assert_eq!(stand.events(), [Event::Terminated { leg, by: TerminatedBy::PeerGone }]);
}

#[test]
fn methods_that_are_not_ours_are_refused_politely() {
    let mut stand = Stand::new();
    let (_, tag) = stand.established();
    for (method, status) in
        [("REFER", 603), ("PUBLISH", 405), ("REGISTER", 405), ("MESSAGE", 405), ("SUBSCRIBE", 405), ("DANCE", 501)]
    {
        stand.feed(&peer(method, 2, &tag, "", ""));
        let response = stand.one_response();
        assert_eq!(response.status.code(), status, "{method}");
        assert!(response.headers.lists(Name::Allow, "UPDATE"));
    }
    stand.feed(&peer("OPTIONS", 3, &tag, "Require: tdialog\r\n", ""));
    stand.feed(&peer("OPTIONS", 4, &tag, "", ""));
    assert_eq!((stand.sent_kinds(), stand.events()), (vec!["420".to_owned(), "200".into()], vec![]));
}

#[test]
fn refer_as_freeswitch_answers_it() {
    let mut stand = Stand::new();
    let (leg, tag) = stand.established();
    stand.command(refer(leg));
    let request = stand.one_request();
    assert_eq!(request.uri.as_str(), "sip:ai@192.0.2.10:5080;transport=udp;gw=ai");
    assert_eq!(request.headers.first(Name::ReferTo), Some("<sip:1000@test.local>"));
    assert!(request.headers.contact().is_some() && request.headers.first(Name::ReferredBy).is_some());
    let id = request.headers.cseq().unwrap().number;
    stand.feed(&answer(&request, 202, "", "Expires: 60\r\n", ""));
    assert_eq!(progress(stand.events()), [ReferProgress::Accepted]);
    stand.feed(&notify(2, &tag, id, "terminated;reason=noresource", "SIP/2.0 486 486\r\n"));
    assert_eq!(stand.sent_kinds(), ["200"]);
    assert_eq!(progress(stand.events()), [ReferProgress::Notified { status: 486, terminated: true }]);
    // The subscription is over; another REFER may follow.
    stand.feed(&notify(3, &tag, id, "active", "SIP/2.0 200 OK\r\n"));
    assert_eq!((stand.sent_kinds(), stand.events()), (vec!["481".to_owned()], vec![]));
    stand.command(refer(leg));
    assert_eq!(stand.sent_kinds(), ["REFER"]);
}

#[test]
fn a_notify_that_overtakes_the_202_counts() {
    let mut stand = Stand::new();
    let (leg, tag) = stand.established();
    stand.command(refer(leg));
    let request = stand.one_request();
    let id = request.headers.cseq().unwrap().number;
    stand.feed(&notify(2, &tag, id, "terminated;reason=noresource", "SIP/2.0 200 OK\r\n"));
    stand.feed(&answer(&request, 202, "", "", ""));
    stand.feed(&peer("BYE", 3, &tag, "", ""));
    let events = stand.events();
    assert_eq!(events.last(), Some(&Event::Bye { leg, reason: None }));
    let heard = progress(events[..events.len() - 1].to_vec());
    assert_eq!(heard, [ReferProgress::Accepted, ReferProgress::Notified { status: 200, terminated: true }]);
}

#[test]
fn refer_refused_silent_or_without_notify() {
    let mut stand = Stand::new();
    let (leg, _) = stand.established();
    stand.command(refer(leg));
    let request = stand.one_request();
    stand.command(refer(leg));
    assert_eq!(progress(stand.events()), [ReferProgress::Refused(491)]);
    stand.feed(&answer(&request, 403, "", "", ""));
    assert_eq!(progress(stand.events()), [ReferProgress::Refused(403)]);
    // Silence: the caller is kept.
    stand.command(refer(leg));
    stand.pass(Duration::from_secs(33));
    assert_eq!(progress(stand.events()), [ReferProgress::Refused(408)]);
    stand.command(refer(leg));
    let request = stand.one_request();
    stand.feed(&answer(&request, 202, "", "", ""));
    stand.pass(WAIT);
    assert_eq!(progress(stand.events()), [ReferProgress::Accepted, ReferProgress::NoNotify]);
    for nonsense in ["<nonsense>", "sip:1000@test.local?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2"] {
        let (refer_to, replaces) = (nonsense.into(), None);
        stand.command(Command::Refer { leg, refer_to, replaces, notify_deadline: WAIT });
        assert_eq!(progress(stand.events()), [ReferProgress::Refused(400)]);
    }
    stand.command(refer(leg));
    let request = stand.one_request();
    stand.feed(&answer(&request, 481, "", "", ""));
    let gone = Event::Terminated { leg, by: TerminatedBy::PeerGone };
    assert_eq!(stand.events(), [Event::Refer { leg, progress: ReferProgress::Refused(481) }, gone]);
}

#[test]
fn notify_without_a_subscription_gets_481() {
    let mut stand = Stand::new();
    let (leg, tag) = stand.established();
    stand.feed(&notify(2, &tag, 1, "active", "SIP/2.0 100 Trying\r\n"));
    stand.command(refer(leg));
    stand.feed(&notify(3, &tag, 1, "active", "SIP/2.0 100 Trying\r\n"));
    stand.feed(&peer("NOTIFY", 4, &tag, "Event: dialog\r\nSubscription-State: active\r\n", ""));
    assert_eq!(stand.sent_kinds(), ["481", "REFER", "481", "481"]);
    assert_eq!(stand.events(), []);
}

/// A NOTIFY of a referral: whether it names the REFER, Subscription-State, sipfrag.
type Told = (bool, &'static str, &'static str);

#[test]
fn every_form_of_notify_that_phone_systems_send_is_read() {
    use ReferProgress::{NoNotify, Notified};
    let told = |status, terminated| Notified { status, terminated };
    let table: [(&[Told], &[ReferProgress]); 8] = [
        (&[(true, "terminated;reason=noresource", "SIP/2.0 200 OK\r\n")], &[told(200, true)]),
        (&[(false, "terminated;reason=noresource", "SIP/2.0 200 OK\r\n")], &[told(200, true)]),
        (&[(true, "terminated;reason=noresource", "SIP/2.0 486 486\r\n")], &[told(486, true)]),
        (&[(true, "terminated;reason=noresource", "SIP/2.0 403 Forbidden\r\n")], &[told(403, true)]),
        (&[(true, "Terminated", "SIP/2.0 481 Failure\r\n")], &[told(481, true)]),
        (
            &[
                (true, "active;expires=60", "SIP/2.0 100 Trying\r\n"),
                (false, "active;expires=55", "SIP/2.0 180 Ringing\r\n"),
                (true, "active;expires=50", "SIP/2.0 200 OK"),
                (true, "terminated;reason=noresource", "SIP/2.0 200 OK"),
            ],
            &[told(100, false), told(180, false), told(200, false), told(200, true)],
        ),
        (
            &[(true, "pending;expires=60", "SIP/2.0 100 Trying"), (true, "terminated;reason=timeout", "")],
            &[told(100, false), NoNotify],
        ),
        (&[], &[NoNotify]),
    ];
    for (notices, expected) in table {
        let mut stand = Stand::new();
        let (leg, tag) = stand.established();
        stand.command(refer(leg));
        let request = stand.one_request();
        let id = request.headers.cseq().unwrap().number;
        stand.feed(&answer(&request, 202, "", "Expires: 60\r\n", ""));
        for (cseq, (names, state, body)) in (2..).zip(notices) {
            let text = notify(cseq, &tag, id, state, body);
            stand.feed(&if *names { text } else { text.replace(&format!(";id={id}"), "") });
            assert_eq!(stand.sent_kinds(), ["200"]);
        }
        stand.pass(WAIT);
        let heard = progress(stand.events());
        assert_eq!((heard[0], &heard[1..]), (ReferProgress::Accepted, expected), "{notices:?}");
        // It is over in each of these, and a straggler is told so.
        stand.feed(&notify(99, &tag, id, "active", "SIP/2.0 100 Trying\r\n"));
        assert_eq!((stand.sent_kinds(), stand.events()), (vec!["481".to_owned()], vec![]), "{notices:?}");
    }
}

#[test]
fn a_refer_that_is_taken_on_without_a_subscription_is_waited_for_like_any_other() {
    let mut stand = Stand::new();
    let (leg, tag) = stand.established();
    stand.command(refer(leg));
    let request = stand.one_request();
    // We want the outcome, and do not ask to be spared it (RFC 4488 §4).
    assert_eq!(request.headers.first(Name::ReferSub), None);
    stand.feed(&answer(&request, 200, "", "Refer-Sub: false\r\n", ""));
    assert_eq!((progress(stand.events()), stand.pass(WAIT / 2)), (vec![ReferProgress::Accepted], vec![]));
    stand.feed(&peer("BYE", 2, &tag, "", ""));
    assert_eq!(stand.events(), [Event::Bye { leg, reason: None }]);
}
