//! Responses: created, delivered faster than they can be played, completed, cancelled or failed.
use super::{
    super::script::{Reply, ScriptedMcp},
    Core,
};
use crate::lab::script::{Say, ScriptedCall};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// One token is 50 ms of the assistant.
const MS_PER_OUTPUT_TOKEN: u64 = 50;
/// One token is 100 ms of the caller.
const MS_PER_INPUT_TOKEN: u64 = 100;
/// Characters in a token of text, about.
const CHARACTERS_PER_TOKEN: u64 = 4;
/// Of a message's audio, what is sent while its words still come: text runs ahead of audio.
const WORDS_WITHIN_PERCENT: usize = 60;

/// The response in progress.
#[derive(Debug)]
pub(super) struct Active {
    id: String,
    /// What is still to be sent, and when.
    beats: VecDeque<(Instant, Beat)>,
    message: Option<Message>,
    output: Vec<Value>,
    spoken_ms: u64,
    words: String,
}

#[derive(Debug)]
struct Message {
    item_id: String,
    output_index: usize,
    transcript: String,
}

#[derive(Debug)]
enum Beat {
    Open,
    Delta { words: String, audio: Vec<u8>, ms: u64 },
    CloseMessage,
    Call(ScriptedCall),
    Mcp(ScriptedMcp),
    McpDone { call: ScriptedMcp, item_id: String, output_index: usize },
    Complete,
    Fail { status: String, details: Value },
}

impl Core {
    /// When the response in progress goes on.
    pub(super) fn next_beat(&self) -> Option<Instant> {
        self.active.as_ref()?.beats.front().map(|(at, _)| *at)
    }

    pub(super) fn is_responding(&self) -> bool {
        self.active.is_some()
    }

    pub(super) fn respond_to_client(&mut self, instructions: Option<&str>, event_id: Option<&str>, now: Instant) {
        if self.refuse_second(event_id) {
            return;
        }
        let reply = match instructions {
            Some(words) if !self.greeted => {
                self.greeted = true;
                self.script.greeting.clone().unwrap_or_else(|| obey(words))
            }
            Some(words) => obey(words),
            None => self.next_reply(),
        };
        self.respond(reply, now);
    }

    /// After the caller's turn. With `interrupt_response: false` a response may be in the way.
    pub(super) fn respond_by_itself(&mut self, now: Instant) {
        if !self.refuse_second(None) {
            let reply = self.next_reply();
            self.respond(reply, now);
        }
    }

    fn refuse_second(&mut self, event_id: Option<&str>) -> bool {
        let Some(active) = &self.active else { return false };
        let words = format!(
            "Conversation already has an active response in progress: {}. Wait until the response is finished before \
             creating a new one.",
            active.id
        );
        let event_id = event_id.filter(|_| !self.script.anonymous_errors);
        self.error("conversation_already_has_active_response", &words, event_id, None);
        true
    }

    fn next_reply(&mut self) -> Reply {
        let replies = &self.script.replies;
        let reply = replies.get(self.replies).or(replies.last()).cloned();
        self.replies += 1;
        reply.unwrap_or_else(|| Reply::words("I am a simulated model. I have nothing to say."))
    }

    pub(super) fn respond(&mut self, reply: Reply, now: Instant) {
        self.stirred += 1;
        let id = self.id("resp");
        let beats = self.plan(reply, now);
        let response = self.response(&id, "in_progress", &Value::Null, &[], &Value::Null);
        self.send("response.created", json!({ "response": response }));
        let (output, words) = (Vec::new(), String::new());
        self.active = Some(Active { id, beats, message: None, output, spoken_ms: 0, words });
    }

