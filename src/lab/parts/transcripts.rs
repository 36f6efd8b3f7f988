//! A turn, uploaded and written down.
use super::answer::{Answer, House};
use crate::lab::hearing::{Detection, Hearing};
use media::{Frame, SampleRate};
use providers::HttpRequest;
use serde_json::json;
use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

/// The words of an upload.
///
/// # Errors
/// What is wrong with it.
pub(super) fn answer(house: &House, request: &HttpRequest, now: Instant) -> Result<Answer, String> {
    let kind = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let boundary = kind.and_then(|(_, kind)| kind.strip_prefix("multipart/form-data; boundary="));
    let boundary = boundary.ok_or("the body is not multipart/form-data")?;
    let (mut file, mut model) = (None, None);
    for field in fields(&request.body, &format!("--{boundary}")) {
        let Some(head) = find(field, b"\r\n\r\n") else { continue };
        let (head, value) = (String::from_utf8_lossy(&field[..head]), &field[head + 4..]);
        if head.contains("name=\"file\"; filename=") {
            file = Some(value);
        } else if head.contains("name=\"model\"") {
            model = Some(value);
        }
    }
    if model.is_none_or(<[u8]>::is_empty) {
        return Err("you must provide a model parameter".into());
    }
    let file = file.ok_or("'file' is a required property")?;
    let speech = wav(file).ok_or("Invalid file format.")?;
    let lasts = speech.rate.duration_of(speech.samples.len());
    let turn = usize::try_from(house.transcribed.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX);
    let text = house.script.words(turn, lasts, pitch_hz(&speech));
    let usage = json!({"type": "duration", "seconds": lasts.as_secs_f64().ceil()});
    let at = now + Duration::from_millis(house.script.transcription_ms);
    Ok(Answer::json(200, &json!({"text": text, "usage": usage}), at))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// What is between boundaries.
fn fields<'a>(body: &'a [u8], boundary: &str) -> Vec<&'a [u8]> {
    let (mut rest, mut fields) = (body, Vec::new());
    while let Some(at) = find(rest, boundary.as_bytes()) {
        fields.push(rest.get(..at.saturating_sub(2)).unwrap_or_default());
        rest = rest.get(at + boundary.len()..).unwrap_or_default();
    }
    fields
}

/// Its samples, if it is 16-bit mono.
fn wav(file: &[u8]) -> Option<Frame> {
    let field = |at: usize| Some(u32::from_le_bytes(file.get(at..at + 4)?.try_into().ok()?));
    let sound = file.starts_with(b"RIFF") && file.get(8..12) == Some(b"WAVE") && file.get(36..40) == Some(b"data");
    let (rate, length) = (SampleRate::new(field(24)?)?, usize::try_from(field(40)?).ok()?);
    let samples = file.get(44..)?.as_chunks().0.iter().take(length / 2).map(|pair| i16::from_le_bytes(*pair));
    sound.then(|| Frame { rate, samples: samples.collect() })
}

fn pitch_hz(speech: &Frame) -> u32 {
    let detection = Detection { threshold: 0.5, prefix_ms: 0, silence_ms: 200, create: true, interrupt: true };
    let mut hearing = Hearing::default();
    hearing.hear(&speech.samples, speech.rate.hz(), Some(detection));
    hearing.pitch_hz()
}
