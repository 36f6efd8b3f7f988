//! `Reason` (RFC 3326): why a request was sent, mostly a Q.850 cause.
use super::{Headers, Name, Params, lex};
use crate::leg::Reason;
use std::fmt;

impl Reason {
    /// Reads one value, e.g. `Q.850;cause=16;text="NORMAL_CLEARING"`.
    pub fn parse(value: &str) -> Option<Self> {
        let (protocol, params) = value.split_at_checked(value.find(';').unwrap_or(value.len()))?;
        let protocol = protocol.trim();
        let params = Params::parse(params)?;
        lex::is_token(protocol).then(|| Self {
            protocol: protocol.to_owned(),
            cause: params.value("cause").and_then(|cause| cause.parse().ok()),
            text: params.unquoted("text"),
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.protocol)?;
        if let Some(cause) = self.cause {
            write!(f, ";cause={cause}")?;
        }
        match &self.text {
            Some(text) => write!(f, ";text={}", lex::quote(text)),
            None => Ok(()),
        }
    }
}

impl Headers {
    /// The Reason: the Q.850 one where there are several, as it says most.
    pub fn reason(&self) -> Option<Reason> {
        let mut reasons = self.reasons();
        let best = reasons.iter().position(|reason| reason.protocol.eq_ignore_ascii_case("Q.850")).unwrap_or(0);
        (best < reasons.len()).then(|| reasons.swap_remove(best))
    }

    /// All readable Reasons, in order.
    pub fn reasons(&self) -> Vec<Reason> {
        self.all(Name::Reason).flat_map(|value| lex::split_list(value, ',')).filter_map(Reason::parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints() {
        let table = [
            (r#"Q.850;cause=16;text="NORMAL_CLEARING""#, "Q.850", Some(16), Some("NORMAL_CLEARING")),
            (r#"SIP;cause=487;text="say \"no\", please""#, "SIP", Some(487), Some(r#"say "no", please"#)),
            ("SIP", "SIP", None, None),
        ];
        for (text, protocol, cause, words) in table {
            let reason = Reason::parse(text).unwrap();
            assert_eq!((reason.protocol.as_str(), reason.cause, reason.text.as_deref()), (protocol, cause, words));
            assert_eq!(reason.to_string(), text);
        }
        assert_eq!(Reason::parse("SIP ; cause=99999").unwrap().cause, None);
        assert_eq!(Reason::parse(";cause=1"), None);
    }

    #[test]
    fn q850_says_most() {
        let mut headers = Headers::new();
        assert_eq!(headers.reason(), None);
        headers.push(Name::Reason, "SIP;cause=200, Q.850;cause=17");
        assert_eq!(headers.reason().and_then(|reason| reason.cause), Some(17));
        assert_eq!(headers.reasons().len(), 2);
    }
}
