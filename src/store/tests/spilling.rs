//! No conversation record is lost while the database is away, slow to come back, or refuses it.
use super::*;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tokio::{sync::Notify, time::timeout};

/// A real store that can be unplugged, and tells of each try.
#[derive(Debug)]
pub(super) struct Unpluggable {
    store: Sql,
    away: AtomicBool,
    /// After so many tries to keep something it is away as well.
    most: AtomicUsize,
    tried: Notify,
    order: Mutex<Vec<Uuid>>,
    /// How often somebody asked for a secretary.
    asked: AtomicUsize,
}

impl Unpluggable {
    pub(super) fn new(store: Sql, away: bool) -> Self {
        let (tried, order, asked) = (Notify::new(), Mutex::default(), AtomicUsize::new(0));
        Self { store, away: away.into(), most: usize::MAX.into(), tried, order, asked }
    }

    /// From now on it is away, or back.
    pub(super) fn unplug(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Store for Unpluggable {
    fn find_secretary<'a>(&'a self, lookup: &'a Lookup) -> BoxFuture<'a, Result<Found, StoreError>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            match self.away.load(Ordering::SeqCst) {
                true => Err(StoreError::Unavailable("unplugged".into())),
                false => self.store.find_secretary(lookup).await,
            }
        })
    }

    fn save_conversation<'a>(&'a self, conversation: &'a Conversation) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let tries = {
                let mut order = self.order.lock().unwrap();
                order.push(conversation.conversation_uuid);
                order.len()
            };
            let saved = match self.away.load(Ordering::SeqCst) || tries > self.most.load(Ordering::SeqCst) {
                true => Err(StoreError::Unavailable("unplugged".into())),
                false => self.store.save_conversation(conversation).await,
            };
            self.tried.notify_one();
            saved
        })
    }

    fn bill<'a>(
        &'a self,
        domain: Uuid,
        conversation: Uuid,
        charged: (&'a str, MicroUsd),
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        self.store.bill(domain, conversation, charged)
    }

    fn conversations(&self, last: u32) -> BoxFuture<'_, Result<Vec<Conversation>, StoreError>> {
        self.store.conversations(last)
    }

    fn upsert_secretary<'a>(&'a self, entry: &'a SecretaryEntry) -> BoxFuture<'a, Result<(), StoreError>> {
        self.store.upsert_secretary(entry)
    }

    fn registrations(&self) -> BoxFuture<'_, Result<Vec<(Place, Written)>, StoreError>> {
        self.store.registrations()
    }

    fn lease<'a>(&'a self, place: Place, lease: Lease<'a>) -> BoxFuture<'a, Result<bool, StoreError>> {
        self.store.lease(place, lease)
    }

    fn release<'a>(&'a self, place: Place, owner: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        self.store.release(place, owner)
    }

    fn note<'a>(
        &'a self,
        place: Place,
        owner: &'a str,
        standing: &'a Standing,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.store.note(place, owner, standing)
    }

    fn follow(&self, changes: tokio::sync::watch::Sender<Changes>) -> BoxFuture<'_, ()> {
        self.store.follow(changes)
    }

    fn tenants(&self) -> &dyn Tenants {
        self.store.tenants()
    }

    fn usage(&self) -> &dyn Usage {
        self.store.usage()
    }

    fn records(&self) -> &dyn Records {
        self.store.records()
    }

    fn secretaries(&self) -> &dyn Secretaries {
        self.store.secretaries()
    }

    fn tokens(&self) -> &dyn Tokens {
        self.store.tokens()
    }

    fn knowledge(&self) -> &dyn Knowledge {
        self.store.knowledge()
    }
}

struct World {
    scratch: Scratch,
    store: Arc<Unpluggable>,
    spill: Spill,
    ana: Secretary,
}

const QUICK: Duration = Duration::from_millis(5);
const NEVER: Duration = Duration::from_secs(3_600);
/// Nothing here takes so long that works.
const PATIENCE: Duration = Duration::from_secs(20);

async fn world(away: bool) -> World {
    let scratch = sqlite().await.unwrap();
    scratch.store.upsert_secretary(&entry("a.example", "8000", "Ana")).await.unwrap();
    let ana = found(&scratch.store, "8000", None).await;
    let store = Arc::new(Unpluggable::new(scratch.store.clone(), away));
    let spill = Spill::new(&scratch.database.spill);
    World { scratch, store, spill, ana }
}

impl World {
    fn recorder(&self, reload_every: Duration) -> (Recorder, Writer) {
        recorder(self.store.clone(), self.spill.clone(), Pace { back_off: vec![QUICK, QUICK], reload_every })
    }

    async fn saved(&self) -> usize {
        self.scratch.store.conversations(10_000).await.unwrap().len()
    }

