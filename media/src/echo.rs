//! Whether what the caller's phone sends is our own voice coming back: line echo, or a loudspeaker into a microphone.
//!
//! Echo rises and falls as what we played did, some fixed time later and weaker. So the envelope of what comes in is
//! correlated with the envelope of what went out at every plausible delay. A caller who speaks over us has a rhythm of
//! their own, and is as loud as we are.
use crate::audio::SampleRate;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Resolution of the envelopes.
const SLOT: Duration = Duration::from_millis(10);
const SLOT_SAMPLES: usize = SampleRate::HZ_8000.samples_in(SLOT);
/// What is compared: several syllables, or their rhythm could be chance.
const COMPARED: usize = 50;
/// The longest way through a network, a jitter buffer, a room and back: 600 ms.
const LONGEST_DELAY: usize = 60;
const REMEMBERED: usize = COMPARED + LONGEST_DELAY;
/// Arrival times jitter; sound does not. A stream counts on by its samples until it is further off than this.
const MOST_DRIFT: u64 = 10;
/// Echo follows what was played at least so closely (correlation coefficient).
const LIKENESS: f32 = 0.9;
/// Echo comes back at most half as strong: telephones attenuate it by 6 dB and more (ITU-T G.122), usually by 20.
const MOST_RETURN: f32 = 0.5;
/// Root mean square below which there is nothing to judge: -60 dB of full scale.
const FAINTEST: f32 = 33.0;
/// Of the compared slots, so many must have held sound of ours.
const LEAST_PLAYED: usize = 6;

/// Remembers what we played to one caller.
#[derive(Debug)]
pub struct Guard {
    epoch: Option<Instant>,
    played: Envelope,
    heard: Envelope,
}

/// Root mean square of each slot of a stream, the latest last, on a common count of slots.
#[derive(Debug)]
struct Envelope {
    /// Number of the slot being filled.
    slot: u64,
    levels: VecDeque<f32>,
    /// Of the slot being filled.
    energy: f32,
    samples: usize,
}

impl Default for Guard {
    fn default() -> Self {
        Self::new()
    }
}

impl Guard {
    /// A guard on a line on which nothing was played yet.
    pub const fn new() -> Self {
        Self { epoch: None, played: Envelope::new(), heard: Envelope::new() }
    }

    /// We sent `samples` (8 kHz), beginning `at`. What is not told counts as silence.
    pub fn played(&mut self, samples: &[i16], at: Instant) {
        let slot = self.slot(at);
        self.played.push(samples, slot);
    }

    /// Whether `samples` (8 kHz), arrived `at`, are an echo of what was played. Needs to be told everything that arrives;
    /// judges by the last 500 ms, so that a tenth of a second of echo passes before it is known for one.
    pub fn is_echo(&mut self, samples: &[i16], at: Instant) -> bool {
        let slot = self.slot(at);
        self.heard.push(samples, slot);
        self.heard.loudest_of(samples.len().div_ceil(SLOT_SAMPLES)) > FAINTEST && self.is_repeated()
    }

    fn slot(&mut self, at: Instant) -> u64 {
        let epoch = *self.epoch.get_or_insert(at);
        (at.saturating_duration_since(epoch).as_micros() / SLOT.as_micros()) as u64
    }

    fn is_repeated(&self) -> bool {
        let heard: Vec<f32> = self.heard.before(self.heard.slot, COMPARED).collect();
        let played: Vec<f32> = self.played.before(self.heard.slot, REMEMBERED).collect();
        played.windows(COMPARED).any(|played| is_weaker_copy(played, &heard))
    }
}

/// Whether `heard` goes as `played` goes, at a fraction of its strength.
fn is_weaker_copy(played: &[f32], heard: &[f32]) -> bool {
    if played.iter().filter(|level| **level > FAINTEST).count() < LEAST_PLAYED {
        return false;
    }
    let mean = |levels: &[f32]| levels.iter().sum::<f32>() / levels.len().max(1) as f32;
    let (played_mean, heard_mean) = (mean(played), mean(heard));
    let (mut both, mut of_played, mut of_heard) = (0.0, 0.0, 0.0);
    for (played, heard) in played.iter().zip(heard) {
        let (played, heard) = (played - played_mean, heard - heard_mean);
        both += played * heard;
        of_played += played * played;
        of_heard += heard * heard;
    }
    let returned = both / of_played.max(f32::MIN_POSITIVE);
    both > LIKENESS * (of_played * of_heard).sqrt() && returned < MOST_RETURN
}

impl Envelope {
    const fn new() -> Self {
        Self { slot: 0, levels: VecDeque::new(), energy: 0.0, samples: 0 }
    }

    /// `samples` whose first belongs to `slot`.
    fn push(&mut self, samples: &[i16], slot: u64) {
        if slot.abs_diff(self.slot) > MOST_DRIFT {
            self.skip_to(slot);
        }
        for sample in samples {
            self.energy += f32::from(*sample).powi(2);
            self.samples += 1;
            if self.samples == SLOT_SAMPLES {
                self.finish_slot();
            }
        }
    }

    /// Silence until `slot`. A stream that is ahead of the clock waits for it instead: its past stays in order.
    fn skip_to(&mut self, slot: u64) {
        if slot.saturating_sub(self.slot) > REMEMBERED as u64 {
            self.levels.clear();
            self.slot = slot;
            (self.energy, self.samples) = (0.0, 0);
        }
        while self.slot < slot {
            self.finish_slot();
        }
    }

    fn finish_slot(&mut self) {
        if self.levels.len() == REMEMBERED {
            self.levels.pop_front();
        }
        self.levels.push_back((self.energy / SLOT_SAMPLES as f32).sqrt());
        (self.energy, self.samples) = (0.0, 0);
        self.slot += 1;
    }

