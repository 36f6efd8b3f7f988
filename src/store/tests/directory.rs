//! What is known of secretaries and tenants: never out of date, and there while the database is away.
use super::{spilling::Unpluggable, *};
use crate::store::Directory;
use tokio::{sync::watch, task::JoinSet, time::timeout};

/// A change is noticed within this, and a connection made again.
const SOON: Duration = Duration::from_secs(10);

struct World {
    store: Arc<Unpluggable>,
    directory: Directory,
    changes: watch::Receiver<Changes>,
    /// Whoever follows them, for as long as this is here.
    _following: JoinSet<()>,
}

/// A directory whose changes are followed, of a store with Ana.
async fn world(scratch: &Scratch) -> World {
    scratch.store.upsert_secretary(&entry("a.example", "8000", "Ana")).await.unwrap();
    let store = Arc::new(Unpluggable::new(scratch.store.clone(), false));
    let (sender, changes) = watch::channel(Changes::default());
    let following = scratch.store.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { following.follow(sender).await });
    let directory = Directory::new(store.clone(), changes.clone());
    let mut world = World { directory, store, changes, _following: tasks };
    world.wait(|changes| changes.followed).await;
    world
}

impl World {
    async fn wait(&mut self, until: impl FnMut(&Changes) -> bool) {
        timeout(SOON, self.changes.wait_for(until)).await.unwrap().unwrap();
    }

    /// Changes rows; it is known that they changed when this returns.
    async fn change(&mut self, scratch: &Scratch, sql: &str) {
        let before = self.changes.borrow().seen;
        execute(&scratch.store, sql.to_owned()).await;
        self.wait(|changes| changes.seen > before).await;
    }

    async fn found(&self) -> Found {
        self.directory.find(&lookup("8000", Some("a.example"))).await.unwrap()
    }

    async fn name(&self) -> String {
        let Found::Secretary(secretary) = self.found().await else { panic!("she is not there") };
        secretary.secretary_name
    }
}

pub(super) async fn a_change_applies_to_the_next_call_and_what_did_not_change_is_not_asked_for(scratch: Scratch) {
    let mut world = world(&scratch).await;
    for _ in 0..3 {
        assert_eq!(world.name().await, "Ana");
    }
    assert_eq!(world.store.asked(), 1);
    world.change(&scratch, "update v_voice_secretaries_realtime set secretary_name = 'Bia'").await;
    assert_eq!(world.name().await, "Bia");
    let domain = found(&scratch.store, "8000", None).await.domain_uuid;
    assert_eq!(world.directory.tenant(domain).await.unwrap(), None);
    scratch.store.set_key(domain, "openai", "v1.sealed").await.unwrap();
    let seen = world.changes.borrow().seen;
    world.wait(|changes| changes.seen > seen || changes.seen > 2).await;
    let row = world.directory.tenant(domain).await.unwrap().unwrap();
    assert_eq!(row.api_key_encrypted.as_deref(), Some("v1.sealed"));
    world.change(&scratch, "update v_domains set domain_enabled = false").await;
    assert_eq!(world.found().await, Found::Disabled { secretary: "Bia".into() });
}

pub(super) async fn an_invalid_row_takes_one_secretary_out_until_it_is_mended(scratch: Scratch) {
    scratch.store.upsert_secretary(&entry("a.example", "8001", "Eva")).await.unwrap();
    let mut world = world(&scratch).await;
    let broken =
        "update v_voice_secretaries_realtime set transfer_rules = '{\"no\":\"list\"}' where extension = '8000'";
    world.change(&scratch, broken).await;
    for _ in 0..2 {
        let Found::Invalid(error) = world.found().await else { panic!("it is valid") };
        assert!(error.to_string().starts_with("secretary \"Ana\", transfer_rules: "), "{error}");
    }
    let eva = world.directory.find(&lookup("8001", None)).await.unwrap();
    assert!(matches!(eva, Found::Secretary(eva) if eva.secretary_name == "Eva"), "the other takes calls");
    let mended = r#"update v_voice_secretaries_realtime
        set transfer_rules = '[{"name":"financeiro","destination":"1003"}]' where extension = '8000'"#;
    world.change(&scratch, mended).await;
    assert_eq!(world.name().await, "Ana");
}

