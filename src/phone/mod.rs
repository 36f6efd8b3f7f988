//! A phone, as a core: places one call, speaks its clips, interrupts, presses keys, listens and measures.
//!
//! `ramal call`, the demo, the benchmarks and the tests dial with it. It knows nothing of Ramal's inside: every figure
//! in its [`Report`] is taken from packets.
mod listen;
mod plan;
mod report;

pub use plan::{Clip, HangUp, Plan, When};
pub use report::{BargeIn, EndedBy, Recording, Report, Turn};

use crate::dtmf::{self, Dtmf, Relay};
use listen::Ear;
use media::{Audio, AudioFormat, Frame, Patience, SampleRate, UtteranceId, codec::Codec, dtmf::Told, echo, sdp, vad};
use plan::Cue;
use sip::{Command, LegId, Reason};
use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// How the phone is reached, and what its numbers start from.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Our RTP address.
    pub local: SocketAddr,
    /// Codecs to offer.
    pub codecs: Vec<Codec>,
    /// With it the phone speaks SRTP only, under keys made of it; without it, plain RTP.
    pub srtp: Option<media::srtp::Secret>,
    /// How its keys go out, and the far end's are believed.
    pub dtmf: Dtmf,
    /// Source of the phone's random numbers.
    pub seed: u64,
    /// How long ago 1970 began when it is switched on: the time of day.
    pub since_1970: Duration,
    /// What to do.
    pub plan: Plan,
}

/// What happens on the phone, for whoever watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The far end rings.
    Ringing,
    /// 200: the plan starts.
    Answered,
    /// The clip of this number starts; whether it interrupts is in the plan.
    ClipStarts(usize),
    /// The last packet of this clip left.
    ClipEnds(usize),
    /// The far end begins to speak.
    FarSpeaks,
    /// The far end has been silent for a while.
    FarSilent,
    /// The call is over; the report is complete.
    Over,
}

/// One call of one phone.
#[derive(Debug)]
pub struct Phone {
    setup: Setup,
    sdp: sdp::Negotiation,
    state: State,
    report: Report,
    placed: Instant,
    commands: VecDeque<Command>,
    events: VecDeque<Event>,
}

#[derive(Debug)]
enum State {
    /// INVITE is out.
    Dialling {
        leg: Option<LegId>,
    },
    Talking(Box<Talk>),
    /// BYE is out, or came.
    Over,
}

#[derive(Debug)]
struct Talk {
    leg: LegId,
    media: media::Session,
    negotiated: sdp::Negotiated,
    answered: Instant,
    ends_by: Instant,
    ear: Ear,
    clips: VecDeque<(usize, Clip)>,
    keys: VecDeque<(Duration, char)>,
    /// The way of the keys; `None` if there is none to the far end.
    way: Option<Told>,
    relay: Relay,
    speaking: Option<usize>,
    /// When what we said last ended, and the far end has not answered it.
    awaiting_reply: Option<Instant>,
    /// When the clip now playing interrupted the far end, and it has not fallen silent.
    interrupting: Option<Instant>,
    cue: Cue,
}

