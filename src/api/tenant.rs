//! `/v1/tenant`: what holds for all calls of a tenant, by the columns of its table. Its key goes in and never comes out.
use super::{
    endpoint::Endpoint,
    input::{Json, Query},
    page::Whose,
    problem::Problem,
    scope::Scope,
};
use crate::{
    config::{Secret, Webhooks},
    record::MicroUsd,
    secretary::ProviderKind,
    tenancy::{Tenant, TenantRow, dollars, webhook},
};
use axum::{http::StatusCode, routing::MethodFilter};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

const PATH: &str = "/v1/tenant";
/// Longest key, in bytes: what it is sealed into has to fit its column.
const LONGEST_KEY: usize = 512;
/// The column of the budget has eight digits of dollars.
const LARGEST_BUDGET: MicroUsd = MicroUsd(99_999_999_999_999);

/// What is said of a tenant; what is absent is as the server has it. docs/tenants.md has what each may be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// Who speaks for secretaries that name nobody, and whose key `api_key` is.
    #[schemars(length(max = 50))]
    pub(super) realtime_provider: Option<String>,
    /// For secretaries of that provider that name no voice.
    #[schemars(length(max = 100))]
    pub(super) default_voice: Option<String>,
    /// BCP 47, for secretaries that name no language.
    #[schemars(length(max = 20))]
    pub(super) language: Option<String>,
    /// Where its months begin: `America/Sao_Paulo`.
    #[schemars(length(max = 64))]
    pub(super) time_zone: Option<String>,
    /// Most calls at once.
    #[schemars(range(min = 0, max = 100_000))]
    pub(super) max_concurrent_calls: Option<i32>,
    /// Most new calls within any 60 seconds.
    #[schemars(range(min = 0, max = 100_000))]
    pub(super) calls_per_minute: Option<i32>,
    /// What the calls of a month may cost: a decimal number of dollars, as text, so that it is exact.
    pub(super) monthly_budget_usd: Option<String>,
    /// When this much of it is spent somebody is told.
    #[schemars(range(min = 1, max = 100))]
    pub(super) budget_alert_percent: Option<i32>,
    /// Who is told, beside the log.
    pub(super) budget_webhook: Option<String>,
    /// Whether calls are recorded whose secretary does not say.
    pub(super) recording: Option<bool>,
    /// Whether numbers of cards and e-mail addresses are left out of what is kept.
    pub(super) redact_transcripts: Option<bool>,
    /// How long conversations are kept.
    #[schemars(range(min = 1, max = 36_500))]
    pub(super) retention_days: Option<i32>,
    /// How a call beyond a limit is refused: 486 or 503.
    pub(super) refusal_status: Option<i32>,
    /// Said to the caller first.
    pub(super) refusal_notice: Option<String>,
}

/// Settings as they are written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SettingsBody {
    /// What is said.
    pub(super) settings: Settings,
    /// Its own key at `realtime_provider`, which is kept sealed. Absent leaves the one there is, null takes it away.
    #[serde(default, deserialize_with = "written")]
    #[schemars(with = "Option<String>", extend("writeOnly" = true, "maxLength" = 512))]
    pub(super) api_key: Option<Option<Secret>>,
}

fn written<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Secret>>, D::Error> {
    Ok(Some(Option::<String>::deserialize(deserializer)?.map(Secret::new)))
}

/// Settings as they are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct SettingsView {
    /// What is said.
    pub(super) settings: Settings,
    /// Whether it has a key of its own. The key itself is never shown.
    pub(super) has_api_key: bool,
    /// Whether the configuration file speaks for this tenant: then none of this holds, and it cannot be changed here.
    pub(super) of_the_file: bool,
}

impl From<TenantRow> for Settings {
    fn from(row: TenantRow) -> Self {
        Self {
            realtime_provider: row.realtime_provider,
            default_voice: row.default_voice,
            language: row.language,
            time_zone: row.time_zone,
            max_concurrent_calls: row.max_concurrent_calls,
            calls_per_minute: row.calls_per_minute,
            monthly_budget_usd: row.monthly_budget_usd,
            budget_alert_percent: row.budget_alert_percent,
            budget_webhook: row.budget_webhook,
            recording: row.recording,
            redact_transcripts: row.redact_transcripts,
            retention_days: row.retention_days,
            refusal_status: row.refusal_status,
            refusal_notice: row.refusal_notice,
        }
    }
}

