//! One call: a SIP leg, a media session and a provider, and whose turn it is. No IO, no clock, no tasks.
//!
//! ```text
//! Incoming ──▶ Ringing ──provider ready──▶ Live ──▶ Over
//!                 └──the same, no offer──▶ Offering ──ACK with answer──▶ Live
//! ```
//! Every exit goes through [`Call::end`], once.
mod bundle;
mod debt;
mod event;
mod kept;
mod keypad;
mod ladder;
mod listen_in;
mod live;
mod log;
mod numbered;
mod quality;
mod reason;
mod recording;
mod ringing;
mod rung;
mod settings;
mod setup;
mod standing;
mod succession;
mod takeover;
mod tools;
mod transcript;
mod transfer;

pub use bundle::Room;
pub use event::{Event, Hold};
pub use listen_in::ListenerId;
pub use live::{
    lookup::{self, Lookup, LookupId},
    steer::{self, NotDone},
};
pub use log::refused;
pub use recording::{Order, Recording};
pub use rung::{PartPrices, Pipeline, Rung, Standby};
pub use settings::{Listening, Patiences, Settings};
pub use setup::{Here, Setup};
pub use standing::{Kept as RecordingNow, LiveState, Standing};
pub use tools::{NAMES as TOOLS, tools};

use crate::{breaker::Sign, record::Outcome, secretary::Secretary};
use live::{Live, Money, lookup::Lookups};
use log::Log;
use media::{
    prompt::{Form, Prompt},
    sdp,
};
use providers::{Ahead, Dialect, Disconnect, Errand, Incoming, Job, JobId, Outgoing, Part, RequestId};
use ringing::{Offering, Ringing, widest};
use sip::{Command, LegId, Reason};
use std::{
    collections::VecDeque,
    net::SocketAddr,
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};
use succession::Succession;
use takeover::Moving;

/// Commands and events that may wait for the driver. A driver drains both after every input; more than this means it
/// does not, and the oldest event is dropped (commands never are: they are few by construction).
const MAX_EVENTS: usize = 1_024;

/// One call.
#[derive(Debug)]
pub struct Call {
    desk: Desk,
    state: State,
}

/// What every state needs: the facts of the call, its record, and where its outputs wait.
#[derive(Debug)]
struct Desk {
    leg: LegId,
    secretary: Secretary,
    /// The present one.
    rung: Rung,
    succession: Succession,
    /// Whether its conversation has been heard to speak.
    spoke: bool,
    standby: Option<Standby>,
    settings: Settings,
    local: Here,
    seed: u64,
    sdp: sdp::Negotiation,
    /// The leg took the place of another, which may have to have it back.
    moving: Option<Box<Moving>>,
    log: Log,
    money: Money,
    /// A provider that is gone may have asked for something.
    strays: bool,
    /// What is being looked up for the present one.
    lookups: Lookups,
    commands: VecDeque<Command>,
    events: VecDeque<Event>,
    /// The last packets of a call that is over.
    farewell: VecDeque<media::Transmit>,
    /// The last of its recording: as much as the tape holds back.
    recorded: VecDeque<media::recording::Block>,
}

#[derive(Debug)]
enum State {
    /// The provider is being connected; the caller hears ringing.
    Ringing(Box<Ringing>),
    /// The INVITE had no offer: our 200 carries one, the answer comes with the ACK.
    Offering(Box<Offering>),
    /// Audio flows.
    Live(Box<Live>),
    /// Nothing is left but to let the driver drain us.
    Over,
}

/// Why and how a call ends.
#[derive(Debug)]
struct End {
    outcome: Outcome,
    cause: String,
    hangup: Hangup,
}

/// What the peer is told.
#[derive(Debug)]
enum Hangup {
    /// BYE (or CANCEL) with this Reason.
    Bye(Option<Reason>),
    /// An error to the INVITE.
    Reject(u16),
    /// An error to the INVITE that says what is wrong with its offer.
    NoMedia(sdp::Error),
    /// Nothing: the peer ended it.
    Peer,
}

