//! What happens, told to whoever wants to know: nobody who tells waits, and nobody who is slow holds anybody up.
use super::now;
use crate::switchboard::{Entry, Happening, Journal, Next};
use chrono::{DateTime, Utc};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};
use tokio::sync::{mpsc, watch};
use tracing::warn;
use uuid::Uuid;

/// Events that may wait to be written down; what comes on top is dropped with a warning.
const QUEUE: usize = 4_096;

/// Where what happens is told. Clones are the same.
#[derive(Clone, Debug)]
pub struct Bus {
    notes: mpsc::Sender<Note>,
    lost: Arc<AtomicU64>,
    journal: Arc<Mutex<Journal>>,
    grown: watch::Receiver<()>,
}

#[derive(Debug)]
struct Note {
    domain: Option<Uuid>,
    what: Happening,
    at: DateTime<Utc>,
}

impl Bus {
    /// A bus, and the task that writes down what is told; it ends when nobody can tell anything any more.
    pub fn start() -> Self {
        let (notes, mut queue) = mpsc::channel::<Note>(QUEUE);
        let (growth, grown) = watch::channel(());
        let bus = Self { notes, lost: Arc::default(), journal: Arc::default(), grown };
        let (journal, lost) = (Arc::clone(&bus.journal), Arc::clone(&bus.lost));
        tokio::spawn(async move {
            while let Some(Note { domain, what, at }) = queue.recv().await {
                locked(&journal).push(domain, what, at);
                growth.send_replace(());
                let lost = lost.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    warn!(lost, "more happened than could be told");
                }
            }
        });
        bus
    }

    /// Something happened at a tenant; `None` for what concerns the server alone. Never waits.
    pub fn tell(&self, domain: Option<Uuid>, what: Happening) {
        if self.notes.try_send(Note { domain, what, at: now() }).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What happens at a tenant, at all of them for `None`, after this number or from now on.
    pub fn events(&self, domain: Option<Uuid>, after: Option<u64>) -> Events {
        let (journal, grown) = (Arc::clone(&self.journal), self.grown.clone());
        let after = after.unwrap_or_else(|| locked(&journal).last(domain, now()));
        Events { journal, grown, domain, after }
    }
}

/// Held for a look at a queue, by the task and by readers; no media thread is among them.
fn locked(journal: &Mutex<Journal>) -> MutexGuard<'_, Journal> {
    journal.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a reader of events is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// This happened; the number is where to resume.
    Event(u64, Arc<Entry>),
    /// The reader was too slow for so many events, or `None`: it resumed after a number of an earlier run.
    Missed(Option<u64>),
}

/// Events of one tenant, or of all, in order.
#[derive(Debug)]
pub struct Events {
    journal: Arc<Mutex<Journal>>,
    grown: watch::Receiver<()>,
    domain: Option<Uuid>,
    after: u64,
}

impl Events {
    /// Waits for the next; `None` when the server has ended. Loses nothing when it is dropped before it is ready.
    pub async fn next(&mut self) -> Option<Told> {
        loop {
            self.grown.borrow_and_update();
            let next = locked(&self.journal).next(self.domain, self.after);
            match next {
                Next::Entry(number, entry) => {
                    self.after = number;
                    return Some(Told::Event(number, entry));
                }
                Next::Missed { events, after } => {
                    self.after = after;
                    return Some(Told::Missed(events));
                }
                Next::Nothing => self.grown.changed().await.ok()?,
            }
        }
    }
}
