//! The secretaries of a tenant as somebody edits them: seen, made, changed and deleted, each within its tenant.
use super::{
    StoreError,
    queries::{INSERT, Sql, bind_secretary, on_pool, select_secretary, within_deadline},
    rows::{Placed, SecretaryColumns, Tried},
};
use crate::secretary::{Identity, Secretary, SecretaryRow};
use futures_util::future::BoxFuture;
use sqlx::FromRow;
use std::fmt::Debug;
use uuid::Uuid;

const ONE: &str = select_secretary!("where s.domain_uuid = $1 and s.secretary_realtime_uuid = $2");
const LIST: &str = select_secretary!(
    "where s.domain_uuid = $1 \
     and s.secretary_realtime_uuid > cast(coalesce(nullif($2, ''), '00000000-0000-0000-0000-000000000000') as uuid) \
     order by s.secretary_realtime_uuid limit $3"
);
const LIST_OF_SQLITE: &str = select_secretary!(
    "where s.domain_uuid = $1 and s.secretary_realtime_uuid > $2 order by s.secretary_realtime_uuid limit $3"
);
const IS_TAKEN: &str = "select count(*) > 0 from v_voice_secretaries_realtime \
    where domain_uuid = $1 and extension = $2 and secretary_realtime_uuid <> $3";
const REPLACE: &str = "update v_voice_secretaries_realtime set extension = $2, secretary_name = $3, processing_mode = $4, \
    realtime_provider = $5, provider_config = $6, voice_id = $7, voice_settings = $8, system_prompt = $9, \
    first_message = $10, vad_threshold = $11, silence_duration_ms = $12, enable_functions = $13, functions_config = $14, \
    transfer_rules = $15, max_duration_seconds = $16, max_turns = $17, enabled = $18, updated_at = $19, recording = $20, \
    recording_pause = $21, dtmf_menu = $22, max_concurrent_calls = $23, enable_rag = $24, rag_collection_id = $25 \
    where domain_uuid = $1 and secretary_realtime_uuid = $26";
const REMOVE: &str = "delete from v_voice_secretaries_realtime where domain_uuid = $1 and secretary_realtime_uuid = $2";

/// A row as it is stored, right or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Which.
    pub identity: Identity,
    /// What it says.
    pub row: SecretaryRow,
}

/// As the row has it.
#[derive(Debug, FromRow)]
struct Key {
    secretary_realtime_uuid: String,
}

/// What became of a row that was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is.
    Done,
    /// There is none such in that tenant.
    Absent,
    /// Another secretary of the tenant has that extension.
    ExtensionTaken,
}

/// What somebody who edits secretaries needs of a database. What is written has an author, whom the audit names.
pub trait Secretaries: Debug + Send + Sync {
    /// So many secretaries of a tenant behind the one with this UUID, in the order of them; from the first on where it is empty. One
    /// that cannot be read has its place all the same.
    ///
    /// # Errors
    /// When the database does not answer.
    fn list<'a>(
        &'a self,
        domain: Uuid,
        after: &'a str,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<Placed<String, Stored>>, StoreError>>;

    /// A secretary of a tenant.
    ///
    /// # Errors
    /// When the database does not answer.
    fn one(&self, domain: Uuid, secretary: Uuid) -> BoxFuture<'_, Result<Option<Stored>, StoreError>>;

    /// Makes a secretary in the tenant that she names.
    ///
    /// # Errors
    /// When the database does not answer, or refuses the row.
    fn add<'a>(
        &'a self,
        actor: &'a str,
        secretary: &'a Secretary,
        row: &'a SecretaryRow,
    ) -> BoxFuture<'a, Result<Written, StoreError>>;

    /// Writes all of a secretary anew, in the tenant that she names.
    ///
    /// # Errors
    /// When the database does not answer, or refuses the row.
    fn replace<'a>(
        &'a self,
        actor: &'a str,
        secretary: &'a Secretary,
        row: &'a SecretaryRow,
    ) -> BoxFuture<'a, Result<Written, StoreError>>;

    /// Deletes a secretary of a tenant; `false` if it has none such. Her conversations stay.
    ///
    /// # Errors
    /// When the database does not answer.
    fn remove<'a>(&'a self, actor: &'a str, domain: Uuid, secretary: Uuid) -> BoxFuture<'a, Result<bool, StoreError>>;
}

