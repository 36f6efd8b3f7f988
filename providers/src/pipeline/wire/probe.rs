//! Asks every service of a conversation for something that costs nothing, while the phone rings: whether it is there, and
//! whether it knows our key. The connections stay open for what follows.
use super::{bearer, method, token};
use crate::{
    HttpRequest, Method,
    pipeline::{Config, Credentials, Hearing, Voice},
};

/// One request a service, however many parts it is.
pub(in crate::pipeline) fn requests(config: &Config) -> Vec<HttpRequest> {
    let openai = |at: &Credentials| get(method(at, "/models"), bearer(at));
    let hearing = match &config.hearing {
        // Its socket is opened beside: that says it.
        Hearing::Nova { .. } | Hearing::Flux { .. } | Hearing::Engine => None,
        Hearing::Transcriptions { at, .. } => Some(openai(at)),
    };
    let voice = match &config.voice {
        Voice::Speech { at, .. } => Some(openai(at)),
        Voice::Aura { at, .. } => Some(get(method(at, "/v1/projects"), token(at))),
        Voice::ElevenLabs { at, .. } => {
            let key = at.api_key.as_ref().map(|key| ("xi-api-key".to_owned(), key.clone()));
            Some(get(method(at, "/v1/models"), key))
        }
        Voice::Piper { at, .. } => Some(get(method(at, "/voices"), None)),
        Voice::Engine => None,
    };
    let mut requests = vec![openai(&config.chat.at)];
    for request in hearing.into_iter().chain(voice) {
        if !requests.contains(&request) {
            requests.push(request);
        }
    }
    requests
}

/// Whether a status says that a conversation with this service would fail. A key may be good for speech and not for a
/// list of models, and a small server may have no such list.
pub(in crate::pipeline) fn is_hopeless(status: u16, body: &[u8]) -> bool {
    let narrow = String::from_utf8_lossy(body).contains("missing_permissions");
    match status {
        401 => !narrow,
        402 | 500.. => true,
        _ => false,
    }
}

fn get(url: String, key: Option<(String, String)>) -> HttpRequest {
    HttpRequest { method: Method::Get, url, headers: key.into_iter().collect(), body: Vec::new() }
}
