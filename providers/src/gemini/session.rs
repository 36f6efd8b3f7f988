//! The conversation as a [`Dialect`]: what the call tells it. What the server tells it is in `listen`.
mod listen;

use super::{
    calls::{Answer, Calls},
    config::{self, Config},
    connection::{Connection, Due},
    fault,
    notes::{Manners, Notes},
    patience::{Patience, Silence},
    turn::Turns,
    wire,
};
use crate::{
    dialect::{
        Ahead, Dialect, Disconnect, Endpoint, Event, Failure, FailureKind, Formats, Incoming, KeysTaken, Note,
        Outgoing, Respond, ToolCallId,
    },
    keys,
    outbox::Outbox,
    past::{GO_ON, Next, Past},
    pcm::Half,
};
use media::{Audio, AudioFormat, Heard, Speech};
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

/// The most audio in one message.
const LONGEST_PIECE: Duration = Duration::from_secs(1);
/// Caller audio that pauses for longer is said to have ended, so that what the server holds of it is heard.
const AUDIO_PAUSE: Duration = Duration::from_secs(1);
/// How long after the caller stopped the server may take to find words in it; it waits for the end of the turn itself.
const HEARD_WITHIN: Duration = Duration::from_secs(3);

/// What went by without being worth an event each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages of a kind this version does not know.
    pub unknown: u64,
    /// Messages that could not be read.
    pub malformed: u64,
    /// Audio and words of turns that were cut off.
    pub stale: u64,
    /// Caller audio in another format than [`Formats::uplink`], dropped.
    pub wrong_format: u64,
    /// Connections that took the place of another.
    pub resumed: u64,
    /// Caller audio dropped since the provider could not take it.
    pub trimmed: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    Quiet,
    Speaking,
    /// Has just stopped: what was said may still become words, and they an answer.
    Stopped {
        until: Instant,
    },
}

/// Caller audio on its way to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Uplink {
    Paused,
    /// It flows, and counts as paused if no more comes by then.
    Flowing {
        until: Instant,
    },
}

/// One conversation with Gemini Live.
#[derive(Debug)]
pub struct Session {
    config: Config,
    /// Who had the word when another provider left the conversation to us, until it is taken.
    resumed: Option<Next>,
    connection: Connection,
    outbox: Outbox,
    /// For the connection that is to follow.
    ahead: Option<String>,
    events: VecDeque<Event>,
    turns: Turns,
    /// Of the audio that came last.
    half: Half,
    patience: Patience,
    notes: Notes,
    caller: Caller,
    uplink: Uplink,
    /// Words of the caller's turn so far, and when they count as all.
    said: Option<(String, Instant)>,
    calls: Calls,
    unknown_kinds: BTreeMap<String, u64>,
    counters: Counters,
}

impl Session {
    /// A conversation not yet connected.
    pub fn new(config: Config) -> Self {
        let bytes = config::bytes_in;
        let outbox = Outbox::new([bytes(config.batch), bytes(config.backlog), bytes(LONGEST_PIECE)], wire::audio);
        Self {
            config,
            resumed: None,
            connection: Connection::new(),
            outbox,
            ahead: None,
            events: VecDeque::new(),
            turns: Turns::new(),
            half: Half::default(),
            patience: Patience::new(),
            notes: Notes::default(),
            caller: Caller::Quiet,
            uplink: Uplink::Paused,
            said: None,
            calls: Calls::default(),
            unknown_kinds: BTreeMap::new(),
            counters: Counters::default(),
        }
    }

    /// What went by so far.
    pub fn counters(&self) -> Counters {
        let trimmed = usize::try_from(self.outbox.trimmed()).unwrap_or(usize::MAX);
        Counters { trimmed: config::duration_of(trimmed), ..self.counters }
    }

    /// The message kinds this version does not know, and how often each came.
    pub fn unknown_kinds(&self) -> &BTreeMap<String, u64> {
        &self.unknown_kinds
    }

    fn warn(&mut self, words: impl Into<String>) {
        self.events.push_back(Event::Warning(words.into()));
    }

