//! Whole messages: the wire's shapes, FreeSWITCH's own words, and mutations of them.
mod generated;

use super::*;
use crate::uri::Scheme;

/// Messages of FreeSWITCH and its peers, as recorded.
const FIXTURES: &[(&str, &[u8])] = &[
    ("ack", include_bytes!("fixtures/ack.sip")),
    ("bye", include_bytes!("fixtures/bye.sip")),
    ("cancel", include_bytes!("fixtures/cancel.sip")),
    ("contact_ping", include_bytes!("fixtures/contact_ping.sip")),
    ("gateway_ping", include_bytes!("fixtures/gateway_ping.sip")),
    ("info_dtmf_relay", include_bytes!("fixtures/info_dtmf_relay.sip")),
    ("invite", INVITE),
    ("invite_x_headers", include_bytes!("fixtures/invite_x_headers.sip")),
    ("notify_sipfrag", NOTIFY),
    ("refer_202", include_bytes!("fixtures/refer_202.sip")),
    ("refer_attended", REFER),
    ("register_200", include_bytes!("fixtures/register_200.sip")),
    ("register_401", include_bytes!("fixtures/register_401.sip")),
    ("register_401_rfc8760", RFC8760),
    ("register_authorized", include_bytes!("fixtures/register_authorized.sip")),
    ("reinvite_hold", include_bytes!("fixtures/reinvite_hold.sip")),
];
const INVITE: &[u8] = include_bytes!("fixtures/invite.sip");
const NOTIFY: &[u8] = include_bytes!("fixtures/notify_sipfrag.sip");
const REFER: &[u8] = include_bytes!("fixtures/refer_attended.sip");
const RFC8760: &[u8] = include_bytes!("fixtures/register_401_rfc8760.sip");

fn request(bytes: &[u8]) -> Request {
    match Message::parse(bytes) {
        Ok(Message::Request(request)) => request,
        other => panic!("{other:?}\n{}", String::from_utf8_lossy(bytes)),
    }
}

/// A start line, the five mandatory headers where `extra` does not bring its own, and a body.
fn message(start: &str, extra: &[&str], body: &str) -> Vec<u8> {
    let method = start.split(' ').next().unwrap();
    let defaults = [
        "Via: SIP/2.0/UDP h;branch=z9hG4bK1",
        "From: <sip:b@h>;tag=1",
        "To: <sip:a@h>",
        "Call-ID: c@h",
        &format!("CSeq: 1 {method}"),
    ];
    let name = |line: &str| line.split(':').next().and_then(|name| Name::parse(name.trim()));
    let mut text = format!("{start}\r\n");
    for line in defaults.iter().filter(|line| !extra.iter().any(|own| name(own) == name(line))).chain(extra) {
        if !line.ends_with("!") {
            text += &format!("{line}\r\n");
        }
    }
    (text + "\r\n" + body).into_bytes()
}

fn options(extra: &[&str]) -> Vec<u8> {
    message("OPTIONS sip:a@h SIP/2.0", extra, "")
}

fn error(bytes: &[u8]) -> ParseError {
    match Message::parse(bytes) {
        Err(error) => error,
        Ok(message) => panic!("{message:?}"),
    }
}

