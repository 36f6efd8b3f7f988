//! Lets calls in, as many as the limits allow: of this process, and where there is a Redis of all that share it.
mod shared;

use crate::{
    config::Secret,
    tenancy::limits::{Claim, Lease, Limit, Limits},
};
use shared::Order;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use uuid::Uuid;

/// Orders that may wait for Redis. Of those beyond, new calls are let in by the limits of this process alone, counted as such,
/// and told to Redis with the next renewal; what is given back expires there by itself.
const ORDERS: usize = 1_024;

/// Counts calls. Locks are held for a look at a map: once for a call, and once at its end.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: Mutex<Limits>,
    counts: Mutex<Counts>,
    shared: Option<mpsc::Sender<Order>>,
}

/// What has been counted since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls refused, by limit, in the order of [`Limit::ALL`].
    pub refused: [u64; Limit::ALL.len()],
    /// Whether Redis answers; `None` where there is none.
    pub redis: Option<bool>,
    /// Calls let in by the limits of this process alone, since Redis did not answer.
    pub alone: u64,
}

/// A call that was let in. It counts until this is dropped, however the call ends.
#[derive(Debug)]
pub struct Permit {
    lease: Lease,
    gate: Gate,
    begun: bool,
}

impl Permit {
    /// The call begins. One that never does, since something else refuses it, is not one of the last minute's calls either.
    pub fn begin(&mut self) {
        self.begun = true;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let claim = {
            let mut limits = self.gate.limits();
            let claim = limits.claim(self.lease).cloned();
            match self.begun {
                true => limits.give_back(self.lease),
                false => limits.retract(self.lease),
            }
            claim
        };
        if let (Some(claim), Some(shared)) = (claim, &self.gate.0.shared) {
            let order = if self.begun { Order::Release } else { Order::Retract };
            // One that is lost is renewed no more, and expires.
            let _ = shared.try_send(order(self.lease, claim));
        }
    }
}

impl Gate {
    /// A gate whose calls are counted in the Redis at this URL, too.
    ///
    /// # Errors
    /// The URL is none of Redis. Whether anybody answers there shows later.
    pub fn start(redis: Option<&Secret>) -> anyhow::Result<Self> {
        let counts = Mutex::new(Counts { redis: redis.map(|_| false), ..Counts::default() });
        let Some(url) = redis else {
            return Ok(Self(Arc::new(Inner { limits: Mutex::default(), counts, shared: None })));
        };
        // What this library says of a URL may quote it.
        let client =
            redis::Client::open(url.expose()).map_err(|_| anyhow::anyhow!("[redis] url is not one of Redis"))?;
        let (shared, orders) = mpsc::channel(ORDERS);
        let gate = Self(Arc::new(Inner { limits: Mutex::default(), counts, shared: Some(shared) }));
        tokio::spawn(shared::run(client, orders, Arc::downgrade(&gate.0)));
        Ok(gate)
    }

    /// Lets a call in, or says which limit it would break.
    ///
    /// # Errors
    /// That limit.
    pub async fn admit(&self, claim: Claim) -> Result<Permit, Limit> {
        self.admit_by_any([claim]).await.map(|(_, permit)| permit)
    }

    /// Lets a call in that may begin with several providers, by the first of these claims whose provider has room; says
    /// which one that is.
    ///
    /// # Errors
    /// The limit that it would break.
    pub async fn admit_by_any(&self, claims: impl IntoIterator<Item = Claim>) -> Result<(usize, Permit), Limit> {
        let mut broken = Limit::ProviderCalls;
        for (index, claim) in claims.into_iter().enumerate() {
            match self.attempt(claim).await {
                Ok(permit) => return Ok((index, permit)),
                Err(Limit::ProviderCalls) => {}
                Err(limit) => {
                    broken = limit;
                    break;
                }
            }
        }
        self.refused(broken);
        Err(broken)
    }

    async fn attempt(&self, claim: Claim) -> Result<Permit, Limit> {
        let lease = Lease(Uuid::new_v4());
        // What is too much for this process is too much for all.
        self.limits().take(lease, &claim, Instant::now())?;
        let permit = Permit { lease, gate: self.clone(), begun: false };
        match self.ask(lease, claim).await {
            Some(Ok(())) => {}
            Some(Err(limit)) => {
                self.limits().retract(lease);
                return Err(limit);
            }
            None if self.0.shared.is_some() => self.counts().alone += 1,
            None => {}
        }
        Ok(permit)
    }

