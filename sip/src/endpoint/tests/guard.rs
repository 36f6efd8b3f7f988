//! Who may call: RFC 3261 §8.2 and §22, RFC 8760, and what everybody else gets.
use super::*;
use crate::{
    auth::{Credentials, Session, User},
    guard::{Pass, Rate, Strangers},
    message::Name,
};

/// The stand's peer is 192.0.2.10.
fn closed() -> Policy {
    Policy::of(vec!["198.51.100.0/24".parse().unwrap()])
}

fn open() -> Policy {
    Policy::of(vec!["192.0.2.0/24".parse().unwrap()])
}

fn with_user(networks: &[&str]) -> Policy {
    let credentials = Credentials { user: "pbx".into(), password: "s3cret".into() };
    let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
    Policy { users: vec![User { credentials, networks }], realm: "ramal.example".into(), ..closed() }
}

/// The INVITE again, with an answer to the challenges of this response, and a branch of its own.
fn proven(response: &Response, password: &str, cseq: u32) -> Request {
    let mut session = Session::default();
    let credentials = Credentials { user: "pbx".into(), password: password.into() };
    assert!(session.learn(response, |_| Some(credentials)));
    let Ok(Message::Request(mut request)) = Message::parse(invite(cseq, "", OFFER).as_bytes()) else { panic!() };
    session.authorize(&mut request, &mut random::Random::new(cseq.into()));
    request
}

fn text(request: &Request) -> String {
    String::from_utf8(request.to_bytes()).unwrap()
}

impl Stand {
    fn from(&mut self, remote: &str, text: &str) {
        self.endpoint.handle_datagram(UDP, remote.parse().unwrap(), text.as_bytes(), self.now);
    }
}

#[test]
fn strangers_get_no_answer_to_anything() {
    let mut stand = Stand::with(closed());
    let methods = ["INVITE", "OPTIONS", "REGISTER", "MESSAGE", "SUBSCRIBE", "CANCEL", "BYE", "ACK", "FOO"];
    for (cseq, method) in (1..).zip(methods) {
        stand.feed(&peer(method, cseq, "", "", OFFER));
        stand.feed(&peer(method, cseq, "notours", "Require: foo\r\n", OFFER));
    }
    stand.feed("INVITE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10\r\n\r\n");
    assert_eq!(stand.sent_kinds(), Vec::<String>::new());
    assert_eq!(stand.events(), [Event::Stranger { remote: stand.remote }], "the owner is told once");
    let stats = stand.endpoint.stats();
    assert_eq!((stats.strangers, stats.transactions, stats.legs), (19, 0, 0));
}

#[test]
fn strangers_may_be_told_that_it_is_forbidden() {
    let mut stand = Stand::with(Policy { strangers: Strangers::Forbid, ..closed() });
    for method in ["INVITE", "OPTIONS", "BYE"] {
        stand.feed(&peer(method, 1, "", "", ""));
        assert_eq!(stand.sent_kinds(), ["403"], "{method}");
    }
    stand.feed("INVITE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10\r\n\r\n");
    stand.feed(&peer("ACK", 1, "", "", ""));
    assert_eq!(stand.sent_kinds(), Vec::<String>::new());
}

#[test]
fn a_peer_is_answered_and_a_registrar_is_one_while_we_register() {
    let mut stand = Stand::with(open());
    stand.feed(&peer("OPTIONS", 1, "", "", ""));
    assert_eq!(stand.sent_kinds(), ["200"]);
    let mut stand = Stand::with(closed());
    let ping = peer("OPTIONS", 1, "", "", "");
    let target = |remote| register::target(Transport::Udp, remote);
    let registration = Registration { targets: vec![target(REMOTE)], ..register::registration() };
    stand.endpoint.register(RegistrationId(1), registration, stand.now);
    let register = stand.one_request();
    stand.endpoint.retarget(RegistrationId(1), vec![target(REMOTE), target("192.0.2.11:5060")], stand.now);
    for remote in [REMOTE, "192.0.2.11:5060"] {
        stand.from(remote, &ping);
        assert_eq!(stand.sent_kinds(), ["200"], "{remote}");
    }
    stand.feed(&answer(&register, 403, "x", "", ""));
    stand.endpoint.unregister(RegistrationId(1), stand.now);
    stand.events();
    stand.feed(&ping);
    assert_eq!(stand.sent_kinds(), Vec::<String>::new());
}

