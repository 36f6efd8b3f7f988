//! The messages of the last calls, within bounds.
//!
//! Calls stand on shelves, the oldest in front, and each shelf has its own bound, so that pings, registrations and a
//! flood of strangers push out each other and never a call that was answered. When there are too many bytes, the
//! shelves give in the order of [`Shelf`].
use super::{Direction, Entry, Method, Sniffed};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use uuid::Uuid;

/// Messages of one call. Beyond it those in the middle go: how a call began and how it ended explains it.
const MESSAGES: usize = 200;
/// What an entry takes beside its bytes, roughly.
const ENTRY: usize = 160;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls that were answered or rang. A quarter as many that came to nothing, and as many registrations; an eighth
    /// as many of anything else.
    pub calls: usize,
    /// Bytes of all messages together.
    pub bytes: usize,
}

/// Where a call stands, the first to go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Shelf {
    /// Pings, messages, and whatever else others ask outside of calls.
    Other,
    /// Calls that nobody answered, or that were refused before they rang.
    Fruitless,
    /// Calls that are over.
    Finished,
    /// Registrations of ours.
    Registration,
    /// Calls that are up.
    Open,
}

/// How far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// No call: a ping, a subscription, a message.
    Other,
    /// A registration of ours.
    Registration,
    /// A call without an answer so far.
    Asked,
    /// A call that was refused at once.
    Refused,
    /// A call that rings.
    Ringing,
    /// A call that was answered.
    Up,
    /// A call that has ended.
    Over,
}

impl Progress {
    fn first(entry: &Entry, sniffed: Sniffed) -> Self {
        match (sniffed.method, entry.direction) {
            (Method::Register, Direction::Out) => Self::Registration,
            (Method::Invite, _) => Self::Asked,
            (Method::Register | Method::Bye | Method::Other, _) => Self::Other,
        }
    }

    fn after(self, sniffed: Sniffed) -> Self {
        match (self, sniffed.method, sniffed.status) {
            (Self::Other | Self::Refused, Method::Invite, None) => Self::Asked,
            (Self::Asked | Self::Refused, Method::Invite, Some(101..200)) => Self::Ringing,
            (Self::Asked | Self::Refused | Self::Ringing, Method::Invite, Some(200..300)) => Self::Up,
            (Self::Asked, Method::Invite, Some(300..)) => Self::Refused,
            (Self::Ringing, Method::Invite, Some(300..)) => Self::Over,
            // Answered or not: whoever sends a BYE has gone.
            (Self::Ringing | Self::Up, Method::Bye, _) => Self::Over,
            (unmoved, Method::Invite | Method::Bye | Method::Register | Method::Other, _) => unmoved,
        }
    }

    const fn shelf(self) -> Shelf {
        match self {
            Self::Other => Shelf::Other,
            Self::Registration => Shelf::Registration,
            Self::Asked | Self::Refused => Shelf::Fruitless,
            Self::Ringing | Self::Up => Shelf::Open,
            Self::Over => Shelf::Finished,
        }
    }

    /// Whether it is a call at all.
    pub const fn is_call(self) -> bool {
        match self {
            Self::Asked | Self::Refused | Self::Ringing | Self::Up | Self::Over => true,
            Self::Other | Self::Registration => false,
        }
    }
}

/// Which call is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that began last.
    Last,
    /// By its Call-ID, the identity of its conversation, or how either begins, if only one does.
    Named(String),
}

impl Which {
    /// `last`, or a name.
    pub fn parse(text: &str) -> Self {
        match text.trim() {
            "last" | "" => Self::Last,
            name => Self::Named(name.to_owned()),
        }
    }
}

/// What is known of a call without its messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its conversation in the database, if it became one.
    pub conversation: Option<Uuid>,
    /// How far it came.
    pub progress: Progress,
    /// The message it began with.
    pub first: Entry,
    /// When the last message passed, in microseconds since 1970.
    pub last_at: u64,
    /// Messages kept.
    pub messages: usize,
    /// Messages that were not kept, from the middle.
    pub dropped: u64,
}

/// A call and its messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// About it.
    pub summary: Summary,
    /// In the order they passed.
    pub entries: Vec<Entry>,
}

/// What is kept, and what was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Call-IDs kept.
    pub calls: u64,
    /// Bytes kept.
    pub bytes: u64,
    /// Call-IDs that had to go since the start.
    pub evicted: u64,
    /// Messages that were no SIP or named no call.
    pub nameless: u64,
}

#[derive(Debug)]
struct Kept {
    progress: Progress,
    /// Its place on its shelf.
    rank: u64,
    /// The number of the entry it began with.
    begun: u64,
    conversation: Option<Uuid>,
    entries: VecDeque<Entry>,
    bytes: usize,
    dropped: u64,
}

impl Kept {
    /// Adds a message.
    fn push(&mut self, entry: Entry) {
        if self.entries.len() >= MESSAGES {
            // Of a registration the newest counts, of a call the ends.
            let gone = self.entries.remove(if self.progress.is_call() { MESSAGES / 2 } else { 0 });
            self.bytes -= gone.as_ref().map_or(0, size);
            self.dropped += 1;
        }
        self.bytes += size(&entry);
        self.entries.push_back(entry);
    }

    fn summary(&self) -> Option<Summary> {
        Some(Summary {
            conversation: self.conversation,
            progress: self.progress,
            first: self.entries.front()?.clone(),
            last_at: self.entries.back()?.at,
            messages: self.entries.len(),
            dropped: self.dropped,
        })
    }
}

