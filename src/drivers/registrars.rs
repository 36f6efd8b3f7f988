//! From a registrar's name to its addresses, and from there to a registration. A name without an address is asked for
//! again: servers start before their resolvers do.
use super::sip_socket::Request;
use crate::config::{self, HostPort};
use sip::RegistrationId;
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::warn;

/// How long the resolver may take.
const LOOKUP: Duration = Duration::from_secs(5);
/// When a name without an address is asked for again, at first and at last.
const PACE: Pace = Pace { first: Duration::from_secs(2), longest: Duration::from_secs(300) };

/// Addresses of each registrar, in the order of `[[registrations]]`; none while its name has none.
pub type Addresses = Vec<Vec<IpAddr>>;

/// All registrations of the configuration, and the tasks that still look for addresses.
#[derive(Debug)]
pub struct Registrars {
    /// Whose calls are welcome because we register with them.
    pub addresses: watch::Receiver<Addresses>,
    count: u32,
    tasks: JoinSet<()>,
}

#[derive(Clone, Copy, Debug)]
struct Pace {
    first: Duration,
    longest: Duration,
}

impl Registrars {
    /// Looks all names up, and registers as they are found. `local` is where we listen over this transport.
    pub fn start(
        registrations: &[config::Registration],
        local: impl Fn(sip::Transport) -> Option<SocketAddr>,
        requests: &mpsc::Sender<Request>,
    ) -> Self {
        let (known, addresses) = watch::channel(vec![Vec::new(); registrations.len()]);
        let known = Arc::new(known);
        let mut tasks = JoinSet::new();
        let mut count = 0;
        for registration in registrations {
            let place = Place { id: RegistrationId(count), local: local(registration.transport) };
            tasks.spawn(register(place, registration.clone(), Arc::clone(&known), requests.clone(), PACE));
            count += 1;
        }
        Self { addresses, count, tasks }
    }

    /// Looks for no more addresses. Returns what may have been registered.
    pub async fn settle(&mut self) -> impl Iterator<Item = RegistrationId> + use<> {
        self.tasks.shutdown().await;
        (0..self.count).map(RegistrationId)
    }
}

/// Which registration, and where we listen for its calls.
#[derive(Clone, Copy)]
struct Place {
    id: RegistrationId,
    local: Option<SocketAddr>,
}

async fn register(
    place: Place,
    registration: config::Registration,
    known: Arc<watch::Sender<Addresses>>,
    requests: mpsc::Sender<Request>,
    pace: Pace,
) {
    let at = &registration.registrar;
    let found = find(&at.host, pace, || resolve(at.clone())).await;
    let Some(registrar) = preferred(&found, place.local) else { return };
    known.send_modify(|all| {
        if let Some(addresses) = all.get_mut(place.id.0 as usize) {
            *addresses = found.iter().map(SocketAddr::ip).collect();
        }
    });
    let registration = sip::Registration {
        registrar,
        transport: registration.transport,
        domain: registration.domain.clone(),
        user: registration.user.clone(),
        auth_user: registration.auth_user.clone(),
        password: registration.password.expose().to_owned(),
        contact_user: registration.contact_user.clone(),
        expires: registration.expires,
    };
    // A SIP task that is gone registers nobody.
    let _ = requests.send(Request::Register(place.id, registration)).await;
}

/// Asks until there is an answer, less and less often.
async fn find<L>(host: &str, pace: Pace, mut lookup: impl FnMut() -> L) -> Vec<SocketAddr>
where
    L: Future<Output = Vec<SocketAddr>>,
{
    let mut wait = pace.first;
    loop {
        let found = lookup().await;
        if !found.is_empty() {
            return found;
        }
        warn!(registrar = %host, again_in = ?wait, "The registrar's name has no address");
        sleep(wait).await;
        wait = wait.saturating_mul(2).min(pace.longest);
    }
}

async fn resolve(at: HostPort) -> Vec<SocketAddr> {
    match timeout(LOOKUP, tokio::net::lookup_host((at.host.as_str(), at.port))).await {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

/// The first address our socket can reach: `localhost` is `::1` too, and an IPv4 socket cannot send there.
fn preferred(found: &[SocketAddr], local: Option<SocketAddr>) -> Option<SocketAddr> {
    let same_family = |at: &&SocketAddr| local.is_some_and(|local| local.is_ipv4() == at.is_ipv4());
    found.iter().find(same_family).or(found.first()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment};

    #[tokio::test]
    async fn a_name_is_asked_for_until_it_has_an_address() {
        let pace = Pace { first: Duration::from_micros(1), longest: Duration::from_micros(4) };
        let mut answers = vec![vec!["192.0.2.7:5060".parse().unwrap()], vec![], vec![]];
        let found = find("pbx.example", pace, || std::future::ready(answers.pop().unwrap())).await;
        assert_eq!(found, ["192.0.2.7:5060".parse().unwrap()]);
    }

    #[tokio::test]
    async fn a_registrar_by_name_is_known_by_its_address_before_it_is_asked() {
        let text = "[[registrations]]\nregistrar = \"localhost:5099\"\nuser = \"2000\"\npassword = \"x\"\n";
        let config = Config::parse(text, "test.toml", &Environment::default()).unwrap();
        let (requests, mut queue) = mpsc::channel(4);
        let listen: SocketAddr = "127.0.0.1:5070".parse().unwrap();
        let registrars = Registrars::start(&config.registrations, |_| Some(listen), &requests);
        let Some(Request::Register(RegistrationId(0), asked)) = queue.recv().await else { panic!("no registration") };
        assert_eq!(asked.registrar, "127.0.0.1:5099".parse().unwrap(), "the family of our own socket");
        assert!(registrars.addresses.borrow()[0].contains(&asked.registrar.ip()));
    }
}
