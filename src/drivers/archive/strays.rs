//! Recordings whose time is over and that no row leads to: a process that died before it kept the row, a spill that was lost.
use super::{BATCH, Forgotten, Telling};
use crate::{
    drivers::recorder::Eraser,
    store::{Remains, Spill, Store, Which},
};
use anyhow::Context;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use std::{collections::BTreeSet, sync::Arc};
use tokio::task::spawn_blocking;
use tracing::warn;
use uuid::Uuid;

/// Deletes recordings of a tenant that nobody wrote to since `before`, of days that ended before. A record that waits for the
/// database in the spill file comes into it, and goes with its recording later.
pub(super) async fn sweep(
    store: &Arc<dyn Store>,
    (eraser, spill): (&Arc<Eraser>, &Spill),
    (domain, before): (Uuid, DateTime<Utc>),
    telling: &mut Telling<'_>,
    strays: &mut Forgotten,
) -> anyhow::Result<()> {
    // A call that rang before midnight was answered after it: a day is over when the next is.
    let Some(last) = before.date_naive().checked_sub_days(Days::new(1)) else { return Ok(()) };
    let looking = Arc::clone(eraser);
    let days = spawn_blocking(move || looking.days(domain, last)).await?.context("the folder of recordings")?;
    if days.is_empty() {
        return Ok(());
    }
    let spill = spill.clone();
    // Read before the rows: what leaves the file meanwhile is one.
    let spilled = spawn_blocking(move || spill.recordings()).await?.context("the spill file")?;
    for day in days {
        let looking = Arc::clone(eraser);
        let paths = spawn_blocking(move || looking.of_day(domain, day)).await??;
        let Some(known) = known(store, domain, day).await? else {
            if !paths.is_empty() {
                warn!(%domain, %day, "recordings are left, since a row of their time does not say which is its own");
            }
            continue;
        };
        for path in paths.into_iter().filter(|path| !known.contains(path) && !spilled.contains(path)) {
            let (looking, stray) = (Arc::clone(eraser), path.clone());
            // Its time is yet to come, and there is nothing to tell.
            if spawn_blocking(move || looking.is_written_since(&stray, before)).await? {
                continue;
            }
            telling.begin().await?;
            let (erasing, stray) = (Arc::clone(eraser), path.clone());
            match spawn_blocking(move || erasing.erase_stray(&stray)).await.context("deleting broke")? {
                Ok(()) => strays.gone += 1,
                Err(problem) => {
                    warn!(%path, "a recording without a conversation is left: {problem:#}");
                    strays.left += 1;
                }
            }
        }
        let tidying = Arc::clone(eraser);
        spawn_blocking(move || tidying.tidy(domain, day)).await?;
    }
    Ok(())
}

/// The recordings of all rows of about that day; `None` if a row does not say which is its own.
async fn known(store: &Arc<dyn Store>, domain: Uuid, day: NaiveDate) -> anyhow::Result<Option<BTreeSet<String>>> {
    let midnight = day.and_time(NaiveTime::MIN).and_utc();
    let (from, before) = (midnight.checked_sub_days(Days::new(1)), midnight.checked_add_days(Days::new(3)));
    let which = Which { domain, from, before, ..Which::default() };
    let (mut paths, mut after) = (BTreeSet::new(), String::new());
    loop {
        let rows = store.records().kept(&which, &after, BATCH).await?;
        let whole = rows.len() >= BATCH as usize;
        for Remains { key, recording } in rows {
            after = key;
            let Ok(recording) = recording else { return Ok(None) };
            paths.extend(recording.and_then(|recording| recording.path));
        }
        if !whole {
            return Ok(Some(paths));
        }
    }
}
