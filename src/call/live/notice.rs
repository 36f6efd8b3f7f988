//! The caller is told that the call is recorded. Until they have heard it, nothing of theirs is on the tape; what is
//! said to them is, and so is the notice. Who takes the call over heard nothing of it, and is told as well.
use super::{Desk, Event, Live, Phase, Tones};
use media::Heard;
use providers::Note;
use std::time::{Duration, Instant};

/// A voice takes at least so long for a byte of a text, and at most. Speech has about fifteen letters a second, or five
/// characters of three bytes.
const FASTEST: Duration = Duration::from_millis(25);
const SLOWEST: Duration = Duration::from_millis(100);
/// So often it is said again.
const MOST: u32 = 3;

/// What ended an utterance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The last of it left.
    Whole,
    /// It was cut.
    Cut,
}

/// A notice that the caller has not heard yet.
#[derive(Debug)]
pub(in crate::call) struct Untold {
    who: Who,
    notice: String,
    telling: Telling,
    /// How often it was asked for, besides the first message.
    asked: u32,
}

/// Who has not heard it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// Whoever called.
    Caller,
    /// Whoever took the call over.
    Successor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Telling {
    /// Audio of whoever is to hear it is not agreed on.
    Unheard,
    /// The next utterance begins with it.
    Awaited,
    /// It was cut or never made, and is to be said again.
    Missed,
    /// It was asked for often enough.
    GivenUp,
}

impl Untold {
    /// The first message begins with it.
    pub(in crate::call) fn new(notice: String) -> Self {
        Self { who: Who::Caller, notice, telling: Telling::Awaited, asked: 0 }
    }

    /// Whether an utterance of these words is the one that was waited for, as far as they are known: the caller may have
    /// said something meanwhile, and had an answer in place of it.
    fn is_carried_by(&self, text: &str) -> bool {
        text.trim().is_empty() || says(text, &self.notice)
    }

    /// Whether so much of an utterance that begins with it has all of it.
    fn was_heard(&self, played: Duration, fate: Fate) -> bool {
        let pace = match fate {
            Fate::Whole => FASTEST,
            Fate::Cut => SLOWEST,
        };
        played >= pace.saturating_mul(u32::try_from(self.notice.len()).unwrap_or(u32::MAX))
    }
}

/// Whether most words of a notice are in a text: who writes down what was said may mishear one.
fn says(text: &str, notice: &str) -> bool {
    let (text, notice) = (text.to_lowercase(), notice.to_lowercase());
    let words: Vec<&str> = notice.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let found = words.iter().filter(|word| text.contains(**word)).count();
    4 * found >= 3 * words.len()
}

impl Live {
    fn untold(&mut self) -> Option<&mut Untold> {
        self.recorded.as_mut()?.untold.as_mut()
    }

    /// Somebody else has the call from here on, and is off the tape until they have heard the notice. Where the INVITE
    /// had an offer their audio is agreed on. What whoever had it had not heard is for [`Self::not_taken_over`].
    pub(in crate::call) fn taken_over(&mut self, has_offer: bool, desk: &mut Desk, now: Instant) -> Option<Untold> {
        self.note_untold(desk, now);
        let (Some(recorded), Some(notice)) = (&mut self.recorded, &desk.settings.recording.notice) else { return None };
        let telling = if has_offer { Telling::Missed } else { Telling::Unheard };
        let untold = Untold { who: Who::Successor, notice: notice.clone(), telling, asked: 0 };
        let before = recorded.untold.replace(untold);
        if let Some(tape) = self.media.tape() {
            tape.withhold_caller();
        }
        before
    }

    /// Nobody has taken the call over: who had it has it, and heard of the recording what they had heard.
    pub(in crate::call) fn not_taken_over(&mut self, untold: Option<Untold>) {
        let Some(recorded) = &mut self.recorded else { return };
        match (&recorded.untold, &untold, self.media.tape()) {
            (Some(_), None, Some(tape)) => tape.admit_caller(),
            (None, Some(_), Some(tape)) => tape.withhold_caller(),
            _ => {}
        }
        recorded.untold = untold;
    }

    /// Their audio is agreed on, by the answer to our offer.
    pub(super) fn can_be_told(&mut self) {
        if let Some(untold) = self.untold().filter(|untold| untold.telling == Telling::Unheard) {
            untold.telling = Telling::Missed;
        }
    }

    /// The caller hears no more of an utterance.
    pub(super) fn notice_ended(&mut self, heard: Heard, fate: Fate, desk: &mut Desk, now: Instant) {
        let Heard { utterance, played, .. } = heard;
        // An utterance without a sound, a call of a tool, is followed by the words.
        if self.filler.says(utterance) || (fate == Fate::Whole && played.is_zero()) {
            return;
        }
        let Some(untold) = self.untold().filter(|untold| untold.telling == Telling::Awaited) else { return };
        let carried = untold.is_carried_by(desk.log.transcript.text_of(utterance));
        if carried && untold.was_heard(played, fate) {
            self.told(desk, now);
        } else {
            untold.telling = Telling::Missed;
        }
    }

