//! The records of RFC 3263 and the order they ask for: RFC 3403 for NAPTR, RFC 2782 for SRV.
use super::{MAX_RECORDS, bare};
use crate::{endpoint::random::Random, transport::Transport};
use std::net::IpAddr;

/// A NAPTR record (RFC 3403 §4), without its regular expression, which SIP does not use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    /// Lower first; a higher one counts only if no lower one is of use.
    pub order: u16,
    /// Among the same order, lower first.
    pub preference: u16,
    /// `s` where `replacement` has SRV records.
    pub flags: String,
    /// E.g. `SIP+D2U`.
    pub service: String,
    /// The name of the SRV records.
    pub replacement: String,
}

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Srv {
    /// Lower first.
    pub priority: u16,
    /// Share among the same priority.
    pub weight: u16,
    /// Port of the service.
    pub port: u16,
    /// Its host; `.` where the service is decidedly not to be had.
    pub target: String,
}

/// Where SRV records of one transport are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) transport: Transport,
    pub(super) name: String,
}

/// A host that offers the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) transport: Transport,
    pub(super) host: String,
    pub(super) port: u16,
}

impl Service {
    /// RFC 3263 §4.1 and §4.2: TLS is the service `sips` over TCP.
    pub(super) fn of_domain(transport: Transport, domain: &str) -> Self {
        let prefix = match transport {
            Transport::Udp => "_sip._udp",
            Transport::Tcp => "_sip._tcp",
            Transport::Tls => "_sips._tcp",
        };
        Self { transport, name: format!("{prefix}.{domain}") }
    }
}

/// The services worth asking for. Only the lowest order that has one counts: RFC 3403 §4.1 forbids to go on to a higher
/// one, and so a domain that puts TLS first cannot be talked down.
pub(super) fn services(mut records: Vec<Naptr>, supported: impl Fn(Transport) -> bool) -> Vec<Service> {
    records.truncate(MAX_RECORDS);
    records.sort_by_key(|record| (record.order, record.preference));
    let useful = records.iter().filter_map(|record| {
        let transport = named(&record.service).filter(|transport| supported(*transport))?;
        let name = bare(&record.replacement);
        let terminal = record.flags.eq_ignore_ascii_case("s") && !name.is_empty();
        terminal.then_some((record.order, Service { transport, name }))
    });
    let useful: Vec<_> = useful.collect();
    let lowest = useful.first().map(|(order, _)| *order);
    useful.into_iter().filter(|(order, _)| Some(*order) == lowest).map(|(_, service)| service).collect()
}

fn named(service: &str) -> Option<Transport> {
    let known = [("SIP+D2U", Transport::Udp), ("SIP+D2T", Transport::Tcp), ("SIPS+D2T", Transport::Tls)];
    known.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(service)).map(|(_, transport)| transport)
}

/// Hosts in the order of RFC 2782: by priority, drawn by weight among equals. Records are sorted first, so that their
/// order in the answer, which servers rotate, does not decide.
pub(super) fn places(mut records: Vec<Srv>, transport: Transport, random: &mut Random) -> Vec<Place> {
    records.truncate(MAX_RECORDS);
    // Those of weight 0 first, as the draw wants them.
    records.sort();
    let mut ordered = Vec::new();
    while let Some(first) = records.first() {
        let priority = first.priority;
        let equals = records.iter().filter(|record| record.priority == priority);
        let draw = random.next() % (equals.map(|record| u64::from(record.weight)).sum::<u64>() + 1);
        let mut running = 0;
        let drawn = records.iter().position(|record| {
            running += u64::from(record.weight);
            running >= draw
        });
        let record = records.remove(drawn.unwrap_or(0));
        let host = bare(&record.target);
        if !host.is_empty() {
            ordered.push(Place { transport, host, port: record.port });
        }
    }
    ordered
}

/// Addresses in an order of chance, the same for the same seed in whatever order they come.
pub(super) fn shuffled(mut addresses: Vec<IpAddr>, random: &mut Random) -> Vec<IpAddr> {
    addresses.sort();
    addresses.dedup();
    let mut drawn: Vec<(u64, IpAddr)> = addresses.into_iter().map(|address| (random.next(), address)).collect();
    drawn.sort();
    drawn.into_iter().map(|(_, address)| address).collect()
}
