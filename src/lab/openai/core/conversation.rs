//! The items of the conversation, and what a client may do to them.
use super::Core;
use serde_json::{Value, json};

/// An item as the server keeps it.
#[derive(Debug)]
struct Item {
    id: String,
    value: Value,
    /// Of the assistant's audio that was sent, milliseconds; 0 for all others.
    spoken_ms: u64,
}

/// All items, in order.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    items: Vec<Item>,
}

impl Conversation {
    /// Whether the assistant has said anything aloud.
    pub(super) fn has_spoken(&self) -> bool {
        self.items.iter().any(|item| item.spoken_ms > 0)
    }

    fn last_id(&self) -> Option<String> {
        self.items.last().map(|item| item.id.clone())
    }

    fn find(&mut self, id: &str) -> Option<&mut Item> {
        self.items.iter_mut().find(|item| item.id == id)
    }

    /// The assistant's audio so far, milliseconds.
    pub(super) fn spoken_ms(&self) -> u64 {
        self.items.iter().map(|item| item.spoken_ms).sum()
    }

    /// Characters of text in all items, roughly.
    pub(super) fn characters(&self) -> u64 {
        self.items.iter().map(|item| item.value.to_string().len() as u64 / 2).sum()
    }
}

impl Core {
    /// Appends an item and tells of it.
    pub(super) fn add_item(&mut self, value: Value) {
        let previous = self.conversation.last_id();
        let id = value.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.send("conversation.item.added", json!({"previous_item_id": previous, "item": value}));
        self.conversation.items.push(Item { id, value, spoken_ms: 0 });
    }

    /// An item is whole; gone ones are not told of.
    pub(super) fn finish_item(&mut self, value: &Value) {
        let id = value.get("id").and_then(Value::as_str).unwrap_or_default();
        let before = self.conversation.items.iter().take_while(|item| item.id != id).last();
        let previous = before.map(|item| item.id.clone());
        if let Some(item) = self.conversation.find(id) {
            item.value = value.clone();
            self.send("conversation.item.done", json!({"previous_item_id": previous, "item": value}));
        }
    }

    /// More audio of an assistant item was sent.
    pub(super) fn spoke(&mut self, item_id: &str, ms: u64) {
        if let Some(item) = self.conversation.find(item_id) {
            item.spoken_ms += ms;
        }
    }

    pub(super) fn create_item(&mut self, event: &Value, event_id: Option<&str>) {
        let mut item = event.get("item").cloned().unwrap_or_default();
        let id = match item.get("id").and_then(Value::as_str) {
            Some(id) if self.conversation.find(id).is_some() => {
                let words = format!("Item with id '{id}' already exists.");
                return self.error("item_create_duplicate_item_id", &words, event_id, Some("item.id"));
            }
            Some(id) => id.to_owned(),
            None => self.id("item"),
        };
        if let Some(call_id) = self.unasked(&item) {
            let words = format!("Tool call ID '{call_id}' not found in conversation.");
            return self.error("invalid_tool_call_id", &words, event_id, Some("item.call_id"));
        }
        if let Value::Object(item) = &mut item {
            item.insert("id".into(), id.into());
            item.insert("object".into(), "realtime.item".into());
            item.insert("status".into(), "completed".into());
        }
        self.add_item(item.clone());
        self.finish_item(&item);
    }

    /// The call an output answers, if nobody made it.
    fn unasked(&self, item: &Value) -> Option<String> {
        let kind = |item: &Value| item.get("type").and_then(Value::as_str).map(str::to_owned);
        let call = |item: &Value| item.get("call_id").and_then(Value::as_str).map(str::to_owned);
        if kind(item).as_deref() != Some("function_call_output") {
            return None;
        }
        let asked = |known: &Value| kind(known).as_deref() == Some("function_call") && call(known) == call(item);
        if self.conversation.items.iter().any(|known| asked(&known.value)) { None } else { call(item) }
    }

    pub(super) fn retrieve(&mut self, item_id: &str, event_id: Option<&str>) {
        match self.conversation.find(item_id).map(|item| item.value.clone()) {
            Some(item) => self.send("conversation.item.retrieved", json!({ "item": item })),
            None => self.no_such_item("item_retrieve_invalid_item_id", item_id, event_id),
        }
    }

    pub(super) fn delete(&mut self, item_id: &str, event_id: Option<&str>) {
        let before = self.conversation.items.len();
        self.conversation.items.retain(|item| item.id != item_id);
        if self.conversation.items.len() < before {
            self.send("conversation.item.deleted", json!({"item_id": item_id}));
        } else {
            self.no_such_item("item_delete_invalid_item_id", item_id, event_id);
        }
    }

    pub(super) fn truncate(&mut self, item_id: &str, audio_end_ms: u64, event_id: Option<&str>) {
        let Some(item) = self.conversation.find(item_id) else {
            return self.no_such_item("item_truncate_invalid_item_id", item_id, event_id);
        };
        let actual_ms = item.spoken_ms;
        if actual_ms == 0 || audio_end_ms == 0 {
            let words = "Only model output audio messages can be truncated";
            return self.error("unsupported_content_type", words, event_id, None);
        }
        if audio_end_ms > actual_ms {
            let words = format!("Audio content of {actual_ms}ms is already shorter than {audio_end_ms}ms");
            return self.error("invalid_value", &words, event_id, Some("audio_end_ms"));
        }
        item.spoken_ms = audio_end_ms;
        if let Some(transcript) = item.value.pointer_mut("/content/0/transcript") {
            *transcript = Value::Null;
        }
        let fields = json!({"item_id": item_id, "content_index": 0, "audio_end_ms": audio_end_ms});
        self.send("conversation.item.truncated", fields);
    }

    fn no_such_item(&mut self, code: &str, item_id: &str, event_id: Option<&str>) {
        let words = format!("Item with item_id '{item_id}' not found in the conversation.");
        self.error(code, &words, event_id, Some("item_id"));
    }
}
