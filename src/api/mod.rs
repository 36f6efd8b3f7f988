//! The HTTP API: what programs may see and do of a tenant. It knows no socket (`drivers::api_socket` does) and no call: what it needs of
//! the server around it is [`House`].
mod calls;
mod conversations;
mod documents;
mod door;
mod endpoint;
mod events;
mod house;
mod input;
mod knowledge;
mod once;
mod page;
mod pages;
mod problem;
mod recordings;
mod rehearsals;
mod scope;
mod secretaries;
mod tenant;
mod test_calls;
pub mod token;
mod usage;
mod while_good;

#[cfg(test)]
mod tests;

use crate::{
    config::Config,
    seats::{Seat, Seats},
    store::Store,
};
use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::MethodFilter,
};
use door::Door;
use endpoint::Endpoint;
pub use house::{
    Heard, House, Kept, Ladder, News, Piece, Readiness, Silence, Sound, Stream, TestCall, TestReport, Tried, Untried,
    Wanted,
};
use once::Answers;
use pages::Pages;
use problem::Problem;
use serde_json::{Map, Value};
use std::{
    net::IpAddr,
    ops::Deref,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    sync::{Semaphore, SemaphorePermit, watch},
    time::timeout,
};
use tracing::{Instrument, debug, debug_span};
use uuid::Uuid;

/// Longest body of a request, in bytes.
const LONGEST_BODY: usize = 256 * 1_024;
/// How long an answer may take to begin.
const PATIENCE: Duration = Duration::from_secs(30);
/// Requests that ask the database at once. The other connections of its pool are the calls'.
const ASKING: usize = 3;
/// Requests that are being done at once for a token …
const AT_ONCE: usize = 32;
/// … and answers that go on for a while.
const STREAMS: usize = 64;
/// Longest request id of others that is taken over.
const LONGEST_ID: usize = 64;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What all requests share.
#[derive(Clone, Debug)]
pub struct Api(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<dyn Store>,
    house: Arc<dyn House>,
    config: watch::Receiver<Arc<Config>>,
    open_pages: bool,
    door: Door,
    answers: Answers,
    turns: Semaphore,
    requests: Seats<String>,
    streams: Seats<String>,
    pages: Pages,
}

/// Where a request comes from; whoever has the socket says so of each.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// The store, for as long as this is held.
#[derive(Debug)]
struct Turn<'a> {
    store: &'a Arc<dyn Store>,
    /// Nobody ever closes the semaphore.
    _permit: Option<SemaphorePermit<'a>>,
}

impl Deref for Turn<'_> {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        &**self.store
    }
}

impl Peer {
    fn of(request: &Request) -> Result<Self, Problem> {
        request.extensions().get().copied().ok_or_else(|| Problem::ours("a request came from nowhere"))
    }
}

impl Api {
    /// An API to this store, within that server. `open_pages`: whether health, readiness and counts are for everybody.
    pub fn new(
        store: Arc<dyn Store>,
        house: Arc<dyn House>,
        config: watch::Receiver<Arc<Config>>,
        open_pages: bool,
    ) -> Self {
        let door = Door::new(Arc::clone(&store));
        Self(Arc::new(Inner {
            store,
            house,
            config,
            open_pages,
            door,
            answers: Answers::default(),
            turns: Semaphore::new(ASKING),
            requests: Seats::new(AT_ONCE),
            streams: Seats::new(STREAMS),
            pages: Pages::default(),
        }))
    }

    /// The store, when it is this request's turn. For the wall alone: a handler has a [`scope::Scope`].
    async fn turn(&self) -> Turn<'_> {
        Turn { store: &self.0.store, _permit: self.0.turns.acquire().await.ok() }
    }

    fn house(&self) -> &dyn House {
        &*self.0.house
    }

    fn config(&self) -> Arc<Config> {
        Arc::clone(&self.0.config.borrow())
    }

    fn has_open_pages(&self) -> bool {
        self.0.open_pages
    }

    fn door(&self) -> &Door {
        &self.0.door
    }

    fn answers(&self) -> &Answers {
        &self.0.answers
    }

    fn pages(&self) -> &Pages {
        &self.0.pages
    }

    /// A place among the answers that go on for a while, of this token.
    fn stream(&self, token: &str) -> Result<Seat<String>, Problem> {
        self.0.streams.take(token.to_owned()).ok_or_else(Problem::too_many)
    }
}

/// Everything under `/v1`.
fn endpoints() -> Vec<Endpoint> {
    let own = Endpoint::new((MethodFilter::GET, "/v1/openapi.json"), ("getOpenApi", "This document"), openapi)
        .json::<Map<String, Value>>(200);
    let resources = [
        secretaries::endpoints(),
        tenant::endpoints(),
        conversations::endpoints(),
        knowledge::endpoints(),
        documents::endpoints(),
        recordings::endpoints(),
        usage::endpoints(),
        calls::endpoints(),
        events::endpoints(),
        rehearsals::endpoints(),
        test_calls::endpoints(),
    ];
    std::iter::once(own).chain(resources.into_iter().flatten()).collect()
}

/// The OpenAPI document of this API.
pub fn document() -> Value {
    endpoint::document(&[endpoints(), pages::endpoints()].into_iter().flatten().collect::<Vec<_>>())
}

async fn openapi() -> axum::Json<Value> {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    axum::Json(DOCUMENT.get_or_init(document).clone())
}

/// The API as a service. Each request must have a [`Peer`] among its extensions.
pub fn router(api: Api) -> Router {
    let v1 = endpoint::routes(endpoints())
        .layer(from_fn_with_state(api.clone(), once::once))
        .layer(from_fn_with_state(api.clone(), admit));
    let pages = endpoint::routes(pages::endpoints()).layer(from_fn_with_state(api.clone(), pages::admit));
    v1.merge(pages)
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .layer(from_fn(attend))
        .with_state(api)
}

/// Lets only those in who have a token.
async fn admit(State(api): State<Api>, mut request: Request, next: Next) -> Result<Response, Problem> {
    let Peer(from) = Peer::of(&request)?;
    let caller = api.door().admit(request.headers(), from).await?;
    let seat = Arc::new(api.0.requests.take(caller.token.clone()).ok_or_else(Problem::too_many)?);
    request.extensions_mut().insert(caller);
    // What goes on although nobody waits for it any more has its place.
    request.extensions_mut().insert(Arc::clone(&seat));
    let response = next.run(request).await;
    drop(seat);
    Ok(response)
}

/// Gives a request a name, a place in the log and an end. The query is in no log: it may have numbers of callers.
async fn attend(request: Request, next: Next) -> Response {
    let id = request.headers().get(&REQUEST_ID).and_then(|id| id.to_str().ok()).filter(|id| is_plain(id));
    let id = id.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
    let span = debug_span!("api", %id, method = %request.method(), path = request.uri().path());
    let patience = request.extensions().get::<MatchedPath>().map_or(PATIENCE, |path| patience(path.as_str()));
    let answered = async {
        let late = || Problem::unavailable("There was no answer in time.").into_response();
        let response = timeout(patience, next.run(request)).await.unwrap_or_else(|_| late());
        debug!(status = response.status().as_u16(), "Answered");
        response
    };
    let mut response = answered.instrument(span).await;
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A test call is answered when it is over.
fn patience(path: &str) -> Duration {
    if path == test_calls::PATH { test_calls::PATIENCE } else { PATIENCE }
}

fn is_plain(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=LONGEST_ID).contains(&id.len()) && id.chars().all(plain)
}
