//! Calls by us: RFC 3261 §9.1, §13.2, §22.
use super::*;
use crate::{leg::TerminatedBy, message::Name};

const CONTACT: &str = "Contact: <sip:desk@192.0.2.10:5080;transport=udp;gw=ai>\r\n";

/// An INVITE to the peer of a stand.
pub(super) fn outgoing() -> OutgoingInvite {
    OutgoingInvite {
        targets: vec![register::target(Transport::Udp, REMOTE)],
        route: vec![],
        to: "sip:desk@pbx.example".into(),
        from: "sip:ramal@pbx.example".into(),
        from_display: "Ramal".into(),
        sdp: OFFER.into(),
        x_headers: vec![("X-Ramal-Call".into(), "7".into()), ("not a token".into(), "x".into())],
        credentials: Some(("ramal".into(), "secret".into())),
    }
}

impl Stand {
    /// Sends an INVITE.
    pub(super) fn calling(&mut self) -> (LegId, Request) {
        let leg = self.endpoint.invite(outgoing(), self.now);
        (leg, self.one_request())
    }
}

#[test]
fn a_call_from_invite_to_bye() {
    let mut stand = Stand::new();
    let (leg, invite) = stand.calling();
    assert_eq!(invite.uri.as_str(), "sip:desk@pbx.example");
    assert_eq!(invite.headers.from().unwrap().display, "Ramal");
    assert_eq!(invite.headers.named("X-Ramal-Call").collect::<Vec<_>>(), ["7"]);
    assert_eq!(invite.headers.contact().unwrap().uri.as_str(), "sip:ramal@198.51.100.1:5060");
    stand.feed(&answer(&invite, 100, "", "", ""));
    stand.feed(&answer(&invite, 180, "a", CONTACT, ""));
    stand.feed(&answer(&invite, 183, "a", CONTACT, ANSWER));
    let progress = |status, sdp| Event::Progress { leg, status, sdp };
    assert_eq!(stand.events(), [progress(180, None), progress(183, Some(ANSWER.into()))]);
    stand.feed(&answer(&invite, 200, "a", CONTACT, ANSWER));
    let ack = stand.one_request();
    assert_eq!((ack.method.as_str(), ack.uri.as_str()), ("ACK", "sip:desk@192.0.2.10:5080;transport=udp;gw=ai"));
    assert_eq!(ack.headers.cseq().unwrap().number, invite.headers.cseq().unwrap().number);
    assert_ne!(ack.headers.via().unwrap().branch(), invite.headers.via().unwrap().branch());
    assert_eq!(stand.events(), [Event::Established { leg, sdp: Some(ANSWER.into()) }]);
    // The 2xx again: the very same ACK again.
    stand.feed(&answer(&invite, 200, "a", CONTACT, ANSWER));
    assert_eq!(stand.one_request(), ack);
    stand.command(Command::Bye { leg, reason: None });
    let bye = stand.one_request();
    assert_eq!(bye.headers.cseq().unwrap().number, invite.headers.cseq().unwrap().number + 1);
    assert_eq!(bye.headers.to().unwrap().tag(), Some("a"));
    stand.feed(&answer(&bye, 200, "", "", ""));
    assert_eq!(stand.events(), [Event::Terminated { leg, by: TerminatedBy::Us }]);
    assert!(stand.endpoint.is_idle());
}

#[test]
fn refusals_are_acknowledged_and_told() {
    let mut stand = Stand::new();
    let (leg, invite) = stand.calling();
    let busy = answer(&invite, 486, "a", "Reason: Q.850;cause=17;text=\"USER_BUSY\"\r\n", "");
    stand.feed(&busy);
    let ack = stand.one_request();
    assert_eq!((ack.method.as_str(), ack.uri), ("ACK", invite.uri.clone()));
    assert_eq!(ack.headers.via(), invite.headers.via());
    assert_eq!(ack.headers.to().unwrap().tag(), Some("a"));
    let reason = Reason { protocol: "Q.850".into(), cause: Some(17), text: Some("USER_BUSY".into()) };
    assert_eq!(stand.events(), [Event::Failed { leg, status: 486, reason: Some(reason), contacts: vec![] }]);
    stand.feed(&busy);
    assert_eq!((stand.sent_kinds(), stand.events()), (vec!["ACK".to_owned()], vec![]));
}

