//! What the server says, and what follows from it.
use super::{Phase, Session, memory_id};
use crate::{
    dialect::{Event, Failure, FailureKind, ToolCallId, Usage},
    live::{
        stream::Piece,
        wire::{self, Backend, BackendUsage, ServerEvent},
    },
    openai::{
        fault::{self, Fault},
        wire::{ErrorBody, OutputItem},
    },
    past::{GO_ON, Next},
};
use media::UtteranceId;
use std::time::{Duration, Instant};

/// Words of the caller that are followed by none for so long are all of a turn.
const SETTLED: Duration = Duration::from_secs(1);
/// Unknown kinds told apart, and delegations; beyond it they are only counted.
const REMEMBERED: usize = 32;
/// The server's audio is one stream, and it is we who make utterances of it: half a sample belongs to what comes next.
const STREAM: UtteranceId = UtteranceId(0);
/// What a model is told that wants something done, where nothing can be done.
const NOTHING_TO_CALL: &str = "There is nobody here who could do that. Tell the caller so, and go on.";

impl Session {
    /// One text frame.
    pub(super) fn handle_text(&mut self, text: &str, now: Instant) {
        let event = match wire::parse(text) {
            Ok(event) => event,
            Err(error) => return self.malformed(&error.to_string()),
        };
        match event {
            ServerEvent::Started => self.started(now),
            ServerEvent::Closed { reason, seconds } => self.closed(&reason, seconds, now),
            ServerEvent::Audio(delta) => self.audio(&delta, now),
            ServerEvent::CallerWords(delta) => {
                let mut words = self.said.take().map(|(words, _)| words).unwrap_or_default();
                words.push_str(&delta);
                self.said = Some((words, now + SETTLED));
            }
            ServerEvent::AssistantWords(delta) => self.assistant_words(delta, now),
            ServerEvent::Delegated { id, target } => {
                if target == "client" {
                    self.comment(NOTHING_TO_CALL, Some(&id));
                }
            }
            ServerEvent::Backend { delegation, event } => self.backend(&delegation, event),
            ServerEvent::Used(seconds) => {
                if let Ok(total) = Duration::try_from_secs_f64(seconds) {
                    self.used(total, Duration::ZERO);
                }
            }
            ServerEvent::Error(error) => self.error(&error, now),
            ServerEvent::Ignored => {}
            ServerEvent::Unknown { kind } => self.unknown(&kind),
        }
    }

    pub(super) fn malformed(&mut self, what: &str) {
        self.counters.malformed = self.counters.malformed.saturating_add(1);
        self.warn(format!("not understood: {what}"));
    }

    fn unknown(&mut self, kind: &str) {
        self.counters.unknown = self.counters.unknown.saturating_add(1);
        if let Some(count) = self.unknown_kinds.get_mut(kind) {
            *count = count.saturating_add(1);
        } else if self.unknown_kinds.len() < REMEMBERED {
            self.unknown_kinds.insert(kind.to_owned(), 1);
            self.warn(format!("a kind of message not known here: {kind}"));
        }
    }

    fn started(&mut self, now: Instant) {
        let Phase::AwaitingStarted { .. } = self.phase else { return };
        self.phase = Phase::Open { since: now };
        self.outbox.open();
        self.rotation.opened(now);
        if std::mem::take(&mut self.owes) {
            self.comment(GO_ON, None);
        }
        if std::mem::replace(&mut self.began, true) {
            return;
        }
        self.events.push_back(Event::Ready);
        match self.resumed.take() {
            Some(Next::GoOn) => return self.comment(GO_ON, None),
            Some(Next::Listen) => return,
            None => {}
        }
        if let Some(words) = self.config.first_message.clone() {
            self.comment(
                &format!(
                    "The call has just been answered. Say exactly the following to the caller at once, word for word, in \
                     the language it is written in, and nothing else:\n{words}"
                ),
                None,
            );
        }
    }

