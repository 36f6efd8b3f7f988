//! Who may come in: bearer tokens, looked up at most once in a few seconds each, and those who guess held off.
use super::{problem::Problem, token::Token};
use crate::store::{Store, TokenRecord};
use axum::http::{HeaderMap, StatusCode, header};
use chrono::{TimeDelta, Utc};
use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use tracing::{debug, warn};
use uuid::Uuid;

/// So long a token is believed without a look at the database: so late a revocation may be noticed.
const GOOD_FOR: Duration = Duration::from_secs(5);
/// The use of a token is noted as often.
const NOTED_EVERY: TimeDelta = TimeDelta::seconds(60);
/// An address may show so many wrong tokens …
const MOST_WRONG: u32 = 20;
/// … in this time; then only those that are known get in from there.
const WINDOW: Duration = Duration::from_secs(60);
/// Tokens, and addresses, that are remembered; beyond it all are forgotten.
const MOST: usize = 10_000;

/// Whoever showed a token that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// What the token is called in itself.
    pub(super) token: String,
    /// What people call it.
    pub(super) name: String,
    /// The tenant it is for; `None` for any.
    pub(super) domain: Option<Uuid>,
}

/// Remembers tokens and failures.
#[derive(Debug)]
pub(super) struct Door {
    store: Arc<dyn Store>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    tokens: BTreeMap<String, (TokenRecord, Instant)>,
    wrong: BTreeMap<IpAddr, (u32, Instant)>,
}

impl Door {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, known: Mutex::default() }
    }

    /// Whoever asks, by what the request shows.
    ///
    /// # Errors
    /// No token, one that is not good, too many of those from this address, or a database that does not answer.
    pub(super) async fn admit(&self, headers: &HeaderMap, from: IpAddr) -> Result<Caller, Problem> {
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some((scheme, text)) = shown.and_then(|shown| shown.split_once(' ')) else {
            return Err(unauthorized("A token is needed: Authorization: Bearer ramal_…"));
        };
        let token = Token::parse(text.trim()).filter(|_| scheme.eq_ignore_ascii_case("bearer"));
        let Some(token) = token else { return Err(self.wrong(from)) };
        let found = self.look(&token.id, from).await?;
        let good = found.filter(|record| token.is_of(&record.hash) && record.is_good(Utc::now()));
        let Some(record) = good else { return Err(self.wrong(from)) };
        Ok(Caller { token: record.id, name: record.name, domain: record.domain })
    }

    /// Whether a token that was let in is good still; while the database does not answer, it is.
    pub(super) async fn is_still_good(&self, id: &str) -> bool {
        let found = self.store.tokens().token(id).await;
        found.is_err() || found.is_ok_and(|found| found.is_some_and(|record| record.is_good(Utc::now())))
    }

    async fn look(&self, id: &str, from: IpAddr) -> Result<Option<TokenRecord>, Problem> {
        let now = Instant::now();
        let seen = self.known().tokens.get(id).cloned();
        match seen {
            Some((record, at)) if now.saturating_duration_since(at) < GOOD_FOR => return Ok(Some(record)),
            // A guess costs no question.
            None if self.known().held_off(from, now) => return Err(too_many()),
            Some(_) | None => {}
        }
        let found = self.store.tokens().token(id).await?;
        self.keep(id, found.clone(), now);
        if let Some(record) = &found {
            self.note(record).await;
        }
        Ok(found)
    }

    fn keep(&self, id: &str, found: Option<TokenRecord>, now: Instant) {
        let mut known = self.known();
        if known.tokens.len() >= MOST {
            known.tokens.clear();
        }
        match found {
            Some(record) => drop(known.tokens.insert(id.to_owned(), (record, now))),
            None => drop(known.tokens.remove(id)),
        }
    }

    /// When it was used, to the minute. It is of no use to the one who waits, so it may fail.
    async fn note(&self, record: &TokenRecord) {
        let now = Utc::now();
        let due = record.last_used_at.is_none_or(|last| now.signed_duration_since(last) >= NOTED_EVERY);
        if due
            && record.is_good(now)
            && let Err(problem) = self.store.tokens().touch_token(&record.id, now).await
        {
            debug!(%problem, "the use of a token is not noted");
        }
    }

    /// Another wrong one.
    fn wrong(&self, from: IpAddr) -> Problem {
        let now = Instant::now();
        let mut known = self.known();
        if known.held_off(from, now) {
            return too_many();
        }
        if known.wrong.len() >= MOST {
            known.wrong.clear();
        }
        let (count, since) = known.wrong.entry(from).or_insert((0, now));
        if now.saturating_duration_since(*since) >= WINDOW {
            (*count, *since) = (0, now);
        }
        *count += 1;
        if *count == MOST_WRONG {
            warn!(%from, "Many wrong tokens for the API: only known ones get in from there for a while");
        }
        unauthorized("The token is not known, has ended, or was revoked.")
    }

    /// Maps are whole after a panic, too.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn held_off(&self, from: IpAddr, now: Instant) -> bool {
        let wrong = self.wrong.get(&from);
        wrong.is_some_and(|(count, since)| *count >= MOST_WRONG && now.saturating_duration_since(*since) < WINDOW)
    }
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
}

fn too_many() -> Problem {
    let detail = "Too many wrong tokens came from this address.";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many", detail).later(WINDOW)
}
