//! `/v1/providers/check` and `/v1/voices/preview`: whether a provider would take a call, and how its voice sounds, without a phone.
use super::{
    endpoint::Endpoint,
    house::{Ladder, Tried, Untried},
    input::{Json, Query},
    page::Whose,
    problem::Problem,
    scope::Scope,
};
use crate::{
    secretary::{Secretary, SecretaryRow},
    tenancy::Tenant,
    wav,
};
use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
    routing::MethodFilter,
};
use providers::{Failure, FailureKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::Duration;
use uuid::Uuid;

/// Longest text that is said, in characters.
pub(super) const LONGEST: usize = 300;
/// Longest name of a provider, and of a voice, as their columns have it.
const LONGEST_PROVIDER: usize = 50;
const LONGEST_VOICE: usize = 100;
/// When another may be tried.
const LATER: Duration = Duration::from_secs(5);

/// Who is tried: a secretary, with all of her ladder, or a provider.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckBody {
    /// Who is tried; then nothing else is said.
    pub(super) secretary: Option<Uuid>,
    /// Or who speaks, as in a secretary; empty for the tenant's.
    #[schemars(length(max = 50), example = &"local")]
    pub(super) realtime_provider: Option<String>,
    /// Model, language, parts, ladder, as in a secretary.
    pub(super) provider_config: Option<Map<String, Value>>,
}

/// Whose voice is heard: that of a secretary, or of a provider.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PreviewBody {
    /// Whose voice; then nothing is said but the text.
    pub(super) secretary: Option<Uuid>,
    /// Or who speaks, as in a secretary; empty for the tenant's.
    #[schemars(length(max = 50), example = &"local")]
    pub(super) realtime_provider: Option<String>,
    /// Model, language, parts, as in a secretary.
    pub(super) provider_config: Option<Map<String, Value>>,
    /// The provider's name of a voice.
    #[schemars(length(max = 100))]
    pub(super) voice_id: Option<String>,
    /// How that voice speaks.
    pub(super) voice_settings: Option<Map<String, Value>>,
    /// What is said; without it, the secretary's first message.
    #[schemars(length(min = 1, max = 300), example = &"Good morning. How may I help you?")]
    pub(super) text: Option<String>,
}

/// What became of it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct CheckView {
    /// Whether calls would find every rung as it is configured.
    pub(super) ok: bool,
    /// The rungs of the ladder, in its order.
    pub(super) rungs: Vec<RungView>,
    /// What of the configuration is missing, or cannot be done.
    pub(super) missing: Vec<String>,
}

/// What became of one rung.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct RungView {
    /// Who speaks.
    pub(super) provider: &'static str,
    /// Its model or engines.
    pub(super) engine: String,
    /// Whether a call could begin.
    pub(super) ok: bool,
    /// How long the connection took: name, TCP, TLS and upgrade; null where there was none.
    pub(super) connected_ms: Option<u64>,
    /// How long it took until a call could begin.
    pub(super) ready_ms: Option<u64>,
    /// Why it could not: `authentication`, `quota`, `protocol`, `session expired`, `connection`, `unavailable`, `rate limit` or
    /// `silence`.
    pub(super) failure: Option<&'static str>,
    /// What to do about that.
    pub(super) advice: Option<&'static str>,
    /// What the provider said of it.
    pub(super) told: Option<String>,
}

impl From<Ladder> for CheckView {
    fn from(Ladder { rungs, missing }: Ladder) -> Self {
        let rungs: Vec<RungView> = rungs.into_iter().map(RungView::from).collect();
        Self { ok: missing.is_empty() && rungs.iter().all(|rung| rung.ok), rungs, missing }
    }
}

