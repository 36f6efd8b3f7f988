//! Stored conversations, the newest last: read and written page by page, however many there are.
use super::{List, keeping, show, table};
use crate::{
    drivers::archive::Telling,
    paint::Paint,
    record::Conversation,
    store::{self, Page, Query, Scope, Store},
};
use chrono::Local;
use std::{
    collections::{BTreeMap, btree_map::Entry},
    io::{self, Write},
};
use uuid::Uuid;

/// So many are shown where nothing else is said.
const SHOWN: u32 = 10;
/// So many are in memory at a time.
const PAGE: u32 = 200;

/// What they are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// For a person.
    Shown(Paint),
    Json,
    Csv,
}

/// Writes those that are meant. A reader that went away (`| head`) is not a failure.
///
/// # Errors
/// A wrong configuration, a database that cannot be read, or a file that cannot be written.
pub(super) async fn run(args: &List, out: &mut impl Write) -> anyhow::Result<()> {
    let config = crate::cli::load(args.config.as_deref())?;
    let store = store::connect_existing(&config.database).await?;
    let query = match &args.domain {
        None => None,
        Some(name) => {
            let List { search, caller, from, to, .. } = args.clone();
            let domain = keeping::domain(&*store, name).await?;
            Some(Query { domain, words: search.unwrap_or_default(), caller, from, to, ..Query::default() })
        }
    };
    let form = match args {
        List { json: true, .. } => Form::Json,
        List { csv: true, .. } => Form::Csv,
        _ => Form::Shown(crate::cli::paint()),
    };
    let scope = query.as_ref().map_or(Scope::All, Scope::Of);
    let last = args.last.or(query.is_none().then_some(SHOWN));
    let mut exported = Exported { store: &*store, tenants: BTreeMap::new() };
    let result = match write_all(&*store, (scope, last), form, &mut exported, out).await {
        Err(problem) if problem.downcast_ref().map(io::Error::kind) == Some(io::ErrorKind::BrokenPipe) => {
            exported.end(&Err(&problem)).await?;
            return Ok(());
        }
        result => result,
    };
    exported.end(&result.as_ref().map(drop)).await?;
    let (shown, unreadable) = result?;
    if unreadable > 0 {
        eprintln!("{unreadable} conversations cannot be read and are missing here");
    }
    if let (0, Form::Shown(_)) = (shown, form) {
        let none = match scope {
            Scope::Of(_) => "There is no such conversation.",
            Scope::All => {
                "No conversation is stored yet. Start a server with `ramal serve` and call it: `ramal call sip:8000@127.0.0.1:5070`."
            }
        };
        writeln!(out, "{none}")?;
    }
    Ok(())
}

/// How many were written, and how many could not be read.
async fn write_all<'a>(
    store: &'a dyn Store,
    (scope, last): (Scope<'a>, Option<u32>),
    form: Form,
    exported: &mut Exported<'a>,
    out: &mut impl Write,
) -> anyhow::Result<(u64, u64)> {
    let (mut shown, mut missing) = (0, 0);
    if let (Scope::Of(query), Form::Json | Form::Csv) = (scope, form) {
        exported.begin(query.domain).await?;
    }
    if form == Form::Csv {
        out.write_all(table::HEAD.as_bytes())?;
    }
    let mut after = match last {
        Some(last) => store.records().before_last(scope, last).await?,
        None => None,
    };
    loop {
        let Page { conversations, unreadable, next } = store.records().page(scope, after.as_ref(), PAGE).await?;
        for conversation in &conversations {
            if form == Form::Json || form == Form::Csv {
                *exported.begin(conversation.domain_uuid).await? += 1;
            }
            out.write_all(written(conversation, form)?.as_bytes())?;
            shown += 1;
        }
        missing += unreadable;
        after = next;
        if after.is_none() {
            out.flush()?;
            return Ok((shown, missing));
        }
    }
}

fn written(conversation: &Conversation, form: Form) -> anyhow::Result<String> {
    Ok(match form {
        Form::Json => serde_json::to_string(conversation)? + "\n",
        Form::Csv => table::line(conversation),
        Form::Shown(paint) => {
            let started = conversation.started_at.with_timezone(&Local).fixed_offset();
            show(conversation, started, paint)
        }
    })
}

/// What each tenant's audit is told of an export, before anything of it is written and after.
struct Exported<'a> {
    store: &'a dyn Store,
    tenants: BTreeMap<Uuid, (Telling<'a>, u64)>,
}