#[test]
fn recorded_messages_survive_being_printed() {
    for (name, bytes) in FIXTURES {
        let message = Message::parse(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let printed = message.to_bytes();
        assert_eq!(Message::parse(&printed).as_ref(), Ok(&message), "{name}");
        let lines = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(lines(&printed), lines(bytes), "{name}: only Content-Length may move");
    }
}

#[test]
fn recorded_invite() {
    let invite = request(INVITE);
    let headers = &invite.headers;
    assert_eq!(headers.via().unwrap().branch(), "z9hG4bKQt88N82Bv0SQm");
    let from = headers.from().unwrap();
    assert_eq!(
        (from.display.as_str(), from.uri.user(), from.tag()),
        ("Caller Um", Some("+551130000001"), Some("XFUj3gNBaNUpm"))
    );
    assert_eq!((headers.to().unwrap().tag(), headers.max_forwards()), (None, Some(69)));
    assert_eq!(headers.cseq(), Some(CSeq::new(123_165_326, Method::Invite)));
    assert_eq!(headers.contact().unwrap().uri.as_str(), "sip:fspbx@127.0.0.1:15080;transport=udp;gw=ai");
    assert_eq!(headers.named("x-lab-tenant").collect::<Vec<_>>(), ["test.local"]);
    let x: Vec<_> = headers.iter().map(|(name, _)| name).filter(|name| name.starts_with("X-")).collect();
    assert_eq!(x, ["X-Lab-Call", "X-Lab-Tenant", "X-FS-Support"]);
    assert_eq!(headers.content_type().as_deref(), Some("application/sdp"));
    assert!(invite.body.starts_with(b"v=0\r\n") && invite.body.len() == 241);
}

#[test]
fn recorded_transfer() {
    let replaces = request(REFER).headers.refer_to().unwrap().replaces().unwrap();
    assert_eq!(replaces.call_id, "8w8rwj2h9ze9bnpq@lab");
    assert_eq!((replaces.to_tag.as_str(), replaces.from_tag.as_str()), ("1reS4g5ttNNXj", "g749aacr"));
    let notify = request(NOTIFY);
    assert_eq!(notify.headers.event().unwrap().id.as_deref(), Some("320"));
    assert_eq!(notify.headers.subscription_state().unwrap().state, SubState::Terminated);
    assert_eq!(sipfrag::status(&notify.body), Some(StatusCode::OK));
    let Ok(Message::Response(unauthorized)) = Message::parse(RFC8760) else { panic!() };
    let challenges = unauthorized.headers.challenges(Name::WwwAuthenticate);
    assert_eq!(challenges.len(), 2);
    assert!(crate::auth::choose(&challenges).unwrap().nonce.starts_with("c73dfe2d"));
}

/// Valid by the grammar or by custom (RFC 4475 has tests of its own): each must parse, survive printing, and keep its R-URI.
#[test]
fn valid_messages() {
    let table: &[(&str, &[&str])] = &[
        (
            "!interesting-Method0123456789_*+`.%indeed'~ sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com SIP/2.0",
            &[],
        ),
        ("RE%47IST%45R sip:registrar.example.com SIP/2.0", &["To: \"%Z%45\" <sip:resource@example.com>"]),
        (
            "REGISTER sip:example.com SIP/2.0",
            &["To: sip:null-%00-null@example.com", "Contact: <sip:%00@host5.example.com>"],
        ),
        (
            "OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0",
            &["To: sip:j_user@example.com", "Accept: application/sdp"],
        ),
        ("OPTIONS sip:user@example.com SIP/2.0", &["From: caller<sip:caller@example.com>;tag=323"]),
        (
            "OPTIONS sip:user@example.com SIP/2.0",
            &[
                "Via: SIP/2.0/UDP t1.example.com;branch=z9hG4bK1, SIP/2.0/SCTP t2.example.com",
                "v: SIP/2.0/UNKNOWN t5.example.com;branch=z9hG4bKkdjuw",
            ],
        ),
        ("OPTIONS sip:user@h;transport=foo SIP/2.0", &["Contact: *"]),
        (
            "OPTIONS sip:[2001:db8::10]:5060 SIP/2.0",
            &["Via: SIP/2.0/UDP [2001:db8::9:1]:5060;received=[2001:db8::9:255];branch=z"],
        ),
        ("OPTIONS tel:+5511999;phone-context=x SIP/2.0", &["f: <tel:+5511>;tag=1"]),
        (
            "OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0",
            &["To: isbn:2983792873", "From: <http://www.example.com>;tag=3"],
        ),
        ("OPTIONS sip:a@h SIP/2.0", &["Contact: <sip:a@h>;+sip.instance=\"<urn:uuid:0-1,2;3>\""]),
        ("OPTIONS sip:a@h sip/2.0", &["Max-Forwards: 0"]),
        ("UNKNOWN sip:a@h SIP/2.0", &["X-Bytes: \u{1F600} ünï"]),
    ];
    for (start, extra) in table {
        let bytes = message(start, extra, "");
        let parsed = request(&bytes);
        assert_eq!(parsed.uri.as_str(), start.split(' ').nth(1).unwrap());
        assert_eq!(Message::parse(&parsed.to_bytes()), Ok(Message::Request(parsed)), "{start}");
    }
    assert_eq!(request(&message("OPTIONS nobody:x SIP/2.0", &[], "")).uri.scheme(), Scheme::Other);
}

#[test]
fn responses() {
    let with = |start: &str| {
        let text = String::from_utf8(message("BYE x", &[], "")).unwrap();
        Message::parse(text.replacen("BYE x", start, 1).as_bytes())
    };
    for (start, code, reason) in [
        ("SIP/2.0 200 = 2**3 * 5**2 \u{43d}\u{43e}", 200, "= 2**3 * 5**2 \u{43d}\u{43e}"),
        ("SIP/2.0 100 ", 100, ""),
        ("SIP/2.0 100", 100, ""),
        ("SIP/2.0 503 Tudo bem", 503, "Tudo bem"),
    ] {
        let Ok(Message::Response(response)) = with(start) else { panic!("{start}") };
        assert_eq!((response.status.code(), response.reason.as_str()), (code, reason));
        assert_eq!(Message::parse(&response.to_bytes()), Ok(Message::Response(response)));
    }
    for start in [
        "SIP/2.0 4294967301 better not break",
        "SIP/2.0 99 x",
        "SIP/2.0 700 x",
        "SIP/2.0 +20 x",
        "SIP/2.0 ",
        "SIP/3.0 200 OK",
    ] {
        let error = with(start).unwrap_err();
        assert_eq!((error.kind, error.rejected), (ParseErrorKind::StartLine, None), "{start}");
    }
}

/// Broken, but with all that an answer needs (RFC 4475 §3.1.2 and more).
#[test]
fn broken_requests_that_can_be_answered() {
    use ParseErrorKind as Kind;
    let good = "OPTIONS sip:a@h SIP/2.0";
    let table: &[(&str, &[&str], Kind, u16)] = &[
        ("OPTIONS sip:t.watson@example.org SIP/7.0", &[], Kind::Version, 505),
        ("OPTIONS <sip:a@h> SIP/2.0", &[], Kind::RequestUri, 400),
        ("OPTIONS sip:a@h; lr SIP/2.0", &[], Kind::RequestUri, 400),
        ("OPTIONS  sip:a@h  SIP/2.0", &[], Kind::RequestUri, 400),
        ("OPTIONS nouri SIP/2.0", &[], Kind::RequestUri, 400),
        (good, &["To: \"Mr. J. User <sip:j.user@example.com>"], Kind::Malformed(Name::To), 400),
        (good, &["From: < sip:a@h >;tag=1"], Kind::Malformed(Name::From), 400),
        (good, &["CSeq: 36893488147419103232 OPTIONS"], Kind::Malformed(Name::CSeq), 400),
        (good, &["CSeq: 1 INVITE"], Kind::MethodMismatch, 400),
        (good, &["CSeq: 1 options"], Kind::MethodMismatch, 400),
        (good, &["From: none!"], Kind::Missing(Name::From), 400),
        (good, &["To: none!"], Kind::Missing(Name::To), 400),
        (good, &["Call-ID: none!"], Kind::Missing(Name::CallId), 400),
        (good, &["Call-ID:"], Kind::Malformed(Name::CallId), 400),
        (good, &["Call-ID: a b"], Kind::Malformed(Name::CallId), 400),
        ("DANCE sip:a@h SIP/2.0", &["CSeq: 1 INVITE"], Kind::MethodMismatch, 501),
        (good, &["Via: SIP/7.0/UDP h;branch=1"], Kind::Malformed(Name::Via), 400),
        (good, &["Call-ID: a", "i: b"], Kind::Repeated(Name::CallId), 400),
        (good, &["To: <sip:a@h>", "t: <sip:b@h>"], Kind::Repeated(Name::To), 400),
        (good, &["Via: SIP/2.0/UDP h;branch=1", "Via: x"], Kind::Malformed(Name::Via), 400),
        (good, &["Max-Forwards: 300"], Kind::Malformed(Name::MaxForwards), 400),
        (good, &["Content-Length: -999"], Kind::Malformed(Name::ContentLength), 400),
        (good, &["Content-Length: 0", "l: 1"], Kind::Repeated(Name::ContentLength), 400),
        (good, &["Content-Length: 9999"], Kind::ShortBody { declared: 9999, got: 0 }, 400),
        (good, &["no colon"], Kind::HeaderLine, 400),
        (good, &["bad name: x"], Kind::HeaderLine, 400),
        (good, &[": x"], Kind::HeaderLine, 400),
        (good, &[&format!("X: {}", "x".repeat(MAX_LINE))], Kind::LineTooLong, 513),
        (good, &[&["X: 1"; MAX_HEADERS].join("\r\n")], Kind::TooManyHeaders, 513),
        (good, &["Via: SIP/2.0/UDP h;branch=1", &["Via: SIP/2.0/UDP h"; MAX_VIA].join("\r\n")], Kind::TooManyVias, 513),
    ];
    for (start, extra, kind, status) in table {
        let error = error(&message(start, extra, ""));
        assert_eq!((error.kind, error.status().code()), (*kind, *status), "{start} {extra:?}");
        let rejected = error.rejected.unwrap_or_else(|| panic!("no answer to {start} {extra:?}"));
        let response = Response::answering(&rejected.headers, StatusCode::BAD_REQUEST).to_bytes();
        assert!(response.starts_with(b"SIP/2.0 400 Bad Request\r\nVia: SIP/"));
    }
    let cut = options(&[]);
    let cut = error(cut.strip_suffix(b"\r\n").unwrap());
    assert!(cut.kind == Kind::NoBlankLine && cut.rejected.is_some());
}

#[test]
fn broken_messages_that_cannot_be_answered() {
    use ParseErrorKind as Kind;
    let table: &[(Vec<u8>, Kind)] = &[
        (b"".to_vec(), Kind::KeepAlive),
        (b"\r\n\r\n".to_vec(), Kind::KeepAlive),
        (b"\0\x01\0\0\x21\x12\xa4\x42".to_vec(), Kind::StartLine),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Kind::StartLine),
        (b"OPTIONS sip:a@h".to_vec(), Kind::StartLine),
        (vec![b'x'; MAX_MESSAGE + 1], Kind::TooLong),
        (vec![b'x'; MAX_MESSAGE], Kind::LineTooLong),
        (options(&["Via: none!"]), Kind::Missing(Name::Via)),
        (options(&["Via: rubbish"]), Kind::Malformed(Name::Via)),
        (options(&["Via:"]), Kind::Missing(Name::Via)),
        (options(&["CSeq: none!"]), Kind::Missing(Name::CSeq)),
        (message("ACK sip:a@h SIP/2.0", &["CSeq: 1 INVITE"], ""), Kind::MethodMismatch),
    ];
    for (bytes, kind) in table {
        let error = error(bytes);
        assert_eq!((error.kind, error.rejected), (*kind, None), "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn bodies_end_where_content_length_says() {
    let table: [(&[&str], &str, &str); 4] = [
        (&[], "to the end", "to the end"),
        (&["Content-Length: 4"], "bodysurplus", "body"),
        (&["l: 0004"], "body", "body"),
        (&["Content-Length: 0"], "INVITE", ""),
    ];
    for (extra, sent, body) in table {
        assert_eq!(request(&message("MESSAGE sip:a@h SIP/2.0", extra, sent)).body[..], *body.as_bytes());
    }
    let mut binary = message("MESSAGE sip:a@h SIP/2.0", &[], "");
    binary.extend([0, 0xff, 0xfe, b'\r', b'\n', 0]);
    assert_eq!(request(&request(&binary).to_bytes()).body[..], [0, 0xff, 0xfe, b'\r', b'\n', 0]);
}

#[test]
fn line_ends_may_be_lf_alone_and_stand_in_front() {
    let text =
        String::from_utf8(message("MESSAGE sip:a@h SIP/2.0", &["Subject: a\r\n b", "Content-Length: 3"], "x\ny"))
            .unwrap();
    let crlf = request(text.as_bytes());
    assert_eq!(request(text.replace("\r\n", "\n").as_bytes()), crlf);
    assert_eq!(request(format!("\r\n\r\n{text}").as_bytes()), crlf);
    // A piece of a list that is nothing but control characters is none.
    let route = request(&options(&["Record-Route: \0\x01, <sip:a@h;lr> ,,"]));
    assert_eq!(route.headers.all(Name::RecordRoute).collect::<Vec<_>>(), ["<sip:a@h;lr>"]);
    assert_eq!(request(&route.to_bytes()), route);
    // A CR inside a line is no line end, and does not get out again.
    let stray = request(&options(&["Subject: a\rEvil: 1"]));
    assert_eq!(stray.headers.first(Name::Subject), Some("a Evil: 1"));
    assert_eq!(
        request(b"OPTIONS sip:a@h SIP/2.0\nv:SIP/2.0/UDP h\nf:sip:b@h\nt:sip:a@h\ni:1\nCSeq:1 OPTIONS\n\n")
            .headers
            .len(),
        5
    );
}

#[test]
fn nothing_we_print_breaks_its_line() {
    let mut request = request(&options(&[]));
    request.method = Method::Other("A\r\nB: 1\r\n".into());
    request.headers.push(Name::Subject, "s\r\nEvil: 1");
    let mut response = Response::answering(&request.headers, StatusCode::OK);
    response.reason = "fine\r\nEvil: 1".into();
    for bytes in [request.to_bytes(), response.to_bytes()] {
        let text = String::from_utf8(bytes).unwrap();
        assert!(!text.lines().any(|line| line.starts_with("Evil") || line.starts_with('B')), "{text}");
    }
}

#[test]
fn an_answer_echoes_what_it_must() {
    let invite = request(INVITE);
    let trying = Response::answering(&invite.headers, StatusCode::TRYING);
    let names: Vec<_> = trying.headers.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["Via", "From", "To", "Call-ID", "CSeq"]);
    for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
        assert_eq!(trying.headers.first(name), invite.headers.first(name));
    }
}

