//! What happens when the provider fails in a call with audio: another goes on with what was said, and hears what the
//! caller said meanwhile. Where none is left, a voice of this process says so, and the caller is put through to a person.
use super::{Desk, Event, Flow, GO_ON, Live, Phase, Spoken, Step, Tones, Transfer, Whom};
use crate::{
    breaker::Sign,
    call::{
        End, Hangup, Patiences,
        numbered::{Numbered, Seat},
        reason,
        rung::Occasion,
        succession::{Failed, Verdict},
    },
    record::Outcome,
};
use media::{Audio, Heard, Speech, UtteranceId};
use providers::{Dialect, Failure, FailureKind, Incoming, JobDone, JobId, Next, Note, Outgoing, Past, Unworded};
use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

/// Keys that may wait for a provider; beyond it more are dropped.
const MOST_KEYS: usize = 32;

/// Whether there is a provider behind the dialect.
#[derive(Debug)]
pub(super) enum Assistant {
    Present,
    /// One is on its way to go on with the conversation.
    Replacing(Box<Replacing>),
    Gone {
        why: String,
        /// So long the secretary's menu is all the caller has; `None` without one, or when that time is over.
        keys_until: Option<Instant>,
        /// Whether a voice of this process stands in.
        voice: bool,
    },
}

/// A provider on its way.
#[derive(Debug)]
pub(super) struct Replacing {
    /// The one before it.
    failed: Failed,
    step: Way,
    /// What the caller pressed meanwhile.
    keys: String,
}

#[derive(Debug)]
enum Way {
    /// It is not asked before then.
    Waiting { until: Instant },
    /// It has to be ready by then.
    Connecting { within: Duration, by: Instant },
}

impl Way {
    fn connecting(within: Duration, now: Instant) -> Self {
        Self::Connecting { within, by: now + within }
    }
}

impl Replacing {
    /// The caller pressed these.
    pub(super) fn press(&mut self, keys: &str) {
        if self.keys.len() + keys.len() <= MOST_KEYS {
            self.keys.push_str(keys);
        }
    }
}

/// A voice of this process that says "one moment" to a caller who hears nothing, and the tones of one who is answered slowly.
#[derive(Debug, Default)]
pub(super) struct Filler {
    /// When it speaks, unless something is heard before.
    at: Option<Instant>,
    /// Below that of the provider it waits for, so that a cut of its words makes nothing of that one's stale.
    seat: Option<Seat>,
    voice: Option<Numbered>,
    /// What it is in the middle of.
    open: Option<UtteranceId>,
    /// What the provider that was waited for said first: it may wait behind the last words of this voice.
    behind: Option<UtteranceId>,
    pub(super) tones: Tones,
}

impl Filler {
    /// The caller waits, and hears nothing from then on.
    fn arm(&mut self, at: Instant, seat: Seat) {
        self.at.get_or_insert(at);
        (self.seat, self.voice, self.behind) = (Some(seat), None, None);
    }

    /// The provider speaks: the caller waits no more.
    pub(super) fn followed_by(&mut self, utterance: UtteranceId) {
        self.dismiss();
        self.behind.get_or_insert(utterance);
    }

    /// What waited behind words of its own that were cut: nothing of it was heard, and its provider is not told of those.
    pub(super) fn unheard_behind(&mut self, cut: Heard) -> Option<Heard> {
        let utterance = self.behind.filter(|_| self.says(cut.utterance))?;
        self.behind = None;
        Some(Heard { utterance, played: Duration::ZERO, queued: Duration::ZERO })
    }

    /// Something is heard until then.
    pub(super) fn put_off(&mut self, until: Instant) {
        if let Some(at) = &mut self.at {
            *at = (*at).max(until);
        }
    }

    /// The caller waits no more.
    pub(super) fn dismiss(&mut self) {
        self.at = None;
    }

    /// Whether an utterance is one of its own.
    pub(super) fn says(&self, utterance: UtteranceId) -> bool {
        self.seat.is_some_and(|seat| seat.has(utterance))
    }

    pub(super) fn poll_event(&mut self) -> Option<providers::Event> {
        self.voice.as_mut()?.poll_event()
    }

