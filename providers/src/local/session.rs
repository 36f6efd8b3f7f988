//! The built-in provider as a [`Dialect`]: turns become transcriptions, transcriptions become replies, replies become
//! speech.
use super::{
    Config, Hearing,
    ears::{Ears, Turn},
    mouth::{Floor, Kind, Line, Mouth, Origin, Reply},
    reception::Reception,
    transcript,
};
use crate::{
    Dialect, Disconnect, Endpoint, Event, Failure, FailureKind, Formats, Incoming, Job, JobDone, JobId, JobOutput,
    KeysTaken, Next, Note, Outgoing, Past, Respond, Said, ToolCallId, Usage,
};
use media::{Audio, AudioFormat, Frame, Heard, Speech, UtteranceId};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Longest wait for a transcription before the caller is asked to say it again.
const TRANSCRIPTION_DEADLINE: Duration = Duration::from_secs(15);
/// Transcriptions under way at once; a caller who talks faster than that has the oldest forgotten.
const MAX_TRANSCRIPTIONS: usize = 8;

/// What waits to be fetched by the owner.
#[derive(Debug, Default)]
pub(super) struct Out {
    pub(super) events: VecDeque<Event>,
    outgoing: VecDeque<Outgoing>,
    jobs: u64,
}

impl Out {
    /// Sends a job to the engine.
    pub(super) fn job(&mut self, job: Job) -> JobId {
        self.jobs += 1;
        let id = JobId(self.jobs);
        self.outgoing.push_back(Outgoing::Job(id, job));
        id
    }

    pub(super) fn poll_outgoing(&mut self) -> Option<Outgoing> {
        self.outgoing.pop_front()
    }

    fn warn(&mut self, text: impl Into<String>) {
        self.events.push_back(Event::Warning(text.into()));
    }
}

/// A piece of a caller's turn on its way to words.
#[derive(Debug)]
struct Piece {
    job: JobId,
    words: Words,
}

#[derive(Debug)]
enum Words {
    Awaited { deadline: Instant },
    Known(String),
    Late,
}

#[derive(Debug, PartialEq, Eq)]
enum Life {
    Waiting,
    Talking,
    Over,
}

/// One conversation of the built-in provider.
#[derive(Debug)]
pub struct Session {
    reception: Reception,
    life: Life,
    ears: Ears,
    mouth: Mouth,
    out: Out,
    /// Pieces of the caller's present turn, oldest first.
    pieces: VecDeque<Piece>,
    /// Words of a turn whose answer was withdrawn because the caller went on.
    unfinished: String,
    /// The last reply worth repeating.
    last_answer: Option<Reply>,
    /// What the caller said last, while the reply to it is being heard.
    answering: Option<String>,
    playing: Option<UtteranceId>,
    misunderstood: u32,
    rehearsal: Rehearsal,
    /// What another provider left to go on with, until this one has the word.
    past: Option<Past>,
    /// Said in front of the first reply to a caller who was greeted by another provider.
    preface: Vec<Line>,
}

/// First sentences of the answers, spoken to nobody while nothing else is to be done: the engine remembers what it has
/// spoken, so an answer then begins at once.
#[derive(Debug)]
struct Rehearsal {
    left: VecDeque<Line>,
    job: Option<JobId>,
}

impl Session {
    /// A conversation that begins when [`Dialect::handle_connected`] is called.
    pub fn new(config: Config) -> Self {
        let (ears, mouth) = (Ears::new(config.heard_at), Mouth::new(config.spoken_at));
        let reception = Reception::new(config);
        Self {
            rehearsal: Rehearsal { left: reception.first_sentences().into(), job: None },
            reception,
            life: Life::Waiting,
            ears,
            mouth,
            out: Out::default(),
            pieces: VecDeque::new(),
            unfinished: String::new(),
            last_answer: None,
            answering: None,
            playing: None,
            misunderstood: 0,
            past: None,
            preface: Vec::new(),
        }
    }

    /// Answers what the caller said last to the provider before this one, if they wait for that.
    fn go_on(&mut self, past: &Past) {
        self.preface = self.reception.disclosure();
        let asked = past.said.iter().rev().find_map(|said| match said {
            Said::Caller(words) => Some(words.clone()),
            Said::Assistant(_) => None,
        });
        let reply = match (past.next, self.reception.config().hearing) {
            // Nobody has told them of the keys.
            (Next::Listen | Next::GoOn, Hearing::None) => self.reception.menu(),
            (Next::Listen, Hearing::Words) => return,
            (Next::GoOn, Hearing::Words) => {
                asked.and_then(|words| self.reception.reply(&words)).unwrap_or_else(|| self.reception.help())
            }
        };
        self.say(reply, Origin::Us);
    }

    fn say(&mut self, mut reply: Reply, origin: Origin) {
        reply.lines.splice(0..0, std::mem::take(&mut self.preface));
        if reply.kind == Kind::Answer {
            self.last_answer = Some(reply.clone());
        }
        self.mouth.say(reply, origin);
    }

