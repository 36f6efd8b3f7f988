//! What calls cost their tenants: opens a bill for each call of a tenant with a budget, and tells somebody when most of the
//! money is spent.
use super::{
    https,
    switchboard::{Bus, Happening},
};
use crate::{
    record::MicroUsd,
    store::Store,
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
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};
use tracing::warn;
use ureq::Agent;
use uuid::Uuid;

/// How long what the database says of a month is good: what other servers spend is known so late.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// How soon a database that did not answer is asked again.
const LOOK_SOON: Duration = Duration::from_secs(5);
/// How long it may take: a caller hears nothing meanwhile.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long it may take to say more of a month of which something is known.
const PATIENCE_IF_KNOWN: Duration = Duration::from_millis(500);
/// Before the second try to deliver an alert, and the third.
const TRY_AGAIN: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(15)];
/// Models whose price nobody knows that are told apart; of more nothing is said.
const MOST_MODELS: usize = 1_000;

/// Every bill of this process. Locks are held for a look at a map.
#[derive(Clone, Debug)]
pub struct Till(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    books: Mutex<Books>,
    store: Arc<dyn Store>,
    /// This process, in what is noted of calls that are up.
    node: Uuid,
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
    /// Models without a price, and how many calls might have had them.
    unpriced: BTreeMap<String, u64>,
}

#[derive(Clone, Debug)]
struct Owner {
    name: String,
    month: Month,
    limit: MicroUsd,
    /// When the database is asked again.
    look_at: Instant,
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
    /// Questions what a month has cost that the database did not answer.
    pub by_memory: u64,
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

/// Whose money it is, of which month, and who is told when most of it is spent.
#[derive(Clone, Debug)]
struct Purse {
    account: Account,
    terms: Terms,
    name: String,
    webhook: Option<String>,
}

/// The bill of one call. It is settled when this is dropped, however the call ends.
#[derive(Debug)]
pub struct Tab {
    till: Till,
    /// There until it is settled.
    bill: Option<Bill>,
    purse: Purse,
    spent: MicroUsd,
}

/// What is left of a tab when its call is over, for a bill that comes later.
#[derive(Clone, Debug)]
pub struct Correction {
    till: Till,
    purse: Purse,
}

/// A bill on its way into the database: a provider charged this for its part of the call, and not what was estimated.
/// Until this is dropped, what the database says of the month's cost may have it or not, and so counts without the
/// difference.
#[derive(Debug)]
pub struct Correcting {
    of: Correction,
    estimated: MicroUsd,
    charged: MicroUsd,
}

impl Drop for Correcting {
    fn drop(&mut self) {
        let Correction { till, purse } = &self.of;
        till.books().ledger.end_correction(purse.account, self.estimated, self.charged);
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        if let Some(bill) = self.bill.take() {
            self.till.books().ledger.settle(bill);
        }
    }
}

impl Till {
    /// An empty till of a process that notes what calls cost as this node. To be made within the runtime that delivers alerts.
    pub fn new(store: Arc<dyn Store>, node: Uuid, http: Agent, bus: Bus) -> Self {
        Self(Arc::new(Inner { books: Mutex::default(), store, node, http, runtime: Handle::current(), bus }))
    }

    /// Opens the bill of a call that begins at this time.
    ///
    /// # Errors
    /// Nothing is left of the month's budget.
    pub async fn open(
        &self,
        payer: Payer<'_>,
        budget: &Budget,
        step: MicroUsd,
        at: DateTime<Utc>,
    ) -> Result<Tab, Exhausted> {
        let account = (payer.domain, Month::of(at, payer.zone));
        self.look(payer, account, budget.monthly).await;
        let terms = Terms { limit: budget.monthly, alert_at: budget.alert_at(), step };
        let purse = Purse { account, terms, name: payer.name.to_owned(), webhook: budget.webhook.clone() };
        let (due, opened) = {
            let ledger = &mut self.books().ledger;
            (ledger.due(account, terms.alert_at), ledger.open(account, terms))
        };
        self.alert(&purse, due);
        Ok(Tab { till: self.clone(), bill: Some(opened?), purse, spent: MicroUsd(0) })
    }

