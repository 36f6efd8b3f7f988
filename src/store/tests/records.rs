//! What is kept is found by its words, forgotten when it is asked for, and changes have an author.
use super::*;

/// Keeps conversations of two tenants; returns the domain of the first and its conversations, the oldest first.
async fn kept(store: &Sql) -> (Uuid, Vec<Conversation>) {
    for domain in ["a.example", "b.example"] {
        store.upsert_secretary(&entry(domain, "8000", "Ana")).await.unwrap();
    }
    let (ana, other) = (found(store, "8000", Some("a.example")).await, found(store, "8000", Some("b.example")).await);
    let mut all = Vec::new();
    for (day, (of, caller, said)) in [
        (&ana, "100", "Não recebi o BOLETO de março"),
        (&ana, "200", "Quero pagar um boleto."),
        (&ana, "100", "' OR 1=1 -- % _ \\ :* & |"),
        (&other, "100", "O boleto do outro"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut conversation = conversation(of);
        conversation.started_at += Duration::from_secs(86_400 * day as u64);
        conversation.caller_id = caller.into();
        conversation.turns[1].text = said.into();
        store.save_conversation(&conversation).await.unwrap();
        all.push(conversation);
    }
    all.pop();
    (ana.domain_uuid, all)
}

/// The conversations that are meant, as far as they can be read.
async fn searched(store: &Sql, query: Query) -> Vec<Conversation> {
    store.search(&query, None).await.unwrap().into_iter().filter_map(|one| one.row.ok()).collect()
}

pub(super) async fn what_was_said_is_found_by_its_words_in_its_tenant_alone(scratch: Scratch) {
    let store = &scratch.store;
    let (domain, all) = kept(store).await;
    let found = async |query: Query| {
        let found = searched(store, Query { domain, last: 10, ..query }).await;
        found.iter().map(|one| all.iter().position(|other| other == one).unwrap()).collect::<Vec<_>>()
    };
    for (words, want) in [
        ("", vec![2, 1, 0]),
        ("boleto", vec![1, 0]),
        ("NAO bole", vec![0]),
        ("marco", vec![0]),
        ("oleto", vec![]),
        ("boleto dinheiro", vec![]),
        ("outro", vec![]),
        ("1=1", vec![2]),
        ("' | & ! : * % \\", vec![2, 1, 0]),
    ] {
        assert_eq!(found(Query { words: words.into(), ..Query::default() }).await, want, "{words}");
    }
    assert_eq!(found(Query { caller: Some("100".into()), ..Query::default() }).await, [2, 0]);
    let (from, to) = (Some(all[1].started_at), Some(all[2].started_at));
    assert_eq!(found(Query { from, to, ..Query::default() }).await, [1]);
    assert_eq!(searched(store, Query { domain, last: 1, ..Query::default() }).await, [all[2].clone()]);
}

pub(super) async fn a_conversation_is_forgotten_by_its_tenant_alone(scratch: Scratch) {
    let store = &scratch.store;
    let (domain, all) = kept(store).await;
    let first = all[0].conversation_uuid;
    assert!(!store.forget(Uuid::new_v4(), first).await.unwrap(), "of another tenant");
    assert!(store.forget(domain, first).await.unwrap());
    assert!(!store.forget(domain, first).await.unwrap());
    assert_eq!(store.conversations(10).await.unwrap().len(), 3);
}

/// The keys of what is kept of a tenant; `None` stands for a recording of which nobody can tell.
async fn recordings(store: &Sql, which: &Which) -> Vec<(String, Option<Option<Recording>>)> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let some = store.kept(which, &after, 2).await.unwrap();
        let last = some.len() < 2;
        all.extend(some.into_iter().map(|kept| (kept.key, kept.recording.ok())));
        match all.last() {
            Some((key, _)) if !last => after.clone_from(key),
            _ => return all,
        }
    }
}

