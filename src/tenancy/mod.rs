//! A tenant, which is a domain of the PBX: what is said of all its calls together. PURE.
pub mod budget;
pub mod limits;
mod month;
pub mod webhook;

use crate::{
    config::Secret,
    record::MicroUsd,
    secretary::{self, OfTenant, ProviderKind, Secretary},
};
use chrono_tz::Tz;
pub use month::Month;
use thiserror::Error;

/// Most calls at once, and most new calls a minute, that a tenant may be configured for.
const MOST_CALLS: i32 = 100_000;
/// Longest time zone, voice or notice, in characters.
const LONGEST: usize = 1_000;
/// Of the budget; from there on somebody is told.
const ALERT_PERCENT: i32 = 80;
const MICROS: u64 = 1_000_000;

/// What is said of a tenant, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenant {
    /// Who speaks for secretaries that name nobody; [`Tenant::api_key`] is a key of this provider.
    pub provider: Option<ProviderKind>,
    /// Its own key at that provider.
    pub api_key: ApiKey,
    /// For secretaries of that provider that name no voice.
    pub default_voice: Option<String>,
    /// BCP 47, for secretaries that name no language.
    pub language: Option<String>,
    /// Whether calls are recorded whose secretary does not say.
    pub recording: Option<bool>,
    /// Whether numbers of cards and e-mail addresses are left out of what is kept of a conversation.
    pub redact: bool,
    /// How long conversations and recordings are to be kept, in days; `None` for ever.
    pub retention_days: Option<u32>,
    /// Most calls at once.
    pub max_concurrent_calls: Option<u32>,
    /// Most new calls within any 60 seconds.
    pub calls_per_minute: Option<u32>,
    /// What its calls may cost.
    pub budget: Option<Budget>,
    /// Where its months begin.
    pub time_zone: Tz,
    /// How a call beyond a limit is refused; what is `None` is as the server says.
    pub refusal: Refusal,
}

impl Default for Tenant {
    /// A tenant of whom nothing is said: no limit, and everything as the server has it.
    fn default() -> Self {
        Self {
            provider: None,
            api_key: ApiKey::OfServer,
            default_voice: None,
            language: None,
            recording: None,
            redact: false,
            retention_days: None,
            max_concurrent_calls: None,
            calls_per_minute: None,
            budget: None,
            time_zone: Tz::UTC,
            refusal: Refusal::default(),
        }
    }
}

/// Whose key pays for the calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiKey {
    /// The server's.
    OfServer,
    /// Its own, sealed, as [`crate::vault`] writes it.
    Sealed(String),
    /// Its own.
    Plain(Secret),
}

/// What the calls of a month may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// In the tenant's time zone, from the first of a month to the next.
    pub monthly: MicroUsd,
    /// When this much of it is spent somebody is told, in percent: 1 to 100.
    pub alert_percent: u32,
    /// Who is told, beside the log: `http://` or `https://`.
    pub webhook: Option<String>,
}

impl Budget {
    /// When so much is spent, somebody is told.
    pub fn alert_at(&self) -> MicroUsd {
        let MicroUsd(monthly) = self.monthly;
        MicroUsd((u128::from(monthly) * u128::from(self.alert_percent) / 100).try_into().unwrap_or(monthly))
    }
}

/// How a call beyond a limit is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// By which status.
    pub status: Option<RefusalStatus>,
    /// Said to the caller first, by a voice of this process.
    pub notice: Option<String>,
}

/// The status of a refusal for a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalStatus {
    /// The caller hears that the line is busy.
    Busy,
    /// The PBX goes elsewhere with the call, if it can.
    Unavailable,
}

impl RefusalStatus {
    /// RFC 3261 §21.4.24 and §21.5.4.
    pub const fn code(self) -> u16 {
        match self {
            Self::Busy => 486,
            Self::Unavailable => 503,
        }
    }

    /// From its code.
    pub const fn of_code(code: i32) -> Option<Self> {
        match code {
            486 => Some(Self::Busy),
            503 => Some(Self::Unavailable),
            _ => None,
        }
    }
}