    pub(super) fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let spoken = self.voice.as_ref().and_then(Dialect::poll_timeout);
        spoken.into_iter().chain(self.at.map(|at| (at, "filler"))).min()
    }

    /// Whether a job was one of its own; it takes the result then.
    pub(in crate::call) fn take(&mut self, done: &JobDone, now: Instant) -> bool {
        let Some(voice) = self.voice.as_mut().filter(|voice| voice.asked(done.id)) else { return false };
        voice.handle_incoming(Incoming::Job(done.clone()), now);
        true
    }

    /// The next job for the speech engine.
    pub(in crate::call) fn poll_job(&mut self) -> Option<(JobId, providers::Job)> {
        match self.voice.as_mut()?.poll_outgoing()? {
            Outgoing::Job(id, job) => Some((id, job)),
            Outgoing::Text(_) | Outgoing::Binary(_) | Outgoing::Ahead(_) | Outgoing::Close => None,
        }
    }
}

impl Live {
    /// The connection that was asked for is open.
    pub(in crate::call) fn connected(&mut self, desk: &mut Desk, now: Instant) {
        if let Assistant::Replacing(_) = self.assistant {
            self.break_off(desk, now);
            self.note_unheard(desk, now);
            if let Some(past) = self.past(desk) {
                self.provider.resume(past);
            } else {
                self.greeting_comes();
            }
        }
        self.provider.handle_connected(now);
    }

    /// A job of the speech engine ended.
    pub(in crate::call) fn job_done(&mut self, done: JobDone, now: Instant) {
        if !self.filler.take(&done, now) {
            self.provider.handle_incoming(Incoming::Job(done), now);
        }
    }

    /// The next job of the voice that fills silences.
    pub(in crate::call) fn poll_job(&mut self) -> Option<(JobId, providers::Job)> {
        self.filler.poll_job()
    }

    /// The caller's next piece of audio.
    pub(super) fn hear(&mut self, audio: Audio, now: Instant) {
        if !self.hears() {
            self.kept.hear(audio);
        } else if self.replay.is_over() {
            for message in self.bundle.push(audio).into_iter().flatten() {
                self.provider.handle_audio(&message, now);
                self.kept.hear(message);
            }
        } else {
            self.kept.hear(audio.clone());
            self.replay.push(audio).iter().for_each(|piece| self.provider.handle_audio(piece, now));
        }
    }

    /// Whether somebody hears the caller.
    pub(super) const fn hears(&self) -> bool {
        matches!(self.assistant, Assistant::Present | Assistant::Gone { .. })
    }

    /// Whether nobody is behind the dialect any more: what it still makes up is not said by anybody.
    pub(super) const fn is_abandoned(&self) -> bool {
        matches!(self.assistant, Assistant::Gone { voice: false, .. })
    }

    /// Something is to be said to the caller within this time.
    pub(super) fn want_answer(&mut self, within: Duration, desk: &Desk, now: Instant) {
        // Of a provider that hears by our detector each step has a deadline of its own.
        self.debt.wait(desk.rung.hears_turns().then_some(now + within));
    }

    /// Our detector heard the end of a turn.
    pub(super) fn turn_heard(&mut self, last_voice: Instant, desk: &Desk, now: Instant) {
        let Patiences { answer, filler, .. } = desk.settings.ladder;
        // The provider may wait longer than we do for more of the turn, and then owes us its word that it is over.
        let within = if self.debt.is_decided() { answer } else { 2 * answer };
        if self.debt.turn_heard(last_voice) {
            self.kept.asked();
            self.want_answer(within, desk, now);
        }
        if !desk.rung.tells_turns() {
            self.debt.decided(now);
        }
        self.filler.put_off(now + filler);
    }

    /// The provider is ready: from here on it hears the caller.
    pub(super) fn on_ready(&mut self, desk: &mut Desk, now: Instant) {
        // It may have settled what it hears just now.
        let format = self.provider.formats().uplink;
        self.media.feed(format);
        self.tell_line(now);
        desk.reports(Sign::Ready);
        let Assistant::Replacing(replacing) = std::mem::replace(&mut self.assistant, Assistant::Present) else {
            return;
        };
        let Replacing { failed, keys, .. } = *replacing;
        self.note_unheard(desk, now);
        let (replay, lost) = self.kept.replay(format);
        desk.changed(failed, lost, now);
        if desk.rung.hears_turns() {
            self.replay = replay;
        } else {
            self.tell_turn(replay.whole(), now);
        }
        if !keys.is_empty() {
            self.provider.handle_keys(&keys, now);
        }
        if self.debt.is_owed() || self.kept.asks() {
            self.want_answer(desk.settings.ladder.answer, desk, now);
        } else {
            self.filler.dismiss();
        }
    }

