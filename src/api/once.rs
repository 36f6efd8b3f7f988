//! `Idempotency-Key`: a POST that is sent again with its key is answered as the first time, and done once.
use super::{Api, door::Caller, problem::Problem};
use crate::seats::Seat;
use axum::{
    body::{Body, Bytes, HttpBody, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use ring::digest::{Context, SHA256};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, timeout};
use tracing::Instrument;

/// So long a key is remembered, in this process.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3_600);
/// How often what is too old is forgotten, of all tokens.
const SWEEP: Duration = Duration::from_secs(60);
/// Keys of one token that are remembered; then the oldest that are answered are forgotten.
const MOST: usize = 1_000;
/// Bytes of answers to one token that are remembered; then the oldest are forgotten.
const MOST_BYTES: usize = 8 << 20;
/// Longest key, in bytes.
const LONGEST: usize = 255;
/// Longest body of a request or an answer that is remembered.
const LONGEST_BODY: usize = 1 << 20;
/// How long a deed may take for whose answer nobody waits any more; then its key is forgotten.
const LONGEST_DEED: Duration = Duration::from_secs(300);

pub(super) const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What was answered under which key of which token.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers(Arc<Mutex<All>>);

#[derive(Debug, Default)]
struct All {
    of: BTreeMap<String, BTreeMap<String, Entry>>,
    /// When what is too old was forgotten last.
    swept: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Entry {
    /// Of path, query, kind of body, and body.
    request: Vec<u8>,
    at: Instant,
    /// `None` while it is being done.
    answer: Option<Answer>,
}

#[derive(Clone, Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// Does a POST with a key once, and everything else as ever.
pub(super) async fn once(State(api): State<Api>, request: Request, next: Next) -> Result<Response, Problem> {
    // Whatever comes, so that nothing is kept for want of another key.
    api.answers().all().sweep(Instant::now());
    let Some(key) = request.headers().get(&KEY).filter(|_| request.method() == Method::POST) else {
        return Ok(next.run(request).await);
    };
    let visible = |byte: &u8| (0x21..=0x7e).contains(byte);
    let key = key.as_bytes();
    if key.is_empty() || key.len() > LONGEST || !key.iter().all(visible) {
        return Err(Problem::malformed(format!("Idempotency-Key must have 1 to {LONGEST} visible ASCII characters")));
    }
    let key = String::from_utf8_lossy(key).into_owned();
    let token = request.extensions().get::<Caller>().map(|caller| caller.token.clone()).unwrap_or_default();
    let (parts, body) = request.into_parts();
    let too_large = || Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body", "The body is too large.");
    let body = to_bytes(body, LONGEST_BODY).await.map_err(|_| too_large())?;
    let digest = {
        let mut digest = Context::new(&SHA256);
        let kind = parts.headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        for part in [parts.uri.to_string().as_bytes(), b"\0", kind, b"\0", &body] {
            digest.update(part);
        }
        digest.finish().as_ref().to_vec()
    };
    let place = match api.answers().begin((&token, &key), digest, Instant::now())? {
        Begun::Again(answer) => return Ok(answer.into_response()),
        Begun::First => Place { answers: api.answers().clone(), token, key },
    };
    let seat = parts.extensions.get::<Arc<Seat<String>>>().cloned();
    let response = next.run(Request::from_parts(parts, Body::from(body)));
    // Whoever waits is told after a while that there is no answer in time, and asks again: what has begun ends, and is the
    // answer then.
    let deed = async move {
        let _seat = seat;
        match timeout(LONGEST_DEED, response).await {
            Ok(response) => place.keep(response).await,
            Err(_) => Err(Problem::unavailable("There was no answer in time.")),
        }
    };
    #[expect(clippy::disallowed_methods, reason = "a deed outlives whoever waits for its answer")]
    let deed = tokio::spawn(deed.in_current_span());
    deed.await.unwrap_or_else(|broken| Err(Problem::ours(broken)))
}

enum Begun {
    First,
    Again(Answer),
}

impl Answers {
    fn begin(&self, (token, key): (&str, &str), request: Vec<u8>, now: Instant) -> Result<Begun, Problem> {
        let mut all = self.all();
        let own = all.of.entry(token.to_owned()).or_default();
        own.retain(|_, entry| entry.is_kept(now));
        match own.get(key) {
            Some(entry) if entry.request != request => {
                let detail = "This Idempotency-Key was used for another request.";
                Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "key-reused", detail))
            }
            Some(Entry { answer: Some(answer), .. }) => Ok(Begun::Again(answer.clone())),
            Some(Entry { answer: None, .. }) => {
                let detail = "The first request with this Idempotency-Key is still being done.";
                Err(Problem::new(StatusCode::CONFLICT, "in-progress", detail).later(Duration::from_secs(1)))
            }
            None => {
                while own.len() >= MOST {
                    // One that is being done is never forgotten: it would be done again.
                    let Some(oldest) = oldest(own) else { return Err(too_many()) };
                    own.remove(&oldest);
                }
                own.insert(key.to_owned(), Entry { request, at: now, answer: None });
                Ok(Begun::First)
            }
        }
    }

    /// Maps are whole after a panic, too.
    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    /// Forgets what is too old, and tokens of which nothing is left.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|at| now.saturating_duration_since(at) < SWEEP) {
            return;
        }
        self.swept = Some(now);
        for own in self.of.values_mut() {
            own.retain(|_, entry| entry.is_kept(now));
        }
        self.of.retain(|_, own| !own.is_empty());
    }
}