impl Call {
    /// A call for an INVITE. A broken offer refuses it at once; the reason is in the commands.
    pub fn new(setup: Setup, now: Instant) -> Self {
        let Setup { leg, invite, secretary, rung, below, standby, settings, local, .. } = setup;
        let Setup { seed, ice, srtp, conversation_uuid, started_at, .. } = setup;
        let spoken_by = (rung.provider(), rung.engine());
        let log = Log::new(&invite, &secretary, spoken_by, conversation_uuid, (started_at, now));
        let (commands, events, farewell) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
        let sdp = sdp::Negotiation::new(sdp::Local {
            address: local.address,
            session_id: seed >> 2,
            codecs: settings.codecs.clone(),
            preference: settings.preference,
            ptime: settings.ptime,
            comfort_noise: settings.comfort_noise,
            ice: Some(ice),
            srtp,
        });
        let recorded = VecDeque::new();
        let desk = Desk {
            leg,
            secretary,
            rung,
            succession: Succession::new(below),
            spoke: false,
            standby,
            settings,
            local,
            seed,
            sdp,
            moving: None,
            log,
            money: Money::default(),
            strays: false,
            lookups: Lookups::default(),
            commands,
            events,
            farewell,
            recorded,
        };
        let mut call = Self { desk, state: State::Over };
        call.ring(invite.offer.as_deref(), now);
        call
    }

    /// A SIP event of our leg, or an INVITE that may take its place. News of a leg that was replaced changes nothing.
    pub fn handle_sip(&mut self, event: sip::Event, now: Instant) {
        if let sip::Event::Incoming { leg, invite, .. } = &event {
            return self.take_over(*leg, invite, now);
        }
        if event.leg().is_some_and(|leg| leg != self.desk.leg) {
            return self.desk.heard_of(&event);
        }
        match &mut self.state {
            State::Ringing(_) => self.on_sip_while_ringing(event, now),
            State::Offering(_) => self.on_sip_while_offering(event, now),
            State::Live(live) => {
                let flow = live.handle_sip(event, &mut self.desk, now);
                self.follow(flow, now);
            }
            State::Over => self.desk.decline_late_offer(&event),
        }
        self.settle(now);
    }

    /// Whether the thread that carries this call keeps up.
    pub fn set_room(&mut self, room: Room) {
        if let State::Live(live) = &mut self.state {
            live.bundle.set_room(room);
        }
    }

    /// A datagram at our RTP port.
    pub fn handle_rtp(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        if let State::Live(live) = &mut self.state {
            live.media.handle_rtp(from, datagram, now);
            self.settle(now);
        }
    }

    /// A datagram at our RTCP port.
    pub fn handle_rtcp(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        if let State::Live(live) = &mut self.state {
            live.media.handle_rtcp(from, datagram, now);
            self.settle(now);
        }
    }

    /// The connection asked for with [`Event::Connect`] is open.
    pub fn handle_connected(&mut self, now: Instant) {
        match &mut self.state {
            State::Ringing(ringing) => ringing.provider.handle_connected(now),
            State::Live(live) => live.connected(&mut self.desk, now),
            State::Offering(offering) => offering.provider.handle_connected(now),
            State::Over => return,
        }
        self.settle(now);
    }

    /// How it is with the connection asked for with [`Event::Prepare`].
    pub fn handle_ahead(&mut self, ahead: Ahead, now: Instant) {
        match &mut self.state {
            State::Ringing(ringing) => ringing.provider.handle_ahead(ahead, now),
            State::Live(live) => live.provider.handle_ahead(ahead, now),
            State::Offering(offering) => offering.provider.handle_ahead(ahead, now),
            State::Over => return,
        }
        self.settle(now);
    }

