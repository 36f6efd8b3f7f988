//! What calls were used for and what that cost, by conversation and provider: `v_voice_usage`, from which budgets and reports are
//! summed. Nothing in it is personal, so nothing of it goes when a conversation does: a month that was paid for stays paid for.
use super::{
    StoreError,
    queries::{Sql, on_pool, within_deadline},
};
use crate::record::{Conversation, MicroUsd, Share};
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use futures_util::future::BoxFuture;
use sqlx::FromRow;
use std::{collections::BTreeMap, fmt::Debug, time::Duration};
use uuid::Uuid;

/// From then until before then.
pub type Period = (DateTime<Utc>, DateTime<Utc>);

/// What a call that is up has cost so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spending {
    /// Which.
    pub conversation: Uuid,
    /// Whose.
    pub domain: Uuid,
    /// With whom.
    pub secretary: Option<Uuid>,
    /// When it came in.
    pub started_at: DateTime<Utc>,
    /// What each provider has had of it.
    pub shares: Vec<Share>,
}

/// What usage is told by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// The day on which calls came in, in the time zone in which the tenant's months begin.
    Day(Tz),
    /// The secretary who answered.
    Secretary,
    /// The provider that spoke; a call in which several did counts with each.
    Provider,
}

/// The usage of one day, secretary or provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// `2026-11-26`, the secretary's UUID (empty where none is known), or as in the `realtime_provider` column.
    pub of: String,
    /// Calls.
    pub calls: u64,
    /// How long they lasted.
    pub talked: Duration,
    /// Tokens that providers billed as input.
    pub input_tokens: u64,
    /// Tokens that providers billed as output.
    pub output_tokens: u64,
    /// What providers charged, and where they do not tell what they will charge by list price.
    pub cost: MicroUsd,
}

/// What calls were used for.
pub trait Usage: Debug + Send + Sync {
    /// Notes what a call has cost that is up in this process. What its record says, once it is kept, stands against it.
    ///
    /// # Errors
    /// When the database does not answer.
    fn note_spending<'a>(&'a self, spending: &'a Spending, node: Uuid) -> BoxFuture<'a, Result<(), StoreError>>;

    /// What calls of a tenant have cost that came in within this period: all but those that are up in this process, which knows
    /// better.
    ///
    /// # Errors
    /// When the database does not answer.
    fn spent(&self, domain: Uuid, period: Period, node: Uuid) -> BoxFuture<'_, Result<MicroUsd, StoreError>>;

    /// What calls of a tenant were used for that came in within this period, in the order of what they are grouped by.
    ///
    /// # Errors
    /// When the database does not answer.
    fn used(&self, domain: Uuid, period: Period, by: Grouping) -> BoxFuture<'_, Result<Vec<Used>, StoreError>>;

    /// Whether it is for us to tell somebody that so much of a month's budget is spent: `false` if another has.
    ///
    /// # Errors
    /// When the database does not answer.
    fn claim_alert<'a>(&'a self, domain: Uuid, month: &'a str, at: MicroUsd)
    -> BoxFuture<'a, Result<bool, StoreError>>;
}

/// What was settled stays as it is. Whoever names another tenant's conversation changes nothing.
pub(super) const KEEP: &str = "insert into v_voice_usage (conversation_uuid, provider, domain_uuid, secretary_realtime_uuid, \
    started_at, talked_ms, input_tokens, output_tokens, cost_micro_usd, node_uuid) \
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
    on conflict (conversation_uuid, provider) do update set talked_ms = excluded.talked_ms, \
    input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens, \
    cost_micro_usd = excluded.cost_micro_usd, node_uuid = excluded.node_uuid \
    where v_voice_usage.node_uuid is not null and v_voice_usage.domain_uuid = excluded.domain_uuid";

/// What a provider charged for its part of a call that has its record; of another it is asked again.
pub(super) const BILL: &str = "update v_voice_usage set billed_micro_usd = $4 where domain_uuid = $1 and conversation_uuid = $2 and provider = $3 \
    and node_uuid is null";

const SPENT: &str = "select cast(coalesce(sum(coalesce(billed_micro_usd, cost_micro_usd)), 0) as bigint) from v_voice_usage \
    where domain_uuid = $1 and started_at >= $2 and started_at < $3 and (node_uuid is null or node_uuid <> $4)";

const CLAIM: &str = "insert into v_voice_budget_alerts (domain_uuid, month, alert_micro_usd, alerted_at) \
    values ($1, $2, $3, $4) on conflict (domain_uuid, month, alert_micro_usd) do nothing";

/// Sums by what is asked for.
macro_rules! sums {
    ($of:literal) => {
        concat!(
            "select ",
            $of,
            " as of_what, count(distinct conversation_uuid) as calls, cast(sum(talked_ms) as bigint) as talked_ms, ",
            "cast(sum(input_tokens) as bigint) as input_tokens, cast(sum(output_tokens) as bigint) as output_tokens, ",
            "cast(sum(coalesce(billed_micro_usd, cost_micro_usd)) as bigint) as cost from v_voice_usage ",
            "where domain_uuid = $1 and started_at >= $2 and started_at < $3 group by 1 order by 1"
        )
    };
}

const BY_SECRETARY: &str = sums!("coalesce(cast(secretary_realtime_uuid as text), '')");
const BY_PROVIDER: &str = sums!("provider");
/// By quarters of an hour since 1970, with which the days of every time zone begin.
const BY_QUARTER: &str = sums!("cast(cast(floor(extract(epoch from started_at) / 900) as bigint) as text)");
const BY_QUARTER_OF_SQLITE: &str = sums!("cast(cast(strftime('%s', started_at) as integer) / 900 as text)");
/// Seconds of one.
const QUARTER: i64 = 900;

