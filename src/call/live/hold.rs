//! While the call is held nobody hears anybody: no answer is missed, no key can be pressed, and what can wait is not
//! said.
use super::{Desk, Event, Hold, Live};
use providers::Line;
use std::time::Instant;

impl Live {
    /// Whether the peer holds the call.
    pub(in crate::call) fn is_held(&self) -> bool {
        self.hold == Hold::Held
    }

    /// The two sides agreed on this, perhaps once more.
    pub(super) fn agreed_on(&mut self, hold: Hold, desk: &mut Desk, now: Instant) {
        if std::mem::replace(&mut self.hold, hold) == hold {
            return;
        }
        desk.emit(Event::Hold(hold));
        self.tell_line(now);
        match hold {
            Hold::Held => {}
            Hold::Resumed => self.off_hold(desk, now),
        }
    }

    /// A provider that minds how long a caller says nothing is to know whether anybody hears anybody.
    pub(in crate::call) fn tell_line(&mut self, now: Instant) {
        let line = if self.is_held() { Line::Held } else { Line::Open };
        self.provider.handle_line(line, now);
    }

    /// The caller holds the call no more. What they could not do meanwhile has its whole time again, and so has an
    /// answer that they could not hear.
    fn off_hold(&mut self, desk: &Desk, now: Instant) {
        self.keypad.wait_anew(now);
        self.wait_for_keys(desk, now);
        self.debt.put_off(now + desk.settings.ladder.answer);
        self.debt.resumed(now);
    }
}
