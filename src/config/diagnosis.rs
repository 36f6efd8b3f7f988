//! What a server tells about itself: `[trace]` and `[control]`.
use super::{
    Control, Secret, Trace, api,
    check::{Check, Place},
    raw::{RawApi, RawControl, RawTrace},
    sections::ADDRESS_AND_PORT,
};
use crate::control;
use std::{net::SocketAddr, path::PathBuf};

/// A collector of messages that speaks HEP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hep {
    /// Where it listens, over UDP.
    pub collector: SocketAddr,
    /// Who we are to it.
    pub id: u32,
    /// Its password, if it has one.
    pub password: Option<Secret>,
}

pub(super) fn trace(raw: RawTrace, check: &mut Check<'_>) -> Trace {
    let at = |key| Place { section: "trace", key };
    check.unknown("trace", &raw.unknown, RawTrace::KEYS);
    let collector = check.parsed(at("hep"), raw.hep, ADDRESS_AND_PORT);
    let id = check.integer(at("hep_id"), raw.hep_id, 1..=u32::MAX).unwrap_or(2001);
    let password = check.secret(at("hep_password"), raw.hep_password);
    Trace {
        calls: check.integer(at("calls"), raw.calls, 0..=100_000).unwrap_or(1_000),
        memory_mib: check.integer(at("memory_mib"), raw.memory_mib, 1..=4_096).unwrap_or(64),
        hep: collector.map(|collector| Hep { collector, id, password }),
    }
}

pub(super) fn control(raw: RawControl, http: RawApi, check: &mut Check<'_>) -> Control {
    let at = |key| Place { section: "control", key };
    if raw.unknown.contains_key("http") {
        check.refuse(at("http"), None, "is now `listen` of [api]");
    }
    let unknown = raw.unknown.into_iter().filter(|(key, _)| key != "http").collect();
    check.unknown("control", &unknown, RawControl::KEYS);
    let socket = check.telling(at("socket"), raw.socket).map(PathBuf::from);
    Control { socket, folders: control::folders(check.env), api: api::api(http, check) }
}