/// A row of `v_voice_tenants` as the database gives it; NULL is nothing said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantRow {
    /// `realtime_provider`.
    pub realtime_provider: Option<String>,
    /// `api_key_encrypted`.
    pub api_key_encrypted: Option<String>,
    /// `default_voice`.
    pub default_voice: Option<String>,
    /// `language`.
    pub language: Option<String>,
    /// `time_zone`.
    pub time_zone: Option<String>,
    /// `max_concurrent_calls`.
    pub max_concurrent_calls: Option<i32>,
    /// `calls_per_minute`.
    pub calls_per_minute: Option<i32>,
    /// `monthly_budget_usd`, a decimal number.
    pub monthly_budget_usd: Option<String>,
    /// `budget_alert_percent`.
    pub budget_alert_percent: Option<i32>,
    /// `budget_webhook`.
    pub budget_webhook: Option<String>,
    /// `recording`.
    pub recording: Option<bool>,
    /// `redact_transcripts`.
    pub redact_transcripts: Option<bool>,
    /// `retention_days`.
    pub retention_days: Option<i32>,
    /// `refusal_status`.
    pub refusal_status: Option<i32>,
    /// `refusal_notice`.
    pub refusal_notice: Option<String>,
}

/// A column that does not say anything we can do. Calls of this tenant are refused: a limit that cannot be read is not
/// no limit.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("settings of the tenant, {column}: {problem}")]
pub struct TenantError {
    /// Which column of `v_voice_tenants`.
    pub column: &'static str,
    /// What is there and what is allowed.
    pub problem: String,
}

impl Tenant {
    /// Checks a row.
    ///
    /// # Errors
    /// The first column whose value is not allowed.
    pub fn parse(row: TenantRow) -> Result<Self, TenantError> {
        let provider = words("realtime_provider", row.realtime_provider)?;
        let api_key = words("api_key_encrypted", row.api_key_encrypted)?;
        if api_key.is_some() && provider.is_none() {
            return Err(wrong("realtime_provider", "is empty; say which provider the tenant's own key is for"));
        }
        let language = words("language", row.language)?;
        if let Some(tag) = &language {
            secretary::language_tag(tag).map_err(|problem| TenantError { column: "language", problem })?;
        }
        let alert_percent = within("budget_alert_percent", row.budget_alert_percent, 1..=100)?;
        let webhook = words("budget_webhook", row.budget_webhook)?;
        if webhook.as_deref().is_some_and(|url| !url.starts_with("https://") && !url.starts_with("http://")) {
            return Err(wrong("budget_webhook", "must start with \"https://\" or \"http://\""));
        }
        let alert_percent = alert_percent.unwrap_or(ALERT_PERCENT.unsigned_abs());
        let monthly = row.monthly_budget_usd.as_deref().map(dollars).transpose()?;
        let status = row.refusal_status.map(|code| {
            RefusalStatus::of_code(code)
                .ok_or_else(|| wrong("refusal_status", format!("{code} is neither 486 nor 503")))
        });
        Ok(Self {
            provider: provider.as_deref().map(ProviderKind::parse),
            api_key: api_key.map_or(ApiKey::OfServer, ApiKey::Sealed),
            default_voice: words("default_voice", row.default_voice)?,
            language,
            recording: row.recording,
            redact: row.redact_transcripts.unwrap_or(false),
            retention_days: within("retention_days", row.retention_days, 1..=36_500)?,
            max_concurrent_calls: within("max_concurrent_calls", row.max_concurrent_calls, 0..=MOST_CALLS)?,
            calls_per_minute: within("calls_per_minute", row.calls_per_minute, 0..=MOST_CALLS)?,
            budget: monthly.map(|monthly| Budget { monthly, alert_percent, webhook }),
            time_zone: zone(words("time_zone", row.time_zone)?.as_deref())?,
            refusal: Refusal { status: status.transpose()?, notice: words("refusal_notice", row.refusal_notice)? },
        })
    }