#[test]
fn silence_is_408_and_an_unreachable_peer_503() {
    let mut stand = Stand::new();
    let (leg, _) = stand.calling();
    let sent = stand.pass(Duration::from_secs(33));
    assert_eq!(sent, [500, 1500, 3500, 7500, 15_500, 31_500].map(|ms| (ms, "INVITE".to_owned())));
    assert_eq!(stand.events(), [Event::Failed { leg, status: 408, reason: None, contacts: vec![] }]);
    let (leg, _) = stand.calling();
    stand
        .endpoint
        .handle_unreachable(Hop { listener: UDP, transport: Transport::Udp, remote: stand.remote }, stand.now);
    assert_eq!(stand.events(), [Event::Failed { leg, status: 503, reason: None, contacts: vec![] }]);
    assert!(stand.endpoint.is_idle());
}

#[test]
fn a_uri_that_is_none_fails_at_once() {
    let mut stand = Stand::new();
    let (_, request) = stand.calling();
    let invite = OutgoingInvite {
        targets: vec![register::target(Transport::Udp, REMOTE)],
        route: vec![],
        to: "not a uri".into(),
        from: request.headers.from().unwrap().uri.to_string(),
        from_display: String::new(),
        sdp: Body::default(),
        x_headers: vec![],
        credentials: None,
    };
    let leg = stand.endpoint.invite(invite, stand.now);
    let [Event::Failed { leg: failed, status: 400, .. }] = stand.events()[..] else { panic!("a failure") };
    assert_eq!((failed, stand.sent_kinds()), (leg, vec![]));
}

#[test]
fn a_challenge_is_answered_once() {
    let mut stand = Stand::new();
    let (leg, invite) = stand.calling();
    let challenge =
        |header: &str, extra: &str| format!("{header}: Digest realm=\"pbx\", nonce=\"n\", qop=\"auth\"{extra}\r\n");
    stand.feed(&answer(&invite, 407, "x", &challenge("Proxy-Authenticate", ""), ""));
    let [Message::Request(ack), Message::Request(again)] = &stand.sent()[..] else { panic!("an ACK and an INVITE") };
    assert_eq!((ack.method.as_str(), again.method.as_str()), ("ACK", "INVITE"));
    assert_eq!(again.headers.cseq().unwrap().number, invite.headers.cseq().unwrap().number + 1);
    assert_eq!((again.headers.call_id(), &again.body), (invite.headers.call_id(), &invite.body));
    assert_eq!(again.headers.to().unwrap().tag(), None);
    assert_ne!(again.headers.via().unwrap().branch(), invite.headers.via().unwrap().branch());
    let proof = again.headers.first(Name::ProxyAuthorization).unwrap();
    assert!(proof.contains("username=\"ramal\"") && proof.contains("nc=00000001"), "{proof}");
    // The ACK of its 2xx carries the same proof (RFC 3261 §22.1).
    let mut accepted = Stand::new();
    let (_, invite) = accepted.calling();
    accepted.feed(&answer(&invite, 407, "x", &challenge("Proxy-Authenticate", ""), ""));
    let [_, Message::Request(second)] = &accepted.sent()[..] else { panic!("an ACK and an INVITE") };
    accepted.feed(&answer(second, 200, "y", CONTACT, ANSWER));
    let ack = accepted.one_request();
    assert_eq!(ack.headers.first(Name::ProxyAuthorization), second.headers.first(Name::ProxyAuthorization));
    // Refused again: the password is wrong. Stale: it is not.
    stand.feed(&answer(again, 407, "x", &challenge("Proxy-Authenticate", ", stale=true"), ""));
    let [_, Message::Request(third)] = &stand.sent()[..] else { panic!("an ACK and an INVITE") };
    assert_eq!(stand.events(), []);
    stand.feed(&answer(third, 407, "x", &challenge("Proxy-Authenticate", ""), ""));
    assert_eq!(stand.sent_kinds(), ["ACK"]);
    assert_eq!(stand.events(), [Event::Failed { leg, status: 407, reason: None, contacts: vec![] }]);
}

