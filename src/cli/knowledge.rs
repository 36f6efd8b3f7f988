//! `ramal knowledge`: what a tenant's secretaries may look up, kept from files and tried.
use crate::{
    knowledge::{
        Collection, Document, FOUND, LONGEST_NAME, LONGEST_SOURCE, LONGEST_TEXT, MOST_COLLECTIONS, MOST_DOCUMENTS,
        measured,
    },
    paint::plain,
    secretary::{DomainRef, language_tag},
    store::{self, Kept, Manuscript, Store},
};
use anyhow::{Context, bail, ensure};
use chrono::{DateTime, Utc};
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};
use uuid::Uuid;

/// Keeps documents in which secretaries look things up, and shows what they find.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
    /// Configuration file, for its database; else that of the variable RAMAL_CONFIG
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum What {
    /// Keeps text or Markdown files as documents of a collection; one that was kept from the same file before is replaced
    Import(Import),
    /// Lists the collections of a tenant, and their documents
    List {
        /// The tenant: a domain name or UUID
        #[arg(long, value_name = "DOMAIN")]
        domain: String,
    },
    /// Shows what a model would be told of a question
    Search(Search),
}

#[derive(Clone, Debug, clap::Args)]
struct Import {
    /// Text or Markdown in UTF-8
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The tenant: a domain name or UUID
    #[arg(long, value_name = "DOMAIN")]
    domain: String,
    /// The collection; it is made if the tenant has none of that name
    #[arg(long, value_name = "NAME")]
    collection: String,
    /// Their language: pt-BR, en, es or another
    #[arg(long, value_name = "TAG")]
    language: Option<String>,
}

#[derive(Clone, Debug, clap::Args)]
struct Search {
    /// The question
    #[arg(value_name = "WORDS", required = true)]
    words: Vec<String>,
    /// The tenant: a domain name or UUID
    #[arg(long, value_name = "DOMAIN")]
    domain: String,
    /// The collection
    #[arg(long, value_name = "NAME")]
    collection: String,
}

/// Runs the command.
///
/// # Errors
/// A wrong configuration, a file that cannot be kept, a domain or collection that is not there, a database that does not answer.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let config = super::load(args.config.as_deref())?;
    let store = store::connect_existing(&config.database).await.context("the database")?;
    let said = match args.what {
        What::Import(import) => keep(&*store, &import, Utc::now()).await?,
        What::List { domain } => list(&*store, &domain).await?,
        What::Search(search) => look_up(&*store, &search).await?,
    };
    print!("{said}");
    Ok(())
}

async fn tenant(store: &dyn Store, name: &str) -> anyhow::Result<Uuid> {
    let found = store.tenants().domain(&DomainRef::from(name)).await?;
    found.with_context(|| format!("there is no domain {name:?} in this database"))
}

/// The collection that is called so; of several, the first.
async fn called(store: &dyn Store, domain: Uuid, name: &str) -> anyhow::Result<Option<Collection>> {
    let all = store.knowledge().collections(domain, Uuid::nil(), MOST_COLLECTIONS).await?;
    Ok(all.into_iter().find(|collection| collection.name == name.trim()))
}

async fn keep(store: &dyn Store, import: &Import, now: DateTime<Utc>) -> anyhow::Result<String> {
    if let Some(tag) = &import.language {
        language_tag(tag).map_err(anyhow::Error::msg)?;
    }
    // All are looked at before the first is kept.
    let texts: Vec<String> = import.files.iter().map(|file| read(file)).collect::<anyhow::Result<_>>()?;
    let domain = tenant(store, &import.domain).await?;
    let collection = shelf(store, domain, &import.collection, now).await?;
    let of = (domain, collection.knowledge_uuid);
    let there = store.knowledge().documents(of, Uuid::nil(), MOST_DOCUMENTS).await?;
    let mut said = format!("{}  {}\n", collection.knowledge_uuid, plain(&collection.name));
    for (file, text) in import.files.iter().zip(&texts) {
        let document = described(file, text, &collection, import.language.as_ref(), now);
        let before = there.iter().find(|before| before.source == document.source);
        let became = write(store, before, document, text).await.with_context(|| file.display().to_string())?;
        // Writing to a String cannot fail.
        let _ = writeln!(said, "{became}  {}", plain(&file.display().to_string()));
    }
    Ok(said)
}

