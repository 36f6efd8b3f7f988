//! The conversation as a [`Dialect`]: what the call tells it. What the server tells it is in `listen`.
mod listen;

use super::{
    config::Config,
    stream::{Cut, Stream},
    wire::{self, ClientEvent},
};
use crate::{
    dialect::{
        Dialect, Disconnect, Endpoint, Event, Failure, FailureKind, Formats, Incoming, KeysTaken, Note, Outgoing,
        Respond, ToolCallId, Unworded, Usage,
    },
    keys,
    openai::{
        fault,
        memory::{self, Memory},
        rotation::Rotation,
        tools::{Settled, Tools},
        wire::Item,
    },
    outbox::Outbox,
    past::{Next, Past},
    pcm::Half,
};
use media::{Audio, Heard, Speech, UtteranceId};
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

/// How long `session.started` may take; about a second is usual.
const STARTED_WITHIN: Duration = Duration::from_secs(10);
/// The most audio in one message.
const LONGEST_APPEND: Duration = Duration::from_secs(1);
/// Connected time is told in steps of this.
const METERED: Duration = Duration::from_secs(1);
/// The longest content of a message of ours, bytes: 500 tokens are allowed.
const LONGEST_CONTENT: usize = 1_500;
/// Words of the past that a fresh session is told, bytes: 8,192 tokens are allowed.
const TOLD: usize = 16_000;
/// Before what did not fit into the message before it.
const CONTINUED: &str = "Go on with this, without a pause:\n";

/// What went by without being worth an event each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages of a kind this version does not know.
    pub unknown: u64,
    /// Messages that could not be read.
    pub malformed: u64,
    /// Pieces of audio and words of what the caller had cut off.
    pub stale: u64,
    /// Caller audio in another format than [`Formats::uplink`], dropped.
    pub wrong_format: u64,
    /// Caller audio dropped since the provider could not take it.
    pub trimmed: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Unconnected,
    AwaitingStarted { by: Instant },
    Open { since: Instant },
    Over,
}

/// One conversation with OpenAI Live.
#[derive(Debug)]
pub struct Session {
    config: Config,
    phase: Phase,
    outbox: Outbox,
    events: VecDeque<Event>,
    stream: Stream,
    /// Of the audio that came last in this session, where it is PCM.
    half: Half,
    /// What the caller said of late, and when it counts as all: the server tells no end of it.
    said: Option<(String, Instant)>,
    tools: Tools,
    /// Responses so far of each delegation: a call is answered within its response.
    delegations: BTreeMap<String, u64>,
    memory: Memory,
    rotation: Rotation,
    /// The session that was left owed an answer, which the next is asked for unless it hears the question again.
    owes: bool,
    /// Connected time that was told, of this session.
    metered: Duration,
    /// Whether the caller has been greeted.
    began: bool,
    /// Who had the word when another provider left the conversation to us, until it is taken.
    resumed: Option<Next>,
    next_event: u64,
    unknown_kinds: BTreeMap<String, u64>,
    counters: Counters,
}

