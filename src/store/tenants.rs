//! The settings of tenants in `v_voice_tenants`.
use super::{
    StoreError,
    queries::{Sql, on_pool, within_deadline},
    rows::{Tried, readable},
    secretaries::as_actor,
};
use crate::{secretary::DomainRef, tenancy::TenantRow};
use chrono::Utc;
use futures_util::future::BoxFuture;
use sqlx::FromRow;
use std::fmt::Debug;
use uuid::Uuid;

/// The budget as text, so that it is read exactly.
const FIND: &str = "select realtime_provider, api_key_encrypted, default_voice, language, time_zone, max_concurrent_calls, \
    calls_per_minute, cast(monthly_budget_usd as text) as monthly_budget_usd, budget_alert_percent, budget_webhook, recording, \
    redact_transcripts, retention_days, refusal_status, refusal_notice \
    from v_voice_tenants where domain_uuid = $1";

/// For whoever rotates the master key of all tenants.
const SEALED: &str = "select cast(t.domain_uuid as text) as domain_uuid, d.domain_name as domain_name, \
    t.realtime_provider as realtime_provider, t.api_key_encrypted as api_key_encrypted \
    from v_voice_tenants t join v_domains d on d.domain_uuid = t.domain_uuid \
    where t.api_key_encrypted is not null and t.api_key_encrypted <> '' order by d.domain_name";

/// What was set meanwhile stays.
const RESEAL: &str = "update v_voice_tenants set api_key_encrypted = $3, update_date = $4 \
    where domain_uuid = $1 and api_key_encrypted = $2";

const SET_KEY: &str = "insert into v_voice_tenants (voice_tenant_uuid, domain_uuid, realtime_provider, api_key_encrypted, \
    update_date) values ($1, $2, $3, $4, $5) \
    on conflict (domain_uuid) do update set realtime_provider = excluded.realtime_provider, \
    api_key_encrypted = excluded.api_key_encrypted, update_date = excluded.update_date";

/// The budget is text in a file, and a number on a server. What is taken over from the row that was seen (its key, what it may use)
/// has to be there still.
macro_rules! save {
    ($budget:literal) => {
        concat!(
            "insert into v_voice_tenants (voice_tenant_uuid, domain_uuid, realtime_provider, api_key_encrypted, default_voice, ",
            "language, time_zone, max_concurrent_calls, calls_per_minute, budget_alert_percent, budget_webhook, recording, ",
            "redact_transcripts, retention_days, refusal_status, refusal_notice, update_date, monthly_budget_usd) ",
            "values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, ",
            $budget,
            ") on conflict (domain_uuid) do update set realtime_provider = excluded.realtime_provider, ",
            "api_key_encrypted = excluded.api_key_encrypted, default_voice = excluded.default_voice, ",
            "language = excluded.language, time_zone = excluded.time_zone, ",
            "max_concurrent_calls = excluded.max_concurrent_calls, calls_per_minute = excluded.calls_per_minute, ",
            "budget_alert_percent = excluded.budget_alert_percent, budget_webhook = excluded.budget_webhook, ",
            "recording = excluded.recording, redact_transcripts = excluded.redact_transcripts, ",
            "retention_days = excluded.retention_days, refusal_status = excluded.refusal_status, ",
            "refusal_notice = excluded.refusal_notice, update_date = excluded.update_date, ",
            "monthly_budget_usd = excluded.monthly_budget_usd ",
            "where v_voice_tenants.api_key_encrypted is not distinct from $19 ",
            "and v_voice_tenants.realtime_provider is not distinct from $20 ",
            "and v_voice_tenants.max_concurrent_calls is not distinct from $21 ",
            "and v_voice_tenants.calls_per_minute is not distinct from $22 ",
            "and v_voice_tenants.budget_webhook is not distinct from $23 ",
            "and cast(v_voice_tenants.monthly_budget_usd as text) is not distinct from $24"
        )
    };
}

const SAVE: &str = save!("cast($18 as numeric)");
const SAVE_IN_FILE: &str = save!("$18");

