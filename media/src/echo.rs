//! Whether what the caller's phone sends is our own voice coming back: line echo, or a loudspeaker into a microphone.
//!
//! Echo rises and falls as what we played did, some fixed time later and weaker. So the envelope of what comes in is
//! correlated with the envelope of what went out at every plausible delay, with exponential forgetting: one step a
//! delay and slot. What correlates shows the way the echo takes, its delay and its loss; from there on, what is no louder
//! than the echo to be expected is echo, from its first sound. A caller who speaks over us has a rhythm of their own and
//! is louder than our echo.
use crate::audio::SampleRate;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Resolution of the envelopes.
const SLOT: Duration = Duration::from_millis(10);
const SLOT_SAMPLES: usize = SampleRate::HZ_8000.samples_in(SLOT);
/// The longest way through a network, a jitter buffer, a room and back: 600 ms.
const DELAYS: usize = 61;
/// What a slot counts for in the next one: half after 170 ms. Several syllables are compared; the rhythm of one could be
/// chance.
const MEMORY: f32 = 0.96;
/// What all slots count for together, the silence before the first one included.
const WEIGHT: f32 = 1.0 / (1.0 - MEMORY);
/// Arrival times jitter; sound does not. A stream counts on by its samples until it is further off than this.
const MOST_DRIFT: u64 = 10;
/// What we play is told with the time of its packet on the grid, which does not jitter: what is further off than where two
/// slots meet is a pause, if only of one packet. What is played after it would be looked for at another delay.
const MOST_PLAYED_DRIFT: u64 = 1;
/// Echo follows what was played at least so closely (correlation coefficient).
const LIKENESS: f32 = 0.9;
/// A way is given up when what comes by it is less like echo than that: a caller speaks, or chance had shown it.
const LEAST_LIKENESS: f32 = 0.7;
/// Echo comes back at most half as strong: telephones attenuate it by 6 dB and more (ITU-T G.122), usually by 20.
const MOST_RETURN: f32 = 0.5;
/// Root mean square below which there is nothing to judge: -60 dB of full scale.
const FAINTEST: f32 = 33.0;
/// So much sound of ours must be among what is compared, in slots, to find a way while none is known …
const LEAST_FOR_FIRST: f32 = 5.0;
/// … and to give up the known one for another: the beginning of an utterance is like many others.
const LEAST_FOR_CHANGE: f32 = 10.0;
/// A way is proven by so many slots that showed it: 300 ms. By chance a caller's words rise where ours did for a syllable
/// or two; they are not to be lost by that.
const PROOF: u32 = 30;
/// So many slots of ours without any echo, and there is none any more: a canceller has learnt the way, or chance had
/// proven it.
const ABSENT: u32 = 60;
/// A proven way that a caller spoke over is seen again in so many slots in which what is due by it comes, neither more
/// nor less: sooner than a voice is confirmed.
const SEEN_AGAIN: u32 = 8;
/// What comes is less than that, and no echo by this way. Telephones compress.
const TOO_LITTLE: f32 = 0.5;
/// How far echo rises above what is expected: slots do not line up, and telephones compress.
const MARGIN: f32 = 1.6;
/// The line's own noise is the quietest that was heard in two such times, in slots: nobody speaks for so long without a
/// pause, if only one between two syllables.
const NOISE_SLOTS: u32 = 150;
/// A room goes on sounding, 2 dB less from slot to slot.
const DECAY: f32 = 0.8;

/// What providers hear of our own voice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Silence in its place: one that listens for itself would take it for the caller, and interrupt us.
    Mute,
    /// What the phone sends.
    Pass,
}

/// Remembers what we played to one caller.
#[derive(Debug)]
pub struct Guard {
    epoch: Option<Instant>,
    played: Envelope,
    heard: Envelope,
    likeness: Likeness,
    path: Option<Path>,
    /// The one before, which was proven: somebody speaks over it, perhaps.
    hidden: Option<Hidden>,
    /// A way was proven: there is an echo on this line.
    proven: bool,
    /// Slots in a row in which none of it was heard though we spoke.
    without: u32,
    noise: Noise,
}

