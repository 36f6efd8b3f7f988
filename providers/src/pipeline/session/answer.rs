//! One answer: what the model writes becomes pieces, pieces become speech. An answer begun in advance is made, but not
//! heard before the caller's turn is over, and never if it was not.
use super::{Life, Out, Playing, Session};
use crate::{
    Event, JobId, JobOutput, Part, RequestId, ToolCallId,
    pipeline::{
        clauses::Clauses,
        config::{Chat, Config},
        fault::Fault,
        mind::{Step, Thought},
        mouth::{Larynx, Mouth},
        wire::chat::{self, ToolCall},
    },
};
use media::UtteranceId;
use std::time::Instant;

/// What waits to be said behind the present answer; beyond it the oldest is not said.
const MOST_PROMPTS: usize = 4;

/// What is to be said next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Prompt {
    /// These words.
    Say(String),
    /// What the model makes of the conversation, which changed because of one of us.
    Reply(Origin),
}

/// Whether an answer may be heard.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// The caller's turn may not be over: an answer to these words.
    Eager(String),
    /// It may. The caller's is withdrawn if the caller goes on before hearing it.
    Granted(Origin),
}

/// Who caused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Caller,
    Us,
}

#[derive(Debug)]
pub(super) struct Answer {
    utterance: UtteranceId,
    standing: Standing,
    thought: Option<Thought>,
    clauses: Clauses,
    mouth: Mouth,
    calls: Vec<ToolCall>,
    /// The model has written something.
    begun: bool,
    audible: bool,
    asked_again: bool,
}

impl Answer {
    pub(super) const fn utterance(&self) -> UtteranceId {
        self.utterance
    }

    pub(super) fn job_done(&mut self, id: JobId, result: Result<JobOutput, String>) -> Result<bool, Fault> {
        self.mouth.job_done(id, result)
    }

    pub(super) fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let thought = self.thought.as_ref().map(|thought| (thought.deadline(), "language model"));
        let voice = self.mouth.deadline().map(|at| (at, "voice"));
        thought.into_iter().chain(voice).min()
    }

    /// Whether some of its words were given out.
    pub(super) const fn is_audible(&self) -> bool {
        self.audible
    }

    /// Whether the caller has heard words of it, or is going to.
    pub(super) fn is_heard(&self) -> bool {
        self.audible || self.mouth.has_sound()
    }

    fn is_withdrawable(&self) -> bool {
        !self.audible && self.standing != Standing::Granted(Origin::Us)
    }
}

impl Session {
    /// Something to say, when what is being said has been made.
    pub(super) fn prompt(&mut self, prompt: Prompt) {
        if let Prompt::Reply(origin) = prompt {
            self.owed = false;
            if let Some(Prompt::Reply(last)) = self.prompts.back_mut() {
                // One answer to both, which is not withdrawn if either must be heard.
                if origin == Origin::Us {
                    *last = origin;
                }
                return;
            }
        }
        if self.prompts.len() >= MOST_PROMPTS {
            self.prompts.pop_front();
        }
        self.prompts.push_back(prompt);
    }

    /// The caller's turn is over: they are answered, with what was made in advance if it answers the same words.
    pub(super) fn reply_to(&mut self, words: &str) {
        self.out.history.caller(words.to_owned());
        match &mut self.answer {
            Some(answer) if answer.standing == Standing::Eager(words.to_owned()) => {
                answer.standing = Standing::Granted(Origin::Caller);
                self.owed = false;
            }
            Some(_) | None => {
                self.withdraw();
                self.prompt(Prompt::Reply(Origin::Caller));
            }
        }
    }

    /// Whoever seemed to go on and said nothing still waits for the answer that was withdrawn.
    fn pay(&mut self) {
        if self.owed && !self.voiced && !self.ears.is_waiting_for_words() && self.writing.is_empty() {
            self.prompt(Prompt::Reply(Origin::Caller));
        }
    }

    /// The turn may be over.
    pub(super) fn reply_in_advance(&mut self, words: String, now: Instant) {
        self.drop_eager();
        if self.answer.is_none() && self.prompts.is_empty() {
            self.think(Standing::Eager(words), now);
        }
    }

