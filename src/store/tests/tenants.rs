//! Settings and money of tenants, on both databases.
use super::*;
use crate::tenancy::{Tenant, TenantRow};
use chrono::Utc;

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

pub(super) async fn a_month_costs_what_its_rows_cost(scratch: Scratch) {
    let store = &scratch.store;
    for domain in ["a.example", "b.example"] {
        store.upsert_secretary(&entry(domain, "8000", "Ana")).await.unwrap();
    }
    let (ana, bia) = (found(store, "8000", Some("a.example")).await, found(store, "8000", Some("b.example")).await);
    let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    // Beyond what `estimated_cost` holds, which has four decimals.
    for (secretary, started_at, micros) in [
        (&ana, "2026-10-31T23:59:59.999Z", 1_000),
        (&ana, "2026-11-01T00:00:00Z", 12_345),
        (&ana, "2026-11-15T12:00:00.5Z", 7),
        (&ana, "2026-11-30T23:59:59Z", 3),
        (&ana, "2026-12-01T00:00:00Z", 1_000),
        (&bia, "2026-11-15T12:00:00Z", 1_000),
    ] {
        let mut conversation = conversation(secretary);
        (conversation.started_at, conversation.estimated_cost) = (at(started_at), MicroUsd(micros));
        store.save_conversation(&conversation).await.unwrap();
        let kept = store.conversations(20).await.unwrap();
        assert!(kept.iter().any(|kept| kept.estimated_cost == MicroUsd(micros)), "{kept:?}");
    }
    let november = (at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z"));
    assert_eq!(store.tenants().spent(ana.domain_uuid, november).await.unwrap(), MicroUsd(12_355));
    // A row from before the exact sum was kept.
    let old = "update v_voice_conversations_realtime set cost_micro_usd = null, estimated_cost = 0.5";
    execute(store, old.into()).await;
    assert_eq!(store.tenants().spent(bia.domain_uuid, november).await.unwrap(), MicroUsd(500_000));
    let january = (at("2027-01-01T00:00:00Z"), at("2027-02-01T00:00:00Z"));
    assert_eq!(store.tenants().spent(ana.domain_uuid, january).await.unwrap(), MicroUsd(0));
}