    /// Everything a reply will send, with its times.
    fn plan(&self, reply: Reply, now: Instant) -> VecDeque<(Instant, Beat)> {
        let mut beats = VecDeque::new();
        if reply.stall {
            return beats;
        }
        let burst = reply.burst.unwrap_or(self.script.burst).max(0.01);
        let delay = Duration::from_millis(reply.first_audio_ms.unwrap_or(self.script.first_audio_ms));
        let mut at = now + delay;
        let failing = reply.fail.as_ref();
        let limit_ms = failing.map_or(u64::MAX, |fail| fail.after_ms);
        if let Some(say) = reply.say.as_ref().filter(|_| limit_ms > 0) {
            let say = self.hearing.answer(say);
            let transcript = reply.transcript.clone().unwrap_or_else(|| say.transcript());
            beats.push_back((at, Beat::Open));
            for (words, audio, ms) in self.deltas(&say, &transcript, limit_ms) {
                let lasts = Duration::from_millis(ms).div_f64(burst);
                beats.push_back((at, Beat::Delta { words, audio, ms }));
                at += lasts;
            }
            beats.push_back((at, Beat::CloseMessage));
        }
        beats.extend(reply.calls.into_iter().map(|call| (at, Beat::Call(call))));
        for call in reply.mcp {
            let takes = Duration::from_millis(call.takes_ms);
            beats.push_back((at, Beat::Mcp(call)));
            at += takes;
        }
        let last = match reply.fail {
            None => Beat::Complete,
            Some(fail) if fail.status == "incomplete" => {
                Beat::Fail { details: json!({"type": "incomplete", "reason": fail.reason}), status: fail.status }
            }
            Some(fail) => {
                let error = json!({"type": "server_error", "code": fail.code, "message": fail.message});
                Beat::Fail { details: json!({"type": "failed", "error": error}), status: fail.status }
            }
        };
        beats.push_back((at, last));
        beats
    }

    /// Words, audio and milliseconds of each delta; the words are all out well before the audio.
    fn deltas(&self, say: &Say, transcript: &str, limit_ms: u64) -> Vec<(String, Vec<u8>, u64)> {
        let format = self.settings.output();
        let mut audio = format.encode(&self.voice.render(say, format.rate()));
        let limit = usize::try_from(limit_ms).unwrap_or(usize::MAX).saturating_mul(format.bytes_per_ms());
        audio.truncate(limit);
        let size = (self.script.delta_ms.max(10) as usize) * format.bytes_per_ms();
        let chunks: Vec<_> = audio.chunks(size).collect();
        let carriers = (chunks.len() * WORDS_WITHIN_PERCENT).div_ceil(100).max(1);
        let words: Vec<_> = transcript.split_inclusive(' ').collect();
        let share = words.len().div_ceil(carriers).max(1);
        let mut words = words.chunks(share).map(|words| words.concat());
        chunks
            .into_iter()
            .map(|chunk| {
                (words.next().unwrap_or_default(), chunk.to_vec(), (chunk.len() / format.bytes_per_ms()) as u64)
            })
            .collect()
    }

    /// Sends what is due at this instant.
    pub(super) fn beat(&mut self, at: Instant) {
        let Some(active) = &mut self.active else { return };
        let Some((_, beat)) = active.beats.pop_front_if(|(due, _)| *due <= at) else { return };
        match beat {
            Beat::Open => self.open_message(),
            Beat::Delta { words, audio, ms } => self.delta(&words, &audio, ms),
            Beat::CloseMessage => self.close_message("completed"),
            Beat::Call(call) => self.call(&call),
            Beat::Mcp(call) => self.begin_mcp(call, at),
            Beat::McpDone { call, item_id, output_index } => self.end_mcp(&call, &item_id, output_index),
            Beat::Complete => {
                let spoken_ms = active.spoken_ms;
                self.finish("completed", &Value::Null);
                self.await_caller(spoken_ms, at);
            }
            Beat::Fail { status, details } => {
                self.close_message("incomplete");
                self.finish(&status, &details);
            }
        }
    }

    fn open_message(&mut self) {
        let item_id = self.id("item");
        let Some(active) = &mut self.active else { return };
        let (response_id, output_index) = (active.id.clone(), active.output.len());
        active.message = Some(Message { item_id: item_id.clone(), output_index, transcript: String::new() });
        let item = message(&item_id, "in_progress", None);
        let fields = json!({"response_id": response_id, "output_index": output_index, "item": item});
        self.send("response.output_item.added", fields);
        self.add_item(item);
        let fields = json!({"response_id": response_id, "item_id": item_id, "output_index": output_index,
            "content_index": 0, "part": {"type": "audio", "transcript": ""}});
        self.send("response.content_part.added", fields);
    }

