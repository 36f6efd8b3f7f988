//! Registration with a registrar, kept alive: RFC 3261 §10.2 with the ways of FreeSWITCH (403 is final, nonces age), and
//! RFC 3263 §4.3 where the registrar has several addresses.
mod alive;

use self::alive::Ping;
use crate::{
    auth::{Credentials, Session},
    dialog::Outcome,
    endpoint::core::{ALLOW, Core, User, route_by},
    leg::{Event, Registration, RegistrationId, RegistrationState, Way},
    locate::{Target, Targets},
    message::{Method, Name, NameAddr, Request, Response},
    transaction::{
        ClientId,
        timer::{Deadline, earliest},
    },
    transport::Hop,
    uri::Uri,
};
use std::time::{Duration, Instant};

/// First wait after a failure that may pass; doubled with each further one.
const FIRST_RETRY: Duration = Duration::from_secs(2);
/// Longest wait after a failure that may pass.
const LONGEST_RETRY: Duration = Duration::from_secs(5 * 60);
/// Wait after a refusal that only a change of configuration will cure.
const PERMANENT_RETRY: Duration = Duration::from_secs(30 * 60);
/// What a registrar that grants nothing is taken to mean, lest we ask without pause.
const SHORTEST_EXPIRES: Duration = Duration::from_secs(5);
/// Requests in one go that a registrar may ask for by challenges and 423.
const TRIES: u8 = 5;

/// How a registration stands, for whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which.
    pub id: RegistrationId,
    /// What was told last.
    pub state: RegistrationState,
    /// Until the next REGISTER; `None` while one waits for its answer.
    pub next_in: Option<Duration>,
}

/// One binding that we keep with a registrar.
#[derive(Debug)]
pub(crate) struct Registrant {
    id: RegistrationId,
    registration: Registration,
    targets: Targets,
    /// Where the last REGISTER went.
    at: Option<Target>,
    /// RFC 3261 §10.2: one Call-ID and a rising CSeq for all.
    call_id: String,
    tag: String,
    cseq: u32,
    contact: String,
    /// The way there; `None` if no listener of ours can reach it.
    hop: Option<Hop>,
    /// What we ask for: as configured, or more if the registrar wants more.
    expires: Duration,
    session: Session,
    state: State,
    goal: Goal,
    /// Until when the registrar may hold our contact.
    bound_until: Option<Instant>,
    /// When the way to the registrar is shown to be in use, lest something on it forgets it.
    keep_alive: Option<Instant>,
    ping: Ping,
    failures: u32,
    told: Option<RegistrationState>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A REGISTER waits for its answer.
    Asking { transaction: ClientId, asked: Goal, tries_left: u8 },
    /// Until the next REGISTER.
    Waiting { until: Instant, why: &'static str },
    /// Removed.
    Gone,
}

/// What the owner wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    Present,
    Absent,
}

impl Registrant {
    /// Sends the first REGISTER.
    pub(crate) fn new(id: RegistrationId, mut registration: Registration, core: &mut Core, now: Instant) -> Self {
        let mut registrant = Self {
            id,
            expires: registration.expires,
            targets: Targets::new(std::mem::take(&mut registration.targets)),
            at: None,
            registration,
            call_id: core.random.token(),
            tag: core.random.token(),
            cseq: core.first_cseq(),
            contact: String::new(),
            hop: None,
            session: Session::default(),
            state: State::Gone,
            goal: Goal::Present,
            bound_until: None,
            keep_alive: None,
            ping: Ping::Off,
            failures: 0,
            told: None,
        };
        registrant.begin(core, now);
        registrant
    }

    /// Whether it is removed and told so.
    pub(crate) fn is_gone(&self) -> bool {
        self.state == State::Gone
    }

    /// Domain and credentials, for challenges within calls of the same realm.
    pub(crate) fn account(&self) -> (String, Credentials) {
        (self.registration.domain.clone(), credentials(&self.registration))
    }

    /// Where its requests go.
    pub(crate) fn way(&self) -> Option<Way> {
        let route = self.registration.proxy.as_ref().map(route_by);
        self.at.clone().map(|target| Way { target, route })
    }

    /// Other addresses of the same registrar.
    pub(crate) fn retarget(&mut self, targets: Vec<Target>, core: &mut Core, now: Instant) {
        if targets.is_empty() || self.goal == Goal::Absent {
            return;
        }
        self.targets.replace(targets);
        let stays = self.at.as_ref().is_some_and(|at| self.targets.contains(at));
        let silent = self.told.as_ref().is_some_and(RegistrationState::is_unanswered);
        let better = !stays || (silent && self.targets.any_left(now));
        if better && matches!(self.state, State::Waiting { .. }) {
            self.begin(core, now);
        }
    }

