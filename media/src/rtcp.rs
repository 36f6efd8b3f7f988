//! RTCP (RFC 3550 §6): what we report, and what the peer reports of us.
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use rtcp_types::{
    Bye, Compound, Packet, ReceiverReport, ReportBlock, ReportBlockBuilder, RtcpPacketParser, RtcpPacketWriterExt,
    RtcpWriteError, Sdes, SdesChunk, SdesItem, SenderReport,
};

use crate::rtp;

/// The longest compound packet we build: one report block, one canonical name.
const MAX_PACKET: usize = 256;
/// Report blocks read of one packet; ours is among the first in a call of two.
const MAX_BLOCKS: usize = 31;
/// Sender reports of ours that an answer may refer to: half a minute of them, and a round trip is no longer.
const ANSWERABLE: usize = 8;
/// Seconds from 1900, where NTP counts from, to 1970 (RFC 5905 §6).
const NTP_OF_1970: u64 = 2_208_988_800;

/// What the peer says of our stream (§6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reception {
    /// Our packets that it misses since it began to count; negative when some came twice.
    pub lost: i32,
    /// The fraction lost since its report before, out of 256.
    pub fraction: u8,
    /// The highest extended sequence number it has seen.
    pub highest: u32,
    /// The jitter it sees, in ticks of our RTP clock.
    pub jitter: u32,
}

/// Our RTCP state: what is due to be said, and what the peer told.
#[derive(Clone, Debug)]
pub struct Control {
    ssrc: u32,
    cname: String,
    /// NTP time of an instant.
    clock: (u64, Instant),
    /// Middle 32 bits of the NTP times of our last sender reports, the newest first, and when each left.
    said: VecDeque<(u32, Instant)>,
    /// Packets we had sent at the report before the last, and at the last (§6.4: who sent none since is no sender).
    sent_at: [u32; 2],
    /// Whether a report ever left: without one there is no BYE (§6.6).
    reported: bool,
    /// Source and middle 32 bits of the NTP time of the peer's last sender report, and when it arrived.
    last_report: Option<(u32, u32, Instant)>,
    round_trip: Option<Duration>,
    /// What nobody has asked for yet.
    reception: Option<Reception>,
}

impl Control {
    /// For our stream `ssrc`, named `cname` (§6.5.1). At `now`, 1970 is so long ago, for NTP timestamps (§4).
    pub fn new(ssrc: u32, cname: String, since_1970: Duration, now: Instant) -> Self {
        let seconds = since_1970.as_secs().wrapping_add(NTP_OF_1970);
        Self {
            ssrc,
            cname,
            clock: ((seconds << 32) | fraction(since_1970), now),
            said: VecDeque::new(),
            sent_at: [0; 2],
            reported: false,
            last_report: None,
            round_trip: None,
            reception: None,
        }
    }

    /// Our stream goes on under this SSRC (§8.2): nothing was said of it yet, and nothing told.
    pub fn renew(&mut self, ssrc: u32) {
        self.ssrc = ssrc;
        self.said.clear();
        (self.sent_at, self.reported, self.reception) = ([0; 2], false, None);
    }

    /// The last measured round-trip time (§6.4.1, figure 2).
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// What the peer said of our stream since this was last asked.
    pub fn poll_reception(&mut self) -> Option<Reception> {
        self.reception.take()
    }

