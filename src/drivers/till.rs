//! What calls cost their tenants: opens a bill for each call of a tenant with a budget, and tells somebody when most of the
//! money is spent.
use super::switchboard::{Bus, Happening};
use crate::{
    record::MicroUsd,
    store::{Store, StoreError},
    tenancy::{
        Budget, Month,
        budget::{Account, Bill, Exhausted, Ledger, Standing, Terms},
    },
};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::json;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use thiserror::Error;
use tokio::{runtime::Handle, time::sleep};
use tracing::warn;
use ureq::Agent;
use uuid::Uuid;

/// How long what the database says of a month is good: what other servers spend is known so late.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// Before the second try to deliver an alert, and the third.
const TRY_AGAIN: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(15)];

/// Every bill of this process. Locks are held for a look at a map.
#[derive(Clone, Debug)]
pub struct Till(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    books: Mutex<Books>,
    store: Arc<dyn Store>,
    http: Agent,
    /// Where alerts are delivered: media threads have no time for it.
    runtime: Handle,
    bus: Bus,
}

#[derive(Debug, Default)]
struct Books {
    ledger: Ledger,
    /// What there is to know of each tenant with a budget; of the last month it had a call in.
    owners: BTreeMap<Uuid, Owner>,
    counts: Counts,
}

#[derive(Clone, Debug)]
struct Owner {
    name: String,
    month: Month,
    limit: MicroUsd,
    looked: Instant,
}

/// What has been counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls refused for want of money.
    pub refused: u64,
    /// Calls that were ended for want of money.
    pub ended: u64,
    /// Alerts.
    pub alerts: u64,
}

/// How the budget of a tenant stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// The tenant's name.
    pub domain: String,
    /// Which month.
    pub month: Month,
    /// What may be spent.
    pub limit: MicroUsd,
    /// What is.
    pub standing: Standing,
}

/// Whose call it is.
#[derive(Clone, Copy, Debug)]
pub struct Payer<'a> {
    /// The tenant.
    pub domain: Uuid,
    /// Its name.
    pub name: &'a str,
    /// Where its months begin.
    pub zone: Tz,
}

/// Why no bill is opened.
#[derive(Debug, Error)]
pub enum Refused {
    /// Nothing is left.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    /// What was spent cannot be known.
    #[error("what was spent this month is not known: {0}")]
    Unknown(#[from] StoreError),
}

/// The bill of one call. It is settled when this is dropped, however the call ends.
#[derive(Debug)]
pub struct Tab {
    till: Till,
    /// There until it is settled.
    bill: Option<Bill>,
    name: String,
    webhook: Option<String>,
    spent: MicroUsd,
}

impl Drop for Tab {
    fn drop(&mut self) {
        if let Some(bill) = self.bill.take() {
            self.till.books().ledger.settle(bill);
        }
    }
}

impl Till {
    /// An empty till. To be made within the runtime that delivers alerts.
    pub fn new(store: Arc<dyn Store>, http: Agent, bus: Bus) -> Self {
        Self(Arc::new(Inner { books: Mutex::default(), store, http, runtime: Handle::current(), bus }))
    }

    /// Opens the bill of a call that begins at this time.
    ///
    /// # Errors
    /// Nothing is left of the month's budget, or nobody knows.
    pub async fn open(
        &self,
        payer: Payer<'_>,
        budget: &Budget,
        step: MicroUsd,
        at: DateTime<Utc>,
    ) -> Result<Tab, Refused> {
        let account = (payer.domain, Month::of(at, payer.zone));
        self.look(payer, account, budget.monthly).await?;
        let terms = Terms { limit: budget.monthly, alert_at: budget.alert_at(), step };
        let mut books = self.books();
        let bill = books.ledger.open(account, terms)?;
        drop(books);
        let (name, webhook) = (payer.name.to_owned(), budget.webhook.clone());
        Ok(Tab { till: self.clone(), bill: Some(bill), name, webhook, spent: MicroUsd(0) })
    }

