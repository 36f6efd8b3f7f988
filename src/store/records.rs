//! Conversations of a tenant: found, and forgotten; and who did what.
use super::{
    StoreError,
    pages::{Cursor, Page, Scope},
    queries::{Sql, on_pool, select_conversations, within_deadline},
    rows::{ConversationColumns, Placed, Tried, readable},
};
use crate::record::{Conversation, Recording};
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use sqlx::{FromRow, types::Json};
use std::fmt::Debug;
use uuid::Uuid;

/// Which conversations of a tenant are meant: those that are all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// The tenant.
    pub domain: Uuid,
    /// Words that were said, or how they begin; in any order, whatever their case and accents.
    pub words: String,
    /// The caller's number as it is kept.
    pub caller: Option<String>,
    /// With this secretary.
    pub secretary: Option<Uuid>,
    /// Which began then or later.
    pub from: Option<DateTime<Utc>>,
    /// Which began before.
    pub to: Option<DateTime<Utc>>,
    /// This many of them, the newest; for [`Records::search`].
    pub last: u32,
}

/// Which conversations of a tenant are to be forgotten: those that are all of it. One without a time began when its row was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Which {
    /// The tenant.
    pub domain: Uuid,
    /// The caller's number as it is kept.
    pub caller: Option<String>,
    /// Which began then or later.
    pub from: Option<DateTime<Utc>>,
    /// Which began before.
    pub before: Option<DateTime<Utc>>,
}

/// As much of a conversation as is needed to forget it: whatever else its row says does not hinder that.
#[derive(Debug)]
pub struct Remains {
    /// Its UUID as it stands there, which they are sorted by.
    pub key: String,
    /// Its recording, if it has one; or why nobody can tell.
    pub recording: Result<Option<Recording>, StoreError>,
}

#[derive(Debug, FromRow)]
struct RemainsColumns {
    conversation_uuid: String,
    recording: Option<String>,
}

impl RemainsColumns {
    fn read(self) -> Remains {
        let Self { conversation_uuid: key, recording } = self;
        let unreadable = |_| StoreError::Unreadable { conversation: key.clone(), column: "recording" };
        let recording = recording.as_deref().map(serde_json::from_str).transpose().map_err(unreadable);
        Remains { key, recording }
    }
}

/// A tenant that keeps conversations for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The tenant.
    pub domain: Uuid,
    /// How long it keeps them.
    pub days: u32,
}

/// Somebody did something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// In which tenant.
    pub domain: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// What, in a word or two: `insert`, `update`, `delete`, `export`, `erase`, `retention`, `hang up`, `transfer`, `check`, `preview`,
    /// `test call`.
    pub action: String,
    /// To what.
    pub target: String,
    /// Which columns, or how many; never what stood in them.
    pub detail: Option<String>,
}

/// A deed as the audit has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What was done, and by whom, as was said.
    pub deed: Deed,
    /// The database's own user who wrote that, whom nobody can choose; a file has none.
    pub database_user: Option<String>,
}

#[derive(Debug, FromRow)]
struct DeedColumns {
    happened_at: DateTime<Utc>,
    actor: String,
    action: String,
    target: Option<String>,
    detail: Option<String>,
    database_user: Option<String>,
}

/// What is kept of a tenant, after a conversation; `timestamptz` is a word of PostgreSQL's, and SQLite makes a number of it,
/// which is as good as any to tell that something is there.
macro_rules! kept {
    ($page:literal) => {
        concat!(
            "select cast(conversation_uuid as text) as conversation_uuid, cast(recording as text) as recording ",
            "from v_voice_conversations_realtime ",
            "where domain_uuid = $1 and (cast($2 as text) is null or caller_id = $2) ",
            "and (cast($3 as timestamptz) is null or started_at >= $3 or (started_at is null and created_at >= $3)) ",
            "and (cast($4 as timestamptz) is null or started_at < $4 or (started_at is null and created_at < $4)) ",
            $page
        )
    };
}
/// By the primary key: nothing is sorted.
const KEPT: &str = kept!(
    "and conversation_uuid > cast(coalesce(nullif($5, ''), '00000000-0000-0000-0000-000000000000') as uuid) \
     order by v_voice_conversations_realtime.conversation_uuid limit $6"
);
const KEPT_OF_SQLITE: &str = kept!("and cast(conversation_uuid as text) > $5 order by 1 limit $6");
/// Nobody has the file any more but the store.
const MOVED: &str = "update v_voice_conversations_realtime set recording = recording - 'node' \
    where domain_uuid = $1 and conversation_uuid = $2 and jsonb_typeof(recording) = 'object'";
