//! Who said what, when, and how much of it was heard.
//!
//! Words run ahead of audio and audio runs ahead of the ear: an entry keeps all three apart, and only what left as RTP
//! counts as said (`design.md` §1.2).
use crate::record::{Speaker, TurnRecord, Waterfall};
use media::{Heard, UtteranceId};
use providers::Said;
use std::time::{Duration, Instant};

/// More entries than any human call has; beyond it the oldest stay and new ones are dropped and counted.
const MAX_ENTRIES: usize = 2_000;
/// Stands for what was said while the recording paused: who must not be heard must not be read either.
const NOT_RECORDED: &str = "[not recorded]";
/// Pauses that are kept apart; beyond it the last one grows.
const MAX_PAUSES: usize = 256;
/// Speech is known for speech so long after it began, at the most.
const ONSET: Duration = Duration::from_millis(500);
/// A provider may split a turn, and so late come the words of its last part.
const WORDED: Duration = Duration::from_secs(5);

/// Entries that another provider is told of: a quarter of an hour of talk.
const REMEMBERED: usize = 60;

/// The growing transcript of one call.
#[derive(Debug)]
pub(super) struct Transcript {
    began: Instant,
    entries: Vec<Entry>,
    /// The caller's speech whose words have not come yet.
    unworded: Option<Speech>,
    /// When a turn was last in words, all of it.
    worded: Option<Instant>,
    pauses: Vec<Pause>,
    /// Words that come before this belong to something said in a pause.
    unrecorded_until: Instant,
    dropped: u32,
}

/// Speech of the caller, a turn or several.
#[derive(Clone, Copy, Debug)]
struct Speech {
    /// When the first turn of it began.
    from: Instant,
    /// When the last turn of it began.
    last_from: Instant,
    /// When the caller last stopped.
    stopped: Option<Instant>,
    speaking: bool,
}

/// The recording paused.
#[derive(Clone, Copy, Debug)]
struct Pause {
    from: Instant,
    /// `None` while it does.
    to: Option<Instant>,
}

#[derive(Debug)]
enum Entry {
    Caller {
        at: Instant,
        text: String,
    },
    /// Nobody said it: a provider that goes on is not to answer it.
    Note {
        at: Instant,
        text: String,
    },
    Assistant(Assistant),
}

