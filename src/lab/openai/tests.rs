//! The simulator in virtual time, alone and with the dialect it is made for.
#![expect(clippy::disallowed_methods, reason = "the origin of virtual time, and one test over real sockets")]
mod dialect;
mod protocol;
mod socket;

use super::*;
use serde_json::{Value, json};
use std::{
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

/// Building a voice takes longer than most tests.
static VOICE: LazyLock<Arc<Voice>> = LazyLock::new(|| Arc::new(Voice::default()));

fn ga() -> Handshake {
    Handshake { model: Some("gpt-realtime-2.1".into()), beta: false }
}

/// 8 kHz µ-law: a loud tone, or silence.
fn line(ms: u64, peak: f64) -> Vec<u8> {
    let samples: Vec<i16> = (0..ms * 8).map(|n| ((n as f64 * 0.7).sin() * peak) as i16).collect();
    media::codec::g711::encode(media::Law::Mu, &samples)
}

fn speech(ms: u64) -> Vec<u8> {
    line(ms, 8_000.0)
}

fn silence(ms: u64) -> Vec<u8> {
    line(ms, 0.0)
}

/// A core on a virtual clock.
struct Bench {
    core: Core,
    now: Instant,
}

impl Bench {
    fn new(script: Script) -> Self {
        Self::open(script, &ga())
    }

    fn open(script: Script, handshake: &Handshake) -> Self {
        let now = Instant::now();
        Self { core: Core::new(Arc::new(script), Arc::clone(&VOICE), 1, handshake, now), now }
    }

    /// A µ-law session with server turn detection.
    fn ready(script: Script) -> Self {
        let mut bench = Self::new(script);
        bench.send(&json!({"type": "session.update", "session": {"type": "realtime", "audio": {
            "input": {"format": {"type": "audio/pcmu"}, "transcription": {"model": "gpt-4o-mini-transcribe"},
                "turn_detection": {"type": "server_vad", "silence_duration_ms": 200}},
            "output": {"format": {"type": "audio/pcmu"}}}}}));
        assert_eq!(kinds(&bench.messages()), ["session.created", "session.updated"]);
        bench
    }

    fn send(&mut self, event: &Value) {
        self.core.handle_text(&event.to_string(), self.now);
    }

    fn hear(&mut self, bytes: &[u8]) {
        for frame in bytes.chunks(160) {
            let audio = base64_simd::STANDARD.encode_to_string(frame);
            self.send(&json!({"type": "input_audio_buffer.append", "audio": audio}));
        }
    }

    fn advance(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        while let Some((deadline, _)) = self.core.poll_timeout().filter(|(deadline, _)| *deadline <= until) {
            self.now = self.now.max(deadline);
            self.core.handle_timeout(self.now);
            assert!(self.core.poll_timeout().is_none_or(|(next, _)| next > self.now), "a deadline must move");
        }
        self.now = until;
    }

    fn departures(&mut self) -> Vec<Departure> {
        std::iter::from_fn(|| self.core.poll_departure()).collect()
    }

    fn messages(&mut self) -> Vec<Value> {
        let text = |departure| match departure {
            Departure::Message { text, .. } => Some(serde_json::from_str(&text).unwrap()),
            Departure::Close(..) | Departure::Drop => None,
        };
        self.departures().into_iter().filter_map(text).collect()
    }

    fn error(&mut self) -> Option<(String, Option<String>)> {
        let messages = self.messages();
        let error = messages.iter().find(|message| message["type"] == "error")?;
        let word = |key: &str| error["error"][key].as_str().map(str::to_owned);
        Some((word("code").unwrap_or_default(), word("param")))
    }
}

fn kinds(messages: &[Value]) -> Vec<&str> {
    messages.iter().filter_map(|message| message["type"].as_str()).collect()
}

fn count(messages: &[Value], kind: &str) -> usize {
    kinds(messages).iter().filter(|known| **known == kind).count()
}

/// Milliseconds of µ-law in the audio deltas.
fn audio_ms(messages: &[Value]) -> usize {
    let deltas = messages.iter().filter(|message| message["type"] == "response.output_audio.delta");
    let bytes = deltas.map(|delta| base64_simd::STANDARD.decode_to_vec(delta["delta"].as_str().unwrap()).unwrap());
    bytes.map(|bytes| bytes.len()).sum::<usize>() / 8
}
