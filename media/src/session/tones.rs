//! Keys that the caller's phone tells by their tones only: the detector, fed with what is really the caller's.
use super::{
    Event, Session,
    uplink::{Origin, Piece},
};
use crate::{audio::SampleRate, dtmf::Detector, resample::Tuner, sdp::Negotiated};
use std::time::{Duration, Instant};

/// What the detector hears.
const RATE: SampleRate = SampleRate::HZ_8000;
/// How long after our tone its echo may come: the longest way through a network, a jitter buffer, a line and back, as for
/// the echo guard.
const WAY_BACK: Duration = Duration::from_millis(600);

/// The detector and what stands before it.
#[derive(Debug)]
pub(super) struct Tones {
    detector: Detector,
    /// From the uplink's rate.
    caller: Tuner,
}

impl Tones {
    /// `None` for a rate that cannot be brought to 8 kHz; no codec has one.
    pub(super) fn new(rate: SampleRate) -> Option<Self> {
        Some(Self { detector: Detector::default(), caller: Tuner::new(rate, RATE).ok()? })
    }

    /// The caller's audio comes at this rate from here on.
    pub(super) fn hear_at(&mut self, rate: SampleRate) {
        let tuned = self.caller.tune(rate);
        debug_assert!(tuned.is_ok(), "every codec's rate can be brought to 8 kHz: {tuned:?}");
    }

    /// The digits recognised in a piece of the uplink. Concealment repeats what it heard, and is not listened to.
    pub(super) fn hear(&mut self, piece: &Piece) -> Vec<char> {
        match piece.origin {
            Origin::Caller => {
                self.detector.lose(piece.lost);
                self.detector.push(&self.caller.process(&piece.samples))
            }
            Origin::MadeUp => {
                self.detector.skip(self.caller.from().duration_of(piece.samples.len()));
                Vec::new()
            }
        }
    }
}

impl Session {
    /// Whether keys of ours wait to be pressed, or are being pressed.
    pub fn is_pressing(&self) -> bool {
        self.downlink.digits.is_pressing()
    }

    /// A key of ours went out beside the audio: whoever takes it sounds it until `until` at the latest, and its line
    /// may give that back.
    pub fn sounds_elsewhere(&mut self, digit: char, until: Instant, now: Instant) {
        self.downlink.sounded.note(digit, until, now);
    }

    /// A key of ours that is being pressed ends where `media` is a hold. Until the peer has our answer it takes what was
    /// agreed on before, and so it is told of the end.
    pub(super) fn end_press(&mut self, media: &Negotiated) {
        let ends = self.downlink.end_press(media);
        self.send_ends(ends);
    }

    /// A key of ours that is being told by events ends with the source that began it.
    pub(super) fn end_events(&mut self) {
        let ends = self.downlink.end_events();
        self.send_ends(ends);
    }

    fn send_ends(&mut self, ends: Vec<Vec<u8>>) {
        self.stats.sent += ends.len() as u64;
        self.transmit_rtp(ends);
    }

    /// What keys sound in a piece of the uplink, unless they are ours that come back.
    pub(super) fn hear_tones(&mut self, piece: &Piece, now: Instant) {
        let Some(tones) = &mut self.tones else { return };
        let (told, sounding) = (tones.hear(piece), tones.detector.sounding());
        let is_theirs = |digit: &char| !self.downlink.sounded.may_return(*digit, piece.at);
        for digit in told.into_iter().filter(is_theirs) {
            self.events.extend(self.presses.handle_tone(digit, now).map(Event::Dtmf));
        }
        // What is made up is no sign that the key is held.
        if let Some(digit) = sounding.filter(|digit| piece.origin == Origin::Caller && is_theirs(digit)) {
            self.presses.handle_held_tone(digit, now);
        }
    }
}

/// The keys that we pressed lately: their tones come back from a hybrid, strong enough to be recognised, whether we sound
/// them ourselves or a gateway does that is told by events or INFO.
#[derive(Debug, Default)]
pub(super) struct Sounded {
    /// Each digit once, and when its tone last ended.
    keys: Vec<(char, Instant)>,
}

impl Sounded {
    /// This key of ours sounds until then.
    pub(super) fn note(&mut self, digit: char, until: Instant, now: Instant) {
        self.keys.retain(|(other, ended)| *other != digit && now < *ended + WAY_BACK);
        self.keys.push((digit, until));
    }

    /// Whether a tone that arrived then may be ours that came back.
    pub(super) fn may_return(&self, digit: char, arrived: Instant) -> bool {
        self.keys.iter().any(|(ours, ended)| *ours == digit && arrived < *ended + WAY_BACK)
    }
}
