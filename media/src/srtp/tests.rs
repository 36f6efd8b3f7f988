//! Protection proven by the vectors of the RFCs, against another implementation, and by what must not pass.
mod hostile;
mod interop;
mod lifecycle;
mod vectors;

use super::*;
use crate::testing::Random;

/// A master key of any bytes.
fn master(suite: Suite, seed: u64) -> Master {
    Master::new(suite, &Random::new(seed).bytes(suite.master_length())).unwrap()
}

/// An RTP packet with contributing sources, an extension and padding as the dice fall.
fn rtp(random: &mut Random, ssrc: u32, sequence: u16) -> Vec<u8> {
    let (sources, extended) = (random.below(4) as u8, random.chance(30));
    let mut packet = vec![0x80 | u8::from(extended) << 4 | sources, random.below(128) as u8];
    packet.extend(sequence.to_be_bytes());
    packet.extend(random.bytes(4));
    packet.extend(ssrc.to_be_bytes());
    packet.extend(random.bytes(4 * usize::from(sources)));
    if extended {
        let words = random.below(5) as u8;
        packet.extend([0xbe, 0xde, 0, words]);
        packet.extend(random.bytes(4 * usize::from(words)));
    }
    let length = random.below(400) as usize;
    packet.extend(random.bytes(length));
    packet
}

/// A compound RTCP packet: a sender report, names, and now and then a goodbye.
fn rtcp(random: &mut Random, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 200, 0, 6];
    packet.extend(ssrc.to_be_bytes());
    packet.extend(random.bytes(20));
    packet.extend([0x81, 202, 0, 3]);
    packet.extend(ssrc.to_be_bytes());
    packet.extend([1, 5, b'a', b'@', b'b', b'.', b'c', 0]);
    if random.chance(20) {
        packet.extend([0x81, 203, 0, 1]);
        packet.extend(ssrc.to_be_bytes());
    }
    packet
}
