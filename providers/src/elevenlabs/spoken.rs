//! What the agent says, as utterances. The server numbers events and tells neither where an utterance begins nor, as a
//! rule, where it ends.
use media::{Heard, UtteranceId};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// An utterance is over when what came of it has been played for this long and nothing more came: longer than the pause
/// between two sentences of one turn, short enough for a transfer that waits for it.
const TAIL: Duration = Duration::from_millis(700);
/// Audio that the caller cut comes no more after a pause as long as this.
const STALE_FOR: Duration = Duration::from_millis(1_500);
/// Utterances whose words may still be corrected.
const REMEMBERED: usize = 8;

/// Which utterances there are, and which audio belongs to none.
#[derive(Debug, Default)]
pub(super) struct Spoken {
    next: u64,
    state: State,
    /// Audio of events up to this one was cut.
    cut_through: Option<i64>,
    newest: Option<i64>,
    /// The caller said something since the last words of the agent.
    answered: bool,
    words: VecDeque<(UtteranceId, String)>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Silent,
    Open(Open),
    /// The call cut the agent off, and the server has not said that it noticed: what still comes is of that turn.
    Muted {
        until: Instant,
        /// Its words have come.
        worded: bool,
    },
}

#[derive(Debug)]
struct Open {
    utterance: UtteranceId,
    /// When what has come will have been played, if anything has.
    plays_until: Option<Instant>,
    last_audio: Option<Instant>,
    worded: bool,
}

/// Words of the agent, and what they end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Worded {
    /// An utterance that these words show to be over.
    pub(super) over: Option<UtteranceId>,
    /// Whose words they are.
    pub(super) utterance: UtteranceId,
    /// To be appended to it.
    pub(super) delta: String,
}

impl Spoken {
    /// Audio arrived; its utterance, or `None` when the caller cut it.
    pub(super) fn audio(&mut self, event_id: Option<i64>, duration: Duration, now: Instant) -> Option<UtteranceId> {
        self.newest = self.newest.max(event_id);
        if let (Some(cut), Some(event)) = (self.cut_through, event_id)
            && event <= cut
        {
            return None;
        }
        if let State::Muted { until, .. } = &mut self.state
            && now < *until
        {
            *until = now + STALE_FOR;
            return None;
        }
        let open = self.take();
        let utterance = open.utterance;
        let plays_until = Some(open.plays_until.map_or(now, |until| until.max(now)) + duration);
        self.state = State::Open(Open { plays_until, last_audio: Some(now), ..open });
        Some(utterance)
    }

    /// Words arrived; they come once a turn, about with its first audio. `None` when they belong to what was cut.
    pub(super) fn words(&mut self, text: &str) -> Option<Worded> {
        let mut over = None;
        match &mut self.state {
            State::Muted { worded: worded @ false, .. } if !self.answered => {
                *worded = true;
                return None;
            }
            State::Open(open) if open.worded && self.answered => {
                over = Some(open.utterance);
                self.state = State::Silent;
            }
            State::Muted { .. } | State::Open(_) | State::Silent => {}
        }
        self.answered = false;
        let open = self.take();
        let utterance = open.utterance;
        let delta = if open.worded { format!(" {text}") } else { text.to_owned() };
        self.state = State::Open(Open { worded: true, ..open });
        match self.words.back_mut() {
            Some((last, words)) if *last == utterance => words.push_str(&delta),
            Some(_) | None => {
                if self.words.len() >= REMEMBERED {
                    self.words.pop_front();
                }
                self.words.push_back((utterance, delta.clone()));
            }
        }
        Some(Worded { over, utterance, delta })
    }

    /// The caller has had a turn: what comes from here on is an answer.
    pub(super) fn caller_spoke(&mut self) {
        self.answered = true;
        if matches!(self.state, State::Muted { .. }) {
            self.state = State::Silent;
        }
    }

    /// The agent was told something: what comes from here on answers that.
    pub(super) fn asked(&mut self) {
        self.answered = true;
    }

    /// The server cut its own speech: audio up to this event is not to be played. The utterance of which no more will
    /// come, unless the call cut it off before.
    pub(super) fn interrupted(&mut self, event_id: Option<i64>) -> Option<UtteranceId> {
        self.cut_through = self.cut_through.max(event_id.or(self.newest));
        let unfinished = self.complete();
        self.state = State::Silent;
        unfinished
    }

    /// The call cut the agent off by itself.
    pub(super) fn cut(&mut self, heard: Heard) {
        let State::Open(open) = &self.state else { return };
        if open.utterance < heard.utterance {
            return;
        }
        self.cut_through = self.cut_through.max(self.newest);
        self.state = match open.last_audio {
            Some(last) => State::Muted { until: last + STALE_FOR, worded: open.worded },
            None => State::Silent,
        };
    }

    /// The agent said that it has said all.
    pub(super) fn complete(&mut self) -> Option<UtteranceId> {
        let State::Open(Open { utterance, plays_until: Some(_), .. }) = self.state else { return None };
        self.state = State::Silent;
        Some(utterance)
    }

