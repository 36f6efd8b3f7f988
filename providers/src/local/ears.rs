//! Cuts the caller's turns out of the continuous audio, where the local detector says they are.
use media::{Frame, SampleRate, Speech};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Kept before the detector's first suspicion, so that the onset of the first word is not lost.
const PRE_ROLL: Duration = Duration::from_millis(300);
/// Kept after the last voiced packet: a recogniser wants a little quiet at the end.
const TAIL: Duration = Duration::from_millis(200);
/// Less voice than this is a click or a breath; recognisers invent words for it.
const SHORTEST_TURN: Duration = Duration::from_millis(300);
/// What the recogniser takes at once is 30 s; the rest of a longer turn is not kept.
const LONGEST_TURN: Duration = Duration::from_secs(28);

/// What the caller said in one turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Pre-roll, speech and tail.
    pub(crate) speech: Frame,
    /// Whether some of it was not kept because it was too long.
    pub(crate) truncated: bool,
}

/// The caller's audio and the detector's verdict on it.
#[derive(Debug)]
pub(crate) struct Ears {
    rate: SampleRate,
    recent: VecDeque<i16>,
    state: State,
}

#[derive(Debug)]
enum State {
    Quiet,
    Suspicious(Recording),
    Talking(Recording),
}

#[derive(Debug)]
struct Recording {
    rate: SampleRate,
    samples: Vec<i16>,
    pre_roll: usize,
    truncated: bool,
}

impl Ears {
    /// For audio at this rate.
    pub(crate) fn new(rate: SampleRate) -> Self {
        Self { rate, recent: VecDeque::with_capacity(rate.samples_in(PRE_ROLL)), state: State::Quiet }
    }

    pub(crate) fn rate(&self) -> SampleRate {
        self.rate
    }

    /// Whether confirmed speech goes on.
    pub(crate) fn is_talking(&self) -> bool {
        matches!(self.state, State::Talking(_))
    }

    /// The caller's next samples.
    pub(crate) fn hear(&mut self, samples: &[i16]) {
        match &mut self.state {
            State::Quiet => {}
            State::Suspicious(recording) | State::Talking(recording) => recording.push(samples),
        }
        self.recent.extend(samples);
        let surplus = self.recent.len().saturating_sub(self.rate.samples_in(PRE_ROLL));
        self.recent.drain(..surplus);
    }

    /// The detector's verdict; yields the turn that ended, unless it was too short to be words.
    pub(crate) fn judge(&mut self, speech: Speech, now: Instant) -> Option<Turn> {
        let state = std::mem::replace(&mut self.state, State::Quiet);
        self.state = match (speech, state) {
            (Speech::Suspected, State::Quiet) => State::Suspicious(self.record()),
            (Speech::Suspected, other) => other,
            (Speech::Confirmed, State::Quiet) => State::Talking(self.record()),
            (Speech::Confirmed, State::Suspicious(recording) | State::Talking(recording)) => State::Talking(recording),
            (Speech::Refuted | Speech::Yielded | Speech::Insisted, State::Talking(recording)) => {
                State::Talking(recording)
            }
            (Speech::Refuted | Speech::Yielded | Speech::Insisted, State::Quiet | State::Suspicious(_)) => State::Quiet,
            (Speech::Ended { last_voice }, State::Talking(recording)) => {
                return recording.finish(now.saturating_duration_since(last_voice));
            }
            (Speech::Ended { .. }, State::Quiet | State::Suspicious(_)) => State::Quiet,
        };
        None
    }

    fn record(&self) -> Recording {
        let samples: Vec<i16> = self.recent.iter().copied().collect();
        Recording { rate: self.rate, pre_roll: samples.len(), samples, truncated: false }
    }
}

impl Recording {
    fn push(&mut self, samples: &[i16]) {
        let room = self.rate.samples_in(LONGEST_TURN).saturating_sub(self.samples.len());
        let kept = samples.get(..room.min(samples.len())).unwrap_or_default();
        self.samples.extend_from_slice(kept);
        self.truncated |= kept.len() < samples.len();
    }

    fn finish(mut self, silence: Duration) -> Option<Turn> {
        let silent = if self.truncated { 0 } else { self.rate.samples_in(silence) };
        let voiced_end = self.samples.len().saturating_sub(silent);
        // Suspicion comes 50–80 ms after the onset, so some of the pre-roll was speech: the error is on the safe side.
        if voiced_end.saturating_sub(self.pre_roll) < self.rate.samples_in(SHORTEST_TURN) {
            return None;
        }
        self.samples.truncate(voiced_end.saturating_add(self.rate.samples_in(TAIL)));
        Some(Turn { speech: Frame { rate: self.rate, samples: self.samples }, truncated: self.truncated })
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the origin of virtual time")]
mod tests {
    use super::*;

    const RATE: SampleRate = SampleRate::HZ_16000;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn feed(ears: &mut Ears, level: i16, duration: Duration) {
        for _ in 0..duration.as_millis() / 20 {
            ears.hear(&vec![level; RATE.samples_in(ms(20))]);
        }
    }

    #[test]
    fn a_turn_has_its_onset_and_a_short_tail() {
        let (mut ears, start) = (Ears::new(RATE), Instant::now());
        feed(&mut ears, 0, ms(1_000));
        feed(&mut ears, 7, ms(80));
        assert_eq!(ears.judge(Speech::Suspected, start), None);
        feed(&mut ears, 7, ms(400));
        assert_eq!(ears.judge(Speech::Confirmed, start), None);
        assert!(ears.is_talking());
        feed(&mut ears, 7, ms(520));
        let last_voice = start + ms(2_000);
        feed(&mut ears, 0, ms(600));
        let turn = ears.judge(Speech::Ended { last_voice }, last_voice + ms(600)).unwrap();
        let voiced = turn.speech.samples.iter().filter(|sample| **sample == 7).count();
        assert_eq!(RATE.duration_of(voiced), ms(1_000), "nothing of the speech is lost");
        assert_eq!(turn.speech.duration(), ms(220 + 1_000 + 200));
        assert!(!ears.is_talking());
    }

    #[test]
    fn clicks_are_no_turns_and_long_turns_are_bounded() {
        let (mut ears, start) = (Ears::new(RATE), Instant::now());
        ears.judge(Speech::Confirmed, start);
        feed(&mut ears, 7, ms(200));
        feed(&mut ears, 0, ms(500));
        assert_eq!(ears.judge(Speech::Ended { last_voice: start + ms(200) }, start + ms(700)), None);

        ears.judge(Speech::Suspected, start);
        feed(&mut ears, 7, ms(500));
        ears.judge(Speech::Refuted, start);
        assert_eq!(ears.judge(Speech::Ended { last_voice: start }, start), None, "refuted speech is forgotten");

        ears.judge(Speech::Confirmed, start);
        feed(&mut ears, 7, ms(40_000));
        let turn = ears.judge(Speech::Ended { last_voice: start + ms(40_000) }, start + ms(40_500)).unwrap();
        assert!(turn.truncated);
        assert_eq!(turn.speech.duration(), LONGEST_TURN);
    }
}
