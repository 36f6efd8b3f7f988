//! Client messages: exactly one of `setup`, `realtimeInput` and `toolResponse` each.
//!
//! `clientContent` is not sent: one model refuses it after the start, all others take `realtimeInput.text` as well.
use super::super::config::{Config, Ending, Start, TurnDetection};
use crate::dialect::{Respond, Tool};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The first message of a connection, with the handle of the conversation it goes on with.
pub(crate) fn setup(config: &Config, handle: Option<&str>) -> String {
    let parts = [Part { text: &config.instructions }];
    let setup = Setup {
        model: format!("models/{}", config.model),
        generation_config: GenerationConfig {
            response_modalities: ["AUDIO"],
            speech_config: SpeechConfig {
                voice_config: VoiceConfig { prebuilt_voice_config: PrebuiltVoice { voice_name: &config.voice } },
                language_code: config.language.as_deref(),
            },
        },
        system_instruction: (!config.instructions.is_empty()).then_some(Instruction { parts }),
        tools: declarations(&config.tools),
        realtime_input_config: RealtimeInputConfig {
            automatic_activity_detection: Detection::of(config.turn_detection),
            activity_handling: "START_OF_ACTIVITY_INTERRUPTS",
        },
        input_audio_transcription: Empty {},
        output_audio_transcription: Empty {},
        session_resumption: Resumption { handle },
        context_window_compression: Compression { sliding_window: Empty {} },
    };
    to_text(&WithSetup { setup })
}

/// One message of caller audio, built by hand: 50 of these leave each second of each call.
pub(crate) fn audio(bytes: &[u8]) -> String {
    const HEAD: &str = r#"{"realtimeInput":{"audio":{"mimeType":"audio/pcm;rate=16000","data":""#;
    const TAIL: &str = r#""}}}"#;
    let mut text = String::with_capacity(HEAD.len() + bytes.len().div_ceil(3) * 4 + TAIL.len());
    text.push_str(HEAD);
    base64_simd::STANDARD.encode_append(bytes, &mut text);
    text.push_str(TAIL);
    text
}

/// Words for the model, which it answers.
pub(crate) fn text(words: &str) -> String {
    json!({"realtimeInput": {"text": words}}).to_string()
}

/// No caller audio comes for a while: what is buffered of it is all there is.
pub(crate) fn audio_stream_end() -> String {
    json!({"realtimeInput": {"audioStreamEnd": true}}).to_string()
}

/// The answer to a call. `scheduling` says whether the model speaks about it, where calls do not block it.
pub(crate) fn tool_response(id: &str, name: &str, output: &str, respond: Respond) -> String {
    let output = serde_json::from_str(output).unwrap_or_else(|_| Value::from(output));
    let response = if output.is_object() { output } else { json!({ "output": output }) };
    let scheduling = match respond {
        Respond::Yes => "WHEN_IDLE",
        Respond::No => "SILENT",
    };
    let answer = json!({"id": id, "name": name, "response": response, "scheduling": scheduling});
    json!({"toolResponse": {"functionResponses": [answer]}}).to_string()
}

