//! What joins a call's task to the switchboard.
use super::{Bus, Happening, LiveCall, Shown, now};
use crate::{
    call::{Event, LiveState, RecordingNow, Rung, Standing},
    drivers::facts::Facts,
    record::Outcome,
};
use std::sync::{Arc, Mutex, TryLockError, Weak};

/// A call's own end of the switchboard; the call is up until it says that it is over, or this is dropped.
#[derive(Debug)]
pub struct Cord {
    /// Nothing once the call is over.
    shown: Option<Arc<Shown>>,
    /// The same, as it should be shown.
    mine: LiveCall,
    /// It is not shown yet, since somebody was looking.
    stale: bool,
    /// The end of the call has been told.
    ended: bool,
    bus: Bus,
}

impl Cord {
    /// A call begins.
    pub(super) fn new(facts: &Facts, rung: &Rung, bus: Bus) -> (Self, Weak<Shown>) {
        let (began_at, _) = facts.clock;
        let secretary = &facts.secretary;
        let mine = LiveCall {
            conversation_uuid: facts.conversation_uuid,
            domain_uuid: secretary.domain_uuid,
            domain_name: secretary.domain_name.clone(),
            secretary_uuid: secretary.secretary_realtime_uuid,
            secretary_name: secretary.secretary_name.clone(),
            caller: facts.invite.from_user.clone(),
            called: facts.invite.request_user.clone(),
            began_at,
            answered_at: None,
            state: LiveState::Ringing,
            state_since: began_at,
            provider: rung.provider().to_owned(),
            model: rung.engine().to_owned(),
            provider_since: began_at,
            spent_micro_usd: 0,
            spent_at: None,
            recording: RecordingNow::No,
            recording_since: began_at,
            listeners: 0,
            crypto: None,
        };
        let shown = Arc::new(Mutex::new(mine.clone()));
        let seen = Arc::downgrade(&shown);
        let cord = Self { shown: Some(shown), mine, stale: false, ended: false, bus };
        cord.tell(Happening::CallBegan {
            conversation_uuid: cord.mine.conversation_uuid,
            secretary_uuid: cord.mine.secretary_uuid,
            secretary_name: cord.mine.secretary_name.clone(),
            caller: cord.mine.caller.clone(),
            called: cord.mine.called.clone(),
        });
        (cord, seen)
    }

    /// Something happened on the call.
    pub fn note(&mut self, event: &Event) {
        self.ended |= matches!(event, Event::Ended(_));
        if let Some(happening) = Happening::of_call(self.mine.conversation_uuid, event) {
            self.tell(happening);
        }
    }

    /// How the call stands, `None` when it is over. Never waits: what is being looked at is brought up to date the next time.
    pub fn show(&mut self, standing: Option<Standing<'_>>) {
        let Some(standing) = standing else { return self.shown = None };
        self.stale |= update(&mut self.mine, &standing);
        if let Some(shown) = self.shown.as_ref().filter(|_| self.stale) {
            let mut shown = match shown.try_lock() {
                Ok(shown) => shown,
                Err(TryLockError::Poisoned(shown)) => shown.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            shown.clone_from(&self.mine);
            self.stale = false;
        }
    }

    fn tell(&self, happening: Happening) {
        self.bus.tell(Some(self.mine.domain_uuid), happening);
    }
}

impl Drop for Cord {
    /// A call whose task broke, or that found no thread, has not told of its end.
    fn drop(&mut self) {
        if !self.ended {
            self.tell(Happening::CallEnded {
                conversation_uuid: self.mine.conversation_uuid,
                outcome: Outcome::Failed,
                reason: "the call's task broke, or never began".to_owned(),
                duration_ms: 0,
                cost_micro_usd: self.mine.spent_micro_usd,
                transferred_to: None,
            });
        }
    }
}

/// Whether anything changed.
fn update(call: &mut LiveCall, standing: &Standing<'_>) -> bool {
    let mut changed = false;
    if call.answered_at.is_none() && standing.answered {
        (call.answered_at, changed) = (Some(now()), true);
    }
    if call.state != standing.state {
        (call.state, call.state_since, changed) = (standing.state, now(), true);
    }
    if call.provider != standing.provider || call.model != standing.model {
        call.provider = standing.provider.to_owned();
        call.model = standing.model.to_owned();
        (call.provider_since, changed) = (now(), true);
    }
    if call.spent_micro_usd != standing.spent.0 {
        (call.spent_micro_usd, call.spent_at, changed) = (standing.spent.0, Some(now()), true);
    }
    if call.recording != standing.recording {
        (call.recording, call.recording_since, changed) = (standing.recording, now(), true);
    }
    let listeners = u32::try_from(standing.listeners).unwrap_or(u32::MAX);
    if call.listeners != listeners {
        (call.listeners, changed) = (listeners, true);
    }
    // Another call that takes this one over may have another, or none.
    if call.crypto.as_deref() != standing.crypto {
        (call.crypto, changed) = (standing.crypto.map(str::to_owned), true);
    }
    changed
}
