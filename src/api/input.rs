//! What a request says: query, path and body, read strictly. What is wrong is a [`Problem`], always.
use super::problem::{FieldError, Problem};
use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, RawPathParams, Request},
    http::{StatusCode, header, request::Parts},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

/// The parameters behind `?`; one that is not known is a mistake, not a wish that nobody hears.
#[derive(Debug)]
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let read = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        let axum::extract::Query(query) = read.map_err(|rejection| Problem::malformed(rejection.body_text()))?;
        Ok(Self(query))
    }
}

/// The UUID in the path. What is none is nothing that is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Id(pub(super) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        named(parts, state, "id").await.map(Self)
    }
}

/// The UUID of something within another, whose is [`Id`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Inner(pub(super) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for Inner {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        named(parts, state, "document").await.map(Self)
    }
}

async fn named<S: Send + Sync>(parts: &mut Parts, state: &S, wanted: &str) -> Result<Uuid, Problem> {
    let path = RawPathParams::from_request_parts(parts, state).await.map_err(|_| Problem::absent())?;
    let id = path.iter().find(|(name, _)| *name == wanted).and_then(|(_, id)| Uuid::try_parse(id).ok());
    id.ok_or_else(Problem::absent)
}

/// A JSON body.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            let detail = "The body must be JSON, with Content-Type: application/json.";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", detail));
        }
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| Problem::new(rejection.status(), "body", rejection.body_text()))?;
        read(&body).map(Self)
    }
}

/// Reads a body: JSON at all, then JSON of this shape. PostgreSQL keeps no U+0000, so there is none anywhere.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let value: Value =
        serde_json::from_slice(body).map_err(|error| Problem::malformed(format!("The body is not JSON: {error}")))?;
    if let Some(field) = with_nul(&value) {
        return Err(Problem::field(field, "must not have the character U+0000"));
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let field = error.path().to_string();
        let mut problem =
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "The body has not the right shape.");
        problem.errors = vec![FieldError { field, message: error.inner().to_string() }];
        problem
    })
}

/// Where there is one, by the outermost member.
fn with_nul(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => text.contains('\0').then(String::new),
        Value::Array(items) => items.iter().find_map(with_nul),
        Value::Object(members) => members
            .iter()
            .find(|(key, value)| key.contains('\0') || with_nul(value).is_some())
            .map(|(key, _)| key.clone()),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Shape {
        number: u8,
    }

    #[test]
    fn a_body_is_json_of_the_right_shape_and_what_is_not_is_named() {
        assert_eq!(read::<Shape>(br#"{"number": 7}"#).unwrap().number, 7);
        for (body, status, field) in [
            (&b"{"[..], 400, None),
            (b"\xff", 400, None),
            (br#"{"number": 700}"#, 422, Some("number")),
            (br#"{"number": 7, "other": 1}"#, 422, Some("other")),
            (br#"{"number": 7, "text": [{"a": "\u0000"}]}"#, 422, Some("text")),
        ] {
            let problem = read::<Shape>(body).unwrap_err();
            assert_eq!(problem.status, status, "{problem:?}");
            assert_eq!(problem.errors.first().map(|error| error.field.as_str()), field);
        }
    }
}
