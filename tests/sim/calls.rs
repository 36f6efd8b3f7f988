//! What a call does, step by step, on a virtual clock.
mod budget;
mod detector;
mod elevenlabs;
mod keys;
mod knowledge;
mod ladder;
mod notice;
mod rotation;
mod steer;
mod wideband;

use crate::model::{self, LEG, Microphone, Model, PTIME, sent};
use media::srtp::{Master, Receiver, Secret, Suite};
use providers::{Disconnect, Incoming, Outgoing};
use ramal::{
    call::{Call, Event, Here, Hold, Order},
    record::{Conversation, Outcome, Speaker},
    secretary::SecretaryRow,
};
use sip::{Body, Command, ReferProgress};
use std::time::{Duration, Instant};

/// A call, the world around it, and everything that came out of it.
struct World {
    call: Call,
    now: Instant,
    began: Instant,
    microphone: Microphone,
    model: Model,
    events: Vec<Event>,
    commands: Vec<Command>,
    outgoing: Vec<Outgoing>,
    /// Packets with the assistant's voice, at their time.
    voice: Vec<Instant>,
}

impl World {
    fn ringing(change: impl FnOnce(&mut SecretaryRow)) -> Self {
        let now = Instant::now();
        Self::of(model::call(model::secretary(change), 7, now), now)
    }

    fn of(call: Call, now: Instant) -> Self {
        let mut world = Self {
            call,
            now,
            began: now,
            microphone: Microphone::default(),
            model: Model::default(),
            events: Vec::new(),
            commands: Vec::new(),
            outgoing: Vec::new(),
            voice: Vec::new(),
        };
        world.drain();
        world
    }

    /// A call that is answered, before its first message.
    fn answered(change: impl FnOnce(&mut SecretaryRow)) -> Self {
        let mut world = Self::ringing(change);
        world.call.handle_connected(world.now);
        world.provider(vec![Model::created()]);
        world.provider(vec![Model::updated()]);
        world
    }

    fn provider(&mut self, messages: Vec<Incoming>) {
        for message in messages {
            self.call.handle_provider(message, self.now);
        }
        self.drain();
    }

    fn sip(&mut self, event: sip::Event) {
        self.call.handle_sip(event, self.now);
        self.drain();
    }

    /// The peer offers anew in this direction: it holds the call, or has it back.
    fn reoffers(&mut self, direction: &str) {
        let sdp = Some(model::offer(direction).into());
        self.sip(sip::Event::Offer { leg: LEG, method: sip::OfferMethod::Invite, sdp });
    }

    fn refer(&mut self, progress: ReferProgress) {
        self.sip(sip::Event::Refer { leg: LEG, progress });
    }

    /// The assistant says something this long, all at once, as providers do.
    fn says(&mut self, length: Duration, tool: Option<(&str, &str)>) {
        let mut messages = self.model.begin();
        messages.extend(self.model.speak(length));
        messages.extend(self.model.finish(tool));
        self.provider(messages);
    }

    /// Time passes; the caller speaks, or is silent.
    fn pass(&mut self, length: Duration, speaking: bool) {
        let end = self.now + length;
        while self.now < end {
            let packet_at = self.now + PTIME;
            while let Some((at, _)) = self.call.poll_timeout().filter(|(at, _)| *at <= packet_at) {
                self.now = at.max(self.now);
                self.call.handle_timeout(self.now);
                self.drain();
            }
            self.now = packet_at;
            if !self.call.is_over() {
                let packet = self.microphone.packet(speaking);
                self.call.handle_rtp(model::caller(), &packet, self.now);
                self.drain();
            }
        }
    }