impl From<Tried> for RungView {
    fn from(Tried { provider, engine, connected, ready }: Tried) -> Self {
        let failure = ready.as_ref().err();
        Self {
            provider,
            engine,
            ok: failure.is_none(),
            connected_ms: connected.map(millis),
            ready_ms: ready.as_ref().ok().copied().map(millis),
            failure: failure.map(|failure| failure.kind.as_str()),
            advice: failure.map(|failure| advice(failure.kind)),
            told: failure.and_then(told),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Whoever refuses a key may quote it.
fn told(failure: &Failure) -> Option<String> {
    (failure.kind != FailureKind::Authentication).then(|| failure.message.clone())
}

/// What a person does about it.
const fn advice(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Authentication => {
            "The key is wrong, was revoked, or may not do this: set the key of this provider anew."
        }
        FailureKind::Quota => "The account is without credit: pay something in at the provider, or raise its limit.",
        FailureKind::Protocol => {
            "The provider does not take what it is sent: look at model, voice and provider_config."
        }
        FailureKind::SessionExpired => "The provider ended the session at its very beginning: try again.",
        FailureKind::Connection => {
            "The provider is not reached: look at its address, and at DNS, firewall and certificates of this server."
        }
        FailureKind::Unavailable => {
            "The provider is there and cannot at this moment: try again, and have another one below it in the ladder."
        }
        FailureKind::Rate => "More is asked for than the account may: try again, or have its limits raised.",
        FailureKind::Silence => {
            "The provider takes the connection and does not answer: look at its address and status page."
        }
    }
}

/// Whether the same may fare better a moment later, with nothing mended.
const fn may_pass(kind: FailureKind) -> bool {
    match kind {
        FailureKind::Authentication | FailureKind::Quota | FailureKind::Protocol => false,
        FailureKind::SessionExpired
        | FailureKind::Connection
        | FailureKind::Unavailable
        | FailureKind::Rate
        | FailureKind::Silence => true,
    }
}

impl From<Untried> for Problem {
    fn from(why: Untried) -> Self {
        let sentence = format!("Nothing was tried: {why}.");
        match why {
            Untried::Engaged => Self::new(StatusCode::CONFLICT, "engaged", sentence).later(LATER),
            Untried::Busy => Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many", sentence).later(LATER),
            Untried::Unfit(why) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unfit", format!("{why}.")),
            Untried::Failed(failure) => {
                let told = told(&failure).map(|told| format!(" It says: {told}")).unwrap_or_default();
                let detail = format!("{}{told}", advice(failure.kind));
                let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "provider", detail);
                if may_pass(failure.kind) { problem.later(LATER) } else { problem }
            }
            Untried::Ending => Self::unavailable("The server is ending."),
            Untried::Broken(why) => Self::ours(why),
        }
    }
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(
            (MethodFilter::POST, "/v1/providers/check"),
            ("checkProvider", "Whether a provider, or each of a secretary's ladder, would take a call"),
            check,
        )
        .query::<Whose>()
        .body::<CheckBody>()
        .json::<CheckView>(200),
        Endpoint::new(
            (MethodFilter::POST, "/v1/voices/preview"),
            ("previewVoice", "A voice says a text, as a WAV file of 20 seconds at most"),
            preview,
        )
        .query::<Whose>()
        .body::<PreviewBody>()
        .bytes(200, &["audio/wav"]),
    ]
}

async fn check(scope: Scope, _: Query<Whose>, Json(body): Json<CheckBody>) -> Result<axum::Json<CheckView>, Problem> {
    let CheckBody { secretary, realtime_provider, provider_config } = body;
    let row = row(realtime_provider, provider_config)?;
    let who = who(&scope, secretary, row).await?;
    match scope.check(&who).await {
        Ok(ladder) => Ok(axum::Json(ladder.into())),
        // That is what was asked for.
        Err(Untried::Unfit(why)) => Ok(axum::Json(Ladder { rungs: Vec::new(), missing: vec![why] }.into())),
        Err(why) => Err(why.into()),
    }
}

async fn preview(scope: Scope, _: Query<Whose>, Json(body): Json<PreviewBody>) -> Result<Response, Problem> {
    let PreviewBody { secretary, realtime_provider, provider_config, voice_id, voice_settings, text } = body;
    if text.as_ref().is_some_and(|text| text.trim().is_empty() || text.chars().count() > LONGEST) {
        return Err(Problem::field("text", format!("must have 1 to {LONGEST} characters")));
    }
    if voice_id.as_ref().is_some_and(|voice| voice.chars().count() > LONGEST_VOICE) {
        return Err(Problem::field("voice_id", format!("has more than {LONGEST_VOICE} characters")));
    }
    let voice_settings = voice_settings.map(|settings| Value::Object(settings).to_string());
    let row = match row(realtime_provider, provider_config)? {
        Some(row) => Some(SecretaryRow { voice_id, voice_settings, ..row }),
        None if voice_id.is_some() || voice_settings.is_some() => {
            return Err(Problem::field("voice_id", "goes with realtime_provider: a secretary has her own"));
        }
        None => None,
    };
    let who = who(&scope, secretary, row).await?;
    let text = text.or_else(|| who.0.first_message.clone());
    let text =
        text.ok_or_else(|| Problem::field("text", "is missing: there is no first message that could be said"))?;
    let sound = scope.preview(&who, text.trim()).await?;
    let mut response = Response::new(Body::from(wav::mono(&sound).map_err(Problem::ours)?));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("audio/wav"));
    Ok(response)
}

