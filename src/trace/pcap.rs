//! Messages as a capture file (pcap, version 2.4) for Wireshark and its kin: each in an IP packet made for it.
//!
//! A datagram becomes one. A message of a stream becomes TCP segments with running sequence numbers, and so does what
//! came encrypted, which is readable here: TLS itself is not in the file.
use super::{Carrier, Entry};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

/// LINKTYPE_RAW: packets begin with their IP header, whose first four bits say which.
const RAW_IP: u32 = 101;
const UDP: u8 = 17;
const TCP: u8 = 6;
/// Payload of one segment, so that no packet is longer than its length field can say.
const SEGMENT: usize = 32_768;
/// PSH and ACK (RFC 9293 §3.1).
const PUSH: u8 = 0x18;
/// What a stream begins with.
const FIRST_SEQUENCE: u32 = 1;

/// A whole file.
pub fn file(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 0x0004_0000, RAW_IP] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    let mut streams = Streams::default();
    for entry in entries {
        let (from, to) = entry.ends();
        match entry.carrier {
            Carrier::Udp => record(&mut bytes, entry.at, &packet(from, to, UDP, &datagram(from, to, &entry.bytes))),
            Carrier::Tcp | Carrier::Tls => {
                for piece in entry.bytes.chunks(SEGMENT) {
                    let segment = streams.segment(from, to, piece);
                    record(&mut bytes, entry.at, &packet(from, to, TCP, &segment));
                }
            }
        }
    }
    bytes
}

fn record(file: &mut Vec<u8>, at: u64, packet: &[u8]) {
    let seconds = u32::try_from(at / 1_000_000).unwrap_or(u32::MAX);
    let micros = u32::try_from(at % 1_000_000).unwrap_or_default();
    let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
    for word in [seconds, micros, length, length] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    file.extend_from_slice(packet);
}

fn datagram(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len().saturating_add(8)).unwrap_or(u16::MAX);
    let mut bytes = [from.port(), to.port(), length, 0].map(u16::to_be_bytes).concat();
    bytes.extend_from_slice(payload);
    let sum = checksum(from.ip(), to.ip(), UDP, &bytes);
    // RFC 768: a sum of zero is sent as ones.
    put(&mut bytes, 6, if sum == 0 { u16::MAX } else { sum });
    bytes
}

/// The next sequence number of each direction of each stream.
#[derive(Debug, Default)]
struct Streams(BTreeMap<(SocketAddr, SocketAddr), u32>);

impl Streams {
    fn segment(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
        let acknowledged = *self.0.entry((to, from)).or_insert(FIRST_SEQUENCE);
        let next = self.0.entry((from, to)).or_insert(FIRST_SEQUENCE);
        let sequence = *next;
        *next = sequence.wrapping_add(u32::try_from(payload.len()).unwrap_or_default());
        let mut bytes = [from.port(), to.port()].map(u16::to_be_bytes).concat();
        bytes.extend_from_slice(&sequence.to_be_bytes());
        bytes.extend_from_slice(&acknowledged.to_be_bytes());
        // A header of five words, the widest window, no sum yet, no urgent pointer.
        bytes.extend_from_slice(&[0x50, PUSH, 0xff, 0xff, 0, 0, 0, 0]);
        bytes.extend_from_slice(payload);
        let sum = checksum(from.ip(), to.ip(), TCP, &bytes);
        put(&mut bytes, 16, sum);
        bytes
    }
}

/// An IP packet; where the families differ (an IPv4 peer of an IPv6 socket) both addresses are written as IPv6.
fn packet(from: SocketAddr, to: SocketAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = |more: usize| u16::try_from(payload.len().saturating_add(more)).unwrap_or(u16::MAX).to_be_bytes();
    let mut bytes = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let [high, low] = length(20);
            let mut header = vec![0x45, 0, high, low, 0, 0, 0x40, 0, 64, protocol, 0, 0];
            header.extend_from_slice(&from.octets());
            header.extend_from_slice(&to.octets());
            let sum = folded(add(0, &header));
            put(&mut header, 10, sum);
            header
        }
        (from, to) => {
            let [high, low] = length(0);
            let mut header = vec![0x60, 0, 0, 0, high, low, protocol, 64];
            header.extend_from_slice(&six(from));
            header.extend_from_slice(&six(to));
            header
        }
    };
    bytes.extend_from_slice(payload);
    bytes
}

fn six(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// The sum over the pseudo header and the rest. That of IPv4 and that of IPv6 (RFC 8200 §8.1) add up to the same words.
fn checksum(from: IpAddr, to: IpAddr, protocol: u8, bytes: &[u8]) -> u16 {
    let addresses = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => [from.octets(), to.octets()].concat(),
        (from, to) => [six(from), six(to)].concat(),
    };
    let length = u32::try_from(bytes.len()).unwrap_or_default();
    folded(add(add(u64::from(length) + u64::from(protocol), &addresses), bytes))
}

/// RFC 1071: 16-bit words, the last filled with a zero.
fn add(sum: u64, bytes: &[u8]) -> u64 {
    let words = bytes.chunks(2).map(|word| match word {
        [high, low] => u64::from(u16::from_be_bytes([*high, *low])),
        [high] => u64::from(*high) << 8,
        _ => 0,
    });
    sum + words.sum::<u64>()
}

fn folded(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

fn put(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(place) = bytes.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}
