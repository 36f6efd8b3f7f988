//! What the assistant said, item by item: how much arrived, what was heard of it, what was cut.
use super::config::Format;
use media::{Heard, UtteranceId};
use std::{collections::VecDeque, time::Duration};

/// Items remembered; beyond it the oldest is forgotten. A conversation speaks of the last few only.
const REMEMBERED: usize = 64;

/// One assistant item with audio. Truncation counts per item, never per response or call.
#[derive(Debug)]
struct Item {
    id: String,
    response: String,
    utterance: UtteranceId,
    /// Bytes of audio that arrived.
    received: u64,
    arrival: Arrival,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrival {
    Coming,
    Complete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// In the playout, or on its way to it.
    Pending,
    /// Heard to its end.
    Played,
    /// Cut off: what still arrives is stale.
    Cut,
}

/// What the server must forget, since the caller did not hear it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unheard {
    /// All after this many milliseconds.
    After {
        /// Which item.
        item_id: String,
        /// Milliseconds heard, at least 1, at most what arrived.
        heard_ms: u64,
    },
    /// All of it: an item cannot be truncated to nothing.
    Whole {
        /// Which item.
        item_id: String,
    },
}

/// The assistant's items, oldest first.
#[derive(Debug)]
pub(super) struct Spoken {
    format: Format,
    items: VecDeque<Item>,
    next: u64,
}

impl Spoken {
    /// Another session takes over, which knows none of these: the utterances that are still open.
    pub(super) fn leave(&mut self) -> Vec<UtteranceId> {
        let open = self.items.iter_mut().filter_map(complete).collect();
        self.items.clear();
        open
    }

    /// Nothing yet, in this format.
    pub(super) const fn new(format: Format) -> Self {
        Self { format, items: VecDeque::new(), next: 0 }
    }

    /// The utterance of an item, opened by its first delta; `None` when it was cut.
    pub(super) fn open(&mut self, item_id: &str, response_id: &str) -> Option<UtteranceId> {
        if let Some(item) = self.items.iter().rev().find(|item| item.id == item_id) {
            return (item.fate != Fate::Cut).then_some(item.utterance);
        }
        let utterance = UtteranceId(self.next);
        self.next = self.next.saturating_add(1);
        if self.items.len() >= REMEMBERED {
            self.items.pop_front();
        }
        self.items.push_back(Item {
            id: item_id.to_owned(),
            response: response_id.to_owned(),
            utterance,
            received: 0,
            arrival: Arrival::Coming,
            fate: Fate::Pending,
        });
        Some(utterance)
    }

    /// Counts audio that arrived.
    pub(super) fn receive(&mut self, utterance: UtteranceId, bytes: usize) {
        if let Some(item) = self.items.iter_mut().rev().find(|item| item.utterance == utterance) {
            item.received = item.received.saturating_add(bytes as u64);
        }
    }

    /// No more audio of this item will come; its utterance, the first time and unless it was cut.
    pub(super) fn complete(&mut self, item_id: &str) -> Option<UtteranceId> {
        let item = self.items.iter_mut().rev().find(|item| item.id == item_id)?;
        complete(item)
    }

    /// No more audio of this response will come; the utterances that were still open.
    pub(super) fn complete_response(&mut self, response_id: &str) -> Vec<UtteranceId> {
        self.items.iter_mut().filter(|item| item.response == response_id).filter_map(complete).collect()
    }

    /// Whether all that was said was heard or cut.
    pub(super) fn is_settled(&self) -> bool {
        self.items.iter().all(|item| item.fate != Fate::Pending)
    }

    /// How much audio of an item arrived, milliseconds.
    pub(super) fn received_ms(&self, item_id: &str) -> u64 {
        let item = self.items.iter().rev().find(|item| item.id == item_id);
        item.map_or(0, |item| item.received) / (self.format.bytes_in(Duration::from_millis(1)) as u64).max(1)
    }

    /// Whether any audio of this response arrived.
    pub(super) fn is_audible(&self, response_id: &str) -> bool {
        self.items.iter().any(|item| item.response == response_id && item.received > 0)
    }

    /// The caller heard all of it: it will not be truncated, which would make the model repeat itself. What came before
    /// was heard, or never will be.
    pub(super) fn played_out(&mut self, utterance: UtteranceId) {
        let earlier = |item: &&mut Item| item.utterance <= utterance && item.fate == Fate::Pending;
        self.items.iter_mut().filter(earlier).for_each(|item| item.fate = Fate::Played);
    }

