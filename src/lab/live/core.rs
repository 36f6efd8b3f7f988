//! One connection of the simulated server, without a socket and without a clock.
mod speak;

use self::speak::Speaking;
use super::{
    schema,
    script::{Faults, Script},
};
use crate::lab::{
    hearing::{Detection, Hearing, Noticed},
    server::Departure,
    voice::Voice,
};
use media::{Law, SampleRate, codec::g711};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// How it hears; nobody may set it.
const DETECTION: Detection = Detection { threshold: 0.5, prefix_ms: 0, silence_ms: 500, create: true, interrupt: true };
/// How often it tells what was used.
const USAGE: Duration = Duration::from_secs(15);

#[derive(Clone, Debug)]
enum Task {
    /// The model stops this speech, if it still is at it.
    Yield(u64),
    Usage,
    /// More of what the caller said, at these milliseconds of the session.
    Words {
        words: String,
        start_ms: u64,
        end_ms: u64,
    },
    Message(String),
    Quota,
    Expire,
    Close,
    Drop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Open { since: Instant },
    Closed,
}

/// An audio format of the session.
#[derive(Clone, Copy, Debug)]
enum Format {
    Pcm(SampleRate),
    G711(Law),
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
    agenda: BTreeMap<(Instant, u64), Task>,
    ids: u64,
    session: Value,
    format: Format,
    hearing: Hearing,
    turns: usize,
    replies: usize,
    greeted: bool,
    /// Speeches so far.
    speeches: u64,
    speaking: Option<Speaking>,
}

impl Core {
    /// A connection that was just upgraded.
    pub fn new(script: Arc<Script>, voice: Arc<Voice>, connection: u64, now: Instant) -> Self {
        let mut core = Self {
            script,
            voice,
            connection,
            phase: Phase::Starting,
            departures: VecDeque::new(),
            agenda: BTreeMap::new(),
            ids: 0,
            session: Value::Null,
            format: Format::Pcm(SampleRate::HZ_24000),
            hearing: Hearing::default(),
            turns: 0,
            replies: 0,
            greeted: false,
            speeches: 0,
            speaking: None,
        };
        core.schedule_faults(now);
        core
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
        let messages = messages.iter().map(|message| (Some(message.after_ms), Task::Message(message.text.clone())));
        for (after_ms, task) in faults.into_iter().chain(messages) {
            if let Some(ms) = after_ms {
                self.schedule(now + Duration::from_millis(ms), task);
            }
        }
    }

    /// A text frame of the client.
    pub fn handle_text(&mut self, text: &str, now: Instant) {
        if self.phase == Phase::Closed || self.script.faults.mute {
            return;
        }
        let Ok(event) = serde_json::from_str::<Value>(text) else {
            return self.error("invalid_event", "The message is not valid JSON.", None);
        };
        let word = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default();
        if let Err(refusal) = schema::check(&event) {
            return self.error(refusal.code, &refusal.message, Some(word("event_id")));
        }
        match (self.phase, word("type")) {
            (Phase::Starting, "session.start") => self.start(&event, now),
            (Phase::Starting, _) => {
                self.error("session_not_started", "The first message must be session.start.", Some(word("event_id")));
            }
            (_, "session.start") => {
                self.error("session_already_started", "The session has started.", Some(word("event_id")));
            }
            (_, "session.input_audio.append") => self.hear(word("audio"), now),
            (_, "session.commentary.append") => {
                self.appended("commentary", now);
                self.say_for_client(word("content"), now);
            }
            (_, "session.instructions.append") => {
                self.appended("instructions", now);
                self.reply(now);
            }
            (_, "session.thinking.append") => self.appended("thinking", now),
            (_, "response.create") => self.reply(now),
            (_, "session.close") => self.closed("close_requested", now),
            _ => {}
        }
    }

    fn start(&mut self, event: &Value, now: Instant) {
        if self.script.faults.refuse_start {
            return self.error("unknown_parameter", "Unknown parameter: 'session.audio.format'.", None);
        }
        let session = event.get("session").cloned().unwrap_or_default();
        let format = session.pointer("/audio/format");
        let rate = format.and_then(|format| format.get("rate")).and_then(Value::as_u64);
        self.format = match format.and_then(|format| format.get("type")).and_then(Value::as_str) {
            Some("audio/pcmu") => Format::G711(Law::Mu),
            Some("audio/pcma") => Format::G711(Law::A),
            Some(_) | None if rate == Some(16_000) => Format::Pcm(SampleRate::HZ_16000),
            Some(_) | None => Format::Pcm(SampleRate::HZ_24000),
        };
        self.session = session;
        if let Value::Object(session) = &mut self.session {
            session.insert("id".into(), format!("sess_c{}", self.connection).into());
            session.insert("expires_at".into(), 1_795_000_000.into());
            session.insert("status".into(), "active".into());
        }
        self.phase = Phase::Open { since: now };
        self.schedule(now + USAGE, Task::Usage);
        self.send("session.started", json!({"session": self.session}));
    }

