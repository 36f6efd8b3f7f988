//! Digits to send, one step per packet time (RFC 4733 §2.5.1).
use std::{collections::VecDeque, time::Duration};

use super::Event;

/// How long a digit sounds, and how long it is quiet before the next.
const TONE: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_millis(100);
/// −10 dBm0, which every receiver takes (§2.3.4 wants more than −36).
const VOLUME: u8 = 10;
/// The last packet is sent three times (§2.5.1.4).
const ENDS: u32 = 3;
/// A shorter tone need not be taken for a key (Q.24).
const SHORTEST: Duration = Duration::from_millis(40);
/// Steps taken for a digit that is over, at whatever packet time.
const OVER: u32 = u32::MAX;
/// The most digits that wait: more than any menu or number needs. Overflow policy: digits that do not all fit are refused
/// together, since a number cut short is another number.
const MAX_WAITING: usize = 64;

/// What a packet time is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this event; all packets of one press carry the timestamp of its first.
    Event {
        /// The payload.
        event: Event,
        /// The first packet of the press: set the marker.
        first: bool,
    },
    /// For a peer without telephone-events: sound this digit's tone, from this many packet times into it.
    Tone {
        /// The digit.
        digit: char,
        /// Packet times of this tone sounded before.
        frame: u32,
    },
    /// Quiet between two digits.
    Pause,
}

impl Step {
    /// The digit that the peer hears or is told.
    pub fn digit(self) -> Option<char> {
        match self {
            Self::Event { event, .. } => super::digit(event.code),
            Self::Tone { digit, .. } => Some(digit.to_ascii_uppercase()),
            Self::Pause => None,
        }
    }
}

/// Steps through the digits.
#[derive(Clone, Debug, Default)]
pub struct Sender {
    waiting: VecDeque<(char, Way)>,
    /// Steps taken for the digit in front.
    taken: u32,
    /// Its ends went out at once: the rest of it is quiet.
    ended: bool,
}

/// How the sender of a digit wants it told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By the means of the call.
    AsAgreed,
    /// As a tone, whatever they are.
    Tone,
}

/// How digits reach the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// As telephone-events.
    Event {
        /// Ticks per second of their durations.
        clock: u32,
    },
    /// As tones in the audio.
    Tone,
}

impl Sender {
    /// Queues digits; what is no digit is left out. False if there is no room for all of them: then none is queued.
    pub fn queue(&mut self, digits: &str, way: Way) -> bool {
        let digits = digits.chars().filter(|digit| super::code(*digit).is_some());
        let fits = digits.clone().count() <= MAX_WAITING.saturating_sub(self.waiting.len());
        if fits {
            self.waiting.extend(digits.map(|digit| (digit, way)));
        }
        fits
    }

