//! What the API needs of the server around it, without knowing how it is built.
use crate::{
    call::steer::Order,
    control::Health,
    metrics::Audience,
    phone,
    record::Recording,
    secretary::Secretary,
    switchboard::{ListenError, LiveCall, OrderError},
    tenancy::Tenant,
};
use axum::body::Body;
use futures_util::{future::BoxFuture, stream::BoxStream};
use media::{Frame, SampleRate};
use providers::Failure;
use schemars::JsonSchema;
use serde::Serialize;
use std::{fmt::Debug, ops::RangeInclusive, time::Duration};
use thiserror::Error;
use uuid::Uuid;

/// What goes on for a while.
pub type Stream<T> = BoxStream<'static, T>;

/// Whether a server can take calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Readiness {
    /// Whether new calls may be sent here.
    pub ready: bool,
    /// `ok`, or `away`: then calls go by what was known.
    pub database: &'static str,
    /// Accounts at registrars.
    pub accounts: u64,
    /// Those of them that are registered; with accounts but none registered no call can come.
    pub registered: u64,
    /// `ok`, or `absent`: then the `local` provider hears keys only.
    pub models: &'static str,
    /// Whether the server is ending, and takes no new calls.
    pub ending: bool,
}

/// A conversation, and its recording as its row says: it comes from a database that others write to.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The tenant.
    pub domain: Uuid,
    /// Which of its conversations.
    pub conversation: Uuid,
    /// The recording, if there is one.
    pub recording: Option<Recording>,
}

/// A recording, or a part of it, opened.
#[derive(Debug)]
pub struct Sound {
    /// `audio/wav`, `audio/ogg`.
    pub kind: &'static str,
    /// Length of all of it, in bytes.
    pub length: u64,
    /// Which bytes these are; `None` for an empty file.
    pub range: Option<RangeInclusive<u64>>,
    /// They themselves, as they are read.
    pub body: Body,
}

/// Which part of a file is wanted (RFC 9110 §14.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of it.
    All,
    /// From here to there, or to its end.
    From(u64, Option<u64>),
    /// The last so many bytes.
    Last(u64),
}

impl Wanted {
    /// Which bytes of a file of this length; `None` where there are none such.
    pub fn of(self, length: u64) -> Option<RangeInclusive<u64>> {
        let last = length.checked_sub(1)?;
        match self {
            Self::All => Some(0..=last),
            Self::From(first, to) => (first <= last).then(|| first..=to.unwrap_or(last).min(last)),
            Self::Last(0) => None,
            Self::Last(bytes) => Some(length.saturating_sub(bytes)..=last),
        }
    }
}

/// Why there is no sound.
#[derive(Debug, Error)]
pub enum Silence {
    /// There is none, or none any more, or it is not this tenant's.
    #[error("there is no recording")]
    Absent,
    /// It is in an object store only, or on the disk of another server.
    #[error("the recording is at {0}")]
    Elsewhere(String),
    /// The file has no such part; it has so many bytes.
    #[error("the recording has {0} bytes")]
    Beyond(u64),
    /// It is being written, sent or deleted.
    #[error("the recording is in use")]
    InUse,
    /// It is in a store that does not answer.
    #[error("the store of recordings does not answer")]
    Away,
    /// Others are listening already.
    #[error("too many recordings are being read")]
    Busy,
    /// It cannot be opened.
    #[error(transparent)]
    Broken(#[from] anyhow::Error),
}

/// What is heard of a call.
pub struct Heard {
    /// Frames per second.
    pub rate: SampleRate,
    /// Both sides, until the call is over.
    pub pieces: Stream<Piece>,
}

/// A piece of both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Frames before it for which the listener was too slow.
    pub missed: u64,
    /// The caller on the left, the assistant on the right, in turn.
    pub samples: Vec<i16>,
}

/// What whoever follows events is told.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// Something happened.
    Happened {
        /// Where to resume.
        number: u64,
        /// In one word.
        kind: String,
        /// As JSON.
        entry: serde_json::Value,
    },
    /// So many events are not kept any more; `None` for nobody knows how many.
    Missed(Option<u64>),
}

/// What became of a ladder that was tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ladder {
    /// Its rungs, in its order.
    pub rungs: Vec<Tried>,
    /// Rungs that are not there, and what else of the configuration they cannot do.
    pub missing: Vec<String>,
}

/// What became of a provider that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// As in the `realtime_provider` column.
    pub provider: &'static str,
    /// Model or engines.
    pub engine: String,
    /// When the connection was open; `None` if it never was.
    pub connected: Option<Duration>,
    /// When a conversation could have begun, or why it could not.
    pub ready: Result<Duration, Failure>,
}