/// A proxy that is a peer may leave the way between the call and us: what belongs to the call passes from anywhere.
#[test]
fn what_belongs_to_a_call_passes_from_anywhere() {
    let mut stand = Stand::with(open());
    let leg = stand.ringing();
    stand.command(Command::Answer { leg, sdp: ANSWER.into() });
    let tag = to_tag(&stand.one_response());
    let elsewhere = "203.0.113.5:5060";
    stand.from(elsewhere, &peer("ACK", 1, &tag, "", ""));
    assert_eq!(stand.events(), [Event::Established { leg, sdp: None }]);
    // Not even a neighbour behind the same address, who spends its budget, comes between.
    for cseq in 100..200 {
        stand.from(elsewhere, &peer("OPTIONS", cseq, "", "", ""));
    }
    assert_eq!((stand.sent_kinds(), stand.endpoint.stats().rate_limited), (vec![], 80));
    stand.from(elsewhere, &peer("BYE", 2, &tag, "", ""));
    assert_eq!(stand.sent_kinds(), ["200"]);
    // And a CANCEL finds its INVITE.
    let mut stand = Stand::with(open());
    let leg = stand.ringing();
    stand.from(elsewhere, &peer("CANCEL", 1, "", "", ""));
    assert_eq!(
        (stand.sent_kinds(), stand.events()),
        (vec!["200".into(), "487".into()], vec![Event::Cancelled { leg, reason: None }])
    );
}

#[test]
fn whom_we_call_is_heard() {
    let mut stand = Stand::with(closed());
    let (leg, invite) = stand.calling();
    for _ in 0..100 {
        stand.feed("garbage");
    }
    stand.feed(&answer(&invite, 180, "a", "", ""));
    assert_eq!(stand.events(), [Event::Progress { leg, status: 180, sdp: None }]);
}

#[test]
fn a_stranger_who_spends_his_budget_is_dropped_unread() {
    let mut stand = Stand::with(Policy { strangers: Strangers::Forbid, ..closed() });
    let ping = peer("OPTIONS", 1, "", "", "");
    for _ in 0..50 {
        stand.feed(&ping);
    }
    assert_eq!(stand.sent().len(), 20, "the burst");
    let stats = stand.endpoint.stats();
    assert_eq!((stats.received, stats.rate_limited), (20, 30), "the rest was not even read");
    stand.from("192.0.2.11:5060", &ping);
    assert_eq!(stand.sent_kinds(), ["403"], "another has his own");
    stand.pass(Duration::from_secs(1));
    for _ in 0..5 {
        stand.feed(&ping);
    }
    assert_eq!(stand.sent().len(), 2, "the rate");
    // What cannot be read, responses to nothing and stray ACKs cost as well.
    let mut stand = Stand::with(Policy { strangers: Strangers::Forbid, ..closed() });
    let (_, request) = Stand::new().calling();
    for junk in ["\0\0\0".to_owned(), answer(&request, 200, "x", "", ""), peer("ACK", 1, "x", "", "")] {
        for _ in 0..10 {
            stand.feed(&junk);
        }
    }
    assert_eq!(stand.endpoint.stats().rate_limited, 10);
}

#[test]
fn scanners_are_dropped_unread_unless_they_are_peers() {
    let scan = peer("OPTIONS", 1, "", "User-Agent: friendly-scanner\r\n", "");
    let own = peer("OPTIONS", 1, "", "User-Agent: EvilProbe/2\r\n", "");
    let forbid = Policy { strangers: Strangers::Forbid, scanners: vec!["evilprobe".into()], ..closed() };
    let mut stand = Stand::with(forbid.clone());
    stand.feed(&scan);
    stand.feed(&own);
    let stats = stand.endpoint.stats();
    assert_eq!((stand.sent_kinds(), stats.scanners, stats.received), (vec![], 2, 0));
    let mut stand = Stand::with(Policy { peers: open().peers, ..forbid });
    stand.feed(&scan);
    assert_eq!(stand.sent_kinds(), ["200"]);
}

/// RFC 3261 §22.1 and RFC 8760 §2.3: one header for each algorithm, SHA-256 first; RFC 8760 §2.4 lets ours choose it.
#[test]
fn a_user_proves_who_he_is() {
    let mut stand = Stand::with(with_user(&[]));
    stand.feed(&invite(1, "", OFFER));
    let asked = stand.one_response();
    let challenges = asked.headers.challenges(Name::WwwAuthenticate);
    let algorithms: Vec<&str> = challenges.iter().map(|challenge| challenge.algorithm.as_str()).collect();
    assert_eq!((asked.status.code(), algorithms), (401, vec!["SHA-256", "MD5"]));
    assert_eq!((challenges[0].realm.as_str(), stand.endpoint.stats().transactions), ("ramal.example", 0));
    stand.feed(&peer("ACK", 1, &to_tag(&asked), "", ""));
    let again = proven(&asked, "s3cret", 2);
    stand.feed(&text(&again));
    assert_eq!(stand.sent_kinds(), ["100"]);
    let Event::Incoming { leg, invite: described, .. } = stand.one_event() else { panic!("a call") };
    assert_eq!(described.user.as_deref(), Some("pbx"));
    // The same again is a retransmission, not a second use of the nonce.
    stand.feed(&text(&again));
    assert_eq!(stand.sent_kinds(), ["100"]);
    stand.command(Command::Answer { leg, sdp: ANSWER.into() });
    let tag = to_tag(&stand.one_response());
    stand.feed(&peer("ACK", 2, &tag, "", ""));
    // Within the dialog nobody is asked again.
    stand.feed(&peer("BYE", 3, &tag, "", ""));
    assert_eq!(stand.sent_kinds(), ["200"]);
    let stats = stand.endpoint.stats();
    assert_eq!((stats.challenged, stats.auth_failures), (1, 0));
}

