//! The torture tests of RFC 4475 and RFC 5118, byte for byte: what the parser makes of each, and what the endpoint does.
use super::*;
use crate::{
    message::{CSeq, Method, Name, ParseErrorKind as Kind},
    uri::Scheme,
};
use std::net::Ipv6Addr;

/// What becomes of a message that comes as a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// A new call: 100, and the owner is told.
    Rings,
    /// One answer with this status, and nobody is told.
    Answered(u16),
    /// Nothing is sent, nobody is told.
    Dropped,
}
use Fate::{Answered, Dropped, Rings};

/// Section, name, bytes, what keeps it from being parsed, what becomes of it.
type Case = (&'static str, &'static str, &'static [u8], Option<Kind>, Fate);

macro_rules! torture {
    ($folder:literal $($section:literal $name:literal $fault:expr => $fate:expr,)*) => {
        &[$((
            concat!($folder, " ", $section),
            $name,
            include_bytes!(concat!("torture/", $folder, "/", $name, ".dat")),
            $fault,
            $fate,
        ),)*]
    };
}

/// RFC 4475. Where it leaves a choice, ours stands beside the line.
const RFC_4475: &[Case] = torture! { "rfc4475"
    "3.1.1.1" "wsinv" None => Answered(481), // its To has a tag of no dialog of ours
    "3.1.1.2" "intmeth" None => Answered(501),
    "3.1.1.3" "esc01" None => Rings,
    "3.1.1.4" "escnull" None => Answered(405), // we are no registrar
    "3.1.1.5" "esc02" None => Answered(501),
    "3.1.1.6" "lwsdisp" None => Answered(200),
    "3.1.1.7" "longreq" None => Rings,
    "3.1.1.8" "dblreq" None => Answered(405),
    "3.1.1.9" "semiuri" None => Answered(200),
    "3.1.1.10" "transports" None => Answered(200),
    "3.1.1.11" "mpart01" None => Answered(405), // we take no MESSAGE
    "3.1.1.12" "unreason" None => Dropped, // a response to nothing of ours
    "3.1.1.13" "noreason" None => Dropped,
    "3.1.2.1" "badinv01" Some(Kind::Malformed(Name::Via)) => Answered(400),
    "3.1.2.2" "clerr" Some(Kind::ShortBody { declared: 9999, got: 154 }) => Answered(400),
    "3.1.2.3" "ncl" Some(Kind::Malformed(Name::ContentLength)) => Answered(400),
    "3.1.2.4" "scalar02" Some(Kind::Malformed(Name::CSeq)) => Answered(400),
    "3.1.2.5" "scalarlg" Some(Kind::Malformed(Name::CSeq)) => Dropped,
    "3.1.2.6" "quotbal" Some(Kind::Malformed(Name::To)) => Answered(400),
    "3.1.2.7" "ltgtruri" Some(Kind::RequestUri) => Answered(400),
    "3.1.2.8" "lwsruri" Some(Kind::RequestUri) => Answered(400),
    "3.1.2.9" "lwsstart" Some(Kind::RequestUri) => Answered(400),
    "3.1.2.10" "trws" None => Answered(200), // space at the end of the start line is harmless
    "3.1.2.11" "escruri" None => Rings, // headers of a Request-URI are passed over
    "3.1.2.12" "baddate" None => Rings, // nobody asks for the date
    "3.1.2.13" "regbadct" None => Answered(405), // its Contact is none, see below
    "3.1.2.14" "badaspec" Some(Kind::Malformed(Name::To)) => Answered(400),
    "3.1.2.15" "baddn" None => Answered(200), // the display name can be told
    "3.1.2.16" "badvers" Some(Kind::Version) => Answered(505),
    "3.1.2.17" "mismatch01" Some(Kind::MethodMismatch) => Answered(400),
    "3.1.2.18" "mismatch02" Some(Kind::MethodMismatch) => Answered(501),
    "3.1.2.19" "bigcode" Some(Kind::StartLine) => Dropped,
    "3.2.1" "badbranch" None => Answered(200),
    "3.3.1" "insuf" Some(Kind::Missing(Name::From)) => Answered(400),
    "3.3.2" "unkscm" None => Answered(416),
    "3.3.3" "novelsc" None => Answered(416),
    "3.3.4" "unksm2" None => Answered(405),
    "3.3.5" "bext01" None => Answered(420),
    "3.3.6" "invut" None => Answered(415),
    "3.3.7" "regaut01" None => Answered(405),
    "3.3.8" "multi01" Some(Kind::Repeated(Name::From)) => Answered(400),
    "3.3.9" "mcl01" Some(Kind::Repeated(Name::ContentLength)) => Answered(400),
    "3.3.10" "bcast" None => Dropped, // it has another Via below the first
    "3.3.11" "zeromf" None => Answered(200), // only a proxy counts hops
    "3.3.12" "cparam01" None => Answered(405),
    "3.3.13" "cparam02" None => Answered(405),
    "3.3.14" "regescrt" None => Answered(405),
    "3.3.15" "sdp01" None => Answered(406),
    "3.3.16" "inv2543" None => Rings,
};

/// RFC 5118.
const RFC_5118: &[Case] = torture! { "rfc5118"
    "4.1" "ipv6-good" None => Answered(405),
    "4.2" "ipv6-bad" Some(Kind::RequestUri) => Answered(400),
    "4.3" "port-ambiguous" None => Answered(405),
    "4.4" "port-unambiguous" None => Answered(405),
    "4.5" "via-received-param-with-delim" None => Answered(481),
    "4.5" "via-received-param-no-delim" None => Answered(200),
    "4.6" "ipv6-in-sdp" None => Rings,
    "4.7" "mult-ip-in-header" None => Answered(481),
    "4.8" "mult-ip-in-sdp" None => Rings,
    "4.9" "ipv4-mapped-ipv6" None => Rings,
    "4.10" "ipv6-bug-abnf-3-colons" None => Answered(200),
    "4.10" "ipv6-correct-abnf-2-colons" None => Answered(200),
};

fn cases() -> impl Iterator<Item = &'static Case> {
    RFC_4475.iter().chain(RFC_5118)
}

