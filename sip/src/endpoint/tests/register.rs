//! Registrations: RFC 3261 §10.2 and §22, and FreeSWITCH's ways with both.
use super::*;
use crate::{leg::RegistrationState as State, locate::Target, message::Name, uri::Uri};

const ID: RegistrationId = RegistrationId(1);
const CHALLENGE: &str = "WWW-Authenticate: Digest realm=\"test.local\", nonce=\"n1\", algorithm=MD5, qop=\"auth\"\r\n";

pub(super) fn target(transport: Transport, remote: &str) -> Target {
    Target { transport, remote: remote.parse().unwrap(), name: "test.local".into() }
}

pub(super) fn registration() -> Registration {
    Registration {
        targets: vec![target(Transport::Udp, REMOTE)],
        proxy: None,
        domain: "test.local".into(),
        user: "2000".into(),
        auth_user: "2000".into(),
        password: "secret".into(),
        contact_user: "ramal".into(),
        expires: Duration::from_secs(120),
        ping: None,
    }
}

fn granted(seconds: u32) -> String {
    format!("Contact: <sip:ramal@198.51.100.1:5060>;expires={seconds}\r\n")
}

fn state(event: Event) -> State {
    match event {
        Event::Registration { id: ID, state } => state,
        other => panic!("a registration, not {other:?}"),
    }
}

impl Stand {
    fn registering(&mut self) -> Request {
        self.endpoint.register(ID, registration(), self.now);
        self.one_request()
    }

    fn states(&mut self) -> Vec<State> {
        self.events().into_iter().map(state).collect()
    }

    /// Lets time pass until a request goes out.
    fn next_request(&mut self) -> (Duration, Request) {
        let before = self.now;
        loop {
            let (at, _) = self.endpoint.poll_timeout().expect("something is due");
            self.now = self.now.max(at);
            self.endpoint.handle_timeout(self.now);
            if let Some(Message::Request(request)) = self.sent().pop() {
                return (self.now - before, request);
            }
        }
    }

    fn registered(&mut self) -> Request {
        let first = self.registering();
        self.feed(&answer(&first, 401, "x", CHALLENGE, ""));
        let second = self.one_request();
        self.feed(&answer(&second, 200, "x", &granted(120), ""));
        assert_eq!(self.states(), [State::Trying, State::Registered { expires: Duration::from_secs(120) }]);
        second
    }
}

#[test]
fn challenged_registered_refreshed_and_removed() {
    let mut stand = Stand::new();
    let first = stand.registering();
    assert_eq!(first.uri.as_str(), "sip:test.local");
    assert_eq!(first.headers.first(Name::To), Some("<sip:2000@test.local>"));
    assert_eq!(first.headers.contact().unwrap().uri.as_str(), "sip:ramal@198.51.100.1:5060");
    assert_eq!((first.headers.expires(), first.headers.first(Name::Authorization)), (Some(120), None));
    stand.feed(&answer(&first, 401, "x", CHALLENGE, ""));
    let second = stand.one_request();
    let proof = second.headers.first(Name::Authorization).unwrap();
    assert!(proof.contains("nc=00000001") && proof.contains("uri=\"sip:test.local\""), "{proof}");
    assert_eq!(second.headers.call_id(), first.headers.call_id());
    assert_eq!(second.headers.cseq().unwrap().number, first.headers.cseq().unwrap().number + 1);
    stand.feed(&answer(&second, 200, "x", &granted(100), ""));
    assert_eq!(stand.states(), [State::Trying, State::Registered { expires: Duration::from_secs(100) }]);
    let (waited, refresh) = stand.next_request();
    assert!((50..=75).contains(&waited.as_secs()), "{waited:?}");
    let proof = refresh.headers.first(Name::Authorization).unwrap();
    assert!(proof.contains("nc=00000002"), "the nonce is used again: {proof}");
    assert_eq!(refresh.headers.call_id(), first.headers.call_id());
    stand.feed(&answer(&refresh, 200, "x", &granted(100), ""));
    assert_eq!(stand.states(), []);
    stand.endpoint.unregister(ID, stand.now);
    let last = stand.one_request();
    assert_eq!(last.headers.expires(), Some(0));
    assert!(!stand.endpoint.is_idle());
    stand.feed(&answer(&last, 200, "x", "", ""));
    assert_eq!((stand.states(), stand.endpoint.is_idle()), (vec![State::Removed], true));
}

