//! Whether a call is recorded, and when its recording pauses.
//!
//! It pauses while anybody wants it to: a person at the control socket, the assistant, or keys that were just pressed.
use super::{
    Call, Desk, Event, RecordingNow, State,
    live::{Live, Untold},
};
use crate::record::Conversation;
use media::recording::{Blank, Block};
use providers::{Respond, ToolCallId};
use serde_json::json;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// A press is known when it ends or after its first packets; what sounded before is blanked as well.
const LEAD: Duration = Duration::from_millis(300);

/// How calls are recorded, unless their secretary says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// Whether they are.
    pub enabled: bool,
    /// What is heard in a pause.
    pub blank: Blank,
    /// It pauses when the caller presses a key, until so long after the last was let go; `None` if it does not.
    pub pause_on_dtmf: Option<Duration>,
    /// What a caller who is recorded is told first; nothing of theirs is recorded before they have heard it.
    pub notice: Option<String>,
}

/// What a recording is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nothing is recorded until it is told to go on.
    Pause,
    /// It goes on.
    Resume,
}

/// Who wants a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum By {
    /// Somebody at the control socket.
    Operator,
    /// The assistant, by a tool.
    Assistant,
    /// The caller, who presses keys.
    Keys,
}

/// A recording in progress, as the call sees it.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    wanted: BTreeSet<By>,
    /// When the keys have been still for long enough.
    keys_until: Option<Instant>,
    /// What the caller has yet to hear before anything of theirs is recorded.
    pub(super) untold: Option<Untold>,
}

impl Call {
    /// The next block of the recording.
    pub fn poll_recorded(&mut self) -> Option<Block> {
        match &mut self.state {
            State::Live(live) => live.media.poll_recorded(),
            State::Ringing(_) | State::Offering(_) | State::Over => self.desk.recorded.pop_front(),
        }
    }

    /// The record of this call if the process dies from now on, and nobody is left to make it.
    pub fn unfinished(&self, now: Instant) -> Conversation {
        self.desk.log.unfinished(now)
    }

    /// Somebody wants the recording to pause or to go on. False if this call is not being recorded.
    pub fn handle_recording(&mut self, order: Order, now: Instant) -> bool {
        let State::Live(live) = &mut self.state else { return false };
        live.order_recording(By::Operator, order, &mut self.desk, now)
    }
}

impl Live {
    /// Whether it is recorded, and goes on.
    pub(super) fn kept(&self) -> RecordingNow {
        match &self.recorded {
            None => RecordingNow::No,
            Some(recorded) if recorded.wanted.is_empty() => RecordingNow::Yes,
            Some(_) => RecordingNow::Paused,
        }
    }

    /// Begins to record, if this call is to be.
    pub(super) fn start_recording(&mut self, desk: &Desk) {
        if desk.secretary.recording.unwrap_or(desk.settings.recording.enabled) {
            self.media.record(desk.settings.recording.blank);
            let untold = desk.settings.recording.notice.clone().map(Untold::new);
            if let Some(tape) = self.media.tape().filter(|_| untold.is_some()) {
                tape.withhold_caller();
            }
            self.recorded = Some(Recorded { untold, ..Recorded::default() });
        }
    }

    /// False if there is no recording.
    fn order_recording(&mut self, by: By, order: Order, desk: &mut Desk, now: Instant) -> bool {
        let Some(recorded) = &mut self.recorded else { return false };
        match order {
            Order::Pause => recorded.wanted.insert(by),
            Order::Resume => recorded.wanted.remove(&by),
        };
        self.obey(Duration::ZERO, desk, now);
        true
    }

    /// The assistant calls `pause_recording` or `resume_recording`.
    pub(super) fn on_recording_tool(&mut self, id: ToolCallId, order: Order, desk: &mut Desk, now: Instant) {
        let allowed = desk.secretary.recording_pause;
        let output = match allowed && self.order_recording(By::Assistant, order, desk, now) {
            true => json!({"status": if order == Order::Pause { "paused" } else { "recording" }}),
            false => json!({"status": "refused", "reason": "this call's recording is not yours to pause"}),
        };
        self.provider.answer_tool(id, output.to_string(), Respond::Yes, now);
    }

    /// The caller pressed a key. True if the recording pauses, and nobody is to read which.
    pub(super) fn pause_for_key(&mut self, desk: &mut Desk, now: Instant) -> bool {
        let Some(recorded) = &mut self.recorded else { return false };
        if let Some(after) = desk.settings.recording.pause_on_dtmf {
            recorded.keys_until = Some(now + after);
            recorded.wanted.insert(By::Keys);
            self.obey(LEAD, desk, now);
        }
        self.media.tape().is_some_and(|tape| tape.is_paused())
    }

    /// When the keys have been still for long enough.
    pub(super) fn recording_deadline(&self) -> Option<(Instant, &'static str)> {
        let until = self.recorded.as_ref()?.keys_until?;
        Some((until, "recording goes on after keys"))
    }

    /// The keys have been still for long enough, unless the last was held meanwhile: a press is told when it begins.
    pub(super) fn resume_after_keys(&mut self, desk: &mut Desk, now: Instant) {
        let held = self.media.keys_heard_at().zip(desk.settings.recording.pause_on_dtmf);
        let until = held.map(|(heard, after)| heard + after).filter(|until| now < *until);
        if let Some(recorded) = self.recorded.as_mut().filter(|r| r.keys_until.is_some_and(|until| until <= now)) {
            recorded.keys_until = until;
            if until.is_none() {
                recorded.wanted.remove(&By::Keys);
                self.obey(Duration::ZERO, desk, now);
            }
        }
    }

    /// The call ends: the last blocks wait for the driver, and the record says what was recorded. What was taped for
    /// listeners alone is in no record.
    pub(super) fn finish_recording(&mut self, desk: &mut Desk, now: Instant) {
        self.note_untold(desk, now);
        while let Some(block) = self.media.poll_recorded() {
            desk.recorded.push_back(block);
        }
        if let Some((blocks, summary)) = self.media.finish_recording() {
            desk.recorded.extend(blocks);
            if self.recorded.is_some() {
                if !summary.displaced.is_zero() {
                    let lacking = summary.displaced.as_millis();
                    let cause = format!("the recording lacks {lacking} ms of the caller, who came too fast for it");
                    desk.emit(Event::Warning(cause));
                }
                desk.log.recorded(summary);
            }
        }
    }

    fn obey(&mut self, lead: Duration, desk: &mut Desk, now: Instant) {
        let (Some(recorded), Some(tape)) = (&self.recorded, self.media.tape()) else { return };
        let order = match (recorded.wanted.is_empty(), tape.is_paused()) {
            (false, false) => {
                tape.pause(lead);
                desk.log.transcript.pause(now.checked_sub(lead).unwrap_or(now));
                Order::Pause
            }
            (true, true) => {
                tape.resume();
                desk.log.transcript.resume(now);
                Order::Resume
            }
            (true, false) | (false, true) => return,
        };
        let note = match order {
            Order::Pause => "[recording paused]",
            Order::Resume => "[recording resumed]",
        };
        desk.log.transcript.note(note.to_owned(), now);
        desk.emit(Event::Recording(order));
    }
}