    fn fail(&mut self, failure: Failure) {
        if self.connection.is_over() {
            return;
        }
        self.connection.end();
        self.outbox.clear();
        self.events.push_back(Event::Failed(failure));
    }

    /// Ends the conversation from our side; the driver learns it from `Failed`.
    fn give_up(&mut self, kind: FailureKind, message: impl Into<String>) {
        self.fail(Failure { kind, message: message.into() });
    }

    /// Tells what the caller has said so far.
    fn tell_words(&mut self) {
        let words = self.take_words();
        self.events.extend(words.map(Event::CallerText));
    }

    fn take_words(&mut self) -> Option<String> {
        let (words, _) = self.said.take()?;
        Some(words.trim().to_owned()).filter(|words| !words.is_empty())
    }

    /// Ends the model's turn.
    fn end_turn(&mut self) {
        if let Some(utterance) = self.turns.complete() {
            self.events.push_back(Event::UtteranceDone(utterance));
        }
    }

    /// The model answers: nothing that the caller said is still on its way.
    fn answered(&mut self) {
        self.patience.answered();
        if let Caller::Stopped { .. } = self.caller {
            self.caller = Caller::Quiet;
        }
    }

    /// Nobody speaks, and nobody waits for an answer.
    fn is_silent(&self) -> bool {
        // The server may believe for long that a turn is heard which the caller cut off by a key.
        let model_is_silent = self.turns.is_between() || self.turns.is_cut();
        model_is_silent && self.caller == Caller::Quiet && !self.patience.is_waiting()
    }

    fn ask(&mut self, words: String, manners: Manners, now: Instant) {
        if !self.notes.push(words, manners, now) {
            self.warn("too much waits to be said to the model: the oldest is dropped");
        }
    }

    /// Sends what may be sent, and leaves the connection when that is due.
    fn pump(&mut self, now: Instant) {
        if self.connection.prepare(now) {
            self.events.push_back(Event::Prepare);
        }
        if self.connection.leave(self.is_silent(), now) {
            return self.reconnect();
        }
        if !self.connection.is_open() {
            return;
        }
        while let Some(words) = self.notes.next(self.is_silent(), now) {
            self.say(&words, now);
        }
    }

    fn say(&mut self, words: &str, now: Instant) {
        self.turns.answered_by_another();
        self.outbox.push_control(wire::text(words));
        self.patience.asked(now);
    }

    /// The conversation goes on over another connection; what there is to say waits for it.
    fn reconnect(&mut self) {
        self.end_turn();
        self.outbox.hold();
        if self.connection.was_outdated() {
            self.ahead = None;
            self.events.push_back(Event::Prepare);
        }
        // The one left took nothing any more, not even for the one that follows.
        if let Some(setup) = self.ahead.take() {
            self.outbox.push_setup(setup);
        }
        self.counters.resumed = self.counters.resumed.saturating_add(1);
        self.events.push_back(Event::Reconnect);
    }

    /// A next connection that goes on from an earlier moment knows neither the calls made since nor their answers: these
    /// are told in words. True when there is one to tell.
    fn go_back(&mut self, now: Instant) -> bool {
        if self.connection.is_open() || !self.connection.goes_back() {
            return false;
        }
        self.outbox.drop_control(wire::is_tool_response);
        let answers = self.calls.go_back();
        answers.iter().for_each(|words| self.say(words, now));
        !answers.is_empty()
    }

    fn on_silence(&mut self, silence: Silence, now: Instant) {
        match silence {
            Silence::GiveUp => self.give_up(FailureKind::Silence, "the model fell silent, and stayed so"),
            Silence::AskAgain => {
                self.warn("the model fell silent: it is asked again");
                if self.connection.replace(now) {
                    self.reconnect();
                } else {
                    // What was being said is given up: what comes next is the answer.
                    self.end_turn();
                }
                if !self.go_back(now) {
                    self.say(GO_ON, now);
                }
            }
        }
    }