#[test]
fn cancel_waits_for_a_provisional_response() {
    let mut stand = Stand::new();
    let (leg, invite) = stand.calling();
    let reason = Some(Reason { protocol: "SIP".into(), cause: Some(487), text: None });
    stand.command(Command::Bye { leg, reason });
    assert_eq!(stand.sent_kinds(), Vec::<String>::new());
    stand.feed(&answer(&invite, 100, "", "", ""));
    let cancel = stand.one_request();
    assert_eq!((cancel.method.as_str(), &cancel.uri), ("CANCEL", &invite.uri));
    assert_eq!(cancel.headers.via(), invite.headers.via());
    assert_eq!(cancel.headers.cseq().unwrap().number, invite.headers.cseq().unwrap().number);
    assert_eq!(cancel.headers.first(Name::Reason), Some("SIP;cause=487"));
    stand.feed(&answer(&cancel, 200, "a", "", ""));
    assert_eq!(stand.events(), []);
    stand.feed(&answer(&invite, 487, "a", "", ""));
    assert_eq!(stand.sent_kinds(), ["ACK"]);
    assert_eq!(stand.events(), [Event::Terminated { leg, by: TerminatedBy::Us }]);
}

#[test]
fn a_cancelled_call_that_nobody_ends_is_given_up() {
    let mut stand = Stand::new();
    let (leg, invite) = stand.calling();
    stand.feed(&answer(&invite, 180, "a", CONTACT, ""));
    stand.events();
    stand.command(Command::Bye { leg, reason: None });
    let cancel = stand.one_request();
    stand.feed(&answer(&cancel, 200, "a", "", ""));
    stand.pass(Duration::from_secs(32));
    assert_eq!(stand.events(), [Event::Terminated { leg, by: TerminatedBy::Us }]);
}

#[test]
fn an_answer_that_crosses_our_cancel_is_hung_up() {
    let mut stand = Stand::new();
    let (leg, invite) = stand.calling();
    stand.feed(&answer(&invite, 180, "a", CONTACT, ""));
    stand.command(Command::Bye { leg, reason: None });
    assert_eq!(stand.sent_kinds(), ["CANCEL"]);
    stand.events();
    stand.feed(&answer(&invite, 200, "a", CONTACT, ANSWER));
    let [Message::Request(ack), Message::Request(bye)] = &stand.sent()[..] else { panic!("an ACK and a BYE") };
    assert_eq!((ack.method.as_str(), bye.method.as_str(), stand.events()), ("ACK", "BYE", vec![]));
    stand.feed(&answer(bye, 200, "", "", ""));
    assert_eq!(stand.events(), [Event::Terminated { leg, by: TerminatedBy::Us }]);
}

#[test]
fn the_answer_of_a_second_branch_is_hung_up() {
    let mut stand = Stand::new();
    let (leg, invite) = stand.calling();
    stand.feed(&answer(&invite, 180, "a", CONTACT, ""));
    stand.feed(&answer(&invite, 180, "b", CONTACT, ""));
    stand.feed(&answer(&invite, 200, "b", CONTACT, ANSWER));
    assert_eq!(stand.sent_kinds(), ["ACK"]);
    assert_eq!(stand.events().last(), Some(&Event::Established { leg, sdp: Some(ANSWER.into()) }));
    stand.feed(&answer(&invite, 200, "a", &CONTACT.replace("desk", "hall"), ANSWER));
    let [Message::Request(ack), Message::Request(bye)] = &stand.sent()[..] else { panic!("an ACK and a BYE") };
    for request in [ack, bye] {
        assert_eq!(request.headers.to().unwrap().tag(), Some("a"));
        assert_eq!(request.uri.user(), Some("hall"));
    }
    assert_eq!(stand.events(), []);
    // Ours goes on.
    stand.command(Command::Bye { leg, reason: None });
    assert_eq!(stand.one_request().headers.to().unwrap().tag(), Some("b"));
}

#[test]
fn a_route_recorded_on_the_way_is_walked_backwards() {
    let mut stand = Stand::new();
    let (_, invite) = stand.calling();
    let record = format!("{CONTACT}Record-Route: <sip:192.0.2.1;lr>\r\nRecord-Route: <sip:192.0.2.2>\r\n");
    stand.feed(&answer(&invite, 200, "a", &record, ANSWER));
    let transmit = stand.transmits().remove(0);
    // The nearest is a strict router (RFC 2543): it takes the R-URI, ours goes last.
    assert_eq!(transmit.hop.remote, "192.0.2.2:5060".parse().unwrap());
    let Message::Request(ack) = Message::parse(&transmit.bytes).unwrap() else { panic!("an ACK") };
    assert_eq!(ack.uri.as_str(), "sip:192.0.2.2");
    let routes: Vec<_> = ack.headers.all(Name::Route).collect();
    assert_eq!(routes, ["<sip:192.0.2.1;lr>", "<sip:desk@192.0.2.10:5080;transport=udp;gw=ai>"]);
}

