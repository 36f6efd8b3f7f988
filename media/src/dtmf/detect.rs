//! Digits in the audio itself (ITU-T Q.23, Q.24), for peers that tell them no other way.
//!
//! Eight Goertzel filters over windows of 15 ms, one each 7.5 ms. A window holds a digit when two tones, one a group,
//! carry most of all there is; speech nearly never does, and hardly ever three times in a row at one level.
use std::{f32::consts::TAU, time::Duration};

use super::tone::{HIGH_HZ, KEYS, LOW_HZ};

/// Samples a second of what the detector hears.
const RATE: f32 = 8_000.0;
/// Long enough to tell 697 Hz from 770 Hz, short enough for tones 1.5 % off (Q.24 table A-1).
const WINDOW: usize = 120;
const HOP: usize = WINDOW / 2;
/// A tone of 40 ms, the shortest that has to be taken, covers three windows wherever it begins.
const HITS: u32 = 3;
/// Fewer windows without the digit are an interruption of the tone: up to 20 ms. A pause of 40 ms has more.
const MISSES: u32 = 4;
/// The weakest tone taken: −42 dBm0, as an amplitude.
const WEAKEST: f32 = 180.0;
/// How much stronger the high tone may be, and the low one: 4 and 8 dB (Q.24), with 2 and 4 dB for
/// what a window makes of tones that are off.
const HIGH_OVER_LOW: f32 = 3.98;
const LOW_OVER_HIGH: f32 = 15.8;
/// A tone is 5 dB above the others of its group; more is not left of the weaker of two that are both off.
const ABOVE_OTHERS: f32 = 3.2;
/// The least share of a window's energy in the two tones: what is left of tones 1.5 % off in noise of −15 dB.
const SHARE: f32 = 0.55;
/// A key keeps its level from window to window, within 2 dB; at the edges of a shorter tone it does not.
const STEADY: f32 = 1.8;
/// So much audio that nobody sent is a pause. Less of it may be made up for a packet that is late, besides those that
/// turn out to be lost.
const PAUSE: Duration = Duration::from_millis(100);
/// What is taken for packets lost out of a tone is less: in a longer loss a key may have been let go and pressed again.
const LONGEST_LOSS: Duration = Duration::from_millis(300);

/// Listens to one caller.
#[derive(Clone, Debug)]
pub struct Detector {
    /// Not yet a whole window.
    samples: Vec<f32>,
    /// The digit whose tone sounds, once it was told.
    sounding: Option<char>,
    /// What the last windows held, and how many of them in a row.
    run: Option<(Window, u32)>,
    /// Windows in a row without the digit that sounds.
    misses: u32,
    /// Since the audio before, and how much of it packets would have held that are lost.
    made_up: Duration,
    lost: Duration,
}

/// A window with a digit in it.
#[derive(Clone, Copy, Debug)]
struct Window {
    digit: char,
    /// Power of its two tones together: of a weak one alone, noise and the other leave no steady measure.
    power: f32,
}

impl Default for Detector {
    fn default() -> Self {
        let samples = Vec::with_capacity(WINDOW);
        Self { samples, sounding: None, run: None, misses: 0, made_up: Duration::ZERO, lost: Duration::ZERO }
    }
}

impl Detector {
    /// Hears audio at 8 kHz; the digits whose tones were recognised in it, each once however long it sounds.
    pub fn push(&mut self, samples: &[i16]) -> Vec<char> {
        if self.made_up.saturating_sub(self.lost) >= PAUSE {
            self.forget();
        }
        (self.made_up, self.lost) = (Duration::ZERO, Duration::ZERO);
        let mut digits = Vec::new();
        let mut rest = samples;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(WINDOW - self.samples.len()));
            self.samples.extend(now.iter().map(|sample| f32::from(*sample)));
            rest = later;
            if self.samples.len() == WINDOW {
                let window = judge(&self.samples);
                self.samples.drain(..HOP);
                digits.extend(self.follow(window));
            }
        }
        digits
    }

    /// So much audio was made up at this place: nothing is heard in it. A tone may go on behind it, unless it is long.
    pub fn skip(&mut self, duration: Duration) {
        self.samples.clear();
        self.made_up = self.made_up.saturating_add(duration);
        if self.made_up >= LONGEST_LOSS {
            self.forget();
        }
    }

    /// So much of what was made up stood for packets that are lost, as is known when the next one comes: nobody paused.
    pub fn lose(&mut self, duration: Duration) {
        self.lost = self.lost.saturating_add(duration);
    }

    fn forget(&mut self) {
        (self.sounding, self.run, self.misses) = (None, None, 0);
    }

    /// The digit whose tone still sounds, as far as is heard: it was told before.
    pub fn sounding(&self) -> Option<char> {
        self.sounding
    }

    fn follow(&mut self, window: Option<Window>) -> Option<char> {
        self.run = window.map(|window| match self.run {
            Some((before, count)) if before.goes_on_with(window) => (window, count.saturating_add(1)),
            Some(_) | None => (window, 1),
        });
        if window.is_some_and(|window| self.sounding == Some(window.digit)) {
            self.misses = 0;
            return None;
        }
        self.misses = self.misses.saturating_add(1);
        if self.misses >= MISSES {
            self.sounding = None;
        }
        let (window, _) = self.run.filter(|(_, count)| *count >= HITS)?;
        self.sounding = Some(window.digit);
        self.misses = 0;
        self.sounding
    }
}

