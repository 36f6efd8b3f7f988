//! `/v1/knowledge/{id}/documents`: what a collection is made of.
use super::{
    endpoint::Endpoint,
    input::{Id, Inner, Json, Query},
    knowledge::{ALL as COLLECTIONS, called},
    page::{self, Page, Part, Whose},
    problem::Problem,
    scope::Scope,
};
use crate::{
    knowledge::{Document, LONGEST_SOURCE, LONGEST_TEXT, MOST_DOCUMENTS, measured},
    secretary::language_tag,
    store::{Kept, Manuscript},
};
use axum::{
    http::{HeaderName, StatusCode, header},
    routing::MethodFilter,
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const ALL: &str = "/v1/knowledge/{id}/documents";
const ONE: &str = "/v1/knowledge/{id}/documents/{document}";
/// Longest tag of a language that its column takes.
const LONGEST_TAG: usize = 50;

/// All of a document.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DocumentBody {
    /// What it is called; its words count in a search.
    #[schemars(length(min = 1, max = 255))]
    pub(super) title: String,
    /// Where it comes from: a file, an address.
    #[schemars(length(max = 1_000))]
    pub(super) source: Option<String>,
    /// BCP 47: `pt-BR`, `en`, `es`. Words of these are found in every form; without a tag, or in another language, as they are written.
    #[schemars(length(max = 50))]
    pub(super) language: Option<String>,
    /// Plain text or Markdown, 204,800 bytes of UTF-8 at the most.
    #[schemars(length(min = 1))]
    pub(super) text: String,
}

/// What is known of a document.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct DocumentView {
    /// Which.
    pub(super) document_uuid: Uuid,
    /// In which collection.
    pub(super) knowledge_uuid: Uuid,
    /// Of which tenant.
    pub(super) domain_uuid: Uuid,
    /// What it is called.
    pub(super) title: String,
    /// Where it comes from.
    pub(super) source: Option<String>,
    /// BCP 47.
    pub(super) language: Option<String>,
    /// Length of its text in UTF-8.
    pub(super) bytes: u32,
    /// SHA-256 of its text, in hexadecimal: whoever has the text knows whether it is the same.
    pub(super) sha256: String,
    /// Since when it is there.
    pub(super) created_at: DateTime<Utc>,
    /// When it was written last.
    pub(super) updated_at: DateTime<Utc>,
}

/// A document with its text.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct DocumentWhole {
    /// What is known of it.
    pub(super) document: DocumentView,
    /// All of it.
    pub(super) text: String,
}

impl From<Document> for DocumentView {
    fn from(of: Document) -> Self {
        Self {
            document_uuid: of.document_uuid,
            knowledge_uuid: of.knowledge_uuid,
            domain_uuid: of.domain_uuid,
            title: of.title,
            source: of.source,
            language: of.language,
            bytes: of.bytes,
            sha256: of.sha256,
            created_at: of.created_at,
            updated_at: of.updated_at,
        }
    }
}

