//! Who may call: decided for each message before anything is kept of it.
//!
//! A source is welcome (a peer's network, or a registrar of ours), may prove who it is (digest), or is a stranger, who
//! gets nothing useful. What belongs to a dialog or transaction of ours is nobody's business here: it passes.
mod meter;
mod network;
mod pass;
mod scanner;

pub use meter::Rate;
pub use network::Network;
pub use pass::Pass;

use crate::{
    auth::{
        User,
        server::{Proof, Realm},
    },
    endpoint::Stats,
    leg::RegistrationId,
    message::{Method, Request},
    transport::{Hop, ListenerId},
};
use meter::{Meter, Recent};
use pass::Passes;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

/// Sources remembered, of strangers and of peers each.
const SOURCES: usize = 16_384;
/// How long a source that had a dialog or transaction with us is heard although it has spent its budget.
const ACQUAINTANCE: Duration = Duration::from_secs(60 * 60);
/// How often the owner is told of a stranger; each is told of once.
const TELLING: Rate = Rate { per_second: 1, burst: 5 };

/// What strangers get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strangers {
    /// Nothing, over any transport: a scanner does not learn that anybody is here.
    Drop,
    /// 403.
    Forbid,
}

/// Who may call, by one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whose address is proof enough.
    pub peers: Vec<Network>,
    /// Who may prove who he is by digest. Requests that come from his networks, if he has any, are welcome but for
    /// INVITE; INVITE needs the proof.
    pub users: Vec<User>,
    /// The realm of our challenges.
    pub realm: String,
    /// How long a nonce may be used.
    pub nonce_life: Duration,
    /// What everybody else gets.
    pub strangers: Strangers,
    /// Requests of a stranger that are looked at, of one IPv4 address or one IPv6 /64; further ones are dropped unread.
    pub stranger_rate: Rate,
    /// Parts of the User-Agent of scanners, beside the well-known ones, in any case.
    pub scanners: Vec<String>,
    /// New calls of one peer; further ones are answered 503.
    pub peer_rate: Option<Rate>,
    /// New calls of all; further ones are answered 503.
    pub call_rate: Option<Rate>,
    /// Listeners with a policy of their own; what those say of further listeners does not count.
    pub listeners: BTreeMap<ListenerId, Self>,
}

impl Policy {
    /// These networks may call, and nobody else.
    pub fn of(peers: Vec<Network>) -> Self {
        Self {
            peers,
            users: Vec::new(),
            realm: "ramal".into(),
            nonce_life: Duration::from_secs(60),
            strangers: Strangers::Drop,
            stranger_rate: Rate { per_second: 2, burst: 20 },
            scanners: Vec::new(),
            peer_rate: None,
            call_rate: None,
            listeners: BTreeMap::new(),
        }
    }

    /// Everybody may call: a phone, whose number nobody knows.
    pub fn everybody() -> Self {
        Self::of(vec![Network::all_of(Ipv4Addr::UNSPECIFIED.into()), Network::all_of(Ipv6Addr::UNSPECIFIED.into())])
    }
}

/// What becomes of a request that belongs to no dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is served; by which user, if it had to be proven.
    Admit(Option<String>),
    /// 503: this source, or all together, call too often.
    Busy,
    /// 401.
    Challenge(Challenged),
    /// 403.
    Forbid,
    /// No answer.
    Drop,
}

/// Why proof is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Challenged {
    /// There is none, or it is wrong.
    Unproven,
    /// It was right, but its nonce has aged.
    Stale,
}

/// A guard for all listeners, and one more for each that has a policy of its own.
#[derive(Debug)]
pub(crate) struct Guards {
    seed: u64,
    common: Guard,
    own: BTreeMap<ListenerId, Guard>,
    passes: Passes,
}

impl Guards {
    /// Guards who have seen nobody yet. Nonces come from the seed.
    pub(crate) fn new(policy: Policy, seed: u64) -> Self {
        let common = Guard::new(Policy::of(Vec::new()), seed);
        let mut guards = Self { seed, common, own: BTreeMap::new(), passes: Passes::default() };
        guards.adopt(policy);
        guards
    }

