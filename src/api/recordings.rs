//! `/v1/conversations/{id}/recording`: the sound of a call, as a player fetches it (RFC 9110 §14).
use super::{
    conversations::ONE,
    endpoint::Endpoint,
    house::{Silence, Sound, Wanted},
    input::{Id, Query},
    page::Whose,
    problem::Problem,
    scope::Scope,
    while_good::while_good,
};
use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::MethodFilter,
};
use futures_util::StreamExt;
use std::{io, time::Duration};
use tracing::info;

pub(super) fn endpoints() -> Vec<Endpoint> {
    const PATH: &str = "/v1/conversations/{id}/recording";
    debug_assert!(PATH.starts_with(ONE));
    vec![
        Endpoint::new((MethodFilter::GET, PATH), ("getRecording", "The recording of a conversation, opened"), listen)
            .query::<Whose>()
            .headers(&[("Range", "bytes=FIRST-LAST, as RFC 9110 has it")])
            .bytes(200, &["audio/wav", "audio/ogg"])
            .bytes(206, &["audio/wav", "audio/ogg"]),
    ]
}

async fn listen(scope: Scope, Id(id): Id, _: Query<Whose>, headers: HeaderMap) -> Result<Response, Problem> {
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok()).and_then(wanted);
    match scope.sound(id, range.unwrap_or(Wanted::All)).await? {
        Ok(sound) => response(scope, sound, range.is_some()),
        Err(Silence::Beyond(length)) => {
            let mut response = Problem::from(Silence::Beyond(length)).into_response();
            insert(&mut response, header::CONTENT_RANGE, format!("bytes */{length}"));
            Ok(response)
        }
        Err(why) => Err(why.into()),
    }
}

impl From<Silence> for Problem {
    fn from(why: Silence) -> Self {
        match why {
            Silence::Absent => Self::absent(),
            // Where exactly is for whoever runs the servers, and in the row.
            Silence::Elsewhere(place) => {
                info!(place, "The recording that was asked for is not here");
                let detail = "The recording is in the object store only, or on another server.";
                Self::new(StatusCode::CONFLICT, "elsewhere", detail)
            }
            Silence::InUse => {
                let detail = "The recording is being written, sent or deleted at this moment: try again.";
                Self::new(StatusCode::CONFLICT, "in-use", detail).later(Duration::from_secs(5))
            }
            Silence::Beyond(length) => {
                let detail = format!("The recording has {length} bytes.");
                Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "range", detail)
            }
            Silence::Away => Self::unavailable("The store of recordings does not answer."),
            Silence::Busy => Self::unavailable("Too many recordings are being read at this moment."),
            Silence::Broken(why) => Self::ours(why),
        }
    }
}

/// A single range of bytes. Any other header is as if it were not there, as RFC 9110 §14.2 allows.
fn wanted(header: &str) -> Option<Wanted> {
    let (first, last) = header.trim().strip_prefix("bytes=")?.split_once('-')?;
    let number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    match (first.trim(), last.trim()) {
        ("", last) => number(last).map(Wanted::Last),
        (first, "") => number(first).map(|first| Wanted::From(first, None)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Wanted::From(first, Some(last)))
        }
    }
}

fn response(scope: Scope, sound: Sound, is_part: bool) -> Result<Response, Problem> {
    let Sound { kind, length, range, body } = sound;
    let mut response = Response::new(Body::empty());
    insert(&mut response, header::CONTENT_TYPE, kind.to_owned());
    insert(&mut response, header::ACCEPT_RANGES, "bytes".to_owned());
    let sent = range.as_ref().map_or(0, |range| range.end() - range.start() + 1);
    insert(&mut response, header::CONTENT_LENGTH, sent.to_string());
    if let (true, Some(range)) = (is_part, &range) {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        insert(&mut response, header::CONTENT_RANGE, format!("bytes {}-{}/{length}", range.start(), range.end()));
    }
    // One that ends early, with the token, is shorter than was said: whoever takes it sees that it is not whole.
    let pieces = body.into_data_stream().map(|piece| piece.map_err(io::Error::other));
    *response.body_mut() = while_good(scope, pieces.boxed())?;
    Ok(response)
}

/// What we write ourselves is always a header.
fn insert(response: &mut Response, name: header::HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_or_elsewhere_is_no_failure_of_ours_and_nobody_is_told_where() {
        assert_eq!((Problem::from(Silence::InUse).status, Problem::from(Silence::Away).status), (409, 503));
        let elsewhere = Problem::from(Silence::Elsewhere("s3://bucket/key".into()));
        assert!(elsewhere.status == 409 && !elsewhere.detail.contains("bucket"), "{elsewhere:?}");
    }

    #[test]
    fn one_range_of_bytes_is_understood() {
        for (header, range) in [
            ("bytes=0-99", Some(Wanted::From(0, Some(99)))),
            ("bytes=5-", Some(Wanted::From(5, None))),
            ("bytes=-5", Some(Wanted::Last(5))),
            ("bytes=9-5", None),
            ("bytes=0-1,3-4", None),
            ("bytes=-", None),
            ("bytes=+1-2", None),
            ("items=0-1", None),
            ("bytes=99999999999999999999-", None),
        ] {
            assert_eq!(wanted(header), range, "{header}");
        }
    }
}
