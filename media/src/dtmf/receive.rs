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
/// What a sender that wrongly moves the timestamp may have lost of a press without our taking the rest for another.
const SLACK: Duration = Duration::from_millis(40);
/// A press whose duration starts anew after so long without a word is another press, although its sender left the
/// timestamp where it was. Longer than any packet is overtaken.
const QUIET: Duration = Duration::from_millis(100);
/// A press that another source tells of so soon is the one that was under way: four packets may be lost meanwhile. Of a
/// key that is let go and pressed again so quickly an end was told before.
const CHANGEOVER: Duration = Duration::from_millis(100);
/// The same digit told a second way within this, counted from the last sign of the press, is the same press: a peer may
/// send INFO when the key is let go.
const SAME_PRESS: Duration = Duration::from_secs(1);

/// How a press is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// As telephone-events (RFC 4733).
    Event,
    /// By SIP INFO.
    Info,
    /// By its tones in the audio.
    Tone,
}

/// A press as told by events.
#[derive(Clone, Copy, Debug)]
struct Press {
    code: u8,
    timestamp: u32,
    /// Ticks per second of timestamp and duration.
    clock: u32,
    /// The longest seen with this timestamp.
    duration: u16,
    ended: bool,
    /// Several packets came with the same timestamp, as §2.5.1.2 has it: only a segment moves it.
    steady: bool,
    /// Its source is gone, and its timestamp means nothing.
    adrift: bool,
    heard: Instant,
}

/// A press as reported, and the ways it was told so far.
#[derive(Clone, Debug)]
struct Reported {
    digit: char,
    told: Vec<Told>,
    heard: Instant,
}

/// Turns packets, INFO requests and tones into digits.
#[derive(Clone, Debug, Default)]
pub struct Receiver {
    /// The one way that is believed; `None` for all.
    believed: Option<Told>,
    /// Of the last events.
    source: Option<u32>,
    presses: VecDeque<Press>,
    reported: VecDeque<Reported>,
    /// The last sign of any key.
    heard: Option<Instant>,
}

impl Receiver {
    /// Only what is told in this way counts from here on.
    pub fn believe(&mut self, only: Told) {
        self.believed = Some(only);
    }

    /// The events that follow bear this SSRC.
    pub fn come_from(&mut self, ssrc: u32) {
        if self.source.replace(ssrc).is_some_and(|before| before != ssrc) {
            self.restart();
        }
    }

    /// The stream begins anew, or has another source: timestamps before mean nothing. A key may still be held.
    pub fn restart(&mut self) {
        self.presses.iter_mut().for_each(|press| press.adrift = true);
    }

    /// An event packet, whose timestamps tick `clock` times a second. The digit is reported by the first packet of its
    /// press that arrives, so the loss of all end packets changes nothing.
    pub fn handle_event(
        &mut self,
        event: Event,
        marker: bool,
        timestamp: u32,
        clock: u32,
        now: Instant,
    ) -> Option<char> {
        self.presses.retain(|press| now < press.heard + FORGOTTEN);
        let known = self.presses.iter_mut().rev().filter(|press| press.clock == clock).find(|press| {
            if press.adrift {
                return press.drifts_to(event, now);
            }
            press.is(event, timestamp, now) || (!marker && press.goes_on_with(event, timestamp))
        });
        if let Some(press) = known {
            press.take(event, timestamp, now);
            if let Some(digit) = digit(event.code) {
                self.goes_on(digit, Told::Event, now);
            }
            return None;
        }
        if self.presses.len() >= REMEMBERED {
            self.presses.pop_front();
        }
        let (code, duration, ended) = (event.code, event.duration, event.end);
        self.presses.push_back(Press {
            code,
            timestamp,
            clock,
            duration,
            ended,
            steady: false,
            adrift: false,
            heard: now,
        });
        digit(event.code).and_then(|digit| self.report(digit, Told::Event, now))
    }

    /// A digit told by INFO (`application/dtmf-relay` or `application/dtmf`).
    pub fn handle_info(&mut self, digit: char, now: Instant) -> Option<char> {
        let digit = digit.to_ascii_uppercase();
        super::code(digit)?;
        self.report(digit, Told::Info, now)
    }

    /// A digit heard as tones in the audio: once a press, as [`super::Detector`] tells it.
    pub fn handle_tone(&mut self, digit: char, now: Instant) -> Option<char> {
        self.report(digit, Told::Tone, now)
    }

