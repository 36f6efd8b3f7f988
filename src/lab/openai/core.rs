//! One connection of the simulated server, without a socket and without a clock.
mod conversation;
mod hear;
mod idle;
mod mcp;
mod settings;
mod speak;

use self::{conversation::Conversation, settings::Settings, speak::Active};
use super::{
    schema,
    script::{Faults, Script},
};
use crate::lab::{hearing::Hearing, server::Departure, voice::Voice};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// What the upgrade said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handshake {
    /// `model` of the query.
    pub model: Option<String>,
    /// The header `OpenAI-Beta` was there.
    pub beta: bool,
}

/// Something that will happen whatever the client does.
#[derive(Clone, Debug)]
enum Task {
    Transcribe {
        item_id: String,
        text: String,
        speech_ms: u64,
    },
    /// The caller has been silent since this many things happened.
    Idle(u64),
    Message(String),
    Quota,
    Expire,
    Close,
    Drop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    Closed,
}

/// One simulated session.
#[derive(Debug)]
pub struct Core {
    script: Arc<Script>,
    voice: Arc<Voice>,
    /// Tells the ids of one connection from those of another.
    connection: u64,
    phase: Phase,
    departures: VecDeque<Departure>,
    /// By time, then in order of scheduling.
    agenda: BTreeMap<(Instant, u64), Task>,
    ids: u64,
    settings: Settings,
    conversation: Conversation,
    hearing: Hearing,
    /// The item the caller's current turn will become.
    turn_item: Option<String>,
    turns: usize,
    active: Option<Active>,
    replies: usize,
    /// Turns and responses so far.
    stirred: u64,
    greeted: bool,
    /// Tokens of the previous response's input: the next finds them cached.
    cached: (u64, u64),
}

impl Core {
    /// A connection that was just upgraded.
    pub fn new(script: Arc<Script>, voice: Arc<Voice>, connection: u64, handshake: &Handshake, now: Instant) -> Self {
        let model = handshake.model.clone().unwrap_or_default();
        let mut core = Self {
            script,
            voice,
            connection,
            phase: Phase::Open,
            departures: VecDeque::new(),
            agenda: BTreeMap::new(),
            ids: 0,
            settings: Settings::new(&model, connection),
            conversation: Conversation::default(),
            hearing: Hearing::default(),
            turn_item: None,
            turns: 0,
            active: None,
            replies: 0,
            stirred: 0,
            greeted: false,
            cached: (0, 0),
        };
        core.open(handshake, now);
        core
    }

    fn open(&mut self, handshake: &Handshake, now: Instant) {
        if handshake.beta {
            let words = "The Realtime Beta API is no longer supported. Please use /v1/realtime for the GA API.";
            self.error("beta_api_shape_disabled", words, None, None);
            return self.close(4000, "invalid_request_error.beta_api_shape_disabled");
        }
        match &handshake.model {
            None => {
                self.error("missing_model", "You must provide a model parameter.", None, Some("model"));
                return self.close(4000, "invalid_request_error.missing_model");
            }
            Some(model) if model.starts_with("gpt-live") => {
                let words = format!("Model \"{model}\" is only available on the Live API.");
                self.error("invalid_model", &words, None, Some("model"));
                return self.close(4000, "invalid_request_error.invalid_model");
            }
            Some(_) => {}
        }
        self.schedule_faults(now);
        if !self.script.faults.mute {
            self.send("session.created", json!({"session": self.settings.session()}));
        }
    }

    fn schedule_faults(&mut self, now: Instant) {
        let script = Arc::clone(&self.script);
        let Faults { quota_after_ms, expire_after_ms, close_after_ms, drop_after_ms, messages, .. } = &script.faults;
        let faults = [
            (*quota_after_ms, Task::Quota),
            (*expire_after_ms, Task::Expire),
            (*close_after_ms, Task::Close),
            (*drop_after_ms, Task::Drop),
        ];
        for (after_ms, task) in faults {
            if let Some(ms) = after_ms {
                self.schedule(now + Duration::from_millis(ms), task);
            }
        }
        for message in messages {
            self.schedule(now + Duration::from_millis(message.after_ms), Task::Message(message.text.clone()));
        }
    }

