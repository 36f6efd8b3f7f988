//! `[[tenants]]` entries whose domains only the database can tell apart.
use crate::{config::TenantEntry, secretary::DomainRef, store::Store};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Refuses two entries of one tenant, one by its name and one by its UUID: which of them held would be chance.
///
/// # Errors
/// There are two such, or the database does not say.
pub(super) async fn distinct(store: &dyn Store, entries: &[TenantEntry]) -> Result<()> {
    let is_name = |entry: &TenantEntry| matches!(entry.domain, DomainRef::Name(_));
    // Two names, or two UUIDs, are told apart where the file is read.
    if entries.iter().all(is_name) || !entries.iter().any(is_name) {
        return Ok(());
    }
    let mut known: BTreeMap<Uuid, &DomainRef> = BTreeMap::new();
    for TenantEntry { domain, .. } in entries {
        let found = store.tenants().domain(domain).await.context("[[tenants]]")?;
        if let Some(before) = found.and_then(|uuid| known.insert(uuid, domain)) {
            ensure!(false, "tenants.domain: {before} and {domain} are one domain, of which two entries say something");
        }
    }
    Ok(())
}
