//! `RSeq` and `RAck` (RFC 3262 §7.1 and §7.2).
use super::{Headers, Method, Name};
use std::fmt;

/// Which provisional response a PRACK acknowledges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RAck {
    /// RSeq of the response.
    pub rseq: u32,
    /// CSeq number of the request it answers.
    pub cseq: u32,
    /// Method of that request.
    pub method: Method,
}

impl RAck {
    /// Reads `776656 1 INVITE`.
    pub fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let (rseq, cseq, method) = (number(words.next()?)?, number(words.next()?)?, words.next()?.parse().ok()?);
        words.next().is_none().then_some(Self { rseq, cseq, method })
    }
}

impl fmt::Display for RAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.rseq, self.cseq, self.method)
    }
}

impl Headers {
    /// RSeq, if it is a number.
    pub fn rseq(&self) -> Option<u32> {
        self.first(Name::RSeq).and_then(number)
    }

    /// RAck.
    pub fn rack(&self) -> Option<RAck> {
        self.first(Name::RAck).and_then(RAck::parse)
    }
}

fn number(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints() {
        let rack = RAck { rseq: 776_656, cseq: 1, method: Method::Invite };
        assert_eq!(RAck::parse("776656 \t 1  INVITE"), Some(rack.clone()));
        assert_eq!(rack.to_string(), "776656 1 INVITE");
        for bad in ["", "1", "1 2", "x 2 INVITE", "1 +2 INVITE", "1 4294967296 INVITE", "1 2 INVITE 3", "1 2 IN@VITE"] {
            assert_eq!(RAck::parse(bad), None, "{bad}");
        }
        let mut headers = Headers::new();
        headers.push_named("rseq", "4294967295").unwrap();
        assert_eq!((headers.rseq(), headers.rack()), (Some(u32::MAX), None));
        headers.set(Name::RSeq, "-1");
        assert_eq!(headers.rseq(), None);
    }
}
