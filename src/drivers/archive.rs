//! Conversations that are to be kept no longer: their recordings, then their rows. Nothing is left without what leads to it.
use super::recorder::Eraser;
use crate::{
    config::Config,
    record::{Conversation, Recording},
    store::{Deed, Query, Retention, Store},
};
use anyhow::Context;
use chrono::{DateTime, Days, Utc};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Instant, sleep_until},
};
use tracing::{info, warn};
use uuid::Uuid;

/// After the start, when calls have come in that waited for it.
const FIRST: Duration = Duration::from_secs(60);
/// Between two looks for what is too old.
const EVERY: Duration = Duration::from_secs(3_600);
/// Conversations that are looked at together.
const BATCH: u32 = 200;

/// What became of conversations that were to be forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Nothing is left of so many.
    pub gone: u64,
    /// Of so many a recording could not be deleted, and so their row is there as well.
    pub left: u64,
}

/// Deletes every conversation that is meant, recordings included.
///
/// # Errors
/// The database does not answer. Those before it are gone.
pub async fn forget(store: &Arc<dyn Store>, eraser: &Arc<Eraser>, query: Query) -> anyhow::Result<Forgotten> {
    let (mut gone, mut left) = (0, BTreeSet::new());
    let mut query = Query { last: BATCH, ..query };
    loop {
        let meant = store.records().search(&query).await?;
        let before = gone;
        for Conversation { conversation_uuid, domain_uuid, recording, .. } in &meant {
            match erase(eraser, *conversation_uuid, recording.clone()).await {
                Ok(()) => {
                    store.records().forget(*domain_uuid, *conversation_uuid).await?;
                    gone += 1;
                }
                Err(problem) => {
                    warn!(%conversation_uuid, "a conversation is kept although it should not be: {problem:#}");
                    left.insert(*conversation_uuid);
                }
            }
        }
        let last = meant.last().filter(|_| meant.len() >= BATCH as usize).map(|last| last.started_at);
        let Some(oldest) = last else { return Ok(Forgotten { gone, left: left.len() as u64 }) };
        // Others may have begun in the same microsecond.
        query.to = Some(if gone > before { oldest + Duration::from_micros(1) } else { oldest });
    }
}

async fn erase(eraser: &Arc<Eraser>, conversation: Uuid, recording: Option<Recording>) -> anyhow::Result<()> {
    let Some(recording) = recording else { return Ok(()) };
    let eraser = Arc::clone(eraser);
    spawn_blocking(move || eraser.erase(conversation, &recording)).await.context("deleting broke")?
}

/// Keeps the conversations of each tenant for as long as it wants, until the process ends.
pub async fn run(store: Arc<dyn Store>, config: watch::Receiver<Arc<Config>>) {
    let mut next = Instant::now() + FIRST;
    loop {
        sleep_until(next).await;
        let config = Arc::clone(&config.borrow());
        if let Err(problem) = keep_to_time(&store, &config, Utc::now()).await {
            warn!("conversations whose time is over are still there: {problem:#}");
        }
        next = Instant::now() + EVERY;
    }
}

/// Forgets what is too old at this time.
async fn keep_to_time(store: &Arc<dyn Store>, config: &Config, now: DateTime<Utc>) -> anyhow::Result<()> {
    let eraser = Arc::new(Eraser::new(&config.recording)?);
    for Retention { domain, days } in retentions(store, config).await? {
        let Some(to) = now.checked_sub_days(Days::new(days.into())) else { continue };
        let query = Query { domain, to: Some(to), ..Query::default() };
        let Forgotten { gone, left } = forget(store, &eraser, query).await?;
        if gone + left > 0 {
            info!(%domain, days, gone, left, "Conversations whose time is over");
            let deed = Deed {
                domain,
                at: now,
                actor: "ramal".to_owned(),
                action: "retention".to_owned(),
                target: format!("conversations before {}", to.format("%Y-%m-%d %H:%M UTC")),
                detail: Some(format!("{gone} deleted, {left} left")),
            };
            store.records().tell(&deed).await?;
        }
    }
    Ok(())
}