impl Window {
    fn goes_on_with(&self, next: Self) -> bool {
        self.digit == next.digit && self.power <= next.power * STEADY && next.power <= self.power * STEADY
    }
}

/// The digit in a window, if its two tones are all there is.
fn judge(samples: &[f32]) -> Option<Window> {
    let energy: f32 = samples.iter().map(|sample| sample * sample).sum();
    // A sine of amplitude A has the energy A²·N/2, and gives a Goertzel filter at its frequency A²·N²/4.
    let size = samples.len() as f32;
    let weakest = WEAKEST * WEAKEST * size / 2.0;
    if energy < 2.0 * weakest {
        return None;
    }
    let share = |power: f32| power * 2.0 / size;
    let (row, low) = strongest(LOW_HZ.map(|hz| share(power_at(samples, hz as f32))))?;
    let (column, high) = strongest(HIGH_HZ.map(|hz| share(power_at(samples, hz as f32))))?;
    let loud = low >= weakest && high >= weakest;
    let twisted = high > low * HIGH_OVER_LOW || low > high * LOW_OVER_HIGH;
    if !loud || twisted || low + high < energy * SHARE {
        return None;
    }
    let digit = KEYS.get(row)?.chars().nth(column)?;
    Some(Window { digit, power: low + high })
}

/// Which of a group, and how strong; `None` when another is near.
fn strongest(group: [f32; 4]) -> Option<(usize, f32)> {
    let (best, power) = group.into_iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b))?;
    let alone = group.into_iter().enumerate().all(|(n, other)| n == best || other * ABOVE_OTHERS <= power);
    alone.then_some((best, power))
}