    fn delta(&mut self, words: &str, audio: &[u8], ms: u64) {
        let Some(active) = &mut self.active else { return };
        active.spoken_ms += ms;
        active.words.push_str(words);
        let response_id = active.id.clone();
        let Some(message) = &mut active.message else { return };
        message.transcript.push_str(words);
        let (item_id, output_index) = (message.item_id.clone(), message.output_index);
        let fields = |delta: &str| {
            json!({"response_id": response_id, "item_id": item_id, "output_index": output_index, "content_index": 0,
                "delta": delta})
        };
        if !words.is_empty() {
            self.send("response.output_audio_transcript.delta", fields(words));
        }
        self.send("response.output_audio.delta", fields(&base64_simd::STANDARD.encode_to_string(audio)));
        self.spoke(&item_id, ms);
    }

    fn close_message(&mut self, status: &str) {
        let Some(active) = &mut self.active else { return };
        let Some(Message { item_id, output_index, transcript }) = active.message.take() else { return };
        let item = message(&item_id, status, Some(&transcript));
        active.output.push(item.clone());
        let at = json!({"response_id": active.id, "item_id": item_id, "output_index": output_index,
            "content_index": 0});
        self.send("response.output_audio.done", at.clone());
        self.send("response.output_audio_transcript.done", with(&at, "transcript", json!(transcript)));
        let part = json!({"type": "audio", "transcript": transcript});
        self.send("response.content_part.done", with(&at, "part", part));
        self.finish_item(&item);
        let response_id = at.get("response_id");
        let fields = json!({"response_id": response_id, "output_index": output_index, "item": item});
        self.send("response.output_item.done", fields);
    }

    fn call(&mut self, call: &ScriptedCall) {
        let (item_id, call_id) = (self.id("item"), self.id("call"));
        let Some(active) = &mut self.active else { return };
        let (response_id, output_index) = (active.id.clone(), active.output.len());
        let arguments = if call.arguments.is_null() { "{}".to_owned() } else { call.arguments.to_string() };
        let item = |status: &str, arguments: &str| {
            json!({"id": item_id, "object": "realtime.item", "type": "function_call", "status": status,
                "name": call.name, "call_id": call_id, "arguments": arguments})
        };
        let done = item("completed", &arguments);
        active.output.push(done.clone());
        let added = item("in_progress", "");
        let fields = json!({"response_id": response_id, "output_index": output_index, "item": added});
        self.send("response.output_item.added", fields);
        self.add_item(added);
        let at = json!({"response_id": response_id, "item_id": item_id, "output_index": output_index,
            "call_id": call_id});
        self.send("response.function_call_arguments.delta", with(&at, "delta", json!(arguments)));
        let named = with(&at, "name", json!(call.name));
        self.send("response.function_call_arguments.done", with(&named, "arguments", json!(arguments)));
        self.finish_item(&done);
        let fields = json!({"response_id": response_id, "output_index": output_index, "item": done});
        self.send("response.output_item.done", fields);
    }

    fn begin_mcp(&mut self, call: ScriptedMcp, at: Instant) {
        let item_id = self.id("mcp");
        let Some(active) = &mut self.active else { return };
        let (response_id, output_index) = (active.id.clone(), active.output.len());
        let ends = at + Duration::from_millis(call.takes_ms);
        let done = Beat::McpDone { call: call.clone(), item_id: item_id.clone(), output_index };
        active.beats.push_front((ends, done));
        self.mcp_begins(&call, &item_id, &response_id, output_index);
    }

    fn end_mcp(&mut self, call: &ScriptedMcp, item_id: &str, output_index: usize) {
        let Some(response_id) = self.active.as_ref().map(|active| active.id.clone()) else { return };
        let item = self.mcp_ends(call, item_id, &response_id, output_index);
        if let Some(active) = &mut self.active {
            active.output.push(item);
        }
    }