    /// How it stands.
    pub(crate) fn standing(&self, now: Instant) -> Standing {
        let next_in = match self.state {
            State::Waiting { until, .. } => Some(until.saturating_duration_since(now)),
            State::Asking { .. } | State::Gone => None,
        };
        Standing { id: self.id, state: self.told.clone().unwrap_or(RegistrationState::Trying), next_in }
    }

    /// Takes our contact out of the registrar, if it may hold it.
    pub(crate) fn remove(&mut self, core: &mut Core, now: Instant) {
        self.goal = Goal::Absent;
        match self.state {
            // What is under way may bind us after all: wait for it.
            State::Asking { .. } | State::Gone => {}
            State::Waiting { .. } => self.begin(core, now),
        }
    }

    /// The stream to the registrar is gone, and with it the way by which calls came: register again soon.
    pub(crate) fn connection_lost(&mut self, hop: Hop, core: &mut Core, now: Instant) {
        if self.hop == Some(hop) && self.failures == 0 && matches!(self.state, State::Waiting { .. }) {
            let wait = core.random.between(Duration::from_millis(500), Duration::from_millis(2500));
            self.state = State::Waiting { until: now + wait, why: "registration after a lost connection" };
        }
    }

    /// The answer to a REGISTER, or what stands for one.
    pub(crate) fn handle_outcome(&mut self, id: ClientId, outcome: Outcome<'_>, core: &mut Core, now: Instant) {
        let State::Asking { transaction, asked, tries_left } = self.state else { return };
        if transaction != id || outcome.status < 200 {
            return;
        }
        let again = outcome.response.filter(|_| tries_left > 1).is_some_and(|r| self.learn(r));
        if again {
            return self.ask(tries_left - 1, core, now);
        }
        match (outcome.status, outcome.response, self.goal) {
            (200..300, Some(response), Goal::Present) => self.registered(response, core, now),
            (status, response, Goal::Present) => self.failed(status, response, core, now),
            (_, _, Goal::Absent) if asked == Goal::Absent => self.removed(core),
            // The owner changed its mind meanwhile: end what this REGISTER, or one before it, has bound.
            (200..300, _, Goal::Absent) => {
                self.bound_until = Some(now + self.expires);
                self.begin(core, now);
            }
            (_, _, Goal::Absent) => self.begin(core, now),
        }
    }

    /// Advances time.
    pub(crate) fn handle_timeout(&mut self, core: &mut Core, now: Instant) {
        if matches!(self.state, State::Waiting { until, .. } if until <= now) {
            self.begin(core, now);
        }
        if self.keep_alive.is_some_and(|at| at <= now) {
            self.keep_alive(core, now);
        }
        self.ping_if_due(core, now);
    }

    /// The next deadline.
    pub(crate) fn poll_timeout(&self) -> Option<Deadline> {
        let keep_alive = self.keep_alive.map(|at| (at, "keep-alive of a registration"));
        let ping = self.ping.poll_timeout();
        match self.state {
            State::Waiting { until, why } => earliest([Some((until, why)), keep_alive, ping]),
            State::Asking { .. } => earliest([keep_alive, ping]),
            State::Gone => None,
        }
    }

    /// What the goal asks for now.
    fn begin(&mut self, core: &mut Core, now: Instant) {
        match self.goal {
            Goal::Present => {
                self.at = self.targets.current(now).cloned();
                self.hop = self.at.as_ref().and_then(|at| core.hop(at.transport, at.remote));
                if !matches!(self.told, Some(RegistrationState::Registered { .. } | RegistrationState::Trying)) {
                    self.tell(RegistrationState::Trying, core);
                }
            }
            Goal::Absent if self.is_bound(now) => {}
            Goal::Absent => return self.removed(core),
        }
        self.ask(TRIES, core, now);
    }

    fn is_bound(&self, now: Instant) -> bool {
        self.bound_until.is_some_and(|until| until > now)
    }

    /// Sends a REGISTER.
    fn ask(&mut self, tries_left: u8, core: &mut Core, now: Instant) {
        let Some(hop) = self.hop else { return self.failed(503, None, core, now) };
        let Some(mut request) = self.request(hop, core) else {
            // A domain or user that makes no URI: nothing will ever come of it.
            return self.failed(400, None, core, now);
        };
        self.session.authorize(&mut request, &mut core.random);
        let transaction = core.transactions.request(request, hop, User::Registration(self.id), now);
        let other = self.at.as_ref().is_some_and(|at| self.targets.any_but(at, now));
        if other && self.goal == Goal::Present {
            core.transactions.hurry(transaction, now);
        }
        self.state = State::Asking { transaction, asked: self.goal, tries_left };
    }

