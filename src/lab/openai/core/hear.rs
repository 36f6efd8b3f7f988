//! The caller's audio: turns, their items and their transcripts.
use super::{Core, Task};
use crate::lab::hearing::{Detection, Noticed};
use serde_json::json;
use std::time::{Duration, Instant};

/// The least a client may commit.
const LEAST_COMMIT_MS: u64 = 100;
/// One token is 100 ms of the caller.
const MS_PER_TOKEN: u64 = 100;

impl Core {
    pub(super) fn append(&mut self, audio: &str, event_id: Option<&str>, now: Instant) {
        let Ok(bytes) = base64_simd::STANDARD.decode_to_vec(audio.as_bytes()) else {
            let words = "Invalid 'audio'. Expected base64-encoded audio bytes.";
            return self.error("invalid_value", words, event_id, Some("audio"));
        };
        let format = self.settings.input();
        let detection = self.settings.detection();
        let samples = format.decode(&bytes);
        for noticed in self.hearing.hear(&samples, format.rate().hz(), detection) {
            if let Some(detection) = detection {
                self.noticed(noticed, detection, now);
            }
        }
    }

    fn noticed(&mut self, noticed: Noticed, detection: Detection, now: Instant) {
        match noticed {
            Noticed::Started { audio_start_ms } => {
                self.stirred += 1;
                let item_id = self.id("item");
                self.turn_item = Some(item_id.clone());
                let fields = json!({"audio_start_ms": audio_start_ms, "item_id": item_id});
                self.send("input_audio_buffer.speech_started", fields);
                if detection.interrupt {
                    self.cancel_for_speech();
                }
            }
            Noticed::Stopped { audio_end_ms, speech_ms } => {
                let item_id = self.turn_item.clone().unwrap_or_default();
                let fields = json!({"audio_end_ms": audio_end_ms, "item_id": item_id});
                self.send("input_audio_buffer.speech_stopped", fields);
                self.commit(speech_ms, now);
                if detection.create {
                    self.respond_by_itself(now);
                }
            }
        }
    }

    pub(super) fn commit_by_client(&mut self, event_id: Option<&str>, now: Instant) {
        let buffered_ms = self.hearing.buffered_ms();
        if buffered_ms < LEAST_COMMIT_MS {
            let words = format!(
                "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, but buffer \
                 only has {buffered_ms}.00ms of audio."
            );
            return self.error("input_audio_buffer_commit_empty", &words, event_id, None);
        }
        self.commit(buffered_ms, now);
    }

    pub(super) fn clear(&mut self) {
        self.hearing.clear();
        self.send("input_audio_buffer.cleared", json!({}));
    }

    pub(super) fn commit(&mut self, speech_ms: u64, now: Instant) {
        let item_id = match self.turn_item.take() {
            Some(item_id) => item_id,
            None => self.id("item"),
        };
        self.hearing.clear();
        self.send("input_audio_buffer.committed", json!({"item_id": item_id, "previous_item_id": null}));
        let item = json!({"id": item_id, "object": "realtime.item", "type": "message", "status": "completed",
            "role": "user", "content": [{"type": "input_audio", "transcript": null}]});
        self.add_item(item.clone());
        self.finish_item(&item);
        let scripted = self.script.caller.get(self.turns).cloned();
        self.turns += 1;
        if self.settings.transcription_model().is_some() {
            let text = scripted.unwrap_or_else(|| format!("[{speech_ms} ms of speech]"));
            let at = now + Duration::from_millis(self.script.transcription_ms);
            self.schedule(at, Task::Transcribe { item_id, text, speech_ms });
        }
    }

    pub(super) fn transcribed(&mut self, item_id: &str, text: &str, speech_ms: u64) {
        let by_time = self.settings.transcription_model() == Some("whisper-1");
        let usage = if by_time {
            json!({"type": "duration", "seconds": speech_ms as f64 / 1_000.0})
        } else {
            let (heard, written) = (speech_ms.div_ceil(MS_PER_TOKEN), text.len() as u64 / 4 + 1);
            json!({"type": "tokens", "input_tokens": heard, "output_tokens": written, "total_tokens": heard + written,
                "input_token_details": {"audio_tokens": heard, "text_tokens": 0}})
        };
        let kind = "conversation.item.input_audio_transcription";
        let delta = json!({"item_id": item_id, "content_index": 0, "delta": text});
        self.send(&format!("{kind}.delta"), delta);
        let done = json!({"item_id": item_id, "content_index": 0, "transcript": text, "usage": usage});
        self.send(&format!("{kind}.completed"), done);
    }
}
