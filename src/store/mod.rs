//! Where secretaries come from and conversations go: PostgreSQL (FusionPBX's) or a SQLite file, behind one trait.
mod directory;
mod error;
mod follow;
mod knowledge;
mod pages;
mod postgres;
mod queries;
mod records;
mod registrations;
mod rows;
mod secretaries;
mod spill;
mod sqlite;
mod tenants;
mod tokens;
mod usage;
mod writer;

use crate::{
    accounts::{Place, Standing, Written},
    config::Database,
    record::{Conversation, MicroUsd},
    secretary::{DomainRef, Secretary, SecretaryEntry, SecretaryError},
};
pub use directory::Directory;
pub use error::StoreError;
pub use follow::Changes;
use futures_util::future::BoxFuture;
pub use knowledge::{Kept, Knowledge, Manuscript};
pub use pages::{Cursor, Page, Scope};
pub use queries::Sql;
pub use records::{Deed, Query, Records, Remains, Retention, Told, Which};
pub use registrations::Lease;
pub use rows::Placed;
pub use secretaries::{Secretaries, Stored, Written as WrittenSecretary};
pub use spill::Spill;
use std::{fmt::Debug, sync::Arc, time::Duration};
pub use tenants::{SealedKey, Tenants};
pub use tokens::{TokenRecord, Tokens};
use tokio::sync::watch;
pub use usage::{Grouping, Period, Spending, Usage, Used};
use uuid::Uuid;
pub use writer::{Pace, Recorder, Writer, recorder};

/// No question to the database waits longer: a caller is listening to silence, or a queue is growing.
const QUERY_DEADLINE: Duration = Duration::from_secs(5);
/// No wait for a free connection lasts longer.
const ACQUIRE_DEADLINE: Duration = Duration::from_secs(3);
/// The table that remembers which migrations ran; a name of our own, since the database may be shared.
const MIGRATIONS_TABLE: &str = "_ramal_migrations";

/// Which secretary is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lookup {
    /// What was dialled.
    pub extension: String,
    /// Whose; `None` when the call does not say.
    pub domain: Option<DomainRef>,
}

/// What a lookup found.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Exactly one secretary that takes calls.
    Secretary(Box<Secretary>),
    /// None has this extension.
    Nothing,
    /// More than one has it; the call must say which tenant it means.
    Ambiguous {
        /// Names of their tenants.
        domains: Vec<String>,
    },
    /// It or its tenant is switched off.
    Disabled {
        /// Its name.
        secretary: String,
    },
    /// Its row cannot be used.
    Invalid(SecretaryError),
}

/// What a server needs of a database.
pub trait Store: Debug + Send + Sync {
    /// Finds the secretary of a call.
    ///
    /// # Errors
    /// When the database does not answer.
    fn find_secretary<'a>(&'a self, lookup: &'a Lookup) -> BoxFuture<'a, Result<Found, StoreError>>;

    /// Keeps a conversation, and what it cost with its usage. Saving the same one again changes nothing; the own record of a
    /// process that died takes the place of one that was made up for it.
    ///
    /// # Errors
    /// When the database does not answer, or will never take this record.
    fn save_conversation<'a>(&'a self, conversation: &'a Conversation) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Notes what a provider charged for a conversation of this tenant; `false` when it is not kept, or not yet.
    ///
    /// # Errors
    /// When the database does not answer.
    fn bill<'a>(
        &'a self,
        domain: Uuid,
        conversation: Uuid,
        charged: (&'a str, MicroUsd),
    ) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// The most recent conversations, the newest first.
    ///
    /// # Errors
    /// When the database does not answer.
    fn conversations(&self, last: u32) -> BoxFuture<'_, Result<Vec<Conversation>, StoreError>>;

    /// Makes a secretary, or brings the one with the same domain and extension up to date.
    ///
    /// # Errors
    /// When the database does not answer, or its tenant does not exist and is not ours to make.
    fn upsert_secretary<'a>(&'a self, entry: &'a SecretaryEntry) -> BoxFuture<'a, Result<(), StoreError>>;

    /// The accounts of all tenants that are switched on: one process registers for all.
    ///
    /// # Errors
    /// When the database does not answer.
    fn registrations(&self) -> BoxFuture<'_, Result<Vec<(Place, Written)>, StoreError>>;

    /// Takes or renews the lease of an account; `false` if another node has it.
    ///
    /// # Errors
    /// When the database does not answer.
    fn lease<'a>(&'a self, place: Place, lease: Lease<'a>) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// Gives a lease of this owner back.
    ///
    /// # Errors
    /// When the database does not answer.
    fn release<'a>(&'a self, place: Place, owner: &'a str) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Notes how an account stands, if this owner still has it.
    ///
    /// # Errors
    /// When the database does not answer.
    fn note<'a>(
        &'a self,
        place: Place,
        owner: &'a str,
        standing: &'a Standing,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Says there when secretaries or tenants change, until nobody listens.
    fn follow(&self, changes: watch::Sender<Changes>) -> BoxFuture<'_, ()>;

    /// The settings of tenants.
    fn tenants(&self) -> &dyn Tenants;

    /// What their calls were used for, and what that cost.
    fn usage(&self) -> &dyn Usage;

    /// What is kept, by tenant.
    fn records(&self) -> &dyn Records;

    /// The secretaries of a tenant.
    fn secretaries(&self) -> &dyn Secretaries;

    /// Who may use the API.
    fn tokens(&self) -> &dyn Tokens;

    /// What the secretaries of a tenant may look up.
    fn knowledge(&self) -> &dyn Knowledge;
}

/// Opens the configured database and brings its tables up to date.
///
/// # Errors
/// When it cannot be opened or its tables cannot be made.
pub async fn connect(database: &Database) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(open(database).await?))
}

/// The same, for commands that only read: a database file that is not there is an error.
///
/// # Errors
/// As [`connect`], and when there is no file.
pub async fn connect_existing(database: &Database) -> Result<Arc<dyn Store>, StoreError> {
    if database.is_sqlite() {
        return Ok(Arc::new(sqlite::open(database, sqlite::Absent::Refuse).await?));
    }
    connect(database).await
}

/// Who this process is, for what is told of changes: whoever runs it.
pub fn actor() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default();
    let known: String = user.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).collect();
    if known.is_empty() { "ramal".to_owned() } else { format!("ramal:{known}") }
}

async fn open(database: &Database) -> Result<Sql, StoreError> {
    if database.is_sqlite() {
        sqlite::open(database, sqlite::Absent::Make).await
    } else {
        postgres::open(database).await
    }
}

#[cfg(test)]
pub(crate) mod tests;
