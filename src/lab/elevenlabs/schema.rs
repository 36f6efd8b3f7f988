//! What a client may send, by the vendor's schema: a message is of one kind, has what that kind needs, and nothing else.
use serde_json::{Map, Value};

#[derive(Clone, Copy)]
enum Shape {
    Anything,
    Text,
    Number,
    Truth,
    Texts,
    /// Any names; values are texts, numbers or booleans.
    Variables,
    Object(&'static [Field]),
}

/// Name, whether it must be there, and what it is.
type Field = (&'static str, bool, Shape);

const MUST: bool = true;
const MAY: bool = false;

const OVERRIDES: &[Field] = &[
    (
        "agent",
        MAY,
        Shape::Object(&[
            ("first_message", MAY, Shape::Text),
            ("language", MAY, Shape::Text),
            ("prompt", MAY, Shape::Object(&[("prompt", MAY, Shape::Text), ("llm", MAY, Shape::Text)])),
            ("native_mcp_server_ids", MAY, Shape::Texts),
        ]),
    ),
    (
        "tts",
        MAY,
        Shape::Object(&[
            ("voice_id", MAY, Shape::Text),
            ("stability", MAY, Shape::Number),
            ("speed", MAY, Shape::Number),
            ("similarity_boost", MAY, Shape::Number),
        ]),
    ),
    ("asr", MAY, Shape::Object(&[("keywords", MAY, Shape::Texts)])),
    ("conversation", MAY, Shape::Object(&[("text_only", MAY, Shape::Truth), ("client_events", MAY, Shape::Texts)])),
];

/// What is audio has no `type`.
const AUDIO: &[Field] = &[("user_audio_chunk", MUST, Shape::Text)];

const KINDS: [(&str, &[Field]); 8] = [
    (
        "conversation_initiation_client_data",
        &[
            ("conversation_config_override", MAY, Shape::Object(OVERRIDES)),
            ("custom_llm_extra_body", MAY, Shape::Anything),
            ("dynamic_variables", MAY, Shape::Variables),
            ("user_id", MAY, Shape::Text),
            ("source_info", MAY, Shape::Object(&[("source", MAY, Shape::Text), ("version", MAY, Shape::Text)])),
            ("tool_mock_config", MAY, Shape::Anything),
        ],
    ),
    ("pong", &[("event_id", MUST, Shape::Number)]),
    ("user_message", &[("text", MAY, Shape::Text)]),
    ("user_activity", &[]),
    ("contextual_update", &[("text", MUST, Shape::Text), ("context_id", MAY, Shape::Text)]),
    (
        "client_tool_result",
        &[("tool_call_id", MUST, Shape::Text), ("result", MUST, Shape::Text), ("is_error", MUST, Shape::Truth)],
    ),
    ("mcp_tool_approval_result", &[("tool_call_id", MUST, Shape::Text), ("is_approved", MUST, Shape::Truth)]),
    ("feedback", &[("event_id", MUST, Shape::Number), ("score", MUST, Shape::Anything)]),
];

/// The message, and what it is: its `type`, or `user_audio_chunk`.
///
/// # Errors
///
/// What is wrong with it, for the administrator of the client.
pub(super) fn read(text: &str) -> Result<(&'static str, Value), String> {
    let message: Value = serde_json::from_str(text).map_err(|_| "Invalid JSON".to_owned())?;
    let Some(fields) = message.as_object() else { return Err("The message is not an object".to_owned()) };
    let (kind, known) = match fields.get("type") {
        None => ("user_audio_chunk", AUDIO),
        Some(kind) => KINDS
            .iter()
            .find(|(name, _)| kind.as_str() == Some(name))
            .map(|(name, known)| (*name, *known))
            .ok_or_else(|| format!("Unknown message type {kind}"))?,
    };
    object("", fields, known)?;
    Ok((kind, message))
}

fn object(path: &str, fields: &Map<String, Value>, known: &[Field]) -> Result<(), String> {
    for (name, must, _) in known {
        if *must && !fields.contains_key(*name) {
            return Err(format!("Missing field {path}{name}"));
        }
    }
    for (name, value) in fields {
        if path.is_empty() && name == "type" {
            continue;
        }
        let Some((_, _, shape)) = known.iter().find(|(known, ..)| known == name) else {
            return Err(format!("Unknown field {path}{name}"));
        };
        check(&format!("{path}{name}"), value, *shape)?;
    }
    Ok(())
}

fn check(path: &str, value: &Value, shape: Shape) -> Result<(), String> {
    let plain = |value: &Value| value.is_string() || value.is_number() || value.is_boolean();
    let right = match shape {
        Shape::Anything => true,
        Shape::Text => value.is_string(),
        Shape::Number => value.is_number(),
        Shape::Truth => value.is_boolean(),
        Shape::Texts => value.as_array().is_some_and(|values| values.iter().all(Value::is_string)),
        Shape::Variables => value.as_object().is_some_and(|variables| {
            variables.iter().all(|(name, value)| plain(value) && !name.starts_with("system__"))
        }),
        Shape::Object(known) => {
            let Some(fields) = value.as_object() else { return Err(format!("Field {path} is not an object")) };
            return object(&format!("{path}."), fields, known);
        }
    };
    if right { Ok(()) } else { Err(format!("Invalid value of field {path}")) }
}
