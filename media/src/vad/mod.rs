//! Whether the caller speaks: an energy gate that costs nothing on a quiet line, a judge of what passes it, and the
//! course of a turn.
mod energy;
mod network;
mod silero;
mod turn;

pub use silero::Error;

use crate::audio::{SampleRate, Speech};
use energy::{Gate, STEP};
use network::CHUNK;
use silero::Silero;
use std::time::{Duration, Instant};
use turn::{Change, Limits, Sound, Turn};

const STEPS_IN_CHUNK: usize = CHUNK / STEP;
const STEP_LENGTH: Duration = SampleRate::HZ_8000.duration_of(STEP);
/// The judge goes on listening for so many chunks (256 ms) after the last sound: pauses within a word are part of what
/// it judges by. After that it forgets, and the line costs nothing.
const HANGOVER_CHUNKS: usize = 8;
/// Speech under way is given up a little later than it is taken up, as Silero's authors advise.
const HYSTERESIS: f32 = 0.15;
const LEAST_THRESHOLD: f32 = 0.05;

/// Who judges the sound that passes the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// Nobody: no events. For providers whose own detector is to decide alone.
    Off,
    /// Level over the line's noise, bare tones excepted. Takes music and noises for speech.
    Energy,
    /// A neural network, which seldom does: it takes coughs for none, and some music and tones for a moment of speech.
    Silero,
}

/// Reads what [`Engine::Silero`] judges by, once for all: the first call would wait for it, and others of its thread too.
///
/// # Errors
/// The model in the binary does not load.
pub fn load() -> Result<(), Error> {
    Silero::new().map(drop)
}

/// What counts as speech.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// How sure the engine must be, 0 to 1: a secretary's `vad_threshold`.
    pub threshold: f32,
    /// Quiet after which a turn has ended: a secretary's `silence_duration_ms`.
    pub silence: Duration,
    /// Voice after which [`Speech::Suspected`] is told.
    pub suspect_after: Duration,
    /// Voice after which [`Speech::Confirmed`] is told.
    pub confirm_after: Duration,
    /// Voice after which [`Speech::Insisted`] is told.
    pub insist_after: Duration,
    /// Quiet after which a suspicion is taken back.
    pub refute_after: Duration,
    /// Quiet after which who spoke but little has yielded: longer than the pause in "No, I meant".
    pub yield_after: Duration,
    /// Who judges.
    pub engine: Engine,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            threshold: 0.5,
            silence: Duration::from_millis(500),
            suspect_after: Duration::from_millis(56),
            confirm_after: Duration::from_millis(120),
            insist_after: Duration::from_millis(500),
            refute_after: Duration::from_millis(200),
            yield_after: Duration::from_millis(400),
            engine: Engine::Silero,
        }
    }
}

#[derive(Debug)]
enum Judge {
    Off,
    Energy,
    Silero(Box<Silero>),
}

/// Listens to one caller.
#[derive(Debug)]
pub struct Detector {
    threshold: f32,
    judge: Judge,
    gate: Gate,
    turn: Turn,
    /// The chunk before, then the samples of the one being filled.
    samples: Vec<i16>,
    /// The steps of the chunk being filled: whether there was sound in them, and when they arrived.
    steps: Vec<(bool, Instant)>,
    /// Chunks the judge still listens to.
    hangover: usize,
    last_voice: Option<Instant>,
    likelihood: f32,
}

impl Detector {
    /// A detector on a line that has been quiet.
    ///
    /// # Errors
    /// Only with [`Engine::Silero`]: the model in the binary does not load.
    pub fn new(config: Config) -> Result<Self, Error> {
        let judge = match config.engine {
            Engine::Off => Judge::Off,
            Engine::Energy => Judge::Energy,
            Engine::Silero => Judge::Silero(Box::new(Silero::new()?)),
        };
        let limits = Limits {
            suspect: config.suspect_after,
            confirm: config.confirm_after,
            insist: config.insist_after,
            refute: config.refute_after,
            yielding: config.yield_after,
            silence: config.silence,
        };
        Ok(Self {
            threshold: config.threshold,
            judge,
            gate: Gate::new(),
            turn: Turn::new(limits),
            samples: vec![0; CHUNK],
            steps: Vec::with_capacity(STEPS_IN_CHUNK),
            hangover: 0,
            last_voice: None,
            likelihood: 0.0,
        })
    }

