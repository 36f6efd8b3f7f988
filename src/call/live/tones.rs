//! Two soft tones tell whoever waits for an answer that it is being made. They are nobody's words: they settle nothing that
//! is owed, are in no transcript and in no latency, and give way to whoever speaks.
use super::Live;
use crate::call::numbered::Seat;
use media::{Audio, Frame, SampleRate, UtteranceId};
use std::{
    f64::consts::TAU,
    time::{Duration, Instant},
};

/// So long the caller waits in silence before they sound,
const PATIENCE: Duration = Duration::from_secs(1);
/// and so long before they sound again.
const AGAIN: Duration = Duration::from_secs(3);
/// Hz.
const PITCHES: [f64; 2] = [440.0, 554.0];
const EACH: Duration = Duration::from_millis(140);
/// -26 dBFS.
const PEAK: f64 = 1_640.0;

/// When they may sound.
#[derive(Debug, Default)]
pub(super) struct Tones {
    sounded: u64,
    not_before: Option<Instant>,
}

impl Tones {
    /// Whether an utterance is this sound.
    pub(super) const fn has(utterance: UtteranceId) -> bool {
        Seat::TONES.has(utterance)
    }

    /// Something is heard until now.
    pub(super) fn put_off(&mut self, now: Instant) {
        self.not_before = Some(now + PATIENCE);
    }
}

impl Live {
    /// When they sound next, if nothing of the answer is heard before.
    pub(super) fn tones_at(&self) -> Option<Instant> {
        let since = self.provider.answering_since().filter(|_| self.may_speak())?;
        Some((since + PATIENCE).max(self.filler.tones.not_before.unwrap_or(since)))
    }

    /// Sounds them, if it is time.
    pub(super) fn sound_tones(&mut self, now: Instant) {
        if self.tones_at().is_none_or(|at| at > now) {
            return;
        }
        let unfit = self.open.is_some() || self.media.playing().is_some() || self.speaking || self.is_held();
        let tones = &mut self.filler.tones;
        if unfit {
            return tones.put_off(now);
        }
        tones.not_before = Some(now + AGAIN);
        tones.sounded += 1;
        let utterance = Seat::TONES.utterance(tones.sounded);
        self.media.play(utterance, &Audio::Pcm(sound()), now);
        self.media.finish(utterance, now);
    }

    /// Ends them: somebody speaks. Nothing is ever queued behind them.
    pub(super) fn hush(&mut self, now: Instant) {
        if self.media.playing().is_some_and(Tones::has) {
            // It fades out.
            let _heard = self.media.cut(now);
        }
    }
}

fn sound() -> Frame {
    let rate = SampleRate::HZ_8000;
    let length = rate.samples_in(EACH);
    let sample = |pitch: f64, n: usize| {
        // Up and down again, so that nothing clicks.
        let swell = (TAU / 2.0 * n as f64 / length as f64).sin();
        ((TAU * pitch * n as f64 / f64::from(rate.hz())).sin() * swell * PEAK) as i16
    };
    Frame { rate, samples: PITCHES.iter().flat_map(|pitch| (0..length).map(|n| sample(*pitch, n))).collect() }
}
