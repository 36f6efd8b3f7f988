//! What the secretaries of a tenant may look up: kept, and found by its words, each within its tenant.
use super::{
    StoreError,
    queries::{Sql, clipped, on_pool, whole, within_deadline},
    records::TELL,
    rows::uuid,
    secretaries::as_actor,
};
use crate::{
    knowledge::{
        Chunk, Collection, Document, MOST_COLLECTIONS, MOST_DOCUMENTS, Passage, any_of, asked, chunks, config,
    },
    record::words,
};
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use sqlx::{FromRow, types::Json};
use std::fmt::Debug;
use uuid::Uuid;

macro_rules! select_collections {
    ($which:literal) => {
        concat!(
            "select cast(k.knowledge_uuid as text) as knowledge_uuid, k.knowledge_name as knowledge_name, ",
            "k.created_at as created_at, (select count(*) from v_voice_knowledge_documents d ",
            "where d.domain_uuid = k.domain_uuid and d.knowledge_uuid = k.knowledge_uuid) as documents ",
            "from v_voice_knowledge k where k.domain_uuid = $1 and ",
            $which
        )
    };
}

const COLLECTION: &str = select_collections!("k.knowledge_uuid = $2");
const COLLECTIONS: &str = select_collections!("k.knowledge_uuid > $2 order by k.knowledge_uuid limit $3");
const COUNT_COLLECTIONS: &str = "select count(*) from v_voice_knowledge where domain_uuid = $1";
const ADD_COLLECTION: &str =
    "insert into v_voice_knowledge (domain_uuid, knowledge_uuid, knowledge_name, created_at) values ($1, $2, $3, $4)";
const REMOVE_COLLECTION: &str =
    "delete from v_voice_knowledge where domain_uuid = $1 and knowledge_uuid = $2 returning knowledge_name";

macro_rules! select_documents {
    ($which:literal) => {
        concat!(
            "select cast(d.document_uuid as text) as document_uuid, d.document_title as document_title, ",
            "d.document_source as document_source, d.document_language as document_language, ",
            "d.document_bytes as document_bytes, d.document_sha256 as document_sha256, d.created_at as created_at, ",
            "d.updated_at as updated_at from v_voice_knowledge_documents d ",
            "where d.domain_uuid = $1 and d.knowledge_uuid = $2 and ",
            $which
        )
    };
}

const DOCUMENT: &str = select_documents!("d.document_uuid = $3");
const DOCUMENTS: &str = select_documents!("d.document_uuid > $3 order by d.document_uuid limit $4");
const TEXT: &str = "select document_text from v_voice_knowledge_documents \
    where domain_uuid = $1 and knowledge_uuid = $2 and document_uuid = $3";
/// Whether there is such a collection, and how many documents it has.
const ROOM: &str = "select (select count(*) from v_voice_knowledge where domain_uuid = $1 and knowledge_uuid = $2), \
    (select count(*) from v_voice_knowledge_documents where domain_uuid = $1 and knowledge_uuid = $2)";
const ADD_DOCUMENT: &str = "insert into v_voice_knowledge_documents (domain_uuid, knowledge_uuid, document_uuid, \
    document_title, document_source, document_language, document_text, document_bytes, document_sha256, updated_at, created_at) \
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)";
const REPLACE_DOCUMENT: &str = "update v_voice_knowledge_documents set document_title = $4, document_source = $5, \
    document_language = $6, document_text = $7, document_bytes = $8, document_sha256 = $9, updated_at = $10 \
    where domain_uuid = $1 and knowledge_uuid = $2 and document_uuid = $3";
const REMOVE_DOCUMENT: &str = "delete from v_voice_knowledge_documents \
    where domain_uuid = $1 and knowledge_uuid = $2 and document_uuid = $3 returning document_title";
/// Some documents of a collection.
const REMOVE_DOCUMENTS: &str = "delete from v_voice_knowledge_documents \
    where domain_uuid = $1 and knowledge_uuid = $2 and document_uuid in (select document_uuid \
    from v_voice_knowledge_documents where domain_uuid = $1 and knowledge_uuid = $2 order by document_uuid limit $3)";
