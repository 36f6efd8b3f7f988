//! What makes two messages the same transaction: RFC 3261 §17.1.3, §17.2.3 and §8.2.2.2.
use crate::message::{Headers, Method, Request, Response};

/// A response belongs to the request with this branch and method.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClientKey {
    branch: String,
    method: Method,
}

impl ClientKey {
    /// Of a request of ours.
    pub(crate) fn of_request(request: &Request) -> Self {
        Self { branch: branch(&request.headers), method: request.method.clone() }
    }

    /// Of a response. `None` if it has no CSeq, which the parser rules out.
    pub(crate) fn of_response(response: &Response) -> Option<Self> {
        Some(Self { branch: branch(&response.headers), method: response.headers.cseq()?.method })
    }
}

/// A request belongs to the transaction with this key; an ACK to that of its INVITE.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ServerKey {
    method: Method,
    identity: Identity,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identity {
    /// A branch with the magic cookie, and who made it up.
    Branch { branch: String, sent_by: String },
    /// A client of RFC 2543: everything it does not change between retransmissions.
    Legacy { uri: String, from_tag: String, call_id: String, cseq: u32, via: String },
}

impl ServerKey {
    /// Of a request as it came, before its Via is stamped.
    pub(crate) fn of_request(request: &Request) -> Self {
        let headers = &request.headers;
        let method = if request.method == Method::Ack { Method::Invite } else { request.method.clone() };
        let via = headers.via();
        let branch = branch(headers);
        let identity = if is_unique(&branch) {
            let sent_by = via.map(|via| via.sent_by().to_ascii_lowercase()).unwrap_or_default();
            Identity::Branch { branch, sent_by }
        } else {
            Identity::Legacy {
                uri: request.uri.as_str().to_owned(),
                from_tag: from_tag(headers),
                call_id: headers.call_id().unwrap_or_default().to_owned(),
                cseq: headers.cseq().map(|cseq| cseq.number).unwrap_or_default(),
                via: via.map(|via| via.to_string()).unwrap_or_default(),
            }
        };
        Self { method, identity }
    }

    /// Of the INVITE that this CANCEL means (RFC 3261 §9.2).
    pub(crate) fn cancelled_invite(&self) -> Self {
        Self { method: Method::Invite, identity: self.identity.clone() }
    }
}

/// Two requests outside a dialog with this in common, but of different transactions, are one that forked on its way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MergeKey {
    method: Method,
    call_id: String,
    from_tag: String,
    cseq: u32,
}

impl MergeKey {
    /// `None` inside a dialog, where nothing forks.
    pub(crate) fn of_request(request: &Request) -> Option<Self> {
        let headers = &request.headers;
        let outside = headers.to().is_some_and(|to| to.tag().is_none());
        let cseq = headers.cseq()?.number;
        let call_id = headers.call_id()?.to_owned();
        outside.then(|| Self { method: request.method.clone(), call_id, from_tag: from_tag(headers), cseq })
    }
}

/// Whether a branch alone tells a transaction (RFC 3261 §8.1.1.7): the magic cookie, and something behind it.
pub(crate) fn is_unique(branch: &str) -> bool {
    branch.strip_prefix("z9hG4bK").is_some_and(|rest| !rest.is_empty())
}

fn branch(headers: &Headers) -> String {
    headers.via().map(|via| via.branch().to_owned()).unwrap_or_default()
}

fn from_tag(headers: &Headers) -> String {
    headers.from().and_then(|from| from.tag().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;

    fn request(method: &str, via: &str, to: &str, cseq: u32) -> Request {
        let text = format!(
            "{method} sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP {via}\r\nFrom: <sip:b@h>;tag=f\r\nTo: <sip:a@h>{to}\r\n\
             Call-ID: c\r\nCSeq: {cseq} {method}\r\n\r\n"
        );
        let Message::Request(request) = Message::parse(text.as_bytes()).unwrap() else { panic!("a request") };
        request
    }

    #[test]
    fn branch_sent_by_and_method_decide() {
        let invite = ServerKey::of_request(&request("INVITE", "h:5060;branch=z9hG4bK1", "", 1));
        let table = [
            ("INVITE", "H:5060;branch=z9hG4bK1", 2, true),
            ("ACK", "h:5060;branch=z9hG4bK1;rport", 1, true),
            ("BYE", "h:5060;branch=z9hG4bK1", 1, false),
            ("INVITE", "other:5060;branch=z9hG4bK1", 1, false),
            ("INVITE", "h:5060;branch=z9hG4bK2", 1, false),
        ];
        for (method, via, cseq, same) in table {
            let key = ServerKey::of_request(&request(method, via, "", cseq));
            assert_eq!(key == invite, same, "{method} {via}");
        }
        let cancel = ServerKey::of_request(&request("CANCEL", "h:5060;branch=z9hG4bK1", "", 1));
        assert!(cancel != invite && cancel.cancelled_invite() == invite);
    }

    #[test]
    fn clients_of_rfc_2543_are_told_apart_by_what_they_repeat() {
        let invite = ServerKey::of_request(&request("INVITE", "h:5060;branch=1", "", 1));
        let ack = ServerKey::of_request(&request("ACK", "h:5060;branch=1", ";tag=t", 1));
        let next = ServerKey::of_request(&request("INVITE", "h:5060;branch=1", "", 2));
        assert_eq!(invite, ack);
        assert_ne!(invite, next);
    }

    #[test]
    fn merging_is_for_requests_outside_dialogs() {
        let one = MergeKey::of_request(&request("INVITE", "h;branch=z9hG4bK1", "", 1));
        let two = MergeKey::of_request(&request("INVITE", "h;branch=z9hG4bK2", "", 1));
        assert!(one.is_some() && one == two);
        assert_eq!(MergeKey::of_request(&request("INVITE", "h;branch=z9hG4bK2", ";tag=x", 1)), None);
    }
}
