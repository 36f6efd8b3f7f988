//! What a call needs of a provider, and what a provider tells a call. The call knows no vendor's name.
use crate::past::Past;
use crate::receipt::Receipt;
use crate::request::{Errand, Part, RequestId};
use media::{Audio, AudioFormat, Frame, Heard, SampleRate, Speech, UtteranceId};
use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

/// Where the other side of a dialect is.
#[derive(Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A WebSocket; headers may hold secrets, so `Debug` shows only their names.
    WebSocket {
        /// `ws://` or `wss://`.
        url: String,
        /// Header name and value, sent with the upgrade.
        headers: Vec<(String, String)>,
    },
    /// A WebSocket whose address is asked for first, since it is good for one conversation only. It holds a secret, and
    /// so may the headers.
    SignedWebSocket {
        /// `http://` or `https://`, to be fetched with GET; the answer is JSON.
        request: String,
        /// Header name and value, sent with the request alone.
        headers: Vec<(String, String)>,
        /// Which member of the answer is the address.
        member: &'static str,
    },
    /// No connection: jobs for the speech engine inside this process ([`Outgoing::Job`]) and requests only.
    Engine,
}

impl Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = |headers: &[(String, String)]| headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        match self {
            Self::WebSocket { url, headers } => {
                f.debug_struct("WebSocket").field("url", url).field("headers", &names(headers)).finish()
            }
            Self::SignedWebSocket { request, headers, member } => f
                .debug_struct("SignedWebSocket")
                .field("request", request)
                .field("headers", &names(headers))
                .field("member", member)
                .finish(),
            Self::Engine => f.write_str("Engine"),
        }
    }
}

/// Audio formats of the two directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Formats {
    /// What [`Dialect::handle_audio`] must be fed with.
    pub uplink: AudioFormat,
    /// What [`Event::Audio`] carries as a rule; each piece knows its own rate.
    pub downlink: AudioFormat,
}

/// One job for the speech engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// Work for the speech engine inside this process; it answers with [`JobDone`], in any order.
#[derive(Clone, Debug, PartialEq)]
pub enum Job {
    /// Recognise what the caller said.
    Transcribe {
        /// Mono PCM of one caller turn.
        speech: Frame,
        /// BCP 47, e.g. `pt-BR` or `en-US`.
        language: String,
    },
    /// Say a sentence.
    Speak {
        /// Plain text of one sentence or a few.
        text: String,
        /// BCP 47.
        language: String,
        /// The most samples a second: a voice that is not as wide speaks as it can.
        rate: SampleRate,
    },
}

impl Job {
    /// As wide as the engine hears and speaks at all: what recognisers take, and wideband calls have.
    pub const WIDEST: SampleRate = SampleRate::HZ_16000;
}

/// What a finished job yields.
#[derive(Clone, Debug, PartialEq)]
pub enum JobOutput {
    /// Recognised words; empty when nothing was understood.
    Text(String),
    /// Speech.
    Speech(Frame),
}

/// A job that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct JobDone {
    /// Which.
    pub id: JobId,
    /// The output, or why there is none, in words for the log.
    pub result: Result<JobOutput, String>,
}

/// From a dialect to its provider.
#[derive(Clone, Debug, PartialEq)]
pub enum Outgoing {
    /// WebSocket text frame.
    Text(String),
    /// WebSocket binary frame.
    Binary(Vec<u8>),
    /// Work for the engine.
    Job(JobId, Job),
    /// WebSocket text frame for the connection that was asked for by [`Event::Prepare`].
    Ahead(String),
    /// Close the connection normally; nothing follows.
    Close,
}

/// From a provider to its dialect.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// WebSocket text frame.
    Text(String),
    /// WebSocket binary frame.
    Binary(Vec<u8>),
    /// The engine finished a job.
    Job(JobDone),
}

/// How a connection ended, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disconnect {
    /// Name resolution, TCP, TLS or timeout before the WebSocket was open.
    Unreachable(String),
    /// The upgrade was answered with this HTTP status.
    Refused(u16),
    /// A close frame, or `None` when the connection broke without one.
    Closed(Option<(u16, String)>),
}

/// How it is with the connection that was asked for by [`Event::Prepare`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ahead {
    /// It is open.
    Open,
    /// It is not to be had, or not any more.
    Lost,
}

/// A function the assistant may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// When to use it, for the model.
    pub description: String,
    /// JSON schema of its arguments.
    pub parameters: serde_json::Value,
}

/// A tool call's identity, the provider's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ToolCallId(pub String);

/// Whether the assistant should speak after a tool's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Respond {
    /// Say something about it.
    Yes,
    /// The answer is for the record; stay silent.
    No,
}

/// How a dialect takes the caller's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysTaken {
    /// Each at once: it has a menu of single keys.
    OneByOne,
    /// Collected, until the caller ends the entry.
    AsEntry,
}

