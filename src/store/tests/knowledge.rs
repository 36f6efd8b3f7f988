//! What secretaries may look up, on both databases.
use super::*;
use crate::{
    knowledge::{Collection, Document, MOST_COLLECTIONS, MOST_DOCUMENTS, Passage, measured},
    store::knowledge::AT_ONCE,
};
use chrono::{SubsecRound, Utc};

const HOURS: &str = "# Horário\n\nAbrimos de segunda a sexta, das 8h às 18h. Aos sábados, das 8h ao meio-dia.\n";
const PRICES: &str = "# Preços\n\nA consulta custa R$ 150,00. O retorno é grátis em trinta dias.\n";
const DELIVERY: &str = "# Deliveries\n\nWe deliver within two days. Returned parcels are refunded.\n";

/// Where a collection is.
fn place(collection: &Collection) -> (Uuid, Uuid) {
    (collection.domain_uuid, collection.knowledge_uuid)
}

pub(super) fn collection(domain_uuid: Uuid, name: &str) -> Collection {
    let created_at = Utc::now().trunc_subsecs(6);
    Collection { knowledge_uuid: Uuid::new_v4(), domain_uuid, name: name.into(), created_at, documents: 0 }
}

pub(super) fn document(of: &Collection, title: &str) -> Document {
    Document {
        document_uuid: Uuid::new_v4(),
        knowledge_uuid: of.knowledge_uuid,
        domain_uuid: of.domain_uuid,
        title: title.into(),
        source: Some("manual.md".into()),
        language: Some("pt-BR".into()),
        bytes: 0,
        sha256: String::new(),
        created_at: of.created_at,
        updated_at: of.created_at,
    }
}

async fn domain(store: &Sql, name: &str) -> Uuid {
    store.upsert_secretary(&entry(name, "8000", "Ana")).await.unwrap();
    found(store, "8000", Some(name)).await.domain_uuid
}

/// A collection with these documents, titles and texts.
async fn shelf(store: &Sql, domain: Uuid, documents: &[(&str, &str)]) -> (Collection, Vec<Document>) {
    let collection = collection(domain, "Manual");
    assert_eq!(store.add_collection("ana", &collection).await.unwrap(), Kept::Done);
    let mut all = Vec::new();
    for &(title, text) in documents {
        let (bytes, sha256) = measured(text);
        let document = Document { bytes, sha256, ..document(&collection, title) };
        let manuscript = Manuscript { document: &document, text };
        assert_eq!(store.add_document("ana", manuscript).await.unwrap(), Kept::Done);
        all.push(document);
    }
    (collection, all)
}

async fn titles(store: &Sql, of: &Collection, question: &str) -> Vec<String> {
    let found = store.look_up(place(of), question, 10).await.unwrap();
    found.into_iter().map(|passage| passage.title).collect()
}

pub(super) async fn what_is_kept_is_found_by_its_words_in_its_collection_alone(scratch: Scratch) {
    let store = &scratch.store;
    let (a, b) = (domain(store, "a.example").await, domain(store, "b.example").await);
    let (ours, documents) = shelf(store, a, &[("Horários", HOURS), ("Valores", PRICES)]).await;
    let (second, _) = shelf(store, a, &[("Outra", "Aos sábados fechamos.")]).await;
    let (theirs, _) = shelf(store, b, &[("Deles", "Aos sábados abrimos às 10h.")]).await;
    let found = store.look_up(place(&ours), "sábados", 10).await.unwrap();
    let whole = Passage {
        document_uuid: documents[0].document_uuid,
        title: "Horários".into(),
        ordinal: 0,
        heading: None,
        text: HOURS.trim().into(),
    };
    assert_eq!(found, [whole]);
    assert_eq!(titles(store, &second, "sábados").await, ["Outra"]);
    assert_eq!(titles(store, &theirs, "sábados").await, ["Deles"]);
    assert_eq!(titles(store, &ours, "valores").await, ["Valores"], "a title counts");
    for question in ["", "?!", "bicicleta", "' or 1=1 --", "\") OR (\"", "* NEAR(x)", "a:* & !b | <->", "\\'\0"] {
        assert_eq!(titles(store, &ours, question).await, [] as [&str; 0], "{question}");
    }
    assert_eq!(store.look_up((b, ours.knowledge_uuid), "sábados", 10).await.unwrap(), []);
    assert_eq!(store.look_up((a, theirs.knowledge_uuid), "sábados", 10).await.unwrap(), []);
    assert_eq!(store.look_up(place(&ours), "sábados consulta", 1).await.unwrap().len(), 1);
    let told = store.deeds(a, 10).await.unwrap();
    let told: Vec<_> = told.iter().map(|told| (told.deed.actor.as_str(), told.deed.target.as_str())).collect();
    assert!(told.contains(&("ana", "v_voice_knowledge Manual")), "{told:?}");
    assert!(told.contains(&("ana", "v_voice_knowledge_documents Valores")), "{told:?}");
}