/// Power at one frequency (Goertzel).
fn power_at(samples: &[f32], hz: f32) -> f32 {
    let coefficient = 2.0 * (TAU * hz / RATE).cos();
    let (mut one, mut two) = (0.0, 0.0);
    for sample in samples {
        (one, two) = (sample + coefficient * one - two, one);
    }
    one * one + two * two - coefficient * one * two
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    const DIGITS: &str = "0123456789*#ABCD";

    /// What a key sounds like on a line.
    #[derive(Clone, Copy)]
    struct Line {
        /// Of both tones together, dBm0.
        level: f64,
        /// The high tone over the low one, dB.
        twist: f64,
        /// Both frequencies off by this share.
        off: f64,
        /// Noise below the tones, dB; none at infinity.
        snr: f64,
        on_ms: usize,
        off_ms: usize,
        /// Quiet before the first, in samples: how windows fall on it.
        lead: usize,
    }

    const CLEAN: Line =
        Line { level: -13.0, twist: 0.0, off: 0.0, snr: f64::INFINITY, on_ms: 50, off_ms: 50, lead: 400 };

    impl Line {
        fn keys(&self, digits: &str, random: &mut Random) -> Vec<i16> {
            // ITU-T G.711: a sine of full scale is 3.17 dBm0 in µ-law.
            let amplitude = |dbm0: f64| 32_124.0 * 10_f64.powf((dbm0 - 3.17) / 20.0);
            let share = 10_f64.powf(self.twist / 10.0);
            let low = amplitude(self.level - 10.0 * (1.0 + share).log10());
            let high = low * share.sqrt();
            let noise = amplitude(self.level - self.snr) / 2_f64.sqrt();
            let mut line = vec![0.0; self.lead];
            for digit in digits.chars() {
                let (row, column) = place(digit);
                let (row, column) = (LOW_HZ[row] * (1.0 + self.off), HIGH_HZ[column] * (1.0 + self.off));
                let phase = random.below(628) as f64 / 100.0;
                let at = |n: usize| std::f64::consts::TAU * n as f64 / 8_000.0;
                line.extend(
                    (0..self.on_ms * 8).map(|n| low * (at(n) * row).sin() + high * (at(n) * column + phase).sin()),
                );
                line.extend(vec![0.0; self.off_ms * 8]);
            }
            // Twelve uniform numbers are a good normal one.
            let mut normal = || (0..12).map(|_| random.below(10_000) as f64 / 10_000.0).sum::<f64>() - 6.0;
            line.into_iter().map(|sample| (sample + noise * normal()).clamp(-32_768.0, 32_767.0) as i16).collect()
        }
    }

    fn place(digit: char) -> (usize, usize) {
        KEYS.iter().enumerate().find_map(|(row, keys)| Some((row, keys.find(digit)?))).unwrap()
    }

    fn heard(samples: &[i16]) -> String {
        let mut detector = Detector::default();
        samples.chunks(160).flat_map(|frame| detector.push(frame)).collect()
    }

    #[track_caller]
    fn check(line: Line, expected: &str, what: &str) {
        let mut random = Random::new(line.lead as u64 + 7);
        assert_eq!(heard(&line.keys(DIGITS, &mut random)), expected, "{what}, lead {}", line.lead);
    }

    #[test]
    fn every_digit_is_heard_from_minus_three_to_minus_thirty_dbm0() {
        for (level, lead) in (3..=30).flat_map(|level| [0, 17, 41, 59].map(|lead| (level, lead))) {
            check(Line { level: -f64::from(level), lead, ..CLEAN }, DIGITS, &format!("-{level} dBm0"));
        }
    }

    #[test]
    fn every_digit_is_heard_with_the_twist_noise_and_drift_of_q24() {
        for (twist, snr, off, lead) in [-8.0, -4.0, 0.0, 4.0]
            .into_iter()
            .flat_map(|twist| [15.0, f64::INFINITY].map(|snr| (twist, snr)))
            .flat_map(|(twist, snr)| [-0.015, 0.0, 0.015].map(|off| (twist, snr, off)))
            .flat_map(|(twist, snr, off)| [0, 13, 29, 51].map(|lead| (twist, snr, off, lead)))
            // All three at their limits at once is more than Q.24 asks for.
            .filter(|(twist, snr, off, _)| *twist > -8.0 || snr.is_infinite() || *off == 0.0)
        {
            for level in [-3.0, -15.0, -30.0] {
                let what = format!("{level} dBm0, twist {twist} dB, SNR {snr} dB, {off} off");
                check(Line { level, twist, snr, off, lead, ..CLEAN }, DIGITS, &what);
            }
        }
    }

    #[test]
    fn forty_milliseconds_are_a_digit_and_twenty_are_none() {
        for lead in 0..HOP {
            check(Line { on_ms: 40, off_ms: 40, lead, ..CLEAN }, DIGITS, "40 ms");
            check(Line { on_ms: 20, off_ms: 80, lead, ..CLEAN }, "", "20 ms");
        }
    }

    #[test]
    fn a_long_tone_is_one_digit_and_a_pause_makes_it_two() {
        let mut random = Random::new(1);
        let long = Line { on_ms: 3_000, ..CLEAN }.keys("5", &mut random);
        assert_eq!(heard(&long), "5");
        for lead in 0..HOP {
            let twice = |off_ms| Line { off_ms, lead, ..CLEAN }.keys("55", &mut Random::new(1));
            assert_eq!(heard(&twice(40)), "55", "a pause of 40 ms");
            assert_eq!(heard(&twice(15)), "5", "an interruption of 15 ms");
        }
    }

    #[test]
    fn a_tone_sounds_from_where_it_is_told_until_it_ends() {
        let mut detector = Detector::default();
        let line = Line { on_ms: 3_000, off_ms: 100, ..CLEAN }.keys("5", &mut Random::new(1));
        let sounding: Vec<Option<char>> = line
            .chunks(160)
            .map(|frame| {
                detector.push(frame);
                detector.sounding()
            })
            .collect();
        // A lead of 50 ms, and 40 ms until it is told; an end is believed after 30 ms.
        let held = sounding.iter().filter(|digit| **digit == Some('5')).count();
        assert!((147..=152).contains(&held), "{held} frames of 150");
        assert_eq!(sounding.last(), Some(&None));
        let before = sounding.iter().take_while(|digit| digit.is_none()).count();
        assert!(sounding.iter().skip(before).take(held).all(Option::is_some), "without a break");
    }

    #[test]
    fn what_q24_has_refused_is_refused() {
        for (line, what) in [
            (Line { twist: 8.0, ..CLEAN }, "the high tone 8 dB stronger"),
            (Line { twist: -15.0, ..CLEAN }, "the low tone 15 dB stronger"),
            (Line { level: -50.0, ..CLEAN }, "-50 dBm0"),
            (Line { off: 0.06, ..CLEAN }, "6 % off"),
            (Line { snr: -3.0, ..CLEAN }, "more noise than tone"),
        ] {
            check(line, "", what);
        }
    }

    #[test]
    fn lost_packets_neither_split_a_tone_nor_join_two() {
        let frames: Vec<Vec<i16>> = Line { on_ms: 400, lead: 0, ..CLEAN }
            .keys("7", &mut Random::new(1))
            .chunks(160)
            .map(<[i16]>::to_vec)
            .collect();
        let mut detector = Detector::default();
        let mut heard = String::new();
        for (n, frame) in frames.iter().enumerate() {
            match n {
                6..10 => detector.skip(Duration::from_millis(20)),
                _ => heard.extend(detector.push(frame)),
            }
        }
        assert_eq!(heard, "7", "80 ms lost");
        // A phone that sends nothing between two presses.
        detector.skip(Duration::from_millis(120));
        heard.extend(frames.iter().take(5).flat_map(|frame| detector.push(frame)));
        assert_eq!(heard, "77");
    }

    #[test]
    fn what_is_made_up_for_lost_packets_is_no_pause_unless_it_is_long() {
        let line = Line { on_ms: 600, lead: 0, ..CLEAN }.keys("7", &mut Random::new(1));
        for (made_up, lost, expected) in
            [(100, 100, "7"), (280, 280, "7"), (280, 200, "7"), (280, 160, "77"), (100, 0, "77"), (300, 300, "77")]
        {
            let mut detector = Detector::default();
            let mut heard: String = line.chunks(160).take(10).flat_map(|frame| detector.push(frame)).collect();
            (0..made_up / 20).for_each(|_| detector.skip(Duration::from_millis(20)));
            detector.lose(Duration::from_millis(lost));
            heard.extend(line.chunks(160).take(10).flat_map(|frame| detector.push(frame)));
            assert_eq!(heard, expected, "{made_up} ms made up, {lost} ms lost");
            // What was lost is over with that.
            detector.skip(Duration::from_millis(100));
            let again: String = line.chunks(160).take(10).flat_map(|frame| detector.push(frame)).collect();
            assert_eq!(again, "7", "{made_up} ms made up, {lost} ms lost, and then a pause");
        }
    }

    /// Recordings of people and of voices made by machines: not one digit in any of them.
    #[test]
    fn speech_is_no_digit() {
        for (name, samples) in crate::testing::speech() {
            for gain in [0.25, 1.0, 2.0] {
                let louder: Vec<i16> = samples.iter().map(|s| (f32::from(*s) * gain) as i16).collect();
                assert_eq!(heard(&louder), "", "{name} at {gain}");
            }
        }
    }

    #[test]
    fn noise_and_tones_of_a_phone_system_are_no_digits() {
        let mut random = Random::new(3);
        let noise: Vec<i16> = (0..8_000 * 60).map(|_| (random.below(20_000) as i32 - 10_000) as i16).collect();
        assert_eq!(heard(&noise), "");
        for pair in [[425.0, 425.0], [350.0, 440.0], [480.0, 620.0], [440.0, 480.0], [1_004.0, 1_004.0], [697.0, 770.0]]
        {
            let at = |n: usize, hz: f64| (std::f64::consts::TAU * n as f64 * hz / 8_000.0).sin() * 8_000.0;
            let tone: Vec<i16> = (0..16_000).map(|n| (at(n, pair[0]) + at(n, pair[1])) as i16).collect();
            assert_eq!(heard(&tone), "", "{pair:?}");
        }
    }
}