/// Whether caller and assistant can hear each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// They can.
    Open,
    /// The call is on hold: there is silence both ways, and nobody need be asked why.
    Held,
}

/// What the caller said that is no text yet, when a conversation goes on over a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unworded {
    /// All of it: turns that are over and want an answer, too.
    All,
    /// The turn the caller is in.
    Turn,
}

/// Something the assistant must know, from us and not from the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The caller is back: the transfer failed, for this reason in plain words. Speak.
    TransferFailed {
        /// Who could not be reached.
        destination: String,
        /// Why, in plain English ("busy", "no answer").
        reason: String,
    },
    /// The caller is to hear this, word for word.
    Say {
        /// In the secretary's language.
        text: String,
    },
    /// The call is about to end for this reason: say goodbye in one sentence.
    SayGoodbye {
        /// In plain English ("the time limit of this call is reached").
        reason: String,
    },
}

/// Tokens and seconds used, to be added to what was reported before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Text tokens in, not counting cached ones.
    pub input_text: u64,
    /// Audio tokens in, not counting cached ones.
    pub input_audio: u64,
    /// Cached text tokens in.
    pub cached_text: u64,
    /// Cached audio tokens in.
    pub cached_audio: u64,
    /// Text tokens out.
    pub output_text: u64,
    /// Audio tokens out.
    pub output_audio: u64,
    /// Characters that were made speech and are billed by their number.
    pub spoken_characters: u64,
    /// Caller audio transcribed and billed by time.
    pub transcribed: Duration,
    /// Time of a conversation that is billed by its length.
    pub connected: Duration,
}

impl Usage {
    /// Counts this as well.
    pub fn add(&mut self, more: &Self) {
        self.input_text += more.input_text;
        self.input_audio += more.input_audio;
        self.cached_text += more.cached_text;
        self.cached_audio += more.cached_audio;
        self.output_text += more.output_text;
        self.output_audio += more.output_audio;
        self.spoken_characters += more.spoken_characters;
        self.transcribed += more.transcribed;
        self.connected += more.connected;
    }

    /// Tokens in, of every kind.
    pub const fn input_tokens(&self) -> u64 {
        self.input_text + self.input_audio + self.cached_text + self.cached_audio
    }

    /// Tokens out, of every kind.
    pub const fn output_tokens(&self) -> u64 {
        self.output_text + self.output_audio
    }
}

/// What kind of trouble a provider is in; decides what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Key missing, wrong or revoked: trying again is useless.
    Authentication,
    /// Out of credit: trying again is useless today.
    Quota,
    /// Our message was not understood: our bug or a changed API.
    Protocol,
    /// The session reached its longest life.
    SessionExpired,
    /// Not reachable, or the connection broke.
    Connection,
    /// The provider is there and says it cannot now.
    Unavailable,
    /// We asked for more than our share: it can, but not for us, and not now.
    Rate,
    /// It is there, and answers nothing.
    Silence,
}

impl FailureKind {
    /// For records and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::Quota => "quota",
            Self::Protocol => "protocol",
            Self::SessionExpired => "session expired",
            Self::Connection => "connection",
            Self::Unavailable => "unavailable",
            Self::Rate => "rate limit",
            Self::Silence => "silence",
        }
    }
}

/// The provider conversation is over; no further event follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind.
    pub kind: FailureKind,
    /// The provider's own words, for the log and the record; never a secret.
    pub message: String,
}

/// What a provider says, in our words.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The session is configured; the first message is on its way. Once in a conversation.
    Ready,
    /// The conversation will go on over a new connection: it is to be opened now, to [`Dialect::endpoint`], beside the one
    /// there is, and what it says to be kept until [`Self::Reconnect`]. It takes the place of one asked for before.
    Prepare,
    /// The conversation goes on over a new connection: the one there is, if any, is to be dropped, and the prepared one used
    /// or, where there is none, [`Dialect::endpoint`] connected again. What waits to be sent waits for it.
    Reconnect,
    /// The assistant works on its answer without a word, by means of its own: it is not silent for this long from here on.
    Working(Duration),
    /// The provider heard the caller start to speak.
    SpeechStarted,
    /// The provider heard the caller stop.
    SpeechStopped,
    /// Speech of the assistant. Its first event opens the utterance.
    Audio {
        /// Whose.
        utterance: UtteranceId,
        /// What.
        audio: Audio,
    },
    /// No more audio of this utterance will come.
    UtteranceDone(UtteranceId),
    /// What the assistant says, as words; may run ahead of the audio.
    AssistantText {
        /// Of which utterance.
        utterance: UtteranceId,
        /// The next words, to be appended.
        delta: String,
    },
    /// What the caller heard of an utterance that was cut off, as the provider knows it: it replaces our estimate.
    AssistantHeard {
        /// Which utterance.
        utterance: UtteranceId,
        /// All that was heard of it.
        text: String,
    },
    /// What the caller said in a finished turn.
    CallerText(String),
    /// Of a provider that is made of parts: its model begins to write an answer, whose speech is to follow.
    Thought,
    /// The assistant wants something done; answer with [`Dialect::answer_tool`].
    ToolCall {
        /// To answer with.
        id: ToolCallId,
        /// Name of the tool: `transfer` or `end_call`.
        name: String,
        /// JSON text, not validated.
        arguments: String,
    },
    /// Tokens used since the last such event.
    Usage(Usage),
    /// Where it is told after the conversation what that cost.
    Receipt(Receipt),
    /// Trouble that leaves the conversation alive; counted and logged.
    Warning(String),
    /// The conversation is over.
    Failed(Failure),
}

