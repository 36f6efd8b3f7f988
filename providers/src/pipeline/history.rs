//! What was said, as the model is told of it: of the assistant's words only those that were heard.
use super::wire::chat::{Message, ToolCall};
use crate::{Respond, Said};
use media::{Heard, UtteranceId};
use std::{collections::VecDeque, time::Duration};

/// Entries kept; beyond it the oldest goes.
const MOST_ENTRIES: usize = 200;
/// Characters kept, so that a long call does not outgrow a small model; beyond it the oldest entry goes.
const MOST_CHARACTERS: usize = 48_000;
/// About what one character takes to be said.
const CHARACTER: Duration = Duration::from_millis(60);
/// What the model is told of a call that has no outcome yet: the service refuses a call without any.
const PENDING: &str = r#"{"status":"pending"}"#;

#[derive(Debug)]
enum Entry {
    /// From us.
    Note(String),
    Caller(String),
    Assistant {
        utterance: UtteranceId,
        pieces: Vec<Piece>,
    },
    Called {
        /// With what came of each.
        calls: Vec<(ToolCall, Option<String>)>,
        /// Whether anything of it is to be talked about.
        respond: bool,
    },
}

/// Words and how long they take.
#[derive(Debug)]
struct Piece {
    text: String,
    /// Of the sound there is so far.
    length: Duration,
    /// That is all of it.
    whole: bool,
}

/// The conversation, oldest first.
#[derive(Debug)]
pub(super) struct History {
    instructions: String,
    entries: VecDeque<Entry>,
}

impl History {
    /// Nothing was said.
    pub(super) const fn new(instructions: String) -> Self {
        Self { instructions, entries: VecDeque::new() }
    }

    /// Goes on from what was said before.
    pub(super) fn resume(&mut self, before: Vec<Said>) {
        for said in before.into_iter().filter(|said| !said.is_empty()) {
            match said {
                Said::Caller(text) => self.caller(text),
                Said::Assistant(text) => {
                    let pieces = vec![Piece { text, length: Duration::ZERO, whole: true }];
                    self.push(Entry::Assistant { utterance: UtteranceId(0), pieces });
                }
            }
        }
    }

    /// The caller's next words; without an answer in between they belong to the last.
    pub(super) fn caller(&mut self, text: String) {
        match self.entries.back_mut() {
            Some(Entry::Caller(last)) => *last = format!("{last} {text}"),
            Some(Entry::Note(_) | Entry::Assistant { .. } | Entry::Called { .. }) | None => {
                self.push(Entry::Caller(text))
            }
        }
    }

    /// Something the model must know.
    pub(super) fn note(&mut self, text: String) {
        self.push(Entry::Note(text));
    }

    /// The next words of an utterance begin to be heard.
    pub(super) fn says(&mut self, utterance: UtteranceId, text: &str) {
        let piece = Piece { text: text.to_owned(), length: Duration::ZERO, whole: false };
        let own = self.entries.iter_mut().rev().find_map(|entry| entry.pieces_of(utterance));
        match own {
            Some(pieces) => pieces.push(piece),
            None => self.push(Entry::Assistant { utterance, pieces: vec![piece] }),
        }
    }

    /// The words of an utterance that were last begun take this much longer.
    pub(super) fn takes(&mut self, utterance: UtteranceId, length: Duration) {
        let last = self.entries.iter_mut().rev().find_map(|entry| entry.pieces_of(utterance)?.last_mut());
        if let Some(piece) = last {
            piece.length += length;
        }
    }

    /// The words of an utterance that were last begun take no longer.
    pub(super) fn said(&mut self, utterance: UtteranceId) {
        let last = self.entries.iter_mut().rev().find_map(|entry| entry.pieces_of(utterance)?.last_mut());
        if let Some(piece) = last {
            piece.whole = true;
        }
    }

    /// What of an utterance was not heard was not said, nor was any later one: what is left of it, if there was one.
    pub(super) fn cut(&mut self, heard: Heard) -> Option<String> {
        // Whatever waited behind it was not heard at all.
        self.entries
            .retain(|entry| !matches!(entry, Entry::Assistant { utterance, .. } if *utterance > heard.utterance));
        let at = self.entries.iter_mut().rposition(|entry| entry.pieces_of(heard.utterance).is_some())?;
        let pieces = self.entries.get_mut(at)?.pieces_of(heard.utterance)?;
        let mut left = heard.played;
        for piece in pieces.iter_mut() {
            piece.cut(&mut left);
        }
        pieces.retain(|piece| !piece.text.is_empty());
        let text = texts(pieces);
        if text.is_empty() {
            self.entries.remove(at);
        }
        Some(text)
    }

    /// The model called these.
    pub(super) fn called(&mut self, calls: Vec<ToolCall>) {
        let calls = calls.into_iter().map(|call| (call, None)).collect();
        self.push(Entry::Called { calls, respond: false });
    }

