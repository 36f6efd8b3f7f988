//! What the server says, and what follows from it.
use super::{Caller, Owner, Phase, Session, limits};
use crate::{
    dialect::{Event, Failure, FailureKind, ToolCallId},
    elevenlabs::{
        config::Format,
        fault::{self, Talked},
        wire::{self, AudioChunk, ClientEvent, Metadata, ServerEvent},
    },
};
use std::time::Instant;

/// Unknown kinds told apart; beyond it they are only counted.
const KINDS_REMEMBERED: usize = 32;
/// The server is surer than this that it hears speech.
const SPEECH: f64 = 0.5;
/// What a server that does not say hears.
const UNSAID: &str = "pcm_16000";

impl Session {
    /// One text frame.
    pub(super) fn handle_text(&mut self, text: &str, now: Instant) {
        let event = match wire::parse(text) {
            Ok(event) => event,
            Err(error) => return self.malformed(&error.to_string()),
        };
        match event {
            ServerEvent::Metadata(metadata) => self.metadata(&metadata, now),
            ServerEvent::Audio(chunk) => self.audio(&chunk, now),
            ServerEvent::AgentText(text) => self.agent_text(text.trim()),
            ServerEvent::AgentDone => self.agent_done(),
            ServerEvent::Correction { original, corrected } => {
                if let Some((utterance, text)) = self.spoken.corrected(&original, &corrected) {
                    self.events.push_back(Event::AssistantHeard { utterance, text });
                }
            }
            ServerEvent::CallerText(words) => self.caller_text(words.trim()),
            ServerEvent::Interruption { event_id } => {
                let unfinished = self.spoken.interrupted(event_id);
                self.events.push_back(Event::SpeechStarted);
                // Of a goodbye, which the call does not cut, what came is heard to its end.
                self.events.extend(unfinished.map(Event::UtteranceDone));
            }
            ServerEvent::VadScore(score) => self.vad_score(score),
            ServerEvent::Ping { event_id } => {
                self.outbox.push_control(ClientEvent::Pong { event_id }.to_text());
            }
            ServerEvent::ToolCall { id, name, arguments } => self.tool_call(id, name, arguments, Owner::Client),
            ServerEvent::ToolRan { id, name, failed: false } if name == "end_call" => {
                self.agent_done();
                self.tool_call(id, name, "{}".to_owned(), Owner::Provider);
            }
            ServerEvent::ToolRan { .. } | ServerEvent::Ignored => {}
            ServerEvent::Error(error) => self.fail(fault::of_error(&error), now),
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

    /// The formats are those of the agent, whatever the call would have liked.
    fn metadata(&mut self, metadata: &Metadata, now: Instant) {
        let Phase::AwaitingMetadata { .. } = self.phase else { return };
        let input = metadata.user_input_audio_format.as_deref().unwrap_or(UNSAID);
        let output = metadata.agent_output_audio_format.as_deref().unwrap_or(UNSAID);
        let (Some(hears), Some(speaks)) = (Format::parse(input), Format::parse(output)) else {
            let message = format!(
                "the agent hears {input} and speaks {output}, and Ramal has only ulaw_8000 and pcm_8000 to pcm_48000: \
                 set the agent up with one of those"
            );
            return self.fail(Failure { kind: FailureKind::Protocol, message }, now);
        };
        if hears != self.input {
            self.outbox.resize(limits(&self.config, hears));
        }
        (self.input, self.output) = (hears, speaks);
        self.phase = Phase::Ready { stirs_at: None };
        self.outbox.open();
        let receipt = metadata.conversation_id.as_deref().and_then(|conversation| self.receipt(conversation));
        self.events.extend(receipt.map(Event::Receipt));
        self.events.push_back(Event::Ready);
        if let Some(past) = self.past.take() {
            self.remember(&past);
        }
    }

    fn audio(&mut self, chunk: &AudioChunk<'_>, now: Instant) {
        let Phase::Ready { .. } = self.phase else { return self.malformed("audio before the conversation began") };
        let Ok(bytes) = base64_simd::STANDARD.decode_to_vec(chunk.audio_base_64.as_bytes()) else {
            return self.malformed("audio that is not base64");
        };
        if bytes.is_empty() {
            return;
        }
        let duration = self.output.duration_of(bytes.len());
        match self.spoken.audio(chunk.event_id, duration, now) {
            Some(utterance) => {
                let audio = self.output.read(bytes, utterance, &mut self.half);
                self.events.push_back(Event::Audio { utterance, audio });
            }
            None => self.counters.stale = self.counters.stale.saturating_add(1),
        }
    }

    /// What the agent was saying is complete, also where it says so by hanging up.
    pub(super) fn agent_done(&mut self) {
        if let Some(utterance) = self.spoken.complete() {
            self.events.push_back(Event::UtteranceDone(utterance));
        }
    }

    fn agent_text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let Some(worded) = self.spoken.words(text) else {
            self.counters.stale = self.counters.stale.saturating_add(1);
            return;
        };
        if let Some(over) = worded.over {
            self.events.push_back(Event::UtteranceDone(over));
        }
        let (utterance, delta) = (worded.utterance, worded.delta);
        self.events.push_back(Event::AssistantText { utterance, delta });
    }

    fn caller_text(&mut self, words: &str) {
        self.spoken.caller_spoke();
        if std::mem::take(&mut self.caller) != Caller::Stopped {
            self.events.push_back(Event::SpeechStopped);
        }
        if !words.is_empty() {
            self.talked = Talked::Yes;
            self.events.push_back(Event::CallerText(words.to_owned()));
        }
    }

    /// A score is no interruption: the server says `interruption` when it has decided.
    fn vad_score(&mut self, score: f64) {
        match (self.caller, score > SPEECH) {
            (Caller::Quiet | Caller::Stopped, true) => self.caller = Caller::Speaking,
            (Caller::Speaking, false) => {
                self.caller = Caller::Stopped;
                self.events.push_back(Event::SpeechStopped);
            }
            (Caller::Speaking, true) | (Caller::Quiet | Caller::Stopped, false) => {}
        }
    }

    fn tool_call(&mut self, id: String, name: String, arguments: String, owner: Owner) {
        if self.tools.open(&id, owner) {
            self.events.push_back(Event::ToolCall { id: ToolCallId(id), name, arguments });
        }
    }
}