const MOVED_OF_SQLITE: &str = "update v_voice_conversations_realtime set recording = json_remove(recording, '$.node') \
    where domain_uuid = $1 and conversation_uuid = $2 and json_valid(recording)";
/// A row that has the hash of the file knows it better already. No member of ours is null.
const CORRECT: &str = "update v_voice_conversations_realtime set recording = case \
    when recording ->> 'path' = $3 and recording ->> 'sha256' is null then jsonb_strip_nulls(recording || $4) \
    else recording end where domain_uuid = $1 and conversation_uuid = $2";
const CORRECT_OF_SQLITE: &str = "update v_voice_conversations_realtime set recording = case \
    when json_valid(recording) then case \
    when recording ->> '$.path' = $3 and recording ->> '$.sha256' is null then json_patch(recording, $4) \
    else recording end else recording end where domain_uuid = $1 and conversation_uuid = $2";
const RELEASE: &str = "update v_voice_conversations_realtime \
    set recording = (recording - 'node') || jsonb_build_object('released', cast($2 as text)) \
    where domain_uuid = $1 and jsonb_typeof(recording) = 'object' and recording ->> 'path' is not null \
    and recording ->> 'released' is null and coalesce(recording ->> 'node', '') = $2";
const RELEASE_OF_SQLITE: &str = "update v_voice_conversations_realtime \
    set recording = json_set(json_remove(recording, '$.node'), '$.released', $2) \
    where domain_uuid = $1 and case when json_valid(recording) then recording ->> '$.path' is not null \
    and recording ->> '$.released' is null and coalesce(recording ->> '$.node', '') = $2 end";
const ONE: &str = select_conversations!("where domain_uuid = $1 and conversation_uuid = $2");
const REMAINS: &str = "select cast(conversation_uuid as text) as conversation_uuid, cast(recording as text) as recording \
    from v_voice_conversations_realtime where domain_uuid = $1 and conversation_uuid = $2";
const FORGET: &str = "delete from v_voice_conversations_realtime where domain_uuid = $1 and conversation_uuid = $2";
/// For the one process that keeps them all to their time.
const RETENTIONS: &str =
    "select cast(domain_uuid as text), retention_days from v_voice_tenants where retention_days > 0 order by 1";
pub(super) const TELL: &str = "insert into v_voice_audit (voice_audit_uuid, domain_uuid, happened_at, actor, action, target, detail) \
    values ($1, $2, $3, $4, $5, $6, $7)";
const DEEDS: &str = "select happened_at, actor, action, target, detail, database_user from v_voice_audit where domain_uuid = $1 \
    order by happened_at desc limit $2";
/// Its clock has milliseconds, in which much is done.
const DEEDS_OF_SQLITE: &str = "select happened_at, actor, action, target, detail, database_user from v_voice_audit where domain_uuid = $1 \
    order by happened_at desc, rowid desc limit $2";

