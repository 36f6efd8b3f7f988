//! The API as a program meets it, on both databases, with two tenants of whom neither may learn anything of the other.
use super::{token::Token, *};
use crate::{
    call::{LiveState, RecordingNow, steer::Order},
    config::{Config, Environment},
    control::Health,
    knowledge::{Collection, Document, LONGEST_TEXT, MOST_COLLECTIONS, measured},
    metrics::Audience,
    phone,
    record::{MicroUsd, Share},
    secretary::{DomainRef, ProviderKind, Secretary},
    store::{self, Found, Lookup, Manuscript, Sql, Store, TokenRecord, tests as stored},
    switchboard::{ListenError, LiveCall, OrderError},
    tenancy::Tenant as Settings,
    vault,
};
use axum::{
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use chrono::Utc;
use futures_util::{
    StreamExt,
    future::{BoxFuture, join_all},
    stream,
};
use media::{Frame, SampleRate};
use providers::{Failure, FailureKind};
use serde_json::json;
use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    sync::atomic::{AtomicUsize, Ordering},
};
use tower_service::Service;

/// The server around the API, as small as can be: it has a sound for each recording in its
/// tenant's folder, and a call for each of its tenants. It counts test calls that come too early.
#[derive(Debug)]
struct Shed(Sql, Vec<LiveCall>, AtomicUsize);

impl House for Shed {
    fn health(&self) -> BoxFuture<'_, Option<Health>> {
        Box::pin(async { None })
    }

    fn ready(&self) -> BoxFuture<'_, Readiness> {
        let (database, models) = ("ok", "absent");
        Box::pin(async move { Readiness { ready: true, database, accounts: 0, registered: 0, models, ending: false } })
    }

    fn metrics(&self, audience: Audience) -> BoxFuture<'_, Option<String>> {
        Box::pin(async move { Some(format!("ramal_up 1 {audience:?}\n")) })
    }

    fn calls(&self, domain: Uuid) -> Vec<LiveCall> {
        self.1.iter().filter(|call| call.domain_uuid == domain).cloned().collect()
    }

    fn order(&self, domain: Uuid, conversation: Uuid, order: Order) -> BoxFuture<'_, Result<(), OrderError>> {
        let there = self.calls(domain).iter().any(|call| call.conversation_uuid == conversation);
        let done = match order {
            _ if !there => Err(OrderError::NotFound),
            Order::SayGoodbye => Err(OrderError::NotNow(LiveState::Ringing)),
            Order::Transfer { to } if to != "sales" => Err(OrderError::NoSuchDestination(vec!["sales".into()])),
            Order::HangUp | Order::Transfer { .. } => Ok(()),
        };
        Box::pin(async { done })
    }

    fn listen<'a>(
        &'a self,
        domain: Uuid,
        conversation: Uuid,
        who: &'a str,
    ) -> BoxFuture<'a, Result<Heard, ListenError>> {
        assert_eq!(who, "token panel");
        let there = self.calls(domain).iter().any(|call| call.conversation_uuid == conversation);
        let pieces = vec![Piece { missed: 0, samples: vec![1, 2] }, Piece { missed: 1, samples: vec![3, 4] }];
        let heard = Heard { rate: SampleRate::new(8_000).unwrap(), pieces: stream::iter(pieces).boxed() };
        Box::pin(async move { there.then_some(heard).ok_or(ListenError::NotFound) })
    }

    fn news(&self, domain: Uuid, after: Option<u64>) -> Stream<News> {
        let number = after.unwrap_or(40) + 1;
        let entry = json!({"event": "call_answered", "domain_uuid": domain});
        let news = [News::Missed(Some(2)), News::Happened { number, kind: "call_answered".into(), entry }];
        stream::iter(news).boxed()
    }

    fn erase<'a>(&'a self, of: &'a Kept) -> BoxFuture<'a, Result<(), Silence>> {
        Box::pin(async {
            let forgotten = self.0.records().forget(of.domain, of.conversation).await;
            forgotten.map(drop).map_err(|problem| Silence::Broken(problem.into()))
        })
    }

    fn sound<'a>(&'a self, of: &'a Kept, _token: &'a str, wanted: Wanted) -> BoxFuture<'a, Result<Sound, Silence>> {
        Box::pin(async move {
            let path = of.recording.as_ref().and_then(|recording| recording.path.as_deref()).ok_or(Silence::Absent)?;
            assert!(path.starts_with(&of.domain.to_string()));
            let range = wanted.of(5).ok_or(Silence::Beyond(5))?;
            let bytes = b"sound".get(*range.start() as usize..=*range.end() as usize).unwrap();
            Ok(Sound { kind: "audio/wav", length: 5, range: Some(range), body: Body::from(bytes) })
        })
    }

    fn check<'a>(&'a self, secretary: &'a Secretary, of: &'a Settings) -> BoxFuture<'a, Result<Ladder, Untried>> {
        let ready = match &secretary.provider {
            ProviderKind::Local => Ok(Duration::from_millis(7)),
            // Whoever is asked knows what the tenant says of all its secretaries.
            ProviderKind::OpenAi => {
                let told = format!("{:?} {:?}", of.language, secretary.provider_config.language);
                Err(Failure { kind: FailureKind::Quota, message: told })
            }
            other => return Box::pin(async move { Err(Untried::Unfit(format!("there is no {other}"))) }),
        };
        let tried = Tried { provider: "local", engine: "m".into(), connected: None, ready };
        Box::pin(async { Ok(Ladder { rungs: vec![tried], missing: Vec::new() }) })
    }

    fn preview<'a>(
        &'a self,
        secretary: &'a Secretary,
        _: &'a Settings,
        text: &'a str,
    ) -> BoxFuture<'a, Result<Frame, Untried>> {
        let heard = match secretary.provider {
            // A sample for each letter.
            ProviderKind::Local => Ok(Frame { rate: SampleRate::HZ_8000, samples: vec![1; text.len()] }),
            _ => Err(Untried::Failed(Failure { kind: FailureKind::Authentication, message: "sk-1".into() })),
        };
        Box::pin(async { heard })
    }

    fn test_call<'a>(&'a self, secretary: &'a Secretary, call: TestCall) -> BoxFuture<'a, Result<TestReport, Untried>> {
        let report = match call.say.as_deref() {
            Some("again") if self.2.fetch_add(1, Ordering::Relaxed) == 0 => Err(Untried::Engaged),
            Some("more") => Err(Untried::Busy),
            said => {
                let ended_by = Some(phone::EndedBy::Us);
                let (answered_ms, duration_ms) = (Some(12.4), call.lasts.as_secs_f64() * 1_000.0);
                let clips = usize::from(said.is_some());
                let phone = phone::Report { answered_ms, duration_ms, clips, ended_by, ..phone::Report::default() };
                Ok(TestReport { conversation: Some(secretary.secretary_realtime_uuid), unsaid: None, phone })
            }
        };
        Box::pin(async { report })
    }
}

/// A tenant with secretaries, conversations, a document, and a token.
struct Tenant {
    domain: Uuid,
    knowledge: Uuid,
    document: Uuid,
    token: String,
    secretaries: Vec<Uuid>,
    conversations: Vec<Uuid>,
}

struct World {
    router: Router,
    config: watch::Sender<Arc<Config>>,
    store: Sql,
    a: Tenant,
    b: Tenant,
    admin: String,
}

async fn token(store: &Sql, name: &str, domain: Option<Uuid>) -> String {
    let mut random = [0; token::RANDOM];
    let seeds = [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()];
    random.iter_mut().zip(seeds.iter().flat_map(Uuid::as_bytes)).for_each(|(to, from)| *to = *from);
    let token = Token::new(&random);
    let record = TokenRecord {
        id: token.id.clone(),
        name: name.into(),
        hash: token.hash(),
        domain,
        created_at: Utc::now(),
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
    };
    store.tokens().add_token(&record).await.unwrap();
    token.show().expose().to_owned()
}

async fn found(store: &Sql, extension: &str, domain: &str) -> Secretary {
    let lookup = Lookup { extension: extension.into(), domain: Some(DomainRef::from(domain)) };
    let Found::Secretary(found) = store.find_secretary(&lookup).await.unwrap() else { panic!("nobody") };
    *found
}

/// A collection of a tenant, and its document.
async fn known(store: &Sql, domain_uuid: Uuid) -> (Uuid, Uuid) {
    let (knowledge_uuid, document_uuid, created_at) = (Uuid::new_v4(), Uuid::new_v4(), Utc::now());
    let collection = Collection { knowledge_uuid, domain_uuid, name: "Preços".into(), created_at, documents: 0 };
    assert_eq!(store.knowledge().add_collection("x", &collection).await.unwrap(), store::Kept::Done);
    let text = "A consulta custa 150 reais.";
    let (bytes, sha256) = measured(text);
    let document = Document {
        document_uuid,
        knowledge_uuid,
        domain_uuid,
        title: "Valores".into(),
        source: None,
        language: Some("pt-BR".into()),
        bytes,
        sha256,
        created_at,
        updated_at: created_at,
    };
    let manuscript = Manuscript { document: &document, text };
    assert_eq!(store.knowledge().add_document("x", manuscript).await.unwrap(), store::Kept::Done);
    (knowledge_uuid, document_uuid)
}