const REMOVE_CHUNKS: &str = "delete from v_voice_knowledge_chunks \
    where domain_uuid = $1 and knowledge_uuid = $2 and document_uuid = $3";

/// `$4` is a JSON array of pieces, each an array of its heading, its text, and the words it is found by; `$5` the collection as a word.
const ADD_CHUNKS: &str = "insert into v_voice_knowledge_chunks \
    (domain_uuid, knowledge_uuid, document_uuid, ordinal, chunk_heading, chunk_text, search) \
    select $1, $2, $3, cast(chunk.ordinal - 1 as integer), chunk.value ->> 0, chunk.value ->> 1, \
    array_to_tsvector(array[cast($5 as text)]) || to_tsvector(cast($6 as regconfig), chunk.value ->> 2) \
    from jsonb_array_elements($4) with ordinality as chunk (value, ordinal)";
const ADD_CHUNKS_OF_SQLITE: &str = "insert into v_voice_knowledge_chunks \
    (domain_uuid, knowledge_uuid, document_uuid, ordinal, chunk_heading, chunk_text, search) \
    select $1, $2, $3, chunk.key, json_extract(chunk.value, '$[0]'), json_extract(chunk.value, '$[1]'), \
    $5 || json_extract(chunk.value, '$[2]') from json_each($4) as chunk";

macro_rules! select_passages {
    ($with:literal, $from:literal) => {
        concat!(
            $with,
            "select cast(c.document_uuid as text) as document_uuid, d.document_title as document_title, ",
            "c.ordinal as ordinal, c.chunk_heading as chunk_heading, c.chunk_text as chunk_text ",
            $from
        )
    };
}

/// A collection may have documents of several languages, so that a word is asked for as each of them knows it; what is a word of none,
/// or says nothing in it, is dropped on the way. What is asked is known before a row is looked at, so that the index can be used.
pub(super) const LOOK_UP: &str = select_passages!(
    "with asked as (select cast(string_agg(quote_literal(lexeme), ' | ') as tsquery) as words from unnest(tsvector_to_array( \
         to_tsvector('portuguese', $4) || to_tsvector('english', $4) || to_tsvector('spanish', $4) || \
         to_tsvector('simple', $4))) as lexeme) ",
    "from v_voice_knowledge_chunks c join v_voice_knowledge_documents d \
     on d.domain_uuid = c.domain_uuid and d.document_uuid = c.document_uuid \
     where c.domain_uuid = $1 and c.knowledge_uuid = $2 \
     and c.search @@ (cast($3 as tsquery) && (select words from asked)) \
     order by ts_rank(c.search, (select words from asked)) desc, c.document_uuid, c.ordinal limit $5"
);
const LOOK_UP_OF_SQLITE: &str = select_passages!(
    "",
    "from v_voice_knowledge_words join v_voice_knowledge_chunks c on c.chunk_id = v_voice_knowledge_words.rowid \
     join v_voice_knowledge_documents d on d.domain_uuid = c.domain_uuid and d.document_uuid = c.document_uuid \
     where c.domain_uuid = $1 and c.knowledge_uuid = $2 and v_voice_knowledge_words match ($3 || ' AND (' || $4 || ')') \
     order by bm25(v_voice_knowledge_words), c.document_uuid, c.ordinal limit $5"
);

/// Documents that one statement deletes: those of a full collection have so many pieces that all of them at once take
/// longer than a question may.
pub(super) const AT_ONCE: u32 = 20;

/// What became of something that was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is.
    Done,
    /// There is no such collection, or document, in that tenant.
    Absent,
    /// There are as many as there may be.
    TooMany,
}

/// A document as it is to be kept.
#[derive(Clone, Copy, Debug)]
pub struct Manuscript<'a> {
    /// What is known of it: its tenant and collection among that.
    pub document: &'a Document,
    /// All of it.
    pub text: &'a str,
}

