//! What one provider had of a conversation.
use super::{MicroUsd, millis};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The part of a conversation that was one provider's. All of them together are the conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// As in the `realtime_provider` column.
    pub provider: String,
    /// How long it was the one to speak, from the answer on.
    #[serde(rename = "talked_ms", with = "millis")]
    pub talked: Duration,
    /// Tokens it billed as input.
    pub input_tokens: u64,
    /// Tokens it billed as output.
    pub output_tokens: u64,
    /// What it will charge, estimated.
    pub cost: MicroUsd,
}

impl Share {
    /// Adds what a provider had to what it had before.
    pub fn gather(shares: &mut Vec<Self>, share: Self) {
        let Some(known) = shares.iter_mut().find(|known| known.provider == share.provider) else {
            return shares.push(share);
        };
        known.talked += share.talked;
        known.input_tokens = known.input_tokens.saturating_add(share.input_tokens);
        known.output_tokens = known.output_tokens.saturating_add(share.output_tokens);
        known.cost = MicroUsd(known.cost.0.saturating_add(share.cost.0));
    }

    /// Whether it neither spoke nor cost anything.
    pub fn is_nothing(&self) -> bool {
        self.talked.is_zero() && self.cost == MicroUsd(0)
    }

    /// What they cost together.
    pub fn sum(shares: &[Self]) -> MicroUsd {
        MicroUsd(shares.iter().fold(0, |sum, share| sum.saturating_add(share.cost.0)))
    }
}
