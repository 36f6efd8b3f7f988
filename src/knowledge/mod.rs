//! What a tenant's secretaries may look up: documents, in pieces that are found by their words. PURE.
mod chunk;
mod passage;
mod words;

pub use chunk::{Chunk, chunks};
pub use passage::{Passage, told};
pub use words::{any_of, asked, config};

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Most collections of a tenant.
pub const MOST_COLLECTIONS: u32 = 50;
/// Most documents of a collection.
pub const MOST_DOCUMENTS: u32 = 500;
/// Longest text of a document, in bytes of UTF-8.
pub const LONGEST_TEXT: usize = 200 * 1_024;
/// Longest name of a collection or title of a document, in characters.
pub const LONGEST_NAME: usize = 255;
/// Longest source of a document, in characters.
pub const LONGEST_SOURCE: usize = 1_000;
/// How many passages a model is told at once.
pub const FOUND: u32 = 5;

/// Documents that are searched together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collection {
    /// Which; the `rag_collection_id` of the secretaries that have it.
    pub knowledge_uuid: Uuid,
    /// Its tenant.
    pub domain_uuid: Uuid,
    /// For people.
    pub name: String,
    /// Since when there is such a collection.
    pub created_at: DateTime<Utc>,
    /// How many documents it has.
    pub documents: u32,
}

/// What is known of a document, without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Which.
    pub document_uuid: Uuid,
    /// In which collection.
    pub knowledge_uuid: Uuid,
    /// Of which tenant.
    pub domain_uuid: Uuid,
    /// What it is called; its words count in a search.
    pub title: String,
    /// Where it comes from: a file, an address.
    pub source: Option<String>,
    /// BCP 47; without one its words are found as they are written.
    pub language: Option<String>,
    /// Length of its text, in bytes of UTF-8.
    pub bytes: u32,
    /// SHA-256 of its text, in hexadecimal.
    pub sha256: String,
    /// Since when it is there.
    pub created_at: DateTime<Utc>,
    /// When it was written last.
    pub updated_at: DateTime<Utc>,
}

/// The length and the SHA-256 of a text, as a document has them.
pub fn measured(text: &str) -> (u32, String) {
    let bytes = u32::try_from(text.len()).unwrap_or(u32::MAX);
    (bytes, Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect())
}