    /// A message from the provider.
    pub fn handle_provider(&mut self, message: Incoming, now: Instant) {
        match (&mut self.state, message) {
            (State::Live(live), Incoming::Job(done)) => live.job_done(done, now),
            (State::Live(live), message) => live.provider.handle_incoming(message, now),
            (State::Ringing(ringing), message) => ringing.provider.handle_incoming(message, now),
            (State::Offering(offering), message) => offering.provider.handle_incoming(message, now),
            (State::Over, _) => return,
        }
        self.settle(now);
    }

    /// What this call's packets of a sentence depend on, if they may be made beforehand.
    pub fn form(&self) -> Option<Form> {
        match &self.state {
            State::Ringing(ringing) => ringing.form(),
            State::Live(live) => live.media.form(),
            State::Offering(_) | State::Over => None,
        }
    }

    /// A sentence that the provider is about to be given has been encoded for calls of some form.
    pub fn prepare(&mut self, prompt: Arc<Prompt>) {
        match &mut self.state {
            State::Live(live) => live.media.prepare(prompt),
            State::Ringing(_) | State::Offering(_) | State::Over => {}
        }
    }

    /// A part of the answer to a request of [`Self::poll_errand`].
    pub fn handle_answer(&mut self, id: RequestId, part: Part, now: Instant) {
        if let Some(provider) = self.provider() {
            provider.handle_answer(id, part, now);
            self.settle(now);
        }
    }

    /// There is no connection to the provider, or no longer.
    pub fn handle_disconnected(&mut self, how: Disconnect, now: Instant) {
        if let Some(provider) = self.provider() {
            provider.handle_disconnected(how, now);
            self.settle(now);
        }
    }

    /// The server stops: the caller gets a BYE, the record is written.
    pub fn handle_shutdown(&mut self, now: Instant) {
        let hangup = match self.state {
            State::Ringing(_) => Hangup::Reject(503),
            State::Offering(_) | State::Live(_) => Hangup::Bye(Some(reason::sip(503, "Server shutting down"))),
            State::Over => return,
        };
        let settled = match &self.state {
            State::Live(live) => live.settled(),
            State::Ringing(_) | State::Offering(_) | State::Over => None,
        };
        let (outcome, cause) =
            settled.map_or((Outcome::Failed, "the server was stopped"), |proof| (Outcome::Transferred, proof));
        self.end(End { outcome, cause: cause.into(), hangup }, now);
    }

    /// Advances time.
    pub fn handle_timeout(&mut self, now: Instant) {
        let flow = match &mut self.state {
            State::Ringing(ringing) if ringing.ready_by <= now => ringing.too_late(&mut self.desk, now),
            State::Ringing(ringing) => {
                ringing.provider.handle_timeout(now);
                ControlFlow::Continue(())
            }
            State::Live(live) => live.handle_timeout(&mut self.desk, now),
            State::Offering(offering) => {
                offering.provider.handle_timeout(now);
                ControlFlow::Continue(())
            }
            State::Over => ControlFlow::Continue(()),
        };
        self.follow(flow, now);
        self.settle(now);
        debug_assert!(
            self.poll_timeout().is_none_or(|(at, _)| at > now),
            "a deadline must move: {:?}",
            self.poll_timeout()
        );
    }

