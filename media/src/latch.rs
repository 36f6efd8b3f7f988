//! Whose packets are the caller's: the symmetric source latch.
//!
//! The address in the SDP is believed first. Another source is learnt only in the first moments, and only where the
//! policy allows it; after that, whatever comes from elsewhere is dropped and counted, so that nobody can listen in
//! or speak by spraying RTP at our ports (RTP bleed).
use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// How long after a description another address than the signalled one can be learnt.
const WINDOW: Duration = Duration::from_secs(10);
/// How long the signalled address may still take over from a source learnt in its place.
const LEARNING: Duration = Duration::from_secs(2);
/// How long the source of the description before may go on sending what was under way: it is not learnt again meanwhile. A
/// peer that sends from another port than it receives at may keep it for good.
const WINDING_DOWN: Duration = Duration::from_secs(2);
/// A latched source that was silent for so long may have got another port from its NAT.
const SILENT: Duration = Duration::from_secs(5);
/// Packets in a row a source at another address must send before it is believed ([`Policy::AnyAddress`]).
const PROBATION: u32 = 4;

/// Which sources other than the signalled one can be learnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// None.
    Signalled,
    /// Another port of the signalled address: a peer that does not send from where it receives.
    #[default]
    SignalledAddress,
    /// Any address, after four packets in a row: a phone behind a NAT that signals its private address. Anyone who
    /// can reach the port in the first moments can take the call's audio, so it is for trusted networks.
    AnyAddress,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the caller's.
    Accepted,
    /// It is the caller's, and from its source on all will be: our packets go there.
    Latched,
    /// It may be; drop it, and see whether its source goes on ([`Policy::AnyAddress`]).
    Doubted,
    /// It is not; drop it.
    Foreign,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Nothing was accepted yet.
    Open { since: Instant, candidate: Option<(SocketAddr, u32)> },
    /// One source has it.
    Latched { source: SocketAddr, since: Instant, heard: Instant },
}

/// Source filter of one RTP stream.
#[derive(Clone, Debug)]
pub struct Latch {
    signalled: SocketAddr,
    /// The source of the description before, and until when it winds down.
    former: Option<(SocketAddr, Instant)>,
    policy: Policy,
    state: State,
}

impl Latch {
    /// Believes `signalled`, and others as far as `policy` goes.
    pub fn new(signalled: SocketAddr, policy: Policy, now: Instant) -> Self {
        Self { signalled, former: None, policy, state: State::Open { since: now, candidate: None } }
    }

    /// Where our packets go: the latched source, before that the signalled address.
    pub fn remote(&self) -> SocketAddr {
        self.source().unwrap_or(self.signalled)
    }

    /// The source that has been latched.
    pub fn source(&self) -> Option<SocketAddr> {
        match self.state {
            State::Open { .. } => None,
            State::Latched { source, .. } => Some(source),
        }
    }

