//! The caller's keys: entries for the model, and a menu that outlives it.
use super::*;
use media::{
    Frame, Law, SampleRate,
    codec::g711,
    dtmf::{self, Told},
    rtp::Packet,
};
use providers::{Endpoint, Job, JobDone, JobOutput, local};
use ramal::{
    call::{RecordingNow, Standby},
    dtmf::Dtmf,
};

/// A secretary with a menu of keys.
fn with_menu(row: &mut SecretaryRow) {
    row.dtmf_menu = Some(
        r#"{"announcement": "For sales press 1.", "options": [
            {"keys": "1", "action": "transfer", "to": "sales"}, {"keys": "2", "action": "say", "text": "Nine to six."},
            {"keys": "9", "action": "hang_up"}, {"keys": "0", "action": "assistant"}]}"#
            .into(),
    );
}

impl World {
    /// The caller presses a key.
    fn press(&mut self, key: char) {
        let body = format!("Signal={key}\r\nDuration=160\r\n").into_bytes();
        self.sip(sip::Event::Info { leg: LEG, content_type: "application/dtmf-relay".into(), body: body.into() });
    }

    /// The provider breaks off, and is not there when it is tried again.
    fn dies(&mut self) {
        for how in [Disconnect::Closed(None), Disconnect::Unreachable("refused".into())] {
            self.call.handle_disconnected(how, self.now);
            self.drain();
        }
    }

    /// What the model was told of keys.
    pub(super) fn keyed(&self) -> Vec<String> {
        let items = sent(&self.outgoing, "conversation.item.create");
        let texts = items.iter().filter_map(|item| item["item"]["content"][0]["text"].as_str());
        texts.filter(|text| text.contains("pressed")).map(str::to_owned).collect()
    }
}

#[test]
fn keys_reach_the_model_as_one_entry() {
    let mut world = World::answered(|_| ());
    for key in "1234#".chars() {
        world.press(key);
        world.pass(Duration::from_millis(300), false);
    }
    assert_eq!(world.keyed(), ["The caller pressed 1234#"]);
    world.press('7');
    world.pass(Duration::from_millis(2_900), false);
    assert_eq!(world.keyed().len(), 1, "more may follow");
    world.pass(Duration::from_millis(200), false);
    assert_eq!(world.keyed(), ["The caller pressed 1234#", "The caller pressed 7"]);
    world.sip(sip::Event::Bye { leg: LEG, reason: None });
    let texts: Vec<&str> = world.record().unwrap().turns.iter().map(|turn| turn.text.as_str()).collect();
    assert_eq!(texts, ["[DTMF 1234#]", "[DTMF 7]"]);
}

