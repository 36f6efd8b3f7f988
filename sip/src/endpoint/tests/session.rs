//! Session timers (RFC 4028): refreshes both ways, by UPDATE and re-INVITE, and what ends a session.
use super::*;
use crate::{leg::TerminatedBy, message::Name};

const HOLD: &str = "v=0\r\na=sendonly\r\n";
const UPDATES: &str = "Allow: INVITE, ACK, BYE, UPDATE\r\n";
const CONTACT: &str = "Contact: <sip:desk@192.0.2.10:5080>\r\n";

fn asking(seconds: u32, refresher: &str) -> String {
    format!("Supported: timer\r\nSession-Expires: {seconds};refresher={refresher}\r\n")
}

impl Stand {
    /// An incoming call that is up, its INVITE with these headers; the 200, and our tag.
    fn timed(&mut self, extra: &str) -> (LegId, Response, String) {
        self.feed(&invite(1, extra, OFFER));
        self.sent();
        let Event::Incoming { leg, .. } = self.one_event() else { panic!("a new call") };
        self.command(Command::Answer { leg, sdp: ANSWER.into() });
        let ok = self.one_response();
        let tag = to_tag(&ok);
        self.feed(&peer("ACK", 1, &tag, "", ""));
        self.events();
        (leg, ok, tag)
    }

    /// A call of ours that is up, its 200 with these headers.
    fn called(&mut self, extra: &str) -> LegId {
        let (leg, invite) = self.calling();
        self.feed(&answer(&invite, 200, "a", &format!("{CONTACT}{extra}"), ANSWER));
        assert_eq!(self.sent_kinds(), ["ACK"]);
        self.events();
        leg
    }

    /// Lets time pass until something is sent: after how many ms, and the request.
    fn request_within(&mut self, within: u64) -> (u128, Request) {
        let begun = self.now;
        let end = begun + Duration::from_secs(within);
        while let Some((at, _)) = self.endpoint.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.endpoint.handle_timeout(self.now);
            if let Some(Message::Request(request)) = self.sent().pop() {
                return ((self.now - begun).as_millis(), request);
            }
        }
        panic!("nothing sent within {within} s");
    }
}

impl Stand {
    fn unreachable(&mut self) {
        let hop = Hop { listener: UDP, transport: Transport::Udp, remote: self.remote };
        self.endpoint.handle_unreachable(hop, self.now);
    }
}

fn timers(headers: &crate::message::Headers) -> (Option<&str>, Option<&str>) {
    (headers.first(Name::SessionExpires), headers.first(Name::Require))
}

#[test]
fn who_asks_for_a_timer_gets_it_and_refreshes_it() {
    let mut stand = Stand::new();
    let (leg, ok, tag) = stand.timed(&asking(90, "uac"));
    assert_eq!(timers(&ok.headers), (Some("90;refresher=uac"), Some("timer")));
    assert!(ok.headers.lists(Name::Supported, "timer"));
    // Three refreshes: UPDATE without and with SDP, re-INVITE.
    let more = asking(90, "uac");
    assert_eq!(stand.pass(Duration::from_secs(45)), []);
    stand.feed(&peer("UPDATE", 2, &tag, &more, ""));
    assert_eq!(timers(&stand.one_response().headers), (Some("90;refresher=uac"), Some("timer")));
    assert_eq!(stand.pass(Duration::from_secs(45)), []);
    stand.feed(&peer("UPDATE", 3, &tag, &more, OFFER));
    stand.command(Command::AcceptOffer { leg, sdp: ANSWER.into() });
    assert_eq!(timers(&stand.one_response().headers), (Some("90;refresher=uac"), Some("timer")));
    assert_eq!(stand.pass(Duration::from_secs(45)), []);
    stand.feed(&peer("INVITE", 4, &tag, &more, OFFER));
    stand.command(Command::AcceptOffer { leg, sdp: ANSWER.into() });
    let [_, Message::Response(ok)] = &stand.sent()[..] else { panic!("100 and 200") };
    assert_eq!(timers(&ok.headers), (Some("90;refresher=uac"), Some("timer")));
    stand.feed(&peer("ACK", 4, &tag, "", ""));
    assert_eq!(stand.pass(Duration::from_secs(45)), []);
}

