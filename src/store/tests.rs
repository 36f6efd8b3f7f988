//! The same behaviour on both databases. PostgreSQL runs in a throw-away cluster of the tests' own.
use super::*;
use crate::{
    config::{Config, Environment},
    record::{
        KILLED, Listened, MediaQuality, MicroUsd, Outcome, Recording, Score, Span, Speaker, State, Trouble, TurnRecord,
        WayQuality,
    },
    secretary::{ProcessingMode, ProviderKind, SecretaryRow},
};
use chrono::DateTime;
use sqlx::Row;
use uuid::Uuid;

mod cluster;
mod directory;
mod knowledge;
mod pooler;
mod records;
mod roles;
mod spilling;
mod tenants;
mod usage;

/// A database that is gone after the test.
pub(crate) struct Scratch {
    database: Database,
    pub(crate) store: Sql,
    _directory: Directory,
    _cluster: Option<Arc<cluster::Cluster>>,
}

/// A directory that is gone after the test.
struct Directory(std::path::PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("ramal-test-{}", Uuid::new_v4()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A directory that stays is litter, not a failure.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn database(url: &str) -> Database {
    let text = format!("[database]\nurl = {url:?}\n");
    Config::parse(&text, "test", &Environment::new()).unwrap().database
}

pub(crate) async fn sqlite() -> Option<Scratch> {
    let directory = Directory::new();
    let database = database(&format!("sqlite:{}/ramal.db", directory.0.display()));
    let store = open(&database).await.unwrap();
    Some(Scratch { database, store, _directory: directory, _cluster: None })
}

pub(crate) async fn postgres() -> Option<Scratch> {
    let cluster = cluster::shared()?;
    let database = database(&cluster.new_database().await);
    let store = open(&database).await.unwrap();
    Some(Scratch { database, store, _directory: Directory::new(), _cluster: Some(cluster) })
}

/// One test body, two tests.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod on_sqlite { $(#[tokio::test] async fn $name() { if let Some(scratch) = super::sqlite().await { super::$name(scratch).await } })* }
        mod on_postgres { $(#[tokio::test] async fn $name() { if let Some(scratch) = super::postgres().await { super::$name(scratch).await } })* }
    };
}

on_both! {
    a_secretary_is_found_by_extension_and_tenant
    a_row_of_defaults_is_a_secretary
    a_row_with_broken_json_hurts_only_itself
    writing_an_entry_twice_updates_the_row
    a_conversation_is_kept_once_and_whole
    what_a_provider_charged_is_noted_at_the_conversation_of_its_tenant_alone
    a_deleted_secretary_leaves_its_conversations_and_a_deleted_domain_does_not
    a_conversation_outlives_its_secretary
    an_unknown_tenant_is_refused_for_good
    long_texts_do_not_cost_the_record
    starting_again_changes_nothing
    an_account_has_one_owner_who_says_how_it_stands
    accounts_that_are_switched_off_are_not_there
    settings_of_a_tenant_are_its_own
    what_somebody_else_set_meanwhile_stays
    a_month_costs_what_its_calls_cost
    what_is_erased_has_been_paid_for_and_what_is_saved_again_is_paid_for_once
    a_bill_stands_in_place_of_the_estimate
    what_a_call_has_cost_so_far_is_known_to_others_and_after_its_process_was_killed
    usage_is_told_by_day_secretary_and_provider_of_its_tenant_alone
    an_alert_is_claimed_once
    what_was_kept_before_there_was_a_ledger_is_in_it
    a_change_applies_to_the_next_call_and_what_did_not_change_is_not_asked_for
    an_invalid_row_takes_one_secretary_out_until_it_is_mended
    a_row_that_cannot_be_decoded_takes_one_secretary_out_and_says_why
    calls_go_by_what_was_known_while_the_database_is_away
    what_was_said_is_found_by_its_words_in_its_tenant_alone
    a_conversation_is_forgotten_by_its_tenant_alone
    what_is_to_be_forgotten_is_known_whatever_else_its_row_says
    a_recording_has_its_server_until_it_is_in_its_store_or_that_is_gone
    what_becomes_known_of_a_recording_is_in_its_row
    what_was_made_up_of_a_call_gives_way_to_its_own_record
    what_was_made_up_of_a_call_leaves_its_own_record_what_it_knew_of_the_file
    pages_have_every_conversation_once_and_the_unreadable_are_counted
    changes_of_secretaries_and_tenants_are_told_without_what_was_changed
    tenants_say_how_long_they_keep_conversations
    what_is_kept_is_found_by_its_words_in_its_collection_alone
    words_are_found_in_their_forms_and_the_best_comes_first
    a_document_that_is_written_anew_or_deleted_is_found_no_more
    nothing_of_another_tenants_knowledge_is_read_or_written
    a_full_collection_goes_documents_first_and_nothing_else_goes
    collections_and_documents_are_no_more_than_there_may_be
    what_a_secretary_may_look_up_is_kept_with_her
}

use directory::{
    a_change_applies_to_the_next_call_and_what_did_not_change_is_not_asked_for,
    a_row_that_cannot_be_decoded_takes_one_secretary_out_and_says_why,
    an_invalid_row_takes_one_secretary_out_until_it_is_mended, calls_go_by_what_was_known_while_the_database_is_away,
};

use knowledge::{
    a_document_that_is_written_anew_or_deleted_is_found_no_more,
    a_full_collection_goes_documents_first_and_nothing_else_goes,
    collections_and_documents_are_no_more_than_there_may_be, nothing_of_another_tenants_knowledge_is_read_or_written,
    what_a_secretary_may_look_up_is_kept_with_her, what_is_kept_is_found_by_its_words_in_its_collection_alone,
    words_are_found_in_their_forms_and_the_best_comes_first,
};
use records::{
    a_conversation_is_forgotten_by_its_tenant_alone,
    a_recording_has_its_server_until_it_is_in_its_store_or_that_is_gone,
    changes_of_secretaries_and_tenants_are_told_without_what_was_changed,
    pages_have_every_conversation_once_and_the_unreadable_are_counted, tenants_say_how_long_they_keep_conversations,
    what_becomes_known_of_a_recording_is_in_its_row, what_is_to_be_forgotten_is_known_whatever_else_its_row_says,
    what_was_made_up_of_a_call_gives_way_to_its_own_record,
    what_was_made_up_of_a_call_leaves_its_own_record_what_it_knew_of_the_file,
    what_was_said_is_found_by_its_words_in_its_tenant_alone,
};
use tenants::{settings_of_a_tenant_are_its_own, what_somebody_else_set_meanwhile_stays};
use usage::{
    a_bill_stands_in_place_of_the_estimate, a_month_costs_what_its_calls_cost, an_alert_is_claimed_once,
    usage_is_told_by_day_secretary_and_provider_of_its_tenant_alone,
    what_a_call_has_cost_so_far_is_known_to_others_and_after_its_process_was_killed,
    what_is_erased_has_been_paid_for_and_what_is_saved_again_is_paid_for_once,
    what_was_kept_before_there_was_a_ledger_is_in_it,
};

pub(crate) fn entry(domain: &str, extension: &str, name: &str) -> SecretaryEntry {
    SecretaryEntry {
        domain: domain.into(),
        row: SecretaryRow {
            secretary_name: name.into(),
            extension: Some(extension.into()),
            realtime_provider: "local".into(),
            provider_config: Some(r#"{"language":"pt-BR","answers":[{"questions":["Oi?"],"answer":"Olá!"}]}"#.into()),
            transfer_rules: Some(r#"[{"name":"financeiro","destination":"1002"}]"#.into()),
            recording: Some(true),
            dtmf_menu: Some(r#"{"options":[{"keys":"1","action":"transfer","to":"financeiro"}]}"#.into()),
            ..SecretaryRow::default()
        },
    }
}

fn lookup(extension: &str, domain: Option<&str>) -> Lookup {
    Lookup { extension: extension.into(), domain: domain.map(DomainRef::from) }
}

pub(crate) async fn found(store: &Sql, extension: &str, domain: Option<&str>) -> Secretary {
    match store.find_secretary(&lookup(extension, domain)).await.unwrap() {
        Found::Secretary(secretary) => *secretary,
        other => panic!("{other:?}"),
    }
}

/// A database that answers nothing.
pub(crate) async fn unplugged() -> Arc<dyn Store> {
    let scratch = sqlite().await.unwrap();
    if let Sql::Sqlite(pool) = &scratch.store {
        pool.close().await;
    }
    Arc::new(scratch.store.clone())
}

pub(crate) async fn execute(store: &Sql, sql: String) {
    let sql = sqlx::AssertSqlSafe(sql);
    match store {
        Sql::Postgres(pool) => sqlx::raw_sql(sql).execute(pool).await.map(drop).unwrap(),
        Sql::Sqlite(pool) => sqlx::raw_sql(sql).execute(pool).await.map(drop).unwrap(),
    }
}

fn media_quality() -> MediaQuality {
    let uplink = WayQuality {
        expected: 1_000,
        lost: 70,
        mean_run: Some(3.04),
        jitter_ms: 2.41,
        jitter_p95_ms: 4.0,
        jitter_max_ms: 9.13,
        score: Some(Score { r: 69.1, mos_cq: 3.56, mos_lq: 3.57, mos_min: 3.4 }),
    };
    MediaQuality {
        codec: "PCMU".into(),
        crypto: Some("AES_CM_128_HMAC_SHA1_80".into()),
        remote: "[2001:db8::1]:4000".parse().unwrap(),
        round_trip_ms: Some(42.37),
        round_trip_max_ms: Some(60.0),
        received: 930,
        late: 1,
        duplicated: 2,
        reordered: 3,
        concealed_ms: 1_400,
        sent: 1_000,
        foreign: 4,
        foreign_from: "203.0.113.9:5000".parse().ok(),
        uplink,
        downlink: Some(WayQuality { mean_run: None, ..uplink }),
        trouble: Trouble { skipped: 7, ..Trouble::default() },
    }
}

/// A conversation with her, as any other.
pub(crate) fn conversation(of: &Secretary) -> Conversation {
    let started_at = DateTime::from_timestamp_micros(1_790_000_000_123_456).unwrap();
    let turn = |who, text: &str, heard, cut, latency| TurnRecord {
        who,
        text: text.into(),
        at: Duration::from_millis(100),
        heard,
        cut,
        latency,
        waterfall: None,
    };
    Conversation {
        conversation_uuid: Uuid::new_v4(),
        domain_uuid: of.domain_uuid,
        secretary_realtime_uuid: Some(of.secretary_realtime_uuid),
        call_uuid: "3f2c@pbx".into(),
        caller_id: "+5511999990000".into(),
        destination: "8000".into(),
        started_at,
        ended_at: started_at + Duration::from_secs(42),
        turns: vec![
            turn(Speaker::Assistant, "Olá, \"tudo\" bem?", Some(Duration::from_millis(1_500)), true, None),
            turn(Speaker::Caller, "Não — 'quero' o financeiro", None, false, None),
            turn(Speaker::Assistant, "Sim.", Some(Duration::from_millis(400)), false, Some(Duration::from_millis(280))),
        ],
        changes: Vec::new(),
        outcome: Outcome::Transferred,
        end_reason: "transferred to 1002".into(),
        transfer_destination: Some("1002".into()),
        input_tokens: 1_234,
        output_tokens: 567,
        audio: Duration::from_millis(42_250),
        estimated_cost: MicroUsd(12_300),
        billed_cost: None,
        shares: Vec::new(),
        provider: "local".into(),
        engine: "whisper tiny, RHVoice".into(),
        recording: Some(Recording {
            state: State::Complete,
            path: Some("d/2026/09/21/3f2c.wav".into()),
            duration: Duration::from_millis(42_240),
            bytes: Some(1_351_724),
            sha256: Some("ab".repeat(32)),
            key_id: None,
            store: Some("s3://b/d/2026/09/21/3f2c.wav".into()),
            node: Some("pbx-1".into()),
            released: None,
            pauses: vec![Span { from: Duration::from_secs(3), to: Duration::from_secs(9) }],
            gaps: Vec::new(),
            problem: None,
        }),
        media_quality: Some(media_quality()),
        listened: vec![Listened { who: "uid 0".into(), from: Duration::from_secs(1), to: Duration::from_secs(9) }],
    }
}

async fn a_secretary_is_found_by_extension_and_tenant(scratch: Scratch) {
    let store = &scratch.store;
    for (domain, extension, name) in
        [("a.example", "8000", "Ana"), ("b.example", "8000", "Bia"), ("b.example", "8001", "Eva")]
    {
        store.upsert_secretary(&entry(domain, extension, name)).await.unwrap();
    }
    let ana = found(store, "8000", Some("A.Example")).await;
    assert_eq!((ana.secretary_name.as_str(), ana.domain_name.as_str()), ("Ana", "a.example"));
    assert_eq!(ana.provider_config.answers[0].answer, "Olá!");
    assert_eq!(ana.transfer_rules[0].destination, "1002");
    assert!(ana.keys.work_alone(), "{:?}", ana.keys);
    assert_eq!(found(store, "8000", Some(&ana.domain_uuid.to_string())).await, ana);
    assert_eq!(found(store, "8001", None).await.secretary_name, "Eva");
    assert_eq!(store.find_secretary(&lookup("8001", Some("a.example"))).await.unwrap(), Found::Nothing);
    assert_eq!(store.find_secretary(&lookup("' or 1=1 --", None)).await.unwrap(), Found::Nothing);
    assert_eq!(
        store.find_secretary(&lookup("8000", None)).await.unwrap(),
        Found::Ambiguous { domains: vec!["a.example".into(), "b.example".into()] }
    );
    execute(store, "update v_domains set domain_enabled = false where domain_name = 'b.example'".into()).await;
    assert_eq!(found(store, "8000", None).await, ana, "the other tenant is switched off");
    execute(store, "update v_voice_secretaries_realtime set enabled = false where secretary_name = 'Ana'".into()).await;
    let disabled = Found::Disabled { secretary: "Ana".into() };
    assert_eq!(store.find_secretary(&lookup("8000", Some("a.example"))).await.unwrap(), disabled);
}

/// What FusionPBX's form saves when only the required fields are filled in.
async fn a_row_of_defaults_is_a_secretary(scratch: Scratch) {
    let store = &scratch.store;
    store.upsert_secretary(&entry("a.example", "1", "other")).await.unwrap();
    execute(
        store,
        "insert into v_voice_secretaries_realtime (domain_uuid, secretary_name, extension, realtime_provider) \
         select domain_uuid, 'Plain', '2', 'openai' from v_domains"
            .into(),
    )
    .await;
    let plain = found(store, "2", None).await;
    assert!(!plain.secretary_realtime_uuid.is_nil() && plain.secretary_realtime_uuid.get_version_num() == 4);
    assert_eq!((plain.provider, plain.processing_mode), (ProviderKind::OpenAi, ProcessingMode::Realtime));
    assert_eq!((plain.vad_threshold, plain.silence, plain.max_turns), (0.5, Duration::from_millis(500), 50));
    assert_eq!(plain.max_duration, Duration::from_secs(300));
}

async fn a_row_with_broken_json_hurts_only_itself(scratch: Scratch) {
    let store = &scratch.store;
    store.upsert_secretary(&entry("a.example", "1", "Ana")).await.unwrap();
    store.upsert_secretary(&entry("a.example", "2", "Bia")).await.unwrap();
    execute(
        store,
        "update v_voice_secretaries_realtime set transfer_rules = '{\"no\":\"list\"}' where extension = '1'".into(),
    )
    .await;
    let Found::Invalid(error) = store.find_secretary(&lookup("1", None)).await.unwrap() else { panic!("it is valid") };
    assert_eq!((error.secretary.as_str(), error.column), ("Ana", "transfer_rules"));
    assert_eq!(found(store, "2", None).await.secretary_name, "Bia");
}

async fn writing_an_entry_twice_updates_the_row(scratch: Scratch) {
    let store = &scratch.store;
    store.upsert_secretary(&entry("a.example", "1", "Ana")).await.unwrap();
    let before = found(store, "1", None).await;
    let mut again = entry("A.EXAMPLE", "1", "Ana Maria");
    again.row.vad_threshold = Some(0.75);
    again.row.first_message = Some("Bom dia!".into());
    again.row.max_turns = Some(3);
    store.upsert_secretary(&again).await.unwrap();
    let after = found(store, "1", None).await;
    assert_eq!(after.secretary_realtime_uuid, before.secretary_realtime_uuid);
    assert_eq!((after.secretary_name.as_str(), after.max_turns, after.vad_threshold), ("Ana Maria", 3, 0.75));
    assert_eq!(after.first_message.as_deref(), Some("Bom dia!"));
}

async fn a_conversation_is_kept_once_and_whole(scratch: Scratch) {
    let store = &scratch.store;
    store.upsert_secretary(&entry("a.example", "8000", "Ana")).await.unwrap();
    let ana = found(store, "8000", None).await;
    let first = conversation(&ana);
    let mut second = conversation(&ana);
    second.started_at += Duration::from_secs(60);
    for c in [&first, &second, &first] {
        store.save_conversation(c).await.unwrap();
    }
    assert_eq!(store.conversations(10).await.unwrap(), [second.clone(), first]);
    assert_eq!(store.conversations(1).await.unwrap(), [second]);
    let sql = "select duration_seconds, total_turns, avg_latency_ms, outcome, cast(created_at as text) as created_at \
               from v_voice_conversations_realtime limit 1";
    let row: (i32, i32, i32, String, String) = match store {
        Sql::Postgres(pool) => sqlx::query_as(sql).fetch_one(pool).await.unwrap(),
        Sql::Sqlite(pool) => sqlx::query_as(sql).fetch_one(pool).await.unwrap(),
    };
    assert_eq!((row.0, row.1, row.2, row.3.as_str()), (42, 1, 280, "transferred"));
    assert!(row.4.starts_with("20"), "{}", row.4);
}

async fn what_a_provider_charged_is_noted_at_the_conversation_of_its_tenant_alone(scratch: Scratch) {
    let store = &scratch.store;
    store.upsert_secretary(&entry("a.example", "8000", "Ana")).await.unwrap();
    let kept = conversation(&found(store, "8000", None).await);
    let (domain, uuid) = (kept.domain_uuid, kept.conversation_uuid);
    assert!(!store.bill(domain, uuid, ("local", MicroUsd(1))).await.unwrap(), "it is not kept yet");
    store.save_conversation(&kept).await.unwrap();
    assert!(!store.bill(Uuid::new_v4(), uuid, ("local", MicroUsd(900_000))).await.unwrap(), "of another tenant");
    for _ in 0..2 {
        assert!(store.bill(domain, uuid, ("local", MicroUsd(92_000))).await.unwrap());
        store.save_conversation(&kept).await.unwrap();
    }
    let billed = store.conversations(1).await.unwrap()[0].billed_cost;
    assert_eq!(billed, Some(MicroUsd(92_000)));
}

async fn a_deleted_secretary_leaves_its_conversations_and_a_deleted_domain_does_not(scratch: Scratch) {
    let store = &scratch.store;
    store.upsert_secretary(&entry("a.example", "8000", "Ana")).await.unwrap();
    let ana = found(store, "8000", None).await;
    store.save_conversation(&conversation(&ana)).await.unwrap();
    execute(store, "delete from v_voice_secretaries_realtime".into()).await;
    assert_eq!(store.conversations(1).await.unwrap()[0].secretary_realtime_uuid, None);
    execute(store, "delete from v_domains".into()).await;
    assert_eq!(store.conversations(1).await.unwrap(), []);
}

async fn a_conversation_outlives_its_secretary(scratch: Scratch) {
    let store = &scratch.store;
    store.upsert_secretary(&entry("a.example", "8000", "Ana")).await.unwrap();
    let ana = found(store, "8000", None).await;
    execute(store, "delete from v_voice_secretaries_realtime".into()).await;
    store.save_conversation(&conversation(&ana)).await.unwrap();
    assert_eq!(store.conversations(1).await.unwrap()[0].secretary_realtime_uuid, None);
}

async fn an_unknown_tenant_is_refused_for_good(scratch: Scratch) {
    let store = &scratch.store;
    store.upsert_secretary(&entry("a.example", "8000", "Ana")).await.unwrap();
    let mut orphan = conversation(&found(store, "8000", None).await);
    orphan.domain_uuid = Uuid::new_v4();
    let error = store.save_conversation(&orphan).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused(_)) && !error.is_passing(), "{error:?}");
}

async fn long_texts_do_not_cost_the_record(scratch: Scratch) {
    let store = &scratch.store;
    store.upsert_secretary(&entry("a.example", "8000", "Ana")).await.unwrap();
    let mut long = conversation(&found(store, "8000", None).await);
    long.caller_id = "é".repeat(500);
    long.call_uuid = format!("{}\0", "x".repeat(500));
    long.turns[0].text = "nul \0 in a transcript".into();
    long.input_tokens = u64::MAX;
    store.save_conversation(&long).await.unwrap();
    let kept = &store.conversations(1).await.unwrap()[0];
    assert_eq!((kept.caller_id.chars().count(), kept.call_uuid.len()), (100, 255));
    assert_eq!(kept.input_tokens, 2_147_483_647);
}

async fn starting_again_changes_nothing(scratch: Scratch) {
    scratch.store.upsert_secretary(&entry("a.example", "8000", "Ana")).await.unwrap();
    let again = open(&scratch.database).await.unwrap();
    assert_eq!(found(&again, "8000", None).await.secretary_name, "Ana");
}

/// FusionPBX's upgrader makes the tables from names and types alone; the migration adds what is missing.
#[tokio::test]
async fn tables_that_fusionpbx_made_get_defaults_keys_and_checks() {
    let Some(cluster) = cluster::shared() else { return };
    let url = cluster.new_database().await;
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    let made = "create table v_domains (domain_uuid uuid primary key, domain_name text, domain_enabled text);
        create table v_default_settings (default_setting_uuid uuid primary key);
        create table v_voice_secretaries (voice_secretary_uuid uuid primary key);
        create table v_voice_secretaries_realtime (secretary_realtime_uuid uuid primary key, domain_uuid uuid,
            secretary_name text, extension text, realtime_provider text, provider_config jsonb, vad_threshold numeric,
            insert_date timestamptz);
        create table v_voice_conversations_realtime (conversation_uuid uuid primary key, domain_uuid uuid,
            secretary_realtime_uuid uuid, call_uuid text, insert_date timestamptz);
        insert into v_domains values ('00000000-0000-4000-8000-000000000001', 'pbx.example', 'true');
        insert into v_voice_secretaries_realtime (secretary_realtime_uuid, domain_uuid, secretary_name, extension,
            realtime_provider) values (gen_random_uuid(), '00000000-0000-4000-8000-000000000001', 'Old', '7', 'local')";
    sqlx::raw_sql(made).execute(&pool).await.unwrap();
    let store = open(&database(&url)).await.unwrap();
    assert_eq!(found(&store, "7", Some("pbx.example")).await.secretary_name, "Old");
    let error = store.upsert_secretary(&entry("typo.example", "8", "Ana")).await.unwrap_err();
    assert!(matches!(error, StoreError::NoSuchDomain(_)), "{error}");
    store.upsert_secretary(&entry("pbx.example", "8", "Ana")).await.unwrap();
    store.save_conversation(&conversation(&found(&store, "8", None).await)).await.unwrap();
    let rules = "select conname from pg_constraint where conname like 'v_voice_%' and contype in ('f', 'c') order by 1";
    let names: Vec<String> = sqlx::query(rules).fetch_all(&pool).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(
        names,
        [
            "v_voice_api_tokens_domain_fk",
            "v_voice_conversations_realtime_domain_fk",
            "v_voice_conversations_realtime_secretary_fk",
            "v_voice_knowledge_chunks_document_fk",
            "v_voice_knowledge_documents_knowledge_fk",
            "v_voice_knowledge_domain_fk",
            "v_voice_secretaries_processing_mode_check",
            "v_voice_secretaries_realtime_domain_fk",
            "v_voice_secretaries_realtime_mode_check",
            "v_voice_tenants_domain_fk",
        ]
    );
    pool.close().await;
}

/// Names, order, types, lengths, NOT NULL and defaults are those of the first design's own DDL, and columns of later.
#[tokio::test]
async fn the_tables_are_those_of_the_first_design() {
    let Some(scratch) = postgres().await else { return };
    let Sql::Postgres(pool) = &scratch.store else { panic!("a server was asked for") };
    let mut connection = pool.acquire().await.unwrap();
    sqlx::raw_sql("create schema design; set search_path = design, public").execute(&mut *connection).await.unwrap();
    sqlx::raw_sql(include_str!("tests/first_design.sql")).execute(&mut *connection).await.unwrap();
    let sql = "select concat_ws(' ', table_name, column_name, data_type, character_maximum_length, numeric_precision,
            numeric_scale, is_nullable, column_default)
        from information_schema.columns where table_schema = $1 and table_name like 'v_voice_%_realtime'
        order by table_name, ordinal_position";
    let designed: Vec<String> = sqlx::query_scalar(sql).bind("design").fetch_all(&mut *connection).await.unwrap();
    let mut ours: Vec<String> = sqlx::query_scalar(sql).bind("public").fetch_all(&mut *connection).await.unwrap();
    let later = [
        " processing_mode ",
        " dtmf_menu ",
        " recording ",
        " recording_pause ",
        " media_quality ",
        " billed_cost ",
        " max_concurrent_calls ",
        " cost_micro_usd ",
        " search_text ",
    ];
    ours.retain(|column| !later.iter().any(|name| column.contains(name)));
    assert_eq!(designed.len(), 41);
    assert_eq!(ours, designed);
    let indexes = "select indexname from pg_indexes where schemaname = $1 and tablename like 'v_voice_%_realtime' and indexname like 'idx_%' and indexname not like 'idx_voice_%' order by 1";
    let designed: Vec<String> = sqlx::query_scalar(indexes).bind("design").fetch_all(&mut *connection).await.unwrap();
    let ours: Vec<String> = sqlx::query_scalar(indexes).bind("public").fetch_all(&mut *connection).await.unwrap();
    assert_eq!(ours, designed);
}

#[tokio::test]
async fn what_cannot_be_opened_says_why() {
    for (url, want) in [
        ("sqlite:/nowhere/at/all/ramal.db", "the database is not available: sqlite:/nowhere/at/all/ramal.db:"),
        ("postgres://ramal:hunter2@127.0.0.1:1/x", "the database is not available:"),
        ("postgres://ramal:hunter2@127.0.0.1:no/x", "database.url is not valid:"),
    ] {
        let error = open(&database(url)).await.unwrap_err().to_string();
        assert!(error.starts_with(want) && !error.contains("hunter2"), "{error}");
    }
}

/// Two accounts of one tenant; the second is switched off.
async fn accounts(store: &Sql) -> Place {
    store.upsert_secretary(&entry("a.example", "8000", "Ana")).await.unwrap();
    let domain_uuid = found(store, "8000", None).await.domain_uuid;
    for (number, enabled) in [(1_u128, true), (2, false)] {
        let insert = "insert into v_voice_registrations \
            (registration_uuid, domain_uuid, registrar, username, password, srtp, codecs, codec_order, ping_seconds, enabled) \
            values ($1, $2, 'pbx.example', '2000', 'secret', 'required', 'opus,PCMA', 'ours', 30, $3)";
        let registration_uuid = Uuid::from_u128(number);
        match store {
            Sql::Postgres(pool) => {
                let query = sqlx::query(insert).bind(registration_uuid).bind(domain_uuid);
                query.bind(enabled).execute(pool).await.unwrap();
            }
            Sql::Sqlite(pool) => {
                let query = sqlx::query(insert).bind(registration_uuid.hyphenated()).bind(domain_uuid.hyphenated());
                query.bind(enabled).execute(pool).await.unwrap();
            }
        }
    }
    Place { domain_uuid, registration_uuid: Uuid::from_u128(1) }
}

async fn accounts_that_are_switched_off_are_not_there(scratch: Scratch) {
    let place = accounts(&scratch.store).await;
    let rows = scratch.store.registrations().await.unwrap();
    let [(there, written)] = &rows[..] else { panic!("one account, not {rows:?}") };
    assert_eq!(*there, place);
    assert_eq!((written.domain.as_deref(), written.expires_s), (Some("a.example"), Some(300)));
    assert_eq!((written.srtp.as_deref(), written.ping_s), (Some("required"), Some(30)));
    assert_eq!((written.codecs.as_deref(), written.codec_order.as_deref()), (Some("opus,PCMA"), Some("ours")));
    assert!(!format!("{written:?}").contains("secret"));
}

async fn an_account_has_one_owner_who_says_how_it_stands(scratch: Scratch) {
    let place = accounts(&scratch.store).await;
    let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    let at = |seconds| start + chrono::TimeDelta::seconds(seconds);
    let store = &scratch.store;
    let lease = async |owner, seconds| {
        let lease = Lease { owner, now: at(seconds), until: at(seconds + 45) };
        store.lease(place, lease).await.unwrap()
    };
    assert!(lease("one", 0).await && lease("one", 10).await, "a lease is renewed");
    assert!(!lease("two", 54).await, "while it lasts nobody else gets it");
    assert!(lease("two", 56).await, "and then somebody does");
    assert!(!lease("one", 57).await);
    let other = Place { domain_uuid: Uuid::from_u128(9), ..place };
    let stolen = Lease { owner: "two", now: at(58), until: at(99) };
    assert!(!store.lease(other, stolen).await.unwrap(), "an account of another tenant is none");
    let standing = Standing { state: "registered", status_code: Some(200), next_at: Some(at(200)) };
    for owner in ["two", "one"] {
        let standing = Standing { state: if owner == "two" { "registered" } else { "failed" }, ..standing.clone() };
        store.note(place, owner, &standing).await.unwrap();
    }
    assert_eq!(state(store).await.as_deref(), Some("registered"), "who has no lease has no say");
    store.release(place, "one").await.unwrap();
    assert!(!lease("one", 60).await);
    store.release(place, "two").await.unwrap();
    assert!(lease("one", 61).await);
    assert_eq!(state(store).await.as_deref(), Some("removed"));
}

async fn state(store: &Sql) -> Option<String> {
    let select = "select state from v_voice_registrations where owner is not null or state is not null";
    match store {
        Sql::Postgres(pool) => sqlx::query_scalar(select).fetch_one(pool).await.unwrap(),
        Sql::Sqlite(pool) => sqlx::query_scalar(select).fetch_one(pool).await.unwrap(),
    }
}
