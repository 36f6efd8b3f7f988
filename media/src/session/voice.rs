//! Whether the caller speaks, in this call: the detector, fed with what is really the caller's.
use std::time::Instant;

use super::{
    Error,
    uplink::{Origin, Piece},
};
use crate::{
    audio::{Audio, SampleRate, Speech},
    codec::g711,
    echo::Guard,
    resample::Tuner,
    vad::{self, Detector, Engine},
};

/// What the detector and the echo guard hear.
const RATE: SampleRate = SampleRate::HZ_8000;

/// The detector and what stands before it.
#[derive(Debug)]
pub(super) struct Voice {
    engine: Engine,
    detector: Detector,
    guard: Guard,
    /// The caller's audio from the uplink's rate, and ours from the codec's.
    caller: Tuner,
    ours: Tuner,
}

impl Voice {
    pub(super) fn new(config: vad::Config, caller: SampleRate, ours: SampleRate) -> Result<Self, Error> {
        Ok(Self {
            engine: config.engine,
            detector: Detector::new(config)?,
            guard: Guard::new(),
            caller: Tuner::new(caller, RATE)?,
            ours: Tuner::new(ours, RATE)?,
        })
    }

    /// The caller's audio comes at this rate from here on.
    pub(super) fn hear_at(&mut self, rate: SampleRate) {
        tune(&mut self.caller, rate);
    }

    /// Ours leaves at this rate from here on.
    pub(super) fn speak_at(&mut self, rate: SampleRate) {
        tune(&mut self.ours, rate);
    }

    /// This speech of the assistant was due to leave at `at`, and may come back.
    pub(super) fn played(&mut self, audio: &Audio, at: Instant) {
        if self.engine == Engine::Off {
            return;
        }
        let samples = match audio {
            Audio::G711 { law, bytes } => self.ours.process(&g711::decode(*law, bytes)),
            Audio::Pcm(frame) => self.ours.process(&frame.samples),
        };
        self.guard.played(&samples, at);
    }

    /// Hears a piece of the uplink. What we made up is quiet to the detector, and so is our own echo: a repeated vowel
    /// is no one's voice.
    pub(super) fn hear(&mut self, piece: &Piece) -> Vec<Speech> {
        if self.engine == Engine::Off {
            return Vec::new();
        }
        let samples = match piece.origin {
            Origin::Caller => self.caller.process(&piece.samples),
            Origin::MadeUp => self.caller.process(&vec![0; piece.samples.len()]),
        };
        if self.guard.is_echo(&samples, piece.at) {
            return self.detector.push(&vec![0; samples.len()], piece.at);
        }
        self.detector.push(&samples, piece.at)
    }

    pub(super) fn last_voice(&self) -> Option<Instant> {
        self.detector.last_voice()
    }
}

fn tune(tuner: &mut Tuner, rate: SampleRate) {
    let tuned = tuner.tune(rate);
    debug_assert!(tuned.is_ok(), "every codec's rate can be brought to 8 kHz: {tuned:?}");
}
