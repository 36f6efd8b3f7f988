//! The conversation as a [`Dialect`]: what the call tells it. What the server tells it is in `listen`.
mod listen;

use super::{
    config::{Auth, Config, ToolChoice},
    fault,
    memory::Memory,
    response::{Manners, Overdue, Plan, Responses, Retry},
    rotation::Rotation,
    spoken::{Spoken, Unheard},
    tools::{Settled, Tools},
    wire::{self, ClientEvent, Item},
};
use crate::dialect::{
    Dialect, Disconnect, Endpoint, Event, Failure, FailureKind, Formats, Incoming, KeysTaken, Note, Outgoing, Respond,
    ToolCallId, Unworded,
};
use crate::{keys, outbox::Outbox, past::Past, pcm::Half, redact::redact_key, url::query_value};
use media::{Audio, Heard, Speech};
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

/// How long `session.created` and `session.updated` may take together.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// The most audio in one message.
const LONGEST_APPEND: Duration = Duration::from_secs(1);
/// Truncations whose errors, and silences whose transcripts, can still be told apart.
const REMEMBERED: usize = 16;
/// The last of the caller's audio, which a session that takes over in a pause hears again: the old one may have been left
/// while the caller began to speak. Of a turn that is known the call decides what is heard again.
const RECENT: Duration = Duration::from_secs(1);
/// A key so short is none, and would be found in every word.
const SHORTEST_KEY: usize = 4;
/// What is said when a session had to be left in the middle of an answer.
const GO_ON: &str = "There was a gap on the line. Go on with your answer to what the caller said last, in the language \
                     you have been speaking. Do not greet the caller again.";

/// What went by without being worth an event each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages of a kind this version does not know.
    pub unknown: u64,
    /// Messages that could not be read.
    pub malformed: u64,
    /// Audio and text deltas of responses that were cut off.
    pub stale: u64,
    /// Errors that mean nothing: a cancel that came too late, a create that met another.
    pub benign_errors: u64,
    /// Caller audio in another format than [`Formats::uplink`], dropped.
    pub wrong_format: u64,
    /// Caller audio dropped since the provider could not take it.
    pub trimmed: Duration,
    /// Sessions that took the place of another.
    pub rotated: u64,
    /// Times that the caller was silent for so long that the assistant asked.
    pub idle: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Unconnected,
    AwaitingCreated {
        by: Instant,
    },
    AwaitingUpdated {
        by: Instant,
    },
    Ready,
    /// A session that was to take over is not to be had, and is asked for again then.
    Waiting {
        until: Instant,
    },
    Over,
}

/// One conversation with OpenAI Realtime.
#[derive(Debug)]
pub struct Session {
    config: Config,
    phase: Phase,
    /// What another provider left to go on with, until the session knows it.
    past: Option<Past>,
    outbox: Outbox,
    events: VecDeque<Event>,
    responses: Responses,
    spoken: Spoken,
    /// Of the audio that came last, where it is PCM.
    half: Half,
    tools: Tools,
    /// Truncations sent: event id, item id.
    truncations: VecDeque<(String, String)>,
    /// Items of the caller's silence; what a model finds written in them was not said.
    silences: VecDeque<String>,
    memory: Memory,
    rotation: Rotation,
    /// The session that was left owed an answer, which the next is asked for unless it hears the question again.
    owes: bool,
    /// The end of the caller's audio, [`RECENT`] of it.
    recent: VecDeque<u8>,
    next_event: u64,
    /// Calls of a server of tools that were approved; each is an item of its own name.
    approvals: u64,
    unknown_kinds: BTreeMap<String, u64>,
    counters: Counters,
}

impl Session {
    /// A conversation not yet connected.
    pub fn new(config: Config) -> Self {
        let bytes = |duration| config.format.bytes_in(duration);
        let outbox = Outbox::new([bytes(config.batch), bytes(config.backlog), bytes(LONGEST_APPEND)], wire::append);
        let spoken = Spoken::new(config.format);
        let rotation = Rotation::new(config.rotate_after);
        Self {
            config,
            phase: Phase::Unconnected,
            past: None,
            outbox,
            events: VecDeque::new(),
            responses: Responses::new(),
            spoken,
            half: Half::default(),
            tools: Tools::default(),
            truncations: VecDeque::new(),
            silences: VecDeque::new(),
            memory: Memory::default(),
            rotation,
            owes: false,
            recent: VecDeque::new(),
            next_event: 0,
            approvals: 0,
            unknown_kinds: BTreeMap::new(),
            counters: Counters::default(),
        }
    }

    /// What went by so far.
    pub fn counters(&self) -> Counters {
        let trimmed = usize::try_from(self.outbox.trimmed()).unwrap_or(usize::MAX);
        Counters { trimmed: self.config.format.duration_of(trimmed), ..self.counters }
    }