/// What somebody who keeps records needs of a database.
pub trait Records: Debug + Send + Sync {
    /// The conversations that are meant, the newest first, behind a place; from the first on without one. Last come those of which
    /// nobody knows when they began. One that cannot be read has its place all the same.
    ///
    /// # Errors
    /// When the database does not answer.
    fn search<'a>(
        &'a self,
        query: &'a Query,
        after: Option<&'a Cursor>,
    ) -> BoxFuture<'a, Result<Vec<Placed<Cursor, Conversation>>, StoreError>>;

    /// The conversations behind a place, the oldest first, this many of them at the most; from the first on without one.
    ///
    /// # Errors
    /// When the database does not answer.
    fn page<'a>(
        &'a self,
        scope: Scope<'a>,
        after: Option<&'a Cursor>,
        most: u32,
    ) -> BoxFuture<'a, Result<Page, StoreError>>;

    /// The place before the newest so many conversations; `None` if there are no more than that.
    ///
    /// # Errors
    /// When the database does not answer.
    fn before_last<'a>(&'a self, scope: Scope<'a>, last: u32) -> BoxFuture<'a, Result<Option<Cursor>, StoreError>>;

    /// So many of the conversations that are to be forgotten, whose keys come after this one, in the order of their keys.
    ///
    /// # Errors
    /// When the database does not answer.
    fn kept<'a>(
        &'a self,
        which: &'a Which,
        after: &'a str,
        most: u32,
    ) -> BoxFuture<'a, Result<Vec<Remains>, StoreError>>;

    /// As much of a conversation of a tenant as is needed to forget it; `None` if it has none such.
    ///
    /// # Errors
    /// When the database does not answer.
    fn remains(&self, domain: Uuid, conversation: Uuid) -> BoxFuture<'_, Result<Option<Remains>, StoreError>>;

    /// The recording of a conversation is in its store, and on no server any more; `false` if its row is not there, or not yet.
    ///
    /// # Errors
    /// When the database does not answer.
    fn moved(&self, domain: Uuid, conversation: Uuid) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// What became known of a recording when the row of its conversation, of this tenant, had been written: its column is
    /// patched (RFC 7396) where it names the recording at this path and does not know its file yet. `false` if the row is not
    /// there, or not yet.
    ///
    /// # Errors
    /// When the database does not answer.
    fn correct<'a>(
        &'a self,
        of: (Uuid, Uuid),
        path: &'a str,
        patch: &'a serde_json::Value,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// A server is gone, and with it its files: how many conversations of the tenant had their recording there. An empty name means
    /// those that name no server.
    ///
    /// # Errors
    /// When the database does not answer.
    fn let_go<'a>(&'a self, domain: Uuid, node: &'a str) -> BoxFuture<'a, Result<u64, StoreError>>;

    /// A conversation of a tenant.
    ///
    /// # Errors
    /// When the database does not answer.
    fn conversation(&self, domain: Uuid, conversation: Uuid)
    -> BoxFuture<'_, Result<Option<Conversation>, StoreError>>;

    /// Deletes a conversation of a tenant; `false` if it has none such. Its recording is deleted before, by whoever has it.
    ///
    /// # Errors
    /// When the database does not answer.
    fn forget(&self, domain: Uuid, conversation: Uuid) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// The tenants that keep conversations for a time.
    ///
    /// # Errors
    /// When the database does not answer.
    fn retentions(&self) -> BoxFuture<'_, Result<Vec<Retention>, StoreError>>;

    /// Keeps what somebody did.
    ///
    /// # Errors
    /// When the database does not answer.
    fn tell<'a>(&'a self, deed: &'a Deed) -> BoxFuture<'a, Result<(), StoreError>>;

    /// What was done last in a tenant, the newest first.
    ///
    /// # Errors
    /// When the database does not answer.
    fn deeds(&self, domain: Uuid, last: u32) -> BoxFuture<'_, Result<Vec<Told>, StoreError>>;
}

