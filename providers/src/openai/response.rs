//! Whose response is being made: free → requested → active, one at a time, and at most one more that waits.
//!
//! The server's turn detection and this client both create responses. A create of ours that meets a response of the
//! server's is refused, kept, and sent when that one is done.
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How long `response.created` may take.
const CREATED_WITHIN: Duration = Duration::from_secs(10);
/// How long a response may give no sign of life.
const PROGRESS_WITHIN: Duration = Duration::from_secs(20);
/// How long a response waits for the caller to finish speaking; noise can sound like speech for ever.
const HELD_FOR: Duration = Duration::from_secs(8);
/// How long a refused create waits when the response it met is not one we know of.
const AFTER_REFUSAL: Duration = Duration::from_secs(1);
/// How long the server's own response may take to begin after the caller's turn; it is a matter of milliseconds.
const EXPECTED_FOR: Duration = Duration::from_secs(5);
/// Waits before trying a failed response again; after the last the conversation is given up.
const BACK_OFF: [Duration; 2] = [Duration::from_millis(400), Duration::from_millis(1_200)];
/// Cancelled responses remembered, whose audio may still arrive.
const REMEMBERED: usize = 16;

/// Whether a response may talk over the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Manners {
    /// Waits until the caller is silent.
    #[default]
    Polite,
    /// Does not.
    Urgent,
}

/// A response this client wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// For this response only; `None` leaves the session's.
    pub(super) instructions: Option<String>,
    /// Whether it waits for the caller.
    pub(super) manners: Manners,
}

#[derive(Debug)]
enum State {
    Free,
    Requested {
        event_id: String,
        plan: Plan,
        by: Instant,
        audience: Audience,
    },
    /// `plan` is what was requested when it was created: ours, or one the server's own came before.
    Active {
        id: String,
        plan: Option<Plan>,
        by: Instant,
        audience: Audience,
    },
}

/// Whether anybody still listens to a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audience {
    Listening,
    /// The caller cut in.
    Gone,
}

#[derive(Debug)]
struct Waiting {
    plan: Plan,
    not_before: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
enum Caller {
    Quiet,
    Speaking {
        hold_until: Instant,
    },
    /// Their turn is over, and the server's own response to it has yet to begin.
    Waiting {
        until: Instant,
    },
}

/// What `response.created` asks of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Created {
    /// Let it speak.
    Welcome,
    /// The caller cut in while it was on its way: cancel it.
    Unwanted,
}

/// A response that ended, as far as this client had a part in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// What it was to say; the default when the server made it.
    pub(super) plan: Plan,
    /// Whether a failure of it leaves an audible silence.
    pub(super) missed: bool,
}

/// What a failed response leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// It will be tried again.
    Scheduled,
    /// Enough.
    GivenUp,
}

/// A deadline that passed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// Nobody answered our create.
    Created(Plan),
    /// A response fell silent: cancel it.
    Progress {
        /// Which.
        id: String,
        /// As if it had ended.
        ended: Ended,
    },
}

/// The responses of a conversation.
#[derive(Debug)]
pub(super) struct Responses {
    state: State,
    waiting: Option<Waiting>,
    caller: Caller,
    failures: usize,
    cut: VecDeque<String>,
}

impl Responses {
    /// None yet.
    pub(super) fn new() -> Self {
        Self { state: State::Free, waiting: None, caller: Caller::Quiet, failures: 0, cut: VecDeque::new() }
    }

    /// The assistant should speak, as soon as it may. The words already waiting for are kept.
    pub(super) fn want(&mut self, plan: Plan) {
        let Some(waiting) = &mut self.waiting else {
            self.waiting = Some(Waiting { plan, not_before: None });
            return;
        };
        if plan.instructions.is_some() {
            waiting.plan.instructions = plan.instructions;
        }
        if plan.manners == Manners::Urgent {
            waiting.plan.manners = Manners::Urgent;
        }
    }

