//! `CSeq` (RFC 3261 §20.16).
use super::{Headers, Method, Name};
use std::fmt;

/// Number and method of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CSeq {
    /// FreeSWITCH begins in the hundreds of millions.
    pub number: u32,
    /// The method; CANCEL and ACK carry the number of their INVITE.
    pub method: Method,
}

impl CSeq {
    /// A number and a method.
    pub fn new(number: u32, method: Method) -> Self {
        Self { number, method }
    }

    /// Reads `1 INVITE`.
    pub fn parse(value: &str) -> Option<Self> {
        let (number, method) = value.split_once([' ', '\t'])?;
        if !number.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Some(Self { number: number.parse().ok()?, method: method.trim().parse().ok()? })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

impl Headers {
    /// The CSeq.
    pub fn cseq(&self) -> Option<CSeq> {
        self.first(Name::CSeq).and_then(CSeq::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads() {
        assert_eq!(CSeq::parse("0009 \t INVITE"), Some(CSeq::new(9, Method::Invite)));
        assert_eq!(CSeq::parse("4294967295 X"), Some(CSeq::new(u32::MAX, Method::Other("X".into()))));
        for bad in ["", "1", "INVITE", "4294967296 INVITE", "-1 INVITE", "+1 INVITE", "1 IN VITE"] {
            assert_eq!(CSeq::parse(bad), None, "{bad}");
        }
    }
}
