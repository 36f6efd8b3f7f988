//! An answer that is no success: `application/problem+json` (RFC 9457).
use crate::store::StoreError;
use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tracing::{error, warn};

/// The type of its body.
pub(super) const KIND: &str = "application/problem+json";

/// What is wrong with one member of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(super) struct FieldError {
    /// Which member, or parameter.
    pub(super) field: String,
    /// What is there and what is allowed.
    pub(super) message: String,
}

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(super) struct Problem {
    /// Which kind of problem, for programs: `urn:ramal:problem:` and a word.
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// The status in words.
    pub(super) title: String,
    /// The status of the answer.
    pub(super) status: u16,
    /// What happened, for people.
    pub(super) detail: String,
    /// What is wrong with which member of the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) errors: Vec<FieldError>,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

impl Problem {
    /// A problem of this kind.
    pub(super) fn new(status: StatusCode, kind: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:ramal:problem:{kind}"),
            title: status.canonical_reason().unwrap_or("Problem").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
        }
    }

    /// What is not there, or is another's: nobody can tell which.
    pub(super) fn absent() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing here.")
    }

    /// The request is not understood.
    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    /// One member of the request says what it may not.
    pub(super) fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        let mut problem =
            Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "A member of the request is not valid.");
        problem.errors = vec![FieldError { field: field.into(), message: message.into() }];
        problem
    }

    /// It may work later.
    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail);
        Self { retry_after: Some(Duration::from_secs(5)), ..problem }
    }

    /// The token has as much going on as it may.
    pub(super) fn too_many() -> Self {
        let detail = "Too much is being done for this token at this moment.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many", detail).later(Duration::from_secs(1))
    }

    /// Not before this time.
    pub(super) fn later(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// Our own fault; the log has the reason.
    pub(super) fn ours(why: impl std::fmt::Display) -> Self {
        error!("The API failed: {why:#}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The server failed; its log says why.")
    }
}

impl From<StoreError> for Problem {
    /// What a database says may show what others wrote into it: the log gets that.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(why) => {
                warn!(why, "The database did not answer the API");
                Self::unavailable("The database does not answer.")
            }
            StoreError::Refused(why) => {
                warn!(why, "The database refused what the API wrote");
                let detail = "The database refuses this; the server's log says why.";
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", detail)
            }
            StoreError::NoSuchDomain(_) => Self::absent(),
            other @ (StoreError::Url(_)
            | StoreError::NoFile(_)
            | StoreError::Foreign(_)
            | StoreError::Migration(_)
            | StoreError::Unreadable { .. }) => Self::ours(other),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(KIND));
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"ramal\""));
        }
        response
    }
}

/// For paths that lead nowhere.
pub(super) async fn no_such_path() -> Problem {
    Problem::absent()
}

/// For methods that a path does not have.
pub(super) async fn no_such_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "This path has no such method; Allow lists those it has.")
}