    /// Hears `samples` (8 kHz, any number), whose last arrived `at`. What the caller's phone echoes back, or lost, is to
    /// be given as zeros: time must go on. Returns what changed, nearly always nothing.
    pub fn push(&mut self, samples: &[i16], at: Instant) -> Vec<Speech> {
        let mut changes = Vec::new();
        if matches!(self.judge, Judge::Off) {
            return changes;
        }
        for sample in samples {
            self.samples.push(*sample);
            if self.samples.len().is_multiple_of(STEP) {
                let level = energy::level_db(self.samples.get(self.samples.len() - STEP..).unwrap_or_default());
                self.steps.push((self.gate.opens(level), at));
            }
            if self.samples.len() == 2 * CHUNK {
                self.judge_chunk(&mut changes);
                self.samples.drain(..CHUNK);
                self.steps.clear();
            }
        }
        changes
    }

    /// Somebody answers the caller. A turn in which they had the word is over, however much of the silence that ends it
    /// is still to pass: who speaks over the answer is heard to begin.
    pub fn answered(&mut self) -> Option<Speech> {
        let last_voice = self.last_voice.filter(|_| self.turn.answered())?;
        Some(Speech::Ended { last_voice })
    }

    /// When the last packet with voice in it arrived.
    pub fn last_voice(&self) -> Option<Instant> {
        self.last_voice
    }

    /// Whether the caller is taken to speak, if only on suspicion: what was told last is neither that this was refuted,
    /// nor that it ended.
    pub fn suspects(&self) -> bool {
        self.turn.is_suspected()
    }

    /// How sure the engine was that the last 32 ms it judged were speech, 0 to 1; 0 while the line is quiet.
    pub fn likelihood(&self) -> f32 {
        self.likelihood
    }

    fn judge_chunk(&mut self, changes: &mut Vec<Speech>) {
        let threshold =
            if self.turn.confirmed() { (self.threshold - HYSTERESIS).max(LEAST_THRESHOLD) } else { self.threshold };
        self.likelihood = self.judge();
        let voice = self.likelihood >= threshold;
        // The network needs a moment to be sure; loudness is as sure at once as it ever will be.
        let unconvincing = match self.judge {
            Judge::Silero(_) => Sound::Unclear,
            Judge::Off | Judge::Energy => Sound::Quiet,
        };
        for (sounds, at) in std::mem::take(&mut self.steps) {
            let sound = match (sounds, voice) {
                (true, true) => Sound::Voice,
                (true, false) => unconvincing,
                (false, _) => Sound::Quiet,
            };
            if sound == Sound::Voice {
                self.last_voice = Some(at);
            }
            changes.extend(self.turn.hear(sound, STEP_LENGTH).map(|change| match change {
                Change::Suspected => Speech::Suspected,
                Change::Refuted => Speech::Refuted,
                Change::Confirmed => Speech::Confirmed,
                Change::Yielded => Speech::Yielded,
                Change::Insisted => Speech::Insisted,
                Change::Ended => Speech::Ended { last_voice: self.last_voice.unwrap_or(at) },
            }));
        }
    }

    /// The judge's opinion of the chunk just filled; 0 without asking while the line is quiet.
    fn judge(&mut self) -> f32 {
        let asleep = self.hangover == 0;
        if self.steps.iter().any(|(sounds, _)| *sounds) {
            self.hangover = HANGOVER_CHUNKS;
        } else {
            self.hangover = self.hangover.saturating_sub(1);
        }
        if self.hangover == 0 {
            return 0.0;
        }
        let (before, chunk) = self.samples.split_at(CHUNK);
        match &mut self.judge {
            Judge::Off => 0.0,
            Judge::Energy if energy::is_tone(chunk) => 0.0,
            Judge::Energy => energy::likelihood(energy::level_db(chunk), self.gate.floor_db()),
            Judge::Silero(silero) => {
                if asleep {
                    // What it last heard is long ago; the beginning of a word is not.
                    silero.reset();
                    before.first_chunk().map(|before| silero.probability(before));
                }
                chunk.first_chunk().map_or(0.0, |chunk| silero.probability(chunk))
            }
        }
    }
}

#[cfg(test)]
mod tests;
