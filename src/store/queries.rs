//! The questions, each written once for both databases.
use super::{
    Changes, Found, Knowledge, Lease, Lookup, QUERY_DEADLINE, Records, Secretaries, Store, StoreError, Tenants, Tokens,
    follow,
    rows::{ConversationColumns, SecretaryFound, Tried, choose, readable},
    usage::{self, Spending, Usage, keep_share},
};
use crate::{
    accounts::{Place, Standing, Written},
    record::{Conversation, KILLED, MicroUsd},
    secretary::{DomainRef, Identity, Secretary, SecretaryEntry},
};
use futures_util::future::BoxFuture;
use sqlx::{PgPool, SqlitePool, types::Json};
use std::time::Duration;
use tokio::sync::watch;
use uuid::Uuid;

/// One of two pools.
#[derive(Clone, Debug)]
pub enum Sql {
    /// A server.
    Postgres(PgPool),
    /// A file.
    Sqlite(SqlitePool),
}

/// Runs one body on whichever pool it is. `$id` makes of a UUID what the database stores: itself, or hyphenated text.
macro_rules! on_pool {
    ($self:expr, |$pool:ident, $id:ident| $body:expr) => {
        within_deadline(async {
            match $self {
                Sql::Postgres($pool) => {
                    let $id = |uuid: uuid::Uuid| uuid;
                    $body
                }
                Sql::Sqlite($pool) => {
                    let $id = |uuid: uuid::Uuid| uuid.hyphenated();
                    $body
                }
            }
        })
        .await
    };
}

pub(super) use on_pool;

/// The columns of [`SecretaryFound`], and which rows. FusionPBX before 5.5 keeps `domain_enabled` as text.
macro_rules! select_secretary {
    ($which:literal) => {
        concat!(
            "select cast(s.secretary_realtime_uuid as text) as secretary_realtime_uuid, ",
            "cast(s.domain_uuid as text) as domain_uuid, d.domain_name as domain_name, ",
            "coalesce(lower(cast(d.domain_enabled as text)), 'true') in ('true', 't', '1') as domain_enabled, ",
            "s.secretary_name as secretary_name, s.extension as extension, s.processing_mode as processing_mode, ",
            "s.realtime_provider as realtime_provider, cast(s.provider_config as text) as provider_config, ",
            "s.voice_id as voice_id, cast(s.voice_settings as text) as voice_settings, ",
            "s.system_prompt as system_prompt, s.first_message as first_message, ",
            "cast(s.vad_threshold as double precision) as vad_threshold, ",
            "s.silence_duration_ms as silence_duration_ms, s.enable_functions as enable_functions, ",
            "cast(s.functions_config as text) as functions_config, cast(s.transfer_rules as text) as transfer_rules, ",
            "s.enable_rag as enable_rag, cast(s.rag_collection_id as text) as rag_collection_id, ",
            "cast(s.dtmf_menu as text) as dtmf_menu, ",
            "s.max_duration_seconds as max_duration_seconds, s.max_turns as max_turns, s.enabled as enabled, ",
            "s.recording as recording, s.recording_pause as recording_pause, ",
            "s.max_concurrent_calls as max_concurrent_calls ",
            "from v_voice_secretaries_realtime s join v_domains d on d.domain_uuid = s.domain_uuid ",
            $which
        )
    };
}

pub(super) use select_secretary;

const FIND_ANYWHERE: &str = select_secretary!("where s.extension = $1 order by d.domain_name limit 20");
const FIND_BY_NAME: &str =
    select_secretary!("where s.extension = $1 and lower(d.domain_name) = lower($2) order by d.domain_name limit 20");
const FIND_BY_UUID: &str =
    select_secretary!("where s.extension = $1 and s.domain_uuid = $2 order by d.domain_name limit 20");

