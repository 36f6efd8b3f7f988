//! What the client sends: the caller's audio, texts, and results of tools.
use super::{Core, Task};
use crate::lab::{
    elevenlabs::script::{Reply, State},
    hearing::{Detection, Noticed},
};
use serde_json::json;
use std::time::{Duration, Instant};

impl Core {
    pub(super) fn audio(&mut self, base64: &str, now: Instant) {
        let Ok(bytes) = base64_simd::STANDARD.decode_to_vec(base64.as_bytes()) else {
            return self.fail(1008, "invalid_message", "Invalid base64 in user_audio_chunk");
        };
        let detection = Detection {
            threshold: 0.5,
            prefix_ms: 0,
            silence_ms: self.house.script.silence_ms,
            create: true,
            interrupt: true,
        };
        let rate = self.input.rate().hz();
        for noticed in self.hearing.hear(&self.input.decode(&bytes), rate, Some(detection)) {
            self.noticed(noticed, now);
        }
    }

    fn noticed(&mut self, noticed: Noticed, now: Instant) {
        match noticed {
            Noticed::Started { .. } => {
                self.tell("vad_score", "vad_score_event", json!({"vad_score": 0.95}));
                self.stop(now);
                self.reached(State::Listening);
            }
            Noticed::Stopped { speech_ms, .. } => {
                self.tell("vad_score", "vad_score_event", json!({"vad_score": 0.02}));
                let said = self.house.script.caller.get(self.progress.turns).cloned();
                self.progress.turns += 1;
                let text = said.unwrap_or_else(|| format!("[{speech_ms} ms of speech]"));
                let after = Duration::from_millis(self.house.script.transcription_ms);
                self.agenda.schedule(now + after, Task::Transcribe(text));
                let reply = self.next_reply();
                self.respond(reply, State::Speaking, now);
                self.reached(State::Thinking);
            }
        }
    }

    pub(super) fn transcribed(&mut self, text: &str, _now: Instant) {
        let event_id = self.event();
        let event = json!({"user_transcript": text, "event_id": event_id});
        self.tell("user_transcript", "user_transcription_event", event);
    }

    /// Answered like speech.
    pub(super) fn user_message(&mut self, now: Instant) {
        self.stop(now);
        let reply = self.next_reply();
        self.respond(reply, State::Speaking, now);
    }

    fn next_reply(&mut self) -> Reply {
        let replies = &self.house.script.replies;
        let reply = replies.get(self.progress.replies).or(replies.last()).cloned();
        self.progress.replies += 1;
        reply.unwrap_or_else(|| Reply::words("I am a simulated agent. I have nothing to say."))
    }

    pub(super) fn tool_result(&mut self, id: &str, now: Instant) {
        let Some(index) = self.asked.iter().position(|asked| asked.id == id) else {
            return self.fail(1008, "invalid_message", "No client tool call has this tool_call_id");
        };
        let asked = self.asked.remove(index);
        if self.asked.is_empty() && !asked.silent {
            let reply = self.next_reply();
            self.respond_when_idle(reply, now);
        }
    }
}
