//! The conversation as a [`Dialect`]: what the call tells it. What the server tells it is in `listen`.
mod listen;

use super::{
    config::{Config, Format},
    fault::{self, Talked},
    spoken::Spoken,
    tools::{Owner, Tools},
    wire::{self, ClientEvent},
};
use crate::{
    dialect::{
        Dialect, Disconnect, Endpoint, Event, Failure, FailureKind, Formats, Incoming, KeysTaken, Line, Note, Outgoing,
        Respond, ToolCallId, Usage,
    },
    keys,
    outbox::Outbox,
    past::{GO_ON, Next, Past},
    pcm::Half,
    receipt::{Form, Receipt},
    url::query_value,
};
use media::{Audio, Heard, Speech};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

/// How long the server may take to name its formats.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// The most audio in one message.
const LONGEST_CHUNK: Duration = Duration::from_secs(1);
/// How often an agent is told that a caller on hold is there: it says nothing for two seconds each time, and would ask
/// a silent caller every few.
const STIRS_EVERY: Duration = Duration::from_secs(1);
/// Where a signed URL is asked for, below the address of conversations.
const SIGNING: &str = "get-signed-url";

/// What went by without being worth an event each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages of a kind this version does not know.
    pub unknown: u64,
    /// Messages that could not be read.
    pub malformed: u64,
    /// Audio and words of what was cut off.
    pub stale: u64,
    /// Caller audio in another format than [`Formats::uplink`], dropped.
    pub wrong_format: u64,
    /// Caller audio dropped since the provider could not take it.
    pub trimmed: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Unconnected,
    AwaitingMetadata {
        by: Instant,
    },
    Ready {
        /// When the agent is next told that the caller is there, while the call is on hold.
        stirs_at: Option<Instant>,
    },
    Over,
}

/// Whether the server hears the caller speak, as far as it tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Caller {
    #[default]
    Quiet,
    Speaking,
    /// They stopped, and their words have not come.
    Stopped,
}

/// The provider bills the time of the connection.
#[derive(Clone, Copy, Debug)]
struct Meter {
    since: Instant,
    told: Duration,
}

/// One conversation with an agent.
#[derive(Debug)]
pub struct Session {
    config: Config,
    phase: Phase,
    /// What another provider left to go on with, until the agent knows it.
    past: Option<Past>,
    input: Format,
    output: Format,
    outbox: Outbox,
    events: VecDeque<Event>,
    spoken: Spoken,
    /// Of the audio that came last, where it is PCM.
    half: Half,
    caller: Caller,
    talked: Talked,
    tools: Tools,
    meter: Option<Meter>,
    unknown_kinds: BTreeMap<String, u64>,
    counters: Counters,
}

impl Session {
    /// A conversation not yet connected.
    pub fn new(config: Config) -> Self {
        let expected = config.expected;
        Self {
            outbox: Outbox::new(limits(&config, expected), wire::append),
            config,
            phase: Phase::Unconnected,
            past: None,
            input: expected,
            output: expected,
            events: VecDeque::new(),
            spoken: Spoken::default(),
            half: Half::default(),
            caller: Caller::default(),
            talked: Talked::NotYet,
            tools: Tools::default(),
            meter: None,
            unknown_kinds: BTreeMap::new(),
            counters: Counters::default(),
        }
    }

    /// What went by so far.
    pub fn counters(&self) -> Counters {
        let trimmed = usize::try_from(self.outbox.trimmed()).unwrap_or(usize::MAX);
        Counters { trimmed: self.input.duration_of(trimmed), ..self.counters }
    }

    /// The message kinds this version does not know, and how often each came.
    pub fn unknown_kinds(&self) -> &BTreeMap<String, u64> {
        &self.unknown_kinds
    }

    fn warn(&mut self, words: impl Into<String>) {
        self.events.push_back(Event::Warning(words.into()));
    }

    fn fail(&mut self, failure: Failure, now: Instant) {
        if self.phase == Phase::Over {
            return;
        }
        self.read_meter(now, Duration::from_nanos(1));
        self.phase = Phase::Over;
        self.outbox.clear();
        self.events.push_back(Event::Failed(failure));
    }

    /// Reports connected time once so much of it has not been reported.
    fn read_meter(&mut self, now: Instant, at_least: Duration) {
        let Some(meter) = &mut self.meter else { return };
        let connected = now.saturating_duration_since(meter.since).saturating_sub(meter.told);
        if connected >= at_least {
            meter.told = meter.told.saturating_add(connected);
            self.events.push_back(Event::Usage(Usage { connected, ..Usage::default() }));
        }
    }