    /// Whether digits wait, or one is being pressed, with the quiet behind it.
    pub fn is_pressing(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What the next packet time of `ptime` is used for; `None` when no digit waits.
    pub fn step(&mut self, ptime: Duration, means: Means) -> Option<Step> {
        let (digit, way) = *self.waiting.front()?;
        let code = super::code(digit)?;
        let sounding = frames_in(TONE, ptime);
        let frame = self.taken;
        self.taken = frame.saturating_add(1);
        if frame >= sounding + ENDS.max(frames_in(PAUSE, ptime)) {
            self.waiting.pop_front();
            (self.taken, self.ended) = (0, false);
            return self.step(ptime, means);
        }
        let (Means::Event { clock }, Way::AsAgreed) = (means, way) else {
            return Some(if frame < sounding { Step::Tone { digit, frame } } else { Step::Pause });
        };
        if self.ended || frame >= sounding + ENDS {
            return Some(Step::Pause);
        }
        let lasting = ptime * sounding.min(frame + 1);
        Some(Step::Event { event: report(code, frame >= sounding, lasting, clock), first: frame == 0 })
    }

    /// Nothing can be sent from here on, until [`Self::step`] is called again. A press under way ends with that: its
    /// duration counts from a timestamp that would be long gone (§2.5.1.2). What it has yet to send is returned; what
    /// waits behind it is pressed later. A tone too short to be taken for a key is sounded later, too, and in whole.
    pub fn break_off(&mut self, ptime: Duration, means: Means) -> Vec<Event> {
        let taken = self.taken;
        let Some((digit, way)) = self.waiting.front().copied().filter(|_| taken > 0) else { return Vec::new() };
        let (Means::Event { clock }, Way::AsAgreed, Some(code)) = (means, way, super::code(digit)) else {
            self.taken = if taken < frames_in(SHORTEST, ptime) { 0 } else { OVER };
            return Vec::new();
        };
        self.taken = OVER;
        let sounding = frames_in(TONE, ptime);
        let ends = if self.ended { 0 } else { ENDS.min((sounding + ENDS).saturating_sub(taken)) };
        (0..ends).map(|_| report(code, true, ptime * sounding.min(taken), clock)).collect()
    }

    /// Our packets bear another SSRC from here on. A press that events tell of ends with the one before, since by another
    /// source it would be another press: what it has yet to send is returned, and the quiet behind it follows. A tone
    /// sounds on.
    pub fn end(&mut self, ptime: Duration, means: Means) -> Vec<Event> {
        let taken = self.taken;
        let is_told = matches!((means, self.waiting.front()), (Means::Event { .. }, Some((_, Way::AsAgreed))));
        if !is_told || taken == 0 {
            return Vec::new();
        }
        let ends = self.break_off(ptime, means);
        (self.taken, self.ended) = (taken.max(frames_in(TONE, ptime)), true);
        ends
    }

    /// Packet times passed unused: a press that sounds has gone on meanwhile, and its next report says so (§2.5.1.2 has
    /// durations cumulative). Its three ends are still sent.
    pub fn skip(&mut self, slots: u64, ptime: Duration) {
        let sounding = frames_in(TONE, ptime);
        if (1..sounding).contains(&self.taken) {
            self.taken = u32::try_from(slots).unwrap_or(u32::MAX).saturating_add(self.taken).min(sounding);
        }
    }
}

fn report(code: u8, end: bool, lasting: Duration, clock: u32) -> Event {
    let ticks = lasting.as_micros() as u64 * u64::from(clock) / 1_000_000;
    Event { code, end, volume: VOLUME, duration: u16::try_from(ticks).unwrap_or(u16::MAX) }
}

fn frames_in(duration: Duration, ptime: Duration) -> u32 {
    duration.as_micros().div_ceil(ptime.as_micros().max(1)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dtmf::Receiver, testing::origin};

    const PTIME: Duration = Duration::from_millis(20);

    #[test]
    fn a_digit_is_five_reports_three_ends_and_a_pause() {
        let mut sender = Sender::default();
        assert!(sender.queue("9!", Way::AsAgreed));
        let steps: Vec<Step> = std::iter::from_fn(|| sender.step(PTIME, Means::Event { clock: 8_000 })).collect();
        let durations: Vec<(u16, bool, bool)> = steps
            .iter()
            .filter_map(|step| match step {
                Step::Event { event, first, .. } => Some((event.duration, event.end, *first)),
                Step::Tone { .. } | Step::Pause => None,
            })
            .collect();
        assert_eq!(durations[0], (160, false, true));
        assert_eq!(durations[4], (800, false, false));
        assert_eq!(durations[5..], [(800, true, false); 3]);
        assert_eq!((steps.len(), sender.is_pressing()), (10, false));
    }

    #[test]
    fn our_receiver_hears_what_we_send_at_every_clock_and_packet_time() {
        for (clock, ms) in [8_000, 16_000, 48_000].into_iter().flat_map(|clock| [10, 20, 30, 60].map(|ms| (clock, ms)))
        {
            let (start, mut sender, mut receiver) = (origin(), Sender::default(), Receiver::default());
            let ptime = Duration::from_millis(ms);
            sender.queue("1122#*aD", Way::AsAgreed);
            let (mut heard, mut timestamp, mut last) = (String::new(), 0, 0);
            for n in 0_u32.. {
                let Some(step) = sender.step(ptime, Means::Event { clock }) else { break };
                let Step::Event { event, first } = step else { continue };
                if first {
                    (timestamp, last) = (n * ms as u32 * clock / 1_000, 0);
                }
                let grows = last == 0 || event.end || u32::from(event.duration - last) == ms as u32 * clock / 1_000;
                assert!(grows, "{clock} Hz, {ms} ms: {last} to {}", event.duration);
                last = event.duration;
                heard.extend(receiver.handle_event(event, first, timestamp, clock, start + ptime * n));
            }
            assert_eq!(heard, "1122#*AD", "{clock} Hz, {ms} ms");
        }
    }

    #[test]
    fn a_late_sender_reports_the_time_that_passed_and_all_three_ends() {
        for skipped in 0..20 {
            let mut sender = Sender::default();
            sender.queue("1", Way::AsAgreed);
            let mut durations = Vec::new();
            for n in 0.. {
                if n == 2 {
                    sender.skip(skipped, PTIME);
                }
                let Some(step) = sender.step(PTIME, Means::Event { clock: 8_000 }) else { break };
                durations.extend(match step {
                    Step::Event { event, .. } => Some((event.duration, event.end)),
                    Step::Tone { .. } | Step::Pause => None,
                });
            }
            let third = (160 * (3 + skipped).min(5) as u16, skipped > 2);
            assert_eq!((durations[1], durations[2]), ((320, false), third), "{skipped} skipped");
            assert_eq!(durations.iter().filter(|(duration, end)| *end && *duration == 800).count(), 3);
        }
    }

    /// So many steps into two digits.
    fn pressing(way: Way, means: Means, taken: u16) -> Sender {
        let mut sender = Sender::default();
        sender.queue("12", way);
        for _ in 0..taken {
            sender.step(PTIME, means);
        }
        sender
    }

    #[test]
    fn a_press_that_is_broken_off_ends_and_the_next_begins_at_any_packet_time() {
        let (means, later) = (Means::Event { clock: 8_000 }, Duration::from_millis(10));
        for (taken, ends) in [(0_u16, 0), (1, 3), (4, 3), (5, 3), (6, 2), (7, 1), (8, 0), (10, 0)] {
            let mut sender = pressing(Way::AsAgreed, means, taken);
            let duration = 160 * taken.min(5);
            let end = Event { code: 1, end: true, volume: VOLUME, duration };
            assert_eq!(sender.break_off(PTIME, means), vec![end; ends], "{taken} steps taken");
            let Some(Step::Event { event, first: true }) = sender.step(later, means) else { panic!("no press") };
            assert_eq!((event.code, event.duration), (if taken == 0 { 1 } else { 2 }, 80), "{taken} steps taken");
        }
    }

    #[test]
    fn a_tone_that_is_broken_off_is_sounded_anew_only_where_it_was_too_short_for_a_key() {
        for (taken, next) in [(0, '1'), (1, '1'), (2, '2'), (5, '2'), (9, '2')] {
            for (way, means) in [(Way::Tone, Means::Event { clock: 8_000 }), (Way::AsAgreed, Means::Tone)] {
                let mut sender = pressing(way, means, taken);
                assert_eq!(sender.break_off(PTIME, means), [], "{taken} steps taken");
                let begun = sender.step(PTIME, means);
                assert_eq!(begun, Some(Step::Tone { digit: next, frame: 0 }), "{taken} steps taken");
            }
        }
    }

    #[test]
    fn a_press_that_ends_with_its_source_has_its_quiet_behind_it_and_a_tone_goes_on() {
        let means = Means::Event { clock: 8_000 };
        for (taken, ends, quiet) in [(0_u16, 0, 0), (1, 3, 5), (4, 3, 5), (5, 3, 5), (6, 2, 4), (8, 0, 2), (10, 0, 0)] {
            let mut sender = pressing(Way::AsAgreed, means, taken);
            let end = Event { code: 1, end: true, volume: VOLUME, duration: 160 * taken.min(5) };
            assert_eq!(sender.end(PTIME, means), vec![end; ends], "{taken} steps taken");
            assert_eq!(sender.end(PTIME, means), [], "{taken} steps taken");
            let steps = std::iter::from_fn(|| sender.step(PTIME, means));
            assert_eq!(steps.take_while(|step| *step == Step::Pause).count(), quiet, "{taken} steps taken");
        }
        let mut sender = pressing(Way::Tone, means, 2);
        assert_eq!(sender.end(PTIME, means), []);
        assert_eq!(sender.step(PTIME, means), Some(Step::Tone { digit: '1', frame: 2 }));
    }

    #[test]
    fn digits_that_do_not_all_fit_are_refused_together() {
        let mut sender = Sender::default();
        assert!(sender.queue(&"1".repeat(MAX_WAITING - 1), Way::AsAgreed));
        assert!(!sender.queue("22", Way::AsAgreed) && sender.queue("3", Way::AsAgreed));
        let waiting: String = sender.waiting.iter().map(|(digit, _)| *digit).collect();
        assert_eq!(waiting, "1".repeat(MAX_WAITING - 1) + "3");
    }

    #[test]
    fn without_events_tones_are_sounded() {
        let mut sender = Sender::default();
        sender.queue("5", Way::AsAgreed);
        let steps: Vec<Step> = std::iter::from_fn(|| sender.step(PTIME, Means::Tone)).collect();
        assert_eq!(steps[4], Step::Tone { digit: '5', frame: 4 });
        assert_eq!(steps[5..], [Step::Pause; 5]);
        sender.queue("5", Way::Tone);
        let asked = sender.step(PTIME, Means::Event { clock: 8_000 });
        assert_eq!(asked, Some(Step::Tone { digit: '5', frame: 0 }), "asked for, although events were agreed on");
    }
}
