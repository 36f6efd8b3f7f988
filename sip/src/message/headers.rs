//! The ordered list of headers of a message, in rsip's vocabulary.
//!
//! rsip's untyped headers name, hold and print the values; raw network text never reaches rsip's own parsers.
use super::lex;
use rsip::headers::UntypedHeader;
use std::fmt;

macro_rules! vocabulary {
    (rsip { $($known:ident $text:literal $($compact:literal)?,)* } ours { $($ours:ident $our_text:literal $($our_compact:literal)?,)* }) => {
        /// A header this crate knows by name; any other is reached by its text, see [`Headers::named`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Name {
            $(#[doc = concat!("`", $text, "`.")] $known,)*
            $(#[doc = concat!("`", $our_text, "`.")] $ours,)*
        }

        impl Name {
            /// Canonical spelling and compact form of every name.
            const ALL: &[(Self, &str, &str)] = &[
                $((Self::$known, $text, concat!($($compact)?)),)*
                $((Self::$ours, $our_text, concat!($($our_compact)?)),)*
            ];

            /// The canonical spelling.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$known => $text,)*
                    $(Self::$ours => $our_text,)*
                }
            }

            fn header(self, value: String) -> rsip::Header {
                match self {
                    $(Self::$known => rsip::Header::$known(rsip::headers::$known::new(value)),)*
                    $(Self::$ours => rsip::Header::Other($our_text.to_owned(), value),)*
                }
            }

            /// Whether `header` is of this name. Known names are canonical by then: see [`Headers::push_named`].
            fn names(self, header: &rsip::Header) -> bool {
                match header {
                    $(rsip::Header::$known(_) => self == Self::$known,)*
                    rsip::Header::Other(text, _) => text == self.as_str(),
                }
            }
        }

        fn name_text(header: &rsip::Header) -> &str {
            match header {
                $(rsip::Header::$known(_) => $text,)*
                rsip::Header::Other(text, _) => text,
            }
        }

        fn value(header: &rsip::Header) -> &str {
            match header {
                $(rsip::Header::$known(header) => header.value(),)*
                rsip::Header::Other(_, value) => value,
            }
        }
    };
}

vocabulary! {
    rsip {
        Accept "Accept",
        AcceptEncoding "Accept-Encoding",
        AcceptLanguage "Accept-Language",
        AlertInfo "Alert-Info",
        Allow "Allow",
        AuthenticationInfo "Authentication-Info",
        Authorization "Authorization",
        CSeq "CSeq",
        CallId "Call-ID" "i",
        CallInfo "Call-Info",
        Contact "Contact" "m",
        ContentDisposition "Content-Disposition",
        ContentEncoding "Content-Encoding" "e",
        ContentLanguage "Content-Language",
        ContentLength "Content-Length" "l",
        ContentType "Content-Type" "c",
        Date "Date",
        ErrorInfo "Error-Info",
        Event "Event" "o",
        Expires "Expires",
        From "From" "f",
        InReplyTo "In-Reply-To",
        MaxForwards "Max-Forwards",
        MimeVersion "MIME-Version",
        MinExpires "Min-Expires",
        Organization "Organization",
        Priority "Priority",
        ProxyAuthenticate "Proxy-Authenticate",
        ProxyAuthorization "Proxy-Authorization",
        ProxyRequire "Proxy-Require",
        RecordRoute "Record-Route",
        ReplyTo "Reply-To",
        Require "Require",
        RetryAfter "Retry-After",
        Route "Route",
        Server "Server",
        Subject "Subject" "s",
        SubscriptionState "Subscription-State",
        Supported "Supported" "k",
        Timestamp "Timestamp",
        To "To" "t",
        Unsupported "Unsupported",
        UserAgent "User-Agent",
        Via "Via" "v",
        Warning "Warning",
        WwwAuthenticate "WWW-Authenticate",
    }
    ours {
        AllowEvents "Allow-Events" "u",
        Diversion "Diversion",
        HistoryInfo "History-Info",
        Identity "Identity" "y",
        MinSe "Min-SE",
        PAssertedIdentity "P-Asserted-Identity",
        Path "Path",
        Privacy "Privacy",
        RAck "RAck",
        RSeq "RSeq",
        Reason "Reason",
        ReferSub "Refer-Sub",
        ReferTo "Refer-To" "r",
        ReferredBy "Referred-By" "b",
        RejectContact "Reject-Contact" "j",
        AcceptContact "Accept-Contact" "a",
        RequestDisposition "Request-Disposition" "d",
        RemotePartyId "Remote-Party-ID",
        Replaces "Replaces",
        SessionExpires "Session-Expires" "x",
        UserToUser "User-to-User",
    }
}

