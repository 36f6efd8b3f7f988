//! `/v1/calls`: the calls of a tenant that are up; seen, heard, sent elsewhere, ended.
use super::{
    endpoint::Endpoint,
    house::{Heard, Piece},
    input::{Id, Json, Query},
    page::{self, Page, Part, Whose},
    problem::Problem,
    scope::Scope,
    while_good::while_good,
};
use crate::{
    call::{RecordingNow, steer::Order},
    switchboard::{ListenError, LiveCall, OrderError},
};
use axum::{
    body::Bytes,
    http::{HeaderValue, StatusCode, header},
    response::Response,
    routing::MethodFilter,
};
use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::{StreamExt, stream};
use media::recording::wav;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const ALL: &str = "/v1/calls";
/// Longest name of a destination, in characters.
const LONGEST: usize = 255;

/// A call that is up.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct CallView {
    /// Its conversation, as it will be kept.
    pub(super) conversation_uuid: Uuid,
    /// Of which tenant.
    pub(super) domain_uuid: Uuid,
    /// Who answers.
    pub(super) secretary_realtime_uuid: Uuid,
    /// Her name.
    pub(super) secretary_name: String,
    /// The caller's number.
    pub(super) caller: String,
    /// What the caller dialled.
    pub(super) called: String,
    /// When it came in.
    pub(super) began_at: DateTime<Utc>,
    /// When it was answered.
    pub(super) answered_at: Option<DateTime<Utc>>,
    /// What it is doing: `ringing`, `talking`, `transferring` or `closing`.
    pub(super) state: &'static str,
    /// Since when.
    pub(super) state_since: DateTime<Utc>,
    /// Who speaks.
    pub(super) provider: String,
    /// With which model.
    pub(super) model: String,
    /// What it has cost so far, in millionths of a dollar.
    pub(super) spent_micro_usd: u64,
    /// Whether it is recorded: `no`, `yes` or `paused`.
    pub(super) recording: &'static str,
    /// How many listen in.
    pub(super) listeners: u32,
}

impl From<LiveCall> for CallView {
    fn from(call: LiveCall) -> Self {
        Self {
            conversation_uuid: call.conversation_uuid,
            domain_uuid: call.domain_uuid,
            secretary_realtime_uuid: call.secretary_uuid,
            secretary_name: call.secretary_name,
            caller: call.caller,
            called: call.called,
            began_at: call.began_at,
            answered_at: call.answered_at,
            state: call.state.as_str(),
            state_since: call.state_since,
            provider: call.provider,
            model: call.model,
            spent_micro_usd: call.spent_micro_usd,
            recording: match call.recording {
                RecordingNow::No => "no",
                RecordingNow::Yes => "yes",
                RecordingNow::Paused => "paused",
            },
            listeners: call.listeners,
        }
    }
}

/// How a call is to end.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ending {
    /// The domain, by name or UUID. A token for all domains must say it; one for a single domain need not.
    #[serde(rename = "domain")]
    pub(super) _domain: Option<String>,
    /// Whether the assistant takes leave first; only while they talk.
    pub(super) goodbye: Option<bool>,
}

/// Where a caller is to go.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Destination {
    /// A name, alias or extension of the secretary's `transfer_rules`.
    #[schemars(length(min = 1, max = 255))]
    pub(super) to: String,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new((MethodFilter::GET, ALL), ("listCalls", "Lists the calls of a domain that are up"), list)
            .query::<Part>()
            .json::<Page<CallView>>(200),
        Endpoint::new((MethodFilter::GET, "/v1/calls/{id}"), ("getCall", "Shows a call that is up"), show)
            .query::<Whose>()
            .json::<CallView>(200),
        Endpoint::new((MethodFilter::POST, "/v1/calls/{id}/hangup"), ("hangUp", "Ends a call"), hang_up)
            .query::<Ending>()
            .nothing(204),
        Endpoint::new(
            (MethodFilter::POST, "/v1/calls/{id}/transfer"),
            ("transfer", "Sends a caller elsewhere, as the assistant would"),
            transfer,
        )
        .query::<Whose>()
        .body::<Destination>()
        .nothing(202),
        Endpoint::new(
            (MethodFilter::GET, "/v1/calls/{id}/listen"),
            ("listen", "What a call sounds like, as a WAV file without end: the caller on the left"),
            listen,
        )
        .query::<Whose>()
        .bytes(200, &["audio/wav"]),
    ]
}