    /// Asks the database what the month has cost, unless it was asked a moment ago. When it does not answer, what is known
    /// has to do.
    async fn look(&self, payer: Payer<'_>, account: Account, limit: MicroUsd) -> Result<(), StoreError> {
        let (domain, month) = account;
        let known = self.books().owners.get(&domain).filter(|owner| owner.month == month).map(|owner| owner.looked);
        if known.is_none_or(|looked| looked.elapsed() >= LOOK_AGAIN) {
            match self.0.store.tenants().spent(domain, month.span(payer.zone)).await {
                Ok(spent) => self.books().ledger.observe(account, spent),
                Err(error) if known.is_some() => warn!(%error, "what other servers spent this month is not known"),
                Err(error) => return Err(error),
            }
        }
        let looked = known.filter(|looked| looked.elapsed() < LOOK_AGAIN).unwrap_or_else(Instant::now);
        let owner = Owner { name: payer.name.to_owned(), month, limit, looked };
        self.books().owners.insert(domain, owner);
        Ok(())
    }

    /// A call is refused for want of money.
    pub fn refuse(&self) {
        self.books().counts.refused += 1;
    }

    /// What has been counted.
    pub fn count(&self) -> Counts {
        self.books().counts
    }

    /// How the budgets stand of tenants that had a call.
    pub fn balances(&self) -> Vec<Balance> {
        let books = self.books();
        let balance = |(domain, owner): (&Uuid, &Owner)| Balance {
            domain: owner.name.clone(),
            month: owner.month,
            limit: owner.limit,
            standing: books.ledger.standing((*domain, owner.month)),
        };
        books.owners.iter().map(balance).collect()
    }

    /// Books are whole after a panic, too.
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells somebody that most of the money is spent.
    fn alert(&self, tab: &Tab, account: Account, (spent, terms): (MicroUsd, Terms)) {
        let (domain_uuid, month) = account;
        let (spent_usd, budget_usd) = (spent.dollars(), terms.limit.dollars());
        warn!(domain = %tab.name, %month, spent_usd, budget_usd, "The budget of a tenant is nearly spent");
        let alert = Happening::BudgetAlert {
            month: month.to_string(),
            spent_micro_usd: spent.0,
            budget_micro_usd: terms.limit.0,
        };
        self.0.bus.tell(Some(domain_uuid), alert);
        let Some(url) = tab.webhook.clone() else { return };
        let body = json!({
            "event": "budget_alert",
            "domain_uuid": domain_uuid,
            "domain_name": tab.name,
            "month": month.to_string(),
            "spent_micro_usd": spent.0,
            "budget_micro_usd": terms.limit.0,
        });
        let (http, name) = (self.0.http.clone(), tab.name.clone());
        self.0.runtime.spawn(deliver(http, url, body.to_string(), name));
    }
}

impl Tab {
    /// The call has cost so much so far; whether it has to end for want of money, which is said once.
    pub fn charge(&mut self, total: MicroUsd) -> bool {
        let Some(bill) = self.bill.as_mut().filter(|_| total > self.spent) else { return false };
        self.spent = total;
        let mut books = self.till.books();
        let charged = books.ledger.charge(bill, total);
        books.counts.ended += u64::from(charged.exhausted);
        books.counts.alerts += u64::from(charged.alert.is_some());
        drop(books);
        let (account, terms) = (bill.account(), bill.terms());
        if let Some(spent) = charged.alert {
            self.till.alert(self, account, (spent, terms));
        }
        charged.exhausted
    }
}

/// The URL may hold a secret, and what the agent says of a failure may quote it: neither is logged.
async fn deliver(http: Agent, url: String, body: String, domain: String) {
    let mut waits = TRY_AGAIN.into_iter();
    loop {
        let (agent, url, body) = (http.clone(), url.clone(), body.clone());
        let post = move || agent.post(&url).header("content-type", "application/json").send(body);
        let status = tokio::task::spawn_blocking(post).await.ok().and_then(Result::ok).map(|answer| answer.status());
        if status.is_some_and(|status| status.is_success()) {
            return;
        }
        let Some(wait) = waits.next() else {
            let status = status.map(|status| status.as_u16());
            return warn!(domain, status, "Nobody takes the alert at the tenant's budget_webhook");
        };
        sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Config, Environment},
        drivers::{https, switchboard::Told, trust},
        store,
    };
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    const STEP: MicroUsd = MicroUsd(250_000);

