//! Which trouble ends a conversation, and which does not.
use super::wire::ErrorBody;
use crate::dialect::{Disconnect, Failure, FailureKind};

/// What an `error` event means to a conversation that is up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing can be said any more.
    Fatal(FailureKind),
    /// Our `response.create` met a response of the server's: try again when that one is done.
    AlreadyActive,
    /// Our `response.cancel` came after the end of the response: nothing to do.
    NothingToCancel,
    /// The item to truncate holds no audio: delete it.
    NothingToTruncate,
    /// Log and go on.
    Passing,
}

impl Fault {
    /// Reads `code` and `type`, since quota and key errors come in either.
    pub(crate) fn of(error: &ErrorBody) -> Self {
        let words = [error.code.as_deref(), error.kind.as_deref()];
        if let Some(kind) = words.into_iter().flatten().find_map(fatal) {
            return Self::Fatal(kind);
        }
        match error.code.as_deref() {
            Some("conversation_already_has_active_response") => Self::AlreadyActive,
            Some("response_cancel_not_active") => Self::NothingToCancel,
            Some("unsupported_content_type") => Self::NothingToTruncate,
            Some(_) | None => Self::Passing,
        }
    }

    /// What the same error means before the session is configured: without `session.updated` there is no conversation.
    pub(crate) fn before_ready(error: &ErrorBody) -> FailureKind {
        match (Self::of(error), error.kind.as_deref(), error.code.as_deref()) {
            (Self::Fatal(kind), ..) => kind,
            (_, _, Some("rate_limit_exceeded")) => FailureKind::Rate,
            (_, Some("server_error"), _) | (_, _, Some("server_error")) => FailureKind::Unavailable,
            _ => FailureKind::Protocol,
        }
    }
}

fn fatal(word: &str) -> Option<FailureKind> {
    match word {
        "insufficient_quota" | "credit_balance_exhausted" | "billing_hard_limit_reached" => Some(FailureKind::Quota),
        "account_deactivated" | "invalid_api_key" | "authentication_error" => Some(FailureKind::Authentication),
        "session_expired" => Some(FailureKind::SessionExpired),
        "beta_api_shape_disabled" | "invalid_model" | "model_not_found" => Some(FailureKind::Protocol),
        _ => None,
    }
}

/// How a conversation failed, from how its connection ended.
pub(crate) fn disconnected(how: Disconnect) -> Failure {
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
            Failure { kind, message: format!("the upgrade was answered with HTTP {status}") }
        }
        Disconnect::Closed(None) => {
            Failure { kind: FailureKind::Connection, message: "the connection broke without a close".to_owned() }
        }
        Disconnect::Closed(Some((code, reason))) => {
            Failure { kind: closed(code, &reason), message: format!("closed with {code}: {}", redact(&reason)) }
        }
    }
}

fn closed(code: u16, reason: &str) -> FailureKind {
    let said = reason.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).find_map(fatal);
    if let Some(kind) = said {
        return kind;
    }
    match code {
        1001 if reason.contains("maximum duration") => FailureKind::SessionExpired,
        1003 | 1007 | 1008 | 4000 => FailureKind::Protocol,
        1011..=1013 => FailureKind::Unavailable,
        _ => FailureKind::Connection,
    }
}

/// The provider's own words without what looks like a key: OpenAI quotes the key it refuses.
pub(crate) fn redact(text: &str) -> String {
    crate::redact::redact(text, &["sk-", "ek_", "Bearer "])
}

/// The words of an error for a log or a record.
pub(crate) fn words(error: &ErrorBody) -> String {
    let code = error.code.as_deref().or(error.kind.as_deref()).unwrap_or("error");
    match error.message.as_deref() {
        Some(message) => format!("{code}: {}", redact(message)),
        None => code.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: &str, code: &str) -> ErrorBody {
        ErrorBody { kind: Some(kind.into()), code: Some(code.into()), ..ErrorBody::default() }
    }

    #[test]
    fn only_quota_key_expiry_and_a_dead_api_are_fatal() {
        use FailureKind::{Authentication, Protocol, Quota, SessionExpired};
        let cases = [
            ("insufficient_quota", "insufficient_quota", Fault::Fatal(Quota)),
            ("insufficient_quota", "", Fault::Fatal(Quota)), // type alone
            ("invalid_request_error", "credit_balance_exhausted", Fault::Fatal(Quota)),
            ("invalid_request_error", "billing_hard_limit_reached", Fault::Fatal(Quota)),
            ("invalid_request_error", "invalid_api_key", Fault::Fatal(Authentication)),
            ("invalid_request_error", "account_deactivated", Fault::Fatal(Authentication)),
            ("invalid_request_error", "session_expired", Fault::Fatal(SessionExpired)),
            ("invalid_request_error", "beta_api_shape_disabled", Fault::Fatal(Protocol)),
            ("invalid_request_error", "conversation_already_has_active_response", Fault::AlreadyActive),
            ("invalid_request_error", "response_cancel_not_active", Fault::NothingToCancel),
            ("invalid_request_error", "unsupported_content_type", Fault::NothingToTruncate),
            ("invalid_request_error", "input_audio_buffer_commit_empty", Fault::Passing),
            ("server_error", "server_error", Fault::Passing),
            ("a_type_of_tomorrow", "a_code_of_tomorrow", Fault::Passing),
        ];
        for (kind, code, expected) in cases {
            assert_eq!(Fault::of(&error(kind, code)), expected, "{kind} {code}");
        }
    }

    #[test]
    fn the_end_of_a_connection_says_what_follows() {
        use FailureKind::{Authentication, Connection, Protocol, Quota, Rate, SessionExpired, Unavailable};
        let closed = |code, reason: &str| Disconnect::Closed(Some((code, reason.to_owned())));
        let cases = [
            (Disconnect::Unreachable("no route".into()), Connection),
            (Disconnect::Refused(401), Authentication),
            (Disconnect::Refused(404), Protocol),
            (Disconnect::Refused(429), Rate),
            (Disconnect::Refused(503), Unavailable),
            (Disconnect::Closed(None), Connection),
            (closed(1000, ""), Connection),
            (closed(1001, "Your session hit the maximum duration of 60 minutes."), SessionExpired),
            (closed(1001, "going away"), Connection),
            (closed(1011, "keepalive ping timeout"), Unavailable),
            (closed(3000, "invalid_request_error.invalid_api_key"), Authentication),
            (closed(3000, "insufficient_quota"), Quota),
            (closed(4000, "invalid_request_error.beta_api_shape_disabled"), Protocol),
        ];
        for (how, kind) in cases {
            let label = format!("{how:?}");
            assert_eq!(disconnected(how).kind, kind, "{label}");
        }
    }

    #[test]
    fn a_key_in_the_providers_words_is_not_repeated() {
        let said = "Incorrect API key provided: sk-proj-abc123, and \"Bearer sk-x\". See ek_9 there.";
        assert_eq!(redact(said), "Incorrect API key provided: sk-…, and \"Bearer …\". See ek_… there.");
    }
}