    fn closed(&mut self, reason: &str, seconds: Option<f64>, now: Instant) {
        if let Some(total) = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
            self.used(total, Duration::ZERO);
        }
        let kind = match reason {
            "expired" if self.rotation.has_lasted(now) => return self.follow(now),
            "expired" => FailureKind::SessionExpired,
            "content" => FailureKind::Unavailable,
            _ => FailureKind::Connection,
        };
        self.fail(Failure { kind, message: format!("the session was closed: {}", fault::redact(reason)) }, now);
    }

    fn error(&mut self, error: &ErrorBody, now: Instant) {
        let message = fault::words(error);
        let kind = match (self.phase, Fault::of(error)) {
            (Phase::Open { .. }, Fault::Fatal(kind)) => kind,
            (Phase::Open { .. }, _) => return self.warn(message),
            (Phase::Unconnected | Phase::AwaitingStarted { .. } | Phase::Over, _) => Fault::before_ready(error),
        };
        self.fail(Failure { kind, message }, now);
    }

    fn audio(&mut self, delta: &str, now: Instant) {
        let Ok(bytes) = base64_simd::STANDARD.decode_to_vec(delta.as_bytes()) else {
            return self.malformed("audio that is not base64");
        };
        if bytes.is_empty() {
            return;
        }
        self.end_utterance(now);
        let audio = self.config.format.read(bytes, STREAM, &mut self.half);
        match self.stream.take(&audio, now) {
            Piece::Open(utterance) => {
                // The model begins to answer: what the caller said before is all of it. What is told later is late.
                self.tell_words();
                self.events.push_back(Event::Audio { utterance, audio });
            }
            Piece::Play(utterance) => {
                self.rotation.stirred(now);
                self.events.push_back(Event::Audio { utterance, audio });
            }
            Piece::Silence => {}
            Piece::Stale => self.counters.stale = self.counters.stale.saturating_add(1),
        }
    }

    /// Ends the utterance that is over by now.
    pub(super) fn end_utterance(&mut self, now: Instant) {
        if let Some(utterance) = self.stream.over(now) {
            self.events.push_back(Event::UtteranceDone(utterance));
        }
    }

    fn assistant_words(&mut self, delta: String, now: Instant) {
        self.end_utterance(now);
        match self.stream.of_words(now) {
            Some(utterance) => {
                let id = memory_id(utterance);
                // Its words may come before its first sound.
                if !self.stream.is_speaking() && self.memory.words_of(&id).is_empty() {
                    self.tell_words();
                }
                self.memory.assistant(&id, &delta);
                self.events.push_back(Event::AssistantText { utterance, delta });
            }
            None => self.counters.stale = self.counters.stale.saturating_add(1),
        }
    }

    fn backend(&mut self, delegation: &str, event: Backend) {
        let number = self.delegations.get(delegation).copied().unwrap_or_default();
        let response = format!("{delegation}/{number}");
        match event {
            Backend::Item(item) => self.tool_call(&response, &item),
            Backend::Over(usage) => {
                if let Some(usage) = usage {
                    self.events.push_back(Event::Usage(usage_of(usage)));
                }
                if self.delegations.len() >= REMEMBERED {
                    self.delegations.clear();
                }
                self.delegations.insert(delegation.to_owned(), number.saturating_add(1));
                let settled = self.tools.response_over(&response);
                self.settle_tools(settled);
            }
            Backend::Other => {}
        }
    }

    fn tool_call(&mut self, response: &str, item: &OutputItem) {
        if item.kind != "function_call" {
            return;
        }
        let (Some(call_id), Some(name)) = (&item.call_id, &item.name) else {
            return self.malformed("a function call without name or call_id");
        };
        if self.tools.open(response, call_id) {
            let arguments = item.arguments.clone().unwrap_or_default();
            let (id, name) = (ToolCallId(call_id.clone()), name.clone());
            self.events.push_back(Event::ToolCall { id, name, arguments });
        }
    }
}

fn usage_of(usage: BackendUsage) -> Usage {
    let cached_text = usage.input_tokens_details.cached_tokens.min(usage.input_tokens);
    let input_text = usage.input_tokens.saturating_sub(cached_text);
    Usage { input_text, cached_text, output_text: usage.output_tokens, ..Usage::default() }
}