#[test]
fn no_timer_unless_somebody_asks() {
    for extra in ["", "Supported: timer\r\n", "Session-Expires: 60\r\n"] {
        let mut stand = Stand::new();
        let (_, ok, _) = stand.timed(extra);
        assert_eq!(timers(&ok.headers), (None, None), "{extra}");
        assert_eq!(stand.pass(Duration::from_secs(20_000)), [], "{extra}");
    }
}

#[test]
fn we_refresh_by_update_where_the_peer_allows_it() {
    let mut stand = Stand::new();
    let (_, ok, _) = stand.timed(&format!("{UPDATES}{}", asking(90, "uas")));
    assert_eq!(timers(&ok.headers), (Some("90;refresher=uas"), Some("timer")));
    for _ in 0..3 {
        let (after, update) = stand.request_within(90);
        assert_eq!((after, update.method.as_str(), update.body.len()), (45_000, "UPDATE", 0));
        assert_eq!(update.headers.first(Name::SessionExpires), Some("90;refresher=uac"));
        assert!(update.headers.lists(Name::Supported, "timer") && update.headers.contact().is_some());
        stand.feed(&answer(&update, 200, "", "Session-Expires: 90;refresher=uac\r\nRequire: timer\r\n", ""));
    }
    assert_eq!(stand.events(), []);
}

#[test]
fn we_refresh_by_reinvite_with_the_description_in_force() {
    let mut stand = Stand::new();
    // A proxy asked, the peer knows nothing of timers.
    let (leg, ok, tag) = stand.timed("Session-Expires: 90\r\n");
    assert_eq!(timers(&ok.headers), (Some("90;refresher=uas"), None));
    let (after, refresh) = stand.request_within(90);
    assert_eq!((after, refresh.method.as_str(), &refresh.body[..]), (45_000, "INVITE", ANSWER.as_bytes()));
    assert_eq!(refresh.headers.first(Name::SessionExpires), Some("90;refresher=uac"));
    // The same answer as before is no news; another is. A proxy answers for the peer with our role.
    let granted = "Session-Expires: 90;refresher=uac\r\n";
    stand.feed(&answer(&refresh, 200, "", granted, OFFER));
    assert_eq!((stand.sent_kinds(), stand.events()), (vec!["ACK".to_owned()], vec![]));
    let (_, refresh) = stand.request_within(90);
    stand.feed(&answer(&refresh, 200, "", granted, HOLD));
    assert_eq!(stand.events(), [Event::OfferAnswered { leg, result: Ok(HOLD.into()) }]);
    stand.sent();
    // After the peer's own offer, our answer to that is what is in force.
    stand.feed(&peer("INVITE", 2, &tag, "Session-Expires: 90\r\n", OFFER));
    stand.command(Command::AcceptOffer { leg, sdp: HOLD.into() });
    stand.feed(&peer("ACK", 2, &tag, "", ""));
    stand.sent();
    assert_eq!(stand.request_within(90).1.body[..], *HOLD.as_bytes());
}

/// RFC 3261 §14.1: what came to nothing leaves the session as it was; with SRTP, its keys.
#[test]
fn an_offer_that_the_peer_asked_for_is_in_force_only_once_it_was_answered() {
    const FRESH: &str = "v=0\r\na=crypto:1\r\n";
    for (body, in_force, theirs) in [(HOLD, FRESH, HOLD), ("", ANSWER, OFFER)] {
        let mut stand = Stand::new();
        let (leg, _, tag) = stand.timed("Session-Expires: 90\r\n");
        stand.feed(&peer("INVITE", 2, &tag, "Session-Expires: 90\r\n", ""));
        stand.command(Command::AcceptOffer { leg, sdp: FRESH.into() });
        stand.feed(&peer("ACK", 2, &tag, "", body));
        stand.sent();
        stand.events();
        let (_, refresh) = stand.request_within(90);
        assert_eq!((refresh.method.as_str(), &refresh.body[..]), ("INVITE", in_force.as_bytes()), "{body:?}");
        stand.feed(&answer(&refresh, 200, "", "Session-Expires: 90;refresher=uac\r\n", theirs));
        assert_eq!(stand.events(), [], "the same answer as before is no news: {body:?}");
    }
}