    /// Fills in what a secretary leaves to her tenant.
    pub fn complete(&self, secretary: &mut Secretary) {
        if let (ProviderKind::Unknown(name), Some(provider)) = (&secretary.provider, &self.provider)
            && name.is_empty()
        {
            secretary.provider = provider.clone();
        }
        // A voice of one provider means nothing to another.
        if secretary.voice_id.is_none() && self.provider.as_ref().is_none_or(|of| *of == secretary.provider) {
            secretary.voice_id.clone_from(&self.default_voice);
        }
        if secretary.provider_config.language.is_none() {
            secretary.provider_config.language.clone_from(&self.language);
        }
        secretary.recording = secretary.recording.or(self.recording);
        let own_key = self.provider.clone().filter(|_| self.api_key != ApiKey::OfServer);
        let own_key = own_key.map(|provider| (provider, secretary.domain_name.clone()));
        secretary.of_tenant = OfTenant { own_key, redact: self.redact };
    }
}

fn wrong(column: &'static str, problem: impl Into<String>) -> TenantError {
    TenantError { column, problem: problem.into() }
}

fn words(column: &'static str, text: Option<String>) -> Result<Option<String>, TenantError> {
    let text = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    match text.as_ref().map(|text| text.chars().count()) {
        Some(length) if length > LONGEST => Err(wrong(column, format!("has more than {LONGEST} characters"))),
        _ => Ok(text),
    }
}

fn within(
    column: &'static str,
    value: Option<i32>,
    allowed: std::ops::RangeInclusive<i32>,
) -> Result<Option<u32>, TenantError> {
    let Some(value) = value else { return Ok(None) };
    let number = u32::try_from(value).ok().filter(|_| allowed.contains(&value));
    let problem = || wrong(column, format!("{value} is outside {} to {}", allowed.start(), allowed.end()));
    number.map(Some).ok_or_else(problem)
}

fn zone(name: Option<&str>) -> Result<Tz, TenantError> {
    let Some(name) = name else { return Ok(Tz::UTC) };
    name.parse().map_err(|_| wrong("time_zone", format!("{name:?} is no time zone like \"America/Sao_Paulo\"")))
}