#[test]
fn an_aged_nonce_is_replaced_at_once() {
    let mut stand = Stand::new();
    stand.registered();
    let (_, refresh) = stand.next_request();
    let stale = CHALLENGE.replace("n1", "n2").replace("\", algorithm", "\", stale=true, algorithm");
    stand.feed(&answer(&refresh, 401, "x", &stale, ""));
    let again = stand.one_request();
    let proof = again.headers.first(Name::Authorization).unwrap();
    assert!(proof.contains("nonce=\"n2\"") && proof.contains("nc=00000001"), "{proof}");
    // A registrar that forgot the nonce without saying stale is answered too: it was an old one.
    let mut stand = Stand::new();
    stand.registered();
    let (_, refresh) = stand.next_request();
    stand.feed(&answer(&refresh, 401, "x", &CHALLENGE.replace("n1", "n3"), ""));
    assert!(stand.one_request().headers.first(Name::Authorization).unwrap().contains("n3"));
}

#[test]
fn refusals_that_time_will_not_cure_wait_half_an_hour() {
    let retry_in = Duration::from_secs(1800);
    for status in [403, 404] {
        let mut stand = Stand::new();
        let first = stand.registering();
        stand.feed(&answer(&first, status, "x", "", ""));
        assert_eq!(stand.states(), [State::Trying, State::Failed { status, retry_in }]);
        let (waited, _) = stand.next_request();
        assert_eq!(waited, retry_in);
        assert_eq!(stand.states(), [State::Trying]);
    }
    // The password is wrong: a fresh nonce was refused.
    let mut stand = Stand::new();
    let first = stand.registering();
    stand.feed(&answer(&first, 401, "x", CHALLENGE, ""));
    let second = stand.one_request();
    stand.feed(&answer(&second, 401, "x", &CHALLENGE.replace("n1", "n2"), ""));
    assert_eq!(stand.states(), [State::Trying, State::Failed { status: 401, retry_in }]);
    assert_eq!(stand.sent_kinds(), Vec::<String>::new());
    // Only algorithms we do not have.
    let mut stand = Stand::new();
    let first = stand.registering();
    stand.feed(&answer(&first, 401, "x", &CHALLENGE.replace("MD5", "SHA3-256"), ""));
    assert_eq!(stand.states(), [State::Trying, State::Failed { status: 401, retry_in }]);
}

#[test]
fn the_first_supported_challenge_is_answered_with_its_own_nonce() {
    let mut stand = Stand::new();
    let first = stand.registering();
    let other = |algorithm: &str, nonce: &str| CHALLENGE.replace("MD5", algorithm).replace("n1", nonce);
    let all = [other("SHA3-256", "sha3"), other("SHA-256", "sha2"), CHALLENGE.into()].concat();
    stand.feed(&answer(&first, 401, "x", &all, ""));
    let proof = stand.one_request().headers.first(Name::Authorization).unwrap().to_owned();
    assert!(proof.contains("nonce=\"sha2\"") && proof.contains("algorithm=SHA-256"), "{proof}");
}

#[test]
fn other_failures_back_off_from_two_seconds_to_five_minutes() {
    let mut stand = Stand::new();
    let mut request = stand.registering();
    let mut waits = Vec::new();
    for _ in 0..10 {
        stand.feed(&answer(&request, 500, "x", "", ""));
        let (waited, next) = stand.next_request();
        waits.push(waited.as_millis());
        request = next;
    }
    for (attempt, wait) in waits.iter().enumerate() {
        let base = (2000_u128 << attempt).min(300_000);
        assert!((base..=(base * 5 / 4).min(300_000)).contains(wait), "{attempt}: {wait}");
    }
    stand.feed(&answer(&request, 503, "x", "Retry-After: 900\r\n", ""));
    assert_eq!(stand.next_request().0, Duration::from_secs(900));
}

