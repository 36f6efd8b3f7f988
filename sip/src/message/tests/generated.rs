//! Property: whatever can be said in this crate's types is printed so that reading it gives the same value, and
//! printing that gives the same bytes. Messages are generated from a seed.
use super::*;
use crate::{leg::Reason, uri::Uri};

const MESSAGES: u64 = 4_000;

/// Draws values that exercise what is quoted, escaped, bracketed or compared without case.
struct Generator(Xorshift);

impl Generator {
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.0.below(from.len())]
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.0.below(100) < percent
    }

    fn string(&mut self, alphabet: &str, longest: usize) -> String {
        let alphabet: Vec<char> = alphabet.chars().collect();
        (0..self.0.below(longest + 1)).map(|_| self.pick(&alphabet)).collect()
    }

    fn token(&mut self) -> String {
        let rest = self.string("abcXYZ019-.!%*_+`'~", 12);
        format!("{}{rest}", self.pick(&['a', 'Z', '7', '~', '%']))
    }

    /// Anything that may stand between quotes.
    fn text(&mut self) -> String {
        self.string("ab Z09 \"\\,;:<>@=?&%[]()ãéü€😀", 16)
    }

    fn host(&mut self) -> String {
        let hosts = ["example.com", "h", "192.0.2.1", "[2001:db8::9:1]", "[::ffff:192.0.2.10]", "a-b.c_d.", "[::1]"];
        self.pick(&hosts).to_owned()
    }

    fn port(&mut self) -> Option<u16> {
        self.chance(50).then(|| self.pick(&[0, 1, 5060, 65_535]))
    }

    fn params(&mut self) -> Params {
        let mut params = Params::default();
        for _ in 0..self.0.below(4) {
            let name = self.token();
            match self.0.below(3) {
                0 => params.set_flag(&name),
                1 => params.set(&name, &self.token()),
                _ => params.set(&name, &lex::quote(&self.text())),
            }
        }
        params
    }

    fn uri(&mut self) -> Uri {
        if self.chance(10) {
            return Uri::parse(self.pick(&["tel:+55-11(3000)*#;phone-context=x", "urn:service:sos", "mailto:a@b"]))
                .unwrap();
        }
        let (user, host) = (self.text(), self.host());
        let host = self.port().map_or(host.clone(), |port| format!("{host}:{port}"));
        let mut uri = Uri::sip(Some(user.as_str()).filter(|user| !user.is_empty()), &host).unwrap();
        assert_eq!(uri.user_unescaped(), user);
        for _ in 0..self.0.below(3) {
            uri = uri.with_param(&self.string("abc-", 6), &self.string("xyz%4", 6)).unwrap();
        }
        for _ in 0..self.0.below(3) {
            let (name, value) = (self.token(), self.text());
            uri = uri.with_header(&name, &value).unwrap();
            assert_eq!(uri.headers().last().map(|(_, value)| crate::uri::unescape(value)), Some(value));
        }
        uri
    }

    fn address(&mut self) -> NameAddr {
        NameAddr { display: self.text(), uri: self.uri(), params: self.params() }
    }

    fn via(&mut self) -> Via {
        let text = format!("SIP/2.0/{} {}", self.token(), self.host());
        let mut via = Via::parse(&text).unwrap();
        via.port = self.port();
        via.params = self.params();
        via.params.set("branch", &format!("z9hG4bK{}", self.token()));
        via
    }

    fn method(&mut self) -> Method {
        let known = ["INVITE", "ACK", "BYE", "CANCEL", "REFER", "NOTIFY", "invite"];
        let method = if self.chance(70) { self.pick(&known).to_owned() } else { self.token() };
        method.parse().unwrap()
    }

    fn reason(&mut self) -> Reason {
        let cause = self.chance(70).then(|| self.pick(&[0, 16, 487, 65_535]));
        Reason { protocol: self.token(), cause, text: self.chance(50).then(|| self.text()) }
    }

    fn replaces(&mut self) -> Replaces {
        let call_id = format!("{}@{}", self.token(), self.token());
        Replaces { call_id, to_tag: self.token(), from_tag: self.token(), early_only: self.chance(30) }
    }

    fn body(&mut self) -> Vec<u8> {
        (0..self.0.below(40)).map(|_| self.pick(b"\r\n\0\xff\xfe v=0:")).collect()
    }
}

