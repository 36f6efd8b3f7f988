//! `[[listeners]]`, `[tls]`, and whether anybody can reach us with them.
use super::{
    Clients, Config, Identity, Listener, Sip, Tls,
    callers::{TREATMENT, Treatment},
    check::{Check, Place},
    codecs,
    raw::{RawListener, RawTls},
    sections::{ADDRESS, ADDRESS_AND_PORT, SRTP},
};
use sip::Transport;
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

pub(super) const PROTOCOL: &str = "must be \"udp\", \"tcp\" or \"tls\"";

/// A transport as it is written.
pub(super) struct Protocol(pub(super) Transport);

impl FromStr for Protocol {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Transport::ALL.into_iter().find(|transport| transport.param() == text).map(Self).ok_or(())
    }
}

/// An address that may come with a port; 0 without one.
struct Seen(SocketAddr);

impl FromStr for Seen {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let alone = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0));
        text.parse().or_else(|_| alone()).map(Self).map_err(drop)
    }
}

pub(super) fn listener(raw: RawListener, section: &str, check: &mut Check<'_>) -> Option<Listener> {
    let at = |key| Place { section, key };
    let before = check.problems.len();
    check.unknown(section, &raw.unknown, RawListener::KEYS);
    for (key, value) in [("transport", &raw.transport), ("address", &raw.address)] {
        if value.is_none() {
            check.refuse(at(key), None, "is missing");
        }
    }
    let transport: Option<Protocol> = check.parsed(at("transport"), raw.transport, PROTOCOL);
    let address: Option<SocketAddr> = check.parsed(at("address"), raw.address, ADDRESS_AND_PORT);
    let seen: Option<Seen> =
        check.parsed(at("advertised"), raw.advertised, "must be an address, with or without a port");
    let strangers: Option<Treatment> = check.parsed(at("strangers"), raw.strangers, TREATMENT);
    let peers: Option<Vec<String>> = check.list(at("peers"), raw.peers, "must be names of [[peers]]");
    let listener = Listener {
        transport: transport?.0,
        address: address?,
        advertised: seen.map(|Seen(address)| address),
        peers,
        strangers: strangers.map(|Treatment(strangers)| strangers),
        srtp: check.parsed(at("srtp"), raw.srtp, SRTP),
        codecs: codecs::list(at("codecs"), raw.codecs, check),
        codec_order: codecs::order(at("codec_order"), raw.codec_order, check),
    };
    if listener.advertised.is_some_and(|seen| seen.is_ipv4() != listener.address.is_ipv4()) {
        check.refuse(at("advertised"), None, "must be of the same family (IPv4 or IPv6) as address");
    }
    (check.problems.len() == before).then_some(listener)
}

impl Sip {
    /// What this says, of the sockets that are bound: they go by their places in the list, and do not change before a
    /// restart. Of one that is not in the file any more, what was said last stands.
    #[must_use]
    pub fn at_sockets_of(self, running: &Self) -> Self {
        let again = |bound: &Listener| {
            let same =
                |listener: &&Listener| (listener.transport, listener.address) == (bound.transport, bound.address);
            let said = self.listeners.iter().find(same).unwrap_or(bound);
            Listener { advertised: bound.advertised, ..said.clone() }
        };
        let listeners = running.listeners.iter().map(again).collect();
        Self { listeners, advertised: running.advertised.clone(), ..self }
    }
}

impl Config {
    /// What may be meant, and mostly is not: audio of this machine alone, where callers come from others.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let addresses = &self.rtp.addresses;
        let warning = |own: &IpAddr| {
            let others = |listener: &&Listener| {
                let ip = listener.address.ip();
                !ip.is_loopback() && (addresses.len() == 1 || ip.is_ipv4() == own.is_ipv4())
            };
            let open = self.sip.listeners.iter().find(others).filter(|_| own.is_loopback())?;
            let (over, at, ip) = (open.transport.param(), open.address, open.address.ip());
            Some(format!(
                "[rtp] address = \"{own}\" is this machine alone, and SIP listens on {over} {at}: who calls from \
                 another machine is not heard, and hears nothing; set it to \"{ip}\""
            ))
        };
        addresses.iter().filter_map(warning).collect()
    }
}

