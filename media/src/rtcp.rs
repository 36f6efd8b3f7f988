//! RTCP (RFC 3550 §6): what we report, and what the peer reports of us.
use std::time::{Duration, Instant};

use rtcp_types::{
    Bye, Compound, Packet, ReceiverReport, ReportBlock, ReportBlockBuilder, RtcpPacketWriterExt, RtcpWriteError, Sdes,
    SdesChunk, SdesItem, SenderReport,
};

use crate::rtp;

/// The longest compound packet we build: one report block, one canonical name.
const MAX_PACKET: usize = 256;
/// Report blocks read of one packet; ours is among the first in a call of two.
const MAX_BLOCKS: usize = 31;

/// What the peer last told of our stream, and where its reports stand.
#[derive(Clone, Debug)]
pub struct Control {
    ssrc: u32,
    cname: String,
    /// Where NTP time is counted from: the core has no wall clock, and §6.4.1 asks only that it advances.
    origin: Instant,
    /// Middle 32 bits of the NTP time of the peer's last sender report, and when it arrived.
    last_report: Option<(u32, Instant)>,
    round_trip: Option<Duration>,
    remote_lost: u32,
    remote_jitter: u32,
    peer_left: bool,
}

impl Control {
    /// For our stream `ssrc`, named `cname` (§6.5.1).
    pub fn new(ssrc: u32, cname: String, now: Instant) -> Self {
        Self {
            ssrc,
            cname,
            origin: now,
            last_report: None,
            round_trip: None,
            remote_lost: 0,
            remote_jitter: 0,
            peer_left: false,
        }
    }

    /// The last measured round-trip time (§6.4.1, figure 2).
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// How many of our packets the peer says it misses.
    pub fn remote_lost(&self) -> u32 {
        self.remote_lost
    }

    /// The jitter the peer sees in our stream, in ticks of its clock.
    pub fn remote_jitter(&self) -> u32 {
        self.remote_jitter
    }

    /// The peer said BYE (§6.6). The call goes on until SIP says so.
    pub fn peer_left(&self) -> bool {
        self.peer_left
    }

    /// Reads a compound packet. False if it is not RTCP; nothing it holds can panic.
    pub fn handle(&mut self, datagram: &[u8], now: Instant) -> bool {
        let Ok(compound) = Compound::parse(datagram) else { return false };
        for packet in compound {
            let Ok(packet) = packet else { return false };
            match packet {
                Packet::Sr(report) => {
                    self.last_report = Some(((report.ntp_timestamp() >> 16) as u32, now));
                    self.read_blocks(report.report_blocks(), now);
                }
                Packet::Rr(report) => self.read_blocks(report.report_blocks(), now),
                Packet::Bye(_) => self.peer_left = true,
                Packet::Sdes(_)
                | Packet::App(_)
                | Packet::TransportFeedback(_)
                | Packet::PayloadFeedback(_)
                | Packet::Xr(_)
                | Packet::Unknown(_) => {}
            }
        }
        true
    }

