//! One turn, uploaded and written down.
use super::{bearer, method, post};
use crate::{
    HttpRequest,
    pipeline::{Credentials, sound},
};
use media::Frame;
use serde::Deserialize;

/// What a WAV file of speech cannot contain by accident: it begins a line, and lines are not what samples have.
const BOUNDARY: &str = "ramal-7d6a31c0f1b24e5f9a60";

/// Asks for the words of a turn.
pub(in crate::pipeline) fn request(
    at: &Credentials,
    model: &str,
    language: Option<&str>,
    speech: &Frame,
) -> HttpRequest {
    let primary = language.and_then(|tag| tag.split(['-', '_']).next()).map(str::to_ascii_lowercase);
    let fields = [("model", Some(model)), ("response_format", Some("json")), ("language", primary.as_deref())];
    let mut body = Vec::new();
    for (name, value) in fields {
        let Some(value) = value else { continue };
        // A value of ours with a line break would end its field.
        let value = value.replace(['\r', '\n'], " ");
        let disposition = format!("Content-Disposition: form-data; name=\"{name}\"");
        body.extend(format!("--{BOUNDARY}\r\n{disposition}\r\n\r\n{value}\r\n").bytes());
    }
    let disposition = "Content-Disposition: form-data; name=\"file\"; filename=\"turn.wav\"";
    body.extend(format!("--{BOUNDARY}\r\n{disposition}\r\nContent-Type: audio/wav\r\n\r\n").bytes());
    body.extend(sound::wav(speech));
    body.extend(format!("\r\n--{BOUNDARY}--\r\n").bytes());
    let kind = ("Content-Type".to_owned(), format!("multipart/form-data; boundary={BOUNDARY}"));
    let headers = bearer(at).into_iter().chain([kind]).collect();
    post(method(at, "/audio/transcriptions"), headers, body)
}

#[derive(Deserialize)]
struct Transcription {
    text: String,
}

/// The words in an answer; `None` if it is none.
pub(in crate::pipeline) fn words(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<Transcription>(body).ok().map(|answer| answer.text.trim().to_owned())
}
