//! Who may come in: bearer tokens, all of them read once in a few seconds, and those who guess held off.
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
use tokio::{sync::Semaphore, time::Instant};
use tracing::{debug, warn};
use uuid::Uuid;

/// So long tokens are believed without a look at the database: so late a revocation may be noticed.
const GOOD_FOR: Duration = Duration::from_secs(5);
/// The same for one that is not among them, from where others guess: so late a new one is known there.
const UNKNOWN_FOR: Duration = Duration::from_secs(1);
/// A database that did not answer is not asked for so long.
const AWAY_FOR: Duration = Duration::from_secs(1);
/// Questions for tokens that are not known, at once.
const ASKING: usize = 2;
/// The use of a token is noted as often.
const NOTED_EVERY: TimeDelta = TimeDelta::seconds(60);
/// An address may show so many wrong tokens …
const MOST_WRONG: u32 = 20;
/// … in this time; then only those that are known get in from there.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered; beyond it all are forgotten.
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

/// Knows all tokens as they were a moment ago, and remembers failures.
#[derive(Debug)]
pub(super) struct Door {
    store: Arc<dyn Store>,
    known: Mutex<Known>,
    /// Whoever has it reads all tokens, and the others wait for what comes of it.
    reading: tokio::sync::Mutex<()>,
    asking: Semaphore,
}

#[derive(Debug, Default)]
struct Known {
    tokens: BTreeMap<String, TokenRecord>,
    read: Option<Read>,
    wrong: BTreeMap<IpAddr, (u32, Instant)>,
}

/// When all tokens were asked for, and whether there was an answer.
#[derive(Clone, Copy, Debug)]
struct Read {
    at: Instant,
    answered: bool,
}

impl Door {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, known: Mutex::default(), reading: tokio::sync::Mutex::default(), asking: Semaphore::new(ASKING) }
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
        self.note(&record.id).await;
        Ok(Caller { token: record.id, name: record.name, domain: record.domain })
    }

    /// Whether a token that was let in is good still. While the database does not answer, it is until the end it had.
    pub(super) async fn is_still_good(&self, id: &str) -> bool {
        if let Err(problem) = self.refresh(GOOD_FOR).await {
            debug!(?problem, "a token is good by what was known of it");
        }
        self.of(id).is_some_and(|record| record.is_good(Utc::now()))
    }

    async fn look(&self, id: &str, from: IpAddr) -> Result<Option<TokenRecord>, Problem> {
        self.refresh(GOOD_FOR).await?;
        if let Some(record) = self.of(id) {
            return Ok(Some(record));
        }
        if self.known().held_off(from, Instant::now()) {
            // Behind a proxy whoever guesses has the address of those who do not, of whom one may have a new token.
            self.refresh(UNKNOWN_FOR).await?;
            return self.of(id).map(Some).ok_or_else(too_many);
        }
        let _turn = self.asking.acquire().await;
        let found = self.store.tokens().token(id).await?;
        if let Some(record) = &found {
            self.known().tokens.insert(id.to_owned(), record.clone());
        }
        Ok(found)
    }

    fn of(&self, id: &str) -> Option<TokenRecord> {
        self.known().tokens.get(id).cloned()
    }

    /// Has all tokens be known as they were this long ago at the most.
    async fn refresh(&self, age: Duration) -> Result<(), Problem> {
        let told = self.known().told(age, Instant::now());
        if let Some(told) = told {
            return told;
        }
        let _reading = self.reading.lock().await;
        // Whoever waited for another has what that one read.
        let told = self.known().told(age, Instant::now());
        if let Some(told) = told {
            return told;
        }
        let at = Instant::now();
        let all = self.store.tokens().all_tokens().await;
        let mut known = self.known();
        known.read = Some(Read { at, answered: all.is_ok() });
        known.tokens = all?.into_iter().map(|record| (record.id.clone(), record)).collect();
        Ok(())
    }

    /// When it was used, to the minute. It is of no use to the one who waits, so it may fail.
    async fn note(&self, id: &str) {
        let now = Utc::now();
        let is_due = |record: &TokenRecord| {
            record.last_used_at.is_none_or(|last| now.signed_duration_since(last) >= NOTED_EVERY)
        };
        match self.known().tokens.get_mut(id).filter(|record| is_due(record)) {
            // Those who come while it is noted need not note it.
            Some(record) => record.last_used_at = Some(now),
            None => return,
        }
        if let Err(problem) = self.store.tokens().touch_token(id, now).await {
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
    /// What the last look at the database came to, if that is so young that none is needed.
    fn told(&self, age: Duration, now: Instant) -> Option<Result<(), Problem>> {
        let Read { at, answered } = self.read?;
        let passed = now.saturating_duration_since(at);
        match answered {
            true => (passed < age).then_some(Ok(())),
            false => (passed < AWAY_FOR).then(|| Err(Problem::unavailable("The database does not answer."))),
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::unplugged;

    #[tokio::test]
    async fn while_the_database_is_away_a_token_ends_when_it_was_to_end() {
        let door = Door::new(unplugged().await);
        for (id, hours) in [("ended", -1), ("good", 1)] {
            let record = TokenRecord {
                id: id.into(),
                name: id.into(),
                hash: String::new(),
                domain: None,
                created_at: Utc::now(),
                expires_at: Some(Utc::now() + TimeDelta::hours(hours)),
                last_used_at: None,
                revoked_at: None,
            };
            door.known().tokens.insert(id.into(), record);
        }
        assert!(door.is_still_good("good").await);
        assert!(!door.is_still_good("ended").await && !door.is_still_good("nobody's").await);
    }
}
