//! The simulated services, each by its protocol, and over sockets with our own clients.
#![allow(clippy::disallowed_methods, reason = "the origin of virtual time")]
use super::*;
use crate::{
    drivers::{
        requests::Requests,
        ws_client::{Connection, Dialer},
    },
    lab::server::trusting,
};
use media::{Law, codec::g711};
use providers::{Errand, HttpRequest, Method, Outgoing, Part, RequestId};
use serde_json::{Value, json};
use std::{
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

static VOICE: LazyLock<Arc<Voice>> = LazyLock::new(|| Arc::new(Voice::default()));

fn house(script: Script) -> Arc<House> {
    Arc::new(House::new(script, Arc::clone(&VOICE)))
}

fn caller() -> Script {
    Script { caller: vec!["When are you open?".into(), "Thank you.".into()], ..Script::default() }
}

const FLUX: &str = "/v2/listen?model=flux-general-multi&encoding=mulaw&sample_rate=8000&eager_eot_threshold=0.4";
const NOVA: &str = "/v1/listen?model=nova-3&encoding=mulaw&sample_rate=8000&channels=1&interim_results=true&endpointing=100&utterance_end_ms=1000&vad_events=true";

/// Milliseconds of a tone, or of silence.
fn sound(ms: usize, loud: bool) -> Vec<u8> {
    let peak = if loud { 8_000.0 } else { 0.0 };
    let samples: Vec<i16> = (0..ms * 8).map(|n| ((n as f64 * 0.7).sin() * peak) as i16).collect();
    g711::encode(Law::Mu, &samples)
}

/// A socket, its clock, and what it said: type or event, transcript.
struct Ear {
    listener: Listener,
    now: Instant,
    said: Vec<(u128, String, String)>,
    began: Instant,
}

impl Ear {
    fn new(script: Script, url: &str) -> Self {
        let now = Instant::now();
        let listener = Listener::open(&house(script), url, &[], now).unwrap();
        Self { listener, now, said: Vec::new(), began: now }
    }

    fn hear(&mut self, ms: usize, loud: bool) {
        for _ in 0..ms / 20 {
            self.now += Duration::from_millis(20);
            self.listener.handle_timeout(self.now);
            self.listener.handle_binary(&sound(20, loud), self.now);
            while let Some(Departure::Message { kind, text }) = self.listener.poll_departure() {
                let message: Value = serde_json::from_str(&text).unwrap();
                let kind = message["event"].as_str().map_or(kind, str::to_owned);
                let words =
                    message["transcript"].as_str().or(message["channel"]["alternatives"][0]["transcript"].as_str());
                let at = (self.now - self.began).as_millis();
                self.said.push((at, kind, words.unwrap_or_default().to_owned()));
            }
        }
    }

    fn kinds(&self) -> Vec<&str> {
        self.said.iter().map(|(_, kind, _)| kind.as_str()).collect()
    }
}

#[test]
fn flux_takes_back_an_end_that_was_none_and_ends_a_turn_by_its_silence() {
    let mut ear = Ear::new(caller(), FLUX);
    ear.hear(400, true);
    ear.hear(100, false);
    ear.hear(400, true);
    ear.hear(600, false);
    let want = ["Connected", "StartOfTurn", "EagerEndOfTurn", "TurnResumed", "EagerEndOfTurn", "EndOfTurn"];
    assert_eq!(ear.kinds(), want);
    let (eager, end) = (&ear.said[4], &ear.said[5]);
    assert_eq!((eager.0, end.0, eager.2.as_str(), &eager.2), (960, 1_160, "When are you open?", &end.2));
    ear.hear(400, true);
    ear.hear(600, false);
    assert_eq!(ear.said.last().unwrap().2, "Thank you.");
}

#[test]
fn nova_writes_an_utterance_down_once_and_finalizes_when_asked() {
    let mut ear = Ear::new(caller(), NOVA);
    ear.hear(400, true);
    ear.listener.handle_text(r#"{"type":"Finalize"}"#, ear.now);
    ear.hear(1_500, false);
    let words: Vec<_> = ear.said.iter().map(|(_, kind, words)| (kind.as_str(), words.as_str())).collect();
    let want = [
        ("SpeechStarted", ""),
        ("Results", "When"),
        ("Results", "When are you open?"),
        ("Results", ""),
        ("UtteranceEnd", ""),
    ];
    assert_eq!(words, want);
    ear.listener.handle_binary(&[], ear.now);
    assert_eq!(ear.listener.poll_departure(), Some(Departure::Close(1000, String::new())));
}

#[test]
fn a_socket_that_is_asked_for_wrongly_or_without_the_key_is_refused() {
    let house = house(Script { api_key: Some("k".into()), ..Script::default() });
    let key = vec![("Authorization".to_owned(), "Token k".to_owned())];
    let open = |url: &str, headers: &[(String, String)]| Listener::open(&house, url, headers, Instant::now()).err();
    assert_eq!(open(FLUX, &key), None);
    assert_eq!(open(FLUX, &[]), Some(401));
    for url in ["/v1/listen?model=nova-3", "/v2/listen?model=nova-3&encoding=mulaw&sample_rate=8000", "/v3"] {
        assert_eq!(open(url, &key), Some(400), "{url}");
    }
}

fn post(path: &str, body: &Value) -> HttpRequest {
    let (url, headers) = (format!("https://lab.test{path}"), Vec::new());
    HttpRequest { method: Method::Post, url, headers, body: body.to_string().into_bytes() }
}

fn chat(messages: &Value) -> HttpRequest {
    post("/v1/chat/completions", &json!({"model": "m", "stream": true, "messages": messages}))
}

fn text(answer: &Answer) -> String {
    answer.pieces.iter().map(|(_, piece)| String::from_utf8_lossy(piece)).collect()
}

#[test]
fn the_model_answers_a_conversation_by_its_turns_and_refuses_one_that_cannot_be() {
    let replies = vec![Reply::words("First."), Reply::words("Second.")];
    let house = house(Script { replies, ..Script::default() });
    let user = json!({"role": "user", "content": "x"});
    let system = json!({"role": "system", "content": "s"});
    let call = json!({"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]});
    let outcome = json!({"role": "tool", "tool_call_id": "c", "content": "{}"});
    let ask = |messages: Value| house.answer(&chat(&messages), Instant::now());
    assert!(text(&ask(json!([system, user]))).contains("First."));
    assert!(text(&ask(json!([system, user, call, outcome]))).contains("Second."));
    assert!(text(&ask(json!([system, user, system]))).contains("\"back \""));
    for wrong in [json!([]), json!([{"role": "nobody"}]), json!([user, call, user]), json!([user, call])] {
        assert_eq!(ask(wrong.clone()).status, 400, "{wrong}");
    }
}

#[test]
fn a_fault_is_for_one_part_and_for_as_often_as_it_says() {
    let fault =
        PartFault { first: 1, status: Some(429), code: Some("rate_limit_exceeded".into()), ..PartFault::default() };
    let house = house(Script { faults: Faults { llm: fault, ..Faults::default() }, ..Script::default() });
    let user = json!([{"role": "user", "content": "x"}]);
    let statuses: Vec<u16> = (0..3).map(|_| house.answer(&chat(&user), Instant::now()).status).collect();
    assert_eq!(statuses, [429, 200, 200]);
}

#[test]
fn every_voice_speaks_in_the_way_of_its_vendor() {
    let house = house(Script { tone_hz: Some(500), ..Script::default() });
    let text = json!({"text": "Hello", "model_id": "m", "input": "Hello", "model": "m", "voice": "v", "response_format": "pcm"});
    let length = |path: &str| {
        let answer = house.answer(&post(path, &text), Instant::now());
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.pieces.iter().map(|(_, piece)| piece.len()).sum::<usize>()
    };
    // 300 ms.
    assert_eq!(length("/v1/speak?model=aura-2-thalia-en&encoding=mulaw&sample_rate=8000&container=none"), 2_400);
    assert_eq!(length("/v1/text-to-speech/v/stream?output_format=pcm_16000"), 9_600);
    assert_eq!(length("/v1/audio/speech"), 14_400);
    assert_eq!(length("/synthesize"), 22_050 * 3 / 10 * 2 + 44);
    let refused = house.answer(&post("/v1/speak?model=aura-2-thalia-en&encoding=mp3", &text), Instant::now());
    assert_eq!(refused.status, 400);
}

#[test]
fn our_own_clients_talk_with_it_over_tls() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let script = Script { replies: vec![Reply::words("Hello.")], ..caller() };
        let server = Server::start("127.0.0.1:0".parse().unwrap(), script, Tls::SelfSigned, None).await.unwrap();
        let tls = trusting(server.certificate_pem().unwrap());
        let mut requests = Requests::new(&tls);
        let body = chat(&json!([{"role": "user", "content": "x"}])).body;
        let url = format!("{}/v1/chat/completions", server.url());
        requests
            .carry(Errand::Send(RequestId(1), HttpRequest { method: Method::Post, url, headers: Vec::new(), body }));
        assert_eq!(requests.next().await, (RequestId(1), Part::Head { status: 200, retry_after: None }));
        let mut written = String::new();
        while let (_, Part::Chunk(bytes)) = requests.next().await {
            written += &String::from_utf8(bytes).unwrap();
        }
        assert!(written.contains("Hello.") && written.ends_with("data: [DONE]\n\n"), "{written}");

        let url = server.url().replace("https", "wss") + FLUX;
        let mut connection = Connection::open(url, Vec::new(), Dialer { tls, spares: None });
        let connected = connection.next().await;
        assert!(matches!(connected, crate::drivers::ws_client::FromProvider::Connected), "{connected:?}");
        for (ms, loud) in [(600, true), (600, false)] {
            connection.send(Outgoing::Binary(sound(ms, loud)));
        }
        let mut ended = false;
        for _ in 0..4 {
            let message = format!("{:?}", connection.next().await);
            ended |= message.contains("EndOfTurn") && message.contains("When are you open?");
        }
        assert!(ended);
    });
}