/// What somebody who keeps knowledge, or looks it up, needs of a database. What is written has an author, whom the audit names.
pub trait Knowledge: Debug + Send + Sync {
    /// So many collections of a tenant after this one, in the order of their UUIDs.
    ///
    /// # Errors
    /// When the database does not answer.
    fn collections(&self, domain: Uuid, after: Uuid, limit: u32) -> BoxFuture<'_, Result<Vec<Collection>, StoreError>>;

    /// A collection of a tenant.
    ///
    /// # Errors
    /// When the database does not answer.
    fn collection(&self, domain: Uuid, id: Uuid) -> BoxFuture<'_, Result<Option<Collection>, StoreError>>;

    /// Makes a collection in the tenant that it names.
    ///
    /// # Errors
    /// When the database does not answer, or refuses it.
    fn add_collection<'a>(
        &'a self,
        actor: &'a str,
        collection: &'a Collection,
    ) -> BoxFuture<'a, Result<Kept, StoreError>>;

    /// Deletes a collection of a tenant with its documents, of which a few go at a time and the last with it; `false` if
    /// it has none such.
    ///
    /// # Errors
    /// When the database does not answer: some documents may be gone by then, and the rest go when it is deleted again.
    fn remove_collection<'a>(
        &'a self,
        actor: &'a str,
        domain: Uuid,
        id: Uuid,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// So many documents of a tenant's collection after this one, in the order of their UUIDs.
    ///
    /// # Errors
    /// When the database does not answer.
    fn documents(&self, of: (Uuid, Uuid), after: Uuid, limit: u32) -> BoxFuture<'_, Result<Vec<Document>, StoreError>>;

    /// A document of a tenant's collection, with its text.
    ///
    /// # Errors
    /// When the database does not answer.
    fn document(&self, of: (Uuid, Uuid), id: Uuid) -> BoxFuture<'_, Result<Option<(Document, String)>, StoreError>>;

    /// Keeps a new document in the collection and tenant that it names.
    ///
    /// # Errors
    /// When the database does not answer, or refuses it.
    fn add_document<'a>(
        &'a self,
        actor: &'a str,
        manuscript: Manuscript<'a>,
    ) -> BoxFuture<'a, Result<Kept, StoreError>>;

    /// Writes all of a document anew, in the collection and tenant that it names. It keeps the time it was made.
    ///
    /// # Errors
    /// When the database does not answer, or refuses it.
    fn replace_document<'a>(
        &'a self,
        actor: &'a str,
        manuscript: Manuscript<'a>,
    ) -> BoxFuture<'a, Result<Kept, StoreError>>;

    /// Deletes a document of a tenant's collection; `false` if there is none such.
    ///
    /// # Errors
    /// When the database does not answer.
    fn remove_document<'a>(
        &'a self,
        actor: &'a str,
        of: (Uuid, Uuid),
        id: Uuid,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// So many pieces of a tenant's collection that have words of a question, the best first.
    ///
    /// # Errors
    /// When the database does not answer.
    fn look_up<'a>(
        &'a self,
        of: (Uuid, Uuid),
        question: &'a str,
        most: u32,
    ) -> BoxFuture<'a, Result<Vec<Passage>, StoreError>>;
}

#[derive(Debug, FromRow)]
struct CollectionColumns {
    knowledge_uuid: String,
    knowledge_name: String,
    created_at: DateTime<Utc>,
    documents: i64,
}

impl CollectionColumns {
    fn read(self, domain_uuid: Uuid) -> Collection {
        Collection {
            knowledge_uuid: uuid(&self.knowledge_uuid),
            domain_uuid,
            name: self.knowledge_name,
            created_at: self.created_at,
            documents: u32::try_from(self.documents).unwrap_or(u32::MAX),
        }
    }
}