impl Phone {
    /// A phone about to dial; give it its leg with [`Self::dialled`].
    pub fn new(setup: Setup, now: Instant) -> Self {
        let sdp = sdp::Negotiation::new(sdp::Local {
            address: setup.local,
            session_id: setup.seed >> 2,
            codecs: setup.codecs.clone(),
            preference: sdp::Preference::Theirs,
            ptime: PTIME,
            comfort_noise: sdp::ComfortNoise::Off,
            ice: None,
            srtp: setup.srtp.clone(),
        });
        Self {
            setup,
            sdp,
            state: State::Dialling { leg: None },
            report: Report::default(),
            placed: now,
            commands: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The offer to send with the INVITE.
    pub fn offer(&mut self) -> Vec<u8> {
        self.sdp.offer(sdp::Direction::SendRecv)
    }

    /// The INVITE made this leg.
    pub fn dialled(&mut self, leg: LegId) {
        if let State::Dialling { leg: slot } = &mut self.state {
            *slot = Some(leg);
        }
    }

    /// A SIP event of our leg.
    pub fn handle_sip(&mut self, event: sip::Event, now: Instant) {
        use sip::Event as E;
        match event {
            E::Progress { status, .. } => {
                self.report.ringing_ms.get_or_insert(millis(now - self.placed));
                self.report.provisional = Some(status);
                self.events.push_back(Event::Ringing);
            }
            E::Established { leg, sdp } => self.answered(leg, sdp.as_deref(), now),
            E::Failed { status, contacts, .. } => self.over(EndedBy::Refused { status, contacts }, now),
            E::Bye { reason, .. } => self.over(EndedBy::FarEnd { reason: reason.map(describe) }, now),
            E::Terminated { .. } => self.over(EndedBy::Lost, now),
            E::Offer { leg, sdp, .. } => {
                let command = match self.reoffered(sdp.as_deref(), now) {
                    Some(sdp) => Command::AcceptOffer { leg, sdp: sdp.into() },
                    None => Command::RefuseOffer { leg, status: 488, reason: None },
                };
                self.commands.push_back(command);
            }
            E::Incoming { leg, .. } => {
                let (reason, headers) = (None, Vec::new());
                self.commands.push_back(Command::Reject { leg, status: 486, reason, headers });
            }
            E::Info { content_type, body, .. } => {
                if let (State::Talking(talk), Some(key)) = (&mut self.state, dtmf::of_info(&content_type, &body)) {
                    talk.media.handle_info_dtmf(key, now);
                }
            }
            E::Cancelled { .. }
            | E::OfferAnswered { .. }
            | E::InfoRefused { .. }
            | E::Refer { .. }
            | E::Stranger { .. }
            | E::Locate { .. }
            | E::Registration { .. } => {}
        }
        self.settle(now);
    }

    /// A datagram at our RTP port.
    pub fn handle_rtp(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        if let State::Talking(talk) = &mut self.state {
            talk.media.handle_rtp(from, datagram, now);
            self.settle(now);
        }
    }

    /// A datagram at our RTCP port.
    pub fn handle_rtcp(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        if let State::Talking(talk) = &mut self.state {
            talk.media.handle_rtcp(from, datagram, now);
            self.settle(now);
        }
    }

    /// The person at the phone hangs up.
    pub fn hang_up(&mut self, now: Instant) {
        let leg = match &self.state {
            State::Dialling { leg } => *leg,
            State::Talking(talk) => Some(talk.leg),
            State::Over => return,
        };
        if let Some(leg) = leg {
            let reason = Some(Reason { protocol: "Q.850".into(), cause: Some(16), text: None });
            self.commands.push_back(Command::Bye { leg, reason });
        }
        self.over(EndedBy::Us, now);
    }

    /// Advances time.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.state {
            State::Talking(talk) if talk.ends_by <= now => self.hang_up(now),
            State::Talking(talk) => talk.media.handle_timeout(now),
            State::Dialling { .. } if self.placed + self.setup.plan.answer_within <= now => self.hang_up(now),
            State::Dialling { .. } | State::Over => {}
        }
        self.settle(now);
    }