    fn finish(&mut self, status: &str, details: &Value) {
        let Some(active) = self.active.take() else { return };
        let usage = self.usage(&active);
        let response = self.response(&active.id, status, details, &active.output, &usage);
        self.send("response.done", json!({ "response": response }));
        let limits = json!([{"name": "tokens", "limit": 40_000, "remaining": 39_000, "reset_seconds": 0.5}]);
        self.send("rate_limits.updated", json!({ "rate_limits": limits }));
    }

    pub(super) fn cancel_by_client(&mut self, response_id: Option<&str>, event_id: Option<&str>) {
        if self.script.ignore_cancel {
            return;
        }
        let matching = self.active.as_ref().is_some_and(|active| response_id.is_none_or(|id| id == active.id));
        if !matching {
            let words = "Cancellation failed: no active response found";
            let event_id = event_id.filter(|_| !self.script.anonymous_errors);
            return self.error("response_cancel_not_active", words, event_id, None);
        }
        self.cancel("client_cancelled");
    }

    pub(super) fn cancel_for_speech(&mut self) {
        if !self.script.ignore_cancel {
            self.cancel("turn_detected");
        }
    }

    fn cancel(&mut self, reason: &str) {
        for _ in 0..self.script.stale_deltas {
            let Some(active) = &mut self.active else { return };
            if active.message.is_none() {
                break;
            }
            let delta = active.beats.pop_front_if(|(_, beat)| matches!(beat, Beat::Delta { .. }));
            if let Some((_, Beat::Delta { words, audio, ms })) = delta {
                self.delta(&words, &audio, ms);
            }
        }
        self.close_message("incomplete");
        self.finish("cancelled", &json!({"type": "cancelled", "reason": reason}));
    }

    fn response(&self, id: &str, status: &str, details: &Value, output: &[Value], usage: &Value) -> Value {
        let session = self.settings.session();
        json!({"id": id, "object": "realtime.response", "status": status, "status_details": details, "output": output,
            "conversation_id": format!("conv_c{}", self.connection), "output_modalities": ["audio"],
            "max_output_tokens": "inf", "usage": usage, "metadata": null,
            "audio": {"output": {"format": session.pointer("/audio/output/format"),
                "voice": session.pointer("/audio/output/voice")}}})
    }

    /// The whole conversation is billed again with each response, mostly as cached.
    fn usage(&mut self, active: &Active) -> Value {
        let audio = self.hearing.heard_ms() / MS_PER_INPUT_TOKEN + self.conversation.spoken_ms() / MS_PER_OUTPUT_TOKEN;
        let text = self.conversation.characters() / CHARACTERS_PER_TOKEN;
        let (cached_text, cached_audio) = (self.cached.0.min(text), self.cached.1.min(audio));
        self.cached = (text, audio);
        let said = active.spoken_ms / MS_PER_OUTPUT_TOKEN;
        let written = active.words.len() as u64 / CHARACTERS_PER_TOKEN;
        json!({
            "total_tokens": text + audio + said + written, "input_tokens": text + audio,
            "output_tokens": said + written,
            "input_token_details": {"text_tokens": text, "audio_tokens": audio, "image_tokens": 0,
                "cached_tokens": cached_text + cached_audio,
                "cached_tokens_details":
                    {"text_tokens": cached_text, "audio_tokens": cached_audio, "image_tokens": 0}},
            "output_token_details": {"text_tokens": written, "audio_tokens": said},
        })
    }
}

/// What a model says that was told to say something word for word: what follows the first line.
fn obey(instructions: &str) -> Reply {
    Reply::words(instructions.split_once('\n').map_or(instructions, |(_, words)| words))
}

fn message(item_id: &str, status: &str, transcript: Option<&str>) -> Value {
    let content = transcript.map_or_else(Vec::new, |words| vec![json!({"type": "output_audio", "transcript": words})]);
    json!({"id": item_id, "object": "realtime.item", "type": "message", "status": status, "role": "assistant",
        "content": content})
}

fn with(fields: &Value, key: &str, value: Value) -> Value {
    let mut fields = fields.clone();
    if let Value::Object(fields) = &mut fields {
        fields.insert(key.to_owned(), value);
    }
    fields
}
