//! What a call keeps for its record, from INVITE to the end.
use super::{ListenerId, Rung, rung::About, transcript::Transcript};
use crate::{
    record::{
        Change, Conversation, KILLED, Listened, MediaQuality, MicroUsd, Outcome, Recording, Share, TurnRecord, redact,
    },
    secretary::Secretary,
};
use chrono::{DateTime, Utc};
use providers::Usage;
use sip::IncomingInvite;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The header in which the PBX passes its own identity of the call, which joins our record to its CDR.
const CALL_UUID_HEADER: &str = "x-ramal-call-uuid";
/// Changes of provider that are kept; a call has a handful of rungs, and a retry a minute.
const MAX_CHANGES: usize = 64;

#[derive(Debug)]
pub(super) struct Log {
    identity: Identity,
    /// Wall time and its instant at the INVITE: every other wall time is computed from them.
    clock: (DateTime<Utc>, Instant),
    answered: Option<Instant>,
    pub(super) transcript: Transcript,
    pub(super) transfer_destination: Option<String>,
    pub(super) media_quality: Option<MediaQuality>,
    provider: String,
    engine: String,
    /// Of the whole call.
    usage: Usage,
    /// Of the present provider.
    present: Usage,
    /// Since then it is that one.
    since: Instant,
    /// What those before it had.
    shares: Vec<Share>,
    changes: Vec<Change>,
    /// Assistant utterances that answered the caller.
    replies: u32,
    recording: Option<Recording>,
    /// Everybody who listened in, in the order they came.
    listened: Vec<Ear>,
    /// Numbers of cards and e-mail addresses are not kept.
    redact: bool,
}

/// Somebody who listens in, or did.
#[derive(Debug)]
struct Ear {
    who: String,
    from: Instant,
    to: Option<Instant>,
}

#[derive(Debug)]
struct Identity {
    conversation_uuid: Uuid,
    domain_uuid: Uuid,
    secretary_uuid: Uuid,
    call_uuid: String,
    caller_id: String,
    destination: String,
}