#[test]
fn our_call_asks_for_a_timer_and_refreshes_as_told() {
    let mut stand = Stand::new();
    let (_, invite) = stand.calling();
    assert_eq!(timers(&invite.headers), (Some("1800"), None));
    assert!(invite.headers.lists(Name::Supported, "timer") && invite.headers.first(Name::MinSe).is_none());
    stand.feed(&answer(
        &invite,
        200,
        "a",
        &format!("{CONTACT}{UPDATES}Session-Expires: 600;refresher=uac\r\n"),
        ANSWER,
    ));
    stand.sent();
    assert_eq!(stand.request_within(600).0, 300_000);
    // A callee that does not know timers: none.
    let mut stand = Stand::new();
    stand.called("");
    assert_eq!(stand.pass(Duration::from_secs(20_000)), []);
}

#[test]
fn a_422_is_answered_with_the_interval_it_names() {
    let mut stand = Stand::new();
    let (leg, invite) = stand.calling();
    stand.feed(&answer(&invite, 422, "x", "Min-SE: 3600\r\n", ""));
    let [Message::Request(ack), Message::Request(again)] = &stand.sent()[..] else { panic!("an ACK and an INVITE") };
    assert_eq!((ack.method.as_str(), timers(&again.headers).0), ("ACK", Some("3600")));
    assert_eq!(again.headers.min_se(), Some(3600));
    let number = |request: &Request| request.headers.cseq().unwrap().number;
    assert_eq!((number(again), again.headers.call_id()), (number(&invite) + 1, invite.headers.call_id()));
    assert_ne!(again.headers.via().unwrap().branch(), invite.headers.via().unwrap().branch());
    // A 422 that names nothing longer is a refusal.
    stand.feed(&answer(again, 422, "x", "Min-SE: 3600\r\n", ""));
    assert_eq!(stand.events(), [Event::Failed { leg, status: 422, reason: None, contacts: vec![] }]);
    // Nor is a peer obeyed that always wants more.
    let mut stand = Stand::new();
    let (leg, mut invite) = stand.calling();
    for min in 2000.. {
        stand.feed(&answer(&invite, 422, "x", &format!("Min-SE: {min}\r\n"), ""));
        let Some(Message::Request(next)) = stand.sent().pop().filter(|last| kind(last) == "INVITE") else { break };
        assert!(min < 2100, "without end");
        invite = next;
    }
    assert_eq!(stand.events(), [Event::Failed { leg, status: 422, reason: None, contacts: vec![] }]);
}

#[test]
fn a_422_to_a_refresh_raises_the_interval() {
    let mut stand = Stand::new();
    stand.called(&format!("{UPDATES}Session-Expires: 90;refresher=uac\r\n"));
    let (_, update) = stand.request_within(90);
    stand.feed(&answer(&update, 422, "", "Min-SE: 120\r\n", ""));
    let again = stand.one_request();
    assert_eq!((again.method.as_str(), timers(&again.headers).0), ("UPDATE", Some("120;refresher=uac")));
    stand.feed(&answer(&again, 200, "", "Session-Expires: 120;refresher=uac\r\n", ""));
    let (after, next) = stand.request_within(120);
    assert_eq!((after, next.headers.min_se()), (60_000, Some(120)));
}

