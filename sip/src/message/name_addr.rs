//! `name-addr` and `addr-spec` with parameters (RFC 3261 §20.10): From, To, Contact, Route, Record-Route, Refer-To,
//! Referred-By, Remote-Party-ID, P-Asserted-Identity.
use super::{Headers, Name, Params, lex};
use crate::uri::Uri;
use std::fmt;

/// A display name, a URI and the header's own parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAddr {
    /// Display name without quotes and escapes; empty if there is none.
    pub display: String,
    /// The URI.
    pub uri: Uri,
    /// Parameters of the header, e.g. `tag` or `expires`, not of the URI.
    pub params: Params,
}

impl NameAddr {
    /// Just a URI.
    pub fn new(uri: Uri) -> Self {
        Self { display: String::new(), uri, params: Params::default() }
    }

    /// Reads one value. Without angle brackets, everything from the first `;` belongs to the header, and a URI with a
    /// `?` is none (§20.10).
    pub fn parse(value: &str) -> Option<Self> {
        let value = value.trim();
        let display_end = match value.starts_with('"') {
            true => lex::quoted_length(value)?,
            false => value.find(['<', ';', '"']).unwrap_or(value.len()),
        };
        let (display, rest) = value.split_at_checked(display_end)?;
        let Some(bracketed) = rest.trim_start().strip_prefix('<') else {
            let uri = Uri::parse(display.trim_end()).ok().filter(|uri| uri.headers().next().is_none())?;
            return Some(Self { display: String::new(), uri, params: Params::parse(rest)? });
        };
        let (uri, params) = bracketed.split_once('>')?;
        Some(Self {
            display: lex::unquote(display.trim_end()).into_owned(),
            uri: Uri::parse(uri).ok()?,
            params: Params::parse(params)?,
        })
    }

    /// The same with this tag.
    pub fn with_tag(mut self, tag: &str) -> Self {
        self.params.set("tag", tag);
        self
    }

    /// The tag, if there is one.
    pub fn tag(&self) -> Option<&str> {
        self.params.value("tag").filter(|tag| !tag.is_empty())
    }
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.display.is_empty() {
            write!(f, "{} ", lex::quote(&self.display))?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}

impl Headers {
    /// From.
    pub fn from(&self) -> Option<NameAddr> {
        self.first(Name::From).and_then(NameAddr::parse)
    }

    /// To.
    pub fn to(&self) -> Option<NameAddr> {
        self.first(Name::To).and_then(NameAddr::parse)
    }

    /// The first contact that is a URI (`*` is none).
    pub fn contact(&self) -> Option<NameAddr> {
        self.contacts().into_iter().next()
    }

    /// All contacts that are URIs.
    pub fn contacts(&self) -> Vec<NameAddr> {
        self.addresses(Name::Contact)
    }

    /// The route, topmost first. `None` if any of it cannot be read.
    pub fn routes(&self) -> Option<Vec<NameAddr>> {
        self.all(Name::Route).map(NameAddr::parse).collect()
    }

    /// The recorded route, as it stands in the message. `None` if any of it cannot be read.
    pub fn record_routes(&self) -> Option<Vec<NameAddr>> {
        self.all(Name::RecordRoute).map(NameAddr::parse).collect()
    }

    /// All readable addresses of a header that lists them, e.g. `P-Asserted-Identity`.
    pub fn addresses(&self, name: Name) -> Vec<NameAddr> {
        self.all(name).flat_map(|value| lex::split_list(value, ',')).filter_map(NameAddr::parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints() {
        let table = [
            (r#""Mr. \"J\" \\" <sip:j@h;x=1>;tag=a"#, r#"Mr. "J" \"#, "sip:j@h;x=1", Some("a")),
            ("caller<sip:caller@example.com>;tag=323", "caller", "sip:caller@example.com", Some("323")),
            ("sip:a@h;tag=1;x", "", "sip:a@h", Some("1")),
            ("tel:+5511;tag=2", "", "tel:+5511", Some("2")),
            ("<sip:ai@127.0.0.1:15080;transport=udp;gw=ai>", "", "sip:ai@127.0.0.1:15080;transport=udp;gw=ai", None),
            ("Watson, Thomas <sip:t@bell.example>", "Watson, Thomas", "sip:t@bell.example", None),
            (r#"<sip:a@h>;+sip.instance="<urn:uuid:f81>";tag=q"#, "", "sip:a@h", Some("q")),
            (r#""" <sip:2000@h>"#, "", "sip:2000@h", None),
            ("José <sip:1@h>", "José", "sip:1@h", None),
        ];
        for (text, display, uri, tag) in table {
            let address = NameAddr::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((address.display.as_str(), address.uri.as_str(), address.tag()), (display, uri, tag), "{text}");
            assert_eq!(NameAddr::parse(&address.to_string()), Some(address));
        }
    }

    #[test]
    fn refusals() {
        for bad in [
            "",
            "*",
            r#""Mr. J <sip:j@h>"#,
            "<sip:j@h",
            "sip:j@h?a=b",
            "< sip:j@h >",
            "<sip:j@h> x",
            r#"a"b <sip:j@h>"#,
            "<>",
        ] {
            assert_eq!(NameAddr::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn contacts_come_in_lists() {
        let mut headers = Headers::new();
        headers.push(Name::Contact, r#""Quote, comma" <sip:a@h>;q=0.7, <sip:b@h>"#);
        headers.push(Name::Contact, "sip:c@h;expires=60");
        let users: Vec<_> = headers.contacts().iter().map(|c| c.uri.user_unescaped()).collect();
        assert_eq!(users, ["a", "b", "c"]);
    }
}