    /// Words that a failed provider left are written down where nobody hears all of that speech again.
    fn note_unheard(&mut self, desk: &mut Desk, now: Instant) {
        if let Some(words) = self.kept.take_unheard() {
            self.begun = true;
            desk.log.transcript.caller(words.clone(), now);
            desk.emit(Event::CallerText(words));
        }
    }

    /// A provider without an ear for turns is given the one it missed as our detector heard it.
    fn tell_turn(&mut self, pieces: impl IntoIterator<Item = Audio>, now: Instant) {
        if self.kept.has_speech() {
            self.provider.handle_speech(Speech::Confirmed, now);
        }
        pieces.into_iter().for_each(|piece| self.provider.handle_audio(&piece, now));
        if self.kept.has_speech() && !self.kept.in_turn() {
            let last_voice = self.media.last_voice().unwrap_or(now);
            self.provider.handle_speech(Speech::Ended { last_voice }, now);
        }
    }

    pub(super) fn on_provider_failed(&mut self, failure: Failure, desk: &mut Desk, now: Instant) -> Flow {
        let Failure { kind, message } = failure;
        self.notice_lost();
        if let Assistant::Gone { voice, .. } = &mut self.assistant {
            *voice = false;
            // The keys still work.
            desk.emit(Event::Warning(format!("the voice that stood in failed ({kind:?}): {message}")));
            return self.nothing_more_to_hear(desk, now);
        }
        self.kept.half_worded(self.provider.take_half());
        desk.reports(Sign::Failed(kind));
        // It may be alive, and must not be heard while nobody has taken its place.
        desk.emit(Event::Disconnect);
        let cause = format!("{} failed ({kind:?}): {message}", desk.rung.provider());
        match &self.phase {
            Phase::Closing { outcome, cause: ending, .. } => {
                let (outcome, ending) = (*outcome, ending.clone());
                self.assistant = Assistant::Gone { why: cause.clone(), keys_until: None, voice: false };
                desk.emit(Event::Warning(cause));
                return self.say_what_is_left(outcome, &ending, desk, now);
            }
            Phase::Transferring(Transfer { step: Step::Announcing { .. }, .. }) => self.refer(desk, now),
            Phase::Transferring(_) | Phase::Talking => {}
        }
        let failed = Failed::new(&desk.rung, kind, &message, now);
        self.replace(kind, failed, cause, desk, now)
    }

    /// Whoever is next is asked to go on.
    fn replace(&mut self, kind: FailureKind, failed: Failed, cause: String, desk: &mut Desk, now: Instant) -> Flow {
        let present = std::mem::replace(&mut self.assistant, Assistant::Present);
        let worked = matches!(present, Assistant::Present);
        let (failed, keys) = match present {
            Assistant::Replacing(before) => (failed.after(Some(before.failed)), before.keys),
            Assistant::Present | Assistant::Gone { .. } => (failed, String::new()),
        };
        desk.spare();
        let wait = match desk.succession.after(kind, worked, now) {
            Verdict::Again(wait) => wait,
            Verdict::Next(rung) => {
                desk.log.leave(&desk.rung, now);
                desk.rung = *rung;
                Duration::ZERO
            }
            Verdict::Exhausted => return self.exhausted(cause, desk, now),
        };
        desk.emit(Event::Warning(cause));
        self.end_filler(now);
        self.filler.arm(now + desk.settings.ladder.filler.max(self.media.queued()), desk.succession.take_seat());
        self.provider = desk.open(self.negotiated.codec.format());
        if self.open.is_some() {
            self.debt.wait(None);
        }
        self.debt.begun();
        self.bundle.take().into_iter().for_each(|waiting| self.kept.hear(waiting));
        self.kept.gap_began();
        self.replay = super::Replay::default();
        let step = Way::Waiting { until: now + wait };
        self.assistant = Assistant::Replacing(Box::new(Replacing { failed, step, keys }));
        if wait.is_zero() {
            self.connect(desk, now);
        }
        GO_ON
    }