async fn tenant(store: &Sql, name: &str) -> Tenant {
    let mut secretaries = Vec::new();
    let mut conversations = Vec::new();
    for extension in ["8000", "8001", "8002"] {
        store.upsert_secretary(&stored::entry(name, extension, "Ana")).await.unwrap();
        let secretary = found(store, extension, name).await;
        secretaries.push(secretary.secretary_realtime_uuid);
        for second in [0, 0, 1] {
            let mut kept = stored::conversation(&secretary);
            kept.started_at += Duration::from_secs(second);
            let talked = Duration::from_secs(60);
            kept.shares =
                vec![Share { provider: "local".into(), talked, input_tokens: 1, output_tokens: 2, cost: MicroUsd(3) }];
            kept.recording.iter_mut().for_each(|recording| recording.path = Some(format!("{}/x", kept.domain_uuid)));
            store.save_conversation(&kept).await.unwrap();
            conversations.push(kept.conversation_uuid);
        }
    }
    let domain = store.tenants().domain(&DomainRef::from(name)).await.unwrap().unwrap();
    let (knowledge, document) = known(store, domain).await;
    let token = token(store, "panel", Some(domain)).await;
    Tenant { domain, knowledge, document, token, secretaries, conversations }
}

/// The call of a tenant that is up: that of its last conversation.
fn call(of: &Tenant) -> LiveCall {
    let now = Utc::now();
    LiveCall {
        conversation_uuid: of.conversations[8],
        domain_uuid: of.domain,
        domain_name: "x".into(),
        secretary_uuid: of.secretaries[2],
        secretary_name: "Ana".into(),
        caller: "1".into(),
        called: "8002".into(),
        began_at: now,
        answered_at: None,
        state: LiveState::Ringing,
        state_since: now,
        provider: "local".into(),
        model: "m".into(),
        provider_since: now,
        spent_micro_usd: 0,
        spent_at: None,
        recording: RecordingNow::No,
        recording_since: now,
        listeners: 0,
        crypto: None,
    }
}

fn config(more: &str) -> Arc<Config> {
    let text = format!("[secrets]\nmaster_keys = [\"{}\"]\n{more}", "07".repeat(32));
    Arc::new(Config::parse(&text, "test", &Environment::new()).unwrap())
}

async fn world(store: &Sql) -> World {
    let (config, configs) = watch::channel(config(""));
    let (a, b) = (tenant(store, "a.example").await, tenant(store, "b.example").await);
    let shed = Shed(store.clone(), [&a, &b].map(call).to_vec(), AtomicUsize::default());
    let api = Api::new(Arc::new(store.clone()), Arc::new(shed), configs, true);
    let admin = token(store, "root", None).await;
    World { router: router(api), config, store: store.clone(), a, b, admin }
}

/// An answer, read to its end.
struct Told {
    status: u16,
    headers: axum::http::HeaderMap,
    body: Vec<u8>,
}

impl Told {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&self.body)))
    }

    /// That of a problem, which every failure is.
    fn kind(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.status);
        assert_eq!(self.json()["status"], self.status);
        self.json()["type"].as_str().unwrap().trim_start_matches("urn:ramal:problem:").to_owned()
    }
}

impl World {
    async fn send(&self, request: Request<Body>) -> Told {
        self.send_from(Ipv4Addr::LOCALHOST, request).await
    }

    async fn send_from(&self, from: Ipv4Addr, mut request: Request<Body>) -> Told {
        request.extensions_mut().insert(Peer(from.into()));
        let response = self.router.clone().call(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
        Told { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn ask(&self, token: &str, method: &str, path: &str, body: Option<&Value>) -> Told {
        self.send(request(token, method, path, body)).await
    }

    async fn get(&self, token: &str, path: &str) -> Told {
        self.ask(token, "GET", path, None).await
    }
}

fn request(token: &str, method: &str, path: &str, body: Option<&Value>) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
    match body {
        Some(body) => request.header("content-type", "application/json").body(Body::from(body.to_string())).unwrap(),
        None => request.body(Body::empty()).unwrap(),
    }
}

fn secretary(extension: &str) -> Value {
    json!({
        "secretary_name": "Bia", "extension": extension, "realtime_provider": "local",
        "provider_config": {"language": "pt-BR"}, "transfer_rules": [{"name": "x", "destination": "1002"}],
    })
}

/// Each operation of the document: method, path, whether it takes a domain, and a body it accepts.
fn operations() -> Vec<(String, String, bool, Option<Value>)> {
    let document = document();
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let named = |parameter: &Value| parameter["name"] == "domain" && parameter["in"] == "query";
            let scoped = operation["parameters"].as_array().unwrap().iter().any(named);
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
            let body = match schema.as_str().map(|to| to.rsplit('/').next().unwrap()) {
                None => None,
                Some("SecretaryBody") => Some(secretary("8009")),
                Some("Destination") => Some(json!({"to": "sales"})),
                Some("SettingsBody") => Some(json!({"settings": {}})),
                Some("CheckBody") => Some(json!({"realtime_provider": "local"})),
                Some("PreviewBody") => Some(json!({"realtime_provider": "local", "text": "Hello."})),
                Some("TestCallBody") => Some(json!({})),
                Some("CollectionBody") => Some(json!({"name": "x"})),
                Some("DocumentBody") => Some(json!({"title": "x", "text": "x"})),
                Some(other) => panic!("say here which {other} is accepted"),
            };
            operations.push((method.to_uppercase(), path.clone(), scoped, body));
        }
    }
    operations
}

/// One test body, two tests.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod on_sqlite { $(#[tokio::test] async fn $name() {
            if let Some(scratch) = super::stored::sqlite().await { super::$name(super::world(&scratch.store).await).await }
        })* }
        mod on_postgres { $(#[tokio::test] async fn $name() {
            if let Some(scratch) = super::stored::postgres().await { super::$name(super::world(&scratch.store).await).await }
        })* }
    };
}

on_both! {
    nothing_of_another_tenant_can_be_seen_or_touched
    a_secretary_is_made_changed_and_deleted_by_somebody_who_is_named
    lists_come_in_pages_that_miss_nothing_and_tell_nothing_twice
    rows_that_cannot_be_read_end_no_list_and_can_be_deleted
    a_tenants_key_goes_in_and_never_comes_out
    what_is_set_of_a_tenant_fits_its_columns_and_calls_nobody_within
    the_months_of_a_budget_begin_where_whoever_gave_it_says
    conversations_are_found_heard_and_forgotten
    a_post_with_a_key_is_done_once
    calls_are_seen_heard_and_steered
    usage_is_told_by_day_secretary_or_provider
    providers_and_voices_are_tried_by_those_they_belong_to
    a_secretary_is_called_by_those_she_belongs_to
    a_token_opens_until_it_is_revoked
    knowledge_is_kept_found_changed_and_forgotten
    knowledge_that_is_none_or_too_much_is_refused
    a_secretary_has_knowledge_of_her_own_tenant_alone
}

const USAGE: &str = "/v1/usage?from=2026-09-01T00:00:00Z&to=2026-10-01T00:00:00Z&by=secretary";

/// Everything of a tenant, as its own token sees it.
async fn all(world: &World, of: &Tenant) -> Vec<Value> {
    let mut all = Vec::new();
    let documents = format!("/v1/knowledge/{}/documents", of.knowledge);
    let document = format!("{documents}/{}", of.document);
    let search = format!("/v1/knowledge/{}/search?words=consulta", of.knowledge);
    for path in [
        "/v1/secretaries?limit=200",
        "/v1/conversations?limit=200",
        "/v1/tenant",
        "/v1/calls",
        USAGE,
        "/v1/knowledge",
        &documents,
        &document,
        &search,
    ] {
        let told = world.get(&of.token, path).await;
        assert_eq!(told.status, 200);
        all.push(told.json());
    }
    all
}

