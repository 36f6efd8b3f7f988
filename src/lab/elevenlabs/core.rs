//! One conversation of the simulated server, without a socket and without a clock.
mod begin;
mod format;
mod hear;
mod speak;

use self::{format::Format, speak::Active};
use super::{
    house::House,
    schema,
    script::{Faults, QuotaShape, State},
};
use crate::lab::{
    agenda::{Agenda, Due},
    hearing::Hearing,
    server::Departure,
    voice::Voice,
};
use serde_json::{Value, json};
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
    Ping,
    /// This ping was not answered in time.
    Unanswered(u64),
    Quota,
    Error {
        code: u16,
        kind: String,
        message: String,
    },
    Close(u16, String),
    Drop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The client may say what it wants of the conversation.
    AwaitingClient,
    Open,
    Closed,
}

/// How far the conversation has come.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    replies: usize,
    turns: usize,
}

/// A client tool that has not answered.
#[derive(Debug)]
struct Asked {
    id: String,
    /// The agent says nothing about it.
    silent: bool,
}

/// One simulated conversation.
#[derive(Debug)]
pub struct Core {
    house: Arc<House>,
    voice: Arc<Voice>,
    connection: u64,
    phase: Phase,
    /// Audio formats of the two directions.
    input: Format,
    output: Format,
    departures: VecDeque<Departure>,
    agenda: Agenda<Task>,
    /// Number of the newest event.
    events: u64,
    /// Pings that were answered and pings that were sent, in time.
    pings: u64,
    ponged: u64,
    hearing: Hearing,
    progress: Progress,
    active: Option<Active>,
    asked: Vec<Asked>,
    opened: Instant,
    /// The last moment this conversation was told of.
    seen: Instant,
    /// When the client was last heard.
    received: Instant,
}

impl Core {
    /// A connection that was just upgraded, to this agent.
    pub fn new(house: Arc<House>, voice: Arc<Voice>, connection: u64, agent: Option<&str>, now: Instant) -> Self {
        let script = &house.script;
        let (input, output) = (Format::of(&script.input), Format::of(&script.output));
        let known = script.agent_id.as_deref().is_none_or(|known| agent == Some(known)) && agent.is_some();
        let mut core = Self {
            house,
            voice,
            connection,
            phase: Phase::AwaitingClient,
            input,
            output,
            departures: VecDeque::new(),
            agenda: Agenda::default(),
            events: 0,
            pings: 0,
            ponged: 0,
            hearing: Hearing::default(),
            progress: Progress::default(),
            active: None,
            asked: Vec::new(),
            opened: now,
            seen: now,
            received: now,
        };
        if known {
            core.house.began(&core.conversation());
            core.schedule_faults(now);
        } else {
            core.close(3_000, "The AI agent you are trying to reach does not exist.");
        }
        core
    }

    /// Its id.
    fn conversation(&self) -> String {
        format!("conv_lab_{:06}", self.connection)
    }

    /// What goes wrong with this connection.
    fn faults(&self) -> Option<&Faults> {
        self.house.faults(self.connection)
    }

    fn schedule_faults(&mut self, now: Instant) {
        let Some(faults) = self.faults().cloned() else { return };
        let close = Task::Close(faults.close_code, faults.close_reason);
        let expired = "max_duration_exceeded: the conversation has reached its maximum duration";
        let tasks = [
            (faults.quota_after_ms, Task::Quota),
            (faults.max_duration_ms, Task::Close(1000, expired.to_owned())),
            (faults.close_after_ms, close),
            (faults.drop_after_ms, Task::Drop),
        ];
        let tasks = tasks.into_iter().filter_map(|(after, task)| Some((after?, task)));
        let error = faults.error.map(|error| {
            (error.after_ms, Task::Error { code: error.code, kind: error.error_type, message: error.message })
        });
        let messages = faults.messages.into_iter().map(|message| (message.after_ms, Task::Message(message.text)));
        for (after_ms, task) in tasks.chain(error).chain(messages) {
            self.agenda.schedule(now + Duration::from_millis(after_ms), task);
        }
    }

    /// A message of the client.
    pub fn handle_text(&mut self, text: &str, now: Instant) {
        if self.phase == Phase::Closed || self.faults().is_some_and(|faults| faults.mute) {
            return;
        }
        (self.seen, self.received) = (now, now);
        let (kind, message) = match schema::read(text) {
            Ok(message) => message,
            Err(why) => return self.fail(1008, "invalid_message", &why),
        };
        match (kind, self.phase) {
            ("conversation_initiation_client_data", Phase::AwaitingClient) => return self.begin(&message, now),
            ("conversation_initiation_client_data", _) => {
                return self.fail(1008, "invalid_message", "The conversation has been initiated already");
            }
            (_, Phase::AwaitingClient) => self.begin(&json!({}), now),
            _ => {}
        }
        let word = |key: &str| message.get(key).and_then(Value::as_str).unwrap_or_default();
        match kind {
            "user_audio_chunk" => self.audio(word("user_audio_chunk"), now),
            "pong" => self.pong(message.get("event_id").and_then(Value::as_u64)),
            "user_message" => self.user_message(now),
            "client_tool_result" => self.tool_result(word("tool_call_id"), now),
            // They change what the agent knows, not what it says.
            "user_activity" | "contextual_update" | "mcp_tool_approval_result" | "feedback" => {}
            other => debug_assert!(false, "the schema let {other} through"),
        }
    }

