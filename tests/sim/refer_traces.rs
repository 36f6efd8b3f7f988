//! What FreeSWITCH did with a REFER, replayed against ours: in no trace is a caller lost.
//!
//! The recorded messages keep their times and order; of the recorded agent's names, ours take the place: tags, branches,
//! CSeq, and the REFER that a NOTIFY is about.
use crate::model::{self, Microphone, Model, PTIME, sent};
use providers::Outgoing;
use ramal::{
    call::{Call, Event},
    record::{Conversation, Outcome},
};
use sip::{Config, Endpoint, Listener, ListenerId, Transport};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Media silence after which a leg ends, by default.
const MEDIA_TIMEOUT: Duration = Duration::from_secs(60);

/// How long FreeSWITCH takes to answer a BYE, and a bit: one of its own that was about to leave crosses ours.
const ROUND_TRIP: Duration = Duration::from_millis(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Switch,
    Agent,
}

#[derive(Clone, Debug)]
struct Message {
    at: Duration,
    from: From,
    text: String,
}

impl Message {
    fn is(&self, start: &str) -> bool {
        self.text.starts_with(start)
    }

    fn cseq(&self) -> &str {
        header(&self.text, "CSeq")
    }

    fn is_response_to(&self, method: &str) -> bool {
        self.is("SIP/2.0") && self.cseq().ends_with(method)
    }
}

fn header<'a>(text: &'a str, name: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().trim()
}

fn line<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines().find(|line| line.starts_with(name)).unwrap_or_default()
}

fn tag(value: &str) -> &str {
    value.split_once(";tag=").map_or("", |(_, tag)| tag)
}

/// A recorded dialog.
struct Trace {
    messages: Vec<Message>,
    /// When its RTP flowed, from and to.
    flows: Vec<(Duration, Duration)>,
    /// Where from.
    media: SocketAddr,
}

impl Trace {
    fn parse(text: &str) -> Self {
        let mut trace = Self { messages: Vec::new(), flows: Vec::new(), media: "127.0.0.1:9".parse().unwrap() };
        for row in text.lines() {
            if let Some(content) = row.strip_prefix("      | ").or(row.strip_prefix("      |")) {
                let message = &mut trace.messages.last_mut().unwrap().text;
                message.push_str(content);
                message.push_str("\r\n");
            } else if let Some((at, rest)) = row.split_once(" == AI ") {
                let from = if rest.starts_with("<<") { From::Switch } else { From::Agent };
                trace.messages.push(Message { at: seconds(at), from, text: String::new() });
            } else if let Some((_, note)) = row.split_once("## ") {
                trace.note(note);
            }
        }
        for message in trace.messages.iter_mut().filter(|message| !message.text.contains("\r\n\r\n")) {
            message.text.push_str("\r\n");
        }
        let offer = &trace.messages[0].text;
        let port = line(offer, "m=audio").split(' ').nth(1).unwrap();
        trace.media = format!("127.0.0.1:{port}").parse().unwrap();
        trace
    }

    /// `AI 5c0275b2 rx=325 first@1.246 last@8.427`, then gaps: `@3.106 event: … dts=5600 dt=678.3ms …`.
    fn note(&mut self, note: &str) {
        let after = |key: &str| note.split_once(key).map(|(_, rest)| rest.split([' ', 'm']).next().unwrap_or_default());
        if let (Some(first), Some(last)) = (after("first@"), after("last@")) {
            self.flows.push((seconds(first), seconds(last)));
        }
        if let (true, Some(end), Some(length)) = (note.contains("event:"), after("@"), after("dt="))
            && let Some(flow) = self.flows.last_mut()
        {
            let (end, length) = (seconds(end), seconds(length) / 1_000);
            if length > Duration::from_millis(200) {
                let last = std::mem::replace(&mut flow.1, end - length);
                self.flows.push((end, last));
            }
        }
    }

    fn find(&self, start: &str) -> &Message {
        self.messages.iter().find(|message| message.is(start)).unwrap()
    }

    /// The agent's 200 to the INVITE of the first dialog.
    fn answer(&self) -> &Message {
        self.messages
            .iter()
            .find(|m| m.from == From::Agent && m.is("SIP/2.0 200") && m.is_response_to("INVITE"))
            .unwrap()
    }

    fn refer(&self) -> &Message {
        self.find("REFER")
    }

    /// Whether the switch sends the caller's audio, so long after the REFER.
    fn flows_after_refer(&self, since: Duration) -> bool {
        let at = self.refer().at + since;
        self.flows.iter().any(|(first, last)| (*first..=*last).contains(&at))
    }
}

