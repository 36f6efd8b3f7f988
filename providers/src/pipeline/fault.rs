//! What a refusal of a service means.
use crate::{Disconnect, Failure, FailureKind, redact::redact_key};
use serde_json::Value;

/// The most of a service's words that is kept, characters.
const MOST_WORDS: usize = 300;
/// Words with which services say that money is missing; 429 alone is a matter of pace.
const QUOTA: [&str; 6] =
    ["insufficient_quota", "credit_balance", "spend_limit", "usage_limit", "quota_exceeded", "billing"];

/// Whether it is worth asking the same again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) failure: Failure,
    pub(super) transient: bool,
}

/// A refusal, by its status and what its body says; `who` is for the log.
pub(super) fn refused(who: &str, key: Option<&str>, status: u16, body: &[u8]) -> Fault {
    let words = redact_key(&words(body), key.unwrap_or_default(), &["Bearer ", "Token "]);
    let broke = QUOTA.iter().any(|word| words.contains(word));
    let (kind, transient) = match status {
        401 | 403 => (FailureKind::Authentication, false),
        402 => (FailureKind::Quota, false),
        429 if broke => (FailureKind::Quota, false),
        429 => (FailureKind::Rate, true),
        408 | 409 | 425 | 500.. => (FailureKind::Unavailable, true),
        _ => (FailureKind::Protocol, false),
    };
    Fault { failure: Failure { kind, message: format!("{who} answered {status}: {words}") }, transient }
}

/// No answer, or one that broke.
pub(super) fn broken(who: &str, why: &str) -> Fault {
    Fault { failure: Failure { kind: FailureKind::Connection, message: format!("{who}: {why}") }, transient: true }
}

/// There is no connection to what listens.
pub(super) fn deaf(how: &Disconnect, key: Option<&str>) -> Fault {
    const WHO: &str = "speech recognition";
    match how {
        Disconnect::Unreachable(why) => broken(WHO, why),
        Disconnect::Refused(status) => refused(WHO, key, *status, b""),
        Disconnect::Closed(None) => broken(WHO, "the connection broke"),
        Disconnect::Closed(Some((code, why))) => broken(WHO, &format!("closed with {code} {why}")),
    }
}

/// The service's own words, wherever it puts them.
fn words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let json: Option<Value> = serde_json::from_str(&text).ok();
    let said = json.as_ref().map(|json| {
        let error = json.get("error").or_else(|| json.get("detail")).unwrap_or(json);
        let members = ["code", "type", "status", "err_code", "message", "err_msg"];
        let found = members.iter().filter_map(|name| error.get(name)).filter_map(Value::as_str);
        let found: Vec<&str> = found.chain(error.as_str()).collect();
        found.join(" ")
    });
    said.filter(|said| !said.is_empty()).unwrap_or_else(|| text.into_owned()).chars().take(MOST_WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_known_by_its_status_and_its_words() {
        use FailureKind::{Authentication, Protocol, Quota, Rate, Unavailable};
        for (status, body, kind, transient) in [
            (
                401,
                r#"{"error":{"message":"Incorrect API key provided: sk-x","code":"invalid_api_key"}}"#,
                Authentication,
                false,
            ),
            (429, r#"{"error":{"message":"slow","code":"rate_limit_exceeded"}}"#, Rate, true),
            (429, r#"{"error":{"message":"no money","type":"insufficient_quota"}}"#, Quota, false),
            (503, "", Unavailable, true),
            (404, r#"{"error":"model not found"}"#, Protocol, false),
            (400, r#"{"err_code":"Bad Request","err_msg":"no such model","request_id":"r"}"#, Protocol, false),
        ] {
            let fault = refused("chat", Some("sk-x"), status, body.as_bytes());
            assert_eq!((fault.failure.kind, fault.transient), (kind, transient), "{status} {body}");
            assert!(!fault.failure.message.contains("sk-x"), "{}", fault.failure.message);
        }
    }
}
