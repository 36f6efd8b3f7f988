//! What the store must know of a message, found without parsing it: its Call-ID, its method, its status.
use super::line::{HeaderLines, split};

/// A longer Call-ID is nobody's whom we want to remember.
const LONGEST_CALL_ID: usize = 256;

/// The methods that make a difference to how long a call is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// INVITE.
    Invite,
    /// BYE.
    Bye,
    /// REGISTER.
    Register,
    /// Any other.
    Other,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sniffed {
    /// Of the request, or of the request that a response answers.
    pub method: Method,
    /// Of a response.
    pub status: Option<u16>,
}

/// The Call-ID and the kind of a message; `None` if it is not SIP or names no call.
pub(super) fn sniff(bytes: &[u8]) -> Option<(&str, Sniffed)> {
    let (first, mut lines) = HeaderLines::new(bytes)?;
    let status = match first.strip_prefix(b"SIP/2.0 ") {
        Some(rest) => Some(std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok()?),
        None if first.ends_with(b" SIP/2.0") => None,
        None => return None,
    };
    let (mut call_id, mut cseq) = (None, None);
    while call_id.is_none() || cseq.is_none() {
        let Some(range) = lines.next_header() else { break };
        let header = bytes.get(range)?;
        if !matches!(header.first(), Some(b'C' | b'c' | b'I' | b'i')) {
            continue;
        }
        let Some((name, value)) = split(header) else { continue };
        if name.eq_ignore_ascii_case(b"call-id") || name.eq_ignore_ascii_case(b"i") {
            call_id = call_id.or(Some(value));
        } else if name.eq_ignore_ascii_case(b"cseq") {
            cseq = cseq.or(value.rsplit(u8::is_ascii_whitespace).next());
        }
    }
    let call_id = call_id.filter(|id| (1..=LONGEST_CALL_ID).contains(&id.len()))?;
    let named = match status {
        Some(_) => cseq,
        None => first.split(|b| *b == b' ').next(),
    };
    let method = match named.unwrap_or_default() {
        b"INVITE" => Method::Invite,
        b"BYE" => Method::Bye,
        b"REGISTER" => Method::Register,
        _ => Method::Other,
    };
    Some((std::str::from_utf8(call_id).ok()?, Sniffed { method, status }))
}