pub(super) async fn words_are_found_in_their_forms_and_the_best_comes_first(scratch: Scratch) {
    let store = &scratch.store;
    let own = domain(store, "a.example").await;
    let (shelf, _) = shelf(store, own, &[("Horário", HOURS), ("Preços", PRICES)]).await;
    let english = Document { language: Some("en-US".into()), ..document(&shelf, "Shipping") };
    store.add_document("ana", Manuscript { document: &english, text: DELIVERY }).await.unwrap();
    for (question, title) in [
        ("HORARIOS", "Horário"),
        ("no sabado", "Horário"),
        ("Qual é o preço da consulta?", "Preços"),
        ("quanto custam as consultas", "Preços"),
        ("Is there a refund for a returned parcel?", "Shipping"),
        ("delivery", "Shipping"),
    ] {
        assert_eq!(titles(store, &shelf, question).await.first().map(String::as_str), Some(title), "{question}");
    }
    let plain = Document { language: None, ..document(&shelf, "Endereço") };
    store.add_document("ana", Manuscript { document: &plain, text: "Rua das Flores, 7." }).await.unwrap();
    assert_eq!(titles(store, &shelf, "rua flores").await, ["Endereço"], "as it is written");
}

pub(super) async fn a_document_that_is_written_anew_or_deleted_is_found_no_more(scratch: Scratch) {
    let store = &scratch.store;
    let own = domain(store, "a.example").await;
    let (shelf, mut documents) = shelf(store, own, &[("Horário", HOURS), ("Preços", PRICES)]).await;
    documents.sort_by_key(|document| document.document_uuid.to_string());
    let (of, first) = (place(&shelf), documents[0].clone());
    assert_eq!(store.documents(of, Uuid::nil(), 10).await.unwrap(), documents);
    assert_eq!(store.documents(of, first.document_uuid, 10).await.unwrap(), documents[1..]);
    assert_eq!(store.collection(own, of.1).await.unwrap(), Some(Collection { documents: 2, ..shelf.clone() }));
    let updated_at = first.updated_at + Duration::from_secs(60);
    let (bytes, sha256) = measured("Temos bicicletas.");
    let anew = Document { title: "Novo".into(), source: None, bytes, sha256, updated_at, ..first.clone() };
    let manuscript = Manuscript { document: &anew, text: "Temos bicicletas." };
    assert_eq!(store.replace_document("ana", manuscript).await.unwrap(), Kept::Done);
    let kept = store.document(of, first.document_uuid).await.unwrap();
    assert_eq!(kept, Some((anew.clone(), "Temos bicicletas.".to_owned())));
    assert_eq!(titles(store, &shelf, "bicicleta").await, ["Novo"]);
    assert_eq!(titles(store, &shelf, &first.title).await, [] as [&str; 0]);
    assert!(store.remove_document("ana", of, first.document_uuid).await.unwrap());
    assert!(!store.remove_document("ana", of, first.document_uuid).await.unwrap());
    assert_eq!(store.replace_document("ana", manuscript).await.unwrap(), Kept::Absent);
    assert_eq!(titles(store, &shelf, "bicicleta").await, [] as [&str; 0]);
    if let Sql::Sqlite(_) = store {
        // Fails where the index has what the table has not.
        let check = "insert into v_voice_knowledge_words (v_voice_knowledge_words, rank) values ('integrity-check', 1)";
        execute(store, check.into()).await;
    }
    assert!(store.remove_collection("ana", own, of.1).await.unwrap());
    assert!(!store.remove_collection("ana", own, of.1).await.unwrap());
    assert_eq!(store.document(of, documents[1].document_uuid).await.unwrap(), None);
    assert_eq!(chunks(store).await, 0);
    let told = store.deeds(own, 3).await.unwrap();
    let told: Vec<_> = told.iter().map(|told| (told.deed.action.as_str(), told.deed.target.as_str())).collect();
    assert_eq!(told[0], ("delete", "v_voice_knowledge Manual"));
    assert_eq!(told[1], ("delete", "v_voice_knowledge_documents Novo"));
    assert_eq!(told[2], ("update", "v_voice_knowledge_documents Novo"));
}

