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
    assert!(store.moved(kept.domain_uuid, kept.conversation_uuid).await.unwrap());
    assert_eq!(store.let_go(kept.domain_uuid, "").await.unwrap(), 1);
    let patch = serde_json::json!({"bytes": 1});
    assert!(store.correct((kept.domain_uuid, kept.conversation_uuid), "p", &patch).await.unwrap());
    assert!(store.forget(kept.domain_uuid, kept.conversation_uuid).await.unwrap());
    store.set_key(ana.domain_uuid, "openai", "v1.x").await.unwrap();
    assert!(store.find(ana.domain_uuid).await.unwrap().is_some());
    let deeds = store.deeds(ana.domain_uuid, 1).await.unwrap();
    assert!(deeds[0].deed.actor.starts_with("ramal"), "{deeds:?}");
    assert_eq!(deeds[0].database_user.as_deref(), Some("ramal"));
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
async fn a_role_that_serves_the_api_may_do_what_that_does_and_no_more() {
    let Some(owner) = postgres().await else { return };
    owner.store.upsert_secretary(&entry("a.example", "8000", "Ana")).await.unwrap();
    let role = as_ramal(&owner).await;
    let store = open(&role).await.unwrap();
    let ana = found(&store, "8000", None).await;
    let token = TokenRecord {
        id: "0123456789abcdef".into(),
        name: "panel".into(),
        hash: "00".repeat(32),
        domain: Some(ana.domain_uuid),
        created_at: chrono::Utc::now(),
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
    };
    let now = chrono::Utc::now();
    assert!(store.add_token(&token).await.is_err(), "without its script");
    assert!(store.remove("token panel", ana.domain_uuid, ana.secretary_realtime_uuid).await.is_err());
    let collection = knowledge::collection(ana.domain_uuid, "Preços");
    let (of, document) = ((collection.domain_uuid, collection.knowledge_uuid), knowledge::document(&collection, "a"));
    let manuscript = Manuscript { document: &document, text: "O preço é 10." };
    assert!(store.add_collection("token panel", &collection).await.is_err());
    assert_eq!(store.look_up(of, "preço", 5).await.unwrap(), [], "calls look things up");
    execute(&owner.store, include_str!("../../../scripts/postgres-role-api.sql").into()).await;
    assert_eq!(store.add_collection("token panel", &collection).await.unwrap(), Kept::Done);
    assert_eq!(store.add_document("token panel", manuscript).await.unwrap(), Kept::Done);
    assert_eq!(store.replace_document("token panel", manuscript).await.unwrap(), Kept::Done);
    assert_eq!(store.look_up(of, "preço", 5).await.unwrap().len(), 1);
    assert!(store.remove_document("token panel", of, document.document_uuid).await.unwrap());
    assert!(store.remove_collection("token panel", of.0, of.1).await.unwrap());
    store.add_token(&token).await.unwrap();
    store.touch_token(&token.id, now).await.unwrap();
    assert!(store.token(&token.id).await.unwrap().unwrap().last_used_at.is_some());
    assert!(store.revoke_token(&token.id, now).await.unwrap());
    let row = crate::tenancy::TenantRow { max_concurrent_calls: Some(1), ..Default::default() };
    assert!(store.save("token panel", ana.domain_uuid, &row, &Default::default()).await.unwrap());
    assert!(store.remove("token panel", ana.domain_uuid, ana.secretary_realtime_uuid).await.unwrap());
    assert_eq!(store.deeds(ana.domain_uuid, 1).await.unwrap()[0].deed.actor, "token panel");
    let Sql::Postgres(pool) = &store else { panic!("a server was asked for") };
    for forbidden in [
        "delete from v_voice_tenants",
        "delete from v_voice_api_tokens",
        "update v_voice_api_tokens set domain_uuid = null",
        "update v_voice_api_tokens set revoked_at = null, token_hash = ''",
        "update v_voice_tenants set domain_uuid = gen_random_uuid()",
        "update v_voice_knowledge set domain_uuid = gen_random_uuid()",
        "update v_voice_knowledge_documents set domain_uuid = gen_random_uuid()",
    ] {
        let error = sqlx::raw_sql(forbidden).execute(pool).await.unwrap_err().to_string();
        assert!(error.contains("permission denied"), "{forbidden}: {error}");
    }
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

/// Anybody may say to be somebody else; the database knows better.
#[tokio::test]
async fn whoever_says_to_be_another_is_known_by_the_user_of_the_database() {
    let Some(owner) = postgres().await else { return };
    owner.store.upsert_secretary(&entry("a.example", "8000", "Ana")).await.unwrap();
    let domain = found(&owner.store, "8000", None).await.domain_uuid;
    let store = open(&as_ramal(&owner).await).await.unwrap();
    let insert = "insert into v_voice_audit (domain_uuid, actor, action, database_user)";
    execute(&store, format!("{insert} values ('{domain}', 'user admin', 'erase', 'postgres')")).await;
    let rename = "update v_voice_secretaries_realtime set secretary_name";
    execute(&store, format!("set ramal.actor = 'user admin'; {rename} = 'Bia'; reset ramal.actor")).await;
    execute(&owner.store, format!("set role ramal; {rename} = 'Eva'; reset role")).await;
    let told = owner.store.deeds(domain, 3).await.unwrap();
    let told: Vec<(&str, Option<&str>)> =
        told.iter().map(|told| (told.deed.actor.as_str(), told.database_user.as_deref())).collect();
    let [(_, Some("postgres as ramal")), ("user admin", Some("ramal")), ("user admin", Some("ramal"))] = told[..]
    else {
        panic!("{told:?}");
    };
}

/// What a server prepares it keeps until the connection ends, which is half an hour of questions.
#[tokio::test]
async fn no_statement_is_left_on_the_server() {
    let Some(scratch) = postgres().await else { return };
    let store = open(&Database { pool: 1, ..scratch.database.clone() }).await.unwrap();
    let Sql::Postgres(pool) = &store else { panic!("a server was asked for") };
    store.upsert_secretary(&entry("a.example", "8000", "Ana")).await.unwrap();
    let ana = found(&store, "8000", None).await;
    for _ in 0..5 {
        found(&store, "8000", None).await;
        store.save_conversation(&conversation(&ana)).await.unwrap();
        store.conversations(1).await.unwrap();
        store.find(ana.domain_uuid).await.unwrap();
    }
    let left = sqlx::raw_sql("select name from pg_prepared_statements").fetch_all(pool).await.unwrap();
    assert_eq!((pool.size(), left.len()), (1, 0));
}

#[tokio::test]
async fn a_connection_knows_its_deadline_and_its_author() {
    let Some(scratch) = postgres().await else { return };
    let Sql::Postgres(pool) = &scratch.store else { panic!("a server was asked for") };
    let told = "select current_setting('statement_timeout'), current_setting('ramal.actor')";
    let (deadline, author): (String, String) = sqlx::query_as(told).fetch_one(pool).await.unwrap();
    assert_eq!((deadline.as_str(), author.starts_with("ramal")), ("5s", true), "{author}");
}