#[derive(Debug)]
struct Assistant {
    at: Instant,
    utterance: UtteranceId,
    text: String,
    /// What was heard of it when it was cut, in the provider's words.
    heard: Option<String>,
    generated: Duration,
    fate: Fate,
    /// When the last of it was heard.
    ended: Option<Instant>,
    latency: Option<Duration>,
    waterfall: Option<Waterfall>,
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
        let (entries, pauses) = (Vec::new(), Vec::new());
        Self { began: now, entries, unworded: None, worded: None, pauses, unrecorded_until: now, dropped: 0 }
    }

    /// From here on nothing is recorded, and what is said is not kept.
    pub(super) fn pause(&mut self, from: Instant) {
        let full = self.pauses.len() >= MAX_PAUSES;
        match self.pauses.last_mut().filter(|_| full) {
            Some(last) => last.to = None,
            None => self.pauses.push(Pause { from, to: None }),
        }
    }

    /// The recording goes on.
    pub(super) fn resume(&mut self, now: Instant) {
        if let Some(last) = self.pauses.last_mut() {
            last.to = Some(now);
        }
    }

    /// The caller is known to speak.
    pub(super) fn caller_speaks(&mut self, now: Instant) {
        let last_from = now.checked_sub(ONSET).unwrap_or(now);
        self.unworded = Some(match self.unworded {
            Some(speech) => Speech { last_from, speaking: true, ..speech },
            None => Speech { from: last_from, last_from, stopped: None, speaking: true },
        });
    }

    /// The caller stopped speaking; the words come later, and belong here.
    pub(super) fn caller_stopped(&mut self, at: Instant) {
        if self.worded.is_some_and(|worded| at <= worded) {
            return;
        }
        let speech = self.unworded.unwrap_or(Speech { from: at, last_from: at, stopped: None, speaking: false });
        self.unworded = Some(Speech { stopped: Some(at), speaking: false, ..speech });
    }

    /// Words of the caller.
    pub(super) fn caller(&mut self, text: String, now: Instant) {
        let speech = self.unworded.take();
        let unrecorded = self.is_unrecorded(speech, now);
        let at = speech.and_then(|speech| speech.stopped).unwrap_or(now);
        // They came while the caller speaks on: of an earlier turn, or of the beginning of this one.
        self.unworded = speech.filter(|speech| speech.speaking).map(|speech| Speech {
            from: speech.stopped.map_or(speech.from, |_| speech.last_from),
            stopped: None,
            ..speech
        });
        let text = if unrecorded { NOT_RECORDED.to_owned() } else { text };
        self.push(Entry::Caller { at, text });
    }

    /// Words of the caller, and all of their turn: our detector may hear its end later.
    pub(super) fn caller_turn(&mut self, text: String, now: Instant) {
        self.caller(text, now);
        (self.unworded, self.worded) = (None, Some(now));
    }

    /// Whether words that come at `now`, of this speech, may have been said in a pause. In doubt they were.
    fn is_unrecorded(&mut self, speech: Option<Speech>, now: Instant) -> bool {
        let until = speech.and_then(|speech| speech.stopped.filter(|_| !speech.speaking)).unwrap_or(now);
        // Whoever was not heard to speak may have spoken at any time that words can be late.
        let unheard = now.checked_sub(WORDED).unwrap_or(self.began);
        let paused = falls_into(&self.pauses, speech.map_or(unheard, |speech| speech.from), until);
        if paused {
            self.unrecorded_until = self.unrecorded_until.max(until + WORDED);
        }
        paused || now < self.unrecorded_until
    }

    /// What somebody makes of the caller's words at this moment, as it may be written down: it may repeat what was said in
    /// a pause. In doubt it does.
    pub(super) fn quoted(&self, words: &str, now: Instant) -> String {
        let lately = now.checked_sub(WORDED).unwrap_or(self.began);
        let from = self.unworded.map_or(lately, |speech| speech.from.min(lately));
        let unrecorded = now < self.unrecorded_until || falls_into(&self.pauses, from, now);
        if unrecorded { NOT_RECORDED.to_owned() } else { format!("{words:?}") }
    }

    /// Something a reader must know and nobody said, in brackets, on the caller's side.
    pub(super) fn note(&mut self, text: String, now: Instant) {
        self.push(Entry::Note { at: now, text });
    }

    /// What the caller told the assistant by keys, in brackets.
    pub(super) fn typed(&mut self, text: String, now: Instant) {
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

    /// The provider knows what was heard of an utterance, should it be cut.
    pub(super) fn heard(&mut self, utterance: UtteranceId, text: String, now: Instant) {
        if let Some(entry) = self.assistant(utterance, now) {
            entry.heard = Some(text);
        }
    }

    /// The first packet of an utterance left.
    pub(super) fn started(
        &mut self,
        utterance: UtteranceId,
        at: Instant,
        reply: Option<(Duration, Option<Waterfall>)>,
    ) {
        if let Some(entry) = self.assistant(utterance, at) {
            entry.at = at;
            entry.latency = reply.map(|(latency, _)| latency);
            entry.waterfall = reply.and_then(|(_, waterfall)| waterfall);
        }
    }

    /// The last packet of an utterance left.
    pub(super) fn played_out(&mut self, heard: Heard, now: Instant) {
        if let Some(entry) = self.assistant(heard.utterance, now)
            && entry.fate == Fate::Pending
        {
            entry.fate = Fate::Heard(heard.played);
            entry.ended = Some(now);
        }
    }

    /// The caller (or the end of the call) cut an utterance.
    pub(super) fn cut(&mut self, heard: Heard, now: Instant) {
        if let Some(entry) = self.assistant(heard.utterance, now)
            && entry.fate == Fate::Pending
        {
            entry.fate = Fate::Cut { played: heard.played, generated: entry.generated, text_bytes: entry.text.len() };
            entry.ended = Some(now);
        }
    }

    /// All that is known to be the words of an utterance, heard or not.
    pub(super) fn text_of(&self, utterance: UtteranceId) -> &str {
        let found = self.entries.iter().rev().find_map(|entry| match entry {
            Entry::Assistant(entry) if entry.utterance == utterance => Some(entry.text.as_str()),
            Entry::Assistant(_) | Entry::Caller { .. } | Entry::Note { .. } => None,
        });
        found.unwrap_or_default()
    }

    /// The transcript in the order of speaking, cut at what was heard.
    pub(super) fn turns(&self) -> Vec<TurnRecord> {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_by_key(|entry| entry.at());
        entries.into_iter().filter_map(|entry| entry.record(self.began, &self.pauses)).collect()
    }

    /// What was said last, for a provider that goes on: what still plays will be heard.
    pub(super) fn said(&self) -> Vec<Said> {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_by_key(|entry| entry.at());
        let said = entries.into_iter().filter_map(|entry| match entry {
            Entry::Caller { text, .. } => Some(Said::Caller(text.clone())),
            Entry::Note { .. } => None,
            Entry::Assistant(entry) => {
                let playing =
                    (entry.fate == Fate::Pending && !entry.generated.is_zero()).then_some(Fate::Heard(entry.generated));
                let entry = entry.record_as(playing.unwrap_or(entry.fate), self.began, &self.pauses)?;
                Some(Said::Assistant(entry.text))
            }
        });
        let said: Vec<Said> = said.filter(|said| !said.is_empty()).collect();
        let older = said.len().saturating_sub(REMEMBERED);
        said.into_iter().skip(older).collect()
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
                    heard: None,
                    generated: Duration::ZERO,
                    fate: Fate::Pending,
                    ended: None,
                    latency: None,
                    waterfall: None,
                };
                self.push(Entry::Assistant(entry));
                self.entries.len().checked_sub(1)?
            }
        };
        match self.entries.get_mut(index) {
            Some(Entry::Assistant(entry)) if entry.utterance == utterance => Some(entry),
            Some(Entry::Assistant(_) | Entry::Caller { .. } | Entry::Note { .. }) | None => None,
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
            Self::Caller { at, .. } | Self::Note { at, .. } => *at,
            Self::Assistant(entry) => entry.at,
        }
    }

    fn record(&self, began: Instant, pauses: &[Pause]) -> Option<TurnRecord> {
        match self {
            Self::Caller { at, text } | Self::Note { at, text } => Some(TurnRecord {
                who: Speaker::Caller,
                text: text.clone(),
                at: at.saturating_duration_since(began),
                heard: None,
                cut: false,
                latency: None,
                waterfall: None,
            }),
            Self::Assistant(entry) => entry.record(began, pauses),
        }
    }
}

