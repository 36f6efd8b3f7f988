//! Whether the caller speaks, in this call: the detector, fed with what is really the caller's.
use std::time::Instant;

use super::{
    Error,
    uplink::{Origin, Piece},
};
use crate::{
    audio::{SampleRate, Speech},
    resample::Resampler,
    vad::{self, Detector},
};

/// What the detector hears.
const RATE: SampleRate = SampleRate::HZ_8000;

/// The detector and what stands before it.
#[derive(Debug)]
pub(super) struct Voice {
    detector: Detector,
    /// From the codec's rate to the detector's.
    resampler: Resampler,
}

impl Voice {
    pub(super) fn new(config: vad::Config, rate: SampleRate) -> Result<Self, Error> {
        Ok(Self { detector: Detector::new(config)?, resampler: Resampler::new(rate, RATE)? })
    }

    pub(super) fn renegotiate(&mut self, rate: SampleRate) {
        if rate != self.resampler.from()
            && let Ok(resampler) = Resampler::new(rate, RATE)
        {
            self.resampler = resampler;
        }
    }

    /// Hears a piece of the uplink. What we made up is quiet to the detector: a repeated vowel is no one's voice.
    pub(super) fn hear(&mut self, piece: &Piece) -> Vec<Speech> {
        let samples = match piece.origin {
            Origin::Caller => self.resampler.process(&piece.samples),
            Origin::MadeUp => self.resampler.process(&vec![0; piece.samples.len()]),
        };
        self.detector.push(&samples, piece.at)
    }

    pub(super) fn last_voice(&self) -> Option<Instant> {
        self.detector.last_voice()
    }
}
