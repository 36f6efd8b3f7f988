//! What was said so far, as far as the caller heard it: a session that takes the place of another begins with it.
use super::wire::Item;
pub(crate) use crate::past::Said;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Lines kept; beyond it the oldest go.
const LINES: usize = 120;
/// A transcript may be so late; after that it is not waited for.
const LATE: Duration = Duration::from_secs(15);

/// The items that put these words into a conversation, in order. What has no words has no item.
pub(crate) fn items<'a>(said: impl IntoIterator<Item = &'a Said>) -> Vec<Item<'a>> {
    let item = |said: &'a Said| match said {
        Said::Caller(words) => Item::user(words.trim()),
        Said::Assistant(words) => Item::assistant(words.trim()),
    };
    said.into_iter().filter(|said| !said.is_empty()).map(item).collect()
}

#[derive(Debug)]
struct Line {
    /// The server's id; none for what was not said aloud.
    item_id: String,
    said: Said,
    words: Words,
}

impl Line {
    const fn is_awaited(&self) -> bool {
        matches!(self.words, Words::Awaited { .. })
    }
}

fn words(said: &Said) -> &str {
    let (Said::Caller(words) | Said::Assistant(words)) = said;
    words.trim()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Words {
    /// The caller's, and still to come: until then they are waited for.
    Awaited { until: Instant },
    /// Said in the session that is open, which knows it.
    Known,
    /// Said before: the next session is to be told.
    Past,
}

/// What was said in a conversation, in order.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    lines: VecDeque<Line>,
}

impl Memory {
    /// The caller ended a turn whose words will come.
    pub(crate) fn expect_words(&mut self, item_id: &str, now: Instant) {
        let awaited = Words::Awaited { until: now + LATE };
        self.push(item_id.to_owned(), Said::Caller(String::new()), awaited);
    }

    /// The words of a turn; none when they will not come.
    pub(crate) fn caller(&mut self, item_id: &str, words: &str) {
        let awaited = |line: &&mut Line| line.is_awaited() && line.item_id == item_id;
        match self.lines.iter_mut().rev().find(awaited) {
            Some(line) => {
                line.words = Words::Known;
                line.said = Said::Caller(words.to_owned());
            }
            None => self.push(item_id.to_owned(), Said::Caller(words.to_owned()), Words::Known),
        }
    }

    /// Something that was said to another provider: this session is told of it apart.
    pub(crate) fn recall(&mut self, said: Said) {
        self.push(String::new(), said, Words::Known);
    }

    /// Something the caller did without a word.
    pub(crate) fn note(&mut self, words: &str) {
        self.push(String::new(), Said::Caller(words.to_owned()), Words::Known);
    }

    /// The next words of the assistant.
    pub(crate) fn assistant(&mut self, item_id: &str, delta: &str) {
        let known = self.lines.iter_mut().rev().find(|line| line.item_id == item_id);
        match known.map(|line| &mut line.said) {
            Some(Said::Assistant(words)) => words.push_str(delta),
            Some(Said::Caller(_)) | None => {
                self.push(item_id.to_owned(), Said::Assistant(delta.to_owned()), Words::Known);
            }
        }
    }

    /// Of an item of the assistant only the first `heard_ms` of `received_ms` were heard: its words in proportion, whole
    /// ones only.
    pub(crate) fn cut(&mut self, item_id: &str, heard_ms: u64, received_ms: u64) {
        let Some(line) = self.lines.iter_mut().rev().find(|line| line.item_id == item_id) else { return };
        let Said::Assistant(words) = &mut line.said else { return };
        let heard = (words.chars().count() as u64).saturating_mul(heard_ms) / received_ms.max(1);
        let heard = usize::try_from(heard).unwrap_or(usize::MAX);
        let Some((end, _)) = words.char_indices().nth(heard) else { return };
        let whole = words.get(..end).and_then(|heard| heard.rfind(char::is_whitespace)).unwrap_or(0);
        words.truncate(whole);
    }