impl Assistant {
    /// `None` for an utterance of which nothing was heard: to the caller it never existed.
    fn record(&self, began: Instant, pauses: &[Pause]) -> Option<TurnRecord> {
        self.record_as(self.fate, began, pauses)
    }

    fn record_as(&self, fate: Fate, began: Instant, pauses: &[Pause]) -> Option<TurnRecord> {
        let (heard, text, cut) = match fate {
            Fate::Pending => return None,
            // An utterance whose sound was never played ends as well.
            Fate::Heard(played) | Fate::Cut { played, .. } if played.is_zero() => return None,
            Fate::Heard(heard) => (heard, self.text.clone(), false),
            Fate::Cut { played, generated, text_bytes } => {
                let words = self.text.get(..text_bytes).unwrap_or(&self.text);
                let estimate = || heard_words(words, played, generated).to_owned();
                (played, self.heard.clone().unwrap_or_else(estimate), true)
            }
        };
        let unrecorded = falls_into(pauses, self.at, self.ended.unwrap_or(self.at));
        let text = if unrecorded { NOT_RECORDED.to_owned() } else { text };
        let at = self.at.saturating_duration_since(began);
        let (latency, waterfall) = (self.latency, self.waterfall);
        Some(TurnRecord { who: Speaker::Assistant, text, at, heard: Some(heard), cut, latency, waterfall })
    }
}