impl Name {
    /// The known header of this name or compact form, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        let wanted = |&&(_, full, compact): &&(Self, &str, &str)| {
            full.eq_ignore_ascii_case(text) || compact.eq_ignore_ascii_case(text)
        };
        if text.is_empty() { None } else { Self::ALL.iter().find(wanted).map(|(name, _, _)| *name) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Header name that is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a header name is a token")]
pub struct InvalidName;

/// The headers of a message, in order.
///
/// Values hold no control characters and no outer white space. `Content-Length` is never in here: reading a message
/// consumes it, printing one writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<rsip::Header>);

impl Headers {
    /// No headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Value of the first header of this name.
    pub fn first(&self, name: Name) -> Option<&str> {
        self.all(name).next()
    }

    /// Values of all headers of this name, in order. `Via`, `Route` and `Record-Route` have one value each.
    pub fn all(&self, name: Name) -> impl DoubleEndedIterator<Item = &str> {
        self.0.iter().filter(move |header| name.names(header)).map(value)
    }

    /// Values of all headers whose name is `name` in any case, e.g. `X-Call-Token`.
    pub fn named(&self, name: &str) -> impl Iterator<Item = &str> {
        self.iter().filter(move |(text, _)| text.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Every header as name and value, in order. Known names are in canonical spelling.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|header| (name_text(header), value(header)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a header at the end.
    pub fn push(&mut self, name: Name, value: impl AsRef<str>) {
        if name != Name::ContentLength {
            self.0.push(name.header(lex::one_line(value.as_ref()).into_owned()));
        }
    }

    /// Adds a header by the text of its name at the end.
    ///
    /// # Errors
    /// If the name is no token.
    pub fn push_named(&mut self, name: &str, value: impl AsRef<str>) -> Result<(), InvalidName> {
        if let Some(known) = Name::parse(name) {
            self.push(known, value);
            return Ok(());
        }
        if !lex::is_token(name) {
            return Err(InvalidName);
        }
        self.0.push(rsip::Header::Other(name.to_owned(), lex::one_line(value.as_ref()).into_owned()));
        Ok(())
    }

    /// Adds a header before all others: our Via.
    pub fn insert_front(&mut self, name: Name, value: impl AsRef<str>) {
        if name != Name::ContentLength {
            self.0.insert(0, name.header(lex::one_line(value.as_ref()).into_owned()));
        }
    }

    /// Makes this the only header of its name, in the place of the first.
    pub fn set(&mut self, name: Name, value: impl AsRef<str>) {
        match self.0.iter().position(|header| name.names(header)) {
            Some(at) => {
                self.replace_first(name, value);
                let mut index = 0;
                self.0.retain(|header| {
                    index += 1;
                    index <= at + 1 || !name.names(header)
                });
            }
            None => self.push(name, value),
        }
    }

    /// Replaces the value of the first header of this name; the others stay. Nothing happens if there is none.
    pub fn replace_first(&mut self, name: Name, value: impl AsRef<str>) {
        if let Some(header) = self.0.iter_mut().find(|header| name.names(header)) {
            *header = name.header(lex::one_line(value.as_ref()).into_owned());
        }
    }

    /// Takes all headers of this name out.
    pub fn remove(&mut self, name: Name) {
        self.0.retain(|header| !name.names(header));
    }

    /// Adds copies of all headers of this name in `from`, in order.
    pub fn copy(&mut self, name: Name, from: &Self) {
        self.0.extend(from.0.iter().filter(|header| name.names(header)).cloned());
    }

    /// The lines as on the wire, each with CRLF.
    pub(super) fn print(&self, out: &mut String) {
        for header in &self.0 {
            out.push_str(&header.to_string());
            out.push_str("\r\n");
        }
    }

    /// rsip's own header of this name, for the values it reads soundly.
    pub(super) fn rsip(&self, name: Name) -> Option<&rsip::Header> {
        self.0.iter().find(|header| name.names(header))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_any_spelling() {
        for (name, full, compact) in Name::ALL {
            assert_eq!(Name::parse(&full.to_uppercase()), Some(*name));
            if !compact.is_empty() {
                assert_eq!(Name::parse(compact), Some(*name));
            }
        }
        assert_eq!(Name::parse(""), None);
        assert_eq!(Name::parse("X-Foo"), None);
    }

    /// rsip prints the name; ours must be the same, or a message would change by being printed.
    #[test]
    fn rsip_prints_every_name_as_we_spell_it() {
        for (name, full, _) in Name::ALL {
            let line = name.header("v".into()).to_string();
            assert!(line.eq_ignore_ascii_case(&format!("{full}: v")), "{line}");
        }
    }

    #[test]
    fn order_and_replacement() {
        let mut headers = Headers::new();
        for (name, value) in [("v", "1"), ("X-a", "2"), ("via", "3"), ("Refer-to", "4"), ("VIA", "5")] {
            headers.push_named(name, value).unwrap();
        }
        assert_eq!(headers.all(Name::Via).collect::<Vec<_>>(), ["1", "3", "5"]);
        headers.replace_first(Name::Via, "one");
        headers.insert_front(Name::Via, "zero");
        assert_eq!(headers.all(Name::Via).collect::<Vec<_>>(), ["zero", "one", "3", "5"]);
        headers.set(Name::Via, "only");
        let all: Vec<_> = headers.iter().collect();
        assert_eq!(all, [("Via", "only"), ("X-a", "2"), ("Refer-To", "4")]);
        assert_eq!(headers.named("x-A").collect::<Vec<_>>(), ["2"]);
        headers.remove(Name::ReferTo);
        assert_eq!(headers.first(Name::ReferTo), None);
        assert_eq!(headers.push_named("bad name", "x"), Err(InvalidName));
    }

    #[test]
    fn no_value_breaks_its_line() {
        let mut headers = Headers::new();
        headers.push(Name::Subject, "a\r\nEvil: 1\n\n");
        headers.push_named("X-B", "b\rc").unwrap();
        headers.set(Name::Subject, "c\r\nd");
        let mut out = String::new();
        headers.print(&mut out);
        assert_eq!(out, "Subject: c  d\r\nX-B: b c\r\n");
    }
}