    /// The turn was not over.
    pub(super) fn drop_eager(&mut self) {
        if self.answer.as_ref().is_some_and(|answer| matches!(answer.standing, Standing::Eager(_))) {
            self.drop_answer();
        }
    }

    /// Whoever goes on has not been answered yet, unless they hear the answer.
    pub(super) fn caller_goes_on(&mut self) {
        self.withdraw();
    }

    pub(super) fn withdraw(&mut self) {
        if let Some(answer) = self.answer.as_ref().filter(|answer| answer.is_withdrawable()) {
            // One in advance is made again when the turn is over.
            self.owed |= matches!(answer.standing, Standing::Granted(_));
            self.drop_answer();
        }
    }

    pub(super) fn drop_answer(&mut self) {
        let Some(mut answer) = self.answer.take() else { return };
        if let Some(thought) = answer.thought.take() {
            self.out.abort(thought.id);
            self.out.events.push_back(Event::Usage(thought.usage()));
        }
        answer.mouth.abort(&mut self.out);
        if answer.audible {
            self.out.events.push_back(Event::UtteranceDone(answer.utterance));
        }
    }

    /// Goes on with what can be gone on with.
    pub(super) fn advance(&mut self, now: Instant) {
        if self.life == Life::Talking {
            self.settle();
            self.pay();
        }
        self.make(now);
        self.answering = self.is_answering().then(|| self.answering.unwrap_or(now));
    }

    /// Whether the caller waits for an answer, as far as that is known, and has heard nothing of it.
    fn is_answering(&self) -> bool {
        let made = |answer: &Answer| matches!(answer.standing, Standing::Granted(_)) && !answer.audible;
        let asked = || !self.ears.is_talking() && (!self.writing.is_empty() || !self.prompts.is_empty());
        self.life == Life::Talking && self.answer.as_ref().map_or_else(asked, made)
    }

    fn make(&mut self, now: Instant) {
        loop {
            if self.life != Life::Talking {
                return;
            }
            if self.answer.is_none() {
                self.begin(now);
            }
            let Some(answer) = &mut self.answer else { return };
            let mut larynx = Larynx { config: &self.config, piper: &mut self.piper };
            answer.mouth.ask(&mut larynx, now, &mut self.out);
            if matches!(answer.standing, Standing::Eager(_)) {
                return;
            }
            let spoken = self.out.events.len();
            answer.mouth.give(answer.utterance, &mut self.out);
            if self.out.events.len() > spoken {
                answer.audible = true;
                let over = self.playing.take().and_then(|playing| playing.over);
                self.playing = Some(Playing { utterance: answer.utterance, over });
                self.lost_answers = 0;
            }
            // There may be room to ask for more.
            answer.mouth.ask(&mut larynx, now, &mut self.out);
            if answer.thought.is_some() || !answer.mouth.is_empty() {
                return;
            }
            self.finish();
        }
    }

    fn begin(&mut self, now: Instant) {
        let busy = self.ears.is_talking() || !self.writing.is_empty();
        match self.prompts.front() {
            None => {}
            Some(Prompt::Reply(_)) if busy => {}
            Some(Prompt::Reply(origin)) => {
                let origin = *origin;
                self.prompts.pop_front();
                self.think(Standing::Granted(origin), now);
            }
            Some(Prompt::Say(_)) => {
                let Some(Prompt::Say(text)) = self.prompts.pop_front() else { return };
                let mut answer = self.blank(Standing::Granted(Origin::Us));
                let mut pieces = answer.clauses.push(&text);
                pieces.extend(answer.clauses.finish());
                let language = self.config.language.as_deref();
                pieces.into_iter().for_each(|piece| answer.mouth.say(piece, language));
                self.answer = Some(answer);
            }
        }
    }

    fn blank(&mut self, standing: Standing) -> Answer {
        self.utterances += 1;
        Answer {
            utterance: UtteranceId(self.utterances),
            standing,
            thought: None,
            clauses: Clauses::default(),
            mouth: Mouth::default(),
            calls: Vec::new(),
            begun: false,
            audible: false,
            asked_again: false,
        }
    }

