//! What people outside want of a call, on its way to it: every media thread hears it, and passes on what is for a call of its own.
use super::switchboard::Listener;
use crate::call::{self, NotDone, steer};
use tokio::sync::mpsc;
use uuid::Uuid;

/// Somebody wants something of a call.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Which call.
    pub call: Which,
    /// What is wanted.
    pub wanted: Wanted,
}

/// Which call is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one of this conversation. A Call-ID is whatever a phone makes it, so it is not looked at.
    Conversation(Uuid),
    /// The one with this Call-ID or conversation.
    Named(String),
}

impl Which {
    /// Whether a call is meant that has these names.
    pub fn is(&self, call_id: &str, conversation: Uuid) -> bool {
        match self {
            Self::Conversation(uuid) => *uuid == conversation,
            Self::Named(name) => name == call_id || *name == conversation.to_string(),
        }
    }
}

/// What is wanted. Whoever waits for the answer is the one who holds its other end: a wish whose asker is gone is not
/// carried out any more.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// The recording shall pause or go on; whether there is one.
    Record(call::Order, mpsc::Sender<bool>),
    /// The call shall end, or go elsewhere.
    Steer(steer::Order, mpsc::Sender<Result<(), NotDone>>),
    /// This person wants to hear the call.
    Listen(String, mpsc::Sender<Result<Listener, NotDone>>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_that_calls_its_call_as_another_conversation_is_not_meant() {
        let (ours, theirs) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let forged = ours.to_string();
        assert!(Which::Conversation(ours).is("x", ours));
        assert!(!Which::Conversation(ours).is(&forged, theirs));
        assert!(Which::Named(forged.clone()).is("x", ours) && Which::Named("x".into()).is("x", ours));
    }
}