    /// The provider failed: what it was in the middle of is never said to its end. What it had finished is.
    pub(super) fn notice_lost(&mut self) {
        let plays = self.media.playing().is_some_and(|playing| !Tones::has(playing) && !self.filler.says(playing));
        let finished = plays && self.open.is_none();
        if let Some(untold) = self.untold().filter(|untold| !finished && untold.telling == Telling::Awaited) {
            untold.telling = Telling::Missed;
        }
    }

    /// Another provider begins the conversation, with the first message.
    pub(super) fn greeting_comes(&mut self) {
        if let Some(untold) = self.untold().filter(|untold| untold.telling == Telling::Missed) {
            untold.telling = Telling::Awaited;
        }
    }

    /// Has a notice that was missed said again, once nobody speaks and nobody waits for an answer. True if it did
    /// something. After all that happened is known: what was just heard to its end may be the notice.
    pub(super) fn mind_notice(&mut self, desk: &mut Desk, now: Instant) -> bool {
        let missed = self.untold().is_some_and(|untold| untold.telling == Telling::Missed);
        if !missed || !self.has_room(desk, now) {
            return false;
        }
        let Some(untold) = self.untold() else { return false };
        if untold.asked >= MOST {
            untold.telling = Telling::GivenUp;
            let text = "the caller is not recorded: nobody said that the call is, though asked for three times";
            desk.emit(Event::Warning(text.to_owned()));
            return true;
        }
        untold.asked += 1;
        untold.telling = Telling::Awaited;
        let (notice, first) = (untold.notice.clone(), untold.asked == 1);
        if first {
            let text = "the caller has not heard that the call is recorded, and is not before it was said again";
            desk.emit(Event::Warning(text.to_owned()));
        }
        self.want_answer(desk.settings.ladder.answer, desk, now);
        self.provider.inform(Note::Say { text: notice }, now);
        true
    }

    /// Whether something may be said now that answers nobody.
    fn has_room(&self, desk: &Desk, now: Instant) -> bool {
        let talking = matches!(self.phase, Phase::Talking) && !self.is_held() && self.can_speak();
        let quiet = self.is_silent() && !self.speaking && !self.kept.in_turn();
        let awaited = self.unanswered.is_some_and(|since| now < since + desk.settings.ladder.answer);
        talking && quiet && !awaited && !self.debt.is_owed()
    }

    fn told(&mut self, desk: &mut Desk, now: Instant) {
        let Some(untold) = self.recorded.as_mut().and_then(|recorded| recorded.untold.take()) else { return };
        if let Some(tape) = self.media.tape() {
            tape.admit_caller();
        }
        if untold.asked > 0 {
            let note = "[told of the recording, which has the caller from here on]";
            desk.log.transcript.note(note.to_owned(), now);
        }
    }

    /// The call ends, or somebody else has it: the record says why its recording has nothing of the caller's.
    pub(in crate::call) fn note_untold(&mut self, desk: &mut Desk, now: Instant) {
        let Some(untold) = self.untold() else { return };
        let note = match untold.who {
            Who::Caller => "[not told of the recording, which has nothing of the caller]",
            Who::Successor => "[who took the call over was not told of the recording, which has nothing of theirs]",
        };
        desk.log.transcript.note(note.to_owned(), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_carries_the_notice_though_a_word_was_misheard_and_another_sentence_does_not() {
        let notice = "Esta ligação será gravada.";
        for text in ["Olá! Esta ligação será gravada, viu?", "esta ligação sera gravada", "ESTA LIGAÇÃO SERÁ GRAVADA"]
        {
            assert!(says(text, notice), "{text}");
        }
        for text in ["Atendemos das oito às dezoito.", "Esta é a recepção.", ""] {
            assert!(!says(text, notice), "{text}");
        }
        assert!(says("この通話は録音されます、もしもし", "この通話は録音されます。"), "without spaces, too");
    }

    #[test]
    fn a_notice_was_heard_where_the_first_message_lasted_long_enough_for_it() {
        let untold = Untold::new("This call is recorded.".to_owned());
        let ms = Duration::from_millis;
        for (played, fate, heard) in
            [(2_100, Fate::Cut, false), (2_200, Fate::Cut, true), (500, Fate::Whole, false), (1_200, Fate::Whole, true)]
        {
            assert_eq!(untold.was_heard(ms(played), fate), heard, "{played} ms {fate:?}");
        }
    }
}
