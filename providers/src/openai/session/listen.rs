//! What the server says, and what follows from it.
use super::{Phase, REMEMBERED, Session};
use crate::{
    dialect::{Event, FailureKind, Respond, ToolCallId, Usage},
    openai::{
        fault::{self, Fault},
        memory,
        response::{Created, Plan},
        wire::{
            self, AudioDelta, ClientEvent, DoneResponse, ErrorBody, Item, Outcome, OutputItem, RateLimit, ServerEvent,
            Status, TokenUsage, Transcribed, TranscriptUsage,
        },
    },
    past::{GO_ON, Next, Past},
};
use media::UtteranceId;
use std::time::{Duration, Instant};

/// Words of the past that a fresh session is told, bytes: about 8,000 tokens.
const TOLD: usize = 24_000;
/// Unknown kinds told apart; beyond it they are only counted.
const KINDS_REMEMBERED: usize = 32;
/// A server of tools may take so long; twenty seconds are no rare thing.
const WORKS_FOR: Duration = Duration::from_secs(30);
/// OpenAI counts one token for each 100 ms of the caller's audio.
const MS_PER_INPUT_AUDIO_TOKEN: u64 = 100;

impl Session {
    /// One text frame.
    pub(super) fn handle_text(&mut self, text: &str, now: Instant) {
        let event = match wire::parse(text) {
            Ok(event) => event,
            Err(error) => return self.malformed(&error.to_string()),
        };
        match event {
            ServerEvent::SessionCreated => self.session_created(),
            ServerEvent::SessionUpdated => self.session_updated(now),
            ServerEvent::Error(error) => self.error(&error, now),
            ServerEvent::SpeechStarted => {
                self.responses.caller_started(now);
                self.events.push_back(Event::SpeechStarted);
            }
            ServerEvent::SpeechStopped => {
                self.responses.caller_stopped(now);
                self.rotation.stirred(now);
                self.events.push_back(Event::SpeechStopped);
            }
            ServerEvent::Committed { item_id } => self.committed(&item_id, now),
            ServerEvent::Idle { item_id } => self.idle(item_id),
            ServerEvent::Transcribed(said) => self.transcribed(&said),
            ServerEvent::TranscriptionFailed { item_id, error } => {
                self.memory.caller(&item_id, "");
                self.warn(format!("the caller's words were not transcribed: {}", fault::words(&error)));
            }
            ServerEvent::ResponseCreated { id } => self.response_created(id, now),
            ServerEvent::ResponseDone(response) => self.response_done(&response, now),
            ServerEvent::AudioDelta(delta) => self.audio(&delta, now),
            ServerEvent::AudioDone { item_id } => {
                if let Some(utterance) = self.spoken.complete(&item_id) {
                    self.events.push_back(Event::UtteranceDone(utterance));
                }
            }
            ServerEvent::TranscriptDelta(delta) => {
                self.responses.progress(&delta.response_id, now);
                if let Some(utterance) = self.utterance(&delta.item_id, &delta.response_id) {
                    self.memory.assistant(&delta.item_id, &delta.delta);
                    self.events.push_back(Event::AssistantText { utterance, delta: delta.delta });
                }
            }
            ServerEvent::ItemAdded { response_id, item } => {
                self.responses.progress(&response_id, now);
                self.mcp_call(&response_id, &item);
            }
            ServerEvent::ItemDone { response_id, item } => {
                self.responses.progress(&response_id, now);
                self.item_done(&response_id, &item, now);
            }
            ServerEvent::McpBusy => self.responses.alive(now),
            ServerEvent::McpAnswered { item_id, outcome } => self.mcp_answered(&item_id, outcome, now),
            ServerEvent::McpToolsFailed => self.warn("a server of tools (MCP) does not tell which it has"),
            ServerEvent::RateLimits(limits) => self.rate_limits(&limits),
            ServerEvent::Ignored { response_id } => {
                if let Some(id) = response_id {
                    self.responses.progress(&id, now);
                }
            }
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
        } else if self.unknown_kinds.len() < KINDS_REMEMBERED {
            self.unknown_kinds.insert(kind.to_owned(), 1);
            self.warn(format!("a kind of message not known here: {kind}"));
        }
    }

