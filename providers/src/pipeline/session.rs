//! One conversation of separate parts as a [`Dialect`].
mod answer;
mod listen;

use super::{
    config::{Config, Filler, Hearing},
    ears::Ears,
    fault,
    history::History,
    uplink::Uplink,
    wire::{listen as socket, probe, voice::PiperPath},
};
use crate::{
    Dialect, Disconnect, Endpoint, Errand, Event, Failure, Formats, HttpRequest, Incoming, Job, JobDone, JobId,
    KeysTaken, Next, Note, Outgoing, Part, Past, RequestId, Respond, Said, ToolCallId, Unworded, Usage, keys,
    past::GO_ON,
};
use answer::{Answer, Origin, Prompt};
use listen::Writing;
use media::{Audio, AudioFormat, Heard, SampleRate, Speech, UtteranceId};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// What a service for turns is sent at most.
const TURNS_AT: SampleRate = SampleRate::HZ_16000;
/// Deepgram's advice for Flux; nova takes any.
const FLUX_BATCH: Duration = Duration::from_millis(80);
const NOVA_BATCH: Duration = Duration::from_millis(40);
/// What a listening service is paid for, told in pieces of this length.
const BILLED: Duration = Duration::from_secs(1);
/// Connections that may be lost in a row before there is no ear.
const MOST_RECONNECTS: u32 = 3;
/// The most that is read of an answer to a probe, bytes.
const LONGEST_REFUSAL: usize = 4 << 10;
/// What was not answered in a row after which there is no mind.
const MOST_LOST: u32 = 3;

/// What waits to be fetched by the owner.
#[derive(Debug)]
pub(super) struct Out {
    pub(super) events: VecDeque<Event>,
    errands: VecDeque<Errand>,
    numbers: u64,
    history: History,
}

impl Out {
    pub(super) fn request(&mut self, request: HttpRequest) -> RequestId {
        self.numbers += 1;
        let id = RequestId(self.numbers);
        self.errands.push_back(Errand::Send(id, request));
        id
    }

    pub(super) fn abort(&mut self, id: RequestId) {
        self.errands.push_back(Errand::Abort(id));
    }

    pub(super) fn job(&mut self, job: Job) -> JobId {
        self.numbers += 1;
        let id = JobId(self.numbers);
        self.errands.push_back(Errand::Job(id, job));
        id
    }

    /// The next words of an utterance, whose sound follows.
    pub(super) fn says(&mut self, utterance: UtteranceId, text: &str) {
        let delta = format!("{text} ");
        self.history.says(utterance, text);
        self.events.push_back(Event::AssistantText { utterance, delta });
    }

    /// All of the words of an utterance that were last begun has its sound.
    pub(super) fn said(&mut self, utterance: UtteranceId) {
        self.history.said(utterance);
    }

    pub(super) fn speak(&mut self, utterance: UtteranceId, audio: Audio) {
        self.history.takes(utterance, audio.duration());
        self.events.push_back(Event::Audio { utterance, audio });
    }

    fn warn(&mut self, text: impl Into<String>) {
        self.events.push_back(Event::Warning(text.into()));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Waiting,
    Talking,
    Over,
}

/// A service that was asked whether it is there.
#[derive(Debug)]
struct Probe {
    id: RequestId,
    /// That of the service, which its answer may quote.
    key: Option<String>,
    status: Option<u16>,
    body: Vec<u8>,
}

/// What is being heard of us.
#[derive(Debug)]
struct Playing {
    utterance: UtteranceId,
    /// Words of the caller that are answered once it is known how much of it was heard.
    over: Option<String>,
}

/// One conversation of separate parts.
#[derive(Debug)]
pub struct Session {
    config: Config,
    life: Life,
    connected: bool,
    /// Services whose word is awaited.
    probes: Vec<Probe>,
    past: Option<Past>,
    ears: Ears,
    uplink: Option<Uplink>,
    unbilled: Duration,
    lost_connections: u32,
    /// Turns on their way to words.
    writing: VecDeque<Writing>,
    answer: Option<Answer>,
    prompts: VecDeque<Prompt>,
    /// An answer was withdrawn from a caller who seemed to go on.
    owed: bool,
    /// Our detector hears the caller.
    voiced: bool,
    /// Since when an answer is being made of which nothing is heard yet.
    answering: Option<Instant>,
    playing: Option<Playing>,
    utterances: u64,
    piper: PiperPath,
    lost_answers: u32,
    out: Out,
}

impl Session {
    /// A conversation that begins when [`Dialect::handle_connected`] is called.
    pub fn new(config: Config) -> Self {
        let history = History::new(config.instructions.clone());
        let probes = probe::requests(&config);
        let batch = match config.hearing {
            Hearing::Nova { .. } => Some(NOVA_BATCH),
            Hearing::Flux { .. } => Some(FLUX_BATCH),
            Hearing::Transcriptions { .. } | Hearing::Engine => None,
        };
        let mut session = Self {
            ears: Ears::new(&config.hearing, config.call.rate().min(TURNS_AT)),
            uplink: batch.map(|batch| Uplink::new(config.call, batch)),
            config,
            life: Life::Waiting,
            connected: false,
            probes: Vec::new(),
            past: None,
            unbilled: Duration::ZERO,
            lost_connections: 0,
            writing: VecDeque::new(),
            answer: None,
            prompts: VecDeque::new(),
            owed: false,
            voiced: false,
            answering: None,
            playing: None,
            utterances: 0,
            piper: PiperPath::Synthesize,
            lost_answers: 0,
            out: Out { events: VecDeque::new(), errands: VecDeque::new(), numbers: 0, history },
        };
        for request in probes {
            let key = request.headers.first().map(|(_, key)| key.rsplit(' ').next().unwrap_or(key).to_owned());
            let id = session.out.request(request);
            session.probes.push(Probe { id, key, status: None, body: Vec::new() });
        }
        session
    }

