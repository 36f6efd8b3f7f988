//! What a client may send: proto JSON, in which every field has a name in camelCase and one in snake_case, and no other
//! field is accepted.
use serde_json::{Map, Value};

/// Fields whose names are the client's own.
const FREE: [&str; 4] = ["args", "response", "properties", "parametersJsonSchema"];
/// The messages, and the fields of each thing in them. A field without a row of its own is a plain value.
const FIELDS: [(&str, &[&str]); 22] = [
    ("", &["setup", "clientContent", "realtimeInput", "toolResponse"]),
    (
        "setup",
        &[
            "model",
            "generationConfig",
            "systemInstruction",
            "tools",
            "realtimeInputConfig",
            "inputAudioTranscription",
            "outputAudioTranscription",
            "sessionResumption",
            "contextWindowCompression",
            "proactivity",
            "historyConfig",
            "explicitVadSignal",
            "safetySettings",
            "labels",
        ],
    ),
    (
        "generationConfig",
        &[
            "responseModalities",
            "speechConfig",
            "temperature",
            "topP",
            "topK",
            "maxOutputTokens",
            "thinkingConfig",
            "mediaResolution",
            "seed",
        ],
    ),
    ("speechConfig", &["voiceConfig", "languageCode"]),
    ("voiceConfig", &["prebuiltVoiceConfig"]),
    ("prebuiltVoiceConfig", &["voiceName"]),
    ("systemInstruction", &["role", "parts"]),
    ("parts", &["text"]),
    ("tools", &["functionDeclarations"]),
    ("functionDeclarations", &["name", "description", "parameters", "parametersJsonSchema", "behavior"]),
    (
        "parameters",
        &[
            "type",
            "description",
            "enum",
            "required",
            "properties",
            "items",
            "anyOf",
            "format",
            "nullable",
            "minimum",
            "maximum",
        ],
    ),
    ("realtimeInputConfig", &["automaticActivityDetection", "activityHandling", "turnCoverage"]),
    (
        "automaticActivityDetection",
        &["disabled", "startOfSpeechSensitivity", "endOfSpeechSensitivity", "prefixPaddingMs", "silenceDurationMs"],
    ),
    ("sessionResumption", &["handle", "transparent"]),
    ("contextWindowCompression", &["triggerTokens", "slidingWindow"]),
    ("slidingWindow", &["targetTokens"]),
    ("realtimeInput", &["audio", "text", "video", "activityStart", "activityEnd", "audioStreamEnd", "mediaChunks"]),
    ("audio", &["mimeType", "data"]),
    ("clientContent", &["turns", "turnComplete"]),
    ("turns", &["role", "parts"]),
    ("toolResponse", &["functionResponses"]),
    ("functionResponses", &["id", "name", "response", "scheduling", "willContinue"]),
];

/// The message with all names in camelCase, and what it is.
///
/// # Errors
///
/// What the server gives as the reason of its close 1007.
pub(super) fn read(text: &str) -> Result<(String, Value), String> {
    let invalid = || "Request contains an invalid argument.".to_owned();
    let message = serde_json::from_str(text).map_err(|_| invalid())?;
    let Value::Object(message) = named("", message)? else { return Err(invalid()) };
    let mut kinds = message.into_iter();
    match (kinds.next(), kinds.next()) {
        (Some(one), None) => Ok(one),
        _ => Err(invalid()),
    }
}

/// A value in a field, its own fields checked and renamed.
fn named(field: &str, value: Value) -> Result<Value, String> {
    Ok(match value {
        Value::Object(_) if FREE.contains(&field) => value,
        Value::Object(fields) => {
            let known = FIELDS.iter().find(|(of, _)| *of == field).map(|(_, known)| *known);
            let mut checked = Map::new();
            for (name, value) in fields {
                let camel = camel_case(&name);
                if known.is_some_and(|known| !known.contains(&camel.as_str())) {
                    return Err(format!("Invalid JSON payload received. Unknown name \"{name}\" at '{field}'"));
                }
                let value = named(&camel, value)?;
                checked.insert(camel, value);
            }
            Value::Object(checked)
        }
        Value::Array(values) => {
            Value::Array(values.into_iter().map(|value| named(field, value)).collect::<Result<_, _>>()?)
        }
        plain => plain,
    })
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}