/// Marsaglia's xorshift64.
struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }
}

/// One to four edits: a byte changed, a piece deleted, doubled, or replaced by something SIP cares about.
fn mutate(random: &mut Xorshift, bytes: &mut Vec<u8>) {
    const PIECES: &[&[u8]] = &[
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n ",
        b" ",
        b"\t",
        b",",
        b";",
        b":",
        b"<",
        b">",
        b"\"",
        b"\\",
        b"=",
        b"@",
        b"%",
        b"[::1]",
        b"\0",
        b"\xff",
        b"\xc3\xa3",
        b"\r\n\r\n",
        b"SIP/2.0",
        b"sip:",
        b"Via: SIP/2.0/UDP h,",
        b"\r\nv: a/b/c d;e",
        b"99999999999",
    ];
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        let end = (at + random.below(12)).min(bytes.len());
        let piece = PIECES[random.below(PIECES.len())];
        match random.below(4) {
            0 => bytes[at] = u8::try_from(random.below(256)).unwrap(),
            1 => drop(bytes.drain(at..end)),
            2 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
            _ => drop(bytes.splice(at..end, piece.iter().copied())),
        }
        if bytes.is_empty() {
            return;
        }
    }
}

/// Whatever parses prints to something that parses to the same; nothing panics on the way.
#[test]
fn mutated_messages_parse_to_what_they_print() {
    let mut random = Xorshift(0x9E37_79B9_7F4A_7C15);
    let mut parsed = 0;
    for round in 0..20_000 {
        let mut bytes = FIXTURES[round % FIXTURES.len()].1.to_vec();
        mutate(&mut random, &mut bytes);
        let Ok(message) = Message::parse(&bytes) else { continue };
        parsed += 1;
        touch(message.headers());
        let printed = message.to_bytes();
        assert_eq!(Message::parse(&printed).as_ref(), Ok(&message), "{}", String::from_utf8_lossy(&bytes));
    }
    assert!((5_000..19_000).contains(&parsed), "{parsed} of 20000 parsed: the mutations are too tame or too wild");
}

