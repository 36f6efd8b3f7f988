//! Whether a call may begin: what its tenant is held to, whose key pays, and whether there is room and money for it.
use super::{
    admission::{Admission, Refusal},
    breakers::{Ordered, Trial},
    facts::Facts,
    gate::Permit,
    till::{Payer, Tab},
};
use crate::{
    call::Rung,
    config::{Config, Unpriced},
    ladder,
    secretary::Secretary,
    tenancy::{
        ApiKey, RefusalStatus, Tenant,
        budget::Exhausted,
        limits::{Caps, Claim, Limit},
    },
    vault::Place,
};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tracing::warn;

/// What a call may begin with.
#[derive(Debug)]
pub(super) struct Entrance {
    /// The configuration, with the tenant's own key.
    pub(super) config: Arc<Config>,
    /// Who speaks.
    pub(super) rung: Rung,
    /// Who goes on when that one fails, in this order.
    pub(super) below: Vec<Rung>,
    /// What it holds until it is over.
    pub(super) held: Held,
}

/// What a call holds until it is over, however that comes.
#[derive(Debug)]
pub struct Held {
    /// Its room.
    pub room: Room,
    /// What it costs, if its tenant has a budget.
    pub tab: Option<Tab>,
    /// The provider it tries, if that failed before.
    pub trial: Option<Trial>,
}

impl Held {
    /// The call begins: from here on it is one of the last minute's, and tries what it was to try. One that never begins is as if
    /// it had never been let in.
    pub fn begin(&mut self) {
        if let Room::Call(permit) = &mut self.room {
            permit.begin();
        }
        if let Some(trial) = self.trial.take() {
            trial.begin();
        }
    }
}

/// What a call counts among; held for its end alone.
#[derive(Debug)]
pub enum Room {
    /// The calls of its tenant.
    Call(Permit),
    /// The callers who are told that they are not let in.
    Notice(OwnedSemaphorePermit),
}

impl Admission {
    /// What holds for the tenant of this secretary: by the configuration, else by the database, else nothing.
    pub(super) async fn tenant(&self, secretary: &Secretary) -> Result<Tenant, Refusal> {
        if let Some(tenant) = self.config.borrow().tenant(secretary) {
            return Ok(tenant.clone());
        }
        match self.directory.tenant(secretary.domain_uuid).await {
            Ok(None) => Ok(Tenant::default()),
            // Without its limits a tenant would be without limits.
            Ok(Some(row)) => Tenant::parse(row).map_err(|error| Refusal::new(500, error.to_string())),
            Err(error) => Err(Refusal::of_database(&error)),
        }
    }

    /// Lets a call in, or says why not.
    pub(super) async fn let_in(&self, facts: &Facts, tenant: &Tenant) -> Result<Entrance, Refusal> {
        let config = self.config_of(&facts.secretary, tenant)?;
        let Ordered { rungs, trial, .. } = self.ladder(&facts.secretary, &config)?;
        let mut rungs = self.with_prices(rungs, facts, tenant, &config)?;
        let claims: Vec<Claim> = rungs.iter().map(|rung| claim(facts, tenant, rung, &config)).collect();
        let (begins_with, permit) =
            self.gate.admit_by_any(claims).await.map_err(|limit| refusal(tenant, &config, limit))?;
        if begins_with > 0 {
            warn!(skipped = begins_with, "This call begins further down the ladder: the provider has no room");
            rungs.rotate_left(begins_with);
        }
        let tab = match self.tab(facts, tenant, &rungs, &config).await {
            // Who begins costs nothing; those below it would.
            Err(refused) if rungs.first().is_some_and(Rung::is_free) => {
                warn!("This call goes on with nobody who asks for money: {refused}");
                rungs.retain(Rung::is_free);
                None
            }
            Err(refused) => {
                self.till.refuse();
                return Err(turned_away(tenant, &config, refused.to_string()));
            }
            Ok(tab) => tab,
        };
        let mut rungs = rungs.into_iter();
        let rung = rungs.next().ok_or_else(|| Refusal::new(503, "no provider is left"))?;
        let trial = trial.filter(|trial| trial.is_of(&rung, &facts.secretary.of_tenant));
        let held = Held { room: Room::Call(permit), tab, trial };
        Ok(Entrance { config, rung, below: rungs.collect(), held })
    }

