//! Chat completions, streamed.
use super::{bearer_json, body, method, post};
use crate::{HttpRequest, Tool, pipeline::Chat};
use serde::{Deserialize, Serialize};

/// One message of the conversation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub(in crate::pipeline) enum Message {
    System {
        content: String,
    },
    User {
        content: String,
    },
    Assistant {
        #[serde(skip_serializing_if = "Option::is_none")]
        content: Option<String>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ToolCall>,
    },
    Tool {
        tool_call_id: String,
        content: String,
    },
}

/// A call as the model made it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::pipeline) struct ToolCall {
    pub(in crate::pipeline) id: String,
    #[serde(rename = "type")]
    pub(in crate::pipeline) kind: &'static str,
    pub(in crate::pipeline) function: Called,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::pipeline) struct Called {
    pub(in crate::pipeline) name: String,
    pub(in crate::pipeline) arguments: String,
}

#[derive(Serialize)]
struct Completion<'a> {
    model: &'a str,
    messages: &'a [Message],
    stream: bool,
    stream_options: StreamOptions,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Offered<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'a str>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct Offered<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a serde_json::Value,
}

/// Asks for an answer.
pub(in crate::pipeline) fn request(chat: &Chat, tools: &[Tool], messages: &[Message]) -> HttpRequest {
    let completion = Completion {
        model: &chat.model,
        messages,
        stream: true,
        stream_options: StreamOptions { include_usage: true },
        tools: tools.iter().map(offered).collect(),
        reasoning_effort: chat.reasoning_effort.as_deref(),
    };
    post(method(&chat.at, "/chat/completions"), bearer_json(&chat.at), body(&completion))
}

fn offered(tool: &Tool) -> Offered<'_> {
    let Tool { name, description, parameters } = tool;
    Offered { kind: "function", function: Function { name, description, parameters } }
}

/// One event of the stream; what a server adds of its own is ignored.
#[derive(Debug, Default, Deserialize)]
pub(in crate::pipeline) struct Chunk {
    #[serde(default)]
    pub(in crate::pipeline) choices: Vec<Choice>,
    pub(in crate::pipeline) usage: Option<Usage>,
    pub(in crate::pipeline) x_groq: Option<Groq>,
    /// In the middle of a stream that began well.
    pub(in crate::pipeline) error: Option<serde_json::Value>,
}

#[derive(Debug, Default, Deserialize)]
pub(in crate::pipeline) struct Groq {
    pub(in crate::pipeline) usage: Option<Usage>,
    pub(in crate::pipeline) error: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
pub(in crate::pipeline) struct Choice {
    #[serde(default)]
    pub(in crate::pipeline) delta: Delta,
}

#[derive(Debug, Default, Deserialize)]
pub(in crate::pipeline) struct Delta {
    pub(in crate::pipeline) content: Option<String>,
    pub(in crate::pipeline) refusal: Option<String>,
    pub(in crate::pipeline) tool_calls: Option<Vec<Fragment>>,
}

#[derive(Debug, Deserialize)]
pub(in crate::pipeline) struct Fragment {
    pub(in crate::pipeline) index: Option<usize>,
    pub(in crate::pipeline) id: Option<String>,
    pub(in crate::pipeline) function: Option<FragmentFunction>,
}

#[derive(Debug, Deserialize)]
pub(in crate::pipeline) struct FragmentFunction {
    pub(in crate::pipeline) name: Option<String>,
    pub(in crate::pipeline) arguments: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(in crate::pipeline) struct Usage {
    #[serde(default)]
    pub(in crate::pipeline) prompt_tokens: u64,
    #[serde(default)]
    pub(in crate::pipeline) completion_tokens: u64,
    pub(in crate::pipeline) prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(in crate::pipeline) struct PromptDetails {
    pub(in crate::pipeline) cached_tokens: Option<u64>,
}