/// Level of the line's own noise.
#[derive(Debug)]
struct Noise {
    /// The least of the time before, and of this one, and how many slots that is.
    before: f32,
    least: f32,
    slots: u32,
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

/// Sums over the slots heard so far, each counting [`MEMORY`] of the next one; by delay where they depend on it.
#[derive(Debug)]
struct Likeness {
    heard: f32,
    heard_squared: f32,
    played: [f32; DELAYS],
    played_squared: [f32; DELAYS],
    both: [f32; DELAYS],
    /// Slots with sound of ours.
    loud: [f32; DELAYS],
}

/// The way the echo takes.
#[derive(Clone, Copy, Debug)]
struct Path {
    /// In slots.
    delay: usize,
    /// What comes back of 1.
    gain: f32,
    /// The level to be expected.
    expected: f32,
    /// Slots that showed it.
    shown: u32,
}

/// A proven way by which something else comes than echo.
#[derive(Clone, Copy, Debug)]
struct Hidden {
    path: Path,
    /// Slots in a row, of those in which something is due by it, in which that came.
    matching: u32,
}

impl Default for Guard {
    fn default() -> Self {
        Self::new()
    }
}

impl Guard {
    /// A guard on a line on which nothing was played yet.
    pub const fn new() -> Self {
        Self {
            epoch: None,
            played: Envelope::new(),
            heard: Envelope::new(),
            likeness: Likeness::new(),
            path: None,
            hidden: None,
            proven: false,
            without: 0,
            noise: Noise::new(),
        }
    }

    /// We sent `samples` (8 kHz) in the packet that was due `at`, however late it left. What is not told counts as silence.
    pub fn played(&mut self, samples: &[i16], at: Instant) {
        let slot = self.slot(at);
        self.played.catch_up(slot, MOST_PLAYED_DRIFT);
        self.played.push(samples, |_, _| {});
    }

    /// Whether `samples` (8 kHz), arrived `at`, are an echo of what was played. Needs to be told everything that arrives;
    /// the first echo of a call passes for a tenth of a second before it is known for one.
    pub fn is_echo(&mut self, samples: &[i16], at: Instant) -> bool {
        let slot = self.slot(at);
        let Self { played, heard, likeness, path, hidden, proven, without, noise, .. } = self;
        if heard.catch_up(slot, MOST_DRIFT) {
            *likeness = Likeness::new();
        }
        let (mut loudest, mut expected) = (0_f32, 0_f32);
        heard.push(samples, |slot, level| {
            let noise = noise.hear(level);
            let above = (level * level - noise * noise).sqrt();
            likeness.hear(above, played.up_to(slot));
            if above > FAINTEST {
                *without = 0;
            } else if likeness.loud[DELAYS / 2] > LEAST_FOR_CHANGE {
                *without = ABSENT.min(*without + 1);
            }
            *proven &= *without < ABSENT;
            let before = *path;
            let least = if path.is_some() { LEAST_FOR_CHANGE } else { LEAST_FOR_FIRST };
            let found = likeness.path(least);
            *path = found.map(|(delay, gain)| Path { delay, gain, expected: 0.0, shown: 0 }.after(*path)).or(*path);
            *path = path.filter(|path| likeness.is_kept(path.delay));
            *hidden = before.and_then(|before| before.hidden_by(*path)).or(*hidden).filter(|_| *proven);
            *hidden = hidden.filter(|_| path.is_none_or(|path| path.shown < PROOF));
            if let Some(hidden) = hidden {
                hidden.hear(slot, played, above, noise);
            }
            if let Some(path) = path {
                path.shown += u32::from(likeness.shows(path.delay));
                *proven |= path.shown >= PROOF;
                path.expected = (path.gain * played.around(slot, path.delay)).max(path.expected * DECAY);
            }
            loudest = loudest.max(level);
            let known = [*path, hidden.and_then(Hidden::seen)].into_iter().flatten();
            expected = known.fold(expected, |most, path| most.max(path.expected.hypot(noise)));
        });
        loudest > FAINTEST && loudest <= MARGIN * expected
    }

