//! What was heard of the caller, and whether their turn is over: by a listening socket, or turn by turn.
use super::{
    config::Hearing,
    wire::listen::{Heard, TurnEvent},
};
use crate::local::ears as cutter;
use media::{Frame, SampleRate, Speech};
use std::time::{Duration, Instant};

/// How long the last words may take after the caller fell silent.
const LAST_WORDS: Duration = Duration::from_millis(1_500);

/// What was noticed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Noticed {
    /// The caller speaks, says the service.
    Started,
    /// The turn may be over with these words.
    Eager(String),
    /// It was not.
    Resumed,
    /// The turn is over.
    Ended(String),
    /// A turn to be written down.
    Turn(Frame),
    /// The service is to say what it has.
    Finalize,
    /// All audio up to here, in seconds of the connection, is in words.
    Understood(f64),
    /// Trouble the conversation survives.
    Trouble(String),
    /// Trouble it does not.
    Broken(String),
}

/// One way to hear.
#[derive(Debug)]
pub(super) enum Ears {
    Nova(Nova),
    Flux {
        /// The service hears the caller.
        open: bool,
    },
    Turns {
        cutter: cutter::Ears,
        talking: bool,
    },
}

/// The turn as nova's words and our detector's silence make it.
#[derive(Debug, Default)]
pub(super) struct Nova {
    finals: String,
    /// Words are coming that are not final.
    interim: bool,
    /// Our detector hears nobody.
    talking: bool,
    eager: bool,
    /// The last words are awaited until then, unless the caller speaks again.
    until: Option<Instant>,
}

impl Ears {
    /// For turns, audio at this rate.
    pub(super) fn new(hearing: &Hearing, rate: SampleRate) -> Self {
        match hearing {
            Hearing::Nova { .. } => Self::Nova(Nova::default()),
            Hearing::Flux { .. } => Self::Flux { open: false },
            Hearing::Transcriptions { .. } | Hearing::Engine => {
                Self::Turns { cutter: cutter::Ears::new(rate), talking: false }
            }
        }
    }

    /// Whether the caller's turn goes on, as far as our detector decides that.
    pub(super) const fn is_talking(&self) -> bool {
        match self {
            Self::Nova(nova) => nova.talking,
            Self::Flux { .. } => false,
            Self::Turns { talking, .. } => *talking,
        }
    }

    /// Whether words may come of what was heard so far.
    pub(super) const fn is_waiting_for_words(&self) -> bool {
        match self {
            Self::Nova(nova) => nova.talking || nova.has_words() || nova.until.is_some(),
            Self::Flux { open } => *open,
            Self::Turns { talking, .. } => *talking,
        }
    }

    /// A connection that has heard nothing: turns begin anew.
    pub(super) const fn connected(&mut self) {
        if let Self::Flux { open } = self {
            *open = false;
        }
    }

    /// Words that are final, of a turn that is not over.
    pub(super) fn take_words(&mut self) -> Option<String> {
        match self {
            Self::Nova(nova) => Some(std::mem::take(&mut nova.finals)).filter(|words| !words.is_empty()),
            Self::Flux { .. } | Self::Turns { .. } => None,
        }
    }

    /// The detector changed its mind.
    pub(super) fn judge(&mut self, speech: Speech, now: Instant) -> Vec<Noticed> {
        match self {
            Self::Nova(nova) => nova.judge(speech, now),
            Self::Flux { .. } => Vec::new(),
            Self::Turns { cutter, talking } => {
                let turn = cutter.judge(speech, now);
                *talking = cutter.is_talking();
                let cut = "the caller's turn was longer than is written down at once".to_owned();
                let trouble = turn.as_ref().filter(|turn| turn.truncated).map(|_| Noticed::Trouble(cut));
                trouble.into_iter().chain(turn.map(|turn| Noticed::Turn(turn.speech))).collect()
            }
        }
    }