#[test]
fn too_small_an_interval_gets_422_at_any_time() {
    let mut stand = Stand::new();
    stand.feed(&invite(1, &asking(89, "uac"), OFFER));
    let refusal = stand.one_response();
    assert_eq!((refusal.status.code(), refusal.headers.min_se()), (422, Some(90)));
    assert_eq!((stand.events(), stand.endpoint.stats().legs), (vec![], 0));
    let (leg, _, tag) = stand.timed(&asking(120, "uac"));
    for (text, kinds) in [
        (peer("UPDATE", 2, &tag, &asking(30, "uac"), ""), vec!["422"]),
        (peer("INVITE", 3, &tag, &asking(30, "uac"), OFFER), vec!["422"]),
        (peer("OPTIONS", 4, &tag, &asking(30, "uac"), ""), vec!["200"]),
    ] {
        stand.feed(&text);
        assert_eq!(stand.sent_kinds(), kinds);
    }
    assert_eq!(stand.events(), []);
    // The session is what it was: 120 s, its refresh missed 32 s before.
    assert!(stand.request_within(100).0 == 88_000);
    stand.command(Command::Bye { leg, reason: None });
}

/// The rule of `session_timer`: FreeSWITCH promised `90;refresher=uac` and did not refresh within 62 s.
#[test]
fn a_refresh_that_stays_out_is_made_up_for_by_ours() {
    let mut stand = Stand::new();
    let (_, _, tag) = stand.timed(&format!("{UPDATES}{}", asking(90, "uac")));
    let (after, update) = stand.request_within(90);
    assert_eq!((after, update.method.as_str()), (60_000, "UPDATE"));
    assert_eq!(update.headers.first(Name::SessionExpires), Some("90;refresher=uac"));
    // The peer answers: the call goes on, and we refresh from here on.
    stand.feed(&answer(&update, 200, "", "Session-Expires: 90;refresher=uac\r\n", ""));
    assert_eq!(stand.request_within(90).0, 45_000);
    assert_eq!(stand.events(), []);
    // It may still wake up and take its turn.
    stand.feed(&peer("UPDATE", 2, &tag, &asking(90, "uac"), ""));
    assert_eq!(stand.sent_kinds(), ["200"]);
}

#[test]
fn a_peer_that_is_silent_or_knows_no_call_is_given_up() {
    for (extra, method, status) in
        [(UPDATES, "UPDATE", None), ("", "INVITE", None), (UPDATES, "UPDATE", Some(481)), ("", "INVITE", Some(408))]
    {
        let mut stand = Stand::new();
        let (leg, _, _) = stand.timed(&format!("{extra}{}", asking(90, "uac")));
        let (after, refresh) = stand.request_within(90);
        assert_eq!((after, refresh.method.as_str()), (60_000, method));
        let mut ended = 60_000;
        let last = match status {
            Some(status) => {
                stand.feed(&answer(&refresh, status, "", "", ""));
                stand.sent().pop()
            }
            None => loop {
                let (after, request) = stand.request_within(33);
                ended += after;
                if request.method.as_str() == "BYE" {
                    break Some(Message::Request(request));
                }
            },
        };
        let Some(Message::Request(bye)) = last else { panic!("a BYE") };
        assert_eq!(bye.method.as_str(), "BYE");
        assert!(bye.headers.reason().is_some_and(|reason| reason.protocol == "SIP" && reason.cause == Some(408)));
        assert!(ended <= 92_000, "{ended}");
        let Some(Event::Terminated { leg: gone, by }) = stand.events().pop() else { panic!("the end") };
        assert_eq!(gone, leg);
        // The interval is over before 64·T1 are.
        let expected = if status.is_none() { TerminatedBy::SessionExpired } else { TerminatedBy::PeerGone };
        assert_eq!(by, expected, "{method} {status:?}");
    }
}

#[test]
fn a_reinvite_that_only_rings_ends_with_the_session() {
    let mut stand = Stand::new();
    let leg = stand.called("Session-Expires: 90;refresher=uac\r\n");
    let (_, refresh) = stand.request_within(90);
    stand.feed(&answer(&refresh, 100, "", "", ""));
    assert_eq!(stand.pass(Duration::from_secs(45)), [(90_000, "BYE".to_owned())]);
    assert_eq!(stand.events(), [Event::Terminated { leg, by: TerminatedBy::SessionExpired }]);
}