impl Settings {
    /// The row that says this, with that key.
    fn row(self, api_key_encrypted: Option<String>) -> TenantRow {
        TenantRow {
            realtime_provider: self.realtime_provider,
            api_key_encrypted,
            default_voice: self.default_voice,
            language: self.language,
            time_zone: self.time_zone,
            max_concurrent_calls: self.max_concurrent_calls,
            calls_per_minute: self.calls_per_minute,
            monthly_budget_usd: self.monthly_budget_usd,
            budget_alert_percent: self.budget_alert_percent,
            budget_webhook: self.budget_webhook,
            recording: self.recording,
            redact_transcripts: self.redact_transcripts,
            retention_days: self.retention_days,
            refusal_status: self.refusal_status,
            refusal_notice: self.refusal_notice,
        }
    }

    /// What a tenant says of itself: how much it may use, in which months, and whom the server calls for it, stays as it
    /// is.
    ///
    /// # Errors
    /// It says something else of that.
    fn within(self, there: &TenantRow) -> Result<Self, Problem> {
        let worth = |usd: &Option<String>| usd.as_deref().and_then(|usd| dollars(usd).ok());
        let number = |said: Option<i32>, there| said.is_some() && said != there;
        let zone = |name: &Option<String>| match name.as_deref().map(str::trim) {
            None | Some("") => "UTC".to_owned(),
            Some(name) => name.to_owned(),
        };
        // With another the month begins at another moment, and what is spent is in another month.
        let has_months = there.monthly_budget_usd.is_some();
        let is_moved = has_months && self.time_zone.is_some() && zone(&self.time_zone) != zone(&there.time_zone);
        let checks = [
            ("max_concurrent_calls", number(self.max_concurrent_calls, there.max_concurrent_calls)),
            ("calls_per_minute", number(self.calls_per_minute, there.calls_per_minute)),
            (
                "monthly_budget_usd",
                self.monthly_budget_usd.is_some()
                    && worth(&self.monthly_budget_usd) != worth(&there.monthly_budget_usd),
            ),
            ("budget_webhook", self.budget_webhook.is_some() && self.budget_webhook != there.budget_webhook),
            ("time_zone", is_moved),
        ];
        if let Some((column, _)) = checks.into_iter().find(|(_, differs)| *differs) {
            return Err(Problem::field(column, "is changed with a token for all domains"));
        }
        Ok(Self {
            max_concurrent_calls: there.max_concurrent_calls,
            calls_per_minute: there.calls_per_minute,
            monthly_budget_usd: there.monthly_budget_usd.clone(),
            budget_webhook: there.budget_webhook.clone(),
            time_zone: if has_months { there.time_zone.clone() } else { self.time_zone },
            ..self
        })
    }

    /// Whether its texts fit their columns.
    fn fit(&self) -> Result<(), Problem> {
        let texts = [
            ("realtime_provider", &self.realtime_provider, 50),
            ("default_voice", &self.default_voice, 100),
            ("language", &self.language, 20),
            ("time_zone", &self.time_zone, 64),
        ];
        for (column, text, most) in texts {
            if text.as_ref().is_some_and(|text| text.chars().count() > most) {
                return Err(Problem::field(column, format!("has more than {most} characters")));
            }
        }
        // One that is none at all is told of later.
        let budget = self.monthly_budget_usd.as_deref().and_then(|usd| dollars(usd).ok());
        if budget.is_some_and(|budget| budget.0 > LARGEST_BUDGET.0) {
            return Err(Problem::field("monthly_budget_usd", "is more than 99999999.999999"));
        }
        Ok(())
    }
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new((MethodFilter::GET, PATH), ("getTenant", "Shows the settings of a domain"), show)
            .query::<Whose>()
            .json::<SettingsView>(200),
        Endpoint::new((MethodFilter::PUT, PATH), ("replaceTenant", "Says the settings of a domain anew"), replace)
            .query::<Whose>()
            .body::<SettingsBody>()
            .json::<SettingsView>(200),
    ]
}

async fn show(scope: Scope, _: Query<Whose>) -> Result<axum::Json<SettingsView>, Problem> {
    let (row, of_the_file) = (scope.settings().await?, scope.of_the_file().await?.is_some());
    let has_api_key = row.api_key_encrypted.as_ref().is_some_and(|key| !key.is_empty());
    Ok(axum::Json(SettingsView { settings: row.into(), has_api_key, of_the_file }))
}

