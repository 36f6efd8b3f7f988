//! The simulated server as the sockets see it.
use super::{core::Core, house::House};
use crate::lab::{
    server::{Answer, Departure, Frames, Simulated},
    voice::Voice,
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Instant};
use tokio_tungstenite::tungstenite::{handshake::server::Request, http::StatusCode};

const CONVERSATION: &str = "/v1/convai/conversation";
const SIGNING: &str = "/v1/convai/conversation/get-signed-url";
const RECORDS: &str = "/v1/convai/conversations/";

impl Simulated for Core {
    type Script = House;
    const PATH: &'static str = CONVERSATION;
    const FRAMES: Frames = Frames::Text;

    fn refusal(request: &Request, house: &House) -> Option<StatusCode> {
        if let Some(status) = house.script.faults.refuse_status {
            return Some(status_code(status));
        }
        if request.uri().path() != CONVERSATION {
            return Some(StatusCode::NOT_FOUND);
        }
        let signed = query(request, "conversation_signature").is_some_and(|signature| house.redeem(signature));
        let is_private = house.script.api_key.is_some();
        (is_private && !signed && !has_key(request, house)).then_some(StatusCode::FORBIDDEN)
    }

    fn answer(request: &Request, house: &House, base: &str, now: Instant) -> Answer {
        let path = request.uri().path();
        let record = path.strip_prefix(RECORDS);
        if path != SIGNING && record.is_none() {
            return failed(StatusCode::NOT_FOUND, "not_found", "Not Found");
        }
        if house.script.api_key.is_some() && !has_key(request, house) {
            return failed(StatusCode::UNAUTHORIZED, "invalid_api_key", "Invalid API key");
        }
        match record {
            Some(conversation) => match house.record(conversation, now) {
                Some(record) => Answer { status: StatusCode::OK, body: record },
                None => failed(StatusCode::NOT_FOUND, "conversation_not_found", "Conversation not found"),
            },
            None => sign(request, house, base),
        }
    }

    fn open(house: Arc<House>, voice: Arc<Voice>, number: u64, request: &Request, now: Instant) -> Self {
        Self::new(house, voice, number, query(request, "agent_id"), now)
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

fn sign(request: &Request, house: &House, base: &str) -> Answer {
    if let Some(status) = house.script.faults.sign_status {
        return failed(status_code(status), "refused", "As the script says");
    }
    let Some(agent) = query(request, "agent_id") else {
        return failed(StatusCode::UNPROCESSABLE_ENTITY, "missing", "Field required: agent_id");
    };
    let signature = house.sign();
    let url = format!("{base}{CONVERSATION}?agent_id={agent}&conversation_signature={signature}");
    Answer { status: StatusCode::OK, body: json!({ "signed_url": url }) }
}

fn failed(status: StatusCode, kind: &str, message: &str) -> Answer {
    let body: Value = json!({"detail": {"status": kind, "message": message}});
    Answer { status, body }
}

fn status_code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn has_key(request: &Request, house: &House) -> bool {
    let given = request.headers().get("xi-api-key").and_then(|value| value.to_str().ok());
    given.is_some() && given == house.script.api_key.as_deref()
}

fn query<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let mut pairs = request.uri().query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}
