//! SIP messages (RFC 3261 §7): own wire parser in front, rsip's header vocabulary behind it.
//!
//! The parser is total: any bytes give a message or a [`ParseError`], in linear time and within the limits below.
mod cseq;
mod event;
mod headers;
pub(crate) mod lex;
mod method;
mod name_addr;
mod params;
pub(crate) mod parse;
mod print;
mod rack;
mod reason;
mod refer_to;
mod session_expires;
pub mod sipfrag;
mod status;
mod subscription_state;
mod values;
mod via;

pub use crate::error::{ParseError, ParseErrorKind, Rejected};
use crate::{Body, uri::Uri};
pub use cseq::CSeq;
pub use event::EventPackage;
pub use headers::{Headers, InvalidName, Name};
pub use method::{InvalidMethod, Method};
pub use name_addr::NameAddr;
pub use params::Params;
pub use rack::RAck;
pub use refer_to::{ReferTo, Replaces};
pub use session_expires::{Refresher, SessionExpires};
pub use status::StatusCode;
pub use subscription_state::{SubState, SubscriptionState};
pub use via::Via;

/// Longest message in bytes, over any transport.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// Most headers in a message; the parts of a comma-joined Via, Route or Record-Route count as one each.
pub const MAX_HEADERS: usize = 256;
/// Most Vias in a message: the usual Max-Forwards.
pub const MAX_VIA: usize = 70;
/// Longest header in bytes, unfolded.
pub const MAX_LINE: usize = 8 * 1024;

/// A SIP message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

impl Message {
    /// Reads a whole datagram, or one message cut out of a stream.
    ///
    /// Via, From, To, Call-ID and CSeq of the result are present and readable, so [`Headers::via`], [`Headers::from`],
    /// [`Headers::to`], [`Headers::call_id`] and [`Headers::cseq`] give a value.
    ///
    /// # Errors
    /// What is wrong, and the request as far as it could be read.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        parse::message(bytes)
    }

    /// The headers.
    pub fn headers(&self) -> &Headers {
        match self {
            Self::Request(request) => &request.headers,
            Self::Response(response) => &response.headers,
        }
    }
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The Request-URI, as written.
    pub uri: Uri,
    /// The headers, without Content-Length.
    pub headers: Headers,
    /// The body.
    pub body: Body,
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: StatusCode,
    /// The phrase.
    pub reason: String,
    /// The headers, without Content-Length.
    pub headers: Headers,
    /// The body.
    pub body: Body,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: Method, uri: Uri) -> Self {
        Self { method, uri, headers: Headers::new(), body: Body::default() }
    }
}

impl Response {
    /// A response to a request with these headers: Via, From, To, Call-ID, CSeq and (RFC 3261 §8.2.6.1) the Timestamp
    /// of a request answered 100. To gets no tag here.
    pub fn answering(request: &Headers, status: StatusCode) -> Self {
        let mut headers = Headers::new();
        for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
            headers.copy(name, request);
        }
        if status == StatusCode::TRYING {
            headers.copy(Name::Timestamp, request);
        }
        Self { status, reason: status.phrase().to_owned(), headers, body: Body::default() }
    }
}

#[cfg(test)]
mod tests;
