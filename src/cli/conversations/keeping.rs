//! What is kept of a caller, and for whom: to be deleted, and to be accounted for.
use crate::{
    config::Config,
    drivers::{
        archive::{self, Forgotten, Telling},
        recorder::Eraser,
    },
    paint::plain,
    secretary::DomainRef,
    store::{self, Deed, Store, Told, Which},
};
use anyhow::{Context, bail};
use chrono::{DateTime, Local, NaiveDate, NaiveTime, TimeZone, Utc};
use std::{fmt::Write as _, sync::Arc};
use uuid::Uuid;

/// Which tenant is meant.
///
/// # Errors
/// There is none of that name.
pub(super) async fn domain(store: &dyn Store, name: &str) -> anyhow::Result<Uuid> {
    let found = store.tenants().domain(&DomainRef::from(name)).await?;
    found.with_context(|| format!("there is no domain {name:?} in this database"))
}

/// A day (its beginning, here) or a moment (RFC 3339).
pub(super) fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Ok(moment.to_utc());
    }
    let day: NaiveDate =
        text.parse().map_err(|_| "is neither a day (2026-11-26) nor a moment of RFC 3339".to_owned())?;
    let midnight = Local.from_local_datetime(&day.and_time(NaiveTime::MIN)).earliest();
    midnight.map(|midnight| midnight.to_utc()).ok_or_else(|| "does not begin at midnight here".to_owned())
}

/// What is done by whoever runs this, as it begins.
pub(super) fn deed(domain: Uuid, action: &str, target: String) -> Deed {
    Deed { domain, at: Utc::now(), actor: store::actor(), action: action.to_owned(), target, detail: None }
}

/// Deletes conversations of a caller, with their recordings.
///
/// # Errors
/// There are none, or something of them is left; or the database does not answer.
pub(super) async fn erase(config: &Config, name: &str, which: Which) -> anyhow::Result<String> {
    let store = store::connect_existing(&config.database).await?;
    let domain = domain(&*store, name).await?;
    let eraser = Arc::new(Eraser::new(&config.recording)?);
    // Whose, would be to keep what was to be forgotten.
    let mut telling = Telling::of(&*store, deed(domain, "erase", "conversations of a caller".to_owned()));
    telling.begin().await?;
    let mut forgotten = Forgotten::default();
    let which = Which { domain, ..which };
    let result = archive::forget(&store, &eraser, &which, &mut telling, &mut forgotten).await;
    let Forgotten { gone, mut left, elsewhere } = forgotten;
    left += elsewhere.values().sum::<u64>();
    telling.end(format!("{gone} deleted, {left} left"), &result).await?;
    result?;
    if !elsewhere.is_empty() {
        let nodes: Vec<&str> = elsewhere.keys().map(String::as_str).collect();
        eprintln!(
            "Recordings are on {}: run this there as well, or release that server if it is gone",
            nodes.join(", ")
        );
    }
    if left > 0 {
        bail!("{gone} conversations are deleted; {left} are left, whose recordings could not be");
    }
    if gone == 0 {
        bail!(
            "there is no conversation with this caller: is the number as it is kept? `ramal conversations --domain` shows it"
        );
    }
    Ok(format!("{gone} conversations are deleted\n"))
}

/// No longer waits for a server that is gone to delete the recordings it had.
///
/// # Errors
/// It had none, or the database does not answer.
pub(super) async fn release(config: &Config, name: &str, node: &str) -> anyhow::Result<String> {
    let store = store::connect_existing(&config.database).await?;
    let domain = domain(&*store, name).await?;
    let mut telling = Telling::of(&*store, deed(domain, "release", format!("recordings on {node:?}")));
    telling.begin().await?;
    let released = store.records().let_go(domain, node).await;
    telling.end(format!("{} released", released.as_ref().copied().unwrap_or_default()), &released).await?;
    match released? {
        0 => bail!("no conversation of this tenant has its recording on {node:?}"),
        released => Ok(format!("{released} conversations no longer wait for {node:?}\n")),
    }
}

/// What was done in a tenant, the newest last.
///
/// # Errors
/// The database does not answer.
pub(super) async fn deeds(config: &Config, name: &str, last: u32) -> anyhow::Result<String> {
    let store = store::connect_existing(&config.database).await?;
    let domain = domain(&*store, name).await?;
    let mut text = String::new();
    for Told { deed, database_user } in store.records().deeds(domain, last).await?.iter().rev() {
        let Deed { at, actor, action, target, detail, .. } = deed;
        // Who somebody says to be, and as whom the database knew him.
        let user = database_user.as_ref().map(|user| format!(" ({})", plain(user))).unwrap_or_default();
        let at = at.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S");
        let detail = plain(detail.as_deref().unwrap_or_default());
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{at}  {}{user}  {action}  {}  {detail}", plain(actor), plain(target));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_day_or_more_exact() {
        assert_eq!(moment("2026-11-26T10:00:00-03:00").unwrap().to_rfc3339(), "2026-11-26T13:00:00+00:00");
        let day = moment("2026-11-26").unwrap().with_timezone(&Local);
        assert_eq!(day.naive_local().to_string(), "2026-11-26 00:00:00");
        assert!(moment("yesterday").is_err());
    }
}
