//! How a conversation begins: with what the client wants of it, as far as the agent allows.
use super::{Core, Phase, Task};
use crate::lab::elevenlabs::script::{Reply, State};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Overrides by the name of their setting, and where they are.
const OVERRIDES: [(&str, &str); 9] = [
    ("first_message", "/agent/first_message"),
    ("language", "/agent/language"),
    ("prompt", "/agent/prompt/prompt"),
    ("llm", "/agent/prompt/llm"),
    ("voice_id", "/tts/voice_id"),
    ("speed", "/tts/speed"),
    ("stability", "/tts/stability"),
    ("similarity_boost", "/tts/similarity_boost"),
    ("text_only", "/conversation/text_only"),
];
/// The slowest and the fastest speech there is.
const SPEEDS: std::ops::RangeInclusive<f64> = 0.7..=1.2;

impl Core {
    pub(super) fn begin(&mut self, wanted: &Value, now: Instant) {
        self.phase = Phase::Open;
        self.reached(State::Initiating);
        let overrides = wanted.get("conversation_config_override").cloned().unwrap_or_default();
        if let Err((kind, message)) = self.check(&overrides, wanted.get("dynamic_variables")) {
            return self.fail(1008, kind, &message);
        }
        self.metadata();
        self.agenda.schedule(now + Duration::from_millis(self.house.script.ping_ms.max(100)), Task::Ping);
        let own = overrides.pointer("/agent/first_message").and_then(Value::as_str);
        // An empty one waits for the caller, whatever the agent's is.
        let greeting = match own {
            Some("") => None,
            own => self.house.script.greeting.clone().or_else(|| own.map(Reply::words)),
        };
        if let Some(greeting) = greeting {
            self.respond(greeting, State::Greeting, now);
        }
    }

    /// Type and words of what is wrong.
    fn check(&self, overrides: &Value, variables: Option<&Value>) -> Result<(), (&'static str, String)> {
        for (name, pointer) in OVERRIDES {
            if overrides.pointer(pointer).is_some() && !self.house.script.allowed.iter().any(|known| known == name) {
                return Err(("override_error", format!("Override for field '{name}' is not allowed by config.")));
            }
        }
        if overrides.pointer("/tts/speed").and_then(Value::as_f64).is_some_and(|speed| !SPEEDS.contains(&speed)) {
            return Err(("invalid_message", "Invalid value of field tts.speed".to_owned()));
        }
        let given = |name: &str| variables.is_some_and(|variables| variables.get(name).is_some());
        let missing: Vec<_> = self.house.script.variables.iter().filter(|name| !given(name)).collect();
        if !missing.is_empty() {
            return Err(("missing_dynamic_variable", format!("Missing required dynamic variables: {missing:?}")));
        }
        Ok(())
    }

    fn metadata(&mut self) {
        let script = &self.house.script;
        let mut event = json!({"conversation_id": self.conversation(), "agent_output_audio_format": script.output});
        if !script.input.is_empty() {
            event["user_input_audio_format"] = script.input.as_str().into();
        }
        let kind = "conversation_initiation_metadata";
        self.send(kind, &json!({"type": kind, "conversation_initiation_metadata_event": event}));
    }
}