fn seconds(text: &str) -> Duration {
    Duration::from_secs_f64(text.trim().parse().unwrap())
}

/// FreeSWITCH, as recorded.
struct Switch {
    trace: Trace,
    /// What is still to be sent.
    agenda: Vec<(Instant, String)>,
    our_tag: String,
    our_refer: Option<(Instant, String)>,
    /// Statuses of our answers to its requests, by CSeq.
    answered: Vec<(String, String)>,
    our_bye: Option<Instant>,
}

impl Switch {
    fn hears(&mut self, text: &str, now: Instant) {
        let first = text.lines().next().unwrap_or_default();
        match first.split(' ').next().unwrap_or_default() {
            "SIP/2.0" => self.hears_response(first, text, now),
            "REFER" if self.our_refer.is_none() => {
                self.our_refer = Some((now, text.to_owned()));
                let sent_at = self.trace.refer().at;
                let later: Vec<_> =
                    self.trace.messages.iter().filter(|m| m.from == From::Switch && m.at >= sent_at).cloned().collect();
                for message in later.iter().filter(|m| !m.is_response_to("BYE") && !m.is("ACK")) {
                    self.plan(message, now + (message.at - sent_at), text);
                }
            }
            "BYE" => {
                self.our_bye = Some(now);
                let ok = text.lines().skip(1).take_while(|line| !line.is_empty());
                let kept =
                    ok.filter(|line| ["Via", "From", "To", "Call-ID", "CSeq"].iter().any(|h| line.starts_with(h)));
                let response: String = kept.map(|line| format!("{line}\r\n")).collect();
                self.agenda.push((now + ROUND_TRIP, format!("SIP/2.0 200 OK\r\n{response}Content-Length: 0\r\n\r\n")));
            }
            other => assert!(other.is_empty() || other == "REFER", "we sent {first}"),
        }
    }

    fn hears_response(&mut self, first: &str, text: &str, now: Instant) {
        let cseq = header(text, "CSeq").to_owned();
        if first == "SIP/2.0 200 OK" && cseq.ends_with("INVITE") {
            self.our_tag = tag(header(text, "To")).to_owned();
            let (answer, ack) = (self.trace.answer().at, self.trace.find("ACK").clone());
            self.plan(&ack, now + (ack.at - answer), "");
        }
        self.answered.push((cseq, first.to_owned()));
    }

    /// With our names in place of the recorded agent's.
    fn plan(&mut self, message: &Message, at: Instant, refer: &str) {
        let recorded = self.trace.refer();
        let mut text = message.text.replace(tag(header(&self.trace.answer().text, "To")), &self.our_tag);
        if message.is_response_to("REFER") {
            text = text.replace(line(&text, "Via").to_owned().as_str(), line(refer, "Via"));
            text = text.replace(recorded.cseq(), header(refer, "CSeq"));
        }
        let number = |cseq: &str| format!("refer;id={}", cseq.trim_end_matches(" REFER"));
        if message.is("NOTIFY") {
            text = text.replace(&number(recorded.cseq()), &number(header(refer, "CSeq")));
        }
        self.agenda.push((at, text));
    }

    fn next(&self) -> Option<Instant> {
        self.agenda.iter().map(|(at, _)| *at).min()
    }

    fn says(&mut self, now: Instant) -> Vec<u8> {
        let due = self.agenda.iter().position(|(at, _)| *at <= now).unwrap();
        self.agenda.remove(due).1.into_bytes()
    }
}

/// The call, with a model that announces a transfer and, when it fails, goes on talking.
struct Replay {
    now: Instant,
    switch: Switch,
    sip: Endpoint,
    call: Option<Call>,
    incoming: Vec<sip::IncomingInvite>,
    model: Model,
    microphone: Microphone,
    outgoing: Vec<Outgoing>,
    records: Vec<Conversation>,
    failed: Option<(Instant, String)>,
    /// Packets of voice while the switch sends the caller's audio, since the transfer failed.
    heard_again: usize,
    /// Packets of voice between REFER and failure.
    into_the_void: usize,
}

