//! What the model says, and what the model behind it calls.
use super::{Core, Format, Phase};
use crate::lab::live::Reply;
use media::codec::g711;
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// A piece of speech.
#[derive(Debug)]
struct Piece {
    words: String,
    audio: Vec<u8>,
}

/// Speech in progress: what is still to be sent, and when.
#[derive(Debug, Default)]
pub(super) struct Speaking(VecDeque<(Instant, Piece)>);

impl Core {
    pub(super) fn next_beat(&self) -> Option<Instant> {
        self.speaking.as_ref()?.0.front().map(|(at, _)| *at)
    }

    /// Sends what is due at this instant.
    pub(super) fn beat(&mut self, at: Instant) {
        let Some(Speaking(pieces)) = &mut self.speaking else { return };
        let Some((_, Piece { words, audio })) = pieces.pop_front() else { return };
        if !words.is_empty() {
            let Phase::Open { since } = self.phase else { return };
            let start_ms = at.saturating_duration_since(since).as_millis() as u64;
            let end_ms = start_ms + self.script.delta_ms;
            let fields = json!({"delta": words, "start_ms": start_ms, "end_ms": end_ms});
            self.send("session.output_transcript.delta", fields);
        }
        self.send("session.output_audio.delta", json!({"delta": base64_simd::STANDARD.encode_to_string(&audio)}));
    }

    /// The client wants something said: the first time the greeting of the script.
    pub(super) fn say_for_client(&mut self, content: &str, now: Instant) {
        let greeting = self.script.greeting.clone().filter(|_| !self.greeted);
        self.greeted = true;
        let words = content.split_once('\n').map_or(content, |(_, words)| words);
        self.speak(&greeting.unwrap_or_else(|| Reply::words(words)), now);
    }

    /// What the script says next.
    pub(super) fn reply(&mut self, now: Instant) {
        let replies = &self.script.replies;
        let reply = replies.get(self.replies).or(replies.last()).cloned();
        self.replies += 1;
        self.speak(&reply.unwrap_or_else(|| Reply::words("I am a simulated model.")), now);
    }

    fn speak(&mut self, reply: &Reply, now: Instant) {
        let pieces = self.pieces(reply, now);
        // Whatever it was saying is over.
        self.speeches += 1;
        self.speaking = Some(Speaking(pieces));
        if !reply.calls.is_empty() {
            self.delegate(reply, now);
        }
    }

    fn pieces(&self, reply: &Reply, now: Instant) -> VecDeque<(Instant, Piece)> {
        let Some(say) = &reply.say else { return VecDeque::new() };
        let say = self.hearing.answer(say);
        let samples = self.voice.render(&say, self.rate());
        let (audio, bytes_per_ms) = match self.format {
            Format::G711(law) => (g711::encode(law, &samples), 8),
            Format::Pcm(rate) => {
                (samples.iter().flat_map(|sample| sample.to_le_bytes()).collect(), rate.hz() as usize / 500)
            }
        };
        let transcript = reply.transcript.clone().unwrap_or_else(|| say.transcript());
        let chunks: Vec<_> = audio.chunks((self.script.delta_ms.max(10) as usize) * bytes_per_ms).collect();
        let words: Vec<_> = transcript.split_inclusive(' ').collect();
        let mut words = words.chunks(words.len().div_ceil(chunks.len().max(1)).max(1)).map(|words| words.concat());
        let step = Duration::from_millis(self.script.delta_ms.max(10)).div_f64(self.script.burst.max(0.01));
        let mut at = now + Duration::from_millis(self.script.first_audio_ms);
        let mut pieces = VecDeque::new();
        for chunk in chunks {
            let words = words.next().unwrap_or_default();
            pieces.push_back((at, Piece { words, audio: chunk.to_vec() }));
            at += step;
        }
        pieces
    }

    /// The model behind it calls tools; it goes on with `response.create`.
    fn delegate(&mut self, reply: &Reply, now: Instant) {
        let Phase::Open { since } = self.phase else { return };
        let (delegation, response) = (self.id("dlg"), self.id("resp"));
        let offset_ms = now.saturating_duration_since(since).as_millis() as u64;
        let about = json!({"id": delegation, "target": "responses", "type": "delegation", "response_id": response});
        self.send("session.delegation.created", json!({"delegation": about, "offset_ms": offset_ms}));
        let event = |kind: &str, key: &str, value: Value| json!({"delegation_id": delegation, "event": {"type": kind, key: value}});
        self.send("response.event", event("response.created", "response", json!({"id": response})));
        for call in &reply.calls {
            let arguments = if call.arguments.is_null() { "{}".to_owned() } else { call.arguments.to_string() };
            let item = json!({"type": "function_call", "id": self.id("fc"), "call_id": self.id("call"),
                "name": call.name, "arguments": arguments, "status": "completed"});
            self.send("response.event", event("response.output_item.done", "item", item));
        }
        let usage = json!({"input_tokens": 120, "output_tokens": 15, "total_tokens": 135,
            "input_tokens_details": {"cached_tokens": 100}});
        let done = json!({"id": response, "usage": usage});
        self.send("response.event", event("response.completed", "response", done));
    }
}