    fn session_created(&mut self) {
        let Phase::AwaitingCreated { by } = self.phase else { return };
        self.phase = Phase::AwaitingUpdated { by };
        let event_id = self.event_id();
        self.outbox.push_setup(wire::session_update(&self.config, &event_id));
    }

    fn session_updated(&mut self, now: Instant) {
        let Phase::AwaitingUpdated { .. } = self.phase else { return };
        self.phase = Phase::Ready;
        let takes_over = self.rotation.opened(now);
        if takes_over {
            self.remember();
        }
        self.outbox.open();
        if std::mem::take(&mut self.owes) {
            self.go_on();
        }
        if takes_over {
            return;
        }
        self.events.push_back(Event::Ready);
        if let Some(past) = self.past.take() {
            return self.take_up(&past);
        }
        if let Some(words) = &self.config.first_message {
            let instructions = Some(format!(
                "Say exactly the following to the caller, word for word, in the language it is written in, \
                 and nothing else:\n{words}"
            ));
            self.responses.want(Plan { instructions, ..Plan::default() });
        }
    }

    /// What another provider's conversation left becomes the beginning of this one, and of those that follow it.
    fn take_up(&mut self, past: &Past) {
        past.said.iter().for_each(|said| self.memory.recall(said.clone()));
        self.memory.settle();
        self.remember();
        match past.next {
            Next::Listen => {}
            Next::GoOn => {
                self.tell(Item::system(GO_ON));
                self.responses.want(Plan::default());
            }
        }
    }

    /// The answer that was not begun, or not ended, is asked for again.
    fn go_on(&mut self) {
        self.tell(Item::system(super::GO_ON));
        self.responses.want(Plan::default());
    }

    /// Tells a fresh session what was said, ahead of all that waits.
    fn remember(&mut self) {
        let items = memory::items(self.memory.told(TOLD));
        let first = self.next_event.saturating_add(1);
        for (id, item) in (first..).zip(items) {
            let event_id = format!("ramal_{id}");
            self.outbox.push_setup(ClientEvent::ItemCreate { event_id: &event_id, item }.to_text());
            self.next_event = id;
        }
    }

    fn committed(&mut self, item_id: &str, now: Instant) {
        let is_silence = self.silences.iter().any(|silence| silence == item_id);
        if self.config.transcription_model.is_some() && !is_silence {
            self.memory.expect_words(item_id, now);
        }
    }

    /// The caller was silent for long: the server makes the response in which the assistant asks whether somebody is there.
    fn idle(&mut self, item_id: String) {
        self.counters.idle = self.counters.idle.saturating_add(1);
        // It may have become an item before we were told of what.
        self.memory.forget(&item_id);
        if self.silences.len() >= REMEMBERED {
            self.silences.pop_front();
        }
        self.silences.push_back(item_id);
    }

    fn transcribed(&mut self, said: &Transcribed) {
        self.transcription_usage(said.usage.as_ref());
        // A model writes down words that nobody said, of nothing but silence.
        let is_silence = self.silences.contains(&said.item_id);
        let words = if is_silence { "" } else { said.transcript.trim() };
        if !is_silence {
            self.memory.caller(&said.item_id, words);
        }
        if !words.is_empty() {
            self.events.push_back(Event::CallerText(words.to_owned()));
        }
    }

    fn rate_limits(&mut self, limits: &[RateLimit]) {
        for limit in limits.iter().filter(|limit| limit.remaining.is_some_and(|remaining| remaining <= 0.0)) {
            let seconds = limit.reset_seconds.unwrap_or_default();
            self.warn(format!("the provider's limit of {} is used up for {seconds} s", limit.name));
        }
    }