async fn nothing_of_another_tenant_can_be_seen_or_touched(world: World) {
    let (mut unscoped, before) = (Vec::new(), all(&world, &world.b).await);
    let foreign =
        world.b.secretaries.iter().chain(&world.b.conversations).chain([&world.b.knowledge, &world.b.document]);
    let foreign: Vec<Uuid> = foreign.copied().collect();
    let at = |path: &str, id: Uuid, inner: Uuid| {
        path.replace("{id}", &id.to_string()).replace("{document}", &inner.to_string())
    };
    for (number, (method, path, scoped, body)) in (1_u32..).zip(operations()) {
        let asked = format!("{method} {path}");
        let nowhere = at(&path, Uuid::new_v4(), Uuid::new_v4());
        if path.starts_with("/v1/") {
            // One address may not be wrong so often.
            let stranger = request("ramal_0_0", &method, &nowhere, body.as_ref());
            let told = world.send_from(Ipv4Addr::from(number), stranger).await;
            assert_eq!((told.status, told.kind().as_str()), (401, "unauthorized"), "{asked}");
        }
        if !scoped {
            unscoped.push(path);
            continue;
        }
        let told = world.ask(&world.admin, &method, &nowhere, body.as_ref()).await;
        assert_eq!((told.status, told.kind().as_str()), (400, "malformed"), "{asked}: an admin names no domain");
        // The other tenant's things with our token; then its name, too.
        let ids = if path.contains("{id}") { foreign.as_slice() } else { &[] };
        for id in ids {
            let told = world.ask(&world.a.token, &method, &at(&path, *id, world.b.document), body.as_ref()).await;
            assert_eq!((told.status, told.kind().as_str()), (404, "not-found"), "{asked} {id}");
        }
        if path.contains("{document}") {
            let path = at(&path, world.a.knowledge, world.b.document);
            let told = world.ask(&world.a.token, &method, &path, body.as_ref()).await;
            assert_eq!((told.status, told.kind().as_str()), (404, "not-found"), "{asked} within our own collection");
        }
        let b = world.b.domain.to_string();
        for domain in [b.as_str(), "b.example", "B.EXAMPLE", "nobody.example", "%00", ""] {
            for id in foreign.iter().take(1).chain(foreign.last()) {
                let path = format!("{}?domain={domain}", at(&path, *id, world.b.document));
                let told = world.ask(&world.a.token, &method, &path, body.as_ref()).await;
                assert_eq!((told.status, told.kind().as_str()), (404, "not-found"), "{asked} {domain}");
            }
        }
    }
    assert_eq!(unscoped, ["/health", "/metrics", "/ready", "/v1/openapi.json"], "all else is a tenant's");
    assert_eq!(all(&world, &world.b).await, before, "nothing was touched");
    let own = serde_json::to_string(&all(&world, &world.a).await).unwrap();
    for id in foreign.iter().chain([&world.b.domain]) {
        assert!(!own.contains(&id.to_string()), "{id} is in a list of the other tenant");
    }
    // What is asked for may be had by those it belongs to.
    for domain in ["a.example", &world.a.domain.to_string(), "A.example"] {
        for token in [&world.a.token, &world.admin] {
            assert_eq!(world.get(token, &format!("/v1/tenant?domain={domain}")).await.status, 200, "{domain}");
        }
    }
    let secretary = format!("/v1/conversations?secretary={}", world.b.secretaries[0]);
    assert_eq!(world.get(&world.a.token, &secretary).await.json()["items"], json!([]));
}

async fn a_secretary_is_made_changed_and_deleted_by_somebody_who_is_named(world: World) {
    let token = &world.a.token;
    let made = world.ask(token, "POST", "/v1/secretaries", Some(&secretary("8009"))).await;
    assert_eq!(made.status, 201, "{}", made.json());
    let path = made.headers["location"].to_str().unwrap().to_owned();
    let shown = world.get(token, &path).await.json();
    assert_eq!(shown, made.json());
    assert_eq!(shown["settings"]["provider_config"], json!({"language": "pt-BR"}));
    assert_eq!((&shown["settings"]["max_turns"], &shown["problem"]), (&json!(50), &Value::Null));
    assert_eq!(found(&world.store, "8009", "a.example").await.secretary_name, "Bia");
    let taken = world.ask(token, "POST", "/v1/secretaries", Some(&secretary("8000"))).await;
    assert_eq!((taken.status, taken.kind().as_str()), (409, "extension-taken"));
    let mut other = secretary("8010");
    other["first_message"] = json!("Olá");
    let changed = world.ask(token, "PUT", &path, Some(&other)).await.json();
    assert_eq!(
        (&changed["settings"]["extension"], &changed["settings"]["first_message"]),
        (&json!("8010"), &json!("Olá"))
    );
    for (field, value) in [
        ("max_turns", json!(0)),
        ("processing_mode", json!("x")),
        ("dtmf_menu", json!({"options": 5})),
        ("voice_id", json!("v".repeat(101))),
        ("system_prompt", json!("a\0b")),
        ("extension", json!(8000)),
        ("secretary_nam", json!("x")),
    ] {
        let mut wrong = secretary("8010");
        wrong[field] = value;
        let told = world.ask(token, "PUT", &path, Some(&wrong)).await;
        assert_eq!((told.status, told.json()["errors"][0]["field"].as_str()), (422, Some(field)), "{}", told.json());
    }
    assert_eq!(world.get(token, &path).await.json(), changed, "what is not valid changes nothing");
    assert_eq!(world.ask(token, "DELETE", &path, None).await.status, 204);
    assert_eq!(world.ask(token, "DELETE", &path, None).await.status, 404);
    let deeds = world.store.records().deeds(world.a.domain, 3).await.unwrap();
    let told: Vec<_> = deeds.iter().map(|told| (told.deed.actor.as_str(), told.deed.action.as_str())).collect();
    assert_eq!(told, ["delete", "update", "insert"].map(|action| ("token panel", action)));
    // Who writes otherwise is not called so.
    world.store.upsert_secretary(&stored::entry("a.example", "8050", "Eva")).await.unwrap();
    assert_ne!(world.store.records().deeds(world.a.domain, 1).await.unwrap()[0].deed.actor, "token panel");
}

async fn lists_come_in_pages_that_miss_nothing_and_tell_nothing_twice(world: World) {
    for (list, id, all) in [
        ("secretaries", "secretary_realtime_uuid", &world.a.secretaries),
        ("conversations", "conversation_uuid", &world.a.conversations),
    ] {
        let (mut seen, mut next) = (Vec::new(), String::new());
        loop {
            let page = world.get(&world.a.token, &format!("/v1/{list}?limit=2{next}")).await.json();
            let items = page["items"].as_array().unwrap();
            assert!(items.len() == 2 || page.get("next").is_none());
            seen.extend(items.iter().map(|item| item[id].as_str().unwrap().parse::<Uuid>().unwrap()));
            let Some(cursor) = page["next"].as_str() else { break };
            next = format!("&cursor={cursor}");
        }
        assert_eq!(seen.len(), all.len(), "{list}");
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), all.iter().copied().collect());
        for wrong in ["limit=0", "limit=201", "limit=x", "cursor=x", "cursor=%25", "other=1", "limit=1&limit=2"] {
            let told = world.get(&world.a.token, &format!("/v1/{list}?{wrong}")).await;
            assert_eq!((told.status, told.kind().as_str()), (400, "malformed"), "{list} {wrong}");
        }
    }
}

/// All pages of a list: the UUIDs of its items, and of what cannot be read, in their order.
async fn pages_of(world: &World, list: &str, id: &str) -> (Vec<Uuid>, Vec<Uuid>) {
    let (mut seen, mut unreadable, mut next) = (Vec::new(), Vec::new(), String::new());
    let uuid = |value: &Value| value.as_str().unwrap().parse::<Uuid>().unwrap();
    loop {
        let page = world.get(&world.a.token, &format!("/v1/{list}?limit=2{next}")).await.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| uuid(&item[id])));
        unreadable.extend(page["unreadable"].as_array().into_iter().flatten().map(uuid));
        let Some(cursor) = page["next"].as_str() else { return (seen, unreadable) };
        next = format!("&cursor={cursor}");
    }
}

