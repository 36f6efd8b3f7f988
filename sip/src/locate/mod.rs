//! Where a SIP server is: RFC 3263, with the SRV records of RFC 2782. Questions for DNS out, answers in, and at the end
//! the servers in the order in which they are to be tried.
//!
//! Ask what [`Location::poll_query`] returns and give the answer to [`Location::handle_answer`], until
//! [`Location::located`] has something.
mod reach;
mod records;
mod targets;

pub use reach::Reach;
pub use records::{Naptr, Srv};
pub use targets::Targets;

use crate::{
    endpoint::random::Random,
    transport::Transport,
    uri::{self, Scheme, Uri},
};
use records::{Place, Service};
use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Records of one answer that are read; those beyond it are not.
pub const MAX_RECORDS: usize = 32;
/// Hosts whose addresses are asked for; the least preferred beyond it are left out.
pub const MAX_PLACES: usize = 16;
/// Addresses of one host that are tried.
pub const MAX_ADDRESSES: usize = 8;
/// Targets of one location; the least preferred beyond it are left out.
pub const MAX_TARGETS: usize = 32;
/// A location is not looked up again before this, whatever DNS says, and after this when DNS failed.
pub const SHORTEST: Duration = Duration::from_secs(30);
/// A location is looked up again after this at the latest.
pub const LONGEST: Duration = Duration::from_secs(60 * 60);

/// One question for DNS. Names are absolute, written without the last dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// NAPTR records.
    Naptr(String),
    /// SRV records.
    Srv(String),
    /// A and AAAA records, aliases followed.
    Addresses(String),
}

/// What DNS said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// NAPTR records.
    Naptr(Vec<Naptr>),
    /// SRV records.
    Srv(Vec<Srv>),
    /// Addresses of both families.
    Addresses(Vec<IpAddr>),
    /// There are no such records.
    None,
    /// No answer in time, or one of no use.
    Failed,
}

/// One server to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Over what.
    pub transport: Transport,
    /// Where.
    pub remote: SocketAddr,
    /// Whom its certificate must name: the host of the URI, not what DNS made of it (RFC 5922 §4). Without brackets.
    pub name: String,
}

/// What came of a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The servers, the one to try first in front. None: there is no such server, or none that we can reach.
    pub targets: Vec<Target>,
    /// How long this is true: the shortest TTL, within [`SHORTEST`] and [`LONGEST`].
    pub valid: Duration,
}

/// There is nothing to look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocateError {
    /// Not a `sip` or `sips` URI.
    #[error("not a SIP URI")]
    Scheme,
    /// It asks for a transport that is unknown, forbidden for `sips`, or not among our listeners.
    #[error("over no transport that we have")]
    Transport,
}

/// A location under way.
#[derive(Debug)]
pub struct Location {
    aim: Aim,
    reach: Reach,
    random: Random,
    known: BTreeMap<String, Vec<IpAddr>>,
    valid: Duration,
    stage: Stage,
}

/// What is known before DNS is asked.
#[derive(Clone, Debug)]
struct Aim {
    /// Without brackets.
    host: String,
    port: Option<u16>,
    /// Whether nothing but TLS will do.
    secure: bool,
    /// Written or implied, otherwise it is for DNS to say.
    transport: Option<Transport>,
}

#[derive(Debug)]
enum Stage {
    /// RFC 3263 §4.1.
    Naptr,
    /// RFC 3263 §4.2.
    Srv {
        ask: VecDeque<Service>,
        found: Vec<Place>,
        /// By what the host itself is reached if there is no SRV record at all.
        otherwise: Option<Transport>,
    },
    Addresses {
        ask: VecDeque<Place>,
        found: Vec<Target>,
    },
    Done(Vec<Target>),
}

