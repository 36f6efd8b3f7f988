//! Conversations on their way into the database; none is lost when it is away.
use super::{Spending, Spill, Store, StoreError, spill::Taken};
use crate::record::Conversation;
use std::{collections::VecDeque, fmt, io, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::{Instant, sleep_until, timeout_at},
};
use tracing::{debug, error, info, warn};
use uuid::Uuid;

/// Records that may wait for the writer; what comes on top goes into the spill file at once.
const QUEUE: usize = 1_024;
/// Records that neither database nor disk takes, and that are in memory until one does; what comes on top is in the log alone.
const HELD: usize = 1_024;
/// With fewer places free nothing is noted of calls that are up: records come first.
const ROOM_FOR_NOTES: usize = QUEUE / 2;
/// After a note that the database did not take, none is tried for so long.
const NOTE_AGAIN: Duration = Duration::from_secs(10);

/// The waits of a [`Writer`].
#[derive(Clone, Debug)]
pub struct Pace {
    /// Before the second try, the third, …; then the record is spilled.
    pub back_off: Vec<Duration>,
    /// Between two looks whether the database takes spilled records.
    pub reload_every: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            back_off: vec![Duration::from_millis(200), Duration::from_secs(1)],
            reload_every: Duration::from_secs(30),
        }
    }
}

/// Hands conversations over; any number of clones.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: mpsc::Sender<Entry>,
    spill: Spill,
    node: Uuid,
}

/// What is handed over.
#[derive(Debug)]
enum Entry {
    /// Of a call that has ended.
    Record(Box<Conversation>, WhenKept),
    /// Of one that is up.
    Note(Spending),
    /// None: the spill file has one more.
    Spilled,
}

/// Whoever wants to know that a record is kept.
struct WhenKept(Box<dyn FnOnce() + Send>);

impl fmt::Debug for WhenKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WhenKept")
    }
}

impl WhenKept {
    fn tell(self) {
        (self.0)();
    }
}

/// Saves what [`Recorder`]s hand over.
#[derive(Debug)]
pub struct Writer {
    queue: mpsc::Receiver<Entry>,
    store: Arc<dyn Store>,
    spill: Spill,
    pace: Pace,
    away: Away,
    /// Taken out of the spill file for a database that did not take them all: still on disk.
    loading: Option<Taken>,
    /// Kept by neither database nor disk.
    held: VecDeque<Conversation>,
    node: Uuid,
    /// Nothing is noted before then.
    notes_from: Instant,
}

/// What became of a record that was given to the database once more.
enum Given {
    Saved,
    SetAside,
    Not,
}

/// Whether the database answered the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Away {
    No,
    /// Records go straight to the spill file until a reload works.
    Yes,
}

/// A recorder and its writer; the caller runs the writer in a task of its own.
pub fn recorder(store: Arc<dyn Store>, spill: Spill, pace: Pace) -> (Recorder, Writer) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    // Another after each start: what calls of this process cost is told from what they cost in one that was killed.
    let node = Uuid::new_v4();
    let recorder = Recorder { queue: sender, spill: spill.clone(), node };
    let (away, loading, held) = (Away::No, None, VecDeque::new());
    (recorder, Writer { queue: receiver, store, spill, pace, away, loading, held, node, notes_from: Instant::now() })
}

impl Recorder {
    /// Hands over a finished conversation, without waiting.
    pub fn record(&self, conversation: Conversation) {
        self.record_and(conversation, || {});
    }

    /// The same; `kept` is called when it is in the database or on disk, and never where neither takes it.
    pub fn record_and(&self, conversation: Conversation, kept: impl FnOnce() + Send + 'static) {
        match self.queue.try_send(Entry::Record(Box::new(conversation), WhenKept(Box::new(kept)))) {
            Ok(()) => {}
            Err(TrySendError::Full(entry) | TrySendError::Closed(entry)) => match entry {
                Entry::Record(conversation, kept) => match self.spill.keep(&conversation) {
                    Ok(()) => kept.tell(),
                    Err(problem) => lost(&conversation, &problem),
                },
                Entry::Note(_) | Entry::Spilled => {}
            },
        }
    }

    /// Keeps a conversation of an earlier process: it is on disk when this returns, and goes into the database from there.
    ///
    /// That process may have left a better record of it, in the database or in the spill file. That one counts: what comes
    /// behind it in the file comes behind it to the database, which takes the first record of a conversation; from the file of
    /// another server it may come later, and then takes the place of this.
    ///
    /// # Errors
    /// When the spill file cannot be written.
    pub fn keep(&self, conversation: &Conversation) -> io::Result<()> {
        self.spill.keep(conversation)?;
        // Where this finds no room the writer comes to the file later.
        let _ = self.queue.try_send(Entry::Spilled);
        Ok(())
    }

    /// Notes what a call has cost that is up, in case that this process is killed. One that is lost is followed by others.
    pub fn note(&self, spending: Spending) {
        if self.queue.capacity() >= ROOM_FOR_NOTES {
            // Whoever stopped the writer keeps records in the spill file.
            let _ = self.queue.try_send(Entry::Note(spending));
        }
    }

    /// This process, in what it notes.
    pub const fn node(&self) -> Uuid {
        self.node
    }
}

