//! What the conversations of one server share: the script, the URLs that were signed, and what each conversation cost.
use super::script::{Faults, Script};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Signed URLs, and conversations, that are remembered; beyond it the oldest is forgotten.
const REMEMBERED: usize = 4_096;
/// Of the agent, apart from its language model.
const USD_PER_MINUTE: f64 = 0.08;
/// Of its language model.
const LLM_USD_PER_MINUTE: f64 = 0.012;
/// Credits in a dollar.
const CREDITS_PER_USD: f64 = 5_000.0;

/// One server.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Script")]
pub struct House {
    pub(super) script: Script,
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    signed: u64,
    signatures: BTreeSet<String>,
    conversations: BTreeMap<String, Conversation>,
}

#[derive(Clone, Copy, Debug)]
enum Conversation {
    Open,
    Over { at: Instant, lasted: Duration },
}

impl From<Script> for House {
    fn from(script: Script) -> Self {
        Self { script, books: Mutex::default() }
    }
}

impl House {
    /// What goes wrong with the `number`th connection.
    pub(super) fn faults(&self, number: u64) -> Option<&Faults> {
        let faults = &self.script.faults;
        (faults.connections == 0 || number <= faults.connections).then_some(faults)
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A signature for one conversation.
    pub(super) fn sign(&self) -> String {
        let mut books = self.books();
        books.signed += 1;
        let signature = format!("cvtkn_lab_{:08}", books.signed);
        books.signatures.insert(signature.clone());
        if books.signatures.len() > REMEMBERED {
            books.signatures.pop_first();
        }
        signature
    }

    /// Whether it was given out and not used.
    pub(super) fn redeem(&self, signature: &str) -> bool {
        self.books().signatures.remove(signature)
    }

    /// A conversation began.
    pub(super) fn began(&self, conversation: &str) {
        let mut books = self.books();
        books.conversations.insert(conversation.to_owned(), Conversation::Open);
        if books.conversations.len() > REMEMBERED {
            books.conversations.pop_first();
        }
    }

    /// It is over, after so long.
    pub(super) fn ended(&self, conversation: &str, lasted: Duration, at: Instant) {
        if let Some(known) = self.books().conversations.get_mut(conversation) {
            *known = Conversation::Over { at, lasted };
        }
    }

    /// What a conversation's record says, as JSON; `None` when there was no such conversation.
    pub fn record(&self, conversation: &str, now: Instant) -> Option<Value> {
        let known = *self.books().conversations.get(conversation)?;
        let (status, lasted, settled) = match known {
            Conversation::Open => ("in-progress", Duration::ZERO, false),
            Conversation::Over { at, lasted } => {
                let settled = now.saturating_duration_since(at) >= Duration::from_millis(self.script.cost_after_ms);
                (if settled { "done" } else { "processing" }, lasted, settled)
            }
        };
        let minutes = lasted.as_secs_f64() / 60.0;
        let (platform, llm) = (minutes * USD_PER_MINUTE, minutes * LLM_USD_PER_MINUTE);
        let credits = |usd: f64| (usd * CREDITS_PER_USD).round() as u64;
        let mut metadata = json!({"start_time_unix_secs": 1_795_000_000, "call_duration_secs": lasted.as_secs()});
        if settled {
            metadata["cost"] = credits(platform + llm).into();
            metadata["cost_fiat"] = (platform + llm).into();
            metadata["charging"] = json!({"is_burst": false, "tier": "creator", "llm_price": llm,
                "llm_charge": credits(llm), "call_charge": credits(platform), "platform_price": platform,
                "platform_charge": credits(platform)});
            metadata["termination_reason"] = "Client disconnected".into();
        }
        let agent = self.script.agent_id.as_deref().unwrap_or("agent_lab");
        Some(json!({"agent_id": agent, "conversation_id": conversation, "status": status, "transcript": [],
            "metadata": metadata, "has_audio": false, "has_user_audio": false, "has_response_audio": false,
            "has_auxiliary_audio": false}))
    }
}