impl DocumentBody {
    /// What is known of the document that this is, in place of what is known of the one there is; and its text.
    fn of(self, there: Document) -> Result<(Document, String), Problem> {
        if self.text.trim().is_empty() || self.text.len() > LONGEST_TEXT {
            let problem = format!("must have 1 to {LONGEST_TEXT} bytes that are not all space");
            return Err(Problem::field("text", problem));
        }
        if self.source.as_ref().is_some_and(|source| source.chars().count() > LONGEST_SOURCE) {
            return Err(Problem::field("source", format!("has more than {LONGEST_SOURCE} characters")));
        }
        if let Some(tag) = &self.language {
            language_tag(tag).map_err(|problem| Problem::field("language", problem))?;
            if tag.len() > LONGEST_TAG {
                return Err(Problem::field("language", format!("has more than {LONGEST_TAG} characters")));
            }
        }
        let (bytes, sha256) = measured(&self.text);
        let title = called("title", &self.title)?;
        Ok((Document { title, source: self.source, language: self.language, bytes, sha256, ..there }, self.text))
    }
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new((MethodFilter::GET, ALL), ("listDocuments", "Lists the documents of a collection"), list)
            .query::<Part>()
            .json::<Page<DocumentView>>(200),
        Endpoint::new((MethodFilter::POST, ALL), ("createDocument", "Adds a document to a collection"), create)
            .query::<Whose>()
            .body::<DocumentBody>()
            .json::<DocumentView>(201),
        Endpoint::new((MethodFilter::GET, ONE), ("getDocument", "Shows a document with its text"), show)
            .query::<Whose>()
            .json::<DocumentWhole>(200),
        Endpoint::new((MethodFilter::PUT, ONE), ("replaceDocument", "Says all of a document anew"), replace)
            .query::<Whose>()
            .body::<DocumentBody>()
            .json::<DocumentView>(200),
        Endpoint::new((MethodFilter::DELETE, ONE), ("deleteDocument", "Deletes a document"), remove)
            .query::<Whose>()
            .nothing(204),
    ]
}

async fn list(scope: Scope, Id(of): Id, Query(part): Query<Part>) -> Result<axum::Json<Page<DocumentView>>, Problem> {
    let size = page::size(part.limit)?;
    let after = page::place(part.cursor.as_deref(), |at| Uuid::try_parse(at).ok())?;
    let rows = scope.documents(of, after.unwrap_or_default(), size + 1).await?;
    let at = |document: &Document| document.document_uuid.to_string();
    Ok(axum::Json(Page::of(rows, size, at, DocumentView::from)))
}

async fn show(
    scope: Scope,
    Id(of): Id,
    Inner(id): Inner,
    _: Query<Whose>,
) -> Result<axum::Json<DocumentWhole>, Problem> {
    let (document, text) = scope.document(of, id).await?;
    Ok(axum::Json(DocumentWhole { document: document.into(), text }))
}

type Created = (StatusCode, [(HeaderName, String); 1], axum::Json<DocumentView>);

async fn create(scope: Scope, Id(of): Id, _: Query<Whose>, Json(body): Json<DocumentBody>) -> Result<Created, Problem> {
    // What is not there is absent, whatever is said of it.
    scope.collection(of).await?;
    let (document, text) = body.of(scope.blank(of, Uuid::new_v4()))?;
    kept(scope.add_document(Manuscript { document: &document, text: &text }).await?)?;
    let location = [(header::LOCATION, format!("{COLLECTIONS}/{of}/documents/{}", document.document_uuid))];
    Ok((StatusCode::CREATED, location, axum::Json(document.into())))
}

async fn replace(
    scope: Scope,
    Id(of): Id,
    Inner(id): Inner,
    _: Query<Whose>,
    Json(body): Json<DocumentBody>,
) -> Result<axum::Json<DocumentView>, Problem> {
    let (there, _) = scope.document(of, id).await?;
    let (document, text) = body.of(Document { created_at: there.created_at, ..scope.blank(of, id) })?;
    kept(scope.replace_document(Manuscript { document: &document, text: &text }).await?)?;
    Ok(axum::Json(document.into()))
}

async fn remove(scope: Scope, Id(of): Id, Inner(id): Inner, _: Query<Whose>) -> Result<StatusCode, Problem> {
    scope.remove_document(of, id).await?.then_some(StatusCode::NO_CONTENT).ok_or_else(Problem::absent)
}

fn kept(kept: Kept) -> Result<(), Problem> {
    match kept {
        Kept::Done => Ok(()),
        Kept::Absent => Err(Problem::absent()),
        Kept::TooMany => {
            let detail = format!("This collection has {MOST_DOCUMENTS} documents, which is as many as it may have.");
            Err(Problem::new(StatusCode::CONFLICT, "too-many", detail))
        }
    }
}
