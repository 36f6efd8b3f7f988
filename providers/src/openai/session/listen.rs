//! What the server says, and what follows from it.
use super::{Phase, Session};
use crate::{
    dialect::{Event, ToolCallId, Usage},
    openai::{
        fault::{self, Fault},
        response::{Created, Plan},
        wire::{
            self, AudioDelta, DoneResponse, ErrorBody, Item, OutputItem, ServerEvent, Status, TokenUsage,
            TranscriptUsage,
        },
    },
    past::{GO_ON, Next, Past, Said},
};
use media::UtteranceId;
use std::time::{Duration, Instant};

/// Unknown kinds told apart; beyond it they are only counted.
const KINDS_REMEMBERED: usize = 32;
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
            ServerEvent::SessionUpdated => self.session_updated(),
            ServerEvent::Error(error) => self.error(&error, now),
            ServerEvent::SpeechStarted => {
                self.responses.caller_started(now);
                self.events.push_back(Event::SpeechStarted);
            }
            ServerEvent::SpeechStopped => {
                self.responses.caller_stopped(now);
                self.events.push_back(Event::SpeechStopped);
            }
            ServerEvent::Transcribed(said) => {
                self.transcription_usage(said.usage.as_ref());
                let words = said.transcript.trim();
                if !words.is_empty() {
                    self.events.push_back(Event::CallerText(words.to_owned()));
                }
            }
            ServerEvent::TranscriptionFailed(error) => {
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
                    self.events.push_back(Event::AssistantText { utterance, delta: delta.delta });
                }
            }
            ServerEvent::ItemDone { response_id, item } => {
                self.responses.progress(&response_id, now);
                self.tool_call(&response_id, &item);
            }
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

    fn session_updated(&mut self) {
        let Phase::AwaitingUpdated { .. } = self.phase else { return };
        self.phase = Phase::Ready;
        self.outbox.open();
        self.events.push_back(Event::Ready);
        if let Some(past) = self.past.take() {
            return self.remember(&past);
        }
        if let Some(words) = &self.config.first_message {
            let instructions = Some(format!(
                "Say exactly the following to the caller, word for word, in the language it is written in, \
                 and nothing else:\n{words}"
            ));
            self.responses.want(Plan { instructions, ..Plan::default() });
        }
    }

    /// What another provider's conversation left becomes the beginning of this one.
    fn remember(&mut self, past: &Past) {
        for said in &past.said {
            self.tell(match said {
                Said::Caller(words) => Item::user(words),
                Said::Assistant(words) => Item::assistant(words),
            });
        }
        match past.next {
            Next::Listen => {}
            Next::GoOn => {
                self.tell(Item::system(GO_ON));
                self.responses.want(Plan::default());
            }
        }
    }

    fn error(&mut self, error: &ErrorBody, now: Instant) {
        if self.phase != Phase::Ready {
            return self.give_up(Fault::before_ready(error), fault::words(error));
        }
        let event_id = error.event_id.as_deref().unwrap_or_default();
        match Fault::of(error) {
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
            self.tool_call(&response.id, item);
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
        let audio = self.config.format.read(bytes);
        self.events.push_back(Event::Audio { utterance, audio });
    }

    /// A finished item, if it is a call; told by `response.output_item.done` and again by `response.done`.
    fn tool_call(&mut self, response_id: &str, item: &OutputItem) {
        let finished = matches!(item.status, None | Some(Status::Completed));
        if item.kind != "function_call" || !finished || self.responses.is_cut(response_id) {
            return;
        }
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
        transcribed: Duration::ZERO,
        connected: Duration::ZERO,
    }
}