    /// When `handle_timeout` is next wanted, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        match &self.state {
            State::Dialling { .. } => Some((self.placed + self.setup.plan.answer_within, "answer")),
            State::Talking(talk) => {
                let own = [Some((talk.ends_by, "end of the plan")), talk.relay.deadline()];
                own.into_iter().chain([talk.media.poll_timeout()]).flatten().min()
            }
            State::Over => None,
        }
    }

    /// The next SIP command.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<media::Transmit> {
        match &mut self.state {
            State::Talking(talk) => talk.media.poll_transmit(),
            State::Dialling { .. } | State::Over => None,
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether the call is over.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// What was measured.
    pub fn into_report(self) -> Report {
        self.report
    }

    fn answered(&mut self, leg: LegId, sdp: Option<&[u8]>, now: Instant) {
        if !matches!(self.state, State::Dialling { .. }) {
            return self.answered_again(leg, sdp, now);
        }
        let accepted = sdp.map(|answer| self.sdp.accept(answer));
        let Some(Ok(negotiated)) = accepted else { return self.unusable(leg, now) };
        self.report.codec = negotiated.codec.to_string();
        self.report.srtp = negotiated.srtp.as_ref().map(|keys| keys.sent.suite().name().to_owned());
        let config = media::Config {
            local: self.setup.local,
            media: negotiated.clone(),
            uplink: AudioFormat::Pcm(SampleRate::HZ_8000),
            vad: vad::Config { engine: vad::Engine::Off, ..vad::Config::default() },
            echo: echo::Policy::Pass,
            seed: self.setup.seed,
            reorder_window: Duration::from_millis(40),
            max_queued: Duration::from_secs(600),
            patience: Patience {
                warning: self.setup.plan.duration,
                end: self.setup.plan.duration,
                hold: self.setup.plan.duration,
            },
            suppress_noise: false,
            poor_below: 1.0,
            since_1970: self.setup.since_1970,
        };
        let Ok(mut media) = media::Session::new(config, now) else { return self.unusable(leg, now) };
        if let Some(only) = self.setup.dtmf.believed() {
            media.believe_keys(only);
        }
        if self.setup.dtmf == Dtmf::Inband {
            media.listen_for_tones();
        }
        let way = self.setup.dtmf.way_out(negotiated.telephone_event.is_some());
        self.report.answered_ms = Some(millis(now - self.placed));
        self.events.push_back(Event::Answered);
        let plan = &self.setup.plan;
        self.state = State::Talking(Box::new(Talk {
            leg,
            media,
            negotiated,
            answered: now,
            ends_by: now + plan.duration,
            ear: Ear::new(),
            clips: plan.clips.iter().cloned().enumerate().collect(),
            keys: plan.keys.iter().copied().collect(),
            way,
            relay: Relay::default(),
            speaking: None,
            awaiting_reply: None,
            interrupting: None,
            cue: Cue::new(now),
        }));
    }

    /// The answer to an offer that the far end asked for in mid-call. One that we cannot use changes nothing.
    fn answered_again(&mut self, leg: LegId, sdp: Option<&[u8]>, now: Instant) {
        let State::Talking(talk) = &mut self.state else { return };
        if let Some(answer) = sdp.filter(|_| talk.leg == leg)
            && let Ok(media) = self.sdp.accept(answer)
        {
            talk.renegotiate(media, now);
        }
    }

    /// The far end changes the session, or only refreshes it (RFC 4028): our answer, if there is one.
    fn reoffered(&mut self, offer: Option<&[u8]>, now: Instant) -> Option<Vec<u8>> {
        let State::Talking(talk) = &mut self.state else { return None };
        let Some(offer) = offer else { return Some(self.sdp.offer(sdp::Direction::SendRecv)) };
        let agreed = self.sdp.answer(offer, sdp::Direction::SendRecv).ok()?;
        talk.renegotiate(agreed.media, now);
        Some(agreed.sdp)
    }

    /// A 200 we cannot use: hang up, and say so.
    fn unusable(&mut self, leg: LegId, now: Instant) {
        let reason = Some(Reason { protocol: "SIP".into(), cause: Some(488), text: None });
        self.commands.push_back(Command::Bye { leg, reason });
        self.over(EndedBy::UnusableAnswer, now);
    }

    fn settle(&mut self, now: Instant) {
        let State::Talking(talk) = &mut self.state else { return };
        while let Some(event) = talk.media.poll_event() {
            talk.on_media(event, &mut self.report, &mut self.events, now);
        }
        talk.press_keys(now);
        self.commands.extend(talk.relay.poll(talk.leg, now).map(|(_, info)| info));
        talk.speak_if_due(&mut self.report, &mut self.events, now);
        if talk.is_done(&self.setup.plan, now) {
            self.hang_up(now);
        }
    }

    fn over(&mut self, by: EndedBy, now: Instant) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Over => return,
            State::Dialling { .. } => {}
            State::Talking(talk) => self.report.finish(&talk.media.stats(), now - talk.answered),
        }
        self.report.ended_by = Some(by);
        self.events.push_back(Event::Over);
    }
}

const PTIME: Duration = Duration::from_millis(20);

impl Talk {
    fn renegotiate(&mut self, negotiated: sdp::Negotiated, now: Instant) {
        if self.negotiated != negotiated {
            self.negotiated = negotiated.clone();
            self.media.renegotiate(negotiated, now);
        }
    }

