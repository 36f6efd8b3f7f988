//! Whose turn it is to speak: what becomes of the assistant when the caller is heard.
use super::{DIP, Desk, Event, Fate, Live, Phase};
use media::Speech;
use std::time::Instant;

impl Live {
    /// The detector changed its mind about the caller.
    pub(super) fn on_speech(&mut self, speech: Speech, desk: &mut Desk, now: Instant) {
        if let Speech::Ended { .. } = speech {
            self.speaking = false;
            self.kept.speech_ended();
        }
        if !self.with_the_caller() {
            // What was said to somebody else wants no answer of ours.
            self.kept.withhold(speech);
            return self.debt.turn_passed();
        }
        if matches!(speech, Speech::Suspected | Speech::Confirmed) {
            self.hush(now);
        }
        match speech {
            Speech::Suspected => self.media.duck(now),
            Speech::Refuted => self.media.resume(now),
            Speech::Yielded => {
                self.media.resume(now);
                self.wait_for_keys(desk, now);
            }
            Speech::Confirmed => {
                desk.log.transcript.caller_speaks(now);
                self.speaking = true;
                self.caller_began(desk, now);
                desk.emit(Event::CallerSpeaks);
                if matches!(self.phase, Phase::Talking) {
                    self.media.pause(now);
                }
            }
            Speech::Insisted => {
                self.barge_in(desk, now);
                self.media.resume(now);
            }
            Speech::Ended { last_voice } => {
                self.media.resume(now);
                self.wait_for_keys(desk, now);
                // While she goes on with what she was saying, nothing is answered.
                if self.media.playing().is_none() {
                    self.asked(last_voice);
                    self.unanswered = Some(last_voice);
                    self.turn_heard(last_voice, desk, now);
                } else {
                    self.debt.turn_passed();
                }
                desk.log.transcript.caller_stopped(last_voice);
            }
        }
        // Whoever answers a turn at its end is to have this in mind: it is one answer to both.
        while self.tell_found(desk, now) {}
        if self.hears() {
            self.provider.handle_speech(speech, now);
        }
    }

    /// The caller is with us again. A provider that hears by our detector may believe that they speak since they went.
    pub(super) fn caller_is_back(&mut self, now: Instant) {
        self.filler.tones.put_off(now);
        let withheld = self.kept.take_withheld();
        if let Some(speech) = withheld.filter(|_| self.hears()) {
            self.provider.handle_speech(speech, now);
        }
    }

    /// Whether the caller has stopped for our detector as well, whose last voice was then: servers tell of every dip, and
    /// may be sooner than the silence it waits out.
    pub(super) fn is_quiet(&self, last_voice: Instant, now: Instant) -> bool {
        !self.speaking || now.saturating_duration_since(last_voice) >= DIP
    }

    /// The provider's next utterance is about to begin. One that finds turns alone may be sooner than the silence that
    /// our detector waits out, which takes the word for the caller's until then, and would not tell of who speaks over
    /// the answer.
    pub(super) fn answers(&mut self, desk: &Desk, now: Instant) {
        let stopped = self.media.last_voice().is_some_and(|voice| self.is_quiet(voice, now));
        if self.speaking && stopped && desk.rung.hears_turns() && self.media.playing().is_none() {
            self.media.answered();
        }
    }

    /// The caller waits for an answer since then, unless they do already.
    pub(super) fn asked(&mut self, at: Instant) {
        if self.unanswered.is_none() {
            self.unanswered = Some(at);
            self.debt.asked();
        }
    }

    /// The caller is known to speak, to our detector or to the provider.
    pub(super) fn caller_began(&mut self, desk: &mut Desk, now: Instant) {
        desk.lookups.broke_off();
        self.kept.speech_began();
        self.debt.caller_speaks(now);
    }

    /// The provider answers, or wrote the turn down: one that only it heard is over. Not all tell when.
    pub(super) fn goes_on(&mut self) {
        if !self.speaking {
            self.kept.speech_ended();
        }
    }

    /// Cuts the assistant off, if it speaks and may be interrupted. No await between this and silence.
    pub(super) fn barge_in(&mut self, desk: &mut Desk, now: Instant) {
        if !matches!(self.phase, Phase::Talking) {
            return;
        }
        self.hush(now);
        if let Some(heard) = self.media.cut(now) {
            desk.emit(Event::BargeIn(heard));
            self.open = None;
            for heard in [Some(heard), self.filler.unheard_behind(heard)].into_iter().flatten() {
                desk.log.transcript.cut(heard, now);
                self.cut = Some(heard.utterance);
                self.provider.interrupt(heard, now);
                self.notice_ended(heard, Fate::Cut, desk, now);
            }
        }
        // What was cut may have been another's, and its own have waited behind.
        self.provider.silenced(now);
    }
}
