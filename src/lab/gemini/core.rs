//! One connection of the simulated server, without a socket and without a clock.
mod hear;
mod speak;

use self::speak::Active;
use super::{
    schema,
    script::{Faults, Reply, Script},
};
use crate::lab::{
    agenda::{Agenda, Due},
    hearing::{Detection, Hearing},
    server::Departure,
    voice::Voice,
};
use serde_json::{Map, Value, json};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

/// Something that will happen whatever the client does.
#[derive(Clone, Debug)]
enum Task {
    Transcribe(String),
    Message(String),
    GoAway,
    Close(u16, String),
    Drop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    AwaitingSetup,
    Open,
    Closed,
}

/// How far a conversation has come: what a handle stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Progress {
    greetings: usize,
    replies: usize,
    turns: usize,
}

impl Progress {
    /// `lab.<greetings>.<replies>.<turns>`.
    fn handle(self) -> String {
        format!("lab.{}.{}.{}", self.greetings, self.replies, self.turns)
    }

    fn of(handle: &str) -> Option<Self> {
        let mut numbers = handle.strip_prefix("lab.")?.split('.').map(|number| number.parse().ok());
        let mut next = || numbers.next().flatten();
        Some(Self { greetings: next()?, replies: next()?, turns: next()? })
    }
}

/// One simulated connection.
#[derive(Debug)]
pub struct Core {
    script: Arc<Script>,
    voice: Arc<Voice>,
    connection: u64,
    phase: Phase,
    departures: VecDeque<Departure>,
    agenda: Agenda<Task>,
    ids: u64,
    detection: Option<Detection>,
    hands_out_handles: bool,
    hearing: Hearing,
    progress: Progress,
    active: Option<Active>,
    /// Calls that were made and not answered.
    calls: Vec<String>,
    /// What is said when the active turn is over.
    waiting: VecDeque<Reply>,
    interruptions: u64,
}

impl Core {
    /// A connection that was just upgraded.
    pub fn new(script: Arc<Script>, voice: Arc<Voice>, connection: u64, now: Instant) -> Self {
        let mut core = Self {
            script,
            voice,
            connection,
            phase: Phase::AwaitingSetup,
            departures: VecDeque::new(),
            agenda: Agenda::default(),
            ids: 0,
            detection: None,
            hands_out_handles: false,
            hearing: Hearing::default(),
            progress: Progress::default(),
            active: None,
            calls: Vec::new(),
            waiting: VecDeque::new(),
            interruptions: 0,
        };
        core.schedule_faults(now);
        core
    }

    /// What goes wrong with this connection.
    fn faults(&self) -> Option<&Faults> {
        let faults = &self.script.faults;
        (faults.connections == 0 || self.connection <= faults.connections).then_some(faults)
    }

    fn schedule_faults(&mut self, now: Instant) {
        let script = Arc::clone(&self.script);
        if self.faults().is_none() {
            return;
        }
        let faults = &script.faults;
        let quota = "You exceeded your current quota, please check your plan and billing details.".to_owned();
        let close = Task::Close(faults.close_code, faults.close_reason.clone());
        let tasks = [
            (faults.go_away_after_ms, Task::GoAway),
            (faults.go_away_after_ms.map(|ms| ms + faults.go_away_left_ms), Task::Close(1001, String::new())),
            (faults.quota_after_ms, Task::Close(1011, quota)),
            (faults.close_after_ms, close),
            (faults.drop_after_ms, Task::Drop),
        ];
        let tasks = tasks.into_iter().filter_map(|(after, task)| Some((after?, task)));
        let messages = faults.messages.iter().map(|message| (message.after_ms, Task::Message(message.text.clone())));
        for (after_ms, task) in tasks.chain(messages).collect::<Vec<_>>() {
            self.agenda.schedule(now + Duration::from_millis(after_ms), task);
        }
    }

    /// A message of the client.
    pub fn handle_text(&mut self, text: &str, now: Instant) {
        if self.phase == Phase::Closed || self.faults().is_some_and(|faults| faults.mute) {
            return;
        }
        let (kind, body) = match schema::read(text) {
            Ok(message) => message,
            Err(why) => return self.close(1007, &why),
        };
        match (kind.as_str(), self.phase) {
            ("setup", Phase::AwaitingSetup) => self.set_up(&body),
            ("realtimeInput", Phase::Open) => self.realtime_input(&body, now),
            ("toolResponse", Phase::Open) => self.tool_response(&body, now),
            ("clientContent", Phase::Open) => self.client_content(&body, now),
            _ => self.close(1007, "Request contains an invalid argument."),
        }
    }

