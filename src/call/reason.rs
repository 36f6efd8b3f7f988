//! `Reason` (RFC 3326) both ways: what we tell the peer of an end, and what the record says of the peer's.
use sip::{Reason, TerminatedBy};

/// Q.850: normal call clearing.
const NORMAL: u16 = 16;
/// Q.850: normal, unspecified.
const UNSPECIFIED: u16 = 31;
/// Q.850: temporary failure, which has a PBX try its next destination.
const TEMPORARY_FAILURE: u16 = 41;
/// Longest text of a peer that goes into a record, in characters.
const LONGEST: usize = 100;

/// A cause in terms of SIP.
pub(super) fn sip(cause: u16, text: &str) -> Reason {
    Reason { protocol: "SIP".into(), cause: Some(cause), text: Some(text.into()) }
}

/// A call that ends as calls do.
pub(super) fn normal() -> Reason {
    Reason { protocol: "Q.850".into(), cause: Some(NORMAL), text: Some("Normal call clearing".into()) }
}

/// What goes with a refusal, where it says more than the status (RFC 6432).
pub(super) fn of_refusal(status: u16) -> Option<Reason> {
    let text = Some("No assistant available".into());
    (status == 503).then(|| Reason { protocol: "Q.850".into(), cause: Some(TEMPORARY_FAILURE), text })
}

/// The peer gave up an INVITE because somebody else answered it (RFC 3326 §1: cause 200).
pub(super) fn is_answered_elsewhere(reason: Option<&Reason>) -> bool {
    reason.is_some_and(|reason| reason.protocol.eq_ignore_ascii_case("SIP") && reason.cause == Some(200))
}

/// Why a leg is gone that did not say so.
pub(super) const fn of_lost(by: TerminatedBy) -> &'static str {
    match by {
        TerminatedBy::Us | TerminatedBy::NoPrack | TerminatedBy::PeerGone => "the phone side is gone without a BYE",
        TerminatedBy::NoAck => "the phone side never acknowledged our answer",
        TerminatedBy::SessionExpired => "the phone side let the session expire",
    }
}

/// As much of a text as is worth telling; what stands in it may be the peer's.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

/// `what`, and why if the peer says anything out of the ordinary.
pub(super) fn explain(what: &str, reason: Option<&Reason>) -> String {
    let Some(Reason { protocol, cause: Some(cause), text }) = reason else { return what.to_owned() };
    let q850 = protocol.eq_ignore_ascii_case("Q.850");
    let ordinary = if q850 { [NORMAL, UNSPECIFIED].contains(cause) } else { *cause < 300 };
    if ordinary {
        return what.to_owned();
    }
    let text = text.as_deref().map(|text| format!(" {}", shortened(text)));
    format!("{what} ({protocol} {cause}{})", text.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_out_of_the_ordinary_is_told() {
        for (reason, expected) in [
            ("Q.850;cause=16;text=\"NORMAL_CLEARING\"", "hung up"),
            ("q.850;cause=31", "hung up"),
            ("SIP;cause=200;text=\"Call completed elsewhere\"", "hung up"),
            ("SIP", "hung up"),
            ("Q.850;cause=102;text=\"RECOVERY_ON_TIMER_EXPIRE\"", "hung up (Q.850 102 RECOVERY_ON_TIMER_EXPIRE)"),
            ("SIP;cause=408", "hung up (SIP 408)"),
        ] {
            assert_eq!(explain("hung up", Reason::parse(reason).as_ref()), expected, "{reason}");
        }
        assert_eq!(explain("hung up", None), "hung up");
        let long = Reason { protocol: "SIP".into(), cause: Some(500), text: Some("x".repeat(5_000)) };
        assert!(explain("hung up", Some(&long)).len() < 130);
    }

    #[test]
    fn a_call_that_somebody_else_took() {
        for (reason, expected) in [
            ("SIP;cause=200;text=\"Call completed elsewhere\"", true),
            ("SIP;cause=487", false),
            ("Q.850;cause=200", false),
        ] {
            assert_eq!(is_answered_elsewhere(Reason::parse(reason).as_ref()), expected, "{reason}");
        }
        assert!(!is_answered_elsewhere(None));
    }
}