impl Writer {
    /// Loads what an earlier run spilled, then saves until every [`Recorder`] is gone and every record is kept.
    pub async fn run(mut self) {
        let mut reload_at = Instant::now();
        loop {
            // Looked at before the queue, which may never be empty; at the end of the process only the queue counts.
            if reload_at <= Instant::now() && !self.queue.is_closed() {
                self.reload().await;
                reload_at = Instant::now() + self.pace.reload_every;
            }
            match timeout_at(reload_at, self.queue.recv()).await {
                Ok(Some(Entry::Record(conversation, kept))) => {
                    if self.save(*conversation).await {
                        kept.tell();
                    }
                }
                Ok(Some(Entry::Note(spending))) => self.note(&spending).await,
                // A database that is away is not asked more often for that.
                Ok(Some(Entry::Spilled)) if self.away == Away::Yes => {}
                Ok(Some(Entry::Spilled)) => reload_at = Instant::now(),
                Ok(None) => return self.let_go(),
                Err(_) => {}
            }
        }
    }

    /// Whether the database has it, or the disk.
    async fn save(&mut self, conversation: Conversation) -> bool {
        if self.away == Away::Yes {
            return self.spill_or_hold(conversation);
        }
        let mut waits = self.pace.back_off.clone().into_iter();
        loop {
            let Err(problem) = self.store.save_conversation(&conversation).await else { return true };
            if !problem.is_passing() {
                return self.set_aside(&conversation, &problem);
            }
            // At the end of the process nobody waits for a database that is away.
            let Some(wait) = waits.next().filter(|_| !self.queue.is_closed()) else {
                let file = self.spill.path().display();
                warn!(%problem, %file, "Conversations go into the spill file until the database is back");
                self.away = Away::Yes;
                return self.spill_or_hold(conversation);
            };
            sleep_until(Instant::now() + wait).await;
        }
    }

    async fn note(&mut self, spending: &Spending) {
        if self.away == Away::Yes || Instant::now() < self.notes_from {
            return;
        }
        if let Err(problem) = self.store.usage().note_spending(spending, self.node).await {
            debug!(%problem, "What a call has cost so far is not noted");
            self.notes_from = Instant::now() + NOTE_AGAIN;
        }
    }

    /// Gives the database what it did not take before. What it does not take now either stays where it is.
    async fn reload(&mut self) {
        let mut saved = 0_usize;
        self.away = if self.give_all(&mut saved).await { Away::No } else { Away::Yes };
        self.spill_held();
        if saved > 0 {
            info!(saved, "Spilled conversations are in the database");
        }
    }

    /// Whether the database took all there was.
    async fn give_all(&mut self, saved: &mut usize) -> bool {
        while let Some(conversation) = self.held.front() {
            match self.give(conversation).await {
                Given::Saved => *saved += 1,
                Given::SetAside => {}
                Given::Not => return false,
            }
            self.held.pop_front();
        }
        while let Some(mut taken) = self.loading.take().or_else(|| self.take()) {
            while let Some(conversation) = taken.first() {
                match self.give(conversation).await {
                    Given::Saved => *saved += 1,
                    Given::SetAside => {}
                    Given::Not => {
                        self.put_back(taken);
                        return false;
                    }
                }
                taken.kept();
            }
            if let Err(problem) = taken.done() {
                error!(%problem, "The spill file cannot be removed; its records will be saved again, which changes nothing");
                break;
            }
        }
        true
    }

    /// What the database does not take now is on disk still, and what it took is not any more, if the disk takes that.
    fn put_back(&mut self, mut taken: Taken) {
        if let Err(problem) = taken.shorten() {
            debug!(%problem, "Records that are in the database are in the spill file as well");
        }
        self.loading = Some(taken);
    }

    fn take(&self) -> Option<Taken> {
        let taken = self.spill.take();
        taken.unwrap_or_else(|problem| {
            error!(%problem, file = %self.spill.path().display(), "The spill file cannot be read");
            None
        })
    }

    async fn give(&self, conversation: &Conversation) -> Given {
        match self.store.save_conversation(conversation).await {
            Ok(()) => Given::Saved,
            Err(problem) if problem.is_passing() => Given::Not,
            Err(problem) => {
                self.set_aside(conversation, &problem);
                Given::SetAside
            }
        }
    }

    /// Keeps a record on disk; where that takes none, in memory until it or the database does, and in the log for fear of that.
    /// Whether the disk has it.
    fn spill_or_hold(&mut self, conversation: Conversation) -> bool {
        let Err(problem) = self.spill.keep(&conversation) else { return true };
        lost(&conversation, &problem);
        if self.held.len() < HELD {
            self.held.push_back(conversation);
        }
        false
    }

    /// What is in memory alone goes on disk, as much as that takes.
    fn spill_held(&mut self) {
        while self.held.front().is_some_and(|conversation| self.spill.keep(conversation).is_ok()) {
            self.held.pop_front();
        }
    }

    /// At the end of the process.
    fn let_go(&mut self) {
        self.spill_held();
        if !self.held.is_empty() {
            let records = self.held.len();
            error!(
                records,
                "Neither database nor disk took the last conversation records: earlier lines of this log have them"
            );
        }
    }

    /// Whether the disk has it.
    fn set_aside(&self, conversation: &Conversation, problem: &StoreError) -> bool {
        let (conversation_uuid, file) = (conversation.conversation_uuid, self.spill.path().display());
        error!(%conversation_uuid, %problem, %file, "A conversation is refused by the database and set aside beside the spill file");
        self.spill.set_aside(conversation).inspect_err(|problem| lost(conversation, problem)).is_ok()
    }
}

/// Neither database nor disk takes it: the log is what is left, and at best our memory.
fn lost(conversation: &Conversation, problem: &io::Error) {
    let record = serde_json::to_string(conversation).unwrap_or_default();
    error!(%problem, record, "A conversation record is on no disk, and in this line in case that none takes it");
}
