//! A call with audio: who speaks, who may interrupt, and what a tool call leads to.
mod budget;
mod handover;
mod hold;
mod keys;
pub mod lookup;
mod notice;
mod replace;
pub mod steer;
mod tones;
mod turn;

pub(super) use budget::Money;
pub(super) use notice::Untold;

use super::{
    Desk, End, Event, Hangup, Hold,
    bundle::Bundle,
    debt::Debt,
    kept::{Kept, Replay},
    keypad::Keypad,
    quality, reason,
    recording::Recorded,
    takeover, tools,
    transfer::{self, Spoken, Step, Transfer, Whom},
};
use crate::{
    dtmf::{self, Relay},
    record::Outcome,
};
use chrono::DateTime;
use media::{Audio, Heard, UtteranceId, sdp, vad};
use notice::Fate;
use providers::{Dialect, Note, Respond, ToolCallId};
use replace::{Assistant, Filler};
use serde_json::json;
use sip::{Command, Reason, TerminatedBy};
use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};
use tones::Tones;

type Flow = ControlFlow<End>;
const GO_ON: Flow = ControlFlow::Continue(());
/// Between words nobody is quiet for longer.
const DIP: Duration = Duration::from_millis(200);

/// Audio flows: the media session, the provider, and what the two are doing for the caller.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) media: media::Session,
    pub(super) provider: Box<dyn Dialect>,
    pub(super) bundle: Bundle,
    /// What the last offer and answer settled.
    pub(super) negotiated: sdp::Negotiated,
    phase: Phase,
    /// The utterance whose audio still arrives.
    open: Option<UtteranceId>,
    /// The last utterance that was cut: its audio, and that of any before it, is stale.
    cut: Option<UtteranceId>,
    /// Our detector hears the caller speak.
    speaking: bool,
    /// The caller's last voice of a turn nobody has answered yet.
    unanswered: Option<Instant>,
    /// `max_duration_seconds` after the answer.
    ends_by: Instant,
    hold: Hold,
    keypad: Keypad,
    relay: Relay,
    assistant: Assistant,
    /// Somebody said something: the conversation has begun.
    begun: bool,
    debt: Debt,
    /// What no provider has turned into words yet, and what of it the present one is still to be given.
    kept: Kept,
    replay: Replay,
    filler: Filler,
    /// What is wanted of the recording, if there is one.
    pub(super) recorded: Option<Recorded>,
}

/// What the call is doing.
#[derive(Debug)]
enum Phase {
    Talking,
    Transferring(Transfer),
    /// The goodbye is said or being said; BYE follows when it has been heard, or at the deadline.
    Closing {
        outcome: Outcome,
        cause: String,
        until: Instant,
        spoken: Spoken,
    },
}

impl Live {
    pub(super) fn new(
        negotiated: sdp::Negotiated,
        provider: Box<dyn Dialect>,
        desk: &mut Desk,
        now: Instant,
    ) -> Result<Self, media::Error> {
        let secretary = &desk.secretary;
        let config = media::Config {
            local: desk.local.address,
            media: negotiated.clone(),
            uplink: provider.formats().uplink,
            vad: vad::Config {
                threshold: secretary.vad_threshold,
                silence: secretary.silence,
                engine: desk.detector(),
                ..vad::Config::default()
            },
            echo: desk.settings.listening.echo,
            seed: desk.seed,
            reorder_window: desk.settings.reorder_window,
            max_queued: desk.settings.max_queued,
            patience: desk.settings.patience,
            suppress_noise: desk.settings.listening.suppress_noise,
            poor_below: desk.settings.poor_below,
            since_1970: desk.log.wall(now).signed_duration_since(DateTime::UNIX_EPOCH).to_std().unwrap_or_default(),
        };
        let mut media = media::Session::new(config, now)?;
        media.learn_from(desk.settings.learn);
        let mut live = Self {
            media,
            provider,
            bundle: Bundle::default(),
            hold: Hold::of(negotiated.direction),
            negotiated,
            phase: Phase::Talking,
            open: None,
            cut: None,
            speaking: false,
            unanswered: None,
            ends_by: now + secretary.max_duration,
            keypad: Keypad::new(secretary.keys.clone()),
            relay: Relay::default(),
            assistant: Assistant::Present,
            begun: false,
            debt: Debt::default(),
            kept: Kept::default(),
            replay: Replay::default(),
            filler: Filler::default(),
            recorded: None,
        };
        live.filler.tones.put_off(now);
        live.mind_keys(desk);
        live.start_recording(desk);
        Ok(live)
    }

