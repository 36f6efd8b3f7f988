//! What a call sounded like: the caller on the left, the assistant on the right, on the clock of what left as RTP.
//!
//! The assistant's lane is the clock: every packet time appends exactly its length, spoken or silent. The caller's lane
//! is laid beside it by RTP timestamps and arrival, so that a phone whose clock drifts stays where it belongs. Blocks
//! come out [`HOLD_BACK`] late, since what a network stall delivers in a heap belongs to before the stall.
mod caller;
mod lane;
pub mod ogg;
#[cfg(test)]
mod tests;
pub mod wav;

use crate::{
    audio::{Audio, SampleRate},
    codec::g711,
    resample,
};
pub use caller::Stamp;
use caller::{Caller, LATEST};
use lane::{Converter, Lane};
use std::{
    f64::consts::TAU,
    time::{Duration, Instant},
};

/// How long a block waits for audio of the caller that comes late.
pub const HOLD_BACK: Duration = Duration::from_millis(400);
/// How long a block is.
pub const BLOCK: Duration = Duration::from_millis(20);
/// Pauses that are listed; further ones blank like these, and are not.
const LISTED_PAUSES: usize = 256;
/// The soft tone of a pause: telephony's 440 Hz, 30 dB below full scale.
const TONE_HZ: f64 = 440.0;
const TONE_AMPLITUDE: f64 = 1_036.0;

/// What is heard while a recording pauses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Blank {
    /// Nothing.
    #[default]
    Silence,
    /// A soft tone, so that a listener does not think it is broken.
    Tone,
}

/// Both lanes for [`BLOCK`], less at the very end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Frames of the recording before it.
    pub at: u64,
    /// Frames per second.
    pub rate: SampleRate,
    /// Left and right in turn.
    pub samples: Vec<i16>,
}

/// A part of the recording that was blanked, from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Where it begins.
    pub from: Duration,
    /// Where it ends.
    pub to: Duration,
}

/// What became of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How long it is.
    pub duration: Duration,
    /// The first pauses, in order.
    pub pauses: Vec<Pause>,
    /// Audio of the caller for which there was no place any more.
    pub displaced: Duration,
}

/// One recording in the making.
#[derive(Debug)]
pub struct Tape {
    rate: SampleRate,
    blank: Blank,
    epoch: Instant,
    /// Packet times since the epoch: the clock.
    elapsed: Duration,
    caller: Caller,
    assistant: Lane,
    converter: Converter,
    given: u64,
    /// Where the caller's lane is silent, of late; the last of them may have no end yet.
    withheld: Vec<(u64, u64)>,
    paused: Option<u64>,
    /// Ended pauses that blocks to come may still lie in, or were spoken in.
    blanks: Vec<(u64, u64)>,
    pauses: Vec<Pause>,
}

impl Tape {
    /// The rate calls of this codec rate are recorded at: 8 kHz for telephone band, 16 kHz for anything wider, which is
    /// all that recognisers hear. What Opus has above 8 kHz is not worth half as much again of every disk.
    pub fn rate_for(codec: SampleRate) -> SampleRate {
        if codec > SampleRate::HZ_8000 { SampleRate::HZ_16000 } else { SampleRate::HZ_8000 }
    }

    /// A recording at `rate` whose first packet time begins at `epoch`.
    pub fn new(rate: SampleRate, blank: Blank, epoch: Instant) -> Self {
        Self {
            rate,
            blank,
            epoch,
            elapsed: Duration::ZERO,
            caller: Caller::new(rate),
            assistant: Lane::default(),
            converter: Converter::none(rate),
            given: 0,
            withheld: Vec::new(),
            paused: None,
            blanks: Vec::new(),
            pauses: Vec::new(),
        }
    }

    /// Frames per second.
    pub fn rate(&self) -> SampleRate {
        self.rate
    }

    /// A packet time passed, and this is what left in it: `None` for silence, and for nothing at all.
    ///
    /// # Errors
    /// A rate that cannot be converted into the recording's; the time passes all the same.
    pub fn sent(&mut self, lasting: Duration, audio: Option<&Audio>) -> Result<(), resample::Error> {
        let result = self.append(lasting, audio);
        self.elapsed = self.elapsed.saturating_add(lasting);
        if result.is_err() {
            self.assistant.pad_to(self.now());
        }
        result
    }

    fn append(&mut self, lasting: Duration, audio: Option<&Audio>) -> Result<(), resample::Error> {
        let decoded;
        let (rate, samples) = match audio {
            Some(Audio::Pcm(frame)) => (frame.rate, frame.samples.as_slice()),
            Some(Audio::G711 { law, bytes }) => {
                decoded = g711::decode(*law, bytes);
                (SampleRate::HZ_8000, decoded.as_slice())
            }
            None => {
                decoded = vec![0; self.converter.from().samples_in(lasting)];
                (self.converter.from(), decoded.as_slice())
            }
        };
        if rate != self.converter.from() {
            let rest = self.converter.change(rate)?;
            self.assistant.push(&rest);
            self.assistant.set_end(self.now()); // another stream begins exactly on the clock
        }
        let converted = self.converter.push(samples);
        self.assistant.push(&converted);
        Ok(())
    }