#[test]
fn a_bye_before_the_answer_ends_the_call_and_a_late_answer_is_hung_up() {
    let mut stand = Stand::new();
    let (leg, invite) = stand.calling();
    stand.feed(&answer(&invite, 180, "a", CONTACT, ""));
    stand.events();
    let from = invite.headers.from().unwrap();
    let bye = peer("BYE", 1, from.tag().unwrap(), "", "")
        .replace("tag=peer", "tag=a")
        .replace("call-1", invite.headers.call_id().unwrap());
    stand.feed(&bye);
    assert_eq!((stand.sent_kinds(), stand.events()), (vec!["200".to_owned()], vec![Event::Bye { leg, reason: None }]));
    stand.feed(&answer(&invite, 200, "a", CONTACT, ANSWER));
    assert_eq!(stand.sent_kinds(), ["ACK", "BYE"]);
    stand.pass(Duration::from_secs(70));
    assert_eq!((stand.events(), stand.endpoint.stats().transactions), (vec![], 0));
}

#[test]
fn responses_of_others_are_ignored() {
    let mut stand = Stand::new();
    let (_, invite) = stand.calling();
    let ok = answer(&invite, 200, "a", CONTACT, ANSWER);
    stand.feed(&ok.replace("z9hG4bK", "z9hG4bKx"));
    stand.feed(&ok.replacen("Via: ", "Via: SIP/2.0/UDP other;branch=z9hG4bKo\r\nVia: ", 1));
    stand.feed(&ok.replace("Via: ", "Via: SIP/2.0/UDP h;branch=z9hG4bKz\r\nX-Via: "));
    assert_eq!((stand.sent_kinds(), stand.events()), (vec![], vec![]));
    assert_eq!(stand.endpoint.stats().stray, 3);
}

#[test]
fn an_outbound_proxy_is_gone_through_and_the_answer_says_how_the_call_goes_on() {
    let mut stand = Stand::new();
    let route = vec!["sip:192.0.2.10:5080;lr".into(), "sip:edge.example;lr".into()];
    let invite = OutgoingInvite { route, ..outgoing() };
    let leg = stand.endpoint.invite(invite.clone(), stand.now);
    let request = stand.one_request();
    let routes = |request: &Request| request.headers.all(Name::Route).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(request.uri.as_str(), "sip:desk@pbx.example");
    assert_eq!(routes(&request), ["<sip:192.0.2.10:5080;lr>", "<sip:edge.example;lr>"]);
    stand.feed(&answer(&request, 180, "a", CONTACT, ""));
    stand.command(Command::Bye { leg, reason: None });
    let cancel = stand.one_request();
    assert_eq!((cancel.method.as_str(), routes(&cancel)), ("CANCEL", routes(&request)));
    stand.feed(&answer(&request, 487, "a", "", ""));
    let ack = stand.one_request();
    assert_eq!((ack.method.as_str(), routes(&ack)), ("ACK", routes(&request)));
    // No proxy wants to stay: the call goes straight to the peer.
    let leg = stand.endpoint.invite(invite.clone(), stand.now);
    let request = stand.one_request();
    stand.feed(&answer(&request, 200, "a", CONTACT, ANSWER));
    assert_eq!(routes(&stand.one_request()), Vec::<String>::new());
    stand.events();
    stand.command(Command::Bye { leg, reason: None });
    assert_eq!(routes(&stand.one_request()), Vec::<String>::new());
    // A route that is none is an INVITE that cannot be sent.
    stand.endpoint.invite(OutgoingInvite { route: vec!["<nonsense>".into()], ..invite }, stand.now);
    assert!(matches!(stand.events()[..], [Event::Failed { status: 400, .. }]));
}

#[test]
fn a_redirection_is_told_with_its_contacts_by_preference_and_not_followed() {
    let mut stand = Stand::new();
    let (leg, invite) = stand.calling();
    let contacts = "Contact: <sip:late@h>;q=0.1, <sip:unrated@h;x=1>\r\nContact: \"B, b\" <sip:middle@h>;q=0.7\r\n";
    stand.feed(&answer(&invite, 302, "a", contacts, ""));
    assert_eq!(stand.sent_kinds(), ["ACK"]);
    let contacts = ["sip:unrated@h;x=1", "sip:middle@h", "sip:late@h"].map(str::to_owned).to_vec();
    assert_eq!(stand.events(), [Event::Failed { leg, status: 302, reason: None, contacts }]);
    // A Contact of another refusal is no invitation.
    let (leg, invite) = stand.calling();
    stand.feed(&answer(&invite, 486, "a", "Contact: <sip:x@h>\r\n", ""));
    stand.sent();
    assert_eq!(stand.events(), [Event::Failed { leg, status: 486, reason: None, contacts: vec![] }]);
}