    /// One event of one core, or `None` when both are silent.
    pub(super) fn step(&mut self, desk: &mut Desk, now: Instant) -> Option<Flow> {
        if let Some(event) = self.media.poll_event() {
            return Some(self.on_media(event, desk, now));
        }
        if let Some(event) = self.filler.poll_event() {
            self.on_filler(event, desk, now);
            return Some(GO_ON);
        }
        if let Some(event) = self.provider.poll_event() {
            return Some(self.on_provider(event, desk, now));
        }
        let minded = self.mind_money(desk, now) || self.tell_found(desk, now) || self.mind_notice(desk, now);
        minded.then_some(GO_ON)
    }

    pub(super) fn handle_timeout(&mut self, desk: &mut Desk, now: Instant) -> Flow {
        let pressing = self.is_pressing();
        self.media.handle_timeout(now);
        self.provider.handle_timeout(now);
        self.fill_silence(desk, now);
        self.sound_tones(now);
        self.mind_lookups(desk, now);
        self.mind_provider(desk, now)?;
        self.resume_after_keys(desk, now);
        self.relay_keys(desk, now);
        if pressing && !self.is_pressing() {
            self.heard_out(desk, now)?;
        }
        self.mind_typed(desk, now)?;
        match &self.phase {
            Phase::Closing { until, .. } if *until <= now => self.hang_up(),
            Phase::Transferring(Transfer { step: Step::Announcing { until, .. }, .. }) if *until <= now => {
                self.refer(desk, now);
                GO_ON
            }
            Phase::Transferring(Transfer { step: Step::Settled { until, proof }, .. }) if *until <= now => {
                let hangup = Hangup::Bye(Some(reason::sip(200, "Transferred")));
                let cause = proof.cause().into();
                ControlFlow::Break(End { outcome: Outcome::Transferred, cause, hangup })
            }
            Phase::Transferring(Transfer { step: Step::Referred { at } | Step::Accepted { at }, .. })
                if transfer::no_news(*at, desk.settings.notify_deadline) <= now =>
            {
                self.transfer_failed("the phone system did not say what became of it", desk, now)
            }
            Phase::Talking if self.keys_until().is_some_and(|until| until <= now) => self.no_key(desk, now),
            Phase::Talking if self.ends_by <= now => {
                self.say_goodbye("the time limit of this call is reached", Outcome::Timeout, desk, now);
                GO_ON
            }
            Phase::Talking | Phase::Transferring(_) | Phase::Closing { .. } => GO_ON,
        }
    }

    pub(super) fn poll_timeout(&self, desk: &Desk) -> Option<(Instant, &'static str)> {
        let own = match &self.phase {
            Phase::Talking => {
                let keys = self.keys_until().map(|until| (until, "key of the menu"));
                keys.into_iter().chain([(self.ends_by, "max_duration_seconds")]).min()
            }
            Phase::Closing { until, .. } => Some((*until, "farewell")),
            Phase::Transferring(Transfer { step: Step::Announcing { until, .. }, .. }) => {
                Some((*until, "transfer announcement"))
            }
            Phase::Transferring(Transfer { step: Step::Settled { until, .. }, .. }) => {
                Some((*until, "bye after transfer"))
            }
            Phase::Transferring(Transfer { step: Step::Referred { at } | Step::Accepted { at }, .. }) => {
                Some((transfer::no_news(*at, desk.settings.notify_deadline), "news of the transfer"))
            }
        };
        let typed = self.typed_by();
        let tones = self.tones_at().map(|at| (at, "tones while an answer is made"));
        let cores = [self.media.poll_timeout(), self.provider.poll_timeout(), self.filler.poll_timeout()];
        let others = [own, typed, tones, self.relay.deadline(), self.recording_deadline(), self.provider_deadline()];
        others.into_iter().chain([desk.lookups.deadline()]).chain(cores).flatten().min()
    }

