//! Whole messages: the wire's shapes, RFC 4475's ideas, FreeSWITCH's own words, and mutations of them.
use super::*;

/// A request with the five mandatory headers and `extra` header lines.
fn options(extra: &str) -> Vec<u8> {
    let text = format!(
        "OPTIONS sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:b@h>;tag=1\r\nTo: <sip:a@h>\r\n\
         Call-ID: c@h\r\nCSeq: 1 OPTIONS\r\n{extra}\r\n"
    );
    text.into_bytes()
}

#[test]
fn smallest_request() {
    let message = Message::parse(&options("")).unwrap();
    let Message::Request(request) = &message else { panic!("{message:?}") };
    assert_eq!(request.method, Method::Options);
    assert_eq!(Message::parse(&message.to_bytes()).unwrap(), message);
}
