//! A 2xx to an INVITE, repeated until its ACK: RFC 3261 §13.3.1.4. This is the user's work, over streams too.
use crate::{
    transaction::timer::{Deadline, Repeat, T1_64, T2},
    transport::Transmit,
};
use std::time::Instant;

/// A 2xx that waits for its ACK.
#[derive(Clone, Debug)]
pub(crate) struct Unacknowledged {
    ok: Transmit,
    cseq: u32,
    repeat: Repeat,
    give_up: Instant,
}

/// What a waiting 2xx wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// Nothing yet.
    Nothing,
    /// To be sent again.
    Resend(Transmit),
    /// 64·T1 are over.
    GiveUp,
}

impl Unacknowledged {
    /// These bytes went out as the 2xx of the INVITE with this number.
    pub(crate) fn new(ok: Transmit, cseq: u32, now: Instant) -> Self {
        Self { ok, cseq, repeat: Repeat::new(T2, now), give_up: now + T1_64 }
    }

    /// Whether an ACK with this number is the one.
    pub(crate) fn is_for(&self, cseq: u32) -> bool {
        self.cseq == cseq
    }

    /// Advances time.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Overdue {
        if self.give_up <= now {
            return Overdue::GiveUp;
        }
        if self.repeat.take_due(now) { Overdue::Resend(self.ok.clone()) } else { Overdue::Nothing }
    }

    /// The next deadline.
    pub(crate) fn poll_timeout(&self) -> Deadline {
        (self.repeat.at(), "2xx again").min((self.give_up, "ACK of a 2xx"))
    }
}