    /// Whether an echo that could be heard is due in what [`Self::is_echo`] was asked about last, on a line that was
    /// proven to have one. Where none is, what was taken for one may be the line's own noise, or by chance the caller.
    pub fn is_due(&self) -> bool {
        let mut known = [self.path, self.hidden.and_then(Hidden::seen)].into_iter().flatten();
        self.proven && known.any(|path| path.expected > FAINTEST)
    }

    fn slot(&mut self, at: Instant) -> u64 {
        let epoch = *self.epoch.get_or_insert(at);
        (at.saturating_duration_since(epoch).as_micros() / SLOT.as_micros()) as u64
    }
}

impl Noise {
    const fn new() -> Self {
        Self { before: f32::INFINITY, least: f32::INFINITY, slots: 0 }
    }

    /// One slot: the noise, which is no louder.
    fn hear(&mut self, level: f32) -> f32 {
        self.least = self.least.min(level);
        let noise = self.least.min(self.before);
        self.slots += 1;
        if self.slots == NOISE_SLOTS {
            *self = Self { before: self.least, ..Self::new() };
        }
        noise
    }
}

impl Path {
    /// As found one slot after `known`: the gain of the same way is smoothed.
    fn after(self, known: Option<Self>) -> Self {
        let known = known.filter(|known| known.delay.abs_diff(self.delay) <= 1);
        known.map_or(self, |known| Self {
            gain: known.gain + (self.gain - known.gain) / 8.0,
            ..Self { delay: self.delay, ..known }
        })
    }

    /// Where it is proven, and what is known from here on is another or none: a caller speaks over it, perhaps.
    fn hidden_by(self, path: Option<Self>) -> Option<Hidden> {
        let is_same = path.is_some_and(|path| path.delay.abs_diff(self.delay) <= 1);
        (self.shown >= PROOF && !is_same).then_some(Hidden { path: self, matching: 0 })
    }
}

impl Hidden {
    /// One slot, in which so much was heard above the line's noise.
    fn hear(&mut self, slot: u64, played: &Envelope, above: f32, noise: f32) {
        let Path { delay, gain, expected, .. } = self.path;
        self.path.expected = (gain * played.around(slot, delay)).max(expected * DECAY);
        let due = gain * played.least_around(slot, delay);
        if due > 2.0 * FAINTEST {
            let most = MARGIN * self.path.expected.hypot(noise);
            let matches = above >= TOO_LITTLE * due && above.hypot(noise) <= most;
            self.matching = if matches { SEEN_AGAIN.min(self.matching + 1) } else { 0 };
        }
    }

    /// The way, while it is the echo that comes by it.
    fn seen(self) -> Option<Path> {
        (self.matching >= SEEN_AGAIN).then_some(self.path)
    }
}

impl Likeness {
    const fn new() -> Self {
        const NONE: [f32; DELAYS] = [0.0; DELAYS];
        Self { heard: 0.0, heard_squared: 0.0, played: NONE, played_squared: NONE, both: NONE, loud: NONE }
    }

    /// One slot of `heard`; `played` has the levels of that slot and of those before, the latest first.
    fn hear(&mut self, heard: f32, played: [f32; DELAYS]) {
        self.heard = self.heard * MEMORY + heard;
        self.heard_squared = self.heard_squared * MEMORY + heard * heard;
        for (delay, played) in played.into_iter().enumerate() {
            self.played[delay] = self.played[delay] * MEMORY + played;
            self.played_squared[delay] = self.played_squared[delay] * MEMORY + played * played;
            self.both[delay] = self.both[delay] * MEMORY + played * heard;
            self.loud[delay] = self.loud[delay] * MEMORY + f32::from(u8::from(played > FAINTEST));
        }
    }

