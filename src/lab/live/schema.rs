//! What a client may send: one unknown key, and the whole message is refused.
use crate::lab::openai::schema::{Field, Refusal, Shape, may, need, obeys};
use serde_json::Value;

const NARROW: Shape = Shape::Whole { least: 8_000, most: 8_000 };
const FORMAT: Shape = Shape::Kind(&[
    ("audio/pcm", &[need("rate", Shape::Whole { least: 16_000, most: 24_000 })]),
    ("audio/pcmu", &[need("rate", NARROW)]),
    ("audio/pcma", &[need("rate", NARROW)]),
]);
const VOICE: Shape = Shape::Either(&Shape::Object(&[need("id", Shape::Text)]), &Shape::Text);
const AUDIO: Shape = Shape::Object(&[may("format", FORMAT), may("output", Shape::Object(&[may("voice", VOICE)]))]);
const TOOLS: Shape = Shape::List(&Shape::Kind(&[(
    "function",
    &[need("name", Shape::Text), may("description", Shape::Text), may("parameters", Shape::Anything)],
)]));
const DELEGATION: Shape = Shape::Kind(&[
    ("client", &[]),
    (
        "responses",
        &[need(
            "responses",
            Shape::Object(&[
                need("model", Shape::Text),
                may("instructions", Shape::Text),
                may("tools", TOOLS),
                may("tool_choice", Shape::Text),
            ]),
        )],
    ),
]);
const CONTENT: Shape = Shape::List(&Shape::Kind(&[
    ("input_text", &[need("text", Shape::Text)]),
    ("output_text", &[need("text", Shape::Text)]),
]));
const INPUT: Shape = Shape::List(&Shape::Kind(&[(
    "message",
    &[need("role", Shape::Word(&["developer", "user", "assistant"])), need("content", CONTENT)],
)]));
const SESSION: Shape = Shape::Object(&[
    need("model", Shape::Text),
    may("instructions", Shape::Text),
    may("audio", AUDIO),
    may("delegation", DELEGATION),
    may("input", INPUT),
]);
/// The key `delegation_id` is required, and may be null.
const APPEND: &[Field] =
    &[may("event_id", Shape::Text), need("content", Shape::Text), need("delegation_id", Shape::Maybe(&Shape::Text))];
const ITEM: Shape =
    Shape::Kind(&[("function_call_output", &[need("call_id", Shape::Text), need("output", Shape::Text)])]);
const EVENT: Shape = Shape::Kind(&[
    ("session.start", &[may("event_id", Shape::Text), need("session", SESSION)]),
    ("session.input_audio.append", &[may("event_id", Shape::Text), need("audio", Shape::Text)]),
    ("session.instructions.append", APPEND),
    ("session.thinking.append", APPEND),
    ("session.commentary.append", APPEND),
    ("response.item.create", &[may("event_id", Shape::Text), need("item", ITEM)]),
    ("response.create", &[may("event_id", Shape::Text)]),
    ("session.close", &[may("event_id", Shape::Text)]),
]);

/// Checks a client event.
pub(super) fn check(event: &Value) -> Result<(), Refusal> {
    obeys(event, &EVENT)
}
