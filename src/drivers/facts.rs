//! What is known of a call before it runs, kept outside its task: enough to record it, should it never run or break.
use crate::{call, record::Conversation, secretary::Secretary};
use chrono::{DateTime, Utc};
use sip::{IncomingInvite, LegId};
use std::time::Instant;
use uuid::Uuid;

/// An INVITE whose secretary is known.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The leg it made.
    pub leg: LegId,
    /// The INVITE.
    pub invite: IncomingInvite,
    /// The secretary as she was at that moment.
    pub secretary: Secretary,
    /// Identity of the record.
    pub conversation_uuid: Uuid,
    /// Wall time and its instant at the INVITE.
    pub clock: (DateTime<Utc>, Instant),
}

impl Facts {
    /// The record of this call, which came to nothing at `ended_at` for this reason.
    pub fn failed(&self, why: &str, ended_at: DateTime<Utc>) -> Conversation {
        let provider = self.secretary.provider.to_string();
        let refused =
            call::refused(&self.invite, &self.secretary, &provider, (self.conversation_uuid, self.clock), why);
        Conversation { ended_at, ..refused }
    }
}
