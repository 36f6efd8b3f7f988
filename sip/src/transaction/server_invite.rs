//! INVITE server transaction: RFC 3261 §17.2.1, figure 7, with the Accepted state of RFC 6026 §7.1.
use super::{
    Due, Repeated,
    timer::{Deadline, Repeat, T1_64, T2, T4, earliest, linger},
};
use crate::transport::Transport;
use std::time::Instant;

/// The machine; the response it repeats is kept by its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerInvite {
    transport: Transport,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// 100 or another provisional is out; a retransmitted INVITE gets the last one again.
    Proceeding,
    /// A refusal is out, repeated by timer G until its ACK or timer H.
    Completed {
        timer_g: Option<Repeat>,
        timer_h: Instant,
    },
    /// ACKed; further ACKs are absorbed until timer I.
    Confirmed {
        timer_i: Instant,
    },
    /// A 2xx is out. Its owner repeats it and gets the ACK; retransmitted INVITEs are absorbed until timer L.
    Accepted {
        timer_l: Instant,
    },
    Terminated,
}

/// What an ACK with the branch of the INVITE means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acknowledged {
    /// The refusal has arrived.
    Refusal,
    /// The 2xx has: RFC 6026 §7.1 passes it to whose the call is. A client of RFC 2543 sends it with the INVITE's identity.
    Success,
    /// Nothing (more).
    Absorb,
}

impl ServerInvite {
    /// An INVITE came; 100 is sent at once by the owner.
    pub(crate) fn new(transport: Transport) -> Self {
        Self { transport, state: State::Proceeding }
    }

    /// The same INVITE came again.
    pub(crate) fn handle_repeated(&self) -> Repeated {
        match self.state {
            State::Proceeding | State::Completed { .. } => Repeated::Resend,
            State::Confirmed { .. } | State::Accepted { .. } | State::Terminated => Repeated::Absorb,
        }
    }

    /// An ACK with the INVITE's branch.
    pub(crate) fn handle_ack(&mut self, now: Instant) -> Acknowledged {
        match self.state {
            State::Completed { .. } => {
                self.state = State::Confirmed { timer_i: now + linger(self.transport, T4) };
                Acknowledged::Refusal
            }
            State::Accepted { .. } => Acknowledged::Success,
            State::Proceeding | State::Confirmed { .. } | State::Terminated => Acknowledged::Absorb,
        }
    }

    /// A response goes out. `false` if the transaction is past this response; then it must not be sent.
    pub(crate) fn respond(&mut self, status: u16, now: Instant) -> bool {
        if self.state != State::Proceeding {
            return false;
        }
        self.state = match status {
            ..200 => State::Proceeding,
            200..300 => State::Accepted { timer_l: now + T1_64 },
            300.. => {
                let timer_g = Repeat::on(self.transport, T2, now);
                State::Completed { timer_g, timer_h: now + T1_64 }
            }
        };
        true
    }

    /// Whether a final response is still ours to give, or a refusal unacknowledged.
    pub(crate) fn is_pending(&self) -> bool {
        matches!(self.state, State::Proceeding | State::Completed { .. })
    }

    /// Advances time.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Due {
        match &mut self.state {
            State::Completed { timer_h, .. } if *timer_h <= now => {
                self.state = State::Terminated;
                Due::TimedOut
            }
            State::Completed { timer_g, .. } => Due::resend_if(timer_g.as_mut().is_some_and(|g| g.take_due(now))),
            State::Confirmed { timer_i: at } | State::Accepted { timer_l: at } if *at <= now => {
                self.state = State::Terminated;
                Due::Over
            }
            State::Terminated => Due::Over,
            State::Proceeding | State::Confirmed { .. } | State::Accepted { .. } => Due::Nothing,
        }
    }

    /// The next deadline.
    pub(crate) fn poll_timeout(&self) -> Option<Deadline> {
        match self.state {
            State::Completed { timer_g, timer_h } => {
                earliest([timer_g.map(|g| (g.at(), "timer G")), Some((timer_h, "timer H"))])
            }
            State::Confirmed { timer_i } => Some((timer_i, "timer I")),
            State::Accepted { timer_l } => Some((timer_l, "timer L")),
            State::Proceeding | State::Terminated => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::timer::epoch, *};
    use crate::transaction::walk;

    #[test]
    fn timers_g_and_h_over_udp_and_tcp() {
        let start = epoch();
        let udp = vec![500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
        for (transport, expected) in [(Transport::Udp, udp), (Transport::Tcp, vec![])] {
            let mut machine = ServerInvite::new(transport);
            assert!(machine.respond(486, start));
            let walk = walk(&mut machine, start, ServerInvite::poll_timeout, ServerInvite::handle_timeout);
            assert_eq!(walk, (expected, Due::TimedOut, 32_000));
        }
    }

    #[test]
    fn an_ack_ends_the_refusal() {
        let start = epoch();
        for (transport, linger) in [(Transport::Udp, 5000), (Transport::Tcp, 0)] {
            let mut machine = ServerInvite::new(transport);
            machine.respond(486, start);
            assert_eq!(machine.handle_ack(start), Acknowledged::Refusal);
            assert_eq!(machine.handle_ack(start), Acknowledged::Absorb);
            assert_eq!(machine.handle_repeated(), Repeated::Absorb);
            let walk = walk(&mut machine, start, ServerInvite::poll_timeout, ServerInvite::handle_timeout);
            assert_eq!(walk, (vec![], Due::Over, linger));
        }
    }

    #[test]
    fn accepted_absorbs_invites_for_timer_l_and_takes_no_further_response() {
        let start = epoch();
        // RFC 6026 §8.7: timer L is as long over streams.
        for transport in [Transport::Udp, Transport::Tcp] {
            let mut machine = ServerInvite::new(transport);
            assert_eq!(machine.handle_repeated(), Repeated::Resend);
            assert!(machine.respond(180, start) && machine.is_pending());
            assert!(machine.respond(200, start));
            assert!(!machine.respond(486, start));
            assert_eq!(machine.handle_repeated(), Repeated::Absorb);
            assert_eq!(machine.handle_ack(start), Acknowledged::Success);
            let walk = walk(&mut machine, start, ServerInvite::poll_timeout, ServerInvite::handle_timeout);
            assert_eq!(walk, (vec![], Due::Over, 32_000));
        }
    }
}