    /// Whether all there is to a conversation is there: it begins.
    fn begin_talking(&mut self, now: Instant) {
        if self.life != Life::Waiting || !self.connected || !self.probes.is_empty() {
            return;
        }
        self.life = Life::Talking;
        self.out.events.push_back(Event::Ready);
        match self.past.take() {
            Some(Past { said, next }) => {
                let owed = matches!(said.last(), Some(Said::Caller(_)));
                self.out.history.resume(said);
                if next == Next::GoOn && !owed {
                    self.out.history.note(GO_ON.to_owned());
                }
                if next == Next::GoOn {
                    self.prompt(Prompt::Reply(Origin::Caller));
                }
            }
            None => {
                if let Some(text) = self.config.first_message.clone() {
                    self.prompt(Prompt::Say(text));
                }
            }
        }
        self.advance(now);
    }

    /// A part of the answer of a service that was asked whether it is there.
    fn probed(&mut self, id: RequestId, part: Part, now: Instant) {
        let Some(at) = self.probes.iter().position(|probe| probe.id == id) else { return };
        let Some(probe) = self.probes.get_mut(at) else { return };
        let fault = match part {
            Part::Head { status, .. } => return probe.status = Some(status),
            Part::Chunk(bytes) => {
                let room = LONGEST_REFUSAL.saturating_sub(probe.body.len()).min(bytes.len());
                return probe.body.extend(bytes.iter().take(room));
            }
            Part::End => probe.status.filter(|status| probe::is_hopeless(*status, &probe.body)).map(|status| {
                fault::refused("a service of the conversation", probe.key.as_deref(), status, &probe.body)
            }),
            Part::Failed(why) => Some(fault::broken("a service of the conversation", &why)),
        };
        self.probes.remove(at);
        match fault {
            Some(fault) => self.fail(fault.failure),
            None => self.begin_talking(now),
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.drop_answer();
        self.answering = None;
        for writing in &self.writing {
            writing.abort(&mut self.out);
        }
        self.prompts.clear();
        self.out.events.push_back(Event::Failed(failure));
        self.life = Life::Over;
    }

    /// Trouble with a part that was asked twice: a few times in a row are survived if the caller hears something.
    fn lose(&mut self, fault: fault::Fault) {
        self.lost_answers += 1;
        let is_heard = self.answer.as_ref().is_some_and(Answer::is_heard);
        if !fault.transient || !is_heard || self.lost_answers >= MOST_LOST {
            return self.fail(fault.failure);
        }
        self.out.warn(fault.failure.message);
    }

    /// Nothing of us is heard any more, and what was is known: who spoke over it is answered.
    fn silent(&mut self) {
        let over = self.playing.take().and_then(|playing| playing.over);
        if let Some(words) = over.filter(|_| self.life == Life::Talking) {
            self.reply_to(&words);
        }
    }

    fn bill(&mut self, heard: Duration) {
        self.unbilled += heard;
        if self.unbilled >= BILLED {
            let transcribed = std::mem::take(&mut self.unbilled);
            self.out.events.push_back(Event::Usage(Usage { transcribed, ..Usage::default() }));
        }
    }
}

impl Dialect for Session {
    fn endpoint(&self) -> Endpoint {
        let Config { call, language, .. } = &self.config;
        match &self.config.hearing {
            Hearing::Nova { at, model, endpointing, silence } => {
                socket::nova(at, model, language.as_deref(), *call, [*endpointing, *silence])
            }
            Hearing::Flux { at, model, longest_silence } => {
                socket::flux(at, model, language.as_deref(), *call, *longest_silence)
            }
            Hearing::Transcriptions { .. } | Hearing::Engine => Endpoint::Engine,
        }
    }

