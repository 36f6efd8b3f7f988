//! The caller's keys in a call with audio: what they cut off, choose, and tell the assistant. None of it waits for a
//! model, so it works when the model is dead.
use super::{Assistant, Desk, Event, Flow, GO_ON, Live, Phase, Step, Transfer, Whom};
use crate::{
    call::{keypad::Typed, rung::Occasion},
    dtmf,
    record::Outcome,
    secretary::KeyAction,
};
use media::dtmf::Told;
use providers::{Note, Respond, ToolCallId};
use serde_json::json;
use std::time::Instant;

impl Live {
    /// Believes the caller's keys as is said of this phone system.
    pub(super) fn mind_keys(&mut self, desk: &Desk) {
        let believed = desk.settings.dtmf.believed();
        if believed.map_or(desk.settings.listening.inband_dtmf, |only| only == Told::Tone) {
            self.media.listen_for_tones();
        }
        if let Some(only) = believed {
            self.media.believe_keys(only);
        }
    }

    /// The assistant presses keys, by a tool, as where a door has to be opened.
    pub(super) fn on_press_tool(&mut self, id: ToolCallId, keys: &str, desk: &mut Desk, now: Instant) {
        let refusal = match desk.settings.dtmf.way_out(self.negotiated.telephone_event.is_some()) {
            _ if !self.keypad.keys().may_press => Some("this call's keys are not yours to press"),
            None => Some("the other side takes no telephone-events"),
            Some(way) if self.send_keys(keys, way, desk, now) => None,
            Some(_) => Some("too many keys are still on their way; wait until they have been pressed"),
        };
        let output = match refusal {
            None => json!({"status": "pressed"}),
            Some(reason) => json!({"status": "refused", "reason": reason}),
        };
        self.provider.answer_tool(id, output.to_string(), Respond::Yes, now);
    }

    /// False if they cannot be sent.
    fn send_keys(&mut self, keys: &str, way: Told, desk: &mut Desk, now: Instant) -> bool {
        let taken = match way {
            Told::Event => self.media.send_dtmf(keys, now),
            Told::Tone => self.media.send_tones(keys, now),
            Told::Info => self.relay.press(keys),
        };
        if !taken {
            return false;
        }
        self.relay_keys(desk, now);
        let hidden = self.keypad.keys().masked || self.media.tape().is_some_and(|tape| tape.is_paused());
        let shown = if hidden { "*".repeat(keys.len()) } else { keys.to_owned() };
        desk.log.transcript.note(format!("[DTMF {shown} sent]"), now);
        true
    }

    /// The key that is to go out by INFO, if it is time.
    pub(super) fn relay_keys(&mut self, desk: &mut Desk, now: Instant) {
        let Some((key, info)) = self.relay.poll(desk.leg, now) else { return };
        self.media.sounds_elsewhere(key, now + dtmf::SOUNDS_WITHIN, now);
        desk.commands.push_back(info);
    }

    /// Whether keys of ours are on their way: a BYE or a REFER would cut them short.
    pub(super) fn is_pressing(&self) -> bool {
        self.media.is_pressing() || self.relay.is_pressing()
    }

    /// A key was pressed. Nobody's, while the caller is being handed over or said goodbye to.
    pub(super) fn on_key(&mut self, key: char, desk: &mut Desk, now: Instant) -> Flow {
        desk.emit(Event::Dtmf(key));
        let hidden = self.pause_for_key(desk, now);
        if !matches!(self.phase, Phase::Talking) {
            return GO_ON;
        }
        desk.lookups.broke_off();
        if self.keypad.keys().barge_in {
            self.barge_in(desk, now);
        }
        self.wait_for_keys(desk, now);
        if hidden {
            self.keypad.hide();
        }
        let typed = self.keypad.press(key, self.provider.keys_taken(), now);
        self.on_typed(typed, desk, now)
    }

    /// What was typed is complete when no more came in time.
    pub(super) fn mind_typed(&mut self, desk: &mut Desk, now: Instant) -> Flow {
        if self.typed_by().is_none_or(|(by, _)| by > now) {
            return GO_ON;
        }
        let typed = self.keypad.handle_timeout(now);
        self.on_typed(typed, desk, now)
    }

