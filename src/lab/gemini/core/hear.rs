//! What the client sends: the caller's audio, texts, and answers of tools.
use super::{Core, Task};
use crate::lab::{gemini::script::Reply, hearing::Noticed};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

impl Core {
    pub(super) fn realtime_input(&mut self, input: &Value, now: Instant) {
        if input.get("mediaChunks").is_some() {
            let words = "realtime_input.media_chunks is deprecated. Use audio, video, or text instead.";
            return self.close(1007, words);
        }
        if let Some(words) = input.get("text").and_then(Value::as_str) {
            self.stop(now);
            let reply = self.reply_to(words);
            return self.respond(reply, now);
        }
        let Some(audio) = input.get("audio") else { return };
        let word = |key: &str| audio.get(key).and_then(Value::as_str).unwrap_or_default();
        let rate = word("mimeType").strip_prefix("audio/pcm;rate=").and_then(|rate| rate.parse().ok());
        let bytes = base64_simd::STANDARD.decode_to_vec(word("data").as_bytes());
        let (Some(rate @ 8_000..=48_000), Ok(bytes)) = (rate, bytes) else {
            return self.close(1007, "Request contains an invalid argument.");
        };
        let samples: Vec<i16> = bytes.as_chunks().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
        for noticed in self.hearing.hear(&samples, rate, self.detection) {
            self.noticed(noticed, now);
        }
    }

    fn noticed(&mut self, noticed: Noticed, now: Instant) {
        match noticed {
            Noticed::Started { .. } => self.stop(now),
            Noticed::Stopped { speech_ms, .. } => {
                let said = self.script.caller.get(self.progress.turns).cloned();
                self.progress.turns += 1;
                let text = said.unwrap_or_else(|| format!("[{speech_ms} ms of speech]"));
                let after = Duration::from_millis(self.script.transcription_ms);
                self.agenda.schedule(now + after, Task::Transcribe(text));
                let reply = self.next_reply();
                self.respond(reply, now);
            }
        }
    }

    /// In two pieces, as words are recognised.
    pub(super) fn transcribed(&mut self, text: &str) {
        let middle = text.char_indices().map(|(at, _)| at).nth(text.chars().count() / 2).unwrap_or(0);
        let (first, second) = text.split_at_checked(middle).unwrap_or((text, ""));
        for piece in [first, second].into_iter().filter(|piece| !piece.is_empty()) {
            self.send("serverContent", json!({"inputTranscription": {"text": piece}}));
        }
    }

    fn reply_to(&mut self, words: &str) -> Reply {
        let told = words.split_once('\n').map(|(_, words)| words);
        let first = self.progress.greetings == 0 && self.progress.replies == 0;
        self.progress.greetings += 1;
        match (first.then(|| self.script.greeting.clone()).flatten(), told) {
            (Some(greeting), _) => greeting,
            (None, Some(words)) => Reply::words(words),
            (None, None) => self.next_reply(),
        }
    }

    fn next_reply(&mut self) -> Reply {
        let replies = &self.script.replies;
        let reply = replies.get(self.progress.replies).or(replies.last()).cloned();
        self.progress.replies += 1;
        reply.unwrap_or_else(|| Reply::words("I am a simulated model. I have nothing to say."))
    }

    /// Interrupts, whoever speaks; the turns are only counted.
    pub(super) fn client_content(&mut self, content: &Value, now: Instant) {
        self.stop(now);
        if content.get("turnComplete") == Some(&Value::Bool(true)) {
            let reply = self.next_reply();
            self.respond(reply, now);
        }
    }

    pub(super) fn tool_response(&mut self, response: &Value, now: Instant) {
        let answers = response.get("functionResponses").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut speak = false;
        for answer in answers {
            let word = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default();
            let Some(index) = self.calls.iter().position(|call| call == word("id")) else {
                return self.close(1008, "Requested entity was not found.");
            };
            self.calls.remove(index);
            speak |= word("scheduling") != "SILENT";
        }
        if self.calls.is_empty() {
            self.offer_handle();
            if speak {
                let reply = self.next_reply();
                self.respond_when_idle(reply, now);
            }
        }
    }
}