pub(super) async fn what_is_to_be_forgotten_is_known_whatever_else_its_row_says(scratch: Scratch) {
    let store = &scratch.store;
    let (domain, all) = kept(store).await;
    let which =
        |caller: Option<&str>, before| Which { domain, caller: caller.map(str::to_owned), before, ..Which::default() };
    let mut keys: Vec<String> = all.iter().map(|one| one.conversation_uuid.to_string()).collect();
    keys.sort_unstable();
    let unread = "update v_voice_conversations_realtime set outcome = 'lost', transcript = '7', caller_id = '100', \
        started_at = null, created_at = '2020-01-01T00:00:00Z'";
    execute(store, format!("{unread} where conversation_uuid = '{}'", all[1].conversation_uuid)).await;
    let broken = r#"update v_voice_conversations_realtime set recording = '{"path":7}'"#;
    execute(store, format!("{broken} where conversation_uuid = '{}'", all[2].conversation_uuid)).await;
    let found = recordings(store, &which(None, None)).await;
    assert_eq!(found.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>(), keys);
    for (key, recording) in found {
        let of_broken = key == all[2].conversation_uuid.to_string();
        assert_eq!(recording, (!of_broken).then(|| all[0].recording.clone()), "{key}");
    }
    assert_eq!(recordings(store, &which(Some("100"), None)).await.len(), 3);
    assert_eq!(recordings(store, &which(Some("200"), None)).await.len(), 0);
    assert_eq!(recordings(store, &which(None, Some(all[2].started_at))).await.len(), 2);
    let since = Which { from: Some(all[2].started_at), ..which(None, None) };
    assert_eq!(recordings(store, &since).await.len(), 1);
    assert!(recordings(store, &Which { domain: Uuid::new_v4(), ..Which::default() }).await.is_empty());
    assert_eq!(searched(store, Query { domain, last: 9, ..Query::default() }).await, [all[0].clone()]);
}

pub(super) async fn a_recording_has_its_server_until_it_is_in_its_store_or_that_is_gone(scratch: Scratch) {
    let store = &scratch.store;
    let (domain, all) = kept(store).await;
    let node = async |number: usize| {
        let kept = store.conversations(10).await.unwrap();
        let one = kept.into_iter().find(|one| one.conversation_uuid == all[number].conversation_uuid).unwrap();
        let recording = one.recording.unwrap();
        (recording.node, recording.released)
    };
    let (own, gone) = (Some("pbx-1".to_owned()), Some("pbx-1".to_owned()));
    let first = all[0].conversation_uuid;
    assert!(!store.moved(Uuid::new_v4(), first).await.unwrap(), "of another tenant");
    assert_eq!(node(0).await, (own.clone(), None));
    assert!(store.moved(domain, first).await.unwrap());
    assert_eq!((node(0).await, node(1).await), ((None, None), (own.clone(), None)));
    assert_eq!(store.let_go(Uuid::new_v4(), "pbx-1").await.unwrap(), 0, "of another tenant");
    assert_eq!(store.let_go(domain, "pbx-2").await.unwrap(), 0);
    let nothing = "update v_voice_conversations_realtime set recording = null";
    execute(store, format!("{nothing} where conversation_uuid = '{}'", all[2].conversation_uuid)).await;
    assert_eq!(store.let_go(domain, "pbx-1").await.unwrap(), 1);
    assert_eq!((node(0).await, node(1).await), ((None, None), (None, gone)));
    assert_eq!(store.let_go(domain, "").await.unwrap(), 1, "what names no server");
    assert_eq!(node(0).await, (None, Some(String::new())));
}