    /// Records on disk: those that wait, and those on their way back.
    fn spilled(&self) -> usize {
        let lines = |path: &Path| std::fs::read_to_string(path).map_or(0, |text| text.lines().count());
        lines(self.spill.path()) + lines(&self.loading())
    }

    fn loading(&self) -> PathBuf {
        format!("{}.loading", self.spill.path().display()).into()
    }

    /// Until so many records are on disk.
    async fn on_disk(&self, records: usize) {
        while self.spilled() < records {
            self.store.tried.notified().await;
        }
    }

    /// Until the database was asked to keep a record so often.
    async fn tried(&self, times: usize) {
        while self.store.order.lock().unwrap().len() < times {
            self.store.tried.notified().await;
        }
    }

    fn refused(&self) -> String {
        std::fs::read_to_string(format!("{}.refused", self.spill.path().display())).unwrap_or_default()
    }
}

#[tokio::test]
async fn conversations_reach_the_database_before_the_writer_ends() {
    let world = world(false).await;
    let (recorder, writer) = world.recorder(NEVER);
    for _ in 0..5 {
        recorder.record(conversation(&world.ana));
    }
    drop(recorder);
    writer.run().await;
    assert_eq!((world.saved().await, world.spilled()), (5, 0));
}

#[tokio::test]
async fn a_database_that_is_away_costs_no_record_even_over_a_restart() {
    let world = world(true).await;
    let (recorder, writer) = world.recorder(NEVER);
    for _ in 0..5 {
        recorder.record(conversation(&world.ana));
    }
    drop(recorder);
    writer.run().await;
    assert_eq!((world.saved().await, world.spilled()), (0, 5));
    world.store.unplug(false);
    let (recorder, writer) = world.recorder(NEVER);
    let reloaded = async {
        while world.saved().await < 5 {
            world.store.tried.notified().await;
        }
        drop(recorder);
    };
    tokio::join!(writer.run(), reloaded);
    assert_eq!((world.saved().await, world.spilled()), (5, 0));
}

#[tokio::test]
async fn a_database_that_comes_back_gets_what_was_spilled() {
    let world = world(true).await;
    let (recorder, writer) = world.recorder(QUICK);
    let script = async {
        recorder.record(conversation(&world.ana));
        while world.spilled() < 1 {
            world.store.tried.notified().await;
            tokio::task::yield_now().await;
        }
        recorder.record(conversation(&world.ana));
        world.store.unplug(false);
        while world.saved().await < 2 {
            world.store.tried.notified().await;
        }
        drop(recorder);
    };
    tokio::join!(writer.run(), script);
    assert_eq!((world.saved().await, world.spilled()), (2, 0));
}