    /// Nothing was heard of an item.
    pub(crate) fn forget(&mut self, item_id: &str) {
        self.lines.retain(|line| line.item_id != item_id);
    }

    /// Whether words of the caller are still to come.
    pub(crate) fn is_waiting(&self, now: Instant) -> bool {
        self.lines.iter().any(|line| matches!(line.words, Words::Awaited { until } if now < until))
    }

    /// Whether the last that was said in this session is the caller's.
    pub(crate) fn is_unanswered(&self) -> bool {
        let last = self.lines.back().filter(|line| line.words == Words::Known);
        last.is_some_and(|line| matches!(line.said, Said::Caller(_)))
    }

    /// Another session takes over: words that have not come will not. What is noted from here on is told by other means.
    pub(crate) fn settle(&mut self) {
        self.lines.retain(|line| !line.is_awaited());
        for line in &mut self.lines {
            line.item_id.clear();
            line.words = Words::Past;
        }
    }

    /// The words of an item.
    pub(crate) fn words_of(&self, item_id: &str) -> &str {
        self.lines.iter().rev().find(|line| line.item_id == item_id).map_or("", |line| words(&line.said))
    }

    /// What the next session is told, oldest first: the last of it, in so many bytes.
    pub(crate) fn told(&self, most: usize) -> impl Iterator<Item = &Said> {
        let mut left = most;
        let fits = |line: &&Line| {
            let length = words(&line.said).len();
            let fits = length <= left;
            left = left.saturating_sub(length);
            fits
        };
        let past = self.lines.iter().filter(|line| line.words == Words::Past);
        let kept = past.clone().rev().take_while(fits).count();
        let left_out = past.clone().count().saturating_sub(kept);
        past.skip(left_out).map(|line| &line.said)
    }

    fn push(&mut self, item_id: String, said: Said, words: Words) {
        if self.lines.len() >= LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(Line { item_id, said, words });
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the origin of virtual time")]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn told(memory: &mut Memory) -> Vec<&str> {
        memory.settle();
        memory.told(1_000).map(words).collect()
    }

    #[test]
    fn words_become_items_of_whoever_said_them() {
        let said = [Said::Assistant("Bom dia!".into()), Said::Caller(" ".into()), Said::Caller("Oi.".into())];
        let items: Vec<Value> = items(&said).iter().map(|item| serde_json::to_value(item).unwrap()).collect();
        let expected = [
            json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Bom dia!"}]}),
            json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Oi."}]}),
        ];
        assert_eq!(items, expected);
    }

    #[test]
    fn late_words_of_the_caller_stand_before_the_answer() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        memory.expect_words("turn", now);
        memory.assistant("answer", "We are ");
        memory.assistant("answer", "open.");
        assert!(memory.is_waiting(now) && !memory.is_waiting(now + LATE), "nobody waits for ever");
        memory.caller("turn", "Are you open?");
        assert!(!memory.is_waiting(now));
        assert_eq!(told(&mut memory), ["Are you open?", "We are open."]);
    }

    #[test]
    fn only_what_was_heard_is_told() {
        let mut memory = Memory::default();
        memory.assistant("a", "one two three four");
        memory.cut("a", 600, 1_000);
        memory.assistant("b", "never heard");
        memory.forget("b");
        memory.expect_words("c", Instant::now());
        assert_eq!(told(&mut memory), ["one two"]);
        memory.assistant("a", "another a");
        assert_eq!(memory.told(1_000).count(), 1, "the session that is open knows the rest");
        assert_eq!(told(&mut memory), ["one two", "another a"], "ids of an earlier session mean nothing");
    }

    #[test]
    fn of_a_long_conversation_the_oldest_is_left_out() {
        let mut memory = Memory::default();
        (0..LINES).for_each(|_| memory.note("line"));
        memory.note("the last");
        assert_eq!(memory.lines.len(), LINES);
        memory.note(&"x".repeat(999));
        assert_eq!(told(&mut memory).len(), 1);
    }
}