    /// A text frame of the client.
    pub fn handle_text(&mut self, text: &str, now: Instant) {
        if self.phase == Phase::Closed || self.script.faults.mute {
            return;
        }
        let Ok(event) = serde_json::from_str::<Value>(text) else {
            return self.error("invalid_event", "The message is not valid JSON.", None, None);
        };
        let event_id = event.get("event_id").and_then(Value::as_str).map(str::to_owned);
        if let Err(refusal) = schema::check(&event) {
            return self.error(refusal.code, &refusal.message, event_id.as_deref(), Some(&refusal.param));
        }
        let word = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default();
        match word("type") {
            "session.update" => self.update(event.get("session").unwrap_or(&Value::Null), event_id.as_deref()),
            "input_audio_buffer.append" => self.append(word("audio"), event_id.as_deref(), now),
            "input_audio_buffer.commit" => self.commit_by_client(event_id.as_deref(), now),
            "input_audio_buffer.clear" => self.clear(),
            "conversation.item.create" => self.create_item(&event, event_id.as_deref()),
            "conversation.item.retrieve" => self.retrieve(word("item_id"), event_id.as_deref()),
            "conversation.item.delete" => self.delete(word("item_id"), event_id.as_deref()),
            "conversation.item.truncate" => {
                let end_ms = event.get("audio_end_ms").and_then(Value::as_u64).unwrap_or_default();
                self.truncate(word("item_id"), end_ms, event_id.as_deref());
            }
            "response.create" => {
                let instructions = event.pointer("/response/instructions").and_then(Value::as_str);
                self.respond_to_client(instructions, event_id.as_deref(), now);
            }
            "response.cancel" => {
                let id = event.get("response_id").and_then(Value::as_str);
                self.cancel_by_client(id, event_id.as_deref());
            }
            other => debug_assert!(false, "the schema let {other} through"),
        }
    }

    /// Advances time.
    pub fn handle_timeout(&mut self, now: Instant) {
        while self.phase == Phase::Open {
            let task_at = self.agenda.first_key_value().map(|((at, _), _)| *at).filter(|at| *at <= now);
            let beat_at = self.next_beat().filter(|at| *at <= now);
            match (task_at, beat_at) {
                (None, None) => return,
                (Some(task), Some(beat)) if task > beat => self.beat(beat),
                (None, Some(beat)) => self.beat(beat),
                (Some(_), _) => {
                    if let Some(((at, _), task)) = self.agenda.pop_first() {
                        self.perform(task, at);
                    }
                }
            }
        }
    }

    /// When `handle_timeout` is next wanted, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        if self.phase == Phase::Closed {
            return None;
        }
        let task = self.agenda.first_key_value().map(|((at, _), _)| (*at, "scheduled"));
        let beat = self.next_beat().map(|at| (at, "response"));
        [task, beat].into_iter().flatten().min()
    }

    /// The next thing to send.
    pub fn poll_departure(&mut self) -> Option<Departure> {
        self.departures.pop_front()
    }

    fn perform(&mut self, task: Task, at: Instant) {
        match task {
            Task::Idle(stirred) => self.idle(stirred, at),
            Task::Transcribe { item_id, text, speech_ms } => self.transcribed(&item_id, &text, speech_ms),
            Task::Message(text) => {
                self.departures.push_back(Departure::Message { kind: "scripted".into(), text });
            }
            Task::Quota => {
                let words = "You exceeded your current quota, please check your plan and billing details.";
                self.typed_error("insufficient_quota", "insufficient_quota", words, None, None);
                self.close(1000, "");
            }
            Task::Expire => {
                let words = "Your session hit the maximum duration of 60 minutes.";
                self.error("session_expired", words, None, None);
                self.close(1001, words);
            }
            Task::Close => {
                let (code, reason) = (self.script.faults.close_code, self.script.faults.close_reason.clone());
                self.close(code, &reason);
            }
            Task::Drop => {
                self.phase = Phase::Closed;
                self.departures.push_back(Departure::Drop);
            }
        }
    }

    fn schedule(&mut self, at: Instant, task: Task) {
        self.ids += 1;
        self.agenda.insert((at, self.ids), task);
    }

    fn close(&mut self, code: u16, reason: &str) {
        self.phase = Phase::Closed;
        self.departures.push_back(Departure::Close(code, reason.to_owned()));
    }

    /// A new id: `item_c1_7` is the seventh of connection 1.
    fn id(&mut self, prefix: &str) -> String {
        self.ids += 1;
        format!("{prefix}_c{}_{}", self.connection, self.ids)
    }

    /// Sends an event with these fields beside `type` and `event_id`.
    fn send(&mut self, kind: &str, fields: Value) {
        let mut event = Map::new();
        event.insert("type".into(), kind.into());
        event.insert("event_id".into(), self.id("event").into());
        if let Value::Object(fields) = fields {
            event.extend(fields);
        }
        let text = Value::Object(event).to_string();
        self.departures.push_back(Departure::Message { kind: kind.to_owned(), text });
    }

    fn error(&mut self, code: &str, message: &str, event_id: Option<&str>, param: Option<&str>) {
        self.typed_error("invalid_request_error", code, message, event_id, param);
    }

    fn typed_error(&mut self, kind: &str, code: &str, message: &str, event_id: Option<&str>, param: Option<&str>) {
        let error = json!({"type": kind, "code": code, "message": message, "param": param, "event_id": event_id});
        self.send("error", json!({ "error": error }));
    }
}

#[cfg(test)]
impl Core {
    /// The session object, for tests that nothing changed it.
    pub(super) fn settings_for_tests(&self) -> Value {
        self.settings.session().clone()
    }
}