    /// The delay at which what was heard goes most as what was played, at a fraction of its strength, and that fraction.
    fn path(&self, least_played: f32) -> Option<(usize, f32)> {
        let candidates =
            (0..DELAYS).filter(|delay| self.loud[*delay] > least_played).map(|delay| (delay, self.at(delay)));
        let echoes = candidates.filter(|(_, (likeness, gain))| *likeness > LIKENESS && *gain < MOST_RETURN);
        let best = echoes.max_by(|(_, left), (_, right)| left.0.total_cmp(&right.0));
        best.map(|(delay, (_, gain))| (delay, gain))
    }

    /// Whether what was heard still goes as what was played `delay` before, as far as anything was.
    fn is_kept(&self, delay: usize) -> bool {
        self.loud[delay] < LEAST_FOR_CHANGE || self.at(delay).0 > LEAST_LIKENESS
    }

    /// Whether what was heard goes as what was played `delay` before, and enough of it to say so.
    fn shows(&self, delay: usize) -> bool {
        self.loud[delay] >= LEAST_FOR_CHANGE && self.at(delay).0 > LIKENESS
    }

    /// Correlation coefficient at `delay`, and the share of what was played that came back.
    fn at(&self, delay: usize) -> (f32, f32) {
        let both = WEIGHT * self.both[delay] - self.played[delay] * self.heard;
        let of_played = WEIGHT * self.played_squared[delay] - self.played[delay] * self.played[delay];
        let of_heard = WEIGHT * self.heard_squared - self.heard * self.heard;
        let likeness = both / (of_played * of_heard).max(f32::MIN_POSITIVE).sqrt();
        (likeness, both / of_played.max(f32::MIN_POSITIVE))
    }
}

impl Envelope {
    const fn new() -> Self {
        Self { slot: 0, levels: VecDeque::new(), energy: 0.0, samples: 0 }
    }

    /// Brings the count to `slot`, if the stream is further than `drift` from it. Behind it there was silence. What is
    /// ahead came together after a stall, in which silence was counted in its place, or its clock is fast: it was sent
    /// so much earlier, and its past stays in order. True if what was before is out of sight.
    fn catch_up(&mut self, slot: u64, drift: u64) -> bool {
        if slot.abs_diff(self.slot) <= drift {
            return false;
        }
        if self.slot > slot {
            self.slot = slot + drift;
            while self.levels.len() as u64 > self.slot {
                self.levels.pop_front();
            }
            return false;
        }
        let lost = slot.saturating_sub(self.slot) > DELAYS as u64;
        if lost {
            self.levels.clear();
            self.slot = slot;
            (self.energy, self.samples) = (0.0, 0);
        }
        while self.slot < slot {
            self.finish_slot();
        }
        lost
    }

    /// Tells of each slot that `samples` fill.
    fn push(&mut self, samples: &[i16], mut full: impl FnMut(u64, f32)) {
        for sample in samples {
            self.energy += f32::from(*sample).powi(2);
            self.samples += 1;
            if self.samples == SLOT_SAMPLES {
                let slot = self.slot;
                full(slot, self.finish_slot());
            }
        }
    }

    fn finish_slot(&mut self) -> f32 {
        // One more than the delays: the neighbour of the farthest.
        if self.levels.len() > DELAYS + MOST_DRIFT as usize {
            self.levels.pop_front();
        }
        let level = (self.energy / SLOT_SAMPLES as f32).sqrt();
        self.levels.push_back(level);
        (self.energy, self.samples) = (0.0, 0);
        self.slot += 1;
        level
    }