#[test]
fn a_refused_refresh_does_not_end_the_call() {
    let mut stand = Stand::new();
    stand.called(&format!("{UPDATES}Session-Expires: 90;refresher=uac\r\n"));
    // UPDATE is not liked: a re-INVITE follows at once, and next time.
    let (_, update) = stand.request_within(90);
    stand.feed(&answer(&update, 405, "", "", ""));
    let invite = stand.one_request();
    assert_eq!((invite.method.as_str(), &invite.body[..]), ("INVITE", OFFER.as_bytes()));
    stand.feed(&answer(&invite, 488, "", "", ""));
    assert_eq!((stand.sent_kinds(), stand.events()), (vec!["ACK".to_owned()], vec![]));
    let (after, again) = stand.request_within(90);
    assert_eq!((after, again.method.as_str()), (45_000, "INVITE"));
    // Who refuses is there, and the interval begins anew each time.
    stand.feed(&answer(&again, 403, "", "", ""));
    stand.sent();
    assert_eq!(stand.request_within(90).0, 45_000);
    assert_eq!(stand.events(), []);
}

#[test]
fn a_refresh_that_collides_goes_out_again() {
    for (extra, method) in [(UPDATES, "UPDATE"), ("", "INVITE")] {
        for (status, retry, wait) in [(491, "", 2_100..=4_000), (500, "Retry-After: 3\r\n", 3_000..=3_000)] {
            let mut stand = Stand::new();
            stand.called(&format!("{extra}Session-Expires: 90;refresher=uac\r\n"));
            let (_, first) = stand.request_within(90);
            stand.feed(&answer(&first, status, "", retry, ""));
            stand.sent();
            let (after, again) = stand.request_within(5);
            assert_eq!(again.method.as_str(), method);
            assert!(wait.contains(&after), "{method} {status}: {after}");
            assert_eq!(again.headers.first(Name::SessionExpires), Some("90;refresher=uac"));
        }
    }
}

#[test]
fn a_refresh_waits_for_the_offer_under_way_and_the_peers_makes_it_needless() {
    let mut stand = Stand::new();
    let (leg, _, tag) = stand.timed(&asking(90, "uas"));
    stand.pass(Duration::from_secs(44));
    stand.feed(&peer("INVITE", 2, &tag, &asking(90, "uas"), HOLD));
    stand.sent();
    assert_eq!(stand.pass(Duration::from_secs(4)), []);
    stand.command(Command::AcceptOffer { leg, sdp: ANSWER.into() });
    stand.feed(&peer("ACK", 2, &tag, "", ""));
    stand.sent();
    // 45 s after our 2xx.
    assert_eq!(stand.request_within(90).0, 45_000);
    // One that is refused is no refresh: ours follows.
    let mut stand = Stand::new();
    let (leg, _, tag) = stand.timed(&asking(90, "uas"));
    stand.pass(Duration::from_secs(44));
    stand.feed(&peer("INVITE", 2, &tag, &asking(90, "uas"), HOLD));
    stand.pass(Duration::from_secs(2));
    stand.command(Command::RefuseOffer { leg, status: 488, reason: None });
    stand.feed(&peer("ACK", 2, &tag, "", "").replace("z9hG4bKACK2", "z9hG4bKINVITE2"));
    stand.sent();
    let (after, refresh) = stand.request_within(2);
    assert!(after <= 1_000 && refresh.method.as_str() == "INVITE", "{after}");
}

#[test]
fn our_own_offer_is_a_refresh_too() {
    let mut stand = Stand::new();
    let leg = stand.called("Session-Expires: 90;refresher=uac\r\n");
    stand.pass(Duration::from_secs(40));
    stand.command(Command::Reinvite { leg, sdp: HOLD.into() });
    let invite = stand.one_request();
    assert_eq!(invite.headers.first(Name::SessionExpires), Some("90;refresher=uac"));
    stand.feed(&answer(&invite, 200, "", "Session-Expires: 90;refresher=uac\r\n", ANSWER));
    stand.sent();
    let (after, refresh) = stand.request_within(90);
    assert_eq!((after, &refresh.body[..]), (45_000, HOLD.as_bytes()));
}