impl Exported<'_> {
    /// How many of this tenant's were exported.
    async fn begin(&mut self, domain: Uuid) -> anyhow::Result<&mut u64> {
        Ok(match self.tenants.entry(domain) {
            Entry::Occupied(tenant) => &mut tenant.into_mut().1,
            Entry::Vacant(new) => {
                let mut telling = Telling::of(self.store, keeping::deed(domain, "export", "conversations".to_owned()));
                telling.begin().await?;
                &mut new.insert((telling, 0)).1
            }
        })
    }

    async fn end(self, result: &Result<(), &anyhow::Error>) -> anyhow::Result<()> {
        for (telling, exported) in self.tenants.into_values() {
            telling.end(format!("{exported} exported"), result).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        secretary::{DomainRef, SecretaryEntry, SecretaryRow},
        store::{Found, Lookup, Which, tests::conversation},
    };
    use std::{path::PathBuf, sync::Arc, time::Duration};

    struct World {
        folder: PathBuf,
        store: Arc<dyn Store>,
        tenants: Vec<Uuid>,
    }

    /// Two tenants, the first with three conversations in four.
    async fn world(conversations: u64) -> World {
        let folder = std::env::temp_dir().join(format!("ramal-listing-{}", Uuid::new_v4()));
        std::fs::create_dir(&folder).unwrap();
        let text = format!(
            "[database]\nurl = \"sqlite:{0}/ramal.db\"\n[recording]\ndirectory = \"{0}/r\"\n",
            folder.display()
        );
        std::fs::write(folder.join("ramal.toml"), text).unwrap();
        let config = crate::cli::load(Some(&folder.join("ramal.toml"))).unwrap();
        let store = store::connect(&config.database).await.unwrap();
        let mut of = Vec::new();
        for domain in ["a.example", "b.example"] {
            let (secretary_name, extension) = ("Ana".to_owned(), Some("8000".to_owned()));
            let row = SecretaryRow {
                secretary_name,
                extension,
                realtime_provider: "local".into(),
                ..SecretaryRow::default()
            };
            store.upsert_secretary(&SecretaryEntry { domain: domain.into(), row }).await.unwrap();
            let lookup = Lookup { extension: "8000".into(), domain: Some(DomainRef::from(domain)) };
            let Found::Secretary(ana) = store.find_secretary(&lookup).await.unwrap() else { panic!("no Ana") };
            of.push(*ana);
        }
        for number in 0..conversations {
            let mut kept = conversation(&of[usize::from(number % 4 == 3)]);
            kept.started_at += Duration::from_secs(number);
            kept.call_uuid = format!("call-{number}");
            kept.recording = None;
            store.save_conversation(&kept).await.unwrap();
        }
        World { folder, store, tenants: of.iter().map(|ana| ana.domain_uuid).collect() }
    }

    impl World {
        fn config(&self) -> Option<PathBuf> {
            Some(self.folder.join("ramal.toml"))
        }

        /// What is listed, and which calls, in their order.
        async fn listed(&self, list: List) -> (String, Vec<u64>) {
            let mut out = Vec::new();
            run(&List { config: self.config(), ..list }, &mut out).await.unwrap();
            let text = String::from_utf8(out).unwrap();
            let calls = text.split("call-").skip(1).map(|rest| rest.split([',', '"']).next().unwrap().parse().unwrap());
            (text.clone(), calls.collect())
        }

        async fn told(&self, tenant: usize) -> Vec<String> {
            let told = self.store.records().deeds(self.tenants[tenant], 100).await.unwrap();
            let told = told.into_iter().rev().filter(|told| told.deed.action != "insert");
            told.map(|told| format!("{} {}", told.deed.action, told.deed.detail.unwrap_or_default())).collect()
        }
    }

    impl Drop for World {
        fn drop(&mut self) {
            // A folder that stays is litter, not a failure.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }

    #[tokio::test]
    async fn an_export_has_everything_once_and_each_tenant_is_told_of_its_own() {
        let world = world(900).await;
        let of_all = List { json: true, last: Some(850), ..List::default() };
        let (text, calls) = world.listed(of_all).await;
        assert_eq!((text.lines().count(), calls), (850, (50..900).collect()));
        assert_eq!(world.told(0).await, ["export begins", "export 637 exported"]);
        assert_eq!(world.told(1).await, ["export begins", "export 213 exported"]);
        let of_one = List { csv: true, domain: Some("b.example".into()), ..List::default() };
        let (text, calls) = world.listed(of_one).await;
        assert!(text.starts_with(table::HEAD));
        assert_eq!(calls, (0..900).filter(|number| number % 4 == 3).collect::<Vec<_>>());
        assert_eq!(world.told(0).await.len(), 2, "it is not its own");
        assert_eq!(world.told(1).await[2..], ["export begins", "export 225 exported"]);
        let none =
            List { json: true, domain: Some("a.example".into()), caller: Some("nobody".into()), ..List::default() };
        assert_eq!(world.listed(none).await.0, "");
        assert_eq!(world.told(0).await[2..], ["export begins", "export 0 exported"]);
    }

    #[tokio::test]
    async fn without_more_the_last_ten_are_shown_and_nobody_is_told() {
        let world = world(12).await;
        let (text, _) = world.listed(List::default()).await;
        assert_eq!((text.matches("called 8000").count(), world.told(0).await.len()), (10, 0));
        let nobody = List { domain: Some("a.example".into()), caller: Some("nobody".into()), ..List::default() };
        assert_eq!(world.listed(nobody).await.0, "There is no such conversation.\n");
    }

    #[tokio::test]
    async fn what_is_asked_to_be_erased_has_to_be_there() {
        let world = world(4).await;
        let config = crate::cli::load(world.config().as_deref()).unwrap();
        let of = |caller: &str| Which { caller: Some(caller.to_owned()), ..Which::default() };
        let none = keeping::erase(&config, "a.example", of("1001")).await.unwrap_err();
        assert!(none.to_string().contains("no conversation with this caller"), "{none}");
        let erased = keeping::erase(&config, "a.example", of("+5511999990000")).await.unwrap();
        assert_eq!(
            (erased.as_str(), world.store.conversations(9).await.unwrap().len()),
            ("3 conversations are deleted\n", 1)
        );
        let told = ["erase begins", "erase 0 deleted, 0 left", "erase begins", "erase 3 deleted, 0 left"];
        assert_eq!(world.told(0).await, told);
        assert!(keeping::release(&config, "a.example", "pbx-1").await.is_err(), "it had none");
    }
}
