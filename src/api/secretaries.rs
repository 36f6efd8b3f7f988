//! `/v1/secretaries`: the assistants of a tenant, by the columns of their table.
use super::{
    endpoint::Endpoint,
    input::{Id, Json, Query},
    page::{self, Page, Part, Whose},
    problem::{FieldError, Problem},
    scope::Scope,
};
use crate::{
    knowledge::MOST_COLLECTIONS,
    secretary::{Secretary, SecretaryRow},
    store::{Placed, Stored, WrittenSecretary},
};
use axum::{
    http::{HeaderName, StatusCode, header},
    routing::MethodFilter,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use uuid::Uuid;

const ALL: &str = "/v1/secretaries";
const ONE: &str = "/v1/secretaries/{id}";
/// Longest key of a row, in bytes: whoever else writes a file may have others than UUIDs.
const LONGEST_KEY: usize = 64;

/// What is said of a secretary. What is absent has its default; docs/configuration.md has what each may be.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretaryBody {
    /// For people.
    #[schemars(length(min = 1, max = 255))]
    pub(super) secretary_name: String,
    /// What callers dial; only one secretary of a tenant has it.
    #[schemars(length(max = 15))]
    pub(super) extension: Option<String>,
    /// Which chain answers: `realtime`, `turn_based` or `auto`.
    pub(super) processing_mode: Option<String>,
    /// Who speaks; empty for the tenant's.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub(super) realtime_provider: String,
    /// Model, language, turn detection, parts, ladder.
    pub(super) provider_config: Option<Map<String, Value>>,
    /// The provider's name of a voice.
    #[schemars(length(max = 100))]
    pub(super) voice_id: Option<String>,
    /// How that voice speaks.
    pub(super) voice_settings: Option<Map<String, Value>>,
    /// What the model is told to be.
    pub(super) system_prompt: Option<String>,
    /// What is said when the call is answered.
    pub(super) first_message: Option<String>,
    /// How sure the provider's detector must be that it hears speech.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(super) vad_threshold: Option<f64>,
    /// How much quiet ends the caller's turn.
    #[schemars(range(min = 100, max = 10_000))]
    pub(super) silence_duration_ms: Option<i32>,
    /// Whether the model may call functions.
    pub(super) enable_functions: Option<bool>,
    /// Tools beyond those every secretary has.
    pub(super) functions_config: Option<Vec<Value>>,
    /// Whether the model may look things up in `rag_collection_id`, which must be there then.
    pub(super) enable_rag: Option<bool>,
    /// A collection of `/v1/knowledge`.
    pub(super) rag_collection_id: Option<Uuid>,
    /// Where callers may be sent.
    pub(super) transfer_rules: Option<Vec<Value>>,
    /// What the caller's keys do.
    pub(super) dtmf_menu: Option<Map<String, Value>>,
    /// The call says goodbye after this long.
    #[schemars(range(min = 1, max = 86_400))]
    pub(super) max_duration_seconds: Option<i32>,
    /// The call says goodbye after this many turns of the caller.
    #[schemars(range(min = 1, max = 10_000))]
    pub(super) max_turns: Option<i32>,
    /// Whether her calls are recorded.
    pub(super) recording: Option<bool>,
    /// Whether the model may pause the recording.
    pub(super) recording_pause: Option<bool>,
    /// Most calls with her at once.
    #[schemars(range(min = 0, max = 100_000))]
    pub(super) max_concurrent_calls: Option<i32>,
    /// Whether she takes calls.
    pub(super) enabled: Option<bool>,
}

/// A secretary as she is stored.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct SecretaryView {
    /// Which.
    pub(super) secretary_realtime_uuid: Uuid,
    /// Of which tenant.
    pub(super) domain_uuid: Uuid,
    /// What is said of her.
    pub(super) settings: SecretaryBody,
    /// What is not right in what is stored: her calls are refused, or go without what she may look up if it is `rag_collection_id`.
    pub(super) problem: Option<FieldError>,
}

impl SecretaryView {
    /// As she is stored in a tenant that has these collections.
    fn of(Stored { identity, row }: Stored, collections: &BTreeSet<Uuid>) -> Self {
        let (secretary_realtime_uuid, domain_uuid) = (identity.secretary_realtime_uuid, identity.domain_uuid);
        let problem = match Secretary::parse(identity, row.clone()) {
            Ok(secretary) => unknown_knowledge(&secretary, collections),
            Err(error) => Some((error.column, error.problem)),
        };
        let problem = problem.map(|(column, message)| FieldError { field: column.to_owned(), message });
        Self { secretary_realtime_uuid, domain_uuid, settings: row.into(), problem }
    }
}

