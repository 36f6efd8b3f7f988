//! How many calls there may be: at once of a domain, of a secretary and through a provider, and new ones of a domain in a
//! minute. PURE; whoever owns it gives back the lease of every call that ended.
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// What [`Caps::per_minute`] counts within.
pub const MINUTE: Duration = Duration::from_secs(60);

/// What calls are counted by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Calls of a tenant.
    Domain(Uuid),
    /// Calls with a secretary.
    Secretary(Uuid),
    /// Calls through a provider, of all tenants.
    Provider(String),
}

/// The most there may be; `None` is any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// Calls of the domain.
    pub domain: Option<u32>,
    /// Calls with the secretary.
    pub secretary: Option<u32>,
    /// Calls through the provider.
    pub provider: Option<u32>,
    /// New calls of the domain within any 60 seconds.
    pub per_minute: Option<u32>,
}

/// A call that wants to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its tenant.
    pub domain: Uuid,
    /// Who answers.
    pub secretary: Uuid,
    /// Who speaks for her.
    pub provider: String,
    /// What it is held to.
    pub caps: Caps,
}

impl Claim {
    /// What it counts in, and how much of each there may be.
    pub fn scopes(&self) -> [(Scope, Option<u32>); 3] {
        [
            (Scope::Domain(self.domain), self.caps.domain),
            (Scope::Secretary(self.secretary), self.caps.secretary),
            (Scope::Provider(self.provider.clone()), self.caps.provider),
        ]
    }
}

/// Which limit a call ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// [`Caps::domain`]
    DomainCalls,
    /// [`Caps::secretary`]
    SecretaryCalls,
    /// [`Caps::provider`]
    ProviderCalls,
    /// [`Caps::per_minute`]
    CallRate,
}

impl Limit {
    /// All, those of [`Claim::scopes`] first and in their order.
    pub const ALL: [Self; 4] = [Self::DomainCalls, Self::SecretaryCalls, Self::ProviderCalls, Self::CallRate];

    /// As a label of a metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DomainCalls => "domain_calls",
            Self::SecretaryCalls => "secretary_calls",
            Self::ProviderCalls => "provider_calls",
            Self::CallRate => "call_rate",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DomainCalls => "the tenant has as many calls as it may",
            Self::SecretaryCalls => "the secretary has as many calls as she may",
            Self::ProviderCalls => "the provider has as many calls as it may",
            Self::CallRate => "the tenant has had as many new calls in this minute as it may",
        })
    }
}

/// A call that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lease(pub Uuid);

/// The calls that count.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    leases: BTreeMap<Lease, Claim>,
    held: BTreeMap<Scope, u32>,
    /// When the calls of the last minute began, the oldest first; only of domains that had one.
    began: BTreeMap<Uuid, VecDeque<(Instant, Lease)>>,
}

impl Limits {
    /// Counts a call, or says which limit it would break; then nothing has changed.
    ///
    /// # Errors
    /// The first limit that is reached.
    pub fn take(&mut self, lease: Lease, claim: &Claim, now: Instant) -> Result<(), Limit> {
        let scopes = claim.scopes();
        for ((scope, cap), limit) in scopes.iter().zip(Limit::ALL) {
            if cap.is_some_and(|cap| self.calls(scope) >= cap) {
                return Err(limit);
            }
        }
        self.forget_before(now);
        let began = self.began.entry(claim.domain).or_default();
        if claim.caps.per_minute.is_some_and(|cap| began.len() >= usize::try_from(cap).unwrap_or(usize::MAX)) {
            return Err(Limit::CallRate);
        }
        began.push_back((now, lease));
        for (scope, _) in scopes {
            *self.held.entry(scope).or_default() += 1;
        }
        self.leases.insert(lease, claim.clone());
        Ok(())
    }

    /// A call has ended. Giving back what nobody has changes nothing.
    pub fn give_back(&mut self, lease: Lease) {
        let Some(claim) = self.leases.remove(&lease) else { return };
        for (scope, _) in claim.scopes() {
            if let Some(held) = self.held.get_mut(&scope) {
                *held = held.saturating_sub(1);
            }
        }
        self.held.retain(|_, held| *held > 0);
    }

    /// A call has not begun after all: it is as if it had never been counted.
    pub fn retract(&mut self, lease: Lease) {
        let domain = self.leases.get(&lease).map(|claim| claim.domain);
        self.give_back(lease);
        if let Some(began) = domain.and_then(|domain| self.began.get_mut(&domain)) {
            began.retain(|(_, of)| *of != lease);
        }
    }

    /// How many calls count there.
    pub fn calls(&self, scope: &Scope) -> u32 {
        self.held.get(scope).copied().unwrap_or_default()
    }

    /// The claim of a call that counts.
    pub fn claim(&self, lease: Lease) -> Option<&Claim> {
        self.leases.get(&lease)
    }

    /// The calls that count.
    pub fn leases(&self) -> impl Iterator<Item = (Lease, &Claim)> {
        self.leases.iter().map(|(lease, claim)| (*lease, claim))
    }

    /// What calls count in, and how many.
    pub fn held(&self) -> impl Iterator<Item = (&Scope, u32)> {
        self.held.iter().map(|(scope, calls)| (scope, *calls))
    }

