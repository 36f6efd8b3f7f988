//! A conversation and its owner: what was asked of whom, and what the caller would get.
use crate::{
    Dialect, Errand, Event, HttpRequest, Incoming, Job, JobDone, JobId, JobOutput, Method, Outgoing, Part, Past,
    RequestId, Tool,
    pipeline::{Chat, Config, Credentials, Filler, Hearing, Session, Voice},
};
use media::{Audio, AudioFormat, Frame, Heard, Law, SampleRate, Speech, UtteranceId};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

pub(super) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn at(url: &str) -> Credentials {
    Credentials { url: url.into(), api_key: Some("key-1".into()) }
}

pub(super) fn nova() -> Hearing {
    Hearing::Nova { at: at("wss://ear.example"), model: "nova-3".into(), endpointing: ms(100), silence: ms(500) }
}

pub(super) fn flux() -> Hearing {
    Hearing::Flux { at: at("wss://ear.example"), model: "flux-general-multi".into(), longest_silence: None }
}

pub(super) fn transcriptions() -> Hearing {
    Hearing::Transcriptions { at: at("https://ear.example/v1"), model: "gpt-transcribe".into() }
}

pub(super) fn config(hearing: Hearing) -> Config {
    Config {
        hearing,
        chat: Chat { at: at("https://mind.example/v1"), model: "gpt-oss".into(), reasoning_effort: Some("low".into()) },
        voice: Voice::Aura { at: at("https://voice.example"), model: "aura-2-thalia-en".into() },
        call: AudioFormat::G711(Law::Mu),
        language: Some("en-US".into()),
        instructions: "Be brief.".into(),
        first_message: None,
        tools: vec![Tool {
            name: "end_call".into(),
            description: "Ends it.".into(),
            parameters: json!({"type": "object"}),
        }],
        filler: Filler::Off,
    }
}

pub(super) struct World {
    pub(super) session: Session,
    pub(super) now: Instant,
    pub(super) events: Vec<Event>,
    pub(super) requests: Vec<(RequestId, HttpRequest)>,
    pub(super) aborted: Vec<RequestId>,
    pub(super) sent: Vec<Outgoing>,
    pub(super) jobs: Vec<(JobId, Job)>,
}

impl World {
    pub(super) fn connected(config: Config) -> Self {
        Self::resumed(config, None)
    }

    pub(super) fn resumed(config: Config, past: Option<Past>) -> Self {
        let (events, requests, aborted, sent, jobs) = Default::default();
        let now = Instant::now();
        let mut world = Self { session: Session::new(config), now, events, requests, aborted, sent, jobs };
        past.into_iter().for_each(|past| world.session.resume(past));
        world.session.handle_connected(now);
        world.drain();
        world
    }

    pub(super) fn drain(&mut self) {
        while let Some(errand) = self.session.poll_errand() {
            match errand {
                // Every service is there, and has no list of its models.
                Errand::Send(id, request) if request.method == Method::Get => {
                    for part in [Part::Head { status: 404, retry_after: None }, Part::End] {
                        self.session.handle_answer(id, part, self.now);
                    }
                }
                Errand::Send(id, request) => self.requests.push((id, request)),
                Errand::Abort(id) => self.aborted.push(id),
                Errand::AbortAll => self.aborted.extend(self.requests.iter().map(|(id, _)| *id)),
                Errand::Job(id, job) => self.jobs.push((id, job)),
            }
        }
        self.sent.extend(std::iter::from_fn(|| self.session.poll_outgoing()));
        self.events.extend(std::iter::from_fn(|| self.session.poll_event()));
    }

