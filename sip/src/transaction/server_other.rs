//! Non-INVITE server transaction: RFC 3261 §17.2.2, figure 8.
use super::{
    Due, Repeated,
    timer::{Deadline, T1_64, linger},
};
use crate::transport::Transport;
use std::time::Instant;

/// The machine; the response it repeats is kept by its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerOther {
    transport: Transport,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No answer yet: a repeated request is absorbed. Of our methods only UPDATE waits here.
    Trying,
    /// Answered; a repeated request gets the answer again until timer J.
    Completed {
        timer_j: Instant,
    },
    Terminated,
}

impl ServerOther {
    /// A request came.
    pub(crate) fn new(transport: Transport) -> Self {
        Self { transport, state: State::Trying }
    }

    /// The same request came again.
    pub(crate) fn handle_repeated(&self) -> Repeated {
        match self.state {
            State::Completed { .. } => Repeated::Resend,
            State::Trying | State::Terminated => Repeated::Absorb,
        }
    }

    /// A final response goes out. `false` if there has been one.
    pub(crate) fn respond(&mut self, now: Instant) -> bool {
        if self.state != State::Trying {
            return false;
        }
        self.state = State::Completed { timer_j: now + linger(self.transport, T1_64) };
        true
    }

    /// Whether a final response is still ours to give.
    pub(crate) fn is_pending(&self) -> bool {
        self.state == State::Trying
    }

    /// Advances time.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Due {
        match self.state {
            State::Completed { timer_j } if timer_j <= now => {
                self.state = State::Terminated;
                Due::Over
            }
            State::Terminated => Due::Over,
            State::Trying | State::Completed { .. } => Due::Nothing,
        }
    }

    /// The next deadline.
    pub(crate) fn poll_timeout(&self) -> Option<Deadline> {
        match self.state {
            State::Completed { timer_j } => Some((timer_j, "timer J")),
            State::Trying | State::Terminated => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::timer::epoch, *};
    use crate::transaction::walk;

    #[test]
    fn the_answer_is_repeated_until_timer_j() {
        let start = epoch();
        for (transport, linger) in [(Transport::Udp, 32_000), (Transport::Tcp, 0)] {
            let mut machine = ServerOther::new(transport);
            assert_eq!(machine.handle_repeated(), Repeated::Absorb);
            assert!(machine.respond(start));
            assert!(!machine.respond(start));
            assert_eq!(machine.handle_repeated(), Repeated::Resend);
            let walk = walk(&mut machine, start, ServerOther::poll_timeout, ServerOther::handle_timeout);
            assert_eq!(walk, (vec![], Due::Over, linger));
        }
    }
}