    fn error(&mut self, error: &ErrorBody, now: Instant) {
        if self.phase != Phase::Ready {
            return self.give_up(Fault::before_ready(error), fault::words(error));
        }
        let event_id = error.event_id.as_deref().unwrap_or_default();
        match Fault::of(error) {
            Fault::Fatal(FailureKind::SessionExpired) if self.rotation.has_lasted(now) => self.rotate(now),
            Fault::Fatal(kind) => self.give_up(kind, fault::words(error)),
            Fault::AlreadyActive => {
                self.counters.benign_errors = self.counters.benign_errors.saturating_add(1);
                self.responses.refused_as_active(now);
            }
            Fault::NothingToCancel => {
                self.counters.benign_errors = self.counters.benign_errors.saturating_add(1);
            }
            Fault::NothingToTruncate => {
                let truncated = self.truncations.iter().find(|(event, _)| event == event_id);
                match truncated.map(|(_, item)| item.clone()) {
                    Some(item) => self.delete(&item),
                    None => self.warn(fault::words(error)),
                }
            }
            Fault::Passing => match self.responses.refused(event_id) {
                Some(plan) => self.recover(plan, fault::words(error), now),
                None => self.warn(fault::words(error)),
            },
        }
    }

    fn response_created(&mut self, id: String, now: Instant) {
        match self.responses.created(id.clone(), now) {
            Created::Welcome => {}
            Created::Unwanted => self.cancel(&id),
        }
    }

    fn response_done(&mut self, response: &DoneResponse, now: Instant) {
        if let Some(usage) = &response.usage {
            self.events.push_back(Event::Usage(usage_of(usage)));
        }
        for item in &response.output {
            self.item_done(&response.id, item, now);
        }
        if response.status != Status::Completed {
            self.tools.give_up(&response.id);
        }
        let audible = self.spoken.is_audible(&response.id);
        self.complete_response(&response.id);
        let ended = self.responses.done(&response.id);
        let settled = self.tools.response_over(&response.id);
        self.settle_tools(settled);
        let details = response.status_details.as_ref();
        match response.status {
            Status::Completed => self.responses.succeeded(),
            Status::Cancelled | Status::InProgress | Status::Unknown => {}
            Status::Incomplete => {
                let reason = details.and_then(|details| details.reason.as_deref()).unwrap_or("no reason given");
                let why = format!("response {} is incomplete: {reason}", response.id);
                if ended.missed && !audible { self.recover(ended.plan, why, now) } else { self.warn(why) }
            }
            Status::Failed => {
                let error = details.and_then(|details| details.error.as_ref());
                let why = error.map_or_else(|| format!("response {} failed", response.id), fault::words);
                match error.map(Fault::of) {
                    Some(Fault::Fatal(kind)) => self.give_up(kind, why),
                    Some(Fault::AlreadyActive | Fault::NothingToCancel | Fault::NothingToTruncate | Fault::Passing)
                    | None => {
                        if ended.missed {
                            self.recover(ended.plan, why, now)
                        } else {
                            self.warn(why)
                        }
                    }
                }
            }
        }
    }

    /// Ends the utterances of a response that will say no more.
    pub(super) fn complete_response(&mut self, response_id: &str) {
        for utterance in self.spoken.complete_response(response_id) {
            self.events.push_back(Event::UtteranceDone(utterance));
        }
    }

    /// The utterance a delta belongs to; `None`, and counted, when the caller cut it off.
    fn utterance(&mut self, item_id: &str, response_id: &str) -> Option<UtteranceId> {
        let utterance = if self.responses.is_cut(response_id) { None } else { self.spoken.open(item_id, response_id) };
        if utterance.is_none() {
            self.counters.stale = self.counters.stale.saturating_add(1);
        }
        utterance
    }

    fn audio(&mut self, delta: &AudioDelta<'_>, now: Instant) {
        self.responses.progress(&delta.response_id, now);
        let Some(utterance) = self.utterance(&delta.item_id, &delta.response_id) else { return };
        let Ok(bytes) = base64_simd::STANDARD.decode_to_vec(delta.delta.as_bytes()) else {
            return self.malformed("audio that is not base64");
        };
        if bytes.is_empty() {
            return;
        }
        self.spoken.receive(utterance, bytes.len());
        let audio = self.config.format.read(bytes, utterance, &mut self.half);
        self.events.push_back(Event::Audio { utterance, audio });
    }