pub(super) async fn what_becomes_known_of_a_recording_is_in_its_row(scratch: Scratch) {
    let store = &scratch.store;
    let (domain, all) = kept(store).await;
    let recording = async |number: usize| {
        let kept = store.conversations(10).await.unwrap();
        kept.into_iter().find(|one| one.conversation_uuid == all[number].conversation_uuid).unwrap().recording
    };
    let read = |json: serde_json::Value| serde_json::from_value::<Recording>(json).unwrap();
    let [late, whole, none] = [0, 1, 2].map(|number| all[number].conversation_uuid);
    let early = r#"{"state":"partial","path":"p","duration_ms":1,"problem":"slow","node":"pbx-1"}"#;
    for (json, of) in [(format!("'{early}'"), late), ("null".to_owned(), none)] {
        let set = format!("update v_voice_conversations_realtime set recording = {json}");
        execute(store, format!("{set} where conversation_uuid = '{of}'")).await;
    }
    let patch = serde_json::json!({
        "state": "complete", "duration_ms": 9, "bytes": 5, "sha256": "ab", "gaps": null, "problem": null,
    });
    assert!(!store.correct((Uuid::new_v4(), late), "p", &patch).await.unwrap(), "of another tenant");
    assert!(store.correct((domain, late), "q", &patch).await.unwrap(), "of another file");
    assert_eq!(recording(0).await, Some(read(serde_json::from_str(early).unwrap())));
    assert!(store.correct((domain, late), "p", &patch).await.unwrap());
    let known = serde_json::json!({
        "state": "complete", "path": "p", "duration_ms": 9, "bytes": 5, "sha256": "ab", "node": "pbx-1",
    });
    assert_eq!(recording(0).await, Some(read(known.clone())));
    let another = serde_json::json!({"sha256": "cd"});
    assert!(store.correct((domain, late), "p", &another).await.unwrap(), "it is known already");
    assert_eq!(recording(0).await, Some(read(known)));
    let path = all[1].recording.as_ref().and_then(|recording| recording.path.clone()).unwrap();
    assert!(store.correct((domain, whole), &path, &another).await.unwrap());
    assert_eq!(recording(1).await, all[1].recording, "nor is one that was known at once");
    assert!(store.correct((domain, none), "p", &patch).await.unwrap());
    assert_eq!(recording(2).await, None);
}

/// Another server on the same folder found the recording first, and the own record was still in the spill file of its server.
pub(super) async fn what_was_made_up_of_a_call_gives_way_to_its_own_record(scratch: Scratch) {
    let store = &scratch.store;
    for domain in ["a.example", "b.example"] {
        store.upsert_secretary(&entry(domain, "8000", "Ana")).await.unwrap();
    }
    let (ana, other) = (found(store, "8000", Some("a.example")).await, found(store, "8000", Some("b.example")).await);
    let own = conversation(&ana);
    let recording = Recording { problem: Some(KILLED.into()), ..own.recording.clone().unwrap() };
    let made_up = Conversation {
        outcome: Outcome::Failed,
        end_reason: KILLED.into(),
        turns: Vec::new(),
        recording: Some(recording),
        ..own.clone()
    };
    let of_another_tenant = Conversation { domain_uuid: other.domain_uuid, ..own.clone() };
    for record in [&made_up, &of_another_tenant, &made_up] {
        store.save_conversation(record).await.unwrap();
        assert_eq!(store.conversations(9).await.unwrap(), std::slice::from_ref(&made_up));
    }
    let one_more = Conversation { caller_id: "1".into(), ..own.clone() };
    for record in [&own, &made_up, &one_more] {
        store.save_conversation(record).await.unwrap();
        assert_eq!(store.conversations(9).await.unwrap(), std::slice::from_ref(&own));
    }
}