    fn advance(&mut self, now: Instant) {
        let busy = self.ears.is_talking() || !self.pieces.is_empty();
        let floor = if busy { Floor::Taken } else { Floor::Free };
        if let Some(utterance) = self.mouth.advance(floor, now, &mut self.out) {
            self.playing = Some(utterance);
        }
        if self.out.events.iter().any(|event| matches!(event, Event::Failed(_))) {
            self.life = Life::Over;
        }
        if self.life == Life::Talking && !busy && self.mouth.is_idle() {
            self.rehearse();
        }
    }

    /// One at a time, so that an answer never waits for more than one of them.
    fn rehearse(&mut self) {
        if self.rehearsal.job.is_some() {
            return;
        }
        if let Some(Line::Text { text, language }) = self.rehearsal.left.pop_front() {
            let (language, rate) = (language.tag().to_owned(), self.mouth.rate());
            self.rehearsal.job = Some(self.out.job(Job::Speak { text, language, rate }));
        }
    }

    fn turn_ended(&mut self, turn: Turn, now: Instant) {
        if turn.truncated {
            self.out.warn("the caller's turn was longer than the recogniser takes at once");
        }
        if self.reception.config().hearing == Hearing::None {
            let reply = self.reception.parrot(turn.speech);
            return self.say(reply, Origin::Caller(String::new()));
        }
        if self.pieces.len() >= MAX_TRANSCRIPTIONS {
            self.pieces.pop_front();
            self.out.warn("the oldest part of the caller's turn was forgotten: the recogniser is too slow");
        }
        let transcribed = turn.speech.duration();
        let language = self.reception.config().language.tag().to_owned();
        let job = self.out.job(Job::Transcribe { speech: turn.speech, language });
        self.pieces.push_back(Piece { job, words: Words::Awaited { deadline: now + TRANSCRIPTION_DEADLINE } });
        self.out.events.push_back(Event::Usage(Usage { transcribed, ..Usage::default() }));
    }

    fn job_done(&mut self, done: JobDone) {
        if self.rehearsal.job == Some(done.id) {
            // A sentence that cannot be spoken is noticed when it is needed.
            self.rehearsal.job = None;
            return;
        }
        let Some(piece) = self.pieces.iter_mut().find(|piece| piece.job == done.id) else {
            return self.mouth.job_done(done.id, done.result, &mut self.out);
        };
        piece.words = match done.result {
            Ok(JobOutput::Text(text)) => Words::Known(transcript::clean(&text)),
            Ok(JobOutput::Speech(_)) => Words::Known(String::new()),
            Err(reason) => {
                self.out.warn(format!("a turn was not recognised: {reason}"));
                Words::Late
            }
        };
    }

    /// Answers the caller's turn once they are silent and all of it is words.
    fn settle(&mut self) {
        let awaited = self.pieces.iter().any(|piece| matches!(piece.words, Words::Awaited { .. }));
        if self.ears.is_talking() || awaited || self.pieces.is_empty() {
            return;
        }
        let pieces = std::mem::take(&mut self.pieces);
        let late = pieces.iter().any(|piece| matches!(piece.words, Words::Late));
        let known = pieces.into_iter().filter_map(|piece| match piece.words {
            Words::Known(text) if !text.is_empty() => Some(text),
            Words::Known(_) | Words::Awaited { .. } | Words::Late => None,
        });
        let said = transcript::said_once(&known.collect::<Vec<_>>().join(" "));
        let unfinished = std::mem::take(&mut self.unfinished);
        // Who gets no answer says it all again.
        let whole = transcript::said_once(&[unfinished.as_str(), said.as_str()].join(" "));
        if !said.is_empty() {
            self.out.events.push_back(Event::CallerText(said));
        }
        if whole.is_empty() {
            return self.apologise(late);
        }
        if self.answering.as_ref() == Some(&whole) && self.playing.is_some() {
            return self.out.warn("the caller's last words came again while they were being answered");
        }
        self.misunderstood = 0;
        self.answering = Some(whole.clone());
        let reply = self.reception.reply(&whole);
        let again = || self.last_answer.clone().unwrap_or_else(|| self.reception.nothing_to_repeat());
        let reply = reply.unwrap_or_else(again);
        self.say(reply, Origin::Caller(whole));
    }

    fn apologise(&mut self, late: bool) {
        self.misunderstood += 1;
        let reply = match (late, self.misunderstood) {
            (true, _) => self.reception.slow_ears(),
            (false, 0 | 1) => self.reception.not_understood(),
            (false, _) => self.reception.still_not_understood(),
        };
        self.say(reply, Origin::Caller(String::new()));
    }

    /// The caller goes on: what they have not begun to hear answers only half of what they say.
    fn caller_goes_on(&mut self) {
        let asked = self.mouth.withdraw();
        if !asked.is_empty() {
            self.unfinished = [self.unfinished.as_str(), asked.as_str()].join(" ").trim().to_owned();
        }
    }

    fn fail(&mut self, kind: FailureKind, message: impl Into<String>) {
        self.out.events.push_back(Event::Failed(Failure { kind, message: message.into() }));
        self.life = Life::Over;
    }
}