    /// A call's outcome. Whether to respond now: all calls of that time have one, and of any it was wished.
    pub(super) fn outcome(&mut self, id: &str, output: String, wished: Respond) -> bool {
        for entry in self.entries.iter_mut().rev() {
            let Entry::Called { calls, respond } = entry else { continue };
            let Some((_, outcome)) = calls.iter_mut().find(|(call, _)| call.id == id) else { continue };
            *outcome = Some(output);
            *respond |= wished == Respond::Yes;
            return calls.iter().all(|(_, outcome)| outcome.is_some()) && std::mem::take(respond);
        }
        false
    }

    /// Whether there may be nothing to say: the model is told of outcomes last, and has said something since the caller did,
    /// or since we wanted words. Nobody is left in silence with the outcome of what they asked for.
    pub(super) fn may_end_here(&self) -> bool {
        let wants_words = |entry: &&Entry| matches!(entry, Entry::Caller(_) | Entry::Note(_));
        let mut since = self.entries.iter().rev().take_while(|entry| !wants_words(entry));
        matches!(self.entries.back(), Some(Entry::Called { .. }))
            && since.any(|entry| matches!(entry, Entry::Assistant { .. }))
    }

    /// For the model, with words of the caller that may not be all yet.
    pub(super) fn messages(&self, unfinished: Option<&str>) -> Vec<Message> {
        let instructions =
            (!self.instructions.is_empty()).then(|| Message::System { content: self.instructions.clone() });
        let mut messages: Vec<Message> = instructions.into_iter().collect();
        for entry in &self.entries {
            entry.tell(&mut messages);
        }
        match (unfinished, messages.last_mut()) {
            (Some(words), Some(Message::User { content })) => *content = format!("{content} {words}"),
            (Some(words), _) => messages.push(Message::User { content: words.to_owned() }),
            (None, _) => {}
        }
        messages
    }

    fn push(&mut self, entry: Entry) {
        self.entries.push_back(entry);
        let size = |entries: &VecDeque<Entry>| entries.iter().map(Entry::size).sum::<usize>();
        while self.entries.len() > MOST_ENTRIES || (self.entries.len() > 1 && size(&self.entries) > MOST_CHARACTERS) {
            self.entries.pop_front();
        }
    }
}

impl Entry {
    fn pieces_of(&mut self, of: UtteranceId) -> Option<&mut Vec<Piece>> {
        match self {
            Self::Assistant { utterance, pieces } if *utterance == of => Some(pieces),
            Self::Assistant { .. } | Self::Note(_) | Self::Caller(_) | Self::Called { .. } => None,
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Note(text) | Self::Caller(text) => text.len(),
            Self::Assistant { pieces, .. } => pieces.iter().map(|piece| piece.text.len()).sum(),
            Self::Called { calls, .. } => calls
                .iter()
                .map(|(call, out)| call.function.arguments.len() + out.as_ref().map_or(0, String::len))
                .sum(),
        }
    }

    fn tell(&self, messages: &mut Vec<Message>) {
        match self {
            Self::Note(text) => messages.push(Message::System { content: text.clone() }),
            Self::Caller(text) => messages.push(Message::User { content: text.clone() }),
            Self::Assistant { pieces, .. } => {
                let text = texts(pieces);
                if !text.is_empty() {
                    messages.push(Message::Assistant { content: Some(text), tool_calls: Vec::new() });
                }
            }
            Self::Called { calls, .. } => {
                let tool_calls = calls.iter().map(|(call, _)| call.clone()).collect();
                messages.push(Message::Assistant { content: None, tool_calls });
                messages.extend(calls.iter().map(|(call, outcome)| Message::Tool {
                    tool_call_id: call.id.clone(),
                    content: outcome.clone().unwrap_or_else(|| PENDING.to_owned()),
                }));
            }
        }
    }
}

fn texts(pieces: &[Piece]) -> String {
    let texts: Vec<&str> = pieces.iter().map(|piece| piece.text.as_str()).collect();
    texts.join(" ").trim().to_owned()
}

impl Piece {
    /// How long its words take, as far as that is known.
    fn takes(&self) -> Duration {
        let reckoned = CHARACTER * u32::try_from(self.text.chars().count()).unwrap_or(u32::MAX);
        if self.whole { self.length } else { self.length.max(reckoned) }
    }

