//! What the server says, and what follows from it.
use super::{Caller, HEARD_WITHIN, Manners, Session};
use crate::{
    dialect::{Event, Respond, ToolCallId, Usage},
    gemini::{
        config::DOWNLINK,
        connection::Opened,
        wire::{self, Blob, Content, FunctionCall, ModalityCount, ServerMessage, Transcription, UsageMetadata},
    },
    past::{GO_ON, Next},
    pcm,
};
use media::{Audio, SampleRate, UtteranceId};
use std::time::{Duration, Instant};

/// Unknown kinds told apart; beyond it they are only counted.
const KINDS_REMEMBERED: usize = 32;
/// How long after the caller's last word another may come.
const WORDS_WITHIN: Duration = Duration::from_millis(700);
/// The longest turn of a caller that is kept, in bytes.
const LONGEST_TURN: usize = 16 << 10;

impl Session {
    /// One message, whichever kind of frame it came in.
    pub(super) fn handle_text(&mut self, text: &str, now: Instant) {
        let message = match wire::parse(text) {
            Ok(message) => message,
            Err(error) => return self.malformed(&error.to_string()),
        };
        let ServerMessage { setup_complete, content, calls, cancelled, usage, go_away, resumption, unknown } = message;
        if setup_complete {
            self.set_up(now);
        }
        if let Some(usage) = usage {
            self.events.push_back(Event::Usage(usage_of(&usage)));
        }
        if let Some(content) = content {
            self.connection.worked(now);
            self.content(content, now);
        }
        for call in calls {
            self.tool_call(call);
        }
        self.calls.cancelled(&cancelled);
        if let Some(update) = resumption {
            let handle = update.new_handle.filter(|handle| update.resumable && !handle.is_empty());
            if handle.is_some() {
                self.calls.kept();
            }
            self.connection.resumable(handle, now);
        }
        if let Some(left) = go_away {
            self.connection.go_away(left, now);
        }
        for kind in unknown {
            self.unknown(kind);
        }
    }

    pub(super) fn malformed(&mut self, what: &str) {
        self.counters.malformed = self.counters.malformed.saturating_add(1);
        self.warn(format!("not understood: {what}"));
    }

    fn unknown(&mut self, kind: String) {
        self.counters.unknown = self.counters.unknown.saturating_add(1);
        if let Some(count) = self.unknown_kinds.get_mut(&kind) {
            *count = count.saturating_add(1);
        } else if self.unknown_kinds.len() < KINDS_REMEMBERED {
            self.warn(format!("a kind of message not known here: {kind}"));
            self.unknown_kinds.insert(kind, 1);
        }
    }

    fn set_up(&mut self, now: Instant) {
        let Some(opened) = self.connection.set_up(now) else { return };
        self.outbox.open();
        match opened {
            Opened::Again => {}
            Opened::First => {
                self.events.push_back(Event::Ready);
                match self.resumed.take() {
                    Some(Next::GoOn) => return self.ask(GO_ON.to_owned(), Manners::Polite, now),
                    Some(Next::Listen) => return,
                    None => {}
                }
                if let Some(words) = &self.config.first_message {
                    let words = format!(
                        "The call begins. Say exactly the following to the caller, word for word, in the language it \
                         is written in, and nothing else:\n{words}"
                    );
                    self.ask(words, Manners::Polite, now);
                }
            }
        }
    }

    fn content(&mut self, content: Content<'_>, now: Instant) {
        if let Some(words) = content.input_transcription {
            self.caller_words(&words, now);
        }
        if content.interrupted {
            self.turns.interrupted(now);
            self.patience.interrupted();
            self.heard_by_the_server(now);
            // What of it still plays is cut by the call.
            self.events.push_back(Event::SpeechStarted);
        }
        for part in content.model_turn.into_iter().flat_map(|turn| turn.parts) {
            if let Some(blob) = part.inline_data {
                self.audio(&blob);
            }
        }
        if let Some(words) = content.output_transcription.filter(|words| !words.text.is_empty()) {
            match self.turns.words() {
                Some(utterance) => self.events.push_back(Event::AssistantText { utterance, delta: words.text }),
                None => self.stale(),
            }
        }
        if content.generation_complete {
            self.tell_words();
            if let Some(utterance) = self.turns.generated() {
                self.events.push_back(Event::UtteranceDone(utterance));
            }
        }
        if content.turn_complete {
            self.tell_words();
            self.end_turn();
            if let Some(reason) = content.turn_complete_reason.filter(|reason| is_odd(reason)) {
                self.warn(format!("the model's turn ended early: {reason}"));
            }
        }
    }

