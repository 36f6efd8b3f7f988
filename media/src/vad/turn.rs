//! When sound is somebody speaking: suspected, refuted or confirmed, insisting or yielding, ended. Time is counted in
//! audio, not on a clock.
use std::time::Duration;

/// Before the first word is recognised as voice it has been loud already; so much of that counts.
const MOST_CREDIT: Duration = Duration::from_millis(64);
/// Too little to be suspected, and then quiet for so long: it was nothing.
const FALSE_START: Duration = Duration::from_millis(64);

/// How long is long enough.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) suspect: Duration,
    pub(super) confirm: Duration,
    pub(super) insist: Duration,
    pub(super) refute: Duration,
    pub(super) yielding: Duration,
    pub(super) silence: Duration,
}

/// One step of audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sound {
    /// Speech.
    Voice,
    /// Loud, but not known to be speech.
    Unclear,
    /// Neither.
    Quiet,
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Suspected,
    Refuted,
    Confirmed,
    Yielded,
    Insisted,
    Ended,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Quiet { credit: Duration },
    Rising { voice: Duration, gap: Duration },
    Suspected { voice: Duration, gap: Duration },
    Confirmed { voice: Duration, gap: Duration },
    Yielded { voice: Duration, gap: Duration },
    Insisting { gap: Duration },
}

/// The caller's side of whose turn it is.
#[derive(Debug)]
pub(super) struct Turn {
    limits: Limits,
    state: State,
}