#[test]
fn silence_and_unreachable_registrars_are_told_apart() {
    let mut stand = Stand::new();
    stand.registering();
    stand.pass(Duration::from_secs(32));
    let [State::Trying, State::Failed { status: 408, .. }] = stand.states()[..] else { panic!("a timeout") };
    stand.next_request();
    stand
        .endpoint
        .handle_unreachable(Hop { listener: UDP, transport: Transport::Udp, remote: stand.remote }, stand.now);
    let [State::Trying, State::Failed { status: 503, .. }] = stand.states()[..] else { panic!("unreachable") };
    // It comes back.
    let (_, request) = stand.next_request();
    stand.feed(&answer(&request, 200, "x", &granted(60), ""));
    assert_eq!(stand.states(), [State::Trying, State::Registered { expires: Duration::from_secs(60) }]);
}

#[test]
fn a_registrar_may_want_longer_bindings() {
    let mut stand = Stand::new();
    let first = stand.registering();
    stand.feed(&answer(&first, 423, "x", "Min-Expires: 600\r\n", ""));
    let second = stand.one_request();
    assert_eq!(second.headers.expires(), Some(600));
    stand.feed(&answer(&second, 200, "x", "Expires: 600\r\n", ""));
    assert_eq!(stand.states(), [State::Trying, State::Registered { expires: Duration::from_secs(600) }]);
    // One that only says 423 is not asked for ever.
    let mut stand = Stand::new();
    let first = stand.registering();
    stand.feed(&answer(&first, 423, "x", "", ""));
    let [State::Trying, State::Failed { status: 423, .. }] = stand.states()[..] else { panic!("a failure") };
}

#[test]
fn unregister_in_every_state() {
    // Never bound: nothing to say to the registrar.
    let mut stand = Stand::new();
    let first = stand.registering();
    stand.feed(&answer(&first, 403, "x", "", ""));
    stand.endpoint.unregister(ID, stand.now);
    assert_eq!((stand.sent_kinds(), stand.states().pop()), (vec![], Some(State::Removed)));
    // While a REGISTER is under way: it is waited for, then undone.
    let mut stand = Stand::new();
    let first = stand.registering();
    stand.endpoint.unregister(ID, stand.now);
    assert_eq!(stand.sent_kinds(), Vec::<String>::new());
    stand.feed(&answer(&first, 200, "x", &granted(120), ""));
    let undo = stand.one_request();
    assert_eq!(undo.headers.expires(), Some(0));
    let challenge = CHALLENGE.replace("n1", "n9");
    stand.feed(&answer(&undo, 401, "x", &challenge, ""));
    let undo = stand.one_request();
    assert_eq!(undo.headers.expires(), Some(0));
    // And silence does not keep a process from its end.
    stand.pass(Duration::from_secs(32));
    assert_eq!((stand.states().pop(), stand.endpoint.is_idle()), (Some(State::Removed), true));
    stand.endpoint.unregister(ID, stand.now);
    assert_eq!(stand.events(), []);
}

/// Registers for an hour over a connection of ours.
fn register_over_tcp(stand: &mut Stand) {
    let registration = Registration { targets: vec![target(Transport::Tcp, REMOTE)], ..registration() };
    stand.endpoint.register(ID, registration, stand.now);
    let request = stand.one_request();
    assert_eq!(request.headers.contact().unwrap().uri.as_str(), "sip:ramal@198.51.100.1:5060;transport=tcp");
    let contact = "Contact: <sip:ramal@198.51.100.1:5060;transport=tcp>;expires=3600\r\n";
    stand.endpoint.handle_stream_opened(stand.connection());
    stand.endpoint.handle_stream(stand.connection(), answer(&request, 200, "x", contact, "").as_bytes(), stand.now);
    assert_eq!(stand.states().pop(), Some(State::Registered { expires: Duration::from_secs(3600) }));
}