/// Reads a sum of money exactly: what stands behind the sixth decimal is refused, not rounded.
///
/// # Errors
/// It is none, or not exact.
pub fn dollars(text: &str) -> Result<MicroUsd, TenantError> {
    let text = text.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let (kept, rest) = fraction.split_at_checked(6).unwrap_or((fraction, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let micros = || {
        let whole: u64 = whole.parse().ok()?;
        let fraction: u64 = format!("{kept:0<6}").parse().ok()?;
        whole.checked_mul(MICROS)?.checked_add(fraction)
    };
    let well_formed = digits(whole) && digits(fraction) && rest.bytes().all(|byte| byte == b'0');
    let sum = well_formed.then(micros).flatten().filter(|micros| i64::try_from(*micros).is_ok());
    sum.map(MicroUsd).ok_or_else(|| wrong("monthly_budget_usd", format!("{text:?} is no sum of dollars like 100.00")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        breaker::Circuit,
        secretary::{Identity, SecretaryRow},
    };
    use uuid::Uuid;

    fn secretary(change: impl FnOnce(&mut SecretaryRow)) -> Secretary {
        let mut row = SecretaryRow { secretary_name: "Ana".into(), ..SecretaryRow::default() };
        change(&mut row);
        let identity = Identity {
            secretary_realtime_uuid: Uuid::nil(),
            domain_uuid: Uuid::nil(),
            domain_name: "a.example".into(),
        };
        Secretary::parse(identity, row).unwrap()
    }

    #[test]
    fn an_empty_row_limits_nothing() {
        assert_eq!(Tenant::parse(TenantRow::default()).unwrap(), Tenant::default());
    }

    #[test]
    fn each_column_is_checked_and_named() {
        let text = |text: &str| Some(text.to_owned());
        let cases: [(&str, TenantRow); 9] = [
            ("max_concurrent_calls", TenantRow { max_concurrent_calls: Some(-1), ..TenantRow::default() }),
            ("calls_per_minute", TenantRow { calls_per_minute: Some(100_001), ..TenantRow::default() }),
            ("monthly_budget_usd", TenantRow { monthly_budget_usd: text("-1"), ..TenantRow::default() }),
            ("budget_alert_percent", TenantRow { budget_alert_percent: Some(0), ..TenantRow::default() }),
            ("budget_webhook", TenantRow { budget_webhook: text("ftp://x"), ..TenantRow::default() }),
            ("time_zone", TenantRow { time_zone: text("Mars/Olympus"), ..TenantRow::default() }),
            ("language", TenantRow { language: text("português"), ..TenantRow::default() }),
            ("refusal_status", TenantRow { refusal_status: Some(404), ..TenantRow::default() }),
            ("realtime_provider", TenantRow { api_key_encrypted: text("v1.x"), ..TenantRow::default() }),
        ];
        for (column, row) in cases {
            assert_eq!(Tenant::parse(row).unwrap_err().column, column);
        }
    }

    #[test]
    fn money_is_read_to_the_millionth_and_not_beyond() {
        for (text, micros) in [
            ("100", Some(100_000_000)),
            ("100.00", Some(100_000_000)),
            ("0.000001", Some(1)),
            ("12.3456000", Some(12_345_600)),
            (" 0 ", Some(0)),
            ("0.0000001", None),
            ("1e3", None),
            ("1,5", None),
            ("", None),
            (".5", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(dollars(text).ok().map(|MicroUsd(micros)| micros), micros, "{text}");
        }
    }

    #[test]
    fn what_a_secretary_does_not_say_holds_for_her_calls() {
        let text = |text: &str| Some(text.to_owned());
        let mut row =
            TenantRow { realtime_provider: text("openai"), redact_transcripts: Some(true), ..TenantRow::default() };
        let mut ana = secretary(|_| ());
        Tenant::parse(row.clone()).unwrap().complete(&mut ana);
        assert_eq!(ana.of_tenant, OfTenant { own_key: None, redact: true });
        row.api_key_encrypted = text("v1.x");
        Tenant::parse(row).unwrap().complete(&mut ana);
        let circuit = |provider| Circuit { provider, at: "here".into(), key_of: None };
        assert_eq!(ana.of_tenant.circuit(circuit("openai")).key_of.as_deref(), Some("a.example"));
        assert_eq!(ana.of_tenant.circuit(circuit("gemini")).key_of, None);
    }

    #[test]
    fn a_secretary_says_more_than_her_tenant() {
        let row = TenantRow {
            realtime_provider: Some("openai".into()),
            default_voice: Some("marin".into()),
            language: Some("pt-BR".into()),
            recording: Some(true),
            ..TenantRow::default()
        };
        let tenant = Tenant::parse(row).unwrap();
        let mut silent = secretary(|_| ());
        tenant.complete(&mut silent);
        assert_eq!((silent.provider, silent.voice_id.as_deref()), (ProviderKind::OpenAi, Some("marin")));
        assert_eq!((silent.provider_config.language.as_deref(), silent.recording), (Some("pt-BR"), Some(true)));
        let mut telling = secretary(|row| {
            row.realtime_provider = "openai".into();
            row.voice_id = Some("cedar".into());
            row.provider_config = Some(r#"{"language":"en"}"#.into());
            row.recording = Some(false);
        });
        let before = telling.clone();
        tenant.complete(&mut telling);
        assert_eq!(telling, before);
        let mut other = secretary(|row| row.realtime_provider = "gemini".into());
        tenant.complete(&mut other);
        assert_eq!(other.voice_id, None, "a voice of another provider");
    }

    #[test]
    fn the_alert_is_a_share_of_the_budget() {
        let budget = |monthly, alert_percent| Budget { monthly: MicroUsd(monthly), alert_percent, webhook: None };
        assert_eq!(budget(100_000_000, 80).alert_at(), MicroUsd(80_000_000));
        assert_eq!(budget(u64::MAX, 100).alert_at(), MicroUsd(u64::MAX));
    }
}
