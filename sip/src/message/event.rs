//! `Event` (RFC 6665 §8.2.1).
use super::{Headers, Name, Params};

/// An event package and the subscription it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPackage {
    /// In lower case, e.g. `refer`.
    pub package: String,
    /// For `refer`: the CSeq number of the REFER, left out by some for the first (RFC 3515 §2.4.6).
    pub id: Option<String>,
}

impl EventPackage {
    /// Reads `refer;id=93809824`.
    pub fn parse(value: &str) -> Option<Self> {
        let (package, params) = value.split_at_checked(value.find(';').unwrap_or(value.len()))?;
        let params = Params::parse(params)?;
        let package = package.trim().to_ascii_lowercase();
        (!package.is_empty()).then(|| Self { package, id: params.value("id").map(str::to_owned) })
    }
}

impl Headers {
    /// Event.
    pub fn event(&self) -> Option<EventPackage> {
        self.first(Name::Event).and_then(EventPackage::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads() {
        let mut headers = Headers::new();
        headers.push_named("o", "Refer ; id=93").unwrap();
        assert_eq!(headers.event(), Some(EventPackage { package: "refer".into(), id: Some("93".into()) }));
        assert_eq!(EventPackage::parse("message-summary").unwrap().id, None);
        assert_eq!(EventPackage::parse(";id=1"), None);
    }
}
