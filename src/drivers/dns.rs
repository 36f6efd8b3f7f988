//! Carries the questions of [`sip::locate`] to DNS. Names are absolute, /etc/hosts comes first, answers are kept for
//! their TTL.
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig},
    lookup::Lookup,
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::rr::{Name, RData, RecordType},
};
use sip::{
    locate::{Answer, LONGEST, LocateError, Located, Location, Naptr, Query, Reach, Srv},
    uri::Uri,
};
use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};
use tokio::time::timeout_at;
use tracing::{debug, warn};

/// How long all lookups of one location may take; what was not answered by then has failed.
const LOCATE: Duration = Duration::from_secs(5);
/// How long a name server may take before it is asked again.
const NAME_SERVER: Duration = Duration::from_secs(2);
/// How often a name server is asked again.
const REPEATS: usize = 1;

/// The resolver, and what we can send by.
#[derive(Clone)]
pub struct Dns {
    resolver: TokioResolver,
    reach: Reach,
}

impl Dns {
    /// Asks `servers`, or those of the system if there are none.
    ///
    /// # Errors
    /// If the resolver cannot be made.
    pub fn new(servers: &[SocketAddr], reach: Reach) -> Result<Self, NetError> {
        let provider = TokioRuntimeProvider::default;
        let configured = || {
            let servers = servers.iter().copied().map(name_server).collect();
            TokioResolver::builder_with_config(ResolverConfig::from_parts(None, Vec::new(), servers), provider())
        };
        let mut builder = match servers {
            [] => TokioResolver::builder_tokio().unwrap_or_else(|error| {
                warn!(%error, "no name server is known: only addresses and /etc/hosts are");
                configured()
            }),
            _ => configured(),
        };
        let options = builder.options_mut();
        options.timeout = NAME_SERVER;
        options.attempts = REPEATS;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        // Whoever looks again after the longest time a location is taken for true must not get the same answer.
        options.positive_max_ttl = Some(LONGEST);
        options.negative_max_ttl = Some(LONGEST);
        Ok(Self { resolver: builder.build()?, reach })
    }

    /// Where requests to `uri` go (RFC 3263 §4); `seed` draws among equals. Takes no longer than 5 s.
    ///
    /// # Errors
    /// If the URI rules out everything we have.
    pub async fn locate(&self, uri: &Uri, seed: u64) -> Result<Located, LocateError> {
        let mut location = Location::of(uri, self.reach.clone(), seed)?;
        let deadline = (Instant::now() + LOCATE).into();
        loop {
            if let Some(located) = location.located() {
                return Ok(located);
            }
            let Some(query) = location.poll_query() else { return Err(LocateError::Scheme) };
            let (answer, ttl) = match timeout_at(deadline, self.ask(&query)).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(error)) => negative(&error),
                Err(_) => (Answer::Failed, Duration::ZERO),
            };
            debug!(?query, ?answer, ?ttl, "DNS");
            location.handle_answer(&query, answer, ttl);
        }
    }

    /// Keeps no answer any longer: what they led to has failed.
    pub fn forget(&self) {
        self.resolver.clear_cache();
    }

    async fn ask(&self, query: &Query) -> Result<(Answer, Duration), NetError> {
        match query {
            Query::Naptr(name) => {
                let lookup = self.resolver.lookup(absolute(name)?, RecordType::NAPTR).await?;
                Ok((Answer::Naptr(data(&lookup).filter_map(naptr).collect()), ttl(lookup.valid_until())))
            }
            Query::Srv(name) => {
                let lookup = self.resolver.lookup(absolute(name)?, RecordType::SRV).await?;
                Ok((Answer::Srv(data(&lookup).filter_map(srv).collect()), ttl(lookup.valid_until())))
            }
            Query::Addresses(name) => {
                let lookup = self.resolver.lookup_ip(absolute(name)?).await?;
                let addresses: Vec<IpAddr> = lookup.iter().collect();
                Ok((Answer::Addresses(addresses), ttl(lookup.valid_until())))
            }
        }
    }
}

impl std::fmt::Debug for Dns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dns").field("reach", &self.reach).finish_non_exhaustive()
    }
}

fn name_server(at: SocketAddr) -> NameServerConfig {
    let over = |mut connection: ConnectionConfig| {
        connection.port = at.port();
        connection
    };
    NameServerConfig::new(at.ip(), true, vec![over(ConnectionConfig::udp()), over(ConnectionConfig::tcp())])
}

/// The name as it stands, whatever search path the system has.
fn absolute(name: &str) -> Result<Name, NetError> {
    let mut name = Name::from_ascii(name)?;
    name.set_fqdn(true);
    Ok(name)
}

fn data(lookup: &Lookup) -> impl Iterator<Item = &RData> {
    lookup.answers().iter().map(|record| &record.data)
}

fn naptr(data: &RData) -> Option<Naptr> {
    let RData::NAPTR(naptr) = data else { return None };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(Naptr {
        order: naptr.order,
        preference: naptr.preference,
        flags: text(&naptr.flags),
        service: text(&naptr.services),
        replacement: naptr.replacement.to_ascii(),
    })
}

fn srv(data: &RData) -> Option<Srv> {
    let RData::SRV(srv) = data else { return None };
    Some(Srv { priority: srv.priority, weight: srv.weight, port: srv.port, target: srv.target.to_ascii() })
}

fn ttl(valid_until: Instant) -> Duration {
    valid_until.saturating_duration_since(Instant::now())
}

/// A name without such records, or no answer at all.
fn negative(error: &NetError) -> (Answer, Duration) {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            (Answer::None, Duration::from_secs(none.negative_ttl.unwrap_or_default().into()))
        }
        other => {
            debug!(error = %other, "DNS failed");
            (Answer::Failed, Duration::ZERO)
        }
    }
}
