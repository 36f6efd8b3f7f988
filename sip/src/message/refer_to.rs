//! `Refer-To` (RFC 3515) and the `Replaces` (RFC 3891) it may carry.
use super::{Headers, Name, NameAddr, Params, lex};
use crate::uri::{Uri, UriError};
use std::fmt;

/// The dialog to be replaced, named as its other side names it: `to_tag` is the tag of the side that gets the INVITE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaces {
    /// Call-ID of the dialog.
    pub call_id: String,
    /// Local tag of whoever receives the INVITE with this Replaces.
    pub to_tag: String,
    /// Its remote tag.
    pub from_tag: String,
    /// Only to be replaced while ringing.
    pub early_only: bool,
}

impl Replaces {
    /// Reads `call-id;to-tag=..;from-tag=..`. `None` without Call-ID or one of the tags.
    pub fn parse(value: &str) -> Option<Self> {
        let (call_id, params) = value.split_at_checked(value.find(';')?)?;
        let call_id = call_id.trim();
        let params = Params::parse(params)?;
        (!call_id.is_empty() && !call_id.contains(char::is_whitespace)).then_some(())?;
        Some(Self {
            call_id: call_id.to_owned(),
            to_tag: params.value("to-tag")?.to_owned(),
            from_tag: params.value("from-tag")?.to_owned(),
            early_only: params.value("early-only").is_some(),
        })
    }
}

impl fmt::Display for Replaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let early_only = if self.early_only { ";early-only" } else { "" };
        write!(f, "{};to-tag={};from-tag={}{early_only}", self.call_id, self.to_tag, self.from_tag)
    }
}

/// Where a REFER sends its receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferTo(pub NameAddr);

impl ReferTo {
    /// A blind transfer to `target`.
    pub fn blind(target: Uri) -> Self {
        Self(NameAddr::new(target))
    }

    /// An attended transfer: `target` takes the place of our side of the dialog `replaces` names.
    ///
    /// # Errors
    /// If the target is no SIP URI.
    pub fn attended(target: &Uri, replaces: &Replaces) -> Result<Self, UriError> {
        Ok(Self(NameAddr::new(target.with_header("Replaces", &replaces.to_string())?)))
    }

    /// Reads one value. A comma-joined list is refused: REFER has one target (RFC 3515 §2.1).
    pub fn parse(value: &str) -> Option<Self> {
        if lex::split_list(value, ',').nth(1).is_some() {
            return None;
        }
        NameAddr::parse(value).map(Self)
    }

    /// The Replaces in its URI.
    pub fn replaces(&self) -> Option<Replaces> {
        Replaces::parse(&self.0.uri.header("Replaces")?)
    }
}

impl fmt::Display for ReferTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Headers {
    /// Refer-To; `None` also if there are two of them.
    pub fn refer_to(&self) -> Option<ReferTo> {
        let mut all = self.all(Name::ReferTo);
        let first = all.next()?;
        if all.next().is_some() { None } else { ReferTo::parse(first) }
    }

    /// Replaces of an INVITE.
    pub fn replaces(&self) -> Option<Replaces> {
        self.first(Name::Replaces).and_then(Replaces::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attended_transfer_goes_there_and_back() {
        let replaces = Replaces {
            call_id: "q1%x@lab;2".replace(';', "_"),
            to_tag: "FKer5".into(),
            from_tag: "z&9".into(),
            early_only: false,
        };
        let target = Uri::parse("sip:1000@test.local").unwrap();
        let refer_to = ReferTo::attended(&target, &replaces).unwrap();
        let text = "<sip:1000@test.local?Replaces=q1%25x%40lab_2%3Bto-tag%3DFKer5%3Bfrom-tag%3Dz%269>";
        assert_eq!(refer_to.to_string(), text);
        let mut headers = Headers::new();
        headers.push_named("r", text).unwrap();
        assert_eq!(headers.refer_to(), Some(refer_to));
        assert_eq!(headers.refer_to().unwrap().replaces(), Some(replaces));
        assert!(
            ReferTo::attended(&Uri::parse("tel:1000").unwrap(), &Replaces::parse("c;to-tag=1;from-tag=2").unwrap())
                .is_err()
        );
    }

    #[test]
    fn forms() {
        for good in ["<sip:1000@test.local>", "sip:1000@h:5060", "<tel:1000>", "<mailto:a@b>", "\"A, B\" <sip:x@h>"] {
            assert!(ReferTo::parse(good).is_some_and(|refer_to| refer_to.replaces().is_none()), "{good}");
        }
        for bad in ["", "1000", "<sip:a@h>, <sip:b@h>"] {
            assert_eq!(ReferTo::parse(bad), None, "{bad}");
        }
        for bad in ["", "callid", "callid;to-tag=1", ";to-tag=1;from-tag=2", "a b;to-tag=1;from-tag=2"] {
            assert_eq!(Replaces::parse(bad), None, "{bad}");
        }
        let mut twice = Headers::new();
        twice.push(Name::ReferTo, "<sip:a@h>");
        twice.push(Name::ReferTo, "<sip:b@h>");
        assert_eq!(twice.refer_to(), None);
    }
}