    async fn till() -> Till {
        let config = Config::parse("[database]\nurl = \"sqlite::memory:\"\n", "test", &Environment::new()).unwrap();
        let http = https::agent(trust::tls(&config).unwrap());
        Till::new(store::connect(&config.database).await.unwrap(), http, Bus::start())
    }

    const PAYER: Payer<'static> = Payer { domain: Uuid::nil(), name: "a.example", zone: Tz::UTC };

    fn budget(steps: u64, webhook: Option<String>) -> Budget {
        Budget { monthly: MicroUsd(steps * STEP.0), alert_percent: 50, webhook }
    }

    #[tokio::test]
    async fn a_tab_is_settled_also_by_a_panic() {
        let (till, now) = (till().await, Utc::now());
        let mut tab = till.open(PAYER, &budget(1, None), STEP, now).await.unwrap();
        assert!(matches!(till.open(PAYER, &budget(1, None), STEP, now).await, Err(Refused::Exhausted(_))));
        let broken = tokio::spawn(async move {
            tab.charge(MicroUsd(100_000));
            panic!("a bug");
        });
        assert!(broken.await.is_err());
        let balances = till.balances();
        assert_eq!(balances[0].standing, Standing { spent: MicroUsd(100_000), reserved: MicroUsd(0) });
        assert_eq!(till.count(), Counts::default());
    }

    /// Once all calls are up, talks on until the money is spent; what that cost.
    async fn talk(till: Till, budget: Budget, all: Arc<tokio::sync::Barrier>) -> u64 {
        let mut tab = till.open(PAYER, &budget, STEP, Utc::now()).await.unwrap();
        all.wait().await;
        let mut total = STEP.0 / 10;
        while !tab.charge(MicroUsd(total)) {
            total += STEP.0 / 10;
            tokio::task::yield_now().await;
        }
        total
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn fifty_calls_at_once_overspend_by_a_reservation_each_at_most() {
        const CALLS: u64 = 50;
        let till = till().await;
        let budget = budget(CALLS + 1, None);
        let mut calls = tokio::task::JoinSet::new();
        let all = Arc::new(tokio::sync::Barrier::new(usize::try_from(CALLS).unwrap()));
        for _ in 0..CALLS {
            calls.spawn(talk(till.clone(), budget.clone(), Arc::clone(&all)));
        }
        let spent: u64 = calls.join_all().await.into_iter().sum();
        let overspent = spent.saturating_sub(budget.monthly.0);
        assert!(overspent > 0 && overspent <= CALLS * STEP.0, "{overspent}");
        assert_eq!(till.balances()[0].standing, Standing { spent: MicroUsd(spent), reserved: MicroUsd(0) });
        assert_eq!(till.count(), Counts { refused: 0, ended: CALLS, alerts: 1 });
    }

    #[tokio::test]
    async fn an_alert_is_posted_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let till = till().await;
        let mut told = till.0.bus.events(Some(PAYER.domain), None);
        let mut tab = till.open(PAYER, &budget(4, Some(url)), STEP, Utc::now()).await.unwrap();
        assert!(!tab.charge(MicroUsd(2 * STEP.0)) && !tab.charge(MicroUsd(3 * STEP.0)));
        let request = tokio::task::spawn_blocking(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut request, mut piece) = (String::new(), [0; 4_096]);
            while !request.ends_with('}') {
                let length = stream.read(&mut piece).unwrap();
                request.push_str(&String::from_utf8_lossy(&piece[..length]));
            }
            stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
            request
        });
        let request = request.await.unwrap();
        assert!(request.starts_with("POST /hook HTTP/1.1\r\n"), "{request}");
        assert!(
            request.contains(r#""spent_micro_usd":500000"#) && request.contains(r#""domain_name":"a.example""#),
            "{request}"
        );
        assert_eq!(till.count().alerts, 1);
        let Some(Told::Event(_, alert)) = told.next().await else { panic!("the tenant was not told") };
        assert!(matches!(alert.what, Happening::BudgetAlert { spent_micro_usd: 500_000, .. }), "{alert:?}");
    }
}
