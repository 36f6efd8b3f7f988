//! Conversations that are to be kept no longer: their recordings, then their rows. Nothing is left without what leads to it.
//!
//! Of several servers on one database each looks after all tenants, and deletes the conversations whose recording is on its own
//! disk, in a store, or nowhere.
mod strays;
mod telling;
#[cfg(test)]
mod tests;

use super::recorder::{self, Eraser, Receipt};
use crate::{
    api::Kept,
    config::Config,
    record::Recording,
    store::{Deed, Remains, Retention, Spill, Store, Which},
};
use anyhow::Context;
use chrono::{DateTime, Days, Utc};
use std::{collections::BTreeMap, fs, sync::Arc, time::Duration};
pub use telling::Telling;
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
/// How long the row of a recording that was sent to its store may take to appear.
const ROW_COMES: Duration = Duration::from_secs(7 * 24 * 3_600);

/// What became of conversations that were to be forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Nothing is left of so many.
    pub gone: u64,
    /// Of so many a recording could not be deleted, or their row does not say which it is, and so it is there as well.
    pub left: u64,
    /// So many have their recording on the servers of these names, who are to delete them.
    pub elsewhere: BTreeMap<String, u64>,
}

impl Forgotten {
    fn leave(&mut self, conversation: &str, problem: &anyhow::Error) {
        warn!(conversation, "a conversation is kept although it should not be: {problem:#}");
        self.left += 1;
    }
}

/// Deletes every conversation that is meant and that this server can delete, recordings included.
///
/// # Errors
/// The database does not answer. Those before it are gone.
pub async fn forget(
    store: &Arc<dyn Store>,
    eraser: &Arc<Eraser>,
    which: &Which,
    telling: &mut Telling<'_>,
    forgotten: &mut Forgotten,
) -> anyhow::Result<()> {
    let mut after = String::new();
    loop {
        let meant = store.records().kept(which, &after, BATCH).await?;
        let whole = meant.len() >= BATCH as usize;
        for Remains { key, recording } in meant {
            after.clone_from(&key);
            let read = key.parse::<Uuid>().context("its UUID is none").and_then(|uuid| Ok((uuid, recording?)));
            let (conversation, recording) = match read {
                Ok(read) => read,
                Err(problem) => {
                    forgotten.leave(&key, &problem);
                    continue;
                }
            };
            if let Some(node) = recording.as_ref().and_then(|recording| eraser.elsewhere(recording)) {
                *forgotten.elsewhere.entry(node.to_owned()).or_default() += 1;
                continue;
            }
            if recording.as_ref().is_some_and(|recording| eraser.has_to_wait(recording)) {
                forgotten.left += 1;
                continue;
            }
            telling.begin().await?;
            match erase(eraser, (which.domain, conversation), recording).await {
                Ok(()) => {
                    store.records().forget(which.domain, conversation).await?;
                    forgotten.gone += 1;
                }
                Err(problem) => forgotten.leave(&key, &problem),
            }
        }
        if !whole {
            return Ok(());
        }
    }
}

/// Deletes this conversation, recording first.
///
/// # Errors
/// Its recording cannot be deleted, or the database does not answer; then it is still there.
pub async fn forget_one(store: &dyn Store, eraser: &Arc<Eraser>, kept: Kept) -> anyhow::Result<()> {
    let Kept { domain, conversation, recording } = kept;
    erase(eraser, (domain, conversation), recording).await?;
    store.records().forget(domain, conversation).await?;
    Ok(())
}

async fn erase(
    eraser: &Arc<Eraser>,
    (domain, conversation): (Uuid, Uuid),
    recording: Option<Recording>,
) -> anyhow::Result<()> {
    let Some(recording) = recording else { return Ok(()) };
    let eraser = Arc::clone(eraser);
    spawn_blocking(move || eraser.erase(domain, conversation, &recording)).await.context("deleting broke")?
}

/// Keeps the conversations of each tenant for as long as it wants, until the process ends.
pub async fn run(store: Arc<dyn Store>, config: watch::Receiver<Arc<Config>>) {
    let mut next = Instant::now() + FIRST;
    loop {
        sleep_until(next).await;
        let config = Arc::clone(&config.borrow());
        if let Err(problem) = note_moved(&store, &config).await {
            warn!("rows of recordings that are in their store do not say so yet: {problem:#}");
        }
        if let Err(problem) = keep_to_time(&store, &config, Utc::now()).await {
            warn!("conversations whose time is over are still there: {problem:#}");
        }
        next = Instant::now() + EVERY;
    }
}

/// Has the rows of recordings that only the store has say so: from then on any server may delete them.
async fn note_moved(store: &Arc<dyn Store>, config: &Config) -> anyhow::Result<()> {
    let directory = config.recording.directory.clone();
    for Receipt { domain_uuid, conversation_uuid, noted, file } in
        spawn_blocking(move || recorder::receipts(&directory)).await?
    {
        let told = store.records().moved(domain_uuid, conversation_uuid).await?;
        if told || noted.elapsed().unwrap_or_default() > ROW_COMES {
            spawn_blocking(move || fs::remove_file(file)).await??;
        }
    }
    Ok(())
}

/// Forgets what is too old at this time. What is wrong with one tenant says nothing of the others.
async fn keep_to_time(store: &Arc<dyn Store>, config: &Config, now: DateTime<Utc>) -> anyhow::Result<()> {
    let eraser = Arc::new(Eraser::new(&config.recording)?);
    let spill = Spill::new(&config.database.spill);
    for Retention { domain, days } in retentions(store, config).await? {
        if let Err(problem) = keep_tenant(store, (&eraser, &spill), Retention { domain, days }, now).await {
            warn!(%domain, days, "conversations whose time is over are still there: {problem:#}");
        }
    }
    Ok(())
}

async fn keep_tenant(
    store: &Arc<dyn Store>,
    (eraser, spill): (&Arc<Eraser>, &Spill),
    Retention { domain, days }: Retention,
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    let Some(before) = now.checked_sub_days(Days::new(days.into())) else { return Ok(()) };
    let deed = Deed {
        domain,
        at: now,
        actor: "ramal".to_owned(),
        action: "retention".to_owned(),
        target: format!("conversations before {}", before.format("%Y-%m-%d %H:%M UTC")),
        detail: None,
    };
    let mut telling = Telling::of(&**store, deed);
    let (mut forgotten, mut strays) = (Forgotten::default(), Forgotten::default());
    let which = Which { domain, before: Some(before), ..Which::default() };
    let mut result = forget(store, eraser, &which, &mut telling, &mut forgotten).await;
    if result.is_ok() {
        result = strays::sweep(store, (eraser, spill), (domain, before), &mut telling, &mut strays).await;
    }
    let Forgotten { gone, left, elsewhere } = forgotten;
    if gone + left + strays.gone + strays.left > 0 || !elsewhere.is_empty() {
        info!(%domain, days, gone, left, ?elsewhere, strays = strays.gone, strays_left = strays.left, "Time is over");
    }
    let mut outcome = format!("{gone} deleted, {left} left");
    if !elsewhere.is_empty() {
        outcome.push_str(&format!(", {} on other servers", elsewhere.values().sum::<u64>()));
    }
    if strays.gone + strays.left > 0 {
        outcome
            .push_str(&format!("; recordings without a conversation: {} deleted, {} left", strays.gone, strays.left));
    }
    telling.end(outcome, &result).await?;
    result
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