/// What a generated message was made of.
struct Parts {
    vias: Vec<Via>,
    from: NameAddr,
    to: NameAddr,
    cseq: CSeq,
    contacts: Vec<NameAddr>,
    routes: Vec<NameAddr>,
    refer_to: ReferTo,
    replaces: Replaces,
    reasons: Vec<Reason>,
    unknown: Vec<(String, String)>,
}

impl Parts {
    fn draw(draw: &mut Generator, method: &Method) -> Self {
        let replaces = draw.replaces();
        Self {
            vias: (0..=draw.0.below(3)).map(|_| draw.via()).collect(),
            from: draw.address(),
            to: draw.address(),
            cseq: CSeq::new(draw.pick(&[0, 1, 4_294_967_295]), method.clone()),
            contacts: (0..draw.0.below(3)).map(|_| draw.address()).collect(),
            routes: (0..draw.0.below(3)).map(|_| draw.address()).collect(),
            refer_to: ReferTo::attended(&Uri::sip(Some("x"), &draw.host()).unwrap(), &replaces).unwrap(),
            replaces,
            reasons: (0..draw.0.below(3)).map(|_| draw.reason()).collect(),
            unknown: (0..draw.0.below(4)).map(|_| (format!("X-{}", draw.token()), draw.text())).collect(),
        }
    }

    fn headers(&self) -> Headers {
        let mut headers = Headers::new();
        self.vias.iter().for_each(|via| headers.push(Name::Via, via.to_string()));
        headers.push(Name::CSeq, self.cseq.to_string());
        self.unknown.iter().for_each(|(name, value)| headers.push_named(name, value).unwrap());
        headers.push(Name::To, self.to.to_string());
        headers.push(Name::CallId, "c@h");
        self.routes.iter().for_each(|route| headers.push(Name::Route, route.to_string()));
        // Several of these may share a line.
        let lines = |items: Vec<String>| items.join(" , ");
        if !self.contacts.is_empty() {
            headers.push(Name::Contact, lines(self.contacts.iter().map(ToString::to_string).collect()));
        }
        if !self.reasons.is_empty() {
            headers.push(Name::Reason, lines(self.reasons.iter().map(ToString::to_string).collect()));
        }
        headers.push(Name::From, self.from.to_string());
        headers.push(Name::ReferTo, self.refer_to.to_string());
        headers.push(Name::Replaces, self.replaces.to_string());
        headers
    }

    fn assert_read(&self, headers: &Headers) {
        assert_eq!(headers.vias(), self.vias);
        assert_eq!((headers.from().as_ref(), headers.to().as_ref()), (Some(&self.from), Some(&self.to)));
        assert_eq!((headers.cseq().as_ref(), headers.contacts()), (Some(&self.cseq), self.contacts.clone()));
        assert_eq!(headers.routes().as_ref(), Some(&self.routes));
        assert_eq!((headers.refer_to().as_ref(), headers.reasons()), (Some(&self.refer_to), self.reasons.clone()));
        assert_eq!(headers.replaces().as_ref(), Some(&self.replaces));
        assert_eq!(headers.refer_to().and_then(|refer_to| refer_to.replaces()).as_ref(), Some(&self.replaces));
        for (name, value) in &self.unknown {
            assert!(headers.named(name).any(|read| read == value.trim()), "{name}: {value}");
        }
    }
}

#[test]
fn what_is_printed_is_read_as_it_was_meant() {
    for seed in 1..=MESSAGES {
        let mut draw = Generator(Xorshift(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        let method = draw.method();
        let parts = Parts::draw(&mut draw, &method);
        let (headers, body) = (parts.headers(), draw.body());
        let message = if draw.chance(50) {
            Message::Request(Request { method, uri: draw.uri(), headers, body: body.into() })
        } else {
            let status = StatusCode::new(draw.pick(&[100, 183, 200, 404, 699])).unwrap();
            Message::Response(Response { status, reason: draw.text().trim().to_owned(), headers, body: body.into() })
        };
        let printed = message.to_bytes();
        let read = Message::parse(&printed);
        assert_eq!(read.as_ref(), Ok(&message), "seed {seed}: {}", String::from_utf8_lossy(&printed));
        parts.assert_read(message.headers());
        assert_eq!(message.to_bytes(), read.unwrap().to_bytes());
    }
}