    fn request(&mut self, hop: Hop, core: &mut Core) -> Option<Request> {
        let Registration { domain, user, contact_user, proxy, .. } = &self.registration;
        let registrar = Uri::sip(None, domain).ok()?;
        let record = NameAddr::new(Uri::sip(Some(user), domain).ok()?);
        let seconds = match self.goal {
            Goal::Present => self.expires.as_secs(),
            Goal::Absent => 0,
        };
        self.cseq = self.cseq.wrapping_add(1) & 0x7fff_ffff;
        self.contact = core.contact(contact_user, hop);
        let mut request = core.request(Method::Register, registrar, hop);
        let headers = &mut request.headers;
        if let Some(proxy) = proxy {
            headers.push(Name::Route, route_by(proxy));
        }
        headers.push(Name::From, record.clone().with_tag(&self.tag).to_string());
        headers.push(Name::To, record.to_string());
        headers.push(Name::CallId, &self.call_id);
        headers.push(Name::CSeq, format!("{} REGISTER", self.cseq));
        headers.push(Name::Contact, &self.contact);
        headers.push(Name::Expires, seconds.to_string());
        headers.push(Name::Allow, ALLOW);
        if !core.config.user_agent.is_empty() {
            headers.push(Name::UserAgent, &core.config.user_agent);
        }
        Some(request)
    }

    /// Takes what a refusal teaches: a challenge that can be answered, or a longer expiry. Whether to ask again.
    fn learn(&mut self, response: &Response) -> bool {
        if response.status.code() == 423 {
            let least = response.headers.min_expires().map(|seconds| Duration::from_secs(seconds.into()));
            let longer = least.filter(|least| *least > self.expires);
            self.expires = longer.unwrap_or(self.expires);
            return longer.is_some();
        }
        let credentials = credentials(&self.registration);
        self.session.learn(response, |_| Some(credentials))
    }

    fn registered(&mut self, response: &Response, core: &mut Core, now: Instant) {
        let expires = self.granted(response).max(SHORTEST_EXPIRES);
        self.failures = 0;
        self.bound_until = Some(now + expires);
        // It was given other targets meanwhile.
        if self.at.as_ref().is_some_and(|at| !self.targets.contains(at)) {
            return self.begin(core, now);
        }
        // After half of it, at three quarters the latest: room for lost REGISTERs and their retransmissions.
        let wait = core.random.between(expires / 2, expires * 3 / 4);
        self.state = State::Waiting { until: now + wait, why: "registration refresh" };
        self.stay_alive(core, now);
        let state = RegistrationState::Registered { expires };
        if self.told.as_ref() != Some(&state) {
            self.tell(state, core);
        }
    }

    /// RFC 3261 §10.2.4: the expiry of our own contact among those listed, else Expires, else what we asked for.
    fn granted(&self, response: &Response) -> Duration {
        let ours = NameAddr::parse(&self.contact).map(|contact| contact.uri);
        let contacts = response.headers.contacts();
        let listed = contacts.iter().find(|contact| ours.as_ref().is_some_and(|ours| contact.uri.equivalent(ours)));
        let param = listed.and_then(|contact| contact.params.value("expires")?.parse::<u32>().ok());
        let seconds = param.or_else(|| response.headers.expires());
        seconds.map_or(self.expires, |seconds| Duration::from_secs(seconds.into()))
    }

    fn failed(&mut self, status: u16, response: Option<&Response>, core: &mut Core, now: Instant) {
        let asked = response.and_then(|response| response.headers.retry_after()).unwrap_or_default();
        let asked = Duration::from_secs(asked.into());
        if matches!(status, 408 | 503) && self.another(asked, now) {
            return self.begin(core, now);
        }
        self.failures = self.failures.saturating_add(1);
        let retry_in = match status {
            400 | 401 | 403 | 404 | 407 | 604 => PERMANENT_RETRY,
            _ => {
                let doubled = FIRST_RETRY * 2_u32.saturating_pow(self.failures.min(10) - 1);
                let base = doubled.min(LONGEST_RETRY);
                let wait = core.random.between(base, (base * 5 / 4).min(LONGEST_RETRY));
                wait.max(asked.min(PERMANENT_RETRY))
            }
        };
        self.state = State::Waiting { until: now + retry_in, why: "registration retry" };
        self.tell(RegistrationState::Failed { status, retry_in }, core);
    }

    /// RFC 3263 §4.3: silence, 503 and a broken transport are the failure of one address, not of the registrar.
    fn another(&mut self, retry_after: Duration, now: Instant) -> bool {
        self.at.as_ref().is_some_and(|at| self.targets.failed(at, retry_after, now))
    }

    fn removed(&mut self, core: &mut Core) {
        self.state = State::Gone;
        self.tell(RegistrationState::Removed, core);
    }

    fn tell(&mut self, state: RegistrationState, core: &mut Core) {
        self.told = Some(state.clone());
        core.events.push_back(Event::Registration { id: self.id, state });
    }
}

fn credentials(registration: &Registration) -> Credentials {
    Credentials { user: registration.auth_user.clone(), password: registration.password.clone() }
}
