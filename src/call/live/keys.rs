//! The caller's keys in a call with audio: what they cut off, choose, and tell the assistant. None of it waits for a
//! model, so it works when the model is dead.
use super::{Assistant, Desk, Event, Flow, GO_ON, Live, Phase, Step, Transfer};
use crate::{call::keypad::Typed, record::Outcome, secretary::KeyAction};
use providers::Note;
use std::time::Instant;

impl Live {
    /// A key was pressed. Nobody's, while the caller is being handed over or said goodbye to.
    pub(super) fn on_key(&mut self, key: char, desk: &mut Desk, now: Instant) -> Flow {
        desk.emit(Event::Dtmf(key));
        let hidden = self.pause_for_key(desk, now);
        if !matches!(self.phase, Phase::Talking) {
            return GO_ON;
        }
        if self.keypad.keys().barge_in {
            self.barge_in(desk, now);
        }
        if let Assistant::Gone { keys_until: Some(until), .. } = &mut self.assistant {
            *until = now + desk.settings.menu_deadline;
        }
        if hidden {
            self.keypad.hide();
        }
        let typed = self.keypad.press(key, self.provider.keys_taken(), now);
        self.on_typed(typed, desk, now)
    }

    pub(super) fn on_typed(&mut self, typed: Typed, desk: &mut Desk, now: Instant) -> Flow {
        let (keys, action) = match typed {
            Typed::Unfinished => return GO_ON,
            Typed::Chosen(keys, action) => (keys, Some(action)),
            Typed::Entry(keys) => (keys, None),
        };
        let shown = self.keypad.shown(&keys);
        desk.log.transcript.note(format!("[DTMF {shown}]"), now);
        if !matches!(self.phase, Phase::Talking) {
            return GO_ON;
        }
        match action {
            None => self.tell(&keys, now),
            Some(KeyAction::Assistant) => {
                self.keypad.listen_as_assistant();
                self.tell(&keys, now);
            }
            Some(KeyAction::Transfer { name, destination }) => {
                self.barge_in(desk, now);
                self.phase = Phase::Transferring(Transfer { name, destination, step: Step::Referred { at: now } });
                self.refer(desk, now);
            }
            Some(KeyAction::Say(text)) => self.say(Some(text), desk, now),
            Some(KeyAction::Repeat) => self.say(self.keypad.keys().announcement.clone(), desk, now),
            Some(KeyAction::HangUp) => {
                self.barge_in(desk, now);
                self.close_when_silent(Outcome::Completed, "the caller ended the call by a key", desk, now);
                return self.when_silent(desk, now);
            }
        }
        GO_ON
    }

    fn tell(&mut self, keys: &str, now: Instant) {
        if self.assistant == Assistant::Present {
            self.unanswered = Some(now);
            self.provider.handle_keys(keys, now);
        } else {
            self.keypad.listen_as_menu();
        }
    }

    fn say(&mut self, text: Option<String>, desk: &mut Desk, now: Instant) {
        let Some(text) = text.filter(|_| self.assistant == Assistant::Present) else { return };
        self.barge_in(desk, now);
        self.unanswered = Some(now);
        self.provider.inform(Note::Say { text }, now);
    }
}

/// The digit in an INFO body: `application/dtmf-relay` (`Signal=5`) or `application/dtmf` (`5`).
pub(super) fn of_info(content_type: &str, body: &[u8]) -> Option<char> {
    let body = std::str::from_utf8(body).ok()?;
    let signal = match content_type {
        "application/dtmf" => body.trim(),
        "application/dtmf-relay" => body.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            key.trim().eq_ignore_ascii_case("signal").then_some(value.trim())
        })?,
        _ => return None,
    };
    match signal {
        "10" => Some('*'),
        "11" => Some('#'),
        _ => signal.chars().next().map(|c| c.to_ascii_uppercase()).filter(|c| "0123456789*#ABCD".contains(*c)),
    }
}