    /// Goes by another policy. Who has been seen is remembered, nonces given out are not.
    pub(crate) fn adopt(&mut self, mut policy: Policy) {
        let own = std::mem::take(&mut policy.listeners);
        self.common.adopt(policy, self.seed);
        self.own.retain(|listener, _| own.contains_key(listener));
        for (listener, policy) in own {
            let seed = self.seed ^ u64::from(listener.0).wrapping_add(1).rotate_left(32);
            let guard = self.own.entry(listener).or_insert_with(|| Guard {
                registrars: self.common.registrars.clone(),
                ..Guard::new(Policy::of(Vec::new()), seed)
            });
            guard.adopt(policy, seed);
        }
    }

    /// Whoever brings this pass is let in with one call.
    pub(crate) fn let_pass(&mut self, pass: Pass) {
        self.passes.add(pass);
    }

    /// What becomes of a request that belongs to no dialog and no transaction of ours.
    pub(crate) fn admit(&mut self, request: &Request, hop: Hop, now: Instant, stats: &mut Stats) -> Verdict {
        let source = hop.remote.ip();
        match self.passes.take(request, source, now) {
            Some(user) => self.at(hop.listener).within_rates(Some(user), true, source, now),
            None => self.at(hop.listener).admit(request, source, now, stats),
        }
    }

    /// Who stands at this listener.
    pub(crate) fn at(&mut self, listener: ListenerId) -> &mut Guard {
        self.own.get_mut(&listener).unwrap_or(&mut self.common)
    }

    /// All of them.
    pub(crate) fn each(&mut self) -> impl Iterator<Item = &mut Guard> {
        std::iter::once(&mut self.common).chain(self.own.values_mut())
    }
}

/// The policy at work.
#[derive(Debug)]
pub(crate) struct Guard {
    policy: Policy,
    scanners: Vec<String>,
    realm: Realm,
    /// Addresses of the registrars that we register with.
    registrars: BTreeMap<RegistrationId, Vec<IpAddr>>,
    strangers: Recent<Stranger>,
    peers: Recent<Meter>,
    calls: Option<Meter>,
    telling: Option<Meter>,
}

/// What is remembered of a source that is not welcome by its address.
#[derive(Debug)]
struct Stranger {
    meter: Meter,
    acquainted_until: Option<Instant>,
    told: bool,
}

impl Guard {
    /// A guard who has seen nobody yet. Nonces come from the seed.
    pub(crate) fn new(policy: Policy, seed: u64) -> Self {
        let known = scanner::KNOWN.iter().map(|name| (*name).to_owned());
        Self {
            scanners: known.chain(policy.scanners.iter().cloned()).collect(),
            realm: Realm::new(&policy.realm, &policy.users, policy.nonce_life, seed),
            policy,
            registrars: BTreeMap::new(),
            strangers: Recent::new(SOURCES),
            peers: Recent::new(SOURCES),
            calls: None,
            telling: None,
        }
    }

    fn adopt(&mut self, policy: Policy, seed: u64) {
        let fresh = Self::new(policy, seed);
        self.policy = fresh.policy;
        self.scanners = fresh.scanners;
        self.realm = fresh.realm;
    }

    /// Calls from a registrar of ours are welcome.
    pub(crate) fn welcome(&mut self, id: RegistrationId, addresses: Vec<IpAddr>) {
        self.registrars.insert(id, addresses);
    }

    /// We register there no more.
    pub(crate) fn forget(&mut self, id: RegistrationId) {
        self.registrars.remove(&id);
    }

    /// A source we have business with: what it sends is read even if it has spent its budget.
    pub(crate) fn acquaint(&mut self, source: IpAddr, now: Instant) {
        if !self.is_welcome(source) {
            self.stranger(source, now).acquainted_until = Some(now + ACQUAINTANCE);
        }
    }

    /// Whether a source is known by its address: it gets an answer also to what cannot be read.
    pub(crate) fn is_welcome(&self, source: IpAddr) -> bool {
        self.is_peer(source) || self.realm.expects(source)
    }

