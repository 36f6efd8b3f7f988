//! Whether the caller speaks, in this call: the detector, fed with what is really the caller's. Of our own voice, come
//! back, the provider hears no more than the detector does, unless that is wanted.
use std::time::{Duration, Instant};

use super::{
    Error, Event, Session,
    uplink::{Origin, Piece},
};
use crate::{
    audio::{Audio, SampleRate, Speech},
    codec::g711,
    echo::{Guard, Policy},
    resample::Tuner,
    vad::{self, Detector, Engine},
};

/// What the detector and the echo guard hear.
const RATE: SampleRate = SampleRate::HZ_8000;
/// So long after a voice in what was no echo the caller has not stopped: the softer sounds of words spoken over our
/// echo are no louder than it, and would be missing in what goes up.
const SAME_WORD: Duration = Duration::from_millis(100);

/// The detector and what stands before it.
#[derive(Debug)]
pub(super) struct Voice {
    engine: Engine,
    detector: Detector,
    guard: Guard,
    policy: Policy,
    /// The last piece was nothing but our echo.
    echoes: bool,
    /// The caller's audio from the uplink's rate, and ours from the codec's.
    caller: Tuner,
    ours: Tuner,
}

impl Voice {
    pub(super) fn new(
        config: vad::Config,
        policy: Policy,
        caller: SampleRate,
        ours: SampleRate,
    ) -> Result<Self, Error> {
        Ok(Self {
            engine: config.engine,
            detector: Detector::new(config)?,
            guard: Guard::new(),
            policy,
            echoes: false,
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
    /// is no one's voice. Of an echo nothing is left in what goes up, if it is to be muted.
    pub(super) fn hear(&mut self, piece: &mut Piece) -> Vec<Speech> {
        if self.engine == Engine::Off {
            return Vec::new();
        }
        let samples = match piece.origin {
            Origin::Caller => self.caller.process(&piece.samples),
            Origin::MadeUp => self.caller.process(&vec![0; piece.samples.len()]),
        };
        let is_echo = self.guard.is_echo(&samples, piece.at);
        let speech = if is_echo {
            self.detector.push(&vec![0; samples.len()], piece.at)
        } else {
            self.detector.push(&samples, piece.at)
        };
        self.mute(piece, is_echo);
        speech
    }

    fn mute(&mut self, piece: &mut Piece, is_echo: bool) {
        let echoes = match piece.origin {
            Origin::Caller => is_echo && self.guard.is_due(),
            // Made up from what came before, which it repeats whether more is due or not.
            Origin::MadeUp => self.echoes,
        };
        self.echoes = echoes && !self.is_within_a_word(piece.at);
        if self.echoes && self.policy == Policy::Mute {
            piece.audio.iter_mut().for_each(Audio::hush);
        }
    }

    fn is_within_a_word(&self, at: Instant) -> bool {
        let voice = self.detector.last_voice().filter(|_| self.detector.suspects());
        voice.is_some_and(|voice| at.saturating_duration_since(voice) < SAME_WORD)
    }

    pub(super) fn last_voice(&self) -> Option<Instant> {
        self.detector.last_voice()
    }
}

impl Session {
    /// The caller is answered by who found the end of their turn alone. [`Event::Speech`] tells that it is over, if they
    /// had the word and our detector still waited.
    pub fn answered(&mut self) {
        let ended = self.voice.detector.answered();
        self.events.extend(ended.map(Event::Speech));
    }
}

fn tune(tuner: &mut Tuner, rate: SampleRate) {
    let tuned = tuner.tune(rate);
    debug_assert!(tuned.is_ok(), "every codec's rate can be brought to 8 kHz: {tuned:?}");
}
