//! Digest authentication as a client (RFC 2617, RFC 3261 §22, RFC 7616): MD5 and MD5-sess, with `auth` or without qop.
use crate::message::{Headers, Method, Name, Params, StatusCode, lex};
use crate::uri::Uri;
use md5::{Digest, Md5};
use std::fmt;

/// Who we are. The password shows in no `Debug` output.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User of the digest.
    pub user: String,
    /// Its password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.user)
    }
}

/// A hash algorithm of a challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Also meant where a challenge names none.
    Md5,
    /// MD5-sess.
    Md5Sess,
    /// Any other, e.g. SHA-256: not ours to answer.
    Other(String),
}

/// What quality of protection a challenge offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qop {
    /// None named: the form of RFC 2069.
    Absent,
    /// `auth` is among those offered.
    Auth,
    /// Only others, e.g. `auth-int`: not ours to answer.
    Unsupported,
}

/// A Digest challenge of a WWW-Authenticate or Proxy-Authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The realm, unquoted.
    pub realm: String,
    /// The nonce, unquoted. A count of its uses belongs to it (`nc`).
    pub nonce: String,
    /// Echoed, if there.
    pub opaque: Option<String>,
    /// How to hash.
    pub algorithm: Algorithm,
    /// What is protected.
    pub qop: Qop,
    /// The password was right but the nonce is used up: try again at once.
    pub stale: bool,
}

impl Challenge {
    /// Reads one challenge. `None` if it is not Digest, or has no realm or nonce.
    pub fn parse(value: &str) -> Option<Self> {
        Self::parse_list(value).into_iter().next()
    }

    /// Reads all Digest challenges of one header value; others and broken ones are left out.
    pub fn parse_list(value: &str) -> Vec<Self> {
        let mut challenges: Vec<(&str, Params)> = Vec::new();
        for piece in lex::split_list(value, ',') {
            let Some((name, value)) = piece.split_once('=') else { continue };
            // `Digest realm="x"`: a word in front of the name opens a challenge.
            let (scheme, name) = name.trim().rsplit_once(char::is_whitespace).unwrap_or(("", name.trim()));
            if !scheme.is_empty() {
                challenges.push((scheme.trim(), Params::default()));
            }
            if let Some((_, fields)) = challenges.last_mut() {
                fields.push(name, value.trim());
            }
        }
        let digests = challenges.into_iter().filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Digest"));
        digests.filter_map(|(_, fields)| Self::read(&fields)).collect()
    }