fn bytes(name: &str) -> &'static [u8] {
    cases().find(|case| case.1 == name).unwrap_or_else(|| panic!("{name}")).2
}

fn request(name: &str) -> Request {
    match Message::parse(bytes(name)) {
        Ok(Message::Request(request)) => request,
        other => panic!("{name}: {other:?}"),
    }
}

fn response(name: &str) -> Response {
    match Message::parse(bytes(name)) {
        Ok(Message::Response(response)) => response,
        other => panic!("{name}: {other:?}"),
    }
}

/// The start line and headers of the one thing that was sent, which a parser may refuse if it answers what it refused.
fn answer_to(name: &str) -> String {
    let mut stand = Stand::new();
    stand.endpoint.handle_datagram(UDP, stand.remote, bytes(name), stand.now);
    let sent = stand.transmits();
    assert_eq!(sent.len(), 1, "{name}");
    String::from_utf8(sent[0].bytes.clone()).unwrap()
}

fn fate(bytes: &[u8]) -> Fate {
    let mut stand = Stand::new();
    stand.endpoint.handle_datagram(UDP, stand.remote, bytes, stand.now);
    let statuses: Vec<u16> = stand
        .transmits()
        .iter()
        .map(|transmit| String::from_utf8_lossy(&transmit.bytes).split(' ').nth(1).unwrap().parse().unwrap())
        .collect();
    match (&statuses[..], &stand.events()[..]) {
        ([100], [Event::Incoming { .. }]) => Rings,
        ([status], []) => Answered(*status),
        ([], []) => Dropped,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_message_is_taken_as_its_rfc_says() {
    let mut wrong = Vec::new();
    for (section, name, bytes, fault, expected) in cases() {
        let found = Message::parse(bytes).err().map(|error| error.kind);
        if found != *fault {
            wrong.push(format!("{section} {name}: parsed {found:?}, not {fault:?}"));
        }
        let found = fate(bytes);
        if found != *expected {
            wrong.push(format!("{section} {name}: {found:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_parses_survives_being_printed() {
    for (section, name, bytes, ..) in cases() {
        let Ok(message) = Message::parse(bytes) else { continue };
        assert_eq!(Message::parse(&message.to_bytes()).as_ref(), Ok(&message), "{section} {name}");
    }
}

/// §3.1.1.1: folding, compact names, white space wherever it may stand, unknown parameters, leading zeros.
#[test]
fn wsinv_is_read_to_the_last_space() {
    let invite = request("wsinv");
    let headers = &invite.headers;
    assert_eq!(invite.uri.param("unknownparam"), Some(""));
    assert_eq!((headers.to().unwrap().tag(), headers.first(Name::Subject)), (Some("1918181833n"), Some("")));
    let from = headers.from().unwrap();
    assert_eq!((from.display.as_str(), from.tag()), ("J Rosenberg \\\"", Some("98asjd8")));
    assert_eq!((headers.max_forwards(), headers.cseq()), (Some(68), Some(CSeq::new(9, Method::Invite))));
    let vias = headers.vias();
    let branches: Vec<_> = vias.iter().map(|via| (via.transport.as_str(), via.host.as_str(), via.branch())).collect();
    let expected = [
        ("UDP", "192.0.2.2", "390skdjuw"),
        ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
        ("UDP", "192.168.255.111", "z9hG4bK30239"),
    ];
    assert_eq!(branches, expected);
    let route = &headers.routes().unwrap()[0].uri;
    let unknown = ["lr", "unknownwith", "unknown-no-value"].map(|name| route.param(name));
    assert_eq!(unknown, [Some(""), Some("value"), Some("")]);
    let contact = headers.contact().unwrap();
    assert_eq!((contact.display.as_str(), contact.uri.as_str()), (r#"Quoted string """#, "sip:jdrosen@example.com"));
    let params: Vec<_> = contact.params.iter().collect();
    assert_eq!(params, [("newparam", Some("newvalue")), ("secondparam", None), ("q", Some("0.33"))]);
    assert_eq!(headers.named("NewFangledHeader").collect::<Vec<_>>(), ["newfangled value continued newfangled value"]);
    assert_eq!(headers.named("UnknownHeaderWithUnusualValue").collect::<Vec<_>>(), [";;,,;;,;"]);
    assert_eq!((invite.body.len(), invite.body.ends_with(b"a=rtpmap:31 LPC\r\n")), (150, true));
}

/// §3.1.1.2: every character that a method, a user, a token, a word and an unknown header may hold.
#[test]
fn intmeth_keeps_its_characters() {
    let odd = request("intmeth");
    let method = "!interesting-Method0123456789_*+`.%indeed'~";
    assert_eq!((odd.method.as_str(), odd.headers.cseq().unwrap().method.as_str()), (method, method));
    assert_eq!(odd.uri.user(), Some("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"));
    assert_eq!(odd.uri.host(), "example.com");
    let via = odd.headers.via().unwrap();
    assert_eq!(via.branch(), "z9hG4bK-.!%66*_+`'~");
    let from = odd.headers.from().unwrap();
    assert_eq!(from.display, "token1~` token2'+_ token3*%!.-");
    assert_eq!(from.params.unquoted("fromParam''~+*_!.-%").as_deref(), Some("работающий"));
    assert_eq!(from.tag(), Some("_token~1'+`*%!-."));
    assert_eq!(odd.headers.call_id(), Some("intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"));
    assert_eq!(odd.headers.max_forwards(), Some(255));
    assert_eq!(odd.headers.named("extensionHeader-!.%*+_`'~").next(), Some("\u{feff}大停電"));
    assert!(answer_to("intmeth").contains("\r\nAllow: INVITE, ACK, BYE"));
}

/// §3.1.1.3–5: `%` escapes in URIs, NUL among them; none in methods, header names and quoted strings.
#[test]
fn escapes_are_resolved_in_uris_only() {
    let invite = request("esc01");
    assert_eq!((invite.uri.user_unescaped().as_str(), invite.uri.host()), ("sips:user@example.com", "example.net"));
    assert_eq!(invite.headers.to().unwrap().uri.user_unescaped(), "user");
    assert_eq!(invite.headers.from().unwrap().uri.user_unescaped(), "I have spaces");
    assert_eq!(
        invite.headers.contact().unwrap().uri.as_str(),
        "sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31"
    );
    let null = request("escnull");
    assert_eq!(null.headers.to().unwrap().uri.user_unescaped(), "null-\0-null");
    let users: Vec<_> = null.headers.contacts().iter().map(|contact| contact.uri.user_unescaped()).collect();
    assert_eq!(users, ["\0", "\0\0"]);
    let esc02 = request("esc02");
    assert_eq!(esc02.method, Method::Other("RE%47IST%45R".into()));
    assert_eq!(esc02.headers.to().unwrap().display, "%Z%45");
    assert_eq!((esc02.headers.contacts().len(), esc02.headers.named("C%6Fntact").count()), (2, 1));
    assert_eq!(esc02.headers.via().unwrap().branch(), "z9hG4bK209%fzsnel234");
}

/// §3.1.1.6–10 and §3.3.12–14.
#[test]
fn addresses_are_cut_where_they_end() {
    let from = request("lwsdisp").headers.from().unwrap();
    assert_eq!((from.display.as_str(), from.uri.as_str()), ("caller", "sip:caller@example.com"));
    let long = request("longreq").headers;
    assert_eq!((long.vias().len(), long.via().unwrap().host.as_str()), (34, "sip33.example.com"));
    assert_eq!(long.vias()[33].received(), "192.0.2.5".parse().ok());
    assert!(long.from().unwrap().tag().unwrap().len() > 100 && long.to().unwrap().display.len() > 100);
    let semicolon = request("semiuri").uri;
    assert_eq!(semicolon.user_unescaped(), "user;par=u@example.net");
    assert_eq!((semicolon.host(), semicolon.params().count()), ("example.com", 0));
    let transports: Vec<_> = request("transports").headers.vias().into_iter().map(|via| via.transport).collect();
    assert_eq!(transports, ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]);
    let of_header = request("cparam01").headers.contact().unwrap();
    assert_eq!((of_header.params.value("unknownparam"), of_header.uri.param("unknownparam")), (Some(""), None));
    let of_uri = request("cparam02").headers.contact().unwrap();
    assert_eq!((of_uri.params.value("unknownparam"), of_uri.uri.param("unknownparam")), (None, Some("")));
    let escaped = request("regescrt").headers.contact().unwrap().uri;
    assert_eq!(escaped.header("Route").as_deref(), Some("<sip:sip.example.com>"));
}

/// §3.1.1.8: what follows in the datagram is no part of it; on a stream it is the next message.
#[test]
fn dblreq_is_one_request_in_a_datagram_and_two_on_a_stream() {
    let register = request("dblreq");
    assert_eq!((register.method, register.body.len()), (Method::Register, 0));
    let mut stand = Stand::new();
    stand.endpoint.handle_stream_opened(stand.connection());
    stand.endpoint.handle_stream(stand.connection(), bytes("dblreq"), stand.now);
    assert_eq!(stand.sent_kinds(), ["405", "400"], "the INVITE has no Contact");
}

/// §3.1.1.11: a multipart body with a binary part.
#[test]
fn mpart01_keeps_every_octet_of_its_body() {
    let message = request("mpart01");
    let body = bytes("mpart01").split_at(bytes("mpart01").len() - 553).1;
    assert_eq!((&message.body[..], message.headers.content_type().as_deref()), (body, Some("multipart/mixed")));
    assert!(body.contains(&0) && std::str::from_utf8(body).is_err());
    assert!(message.headers.first(Name::Identity).is_some_and(|identity| identity.starts_with("r5mwreLuyDRYBi/0")));
}

/// §3.1.1.12 and 13: a phrase in UTF-8, and none.
#[test]
fn reason_phrases_are_kept() {
    let unreason = response("unreason");
    assert_eq!((unreason.status.code(), unreason.body.len()), (200, 154));
    assert_eq!(unreason.reason, "= 2**3 * 5**2 но сто девяносто девять - простое");
    let noreason = response("noreason");
    assert_eq!((noreason.status.code(), noreason.reason.as_str()), (100, ""));
}

/// §3.1.2: the phrase of a 400 says what is wrong (RFC 3261 §21.4.1), and the answer repeats what it can.
#[test]
fn broken_requests_are_told_what_is_wrong() {
    let table = [
        ("badinv01", "SIP/2.0 400 Via is malformed\r\nVia: SIP/2.0/UDP 192.0.2.15;received=192.0.2.10\r\n"),
        ("clerr", "SIP/2.0 400 body of 154 bytes, Content-Length 9999\r\n"),
        ("ncl", "SIP/2.0 400 Content-Length is malformed\r\n"),
        ("badvers", "SIP/2.0 505 Version Not Supported\r\nVia: SIP/7.0/UDP c.example.com;branch=z9hG4bKkdjuw"),
        ("mismatch02", "SIP/2.0 501 Not Implemented\r\n"),
        ("insuf", "SIP/2.0 400 From is missing\r\nVia: SIP/2.0/UDP 192.0.2.95;branch=z9hG4bKkdj.insuf"),
        ("multi01", "SIP/2.0 400 From is repeated\r\n"),
    ];
    for (name, start) in table {
        let answer = answer_to(name);
        assert!(answer.starts_with(start), "{name}: {answer}");
    }
    assert!(answer_to("mismatch02").contains("\r\nAllow: INVITE"));
}

/// On a stream a body that is still to come is waited for; a Content-Length that is none ends the connection, since
/// nobody knows where the next message begins.
#[test]
fn wrong_lengths_on_a_stream() {
    for (name, closed) in [("clerr", false), ("ncl", true), ("mcl01", true)] {
        let mut stand = Stand::new();
        stand.endpoint.handle_stream_opened(stand.connection());
        stand.endpoint.handle_stream(stand.connection(), bytes(name), stand.now);
        assert_eq!((stand.sent_kinds().len(), stand.endpoint.poll_close().is_some()), (0, closed), "{name}");
    }
}

/// §3.1.2.11: the Route hidden in the Request-URI is no Route.
#[test]
fn headers_of_a_request_uri_have_no_effect() {
    let invite = request("escruri");
    assert_eq!(invite.uri.header("Route").as_deref(), Some("<sip:example.com>"));
    assert_eq!(invite.headers.first(Name::Route), None);
}

/// §3.1.2.13: a URI with a question mark stands in angle brackets or is none (RFC 3261 §20.10).
#[test]
fn regbadct_has_no_contact() {
    assert_eq!(request("regbadct").headers.contact(), None);
}

/// §3.1.2.15.
#[test]
fn baddn_has_a_display_name_for_who_wants_one() {
    assert_eq!(request("baddn").headers.from().unwrap().display, "Bell, Alexander");
}

/// §3.2.1: a branch that is nothing but the magic cookie tells nobody apart.
#[test]
fn badbranch_does_not_make_one_call_of_two() {
    assert_eq!(request("badbranch").headers.via().unwrap().branch(), "z9hG4bK");
    let mut stand = Stand::new();
    let invite = invite(1, "", OFFER).replace("branch=z9hG4bKINVITE1", "branch=z9hG4bK");
    stand.feed(&invite);
    stand.feed(&invite);
    stand.feed(&invite.replace("call-1", "call-2"));
    assert_eq!(stand.sent_kinds(), ["100", "100", "100"]);
    assert_eq!((stand.events().len(), stand.endpoint.stats().repeated_requests), (2, 1));
}

/// §3.3.2–4.
#[test]
fn unknown_schemes_are_read() {
    assert_eq!(request("unkscm").uri.scheme(), Scheme::Other);
    assert_eq!(request("novelsc").uri.as_str(), "soap.beep://192.0.2.103:3002");
    let unksm2 = request("unksm2").headers;
    let schemes = [unksm2.to(), unksm2.from(), unksm2.contact()].map(|address| address.unwrap().uri.scheme());
    assert_eq!(schemes, [Scheme::Other; 3]);
}

/// §3.3.5, §3.3.6 and §3.3.15: a refusal says what would do.
#[test]
fn refusals_name_what_is_lacking() {
    let table = [
        ("bext01", "\r\nUnsupported: nothingSupportsThis, nothingSupportsThisEither\r\n"),
        ("invut", "\r\nAccept: application/sdp\r\n"),
        ("sdp01", "SIP/2.0 406 Not Acceptable\r\n"),
    ];
    for (name, expected) in table {
        assert!(answer_to(name).contains(expected), "{name}: {}", answer_to(name));
    }
    assert!(!answer_to("bext01").contains("noProxiesSupportThis"), "Proxy-Require is for proxies");
}

/// §3.3.11: RFC 3261 §16.3 has proxies count hops, not those who are called.
#[test]
fn a_call_whose_last_hop_is_spent_has_arrived() {
    assert_eq!(fate(invite(1, "", OFFER).replace("Max-Forwards: 70", "Max-Forwards: 0").as_bytes()), Rings);
}

/// §3.3.16: no branch, no tag, no Max-Forwards, no Content-Length, no Contact: a whole call with a client of RFC 2543.
#[test]
fn inv2543_can_hold_a_call() {
    let mut stand = Stand::new();
    stand.endpoint.handle_datagram(UDP, stand.remote, bytes("inv2543"), stand.now);
    assert_eq!(stand.sent_kinds(), ["100"]);
    let Event::Incoming { leg, invite, .. } = stand.one_event() else { panic!("a new call") };
    assert_eq!(invite.offer.map(|offer| offer.len()), Some(105));
    stand.command(Command::Answer { leg, sdp: ANSWER.into() });
    let tag = to_tag(&stand.one_response());
    let text = String::from_utf8(bytes("inv2543").to_vec()).unwrap();
    let in_dialog = |method: &str, cseq: u32| {
        let to = format!("user=phone;tag={tag}\r\nCall-ID");
        let text = text.split("\r\n\r\n").next().unwrap().replace("user=phone\r\nCall-ID", &to);
        text.replace("56 INVITE", &format!("{cseq} {method}")).replacen("INVITE", method, 1) + "\r\n\r\n"
    };
    stand.feed(&in_dialog("ACK", 56));
    assert_eq!(stand.events(), [Event::Established { leg, sdp: None }]);
    stand.feed(&in_dialog("BYE", 57));
    assert_eq!((stand.sent_kinds(), stand.events()), (vec!["200".to_owned()], vec![Event::Bye { leg, reason: None }]));
}

/// RFC 5118 §4.1–4.4, §4.7 and §4.10.
#[test]
fn ipv6_references_end_at_their_bracket() {
    let table = [
        ("ipv6-good", "[2001:db8::10]", "2001:db8::10", None),
        ("port-ambiguous", "[2001:db8::10:5070]", "2001:db8::10:5070", None),
        ("port-unambiguous", "[2001:db8::10]", "2001:db8::10", Some(5070)),
        // The grammar of RFC 3261 has a colon too many; "an implementation must tolerate both".
        ("ipv6-bug-abnf-3-colons", "[2001:db8:::192.0.2.1]", "2001:db8::192.0.2.1", None),
        ("ipv6-correct-abnf-2-colons", "[2001:db8::192.0.2.1]", "2001:db8::192.0.2.1", None),
    ];
    for (name, host, address, port) in table {
        let uri = request(name).uri;
        let address: Ipv6Addr = address.parse().unwrap();
        assert_eq!((uri.host(), uri.host_ip(), uri.port()), (host, Some(address.into()), port), "{name}");
    }
    let vias = request("mult-ip-in-header").headers.vias();
    let sent_by: Vec<_> = vias.iter().map(|via| via.sent_by()).collect();
    assert_eq!(sent_by, ["[2001:db8::9:1]:6050", "192.0.2.1", "[2001:db8::9:255]"]);
    assert_eq!(vias[2].received(), "192.0.2.200".parse().ok());
}

/// RFC 5118 §4.5: `received` comes with and without brackets; ours has none, as RFC 3261 §25.1 wants it.
#[test]
fn received_is_read_with_and_without_brackets() {
    for name in ["via-received-param-with-delim", "via-received-param-no-delim"] {
        assert_eq!(request(name).headers.via().unwrap().received(), "2001:db8::9:255".parse().ok(), "{name}");
    }
    let mut stand = Stand::new();
    stand.remote = "[2001:db8::9:255]:5062".parse().unwrap();
    stand.endpoint.handle_datagram(UDP, stand.remote, bytes("via-received-param-with-delim"), stand.now);
    let transmit = stand.transmits().remove(0);
    assert_eq!(transmit.hop.remote, "[2001:db8::9:255]:5060".parse().unwrap());
    assert!(
        String::from_utf8(transmit.bytes)
            .unwrap()
            .contains("Via: SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;")
    );
}

/// RFC 5118 §4.6, §4.8 and §4.9: the body is the owner's to read; the addresses of the headers are ours.
#[test]
fn ipv6_callers_are_called_back_where_they_are() {
    for (name, contact, body) in [
        ("ipv6-in-sdp", "2001:db8::20", 251),
        ("mult-ip-in-sdp", "2001:db8::9:1", 189),
        ("ipv4-mapped-ipv6", "::ffff:192.0.2.2", 245),
    ] {
        let invite = request(name);
        let address: Ipv6Addr = contact.parse().unwrap();
        assert_eq!(invite.headers.contact().unwrap().uri.host_ip(), Some(address.into()), "{name}");
        assert_eq!(invite.body.len(), body, "{name}");
    }
    let mapped = request("ipv4-mapped-ipv6").headers.via().unwrap();
    assert_eq!(mapped.response_address(), "[::ffff:192.0.2.10]:19823".parse().ok());
}
