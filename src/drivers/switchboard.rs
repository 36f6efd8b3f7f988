//! The calls that are up, for whoever watches and steers them from outside, and what happens on them.
//!
//! No media thread waits for any of it: what a call shows of itself it leaves where nobody is looking at that moment, what
//! happens goes into a queue that drops what finds no room, and what is heard overwrites what a slow listener did not take.
mod cord;
mod events;
mod listener;

use super::{
    facts::Facts,
    orders::{Wanted, Which, Wish},
};
use crate::call::{NotDone, Rung};
pub use crate::{
    call::steer::Order,
    switchboard::{Entry, Happening, ListenError, LiveCall, OrderError},
};
use chrono::Utc;
pub use cord::Cord;
pub use events::{Bus, Events, Told};
pub use listener::{Listener, Listeners, Sound};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::{
    sync::{broadcast, mpsc},
    time::timeout,
};
use uuid::Uuid;

/// How long a call may take to answer somebody outside.
const CALL_ANSWER: Duration = Duration::from_secs(2);

/// All calls that are up. Clones see the same ones.
#[derive(Clone, Debug)]
pub struct Switchboard(Arc<Inner>);

/// A call as it is shown. Its task writes where nobody reads at that moment.
type Shown = Mutex<LiveCall>;

#[derive(Debug)]
struct Inner {
    /// A call is gone when its task has let go of it.
    calls: Mutex<BTreeMap<Uuid, Weak<Shown>>>,
    wishes: broadcast::Sender<Wish>,
    bus: Bus,
}

impl Switchboard {
    /// An empty one, whose wishes the media threads hear. To be made within a runtime.
    pub fn start(wishes: broadcast::Sender<Wish>) -> Self {
        Self(Arc::new(Inner { calls: Mutex::default(), wishes, bus: Bus::start() }))
    }

    /// Where what happens is told.
    pub fn bus(&self) -> &Bus {
        &self.0.bus
    }

    /// A call begins: it is up until the cord is dropped.
    pub fn plug(&self, facts: &Facts, rung: &Rung) -> Cord {
        let (call, shown) = Cord::new(facts, rung, self.0.bus.clone());
        let mut calls = self.locked();
        calls.retain(|_, call| call.strong_count() > 0);
        calls.insert(facts.conversation_uuid, shown);
        call
    }

    /// The calls of a tenant, in the order they began; of all tenants for `None`, the administrator.
    pub fn calls(&self, domain: Option<Uuid>) -> Vec<LiveCall> {
        // The tasks of calls that begin wait while this is locked, and nobody else.
        let shown: Vec<_> = self.locked().values().filter_map(Weak::upgrade).collect();
        let mut calls: Vec<LiveCall> = shown.iter().map(look).filter(|call| belongs(call, domain)).collect();
        calls.sort_by_key(|call| (call.began_at, call.conversation_uuid));
        calls
    }

    /// A call of a tenant.
    pub fn call(&self, domain: Option<Uuid>, conversation: Uuid) -> Option<LiveCall> {
        let shown = self.locked().get(&conversation).and_then(Weak::upgrade)?;
        Some(look(&shown)).filter(|call| belongs(call, domain))
    }

    /// Has a call do something, within two seconds or not at all.
    ///
    /// # Errors
    /// Why nothing came of it.
    pub async fn order(&self, domain: Option<Uuid>, conversation: Uuid, order: Order) -> Result<(), OrderError> {
        let wanted = |answer| Wanted::Steer(order, answer);
        let answer = self.wish(domain, conversation, wanted).await.map_err(|nobody| match nobody {
            Nobody::There => OrderError::NotFound,
            Nobody::Answers => OrderError::Busy,
        })?;
        Ok(answer?)
    }

    /// Lets somebody listen to a call from now on. `who` goes into the record of the call.
    ///
    /// # Errors
    /// Why nothing is to be heard.
    pub async fn listen(&self, domain: Option<Uuid>, conversation: Uuid, who: &str) -> Result<Listener, ListenError> {
        let wanted = |answer| Wanted::Listen(who.to_owned(), answer);
        let answer = self.wish(domain, conversation, wanted).await.map_err(|nobody| match nobody {
            Nobody::There => ListenError::NotFound,
            Nobody::Answers => ListenError::Busy,
        })?;
        Ok(answer?)
    }

    /// What happens from now on at a tenant; at all of them, and to the server, for `None`.
    pub fn events(&self, domain: Option<Uuid>) -> Events {
        self.0.bus.events(domain, None)
    }

    /// What happened after the event of this number, as far as it is kept, and what happens from now on.
    pub fn events_after(&self, domain: Option<Uuid>, sequence: u64) -> Events {
        self.0.bus.events(domain, Some(sequence))
    }

    /// Asks a call of this tenant, and nobody else's.
    async fn wish<T>(
        &self,
        domain: Option<Uuid>,
        conversation: Uuid,
        wanted: impl FnOnce(mpsc::Sender<Result<T, NotDone>>) -> Wanted,
    ) -> Result<Result<T, NotDone>, Nobody> {
        self.call(domain, conversation).ok_or(Nobody::There)?;
        let (answer, mut answers) = mpsc::channel(1);
        let wish = Wish { call: Which::Conversation(conversation), wanted: wanted(answer) };
        // Without media threads nobody answers.
        let _ = self.0.wishes.send(wish);
        match timeout(CALL_ANSWER, answers.recv()).await {
            Ok(Some(answer)) => Ok(answer),
            // It ended meanwhile, or its queue is full.
            Ok(None) if self.call(domain, conversation).is_none() => Err(Nobody::There),
            Ok(None) | Err(_) => Err(Nobody::Answers),
        }
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<Uuid, Weak<Shown>>> {
        self.0.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why there is no answer of a call.
enum Nobody {
    There,
    Answers,
}

fn belongs(call: &LiveCall, domain: Option<Uuid>) -> bool {
    domain.is_none_or(|domain| domain == call.domain_uuid)
}

fn look(shown: &Arc<Shown>) -> LiveCall {
    shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Now, for what people read.
fn now() -> chrono::DateTime<Utc> {
    Utc::now()
}

#[cfg(test)]
mod tests;
