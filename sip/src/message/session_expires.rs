//! `Session-Expires` and `Min-SE` (RFC 4028 §4, §5): how long a session lives without a refresh, and who refreshes.
use super::{Headers, Name, Params};
use std::fmt;

/// Which side of the transaction that carries the header refreshes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresher {
    /// Who sent the request.
    Uac,
    /// Who answers it.
    Uas,
}

/// A `Session-Expires` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionExpires {
    /// The interval in seconds.
    pub seconds: u32,
    /// Who refreshes, where the header says so.
    pub refresher: Option<Refresher>,
}

impl SessionExpires {
    /// Reads a value, e.g. `1800;refresher=uac`. A refresher that is neither side counts as none.
    pub fn parse(value: &str) -> Option<Self> {
        let (seconds, params) = split(value)?;
        let refresher = Params::parse(params)?.value("refresher").and_then(|side| match side {
            side if side.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
            side if side.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
            _ => None,
        });
        Some(Self { seconds, refresher })
    }
}

impl fmt::Display for SessionExpires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.refresher {
            Some(Refresher::Uac) => ";refresher=uac",
            Some(Refresher::Uas) => ";refresher=uas",
            None => "",
        };
        write!(f, "{}{side}", self.seconds)
    }
}

impl Headers {
    /// Session-Expires; a malformed one counts as absent.
    pub fn session_expires(&self) -> Option<SessionExpires> {
        SessionExpires::parse(self.first(Name::SessionExpires)?)
    }

    /// Min-SE in seconds; a malformed one counts as absent.
    pub fn min_se(&self) -> Option<u32> {
        split(self.first(Name::MinSe)?).map(|(seconds, _)| seconds)
    }
}

/// Delta-seconds and the parameters behind them.
fn split(value: &str) -> Option<(u32, &str)> {
    let (seconds, params) = value.split_at_checked(value.find(';').unwrap_or(value.len()))?;
    let seconds = seconds.trim();
    let digits = !seconds.is_empty() && seconds.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| seconds.parse().ok().map(|seconds| (seconds, params))).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints() {
        let table = [
            ("1800", Some((1800, None)), "1800"),
            ("90;refresher=uac", Some((90, Some(Refresher::Uac))), "90;refresher=uac"),
            (" 120 ; x=y ; Refresher=UAS", Some((120, Some(Refresher::Uas))), "120;refresher=uas"),
            ("90;refresher=proxy", Some((90, None)), "90"),
            ("4294967296", None, ""),
            ("+90", None, ""),
            (";refresher=uac", None, ""),
            ("soon", None, ""),
        ];
        for (text, expected, printed) in table {
            let read = SessionExpires::parse(text);
            assert_eq!(read.map(|header| (header.seconds, header.refresher)), expected, "{text}");
            assert_eq!(read.map(|header| header.to_string()).unwrap_or_default(), printed);
        }
    }

    #[test]
    fn both_headers_and_their_compact_form() {
        let mut headers = Headers::new();
        assert_eq!((headers.session_expires(), headers.min_se()), (None, None));
        headers.push_named("x", "180;refresher=uas").unwrap();
        headers.push(Name::MinSe, "120;lr");
        assert_eq!(headers.session_expires().map(|header| header.seconds), Some(180));
        assert_eq!(headers.min_se(), Some(120));
        headers.set(Name::MinSe, "-1");
        assert_eq!(headers.min_se(), None);
    }
}
