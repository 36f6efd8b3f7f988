//! A caller who says nothing: `idle_timeout_ms`.
use super::{Core, Task};
use crate::lab::openai::Reply;
use serde_json::json;
use std::time::{Duration, Instant};

impl Core {
    /// A response of this much audio was completed: the caller has that long, and the idle timeout, to say something.
    pub(super) fn await_caller(&mut self, spoken_ms: u64, now: Instant) {
        if let Some(idle_ms) = self.settings.idle_timeout_ms() {
            let at = now + Duration::from_millis(spoken_ms + idle_ms);
            self.schedule(at, Task::Idle(self.stirred));
        }
    }

    /// The time is over: a silence becomes an item, and a response follows.
    pub(super) fn idle(&mut self, stirred: u64, now: Instant) {
        if self.stirred != stirred || self.is_responding() {
            return;
        }
        let item_id = self.id("item");
        let heard_ms = self.hearing.heard_ms();
        let fields = json!({"audio_start_ms": heard_ms.saturating_sub(6_000), "audio_end_ms": heard_ms,
            "item_id": item_id});
        self.send("input_audio_buffer.timeout_triggered", fields);
        self.turn_item = Some(item_id);
        self.commit(0, now);
        let reply = self.script.idle.clone().unwrap_or_else(|| Reply::words("Are you still there?"));
        self.respond(reply, now);
    }
}