/// The process that died had not closed the file yet when it wrote its own record down.
pub(super) async fn what_was_made_up_of_a_call_leaves_its_own_record_what_it_knew_of_the_file(scratch: Scratch) {
    let store = &scratch.store;
    store.upsert_secretary(&entry("a.example", "8000", "Ana")).await.unwrap();
    let ana = found(store, "8000", None).await;
    for (is_moved, is_another_file) in [(false, false), (true, false), (false, true)] {
        let own = conversation(&ana);
        let (domain, uuid) = (own.domain_uuid, own.conversation_uuid);
        let whole = own.recording.clone().unwrap();
        let early = Recording {
            state: State::Partial,
            bytes: None,
            sha256: None,
            problem: Some("the disk did not take the file in time".into()),
            ..whole.clone()
        };
        let finished = Recording {
            state: State::Partial,
            path: if is_another_file { Some("d/another.wav".into()) } else { whole.path.clone() },
            duration: Duration::from_millis(41_000),
            store: Some("s3://c/d/2026/09/21/3f2c.wav".into()),
            node: Some("pbx-2".into()),
            pauses: Vec::new(),
            problem: Some(KILLED.into()),
            ..whole.clone()
        };
        let made_up = Conversation {
            outcome: Outcome::Failed,
            end_reason: KILLED.into(),
            turns: Vec::new(),
            recording: Some(finished.clone()),
            ..own.clone()
        };
        store.save_conversation(&made_up).await.unwrap();
        if is_moved {
            assert!(store.moved(domain, uuid).await.unwrap());
        }
        let own = Conversation { recording: Some(early.clone()), ..own };
        store.save_conversation(&own).await.unwrap();
        let known = Recording {
            duration: finished.duration,
            bytes: whole.bytes,
            sha256: whole.sha256,
            store: finished.store,
            node: finished.node.filter(|_| !is_moved),
            ..early.clone()
        };
        let recording = if is_another_file { early } else { known };
        let kept = store.conversation(domain, uuid).await.unwrap();
        assert_eq!(kept, Some(Conversation { recording: Some(recording), ..own }), "{is_moved} {is_another_file}");
    }
}

pub(super) async fn changes_of_secretaries_and_tenants_are_told_without_what_was_changed(scratch: Scratch) {
    let store = &scratch.store;
    store.upsert_secretary(&entry("a.example", "8000", "Ana")).await.unwrap();
    let domain = found(store, "8000", None).await.domain_uuid;
    store.upsert_secretary(&entry("a.example", "8000", "Ana")).await.unwrap();
    let mut changed = entry("a.example", "8000", "Bia");
    changed.row.system_prompt = Some("a secret of the house".into());
    store.upsert_secretary(&changed).await.unwrap();
    store.set_key(domain, "openai", "v1.sealed").await.unwrap();
    store.set_key(domain, "openai", "v1.another").await.unwrap();
    execute(store, "delete from v_voice_secretaries_realtime".into()).await;
    let deeds: Vec<Deed> = store.deeds(domain, 10).await.unwrap().into_iter().map(|told| told.deed).collect();
    let mut told: Vec<(&str, Option<&str>)> =
        deeds.iter().map(|deed| (deed.action.as_str(), deed.detail.as_deref())).collect();
    told.reverse();
    assert_eq!(
        told,
        [
            ("insert", None),
            ("update", Some("secretary_name system_prompt")),
            ("insert", None),
            ("update", Some("api_key_encrypted")),
            ("delete", None),
        ]
    );
    assert!(deeds[0].target.starts_with("v_voice_secretaries_realtime Bia"), "{}", deeds[0].target);
    assert!(deeds.iter().all(|deed| !deed.actor.is_empty()));
    assert!(!format!("{deeds:?}").contains("secret of") && !format!("{deeds:?}").contains("v1."));
    let deed = Deed {
        domain,
        at: DateTime::from_timestamp(1_900_000_000, 0).unwrap(),
        actor: "ramal root".into(),
        action: "erase".into(),
        target: "a caller".into(),
        detail: Some("1 deleted, 0 left".into()),
    };
    store.tell(&deed).await.unwrap();
    assert_eq!(store.deeds(domain, 1).await.unwrap()[0].deed, deed);
    assert_eq!(store.deeds(Uuid::new_v4(), 10).await.unwrap(), [], "of another tenant");
}

pub(super) async fn tenants_say_how_long_they_keep_conversations(scratch: Scratch) {
    let store = &scratch.store;
    let (domain, _) = kept(store).await;
    store.set_key(domain, "openai", "v1.x").await.unwrap();
    assert_eq!(store.retentions().await.unwrap(), []);
    execute(store, "update v_voice_tenants set retention_days = 90".into()).await;
    assert_eq!(store.retentions().await.unwrap(), [Retention { domain, days: 90 }]);
    execute(store, "update v_voice_tenants set retention_days = -1".into()).await;
    assert_eq!(store.retentions().await.unwrap(), []);
}

