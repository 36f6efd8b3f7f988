//! One press, one digit: whatever is lost, repeated or overtaken on the way (RFC 4733 §2.5.2), and whichever way the
//! peer tells it.
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{Event, digit};

/// Presses remembered, so that their stragglers are recognised.
const REMEMBERED: usize = 8;
/// A press nothing more was heard of for so long is forgotten: after a jump backwards its timestamp may come again.
const FORGOTTEN: Duration = Duration::from_secs(5);
/// A segment of a long event (§2.5.1.3) starts where the one before ended, give or take a few lost packets.
const SEGMENT_SLACK: Duration = Duration::from_millis(40);
/// The same digit told both by event and by INFO within this is one press.
const SAME_PRESS: Duration = Duration::from_secs(1);

/// How a press was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Event,
    Info,
}

#[derive(Clone, Copy, Debug)]
struct Press {
    code: u8,
    timestamp: u32,
    duration: u16,
    ended: bool,
    heard: Instant,
}

/// Turns packets and INFO requests into digits.
#[derive(Clone, Debug)]
pub struct Receiver {
    clock: u32,
    presses: VecDeque<Press>,
    /// Digits reported and not told a second way so far.
    single: VecDeque<(char, Told, Instant)>,
}

impl Receiver {
    /// For events whose timestamps tick `clock` times a second.
    pub fn new(clock: u32) -> Self {
        Self { clock, presses: VecDeque::new(), single: VecDeque::new() }
    }

    /// The stream has another source or clock: timestamps before mean nothing.
    pub fn restart(&mut self, clock: u32) {
        self.clock = clock;
        self.presses.clear();
    }

    /// An event packet. The digit is reported by the first packet of its press that arrives, so the loss of all end
    /// packets changes nothing.
    pub fn handle_event(&mut self, event: Event, marker: bool, timestamp: u32, now: Instant) -> Option<char> {
        self.presses.retain(|press| now < press.heard + FORGOTTEN);
        let slack = u64::from(self.clock) * SEGMENT_SLACK.as_millis() as u64 / 1_000;
        let known = self.presses.iter_mut().rev().find(|press| {
            press.timestamp == timestamp || (!marker && press.goes_on_with(event.code, timestamp, slack))
        });
        if let Some(press) = known {
            press.heard = now;
            press.ended |= event.end;
            press.duration =
                if press.timestamp == timestamp { press.duration.max(event.duration) } else { event.duration };
            press.timestamp = timestamp;
            return None;
        }
        if self.presses.len() >= REMEMBERED {
            self.presses.pop_front();
        }
        let press = Press { code: event.code, timestamp, duration: event.duration, ended: event.end, heard: now };
        self.presses.push_back(press);
        digit(event.code).and_then(|digit| self.report(digit, Told::Event, now))
    }

    /// A digit told by INFO (`application/dtmf-relay` or `application/dtmf`).
    pub fn handle_info(&mut self, digit: char, now: Instant) -> Option<char> {
        let digit = digit.to_ascii_uppercase();
        super::code(digit)?;
        self.report(digit, Told::Info, now)
    }

    /// Each report can be told once more the other way; that one is swallowed.
    fn report(&mut self, digit: char, told: Told, now: Instant) -> Option<char> {
        self.single.retain(|(_, _, at)| now < *at + SAME_PRESS);
        let twin = self.single.iter().position(|(other, way, _)| *other == digit && *way != told);
        if let Some(twin) = twin {
            self.single.remove(twin);
            return None;
        }
        self.single.push_back((digit, told, now));
        if self.single.len() > REMEMBERED {
            self.single.pop_front();
        }
        Some(digit)
    }
}

impl Press {
    /// Whether a packet without marker is a further segment of this press; also what a sender does that wrongly moves
    /// the timestamp with every packet.
    fn goes_on_with(&self, code: u8, timestamp: u32, slack: u64) -> bool {
        let ahead = timestamp.wrapping_sub(self.timestamp);
        self.code == code && !self.ended && ahead < 1 << 31 && u64::from(ahead) <= u64::from(self.duration) + slack
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, origin};

    /// One packet of a press: timestamp, marker, code, duration, end.
    type Packet = (u32, bool, u8, u16, bool);

    /// What FreeSWITCH sends: a marker, a packet each 20 ms, three end packets.
    fn press(code: u8, timestamp: u32, packets: u16) -> Vec<Packet> {
        let reports = (1..=packets).map(|n| (timestamp, n == 1, code, n * 160, false));
        reports.chain((0..3).map(|_| (timestamp, false, code, packets * 160 + 160, true))).collect()
    }