    /// Asks the database what the month has cost, unless it was asked a moment ago. When it does not answer, what is known has to
    /// do: of a month of which nothing is known that is what this process has spent in it.
    async fn look(&self, payer: Payer<'_>, account: Account, limit: MicroUsd) {
        let (domain, month) = account;
        let known = self.books().owners.get(&domain).filter(|owner| owner.month == month).map(|owner| owner.look_at);
        let mut look_at = known.unwrap_or_else(Instant::now);
        if look_at <= Instant::now() {
            let question = self.books().ledger.ask(account);
            let asked = self.0.store.usage().spent(domain, month.span(payer.zone), self.0.node);
            let patience = if known.is_some() { PATIENCE_IF_KNOWN } else { PATIENCE };
            let wait = match timeout(patience, asked).await {
                Ok(Ok(spent)) => {
                    let counts = self.books().ledger.answer(&question, spent);
                    if counts { LOOK_AGAIN } else { LOOK_SOON }
                }
                problem => {
                    let problem = problem.map_or_else(
                        |_| format!("no answer within {patience:?}"),
                        |answer| format!("{:?}", answer.err()),
                    );
                    warn!(problem, "What this month has cost is not known: calls go by what this server knows of it");
                    self.books().counts.by_memory += 1;
                    LOOK_SOON
                }
            };
            look_at = Instant::now() + wait;
        }
        let owner = Owner { name: payer.name.to_owned(), month, limit, look_at };
        self.books().owners.insert(domain, owner);
    }

    /// A call is refused for want of money.
    pub fn refuse(&self) {
        self.books().counts.refused += 1;
    }

    /// A call may have a model whose price nobody knows; true if none had it before.
    pub fn meet_unpriced(&self, model: &str) -> bool {
        let mut books = self.books();
        let is_new = !books.unpriced.contains_key(model);
        if is_new && books.unpriced.len() >= MOST_MODELS {
            return false;
        }
        *books.unpriced.entry(model.to_owned()).or_default() += 1;
        is_new
    }

