//! Dialects of the voice providers as state machines over WebSocket messages, requests or engine jobs. No IO, no clock.
pub mod accent;
pub mod dialect;
pub mod elevenlabs;
pub mod gemini;
mod keys;
pub mod live;
pub mod local;
pub mod openai;
mod outbox;
mod past;
mod pcm;
pub mod pipeline;
pub mod price;
mod receipt;
mod redact;
mod request;
mod url;

pub use dialect::{
    Ahead, Dialect, Disconnect, Endpoint, Event, Failure, FailureKind, Formats, Incoming, Job, JobDone, JobId,
    JobOutput, KeysTaken, Line, Note, Outgoing, Respond, Tool, ToolCallId, Unworded, Usage,
};
pub use past::{Next, Past, Said};
pub use receipt::{Bill, Receipt};
pub use request::{Errand, HttpRequest, MOST_REQUESTS, Method, Part, RequestId};
