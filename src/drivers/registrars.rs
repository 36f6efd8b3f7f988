//! From a registrar's name to its addresses, and from there to a registration. Names are located again when DNS wants
//! it, and when no address answers any more. A name without an address is asked for again: servers start before their
//! resolvers do.
use super::{
    dns::Dns,
    seed,
    sip_socket::Request,
    switchboard::{Bus, Happening},
};
use crate::{
    accounts::{self, Account, Change, Known, Source},
    config,
    secretary::DomainRef,
};
use sip::{
    RegistrationId, RegistrationState, Transport,
    locate::{Located, SHORTEST, Target},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tracing::{info, warn};

/// When a name without an address is asked for again, at first and at last, and how soon one that was located.
const PACE: Pace = Pace { first: Duration::from_secs(2), longest: Duration::from_secs(300), soonest: SHORTEST };

/// Orders that may wait. Whoever gives one waits for room, but for [`Registrars::lost`].
const ORDERS: usize = 64;

/// What is registered, and the task that keeps it so.
#[derive(Debug)]
pub struct Registrars {
    /// What runs: whose calls are welcome because we register with them, and to which tenant they belong.
    pub known: watch::Receiver<Known>,
    orders: mpsc::Sender<Order>,
    task: JoinHandle<Vec<RegistrationId>>,
}

/// What can be asked of the task.
#[derive(Debug)]
pub enum Order {
    /// These are the accounts of this source, and no others.
    Apply(Source, Vec<Account>),
    /// No address of this registrar answers.
    Lost(RegistrationId),
}

#[derive(Clone, Copy, Debug)]
struct Pace {
    first: Duration,
    longest: Duration,
    soonest: Duration,
}

impl Registrars {
    /// Nothing is registered yet.
    pub fn start(dns: &Arc<Dns>, requests: &mpsc::Sender<Request>) -> Self {
        let (known, watched) = watch::channel(Known::new());
        let (orders, queue) = mpsc::channel(ORDERS);
        let keeping = Keeping {
            known: Arc::new(known),
            next: 0,
            keepers: BTreeMap::new(),
            dns: Arc::clone(dns),
            requests: requests.clone(),
        };
        Self { known: watched, orders, task: tokio::spawn(keeping.run(queue)) }
    }

    /// For whoever hears what becomes of registrations.
    pub fn watcher(&self, bus: Bus) -> Watcher {
        Watcher { known: self.known.clone(), orders: self.orders.downgrade(), bus, up: BTreeMap::new() }
    }

    /// For whoever knows the accounts of another source. The task goes on for as long as anybody can give orders.
    pub fn orders(&self) -> mpsc::Sender<Order> {
        self.orders.clone()
    }

    /// Has these accounts of the source registered, and no others.
    pub async fn apply(&self, source: Source, accounts: Vec<Account>) {
        // A task that is gone registers nobody.
        let _ = self.orders.send(Order::Apply(source, accounts)).await;
    }

    /// Looks for no more addresses and takes no more orders. Returns what may have been registered.
    pub async fn settle(self) -> Vec<RegistrationId> {
        drop(self.orders);
        self.task.await.unwrap_or_default()
    }
}

/// Hears what becomes of registrations, and does not keep the task alive.
#[derive(Debug)]
pub struct Watcher {
    known: watch::Receiver<Known>,
    orders: mpsc::WeakSender<Order>,
    bus: Bus,
    /// Whose registrars have our contact, as was told.
    up: BTreeMap<RegistrationId, bool>,
}

impl Watcher {
    /// A registration changed its state. A registrar of which no address answers may have others.
    pub fn note(&mut self, id: RegistrationId, state: &RegistrationState) {
        self.tell(id, state);
        {
            let known = self.known.borrow();
            let account = known.get(&id).map(|registrar| &registrar.account.registration);
            info!(
                user = account.map(|a| a.user.as_str()),
                domain = account.map(|a| a.domain.as_str()),
                ?state,
                "Registration"
            );
        }
        if let Some(orders) = self.orders.upgrade().filter(|_| state.is_unanswered()) {
            // With its queue full the task is busy locating already; the next failure asks again.
            let _ = orders.try_send(Order::Lost(id));
        }
    }

    /// Tells the tenant of an account of the database what became of it, and of one of the file the administrator alone:
    /// whose UUID a name of the file means, only the database knows.
    fn tell(&mut self, id: RegistrationId, state: &RegistrationState) {
        let (up, code) = match state {
            RegistrationState::Trying => return,
            RegistrationState::Registered { .. } => (true, Some(200)),
            RegistrationState::Failed { status, .. } => (false, Some(*status)),
            RegistrationState::Removed => (false, None),
        };
        let known = self.known.borrow();
        self.up.retain(|id, _| known.contains_key(id));
        let Some(account) = known.get(&id).map(|registrar| &registrar.account) else { return };
        if self.up.insert(id, up) == Some(up) {
            return;
        }
        let domain = match &account.tenant {
            DomainRef::Uuid(uuid) => Some(*uuid),
            DomainRef::Name(_) => None,
        };
        let account = format!("{}@{}", account.registration.user, account.registration.domain);
        self.bus.tell(domain, Happening::Registration { account, up, code });
    }
}

/// The task's own.
struct Keeping {
    known: Arc<watch::Sender<Known>>,
    next: u32,
    keepers: BTreeMap<RegistrationId, (Arc<Notify>, JoinHandle<()>)>,
    dns: Arc<Dns>,
    requests: mpsc::Sender<Request>,
}

impl Keeping {
    /// Follows orders until nobody can give any.
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) -> Vec<RegistrationId> {
        while let Some(order) = orders.recv().await {
            match order {
                Order::Lost(id) => {
                    if let Some((bell, _)) = self.keepers.get(&id) {
                        bell.notify_one();
                    }
                }
                Order::Apply(source, wanted) => {
                    let mut changes = Vec::new();
                    let next = &mut self.next;
                    self.known.send_modify(|running| changes = accounts::apply(running, next, source, wanted));
                    for change in changes {
                        self.make(change).await;
                    }
                }
            }
        }
        let ids = self.keepers.keys().copied().collect();
        for (_, (_, keeper)) in std::mem::take(&mut self.keepers) {
            silence(keeper).await;
        }
        ids
    }

    async fn make(&mut self, change: Change) {
        let (Change::Start(id) | Change::Restart(id) | Change::Stop(id)) = change;
        if let Some((_, keeper)) = self.keepers.remove(&id) {
            silence(keeper).await;
        }
        if let Change::Stop(id) = change {
            // A SIP task that is gone has nobody registered.
            let _ = self.requests.send(Request::Unregister(id)).await;
            return;
        }
        let registration = self.known.borrow().get(&id).map(|registrar| registrar.account.registration.clone());
        let Some(registration) = registration else { return };
        let bell = Arc::new(Notify::new());
        let keeper = Keeper {
            id,
            registration,
            bell: Arc::clone(&bell),
            known: Arc::clone(&self.known),
            requests: self.requests.clone(),
        };
        self.keepers.insert(id, (bell, tokio::spawn(locate(Arc::clone(&self.dns), keeper))));
    }
}