    /// Time passes, and no packet comes.
    fn wait(&mut self, length: Duration) {
        let end = self.now + length;
        while let Some((at, _)) = self.call.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = at.max(self.now);
            self.call.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    fn drain(&mut self) {
        self.events.extend(std::iter::from_fn(|| self.call.poll_event()));
        self.outgoing.extend(std::iter::from_fn(|| self.call.poll_outgoing()));
        while let Some(transmit) = self.call.poll_transmit() {
            if transmit.channel == media::Channel::Rtp && model::is_voice(&transmit.bytes) {
                self.voice.push(self.now);
            }
        }
        self.commands.extend(std::iter::from_fn(|| self.call.poll_command()));
    }

    fn warned(&self, of: &str) -> bool {
        self.events.iter().any(|event| matches!(event, Event::Warning(text) if text.contains(of)))
    }

    fn record(&self) -> Option<&Conversation> {
        self.events.iter().find_map(|event| match event {
            Event::Ended(record) => Some(record.as_ref()),
            _ => None,
        })
    }

    fn outcome(&self) -> Option<Outcome> {
        self.record().map(|record| record.outcome)
    }

    fn hung_up(&self) -> bool {
        self.commands.iter().any(|command| matches!(command, Command::Bye { .. }))
    }

    fn referred(&self) -> bool {
        self.commands.iter().any(|command| matches!(command, Command::Refer { .. }))
    }

    /// Up to the REFER of a transfer to sales that the model announced.
    fn transferring() -> Self {
        let mut world = Self::answered(|_| ());
        world.says(Duration::from_secs(1), Some(("transfer", r#"{"destination":"sales"}"#)));
        assert!(!world.referred(), "the announcement has not been heard");
        world.pass(Duration::from_millis(1_200), false);
        assert!(world.referred());
        world
    }
}

#[test]
fn the_phone_rings_until_the_provider_is_ready_and_is_refused_when_it_is_not() {
    let mut world = World::ringing(|_| ());
    assert!(matches!(world.commands.as_slice(), [Command::Ring { .. }]));
    world.call.handle_disconnected(Disconnect::Refused(401), world.now);
    world.drain();
    assert!(matches!(world.commands.as_slice(), [_, Command::Reject { status: 503, .. }]));
    let record = world.record().unwrap();
    assert_eq!(record.outcome, Outcome::Failed);
    assert!(record.end_reason.contains("Authentication"), "{}", record.end_reason);

    let mut world = World::ringing(|_| ());
    world.pass(Duration::from_secs(9), false);
    assert!(matches!(world.commands.as_slice(), [_, Command::Reject { status: 503, .. }]));
}

#[test]
fn packets_flow_at_fifty_a_second_from_answer_to_bye() {
    let mut world = World::answered(|_| ());
    let mut packets = 0;
    let end = world.now + Duration::from_secs(10);
    while world.now < end {
        let (at, _) = world.call.poll_timeout().unwrap();
        world.now = at.max(world.now);
        world.call.handle_timeout(world.now);
        packets +=
            std::iter::from_fn(|| world.call.poll_transmit()).filter(|t| t.channel == media::Channel::Rtp).count();
    }
    assert!((500..=502).contains(&packets), "{packets} packets in 10 s");
}

#[test]
fn a_caller_who_interrupts_silences_the_assistant_and_the_provider_learns_what_was_heard() {
    let mut world = World::answered(|_| ());
    world.says(Duration::from_secs(8), None);
    world.pass(Duration::from_secs(2), false);
    let spoke = world.now;
    world.pass(Duration::from_secs(1), true);
    let silent_from = world.voice.last().copied().unwrap();
    assert!(silent_from - spoke < Duration::from_millis(250), "silent after {:?}", silent_from - spoke);
    let truncations = sent(&world.outgoing, "conversation.item.truncate");
    let heard = truncations[0]["audio_end_ms"].as_u64().unwrap();
    assert!(heard.abs_diff(world.voice.len() as u64 * 20) <= 20, "{heard} ms, {} packets", world.voice.len());
}

#[test]
fn a_thousand_interruptions_are_truncated_where_they_were_heard() {
    let mut worst = 0;
    for n in 0..1_000_u64 {
        let mut world = World::answered(|_| ());
        let length = Duration::from_millis(2_000 + n * 7 % 6_000);
        let mut messages = world.model.begin();
        messages.extend(world.model.speak(length));
        world.provider(messages);
        world.pass(Duration::from_millis(60 + n * 13 % 1_700), false);
        let before = world.voice.len();
        world.provider(vec![world.model.speech_started()]);
        world.pass(Duration::from_millis(200), false);
        assert!(world.voice.len() <= before + 1, "more than a fade after the cut");
        let truncations = sent(&world.outgoing, "conversation.item.truncate");
        let heard = truncations[0]["audio_end_ms"].as_u64().unwrap();
        worst = worst.max(heard.abs_diff(world.voice.len() as u64 * 20));
    }
    assert!(worst <= 20, "worst error {worst} ms");
}

#[test]
fn late_audio_of_a_cut_utterance_is_never_played() {
    let mut world = World::answered(|_| ());
    let mut messages = world.model.begin();
    messages.extend(world.model.speak(Duration::from_secs(3)));
    world.provider(messages);
    world.pass(Duration::from_millis(500), false);
    world.provider(vec![world.model.speech_started()]);
    world.pass(Duration::from_millis(100), false);
    let voiced = world.voice.len();
    world.provider(world.model.speak(Duration::from_secs(3)));
    world.pass(Duration::from_secs(1), false);
    assert_eq!(world.voice.len(), voiced);
}

#[test]
fn a_transfer_that_the_target_answers_ends_with_our_bye() {
    let mut world = World::transferring();
    world.refer(ReferProgress::Accepted);
    world.pass(Duration::from_secs(5), false);
    assert!(!world.hung_up(), "202 settles nothing");
    world.refer(ReferProgress::Notified { status: 200, terminated: true });
    world.pass(Duration::from_millis(1_100), false);
    assert!(world.hung_up());
    assert_eq!(world.outcome(), Some(Outcome::Transferred));
    assert_eq!(world.record().unwrap().transfer_destination.as_deref(), Some("1001"));
}

#[test]
fn a_busy_target_gives_the_caller_back_and_the_model_is_told_why() {
    let mut world = World::transferring();
    world.refer(ReferProgress::Accepted);
    world.refer(ReferProgress::Notified { status: 486, terminated: true });
    assert!(!world.hung_up());
    let told = sent(&world.outgoing, "conversation.item.create");
    assert!(told.iter().any(|item| item.to_string().contains("the line is busy")), "{told:?}");
    let voiced = world.voice.len();
    world.says(Duration::from_secs(1), None);
    world.pass(Duration::from_millis(1_200), false);
    assert!(world.voice.len() > voiced + 45, "the assistant speaks again");
    world.sip(sip::Event::Bye { leg: LEG, reason: None });
    assert_ne!(world.outcome(), Some(Outcome::Transferred));
}

#[test]
fn no_notify_gives_the_caller_back() {
    let mut world = World::transferring();
    world.refer(ReferProgress::Accepted);
    world.refer(ReferProgress::NoNotify);
    assert!(!world.hung_up());
    assert!(world.events.iter().any(|event| matches!(event, Event::TransferFailed { .. })));
}

#[test]
fn an_orphaned_leg_ends_when_no_packet_comes_any_more() {
    let mut world = World::transferring();
    world.refer(ReferProgress::Accepted);
    world.refer(ReferProgress::NoNotify);
    for _ in 0..10_000 {
        let Some((at, _)) = world.call.poll_timeout() else { break };
        world.now = at;
        world.call.handle_timeout(at);
        world.drain();
    }
    assert!(world.hung_up());
    assert_eq!(world.outcome(), Some(Outcome::Failed));
}

/// A switch that rings the target sends no audio meanwhile, and may do so for longer than a phone may be silent.
#[test]
fn no_audio_while_the_target_rings_ends_no_call_and_counts_anew_for_a_caller_who_is_back() {
    let ringing = || {
        let mut world = World::transferring();
        world.refer(ReferProgress::Accepted);
        world.wait(Duration::from_secs(75));
        assert!(!world.call.is_over(), "{:?}", world.record());
        world
    };
    let mut world = ringing();
    world.refer(ReferProgress::Notified { status: 200, terminated: true });
    world.wait(Duration::from_secs(2));
    assert_eq!(world.outcome(), Some(Outcome::Transferred));

    let mut world = ringing();
    world.refer(ReferProgress::Notified { status: 486, terminated: true });
    world.says(Duration::from_secs(1), None);
    // Without an end of that, the call has silence of twice the time behind it; its own limit is near.
    world.wait(Duration::from_secs(40));
    assert!(!world.call.is_over(), "{:?}", world.record());
}

#[test]
fn a_bye_of_the_peer_after_202_is_the_handover_and_before_it_the_caller_left() {
    let mut world = World::transferring();
    world.refer(ReferProgress::Accepted);
    world.sip(sip::Event::Bye { leg: LEG, reason: None });
    assert_eq!(world.outcome(), Some(Outcome::Transferred));

    let mut world = World::transferring();
    world.sip(sip::Event::Bye { leg: LEG, reason: None });
    assert_eq!(world.outcome(), Some(Outcome::Abandoned));
}

#[test]
fn a_refused_refer_gives_the_caller_back() {
    let mut world = World::transferring();
    world.refer(ReferProgress::Refused(603));
    assert!(world.events.iter().any(|event| matches!(event, Event::TransferFailed { .. })));
    assert!(!world.call.is_over());
}

#[test]
fn what_the_assistant_says_while_the_refer_is_out_is_heard_by_nobody_and_not_written_down() {
    let mut world = World::transferring();
    let said = |world: &World| world.events.iter().filter(|event| matches!(event, Event::AssistantText { .. })).count();
    let announced = said(&world);
    world.says(Duration::from_secs(1), None);
    world.pass(Duration::from_millis(500), false);
    assert_eq!(said(&world), announced, "nor told to those who watch");
    world.refer(ReferProgress::Refused(603));
    world.says(Duration::from_secs(1), None);
    world.pass(Duration::from_millis(1_500), false);
    world.sip(sip::Event::Bye { leg: LEG, reason: None });
    let turns = &world.record().unwrap().turns;
    let heard: Vec<_> = turns.iter().filter(|turn| turn.who == Speaker::Assistant).map(|turn| turn.heard).collect();
    let second = |heard: &Option<Duration>| heard.is_some_and(|heard| heard >= Duration::from_millis(900));
    assert!(heard.len() == 2 && heard.iter().all(second), "{heard:?}");
}

#[test]
fn a_destination_nobody_registered_is_refused_in_words() {
    let mut world = World::answered(|_| ());
    world.says(Duration::from_secs(1), Some(("transfer", r#"{"destination":"sip:evil@example.com"}"#)));
    world.pass(Duration::from_secs(3), false);
    assert!(!world.referred());
    let answers = sent(&world.outgoing, "conversation.item.create");
    assert!(answers.iter().any(|item| item.to_string().contains("refused")), "{answers:?}");
}

#[test]
fn the_time_limit_lets_the_goodbye_be_heard() {
    let mut world = World::answered(|row| row.max_duration_seconds = Some(5));
    world.pass(Duration::from_millis(5_100), false);
    assert!(!world.hung_up());
    world.says(Duration::from_secs(2), None);
    world.pass(Duration::from_millis(1_500), false);
    assert!(!world.hung_up(), "the goodbye is being said");
    world.pass(Duration::from_millis(700), false);
    assert!(world.hung_up());
    assert_eq!(world.outcome(), Some(Outcome::Timeout));
    assert!((98..=101).contains(&world.voice.len()), "{} packets", world.voice.len());
}

#[test]
fn an_answer_that_is_being_made_at_the_time_limit_is_no_goodbye() {
    let mut world = World::answered(|row| row.max_duration_seconds = Some(5));
    world.says(Duration::from_secs(1), None);
    world.pass(Duration::from_millis(4_900), false);
    let answer = world.model.begin();
    world.provider(answer);
    world.pass(Duration::from_millis(200), false);
    assert_eq!(sent(&world.outgoing, "response.cancel").len(), 1);
    let voiced = world.voice.len();
    world.provider(world.model.speak(Duration::from_secs(1)));
    let cancelled = world.model.done("cancelled", &[]);
    world.provider(vec![cancelled]);
    world.pass(Duration::from_millis(1_500), false);
    assert!(!world.hung_up() && world.voice.len() == voiced, "it is not heard, and ends nothing");
    world.says(Duration::from_secs(1), None);
    world.pass(Duration::from_millis(900), false);
    assert!(!world.hung_up(), "the goodbye is being said");
    world.pass(Duration::from_millis(300), false);
    assert!(world.hung_up());
}

#[test]
fn a_provider_that_never_says_goodbye_does_not_keep_the_line() {
    let mut world = World::answered(|row| row.max_duration_seconds = Some(5));
    world.pass(Duration::from_secs(14), false);
    assert!(world.hung_up());
}

#[test]
fn end_call_waits_for_what_is_being_said() {
    let mut world = World::answered(|_| ());
    world.says(Duration::from_secs(1), Some(("end_call", "{}")));
    assert!(!world.hung_up());
    world.pass(Duration::from_millis(1_200), false);
    assert!(world.hung_up());
    assert_eq!(world.outcome(), Some(Outcome::Completed));
}

#[test]
fn a_reply_is_timed_from_the_callers_last_voice_to_the_first_packet() {
    let mut world = World::answered(|_| ());
    world.pass(Duration::from_secs(1), true);
    let quiet_from = world.now;
    world.pass(Duration::from_millis(700), false);
    world.says(Duration::from_secs(1), None);
    world.pass(Duration::from_millis(100), false);
    let expected = world.voice[0] - quiet_from;
    let latency = world.events.iter().find_map(|event| match event {
        Event::AssistantSpeaks { latency, .. } => *latency,
        _ => None,
    });
    let latency = latency.unwrap();
    assert!(latency.abs_diff(expected) <= Duration::from_millis(60), "{latency:?}, by hand {expected:?}");
}

/// Whoever holds the call does not wait for the answer.
#[test]
fn a_reply_before_which_the_caller_held_the_call_is_one_without_a_latency() {
    for held_before_it in [true, false] {
        let mut world = World::answered(|_| ());
        let hold = |world: &mut World| {
            world.reoffers("a=sendonly\r\n");
            world.wait(Duration::from_secs(3));
            world.reoffers("");
        };
        if !held_before_it {
            hold(&mut world);
        }
        world.pass(Duration::from_secs(1), true);
        world.pass(Duration::from_millis(700), false);
        if held_before_it {
            hold(&mut world);
        }
        world.says(Duration::from_secs(1), None);
        world.pass(Duration::from_millis(100), false);
        world.sip(sip::Event::Bye { leg: LEG, reason: None });
        let told = |event: &Event| match event {
            Event::AssistantSpeaks { latency, .. } => Some(latency.is_some()),
            _ => None,
        };
        assert_eq!(world.events.iter().filter_map(told).collect::<Vec<_>>(), [!held_before_it]);
        let record = world.record().unwrap();
        assert_eq!(record.average_latency().is_some(), !held_before_it);
        assert_eq!(record.outcome, Outcome::Completed, "it was a reply");
    }
}

#[test]
fn a_keypress_interrupts_and_reaches_the_model_as_words() {
    let mut world = World::answered(|_| ());
    world.says(Duration::from_secs(5), None);
    world.pass(Duration::from_millis(500), false);
    let body = b"Signal=5\r\nDuration=160\r\n".to_vec();
    world.sip(sip::Event::Info { leg: LEG, content_type: "application/dtmf-relay".into(), body: body.into() });
    assert!(world.events.contains(&Event::Dtmf('5')));
    assert!(world.events.iter().any(|event| matches!(event, Event::BargeIn(_))));
    world.pass(Duration::from_millis(3_100), false);
    assert_eq!(world.keyed(), ["The caller pressed 5"]);
}

#[test]
fn a_held_call_is_not_sent_speech_and_comes_back() {
    let mut world = World::answered(|_| ());
    world.says(Duration::from_secs(4), None);
    world.pass(Duration::from_millis(500), false);
    let offer = |direction| Some(model::offer(direction).into());
    let method = sip::OfferMethod::Invite;
    world.sip(sip::Event::Offer { leg: LEG, method, sdp: offer("a=sendonly\r\n") });
    let Some(Command::AcceptOffer { sdp, .. }) = world.commands.last() else { panic!("{:?}", world.commands) };
    assert!(String::from_utf8_lossy(sdp).contains("a=recvonly"));
    let voiced = world.voice.len();
    world.pass(Duration::from_secs(1), false);
    assert!(world.voice.len() <= voiced + 1, "speech into a held call");
    world.sip(sip::Event::Offer { leg: LEG, method, sdp: offer("") });
    world.pass(Duration::from_secs(1), false);
    assert!(world.voice.len() > voiced + 40, "speech goes on");
}

/// What is wrong with an offer is told in its own words, of which there may be 64 KiB.
#[test]
fn an_offer_that_cannot_be_taken_puts_a_line_into_the_record_and_no_more() {
    let now = Instant::now();
    let formats = format!("RTP/AVP {}", "18 ".repeat(20_000));
    let offer = String::from_utf8(model::offer("")).unwrap().replace("RTP/AVP 0 101", &formats);
    let invite = (LEG, model::invite(Some(offer.into_bytes())));
    let setup = model::setup(model::secretary(|_| ()), invite, "127.0.0.1:20000".parse().unwrap(), 7);
    let world = World::of(Call::new(setup, now), now);
    assert!(matches!(&world.commands[..], [Command::Reject { status: 488, .. }]), "{:?}", world.commands);
    let reason = &world.record().unwrap().end_reason;
    assert!(reason.starts_with("no common media: no codec in common, theirs are 18 18 "), "{reason}");
    assert!(reason.len() < 200, "{} bytes", reason.len());
}

/// As with a first offer; what was agreed on goes on. Who would take the call over with it is told the same.
#[test]
fn an_offer_within_the_call_that_cannot_be_taken_is_refused_with_its_reason_which_is_in_the_log_too() {
    let mut world = World::answered(|_| ());
    let audio = String::from_utf8(model::offer("")).unwrap();
    let fax = audio.replace("m=audio 4000 RTP/AVP 0 101", "m=image 4000 udptl t38");
    for (offer, why) in [
        (elsewhere("AVP 18"), "no codec in common, theirs are 18"),
        (Some(fax.into_bytes()), "no audio stream is open, only image"),
    ] {
        let told = |reason: &sip::Reason| {
            assert_eq!((reason.protocol.as_str(), reason.cause, reason.text.as_deref()), ("SIP", Some(488), Some(why)));
        };
        world.events.clear();
        let sdp = offer.clone().map(Body::from);
        world.sip(sip::Event::Offer { leg: LEG, method: sip::OfferMethod::Invite, sdp });
        match world.commands.last() {
            Some(Command::RefuseOffer { leg: LEG, status: 488, reason: Some(reason) }) => told(reason),
            other => panic!("{other:?}"),
        }
        match &world.taken_over(offer)[..] {
            [Command::Reject { leg: OTHER, status: 488, reason: Some(reason), .. }] => told(reason),
            other => panic!("{other:?}"),
        }
        let warning = format!("an offer within the call is refused, nothing changes: {why}");
        let warned = world.events.iter().filter(|event| matches!(event, Event::Warning(text) if *text == warning));
        assert_eq!(warned.count(), 2, "{:?}", world.events);
    }
    assert!(!world.call.is_over() && !world.hung_up());
    world.says(Duration::from_secs(1), None);
    assert_eq!(world.next_packet().remote, model::caller());
}

/// RFC 3725 §4: a third party that connects two phones may hold the first until it has the other.
#[test]
fn a_call_may_begin_on_hold() {
    for direction in ["a=inactive\r\n", "a=sendonly\r\n", "c=IN IP4 0.0.0.0\r\n"] {
        let now = Instant::now();
        let invite = (LEG, model::invite(Some(model::offer(direction))));
        let setup = model::setup(model::secretary(|_| ()), invite, "127.0.0.1:20000".parse().unwrap(), 7);
        let mut world = World::of(Call::new(setup, now), now);
        world.call.handle_connected(now);
        world.provider(vec![Model::created()]);
        world.provider(vec![Model::updated()]);
        let offer = Some(model::offer("").into());
        world.sip(sip::Event::Offer { leg: LEG, method: sip::OfferMethod::Invite, sdp: offer });
        let hold = |event: &Event| if let Event::Hold(hold) = event { Some(*hold) } else { None };
        let holds: Vec<Hold> = world.events.iter().filter_map(hold).collect();
        assert_eq!(holds, [Hold::Held, Hold::Resumed], "{direction}");
    }
}

/// RFC 3264 §8: a refresh changes nothing, so our description keeps its version; every stream ever offered has a line.
#[test]
fn rfc3264_8_a_refresh_is_answered_with_what_we_said_before_and_our_offer_keeps_every_stream() {
    let mut world = World::answered(|_| ());
    let Some(Command::Answer { sdp: first, .. }) = world.commands.last().cloned() else { panic!("not answered") };
    let mut ask = |sdp: Option<Body>| {
        world.sip(sip::Event::Offer { leg: LEG, method: sip::OfferMethod::Invite, sdp });
        match world.commands.last().cloned() {
            Some(Command::AcceptOffer { sdp, .. }) => String::from_utf8(sdp.into()).unwrap(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ask(Some(model::offer("").into())).as_bytes(), &first[..]);
    let version = |sdp: &str| sdp.lines().nth(1).and_then(|line| line.split(' ').nth(2)?.parse::<u64>().ok()).unwrap();
    let streams = |sdp: &str| sdp.lines().filter(|line| line.starts_with("m=")).count();
    let two = ask(Some(model::offer("m=video 4000 RTP/AVP 99\r\n").into()));
    assert_eq!((version(&two), streams(&two)), (2, 2));
    let ours = ask(None);
    assert_eq!((version(&ours), streams(&ours)), (3, 2), "{ours}");
    assert!(ours.contains(" RTP/AVP 0 8 101\r\n"), "all that we can, and what was agreed first: {ours}");
}

#[test]
fn the_server_may_stop_at_any_time() {
    let mut world = World::answered(|_| ());
    world.call.handle_shutdown(world.now);
    world.drain();
    assert!(world.hung_up());
    let mut world = World::ringing(|_| ());
    world.call.handle_shutdown(world.now);
    world.drain();
    assert!(matches!(world.commands.last(), Some(Command::Reject { status: 503, .. })));
}

#[test]
fn a_dead_provider_ends_the_call_or_sends_the_caller_to_the_fallback() {
    let mut world = World::answered(|_| ());
    let connects = |world: &World| world.events.iter().filter(|event| matches!(event, Event::Connect(_))).count();
    let before = connects(&world);
    world.call.handle_disconnected(Disconnect::Closed(Some((1000, String::new()))), world.now);
    world.drain();
    assert!(!world.hung_up() && connects(&world) == before + 1, "the same is tried once more");
    world.call.handle_disconnected(Disconnect::Unreachable("refused".into()), world.now);
    world.drain();
    assert!(world.hung_up());
    assert_eq!(world.outcome(), Some(Outcome::Failed));
    assert!(world.began <= world.now);
}

#[test]
fn what_a_dying_provider_has_said_is_still_heard() {
    let gone = || Disconnect::Closed(Some((1011, "internal".into())));
    let mut world = World::answered(|row| row.max_duration_seconds = Some(5));
    world.pass(Duration::from_millis(5_100), false);
    let mut goodbye = world.model.begin();
    goodbye.extend(world.model.speak(Duration::from_secs(2)));
    world.provider(goodbye);
    world.pass(Duration::from_millis(500), false);
    world.call.handle_disconnected(gone(), world.now);
    world.drain();
    assert!(!world.hung_up(), "the goodbye is there, and is said");
    world.pass(Duration::from_secs(2), false);
    assert!(world.hung_up());
    assert_eq!(world.outcome(), Some(Outcome::Timeout), "the reason to end was another");
    assert!((98..=101).contains(&world.voice.len()), "{} packets", world.voice.len());
}

#[test]
fn a_transfer_nobody_reports_on_gives_the_caller_back_by_our_own_clock() {
    let mut world = World::transferring();
    world.refer(ReferProgress::Accepted);
    world.pass(Duration::from_secs(79), false);
    assert!(!world.events.iter().any(|event| matches!(event, Event::TransferFailed { .. })));
    world.pass(Duration::from_secs(2), false);
    assert!(world.events.iter().any(|event| matches!(event, Event::TransferFailed { .. })));
}

#[test]
fn a_transfer_that_failed_is_not_where_the_caller_went() {
    let mut world = World::transferring();
    world.refer(ReferProgress::Refused(603));
    world.sip(sip::Event::Bye { leg: LEG, reason: None });
    assert_eq!(world.record().unwrap().transfer_destination, None);
}

/// The leg of another phone.
const OTHER: sip::LegId = sip::LegId(2);

/// An offer of a phone that listens at port 4002.
fn elsewhere(codec: &str) -> Option<Vec<u8>> {
    let offer = String::from_utf8(model::offer("")).unwrap();
    Some(offer.replace(" 4000 ", " 4002 ").replace("AVP 0 101", codec).into_bytes())
}

impl World {
    /// The INVITE of another phone asks for the caller's place; what the call says to that.
    fn taken_over(&mut self, offer: Option<Vec<u8>>) -> Vec<Command> {
        self.commands.clear();
        let invite = Box::new(model::invite(offer));
        self.sip(sip::Event::Incoming { leg: OTHER, invite, replaces: Some(LEG) });
        std::mem::take(&mut self.commands)
    }

    fn next_packet(&mut self) -> media::Transmit {
        loop {
            let (at, _) = self.call.poll_timeout().unwrap();
            self.now = at.max(self.now);
            self.call.handle_timeout(self.now);
            if let Some(packet) = std::iter::from_fn(|| self.call.poll_transmit()).find(|t| model::is_voice(&t.bytes)) {
                return packet;
            }
        }
    }
}

/// A description as of a phone that speaks SRTP, with its key.
fn over_srtp(plain: Vec<u8>) -> Vec<u8> {
    let key = "a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:jHUhSagb4QL2N2mPyqOkjgwC5pXPB9Xyup4KhQFH\r\n";
    format!("{}{key}", String::from_utf8(plain).unwrap().replace("RTP/AVP", "RTP/SAVP")).into_bytes()
}

#[test]
fn a_leg_that_takes_over_gets_the_conversation_and_the_old_one_a_bye() {
    let mut world = World::answered(|_| ());
    world.says(Duration::from_secs(4), None);
    world.pass(Duration::from_millis(500), false);
    let commands = world.taken_over(elsewhere("AVP 0 101"));
    let [Command::TakeOver { leg: OTHER, sdp, old: LEG, reason: Some(_) }] = &commands[..] else {
        panic!("{commands:?}")
    };
    assert!(String::from_utf8_lossy(sdp).contains("m=audio 20000 RTP/AVP 0 101"));
    assert_eq!(world.next_packet().remote, "127.0.0.1:4002".parse().unwrap());
    // The end of the old leg is not the end of the call.
    world.sip(sip::Event::Established { leg: OTHER, sdp: None });
    world.sip(sip::Event::Terminated { leg: LEG, by: sip::TerminatedBy::Us });
    world.sip(sip::Event::Bye { leg: LEG, reason: None });
    assert!(!world.call.is_over() && world.commands.is_empty());
    // From here on the new leg is the call.
    world.says(Duration::from_secs(1), Some(("transfer", r#"{"destination":"sales"}"#)));
    world.pass(Duration::from_secs(5), false);
    assert!(matches!(world.commands.as_slice(), [Command::Refer { leg: OTHER, .. }]), "{:?}", world.commands);
    world.sip(sip::Event::Refer { leg: OTHER, progress: ReferProgress::Refused(603) });
    world.sip(sip::Event::Bye { leg: OTHER, reason: None });
    assert!(world.outcome().is_some() && !world.hung_up());
    let record = format!("{:?}", world.record().unwrap());
    assert!(record.contains("taken over by 5511999"), "{record}");
}

/// RFC 3261 §9.2: a CANCEL that is sooner than our 200 takes the INVITE away, and RFC 3891 §3 leaves the leg it named as
/// it was.
#[test]
fn a_takeover_that_is_cancelled_before_our_200_is_there_leaves_the_call_where_it_was() {
    for offer in [elsewhere("AVP 0 101"), None] {
        let mut world = World::answered(|_| ());
        world.says(Duration::from_secs(4), None);
        world.pass(Duration::from_millis(500), false);
        drop(world.taken_over(offer.clone()));
        world.sip(sip::Event::Cancelled { leg: OTHER, reason: None });
        assert!(!world.call.is_over() && world.commands.is_empty(), "{:?}", world.commands);
        assert_eq!(world.next_packet().remote, model::caller());
        // Another may ask for it, and has it.
        assert!(matches!(&world.taken_over(offer)[..], [Command::TakeOver { leg: OTHER, old: LEG, .. }]));
        world.sip(sip::Event::Cancelled { leg: OTHER, reason: None });
        world.sip(sip::Event::Bye { leg: LEG, reason: None });
        assert!(world.call.is_over() && world.commands.is_empty(), "{:?}", world.commands);
    }
}

#[test]
fn a_call_whose_old_leg_hung_up_ends_with_the_cancel_of_the_new_one() {
    let mut world = World::answered(|_| ());
    drop(world.taken_over(elsewhere("AVP 0 101")));
    world.sip(sip::Event::Bye { leg: LEG, reason: None });
    assert!(!world.call.is_over());
    world.sip(sip::Event::Cancelled { leg: OTHER, reason: None });
    assert!(world.call.is_over() && world.commands.is_empty(), "{:?}", world.commands);
}

/// The endpoint knows which of the two is up, and ignores what is meant for the other.
#[test]
fn a_call_that_ends_before_the_ack_of_who_takes_it_over_hangs_both_legs_up() {
    let mut world = World::answered(|_| ());
    drop(world.taken_over(elsewhere("AVP 0 101")));
    let third = Box::new(model::invite(elsewhere("AVP 0 101")));
    world.sip(sip::Event::Incoming { leg: sip::LegId(3), invite: third, replaces: Some(LEG) });
    assert!(matches!(&world.commands[..], [Command::Reject { leg: sip::LegId(3), status: 480, .. }]));
    world.commands.clear();
    world.call.handle_shutdown(world.now);
    world.drain();
    assert!(
        matches!(&world.commands[..], [Command::Bye { leg: OTHER, .. }, Command::Bye { leg: LEG, .. }]),
        "{:?}",
        world.commands
    );
}

#[test]
fn who_takes_a_call_over_is_told_the_address_of_the_listener_they_came_to_and_nobody_else_is() {
    let now = Instant::now();
    let invite = (LEG, model::invite(Some(model::offer(""))));
    let setup = model::setup(model::secretary(|_| ()), invite, "127.0.0.1:20000".parse().unwrap(), 7);
    let by_listener = vec!["127.0.0.1".parse().unwrap(), "198.51.100.5".parse().unwrap()];
    let local = Here { by_listener, ..setup.local };
    let mut world = World::of(Call::new(ramal::call::Setup { local, ..setup }, now), now);
    world.call.handle_connected(now);
    world.provider(vec![Model::created()]);
    world.provider(vec![Model::updated()]);
    let takes_over = |world: &mut World, codec: &str| {
        let invite = sip::IncomingInvite { listener: sip::ListenerId(1), ..model::invite(elsewhere(codec)) };
        world.sip(sip::Event::Incoming { leg: OTHER, invite: Box::new(invite), replaces: Some(LEG) });
    };
    let told = |world: &World| {
        let described = world.commands.iter().rev().find_map(|command| match command {
            Command::Answer { sdp, .. } | Command::TakeOver { sdp, .. } | Command::AcceptOffer { sdp, .. } => {
                Some(String::from_utf8_lossy(sdp))
            }
            _ => None,
        });
        let text = described.unwrap();
        text.lines().find_map(|line| line.strip_prefix("c=IN IP4 ")).unwrap().to_owned()
    };
    takes_over(&mut world, "AVP 18");
    assert!(matches!(world.commands.last(), Some(Command::Reject { leg: OTHER, .. })), "{:?}", world.commands);
    world.reoffers("a=sendonly\r\n");
    assert_eq!(told(&world), "127.0.0.1");
    takes_over(&mut world, "AVP 0 101");
    assert!(matches!(world.commands.last(), Some(Command::TakeOver { old: LEG, .. })), "{:?}", world.commands);
    assert_eq!(told(&world), "198.51.100.5");
    world.sip(sip::Event::Offer { leg: OTHER, method: sip::OfferMethod::Invite, sdp: None });
    assert_eq!(told(&world), "198.51.100.5");
}

#[test]
fn a_takeover_without_an_offer_is_given_ours() {
    let mut world = World::answered(|_| ());
    world.says(Duration::from_secs(4), None);
    let commands = world.taken_over(None);
    assert!(matches!(&commands[..], [Command::TakeOver { leg: OTHER, old: LEG, .. }]), "{commands:?}");
    world.sip(sip::Event::Established { leg: OTHER, sdp: elsewhere("AVP 0 101").map(Body::from) });
    assert_eq!(world.next_packet().remote, "127.0.0.1:4002".parse().unwrap());
}

/// RFC 3261 §13.2.2.4 has the answer in the ACK. Without one our audio would go on to a phone that has hung up.
#[test]
fn a_takeover_that_has_no_answer_to_our_offer_is_ended_and_told_why() {
    for (answer, cause, told) in [
        (None, "the ACK of who took the call over carried no SDP answer", "ACK without an answer"),
        (elsewhere("AVP 18"), "no common media with who took the call over", "Not Acceptable Here"),
    ] {
        let mut world = World::answered(|_| ());
        world.says(Duration::from_secs(4), None);
        drop(world.taken_over(None));
        world.sip(sip::Event::Established { leg: OTHER, sdp: answer.map(Body::from) });
        let [Command::Bye { leg: OTHER, reason: Some(reason) }] = &world.commands[..] else {
            panic!("{:?}", world.commands)
        };
        assert_eq!((reason.cause, reason.text.as_deref()), (Some(488), Some(told)));
        let record = world.record().unwrap();
        assert!(record.end_reason.starts_with(cause), "{}", record.end_reason);
        assert_eq!(record.outcome, Outcome::Failed);
    }
}

#[test]
fn a_call_whose_first_ack_has_no_answer_to_our_offer_is_ended_and_told_why() {
    let now = Instant::now();
    let invite = (LEG, model::invite(None));
    let setup = model::setup(model::secretary(|_| ()), invite, "127.0.0.1:20000".parse().unwrap(), 7);
    let mut world = World::of(Call::new(setup, now), now);
    world.call.handle_connected(now);
    world.provider(vec![Model::created()]);
    world.provider(vec![Model::updated()]);
    world.sip(sip::Event::Established { leg: LEG, sdp: None });
    let told = world.commands.last();
    assert!(matches!(told, Some(Command::Bye { leg: LEG, reason: Some(it) }) if it.cause == Some(488)), "{told:?}");
    assert_eq!(world.record().unwrap().end_reason, "the ACK carried no SDP answer");
}

/// Once it was answered, an offer that is asked for again and not answered changes nothing (§14.1).
#[test]
fn a_leg_that_took_over_and_answered_may_leave_a_later_offer_of_ours_unanswered() {
    let mut world = World::answered(|_| ());
    world.says(Duration::from_secs(4), None);
    drop(world.taken_over(None));
    world.sip(sip::Event::Established { leg: OTHER, sdp: elsewhere("AVP 0 101").map(Body::from) });
    world.sip(sip::Event::Offer { leg: OTHER, method: sip::OfferMethod::Invite, sdp: None });
    world.sip(sip::Event::Established { leg: OTHER, sdp: None });
    assert!(!world.call.is_over() && !world.hung_up());
    assert_eq!(world.next_packet().remote, "127.0.0.1:4002".parse().unwrap());
}

/// Whether the next packet goes there, and is under this key for one who hears of it just now.
fn is_heard_at(world: &mut World, remote: &str, key: &str) -> bool {
    let bytes = base64_simd::STANDARD.decode_to_vec(key).unwrap();
    let master = Master::new(Suite::AesCm128Sha1_80, &bytes).unwrap();
    let mut packet = world.next_packet();
    assert_eq!(packet.remote, remote.parse().unwrap());
    Receiver::new(&master).unprotect_rtp(&mut packet.bytes).is_ok()
}

/// A call over SRTP that is up, and our key in it.
fn encrypted() -> (World, String) {
    let now = Instant::now();
    let invite = (LEG, model::invite(Some(over_srtp(model::offer("")))));
    let setup = model::setup(model::secretary(|_| ()), invite, "127.0.0.1:20000".parse().unwrap(), 7);
    let srtp = Some(Secret::new([3; 32]));
    let mut world = World::of(Call::new(ramal::call::Setup { srtp, ..setup }, now), now);
    world.call.handle_connected(now);
    world.provider(vec![Model::created()]);
    world.provider(vec![Model::updated()]);
    let [key] = <[String; 1]>::try_from(our_keys(&world.commands)).unwrap();
    (world, key)
}

/// The keys in the last description of ours.
fn our_keys(commands: &[Command]) -> Vec<String> {
    let described = commands.iter().rev().find_map(|command| match command {
        Command::Answer { sdp, .. } | Command::TakeOver { sdp, .. } | Command::AcceptOffer { sdp, .. } => {
            Some(String::from_utf8_lossy(sdp))
        }
        _ => None,
    });
    let text = described.unwrap();
    text.lines().filter_map(|line| line.split_once("inline:")).map(|(_, key)| key.to_owned()).collect()
}

#[test]
fn a_record_names_the_suite_of_a_call_over_srtp_and_of_a_plain_one_none() {
    let suite = |mut world: World| {
        world.says(Duration::from_secs(1), None);
        world.pass(Duration::from_millis(500), false);
        world.sip(sip::Event::Bye { leg: LEG, reason: None });
        world.record().and_then(|record| record.media_quality.clone()).unwrap().crypto
    };
    assert_eq!(suite(encrypted().0).as_deref(), Some("AES_CM_128_HMAC_SHA1_80"));
    assert_eq!(suite(World::answered(|_| ())), None);
}

#[test]
fn a_call_over_srtp_that_is_up_shows_its_suite_and_a_plain_one_none() {
    let suite = |world: &World| world.call.standing().unwrap().crypto;
    assert_eq!(suite(&encrypted().0), Some("AES_CM_128_HMAC_SHA1_80"));
    assert_eq!(suite(&World::answered(|_| ())), None);
}

#[test]
fn a_takeover_over_srtp_that_is_given_our_offer_gets_keys_that_the_old_leg_has_not() {
    let (mut world, old) = encrypted();
    world.says(Duration::from_secs(4), None);
    let fresh = our_keys(&world.taken_over(None));
    assert!(fresh.len() == Suite::ALL.len() && !fresh.contains(&old));
    assert!(is_heard_at(&mut world, "127.0.0.1:4000", &old), "until the answer comes all is as it was");
    let answer = elsewhere("AVP 0 101").map(over_srtp).map(Body::from);
    world.sip(sip::Event::Established { leg: OTHER, sdp: answer });
    // The first is in the suite that the phone has.
    assert!(is_heard_at(&mut world, "127.0.0.1:4002", &fresh[0]));
}

#[test]
fn a_takeover_over_srtp_that_is_cancelled_leaves_the_keys_as_they_were() {
    let (mut world, old) = encrypted();
    world.says(Duration::from_secs(4), None);
    let other = String::from_utf8(over_srtp(elsewhere("AVP 0 101").unwrap())).unwrap().replace("jHUhSagb", "kHUhSagb");
    assert_ne!(our_keys(&world.taken_over(Some(other.into_bytes()))), std::slice::from_ref(&old));
    world.sip(sip::Event::Cancelled { leg: OTHER, reason: None });
    assert!(is_heard_at(&mut world, "127.0.0.1:4000", &old));
}

/// RFC 3261 §14.1. A refresh of the session that follows repeats what is in force (RFC 4028 §7.4).
#[test]
fn an_offer_of_ours_that_was_asked_for_and_not_answered_leaves_the_keys_as_they_were() {
    let (mut world, old) = encrypted();
    world.sip(sip::Event::Offer { leg: LEG, method: sip::OfferMethod::Invite, sdp: None });
    let fresh = our_keys(&world.commands);
    assert!(fresh.len() == Suite::ALL.len() && !fresh.contains(&old));
    world.sip(sip::Event::Established { leg: LEG, sdp: None });
    assert!(is_heard_at(&mut world, "127.0.0.1:4000", &old), "an ACK without an answer");
    let refreshed = over_srtp(model::offer("a=sendrecv\r\n"));
    world.sip(sip::Event::OfferAnswered { leg: LEG, result: Ok(Body::from(refreshed)) });
    assert!(is_heard_at(&mut world, "127.0.0.1:4000", &old), "after a refresh");
}

#[test]
fn a_takeover_that_cannot_be_is_refused_and_changes_nothing() {
    let refused = |commands: Vec<Command>, want: u16| {
        assert!(
            matches!(&commands[..], [Command::Reject { leg: OTHER, status, .. }] if *status == want),
            "{commands:?}"
        );
    };
    let mut world = World::answered(|_| ());
    refused(world.taken_over(elsewhere("AVP 18")), 488);
    world.says(Duration::from_secs(1), None);
    assert_eq!(world.next_packet().remote, model::caller());
    let mut world = World::transferring();
    refused(world.taken_over(elsewhere("AVP 0 101")), 480);
    world.refer(ReferProgress::Accepted);
    world.sip(sip::Event::Bye { leg: LEG, reason: None });
    assert_eq!(world.outcome(), Some(Outcome::Transferred));
    refused(world.taken_over(elsewhere("AVP 0 101")), 481);
}

#[test]
fn a_refresh_that_the_peer_answers_with_something_new_is_followed() {
    let mut world = World::answered(|_| {});
    let answered =
        |result: Result<Vec<u8>, u16>| sip::Event::OfferAnswered { leg: LEG, result: result.map(Body::from) };
    for result in [Ok(model::offer("a=sendonly\r\n")), Err(488), Ok(model::offer(""))] {
        world.sip(answered(result));
    }
    let hold = |event: &Event| if let Event::Hold(hold) = event { Some(*hold) } else { None };
    assert_eq!(world.events.iter().filter_map(hold).collect::<Vec<_>>(), [Hold::Held, Hold::Resumed]);
    assert!(!world.call.is_over());
}

#[test]
fn the_record_says_what_the_phone_gave_as_reason() {
    let bye = |text| sip::Event::Bye { leg: LEG, reason: sip::Reason::parse(text) };
    let gone = |by| sip::Event::Terminated { leg: LEG, by };
    for (event, outcome, cause) in [
        (bye("Q.850;cause=16"), Outcome::Abandoned, "the caller hung up before a first exchange"),
        (
            bye("Q.850;cause=102;text=\"RECOVERY_ON_TIMER_EXPIRE\""),
            Outcome::Abandoned,
            "the caller hung up before a first exchange (Q.850 102 RECOVERY_ON_TIMER_EXPIRE)",
        ),
        (gone(sip::TerminatedBy::SessionExpired), Outcome::Failed, "the phone side let the session expire"),
        (gone(sip::TerminatedBy::NoAck), Outcome::Failed, "the phone side never acknowledged our answer"),
    ] {
        let mut world = World::answered(|_| {});
        world.sip(event);
        let record = world.record().unwrap();
        assert_eq!((record.outcome, record.end_reason.as_str()), (outcome, cause));
    }
    let mut world = World::ringing(|_| {});
    let reason = sip::Reason::parse("SIP;cause=200;text=\"Call completed elsewhere\"");
    world.sip(sip::Event::Cancelled { leg: LEG, reason });
    assert_eq!(world.record().unwrap().end_reason, "the call was answered elsewhere");
}

#[test]
fn a_call_nobody_can_take_is_refused_with_a_cause_that_makes_the_pbx_go_on() {
    let mut world = World::ringing(|_| {});
    world.call.handle_disconnected(Disconnect::Refused(401), world.now);
    world.drain();
    let Some(Command::Reject { reason: Some(reason), .. }) = world.commands.last() else {
        panic!("{:?}", world.commands)
    };
    assert_eq!((reason.protocol.as_str(), reason.cause), ("Q.850", Some(41)));
}

/// What a call under this policy does with an offer: the answer, or status and text of the refusal.
fn offered(srtp: Option<Secret>, offer: Vec<u8>) -> Result<String, (u16, String)> {
    let now = Instant::now();
    let invite = (LEG, model::invite(Some(offer)));
    let setup = model::setup(model::secretary(|_| ()), invite, "127.0.0.1:20000".parse().unwrap(), 7);
    let mut call = Call::new(ramal::call::Setup { srtp, ..setup }, now);
    call.handle_connected(now);
    call.handle_provider(Model::created(), now);
    call.handle_provider(Model::updated(), now);
    let mut commands = std::iter::from_fn(|| call.poll_command());
    let settled = commands.find_map(|command| match command {
        Command::Answer { sdp, .. } => Some(Ok(String::from_utf8(sdp.into()).unwrap())),
        Command::Reject { status, reason, .. } => Some(Err((status, reason.and_then(|it| it.text).unwrap()))),
        _ => None,
    });
    settled.unwrap()
}

#[test]
fn a_refusal_of_an_offer_says_what_is_wrong_with_it() {
    let secret = || Some(Secret::new([3; 32]));
    let plain = String::from_utf8(model::offer("")).unwrap();
    let secure = over_srtp(model::offer(""));
    let (off, required) = (offered(None, secure.clone()), offered(secret(), plain.clone().into()));
    assert_eq!(off, Err((488, "no audio over plain RTP, only RTP/SAVP, and srtp is off here".into())));
    assert_eq!(required, Err((488, "no audio over SRTP, only RTP/AVP, and srtp is required here".into())));
    assert!(offered(None, plain.into()).unwrap().contains("RTP/AVP 0"));
    let answer = offered(secret(), secure).unwrap();
    assert!(answer.contains("RTP/SAVP 0") && answer.contains("a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:"), "{answer}");
}

#[test]
fn the_assistant_pauses_a_recording_only_where_she_may() {
    for may in [true, false] {
        let mut world = World::answered(|row| {
            (row.recording, row.recording_pause) = (Some(true), Some(may));
        });
        world.says(Duration::from_secs(1), Some(("pause_recording", "{}")));
        world.pass(Duration::from_secs(2), false);
        world.says(Duration::from_secs(1), Some(("resume_recording", "{}")));
        world.pass(Duration::from_secs(2), false);
        world.call.handle_shutdown(world.now);
        world.drain();
        let orders: Vec<&Event> = world.events.iter().filter(|event| matches!(event, Event::Recording(_))).collect();
        let recording = world.record().and_then(|record| record.recording.clone()).expect("a recording");
        assert_eq!(recording.pauses.len(), usize::from(may));
        match may {
            true => assert_eq!(orders, [&Event::Recording(Order::Pause), &Event::Recording(Order::Resume)]),
            false => assert!(orders.is_empty(), "{orders:?}"),
        }
        let blocks: usize = std::iter::from_fn(|| world.call.poll_recorded()).map(|b| b.samples.len() / 2).sum();
        assert_eq!(Duration::from_micros(blocks as u64 * 125), recording.duration, "every frame of the recording came");
    }
}

/// A recording has the time of the call: of what comes faster there is half a second too much at the most.
#[test]
fn what_a_recording_lacks_of_the_caller_is_told() {
    for at_once in [true, false] {
        let mut world = World::answered(|row| row.recording = Some(true));
        for _ in 0..100 {
            let packet = world.microphone.packet(true);
            world.call.handle_rtp(model::caller(), &packet, world.now);
            world.drain();
            if !at_once {
                world.wait(PTIME);
            }
        }
        world.wait(Duration::from_secs(2));
        world.sip(sip::Event::Bye { leg: LEG, reason: None });
        assert!(world.record().is_some_and(|record| record.recording.is_some()));
        assert_eq!(world.warned("the recording lacks"), at_once, "{:?}", world.events);
    }
}

#[test]
fn what_is_kept_for_a_process_that_dies_says_who_called_and_nothing_that_was_said_or_spent() {
    let mut world = World::answered(|row| row.recording = Some(true));
    world.pass(Duration::from_secs(2), true);
    world.pass(Duration::from_secs(1), false);
    world.provider(vec![Model::heard("Good morning.")]);
    let kept = world.call.unfinished(world.now);
    world.call.handle_shutdown(world.now);
    world.drain();
    let ended = world.record().unwrap().clone();
    assert!(!ended.turns.is_empty() && !kept.caller_id.is_empty() && !kept.destination.is_empty());
    let identity = |of: &Conversation| {
        let uuids = (of.conversation_uuid, of.domain_uuid, of.secretary_realtime_uuid);
        (uuids, of.call_uuid.clone(), of.caller_id.clone(), of.destination.clone(), of.started_at, of.provider.clone())
    };
    assert_eq!(identity(&kept), identity(&ended));
    assert_eq!(kept.outcome, Outcome::Failed);
    assert_eq!(kept.end_reason, "the server ended in the middle of the call");
    assert!(kept.turns.is_empty() && kept.estimated_cost.0 == 0 && kept.input_tokens + kept.output_tokens == 0);
    // One share that is nothing: what was noted while the call was up stands.
    assert!(kept.shares.len() == 1 && kept.shares.iter().all(|share| share.is_nothing()), "{:?}", kept.shares);
}

/// A card number that nobody may hear must not be read either.
#[test]
fn what_is_said_in_a_pause_of_the_recording_is_not_in_the_transcript() {
    let mut world = World::answered(|row| {
        (row.recording, row.recording_pause) = (Some(true), Some(true));
    });
    let say = |world: &mut World, words: &str| {
        world.pass(Duration::from_secs(2), true);
        world.pass(Duration::from_secs(1), false);
        world.provider(vec![Model::heard(words)]);
    };
    say(&mut world, "I pay by card.");
    world.says(Duration::from_secs(1), Some(("pause_recording", "{}")));
    world.pass(Duration::from_secs(2), false);
    say(&mut world, "4111 1111 1111 1111");
    world.says(Duration::from_secs(1), Some(("resume_recording", "{}")));
    world.pass(Duration::from_secs(8), false);
    say(&mut world, "Thank you.");
    world.sip(sip::Event::Bye { leg: LEG, reason: None });
    let turns = &world.record().unwrap().turns;
    let texts: Vec<&str> = turns.iter().filter(|turn| turn.who == Speaker::Caller).map(|t| t.text.as_str()).collect();
    assert_eq!(texts, ["I pay by card.", "[recording paused]", "[not recorded]", "[recording resumed]", "Thank you."]);
}

#[test]
fn a_recording_pauses_while_anybody_wants_it_to() {
    let mut world = World::answered(|row| {
        (row.recording, row.recording_pause) = (Some(true), Some(true));
    });
    assert!(world.call.handle_recording(Order::Pause, world.now));
    world.says(Duration::from_secs(1), Some(("pause_recording", "{}")));
    assert!(world.call.handle_recording(Order::Resume, world.now));
    world.pass(Duration::from_secs(1), false);
    let resumed = |world: &World| world.events.contains(&Event::Recording(Order::Resume));
    assert!(!resumed(&world), "the assistant still wants it");
    world.says(Duration::from_secs(1), Some(("resume_recording", "{}")));
    world.drain();
    assert!(resumed(&world));
    let mut silent = World::answered(|_| {});
    assert!(!silent.call.handle_recording(Order::Pause, silent.now), "nothing is recorded");
}
