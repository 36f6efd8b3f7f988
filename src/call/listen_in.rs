//! Who listens in on a call: its sound leaves by the same blocks as its recording, and its record says who heard it.
//!
//! A call that is recorded has one tape for both, so that a pause is one for the listener, too. One that is not is taped
//! for as long as somebody listens, and nothing of it is kept.
use super::{Call, Desk, Event, NotDone, State, live::Live};
use media::SampleRate;
use std::time::Instant;

/// Times that somebody listened to one call: one that cannot be written down is refused.
const MOST: usize = 64;
/// Listeners at once.
const AT_ONCE: usize = 4;

/// One time that somebody listens to a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenerId(pub(super) usize);

impl Call {
    /// Somebody wants to hear both sides from now on, at the rate that is returned.
    ///
    /// # Errors
    /// Nobody may, too many do, or there is nothing to hear.
    pub fn handle_listener(&mut self, who: &str, now: Instant) -> Result<(ListenerId, SampleRate), NotDone> {
        if !self.desk.settings.listen_in {
            return Err(NotDone::NotAllowed);
        }
        let state = self.standing().ok_or(NotDone::Over)?.state;
        let State::Live(live) = &mut self.state else { return Err(NotDone::NotNow(state)) };
        let log = &mut self.desk.log;
        let id = if log.listeners() < AT_ONCE { log.listens(who, MOST, now) } else { None };
        let id = id.ok_or(NotDone::TooMany)?;
        let rate = live.tape_for_listeners(&self.desk);
        self.desk.emit(Event::ListenedTo { who: who.to_owned(), begins: true });
        Ok((id, rate))
    }

    /// One who listened does so no more.
    pub fn handle_listener_gone(&mut self, id: ListenerId, now: Instant) {
        let State::Live(live) = &mut self.state else { return }; // who hears the end, heard the whole
        let Some(who) = self.desk.log.listened(id, now) else { return };
        self.desk.emit(Event::ListenedTo { who, begins: false });
        if self.desk.log.listeners() == 0 {
            live.untape();
        }
    }

    /// Whether this call is, or was, recorded: blocks of one that is not are for its listeners alone.
    pub fn is_recorded(&self) -> bool {
        match &self.state {
            State::Live(live) => live.recorded.is_some(),
            State::Ringing(_) | State::Offering(_) | State::Over => self.desk.log.is_recorded(),
        }
    }
}

impl Live {
    fn tape_for_listeners(&mut self, desk: &Desk) -> SampleRate {
        if self.media.tape().is_none() {
            self.media.record(desk.settings.recording.blank);
        }
        self.media.tape().map_or(SampleRate::HZ_8000, |tape| tape.rate())
    }

    /// Nobody listens, and where there is no recording either, nothing is taped.
    fn untape(&mut self) {
        if self.recorded.is_none() {
            self.media.finish_recording();
        }
    }
}
