//! Conversations in virtual time: the test is the engine.
#![expect(clippy::disallowed_methods, reason = "the origin of virtual time")]
use super::*;
use crate::{Dialect, Event, Incoming, Job, JobDone, JobId, JobOutput, Note, Outgoing, Respond, ToolCallId};
use media::{Audio, AudioFormat, Frame, Heard, SampleRate, Speech, UtteranceId};
use std::time::{Duration, Instant};

const RATE: SampleRate = SampleRate::HZ_8000;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A call with the built-in provider: owns the clock, plays the engine and notes what happened.
struct World {
    session: Session,
    now: Instant,
    /// Jobs not yet answered.
    jobs: Vec<(JobId, Job)>,
    /// What is said back to the test: `say`, `done`, `caller`, `tool`, `warn`, `fail`.
    told: Vec<String>,
    last_audio: Option<UtteranceId>,
}

impl World {
    fn new(config: Config) -> Self {
        let mut world =
            Self { session: Session::new(config), now: Instant::now(), jobs: vec![], told: vec![], last_audio: None };
        world.session.handle_connected(world.now);
        world.drain();
        world
    }

    /// A world whose greeting has been heard.
    fn greeted(config: Config) -> Self {
        let mut world = Self::new(config);
        world.speak_all();
        world.heard_all();
        world.told.clear();
        world
    }

    fn drain(&mut self) {
        while let Some(outgoing) = self.session.poll_outgoing() {
            match outgoing {
                Outgoing::Job(id, job) => self.jobs.push((id, job)),
                other => panic!("{other:?}"),
            }
        }
        while let Some(event) = self.session.poll_event() {
            self.told.extend(match event {
                Event::AssistantText { utterance, delta } => Some(format!("say{} {}", utterance.0, delta.trim())),
                Event::Audio { utterance, .. } => {
                    self.last_audio = Some(utterance);
                    None
                }
                Event::UtteranceDone(utterance) => Some(format!("done{}", utterance.0)),
                Event::CallerText(text) => Some(format!("caller {text}")),
                Event::ToolCall { name, arguments, .. } => Some(format!("tool {name} {arguments}")),
                Event::Warning(text) => Some(format!("warn {text}")),
                Event::Failed(failure) => Some(format!("fail {:?}", failure.kind)),
                Event::Ready
                | Event::Prepare
                | Event::Reconnect
                | Event::Thought
                | Event::Working(_)
                | Event::Usage(_)
                | Event::Receipt(_)
                | Event::SpeechStarted
                | Event::SpeechStopped
                | Event::AssistantHeard { .. } => None,
            });
        }
    }

    fn done(&mut self, id: JobId, result: Result<JobOutput, String>) {
        self.session.handle_incoming(Incoming::Job(JobDone { id, result }), self.now);
        self.drain();
    }

    /// Speaks whatever is asked for, until nothing is.
    fn speak_all(&mut self) {
        while let Some(at) = self.jobs.iter().position(|(_, job)| matches!(job, Job::Speak { .. })) {
            let (id, _) = self.jobs.remove(at);
            self.done(id, Ok(speech()));
        }
    }

    fn heard(&self) -> Option<Heard> {
        self.last_audio.map(|utterance| Heard { utterance, played: ms(400), queued: ms(400) })
    }

    fn heard_all(&mut self) {
        if let Some(heard) = self.heard() {
            self.session.handle_played_out(heard, self.now);
        }
        self.drain();
    }

    fn speech(&mut self, speech: Speech) {
        self.session.handle_speech(speech, self.now);
        self.drain();
    }

    /// The caller makes sounds for so long; the detector agrees.
    fn caller_speaks(&mut self, duration: Duration) {
        self.speech(Speech::Suspected);
        self.speech(Speech::Confirmed);
        self.pass(1_000, duration);
        let last_voice = self.now;
        self.pass(0, ms(500));
        self.speech(Speech::Ended { last_voice });
    }

    fn pass(&mut self, level: i16, duration: Duration) {
        for _ in 0..duration.as_millis() / 20 {
            let frame = Frame { rate: RATE, samples: vec![level; RATE.samples_in(ms(20))] };
            self.session.handle_audio(&Audio::Pcm(frame), self.now);
            self.now += ms(20);
        }
    }

