//! HTTP requests that a dialect makes beside its connection. They are carried by the owner of the dialect, which
//! decides nothing: what is asked, what of the answer counts and how long it may take is the dialect's.
use crate::dialect::{Job, JobId};
use std::fmt;

/// One request of a dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// How a request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Without a body.
    Get,
    /// With one.
    Post,
}

/// A request. Headers may hold secrets, so `Debug` shows only their names; bodies are what people say, so it shows their
/// length.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// How.
    pub method: Method,
    /// `http://` or `https://`.
    pub url: String,
    /// Name and value, `Content-Type` among them.
    pub headers: Vec<(String, String)>,
    /// What is posted.
    pub body: Vec<u8>,
}

/// What a dialect wants of its owner beside its connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Errand {
    /// Make this request. At most [`MOST_REQUESTS`] are under way at once.
    Send(RequestId, HttpRequest),
    /// Drop this request, whatever has come of it: nothing of it is wanted any more.
    Abort(RequestId),
    /// Drop every request that was made so far: whoever made them is gone.
    AbortAll,
    /// Work for the speech engine, as [`crate::Outgoing::Job`], but not held up by the connection.
    Job(JobId, Job),
}

/// Requests of one dialect that may be under way at once; one more fails at once.
pub const MOST_REQUESTS: usize = 8;

/// A part of an answer, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The status, with the seconds of `Retry-After` if it has that header and they are a whole number.
    Head {
        /// 100–599.
        status: u16,
        /// Seconds.
        retry_after: Option<u64>,
    },
    /// The next bytes of the body.
    Chunk(Vec<u8>),
    /// The body is complete; nothing follows.
    End,
    /// The request failed, in words for the log; nothing follows.
    Failed(String),
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("url", &self.url)
            .field("headers", &names)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}
