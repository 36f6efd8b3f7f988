//! What was said on the wire, kept for whoever asks later: capture, a bounded store, and the forms it is shown in.
//!
//! PURE: bytes and wall time in; entries, text, packets out. Sockets and clocks are the drivers'.
pub mod hep;
pub mod ladder;
mod line;
pub mod pcap;
mod read;
mod secrets;
mod sniff;
mod store;

pub use sniff::{Method, Sniffed};
pub use store::{Counters, Limits, Progress, Summary, Trace, Traces, Which};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, sync::Arc};

/// Which way a message went, seen from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To us.
    In,
    /// From us.
    Out,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::In, Self::Out];
}

/// What carried a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Carrier {
    /// A datagram.
    Udp,
    /// A stream.
    Tcp,
    /// An encrypted stream.
    Tls,
}

impl Carrier {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Udp, Self::Tcp, Self::Tls];

    /// `udp`, `tcp`, `tls`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

/// A message as the socket saw it.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Wall time in microseconds since 1970.
    pub at: u64,
    /// Which way.
    pub direction: Direction,
    /// Over what.
    pub carrier: Carrier,
    /// Our end.
    pub local: SocketAddr,
    /// Their end.
    pub remote: SocketAddr,
    /// One whole message.
    pub bytes: &'a [u8],
}

/// A message as it is kept: without the secrets of it, and cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Rises with every message captured.
    pub number: u64,
    /// Wall time in microseconds since 1970.
    pub at: u64,
    /// Which way.
    pub direction: Direction,
    /// Over what.
    pub carrier: Carrier,
    /// Our end.
    pub local: SocketAddr,
    /// Their end.
    pub remote: SocketAddr,
    /// Its Call-ID.
    pub call_id: Arc<str>,
    /// The message. What must not be seen of it is stars, as many as there were characters: lengths stay true.
    pub bytes: Arc<[u8]>,
}

impl Entry {
    /// Takes a message down, if it is SIP and names its call.
    pub fn capture(seen: &Seen<'_>, number: u64) -> Option<(Self, Sniffed)> {
        let (call_id, sniffed) = sniff::sniff(seen.bytes)?;
        let mut bytes: Arc<[u8]> = seen.bytes.into();
        if let Some(own) = Arc::get_mut(&mut bytes) {
            secrets::mask(own);
        }
        let Seen { at, direction, carrier, local, remote, .. } = *seen;
        Some((Self { number, at, direction, carrier, local, remote, call_id: call_id.into(), bytes }, sniffed))
    }

    /// When it passed.
    pub fn time(&self) -> DateTime<Utc> {
        let micros = i64::try_from(self.at).unwrap_or(i64::MAX);
        DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// Who sent it, and to whom.
    pub fn ends(&self) -> (SocketAddr, SocketAddr) {
        match self.direction {
            Direction::In => (self.remote, self.local),
            Direction::Out => (self.local, self.remote),
        }
    }
}

/// The message without what must not be seen, as text for a log.
pub fn masked(bytes: &[u8]) -> String {
    let mut own = bytes.to_vec();
    secrets::mask(&mut own);
    String::from_utf8_lossy(&own).into_owned()
}

#[cfg(test)]
mod tests;