    fn set_up(&mut self, setup: &Value) {
        let word = |pointer: &str| setup.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        if !word("/model").starts_with("models/gemini-") {
            return self.close(1008, "models/… is not found, or is not supported for bidiGenerateContent.");
        }
        if setup.pointer("/generationConfig/responseModalities") != Some(&json!(["AUDIO"])) {
            return self.close(1007, "Cannot extract voices from a non-audio request.");
        }
        if let Some(handle) = setup.pointer("/sessionResumption/handle").and_then(Value::as_str) {
            let Some(progress) = Progress::of(handle) else { return self.close(1007, "Invalid session handle") };
            self.progress = progress;
        }
        self.hands_out_handles = setup.get("sessionResumption").is_some();
        let detection = "/realtimeInputConfig/automaticActivityDetection";
        let number = |key: &str| setup.pointer(&format!("{detection}/{key}")).and_then(Value::as_u64);
        let loud = word(&format!("{detection}/startOfSpeechSensitivity")) == "START_SENSITIVITY_LOW";
        self.detection = Some(Detection {
            threshold: if loud { 0.6 } else { 0.4 },
            prefix_ms: number("prefixPaddingMs").unwrap_or(20),
            silence_ms: number("silenceDurationMs").unwrap_or(500),
            create: true,
            interrupt: true,
        });
        self.phase = Phase::Open;
        let session = format!("session_c{}", self.connection);
        self.send("setupComplete", json!({ "sessionId": session }));
        self.offer_handle();
    }

    /// Where the conversation can go on from, which it cannot while a call waits for its answer.
    fn offer_handle(&mut self) {
        if !self.hands_out_handles {
            return;
        }
        let update = if self.calls.is_empty() {
            json!({"newHandle": self.progress.handle(), "resumable": true})
        } else {
            json!({"resumable": false})
        };
        self.send("sessionResumptionUpdate", update);
    }

    /// Advances time.
    pub fn handle_timeout(&mut self, now: Instant) {
        while self.phase != Phase::Closed {
            match self.agenda.due(self.next_beat(), now) {
                Some(Due::Task(_, task)) => self.perform(task),
                Some(Due::Beat(at)) => self.beat(at),
                None => return,
            }
        }
    }

    /// When `handle_timeout` is next wanted, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        if self.phase == Phase::Closed {
            return None;
        }
        let task = self.agenda.next().map(|at| (at, "scheduled"));
        let beat = self.next_beat().map(|at| (at, "turn"));
        [task, beat].into_iter().flatten().min()
    }

    /// The next thing to send.
    pub fn poll_departure(&mut self) -> Option<Departure> {
        self.departures.pop_front()
    }

    fn perform(&mut self, task: Task) {
        match task {
            Task::Transcribe(text) => self.transcribed(&text),
            Task::Message(text) => self.departures.push_back(Departure::Message { kind: "scripted".into(), text }),
            Task::GoAway => {
                let left = Duration::from_millis(self.script.faults.go_away_left_ms).as_secs_f64();
                self.send("goAway", json!({"timeLeft": format!("{left}s")}));
            }
            Task::Close(code, reason) => self.close(code, &reason),
            Task::Drop => {
                self.phase = Phase::Closed;
                self.departures.push_back(Departure::Drop);
            }
        }
    }

    fn close(&mut self, code: u16, reason: &str) {
        self.phase = Phase::Closed;
        self.departures.push_back(Departure::Close(code, reason.to_owned()));
    }

    /// Sends one kind of message.
    fn send(&mut self, kind: &str, body: Value) {
        self.send_all(kind, [(kind, body)]);
    }

    /// Sends a message with several things in it.
    fn send_all<const N: usize>(&mut self, kind: &str, parts: [(&str, Value); N]) {
        let message: Map<_, _> = parts.into_iter().map(|(kind, body)| (kind.to_owned(), body)).collect();
        let text = Value::Object(message).to_string();
        self.departures.push_back(Departure::Message { kind: kind.to_owned(), text });
    }
}