#[derive(Debug, FromRow)]
struct Sums {
    of_what: String,
    calls: i64,
    talked_ms: i64,
    input_tokens: i64,
    output_tokens: i64,
    cost: i64,
}

impl Sums {
    fn read(self) -> Used {
        let number = |number: i64| u64::try_from(number).unwrap_or_default();
        Used {
            of: self.of_what,
            calls: number(self.calls),
            talked: Duration::from_millis(number(self.talked_ms)),
            input_tokens: number(self.input_tokens),
            output_tokens: number(self.output_tokens),
            cost: MicroUsd(number(self.cost)),
        }
    }

    fn day(&self, zone: Tz) -> Option<NaiveDate> {
        let quarter: i64 = self.of_what.parse().ok()?;
        let at = DateTime::from_timestamp(quarter.checked_mul(QUARTER)?, 0)?;
        Some(at.with_timezone(&zone).date_naive())
    }
}

/// Writes one row, in a transaction or without one.
macro_rules! keep_share {
    ($executor:expr, $id:ident, $spending:expr, $share:expr, $node:expr) => {{
        let (spending, share): (&$crate::store::Spending, &$crate::record::Share) = ($spending, $share);
        sqlx::query($crate::store::usage::KEEP)
            .bind($id(spending.conversation))
            .bind($crate::store::usage::provider(&share.provider))
            .bind($id(spending.domain))
            .bind(spending.secretary.map($id))
            .bind(spending.started_at)
            .bind($crate::store::usage::signed(u64::try_from(share.talked.as_millis()).unwrap_or(u64::MAX)))
            .bind($crate::store::usage::signed(share.input_tokens))
            .bind($crate::store::usage::signed(share.output_tokens))
            .bind($crate::store::usage::signed(share.cost.0))
            .bind($node.map($id))
            .execute($executor)
            .await?;
    }};
}

pub(super) use keep_share;

/// Fits its column.
pub(super) fn provider(name: &str) -> String {
    name.chars().take(50).collect()
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl From<&Conversation> for Spending {
    /// What a conversation came to; nothing of one that neither lasted nor cost anything.
    fn from(of: &Conversation) -> Self {
        let whole = || Share {
            provider: of.provider.clone(),
            talked: of.audio,
            input_tokens: of.input_tokens,
            output_tokens: of.output_tokens,
            cost: of.estimated_cost,
        };
        // A record of an earlier version, which waited in the spill file.
        let shares = if of.shares.is_empty() { vec![whole()] } else { of.shares.clone() };
        Self {
            conversation: of.conversation_uuid,
            domain: of.domain_uuid,
            secretary: of.secretary_realtime_uuid,
            started_at: of.started_at,
            shares: shares.into_iter().filter(|share| !share.is_nothing()).collect(),
        }
    }
}

impl Usage for Sql {
    fn note_spending<'a>(&'a self, spending: &'a Spending, node: Uuid) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            on_pool!(self, |pool, id| {
                for share in spending.shares.iter().filter(|share| !share.is_nothing()) {
                    keep_share!(pool, id, spending, share, Some(node));
                }
                Ok(())
            })
        })
    }

    fn spent(&self, domain: Uuid, (from, to): Period, node: Uuid) -> BoxFuture<'_, Result<MicroUsd, StoreError>> {
        Box::pin(async move {
            let spent: i64 = on_pool!(self, |pool, id| {
                sqlx::query_scalar(SPENT).bind(id(domain)).bind(from).bind(to).bind(id(node)).fetch_one(pool).await
            })?;
            Ok(MicroUsd(u64::try_from(spent).unwrap_or_default()))
        })
    }

    fn used(&self, domain: Uuid, (from, to): Period, by: Grouping) -> BoxFuture<'_, Result<Vec<Used>, StoreError>> {
        Box::pin(async move {
            let sql = match (by, self) {
                (Grouping::Secretary, _) => BY_SECRETARY,
                (Grouping::Provider, _) => BY_PROVIDER,
                (Grouping::Day(_), Self::Postgres(_)) => BY_QUARTER,
                (Grouping::Day(_), Self::Sqlite(_)) => BY_QUARTER_OF_SQLITE,
            };
            let sums: Vec<Sums> = on_pool!(self, |pool, id| {
                sqlx::query_as(sql).bind(id(domain)).bind(from).bind(to).fetch_all(pool).await
            })?;
            Ok(match by {
                Grouping::Day(zone) => days(sums, zone),
                Grouping::Secretary | Grouping::Provider => sums.into_iter().map(Sums::read).collect(),
            })
        })
    }

    fn claim_alert<'a>(
        &'a self,
        domain: Uuid,
        month: &'a str,
        at: MicroUsd,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            on_pool!(self, |pool, id| {
                let query = sqlx::query(CLAIM).bind(id(domain)).bind(month).bind(signed(at.0)).bind(Utc::now());
                query.execute(pool).await.map(|done| done.rows_affected() > 0)
            })
        })
    }
}

/// Quarters of an hour as days.
fn days(quarters: Vec<Sums>, zone: Tz) -> Vec<Used> {
    let mut days: BTreeMap<NaiveDate, Used> = BTreeMap::new();
    for quarter in quarters {
        let Some(day) = quarter.day(zone) else { continue };
        let (sum, more) = (days.entry(day).or_default(), quarter.read());
        sum.calls += more.calls;
        sum.talked += more.talked;
        sum.input_tokens += more.input_tokens;
        sum.output_tokens += more.output_tokens;
        sum.cost = MicroUsd(sum.cost.0.saturating_add(more.cost.0));
    }
    days.into_iter().map(|(day, used)| Used { of: day.to_string(), ..used }).collect()
}