    /// Changes who can be learnt.
    pub fn learn_from(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// The peer named an address again. A new one opens the latch for it; the same one changes nothing.
    pub fn signal(&mut self, signalled: SocketAddr, now: Instant) {
        if signalled == self.signalled {
            // A phone that was on hold from the beginning sends first when it is taken off: its time begins with that.
            if let State::Open { since, .. } = &mut self.state {
                *since = now;
            }
            return;
        }
        let former = self.remote();
        self.former = (former != signalled).then_some((former, now + WINDING_DOWN));
        self.signalled = signalled;
        self.state = State::Open { since: now, candidate: None };
    }

    /// The peer proved that it receives at this address, and chose it (RFC 8445 §8.1.1): nobody else is believed.
    pub fn nominate(&mut self, source: SocketAddr, now: Instant) {
        if self.signalled != source || self.source() != Some(source) {
            self.signalled = source;
            self.state = State::Latched { source, since: now, heard: now };
        }
    }

    /// Whether a packet from there is refused, whatever it holds: nothing needs to be read of it, and nothing kept.
    pub fn refuses(&self, from: SocketAddr, now: Instant) -> bool {
        self.weigh(from, now).0 == Verdict::Foreign
    }

    /// Judges the source of a well-formed packet with a negotiated payload type.
    pub fn judge(&mut self, from: SocketAddr, now: Instant) -> Verdict {
        let (verdict, state) = self.weigh(from, now);
        self.state = state;
        verdict
    }

    /// The same of a packet that SRTP proved: nobody else has the key, so it needs no others in a row.
    pub fn judge_proven(&mut self, from: SocketAddr, now: Instant) -> Verdict {
        let (verdict, state) = match self.weigh(from, now) {
            (Verdict::Doubted, _) => latched(from, now),
            weighed => weighed,
        };
        self.state = state;
        verdict
    }

    /// The verdict, and what the state becomes by it.
    fn weigh(&self, from: SocketAddr, now: Instant) -> (Verdict, State) {
        match self.state {
            State::Open { since, candidate } => self.learn(from, (since, candidate), now),
            State::Latched { source, since, .. } if source == from => {
                (Verdict::Accepted, State::Latched { source, since, heard: now })
            }
            State::Latched { source, since, heard } => {
                let signalled_in_time = from == self.signalled && now < since + LEARNING;
                let moved = now >= heard + SILENT && self.may_move(source.ip(), from);
                if signalled_in_time || moved { latched(from, now) } else { (Verdict::Foreign, self.state) }
            }
        }
    }

    fn learn(
        &self,
        from: SocketAddr,
        (since, candidate): (Instant, Option<(SocketAddr, u32)>),
        now: Instant,
    ) -> (Verdict, State) {
        if from == self.signalled {
            return latched(from, now);
        }
        let refused = (Verdict::Foreign, self.state);
        if self.former.is_some_and(|(former, until)| former == from && now < until) {
            return refused;
        }
        let port_only = from.ip() == self.signalled.ip();
        match self.policy {
            Policy::SignalledAddress | Policy::AnyAddress if port_only => latched(from, now),
            Policy::AnyAddress if now < since + WINDOW => {
                let count = candidate.filter(|(source, _)| *source == from).map_or(1, |(_, count)| count + 1);
                if count >= PROBATION {
                    return latched(from, now);
                }
                (Verdict::Doubted, State::Open { since, candidate: Some((from, count)) })
            }
            Policy::Signalled | Policy::SignalledAddress | Policy::AnyAddress => refused,
        }
    }

    fn may_move(&self, latched: IpAddr, from: SocketAddr) -> bool {
        let port_only = from.ip() == latched || from.ip() == self.signalled.ip();
        from == self.signalled || (port_only && self.policy != Policy::Signalled)
    }
}

fn latched(source: SocketAddr, now: Instant) -> (Verdict, State) {
    (Verdict::Latched, State::Latched { source, since: now, heard: now })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::origin;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    /// Each row: milliseconds, source, expected verdict.
    fn check(policy: Policy, rows: &[(u64, &str, Verdict)]) {
        let start = origin();
        let mut latch = Latch::new(address("192.0.2.1:4000"), policy, start);
        for (at, from, verdict) in rows {
            let (from, now) = (address(from), start + Duration::from_millis(*at));
            assert_eq!(latch.refuses(from, now), *verdict == Verdict::Foreign, "{at} ms {from}");
            assert_eq!(latch.judge(from, now), *verdict, "{at} ms {from}");
        }
    }

    #[test]
    fn a_phone_that_is_taken_off_hold_has_its_time_anew() {
        let (start, signalled) = (origin(), address("192.0.2.1:4000"));
        let mut latch = Latch::new(signalled, Policy::AnyAddress, start);
        let resumed = start + 3 * WINDOW;
        assert_eq!(latch.judge(address("203.0.113.9:4000"), resumed), Verdict::Foreign);
        latch.signal(signalled, resumed);
        let verdicts =
            (0..4).map(|n| latch.judge(address("203.0.113.9:4000"), resumed + Duration::from_millis(20 * n)));
        assert_eq!(verdicts.last(), Some(Verdict::Latched));
    }

    #[test]
    fn the_signalled_source_is_latched_by_its_first_packet_and_attackers_never() {
        check(
            Policy::SignalledAddress,
            &[
                (0, "203.0.113.9:4000", Verdict::Foreign),
                (1, "192.0.2.1:4000", Verdict::Latched),
                (2, "203.0.113.9:4000", Verdict::Foreign),
                (3, "192.0.2.1:4002", Verdict::Foreign),
                (20, "192.0.2.1:4000", Verdict::Accepted),
                (9_000, "203.0.113.9:4000", Verdict::Foreign),
            ],
        );
    }

    #[test]
    fn another_port_of_the_signalled_address_is_learnt_until_the_signalled_one_speaks() {
        check(
            Policy::SignalledAddress,
            &[
                (0, "192.0.2.1:9999", Verdict::Latched),
                (20, "192.0.2.1:8888", Verdict::Foreign),
                (500, "192.0.2.1:4000", Verdict::Latched),
                (520, "192.0.2.1:9999", Verdict::Foreign),
            ],
        );
        check(
            Policy::SignalledAddress,
            &[
                (0, "192.0.2.1:9999", Verdict::Latched),
                (1_990, "192.0.2.1:9999", Verdict::Accepted),
                (2_000, "192.0.2.1:4000", Verdict::Foreign),
            ],
        );
    }

    #[test]
    fn any_address_needs_four_packets_in_a_row() {
        let (nat, other) = ("198.51.100.7:30000", "203.0.113.9:1");
        check(
            Policy::AnyAddress,
            &[
                (0, nat, Verdict::Doubted),
                (20, nat, Verdict::Doubted),
                (30, other, Verdict::Doubted),
                (40, nat, Verdict::Doubted),
                (60, nat, Verdict::Doubted),
                (80, nat, Verdict::Doubted),
                (100, nat, Verdict::Latched),
                (120, other, Verdict::Foreign),
            ],
        );
    }

    /// Of a packet that SRTP proves there is no doubt; where nobody may be learnt, a copy of one proves nothing.
    #[test]
    fn a_proven_packet_latches_at_once_where_its_source_may_be_learnt() {
        for (policy, verdict) in [
            (Policy::AnyAddress, Verdict::Latched),
            (Policy::SignalledAddress, Verdict::Foreign),
            (Policy::Signalled, Verdict::Foreign),
        ] {
            let mut latch = Latch::new(address("192.0.2.1:4000"), policy, origin());
            assert_eq!(latch.judge_proven(address("198.51.100.7:30000"), origin()), verdict, "{policy:?}");
        }
    }

    #[test]
    fn no_other_address_is_learnt_after_the_window_and_no_other_source_where_none_may_be() {
        for policy in [Policy::SignalledAddress, Policy::AnyAddress] {
            let late = [10_000, 10_020, 10_040, 10_060].map(|at| (at, "203.0.113.9:4000", Verdict::Foreign));
            check(policy, &late);
            check(
                policy,
                &[(10_000, "192.0.2.1:4002", Verdict::Latched), (11_000, "192.0.2.1:4000", Verdict::Latched)],
            );
        }
        check(
            Policy::Signalled,
            &[
                (0, "192.0.2.1:4002", Verdict::Foreign),
                (20, "192.0.2.1:4000", Verdict::Latched),
                (9_000, "192.0.2.1:4002", Verdict::Foreign),
            ],
        );
    }

    #[test]
    fn a_source_silent_for_five_seconds_may_come_back_from_another_port() {
        check(
            Policy::SignalledAddress,
            &[
                (0, "192.0.2.1:4000", Verdict::Latched),
                (4_999, "192.0.2.1:5000", Verdict::Foreign),
                (5_000, "203.0.113.9:4000", Verdict::Foreign),
                (5_001, "192.0.2.1:5000", Verdict::Latched),
            ],
        );
    }

    #[test]
    fn a_nominated_source_is_believed_over_the_signalled_one() {
        let (start, mut latch) = (origin(), Latch::new(address("192.0.2.1:4000"), Policy::default(), origin()));
        latch.judge(address("192.0.2.1:4000"), start);
        latch.nominate(address("198.51.100.7:7000"), start);
        assert_eq!(latch.remote(), address("198.51.100.7:7000"));
        assert_eq!(latch.judge(address("192.0.2.1:4000"), start), Verdict::Foreign);
        assert_eq!(latch.judge(address("198.51.100.7:7000"), start), Verdict::Accepted);
    }

    #[test]
    fn a_new_description_moves_the_latch_and_the_old_source_is_not_learnt_again() {
        let (start, mut latch) = (origin(), Latch::new(address("192.0.2.1:4000"), Policy::default(), origin()));
        latch.judge(address("192.0.2.1:4000"), start);
        latch.signal(address("192.0.2.1:4000"), start);
        assert_eq!(latch.source(), Some(address("192.0.2.1:4000")));
        latch.signal(address("192.0.2.1:6000"), start);
        assert_eq!(latch.remote(), address("192.0.2.1:6000"));
        assert_eq!(latch.judge(address("192.0.2.1:4000"), start), Verdict::Foreign);
        assert_eq!(latch.judge(address("192.0.2.1:6000"), start), Verdict::Latched);
    }

    /// Where a phone sends from need not change with where it receives.
    #[test]
    fn the_old_source_is_learnt_again_once_its_time_to_wind_down_is_over() {
        let (start, other_port) = (origin(), address("192.0.2.1:9999"));
        let mut latch = Latch::new(address("192.0.2.1:4000"), Policy::default(), start);
        assert_eq!(latch.judge(other_port, start), Verdict::Latched);
        latch.signal(address("192.0.2.1:4002"), start);
        for (at, verdict) in [
            (0, Verdict::Foreign),
            (1_999, Verdict::Foreign),
            (2_000, Verdict::Latched),
            (2_020, Verdict::Accepted),
            (60_000, Verdict::Accepted),
        ] {
            let now = start + Duration::from_millis(at);
            assert_eq!(latch.refuses(other_port, now), verdict == Verdict::Foreign, "{at} ms");
            assert_eq!(latch.judge(other_port, now), verdict, "{at} ms");
        }
    }
}