#[derive(Debug, FromRow)]
struct DocumentColumns {
    document_uuid: String,
    document_title: String,
    document_source: Option<String>,
    document_language: Option<String>,
    document_bytes: i32,
    document_sha256: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl DocumentColumns {
    fn read(self, (domain_uuid, knowledge_uuid): (Uuid, Uuid)) -> Document {
        Document {
            document_uuid: uuid(&self.document_uuid),
            knowledge_uuid,
            domain_uuid,
            title: self.document_title,
            source: self.document_source,
            language: self.document_language,
            bytes: u32::try_from(self.document_bytes).unwrap_or_default(),
            sha256: self.document_sha256,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

#[derive(Debug, FromRow)]
struct PassageColumns {
    document_uuid: String,
    document_title: String,
    ordinal: i32,
    chunk_heading: Option<String>,
    chunk_text: String,
}

impl PassageColumns {
    fn read(self) -> Passage {
        Passage {
            document_uuid: uuid(&self.document_uuid),
            title: self.document_title,
            ordinal: u32::try_from(self.ordinal).unwrap_or_default(),
            heading: self.chunk_heading,
            text: self.chunk_text,
        }
    }
}

/// Whoever makes something waits for whoever else does in the tenant, so that two together are not too many. A file has one writer.
macro_rules! take_turns {
    ($self:expr, $connection:ident, $domain:expr) => {
        if let Sql::Postgres(_) = $self {
            let lock = "select pg_advisory_xact_lock(hashtextextended('ramal knowledge ' || $1, 0))";
            sqlx::query(lock).bind($domain.to_string()).execute(&mut *$connection).await?;
        }
    };
}

/// Tells of a deed in the audit, within the transaction that does it.
macro_rules! tell {
    ($connection:ident, $id:ident, ($domain:expr, $actor:expr, $action:literal, $target:expr)) => {{
        let query = sqlx::query(TELL).bind($id(Uuid::new_v4())).bind($id($domain)).bind(Utc::now());
        let query = query.bind($actor).bind($action).bind(clipped(&$target, 255)).bind(None::<String>);
        query.execute(&mut *$connection).await?;
    }};
}

/// Writes a document with one of two statements, and its pieces; whether there was such a document.
macro_rules! write_document {
    (($self:expr, $connection:ident, $id:ident), $sql:expr, $manuscript:expr) => {{
        let Manuscript { document, text } = $manuscript;
        let place = ($id(document.domain_uuid), $id(document.knowledge_uuid), $id(document.document_uuid));
        let query = sqlx::query($sql).bind(place.0).bind(place.1).bind(place.2).bind(&document.title);
        let query = query.bind(&document.source).bind(&document.language).bind(text);
        let query = query.bind(whole(document.bytes.into())).bind(&document.sha256).bind(document.updated_at);
        let is_written = query.execute(&mut *$connection).await?.rows_affected() > 0;
        if is_written {
            let query = sqlx::query(REMOVE_CHUNKS).bind(place.0).bind(place.1).bind(place.2);
            query.execute(&mut *$connection).await?;
            let (sql, config) = match $self {
                Sql::Postgres(_) => (ADD_CHUNKS, Some(config(document.language.as_deref()))),
                Sql::Sqlite(_) => (ADD_CHUNKS_OF_SQLITE, None),
            };
            let query = sqlx::query(sql).bind(place.0).bind(place.1).bind(place.2).bind(Json(pieces($manuscript)));
            // A file looks at five of them.
            query.bind(word_of(document.knowledge_uuid)).bind(config).execute(&mut *$connection).await?;
        }
        is_written
    }};
}

impl Knowledge for Sql {
    fn collections(&self, domain: Uuid, after: Uuid, limit: u32) -> BoxFuture<'_, Result<Vec<Collection>, StoreError>> {
        Box::pin(async move {
            let rows: Vec<CollectionColumns> = on_pool!(self, |pool, id| {
                let query = sqlx::query_as(COLLECTIONS).bind(id(domain)).bind(id(after));
                query.bind(i64::from(limit)).fetch_all(pool).await
            })?;
            Ok(rows.into_iter().map(|row| row.read(domain)).collect())
        })
    }

    fn collection(&self, domain: Uuid, own: Uuid) -> BoxFuture<'_, Result<Option<Collection>, StoreError>> {
        Box::pin(async move {
            let row: Option<CollectionColumns> = on_pool!(self, |pool, id| {
                sqlx::query_as(COLLECTION).bind(id(domain)).bind(id(own)).fetch_optional(pool).await
            })?;
            Ok(row.map(|row| row.read(domain)))
        })
    }

    fn add_collection<'a>(
        &'a self,
        actor: &'a str,
        collection: &'a Collection,
    ) -> BoxFuture<'a, Result<Kept, StoreError>> {
        let Collection { knowledge_uuid, domain_uuid, name, created_at, .. } = collection;
        Box::pin(async move {
            as_actor!(self, actor, |connection, id| {
                take_turns!(self, connection, domain_uuid);
                let query = sqlx::query_scalar(COUNT_COLLECTIONS).bind(id(*domain_uuid));
                let there: i64 = query.fetch_one(&mut *connection).await?;
                if there >= i64::from(MOST_COLLECTIONS) {
                    Kept::TooMany
                } else {
                    let query = sqlx::query(ADD_COLLECTION).bind(id(*domain_uuid)).bind(id(*knowledge_uuid));
                    query.bind(name).bind(*created_at).execute(&mut *connection).await?;
                    tell!(connection, id, (*domain_uuid, actor, "insert", format!("v_voice_knowledge {name}")));
                    Kept::Done
                }
            })
        })
    }