    /// Models without a price, and how many calls might have had them.
    pub fn unpriced(&self) -> BTreeMap<String, u64> {
        self.books().unpriced.clone()
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

    /// Has somebody told that most of the money is spent, if it is.
    fn alert(&self, purse: &Purse, spent: Option<MicroUsd>) {
        if let Some(spent) = spent {
            self.0.runtime.spawn(self.clone().tell(purse.clone(), spent));
        }
    }

    /// Tells it, unless another server has, or this one before it was started anew. While nobody knows, twice is better than never.
    async fn tell(self, purse: Purse, spent: MicroUsd) {
        let Purse { account: (domain_uuid, month), terms, name, webhook } = purse;
        let claim = self.0.store.usage().claim_alert(domain_uuid, &month.to_string(), terms.alert_at).await;
        if matches!(claim, Ok(false)) {
            return;
        }
        self.books().counts.alerts += 1;
        let (spent_usd, budget_usd) = (spent.dollars(), terms.limit.dollars());
        warn!(domain = %name, %month, spent_usd, budget_usd, "The budget of a tenant is nearly spent");
        let alert = Happening::BudgetAlert {
            month: month.to_string(),
            spent_micro_usd: spent.0,
            budget_micro_usd: terms.limit.0,
        };
        self.0.bus.tell(Some(domain_uuid), alert);
        let Some(url) = webhook else { return };
        let body = json!({
            "event": "budget_alert",
            "domain_uuid": domain_uuid,
            "domain_name": name,
            "month": month.to_string(),
            "spent_micro_usd": spent.0,
            "budget_micro_usd": terms.limit.0,
        });
        deliver(self.0.http.clone(), url, body.to_string(), name).await;
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
        drop(books);
        self.till.alert(&self.purse, charged.alert);
        charged.exhausted
    }

    /// For a bill that comes when the call is over.
    pub fn correction(&self) -> Correction {
        Correction { till: self.till.clone(), purse: self.purse.clone() }
    }
}

impl Correction {
    /// The database is told from here on that a provider charged this, and not what was estimated.
    pub fn begin(self, estimated: MicroUsd, charged: MicroUsd) -> Correcting {
        self.till.books().ledger.begin_correction(self.purse.account, estimated, charged);
        Correcting { of: self, estimated, charged }
    }
}

impl Correcting {
    /// The database has it.
    pub fn apply(self) {
        let Correction { till, purse } = &self.of;
        let Purse { account, terms, .. } = *purse;
        let due = {
            let ledger = &mut till.books().ledger;
            ledger.correct(account, self.estimated, self.charged);
            ledger.due(account, terms.alert_at)
        };
        till.alert(purse, due);
    }
}

/// The URL may hold a secret, and what the agent says of a failure may quote it: neither is logged.
async fn deliver(http: Agent, url: String, body: String, domain: String) {
    let mut waits = TRY_AGAIN.into_iter();
    loop {
        let (agent, url, body) = (http.clone(), url.clone(), body.clone());
        let post = move || agent.post(&url).header("content-type", "application/json").send(body);
        let answer = tokio::task::spawn_blocking(post).await.ok();
        if let Some(Err(error)) = &answer
            && let Some(why) = https::refusal(error)
        {
            return warn!(domain, why, "The alert is not delivered: nobody may call the tenant's budget_webhook");
        }
        let status = answer.and_then(Result::ok).map(|answer| answer.status());
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
        drivers::{switchboard::Told, trust},
        record::Share,
        store::{self, Spending},
    };
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    const STEP: MicroUsd = MicroUsd(250_000);

    /// A till over this store.
    fn over(store: &Arc<dyn Store>) -> Till {
        let config = Config::parse("", "test", &Environment::new()).unwrap();
        Till::new(Arc::clone(store), Uuid::new_v4(), https::agent(trust::tls(&config).unwrap()), Bus::start())
    }

    async fn store() -> Arc<dyn Store> {
        let config = Config::parse("[database]\nurl = \"sqlite::memory:\"\n", "test", &Environment::new()).unwrap();
        store::connect(&config.database).await.unwrap()
    }

    async fn till() -> Till {
        over(&store().await)
    }

    /// Waits until as many alerts were given.
    async fn alerts(till: &Till, wanted: u64) {
        let given = async {
            while till.count().alerts < wanted {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(10), given).await.unwrap();
        assert_eq!(till.count().alerts, wanted);
    }

    const PAYER: Payer<'static> = Payer { domain: Uuid::nil(), name: "a.example", zone: Tz::UTC };

    fn budget(steps: u64, webhook: Option<String>) -> Budget {
        Budget { monthly: MicroUsd(steps * STEP.0), alert_percent: 50, webhook }
    }

    #[tokio::test]
    async fn a_tab_is_settled_also_by_a_panic() {
        let (till, now) = (till().await, Utc::now());
        let mut tab = till.open(PAYER, &budget(1, None), STEP, now).await.unwrap();
        assert!(till.open(PAYER, &budget(1, None), STEP, now).await.is_err());
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
        assert_eq!(till.count().ended, CALLS);
        alerts(&till, 1).await;
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

    /// Where nobody may be called, nobody is; and what somebody who is called says of others leads nowhere.
    #[tokio::test]
    async fn nobody_within_is_called_and_no_answer_leads_on() {
        let tls = trust::tls(&Config::parse("", "test", &Environment::new()).unwrap()).unwrap();
        let [asked, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let at = |listener: &TcpListener| format!("127.0.0.1:{}/", listener.local_addr().unwrap().port());
        let deliver = |scheme: &str| {
            let url = format!("{scheme}://{}", at(&asked));
            deliver(https::public_agent(Arc::clone(&tls)), url, String::new(), "a.example".into())
        };
        // It gives up at once.
        timeout(TRY_AGAIN[0], async { tokio::join!(deliver("http"), deliver("https")) }).await.unwrap();
        asked.set_nonblocking(true).unwrap();
        assert!(asked.accept().is_err(), "it was called");
        asked.set_nonblocking(false).unwrap();
        let (url, location) = (format!("http://{}", at(&asked)), format!("http://{}", at(&other)));
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = asked.accept().unwrap();
            assert!(stream.read(&mut [0; 4_096]).unwrap() > 0);
            let head = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
        });
        let agent = https::agent(tls);
        let answer =
            tokio::task::spawn_blocking(move || agent.post(&url).send("{}").map(|answer| answer.status().as_u16()));
        assert_eq!(answer.await.unwrap().unwrap(), 302);
        answering.join().unwrap();
        other.set_nonblocking(true).unwrap();
        assert!(other.accept().is_err(), "it was led on");
    }

    /// What a conversation of then has cost, as another server or an earlier process has it in the database.
    fn spending(started_at: DateTime<Utc>, micros: u64) -> Spending {
        let share = Share {
            provider: "openai".into(),
            talked: Duration::from_secs(60),
            input_tokens: 0,
            output_tokens: 0,
            cost: MicroUsd(micros),
        };
        let conversation = Uuid::new_v4();
        Spending { conversation, domain: PAYER.domain, secretary: None, started_at, shares: vec![share] }
    }

    #[tokio::test]
    async fn what_other_servers_spent_is_alerted_of_by_one_server_once() {
        let (store, now) = (store().await, Utc::now());
        let (one, other) = (over(&store), over(&store));
        let _tab = one.open(PAYER, &budget(4, None), STEP, now).await.unwrap();
        assert_eq!(one.count().alerts, 0);
        // In the middle of a call of a third.
        store.usage().note_spending(&spending(now, 3 * STEP.0), Uuid::new_v4()).await.unwrap();
        let tab = other.open(PAYER, &budget(4, None), STEP, now).await.unwrap();
        alerts(&other, 1).await;
        drop(tab);
        // One that is started anew knows nothing but what is in the database.
        let again = over(&store);
        let mut tab = again.open(PAYER, &budget(4, None), STEP, now).await.unwrap();
        tab.charge(STEP);
        assert!(again.open(PAYER, &budget(4, None), STEP, now).await.is_err());
        // Whoever asks the one connection of this database after the till did is answered after it.
        for _ in 0..10 {
            store.usage().claim_alert(PAYER.domain, "x", STEP).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(again.count().alerts, 0);
    }

    #[tokio::test]
    async fn a_bill_that_comes_later_counts_and_is_alerted_of() {
        let till = till().await;
        let mut tab = till.open(PAYER, &budget(10, None), STEP, Utc::now()).await.unwrap();
        tab.charge(STEP);
        let correction = tab.correction();
        drop(tab);
        correction.begin(STEP, MicroUsd(6 * STEP.0)).apply();
        assert_eq!(till.balances()[0].standing.spent, MicroUsd(6 * STEP.0));
        alerts(&till, 1).await;
    }

    /// The database has it before the till does, which may be minutes: who asks meanwhile counts it once all the same,
    /// and what others spend counts.
    #[tokio::test]
    async fn a_bill_that_the_database_has_already_is_counted_once() {
        let (store, now) = (store().await, Utc::now());
        let till = over(&store);
        let mut tab = till.open(PAYER, &budget(40, None), STEP, now).await.unwrap();
        tab.charge(STEP);
        let correction = tab.correction();
        drop(tab);
        let look = async || {
            till.books().owners.values_mut().for_each(|owner| owner.look_at = Instant::now());
            drop(till.open(PAYER, &budget(40, None), STEP, now).await.unwrap());
            till.balances()[0].standing.spent.0 / STEP.0
        };
        let spend = async |steps: u64| {
            store.usage().note_spending(&spending(now, steps * STEP.0), Uuid::new_v4()).await.unwrap();
        };
        let correcting = correction.begin(STEP, MicroUsd(6 * STEP.0));
        spend(6).await;
        assert_eq!(look().await, 1);
        spend(20).await;
        assert_eq!(look().await, 21);
        assert!(till.open(PAYER, &budget(21, None), STEP, now).await.is_err(), "a budget that is used up is");
        correcting.apply();
        assert_eq!((till.balances()[0].standing.spent.0 / STEP.0, look().await), (26, 26));
        spend(1).await;
        assert_eq!(look().await, 27, "what others spend is seen again");
    }

    #[tokio::test]
    async fn a_month_of_which_the_database_says_nothing_goes_by_what_this_server_knows() {
        let sql = store::tests::unplugged().await;
        let (till, now) = (over(&sql), Utc::now());
        let mut tab = till.open(PAYER, &budget(2, None), STEP, now).await.unwrap();
        assert!(!tab.charge(STEP));
        drop(tab);
        assert!(till.open(PAYER, &budget(1, None), STEP, now).await.is_err(), "what was spent here is known");
        assert!(till.count().by_memory >= 1);
        let next = now + chrono::TimeDelta::days(32);
        assert!(till.open(PAYER, &budget(1, None), STEP, next).await.is_ok(), "it is another month");
    }

    #[tokio::test]
    async fn of_a_month_that_is_known_nobody_waits_to_hear_more() {
        let scratch = store::tests::sqlite().await.unwrap();
        let store: Arc<dyn Store> = Arc::new(scratch.store.clone());
        let (till, now, budget) = (over(&store), Utc::now(), budget(2, None));
        drop(till.open(PAYER, &budget, STEP, now).await.unwrap());
        let store::Sql::Sqlite(pool) = &scratch.store else { panic!("another database") };
        let mut busy = Vec::new();
        for _ in 0..pool.options().get_max_connections() {
            busy.push(pool.acquire().await.unwrap());
        }
        till.books().owners.values_mut().for_each(|owner| owner.look_at = Instant::now());
        let opened = till.open(PAYER, &budget, STEP, now);
        assert!(timeout(Duration::from_millis(2_500), opened).await.unwrap().is_ok());
        assert_eq!(till.count().by_memory, 1);
    }

    #[tokio::test]
    async fn a_model_without_a_price_is_news_once() {
        let till = till().await;
        assert!(till.meet_unpriced("m") && !till.meet_unpriced("m"));
        assert_eq!(till.unpriced(), [("m".to_owned(), 2)].into());
    }
}
