//! What tenants are told of, without a word of what was said.
use crate::{
    call,
    record::{Conversation, MicroUsd, Outcome},
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Who had a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The human on the phone.
    Caller,
    /// The secretary.
    Assistant,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Happening {
    /// An INVITE became a call.
    CallBegan {
        /// Which.
        conversation_uuid: Uuid,
        /// Who answers.
        secretary_uuid: Uuid,
        /// Her name.
        secretary_name: String,
        /// The caller's number.
        caller: String,
        /// What the caller dialled.
        called: String,
    },
    /// 200 went out.
    CallAnswered {
        /// Which.
        conversation_uuid: Uuid,
    },
    /// Somebody has spoken.
    TurnFinished {
        /// Of which call.
        conversation_uuid: Uuid,
        /// Who.
        by: Side,
        /// How much of the assistant's speech was heard.
        heard_ms: Option<u64>,
        /// The caller cut it off.
        cut: bool,
    },
    /// REFER went out.
    TransferStarted {
        /// Of which call.
        conversation_uuid: Uuid,
        /// An extension or number.
        to: String,
    },
    /// The caller is back, or was never gone.
    TransferFailed {
        /// Of which call.
        conversation_uuid: Uuid,
        /// An extension or number.
        to: String,
        /// In plain English.
        reason: String,
    },
    /// Another provider goes on, or the same again.
    ProviderChanged {
        /// Of which call.
        conversation_uuid: Uuid,
        /// Provider and model before.
        from: String,
        /// Provider and model now.
        to: String,
        /// In plain English.
        why: String,
        /// How long there was none.
        gap_ms: u64,
    },
    /// The recording pauses, or goes on.
    Recording {
        /// Of which call.
        conversation_uuid: Uuid,
        /// Whether it pauses.
        paused: bool,
    },
    /// Somebody begins to listen in, or does so no more.
    ListenedTo {
        /// To which call.
        conversation_uuid: Uuid,
        /// Who.
        who: String,
        /// Whether they begin.
        begins: bool,
    },
    /// A call is over.
    CallEnded {
        /// Which.
        conversation_uuid: Uuid,
        /// In one word.
        outcome: Outcome,
        /// In a sentence.
        reason: String,
        /// From answer to end.
        duration_ms: u64,
        /// What it cost, estimated.
        cost_micro_usd: u64,
        /// Where the caller went.
        transferred_to: Option<String>,
    },
    /// Most of a month's money is spent.
    BudgetAlert {
        /// `2026-11`.
        month: String,
        /// So much is.
        spent_micro_usd: u64,
        /// Of so much.
        budget_micro_usd: u64,
    },
    /// A registrar has our contact, or has it no more.
    Registration {
        /// `user@domain`.
        account: String,
        /// Whether it has.
        up: bool,
        /// The last final status.
        code: Option<u16>,
    },
}

/// What happened, when, and to whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// When.
    pub at: DateTime<Utc>,
    /// The tenant; `None` for what concerns the server alone.
    pub domain_uuid: Option<Uuid>,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
}

impl Happening {
    /// What a tenant is told of an event of its call; most are the driver's alone.
    pub fn of_call(conversation_uuid: Uuid, event: &call::Event) -> Option<Self> {
        use call::Event as E;
        let turn = |by, heard_ms, cut| Self::TurnFinished { conversation_uuid, by, heard_ms, cut };
        let happening = match event {
            E::Answered => Self::CallAnswered { conversation_uuid },
            E::CallerText(_) => turn(Side::Caller, None, false),
            E::PlayedOut(heard) => turn(Side::Assistant, Some(ms(heard.played)), false),
            E::BargeIn(heard) => turn(Side::Assistant, Some(ms(heard.played)), true),
            E::TransferStarted { destination } => Self::TransferStarted { conversation_uuid, to: destination.clone() },
            E::TransferFailed { destination, reason } => {
                Self::TransferFailed { conversation_uuid, to: destination.clone(), reason: reason.clone() }
            }
            E::Changed(change) => Self::ProviderChanged {
                conversation_uuid,
                from: change.from.clone(),
                to: change.to.clone(),
                why: change.why.clone(),
                gap_ms: ms(change.gap),
            },
            E::Recording(order) => Self::Recording { conversation_uuid, paused: *order == call::Order::Pause },
            E::ListenedTo { who, begins } => Self::ListenedTo { conversation_uuid, who: who.clone(), begins: *begins },
            E::Ended(record) => Self::ended(record),
            E::Connect(_)
            | E::Disconnect
            | E::Prepare(_)
            | E::Reconnect(_)
            | E::Receipt(_)
            | E::CallerSpeaks
            | E::Dtmf(_)
            | E::AssistantSpeaks { .. }
            | E::AssistantText { .. }
            | E::Provider { .. }
            | E::Hold(_)
            | E::Measured(_)
            | E::Warning(_) => return None,
        };
        Some(happening)
    }

    fn ended(record: &Conversation) -> Self {
        let MicroUsd(cost_micro_usd) = record.estimated_cost;
        Self::CallEnded {
            conversation_uuid: record.conversation_uuid,
            outcome: record.outcome,
            reason: record.end_reason.clone(),
            duration_ms: ms(record.audio),
            cost_micro_usd,
            transferred_to: record.transfer_destination.clone(),
        }
    }
}

fn ms(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_and_pressed_is_told_to_nobody() {
        let id = Uuid::from_u128(1);
        let told = Happening::of_call(id, &call::Event::CallerText("4111 1111".into())).unwrap();
        let json = serde_json::to_value(&told).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"event": "turn_finished", "conversation_uuid": id, "by": "caller", "heard_ms": null, "cut": false})
        );
        assert_eq!(Happening::of_call(id, &call::Event::Dtmf('7')), None);
    }
}