    fn deadlines(&self) -> [Option<(Instant, &'static str)>; 7] {
        let named = |at: Option<Instant>, why| at.map(|at| (at, why));
        let open = self.connection.is_open();
        let uplink = match self.uplink {
            Uplink::Flowing { until } => Some(until),
            Uplink::Paused => None,
        };
        let heard = match self.caller {
            Caller::Stopped { until } => Some(until),
            Caller::Quiet | Caller::Speaking => None,
        };
        [
            self.connection.deadline(),
            named(heard, "gemini words of the caller"),
            named(self.patience.deadline(), "gemini answer"),
            named(self.notes.deadline().filter(|_| open), "gemini note"),
            named(self.turns.deadline(), "gemini end of an interrupted turn"),
            named(self.said.as_ref().map(|(_, until)| *until), "gemini more words of the caller"),
            named(uplink, "gemini more audio of the caller"),
        ]
    }
}

impl Dialect for Session {
    fn endpoint(&self) -> Endpoint {
        // Never in the query: URLs are logged by everybody.
        let headers = vec![("x-goog-api-key".to_owned(), self.config.api_key.clone())];
        Endpoint::WebSocket { url: self.config.endpoint(), headers }
    }

    fn formats(&self) -> Formats {
        Formats { uplink: AudioFormat::Pcm(config::UPLINK), downlink: AudioFormat::Pcm(config::DOWNLINK) }
    }

    fn resume(&mut self, past: Past) {
        // Of the ways to give it a past this is the one that every model and version takes.
        let Past { next, .. } = past;
        let words = [self.config.instructions.as_str(), &past.in_words()].join("\n\n");
        words.trim_start().clone_into(&mut self.config.instructions);
        self.resumed = Some(next);
    }

    fn handle_connected(&mut self, now: Instant) {
        if self.connection.connected(now) {
            self.outbox.push_setup(wire::setup(&self.config, self.connection.handle()));
        }
    }

    fn handle_ahead(&mut self, ahead: Ahead, now: Instant) {
        match ahead {
            Ahead::Open => {
                let setup = |handle| wire::setup(&self.config, Some(handle));
                self.ahead = self.connection.prepared(now).map(setup);
            }
            Ahead::Lost => {
                self.connection.unprepared();
                self.pump(now);
            }
        }
    }

    fn handle_incoming(&mut self, message: Incoming, now: Instant) {
        if self.connection.is_over() {
            return;
        }
        match message {
            Incoming::Text(text) => self.handle_text(&text, now),
            Incoming::Binary(bytes) => match std::str::from_utf8(&bytes) {
                Ok(text) => self.handle_text(text, now),
                Err(_) => self.malformed("a message that is not UTF-8"),
            },
            Incoming::Job(_) => self.malformed("a job of the speech engine"),
        }
        self.pump(now);
    }

    fn handle_disconnected(&mut self, how: Disconnect, now: Instant) {
        if self.connection.is_over() {
            return;
        }
        let failure = fault::disconnected(how, &self.config.api_key);
        let passing = match failure.kind {
            FailureKind::Connection | FailureKind::Unavailable | FailureKind::SessionExpired => true,
            // The same again would be refused again.
            FailureKind::Authentication
            | FailureKind::Quota
            | FailureKind::Protocol
            | FailureKind::Rate
            | FailureKind::Silence => false,
        };
        let owes_an_answer = self.connection.is_open() && (!self.turns.is_between() || self.patience.is_waiting());
        if !passing || !self.connection.broke(now) {
            return self.fail(failure);
        }
        self.warn(format!("the conversation goes on over another connection: {}", failure.message));
        self.end_turn();
        self.outbox.hold();
        if !self.go_back(now) && owes_an_answer {
            self.say(GO_ON, now);
        }
        self.handle_timeout(now);
    }