fn unknown_knowledge(secretary: &Secretary, collections: &BTreeSet<Uuid>) -> Option<(&'static str, String)> {
    let problem = match secretary.rag_collection_id {
        _ if !secretary.enable_rag => return None,
        Some(id) if collections.contains(&id) => return None,
        Some(_) => "is no collection of this domain: nothing is found in it",
        None => "is not there: there is nothing to look up",
    };
    Some(("rag_collection_id", problem.to_owned()))
}

fn looks_up(stored: &Stored) -> bool {
    stored.row.rag_collection_id.is_some()
}

/// The tenant's collections, if a secretary has one.
async fn collections(scope: &Scope, wanted: bool) -> Result<BTreeSet<Uuid>, Problem> {
    if !wanted {
        return Ok(BTreeSet::new());
    }
    let all = scope.collections(Uuid::nil(), MOST_COLLECTIONS).await?;
    Ok(all.into_iter().map(|collection| collection.knowledge_uuid).collect())
}

async fn shown(scope: &Scope, id: Uuid) -> Result<axum::Json<SecretaryView>, Problem> {
    let stored = scope.secretary(id).await?;
    let collections = collections(scope, looks_up(&stored)).await?;
    Ok(axum::Json(SecretaryView::of(stored, &collections)))
}

/// JSON that is not of the right kind is shown as absent; the problem says so.
fn json<T: DeserializeOwned>(text: Option<String>) -> Option<T> {
    serde_json::from_str(&text?).ok()
}

impl From<SecretaryRow> for SecretaryBody {
    fn from(row: SecretaryRow) -> Self {
        Self {
            secretary_name: row.secretary_name,
            extension: row.extension,
            processing_mode: row.processing_mode,
            realtime_provider: row.realtime_provider,
            provider_config: json(row.provider_config),
            voice_id: row.voice_id,
            voice_settings: json(row.voice_settings),
            system_prompt: row.system_prompt,
            first_message: row.first_message,
            vad_threshold: row.vad_threshold,
            silence_duration_ms: row.silence_duration_ms,
            enable_functions: row.enable_functions,
            functions_config: json(row.functions_config),
            enable_rag: row.enable_rag,
            rag_collection_id: row.rag_collection_id.and_then(|id| id.parse().ok()),
            transfer_rules: json(row.transfer_rules),
            dtmf_menu: json(row.dtmf_menu),
            max_duration_seconds: row.max_duration_seconds,
            max_turns: row.max_turns,
            recording: row.recording,
            recording_pause: row.recording_pause,
            max_concurrent_calls: row.max_concurrent_calls,
            enabled: row.enabled,
        }
    }
}

impl From<SecretaryBody> for SecretaryRow {
    fn from(body: SecretaryBody) -> Self {
        let object = |map: Option<Map<String, Value>>| map.map(|map| Value::Object(map).to_string());
        let array = |items: Option<Vec<Value>>| items.map(|items| Value::Array(items).to_string());
        Self {
            secretary_name: body.secretary_name,
            extension: body.extension,
            processing_mode: body.processing_mode,
            realtime_provider: body.realtime_provider,
            provider_config: object(body.provider_config),
            voice_id: body.voice_id,
            voice_settings: object(body.voice_settings),
            system_prompt: body.system_prompt,
            first_message: body.first_message,
            vad_threshold: body.vad_threshold,
            silence_duration_ms: body.silence_duration_ms,
            enable_functions: body.enable_functions,
            functions_config: array(body.functions_config),
            enable_rag: body.enable_rag,
            rag_collection_id: body.rag_collection_id.map(|id| id.to_string()),
            transfer_rules: array(body.transfer_rules),
            dtmf_menu: object(body.dtmf_menu),
            max_duration_seconds: body.max_duration_seconds,
            max_turns: body.max_turns,
            recording: body.recording,
            recording_pause: body.recording_pause,
            max_concurrent_calls: body.max_concurrent_calls,
            enabled: body.enabled,
        }
    }
}

/// The row of a body whose texts fit their columns.
fn row(body: SecretaryBody) -> Result<SecretaryRow, Problem> {
    let texts = [
        ("secretary_name", Some(&body.secretary_name), 255),
        ("extension", body.extension.as_ref(), 15),
        ("realtime_provider", Some(&body.realtime_provider), 50),
        ("voice_id", body.voice_id.as_ref(), 100),
    ];
    for (column, text, most) in texts {
        if text.is_some_and(|text| text.chars().count() > most) {
            return Err(Problem::field(column, format!("has more than {most} characters")));
        }
    }
    Ok(body.into())
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new((MethodFilter::GET, ALL), ("listSecretaries", "Lists the secretaries of a domain"), list)
            .query::<Part>()
            .json::<Page<SecretaryView>>(200),
        Endpoint::new((MethodFilter::POST, ALL), ("createSecretary", "Makes a secretary"), create)
            .query::<Whose>()
            .body::<SecretaryBody>()
            .json::<SecretaryView>(201),
        Endpoint::new((MethodFilter::GET, ONE), ("getSecretary", "Shows a secretary"), show)
            .query::<Whose>()
            .json::<SecretaryView>(200),
        Endpoint::new((MethodFilter::PUT, ONE), ("replaceSecretary", "Says all of a secretary anew"), replace)
            .query::<Whose>()
            .body::<SecretaryBody>()
            .json::<SecretaryView>(200),
        Endpoint::new(
            (MethodFilter::DELETE, ONE),
            ("deleteSecretary", "Deletes a secretary; her conversations stay"),
            remove,
        )
        .query::<Whose>()
        .nothing(204),
    ]
}