#[test]
fn a_refresh_that_reaches_nobody_is_tried_until_the_session_expires() {
    let mut stand = Stand::new();
    let leg = stand.called(&format!("{UPDATES}Session-Expires: 90;refresher=uac\r\n"));
    stand.request_within(90);
    for _ in 0..3 {
        stand.unreachable();
        let (after, again) = stand.request_within(10);
        assert_eq!((after, again.method.as_str()), (5_000, "UPDATE"));
    }
    // Timer E sends the same once more, and the peer is there.
    let (_, again) = stand.request_within(1);
    stand.feed(&answer(&again, 200, "", "", ""));
    assert_eq!(stand.events(), []);
    stand.command(Command::Bye { leg, reason: None });
    assert_eq!(stand.sent_kinds(), ["BYE"]);
    // The same by re-INVITE.
    let mut stand = Stand::new();
    stand.called("Session-Expires: 90;refresher=uac\r\n");
    stand.request_within(90);
    stand.unreachable();
    let (after, again) = stand.request_within(10);
    assert_eq!((after, again.method.as_str()), (5_000, "INVITE"));
}

#[test]
fn challenged_refreshes_do_not_wear_the_call_out() {
    let mut stand = Stand::new();
    stand.called(&format!("{UPDATES}Session-Expires: 90;refresher=uac\r\n"));
    for round in 0..20 {
        let (_, update) = stand.request_within(90);
        let challenge = format!("WWW-Authenticate: Digest realm=\"pbx\", nonce=\"{round}\", qop=\"auth\"\r\n");
        stand.feed(&answer(&update, 401, "", &challenge, ""));
        let again = stand.one_request();
        assert!(again.headers.first(Name::Authorization).is_some(), "round {round}");
        stand.feed(&answer(&again, 200, "", "Session-Expires: 90;refresher=uac\r\n", ""));
    }
    assert_eq!(stand.events(), []);
}

#[test]
fn a_required_timer_is_no_bad_extension() {
    let mut stand = Stand::new();
    stand.feed(&invite(1, "Require: timer, tdialog\r\n", OFFER));
    let refusal = stand.one_response();
    assert_eq!((refusal.status.code(), refusal.headers.first(Name::Unsupported)), (420, Some("tdialog")));
    let (_, ok, _) = stand.timed("Require: timer\r\nSession-Expires: 90\r\n");
    assert_eq!(timers(&ok.headers).0, Some("90;refresher=uac"));
}

#[test]
fn a_refresh_that_lost_to_the_peers_is_not_sent_again() {
    let mut stand = Stand::new();
    let (leg, _, tag) = stand.timed(&asking(90, "uas"));
    let (_, refresh) = stand.request_within(90);
    stand.feed(&answer(&refresh, 491, "", "", ""));
    stand.feed(&peer("INVITE", 2, &tag, &asking(90, "uas"), HOLD));
    stand.command(Command::AcceptOffer { leg, sdp: ANSWER.into() });
    stand.feed(&peer("ACK", 2, &tag, "", ""));
    stand.sent();
    stand.events();
    assert_eq!(stand.pass(Duration::from_secs(40)), []);
    assert_eq!(stand.events(), []);
}

/// An offer that is refused, as that of a fax is, refreshes nothing.
#[test]
fn a_refresh_that_lost_to_an_offer_that_is_refused_is_sent_again() {
    let mut stand = Stand::new();
    let (leg, _, tag) = stand.timed(&asking(90, "uas"));
    let (_, refresh) = stand.request_within(90);
    stand.feed(&answer(&refresh, 491, "", "", ""));
    stand.feed(&peer("INVITE", 2, &tag, &asking(90, "uas"), HOLD));
    stand.command(Command::RefuseOffer { leg, status: 488, reason: None });
    stand.feed(&peer("ACK", 2, &tag, "", "").replace("z9hG4bKACK2", "z9hG4bKINVITE2"));
    stand.sent();
    stand.events();
    let (after, again) = stand.request_within(3);
    assert_eq!((after, again.method.as_str()), (2_000, "INVITE"));
}