#[test]
fn a_wrong_password_is_challenged_again_until_the_budget_is_spent() {
    let mut stand = Stand::with(with_user(&[]));
    let mut answers = 0;
    stand.feed(&invite(1, "", OFFER));
    let mut asked = stand.one_response();
    for cseq in 2..60 {
        stand.feed(&text(&proven(&asked, "guess", cseq)));
        let Some(Message::Response(response)) = stand.sent().pop() else { continue };
        let stale = response.headers.challenges(Name::WwwAuthenticate).iter().any(|challenge| challenge.stale);
        assert_eq!((response.status.code(), stale), (401, false));
        (asked, answers) = (response, answers + 1);
    }
    let stats = stand.endpoint.stats();
    assert_eq!((answers, stats.challenged, stats.auth_failures), (19, 20, 19), "20 at once, one was the first");
    assert_eq!(stats.rate_limited, 39);
    assert_eq!(stand.events(), []);
}

/// RFC 7616 §3.3: a nonce that has aged, or was heard by another, is answered with a new one at once.
#[test]
fn an_old_or_overheard_proof_is_stale() {
    let mut stand = Stand::with(with_user(&[]));
    stand.feed(&invite(1, "", OFFER));
    let asked = stand.one_response();
    stand.feed(&text(&proven(&asked, "s3cret", 2)));
    assert_eq!(stand.sent_kinds(), ["100"]);
    let is_stale = |response: &Response| {
        let challenges = response.headers.challenges(Name::WwwAuthenticate);
        response.status.code() == 401 && challenges.iter().all(|challenge| challenge.stale)
    };
    let overheard = text(&proven(&asked, "s3cret", 2)).replace("call-1", "call-2").replace("z9hG4bK", "z9hG4bKevil");
    stand.from("203.0.113.5:5060", &overheard);
    assert!(is_stale(&stand.one_response()));
    stand.pass(Duration::from_secs(61));
    stand.feed(&text(&proven(&asked, "s3cret", 3)).replace("call-1", "call-3"));
    let fresh = stand.one_response();
    assert!(is_stale(&fresh));
    stand.feed(&text(&proven(&fresh, "s3cret", 4)).replace("call-1", "call-3"));
    assert_eq!(stand.sent_kinds(), ["100"]);
}

/// A gateway's ping brings no proof and needs none from where the user is expected; his calls do.
#[test]
fn a_user_with_networks_is_pinged_freely_and_must_call_from_there() {
    let mut stand = Stand::with(with_user(&["192.0.2.0/24"]));
    for (method, status) in [("OPTIONS", "200"), ("INVITE", "401"), ("CANCEL", "481"), ("BYE", "481")] {
        stand.feed(&peer(method, 1, "", "", ""));
        assert_eq!(stand.sent_kinds(), [status], "{method}");
    }
    for method in ["OPTIONS", "INVITE", "CANCEL", "BYE"] {
        stand.from("203.0.113.5:5060", &peer(method, 2, "", "", ""));
        assert_eq!(stand.sent_kinds(), Vec::<String>::new(), "{method}");
    }
    // A user who may come from anywhere is challenged for all but CANCEL, which cannot be repeated (§22.1).
    let mut stand = Stand::with(with_user(&[]));
    for (method, statuses) in [("OPTIONS", vec!["401"]), ("REGISTER", vec!["401"]), ("CANCEL", vec![])] {
        stand.feed(&peer(method, 1, "", "", ""));
        assert_eq!(stand.sent_kinds(), statuses, "{method}");
    }
}

#[test]
fn too_many_calls_a_second_are_put_off() {
    let rate = Some(Rate { per_second: 1, burst: 2 });
    for policy in [Policy { peer_rate: rate, ..open() }, Policy { call_rate: rate, ..open() }] {
        let by_peer = policy.peer_rate.is_some();
        let mut stand = Stand::with(policy);
        let call = |number: u32| invite(number, "", OFFER).replace("call-1", &format!("call-{number}"));
        stand.feed(&call(1));
        stand.feed(&call(2));
        assert_eq!(stand.sent_kinds(), ["100", "100"]);
        stand.feed(&call(3));
        let response = stand.one_response();
        assert_eq!((response.status.code(), response.headers.retry_after()), (503, Some(10)));
        assert_eq!((stand.endpoint.stats().overloaded, stand.endpoint.stats().legs), (1, 2));
        stand.feed(&peer("OPTIONS", 4, "", "", ""));
        assert_eq!(stand.sent_kinds(), ["200"], "a ping is no call");
        stand.from("192.0.2.11:5060", &call(5));
        assert_eq!(stand.sent_kinds(), [if by_peer { "100" } else { "503" }]);
    }
}