    /// The message kinds this version does not know, and how often each came.
    pub fn unknown_kinds(&self) -> &BTreeMap<String, u64> {
        &self.unknown_kinds
    }

    fn event_id(&mut self) -> String {
        self.next_event = self.next_event.saturating_add(1);
        format!("ramal_{}", self.next_event)
    }

    fn warn(&mut self, words: impl Into<String>) {
        let words = self.redacted(&words.into());
        self.events.push_back(Event::Warning(words));
    }

    /// Without the secrets that the provider knows, and may quote.
    fn redacted(&self, words: &str) -> String {
        let authorizations = self.config.mcp.iter().filter_map(|server| server.authorization.as_deref());
        let secrets = authorizations.chain([self.config.api_key.as_str()]).filter(|key| key.len() >= SHORTEST_KEY);
        secrets.fold(words.to_owned(), |words, secret| redact_key(&words, secret, &[]))
    }

    fn fail(&mut self, failure: Failure) {
        if self.phase == Phase::Over {
            return;
        }
        self.phase = Phase::Over;
        self.outbox.clear();
        let message = self.redacted(&failure.message);
        self.events.push_back(Event::Failed(Failure { message, ..failure }));
    }

    /// Ends the conversation from our side; the driver learns it from `Failed`.
    fn give_up(&mut self, kind: FailureKind, message: impl Into<String>) {
        self.fail(Failure { kind, message: message.into() });
    }

    /// Adds an item to the conversation.
    fn tell(&mut self, item: Item<'_>) {
        let event_id = self.event_id();
        self.outbox.push_control(ClientEvent::ItemCreate { event_id: &event_id, item }.to_text());
    }

    /// Creates the response that waits, when it may be created.
    fn pump(&mut self, now: Instant) {
        if self.phase != Phase::Ready || !self.responses.is_due(now) {
            return;
        }
        let event_id = self.event_id();
        if let Some(plan) = self.responses.next(&event_id, now) {
            let create = ClientEvent::response_create(&event_id, plan.instructions.as_deref(), self.choice(&plan));
            self.outbox.push_control(create.to_text());
        }
    }

    /// Where tools must be used in the answer to the caller, they must not in what we ask for: words that are given, and
    /// what is said about the outcome of a tool.
    const fn choice(&self, plan: &Plan) -> Option<&'static str> {
        match (&self.config.tool_choice, &plan.instructions) {
            (ToolChoice::Auto | ToolChoice::None, _) => None,
            (ToolChoice::Required | ToolChoice::Function(_), Some(_)) => Some("none"),
            (ToolChoice::Required | ToolChoice::Function(_), None) => Some("auto"),
        }
    }

    fn cancel(&mut self, response_id: &str) {
        let event_id = self.event_id();
        self.outbox.push_control(ClientEvent::ResponseCancel { event_id: &event_id, response_id }.to_text());
    }

    fn forget(&mut self, unheard: &Unheard) {
        match unheard {
            Unheard::Whole { item_id } => {
                self.memory.forget(item_id);
                self.delete(item_id);
            }
            Unheard::After { item_id, heard_ms } => {
                self.memory.cut(item_id, *heard_ms, self.spoken.received_ms(item_id));
                let event_id = self.event_id();
                let truncate = ClientEvent::ItemTruncate {
                    event_id: &event_id,
                    item_id,
                    content_index: 0,
                    audio_end_ms: *heard_ms,
                };
                self.outbox.push_control(truncate.to_text());
                if self.truncations.len() >= REMEMBERED {
                    self.truncations.pop_front();
                }
                self.truncations.push_back((event_id, item_id.clone()));
            }
        }
    }

    fn delete(&mut self, item_id: &str) {
        let event_id = self.event_id();
        self.outbox.push_control(ClientEvent::ItemDelete { event_id: &event_id, item_id }.to_text());
    }

    /// A response failed and nobody speaks: tries again, or gives the conversation up.
    fn recover(&mut self, plan: Plan, why: String, now: Instant) {
        match self.responses.failed(plan, now) {
            Retry::Scheduled => self.warn(why),
            Retry::GivenUp => self.give_up(FailureKind::Unavailable, why),
        }
    }

    /// Leaves the session for a fresh one, which is told what was said.
    fn rotate(&mut self, now: Instant) {
        let is_calm = self.is_calm(now);
        for utterance in self.spoken.leave() {
            self.events.push_back(Event::UtteranceDone(utterance));
        }
        let (answer, outcome) = (self.responses.leave(now), !self.tools.is_settled());
        self.owes |= answer || outcome;
        self.tools = Tools::default();
        self.truncations.clear();
        self.memory.settle();
        self.rotation.closed();
        self.outbox.hold();
        self.outbox.drop_control(wire::is_of_one_session);
        if is_calm {
            self.outbox.rewind(self.recent.make_contiguous());
        }
        self.counters.rotated = self.counters.rotated.saturating_add(1);
        self.connect_again();
    }

    fn keep(&mut self, bytes: &[u8]) {
        let kept = self.config.format.bytes_in(RECENT);
        let excess = (self.recent.len() + bytes.len()).saturating_sub(kept);
        self.recent.drain(..excess.min(self.recent.len()));
        self.recent.reserve_exact(kept.saturating_sub(self.recent.len()));
        self.recent.extend(bytes);
    }

    fn connect_again(&mut self) {
        self.phase = Phase::Unconnected;
        self.events.push_back(Event::Reconnect);
    }

    /// Nobody speaks or waits for an answer, and all that was said is known.
    fn is_calm(&self, now: Instant) -> bool {
        let settled = self.spoken.is_settled() && self.tools.is_settled();
        settled && self.responses.is_idle(now) && !self.memory.is_waiting(now)
    }

    fn settle_tools(&mut self, settled: Settled) {
        match settled {
            Settled::Speak => self.responses.want(Plan::default()),
            Settled::NotYet | Settled::Silent => {}
        }
    }

    fn not_ready_in_time(&mut self, now: Instant) {
        match self.phase {
            Phase::AwaitingCreated { by } if by <= now => {
                self.give_up(FailureKind::Unavailable, "no session.created in time");
            }
            Phase::AwaitingUpdated { by } if by <= now => {
                self.give_up(FailureKind::Unavailable, "no session.updated in time");
            }
            Phase::Unconnected
            | Phase::AwaitingCreated { .. }
            | Phase::AwaitingUpdated { .. }
            | Phase::Ready
            | Phase::Waiting { .. }
            | Phase::Over => {}
        }
    }
}