    fn on_media(&mut self, event: media::Event, report: &mut Report, events: &mut VecDeque<Event>, now: Instant) {
        match event {
            media::Event::Audio(Audio::Pcm(frame)) => self.hear(&frame, report, events, now),
            media::Event::FirstPacket { utterance, at } => {
                if let Some((_, clip)) = self.clips.front().filter(|(n, _)| utterance == id(*n)) {
                    report.recording.said(at - self.answered, &clip.audio.samples);
                }
            }
            media::Event::PlayedOut(heard) => {
                let Some((number, clip)) = self.clips.pop_front().filter(|(n, _)| heard.utterance == id(*n)) else {
                    return;
                };
                self.speaking = None;
                // The caller's last voice, not the end of the file, is what a reply is measured from.
                self.awaiting_reply = now.checked_sub(clip.trailing_silence());
                self.cue.said(now);
                events.push_back(Event::ClipEnds(number));
            }
            media::Event::Dtmf(key) => report.keys.push(key),
            media::Event::Audio(Audio::G711 { .. })
            | media::Event::Speech(_)
            | media::Event::Latched(_)
            | media::Event::Foreign(_)
            | media::Event::Silent(_)
            | media::Event::MediaTimeout(_)
            | media::Event::Poor(_)
            | media::Event::Reported => {}
        }
    }

    fn hear(&mut self, frame: &Frame, report: &mut Report, events: &mut VecDeque<Event>, now: Instant) {
        report.recording.heard(now - self.answered, &frame.samples);
        match self.ear.hear(frame, now) {
            Some(listen::Change::Speaks { since }) => {
                events.push_back(Event::FarSpeaks);
                let at_ms = millis(since - self.answered);
                report.first_voice_ms.get_or_insert(at_ms);
                if self.speaking.is_none()
                    && let Some(voice) = self.awaiting_reply.take_if(|voice| *voice <= since)
                {
                    report.turns.push(Turn { at_ms, latency_ms: millis(since - voice) });
                }
                self.cue.far_speaks();
            }
            Some(listen::Change::Silent { last_voice }) => {
                events.push_back(Event::FarSilent);
                if let Some(began) = self.interrupting.take() {
                    let stopped_ms = millis(last_voice.saturating_duration_since(began));
                    report.barge_ins.push(BargeIn { at_ms: millis(began - self.answered), stopped_ms });
                }
                self.cue.far_silent(last_voice);
            }
            Some(listen::Change::Signal) => self.interrupting = None,
            None => {}
        }
    }

    fn press_keys(&mut self, now: Instant) {
        while let Some((at, key)) = self.keys.pop_front_if(|(at, _)| self.answered + *at <= now) {
            let digit = key.to_string();
            let taken = match self.way {
                Some(Told::Event) => self.media.send_dtmf(&digit, now),
                Some(Told::Tone) => self.media.send_tones(&digit, now),
                Some(Told::Info) => self.relay.press(&digit),
                None => true, // there is no way to the far end
            };
            if !taken {
                return self.keys.push_front((at, key)); // behind those that are still being pressed
            }
        }
    }

    fn speak_if_due(&mut self, report: &mut Report, events: &mut VecDeque<Event>, now: Instant) {
        if self.speaking.is_some() {
            return;
        }
        let Some((number, clip)) = self.clips.front() else { return };
        let due = match clip.when {
            When::InTurn => self.is_my_turn(now),
            When::At(at) => self.answered + at <= now,
            When::Over(after) => self.ear.speaking_for(now).is_some_and(|spoken| spoken >= after),
        };
        if !due {
            return;
        }
        let number = *number;
        if self.ear.speaking_for(now).is_some() {
            self.interrupting = now.checked_add(clip.leading_silence());
        }
        let audio = Audio::Pcm(clip.audio.clone());
        self.media.play(id(number), &audio, now);
        self.media.finish(id(number), now);
        self.speaking = Some(number);
        self.awaiting_reply = None;
        report.clips += 1;
        events.push_back(Event::ClipStarts(number));
    }

    /// All is said, and answered or not going to be.
    fn is_done(&self, plan: &Plan, now: Instant) -> bool {
        plan.hang_up == plan::HangUp::WhenSaid && self.clips.is_empty() && self.keys.is_empty() && self.is_my_turn(now)
    }

    fn is_my_turn(&self, now: Instant) -> bool {
        self.cue.is_my_turn(now) && self.ear.speaking_for(now).is_none()
    }
}

fn id(clip: usize) -> UtteranceId {
    UtteranceId(clip as u64 + 1)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

fn describe(reason: Reason) -> String {
    let cause = reason.cause.map(|cause| format!(";cause={cause}")).unwrap_or_default();
    let text = reason.text.map(|text| format!(";text={text:?}")).unwrap_or_default();
    format!("{}{cause}{text}", reason.protocol)
}
