//! Challenges of WWW-Authenticate and Proxy-Authenticate: RFC 7616 §3.3, RFC 8760 §2.
use super::Algorithm;
use crate::message::{Headers, Name, Params, StatusCode, lex};

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
        digests(value).iter().filter_map(Self::read).collect()
    }

    fn read(fields: &Params) -> Option<Self> {
        let text = |name| fields.unquoted(name);
        Some(Self {
            realm: text("realm")?,
            nonce: text("nonce").filter(|nonce| !nonce.is_empty())?,
            opaque: text("opaque"),
            algorithm: Algorithm::parse(text("algorithm").as_deref().unwrap_or("MD5")),
            qop: qop(text("qop")),
            stale: text("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
        })
    }

    /// Whether we can answer it.
    pub fn is_supported(&self) -> bool {
        let hashable = match self.algorithm {
            Algorithm::Plain(_) | Algorithm::Session(_) => true,
            Algorithm::Other(_) => false,
        };
        hashable && self.qop != Qop::Unsupported
    }
}

/// The fields of each `Digest` of a header value: of challenges, or of credentials.
pub(super) fn digests(value: &str) -> Vec<Params> {
    let mut all: Vec<(&str, Params)> = Vec::new();
    for piece in lex::split_list(value, ',') {
        let Some((name, value)) = piece.split_once('=') else { continue };
        // `Digest realm="x"`: a word in front of the name opens a challenge.
        let (scheme, name) = name.trim().rsplit_once(char::is_whitespace).unwrap_or(("", name.trim()));
        if !scheme.is_empty() {
            all.push((scheme.trim(), Params::default()));
        }
        if let Some((_, fields)) = all.last_mut() {
            fields.push(name, value.trim());
        }
    }
    let digests = all.into_iter().filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Digest"));
    digests.map(|(_, fields)| fields).collect()
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

/// The first challenge that we can answer: senders put the one they like best first (RFC 8760 §2.4).
pub fn choose(challenges: &[Challenge]) -> Option<&Challenge> {
    challenges.iter().find(|challenge| challenge.is_supported())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8760 §2.4: several challenges, one header each or joined, the sender's favourite first.
    #[test]
    fn the_first_supported_challenge_is_chosen() {
        let mut headers = Headers::new();
        headers.push(Name::WwwAuthenticate, r#"Digest realm="r", nonce="sha3", algorithm=SHA3-256, qop="auth""#);
        let joined = r#"Basic realm="b", Digest realm="r, Digest x=y", nonce="int", qop="auth-int", DIGEST realm="r", nonce="sha", algorithm=SHA-256"#;
        headers.push(Name::WwwAuthenticate, joined);
        headers.push(Name::WwwAuthenticate, r#"Digest realm="r", nonce="md5", stale=true"#);
        let challenges = headers.challenges(Name::WwwAuthenticate);
        let nonces: Vec<_> = challenges.iter().map(|challenge| challenge.nonce.as_str()).collect();
        assert_eq!(nonces, ["sha3", "int", "sha", "md5"]);
        assert_eq!(choose(&challenges).map(|challenge| challenge.nonce.as_str()), Some("sha"));
        assert_eq!(challenges.iter().map(|challenge| challenge.stale).collect::<Vec<_>>(), [false, false, false, true]);
        assert_eq!(choose(&challenges[..2]), None);
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

    /// RFC 7616 §3.3: what a challenge says beside the fields we know changes nothing.
    #[test]
    fn userhash_and_charset_are_passed_over() {
        let value = r#"Digest realm="r", userhash=true, charset=UTF-8, nonce="n", algorithm=SHA-512-256, qop="auth, auth-int", domain="sip:h""#;
        assert!(Challenge::parse(value).unwrap().is_supported());
    }
}
