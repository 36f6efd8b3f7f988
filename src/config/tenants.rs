//! `[limits]`, `[redis]`, `[secrets]` and `[[tenants]]`: what holds for all calls of a tenant, and for those of all.
use super::{
    Config, Secret,
    check::{Check, Place},
    raw::{RawLimits, RawRedis, RawSecrets, RawTenant},
    secret,
};
use crate::{
    record::MicroUsd,
    seal::Key,
    secretary::{DomainRef, ProviderKind, Secretary},
    tenancy::{ApiKey, RefusalStatus, Tenant, TenantRow, webhook},
    vault::Keyring,
};
use std::collections::BTreeMap;
use toml::Value;

const STATUS: &str = "must be 486 or 503";

/// `[limits]`: for calls of all tenants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most calls at once through a provider, by its name; any number through others.
    pub provider_calls: BTreeMap<String, u32>,
    /// How calls beyond a limit are refused, of tenants who do not say.
    pub refusal: RefusalStatus,
    /// Said first, by a voice of this process; of tenants who do not say.
    pub notice: Option<String>,
    /// Callers at once to whom a notice is said; more are refused without it.
    pub notices: u32,
    /// What a call reserves of its tenant's budget at a time.
    pub reservation: MicroUsd,
    /// What of providers whose price nobody knows, for tenants with a budget.
    pub unpriced: Unpriced,
    /// Whom the server calls because a tenant's settings say so.
    pub webhooks: Webhooks,
}

/// Whom the server calls because a tenant's settings say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Webhooks {
    /// Whoever is reached at a public address, by `https://`.
    Public,
    /// Anybody, also within the server's own network and in the clear.
    Any,
}

/// What a tenant with a budget gets of providers whose price nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unpriced {
    /// None: a budget that counts nothing holds nobody to it.
    Refuse,
    /// All, at whatever they cost.
    Allow,
}

/// What is said of tenants, and of the calls of all of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenancy {
    /// `[limits]`
    pub limits: Limits,
    /// What several servers count their calls in, `redis://…`; `None` for limits of this server alone.
    pub redis: Option<Secret>,
    /// What tenants' own keys are sealed with.
    pub master_keys: Keyring,
    /// `[[tenants]]`
    pub tenants: Vec<TenantEntry>,
}

/// One `[[tenants]]`: it stands for the row that the database may have of this domain.
#[derive(Clone, Debug, PartialEq)]
pub struct TenantEntry {
    /// Who.
    pub domain: DomainRef,
    /// What is said of it.
    pub tenant: Tenant,
}

impl Config {
    /// What the file says of the tenant of this secretary, if it says anything.
    pub fn tenant(&self, of: &Secretary) -> Option<&Tenant> {
        let meant = |entry: &&TenantEntry| match &entry.domain {
            DomainRef::Name(name) => name.eq_ignore_ascii_case(&of.domain_name),
            DomainRef::Uuid(uuid) => *uuid == of.domain_uuid,
        };
        self.tenancy.tenants.iter().find(meant).map(|entry| &entry.tenant)
    }

    /// The same configuration with another key at this provider: `false` if it takes none.
    pub fn set_key(&mut self, provider: &ProviderKind, key: Secret) -> bool {
        let place = match provider {
            ProviderKind::OpenAi => &mut self.openai.api_key,
            ProviderKind::Azure => &mut self.azure.api_key,
            ProviderKind::OpenAiLive => &mut self.openai.live.api_key,
            ProviderKind::Gemini => &mut self.gemini.api_key,
            ProviderKind::ElevenLabs => &mut self.elevenlabs.api_key,
            // Of a pipeline's services each has a key of its own.
            ProviderKind::Pipeline | ProviderKind::TurnBased | ProviderKind::Local | ProviderKind::Unknown(_) => {
                return false;
            }
        };
        *place = Some(key);
        true
    }
}