    /// Whether a plan waits that may be sent.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let waited = self.due().is_none_or(|due| due <= now);
        self.waiting.is_some() && waited && matches!(self.state, State::Free)
    }

    /// The plan to send as `response.create` with this event id, when one is due.
    pub(super) fn next(&mut self, event_id: &str, now: Instant) -> Option<Plan> {
        if !self.is_due(now) {
            return None;
        }
        let plan = self.waiting.take()?.plan;
        self.state = State::Requested {
            event_id: event_id.to_owned(),
            plan: plan.clone(),
            by: now + CREATED_WITHIN,
            audience: Audience::Listening,
        };
        Some(plan)
    }

    /// When the waiting plan may be sent; `None` for at once.
    fn due(&self) -> Option<Instant> {
        let waiting = self.waiting.as_ref()?;
        let held = match (self.caller, waiting.plan.manners) {
            (Caller::Speaking { hold_until }, Manners::Polite) => Some(hold_until),
            (Caller::Speaking { .. }, Manners::Urgent) | (Caller::Quiet | Caller::Waiting { .. }, _) => None,
        };
        held.max(waiting.not_before)
    }

    /// The server heard the caller start.
    pub(super) fn caller_started(&mut self, now: Instant) {
        self.caller = Caller::Speaking { hold_until: now + HELD_FOR };
    }

    /// The server heard the caller stop; it creates a response of its own, which will cover what waits.
    pub(super) fn caller_stopped(&mut self, now: Instant) {
        self.caller = Caller::Waiting { until: now + EXPECTED_FOR };
        if let Some(waiting) = &mut self.waiting
            && waiting.plan.manners == Manners::Polite
        {
            waiting.not_before = waiting.not_before.max(Some(now + AFTER_REFUSAL));
        }
    }

    /// Nobody speaks, and nothing is asked for, expected or waits.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        let is_quiet = match self.caller {
            Caller::Quiet => true,
            Caller::Speaking { .. } => false,
            Caller::Waiting { until } => until <= now,
        };
        is_quiet && matches!((&self.state, &self.waiting), (State::Free, None))
    }

    /// Another session takes over, in which none of these were made. What waits, waits on; what was asked for and not
    /// begun, too. True when one was being made or is expected, which is the answer the caller waits for.
    pub(super) fn leave(&mut self, now: Instant) -> bool {
        let state = std::mem::replace(&mut self.state, State::Free);
        let caller = std::mem::replace(&mut self.caller, Caller::Quiet);
        self.cut.clear();
        let is_expected = matches!(caller, Caller::Waiting { until } if now < until);
        match state {
            State::Free | State::Requested { audience: Audience::Gone, .. } => is_expected,
            State::Requested { plan, audience: Audience::Listening, .. } => {
                self.want(plan);
                is_expected
            }
            State::Active { audience, .. } => is_expected || audience == Audience::Listening,
        }
    }

    /// A sign of life of whichever response is being made.
    pub(super) fn alive(&mut self, now: Instant) {
        if let State::Active { by, .. } = &mut self.state {
            *by = now + PROGRESS_WITHIN;
        }
    }

    /// `response.created`.
    pub(super) fn created(&mut self, id: String, now: Instant) -> Created {
        let by = now + PROGRESS_WITHIN;
        if let Caller::Waiting { .. } = self.caller {
            self.caller = Caller::Quiet;
        }
        let (plan, audience) = match std::mem::replace(&mut self.state, State::Free) {
            State::Requested { plan, audience, .. } => (Some(plan), audience),
            State::Free => {
                // The server's own, begun after our items were in the conversation: it speaks about them.
                self.waiting = None;
                (None, Audience::Listening)
            }
            State::Active { .. } => (None, Audience::Listening),
        };
        if audience == Audience::Gone {
            self.remember_cut(id.clone());
        }
        self.state = State::Active { id, plan, by, audience };
        match audience {
            Audience::Listening => Created::Welcome,
            Audience::Gone => Created::Unwanted,
        }
    }

    /// A sign of life of a response.
    pub(super) fn progress(&mut self, response_id: &str, now: Instant) {
        if let State::Active { id, by, .. } = &mut self.state
            && id == response_id
        {
            *by = now + PROGRESS_WITHIN;
        }
    }

    /// The caller cut in: the response to cancel by name, if one is active. One on its way is cancelled on arrival.
    pub(super) fn cut(&mut self) -> Option<String> {
        match &mut self.state {
            State::Active { id, audience: audience @ Audience::Listening, .. } => {
                *audience = Audience::Gone;
                let id = id.clone();
                self.remember_cut(id.clone());
                Some(id)
            }
            State::Requested { audience, .. } => {
                *audience = Audience::Gone;
                None
            }
            State::Active { audience: Audience::Gone, .. } | State::Free => None,
        }
    }

    /// What is being made is wanted no more: the response to cancel by name. One that was asked for and has not begun is
    /// made all the same.
    pub(super) fn cut_active(&mut self) -> Option<String> {
        match self.state {
            State::Active { .. } => self.cut(),
            State::Requested { .. } | State::Free => None,
        }
    }

    /// Whether audio of this response is stale.
    pub(super) fn is_cut(&self, response_id: &str) -> bool {
        self.cut.iter().any(|id| id == response_id)
    }

    /// `response.done`, whatever its status.
    pub(super) fn done(&mut self, response_id: &str) -> Ended {
        let missed = !self.is_cut(response_id);
        match &mut self.state {
            State::Active { id, plan, .. } if id == response_id => {
                let plan = plan.take().unwrap_or_default();
                self.state = State::Free;
                Ended { plan, missed }
            }
            State::Free => {
                // The unknown response our create met: what waits for its end need not wait longer.
                if let Some(waiting) = &mut self.waiting {
                    waiting.not_before = None;
                }
                Ended { plan: Plan::default(), missed: false }
            }
            State::Active { .. } | State::Requested { .. } => Ended { plan: Plan::default(), missed: false },
        }
    }

    /// A response was completed: earlier failures are forgiven.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// A response failed and left a silence.
    pub(super) fn failed(&mut self, plan: Plan, now: Instant) -> Retry {
        let Some(wait) = BACK_OFF.get(self.failures) else { return Retry::GivenUp };
        self.failures = self.failures.saturating_add(1);
        self.want(plan);
        if let Some(waiting) = &mut self.waiting {
            waiting.not_before = waiting.not_before.max(Some(now + *wait));
        }
        Retry::Scheduled
    }

    /// Our create met an active response. The error names our event id only sometimes.
    pub(super) fn refused_as_active(&mut self, now: Instant) {
        match &mut self.state {
            State::Active { plan, .. } => {
                if let Some(plan) = plan.take() {
                    self.want(plan);
                }
            }
            State::Requested { plan, .. } => {
                let plan = std::mem::take(plan);
                self.state = State::Free;
                self.want(plan);
                if let Some(waiting) = &mut self.waiting {
                    waiting.not_before = waiting.not_before.max(Some(now + AFTER_REFUSAL));
                }
            }
            State::Free => {}
        }
    }

    /// The plan of the create with this event id, refused for another reason.
    pub(super) fn refused(&mut self, refused: &str) -> Option<Plan> {
        let State::Requested { event_id, plan, .. } = &mut self.state else { return None };
        if event_id != refused {
            return None;
        }
        let plan = std::mem::take(plan);
        self.state = State::Free;
        Some(plan)
    }

    /// The deadline that passed, if one did.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<Overdue> {
        match &mut self.state {
            State::Requested { plan, by, .. } if *by <= now => {
                let plan = std::mem::take(plan);
                self.state = State::Free;
                Some(Overdue::Created(plan))
            }
            State::Active { id, plan, by, .. } if *by <= now => {
                let (id, plan) = (std::mem::take(id), plan.take().unwrap_or_default());
                let missed = !self.is_cut(&id);
                self.state = State::Free;
                self.remember_cut(id.clone());
                Some(Overdue::Progress { id, ended: Ended { plan, missed } })
            }
            State::Requested { .. } | State::Active { .. } | State::Free => None,
        }
    }

    /// The next deadline and why.
    pub(super) fn deadline(&self) -> Option<(Instant, &'static str)> {
        match &self.state {
            State::Requested { by, .. } => Some((*by, "openai response created")),
            State::Active { by, .. } => Some((*by, "openai response progress")),
            State::Free => self.due().map(|due| (due, "openai response held")),
        }
    }

    fn remember_cut(&mut self, id: String) {
        if self.cut.len() >= REMEMBERED {
            self.cut.pop_front();
        }
        self.cut.push_back(id);
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the origin of virtual time")]
mod tests {
    use super::*;

    fn plan(words: &str) -> Plan {
        Plan { instructions: Some(words.to_owned()), manners: Manners::Polite }
    }

    #[test]
    fn one_create_at_a_time_and_one_that_waits() {
        let (mut responses, now) = (Responses::new(), Instant::now());
        responses.want(plan("one"));
        assert_eq!(responses.next("e1", now), Some(plan("one")));
        responses.want(Plan::default());
        responses.want(plan("two"));
        assert_eq!(responses.next("e2", now), None, "requested");
        assert_eq!(responses.created("r1".into(), now), Created::Welcome);
        assert_eq!(responses.next("e2", now), None, "active");
        assert_eq!(responses.done("r1"), Ended { plan: plan("one"), missed: true });
        assert_eq!(responses.next("e2", now), Some(plan("two")));
        responses.created("r2".into(), now);
        responses.done("r2");
        assert_eq!(responses.next("e3", now), None, "nothing waits");
    }

    #[test]
    fn a_create_that_met_the_servers_response_is_sent_after_it() {
        let (mut responses, now) = (Responses::new(), Instant::now());
        responses.want(plan("ours"));
        responses.next("e1", now);
        responses.created("servers".into(), now);
        responses.refused_as_active(now);
        assert_eq!(responses.next("e2", now), None);
        responses.done("servers");
        assert_eq!(responses.next("e2", now), Some(plan("ours")));
    }

    #[test]
    fn a_create_that_met_a_response_unknown_to_us_waits_for_any_end_or_a_second() {
        let (mut responses, now) = (Responses::new(), Instant::now());
        responses.want(plan("ours"));
        responses.next("e1", now);
        responses.refused_as_active(now);
        assert_eq!(responses.next("e2", now), None);
        assert_eq!(responses.deadline(), Some((now + AFTER_REFUSAL, "openai response held")));
        responses.done("unknown");
        assert_eq!(responses.next("e2", now), Some(plan("ours")));
    }

    #[test]
    fn what_waits_is_covered_by_the_response_the_server_makes_after_the_caller_spoke() {
        let (mut responses, now) = (Responses::new(), Instant::now());
        responses.caller_started(now);
        responses.want(Plan::default());
        assert_eq!(responses.next("e1", now), None, "not over the caller");
        responses.caller_stopped(now);
        assert_eq!(responses.next("e1", now), None, "the server's own is on its way");
        responses.created("servers".into(), now);
        responses.done("servers");
        assert_eq!(responses.next("e1", now + AFTER_REFUSAL), None);
    }

    #[test]
    fn the_servers_own_response_is_owed_from_the_end_of_the_turn_and_not_for_ever() {
        let (mut responses, now) = (Responses::new(), Instant::now());
        responses.caller_started(now);
        responses.caller_stopped(now);
        assert!(!responses.is_idle(now), "the answer has yet to begin");
        assert!(responses.is_idle(now + EXPECTED_FOR), "none came");
        responses.caller_stopped(now);
        assert!(responses.leave(now), "the session was left before it began");
        assert!(!responses.leave(now), "once");
        responses.caller_stopped(now);
        responses.created("r".into(), now);
        responses.done("r");
        assert!(responses.is_idle(now) && !responses.leave(now));
    }

    #[test]
    fn noise_that_never_ends_holds_a_response_for_so_long_and_a_goodbye_not_at_all() {
        let (mut responses, now) = (Responses::new(), Instant::now());
        responses.caller_started(now);
        responses.want(Plan::default());
        assert_eq!(responses.next("e1", now + HELD_FOR - Duration::from_millis(1)), None);
        assert_eq!(responses.next("e1", now + HELD_FOR), Some(Plan::default()));
        responses.created("r".into(), now);
        responses.done("r");
        let urgent = Plan { instructions: None, manners: Manners::Urgent };
        responses.want(urgent.clone());
        assert_eq!(responses.next("e2", now), Some(urgent));
    }

    #[test]
    fn a_response_on_its_way_when_the_caller_cuts_in_is_cancelled_on_arrival() {
        let (mut responses, now) = (Responses::new(), Instant::now());
        responses.want(Plan::default());
        responses.next("e1", now);
        assert_eq!(responses.cut(), None);
        assert_eq!(responses.created("r".into(), now), Created::Unwanted);
        assert!(responses.is_cut("r"));
        assert_eq!(responses.cut(), None, "once");
        assert!(!responses.done("r").missed);
    }

    #[test]
    fn a_failed_response_is_tried_twice_again_and_a_success_forgives() {
        let (mut responses, now) = (Responses::new(), Instant::now());
        for wait in BACK_OFF {
            assert_eq!(responses.failed(plan("x"), now), Retry::Scheduled);
            assert_eq!(responses.deadline(), Some((now + wait, "openai response held")));
            assert_eq!(responses.next("e", now), None);
            assert_eq!(responses.next("e", now + wait), Some(plan("x")));
            responses.created("r".into(), now);
            responses.done("r");
        }
        assert_eq!(responses.failed(plan("x"), now), Retry::GivenUp);
        responses.succeeded();
        assert_eq!(responses.failed(plan("x"), now), Retry::Scheduled);
    }

    #[test]
    fn silence_of_the_server_is_noticed() {
        let (mut responses, now) = (Responses::new(), Instant::now());
        responses.want(plan("x"));
        responses.next("e", now);
        assert_eq!(responses.overdue(now + CREATED_WITHIN), Some(Overdue::Created(plan("x"))));
        responses.created("r".into(), now);
        responses.progress("r", now + Duration::from_secs(5));
        assert_eq!(responses.overdue(now + PROGRESS_WITHIN), None);
        let expected = Overdue::Progress { id: "r".into(), ended: Ended { plan: Plan::default(), missed: true } };
        assert_eq!(responses.overdue(now + Duration::from_secs(5) + PROGRESS_WITHIN), Some(expected));
        assert!(responses.is_cut("r"));
    }
}