/// RFC 7616 §3.3: the nonce of the INVITE's challenge serves for the whole dialog, each use counted.
#[test]
fn a_challenged_call_brings_its_proof_to_every_further_request() {
    let mut stand = Stand::new();
    let (leg, invite) = stand.calling();
    let challenge = "Proxy-Authenticate: Digest realm=\"pbx\", nonce=\"n\", algorithm=SHA-256, qop=\"auth\"\r\n";
    stand.feed(&answer(&invite, 407, "x", challenge, ""));
    let again = stand.sent().into_iter().find_map(|message| match message {
        Message::Request(request) if request.method.as_str() == "INVITE" => Some(request),
        Message::Request(_) | Message::Response(_) => None,
    });
    stand.feed(&answer(&again.unwrap(), 200, "a", CONTACT, ANSWER));
    let ack = stand.one_request();
    let proof = |request: &Request| request.headers.first(Name::ProxyAuthorization).unwrap().to_owned();
    assert!(proof(&ack).contains("nc=00000001"), "§22.1: the ACK has the credentials of its INVITE");
    stand.command(Command::Reinvite { leg, sdp: OFFER.into() });
    let reinvite = stand.one_request();
    assert!(proof(&reinvite).contains("nc=00000002") && proof(&reinvite).contains("nonce=\"n\""));
    // The nonce has aged: answered anew, and BYE goes on from there.
    let stale = challenge.replace("\"n\"", "\"m\"").replace(", qop", ", stale=true, qop");
    stand.feed(&answer(&reinvite, 407, "", &stale, ""));
    let again = stand.sent().pop();
    let Some(Message::Request(again)) = again else { panic!("a re-INVITE") };
    assert!(proof(&again).contains("nonce=\"m\"") && proof(&again).contains("nc=00000001"));
    stand.feed(&answer(&again, 200, "", CONTACT, ANSWER));
    stand.sent();
    stand.command(Command::Bye { leg, reason: None });
    assert!(proof(&stand.one_request()).contains("nc=00000002"));
}

#[test]
fn late_provisional_responses_of_any_branch_change_nothing() {
    let mut stand = Stand::new();
    let (leg, invite) = stand.calling();
    stand.feed(&answer(&invite, 180, "a", CONTACT, ""));
    stand.feed(&answer(&invite, 200, "b", CONTACT, ANSWER));
    stand.sent();
    stand.events();
    for (status, tag) in [(180, "a"), (183, "b"), (180, "c")] {
        stand.feed(&answer(&invite, status, tag, &CONTACT.replace("desk", "hall"), ANSWER));
    }
    assert_eq!((stand.sent_kinds(), stand.events()), (vec![], vec![]));
    stand.command(Command::Bye { leg, reason: None });
    let bye = stand.one_request();
    assert_eq!((bye.headers.to().unwrap().tag(), bye.uri.user()), (Some("b"), Some("desk")));
}

#[test]
fn the_answer_of_another_branch_brings_its_own_route() {
    let mut stand = Stand::new();
    let (_, invite) = stand.calling();
    stand.feed(&answer(&invite, 180, "a", &format!("{CONTACT}Record-Route: <sip:192.0.2.1;lr>\r\n"), ""));
    stand.feed(&answer(&invite, 200, "b", CONTACT, ANSWER));
    let ack = stand.one_request();
    assert_eq!(ack.headers.first(Name::Route), None);
}

const SECOND: &str = "192.0.2.20:5080";

/// Calls a peer that has two servers, the first over TCP.
fn calling_two(stand: &mut Stand) -> (LegId, Transmit, Request) {
    let targets = vec![register::target(Transport::Tcp, REMOTE), register::target(Transport::Udp, SECOND)];
    let leg = stand.endpoint.invite(OutgoingInvite { targets, ..outgoing() }, stand.now);
    let (first, invite) = sent_to(stand);
    (leg, first, invite)
}

/// The one request that was sent, and how.
fn sent_to(stand: &mut Stand) -> (Transmit, Request) {
    let [transmit] = <[Transmit; 1]>::try_from(stand.transmits()).unwrap();
    let Ok(Message::Request(request)) = Message::parse(&transmit.bytes) else { panic!("a request") };
    (transmit, request)
}