pub(super) fn limits(raw: RawLimits, check: &mut Check<'_>) -> Limits {
    let at = |key| Place { section: "limits", key };
    check.unknown("limits", &raw.unknown, RawLimits::KEYS);
    let per_provider = "must be a table like { openai = 100, gemini = 50 }";
    let provider_calls: BTreeMap<String, u32> =
        check.shaped(at("provider_calls"), raw.provider_calls, per_provider).unwrap_or_default();
    let reservation = check.number(at("reservation_usd"), raw.reservation_usd).unwrap_or(0.25);
    if !(0.01..=100.0).contains(&reservation) {
        check.refuse(at("reservation_usd"), None, "must be 0.01 to 100");
    }
    Limits {
        provider_calls,
        refusal: status(at("refusal"), raw.refusal, check).unwrap_or(RefusalStatus::Busy),
        notice: check.text(at("notice"), raw.notice),
        notices: check.integer(at("notices"), raw.notices, 0..=1_000).unwrap_or(10),
        reservation: MicroUsd((reservation * 1_000_000.0).round() as u64),
        unpriced: unpriced(at("unpriced"), raw.unpriced, check),
        webhooks: webhooks(at("webhooks"), raw.webhooks, check),
    }
}

fn webhooks(place: Place<'_>, value: Option<Value>, check: &mut Check<'_>) -> Webhooks {
    match check.text(place, value.clone()).as_deref() {
        None | Some("public") => Webhooks::Public,
        Some("any") => Webhooks::Any,
        Some(_) => {
            check.refuse(place, value.as_ref(), "must be \"public\" or \"any\"");
            Webhooks::Public
        }
    }
}

fn unpriced(place: Place<'_>, value: Option<Value>, check: &mut Check<'_>) -> Unpriced {
    match check.text(place, value.clone()).as_deref() {
        None | Some("refuse") => Unpriced::Refuse,
        Some("allow") => Unpriced::Allow,
        Some(_) => {
            check.refuse(place, value.as_ref(), "must be \"refuse\" or \"allow\"");
            Unpriced::Refuse
        }
    }
}

pub(super) fn redis(raw: RawRedis, check: &mut Check<'_>) -> Option<Secret> {
    let at = |key| Place { section: "redis", key };
    check.unknown("redis", &raw.unknown, RawRedis::KEYS);
    let url = check.secret(at("url"), raw.url);
    let known = |url: &Secret| ["redis://", "redis+unix://"].iter().any(|scheme| url.expose().starts_with(scheme));
    if url.as_ref().is_some_and(|url| !known(url)) {
        check.refuse(at("url"), None, "must start with \"redis://\" or \"redis+unix://\"");
    }
    url
}

pub(super) fn master_keys(raw: RawSecrets, check: &mut Check<'_>) -> Keyring {
    let at = Place { section: "secrets", key: "master_keys" };
    check.unknown("secrets", &raw.unknown, RawSecrets::KEYS);
    let written = match raw.master_keys {
        None => Vec::new(),
        Some(Value::Array(items)) => items,
        // One key, or a variable with several.
        Some(Value::String(text)) => text.split(',').map(|item| Value::String(item.trim().to_owned())).collect(),
        Some(other) => vec![other],
    };
    let mut keys = Vec::new();
    for item in written {
        let read = match &item {
            Value::String(text) => secret::resolve(text, check.env),
            _ => Err("must be texts in quotes: \"env:NAME\", \"file:/path\" or the key itself".into()),
        };
        let hexadecimal = "must be 64 hexadecimal digits each; `openssl rand -hex 32` makes some";
        match read.and_then(|secret| Key::parse(secret.expose()).ok_or_else(|| hexadecimal.to_owned())) {
            Ok(key) => keys.push(key),
            Err(message) => check.refuse(at, None, message),
        }
    }
    Keyring::new(keys)
}