/// A secretary that was deleted during the call leaves NULL, and not a lost record.
const SAVE: &str = "insert into v_voice_conversations_realtime (conversation_uuid, domain_uuid, secretary_realtime_uuid, \
    call_uuid, caller_id, destination, started_at, ended_at, duration_seconds, total_turns, avg_latency_ms, transcript, \
    outcome, transfer_destination, input_tokens, output_tokens, audio_seconds, estimated_cost, recording, media_quality, \
    cost_micro_usd, search_text) \
    values ($1, $2, \
    (select s.secretary_realtime_uuid from v_voice_secretaries_realtime s where s.secretary_realtime_uuid = $3), \
    $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22) \
    on conflict (conversation_uuid) do nothing";

/// One statement of a transaction, as `keep_share!` is: how many rows it wrote. Its recording is told apart, as another
/// may know more of it.
macro_rules! keep_conversation {
    ($executor:expr, $id:ident, $conversation:expr, $recording:expr) => {{
        let c: &Conversation = $conversation;
        sqlx::query(SAVE)
            .bind($id(c.conversation_uuid))
            .bind($id(c.domain_uuid))
            .bind(c.secretary_realtime_uuid.map($id))
            .bind(clipped(&c.call_uuid, 255))
            .bind(clipped(&c.caller_id, 100))
            .bind(clipped(&c.destination, 100))
            .bind(c.started_at)
            .bind(c.ended_at)
            .bind(whole(c.duration().as_secs()))
            .bind(whole(c.total_turns() as u64))
            .bind(c.average_latency().map(milliseconds))
            .bind(Json(c.transcript()))
            .bind(c.outcome.as_str())
            .bind(c.transfer_destination.as_deref().map(|text| clipped(text, 100)))
            .bind(whole(c.input_tokens))
            .bind(whole(c.output_tokens))
            .bind(c.audio.as_secs_f64())
            .bind(c.estimated_cost.dollars())
            .bind($recording.map(Json))
            .bind(c.media_quality.as_ref().map(Json))
            .bind(i64::try_from(c.estimated_cost.0).unwrap_or(i64::MAX))
            .bind(c.words())
            .execute($executor)
            .await?
            .rows_affected()
    }};
}

/// Only what a server finished that another had recorded says so of its recording. What it says of that is told.
const UNMAKE: &str = "delete from v_voice_conversations_realtime where conversation_uuid = $1 and domain_uuid = $2 \
    and outcome = 'failed' and jsonb_typeof(recording) = 'object' and recording ->> 'problem' = $3 \
    returning cast(recording as text)";
const UNMAKE_OF_SQLITE: &str = "delete from v_voice_conversations_realtime where conversation_uuid = $1 and domain_uuid = $2 \
    and outcome = 'failed' and case when json_valid(recording) then recording ->> '$.problem' = $3 end \
    returning cast(recording as text)";

/// The columns of [`ConversationColumns`], and which rows.
macro_rules! select_conversations {
    ($which:expr) => {
        concat!(
            "select cast(conversation_uuid as text) as conversation_uuid, cast(domain_uuid as text) as domain_uuid, ",
            "cast(secretary_realtime_uuid as text) as secretary_realtime_uuid, call_uuid, caller_id, destination, ",
            "started_at, cast(started_at as text) as began, ended_at, cast(transcript as text) as transcript, outcome, transfer_destination, ",
            "input_tokens, output_tokens, cast(audio_seconds as double precision) as audio_seconds, ",
            "cast(estimated_cost as double precision) as estimated_cost, cost_micro_usd, ",
            "cast(billed_cost as double precision) as billed_cost, ",
            "cast(recording as text) as recording, cast(media_quality as text) as media_quality ",
            "from v_voice_conversations_realtime ",
            $which
        )
    };
}

pub(super) use select_conversations;

const LAST: &str = select_conversations!("order by started_at desc limit $1");

const BILL: &str = "update v_voice_conversations_realtime set billed_cost = $3 \
    where domain_uuid = $1 and conversation_uuid = $2";

