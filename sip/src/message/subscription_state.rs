//! `Subscription-State` (RFC 6665 §8.2.3).
use super::{Headers, Name, Params};

/// State of a subscription, as a NOTIFY tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionState {
    /// Whether more will come.
    pub state: SubState,
    /// Seconds until it ends by itself.
    pub expires: Option<u32>,
    /// Why it is terminated, in lower case, e.g. `noresource`.
    pub reason: Option<String>,
}

/// The state itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubState {
    /// Accepted; notifications follow. Also any state this table does not know (RFC 6665 §4.1.3).
    Active,
    /// Waiting to be accepted.
    Pending,
    /// Over: no more notifications.
    Terminated,
}

impl SubscriptionState {
    /// Reads `terminated;reason=noresource`.
    pub fn parse(value: &str) -> Option<Self> {
        let (word, params) = value.split_at_checked(value.find(';').unwrap_or(value.len()))?;
        let params = Params::parse(params)?;
        let state = match word.trim().to_ascii_lowercase().as_str() {
            "" => return None,
            "terminated" => SubState::Terminated,
            "pending" => SubState::Pending,
            _ => SubState::Active,
        };
        Some(Self {
            state,
            expires: params.value("expires").and_then(|seconds| seconds.parse().ok()),
            reason: params.value("reason").map(str::to_ascii_lowercase),
        })
    }
}

impl Headers {
    /// Subscription-State.
    pub fn subscription_state(&self) -> Option<SubscriptionState> {
        self.first(Name::SubscriptionState).and_then(SubscriptionState::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads() {
        let table = [
            ("terminated;reason=noresource", SubState::Terminated, None, Some("noresource")),
            ("Active ; expires=60", SubState::Active, Some(60), None),
            ("pending", SubState::Pending, None, None),
            ("waiting;x", SubState::Active, None, None),
        ];
        for (text, state, expires, reason) in table {
            let read = SubscriptionState::parse(text).unwrap();
            assert_eq!((read.state, read.expires, read.reason.as_deref()), (state, expires, reason), "{text}");
        }
        assert_eq!(SubscriptionState::parse(";expires=1"), None);
    }
}