async fn rows_that_cannot_be_read_end_no_list_and_can_be_deleted(world: World) {
    let (token, of) = (&world.a.token, &world.a.conversations);
    let broken = |number: usize, set: &str| {
        format!("update v_voice_conversations_realtime set {set} where conversation_uuid = '{}'", of[number])
    };
    // The second and the third are among the newest, where a page would end; nobody knows when the first began.
    for sql in [broken(0, "started_at = null"), broken(2, "outcome = 'lost'"), broken(5, "transcript = '7'")] {
        stored::execute(&world.store, sql).await;
    }
    let (seen, unreadable) = pages_of(&world, "conversations", "conversation_uuid").await;
    assert_eq!(seen.len(), 6);
    assert!(seen.iter().all(|id| of.contains(id) && ![of[0], of[2], of[5]].contains(id)), "{seen:?}");
    assert_eq!(unreadable.last(), Some(&of[0]), "what has no time comes last");
    assert_eq!(unreadable.iter().collect::<BTreeSet<_>>(), BTreeSet::from([&of[0], &of[2], &of[5]]));
    let sound = world.get(token, &format!("/v1/conversations/{}/recording", of[2])).await;
    assert_eq!((sound.status, sound.body.as_slice()), (200, &b"sound"[..]), "its recording is known");
    for id in &unreadable {
        assert_eq!(world.ask(token, "DELETE", &format!("/v1/conversations/{id}"), None).await.status, 204, "{id}");
    }
    assert_eq!(pages_of(&world, "conversations", "conversation_uuid").await, (seen.clone(), Vec::new()));
    stored::execute(&world.store, broken_recording(seen[0])).await;
    let told = world.ask(token, "DELETE", &format!("/v1/conversations/{}", seen[0]), None).await;
    assert_eq!((told.status, told.kind().as_str()), (409, "unreadable"), "nobody knows which file is its own");
    let sql = match &world.store {
        Sql::Postgres(_) => "alter table v_voice_secretaries_realtime alter max_turns type bigint".to_owned(),
        Sql::Sqlite(_) => {
            let mut secretaries = world.a.secretaries.clone();
            secretaries.sort_by_key(Uuid::to_string);
            let broken = "update v_voice_secretaries_realtime set max_turns = 'many' where secretary_realtime_uuid =";
            format!("{broken} '{}'", secretaries[1])
        }
    };
    stored::execute(&world.store, sql).await;
    let (seen, unreadable) = pages_of(&world, "secretaries", "secretary_realtime_uuid").await;
    assert!(!unreadable.is_empty() && seen.len() + unreadable.len() == 3, "{seen:?} {unreadable:?}");
    for id in &unreadable {
        assert_eq!(world.ask(token, "DELETE", &format!("/v1/secretaries/{id}"), None).await.status, 204, "{id}");
    }
    assert_eq!(pages_of(&world, "secretaries", "secretary_realtime_uuid").await, (seen, Vec::new()));
}

fn broken_recording(of: Uuid) -> String {
    let broken = r#"update v_voice_conversations_realtime set recording = '{"path":7}' where conversation_uuid ="#;
    format!("{broken} '{of}'")
}

async fn a_tenants_key_goes_in_and_never_comes_out(world: World) {
    let (token, path) = (&world.a.token, "/v1/tenant");
    let settings = json!({"realtime_provider": "openai", "monthly_budget_usd": "12.5", "retention_days": 30});
    let body = json!({"settings": settings, "api_key": "sk-own"});
    // How much it may use is not for a tenant to say.
    for (column, value) in [
        ("monthly_budget_usd", json!("12.5")),
        ("max_concurrent_calls", json!(9)),
        ("calls_per_minute", json!(9)),
        ("budget_webhook", json!("https://example.com/")),
    ] {
        let told = world.ask(token, "PUT", path, Some(&json!({"settings": {column: value}}))).await;
        assert_eq!((told.status, told.json()["errors"][0]["field"].as_str()), (422, Some(column)), "{}", told.json());
    }
    let set = world.ask(&world.admin, "PUT", "/v1/tenant?domain=a.example", Some(&body)).await;
    assert_eq!((set.status, &set.json()["has_api_key"]), (200, &json!(true)), "{}", set.json());
    let kept = world.ask(token, "PUT", path, Some(&json!({"settings": settings}))).await.json();
    assert!(kept["has_api_key"] == true && kept["settings"]["retention_days"] == 30, "{kept}");
    assert!(kept["settings"]["monthly_budget_usd"].as_str().unwrap().starts_with("12.5"), "{kept}");
    let row = world.store.tenants().find(world.a.domain).await.unwrap().unwrap();
    let (sealed, keys) = (row.api_key_encrypted.unwrap(), world.config.borrow().tenancy.master_keys.clone());
    let place = vault::Place { domain: world.a.domain, provider: "openai" };
    assert_eq!(keys.open(&sealed, &place).unwrap().expose(), "sk-own");
    for told in [&set.body, &world.get(token, path).await.body] {
        let told = String::from_utf8_lossy(told);
        assert!(!told.contains("sk-own") && !told.contains(&sealed), "{told}");
    }
    for (settings, key, field) in [
        (json!({"realtime_provider": "gemini"}), None, "api_key"),
        (json!({"realtime_provider": "local"}), Some(json!("k")), "settings.realtime_provider"),
        (json!({"realtime_provider": "openai"}), Some(json!("")), "api_key"),
        (json!({"realtime_provider": "openai"}), Some(json!("k".repeat(513))), "api_key"),
        (json!({"time_zone": "Mars"}), Some(Value::Null), "time_zone"),
        (json!({"time_zon": "UTC"}), None, "settings.time_zon"),
    ] {
        let mut body = json!({"settings": settings});
        key.into_iter().for_each(|key| body["api_key"] = key);
        let told = world.ask(token, "PUT", path, Some(&body)).await;
        assert_eq!((told.status, told.json()["errors"][0]["field"].as_str()), (422, Some(field)), "{}", told.json());
    }
    assert_eq!(world.get(&world.b.token, path).await.json()["has_api_key"], false);
    let gone = world.ask(token, "PUT", path, Some(&json!({"settings": {}, "api_key": null}))).await.json();
    assert_eq!((&gone["has_api_key"], &gone["settings"]["retention_days"]), (&json!(false), &Value::Null));
    assert!(
        gone["settings"]["monthly_budget_usd"].as_str().unwrap().starts_with("12.5"),
        "absent is as it was: {gone}"
    );
    let deeds = world.store.records().deeds(world.a.domain, 1).await.unwrap();
    assert_eq!((deeds[0].deed.actor.as_str(), deeds[0].deed.action.as_str()), ("token panel", "update"));
    world.config.send_replace(config("[[tenants]]\ndomain = \"a.example\"\nmax_concurrent_calls = 1\n"));
    assert_eq!(world.get(token, path).await.json()["of_the_file"], true);
    let told = world.ask(token, "PUT", path, Some(&body)).await;
    assert_eq!((told.status, told.kind().as_str()), (409, "of-the-file"));
}

async fn what_is_set_of_a_tenant_fits_its_columns_and_calls_nobody_within(world: World) {
    let hook = |url: &str| json!({"settings": {"budget_webhook": url}});
    let of_b = "/v1/tenant?domain=b.example";
    for url in ["http://billing.example/", "https://127.0.0.1/", "https://[::1]/", "https://intranet/x"] {
        let told = world.ask(&world.admin, "PUT", of_b, Some(&hook(url))).await;
        let told = (told.status, told.json()["errors"][0]["field"].clone());
        assert_eq!(told, (422, json!("budget_webhook")), "{url}");
    }
    assert_eq!(world.ask(&world.admin, "PUT", of_b, Some(&hook("https://billing.example/x"))).await.status, 200);
    world.config.send_replace(config("[limits]\nwebhooks = \"any\"\n"));
    assert_eq!(world.ask(&world.admin, "PUT", of_b, Some(&hook("http://127.0.0.1/"))).await.status, 200);
    world.config.send_replace(config(""));
    let rich = json!({"settings": {"monthly_budget_usd": "100000000"}});
    let told = world.ask(&world.admin, "PUT", of_b, Some(&rich)).await;
    assert_eq!((told.status, told.json()["errors"][0]["field"].as_str()), (422, Some("monthly_budget_usd")));
    let longest = json!({"settings": {"realtime_provider": "openai"}, "api_key": "k".repeat(512)});
    let told = world.ask(&world.a.token, "PUT", "/v1/tenant", Some(&longest)).await;
    assert_eq!(told.status, 200, "what it is sealed into fits: {}", told.json());
}

async fn the_months_of_a_budget_begin_where_whoever_gave_it_says(world: World) {
    let put = async |zone: Value| {
        world.ask(&world.a.token, "PUT", "/v1/tenant", Some(&json!({"settings": {"time_zone": zone}}))).await
    };
    assert_eq!(put(json!("America/Sao_Paulo")).await.status, 200, "without a budget it is for the tenant to say");
    let budget = json!({"settings": {"time_zone": "America/Sao_Paulo", "monthly_budget_usd": "5"}});
    assert_eq!(world.ask(&world.admin, "PUT", "/v1/tenant?domain=a.example", Some(&budget)).await.status, 200);
    for other in ["Pacific/Auckland", "UTC", ""] {
        let told = put(json!(other)).await;
        assert_eq!((told.status, told.json()["errors"][0]["field"].as_str()), (422, Some("time_zone")), "{other}");
    }
    for same in [json!("America/Sao_Paulo"), Value::Null] {
        let told = put(same).await.json();
        assert_eq!(told["settings"]["time_zone"], "America/Sao_Paulo", "{told}");
    }
}