    fn recognise(&mut self, text: &str) {
        let at = self.jobs.iter().position(|(_, job)| matches!(job, Job::Transcribe { .. })).expect("a transcription");
        let (id, _) = self.jobs.remove(at);
        self.done(id, Ok(JobOutput::Text(text.into())));
    }

    /// The caller says words, which are recognised and answered.
    fn says(&mut self, text: &str) -> Vec<String> {
        self.told.clear();
        self.caller_speaks(ms(800));
        self.recognise(text);
        self.speak_all();
        std::mem::take(&mut self.told)
    }

    fn timeout(&mut self) -> &'static str {
        let (at, reason) = self.session.poll_timeout().expect("a deadline");
        self.now = at;
        self.session.handle_timeout(at);
        self.drain();
        if let Some((next, _)) = self.session.poll_timeout() {
            assert!(next > at, "a deadline that does not advance");
        }
        reason
    }
}

fn speech() -> JobOutput {
    JobOutput::Speech(Frame { rate: RATE, samples: vec![500; 3_200] })
}

fn clinic(hearing: Hearing) -> Config {
    let answer = |question: &str, answer: &str| Answer { questions: vec![question.into()], answer: answer.into() };
    Config {
        first_message: Some("Clínica Sol, bom dia.".into()),
        answers: vec![
            answer("Qual é o horário?", "Abrimos às nove. Fechamos às dezoito. Sábado não abrimos."),
            answer("Qual é o endereço?", "Rua das Flores, número cem."),
        ],
        transfers: vec![TransferTarget { name: "Financeiro".into(), aliases: vec!["cobrança".into()] }],
        ..Config::new(Language::PtBr, hearing)
    }
}

#[test]
fn the_greeting_says_what_this_is() {
    let mut world = World::new(clinic(Hearing::Words));
    world.speak_all();
    assert_eq!(
        world.told,
        ["say1 Demonstração automática: só respondo o que está cadastrado.", "say1 Clínica Sol, bom dia.", "done1",]
    );
    let mut silent = World::new(Config { disclosure: Disclosure::Omitted, ..clinic(Hearing::Words) });
    silent.speak_all();
    assert_eq!(silent.told, ["say1 Clínica Sol, bom dia.", "done1"]);
}

#[test]
fn what_is_said_before_and_behind_the_greeting_does_not_take_its_place() {
    let config = Config {
        notice: Some("Esta ligação é gravada.".into()),
        first_message: None,
        keys_announcement: Some("Tecle 1 para vendas.".into()),
        ..clinic(Hearing::Words)
    };
    let mut world = World::new(config);
    world.speak_all();
    let said: Vec<&str> = world.told.iter().filter_map(|told| told.strip_prefix("say1 ")).collect();
    let greeting = ["Olá!", "Demonstração automática: só respondo o que está cadastrado.", "Em que posso ajudar?"];
    assert_eq!(said, [&["Esta ligação é gravada."], &greeting[..], &["Tecle 1 para vendas."]].concat());
}

#[test]
fn a_question_is_answered_verbatim_and_the_first_sentence_is_not_waited_for() {
    let mut world = World::greeted(clinic(Hearing::Words));
    world.caller_speaks(ms(900));
    world.recognise(" Que horas vocês abrem? ");
    assert_eq!(world.told, ["caller Que horas vocês abrem?"]);
    assert_eq!(world.jobs.len(), 2, "two sentences are in the making");
    let (second, _) = world.jobs.remove(1);
    world.done(second, Ok(speech()));
    assert_eq!(world.told.len(), 1, "the second sentence waits for the first");
    world.speak_all();
    assert_eq!(
        world.told[1..],
        ["say2 Abrimos às nove.", "say2 Fechamos às dezoito.", "say2 Sábado não abrimos.", "done2",]
    );
    assert_eq!(
        world.says("pode repetir?")[1..],
        ["say3 Abrimos às nove.", "say3 Fechamos às dezoito.", "say3 Sábado não abrimos.", "done3",]
    );
}