impl Entry {
    fn is_kept(&self, now: Instant) -> bool {
        self.answer.is_none() || now.saturating_duration_since(self.at) < KEPT_FOR
    }
}

fn too_many() -> Problem {
    let detail = format!("{MOST} requests with an Idempotency-Key are being done for this token.");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many", detail).later(Duration::from_secs(1))
}

/// The key that was answered longest ago.
fn oldest(own: &BTreeMap<String, Entry>) -> Option<String> {
    let answered = own.iter().filter(|(_, entry)| entry.answer.is_some());
    answered.min_by_key(|(_, entry)| entry.at).map(|(key, _)| key.clone())
}

/// Forgets the oldest answers until the rest are not too long.
fn trim(own: &mut BTreeMap<String, Entry>) {
    let length = |entry: &Entry| entry.answer.as_ref().map_or(0, |answer| answer.body.len());
    let mut bytes: usize = own.values().map(length).sum();
    while bytes > MOST_BYTES {
        let Some(oldest) = oldest(own) else { return };
        bytes -= own.remove(&oldest).as_ref().map_or(0, length);
    }
}

/// Where an answer goes. A request that comes to no answer leaves nothing behind, so that it may be sent again.
struct Place {
    answers: Answers,
    token: String,
    key: String,
}

impl Place {
    /// Failures of ours are not the answer, and nor is what says to try again: the next try may fare better.
    async fn keep(self, response: Response) -> Result<Response, Problem> {
        let is_for_now =
            response.status() == StatusCode::TOO_MANY_REQUESTS || response.headers().contains_key(header::RETRY_AFTER);
        // What is too long to be remembered is told all the same.
        let is_long = response.body().size_hint().lower() > LONGEST_BODY as u64;
        if is_for_now || is_long || response.status().is_server_error() {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, LONGEST_BODY).await.map_err(Problem::ours)?;
        let answer = Answer { status: parts.status, headers: parts.headers.clone(), body: body.clone() };
        if let Some(own) = self.answers.all().of.get_mut(&self.token)
            && let Some(entry) = own.get_mut(&self.key)
        {
            entry.answer = Some(answer);
            trim(own);
        }
        Ok(Response::from_parts(parts, Body::from(body)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(own) = self.answers.all().of.get_mut(&self.token) {
            own.retain(|key, entry| *key != self.key || entry.answer.is_some());
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_is_bound_to_its_request_and_its_token_for_a_day() {
        let answers = Answers::default();
        let now = Instant::now();
        let at = |now, token: &str, key: &str, request: &[u8]| answers.begin((token, key), request.to_vec(), now);
        let begin = |token: &str, key: &str, request: &[u8]| at(now, token, key, request);
        let place = |key: &str| Place { answers: answers.clone(), token: "a".into(), key: key.into() };
        assert!(matches!(begin("a", "k", b"1"), Ok(Begun::First)));
        assert_eq!(begin("a", "k", b"1").err().unwrap().status, 409);
        place("k").keep(Response::new(Body::from("done"))).await.unwrap();
        assert!(matches!(begin("a", "k", b"1"), Ok(Begun::Again(answer)) if answer.body == "done"));
        assert_eq!(begin("a", "k", b"2").err().unwrap().status, 422);
        assert!(matches!(begin("b", "k", b"2"), Ok(Begun::First)), "another token's keys are its own");
        let broken = Problem::ours("x").into_response();
        assert!(matches!(begin("a", "f", b"1"), Ok(Begun::First)));
        place("f").keep(broken).await.unwrap();
        assert!(matches!(begin("a", "f", b"1"), Ok(Begun::First)), "a failure of ours may be tried again");
        let whole = place("f").keep(Response::new(Body::from(vec![0; LONGEST_BODY + 1]))).await.unwrap();
        assert_eq!(whole.body().size_hint().exact(), Some(LONGEST_BODY as u64 + 1), "told, and not remembered");
        assert!(matches!(begin("a", "f", b"1"), Ok(Begun::First)));
        for number in 0..9 {
            let key = format!("long {number}");
            assert!(matches!(at(now + Duration::from_secs(number), "c", &key, b"1"), Ok(Begun::First)));
            let place = Place { answers: answers.clone(), token: "c".into(), key };
            place.keep(Response::new(Body::from(vec![0; LONGEST_BODY]))).await.unwrap();
        }
        let left: Vec<_> = answers.all().of["c"].keys().cloned().collect();
        assert_eq!((left.len(), left[0].as_str()), (8, "long 1"), "the oldest is forgotten");
        let tomorrow = now + KEPT_FOR;
        assert!(matches!(at(tomorrow, "a", "k", b"2"), Ok(Begun::First)));
        // With "f", which nobody has answered since.
        for number in 2..MOST {
            assert!(matches!(at(tomorrow, "a", &format!("n{number}"), b"1"), Ok(Begun::First)));
        }
        assert_eq!(at(tomorrow, "a", "more", b"1").err().unwrap().status, 429, "what is being done is not forgotten");
        place("n2").keep(Response::new(Body::from("done"))).await.unwrap();
        assert!(matches!(at(tomorrow, "a", "more", b"1"), Ok(Begun::First)));
        assert!(!answers.all().of["a"].contains_key("n2") && answers.all().of["a"].len() == MOST);
        answers.all().sweep(tomorrow + Duration::from_secs(9));
        assert_eq!(answers.all().of.keys().collect::<Vec<_>>(), ["a", "b"], "nothing is left of the other");
    }
}