    /// The tone of a digit that was told goes on: its key is still held, and INFO may come when it is let go.
    pub fn handle_held_tone(&mut self, digit: char, now: Instant) {
        self.reported.retain(|reported| now < reported.heard + SAME_PRESS);
        self.goes_on(digit, Told::Tone, now);
    }

    /// When a key was last heard of in a way that is believed: pressed, or still held.
    pub fn heard_at(&self) -> Option<Instant> {
        self.heard
    }

    /// Each report can be told once more each other way; those are swallowed.
    fn report(&mut self, digit: char, told: Told, now: Instant) -> Option<char> {
        if self.believed.is_some_and(|believed| believed != told) {
            return None;
        }
        self.heard = Some(now);
        self.reported.retain(|reported| now < reported.heard + SAME_PRESS);
        let twin = self.reported.iter_mut().find(|other| other.digit == digit && !other.told.contains(&told));
        if let Some(twin) = twin {
            twin.told.push(told);
            return None;
        }
        // Who tells a key by events tells the next by events, too: what more is heard of its tone, behind the last of them
        // or in pieces before, is of no other.
        let is_told_by_events = |other: &Reported| other.digit == digit && other.told.contains(&Told::Event);
        if told == Told::Tone && self.reported.iter().any(is_told_by_events) {
            return None;
        }
        if self.reported.len() >= REMEMBERED {
            self.reported.pop_front();
        }
        self.reported.push_back(Reported { digit, told: vec![told], heard: now });
        Some(digit)
    }

    /// The key is still held, as this way tells.
    fn goes_on(&mut self, digit: char, told: Told, now: Instant) {
        let held = self.reported.iter_mut().rev().find(|r| r.digit == digit && r.told.contains(&told));
        if let Some(held) = held {
            held.heard = now;
            self.heard = Some(now);
        }
    }
}

impl Press {
    /// Whether a packet is another report of this press (§2.5.1.2: the same event at the same timestamp).
    fn is(&self, event: Event, timestamp: u32, now: Instant) -> bool {
        let anew = event.duration < self.duration && now >= self.heard + QUIET;
        self.code == event.code && self.timestamp == timestamp && !anew
    }

    /// Whether a packet without marker, at another timestamp, still belongs to this press.
    fn goes_on_with(&self, event: Event, timestamp: u32) -> bool {
        let slack = u64::from(self.clock) * SLACK.as_millis() as u64 / 1_000;
        let ahead = timestamp.wrapping_sub(self.timestamp);
        if self.code != event.code || ahead >= 1 << 31 {
            return false;
        }
        let ahead = u64::from(ahead);
        if self.ended {
            // The end packets of a sender that wrongly moves the timestamp with every packet.
            return event.end && ahead <= slack;
        }
        // §2.5.1.3: what follows 0xFFFF ticks, or as many packets as fit, is a further segment.
        let segment = ahead.abs_diff(u16::MAX.into()) <= slack;
        segment || (!self.steady && ahead <= u64::from(self.duration) + slack)
    }

    /// Whether a packet of another source still tells of this press, or of its end.
    fn drifts_to(&self, event: Event, now: Instant) -> bool {
        self.code == event.code && (event.end || !self.ended) && now < self.heard + CHANGEOVER
    }