impl Dialect for Session {
    fn endpoint(&self) -> Endpoint {
        Endpoint::Engine
    }

    fn formats(&self) -> Formats {
        Formats { uplink: AudioFormat::Pcm(self.ears.rate()), downlink: AudioFormat::Pcm(self.mouth.rate()) }
    }

    fn resume(&mut self, past: Past) {
        self.past = Some(past);
    }

    fn handle_connected(&mut self, now: Instant) {
        if self.life != Life::Waiting {
            return;
        }
        self.life = Life::Talking;
        self.out.events.push_back(Event::Ready);
        let config = self.reception.config();
        if config.voice != config.language {
            let (voice, language) = (config.voice.tag(), config.language.tag());
            self.out.warn(format!("there is no voice for {language}: an {voice} one reads its texts"));
        }
        match self.past.take() {
            Some(past) => self.go_on(&past),
            None => {
                let greeting = self.reception.greeting();
                self.say(greeting, Origin::Us);
            }
        }
        self.advance(now);
    }

    fn handle_incoming(&mut self, message: Incoming, now: Instant) {
        if self.life == Life::Over {
            return;
        }
        match message {
            Incoming::Job(done) => self.job_done(done),
            Incoming::Text(_) | Incoming::Binary(_) => self.out.warn("a WebSocket message for a provider without one"),
        }
        self.settle();
        self.advance(now);
    }

    fn handle_disconnected(&mut self, how: Disconnect, _now: Instant) {
        if self.life != Life::Over {
            self.fail(FailureKind::Connection, format!("the speech engine is gone: {how:?}"));
        }
    }

    fn handle_audio(&mut self, audio: &Audio, _now: Instant) {
        match audio {
            Audio::Pcm(Frame { rate, samples }) if *rate == self.ears.rate() => self.ears.hear(samples),
            Audio::Pcm(_) | Audio::G711 { .. } => debug_assert!(false, "uplink audio in a format we did not ask for"),
        }
    }

    fn handle_speech(&mut self, speech: Speech, now: Instant) {
        if self.life != Life::Talking {
            return;
        }
        if let Some(turn) = self.ears.judge(speech, now) {
            self.turn_ended(turn, now);
        }
        if speech == Speech::Confirmed {
            self.caller_goes_on();
        }
        self.settle();
        self.advance(now);
    }

    fn keys_taken(&self) -> KeysTaken {
        KeysTaken::OneByOne
    }

    fn handle_keys(&mut self, keys: &str, now: Instant) {
        // One by one, but for keys that might have begun an option of the secretary's: the last is the latest wish.
        let Some(digit) = keys.chars().last().filter(|_| self.life == Life::Talking) else { return };
        self.mouth.withdraw();
        self.unfinished.clear();
        let reply = if digit == '#' || digit == '*' { self.reception.menu() } else { self.reception.key(digit) };
        self.say(reply, Origin::Caller(String::new()));
        self.advance(now);
    }

    fn handle_played_out(&mut self, heard: Heard, _now: Instant) {
        if self.playing == Some(heard.utterance) {
            self.playing = None;
        }
    }

    fn interrupt(&mut self, heard: Heard, now: Instant) {
        self.playing = None;
        self.mouth.cut(heard.utterance);
        self.advance(now);
    }

    fn answer_tool(&mut self, _id: ToolCallId, output: String, respond: Respond, now: Instant) {
        match respond {
            Respond::No => {}
            Respond::Yes => {
                let reply = self.reception.tool_outcome(&output);
                self.say(reply, Origin::Us);
                self.advance(now);
            }
        }
    }

    fn inform(&mut self, note: Note, now: Instant) {
        let reply = match note {
            Note::TransferFailed { destination, reason } => self.reception.transfer_failed(&destination, &reason),
            Note::Say { text } => self.reception.say(&text),
            Note::SayGoodbye { reason } => {
                // An answer that has yet to be heard would be taken for the goodbye.
                self.mouth.withdraw();
                self.reception.goodbye(&reason)
            }
        };
        self.say(reply, Origin::Us);
        self.advance(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.life != Life::Talking {
            return;
        }
        for piece in &mut self.pieces {
            if matches!(piece.words, Words::Awaited { deadline } if deadline <= now) {
                piece.words = Words::Late;
                self.out
                    .events
                    .push_back(Event::Warning(format!("no transcription within {TRANSCRIPTION_DEADLINE:?}")));
            }
        }
        self.mouth.handle_timeout(now, &mut self.out);
        self.settle();
        self.advance(now);
    }

    fn poll_outgoing(&mut self) -> Option<Outgoing> {
        self.out.poll_outgoing()
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.out.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        if self.life != Life::Talking {
            return None;
        }
        let transcription = self.pieces.iter().filter_map(|piece| match piece.words {
            Words::Awaited { deadline } => Some((deadline, "transcription")),
            Words::Known(_) | Words::Late => None,
        });
        let sentence = self.mouth.deadline().map(|deadline| (deadline, "speech synthesis"));
        transcription.chain(sentence).min()
    }
}
