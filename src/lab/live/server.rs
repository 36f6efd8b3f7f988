//! The simulated server as the sockets see it.
use super::{core::Core, script::Script};
use crate::lab::{
    server::{Departure, Frames, Simulated},
    voice::Voice,
};
use std::{sync::Arc, time::Instant};
use tokio_tungstenite::tungstenite::{handshake::server::Request, http::StatusCode};

impl Simulated for Core {
    type Script = Script;
    const PATH: &'static str = "/v1/live/sessions";
    const FRAMES: Frames = Frames::Text;

    fn refusal(request: &Request, script: &Script) -> Option<StatusCode> {
        if let Some(status) = script.faults.refuse_status {
            return Some(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
        }
        if request.uri().path() != Self::PATH || request.uri().query().is_some() {
            return Some(StatusCode::NOT_FOUND);
        }
        let given = request.headers().get("Authorization").and_then(|value| value.to_str().ok());
        match (given.and_then(|value| value.strip_prefix("Bearer ")), script.api_key.as_deref()) {
            (None, _) => Some(StatusCode::UNAUTHORIZED),
            (Some(given), Some(wanted)) if given != wanted => Some(StatusCode::UNAUTHORIZED),
            (Some(_), _) => None,
        }
    }

    fn open(script: Arc<Script>, voice: Arc<Voice>, number: u64, _request: &Request, now: Instant) -> Self {
        Self::new(script, voice, number, now)
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