async fn conversations_are_found_heard_and_forgotten(world: World) {
    let (token, id) = (&world.a.token, world.a.conversations[0]);
    let count = async |query: &str| {
        world.get(token, &format!("/v1/conversations?{query}")).await.json()["items"].as_array().unwrap().len()
    };
    let second = format!("secretary={}", world.a.secretaries[1]);
    for (query, expected) in [
        ("words=financ", 9),
        ("words=nobody", 0),
        ("words=financ%20ola", 9),
        ("caller=%2B5511999990000", 9),
        ("caller=1", 0),
        (second.as_str(), 3),
        ("from=2026-09-21T14:13:21Z", 3),
        ("to=2026-09-21T14:13:21Z", 6),
    ] {
        assert_eq!(count(query).await, expected, "{query}");
    }
    let path = format!("/v1/conversations/{id}");
    let whole = world.get(token, &path).await.json();
    assert_eq!(whole["summary"]["conversation_uuid"], id.to_string());
    assert_eq!(whole["transcript"][2]["text"], "Não — 'quero' o financeiro");
    let quality = &whole["media_quality"];
    assert_eq!((&quality["codec"], &quality["round_trip_ms"]), (&json!("PCMU"), &json!(42.37)));
    assert_eq!(quality["crypto"], "AES_CM_128_HMAC_SHA1_80");
    for (way, mean_run) in [("uplink", json!(3.04)), ("downlink", json!(null))] {
        let way = &quality[way];
        assert_eq!([&way["lost"], &way["jitter_p95_ms"], &way["r"]], [&json!(70), &json!(4.0), &json!(69.1)]);
        assert_eq!((&way["mos_cq"], &way["mean_run"]), (&json!(3.56), &mean_run));
    }
    assert_eq!((&quality["trouble"]["skipped"], &quality["trouble"]["replayed"]), (&json!(7), &json!(0)));
    assert!(quality.get("remote").is_none() && quality.get("foreign_from").is_none(), "{quality}");
    let sound = format!("{path}/recording");
    let told = world.get(token, &sound).await;
    assert_eq!((told.status, told.body.as_slice()), (200, &b"sound"[..]));
    let mut part = request(token, "GET", &sound, None);
    part.headers_mut().insert("range", "bytes=1-2".parse().unwrap());
    let told = world.send(part).await;
    assert_eq!((told.status, told.body.as_slice()), (206, &b"ou"[..]));
    assert_eq!(told.headers["content-range"], "bytes 1-2/5");
    let mut beyond = request(token, "GET", &sound, None);
    beyond.headers_mut().insert("range", "bytes=9-".parse().unwrap());
    let told = world.send(beyond).await;
    assert_eq!((told.status, told.kind().as_str()), (416, "range"));
    assert_eq!(told.headers["content-range"], "bytes */5");
    assert_eq!(world.ask(token, "DELETE", &path, None).await.status, 204);
    assert_eq!(world.get(token, &path).await.status, 404);
    assert_eq!(count("words=financ").await, 8);
    let deeds = world.store.records().deeds(world.a.domain, 4).await.unwrap();
    let told: Vec<_> = deeds.iter().map(|told| (told.deed.action.as_str(), told.deed.detail.as_deref())).collect();
    assert_eq!(told, [("erase", None), ("erase", Some("begins")), ("export", None), ("export", None)]);
    assert!(deeds.iter().all(|told| told.deed.actor == "token panel"));
}

async fn calls_are_seen_heard_and_steered(world: World) {
    let (token, id) = (&world.a.token, world.a.conversations[8]);
    let list = world.get(token, "/v1/calls?limit=1").await.json();
    assert_eq!((list["items"].as_array().unwrap().len(), list.get("next")), (1, None));
    let shown = world.get(token, &format!("/v1/calls/{id}")).await.json();
    assert_eq!((&shown, &shown["state"], &shown["recording"]), (&list["items"][0], &json!("ringing"), &json!("no")));
    let order = async |path: &str, body: Option<&Value>| {
        let told = world.ask(token, "POST", &format!("/v1/calls/{id}/{path}"), body).await;
        (told.status, if told.status < 300 { String::new() } else { told.kind() })
    };
    assert_eq!(order("hangup?goodbye=true", None).await, (409, "not-now".into()));
    assert_eq!(order("hangup", None).await, (204, String::new()));
    assert_eq!(order("transfer", Some(&json!({"to": "sales"}))).await, (202, String::new()));
    assert_eq!(order("transfer", Some(&json!({"to": "me"}))).await, (422, "invalid".into()));
    assert_eq!(order("transfer", Some(&json!({"to": " "}))).await, (422, "invalid".into()));
    let deeds = world.store.records().deeds(world.a.domain, 2).await.unwrap();
    let told: Vec<_> = deeds.iter().map(|told| (told.deed.action.as_str(), told.deed.actor.as_str())).collect();
    assert_eq!(told, [("transfer", "token panel"), ("hang up", "token panel")]);
    let heard = world.get(token, &format!("/v1/calls/{id}/listen")).await;
    assert_eq!((heard.status, heard.headers["content-type"].to_str().unwrap()), (200, "audio/wav"));
    assert!(heard.body.starts_with(b"RIFF"));
    assert_eq!(heard.body[44..], [1, 0, 2, 0, 0, 0, 0, 0, 3, 0, 4, 0]);
    let mut follow = request(token, "GET", "/v1/events", None);
    follow.headers_mut().insert("last-event-id", "6".parse().unwrap());
    let told = world.send(follow).await;
    assert_eq!((told.status, told.headers["content-type"].to_str().unwrap()), (200, "text/event-stream"));
    let text = String::from_utf8(told.body).unwrap();
    assert!(text.contains("event: missed\ndata: {\"events\":2}\n\nid: 7\nevent: call_answered\n"), "{text}");
    assert!(text.contains(&world.a.domain.to_string()), "{text}");
}

async fn usage_is_told_by_day_secretary_or_provider(world: World) {
    let token = &world.a.token;
    let told = async |by: &str| world.get(token, &USAGE.replace("secretary", by)).await.json()["items"].clone();
    let usage = |of: &str, calls: u64| {
        let (talked, tokens, cost) = (calls * 60_000, (calls, calls * 2), calls * 3);
        json!({"of": of, "calls": calls, "talked_ms": talked, "input_tokens": tokens.0, "output_tokens": tokens.1, "cost_micro_usd": cost})
    };
    let mut secretaries: Vec<String> = world.a.secretaries.iter().map(Uuid::to_string).collect();
    secretaries.sort();
    assert_eq!(told("secretary").await, json!(secretaries.iter().map(|of| usage(of, 3)).collect::<Vec<_>>()));
    assert_eq!(told("provider").await, json!([usage("local", 9)]));
    assert_eq!(told("day").await, json!([usage("2026-09-21", 9)]));
    world.config.send_replace(config("[[tenants]]\ndomain = \"a.example\"\ntime_zone = \"Pacific/Auckland\"\n"));
    assert_eq!(told("day").await, json!([usage("2026-09-22", 9)]), "it is tomorrow there");
    for wrong in ["by=month", "by=day&to=2026-08-01T00:00:00Z", "by=day&to=2028-01-01T00:00:00Z", "by=day"] {
        let path = format!("/v1/usage?from=2026-09-01T00:00:00Z&{wrong}");
        assert_eq!(world.get(token, &path).await.kind(), "malformed", "{wrong}");
    }
}

