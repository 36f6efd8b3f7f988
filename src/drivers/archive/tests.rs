//! What is forgotten and what is not, in a file of SQLite and a folder of recordings.
use super::*;
use crate::{
    config::Environment,
    record::{Conversation, State},
    secretary::{DomainRef, Secretary, SecretaryEntry, SecretaryRow},
    store::{self, Found, Lookup, Pace},
};
use media::{SampleRate, recording::wav};
use std::{
    fs::File,
    net::TcpListener,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    time::SystemTime,
};

struct World {
    folder: PathBuf,
    config: Config,
    store: Arc<dyn Store>,
    ana: Secretary,
}

/// With Ana, and this at the end of the configuration.
async fn world(tenants: &str) -> World {
    let folder = std::env::temp_dir().join(format!("ramal-archive-{}", Uuid::new_v4()));
    fs::create_dir_all(folder.join("r")).unwrap();
    let text = format!(
        "[database]\nurl = \"sqlite:{0}/ramal.db\"\n[recording]\ndirectory = \"{0}/r\"\nnode = \"here\"\n{tenants}",
        folder.display()
    );
    let config = Config::parse(&text, "test", &Environment::new()).unwrap();
    let store = store::connect(&config.database).await.unwrap();
    let ana = secretary(&*store, "a.example").await;
    World { folder, config, store, ana }
}

async fn secretary(store: &dyn Store, domain: &str) -> Secretary {
    let row = SecretaryRow {
        secretary_name: "Ana".into(),
        extension: Some("8000".into()),
        realtime_provider: "local".into(),
        ..SecretaryRow::default()
    };
    store.upsert_secretary(&SecretaryEntry { domain: domain.into(), row }).await.unwrap();
    let lookup = Lookup { extension: "8000".into(), domain: Some(DomainRef::from(domain)) };
    let Found::Secretary(ana) = store.find_secretary(&lookup).await.unwrap() else { panic!("no Ana") };
    *ana
}

const NINETY: &str = "[[tenants]]\ndomain = \"a.example\"\nretention_days = 90\n";

impl World {
    /// Writes a recording of so many days ago; its path.
    fn record(&self, days: u64, name: &str) -> String {
        let began = now().checked_sub_days(Days::new(days)).unwrap();
        let path = format!("{}/{}/{name}", self.ana.domain_uuid, began.format("%Y/%m/%d"));
        let file = self.folder.join("r").join(&path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "sound").unwrap();
        File::options().write(true).open(file).unwrap().set_modified(SystemTime::from(began)).unwrap();
        path
    }

    /// A conversation of so many days ago, whose recording has this path.
    fn conversation(&self, days: u64, path: &str) -> Conversation {
        let began = now().checked_sub_days(Days::new(days)).unwrap();
        let mut kept = store::tests::conversation(&self.ana);
        let recording = kept.recording.unwrap();
        let recording = Recording {
            state: State::Complete,
            path: Some(path.to_owned()),
            store: None,
            node: Some("here".into()),
            ..recording
        };
        (kept.started_at, kept.ended_at, kept.recording) = (began, began, Some(recording));
        kept
    }

    /// Keeps a conversation of so many days ago with its recording.
    async fn keep(&self, days: u64, name: &str) -> Conversation {
        let kept = self.conversation(days, &self.record(days, name));
        self.store.save_conversation(&kept).await.unwrap();
        kept
    }

    fn has(&self, conversation: &Conversation) -> bool {
        self.has_file(conversation.recording.as_ref().unwrap().path.as_deref().unwrap())
    }

    fn has_file(&self, path: &str) -> bool {
        self.folder.join("r").join(path).exists()
    }

    async fn left(&self) -> Vec<Uuid> {
        self.store.conversations(1_000).await.unwrap().iter().map(|kept| kept.conversation_uuid).collect()
    }

    async fn time_passes(&self) {
        keep_to_time(&self.store, &self.config, now()).await.unwrap();
    }

    /// What the audit has of retention, the newest last.
    async fn told(&self) -> Vec<String> {
        let deeds = self.store.records().deeds(self.ana.domain_uuid, 100).await.unwrap();
        let told = deeds.into_iter().map(|told| told.deed).filter(|deed| deed.action == "retention");
        let told = told.filter_map(|deed| deed.detail);
        told.collect::<Vec<_>>().into_iter().rev().collect()
    }

