//! The agent's turns: delivered faster than they are played, over when they would have been heard, or interrupted.
use super::{Asked, Core};
use crate::lab::{
    elevenlabs::script::{Reply, State},
    script::{Say, ScriptedCall},
};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The turn in progress.
#[derive(Debug)]
pub(super) struct Active {
    /// What is still to be sent, and when.
    beats: VecDeque<(Instant, Beat)>,
    words: String,
    state: State,
    /// When its first audio was sent, if it was.
    since: Option<Instant>,
    lasts: Duration,
    /// What is said when it is over.
    waiting: VecDeque<Reply>,
}

#[derive(Debug)]
enum Beat {
    Words,
    Audio(Vec<u8>),
    Call(ScriptedCall, bool),
    Heard { hang_up: bool },
}

impl Core {
    /// When the turn in progress goes on.
    pub(super) fn next_beat(&self) -> Option<Instant> {
        self.active.as_ref()?.beats.front().map(|(at, _)| *at)
    }

    /// A new turn, in place of any other.
    pub(super) fn respond(&mut self, mut reply: Reply, state: State, now: Instant) {
        self.stop(now);
        reply.say = reply.say.map(|say| self.hearing.answer(&say).into_owned());
        let words = reply.say.as_ref().map(|say| reply.transcript.clone().unwrap_or_else(|| say.transcript()));
        let (beats, lasts) = self.plan(reply, now);
        let (words, waiting) = (words.unwrap_or_default(), VecDeque::new());
        self.active = Some(Active { beats, words, state, since: None, lasts, waiting });
    }

    /// A new turn when the one in progress is over.
    pub(super) fn respond_when_idle(&mut self, reply: Reply, now: Instant) {
        match &mut self.active {
            Some(active) => active.waiting.push_back(reply),
            None => self.respond(reply, State::Speaking, now),
        }
    }

    /// Everything a reply will send with its times, and how long it is heard.
    fn plan(&self, reply: Reply, now: Instant) -> (VecDeque<(Instant, Beat)>, Duration) {
        let script = &self.house.script;
        let first = now + Duration::from_millis(reply.first_audio_ms.unwrap_or(script.first_audio_ms));
        let (mut at, mut lasts, mut beats) = (first, Duration::ZERO, VecDeque::new());
        if let Some(say) = &reply.say {
            beats.push_back((at, Beat::Words));
            for (audio, duration) in self.chunks(say) {
                beats.push_back((at, Beat::Audio(audio)));
                at += duration.div_f64(script.burst.max(0.01));
                lasts += duration;
            }
        }
        beats.extend(reply.calls.into_iter().map(|call| (at, Beat::Call(call, reply.silent_calls))));
        beats.push_back((at.max(first + lasts), Beat::Heard { hang_up: reply.hang_up }));
        (beats, lasts)
    }

    /// Audio in pieces, and how long each lasts.
    fn chunks(&self, say: &Say) -> Vec<(Vec<u8>, Duration)> {
        let rate = self.output.rate();
        let samples = self.voice.render(say, rate);
        let chunk = rate.samples_in(Duration::from_millis(self.house.script.chunk_ms.max(10))).max(1);
        samples.chunks(chunk).map(|chunk| (self.output.encode(chunk), rate.duration_of(chunk.len()))).collect()
    }

    /// Sends what is due at this instant.
    pub(super) fn beat(&mut self, at: Instant) {
        let Some(active) = &mut self.active else { return };
        let Some((_, beat)) = active.beats.pop_front_if(|(due, _)| *due <= at) else { return };
        match beat {
            Beat::Words => self.words(at),
            Beat::Audio(audio) => {
                let event_id = self.event();
                self.audio_event(&audio, event_id);
            }
            Beat::Call(call, silent) => self.call(call, silent),
            Beat::Heard { hang_up } => self.heard(hang_up, at),
        }
    }

    /// They come once a turn, with its first audio.
    fn words(&mut self, at: Instant) {
        let Some(active) = &mut self.active else { return };
        active.since = Some(at);
        let (words, state) = (active.words.clone(), active.state);
        let event_id = self.event();
        let event = json!({"agent_response": words, "event_id": event_id});
        self.tell("agent_response", "agent_response_event", event);
        self.reached(state);
    }

    fn audio_event(&mut self, audio: &[u8], event_id: u64) {
        let data = base64_simd::STANDARD.encode_to_string(audio);
        self.tell("audio", "audio_event", json!({"audio_base_64": data, "event_id": event_id}));
    }

    fn call(&mut self, call: ScriptedCall, silent: bool) {
        let event_id = self.event();
        let id = format!("call_c{}_{event_id}", self.connection);
        let parameters = if call.arguments.is_null() { json!({}) } else { call.arguments };
        let event = json!({"tool_name": call.name, "tool_call_id": id, "parameters": parameters, "event_id": event_id});
        self.asked.push(Asked { id, silent });
        self.tell("client_tool_call", "client_tool_call", event);
        self.reached(State::Calling);
    }

    fn heard(&mut self, hang_up: bool, at: Instant) {
        let waiting = self.active.take().and_then(|mut active| active.waiting.pop_front());
        if hang_up {
            let event_id = self.event();
            let event: Value = json!({"tool_name": "end_call", "tool_call_id": format!("call_c{}_{event_id}",
                self.connection), "tool_type": "system", "is_error": false, "is_called": true, "event_id": event_id});
            self.tell("agent_tool_response", "agent_tool_response", event);
            return self.close(1000, "");
        }
        if let Some(reply) = waiting {
            self.respond(reply, State::Speaking, at);
        }
    }

    /// The caller speaks, or a text came: what is being said is over, and what was heard of it is told.
    pub(super) fn stop(&mut self, now: Instant) {
        let Some(active) = self.active.take() else { return };
        let Some(since) = active.since else { return };
        let stale = active.beats.into_iter().filter_map(|(_, beat)| match beat {
            Beat::Audio(audio) => Some(audio),
            Beat::Words | Beat::Call(..) | Beat::Heard { .. } => None,
        });
        // Their numbers are older than that of the interruption, and they come after it.
        let stale: Vec<_> = stale.take(self.house.script.stale_chunks).map(|audio| (self.event(), audio)).collect();
        let event_id = self.event();
        self.tell("interruption", "interruption_event", json!({ "event_id": event_id }));
        for (event_id, audio) in stale {
            self.audio_event(&audio, event_id);
        }
        let part = now.saturating_duration_since(since).div_duration_f64(active.lasts.max(Duration::from_millis(1)));
        let all: Vec<&str> = active.words.split_whitespace().collect();
        let count = (all.len() as f64 * part) as usize;
        let corrected = format!("{}...", all.get(..count).unwrap_or(&all).join(" "));
        let event_id = self.event();
        let event = json!({"original_agent_response": active.words, "corrected_agent_response": corrected,
            "event_id": event_id});
        self.tell("agent_response_correction", "agent_response_correction_event", event);
    }
}