    /// When `handle_timeout` is next wanted, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        match &self.state {
            State::Ringing(ringing) => {
                let ready = Some((ringing.ready_by, "provider ready"));
                [ready, ringing.provider.poll_timeout()].into_iter().flatten().min()
            }
            State::Live(live) => live.poll_timeout(&self.desk),
            State::Offering(offering) => offering.provider.poll_timeout(),
            State::Over => None,
        }
    }

    /// The next SIP command.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.desk.commands.pop_front()
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<media::Transmit> {
        match &mut self.state {
            State::Live(live) => live.media.poll_transmit(),
            State::Ringing(_) | State::Offering(_) | State::Over => self.desk.farewell.pop_front(),
        }
    }

    /// The next message to the provider.
    pub fn poll_outgoing(&mut self) -> Option<Outgoing> {
        self.provider()?.poll_outgoing()
    }

    /// The next thing the provider wants beside its connection.
    pub fn poll_errand(&mut self) -> Option<Errand> {
        if std::mem::take(&mut self.desk.strays) {
            return Some(Errand::AbortAll);
        }
        self.provider()?.poll_errand()
    }

    /// The next job for the speech engine, of a voice that speaks beside the provider; answered like all jobs.
    pub fn poll_job(&mut self) -> Option<(JobId, Job)> {
        match &mut self.state {
            State::Live(live) => live.poll_job(),
            State::Ringing(_) | State::Offering(_) | State::Over => None,
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.desk.events.pop_front()
    }

    /// Whether the call has ended; what waits in the queues is still to be drained.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// What joins the record of this call to the PBX's.
    pub fn call_uuid(&self) -> &str {
        self.desk.log.call_uuid()
    }

    /// Media figures, once audio flows.
    pub fn stats(&self) -> Option<media::Stats> {
        match &self.state {
            State::Live(live) => Some(live.media.stats()),
            State::Ringing(_) | State::Offering(_) | State::Over => None,
        }
    }

    fn provider(&mut self) -> Option<&mut Box<dyn Dialect>> {
        match &mut self.state {
            State::Ringing(ringing) => Some(&mut ringing.provider),
            State::Live(live) => Some(&mut live.provider),
            State::Offering(offering) => Some(&mut offering.provider),
            State::Over => None,
        }
    }

    /// Rings, and connects the provider: 200 goes out when it is ready. An offer is answered in our head; without one (RFC
    /// 3264 §4) the provider is chosen for the widest that the answer may bring.
    fn ring(&mut self, offer: Option<&[u8]>, now: Instant) {
        let answer = offer.map(|offer| self.desk.sdp.answer(offer, sdp::Direction::SendRecv)).transpose();
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let cause = format!("no common media: {}", reason::shortened(&error.to_string()));
                return self.end(End { outcome: Outcome::Failed, cause, hangup: Hangup::NoMedia(error) }, now);
            }
        };
        let codec = answer.as_ref().map_or_else(|| widest(&self.desk.settings.codecs), |answer| answer.media.codec);
        let provider = self.desk.open(codec.format());
        self.desk.commands.push_back(Command::Ring { leg: self.desk.leg });
        self.desk.emit(Event::Connect(provider.endpoint()));
        let ready_by = now + self.desk.patience();
        self.state = State::Ringing(Box::new(Ringing { answer, codec, provider, failed: None, ready_by }));
        self.settle(now);
    }

    fn on_sip_while_ringing(&mut self, event: sip::Event, now: Instant) {
        use sip::Event as E;
        let (outcome, cause) = match event {
            E::Cancelled { reason, .. } if reason::is_answered_elsewhere(reason.as_ref()) => {
                (Outcome::Abandoned, "the call was answered elsewhere")
            }
            E::Cancelled { .. } => (Outcome::Abandoned, "the caller gave up before we answered"),
            E::Bye { .. } => (Outcome::Abandoned, "the caller hung up before we answered"),
            E::Terminated { .. } | E::Failed { .. } => (Outcome::Failed, "the leg died before we answered"),
            E::Offer { leg, .. } => {
                // RFC 3311 §5.2: an offer while ours is unanswered.
                return self.desk.commands.push_back(Command::RefuseOffer { leg, status: 491, reason: None });
            }
            E::Incoming { .. }
            | E::Established { .. }
            | E::Progress { .. }
            | E::OfferAnswered { .. }
            | E::Info { .. }
            | E::InfoRefused { .. }
            | E::Refer { .. }
            | E::Stranger { .. }
            | E::Locate { .. }
            | E::Registration { .. } => return,
        };
        self.end(End { outcome, cause: cause.into(), hangup: Hangup::Peer }, now);
    }

    fn on_sip_while_offering(&mut self, event: sip::Event, now: Instant) {
        use sip::Event as E;
        let (outcome, cause, hangup) = match event {
            E::Established { sdp: Some(answer), .. } => return self.open_offered(&answer, now),
            E::Established { sdp: None, .. } => {
                let hangup = Hangup::Bye(Some(reason::sip(488, "ACK without an answer")));
                (Outcome::Failed, "the ACK carried no SDP answer", hangup)
            }
            E::Cancelled { .. } | E::Bye { .. } => {
                (Outcome::Abandoned, "the caller hung up before the media were agreed", Hangup::Peer)
            }
            E::Terminated { .. } | E::Failed { .. } => {
                (Outcome::Failed, "our 200 was never acknowledged", Hangup::Peer)
            }
            E::Offer { leg, .. } => {
                return self.desk.commands.push_back(Command::RefuseOffer { leg, status: 491, reason: None });
            }
            E::Incoming { .. }
            | E::Progress { .. }
            | E::OfferAnswered { .. }
            | E::Info { .. }
            | E::InfoRefused { .. }
            | E::Refer { .. }
            | E::Stranger { .. }
            | E::Locate { .. }
            | E::Registration { .. } => return,
        };
        self.end(End { outcome, cause: cause.into(), hangup }, now);
    }

    /// The answer to our offer came with the ACK: media start, and what the provider has said is heard.
    fn open_offered(&mut self, answer: &[u8], now: Instant) {
        let negotiated = match self.desk.sdp.accept(answer) {
            Ok(negotiated) => negotiated,
            Err(error) => {
                let cause = format!("no common media: {}", reason::shortened(&error.to_string()));
                let hangup = Hangup::Bye(Some(reason::sip(488, "Not Acceptable Here")));
                return self.end(End { outcome: Outcome::Failed, cause, hangup }, now);
            }
        };
        let State::Offering(offering) = std::mem::replace(&mut self.state, State::Over) else { return };
        self.go_live(negotiated, offering.provider, now);
    }

    fn answer(&mut self, now: Instant) {
        let State::Ringing(ringing) = std::mem::replace(&mut self.state, State::Over) else { return };
        let Ringing { answer, provider, failed, .. } = *ringing;
        self.desk.reports(Sign::Ready);
        if let Some(failed) = failed {
            self.desk.changed(failed, Duration::ZERO, now);
        }
        let leg = self.desk.leg;
        match answer {
            Some(sdp::Agreed { sdp, media }) => {
                self.desk.commands.push_back(Command::Answer { leg, sdp: sdp.into() });
                self.go_live(media, provider, now);
            }
            None => {
                let sdp = self.desk.sdp.offer(sdp::Direction::SendRecv);
                self.desk.commands.push_back(Command::Answer { leg, sdp: sdp.into() });
                self.state = State::Offering(Box::new(Offering { provider }));
            }
        }
    }

    fn go_live(&mut self, negotiated: sdp::Negotiated, provider: Box<dyn Dialect>, now: Instant) {
        match Live::new(negotiated, provider, &mut self.desk, now) {
            Ok(mut live) => {
                self.desk.log.answered(now);
                self.desk.emit(Event::Answered);
                // RFC 3725 §4: a third party that connects two phones may hold the first until it has the other.
                if live.is_held() {
                    self.desk.emit(Event::Hold(Hold::Held));
                    live.tell_line(now);
                }
                self.state = State::Live(Box::new(live));
            }
            Err(error) => {
                let hangup = Hangup::Bye(Some(reason::sip(500, "Media failure")));
                let cause = format!("media could not start: {error}");
                self.end(End { outcome: Outcome::Failed, cause, hangup }, now);
            }
        }
    }

    /// Moves events between the cores until all are silent.
    fn settle(&mut self, now: Instant) {
        loop {
            match &mut self.state {
                State::Ringing(ringing) => match ringing.provider.poll_event() {
                    Some(event) => self.on_provider_while_ringing(event, now),
                    None => return,
                },
                State::Live(live) => match live.step(&mut self.desk, now) {
                    Some(flow) => self.follow(flow, now),
                    None => return,
                },
                // What the provider says, a failure too, waits in it for the ACK, whose deadline is timer H's (RFC 3261
                // §13.3.1.4): half a minute of it at most.
                State::Offering(_) | State::Over => return,
            }
        }
    }

    fn on_provider_while_ringing(&mut self, event: providers::Event, now: Instant) {
        match event {
            providers::Event::Ready => self.answer(now),
            providers::Event::Failed(failure) => {
                let State::Ringing(ringing) = &mut self.state else { return };
                let flow = ringing.next(failure, &mut self.desk, now);
                self.follow(flow, now);
            }
            providers::Event::Prepare | providers::Event::Reconnect => {
                let State::Ringing(ringing) = &self.state else { return };
                let (endpoint, prepares) = (ringing.provider.endpoint(), event == providers::Event::Prepare);
                self.desk.emit(if prepares { Event::Prepare(endpoint) } else { Event::Reconnect(endpoint) });
            }
            providers::Event::Warning(text) => self.desk.emit(Event::Warning(text)),
            providers::Event::Usage(usage) => self.desk.used(&usage),
            providers::Event::Receipt(receipt) => self.desk.emit(Event::Receipt(receipt)),
            // Nobody listens before the answer, and a dialect says nothing before `Ready`.
            providers::Event::Working(_)
            | providers::Event::SpeechStarted
            | providers::Event::SpeechStopped
            | providers::Event::Audio { .. }
            | providers::Event::UtteranceDone(_)
            | providers::Event::AssistantText { .. }
            | providers::Event::AssistantHeard { .. }
            | providers::Event::CallerText(_)
            | providers::Event::Thought
            | providers::Event::ToolCall { .. } => {}
        }
    }

    fn follow(&mut self, flow: ControlFlow<End>, now: Instant) {
        if let ControlFlow::Break(end) = flow {
            self.end(end, now);
        }
    }

    /// The one exit.
    fn end(&mut self, end: End, now: Instant) {
        let leg = self.desk.leg;
        match &mut self.state {
            State::Live(live) => {
                live.close(&mut self.desk, now);
                self.desk.farewell.extend(std::iter::from_fn(|| live.media.poll_transmit()));
            }
            State::Offering(offering) => offering.settle_accounts(&mut self.desk),
            State::Ringing(_) | State::Over => {}
        }
        match end.hangup {
            Hangup::Bye(reason) => self.desk.commands.push_back(Command::Bye { leg, reason }),
            Hangup::Reject(status) => {
                let reason = reason::of_refusal(status);
                self.desk.commands.push_back(Command::Reject { leg, status, reason, headers: Vec::new() });
            }
            Hangup::NoMedia(error) => {
                let (status, headers) = (error.sip_status(), Vec::new());
                let reason = Some(reason::sip(status, &reason::shortened(&error.to_string())));
                self.desk.commands.push_back(Command::Reject { leg, status, reason, headers });
            }
            Hangup::Peer => {}
        }
        self.desk.leave_former();
        let record = self.desk.log.conversation(end.outcome, end.cause, Some(&self.desk.rung), now);
        self.desk.emit(Event::Ended(Box::new(record)));
        self.state = State::Over;
    }
}

impl Desk {
    fn emit(&mut self, event: Event) {
        if self.events.len() >= MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// A re-INVITE that crossed our BYE.
    fn decline_late_offer(&mut self, event: &sip::Event) {
        if let sip::Event::Offer { leg, .. } = event {
            self.commands.push_back(Command::RefuseOffer { leg: *leg, status: 481, reason: None });
        }
    }
}