    async fn execute(&self, sql: &'static str) {
        let store = sqlx::SqlitePool::connect(self.config.database.url.expose()).await.unwrap();
        sqlx::raw_sql(sql).execute(&store).await.unwrap();
        store.close().await;
    }

    async fn forget(&self, which: &Which) -> Forgotten {
        let deed = Deed {
            domain: which.domain,
            at: now(),
            actor: "test".into(),
            action: "erase".into(),
            target: "all".into(),
            detail: None,
        };
        let eraser = Arc::new(Eraser::new(&self.config.recording).unwrap());
        let (mut telling, mut forgotten) = (Telling::of(&*self.store, deed), Forgotten::default());
        forget(&self.store, &eraser, which, &mut telling, &mut forgotten).await.unwrap();
        forgotten
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A folder that stays is litter, not a failure.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap()
}

#[tokio::test]
async fn what_is_too_old_is_deleted_with_its_recording_and_the_rest_is_kept() {
    let world = world(NINETY).await;
    let (young, old) = (world.keep(89, "young.wav").await, world.keep(91, "old.wav").await);
    world.time_passes().await;
    assert_eq!(world.left().await, [young.conversation_uuid]);
    assert!(world.has(&young) && !world.has(&old));
    assert_eq!(world.told().await, ["begins", "1 deleted, 0 left"]);
    world.time_passes().await;
    assert_eq!(world.told().await.len(), 2, "nothing was done");
}

#[tokio::test]
async fn without_a_time_everything_is_kept() {
    let world = world("").await;
    world.keep(9_000, "old.wav").await;
    let stray = world.record(9_000, "stray.wav");
    world.time_passes().await;
    assert_eq!((world.left().await.len(), world.has_file(&stray)), (1, true));
}

#[tokio::test]
async fn a_recording_that_cannot_be_deleted_keeps_its_row_and_holds_up_no_other() {
    let world = world("").await;
    let stuck = world.keep(50, "stuck.wav").await;
    let file = world.folder.join("r").join(stuck.recording.as_ref().unwrap().path.as_ref().unwrap());
    fs::remove_file(&file).unwrap();
    fs::create_dir_all(&file).unwrap();
    let many = usize::try_from(BATCH).unwrap() + 5;
    for number in 0..many {
        world.keep(60, &format!("{number}.wav")).await;
    }
    let which = Which { domain: world.ana.domain_uuid, ..Which::default() };
    let forgotten = world.forget(&which).await;
    assert_eq!(forgotten, Forgotten { gone: many as u64, left: 1, ..Forgotten::default() });
    assert_eq!(world.left().await, [stuck.conversation_uuid]);
    let other = Which { domain: Uuid::new_v4(), ..which };
    assert_eq!(world.forget(&other).await, Forgotten::default());
}

/// It would be asked once for each, and each time be waited for.
#[tokio::test]
async fn a_store_that_is_away_is_asked_once_and_holds_up_nobody_else() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    // It takes connections, and ends them.
    std::thread::spawn(move || {
        for _gone in listener.incoming() {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let store =
        format!("s3_endpoint = \"http://{at}\"\ns3_bucket = \"b\"\ns3_access_key = \"k\"\ns3_secret_key = \"s\"\n");
    let world = world(&format!("{store}{NINETY}[[tenants]]\ndomain = \"z.example\"\nretention_days = 90\n")).await;
    let mut waits = Vec::new();
    for name in ["a.wav", "b.wav", "c.wav"] {
        let path = world.record(91, name);
        let mut sent = world.conversation(91, &path);
        sent.recording.iter_mut().for_each(|recording| recording.store = Some(format!("s3://b/{path}")));
        world.store.save_conversation(&sent).await.unwrap();
        waits.push(sent.conversation_uuid);
    }
    let local = world.keep(92, "local.wav").await;
    let other = secretary(&*world.store, "z.example").await;
    let kept = Conversation { domain_uuid: other.domain_uuid, recording: None, ..world.conversation(91, "") };
    world.store.save_conversation(&kept).await.unwrap();
    world.time_passes().await;
    assert!(!world.has(&local));
    let mut left = world.left().await;
    left.sort_unstable();
    waits.sort_unstable();
    assert_eq!((left, asked.load(Ordering::Relaxed)), (waits, 1));
    assert_eq!(world.told().await, ["begins", "1 deleted, 3 left"]);
}

/// A server that shares the database has no file, and says nothing of it.
#[tokio::test]
async fn what_is_on_the_disk_of_another_server_is_left_to_it_until_it_is_released() {
    let mut world = world(NINETY).await;
    let old = world.keep(91, "old.wav").await;
    world.config.recording.node = "other".into();
    world.config.recording.directory = world.folder.join("of-the-other");
    world.time_passes().await;
    assert_eq!((world.left().await, world.has(&old)), (vec![old.conversation_uuid], true));
    assert!(world.told().await.is_empty(), "nothing was done");
    let which = Which { domain: world.ana.domain_uuid, ..Which::default() };
    let elsewhere = BTreeMap::from([("here".to_owned(), 1)]);
    assert_eq!(world.forget(&which).await, Forgotten { elsewhere, ..Forgotten::default() });
    assert_eq!(world.store.records().let_go(world.ana.domain_uuid, "here").await.unwrap(), 1);
    world.time_passes().await;
    assert!(world.left().await.is_empty());
}

#[tokio::test]
async fn a_row_that_cannot_be_read_holds_up_no_other_and_no_other_tenant() {
    let world = world(&format!("{NINETY}[[tenants]]\ndomain = \"b.example\"\nretention_days = 90\n")).await;
    let (unread, broken, old) =
        (world.keep(91, "unread.wav").await, world.keep(92, "broken.wav").await, world.keep(93, "old.wav").await);
    let other = secretary(&*world.store, "b.example").await;
    let kept = Conversation { domain_uuid: other.domain_uuid, recording: None, ..world.conversation(91, "") };
    world.store.save_conversation(&kept).await.unwrap();
    // Nobody can show the first, whose recording is known all the same; of the second not even that.
    world
        .execute(
            "update v_voice_conversations_realtime set outcome = 'lost', transcript = '{' \
             where recording like '%unread%'; \
             update v_voice_conversations_realtime set recording = '{\"path\":7}' where recording like '%broken%'; \
             insert into v_voice_tenants (domain_uuid, retention_days) \
             select domain_uuid, 'soon' from v_domains where domain_name = 'b.example'",
        )
        .await;
    world.time_passes().await;
    assert!(!world.has(&unread) && !world.has(&old));
    assert!(world.has(&broken), "nobody knows that it is not that of the row");
    assert_eq!(world.told().await, ["begins", "2 deleted, 1 left"]);
    let pool = sqlx::SqlitePool::connect(world.config.database.url.expose()).await.unwrap();
    let rows: Vec<String> = sqlx::query_scalar("select conversation_uuid from v_voice_conversations_realtime")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(rows, [broken.conversation_uuid.to_string()]);
}

#[tokio::test]
async fn a_row_that_names_the_recording_of_another_tenant_deletes_nothing() {
    let world = world(NINETY).await;
    let theirs = format!("{}/2026/01/01/theirs.wav", Uuid::from_u128(7));
    let file = world.folder.join("r").join(&theirs);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "sound").unwrap();
    let wrong = world.conversation(91, &theirs);
    world.store.save_conversation(&wrong).await.unwrap();
    world.time_passes().await;
    assert_eq!((world.has_file(&theirs), world.left().await), (true, vec![wrong.conversation_uuid]));
    assert_eq!(world.told().await, ["begins", "0 deleted, 1 left"]);
}

#[tokio::test]
async fn recordings_that_no_row_leads_to_go_when_their_time_is_over() {
    let world = world(NINETY).await;
    let [old, young, part, spilled, fresh] =
        [(95, "old.wav"), (90, "young.wav"), (96, "part.opus.part"), (95, "spilled.wav"), (95, "fresh.wav")]
            .map(|(days, name)| world.record(days, name));
    let document = world.record(95, "why.txt");
    let waits = world.conversation(95, &spilled);
    Spill::new(&world.config.database.spill).keep(&waits).unwrap();
    let written = File::options().write(true).open(world.folder.join("r").join(&fresh)).unwrap();
    written.set_modified(SystemTime::from(now())).unwrap();
    let stuck = world.keep(95, "stuck.wav").await;
    world.execute("update v_voice_conversations_realtime set recording = json_set(recording, '$.node', 'other')").await;
    world.time_passes().await;
    let there = [&old, &young, &part, &spilled, &fresh, &document].map(|path| world.has_file(path));
    assert_eq!(there, [false, true, false, true, true, true]);
    assert!(world.has(&stuck), "a row leads to it");
    let told =
        ["begins", "0 deleted, 0 left, 1 on other servers; recordings without a conversation: 2 deleted, 0 left"];
    assert_eq!(world.told().await, told);
    assert!(!world.folder.join("r").join(&part).parent().unwrap().exists(), "nor is an empty folder left");
    // A recording that another process still has open is no stray.
    let held = world.record(97, "held.wav.part");
    let writer = File::open(world.folder.join("r").join(&held)).unwrap();
    writer.lock().unwrap();
    world.time_passes().await;
    assert!(world.has_file(&held));
    drop(writer);
    world.time_passes().await;
    assert!(!world.has_file(&held));
}

/// Every hour there would be two lines of it in the audit.
#[tokio::test]
async fn nothing_is_told_of_a_recording_without_a_row_whose_time_is_yet_to_come() {
    let world = world(NINETY).await;
    let fresh = world.record(95, "fresh.wav");
    let written = File::options().write(true).open(world.folder.join("r").join(&fresh)).unwrap();
    written.set_modified(SystemTime::from(now())).unwrap();
    world.time_passes().await;
    assert!(world.has_file(&fresh) && world.told().await.is_empty());
}

#[tokio::test]
async fn a_recording_that_only_its_store_has_is_nobodys_own() {
    let world = world("").await;
    let kept = world.keep(1, "sent.wav").await;
    let receipts = world.folder.join("r/.uploaded");
    fs::create_dir_all(&receipts).unwrap();
    let path = kept.recording.as_ref().unwrap().path.clone().unwrap();
    let [of_row, of_nobody] = [kept.conversation_uuid, Uuid::new_v4()].map(|uuid| receipts.join(uuid.to_string()));
    [&of_row, &of_nobody].iter().for_each(|file| fs::write(file, &path).unwrap());
    note_moved(&world.store, &world.config).await.unwrap();
    assert_eq!(world.store.conversations(1).await.unwrap()[0].recording.as_ref().unwrap().node, None);
    assert_eq!((of_row.exists(), of_nobody.exists()), (false, true), "a row may still come");
    let long_ago = SystemTime::now() - ROW_COMES - Duration::from_secs(1);
    File::options().write(true).open(&of_nobody).unwrap().set_modified(long_ago).unwrap();
    note_moved(&world.store, &world.config).await.unwrap();
    assert!(!of_nobody.exists());
}

/// The row that the next start makes leads to it.
#[tokio::test]
async fn what_a_server_recorded_that_was_killed_is_kept_to_its_time_like_any_other() {
    let world = world(NINETY).await;
    let path = world.record(91, "killed.wav");
    let directory = world.folder.join("r");
    fs::remove_file(directory.join(&path)).unwrap();
    let torn = [&wav::header(SampleRate::HZ_8000, 0)[..], &[0; 32_000]].concat();
    fs::write(directory.join(format!("{path}.part")), torn).unwrap();
    let begun = world.conversation(91, &path);
    let entry = directory.join(".unfinished").join(begun.conversation_uuid.to_string());
    fs::create_dir(directory.join(".unfinished")).unwrap();
    fs::write(&entry, format!("{path}\n{}", serde_json::to_string(&begun).unwrap())).unwrap();
    let spill = Spill::new(&world.config.database.spill);
    let (records, writer) = store::recorder(Arc::clone(&world.store), spill, Pace::default());
    let (kept, writing) = (records.clone(), tokio::spawn(writer.run()));
    recorder::Recorder::start(world.config.recording.clone(), move |record| kept.keep(record)).unwrap();
    let finished = async {
        while world.left().await.is_empty() || entry.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), finished).await.unwrap();
    drop(records);
    writing.await.unwrap();
    let recording = world.store.conversations(1).await.unwrap().remove(0).recording.unwrap();
    assert_eq!((recording.duration, recording.bytes), (Duration::from_secs(1), Some(32_044)));
    assert!(world.has_file(&path));
    world.time_passes().await;
    assert!(world.left().await.is_empty() && !world.has_file(&path));
    assert_eq!(world.told().await, ["begins", "1 deleted, 0 left"]);
}

/// The process dies, or the database goes: what was begun is seen.
#[tokio::test]
async fn what_breaks_off_is_told() {
    let world = world("").await;
    world
        .execute(
            "create trigger no before delete on v_voice_conversations_realtime begin select raise(abort, 'no'); end",
        )
        .await;
    world.keep(91, "old.wav").await;
    world
        .execute("insert into v_voice_tenants (domain_uuid, retention_days) select domain_uuid, 90 from v_domains")
        .await;
    world.time_passes().await;
    assert_eq!(world.told().await, ["begins", "0 deleted, 0 left; broke off"]);
}