    fn read_blocks<'a>(&mut self, blocks: impl Iterator<Item = ReportBlock<'a>>, now: Instant) {
        let Some(block) = blocks.take(MAX_BLOCKS).find(|block| block.ssrc() == self.ssrc) else { return };
        self.remote_lost = block.cumulative_lost();
        self.remote_jitter = block.interarrival_jitter();
        let sent = block.last_sender_report_timestamp();
        if sent == 0 {
            return; // no sender report of ours had arrived
        }
        let held = block.delay_since_last_sender_report_timestamp();
        let elapsed = self.short_ntp(now).wrapping_sub(sent).wrapping_sub(held);
        // Half the range or more is a negative time: a peer that counts its delay wrong.
        if elapsed < 1 << 31 {
            self.round_trip = Some(Duration::from_micros((u64::from(elapsed) * 1_000_000) >> 16));
        }
    }

    /// A report: as sender once we sent RTP, else as receiver; then our name (§6.1).
    pub fn report(&self, sent: &rtp::Sender, received: Option<(u32, &mut rtp::Receiver)>, now: Instant) -> Vec<u8> {
        let block = received.map(|(source, receiver)| self.block(source, receiver, now));
        self.compound(sent, block, None, now)
    }

    /// The last report, with BYE (§6.6).
    pub fn bye(&self, sent: &rtp::Sender, now: Instant) -> Vec<u8> {
        self.compound(sent, None, Some("call ended"), now)
    }

    fn compound(
        &self,
        sent: &rtp::Sender,
        block: Option<ReportBlockBuilder>,
        bye: Option<&str>,
        now: Instant,
    ) -> Vec<u8> {
        let mut compound = Compound::builder();
        compound = if sent.packets() > 0 {
            let report = SenderReport::builder(self.ssrc)
                .ntp_timestamp(self.ntp(now))
                .rtp_timestamp(sent.last_timestamp())
                .packet_count(sent.packets())
                .octet_count(sent.octets());
            compound.add_packet(block.into_iter().fold(report, |report, block| report.add_report_block(block)))
        } else {
            let report = ReceiverReport::builder(self.ssrc);
            compound.add_packet(block.into_iter().fold(report, |report, block| report.add_report_block(block)))
        };
        let name = SdesItem::builder(SdesItem::CNAME, &self.cname);
        compound = compound.add_packet(Sdes::builder().add_chunk(SdesChunk::builder(self.ssrc).add_item(name)));
        if let Some(reason) = bye {
            compound = compound.add_packet(Bye::builder().add_source(self.ssrc).reason(reason));
        }
        let mut bytes = vec![0; MAX_PACKET];
        let written: Result<usize, RtcpWriteError> = compound.write_into(&mut bytes);
        debug_assert!(written.is_ok(), "a report fits: {written:?}");
        bytes.truncate(written.unwrap_or(0));
        bytes
    }

    fn block(&self, source: u32, receiver: &mut rtp::Receiver, now: Instant) -> ReportBlockBuilder {
        let (report, delay) = self.last_report.map_or((0, 0), |(report, arrived)| {
            let delay = now.saturating_duration_since(arrived).as_micros() << 16;
            (report, u32::try_from(delay / 1_000_000).unwrap_or(u32::MAX))
        });
        // §6.4.1: 24 bits, signed, so it stays at its largest positive value.
        let lost = u32::try_from(receiver.lost()).unwrap_or(u32::MAX).min(0x7f_ffff);
        ReportBlock::builder(source)
            .fraction_lost(receiver.fraction_lost())
            .cumulative_lost(lost)
            .extended_sequence_number(receiver.highest())
            .interarrival_jitter(receiver.jitter_ticks())
            .last_sender_report_timestamp(report)
            .delay_since_last_sender_report_timestamp(delay)
    }

    /// NTP format (32.32) of the time since the origin, plus one so that the first report is not "none" (0).
    fn ntp(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.origin);
        ((elapsed.as_secs() + 1) << 32) | ((u64::from(elapsed.subsec_nanos()) << 32) / 1_000_000_000)
    }

    fn short_ntp(&self, now: Instant) -> u32 {
        (self.ntp(now) >> 16) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, origin};

    fn pair() -> (Instant, Control, Control, rtp::Sender, rtp::Sender) {
        let start = origin();
        let (ours, theirs) = (rtp::Sender::new(1), rtp::Sender::new(2));
        let us = Control::new(ours.ssrc(), "us".into(), start);
        let them = Control::new(theirs.ssrc(), "them".into(), start + Duration::from_millis(1_234));
        (start, us, them, ours, theirs)
    }

    #[test]
    fn the_round_trip_is_what_the_way_takes_and_not_what_the_peer_waits() {
        let (start, mut us, mut them, mut ours, theirs) = pair();
        ours.packetize(0, false, 160, &[0; 160]);
        let way = Duration::from_millis(45);
        assert!(them.handle(&us.report(&ours, None, start), start + way));
        let mut receiver = rtp::Receiver::new(8_000);
        for n in [10, 11, 13] {
            receiver.count(n, None, start);
        }
        let answered = start + way + Duration::from_millis(800);
        let report = them.report(&theirs, Some((ours.ssrc(), &mut receiver)), answered);
        assert!(us.handle(&report, answered + way));
        let round_trip = us.round_trip().expect("measured");
        assert!(round_trip.abs_diff(2 * way) < Duration::from_millis(1), "{round_trip:?}");
        assert_eq!(us.remote_lost(), 1);
    }

    #[test]
    fn we_report_as_receiver_before_and_as_sender_after_the_first_packet() {
        let (start, us, _, mut ours, _) = pair();
        let kind = |bytes: &[u8]| bytes.get(1).copied();
        assert_eq!(kind(&us.report(&ours, None, start)), Some(201));
        ours.packetize(0, false, 160, &[0; 160]);
        let report = us.report(&ours, None, start);
        assert_eq!(kind(&report), Some(200));
        assert_eq!(
            &report[16..28],
            [160_u32.wrapping_sub(0).to_be_bytes(), 1_u32.to_be_bytes(), 160_u32.to_be_bytes()].concat()
        );
        let names: Vec<u8> = Compound::parse(&report)
            .expect("ours")
            .filter_map(|p| p.ok())
            .map(|p| match p {
                Packet::Sdes(sdes) => sdes.chunks().count() as u8,
                _ => 0,
            })
            .collect();
        assert_eq!(names, [0, 1]);
    }

    #[test]
    fn bye_is_heard() {
        let (start, us, mut them, ours, _) = pair();
        assert!(!them.peer_left());
        assert!(them.handle(&us.bye(&ours, start), start));
        assert!(them.peer_left());
    }

    #[test]
    fn garbage_and_mutilated_reports_never_panic() {
        let (start, us, mut them, mut ours, _) = pair();
        ours.packetize(0, false, 160, &[0; 160]);
        let good = us.bye(&ours, start);
        let mut random = Random::new(7);
        for _ in 0..20_000 {
            let mut bytes = if random.chance(50) { good.clone() } else { vec![0x81, 200 + random.below(8) as u8] };
            let tail = random.below(60) as usize;
            bytes.extend(random.bytes(tail));
            for _ in 0..random.below(6) {
                let index = random.below(bytes.len() as u64) as usize;
                bytes[index] = random.next() as u8;
            }
            bytes.truncate(random.below(bytes.len() as u64 + 1) as usize);
            them.handle(&bytes, start);
        }
    }
}