fn size(entry: &Entry) -> usize {
    entry.bytes.len() + ENTRY
}

/// The store.
#[derive(Debug)]
pub struct Traces {
    limits: Limits,
    calls: BTreeMap<Arc<str>, Kept>,
    shelves: BTreeMap<(Shelf, u64), Arc<str>>,
    /// How many stand on each shelf.
    standing: BTreeMap<Shelf, usize>,
    bytes: usize,
    ranks: u64,
    evicted: u64,
}

impl Traces {
    /// An empty store.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            calls: BTreeMap::new(),
            shelves: BTreeMap::new(),
            standing: BTreeMap::new(),
            bytes: 0,
            ranks: 0,
            evicted: 0,
        }
    }

    /// Keeps a message.
    pub fn keep(&mut self, entry: Entry, sniffed: Sniffed) {
        let call_id = Arc::clone(&entry.call_id);
        self.ranks += 1;
        let rank = self.ranks;
        let Some(kept) = self.calls.get_mut(&call_id) else {
            let progress = Progress::first(&entry, sniffed);
            let begun = entry.number;
            let mut kept =
                Kept { progress, rank, begun, conversation: None, entries: VecDeque::new(), bytes: 0, dropped: 0 };
            kept.push(entry);
            self.bytes += kept.bytes;
            self.stand(progress.shelf(), rank, Arc::clone(&call_id));
            self.calls.insert(call_id, kept);
            return self.make_room();
        };
        let (before, left) = (kept.bytes, (kept.progress.shelf(), kept.rank));
        kept.push(entry);
        kept.progress = kept.progress.after(sniffed);
        self.bytes = self.bytes + kept.bytes - before;
        let shelf = kept.progress.shelf();
        // What is no call may go on for ever: it goes by when it was last heard of. A call that stays on its shelf keeps
        // its place.
        if shelf != left.0 || !kept.progress.is_call() {
            kept.rank = rank;
            self.leave(left);
            self.stand(shelf, rank, call_id);
        }
        self.make_room();
    }

    /// Says which conversation a call became.
    pub fn name(&mut self, call_id: &str, conversation: Uuid) {
        if let Some(kept) = self.calls.get_mut(call_id) {
            kept.conversation = Some(conversation);
        }
    }

    /// A call with all that is kept of it.
    pub fn trace(&self, which: &Which) -> Option<Trace> {
        let kept = match which {
            Which::Last => self.calls.values().filter(|kept| kept.progress.is_call()).max_by_key(|kept| kept.begun),
            Which::Named(name) => self.named(name),
        }?;
        Some(Trace { summary: kept.summary()?, entries: kept.entries.iter().cloned().collect() })
    }

    /// All that is kept, in the order it began.
    pub fn summaries(&self) -> Vec<Summary> {
        let mut all: Vec<&Kept> = self.calls.values().collect();
        all.sort_unstable_by_key(|kept| kept.begun);
        all.into_iter().filter_map(Kept::summary).collect()
    }

    /// How much is kept; `nameless` is not known here.
    pub fn counters(&self) -> Counters {
        Counters { calls: self.calls.len() as u64, bytes: self.bytes as u64, evicted: self.evicted, nameless: 0 }
    }

    fn named(&self, name: &str) -> Option<&Kept> {
        if let Some(kept) = self.calls.get(name) {
            return Some(kept);
        }
        let lower = name.to_ascii_lowercase();
        let mut found = self.calls.iter().filter(|(call_id, kept)| {
            let is_conversation = |uuid: Uuid| uuid.hyphenated().to_string().starts_with(&lower);
            call_id.starts_with(name) || kept.conversation.is_some_and(is_conversation)
        });
        found.next().filter(|_| found.next().is_none()).map(|(_, kept)| kept)
    }

    fn stand(&mut self, shelf: Shelf, rank: u64, call_id: Arc<str>) {
        self.shelves.insert((shelf, rank), call_id);
        *self.standing.entry(shelf).or_default() += 1;
    }

    fn leave(&mut self, place: (Shelf, u64)) -> Option<Arc<str>> {
        let call_id = self.shelves.remove(&place)?;
        if let Some(standing) = self.standing.get_mut(&place.0) {
            *standing -= 1;
        }
        Some(call_id)
    }

    fn standing(&self, shelf: Shelf) -> usize {
        self.standing.get(&shelf).copied().unwrap_or_default()
    }

    /// The front of the first shelf that has to give way.
    fn surplus(&self) -> Option<(Shelf, u64)> {
        let Limits { calls, bytes } = self.limits;
        let share = |part: usize| (calls / part).max(1);
        let full = [(Shelf::Other, share(8)), (Shelf::Fruitless, share(4)), (Shelf::Registration, share(4))];
        let full = full.into_iter().find(|(shelf, most)| self.standing(*shelf) > *most).map(|(shelf, _)| shelf);
        let answered = self.standing(Shelf::Finished) + self.standing(Shelf::Open);
        let finished_first = if self.standing(Shelf::Finished) > 0 { Shelf::Finished } else { Shelf::Open };
        let full = full.or((answered > calls).then_some(finished_first));
        match full {
            Some(shelf) => self.shelves.range((shelf, 0)..).next().map(|(place, _)| *place),
            None => self.shelves.keys().next().filter(|_| self.bytes > bytes).copied(),
        }
    }

    fn make_room(&mut self) {
        while let Some(place) = self.surplus() {
            let gone = self.leave(place).and_then(|call_id| self.calls.remove(&call_id));
            self.bytes -= gone.map_or(0, |kept| kept.bytes);
            self.evicted += 1;
        }
    }
}