async fn providers_and_voices_are_tried_by_those_they_belong_to(world: World) {
    let (token, check, preview) = (&world.a.token, "/v1/providers/check", "/v1/voices/preview");
    let own = json!({"secretary": world.a.secretaries[0]});
    let told = world.ask(token, "POST", check, Some(&own)).await;
    assert_eq!((told.status, &told.json()["ok"]), (200, &json!(true)), "{}", told.json());
    assert_eq!(told.json()["rungs"][0]["ready_ms"], 7);
    let language = world.ask(token, "PUT", "/v1/tenant", Some(&json!({"settings": {"language": "pt-BR"}}))).await;
    assert_eq!(language.status, 200);
    let told = world.ask(token, "POST", check, Some(&json!({"realtime_provider": "openai"}))).await.json();
    let rung = &told["rungs"][0];
    assert_eq!((&told["ok"], &rung["ok"], &rung["failure"]), (&json!(false), &json!(false), &json!("quota")), "{told}");
    assert_eq!(rung["told"], "Some(\"pt-BR\") Some(\"pt-BR\")");
    let told = world.ask(token, "POST", check, Some(&json!({"realtime_provider": "hal"}))).await.json();
    assert_eq!(
        (&told["ok"], &told["rungs"], &told["missing"]),
        (&json!(false), &json!([]), &json!(["there is no hal"]))
    );
    let said = json!({"realtime_provider": "local", "text": "four"});
    let wav = world.ask(token, "POST", preview, Some(&said)).await;
    assert_eq!((wav.status, wav.headers["content-type"].to_str().unwrap()), (200, "audio/wav"));
    assert!(wav.body.starts_with(b"RIFF") && wav.body.ends_with(&[1, 0, 1, 0, 1, 0, 1, 0]), "{:?}", wav.body);
    let refused = world.ask(token, "POST", preview, Some(&json!({"realtime_provider": "openai", "text": "x"}))).await;
    assert_eq!((refused.status, refused.kind().as_str()), (422, "provider"));
    assert!(!String::from_utf8_lossy(&refused.body).contains("sk-1"), "a key is not quoted");
    for (path, body, field) in [
        (check, json!({}), "secretary"),
        (check, json!({"secretary": world.a.secretaries[0], "realtime_provider": "local"}), "realtime_provider"),
        (check, json!({"secretary": world.a.secretaries[0], "provider_config": {}}), "provider_config"),
        (check, json!({"realtime_provider": "x".repeat(51)}), "realtime_provider"),
        (check, json!({"realtime_provider": "local", "provider_config": {"model": 5}}), "provider_config"),
        (preview, json!({"realtime_provider": "local", "text": " "}), "text"),
        (preview, json!({"realtime_provider": "local", "text": "x".repeat(301)}), "text"),
        (preview, json!({"realtime_provider": "local"}), "text"),
        (preview, json!({"secretary": world.a.secretaries[0], "voice_id": "v", "text": "x"}), "voice_id"),
    ] {
        let told = world.ask(token, "POST", path, Some(&body)).await;
        assert_eq!((told.status, told.json()["errors"][0]["field"].as_str()), (422, Some(field)), "{path} {body}");
    }
    for (path, text) in [(check, None), (preview, Some("x"))] {
        let mut foreign = json!({"secretary": world.b.secretaries[0]});
        text.into_iter().for_each(|text| foreign["text"] = json!(text));
        let told = world.ask(token, "POST", path, Some(&foreign)).await;
        assert_eq!((told.status, told.kind().as_str()), (404, "not-found"), "{path}");
    }
    let deeds = world.store.records().deeds(world.a.domain, 4).await.unwrap();
    let told: Vec<_> = deeds.iter().map(|told| (told.deed.action.as_str(), told.deed.target.as_str())).collect();
    let of_her = format!("secretary {}", world.a.secretaries[0]);
    // Those of one instant have no order.
    for deed in [("preview", "provider local"), ("check", "provider openai"), ("check", of_her.as_str())] {
        assert!(told.contains(&deed), "{deed:?} {told:?}");
    }
}

async fn a_secretary_is_called_by_those_she_belongs_to(world: World) {
    let (token, id) = (&world.a.token, world.a.secretaries[0]);
    let path = format!("/v1/secretaries/{id}/test-call");
    let told = world.ask(token, "POST", &path, Some(&json!({"say": "Hello.", "seconds": 5}))).await;
    assert_eq!(told.status, 200, "{}", told.json());
    let report = told.json();
    assert_eq!(
        (&report["sip_status"], &report["answered_ms"], &report["said"]),
        (&json!(200), &json!(12), &json!(true))
    );
    assert_eq!((&report["lasted_ms"], &report["ended_by"]), (&json!(5_000), &json!("caller")));
    let usual = world.ask(token, "POST", &path, Some(&json!({}))).await.json();
    assert_eq!((&usual["lasted_ms"], &usual["said"]), (&json!(15_000), &json!(false)));
    for (body, field) in [
        (json!({"seconds": 4}), "seconds"),
        (json!({"seconds": 61}), "seconds"),
        (json!({"say": ""}), "say"),
        (json!({"say": "x".repeat(301)}), "say"),
    ] {
        let told = world.ask(token, "POST", &path, Some(&body)).await;
        assert_eq!((told.status, told.json()["errors"][0]["field"].as_str()), (422, Some(field)), "{body}");
    }
    for (say, status, kind) in [("again", 409, "engaged"), ("more", 429, "too-many")] {
        let told = world.ask(token, "POST", &path, Some(&json!({"say": say}))).await;
        assert_eq!((told.status, told.kind().as_str()), (status, kind));
        assert!(told.headers.contains_key("retry-after"));
    }
    let foreign = format!("/v1/secretaries/{}/test-call", world.b.secretaries[0]);
    assert_eq!(world.ask(token, "POST", &foreign, Some(&json!({}))).await.status, 404);
    let deeds = world.store.records().deeds(world.a.domain, 1).await.unwrap();
    let deed = &deeds[0].deed;
    assert_eq!((deed.action.as_str(), deed.actor.as_str()), ("test call", "token panel"));
    assert_eq!(
        (deed.target.clone(), deed.detail.clone()),
        (format!("secretary {id}"), Some(format!("conversation {id}")))
    );
}

async fn knowledge_is_kept_found_changed_and_forgotten(world: World) {
    let token = &world.a.token;
    let made = world.ask(token, "POST", "/v1/knowledge", Some(&json!({"name": " Manual "}))).await;
    assert_eq!((made.status, &made.json()["name"]), (201, &json!("Manual")), "{}", made.json());
    let path = made.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(world.get(token, &path).await.json(), made.json());
    let documents = format!("{path}/documents");
    let hours =
        json!({"title": "Horários", "source": "site", "language": "pt-BR", "text": "Aos sábados abrimos às 8h."});
    let mut kept = Vec::new();
    for _ in 0..3 {
        let told = world.ask(token, "POST", &documents, Some(&hours)).await;
        assert_eq!(told.status, 201, "{}", told.json());
        kept.push(told.headers["location"].to_str().unwrap().to_owned());
    }
    let first = world.get(token, &format!("{documents}?limit=2")).await.json();
    let next = first["next"].as_str().unwrap();
    let second = world.get(token, &format!("{documents}?limit=2&cursor={next}")).await.json();
    assert_eq!([&first, &second].map(|page| page["items"].as_array().unwrap().len()), [2, 1]);
    assert_eq!(world.get(token, &path).await.json()["documents"], 3);
    let whole = world.get(token, &kept[0]).await.json();
    assert_eq!((&whole["text"], &whole["document"]["bytes"]), (&hours["text"], &json!(28)));
    assert_eq!(whole["document"]["sha256"], measured(hours["text"].as_str().unwrap()).1);
    let found = async |words: &str| {
        world.get(token, &format!("{path}/search?words={words}&limit=2")).await.json()["passages"].clone()
    };
    let passages = found("horario%20sabado").await;
    assert_eq!((passages.as_array().unwrap().len(), &passages[0]["text"]), (2, &hours["text"]), "{passages}");
    for document in &kept[1..] {
        assert_eq!(world.ask(token, "DELETE", document, None).await.status, 204);
        assert_eq!(world.ask(token, "DELETE", document, None).await.status, 404);
    }
    let anew = json!({"title": "Férias", "text": "Em janeiro fechamos."});
    let told = world.ask(token, "PUT", &kept[0], Some(&anew)).await;
    assert_eq!((told.status, &told.json()["source"]), (200, &Value::Null), "{}", told.json());
    assert_eq!(told.json()["created_at"], whole["document"]["created_at"]);
    assert_eq!((found("sabado").await, found("janeiro").await[0]["title"].clone()), (json!([]), json!("Férias")));
    assert_eq!(world.ask(token, "DELETE", &path, None).await.status, 204);
    for gone in [&path, &documents, &kept[0], &format!("{path}/search?words=janeiro")] {
        assert_eq!(world.get(token, gone).await.kind(), "not-found", "{gone}");
    }
    let deeds = world.store.records().deeds(world.a.domain, 3).await.unwrap();
    let told: Vec<_> = deeds.iter().map(|told| (told.deed.actor.as_str(), told.deed.action.as_str())).collect();
    assert_eq!(told, ["delete", "update", "delete"].map(|action| ("token panel", action)));
}

async fn knowledge_that_is_none_or_too_much_is_refused(world: World) {
    let token = &world.a.token;
    let path = format!("/v1/knowledge/{}", world.a.knowledge);
    let (documents, kept) = (format!("{path}/documents"), format!("{path}/documents/{}", world.a.document));
    let hours = json!({"title": "Horários", "text": "Aos sábados abrimos às 8h."});
    for (field, value) in [
        ("title", json!(" ")),
        ("title", json!("x".repeat(256))),
        ("source", json!("x".repeat(1_001))),
        ("language", json!("português")),
        ("text", json!("\n ")),
        ("text", json!("x".repeat(LONGEST_TEXT + 1))),
        ("text", json!("a\0b")),
    ] {
        let mut wrong = hours.clone();
        wrong[field] = value;
        for (method, path) in [("POST", &documents), ("PUT", &kept)] {
            let told = world.ask(token, method, path, Some(&wrong)).await;
            assert_eq!(
                (told.status, told.json()["errors"][0]["field"].as_str()),
                (422, Some(field)),
                "{}",
                told.json()
            );
        }
    }
    let longest = json!({"title": "x", "text": "é".repeat(LONGEST_TEXT / 2)});
    assert_eq!(world.ask(token, "POST", &documents, Some(&longest)).await.status, 201);
    assert_eq!(world.get(token, &format!("{path}/search?words=x&limit=51")).await.kind(), "malformed");
    let one_more = async || world.ask(token, "POST", "/v1/knowledge", Some(&json!({"name": "x"}))).await;
    for _ in 1..MOST_COLLECTIONS {
        assert_eq!(one_more().await.status, 201);
    }
    let told = one_more().await;
    assert_eq!((told.status, told.kind().as_str()), (409, "too-many"));
}