pub(super) async fn pages_have_every_conversation_once_and_the_unreadable_are_counted(scratch: Scratch) {
    let store = &scratch.store;
    store.upsert_secretary(&entry("a.example", "8000", "Ana")).await.unwrap();
    store.upsert_secretary(&entry("b.example", "8000", "Ana")).await.unwrap();
    let (ana, other) = (found(store, "8000", Some("a.example")).await, found(store, "8000", Some("b.example")).await);
    let mut all = Vec::new();
    // Three of each moment, so that a page ends between two of the same.
    for number in 0..9_u64 {
        let mut kept = conversation(if number == 4 { &other } else { &ana });
        kept.started_at += Duration::from_secs(number / 3);
        kept.turns[1].text = if number % 2 == 0 { "boleto".into() } else { "recibo".into() };
        store.save_conversation(&kept).await.unwrap();
        all.push(kept);
    }
    all.sort_by_key(|kept| (kept.started_at, kept.conversation_uuid.to_string()));
    let read = async |scope: Scope<'_>, last: Option<u32>| {
        let (mut uuids, mut unreadable) = (Vec::new(), 0);
        let mut after = match last {
            Some(last) => store.before_last(scope, last).await.unwrap(),
            None => None,
        };
        loop {
            let page = store.page(scope, after.as_ref(), 2).await.unwrap();
            assert!(page.conversations.len() <= 2);
            uuids.extend(page.conversations.into_iter().map(|kept| kept.conversation_uuid));
            unreadable += page.unreadable;
            after = page.next;
            if after.is_none() {
                return (uuids, unreadable);
            }
        }
    };
    let which = |wanted: &dyn Fn(&Conversation) -> bool| -> Vec<Uuid> {
        all.iter().filter(|kept| wanted(kept)).map(|kept| kept.conversation_uuid).collect()
    };
    let mine = Query { domain: ana.domain_uuid, ..Query::default() };
    let boleto = Query { words: "BOLETO".into(), ..mine.clone() };
    let of_tenant = which(&|kept| kept.domain_uuid == ana.domain_uuid);
    assert_eq!(read(Scope::Of(&mine), None).await, (of_tenant.clone(), 0));
    assert_eq!(read(Scope::All, None).await, (which(&|_| true), 0));
    let found = which(&|kept| kept.domain_uuid == ana.domain_uuid && kept.turns[1].text == "boleto");
    assert_eq!(read(Scope::Of(&boleto), None).await, (found, 0));
    let hers = |secretary| Query { secretary, ..mine.clone() };
    assert_eq!(read(Scope::Of(&hers(Some(ana.secretary_realtime_uuid))), None).await, (of_tenant.clone(), 0));
    let nobodys = hers(Some(other.secretary_realtime_uuid));
    assert_eq!(read(Scope::Of(&nobodys), None).await, (Vec::new(), 0));
    assert_eq!(store.before_last(Scope::Of(&nobodys), 1).await.unwrap(), None);
    let newest = of_tenant[of_tenant.len() - 3..].to_vec();
    assert_eq!(read(Scope::Of(&mine), Some(3)).await, (newest, 0));
    assert_eq!(read(Scope::All, Some(50)).await.0.len(), 9, "there are fewer than that");
    let broken = "update v_voice_conversations_realtime set outcome = 'lost'";
    execute(store, format!("{broken} where conversation_uuid = '{}'", of_tenant[1])).await;
    let rest: Vec<Uuid> = of_tenant.iter().copied().filter(|uuid| *uuid != of_tenant[1]).collect();
    assert_eq!(read(Scope::Of(&mine), None).await, (rest, 1));
}

