//! What the assistant says, as utterances: the server sends audio and does not say where one ends.
use media::{Audio, Heard, Law, UtteranceId};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Without a sound for so long, an utterance is over.
const PAUSE: Duration = Duration::from_millis(400);
/// Words may come so long after the audio they belong to.
const TRAILING: Duration = Duration::from_secs(1);
/// Utterances remembered; a conversation speaks of the last few only.
const REMEMBERED: usize = 64;
/// Samples below this are silence: -48 dBFS.
const QUIET: u16 = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Quiet,
    Speaking {
        utterance: UtteranceId,
        until: Instant,
    },
    /// The caller cut in: what still comes was said before the model noticed.
    Hushed {
        until: Instant,
    },
}

/// What becomes of a piece of audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// It is the first that is heard of an utterance.
    Open(UtteranceId),
    /// It is heard.
    Play(UtteranceId),
    /// Nothing is said in it.
    Silence,
    /// The caller cut it off.
    Stale,
}

/// What was cut off of an utterance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) utterance: UtteranceId,
    pub(super) played: Duration,
    pub(super) received: Duration,
}

/// The assistant's utterances, one after another.
#[derive(Debug)]
pub(super) struct Stream {
    state: State,
    next: u64,
    /// The last that ended, and when.
    ended: Option<(UtteranceId, Instant)>,
    /// How much of each arrived.
    received: VecDeque<(UtteranceId, Duration)>,
}

impl Stream {
    pub(super) const fn new() -> Self {
        Self { state: State::Quiet, next: 0, ended: None, received: VecDeque::new() }
    }

    /// A piece of audio arrived; [`Self::over`] is to be asked first.
    pub(super) fn take(&mut self, audio: &Audio, now: Instant) -> Piece {
        let (is_silent, until) = (is_silent(audio), now + PAUSE);
        let opens = matches!(self.state, State::Quiet);
        let utterance = match &mut self.state {
            State::Hushed { .. } if is_silent => return Piece::Stale,
            State::Hushed { until: last } => {
                *last = until;
                return Piece::Stale;
            }
            State::Quiet if is_silent => return Piece::Silence,
            State::Quiet => {
                let utterance = UtteranceId(self.next);
                self.next = self.next.saturating_add(1);
                self.state = State::Speaking { utterance, until };
                if self.received.len() >= REMEMBERED {
                    self.received.pop_front();
                }
                self.received.push_back((utterance, Duration::ZERO));
                utterance
            }
            State::Speaking { utterance, until: last } => {
                if !is_silent {
                    *last = until;
                }
                *utterance
            }
        };
        if let Some((_, received)) = self.received.iter_mut().rev().find(|(known, _)| *known == utterance) {
            *received = received.saturating_add(audio.duration());
        }
        if opens { Piece::Open(utterance) } else { Piece::Play(utterance) }
    }

    /// Whether an utterance is open.
    pub(super) const fn is_speaking(&self) -> bool {
        matches!(self.state, State::Speaking { .. })
    }

    /// The utterance that is over by now, if one is.
    pub(super) fn over(&mut self, now: Instant) -> Option<UtteranceId> {
        match self.state {
            State::Speaking { utterance, until } if until <= now => {
                self.state = State::Quiet;
                self.ended = Some((utterance, now));
                Some(utterance)
            }
            State::Hushed { until } if until <= now => {
                self.state = State::Quiet;
                None
            }
            State::Speaking { .. } | State::Hushed { .. } | State::Quiet => None,
        }
    }

    /// The connection is no more: the utterance that was open.
    pub(super) fn end(&mut self) -> Option<UtteranceId> {
        match std::mem::replace(&mut self.state, State::Quiet) {
            State::Speaking { utterance, .. } => Some(utterance),
            State::Quiet | State::Hushed { .. } => None,
        }
    }

    /// The utterance that words belong to; `None` for those of one that was cut.
    pub(super) fn of_words(&self, now: Instant) -> Option<UtteranceId> {
        match (self.state, self.ended) {
            (State::Speaking { utterance, .. }, _) => Some(utterance),
            (State::Hushed { .. }, _) => None,
            (State::Quiet, Some((ended, at))) if now < at + TRAILING => Some(ended),
            (State::Quiet, _) => Some(UtteranceId(self.next)),
        }
    }

    /// The caller cut in: what was heard of each utterance that was not over for the ear.
    pub(super) fn cut(&mut self, heard: Heard, now: Instant) -> Vec<Cut> {
        if let State::Speaking { .. } = self.state {
            self.state = State::Hushed { until: now + PAUSE };
        }
        self.ended = None;
        let unheard = self.received.iter().filter(|(utterance, _)| *utterance >= heard.utterance);
        let cut = unheard.map(|(utterance, received)| {
            let played = if *utterance == heard.utterance { heard.played.min(*received) } else { Duration::ZERO };
            Cut { utterance: *utterance, played, received: *received }
        });
        let cut = cut.collect();
        self.received.retain(|(utterance, _)| *utterance < heard.utterance);
        cut
    }

    /// The caller has stopped: if the model speaks on, it means to.
    pub(super) fn listen(&mut self) {
        if let State::Hushed { .. } = self.state {
            self.state = State::Quiet;
        }
    }

    pub(super) fn deadline(&self) -> Option<(Instant, &'static str)> {
        match self.state {
            State::Speaking { until, .. } => Some((until, "live end of an utterance")),
            State::Hushed { until } => Some((until, "live end of stale audio")),
            State::Quiet => None,
        }
    }
}

/// Whether nothing is said in it: full duplex may mean that silence is sent, too.
fn is_silent(audio: &Audio) -> bool {
    match audio {
        Audio::Pcm(frame) => frame.samples.iter().all(|sample| sample.unsigned_abs() < QUIET),
        // ITU-T G.711: the lowest of eight segments, which reaches 124 of 32,768 in µ-law and 256 in A-law.
        Audio::G711 { law: Law::Mu, bytes } => bytes.iter().all(|byte| !byte & 0x70 == 0),
        Audio::G711 { law: Law::A, bytes } => bytes.iter().all(|byte| (byte ^ 0x55) & 0x7f < 0x08),
    }
}
