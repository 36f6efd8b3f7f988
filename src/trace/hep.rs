//! HEP, version 3: one datagram for each message, as Homer and its kin take them.
use super::{Carrier, Entry};
use std::{fmt, net::IpAddr};

/// Begins every packet; its length follows.
const MAGIC: &[u8; 4] = b"HEP3";
/// Chunks of the protocol itself have the vendor 0.
const VENDOR: u16 = 0;
/// `SIP` among the types of payload.
const SIP: u8 = 1;
/// A longer message makes no datagram.
const LONGEST: usize = 65_507;

/// Who we are to the collector.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// Tells capturing agents apart.
    pub capture_id: u32,
    /// What the collector asks for, if it does.
    pub password: Option<String>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.capture_id)
    }
}

/// A kind of chunk, by its number.
#[derive(Clone, Copy)]
enum Chunk {
    Family = 1,
    Protocol = 2,
    SourceFour = 3,
    DestinationFour = 4,
    SourceSix = 5,
    DestinationSix = 6,
    SourcePort = 7,
    DestinationPort = 8,
    Seconds = 9,
    Micros = 10,
    Payload = 11,
    Agent = 12,
    Password = 14,
    Message = 15,
    Correlation = 17,
}

/// One message; `None` if it is too long for a datagram.
pub fn packet(entry: &Entry, identity: &Identity) -> Option<Vec<u8>> {
    let (from, to) = entry.ends();
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&[0, 0]);
    // AF_INET and AF_INET6 of Linux, and the numbers of the IP protocols; TLS is TCP to them.
    let (family, source, destination) = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            (2, (Chunk::SourceFour, from.octets().to_vec()), (Chunk::DestinationFour, to.octets().to_vec()))
        }
        (from, to) => (10, (Chunk::SourceSix, six(from)), (Chunk::DestinationSix, six(to))),
    };
    let protocol = match entry.carrier {
        Carrier::Udp => 17,
        Carrier::Tcp | Carrier::Tls => 6,
    };
    let seconds = u32::try_from(entry.at / 1_000_000).unwrap_or(u32::MAX);
    let micros = u32::try_from(entry.at % 1_000_000).unwrap_or_default();
    push(&mut bytes, Chunk::Family, &[family])?;
    push(&mut bytes, Chunk::Protocol, &[protocol])?;
    push(&mut bytes, source.0, &source.1)?;
    push(&mut bytes, destination.0, &destination.1)?;
    push(&mut bytes, Chunk::SourcePort, &from.port().to_be_bytes())?;
    push(&mut bytes, Chunk::DestinationPort, &to.port().to_be_bytes())?;
    push(&mut bytes, Chunk::Seconds, &seconds.to_be_bytes())?;
    push(&mut bytes, Chunk::Micros, &micros.to_be_bytes())?;
    push(&mut bytes, Chunk::Payload, &[SIP])?;
    push(&mut bytes, Chunk::Agent, &identity.capture_id.to_be_bytes())?;
    if let Some(password) = &identity.password {
        push(&mut bytes, Chunk::Password, password.as_bytes())?;
    }
    push(&mut bytes, Chunk::Correlation, entry.call_id.as_bytes())?;
    push(&mut bytes, Chunk::Message, &entry.bytes)?;
    let length = u16::try_from(bytes.len()).ok().filter(|_| bytes.len() <= LONGEST)?;
    bytes.get_mut(4..6)?.copy_from_slice(&length.to_be_bytes());
    Some(bytes)
}

/// Vendor, kind, length of the whole chunk, value.
fn push(bytes: &mut Vec<u8>, chunk: Chunk, value: &[u8]) -> Option<()> {
    let length = u16::try_from(value.len().checked_add(6)?).ok()?;
    for word in [VENDOR, chunk as u16, length] {
        bytes.extend_from_slice(&word.to_be_bytes());
    }
    bytes.extend_from_slice(value);
    Some(())
}

fn six(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
