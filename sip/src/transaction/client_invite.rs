//! INVITE client transaction: RFC 3261 §17.1.1, figure 5, with the Accepted state of RFC 6026 §7.2.
use super::{
    Due, Verdict,
    timer::{Deadline, Repeat, T1_64, TIMER_D, earliest, linger},
};
use crate::transport::Transport;
use std::time::Instant;

/// The machine; the message it repeats is kept by its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientInvite {
    transport: Transport,
    /// Set once nobody wants the answer.
    give_up: Option<Instant>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Sent; timers A and B run.
    Calling {
        timer_a: Option<Repeat>,
        timer_b: Instant,
    },
    /// A provisional response came. As long as it is wanted it may ring.
    Proceeding,
    /// Refused; retransmitted refusals are acknowledged again until timer D.
    Completed {
        timer_d: Instant,
    },
    /// Answered; retransmitted and forked answers go up until timer M.
    Accepted {
        timer_m: Instant,
    },
    Terminated,
}

impl ClientInvite {
    /// The INVITE has just been sent.
    pub(crate) fn new(transport: Transport, now: Instant) -> Self {
        let timer_a = Repeat::on(transport, T1_64, now);
        Self { transport, give_up: None, state: State::Calling { timer_a, timer_b: now + T1_64 } }
    }

    /// A response that matches.
    pub(crate) fn handle_response(&mut self, status: u16, now: Instant) -> Verdict {
        match (self.state, status) {
            (State::Calling { .. }, ..200) => {
                self.state = State::Proceeding;
                Verdict::Pass
            }
            (State::Proceeding, ..200) => Verdict::Pass,
            (State::Calling { .. } | State::Proceeding, 200..300) => {
                self.state = State::Accepted { timer_m: now + T1_64 };
                Verdict::Pass
            }
            (State::Calling { .. } | State::Proceeding, 300..) => {
                self.state = State::Completed { timer_d: now + linger(self.transport, TIMER_D) };
                Verdict::PassAndAcknowledge
            }
            (State::Completed { .. }, 300..) => Verdict::Acknowledge,
            (State::Accepted { .. }, 200..300) => Verdict::Pass,
            (State::Completed { .. } | State::Accepted { .. } | State::Terminated, _) => Verdict::Absorb,
        }
    }

    /// With another server to turn to, no more than this is waited for the first response: timer B, shortened.
    pub(crate) fn expect_by(&mut self, at: Instant) {
        if let State::Calling { timer_b, .. } = &mut self.state {
            *timer_b = at.min(*timer_b);
        }
    }

    /// Whether a CANCEL may be sent: RFC 3261 §9.1, only after a provisional response and before a final one.
    pub(crate) fn may_cancel(&self) -> bool {
        matches!(self.state, State::Proceeding)
    }

    /// Whether a final response is still to come.
    pub(crate) fn is_pending(&self) -> bool {
        matches!(self.state, State::Calling { .. } | State::Proceeding)
    }

    /// Nobody wants the answer any more: a CANCEL was sent, and without a final response in 64·T1 the transaction
    /// counts as cancelled (RFC 3261 §9.1); or the dialog ended, and with it the peer's 2xx may have.
    pub(crate) fn abandon(&mut self, now: Instant) {
        self.give_up.get_or_insert(now + T1_64);
    }

    /// Advances time.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Due {
        match &mut self.state {
            State::Calling { timer_b, .. } if *timer_b <= now => {
                self.state = State::Terminated;
                Due::TimedOut
            }
            State::Calling { timer_a, .. } => Due::resend_if(timer_a.as_mut().is_some_and(|a| a.take_due(now))),
            State::Proceeding if self.give_up.is_some_and(|at| at <= now) => {
                self.state = State::Terminated;
                Due::TimedOut
            }
            State::Completed { timer_d: at } | State::Accepted { timer_m: at } if *at <= now => {
                self.state = State::Terminated;
                Due::Over
            }
            State::Terminated => Due::Over,
            State::Proceeding | State::Completed { .. } | State::Accepted { .. } => Due::Nothing,
        }
    }

    /// The next deadline.
    pub(crate) fn poll_timeout(&self) -> Option<Deadline> {
        match self.state {
            State::Calling { timer_a, timer_b } => {
                earliest([timer_a.map(|a| (a.at(), "timer A")), Some((timer_b, "timer B"))])
            }
            State::Proceeding => self.give_up.map(|at| (at, "abandoned INVITE unanswered")),
            State::Completed { timer_d } => Some((timer_d, "timer D")),
            State::Accepted { timer_m } => Some((timer_m, "timer M")),
            State::Terminated => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::timer::epoch, *};
    use crate::transaction::walk;
    use std::time::Duration;

    #[test]
    fn timers_a_and_b_over_udp_and_tcp() {
        let start = epoch();
        for (transport, expected) in
            [(Transport::Udp, vec![500, 1500, 3500, 7500, 15_500, 31_500]), (Transport::Tcp, vec![])]
        {
            let mut machine = ClientInvite::new(transport, start);
            let walk = walk(&mut machine, start, ClientInvite::poll_timeout, ClientInvite::handle_timeout);
            assert_eq!(walk, (expected, Due::TimedOut, 32_000));
        }
    }

    #[test]
    fn responses_by_state() {
        let start = epoch();
        // (responses so far, next response, verdict)
        let table: [(&[u16], u16, Verdict); 10] = [
            (&[], 100, Verdict::Pass),
            (&[100], 180, Verdict::Pass),
            (&[180], 200, Verdict::Pass),
            (&[], 200, Verdict::Pass),
            (&[200], 200, Verdict::Pass),
            (&[200], 180, Verdict::Absorb),
            (&[200], 486, Verdict::Absorb),
            (&[], 486, Verdict::PassAndAcknowledge),
            (&[100, 486], 486, Verdict::Acknowledge),
            (&[486], 200, Verdict::Absorb),
        ];
        for (before, status, verdict) in table {
            let mut machine = ClientInvite::new(Transport::Udp, start);
            for status in before {
                machine.handle_response(*status, start);
            }
            assert_eq!(machine.handle_response(status, start), verdict, "{before:?} then {status}");
        }
    }

    #[test]
    fn timers_d_and_m_over_udp_and_tcp() {
        let start = epoch();
        // A refusal lingers only where its copies may be on their way (timer D); an answer may have been forked, over
        // any transport (timer M, RFC 6026 §8.4).
        for (transport, status, lingers) in [
            (Transport::Udp, 486, 32_000),
            (Transport::Tcp, 486, 0),
            (Transport::Udp, 200, 32_000),
            (Transport::Tcp, 200, 32_000),
        ] {
            let mut machine = ClientInvite::new(transport, start);
            machine.handle_response(status, start);
            assert!(!machine.is_pending() && !machine.may_cancel());
            let walk = walk(&mut machine, start, ClientInvite::poll_timeout, ClientInvite::handle_timeout);
            assert_eq!(walk, (vec![], Due::Over, lingers), "{transport:?} {status}");
        }
    }

    #[test]
    fn a_provisional_stops_retransmission_and_a_cancel_bounds_the_wait() {
        let start = epoch();
        let mut machine = ClientInvite::new(Transport::Udp, start);
        assert!(!machine.may_cancel());
        machine.handle_response(180, start);
        assert_eq!(machine.poll_timeout(), None);
        assert!(machine.may_cancel());
        machine.abandon(start);
        assert_eq!(machine.handle_timeout(start + T1_64 - Duration::from_millis(1)), Due::Nothing);
        assert_eq!(machine.handle_timeout(start + T1_64), Due::TimedOut);
    }
}
