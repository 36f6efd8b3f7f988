//! Whose turn it is to speak: what becomes of the assistant when the caller is heard.
use super::{Desk, Event, Live, Phase};
use media::Speech;
use std::time::Instant;

impl Live {
    /// The detector changed its mind about the caller.
    pub(super) fn on_speech(&mut self, speech: Speech, desk: &mut Desk, now: Instant) {
        if !self.with_the_caller() {
            return;
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
                self.caller_began(now);
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
                self.kept.speech_ended();
                if self.media.playing().is_none() {
                    self.unanswered = Some(last_voice);
                    self.turn_heard(last_voice, desk, now);
                }
                desk.log.transcript.caller_stopped(last_voice);
            }
        }
        if self.hears() {
            self.provider.handle_speech(speech, now);
        }
    }

    /// The caller is known to speak, to our detector or to the provider.
    pub(super) fn caller_began(&mut self, now: Instant) {
        self.kept.speech_began();
        self.debt.caller_speaks(now);
    }

    /// Cuts the assistant off, if it speaks and may be interrupted. No await between this and silence.
    pub(super) fn barge_in(&mut self, desk: &mut Desk, now: Instant) {
        if !matches!(self.phase, Phase::Talking) {
            return;
        }
        let Some(heard) = self.media.cut(now) else { return };
        desk.log.transcript.cut(heard, now);
        self.cut = Some(heard.utterance);
        self.open = None;
        self.provider.interrupt(heard, now);
        desk.emit(Event::BargeIn(heard));
    }
}