#[test]
fn a_lost_connection_is_registered_again() {
    let mut stand = Stand::new();
    register_over_tcp(&mut stand);
    stand.endpoint.handle_stream_closed(stand.connection(), stand.now);
    let (waited, again) = stand.next_request();
    assert!(waited <= Duration::from_millis(2500) && again.method.as_str() == "REGISTER", "{waited:?}");
}

/// A response that FreeSWITCH sent to the lab's REGISTER, as if to `request`: transaction and dialog names are ours, the
/// rest is as recorded.
fn recorded(fixture: &[u8], request: &Request) -> String {
    let Ok(Message::Response(mut response)) = Message::parse(fixture) else { panic!("a recorded response") };
    for name in [Name::Via, Name::From, Name::CallId, Name::CSeq] {
        response.headers.set(name, request.headers.first(name).unwrap());
    }
    if let Some(granted) = response.headers.first(Name::Contact) {
        let expires = granted.split_once('>').unwrap().1.to_owned();
        let ours = request.headers.contact().unwrap().uri.as_str().to_owned();
        response.headers.set(Name::Contact, format!("<{ours}>{expires}"));
    }
    String::from_utf8(Message::Response(response).to_bytes()).unwrap()
}

#[test]
fn freeswitch_challenges_and_grants_as_recorded() {
    let md5 = include_bytes!("../../message/fixtures/register_401.sip").as_slice();
    // With RFC 8760 on: SHA-256 first, and a nonce for each; ours must be that of the one we answer.
    let sha256 = include_bytes!("../../message/fixtures/register_401_rfc8760.sip").as_slice();
    for (challenge, nonce, algorithm) in [
        (md5, "f8dab05f-66b6-49b7-bbe9-3445a8a926ff", "algorithm=MD5"),
        (sha256, "c73dfe2d-a7d7-4cec-b6ab-1e29cbaea058", "algorithm=SHA-256"),
    ] {
        let mut stand = Stand::new();
        let first = stand.registering();
        stand.feed(&recorded(challenge, &first));
        let second = stand.one_request();
        let proof = second.headers.first(Name::Authorization).unwrap();
        assert!(proof.contains(nonce) && proof.contains("qop=auth") && proof.contains(algorithm), "{proof}");
        stand.feed(&recorded(include_bytes!("../../message/fixtures/register_200.sip"), &second));
        assert_eq!(stand.states(), [State::Trying, State::Registered { expires: Duration::from_secs(120) }]);
    }
}

const SECOND: &str = "192.0.2.20:5080";
const THIRD: &str = "192.0.2.30:5080";

fn udp(remotes: &[&str]) -> Vec<Target> {
    remotes.iter().map(|remote| target(Transport::Udp, remote)).collect()
}

fn by_udp(remote: &str) -> Hop {
    Hop { listener: UDP, transport: Transport::Udp, remote: remote.parse().unwrap() }
}

impl Stand {
    fn register_with(&mut self, targets: Vec<Target>) {
        self.endpoint.register(ID, Registration { targets, ..registration() }, self.now);
    }

    /// The one request that was sent, and to whom.
    fn sent_to(&mut self) -> (String, Request) {
        let [transmit] = <[Transmit; 1]>::try_from(self.transmits()).unwrap();
        let Ok(Message::Request(request)) = Message::parse(&transmit.bytes) else { panic!("a request") };
        (transmit.hop.remote.to_string(), request)
    }

    /// Lets time pass until something is sent.
    fn next_sent(&mut self) -> (String, Request) {
        loop {
            let (at, _) = self.endpoint.poll_timeout().expect("something is due");
            self.now = self.now.max(at);
            self.endpoint.handle_timeout(self.now);
            let transmits = self.transmits();
            if let Some(Ok(Message::Request(request))) = transmits.last().map(|last| Message::parse(&last.bytes)) {
                return (transmits[0].hop.remote.to_string(), request);
            }
        }
    }

