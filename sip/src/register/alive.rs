//! Between two REGISTERs: that the way to the registrar stays open, and that somebody is at its end.
use super::{Goal, Registrant, State};
use crate::{
    dialog::Outcome,
    endpoint::core::{ACCEPT, Core, User, route_by},
    framing::PING,
    leg::RegistrationState,
    message::{Method, Name, NameAddr, Request},
    transaction::{ClientId, timer::Deadline},
    transport::{Hop, Transport},
    uri::Uri,
};
use std::time::{Duration, Instant};

/// Shortest and longest pause between two signs of life on a stream: RFC 5626 §4.4.1, 80 to 100 % of 120 s.
const STREAM: (Duration, Duration) = (Duration::from_secs(96), Duration::from_secs(120));
/// The same over UDP: RFC 5626 §4.4.2. NATs forget a way that is not used for 30 s.
const DATAGRAM: (Duration, Duration) = (Duration::from_secs(24), Duration::from_secs(29));

/// OPTIONS of ours to a registrar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ping {
    /// Not wanted, or not registered.
    Off,
    /// Then.
    Due(Instant),
    /// One waits for its answer.
    Asked(ClientId),
}

impl Ping {
    pub(super) fn poll_timeout(self) -> Option<Deadline> {
        match self {
            Self::Due(at) => Some((at, "ping of a registrar")),
            Self::Off | Self::Asked(_) => None,
        }
    }
}

impl Registrant {
    /// Registered: signs of life begin, if they do not go on.
    pub(super) fn stay_alive(&mut self, core: &mut Core, now: Instant) {
        if let Some(hop) = self.hop.filter(|_| self.keep_alive.is_none()) {
            self.keep_alive = Some(now + pause(hop, core));
        }
        if let (Some(every), Ping::Off) = (self.registration.ping, self.ping) {
            // Many accounts do not ping in the same moment.
            self.ping = Ping::Due(now + core.random.between(Duration::ZERO, every));
        }
    }

    /// Calls come by the way that REGISTER took, so it must stay open. An answer is not waited for: FreeSWITCH sends none
    /// over TLS. RFC 5626 §3.5.2 has STUN for UDP, which needs a registrar that takes STUN where it takes SIP. A line end
    /// is what phones send instead: whoever takes SIP passes over it (RFC 3261 §7.5), and a NAT asks for no more than a
    /// datagram from inside (RFC 4787 §4.3).
    pub(super) fn keep_alive(&mut self, core: &mut Core, now: Instant) {
        let stands = |hop: &Hop| !hop.transport.is_reliable() || core.streams.contains_key(hop);
        let open = self.hop.filter(|hop| self.is_bound(now) && stands(hop));
        self.keep_alive = open.map(|hop| {
            core.transactions.send(hop.carry(PING.to_vec()));
            if let Some(framer) = core.streams.get_mut(&hop) {
                framer.expect_pong();
            }
            now + pause(hop, core)
        });
    }

    /// Asks the registrar whether it is there, if it is time and no REGISTER does so already.
    pub(super) fn ping_if_due(&mut self, core: &mut Core, now: Instant) {
        let Ping::Due(at) = self.ping else { return };
        let Some(every) = self.registration.ping.filter(|_| at <= now) else { return };
        let waiting = matches!(self.state, State::Waiting { .. }) && self.is_bound(now);
        let hop = self.hop.filter(|_| waiting && self.goal == Goal::Present);
        let Some((hop, request)) = hop.and_then(|hop| Some((hop, self.options(hop, core)?))) else {
            self.ping = Ping::Due(now + every);
            return;
        };
        let transaction = core.transactions.request(request, hop, User::Ping(self.id), now);
        // Timer F would outlast the pause between two of them.
        core.transactions.hurry(transaction, now);
        self.ping = Ping::Asked(transaction);
    }

    /// The answer to an OPTIONS, or what stands for one. Any answer is a sign of life, even a challenge or a 404. A 503
    /// counts if there is another server to go to: this one may still register us.
    pub(crate) fn handle_ping(&mut self, id: ClientId, outcome: Outcome<'_>, core: &mut Core, now: Instant) {
        if self.ping != Ping::Asked(id) || outcome.status < 200 {
            return;
        }
        let other = self.at.as_ref().is_some_and(|at| self.targets.any_but(at, now));
        let down = outcome.response.is_none() || (outcome.status == 503 && other);
        let registered = matches!(self.state, State::Waiting { .. }) && self.goal == Goal::Present;
        if !down || !registered {
            self.ping = self.registration.ping.map_or(Ping::Off, |every| Ping::Due(now + every));
            return;
        }
        self.ping = Ping::Off;
        if other {
            self.tell(RegistrationState::Trying, core);
        }
        self.failed(outcome.status, outcome.response, core, now);
    }

    fn options(&mut self, hop: Hop, core: &mut Core) -> Option<Request> {
        let registration = &self.registration;
        let registrar = Uri::sip(None, &registration.domain).ok()?;
        let record = NameAddr::new(Uri::sip(Some(&registration.user), &registration.domain).ok()?);
        let mut request = core.request(Method::Options, registrar.clone(), hop);
        let (tag, call_id) = (core.random.token(), core.random.token());
        let headers = &mut request.headers;
        if let Some(proxy) = &registration.proxy {
            headers.push(Name::Route, route_by(proxy));
        }
        headers.push(Name::From, record.with_tag(&tag).to_string());
        headers.push(Name::To, NameAddr::new(registrar).to_string());
        headers.push(Name::CallId, call_id);
        headers.push(Name::CSeq, format!("{} OPTIONS", core.first_cseq()));
        headers.push(Name::Contact, &self.contact);
        headers.push(Name::Accept, ACCEPT);
        if !core.config.user_agent.is_empty() {
            headers.push(Name::UserAgent, &core.config.user_agent);
        }
        Some(request)
    }
}

fn pause(hop: Hop, core: &mut Core) -> Duration {
    let (shortest, longest) = match hop.transport {
        Transport::Udp => DATAGRAM,
        Transport::Tcp | Transport::Tls => STREAM,
    };
    core.random.between(shortest, longest)
}
