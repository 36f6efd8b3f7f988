//! Circuit breakers: whether calls begin with a provider, by what became of the calls before. PURE: time is an argument.
//!
//! ```text
//! Closed ──three failures in a row──▶ Open ──its time is over──▶ HalfOpen ──one call is spoken to──▶ Closed
//!                                       ◀──────────the call that tries fails─────┘
//! ```
use providers::FailureKind;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Failures in a row, each soon after the other, that open a circuit.
const FAILURES: u32 = 3;
/// A failure counts as one of a row for so long.
const ROW: Duration = Duration::from_secs(120);
/// How long a circuit is open at first; twice as long after each trial that failed.
const OPEN: Duration = Duration::from_secs(15);
/// The longest.
const LONGEST: Duration = Duration::from_secs(300);
/// An account without credit is one for all calls, and a person has to mend it.
const NO_CREDIT: Duration = Duration::from_secs(60);
/// How long the call that tries may stay without news, before another tries.
const TRIAL: Duration = Duration::from_secs(30);
/// Circuits kept: more than tenants with keys of their own on one server. Beyond it a new one is not kept, and so never opens.
const MOST: usize = 4_096;

/// What fails together: a provider at an address, with a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Circuit {
    /// As in the `realtime_provider` column.
    pub provider: &'static str,
    /// Its host, and a port where it has one: a region fails by itself.
    pub at: String,
    /// The tenant whose own key it is; `None` for the server's. A key that is refused, or an account without credit, is nothing
    /// to calls with another.
    pub key_of: Option<String>,
}

/// Whether calls begin there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// They do.
    Closed,
    /// They do not.
    Open,
    /// The next one does, to see, or one has.
    HalfOpen,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// For pages and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// How a circuit stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which.
    pub circuit: Circuit,
    /// Whether calls begin there.
    pub state: State,
    /// Conversations that became ready.
    pub ready: u64,
    /// Failures by kind, in the order of their first.
    pub failures: Vec<(FailureKind, u64)>,
    /// How long calls will not begin there, unless one that tries it brings better news.
    pub open_for: Option<Duration>,
}

/// What calls report of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It is ready, which many a provider is that answers nothing.
    Ready,
    /// The assistant was heard: it works.
    Spoke,
    /// It failed.
    Failed(FailureKind),
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed { failures: u32, last: Option<Instant> },
    Open { until: Instant, length: Duration },
    HalfOpen { until: Instant, length: Duration },
}

#[derive(Debug)]
struct Breaker {
    phase: Phase,
    ready: u64,
    failures: Vec<(FailureKind, u64)>,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { phase: Phase::Closed { failures: 0, last: None }, ready: 0, failures: Vec::new() }
    }
}

/// Every circuit of a process.
#[derive(Debug, Default)]
pub struct Breakers(BTreeMap<Circuit, Breaker>);

impl Breakers {
    /// Whether a call may begin there. One that may although the circuit was open is the one that tries.
    pub fn admits(&mut self, circuit: &Circuit, now: Instant) -> bool {
        let Some(breaker) = self.0.get_mut(circuit) else { return true };
        match breaker.phase {
            Phase::Closed { .. } => true,
            Phase::Open { until, length } | Phase::HalfOpen { until, length } if until <= now => {
                breaker.phase = Phase::HalfOpen { until: now + TRIAL, length };
                true
            }
            Phase::Open { .. } | Phase::HalfOpen { .. } => false,
        }
    }

    /// Whether calls begin there, and none has to try whether it works again.
    pub fn is_closed(&self, circuit: &Circuit) -> bool {
        self.0.get(circuit).is_none_or(|breaker| matches!(breaker.phase, Phase::Closed { .. }))
    }

    /// The call that was to try has not begun: the next one does, unless there is news of another.
    pub fn give_back(&mut self, circuit: &Circuit, now: Instant) {
        if let Some(Breaker { phase: Phase::HalfOpen { until, .. }, .. }) = self.0.get_mut(circuit) {
            *until = now;
        }
    }

    /// What a conversation there came to.
    pub fn report(&mut self, circuit: &Circuit, sign: Sign, now: Instant) {
        if !self.0.contains_key(circuit) && self.0.len() >= MOST {
            return;
        }
        let breaker = self.0.entry(circuit.clone()).or_default();
        match sign {
            Sign::Ready => breaker.ready = breaker.ready.saturating_add(1),
            Sign::Spoke => breaker.phase = Phase::Closed { failures: 0, last: None },
            Sign::Failed(kind) => {
                breaker.count(kind);
                breaker.failed(kind, now);
            }
        }
    }