    /// Keeps what fits into the time left, which it takes its share of; words are taken to be equally long.
    fn cut(&mut self, left: &mut Duration) {
        let (heard, whole) = (self.length.min(*left), self.takes());
        *left = left.saturating_sub(self.length);
        if heard < whole {
            let words: Vec<&str> = self.text.split_whitespace().collect();
            let kept = (words.len() as f64 * heard.as_secs_f64() / whole.as_secs_f64()) as usize;
            let kept = words.get(..kept).unwrap_or_default().join(" ");
            self.text = if kept.is_empty() { kept } else { kept + "…" };
            (self.length, self.whole) = (heard, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn shown(history: &History) -> String {
        serde_json::to_string(&history.messages(None)).unwrap()
    }

    #[test]
    fn what_was_not_heard_was_not_said() {
        let utterance = UtteranceId(3);
        let told = |played| {
            let mut history = History::new(String::new());
            history.caller("Hi".into());
            history.says(utterance, "We are open");
            history.takes(utterance, ms(600));
            history.said(utterance);
            history.says(utterance, "from eight to six every day.");
            history.takes(utterance, ms(1_200));
            history.said(utterance);
            history.cut(Heard { utterance, played, queued: ms(1_000) });
            match history.messages(None).pop() {
                Some(Message::Assistant { content, .. }) => content.unwrap(),
                other => format!("{other:?}"),
            }
        };
        assert_eq!(told(ms(1_800)), "We are open from eight to six every day.");
        assert_eq!(told(ms(1_000)), "We are open from eight…");
        assert_eq!(told(ms(600)), "We are open");
        assert_eq!(told(ms(250)), "We…");
        assert!(told(ms(0)).contains("User"), "nothing was heard: nothing was said");
    }

    #[test]
    fn of_words_whose_sound_is_still_being_made_no_more_was_heard_than_can_be() {
        let utterance = UtteranceId(1);
        let mut history = History::new(String::new());
        history.says(utterance, "We are open from eight to six every day.");
        history.takes(utterance, ms(600));
        let heard = Heard { utterance, played: ms(600), queued: ms(600) };
        assert_eq!(history.cut(heard).as_deref(), Some("We are…"));
    }

    #[test]
    fn what_waited_behind_what_was_cut_was_not_said() {
        let mut history = History::new(String::new());
        for n in 1..=3 {
            history.says(UtteranceId(n), "One moment.");
            history.takes(UtteranceId(n), ms(600));
            history.said(UtteranceId(n));
        }
        history.cut(Heard { utterance: UtteranceId(2), played: ms(300), queued: ms(900) });
        let want = r#"[{"role":"assistant","content":"One moment."},{"role":"assistant","content":"One…"}]"#;
        assert_eq!(shown(&history), want);
    }

    #[test]
    fn every_call_has_an_outcome_and_the_callers_words_are_one_message() {
        let mut history = History::new("Be brief.".into());
        history.resume(vec![Said::Caller("A".into()), Said::Assistant("B".into())]);
        history.caller("one".into());
        history.caller("two".into());
        let call = |id: &str| ToolCall {
            id: id.into(),
            kind: "function",
            function: super::super::wire::chat::Called { name: "f".into(), arguments: "{}".into() },
        };
        history.called(vec![call("x"), call("y")]);
        assert!(!history.outcome("x", "1".into(), Respond::Yes));
        let want = concat!(
            r#"[{"role":"system","content":"Be brief."},{"role":"user","content":"A"},{"role":"assistant","content":"B"},"#,
            r#"{"role":"user","content":"one two"},{"role":"assistant","tool_calls":[{"id":"x","type":"function","#,
            r#""function":{"name":"f","arguments":"{}"}},{"id":"y","type":"function","function":{"name":"f","arguments":"{}"}}]},"#,
            r#"{"role":"tool","tool_call_id":"x","content":"1"},"#,
            r#"{"role":"tool","tool_call_id":"y","content":"{\"status\":\"pending\"}"}]"#
        );
        assert_eq!(shown(&history), want);
        assert!(history.outcome("y", "2".into(), Respond::No));
        assert!(!history.outcome("z", "2".into(), Respond::Yes));
    }

    #[test]
    fn who_heard_nothing_since_they_spoke_is_owed_words_about_an_outcome() {
        let call = || ToolCall {
            id: "x".into(),
            kind: "function",
            function: super::super::wire::chat::Called { name: "f".into(), arguments: "{}".into() },
        };
        let mut history = History::new(String::new());
        history.says(UtteranceId(1), "Hello.");
        history.caller("What does it cost?".into());
        history.called(vec![call()]);
        assert!(!history.may_end_here());
        history.says(UtteranceId(2), "One moment.");
        assert!(!history.may_end_here(), "no outcome is told last");
        history.called(vec![call()]);
        assert!(history.may_end_here());
        history.note("The transfer failed.".into());
        history.called(vec![call()]);
        assert!(!history.may_end_here(), "words were wanted since");
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let mut history = History::new(String::new());
        for n in 0..1_000 {
            history.note(format!("{n} {}", "x".repeat(400)));
        }
        assert!(shown(&history).len() < 60_000);
        assert!(shown(&history).contains("999 x"));
    }
}