/// The pieces of all documents.
async fn chunks(store: &Sql) -> i64 {
    let count = "select count(*) from v_voice_knowledge_chunks";
    match store {
        Sql::Postgres(pool) => sqlx::query_scalar(count).fetch_one(pool).await.unwrap(),
        Sql::Sqlite(pool) => sqlx::query_scalar(count).fetch_one(pool).await.unwrap(),
    }
}

pub(super) async fn nothing_of_another_tenants_knowledge_is_read_or_written(scratch: Scratch) {
    let store = &scratch.store;
    let (a, b) = (domain(store, "a.example").await, domain(store, "b.example").await);
    let (theirs, documents) = shelf(store, b, &[("Deles", HOURS)]).await;
    let (own, id) = ((a, theirs.knowledge_uuid), documents[0].document_uuid);
    assert_eq!(store.collections(a, Uuid::nil(), 10).await.unwrap(), []);
    assert_eq!(store.collection(a, own.1).await.unwrap(), None);
    assert_eq!(store.documents(own, Uuid::nil(), 10).await.unwrap(), []);
    assert_eq!(store.document(own, id).await.unwrap(), None);
    assert!(!store.remove_document("ana", own, id).await.unwrap());
    assert!(!store.remove_collection("ana", a, own.1).await.unwrap());
    let mine = Document { domain_uuid: a, ..documents[0].clone() };
    let manuscript = Manuscript { document: &mine, text: "x" };
    assert_eq!(store.replace_document("ana", manuscript).await.unwrap(), Kept::Absent);
    let new = Document { document_uuid: Uuid::new_v4(), ..mine.clone() };
    let manuscript = Manuscript { document: &new, text: "x" };
    assert_eq!(store.add_document("ana", manuscript).await.unwrap(), Kept::Absent);
    assert_eq!(store.document(place(&theirs), id).await.unwrap().unwrap().1, HOURS);
    // Nor could a row say otherwise.
    let steal = format!("update v_voice_knowledge_documents set domain_uuid = '{a}'");
    let refused = match store {
        Sql::Postgres(pool) => sqlx::raw_sql(sqlx::AssertSqlSafe(steal)).execute(pool).await.map(drop),
        Sql::Sqlite(pool) => sqlx::raw_sql(sqlx::AssertSqlSafe(steal)).execute(pool).await.map(drop),
    };
    assert!(refused.unwrap_err().to_string().to_lowercase().contains("foreign key"));
    execute(store, "delete from v_domains where domain_name = 'b.example'".into()).await;
    assert_eq!(store.collection(b, own.1).await.unwrap(), None, "it goes with its domain");
    assert_eq!(chunks(store).await, 0);
}

