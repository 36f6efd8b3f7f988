//! `/v1/usage`: what the calls of a tenant were used for, and what that cost.
use super::{endpoint::Endpoint, input::Query, problem::Problem, scope::Scope};
use crate::store::{Grouping, Used};
use axum::routing::MethodFilter;
use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest time that is told of at once.
const LONGEST: TimeDelta = TimeDelta::days(366);

/// Which usage is meant, and how it is told.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// The domain, by name or UUID. A token for all domains must say it; one for a single domain need not.
    #[serde(rename = "domain")]
    pub(super) _domain: Option<String>,
    /// Calls that came in then or later.
    pub(super) from: DateTime<Utc>,
    /// Calls that came in before; at most 366 days later.
    pub(super) to: DateTime<Utc>,
    /// By what it is told: `day` (in the tenant's time zone), `secretary` or `provider`.
    pub(super) by: By,
}

/// What usage is told by.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum By {
    /// The day on which calls came in.
    Day,
    /// Who answered.
    Secretary,
    /// Who spoke.
    Provider,
}

/// All of it; there is no second page.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Told {
    /// In the order of what it is told by.
    pub(super) items: Vec<UsageView>,
}

/// The usage of one day, secretary or provider.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct UsageView {
    /// `2026-11-26`, the UUID of a secretary (empty where none is known), or a provider.
    pub(super) of: String,
    /// Calls.
    pub(super) calls: u64,
    /// How long they lasted.
    pub(super) talked_ms: u64,
    /// Tokens that providers billed as input.
    pub(super) input_tokens: u64,
    /// Tokens that providers billed as output.
    pub(super) output_tokens: u64,
    /// What they cost, in millionths of a dollar.
    pub(super) cost_micro_usd: u64,
}

impl From<Used> for UsageView {
    fn from(used: Used) -> Self {
        Self {
            of: used.of,
            calls: used.calls,
            talked_ms: u64::try_from(used.talked.as_millis()).unwrap_or(u64::MAX),
            input_tokens: used.input_tokens,
            output_tokens: used.output_tokens,
            cost_micro_usd: used.cost.0,
        }
    }
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new((MethodFilter::GET, "/v1/usage"), ("getUsage", "What calls were used for, and their cost"), show)
            .query::<Asked>()
            .json::<Told>(200),
    ]
}

async fn show(scope: Scope, Query(asked): Query<Asked>) -> Result<axum::Json<Told>, Problem> {
    let Asked { from, to, by, .. } = asked;
    if to <= from || to.signed_duration_since(from) > LONGEST {
        return Err(Problem::malformed("to must be later than from, by 366 days at most"));
    }
    let grouping = match by {
        By::Day => Grouping::Day(scope.tenant().await?.time_zone),
        By::Secretary => Grouping::Secretary,
        By::Provider => Grouping::Provider,
    };
    let used = scope.used((from, to), grouping).await?;
    Ok(axum::Json(Told { items: used.into_iter().map(UsageView::from).collect() }))
}
