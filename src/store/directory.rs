//! Secretaries and tenants as they were read last: good while nothing changed, and good enough while the database is away.
use super::{Changes, Found, Lookup, Store, StoreError};
use crate::tenancy::TenantRow;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tracing::warn;
use uuid::Uuid;

/// How long the database may take: a caller hears nothing meanwhile.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long it may take where something is known that does as well.
const PATIENCE_IF_KNOWN: Duration = Duration::from_millis(500);
/// What nothing is said of is read again after this: a domain may be renamed in a table of FusionPBX's.
const GOOD_FOR: Duration = Duration::from_secs(60);
/// What was read so long ago answers no calls any more.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3_600);
/// A database that did not answer is not waited for by others in this time, if they can do without.
const AWAY_FOR: Duration = Duration::from_secs(5);
/// Answers kept of each kind; beyond it all are forgotten.
const MOST: usize = 20_000;

/// Answers questions of calls that come in. A call keeps what it was told.
#[derive(Debug)]
pub struct Directory {
    store: Arc<dyn Store>,
    changes: watch::Receiver<Changes>,
    known: Mutex<Known>,
    stale: AtomicU64,
}

#[derive(Debug, Default)]
struct Known {
    secretaries: BTreeMap<Lookup, Read<Found>>,
    tenants: BTreeMap<Uuid, Read<Option<TenantRow>>>,
    /// Since then the database is away.
    away: Option<Instant>,
}

/// An answer of the database.
#[derive(Clone, Debug)]
struct Read<T> {
    answer: T,
    at: Instant,
    /// [`Changes::seen`] before it was asked.
    seen: u64,
}

impl<T> Read<T> {
    fn is_fresh(&self, changes: Changes, now: Instant) -> bool {
        changes.followed && self.seen == changes.seen && now.saturating_duration_since(self.at) < GOOD_FOR
    }

    fn is_usable(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < KEPT_FOR
    }
}

/// Of which answers a question is one.
type Shelf<K, T> = fn(&mut Known) -> &mut BTreeMap<K, Read<T>>;

impl Directory {
    /// A directory of this store, whose changes somebody [follows](Store::follow).
    pub fn new(store: Arc<dyn Store>, changes: watch::Receiver<Changes>) -> Self {
        Self { store, changes, known: Mutex::default(), stale: AtomicU64::new(0) }
    }

    /// The secretary of a call.
    ///
    /// # Errors
    /// When the database does not answer, and did not in the last day.
    pub async fn find(&self, lookup: &Lookup) -> Result<Found, StoreError> {
        let keep = |found: &Found| match found {
            Found::Secretary(_) | Found::Disabled { .. } | Found::Invalid(_) => true,
            // Whoever guesses numbers fills nothing.
            Found::Nothing | Found::Ambiguous { .. } => false,
        };
        self.ask(lookup, |known| &mut known.secretaries, self.store.find_secretary(lookup), keep).await
    }

    /// The settings of a tenant, if it has some.
    ///
    /// # Errors
    /// As [`Directory::find`].
    pub async fn tenant(&self, domain: Uuid) -> Result<Option<TenantRow>, StoreError> {
        self.ask(&domain, |known| &mut known.tenants, self.store.tenants().find(domain), |_| true).await
    }

    /// How many calls were answered by what was known, since the database was away.
    pub fn stale(&self) -> u64 {
        self.stale.load(Ordering::Relaxed)
    }

    async fn ask<K: Ord + Clone, T: Clone>(
        &self,
        key: &K,
        shelf: Shelf<K, T>,
        question: impl Future<Output = Result<T, StoreError>>,
        keep: fn(&T) -> bool,
    ) -> Result<T, StoreError> {
        let changes = *self.changes.borrow();
        let (last, away) = self.last(key, shelf);
        if let Some(read) = last.as_ref().filter(|read| read.is_fresh(changes, Instant::now())) {
            return Ok(read.answer.clone());
        }
        if let Some(read) = last.as_ref().filter(|_| away) {
            return Ok(self.make_do(read, "it did not answer a moment ago"));
        }
        let patience = if last.is_some() { PATIENCE_IF_KNOWN } else { PATIENCE };
        let late = || StoreError::Unavailable(format!("no answer within {patience:?}"));
        match timeout(patience, question).await.unwrap_or_else(|_| Err(late())) {
            Ok(answer) => {
                let read = Read { answer: answer.clone(), at: Instant::now(), seen: changes.seen };
                self.keep(key, shelf, keep(&answer).then_some(read));
                Ok(answer)
            }
            Err(problem) if problem.is_passing() => {
                self.known().away = Some(Instant::now());
                last.map(|read| self.make_do(&read, &problem.to_string())).ok_or(problem)
            }
            Err(problem) => Err(problem),
        }
    }

    /// What was read last, if it is of use; and whether the database is away.
    fn last<K: Ord, T: Clone>(&self, key: &K, shelf: Shelf<K, T>) -> (Option<Read<T>>, bool) {
        let (mut known, now) = (self.known(), Instant::now());
        let away = known.away.is_some_and(|since| now.saturating_duration_since(since) < AWAY_FOR);
        (shelf(&mut known).get(key).filter(|read| read.is_usable(now)).cloned(), away)
    }

    fn keep<K: Ord + Clone, T>(&self, key: &K, shelf: Shelf<K, T>, read: Option<Read<T>>) {
        let mut known = self.known();
        known.away = None;
        let shelf = shelf(&mut known);
        if shelf.len() >= MOST {
            shelf.clear();
        }
        match read {
            Some(read) => drop(shelf.insert(key.clone(), read)),
            None => drop(shelf.remove(key)),
        }
    }

    fn make_do<T: Clone>(&self, read: &Read<T>, problem: &str) -> T {
        self.stale.fetch_add(1, Ordering::Relaxed);
        let age_s = read.at.elapsed().as_secs();
        warn!(problem, age_s, "The database is away: this call goes by what was known");
        read.answer.clone()
    }

    /// Maps are whole after a panic, too.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