/// A type that another program changed, or text where a number belongs: the database is there, and it is not as of yesterday.
pub(super) async fn a_row_that_cannot_be_decoded_takes_one_secretary_out_and_says_why(scratch: Scratch) {
    scratch.store.upsert_secretary(&entry("a.example", "8001", "Eva")).await.unwrap();
    let mut world = world(&scratch).await;
    assert_eq!(world.name().await, "Ana");
    let mut broken = "update v_voice_secretaries_realtime set max_turns = 'many' where extension = '8000'";
    if matches!(scratch.store, Sql::Postgres(_)) {
        execute(&scratch.store, "alter table v_voice_secretaries_realtime alter max_turns type bigint".into()).await;
        broken = "update v_voice_secretaries_realtime set max_turns = 3 where extension = '8000'";
    }
    world.change(&scratch, broken).await;
    for _ in 0..2 {
        let Found::Invalid(error) = world.found().await else { panic!("it is valid") };
        assert_eq!((error.secretary.as_str(), error.problem.contains("max_turns")), ("Ana", true), "{error}");
    }
    assert_eq!(world.directory.stale(), 0, "nobody is answered by what was known");
    if matches!(scratch.store, Sql::Sqlite(_)) {
        let eva = world.directory.find(&lookup("8001", None)).await.unwrap();
        assert!(matches!(eva, Found::Secretary(_)), "the other takes calls: {eva:?}");
    }
    let off = "update v_voice_secretaries_realtime set enabled = false where extension = '8000'";
    world.change(&scratch, off).await;
    assert_eq!(world.found().await, Found::Disabled { secretary: "Ana".into() });
}

pub(super) async fn calls_go_by_what_was_known_while_the_database_is_away(scratch: Scratch) {
    let mut world = world(&scratch).await;
    world.name().await;
    // Whatever was known is out of date, and nobody can say what is right.
    world.change(&scratch, "update v_voice_secretaries_realtime set secretary_name = 'Bia'").await;
    world.store.unplug(true);
    for _ in 0..3 {
        assert_eq!(world.name().await, "Ana");
    }
    assert_eq!((world.directory.stale(), world.store.asked()), (3, 2), "it is waited for once");
    let stranger = world.directory.find(&lookup("9999", None)).await;
    assert!(matches!(stranger, Err(StoreError::Unavailable(_))), "{stranger:?}");
}

/// As one that is away, whose connections are tried time and again: a caller hears nothing meanwhile.
#[tokio::test]
async fn a_database_that_does_not_answer_is_not_waited_for_where_something_is_known() {
    let scratch = sqlite().await.unwrap();
    let mut world = world(&scratch).await;
    world.name().await;
    world.change(&scratch, "update v_voice_secretaries_realtime set secretary_name = 'Bia'").await;
    let Sql::Sqlite(pool) = &scratch.store else { panic!("another database") };
    let mut busy = Vec::new();
    for _ in 0..pool.options().get_max_connections() {
        busy.push(pool.acquire().await.unwrap());
    }
    assert_eq!(timeout(Duration::from_millis(2_500), world.name()).await.unwrap(), "Ana");
    assert_eq!(world.directory.stale(), 1);
}

/// Whoever stops the server of the database, or a firewall between us, cuts the ear off.
#[tokio::test]
async fn who_is_not_told_of_changes_asks_at_each_call_until_told_again() {
    let Some(scratch) = postgres().await else { return };
    let mut world = world(&scratch).await;
    world.name().await;
    let ear = "select pg_terminate_backend(pid) from pg_stat_activity \
               where datname = current_database() and query ilike '%pg_trigger%' and pid <> pg_backend_pid()";
    execute(&scratch.store, ear.into()).await;
    world.wait(|changes| !changes.followed).await;
    execute(&scratch.store, "update v_voice_secretaries_realtime set secretary_name = 'Bia'".into()).await;
    assert_eq!(world.name().await, "Bia");
    let asked = world.store.asked();
    world.name().await;
    assert_eq!(world.store.asked(), asked + 1);
    world.wait(|changes| changes.followed).await;
    world.name().await;
    let asked = world.store.asked();
    world.name().await;
    assert_eq!(world.store.asked(), asked);
}
