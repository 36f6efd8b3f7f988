//! One answer of the model in the making.
use super::{
    fault::{self, Fault},
    sse::Lines,
    wire::chat::{Called, Chunk, Fragment, ToolCall, Usage},
};
use crate::{Part, RequestId};
use std::time::{Duration, Instant};

/// The first words may take so long, whatever comes before them: a model may think aloud for ever.
const FIRST_WORDS: Duration = Duration::from_secs(5);
/// And so long the next.
const SILENCE: Duration = Duration::from_secs(8);
/// The most of an answer that is taken, bytes.
const LONGEST_ANSWER: usize = 32 << 10;
/// Calls of one answer that are taken.
const MOST_CALLS: usize = 8;
/// The most that is read of a refusal, bytes.
const LONGEST_REFUSAL: usize = 8 << 10;
/// Characters of a token, where a stream that was cut off does not say how many there were.
const CHARACTERS_OF_TOKEN: u64 = 4;
const WHO: &str = "language model";

/// What came of it.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// The next words.
    Words(String),
    /// All is said; these are to be called.
    Done(Vec<ToolCall>),
    /// There is no answer, or no more of it.
    Fault(Fault),
}

/// A request whose answer is awaited.
#[derive(Debug)]
pub(super) struct Thought {
    pub(super) id: RequestId,
    lines: Lines,
    refusal: Option<(u16, Vec<u8>)>,
    calls: Vec<Draft>,
    usage: Option<Usage>,
    asked: u64,
    written: usize,
    worded: bool,
    /// Whether the model may have nothing to say.
    may_be_empty: bool,
    deadline: Instant,
}

/// A call in the making.
#[derive(Debug, Default)]
struct Draft {
    index: Option<usize>,
    id: String,
    name: String,
    arguments: String,
}

impl Thought {
    /// Asked with so many bytes.
    pub(super) fn new(id: RequestId, asked: usize, may_be_empty: bool, now: Instant) -> Self {
        let (lines, calls) = (Lines::default(), Vec::new());
        let (asked, deadline) = (asked as u64, now + FIRST_WORDS);
        let (written, worded) = (0, false);
        Self { id, lines, refusal: None, calls, usage: None, asked, written, worded, may_be_empty, deadline }
    }

    pub(super) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether nothing of an answer has come that could be said: half a call is none.
    pub(super) const fn is_blank(&self) -> bool {
        !self.worded
    }

    /// It took too long.
    pub(super) fn late(&self) -> Fault {
        let limit = if self.written == 0 { FIRST_WORDS } else { SILENCE };
        fault::broken(WHO, &format!("no words for {limit:?}"))
    }