    /// Whether bytes are worth reading. Strangers who have spent their budget are not heard, nor scanners.
    pub(crate) fn hears(&mut self, source: IpAddr, bytes: &[u8], now: Instant, stats: &mut Stats) -> bool {
        if self.is_welcome(source) {
            return true;
        }
        if let Some(stranger) = self.strangers.get(source) {
            let acquainted = stranger.acquainted_until.is_some_and(|until| until > now);
            if !acquainted && stranger.meter.is_spent(self.policy.stranger_rate, now) {
                stats.rate_limited += 1;
                return false;
            }
        }
        let heard = !scanner::is_scanner(bytes, &self.scanners);
        if !heard {
            stats.scanners += 1;
            self.charge(source, now);
        }
        heard
    }

    /// A source that is not welcome sent what means nothing to us: it pays for it.
    pub(crate) fn blame(&mut self, source: IpAddr, now: Instant, stats: &mut Stats) {
        if !self.is_welcome(source) {
            stats.strangers += 1;
            self.charge(source, now);
        }
    }

    /// The same, of who brings no pass.
    fn admit(&mut self, request: &Request, source: IpAddr, now: Instant, stats: &mut Stats) -> Verdict {
        let is_call = request.method == Method::Invite;
        if self.is_peer(source) || (self.realm.expects(source) && !is_call) {
            return self.within_rates(None, is_call, source, now);
        }
        // RFC 3261 §22.1: a CANCEL cannot be sent again, so it is not challenged.
        if !self.realm.may_ask(source) || request.method == Method::Cancel {
            return self.refuse(source, now, stats);
        }
        let challenged = match self.realm.verify(request, source, now) {
            Proof::Given(user) => {
                let stranger = self.stranger(source, now);
                stranger.meter = Meter::new(now);
                stranger.acquainted_until = Some(now + ACQUAINTANCE);
                return self.within_rates(Some(user), is_call, source, now);
            }
            Proof::Stale => Challenged::Stale,
            Proof::Missing => Challenged::Unproven,
            Proof::Wrong => {
                stats.auth_failures += 1;
                Challenged::Unproven
            }
        };
        if !self.charge(source, now) {
            stats.rate_limited += 1;
            return Verdict::Drop;
        }
        stats.challenged += 1;
        Verdict::Challenge(challenged)
    }

    /// Values of the WWW-Authenticate headers of a 401.
    pub(crate) fn challenges(&mut self, why: Challenged, now: Instant) -> [String; 2] {
        self.realm.challenges(why == Challenged::Stale, now)
    }

    /// Whether the owner should hear of this stranger: once of each, and not of many in a row.
    pub(crate) fn tells(&mut self, source: IpAddr, now: Instant) -> bool {
        if self.stranger(source, now).told || !self.telling.get_or_insert(Meter::new(now)).take(TELLING, now) {
            return false;
        }
        self.stranger(source, now).told = true;
        true
    }

    fn is_peer(&self, source: IpAddr) -> bool {
        let source = source.to_canonical();
        self.policy.peers.iter().any(|network| network.contains(source))
            || self.registrars.values().flatten().any(|address| address.to_canonical() == source)
    }

    fn refuse(&mut self, source: IpAddr, now: Instant, stats: &mut Stats) -> Verdict {
        stats.strangers += 1;
        if !self.charge(source, now) {
            stats.rate_limited += 1;
            return Verdict::Drop;
        }
        match self.policy.strangers {
            Strangers::Drop => Verdict::Drop,
            Strangers::Forbid => Verdict::Forbid,
        }
    }

    fn within_rates(&mut self, user: Option<String>, is_call: bool, source: IpAddr, now: Instant) -> Verdict {
        let spent = |meter: &mut Meter, rate: Option<Rate>| rate.is_some_and(|rate| !meter.take(rate, now));
        let busy = is_call
            && (spent(self.peers.entry(source, || Meter::new(now)), self.policy.peer_rate)
                || spent(self.calls.get_or_insert(Meter::new(now)), self.policy.call_rate));
        if busy { Verdict::Busy } else { Verdict::Admit(user) }
    }

    /// Takes one from the budget of a stranger; `false` if it was spent.
    fn charge(&mut self, source: IpAddr, now: Instant) -> bool {
        let rate = self.policy.stranger_rate;
        self.stranger(source, now).meter.take(rate, now)
    }

    fn stranger(&mut self, source: IpAddr, now: Instant) -> &mut Stranger {
        self.strangers.entry(source, || Stranger { meter: Meter::new(now), acquainted_until: None, told: false })
    }
}
