//! Digest authentication as a client (RFC 3261 §22, RFC 7616 §3.4): answers to challenges, and what is learnt from them.
use super::{
    Algorithm, Challenge, Credentials, Qop, choose,
    hash::{self, Proven},
    header_names,
};
use crate::{
    endpoint::random::Random,
    message::{Name, Request, Response, lex},
};

/// Most realms remembered: proxies may ask in a row (RFC 3261 §22.3), but not without end. The oldest is forgotten.
const REALMS: usize = 4;

/// The challenges met in one registration or dialog. Their nonces serve for all its requests, each use counted (`nc`):
/// a request that brings its proof along is not asked for it.
#[derive(Debug, Default)]
pub(crate) struct Session {
    met: Vec<Met>,
}

#[derive(Debug)]
struct Met {
    challenge: Challenge,
    /// Which header the answer goes into.
    answer: Name,
    credentials: Credentials,
    uses: u32,
    /// CSeq of the request that first used the nonce: refused again, the password is wrong (RFC 3261 §22.1).
    first: Option<u32>,
}

impl Session {
    /// Takes the challenge of a 401 or 407. Whether the request, given to [`Session::authorize`], is worth sending again:
    /// not if nothing in it can be answered, or if the answer to its last challenge was refused and not as stale.
    pub(crate) fn learn(&mut self, response: &Response, credentials: impl FnOnce(&str) -> Option<Credentials>) -> bool {
        let Some((asked, answer)) = header_names(response.status) else { return false };
        let challenges = response.headers.challenges(asked);
        let Some(challenge) = choose(&challenges) else { return false };
        let same = |met: &Met| met.answer == answer && met.challenge.realm == challenge.realm;
        let known = self.met.iter().position(same).map(|at| self.met.remove(at));
        let refused = response.headers.cseq().map(|cseq| cseq.number);
        if !challenge.stale && known.is_some_and(|known| known.first.is_some() && known.first == refused) {
            return false;
        }
        let Some(credentials) = credentials(&challenge.realm) else { return false };
        if self.met.len() >= REALMS {
            self.met.remove(0);
        }
        self.met.push(Met { challenge: challenge.clone(), answer, credentials, uses: 0, first: None });
        true
    }

    /// Writes an answer to every challenge met into a request whose Request-URI and CSeq are final.
    pub(crate) fn authorize(&mut self, request: &mut Request, random: &mut Random) {
        request.headers.remove(Name::Authorization);
        request.headers.remove(Name::ProxyAuthorization);
        for met in &mut self.met {
            met.uses = met.uses.saturating_add(1);
            if met.uses == 1 {
                met.first = request.headers.cseq().map(|cseq| cseq.number);
            }
            if let Some(value) = met.challenge.answer(&met.credentials, request, met.uses, &random.token()) {
                request.headers.push(met.answer, value);
            }
        }
    }
}

impl Challenge {
    /// The value of an Authorization or Proxy-Authorization, in the form of the challenge; `None` if it is not supported.
    ///
    /// `nc` counts the requests sent with this nonce, from 1; FreeSWITCH refuses a repeated one as stale. `cnonce` is a
    /// fresh random token.
    fn answer(&self, credentials: &Credentials, request: &Request, nc: u32, cnonce: &str) -> Option<String> {
        let Self { realm, nonce, opaque, algorithm, qop, stale: _ } = self;
        let Credentials { user, password } = credentials;
        let (hash, in_session) = match algorithm {
            Algorithm::Plain(hash) => (*hash, false),
            Algorithm::Session(hash) => (*hash, true),
            Algorithm::Other(_) => return None,
        };
        let nc = format!("{nc:08x}");
        let uses = match qop {
            Qop::Absent => None,
            Qop::Auth => Some((nc.as_str(), cnonce)),
            Qop::Unsupported => return None,
        };
        let secret = hash::secret(hash, user, realm, password);
        let ha1 = if in_session { hash.hex(&[&secret, nonce, cnonce]) } else { secret };
        let uri = request.uri.as_str();
        let response = hash::response(hash, &ha1, Proven { nonce, uses, method: request.method.as_str(), uri });
        let quote = lex::quote;
        let mut value = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\", algorithm={}",
            quote(user),
            quote(realm),
            quote(nonce),
            quote(uri),
            algorithm.as_str(),
        );
        if let Some(opaque) = opaque {
            value.push_str(&format!(", opaque={}", quote(opaque)));
        }
        if uses.is_some() {
            value.push_str(&format!(", qop=auth, nc={nc}"));
        }
        // With `-sess` the cnonce is hashed also without qop, so the other side must learn it.
        if uses.is_some() || in_session {
            value.push_str(&format!(", cnonce={}", quote(cnonce)));
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        message::{Method, Params, StatusCode},
        uri::Uri,
    };

