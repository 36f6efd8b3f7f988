//! Random walks over everything that can happen to a call, against what must always hold.
use crate::model::{self, LEG, Microphone, Model, PTIME};
use providers::{Disconnect, Incoming, Outgoing};
use ramal::call::{Call, Event, LiveState, steer::Order};
use sip::{Command, OfferMethod, ReferProgress, TerminatedBy};
use std::{
    thread,
    time::{Duration, Instant},
};

const WALKS: u64 = 2_500;
const STEPS: usize = 60;

struct Walk {
    call: Call,
    now: Instant,
    model: Model,
    microphone: Microphone,
    random: u64,
    log: Vec<u64>,
    /// The last REFER has no outcome.
    referring: bool,
    /// The peer said 2xx to it, or BYE is out.
    handed_over: bool,
    ended: bool,
    answered: bool,
    barge_ins: u32,
    /// Packets of fading speech that may still come.
    fades: u32,
    outgoing: Vec<Outgoing>,
}

#[test]
fn nothing_that_can_happen_breaks_a_call() {
    let threads = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let mut seen = Seen::default();
    thread::scope(|scope| {
        let share = |first| (first..=WALKS).step_by(threads as usize);
        let walkers: Vec<_> = (1..=threads).map(|first| scope.spawn(move || walk(share(first)))).collect();
        walkers.into_iter().for_each(|walker| seen.add(&walker.join().unwrap()));
    });
    // A walk that never gets anywhere proves nothing.
    assert!(seen.answered > WALKS / 2, "{seen:?}");
    assert!(seen.barge_ins > 200 && seen.refers > 100 && seen.returns > 30 && seen.handovers > 30, "{seen:?}");
}

fn walk(seeds: impl Iterator<Item = u64>) -> Seen {
    let mut seen = Seen::default();
    for seed in seeds {
        let mut walk = Walk::new(seed);
        for _ in 0..STEPS {
            walk.step(&mut seen);
        }
        walk.hang_up_and_check(&mut seen);
    }
    seen
}

/// How often the interesting things happened.
#[derive(Debug, Default)]
struct Seen {
    answered: u64,
    barge_ins: u64,
    refers: u64,
    returns: u64,
    handovers: u64,
}

impl Seen {
    fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.barge_ins += other.barge_ins;
        self.refers += other.refers;
        self.returns += other.returns;
        self.handovers += other.handovers;
    }
}

impl Walk {
    fn new(seed: u64) -> Self {
        let now = Instant::now();
        let mut walk = Self {
            call: model::call(model::secretary(|_| ()), seed, now),
            now,
            model: Model::default(),
            microphone: Microphone::default(),
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            log: Vec::new(),
            referring: false,
            handed_over: false,
            ended: false,
            answered: false,
            barge_ins: 0,
            fades: 0,
            outgoing: Vec::new(),
        };
        // Most walks begin with a call that is answered; the others stumble on the way.
        if walk.below(10) > 0 {
            walk.call.handle_connected(now);
            walk.call.handle_provider(Model::created(), now);
            walk.call.handle_provider(Model::updated(), now);
        }
        walk
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit
    }

