//! Non-INVITE client transaction: RFC 3261 §17.1.2, figure 6.
use super::{
    Due, Verdict,
    timer::{Deadline, Repeat, T1_64, T2, T4, earliest, linger},
};
use crate::transport::Transport;
use std::time::Instant;

/// The machine; the message it repeats is kept by its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientOther {
    transport: Transport,
    /// When the first response is no longer waited for, where there is another server to turn to.
    expected_by: Option<Instant>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Sent; timers E and F run.
    Trying {
        timer_e: Option<Repeat>,
        timer_f: Instant,
    },
    /// A provisional response came; timer E goes on, slowly.
    Proceeding {
        timer_e: Option<Repeat>,
        timer_f: Instant,
    },
    /// Answered; repeated answers are absorbed until timer K.
    Completed {
        timer_k: Instant,
    },
    Terminated,
}

impl ClientOther {
    /// The request has just been sent.
    pub(crate) fn new(transport: Transport, now: Instant) -> Self {
        let timer_e = Repeat::on(transport, T2, now);
        Self { transport, expected_by: None, state: State::Trying { timer_e, timer_f: now + T1_64 } }
    }

    /// A response that matches.
    pub(crate) fn handle_response(&mut self, status: u16, now: Instant) -> Verdict {
        match (self.state, status) {
            (State::Trying { mut timer_e, timer_f }, ..200) => {
                if let Some(timer_e) = &mut timer_e {
                    timer_e.slow_down();
                }
                self.state = State::Proceeding { timer_e, timer_f };
                Verdict::Pass
            }
            (State::Proceeding { .. }, ..200) => Verdict::Pass,
            (State::Trying { .. } | State::Proceeding { .. }, 200..) => {
                self.state = State::Completed { timer_k: now + linger(self.transport, T4) };
                Verdict::Pass
            }
            (State::Completed { .. } | State::Terminated, _) => Verdict::Absorb,
        }
    }

    /// With another server to turn to, no more than this is waited for the first response. It leaves timer F as it is.
    pub(crate) fn expect_by(&mut self, at: Instant) {
        self.expected_by = Some(at);
    }

    /// Whether a final response is still to come.
    pub(crate) fn is_pending(&self) -> bool {
        matches!(self.state, State::Trying { .. } | State::Proceeding { .. })
    }

    /// Advances time.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Due {
        match &mut self.state {
            State::Trying { .. } if self.expected_by.is_some_and(|at| at <= now) => {
                self.state = State::Terminated;
                Due::TimedOut
            }
            State::Trying { timer_f, .. } | State::Proceeding { timer_f, .. } if *timer_f <= now => {
                self.state = State::Terminated;
                Due::TimedOut
            }
            State::Trying { timer_e, .. } | State::Proceeding { timer_e, .. } => {
                Due::resend_if(timer_e.as_mut().is_some_and(|e| e.take_due(now)))
            }
            State::Completed { timer_k } if *timer_k <= now => {
                self.state = State::Terminated;
                Due::Over
            }
            State::Terminated => Due::Over,
            State::Completed { .. } => Due::Nothing,
        }
    }

    /// The next deadline.
    pub(crate) fn poll_timeout(&self) -> Option<Deadline> {
        match self.state {
            State::Trying { timer_e, timer_f } => earliest([
                timer_e.map(|e| (e.at(), "timer E")),
                Some((timer_f, "timer F")),
                self.expected_by.map(|at| (at, "first response")),
            ]),
            State::Proceeding { timer_e, timer_f } => {
                earliest([timer_e.map(|e| (e.at(), "timer E")), Some((timer_f, "timer F"))])
            }
            State::Completed { timer_k } => Some((timer_k, "timer K")),
            State::Terminated => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::timer::epoch, *};
    use crate::transaction::walk;

    #[test]
    fn timers_e_and_f_over_udp_and_tcp() {
        let start = epoch();
        let udp = vec![500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
        for (transport, expected) in [(Transport::Udp, udp), (Transport::Tcp, vec![])] {
            let mut machine = ClientOther::new(transport, start);
            let walk = walk(&mut machine, start, ClientOther::poll_timeout, ClientOther::handle_timeout);
            assert_eq!(walk, (expected, Due::TimedOut, 32_000));
        }
    }

    #[test]
    fn a_provisional_slows_timer_e_to_t2() {
        let start = epoch();
        let mut machine = ClientOther::new(Transport::Udp, start);
        assert_eq!(machine.handle_response(100, start), Verdict::Pass);
        let walk = walk(&mut machine, start, ClientOther::poll_timeout, ClientOther::handle_timeout);
        let slow = vec![500, 4500, 8500, 12_500, 16_500, 20_500, 24_500, 28_500];
        // Timer F goes on as it was.
        assert_eq!(walk, (slow, Due::TimedOut, 32_000));
    }

    #[test]
    fn timer_k_absorbs_repeated_answers() {
        let start = epoch();
        for (transport, lingers) in [(Transport::Udp, 5000), (Transport::Tcp, 0)] {
            let mut machine = ClientOther::new(transport, start);
            assert_eq!(machine.handle_response(200, start), Verdict::Pass);
            assert!(!machine.is_pending());
            assert_eq!(machine.handle_response(200, start), Verdict::Absorb);
            let walk = walk(&mut machine, start, ClientOther::poll_timeout, ClientOther::handle_timeout);
            assert_eq!(walk, (vec![], Due::Over, lingers));
        }
    }
}
