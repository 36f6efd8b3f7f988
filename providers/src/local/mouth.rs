//! What is being said: replies in order, each one utterance, each sentence one job for the engine.
//!
//! Two sentences are made ahead, so that the first is heard while the second is in the making. A cut reply is dropped
//! with its jobs; what the engine still yields for it belongs to no sentence and is ignored.
use super::{Language, session::Out};
use crate::{Event, Failure, FailureKind, Job, JobId, JobOutput, ToolCallId};
use media::{Audio, Frame, SampleRate, UtteranceId};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Longest wait for one sentence.
const SYNTHESIS_DEADLINE: Duration = Duration::from_secs(10);
/// Sentences in the making at once.
const AHEAD: usize = 2;
/// Sentences lost in a row after which there is no voice.
const LOST_IN_A_ROW: u32 = 3;

/// One thing to say.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Line {
    /// A sentence.
    Text {
        /// The words.
        text: String,
        /// Whose words they are.
        language: Language,
    },
    /// A recording.
    Sound {
        /// As the caller was heard.
        frame: Frame,
        /// What the transcript shows for it.
        shown: String,
    },
}

/// What follows a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// The caller speaks.
    Listen,
    /// The call is transferred to this destination.
    Transfer(String),
    /// The call ends.
    HangUp,
}

/// Whether a reply is worth repeating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It told something.
    Answer,
    /// It was about the conversation itself.
    Remark,
}

/// Who caused a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The caller, with these words (none for a key): withdrawn when they go on before hearing it.
    Caller(String),
    /// We did: it is said whatever the caller does.
    Us,
}

/// Something to say and what follows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reply {
    pub(super) lines: Vec<Line>,
    pub(super) after: After,
    pub(super) kind: Kind,
}

#[derive(Debug)]
enum Progress {
    Waiting,
    Asked { job: JobId, deadline: Instant },
    Made(Frame),
    Lost,
}

#[derive(Debug)]
struct Speaking {
    utterance: UtteranceId,
    lines: VecDeque<(Line, Progress)>,
    after: After,
    origin: Origin,
    audible: bool,
}

/// Whether a reply that has not begun may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Floor {
    /// Nobody speaks.
    Free,
    /// The caller speaks.
    Taken,
}

/// The replies on their way.
#[derive(Debug)]
pub(super) struct Mouth {
    /// What the engine is asked for at the most.
    rate: SampleRate,
    utterances: u64,
    tool_calls: u64,
    replies: VecDeque<Speaking>,
    lost_in_a_row: u32,
}

impl Mouth {
    /// One that speaks at this rate at the most.
    pub(super) fn new(rate: SampleRate) -> Self {
        Self { rate, utterances: 0, tool_calls: 0, replies: VecDeque::new(), lost_in_a_row: 0 }
    }

    pub(super) fn rate(&self) -> SampleRate {
        self.rate
    }

    /// Puts a reply behind the others.
    pub(super) fn say(&mut self, reply: Reply, origin: Origin) {
        self.utterances += 1;
        self.replies.push_back(Speaking {
            utterance: UtteranceId(self.utterances),
            lines: reply.lines.into_iter().map(|line| (line, Progress::Waiting)).collect(),
            after: reply.after,
            origin,
            audible: false,
        });
    }

    /// Withdraws answers that the caller has not begun to hear, and gives back the words they answered.
    pub(super) fn withdraw(&mut self) -> String {
        let mut asked = Vec::new();
        self.replies.retain_mut(|reply| match &mut reply.origin {
            Origin::Caller(words) if !reply.audible => {
                asked.push(std::mem::take(words));
                false
            }
            Origin::Caller(_) | Origin::Us => true,
        });
        asked.join(" ").trim().to_owned()
    }

    /// Drops an utterance that was cut, and any before it.
    pub(super) fn cut(&mut self, utterance: UtteranceId) {
        self.replies.retain(|reply| reply.utterance > utterance);
    }

    /// A job ended; jobs of dropped sentences are nobody's.
    pub(super) fn job_done(&mut self, id: JobId, result: Result<JobOutput, String>, out: &mut Out) {
        let asked = |progress: &Progress| matches!(progress, Progress::Asked { job, .. } if *job == id);
        let mut lines = self.replies.iter_mut().flat_map(|reply| &mut reply.lines);
        let Some((_, progress)) = lines.find(|(_, progress)| asked(progress)) else { return };
        let lost = match result {
            Ok(JobOutput::Speech(frame)) if frame.rate <= self.rate => {
                *progress = Progress::Made(frame);
                self.lost_in_a_row = 0;
                return;
            }
            Ok(JobOutput::Speech(frame)) => format!("the engine spoke at {} Hz", frame.rate.hz()),
            Ok(JobOutput::Text(_)) => "the engine wrote instead of speaking".to_owned(),
            Err(reason) => reason,
        };
        *progress = Progress::Lost;
        self.lose(lost, out);
    }