/// RFC 3263 §4.3: "a new request, which is identical to the previous, but has a different value of the Via branch ID".
#[test]
fn a_server_that_fails_is_followed_by_the_next() {
    let failures: [fn(&mut Stand, &Transmit, &Request); 4] = [
        |stand, first, _| stand.endpoint.handle_unreachable(first.hop, stand.now),
        |stand, _, invite| stand.stream_answer(&answer(invite, 503, "x", "", "")),
        |stand, _, _| stand.silence(),
        |stand, _, invite| {
            // What it began before it failed is not the dialog of the other.
            let route = "Record-Route: <sip:192.0.2.66;lr>\r\nContact: <sip:early@192.0.2.66>\r\n";
            stand.stream_answer(&answer(invite, 180, "early", route, ""));
            stand.stream_answer(&answer(invite, 503, "early", "", ""));
        },
    ];
    for (n, fail) in failures.iter().enumerate() {
        let mut stand = Stand::new();
        let (leg, first, invite) = calling_two(&mut stand);
        assert_eq!((first.hop.remote.to_string().as_str(), first.hop.transport), (REMOTE, Transport::Tcp));
        fail(&mut stand, &first, &invite);
        let sent = stand.transmits();
        let second = sent.iter().find(|sent| sent.bytes.starts_with(b"INVITE")).unwrap();
        assert_eq!((second.hop.remote.to_string().as_str(), second.hop.transport), (SECOND, Transport::Udp), "{n}");
        let Ok(Message::Request(again)) = Message::parse(&second.bytes) else { panic!("an INVITE") };
        let branch = |request: &Request| request.headers.via().unwrap().branch().to_owned();
        assert_ne!(branch(&again), branch(&invite));
        for same in [Name::CallId, Name::CSeq, Name::From, Name::To] {
            assert_eq!(again.headers.first(same), invite.headers.first(same));
        }
        assert_eq!(again.headers.contact().unwrap().uri.as_str(), "sip:ramal@198.51.100.1:5060", "of its transport");
        assert_eq!(again.body, invite.body);
        stand.events();
        stand.remote = SECOND.parse().unwrap();
        stand.feed(&answer(&again, 200, "b", "Contact: <sip:desk@192.0.2.20:5080>\r\n", ANSWER));
        let (ack, acked) = sent_to(&mut stand);
        assert_eq!((ack.hop.remote.to_string().as_str(), acked.headers.first(Name::Route)), (SECOND, None), "{n}");
        assert_eq!(stand.events(), [Event::Established { leg, sdp: Some(ANSWER.into()) }]);
    }
}

#[test]
fn only_when_all_servers_have_failed_the_call_has() {
    let mut stand = Stand::new();
    let (leg, first, _) = calling_two(&mut stand);
    stand.endpoint.handle_unreachable(first.hop, stand.now);
    let (second, _) = sent_to(&mut stand);
    assert_eq!(stand.events(), []);
    stand.endpoint.handle_unreachable(second.hop, stand.now);
    assert_eq!(stand.events(), [Event::Failed { leg, status: 503, reason: None, contacts: vec![] }]);
    // Who hung up wants no other server either, and a refusal is no failure.
    let (leg, first, _) = calling_two(&mut stand);
    stand.command(Command::Bye { leg, reason: None });
    stand.endpoint.handle_unreachable(first.hop, stand.now);
    assert_eq!((stand.sent_kinds(), stand.events().len()), (vec![], 1));
    let (leg, _, invite) = calling_two(&mut stand);
    stand.stream_answer(&answer(&invite, 486, "x", "", ""));
    assert_eq!(stand.sent_kinds(), ["ACK"]);
    assert!(matches!(stand.events()[..], [Event::Failed { leg: failed, status: 486, .. }] if failed == leg));
}

impl Stand {
    fn stream_answer(&mut self, text: &str) {
        self.endpoint.handle_stream_opened(self.connection());
        self.endpoint.handle_stream(self.connection(), text.as_bytes(), self.now);
    }

    /// Nobody says anything until the first server is given up.
    fn silence(&mut self) {
        let (at, why) = self.endpoint.poll_timeout().unwrap();
        assert_eq!((at - self.now, why), (Duration::from_secs(5), "timer B"));
        self.now = at;
        self.endpoint.handle_timeout(at);
    }
}