async fn a_secretary_has_knowledge_of_her_own_tenant_alone(world: World) {
    let (token, path) = (&world.a.token, format!("/v1/secretaries/{}", world.a.secretaries[0]));
    let mut body = secretary("8000");
    body["enable_rag"] = json!(true);
    let put = async |body: &Value| world.ask(token, "PUT", &path, Some(body)).await;
    for wrong in [Value::Null, json!(world.b.knowledge), json!(Uuid::new_v4()), json!(world.a.document)] {
        body["rag_collection_id"] = wrong;
        let told = put(&body).await;
        assert_eq!((told.status, &told.json()["errors"][0]["field"]), (422, &json!("rag_collection_id")), "{body}");
    }
    body["rag_collection_id"] = json!(world.a.knowledge);
    let told = put(&body).await;
    assert_eq!((told.status, &told.json()["problem"]), (200, &Value::Null), "{}", told.json());
    assert_eq!(found(&world.store, "8000", "a.example").await.knowledge(), Some(world.a.knowledge));
    let knowledge = format!("/v1/knowledge/{}", world.a.knowledge);
    assert_eq!(world.ask(token, "DELETE", &knowledge, None).await.status, 204);
    let shown = world.get(token, &path).await.json();
    assert_eq!(shown["problem"]["field"], "rag_collection_id", "{shown}");
    let listed = world.get(token, "/v1/secretaries").await.json();
    let problems = listed["items"].as_array().unwrap().iter().filter(|item| !item["problem"].is_null());
    assert_eq!(problems.count(), 1, "{listed}");
    // Her calls go on without.
    let gone = found(&world.store, "8000", "a.example").await.knowledge().unwrap();
    assert_eq!(world.store.knowledge().look_up((world.a.domain, gone), "consulta", 5).await.unwrap(), []);
}

async fn a_post_with_a_key_is_done_once(world: World) {
    let post = async |key: &str, extension: &str| {
        let mut request = request(&world.a.token, "POST", "/v1/secretaries", Some(&secretary(extension)));
        request.headers_mut().insert("idempotency-key", key.parse().unwrap());
        world.send(request).await
    };
    let (first, again) = (post("k", "8009").await, post("k", "8009").await);
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!((&first.body, &first.headers["location"]), (&again.body, &again.headers["location"]));
    assert!(first.headers.get("idempotency-replayed").is_none());
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_ne!(first.headers["x-request-id"], again.headers["x-request-id"]);
    let other = post("k", "8010").await;
    assert_eq!((other.status, other.kind().as_str()), (422, "key-reused"));
    for (path, kind) in [
        ("/v1/secretaries?domain=a.example", "application/json"),
        ("/v1/secretaries", "application/json; charset=utf-8"),
    ] {
        let mut request = request(&world.a.token, "POST", path, Some(&secretary("8009")));
        request.headers_mut().insert("idempotency-key", "k".parse().unwrap());
        request.headers_mut().insert("content-type", kind.parse().unwrap());
        assert_eq!(world.send(request).await.kind(), "key-reused", "{path} {kind}");
    }
    assert_eq!(post("other", "8009").await.status, 409, "the extension is taken");
    assert_eq!(post(&"k".repeat(256), "8011").await.status, 400);
    let list = world.get(&world.a.token, "/v1/secretaries").await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 4);
}

/// Whoever does what `Retry-After` says, with the same key, is not told the same again.
#[tokio::test]
async fn a_key_remembers_no_answer_that_says_to_try_again() {
    let Some(scratch) = stored::sqlite().await else { return };
    let world = world(&scratch.store).await;
    let path = format!("/v1/secretaries/{}/test-call", world.a.secretaries[0]);
    let call = async || {
        let mut request = request(&world.a.token, "POST", &path, Some(&json!({"say": "again"})));
        request.headers_mut().insert("idempotency-key", "k".parse().unwrap());
        world.send(request).await
    };
    let (first, second, third) = (call().await, call().await, call().await);
    assert_eq!((first.status, first.kind().as_str()), (409, "engaged"));
    assert!(first.headers.contains_key("retry-after"));
    assert_eq!((second.status, second.headers.get("idempotency-replayed")), (200, None));
    assert_eq!((third.status, third.headers["idempotency-replayed"].to_str().unwrap()), (200, "true"));
    assert_eq!(second.body, third.body);
}

/// Who waits is told after a while that there is no answer in time, and asks again.
#[tokio::test]
async fn what_has_begun_under_a_key_is_done_once_although_nobody_waits() {
    let Some(scratch) = stored::sqlite().await else { return };
    let (store, (_config, configs)) = (scratch.store.clone(), watch::channel(config("")));
    let shed = Shed(store.clone(), Vec::new(), AtomicUsize::default());
    let api = Api::new(Arc::new(store), Arc::new(shed), configs, true);
    let (told, mut happened) = tokio::sync::mpsc::channel(4);
    let (goes_on, go) = watch::channel(false);
    let handler = move || {
        let (told, mut go) = (told.clone(), go.clone());
        async move {
            told.send("begun").await.unwrap();
            go.wait_for(|go| *go).await.unwrap();
            told.send("done").await.unwrap();
            "it is"
        }
    };
    let router: Router = Router::new().route("/", axum::routing::post(handler));
    let router = router.layer(from_fn_with_state(api, once::once));
    let ask = async || {
        let asked = Request::post("/").header("idempotency-key", "k").body(Body::empty()).unwrap();
        let answer = router.clone().call(asked).await.unwrap();
        (answer.status().as_u16(), to_bytes(answer.into_body(), usize::MAX).await.unwrap())
    };
    tokio::select! {
        _ = ask() => panic!("nothing was done yet"),
        begun = happened.recv() => assert_eq!(begun, Some("begun")),
    }
    let meanwhile = timeout(Duration::from_secs(20), ask()).await.unwrap();
    assert_eq!(meanwhile.0, 409, "it goes on");
    goes_on.send(true).unwrap();
    let again = async {
        loop {
            let (status, body) = ask().await;
            if status != 409 {
                return (status, body);
            }
            tokio::task::yield_now().await;
        }
    };
    let (status, body) = timeout(Duration::from_secs(20), again).await.unwrap();
    assert_eq!((status, &body[..]), (200, &b"it is"[..]));
    assert_eq!((happened.recv().await, happened.try_recv().ok()), (Some("done"), None), "once");
}

async fn a_token_opens_until_it_is_revoked(world: World) {
    let (token, path) = (&world.a.token, "/v1/tenant");
    assert_eq!(world.get(token, path).await.status, 200);
    let id = Token::parse(token).unwrap().id;
    assert!(world.store.tokens().token(&id).await.unwrap().unwrap().last_used_at.is_some());
    world.store.tokens().revoke_token(&id, Utc::now()).await.unwrap();
    // What was believed a moment ago is for a few seconds.
    #[expect(clippy::disallowed_methods, reason = "a revocation is waited for")]
    let ended = async {
        while world.get(token, path).await.status == 200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(15), ended).await.unwrap();
    assert_eq!(world.get(token, path).await.kind(), "unauthorized");
    let last = world.b.token.chars().last().unwrap();
    let wrong = format!("{}{}", &world.b.token[..world.b.token.len() - 1], if last == '0' { '1' } else { '0' });
    let mut told = Vec::new();
    for _ in 0..25 {
        told.push(world.get(&wrong, path).await.status);
    }
    assert!(told.starts_with(&[401; 15]) && told.ends_with(&[429; 5]), "{told:?}");
    assert_eq!(world.get(&world.b.token, path).await.status, 200, "known ones are let in");
    let guess = format!("ramal_{}_{}", "0".repeat(16), "0".repeat(64));
    let told = world.get(&guess, path).await;
    assert_eq!((told.status, told.headers["retry-after"].to_str().unwrap()), (429, "60"));
    // Behind a proxy all have its address: a token that is made now is let in all the same.
    let new = self::token(&world.store, "new", Some(world.b.domain)).await;
    #[expect(clippy::disallowed_methods, reason = "a new token is waited for")]
    let known = async {
        while world.get(&new, path).await.status == 429 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(15), known).await.unwrap();
    assert_eq!(world.get(&new, path).await.status, 200);
    assert_eq!(world.get(&guess, path).await.status, 429);
}