/// What the configuration file says nothing of stays as somebody set it through the API.
const UPDATE: &str = "update v_voice_secretaries_realtime set secretary_name = $3, processing_mode = $4, \
    realtime_provider = $5, provider_config = $6, voice_id = $7, voice_settings = $8, system_prompt = $9, \
    first_message = $10, vad_threshold = $11, silence_duration_ms = $12, enable_functions = $13, functions_config = $14, \
    transfer_rules = $15, max_duration_seconds = $16, max_turns = $17, enabled = $18, updated_at = $19, recording = $20, \
    recording_pause = $21, dtmf_menu = $22, max_concurrent_calls = $23, enable_rag = coalesce($24, enable_rag), \
    rag_collection_id = coalesce($25, rag_collection_id) \
    where domain_uuid = $1 and extension = $2";

pub(super) const INSERT: &str = "insert into v_voice_secretaries_realtime (domain_uuid, extension, secretary_name, processing_mode, \
    realtime_provider, provider_config, voice_id, voice_settings, system_prompt, first_message, vad_threshold, \
    silence_duration_ms, enable_functions, functions_config, transfer_rules, max_duration_seconds, max_turns, enabled, \
    updated_at, recording, recording_pause, dtmf_menu, max_concurrent_calls, enable_rag, rag_collection_id, \
    secretary_realtime_uuid) \
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, \
    $25, $26)";

/// Binds `$1` to `$25` of the statements that write a secretary: as she was checked, her JSON as it was written.
macro_rules! bind_secretary {
    ($query:expr, $id:ident, $checked:expr, $row:expr) => {
        $query
            .bind($id($checked.domain_uuid))
            .bind($checked.extension.as_deref())
            .bind(&$checked.secretary_name)
            .bind($checked.processing_mode.as_str())
            .bind($checked.provider.as_str())
            .bind(crate::store::queries::json($row.provider_config.as_deref(), "{}"))
            .bind($checked.voice_id.as_deref())
            .bind(crate::store::queries::json($row.voice_settings.as_deref(), "{}"))
            .bind($checked.system_prompt.as_deref())
            .bind($checked.first_message.as_deref())
            .bind($row.vad_threshold.unwrap_or(0.5))
            .bind(crate::store::queries::milliseconds($checked.silence))
            .bind($checked.enable_functions)
            .bind(crate::store::queries::json($row.functions_config.as_deref(), "[]"))
            .bind(crate::store::queries::json($row.transfer_rules.as_deref(), "[]"))
            .bind(crate::store::queries::whole($checked.max_duration.as_secs()))
            .bind(crate::store::queries::whole($checked.max_turns.into()))
            .bind($checked.enabled)
            .bind(chrono::Utc::now())
            .bind($checked.recording)
            .bind($checked.recording_pause)
            .bind(crate::store::queries::json($row.dtmf_menu.as_deref(), "{}"))
            .bind($row.max_concurrent_calls)
            .bind($row.enable_rag)
            .bind($checked.rag_collection_id.map($id))
    };
}

pub(super) use bind_secretary;

impl Store for Sql {
    fn find_secretary<'a>(&'a self, lookup: &'a Lookup) -> BoxFuture<'a, Result<Found, StoreError>> {
        Box::pin(async move {
            let extension = &lookup.extension;
            let rows: Vec<SecretaryFound> = on_pool!(self, |pool, id| {
                match &lookup.domain {
                    None => sqlx::query_as(FIND_ANYWHERE).bind(extension).fetch_all(pool).await,
                    Some(DomainRef::Name(name)) => {
                        sqlx::query_as(FIND_BY_NAME).bind(extension).bind(name).fetch_all(pool).await
                    }
                    Some(DomainRef::Uuid(uuid)) => {
                        sqlx::query_as(FIND_BY_UUID).bind(extension).bind(id(*uuid)).fetch_all(pool).await
                    }
                }
            })?;
            Ok(choose(rows))
        })
    }