impl Session {
    /// A conversation not yet connected.
    pub fn new(config: Config) -> Self {
        let bytes = |duration| config.format.bytes_in(duration);
        let rotation = Rotation::new(config.rotate_after);
        let outbox = Outbox::new([bytes(config.batch), bytes(config.backlog), bytes(LONGEST_APPEND)], wire::append);
        Self {
            config,
            phase: Phase::Unconnected,
            outbox,
            events: VecDeque::new(),
            stream: Stream::new(),
            half: Half::default(),
            said: None,
            tools: Tools::default(),
            delegations: BTreeMap::new(),
            memory: Memory::default(),
            rotation,
            owes: false,
            metered: Duration::ZERO,
            began: false,
            resumed: None,
            next_event: 0,
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
        self.events.push_back(Event::Warning(words.into()));
    }

    fn fail(&mut self, failure: Failure, now: Instant) {
        if self.phase == Phase::Over {
            return;
        }
        self.leave(now);
        self.phase = Phase::Over;
        self.rotation.closed();
        self.outbox.clear();
        self.events.push_back(Event::Failed(failure));
    }

    /// The session is over: what is certain of it is told.
    fn leave(&mut self, now: Instant) {
        self.meter(now, Duration::ZERO);
        self.half = Half::default();
        if let Some(utterance) = self.stream.end() {
            self.events.push_back(Event::UtteranceDone(utterance));
        }
    }

    /// A session had its time: another follows, which is told what was said.
    fn follow(&mut self, now: Instant) {
        let is_speaking = self.stream.is_speaking();
        self.tell_words();
        self.leave(now);
        self.owes |= is_speaking || !self.tools.is_settled() || self.memory.is_unanswered();
        self.rotation.closed();
        self.tools = Tools::default();
        self.delegations.clear();
        self.memory.settle();
        self.metered = Duration::ZERO;
        self.outbox.hold();
        self.outbox.drop_control(wire::is_of_one_session);
        self.phase = Phase::Unconnected;
        self.events.push_back(Event::Reconnect);
    }

    /// Tells connected time once so much of it has not been told.
    fn meter(&mut self, now: Instant, at_least: Duration) {
        let Phase::Open { since } = self.phase else { return };
        self.used(now.saturating_duration_since(since), at_least);
    }

    fn used(&mut self, total: Duration, at_least: Duration) {
        let connected = total.saturating_sub(self.metered);
        if connected >= at_least && !connected.is_zero() {
            self.metered = total;
            self.events.push_back(Event::Usage(Usage { connected, ..Usage::default() }));
        }
    }

    /// Tells what the caller has said so far.
    fn tell_words(&mut self) {
        if let Some(words) = self.take_words() {
            self.memory.caller("", &words);
            self.events.push_back(Event::CallerText(words));
        }
    }

    fn take_words(&mut self) -> Option<String> {
        let (words, _) = self.said.take()?;
        Some(words.trim().to_owned()).filter(|words| !words.is_empty())
    }

    /// What the model is to say at once, in as many messages as it takes.
    fn comment(&mut self, content: &str, delegation_id: Option<&str>) {
        let mut left = content;
        while !left.is_empty() {
            let is_first = left.len() == content.len();
            let (now, rest) = fitting(left, if is_first { 0 } else { CONTINUED.len() });
            let content = if is_first { now.to_owned() } else { format!("{CONTINUED}{now}") };
            let event_id = self.event_id();
            let comment = ClientEvent::Comment { event_id: &event_id, content: &content, delegation_id };
            self.outbox.push_control(comment.to_text());
            left = rest;
        }
    }

    /// Nobody speaks, and nothing is asked for or owed.
    fn is_calm(&self) -> bool {
        !self.stream.is_speaking() && self.said.is_none() && self.tools.is_settled() && !self.memory.is_unanswered()
    }

    fn settle_tools(&mut self, settled: Settled) {
        match settled {
            Settled::Speak => {
                let event_id = self.event_id();
                self.outbox.push_control(ClientEvent::ResponseCreate { event_id: &event_id }.to_text());
            }
            Settled::NotYet | Settled::Silent => {}
        }
    }

    /// There is no truncation: the model is told what the caller heard.
    fn report(&mut self, cut: &[Cut]) {
        for Cut { utterance, played, received } in cut {
            let id = memory_id(*utterance);
            match (played.as_millis() as u64, received.as_millis() as u64) {
                (0, _) => self.memory.forget(&id),
                (played_ms, received_ms) => self.memory.cut(&id, played_ms, received_ms),
            }
        }
        let Some(Cut { utterance, played, received }) = cut.first() else { return };
        if played >= received && cut.len() == 1 {
            return;
        }
        let content = match self.memory.words_of(&memory_id(*utterance)) {
            "" => "The caller cut you off and heard nothing of what you were about to say.".to_owned(),
            words => format!("The caller cut you off. Of what you said last they heard only this: {words:?}"),
        };
        let event_id = self.event_id();
        let think = ClientEvent::Think { event_id: &event_id, content: short(&content), delegation_id: None };
        self.outbox.push_control(think.to_text());
    }
}

/// What the memory calls an utterance.
fn memory_id(utterance: UtteranceId) -> String {
    format!("utterance_{}", utterance.0)
}

/// As much of it as a message may hold.
fn short(content: &str) -> &str {
    let mut end = content.len().min(LONGEST_CONTENT);
    while !content.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    content.split_at(end).0
}

/// As many whole words as a message may hold beside so many bytes of others, and what is left.
fn fitting(content: &str, others: usize) -> (&str, &str) {
    let (fits, _) = content.split_at(content.floor_char_boundary(LONGEST_CONTENT.saturating_sub(others)));
    let whole = fits.rfind(char::is_whitespace).filter(|end| *end > 0 && fits.len() < content.len());
    let (now, rest) = content.split_at(whole.unwrap_or(fits.len()));
    (now, rest.trim_start())
}

impl Dialect for Session {
    fn endpoint(&self) -> Endpoint {
        let headers = vec![("Authorization".to_owned(), format!("Bearer {}", self.config.api_key))];
        Endpoint::WebSocket { url: self.config.url.clone(), headers }
    }

    fn formats(&self) -> Formats {
        let format = self.config.format.audio();
        Formats { uplink: format, downlink: format }
    }

    fn resume(&mut self, past: Past) {
        past.said.into_iter().for_each(|said| self.memory.recall(said));
        self.memory.settle();
        self.resumed = Some(past.next);
    }