/// So many more documents in a collection that has one, without pieces.
async fn fill(store: &Sql, of: &Collection, more: u32) {
    let uuid = match store {
        Sql::Postgres(_) => "gen_random_uuid()",
        Sql::Sqlite(_) => "printf('%08d-0000-4000-8000-000000000000', n)",
    };
    let columns = "document_title, document_text, document_bytes, document_sha256";
    let fill = format!(
        "insert into v_voice_knowledge_documents (document_uuid, knowledge_uuid, domain_uuid, {columns}) \
         with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < {more}) \
         select {uuid}, knowledge_uuid, domain_uuid, {columns} from v_voice_knowledge_documents cross join numbers \
         where knowledge_uuid = '{}'",
        of.knowledge_uuid
    );
    execute(store, fill).await;
}

/// The last step fails, and is taken again.
pub(super) async fn a_full_collection_goes_documents_first_and_nothing_else_goes(scratch: Scratch) {
    let store = &scratch.store;
    let (a, b) = (domain(store, "a.example").await, domain(store, "b.example").await);
    let (ours, _) = shelf(store, a, &[("Horários", HOURS)]).await;
    let (second, _) = shelf(store, a, &[("Outros", HOURS)]).await;
    let (theirs, _) = shelf(store, b, &[("Deles", HOURS)]).await;
    fill(store, &ours, 2 * AT_ONCE + 4).await;
    let (broken, mended) = match store {
        Sql::Postgres(_) => (
            "create function broken() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$; \
             create trigger broken before delete on v_voice_knowledge for each row execute function broken()",
            "drop trigger broken on v_voice_knowledge",
        ),
        Sql::Sqlite(_) => (
            "create trigger broken before delete on v_voice_knowledge begin select raise(abort, 'no'); end",
            "drop trigger broken",
        ),
    };
    execute(store, broken.into()).await;
    assert!(store.remove_collection("ana", a, ours.knowledge_uuid).await.is_err());
    let left = store.collection(a, ours.knowledge_uuid).await.unwrap();
    assert_eq!(left, Some(Collection { documents: 5, ..ours.clone() }));
    execute(store, mended.into()).await;
    assert!(store.remove_collection("ana", a, ours.knowledge_uuid).await.unwrap());
    assert_eq!(store.collection(a, ours.knowledge_uuid).await.unwrap(), None);
    assert_eq!(store.documents(place(&ours), Uuid::nil(), 99).await.unwrap(), []);
    assert_eq!(titles(store, &second, "sábados").await, ["Outros"]);
    assert_eq!(titles(store, &theirs, "sábados").await, ["Deles"]);
    assert_eq!(chunks(store).await, 2);
    let some = format!("v_voice_knowledge_documents {AT_ONCE} of {}", ours.knowledge_uuid);
    let told = store.deeds(a, 20).await.unwrap();
    let told = told.iter().filter(|told| told.deed.actor == "ana" && told.deed.target == some);
    assert_eq!(told.count(), 2, "what went is told");
}

pub(super) async fn collections_and_documents_are_no_more_than_there_may_be(scratch: Scratch) {
    let store = &scratch.store;
    let own = domain(store, "a.example").await;
    let (shelf, documents) = shelf(store, own, &[("Horário", HOURS)]).await;
    for _ in 1..MOST_COLLECTIONS {
        assert_eq!(store.add_collection("ana", &collection(own, "x")).await.unwrap(), Kept::Done);
    }
    assert_eq!(store.add_collection("ana", &collection(own, "x")).await.unwrap(), Kept::TooMany);
    let other = domain(store, "b.example").await;
    assert_eq!(store.add_collection("ana", &collection(other, "x")).await.unwrap(), Kept::Done, "of another tenant");
    fill(store, &shelf, MOST_DOCUMENTS - 1).await;
    let one_more = Document { document_uuid: Uuid::new_v4(), ..documents[0].clone() };
    let manuscript = Manuscript { document: &one_more, text: HOURS };
    assert_eq!(store.add_document("ana", manuscript).await.unwrap(), Kept::TooMany);
    let manuscript = Manuscript { document: &documents[0], text: HOURS };
    assert_eq!(store.replace_document("ana", manuscript).await.unwrap(), Kept::Done);
    assert!(store.remove_document("ana", place(&shelf), documents[0].document_uuid).await.unwrap());
    let manuscript = Manuscript { document: &one_more, text: HOURS };
    assert_eq!(store.add_document("ana", manuscript).await.unwrap(), Kept::Done);
}

