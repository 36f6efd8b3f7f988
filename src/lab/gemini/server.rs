//! The simulated server as the sockets see it.
use super::{core::Core, script::Script};
use crate::lab::{
    server::{Departure, Frames, Simulated},
    voice::Voice,
};
use std::{sync::Arc, time::Instant};
use tokio_tungstenite::tungstenite::{handshake::server::Request, http::StatusCode};

const SERVICE: &str = "/ws/google.ai.generativelanguage.";
const METHOD: &str = ".GenerativeService.BidiGenerateContent";

impl Simulated for Core {
    type Script = Script;
    const PATH: &'static str = "";
    const FRAMES: Frames = Frames::Binary;

    fn refusal(request: &Request, script: &Script) -> Option<StatusCode> {
        if let Some(status) = script.faults.refuse_status {
            return Some(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
        }
        let version = request.uri().path().strip_prefix(SERVICE).and_then(|rest| rest.strip_suffix(METHOD));
        if !matches!(version, Some("v1" | "v1beta" | "v1alpha")) {
            return Some(StatusCode::NOT_FOUND);
        }
        let header = request.headers().get("x-goog-api-key").and_then(|value| value.to_str().ok());
        let pairs = request.uri().query().unwrap_or_default().split('&');
        let given = header.or_else(|| pairs.filter_map(|pair| pair.strip_prefix("key=")).next());
        match (given, script.api_key.as_deref()) {
            (None, _) => Some(StatusCode::FORBIDDEN),
            (Some(given), Some(wanted)) if given != wanted => Some(StatusCode::BAD_REQUEST),
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