    fn connect(&mut self, desk: &mut Desk, now: Instant) {
        let Assistant::Replacing(replacing) = &mut self.assistant else { return };
        replacing.step = Way::connecting(desk.settings.ladder.replacement, now);
        desk.emit(Event::Connect(self.provider.endpoint()));
    }

    /// The provider goes on over another connection: what the one before heard and did not turn into words is heard again,
    /// where the provider does not know it.
    pub(super) fn reconnect(&mut self, desk: &mut Desk, now: Instant) {
        if let Some(again) = self.heard_again() {
            self.bundle.take().into_iter().for_each(|waiting| self.kept.hear(waiting));
            self.replay = self.kept.again(again, &self.replay, self.provider.formats().uplink);
            if !self.kept.in_turn() {
                self.want_answer(desk.settings.ladder.answer, desk, now);
            }
        }
        desk.emit(Event::Reconnect(self.provider.endpoint()));
    }

    fn heard_again(&mut self) -> Option<Unworded> {
        if !matches!(self.assistant, Assistant::Present) {
            return None;
        }
        let (asks, in_turn) = (self.kept.asks(), self.kept.in_turn());
        let wanted = [(asks, Unworded::All), (in_turn, Unworded::Turn)];
        let mut wanted = wanted.into_iter().filter_map(|(is_there, unworded)| is_there.then_some(unworded));
        wanted.find(|unworded| self.provider.hears_again(*unworded))
    }

    /// Nobody is left to go on.
    fn exhausted(&mut self, cause: String, desk: &mut Desk, now: Instant) -> Flow {
        self.filler.dismiss();
        self.assistant = Assistant::Gone { why: cause.clone(), keys_until: None, voice: false };
        match &self.phase {
            // The REFER is out: its outcome decides, not the provider.
            Phase::Transferring(_) | Phase::Closing { .. } => {
                desk.emit(Event::Warning(cause));
                GO_ON
            }
            Phase::Talking if self.keypad.keys().work_alone() => {
                self.fall_back_on_keys(cause, desk, now);
                GO_ON
            }
            Phase::Talking => self.without_assistant(cause, desk, now),
        }
    }

    /// Another provider is due, or the present one has been silent for too long.
    pub(super) fn mind_provider(&mut self, desk: &mut Desk, now: Instant) -> Flow {
        match &self.assistant {
            Assistant::Replacing(replacing) => match replacing.step {
                Way::Waiting { until } if until <= now => {
                    self.connect(desk, now);
                    GO_ON
                }
                Way::Connecting { within, by } if by <= now => {
                    let message = format!("not ready within {within:?}");
                    self.on_provider_failed(Failure { kind: FailureKind::Connection, message }, desk, now)
                }
                Way::Waiting { .. } | Way::Connecting { .. } => GO_ON,
            },
            Assistant::Present if self.answer_by().is_some_and(|by| by <= now) => {
                let attentive = matches!(self.phase, Phase::Talking);
                self.debt.begun();
                let speaks = self.media.playing().is_some_and(|what| !Tones::has(what));
                if !attentive || speaks || self.speaking || self.kept.in_turn() {
                    return GO_ON;
                }
                let message = "it answers nothing".to_owned();
                self.on_provider_failed(Failure { kind: FailureKind::Silence, message }, desk, now)
            }
            Assistant::Present | Assistant::Gone { .. } => GO_ON,
        }
    }

    pub(super) fn provider_deadline(&self) -> Option<(Instant, &'static str)> {
        match &self.assistant {
            Assistant::Replacing(replacing) => Some(match replacing.step {
                Way::Waiting { until } => (until, "provider is tried again"),
                Way::Connecting { by, .. } => (by, "replacement ready"),
            }),
            Assistant::Present => self.answer_by().map(|by| (by, "answer of the provider")),
            Assistant::Gone { .. } => None,
        }
    }