    /// The caller cut in: of `heard.utterance` this much was heard, of later ones nothing, earlier ones are history.
    pub(super) fn cut(&mut self, heard: Heard) -> Vec<Unheard> {
        let mut unheard = Vec::new();
        let bytes_per_ms = self.format.bytes_in(Duration::from_millis(1)) as u64;
        for item in self.items.iter_mut().filter(|item| item.fate == Fate::Pending) {
            if item.utterance < heard.utterance {
                item.fate = Fate::Played;
                continue;
            }
            let played = if item.utterance == heard.utterance { heard.played } else { Duration::ZERO };
            let played_ms = u64::try_from(played.as_millis()).unwrap_or(u64::MAX);
            let received_ms = item.received / bytes_per_ms.max(1);
            if item.arrival == Arrival::Complete && item.received > 0 && played_ms >= received_ms {
                item.fate = Fate::Played;
                continue;
            }
            item.fate = Fate::Cut;
            let item_id = item.id.clone();
            unheard.push(match played_ms.min(received_ms) {
                0 => Unheard::Whole { item_id },
                heard_ms => Unheard::After { item_id, heard_ms },
            });
        }
        unheard
    }
}

fn complete(item: &mut Item) -> Option<UtteranceId> {
    let first = item.arrival == Arrival::Coming;
    item.arrival = Arrival::Complete;
    (first && item.fate != Fate::Cut).then_some(item.utterance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use media::Law;

    /// An item of this many milliseconds, complete or not.
    fn spoken(items: &[(&str, usize, Arrival)]) -> Spoken {
        let mut spoken = Spoken::new(Format::G711(Law::Mu));
        for (id, ms, arrival) in items {
            let utterance = spoken.open(id, "resp").unwrap();
            spoken.receive(utterance, ms * 8);
            if *arrival == Arrival::Complete {
                spoken.complete(id);
            }
        }
        spoken
    }

    fn heard(utterance: u64, ms: u64) -> Heard {
        let played = Duration::from_millis(ms);
        Heard { utterance: UtteranceId(utterance), played, queued: played }
    }

    #[test]
    fn truncation_is_what_was_played_and_arrived_and_no_more() {
        use Arrival::{Coming, Complete};
        let after = |heard_ms| vec![Unheard::After { item_id: "a".into(), heard_ms }];
        let whole = vec![Unheard::Whole { item_id: "a".into() }];
        let cases = [
            ("half", 1_000, Complete, 500, after(500)),
            ("clamped to what arrived", 1_000, Coming, 1_040, after(1_000)),
            ("starved, more was to come", 1_000, Coming, 1_000, after(1_000)),
            ("heard to its end", 1_000, Complete, 1_000, vec![]),
            ("nothing played", 1_000, Complete, 0, whole.clone()),
            ("nothing arrived", 0, Coming, 0, whole),
        ];
        for (case, received, arrival, played, expected) in cases {
            assert_eq!(spoken(&[("a", received, arrival)]).cut(heard(0, played)), expected, "{case}");
        }
    }

    #[test]
    fn a_cut_counts_per_item_forgets_what_was_queued_behind_and_spares_what_was_heard() {
        let mut spoken = spoken(&[
            ("first", 1_000, Arrival::Complete),
            ("second", 2_000, Arrival::Complete),
            ("third", 500, Arrival::Complete),
        ]);
        let expected =
            [Unheard::After { item_id: "second".into(), heard_ms: 700 }, Unheard::Whole { item_id: "third".into() }];
        assert_eq!(spoken.cut(heard(1, 700)), expected);
        assert_eq!(spoken.cut(heard(1, 700)), [], "a second cut finds nothing");
        assert_eq!(spoken.open("second", "resp"), None, "what still arrives is stale");
        assert_eq!(spoken.complete("second"), None);
    }

    #[test]
    fn an_item_that_was_played_out_is_never_truncated() {
        let mut spoken = spoken(&[("a", 1_000, Arrival::Complete)]);
        spoken.played_out(UtteranceId(0));
        assert_eq!(spoken.cut(heard(0, 400)), []);
    }

    #[test]
    fn what_the_call_never_played_is_settled_by_what_it_played_later() {
        let mut spoken = spoken(&[("dropped", 100, Arrival::Complete), ("a", 100, Arrival::Complete)]);
        spoken.played_out(UtteranceId(1));
        assert!(spoken.is_settled());
    }

    #[test]
    fn an_utterance_ends_once() {
        let mut spoken = spoken(&[("a", 100, Arrival::Coming)]);
        assert_eq!(spoken.complete("a"), Some(UtteranceId(0)));
        assert_eq!(spoken.complete("a"), None);
        assert_eq!(spoken.complete_response("resp"), []);
        spoken.open("b", "resp");
        assert_eq!(spoken.complete_response("resp"), [UtteranceId(1)]);
    }
}
