//! `/v1/events`: what happens at a tenant, as it happens (server-sent events).
use super::{
    endpoint::Endpoint,
    house::{News, Stream},
    input::Query,
    page::Whose,
    problem::Problem,
    scope::Scope,
    while_good::while_good,
};
use crate::switchboard::Entry;
use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::Response,
    routing::MethodFilter,
};
use futures_util::{StreamExt, stream};
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;
use tokio::time::timeout;

const LAST: HeaderName = HeaderName::from_static("last-event-id");
/// Proxies take a silent connection for a dead one.
const SILENCE: Duration = Duration::from_secs(15);

/// Events that are not kept any more, told as `event: missed`.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
struct Missed {
    /// How many; null for nobody knows how many.
    events: Option<u64>,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    const LAST: (&str, &str) = (
        "Last-Event-ID",
        "The id of the last event that was taken: what came after it is told first, as far as it is kept",
    );
    vec![
        Endpoint::new(
            (MethodFilter::GET, "/v1/events"),
            ("followEvents", "What happens at a domain, as it happens"),
            follow,
        )
        .query::<Whose>()
        .headers(&[LAST])
        .events::<Entry, Missed>(200),
    ]
}

async fn follow(scope: Scope, _: Query<Whose>, headers: HeaderMap) -> Result<Response, Problem> {
    let last = headers.get(&LAST).and_then(|last| last.to_str().ok()).and_then(|last| last.trim().parse().ok());
    let news = scope.news(last);
    // So that whoever waits for the head of the answer has it at once.
    let begin = stream::iter([Bytes::from_static(b": here\n\n")]);
    let mut response = Response::new(while_good(scope, begin.chain(told(news)).map(Ok).boxed())?);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

/// Each piece of news as an event, and a comment where there is none for a while.
fn told(news: Stream<News>) -> Stream<Bytes> {
    let next = |mut news: Stream<News>| async move {
        match timeout(SILENCE, news.next()).await {
            Ok(Some(piece)) => Some((event(&piece), news)),
            Ok(None) => None,
            Err(_) => Some((Bytes::from_static(b": still here\n\n"), news)),
        }
    };
    stream::unfold(news, next).boxed()
}

/// An event: `id` is where to resume, `data` one line of JSON.
fn event(news: &News) -> Bytes {
    let text = match news {
        News::Happened { number, kind, entry } => format!("id: {number}\nevent: {kind}\ndata: {entry}\n\n"),
        News::Missed(events) => {
            let missed = serde_json::to_string(&Missed { events: *events }).unwrap_or_default();
            format!("event: missed\ndata: {missed}\n\n")
        }
    };
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_few_lines_and_says_where_to_resume() {
        let entry = serde_json::json!({"event": "call_answered", "text": "a\nb"});
        let news = News::Happened { number: 7, kind: "call_answered".into(), entry };
        let data = r#"{"event":"call_answered","text":"a\nb"}"#;
        assert_eq!(event(&news), format!("id: 7\nevent: call_answered\ndata: {data}\n\n"));
        assert_eq!(event(&News::Missed(Some(3))), "event: missed\ndata: {\"events\":3}\n\n");
        assert_eq!(event(&News::Missed(None)), "event: missed\ndata: {\"events\":null}\n\n");
    }
}