    /// Registered with the second of two, since the first is unreachable.
    fn registered_with_the_second(&mut self) {
        self.register_with(udp(&[REMOTE, SECOND]));
        self.sent_to();
        self.endpoint.handle_unreachable(by_udp(REMOTE), self.now);
        let (to, request) = self.sent_to();
        assert_eq!(to, SECOND);
        self.feed(&answer(&request, 200, "x", &granted(120), ""));
        assert_eq!(self.states(), [State::Trying, State::Registered { expires: Duration::from_secs(120) }]);
    }
}

/// RFC 3263 §4.3: "a 503 error response or a transport failure of some sort", or a timeout, leads to the next at once.
#[test]
fn a_registrar_that_fails_is_followed_by_the_next() {
    let failures: [fn(&mut Stand, &Request); 3] = [
        |stand, request| stand.feed(&answer(request, 503, "x", "", "")),
        |stand, _| stand.endpoint.handle_unreachable(by_udp(REMOTE), stand.now),
        |stand, _| {
            // The last of the retransmissions is at 3.5 s. Timer F would be at 32 s.
            stand.pass(Duration::from_millis(4_999));
            let (at, why) = stand.endpoint.poll_timeout().unwrap();
            assert_eq!((at - stand.start, why), (Duration::from_secs(5), "first response"));
            stand.now = at;
            stand.endpoint.handle_timeout(at);
        },
    ];
    for fail in failures {
        let mut stand = Stand::new();
        stand.register_with(udp(&[REMOTE, SECOND]));
        let (to, first) = stand.sent_to();
        assert_eq!(to, REMOTE);
        fail(&mut stand, &first);
        let (to, second) = stand.sent_to();
        assert_eq!(to, SECOND);
        assert_ne!(second.headers.via().unwrap().branch(), first.headers.via().unwrap().branch());
        assert_eq!(second.headers.call_id(), first.headers.call_id());
        assert_eq!(stand.endpoint.way(ID).unwrap().target.remote.to_string(), SECOND);
        // What it asks is answered where it was asked.
        stand.feed(&answer(&second, 401, "x", CHALLENGE, ""));
        let (to, proved) = stand.sent_to();
        assert_eq!(to, SECOND);
        stand.feed(&answer(&proved, 200, "x", &granted(120), ""));
        let registered = State::Registered { expires: Duration::from_secs(120) };
        assert!(stand.states().ends_with(&[registered]), "the owner hears of no failure");
    }
}

#[test]
fn only_when_all_have_failed_is_it_told_and_waited() {
    let mut stand = Stand::new();
    stand.register_with(udp(&[REMOTE, SECOND]));
    stand.sent_to();
    stand.endpoint.handle_unreachable(by_udp(REMOTE), stand.now);
    stand.sent_to();
    stand.endpoint.handle_unreachable(by_udp(SECOND), stand.now);
    let states = stand.states();
    let Some(State::Failed { status: 503, retry_in }) = states.last() else { panic!("a failure, not {states:?}") };
    let (before, (to, _)) = (stand.now, stand.next_sent());
    assert_eq!((stand.now - before, to.as_str()), (*retry_in, REMOTE), "the one whose failure is the longest ago");
}

#[test]
fn the_first_registrar_is_tried_again_after_some_time() {
    let mut stand = Stand::new();
    stand.registered_with_the_second();
    let start = stand.now;
    let mut seen = Vec::new();
    loop {
        let (to, refresh) = stand.next_sent();
        stand.feed(&answer(&refresh, 200, "x", &granted(120), ""));
        seen.push(to);
        if seen.last().is_some_and(|to| to == REMOTE) {
            break;
        }
    }
    assert!(seen.len() > 3 && seen.iter().rev().skip(1).all(|to| to == SECOND), "{seen:?}");
    let waited = stand.now - start;
    assert!((300..=390).contains(&waited.as_secs()), "{waited:?}");
}