    fn hear(&mut self, audio: &str, now: Instant) {
        let Ok(bytes) = base64_simd::STANDARD.decode_to_vec(audio.as_bytes()) else {
            return self.error("invalid_value", "Expected base64-encoded audio bytes.", None);
        };
        let samples = match self.format {
            Format::G711(law) => g711::decode(law, &bytes),
            Format::Pcm(_) => bytes.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect(),
        };
        for noticed in self.hearing.hear(&samples, self.rate().hz(), Some(DETECTION)) {
            match noticed {
                Noticed::Started { .. } => {
                    let at = now + Duration::from_millis(self.script.yields_ms);
                    self.schedule(at, Task::Yield(self.speeches));
                }
                Noticed::Stopped { audio_end_ms, speech_ms } => {
                    let scripted = self.script.caller.get(self.turns).cloned();
                    self.turns += 1;
                    let words = scripted.unwrap_or_else(|| format!("[{speech_ms} ms of speech]"));
                    let start_ms = audio_end_ms.saturating_sub(speech_ms);
                    let (early, late) = halves(&words, self.script.words_late_ms);
                    self.caller_said(early, start_ms, audio_end_ms);
                    let mut at = now + Duration::from_millis(self.script.words_late_ms);
                    for word in late.split_inclusive(' ') {
                        self.schedule(at, Task::Words { words: word.to_owned(), start_ms, end_ms: audio_end_ms });
                        at += Duration::from_millis(self.script.delta_ms);
                    }
                    self.reply(now);
                }
            }
        }
    }

    fn caller_said(&mut self, words: &str, start_ms: u64, end_ms: u64) {
        let fields = json!({"delta": words, "start_ms": start_ms, "end_ms": end_ms});
        self.send("session.input_transcript.delta", fields);
    }

    fn rate(&self) -> SampleRate {
        match self.format {
            Format::Pcm(rate) => rate,
            Format::G711(_) => SampleRate::HZ_8000,
        }
    }

    /// Advances time.
    pub fn handle_timeout(&mut self, now: Instant) {
        while self.phase != Phase::Closed {
            let task_at = self.agenda.first_key_value().map(|((at, _), _)| *at).filter(|at| *at <= now);
            let beat_at = self.next_beat().filter(|at| *at <= now);
            match (task_at, beat_at) {
                (None, None) => return,
                (Some(task), Some(beat)) if task > beat => self.beat(beat),
                (None, Some(beat)) => self.beat(beat),
                (Some(at), _) => {
                    if let Some((_, task)) = self.agenda.pop_first() {
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
        [task, self.next_beat().map(|at| (at, "speech"))].into_iter().flatten().min()
    }

    /// The next thing to send.
    pub fn poll_departure(&mut self) -> Option<Departure> {
        self.departures.pop_front()
    }

    fn perform(&mut self, task: Task, at: Instant) {
        match task {
            Task::Yield(speech) if speech == self.speeches => self.speaking = None,
            Task::Yield(_) => {}
            Task::Usage => {
                let usage = self.usage(at);
                self.send("session.usage.updated", json!({"usage": usage, "context_window": {"usage_ratio": 0.1}}));
                self.schedule(at + USAGE, Task::Usage);
            }
            Task::Words { words, start_ms, end_ms } => self.caller_said(&words, start_ms, end_ms),
            Task::Message(text) => {
                self.departures.push_back(Departure::Message { kind: "scripted".into(), text });
            }
            Task::Quota => {
                self.error("insufficient_quota", "You exceeded your current quota.", None);
                self.close(1000, "");
            }
            Task::Expire => self.closed("expired", at),
            Task::Close => self.close(1011, ""),
            Task::Drop => {
                self.phase = Phase::Closed;
                self.departures.push_back(Departure::Drop);
            }
        }
    }

    fn usage(&self, now: Instant) -> Value {
        let Phase::Open { since } = self.phase else { return json!({"seconds": 0.0}) };
        json!({"seconds": now.saturating_duration_since(since).as_secs_f64()})
    }

    fn closed(&mut self, reason: &str, now: Instant) {
        let usage = self.usage(now);
        self.send("session.closed", json!({"reason": reason, "session": self.session, "usage": usage}));
        self.close(1000, "");
    }

    fn appended(&mut self, what: &str, now: Instant) {
        let Phase::Open { since } = self.phase else { return };
        let ms = now.saturating_duration_since(since).as_millis() as u64;
        self.send(&format!("session.{what}.appended"), json!({"start_ms": ms, "end_ms": ms}));
    }

    fn schedule(&mut self, at: Instant, task: Task) {
        self.ids += 1;
        self.agenda.insert((at, self.ids), task);
    }

    fn close(&mut self, code: u16, reason: &str) {
        self.phase = Phase::Closed;
        self.departures.push_back(Departure::Close(code, reason.to_owned()));
    }

    fn id(&mut self, prefix: &str) -> String {
        self.ids += 1;
        format!("{prefix}_c{}_{}", self.connection, self.ids)
    }

    fn send(&mut self, kind: &str, fields: Value) {
        let mut event = Map::new();
        event.insert("type".into(), kind.into());
        // Audio alone has none.
        if kind != "session.output_audio.delta" {
            event.insert("event_id".into(), self.id("event").into());
        }
        if let Value::Object(fields) = fields {
            event.extend(fields);
        }
        let text = Value::Object(event).to_string();
        self.departures.push_back(Departure::Message { kind: kind.to_owned(), text });
    }

    fn error(&mut self, code: &str, message: &str, client_event_id: Option<&str>) {
        let kind = if code == "insufficient_quota" { code } else { "invalid_request_error" };
        let error = json!({"type": kind, "code": code, "message": message, "client_event_id": client_event_id});
        self.send("error", json!({ "error": error }));
    }
}

/// What of these words comes at once, and what comes late, if anything does.
fn halves(words: &str, late_ms: u64) -> (&str, &str) {
    let middle = words.char_indices().map(|(at, _)| at).nth(words.chars().count() / 2).unwrap_or_default();
    words.split_at(if late_ms == 0 { words.len() } else { middle })
}