impl Turn {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, state: State::Quiet { credit: Duration::ZERO } }
    }

    /// Whether there was enough voice for a suspicion, which has been neither refuted nor outlived.
    pub(super) fn is_suspected(&self) -> bool {
        !matches!(self.state, State::Quiet { .. } | State::Rising { .. })
    }

    /// Whether speech has been confirmed and has not ended.
    pub(super) fn confirmed(&self) -> bool {
        match self.state {
            State::Quiet { .. } | State::Rising { .. } | State::Suspected { .. } => false,
            State::Confirmed { .. } | State::Yielded { .. } | State::Insisting { .. } => true,
        }
    }

    /// Somebody answers the caller: who insisted has had the word, and what they say next is another turn. True if one
    /// ended.
    pub(super) fn answered(&mut self) -> bool {
        let ended = matches!(self.state, State::Insisting { .. });
        if ended {
            self.state = State::Quiet { credit: Duration::ZERO };
        }
        ended
    }

    /// `step` more of audio.
    pub(super) fn hear(&mut self, sound: Sound, step: Duration) -> Option<Change> {
        let (state, change) = match self.state {
            State::Quiet { credit } => (Self::quiet(sound, credit, step), None),
            State::Rising { voice, gap } => self.rising(sound, voice, gap, step),
            State::Suspected { voice, gap } => self.suspected(sound, voice, gap, step),
            State::Confirmed { voice, gap } => self.speaking(sound, voice, gap, step),
            State::Yielded { voice, gap } => self.yielded(sound, voice, gap, step),
            State::Insisting { gap } => self.insisting(sound, gap, step),
        };
        self.state = state;
        change
    }

    fn quiet(sound: Sound, credit: Duration, step: Duration) -> State {
        match sound {
            Sound::Voice => State::Rising { voice: credit + step, gap: Duration::ZERO },
            Sound::Unclear => State::Quiet { credit: (credit + step).min(MOST_CREDIT) },
            Sound::Quiet => State::Quiet { credit: Duration::ZERO },
        }
    }

    fn rising(&self, sound: Sound, voice: Duration, gap: Duration, step: Duration) -> (State, Option<Change>) {
        if sound != Sound::Voice {
            let gap = gap + step;
            let over = gap > FALSE_START;
            let state = if over { State::Quiet { credit: Duration::ZERO } } else { State::Rising { voice, gap } };
            return (state, None);
        }
        let (voice, gap) = (voice + step, Duration::ZERO);
        if voice < self.limits.suspect {
            return (State::Rising { voice, gap }, None);
        }
        (State::Suspected { voice, gap }, Some(Change::Suspected))
    }

    fn suspected(&self, sound: Sound, voice: Duration, gap: Duration, step: Duration) -> (State, Option<Change>) {
        if sound != Sound::Voice {
            let gap = gap + step;
            if gap < self.limits.refute {
                return (State::Suspected { voice, gap }, None);
            }
            return (State::Quiet { credit: Duration::ZERO }, Some(Change::Refuted));
        }
        let voice = voice + step;
        if voice < self.limits.confirm {
            return (State::Suspected { voice, gap: Duration::ZERO }, None);
        }
        (State::Confirmed { voice, gap: Duration::ZERO }, Some(Change::Confirmed))
    }

    fn speaking(&self, sound: Sound, voice: Duration, gap: Duration, step: Duration) -> (State, Option<Change>) {
        if sound == Sound::Voice {
            return self.more_voice(voice + step, |voice| State::Confirmed { voice, gap: Duration::ZERO });
        }
        let gap = gap + step;
        if gap >= self.limits.silence {
            return Self::ended();
        }
        if gap < self.limits.yielding {
            return (State::Confirmed { voice, gap }, None);
        }
        (State::Yielded { voice, gap }, Some(Change::Yielded))
    }

    fn yielded(&self, sound: Sound, voice: Duration, gap: Duration, step: Duration) -> (State, Option<Change>) {
        if sound == Sound::Voice {
            return self.more_voice(voice + step, |voice| State::Yielded { voice, gap: Duration::ZERO });
        }
        let gap = gap + step;
        if gap < self.limits.silence { (State::Yielded { voice, gap }, None) } else { Self::ended() }
    }

    fn insisting(&self, sound: Sound, gap: Duration, step: Duration) -> (State, Option<Change>) {
        let gap = if sound == Sound::Voice { Duration::ZERO } else { gap + step };
        if gap < self.limits.silence { (State::Insisting { gap }, None) } else { Self::ended() }
    }

    fn more_voice(&self, voice: Duration, so_far: impl FnOnce(Duration) -> State) -> (State, Option<Change>) {
        if voice < self.limits.insist {
            return (so_far(voice), None);
        }
        (State::Insisting { gap: Duration::ZERO }, Some(Change::Insisted))
    }

    fn ended() -> (State, Option<Change>) {
        (State::Quiet { credit: Duration::ZERO }, Some(Change::Ended))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(10);

    /// A turn that so many milliseconds of silence end.
    fn turn(silence: u64) -> Turn {
        let ms = Duration::from_millis;
        Turn::new(Limits {
            suspect: ms(70),
            confirm: ms(220),
            insist: ms(400),
            refute: ms(200),
            yielding: ms(300),
            silence: ms(silence),
        })
    }

    /// Plays `script` (v voice, u unclear, anything else quiet; 10 ms each) and tells the changes with their times.
    fn changes(script: &[(char, usize)]) -> Vec<(usize, Change)> {
        let mut turn = turn(500);
        let steps = script.iter().flat_map(|(sound, count)| std::iter::repeat_n(*sound, *count));
        let mut changes = Vec::new();
        for (index, sound) in steps.enumerate() {
            let sound = match sound {
                'v' => Sound::Voice,
                'u' => Sound::Unclear,
                _ => Sound::Quiet,
            };
            changes.extend(turn.hear(sound, STEP).map(|change| ((index + 1) * 10, change)));
        }
        changes
    }

    #[test]
    fn who_is_answered_has_had_the_word_and_nobody_else() {
        let speak = |turn: &mut Turn, steps: usize| -> Vec<Change> {
            (0..steps).filter_map(|_| turn.hear(Sound::Voice, STEP)).collect()
        };
        let (mut turn, all) = (turn(2_000), [Change::Suspected, Change::Confirmed, Change::Insisted]);
        assert!(!turn.answered());
        assert_eq!(speak(&mut turn, 30), all[..2]);
        assert!(!turn.answered(), "they may only have said \"uh-huh\"");
        assert_eq!(speak(&mut turn, 30), all[2..]);
        assert!(speak(&mut turn, 100).is_empty(), "the word is theirs already");
        assert!(turn.answered());
        assert_eq!(speak(&mut turn, 60), all);
    }

    #[test]
    fn the_life_of_a_turn() {
        use Change::{Confirmed, Ended, Insisted, Refuted, Suspected, Yielded};
        type Case<'a> = (&'a [(char, usize)], &'a [(usize, Change)]);
        let cases: [Case<'_>; 10] = [
            (&[('v', 100), ('-', 60)], &[(70, Suspected), (220, Confirmed), (400, Insisted), (1_500, Ended)]),
            // A click and a cough.
            (&[('v', 6), ('-', 30), ('v', 6), ('-', 30)], &[]),
            (&[('v', 10), ('-', 30)], &[(70, Suspected), (300, Refuted)]),
            // Stops within a word are no end of it; pauses within a sentence neither.
            (&[('v', 5), ('-', 4), ('v', 5), ('-', 15), ('v', 12)], &[(110, Suspected), (410, Confirmed)]),
            (&[('v', 30), ('-', 49), ('v', 1), ('-', 49)], &[(70, Suspected), (220, Confirmed), (600, Yielded)]),
            // "Uh-huh"; and "uh-huh, but listen".
            (&[('v', 30), ('-', 60)], &[(70, Suspected), (220, Confirmed), (600, Yielded), (800, Ended)]),
            (
                &[('v', 30), ('-', 30), ('v', 60), ('-', 60)],
                &[(70, Suspected), (220, Confirmed), (600, Yielded), (700, Insisted), (1_700, Ended)],
            ),
            // Loudness before the voice is known counts, but not for ever, and a pause forfeits it.
            (&[('u', 3), ('v', 10)], &[(70, Suspected)]),
            (&[('u', 100), ('v', 1), ('u', 4), ('v', 1)], &[(1_060, Suspected)]),
            (&[('u', 3), ('-', 1), ('v', 7)], &[(110, Suspected)]),
        ];
        for (script, expected) in cases {
            assert_eq!(changes(script), expected, "{script:?}");
        }
    }
}