    /// Gives up on sentences whose time is over.
    pub(super) fn handle_timeout(&mut self, now: Instant, out: &mut Out) {
        let mut lost = 0;
        for (_, progress) in self.replies.iter_mut().flat_map(|reply| &mut reply.lines) {
            if matches!(progress, Progress::Asked { deadline, .. } if *deadline <= now) {
                *progress = Progress::Lost;
                lost += 1;
            }
        }
        (0..lost).for_each(|_| self.lose(format!("no speech within {SYNTHESIS_DEADLINE:?}"), out));
    }

    fn lose(&mut self, reason: String, out: &mut Out) {
        self.lost_in_a_row += 1;
        out.events.push_back(Event::Warning(format!("a sentence was not spoken: {reason}")));
        if self.lost_in_a_row == LOST_IN_A_ROW {
            out.events.push_back(Event::Failed(Failure { kind: FailureKind::Unavailable, message: reason }));
        }
    }

    /// Whether nothing is left to say.
    pub(super) fn is_idle(&self) -> bool {
        self.replies.is_empty()
    }

    /// The earliest deadline of a sentence in the making.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let lines = self.replies.iter().flat_map(|reply| &reply.lines);
        lines
            .filter_map(|(_, progress)| match progress {
                Progress::Asked { deadline, .. } => Some(*deadline),
                Progress::Waiting | Progress::Made(_) | Progress::Lost => None,
            })
            .min()
    }

    /// Asks for the next sentences and gives out those that are made, as far as possible. Yields the utterance that
    /// became audible last, if any did.
    pub(super) fn advance(&mut self, floor: Floor, now: Instant, out: &mut Out) -> Option<UtteranceId> {
        let mut audible = None;
        while let Some(reply) = self.replies.front_mut() {
            if floor == Floor::Taken && !reply.audible {
                break;
            }
            reply.ask(self.rate, now, out);
            let waiting = reply.lines.len();
            if reply.give(out) {
                audible = Some(reply.utterance);
            }
            match reply.lines.len() {
                0 => {}
                left if left == waiting => break,
                // There is room to ask for more.
                _ => continue,
            }
            if reply.audible {
                out.events.push_back(Event::UtteranceDone(reply.utterance));
            }
            let after = std::mem::replace(&mut reply.after, After::Listen);
            self.replies.pop_front();
            self.follow(after, out);
        }
        audible
    }

    fn follow(&mut self, after: After, out: &mut Out) {
        let (name, arguments) = match after {
            After::Listen => return,
            After::Transfer(destination) => ("transfer", serde_json::json!({ "destination": destination })),
            After::HangUp => ("end_call", serde_json::json!({ "reason": "the caller said goodbye" })),
        };
        self.tool_calls += 1;
        out.events.push_back(Event::ToolCall {
            id: ToolCallId(format!("local-{}", self.tool_calls)),
            name: name.to_owned(),
            arguments: arguments.to_string(),
        });
    }
}

impl Speaking {
    /// Asks the engine for the sentences that come next.
    fn ask(&mut self, rate: SampleRate, now: Instant, out: &mut Out) {
        for (line, progress) in self.lines.iter_mut().take(AHEAD) {
            if !matches!(progress, Progress::Waiting) {
                continue;
            }
            *progress = match line {
                Line::Sound { frame, .. } => Progress::Made(frame.clone()),
                Line::Text { text, language } => {
                    let (text, language) = (text.clone(), language.tag().to_owned());
                    let job = out.job(Job::Speak { text, language, rate });
                    Progress::Asked { job, deadline: now + SYNTHESIS_DEADLINE }
                }
            };
        }
    }

    /// Gives out the sentences that are made, in order; whether there was one.
    fn give(&mut self, out: &mut Out) -> bool {
        let mut given = false;
        while let Some((line, progress)) = self.lines.pop_front() {
            let frame = match progress {
                Progress::Made(frame) => frame,
                Progress::Lost => continue,
                Progress::Waiting | Progress::Asked { .. } => {
                    self.lines.push_front((line, progress));
                    break;
                }
            };
            let text = match line {
                Line::Text { text, .. } => text,
                Line::Sound { shown, .. } => shown,
            };
            let utterance = self.utterance;
            let delta = if self.audible { format!(" {text}") } else { text };
            out.events.push_back(Event::AssistantText { utterance, delta });
            out.events.push_back(Event::Audio { utterance, audio: Audio::Pcm(frame) });
            self.audible = true;
            given = true;
        }
        given
    }
}