#[test]
fn keys_that_nobody_may_read_are_stars_in_the_record() {
    let mut world = World::answered(|row| row.dtmf_menu = Some(r#"{"masked": true}"#.into()));
    "4111#".chars().for_each(|key| world.press(key));
    world.sip(sip::Event::Bye { leg: LEG, reason: None });
    assert_eq!(world.record().unwrap().turns[0].text, "[DTMF *****]");
}

#[test]
fn a_key_of_the_menu_transfers_at_once_and_the_caller_may_come_back() {
    let mut world = World::answered(with_menu);
    world.says(Duration::from_secs(5), None);
    world.pass(Duration::from_millis(500), false);
    world.press('1');
    let refer = world.commands.iter().find_map(|command| match command {
        Command::Refer { refer_to, .. } => Some(refer_to.as_str()),
        _ => None,
    });
    assert!(refer.is_some_and(|to| to.starts_with("sip:1001@")), "{refer:?}");
    assert!(world.events.iter().any(|event| matches!(event, Event::BargeIn(_))));
    assert_eq!(world.keyed(), [""; 0], "the model has no part in it");
    world.refer(ReferProgress::Refused(486));
    world.press('0');
    assert_eq!(world.keyed(), ["The caller pressed 0"]);
    "12#".chars().for_each(|key| world.press(key));
    assert_eq!(world.keyed(), ["The caller pressed 0", "The caller pressed 12#"], "the keys are the assistant's");
}

#[test]
fn the_menu_works_when_the_model_is_silent_or_dead() {
    let mut silent = World::answered(with_menu);
    silent.pass(Duration::from_secs(20), false);
    silent.press('1');
    assert!(silent.referred());

    let mut dead = World::answered(with_menu);
    dead.dies();
    dead.pass(Duration::from_secs(9), false);
    assert!(!dead.call.is_over() && !dead.referred());
    dead.press('2'); // nobody is there to say it
    dead.press('5'); // no option
    dead.pass(Duration::from_secs(9), false);
    dead.press('1');
    assert!(dead.referred());
    dead.refer(ReferProgress::Refused(486));
    dead.pass(Duration::from_secs(5), false);
    dead.press('9');
    assert!(dead.hung_up());
    assert_eq!(dead.outcome(), Some(Outcome::Completed));
}

#[test]
fn a_caller_of_a_dead_model_who_presses_nothing_is_not_kept() {
    let mut world = World::answered(with_menu);
    world.dies();
    world.pass(Duration::from_secs(11), false);
    assert!(world.hung_up());
    let record = world.record().unwrap();
    assert_eq!(record.outcome, Outcome::Failed);
    assert!(record.end_reason.ends_with("the caller pressed no key of the menu"), "{}", record.end_reason);
}

/// Who holds the call can press nothing, and has the whole time again when they are back.
#[test]
fn the_menu_of_a_dead_model_waits_for_a_caller_who_holds_the_call() {
    let mut world = World::answered(with_menu);
    world.dies();
    world.pass(Duration::from_secs(5), false);
    world.reoffers("a=sendonly\r\n");
    world.pass(Duration::from_secs(30), false);
    assert!(!world.call.is_over(), "{:?}", world.record());
    world.reoffers("");
    world.pass(Duration::from_millis(9_900), false);
    assert!(!world.call.is_over(), "{:?}", world.record());
    world.pass(Duration::from_millis(200), false);
    let record = world.record().unwrap();
    assert!(record.end_reason.ends_with("the caller pressed no key of the menu"), "{}", record.end_reason);
}

#[test]
fn what_is_typed_is_not_complete_as_long_as_the_call_is_held() {
    let mut world = World::answered(|_| ());
    "12".chars().for_each(|key| world.press(key));
    world.pass(Duration::from_secs(1), false);
    world.reoffers("a=inactive\r\n");
    world.pass(Duration::from_secs(10), false);
    world.reoffers("");
    world.pass(Duration::from_millis(2_900), false);
    assert_eq!(world.keyed(), [""; 0], "more may follow");
    world.press('3');
    world.pass(Duration::from_millis(3_100), false);
    assert_eq!(world.keyed(), ["The caller pressed 123"]);
}

/// A call with this said of the phone system's keys, in which the assistant may press some.
fn keyed_by(dtmf: Dtmf, offer: Vec<u8>) -> World {
    let mut world = World::ringing(|_| ());
    let secretary = model::secretary(|row| row.dtmf_menu = Some(r#"{"may_press": true}"#.into()));
    let mut setup = model::setup(secretary, (LEG, model::invite(Some(offer))), "127.0.0.1:20000".parse().unwrap(), 7);
    setup.settings.dtmf = dtmf;
    setup.settings.listening.inband_dtmf = true; // counts where `dtmf` leaves it open
    world.call = Call::new(setup, world.now);
    world.commands.clear();
    world.drain();
    world.call.handle_connected(world.now);
    world.provider(vec![Model::created()]);
    world.provider(vec![Model::updated()]);
    world
}

/// The offer of a phone system without telephone-events.
fn without_events() -> Vec<u8> {
    String::from_utf8(model::offer("")).unwrap().replace(" 101\r\n", "\r\n").into_bytes()
}

/// The keys that went out by INFO, and the packets that bear events or tones.
fn sent_keys(world: &mut World) -> (String, usize, usize) {
    let (mut events, mut tones, end) = (0, 0, world.now + Duration::from_secs(2));
    while let Some((at, _)) = world.call.poll_timeout().filter(|(at, _)| *at < end) {
        world.now = at;
        world.call.handle_timeout(at);
        while let Some(transmit) = world.call.poll_transmit() {
            match transmit.bytes.get(1).map(|kind| kind & 0x7f) {
                Some(101) => events += 1,
                Some(0) if model::is_voice(&transmit.bytes) => tones += 1,
                _ => {}
            }
        }
        world.drain();
    }
    let infos = world.commands.iter().filter_map(|command| match command {
        Command::Info { content_type, body, .. } => ramal::dtmf::of_info(content_type, body),
        _ => None,
    });
    (infos.collect(), events, tones)
}

#[test]
fn the_assistant_presses_keys_in_the_way_of_the_phone_system() {
    for (dtmf, offer, expected) in [
        (Dtmf::Auto, model::offer(""), ("", 16, 0)),
        (Dtmf::Auto, without_events(), ("9#", 0, 0)),
        (Dtmf::Rfc4733, model::offer(""), ("", 16, 0)),
        (Dtmf::Rfc4733, without_events(), ("", 0, 0)),
        (Dtmf::Info, model::offer(""), ("9#", 0, 0)),
        (Dtmf::Inband, model::offer(""), ("", 0, 10)),
    ] {
        let mut world = keyed_by(dtmf, offer);
        let mut messages = world.model.begin();
        messages.extend(world.model.finish(Some(("press_keys", r##"{"keys":"9#"}"##))));
        world.provider(messages);
        let (infos, events, tones) = sent_keys(&mut world);
        assert_eq!((infos.as_str(), events, tones), expected, "{dtmf:?}");
        let answers = sent(&world.outgoing, "conversation.item.create");
        let answered = answers.iter().any(|item| item.to_string().contains("pressed"));
        assert_eq!(answered, expected != ("", 0, 0), "{dtmf:?}: the model is told");
    }
}

/// Who looks why a door stayed shut finds it in the log.
#[test]
fn a_key_by_info_that_the_phone_system_refuses_is_told() {
    let mut world = keyed_by(Dtmf::Auto, without_events());
    let mut messages = world.model.begin();
    messages.extend(world.model.finish(Some(("press_keys", r#"{"keys":"9"}"#))));
    world.provider(messages);
    assert_eq!(sent_keys(&mut world), ("9".to_owned(), 0, 0));
    assert!(!world.warned("INFO"), "{:?}", world.events);
    world.sip(sip::Event::InfoRefused { leg: LEG, status: 415 });
    assert!(world.warned("INFO was refused with 415") && !world.call.is_over(), "{:?}", world.events);
}

/// A model that has a door opened calls both tools in one breath.
#[test]
fn a_call_that_the_assistant_ends_ends_when_her_keys_are_pressed() {
    for (dtmf, expected) in [(Dtmf::Auto, ("", 16, 0)), (Dtmf::Info, ("9#", 0, 0)), (Dtmf::Inband, ("", 0, 10))] {
        let mut world = keyed_by(dtmf, model::offer(""));
        for tool in [("press_keys", r##"{"keys":"9#"}"##), ("end_call", "{}")] {
            let mut messages = world.model.begin();
            messages.extend(world.model.finish(Some(tool)));
            world.provider(messages);
        }
        assert!(!world.hung_up(), "{dtmf:?}: no key is pressed yet");
        let begun = world.now;
        let (infos, events, tones) = sent_keys(&mut world);
        assert_eq!((infos.as_str(), events, tones), expected, "{dtmf:?}");
        assert!(world.hung_up() && world.now - begun < Duration::from_millis(500), "{dtmf:?}: and no longer");
        assert_eq!(world.outcome(), Some(Outcome::Completed));
    }
}

#[test]
fn keys_told_in_another_way_than_the_phone_systems_are_not_believed() {
    for (dtmf, believed) in [(Dtmf::Auto, true), (Dtmf::Info, true), (Dtmf::Rfc4733, false), (Dtmf::Inband, false)] {
        let mut world = keyed_by(dtmf, model::offer(""));
        world.press('5');
        assert_eq!(world.events.contains(&Event::Dtmf('5')), believed, "{dtmf:?}");
    }
}

/// A call that is recorded, but not while the caller presses keys and for two seconds after.
fn recorded() -> World {
    let now = Instant::now();
    let invite = (LEG, model::invite(Some(model::offer(""))));
    let mut setup = model::setup(model::secretary(|_| ()), invite, "127.0.0.1:20000".parse().unwrap(), 7);
    (setup.settings.recording.enabled, setup.secretary.recording) = (true, None);
    setup.settings.recording.pause_on_dtmf = Some(Duration::from_secs(2));
    setup.settings.listening.inband_dtmf = true;
    let mut world = World::of(Call::new(setup, now), now);
    world.call.handle_connected(now);
    world.provider(vec![Model::created()]);
    world.provider(vec![Model::updated()]);
    world
}

/// The packet of a phone that holds the 5 for so many packets and tells it in this way.
fn held(told: Told, n: u16, packets: u16) -> Vec<u8> {
    let (payload_type, timestamp, payload) = match told {
        Told::Event => {
            let event = dtmf::Event { code: 5, end: n + 1 == packets, volume: 10, duration: (n + 1) * 160 };
            (101, 0, event.to_bytes().to_vec())
        }
        Told::Tone | Told::Info => {
            let samples = dtmf::tone('5', SampleRate::HZ_8000, usize::from(n) * 160, 160);
            (0, u32::from(n) * 160, g711::encode(Law::Mu, &samples))
        }
    };
    Packet { marker: n == 0, payload_type, sequence: n, timestamp, ssrc: 7, payload: &payload }.to_bytes()
}

#[test]
fn a_recording_goes_on_when_the_last_key_has_been_let_go_for_long_enough() {
    for (told, packets) in [Told::Event, Told::Tone].into_iter().flat_map(|told| [(told, 10), (told, 250)]) {
        let mut world = recorded();
        let now = |world: &World| world.call.standing().unwrap().recording;
        assert_eq!(now(&world), RecordingNow::Yes);
        for n in 0..packets {
            world.wait(PTIME);
            world.call.handle_rtp(model::caller(), &held(told, n, packets), world.now);
            world.drain();
            assert!(n < 5 || now(&world) == RecordingNow::Paused, "{told:?}, held for {n} of {packets} packets");
        }
        world.wait(Duration::from_millis(1_900));
        assert_eq!(now(&world), RecordingNow::Paused, "{told:?}, {packets} packets: let go");
        world.wait(Duration::from_millis(200));
        assert_eq!(now(&world), RecordingNow::Yes, "{told:?}, {packets} packets: still for two seconds");
        let pressed = world.events.iter().filter(|event| matches!(event, Event::Dtmf('5'))).count();
        assert_eq!(pressed, 1, "{told:?}, {packets} packets");
    }
}

/// What goes out by INFO may be sounded on a line that gives it back.
#[test]
fn our_keys_by_info_that_come_back_as_tones_are_not_the_callers() {
    for (after, pressed) in [(0, false), (500, false), (3_000, true)] {
        let mut world = keyed_by(Dtmf::Auto, without_events());
        let mut messages = world.model.begin();
        messages.extend(world.model.finish(Some(("press_keys", r#"{"keys":"5"}"#))));
        world.provider(messages);
        world.wait(Duration::from_millis(after));
        for n in 0..10 {
            world.wait(PTIME);
            world.call.handle_rtp(model::caller(), &held(Told::Tone, n, 10), world.now);
            world.drain();
        }
        assert_eq!(world.events.contains(&Event::Dtmf('5')), pressed, "{after} ms later");
    }
}

/// The voice of this process says what the keys do, and the caller has the whole time for them from then on.
#[test]
fn a_voice_stands_in_for_a_dead_model_and_says_what_the_keys_do() {
    let secretary = model::secretary(with_menu);
    let mut setup =
        model::setup(secretary, (LEG, model::invite(Some(model::offer("")))), "127.0.0.1:20000".parse().unwrap(), 7);
    let (language, announcement) = (local::Language::EnUs, Some("For sales press 1.".to_owned()));
    setup.standby = Some(Standby(local::Notice { language, voice: language, announcement }));
    let mut world = World::ringing(|_| ());
    world.call = Call::new(setup, world.now);
    world.drain();
    world.call.handle_connected(world.now);
    world.provider(vec![Model::created()]);
    world.provider(vec![Model::updated()]);
    world.says(Duration::from_secs(1), None);
    world.pass(Duration::from_secs(2), false);
    world.dies();
    assert!(world.events.contains(&Event::Connect(Endpoint::Engine)));
    world.call.handle_connected(world.now);
    world.drain();
    let speak = |world: &mut World, seconds: usize| {
        let jobs = std::mem::take(&mut world.outgoing).into_iter().filter_map(|outgoing| match outgoing {
            Outgoing::Job(id, Job::Speak { text, .. }) => Some((id, text)),
            _ => None,
        });
        let texts: Vec<String> = jobs
            .map(|(id, text)| {
                let frame = Frame { rate: SampleRate::HZ_8000, samples: vec![1_000; seconds * 8_000] };
                let done = JobDone { id, result: Ok(JobOutput::Speech(frame)) };
                world.call.handle_provider(Incoming::Job(done), world.now);
                text
            })
            .collect();
        world.drain();
        texts
    };
    let said = speak(&mut world, 6);
    assert_eq!(said, ["Our assistant is not available at the moment.", "For sales press 1."]);
    let voiced = world.voice.len();
    world.pass(Duration::from_secs(14), false);
    assert!(world.voice.len() > voiced + 550 && !world.call.is_over(), "it is heard, longer than the menu waits");
    world.press('2');
    assert_eq!(speak(&mut world, 1), ["Nine to six."]);
    world.pass(Duration::from_secs(2), false);
    world.press('1');
    assert!(world.referred());
    world.sip(sip::Event::Bye { leg: LEG, reason: None });
    let texts: Vec<&str> = world.record().unwrap().turns.iter().map(|turn| turn.text.as_str()).collect();
    assert!(texts.contains(&"Our assistant is not available at the moment. For sales press 1."), "{texts:?}");
}
