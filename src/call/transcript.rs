//! Who said what, when, and how much of it was heard.
//!
//! Words run ahead of audio and audio runs ahead of the ear: an entry keeps all three apart, and only what left as RTP
//! counts as said (`design.md` §1.2).
use crate::record::{Speaker, TurnRecord};
use media::{Heard, UtteranceId};
use std::time::{Duration, Instant};

/// More entries than any human call has; beyond it the oldest stay and new ones are dropped and counted.
const MAX_ENTRIES: usize = 2_000;

/// The growing transcript of one call.
#[derive(Debug)]
pub(super) struct Transcript {
    began: Instant,
    entries: Vec<Entry>,
    /// When the caller stopped speaking, for turns whose words have not come yet.
    unworded: Option<Instant>,
    dropped: u32,
}

#[derive(Debug)]
enum Entry {
    Caller { at: Instant, text: String },
    Assistant(Assistant),
}

#[derive(Debug)]
struct Assistant {
    at: Instant,
    utterance: UtteranceId,
    text: String,
    generated: Duration,
    fate: Fate,
    latency: Option<Duration>,
}

/// What became of an utterance.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// Its audio waits or plays.
    Pending,
    /// Every sample left.
    Heard(Duration),
    /// The caller cut it after `played`, when `text_bytes` of words stood for `generated` of audio.
    Cut { played: Duration, generated: Duration, text_bytes: usize },
}

impl Transcript {
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, entries: Vec::new(), unworded: None, dropped: 0 }
    }

    /// The caller stopped speaking; the words come later, and belong here.
    pub(super) fn caller_stopped(&mut self, at: Instant) {
        self.unworded = Some(at);
    }

    /// Words of the caller.
    pub(super) fn caller(&mut self, text: String, now: Instant) {
        let at = self.unworded.take().unwrap_or(now);
        self.push(Entry::Caller { at, text });
    }

    /// Something a reader must know and nobody said, in brackets, on the caller's side.
    pub(super) fn note(&mut self, text: String, now: Instant) {
        self.push(Entry::Caller { at: now, text });
    }

    /// More audio of an utterance exists.
    pub(super) fn generated(&mut self, utterance: UtteranceId, duration: Duration, now: Instant) {
        if let Some(entry) = self.assistant(utterance, now) {
            entry.generated += duration;
        }
    }

    /// More words of an utterance exist.
    pub(super) fn text(&mut self, utterance: UtteranceId, delta: &str, now: Instant) {
        if let Some(entry) = self.assistant(utterance, now) {
            entry.text.push_str(delta);
        }
    }

    /// The first packet of an utterance left.
    pub(super) fn started(&mut self, utterance: UtteranceId, at: Instant, latency: Option<Duration>) {
        if let Some(entry) = self.assistant(utterance, at) {
            entry.at = at;
            entry.latency = latency;
        }
    }

    /// The last packet of an utterance left.
    pub(super) fn played_out(&mut self, heard: Heard, now: Instant) {
        if let Some(entry) = self.assistant(heard.utterance, now)
            && entry.fate == Fate::Pending
        {
            entry.fate = Fate::Heard(heard.played);
        }
    }

    /// The caller (or the end of the call) cut an utterance.
    pub(super) fn cut(&mut self, heard: Heard, now: Instant) {
        if let Some(entry) = self.assistant(heard.utterance, now)
            && entry.fate == Fate::Pending
        {
            entry.fate = Fate::Cut { played: heard.played, generated: entry.generated, text_bytes: entry.text.len() };
        }
    }

    /// The transcript in the order of speaking, cut at what was heard.
    pub(super) fn turns(&self) -> Vec<TurnRecord> {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_by_key(|entry| entry.at());
        entries.into_iter().filter_map(|entry| entry.record(self.began)).collect()
    }

    /// The entry of an utterance, made at its first sign of life.
    fn assistant(&mut self, utterance: UtteranceId, now: Instant) -> Option<&mut Assistant> {
        let found = self.entries.iter().rposition(|e| matches!(e, Entry::Assistant(a) if a.utterance == utterance));
        let index = match found {
            Some(index) => index,
            None => {
                let entry = Assistant {
                    at: now,
                    utterance,
                    text: String::new(),
                    generated: Duration::ZERO,
                    fate: Fate::Pending,
                    latency: None,
                };
                self.push(Entry::Assistant(entry));
                self.entries.len().checked_sub(1)?
            }
        };
        match self.entries.get_mut(index) {
            Some(Entry::Assistant(entry)) if entry.utterance == utterance => Some(entry),
            Some(Entry::Assistant(_) | Entry::Caller { .. }) | None => None,
        }
    }

    fn push(&mut self, entry: Entry) {
        if self.entries.len() < MAX_ENTRIES {
            self.entries.push(entry);
        } else {
            self.dropped += 1;
        }
    }
}