    /// The call ends: what still waits in the playout was never heard.
    pub(super) fn close(&mut self, desk: &mut Desk, now: Instant) {
        self.hush(now);
        if let Some(heard) = self.media.cut(now) {
            desk.log.transcript.cut(heard, now);
        }
        self.kept.half_worded(self.provider.take_half());
        if let Some(words) = self.kept.take_half() {
            desk.log.transcript.caller(words, now);
        }
        let measured = quality::measured(&self.media);
        if let Some(lost) = quality::lost_audio(&measured.trouble) {
            desk.emit(Event::Warning(lost));
        }
        desk.log.media_quality = Some(measured);
        self.media.end(now);
        self.finish_recording(desk, now);
    }

    /// Whether another leg may take the place of ours: not while the phone system decides where this one goes.
    pub(super) fn may_move(&self) -> bool {
        self.with_the_caller()
    }

    /// Whether the caller is with somebody else already, and how we know.
    pub(super) fn settled(&self) -> Option<&'static str> {
        match &self.phase {
            Phase::Transferring(Transfer { step: Step::Settled { proof, .. }, .. }) => Some(proof.cause()),
            Phase::Talking | Phase::Transferring(_) | Phase::Closing { .. } => None,
        }
    }

    pub(super) fn handle_sip(&mut self, event: sip::Event, desk: &mut Desk, now: Instant) -> Flow {
        use sip::Event as E;
        match event {
            E::Offer { leg, sdp, .. } => {
                let command = match self.reoffered(sdp.as_deref(), desk, now) {
                    Ok(sdp) => Command::AcceptOffer { leg, sdp: sdp.into() },
                    Err((status, reason)) => Command::RefuseOffer { leg, status, reason: Some(reason) },
                };
                desk.commands.push_back(command);
                GO_ON
            }
            E::Established { sdp, .. } => self.established(sdp.as_deref(), desk, now),
            // A refresh of the session, which the peer answered with something new.
            E::OfferAnswered { result: Ok(answer), .. } => {
                desk.sdp.offered_again();
                self.answered(&answer, desk, now).unwrap_or_else(|why| desk.emit(unusable(&why)));
                GO_ON
            }
            E::Info { content_type, body, .. } => {
                if let Some(digit) = dtmf::of_info(&content_type, &body) {
                    self.media.handle_info_dtmf(digit, now);
                }
                GO_ON
            }
            E::InfoRefused { status, .. } => {
                desk.emit(Event::Warning(format!("a key that was pressed by INFO was refused with {status}")));
                GO_ON
            }
            E::Refer { progress, .. } => self.on_refer(progress, desk, now),
            E::Cancelled { .. } if desk.may_go_back() => {
                self.move_back(desk, now);
                GO_ON
            }
            E::Bye { reason, .. } | E::Cancelled { reason, .. } => {
                let end = self.peer_hung_up(desk);
                ControlFlow::Break(End { cause: reason::explain(&end.cause, reason.as_ref()), ..end })
            }
            E::Terminated { by, .. } => ControlFlow::Break(lost(by)),
            E::Failed { .. } => ControlFlow::Break(lost(TerminatedBy::PeerGone)),
            E::Incoming { .. }
            | E::Progress { .. }
            | E::OfferAnswered { result: Err(_), .. }
            | E::Stranger { .. }
            | E::Locate { .. }
            | E::Registration { .. } => GO_ON,
        }
    }

    fn on_media(&mut self, event: media::Event, desk: &mut Desk, now: Instant) -> Flow {
        match event {
            media::Event::Audio(mut audio) => {
                // The caller is being handed over: what arrives is hold music. The provider's clock needs its silence.
                if !self.with_the_caller() {
                    audio.hush();
                }
                self.hear(audio, now);
            }
            media::Event::Speech(speech) => self.on_speech(speech, desk, now),
            media::Event::FirstPacket { utterance, at } => self.on_first_packet(utterance, at, desk),
            media::Event::PlayedOut(heard) => return self.on_played_out(heard, desk, now),
            media::Event::Dtmf(key) => return self.on_key(key, desk, now),
            media::Event::Latched(address) if address == self.negotiated.remote => {}
            media::Event::Latched(address) => {
                let signalled = self.negotiated.remote;
                desk.emit(Event::Warning(format!("RTP comes from {address}, not from {signalled} as signalled")));
            }
            media::Event::Foreign(from) => {
                let signalled = self.negotiated.remote;
                desk.emit(Event::Warning(format!("RTP or RTCP from {from} is dropped: the caller is at {signalled}")));
            }
            // Whoever takes a caller over takes the audio away first, and may ring the target for longer than a phone may
            // be silent. The deadline for news of the transfer ends that.
            media::Event::Silent(_) | media::Event::MediaTimeout(_) if !self.with_the_caller() => {}
            media::Event::Silent(silence) => desk.emit(Event::Warning(quality::silence(&silence))),
            media::Event::Poor(poor) => desk.emit(Event::Warning(quality::poor(&poor))),
            media::Event::Reported => desk.emit(Event::Measured(Box::new(quality::measured(&self.media)))),
            media::Event::MediaTimeout(silence) => {
                let hangup = Hangup::Bye(Some(reason::sip(408, "Media timeout: no RTP from the phone")));
                let cause = quality::silence(&silence);
                return ControlFlow::Break(End { outcome: Outcome::Failed, cause, hangup });
            }
        }
        GO_ON
    }

    fn on_first_packet(&mut self, utterance: UtteranceId, at: Instant, desk: &mut Desk) {
        if Tones::has(utterance) {
            return;
        }
        // A provider may answer before our own detector has waited its silence out.
        // Who only fills a silence answers nothing.
        let voice = if self.filler.says(utterance) { None } else { self.unanswered.take() };
        let reply = voice.map(|voice| (at.saturating_duration_since(voice), self.debt.waterfall(voice)));
        if reply.is_some() {
            desk.log.replied();
        }
        let reply = reply.filter(|_| voice.is_none_or(|voice| !self.debt.was_held_since(voice)));
        desk.log.transcript.started(utterance, at, reply);
        let (latency, waterfall) = (reply.map(|(latency, _)| latency), reply.and_then(|(_, waterfall)| waterfall));
        desk.emit(Event::AssistantSpeaks { utterance, latency, waterfall });
    }

    fn on_played_out(&mut self, heard: Heard, desk: &mut Desk, now: Instant) -> Flow {
        if Tones::has(heard.utterance) {
            return GO_ON;
        }
        self.filler.tones.put_off(now);
        desk.log.transcript.played_out(heard, now);
        desk.emit(Event::PlayedOut(heard));
        self.provider.handle_played_out(heard, now);
        self.notice_ended(heard, Fate::Whole, desk, now);
        self.filler.put_off(now + desk.settings.ladder.filler);
        if !self.debt.is_owed() && !self.filler.says(heard.utterance) {
            self.kept.worded(); // who got an answer need not say it again
        }
        self.wait_for_keys(desk, now);
        match &mut self.phase {
            Phase::Transferring(Transfer { step: Step::Announcing { spoken, .. }, .. })
            | Phase::Closing { spoken, .. } => *spoken = Spoken::Heard,
            Phase::Talking | Phase::Transferring(_) => {}
        }
        self.when_silent(desk, now)
    }

    fn on_provider(&mut self, event: providers::Event, desk: &mut Desk, now: Instant) -> Flow {
        match event {
            providers::Event::Usage(usage) => desk.used(&usage),
            providers::Event::Receipt(receipt) => desk.emit(Event::Receipt(receipt)),
            providers::Event::Warning(text) => desk.emit(Event::Warning(text)),
            _ if self.is_abandoned() => {}
            providers::Event::Audio { utterance, audio } => self.on_audio(utterance, &audio, desk, now),
            providers::Event::UtteranceDone(utterance) => {
                self.media.finish(utterance, now);
                if self.open == Some(utterance) {
                    self.open = None;
                    self.debt.settled();
                }
                return self.heard_out(desk, now);
            }
            providers::Event::AssistantText { utterance, delta } => {
                if !self.is_stale(utterance) && self.may_speak() {
                    desk.log.transcript.text(utterance, &delta, now);
                    desk.emit(Event::AssistantText { utterance, delta });
                }
            }
            providers::Event::AssistantHeard { utterance, text } => desk.log.transcript.heard(utterance, text, now),
            providers::Event::CallerText(text) => {
                match desk.rung.words_end_turns() {
                    true => desk.log.transcript.caller_turn(text.clone(), now),
                    false => desk.log.transcript.caller(text.clone(), now),
                }
                self.goes_on();
                self.begun = true;
                self.kept.worded();
                desk.emit(Event::CallerText(text));
            }
            providers::Event::Thought => self.debt.thought(now),
            providers::Event::SpeechStarted => {
                desk.log.transcript.caller_speaks(now);
                self.caller_began(desk, now);
                self.barge_in(desk, now);
            }
            providers::Event::SpeechStopped => {
                let stopped = self.media.last_voice().unwrap_or(now);
                desk.log.transcript.caller_stopped(stopped);
                self.asked(stopped);
                self.debt.decided(now);
                if self.is_quiet(stopped, now) {
                    self.kept.speech_ended();
                    self.kept.asked();
                    self.debt.turn_passed();
                    self.want_answer(desk.settings.ladder.answer, desk, now);
                }
            }
            providers::Event::ToolCall { id, name, arguments } => {
                self.tool_called(&name, desk);
                return self.on_tool(id, &name, &arguments, desk, now);
            }
            providers::Event::Failed(failure) => return self.on_provider_failed(failure, desk, now),
            providers::Event::Prepare => desk.emit(Event::Prepare(self.provider.endpoint())),
            providers::Event::Reconnect => self.reconnect(desk, now),
            providers::Event::Working(within) => self.debt.works(now + within),
            providers::Event::Ready => self.on_ready(desk, now),
        }
        GO_ON
    }

    fn on_audio(&mut self, utterance: UtteranceId, audio: &Audio, desk: &mut Desk, now: Instant) {
        if self.is_stale(utterance) || !self.may_speak() {
            return;
        }
        self.hush(now);
        self.answers(desk, now);
        self.open = Some(utterance);
        if matches!(self.assistant, Assistant::Present) {
            desk.speaks();
        }
        self.goes_on();
        self.begun = true;
        self.debt.audio(now);
        self.filler.followed_by(utterance);
        desk.log.transcript.generated(utterance, audio.duration(), now);
        self.media.play(utterance, audio, now);
        self.wait_for_keys(desk, now);
    }

    fn on_tool(&mut self, id: ToolCallId, name: &str, arguments: &str, desk: &mut Desk, now: Instant) -> Flow {
        if !matches!(self.phase, Phase::Talking) {
            let output = json!({"status": "refused", "reason": "the call is already being handed over or ended"});
            self.provider.answer_tool(id, output.to_string(), Respond::No, now);
            return GO_ON;
        }
        match tools::request(name, arguments) {
            tools::Request::Transfer { destination } => self.announce_transfer(id, &destination, desk, now),
            tools::Request::EndCall => {
                self.provider.answer_tool(id, json!({"status": "ending"}).to_string(), Respond::No, now);
                self.close_when_silent(Outcome::Completed, "the assistant ended the call", desk, now);
                return self.when_silent(desk, now);
            }
            tools::Request::Press { keys } => self.on_press_tool(id, &keys, desk, now),
            tools::Request::Search { question } => self.on_search_tool(id, question, desk, now),
            tools::Request::Record(order) => self.on_recording_tool(id, order, desk, now),
            tools::Request::Unknown(reason) => {
                let output = json!({"status": "error", "reason": reason});
                self.want_answer(desk.settings.ladder.answer, desk, now);
                self.provider.answer_tool(id, output.to_string(), Respond::Yes, now);
            }
        }
        GO_ON
    }

    /// Goes on with whatever waits for the end of speech, once all is known of what was heard: who says late that there
    /// was no more may do so when the last of it has left, and a call that ended at once would not have that in its
    /// record.
    fn heard_out(&mut self, desk: &mut Desk, now: Instant) -> Flow {
        while let Some(event) = self.media.poll_event() {
            self.on_media(event, desk, now)?;
        }
        self.when_silent(desk, now)
    }

    /// Goes on with whatever waits for the end of speech, and of the keys that the assistant presses.
    fn when_silent(&mut self, desk: &mut Desk, now: Instant) -> Flow {
        if !self.is_silent() || self.is_pressing() {
            return GO_ON;
        }
        match &self.phase {
            Phase::Closing { spoken: Spoken::Heard, .. } => self.hang_up(),
            Phase::Transferring(Transfer { step: Step::Announcing { spoken: Spoken::Heard, .. }, .. }) => {
                self.refer(desk, now);
                GO_ON
            }
            Phase::Talking if desk.log.replies() >= desk.secretary.max_turns => {
                self.say_goodbye("this call has had as many turns as it may", Outcome::Timeout, desk, now);
                GO_ON
            }
            Phase::Talking | Phase::Transferring(_) | Phase::Closing { .. } => GO_ON,
        }
    }

    fn say_goodbye(&mut self, reason: &str, outcome: Outcome, desk: &mut Desk, now: Instant) {
        self.barge_in(desk, now);
        self.provider.inform(Note::SayGoodbye { reason: reason.to_owned() }, now);
        let until = now + desk.settings.farewell_deadline;
        self.phase = Phase::Closing { outcome, cause: reason.to_owned(), until, spoken: Spoken::NotYet };
    }

    fn close_when_silent(&mut self, outcome: Outcome, cause: &str, desk: &Desk, now: Instant) {
        let until = now + desk.settings.farewell_deadline;
        // Whatever had to be said has been, or is being, said.
        self.phase = Phase::Closing { outcome, cause: cause.to_owned(), until, spoken: Spoken::Heard };
    }

    fn hang_up(&mut self) -> Flow {
        let Phase::Closing { outcome, cause, .. } = std::mem::replace(&mut self.phase, Phase::Talking) else {
            return GO_ON;
        };
        let reason = match outcome {
            Outcome::Failed => reason::sip(503, "Provider failure"),
            Outcome::Completed | Outcome::Transferred | Outcome::Abandoned | Outcome::Timeout => reason::normal(),
        };
        let hangup = Hangup::Bye(Some(reason));
        ControlFlow::Break(End { outcome, cause, hangup })
    }

    fn peer_hung_up(&mut self, desk: &Desk) -> End {
        let (outcome, cause) = match &self.phase {
            Phase::Transferring(Transfer { step: Step::Settled { proof, .. }, .. }) => {
                (Outcome::Transferred, proof.cause())
            }
            Phase::Transferring(Transfer { step: Step::Accepted { .. }, .. }) => {
                (Outcome::Transferred, "handed over: the peer took the caller over and hung up, outcome not reported")
            }
            Phase::Closing { outcome, cause, .. } => {
                return End { outcome: *outcome, cause: cause.clone(), hangup: Hangup::Peer };
            }
            Phase::Talking | Phase::Transferring(_) if desk.log.replies() == 0 => {
                (Outcome::Abandoned, "the caller hung up before a first exchange")
            }
            Phase::Talking | Phase::Transferring(_) => (Outcome::Completed, "the caller hung up"),
        };
        End { outcome, cause: cause.into(), hangup: Hangup::Peer }
    }

    /// RFC 3264 §8: the peer changed the session, or asks for our description of it.
    ///
    /// # Errors
    /// Status and words of the refusal; the log has them, too.
    pub(super) fn reoffered(
        &mut self,
        offer: Option<&[u8]>,
        desk: &mut Desk,
        now: Instant,
    ) -> Result<Vec<u8>, (u16, Reason)> {
        let Some(offer) = offer else {
            return Ok(desk.sdp.offer(sdp::Direction::SendRecv));
        };
        match desk.sdp.answer(offer, sdp::Direction::SendRecv) {
            Ok(agreed) => {
                self.renegotiate(agreed.media, desk, now);
                Ok(agreed.sdp)
            }
            Err(error) => {
                let (status, why) = (error.sip_status(), reason::shortened(&error.to_string()));
                desk.emit(Event::Warning(format!("an offer within the call is refused, nothing changes: {why}")));
                Err((status, reason::sip(status, &why)))
            }
        }
    }

    /// Our 200 was acknowledged: of who took the call over, or to an offer within it.
    fn established(&mut self, answer: Option<&[u8]>, desk: &mut Desk, now: Instant) -> Flow {
        let answer_due = desk.moved();
        let Some(answer) = answer else {
            let cause = "the ACK of who took the call over carried no SDP answer".to_owned();
            let end = answer_due.then(|| takeover::without_answer(cause, "ACK without an answer"));
            return end.map_or(GO_ON, ControlFlow::Break);
        };
        match self.answered(answer, desk, now) {
            Err(why) if answer_due => {
                let cause = format!("no common media with who took the call over: {why}");
                return ControlFlow::Break(takeover::without_answer(cause, "Not Acceptable Here"));
            }
            Err(why) => desk.emit(unusable(&why)),
            Ok(()) => {}
        }
        GO_ON
    }

    /// The answer to an offer of ours.
    ///
    /// # Errors
    /// Why it is of no use; then all is as it was.
    fn answered(&mut self, answer: &[u8], desk: &mut Desk, now: Instant) -> Result<(), String> {
        let negotiated = desk.sdp.accept(answer).map_err(|error| reason::shortened(&error.to_string()))?;
        self.renegotiate(negotiated, desk, now);
        Ok(())
    }

    pub(super) fn renegotiate(&mut self, negotiated: sdp::Negotiated, desk: &mut Desk, now: Instant) {
        self.agreed_on(Hold::of(negotiated.direction), desk, now);
        // A refresh of the session (RFC 4028 §7.4) disturbs nothing.
        if self.negotiated != negotiated {
            self.negotiated = negotiated.clone();
            self.media.renegotiate(negotiated, now);
        }
        self.can_be_told();
    }

    fn is_stale(&self, utterance: UtteranceId) -> bool {
        self.cut.is_some_and(|cut| utterance <= cut)
    }

    /// Nobody's words play, and no utterance is still being made.
    fn is_silent(&self) -> bool {
        self.open.is_none() && self.media.playing().is_none_or(Tones::has)
    }

    /// The caller is ours to listen to.
    fn with_the_caller(&self) -> bool {
        match &self.phase {
            Phase::Talking | Phase::Closing { .. } => true,
            Phase::Transferring(transfer) => matches!(transfer.step, Step::Announcing { .. }),
        }
    }

    /// The assistant's speech reaches the caller.
    fn may_speak(&self) -> bool {
        self.with_the_caller()
    }
}

fn unusable(why: &str) -> Event {
    Event::Warning(format!("the answer to our offer is unusable: {why}"))
}

/// The phone side is gone, and did not say so.
fn lost(by: TerminatedBy) -> End {
    End { outcome: Outcome::Failed, cause: reason::of_lost(by).into(), hangup: Hangup::Peer }
}