    /// When that is; never while the call is held, as nothing can be pressed.
    pub(super) fn typed_by(&self) -> Option<(Instant, &'static str)> {
        let complete = self.keypad.deadline().filter(|_| !self.is_held())?;
        Some((complete, "next key of an entry"))
    }

    fn on_typed(&mut self, typed: Typed, desk: &mut Desk, now: Instant) -> Flow {
        let (keys, action) = match typed {
            Typed::Unfinished => return GO_ON,
            Typed::Chosen(keys, action) => (keys, Some(action)),
            Typed::Entry(keys) => (keys, None),
        };
        let shown = format!("[DTMF {}]", self.keypad.shown(&keys));
        // What the secretary's own menu does is none of the assistant's business.
        match action {
            None | Some(KeyAction::Assistant) => desk.log.transcript.typed(shown, now),
            Some(_) => desk.log.transcript.note(shown, now),
        }
        if !matches!(self.phase, Phase::Talking) {
            return GO_ON;
        }
        match action {
            None => self.tell(&keys, desk, now),
            Some(KeyAction::Assistant) => {
                self.keypad.listen_as_assistant();
                self.tell(&keys, desk, now);
            }
            Some(KeyAction::Transfer { name, destination }) => {
                self.barge_in(desk, now);
                let (whom, step) = (Whom::Rule(name), Step::Referred { at: now });
                self.phase = Phase::Transferring(Transfer { whom, destination, step });
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

    fn tell(&mut self, keys: &str, desk: &Desk, now: Instant) {
        self.begun = true;
        if !matches!(self.assistant, Assistant::Gone { .. }) {
            self.unanswered = None;
            self.asked(now);
        }
        match &mut self.assistant {
            Assistant::Present => {
                self.want_answer(desk.settings.ladder.answer, desk, now);
                self.provider.handle_keys(keys, now);
            }
            Assistant::Replacing(replacing) => replacing.press(keys),
            Assistant::Gone { .. } => self.keypad.listen_as_menu(),
        }
    }

    fn say(&mut self, text: Option<String>, desk: &mut Desk, now: Instant) {
        let Some(text) = text.filter(|_| self.can_speak()) else { return };
        self.barge_in(desk, now);
        self.unanswered = None;
        self.asked(now);
        self.provider.inform(Note::Say { text }, now);
    }

    /// The assistant is gone, and the secretary's keys lead the caller out: a voice of this process says so, if there is one.
    pub(super) fn fall_back_on_keys(&mut self, cause: String, desk: &mut Desk, now: Instant) {
        desk.emit(Event::Warning(cause.clone()));
        self.keypad.listen_as_menu();
        if let Some(utterance) = self.open.take() {
            self.media.finish(utterance, now);
        }
        let voice = self.stand_in(Occasion::Menu, desk);
        let keys_until = Some(now + desk.settings.menu_deadline);
        self.assistant = Assistant::Gone { why: cause, keys_until, voice };
    }

    /// Where a key of the menu is all there is, the caller has the whole time for it once everything is said.
    pub(super) fn wait_for_keys(&mut self, desk: &Desk, now: Instant) {
        let said = now + self.media.queued();
        if let Assistant::Gone { keys_until: Some(until), .. } = &mut self.assistant {
            *until = said + desk.settings.menu_deadline;
        }
    }

    /// The caller whose assistant is gone chose nothing from the menu.
    pub(super) fn no_key(&mut self, desk: &mut Desk, now: Instant) -> Flow {
        let Assistant::Gone { why, keys_until, .. } = &mut self.assistant else { return GO_ON };
        *keys_until = None;
        let cause = format!("{why}; the caller pressed no key of the menu");
        self.without_assistant(cause, desk, now)
    }

    /// When that is certain; never while the call is held.
    pub(super) fn keys_until(&self) -> Option<Instant> {
        match &self.assistant {
            Assistant::Gone { keys_until, .. } if !self.is_held() => *keys_until,
            Assistant::Present | Assistant::Replacing(_) | Assistant::Gone { .. } => None,
        }
    }

    pub(super) const fn can_speak(&self) -> bool {
        matches!(self.assistant, Assistant::Present | Assistant::Gone { voice: true, .. })
    }
}
