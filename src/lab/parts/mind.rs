//! Chat completions: the script's next reply, as tokens over SSE.
use super::{answer::Answer, answer::House, script::Reply};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// A token is about four characters.
const CHARACTERS_OF_TOKEN: usize = 4;

/// The reply to a conversation.
///
/// # Errors
/// What is wrong with the request.
pub(super) fn answer(house: &House, body: &[u8], now: Instant) -> Result<Answer, String> {
    let asked: Value = serde_json::from_slice(body).map_err(|error| format!("no JSON: {error}"))?;
    let messages = checked(&asked)?;
    let reply = reply(house, messages);
    let script = &house.script;
    let first = reply.first_token_ms.unwrap_or(script.first_token_ms);
    let mut stream = Stream {
        at: now + Duration::from_millis(first),
        between: Duration::from_secs(1) / script.words_per_second.max(1),
        model: asked["model"].as_str().unwrap_or_default().to_owned(),
        pieces: Vec::new(),
    };
    let complete = stream.say(&reply);
    if complete {
        let usage = asked["stream_options"]["include_usage"] == json!(true);
        stream.end(&reply, usage.then_some(body.len() / CHARACTERS_OF_TOKEN));
    }
    let complete = complete || reply.fail_after.is_some();
    Ok(Answer { status: 200, content_type: "text/event-stream", pieces: stream.pieces, complete })
}

/// Its messages, if the services would take them.
fn checked(asked: &Value) -> Result<&Vec<Value>, String> {
    if asked["model"].as_str().is_none_or(str::is_empty) {
        return Err("you must provide a model parameter".into());
    }
    if asked["stream"] != json!(true) {
        return Err("this simulator only streams".into());
    }
    let messages = asked["messages"].as_array().filter(|messages| !messages.is_empty());
    let messages = messages.ok_or("'messages' must not be empty")?;
    let mut awaited = BTreeSet::new();
    for message in messages {
        let role = message["role"].as_str().unwrap_or_default();
        if role != "tool" && !awaited.is_empty() {
            return Err("an assistant message with 'tool_calls' must be followed by tool messages".into());
        }
        match role {
            "system" | "user" if message["content"].is_string() => {}
            "assistant" => {
                let calls = message["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
                awaited.extend(calls.iter().filter_map(|call| call["id"].as_str()));
            }
            "tool" if message["tool_call_id"].as_str().is_some_and(|id| awaited.remove(id)) => {}
            _ => return Err(format!("a message of role {role:?} that cannot be there")),
        }
    }
    if awaited.is_empty() { Ok(messages) } else { Err("a tool call has no outcome".into()) }
}

/// By what was said before: the same conversation has the same answer, however often it is asked for.
fn reply(house: &House, messages: &[Value]) -> Reply {
    let is = |message: &Value, role: &str| message["role"] == role;
    let heard = messages.iter().rfind(|message| is(message, "user")).and_then(|message| message["content"].as_str());
    if let (Some(_), Some(words)) = (house.script.echo_ms, heard) {
        return Reply::words(words);
    }
    // What we are told in the middle of a conversation is not a turn of it.
    if let Some(note) = messages.iter().skip(1).next_back().filter(|last| is(last, "system")) {
        let bye = note["content"].as_str().is_some_and(|words| words.contains("goodbye"));
        return Reply::words(if bye { "Goodbye." } else { "I am back with you. What else can I do?" });
    }
    let outcomes = messages.iter().filter(|message| is(message, "tool")).count();
    let turns = messages.iter().filter(|message| is(message, "user")).count() + outcomes;
    let replies = &house.script.replies;
    let reply = replies.get(turns.saturating_sub(1)).or(replies.last()).cloned();
    reply.unwrap_or_else(|| Reply::words("I am a simulated model. I have nothing to say."))
}

/// Events in the making.
struct Stream {
    at: Instant,
    between: Duration,
    model: String,
    pieces: Vec<(Instant, Vec<u8>)>,
}

impl Stream {
    fn event(&mut self, data: &str) {
        self.pieces.push((self.at, format!("data: {data}\n\n").into_bytes()));
    }

    fn chunk(&mut self, choices: &Value, usage: &Value) {
        let chunk = json!({"id": "chatcmpl-lab", "object": "chat.completion.chunk", "created": 1_795_000_000,
            "model": self.model, "system_fingerprint": "fp_lab", "choices": choices, "usage": usage});
        self.event(&chunk.to_string());
    }

    fn delta(&mut self, delta: &Value, finish: &Value) {
        self.chunk(&json!([{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": null}]), &Value::Null);
    }

    /// Its words; false if it does not come to an end.
    fn say(&mut self, reply: &Reply) -> bool {
        self.pieces.push((self.at, b": a comment, as some servers send\n\n".to_vec()));
        self.delta(&json!({"role": "assistant", "content": ""}), &Value::Null);
        for (number, word) in reply.text.split_inclusive(' ').enumerate() {
            if reply.stall_after == Some(number) {
                return false;
            }
            if reply.fail_after == Some(number) {
                self.event(
                    &json!({"error": {"message": "The server had an error", "type": "server_error"}}).to_string(),
                );
                return false;
            }
            self.delta(&json!({ "content": word }), &Value::Null);
            self.at += self.between;
        }
        true
    }

    /// Its calls, and the end, with what it used.
    fn end(&mut self, reply: &Reply, asked: Option<usize>) {
        for (index, call) in reply.calls.iter().enumerate() {
            let arguments = if call.arguments.is_null() { "{}".to_owned() } else { call.arguments.to_string() };
            let function = json!({"name": call.name, "arguments": ""});
            let id = format!("call_lab_{index}");
            let first = json!([{"index": index, "id": id, "type": "function", "function": function}]);
            self.delta(&json!({ "tool_calls": first }), &Value::Null);
            let middle = arguments.len() / 2;
            let middle = (middle..=arguments.len()).find(|at| arguments.is_char_boundary(*at)).unwrap_or(0);
            let (one, two) = arguments.split_at(middle);
            for part in [one, two] {
                let next = json!([{"index": index, "function": {"arguments": part}}]);
                self.delta(&json!({ "tool_calls": next }), &Value::Null);
            }
        }
        self.delta(&json!({}), &json!(if reply.calls.is_empty() { "stop" } else { "tool_calls" }));
        if let Some(prompt) = asked {
            let written = reply.text.len() / CHARACTERS_OF_TOKEN + 1;
            let usage = json!({"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written,
                "prompt_tokens_details": {"cached_tokens": prompt / 2}});
            self.chunk(&json!([]), &usage);
        }
        self.event("[DONE]");
    }
}