const BY_NAME: &str = "select cast(domain_uuid as text) from v_domains where lower(domain_name) = lower($1) limit 1";
const BY_UUID: &str = "select cast(domain_uuid as text) from v_domains where domain_uuid = $1";

/// A row as both databases give it.
#[derive(Debug, FromRow)]
struct Columns {
    realtime_provider: Option<String>,
    api_key_encrypted: Option<String>,
    default_voice: Option<String>,
    language: Option<String>,
    time_zone: Option<String>,
    max_concurrent_calls: Option<i32>,
    calls_per_minute: Option<i32>,
    monthly_budget_usd: Option<String>,
    budget_alert_percent: Option<i32>,
    budget_webhook: Option<String>,
    recording: Option<bool>,
    redact_transcripts: Option<bool>,
    retention_days: Option<i32>,
    refusal_status: Option<i32>,
    refusal_notice: Option<String>,
}

impl From<Columns> for TenantRow {
    fn from(columns: Columns) -> Self {
        Self {
            realtime_provider: columns.realtime_provider,
            api_key_encrypted: columns.api_key_encrypted,
            default_voice: columns.default_voice,
            language: columns.language,
            time_zone: columns.time_zone,
            max_concurrent_calls: columns.max_concurrent_calls,
            calls_per_minute: columns.calls_per_minute,
            monthly_budget_usd: columns.monthly_budget_usd,
            budget_alert_percent: columns.budget_alert_percent,
            budget_webhook: columns.budget_webhook,
            recording: columns.recording,
            redact_transcripts: columns.redact_transcripts,
            retention_days: columns.retention_days,
            refusal_status: columns.refusal_status,
            refusal_notice: columns.refusal_notice,
        }
    }
}

/// A tenant's own key as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedKey {
    /// The tenant.
    pub domain_uuid: Uuid,
    /// Its name.
    pub domain_name: String,
    /// Whose key it is.
    pub provider: String,
    /// As [`crate::vault`] writes it.
    pub sealed: String,
}

#[derive(Debug, FromRow)]
struct SealedColumns {
    domain_uuid: String,
    domain_name: Option<String>,
    realtime_provider: Option<String>,
    api_key_encrypted: String,
}

impl SealedColumns {
    /// `None` if the UUID is none.
    fn read(self) -> Option<SealedKey> {
        Some(SealedKey {
            domain_uuid: self.domain_uuid.parse().ok()?,
            domain_name: self.domain_name.unwrap_or(self.domain_uuid),
            provider: self.realtime_provider.unwrap_or_default(),
            sealed: self.api_key_encrypted,
        })
    }
}

/// What a server and its commands need to know of tenants.
pub trait Tenants: Debug + Send + Sync {
    /// The settings of a tenant; `None` if it has none.
    ///
    /// # Errors
    /// When the database does not answer.
    fn find(&self, domain: Uuid) -> BoxFuture<'_, Result<Option<TenantRow>, StoreError>>;

    /// Which tenant that is; `None` if there is no such domain.
    ///
    /// # Errors
    /// When the database does not answer.
    fn domain<'a>(&'a self, domain: &'a DomainRef) -> BoxFuture<'a, Result<Option<Uuid>, StoreError>>;

    /// The keys of all tenants that have one of their own.
    ///
    /// # Errors
    /// When the database does not answer.
    fn sealed_keys(&self) -> BoxFuture<'_, Result<Vec<SealedKey>, StoreError>>;

    /// Gives a tenant this key in place of the one it has, if it still has that.
    ///
    /// # Errors
    /// When the database does not answer.
    fn replace_key<'a>(&'a self, of: &'a SealedKey, sealed: &'a str) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// Gives a tenant a key of its own at a provider.
    ///
    /// # Errors
    /// When the database does not answer.
    fn set_key<'a>(&'a self, domain: Uuid, provider: &'a str, sealed: &'a str)
    -> BoxFuture<'a, Result<(), StoreError>>;

    /// Says all of a tenant anew, whose row was `seen` before; `false` if its key, or what it may use, was changed since. Who does
    /// it, the audit names.
    ///
    /// # Errors
    /// When the database does not answer, or refuses the row.
    fn save<'a>(
        &'a self,
        actor: &'a str,
        domain: Uuid,
        row: &'a TenantRow,
        seen: &'a TenantRow,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;
}

