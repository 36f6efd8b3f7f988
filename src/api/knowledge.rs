//! `/v1/knowledge`: collections of what a tenant's secretaries may look up, and what is found in them.
use super::{
    endpoint::Endpoint,
    input::{Id, Json, Query},
    page::{self, Page, Part, Whose},
    problem::Problem,
    scope::Scope,
};
use crate::{
    knowledge::{Collection, FOUND, LONGEST_NAME, MOST_COLLECTIONS, Passage},
    store::Kept,
};
use axum::{
    http::{HeaderName, StatusCode, header},
    routing::MethodFilter,
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(super) const ALL: &str = "/v1/knowledge";
const ONE: &str = "/v1/knowledge/{id}";
const SEARCH: &str = "/v1/knowledge/{id}/search";
/// Most passages of an answer.
const MOST: u32 = 50;

/// What is said of a collection.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CollectionBody {
    /// For people.
    #[schemars(length(min = 1, max = 255))]
    pub(super) name: String,
}

/// A collection as it is kept.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct CollectionView {
    /// Which: `rag_collection_id` of the secretaries that may look things up in it.
    pub(super) knowledge_uuid: Uuid,
    /// Of which tenant.
    pub(super) domain_uuid: Uuid,
    /// For people.
    pub(super) name: String,
    /// How many documents it has.
    pub(super) documents: u32,
    /// Since when there is such a collection.
    pub(super) created_at: DateTime<Utc>,
}

impl From<Collection> for CollectionView {
    fn from(of: Collection) -> Self {
        Self {
            knowledge_uuid: of.knowledge_uuid,
            domain_uuid: of.domain_uuid,
            name: of.name,
            documents: of.documents,
            created_at: of.created_at,
        }
    }
}

/// What is looked for.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    /// The domain, by name or UUID. A token for all domains must say it; one for a single domain need not.
    #[serde(rename = "domain")]
    pub(super) _domain: Option<String>,
    /// A question in words, as a model would ask it; whatever has some of them is found.
    pub(super) words: Option<String>,
    /// Passages of the answer at the most; 5 if it is not said, as many as a model is told.
    #[schemars(range(min = 1, max = 50))]
    pub(super) limit: Option<u32>,
}

/// What was found, the best first.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Passages {
    /// Parts of documents that have words of the question.
    pub(super) passages: Vec<PassageView>,
}

/// A part of a document.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct PassageView {
    /// Of which document.
    pub(super) document_uuid: Uuid,
    /// What that is called.
    pub(super) title: String,
    /// Its place among the parts of the document, from 0.
    pub(super) ordinal: u32,
    /// The heading it stands under.
    pub(super) heading: Option<String>,
    /// As it stands there.
    pub(super) text: String,
}

impl From<Passage> for PassageView {
    fn from(of: Passage) -> Self {
        let Passage { document_uuid, title, ordinal, heading, text } = of;
        Self { document_uuid, title, ordinal, heading, text }
    }
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new((MethodFilter::GET, ALL), ("listKnowledge", "Lists the collections of a domain"), list)
            .query::<Part>()
            .json::<Page<CollectionView>>(200),
        Endpoint::new((MethodFilter::POST, ALL), ("createKnowledge", "Makes a collection"), create)
            .query::<Whose>()
            .body::<CollectionBody>()
            .json::<CollectionView>(201),
        Endpoint::new((MethodFilter::GET, ONE), ("getKnowledge", "Shows a collection"), show)
            .query::<Whose>()
            .json::<CollectionView>(200),
        Endpoint::new(
            (MethodFilter::DELETE, ONE),
            ("deleteKnowledge", "Deletes a collection with its documents"),
            remove,
        )
        .query::<Whose>()
        .nothing(204),
        Endpoint::new(
            (MethodFilter::GET, SEARCH),
            ("searchKnowledge", "Finds what a secretary would be told of a question"),
            search,
        )
        .query::<Question>()
        .json::<Passages>(200),
    ]
}

async fn list(scope: Scope, Query(part): Query<Part>) -> Result<axum::Json<Page<CollectionView>>, Problem> {
    let size = page::size(part.limit)?;
    let after = page::place(part.cursor.as_deref(), |at| Uuid::try_parse(at).ok())?;
    let rows = scope.collections(after.unwrap_or_default(), size + 1).await?;
    let at = |collection: &Collection| collection.knowledge_uuid.to_string();
    Ok(axum::Json(Page::of(rows, size, at, CollectionView::from)))
}

async fn show(scope: Scope, Id(id): Id, _: Query<Whose>) -> Result<axum::Json<CollectionView>, Problem> {
    Ok(axum::Json(scope.collection(id).await?.into()))
}

type Created = (StatusCode, [(HeaderName, String); 1], axum::Json<CollectionView>);

async fn create(scope: Scope, _: Query<Whose>, Json(body): Json<CollectionBody>) -> Result<Created, Problem> {
    let name = called("name", &body.name)?;
    let (collection, kept) = scope.add_collection(name).await?;
    if kept == Kept::TooMany {
        let detail = format!("This domain has {MOST_COLLECTIONS} collections, which is as many as it may have.");
        return Err(Problem::new(StatusCode::CONFLICT, "too-many", detail));
    }
    let location = [(header::LOCATION, format!("{ALL}/{}", collection.knowledge_uuid))];
    Ok((StatusCode::CREATED, location, axum::Json(collection.into())))
}

async fn remove(scope: Scope, Id(id): Id, _: Query<Whose>) -> Result<StatusCode, Problem> {
    scope.remove_collection(id).await?.then_some(StatusCode::NO_CONTENT).ok_or_else(Problem::absent)
}

async fn search(scope: Scope, Id(id): Id, Query(asked): Query<Question>) -> Result<axum::Json<Passages>, Problem> {
    let limit = asked.limit.unwrap_or(FOUND);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::malformed(format!("limit must be 1 to {MOST}")));
    }
    let found = scope.look_up(id, asked.words.as_deref().unwrap_or_default(), limit).await?;
    Ok(axum::Json(Passages { passages: found.into_iter().map(PassageView::from).collect() }))
}

/// A name that fits its column, without the space around it.
pub(super) fn called(field: &str, name: &str) -> Result<String, Problem> {
    let (name, length) = (name.trim(), name.chars().count());
    if name.is_empty() || length > LONGEST_NAME {
        return Err(Problem::field(field, format!("must have 1 to {LONGEST_NAME} characters")));
    }
    Ok(name.to_owned())
}