    /// All of them, in order.
    pub fn standing(&self, now: Instant) -> Vec<Standing> {
        self.0.iter().map(|(circuit, breaker)| breaker.standing(circuit, now)).collect()
    }
}

impl Breaker {
    fn count(&mut self, kind: FailureKind) {
        match self.failures.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => self.failures.push((kind, 1)),
        }
    }

    fn failed(&mut self, kind: FailureKind, now: Instant) {
        let least = match kind {
            // It did what it said it would do; or a message, a model or an agent of one tenant is wrong.
            FailureKind::SessionExpired | FailureKind::Protocol => return,
            FailureKind::Quota => Some(NO_CREDIT),
            // What is refused may be one tenant's agent: it takes a row of them, like anything else.
            FailureKind::Authentication
            | FailureKind::Connection
            | FailureKind::Unavailable
            | FailureKind::Rate
            | FailureKind::Silence => None,
        };
        self.phase = match (self.phase, least) {
            (Phase::HalfOpen { length, .. }, _) => {
                let length = length.saturating_mul(2).min(LONGEST);
                Phase::Open { until: now + length, length }
            }
            (Phase::Closed { .. }, Some(length)) => Phase::Open { until: now + length, length },
            (Phase::Closed { failures, last }, None) => {
                let in_row = last.is_some_and(|last| now.saturating_duration_since(last) < ROW);
                let failures = if in_row { failures.saturating_add(1) } else { 1 };
                match failures >= FAILURES {
                    true => Phase::Open { until: now + OPEN, length: OPEN },
                    false => Phase::Closed { failures, last: Some(now) },
                }
            }
            // Calls that began before.
            (open @ Phase::Open { .. }, _) => open,
        };
    }

    fn standing(&self, circuit: &Circuit, now: Instant) -> Standing {
        let (state, open_for) = match self.phase {
            Phase::Closed { .. } => (State::Closed, None),
            Phase::Open { until, .. } if until > now => (State::Open, Some(until)),
            Phase::HalfOpen { until, .. } if until > now => (State::HalfOpen, Some(until)),
            Phase::Open { .. } | Phase::HalfOpen { .. } => (State::HalfOpen, None),
        };
        let open_for = open_for.map(|until| until.saturating_duration_since(now));
        Standing { circuit: circuit.clone(), state, ready: self.ready, failures: self.failures.clone(), open_for }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the origin of virtual time")]
mod tests {
    use super::*;
    use FailureKind::{Authentication, Connection, Protocol, Quota, SessionExpired, Silence};
    use Sign::{Failed, Ready, Spoke};

    fn circuit(at: &str) -> Circuit {
        Circuit { provider: "openai", at: at.to_owned(), key_of: None }
    }

    fn state(breakers: &Breakers, now: Instant) -> State {
        breakers.standing(now)[0].state
    }

    #[test]
    fn three_failures_in_a_row_open_a_circuit_and_a_success_between_them_does_not() {
        let (now, mut breakers, here) = (Instant::now(), Breakers::default(), circuit("here"));
        for sign in [Failed(Connection), Failed(Silence), Ready, Spoke, Failed(Connection), Ready, Failed(Connection)] {
            breakers.report(&here, sign, now);
            assert!(breakers.admits(&here, now));
        }
        breakers.report(&here, Failed(Connection), now);
        assert!(!breakers.admits(&here, now));
        assert!(breakers.admits(&circuit("elsewhere"), now), "another region is another circuit");
        let standing = &breakers.standing(now)[0];
        assert_eq!((standing.ready, standing.open_for), (2, Some(OPEN)));
        assert_eq!(standing.failures, [(Connection, 4), (Silence, 1)]);
    }

    #[test]
    fn one_call_tries_when_the_time_is_over_and_the_others_wait_for_what_becomes_of_it() {
        let (mut now, mut breakers, here) = (Instant::now(), Breakers::default(), circuit("here"));
        breakers.report(&here, Failed(Quota), now);
        assert!(!breakers.admits(&here, now), "an account without credit needs no row");
        now += NO_CREDIT;
        assert_eq!(state(&breakers, now), State::HalfOpen);
        assert!(breakers.admits(&here, now));
        assert!(!breakers.admits(&here, now), "one is enough");
        assert_eq!(breakers.standing(now)[0].open_for, Some(TRIAL), "unless it brings news");
        breakers.report(&here, Ready, now);
        assert_eq!(state(&breakers, now), State::HalfOpen, "it has not been heard");
        breakers.report(&here, Failed(Quota), now);
        assert_eq!(breakers.standing(now)[0].open_for, Some(2 * NO_CREDIT));
        now += 2 * NO_CREDIT;
        assert!(breakers.admits(&here, now));
        breakers.report(&here, Spoke, now);
        assert_eq!(state(&breakers, now), State::Closed);
    }

    #[test]
    fn the_key_of_one_tenant_shuts_out_nobody_else() {
        let (now, mut breakers, shared) = (Instant::now(), Breakers::default(), circuit("here"));
        let own = |tenant: &str| Circuit { key_of: Some(tenant.to_owned()), ..shared.clone() };
        breakers.report(&own("a.example"), Failed(Quota), now);
        let admitted = [own("a.example"), own("b.example"), shared.clone()].map(|of| breakers.admits(&of, now));
        assert_eq!(admitted, [false, true, true]);
    }

    #[test]
    fn a_trial_without_news_is_followed_by_another() {
        let (now, mut breakers, here) = (Instant::now(), Breakers::default(), circuit("here"));
        breakers.report(&here, Failed(Quota), now);
        assert!(breakers.admits(&here, now + NO_CREDIT));
        assert!(!breakers.admits(&here, now + NO_CREDIT + TRIAL - Duration::from_millis(1)));
        assert_eq!(
            breakers.standing(now + NO_CREDIT + TRIAL)[0].open_for,
            None,
            "with nobody calling it is not degraded"
        );
        assert!(breakers.admits(&here, now + NO_CREDIT + TRIAL));
    }

    #[test]
    fn a_call_that_has_not_begun_has_not_tried() {
        let (mut now, mut breakers, here) = (Instant::now(), Breakers::default(), circuit("here"));
        assert!(breakers.is_closed(&here));
        breakers.report(&here, Failed(Quota), now);
        breakers.give_back(&here, now);
        assert!(!breakers.is_closed(&here) && !breakers.admits(&here, now), "it is open, and nobody was to try");
        now += NO_CREDIT;
        assert!(breakers.admits(&here, now) && !breakers.admits(&here, now));
        breakers.give_back(&here, now);
        assert!(breakers.admits(&here, now) && !breakers.admits(&here, now), "the next one tries");
        breakers.report(&here, Spoke, now);
        breakers.give_back(&here, now);
        assert_eq!(state(&breakers, now), State::Closed);
    }

    #[test]
    fn failures_that_lie_apart_and_sessions_that_ended_as_announced_open_nothing() {
        let (mut now, mut breakers, here) = (Instant::now(), Breakers::default(), circuit("here"));
        for _ in 0..10 {
            breakers.report(&here, Failed(Connection), now);
            breakers.report(&here, Failed(SessionExpired), now);
            breakers.report(&here, Failed(Protocol), now);
            now += ROW;
        }
        assert_eq!(state(&breakers, now), State::Closed);
    }

    #[test]
    fn an_agent_of_one_tenant_that_is_refused_once_does_not_shut_out_the_others() {
        let (now, mut breakers, here) = (Instant::now(), Breakers::default(), circuit("here"));
        for sign in [Failed(Authentication), Failed(Authentication), Spoke, Failed(Authentication)] {
            breakers.report(&here, sign, now);
            assert_eq!(state(&breakers, now), State::Closed);
        }
    }

    #[test]
    fn a_circuit_that_nobody_has_used_since_holds_no_call_back() {
        let (now, mut breakers, here) = (Instant::now(), Breakers::default(), circuit("here"));
        breakers.report(&here, Failed(Quota), now);
        assert_eq!(breakers.standing(now + NO_CREDIT)[0].open_for, None);
    }

    #[test]
    fn it_is_never_open_for_longer_than_the_longest() {
        let (mut now, mut breakers, here) = (Instant::now(), Breakers::default(), circuit("here"));
        breakers.report(&here, Failed(Quota), now);
        for _ in 0..10 {
            let left = breakers.standing(now)[0].open_for.unwrap();
            assert!(left <= LONGEST);
            now += left;
            assert!(breakers.admits(&here, now));
            breakers.report(&here, Failed(Connection), now);
        }
    }
}