    /// Where the cost of this conversation will be told; only who has a key may ask.
    fn receipt(&self, conversation: &str) -> Option<Receipt> {
        let key = self.config.api_key.as_ref()?;
        let records = format!("{}s/{}", http(self.config.url.trim_end_matches('/')), query_value(conversation));
        let headers = vec![("xi-api-key".to_owned(), key.clone())];
        Some(Receipt { url: records, headers, form: Form::ElevenLabs })
    }

    /// Says something to the agent that it answers: there is no other way to make it speak.
    fn tell(&mut self, text: &str) {
        self.spoken.asked();
        self.outbox.push_control(ClientEvent::UserMessage { text }.to_text());
    }

    /// Somebody is there.
    fn stir(&mut self, now: Instant) {
        self.outbox.push_control(ClientEvent::UserActivity.to_text());
        self.phase = Phase::Ready { stirs_at: Some(now + STIRS_EVERY) };
    }

    /// What another provider's conversation left becomes what the agent knows.
    fn remember(&mut self, past: &Past) {
        self.outbox.push_control(ClientEvent::ContextualUpdate { text: &past.in_words() }.to_text());
        match past.next {
            Next::Listen => {}
            Next::GoOn => self.tell(&format!("[Note of the phone system, not said by the caller: {GO_ON}]")),
        }
    }
}

/// ws:// and wss:// have their counterparts in http:// and https://.
fn http(url: &str) -> String {
    format!("http{}", url.strip_prefix("ws").unwrap_or(url))
}

/// The least audio of this format in one message, the most that waits, and the most in one message: bytes.
fn limits(config: &Config, format: Format) -> [usize; 3] {
    [config.batch, config.backlog, LONGEST_CHUNK].map(|duration| format.bytes_in(duration))
}

impl Dialect for Session {
    fn endpoint(&self) -> Endpoint {
        let Config { url, agent_id, .. } = &self.config;
        let url = url.trim_end_matches('/');
        let query = format!("agent_id={}", query_value(agent_id));
        let Some(key) = &self.config.api_key else {
            return Endpoint::WebSocket { url: format!("{url}?{query}"), headers: Vec::new() };
        };
        Endpoint::SignedWebSocket {
            request: format!("{}/{SIGNING}?{query}", http(url)),
            headers: vec![("xi-api-key".to_owned(), key.clone())],
            member: "signed_url",
        }
    }

    fn formats(&self) -> Formats {
        Formats { uplink: self.input.audio(), downlink: self.output.audio() }
    }

    fn resume(&mut self, past: Past) {
        // An empty first message waits for the caller. Where it may not be overridden it must not be sent at all.
        if let Some(words) = &mut self.config.overrides.first_message {
            words.clear();
        }
        self.past = Some(past);
    }

    fn handle_connected(&mut self, now: Instant) {
        if self.phase == Phase::Unconnected {
            self.phase = Phase::AwaitingMetadata { by: now + READY_WITHIN };
            self.meter = Some(Meter { since: now, told: Duration::ZERO });
            self.outbox.push_setup(wire::initiation(&self.config));
        }
    }

    fn handle_incoming(&mut self, message: Incoming, now: Instant) {
        if self.phase == Phase::Over {
            return;
        }
        match message {
            Incoming::Text(text) => self.handle_text(&text, now),
            Incoming::Binary(bytes) => match std::str::from_utf8(&bytes) {
                Ok(text) => self.handle_text(text, now),
                Err(_) => self.malformed("a binary message"),
            },
            Incoming::Job(_) => self.malformed("a job of the speech engine"),
        }
    }

    fn handle_disconnected(&mut self, how: Disconnect, now: Instant) {
        let ended_by_agent = matches!(&how, Disconnect::Closed(Some((1000, _))));
        let failure = fault::disconnected(how, self.talked);
        let was_ready = matches!(self.phase, Phase::Ready { .. });
        if was_ready && ended_by_agent && failure.kind == FailureKind::Connection {
            // The agent hung up, which it tells by closing: what it said last is still to be heard.
            self.agent_done();
            let id = ToolCallId("close".to_owned());
            if self.tools.open(&id.0, Owner::Provider) {
                let (name, arguments) = ("end_call".to_owned(), "{}".to_owned());
                self.events.push_back(Event::ToolCall { id, name, arguments });
            }
        }
        self.fail(failure, now);
    }