    fn remove_collection<'a>(
        &'a self,
        actor: &'a str,
        domain: Uuid,
        own: Uuid,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let (_, documents): (i64, i64) = on_pool!(self, |pool, id| {
                sqlx::query_as(ROOM).bind(id(domain)).bind(id(own)).fetch_one(pool).await
            })?;
            for _ in 0..documents / i64::from(AT_ONCE) {
                as_actor!(self, actor, |connection, id| {
                    let query = sqlx::query(REMOVE_DOCUMENTS).bind(id(domain)).bind(id(own)).bind(i64::from(AT_ONCE));
                    let removed = query.execute(&mut *connection).await?.rows_affected();
                    if removed > 0 {
                        let target = format!("v_voice_knowledge_documents {removed} of {own}");
                        tell!(connection, id, (domain, actor, "delete", target));
                    }
                    removed
                })?;
            }
            as_actor!(self, actor, |connection, id| {
                let query = sqlx::query_scalar(REMOVE_COLLECTION).bind(id(domain)).bind(id(own));
                let name: Option<String> = query.fetch_optional(&mut *connection).await?;
                if let Some(name) = &name {
                    tell!(connection, id, (domain, actor, "delete", format!("v_voice_knowledge {name}")));
                }
                name.is_some()
            })
        })
    }

    fn documents(&self, of: (Uuid, Uuid), after: Uuid, limit: u32) -> BoxFuture<'_, Result<Vec<Document>, StoreError>> {
        Box::pin(async move {
            let rows: Vec<DocumentColumns> = on_pool!(self, |pool, id| {
                let query = sqlx::query_as(DOCUMENTS).bind(id(of.0)).bind(id(of.1)).bind(id(after));
                query.bind(i64::from(limit)).fetch_all(pool).await
            })?;
            Ok(rows.into_iter().map(|row| row.read(of)).collect())
        })
    }

    fn document(&self, of: (Uuid, Uuid), own: Uuid) -> BoxFuture<'_, Result<Option<(Document, String)>, StoreError>> {
        Box::pin(async move {
            let row: Option<DocumentColumns> = on_pool!(self, |pool, id| {
                let query = sqlx::query_as(DOCUMENT).bind(id(of.0)).bind(id(of.1)).bind(id(own));
                query.fetch_optional(pool).await
            })?;
            let text: Option<String> = on_pool!(self, |pool, id| {
                let query = sqlx::query_scalar(TEXT).bind(id(of.0)).bind(id(of.1)).bind(id(own));
                query.fetch_optional(pool).await
            })?;
            Ok(row.map(|row| row.read(of)).zip(text))
        })
    }

    fn add_document<'a>(
        &'a self,
        actor: &'a str,
        manuscript: Manuscript<'a>,
    ) -> BoxFuture<'a, Result<Kept, StoreError>> {
        Box::pin(async move {
            let (document, domain) = (manuscript.document, manuscript.document.domain_uuid);
            as_actor!(self, actor, |connection, id| {
                take_turns!(self, connection, domain);
                let query = sqlx::query_as(ROOM).bind(id(domain)).bind(id(document.knowledge_uuid));
                let (collections, documents): (i64, i64) = query.fetch_one(&mut *connection).await?;
                if collections == 0 {
                    Kept::Absent
                } else if documents >= i64::from(MOST_DOCUMENTS) {
                    Kept::TooMany
                } else {
                    write_document!((self, connection, id), ADD_DOCUMENT, manuscript);
                    let target = format!("v_voice_knowledge_documents {}", document.title);
                    tell!(connection, id, (domain, actor, "insert", target));
                    Kept::Done
                }
            })
        })
    }

    fn replace_document<'a>(
        &'a self,
        actor: &'a str,
        manuscript: Manuscript<'a>,
    ) -> BoxFuture<'a, Result<Kept, StoreError>> {
        Box::pin(async move {
            let (document, domain) = (manuscript.document, manuscript.document.domain_uuid);
            as_actor!(self, actor, |connection, id| {
                if write_document!((self, connection, id), REPLACE_DOCUMENT, manuscript) {
                    let target = format!("v_voice_knowledge_documents {}", document.title);
                    tell!(connection, id, (domain, actor, "update", target));
                    Kept::Done
                } else {
                    Kept::Absent
                }
            })
        })
    }

    fn remove_document<'a>(
        &'a self,
        actor: &'a str,
        of: (Uuid, Uuid),
        own: Uuid,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            as_actor!(self, actor, |connection, id| {
                let query = sqlx::query_scalar(REMOVE_DOCUMENT).bind(id(of.0)).bind(id(of.1)).bind(id(own));
                let title: Option<String> = query.fetch_optional(&mut *connection).await?;
                if let Some(title) = &title {
                    tell!(connection, id, (of.0, actor, "delete", format!("v_voice_knowledge_documents {title}")));
                }
                title.is_some()
            })
        })
    }

    fn look_up<'a>(
        &'a self,
        of: (Uuid, Uuid),
        question: &'a str,
        most: u32,
    ) -> BoxFuture<'a, Result<Vec<Passage>, StoreError>> {
        Box::pin(async move {
            let asked = asked(question);
            if asked.is_empty() {
                return Ok(Vec::new());
            }
            let (sql, asked) = match self {
                Self::Postgres(_) => (LOOK_UP, asked.join(" ")),
                Self::Sqlite(_) => (LOOK_UP_OF_SQLITE, any_of(&asked)),
            };
            let rows: Vec<PassageColumns> = on_pool!(self, |pool, id| {
                let query = sqlx::query_as(sql).bind(id(of.0)).bind(id(of.1)).bind(word_of(of.1));
                query.bind(asked).bind(i64::from(most)).fetch_all(pool).await
            })?;
            Ok(rows.into_iter().map(PassageColumns::read).collect())
        })
    }
}

/// A collection as a word among those of its pieces.
pub(super) fn word_of(collection: Uuid) -> String {
    format!("k{}", collection.simple())
}

/// The pieces of a document, each with its heading and the words it is found by.
fn pieces(Manuscript { document, text }: Manuscript<'_>) -> Value {
    let title = words(&document.title);
    let piece = |Chunk { heading, text }: Chunk<'_>| {
        let words = format!("{title}{}{}", words(heading.unwrap_or_default()), words(text));
        json!([heading, text, words])
    };
    chunks(text).into_iter().map(piece).collect()
}