#[test]
fn calls_that_are_up_have_room_when_new_ones_have_not() {
    let mut stand = Stand::with(open());
    let (_, tag) = stand.established();
    for cseq in 2..900 {
        stand.feed(&peer("INFO", cseq, &tag, "", ""));
    }
    assert!(stand.sent().iter().all(|message| kind(message) == "200"));
    stand.feed(&invite(1, "", OFFER).replace("call-1", "call-2").replace("z9hG4bK", "z9hG4bKnew"));
    assert_eq!(stand.sent_kinds(), ["503"]);
    stand.feed(&peer("BYE", 900, &tag, "", ""));
    assert_eq!(stand.sent_kinds(), ["200"]);
}

#[test]
fn a_listener_has_a_policy_of_its_own_and_both_may_change() {
    let forbid = Policy { strangers: Strangers::Forbid, ..closed() };
    let mut stand = Stand::with(Policy { listeners: [(TCP, forbid)].into(), ..closed() });
    let ask = |stand: &mut Stand, cseq| {
        stand.endpoint.handle_stream_opened(stand.connection());
        let options = peer("OPTIONS", cseq, "", "", "");
        stand.feed(&options);
        stand.endpoint.handle_stream(stand.connection(), options.replace("/UDP", "/TCP").as_bytes(), stand.now);
        stand.sent_kinds()
    };
    assert_eq!(ask(&mut stand, 1), ["403"], "nothing over UDP, 403 over TCP");
    stand.endpoint.set_policy(open());
    assert_eq!(ask(&mut stand, 2), ["200", "200"]);
    stand.endpoint.set_policy(closed());
    assert!(ask(&mut stand, 3).is_empty());
}

#[test]
fn rfc8898_a_pass_lets_one_call_in_from_its_address_in_its_time_and_nothing_else() {
    let (mut stand, stranger) = (Stand::with(closed()), "203.0.113.5:5060");
    let pass = |stand: &Stand, user: &str| Pass {
        user: user.into(),
        secret: format!("of{user}"),
        source: stand.remote.ip(),
        until: stand.now + Duration::from_secs(30),
    };
    let with = |method: &str, cseq: u32, secret: &str| {
        let header = format!("Authorization: Bearer {secret}\r\n");
        peer(method, cseq, "", &header, OFFER).replace("call-1", &format!("call-{cseq}"))
    };
    stand.endpoint.let_pass(pass(&stand, "a"));
    stand.endpoint.let_pass(pass(&stand, "b"));
    stand.feed(&with("OPTIONS", 1, "ofa"));
    stand.feed(&with("INVITE", 2, "of"));
    stand.feed(&with("INVITE", 3, "wrong"));
    stand.from(stranger, &with("INVITE", 4, "ofa"));
    assert_eq!(stand.sent_kinds(), Vec::<String>::new());
    stand.feed(&with("INVITE", 5, "ofa"));
    stand.feed(&with("INVITE", 6, "ofa"));
    assert_eq!(stand.sent_kinds(), ["100"], "it is good once");
    let users = |events: Vec<Event>| -> Vec<Option<String>> {
        let user = |event| if let Event::Incoming { invite, .. } = event { Some(invite.user) } else { None };
        events.into_iter().filter_map(user).collect()
    };
    assert_eq!(users(stand.events()), [Some("a".to_owned())]);
    stand.pass(Duration::from_secs(31));
    stand.transmits();
    stand.feed(&with("INVITE", 7, "ofb"));
    assert_eq!(stand.sent_kinds(), Vec::<String>::new(), "its time is over");
    let shown = format!("{:?}", pass(&stand, "a"));
    assert!(!shown.contains("ofa"), "{shown}");
}

#[test]
fn a_call_with_a_pass_counts_among_the_calls_of_its_rates() {
    let mut stand = Stand::with(Policy { call_rate: Some(Rate { per_second: 1, burst: 1 }), ..open() });
    let (source, until) = (stand.remote.ip(), stand.now + Duration::from_secs(30));
    stand.feed(&invite(1, "", OFFER));
    stand.endpoint.let_pass(Pass { user: "a".into(), secret: "s".into(), source, until });
    stand.feed(&invite(2, "Authorization: Bearer s\r\n", OFFER).replace("call-1", "call-2"));
    assert_eq!(stand.sent_kinds(), ["100", "503"]);
}
