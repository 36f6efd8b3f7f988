//! Settings of tenants, on both databases.
use super::*;
use crate::tenancy::{Tenant, TenantRow};

pub(super) async fn settings_of_a_tenant_are_its_own(scratch: Scratch) {
    let store = &scratch.store;
    for domain in ["a.example", "b.example"] {
        let mut entry = entry(domain, "8000", "Ana");
        entry.row.max_concurrent_calls = Some(2);
        store.upsert_secretary(&entry).await.unwrap();
    }
    let ana = found(store, "8000", Some("a.example")).await;
    assert_eq!(ana.max_concurrent_calls, Some(2));
    let other = found(store, "8000", Some("b.example")).await.domain_uuid;
    assert_eq!(store.tenants().find(ana.domain_uuid).await.unwrap(), None);
    let columns = "domain_uuid, realtime_provider, max_concurrent_calls, monthly_budget_usd, time_zone, recording, refusal_status";
    let values = "'openai', 10, '100.05', 'America/Sao_Paulo', true, 503";
    let insert = format!(
        "insert into v_voice_tenants ({columns}) select domain_uuid, {values} from v_domains where domain_name = 'a.example'"
    );
    // PostgreSQL takes no text for a number, and SQLite no number for a sum of money.
    let insert = if matches!(store, Sql::Postgres(_)) { insert.replace("'100.05'", "100.05") } else { insert };
    execute(store, insert).await;
    let row = store.tenants().find(ana.domain_uuid).await.unwrap().unwrap();
    let expected = TenantRow {
        realtime_provider: Some("openai".into()),
        max_concurrent_calls: Some(10),
        monthly_budget_usd: row.monthly_budget_usd.clone(),
        time_zone: Some("America/Sao_Paulo".into()),
        recording: Some(true),
        refusal_status: Some(503),
        ..TenantRow::default()
    };
    assert_eq!(row, expected);
    assert_eq!(Tenant::parse(row).unwrap().budget.map(|budget| budget.monthly), Some(MicroUsd(100_050_000)));
    assert_eq!(store.tenants().find(other).await.unwrap(), None, "it is the other's");
    execute(store, "delete from v_domains where domain_name = 'a.example'".into()).await;
    assert_eq!(store.tenants().find(ana.domain_uuid).await.unwrap(), None, "it goes with its domain");
}
