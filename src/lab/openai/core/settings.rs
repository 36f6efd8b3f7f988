//! The session object, and what the simulator reads from it.
use super::Core;
use crate::lab::hearing::Detection;
use media::{Law, SampleRate, codec::g711};
use serde_json::{Value, json};

/// An audio format of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Pcm24,
    G711(Law),
}

impl Format {
    fn of(value: Option<&Value>) -> Self {
        match value.and_then(|value| value.get("type")).and_then(Value::as_str) {
            Some("audio/pcmu") => Self::G711(Law::Mu),
            Some("audio/pcma") => Self::G711(Law::A),
            Some(_) | None => Self::Pcm24,
        }
    }

    pub(super) fn rate(self) -> SampleRate {
        match self {
            Self::Pcm24 => SampleRate::HZ_24000,
            Self::G711(_) => SampleRate::HZ_8000,
        }
    }

    /// Bytes in a millisecond.
    pub(super) fn bytes_per_ms(self) -> usize {
        match self {
            Self::Pcm24 => 48,
            Self::G711(_) => 8,
        }
    }

    /// From PCM at [`Format::rate`].
    pub(super) fn encode(self, samples: &[i16]) -> Vec<u8> {
        match self {
            Self::G711(law) => g711::encode(law, samples),
            Self::Pcm24 => samples.iter().flat_map(|sample| sample.to_le_bytes()).collect(),
        }
    }

    /// To PCM at [`Format::rate`].
    pub(super) fn decode(self, bytes: &[u8]) -> Vec<i16> {
        match self {
            Self::G711(law) => g711::decode(law, bytes),
            Self::Pcm24 => bytes.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect(),
        }
    }
}

/// The session as the client sees it. GA's own defaults until it is updated.
#[derive(Debug)]
pub(super) struct Settings {
    session: Value,
}

impl Settings {
    pub(super) fn new(model: &str, connection: u64) -> Self {
        let pcm = json!({"type": "audio/pcm", "rate": 24000});
        let detection = json!({"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300,
            "silence_duration_ms": 200, "idle_timeout_ms": null, "create_response": true, "interrupt_response": true});
        let session = json!({
            "type": "realtime", "object": "realtime.session", "id": format!("sess_c{connection}"), "model": model,
            "output_modalities": ["audio"], "instructions": "", "tools": [], "tool_choice": "auto",
            "max_output_tokens": "inf", "tracing": null, "truncation": "auto", "include": null,
            "expires_at": 1_795_000_000,
            "audio": {
                "input": {"format": pcm, "transcription": null, "noise_reduction": null, "turn_detection": detection},
                "output": {"format": pcm, "voice": "marin", "speed": 1.0},
            },
        });
        Self { session }
    }

    /// The whole object.
    pub(super) fn session(&self) -> &Value {
        &self.session
    }

    fn at(&self, pointer: &str) -> Option<&Value> {
        self.session.pointer(pointer).filter(|value| !value.is_null())
    }

    pub(super) fn input(&self) -> Format {
        Format::of(self.at("/audio/input/format"))
    }

    pub(super) fn output(&self) -> Format {
        Format::of(self.at("/audio/output/format"))
    }

    pub(super) fn transcription_model(&self) -> Option<&str> {
        self.at("/audio/input/transcription/model").and_then(Value::as_str)
    }

    pub(super) fn idle_timeout_ms(&self) -> Option<u64> {
        self.at("/audio/input/turn_detection/idle_timeout_ms").and_then(Value::as_u64)
    }

    /// Semantic detection is played by volume too, with a silence that stands for its patience.
    pub(super) fn detection(&self) -> Option<Detection> {
        let detection = self.at("/audio/input/turn_detection")?;
        let word = |key: &str| detection.get(key).and_then(Value::as_str);
        let number = |key: &str, default| detection.get(key).and_then(Value::as_u64).unwrap_or(default);
        let truth = |key: &str| detection.get(key).and_then(Value::as_bool).unwrap_or(true);
        let silence_ms = match (word("type"), word("eagerness")) {
            (Some("semantic_vad"), Some("high")) => 400,
            (Some("semantic_vad"), Some("low")) => 1_600,
            (Some("semantic_vad"), _) => 800,
            _ => number("silence_duration_ms", 200),
        };
        Some(Detection {
            threshold: detection.get("threshold").and_then(Value::as_f64).unwrap_or(0.5),
            prefix_ms: number("prefix_padding_ms", 300),
            silence_ms,
            create: truth("create_response"),
            interrupt: truth("interrupt_response"),
        })
    }
}

impl Core {
    /// `session.update`, already found to hold nothing unknown.
    pub(super) fn update(&mut self, session: &Value, event_id: Option<&str>) {
        if self.script.faults.refuse_update {
            let words = "Unknown parameter: 'session.audio.input.turn_detection.threshold'.";
            return self.error("unknown_parameter", words, event_id, Some("session.audio.input.turn_detection"));
        }
        if self.script.faults.no_updated {
            return;
        }
        let voice = session.pointer("/audio/output/voice");
        let changed = voice.is_some() && voice != self.settings.session.pointer("/audio/output/voice");
        if changed && self.conversation.has_spoken() {
            let words = "Cannot update a conversation's voice if assistant audio is present.";
            return self.error("cannot_update_voice", words, event_id, None);
        }
        merge(&mut self.settings.session, session, 0);
        let updated = json!({"session": self.settings.session()});
        self.send("session.updated", updated);
        self.list_tools(session);
    }
}

/// Objects of the session, of `audio` and of its directions are merged; what lies deeper is replaced whole.
fn merge(into: &mut Value, from: &Value, depth: u32) {
    const MERGED: u32 = 3;
    match (into, from) {
        (Value::Object(into), Value::Object(from)) if depth < MERGED => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value, depth + 1);
            }
        }
        (into, from) => *into = from.clone(),
    }
}