impl Tenants for Sql {
    fn find(&self, domain: Uuid) -> BoxFuture<'_, Result<Option<TenantRow>, StoreError>> {
        Box::pin(async move {
            let row: Option<Columns> =
                on_pool!(self, |pool, id| sqlx::query_as(FIND).bind(id(domain)).fetch_optional(pool).await)?;
            Ok(row.map(TenantRow::from))
        })
    }

    fn domain<'a>(&'a self, domain: &'a DomainRef) -> BoxFuture<'a, Result<Option<Uuid>, StoreError>> {
        Box::pin(async move {
            let found: Option<String> = on_pool!(self, |pool, id| {
                match domain {
                    DomainRef::Name(name) => sqlx::query_scalar(BY_NAME).bind(name).fetch_optional(pool).await,
                    DomainRef::Uuid(uuid) => sqlx::query_scalar(BY_UUID).bind(id(*uuid)).fetch_optional(pool).await,
                }
            })?;
            Ok(found.and_then(|uuid| uuid.parse().ok()))
        })
    }

    fn sealed_keys(&self) -> BoxFuture<'_, Result<Vec<SealedKey>, StoreError>> {
        Box::pin(async move {
            let rows: Vec<Tried<SealedColumns>> =
                on_pool!(self, |pool, _id| sqlx::query_as(SEALED).fetch_all(pool).await)?;
            Ok(readable(rows, Ok).0.into_iter().filter_map(SealedColumns::read).collect())
        })
    }

    fn replace_key<'a>(&'a self, of: &'a SealedKey, sealed: &'a str) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            on_pool!(self, |pool, id| {
                let query = sqlx::query(RESEAL).bind(id(of.domain_uuid)).bind(&of.sealed).bind(sealed);
                query.bind(Utc::now()).execute(pool).await.map(|done| done.rows_affected() > 0)
            })
        })
    }

    fn set_key<'a>(
        &'a self,
        domain: Uuid,
        provider: &'a str,
        sealed: &'a str,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            on_pool!(self, |pool, id| {
                let query = sqlx::query(SET_KEY).bind(id(Uuid::new_v4())).bind(id(domain)).bind(provider);
                query.bind(sealed).bind(Utc::now()).execute(pool).await.map(drop)
            })
        })
    }

    fn save<'a>(
        &'a self,
        actor: &'a str,
        domain: Uuid,
        row: &'a TenantRow,
        seen: &'a TenantRow,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let sql = if matches!(self, Self::Sqlite(_)) { SAVE_IN_FILE } else { SAVE };
            as_actor!(self, actor, |connection, id| {
                let query = sqlx::query(sql)
                    .bind(id(Uuid::new_v4()))
                    .bind(id(domain))
                    .bind(row.realtime_provider.as_deref())
                    .bind(row.api_key_encrypted.as_deref())
                    .bind(row.default_voice.as_deref())
                    .bind(row.language.as_deref())
                    .bind(row.time_zone.as_deref())
                    .bind(row.max_concurrent_calls)
                    .bind(row.calls_per_minute)
                    .bind(row.budget_alert_percent)
                    .bind(row.budget_webhook.as_deref())
                    .bind(row.recording)
                    .bind(row.redact_transcripts)
                    .bind(row.retention_days)
                    .bind(row.refusal_status)
                    .bind(row.refusal_notice.as_deref())
                    .bind(Utc::now())
                    .bind(row.monthly_budget_usd.as_deref().map(str::trim))
                    .bind(seen.api_key_encrypted.as_deref())
                    .bind(seen.realtime_provider.as_deref())
                    .bind(seen.max_concurrent_calls)
                    .bind(seen.calls_per_minute)
                    .bind(seen.budget_webhook.as_deref())
                    .bind(seen.monthly_budget_usd.as_deref());
                query.execute(connection).await?.rows_affected() > 0
            })
        })
    }
}