impl Entry {
    fn at(&self) -> Instant {
        match self {
            Self::Caller { at, .. } => *at,
            Self::Assistant(entry) => entry.at,
        }
    }

    fn record(&self, began: Instant) -> Option<TurnRecord> {
        match self {
            Self::Caller { at, text } => Some(TurnRecord {
                who: Speaker::Caller,
                text: text.clone(),
                at: at.saturating_duration_since(began),
                heard: None,
                cut: false,
                latency: None,
            }),
            Self::Assistant(entry) => entry.record(began),
        }
    }
}

impl Assistant {
    /// `None` for an utterance of which nothing was heard: to the caller it never existed.
    fn record(&self, began: Instant) -> Option<TurnRecord> {
        let (heard, text, cut) = match self.fate {
            Fate::Heard(heard) => (heard, self.text.clone(), false),
            Fate::Pending => return None,
            Fate::Cut { played, .. } if played.is_zero() => return None,
            Fate::Cut { played, generated, text_bytes } => {
                let words = self.text.get(..text_bytes).unwrap_or(&self.text);
                (played, heard_words(words, played, generated).to_owned(), true)
            }
        };
        let at = self.at.saturating_duration_since(began);
        Some(TurnRecord { who: Speaker::Assistant, text, at, heard: Some(heard), cut, latency: self.latency })
    }
}

/// The part of `words` that `played` of `generated` can have carried, cut after a whole word.
fn heard_words(words: &str, played: Duration, generated: Duration) -> &str {
    if played >= generated || generated.is_zero() {
        return words;
    }
    let share = played.as_secs_f64() / generated.as_secs_f64();
    let limit = (words.len() as f64 * share) as usize;
    let end = words
        .char_indices()
        .filter(|(_, c)| c.is_whitespace())
        .map(|(at, _)| at)
        .take_while(|at| *at <= limit)
        .last()
        .unwrap_or(0);
    words.get(..end).unwrap_or("")
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test needs one origin of time")]
mod tests {
    use super::*;

    const U: UtteranceId = UtteranceId(1);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_cut_utterance_keeps_the_words_that_were_heard() {
        let t0 = Instant::now();
        let mut transcript = Transcript::new(t0);
        transcript.text(U, "We are open from nine to six", t0);
        transcript.generated(U, ms(2_800), t0);
        transcript.started(U, t0 + ms(500), Some(ms(400)));
        transcript.cut(Heard { utterance: U, played: ms(1_400), queued: ms(2_800) }, t0 + ms(1_900));
        transcript.text(U, " every day", t0 + ms(2_000)); // late words of a cut utterance were never heard
        let turns = transcript.turns();
        assert_eq!(turns[0].text, "We are open");
        assert!(turns[0].cut);
        assert_eq!((turns[0].heard, turns[0].latency), (Some(ms(1_400)), Some(ms(400))));
    }

    #[test]
    fn words_of_the_caller_stand_where_they_were_spoken() {
        let t0 = Instant::now();
        let mut transcript = Transcript::new(t0);
        transcript.caller_stopped(t0 + ms(100));
        transcript.generated(U, ms(20), t0 + ms(200));
        transcript.started(U, t0 + ms(300), None);
        transcript.played_out(Heard { utterance: U, played: ms(20), queued: ms(20) }, t0 + ms(400));
        transcript.caller("hello".into(), t0 + ms(900)); // recognised after the reply began
        let who: Vec<_> = transcript.turns().into_iter().map(|t| t.who).collect();
        assert_eq!(who, [Speaker::Caller, Speaker::Assistant]);
    }

    #[test]
    fn an_utterance_nobody_heard_is_not_in_the_record() {
        let t0 = Instant::now();
        let mut transcript = Transcript::new(t0);
        transcript.text(U, "never", t0);
        transcript.cut(Heard { utterance: U, played: Duration::ZERO, queued: ms(500) }, t0);
        assert!(transcript.turns().is_empty());
    }

    #[test]
    fn words_are_cut_at_character_boundaries_of_portuguese() {
        assert_eq!(heard_words("amanhã às nove da manhã", ms(50), ms(100)), "amanhã às");
        assert_eq!(heard_words("olá", ms(1), ms(100)), "");
    }
}