    /// What Redis says to it; `None` if nobody does.
    async fn ask(&self, lease: Lease, claim: Claim) -> Option<Result<(), Limit>> {
        let (asker, answer) = oneshot::channel();
        self.0.shared.as_ref()?.try_send(Order::Take(lease, claim, asker)).ok()?;
        timeout(shared::TURN, answer).await.ok()?.ok()?
    }

    /// What has been counted.
    pub fn count(&self) -> Counts {
        self.counts().clone()
    }

    fn refused(&self, limit: Limit) {
        if let Some(count) = self.counts().refused.get_mut(limit as usize) {
            *count += 1;
        }
    }

    fn limits(&self) -> MutexGuard<'_, Limits> {
        self.0.limits()
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.counts()
    }
}

impl Inner {
    /// Maps and counters are whole after a panic, too.
    fn limits(&self) -> MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenancy::limits::Caps;

    fn claim(calls: u32) -> Claim {
        let caps = Caps { domain: Some(calls), ..Caps::default() };
        Claim { domain: Uuid::nil(), secretary: Uuid::nil(), provider: "local".into(), caps }
    }

    #[tokio::test]
    async fn a_call_counts_until_its_permit_is_dropped_also_by_a_panic() {
        let gate = Gate::start(None).unwrap();
        let permit = gate.admit(claim(1)).await.unwrap();
        assert_eq!(gate.admit(claim(1)).await.unwrap_err(), Limit::DomainCalls);
        let broken = tokio::spawn(async move {
            let _permit = permit;
            panic!("a bug");
        });
        assert!(broken.await.is_err());
        assert!(gate.admit(claim(1)).await.is_ok());
        assert_eq!(gate.count(), Counts { refused: [1, 0, 0, 0], ..Counts::default() });
    }

    #[tokio::test]
    async fn a_call_whose_provider_is_full_begins_with_another_and_a_full_tenant_has_none() {
        let gate = Gate::start(None).unwrap();
        let by = |provider: &str, calls| {
            let caps = Caps { domain: Some(3), provider: Some(calls), ..Caps::default() };
            Claim { provider: provider.into(), caps, ..claim(0) }
        };
        let ladder = || [by("openai", 1), by("gemini", 1), by("local", 9)];
        let mut up = Vec::new();
        for expected in 0..3 {
            let (index, permit) = gate.admit_by_any(ladder()).await.unwrap();
            assert_eq!(index, expected);
            up.push(permit);
        }
        assert_eq!(gate.admit_by_any(ladder()).await.unwrap_err(), Limit::DomainCalls);
        up.pop();
        assert_eq!(gate.admit_by_any([by("openai", 1), by("gemini", 1)]).await.unwrap_err(), Limit::ProviderCalls);
        assert_eq!(gate.count().refused.iter().sum::<u64>(), 2, "a provider that was passed over is no refusal");
    }

    #[tokio::test]
    async fn without_an_answer_of_redis_the_limits_of_this_process_hold() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let gate = Gate::start(Some(&Secret::new(format!("redis://{nobody}")))).unwrap();
        let _permit = gate.admit(claim(1)).await.unwrap();
        assert_eq!(gate.admit(claim(1)).await.unwrap_err(), Limit::DomainCalls);
        assert_eq!(gate.count(), Counts { refused: [1, 0, 0, 0], redis: Some(false), alone: 1 });
    }

    #[tokio::test]
    async fn a_call_that_never_begins_is_none_of_the_minute() {
        let gate = Gate::start(None).unwrap();
        let claim = || Claim { caps: Caps { per_minute: Some(1), ..Caps::default() }, ..claim(0) };
        for _ in 0..3 {
            drop(gate.admit(claim()).await.unwrap());
        }
        gate.admit(claim()).await.unwrap().begin();
        assert_eq!(gate.admit(claim()).await.unwrap_err(), Limit::CallRate);
    }

    #[tokio::test]
    async fn a_url_that_is_none_is_not_shown() {
        let error = Gate::start(Some(&Secret::new("redis://:secret@:x"))).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