    /// The utterance of which nothing came for too long.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<UtteranceId> {
        self.deadline().filter(|deadline| *deadline <= now)?;
        self.complete()
    }

    /// When the utterance that is being said is taken to be over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Open(open) => open.plays_until.map(|until| until + TAIL),
            State::Silent | State::Muted { .. } => None,
        }
    }

    /// All that was heard of the utterance with these words, when no more than `corrected` was heard of them: with what
    /// it said before, and without what it said after. The newest such utterance, if there are several.
    pub(super) fn corrected(&self, original: &str, corrected: &str) -> Option<(UtteranceId, String)> {
        let original = Some(original.trim()).filter(|original| !original.is_empty())?;
        self.words.iter().rev().find_map(|(utterance, words)| {
            let before = words.get(..words.rfind(original)?)?;
            Some((*utterance, format!("{before}{}", corrected.trim())))
        })
    }

    /// The utterance that is being said, or a new one; the caller puts it back.
    fn take(&mut self) -> Open {
        if let State::Open(open) = std::mem::take(&mut self.state) {
            return open;
        }
        let utterance = UtteranceId(self.next);
        self.next = self.next.saturating_add(1);
        Open { utterance, plays_until: None, last_audio: None, worded: false }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the origin of virtual time")]
mod tests {
    use super::*;

    const PIECE: Duration = Duration::from_millis(500);

    fn heard(utterance: u64) -> Heard {
        Heard { utterance: UtteranceId(utterance), played: PIECE, queued: PIECE }
    }

    #[test]
    fn audio_of_an_interrupted_event_or_an_earlier_one_has_no_utterance() {
        let (mut spoken, now) = (Spoken::default(), Instant::now());
        assert_eq!(spoken.audio(Some(4), PIECE, now), Some(UtteranceId(0)));
        assert_eq!(spoken.interrupted(Some(5)), Some(UtteranceId(0)));
        assert_eq!(spoken.audio(Some(4), PIECE, now), None);
        assert_eq!(spoken.audio(Some(5), PIECE, now), None);
        assert_eq!(spoken.audio(Some(6), PIECE, now), Some(UtteranceId(1)));
        spoken.interrupted(Some(3));
        assert_eq!(spoken.audio(Some(5), PIECE, now), None, "an interruption is not taken back by an older one");
    }

    #[test]
    fn an_interruption_without_a_number_cuts_all_that_came() {
        let (mut spoken, now) = (Spoken::default(), Instant::now());
        spoken.audio(Some(9), PIECE, now);
        spoken.interrupted(None);
        assert_eq!(spoken.audio(Some(9), PIECE, now), None);
        assert_eq!(spoken.audio(Some(10), PIECE, now), Some(UtteranceId(1)));
    }

    #[test]
    fn what_the_call_cut_stays_cut_until_the_caller_had_a_turn_or_the_rest_stopped_coming() {
        let (mut spoken, now) = (Spoken::default(), Instant::now());
        spoken.audio(Some(1), PIECE, now);
        spoken.cut(heard(0));
        assert_eq!(spoken.audio(Some(2), PIECE, now + PIECE), None, "the server has not noticed");
        spoken.caller_spoke();
        assert_eq!(spoken.audio(Some(1), PIECE, now + PIECE), None, "late, and older than the cut");
        assert_eq!(spoken.audio(Some(3), PIECE, now + PIECE), Some(UtteranceId(1)));

        spoken.cut(heard(1));
        assert_eq!(spoken.audio(Some(4), PIECE, now + PIECE * 3), None);
        assert_eq!(spoken.audio(Some(5), PIECE, now + PIECE * 5), None, "the rest still comes");
        assert_eq!(spoken.audio(Some(6), PIECE, now + PIECE * 8), Some(UtteranceId(2)));
    }

    #[test]
    fn words_of_what_was_cut_are_dropped_and_those_of_the_answer_are_not() {
        let (mut spoken, now) = (Spoken::default(), Instant::now());
        spoken.audio(Some(1), PIECE, now);
        spoken.cut(heard(0));
        assert_eq!(spoken.words("cut"), None);
        let delta = "answer".to_owned();
        assert_eq!(spoken.words("answer"), Some(Worded { over: None, utterance: UtteranceId(1), delta }));
    }

    #[test]
    fn an_utterance_ends_when_it_was_played_and_nothing_more_came() {
        let (mut spoken, now) = (Spoken::default(), Instant::now());
        spoken.words("hello");
        assert_eq!(spoken.deadline(), None, "its audio has not begun");
        spoken.audio(Some(1), PIECE, now);
        spoken.audio(Some(2), PIECE, now);
        assert_eq!(spoken.deadline(), Some(now + PIECE * 2 + TAIL));
        assert_eq!(spoken.overdue(now + PIECE * 2), None);
        assert_eq!(spoken.overdue(now + PIECE * 2 + TAIL), Some(UtteranceId(0)));
        assert_eq!(spoken.complete(), None, "once");
    }

    #[test]
    fn words_after_the_callers_turn_begin_an_utterance_and_others_go_on_with_it() {
        let (mut spoken, now) = (Spoken::default(), Instant::now());
        spoken.audio(Some(1), PIECE, now);
        let worded = |over, utterance, delta: &str| {
            Some(Worded { over, utterance: UtteranceId(utterance), delta: delta.to_owned() })
        };
        assert_eq!(spoken.words("one moment"), worded(None, 0, "one moment"));
        assert_eq!(spoken.words("here it is"), worded(None, 0, " here it is"));
        spoken.caller_spoke();
        assert_eq!(spoken.words("you are welcome"), worded(Some(UtteranceId(0)), 1, "you are welcome"));
        let heard = Some((UtteranceId(0), "one moment here...".to_owned()));
        assert_eq!(spoken.corrected("here it is", "here..."), heard, "what was said before was heard");
        assert_eq!([spoken.corrected("never said", ""), spoken.corrected(" ", "")], [None, None]);
    }
}