    fn handle_connected(&mut self, now: Instant) {
        if self.phase != Phase::Unconnected {
            return;
        }
        self.phase = Phase::AwaitingStarted { by: now + STARTED_WITHIN };
        let event_id = self.event_id();
        let start = wire::start(&self.config, memory::items(self.memory.told(TOLD)), &event_id);
        self.outbox.push_setup(start);
    }

    fn handle_incoming(&mut self, message: Incoming, now: Instant) {
        match self.phase {
            // What a session says that was left means nothing.
            Phase::Unconnected | Phase::Over => return,
            Phase::AwaitingStarted { .. } | Phase::Open { .. } => {}
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
        self.fail(fault::disconnected(how), now);
    }

    fn hears_again(&mut self, _unworded: Unworded) -> bool {
        // The server answers what it hears.
        self.owes = false;
        self.outbox.drop_audio();
        true
    }

    fn handle_audio(&mut self, audio: &Audio, now: Instant) {
        if self.phase == Phase::Over {
            return;
        }
        self.meter(now, METERED);
        let Some(bytes) = self.config.format.bytes(audio) else {
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

    fn handle_speech(&mut self, speech: Speech, now: Instant) {
        self.rotation.stirred(now);
        match speech {
            Speech::Refuted | Speech::Yielded | Speech::Ended { .. } => self.stream.listen(),
            Speech::Suspected | Speech::Confirmed | Speech::Insisted => {}
        }
    }

    fn keys_taken(&self) -> KeysTaken {
        KeysTaken::AsEntry
    }

    fn handle_keys(&mut self, keys: &str, _now: Instant) {
        if self.phase == Phase::Over {
            return;
        }
        let words = keys::in_words(self.config.language.as_deref(), keys);
        self.memory.note(&words);
        let event_id = self.event_id();
        let content = format!("{words}. Respond to this at once.");
        let instruct = ClientEvent::Instruct { event_id: &event_id, content: &content, delegation_id: None };
        self.outbox.push_control(instruct.to_text());
    }

    fn handle_played_out(&mut self, _heard: Heard, now: Instant) {
        // The model listens and speaks at any time: it is no more than a sign that somebody does.
        self.rotation.stirred(now);
    }

    fn take_half(&mut self) -> Option<String> {
        self.take_words()
    }

    fn interrupt(&mut self, heard: Heard, now: Instant) {
        if let Phase::Open { .. } = self.phase {
            let cut = self.stream.cut(heard, now);
            self.report(&cut);
        }
    }

    fn answer_tool(&mut self, id: ToolCallId, output: String, respond: Respond, _now: Instant) {
        if self.phase == Phase::Over {
            return;
        }
        match self.tools.answer(&id.0, respond) {
            Ok(settled) => {
                let event_id = self.event_id();
                let item = Item::FunctionCallOutput { call_id: &id.0, output: &output };
                self.outbox.push_control(ClientEvent::ItemCreate { event_id: &event_id, item }.to_text());
                self.settle_tools(settled);
            }
            Err(refused) => self.warn(format!("an answer nobody asked for: {refused:?}")),
        }
    }

    fn inform(&mut self, note: Note, _now: Instant) {
        if self.phase == Phase::Over {
            return;
        }
        let words = match note {
            Note::TransferFailed { destination, reason } => format!(
                "The transfer to {destination} failed: {reason}. The caller is back on the line with you. Say so briefly \
                 and offer what else you can do."
            ),
            Note::Say { text } => format!("Say this to the caller, word for word and nothing else: {text}"),
            Note::SayGoodbye { reason } => {
                format!("The call is about to end: {reason}. Say goodbye to the caller in one short sentence.")
            }
        };
        self.comment(&words, None);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Phase::AwaitingStarted { by } = self.phase
            && by <= now
        {
            let failure = Failure { kind: FailureKind::Unavailable, message: "no session.started in time".to_owned() };
            return self.fail(failure, now);
        }
        self.end_utterance(now);
        if self.said.as_ref().is_some_and(|(_, until)| *until <= now) {
            self.tell_words();
        }
        let is_calm = self.is_calm();
        if self.rotation.is_due(is_calm, now) {
            self.follow(now);
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
            Phase::AwaitingStarted { by } => Some((by, "live session started")),
            Phase::Open { .. } => {
                let said = self.said.as_ref().map(|(_, until)| (*until, "live words of the caller"));
                let rotation = self.rotation.deadline().map(|(at, _)| (at, "live end of a session"));
                [said, self.stream.deadline(), rotation].into_iter().flatten().min()
            }
            Phase::Unconnected | Phase::Over => None,
        }
    }
}