    fn read(fields: &Params) -> Option<Self> {
        let text = |name| fields.unquoted(name);
        Some(Self {
            realm: text("realm")?,
            nonce: text("nonce").filter(|nonce| !nonce.is_empty())?,
            opaque: text("opaque"),
            algorithm: algorithm(text("algorithm")),
            qop: qop(text("qop")),
            stale: text("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
        })
    }

    /// Whether [`answer`] can answer it.
    pub fn is_supported(&self) -> bool {
        let hashable = match self.algorithm {
            Algorithm::Md5 | Algorithm::Md5Sess => true,
            Algorithm::Other(_) => false,
        };
        hashable && self.qop != Qop::Unsupported
    }
}

fn algorithm(name: Option<String>) -> Algorithm {
    match name {
        None => Algorithm::Md5,
        Some(name) if name.eq_ignore_ascii_case("MD5") => Algorithm::Md5,
        Some(name) if name.eq_ignore_ascii_case("MD5-sess") => Algorithm::Md5Sess,
        Some(name) => Algorithm::Other(name),
    }
}

fn qop(offered: Option<String>) -> Qop {
    let offered = offered.unwrap_or_default();
    let mut options = offered.split(',').map(str::trim).filter(|option| !option.is_empty()).peekable();
    if options.peek().is_none() {
        return Qop::Absent;
    }
    if options.any(|option| option.eq_ignore_ascii_case("auth")) { Qop::Auth } else { Qop::Unsupported }
}

/// The header with the challenges of a 401 or 407 and the one for the answer; `None` for any other status.
pub fn header_names(status: StatusCode) -> Option<(Name, Name)> {
    match status {
        StatusCode::UNAUTHORIZED => Some((Name::WwwAuthenticate, Name::Authorization)),
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => Some((Name::ProxyAuthenticate, Name::ProxyAuthorization)),
        _ => None,
    }
}

impl Headers {
    /// The Digest challenges in `WwwAuthenticate` or `ProxyAuthenticate` headers, in order of the sender's preference.
    pub fn challenges(&self, name: Name) -> Vec<Challenge> {
        self.all(name).flat_map(Challenge::parse_list).collect()
    }
}

/// The first challenge that [`answer`] can answer: senders put the one they like best first (RFC 8760 §2.4).
pub fn choose(challenges: &[Challenge]) -> Option<&Challenge> {
    challenges.iter().find(|challenge| challenge.is_supported())
}

/// The value of an Authorization or Proxy-Authorization for the first supported challenge, `None` if there is none.
///
/// `nc` counts the requests sent with this nonce, from 1; FreeSWITCH refuses a repeated one as stale. `uri` is the
/// Request-URI. `cnonce` is a fresh random token.
pub fn answer(
    challenges: &[Challenge],
    credentials: &Credentials,
    method: &Method,
    uri: &Uri,
    nc: u32,
    cnonce: &str,
) -> Option<String> {
    let challenge = choose(challenges)?;
    let Challenge { realm, nonce, opaque, algorithm, qop, stale: _ } = challenge;
    let Credentials { user, password } = credentials;
    let secret = md5_hex(&[user, realm, password]);
    let (ha1, algorithm) = match algorithm {
        Algorithm::Md5 => (secret, "MD5"),
        Algorithm::Md5Sess => (md5_hex(&[&secret, nonce, cnonce]), "MD5-sess"),
        Algorithm::Other(_) => return None,
    };
    let ha2 = md5_hex(&[method.as_str(), uri.as_str()]);
    let nc = format!("{nc:08x}");
    let response = match qop {
        Qop::Absent => md5_hex(&[&ha1, nonce, &ha2]),
        Qop::Auth => md5_hex(&[&ha1, nonce, &nc, cnonce, "auth", &ha2]),
        Qop::Unsupported => return None,
    };
    let quote = lex::quote;
    let mut value = format!(
        "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\", algorithm={algorithm}",
        quote(user),
        quote(realm),
        quote(nonce),
        quote(uri.as_str()),
    );
    if let Some(opaque) = opaque {
        value.push_str(&format!(", opaque={}", quote(opaque)));
    }
    // MD5-sess hashes the cnonce also without qop, so the other side must learn it.
    match qop {
        Qop::Auth => value.push_str(&format!(", qop=auth, nc={nc}, cnonce={}", quote(cnonce))),
        Qop::Absent | Qop::Unsupported if algorithm == "MD5-sess" => {
            value.push_str(&format!(", cnonce={}", quote(cnonce)));
        }
        Qop::Absent | Qop::Unsupported => {}
    }
    Some(value)
}

/// MD5 of the parts joined with colons, in lower-case hexadecimal.
fn md5_hex(parts: &[&str]) -> String {
    Md5::digest(parts.join(":")).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields of the answer user 2000 gives for its REGISTER.
    fn answered(challenge: &str, nc: u32) -> Params {
        let credentials = Credentials { user: "2000".into(), password: "s3cret".into() };
        let uri = Uri::parse("sip:test.local").unwrap();
        let challenges = [Challenge::parse(challenge).unwrap()];
        let value = answer(&challenges, &credentials, &Method::Register, &uri, nc, "c1").unwrap();
        let mut fields = Params::default();
        for piece in lex::split_list(value.strip_prefix("Digest ").unwrap(), ',') {
            let (name, value) = piece.split_once('=').unwrap();
            fields.set(name, &lex::unquote(value));
        }
        fields
    }

    /// The steps of RFC 2617 §3.5 (an HTTP request, whose URI is no SIP URI).
    #[test]
    fn rfc_2617_example() {
        let ha1 = md5_hex(&["Mufasa", "testrealm@host.com", "Circle Of Life"]);
        assert_eq!(ha1, "939e7578ed9e3c518a452acee763bce9");
        let ha2 = md5_hex(&["GET", "/dir/index.html"]);
        assert_eq!(ha2, "39aff3a2bab6126f332b942af96d3366");
        let nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093";
        let response = md5_hex(&[&ha1, nonce, "00000001", "0a4f113b", "auth", &ha2]);
        assert_eq!(response, "6629fae49393a05397450978507c4ef1");
    }

    /// Vectors computed outside this program from the formulas of RFC 2617 §3.2.2.
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
        ];
        for (challenge, nc, response) in table {
            let fields = answered(challenge, nc);
            assert_eq!(fields.value("response"), Some(response), "{challenge}");
        }
    }

    #[test]
    fn answers_have_the_form_of_the_challenge() {
        let credentials = Credentials { user: r#"a"b"#.into(), password: "p".into() };
        let uri = Uri::parse("sip:h;transport=tcp").unwrap();
        let value = |challenge: &str| {
            let challenges = Challenge::parse_list(challenge);
            let value = answer(&challenges, &credentials, &Method::Invite, &uri, 0x1f, "c").unwrap();
            let (before, after) = value.split_once("response=\"").unwrap();
            format!("{before}{}", &after[33..])
        };
        assert_eq!(
            value(r#"Digest realm="r \"x\"", nonce="n", opaque="", qop="auth""#),
            r#"Digest username="a\"b", realm="r \"x\"", nonce="n", uri="sip:h;transport=tcp", , algorithm=MD5, opaque="", qop=auth, nc=0000001f, cnonce="c""#
        );
        assert_eq!(
            value(r#"Digest realm="r", nonce="n""#),
            r#"Digest username="a\"b", realm="r", nonce="n", uri="sip:h;transport=tcp", , algorithm=MD5"#
        );
    }

    /// RFC 8760: several challenges, one header each or joined, the sender's favourite first.
    #[test]
    fn the_first_supported_challenge_is_answered() {
        let mut headers = Headers::new();
        headers.push(Name::WwwAuthenticate, r#"Digest realm="r", nonce="sha", algorithm=SHA-256, qop="auth""#);
        let joined = r#"Basic realm="b", Digest realm="r, Digest x=y", nonce="int", qop="auth-int", DIGEST realm="r", nonce="md5""#;
        headers.push(Name::WwwAuthenticate, joined);
        headers.push(Name::WwwAuthenticate, r#"Digest realm="r", nonce="later", stale=true"#);
        let challenges = headers.challenges(Name::WwwAuthenticate);
        let nonces: Vec<_> = challenges.iter().map(|challenge| challenge.nonce.as_str()).collect();
        assert_eq!(nonces, ["sha", "int", "md5", "later"]);
        assert_eq!(choose(&challenges).map(|challenge| challenge.nonce.as_str()), Some("md5"));
        assert_eq!(challenges.iter().map(|challenge| challenge.stale).collect::<Vec<_>>(), [false, false, false, true]);
        assert_eq!(choose(&challenges[..2]), None);
        let credentials = Credentials { user: "u".into(), password: "p".into() };
        let uri = Uri::parse("sip:h").unwrap();
        assert_eq!(answer(&challenges[..2], &credentials, &Method::Bye, &uri, 1, "c"), None);
    }

    #[test]
    fn what_is_no_challenge() {
        for bad in
            ["", "Digest", "Digest realm=\"r\"", "Basic realm=\"r\"", "Digest nonce=\"n\"", "realm=\"r\", nonce=\"n\""]
        {
            assert_eq!(Challenge::parse(bad), None, "{bad}");
        }
        assert_eq!(header_names(StatusCode::UNAUTHORIZED), Some((Name::WwwAuthenticate, Name::Authorization)));
        assert_eq!(header_names(StatusCode::FORBIDDEN), None);
    }

    #[test]
    fn the_password_stays_out_of_logs() {
        let credentials = Credentials { user: "u".into(), password: "hidden".into() };
        assert!(!format!("{credentials:?}").contains("hidden"));
    }
}