    /// What is to be paid for it, as far as it is known: a stream that was cut off did not say.
    pub(super) fn usage(&self) -> crate::Usage {
        let estimate = || Usage {
            prompt_tokens: self.asked / CHARACTERS_OF_TOKEN,
            completion_tokens: self.written as u64 / CHARACTERS_OF_TOKEN,
            prompt_tokens_details: None,
        };
        let usage = match (&self.refusal, self.usage) {
            (Some(_), _) => return crate::Usage::default(),
            (None, usage) => usage.unwrap_or_else(estimate),
        };
        let cached = usage.prompt_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0);
        crate::Usage {
            input_text: usage.prompt_tokens.saturating_sub(cached),
            cached_text: cached.min(usage.prompt_tokens),
            output_text: usage.completion_tokens,
            ..crate::Usage::default()
        }
    }

    /// The next part of the answer.
    pub(super) fn handle(&mut self, part: Part, key: Option<&str>, now: Instant) -> Vec<Step> {
        let written = self.written;
        let steps = self.take(part, key);
        if self.written > written {
            self.deadline = now + SILENCE;
        }
        steps
    }

    fn take(&mut self, part: Part, key: Option<&str>) -> Vec<Step> {
        match part {
            Part::Head { status: 200..=299, .. } => Vec::new(),
            Part::Head { status, .. } => {
                self.refusal = Some((status, Vec::new()));
                Vec::new()
            }
            Part::Chunk(bytes) => match &mut self.refusal {
                Some((_, body)) => {
                    let room = LONGEST_REFUSAL.saturating_sub(body.len()).min(bytes.len());
                    body.extend(bytes.into_iter().take(room));
                    Vec::new()
                }
                None => self.lines.push(&bytes).iter().flat_map(|data| self.event(data)).collect(),
            },
            Part::End => match self.refusal.take() {
                Some((status, body)) => {
                    let fault = fault::refused(WHO, key, status, &body);
                    self.refusal = Some((status, body));
                    vec![Step::Fault(fault)]
                }
                None if self.written == 0 && !self.may_be_empty => {
                    vec![Step::Fault(fault::broken(WHO, "an empty answer"))]
                }
                None => vec![self.done()],
            },
            Part::Failed(why) => vec![Step::Fault(fault::broken(WHO, &why))],
        }
    }

    fn event(&mut self, data: &str) -> Vec<Step> {
        if data == "[DONE]" {
            return Vec::new(); // the end of the body says it
        }
        let Ok(chunk) = serde_json::from_str::<Chunk>(data) else {
            return vec![Step::Fault(fault::broken(WHO, "an event that is no chunk of an answer"))];
        };
        let groq = chunk.x_groq.unwrap_or_default();
        self.usage = chunk.usage.or(groq.usage).or(self.usage);
        if let Some(error) = chunk.error.or(groq.error) {
            return vec![Step::Fault(fault::refused(WHO, None, 500, error.to_string().as_bytes()))];
        }
        let mut steps = Vec::new();
        for choice in chunk.choices {
            for fragment in choice.delta.tool_calls.into_iter().flatten() {
                self.fragment(fragment);
            }
            let words = choice.delta.content.or(choice.delta.refusal).unwrap_or_default();
            if words.is_empty() || self.written > LONGEST_ANSWER {
                continue;
            }
            self.written += words.len();
            self.worded = true;
            steps.push(Step::Words(words));
        }
        steps
    }

    /// Identity comes with the first fragment of a call only, its arguments in pieces.
    fn fragment(&mut self, fragment: Fragment) {
        let id = fragment.id.unwrap_or_default();
        let Some(draft) = self.draft(fragment.index, &id) else { return };
        if !id.is_empty() {
            draft.id = id;
        }
        let Some(function) = fragment.function else { return };
        if let Some(name) = function.name.filter(|name| !name.is_empty()) {
            draft.name = name;
        }
        if let Some(arguments) = function.arguments {
            let room = LONGEST_ANSWER.saturating_sub(draft.arguments.len());
            draft.arguments.extend(arguments.chars().take(room));
        }
        self.written += 1;
    }

    /// Which call a fragment belongs to. Some servers give no index, or the same to all: a new id is a new call.
    fn draft(&mut self, index: Option<usize>, id: &str) -> Option<&mut Draft> {
        let own = |draft: &Draft| draft.index == index && (id.is_empty() || draft.id.is_empty() || draft.id == id);
        let at = match self.calls.iter().rposition(own) {
            Some(at) => at,
            None => {
                // The last takes all that is too much.
                if self.calls.len() <= MOST_CALLS {
                    self.calls.push(Draft { index, ..Draft::default() });
                }
                self.calls.len().saturating_sub(1)
            }
        };
        self.calls.get_mut(at)
    }

    fn done(&mut self) -> Step {
        let number = self.id.0;
        let mut calls: Vec<ToolCall> = Vec::new();
        let drafts = std::mem::take(&mut self.calls).into_iter().take(MOST_CALLS).enumerate();
        for (index, Draft { id, name, arguments, .. }) in drafts.filter(|(_, draft)| !draft.name.is_empty()) {
            // Ollama may give none, others the same to several.
            let is_own = !id.is_empty() && calls.iter().all(|call| call.id != id);
            let id = if is_own { id } else { format!("call-{number}-{index}") };
            calls.push(ToolCall { id, kind: "function", function: Called { name, arguments } });
        }
        Step::Done(calls)
    }
}