impl Dialect for Session {
    fn endpoint(&self) -> Endpoint {
        let separator = if self.config.url.contains('?') { '&' } else { '?' };
        let url = format!("{}{separator}model={}", self.config.url, query_value(&self.config.model));
        // The header OpenAI-Beta must not be sent: it selects an API that is gone, and the server closes with 4000.
        let key = &self.config.api_key;
        let header = match self.config.auth {
            Auth::Bearer => ("Authorization".to_owned(), format!("Bearer {key}")),
            Auth::ApiKey => ("api-key".to_owned(), key.clone()),
        };
        Endpoint::WebSocket { url, headers: vec![header] }
    }

    fn formats(&self) -> Formats {
        let format = self.config.format.audio();
        Formats { uplink: format, downlink: format }
    }

    fn resume(&mut self, past: Past) {
        self.past = Some(past);
    }

    fn handle_connected(&mut self, now: Instant) {
        if self.phase == Phase::Unconnected {
            self.phase = Phase::AwaitingCreated { by: now + READY_WITHIN };
        }
    }

    fn handle_incoming(&mut self, message: Incoming, now: Instant) {
        match self.phase {
            // What a session says that was left means nothing.
            Phase::Unconnected | Phase::Waiting { .. } | Phase::Over => return,
            Phase::AwaitingCreated { .. } | Phase::AwaitingUpdated { .. } | Phase::Ready => {}
        }
        match message {
            Incoming::Text(text) => self.handle_text(&text, now),
            Incoming::Binary(bytes) => match std::str::from_utf8(&bytes) {
                Ok(text) => self.handle_text(text, now),
                Err(_) => self.malformed("a binary message"),
            },
            Incoming::Job(_) => self.malformed("a job of the speech engine"),
        }
        self.pump(now);
    }

    fn handle_disconnected(&mut self, how: Disconnect, now: Instant) {
        let failure = fault::disconnected(how);
        match (self.phase, failure.kind) {
            (Phase::Ready, FailureKind::SessionExpired) if self.rotation.has_lasted(now) => self.rotate(now),
            (
                Phase::Unconnected | Phase::AwaitingCreated { .. } | Phase::AwaitingUpdated { .. },
                FailureKind::Connection | FailureKind::Unavailable,
            ) => match self.rotation.again(now) {
                Some(until) => {
                    self.warn(failure.message);
                    self.outbox.hold();
                    self.phase = Phase::Waiting { until };
                }
                None => self.fail(failure),
            },
            _ => self.fail(failure),
        }
    }

    fn hears_again(&mut self, _unworded: Unworded) -> bool {
        // The server answers what it hears.
        self.owes = false;
        self.outbox.drop_audio();
        true
    }