    /// A piece of the caller's audio. Pieces without a stamp were made up to fill a gap before the next.
    ///
    /// # Errors
    /// A rate that cannot be converted into the recording's.
    pub fn heard(
        &mut self,
        rate: SampleRate,
        samples: &[i16],
        stamp: Option<Stamp>,
        at: Instant,
    ) -> Result<(), resample::Error> {
        let arrived = at.saturating_duration_since(self.epoch);
        let arrived = i64::try_from(self.rate.samples_in(arrived)).unwrap_or(i64::MAX);
        let (paused, blanks, withheld) = (self.paused, &self.blanks, &self.withheld);
        let hidden = |at: u64| paused.is_some_and(|from| from <= at) || lies_in(blanks, at) || lies_in(withheld, at);
        self.caller.hear((rate, samples), stamp, arrived, hidden)
    }

    /// Blanks both lanes from `lead` ago (at most [`HOLD_BACK`]) until [`Self::resume`]; their time goes on.
    pub fn pause(&mut self, lead: Duration) {
        if self.paused.is_none() {
            let lead = self.rate.samples_in(lead.min(HOLD_BACK)) as u64;
            self.paused = Some(self.now().saturating_sub(lead).max(self.given));
        }
    }

    /// Ends a pause.
    pub fn resume(&mut self) {
        let Some(from) = self.paused.take() else { return };
        let to = self.now();
        self.blanks.push((from, to));
        if self.pauses.len() < LISTED_PAUSES {
            self.pauses.push(Pause { from: self.time(from), to: self.time(to) });
        }
    }

    /// Keeps the caller off the tape, from the packet time that is under way until [`Self::admit_caller`]: their lane
    /// is silent.
    pub fn withhold_caller(&mut self) {
        if self.withheld.last().is_none_or(|(_, to)| *to < u64::MAX) {
            let from = self.now().saturating_sub(self.rate.samples_in(BLOCK) as u64);
            self.withheld.push((from, u64::MAX));
        }
    }

    /// The caller is on the tape from here on, if they were not before.
    pub fn admit_caller(&mut self) {
        let now = self.now();
        if let Some((_, to)) = self.withheld.last_mut() {
            *to = now.min(*to);
        }
    }

    /// Whether it pauses.
    pub fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// The next block that nothing can change any more.
    pub fn poll_block(&mut self) -> Option<Block> {
        let end = self.given + self.rate.samples_in(BLOCK) as u64;
        let settled = self.now().saturating_sub(self.rate.samples_in(HOLD_BACK) as u64);
        (end <= settled).then(|| self.block(end))
    }

    /// The call is over: the blocks that are left, and what became of it.
    pub fn finish(mut self) -> (Vec<Block>, Summary) {
        self.resume();
        let rest = self.converter.flush();
        self.assistant.push(&rest);
        self.caller.flush();
        let step = self.rate.samples_in(BLOCK) as u64;
        let mut blocks = Vec::new();
        while self.given < self.now() {
            let end = self.now().min(self.given + step);
            blocks.push(self.block(end));
        }
        let displaced = self.caller.displaced();
        (blocks, Summary { duration: self.time(self.given), pauses: self.pauses, displaced })
    }

    /// Where the clock stands, in frames.
    fn now(&self) -> u64 {
        self.rate.samples_in(self.elapsed) as u64
    }

    fn time(&self, frames: u64) -> Duration {
        self.rate.duration_of(usize::try_from(frames).unwrap_or(usize::MAX))
    }

    fn block(&mut self, end: u64) -> Block {
        let at = self.given;
        let left = self.caller.take_to(end);
        let right = self.assistant.take_to(end);
        self.given = end;
        let frames = left.into_iter().zip(right).enumerate();
        let samples = frames.flat_map(|(index, (left, right))| {
            let position = at + index as u64;
            let left = if lies_in(&self.withheld, position) { 0 } else { left };
            if self.is_blank(position) { [self.filling(position); 2] } else { [left, right] }
        });
        let samples = samples.collect();
        let lately = end.saturating_sub(self.rate.samples_in(LATEST) as u64);
        self.blanks.retain(|(_, to)| *to > lately);
        self.withheld.retain(|(_, to)| *to > lately);
        Block { at, rate: self.rate, samples }
    }

    fn is_blank(&self, position: u64) -> bool {
        self.paused.is_some_and(|from| from <= position) || lies_in(&self.blanks, position)
    }

    fn filling(&self, position: u64) -> i16 {
        match self.blank {
            Blank::Silence => 0,
            Blank::Tone => {
                let phase = position as f64 * TONE_HZ / f64::from(self.rate.hz());
                (TONE_AMPLITUDE * (TAU * phase.fract()).sin()) as i16
            }
        }
    }
}

fn lies_in(spans: &[(u64, u64)], position: u64) -> bool {
    spans.iter().any(|(from, to)| (*from..*to).contains(&position))
}
