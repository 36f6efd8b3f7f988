//! Registrations: RFC 3261 §10.2 and §22, and FreeSWITCH's ways with both.
use super::*;
use crate::{leg::RegistrationState as State, message::Name};

const ID: RegistrationId = RegistrationId(1);
const CHALLENGE: &str = "WWW-Authenticate: Digest realm=\"test.local\", nonce=\"n1\", algorithm=MD5, qop=\"auth\"\r\n";

pub(super) fn registration() -> Registration {
    Registration {
        registrar: REMOTE.parse().unwrap(),
        transport: Transport::Udp,
        domain: "test.local".into(),
        user: "2000".into(),
        auth_user: "2000".into(),
        password: "secret".into(),
        contact_user: "ramal".into(),
        expires: Duration::from_secs(120),
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
    stand.feed(&answer(&first, 401, "x", &CHALLENGE.replace("MD5", "SHA-256"), ""));
    assert_eq!(stand.states(), [State::Trying, State::Failed { status: 401, retry_in }]);
}

#[test]
fn the_first_supported_challenge_is_answered_with_its_own_nonce() {
    let mut stand = Stand::new();
    let first = stand.registering();
    let both = format!("{}{CHALLENGE}", CHALLENGE.replace("MD5", "SHA-256").replace("n1", "sha"));
    stand.feed(&answer(&first, 401, "x", &both, ""));
    assert!(stand.one_request().headers.first(Name::Authorization).unwrap().contains("nonce=\"n1\""));
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

#[test]
fn a_lost_connection_is_registered_again() {
    let mut stand = Stand::new();
    stand.endpoint.register(ID, Registration { transport: Transport::Tcp, ..registration() }, stand.now);
    let request = stand.one_request();
    assert_eq!(request.headers.contact().unwrap().uri.as_str(), "sip:ramal@198.51.100.1:5060;transport=tcp");
    let contact = "Contact: <sip:ramal@198.51.100.1:5060;transport=tcp>;expires=3600\r\n";
    stand.endpoint.handle_stream_opened(stand.connection());
    stand.endpoint.handle_stream(stand.connection(), answer(&request, 200, "x", contact, "").as_bytes(), stand.now);
    assert_eq!(stand.states().pop(), Some(State::Registered { expires: Duration::from_secs(3600) }));
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
    for (challenge, nonce) in [
        (include_bytes!("../../message/fixtures/register_401.sip").as_slice(), "f8dab05f-66b6-49b7-bbe9-3445a8a926ff"),
        // With RFC 8760 on: SHA-256 first, and a nonce for each; ours must be that of the one we can do.
        (include_bytes!("../../message/fixtures/register_401_rfc8760.sip"), "461dc2b9-6578-4a73-a19a-615db94178ee"),
    ] {
        let mut stand = Stand::new();
        let first = stand.registering();
        stand.feed(&recorded(challenge, &first));
        let second = stand.one_request();
        let proof = second.headers.first(Name::Authorization).unwrap();
        assert!(proof.contains(nonce) && proof.contains("qop=auth") && proof.contains("algorithm=MD5"), "{proof}");
        stand.feed(&recorded(include_bytes!("../../message/fixtures/register_200.sip"), &second));
        assert_eq!(stand.states(), [State::Trying, State::Registered { expires: Duration::from_secs(120) }]);
    }
}