impl Replay {
    fn new(trace: Trace) -> Self {
        let now = Instant::now();
        let address = "127.0.0.1:25060".parse().unwrap();
        let listener = Listener { id: ListenerId(0), transport: Transport::Udp, address };
        let (listeners, policy) = (vec![listener], sip::Policy::everybody());
        let session_expires = sip::SESSION_EXPIRES;
        let config = Config { user_agent: "Ramal".into(), listeners, max_legs: 4, policy, session_expires };
        let invite = trace.messages[0].text.clone();
        let mut replay = Self {
            now,
            switch: Switch {
                trace,
                agenda: vec![(now, invite)],
                our_tag: String::new(),
                our_refer: None,
                answered: Vec::new(),
                our_bye: None,
            },
            sip: Endpoint::new(config, 7),
            call: None,
            incoming: Vec::new(),
            model: Model::default(),
            microphone: Microphone::default(),
            outgoing: Vec::new(),
            records: Vec::new(),
            failed: None,
            heard_again: 0,
            into_the_void: 0,
        };
        replay.run(Duration::from_millis(100));
        replay.says(Some(("transfer", r#"{"destination":"sales"}"#)));
        replay
    }

    fn says(&mut self, tool: Option<(&str, &str)>) {
        let mut messages = self.model.begin();
        messages.extend(self.model.speak(Duration::from_secs(1)));
        messages.extend(self.model.finish(tool));
        let call = self.call.as_mut().unwrap();
        messages.into_iter().for_each(|message| call.handle_provider(message, self.now));
        self.settle();
    }

    /// Until there is a REFER.
    fn refer(&mut self) -> Instant {
        self.run(Duration::from_millis(1_500));
        self.switch.our_refer.as_ref().map(|(at, _)| *at).unwrap()
    }

    fn run(&mut self, length: Duration) {
        let end = self.now + length;
        while self.now < end {
            let packet_at = self.now + PTIME;
            loop {
                let call = self.call.as_ref().and_then(Call::poll_timeout);
                let deadlines = [call, self.sip.poll_timeout()].into_iter().flatten().map(|(at, _)| at);
                let Some(at) = deadlines.chain(self.switch.next()).min().filter(|at| *at <= packet_at) else { break };
                self.now = at.max(self.now);
                self.tick();
                self.settle();
            }
            self.now = packet_at;
            if self.caller_is_heard() {
                let (packet, from) = (self.microphone.packet(false), self.switch.trace.media);
                self.call.iter_mut().for_each(|call| call.handle_rtp(from, &packet, self.now));
                self.settle();
            }
        }
    }

    fn tick(&mut self) {
        let now = self.now;
        if self.switch.next().is_some_and(|at| at <= now) {
            let bytes = self.switch.says(now);
            self.sip.handle_datagram(ListenerId(0), "127.0.0.1:15080".parse().unwrap(), &bytes, now);
        }
        if self.sip.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.sip.handle_timeout(now);
        }
        if let Some(call) = self.call.as_mut().filter(|call| call.poll_timeout().is_some_and(|(at, _)| at <= now)) {
            call.handle_timeout(now);
        }
    }

    fn caller_is_heard(&self) -> bool {
        match &self.switch.our_refer {
            None => !self.switch.trace.flows.is_empty(),
            Some((at, _)) => self.switch.trace.flows_after_refer(self.now - *at),
        }
    }

    fn settle(&mut self) {
        while let Some(event) = self.sip.poll_event() {
            match event {
                sip::Event::Incoming { leg, invite, .. } => {
                    if self.call.is_none() {
                        let (secretary, rtp) = (model::secretary(|_| ()), "127.0.0.1:20000".parse().unwrap());
                        let mut call = Call::new(model::setup(secretary, (leg, (*invite).clone()), rtp, 7), self.now);
                        call.handle_connected(self.now);
                        call.handle_provider(Model::created(), self.now);
                        call.handle_provider(Model::updated(), self.now);
                        self.call = Some(call);
                    }
                    self.incoming.push(*invite);
                }
                event => self.call.iter_mut().for_each(|call| call.handle_sip(event.clone(), self.now)),
            }
        }
        self.drain_call();
        while let Some(transmit) = self.sip.poll_transmit() {
            self.switch.hears(std::str::from_utf8(&transmit.bytes).unwrap(), self.now);
        }
    }

    fn drain_call(&mut self) {
        let Some(call) = &mut self.call else { return };
        while let Some(event) = call.poll_event() {
            match event {
                Event::TransferFailed { reason, .. } => self.failed = Some((self.now, reason)),
                Event::Ended(record) => self.records.push(*record),
                _ => {}
            }
        }
        self.outgoing.extend(std::iter::from_fn(|| call.poll_outgoing()));
        let voice = std::iter::from_fn(|| call.poll_transmit()).filter(|transmit| model::is_voice(&transmit.bytes));
        let voice = voice.filter(|transmit| transmit.channel == media::Channel::Rtp).count();
        while let Some(command) = call.poll_command() {
            self.sip.handle_command(command, self.now);
        }
        if self.failed.is_some() {
            self.heard_again += voice;
        } else if self.switch.our_refer.is_some() {
            self.into_the_void += voice;
        }
    }

    /// The one record, after everything the switch asked was answered with 200 and nothing was left.
    fn record(&self, name: &str) -> &Conversation {
        assert_eq!(self.records.len(), 1, "{name}: one call, one record");
        for (cseq, status) in &self.switch.answered {
            let wanted = match cseq.rsplit(' ').next() {
                Some("INVITE") => continue,
                _ => "SIP/2.0 200 OK",
            };
            assert_eq!(status, wanted, "{name}: {cseq}");
        }
        assert!(self.into_the_void <= 1, "{name}: {} packets of speech into a transfer", self.into_the_void);
        &self.records[0]
    }

    fn told_the_model(&self, words: &str) -> bool {
        sent(&self.outgoing, "conversation.item.create").iter().any(|item| item.to_string().contains(words))
    }
}

macro_rules! trace {
    ($name:literal) => {
        ($name, include_str!(concat!("fixtures/", $name, ".txt")))
    };
}

/// The default: 202, NOTIFY 200 and BYE come at once, and look the same whatever becomes of the target.
#[test]
fn by_default_the_switch_takes_the_caller_and_says_no_more() {
    for (name, text) in [
        trace!("s14_refer_ok"),
        trace!("s15_refer_unknown"),
        trace!("s15b_refer_busy"),
        trace!("s15c_refer_unregistered"),
        trace!("s15d_refer_noanswer"),
    ] {
        let mut replay = Replay::new(Trace::parse(text));
        replay.refer();
        replay.run(Duration::from_secs(40));
        let record = replay.record(name);
        assert_eq!(record.outcome, Outcome::Transferred, "{name}: {}", record.end_reason);
        assert_eq!(record.transfer_destination.as_deref(), Some("1001"), "{name}");
        assert!(replay.switch.our_bye.is_none(), "{name}: the switch hung up first");
        assert!(replay.failed.is_none(), "{name}");
    }
}

#[test]
fn a_dialplan_may_send_the_caller_back_as_a_new_call_that_says_why() {
    let (_, text) = trace!("s30i_return_by_new_invite");
    let mut replay = Replay::new(Trace::parse(text));
    replay.refer();
    replay.run(Duration::from_secs(3));
    let [_, returned] = &replay.incoming[..] else { panic!("{} INVITEs", replay.incoming.len()) };
    assert!(returned.x_headers.contains(&("X-Lab-Return".into(), "USER_BUSY".into())), "{:?}", returned.x_headers);
    assert_eq!(replay.record("s30i").outcome, Outcome::Transferred);
}

/// Our BYE and the switch's cross: both are answered.
#[test]
fn a_bye_of_ours_may_cross_that_of_the_switch() {
    let (name, text) = trace!("s14g_refer_bye_immediately");
    let mut replay = Replay::new(Trace::parse(text));
    while replay.switch.our_refer.is_none() {
        replay.run(PTIME);
    }
    replay.call.as_mut().unwrap().handle_shutdown(replay.now);
    replay.settle();
    assert!(replay.switch.our_bye.is_some(), "{name}: our BYE is on its way");
    replay.run(Duration::from_secs(40));
    let byes: Vec<_> = replay.switch.answered.iter().filter(|(cseq, _)| cseq.ends_with("BYE")).collect();
    let [(_, status)] = byes[..] else { panic!("{name}: its BYE got {byes:?}") };
    assert!(["SIP/2.0 200 OK", "SIP/2.0 481 Call/Transaction Does Not Exist"].contains(&status.as_str()), "{status}");
    assert_eq!(replay.records.len(), 1);
    assert!(replay.sip.is_idle(), "{name}");
}

/// With `confirm_blind_transfer=true` the target's answer is told, and hanging up is ours.
#[test]
fn a_confirmed_transfer_ends_with_our_bye_after_the_target_answered() {
    let (name, text) = trace!("s30_confirm_ok");
    let mut replay = Replay::new(Trace::parse(text));
    let refer = replay.refer();
    replay.run(Duration::from_secs(10));
    let record = replay.record(name);
    assert_eq!(record.outcome, Outcome::Transferred, "{}", record.end_reason);
    assert!(record.end_reason.contains("the target answered"), "{}", record.end_reason);
    let bye = replay.switch.our_bye.unwrap() - refer;
    let wanted = Duration::from_millis(937 + 1_000);
    assert!(bye.abs_diff(wanted) <= Duration::from_millis(20), "BYE {bye:?} after REFER, the answer came at 937 ms");
}

/// A failure that is told gives the caller back, in the same dialog.
#[test]
fn a_caller_who_comes_back_talks_with_the_assistant_again() {
    for ((name, text), reason) in [
        (trace!("s30h_confirm_return"), "the line is busy"),
        (trace!("s30j_confirm_runs_out"), "the line is busy"),
        (trace!("s30k_confirm_no_match"), "the transfer was refused"),
        (trace!("s31_refer_one_leg"), "the transfer was refused"),
    ] {
        let mut replay = Replay::new(Trace::parse(text));
        let refer = replay.refer();
        replay.run(Duration::from_millis(500));
        let (failed, why) = replay.failed.clone().unwrap_or_else(|| panic!("{name}: the caller is lost"));
        assert_eq!(why, reason, "{name}");
        assert!(replay.told_the_model(reason), "{name}: the model was not told");
        replay.says(None);
        replay.run(Duration::from_millis(1_200));
        assert!((50..=52).contains(&replay.heard_again), "{name}: {} packets of voice", replay.heard_again);
        assert!(replay.records.is_empty() && replay.switch.our_bye.is_none(), "{name}: the leg stays");
        if !replay.switch.trace.flows.is_empty() {
            assert!(replay.caller_is_heard(), "{name}: the caller is heard again");
        }
        // Until the caller hangs up; nobody does in s31, and no audio comes.
        replay.run(Duration::from_secs(20) + MEDIA_TIMEOUT);
        let record = replay.record(name);
        assert_ne!(record.outcome, Outcome::Transferred, "{name}");
        let noted = record.turns.iter().any(|turn| turn.text.contains(reason));
        assert!(noted, "{name}: {:?}", record.turns);
        assert!(failed - refer < Duration::from_secs(1), "{name}");
    }
}

/// The dialplan hung the caller up, or the caller did: FreeSWITCH never tells. The deadline gives the caller back, who
/// would be heard; nobody is, and the media timeout ends the leg, which begins with that.
#[test]
fn a_transfer_nobody_reports_on_gives_the_caller_back_at_the_deadline() {
    for (name, text) in [
        trace!("s30b_confirm_busy"),
        trace!("s30c_confirm_unknown"),
        trace!("s30d_confirm_unregistered"),
        trace!("s30e_confirm_noanswer"),
        trace!("s30f_confirm_caller_hangs_up"),
    ] {
        let mut replay = Replay::new(Trace::parse(text));
        let refer = replay.refer();
        replay.run(Duration::from_secs(50));
        let (failed, why) = replay.failed.clone().unwrap_or_else(|| panic!("{name}: the caller is lost"));
        let waited = failed - refer;
        assert!(waited.abs_diff(Duration::from_secs(45)) < Duration::from_millis(100), "{name}: {waited:?}");
        assert!(replay.told_the_model(&why), "{name}: the model was not told");
        replay.says(None);
        replay.run(Duration::from_millis(1_200));
        assert!((50..=52).contains(&replay.heard_again), "{name}: {} packets of voice", replay.heard_again);
        replay.run(MEDIA_TIMEOUT);
        let record = replay.record(name);
        assert_eq!(record.outcome, Outcome::Failed, "{name}");
        assert!(record.end_reason.contains("no RTP from the caller for 60.0 s"), "{name}: {}", record.end_reason);
        let bye = replay.switch.our_bye.unwrap() - failed;
        assert!(bye.abs_diff(MEDIA_TIMEOUT) < Duration::from_millis(200), "{name}: BYE after {bye:?}");
        assert!(replay.sip.stats().legs == 0, "{name}");
    }
}

/// Hanging up while the target rings is harmless to the caller (s30g): so is stopping the server.
#[test]
fn stopping_during_a_transfer_leaves_the_caller_to_the_switch() {
    let (name, text) = trace!("s30g_confirm_ua_bye");
    let mut replay = Replay::new(Trace::parse(text));
    replay.refer();
    replay.run(Duration::from_secs(1));
    replay.call.as_mut().unwrap().handle_shutdown(replay.now);
    replay.settle();
    replay.run(Duration::from_secs(5));
    assert!(replay.switch.our_bye.is_some());
    assert_eq!(replay.record(name).transfer_destination.as_deref(), Some("1001"));
    assert_eq!(replay.sip.stats().legs, 0);
}
