//! The simulated server as the sockets see it.
use super::{
    core::{Core, Handshake},
    script::Script,
};
use crate::lab::{
    server::{Departure, Frames, Simulated},
    voice::Voice,
};
use std::{sync::Arc, time::Instant};
use tokio_tungstenite::tungstenite::{handshake::server::Request, http::StatusCode};

impl Simulated for Core {
    type Script = Script;
    const PATH: &'static str = "/v1/realtime";
    const FRAMES: Frames = Frames::Text;

    fn refusal(request: &Request, script: &Script) -> Option<StatusCode> {
        if let Some(status) = script.faults.refuse_status {
            return Some(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
        }
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        let bearer = header("Authorization").and_then(|value| value.strip_prefix("Bearer "));
        let given = match request.uri().path() {
            // Azure's v1 surface, which takes either.
            "/openai/v1/realtime" => header("api-key").or(bearer),
            path if path.starts_with("/openai/") => return Some(StatusCode::NOT_FOUND),
            _ => bearer,
        };
        match (given, script.api_key.as_deref()) {
            (None, _) => Some(StatusCode::UNAUTHORIZED),
            (Some(given), Some(wanted)) if given != wanted => Some(StatusCode::UNAUTHORIZED),
            (Some(_), _) => None,
        }
    }

    fn open(script: Arc<Script>, voice: Arc<Voice>, number: u64, request: &Request, now: Instant) -> Self {
        let pairs = request.uri().query().unwrap_or_default().split('&');
        let model = pairs.filter_map(|pair| pair.strip_prefix("model=")).next().map(str::to_owned);
        let handshake = Handshake { model, beta: request.headers().contains_key("OpenAI-Beta") };
        Self::new(script, voice, number, &handshake, now)
    }

    fn handle_text(&mut self, text: &str, now: Instant) {
        self.handle_text(text, now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        self.poll_timeout()
    }

    fn poll_departure(&mut self) -> Option<Departure> {
        self.poll_departure()
    }
}
