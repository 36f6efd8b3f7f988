//! What is known of a call before it runs, kept outside its task: enough to record it, should it never run or break.
use super::{meter::SoFar, recorder::Listing};
use crate::{
    call,
    record::{Conversation, Share},
    secretary::Secretary,
};
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

    /// The same, of a call that had come to this much when it broke. And the entry of its recording, whose file is closed
    /// without it.
    pub(super) fn broken(&self, why: &str, ended_at: DateTime<Utc>, so_far: SoFar) -> (Conversation, Option<Listing>) {
        let SoFar { shares, taping } = so_far;
        let (recording, listing) = taping.map(|taping| taping.broken(why)).unzip();
        let failed = self.failed(why, ended_at);
        let record = Conversation {
            provider: shares.last().map_or(failed.provider, |share| share.provider.clone()),
            input_tokens: shares.iter().map(|share| share.input_tokens).sum(),
            output_tokens: shares.iter().map(|share| share.output_tokens).sum(),
            audio: shares.iter().map(|share| share.talked).sum(),
            estimated_cost: Share::sum(&shares),
            shares,
            recording,
            ..failed
        };
        (record, listing)
    }
}
