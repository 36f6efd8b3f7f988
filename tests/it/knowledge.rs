//! What a secretary looks up: kept over HTTP, asked for by a model in a call, and told to it.
use crate::{
    api::token,
    openai::{self, Terms, house, question, said, text},
    stage,
};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use ureq::{Agent, Body, http::Response};

/// A program that keeps what a tenant knows.
struct Keeper {
    url: String,
    token: String,
}

impl Keeper {
    fn get(&self, path: &str) -> Result<Value> {
        let request = Agent::new_with_defaults().get(self.at(path));
        read(request.header("Authorization", format!("Bearer {}", self.token)).call()?)
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let request = Agent::new_with_defaults().post(self.at(path)).content_type("application/json");
        read(request.header("Authorization", format!("Bearer {}", self.token)).send(body.to_string())?)
    }

    fn put(&self, path: &str, body: &Value) -> Result<Value> {
        let request = Agent::new_with_defaults().put(self.at(path)).content_type("application/json");
        read(request.header("Authorization", format!("Bearer {}", self.token)).send(body.to_string())?)
    }

    fn at(&self, path: &str) -> String {
        format!("{}/v1/{path}?domain=demo.example", self.url)
    }
}

fn read(mut response: Response<Body>) -> Result<Value> {
    Ok(serde_json::from_str(&response.body_mut().read_to_string()?)?)
}

#[test]
fn what_is_written_down_is_looked_up_in_a_call() -> Result<()> {
    let mut stage = stage()?;
    let http = stage.ports.address()?;
    let script = r#"
api_key = "sk-test"
caller = ["What does a consultation cost?"]
greeting = { say = { tone_hz = 700, ms = 500 }, transcript = "Welcome to the test line." }
[[replies]]
calls = [{ name = "search_knowledge", arguments = { query = "consultation cost" } }]
[[replies]]
say = { tone_hz = 1100, ms = 1000 }
transcript = "It costs 150 reais."
"#;
    let api = format!("[api]\nlisten = \"{http}\"\n");
    let (provider, ramal) = house(script, Terms { more: &api, ..Terms::default() }, &mut stage)?;
    let keeper = Keeper { url: format!("http://{http}"), token: token(&stage, &ramal.config)? };

    let collection = keeper.post("knowledge", &json!({"name": "Manual"}))?;
    let id = collection["knowledge_uuid"].as_str().context("a UUID")?;
    let prices =
        json!({"title": "Prices", "language": "en", "text": "# Consultations\n\nA consultation costs 150 reais."});
    let hours = json!({"title": "Hours", "language": "en", "text": "We are open from nine to five."});
    for document in [&prices, &hours] {
        keeper.post(&format!("knowledge/{id}/documents"), document)?;
    }
    let list = keeper.get("secretaries")?;
    let mut settings = list["items"][0]["settings"].clone();
    (settings["enable_rag"], settings["rag_collection_id"]) = (json!(true), json!(id));
    let secretary = list["items"][0]["secretary_realtime_uuid"].as_str().context("a secretary")?;
    let changed = keeper.put(&format!("secretaries/{secretary}"), &settings)?;
    ensure!(changed["problem"].is_null(), "{changed}");

    openai::call(&stage, &ramal, &["--play", &text(&question())])?;
    let offered = said(&provider, "session.update")[0]["session"]["tools"].to_string();
    ensure!(offered.contains("\"search_knowledge\""), "{offered}");
    let items = said(&provider, "conversation.item.create");
    let output = items.iter().find_map(|item| item["item"]["output"].as_str()).context("no result of the tool")?;
    let told: Value = serde_json::from_str(output)?;
    ensure!(told["status"] == "found" && told["passages"][0]["document"] == "Prices", "{told}");
    ensure!(told["passages"][0]["text"] == prices["text"], "{told}");
    let stored = stage.conversations(&ramal.config, 1)?;
    let turns = stored[0]["turns"].to_string();
    for words in ["What does a consultation cost?", "consultation cost\\\": 1 found]", "It costs 150 reais."] {
        ensure!(turns.contains(words), "{words:?} is not in {turns}");
    }
    ramal.end()?;
    stage.clear()
}