/// The index of words leads to those of one tenant alone, however often others said the same. It has no rival here: while a tenant has
/// no more than a thousand rows, reading them all by another index is as good.
#[tokio::test]
async fn words_of_a_tenant_are_found_by_their_index() {
    let Some(scratch) = postgres().await else { return };
    let store = &scratch.store;
    let Sql::Postgres(pool) = store else { panic!("a server was asked for") };
    execute(
        store,
        "set local statement_timeout = 0; \
         insert into v_domains (domain_uuid, domain_name, domain_enabled) \
             select gen_random_uuid(), 'd' || n, true from generate_series(1, 40) n; \
         insert into v_voice_conversations_realtime (domain_uuid, call_uuid, started_at, outcome, search_text) \
             select domain_uuid, 'c', timestamptz '2026-01-01' + n * interval '1 minute', 'completed', \
                 ' quero' || case when n % 100 = 0 then ' estorno' else ' boleto' end \
             from v_domains, generate_series(1, 1000) n; \
         drop index idx_conv_realtime_domain, idx_conv_realtime_date, idx_voice_conversations_caller; \
         analyze v_voice_conversations_realtime"
            .into(),
    )
    .await;
    let domain: Uuid = sqlx::query_scalar("select domain_uuid from v_domains limit 1").fetch_one(pool).await.unwrap();
    let query = Query { domain, words: "estorno".into(), last: 100, ..Query::default() };
    let explain = sqlx::AssertSqlSafe(format!("explain (analyze, costs off, timing off) {}", pages::SEARCH));
    let (none, never) = (None::<String>, None::<DateTime<chrono::Utc>>);
    let plan = sqlx::query_scalar::<_, String>(explain).bind(domain).bind(none).bind(never).bind(never);
    let (asked, anybody, nowhere) = (store.asked(&query), None::<Uuid>, None::<String>);
    let plan = plan.bind(asked).bind(anybody).bind(100_i64).bind(nowhere.clone()).bind(nowhere);
    let plan = plan.fetch_all(pool).await.unwrap().join("\n");
    assert!(plan.contains("Bitmap Index Scan on idx_voice_conversations_tenant_words (actual rows=10"), "{plan}");
    // Nothing of another tenant is even looked at.
    assert!(!plan.contains("Rows Removed by"), "{plan}");
}

/// Every column that is there, in a file: its triggers name them one by one.
#[tokio::test]
async fn a_change_of_any_column_is_told_in_a_file_too() {
    let Some(scratch) = sqlite().await else { return };
    let store = &scratch.store;
    let Sql::Sqlite(pool) = store else { panic!("a file was asked for") };
    for domain in ["a.example", "b.example"] {
        store.upsert_secretary(&entry(domain, "8000", "Ana")).await.unwrap();
    }
    let domain = found(store, "8000", Some("a.example")).await.domain_uuid;
    let other = found(store, "8000", Some("b.example")).await.domain_uuid;
    store.set_key(domain, "openai", "v1.x").await.unwrap();
    execute(store, format!("delete from v_voice_secretaries_realtime where domain_uuid = '{other}'")).await;
    let by_whom = ["created_at", "updated_at", "insert_date", "insert_user", "update_date", "update_user"];
    for table in ["v_voice_secretaries_realtime", "v_voice_tenants"] {
        let columns =
            sqlx::AssertSqlSafe(format!("select name from pragma_table_info('{table}') order by name = 'domain_uuid'"));
        let columns: Vec<String> = sqlx::query_scalar(columns).fetch_all(pool).await.unwrap();
        assert!(columns.len() > 15 && columns.last().unwrap() == "domain_uuid", "{columns:?}");
        for column in columns {
            let value = match column.as_str() {
                "domain_uuid" => other.to_string(),
                "processing_mode" => "auto".into(),
                _ => "changed".into(),
            };
            let before = store.deeds(domain, 1_000).await.unwrap().len();
            execute(store, format!("update {table} set {column} = '{value}'")).await;
            let told = store.deeds(domain, 1_000).await.unwrap();
            if by_whom.contains(&column.as_str()) {
                assert_eq!(told.len(), before, "{column}");
                continue;
            }
            assert_eq!((told.len(), told[0].deed.detail.as_deref()), (before + 1, Some(column.as_str())), "{table}");
        }
        let told = store.deeds(other, 1).await.unwrap();
        assert_eq!(told[0].deed.detail.as_deref(), Some("domain_uuid"), "whoever has it now is told as well");
    }
}
