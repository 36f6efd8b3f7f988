//! Why a message could not be read, and what may be answered.
use crate::message::{Headers, Method, Name, StatusCode};

/// A message that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// The request, if enough was read to answer it. `None` for responses, ACK, and whatever is no SIP.
    pub rejected: Option<Box<Rejected>>,
}

/// What was read of a broken request: enough for [`Response::answering`](crate::message::Response::answering).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its method.
    pub method: Method,
    /// Its headers as far as they could be read; Via and CSeq are there, the topmost Via is sound.
    pub headers: Headers,
}

impl ParseError {
    /// The status to answer with: 400, 501, 505 or 513.
    pub fn status(&self) -> StatusCode {
        match self.kind {
            ParseErrorKind::Version => StatusCode::VERSION_NOT_SUPPORTED,
            ParseErrorKind::TooLong
            | ParseErrorKind::LineTooLong
            | ParseErrorKind::TooManyHeaders
            | ParseErrorKind::TooManyVias => StatusCode::MESSAGE_TOO_LARGE,
            // RFC 4475 §3.1.2.18: of a method that nobody knows, this is the fault that will still be one tomorrow.
            ParseErrorKind::MethodMismatch if self.is_of_unknown_method() => StatusCode::NOT_IMPLEMENTED,
            ParseErrorKind::KeepAlive
            | ParseErrorKind::StartLine
            | ParseErrorKind::RequestUri
            | ParseErrorKind::HeaderLine
            | ParseErrorKind::NoBlankLine
            | ParseErrorKind::Missing(_)
            | ParseErrorKind::Malformed(_)
            | ParseErrorKind::Repeated(_)
            | ParseErrorKind::MethodMismatch
            | ParseErrorKind::ShortBody { .. } => StatusCode::BAD_REQUEST,
        }
    }

    fn is_of_unknown_method(&self) -> bool {
        self.rejected.as_ref().is_some_and(|rejected| matches!(rejected.method, Method::Other(_)))
    }
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseErrorKind {
    /// Nothing but line ends: a keep-alive (RFC 5626 §3.5.1), not an error of the peer.
    #[error("only line ends")]
    KeepAlive,
    /// Longer than [`MAX_MESSAGE`](crate::message::MAX_MESSAGE).
    #[error("message too long")]
    TooLong,
    /// A line longer than [`MAX_LINE`](crate::message::MAX_LINE), unfolded.
    #[error("line too long")]
    LineTooLong,
    /// More than [`MAX_HEADERS`](crate::message::MAX_HEADERS).
    #[error("too many headers")]
    TooManyHeaders,
    /// More than [`MAX_VIA`](crate::message::MAX_VIA).
    #[error("too many Via headers")]
    TooManyVias,
    /// Neither `METHOD URI SIP/2.0` nor `SIP/2.0 code phrase`.
    #[error("bad start line")]
    StartLine,
    /// SIP, but not 2.0.
    #[error("unsupported SIP version")]
    Version,
    /// The Request-URI is none.
    #[error("bad Request-URI")]
    RequestUri,
    /// A header line without a colon, or whose name is no token.
    #[error("bad header line")]
    HeaderLine,
    /// The headers never end.
    #[error("no blank line after the headers")]
    NoBlankLine,
    /// A header every message must have.
    #[error("{0} is missing")]
    Missing(Name),
    /// A header that cannot be read.
    #[error("{0} is malformed")]
    Malformed(Name),
    /// A header that may stand only once.
    #[error("{0} is repeated")]
    Repeated(Name),
    /// CSeq names another method than the start line.
    #[error("CSeq names another method")]
    MethodMismatch,
    /// Fewer bytes than Content-Length says.
    #[error("body of {got} bytes, Content-Length {declared}")]
    ShortBody {
        /// Content-Length.
        declared: usize,
        /// What is there.
        got: usize,
    },
}
