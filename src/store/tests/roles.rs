//! A server that owns nothing: it does its work by the role that our script makes.
use super::*;

/// The database of this scratch, as the role of the script.
async fn as_ramal(scratch: &Scratch) -> Database {
    execute(&scratch.store, "create table if not exists v_users (password text)".into()).await;
    execute(&scratch.store, include_str!("../../../scripts/postgres-role.sql").into()).await;
    database(&scratch.database.url.expose().replace("postgres@", "ramal@"))
}

#[tokio::test]
async fn a_role_that_may_do_little_is_enough() {
    let Some(owner) = postgres().await else { return };
    owner.store.upsert_secretary(&entry("a.example", "8000", "Ana")).await.unwrap();
    let place = accounts(&owner.store).await;
    let store = open(&as_ramal(&owner).await).await.unwrap();
    store.upsert_secretary(&entry("a.example", "8000", "Ana Maria")).await.unwrap();
    store.upsert_secretary(&entry("a.example", "8001", "Bia")).await.unwrap();
    let ana = found(&store, "8000", None).await;
    assert_eq!(ana.secretary_name, "Ana Maria");
    let kept = conversation(&ana);
    store.save_conversation(&kept).await.unwrap();
    let mut spending = Spending::from(&kept);
    spending.conversation = Uuid::new_v4();
    for _ in 0..2 {
        store.note_spending(&spending, Uuid::new_v4()).await.unwrap();
    }
    assert!(store.claim_alert(kept.domain_uuid, "2026-11", MicroUsd(1)).await.unwrap());
    assert!(store.bill(kept.domain_uuid, kept.conversation_uuid, ("local", MicroUsd(1))).await.unwrap());
    assert_eq!(store.conversations(1).await.unwrap().len(), 1);
    assert_eq!(store.registrations().await.unwrap().len(), 1);
    let now = chrono::Utc::now();
    assert!(store.lease(place, Lease { owner: "n", now, until: now + Duration::from_secs(45) }).await.unwrap());
    store.note(place, "n", &Standing { state: "registered", status_code: None, next_at: None }).await.unwrap();
    store.release(place, "n").await.unwrap();
    assert!(store.forget(kept.domain_uuid, kept.conversation_uuid).await.unwrap());
    store.set_key(ana.domain_uuid, "openai", "v1.x").await.unwrap();
    assert!(store.find(ana.domain_uuid).await.unwrap().is_some());
    let deeds = store.deeds(ana.domain_uuid, 1).await.unwrap();
    assert!(deeds[0].actor.starts_with("ramal"), "{deeds:?}");
    let Sql::Postgres(pool) = &store else { panic!("a server was asked for") };
    for forbidden in [
        "drop table v_voice_tenants",
        "select * from v_users",
        "update v_domains set domain_name = 'x'",
        "delete from v_voice_secretaries_realtime",
        "update v_voice_tenants set monthly_budget_usd = null",
        "update v_voice_conversations_realtime set cost_micro_usd = 0",
        "delete from v_voice_audit",
        "delete from v_voice_usage",
        "update v_voice_usage set domain_uuid = null",
        "update v_voice_budget_alerts set alert_micro_usd = 0",
        "create table mine (x int)",
    ] {
        let error = sqlx::raw_sql(forbidden).execute(pool).await.unwrap_err().to_string();
        assert!(error.contains("permission denied") || error.contains("must be owner"), "{forbidden}: {error}");
    }
    let error = store.upsert_secretary(&entry("new.example", "1", "Eva")).await.unwrap_err();
    assert!(error.to_string().contains("v_domains"), "{error}");
}

#[tokio::test]
async fn who_may_not_change_tables_says_that_they_are_out_of_date() {
    let Some(owner) = postgres().await else { return };
    let role = as_ramal(&owner).await;
    execute(
        &owner.store,
        "delete from _ramal_migrations where version = (select max(version) from _ramal_migrations)".into(),
    )
    .await;
    let error = open(&role).await.unwrap_err().to_string();
    assert!(error.contains("run this version once as their owner"), "{error}");
}

/// FusionPBX's upgrader alters columns while servers have prepared what they ask.
#[tokio::test]
async fn what_is_altered_below_a_running_server_is_read_as_before() {
    let Some(scratch) = postgres().await else { return };
    scratch.store.upsert_secretary(&entry("a.example", "8000", "Ana")).await.unwrap();
    for alteration in [
        "alter table v_voice_secretaries_realtime alter column secretary_name type text",
        "alter table v_voice_secretaries_realtime add column insert_date timestamptz",
        "alter table v_voice_conversations_realtime alter column call_uuid type text",
    ] {
        let ana = found(&scratch.store, "8000", None).await;
        scratch.store.save_conversation(&conversation(&ana)).await.unwrap();
        scratch.store.conversations(1).await.unwrap();
        execute(&scratch.store, alteration.into()).await;
    }
    let ana = found(&scratch.store, "8000", None).await;
    scratch.store.save_conversation(&conversation(&ana)).await.unwrap();
    assert_eq!(scratch.store.conversations(10).await.unwrap().len(), 4);
}