    fn save_conversation<'a>(&'a self, conversation: &'a Conversation) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let unmake = if matches!(self, Self::Sqlite(_)) { UNMAKE_OF_SQLITE } else { UNMAKE };
            on_pool!(self, |pool, id| {
                let (c, spending, ended) = (conversation, Spending::from(conversation), None);
                let mut transaction = pool.begin().await?;
                let mut saved = keep_conversation!(&mut *transaction, id, c, c.recording.as_ref());
                if saved == 0 && !c.is_made_up() {
                    // Another server was first, and took the recording for that of one that was gone for ever.
                    let query = sqlx::query_scalar(unmake).bind(id(c.conversation_uuid)).bind(id(c.domain_uuid));
                    let made_up: Option<String> = query.bind(KILLED).fetch_optional(&mut *transaction).await?;
                    if let Some(made_up) = made_up {
                        // What cannot be read knows nothing of the file.
                        let made_up = serde_json::from_str(&made_up).ok();
                        let recording = c.recording.clone().map(|own| own.in_place_of(made_up));
                        saved = keep_conversation!(&mut *transaction, id, c, recording.as_ref());
                    }
                }
                // Another record of the same call says no more of its usage than it says of the call.
                for share in spending.shares.iter().filter(|_| saved > 0) {
                    keep_share!(&mut *transaction, id, &spending, share, ended);
                }
                transaction.commit().await
            })
        })
    }

    fn bill<'a>(
        &'a self,
        domain: Uuid,
        conversation: Uuid,
        (provider, cost): (&'a str, MicroUsd),
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            on_pool!(self, |pool, id| {
                let mut transaction = pool.begin().await?;
                let query = sqlx::query(BILL).bind(id(domain)).bind(id(conversation)).bind(cost.dollars());
                let told = query.execute(&mut *transaction).await?.rows_affected();
                let query = sqlx::query(usage::BILL).bind(id(domain)).bind(id(conversation)).bind(provider);
                let counted = query.bind(usage::signed(cost.0)).execute(&mut *transaction).await?.rows_affected();
                transaction.commit().await?;
                // Of a conversation that was erased the bill is paid all the same.
                Ok(told + counted > 0)
            })
        })
    }

    fn conversations(&self, last: u32) -> BoxFuture<'_, Result<Vec<Conversation>, StoreError>> {
        Box::pin(async move {
            let rows: Vec<Tried<ConversationColumns>> =
                on_pool!(self, |pool, _id| sqlx::query_as(LAST).bind(i64::from(last)).fetch_all(pool).await)?;
            Ok(readable(rows, ConversationColumns::read).0)
        })
    }

    fn upsert_secretary<'a>(&'a self, entry: &'a SecretaryEntry) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let domain_uuid = self.domain(&entry.domain).await?;
            if !self.write_secretary(UPDATE, domain_uuid, entry).await? {
                self.write_secretary(INSERT, domain_uuid, entry).await?;
            }
            Ok(())
        })
    }

    fn registrations(&self) -> BoxFuture<'_, Result<Vec<(Place, Written)>, StoreError>> {
        Box::pin(self.read_registrations())
    }

    fn lease<'a>(&'a self, place: Place, lease: Lease<'a>) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move { self.take_lease(place, &lease).await })
    }

    fn release<'a>(&'a self, place: Place, owner: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.give_lease_back(place, owner))
    }

    fn note<'a>(
        &'a self,
        place: Place,
        owner: &'a str,
        standing: &'a Standing,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.note_standing(place, owner, standing))
    }

    fn follow(&self, changes: watch::Sender<Changes>) -> BoxFuture<'_, ()> {
        Box::pin(async move { follow::follow(self, &changes).await })
    }

    fn tenants(&self) -> &dyn Tenants {
        self
    }

    fn usage(&self) -> &dyn Usage {
        self
    }

    fn records(&self) -> &dyn Records {
        self
    }

    fn secretaries(&self) -> &dyn Secretaries {
        self
    }

    fn tokens(&self) -> &dyn Tokens {
        self
    }

    fn knowledge(&self) -> &dyn Knowledge {
        self
    }
}

