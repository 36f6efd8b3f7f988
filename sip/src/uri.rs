//! SIP, SIPS and TEL URIs (RFC 3261 §19.1, RFC 3966), kept verbatim and read in place.
use crate::message::lex;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::Range,
    str::FromStr,
};

/// The scheme of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `sip`.
    Sip,
    /// `sips`.
    Sips,
    /// `tel`: the number is the user, there is no host.
    Tel,
    /// Any other: only the text is known; as an R-URI it is answered 416 (RFC 3261 §8.2.2.1).
    Other,
}

/// A URI exactly as written, with its parts.
///
/// Printing gives back the text it was read from: a remote target such as `sip:ai@h:5080;transport=udp;gw=ai` must
/// return to its owner byte for byte (RFC 3261 §12.2.1.1).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Uri {
    text: String,
    parts: Parts,
}

/// Where the parts stand in the text.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
struct Parts {
    scheme: Range<usize>,
    user: Option<Range<usize>>,
    host: Range<usize>,
    port: Option<u16>,
    params: Range<usize>,
    headers: Range<usize>,
}

/// The text is no URI: the reason why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// No `scheme:` in front.
    #[error("no scheme")]
    Scheme,
    /// White space, a control character, `<`, `>` or `"`.
    #[error("forbidden character")]
    Character,
    /// The host is empty, not a name and not an address.
    #[error("bad host")]
    Host,
    /// The port is no number below 65536.
    #[error("bad port")]
    Port,
    /// A `tel` URI without a number.
    #[error("no number")]
    Number,
}