    /// A finished item; told by `response.output_item.done` and again by `response.done`.
    fn item_done(&mut self, response_id: &str, item: &OutputItem, now: Instant) {
        if self.responses.is_cut(response_id) {
            return;
        }
        match item.kind.as_str() {
            "function_call" if matches!(item.status, None | Some(Status::Completed)) => {
                self.tool_call(response_id, item);
            }
            "mcp_call" => {
                self.mcp_call(response_id, item);
                if item.error.is_some() {
                    self.mcp_answered(&item.id, Outcome::Failed, now);
                } else if item.output.is_some() {
                    self.mcp_answered(&item.id, Outcome::Completed, now);
                }
            }
            "mcp_approval_request" => self.approve(response_id, &item.id),
            _ => {}
        }
    }

    /// A call of the provider's own: like one of ours, but somebody else answers it.
    fn mcp_call(&mut self, response_id: &str, item: &OutputItem) {
        let is_call = item.kind == "mcp_call" && !item.id.is_empty() && !self.responses.is_cut(response_id);
        if is_call && self.tools.open_elsewhere(response_id, &item.id) {
            self.events.push_back(Event::Working(WORKS_FOR));
        }
    }

    /// The model has what it asked for, and is silent until it is told to speak about it.
    fn mcp_answered(&mut self, item_id: &str, outcome: Outcome, now: Instant) {
        self.responses.alive(now);
        // It is told twice, and of calls of a response that was cut, for which nobody waits.
        let Ok(settled) = self.tools.answer(item_id, Respond::Yes) else { return };
        if outcome == Outcome::Failed {
            self.warn("a call of a server of tools (MCP) failed");
        }
        self.settle_tools(settled);
    }

    /// Who set the server up said that none of its calls needs approval.
    fn approve(&mut self, response_id: &str, request: &str) {
        if request.is_empty() || !self.tools.open(response_id, request) {
            return;
        }
        self.approvals = self.approvals.saturating_add(1);
        let id = format!("approval_{}", self.approvals);
        self.tell(Item::McpApprovalResponse { id: &id, approval_request_id: request, approve: true });
        if let Ok(settled) = self.tools.answer(request, Respond::Yes) {
            self.settle_tools(settled);
        }
    }

    fn tool_call(&mut self, response_id: &str, item: &OutputItem) {
        let (Some(call_id), Some(name)) = (&item.call_id, &item.name) else {
            return self.malformed("a function call without name or call_id");
        };
        if self.tools.open(response_id, call_id) {
            let arguments = item.arguments.clone().unwrap_or_default();
            let (id, name) = (ToolCallId(call_id.clone()), name.clone());
            self.events.push_back(Event::ToolCall { id, name, arguments });
        }
    }

    fn transcription_usage(&mut self, usage: Option<&TranscriptUsage>) {
        let Some(usage) = usage else { return };
        let seconds = usage.seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let tokens = usage.input_token_details.as_ref().map_or(0, |details| details.audio_tokens);
        let transcribed =
            seconds.unwrap_or_else(|| Duration::from_millis(tokens.saturating_mul(MS_PER_INPUT_AUDIO_TOKEN)));
        if !transcribed.is_zero() {
            self.events.push_back(Event::Usage(Usage { transcribed, ..Usage::default() }));
        }
    }
}

/// Splits tokens into fresh and cached; cached ones of unknown kind are text first.
fn usage_of(usage: &TokenUsage) -> Usage {
    let input = usage.input_token_details.clone().unwrap_or_default();
    let output = usage.output_token_details.clone().unwrap_or_default();
    let (cached_text, cached_audio) = match &input.cached_tokens_details {
        Some(cached) => (cached.text_tokens.min(input.text_tokens), cached.audio_tokens.min(input.audio_tokens)),
        None => {
            let text = input.cached_tokens.min(input.text_tokens);
            (text, input.cached_tokens.saturating_sub(text).min(input.audio_tokens))
        }
    };
    Usage {
        input_text: input.text_tokens.saturating_sub(cached_text),
        input_audio: input.audio_tokens.saturating_sub(cached_audio),
        cached_text,
        cached_audio,
        output_text: output.text_tokens,
        output_audio: output.audio_tokens,
        ..Usage::default()
    }
}