/// One conversation with a provider, without a socket.
///
/// Feed `handle_*`, then drain `poll_outgoing` and `poll_event`; call `handle_timeout` when `poll_timeout` says.
pub trait Dialect: Debug + Send {
    /// Where to connect.
    fn endpoint(&self) -> Endpoint;
    /// What audio goes in and comes out. A provider that decides by itself may have settled it with [`Event::Ready`] only;
    /// from there on it is fixed.
    fn formats(&self) -> Formats;
    /// The conversation is one that another provider began; told before [`Self::handle_connected`], if at all. Nobody is
    /// greeted again, and the model knows what was said. Without a memory there is nothing to do.
    fn resume(&mut self, _past: Past) {}
    /// The connection is open.
    fn handle_connected(&mut self, now: Instant);
    /// How it is with the connection that [`Event::Prepare`] asked for.
    fn handle_ahead(&mut self, _ahead: Ahead, _now: Instant) {}
    /// A message from the provider.
    fn handle_incoming(&mut self, message: Incoming, now: Instant);
    /// There is no connection, or no longer.
    fn handle_disconnected(&mut self, how: Disconnect, now: Instant);
    /// [`Event::Reconnect`] is about to be done: whether this is to be heard again over the new connection. If so,
    /// [`Self::handle_audio`] is given it next, from its beginning, and caller audio that was not sent is of no use; whoever
    /// hears a turn again owes it no other answer. Asked of the more first. Where the server remembers what it heard, only
    /// the turn the caller is in is of use.
    fn hears_again(&mut self, unworded: Unworded) -> bool {
        match unworded {
            Unworded::All => false,
            Unworded::Turn => true,
        }
    }
    /// Caller audio in [`Formats::uplink`], in sequence and without gaps, silence included.
    fn handle_audio(&mut self, audio: &Audio, now: Instant);
    /// The local detector changed its mind about the caller.
    fn handle_speech(&mut self, speech: Speech, now: Instant);
    /// The call was put on hold, or is back; told of one that is ready, and open until then.
    fn handle_line(&mut self, _line: Line, _now: Instant) {}
    /// How it wants to be told of keys; fixed for the life of the conversation.
    fn keys_taken(&self) -> KeysTaken;
    /// The caller pressed these of `0`–`9`, `*`, `#` and `A`–`D`: one, or an entry with the `#` that ended it. Speak.
    fn handle_keys(&mut self, keys: &str, now: Instant);
    /// All of an utterance has left as RTP.
    fn handle_played_out(&mut self, heard: Heard, now: Instant);
    /// Words of the caller that had come and were not told yet, since they may be half of what was said: asked when it
    /// failed, or the call is over. Whoever hears the caller again has no use for them.
    fn take_half(&mut self) -> Option<String> {
        None
    }
    /// The caller cut the assistant off; the playout is already empty.
    fn interrupt(&mut self, heard: Heard, now: Instant);
    /// Nothing of it is heard or waits to be heard any more, whatever was cut.
    fn silenced(&mut self, _now: Instant) {}
    /// The outcome of a tool call, as JSON text.
    fn answer_tool(&mut self, id: ToolCallId, output: String, respond: Respond, now: Instant);
    /// The assistant must know this, and speak.
    fn inform(&mut self, note: Note, now: Instant);
    /// Since when it has been making an answer of which no sound has come yet, if it is and means the caller to hear that
    /// it takes long.
    fn answering_since(&self) -> Option<Instant> {
        None
    }
    /// Advances time.
    fn handle_timeout(&mut self, now: Instant);
    /// The next message to send.
    fn poll_outgoing(&mut self) -> Option<Outgoing>;
    /// The next thing wanted beside the connection; most dialects want nothing.
    fn poll_errand(&mut self) -> Option<Errand> {
        None
    }
    /// A part of the answer to a request of [`Dialect::poll_errand`].
    fn handle_answer(&mut self, _id: RequestId, _part: Part, _now: Instant) {}
    /// The next event.
    fn poll_event(&mut self) -> Option<Event>;
    /// When `handle_timeout` is next wanted, and why.
    fn poll_timeout(&self) -> Option<(Instant, &'static str)>;
}