    fn formats(&self) -> Formats {
        use super::{sound::Encoding, wire::voice::encoding};
        let call = self.config.call;
        let uplink = match &self.uplink {
            Some(_) => call,
            None => AudioFormat::Pcm(call.rate().min(TURNS_AT)),
        };
        let downlink = match encoding(&self.config.voice, call) {
            Some(Encoding::Raw(format)) => format,
            Some(Encoding::Wav) | None => AudioFormat::Pcm(call.rate().min(Job::WIDEST)),
        };
        Formats { uplink, downlink }
    }

    fn resume(&mut self, past: Past) {
        self.past = Some(past);
    }

    fn handle_connected(&mut self, now: Instant) {
        if let Some(uplink) = &mut self.uplink {
            uplink.open();
        }
        self.ears.connected();
        self.connected = true;
        self.begin_talking(now);
    }

    fn handle_incoming(&mut self, message: Incoming, now: Instant) {
        if self.life != Life::Talking {
            return;
        }
        match message {
            Incoming::Text(text) => self.hear(&text, now),
            Incoming::Job(done) => self.job_done(done, now),
            Incoming::Binary(_) => self.out.warn("a binary frame from a service that only writes"),
        }
        self.advance(now);
    }

    fn handle_disconnected(&mut self, how: Disconnect, _now: Instant) {
        if self.life == Life::Over {
            return;
        }
        let key = match &self.config.hearing {
            Hearing::Nova { at, .. } | Hearing::Flux { at, .. } => at.api_key.as_deref(),
            Hearing::Transcriptions { .. } | Hearing::Engine => None,
        };
        let fault = fault::deaf(&how, key);
        self.lost_connections += 1;
        // A call that has not begun is better refused than kept waiting.
        let hopeless = !fault.transient || self.life == Life::Waiting || self.lost_connections > MOST_RECONNECTS;
        match &mut self.uplink {
            Some(uplink) if !hopeless => {
                uplink.hold();
                self.out.warn(fault.failure.message);
                self.out.events.push_back(Event::Reconnect);
            }
            Some(_) | None => self.fail(fault.failure),
        }
    }

    /// The uplink keeps what was not understood, and says it again by itself.
    fn hears_again(&mut self, _unworded: Unworded) -> bool {
        false
    }

    fn handle_audio(&mut self, audio: &Audio, _now: Instant) {
        if self.life == Life::Over {
            return;
        }
        match (&mut self.uplink, &mut self.ears, audio) {
            (Some(uplink), _, audio) => {
                let taken = uplink.push(audio);
                debug_assert!(taken, "uplink audio in a format we did not ask for");
                self.bill(audio.duration());
            }
            (None, Ears::Turns { cutter, .. }, Audio::Pcm(frame)) => cutter.hear(&frame.samples),
            (None, _, _) => debug_assert!(false, "uplink audio in a format we did not ask for"),
        }
    }

    fn handle_speech(&mut self, speech: Speech, now: Instant) {
        if self.life != Life::Talking {
            return;
        }
        match speech {
            Speech::Confirmed | Speech::Insisted => self.voiced = true,
            Speech::Refuted | Speech::Ended { .. } => self.voiced = false,
            Speech::Suspected | Speech::Yielded => {}
        }
        // Where nothing is heard of us nobody is let go on: a turn that began with one word has its silence like any.
        if speech != Speech::Yielded || self.playing.is_some() {
            let noticed = self.ears.judge(speech, now);
            self.notice(noticed, now);
        }
        if speech == Speech::Confirmed {
            self.caller_goes_on();
        }
        self.advance(now);
    }

    fn keys_taken(&self) -> KeysTaken {
        KeysTaken::AsEntry
    }