pub(super) async fn what_a_secretary_may_look_up_is_kept_with_her(scratch: Scratch) {
    let store = &scratch.store;
    let knowledge = Uuid::new_v4();
    let mut entry = entry("a.example", "8000", "Ana");
    (entry.row.enable_rag, entry.row.rag_collection_id) = (Some(true), Some(knowledge.to_string()));
    store.upsert_secretary(&entry).await.unwrap();
    assert_eq!(found(store, "8000", None).await.knowledge(), Some(knowledge));
    // What the file does not say stays as it is.
    (entry.row.enable_rag, entry.row.rag_collection_id) = (None, None);
    store.upsert_secretary(&entry).await.unwrap();
    let ana = found(store, "8000", None).await;
    assert_eq!(ana.knowledge(), Some(knowledge));
    store.replace("token panel", &ana, &entry.row).await.unwrap();
    assert_eq!(found(store, "8000", None).await.knowledge(), None, "who says all of her says that, too");
}

/// The index of words leads to the pieces of one collection, however many others have the same words.
#[tokio::test]
async fn words_of_a_collection_are_found_by_their_index() {
    use crate::store::knowledge::{LOOK_UP, word_of};
    let Some(scratch) = postgres().await else { return };
    let Sql::Postgres(pool) = &scratch.store else { panic!("a server was asked for") };
    execute(
        &scratch.store,
        "set local statement_timeout = 0; \
         insert into v_domains (domain_uuid, domain_name) select gen_random_uuid(), 'd' || n from generate_series(1, 40) n; \
         insert into v_voice_knowledge (domain_uuid, knowledge_name) select domain_uuid, 'x' from v_domains; \
         insert into v_voice_knowledge_documents (knowledge_uuid, domain_uuid, document_title, document_text, \
                 document_bytes, document_sha256) \
             select knowledge_uuid, domain_uuid, 'x', 'x', 1, 'x' from v_voice_knowledge; \
         insert into v_voice_knowledge_chunks (document_uuid, ordinal, knowledge_uuid, domain_uuid, chunk_text, search) \
             select document_uuid, n, knowledge_uuid, domain_uuid, 'x', \
                 array_to_tsvector(array['k' || replace(cast(knowledge_uuid as text), '-', '')]) || \
                 to_tsvector('portuguese', ' quero' || case when n % 100 = 0 then ' estorno' else ' boleto' end) \
             from v_voice_knowledge_documents, generate_series(1, 1000) n; \
         analyze v_voice_knowledge_chunks"
            .into(),
    )
    .await;
    let one = "select domain_uuid, knowledge_uuid from v_voice_knowledge limit 1";
    let (domain, collection): (Uuid, Uuid) = sqlx::query_as(one).fetch_one(pool).await.unwrap();
    let explain = sqlx::AssertSqlSafe(format!("explain (analyze, costs off, timing off) {LOOK_UP}"));
    let plan = sqlx::query_scalar::<_, String>(explain).bind(domain).bind(collection).bind(word_of(collection));
    let plan = plan.bind("estorno").bind(5_i64).fetch_all(pool).await.unwrap().join("\n");
    assert!(plan.contains("Bitmap Index Scan on idx_voice_knowledge_chunks_search (actual rows=10"), "{plan}");
    assert!(!plan.contains("Rows Removed by"), "{plan}");
}