    /// The level in `slot`; silence where nothing is known.
    fn level(&self, slot: Option<u64>) -> f32 {
        let first = self.slot - self.levels.len() as u64;
        let place = slot.and_then(|slot| slot.checked_sub(first));
        place.and_then(|place| self.levels.get(place as usize)).copied().unwrap_or(0.0)
    }

    /// The levels of `slot` and those before it, the latest first.
    fn up_to(&self, slot: u64) -> [f32; DELAYS] {
        std::array::from_fn(|delay| self.level(slot.checked_sub(delay as u64)))
    }

    /// The highest level about `delay` before `slot`: slots do not line up.
    fn around(&self, slot: u64, delay: usize) -> f32 {
        let before = |delay: usize| self.level(slot.checked_sub(delay as u64));
        before(delay.saturating_sub(1)).max(before(delay)).max(before(delay + 1))
    }

    /// The lowest there: at least so much was played.
    fn least_around(&self, slot: u64, delay: usize) -> f32 {
        let before = |delay: usize| self.level(slot.checked_sub(delay as u64));
        before(delay.saturating_sub(1)).min(before(delay)).min(before(delay + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{audio::Law, codec::g711};

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

    /// A loudspeaker that clips, in a room that goes on sounding, on a clock of its own, through A-law, in noise.
    fn through_a_room(ours: &[i16], ms: usize, factor: f32, noise: f32) -> Vec<i16> {
        let clipped: Vec<f32> = ours.iter().map(|sample| (f32::from(*sample) / 6_000.0).tanh() * 6_000.0).collect();
        let at = |index: usize| clipped.get(index + index / 10_000).copied().unwrap_or(0.0);
        let mut random = 5_u32;
        let room = |index: usize| {
            let reflections =
                (1..40).filter_map(|n| Some(at(index.checked_sub(n * 13)?) * 0.3 * 0.88_f32.powi(n as i32)));
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = noise * ((random >> 8) as f32 / (1 << 23) as f32 - 1.0);
            ((at(index) + reflections.sum::<f32>()) * factor + noise) as i16
        };
        let echo: Vec<i16> = (0..ours.len()).map(room).collect();
        delayed(&g711::decode(Law::A, &g711::encode(Law::A, &echo)), ms)
    }

    /// In a quiet one, and in noise at -55 dB of full scale, which is as loud as the last of these echoes.
    #[test]
    fn an_echo_from_a_room_is_one() {
        let ours = fixture("pt-rhvoice-leticia-0");
        for (ms, factor, noise, least) in [
            (20, 0.25, 20.0, 0.9),
            (120, 0.12, 20.0, 0.9),
            (400, 0.06, 20.0, 0.9),
            (120, 0.12, 101.0, 0.9),
            (400, 0.06, 101.0, 0.9),
            (120, 0.03, 101.0, 0.65),
        ] {
            let share = echo_share(&ours, &through_a_room(&ours, ms, factor, noise), &[0, 12, 3, 7]);
            assert!(share > least, "{ms} ms, {factor}, {noise}: {share}");
        }
    }

    #[test]
    fn the_noise_of_a_line_is_the_quietest_of_the_last_seconds() {
        let mut noise = Noise::new();
        let mut heard = |level: f32, slots: u32| (0..slots).map(|_| noise.hear(level)).last();
        assert_eq!([heard(58.0, 1), heard(900.0, 100)], [Some(58.0); 2], "from the first slot on");
        assert_eq!(heard(0.0, 1), Some(0.0), "the silence of a machine");
        assert_eq!(heard(58.0, 2 * NOISE_SLOTS), Some(58.0), "is forgotten within three seconds");
    }

    /// The first echo shows the way; the next one is known from its first sound, whatever is said.
    #[test]
    fn the_way_of_the_echo_is_remembered() {
        #[expect(clippy::disallowed_methods, reason = "an epoch; only distances from it count")]
        let epoch = Instant::now();
        let ours = [fixture("pt-kokoro-dora-1"), vec![0; 16_000], fixture("en-agent-pass")].concat();
        let heard = delayed(&scaled(&ours, 0.1), 200);
        let second = fixture("pt-kokoro-dora-1").len() + 16_000;
        let mut guard = Guard::new();
        for (index, (played, heard)) in ours.chunks_exact(PACKET).zip(heard.chunks_exact(PACKET)).enumerate() {
            let now = epoch + Duration::from_millis(index as u64 * 20);
            guard.played(played, now);
            let is_echo = guard.is_echo(heard, now);
            let loud = heard.iter().map(|sample| f32::from(*sample).powi(2)).sum::<f32>() / PACKET as f32 > 3_600.0;
            assert!(is_echo || !loud || index * PACKET < second, "packet {index}");
        }
    }

    /// What is played after a pause of one packet to five, where the provider sent too little, comes back by the same way.
    #[test]
    fn the_way_of_the_echo_is_known_right_after_a_short_pause() {
        #[expect(clippy::disallowed_methods, reason = "an epoch; only distances from it count")]
        let epoch = Instant::now();
        let ours = fixture("pt-rhvoice-leticia-0");
        for (before, pause) in (60..=110).step_by(10).flat_map(|before| (1..=5).map(move |pause| (before, pause))) {
            let (first, second) = ours.split_at(before * PACKET);
            let played = [first, &vec![0; pause * PACKET], &second[..15 * PACKET]].concat();
            let heard = delayed(&scaled(&played, 0.25), 120);
            let (mut guard, mut loud) = (Guard::new(), 0);
            for (index, (played, heard)) in played.chunks_exact(PACKET).zip(heard.chunks_exact(PACKET)).enumerate() {
                let now = epoch + Duration::from_millis(index as u64 * 20);
                if !(before..before + pause).contains(&index) {
                    guard.played(played, now);
                }
                let is_echo = guard.is_echo(heard, now);
                let level = heard.iter().map(|sample| f32::from(*sample).powi(2)).sum::<f32>() / PACKET as f32;
                // 120 ms after the pause, its end comes back.
                if level > 10_000.0 && index >= before + pause + 6 {
                    loud += 1;
                    assert!(is_echo, "packet {index}, after {pause} missing from {before} on");
                }
            }
            assert!(loud > 5, "nothing was judged");
        }
    }

    /// Each stall is heard twice as long as it was: what stands in for its packets, and then they, all at once.
    #[test]
    fn an_echo_is_known_after_any_number_of_stalls() {
        #[expect(clippy::disallowed_methods, reason = "an epoch; only distances from it count")]
        let epoch = Instant::now();
        let sentences = ["pt-rhvoice-leticia-0", "pt-rhvoice-leticia-6", "pt-rhvoice-leticia-5"].map(fixture).concat();
        let ours: Vec<i16> = sentences.into_iter().cycle().take(1_000 * PACKET).collect();
        let echo = delayed(&scaled(&ours, 0.2), 120);
        let (mut guard, mut stalled) = (Guard::new(), Vec::new());
        let (mut loud, mut known) = (0, 0);
        for (index, (played, heard)) in ours.chunks_exact(PACKET).zip(echo.chunks_exact(PACKET)).enumerate() {
            let now = epoch + Duration::from_millis(index as u64 * 20);
            guard.played(played, now);
            if index % 100 < 10 {
                guard.is_echo(&[0; PACKET], now);
                stalled.push(heard);
                continue;
            }
            for late in stalled.drain(..) {
                guard.is_echo(late, now);
            }
            let is_echo = guard.is_echo(heard, now);
            let power = heard.iter().map(|sample| f32::from(*sample).powi(2)).sum::<f32>() / PACKET as f32;
            // The way has to be found again after a stall.
            if power > 10_000.0 && index >= 500 && index % 100 >= 40 {
                loud += 1;
                known += usize::from(is_echo);
            }
        }
        assert!(loud > 100 && known * 10 > loud * 7, "{known} of {loud}");
    }

    #[test]
    fn no_echo_is_due_before_we_spoke_nor_long_after() {
        #[expect(clippy::disallowed_methods, reason = "an epoch; only distances from it count")]
        let epoch = Instant::now();
        let ours = [fixture("pt-kokoro-dora-1"), vec![0; 8_000]].concat();
        let heard = delayed(&scaled(&ours, 0.1), 200);
        let mut guard = Guard::new();
        let mut due = Vec::new();
        for (index, (played, heard)) in ours.chunks_exact(PACKET).zip(heard.chunks_exact(PACKET)).enumerate() {
            let now = epoch + Duration::from_millis(index as u64 * 20);
            guard.played(played, now);
            guard.is_echo(heard, now);
            due.push(guard.is_due());
        }
        assert!(due.iter().take(10).all(|due| !due), "before it can have come back");
        assert!(due.iter().filter(|due| **due).count() > 20, "while she speaks");
        assert!(due.iter().rev().take(10).all(|due| !due), "the line's noise is none");
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

    /// What a loud packet was taken for: an echo, and one by a proven way.
    struct Judged {
        packet: usize,
        is_echo: bool,
        is_lost: bool,
    }

    /// Speaks `theirs` over `ours`, with `echo` of ours.
    fn lost(ours: &[i16], theirs: &[i16], echo: f32) -> Vec<Judged> {
        #[expect(clippy::disallowed_methods, reason = "an epoch; only distances from it count")]
        let epoch = Instant::now();
        let heard = mixed(&delayed(&scaled(ours, echo), 120), theirs);
        let mut guard = Guard::new();
        let packets = heard.chunks_exact(PACKET).enumerate().take(theirs.len().max(ours.len()) / PACKET);
        let judged = packets.map(|(index, samples)| {
            let now = epoch + Duration::from_millis(index as u64 * 20);
            if let Some(ours) = ours.get(index * PACKET..(index + 1) * PACKET) {
                guard.played(ours, now);
            }
            let is_echo = guard.is_echo(samples, now);
            let power = samples.iter().map(|sample| f32::from(*sample).powi(2)).sum::<f32>() / PACKET as f32;
            (Judged { packet: index, is_echo, is_lost: is_echo && guard.is_due() }, power > 10_000.0)
        });
        judged.filter(|(_, is_loud)| *is_loud).map(|(judged, _)| judged).collect()
    }

    /// Whoever answers while we speak, softer than we do, has the rise of a word in common with us, but no more.
    #[test]
    fn chance_does_not_prove_a_way() {
        let names = ["pt-rhvoice-leticia-0", "pt-kokoro-dora-1", "en-agent-pass", "pt-rhvoice-leticia-6"];
        let pairs = names.iter().flat_map(|ours| names.iter().map(move |theirs| (*ours, *theirs)));
        let mut all = Vec::new();
        for (ours, theirs) in pairs.filter(|(ours, theirs)| ours != theirs) {
            for (factor, start) in
                [0.5, 0.25].into_iter().flat_map(|by| (0..1_600).step_by(170).map(move |ms| (by, ms)))
            {
                all.append(&mut lost(&fixture(ours), &delayed(&scaled(&fixture(theirs), factor), start), 0.0));
            }
        }
        let gone = all.iter().filter(|it| it.is_lost).count();
        assert!(all.len() > 5_000 && gone * 500 < all.len(), "{gone} of {} packets", all.len());
    }

    /// A caller who speaks over it hides the way for a while; what was proven needs no second proof.
    #[test]
    fn a_proven_way_that_is_found_again_is_known_at_once() {
        let ours = ["pt-rhvoice-leticia-0", "pt-rhvoice-leticia-6", "pt-rhvoice-leticia-5"].map(fixture).concat();
        let (start, theirs) = (1_500, &fixture("en-agent-pass")[..8_000]);
        let judged = lost(&ours, &delayed(theirs, start), 0.2);
        let first = |from: usize| {
            let of =
                |found: fn(&Judged) -> bool| judged.iter().find(|it| it.packet >= from && found(it)).unwrap().packet;
            (of(|it| it.is_echo), of(|it| it.is_lost))
        };
        let (found, proven) = first(0);
        assert!(proven - found > 10, "found at {found}, proven at {proven}");
        let (found, proven) = first(start / 20 + theirs.len() / PACKET);
        assert!(proven - found < 3, "found again at {found}, known at {proven}");
    }

    /// "Uh-huh" over an echo, and she goes on: her voice is not to be taken for the caller's until theirs is forgotten.
    #[test]
    fn a_proven_way_is_known_again_soon_after_a_caller_spoke_over_it() {
        let ours = ["pt-rhvoice-leticia-0", "pt-rhvoice-leticia-6", "pt-rhvoice-leticia-5"].map(fixture).concat();
        let (start, theirs) = (1_500, &fixture("en-agent-pass")[..8_000]);
        let judged = lost(&ours, &delayed(theirs, start), 0.2);
        let end = start / 20 + theirs.len() / PACKET;
        let after: Vec<&Judged> = judged.iter().filter(|it| it.packet >= end).skip(10).take(30).collect();
        let known = after.iter().filter(|it| it.is_echo).count();
        assert!(after.len() == 30 && known >= 27, "{known} of {}", after.len());
    }

    /// Where the echo is gone for good, or never was, less comes; where a caller speaks, more.
    #[test]
    fn a_way_is_seen_again_where_what_is_due_by_it_comes_and_neither_less_nor_more() {
        let mut played = Envelope::new();
        played.push(&[4_000; 100 * SLOT_SAMPLES], |_, _| {});
        let path = Path { delay: 12, gain: 0.2, expected: 0.0, shown: PROOF };
        let shown = |level: f32| {
            let mut hidden = path.hidden_by(None).expect("it is proven");
            let seen = (60..100).position(|slot| {
                hidden.hear(slot, &played, level, 0.0);
                hidden.seen().is_some()
            });
            hidden.hear(60, &played, 4_000.0, 0.0);
            assert!(hidden.seen().is_none(), "a caller speaks over it again");
            seen
        };
        assert_eq!([800.0, 500.0, 1_200.0].map(shown), [Some(7); 3]);
        assert_eq!([300.0, 1_400.0, 4_000.0].map(shown), [None; 3]);
        assert!(path.hidden_by(Some(Path { delay: 13, ..path })).is_none(), "the same way");
        assert!(Path { shown: PROOF - 1, ..path }.hidden_by(None).is_none(), "chance may have shown it");
    }

    /// Telephones learn to cancel it. What is like an echo then is so by chance.
    #[test]
    fn a_line_whose_echo_is_cancelled_has_none() {
        #[expect(clippy::disallowed_methods, reason = "an epoch; only distances from it count")]
        let epoch = Instant::now();
        let ours = ["pt-rhvoice-leticia-0", "pt-rhvoice-leticia-6", "pt-rhvoice-leticia-5"].map(fixture).concat();
        let echo = delayed(&scaled(&ours, 0.2), 120);
        let (mut guard, mut proven) = (Guard::new(), Vec::new());
        for (index, (played, heard)) in ours.chunks_exact(PACKET).zip(echo.chunks_exact(PACKET)).enumerate() {
            let now = epoch + Duration::from_millis(index as u64 * 20);
            guard.played(played, now);
            guard.is_echo(if index < 200 { heard } else { &[0; PACKET] }, now);
            proven.push(guard.proven);
        }
        assert!(proven[100..200].iter().all(|proven| *proven), "while it is there, pauses of ours included");
        assert!(proven[350..].iter().all(|proven| !proven));
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