impl Location {
    /// Of the server that a request to `uri` goes to. `seed` draws among equals; the same seed draws the same from the
    /// same records, in whatever order they come.
    ///
    /// # Errors
    /// If the URI rules out everything we have.
    pub fn of(uri: &Uri, reach: Reach, seed: u64) -> Result<Self, LocateError> {
        let secure = match uri.scheme() {
            Scheme::Sip => false,
            Scheme::Sips => true,
            Scheme::Tel | Scheme::Other => return Err(LocateError::Scheme),
        };
        let written = match uri.param("transport") {
            Some(text) => Some(Transport::from_param(text).ok_or(LocateError::Transport)?),
            None => None,
        };
        let transport = match (secure, written) {
            (false, written) => written,
            (true, None) => None,
            (true, Some(Transport::Tcp | Transport::Tls)) => Some(Transport::Tls),
            // RFC 3261 §26.2.2: sips is TLS on every hop, which UDP cannot give.
            (true, Some(Transport::Udp)) => return Err(LocateError::Transport),
        };
        // RFC 3263 §4: TARGET is the maddr parameter where there is one.
        let host = uri.param("maddr").filter(|maddr| !maddr.is_empty()).unwrap_or(uri.host());
        Self::aimed(Aim { host: bare(host), port: uri.port(), secure, transport }, reach, seed)
    }

    fn aimed(aim: Aim, reach: Reach, seed: u64) -> Result<Self, LocateError> {
        let possible = match aim.transport {
            Some(transport) => reach.has(transport),
            None if aim.secure => reach.has(Transport::Tls),
            None => !reach.is_empty(),
        };
        if !possible {
            return Err(LocateError::Transport);
        }
        let stage = Stage::Naptr;
        let mut location =
            Self { aim, reach, random: Random::new(seed), known: BTreeMap::new(), valid: LONGEST, stage };
        location.begin()?;
        Ok(location)
    }

    /// Leaves out the lookups that the URI makes needless.
    fn begin(&mut self) -> Result<(), LocateError> {
        let port = self.aim.port;
        let address: Option<IpAddr> = self.aim.host.parse().ok();
        if port.is_none() && address.is_none() {
            if let Some(transport) = self.aim.transport {
                let ask = VecDeque::from([Service::of_domain(transport, &self.aim.host)]);
                self.stage = Stage::Srv { ask, found: Vec::new(), otherwise: Some(transport) };
            }
            return Ok(());
        }
        let transport = self.usual().ok_or(LocateError::Transport)?;
        let host = self.aim.host.clone();
        if let Some(address) = address {
            self.known.insert(host.clone(), vec![address]);
        }
        self.resolve(vec![Place { transport, host, port: port.unwrap_or(transport.default_port()) }]);
        Ok(())
    }

    /// The transport where neither URI nor DNS names one: RFC 3263 §4.1. Without UDP, TCP stands in for it.
    fn usual(&self) -> Option<Transport> {
        let usual = match (self.aim.transport, self.aim.secure) {
            (Some(transport), _) => return Some(transport),
            (None, true) => &[Transport::Tls][..],
            (None, false) => &[Transport::Udp, Transport::Tcp],
        };
        usual.iter().copied().find(|transport| self.reach.has(*transport))
    }

    /// What DNS is to be asked; the same until it is answered.
    pub fn poll_query(&self) -> Option<Query> {
        match &self.stage {
            Stage::Naptr => Some(Query::Naptr(self.aim.host.clone())),
            Stage::Srv { ask, .. } => ask.front().map(|service| Query::Srv(service.name.clone())),
            Stage::Addresses { ask, .. } => ask.front().map(|place| Query::Addresses(place.host.clone())),
            Stage::Done(_) => None,
        }
    }

    /// The answer to a query, true for `ttl`. One that nobody waits for is ignored.
    pub fn handle_answer(&mut self, query: &Query, answer: Answer, ttl: Duration) {
        if self.poll_query().as_ref() != Some(query) {
            return;
        }
        let ttl = if answer == Answer::Failed { SHORTEST } else { ttl };
        self.valid = self.valid.min(ttl.max(SHORTEST));
        match query {
            Query::Naptr(_) => self.naptr(answer),
            Query::Srv(_) => self.srv(answer),
            Query::Addresses(host) => self.addresses(host, answer),
        }
    }