    /// The server often hears the caller before we do, and is not to be left with the beginning of what is said.
    fn heard_by_the_server(&mut self, now: Instant) {
        if self.caller == Caller::Quiet {
            self.caller = Caller::Stopped { until: now + HEARD_WITHIN };
        }
    }

    fn caller_words(&mut self, words: &Transcription, now: Instant) {
        if !words.text.is_empty() {
            let (said, until) = self.said.get_or_insert_with(|| (String::new(), now));
            *until = now + WORDS_WITHIN;
            if said.len() < LONGEST_TURN {
                said.push_str(&words.text);
            }
            // While the model speaks they are the last words of the turn that it answers.
            if self.turns.is_between() {
                self.turns.answered_by_another();
                self.patience.asked(now);
            }
        }
        if words.finished {
            self.tell_words();
        }
    }

    fn stale(&mut self) {
        self.counters.stale = self.counters.stale.saturating_add(1);
    }

    fn audio(&mut self, blob: &Blob<'_>) {
        if !blob.is_pcm() {
            return self.malformed("a part that is not PCM");
        }
        let Some(utterance) = self.turns.audio() else { return self.stale() };
        self.answered();
        let Ok(bytes) = base64_simd::STANDARD.decode_to_vec(blob.data.as_bytes()) else {
            return self.malformed("audio that is not base64");
        };
        let bytes = self.half.join(utterance, bytes);
        self.play(utterance, blob.rate_hz().and_then(SampleRate::new).unwrap_or(DOWNLINK), &bytes);
    }

    fn play(&mut self, utterance: UtteranceId, rate: SampleRate, bytes: &[u8]) {
        let frame = pcm::read(rate, bytes);
        if !frame.samples.is_empty() {
            self.events.push_back(Event::Audio { utterance, audio: Audio::Pcm(frame) });
        }
    }

    fn tool_call(&mut self, call: FunctionCall) {
        let (Some(id), Some(name)) = (call.id.filter(|id| !id.is_empty()), call.name) else {
            return self.malformed("a function call without name or id");
        };
        if self.turns.is_cut() {
            // Nobody heard it announced; without an answer some models wait for ever.
            let output = r#"{"status":"refused","reason":"the caller interrupted you"}"#;
            return self.outbox.push_control(wire::tool_response(&id, &name, output, Respond::No));
        }
        self.answered();
        self.tell_words();
        self.calls.made(id.clone(), name.clone());
        let arguments = call.args.map_or_else(|| "{}".to_owned(), |args| args.to_string());
        self.events.push_back(Event::ToolCall { id: ToolCallId(id), name, arguments });
    }
}

/// Whether a turn ended otherwise than it should.
fn is_odd(reason: &str) -> bool {
    !matches!(reason, "" | "TURN_COMPLETE_REASON_UNSPECIFIED" | "NEED_MORE_INPUT")
}

/// Splits tokens into fresh and cached, text and audio. What the server does not tell apart counts as text; thoughts
/// are billed as text that was said.
fn usage_of(usage: &UsageMetadata) -> Usage {
    let of = |counts: &[ModalityCount], modality: &str| {
        counts.iter().filter(|c| c.modality == modality).fold(0_u64, |sum, c| sum.saturating_add(c.token_count))
    };
    let (prompt, response) = (&usage.prompt_tokens_details, &usage.response_tokens_details);
    let input_audio = of(prompt, "AUDIO");
    let input_text = usage.prompt_token_count.saturating_sub(input_audio);
    let cached_audio = of(&usage.cache_tokens_details, "AUDIO").min(input_audio);
    let cached_text = usage.cached_content_token_count.saturating_sub(cached_audio).min(input_text);
    let output_text = usage.response_token_count.saturating_sub(of(response, "AUDIO"));
    Usage {
        input_text: input_text.saturating_sub(cached_text).saturating_add(usage.tool_use_prompt_token_count),
        input_audio: input_audio.saturating_sub(cached_audio),
        cached_text,
        cached_audio,
        output_text: output_text.saturating_add(usage.thoughts_token_count),
        output_audio: of(response, "AUDIO"),
        ..Usage::default()
    }
}