/// Ends a keeper for good: what it was about to ask for must not come after what is asked for next.
async fn silence(keeper: JoinHandle<()>) {
    keeper.abort();
    // It ended by being aborted, as it should.
    let _ = keeper.await;
}

async fn locate(dns: Arc<Dns>, keeper: Keeper) {
    // One seed for all lookups: the same records are the same order, and nobody moves without need.
    let (uri, seed) = (keeper.registration.first_hop().clone(), seed());
    let lookup = |again| {
        let (dns, uri) = (Arc::clone(&dns), uri.clone());
        async move {
            if again == Again::Lost {
                dns.forget();
            }
            dns.locate(&uri, seed).await.unwrap_or_else(|error| {
                warn!(registrar = %uri, %error, "The registrar cannot be reached");
                Located { targets: Vec::new(), valid: SHORTEST }
            })
        }
    };
    keeper.keep(lookup, PACE).await;
}

/// Why a name is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    /// Its time has come.
    Due,
    /// No address answers.
    Lost,
}

/// Keeps one registration at the addresses of its registrar.
struct Keeper {
    id: RegistrationId,
    registration: config::Registration,
    bell: Arc<Notify>,
    known: Arc<watch::Sender<Known>>,
    requests: mpsc::Sender<Request>,
}

impl Keeper {
    /// Looks up for ever. A lookup without a result leaves things as they are, and is repeated less and less often.
    async fn keep<L: Future<Output = Located>>(self, mut lookup: impl FnMut(Again) -> L, pace: Pace) {
        let mut targets = Vec::new();
        let mut wait = pace.first;
        let mut again = Again::Due;
        loop {
            let found = lookup(again).await;
            if found.targets.is_empty() {
                warn!(registrar = %self.registration.first_hop(), again_in = ?wait, "The registrar's name has no address");
                sleep(wait).await;
                wait = wait.saturating_mul(2).min(pace.longest);
                continue;
            }
            wait = pace.first;
            if found.targets != targets {
                self.tell(targets.is_empty(), &found.targets).await;
                targets = found.targets;
            }
            again = self.pause(found.valid, pace.soonest).await;
        }
    }