#[test]
fn answers_are_rehearsed_while_nobody_speaks_and_one_at_a_time() {
    let mut world = World::new(clinic(Hearing::Words));
    world.told.clear();
    let texts = |world: &World| -> Vec<String> {
        let text = |(_, job): &(JobId, Job)| match job {
            Job::Speak { text, .. } => text.clone(),
            Job::Transcribe { .. } => "?".into(),
        };
        world.jobs.iter().map(text).collect()
    };
    for _ in 0..2 {
        let (id, _) = world.jobs.remove(0);
        world.done(id, Ok(speech()));
    }
    assert_eq!(texts(&world), ["Abrimos às nove."]);
    world.told.clear();
    world.speech(Speech::Confirmed);
    let (id, _) = world.jobs.remove(0);
    world.done(id, Ok(speech()));
    assert_eq!(texts(&world), Vec::<String>::new(), "not while the caller speaks");
    world.speech(Speech::Ended { last_voice: world.now });
    assert_eq!(texts(&world), ["Rua das Flores, número cem."]);
    let (id, _) = world.jobs.remove(0);
    world.done(id, Err("no voice".into()));
    assert_eq!(world.told, Vec::<String>::new(), "nobody hears a rehearsal");
    assert_eq!(texts(&world), Vec::<String>::new(), "once");
}

#[test]
fn what_is_not_registered_is_not_invented() {
    let mut world = World::greeted(clinic(Hearing::Words));
    assert_eq!(
        world.says("Qual é a capital da França?"),
        [
            "caller Qual é a capital da França?",
            "say2 Desculpe, isso eu não sei responder.",
            "say2 Pode me perguntar, por exemplo:",
            "say2 Qual é o horário?",
            "say2 Qual é o endereço?",
            "say2 Também posso transferir para: Financeiro.",
            "done2",
        ]
    );
}