/// A call that the server places to itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestCall {
    /// What the caller says, when it is their turn.
    pub say: Option<String>,
    /// When the caller hangs up, after the answer.
    pub lasts: Duration,
}

/// What became of it.
#[derive(Clone, Debug)]
pub struct TestReport {
    /// The conversation it became, if it came so far.
    pub conversation: Option<Uuid>,
    /// Why the caller had no voice, if it had something to say.
    pub unsaid: Option<String>,
    /// As the caller's phone saw it.
    pub phone: phone::Report,
}

/// Why nothing was tried.
#[derive(Debug, Error)]
pub enum Untried {
    /// One at a time.
    #[error("another one of this domain is not over")]
    Engaged,
    /// And a few of all tenants.
    #[error("as many are going on as may at once")]
    Busy,
    /// There is nothing that could be tried; what has to be mended.
    #[error("{0}")]
    Unfit(String),
    /// The provider was tried, and has not done it.
    #[error("{}", .0.message)]
    Failed(Failure),
    /// The server takes nothing new.
    #[error("the server is ending")]
    Ending,
    /// Our own fault.
    #[error(transparent)]
    Broken(#[from] anyhow::Error),
}

/// The server around the API. A call of another tenant is not there.
pub trait House: Debug + Send + Sync {
    /// How it is; `None` if it is ending or stuck.
    fn health(&self) -> BoxFuture<'_, Option<Health>>;

    /// Whether it can take calls.
    fn ready(&self) -> BoxFuture<'_, Readiness>;

    /// Its counts, for Prometheus; `None` if it is ending or stuck.
    fn metrics(&self, audience: Audience) -> BoxFuture<'_, Option<String>>;

    /// The calls of a tenant that are up, in the order they began.
    fn calls(&self, domain: Uuid) -> Vec<LiveCall>;

    /// Has a call of a tenant do something.
    ///
    /// # Errors
    /// Why nothing came of it.
    fn order(&self, domain: Uuid, conversation: Uuid, order: Order) -> BoxFuture<'_, Result<(), OrderError>>;

    /// Lets somebody, whom the record names, listen to a call of a tenant.
    ///
    /// # Errors
    /// Why nothing is to be heard.
    fn listen<'a>(
        &'a self,
        domain: Uuid,
        conversation: Uuid,
        who: &'a str,
    ) -> BoxFuture<'a, Result<Heard, ListenError>>;

    /// What happens at a tenant: after this number as far as it is kept, or from now on.
    fn news(&self, domain: Uuid, after: Option<u64>) -> Stream<News>;

    /// Deletes a conversation of its tenant, recording included.
    ///
    /// # Errors
    /// Something is left of it.
    fn erase<'a>(&'a self, kept: &'a Kept) -> BoxFuture<'a, Result<(), Silence>>;

    /// Opens the recording of a conversation for this token, in the folder of its tenant and nowhere else.
    ///
    /// # Errors
    /// There is none here, or too many are read.
    fn sound<'a>(&'a self, kept: &'a Kept, token: &'a str, wanted: Wanted) -> BoxFuture<'a, Result<Sound, Silence>>;

    /// Begins a conversation with each provider of a secretary, as a call of hers would, and leaves before a word is said.
    ///
    /// # Errors
    /// None was tried.
    fn check<'a>(&'a self, secretary: &'a Secretary, tenant: &'a Tenant) -> BoxFuture<'a, Result<Ladder, Untried>>;

    /// Has the voice of a secretary say a text: that of the first rung of her ladder.
    ///
    /// # Errors
    /// Nothing was said.
    fn preview<'a>(
        &'a self,
        secretary: &'a Secretary,
        tenant: &'a Tenant,
        text: &'a str,
    ) -> BoxFuture<'a, Result<Frame, Untried>>;

    /// Calls a secretary over SIP, through all that stands before calls.
    ///
    /// # Errors
    /// There was no call.
    fn test_call<'a>(&'a self, secretary: &'a Secretary, call: TestCall) -> BoxFuture<'a, Result<TestReport, Untried>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_file_is_within_it() {
        for (wanted, length, range) in [
            (Wanted::All, 10, Some(0..=9)),
            (Wanted::All, 0, None),
            (Wanted::From(0, Some(0)), 10, Some(0..=0)),
            (Wanted::From(3, None), 10, Some(3..=9)),
            (Wanted::From(3, Some(u64::MAX)), 10, Some(3..=9)),
            (Wanted::From(10, None), 10, None),
            (Wanted::Last(4), 10, Some(6..=9)),
            (Wanted::Last(40), 10, Some(0..=9)),
            (Wanted::Last(0), 10, None),
        ] {
            assert_eq!(wanted.of(length), range, "{wanted:?}");
        }
    }
}