/// Whether a message is the answer to a call.
pub(crate) fn is_tool_response(message: &str) -> bool {
    message.starts_with(r#"{"toolResponse""#)
}

/// Writing plain structs of strings and numbers to memory has no way to fail.
fn to_text(message: &impl Serialize) -> String {
    serde_json::to_string(message).unwrap_or_default()
}

#[derive(Serialize)]
struct WithSetup<'a> {
    setup: Setup<'a>,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Setup<'a> {
    model: String,
    generation_config: GenerationConfig<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Instruction<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Value>,
    realtime_input_config: RealtimeInputConfig,
    input_audio_transcription: Empty,
    output_audio_transcription: Empty,
    session_resumption: Resumption<'a>,
    context_window_compression: Compression,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GenerationConfig<'a> {
    response_modalities: [&'static str; 1],
    speech_config: SpeechConfig<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SpeechConfig<'a> {
    voice_config: VoiceConfig<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language_code: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VoiceConfig<'a> {
    prebuilt_voice_config: PrebuiltVoice<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PrebuiltVoice<'a> {
    voice_name: &'a str,
}

#[derive(Serialize)]
struct Instruction<'a> {
    parts: [Part<'a>; 1],
}

#[derive(Serialize)]
struct Part<'a> {
    text: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RealtimeInputConfig {
    automatic_activity_detection: Detection,
    activity_handling: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Detection {
    start_of_speech_sensitivity: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_of_speech_sensitivity: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix_padding_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    silence_duration_ms: Option<u64>,
}

impl Detection {
    fn of(setting: TurnDetection) -> Self {
        Self {
            start_of_speech_sensitivity: match setting.start {
                Start::High => "START_SENSITIVITY_HIGH",
                Start::Low => "START_SENSITIVITY_LOW",
            },
            end_of_speech_sensitivity: setting.ending.map(|ending| match ending {
                Ending::High => "END_SENSITIVITY_HIGH",
                Ending::Low => "END_SENSITIVITY_LOW",
            }),
            prefix_padding_ms: setting.prefix_padding.map(milliseconds),
            silence_duration_ms: setting.silence.map(milliseconds),
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[derive(Serialize)]
struct Resumption<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    handle: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Compression {
    sliding_window: Empty,
}

/// All functions are one tool.
fn declarations(tools: &[Tool]) -> Vec<Value> {
    if tools.is_empty() {
        return Vec::new();
    }
    let functions: Vec<_> = tools.iter().map(declaration).collect();
    vec![json!({ "functionDeclarations": functions })]
}

fn declaration(tool: &Tool) -> Value {
    let mut function = json!({"name": tool.name, "description": tool.description});
    let takes_something = tool.parameters.get("properties").and_then(Value::as_object).is_some_and(|p| !p.is_empty());
    // An object without properties is refused: a function without arguments has no `parameters`.
    if let (true, Value::Object(function)) = (takes_something, &mut function) {
        function.insert("parameters".to_owned(), schema(&tool.parameters));
    }
    function
}

/// JSON Schema as the subset of OpenAPI that the server knows: types in upper case, other keywords left out.
fn schema(of: &Value) -> Value {
    let Value::Object(of) = of else { return json!({}) };
    let mut schema = Map::new();
    for (key, value) in of {
        let value = match (key.as_str(), value) {
            ("type", Value::String(kind)) => Value::from(kind.to_ascii_uppercase()),
            ("properties", Value::Object(named)) => {
                named.iter().map(|(name, property)| (name.clone(), self::schema(property))).collect()
            }
            ("items", items) => self::schema(items),
            ("anyOf", Value::Array(choices)) => choices.iter().map(self::schema).collect(),
            ("description" | "enum" | "required" | "format" | "nullable" | "minimum" | "maximum", value) => {
                value.clone()
            }
            _ => continue,
        };
        schema.insert(key.clone(), value);
    }
    Value::Object(schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_written_in_openapis_subset_and_no_arguments_as_none() {
        let tool = |parameters| Tool { name: "n".into(), description: "d".into(), parameters };
        let full = tool(json!({"type": "object", "additionalProperties": false, "required": ["to"], "properties": {
            "to": {"type": "string", "enum": ["sales"], "examples": ["sales"]},
            "type": {"type": "array", "items": {"type": "integer", "minimum": 1}}}}));
        let expected = json!({"type": "OBJECT", "required": ["to"], "properties": {
            "to": {"type": "STRING", "enum": ["sales"]},
            "type": {"type": "ARRAY", "items": {"type": "INTEGER", "minimum": 1}}}});
        assert_eq!(declaration(&full)["parameters"], expected);
        let none = declaration(&tool(json!({"type": "object", "properties": {}})));
        assert_eq!(none, json!({"name": "n", "description": "d"}));
    }

    #[test]
    fn an_answer_is_an_object_whatever_the_tool_gave() {
        for (output, expected) in
            [(r#"{"a":1}"#, json!({"a": 1})), ("5", json!({"output": 5})), ("oh", json!({"output": "oh"}))]
        {
            let message: Value = serde_json::from_str(&tool_response("1", "f", output, Respond::No)).unwrap();
            let answer = &message["toolResponse"]["functionResponses"][0];
            assert_eq!((&answer["response"], &answer["scheduling"]), (&expected, &json!("SILENT")));
        }
    }
}