    fn handle_keys(&mut self, keys: &str, now: Instant) {
        if self.life != Life::Talking {
            return;
        }
        self.withdraw();
        self.out.history.caller(keys::in_words(self.config.language.as_deref(), keys));
        self.prompt(Prompt::Reply(Origin::Caller));
        self.advance(now);
    }

    fn take_half(&mut self) -> Option<String> {
        let words = self.ears.take_words().into_iter().chain(self.take_written());
        words.reduce(|before, words| format!("{before} {words}"))
    }

    fn handle_played_out(&mut self, heard: Heard, now: Instant) {
        if self.playing.as_ref().is_some_and(|playing| playing.utterance == heard.utterance) {
            self.silent();
            self.advance(now);
        }
    }

    fn interrupt(&mut self, heard: Heard, now: Instant) {
        if let Some(text) = self.out.history.cut(heard) {
            self.out.events.push_back(Event::AssistantHeard { utterance: heard.utterance, text });
        }
        // All that was given out waited in the same playout.
        let cut = |answer: &Answer| answer.is_audible() || answer.utterance() <= heard.utterance;
        if self.answer.as_ref().is_some_and(cut) {
            self.withdraw();
            self.drop_answer();
        }
        self.silent();
        self.advance(now);
    }

    fn silenced(&mut self, now: Instant) {
        if self.answer.as_ref().is_some_and(Answer::is_audible) {
            self.drop_answer();
        }
        self.silent();
        self.advance(now);
    }

    fn answer_tool(&mut self, id: ToolCallId, output: String, respond: Respond, now: Instant) {
        let respond = self.out.history.outcome(&id.0, output, respond);
        if respond && self.life == Life::Talking {
            self.prompt(Prompt::Reply(Origin::Caller));
        }
        self.advance(now);
    }

    fn inform(&mut self, note: Note, now: Instant) {
        if self.life != Life::Talking {
            return;
        }
        let note = match note {
            Note::Say { text } => {
                self.prompt(Prompt::Say(text));
                return self.advance(now);
            }
            Note::TransferFailed { destination, reason } => format!(
                "The transfer to {destination} failed: {reason}. The caller is back with you. Tell them in one sentence \
                 and ask what else you can do."
            ),
            Note::SayGoodbye { reason } => {
                // An answer that has yet to be heard would be taken for the goodbye.
                if !self.answer.as_ref().is_some_and(Answer::is_audible) {
                    self.drop_answer();
                }
                self.prompts.clear();
                format!("The call is about to end: {reason}. Say goodbye to the caller in one short sentence.")
            }
        };
        self.out.history.note(note);
        self.prompt(Prompt::Reply(Origin::Us));
        self.advance(now);
    }

    fn answering_since(&self) -> Option<Instant> {
        match self.config.filler {
            Filler::Tones => self.answering,
            Filler::Off => None,
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.life != Life::Talking {
            return;
        }
        let noticed = self.ears.handle_timeout(now);
        self.notice(noticed, now);
        self.writing_late(now);
        self.answer_late(now);
        self.advance(now);
    }

    fn poll_outgoing(&mut self) -> Option<Outgoing> {
        let uplink = self.uplink.as_mut()?;
        let audio = uplink.poll().map(Outgoing::Binary);
        audio.or_else(|| uplink.take_finalize().then(|| Outgoing::Text(socket::FINALIZE.to_owned())))
    }

    fn poll_errand(&mut self) -> Option<Errand> {
        self.out.errands.pop_front()
    }

    fn handle_answer(&mut self, id: RequestId, part: Part, now: Instant) {
        match self.life {
            Life::Talking => {}
            Life::Waiting => return self.probed(id, part, now),
            Life::Over => return,
        }
        if !self.written(id, &part, now) {
            self.answered(id, part, now);
        }
        self.advance(now);
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.out.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        if self.life != Life::Talking {
            return None;
        }
        let words = self.ears.deadline().map(|at| (at, "the caller's last words"));
        let writing = self.writing.iter().filter_map(Writing::deadline).min().map(|at| (at, "transcription"));
        let answer = self.answer.as_ref().and_then(Answer::poll_timeout);
        [words, writing, answer].into_iter().flatten().min()
    }
}

impl Session {
    fn job_done(&mut self, done: JobDone, now: Instant) {
        let JobDone { id, result } = done;
        let Some(result) = self.recognised(id, result, now) else { return };
        let Some(answer) = &mut self.answer else { return };
        match answer.job_done(id, result) {
            Ok(true) => self.lost_answers = 0,
            Ok(false) => {}
            Err(fault) => self.lose(fault),
        }
    }
}