    /// Waits as long as a location is true, or until it has proved wrong.
    async fn pause(&self, valid: Duration, soonest: Duration) -> Again {
        sleep(soonest).await;
        match timeout(valid.saturating_sub(soonest), self.bell.notified()).await {
            Ok(()) => Again::Lost,
            Err(_) => Again::Due,
        }
    }

    /// Tells the SIP task; one that is gone registers nobody.
    async fn tell(&self, first: bool, targets: &[Target]) {
        info!(registrar = %self.registration.first_hop(), ?targets, "Registrar located");
        self.known.send_modify(|all| {
            if let Some(registrar) = all.get_mut(&self.id) {
                registrar.addresses = targets.iter().map(|target| target.remote.ip()).collect();
            }
        });
        for target in targets.iter().filter(|target| target.transport == Transport::Tls) {
            let _ = self.requests.send(Request::Name(target.remote, target.name.clone())).await;
        }
        let request = match first {
            true => Request::Register(self.id, self.account(targets.to_vec())),
            false => Request::Retarget(self.id, targets.to_vec()),
        };
        let _ = self.requests.send(request).await;
    }

    fn account(&self, targets: Vec<Target>) -> sip::Registration {
        let account = &self.registration;
        sip::Registration {
            targets,
            proxy: account.outbound_proxy.clone(),
            domain: account.domain.clone(),
            user: account.user.clone(),
            auth_user: account.auth_user.clone(),
            password: account.password.expose().to_owned(),
            contact_user: account.contact_user.clone(),
            expires: account.expires,
            ping: account.ping,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        accounts::Registrar,
        config::{Config, Environment},
    };
    use sip::locate::Reach;
    use std::{collections::VecDeque, net::IpAddr};

    const PACE: Pace =
        Pace { first: Duration::from_micros(1), longest: Duration::from_micros(4), soonest: Duration::from_micros(1) };

    fn registration(registrar: &str) -> config::Registration {
        let text = format!("[[registrations]]\nregistrar = {registrar:?}\nuser = \"2000\"\npassword = \"x\"\n");
        Config::parse(&text, "test.toml", &Environment::default()).unwrap().registrations.remove(0)
    }

    fn addresses(known: &watch::Receiver<Known>) -> Vec<IpAddr> {
        known.borrow()[&RegistrationId(0)].addresses.clone()
    }

    fn located(hosts: &[u8], valid: Duration) -> Located {
        let target = |host: &u8| {
            let remote = ([192, 0, 2, *host], 5060).into();
            Target { transport: Transport::Udp, remote, name: "pbx.example".into() }
        };
        Located { targets: hosts.iter().map(target).collect(), valid }
    }

    /// What is asked of the SIP task, as names of requests and last bytes of addresses, and why each lookup was made.
    async fn keep(answers: Vec<Located>, lost: u32) -> (Vec<String>, Vec<Again>) {
        let account = Account::of_file(registration("pbx.example"));
        let registration = account.registration.clone();
        let running = Known::from([(RegistrationId(0), Registrar { account, addresses: Vec::new() })]);
        let (known, watched) = watch::channel(running);
        let (requests, mut queue) = mpsc::channel(16);
        let bell = Arc::new(Notify::new());
        let keeper =
            Keeper { id: RegistrationId(0), registration, bell: Arc::clone(&bell), known: Arc::new(known), requests };
        let mut answers = VecDeque::from(answers);
        let mut reasons = Vec::new();
        let (ended, mut end) = mpsc::channel::<()>(1);
        let lookup = |again| {
            reasons.push(again);
            if reasons.len() <= lost as usize {
                bell.notify_one();
            }
            let (answer, ended) = (answers.pop_front(), ended.clone());
            async move {
                if answer.is_none() {
                    ended.send(()).await.unwrap();
                }
                match answer {
                    Some(answer) => answer,
                    None => std::future::pending().await,
                }
            }
        };
        tokio::select! {
            () = keeper.keep(lookup, PACE) => {}
            _ = end.recv() => {}
        }
        let mut asked = Vec::new();
        while let Ok(request) = queue.try_recv() {
            let (name, targets) = match request {
                Request::Register(RegistrationId(0), registration) => ("register", registration.targets),
                Request::Retarget(RegistrationId(0), targets) => ("retarget", targets),
                other => panic!("{other:?}"),
            };
            let last = targets.last().unwrap().remote.ip();
            assert!(!queue.is_empty() || addresses(&watched).contains(&last), "whose calls are welcome");
            asked.push(format!("{name} {last}"));
        }
        (asked, reasons)
    }

    #[tokio::test]
    async fn a_name_is_asked_for_until_it_has_an_address() {
        let none = || located(&[], Duration::ZERO);
        let (asked, _) = keep(vec![none(), none(), located(&[7], Duration::ZERO)], 0).await;
        assert_eq!(asked, ["register 192.0.2.7"]);
    }

    #[tokio::test]
    async fn a_name_is_looked_up_again_when_its_time_has_come() {
        let soon = Duration::from_micros(2);
        let answers = [&[7][..], &[7], &[], &[8]].map(|hosts| located(hosts, soon));
        let (asked, reasons) = keep(answers.to_vec(), 0).await;
        assert_eq!(asked, ["register 192.0.2.7", "retarget 192.0.2.8"], "what stays the same is not told again");
        assert_eq!(reasons, [Again::Due; 5]);
    }

    #[tokio::test]
    async fn a_name_whose_addresses_do_not_answer_is_looked_up_at_once() {
        let hour = Duration::from_secs(3_600);
        let (asked, reasons) = keep(vec![located(&[7], hour), located(&[8], Duration::ZERO)], 1).await;
        assert_eq!(asked, ["register 192.0.2.7", "retarget 192.0.2.8"]);
        assert_eq!(reasons[..2], [Again::Due, Again::Lost]);
    }

    #[tokio::test]
    async fn a_registrar_by_name_is_known_by_its_address_before_it_is_asked() {
        let reach = Reach::new([(Transport::Udp, "127.0.0.1".parse().unwrap())]);
        // Nobody answers there: /etc/hosts must be enough.
        let dns = Arc::new(Dns::new(&["127.0.0.1:9".parse().unwrap()], reach).unwrap());
        let (requests, mut queue) = mpsc::channel(4);
        let registrars = Registrars::start(&dns, &requests);
        let account = Account::of_file(registration("localhost:5099"));
        registrars.apply(Source::File, vec![account]).await;
        let Some(Request::Register(RegistrationId(0), asked)) = queue.recv().await else { panic!("no registration") };
        let remote = asked.targets[0].remote;
        assert_eq!(remote, "127.0.0.1:5099".parse().unwrap(), "the family of our own socket");
        assert!(addresses(&registrars.known).contains(&remote.ip()));
        registrars.apply(Source::Database, Vec::new()).await;
        registrars.apply(Source::File, Vec::new()).await;
        assert!(
            matches!(queue.recv().await, Some(Request::Unregister(RegistrationId(0)))),
            "and the other source changed nothing"
        );
        assert_eq!(registrars.settle().await, []);
    }
}
