//! `[api]`: where the HTTP API is, and how well guarded.
use super::{
    Identity,
    check::{Check, Place},
    raw::RawApi,
    sections::ADDRESS_AND_PORT,
};
use std::{net::SocketAddr, path::PathBuf};

/// Where the HTTP API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its certificate; without one it speaks plain HTTP.
    pub identity: Option<Identity>,
    /// Connections at once; one more is closed.
    pub connections: u32,
    /// The same of one address.
    pub connections_per_address: u32,
    /// Whether health, readiness and counts are shown to whoever may reach the address.
    pub open_pages: bool,
}

/// The API, if there is to be one.
pub(super) fn api(raw: RawApi, check: &mut Check<'_>) -> Option<Api> {
    let at = |key| Place { section: "api", key };
    check.unknown("api", &raw.unknown, RawApi::KEYS);
    let written = raw.listen.clone();
    let listen: Option<SocketAddr> = check.parsed(at("listen"), raw.listen, ADDRESS_AND_PORT);
    let certificate = check.text(at("certificate"), raw.certificate).map(PathBuf::from);
    let key = check.text(at("key"), raw.key).map(PathBuf::from);
    let plain = check.flag(at("plain"), raw.plain).unwrap_or(false);
    let open_pages = check.flag(at("open_pages"), raw.open_pages).unwrap_or(true);
    let connections = check.integer(at("connections"), raw.connections, 1..=10_000).unwrap_or(256);
    let of_one = check.integer(at("connections_per_address"), raw.connections_per_address, 1..=10_000);
    if certificate.is_some() != key.is_some() {
        let missing = if key.is_none() { "key" } else { "certificate" };
        check.refuse(at(missing), None, "is missing: a certificate and its key are both needed");
    }
    let identity = certificate.zip(key).map(|(certificate, key)| Identity { certificate, key });
    let listen = listen?;
    if !listen.ip().is_loopback() && identity.is_none() && !plain {
        let message = "is not loopback: tokens would cross the network in the clear; set certificate and key, or plain = true \
                       where something else encrypts";
        check.refuse(at("listen"), written.as_ref(), message);
    }
    let connections_per_address = of_one.unwrap_or(connections.div_ceil(2));
    Some(Api { listen, identity, connections, connections_per_address, open_pages })
}