    /// Reads a compound packet. False if it is none (§A.2) or our own; nothing it holds can panic. A BYE (§6.6) changes
    /// nothing: the call goes on until SIP says so.
    pub fn handle(&mut self, datagram: &[u8], now: Instant) -> bool {
        let Some(packets) = readable(datagram) else { return false };
        for packet in packets {
            match packet {
                // Ours, come back: nobody was heard.
                Packet::Sr(report) if report.ssrc() == self.ssrc => return false,
                Packet::Rr(report) if report.ssrc() == self.ssrc => return false,
                Packet::Sr(report) => {
                    self.last_report = Some((report.ssrc(), (report.ntp_timestamp() >> 16) as u32, now));
                    self.read_blocks(report.report_blocks(), now);
                }
                Packet::Rr(report) => self.read_blocks(report.report_blocks(), now),
                Packet::Bye(_)
                | Packet::Sdes(_)
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
        self.reception = Some(Reception {
            // 24 bits, signed.
            lost: ((block.cumulative_lost() << 8) as i32) >> 8,
            fraction: block.fraction_lost(),
            highest: block.extended_sequence_number(),
            jitter: block.interarrival_jitter(),
        });
        let answered = block.last_sender_report_timestamp();
        // Zero, or no report of ours: a peer that tells nonsense measures nothing.
        let Some((_, left)) = self.said.iter().find(|(middle, _)| *middle == answered) else { return };
        let held = u64::from(block.delay_since_last_sender_report_timestamp());
        let held = Duration::from_micros((held * 1_000_000) >> 16);
        // A peer whose clock runs fast may have waited longer than the way there and back took.
        self.round_trip = Some(now.saturating_duration_since(*left).saturating_sub(held));
    }

    /// A report: as sender if we sent since the report before the last, else as receiver; then our name (§6.1, §6.4).
    /// `timestamp` is what our RTP clock shows at `now`, not what the last packet carried.
    pub fn report(
        &mut self,
        sent: &rtp::Sender,
        timestamp: u32,
        received: Option<(u32, &mut rtp::Receiver)>,
        now: Instant,
    ) -> Vec<u8> {
        let block = received.map(|(source, receiver)| self.block(source, receiver, now));
        let bytes = self.compound((sent, timestamp), block, None, now);
        self.sent_at = [self.sent_at[1], sent.packets()];
        self.reported = true;
        bytes
    }

    /// The last report, with BYE and why; `None` if we never sent anything to take leave of (§6.6). `timestamp` is as in
    /// [`Self::report`].
    pub fn bye(
        &mut self,
        (sent, timestamp): (&rtp::Sender, u32),
        received: Option<(u32, &mut rtp::Receiver)>,
        reason: &str,
        now: Instant,
    ) -> Option<Vec<u8>> {
        if !self.reported && sent.packets() == 0 {
            return None;
        }
        let block = received.map(|(source, receiver)| self.block(source, receiver, now));
        Some(self.compound((sent, timestamp), block, Some(reason), now))
    }

    fn compound(
        &mut self,
        (sent, timestamp): (&rtp::Sender, u32),
        block: Option<ReportBlockBuilder>,
        bye: Option<&str>,
        now: Instant,
    ) -> Vec<u8> {
        let mut compound = Compound::builder();
        compound = if sent.packets() == self.sent_at[0] {
            let report = ReceiverReport::builder(self.ssrc);
            compound.add_packet(block.into_iter().fold(report, |report, block| report.add_report_block(block)))
        } else {
            let ntp = self.ntp(now);
            self.said.truncate(ANSWERABLE - 1);
            self.said.push_front(((ntp >> 16) as u32, now));
            let report = SenderReport::builder(self.ssrc)
                .ntp_timestamp(ntp)
                .rtp_timestamp(timestamp)
                .packet_count(sent.packets())
                .octet_count(sent.octets());
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

    /// §6.4.1: what came of `source`, and when its own last report did; a report of another source answers nothing.
    fn block(&self, source: u32, receiver: &mut rtp::Receiver, now: Instant) -> ReportBlockBuilder {
        let of_source = self.last_report.filter(|(ssrc, ..)| *ssrc == source);
        let (report, delay) = of_source.map_or((0, 0), |(_, report, arrived)| {
            let delay = now.saturating_duration_since(arrived).as_micros() << 16;
            (report, u32::try_from(delay / 1_000_000).unwrap_or(u32::MAX))
        });
        // 24 bits, signed, so it stays at its largest positive value.
        let lost = u32::try_from(receiver.lost()).unwrap_or(u32::MAX).min(0x7f_ffff);
        ReportBlock::builder(source)
            .fraction_lost(receiver.fraction_lost())
            .cumulative_lost(lost)
            .extended_sequence_number(receiver.highest())
            .interarrival_jitter(receiver.jitter_ticks())
            .last_sender_report_timestamp(report)
            .delay_since_last_sender_report_timestamp(delay)
    }

    /// NTP format, 32.32 (§4).
    fn ntp(&self, now: Instant) -> u64 {
        let (ntp, at) = self.clock;
        let elapsed = now.saturating_duration_since(at);
        ntp.wrapping_add((elapsed.as_secs() << 32) | fraction(elapsed))
    }
}

/// Whose a compound packet is: the SSRC of its first, which is a report (§6.4). `None` if it is no compound packet.
pub fn source(datagram: &[u8]) -> Option<u32> {
    match readable(datagram)?.next()? {
        Packet::Sr(report) => Some(report.ssrc()),
        Packet::Rr(report) => Some(report.ssrc()),
        _ => None,
    }
}

/// What can be read of a compound packet, which begins with a report (§6.1). Whatever is odd behind it takes nothing from
/// the report: peers pad their last packet (§6.4.1), some of them wrongly, and not every kind of packet is read with it.
fn readable(datagram: &[u8]) -> Option<impl Iterator<Item = Packet<'_>>> {
    let mut packets = parts(datagram)?.into_iter().map(Packet::parse);
    let report = packets.next()?.ok().filter(|first| matches!(first, Packet::Sr(_) | Packet::Rr(_)))?;
    Some(std::iter::once(report).chain(packets.flatten()))
}

/// The packets of a compound packet, each with its header: all of version 2, as long as the datagram together, and the
/// first without padding if others follow. `None` where that does not hold (§A.2).
fn parts(mut datagram: &[u8]) -> Option<Vec<&[u8]>> {
    let mut parts = Vec::new();
    while let &[first, _, high, low, ..] = datagram {
        let words = usize::from(u16::from_be_bytes([high, low])) + 1;
        let (part, rest) = datagram.split_at_checked(words * 4)?;
        let padded = first & 0x20 != 0;
        if first >> 6 != 2 || (padded && parts.is_empty() && !rest.is_empty()) {
            return None;
        }
        parts.push(part);
        datagram = rest;
    }
    datagram.is_empty().then_some(parts)
}

/// The part of a second, out of 2³².
fn fraction(time: Duration) -> u64 {
    (u64::from(time.subsec_nanos()) << 32) / 1_000_000_000
}

/// The sources that a compound packet takes leave of.
#[cfg(test)]
pub(crate) fn left(datagram: &[u8]) -> Vec<u32> {
    let packets = Compound::parse(datagram).expect("a compound packet").flatten();
    packets
        .filter_map(|packet| if let Packet::Bye(bye) = packet { Some(bye.ssrcs().collect::<Vec<_>>()) } else { None })
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, origin};

    fn pair() -> (Instant, Control, Control, rtp::Sender, rtp::Sender) {
        let start = origin();
        let (ours, theirs) = (rtp::Sender::new(1), rtp::Sender::new(2));
        let wall = Duration::from_millis(1_790_000_000_250);
        let us = Control::new(ours.ssrc(), "us".into(), wall, start);
        let them = Control::new(theirs.ssrc(), "them".into(), wall - Duration::from_secs(3_600), start);
        (start, us, them, ours, theirs)
    }

    fn send(sender: &mut rtp::Sender) {
        sender.packetize(0, false, 160, &[0; 160]);
    }

    /// Counters of a stream of which these packets came.
    fn heard(numbers: &[u16]) -> rtp::Receiver {
        let (mut sequence, mut receiver) = (rtp::Sequence::default(), rtp::Receiver::new(8_000));
        for number in numbers {
            let rtp::Arrival::New(extended) = sequence.accept(*number) else { panic!("{number}") };
            receiver.count(extended, None, origin());
        }
        receiver
    }

    fn kind(bytes: &[u8]) -> Option<u8> {
        bytes.get(1).copied()
    }

    #[test]
    fn the_round_trip_is_what_the_way_takes_and_not_what_the_peer_waits() {
        let (start, mut us, mut them, mut ours, theirs) = pair();
        send(&mut ours);
        let way = Duration::from_millis(45);
        assert!(them.handle(&us.report(&ours, 0, None, start), start + way));
        let mut receiver = heard(&[10, 11, 13]);
        let answered = start + way + Duration::from_millis(800);
        let report = them.report(&theirs, 0, Some((ours.ssrc(), &mut receiver)), answered);
        assert!(us.handle(&report, answered + way));
        let round_trip = us.round_trip().expect("measured");
        assert!(round_trip.abs_diff(2 * way) < Duration::from_millis(1), "{round_trip:?}");
        assert_eq!(us.poll_reception(), Some(Reception { lost: 1, fraction: 64, highest: 13, jitter: 0 }));
    }

    /// §6.4.1: LSR is that of the source the block is about; another source's would make the peer measure nonsense.
    #[test]
    fn a_report_of_another_source_is_not_answered_in_the_block() {
        let (start, mut us, mut them, ours, mut theirs) = pair();
        send(&mut theirs);
        let report = them.report(&theirs, 0, None, start);
        us.handle(&report, start);
        let lsr = |us: &mut Control, source| {
            let mut receiver = heard(&[1]);
            us.report(&ours, 0, Some((source, &mut receiver)), start)[24..28].to_vec()
        };
        assert_eq!(lsr(&mut us, theirs.ssrc()), report[10..14]);
        assert_eq!(lsr(&mut us, theirs.ssrc() ^ 1), [0; 4]);
    }

    #[test]
    fn an_answer_to_a_report_we_never_sent_measures_nothing() {
        let (start, mut us, _, mut ours, _) = pair();
        send(&mut ours);
        let sent = us.report(&ours, 0, None, start);
        let answer = |lsr: &[u8], us: &mut Control| {
            let report = [&[0x81, 201, 0, 7, 0, 0, 0, 9], &sent[4..8], &[0; 12][..], lsr, &[0; 4]].concat();
            assert!(us.handle(&report, start + Duration::from_millis(30)));
            us.round_trip()
        };
        assert_eq!(answer(&[0; 4], &mut us), None);
        assert_eq!(answer(&[1, 2, 3, 4], &mut us), None);
        assert_eq!(answer(&sent[10..14], &mut us), Some(Duration::from_millis(30)));
    }

    #[test]
    fn a_negative_loss_is_read_as_such() {
        let (start, mut us, ..) = pair();
        let ssrc = rtp::Sender::new(1).ssrc().to_be_bytes();
        let block = [&[0x81, 201, 0, 7, 0, 0, 0, 9], &ssrc[..], &[0, 0xff, 0xff, 0xfe], &[0; 16]].concat();
        assert!(us.handle(&block, start));
        assert_eq!(us.poll_reception().map(|reception| reception.lost), Some(-2));
    }

    #[test]
    fn ours_is_found_among_several_blocks_and_in_the_report_of_a_sender() {
        let (start, mut us, mut them, ours, mut theirs) = pair();
        send(&mut theirs);
        let mut receiver = heard(&[7]);
        let report = them.report(&theirs, 0, Some((ours.ssrc(), &mut receiver)), start);
        let (block, mut several) = (report[28..52].to_vec(), report[..28].to_vec());
        several.extend([&[0, 0, 0, 1][..], &[0xee; 20]].concat());
        several.extend(block);
        (several[0], several[3]) = (0x82, 18);
        assert!(us.handle(&several, start));
        assert_eq!(us.poll_reception().map(|reception| reception.highest), Some(7));
    }

    /// §6.4: no RTP in this interval nor in the one before makes a receiver of us.
    #[test]
    fn we_report_as_sender_only_while_we_send() {
        let (start, mut us, _, mut ours, _) = pair();
        assert_eq!(kind(&us.report(&ours, 0, None, start)), Some(201));
        send(&mut ours);
        let report = us.report(&ours, 777, None, start);
        assert_eq!(kind(&report), Some(200));
        assert_eq!(&report[16..28], [777_u32.to_be_bytes(), 1_u32.to_be_bytes(), 160_u32.to_be_bytes()].concat());
        assert_eq!(kind(&us.report(&ours, 0, None, start)), Some(200));
        assert_eq!(kind(&us.report(&ours, 0, None, start)), Some(201));
        send(&mut ours);
        assert_eq!(kind(&us.report(&ours, 0, None, start)), Some(200));
    }

    #[test]
    fn every_report_names_us_and_tells_the_time_of_day() {
        let (start, mut us, _, mut ours, _) = pair();
        send(&mut ours);
        let report = us.report(&ours, 0, None, start + Duration::from_millis(500));
        // 2026-09-21 14:13:20 UTC is 1790000000; 0.75 s are three quarters of 2³².
        let seconds = (1_790_000_000_u64 + NTP_OF_1970) as u32;
        assert_eq!(report[8..16], [seconds.to_be_bytes(), 0xc000_0000_u32.to_be_bytes()].concat());
        let names: Vec<bool> = Compound::parse(&report)
            .expect("ours")
            .filter_map(|packet| packet.ok())
            .map(|packet| matches!(packet, Packet::Sdes(sdes) if sdes.chunks().count() == 1))
            .collect();
        assert_eq!(names, [false, true]);
    }

    #[test]
    fn rfc3550_6_6_bye_is_said_by_whom_somebody_knows_of() {
        let (start, mut us, mut them, mut ours, _) = pair();
        assert_eq!(us.bye((&ours, 0), None, "x", start), None, "nobody knows of us");
        send(&mut ours);
        let bye = us.bye((&ours, 0), None, "x", start).expect("we sent");
        assert_eq!((source(&bye), left(&bye)), (Some(ours.ssrc()), vec![ours.ssrc()]));
        assert!(them.handle(&bye, start));
        ours.renew();
        us.renew(ours.ssrc());
        assert_eq!(us.bye((&ours, 0), None, "x", start), None, "nobody knows of the new one");
    }

    #[test]
    fn what_does_not_begin_with_a_report_is_no_compound_packet() {
        let (start, mut us, mut them, mut ours, _) = pair();
        send(&mut ours);
        let bye = us.bye((&ours, 0), None, "x", start).expect("we sent");
        assert!(!them.handle(&bye[28..], start), "SDES and BYE alone");
        assert!(!us.handle(&bye, start), "our own, come back: nobody was heard");
    }

    /// A report of theirs with a block about us, and its SDES behind it.
    fn reported() -> (Instant, Control, rtp::Sender, Vec<u8>) {
        let (start, us, mut them, ours, mut theirs) = pair();
        send(&mut theirs);
        let report = them.report(&theirs, 0, Some((ours.ssrc(), &mut heard(&[7]))), start);
        (start, us, theirs, report)
    }

    /// §6.4.1: the last packet may be padded. The library takes the padding of SDES for another chunk.
    #[test]
    fn rfc3550_6_4_1_a_report_counts_whatever_is_odd_behind_it() {
        let (start, mut us, theirs, report) = reported();
        let (sender, name) = report.split_at(52);
        let mut padded = report.clone();
        (padded[52], padded[55]) = (padded[52] | 0x20, padded[55] + 1);
        padded.extend([0, 0, 0, 4]);
        // BYE for one source, and none in it.
        let odd = [0x81, 203, 0, 0];
        for datagram in [padded, [sender, &odd, name].concat(), [&report[..], &odd].concat()] {
            assert_eq!(source(&datagram), Some(theirs.ssrc()), "{datagram:02x?}");
            assert!(us.handle(&datagram, start), "{datagram:02x?}");
            assert_eq!(us.poll_reception().map(|reception| reception.highest), Some(7), "{datagram:02x?}");
        }
        let nothing = [0x80, 201, 0, 1, 0, 0, 0, 9];
        assert!(us.handle(&[&nothing[..], &odd, sender].concat(), start));
        assert!(us.poll_reception().is_some(), "what comes behind the odd one is read, too");
    }

    #[test]
    fn rfc3550_a_2_what_is_not_built_as_a_compound_packet_is_none() {
        let (start, mut us, _, report) = reported();
        let changed = |index: usize, change: fn(u8) -> u8| {
            let mut report = report.clone();
            report[index] = change(report[index]);
            report
        };
        for datagram in [
            Vec::new(),
            changed(0, |bits| (bits & 0x3f) | 0x40),
            changed(52, |bits| (bits & 0x3f) | 0x40),
            changed(0, |bits| bits | 0x20),
            // More blocks than there is room for.
            changed(0, |bits| bits | 0x1f),
            changed(55, |length| length + 1),
            [&report[..], &[0x80, 201, 0]].concat(),
        ] {
            assert_eq!(source(&datagram), None, "{datagram:02x?}");
            assert!(!us.handle(&datagram, start) && us.poll_reception().is_none(), "{datagram:02x?}");
        }
    }

    #[test]
    fn garbage_and_mutilated_reports_never_panic() {
        let (start, mut us, mut them, mut ours, _) = pair();
        send(&mut ours);
        let good = us.bye((&ours, 0), None, "x", start).expect("we sent");
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