pub(super) fn tls(raw: RawTls, check: &mut Check<'_>) -> Tls {
    let at = |key| Place { section: "tls", key };
    check.unknown("tls", &raw.unknown, RawTls::KEYS);
    let certificate = check.text(at("certificate"), raw.certificate).map(PathBuf::from);
    let key = check.text(at("key"), raw.key).map(PathBuf::from);
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
        (None, None) => None,
        (Some(_), None) => {
            check.refuse(at("key"), None, "is missing: the private key of [tls] certificate");
            None
        }
        (None, Some(_)) => {
            check.refuse(at("certificate"), None, "is missing: the certificate of [tls] key");
            None
        }
    };
    let client_ca = check.text(at("client_ca_file"), raw.client_ca_file).map(PathBuf::from);
    let wanted = check.text(at("verify_clients"), raw.verify_clients);
    let clients = match (wanted.as_deref(), client_ca) {
        (None | Some("off"), _) => Clients::Anyone,
        (Some("optional"), Some(ca_file)) => Clients::Known { ca_file, required: false },
        (Some("required"), Some(ca_file)) => Clients::Known { ca_file, required: true },
        (Some("optional" | "required"), None) => {
            check.refuse(at("client_ca_file"), None, "is missing: the authorities whose clients are believed");
            Clients::Anyone
        }
        (Some(_), _) => {
            check.refuse(at("verify_clients"), None, "must be \"off\", \"optional\" or \"required\"");
            Clients::Anyone
        }
    };
    Tls {
        identity,
        clients,
        ca_file: check.text(at("ca_file"), raw.ca_file).map(PathBuf::from),
        verify_servers: check.flag(at("verify_servers"), raw.verify_servers).unwrap_or(true),
    }
}

/// Whether there is at most one IPv4 and one IPv6 address.
pub(super) fn one_of_each_family(addresses: &[IpAddr]) -> bool {
    let (v4, v6): (Vec<&IpAddr>, Vec<&IpAddr>) = addresses.iter().partition(|address| address.is_ipv4());
    v4.len() <= 1 && v6.len() <= 1
}

/// Refuses what no peer could answer to: no listener at all, one on every address that tells nobody which, TLS without
/// a certificate.
pub(super) fn reachable(config: &Config, check: &mut Check<'_>) {
    let at = |key| Place { section: "sip", key };
    if config.sip.listeners.is_empty() {
        check.refuse(at("udp"), None, "and sip.tcp, sip.tls, [[listeners]] are empty; at least one listener is needed");
    }
    let tls = config.sip.listeners.iter().any(|listener| listener.transport == Transport::Tls);
    if tls && config.tls.identity.is_none() {
        let message = "is missing: a listener for TLS needs a certificate and a key";
        check.refuse(Place { section: "tls", key: "certificate" }, None, message);
    }
    if !one_of_each_family(&config.sip.advertised) {
        check.refuse(at("advertised"), None, "must name at most one IPv4 and one IPv6 address");
    }
    if config.sip.advertised.iter().any(IpAddr::is_unspecified) {
        return check.refuse(at("advertised"), None, ADDRESS);
    }
    let hidden = |listener: &Listener| {
        let seen = listener.advertised.unwrap_or(listener.address).ip();
        config.sip.seen_as(seen).is_unspecified()
    };
    // Callers of some listener would be told no address that audio is received at.
    let unheard = |own: &IpAddr| config.sip.audio_seen_as(*own).iter().any(IpAddr::is_unspecified);
    let everywhere = match () {
        () if config.sip.listeners.iter().any(hidden) => Some("sip"),
        () if config.rtp.addresses.iter().any(unheard) => Some("rtp"),
        () => None,
    };
    if let Some(section) = everywhere {
        let message = format!("is missing: [{section}] listens on every address, so say which one peers reach us at");
        check.refuse(at("advertised"), None, message);
    }
}