/// RFC 3261 §21.5.4: no other request before Retry-After has passed.
#[test]
fn a_registrar_that_asks_for_peace_has_it() {
    let mut stand = Stand::new();
    stand.register_with(udp(&[REMOTE, SECOND]));
    let (_, first) = stand.sent_to();
    stand.feed(&answer(&first, 503, "x", "Retry-After: 900\r\n", ""));
    let start = stand.now;
    let mut next = stand.sent_to();
    while next.0 == SECOND {
        stand.feed(&answer(&next.1, 200, "x", &granted(120), ""));
        next = stand.next_sent();
    }
    assert!((900..=990).contains(&(stand.now - start).as_secs()), "{:?}", stand.now - start);
}

#[test]
fn other_refusals_are_the_word_of_the_registrar_not_of_one_address() {
    for status in [403, 500, 423] {
        let mut stand = Stand::new();
        stand.register_with(udp(&[REMOTE, SECOND]));
        let (_, first) = stand.sent_to();
        stand.feed(&answer(&first, status, "x", "", ""));
        let states = stand.states();
        assert!(matches!(states[..], [State::Trying, State::Failed { status: s, .. }] if s == status), "{states:?}");
    }
}

#[test]
fn new_targets_do_not_disturb_a_registration_that_is_among_them() {
    let mut stand = Stand::new();
    stand.registered();
    stand.endpoint.retarget(ID, udp(&[SECOND, REMOTE]), stand.now);
    stand.endpoint.retarget(ID, Vec::new(), stand.now);
    assert_eq!((stand.sent_kinds(), stand.states()), (vec![], vec![]));
    assert_eq!(stand.next_sent().0, SECOND, "the next refresh goes to the one that is preferred");
}

#[test]
fn a_registration_follows_its_registrar_to_another_address() {
    let mut stand = Stand::new();
    stand.registered();
    stand.endpoint.retarget(ID, udp(&[SECOND]), stand.now);
    assert_eq!(stand.sent_to().0, SECOND);
    // While a REGISTER is under way, it follows after the answer.
    let mut stand = Stand::new();
    let first = stand.registering();
    stand.endpoint.retarget(ID, udp(&[SECOND]), stand.now);
    assert_eq!(stand.sent_kinds(), Vec::<String>::new());
    stand.feed(&answer(&first, 200, "x", &granted(120), ""));
    assert_eq!(stand.sent_to().0, SECOND);
}

#[test]
fn a_registration_that_nobody_answered_tries_a_new_target_at_once() {
    let mut stand = Stand::new();
    stand.registering();
    stand.endpoint.handle_unreachable(by_udp(REMOTE), stand.now);
    assert!(matches!(stand.states()[..], [State::Trying, State::Failed { status: 503, .. }]));
    stand.endpoint.retarget(ID, udp(&[REMOTE]), stand.now);
    assert_eq!(stand.sent_kinds(), Vec::<String>::new(), "the same address is no news");
    stand.endpoint.retarget(ID, udp(&[REMOTE, THIRD]), stand.now);
    assert_eq!(stand.sent_to().0, THIRD);
    // One that was refused waits: another address of the same registrar would say the same.
    let mut stand = Stand::new();
    let first = stand.registering();
    stand.feed(&answer(&first, 403, "x", "", ""));
    stand.endpoint.retarget(ID, udp(&[REMOTE, SECOND]), stand.now);
    assert_eq!(stand.sent_kinds(), Vec::<String>::new());
}

#[test]
fn goodbye_is_said_where_the_binding_is() {
    let mut stand = Stand::new();
    stand.registered_with_the_second();
    stand.pass(Duration::from_secs(30));
    stand.endpoint.unregister(ID, stand.now);
    let (to, last) = stand.sent_to();
    assert_eq!((to.as_str(), last.headers.expires()), (SECOND, Some(0)));
    stand.endpoint.retarget(ID, udp(&[THIRD]), stand.now);
    stand.feed(&answer(&last, 200, "x", "", ""));
    assert_eq!((stand.states(), stand.sent_kinds()), (vec![State::Removed], vec![]));
}