    fn request(method: Method, uri: &str, cseq: u32) -> Request {
        let mut request = Request::new(method, Uri::parse(uri).unwrap());
        request.headers.push(Name::CSeq, format!("{cseq} {}", request.method));
        request
    }

    fn refusal(of: &Request, challenge: &str) -> Response {
        let mut response = Response::answering(&of.headers, StatusCode::UNAUTHORIZED);
        response.headers.push(Name::WwwAuthenticate, challenge);
        response
    }

    fn us(_: &str) -> Option<Credentials> {
        Some(Credentials { user: "2000".into(), password: "s3cret".into() })
    }

    /// The fields of the answer user 2000 gives for its REGISTER.
    fn answered(challenge: &str, nc: u32) -> Params {
        let request = request(Method::Register, "sip:test.local", 1);
        let challenge = Challenge::parse(challenge).unwrap();
        let value = challenge.answer(&us("").unwrap(), &request, nc, "c1").unwrap();
        super::super::challenge::digests(&value).remove(0)
    }

    /// Vectors computed outside this program from the formulas of RFC 7616 §3.4.
    #[test]
    fn responses() {
        let table = [
            (
                r#"Digest realm="test.local", nonce="n1", algorithm=MD5, qop="auth""#,
                1,
                "243bc4dfe3b809184b15aee35a7c2647",
            ),
            (r#"Digest realm="test.local", nonce="n1", qop="auth-int,auth""#, 17, "1603bb421c496c683e4c0e27ab2d81a3"),
            (r#"digest nonce="n1",realm="test.local",stale=TRUE"#, 1, "8082b863cf363b955f322f16e8ba2a70"),
            (
                r#"Digest realm="test.local", nonce="n1", algorithm=md5-SESS, qop=auth"#,
                1,
                "26237ca12a30e975882c3e1d47a5c36a",
            ),
            (r#"Digest realm="test.local", nonce="n1", algorithm=MD5-sess"#, 1, "e3e6d244f8fa2e61fbc25dfc909c4ccf"),
            (
                r#"Digest realm="test.local", nonce="n1", algorithm=SHA-256, qop="auth""#,
                1,
                "cbe2d24e6bee60fe80c79c60690b6f8aa52e1fb3b2c6d26189eefdd77efa3062",
            ),
            (
                r#"Digest realm="test.local", nonce="n1", algorithm=SHA-256"#,
                1,
                "0b73c972e5573d7995e0dd503309e91676dc2a650c888b5c310d6ec544119106",
            ),
            (
                r#"Digest realm="test.local", nonce="n1", algorithm=SHA-256-sess, qop="auth""#,
                1,
                "e49a9f9e5f329ee2ac4a500340cc407d85757bf43fe207fcf4f938ecbe63f982",
            ),
            (
                r#"Digest realm="test.local", nonce="n1", algorithm=SHA-512-256, qop="auth""#,
                1,
                "b6a6b4eb0b97f2d6c413e1977376bee6543b32919fbb13973fb804fd6990e0d4",
            ),
            (
                r#"Digest realm="test.local", nonce="n1", algorithm=SHA-512-256-sess, qop="auth""#,
                1,
                "c55645651d499b0bfcfb6a628630bd2fe58f4fb9f3c50abaea7a0df9c36adc18",
            ),
        ];
        for (challenge, nc, response) in table {
            let fields = answered(challenge, nc);
            assert_eq!(fields.unquoted("response").as_deref(), Some(response), "{challenge}");
        }
    }

    #[test]
    fn answers_have_the_form_of_the_challenge() {
        let credentials = Credentials { user: r#"a"b"#.into(), password: "p".into() };
        let request = request(Method::Invite, "sip:h;transport=tcp", 1);
        let value = |challenge: &str| {
            let value = Challenge::parse(challenge).unwrap().answer(&credentials, &request, 0x1f, "c").unwrap();
            let (before, after) = value.split_once("response=\"").unwrap();
            format!("{before}{}", after.split_once('"').unwrap().1)
        };
        assert_eq!(
            value(r#"Digest realm="r \"x\"", nonce="n", opaque="", qop="auth""#),
            r#"Digest username="a\"b", realm="r \"x\"", nonce="n", uri="sip:h;transport=tcp", , algorithm=MD5, opaque="", qop=auth, nc=0000001f, cnonce="c""#
        );
        assert_eq!(
            value(r#"Digest realm="r", nonce="n", algorithm="sha-256-SESS""#),
            r#"Digest username="a\"b", realm="r", nonce="n", uri="sip:h;transport=tcp", , algorithm=SHA-256-sess, cnonce="c""#
        );
        assert_eq!(
            value(r#"Digest realm="r", nonce="n""#),
            r#"Digest username="a\"b", realm="r", nonce="n", uri="sip:h;transport=tcp", , algorithm=MD5"#
        );
    }

    /// What each of a run of requests brings along: nonce and count, one text for each header.
    fn brought(session: &mut Session, random: &mut Random, request: &mut Request) -> Vec<String> {
        session.authorize(request, random);
        let values = request.headers.all(Name::Authorization).chain(request.headers.all(Name::ProxyAuthorization));
        let field = |value: &str, name: &str| {
            super::super::challenge::digests(value).remove(0).unquoted(name).unwrap_or_default()
        };
        values.map(|value| format!("{} {}", field(value, "nonce"), field(value, "nc"))).collect()
    }

    #[test]
    fn a_nonce_serves_until_it_is_refused_and_its_uses_are_counted() {
        let (mut session, mut random) = (Session::default(), Random::new(1));
        let mut first = request(Method::Invite, "sip:h", 1);
        assert!(brought(&mut session, &mut random, &mut first).is_empty());
        assert!(session.learn(&refusal(&first, r#"Digest realm="r", nonce="a", qop="auth""#), us));
        let mut second = request(Method::Invite, "sip:h", 2);
        assert_eq!(brought(&mut session, &mut random, &mut second), ["a 00000001"]);
        let mut bye = request(Method::Bye, "sip:h", 3);
        assert_eq!(brought(&mut session, &mut random, &mut bye), ["a 00000002"]);
        // An old nonce may be refused without a word of its age.
        assert!(session.learn(&refusal(&bye, r#"Digest realm="r", nonce="b", qop="auth""#), us));
        let mut again = request(Method::Bye, "sip:h", 4);
        assert_eq!(brought(&mut session, &mut random, &mut again), ["b 00000001"]);
        // The answer to the challenge just received may not, unless it says so.
        assert!(session.learn(&refusal(&again, r#"Digest realm="r", nonce="c", stale=true, qop="auth""#), us));
        let mut stale = request(Method::Bye, "sip:h", 5);
        assert_eq!(brought(&mut session, &mut random, &mut stale), ["c 00000001"]);
        assert!(!session.learn(&refusal(&stale, r#"Digest realm="r", nonce="d", qop="auth""#), us));
        assert!(brought(&mut session, &mut random, &mut stale).is_empty(), "nothing is worth repeating");
    }

    #[test]
    fn two_requests_challenged_at_once_are_both_answered() {
        let mut session = Session::default();
        let (info, mut refer) = (request(Method::Info, "sip:h", 1), request(Method::Refer, "sip:h", 2));
        assert!(session.learn(&refusal(&info, r#"Digest realm="r", nonce="a", qop="auth""#), us));
        session.authorize(&mut request(Method::Info, "sip:h", 3), &mut Random::new(1));
        assert!(session.learn(&refusal(&refer, r#"Digest realm="r", nonce="b", qop="auth""#), us));
        assert_eq!(brought(&mut session, &mut Random::new(1), &mut refer), ["b 00000001"]);
    }

    /// RFC 3261 §22.3: proof for the proxy stays in the request when the server asks as well.
    #[test]
    fn a_proxy_and_a_server_may_both_ask() {
        let (mut session, mut random) = (Session::default(), Random::new(1));
        let mut first = request(Method::Invite, "sip:h", 1);
        let mut by_proxy = Response::answering(&first.headers, StatusCode::PROXY_AUTHENTICATION_REQUIRED);
        by_proxy.headers.push(Name::ProxyAuthenticate, r#"Digest realm="p", nonce="p", qop="auth""#);
        assert!(session.learn(&by_proxy, us));
        session.authorize(&mut first, &mut random);
        assert!(session.learn(&refusal(&first, r#"Digest realm="r", nonce="a", qop="auth""#), us));
        assert_eq!(brought(&mut session, &mut random, &mut first), ["a 00000001", "p 00000002"]);
    }

    #[test]
    fn realms_without_end_are_not_remembered() {
        let mut session = Session::default();
        for realm in 0..100 {
            let first = request(Method::Invite, "sip:h", realm);
            assert!(session.learn(&refusal(&first, &format!("Digest realm=\"{realm}\", nonce=\"n\"")), us));
        }
        assert_eq!(session.met.len(), REALMS);
        let first = request(Method::Invite, "sip:h", 1);
        assert!(
            !session.learn(&refusal(&first, r#"Digest realm="x", nonce="n""#), |_| None),
            "no account of that realm"
        );
    }
}