/// Whether something between these times was not recorded.
fn falls_into(pauses: &[Pause], from: Instant, to: Instant) -> bool {
    pauses.iter().any(|pause| pause.from <= to && pause.to.is_none_or(|end| from <= end))
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
        transcript.started(U, t0 + ms(500), Some((ms(400), None)));
        transcript.cut(Heard { utterance: U, played: ms(1_400), queued: ms(2_800) }, t0 + ms(1_900));
        transcript.text(U, " every day", t0 + ms(2_000)); // late words of a cut utterance were never heard
        let turns = transcript.turns();
        assert_eq!(turns[0].text, "We are open");
        assert!(turns[0].cut);
        assert_eq!((turns[0].heard, turns[0].latency), (Some(ms(1_400)), Some(ms(400))));
    }

    #[test]
    fn the_providers_word_of_what_was_heard_counts_for_what_was_cut_and_only_for_that() {
        let t0 = Instant::now();
        let mut transcript = Transcript::new(t0);
        for (utterance, words) in [(UtteranceId(1), "first of all"), (UtteranceId(2), "second of all")] {
            transcript.text(utterance, words, t0);
            transcript.generated(utterance, ms(1_000), t0);
            transcript.heard(utterance, "heard".into(), t0);
        }
        transcript.played_out(Heard { utterance: UtteranceId(1), played: ms(1_000), queued: ms(1_000) }, t0);
        transcript.cut(Heard { utterance: UtteranceId(2), played: ms(900), queued: ms(1_000) }, t0);
        let texts: Vec<_> = transcript.turns().into_iter().map(|turn| turn.text).collect();
        assert_eq!(texts, ["first of all", "heard"]);
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
    fn words_without_a_sound_were_not_heard_either() {
        let t0 = Instant::now();
        let mut transcript = Transcript::new(t0);
        transcript.text(U, "to nobody", t0);
        transcript.played_out(Heard { utterance: U, played: Duration::ZERO, queued: Duration::ZERO }, t0);
        assert!(transcript.turns().is_empty() && transcript.said().is_empty());
    }

    #[test]
    fn who_goes_on_is_told_what_was_said_and_typed_and_no_note() {
        let t0 = Instant::now();
        let mut transcript = Transcript::new(t0);
        transcript.caller("When are you open?".into(), t0);
        transcript.typed("[DTMF 12#]".into(), t0 + ms(100));
        transcript.note("[looked up \"hours\": 0 found]".into(), t0 + ms(200));
        transcript.note("[transfer to 1001 failed: the line is busy]".into(), t0 + ms(300));
        let said = ["When are you open?", "[DTMF 12#]"].map(|words| Said::Caller(words.into()));
        assert_eq!(transcript.said(), said);
        let turns = transcript.turns();
        assert!(turns.len() == 4 && turns.iter().all(|turn| turn.who == Speaker::Caller), "{turns:?}");
    }

    #[test]
    fn words_are_cut_at_character_boundaries_of_portuguese() {
        assert_eq!(heard_words("amanhã às nove da manhã", ms(50), ms(100)), "amanhã às");
        assert_eq!(heard_words("olá", ms(1), ms(100)), "");
    }

    /// What the caller's words become, of speech between these milliseconds, that come at the last; the recording pauses
    /// from 10 s to 20 s.
    fn kept(speech: Option<(u64, u64)>, at: u64) -> bool {
        let t0 = Instant::now();
        let mut transcript = Transcript::new(t0);
        let mut happens: Vec<(u64, u8)> = vec![(10_000, 0), (20_000, 1)];
        happens.extend(speech.into_iter().flat_map(|(from, to)| [(from + 500, 2), (to, 3)]));
        happens.sort_unstable();
        for (ms_at, what) in happens.into_iter().filter(|(ms_at, _)| *ms_at <= at) {
            let now = t0 + ms(ms_at);
            match what {
                0 => transcript.pause(now),
                1 => transcript.resume(now),
                2 => transcript.caller_speaks(now),
                _ => transcript.caller_stopped(now),
            }
        }
        transcript.caller("4111".into(), t0 + ms(at));
        transcript.turns()[0].text == "4111"
    }

    #[test]
    fn what_the_caller_says_in_a_pause_of_the_recording_is_not_kept() {
        for (speech, at, expected) in [
            (Some((5_000, 9_000)), 9_500, true),
            (Some((5_000, 9_000)), 12_000, true),
            (Some((5_000, 10_500)), 12_000, false),
            (Some((12_000, 15_000)), 16_000, false),
            (Some((12_000, 15_000)), 40_000, false),
            (Some((12_000, 30_000)), 16_000, false),
            (Some((19_000, 22_000)), 23_000, false),
            (Some((20_100, 22_000)), 23_000, true),
            (None, 9_000, true),
            (None, 15_000, false),
            (None, 24_000, false),
            (None, 26_000, true),
        ] {
            assert_eq!(kept(speech, at), expected, "{speech:?}, words at {at}");
        }
    }

    #[test]
    fn what_repeats_words_of_a_pause_of_the_recording_is_not_kept() {
        let t0 = Instant::now();
        let mut transcript = Transcript::new(t0);
        let quoted = |transcript: &Transcript, at| transcript.quoted("4111", t0 + ms(at));
        assert_eq!(quoted(&transcript, 1_000), "\"4111\"");
        transcript.pause(t0 + ms(2_000));
        assert_eq!(quoted(&transcript, 9_000), NOT_RECORDED);
        transcript.resume(t0 + ms(10_000));
        assert_eq!(quoted(&transcript, 11_000), NOT_RECORDED, "it was said before that");
        assert_eq!(quoted(&transcript, 20_000), "\"4111\"");
        transcript.pause(t0 + ms(30_000));
        transcript.caller_speaks(t0 + ms(39_000));
        transcript.resume(t0 + ms(40_000));
        transcript.caller_stopped(t0 + ms(41_000));
        assert_eq!(quoted(&transcript, 50_000), NOT_RECORDED, "its words have not come yet");
    }

    #[test]
    fn the_second_half_of_a_turn_that_a_provider_split_is_not_kept_either() {
        let t0 = Instant::now();
        let mut transcript = Transcript::new(t0);
        transcript.pause(t0 + ms(1_000));
        transcript.caller_speaks(t0 + ms(2_000));
        transcript.caller_stopped(t0 + ms(6_000));
        transcript.resume(t0 + ms(6_500));
        transcript.caller("4111 1111".into(), t0 + ms(6_600));
        transcript.caller_speaks(t0 + ms(8_000));
        transcript.caller_stopped(t0 + ms(9_000));
        transcript.caller("2222 3333".into(), t0 + ms(9_100));
        transcript.caller_speaks(t0 + ms(15_000));
        transcript.caller_stopped(t0 + ms(16_000));
        transcript.caller("thank you".into(), t0 + ms(17_000));
        let texts: Vec<_> = transcript.turns().into_iter().map(|turn| turn.text).collect();
        assert_eq!(texts, [NOT_RECORDED, NOT_RECORDED, "thank you"]);
    }

    #[test]
    fn the_rest_of_a_turn_whose_words_come_while_it_goes_on_is_not_kept_either() {
        let t0 = Instant::now();
        let mut transcript = Transcript::new(t0);
        transcript.pause(t0 + ms(10_000));
        transcript.caller_speaks(t0 + ms(12_000));
        transcript.caller("4111 1111".into(), t0 + ms(14_000));
        transcript.resume(t0 + ms(20_000));
        transcript.caller_stopped(t0 + ms(21_000));
        transcript.caller("2222 3333".into(), t0 + ms(22_000));
        let texts: Vec<_> = transcript.turns().into_iter().map(|turn| turn.text).collect();
        assert_eq!(texts, [NOT_RECORDED, NOT_RECORDED]);
    }

    #[test]
    fn what_the_assistant_says_in_a_pause_of_the_recording_is_not_kept() {
        let t0 = Instant::now();
        let mut transcript = Transcript::new(t0);
        let mut says = |number, from, to| {
            let utterance = UtteranceId(number);
            transcript.text(utterance, "4111", t0 + ms(from));
            transcript.started(utterance, t0 + ms(from), None);
            transcript.played_out(Heard { utterance, played: ms(to - from), queued: ms(to - from) }, t0 + ms(to));
            if number == 1 {
                transcript.pause(t0 + ms(2_000));
            }
            if number == 2 {
                transcript.resume(t0 + ms(4_000));
            }
        };
        says(1, 1_000, 1_900);
        says(2, 2_100, 4_000);
        says(3, 4_100, 5_000);
        let texts: Vec<_> = transcript.turns().into_iter().map(|turn| turn.text).collect();
        assert_eq!(texts, ["4111", NOT_RECORDED, "4111"]);
    }
}
