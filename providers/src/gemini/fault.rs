//! What the end of a connection says about the conversation.
use crate::{
    dialect::{Disconnect, Failure, FailureKind},
    redact::redact_key,
};

/// Words of Google's in the reason of a close, in lower case, that say more than its code.
const SAID: [(&str, FailureKind); 12] = [
    ("api key", FailureKind::Authentication),
    ("api_key", FailureKind::Authentication),
    ("unauthenticated", FailureKind::Authentication),
    ("unregistered callers", FailureKind::Authentication),
    ("permission", FailureKind::Authentication),
    ("quota", FailureKind::Quota),
    ("billing", FailureKind::Quota),
    ("resource_exhausted", FailureKind::Quota),
    ("resource exhausted", FailureKind::Quota),
    ("deadline expired", FailureKind::SessionExpired),
    ("session durations", FailureKind::SessionExpired),
    ("goaway", FailureKind::SessionExpired),
];

/// How a conversation failed, from how its connection ended; never with the key in it.
pub(super) fn disconnected(how: Disconnect, key: &str) -> Failure {
    match how {
        Disconnect::Unreachable(why) => Failure { kind: FailureKind::Connection, message: redact(&why, key) },
        Disconnect::Refused(status) => {
            let kind = match status {
                // A key that is none is answered with 400.
                400 | 401 | 403 => FailureKind::Authentication,
                402 | 429 => FailureKind::Quota,
                500..=599 => FailureKind::Unavailable,
                _ => FailureKind::Protocol,
            };
            Failure { kind, message: format!("the upgrade was answered with HTTP {status}") }
        }
        Disconnect::Closed(None) => {
            Failure { kind: FailureKind::Connection, message: "the connection broke without a close".to_owned() }
        }
        Disconnect::Closed(Some((code, reason))) => {
            let message = format!("closed with {code}: {}", redact(&reason, key));
            Failure { kind: closed(code, &reason), message }
        }
    }
}

fn closed(code: u16, reason: &str) -> FailureKind {
    let reason = reason.to_ascii_lowercase();
    if let Some((_, kind)) = SAID.iter().find(|(words, _)| reason.contains(words)) {
        return *kind;
    }
    match code {
        // 1007 also says that the context is full: the same again would be refused again.
        1003 | 1007 | 1008 => FailureKind::Protocol,
        1001 => FailureKind::SessionExpired,
        1011..=1013 => FailureKind::Unavailable,
        _ => FailureKind::Connection,
    }
}

/// The provider's own words without our key, or anything that looks like a key of Google's.
fn redact(text: &str, key: &str) -> String {
    redact_key(text, key, &["AIza", "auth_tokens/", "key="])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_connection_says_what_follows() {
        use FailureKind::{Authentication, Connection, Protocol, Quota, SessionExpired, Unavailable};
        let closed = |code, reason: &str| Disconnect::Closed(Some((code, reason.to_owned())));
        let cases = [
            (Disconnect::Unreachable("no route".into()), Connection),
            (Disconnect::Refused(400), Authentication),
            (Disconnect::Refused(401), Authentication),
            (Disconnect::Refused(403), Authentication),
            (Disconnect::Refused(404), Protocol),
            (Disconnect::Refused(429), Quota),
            (Disconnect::Refused(503), Unavailable),
            (Disconnect::Closed(None), Connection),
            (closed(1000, ""), Connection),
            (closed(1001, ""), SessionExpired),
            (closed(1007, "API key not valid. Please pass a valid API key."), Authentication),
            (closed(1008, "Method doesn't allow unregistered callers"), Authentication),
            (closed(1008, "Operation is not implemented, or supported, or enabled."), Protocol),
            (closed(1008, "Requested entity was not found."), Protocol),
            (closed(1007, "realtime_input.media_chunks is deprecated. Use audio, video, or text instead."), Protocol),
            (closed(1007, "Request contains an invalid argument."), Protocol),
            (closed(1011, "You exceeded your current quota, please check your plan and billing details."), Quota),
            (closed(1011, "RESOURCE_EXHAUSTED"), Quota),
            (closed(1011, "Deadline expired before operation could complete."), SessionExpired),
            (closed(1011, "Internal error encountered."), Unavailable),
        ];
        for (how, kind) in cases {
            let label = format!("{how:?}");
            assert_eq!(disconnected(how, "k").kind, kind, "{label}");
        }
    }

    #[test]
    fn a_key_in_the_providers_words_is_not_repeated() {
        let said = "bad own-key at wss://x/?key=own-key&a, \"AIzaSyX\" and auth_tokens/abc";
        assert_eq!(redact(said, "own-key"), "bad … at wss://x/?key=…&a, \"AIza…\" and auth_tokens/…");
        assert_eq!(redact("nothing", ""), "nothing");
    }
}