/// Calls every reader; a read value must print to what reads the same.
fn touch(headers: &Headers) {
    fn stable<T: PartialEq + std::fmt::Debug + ToString>(value: Option<T>, read: fn(&str) -> Option<T>) {
        if let Some(value) = value {
            assert_eq!(read(&value.to_string()), Some(value));
        }
    }
    headers.vias().into_iter().for_each(|via| stable(Some(via), Via::parse));
    stable(headers.from(), NameAddr::parse);
    stable(headers.to(), NameAddr::parse);
    stable(headers.contact(), NameAddr::parse);
    stable(headers.cseq(), CSeq::parse);
    stable(headers.refer_to(), ReferTo::parse);
    stable(headers.reason(), crate::leg::Reason::parse);
    stable(headers.refer_to().and_then(|refer_to| refer_to.replaces()), Replaces::parse);
    let _ = (headers.routes(), headers.record_routes(), headers.event(), headers.subscription_state());
    let _ =
        (headers.content_type(), headers.expires(), headers.retry_after(), headers.challenges(Name::WwwAuthenticate));
}

/// Hostile shapes near the size limit: folding, commas, quotes, brackets and parameters without end.
#[test]
#[expect(clippy::disallowed_methods, reason = "the cost itself is measured, with two orders of magnitude to spare")]
fn hostile_messages_cost_linear_time() {
    let shapes: [(&str, &str); 8] = [
        ("Subject: ", "\r\n "),
        ("Via: ", ","),
        ("Route: ", "<"),
        ("Contact: ", ";a"),
        ("Contact: ", ",\""),
        ("X", "\r\nX"),
        ("Via: SIP/2.0/UDP h", ";a=b"),
        ("WWW-Authenticate: Digest ", "a=b,"),
    ];
    let started = std::time::Instant::now();
    for (head, piece) in shapes {
        let line = format!("{head}{}", piece.repeat((MAX_MESSAGE - 1000) / piece.len()));
        for line in [line.as_str(), line.get(..MAX_LINE).unwrap()] {
            if let Ok(message) = Message::parse(&options(&[line])) {
                touch(message.headers());
            }
        }
    }
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}
