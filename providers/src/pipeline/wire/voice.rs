//! Services that speak: one request a piece of text.
use super::{bearer_json, body, json, method, post, token};
use crate::{
    HttpRequest,
    pipeline::{Voice, sound::Encoding},
    url::query_value,
};
use media::{AudioFormat, Law, SampleRate};
use serde::Serialize;

#[derive(Serialize)]
struct Speech<'a> {
    model: &'a str,
    input: &'a str,
    voice: &'a str,
    response_format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    speed: Option<f32>,
}

#[derive(Serialize)]
struct Aura<'a> {
    text: &'a str,
}

#[derive(Serialize)]
struct ElevenLabs<'a> {
    text: &'a str,
    model_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    language_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    voice_settings: Option<Settings>,
}

#[derive(Serialize)]
struct Settings {
    speed: f32,
}

#[derive(Serialize)]
struct Piper<'a> {
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    voice: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    length_scale: Option<f32>,
}

/// How this voice answers in a call that sounds like this; `None` for the engine, which is no service.
pub(in crate::pipeline) fn encoding(voice: &Voice, call: AudioFormat) -> Option<Encoding> {
    match voice {
        Voice::Speech { .. } => Some(Encoding::Raw(AudioFormat::Pcm(SampleRate::HZ_24000))),
        Voice::Aura { .. } | Voice::ElevenLabs { .. } => Some(Encoding::Raw(streamed(call))),
        Voice::Piper { .. } => Some(Encoding::Wav),
        Voice::Engine => None,
    }
}

/// G.711 passes untouched; a wide call is spoken at 16 or 24 kHz.
fn streamed(call: AudioFormat) -> AudioFormat {
    match call {
        AudioFormat::G711(law) => AudioFormat::G711(law),
        AudioFormat::Pcm(rate) if rate <= SampleRate::HZ_8000 => AudioFormat::G711(Law::Mu),
        AudioFormat::Pcm(rate) if rate <= SampleRate::HZ_16000 => AudioFormat::Pcm(SampleRate::HZ_16000),
        AudioFormat::Pcm(_) => AudioFormat::Pcm(SampleRate::HZ_24000),
    }
}

/// Where the older servers of Piper take texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pipeline) enum PiperPath {
    /// `/synthesize`.
    Synthesize,
    /// `/`.
    Root,
}

/// Asks for a piece of text to be spoken; `None` for the engine, which is no service.
pub(in crate::pipeline) fn request(
    voice: &Voice,
    text: &str,
    call: AudioFormat,
    language: Option<&str>,
    piper: PiperPath,
) -> Option<HttpRequest> {
    Some(match voice {
        Voice::Speech { at, model, voice, speed } => {
            let speech = Speech { model, input: text, voice, response_format: "pcm", speed: *speed };
            post(method(at, "/audio/speech"), bearer_json(at), body(&speech))
        }
        Voice::Aura { at, model } => {
            let (encoding, rate) = match streamed(call) {
                AudioFormat::G711(Law::Mu) => ("mulaw", SampleRate::HZ_8000),
                AudioFormat::G711(Law::A) => ("alaw", SampleRate::HZ_8000),
                AudioFormat::Pcm(rate) => ("linear16", rate),
            };
            let (model, rate) = (query_value(model), rate.hz());
            let path = format!("/v1/speak?model={model}&encoding={encoding}&sample_rate={rate}&container=none");
            let key = token(at);
            let headers = key.into_iter().chain([json()]).collect();
            post(method(at, &path), headers, body(&Aura { text }))
        }
        Voice::ElevenLabs { at, model, voice, speed } => {
            let format = match streamed(call) {
                AudioFormat::G711(Law::Mu) => "ulaw_8000".to_owned(),
                AudioFormat::G711(Law::A) => "alaw_8000".to_owned(),
                AudioFormat::Pcm(rate) => format!("pcm_{}", rate.hz()),
            };
            let path = format!("/v1/text-to-speech/{}/stream?output_format={format}", query_value(voice));
            let key = at.api_key.as_ref().map(|key| ("xi-api-key".to_owned(), key.clone()));
            let language_code = language.and_then(|tag| tag.split(['-', '_']).next());
            let voice_settings = speed.map(|speed| Settings { speed });
            let speech = ElevenLabs { text, model_id: model, language_code, voice_settings };
            let headers = key.into_iter().chain([json()]).collect();
            post(method(at, &path), headers, body(&speech))
        }
        Voice::Piper { at, voice, speed } => {
            let path = match piper {
                PiperPath::Synthesize => "/synthesize",
                PiperPath::Root => "/",
            };
            // Its measure is of time, not of pace.
            let length_scale = speed.filter(|speed| *speed > 0.0).map(|speed| 1.0 / speed);
            let speech = Piper { text, voice: voice.as_deref(), length_scale };
            post(method(at, path), vec![json()], body(&speech))
        }
        Voice::Engine => return None,
    })
}