    fn take(&mut self, event: Event, timestamp: u32, now: Instant) {
        if self.timestamp == timestamp {
            self.steady |= event.duration != self.duration;
            self.duration = self.duration.max(event.duration);
        } else {
            (self.timestamp, self.duration, self.steady) = (timestamp, event.duration, false);
        }
        self.ended |= event.end;
        self.adrift = false;
        self.heard = now;
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

    /// A press held for `ms`, at a clock of `ticks` a millisecond, in segments where it must be (§2.5.1.3).
    fn held(code: u8, timestamp: u32, ms: u32, ticks: u32) -> Vec<Packet> {
        let report = |at: u32, end: bool| {
            // The report of the very end of a segment belongs to it.
            let segment = (at * ticks - 1) / 0xffff;
            let begins = segment * 0xffff;
            let duration = (at * ticks - begins) as u16;
            (timestamp.wrapping_add(begins), at == 20, code, duration, end)
        };
        let reports = (1..=ms / 20).map(|n| report(n * 20, false));
        reports.chain((0..3).map(|_| report(ms, true))).collect()
    }

    fn digits(packets: &[Packet]) -> String {
        at_clock(8_000, packets)
    }

    fn at_clock(clock: u32, packets: &[Packet]) -> String {
        let timed: Vec<(u64, Packet)> = (0..).step_by(20).zip(packets.iter().copied()).collect();
        timed_digits(clock, &timed)
    }

    /// Packets with the milliseconds they come at.
    fn timed_digits(clock: u32, packets: &[(u64, Packet)]) -> String {
        let (start, mut receiver) = (origin(), Receiver::default());
        let told = packets.iter().filter_map(|(at, (timestamp, marker, code, duration, end))| {
            let event = Event { code: *code, end: *end, volume: 10, duration: *duration };
            receiver.handle_event(event, *marker, *timestamp, clock, start + Duration::from_millis(*at))
        });
        told.collect()
    }

    #[test]
    fn a_key_held_for_twenty_seconds_is_one_digit_at_every_clock() {
        for (clock, ticks) in [(8_000, 8), (16_000, 16), (48_000, 48)] {
            let long = held(6, u32::MAX - 70_000, 20_000, ticks);
            assert_eq!(at_clock(clock, &long), "6", "{clock}");
            // A tenth of a second lost at each place, the joint of two segments among them.
            for from in (0..long.len() - 6).step_by(3) {
                let holed: Vec<Packet> = [&long[..from], &long[from + 5..]].concat();
                assert_eq!(at_clock(clock, &holed), "6", "{clock}, lost from {from}");
            }
        }
    }

    /// §2.5.1.3 leaves open where a sender cuts: before the duration overflows is common, too.
    #[test]
    fn a_segment_may_be_as_many_packets_as_fit() {
        let mut packets: Vec<Packet> = (1..=409).map(|n| (1_000, n == 1, 3, n * 160, false)).collect();
        packets.extend((1..=20).map(|n| (1_000 + 409 * 160, false, 3, n * 160, n == 20)));
        assert_eq!(digits(&packets), "3");
    }

    /// The tightest keying that Q.24 lets a phone do, without marker and without any end packet.
    #[test]
    fn the_same_key_twice_quickly_is_two_digits_without_markers_and_ends() {
        for ticks in [8_u32, 16, 48] {
            let each = |timestamp| (1..=3).map(move |n| (timestamp, false, 1, (n * 20 * ticks) as u16, false));
            let packets: Vec<Packet> = each(1_000).chain(each(1_000 + 100 * ticks)).collect();
            assert_eq!(at_clock(ticks * 1_000, &packets), "11", "{ticks}");
        }
    }

    #[test]
    fn keys_at_a_timestamp_that_stands_still_are_told_apart() {
        let still =
            |key: u8, from: u64| press(key, 1_000, 5).into_iter().zip((from..).step_by(20)).map(|(p, at)| (at, p));
        let other: Vec<(u64, Packet)> = still(1, 0).chain(still(2, 160)).collect();
        assert_eq!(timed_digits(8_000, &other), "12", "another key at once");
        let same: Vec<(u64, Packet)> = still(1, 0).chain(still(1, 300)).collect();
        assert_eq!(timed_digits(8_000, &same), "11", "the same key after a rest");
        let overtaken = [(0, press(1, 1_000, 5)[2]), (20, press(1, 1_000, 5)[0]), (40, press(1, 1_000, 5)[1])];
        assert_eq!(timed_digits(8_000, &overtaken), "1", "no rest, but packets overtaken");
    }

    #[test]
    fn a_timestamp_of_another_clock_is_another_press() {
        let (start, mut receiver) = (origin(), Receiver::default());
        let mut told = String::new();
        for (n, (clock, end)) in (0..).zip([(48_000, true), (8_000, false), (48_000, true), (8_000, true)]) {
            let event = Event { code: 1, end, volume: 10, duration: 800 };
            told.extend(receiver.handle_event(event, false, 1_000, clock, start + Duration::from_millis(10 * n)));
        }
        assert_eq!(told, "11");
    }

    #[test]
    fn a_press_goes_on_under_another_source_if_that_is_soon_and_at_the_same_clock() {
        let cases = [
            (false, (5, false), 8_000, 40, None),
            (false, (5, true), 8_000, 99, None),
            // The rest of its end packets.
            (true, (5, true), 8_000, 40, None),
            // Let go, and pressed again.
            (true, (5, false), 8_000, 40, Some('5')),
            (false, (5, false), 8_000, 100, Some('5')),
            (false, (5, false), 48_000, 40, Some('5')),
            (false, (6, false), 8_000, 40, Some('6')),
        ];
        for (ended, (code, end), clock, ms, expected) in cases {
            let (start, mut receiver) = (origin(), Receiver::default());
            let event = |code, end| Event { code, end, volume: 10, duration: 480 };
            assert_eq!(receiver.handle_event(event(5, ended), true, 1_000, 8_000, start), Some('5'));
            receiver.restart();
            let now = start + Duration::from_millis(ms);
            let told = receiver.handle_event(event(code, end), false, 900_000, clock, now);
            assert_eq!(told, expected, "ended {ended}, then {code} {end} at {clock} after {ms} ms");
            let later = now + Duration::from_millis(300);
            let told = receiver.handle_event(event(code, true), false, 900_000, clock, later);
            assert_eq!(told, None, "the same press of the same source");
        }
    }

    #[test]
    fn end_packets_that_move_the_timestamp_are_no_further_digits() {
        let packets: Vec<Packet> = (0..8).map(|n| (1_000 + n * 160, n == 0, 4, 160, n >= 5)).collect();
        assert_eq!(digits(&packets), "4");
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
        let (start, mut receiver) = (origin(), Receiver::default());
        let event = Event { code: 5, end: false, volume: 10, duration: 160 };
        assert_eq!(receiver.handle_event(event, true, 1_000, 8_000, start), Some('5'));
        assert_eq!(receiver.handle_info('5', start + Duration::from_millis(150)), None);
        assert_eq!(receiver.handle_info('5', start + Duration::from_millis(400)), Some('5'));
        assert_eq!(receiver.handle_event(event, true, 5_000, 8_000, start + Duration::from_millis(500)), None);
        assert_eq!(receiver.handle_info('a', start + Duration::from_secs(3)), Some('A'));
        assert_eq!(receiver.handle_info('x', start + Duration::from_secs(3)), None);
    }

    #[test]
    fn a_press_told_three_ways_in_any_order_is_one_digit() {
        use Told::{Event as E, Info as I, Tone as T};
        let start = origin();
        for order in [[E, I, T], [E, T, I], [I, E, T], [I, T, E], [T, E, I], [T, I, E]] {
            let mut receiver = Receiver::default();
            let mut heard = String::new();
            for press in 0..3 {
                for (n, way) in (0_u64..).zip(order) {
                    let now = start + Duration::from_millis(250 * press + 60 * n);
                    let event = Event { code: 5, end: false, volume: 10, duration: 160 };
                    heard.extend(match way {
                        E => receiver.handle_event(event, true, 2_000 * press as u32, 8_000, now),
                        I => receiver.handle_info('5', now),
                        T => receiver.handle_tone('5', now),
                    });
                }
            }
            assert_eq!(heard, "555", "{order:?}");
        }
    }

    /// A gateway that tells keys by events takes their tones out of the audio, late, and lets them in again too soon.
    #[test]
    fn a_tone_that_is_heard_before_its_events_and_again_behind_them_is_one_press() {
        let (start, mut receiver) = (origin(), Receiver::default());
        let mut heard = String::new();
        for press in 0..3_u32 {
            let at = |ms| start + Duration::from_millis(400) * press + Duration::from_millis(ms);
            heard.extend(receiver.handle_tone('5', at(40)));
            for n in 1..=8_u16 {
                let event = Event { code: 5, end: n > 5, volume: 10, duration: 160 * n.min(5) };
                let now = at(40 + 20 * u64::from(n));
                heard.extend(receiver.handle_event(event, n == 1, 3_200 * press, 8_000, now));
            }
            heard.extend(receiver.handle_tone('5', at(260)));
        }
        assert_eq!(heard, "555");
        let alone = |ms| start + Duration::from_millis(ms);
        heard.extend(receiver.handle_tone('5', alone(4_000)));
        heard.extend(receiver.handle_tone('5', alone(4_200)));
        assert_eq!(heard, "55555", "of keys that are told by their tones alone each counts");
    }

    #[test]
    fn where_one_way_is_believed_the_others_are_not() {
        use Told::{Event as E, Info as I, Tone as T};
        for (believed, expected) in [(E, "5"), (I, "6"), (T, "7")] {
            let (start, mut receiver) = (origin(), Receiver::default());
            receiver.believe(believed);
            receiver.restart();
            let event = Event { code: 5, end: false, volume: 10, duration: 160 };
            let told = [
                receiver.handle_event(event, true, 1_000, 8_000, start),
                receiver.handle_info('6', start),
                receiver.handle_tone('7', start),
            ];
            assert_eq!(told.into_iter().flatten().collect::<String>(), expected, "{believed:?}");
        }
    }

    /// A phone may send INFO with the duration, which it knows when the key is let go.
    #[test]
    fn info_at_the_end_of_a_long_press_is_the_same_press() {
        let (start, mut receiver) = (origin(), Receiver::default());
        let mut heard = String::new();
        for n in 1..=150 {
            let event = Event { code: 9, end: false, volume: 10, duration: n * 160 };
            let now = start + Duration::from_millis(20) * n.into();
            heard.extend(receiver.handle_event(event, n == 1, 1_000, 8_000, now));
        }
        heard.extend(receiver.handle_info('9', start + Duration::from_millis(3_050)));
        assert_eq!(heard, "9");
        assert_eq!(receiver.handle_info('9', start + Duration::from_millis(3_300)), Some('9'), "pressed again");
    }

    #[test]
    fn a_key_is_heard_of_as_long_as_it_is_held_in_the_ways_that_are_believed() {
        for believed in [None, Some(Told::Event), Some(Told::Tone), Some(Told::Info)] {
            let (start, mut receiver) = (origin(), Receiver::default());
            if let Some(only) = believed {
                receiver.believe(only);
            }
            assert_eq!(receiver.heard_at(), None);
            let at = |ms| start + Duration::from_millis(ms);
            let counts = |way: Told| believed.is_none_or(|only| only == way);
            let mut last = None;
            for n in 1..=100 {
                let event = Event { code: 5, end: n == 100, volume: 10, duration: n * 160 };
                receiver.handle_event(event, n == 1, 1_000, 8_000, at(20 * u64::from(n)));
            }
            last = if counts(Told::Event) { Some(at(2_000)) } else { last };
            assert_eq!(receiver.heard_at(), last, "{believed:?}, by events");
            receiver.handle_tone('6', at(3_000));
            receiver.handle_held_tone('6', at(3_500));
            last = if counts(Told::Tone) { Some(at(3_500)) } else { last };
            assert_eq!(receiver.heard_at(), last, "{believed:?}, by its tone");
            receiver.handle_info('6', at(3_600));
            last = if counts(Told::Info) { Some(at(3_600)) } else { last };
            assert_eq!(receiver.heard_at(), last, "{believed:?}, by INFO");
        }
    }

    #[test]
    fn a_tone_that_is_heard_again_is_the_same_press_while_events_tell_of_it_and_for_a_second_after() {
        let (start, mut receiver) = (origin(), Receiver::default());
        let at = |ms| start + Duration::from_millis(ms);
        let event = |n: u16, end| Event { code: 5, end, volume: 10, duration: n * 160 };
        assert_eq!(receiver.handle_event(event(1, false), true, 1_000, 8_000, at(20)), Some('5'));
        assert_eq!(receiver.handle_tone('5', at(60)), None);
        assert_eq!(receiver.handle_event(event(40, false), false, 1_000, 8_000, at(800)), None);
        assert_eq!(receiver.handle_tone('5', at(840)), None, "still held");
        assert_eq!(receiver.handle_tone('6', at(850)), Some('6'), "another key");
        assert_eq!(receiver.handle_event(event(50, true), false, 1_000, 8_000, at(1_000)), None);
        assert_eq!(receiver.handle_tone('5', at(1_300)), None, "let go; another press would have its own event");
        assert_eq!(receiver.handle_tone('5', at(2_000)), Some('5'), "pressed again, and told by its tone alone");
    }

    #[test]
    fn info_at_the_end_of_a_long_tone_is_the_same_press() {
        let (start, mut receiver) = (origin(), Receiver::default());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(receiver.handle_tone('9', at(40)), Some('9'));
        (60..=3_000).step_by(20).for_each(|ms| receiver.handle_held_tone('9', at(ms)));
        assert_eq!(receiver.handle_info('9', at(3_050)), None);
        assert_eq!(receiver.handle_info('9', at(3_300)), Some('9'), "pressed again");
        // Of a press that is over for so long a tone that nobody counted is no sign.
        assert_eq!(receiver.handle_tone('8', at(10_000)), Some('8'));
        receiver.handle_held_tone('8', at(12_000));
        assert_eq!(receiver.handle_info('8', at(12_020)), Some('8'));
    }
}