    fn handle_audio(&mut self, audio: &Audio, now: Instant) {
        if self.phase == Phase::Over {
            return;
        }
        self.read_meter(now, Duration::from_secs(1));
        let Some(bytes) = self.input.bytes(audio) else {
            if self.counters.wrong_format == 0 {
                self.warn("caller audio in another format than was agreed is dropped");
            }
            self.counters.wrong_format = self.counters.wrong_format.saturating_add(1);
            return;
        };
        let untrimmed = self.outbox.trimmed() == 0;
        if self.outbox.push_audio(&bytes) && untrimmed {
            self.warn("the provider does not take the caller's audio: the oldest is dropped");
        }
    }

    fn handle_speech(&mut self, speech: Speech, _now: Instant) {
        match speech {
            // The server listens for itself, and the call says `interrupt` when it has decided.
            Speech::Suspected
            | Speech::Refuted
            | Speech::Confirmed
            | Speech::Yielded
            | Speech::Insisted
            | Speech::Ended { .. } => {}
        }
    }

    fn handle_line(&mut self, line: Line, now: Instant) {
        let Phase::Ready { .. } = self.phase else { return };
        match line {
            Line::Held => self.stir(now),
            Line::Open => self.phase = Phase::Ready { stirs_at: None },
        }
    }

    fn keys_taken(&self) -> KeysTaken {
        KeysTaken::AsEntry
    }

    fn handle_keys(&mut self, keys: &str, _now: Instant) {
        if self.phase == Phase::Over {
            return;
        }
        self.tell(&keys::in_words(self.config.language.as_deref(), keys));
    }

    fn handle_played_out(&mut self, _heard: Heard, _now: Instant) {
        // The server knows how long its audio is, and is told nothing.
    }

    fn interrupt(&mut self, heard: Heard, _now: Instant) {
        self.spoken.cut(heard);
    }

    fn answer_tool(&mut self, id: ToolCallId, output: String, respond: Respond, _now: Instant) {
        if self.phase == Phase::Over {
            return;
        }
        match (self.tools.answer(&id.0), respond) {
            // Whether it speaks about the result is the agent's own decision.
            (Some(Owner::Client), Respond::Yes | Respond::No) => {
                let is_error = is_error(&output);
                let result = ClientEvent::ClientToolResult { tool_call_id: &id.0, result: &output, is_error };
                self.outbox.push_control(result.to_text());
            }
            (Some(Owner::Provider), _) => {}
            (None, _) => self.warn("an answer nobody asked for"),
        }
    }

    fn inform(&mut self, note: Note, _now: Instant) {
        if self.phase == Phase::Over {
            return;
        }
        let words = match note {
            Note::TransferFailed { destination, reason } => format!(
                "[Note of the phone system, not said by the caller: the transfer to {destination} failed: {reason}. The \
                 caller is back on the line with you. Say so briefly and offer what else you can do.]"
            ),
            Note::Say { text } => format!(
                "[Note of the phone system, not said by the caller: say this to the caller, word for word and nothing \
                 else: {text}]"
            ),
            Note::SayGoodbye { reason } => format!(
                "[Note of the phone system, not said by the caller: the call is about to end: {reason}. Say goodbye to \
                 the caller in one short sentence.]"
            ),
        };
        self.tell(&words);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Phase::AwaitingMetadata { by } = self.phase
            && by <= now
        {
            let message = "no conversation_initiation_metadata in time".to_owned();
            return self.fail(Failure { kind: FailureKind::Unavailable, message }, now);
        }
        if let Some(utterance) = self.spoken.overdue(now) {
            self.events.push_back(Event::UtteranceDone(utterance));
        }
        if let Phase::Ready { stirs_at: Some(at) } = self.phase
            && at <= now
        {
            self.stir(now);
        }
    }

    fn poll_outgoing(&mut self) -> Option<Outgoing> {
        self.outbox.poll().map(Outgoing::Text)
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        match self.phase {
            Phase::AwaitingMetadata { by } => Some((by, "elevenlabs session ready")),
            Phase::Ready { stirs_at } => {
                let speech = self.spoken.deadline().map(|deadline| (deadline, "more speech of the agent"));
                let stirs = stirs_at.map(|at| (at, "elevenlabs caller on hold"));
                speech.into_iter().chain(stirs).min()
            }
            Phase::Unconnected | Phase::Over => None,
        }
    }
}

/// Whether the outcome of a tool is a failure of the tool itself: a refusal is an answer.
fn is_error(output: &str) -> bool {
    #[derive(Deserialize)]
    struct Outcome {
        status: String,
    }
    serde_json::from_str::<Outcome>(output).is_ok_and(|outcome| outcome.status == "error")
}
