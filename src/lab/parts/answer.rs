//! Requests, and what comes back: which service is meant, whether it is the caller's to use, and what goes wrong.
use super::{
    mind,
    script::{PartFault, Script},
    transcripts, voices,
};
use crate::lab::voice::Voice;
use providers::{HttpRequest, Method};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

/// What answers a request: pieces of a body, each at its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// 100–599.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// The body. The head is sent with the first piece, or at once where there is none.
    pub pieces: Vec<(Instant, Vec<u8>)>,
    /// Whether the body ends with its last piece; if not, it never does.
    pub complete: bool,
}

impl Answer {
    /// JSON, at this time.
    pub(super) fn json(status: u16, body: &Value, at: Instant) -> Self {
        let pieces = vec![(at, body.to_string().into_bytes())];
        Self { status, content_type: "application/json", pieces, complete: true }
    }

    /// Nothing, for ever.
    fn silence() -> Self {
        Self { status: 200, content_type: "text/plain", pieces: Vec::new(), complete: false }
    }
}

/// A part of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Stt,
    Llm,
    Tts,
}

/// Whose manners a refusal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vendor {
    OpenAi,
    Deepgram,
    ElevenLabs,
    Piper,
}

/// All services, and what they remember of one another's conversations: how often they were asked.
#[derive(Debug)]
pub struct House {
    pub(super) script: Script,
    pub(super) voice: Arc<Voice>,
    asked: [AtomicU64; 3],
    pub(super) transcribed: AtomicU64,
}

impl House {
    /// Services that say what the script says.
    pub fn new(script: Script, voice: Arc<Voice>) -> Self {
        Self { script, voice, asked: Default::default(), transcribed: AtomicU64::new(0) }
    }

    /// How a part fails this time, if it does.
    pub(super) fn fault(&self, part: Part) -> Option<&PartFault> {
        let (index, fault) = match part {
            Part::Stt => (0, &self.script.faults.stt),
            Part::Llm => (1, &self.script.faults.llm),
            Part::Tts => (2, &self.script.faults.tts),
        };
        let asked = self.asked.get(index).map_or(0, |asked| asked.fetch_add(1, Ordering::Relaxed));
        let fails = fault.first == 0 || asked < fault.first;
        (fails && *fault != PartFault::default()).then_some(fault)
    }

    /// Whether these headers hold the key.
    pub(super) fn knows(&self, headers: &[(String, String)]) -> bool {
        let Some(wanted) = &self.script.api_key else { return true };
        let given = headers.iter().find_map(|(name, value)| match name.to_ascii_lowercase().as_str() {
            "authorization" => value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("Token ")),
            "xi-api-key" => Some(value.as_str()),
            _ => None,
        });
        given == Some(wanted.as_str())
    }

    /// Answers a request whose URL may be whole or begin with its path.
    pub fn answer(&self, request: &HttpRequest, now: Instant) -> Answer {
        let url = request
            .url
            .split_once("://")
            .map_or(request.url.as_str(), |(_, rest)| rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"));
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let (path, voiced) = (path.trim_end_matches('/'), path.contains("/text-to-speech/"));
        let vendor = match path {
            "/v1/speak" | "/v1/projects" => Vendor::Deepgram,
            "/synthesize" | "/voices" | "" => Vendor::Piper,
            _ if voiced || request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("xi-api-key")) => {
                Vendor::ElevenLabs
            }
            _ => Vendor::OpenAi,
        };
        if vendor != Vendor::Piper && !self.knows(&request.headers) {
            return refusal(vendor, 401, "invalid_api_key", now);
        }
        let part = match (request.method, path) {
            (Method::Get, _) => return present(vendor, path, now),
            (Method::Post, _) if path.ends_with("/chat/completions") => Part::Llm,
            (Method::Post, _) if path.ends_with("/audio/transcriptions") => Part::Stt,
            (Method::Post, "/v1/speak" | "/synthesize") => Part::Tts,
            (Method::Post, _) if path.ends_with("/audio/speech") || voiced => Part::Tts,
            (Method::Post, _) => return refusal(vendor, 404, "not_found", now),
        };
        if let Some(fault) = self.fault(part) {
            if let Some(status) = fault.status {
                return refusal(vendor, status, fault.code.as_deref().unwrap_or("server_error"), now);
            }
            if fault.mute {
                return Answer::silence();
            }
        }
        let answer = match part {
            Part::Llm => mind::answer(self, &request.body, now),
            Part::Stt => transcripts::answer(self, request, now),
            Part::Tts => voices::answer(self, vendor, (path, query), &request.body, now),
        };
        answer.unwrap_or_else(|why| refusal(vendor, 400, &why, now))
    }
}

/// A GET that asks whether somebody is there.
fn present(vendor: Vendor, path: &str, now: Instant) -> Answer {
    let body = match vendor {
        Vendor::OpenAi if path.ends_with("/models") => json!({"object": "list", "data": []}),
        Vendor::Deepgram => json!({"projects": []}),
        Vendor::ElevenLabs => json!([]),
        Vendor::Piper => json!({}),
        Vendor::OpenAi => return refusal(vendor, 404, "not_found", now),
    };
    Answer::json(200, &body, now)
}

/// A refusal as this vendor words it.
pub(super) fn refusal(vendor: Vendor, status: u16, code: &str, now: Instant) -> Answer {
    let message = format!("The simulator refuses this: {code}");
    let body = match vendor {
        Vendor::OpenAi => {
            let kind = if status == 429 { "requests" } else { "invalid_request_error" };
            json!({"error": {"message": message, "type": kind, "code": code, "param": null}})
        }
        Vendor::Deepgram => json!({"err_code": code, "err_msg": message, "request_id": "lab"}),
        Vendor::ElevenLabs => json!({"detail": {"status": code, "message": message}}),
        Vendor::Piper => json!({"error": message}),
    };
    Answer::json(status, &body, now)
}
