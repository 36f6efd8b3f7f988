//! Who may use the API: tokens by what they are called, never by what they are.
use super::{
    StoreError,
    queries::{Sql, on_pool, within_deadline},
};
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use sqlx::FromRow;
use std::fmt::Debug;
use uuid::Uuid;

macro_rules! select_tokens {
    ($which:literal) => {
        concat!(
            "select token_id, token_name, token_hash, cast(domain_uuid as text) as domain_uuid, created_at, expires_at, ",
            "last_used_at, revoked_at from v_voice_api_tokens ",
            $which
        )
    };
}

/// Finds whose a request is, so it names no domain; what is found says which.
const ONE: &str = select_tokens!("where token_id = $1");
/// For whoever administers them all.
const ALL: &str = select_tokens!("order by created_at, token_id");
const ADD: &str = "insert into v_voice_api_tokens (api_token_uuid, token_id, token_name, token_hash, domain_uuid, created_at, \
    expires_at) values ($1, $2, $3, $4, $5, $6, $7)";
const REVOKE: &str = "update v_voice_api_tokens set revoked_at = $2 where token_id = $1 and revoked_at is null";
const TOUCH: &str = "update v_voice_api_tokens set last_used_at = $2 where token_id = $1";

/// A token as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// What it is called in the token itself.
    pub id: String,
    /// What people call it; the audit names it.
    pub name: String,
    /// SHA-256 of its secret part, in hexadecimal.
    pub hash: String,
    /// The tenant it is for; `None` for one that may name any.
    pub domain: Option<Uuid>,
    /// Since when there is such a token.
    pub created_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was used last, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When somebody ended it.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl TokenRecord {
    /// Whether it opens anything at this time.
    pub fn is_good(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }

    /// Whether it opens something, is called so, and may do something in the same tenant as one for that domain.
    pub fn is_called(&self, name: &str, domain: Option<Uuid>, now: DateTime<Utc>) -> bool {
        let meet = self.domain.is_none() || domain.is_none() || self.domain == domain;
        meet && self.name == name && self.is_good(now)
    }
}

#[derive(Debug, FromRow)]
struct TokenColumns {
    token_id: String,
    token_name: String,
    token_hash: String,
    domain_uuid: Option<String>,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
}

impl TokenColumns {
    /// `None` for a tenant that is none: it must not become a token for all.
    fn read(self) -> Option<TokenRecord> {
        Some(TokenRecord {
            id: self.token_id,
            name: self.token_name,
            hash: self.token_hash,
            domain: self.domain_uuid.map(|domain| domain.parse()).transpose().ok()?,
            created_at: self.created_at,
            expires_at: self.expires_at,
            last_used_at: self.last_used_at,
            revoked_at: self.revoked_at,
        })
    }
}

/// What a server and its commands need to know of tokens.
pub trait Tokens: Debug + Send + Sync {
    /// The token that is called so.
    ///
    /// # Errors
    /// When the database does not answer.
    fn token<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<TokenRecord>, StoreError>>;

    /// All of them, in the order they were made.
    ///
    /// # Errors
    /// When the database does not answer.
    fn all_tokens(&self) -> BoxFuture<'_, Result<Vec<TokenRecord>, StoreError>>;

    /// Keeps a new one.
    ///
    /// # Errors
    /// When the database does not answer, or there is one of that name or identity.
    fn add_token<'a>(&'a self, token: &'a TokenRecord) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Ends one; `false` if there is none such that has not ended.
    ///
    /// # Errors
    /// When the database does not answer.
    fn revoke_token<'a>(&'a self, id: &'a str, now: DateTime<Utc>) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// Notes that it was used.
    ///
    /// # Errors
    /// When the database does not answer.
    fn touch_token<'a>(&'a self, id: &'a str, now: DateTime<Utc>) -> BoxFuture<'a, Result<(), StoreError>>;
}

impl Tokens for Sql {
    fn token<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<TokenRecord>, StoreError>> {
        Box::pin(async move {
            let row: Option<TokenColumns> =
                on_pool!(self, |pool, _id| sqlx::query_as(ONE).bind(id).fetch_optional(pool).await)?;
            Ok(row.and_then(TokenColumns::read))
        })
    }

    fn all_tokens(&self) -> BoxFuture<'_, Result<Vec<TokenRecord>, StoreError>> {
        Box::pin(async move {
            let rows: Vec<TokenColumns> = on_pool!(self, |pool, _id| sqlx::query_as(ALL).fetch_all(pool).await)?;
            Ok(rows.into_iter().filter_map(TokenColumns::read).collect())
        })
    }

    fn add_token<'a>(&'a self, token: &'a TokenRecord) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            on_pool!(self, |pool, id| {
                let query = sqlx::query(ADD).bind(id(Uuid::new_v4())).bind(&token.id).bind(&token.name);
                let query = query.bind(&token.hash).bind(token.domain.map(id)).bind(token.created_at);
                query.bind(token.expires_at).execute(pool).await.map(drop)
            })
        })
    }

    fn revoke_token<'a>(&'a self, id: &'a str, now: DateTime<Utc>) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            on_pool!(self, |pool, _id| {
                let query = sqlx::query(REVOKE).bind(id).bind(now);
                query.execute(pool).await.map(|done| done.rows_affected() > 0)
            })
        })
    }

    fn touch_token<'a>(&'a self, id: &'a str, now: DateTime<Utc>) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            on_pool!(self, |pool, _id| sqlx::query(TOUCH).bind(id).bind(now).execute(pool).await.map(drop))
        })
    }
}