#[test]
fn a_target_over_another_transport_gets_the_contact_of_that_transport() {
    let mut stand = Stand::new();
    let tcp = target(Transport::Tcp, SECOND);
    stand.register_with([udp(&[REMOTE]), vec![tcp]].concat());
    stand.sent_to();
    stand.endpoint.handle_unreachable(by_udp(REMOTE), stand.now);
    let (_, request) = stand.sent_to();
    assert_eq!(request.headers.via().unwrap().transport, "TCP");
    assert_eq!(request.headers.contact().unwrap().uri.param("transport"), Some("tcp"));
}

/// RFC 3261 §8.1.1.1 and §10.2: the Request-URI stays the domain, the Route names the proxy.
#[test]
fn an_outbound_proxy_is_the_route() {
    for (proxy, route) in [
        ("sip:proxy.example;transport=tcp", "<sip:proxy.example;transport=tcp;lr>"),
        ("sip:proxy.example;lr", "<sip:proxy.example;lr>"),
    ] {
        let mut stand = Stand::new();
        let proxy = Uri::parse(proxy).ok();
        stand.endpoint.register(ID, Registration { proxy, ..registration() }, stand.now);
        let request = stand.one_request();
        assert_eq!((request.uri.as_str(), request.headers.first(Name::Route)), ("sip:test.local", Some(route)));
        assert_eq!(stand.endpoint.way(ID).unwrap().route.as_deref(), Some(route));
    }
    let mut stand = Stand::new();
    assert_eq!(stand.registering().headers.first(Name::Route), None);
    assert_eq!(stand.endpoint.way(RegistrationId(99)), None);
}

#[test]
fn a_registration_without_targets_waits_for_some() {
    let mut stand = Stand::new();
    stand.register_with(Vec::new());
    assert!(matches!(stand.states()[..], [State::Trying, State::Failed { status: 503, .. }]));
    stand.endpoint.retarget(ID, udp(&[SECOND]), stand.now);
    assert_eq!(stand.sent_to().0, SECOND);
}

#[test]
fn how_a_registration_stands_can_be_asked() {
    let mut stand = Stand::new();
    assert_eq!(stand.endpoint.registrations(stand.now), []);
    stand.registering();
    let standing = |stand: &Stand| stand.endpoint.registrations(stand.now).pop().unwrap();
    assert_eq!((standing(&stand).state, standing(&stand).next_in), (State::Trying, None));
    let mut stand = Stand::new();
    stand.registered();
    let before = standing(&stand);
    assert_eq!((before.id, before.state), (ID, State::Registered { expires: Duration::from_secs(120) }));
    let wait = before.next_in.unwrap();
    assert!((Duration::from_secs(60)..=Duration::from_secs(90)).contains(&wait), "{wait:?}");
    stand.now += Duration::from_secs(10);
    assert_eq!(standing(&stand).next_in, Some(wait - Duration::from_secs(10)));
}

#[test]
fn the_stream_of_a_registration_is_kept_alive() {
    let mut stand = Stand::new();
    register_over_tcp(&mut stand);
    let pings = |stand: &mut Stand, seconds| {
        let end = stand.now + Duration::from_secs(seconds);
        let mut at = Vec::new();
        while let Some((due, _)) = stand.endpoint.poll_timeout().filter(|(due, _)| *due <= end) {
            stand.now = due;
            stand.endpoint.handle_timeout(due);
            let pings = stand.transmits().into_iter().filter(|transmit| transmit.bytes == b"\r\n\r\n");
            at.extend(pings.map(|ping| (ping.hop, due)));
        }
        stand.now = end;
        at
    };
    let start = stand.now;
    let sent = pings(&mut stand, 600);
    assert!((5..=6).contains(&sent.len()) && sent.iter().all(|(hop, _)| *hop == stand.connection()), "{sent:?}");
    let silences = sent.iter().scan(start, |last, (_, at)| Some(*at - std::mem::replace(last, *at)));
    let allowed = Duration::from_secs(96)..=Duration::from_secs(120);
    assert!(silences.clone().all(|silence| allowed.contains(&silence)), "{:?}", silences.collect::<Vec<_>>());
    stand.endpoint.handle_stream_closed(stand.connection(), stand.now);
    assert!(pings(&mut stand, 600).is_empty(), "a stream that is gone is not opened for it");
}