    /// Forgets the calls that began more than a minute ago, of all domains: none keeps memory for one call of last year.
    fn forget_before(&mut self, now: Instant) {
        for began in self.began.values_mut() {
            while began.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= MINUTE) {
                began.pop_front();
            }
        }
        self.began.retain(|_, began| !began.is_empty());
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test needs one origin of time")]
mod tests {
    use super::*;

    fn claim(domain: u128, secretary: u128, provider: &str, caps: Caps) -> Claim {
        let (domain, secretary) = (Uuid::from_u128(domain), Uuid::from_u128(secretary));
        Claim { domain, secretary, provider: provider.into(), caps }
    }

    fn lease(number: u128) -> Lease {
        Lease(Uuid::from_u128(number))
    }

    #[test]
    fn each_limit_counts_what_is_its_own() {
        let none = Caps::default();
        let cases = [
            (Caps { domain: Some(2), ..none }, claim(1, 9, "x", none), Limit::DomainCalls),
            (Caps { secretary: Some(2), ..none }, claim(1, 1, "x", none), Limit::SecretaryCalls),
            (Caps { provider: Some(2), ..none }, claim(9, 9, "a", none), Limit::ProviderCalls),
            (Caps { per_minute: Some(2), ..none }, claim(1, 9, "x", none), Limit::CallRate),
        ];
        for (caps, third, limit) in cases {
            let (mut limits, now) = (Limits::default(), Instant::now());
            let third = Claim { caps, ..third };
            for number in 0..2 {
                limits.take(lease(number), &claim(1, 1, "a", caps), now).unwrap();
            }
            let elsewhere = claim(7, 7, "z", caps);
            assert_eq!(limits.take(lease(2), &third, now), Err(limit));
            assert_eq!(limits.take(lease(3), &elsewhere, now), Ok(()), "{limit:?} is another's");
        }
    }

    #[test]
    fn a_lease_that_is_given_back_makes_room_once() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        let claim = claim(1, 1, "a", Caps { domain: Some(1), ..Caps::default() });
        limits.take(lease(1), &claim, now).unwrap();
        limits.give_back(lease(1));
        limits.give_back(lease(1));
        limits.take(lease(2), &claim, now).unwrap();
        assert_eq!(limits.take(lease(3), &claim, now), Err(Limit::DomainCalls));
        limits.give_back(lease(2));
        assert_eq!(limits.held().count(), 0, "nothing is kept of a domain without calls");
    }

    #[test]
    fn a_refused_call_counts_nowhere_and_a_retracted_one_neither() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        let caps = Caps { secretary: Some(1), per_minute: Some(2), ..Caps::default() };
        limits.take(lease(1), &claim(1, 1, "a", caps), now).unwrap();
        assert_eq!(limits.take(lease(2), &claim(1, 1, "a", caps), now), Err(Limit::SecretaryCalls));
        assert_eq!(limits.calls(&Scope::Domain(Uuid::from_u128(1))), 1);
        limits.take(lease(3), &claim(1, 2, "a", caps), now).unwrap();
        limits.retract(lease(3));
        limits.take(lease(4), &claim(1, 3, "a", caps), now).unwrap();
        assert_eq!(limits.take(lease(5), &claim(1, 4, "a", caps), now), Err(Limit::CallRate));
    }

    #[test]
    fn any_sixty_seconds_are_a_minute() {
        let (mut limits, start) = (Limits::default(), Instant::now());
        let claim = claim(1, 1, "a", Caps { per_minute: Some(2), ..Caps::default() });
        let taken: Vec<bool> = [0, 59, 59, 60, 61, 119]
            .into_iter()
            .zip(1..)
            .map(|(second, number)| {
                let taken = limits.take(lease(number), &claim, start + Duration::from_secs(second)).is_ok();
                limits.give_back(lease(number));
                taken
            })
            .collect();
        assert_eq!(taken, [true, true, false, true, false, true]);
    }

    #[test]
    fn no_order_of_calls_breaks_a_limit_or_leaves_anything_behind() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        let caps = Caps { domain: Some(5), secretary: Some(3), provider: Some(6), per_minute: None };
        let mut up = Vec::new();
        let mut random: u64 = 7;
        for number in 0..5_000 {
            // A linear congruential generator (Knuth's MMIX constants): the same walk every time.
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let dice = random >> 33;
            if dice.is_multiple_of(3) && !up.is_empty() {
                let index = usize::try_from(dice).unwrap() % up.len();
                limits.give_back(up.swap_remove(index));
            } else {
                let claim = claim(u128::from(dice % 2), u128::from(dice % 5), "a", caps);
                if limits.take(lease(number), &claim, now).is_ok() {
                    up.push(lease(number));
                }
            }
            for (scope, calls) in limits.held() {
                let cap = match scope {
                    Scope::Domain(_) => 5,
                    Scope::Secretary(_) => 3,
                    Scope::Provider(_) => 6,
                };
                assert!(calls <= cap, "{scope:?}");
            }
        }
        up.into_iter().for_each(|lease| limits.give_back(lease));
        assert_eq!(limits.held().count(), 0);
    }
}