/// A file's text: a document, if it is not too long for one.
fn read(file: &Path) -> anyhow::Result<String> {
    let name = || file.display().to_string();
    let bytes = fs::read(file).with_context(name)?;
    // PostgreSQL has no such character, and no text any use for it.
    let text = String::from_utf8(bytes).with_context(name)?.replace('\0', "");
    ensure!(!text.trim().is_empty() && text.len() <= LONGEST_TEXT, "{} has not 1 to {LONGEST_TEXT} bytes", name());
    Ok(text)
}

/// The collection of that name, made if there is none.
async fn shelf(store: &dyn Store, domain_uuid: Uuid, name: &str, now: DateTime<Utc>) -> anyhow::Result<Collection> {
    if let Some(there) = called(store, domain_uuid, name).await? {
        return Ok(there);
    }
    let name = name.trim().to_owned();
    ensure!((1..=LONGEST_NAME).contains(&name.chars().count()), "the name must have 1 to {LONGEST_NAME} characters");
    ensure!(!name.contains(char::is_control), "the name must have no control characters");
    let collection = Collection { knowledge_uuid: Uuid::new_v4(), domain_uuid, name, created_at: now, documents: 0 };
    match store.knowledge().add_collection(&store::actor(), &collection).await? {
        Kept::Done => Ok(collection),
        Kept::TooMany => bail!("the domain has {MOST_COLLECTIONS} collections, which is as many as it may have"),
        Kept::Absent => bail!("the domain is gone"),
    }
}

/// A file as a document: called like the file, and known again by where it is.
fn described(file: &Path, text: &str, of: &Collection, language: Option<&String>, now: DateTime<Utc>) -> Document {
    let clipped = |text: &str, most: usize| text.chars().take(most).collect::<String>();
    let title = file.file_stem().unwrap_or(file.as_os_str()).to_string_lossy();
    let (bytes, sha256) = measured(text);
    Document {
        document_uuid: Uuid::new_v4(),
        knowledge_uuid: of.knowledge_uuid,
        domain_uuid: of.domain_uuid,
        title: clipped(&plain(&title), LONGEST_NAME),
        source: Some(clipped(&plain(&file.to_string_lossy()), LONGEST_SOURCE)),
        language: language.cloned(),
        bytes,
        sha256,
        created_at: now,
        updated_at: now,
    }
}

/// Keeps a document in place of the one before it; what became of it, in one word.
async fn write(
    store: &dyn Store,
    before: Option<&Document>,
    document: Document,
    text: &str,
) -> anyhow::Result<&'static str> {
    let actor = store::actor();
    let (kept, word) = match before {
        Some(before) if before.sha256 == document.sha256 && before.language == document.language => {
            return Ok("unchanged");
        }
        Some(before) => {
            let (document_uuid, created_at) = (before.document_uuid, before.created_at);
            let document = Document { document_uuid, created_at, ..document };
            let manuscript = Manuscript { document: &document, text };
            (store.knowledge().replace_document(&actor, manuscript).await?, "replaced")
        }
        None => {
            let manuscript = Manuscript { document: &document, text };
            (store.knowledge().add_document(&actor, manuscript).await?, "new")
        }
    };
    match kept {
        Kept::Done => Ok(word),
        Kept::TooMany => bail!("the collection has {MOST_DOCUMENTS} documents, which is as many as it may have"),
        Kept::Absent => bail!("the collection, or the document, was deleted meanwhile"),
    }
}