async fn list(scope: Scope, Query(part): Query<Part>) -> Result<axum::Json<Page<SecretaryView>>, Problem> {
    let size = page::size(part.limit)?;
    let key = |at: &str| (at.len() <= LONGEST_KEY && !at.contains(char::is_control)).then(|| at.to_owned());
    let after = page::place(part.cursor.as_deref(), key)?.unwrap_or_default();
    let rows = scope.secretaries(&after, size + 1).await?;
    let any = |placed: &Placed<String, Stored>| placed.row.as_ref().is_ok_and(looks_up);
    let collections = collections(&scope, rows.iter().any(any)).await?;
    let show = |Placed { place, row }: Placed<String, Stored>| {
        row.map(|stored| SecretaryView::of(stored, &collections)).map_err(|_| place)
    };
    Ok(axum::Json(Page::tried(rows, size, |row| row.place.clone(), show)))
}

async fn show(scope: Scope, Id(id): Id, _: Query<Whose>) -> Result<axum::Json<SecretaryView>, Problem> {
    shown(&scope, id).await
}

type Created = (StatusCode, [(HeaderName, String); 1], axum::Json<SecretaryView>);

async fn create(scope: Scope, _: Query<Whose>, Json(body): Json<SecretaryBody>) -> Result<Created, Problem> {
    let (id, row) = (Uuid::new_v4(), row(body)?);
    written(scope.add(id, &row).await?)?;
    let location = [(header::LOCATION, format!("{ALL}/{id}"))];
    // She is made. That the database does not show her at this moment must not have her made again.
    let shown = match shown(&scope, id).await {
        Ok(shown) => shown,
        Err(_) => {
            let known = row.rag_collection_id.as_deref().and_then(|id| id.parse().ok()).into_iter().collect();
            axum::Json(SecretaryView::of(Stored { identity: scope.identity(id), row }, &known))
        }
    };
    Ok((StatusCode::CREATED, location, shown))
}

async fn replace(
    scope: Scope,
    Id(id): Id,
    _: Query<Whose>,
    Json(body): Json<SecretaryBody>,
) -> Result<axum::Json<SecretaryView>, Problem> {
    // What is not there is absent, whatever is said of it.
    scope.has(id).await?;
    written(scope.replace(id, &row(body)?).await?)?;
    shown(&scope, id).await
}

async fn remove(scope: Scope, Id(id): Id, _: Query<Whose>) -> Result<StatusCode, Problem> {
    scope.remove(id).await?.then_some(StatusCode::NO_CONTENT).ok_or_else(Problem::absent)
}

fn written(written: WrittenSecretary) -> Result<(), Problem> {
    match written {
        WrittenSecretary::Done => Ok(()),
        WrittenSecretary::Absent => Err(Problem::absent()),
        WrittenSecretary::ExtensionTaken => {
            let detail = "Another secretary of this domain has that extension.";
            Err(Problem::new(StatusCode::CONFLICT, "extension-taken", detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_a_row_and_back() {
        let json = serde_json::json!({
            "secretary_name": "Ana", "extension": "8000", "processing_mode": "auto", "realtime_provider": "openai",
            "provider_config": {"language": "pt-BR"}, "voice_id": "marin", "voice_settings": {"speed": 1.1},
            "system_prompt": "s", "first_message": "f", "vad_threshold": 0.25, "silence_duration_ms": 600,
            "enable_functions": true, "functions_config": [{"name": "x"}], "transfer_rules": [{"name": "y"}],
            "enable_rag": true, "rag_collection_id": "00000000-0000-4000-8000-000000000001",
            "dtmf_menu": {"options": []}, "max_duration_seconds": 60, "max_turns": 9, "recording": false,
            "recording_pause": true, "max_concurrent_calls": 3, "enabled": true,
        });
        let body: SecretaryBody = serde_json::from_value(json.clone()).unwrap();
        let row = SecretaryRow::from(body);
        assert_eq!(row.provider_config.as_deref(), Some(r#"{"language":"pt-BR"}"#));
        assert_eq!(serde_json::to_value(SecretaryBody::from(row)).unwrap(), json);
    }

    #[test]
    fn a_text_longer_than_its_column_is_named() {
        let body = SecretaryBody { extension: Some("1".repeat(16)), ..SecretaryBody::default() };
        assert_eq!(row(body).unwrap_err().errors[0].field, "extension");
    }
}
