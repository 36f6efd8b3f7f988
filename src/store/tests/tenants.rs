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

/// Whoever leaves the key as it is says so of the key that was seen: another one, set since, is neither lost nor under a provider
/// that it is not for.
pub(super) async fn what_somebody_else_set_meanwhile_stays(scratch: Scratch) {
    let store = &scratch.store;
    store.upsert_secretary(&entry("a.example", "8000", "Ana")).await.unwrap();
    let domain = found(store, "8000", None).await.domain_uuid;
    let (tenants, nothing) = (store.tenants(), TenantRow::default());
    let text = |text: &str| Some(text.to_owned());
    let first = TenantRow {
        realtime_provider: text("openai"),
        api_key_encrypted: text("v1.old"),
        monthly_budget_usd: text("5"),
        ..TenantRow::default()
    };
    assert!(tenants.save("one", domain, &first, &nothing).await.unwrap());
    assert!(!tenants.save("other", domain, &first, &nothing).await.unwrap(), "there is one by now");
    let seen = tenants.find(domain).await.unwrap().unwrap();
    let silent = |seen: &TenantRow| TenantRow { retention_days: Some(30), ..seen.clone() };
    for (provider, key) in [("openai", "v1.new"), ("gemini", "v1.newer")] {
        tenants.set_key(domain, provider, key).await.unwrap();
        assert!(!tenants.save("one", domain, &silent(&seen), &seen).await.unwrap(), "{provider}");
        let row = tenants.find(domain).await.unwrap().unwrap();
        assert_eq!((row.api_key_encrypted.as_deref(), row.realtime_provider.as_deref()), (Some(key), Some(provider)));
    }
    for change in ["monthly_budget_usd = 7", "max_concurrent_calls = 2", "calls_per_minute = 2", "budget_webhook = 'x'"]
    {
        let seen = tenants.find(domain).await.unwrap().unwrap();
        execute(store, format!("update v_voice_tenants set {change}")).await;
        assert!(!tenants.save("one", domain, &silent(&seen), &seen).await.unwrap(), "{change}");
    }
    let seen = tenants.find(domain).await.unwrap().unwrap();
    assert!(tenants.save("one", domain, &silent(&seen), &seen).await.unwrap());
    assert_eq!(tenants.find(domain).await.unwrap(), Some(silent(&seen)));
}
