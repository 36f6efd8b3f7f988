//! `/health`, `/ready` and `/metrics`: for machines that look after the server.
use super::{Api, Peer, endpoint::Endpoint, house::Readiness, problem::Problem};
use crate::metrics::Audience;
use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::MethodFilter,
};
use serde_json::{Map, Value};

type Anything = Map<String, Value>;

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
    api.house().health().await.map(|health| axum::Json(health).into_response()).ok_or_else(ending)
}

async fn ready(State(api): State<Api>) -> Response {
    let readiness = api.house().ready().await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(readiness)).into_response()
}

async fn metrics(State(api): State<Api>) -> Result<Response, Problem> {
    // Tenants are for those who may see all of them.
    let audience = if api.has_open_pages() { Audience::Anybody } else { Audience::Owner };
    let text = api.house().metrics(audience).await.ok_or_else(ending)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}
