//! A provider that fails while audio flows, step by step: what the caller hears meanwhile, and who is listened to.
use super::*;
use media::{Frame, Law, vad};
use providers::{Endpoint, Job, JobDone, JobOutput, elevenlabs, live, local, openai};
use ramal::call::{Rung, Setup, Standby};
use serde_json::{Value, json};

const MOMENT: &str = "One moment, please.";

/// What a call is made of that has a voice of this process to stand by.
fn setup(offer: Option<Vec<u8>>) -> Setup {
    let invite = (LEG, model::invite(offer));
    let secretary = model::secretary(|row| row.dtmf_menu = Some(r#"{"may_press": true}"#.into()));
    let mut setup = model::setup(secretary, invite, "127.0.0.1:20000".parse().unwrap(), 7);
    let (language, announcement) = (local::Language::EnUs, None);
    setup.standby = Some(Standby(local::Notice { language, voice: language, announcement }));
    setup
}

/// That call, answered.
fn answered(change: impl FnOnce(&mut Setup)) -> World {
    let (mut setup, now) = (setup(Some(model::offer(""))), Instant::now());
    change(&mut setup);
    let mut world = World::of(Call::new(setup, now), now);
    world.ready();
    world
}

impl World {
    /// The provider that was connected last is ready.
    pub(super) fn ready(&mut self) {
        self.call.handle_connected(self.now);
        self.provider(vec![Model::created(), Model::updated()]);
    }

    /// Its connection breaks.
    pub(super) fn breaks(&mut self) {
        self.call.handle_disconnected(Disconnect::Closed(None), self.now);
        self.drain();
    }

    /// The speech engine says what it was asked to, each sentence for a second, and these are the sentences. It
    /// understands nothing.
    fn spoken(&mut self) -> Vec<String> {
        let asked = std::mem::take(&mut self.outgoing).into_iter().filter_map(|outgoing| match outgoing {
            Outgoing::Job(id, job) => Some((id, job)),
            Outgoing::Text(_) | Outgoing::Binary(_) | Outgoing::Ahead(_) | Outgoing::Close => None,
        });
        let mut jobs: Vec<_> = asked.collect();
        jobs.extend(std::iter::from_fn(|| self.call.poll_job()));
        let mut texts = Vec::new();
        for (id, job) in jobs {
            let output = match job {
                Job::Transcribe { .. } => JobOutput::Text(String::new()),
                Job::Speak { text, rate, .. } => {
                    texts.push(text);
                    JobOutput::Speech(Frame { rate, samples: vec![1_000; rate.samples_in(secs(1))] })
                }
            };
            self.call.handle_provider(Incoming::Job(JobDone { id, result: Ok(output) }), self.now);
        }
        self.drain();
        texts
    }

    /// What became of the connection last.
    fn connection(&self) -> Option<&Event> {
        self.events.iter().rfind(|event| matches!(event, Event::Connect(_) | Event::Disconnect))
    }

    fn was_asked_to_go_on(&self) -> bool {
        let items = sent(&self.outgoing, "conversation.item.create");
        items.iter().any(|item| item.to_string().contains("There was a gap"))
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The answer of a phone to our offer comes, with its ACK.
fn acknowledged(world: &mut World) {
    world.sip(sip::Event::Established { leg: LEG, sdp: Some(Body::from(model::offer(""))) });
}

#[test]
fn without_an_offer_the_provider_is_ready_before_the_200_and_its_first_words_wait_for_the_ack() {
    let now = Instant::now();
    let mut world = World::of(Call::new(setup(None), now), now);
    assert!(matches!(&world.commands[..], [Command::Ring { .. }]));
    assert!(matches!(world.connection(), Some(Event::Connect(Endpoint::WebSocket { .. }))));
    world.ready();
    let Command::Answer { sdp, .. } = &world.commands[1] else { panic!("{:?}", world.commands) };
    assert!(std::str::from_utf8(sdp).unwrap().contains("m=audio "));
    world.says(secs(1), None);
    world.pass(ms(400), false);
    assert!(world.voice.is_empty() && !world.events.iter().any(|event| matches!(event, Event::Answered)));
    acknowledged(&mut world);
    world.pass(ms(200), false);
    assert!(world.voice.len() >= 8, "{} packets", world.voice.len());
}

#[test]
fn without_an_offer_a_call_nobody_is_ready_for_is_refused_and_one_that_breaks_before_the_ack_goes_on() {
    let now = Instant::now();
    let mut world = World::of(Call::new(setup(None), now), now);
    world.pass(ms(8_100), false);
    assert!(matches!(world.commands.last(), Some(Command::Reject { status: 503, .. })), "{:?}", world.commands);

    let mut world = World::of(Call::new(setup(None), now), now);
    world.ready();
    world.breaks();
    world.outgoing.clear();
    acknowledged(&mut world);
    assert!(matches!(world.connection(), Some(Event::Connect(_))) && !world.hung_up());
    world.ready();
    let greeting = sent(&world.outgoing, "response.create");
    assert!(greeting.len() == 1 && !world.was_asked_to_go_on(), "{greeting:?}");
}

#[test]
fn who_talks_over_one_moment_hears_the_assistant_all_the_same() {
    let mut world = answered(|setup| setup.settings.ladder.replacement = secs(10));
    world.breaks();
    world.outgoing.clear();
    world.pass(ms(1_600), false);
    assert_eq!(world.spoken(), [MOMENT]);
    world.pass(ms(300), false);
    assert!(world.voice.len() > 10, "it is heard");
    world.pass(secs(1), true);
    assert!(world.events.iter().any(|event| matches!(event, Event::BargeIn(_))));
    world.pass(ms(200), false);
    world.ready();
    world.pass(ms(100), false);
    assert!(sent(&world.outgoing, "response.create").is_empty(), "what they said is answered, without a greeting");
    let heard = sent(&world.outgoing, "input_audio_buffer.append");
    let bytes: usize = heard.iter().filter_map(|message| Some(message["audio"].as_str()?.len() / 4 * 3)).sum();
    assert!(bytes >= 8_000, "{bytes} bytes: a second of it is heard at once");
    let voiced = world.voice.len();
    world.says(secs(2), None);
    world.pass(secs(3), false);
    assert!(world.voice.len() > voiced + 90, "{} packets", world.voice.len() - voiced);
}

#[test]
fn an_answer_that_waited_behind_one_moment_is_taken_back_when_both_are_cut() {
    let mut world = answered(|setup| setup.settings.ladder.replacement = secs(10));
    world.breaks();
    world.pass(ms(1_600), false);
    assert_eq!(world.spoken(), [MOMENT]);
    world.pass(ms(300), false);
    world.ready();
    let mut answer = world.model.begin();
    answer.extend(world.model.speak(secs(2)));
    world.provider(answer);
    world.pass(ms(100), false);
    world.outgoing.clear();
    world.provider(vec![world.model.speech_started()]);
    let cut = world.events.iter().filter(|event| matches!(event, Event::BargeIn(_))).count();
    let taken_back = ["response.cancel", "conversation.item.delete"].map(|kind| sent(&world.outgoing, kind).len());
    assert_eq!((cut, taken_back), (1, [1, 1]), "{:?}", world.outgoing);
    let voiced = world.voice.len();
    world.provider(world.model.speak(secs(1)));
    world.pass(secs(1), false);
    assert!(world.voice.len() <= voiced + 1, "the rest of it is stale");
    world.sip(sip::Event::Bye { leg: LEG, reason: None });
    let said: Vec<_> = world.record().unwrap().turns.iter().map(|turn| turn.text.clone()).collect();
    assert!(said.iter().all(|words| !words.contains("word")), "{said:?}");
}

#[test]
fn who_waits_after_half_a_sentence_is_told_one_moment() {
    let mut world = answered(|setup| setup.settings.ladder.replacement = secs(10));
    let mut half = world.model.begin();
    half.extend(world.model.speak(ms(500)));
    world.provider(half);
    world.pass(ms(300), false);
    world.breaks();
    world.pass(ms(400), false);
    let voiced = world.voice.len();
    assert!((24..=26).contains(&voiced), "what was made is heard: {voiced} packets");
    world.pass(ms(1_500), false);
    assert_eq!(world.spoken(), [MOMENT]);
    world.pass(ms(1_100), false);
    assert!(world.voice.len() > voiced + 45, "{} packets", world.voice.len() - voiced);
    world.pass(ms(1_500), false);
    assert_eq!(world.spoken(), [MOMENT], "again and again");
}

#[test]
fn nobody_says_one_moment_into_a_call_that_is_held() {
    let mut world = answered(|setup| setup.settings.ladder.replacement = secs(30));
    world.breaks();
    world.reoffers("a=sendonly\r\n");
    world.pass(secs(10), false);
    assert_eq!(world.spoken(), [""; 0]);
    world.reoffers("");
    world.pass(ms(1_600), false);
    assert_eq!(world.spoken(), [MOMENT], "who is back still waits");
}

#[test]
fn what_only_the_provider_heard_ends_when_it_answers() {
    let mut world = answered(|setup| setup.settings.listening.vad = vad::Engine::Off);
    world.provider(vec![world.model.speech_started()]);
    world.says(secs(1), None);
    world.pass(secs(2), false);
    world.breaks();
    world.pass(ms(1_600), false);
    assert_eq!(world.spoken(), [MOMENT]);
}

#[test]
fn nobody_is_listened_to_while_a_silent_provider_is_waited_for() {
    let mut world = answered(|_| ());
    world.pass(secs(1), true);
    world.pass(ms(16_900), false);
    assert!(world.warned("it answers nothing"), "{:?}", world.events);
    assert_eq!(world.connection(), Some(&Event::Disconnect));
    world.pass(secs(1), false);
    assert!(matches!(world.connection(), Some(Event::Connect(Endpoint::WebSocket { .. }))));
    world.ready();
    let voiced = world.voice.len();
    world.says(secs(1), None);
    world.pass(secs(2), false);
    assert!(world.voice.len() > voiced + 40 && !world.hung_up());
}

/// Nobody hears an answer while the call is held, and nobody misses one; but who is back waits for theirs.
#[test]
fn a_provider_that_is_silent_over_a_hold_has_its_time_again_when_the_caller_is_back() {
    let mut world = answered(|_| ());
    world.pass(secs(1), true);
    world.pass(secs(2), false);
    world.reoffers("a=sendonly\r\n");
    world.pass(secs(7), false);
    world.reoffers("");
    world.pass(ms(7_900), false);
    assert!(!world.warned("it answers nothing"), "{:?}", world.events);
    world.pass(ms(200), false);
    assert!(world.warned("it answers nothing"), "{:?}", world.events);
}

#[test]
fn an_assistant_that_presses_a_key_may_wait_for_what_follows() {
    for (tool, arguments) in [("press_keys", r#"{"keys":"5"}"#), ("pause_recording", "{}")] {
        let mut world = answered(|_| ());
        world.says(secs(1), Some((tool, arguments)));
        world.pass(secs(30), false);
        assert!(!world.warned("it answers nothing"), "{tool}: {:?}", world.events);
    }
    let mut world = answered(|_| ());
    world.says(secs(1), Some(("dance", "{}")));
    world.pass(secs(10), false);
    assert!(world.warned("it answers nothing"), "a tool that is refused wants words");
}

#[test]
fn a_server_that_tells_every_dip_does_not_end_the_callers_turn() {
    let mut world = answered(|setup| {
        setup.rung = Rung::ElevenLabs(Box::new(elevenlabs::Config::new("agent_1", elevenlabs::Format::Ulaw)));
    });
    let formats = json!({"conversation_id": "c", "agent_output_audio_format": "ulaw_8000",
        "user_input_audio_format": "ulaw_8000"});
    let event = |kind: &str, key: &str, body| Incoming::Text(json!({"type": kind, key: body}).to_string());
    let metadata = "conversation_initiation_metadata";
    world.provider(vec![event(metadata, "conversation_initiation_metadata_event", formats)]);
    for _ in 0..12 {
        world.pass(secs(1), true);
        let score = |score: f64| event("vad_score", "vad_score_event", json!({"vad_score": score}));
        world.provider(vec![score(0.9), score(0.1)]);
    }
    assert!(!world.warned("it answers nothing"), "{:?}", world.events);
    world.pass(ms(8_900), false);
    assert!(world.warned("it answers nothing"), "when they have stopped, it is asked for");
}

#[test]
fn half_a_turn_in_words_is_heard_again_as_a_whole_or_written_down() {
    for comes_back in [true, false] {
        let mut world = answered(|setup| {
            let config = live::Config::new("sk-test", openai::Format::G711(Law::Mu));
            setup.rung = Rung::OpenAiLive(Box::new(config));
        });
        let event = |event: Value| Incoming::Text(event.to_string());
        let started = || event(json!({"type": "session.started", "event_id": "e", "session": {}}));
        world.provider(vec![started()]);
        world.pass(secs(2), true);
        let words = json!({"delta": "When are", "start_ms": 0, "end_ms": 900, "event_id": "e",
            "type": "session.input_transcript.delta"});
        world.provider(vec![event(words)]);
        world.breaks();
        world.outgoing.clear();
        if comes_back {
            world.call.handle_connected(world.now);
            world.provider(vec![started()]);
        }
        world.pass(ms(300), true);
        let heard = sent(&world.outgoing, "session.input_audio.append");
        let bytes: usize = heard.iter().filter_map(|message| Some(message["audio"].as_str()?.len() / 4 * 3)).sum();
        assert_eq!(bytes > 16_000, comes_back, "{bytes} bytes of two seconds");
        world.sip(sip::Event::Bye { leg: LEG, reason: None });
        let said = world.record().unwrap().turns.iter().map(|turn| turn.text.as_str());
        let known: &[&str] = if comes_back { &[] } else { &["When are"] };
        assert_eq!(said.collect::<Vec<_>>(), known);
    }
}

#[test]
fn an_answer_that_is_owed_is_not_lost_behind_a_cough() {
    let mut world = answered(|_| ());
    world.pass(secs(1), true);
    world.pass(ms(800), false);
    world.provider(vec![Model::heard("When are you open?")]);
    world.pass(ms(200), true);
    world.pass(ms(800), false);
    let heard = world.events.iter().filter(|event| matches!(event, Event::CallerSpeaks)).count();
    assert_eq!(heard, 2, "the cough was taken for speech");
    world.breaks();
    world.ready();
    assert!(world.was_asked_to_go_on());
}

#[test]
fn a_reply_to_a_key_is_not_timed_from_words_before_it() {
    let mut world = answered(|_| ());
    world.says(secs(1), None);
    world.pass(secs(3), false);
    let body = b"Signal=5\r\nDuration=160\r\n".to_vec();
    world.sip(sip::Event::Info { leg: LEG, content_type: "application/dtmf-relay".into(), body: body.into() });
    world.pass(ms(3_100), false);
    world.pass(ms(500), false);
    world.says(secs(1), None);
    world.pass(ms(100), false);
    let waterfalls = world.events.iter().filter_map(|event| match event {
        Event::AssistantSpeaks { waterfall, .. } => *waterfall,
        _ => None,
    });
    let steps: Vec<_> = waterfalls.collect();
    assert!(matches!(&steps[..], [steps] if steps.audio >= ms(500) && steps.decided.is_none()), "{steps:?}");
}

#[test]
fn a_caller_whom_no_provider_is_left_for_is_told_so_and_put_through_or_let_go() {
    for fallback in [Some("9000"), None] {
        let mut world = answered(|setup| setup.settings.fallback_extension = fallback.map(str::to_owned));
        world.says(secs(1), None);
        world.pass(secs(2), false);
        world.breaks();
        world.breaks();
        assert_eq!(world.connection(), Some(&Event::Connect(Endpoint::Engine)));
        world.call.handle_connected(world.now);
        world.drain();
        let (mut texts, sentences) = (world.spoken(), if fallback.is_some() { 2 } else { 3 });
        texts.extend(world.spoken());
        assert_eq!(texts[0], "Our assistant is not available at the moment.");
        assert_eq!(texts.len() as u64, sentences, "{texts:?}");
        world.pass(secs(sentences) - ms(200), false);
        assert!(!world.hung_up() && !world.referred(), "it is being said");
        world.pass(ms(500), false);
        if fallback.is_some() {
            assert!(world.referred() && !world.hung_up());
            world.refer(ReferProgress::Refused(486));
            assert_eq!(world.spoken(), ["We have to end this call.", "Thank you, goodbye!"]);
            world.pass(ms(1_800), false);
            assert!(!world.hung_up(), "it is being said");
            world.pass(ms(500), false);
        }
        assert!(world.hung_up());
        assert_eq!(world.outcome(), Some(Outcome::Failed));
    }
}

#[test]
fn a_caller_who_comes_back_from_a_transfer_to_nobody_is_put_through() {
    let mut world = answered(|setup| {
        setup.standby = None;
        setup.settings.fallback_extension = Some("9000".into());
    });
    world.says(secs(1), Some(("transfer", r#"{"destination":"sales"}"#)));
    world.pass(ms(1_200), false);
    world.breaks();
    world.breaks();
    world.refer(ReferProgress::Refused(486));
    let referred = world.commands.iter().filter_map(|command| match command {
        Command::Refer { refer_to, .. } => Some(refer_to.as_str()),
        _ => None,
    });
    let referred: Vec<&str> = referred.collect();
    assert!(matches!(&referred[..], [_, last] if last.starts_with("sip:9000@")), "{referred:?}");
    assert!(!world.hung_up());
}

#[test]
fn who_stopped_speaking_while_being_handed_over_is_not_in_a_turn_when_back() {
    let mut world = answered(|_| ());
    world.says(secs(1), Some(("transfer", r#"{"destination":"sales"}"#)));
    world.pass(ms(500), false);
    world.pass(secs(1), true);
    assert!(world.referred());
    world.pass(secs(2), false);
    world.refer(ReferProgress::Refused(603));
    world.breaks();
    world.pass(ms(1_600), false);
    assert_eq!(world.spoken(), [MOMENT]);
}

#[test]
fn who_stopped_speaking_while_being_handed_over_is_spoken_to_by_who_hears_by_our_detector() {
    let mut world = answered(|setup| {
        let menu = r#"{"options": [{"keys": "1", "action": "transfer", "to": "sales"}]}"#;
        setup.secretary = model::secretary(|row| row.dtmf_menu = Some(menu.into()));
        let config = Box::new(local::Config::new(local::Language::EnUs, local::Hearing::Words));
        setup.rung = Rung::Local { config, engine: String::new() };
    });
    while !world.spoken().is_empty() {}
    world.pass(secs(10), false);
    world.pass(secs(1), true);
    let body = b"Signal=1\r\nDuration=160\r\n".to_vec();
    world.sip(sip::Event::Info { leg: LEG, content_type: "application/dtmf-relay".into(), body: body.into() });
    assert!(world.referred(), "they press a key while they speak");
    world.pass(secs(2), false);
    world.refer(ReferProgress::Refused(603));
    let mut texts = world.spoken();
    texts.extend(world.spoken());
    assert!(texts.iter().any(|text| text.contains("could not transfer")), "{texts:?}");
}

#[test]
fn who_was_only_told_one_moment_is_greeted_by_the_next_rung() {
    let mut world = answered(|setup| setup.below = vec![setup.rung.clone()]);
    world.breaks();
    world.outgoing.clear();
    world.pass(ms(1_600), false);
    assert_eq!(world.spoken(), [MOMENT]);
    world.pass(secs(2), false);
    assert!(world.warned("not ready within 3s"), "{:?}", world.events);
    world.ready();
    let greeting = sent(&world.outgoing, "response.create");
    assert!(greeting.len() == 1 && greeting[0].to_string().contains("Hello"), "{greeting:?}");
    assert!(!world.was_asked_to_go_on());
}
