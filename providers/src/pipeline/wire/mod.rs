//! What goes over the wire to each service, and what comes back. The names are those of the services.
pub(super) mod chat;
pub(super) mod listen;
pub(super) mod probe;
pub(super) mod transcription;
pub(super) mod voice;

use super::Credentials;
use crate::{HttpRequest, Method};

/// A method of a service, whose address may end in a slash.
fn method(at: &Credentials, path: &str) -> String {
    format!("{}{path}", at.url.trim_end_matches('/'))
}

/// A POST.
const fn post(url: String, headers: Vec<(String, String)>, body: Vec<u8>) -> HttpRequest {
    HttpRequest { method: Method::Post, url, headers, body }
}

/// JSON for a service that takes a bearer's key.
fn bearer_json(at: &Credentials) -> Vec<(String, String)> {
    bearer(at).into_iter().chain([json()]).collect()
}

/// The key of a service, if it has one.
fn bearer(at: &Credentials) -> Option<(String, String)> {
    at.api_key.as_ref().map(|key| ("Authorization".to_owned(), format!("Bearer {key}")))
}

/// The key of Deepgram, if there is one.
fn token(at: &Credentials) -> Option<(String, String)> {
    at.api_key.as_ref().map(|key| ("Authorization".to_owned(), format!("Token {key}")))
}

fn json() -> (String, String) {
    ("Content-Type".to_owned(), "application/json".to_owned())
}

/// The body of a request; a struct of ours always has one.
fn body(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
