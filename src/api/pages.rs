//! `/health`, `/ready` and `/metrics`: for machines that look after the server.
use super::{Api, Peer, endpoint::Endpoint, house::Readiness, problem::Problem};
use crate::{control::Health, metrics::Audience};
use axum::{
    body::Bytes,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::MethodFilter,
};
use serde_json::{Map, Value};
use std::time::Duration;
use tokio::{sync::Mutex, time::Instant};

type Anything = Map<String, Value>;

/// So long a page is told again as it was: whoever asks how often they like costs nothing.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// What the pages told last.
#[derive(Debug, Default)]
pub(super) struct Pages {
    health: Page<Option<Health>>,
    ready: Page<Readiness>,
    metrics: Page<Option<Bytes>>,
}

/// What a page told, and when. Whoever asks while it is made has it then.
#[derive(Debug)]
struct Page<T>(Mutex<Option<(Instant, T)>>);

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Clone> Page<T> {
    async fn tell(&self, now: Instant, make: impl Future<Output = T>) -> T {
        let mut last = self.0.lock().await;
        if let Some((at, told)) = &*last
            && now.saturating_duration_since(*at) < GOOD_FOR
        {
            return told.clone();
        }
        let told = make.await;
        *last = Some((now, told.clone()));
        told
    }
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    let all = [
        Endpoint::new((MethodFilter::GET, "/health"), ("health", "Whether the server does what it should"), health)
            .json::<Anything>(200),
        Endpoint::new((MethodFilter::GET, "/ready"), ("ready", "Whether new calls may be sent here"), ready)
            .json::<Readiness>(200)
            .json::<Readiness>(503),
        Endpoint::new((MethodFilter::GET, "/metrics"), ("metrics", "Counts for Prometheus"), metrics)
            .bytes(200, &["text/plain"]),
    ];
    all.into_iter().map(Endpoint::may_be_open).collect()
}

/// Lets everybody in, or only those with a token for all domains: these pages tell of all of them.
pub(super) async fn admit(State(api): State<Api>, request: Request, next: Next) -> Result<Response, Problem> {
    if !api.has_open_pages() {
        let Peer(from) = Peer::of(&request)?;
        let caller = api.door().admit(request.headers(), from).await?;
        if caller.domain.is_some() {
            let detail = "This needs a token for all domains.";
            return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
        }
    }
    Ok(next.run(request).await)
}

fn ending() -> Problem {
    Problem::unavailable("The server is ending, or does not answer.")
}

async fn health(State(api): State<Api>) -> Result<Response, Problem> {
    // A provider that is down is no reason to take calls elsewhere: the ladder is there for that.
    let health = api.pages().health.tell(Instant::now(), api.house().health()).await;
    health.map(|health| axum::Json(health).into_response()).ok_or_else(ending)
}

async fn ready(State(api): State<Api>) -> Response {
    let readiness = api.pages().ready.tell(Instant::now(), api.house().ready()).await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(readiness)).into_response()
}

async fn metrics(State(api): State<Api>) -> Result<Response, Problem> {
    // Tenants are for those who may see all of them.
    let audience = if api.has_open_pages() { Audience::Anybody } else { Audience::Owner };
    let made = async { api.house().metrics(audience).await.map(Bytes::from) };
    let text = api.pages().metrics.tell(Instant::now(), made).await.ok_or_else(ending)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn a_page_is_made_once_a_second_whoever_asks() {
        let (page, count, now) = (Page::default(), AtomicU32::new(0), Instant::now());
        let made = &count;
        let ask = |now| page.tell(now, async move { made.fetch_add(1, Ordering::Relaxed) });
        assert_eq!(tokio::join!(ask(now), ask(now), ask(now)), (0, 0, 0));
        let later = now + GOOD_FOR;
        assert_eq!((ask(later).await, ask(later).await), (1, 1));
    }
}
