//! Tool calls that wait for an answer.
use std::collections::VecDeque;

/// Calls remembered; beyond it the oldest is forgotten, and its answer refused.
const REMEMBERED: usize = 32;

/// Who runs a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// We do, and the server waits for the result.
    Client,
    /// The provider did: nobody waits.
    Provider,
}

/// The tool calls of a conversation.
#[derive(Debug, Default)]
pub(super) struct Tools {
    asked: VecDeque<(String, Owner)>,
}

impl Tools {
    /// A call arrived; false when it waits already.
    pub(super) fn open(&mut self, id: &str, owner: Owner) -> bool {
        if self.asked.iter().any(|(asked, _)| asked == id) {
            return false;
        }
        if self.asked.len() >= REMEMBERED {
            self.asked.pop_front();
        }
        self.asked.push_back((id.to_owned(), owner));
        true
    }

    /// A call was answered: who had asked, or `None` when nobody had.
    pub(super) fn answer(&mut self, id: &str) -> Option<Owner> {
        let index = self.asked.iter().position(|(asked, _)| asked == id)?;
        self.asked.remove(index).map(|(_, owner)| owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_asked_once_and_answered_once() {
        let mut tools = Tools::default();
        assert!(tools.open("a", Owner::Client));
        assert!(!tools.open("a", Owner::Client));
        assert_eq!(tools.answer("a"), Some(Owner::Client));
        assert_eq!(tools.answer("a"), None);
    }

    #[test]
    fn the_oldest_unanswered_call_is_forgotten() {
        let mut tools = Tools::default();
        for n in 0..=REMEMBERED {
            assert!(tools.open(&n.to_string(), Owner::Client));
        }
        assert_eq!(tools.answer("0"), None);
        assert_eq!(tools.answer("1"), Some(Owner::Client));
    }
}