/// Somebody who is asked for by the name of a provider.
fn row(
    realtime_provider: Option<String>,
    provider_config: Option<Map<String, Value>>,
) -> Result<Option<SecretaryRow>, Problem> {
    let Some(realtime_provider) = realtime_provider else {
        return match provider_config {
            Some(_) => Err(Problem::field("provider_config", "goes with realtime_provider: a secretary has her own")),
            None => Ok(None),
        };
    };
    if realtime_provider.chars().count() > LONGEST_PROVIDER {
        return Err(Problem::field("realtime_provider", format!("has more than {LONGEST_PROVIDER} characters")));
    }
    let provider_config = provider_config.map(|config| Value::Object(config).to_string());
    let secretary_name = "of this request".to_owned();
    Ok(Some(SecretaryRow { secretary_name, realtime_provider, provider_config, ..SecretaryRow::default() }))
}

/// The one who is meant.
async fn who(
    scope: &Scope,
    secretary: Option<Uuid>,
    row: Option<SecretaryRow>,
) -> Result<(Secretary, Tenant), Problem> {
    match (secretary, row) {
        (Some(id), None) => scope.completed(id).await,
        (None, Some(row)) => scope.somebody(&row).await,
        (Some(_), Some(_)) => Err(Problem::field("realtime_provider", "goes without secretary, who has her own")),
        (None, None) => Err(Problem::field("secretary", "is missing: say a secretary, or a realtime_provider")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;

    #[test]
    fn what_may_pass_says_when_to_try_again() {
        let waits = |kind| {
            let failed = Untried::Failed(Failure { kind, message: "x".into() });
            Problem::from(failed).into_response().headers().contains_key(header::RETRY_AFTER)
        };
        assert!(waits(FailureKind::Unavailable) && waits(FailureKind::Rate) && waits(FailureKind::Connection));
        assert!(!waits(FailureKind::Authentication) && !waits(FailureKind::Quota) && !waits(FailureKind::Protocol));
    }

    #[test]
    fn what_failed_is_told_with_what_to_do_and_a_key_is_not_quoted() {
        let tried = |kind| Tried {
            provider: "openai",
            engine: "m".into(),
            connected: Some(Duration::from_millis(30)),
            ready: Err(Failure { kind, message: "Incorrect API key provided: sk-1".into() }),
        };
        let view = CheckView::from(Ladder { rungs: vec![tried(FailureKind::Authentication)], missing: Vec::new() });
        let [rung] = &view.rungs[..] else { panic!("one") };
        assert!(!view.ok && !rung.ok && rung.told.is_none() && rung.advice.unwrap().contains("key"), "{rung:?}");
        assert_eq!((rung.failure, rung.connected_ms, rung.ready_ms), (Some("authentication"), Some(30), None));
        assert!(RungView::from(tried(FailureKind::Quota)).told.is_some());
        let ready = Tried { ready: Ok(Duration::from_millis(90)), ..tried(FailureKind::Quota) };
        let view = CheckView::from(Ladder { rungs: vec![ready.clone()], missing: Vec::new() });
        assert_eq!((view.ok, view.rungs[0].ready_ms, view.rungs[0].failure), (true, Some(90), None));
        assert!(!CheckView::from(Ladder { rungs: vec![ready], missing: vec!["x".into()] }).ok);
        let problem = Problem::from(Untried::Failed(tried(FailureKind::Authentication).ready.unwrap_err()));
        assert!(problem.status == 422 && !problem.detail.contains("sk-1"), "{problem:?}");
    }
}