    fn handle_audio(&mut self, audio: &Audio, now: Instant) {
        if self.connection.is_over() {
            return;
        }
        let Some(bytes) = config::bytes(audio) else {
            if self.counters.wrong_format == 0 {
                self.warn("caller audio in another format than was agreed is dropped");
            }
            self.counters.wrong_format = self.counters.wrong_format.saturating_add(1);
            return;
        };
        self.uplink = Uplink::Flowing { until: now + AUDIO_PAUSE };
        let untrimmed = self.outbox.trimmed() == 0;
        if self.outbox.push_audio(&bytes) && untrimmed {
            self.warn("the provider does not take the caller's audio: the oldest is dropped");
        }
    }

    fn handle_speech(&mut self, speech: Speech, now: Instant) {
        match speech {
            // Even what is only suspected is not to be torn in two by another connection.
            Speech::Suspected => self.caller = Caller::Speaking,
            Speech::Refuted => self.caller = Caller::Quiet,
            Speech::Confirmed => {
                self.caller = Caller::Speaking;
                self.turns.answered_by_another();
            }
            Speech::Ended { .. } => {
                self.caller = Caller::Stopped { until: now + HEARD_WITHIN };
                self.patience.caller_stopped(now);
            }
            Speech::Yielded | Speech::Insisted => {}
        }
        self.pump(now);
    }

    fn keys_taken(&self) -> KeysTaken {
        KeysTaken::AsEntry
    }

    fn handle_keys(&mut self, keys: &str, now: Instant) {
        if self.connection.is_over() {
            return;
        }
        self.ask(keys::in_words(self.config.language.as_deref(), keys), Manners::Polite, now);
        self.pump(now);
    }

    fn take_half(&mut self) -> Option<String> {
        self.take_words()
    }

    fn handle_played_out(&mut self, _heard: Heard, _now: Instant) {
        // The server keeps no count of what was heard.
    }

    fn interrupt(&mut self, _heard: Heard, _now: Instant) {
        // The server hears the caller for itself; what it still says until then is stale.
        self.turns.cut();
        self.patience.interrupted();
    }

    fn answer_tool(&mut self, id: ToolCallId, output: String, respond: Respond, now: Instant) {
        if self.connection.is_over() {
            return;
        }
        match self.calls.answered(&id.0, &output, respond) {
            Answer::Respond(name) => {
                self.outbox.push_control(wire::tool_response(&id.0, &name, &output, respond));
                match respond {
                    Respond::Yes => self.patience.asked(now),
                    Respond::No => {}
                }
            }
            Answer::Tell(words) => {
                self.ask(words, Manners::Polite, now);
                self.pump(now);
            }
            Answer::Drop => {}
            Answer::Unasked => self.warn("an answer to a call that nobody made"),
        }
    }

    fn inform(&mut self, note: Note, now: Instant) {
        if self.connection.is_over() {
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
        self.ask(words, manners, now);
        self.pump(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        match self.connection.due(now) {
            Some(Due::NoSetupComplete) => return self.give_up(FailureKind::Unavailable, "no setupComplete in time"),
            Some(Due::Reconnect) => self.reconnect(),
            None => {}
        }
        if self.connection.is_over() {
            return;
        }
        if self.turns.deadline().is_some_and(|by| by <= now) {
            self.end_turn();
        }
        if self.said.as_ref().is_some_and(|(_, until)| *until <= now) {
            self.tell_words();
        }
        if let Caller::Stopped { until } = self.caller
            && until <= now
        {
            self.caller = Caller::Quiet;
        }
        if let Uplink::Flowing { until } = self.uplink
            && until <= now
        {
            self.uplink = Uplink::Paused;
            if self.connection.is_open() {
                self.outbox.push_control(wire::audio_stream_end());
            }
        }
        if let Some(silence) = self.patience.overdue(now) {
            self.on_silence(silence, now);
        }
        self.pump(now);
    }

    fn poll_outgoing(&mut self) -> Option<Outgoing> {
        self.ahead.take().map(Outgoing::Ahead).or_else(|| self.outbox.poll().map(Outgoing::Text))
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        if self.connection.is_over() {
            return None;
        }
        self.deadlines().into_iter().flatten().min()
    }
}