/// RFC 5626 §4.4.2 has the pause; over UDP a NAT would forget the way that calls come by.
#[test]
fn the_way_over_udp_is_kept_open_while_registered() {
    let mut stand = Stand::new();
    stand.register_with(udp(&[REMOTE]));
    let (_, request) = stand.sent_to();
    stand.feed(&answer(&request, 200, "x", &granted(600), ""));
    let mut at = stand.now;
    stand.pass(Duration::from_secs(6));
    for _ in 0..5 {
        let (due, why) = stand.endpoint.poll_timeout().unwrap();
        assert!((24_000..=29_000).contains(&(due - at).as_millis()), "{why}");
        stand.now = due;
        stand.endpoint.handle_timeout(due);
        let sent = stand.transmits();
        assert_eq!((sent.len(), &sent[0].bytes[..], sent[0].hop), (1, &b"\r\n\r\n"[..], by_udp(REMOTE)));
        at = due;
    }
    stand.endpoint.unregister(ID, stand.now);
    let (_, last) = stand.sent_to();
    stand.feed(&answer(&last, 200, "x", "", ""));
    stand.pass(Duration::from_secs(6));
    assert_eq!(stand.endpoint.poll_timeout(), None, "and no longer");
}

impl Stand {
    /// Registered for ten minutes with the first of these, which is pinged each minute.
    fn pinging(&mut self, targets: &[&str]) {
        let (targets, ping) = (udp(targets), Some(Duration::from_secs(60)));
        self.endpoint.register(ID, Registration { targets, ping, ..registration() }, self.now);
        let (_, request) = self.sent_to();
        self.feed(&answer(&request, 200, "x", &granted(600), ""));
        self.states();
    }
}

#[test]
fn a_registrar_that_is_pinged_may_answer_what_it_likes() {
    for status in [200, 401, 404, 405, 480, 503] {
        let mut stand = Stand::new();
        stand.pinging(&[REMOTE]);
        let (waited, first) = stand.next_request();
        assert!(waited <= Duration::from_secs(60), "{waited:?}");
        assert_eq!((first.method.as_str(), first.uri.as_str()), ("OPTIONS", "sip:test.local"));
        stand.feed(&answer(&first, status, "x", "", ""));
        let (waited, second) = stand.next_request();
        assert_eq!((waited, second.method.as_str()), (Duration::from_secs(60), "OPTIONS"), "{status}");
        assert_eq!(stand.states(), []);
    }
}

#[test]
fn a_registrar_that_answers_no_ping_is_down_and_another_is_registered_with() {
    let mut stand = Stand::new();
    stand.pinging(&[REMOTE, SECOND]);
    stand.next_request();
    let asked = stand.now;
    loop {
        let (to, request) = stand.next_sent();
        if request.method == crate::message::Method::Register {
            assert_eq!((to.as_str(), stand.now - asked), (SECOND, Duration::from_secs(5)));
            stand.feed(&answer(&request, 200, "x", &granted(600), ""));
            break;
        }
    }
    assert_eq!(stand.states(), [State::Trying, State::Registered { expires: Duration::from_secs(600) }]);
    let (_, ping) = stand.next_request();
    assert_eq!(ping.method.as_str(), "OPTIONS", "the other is pinged");
    // Who has no other is told to be down, and asked by REGISTER until it is there again.
    let mut stand = Stand::new();
    stand.pinging(&[REMOTE]);
    stand.next_request();
    stand.endpoint.handle_unreachable(by_udp(REMOTE), stand.now);
    let [State::Failed { status: 503, retry_in }] = stand.states()[..] else { panic!("down") };
    let (waited, request) = stand.next_request();
    assert_eq!((waited, request.method.as_str()), (retry_in, "REGISTER"));
    stand.feed(&answer(&request, 200, "x", &granted(600), ""));
    assert_eq!(stand.states(), [State::Trying, State::Registered { expires: Duration::from_secs(600) }]);
    assert_eq!(stand.next_request().1.method.as_str(), "OPTIONS");
}