    /// When an answer has been waited for long enough; never while the call is held, as nobody would hear it.
    fn answer_by(&self) -> Option<Instant> {
        self.debt.deadline().filter(|_| !self.is_held())
    }

    /// The caller who waits for a provider hears that somebody is there.
    pub(super) fn fill_silence(&mut self, desk: &mut Desk, now: Instant) {
        if let Some(voice) = &mut self.filler.voice {
            voice.handle_timeout(now);
        }
        if self.filler.at.is_none_or(|at| at > now) {
            return;
        }
        if !matches!(self.phase, Phase::Talking) {
            return self.filler.dismiss();
        }
        self.filler.at = Some(now + desk.settings.ladder.filler.max(self.media.queued()));
        let heard = !self.media.queued().is_zero() || self.filler.open.is_some();
        // Who holds the call would hear it when they are back, and it may not be true any more.
        if heard || self.kept.in_turn() || self.is_held() {
            return;
        }
        // What is in front, and starves, would hold it up.
        self.break_off(desk, now);
        let (Some(standby), Some(seat)) = (&desk.standby, self.filler.seat) else { return self.filler.dismiss() };
        let call = self.negotiated.codec.format();
        let voice = self.filler.voice.get_or_insert_with(|| Numbered::new(standby.open(Occasion::Moment, call), seat));
        voice.handle_connected(now);
    }

    pub(super) fn on_filler(&mut self, event: providers::Event, desk: &mut Desk, now: Instant) {
        let wanted = self.filler.at.is_some() && self.may_speak();
        match event {
            providers::Event::Audio { utterance, audio } if wanted && !self.is_stale(utterance) => {
                self.hush(now);
                desk.log.transcript.generated(utterance, audio.duration(), now);
                self.filler.open = Some(utterance);
                self.media.play(utterance, &audio, now);
                self.filler.put_off(now + self.media.queued() + desk.settings.ladder.filler);
            }
            providers::Event::AssistantText { utterance, delta } if wanted && !self.is_stale(utterance) => {
                desk.log.transcript.text(utterance, &delta, now);
                desk.emit(Event::AssistantText { utterance, delta });
            }
            providers::Event::UtteranceDone(utterance) => {
                self.filler.open = None;
                self.media.finish(utterance, now);
            }
            providers::Event::Warning(text) => desk.emit(Event::Warning(text)),
            providers::Event::Failed(Failure { message, .. }) => {
                desk.emit(Event::Warning(format!("no voice says that another provider is on its way: {message}")));
                self.filler.voice = None;
                self.end_filler(now);
            }
            // It hears nothing, asks for nothing, and speaks to nobody who is not there any more.
            providers::Event::Audio { .. }
            | providers::Event::AssistantText { .. }
            | providers::Event::Ready
            | providers::Event::Prepare
            | providers::Event::Reconnect
            | providers::Event::Working(_)
            | providers::Event::SpeechStarted
            | providers::Event::SpeechStopped
            | providers::Event::AssistantHeard { .. }
            | providers::Event::CallerText(_)
            | providers::Event::Thought
            | providers::Event::ToolCall { .. }
            | providers::Event::Usage(_)
            | providers::Event::Receipt(_) => {}
        }
    }

    /// The voice that fills silences makes no more of what it is in the middle of.
    fn end_filler(&mut self, now: Instant) {
        if let Some(utterance) = self.filler.open.take() {
            self.media.finish(utterance, now);
        }
    }

    /// What the dead provider was in the middle of ends here: the rest of it was never made. What it had finished is heard
    /// to its end.
    fn break_off(&mut self, desk: &mut Desk, now: Instant) {
        let Some(open) = self.open.take() else { return };
        if self.media.playing() != Some(open) {
            return self.media.finish(open, now);
        }
        if let Some(heard) = self.media.cut(now) {
            desk.log.transcript.cut(heard, now);
            self.cut = Some(heard.utterance);
        }
    }

    /// What the next provider is told; nothing where the conversation has yet to begin.
    fn past(&self, desk: &Desk) -> Option<Past> {
        // "One moment" is no conversation yet.
        let said = if self.begun { desk.log.transcript.said() } else { Vec::new() };
        // A turn that is heard again is answered without being asked for; a cough is not, and hides no debt.
        let asks = self.kept.asks();
        if said.is_empty() && !asks {
            return None;
        }
        let next = if self.debt.is_owed() && !asks { Next::GoOn } else { Next::Listen };
        Some(Past { said, next })
    }