    /// A message of the service.
    pub(super) fn hear(&mut self, heard: Heard) -> Vec<Noticed> {
        match (self, heard) {
            (_, Heard::Error { description, code }) => {
                let words: Vec<String> = code.into_iter().chain(description).collect();
                vec![Noticed::Broken(words.join(": "))]
            }
            (_, Heard::Warning { description }) => vec![Noticed::Trouble(description.unwrap_or_default())],
            (Self::Nova(nova), Heard::Results { start, duration, is_final, speech_final, from_finalize, channel }) => {
                let text = channel.alternatives.into_iter().next().map(|first| first.transcript).unwrap_or_default();
                let mut noticed = nova.words(text.trim(), is_final, speech_final || from_finalize == Some(true));
                if from_finalize == Some(true) && nova.deadline().is_some() {
                    // That was all there is.
                    noticed.extend(nova.ended());
                }
                if is_final {
                    noticed.push(Noticed::Understood(start + duration));
                }
                noticed
            }
            (Self::Nova(nova), Heard::UtteranceEnd {}) => nova.ended(),
            (Self::Flux { open }, Heard::TurnInfo { event, transcript, audio_window_end }) => match event {
                TurnEvent::StartOfTurn => {
                    *open = true;
                    vec![Noticed::Started]
                }
                TurnEvent::EagerEndOfTurn => vec![Noticed::Eager(transcript.trim().to_owned())],
                TurnEvent::TurnResumed => vec![Noticed::Resumed],
                TurnEvent::EndOfTurn => {
                    *open = false;
                    vec![Noticed::Ended(transcript.trim().to_owned()), Noticed::Understood(audio_window_end)]
                }
                TurnEvent::Update | TurnEvent::Unknown => Vec::new(),
            },
            (Self::Nova(_) | Self::Flux { .. } | Self::Turns { .. }, _) => Vec::new(),
        }
    }

    /// When words are awaited no longer.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Nova(nova) => nova.deadline(),
            Self::Flux { .. } | Self::Turns { .. } => None,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<Noticed> {
        match self {
            Self::Nova(nova) if nova.deadline().is_some_and(|until| until <= now) => nova.ended(),
            Self::Nova(_) | Self::Flux { .. } | Self::Turns { .. } => Vec::new(),
        }
    }
}

impl Nova {
    fn judge(&mut self, speech: Speech, now: Instant) -> Vec<Noticed> {
        match speech {
            Speech::Suspected => {
                self.talking = true;
                Vec::new()
            }
            Speech::Confirmed | Speech::Insisted => {
                (self.talking, self.until) = (true, None);
                Vec::new()
            }
            Speech::Refuted | Speech::Yielded => {
                self.talking = false;
                // Nobody else ends what was said before a click, or with a murmur.
                if self.until.is_some() || self.has_words() {
                    self.until = Some(now + LAST_WORDS);
                }
                Vec::new()
            }
            Speech::Ended { .. } => {
                self.talking = false;
                if !self.finals.is_empty() && !self.interim {
                    return self.ended();
                }
                self.until = Some(now + LAST_WORDS);
                vec![Noticed::Finalize]
            }
        }
    }

    fn words(&mut self, text: &str, is_final: bool, complete: bool) -> Vec<Noticed> {
        let mut noticed = Vec::new();
        if !text.is_empty() && std::mem::take(&mut self.eager) {
            noticed.push(Noticed::Resumed);
        }
        self.interim = !is_final && !text.is_empty();
        if is_final && !text.is_empty() {
            self.finals = format!("{} {text}", self.finals).trim().to_owned();
        }
        if self.finals.is_empty() || self.interim {
            return noticed;
        }
        if !self.talking && (complete || (is_final && self.until.is_some())) {
            noticed.extend(self.ended());
        } else if complete && !self.eager {
            self.eager = true;
            noticed.push(Noticed::Eager(self.finals.clone()));
        }
        noticed
    }

    const fn has_words(&self) -> bool {
        !self.finals.is_empty() || self.interim
    }

    const fn deadline(&self) -> Option<Instant> {
        if self.talking { None } else { self.until }
    }

    fn ended(&mut self) -> Vec<Noticed> {
        let words = std::mem::take(&mut self.finals);
        (self.eager, self.interim, self.until) = (false, false, None);
        if words.is_empty() { Vec::new() } else { vec![Noticed::Ended(words)] }
    }
}