async fn list(store: &dyn Store, domain: &str) -> anyhow::Result<String> {
    let (domain, mut text) = (tenant(store, domain).await?, String::new());
    for collection in store.knowledge().collections(domain, Uuid::nil(), MOST_COLLECTIONS).await? {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}  {}", collection.knowledge_uuid, plain(&collection.name));
        let of = (domain, collection.knowledge_uuid);
        for document in store.knowledge().documents(of, Uuid::nil(), MOST_DOCUMENTS).await? {
            let Document { document_uuid, title, language, bytes, .. } = document;
            let language = language.unwrap_or_else(|| "-".to_owned());
            let _ = writeln!(text, "  {document_uuid}  {language}  {bytes} bytes  {}", plain(&title));
        }
    }
    if text.is_empty() {
        text.push_str("There is no collection. `ramal knowledge import` makes one.\n");
    }
    Ok(text)
}

async fn look_up(store: &dyn Store, search: &Search) -> anyhow::Result<String> {
    let domain = tenant(store, &search.domain).await?;
    let Some(collection) = called(store, domain, &search.collection).await? else {
        bail!("the domain has no collection {:?}", search.collection);
    };
    let (of, question) = ((domain, collection.knowledge_uuid), search.words.join(" "));
    let mut text = String::new();
    for passage in store.knowledge().look_up(of, &question, FOUND).await? {
        let section = passage.heading.map(|heading| format!(" › {heading}")).unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", plain(&format!("{}{section}", passage.title)));
        for line in passage.text.lines() {
            let _ = writeln!(text, "    {}", plain(line));
        }
    }
    if text.is_empty() {
        text.push_str("Nothing is found.\n");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests as stored;

    #[tokio::test]
    async fn files_are_kept_once_replaced_when_they_change_and_found() {
        let scratch = stored::sqlite().await.unwrap();
        let store: &dyn Store = &scratch.store;
        store.upsert_secretary(&stored::entry("a.example", "8000", "Ana")).await.unwrap();
        let folder = std::env::temp_dir().join(format!("ramal-knowledge-{}", Uuid::new_v4()));
        fs::create_dir(&folder).unwrap();
        let (prices, hours) = (folder.join("preços.md"), folder.join("hours.txt"));
        fs::write(&prices, "# Consultas\n\nA consulta custa 150 reais.").unwrap();
        fs::write(&hours, "We are open on Saturdays.\0").unwrap();
        let import = Import {
            files: vec![prices.clone(), hours.clone()],
            domain: "a.example".into(),
            collection: "Manual".into(),
            language: Some("pt-BR".into()),
        };
        let became = async |import: &Import| {
            let said = keep(store, import, Utc::now()).await.unwrap();
            said.lines().skip(1).map(|line| line.split("  ").next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(became(&import).await, ["new", "new"]);
        fs::write(&prices, "# Consultas\n\nA consulta custa 200 reais.").unwrap();
        assert_eq!(became(&import).await, ["replaced", "unchanged"]);
        let listed = list(store, "a.example").await.unwrap();
        assert_eq!(listed.lines().count(), 3, "{listed}");
        assert!(listed.contains("  Manual\n") && listed.contains("pt-BR  25 bytes  hours\n"), "{listed}");
        let search = |words: &str, collection: &str| Search {
            words: vec![words.into()],
            domain: "a.example".into(),
            collection: collection.into(),
        };
        let found = look_up(store, &search("quanto custa a consulta", "Manual")).await.unwrap();
        assert_eq!(found, "preços\n    # Consultas\n    \n    A consulta custa 200 reais.\n");
        assert_eq!(look_up(store, &search("bicicleta", "Manual")).await.unwrap(), "Nothing is found.\n");
        assert!(look_up(store, &search("consulta", "Outro")).await.is_err());
        fs::write(&hours, vec![b'x'; LONGEST_TEXT + 1]).unwrap();
        let error = keep(store, &import, Utc::now()).await.unwrap_err().to_string();
        assert!(error.contains("hours.txt"), "{error}");
        let nobody = Import { domain: "b.example".into(), files: vec![prices], ..import };
        assert!(keep(store, &nobody, Utc::now()).await.is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