impl Sql {
    /// The tenant of a secretary, made if it does not exist and tenants are ours to make.
    async fn domain(&self, domain: &DomainRef) -> Result<Uuid, StoreError> {
        let found: Option<(String,)> = on_pool!(self, |pool, id| {
            match domain {
                DomainRef::Name(name) => {
                    let by_name =
                        "select cast(domain_uuid as text) from v_domains where lower(domain_name) = lower($1) limit 1";
                    sqlx::query_as(by_name).bind(name).fetch_optional(pool).await
                }
                DomainRef::Uuid(uuid) => {
                    let by_uuid = "select cast(domain_uuid as text) from v_domains where domain_uuid = $1";
                    sqlx::query_as(by_uuid).bind(id(*uuid)).fetch_optional(pool).await
                }
            }
        })?;
        if let Some(uuid) = found.and_then(|(text,)| text.parse().ok()) {
            return Ok(uuid);
        }
        let (uuid, name) = match domain {
            DomainRef::Name(name) => (Uuid::new_v4(), name.clone()),
            DomainRef::Uuid(uuid) => (*uuid, uuid.to_string()),
        };
        if self.is_fusionpbx().await? {
            return Err(StoreError::NoSuchDomain(name));
        }
        on_pool!(self, |pool, id| {
            let insert = "insert into v_domains (domain_uuid, domain_name, domain_enabled) values ($1, $2, $3)";
            sqlx::query(insert).bind(id(uuid)).bind(&name).bind(true).execute(pool).await.map(drop)
        })?;
        Ok(uuid)
    }

    /// Whether this is FusionPBX's database: it has that program's table of settings.
    async fn is_fusionpbx(&self) -> Result<bool, StoreError> {
        match self {
            Self::Sqlite(_) => Ok(false),
            Self::Postgres(pool) => {
                let asked = sqlx::query_scalar("select to_regclass('v_default_settings') is not null").fetch_one(pool);
                within_deadline(asked).await
            }
        }
    }

    /// Writes an entry with one of two statements; whether a row was written.
    async fn write_secretary(
        &self,
        sql: &'static str,
        domain: Uuid,
        entry: &SecretaryEntry,
    ) -> Result<bool, StoreError> {
        let row = &entry.row;
        let identity = Identity {
            secretary_realtime_uuid: Uuid::new_v4(),
            domain_uuid: domain,
            domain_name: entry.domain.to_string(),
        };
        let new = identity.secretary_realtime_uuid;
        let checked =
            Secretary::parse(identity, row.clone()).map_err(|error| StoreError::Refused(error.to_string()))?;
        on_pool!(self, |pool, id| {
            let query = bind_secretary!(sqlx::query(sql), id, checked, row);
            let query = if sql == INSERT { query.bind(id(new)) } else { query };
            query.execute(pool).await.map(|done| done.rows_affected() > 0)
        })
    }
}

pub(super) async fn within_deadline<T>(
    question: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(QUERY_DEADLINE, question).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(StoreError::Unavailable(format!("no answer within {QUERY_DEADLINE:?}"))),
    }
}

/// JSON text as a value both drivers store as JSON. What [`Secretary::parse`] accepted is JSON.
pub(super) fn json(text: Option<&str>, default: &str) -> Json<serde_json::Value> {
    Json(serde_json::from_str(text.unwrap_or(default)).unwrap_or_default())
}

/// At most `limit` characters: a long caller name must not cost the record. PostgreSQL takes no NUL.
pub(super) fn clipped(text: &str, limit: usize) -> String {
    text.chars().filter(|c| *c != '\0').take(limit).collect()
}

/// Fits an `integer` column.
pub(super) fn whole(number: u64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

pub(super) fn milliseconds(duration: Duration) -> i32 {
    whole(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