impl Log {
    pub(super) fn new(
        invite: &IncomingInvite,
        secretary: &Secretary,
        (provider, engine): (&str, &str),
        conversation_uuid: Uuid,
        clock: (DateTime<Utc>, Instant),
    ) -> Self {
        let sent = invite.x_headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(CALL_UUID_HEADER));
        let identity = Identity {
            conversation_uuid,
            domain_uuid: secretary.domain_uuid,
            secretary_uuid: secretary.secretary_realtime_uuid,
            call_uuid: sent.map_or_else(|| invite.call_id.clone(), |(_, value)| value.clone()),
            caller_id: invite.from_user.clone(),
            destination: invite.request_user.clone(),
        };
        Self {
            identity,
            clock,
            answered: None,
            transcript: Transcript::new(clock.1),
            transfer_destination: None,
            media_quality: None,
            provider: provider.to_owned(),
            engine: engine.to_owned(),
            usage: Usage::default(),
            present: Usage::default(),
            since: clock.1,
            shares: Vec::new(),
            changes: Vec::new(),
            replies: 0,
            recording: None,
            listened: Vec::new(),
            redact: secretary.of_tenant.redact,
        }
    }

    /// The time of day at `now`.
    pub(super) fn wall(&self, now: Instant) -> DateTime<Utc> {
        let (wall, origin) = self.clock;
        wall + now.saturating_duration_since(origin)
    }

    pub(super) fn answered(&mut self, now: Instant) {
        self.answered = Some(now);
        self.transcript = Transcript::new(now);
    }

    pub(super) fn used(&mut self, usage: &Usage) {
        self.usage.add(usage);
        self.present.add(usage);
    }

    /// This provider is left: what it had of the call is known.
    pub(super) fn leave(&mut self, rung: &Rung, now: Instant) {
        self.shares = self.shares(rung, now);
        (self.present, self.since) = (Usage::default(), now);
    }

    /// What each provider has had of the call, with this one as the present one.
    pub(super) fn shares(&self, rung: &Rung, now: Instant) -> Vec<Share> {
        let (mut shares, used) = (self.shares.clone(), &self.present);
        let since = self.answered.map(|answered| answered.max(self.since));
        let talked = since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        Share::gather(&mut shares, rung.share(used, talked, self.clock.0));
        shares
    }

    /// Somebody goes on with the conversation.
    pub(super) fn changed(&mut self, change: Change, rung: &Rung) {
        (self.provider, self.engine) = (rung.provider().to_owned(), rung.engine().to_owned());
        if self.changes.len() < MAX_CHANGES {
            self.changes.push(change);
        }
    }

    /// The time since the call was answered.
    pub(super) fn since_answer(&self, at: Instant) -> Duration {
        self.answered.map_or(Duration::ZERO, |answered| at.saturating_duration_since(answered))
    }

    /// What it costs at list price, with this provider as the present one; whoever has no price costs nothing.
    pub(super) fn cost(&self, rung: &Rung) -> MicroUsd {
        let present = rung.cost(&self.present, self.clock.0).unwrap_or(0);
        MicroUsd(Share::sum(&self.shares).0.saturating_add(present))
    }

    /// The assistant answered the caller; returns how often it has by now.
    pub(super) fn replied(&mut self) -> u32 {
        self.replies += 1;
        self.replies
    }

    /// What a provider may be told.
    pub(super) fn about<'a>(&'a self, domain: &'a str) -> About<'a> {
        let Identity { caller_id, destination, call_uuid, .. } = &self.identity;
        About { caller: caller_id, called: destination, domain, call_uuid }
    }

    pub(super) fn call_uuid(&self) -> &str {
        &self.identity.call_uuid
    }

    pub(super) fn recorded(&mut self, summary: media::recording::Summary) {
        self.recording = Some(summary.into());
    }

    pub(super) fn is_recorded(&self) -> bool {
        self.recording.is_some()
    }

    /// Somebody begins to listen in; `None` if that is not written down any more.
    pub(super) fn listens(&mut self, who: &str, most: usize, now: Instant) -> Option<ListenerId> {
        let id = ListenerId(self.listened.len());
        (id.0 < most).then(|| self.listened.push(Ear { who: who.to_owned(), from: now, to: None }))?;
        Some(id)
    }

    /// One who listened does so no more: who, unless that is known.
    pub(super) fn listened(&mut self, ListenerId(id): ListenerId, now: Instant) -> Option<String> {
        let ear = self.listened.get_mut(id).filter(|ear| ear.to.is_none())?;
        ear.to = Some(now);
        Some(ear.who.clone())
    }

    /// How many listen in.
    pub(super) fn listeners(&self) -> usize {
        self.listened.iter().filter(|ear| ear.to.is_none()).count()
    }

    pub(super) fn replies(&self) -> u32 {
        self.replies
    }

    /// What was said, as it may be kept.
    fn turns(&self) -> Vec<TurnRecord> {
        let mut turns = self.transcript.turns();
        if self.redact {
            redact(&mut turns);
        }
        turns
    }

    fn heard_by(&self, Ear { who, from, to }: &Ear, now: Instant) -> Listened {
        let (from, to) = (self.since_answer(*from), self.since_answer(to.unwrap_or(now)));
        Listened { who: who.clone(), from, to }
    }

    /// The finished record.
    pub(super) fn conversation(
        &self,
        outcome: Outcome,
        cause: String,
        rung: Option<&Rung>,
        now: Instant,
    ) -> Conversation {
        let usage = &self.usage;
        Conversation {
            conversation_uuid: self.identity.conversation_uuid,
            domain_uuid: self.identity.domain_uuid,
            secretary_realtime_uuid: Some(self.identity.secretary_uuid),
            call_uuid: self.identity.call_uuid.clone(),
            caller_id: self.identity.caller_id.clone(),
            destination: self.identity.destination.clone(),
            started_at: self.wall(self.answered.unwrap_or(self.clock.1)),
            ended_at: self.wall(now),
            turns: self.turns(),
            changes: self.changes.clone(),
            outcome,
            end_reason: cause,
            transfer_destination: self.transfer_destination.clone(),
            input_tokens: usage.input_tokens(),
            output_tokens: usage.output_tokens(),
            audio: self.answered.map_or(Duration::ZERO, |answered| now.saturating_duration_since(answered)),
            estimated_cost: rung.map_or(Share::sum(&self.shares), |rung| self.cost(rung)),
            billed_cost: None,
            shares: rung.map_or_else(Vec::new, |rung| self.shares(rung, now)),
            provider: self.provider.clone(),
            engine: self.engine.clone(),
            recording: self.recording.clone(),
            media_quality: self.media_quality.clone(),
            listened: self.listened.iter().map(|ear| self.heard_by(ear, now)).collect(),
        }
    }

    /// The record that counts if the process dies: who called whom and when, and nothing that was said.
    pub(super) fn unfinished(&self, now: Instant) -> Conversation {
        let record = self.conversation(Outcome::Failed, KILLED.to_owned(), None, now);
        // What it cost was noted while it was up: a record that cannot know that must not settle it.
        let nothing = Share {
            provider: record.provider.clone(),
            talked: Duration::ZERO,
            input_tokens: 0,
            output_tokens: 0,
            cost: MicroUsd(0),
        };
        let (input_tokens, output_tokens, estimated_cost) = (0, 0, MicroUsd(0));
        let (turns, shares) = (Vec::new(), vec![nothing]);
        Conversation { turns, shares, input_tokens, output_tokens, estimated_cost, ..record }
    }
}

/// The record of a call that was refused before it could ring, for a reason the administrator has to mend.
pub fn refused(
    invite: &IncomingInvite,
    secretary: &Secretary,
    provider: &str,
    (conversation_uuid, clock): (Uuid, (DateTime<Utc>, Instant)),
    why: &str,
) -> Conversation {
    let log = Log::new(invite, secretary, (provider, ""), conversation_uuid, clock);
    log.conversation(Outcome::Failed, why.to_owned(), None, clock.1)
}
