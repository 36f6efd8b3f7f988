//! The model's turns: delivered faster than they are played, ended when they would have been heard, or interrupted.
use super::Core;
use crate::lab::{
    gemini::script::Reply,
    script::{Say, ScriptedCall},
};
use media::SampleRate;
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// What it speaks.
const RATE: SampleRate = SampleRate::HZ_24000;
/// Audio is 25 tokens a second.
const MS_PER_TOKEN: u64 = 40;
/// Of the system's instruction and all else.
const TEXT_TOKENS: u64 = 300;

/// The turn in progress.
#[derive(Debug)]
pub(super) struct Active {
    /// What is still to be sent, and when.
    beats: VecDeque<(Instant, Beat)>,
    spoken_ms: u64,
}

#[derive(Debug)]
enum Beat {
    Part { words: String, audio: Vec<u8>, ms: u64 },
    Call(ScriptedCall),
    Generated,
    Complete,
}

impl Core {
    /// When the turn in progress goes on.
    pub(super) fn next_beat(&self) -> Option<Instant> {
        self.active.as_ref()?.beats.front().map(|(at, _)| *at)
    }

    /// A new turn, in place of any other.
    pub(super) fn respond(&mut self, reply: Reply, now: Instant) {
        let silent = self.faults().is_some_and(|faults| faults.silent_after_interruption);
        if silent && self.interruptions > 0 {
            return;
        }
        self.stop(now);
        self.waiting.clear();
        let beats = self.plan(reply, now);
        self.active = Some(Active { beats, spoken_ms: 0 });
    }

    /// A new turn when the one in progress is over.
    pub(super) fn respond_when_idle(&mut self, reply: Reply, now: Instant) {
        if self.active.is_some() {
            self.waiting.push_back(reply);
        } else {
            self.respond(reply, now);
        }
    }

    /// Everything a reply will send, with its times.
    fn plan(&self, reply: Reply, now: Instant) -> VecDeque<(Instant, Beat)> {
        let mut beats = VecDeque::new();
        let first = now + Duration::from_millis(reply.first_audio_ms.unwrap_or(self.script.first_audio_ms));
        let (mut at, mut heard_at) = (first, first);
        if let Some(say) = &reply.say {
            let say = self.hearing.answer(say);
            let transcript = reply.transcript.clone().unwrap_or_else(|| say.transcript());
            for (words, audio, ms) in self.parts(&say, &transcript) {
                let lasts = Duration::from_millis(ms);
                beats.push_back((at, Beat::Part { words, audio, ms }));
                at += lasts.div_f64(self.script.burst.max(0.01));
                heard_at += lasts;
            }
        }
        beats.extend(reply.calls.into_iter().map(|call| (at, Beat::Call(call))));
        beats.push_back((at, Beat::Generated));
        beats.push_back((at.max(heard_at), Beat::Complete));
        beats
    }

    /// Words, audio and milliseconds of each part.
    fn parts(&self, say: &Say, transcript: &str) -> Vec<(String, Vec<u8>, u64)> {
        let samples = self.voice.render(say, RATE);
        let part_ms = self.script.part_ms.max(10);
        let chunks: Vec<_> = samples.chunks(RATE.samples_in(Duration::from_millis(part_ms))).collect();
        let words: Vec<_> = transcript.split_inclusive(' ').collect();
        let mut words = words.chunks(words.len().div_ceil(chunks.len().max(1)).max(1)).map(|words| words.concat());
        let bytes = |chunk: &[i16]| chunk.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let ms = |chunk: &[i16]| u64::try_from(RATE.duration_of(chunk.len()).as_millis()).unwrap_or_default();
        chunks.into_iter().map(|chunk| (words.next().unwrap_or_default(), bytes(chunk), ms(chunk))).collect()
    }

    /// Sends what is due at this instant.
    pub(super) fn beat(&mut self, at: Instant) {
        let Some(active) = &mut self.active else { return };
        let Some((_, beat)) = active.beats.pop_front_if(|(due, _)| *due <= at) else { return };
        match beat {
            Beat::Part { words, audio, ms } => self.part(&words, &audio, ms),
            Beat::Call(call) => self.call(call),
            Beat::Generated => self.send("serverContent", json!({"generationComplete": true})),
            Beat::Complete => self.complete(at),
        }
    }

    fn part(&mut self, words: &str, audio: &[u8], ms: u64) {
        if let Some(active) = &mut self.active {
            active.spoken_ms += ms;
        }
        let data = base64_simd::STANDARD.encode_to_string(audio);
        let inline = json!({"mimeType": format!("audio/pcm;rate={}", RATE.hz()), "data": data});
        let turn = json!({"role": "model", "parts": [{"inlineData": inline}]});
        self.send("serverContent", json!({ "modelTurn": turn }));
        if !words.is_empty() {
            self.send("serverContent", json!({"outputTranscription": {"text": words}}));
        }
    }

    fn call(&mut self, call: ScriptedCall) {
        self.ids += 1;
        let id = format!("call_c{}_{}", self.connection, self.ids);
        self.calls.push(id.clone());
        let args = if call.arguments.is_null() { json!({}) } else { call.arguments };
        self.send("toolCall", json!({"functionCalls": [{"id": id, "name": call.name, "args": args}]}));
        self.offer_handle();
    }

    fn complete(&mut self, now: Instant) {
        let Some(active) = self.active.take() else { return };
        let said = active.spoken_ms / MS_PER_TOKEN;
        let heard = self.hearing.heard_ms() / MS_PER_TOKEN;
        let count = |modality: &str, count: u64| json!({"modality": modality, "tokenCount": count});
        let usage = json!({
            "promptTokenCount": TEXT_TOKENS + heard, "responseTokenCount": said,
            "totalTokenCount": TEXT_TOKENS + heard + said,
            "promptTokensDetails": [count("TEXT", TEXT_TOKENS), count("AUDIO", heard)],
            "responseTokensDetails": [count("AUDIO", said)],
        });
        let parts: [(&str, Value); 2] = [("serverContent", json!({"turnComplete": true})), ("usageMetadata", usage)];
        self.send_all("serverContent", parts);
        self.offer_handle();
        if let Some(reply) = self.waiting.pop_front() {
            self.respond(reply, now);
        }
    }

    /// The caller speaks, or a text came: what is being said is over.
    pub(super) fn stop(&mut self, now: Instant) {
        if self.active.is_none() {
            return;
        }
        self.interruptions += 1;
        self.waiting.clear();
        self.send("serverContent", json!({"interrupted": true}));
        for _ in 0..self.script.stale_parts {
            let Some(active) = &mut self.active else { return };
            let part = active.beats.pop_front_if(|(_, beat)| matches!(beat, Beat::Part { .. }));
            if let Some((_, Beat::Part { words, audio, ms })) = part {
                self.part(&words, &audio, ms);
            }
        }
        if !self.calls.is_empty() {
            let ids = std::mem::take(&mut self.calls);
            self.send("toolCallCancellation", json!({ "ids": ids }));
        }
        self.complete(now);
    }
}
