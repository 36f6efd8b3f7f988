//! Why a conversation ended. Every `error` is followed by a close, so none is passing.
use super::wire::ErrorBody;
use crate::dialect::{Disconnect, Failure, FailureKind};

/// Words of the provider, in lower case, and what they mean: the first that is found decides.
const MEANINGS: [(&str, FailureKind); 26] = [
    ("quota", FailureKind::Quota),
    ("credit", FailureKind::Quota),
    ("payment", FailureKind::Quota),
    ("subscription", FailureKind::Quota),
    ("max_duration", FailureKind::SessionExpired),
    ("maximum duration", FailureKind::SessionExpired),
    ("max duration", FailureKind::SessionExpired),
    ("override", FailureKind::Protocol),
    ("dynamic_variable", FailureKind::Protocol),
    ("dynamic variable", FailureKind::Protocol),
    ("does not exist", FailureKind::Protocol),
    ("not found", FailureKind::Protocol),
    ("unauthorized", FailureKind::Authentication),
    ("authoriz", FailureKind::Authentication),
    ("authentic", FailureKind::Authentication),
    ("api key", FailureKind::Authentication),
    ("api_key", FailureKind::Authentication),
    ("signature", FailureKind::Authentication),
    ("permission", FailureKind::Authentication),
    ("transport_receive_timeout", FailureKind::Connection),
    ("rate limit", FailureKind::Rate),
    ("rate_limit", FailureKind::Rate),
    ("concurren", FailureKind::Rate),
    ("overload", FailureKind::Unavailable),
    ("busy", FailureKind::Unavailable),
    ("timeout", FailureKind::Unavailable),
];
/// What an administrator does about a refused override.
const OVERRIDE_HINT: &str =
    "allow it in the agent's security settings at ElevenLabs, or leave it empty at the secretary";
/// What an administrator does about a variable nobody gave.
const VARIABLE_HINT: &str = "the agent's prompt names a dynamic variable that Ramal does not give";

/// Whether the caller had a turn, for closes that say nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Talked {
    /// Not one.
    NotYet,
    /// At least one.
    Yes,
}