/// A call a second ends, and each is tried for as long as one is; only the waits are shorter.
#[tokio::test]
async fn five_minutes_without_a_database_lose_nothing() {
    const CALLS: usize = 300;
    let world = world(true).await;
    let (recorder, writer) = world.recorder(Duration::from_millis(200));
    let mut expected = std::collections::BTreeSet::new();
    let script = async {
        for call in 1..=CALLS {
            let ended = conversation(&world.ana);
            expected.insert(ended.conversation_uuid);
            recorder.record(ended);
            while call % 100 == 0 && world.spilled() < call {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(world.saved().await, 0);
        world.store.unplug(false);
        while world.saved().await < CALLS {
            world.store.tried.notified().await;
        }
        drop(recorder);
    };
    tokio::join!(writer.run(), script);
    let saved = world.scratch.store.conversations(10_000).await.unwrap();
    let saved: std::collections::BTreeSet<Uuid> = saved.into_iter().map(|kept| kept.conversation_uuid).collect();
    assert!(saved == expected, "{} of {CALLS} are kept", saved.intersection(&expected).count());
    assert_eq!((world.spilled(), world.refused()), (0, String::new()));
}

#[tokio::test]
async fn a_queue_that_is_full_spills() {
    let world = world(false).await;
    let (recorder, writer) = world.recorder(NEVER);
    let told = Arc::new(AtomicUsize::new(0));
    for _ in 0..1_030 {
        let told = Arc::clone(&told);
        recorder.record_and(conversation(&world.ana), move || {
            told.fetch_add(1, Ordering::SeqCst);
        });
    }
    assert_eq!((world.spilled(), told.load(Ordering::SeqCst)), (1_030 - 1_024, 1_030 - 1_024));
    drop((recorder, writer));
}

/// In the database, or on disk while that is away; not where neither takes it.
#[tokio::test]
async fn whoever_waits_for_a_record_is_told_when_it_is_kept() {
    for (away, full, told) in [(false, false, 1), (true, false, 1), (true, true, 0)] {
        let mut world = world(away).await;
        if full {
            world.spill = Spill::new(world.spill.path().with_extension("folder").join("spill.jsonl"));
        }
        let (recorder, writer) = world.recorder(NEVER);
        let kept = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&kept);
        recorder.record_and(conversation(&world.ana), move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        assert_eq!(kept.load(Ordering::SeqCst), 0, "it is in memory alone");
        drop(recorder);
        writer.run().await;
        assert_eq!(kept.load(Ordering::SeqCst), told, "away {away}, full {full}");
        assert_eq!(world.saved().await + world.spilled(), told);
    }
}

#[tokio::test]
async fn what_the_database_refuses_is_set_aside_and_holds_nothing_up() {
    let world = world(false).await;
    let (recorder, writer) = world.recorder(NEVER);
    let mut orphan = conversation(&world.ana);
    orphan.domain_uuid = Uuid::from_u128(0xDEAD);
    recorder.record(orphan);
    recorder.record(conversation(&world.ana));
    drop(recorder);
    writer.run().await;
    assert_eq!((world.saved().await, world.spilled()), (1, 0));
    assert!(world.refused().contains("00000000-0000-0000-0000-00000000dead"));
}

#[tokio::test]
async fn a_torn_line_spoils_only_itself() {
    let world = world(false).await;
    world.spill.keep(&conversation(&world.ana)).unwrap();
    let whole = std::fs::read_to_string(world.spill.path()).unwrap();
    std::fs::write(world.spill.path(), format!("{whole}{}", &whole[..40])).unwrap();
    world.spill.keep(&conversation(&world.ana)).unwrap();
    let taken = world.spill.take().unwrap().unwrap();
    assert_eq!(taken.conversations.len(), 2);
    assert_eq!(world.refused(), format!("{}\n", &whole[..40]));
    // Interrupted here, the records are still there for the next start.
    drop(taken);
    assert_eq!(world.spill.take().unwrap().unwrap().conversations.len(), 2);
}

#[tokio::test]
async fn a_line_that_is_not_utf_8_spoils_only_itself() {
    let world = world(false).await;
    world.spill.keep(&conversation(&world.ana)).unwrap();
    let mut bytes = std::fs::read(world.spill.path()).unwrap();
    bytes.extend(b"{\"text\":\"ol\xC3");
    std::fs::write(world.spill.path(), bytes).unwrap();
    world.spill.keep(&conversation(&world.ana)).unwrap();
    assert_eq!(world.spill.take().unwrap().unwrap().conversations.len(), 2);
    let refused = std::fs::read(format!("{}.refused", world.spill.path().display())).unwrap();
    assert_eq!(refused, b"{\"text\":\"ol\xC3\n");
}

#[tokio::test]
async fn what_is_spilled_does_not_wait_until_nobody_calls() {
    let world = world(false).await;
    let spilled = conversation(&world.ana);
    world.spill.keep(&spilled).unwrap();
    let (recorder, writer) = world.recorder(NEVER);
    for _ in 0..3 {
        recorder.record(conversation(&world.ana));
    }
    let script = async {
        while world.saved().await < 4 {
            world.store.tried.notified().await;
        }
        drop(recorder);
    };
    tokio::join!(writer.run(), script);
    assert_eq!(world.store.order.lock().unwrap()[0], spilled.conversation_uuid);
}

/// A process that died left its record in the spill file, or in the database, or none.
#[tokio::test]
async fn what_is_made_up_for_a_process_that_died_is_kept_at_once_and_never_in_place_of_its_own_record() {
    let world = world(false).await;
    let [saved, spilled, lost] = [(); 3].map(|()| conversation(&world.ana));
    world.store.store.save_conversation(&saved).await.unwrap();
    world.spill.keep(&spilled).unwrap();
    let (recorder, writer) = world.recorder(NEVER);
    for own in [&saved, &spilled, &lost] {
        recorder.keep(&Conversation { outcome: Outcome::Failed, ..own.clone() }).unwrap();
    }
    assert_eq!(world.spilled(), 4, "it is on disk before anybody has looked");
    let script = async {
        world.tried(4).await;
        // Nobody looks again by themselves.
        let another = Conversation { outcome: Outcome::Failed, ..conversation(&world.ana) };
        recorder.keep(&another).unwrap();
        while world.saved().await < 4 {
            world.store.tried.notified().await;
        }
        drop(recorder);
    };
    timeout(PATIENCE, async { tokio::join!(writer.run(), script) }).await.unwrap();
    let kept = world.scratch.store.conversations(9).await.unwrap();
    let outcome = |of: &Conversation| {
        kept.iter().find(|one| one.conversation_uuid == of.conversation_uuid).map(|one| one.outcome)
    };
    let own = [saved.outcome, spilled.outcome, Outcome::Failed].map(Some);
    assert_eq!([&saved, &spilled, &lost].map(outcome), own);
    assert_eq!((world.spilled(), world.refused()), (0, String::new()));
}

#[tokio::test]
async fn records_on_disk_stay_there_while_it_takes_no_more() {
    let world = world(true).await;
    for _ in 0..3 {
        world.spill.keep(&conversation(&world.ana)).unwrap();
    }
    std::fs::rename(world.spill.path(), world.loading()).unwrap();
    // Nobody can write to a folder as to a file.
    std::fs::create_dir(world.spill.path()).unwrap();
    let (recorder, writer) = world.recorder(QUICK);
    let script = async {
        world.tried(2).await;
        std::fs::remove_dir(world.spill.path()).unwrap();
        world.store.unplug(false);
        while world.saved().await < 3 {
            world.store.tried.notified().await;
        }
        drop(recorder);
    };
    timeout(PATIENCE, async { tokio::join!(writer.run(), script) }).await.unwrap();
    assert_eq!((world.saved().await, world.spilled()), (3, 0));
}

/// What was kept of a file that is not loaded yet may be erased: whoever starts anew does not bring it back.
#[tokio::test]
async fn what_was_kept_of_the_file_before_the_rest_is_erased_for_good() {
    let world = world(false).await;
    let records: Vec<Conversation> = (0..3).map(|_| conversation(&world.ana)).collect();
    records.iter().for_each(|record| world.spill.keep(record).unwrap());
    world.store.most.store(1, Ordering::SeqCst);
    let (recorder, writer) = world.recorder(NEVER);
    let script = async {
        world.tried(2).await;
        drop(recorder);
    };
    timeout(PATIENCE, async { tokio::join!(writer.run(), script) }).await.unwrap();
    assert_eq!((world.saved().await, world.spilled()), (1, 2));
    let store = &world.scratch.store;
    assert!(store.forget(records[0].domain_uuid, records[0].conversation_uuid).await.unwrap());
    world.store.most.store(usize::MAX, Ordering::SeqCst);
    let (recorder, writer) = world.recorder(NEVER);
    let script = async {
        while world.saved().await < 2 {
            world.store.tried.notified().await;
        }
        drop(recorder);
    };
    timeout(PATIENCE, async { tokio::join!(writer.run(), script) }).await.unwrap();
    let all = |of: &[Conversation]| of.iter().map(|one| one.conversation_uuid).collect::<BTreeSet<Uuid>>();
    assert_eq!(all(&store.conversations(9).await.unwrap()), all(&records[1..]));
    assert_eq!(world.spilled(), 0);
}

/// Two calls end while neither takes their records; then one of the two is back.
#[tokio::test]
async fn what_neither_database_nor_disk_takes_is_held_until_one_does() {
    for disk_first in [false, true] {
        let mut world = world(true).await;
        let folder = world.spill.path().with_extension("folder");
        world.spill = Spill::new(folder.join("spill.jsonl"));
        let (recorder, writer) = world.recorder(QUICK);
        for _ in 0..2 {
            recorder.record(conversation(&world.ana));
        }
        let script = async {
            // The first is tried three times and held, then once again; the second is held before the next time.
            world.tried(5).await;
            if disk_first {
                std::fs::create_dir(&folder).unwrap();
                world.on_disk(2).await;
            }
            world.store.unplug(false);
            while world.saved().await < 2 {
                world.store.tried.notified().await;
            }
            drop(recorder);
        };
        timeout(PATIENCE, async { tokio::join!(writer.run(), script) }).await.unwrap();
        assert_eq!((world.saved().await, world.spilled()), (2, 0), "disk first: {disk_first}");
    }
}

/// At the end of the process the disk is asked once more.
#[tokio::test]
async fn what_is_held_at_the_end_goes_on_a_disk_that_has_room_again() {
    let mut world = world(true).await;
    let folder = world.spill.path().with_extension("folder");
    world.spill = Spill::new(folder.join("spill.jsonl"));
    let (recorder, writer) = world.recorder(NEVER);
    recorder.record(conversation(&world.ana));
    let script = async {
        world.tried(3).await;
        std::fs::create_dir(&folder).unwrap();
        drop(recorder);
    };
    timeout(PATIENCE, async { tokio::join!(writer.run(), script) }).await.unwrap();
    assert_eq!((world.saved().await, world.spilled()), (0, 1));
}

#[tokio::test]
async fn reading_makes_no_database_file() {
    let folder = Directory::new();
    let path = folder.0.join("none.db");
    let database = database(&format!("sqlite:{}", path.display()));
    let error = connect_existing(&database).await.unwrap_err().to_string();
    assert!(error.contains("none.db"), "{error}");
    assert!(!path.exists());
    connect(&database).await.unwrap();
    connect_existing(&database).await.unwrap();
}