    /// The `count` slots before `end`, oldest first; what is not known is silence.
    fn before(&self, end: u64, count: usize) -> impl Iterator<Item = f32> {
        let first = self.slot - self.levels.len() as u64;
        (0..count as u64).map(move |index| {
            let slot = (end + index).checked_sub(count as u64);
            let place = slot.and_then(|slot| slot.checked_sub(first));
            place.and_then(|place| self.levels.get(place as usize)).copied().unwrap_or(0.0)
        })
    }

    fn loudest_of(&self, slots: usize) -> f32 {
        self.levels.iter().rev().take(slots).copied().fold(0.0, f32::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: usize = 160;

    fn fixture(name: &str) -> Vec<i16> {
        let path = format!("{}/../tests/fixtures/speech/{name}.wav", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let start = bytes.windows(4).position(|window| window == b"data").unwrap() + 8;
        bytes[start..].as_chunks().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
    }

    fn scaled(samples: &[i16], factor: f32) -> Vec<i16> {
        samples.iter().map(|sample| (f32::from(*sample) * factor) as i16).collect()
    }

    fn mixed(left: &[i16], right: &[i16]) -> Vec<i16> {
        let at = |samples: &[i16], index: usize| samples.get(index).copied().unwrap_or(0);
        (0..left.len().max(right.len())).map(|index| at(left, index).saturating_add(at(right, index))).collect()
    }

    fn delayed(samples: &[i16], ms: usize) -> Vec<i16> {
        [vec![0; ms * 8], samples.to_vec()].concat()
    }

    /// Plays one, hears the other, packet by packet with `jitter` of arrival (ms); tells of the loud packets heard after
    /// the first 500 ms which share was taken for echo.
    fn echo_share(played: &[i16], heard: &[i16], jitter: &[u64]) -> f64 {
        #[expect(clippy::disallowed_methods, reason = "an epoch; only distances from it count")]
        let epoch = Instant::now();
        let mut guard = Guard::new();
        let (mut loud, mut echo) = (0.0, 0.0);
        for (index, packet) in heard.chunks_exact(PACKET).enumerate() {
            let now = epoch + Duration::from_millis(index as u64 * 20);
            if let Some(ours) = played.get(index * PACKET..(index + 1) * PACKET) {
                guard.played(ours, now);
            }
            let late = Duration::from_millis(jitter[index % jitter.len()]);
            let is_echo = guard.is_echo(packet, now + late);
            let level = (packet.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / PACKET as f64).sqrt();
            if level > 100.0 && index > 25 {
                loud += 1.0;
                echo += f64::from(u8::from(is_echo));
            }
        }
        assert!(loud > 20.0, "nothing was judged");
        echo / loud
    }

    #[test]
    fn our_own_voice_is_echo_at_any_delay_and_strength() {
        let ours = fixture("pt-rhvoice-leticia-0");
        for ms in [0, 35, 120, 240, 480] {
            for factor in [0.4, 0.1, 0.05] {
                let share = echo_share(&ours, &delayed(&scaled(&ours, factor), ms), &[0]);
                assert!(share > 0.9, "{ms} ms, {factor}: {share}");
            }
        }
        let share = echo_share(&ours, &delayed(&scaled(&ours, 0.1), 120), &[0, 12, 3, 40, 7, 0, 25]);
        assert!(share > 0.9, "with jitter: {share}");
    }

    #[test]
    fn a_caller_is_no_echo() {
        let names = ["pt-rhvoice-leticia-0", "pt-kokoro-dora-1", "en-agent-pass", "pt-rhvoice-leticia-6"];
        let pairs = names.iter().flat_map(|ours| names.iter().map(move |theirs| (*ours, *theirs)));
        for (ours, theirs) in pairs.filter(|(ours, theirs)| ours != theirs) {
            for (factor, start) in [(1.0, 0), (1.0, 1_240), (0.5, 0), (0.5, 1_240)] {
                let heard = delayed(&scaled(&fixture(theirs), factor), start);
                let share = echo_share(&fixture(ours), &heard, &[0]);
                assert!(share < 0.1, "{ours} took {theirs} × {factor} after {start} ms for its echo: {share}");
            }
        }
    }

    #[test]
    fn a_caller_over_an_echo_is_heard() {
        let ours = fixture("pt-rhvoice-leticia-0");
        let both = mixed(&delayed(&scaled(&ours, 0.1), 120), &fixture("en-agent-pass"));
        let share = echo_share(&ours, &both[..26_000], &[0]);
        assert!(share < 0.15, "{share}");
    }

    #[test]
    fn nothing_is_an_echo_of_nothing() {
        let theirs = fixture("en-agent-pass");
        assert!(echo_share(&[], &theirs, &[0]) == 0.0);
        assert!(echo_share(&vec![0; theirs.len()], &theirs, &[0]) == 0.0);
    }

    /// An echo of what was said seconds ago is none, and a clock that stands still or jumps harms nothing.
    #[test]
    fn the_past_is_forgotten() {
        #[expect(clippy::disallowed_methods, reason = "an epoch; only distances from it count")]
        let epoch = Instant::now();
        let ours = fixture("pt-kokoro-dora-1");
        let mut guard = Guard::new();
        for (index, packet) in ours.chunks_exact(PACKET).enumerate() {
            guard.played(packet, epoch + Duration::from_millis(index as u64 * 20));
        }
        let later = epoch + Duration::from_secs(60);
        for packet in scaled(&ours, 0.2).chunks_exact(PACKET) {
            assert!(!guard.is_echo(packet, later));
        }
        assert!(!guard.is_echo(&ours, epoch));
    }
}
