//! Servers of tools that the provider calls by itself.
use super::Core;
use crate::lab::openai::script::ScriptedMcp;
use serde_json::{Value, json};

impl Core {
    /// Asks the servers of a `session.update` what they have.
    pub(super) fn list_tools(&mut self, session: &Value) {
        let tools = session.get("tools").and_then(Value::as_array).cloned().unwrap_or_default();
        for tool in tools.iter().filter(|tool| tool.get("type").and_then(Value::as_str) == Some("mcp")) {
            let item_id = self.id("mcpl");
            let item = json!({"id": item_id, "type": "mcp_list_tools", "server_label": tool.get("server_label"),
                "tools": []});
            self.send("mcp_list_tools.in_progress", json!({"item_id": item_id}));
            self.add_item(item.clone());
            if self.script.faults.mcp_list_fails {
                self.send("mcp_list_tools.failed", json!({"item_id": item_id}));
                continue;
            }
            self.send("mcp_list_tools.completed", json!({"item_id": item_id}));
            self.finish_item(&item);
        }
    }

    /// A call begins.
    pub(super) fn mcp_begins(&mut self, call: &ScriptedMcp, item_id: &str, response_id: &str, output_index: usize) {
        let item = item(call, item_id, None);
        let at = json!({"response_id": response_id, "item_id": item_id, "output_index": output_index});
        let with = |key: &str| {
            let mut fields = at.clone();
            if let Value::Object(fields) = &mut fields {
                fields.insert(key.to_owned(), "{}".into());
            }
            fields
        };
        let added = json!({"response_id": response_id, "output_index": output_index, "item": item});
        self.send("response.output_item.added", added);
        self.add_item(item);
        self.send("response.mcp_call_arguments.delta", with("delta"));
        self.send("response.mcp_call_arguments.done", with("arguments"));
        let fields = json!({"item_id": item_id, "output_index": output_index});
        self.send("response.mcp_call.in_progress", fields);
    }

    /// It ends; the finished item.
    pub(super) fn mcp_ends(
        &mut self,
        call: &ScriptedMcp,
        item_id: &str,
        response_id: &str,
        output_index: usize,
    ) -> Value {
        let outcome = if call.output.is_some() { "completed" } else { "failed" };
        let fields = json!({"item_id": item_id, "output_index": output_index});
        self.send(&format!("response.mcp_call.{outcome}"), fields);
        let item = item(call, item_id, call.output.as_deref());
        self.finish_item(&item);
        let done = json!({"response_id": response_id, "output_index": output_index, "item": item});
        self.send("response.output_item.done", done);
        item
    }
}

fn item(call: &ScriptedMcp, item_id: &str, output: Option<&str>) -> Value {
    json!({"id": item_id, "type": "mcp_call", "server_label": call.server, "name": call.name, "arguments": "{}",
        "output": output})
}