    fn step(&mut self, seen: &mut Seen) {
        let op = self.below(27);
        self.log.push(op);
        match op {
            0 => self.perhaps_speak(),
            1..=5 => self.pass(25, false),
            6..=9 => self.speak(),
            10 => self.provider(vec![self.model.speech_started()]),
            11 => self.provider(vec![Model::heard("hello")]),
            12 | 13 => self.finish(Some(("transfer", r#"{"destination":"sales"}"#))),
            14 => self.finish(None),
            15 => self.finish(Some(("transfer", r#"{"destination":"nobody"}"#))),
            16 => self.finish_rarely("end_call"),
            17 | 18 => self.progress(),
            19 => self.reoffer(),
            20 => self.info(),
            21 => self.garbage(),
            22 => self.pass(200, false),
            23 => self.rare(),
            24 => self.cancelled(),
            25 => self.order(),
            _ => self.sleep(),
        }
        self.check(seen);
    }

    /// So many packets of the caller, with everything the call wants done meanwhile.
    fn pass(&mut self, packets: usize, loud: bool) {
        for _ in 0..packets {
            self.now += PTIME;
            self.timers();
            let packet = self.microphone.packet(loud);
            self.call.handle_rtp(model::caller(), &packet, self.now);
        }
    }

    /// Real speech through the real detector, which is what costs time here.
    fn perhaps_speak(&mut self) {
        if self.below(6) == 0 {
            self.pass(25, true);
        }
    }

    fn timers(&mut self) {
        while let Some((at, _)) = self.call.poll_timeout().filter(|(at, _)| *at <= self.now) {
            self.call.handle_timeout(at.max(self.now));
        }
    }

    fn provider(&mut self, messages: Vec<Incoming>) {
        for message in messages {
            self.call.handle_provider(message, self.now);
        }
    }

    fn speak(&mut self) {
        if !self.model.is_responding() {
            let begin = self.model.begin();
            self.provider(begin);
        }
        let length = Duration::from_millis(100 + self.below(3_000));
        self.provider(self.model.speak(length));
    }

    fn finish(&mut self, tool: Option<(&str, &str)>) {
        if self.model.is_responding() {
            let messages = self.model.finish(tool);
            self.provider(messages);
        }
    }

    fn finish_rarely(&mut self, tool: &str) {
        if self.below(3) == 0 {
            self.finish(Some((tool, "{}")));
        }
    }

    fn cancelled(&mut self) {
        if self.model.is_responding() {
            let done = self.model.done("cancelled", &[]);
            self.provider(vec![done]);
        }
    }

    fn progress(&mut self) {
        let progress = match self.below(7) {
            0 | 1 => ReferProgress::Accepted,
            2 => ReferProgress::Refused(603),
            3 => ReferProgress::Notified { status: 100, terminated: false },
            4 => ReferProgress::Notified { status: 200, terminated: true },
            5 => ReferProgress::Notified { status: 486, terminated: true },
            _ => ReferProgress::NoNotify,
        };
        if let ReferProgress::Notified { status: 200, .. } = progress {
            self.handed_over |= self.referring;
        }
        self.call.handle_sip(sip::Event::Refer { leg: LEG, progress }, self.now);
    }

    fn reoffer(&mut self) {
        let sdp = match self.below(5) {
            0 => None,
            1 => Some(model::offer("a=sendonly\r\n")),
            2 => Some(model::offer("a=inactive\r\n")),
            3 => Some(b"v=0\r\nm=image 9 udptl t38\r\n".to_vec()),
            _ => Some(model::offer("")),
        };
        self.call.handle_sip(
            sip::Event::Offer { leg: LEG, method: OfferMethod::Invite, sdp: sdp.map(Into::into) },
            self.now,
        );
    }

    fn info(&mut self) {
        let (content_type, body) = ("application/dtmf-relay".to_owned(), b"Signal=5\r\nDuration=160\r\n".to_vec());
        self.call.handle_sip(sip::Event::Info { leg: LEG, content_type, body: body.into() }, self.now);
    }

    fn garbage(&mut self) {
        let length = self.below(64);
        let bytes: Vec<u8> = (0..length).map(|_| self.below(256) as u8).collect();
        self.call.handle_rtp(model::caller(), &bytes, self.now);
        self.call.handle_rtcp(model::caller(), &bytes, self.now);
        self.call.handle_provider(Incoming::Text(String::from_utf8_lossy(&bytes).into_owned()), self.now);
        self.call.handle_provider(Incoming::Binary(bytes), self.now);
    }

    /// Somebody outside steers the call; most of what they want is not possible just then.
    fn order(&mut self) {
        let order = match self.below(8) {
            0 => Order::SayGoodbye,
            1 => Order::Transfer { to: "nobody".into() },
            _ => Order::Transfer { to: "sales".into() },
        };
        let (over, before) = (self.call.is_over(), self.call.standing().map(|standing| standing.state));
        let done = self.call.handle_order(&order, self.now);
        let expected = before == Some(LiveState::Talking) && order != Order::Transfer { to: "nobody".into() };
        assert_eq!(done.is_ok(), expected, "{order:?} in {before:?}: {done:?}: {}", self.story());
        assert_eq!(over, self.call.is_over(), "neither ends a call at once: {}", self.story());
    }

    /// What ends calls.
    fn rare(&mut self) {
        match self.below(12) {
            0 => self.call.handle_sip(sip::Event::Bye { leg: LEG, reason: None }, self.now),
            1 => self.call.handle_disconnected(Disconnect::Closed(None), self.now),
            2 => self.call.handle_shutdown(self.now),
            3 => self.call.handle_sip(sip::Event::Terminated { leg: LEG, by: TerminatedBy::PeerGone }, self.now),
            4 => self.call.handle_sip(sip::Event::Cancelled { leg: LEG, reason: None }, self.now),
            5 => {
                let over = self.call.is_over();
                let done = self.call.handle_order(&Order::HangUp, self.now);
                assert!(done.is_ok() != over && self.call.is_over(), "{}", self.story());
            }
            _ => {}
        }
    }

    /// To the next deadline, however far.
    fn sleep(&mut self) {
        if let Some((at, _)) = self.call.poll_timeout() {
            self.now = self.now.max(at);
            self.timers();
        }
    }

    fn check(&mut self, seen: &mut Seen) {
        self.timers();
        let silent_from_here = self.referring;
        while let Some(event) = self.call.poll_event() {
            assert!(!self.ended, "{event:?} after the end: {}", self.story());
            self.on_event(&event, seen);
        }
        while let Some(transmit) = self.call.poll_transmit() {
            let voice = transmit.channel == media::Channel::Rtp && model::is_voice(&transmit.bytes);
            if voice && silent_from_here && self.referring {
                // What was cut fades out over one packet.
                assert!(self.fades > 0, "speech into a transfer: {}", self.story());
                self.fades -= 1;
            }
        }
        while let Some(command) = self.call.poll_command() {
            self.on_command(&command, seen);
        }
        while let Some(message) = self.call.poll_outgoing() {
            self.outgoing.push(message);
        }
        if let Some((at, why)) = self.call.poll_timeout() {
            assert!(at > self.now, "the deadline {why:?} does not move: {}", self.story());
        }
        assert_eq!(self.ended, self.call.is_over(), "{}", self.story());
    }

    fn on_event(&mut self, event: &Event, seen: &mut Seen) {
        match event {
            Event::Answered => {
                assert!(!self.answered, "answered twice: {}", self.story());
                self.answered = true;
                seen.answered += 1;
            }
            Event::BargeIn(heard) => {
                assert!(self.answered && !self.referring, "a barge-in outside a turn: {}", self.story());
                assert!(heard.played <= heard.queued, "heard more than there was: {}", self.story());
                self.barge_ins += 1;
                seen.barge_ins += 1;
            }
            Event::TransferStarted { .. } => {
                assert!(!self.referring, "a REFER inside a REFER: {}", self.story());
                self.referring = true;
                self.fades = 1;
                seen.refers += 1;
            }
            Event::TransferFailed { .. } => {
                assert!(self.referring, "no transfer to fail: {}", self.story());
                self.referring = false;
                self.handed_over = false;
                seen.returns += 1;
            }
            Event::Ended(record) => {
                if record.outcome == ramal::record::Outcome::Transferred {
                    assert!(self.referring, "transferred without a REFER: {}", self.story());
                    seen.handovers += 1;
                }
                self.ended = true;
            }
            Event::Connect(_)
            | Event::Prepare(_)
            | Event::Reconnect(_)
            | Event::Disconnect
            | Event::CallerSpeaks
            | Event::CallerText(_)
            | Event::Dtmf(_)
            | Event::AssistantSpeaks { .. }
            | Event::AssistantText { .. }
            | Event::PlayedOut(_)
            | Event::Provider { .. }
            | Event::Changed(_)
            | Event::Measured(_)
            | Event::Receipt(_)
            | Event::Hold(_)
            | Event::Recording(_)
            | Event::ListenedTo { .. }
            | Event::Warning(_) => {}
        }
    }

    fn on_command(&mut self, command: &Command, _seen: &mut Seen) {
        match command {
            Command::Refer { refer_to, .. } => assert_eq!(refer_to, "sip:1001@acme.example", "{}", self.story()),
            Command::Bye { .. } | Command::Reject { .. } => assert!(self.ended, "hung up alive: {}", self.story()),
            Command::Answer { .. } => assert!(self.answered, "{}", self.story()),
            Command::Ring { .. }
            | Command::TakeOver { .. }
            | Command::AcceptOffer { .. }
            | Command::RefuseOffer { .. }
            | Command::Reinvite { .. }
            | Command::Info { .. } => {}
        }
    }

    /// However the walk went, the caller can hang up, and there is one record.
    fn hang_up_and_check(mut self, seen: &mut Seen) {
        if !self.ended {
            self.call.handle_sip(sip::Event::Bye { leg: LEG, reason: None }, self.now);
            self.check(seen);
        }
        assert!(self.ended, "no record: {}", self.story());
    }

    fn story(&self) -> String {
        format!("seed walk {:?}", self.log)
    }
}