/// Where a call is in their order: when it began, and its UUID.
fn place(call: &LiveCall) -> String {
    format!("{} {}", call.began_at.to_rfc3339_opts(SecondsFormat::Nanos, true), call.conversation_uuid)
}

fn after(place: &str) -> Option<(DateTime<Utc>, Uuid)> {
    let (at, id) = place.split_once(' ')?;
    Some((DateTime::parse_from_rfc3339(at).ok()?.to_utc(), Uuid::try_parse(id).ok()?))
}

async fn list(scope: Scope, Query(part): Query<Part>) -> Result<axum::Json<Page<CallView>>, Problem> {
    let size = page::size(part.limit)?;
    let after = page::place(part.cursor.as_deref(), after)?;
    let calls = scope
        .calls()
        .into_iter()
        .filter(|call| after.is_none_or(|after| (call.began_at, call.conversation_uuid) > after));
    let some = calls.take(usize::try_from(size).unwrap_or(usize::MAX).saturating_add(1)).collect();
    Ok(axum::Json(Page::of(some, size, place, CallView::from)))
}

async fn show(scope: Scope, Id(id): Id, _: Query<Whose>) -> Result<axum::Json<CallView>, Problem> {
    let call = scope.calls().into_iter().find(|call| call.conversation_uuid == id);
    call.map(|call| axum::Json(call.into())).ok_or_else(Problem::absent)
}

async fn hang_up(scope: Scope, Id(id): Id, Query(ending): Query<Ending>) -> Result<StatusCode, Problem> {
    let order = if ending.goodbye.unwrap_or(false) { Order::SayGoodbye } else { Order::HangUp };
    scope.order(id, order).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

/// It has begun: how it ends, the events say.
async fn transfer(
    scope: Scope,
    Id(id): Id,
    _: Query<Whose>,
    Json(Destination { to }): Json<Destination>,
) -> Result<StatusCode, Problem> {
    if to.trim().is_empty() || to.chars().count() > LONGEST {
        return Err(Problem::field("to", format!("must have 1 to {LONGEST} characters")));
    }
    scope.order(id, Order::Transfer { to }).await.map_err(refused)?;
    Ok(StatusCode::ACCEPTED)
}

async fn listen(scope: Scope, Id(id): Id, _: Query<Whose>) -> Result<Response, Problem> {
    let Heard { rate, pieces } = scope.listen(id).await.map_err(|why| match why {
        ListenError::NotFound => Problem::absent(),
        ListenError::NotAllowed => Problem::new(StatusCode::FORBIDDEN, "not-allowed", sentence(&why)),
        ListenError::NotNow(_) => Problem::new(StatusCode::CONFLICT, "not-now", sentence(&why)),
        ListenError::TooMany | ListenError::Busy => Problem::unavailable(sentence(&why)),
    })?;
    let header = Bytes::copy_from_slice(&wav::header(rate, u64::MAX));
    let pieces = stream::iter([header]).chain(pieces.map(|sound| samples(&sound)));
    let mut response = Response::new(while_good(scope, pieces.map(Ok).boxed())?);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("audio/wav"));
    Ok(response)
}

/// A piece of a WAV file. What was missed is silence, so that the clock stays right; not more than there may be memory for.
fn samples(Piece { missed, samples }: &Piece) -> Bytes {
    const MOST: u64 = 16_000 * 60;
    let silence = usize::try_from((*missed).min(MOST)).unwrap_or_default() * 4;
    let mut bytes = vec![0; silence];
    bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    bytes.into()
}

fn refused(why: OrderError) -> Problem {
    match &why {
        OrderError::NotFound => Problem::absent(),
        OrderError::NotNow(_) => Problem::new(StatusCode::CONFLICT, "not-now", sentence(&why)),
        OrderError::NoSuchDestination(_) => Problem::field("to", sentence(&why)),
        OrderError::Busy => Problem::unavailable(sentence(&why)),
    }
}

fn sentence(why: &impl ToString) -> String {
    format!("{}.", why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_listener_missed_is_silence_of_its_length() {
        let piece = Piece { missed: 2, samples: vec![1, -1] };
        assert_eq!(*samples(&piece), [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 255, 255]);
        let most = samples(&Piece { missed: u64::MAX, samples: Vec::new() });
        assert_eq!(most.len(), 16_000 * 60 * 4);
    }
}
