//! What a client may send: one unknown key, and the whole message is refused.
use serde_json::Value;

/// Why a message was refused, as `error.code` and `error.param`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::lab) struct Refusal {
    pub(in crate::lab) code: &'static str,
    pub(in crate::lab) param: String,
    pub(in crate::lab) message: String,
}

/// What a value may be.
#[derive(Clone, Copy)]
pub(in crate::lab) enum Shape {
    Anything,
    Text,
    Word(&'static [&'static str]),
    Truth,
    Whole {
        least: u64,
        most: u64,
    },
    Number {
        least: f64,
        most: f64,
    },
    List(&'static Shape),
    Object(&'static [Field]),
    /// By the value of `type`.
    Kind(&'static [(&'static str, &'static [Field])]),
    /// Null, or this.
    Maybe(&'static Shape),
    /// Whichever fits; the last one's refusal is told.
    Either(&'static Shape, &'static Shape),
}

/// A member of an object.
pub(in crate::lab) struct Field {
    key: &'static str,
    needed: bool,
    shape: Shape,
}

/// One that must be there.
pub(in crate::lab) const fn need(key: &'static str, shape: Shape) -> Field {
    Field { key, needed: true, shape }
}

/// One that may.
pub(in crate::lab) const fn may(key: &'static str, shape: Shape) -> Field {
    Field { key, needed: false, shape }
}

const ANY_COUNT: Shape = Shape::Whole { least: 0, most: u64::MAX };
const MAX_TOKENS: Shape = Shape::Either(&Shape::Word(&["inf"]), &Shape::Whole { least: 1, most: 4_096 });
const FORMAT: Shape = Shape::Kind(&[
    ("audio/pcm", &[may("rate", Shape::Whole { least: 24_000, most: 24_000 })]),
    ("audio/pcmu", &[]),
    ("audio/pcma", &[]),
]);
const VOICE: Shape = Shape::Either(&Shape::Object(&[need("id", Shape::Text)]), &Shape::Text);
const TOOL_CHOICE: Shape = Shape::Either(
    &Shape::Word(&["none", "auto", "required"]),
    &Shape::Kind(&[
        ("function", &[need("name", Shape::Text)]),
        ("mcp", &[need("server_label", Shape::Text), may("name", Shape::Text)]),
    ]),
);
const TOOLS: Shape = Shape::List(&Shape::Kind(&[
    ("function", &[need("name", Shape::Text), may("description", Shape::Text), may("parameters", Shape::Anything)]),
    (
        "mcp",
        &[
            need("server_label", Shape::Text),
            may("server_url", Shape::Text),
            may("connector_id", Shape::Text),
            may("authorization", Shape::Text),
            may("allowed_tools", Shape::List(&Shape::Text)),
            may("require_approval", Shape::Word(&["never", "always"])),
            may("server_description", Shape::Text),
        ],
    ),
]));
const TURN_DETECTION: Shape = Shape::Kind(&[
    (
        "server_vad",
        &[
            may("threshold", Shape::Number { least: 0.0, most: 1.0 }),
            may("prefix_padding_ms", ANY_COUNT),
            may("silence_duration_ms", ANY_COUNT),
            may("idle_timeout_ms", Shape::Maybe(&Shape::Whole { least: 5_000, most: 30_000 })),
            may("create_response", Shape::Truth),
            may("interrupt_response", Shape::Truth),
        ],
    ),
    (
        "semantic_vad",
        &[
            may("eagerness", Shape::Word(&["low", "medium", "high", "auto"])),
            may("create_response", Shape::Truth),
            may("interrupt_response", Shape::Truth),
        ],
    ),
]);
const TRANSCRIPTION: Shape = Shape::Object(&[
    may("model", Shape::Text),
    may("language", Shape::Text),
    may("languages", Shape::List(&Shape::Text)),
    may("keywords", Shape::List(&Shape::Text)),
    may("prompt", Shape::Text),
    may("delay", Shape::Word(&["minimal", "low", "medium", "high", "xhigh"])),
]);
const NOISE_REDUCTION: Shape = Shape::Object(&[
    need("type", Shape::Word(&["near_field", "far_field"])),
    may("strength", Shape::Number { least: 0.0, most: 1.0 }),
]);
const AUDIO: Shape = Shape::Object(&[
    may(
        "input",
        Shape::Object(&[
            may("format", FORMAT),
            may("noise_reduction", Shape::Maybe(&NOISE_REDUCTION)),
            may("transcription", Shape::Maybe(&TRANSCRIPTION)),
            may("turn_detection", Shape::Maybe(&TURN_DETECTION)),
        ]),
    ),
    may(
        "output",
        Shape::Object(&[
            may("format", FORMAT),
            may("voice", VOICE),
            may("speed", Shape::Number { least: 0.25, most: 1.5 }),
        ]),
    ),
]);
/// Text-only output is not simulated.
const MODALITIES: Shape = Shape::List(&Shape::Word(&["audio"]));
const SESSION: Shape = Shape::Kind(&[(
    "realtime",
    &[
        may("model", Shape::Text),
        may("instructions", Shape::Text),
        may("output_modalities", MODALITIES),
        may("audio", AUDIO),
        may("tools", TOOLS),
        may("tool_choice", TOOL_CHOICE),
        may("parallel_tool_calls", Shape::Truth),
        may("reasoning", REASONING),
        may("max_output_tokens", MAX_TOKENS),
        may("truncation", Shape::Anything),
        may("tracing", Shape::Anything),
        may("include", Shape::Maybe(&Shape::List(&Shape::Text))),
    ],
)]);
const REASONING: Shape = Shape::Object(&[may("effort", Shape::Word(&["minimal", "low", "medium", "high", "xhigh"]))]);
/// `conversation: "none"` and `input` are not simulated.
const RESPONSE: Shape = Shape::Object(&[
    may("instructions", Shape::Text),
    may("conversation", Shape::Word(&["auto"])),
    may("output_modalities", MODALITIES),
    may("audio", Shape::Object(&[may("output", Shape::Object(&[may("format", FORMAT), may("voice", VOICE)]))])),
    may("tools", TOOLS),
    may("tool_choice", TOOL_CHOICE),
    may("parallel_tool_calls", Shape::Truth),
    may("reasoning", REASONING),
    may("max_output_tokens", MAX_TOKENS),
    may("metadata", Shape::Maybe(&Shape::Anything)),
]);
const CONTENT: Shape = Shape::List(&Shape::Kind(&[
    ("input_text", &[need("text", Shape::Text)]),
    ("input_audio", &[need("audio", Shape::Text), may("transcript", Shape::Text)]),
    ("output_text", &[need("text", Shape::Text)]),
]));
const ITEM: Shape = Shape::Kind(&[
    (
        "message",
        &[
            may("id", Shape::Text),
            may("object", Shape::Word(&["realtime.item"])),
            may("status", Shape::Word(&["completed", "incomplete", "in_progress"])),
            need("role", Shape::Word(&["system", "user", "assistant"])),
            need("content", CONTENT),
        ],
    ),
    (
        "function_call",
        &[
            may("id", Shape::Text),
            may("object", Shape::Word(&["realtime.item"])),
            may("status", Shape::Word(&["completed", "incomplete", "in_progress"])),
            need("name", Shape::Text),
            need("arguments", Shape::Text),
            may("call_id", Shape::Text),
        ],
    ),
    (
        "function_call_output",
        &[
            may("id", Shape::Text),
            may("object", Shape::Word(&["realtime.item"])),
            may("status", Shape::Word(&["completed", "incomplete", "in_progress"])),
            need("call_id", Shape::Text),
            need("output", Shape::Text),
        ],
    ),
    (
        "mcp_approval_response",
        &[
            need("id", Shape::Text),
            need("approval_request_id", Shape::Text),
            need("approve", Shape::Truth),
            may("reason", Shape::Text),
        ],
    ),
]);
const EVENT: Shape = Shape::Kind(&[
    ("session.update", &[may("event_id", Shape::Text), need("session", SESSION)]),
    ("input_audio_buffer.append", &[may("event_id", Shape::Text), need("audio", Shape::Text)]),
    ("input_audio_buffer.commit", &[may("event_id", Shape::Text)]),
    ("input_audio_buffer.clear", &[may("event_id", Shape::Text)]),
    (
        "conversation.item.create",
        &[may("event_id", Shape::Text), may("previous_item_id", Shape::Maybe(&Shape::Text)), need("item", ITEM)],
    ),
    ("conversation.item.retrieve", &[may("event_id", Shape::Text), need("item_id", Shape::Text)]),
    ("conversation.item.delete", &[may("event_id", Shape::Text), need("item_id", Shape::Text)]),
    (
        "conversation.item.truncate",
        &[
            may("event_id", Shape::Text),
            need("item_id", Shape::Text),
            need("content_index", ANY_COUNT),
            need("audio_end_ms", ANY_COUNT),
        ],
    ),
    ("response.create", &[may("event_id", Shape::Text), may("response", Shape::Maybe(&RESPONSE))]),
    ("response.cancel", &[may("event_id", Shape::Text), may("response_id", Shape::Text)]),
]);

/// Checks a client event.
pub(super) fn check(event: &Value) -> Result<(), Refusal> {
    obeys(event, &EVENT)
}

/// Checks a message against a shape.
pub(in crate::lab) fn obeys(message: &Value, shape: &Shape) -> Result<(), Refusal> {
    matches(message, shape, "")
}

fn matches(value: &Value, shape: &Shape, at: &str) -> Result<(), Refusal> {
    match shape {
        Shape::Anything => Ok(()),
        Shape::Maybe(_) if value.is_null() => Ok(()),
        Shape::Maybe(shape) => matches(value, shape, at),
        Shape::Text => value.is_string().then_some(()).ok_or_else(|| wrong_type(at, "a string")),
        Shape::Truth => value.is_boolean().then_some(()).ok_or_else(|| wrong_type(at, "a boolean")),
        Shape::Word(words) => match value.as_str() {
            Some(word) if words.contains(&word) => Ok(()),
            Some(word) => Err(wrong_value(at, word, words)),
            None => Err(wrong_type(at, "a string")),
        },
        Shape::Whole { least, most } => match value.as_u64() {
            Some(number) if (*least..=*most).contains(&number) => Ok(()),
            Some(number) => Err(wrong_value(at, &number.to_string(), &[])),
            None => Err(wrong_type(at, "an integer")),
        },
        Shape::Number { least, most } => match value.as_f64() {
            Some(number) if (*least..=*most).contains(&number) => Ok(()),
            Some(number) => Err(wrong_value(at, &number.to_string(), &[])),
            None => Err(wrong_type(at, "a number")),
        },
        Shape::List(shape) => {
            let list = value.as_array().ok_or_else(|| wrong_type(at, "an array"))?;
            list.iter().enumerate().try_for_each(|(n, value)| matches(value, shape, &format!("{at}[{n}]")))
        }
        Shape::Object(fields) => object(value, fields, at, &[]),
        Shape::Kind(kinds) => kind(value, kinds, at),
        Shape::Either(first, second) => matches(value, first, at).or_else(|_| matches(value, second, at)),
    }
}

fn kind(value: &Value, kinds: &'static [(&'static str, &'static [Field])], at: &str) -> Result<(), Refusal> {
    let object_or = value.as_object().ok_or_else(|| wrong_type(at, "an object"))?;
    let param = join(at, "type");
    let Some(kind) = object_or.get("type") else { return Err(missing(&param)) };
    let kind = kind.as_str().ok_or_else(|| wrong_type(&param, "a string"))?;
    match kinds.iter().find(|(name, _)| *name == kind) {
        Some((_, fields)) => object(value, fields, at, &["type"]),
        None => {
            let names: Vec<_> = kinds.iter().map(|(name, _)| *name).collect();
            Err(wrong_value(&param, kind, &names))
        }
    }
}

fn object(value: &Value, fields: &[Field], at: &str, known: &[&str]) -> Result<(), Refusal> {
    let object = value.as_object().ok_or_else(|| wrong_type(at, "an object"))?;
    for key in object.keys() {
        if !known.contains(&key.as_str()) && !fields.iter().any(|field| field.key == key) {
            let param = join(at, key);
            let message = format!("Unknown parameter: '{param}'.");
            return Err(Refusal { code: "unknown_parameter", param, message });
        }
    }
    for field in fields {
        match object.get(field.key) {
            Some(value) => matches(value, &field.shape, &join(at, field.key))?,
            None if field.needed => return Err(missing(&join(at, field.key))),
            None => {}
        }
    }
    Ok(())
}

fn join(at: &str, key: &str) -> String {
    if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") }
}

fn missing(param: &str) -> Refusal {
    let message = format!("Missing required parameter: '{param}'.");
    Refusal { code: "missing_required_parameter", param: param.to_owned(), message }
}

fn wrong_type(param: &str, wanted: &str) -> Refusal {
    let message = format!("Invalid type for '{param}': expected {wanted}.");
    Refusal { code: "invalid_type", param: param.to_owned(), message }
}

fn wrong_value(param: &str, got: &str, allowed: &[&str]) -> Refusal {
    let mut message = format!("Invalid value: '{got}'.");
    if !allowed.is_empty() {
        message.push_str(&format!(" Supported values are: '{}'.", allowed.join("', '")));
    }
    Refusal { code: "invalid_value", param: param.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_message_with_anything_wrong_is_refused_by_name() {
        let update = |session: Value| json!({"type": "session.update", "session": session});
        let cases = [
            (update(json!({"type": "realtime"})), None),
            (update(json!({})), Some(("missing_required_parameter", "session.type"))),
            (update(json!({"type": "realtime", "voice": "x"})), Some(("unknown_parameter", "session.voice"))),
            (update(json!({"type": "realtime", "temperature": 1})), Some(("unknown_parameter", "session.temperature"))),
            (
                update(json!({"type": "realtime", "audio": {"input": {"format": "pcm16"}}})),
                Some(("invalid_type", "session.audio.input.format")),
            ),
            (
                update(
                    json!({"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcm", "rate": 8000}}}}),
                ),
                Some(("invalid_value", "session.audio.input.format.rate")),
            ),
            (
                update(json!({"type": "realtime", "audio": {"output": {"speed": 2.0}}})),
                Some(("invalid_value", "session.audio.output.speed")),
            ),
            (
                update(json!({"type": "realtime", "tools": [{"type": "function", "function": {"name": "x"}}]})),
                Some(("unknown_parameter", "session.tools[0].function")),
            ),
            (json!({"type": "response.cancel", "event_id": "e"}), None),
            (
                json!({"type": "response.create", "response": {"modalities": ["audio"]}}),
                Some(("unknown_parameter", "response.modalities")),
            ),
            (
                json!({"type": "conversation.item.truncate", "item_id": "i", "content_index": 0}),
                Some(("missing_required_parameter", "audio_end_ms")),
            ),
            (json!({"type": "hello"}), Some(("invalid_value", "type"))),
            (json!([]), Some(("invalid_type", ""))),
        ];
        for (event, expected) in cases {
            let refusal = check(&event).err();
            assert_eq!(refusal.as_ref().map(|r| (r.code, r.param.as_str())), expected, "{event}");
        }
    }
}