#[tokio::test]
async fn whatever_is_wrong_is_a_problem() {
    let Some(scratch) = stored::sqlite().await else { return };
    let world = world(&scratch.store).await;
    let (token, path) = (&world.a.token, "/v1/secretaries");
    let told = world.get(token, "/v1/nothing").await;
    assert_eq!((told.status, told.kind().as_str()), (404, "not-found"));
    let told = world.ask(token, "PATCH", path, None).await;
    assert_eq!((told.status, told.kind().as_str()), (405, "method"));
    let allowed: BTreeSet<&str> = told.headers["allow"].to_str().unwrap().split(',').collect();
    assert_eq!(allowed, BTreeSet::from(["GET", "HEAD", "POST"]));
    assert_eq!(world.get(token, &format!("{path}/not-a-uuid")).await.kind(), "not-found");
    let told = world.ask(token, "POST", path, None).await;
    assert_eq!((told.status, told.kind().as_str()), (415, "media-type"));
    let post = |body: String| {
        let request = request(token, "POST", path, Some(&Value::Null));
        let (parts, _) = request.into_parts();
        Request::from_parts(parts, Body::from(body))
    };
    let told = world.send(post("{".into())).await;
    assert_eq!((told.status, told.kind().as_str()), (400, "malformed"));
    let told = world.send(post(format!("\"{}\"", "x".repeat(LONGEST_BODY)))).await;
    assert_eq!((told.status, told.kind().as_str()), (413, "body"));
    let mut named = request(token, "GET", "/v1/tenant", None);
    named.headers_mut().insert("x-request-id", "from-the-panel.1".parse().unwrap());
    assert_eq!(world.send(named).await.headers["x-request-id"], "from-the-panel.1");
    assert_eq!(world.get("", "/metrics").await.body, b"ramal_up 1 Anybody\n");
    assert_eq!(world.get("", "/health").await.status, 503);
}

#[test]
fn the_document_says_what_events_are() {
    let document = document();
    let answer = &document["paths"]["/v1/events"]["get"]["responses"]["200"]["content"]["text/event-stream"];
    let schemas = answer["schema"]["contentSchema"]["anyOf"].as_array().unwrap();
    let named: Vec<&str> = schemas.iter().filter_map(|schema| schema["$ref"].as_str()).collect();
    assert_eq!(named, ["#/components/schemas/Entry", "#/components/schemas/Missed"]);
    let entry = document["components"]["schemas"]["Entry"].to_string();
    for part in ["call_began", "turn_finished", "listened_to", "budget_alert", "registration", "domain_uuid", "\"at\""]
    {
        assert!(entry.contains(part), "{part}: {entry}");
    }
}

/// Asks for this as often at once as a token may, and eight times more, while this lock is held.
async fn three_ask_at_once(lock: &'static str, path: &str) {
    const MORE: usize = 8;
    let Some(scratch) = stored::postgres().await else { return };
    let (world, refused) = (&world(&scratch.store).await, &AtomicUsize::new(0));
    let Sql::Postgres(pool) = &scratch.store else { panic!("a server was asked for") };
    let mut locks = pool.begin().await.unwrap();
    sqlx::query(lock).execute(&mut *locks).await.unwrap();
    let ask = |_| async move {
        let status = world.get(&world.a.token, path).await.status;
        refused.fetch_add(usize::from(status == 429), Ordering::Relaxed);
        status
    };
    let waiting = async || {
        let waiting =
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        sqlx::query_scalar::<_, i64>(waiting).fetch_one(pool).await.unwrap()
    };
    let watched = async {
        while waiting().await < 3 || refused.load(Ordering::Relaxed) < MORE {}
        for _ in 0..20 {
            assert_eq!(waiting().await, 3, "the others wait their turn");
        }
        locks.rollback().await.unwrap();
    };
    let asked = join_all((0..AT_ONCE + MORE).map(ask));
    let (told, ()) = timeout(Duration::from_secs(20), async { tokio::join!(asked, watched) }).await.unwrap();
    let count = |status| told.iter().filter(|told| **told == status).count();
    assert_eq!((count(200), count(429)), (AT_ONCE, MORE), "{told:?}");
}

/// The other connections of the pool are the calls'.
#[tokio::test]
async fn three_requests_at_once_ask_the_database_and_a_token_has_so_many_that_wait() {
    three_ask_at_once("lock table v_voice_tenants", "/v1/tenant").await;
}

#[tokio::test]
async fn three_requests_at_once_ask_which_domain_is_meant() {
    three_ask_at_once("lock table v_domains", "/v1/tenant?domain=a.example").await;
}

#[tokio::test]
async fn a_token_has_so_many_answers_that_go_on_and_no_other_has_fewer() {
    let Some(scratch) = stored::sqlite().await else { return };
    let world = world(&scratch.store).await;
    let follow = async |token: &str| {
        let mut asked = request(token, "GET", "/v1/events", None);
        asked.extensions_mut().insert(Peer(Ipv4Addr::LOCALHOST.into()));
        world.router.clone().call(asked).await.unwrap()
    };
    let mut followed = Vec::new();
    for _ in 0..STREAMS {
        followed.push(follow(&world.a.token).await);
    }
    assert!(followed.iter().all(|answer| answer.status() == StatusCode::OK));
    assert_eq!(follow(&world.a.token).await.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(follow(&world.b.token).await.status(), StatusCode::OK);
    followed.pop();
    assert_eq!(follow(&world.a.token).await.status(), StatusCode::OK);
}

/// A program that hears of a failure asks again.
#[tokio::test]
async fn what_is_made_is_answered_although_it_cannot_be_shown() {
    let Some(scratch) = stored::sqlite().await else { return };
    let world = world(&scratch.store).await;
    let sql = "create trigger broken after insert on v_voice_secretaries_realtime begin \
        update v_voice_secretaries_realtime set max_turns = 'many' \
        where secretary_realtime_uuid = new.secretary_realtime_uuid; end";
    stored::execute(&world.store, sql.into()).await;
    let made = world.ask(&world.a.token, "POST", "/v1/secretaries", Some(&secretary("8009"))).await;
    assert_eq!((made.status, &made.json()["settings"]["secretary_name"]), (201, &json!("Bia")));
    let path = made.headers["location"].to_str().unwrap();
    assert!(path.ends_with(made.json()["secretary_realtime_uuid"].as_str().unwrap()), "{path}");
    assert_eq!(world.get(&world.a.token, path).await.status, 500);
    // What nobody can read can be said anew.
    let mended = world.ask(&world.a.token, "PUT", path, Some(&secretary("8009"))).await;
    assert_eq!((mended.status, &mended.json()["settings"]["max_turns"]), (200, &json!(50)));
}

#[tokio::test]
async fn pages_that_are_not_open_are_for_tokens_of_all_domains() {
    let Some(scratch) = stored::sqlite().await else { return };
    let World { store, config, a, admin, b, .. } = world(&scratch.store).await;
    let shed = Shed(store.clone(), Vec::new(), AtomicUsize::default());
    let api = Api::new(Arc::new(store.clone()), Arc::new(shed), config.subscribe(), false);
    let world = World { router: router(api), config, store, a, b, admin };
    for path in ["/ready", "/metrics"] {
        assert_eq!(world.send(Request::get(path).body(Body::empty()).unwrap()).await.status, 401);
        assert_eq!(world.get(&world.a.token, path).await.status, 403);
        assert_eq!(world.get(&world.admin, path).await.status, StatusCode::OK.as_u16());
    }
    assert_eq!(world.get(&world.admin, "/metrics").await.body, b"ramal_up 1 Owner\n");
}

/// The published document; `RAMAL_WRITE_OPENAPI` writes it.
#[test]
fn the_document_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    let text = serde_json::to_string_pretty(&document()).unwrap() + "\n";
    if std::env::var_os("RAMAL_WRITE_OPENAPI").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let published = std::fs::read_to_string(path).unwrap_or_default();
    assert!(published == text, "docs/openapi.json is not what the code says: RAMAL_WRITE_OPENAPI=1 writes it anew");
}

#[test]
fn operations_have_names_of_their_own_and_methods_that_are_theirs() {
    let all = [endpoints(), pages::endpoints()];
    let names: Vec<_> = operations().iter().map(|(method, path, ..)| format!("{method} {path}")).collect();
    assert_eq!(names.len(), all.iter().map(Vec::len).sum::<usize>());
    assert!(names.contains(&"DELETE /v1/secretaries/{id}".to_owned()), "{names:?}");
    let document = document();
    let methods = document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values());
    let ids: BTreeSet<_> = methods.map(|operation| operation["operationId"].to_string()).collect();
    assert_eq!(ids.len(), names.len());
}