    fn pong(&mut self, event_id: Option<u64>) {
        self.ponged = self.ponged.max(event_id.unwrap_or_default().min(self.pings));
    }

    /// Advances time.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.seen = now;
        while self.phase != Phase::Closed {
            match self.agenda.due(self.next_beat(), now) {
                Some(Due::Task(at, task)) => self.perform(task, at),
                Some(Due::Beat(at)) => self.beat(at),
                None => break,
            }
        }
        if self.phase == Phase::Open && self.deaf_at() <= now {
            self.fail(1002, "transport_receive_timeout", "No user input was received for too long");
        }
    }

    /// When a client of whom nothing is heard is given up.
    fn deaf_at(&self) -> Instant {
        self.received + Duration::from_millis(self.house.script.faults.receive_within_ms)
    }

    /// When `handle_timeout` is next wanted, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let deaf = match self.phase {
            Phase::Closed => return None,
            Phase::AwaitingClient => None,
            Phase::Open => Some((self.deaf_at(), "a word of the client")),
        };
        let task = self.agenda.next().map(|at| (at, "scheduled"));
        let beat = self.next_beat().map(|at| (at, "turn"));
        [task, beat, deaf].into_iter().flatten().min()
    }

    /// The next thing to send.
    pub fn poll_departure(&mut self) -> Option<Departure> {
        self.departures.pop_front()
    }

    fn perform(&mut self, task: Task, at: Instant) {
        match task {
            Task::Transcribe(text) => self.transcribed(&text, at),
            Task::Message(text) => self.departures.push_back(Departure::Message { kind: "scripted".into(), text }),
            Task::Ping => self.ping(at),
            Task::Unanswered(ping) if ping > self.ponged => self.close(1002, "ping timeout"),
            Task::Unanswered(_) => {}
            Task::Quota => self.quota(),
            Task::Error { code, kind, message } => self.fail(code, &kind, &message),
            Task::Close(code, reason) => self.close(code, &reason),
            Task::Drop => self.drop_connection(),
        }
    }

    fn ping(&mut self, at: Instant) {
        self.pings += 1;
        let sent = self.pings;
        self.tell("ping", "ping_event", json!({"event_id": sent, "ping_ms": (sent > 1).then_some(40)}));
        if let Some(ms) = self.faults().and_then(|faults| faults.pong_within_ms) {
            self.agenda.schedule(at + Duration::from_millis(ms), Task::Unanswered(sent));
        }
        self.agenda.schedule(at + Duration::from_millis(self.house.script.ping_ms.max(100)), Task::Ping);
    }

    fn quota(&mut self) {
        let words = "This request exceeds your quota limit.";
        match self.house.script.faults.quota {
            QuotaShape::Event => self.fail(1002, "unknown", words),
            QuotaShape::Flat => {
                let message = format!("received 1002 (protocol error) {words}");
                self.send("error", &json!({"type": "error", "message": message}));
                self.close(1002, words);
            }
            QuotaShape::Silent => self.close(1000, ""),
        }
    }

    /// The conversation has come here: the connection breaks, if it is to break here.
    fn reached(&mut self, state: State) {
        if self.faults().is_some_and(|faults| faults.drop_in == Some(state)) {
            self.drop_connection();
        }
    }

    fn drop_connection(&mut self) {
        if self.phase != Phase::Closed {
            self.departures.push_back(Departure::Drop);
        }
        self.phase = Phase::Closed;
    }

    fn close(&mut self, code: u16, reason: &str) {
        if self.phase != Phase::Closed {
            self.departures.push_back(Departure::Close(code, reason.to_owned()));
        }
        self.phase = Phase::Closed;
    }

    /// `error`, and the close that follows it.
    fn fail(&mut self, code: u16, kind: &str, message: &str) {
        let body = json!({"code": code, "error_type": kind, "message": message, "reason": kind});
        self.send("error", &json!({"type": "error", "error_event": body}));
        self.close(code, message);
    }

    /// The number of the next event.
    fn event(&mut self) -> u64 {
        self.events += 1;
        self.events
    }

    /// Sends an event, if the client is to have such events.
    fn tell(&mut self, kind: &str, key: &str, body: Value) {
        if self.house.script.client_events.iter().any(|wanted| wanted == kind) {
            self.send(kind, &json!({"type": kind, key: body}));
        }
    }

    fn send(&mut self, kind: &str, message: &Value) {
        if self.phase != Phase::Closed {
            self.departures.push_back(Departure::Message { kind: kind.to_owned(), text: message.to_string() });
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.house.ended(&self.conversation(), self.seen.saturating_duration_since(self.opened), self.seen);
    }
}