/// Of the database, where the configuration file says nothing of that tenant.
async fn retentions(store: &Arc<dyn Store>, config: &Config) -> anyhow::Result<Vec<Retention>> {
    let mut all = store.records().retentions().await?;
    for entry in &config.tenancy.tenants {
        let Some(domain) = store.tenants().domain(&entry.domain).await? else { continue };
        all.retain(|retention| retention.domain != domain);
        all.extend(entry.tenant.retention_days.map(|days| Retention { domain, days }));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Environment,
        record::State,
        secretary::{DomainRef, Secretary, SecretaryEntry, SecretaryRow},
        store::{self, Found, Lookup},
    };
    use std::{fs, path::PathBuf};

    struct World {
        folder: PathBuf,
        config: Config,
        store: Arc<dyn Store>,
        ana: Secretary,
    }

    async fn world(tenants: &str) -> World {
        let folder = std::env::temp_dir().join(format!("ramal-archive-{}", Uuid::new_v4()));
        fs::create_dir_all(folder.join("r")).unwrap();
        let text = format!(
            "[database]\nurl = \"sqlite:{0}/ramal.db\"\n[recording]\ndirectory = \"{0}/r\"\n{tenants}",
            folder.display()
        );
        let config = Config::parse(&text, "test", &Environment::new()).unwrap();
        let store = store::connect(&config.database).await.unwrap();
        let row = SecretaryRow {
            secretary_name: "Ana".into(),
            extension: Some("8000".into()),
            realtime_provider: "local".into(),
            ..SecretaryRow::default()
        };
        store.upsert_secretary(&SecretaryEntry { domain: "a.example".into(), row }).await.unwrap();
        let lookup = Lookup { extension: "8000".into(), domain: Some(DomainRef::from("a.example")) };
        let Found::Secretary(ana) = store.find_secretary(&lookup).await.unwrap() else { panic!("no Ana") };
        World { folder, config, store, ana: *ana }
    }

    impl World {
        /// Keeps a conversation of so many days ago, with a recording of this path.
        async fn keep(&self, days: u64, path: &str) -> Conversation {
            let started_at = now().checked_sub_days(Days::new(days)).unwrap();
            let recording = Recording {
                state: State::Complete,
                path: Some(path.to_owned()),
                duration: Duration::ZERO,
                bytes: None,
                sha256: None,
                key_id: None,
                store: None,
                pauses: Vec::new(),
                gaps: Vec::new(),
                problem: None,
            };
            let mut kept = store::tests::conversation(&self.ana);
            (kept.started_at, kept.ended_at, kept.recording) = (started_at, started_at, Some(recording));
            fs::write(self.folder.join("r").join(path), "sound").unwrap();
            self.store.save_conversation(&kept).await.unwrap();
            kept
        }

        async fn left(&self) -> Vec<Uuid> {
            self.store.conversations(1_000).await.unwrap().iter().map(|kept| kept.conversation_uuid).collect()
        }
    }

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).unwrap()
    }

    #[tokio::test]
    async fn what_is_too_old_is_deleted_with_its_recording_and_the_rest_is_kept() {
        let world = world("[[tenants]]\ndomain = \"a.example\"\nretention_days = 90\n").await;
        let young = world.keep(89, "young.wav").await;
        world.keep(91, "old.wav").await;
        keep_to_time(&world.store, &world.config, now()).await.unwrap();
        assert_eq!(world.left().await, [young.conversation_uuid]);
        let there = |file: &str| world.folder.join("r").join(file).exists();
        assert!(there("young.wav") && !there("old.wav"));
        let deeds = world.store.records().deeds(world.ana.domain_uuid, 10).await.unwrap();
        let told = deeds.iter().find(|deed| deed.action == "retention").unwrap();
        assert_eq!((told.at, told.detail.as_deref()), (now(), Some("1 deleted, 0 left")));
        fs::remove_dir_all(&world.folder).unwrap();
    }

    #[tokio::test]
    async fn without_a_time_everything_is_kept() {
        let world = world("").await;
        world.keep(9_000, "old.wav").await;
        keep_to_time(&world.store, &world.config, now()).await.unwrap();
        assert_eq!(world.left().await.len(), 1);
        fs::remove_dir_all(&world.folder).unwrap();
    }

    #[tokio::test]
    async fn a_recording_that_cannot_be_deleted_keeps_its_row_and_holds_up_no_other() {
        let world = world("").await;
        let stuck = world.keep(50, "stuck").await;
        fs::remove_file(world.folder.join("r/stuck")).unwrap();
        fs::create_dir_all(world.folder.join("r/stuck")).unwrap();
        let many = usize::try_from(BATCH).unwrap() + 5;
        for number in 0..many {
            world.keep(60, &format!("{number}.wav")).await;
        }
        let eraser = Arc::new(Eraser::new(&world.config.recording).unwrap());
        let query = Query { domain: world.ana.domain_uuid, ..Query::default() };
        let forgotten = forget(&world.store, &eraser, query.clone()).await.unwrap();
        assert_eq!(forgotten, Forgotten { gone: many as u64, left: 1 });
        assert_eq!(world.left().await, [stuck.conversation_uuid]);
        let other = Query { domain: Uuid::new_v4(), ..query };
        assert_eq!(forget(&world.store, &eraser, other).await.unwrap(), Forgotten::default());
        fs::remove_dir_all(&world.folder).unwrap();
    }
}
