//! The stream we send: one SSRC, one sequence and one timestamp line from the first packet to the last, unless a peer
//! chose the same SSRC.
use super::Packet;

/// Numbers our packets and counts them for the sender reports (RFC 3550 §6.4.1).
#[derive(Clone, Debug)]
pub struct Sender {
    ssrc: u32,
    /// Of the first packet.
    first: u16,
    sequence: u16,
    /// The timestamp of the first tick.
    base: u32,
    packets: u32,
    octets: u32,
}

impl Sender {
    /// A stream whose SSRC, first sequence number and first timestamp come from `seed` (§5.1: random). The number is in the
    /// lower half: a peer that misses the first packets of SRTP would not notice a wrap among them (RFC 3711 §3.3.1).
    pub fn new(seed: u64) -> Self {
        let first = mix(seed);
        let second = mix(seed ^ 0x5bd1_e995_9e37_79b9);
        let base = (second >> 16) as u32;
        let sequence = (first >> 32) as u16 >> 1;
        Self { ssrc: first as u32, first: sequence, sequence, base, packets: 0, octets: 0 }
    }

    /// Another stream of the same clock: SSRC, numbers and counts are new (RFC 3550 §6.4.1, §8.2).
    pub fn renew(&mut self) {
        let seed = (u64::from(self.ssrc) << 32) | u64::from(self.base);
        let next = Self::new(seed);
        // One chance in 2³² is one too many for a keystream.
        let ssrc = if next.ssrc == self.ssrc { next.ssrc.wrapping_add(1) } else { next.ssrc };
        *self = Self { ssrc, base: self.base, ..next };
    }

    /// Our synchronisation source.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Packets sent so far, modulo 2³².
    pub fn packets(&self) -> u32 {
        self.packets
    }

    /// Payload bytes sent so far, modulo 2³².
    pub fn octets(&self) -> u32 {
        self.octets
    }

    /// The timestamp `ticks` of the RTP clock after the first.
    pub fn timestamp(&self, ticks: u64) -> u32 {
        self.base.wrapping_add(ticks as u32)
    }

    /// The sequence number of the first packet.
    pub fn first_sequence(&self) -> u16 {
        self.first
    }

    /// The next packet of the stream as a datagram.
    pub fn packetize(&mut self, payload_type: u8, marker: bool, timestamp: u32, payload: &[u8]) -> Vec<u8> {
        let packet = Packet { marker, payload_type, sequence: self.sequence, timestamp, ssrc: self.ssrc, payload };
        self.sequence = self.sequence.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload.len() as u32);
        packet.to_bytes()
    }
}

/// One step of SplitMix64: near seeds give unrelated numbers.
pub(crate) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_follow_each_other_through_the_wrap() {
        let mut sender = Sender::new(42);
        let numbers: Vec<u16> = (0..70_000_u32)
            .map(|n| sender.packetize(0, false, n, &[0; 160]))
            .filter_map(|bytes| Packet::parse(&bytes).map(|p| p.sequence).ok())
            .collect();
        assert_eq!(numbers.len(), 70_000);
        assert!(numbers.windows(2).all(|w| w[1] == w[0].wrapping_add(1)));
        assert_eq!((sender.packets(), sender.octets()), (70_000, 70_000 * 160));
    }

    #[test]
    fn two_seeds_give_two_streams() {
        assert_ne!(Sender::new(1).ssrc(), Sender::new(2).ssrc());
        assert_eq!(Sender::new(1).ssrc(), Sender::new(1).ssrc());
    }
}