impl Uri {
    /// Reads a URI, without angle brackets around it.
    ///
    /// # Errors
    /// What keeps the text from being one.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        if text.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '"')) {
            return Err(UriError::Character);
        }
        let colon = text.find(':').ok_or(UriError::Scheme)?;
        let name = text.get(..colon).unwrap_or_default();
        let valid = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) || !name.bytes().all(valid) {
            return Err(UriError::Scheme);
        }
        let mut parts = match scheme(name) {
            Scheme::Sip | Scheme::Sips => sip_parts(text, colon + 1)?,
            Scheme::Tel => tel_parts(text, colon + 1)?,
            Scheme::Other => Parts::default(),
        };
        parts.scheme = 0..colon;
        Ok(Self { text: text.to_owned(), parts })
    }

    /// `sip:host:port`, or `sip:user@host:port` with the user escaped as needed.
    ///
    /// # Errors
    /// If `host` (with port) is not one.
    pub fn sip(user: Option<&str>, host_and_port: &str) -> Result<Self, UriError> {
        match user {
            Some(user) => Self::parse(&format!("sip:{}@{host_and_port}", escape(user, USER))),
            None => Self::parse(&format!("sip:{host_and_port}")),
        }
    }

    /// The same URI with `;name=value` added to its parameters.
    ///
    /// # Errors
    /// If the name or value cannot stand in a URI.
    pub fn with_param(&self, name: &str, value: &str) -> Result<Self, UriError> {
        let (head, tail) = self.text.split_at_checked(self.parts.params.end).ok_or(UriError::Character)?;
        Self::parse(&format!("{head};{name}={value}{tail}"))
    }

    /// The same URI with `name=value` added to its headers, both escaped.
    ///
    /// # Errors
    /// If the URI does not take headers (a `tel` URI).
    pub fn with_header(&self, name: &str, value: &str) -> Result<Self, UriError> {
        if !matches!(self.scheme(), Scheme::Sip | Scheme::Sips) {
            return Err(UriError::Scheme);
        }
        let mark = if self.parts.headers.is_empty() { '?' } else { '&' };
        Self::parse(&format!("{}{mark}{}={}", self.text, escape(name, HEADER), escape(value, HEADER)))
    }

    /// The text as read.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        scheme(self.slice(&self.parts.scheme))
    }

    /// User part as written, without password; the number of a `tel` URI.
    pub fn user(&self) -> Option<&str> {
        self.parts.user.as_ref().map(|range| self.slice(range))
    }

    /// User part with `%` escapes resolved; empty if there is none.
    pub fn user_unescaped(&self) -> String {
        unescape(self.user().unwrap_or_default())
    }

    /// Host as written: a name, an IPv4 address, or an IPv6 address in brackets. Empty for `tel` and other schemes.
    pub fn host(&self) -> &str {
        self.slice(&self.parts.host)
    }

    /// The host if it is an address.
    pub fn host_ip(&self) -> Option<IpAddr> {
        ip(self.host())
    }

    /// The port, if written.
    pub fn port(&self) -> Option<u16> {
        self.parts.port
    }

    /// Value of a URI parameter as written; empty for one without a value; `None` if absent.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The URI parameters, as written.
    pub fn params(&self) -> impl Iterator<Item = (&str, &str)> {
        pairs(self.slice(&self.parts.params), ';')
    }

    /// Value of a header of the URI (`?name=value`), unescaped.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers().find(|(n, _)| unescape(n).eq_ignore_ascii_case(name)).map(|(_, value)| unescape(value))
    }

    /// The headers of the URI, still escaped.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        pairs(self.slice(&self.parts.headers), '&')
    }

    /// Comparison of RFC 3261 §19.1.4; other schemes compare as text without case. A URI is equivalent to itself even
    /// if it names a parameter twice.
    pub fn equivalent(&self, other: &Self) -> bool {
        if self.text == other.text {
            return true;
        }
        if !matches!(self.scheme(), Scheme::Sip | Scheme::Sips) {
            return self.text.eq_ignore_ascii_case(&other.text);
        }
        self.scheme() == other.scheme()
            && self.user().map(unescape) == other.user().map(unescape)
            && self.host().eq_ignore_ascii_case(other.host())
            && self.port() == other.port()
            && self.params_agree(other)
            && other.params_agree(self)
            && self.headers_in(other)
            && other.headers_in(self)
    }

    /// A parameter of both must match; five of them count even if only one side has them.
    fn params_agree(&self, other: &Self) -> bool {
        const DECIDING: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];
        self.params().all(|(name, value)| match other.param(name) {
            Some(theirs) => unescape(value).eq_ignore_ascii_case(&unescape(theirs)),
            None => !DECIDING.iter().any(|deciding| deciding.eq_ignore_ascii_case(name)),
        })
    }

    fn headers_in(&self, other: &Self) -> bool {
        self.headers().all(|(name, value)| other.header(&unescape(name)) == Some(unescape(value)))
    }

    fn slice(&self, range: &Range<usize>) -> &str {
        self.text.get(range.clone()).unwrap_or_default()
    }
}

fn scheme(name: &str) -> Scheme {
    let known = [("sip", Scheme::Sip), ("sips", Scheme::Sips), ("tel", Scheme::Tel)];
    known.into_iter().find(|(text, _)| text.eq_ignore_ascii_case(name)).map_or(Scheme::Other, |(_, scheme)| scheme)
}

/// Parts of `sip:` and `sips:`. The first `@` ends the user, which may hold `;` and `?` (RFC 3261 §25.1).
fn sip_parts(text: &str, start: usize) -> Result<Parts, UriError> {
    let rest = text.get(start..).ok_or(UriError::Host)?;
    let (user, host_start) = match rest.find('@') {
        Some(at) => {
            let info = rest.get(..at).unwrap_or_default();
            let length = info.find(':').unwrap_or(info.len());
            (Some(start..start + length), start + at + 1)
        }
        None => (None, start),
    };
    if user.as_ref().is_some_and(Range::is_empty) {
        return Err(UriError::Character);
    }
    let tail = text.get(host_start..).ok_or(UriError::Host)?;
    let params_start = host_start + tail.find([';', '?']).unwrap_or(tail.len());
    let question = text.get(params_start..).and_then(|t| t.find('?'));
    let params_end = question.map_or(text.len(), |at| params_start + at);
    let (host, port) = host_port(text.get(host_start..params_start).unwrap_or_default())?;
    Ok(Parts {
        scheme: 0..0,
        user,
        host: host_start..host_start + host.len(),
        port,
        params: params_start..params_end,
        headers: params_end..text.len(),
    })
}