#[test]
fn a_transfer_is_announced_then_asked_for_and_its_failure_told() {
    let mut world = World::greeted(clinic(Hearing::Words));
    assert_eq!(
        world.says("Quero falar com a cobrança"),
        [
            "caller Quero falar com a cobrança",
            "say2 Certo, vou transferir para Financeiro.",
            "say2 Um momento, por favor.",
            "done2",
            r#"tool transfer {"destination":"Financeiro"}"#,
        ]
    );
    let id = ToolCallId("local-1".into());
    world.session.answer_tool(id, r#"{"status":"transferring"}"#.into(), Respond::No, world.now);
    world.told.clear();
    let note = Note::TransferFailed { destination: "Financeiro".into(), reason: "the line is busy".into() };
    world.session.inform(note, world.now);
    world.drain();
    world.speak_all();
    assert_eq!(
        world.told,
        ["say3 Não consegui transferir para Financeiro: está ocupado.", "say3 Posso ajudar em algo mais?", "done3",]
    );
}

#[test]
fn a_goodbye_ends_the_call_after_the_farewell() {
    let mut world = World::greeted(clinic(Hearing::Words));
    let told = world.says("Era só isso, tchau!");
    assert_eq!(
        told[1..],
        [
            "say2 Obrigado pela ligação.",
            "say2 Até logo!",
            "done2",
            r#"tool end_call {"reason":"the caller said goodbye"}"#,
        ]
    );
}

#[test]
fn an_interruption_drops_what_was_queued_and_late_speech_is_stale() {
    let mut world = World::greeted(clinic(Hearing::Words));
    world.caller_speaks(ms(900));
    world.recognise("qual o horário");
    let (first, _) = world.jobs.remove(0);
    world.done(first, Ok(speech()));
    let late = world.jobs.clone();
    assert_eq!(late.len(), 2, "the third sentence is asked for when the first is given out");
    world.told.clear();
    world.session.interrupt(world.heard().unwrap(), world.now);
    world.speak_all();
    assert_eq!(world.told, Vec::<String>::new(), "nothing of the cut reply is said");
    assert_eq!(world.says("qual o endereço")[1..], ["say3 Rua das Flores, número cem.", "done3"]);
}

#[test]
fn a_caller_who_goes_on_is_answered_once_for_all_they_said() {
    let mut world = World::greeted(clinic(Hearing::Words));
    // The second half comes while the first is being transcribed.
    world.caller_speaks(ms(500));
    world.caller_speaks(ms(500));
    world.recognise("Qual é o");
    assert_eq!(world.told, Vec::<String>::new());
    world.recognise("endereço?");
    world.speak_all();
    assert_eq!(world.told, ["caller Qual é o endereço?", "say2 Rua das Flores, número cem.", "done2"]);
    world.heard_all();
    // The second half comes while the answer to the first is in the making.
    world.told.clear();
    world.caller_speaks(ms(500));
    world.recognise("Eu queria saber o");
    world.caller_speaks(ms(500));
    world.recognise("horário");
    world.speak_all();
    assert_eq!(world.told[..3], ["caller Eu queria saber o", "caller horário", "say4 Abrimos às nove."]);
}

#[test]
fn noise_and_unrecognised_turns_are_apologised_for() {
    let mut world = World::greeted(clinic(Hearing::Words));
    world.caller_speaks(ms(100));
    assert!(world.jobs.is_empty(), "a click is not transcribed");
    assert_eq!(world.says("[Música]"), ["say2 Desculpe, não entendi.", "say2 Pode repetir?", "done2"]);
    world.heard_all();
    assert!(world.says("...").contains(&"say3 Tecle 1 para ouvir: qual é o horário.".to_owned()));
    world.heard_all();
    world.told.clear();
    world.caller_speaks(ms(900));
    assert_eq!(world.timeout(), "transcription");
    let (late, _) = world.jobs.remove(0);
    world.speak_all();
    assert_eq!(
        world.told,
        [
            "warn no transcription within 15s",
            "say4 Desculpe, demorei demais para entender.",
            "say4 Pode repetir?",
            "done4",
        ]
    );
    world.told.clear();
    world.done(late, Ok(JobOutput::Text("qual o horário".into())));
    assert_eq!(world.told, Vec::<String>::new(), "a late transcription is nobody's");
}

#[test]
fn lost_sentences_are_skipped_and_a_lost_voice_ends_the_conversation() {
    let mut world = World::greeted(clinic(Hearing::Words));
    world.caller_speaks(ms(900));
    world.recognise("qual o horário");
    let (first, _) = world.jobs.remove(0);
    world.done(first, Err("the voice crashed".into()));
    world.speak_all();
    assert_eq!(
        world.told[1..],
        [
            "warn a sentence was not spoken: the voice crashed",
            "say2 Fechamos às dezoito.",
            "say2 Sábado não abrimos.",
            "done2",
        ]
    );
    world.heard_all();
    world.told.clear();
    world.caller_speaks(ms(900));
    world.recognise("qual o horário");
    assert_eq!(world.timeout(), "speech synthesis");
    assert_eq!(world.timeout(), "speech synthesis");
    assert_eq!(world.told.last().map(String::as_str), Some("fail Unavailable"));
    assert_eq!(world.session.poll_timeout(), None);
}

#[test]
fn without_hearing_keys_choose_and_speech_is_played_back() {
    let mut world = World::new(clinic(Hearing::None));
    world.speak_all();
    assert_eq!(
        world.told,
        [
            "say1 Atendimento automático de demonstração, sem reconhecimento de fala.",
            "say1 Clínica Sol, bom dia.",
            "say1 Fale alguma coisa e eu repito a sua gravação.",
            "say1 Tecle 1 para ouvir: qual é o horário.",
            "say1 Tecle 2 para ouvir: qual é o endereço.",
            "say1 Tecle 3 para falar com Financeiro.",
            "say1 Tecle zero para ouvir de novo.",
            "done1",
        ]
    );
    world.heard_all();
    let key = |world: &mut World, digit: char| {
        world.told.clear();
        world.session.handle_keys(&digit.to_string(), world.now);
        world.drain();
        world.speak_all();
        world.heard_all();
        std::mem::take(&mut world.told)
    };
    assert_eq!(key(&mut world, '2'), ["say2 Rua das Flores, número cem.", "done2"]);
    assert_eq!(key(&mut world, '9')[0], "say3 Essa opção não existe.");
    assert_eq!(key(&mut world, '0')[0], "say4 Fale alguma coisa e eu repito a sua gravação.");
    assert_eq!(key(&mut world, '3').last().unwrap(), r#"tool transfer {"destination":"Financeiro"}"#);
    world.caller_speaks(ms(1_000));
    world.speak_all();
    assert_eq!(world.told, ["say6 Você disse:", "say6 (reprodução da fala de quem ligou)", "done6"]);
}

#[test]
fn a_long_menu_is_read_whole_only_when_asked_for() {
    let answer = |n: u32| Answer { questions: vec![format!("Pergunta {n}?")], answer: "Sim.".into() };
    let mut world = World::new(Config { answers: (1..=5).map(answer).collect(), ..clinic(Hearing::None) });
    world.speak_all();
    let told = std::mem::take(&mut world.told);
    assert_eq!(
        told[6..],
        ["say1 Tecle 4 para ouvir: pergunta 4.", "say1 Tecle zero para ouvir todas as opções.", "done1"]
    );
    world.heard_all();
    world.session.handle_keys("0", world.now);
    world.drain();
    world.speak_all();
    assert_eq!(
        world.told[5..],
        [
            "say2 Tecle 5 para ouvir: pergunta 5.",
            "say2 Tecle 6 para falar com Financeiro.",
            "say2 Tecle zero para ouvir de novo.",
            "done2"
        ]
    );
}

#[test]
fn the_words_of_a_reply_join_to_a_text() {
    let mut world = World::new(clinic(Hearing::None));
    let mut text = String::new();
    while !world.jobs.is_empty() {
        let (id, _) = world.jobs.remove(0);
        world.session.handle_incoming(Incoming::Job(JobDone { id, result: Ok(speech()) }), world.now);
        while let Some(event) = world.session.poll_event() {
            if let Event::AssistantText { delta, .. } = event {
                text.push_str(&delta);
            }
        }
        world.drain();
    }
    assert!(text.contains("fala. Clínica Sol, bom dia. Fale"), "{text}");
    assert_eq!(text.trim(), text);
}

#[test]
fn what_is_said_again_before_the_answer_counts_once() {
    let mut world = World::greeted(clinic(Hearing::Words));
    world.caller_speaks(ms(500));
    world.caller_speaks(ms(500));
    world.recognise("Qual é o endereço?");
    world.recognise("qual é o endereço");
    world.speak_all();
    assert_eq!(world.told, ["caller Qual é o endereço?", "say2 Rua das Flores, número cem.", "done2"]);
}

#[test]
fn without_a_voice_for_the_language_it_says_so_in_english() {
    let mut world = World::new(Config { voice: Language::EnUs, ..clinic(Hearing::Words) });
    let languages: Vec<_> = world
        .jobs
        .iter()
        .map(|(_, job)| match job {
            Job::Speak { language, .. } => language.clone(),
            Job::Transcribe { .. } => panic!("nothing was said"),
        })
        .collect();
    assert_eq!(languages, ["en-US", "pt-BR"]);
    world.speak_all();
    assert_eq!(
        world.told,
        [
            "warn there is no voice for pt-BR: an en-US one reads its texts",
            "say1 This is an automatic demonstration: I only answer what is registered.",
            "say1 Clínica Sol, bom dia.",
            "say1 This server has no voice for the language of this secretary, so I speak English.",
            "done1",
        ]
    );
}

#[test]
fn a_goodbye_of_ours_is_said_even_if_the_caller_talks() {
    let mut world = World::greeted(clinic(Hearing::Words));
    world.speech(Speech::Confirmed);
    let reason = "the time limit of this call is reached".to_owned();
    world.session.inform(Note::SayGoodbye { reason }, world.now);
    world.drain();
    assert!(world.jobs.is_empty(), "not over the caller");
    world.pass(1_000, ms(900));
    let last_voice = world.now;
    world.speech(Speech::Ended { last_voice });
    world.recognise("qual o horário");
    world.speak_all();
    assert_eq!(world.told[1..4], ["say2 O tempo desta ligação terminou.", "say2 Obrigado, até logo!", "done2"]);
}

/// A narrow call need not make anything of what it cannot carry.
#[test]
fn sentences_are_asked_for_as_wide_as_the_call_and_may_be_narrower_but_no_wider() {
    let [narrow, wide] = [SampleRate::HZ_8000, SampleRate::HZ_16000];
    for (spoken_at, made, heard) in
        [(narrow, narrow, true), (wide, wide, true), (wide, narrow, true), (narrow, wide, false)]
    {
        let mut world = World::new(Config { spoken_at, ..clinic(Hearing::Words) });
        assert_eq!(world.session.formats().downlink, AudioFormat::Pcm(spoken_at));
        for _ in 0..3 {
            let (id, job) = world.jobs.remove(0);
            assert!(matches!(job, Job::Speak { rate, .. } if rate == spoken_at), "{job:?}");
            world.done(id, Ok(JobOutput::Speech(Frame { rate: made, samples: vec![500; 3_200] })));
        }
        let said = world.told.iter().any(|told| told.starts_with("say1"));
        assert_eq!(said, heard, "{made:?} in a call that has {spoken_at:?}: {:?}", world.told);
    }
}