    /// The notice for a caller who is not let in, if there is one and room for it; else the refusal again.
    pub(super) fn tell(&self, facts: &mut Facts, refusal: Refusal) -> Result<Entrance, Refusal> {
        let Some(notice) = refusal.notice.clone() else { return Err(refusal) };
        let Ok(permit) = Arc::clone(&self.notices).try_acquire_owned() else { return Err(refusal) };
        let config = Arc::clone(&self.config.borrow());
        let secretary = facts.secretary.clone().saying_only(notice);
        let Ok(rung) = ladder::notice(&secretary, &refusal.why, &config, &self.ears) else { return Err(refusal) };
        warn!(detail = refusal.detail(), "Call refused, and the caller told: {}", refusal.why);
        facts.secretary = secretary;
        Ok(Entrance {
            config,
            rung,
            below: Vec::new(),
            held: Held { room: Room::Notice(permit), tab: None, trial: None },
        })
    }

    /// The configuration of this call. A tenant's own key that cannot be had is never replaced by the server's.
    pub(super) fn config_of(&self, secretary: &Secretary, tenant: &Tenant) -> Result<Arc<Config>, Refusal> {
        let config = Arc::clone(&self.config.borrow());
        let Some(provider) = &tenant.provider else { return Ok(config) };
        let key = match &tenant.api_key {
            ApiKey::OfServer => return Ok(config),
            ApiKey::Plain(key) => key.clone(),
            ApiKey::Sealed(text) => {
                let place = Place { domain: secretary.domain_uuid, provider: provider.as_str() };
                let opened = config.tenancy.master_keys.open(text, &place);
                opened.map_err(|error| Refusal::new(503, format!("the tenant's own key of {provider}: {error}")))?
            }
        };
        let mut own = (*config).clone();
        if !own.set_key(provider, key) {
            warn!(%provider, "this provider takes no key: the tenant's own is not used");
        }
        Ok(Arc::new(own))
    }

    /// The bill of a call whose tenant has a budget and of whose providers one asks for money.
    async fn tab(
        &self,
        facts: &Facts,
        tenant: &Tenant,
        rungs: &[Rung],
        config: &Config,
    ) -> Result<Option<Tab>, Exhausted> {
        let Some(budget) = tenant.budget.as_ref().filter(|_| !rungs.iter().all(Rung::is_free)) else {
            return Ok(None);
        };
        let (started_at, _) = facts.clock;
        let payer =
            Payer { domain: facts.secretary.domain_uuid, name: &facts.secretary.domain_name, zone: tenant.time_zone };
        self.till.open(payer, budget, config.tenancy.limits.reservation, started_at).await.map(Some)
    }

    /// Who is left to a tenant with a budget, which means nothing to a provider whose price nobody knows. Tells once of each model
    /// that has none.
    fn with_prices(
        &self,
        mut rungs: Vec<Rung>,
        facts: &Facts,
        tenant: &Tenant,
        config: &Config,
    ) -> Result<Vec<Rung>, Refusal> {
        let (started_at, _) = facts.clock;
        let refuses = config.tenancy.limits.unpriced == Unpriced::Refuse;
        for model in rungs.iter().flat_map(|rung| rung.unpriced(started_at)) {
            if self.till.meet_unpriced(model) {
                let follows = if refuses { "tenants with a budget do not get it" } else { "no budget counts it" };
                warn!(
                    model,
                    "There is no price of this model: what it is used for costs nothing by our account, and {follows}"
                );
            }
        }
        if refuses && tenant.budget.is_some() {
            rungs.retain(|rung| rung.unpriced(started_at).is_empty());
        }
        match rungs.is_empty() {
            true => Err(Refusal::new(503, "no provider is left whose price is known, which a budget needs")),
            false => Ok(rungs),
        }
    }
}

fn claim(facts: &Facts, tenant: &Tenant, rung: &Rung, config: &Config) -> Claim {
    let provider = rung.provider();
    Claim {
        domain: facts.secretary.domain_uuid,
        secretary: facts.secretary.secretary_realtime_uuid,
        provider: provider.to_owned(),
        caps: Caps {
            domain: tenant.max_concurrent_calls,
            secretary: facts.secretary.max_concurrent_calls,
            provider: config.tenancy.limits.provider_calls.get(provider).copied(),
            per_minute: tenant.calls_per_minute,
        },
    }
}

fn refusal(tenant: &Tenant, config: &Config, limit: Limit) -> Refusal {
    match limit {
        // Nobody's line is busy: the phone system may have another way to answer.
        Limit::ProviderCalls => Refusal::new(RefusalStatus::Unavailable.code(), limit.to_string()),
        Limit::DomainCalls | Limit::SecretaryCalls | Limit::CallRate => turned_away(tenant, config, limit.to_string()),
    }
}

fn turned_away(tenant: &Tenant, config: &Config, why: String) -> Refusal {
    let limits = &config.tenancy.limits;
    let notice = tenant.refusal.notice.clone().or_else(|| limits.notice.clone());
    Refusal::new(tenant.refusal.status.unwrap_or(limits.refusal).code(), why).with_notice(notice)
}