/// Reads one entry; `None` when it has a mistake.
pub(super) fn entry(raw: RawTenant, section: &str, check: &mut Check<'_>) -> Option<TenantEntry> {
    let at = |key| Place { section, key };
    let before = check.problems.len();
    check.unknown(section, &raw.unknown, RawTenant::KEYS);
    let domain = check.required(at("domain"), raw.domain);
    let provider = raw.provider.clone();
    let api_key = check.secret(at("api_key"), raw.api_key);
    let mut number =
        |key, value| check.integer(at(key), value, 0..=i32::MAX.unsigned_abs()).and_then(|n| i32::try_from(n).ok());
    let max_concurrent_calls = number("max_concurrent_calls", raw.max_concurrent_calls);
    let calls_per_minute = number("calls_per_minute", raw.calls_per_minute);
    let budget_alert_percent = number("budget_alert_percent", raw.budget_alert_percent);
    let retention_days = number("retention_days", raw.retention_days);
    let refusal_status = status(at("refusal"), raw.refusal, check).map(|status| i32::from(status.code()));
    let row = TenantRow {
        realtime_provider: check.text(at("provider"), raw.provider),
        api_key_encrypted: None,
        default_voice: check.text(at("voice"), raw.voice),
        language: check.text(at("language"), raw.language),
        time_zone: check.text(at("time_zone"), raw.time_zone),
        max_concurrent_calls,
        calls_per_minute,
        monthly_budget_usd: check.number(at("monthly_budget_usd"), raw.monthly_budget_usd).map(|usd| usd.to_string()),
        budget_alert_percent,
        budget_webhook: check.text(at("budget_webhook"), raw.budget_webhook),
        recording: check.flag(at("recording"), raw.recording),
        redact_transcripts: check.flag(at("redact"), raw.redact),
        retention_days,
        refusal_status,
        refusal_notice: check.text(at("notice"), raw.notice),
    };
    let parsed = Tenant::parse(row).map_err(|error| check.refuse(at(key_of(error.column)), None, error.problem));
    let mut tenant = parsed.ok()?;
    match &tenant.provider {
        Some(ProviderKind::Unknown(_)) => {
            check.refuse(at("provider"), provider.as_ref(), "is no provider that this version knows");
        }
        None if api_key.is_some() => check.refuse(at("provider"), None, "is missing: whose key is api_key?"),
        None
        | Some(
            ProviderKind::OpenAi
            | ProviderKind::Azure
            | ProviderKind::OpenAiLive
            | ProviderKind::Gemini
            | ProviderKind::ElevenLabs
            | ProviderKind::Pipeline
            | ProviderKind::TurnBased
            | ProviderKind::Local,
        ) => {}
    }
    tenant.api_key = api_key.map_or(ApiKey::OfServer, ApiKey::Plain);
    (check.problems.len() == before).then_some(())?;
    Some(TenantEntry { domain: DomainRef::from(&*domain?), tenant })
}

/// Checks what no entry can see by itself.
pub(super) fn together(tenancy: &Tenancy, check: &mut Check<'_>) {
    unique(&tenancy.tenants, check);
    callable(tenancy, check);
}

/// Refuses two entries for one domain.
fn unique(entries: &[TenantEntry], check: &mut Check<'_>) {
    let mut seen = std::collections::BTreeSet::new();
    for entry in entries {
        if !seen.insert(entry.domain.to_string().to_lowercase()) {
            let message = format!("two entries say something of {}", entry.domain);
            check.refuse(Place { section: "tenants", key: "domain" }, None, message);
        }
    }
}

/// Refuses entries that name somebody whom the server may not call.
fn callable(tenancy: &Tenancy, check: &mut Check<'_>) {
    let public = tenancy.tenants.iter().filter(|_| tenancy.limits.webhooks == Webhooks::Public);
    for entry in public {
        let webhook = entry.tenant.budget.as_ref().and_then(|budget| budget.webhook.as_deref());
        if let Some(why) = webhook.and_then(webhook::refused) {
            let message = format!("of {} {why}", entry.domain);
            check.refuse(Place { section: "tenants", key: "budget_webhook" }, None, message);
        }
    }
}

fn status(place: Place<'_>, value: Option<Value>, check: &mut Check<'_>) -> Option<RefusalStatus> {
    let code = check.integer(place, value.clone(), 0..=999)?;
    let status = i32::try_from(code).ok().and_then(RefusalStatus::of_code);
    if status.is_none() {
        check.refuse(place, value.as_ref(), STATUS);
    }
    status
}

/// The key an administrator wrote for a column.
fn key_of(column: &'static str) -> &'static str {
    match column {
        "realtime_provider" => "provider",
        "default_voice" => "voice",
        "redact_transcripts" => "redact",
        "refusal_status" => "refusal",
        "refusal_notice" => "notice",
        same => same,
    }
}