async fn replace(
    scope: Scope,
    query: Query<Whose>,
    Json(SettingsBody { settings, api_key }): Json<SettingsBody>,
) -> Result<axum::Json<SettingsView>, Problem> {
    settings.fit()?;
    if scope.of_the_file().await?.is_some() {
        let detail = "The configuration file speaks for this domain ([[tenants]]): change it there.";
        return Err(Problem::new(StatusCode::CONFLICT, "of-the-file", detail));
    }
    let there = scope.settings().await?;
    let settings = if scope.is_owner() { settings } else { settings.within(&there)? };
    let sealed = key(&scope, (&settings, &there), api_key)?;
    let row = settings.row(sealed);
    Tenant::parse(row.clone()).map_err(|error| Problem::field(error.column, error.problem))?;
    may_call(&scope, &row, &there)?;
    scope.set(&row, &there).await?;
    show(scope, query).await
}

/// Whether the server may call whom it is told to. What is there already is looked at when somebody is called.
fn may_call(scope: &Scope, row: &TenantRow, there: &TenantRow) -> Result<(), Problem> {
    let new = row.budget_webhook.as_deref().map(str::trim).filter(|url| !url.is_empty());
    if scope.config().tenancy.limits.webhooks == Webhooks::Any || row.budget_webhook == there.budget_webhook {
        return Ok(());
    }
    new.and_then(webhook::refused).map_or(Ok(()), |why| Err(Problem::field("budget_webhook", why)))
}

fn provider(name: Option<&String>) -> ProviderKind {
    ProviderKind::parse(name.map(String::as_str).unwrap_or_default())
}

/// What is to stand in the column of the key: the sealed one that was given, or the one that is there, which belongs to its
/// provider.
fn key(
    scope: &Scope,
    (settings, there): (&Settings, &TenantRow),
    given: Option<Option<Secret>>,
) -> Result<Option<String>, Problem> {
    let of = provider(settings.realtime_provider.as_ref());
    let Some(given) = given else {
        let kept = there.api_key_encrypted.clone().filter(|key| !key.is_empty());
        if kept.is_some() && provider(there.realtime_provider.as_ref()) != of {
            let message = "belongs to the provider there was: give one for the new provider, or null";
            return Err(Problem::field("api_key", message));
        }
        return Ok(kept);
    };
    let Some(secret) = given else { return Ok(None) };
    if !(1..=LONGEST_KEY).contains(&secret.expose().trim().len()) {
        return Err(Problem::field("api_key", format!("must have 1 to {LONGEST_KEY} characters")));
    }
    if !of.takes_key() {
        return Err(Problem::field("settings.realtime_provider", "takes no key"));
    }
    let config = scope.config();
    let salt = Uuid::new_v4().into_bytes();
    let secret = Secret::new(secret.expose().trim());
    let sealed = config.tenancy.master_keys.seal(&secret, &scope.place(of.as_str()), salt);
    let refused =
        |error| Problem::new(StatusCode::CONFLICT, "no-master-key", format!("A key cannot be kept: {error}."));
    sealed.map(Some).map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_absent_null_or_there_and_shows_nowhere() {
        let read = |json| serde_json::from_value::<SettingsBody>(json).unwrap();
        assert_eq!(read(serde_json::json!({"settings": {}})).api_key, None);
        assert_eq!(read(serde_json::json!({"settings": {}, "api_key": null})).api_key, Some(None));
        let body = read(serde_json::json!({"settings": {}, "api_key": "sk-1"}));
        assert_eq!(body.api_key.clone().unwrap().unwrap().expose(), "sk-1");
        assert!(!format!("{body:?}").contains("sk-1"));
    }

    #[test]
    fn settings_are_a_row_and_back() {
        let json = serde_json::json!({
            "realtime_provider": "openai", "default_voice": "marin", "language": "pt-BR", "time_zone": "UTC",
            "max_concurrent_calls": 1, "calls_per_minute": 2, "monthly_budget_usd": "3.5", "budget_alert_percent": 4,
            "budget_webhook": "https://x", "recording": true, "redact_transcripts": false, "retention_days": 5,
            "refusal_status": 486, "refusal_notice": "n",
        });
        let settings: Settings = serde_json::from_value(json.clone()).unwrap();
        let row = settings.row(Some("v1.sealed".into()));
        assert_eq!(row.api_key_encrypted.as_deref(), Some("v1.sealed"));
        let shown = serde_json::to_value(Settings::from(row)).unwrap();
        assert_eq!(shown, json);
    }
}