/// What an `error` event means.
pub(super) fn of_error(error: &ErrorBody) -> Failure {
    let texts = [&error.error_type, &error.message, &error.reason, &error.debug_message];
    let mut said: Vec<&str> = texts.into_iter().filter_map(Option::as_deref).filter(|text| !text.is_empty()).collect();
    said.dedup();
    let code = error.code.as_ref().and_then(serde_json::Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let words = if said.is_empty() { "an error without words".to_owned() } else { said.join(": ") };
    let kind = meaning(&words).unwrap_or_else(|| by_code(code.unwrap_or_default()));
    Failure { kind, message: explained(&words) }
}

/// How a conversation failed, from how its connection ended.
pub(super) fn disconnected(how: Disconnect, talked: Talked) -> Failure {
    match how {
        Disconnect::Unreachable(why) => Failure { kind: FailureKind::Connection, message: redact(&why) },
        Disconnect::Refused(status) => {
            let kind = match status {
                401 | 403 => FailureKind::Authentication,
                402 => FailureKind::Quota,
                429 => FailureKind::Rate,
                500..=599 => FailureKind::Unavailable,
                _ => FailureKind::Protocol,
            };
            Failure { kind, message: format!("the request for a conversation was answered with HTTP {status}") }
        }
        Disconnect::Closed(None) => {
            Failure { kind: FailureKind::Connection, message: "the connection broke without a close".to_owned() }
        }
        Disconnect::Closed(Some((code, reason))) => match (meaning(&reason), code, talked) {
            // An empty quota ends a conversation like this a few seconds after the greeting, without a word of it.
            (None, 1000, Talked::NotYet) => Failure {
                kind: FailureKind::Unavailable,
                message: "the agent ended the conversation before the caller's first turn, as it does when the \
                          account's quota is used up"
                    .to_owned(),
            },
            (meaning, ..) => {
                let kind = meaning.unwrap_or_else(|| by_code(code));
                Failure { kind, message: format!("closed with {code}: {}", explained(&reason)) }
            }
        },
    }
}

/// By the close codes of the vendor's schema.
const fn by_code(code: u16) -> FailureKind {
    match code {
        1002 | 1011..=1013 => FailureKind::Unavailable,
        1003 | 1007 | 1008 => FailureKind::Protocol,
        _ => FailureKind::Connection,
    }
}

fn meaning(words: &str) -> Option<FailureKind> {
    let words = words.to_ascii_lowercase();
    MEANINGS.iter().find(|(word, _)| words.contains(word)).map(|(_, kind)| *kind)
}

fn explained(words: &str) -> String {
    let lower = words.to_ascii_lowercase();
    let hint = if lower.contains("override") {
        Some(OVERRIDE_HINT)
    } else if lower.contains("dynamic_variable") || lower.contains("dynamic variable") {
        Some(VARIABLE_HINT)
    } else {
        None
    };
    match hint {
        Some(hint) => format!("{} ({hint})", redact(words)),
        None => redact(words),
    }
}

/// The provider's own words without what looks like a key or a signature.
fn redact(text: &str) -> String {
    crate::redact::redact(text, &["sk_", "conversation_signature=", "token="])
}

#[cfg(test)]
mod tests {
    use super::*;
    use FailureKind::{Authentication, Connection, Protocol, Quota, Rate, SessionExpired, Unavailable};

    #[test]
    fn both_shapes_of_an_error_are_told_apart_by_their_words_and_then_by_their_code() {
        let error = |code: u16, kind: &str, message: &str| ErrorBody {
            code: Some(code.into()),
            error_type: (!kind.is_empty()).then(|| kind.to_owned()),
            message: Some(message.to_owned()),
            ..ErrorBody::default()
        };
        let cases = [
            (error(1002, "", "received 1002 (protocol error) This request exceeds your quota limit."), Quota),
            (error(1008, "override_error", "Override for field 'first_message' is not allowed"), Protocol),
            (error(1008, "missing_dynamic_variable", "Missing required dynamic variables: {'name'}"), Protocol),
            (error(1002, "llm_timeout", "LLM did not answer"), Unavailable),
            (error(1002, "tts_cascade_error", "All TTS models have failed"), Unavailable),
            (error(1002, "transport_receive_timeout", "No user input for 60 seconds"), Connection),
            (error(1000, "max_duration_exceeded", "Conversation ended"), SessionExpired),
            (error(1008, "invalid_message", "Invalid JSON"), Protocol),
            (error(1008, "", "Authorization is required for this agent"), Authentication),
            (error(1011, "unknown_websocket_crash", "Unexpected"), Unavailable),
            (ErrorBody::default(), Connection),
        ];
        for (error, kind) in cases {
            assert_eq!(of_error(&error).kind, kind, "{error:?}");
        }
    }

    #[test]
    fn the_end_of_a_connection_says_what_follows() {
        let closed = |code, reason: &str| Disconnect::Closed(Some((code, reason.to_owned())));
        let cases = [
            (Disconnect::Unreachable("no route".into()), Connection),
            (Disconnect::Refused(401), Authentication),
            (Disconnect::Refused(402), Quota),
            (Disconnect::Refused(404), Protocol),
            (Disconnect::Refused(429), Rate),
            (Disconnect::Closed(None), Connection),
            (closed(1000, ""), Connection),
            (closed(1000, "max_duration_exceeded"), SessionExpired),
            (closed(1002, "This request exceeds your quota limit."), Quota),
            (closed(1002, "llm_timeout"), Unavailable),
            (closed(1008, "override_error"), Protocol),
            (closed(1011, ""), Unavailable),
            (closed(3000, "The AI agent you are trying to reach does not exist."), Protocol),
        ];
        for (how, kind) in cases {
            let label = format!("{how:?}");
            assert_eq!(disconnected(how, Talked::Yes).kind, kind, "{label}");
        }
    }

    #[test]
    fn a_normal_end_before_the_first_turn_is_not_taken_for_a_goodbye() {
        let failure = disconnected(Disconnect::Closed(Some((1000, String::new()))), Talked::NotYet);
        assert_eq!(failure.kind, Unavailable);
        assert!(failure.message.contains("quota"), "{}", failure.message);
    }

    #[test]
    fn neither_a_key_nor_a_signature_is_repeated() {
        let said = "invalid sk_abc123 at wss://x/?agent_id=a&conversation_signature=cvtkn_1 now";
        assert_eq!(redact(said), "invalid sk_… at wss://x/?agent_id=a&conversation_signature=… now");
    }
}