fn tel_parts(text: &str, start: usize) -> Result<Parts, UriError> {
    let rest = text.get(start..).unwrap_or_default();
    let end = start + rest.find(';').unwrap_or(rest.len());
    let number = text.get(start..end).unwrap_or_default();
    let dialable = |b: u8| b.is_ascii_hexdigit() || b"+-.()*#".contains(&b);
    if number.is_empty() || !number.bytes().all(dialable) {
        return Err(UriError::Number);
    }
    Ok(Parts { user: Some(start..end), params: end..text.len(), ..Parts::default() })
}

/// Reads `host` or `host:port`, an IPv6 address in brackets.
pub(crate) fn host_port(text: &str) -> Result<(&str, Option<u16>), UriError> {
    let host_end = match text.strip_prefix('[') {
        Some(inner) => inner.find(']').ok_or(UriError::Host)? + 2,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at_checked(host_end).ok_or(UriError::Host)?;
    let host = host.trim_end();
    let named = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    let valid = if host.starts_with('[') { ip(host).is_some() } else { host.bytes().all(named) };
    if host.is_empty() || !valid {
        return Err(UriError::Host);
    }
    let rest = rest.trim_start();
    if rest.is_empty() {
        return Ok((host, None));
    }
    let digits = rest.strip_prefix(':').ok_or(UriError::Port)?.trim();
    let port = if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None };
    Ok((host, Some(port.ok_or(UriError::Port)?)))
}

/// The address a host stands for, brackets allowed.
pub(crate) fn ip(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[') {
        Some(inner) => ipv6(inner.strip_suffix(']')?).map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

/// The grammar of RFC 3261 puts a third colon before an embedded IPv4 address: RFC 5118 §4.10 has us tolerate it.
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    text.parse().ok().or_else(|| {
        let (high, embedded) = text.split_once(":::")?;
        embedded.parse::<Ipv4Addr>().ok()?;
        format!("{high}::{embedded}").parse().ok()
    })
}

fn pairs(list: &str, separator: char) -> impl Iterator<Item = (&str, &str)> {
    let list = list.strip_prefix([';', '?']).unwrap_or(list);
    list.split(separator).filter(|piece| !piece.is_empty()).map(|piece| piece.split_once('=').unwrap_or((piece, "")))
}

/// Characters a user part may hold unescaped, besides letters and digits (RFC 3261 §25.1, `user`).
pub(crate) const USER: &[u8] = b"-_.!~*'()&=+$,;?/";
/// Characters a URI header may hold unescaped, besides letters and digits (RFC 3261 §25.1, `hvalue`).
pub(crate) const HEADER: &[u8] = b"-_.!~*'()[]/?:+$";

/// `text` with every byte escaped that is neither a letter, a digit nor in `plain`.
pub(crate) fn escape(text: &str, plain: &[u8]) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).map_or('0', |b| char::from(*b));
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    escaped
}