impl Records for Sql {
    fn search<'a>(
        &'a self,
        query: &'a Query,
        after: Option<&'a Cursor>,
    ) -> BoxFuture<'a, Result<Vec<Placed<Cursor, Conversation>>, StoreError>> {
        Box::pin(self.find_conversations(query, after))
    }

    fn page<'a>(
        &'a self,
        scope: Scope<'a>,
        after: Option<&'a Cursor>,
        most: u32,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        Box::pin(self.read_page(scope, after, most))
    }

    fn before_last<'a>(&'a self, scope: Scope<'a>, last: u32) -> BoxFuture<'a, Result<Option<Cursor>, StoreError>> {
        Box::pin(self.place_before(scope, last))
    }

    fn kept<'a>(
        &'a self,
        which: &'a Which,
        after: &'a str,
        most: u32,
    ) -> BoxFuture<'a, Result<Vec<Remains>, StoreError>> {
        Box::pin(async move {
            let Which { domain, caller, from, before } = which;
            let sql = if matches!(self, Self::Sqlite(_)) { KEPT_OF_SQLITE } else { KEPT };
            let rows: Vec<RemainsColumns> = on_pool!(self, |pool, id| {
                let query = sqlx::query_as(sql).bind(id(*domain)).bind(caller).bind(from).bind(before);
                query.bind(after).bind(i64::from(most)).fetch_all(pool).await
            })?;
            Ok(rows.into_iter().map(RemainsColumns::read).collect())
        })
    }

    fn remains(&self, domain: Uuid, conversation: Uuid) -> BoxFuture<'_, Result<Option<Remains>, StoreError>> {
        Box::pin(async move {
            let row: Option<RemainsColumns> = on_pool!(self, |pool, id| {
                sqlx::query_as(REMAINS).bind(id(domain)).bind(id(conversation)).fetch_optional(pool).await
            })?;
            Ok(row.map(RemainsColumns::read))
        })
    }

    fn moved(&self, domain: Uuid, conversation: Uuid) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            let sql = if matches!(self, Self::Sqlite(_)) { MOVED_OF_SQLITE } else { MOVED };
            on_pool!(self, |pool, id| {
                let query = sqlx::query(sql).bind(id(domain)).bind(id(conversation));
                query.execute(pool).await.map(|done| done.rows_affected() > 0)
            })
        })
    }

    fn correct<'a>(
        &'a self,
        (domain, conversation): (Uuid, Uuid),
        path: &'a str,
        patch: &'a serde_json::Value,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let sql = if matches!(self, Self::Sqlite(_)) { CORRECT_OF_SQLITE } else { CORRECT };
            on_pool!(self, |pool, id| {
                let query = sqlx::query(sql).bind(id(domain)).bind(id(conversation)).bind(path).bind(Json(patch));
                query.execute(pool).await.map(|done| done.rows_affected() > 0)
            })
        })
    }

    fn let_go<'a>(&'a self, domain: Uuid, node: &'a str) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            let sql = if matches!(self, Self::Sqlite(_)) { RELEASE_OF_SQLITE } else { RELEASE };
            on_pool!(self, |pool, id| {
                let query = sqlx::query(sql).bind(id(domain)).bind(node);
                query.execute(pool).await.map(|done| done.rows_affected())
            })
        })
    }

    fn conversation(
        &self,
        domain: Uuid,
        conversation: Uuid,
    ) -> BoxFuture<'_, Result<Option<Conversation>, StoreError>> {
        Box::pin(async move {
            let row: Option<Tried<ConversationColumns>> = on_pool!(self, |pool, id| {
                sqlx::query_as(ONE).bind(id(domain)).bind(id(conversation)).fetch_optional(pool).await
            })?;
            row.map(|Tried(row)| row.and_then(ConversationColumns::read)).transpose()
        })
    }

    fn forget(&self, domain: Uuid, conversation: Uuid) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            on_pool!(self, |pool, id| {
                let query = sqlx::query(FORGET).bind(id(domain)).bind(id(conversation));
                query.execute(pool).await.map(|done| done.rows_affected() > 0)
            })
        })
    }

    fn retentions(&self) -> BoxFuture<'_, Result<Vec<Retention>, StoreError>> {
        Box::pin(async move {
            let rows: Vec<Tried<(String, i32)>> =
                on_pool!(self, |pool, _id| sqlx::query_as(RETENTIONS).fetch_all(pool).await)?;
            // A row that says nonsense deletes nothing.
            let read = |(domain, days): (String, i32)| {
                let read = domain.parse().ok().zip(u32::try_from(days).ok());
                let read = read.map(|(domain, days)| Retention { domain, days });
                read.ok_or_else(|| StoreError::Foreign("v_voice_tenants: domain_uuid or retention_days".to_owned()))
            };
            Ok(readable(rows, read).0)
        })
    }

    fn tell<'a>(&'a self, deed: &'a Deed) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            on_pool!(self, |pool, id| {
                let query = sqlx::query(TELL).bind(id(Uuid::new_v4())).bind(id(deed.domain)).bind(deed.at);
                let query = query.bind(&deed.actor).bind(&deed.action).bind(&deed.target).bind(deed.detail.as_deref());
                query.execute(pool).await.map(drop)
            })
        })
    }

    fn deeds(&self, domain: Uuid, last: u32) -> BoxFuture<'_, Result<Vec<Told>, StoreError>> {
        Box::pin(async move {
            let sql = if matches!(self, Self::Sqlite(_)) { DEEDS_OF_SQLITE } else { DEEDS };
            let rows: Vec<DeedColumns> = on_pool!(self, |pool, id| {
                sqlx::query_as(sql).bind(id(domain)).bind(i64::from(last)).fetch_all(pool).await
            })?;
            let read = |columns: DeedColumns| Told {
                deed: Deed {
                    domain,
                    at: columns.happened_at,
                    actor: columns.actor,
                    action: columns.action,
                    target: columns.target.unwrap_or_default(),
                    detail: columns.detail,
                },
                database_user: columns.database_user,
            };
            Ok(rows.into_iter().map(read).collect())
        })
    }
}