    fn think(&mut self, standing: Standing, now: Instant) {
        let mut answer = self.blank(standing);
        answer.ask(&self.config, &mut self.out, now);
        self.answer = Some(answer);
    }

    fn finish(&mut self) {
        let Some(answer) = self.answer.take() else { return };
        if answer.audible {
            self.out.events.push_back(Event::UtteranceDone(answer.utterance));
        }
        if answer.calls.is_empty() {
            return;
        }
        self.out.history.called(answer.calls.clone());
        for call in answer.calls {
            let (id, name, arguments) = (ToolCallId(call.id), call.function.name, call.function.arguments);
            self.out.events.push_back(Event::ToolCall { id, name, arguments });
        }
    }

    /// A part of an answer to a request of ours; what was aborted is nobody's.
    pub(super) fn answered(&mut self, id: RequestId, part: Part, now: Instant) {
        let Some(answer) = &mut self.answer else { return };
        let steps = match &mut answer.thought {
            Some(thought) if thought.id == id => thought.handle(part, self.config.chat.key(), now),
            Some(_) | None => {
                let mut larynx = Larynx { config: &self.config, piper: &mut self.piper };
                if let Err(fault) = answer.mouth.handle(id, part, &mut larynx, now) {
                    self.lose(fault);
                }
                return;
            }
        };
        for step in steps {
            self.step(step, now);
        }
    }

    fn step(&mut self, step: Step, now: Instant) {
        let Some(answer) = &mut self.answer else { return };
        let language = self.config.language.as_deref();
        match step {
            Step::Words(words) => {
                if !std::mem::replace(&mut answer.begun, true) {
                    self.out.events.push_back(Event::Thought);
                }
                answer.clauses.push(&words).into_iter().for_each(|piece| answer.mouth.say(piece, language));
            }
            Step::Done(calls) => {
                answer.clauses.finish().into_iter().for_each(|piece| answer.mouth.say(piece, language));
                answer.calls = calls;
                if let Some(thought) = answer.thought.take() {
                    self.out.events.push_back(Event::Usage(thought.usage()));
                }
            }
            Step::Fault(fault) => self.no_mind(fault, now),
        }
    }

    /// The model gave no answer, or not all of it. What nobody has heard anything of is asked once more.
    fn no_mind(&mut self, fault: Fault, now: Instant) {
        let Some(answer) = &mut self.answer else { return };
        let Some(thought) = answer.thought.take() else { return };
        self.out.abort(thought.id);
        self.out.events.push_back(Event::Usage(thought.usage()));
        if fault.transient && thought.is_blank() && !answer.asked_again {
            answer.asked_again = true;
            self.out.warn(fault.failure.message);
            return answer.ask(&self.config, &mut self.out, now);
        }
        let rest = answer.clauses.finish();
        rest.into_iter().for_each(|piece| answer.mouth.say(piece, self.config.language.as_deref()));
        self.lose(fault);
    }

    /// What took too long.
    pub(super) fn answer_late(&mut self, now: Instant) {
        let Some(answer) = &mut self.answer else { return };
        if let Some(thought) = answer.thought.as_ref().filter(|thought| thought.deadline() <= now) {
            let fault = thought.late();
            return self.no_mind(fault, now);
        }
        if let Err(fault) = answer.mouth.handle_timeout(now, &mut self.out) {
            self.lose(fault);
        }
    }
}

impl Answer {
    fn ask(&mut self, config: &Config, out: &mut Out, now: Instant) {
        let unfinished = match &self.standing {
            Standing::Eager(words) => Some(words.as_str()),
            Standing::Granted(_) => None,
        };
        let request = chat::request(&config.chat, &config.tools, &out.history.messages(unfinished));
        let length = request.body.len();
        // The caller's words want an answer, what a tool brought may not.
        let may_be_empty = unfinished.is_none() && out.history.may_end_here();
        self.thought = Some(Thought::new(out.request(request), length, may_be_empty, now));
    }
}

impl Chat {
    fn key(&self) -> Option<&str> {
        self.at.api_key.as_deref()
    }
}