    /// A voice of this process takes the provider's place; false where there is none.
    pub(super) fn stand_in(&mut self, occasion: Occasion, desk: &mut Desk) -> bool {
        let Some(standby) = &desk.standby else { return false };
        let voice = standby.open(occasion, self.negotiated.codec.format());
        let voice = Numbered::new(voice, desk.succession.take_seat());
        desk.emit(Event::Connect(voice.endpoint()));
        desk.strays = true;
        desk.lookups.forget();
        self.provider = Box::new(voice);
        true
    }

    /// To the fallback extension, or to the end; said to the caller where there is a voice for it.
    pub(super) fn without_assistant(&mut self, cause: String, desk: &mut Desk, now: Instant) -> Flow {
        let destination = desk.settings.fallback_extension.clone();
        let occasion = if destination.is_some() { Occasion::Transfer } else { Occasion::Goodbye };
        let silent = matches!(self.assistant, Assistant::Gone { voice: false, .. });
        if silent && self.stand_in(occasion, desk) {
            if let Some(utterance) = self.open.take() {
                self.media.finish(utterance, now);
            }
            self.assistant = Assistant::Gone { why: cause.clone(), keys_until: None, voice: true };
            self.announce_end(cause, destination, desk, now);
            return GO_ON;
        }
        let Some(destination) = destination else {
            return self.say_what_is_left(Outcome::Failed, &cause, desk, now);
        };
        desk.emit(Event::Warning(cause));
        let step = Step::Referred { at: now };
        self.phase = Phase::Transferring(Transfer { whom: Whom::Fallback, destination, step });
        self.refer(desk, now);
        GO_ON
    }

    fn announce_end(&mut self, cause: String, destination: Option<String>, desk: &mut Desk, now: Instant) {
        self.phase = match destination {
            Some(destination) => {
                desk.emit(Event::Warning(cause));
                let step = Step::Announcing { until: now + desk.settings.announce_deadline, spoken: Spoken::NotYet };
                Phase::Transferring(Transfer { whom: Whom::Fallback, destination, step })
            }
            None => {
                let until = now + desk.settings.farewell_deadline;
                Phase::Closing { outcome: Outcome::Failed, cause, until, spoken: Spoken::NotYet }
            }
        };
    }

    /// The last voice is gone: what waited for it waits no more.
    fn nothing_more_to_hear(&mut self, desk: &mut Desk, now: Instant) -> Flow {
        match &mut self.phase {
            Phase::Transferring(Transfer { step: Step::Announcing { spoken, .. }, .. })
            | Phase::Closing { spoken, .. } => *spoken = Spoken::Heard,
            Phase::Talking | Phase::Transferring(_) => {}
        }
        self.when_silent(desk, now)
    }

    /// No more speech will come: what has come is still said, and then the call ends.
    pub(super) fn say_what_is_left(&mut self, outcome: Outcome, cause: &str, desk: &mut Desk, now: Instant) -> Flow {
        if let Some(utterance) = self.open.take() {
            self.media.finish(utterance, now);
        }
        self.close_when_silent(outcome, cause, desk, now);
        self.heard_out(desk, now)
    }

    /// A transfer failed, and the assistant died meanwhile: the menu, the fallback extension, or the end.
    pub(super) fn left_alone(&mut self, whom: &Whom, cause: String, desk: &mut Desk, now: Instant) -> Flow {
        if *whom != Whom::Fallback {
            if self.keypad.keys().work_alone() {
                self.fall_back_on_keys(cause, desk, now);
                return GO_ON;
            }
            return self.without_assistant(cause, desk, now);
        }
        if let Assistant::Gone { voice: true, .. } = self.assistant {
            self.announce_end(cause, None, desk, now);
            self.provider.inform(Note::SayGoodbye { reason: "nobody is there".to_owned() }, now);
            return GO_ON;
        }
        let hangup = Hangup::Bye(Some(reason::sip(503, "No assistant left")));
        ControlFlow::Break(End { outcome: Outcome::Failed, cause, hangup })
    }
}