    fn digits(packets: &[Packet]) -> String {
        let (start, mut receiver) = (origin(), Receiver::new(8_000));
        let packets = packets.iter().enumerate();
        packets
            .filter_map(|(n, (timestamp, marker, code, duration, end))| {
                let event = Event { code: *code, end: *end, volume: 10, duration: *duration };
                receiver.handle_event(event, *marker, *timestamp, start + Duration::from_millis(20 * n as u64))
            })
            .collect()
    }

    #[test]
    fn each_press_is_one_digit() {
        let twice: Vec<Packet> = [press(5, 1_000, 5), press(5, 3_720, 5), press(11, 6_000, 12)].concat();
        assert_eq!(digits(&twice), "55#");
    }

    #[test]
    fn any_one_packet_of_a_press_is_enough() {
        for kept in 0..8 {
            assert_eq!(digits(&press(7, 1_000, 5)[kept..=kept]), "7", "packet {kept}");
        }
    }

    #[test]
    fn the_loss_of_all_end_packets_does_not_join_two_presses() {
        let packets: Vec<Packet> = [press(1, 1_000, 5), press(1, 3_720, 5)].concat();
        let without_ends: Vec<Packet> = packets.into_iter().filter(|(.., end)| !end).collect();
        assert_eq!(digits(&without_ends), "11");
        let without_markers: Vec<Packet> = without_ends.into_iter().filter(|(_, marker, ..)| !marker).collect();
        assert_eq!(digits(&without_markers), "11");
    }

    #[test]
    fn a_long_event_in_segments_is_one_digit() {
        // §2.5.1.3: at 0xFFFF ticks the timestamp moves on and no marker is set.
        let packets = [
            (1_000, true, 3, 160, false),
            (1_000, false, 3, 0xffff, false),
            (66_535, false, 3, 160, false),
            (66_535, false, 3, 900, true),
        ];
        assert_eq!(digits(&packets), "3");
    }

    #[test]
    fn a_sender_that_moves_the_timestamp_with_every_packet_means_one_digit() {
        let packets: Vec<Packet> = (0..6).map(|n| (1_000 + n * 160, n == 0, 4, 160, n == 5)).collect();
        assert_eq!(digits(&packets), "4");
    }

    #[test]
    fn stragglers_of_an_earlier_press_are_recognised_and_flash_is_no_digit() {
        let first = press(1, 1_000, 5);
        let packets: Vec<Packet> = [first[..6].to_vec(), press(2, 4_000, 5), first[6..].to_vec()].concat();
        assert_eq!(digits(&packets), "12");
        assert_eq!(digits(&press(16, 1_000, 5)), "");
    }

    #[test]
    fn presses_survive_loss_duplication_and_reordering() {
        for seed in 0..500 {
            let mut random = Random::new(seed);
            let (mut packets, mut expected) = (Vec::new(), String::new());
            let mut timestamp = random.next() as u32;
            for _ in 0..6 {
                let code = random.below(12) as u8;
                let mut sent = press(code, timestamp, 5);
                let kept = random.below(8) as usize;
                sent = sent
                    .into_iter()
                    .enumerate()
                    .filter(|(n, _)| *n == kept || random.chance(60))
                    .map(|(_, p)| p)
                    .collect();
                sent = sent.into_iter().flat_map(|p| vec![p; if random.chance(20) { 2 } else { 1 }]).collect();
                if sent.len() > 1 && random.chance(30) {
                    sent.swap(0, 1);
                }
                packets.extend(sent);
                expected.extend(digit(code));
                timestamp = timestamp.wrapping_add(2_720);
            }
            assert_eq!(digits(&packets), expected, "seed {seed}");
        }
    }

    #[test]
    fn a_press_told_by_event_and_by_info_is_one_digit() {
        let (start, mut receiver) = (origin(), Receiver::new(8_000));
        let event = Event { code: 5, end: false, volume: 10, duration: 160 };
        assert_eq!(receiver.handle_event(event, true, 1_000, start), Some('5'));
        assert_eq!(receiver.handle_info('5', start + Duration::from_millis(150)), None);
        assert_eq!(receiver.handle_info('5', start + Duration::from_millis(400)), Some('5'));
        assert_eq!(receiver.handle_event(event, true, 5_000, start + Duration::from_millis(500)), None);
        assert_eq!(receiver.handle_info('a', start + Duration::from_secs(3)), Some('A'));
        assert_eq!(receiver.handle_info('x', start + Duration::from_secs(3)), None);
    }
}