/// `text` with `%hh` resolved; broken escapes stay, bytes that are no UTF-8 become U+FFFD.
pub(crate) fn unescape(text: &str) -> String {
    let hex = |byte: Option<u8>| byte.and_then(|b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        match (byte, hex(ahead.next()), hex(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                plain.push(high << 4 | low);
                bytes = ahead;
            }
            _ => plain.push(byte),
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

impl FromStr for Uri {
    type Err = UriError;
    fn from_str(text: &str) -> Result<Self, UriError> {
        Self::parse(text)
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uri({})", lex::one_line(&self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scheme, user, host, port
    type Row = (&'static str, Scheme, Option<&'static str>, &'static str, Option<u16>);

    #[test]
    fn parts() {
        let table: &[Row] = &[
            ("sip:john.doe@h.example", Scheme::Sip, Some("john.doe"), "h.example", None),
            ("sip:a:secret@10.0.0.1:5080;transport=udp;gw=ai", Scheme::Sip, Some("a"), "10.0.0.1", Some(5080)),
            ("SIPS:[2001:db8::10]:5061", Scheme::Sips, None, "[2001:db8::10]", Some(5061)),
            (
                "sip:user;par=u%40example.net@example.com",
                Scheme::Sip,
                Some("user;par=u%40example.net"),
                "example.com",
                None,
            ),
            ("sip:1?x=y@h?Subject=a", Scheme::Sip, Some("1?x=y"), "h", None),
            ("tel:+55-11-5555;phone-context=x", Scheme::Tel, Some("+55-11-5555"), "", None),
            ("mailto:a@b", Scheme::Other, None, "", None),
            ("sip:%00@host_1.lan", Scheme::Sip, Some("%00"), "host_1.lan", None),
        ];
        for (text, scheme, user, host, port) in table {
            let uri = Uri::parse(text).unwrap();
            assert_eq!((uri.scheme(), uri.user(), uri.host(), uri.port()), (*scheme, *user, *host, *port), "{text}");
            assert_eq!(uri.to_string(), *text);
        }
    }

    #[test]
    fn refusals() {
        let table = [
            ("", UriError::Scheme),
            ("1000", UriError::Scheme),
            ("sip:", UriError::Host),
            ("sip:a@", UriError::Host),
            ("sip:@h", UriError::Character),
            ("sip:a@b@c", UriError::Host),
            ("sip:h:99999", UriError::Port),
            ("sip:h:+5", UriError::Port),
            ("sip:[::1", UriError::Host),
            ("sip:[1.2.3.4]", UriError::Host),
            ("sip:[2001:db8:::1]", UriError::Host),
            ("sip:[1:::2:::192.0.2.1]", UriError::Host),
            ("sip:a@h x", UriError::Character),
            ("<sip:a@h>", UriError::Character),
            ("sip:a@h\r\nEvil: 1", UriError::Character),
            ("tel:", UriError::Number),
        ];
        for (text, error) in table {
            assert_eq!(Uri::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn parameters_and_headers() {
        let uri = Uri::parse("sip:x@h;LR;transport=foo?Replaces=a%40b%3Bto-tag%3D1&X=2").unwrap();
        assert_eq!((uri.param("lr"), uri.param("transport"), uri.param("none")), (Some(""), Some("foo"), None));
        assert_eq!(uri.header("replaces").as_deref(), Some("a@b;to-tag=1"));
        let again = Uri::parse("sip:x@h;LR;transport=foo").unwrap();
        let again = again.with_header("Replaces", "a@b;to-tag=1").unwrap().with_header("X", "2").unwrap();
        assert_eq!(again.as_str(), uri.as_str());
        assert_eq!(uri.with_param("gw", "ai").unwrap().param("gw"), Some("ai"));
        assert_eq!(Uri::sip(Some("a@b c"), "[::1]:5060").unwrap().user_unescaped(), "a@b c");
    }

    /// RFC 3261 §19.1.4, both of its lists.
    #[test]
    fn equivalence() {
        let same = [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtlanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;ttl=1;ttl=2", "sip:carol@chicago.com;ttl=1;ttl=2"),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
        ];
        let different = [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sips:bob@biloxi.com"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ];
        let equivalent = |(a, b): (&str, &str)| Uri::parse(a).unwrap().equivalent(&Uri::parse(b).unwrap());
        assert!(same.into_iter().all(equivalent));
        assert!(!different.into_iter().any(equivalent));
    }
}