/// Runs one body in a transaction whose changes have an author. PostgreSQL's triggers ask who it is; a file knows no users, so
/// what its triggers told is corrected before anybody sees it.
macro_rules! as_actor {
    ($self:expr, $actor:expr, |$connection:ident, $id:ident| $body:expr) => {
        crate::store::queries::within_deadline(async {
            match $self {
                Sql::Postgres(pool) => {
                    let mut transaction = pool.begin().await?;
                    let set = sqlx::query("select set_config('ramal.actor', $1, true)").bind($actor);
                    set.execute(&mut *transaction).await?;
                    let $id = |uuid: uuid::Uuid| uuid;
                    let $connection = &mut *transaction;
                    let done = $body;
                    transaction.commit().await?;
                    Ok(done)
                }
                Sql::Sqlite(pool) => {
                    let mut transaction = pool.begin_with("begin immediate").await?;
                    let last = "select coalesce(max(rowid), 0) from v_voice_audit";
                    let before: i64 = sqlx::query_scalar(last).fetch_one(&mut *transaction).await?;
                    let $id = |uuid: uuid::Uuid| uuid.hyphenated();
                    let $connection = &mut *transaction;
                    let done = $body;
                    let name = sqlx::query("update v_voice_audit set actor = $1 where rowid > $2").bind($actor);
                    name.bind(before).execute(&mut *transaction).await?;
                    transaction.commit().await?;
                    Ok(done)
                }
            }
        })
        .await
    };
}

pub(super) use as_actor;

impl Secretaries for Sql {
    fn list<'a>(
        &'a self,
        domain: Uuid,
        after: &'a str,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<Placed<String, Stored>>, StoreError>> {
        Box::pin(async move {
            let sql = if matches!(self, Self::Sqlite(_)) { LIST_OF_SQLITE } else { LIST };
            let rows: Vec<Placed<Key, SecretaryColumns>> = on_pool!(self, |pool, id| {
                sqlx::query_as(sql).bind(id(domain)).bind(after).bind(i64::from(limit)).fetch_all(pool).await
            })?;
            let placed = |row: Placed<Key, SecretaryColumns>| {
                let Placed { place, row } = row.read(stored);
                Placed { place: place.secretary_realtime_uuid, row }
            };
            Ok(rows.into_iter().map(placed).collect())
        })
    }

    fn one(&self, domain: Uuid, secretary: Uuid) -> BoxFuture<'_, Result<Option<Stored>, StoreError>> {
        Box::pin(async move {
            let row: Option<Tried<SecretaryColumns>> = on_pool!(self, |pool, id| {
                sqlx::query_as(ONE).bind(id(domain)).bind(id(secretary)).fetch_optional(pool).await
            })?;
            row.map(|Tried(row)| row.and_then(stored)).transpose()
        })
    }

    fn add<'a>(
        &'a self,
        actor: &'a str,
        secretary: &'a Secretary,
        row: &'a SecretaryRow,
    ) -> BoxFuture<'a, Result<Written, StoreError>> {
        Box::pin(self.write(INSERT, actor, secretary, row))
    }

    fn replace<'a>(
        &'a self,
        actor: &'a str,
        secretary: &'a Secretary,
        row: &'a SecretaryRow,
    ) -> BoxFuture<'a, Result<Written, StoreError>> {
        Box::pin(self.write(REPLACE, actor, secretary, row))
    }

    fn remove<'a>(&'a self, actor: &'a str, domain: Uuid, secretary: Uuid) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            as_actor!(self, actor, |connection, id| {
                let query = sqlx::query(REMOVE).bind(id(domain)).bind(id(secretary));
                query.execute(connection).await?.rows_affected() > 0
            })
        })
    }
}

impl Sql {
    /// Two who take one extension at one moment are told apart in a file by its lock, on a server by a lock of the tenant's own.
    async fn write(
        &self,
        sql: &'static str,
        actor: &str,
        secretary: &Secretary,
        row: &SecretaryRow,
    ) -> Result<Written, StoreError> {
        let (domain, own) = (secretary.domain_uuid, secretary.secretary_realtime_uuid);
        as_actor!(self, actor, |connection, id| {
            if let Self::Postgres(_) = self {
                let lock = "select pg_advisory_xact_lock(hashtextextended('ramal extensions ' || $1, 0))";
                sqlx::query(lock).bind(domain.to_string()).execute(&mut *connection).await?;
            }
            let taken = match &secretary.extension {
                None => false,
                Some(extension) => {
                    let query = sqlx::query_scalar(IS_TAKEN).bind(id(domain)).bind(extension).bind(id(own));
                    query.fetch_one(&mut *connection).await?
                }
            };
            if taken {
                Written::ExtensionTaken
            } else {
                let query = bind_secretary!(sqlx::query(sql), id, secretary, row).bind(id(own));
                match query.execute(connection).await?.rows_affected() {
                    0 => Written::Absent,
                    _ => Written::Done,
                }
            }
        })
    }
}

fn stored(columns: SecretaryColumns) -> Result<Stored, StoreError> {
    let (identity, row) = columns.split();
    Ok(Stored { identity, row })
}