    /// Lets time pass, with every deadline in it.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some((at, why)) = self.session.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = at.max(self.now);
            self.session.handle_timeout(self.now);
            self.drain();
            let next = self.session.poll_timeout();
            assert!(next.is_none_or(|(next, _)| next > self.now), "{why} does not end");
        }
        self.now = end;
    }

    pub(super) fn ear(&mut self, message: Value) {
        self.session.handle_incoming(Incoming::Text(message.to_string()), self.now);
        self.drain();
    }

    pub(super) fn words(&mut self, text: &str, is_final: bool, speech_final: bool) {
        self.results(text, is_final, speech_final, false);
    }

    /// nova's answer to a question for the last words.
    pub(super) fn finalized(&mut self, text: &str) {
        self.results(text, true, false, true);
    }

    fn results(&mut self, text: &str, is_final: bool, speech_final: bool, from_finalize: bool) {
        self.ear(json!({"type": "Results", "channel_index": [0, 1], "start": 0.0, "duration": 1.0,
            "is_final": is_final, "speech_final": speech_final, "from_finalize": from_finalize,
            "channel": {"alternatives": [{"transcript": text, "confidence": 0.9, "words": []}]},
            "metadata": {"request_id": "r", "model_uuid": "m", "model_info": {"name": "n", "version": "v", "arch": "a"}}}));
    }

    pub(super) fn turn(&mut self, event: &str, transcript: &str) {
        self.ear(json!({"type": "TurnInfo", "request_id": "r", "sequence_id": 1, "event": event, "turn_index": 0,
            "audio_window_start": 0.0, "audio_window_end": 1.0, "transcript": transcript, "words": [],
            "end_of_turn_confidence": 0.8}));
    }

    pub(super) fn detector(&mut self, speech: Speech) {
        self.session.handle_speech(speech, self.now);
        self.drain();
    }

    pub(super) fn silent(&mut self) {
        let last_voice = self.now - ms(500);
        self.detector(Speech::Ended { last_voice });
    }

    /// The caller speaks for this long, as a service for turns hears it.
    pub(super) fn speak(&mut self, time: Duration) {
        self.detector(Speech::Confirmed);
        self.hear(time);
        self.now += time + ms(500);
        self.hear(ms(500));
        self.silent();
    }

    fn hear(&mut self, time: Duration) {
        let rate = SampleRate::HZ_8000;
        let frame = Frame { rate, samples: vec![1_000; rate.samples_in(time)] };
        self.session.handle_audio(&Audio::Pcm(frame), self.now);
    }

    pub(super) fn part(&mut self, id: RequestId, part: Part) {
        self.session.handle_answer(id, part, self.now);
        self.drain();
    }

    pub(super) fn respond(&mut self, id: RequestId, status: u16, body: &[u8]) {
        self.part(id, Part::Head { status, retry_after: None });
        if !body.is_empty() {
            self.part(id, Part::Chunk(body.to_vec()));
        }
        self.part(id, Part::End);
    }

    /// The requests to one method so far.
    pub(super) fn to(&self, path: &str) -> Vec<RequestId> {
        let path = |request: &HttpRequest| request.url.contains(path);
        self.requests.iter().filter(|(_, request)| path(request)).map(|(id, _)| *id).collect()
    }

    pub(super) fn last(&self, path: &str) -> RequestId {
        *self.to(path).last().unwrap()
    }

    pub(super) fn body(&self, id: RequestId) -> Value {
        let (_, request) = self.requests.iter().find(|(of, _)| *of == id).unwrap();
        serde_json::from_slice(&request.body).unwrap()
    }

    /// What the model is told last, in one line.
    pub(super) fn told(&self) -> Vec<String> {
        let body = self.body(self.last("/chat/completions"));
        let line = |message: &Value| {
            let content = message["content"].as_str().unwrap_or("-");
            format!("{}: {content}", message["role"].as_str().unwrap())
        };
        body["messages"].as_array().unwrap().iter().map(line).collect()
    }

    /// The model begins to answer.
    pub(super) fn write(&mut self, words: &str) {
        let id = self.last("/chat/completions");
        self.part(id, Part::Head { status: 200, retry_after: None });
        self.part(id, Part::Chunk(chunk(json!({"content": words}))));
    }

    /// And ends.
    pub(super) fn written(&mut self) {
        let id = self.last("/chat/completions");
        let usage = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [],
            "usage": {"prompt_tokens": 50, "completion_tokens": 7, "total_tokens": 57,
                "prompt_tokens_details": {"cached_tokens": 20}}});
        self.part(id, Part::Chunk(format!("data: {usage}\n\ndata: [DONE]\n\n").into_bytes()));
        self.part(id, Part::End);
    }

    /// Speaks what was asked for last, for this long.
    pub(super) fn voice(&mut self, id: RequestId, time: Duration) {
        self.respond(id, 200, &vec![0x55; SampleRate::HZ_8000.samples_in(time)]);
    }

    /// Speech that was given out, by utterance.
    pub(super) fn heard(&self) -> Vec<(u64, Duration)> {
        let mut heard: Vec<(u64, Duration)> = Vec::new();
        for event in &self.events {
            let Event::Audio { utterance, audio } = event else { continue };
            match heard.last_mut().filter(|(last, _)| *last == utterance.0) {
                Some((_, total)) => *total += audio.duration(),
                None => heard.push((utterance.0, audio.duration())),
            }
        }
        heard
    }

    pub(super) fn said(&self) -> String {
        let deltas = self.events.iter().filter_map(|event| match event {
            Event::AssistantText { delta, .. } => Some(delta.as_str()),
            _ => None,
        });
        deltas.collect::<String>().trim().to_owned()
    }

    pub(super) fn caller(&self) -> Vec<&str> {
        let said = self.events.iter().filter_map(|event| match event {
            Event::CallerText(text) => Some(text.as_str()),
            _ => None,
        });
        said.collect()
    }

    pub(super) fn cut(&mut self, utterance: u64, played: Duration) {
        let heard = Heard { utterance: UtteranceId(utterance), played, queued: ms(500) };
        self.session.interrupt(heard, self.now);
        self.drain();
    }

    pub(super) fn job_done(&mut self, id: JobId, output: JobOutput) {
        self.session.handle_incoming(Incoming::Job(JobDone { id, result: Ok(output) }), self.now);
        self.drain();
    }

    pub(super) fn has(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(wanted)
    }
}

pub(super) fn chunk(delta: Value) -> Vec<u8> {
    let chunk = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": null}]});
    format!("data: {chunk}\n\n").into_bytes()
}