    fn handle_audio(&mut self, audio: &Audio, _now: Instant) {
        if self.phase == Phase::Over {
            return;
        }
        let Some(bytes) = self.config.format.bytes(audio) else {
            if self.counters.wrong_format == 0 {
                self.warn("caller audio in another format than was agreed is dropped");
            }
            self.counters.wrong_format = self.counters.wrong_format.saturating_add(1);
            return;
        };
        self.keep(&bytes);
        let untrimmed = self.outbox.trimmed() == 0;
        if self.outbox.push_audio(&bytes) && untrimmed {
            self.warn("the provider does not take the caller's audio: the oldest is dropped");
        }
    }

    fn handle_speech(&mut self, speech: Speech, now: Instant) {
        match speech {
            // The server listens for itself, and the call says `interrupt` when it has decided.
            Speech::Suspected | Speech::Confirmed | Speech::Insisted => self.rotation.stirred(now),
            Speech::Refuted | Speech::Yielded | Speech::Ended { .. } => {}
        }
    }

    fn keys_taken(&self) -> KeysTaken {
        KeysTaken::AsEntry
    }

    fn handle_keys(&mut self, keys: &str, now: Instant) {
        if self.phase == Phase::Over {
            return;
        }
        let words = keys::in_words(self.config.language.as_deref(), keys);
        self.memory.note(&words);
        self.tell(Item::user(&words));
        self.responses.want(Plan::default());
        self.pump(now);
    }

    fn handle_played_out(&mut self, heard: Heard, now: Instant) {
        self.rotation.stirred(now);
        self.spoken.played_out(heard.utterance);
    }

    fn interrupt(&mut self, heard: Heard, now: Instant) {
        if self.phase != Phase::Ready {
            return;
        }
        self.rotation.stirred(now);
        // By name: the server may have cancelled it already and be making the next.
        if let Some(id) = self.responses.cut() {
            self.cancel(&id);
        }
        for unheard in self.spoken.cut(heard) {
            self.forget(&unheard);
        }
        self.pump(now);
    }

    fn answer_tool(&mut self, id: ToolCallId, output: String, respond: Respond, now: Instant) {
        if self.phase == Phase::Over {
            return;
        }
        match self.tools.answer(&id.0, respond) {
            Ok(settled) => {
                self.tell(Item::FunctionCallOutput { call_id: &id.0, output: &output });
                self.settle_tools(settled);
                self.pump(now);
            }
            Err(refused) => self.warn(format!("an answer nobody asked for: {refused:?}")),
        }
    }

    fn inform(&mut self, note: Note, now: Instant) {
        if self.phase == Phase::Over {
            return;
        }
        let (words, manners) = match note {
            Note::TransferFailed { destination, reason } => (
                format!(
                    "The transfer to {destination} failed: {reason}. The caller is back on the line with you. \
                     Say so briefly and offer what else you can do."
                ),
                Manners::Polite,
            ),
            Note::Say { text } => {
                (format!("Say this to the caller, word for word and nothing else: {text}"), Manners::Polite)
            }
            Note::SayGoodbye { reason } => (
                format!("The call is about to end: {reason}. Say goodbye to the caller in one short sentence."),
                Manners::Urgent,
            ),
        };
        // An answer that has yet to be heard would be taken for the goodbye.
        let unwanted = if manners == Manners::Urgent { self.responses.cut_active() } else { None };
        if let Some(id) = unwanted {
            self.cancel(&id);
        }
        self.tell(Item::system(&words));
        self.responses.want(Plan { instructions: None, manners });
        self.pump(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.not_ready_in_time(now);
        match self.phase {
            Phase::Ready => {}
            Phase::Waiting { until } if until <= now => return self.connect_again(),
            Phase::Unconnected
            | Phase::AwaitingCreated { .. }
            | Phase::AwaitingUpdated { .. }
            | Phase::Waiting { .. }
            | Phase::Over => return,
        }
        match self.responses.overdue(now) {
            Some(Overdue::Created(plan)) => self.recover(plan, "no response.created in time".to_owned(), now),
            Some(Overdue::Progress { id, ended }) => {
                self.cancel(&id);
                self.complete_response(&id);
                let why = format!("response {id} fell silent");
                if ended.missed { self.recover(ended.plan, why, now) } else { self.warn(why) }
            }
            None => {}
        }
        self.pump(now);
        // Whether it is calm is asked when that decides something, and not with every packet.
        if self.rotation.deadline().is_some_and(|(at, _)| at <= now) {
            let is_calm = self.is_calm(now);
            if self.rotation.is_due(is_calm, now) {
                self.rotate(now);
            }
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
            Phase::AwaitingCreated { by } | Phase::AwaitingUpdated { by } => Some((by, "openai session ready")),
            Phase::Ready => [self.responses.deadline(), self.rotation.deadline()].into_iter().flatten().min(),
            Phase::Waiting { until } => Some((until, "openai next session")),
            Phase::Unconnected | Phase::Over => None,
        }
    }
}