    /// What came of it, once there is nothing left to ask.
    pub fn located(&self) -> Option<Located> {
        match &self.stage {
            Stage::Done(targets) => Some(Located { targets: targets.clone(), valid: self.valid }),
            Stage::Naptr | Stage::Srv { .. } | Stage::Addresses { .. } => None,
        }
    }

    /// RFC 3263 §4.1. A domain without NAPTR records, or a resolver that cannot ask for them, still has SRV records.
    fn naptr(&mut self, answer: Answer) {
        let records = match answer {
            Answer::Naptr(records) => records,
            Answer::Srv(_) | Answer::Addresses(_) | Answer::None | Answer::Failed => Vec::new(),
        };
        let mut services = records::services(records, |transport| self.supports(transport));
        let named = services.first().map(|service| service.transport);
        if services.is_empty() {
            let ours = self.reach.transports().into_iter().filter(|transport| self.supports(*transport));
            services = ours.map(|transport| Service::of_domain(transport, &self.aim.host)).collect();
        }
        let otherwise = named.or_else(|| self.usual());
        self.stage = Stage::Srv { ask: services.into(), found: Vec::new(), otherwise };
    }

    fn supports(&self, transport: Transport) -> bool {
        self.reach.has(transport) && (!self.aim.secure || transport == Transport::Tls)
    }

    /// RFC 3263 §4.2. Where SRV records could not be asked for, the host itself is no substitute for what they say.
    fn srv(&mut self, answer: Answer) {
        let Stage::Srv { ask, found, otherwise } = &mut self.stage else { return };
        let Some(service) = ask.pop_front() else { return };
        match answer {
            Answer::Srv(records) if !records.is_empty() => {
                *otherwise = None;
                found.extend(records::places(records, service.transport, &mut self.random));
            }
            Answer::Failed => *otherwise = None,
            Answer::Srv(_) | Answer::Naptr(_) | Answer::Addresses(_) | Answer::None => {}
        }
        if !ask.is_empty() {
            return;
        }
        let mut places = std::mem::take(found);
        if let Some(transport) = *otherwise {
            places.push(Place { transport, host: self.aim.host.clone(), port: transport.default_port() });
        }
        self.resolve(places);
    }

    fn resolve(&mut self, mut places: Vec<Place>) {
        places.truncate(MAX_PLACES);
        self.stage = Stage::Addresses { ask: places.into(), found: Vec::new() };
        self.settle();
    }

    fn addresses(&mut self, host: &str, answer: Answer) {
        let mut addresses = match answer {
            Answer::Addresses(addresses) => addresses,
            Answer::Naptr(_) | Answer::Srv(_) | Answer::None | Answer::Failed => Vec::new(),
        };
        addresses.truncate(MAX_RECORDS);
        self.known.insert(host.to_owned(), records::shuffled(addresses, &mut self.random));
        self.settle();
    }

    /// Turns hosts into targets as long as their addresses are known.
    fn settle(&mut self) {
        let Stage::Addresses { ask, found } = &mut self.stage else { return };
        while let Some(place) = ask.front() {
            let Some(addresses) = self.known.get(&place.host) else { return };
            for address in self.reach.among(place.transport, addresses).into_iter().take(MAX_ADDRESSES) {
                let remote = SocketAddr::new(address, place.port);
                let known = found.iter().any(|target| target.transport == place.transport && target.remote == remote);
                if !known && found.len() < MAX_TARGETS {
                    found.push(Target { transport: place.transport, remote, name: self.aim.host.clone() });
                }
            }
            ask.pop_front();
        }
        self.stage = Stage::Done(std::mem::take(found));
    }
}

/// A host as names are compared and addresses are parsed: lower case, without brackets or last dot.
fn bare(host: &str) -> String {
    match uri::ip(host) {
        Some(address) => address.to_string(),
        None => host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests;
